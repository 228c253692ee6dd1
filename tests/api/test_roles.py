"""Do a workspace's own roles, bindings, and the question who may do what and why work over REST?"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest


async def made(answer: Any, status: int = 201) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.fixture
def told(store: Any) -> Any:
    """`await told(kind)`: the bodies of the ledger's events of this kind, in order."""

    async def read(kind: str) -> list[Any]:
        async with store.read() as conn:
            rows = await conn.fetch("SELECT body FROM ledger WHERE kind = $1 ORDER BY id", kind)
        return [json.loads(bytes(row["body"])) for row in rows]

    return read


async def test_a_role_of_the_workspace_is_made_held_changed_and_ended(
    api: Any, client_of: Any, key_of: Any, told: Any
) -> None:
    role = await made(await api.put("/roles/releaser", {"permissions": ["version:write"], "description": "CI"}), 200)
    assert role["permissions"] == ["read", "version:write"] and not role["builtIn"] and role["bindings"] == 0
    listed = (await api.get("/roles")).json()
    names = [each["name"] for each in listed["items"]]
    assert names == ["viewer", "developer", "approver", "operator", "admin", "releaser"] and listed["total"] == 6
    await made(await api.post("/members", {"user": "ci", "role": "releaser"}))
    ci = client_of(await key_of("ci"))
    base = f"/api/v1/workspaces/{api.workspace}"
    assert (await ci.post(f"{base}/freezes", json={"reason": "r"})).status_code == 403
    await made(await api.put("/roles/releaser", {"permissions": ["version:write", "freeze"]}), 200)
    assert (await ci.post(f"{base}/freezes", json={"reason": "r"})).status_code == 201, "true for all who hold it"
    refused = await api.delete("/roles/releaser")
    assert refused.status_code == 409 and refused.json()["code"] == "ROLE_IN_USE"
    assert await told("role.changed") == [{"name": "releaser", "gained": ["freeze"], "lost": []}]
    held = (await api.get("/role-bindings", params={"user": "ci"})).json()["items"]
    await made(await api.delete(f"/role-bindings/{held[0]['id']}"), 200)
    await made(await api.delete("/roles/releaser"), 200)
    assert (await api.get("/roles/releaser")).status_code == 404
    assert (await ci.get(f"{base}/systems")).status_code == 404, "no role is left"


async def test_a_built_in_role_stays_what_it_is(api: Any) -> None:
    assert (await api.put("/roles/viewer", {"permissions": ["force"]})).status_code == 400
    assert (await api.delete("/roles/admin")).status_code == 400
    assert (await api.put("/roles/x", {"permissions": ["fly"]})).status_code == 400
    assert (await api.put("/roles/x", {"permissions": []})).status_code == 400


async def test_permissions_come_with_sentences(api: Any) -> None:
    listed = (await api.get("/permissions", params={"limit": 5})).json()
    assert len(listed["items"]) == 5 and listed["total"] > 10
    assert all(each["description"].endswith(".") for each in listed["items"])


async def test_roles_are_bound_to_users_groups_and_keys_over_a_scope(api: Any, client_of: Any, key_of: Any) -> None:
    base = f"/api/v1/workspaces/{api.workspace}"
    system = (await made(await api.post("/systems", {"name": "shop"}), 202))["id"]
    deployment = (await made(await api.post("/deployments", {"name": "a", "slug": "a"}), 202))["id"]
    other = (await made(await api.post("/deployments", {"name": "b", "slug": "b"}), 202))["id"]
    await api.put(f"/systems/{system}/deployments/{deployment}")
    await made(await api.post("/members", {"user": "gina", "role": "viewer"}))
    await made(await api.put("/groups/devs", {"members": ["gina"]}), 200)
    over = {"kind": "system", "id": system}
    bound = await made(await api.post("/role-bindings", {"group": "devs", "role": "developer", "scope": over}))
    assert bound["scope"]["name"] == "shop" and bound["group"]["name"] == "devs"
    again = await made(await api.post("/role-bindings", {"group": "devs", "role": "developer", "scope": over}), 200)
    assert again["id"] == bound["id"]
    text = await key_of("gina")
    gina = client_of(text)
    version = {"tag": "1", "status": "ready"}
    assert (await gina.post(f"{base}/deployments/{deployment}/versions", json=version)).status_code == 200
    assert (await gina.post(f"{base}/deployments/{other}/versions", json=version)).status_code == 403
    linked = await gina.put(f"{base}/systems/{system}/deployments/{other}")
    assert linked.status_code == 403, "who draws a deployment into their system would hold a role over it"

    key = next(each for each in (await api.get("/keys")).json()["items"] if each["user"]["name"] == "gina")
    narrow = {"key": key["id"], "role": "viewer"}
    await made(await api.post("/role-bindings", narrow))
    assert (await gina.post(f"{base}/deployments/{deployment}/versions", json=version)).status_code == 403
    assert (await gina.get(f"{base}/systems")).status_code == 200
    found = (await api.get("/role-bindings", params={"key": key["id"]})).json()["items"]
    refused = await api.delete(f"/role-bindings/{found[0]['id']}")
    assert refused.status_code == 400 and "all that its user may" in refused.text

    await made(await api.delete(f"/role-bindings/{bound['id']}"), 200)
    fresh = client_of(await key_of("gina"))
    assert (await fresh.post(f"{base}/deployments/{deployment}/versions", json=version)).status_code == 403
    for body in ({"role": "viewer"}, {"role": "viewer", "user": "gina", "group": "devs"}):
        assert (await api.post("/role-bindings", body)).status_code == 400


async def test_a_key_with_roles_of_its_own_opens_one_workspace_alone(api: Any, client_of: Any, key_of: Any) -> None:
    olga = client_of(await key_of("olga", "viewer"))
    await made(await olga.post("/api/v1/workspaces", json={"name": "Olga's", "slug": "olgas"}))
    key = await made(await api.post("/keys", {"user": "olga", "bindings": [{"role": "viewer"}]}))
    narrow = client_of(key["key"])
    listed = (await narrow.get("/api/v1/workspaces")).json()["workspaces"]
    assert [each["slug"] for each in listed] == ["shop"]
    assert (await narrow.get("/api/v1/workspaces/olgas")).status_code == 404
    assert (await narrow.post("/api/v1/workspaces", json={"name": "More", "slug": "more"})).status_code == 403


async def test_nobody_grants_or_takes_more_than_they_hold(api: Any, client_of: Any, key_of: Any) -> None:
    base = f"/api/v1/workspaces/{api.workspace}"
    await made(await api.put("/roles/people", {"permissions": ["member:write"]}), 200)
    await made(await api.post("/members", {"user": "pia", "role": "people"}))
    adas = next(each for each in (await api.get("/members")).json()["items"] if each["name"] == "ada")
    await made(await api.put("/groups/ops", {"members": []}), 200)
    await made(await api.post("/role-bindings", {"group": "ops", "role": "operator"}))
    pia = client_of(await key_of("pia"))
    refused = [
        await pia.post(f"{base}/members", json={"user": "pia", "role": "admin"}),
        await pia.post(f"{base}/members", json={"user": "ada", "role": "viewer", "replace": True}),
        await pia.post(f"{base}/role-bindings", json={"user": "pia", "role": "operator"}),
        await pia.put(f"{base}/roles/people", json={"permissions": ["member:write", "force"]}),
        await pia.put(f"{base}/groups/ops", json={"members": ["pia"]}),
        await pia.delete(f"{base}/groups/ops"),
        await pia.delete(f"{base}/members/{adas['id']}"),
        await pia.post(f"{base}/keys", json={"user": "ada"}),
        await pia.post(f"{base}/keys", json={"user": "zoe", "role": "developer"}),
        await pia.delete(f"{base}/role-bindings/{adas['bindings'][0]['id']}"),
    ]
    assert [each.status_code for each in refused] == [403] * len(refused), [each.text for each in refused]
    assert {each.json()["code"] for each in refused} <= {"ESCALATION", "FORBIDDEN"}
    assert (await pia.post(f"{base}/members", json={"user": "zoe", "role": "viewer"})).status_code == 201


async def test_the_last_admin_stays_also_when_two_go_at_once(api: Any, client_of: Any, key_of: Any) -> None:
    members = (await api.get("/members")).json()["items"]
    ada = members[0]
    for refused in (
        await api.delete(f"/members/{ada['id']}"),
        await api.post("/members", {"user": "ada", "role": "viewer", "replace": True}),
        await api.delete(f"/role-bindings/{ada['bindings'][0]['id']}"),
    ):
        assert refused.status_code == 409 and refused.json()["code"] == "LAST_ADMIN", refused.text
    bea = await made(await api.post("/members", {"user": "bea", "role": "admin"}))
    beas = client_of(await key_of("bea"))
    base = f"/api/v1/workspaces/{api.workspace}"
    both = await asyncio.gather(
        api.delete(f"/members/{bea['id']}"),
        beas.delete(f"{base}/members/{ada['id']}"),
    )
    assert sorted(each.status_code for each in both) in ([200, 404], [200, 409]), [each.text for each in both]
    ones = [api.raw, beas]
    left = [
        (await each.get(f"{base}/members")).json()
        for each, gone in zip(ones, both[::-1], strict=True)
        if gone.status_code != 200
    ]
    assert left[0]["total"] == 1


async def test_who_may_do_what_and_why_is_explained(api: Any, client_of: Any, key_of: Any) -> None:
    base = f"/api/v1/workspaces/{api.workspace}"
    system = (await made(await api.post("/systems", {"name": "shop"}), 202))["id"]
    for name in ("a", "b"):
        await made(await api.post("/deployments", {"name": name, "slug": name}), 202)
    found = (await api.get("/deployments/name/a")).json()["deployment"]["id"]
    await api.put(f"/systems/{system}/deployments/{found}")
    over = {"kind": "system", "id": system}
    await made(await api.post("/members", {"user": "otto", "role": "operator", "scope": over}))
    asked = {"user": "otto", "permission": "steer"}
    yes = (await api.get("/access/explain", params={**asked, "deployment": "a"})).json()
    assert yes["allowed"] and yes["where"] == "the deployment a"
    assert yes["sentence"] == "otto has the role operator over the system shop, which carries steer."
    no = (await api.get("/access/explain", params={**asked, "deployment": "b"})).json()
    assert not no["allowed"] and no["because"] == "elsewhere" and "over the system shop alone" in no["sentence"]
    otto = client_of(await key_of("otto"))
    own = (await otto.get(f"{base}/access")).json()
    assert (
        own["bindings"][0]["scope"]["name"] == "shop"
        and {"name", "description", "over"} <= own["permissions"][0].keys()
    )
    assert {each["over"] for each in own["permissions"] if each["name"] == "steer"} == {"some"}
    for params, status in (
        ({"permission": "fly"}, 400),
        ({"permission": "read", "user": "nobody"}, 404),
        ({"permission": "read", "deployment": "nothing"}, 404),
        ({"permission": "read", "system": "shop", "deployment": "a"}, 400),
    ):
        assert (await api.get("/access/explain", params=params)).status_code == status


async def test_a_key_is_rotated_with_an_overlap(api: Any, client_of: Any, told: Any) -> None:
    base = f"/api/v1/workspaces/{api.workspace}"
    old = await made(await api.post("/keys", {"user": "ci", "role": "developer", "scopes": ["read"], "name": "ci"}))
    ci = client_of(old["key"])
    new = await made(await ci.post(f"{base}/keys/{old['id']}/rotate", json={"overlapSeconds": 3600}))
    assert new["scopes"] == ["read"] and new["name"] == "ci" and new["replaces"]["rotatedTo"] == new["id"]
    assert "expiresAt" in new["replaces"] and "expiresAt" not in new
    assert (await ci.get(f"{base}/systems")).status_code == 200, "both open it meanwhile"
    fresh = client_of(new["key"])
    assert (await fresh.get(f"{base}/systems")).status_code == 200
    again = await ci.post(f"{base}/keys/{old['id']}/rotate", json={})
    assert again.status_code == 409 and again.json()["code"] == "KEY_ROTATED"
    newest = await made(await fresh.post(f"{base}/keys/{new['id']}/rotate", json={"overlapSeconds": 0}))
    assert (await fresh.get(f"{base}/systems")).status_code == 401, "without an overlap the old one is over at once"
    assert (await client_of(newest["key"]).get(f"{base}/systems")).status_code == 200
    assert [each["overlapS"] for each in await told("key.rotated")] == [3600, 0]
    over = await api.post(f"/keys/{new['id']}/rotate", {})
    assert over.status_code == 409

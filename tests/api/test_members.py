"""Do keys, members and scoped roles work over REST?"""

from __future__ import annotations

import re
import uuid
from typing import Any


async def test_a_key_is_shown_once_opens_what_its_role_may_and_is_stored_nowhere(
    api: Any, store: Any, client_of: Any
) -> None:
    made = await api.post("/keys", {"user": "bea", "role": "approver", "name": "laptop"})
    assert made.status_code == 201, made.text
    key = made.json()["key"]
    assert re.fullmatch(r"[0-9a-f]{16}\.[0-9a-f]{64}", key)
    client = client_of(key)
    assert (await client.get(f"/api/v1/workspaces/{api.workspace}/systems")).status_code == 200
    assert (await client.post(f"/api/v1/workspaces/{api.workspace}/systems", json={"name": "x"})).status_code == 403
    async with store.read() as conn:
        stored = [str(dict(row)) for row in await conn.fetch("SELECT * FROM api_key")]
        told = [str(dict(row)) for row in await conn.fetch("SELECT * FROM ledger")]
    secret = key.partition(".")[2]
    assert not any(secret in text for text in (*stored, *told))


async def test_members_are_listed_added_changed_and_removed(api: Any, key_of: Any, client_of: Any) -> None:
    added = await api.post("/members", {"user": "carl", "role": "viewer"})
    assert added.status_code == 201
    carl = added.json()
    assert [{**each, "id": ""} for each in carl["bindings"]] == [
        {"id": "", "role": "viewer", "scope": {"kind": "workspace"}}
    ]
    prod = (await api.post("/environments", {"name": "production"})).json()["id"]
    more = {"user": "carl", "role": "approver", "scope": {"kind": "environment", "id": prod}}
    nowhere = {**more, "scope": {"kind": "environment", "id": str(uuid.uuid4())}}
    assert (await api.post("/members", nowhere)).status_code == 404
    assert len((await api.post("/members", more)).json()["bindings"]) == 2
    only = await api.post("/members", {"user": "carl", "role": "operator", "replace": True})
    assert [binding["role"] for binding in only.json()["bindings"]] == ["operator"]
    listed = (await api.get("/members")).json()
    assert [member["name"] for member in listed["items"]] == ["ada", "carl"] and listed["total"] == 2

    client = client_of(await key_of("carl"))
    assert (await client.get("/api/v1/workspaces")).json()["total"] == 1
    assert (await api.delete(f"/members/{carl['id']}")).status_code == 200
    assert (await client.get(f"/api/v1/workspaces/{api.workspace}")).status_code == 404
    assert (await api.delete(f"/members/{carl['id']}")).status_code == 404


async def test_a_role_over_one_system_writes_there_and_nowhere_else(api: Any, key_of: Any, client_of: Any) -> None:
    mine = (await api.post("/systems", {"name": "mine"})).json()["id"]
    theirs = (await api.post("/systems", {"name": "theirs"})).json()["id"]
    deployments = {}
    for name, system_id in (("a", mine), ("b", theirs)):
        deployments[name] = (await api.post("/deployments", {"name": name, "slug": name})).json()["id"]
        await api.put(f"/systems/{system_id}/deployments/{deployments[name]}")
    client = client_of(await key_of("dev", "developer", scope_kind="system", scope_id=mine))
    base = f"/api/v1/workspaces/{api.workspace}"
    body = {"tag": "1", "name": "", "status": "ready"}
    assert (await client.post(f"{base}/deployments/{deployments['a']}/versions", json=body)).status_code == 200
    assert (await client.post(f"{base}/deployments/{deployments['b']}/versions", json=body)).status_code == 403
    assert (await client.get(f"{base}/deployments/{deployments['b']}")).status_code == 200
    assert (await client.put(f"{base}/systems/{mine}", json={"name": "still mine"})).status_code == 202
    assert (await client.put(f"{base}/systems/{theirs}", json={"name": "mine"})).status_code == 403


async def test_a_workspace_admin_makes_no_key_that_opens_other_workspaces(
    api: Any, key_of: Any, client_of: Any
) -> None:
    other = client_of(await key_of("olga"))
    made = await other.post("/api/v1/workspaces", json={"name": "Olga's", "slug": "olgas"})
    assert made.status_code == 201
    refused = await api.post("/keys", {"user": "olga", "role": "viewer"})
    assert refused.status_code == 400 and "other workspaces" in refused.json()["message"]
    assert (await api.post("/keys", {"user": "ada", "role": "admin"})).status_code == 201


async def test_workspaces_are_found_by_id_and_slug_and_renamed(api: Any) -> None:
    for text in (api.workspace, api.workspace.upper(), "shop"):
        found = await api.raw.get(f"/api/v1/workspaces/{text}")
        assert found.status_code == 200 and found.json()["id"] == api.workspace
    assert (await api.raw.get(f"/api/v1/workspaces/slug/{api.workspace}")).status_code == 404
    changed = await api.patch("", {"name": "Store", "slug": "store"})
    assert changed.status_code == 200 and (changed.json()["name"], changed.json()["slug"]) == ("Store", "store")
    assert (await api.raw.get("/api/v1/workspaces/slug/shop")).status_code == 404
    for body in ({"name": "ab"}, {"slug": "No Spaces"}, {"slug": "x" * 51}):
        assert (await api.patch("", body)).status_code == 400
    bad = await api.raw.post("/api/v1/workspaces", json={"name": "A name", "slug": str(uuid.uuid4())})
    assert bad.status_code == 400

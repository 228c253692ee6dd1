"""Are writes safe to send twice, and safe where two people edit?"""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from api.conformance import Conformance
from api.story import World
from interlock.store.retention import delete_expired
from interlock.web import safe_writes
from interlock.web.safe_writes import Things

POLICY = {"name": "gate", "rules": []}


async def stored(api: Any, path: str) -> int:
    return int((await api.get(path)).json()["total"])


def key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4())}


# --- two people edit -------------------------------------------------------------------------------------------------


async def thing(api: Any, kind: str) -> tuple[str, dict[str, Any]]:
    """(path, a body that PUT takes) of one thing of this kind."""
    bodies: dict[str, dict[str, Any]] = {
        "systems": {"name": "s"},
        "environments": {"name": "e"},
        "deployments": {"name": "d", "slug": "d"},
        "policies": POLICY,
        "job-agents": {"name": "a", "type": "http-pull"},
        "variable-sets": {"name": "v", "selector": "true"},
        "relationship-rules": {"name": "r", "reference": "vpc", "cel": "from.id == to.id"},
        "workflows": {"name": "w", "inputs": [], "jobAgents": []},
        "groups": {"members": ["ada"]},
    }
    body = bodies[kind]
    if kind in {"job-agents", "groups"}:
        path = f"/{kind}/{uuid.uuid4()}"
        assert (await api.put(path, body)).is_success
        return path, body
    made = await api.post(f"/{kind}", body)
    assert made.is_success, made.text
    return f"/{kind}/{made.json()['id']}", body


KINDS = [
    "systems",
    "environments",
    "deployments",
    "policies",
    "job-agents",
    "variable-sets",
    "relationship-rules",
    "workflows",
    "groups",
]


@pytest.mark.parametrize("kind", KINDS)
async def test_who_saw_an_older_state_writes_nothing(api: Any, counted: Any, kind: str) -> None:
    path, body = await thing(api, kind)
    seen = (await api.get(path)).headers["etag"]
    assert (await api.get(path)).headers["etag"] == seen, "nothing changed"
    changed = {"members": []} if kind == "groups" else {**body, "name": "by somebody else"}
    first = await api.put(path, changed, headers={"If-Match": seen})
    assert first.is_success, first.text
    before = await counted()
    for method in ("PUT", "DELETE"):
        late = await api.call(method, path, headers={"If-Match": seen}, **({"json": body} if method == "PUT" else {}))
        assert late.status_code == 412 and late.json()["code"] == "OUTDATED", late.text
    assert await counted() == before
    now = (await api.get(path)).headers["etag"]
    assert now != seen and late.json()["details"]["etag"] == now
    assert (await api.delete(path, headers={"If-Match": f'"other", {now}'})).is_success
    assert (await api.delete(path, headers={"If-Match": "*"})).status_code == 412, "it is gone"


async def test_of_two_who_edit_at_once_one_wins_and_the_other_hears_412(api: Any) -> None:
    path, _ = await thing(api, "policies")
    for turn in range(3):
        seen = (await api.get(path)).headers["etag"]
        answers = await asyncio.gather(
            *[api.put(path, {**POLICY, "name": f"{turn}-{who}"}, headers={"If-Match": seen}) for who in range(6)]
        )
        assert sorted(each.status_code for each in answers) == [202, *[412] * 5]


async def test_an_edit_without_a_condition_is_seen_by_one_with(api: Any) -> None:
    """The check and the write are one: an unconditional write between them cannot be lost."""
    path, _ = await thing(api, "environments")
    for turn in range(5):
        seen = (await api.get(path)).headers["etag"]
        plain, careful = await asyncio.gather(
            api.put(path, {"name": f"plain-{turn}"}),
            api.put(path, {"name": f"careful-{turn}"}, headers={"If-Match": seen}),
        )
        assert plain.status_code == 202 and careful.status_code in {202, 412}
        name = (await api.get(path)).json()["name"]
        assert name == f"plain-{turn}", "careful wrote before plain, or not at all"


async def test_only_what_is_not_there_yet_can_be_asked_for(api: Any) -> None:
    path = f"/systems/{uuid.uuid4()}"
    answers = await asyncio.gather(
        *[api.put(path, {"name": f"s{who}"}, headers={"If-None-Match": "*"}) for who in range(5)]
    )
    assert sorted(each.status_code for each in answers) == [202, 412, 412, 412, 412]
    assert {each.json()["code"] for each in answers if each.status_code == 412} == {"EXISTS"}


async def test_an_action_names_the_thing_it_acts_on(api: Any) -> None:
    made = (await api.post("/freezes", {"reason": "no"})).json()
    path = f"/freezes/{made['id']}"
    seen = (await api.get(path)).headers["etag"]
    assert (await api.post(f"{path}/extend", {"expiresAt": None}, headers={"If-Match": '"0"'})).status_code == 412
    later = {"expiresAt": "2099-01-01T00:00:00Z"}
    assert (await api.post(f"{path}/extend", later, headers={"If-Match": seen})).status_code == 200
    assert (await api.post(f"{path}/thaw", {}, headers={"If-Match": seen})).status_code == 412
    assert (await api.get(path)).json()["inForce"]


@pytest.mark.parametrize("text", ["", "abc", '"abc', 'W/"abc', '"a" "b"', "5"])
async def test_a_malformed_tag_is_no_condition_that_can_pass(api: Any, text: str) -> None:
    path, body = await thing(api, "systems")
    answer = await api.put(path, body, headers={"If-Match": text})
    assert answer.status_code == 400 and answer.json()["details"][0]["path"] == "If-Match"


async def test_a_weak_tag_never_matches(api: Any) -> None:
    path, body = await thing(api, "systems")
    seen = (await api.get(path)).headers["etag"]
    assert (await api.put(path, body, headers={"If-Match": f"W/{seen}"})).status_code == 412


async def test_in_a_set_of_writes_each_has_its_own_condition(api: Any) -> None:
    path, body = await thing(api, "systems")
    seen = (await api.get(path)).headers["etag"]
    one = {"method": "PUT", "path": path[1:], "body": {**body, "name": "new"}, "ifMatch": seen}
    assert (await api.post("/apply", {"requests": [one]})).status_code == 200
    late = await api.post("/apply", {"requests": [one]})
    assert late.status_code == 412 and "PUT systems/" in late.json()["message"], late.text


def test_things_are_what_one_path_shows_and_another_writes() -> None:
    things = Things.of(
        [
            ("GET", "/v1/a"),
            ("POST", "/v1/a"),
            ("GET", "/v1/a/{x}"),
            ("PUT", "/v1/a/{x}"),
            ("POST", "/v1/a/{x}/thaw"),
            ("POST", "/v1/a/{x}/b"),
            ("DELETE", "/v1/c/{x}"),
        ]
    )
    assert things.seen_at == {("PUT", "/v1/a/{x}"): "/v1/a/{x}", ("POST", "/v1/a/{x}/thaw"): "/v1/a/{x}"}


# --- the same request again ------------------------------------------------------------------------------------------


async def test_the_same_request_again_gets_the_same_answer_and_writes_nothing(api: Any, counted: Any) -> None:
    for path, body in (
        ("/policies", POLICY),
        ("/deployments", {"name": "d", "slug": "d"}),
        ("/freezes", {"reason": "no"}),
        ("/keys", {"user": "ci", "role": "developer"}),
        ("/variable-sets", {"name": "v", "selector": "true"}),
    ):
        mine = key()
        first = await api.post(path, body, headers=mine)
        assert first.is_success and "idempotency-replayed" not in first.headers, first.text
        before = await counted()
        again = await api.post(path, dict(reversed(body.items())), headers=mine)
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.headers["idempotency-replayed"] == "true"
        assert again.headers["content-type"] == first.headers["content-type"]
        assert await counted() == before
        other = await api.post(path, {**body, "name": "another"}, headers=mine)
        assert other.status_code == 422 and other.json()["code"] == "IDEMPOTENCY_KEY_REUSED"
        assert await counted() == before


async def test_the_same_request_at_the_same_moment_is_done_once(api: Any) -> None:
    for _ in range(3):
        mine, before = key(), await stored(api, "/systems")
        answers = await asyncio.gather(*[api.post("/systems", {"name": "s"}, headers=mine) for _ in range(8)])
        assert {each.status_code for each in answers} == {202}
        assert len({each.content for each in answers}) == 1, "one system, one answer"
        assert await stored(api, "/systems") == before + 1


async def test_a_refused_request_may_be_sent_again(api: Any) -> None:
    mine = key()
    assert (await api.post("/deployments", {"name": " "}, headers=mine)).status_code == 400
    made = await api.post("/deployments", {"name": "d", "slug": "d"}, headers=mine)
    assert made.status_code == 202
    taken = key()
    assert (await api.post("/deployments", {"name": "d", "slug": "d"}, headers=taken)).status_code == 409
    assert (await api.delete(f"/deployments/{made.json()['id']}")).status_code == 202
    assert (await api.post("/deployments", {"name": "d", "slug": "d"}, headers=taken)).status_code == 202


async def test_a_key_is_its_callers_own(api: Any, client_of: Any, key_of: Any) -> None:
    mine = key()
    path = f"/api/v1/workspaces/{api.workspace}/systems"
    first = await api.post("/systems", {"name": "s"}, headers=mine)
    bea = client_of(await key_of("bea", "admin"))
    hers = await bea.post(path, json={"name": "s"}, headers=mine)
    assert hers.status_code == 202 and hers.json()["id"] != first.json()["id"]


async def test_nothing_of_a_kept_answer_can_be_read_in_the_table(api: Any, store: Any) -> None:
    mine = key()
    made = (await api.post("/keys", {"user": "ci", "role": "developer"}, headers=mine)).json()
    async with store.read() as conn:
        row = await conn.fetchrow("SELECT * FROM kept_answer")
    text = repr([*row])
    assert made["key"] not in text and made["prefix"] not in text and mine["Idempotency-Key"] not in text


async def test_a_kept_answer_goes_after_its_time_and_the_key_can_be_used_again(api: Any, store: Any) -> None:
    mine = key()
    first = (await api.post("/systems", {"name": "s"}, headers=mine)).json()
    async with store.read() as conn:
        await conn.execute("UPDATE kept_answer SET until = until - interval '25 hours'")
    second = (await api.post("/systems", {"name": "other"}, headers=mine)).json()
    assert second["id"] != first["id"]
    async with store.read() as conn:
        await conn.execute("UPDATE kept_answer SET until = until - interval '25 hours'")
        await delete_expired(conn, blob_days=90, measurement_days=30)
        assert await conn.fetchval("SELECT count(*) FROM kept_answer") == 0


@pytest.mark.parametrize("text", ["short", "a" * 256, "with a space in it here"])
async def test_a_key_that_anybody_could_guess_is_refused(api: Any, text: str) -> None:
    answer = await api.post("/systems", {"name": "s"}, headers={"Idempotency-Key": text})
    assert answer.status_code == 400 and answer.json()["details"][0]["path"] == "Idempotency-Key"


async def test_a_refusal_on_record_stays_on_record_with_a_key(api: Any, store: Any) -> None:
    """A run that a freeze covers is refused, and told of in the ledger all the same."""
    world = await World(api).build(agent_type="http-pull", config={"pool": "a"}, rules=[])
    entry = {"name": "a", "ref": world.ids["agent"], "config": {}, "selector": "true"}
    made = (await api.post("/workflows", {"name": "w", "inputs": [], "jobAgents": [entry]})).json()["id"]
    await api.post("/freezes", {"reason": "no"})
    for number, headers in enumerate(({}, key()), 1):
        body = {"inputs": {"resourceSelector": "true"}}
        refused = await api.post(f"/workflows/{made}/runs", body, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (400, "WORKFLOW_RUN_ERROR"), refused.text
        async with store.read() as conn:
            assert await conn.fetchval("SELECT count(*) FROM workflow_run") == number
            assert await conn.fetchval("SELECT count(*) FROM kept_answer") == 0


async def test_the_document_names_these_headers_where_they_count(conformance: Conformance) -> None:
    paths = conformance.document["paths"]

    def headers(path: str, method: str) -> set[str]:
        listed = paths[f"/api/v1/workspaces/{{workspaceId}}{path}"][method].get("parameters", ())
        return {each["name"] for each in listed if each["in"] == "header"}

    assert headers("/policies", "post") == {"Idempotency-Key"}
    assert headers("/policies/{policyId}", "put") == {"If-Match", "If-None-Match"}
    assert headers("/policies/{policyId}", "delete") == {"If-Match"}
    assert headers("/freezes/{freezeId}/thaw", "post") == {"If-Match", "Idempotency-Key"}
    assert headers("/resources/search", "post") == set()
    assert safe_writes.KEY_MIN >= 16

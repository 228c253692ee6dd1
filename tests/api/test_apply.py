"""Many writes as one: all of them or none, each as its own route would have it."""

from __future__ import annotations

from typing import Any

from interlock.model.ids import new_id


def put(path: str, **body: Any) -> dict[str, Any]:
    return {"method": "PUT", "path": path, "body": body}


def shop(*, name: str = "staging") -> tuple[list[dict[str, Any]], str, str]:
    system, environment = new_id(), new_id()
    link = {"method": "PUT", "path": f"systems/{system}/environments/{environment}"}
    sent = [put(f"systems/{system}", name="shop"), put(f"environments/{environment}", name=name), link]
    return sent, system, environment


async def test_writes_all_and_later_requests_see_what_earlier_ones_wrote(api: Any, store: Any) -> None:
    sent, system, environment = shop()
    answer = await api.post("/apply", {"requests": sent})
    assert answer.status_code == 200, answer.text
    assert answer.json()["written"] is True
    assert [each["status"] for each in answer.json()["results"]] == [202, 202, 202]
    found = (await api.get(f"/systems/{system}")).json()
    assert [each["id"] for each in found["environments"]] == [environment]
    async with store.read() as conn:
        kinds = {row[0] for row in await conn.fetch("SELECT kind FROM ledger")}
    assert {"system.created", "environment.created"} <= kinds


async def test_writes_nothing_when_one_is_refused_and_tells_every_refusal(api: Any, counted: Any) -> None:
    sent, _, _ = shop()
    sent[1]["body"]["resourceSelector"] = "nonsense("
    sent.insert(0, {**put(f"policies/{new_id()}", name="p", rules=[{"anyWhim": {}}]), "at": "fleet.yaml:7"})
    before = await counted()
    answer = await api.post("/apply", {"requests": sent})
    assert answer.status_code == 400
    details = answer.json()["details"]["refusals"]
    assert [(each["request"], each["status"]) for each in details] == [(0, 400), (2, 400), (3, 404)]
    assert details[0]["at"] == "fleet.yaml:7"
    assert "rules[0].anyWhim" in details[0]["message"]
    assert "Nothing was written" in answer.json()["message"]
    assert await counted() == before


async def test_a_dry_run_judges_as_a_write_does_and_leaves_nothing(api: Any, counted: Any) -> None:
    sent, _, _ = shop()
    before = await counted()
    answer = await api.post("/apply", {"requests": sent, "dryRun": True})
    assert (answer.status_code, answer.json()["written"]) == (200, False)
    twice = await api.post(
        "/apply", {"requests": [*sent, put(f"environments/{new_id()}", name="staging")], "dryRun": True}
    )
    assert (twice.status_code, twice.json()["code"]) == (409, "DUPLICATE_NAME")
    assert await counted() == before


async def test_what_happens_is_nothing_to_apply(api: Any) -> None:
    for path in ("jobs/x/cancel", "apply", "keys", "../other/systems", ""):
        answer = await api.post("/apply", {"requests": [{"method": "POST", "path": path, "body": {}}]})
        assert answer.status_code == 400, path


async def test_who_may_only_read_applies_nothing(api: Any, key_of: Any, client_of: Any, counted: Any) -> None:
    viewer = client_of(await key_of("vic", "viewer"))
    sent, _, _ = shop()
    before = await counted()
    answer = await viewer.post(f"/api/v1/workspaces/{api.workspace}/apply", json={"requests": sent})
    assert answer.status_code == 403
    assert await counted() == before
    stranger = client_of(await key_of("sam"))
    answer = await stranger.post(f"/api/v1/workspaces/{api.workspace}/apply", json={"requests": sent})
    assert answer.status_code == 404


async def test_encoded_slashes_reach_the_object_and_deployments_are_woken(api: Any) -> None:
    sent = [put("resources/identifier/a%2Fb%3Fc", name="a", kind="Host", version="v1")]
    answer = await api.post("/apply", {"requests": sent})
    assert answer.status_code == 200, answer.text
    assert (await api.get("/resources/identifier/a%2Fb%3Fc")).json()["identifier"] == "a/b?c"


async def test_a_request_within_costs_what_it_writes(api: Any, store: Any) -> None:
    """No more statements than alone, and one look at workspace and roles for all."""

    def host(number: int) -> dict[str, Any]:
        return put(f"resources/identifier/h{number}", name="a", kind="Host", version="v1")

    async def statements(hosts: range) -> int:
        async with store.counting() as count:
            answer = await api.post("/apply", {"requests": [host(number) for number in hosts]})
        assert answer.status_code == 200
        return len(count)

    few, many = await statements(range(2)), await statements(range(10, 22))
    assert (many - few) / 10 <= 13, (few, many)

"""Metrics that wait for others: what an outside system posts counts once, and who does not answer holds up nobody."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.story import World, until, working
from api.test_variables import Shelf
from interlock.outside.loopback import LoopbackServer, serving
from interlock.settings import Settings
from interlock.store.verifications import list_verifications

HUSH = "s3cr3t-of-the-probe"
TESTS = {"intervalSeconds": 0.1, "successCondition": "result.json.failed == 0", "provider": {"type": "webhook"}}


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    return Settings(data=tmp_path, allow_private_addresses=True, metric_slots=6)


@pytest.fixture
async def tool() -> AsyncIterator[LoopbackServer]:
    server = LoopbackServer()
    server.on("GET", "/ok", lambda call: (200, {"you": [call.headers.get("authorization"), call.query]}))
    async with serving(server):
        yield server


async def verified(store: Any, job_id: str) -> dict[str, Any]:
    """metric -> how it stands, of a job's verification; empty before there is one."""
    async with store.read() as conn:
        found = await list_verifications(conn, [job_id])
    return {metric["name"]: metric for one in found for metric in one.metrics}


async def jobs_of(api: Any, tag: str, *, environment: str = "production") -> list[dict[str, Any]]:
    listed = (await api.get("/jobs", params={"version": tag})).json()["items"]
    return [item for item in listed if item["environment"]["name"] == environment]


async def test_what_is_posted_is_the_measurement_once_and_nothing_is_lost(
    api: Any, store: Any, settings: Settings
) -> None:
    metrics = [{**TESTS, "name": "smoke tests", "count": 2}]
    world = await World(api).build(
        agent_type="test-runner", config={"delaySeconds": 0}, rules=[{"verification": {"metrics": metrics}}]
    )

    async def post(job_id: str, name: str, failed: Any, metric: str = "smoke%20tests", **more: Any) -> Any:
        body = {"id": name, "result": {"failed": failed}, **more}
        return await api.post(f"/jobs/{job_id}/metrics/{metric}/results", body)

    async def taken(job: Any) -> list[str]:
        metric = (await verified(store, job["id"])).get("smoke tests", {"measurements": ()})
        return [one["result"]["id"] for one in metric["measurements"]]

    async def ended(job: Any, state: str) -> bool:
        return bool((await verified(store, job["id"])).get("smoke tests", {}).get("state") == state)

    async with working(store, settings):
        await world.version("1")
        one, other = await until(lambda: jobs_of(api, "1"), "no jobs")
        early = await post(one["id"], "run-1", 0)
        assert early.status_code == 202, early.text
        assert "The result is kept" in early.json()["message"]
        again = await post(one["id"], "run-1", 9)
        assert again.json()["message"] == "The result run-1 was posted before: it counts once."
        await until(lambda: taken(one), "the result that came early was not taken")
        for status, answer in (
            (404, await post(one["id"], "run-2", 0, metric="nope")),
            (404, await post(world.ids["agent"], "run-2", 0)),
            (400, await post(one["id"], "", 0)),
            (400, await post(one["id"], "run-2", 0, more=1)),
            (400, await post(one["id"], "run-2", "x" * 70_000)),
            (400, await post(one["id"], "run-2", 0, result=None)),
        ):
            assert answer.status_code == status, answer.text
        waits = await post(one["id"], "run-2", 0)
        assert (
            waits.json()["message"] == "The result is kept, and smoke tests takes it when its next measurement is due."
        )
        await until(lambda: ended(one, "passed"), "two results that are good did not pass")
        late = await post(one["id"], "run-3", 1)
        assert late.json()["message"] == "The result is kept and changes nothing: smoke tests is over."
        assert await taken(one) == ["run-1", "run-2"]
        assert await taken(other) == []
        await post(other["id"], "run-1", 1)
        await until(lambda: ended(other, "failed"), "a result that is bad did not fail the metric")
        listed = (await api.get(f"/jobs/{one['id']}/results")).json()
        assert [(item["id"], item["taken"]) for item in listed["items"]] == [
            ("run-1", True),
            ("run-2", True),
            ("run-3", False),
        ]
        assert (listed["total"], listed["items"][2]["result"], listed["items"][2]["by"]) == (3, {"failed": 1}, "ada")
    kinds = [item["kind"] for item in await world.ledger()]
    assert kinds.count("verification.posted") == 4


async def test_tools_that_hang_hold_up_no_other_metric_and_a_filled_secret_is_not_kept(
    api: Any, store: Any, settings: Settings, tool: LoopbackServer
) -> None:
    hanging = LoopbackServer()
    for _ in range(8):
        hanging.next_is(wait_s=60.0)
    async with serving(hanging):
        ok = {"intervalSeconds": 0.1, "count": 3, "successCondition": "result.ok"}
        slow = [
            {**ok, "name": f"hangs {number}", "provider": {"type": "http", "url": f"{hanging.url}/x?{number}"}}
            for number in range(8)
        ]
        header = '{{ printf "Basic %s" (printf "probe:%s" .variables.password | b64enc) }}'
        asked = {"url": f"{tool.url}/ok?as={{{{ variables.password }}}}", "headers": {"Authorization": header}}
        quick = {**ok, "name": "answers", "provider": {"type": "http", **asked}}
        rules = [{"verification": {"metrics": [*slow, quick]}}]
        world = await World(api).build(agent_type="test-runner", config={"delaySeconds": 0}, rules=rules)
        shelf = Shelf(api, world.ids["deployment"])
        await shelf.declare("password")
        await shelf.value("password", "default", HUSH, sensitive=True)
        async with working(store, settings):
            await world.version("1")
            first, _ = await until(lambda: jobs_of(api, "1"), "no job")

            async def answered() -> dict[str, Any]:
                found = await verified(store, first["id"])
                return found if found.get("answers", {}).get("state") == "passed" else {}

            found = await until(answered, "a metric waited for tools that hang")
            assert not any(found[f"hangs {number}"]["measurements"] for number in range(8))
            assert 1 <= len(hanging.calls) <= settings.metric_slots // 3
            hanging.let_go.set()
    basic = base64.b64encode(f"probe:{HUSH}".encode()).decode()
    assert (tool.calls[0].headers["authorization"], tool.calls[0].query["as"]) == (f"Basic {basic}", HUSH)
    shown = repr(found["answers"]["measurements"])
    assert "••••" in shown
    assert HUSH not in shown and basic not in shown

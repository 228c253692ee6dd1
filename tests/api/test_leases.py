"""Leases over REST: a claim that asks for one, heartbeats, fences, and clients that know of none of it."""

from __future__ import annotations

import asyncio
from typing import Any

from api.story import World, until


async def test_a_claim_with_a_lease_is_kept_by_heartbeats_and_reported_with_its_fence(pulled: Any, api: Any) -> None:
    queue = f"/job-agents/{pulled.ids['agent']}/jobs"
    job_id = (await api.get(queue)).json()["items"][0]["id"]
    claimed = await api.post(f"{queue}/{job_id}/claim", {"leaseSeconds": 60, "holder": "west-1/4711"})
    assert claimed.status_code == 200, claimed.text
    job = claimed.json()
    assert job["attempt"] == 1 and job["heldBy"] == "west-1/4711" and job["leasedUntil"] > job["heardAt"]

    why = (await api.get(f"/jobs/{job_id}/explain")).json()["sentences"]
    assert any(said.startswith("west-1/4711 claimed it (attempt 1) and has it until 20") for said in why), why
    beat = {
        "attempt": 1,
        "message": "half done",
        "output": "50 %",
        "links": {"Run": "https://ci/7"},
        "leaseSeconds": 90,
    }
    heard = await api.post(f"/jobs/{job_id}/heartbeat", beat)
    assert heard.status_code == 200, heard.text
    answer = heard.json()
    assert answer["cancelRequested"] is False and answer["leaseSeconds"] == 90 and answer["attempt"] == 1
    assert answer["leasedUntil"] > job["leasedUntil"] and answer["status"] == "inProgress"
    shown = (await api.get(f"/jobs/{job_id}")).json()
    assert (shown["message"], shown["output"], shown["links"]) == ("half done", "50 %", {"Run": "https://ci/7"})

    asked = await api.post(f"/jobs/{job_id}/cancel", {"reason": "enough"})
    assert asked.status_code == 202, asked.text
    heard = (await api.post(f"/jobs/{job_id}/heartbeat", {"attempt": 1})).json()
    assert heard["cancelRequested"] is True and heard["cancelReason"] == "enough"

    wrong = await api.put(f"/jobs/{job_id}/status", {"status": "successful", "attempt": 2})
    assert wrong.status_code == 409 and wrong.json()["code"] == "FENCED"
    brought = {"applied": ["Deployment/shop/api"], "artifacts": ["shop@sha256:" + "0" * 64], "externalId": "run-7"}
    done = await api.put(f"/jobs/{job_id}/status", {"status": "successful", "attempt": 1, **brought})
    assert done.status_code == 202, done.text
    shown = (await api.get(f"/jobs/{job_id}")).json()
    assert {key: shown[key] for key in brought} == brought and "leasedUntil" not in shown
    over = await api.post(f"/jobs/{job_id}/heartbeat", {"attempt": 1})
    assert over.status_code == 409 and over.json()["code"] == "JOB_OVER"

    async def noted() -> bool:
        told = (await api.get("/ledger", params={"kind": "job.noted"})).json()["items"]
        return [entry["body"]["heard"] for entry in told] == ["successful", "heartbeat"]

    await until(noted, "what was refused stands in the ledger")


async def test_what_is_no_lease_and_no_attempt_is_refused(pulled: Any, api: Any) -> None:
    queue = f"/job-agents/{pulled.ids['agent']}/jobs"
    job_id = (await api.get(queue)).json()["items"][0]["id"]
    for path, body, field in (
        (f"{queue}/{job_id}/claim", {"leaseSeconds": 0}, "leaseSeconds"),
        (f"{queue}/{job_id}/claim", {"leaseSeconds": "long"}, "leaseSeconds"),
        (f"{queue}/{job_id}/claim", {"holder": "x" * 201}, "holder"),
        (f"/jobs/{job_id}/heartbeat", {}, "attempt"),
        (f"/jobs/{job_id}/heartbeat", {"attempt": 0}, "attempt"),
        (f"/jobs/{job_id}/heartbeat", {"attempt": 1, "status": "successful"}, "status"),
    ):
        answer = await api.post(path, body)
        assert answer.status_code == 400 and field in answer.text, (path, body, answer.text)
    assert (await api.post(f"/jobs/{job_id}/heartbeat", {"attempt": 1})).status_code == 409, "nobody has it"
    agent = f"/job-agents/{pulled.ids['agent']}"
    for key, value in (("leaseSeconds", 0), ("leaseSeconds", True), ("onLeaseEnd", "ask"), ("attemptsMax", 2.5)):
        body = {"name": "agent", "type": "http-pull", "config": {key: value}}
        refused = await api.put(agent, body)
        assert refused.status_code == 400 and f"config.{key}" in refused.text, refused.text
    claimed = await api.post(f"{queue}/{job_id}/claim")
    assert claimed.status_code == 200 and "leasedUntil" not in claimed.json() and claimed.json()["heldBy"] == "ada"


async def test_a_list_may_wait_for_a_job(api: Any, workers: None) -> None:
    world = await World(api).build(agent_type="http-pull", config={"pool": "a"}, rules=[])
    queue = f"/job-agents/{world.ids['agent']}/jobs"
    ask = {"status": "queued", "waitSeconds": 30}
    nothing = await api.get(queue, params={**ask, "waitSeconds": 0.1})
    assert nothing.status_code == 200 and nothing.json()["items"] == []
    assert (await api.get(queue, params={**ask, "waitSeconds": 3600})).status_code == 400
    waiting = [asyncio.create_task(api.get(queue, params=ask)) for _ in range(3)]
    await world.version("1")
    pages = [(await one).json()["items"] for one in waiting]
    assert all(pages), "somebody was told of nothing"

"""May people do a job over REST: read what it asks, take it, complete it with evidence, reject it, comment it?"""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from api.conftest import OURS, Api
from api.story import World, until
from interlock.access import Role
from interlock.store.principals import save_key, save_member, save_principal
from interlock.store.tx import Store

CONFIG = {
    "instructions": "Send {{ .resource.name }} to {{ .version.tag }}.",
    "group": "duty",
    "dueInMinutes": 60,
    "evidence": [
        {"name": "ticket", "type": "url", "required": True},
        {"name": "rate", "type": "number", "minimum": 0, "maximum": 1},
    ],
}
EVIDENCE = {"ticket": "https://tickets.example.com/7", "rate": 0.25}


@pytest.fixture
async def person(store: Store, workspace_id: str, client_of: Any) -> Any:
    """`await person("bob", Role.DEVELOPER)`: a client with a key of theirs, and their name."""

    async def make(name: str, role: Role) -> tuple[Api, str]:
        name = f"{name}-{uuid.uuid4().hex[:6]}"
        async with store.tx(actor=OURS, cause="test", workspace_id=workspace_id) as tx:
            principal_id = await save_principal(tx, name)
            await save_member(tx, workspace_id, principal_id=principal_id, role=role)
            key = await save_key(tx, principal_id)
        return Api(client_of(key), workspace_id), name

    return make


@pytest.fixture
async def asked(api: Any, workers: None, person: Any) -> tuple[World, Api]:
    """Three tasks for the group `duty`, in which is Bob alone."""
    bob, name = await person("bob", Role.APPROVER)
    assert (await api.put("/groups/duty", {"members": [name]})).is_success
    world = await World(api).build(agent_type="manual", config=CONFIG, rules=[])
    await world.version("1")

    async def waiting() -> bool:
        return bool((await bob.get("/tasks")).json()["total"] == 3)

    await until(waiting, "nobody was asked")
    return world, bob


async def test_a_person_reads_takes_comments_and_completes(asked: Any, api: Any) -> None:
    world, bob = asked
    listed = (await bob.get("/tasks?limit=2")).json()
    assert (len(listed["items"]), listed["total"]) == (2, 3)
    task = listed["items"][0]
    path = f"/jobs/{task['jobId']}"
    assert task["instructions"] == f"Send {task['resource']} to 1."
    assert (task["mine"], task["open"], task["who"], task["status"]) == (True, True, "the group duty", "queued")
    assert task["evidence"][1]["wanted"] == "a number from 0 to 1"
    assert (await api.get("/tasks")).json()["total"] == 0, "it does not ask the admin"
    assert (await api.get("/tasks?mine=false")).json()["total"] == 3

    taken = (await bob.post(f"{path}/take")).json()
    assert taken["takenBy"].startswith("bob")
    assert (await bob.post(f"{path}/take")).status_code == 409
    assert (await bob.post(f"{path}/comments", {"text": "I begin."})).status_code == 201
    assert (await bob.post(f"{path}/comments", {"text": ""})).status_code == 400

    wrong = await bob.post(f"{path}/complete", {"evidence": {"rate": 2, "tickets": "x"}})
    assert wrong.status_code == 400
    assert {each["path"] for each in wrong.json()["details"]} == {
        "evidence.ticket",
        "evidence.rate",
        "evidence.tickets",
    }
    done = (await bob.post(f"{path}/complete", {"evidence": EVIDENCE, "comment": "quiet"})).json()
    assert (done["answer"], done["status"], done["given"]) == ("completed", "successful", EVIDENCE)
    assert [each["text"] for each in done["comments"]] == ["I begin."]
    again = await bob.post(f"{path}/reject", {"reason": "no"})
    assert (again.status_code, again.json()["code"]) == (409, "JOB_OVER")
    assert "completed it at" in again.json()["message"]

    async def moved() -> bool:
        return (await world.running())[task["resource"]] == "1"

    await until(moved, "the target did not move")
    answered = await world.ledger(kind="job.answered")
    assert answered[0]["body"]["evidence"] == EVIDENCE
    assert answered[0]["actor"]["name"].startswith("bob")
    assert (await bob.get("/tasks?state=over")).json()["total"] == 1


async def test_another_persons_answer_is_refused_and_says_whom_it_asks(asked: Any, api: Any, person: Any) -> None:
    _, bob = asked
    path = f"/jobs/{(await bob.get('/tasks')).json()['items'][0]['jobId']}"
    eve, _ = await person("eve", Role.ADMIN)
    viewer, _ = await person("vic", Role.VIEWER)
    for who in (api, eve):
        for step, body in (("complete", {"evidence": EVIDENCE}), ("reject", {"reason": "no"}), ("take", {})):
            refused = await who.post(f"{path}/{step}", body)
            assert (refused.status_code, refused.json()["code"]) == (403, "NOT_ASKED"), step
            assert "asks the group duty" in refused.json()["message"]
    assert "task:answer" in (await viewer.post(f"{path}/comments", {"text": "hello"})).json()["message"]
    assert (await api.post(f"{path}/comments", {"text": "Anybody may help."})).status_code == 201
    assert (await bob.get(f"{path}/task")).json()["open"]


async def test_two_answers_at_once_make_one_ending(asked: Any) -> None:
    world, bob = asked
    path = f"/jobs/{(await bob.get('/tasks')).json()['items'][0]['jobId']}"
    answers = await asyncio.gather(
        *(bob.post(f"{path}/complete", {"evidence": EVIDENCE}) for _ in range(3)),
        *(bob.post(f"{path}/reject", {"reason": "no"}) for _ in range(3)),
    )
    assert sorted(each.status_code for each in answers) == [200, *[409] * 5]
    assert len(await world.ledger(kind="job.answered")) == 1


async def test_a_report_or_a_claim_of_a_program_does_not_end_a_task(asked: Any, api: Any) -> None:
    world, bob = asked
    job_id = (await bob.get("/tasks")).json()["items"][0]["jobId"]
    put = await api.put(f"/jobs/{job_id}/status", {"status": "successful"})
    assert (put.status_code, put.json()["code"]) == (409, "TASK")
    claim = await api.post(f"/job-agents/{world.ids['agent']}/jobs/{job_id}/claim")
    assert (claim.status_code, claim.json()["code"]) == (409, "TASK")
    assert (await bob.get(f"/jobs/{job_id}/task")).json()["status"] == "queued"
    assert (await bob.post(f"/jobs/{job_id}/take")).is_success
    lives = await api.post(f"/jobs/{job_id}/heartbeat", {"attempt": 1, "leaseSeconds": 10})
    assert (lives.status_code, lives.json()["code"]) == (409, "TASK"), "no lease could end it behind its person's back"


async def test_a_job_of_another_agent_has_no_task(pulled: Any, api: Any) -> None:
    job_id = (await api.get("/jobs")).json()["items"][0]["id"]
    assert (await api.get(f"/jobs/{job_id}/task")).status_code == 404
    for step, body in (("complete", {}), ("take", {}), ("reject", {"reason": "no"}), ("comments", {"text": "a"})):
        assert (await api.post(f"/jobs/{job_id}/{step}", body)).status_code == 404, step


async def test_a_run_of_a_workflow_asks_people_too(api: Any, workers: None, person: Any) -> None:
    bob, name = await person("bob", Role.DEVELOPER)
    agent = str(uuid.uuid4())
    config = {"instructions": "Turn {{ .workflow.name }} by hand.", "assignee": name}
    assert (await api.put(f"/job-agents/{agent}", {"name": "hands", "type": "manual", "config": config})).is_success
    body = {
        "name": "Crank",
        "inputs": [],
        "jobAgents": [{"name": "turn", "ref": agent, "config": {}, "selector": "true"}],
    }
    workflow = (await api.post("/workflows", body)).json()
    run = await api.post(f"/workflows/{workflow['id']}/runs", {"inputs": {}})
    assert run.is_success, run.text

    async def waiting() -> Any:
        return (await bob.get("/tasks")).json()["items"]

    (task,) = await until(waiting, "nobody was asked")
    assert (task["workflow"], task["who"], task["instructions"]) == ("Crank", name, "Turn Crank by hand.")
    frozen = await api.post("/freezes", {"reason": "audit"})
    assert frozen.is_success

    async def taken_back() -> bool:
        return not (await bob.get(f"/jobs/{task['jobId']}/task")).json()["open"]

    await until(taken_back, "the freeze did not take it back")
    late = await bob.post(f"/jobs/{task['jobId']}/complete", {})
    assert (late.status_code, late.json()["code"]) == (409, "JOB_OVER")

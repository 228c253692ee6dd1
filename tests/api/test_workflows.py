"""Does a workflow come back as it was written, and is a run of it decided, recorded and handed over like every job?"""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from api.story import World, until
from interlock.model.event import Actor
from interlock.store.freezes import set_freeze
from interlock.store.principals import find_principal_by_name
from interlock.store.tx import Store

INPUTS: list[dict[str, Any]] = [
    {"key": "reason", "type": "string", "default": "routine"},
    {"key": "depth", "type": "number"},
    {"key": "hosts", "type": "array", "selector": {"entityType": "resource"}},
]


def body(agent: str, **more: Any) -> dict[str, Any]:
    entry = {
        "name": "vacuum",
        "ref": agent,
        "config": {"steps": {"one": 1}},
        "selector": "jobAgent.type == 'http-pull'",
    }
    return {"name": "Vacuum the DB!", "inputs": INPUTS, "jobAgents": [entry], **more}


@pytest.fixture
async def world(api: Any, workers: None) -> World:
    return await World(api).build(agent_type="http-pull", config={"pool": "a", "steps": {"two": 2}}, rules=[])


async def test_a_workflow_comes_back_as_it_was_written(api: Any) -> None:
    agent = str(uuid.uuid4())
    made = await api.post("/workflows", body(agent))
    assert made.status_code == 201
    workflow = made.json()
    assert workflow == {"id": workflow["id"], "slug": "vacuum-the-db", **body(agent)}
    assert (await api.get(f"/workflows/{workflow['id']}")).json() == workflow
    assert (await api.get("/workflows/slug/vacuum-the-db")).json() == workflow
    listed = (await api.get("/workflows")).json()
    assert listed == {"items": [workflow], "total": 1, "limit": 50, "offset": 0}
    taken = await api.post("/workflows", body(agent))
    assert (taken.status_code, taken.json()["code"]) == (409, "DUPLICATE_SLUG")
    assert taken.json()["details"] == {"slug": "vacuum-the-db", "existingWorkflowId": workflow["id"]}
    changed = await api.put(f"/workflows/{workflow['id']}", body(agent, name="Other", inputs=[]))
    assert (changed.status_code, changed.json()["slug"], changed.json()["name"]) == (202, "vacuum-the-db", "Other")
    other = (await api.post("/workflows", body(agent, name="Third"))).json()
    clash = await api.put(f"/workflows/{other['id']}", body(agent, slug="vacuum-the-db"))
    assert (clash.status_code, clash.json()["details"]["existingWorkflowId"]) == (409, workflow["id"])
    gone = await api.delete(f"/workflows/{workflow['id']}")
    assert (gone.status_code, gone.json()) == (202, changed.json())
    assert (await api.get(f"/workflows/{workflow['id']}")).status_code == 404
    assert (await api.delete(f"/workflows/{workflow['id']}")).status_code == 404
    assert (await api.put(f"/workflows/{workflow['id']}", body(agent))).status_code == 404
    assert (await api.post("/workflows", body(agent))).status_code == 201, "its slug is free again"


async def test_a_secret_of_an_entry_is_read_back_by_who_may_write_it_alone(
    api: Any, world: World, key_of: Any, client_of: Any
) -> None:
    agent = world.ids["agent"]
    entry = {"name": "a", "ref": agent, "config": {"token": "hunter22"}, "selector": "true"}
    made = (await api.post("/workflows", body(agent, jobAgents=[entry]))).json()
    assert made["jobAgents"] == [entry] == (await api.get(f"/workflows/{made['id']}")).json()["jobAgents"]
    viewer = client_of(await key_of("vic", "viewer"))
    seen = (await viewer.get(f"/api/v1/workspaces/{api.workspace}/workflows/{made['id']}")).json()
    assert seen["jobAgents"][0]["config"]["token"].startswith("••••")
    run = (await api.post(f"/workflows/{made['id']}/runs", {"inputs": {}})).json()
    path = f"/job-agents/{agent}/jobs/{run['jobs'][0]['jobId']}/claim"

    async def claimed() -> Any:
        answer = await api.post(path)
        return answer.json() if answer.status_code == 200 else None

    job = await until(claimed, "the job was not to be had")
    assert job["dispatchContext"]["jobAgent"]["config"]["token"] == "hunter22"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"jobAgents": [{"name": "a", "ref": "x", "config": {}, "selector": "((( not valid cel"}]}, "INVALID_CEL"),
        ({"slug": "Not A Slug"}, "INVALID_SLUG"),
        ({"slug": "a--b"}, "INVALID_SLUG"),
        ({"name": "!!!"}, "INVALID_SLUG"),
        ({"inputs": [{"key": "a", "type": "date"}]}, "VALIDATION_ERROR"),
        ({"inputs": [{"key": "a", "type": "string", "default": 1}]}, "VALIDATION_ERROR"),
        ({"inputs": [{"key": "a", "type": "string"}, {"key": "a", "type": "number"}]}, "VALIDATION_ERROR"),
        ({"inputs": None}, "VALIDATION_ERROR"),
        ({"jobAgents": [{"name": "a"}]}, "VALIDATION_ERROR"),
    ],
)
async def test_a_workflow_that_no_run_could_use_is_refused(api: Any, wrong: dict[str, Any], code: str) -> None:
    refused = await api.post("/workflows", body(str(uuid.uuid4())) | wrong)
    assert (refused.status_code, refused.json()["code"]) == (400, code), refused.text


async def test_a_run_makes_one_job_for_each_resource_and_agent(api: Any, world: World) -> None:
    agent = world.ids["agent"]
    workflow = (await api.post("/workflows", body(agent))).json()
    started = await api.post(
        "/workflows/slug/vacuum-the-db/runs",
        {"inputs": {"depth": 3, "resourceSelector": "resource.metadata['env'] == 'production'"}},
    )
    assert started.status_code == 201, started.text
    run = started.json()
    assert run["workflowId"] == workflow["id"]
    assert run["inputs"] == {
        "depth": 3,
        "reason": "routine",
        "resourceSelector": "resource.metadata['env'] == 'production'",
    }
    assert [job["jobAgentId"] for job in run["jobs"]] == [agent, agent]
    path = f"/job-agents/{agent}/jobs?status=queued&includeDispatchContext=true"

    async def queued() -> Any:
        listed = (await api.get(path)).json()
        return listed if listed["total"] == 2 else None

    offered = await until(queued, "the jobs were not offered")
    assert {job["id"] for job in offered["items"]} == {job["jobId"] for job in run["jobs"]}
    job = (await api.get(f"/jobs/{run['jobs'][0]['jobId']}")).json()
    assert (job["releaseId"], job["jobAgentId"], job["workflowRunId"]) == ("", agent, run["id"])
    context = job["dispatchContext"]
    assert context["resource"]["identifier"] in {"p-1", "p-2"} and "release" not in context
    assert context["inputs"] == run["inputs"] and context["workflow"]["id"] == workflow["id"]
    assert context["jobAgent"]["config"] == {"pool": "a", "steps": {"one": 1, "two": 2}} == job["jobAgentConfig"]
    assert context["workflowJob"]["index"] == 0 and context["workflowRun"]["id"] == run["id"]

    claimed = await api.post(f"/job-agents/{agent}/jobs/{job['id']}/claim")
    assert (claimed.status_code, claimed.json()["status"]) == (200, "inProgress")
    assert (await api.post(f"/job-agents/{agent}/jobs/{job['id']}/claim")).status_code == 409
    done = await api.put(f"/jobs/{job['id']}/status", {"status": "successful"})
    assert done.status_code == 202
    ended = (await api.get(f"/jobs/{job['id']}")).json()
    assert ended["status"] == "successful" and ended["completedAt"]
    listed = (await api.get("/jobs")).json()
    assert {item["job"]["id"] for item in listed["items"]} == {each["jobId"] for each in run["jobs"]}

    async def told() -> Any:
        kinds = [event["kind"] for event in await world.ledger(subject=f"job:{job['id']}")]
        return kinds if len(kinds) == 6 else None

    kinds = await until(told, "the ledger lacks something")
    assert kinds == ["job.created", "job.status_changed", "job.claimed", "job.handed_over"] + ["job.status_changed"] * 2
    explained = (await api.get(f"/jobs/{job['id']}/explain")).json()
    assert explained["decision"]["id"] == run["decisionId"] and explained["decision"]["outcome"] == "pass"
    assert "Vacuum the DB!" in explained["sentences"][0]
    replayed = await api.get(f"/decisions/{run['decisionId']}/replay")
    assert replayed.status_code == 404 and "workflow" in replayed.json()["message"]


async def test_without_a_resource_there_is_one_pass(api: Any, world: World) -> None:
    agent = world.ids["agent"]
    entries = [
        {"name": "any", "ref": agent, "config": {}, "selector": "true"},
        {"name": "hosts", "ref": agent, "config": {}, "selector": "resource.kind == 'Host'"},
        {"name": "tagged", "ref": agent, "config": {}, "selector": "resource.metadata['a'] == 'b'"},
    ]
    workflow = (await api.post("/workflows", body(agent, jobAgents=entries))).json()
    run = await api.post(f"/workflows/{workflow['id']}/runs", {"inputs": {}})
    assert run.status_code == 201 and len(run.json()["jobs"]) == 1
    job = (await api.get(f"/jobs/{run.json()['jobs'][0]['jobId']}")).json()
    assert job["dispatchContext"]["workflowJob"]["index"] == 0 and "resource" not in job["dispatchContext"]


async def test_a_run_that_could_never_start_says_why(api: Any, world: World) -> None:
    workflow = (await api.post("/workflows", body(str(uuid.uuid4())))).json()
    runs = f"/workflows/{workflow['id']}/runs"
    for inputs in ({}, {"resourceSelector": "((( not valid cel"}, {"depth": "deep"}):
        refused = await api.post(runs, {"inputs": inputs})
        assert (refused.status_code, refused.json()["code"]) == (400, "WORKFLOW_RUN_ERROR"), refused.text
    assert (await api.post(runs, {"inputs": None})).status_code == 400
    assert (await api.post(f"/workflows/{uuid.uuid4()}/runs", {"inputs": {}})).status_code == 404
    assert (await api.post("/workflows/slug/nobody/runs", {"inputs": {}})).status_code == 404
    assert (await api.post("/workflows/not-an-id/runs", {"inputs": {}})).status_code == 404


async def test_a_freeze_that_covers_a_run_refuses_it_and_the_ledger_has_the_decision(api: Any, world: World) -> None:
    workflow = (await api.post("/workflows", body(world.ids["agent"]))).json()
    runs = f"/workflows/{workflow['id']}/runs"
    production = {"inputs": {"resourceSelector": "resource.metadata['env'] == 'production'"}}
    staging = {"inputs": {"resourceSelector": "resource.metadata['env'] == 'staging'"}}
    scope = {"kind": "environment", "id": world.ids["production"]}
    frozen = (await api.post("/freezes", {"reason": "sev-1", "scope": scope})).json()

    refused = await api.post(runs, production)
    assert (refused.status_code, refused.json()["code"]) == (400, "WORKFLOW_RUN_ERROR")
    details = refused.json()["details"]
    assert details["freezes"] == [frozen["id"]] and "sev-1" in refused.json()["message"]

    async def recorded() -> Any:
        return await world.ledger(subject=f"workflow_run:{details['id']}")

    (told,) = await until(recorded, "the ledger has no entry")
    assert (told["kind"], told["decisionId"]) == ("workflow_run.refused", details["decisionId"])
    assert (await api.get("/jobs")).json()["total"] == 0, "half a run is not what was asked for"
    assert (await api.post(runs, staging)).status_code == 201, "the freeze is about another environment"

    await api.post(f"/freezes/{frozen['id']}/thaw", {"reason": "over"})
    narrow = {"reason": "p-1 only", "selector": "resource.identifier == 'p-1'"}
    assert (await api.post("/freezes", narrow)).status_code == 201
    assert (await api.post(runs, production)).status_code == 400
    only = {"inputs": {"resourceSelector": "resource.identifier == 'p-2'"}}
    assert (await api.post(runs, only)).status_code == 201


async def test_a_freeze_takes_back_what_waits_and_lets_nobody_claim_it(api: Any, world: World) -> None:
    agent = world.ids["agent"]
    workflow = (await api.post("/workflows", body(agent))).json()
    run = (await api.post(f"/workflows/{workflow['id']}/runs", {"inputs": {}})).json()
    job_id = run["jobs"][0]["jobId"]

    async def status() -> str:
        return str((await api.get(f"/jobs/{job_id}")).json()["status"])

    async def queued() -> bool:
        return await status() == "queued"

    await until(queued, "the job was not offered")
    assert (await api.post("/freezes", {"reason": "stop"})).status_code == 201
    assert (await api.post(f"/job-agents/{agent}/jobs/{job_id}/claim")).status_code == 409, "it holds from its commit"

    async def skipped() -> bool:
        return await status() == "skipped"

    await until(skipped, "the job was not taken back")
    assert "stop" in (await api.get(f"/jobs/{job_id}")).json()["message"]

    async def withdrawn() -> bool:
        return "job.withdrawn" in [event["kind"] for event in await world.ledger(subject=f"job:{job_id}")]

    await until(withdrawn, "the ledger does not say so")


async def test_a_freeze_that_is_being_written_is_waited_for(
    api: Any, world: World, store: Store, workspace_id: str
) -> None:
    """The claim and a freeze at once: the freeze is written and not committed; the claim comes, and waits."""
    agent = world.ids["agent"]
    workflow = (await api.post("/workflows", body(agent))).json()
    run = (await api.post(f"/workflows/{workflow['id']}/runs", {"inputs": {}})).json()
    job_id = run["jobs"][0]["jobId"]

    async def queued() -> bool:
        return bool((await api.get(f"/jobs/{job_id}")).json()["status"] == "queued")

    async def waits() -> bool:
        async with store.read() as conn:
            return bool(await conn.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))

    await until(queued, "the job was not offered")
    async with store.read() as conn:
        ada = await find_principal_by_name(conn, "ada")
    async with store.tx(actor=Actor("user", ada.id), cause="test", workspace_id=workspace_id) as tx:
        await set_freeze(
            tx,
            workspace_id,
            scope_kind="workspace",
            scope_id=None,
            selector=None,
            reason="now",
            incident_url=None,
            expires_at=None,
            author_id=ada.id,
        )
        claiming = asyncio.create_task(api.post(f"/job-agents/{agent}/jobs/{job_id}/claim"))
        await until(waits, "the claim did not wait")
        assert not claiming.done()
    assert (await claiming).status_code == 409


async def test_a_resource_that_goes_ends_the_jobs_of_runs_on_it(api: Any, world: World) -> None:
    workflow = (await api.post("/workflows", body(world.ids["agent"]))).json()
    inputs = {"resourceSelector": "resource.metadata['env'] == 'production'"}
    run = (await api.post(f"/workflows/{workflow['id']}/runs", {"inputs": inputs})).json()
    assert (await api.delete("/resources/identifier/p-1")).status_code == 200

    async def ended() -> Any:
        jobs = [(await api.get(f"/jobs/{job['jobId']}")).json() for job in run["jobs"]]
        gone = [job for job in jobs if job["dispatchContext"]["resource"]["identifier"] == "p-1"]
        other = [job for job in jobs if job["dispatchContext"]["resource"]["identifier"] == "p-2"]
        return (gone, other) if gone[0]["status"] == "cancelled" and other[0]["status"] == "queued" else None

    (gone,), _ = await until(ended, "the job goes on")
    assert gone["cancelReason"] == "The resource p-1 was deleted." == gone["message"]


async def test_an_agent_that_we_call_runs_the_job(api: Any, workers: None) -> None:
    world = await World(api).build(agent_type="test-runner", config={"delaySeconds": 0}, rules=[])
    entry = {"name": "a", "ref": world.ids["agent"], "config": {}, "selector": ""}
    workflow = (await api.post("/workflows", body(world.ids["agent"], jobAgents=[entry]))).json()
    run = (await api.post(f"/workflows/{workflow['id']}/runs", {"inputs": {}})).json()
    (job,) = run["jobs"]

    async def done() -> bool:
        return bool((await api.get(f"/jobs/{job['jobId']}")).json()["status"] == "successful")

    await until(done, "the job did not run")


async def test_a_running_job_of_a_run_is_cancelled_on_request(api: Any, workers: None) -> None:
    world = await World(api).build(agent_type="test-runner", config={"delaySeconds": 600}, rules=[])
    workflow = (
        await api.post(
            "/workflows",
            body(
                world.ids["agent"],
                jobAgents=[{"name": "a", "ref": world.ids["agent"], "config": {}, "selector": "true"}],
            ),
        )
    ).json()
    run = (await api.post(f"/workflows/{workflow['id']}/runs", {"inputs": {}})).json()
    path = f"/jobs/{run['jobs'][0]['jobId']}"

    async def running() -> bool:
        return bool((await api.get(path)).json()["status"] == "inProgress")

    await until(running, "the job did not start")
    assert (await api.post(f"{path}/cancel", {"reason": "enough"})).status_code == 202

    async def cancelled() -> bool:
        return bool((await api.get(path)).json()["status"] == "cancelled")

    await until(cancelled, "the job was not cancelled")

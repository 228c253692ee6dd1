"""Does a webhook make a job's news, when it is signed by who may speak for the job, and once?"""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from api.story import World, until
from interlock.api.webhooks import _argo_says
from interlock.settings import Settings
from interlock.web.signatures import BODY_BYTES_MAX, GITHUB, TERRAFORM_CLOUD, Scheme, signature

SECRET = "hush-of-the-agent"
ARGO = {"serverUrl": "https://argo.example.test", "webhookSecret": SECRET}


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    return Settings(data=tmp_path, tfe_webhook_secret="new-of-all, old-of-all")


@pytest.fixture
def send(client_of: Any) -> Any:
    """`await send(path, body, scheme, secret)`: a webhook, signed over the bytes that are sent."""
    nobody = client_of(None)

    async def post(path: str, body: Any, scheme: Scheme, secret: str, **headers: str) -> Any:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        signed = {scheme.header: signature(scheme, raw, secret=secret), "content-type": "application/json"}
        return await nobody.post(f"/api{path}", content=raw, headers=signed | headers)

    return post


async def claimed(api: Any, world: World, *, kind: str, config: dict[str, Any]) -> tuple[str, str]:
    """A job that runs outside, with an agent of this type."""
    agent = world.ids["agent"]
    job_id = (await api.get("/jobs")).json()["items"][0]["job"]["id"]
    assert (await api.post(f"/job-agents/{agent}/jobs/{job_id}/claim")).status_code == 200
    body = {"name": "agent", "type": kind, "config": config}
    assert (await api.put(f"/job-agents/{agent}", body)).status_code == 202
    return agent, str(job_id)


async def job(api: Any, job_id: str) -> Any:
    return (await api.get(f"/jobs/{job_id}")).json()


def run_of(job_id: str, **more: Any) -> dict[str, Any]:
    run = {"id": 77, "name": f"deploy {job_id.upper()}", "status": "in_progress", "html_url": "https://gh.test/77"}
    return {"workflow_run": {**run, "workflow_url": "https://gh.test/w", **more}}


async def test_github_says_how_a_run_goes(api: Any, pulled: World, send: Any) -> None:
    config = {"installationId": 1, "owner": "o", "repo": "r", "webhookSecret": SECRET}
    _, job_id = await claimed(api, pulled, kind="github-app", config=config)
    event = {"x-github-event": "workflow_run"}
    body = run_of(job_id, status="completed", conclusion="success")

    for secret, headers in (("wrong-secret", event), (SECRET, {"x-hub-signature-256": "sha256=0", **event})):
        refused = await send("/github/webhook", body, GITHUB, secret, **headers)
        assert refused.status_code == 401 and refused.json()["message"]
    assert (await job(api, job_id))["status"] == "inProgress", "nobody else may say so"

    other = await send("/github/webhook", body, GITHUB, SECRET, **{"x-github-event": "push"})
    assert other.status_code == 200 and (await job(api, job_id))["status"] == "inProgress"

    taken = await send("/github/webhook", body, GITHUB, SECRET, **event)
    assert (taken.status_code, taken.json()) == (200, {"message": "OK"})
    ended = await job(api, job_id)
    assert (ended["status"], ended["externalId"]) == ("successful", "77") and ended["completedAt"]
    assert ended["links"] == {"Run": "https://gh.test/77", "Workflow": "https://gh.test/w"}
    assert ended["metadata"]["run_url"] == "https://gh.test/77"

    late = await send("/github/webhook", run_of(job_id, conclusion="failure"), GITHUB, SECRET, **event)
    assert late.status_code == 200 and (await job(api, job_id))["status"] == "successful", "terminal is final"


async def test_a_run_is_known_by_its_title_and_may_wait_for_a_reviewer(api: Any, pulled: World, send: Any) -> None:
    _, job_id = await claimed(api, pulled, kind="github-app", config={"webhookSecret": SECRET})
    event = {"x-github-event": "workflow_run"}
    body = run_of(job_id, name="Deploy", display_title=f"Deploy {job_id}", status="waiting")
    assert (await send("/github/webhook", body, GITHUB, SECRET, **event)).status_code == 200
    assert (await job(api, job_id))["status"] == "actionRequired"


async def test_a_webhook_that_comes_twice_is_heard_once(api: Any, pulled: World, send: Any) -> None:
    _, job_id = await claimed(api, pulled, kind="github-app", config={"webhookSecret": SECRET})
    event = {"x-github-event": "workflow_run"}

    async def told() -> int:
        entries = await pulled.ledger(subject=f"job:{job_id}")
        return sum(entry["kind"] == "job.noted" for entry in entries)

    assert (await api.put(f"/jobs/{job_id}/status", {"status": "failure"})).status_code == 202
    body = run_of(job_id, status="completed", conclusion="success")
    for _ in range(3):
        assert (await send("/github/webhook", body, GITHUB, SECRET, **event)).status_code == 200
    assert (await send("/github/webhook", run_of(job_id), GITHUB, SECRET, **event)).status_code == 200

    async def both() -> bool:
        return await told() >= 2

    await until(both, "late news was not noted")
    assert await told() == 2, "the same delivery was heard more than once"


async def test_terraform_cloud_speaks_for_its_runs(api: Any, pulled: World, send: Any) -> None:
    _, job_id = await claimed(api, pulled, kind="tfe", config={"organization": "o"})

    def notified(trigger: str) -> dict[str, Any]:
        run = {"run_url": "https://tfe.test/run", "run_id": "run-1", "run_message": f"Interlock job {job_id}"}
        return {**run, "notifications": [{"message": "m", "trigger": trigger}]}

    ping = await send("/tfe/webhook", {"notifications": [], "run_id": None}, TERRAFORM_CLOUD, "old-of-all")
    assert (ping.status_code, ping.json()) == (200, {"message": "OK"})
    for trigger, status in (
        ("run:created", "inProgress"),
        ("run:needs_attention", "actionRequired"),
        ("run:applying", "inProgress"),
        ("run:unheard_of", "inProgress"),
        ("run:errored", "failure"),
    ):
        answer = await send("/tfe/webhook", notified(trigger), TERRAFORM_CLOUD, "new-of-all")
        assert answer.status_code == 200, answer.text
        assert (await job(api, job_id))["status"] == status, trigger
    assert (await job(api, job_id))["externalId"] == "run-1"


async def test_every_notification_of_a_payload_counts_in_its_order_for_the_jobs_own_run_alone(
    api: Any, pulled: World, send: Any
) -> None:
    _, job_id = await claimed(api, pulled, kind="tfe", config={"organization": "o"})

    def told(*events: tuple[str, str, str], run: str = "run-1", attempt: int = 1) -> dict[str, Any]:
        message = f"Interlock job {job_id}, attempt {attempt}: shop 1.0.0 to eu"
        notes = [
            {"message": "m", "trigger": f"run:{trigger}", "run_status": status, "run_updated_at": f"2026-03-09T{at}Z"}
            for trigger, status, at in events
        ]
        return {"run_url": "https://tfe.test/run", "run_id": run, "run_message": message, "notifications": notes}

    async def hear(body: dict[str, Any]) -> str:
        assert (await send("/tfe/webhook", body, TERRAFORM_CLOUD, "new-of-all")).status_code == 200
        return str((await job(api, job_id))["status"])

    late = told(("needs_attention", "policy_checked", "10:00:02"), ("planning", "planning", "10:00:01"))
    assert await hear(late) == "actionRequired", "in the order of the run, not of the list"
    assert (await job(api, job_id))["externalId"] == "run-1"
    assert await hear(told(("errored", "errored", "10:00:03"), attempt=2)) == "actionRequired", "another attempt"
    assert await hear(told(("errored", "errored", "10:00:03"), run="run-2")) == "actionRequired", "another run"
    ended = told(("applying", "applying", "10:00:04"), ("errored", "discarded", "10:00:05"))
    assert await hear(ended) == "cancelled", "who ends a run is no failure of it"
    assert await hear(told(("completed", "applied", "10:00:06"))) == "cancelled", "terminal is final"


async def test_argo_is_known_by_the_secret_of_its_agent(api: Any, pulled: World, client_of: Any) -> None:
    agent, job_id = await claimed(api, pulled, kind="argo-workflow", config=ARGO)
    nobody = client_of(None)
    path = f"/api/argo/{agent}/webhook"
    body = {"workflowName": "w", "namespace": "n", "jobId": job_id, "phase": "Running", "eventType": "x"}

    assert (await nobody.post(path, json=body)).status_code == 401
    assert (await nobody.post(path, json=body, headers={"authorization": f"{SECRET}x"})).status_code == 401
    signed = {"authorization": SECRET}
    unknown = await nobody.post(f"/api/argo/{uuid.uuid4()}/webhook", json=body, headers=signed)
    assert unknown.status_code == 404
    assert (await nobody.post("/api/argo/not-an-id/webhook", json=body, headers=signed)).status_code == 404
    bad = await nobody.post(path, json={**body, "phase": "Dreaming"}, headers=signed)
    assert bad.status_code == 400
    for phase, status in (("Running", "inProgress"), ("Pending", "inProgress"), ("Failed", "failure")):
        assert (await nobody.post(path, json={**body, "phase": phase}, headers=signed)).status_code == 200
        assert (await job(api, job_id))["status"] == status
    assert (await job(api, job_id))["externalId"] == "n/w"


async def test_argos_exit_handler_tells_which_steps_failed(api: Any, pulled: World, client_of: Any) -> None:
    agent, job_id = await claimed(api, pulled, kind="argo-workflow", config=ARGO)
    path, signed = f"/api/argo/{agent}/webhook", {"authorization": SECRET}
    failures = [{"displayName": "apply", "message": "exit code 3"}, {"displayName": "quiet"}]
    body = {"workflowName": f"deploy-{job_id}-1", "namespace": "ci", "phase": "Failed", "failures": failures}

    earlier = {**body, "workflowName": f"deploy-{job_id}-7"}
    assert (await client_of(None).post(path, json=earlier, headers=signed)).status_code == 200
    assert (await job(api, job_id))["status"] == "inProgress", "another attempt's end is none of this one"
    assert (await client_of(None).post(path, json=body, headers=signed)).status_code == 200
    ended = await job(api, job_id)
    assert (ended["status"], ended["message"]) == ("failure", "apply: exit code 3")
    assert ended["externalId"] == f"ci/deploy-{job_id}-1"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"failures": '[{"displayName": "a", "message": "b"}]'}, "a: b"),
        ({"failures": "[{"}, "[{"),
        ({"failures": [5, {"message": "b"}]}, "a step: b"),
        ({"failures": "null", "message": "why"}, "why"),
        ({"failures": 5}, None),
        ({}, None),
    ],
)
def test_whatever_an_exit_handler_says_of_failures_is_read(body: Any, said: str | None) -> None:
    assert _argo_says(body) == said


async def test_an_agent_cannot_speak_for_the_job_of_another(api: Any, pulled: World, send: Any, client_of: Any) -> None:
    """The secret of one agent signs, and the job named is another's: of another type, or of another workspace."""
    _, job_id = await claimed(api, pulled, kind="github-app", config={"webhookSecret": SECRET})
    made = await api.raw.post("/api/v1/workspaces", json={"name": "Elsewhere", "slug": "elsewhere"})
    other = str(uuid.uuid4())
    body = {"name": "mine", "type": "argo-workflow", "config": {**ARGO, "webhookSecret": "my-own-secret"}}
    path = f"/api/v1/workspaces/{made.json()['id']}/job-agents/{other}"
    assert (await api.raw.put(path, json=body)).status_code == 202
    event = {"x-github-event": "workflow_run"}
    stolen = run_of(job_id, conclusion="success")
    assert (await send("/github/webhook", stolen, GITHUB, "my-own-secret", **event)).status_code == 401
    news = {"workflowName": "w", "jobId": job_id, "phase": "Succeeded"}
    heard = await client_of(None).post(
        f"/api/argo/{other}/webhook", json=news, headers={"authorization": "my-own-secret"}
    )
    assert heard.status_code == 200
    assert (await job(api, job_id))["status"] == "inProgress"


async def test_what_is_no_webhook_of_ours_changes_nothing(api: Any, send: Any, client_of: Any, counted: Any) -> None:
    before = await counted()
    for path in ("/github/webhook", "/tfe/webhook"):
        assert (await client_of(None).post(f"/api{path}", content=b"{}")).status_code == 401
    for body in (b"", b"no json", b"[]", b"\xff\xfe", b'{"notifications": [1], "run_message": 5}'):
        answer = await send("/tfe/webhook", body, TERRAFORM_CLOUD, "new-of-all")
        assert answer.status_code == 200, "signed, and it says nothing: or it would be sent again and again"
    large = await send("/tfe/webhook", b" " * (BODY_BYTES_MAX + 1), TERRAFORM_CLOUD, "new-of-all")
    assert large.status_code == 413
    assert await counted() == before

"""REST for webhooks in: a tool says how a run of ours goes, sooner than we would have asked.

    POST /api/github/webhook              GitHub: `workflow_run`; the job is the first UUID in the run's name
    POST /api/tfe/webhook                 Terraform Cloud: run notifications; the job is the first UUID in the message
    POST /api/argo/{jobAgentId}/webhook   Argo Workflows: what the workflow's exit handler sends (docs/agents)

Nobody signs in here: the signature says who it is. A job's news counts when it was signed with the secret of the job's
own agent (`webhookSecret` in its config), or with the one of the installation; so who runs an agent in one workspace
cannot speak for another's. What is signed is checked before it is believed, and everything else is as with any news of
a job: terminal is final, what comes late or twice changes nothing.

A webhook makes it fast; the agent's own looking makes it certain. So one that we cannot use is answered 200, or the
tool would send it again and again.

Source: contract.json, "undocumented"; reference-behaviour.md 5.5 to 5.7; core.md section 5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
from fastapi import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.agents.tfe_run import ENDS
from interlock.api.paths import id_of, noun_router
from interlock.model.errors import Invalid, NotFound
from interlock.model.event import Actor
from interlock.model.job import Confirm, Handover, JobStatus, Observation
from interlock.settings import Settings
from interlock.store import agents, jobs
from interlock.store.deliveries import Delivery, note_delivery
from interlock.store.jobs import FlowJob
from interlock.store.opening import Opener
from interlock.store.tx import Store
from interlock.store.work import OWN_FACTS, WorkRequest
from interlock.web.answers import Json
from interlock.web.sign_in import FromStore, store_of
from interlock.web.signatures import ARGO_WORKFLOWS, GITHUB, TERRAFORM_CLOUD, Scheme, receive

router = noun_router("webhooks")

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_ATTEMPT = re.compile(r"-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-(\d{1,9})$")
_SAID_MAX = 2_000

_RUN_ATTEMPT = re.compile(r"attempt ([0-9]{1,9}):")

_CONCLUSIONS: Mapping[str, JobStatus] = {
    "success": JobStatus.SUCCESSFUL,
    "action_required": JobStatus.ACTION_REQUIRED,
    "cancelled": JobStatus.CANCELLED,
    "neutral": JobStatus.SKIPPED,
    "skipped": JobStatus.SKIPPED,
}
_TRIGGERS: Mapping[str, JobStatus | None] = {
    "run:created": None,
    "run:planning": JobStatus.IN_PROGRESS,
    "run:applying": JobStatus.IN_PROGRESS,
    "run:needs_attention": JobStatus.ACTION_REQUIRED,
    "run:completed": JobStatus.SUCCESSFUL,
    "run:errored": JobStatus.FAILURE,
}
_PHASES: Mapping[str, JobStatus | None] = {
    "Pending": None,
    "Running": JobStatus.IN_PROGRESS,
    "Succeeded": JobStatus.SUCCESSFUL,
    "Failed": JobStatus.FAILURE,
    "Error": JobStatus.FAILURE,
}
"""What the tool says -> the job's status; None is news of a run that goes on as it did."""


class Heard(TypedDict):
    """The webhook was taken."""

    message: str


@router.post("/github/webhook", response_model=Heard, responses={401: {}, 404: {}, 413: {}})
async def hear_github(request: Request, store: FromStore) -> Response:
    """Take an event of GitHub. Only `workflow_run` says something about a job."""
    said = _read(await request.body()).get("workflow_run")
    run = said if isinstance(said, Mapping) else {}
    named = f"{run.get('name') or ''} {run.get('display_title') or ''}"  # a run-name stands in one or the other
    job = await _job_in(store, named, kind="github-app")
    seen = (_github(run),) if request.headers.get("x-github-event") == "workflow_run" else ()
    return await _take(request, store, GITHUB, job=job, seen=seen)


@router.post("/tfe/webhook", response_model=Heard, responses={401: {}, 404: {}, 413: {}})
async def hear_terraform_cloud(request: Request, store: FromStore) -> Response:
    """Take a run notification of Terraform Cloud. One without a run is its question whether we are there."""
    said = _read(await request.body())
    job = await _job_in(store, str(said.get("run_message") or ""), kind="tfe")
    seen = _terraform_cloud(said, job) if job is not None else ()
    return await _take(request, store, TERRAFORM_CLOUD, job=job, seen=seen, look=True)


@router.post("/argo/{jobAgentId:segment}/webhook", response_model=Heard, responses={401: {}, 404: {}, 413: {}})
async def hear_argo(request: Request, store: FromStore, jobAgentId: str) -> Response:
    """Take what a workflow of Argo sends, signed by the agent's own secret."""
    agent_id = id_of(jobAgentId, "job agent")
    async with store.read() as conn:
        workspace_id = await agents.find_workspace_of(conn, agent_id)
    if workspace_id is None:
        raise NotFound("There is no job agent with this id.")
    secrets = await _secrets_of(request, workspace_id, agent_id)
    delivery = await receive(request, ARGO_WORKFLOWS, secrets=secrets)
    said = _read(delivery.body)
    phase = said.get("phase")
    if phase not in _PHASES:
        raise Invalid(f"phase must be one of {', '.join(_PHASES)}.", field="phase")
    name, place = str(said.get("workflowName") or ""), str(said.get("namespace") or "")
    job = await _job_in(store, str(said.get("jobId") or name), kind="argo-workflow")
    if job is None or job.agent_id != agent_id or _is_of_another_attempt(name, job):
        return Json({"message": "OK"})
    external_id = f"{place}/{name}" if place else name or None
    await _hear(store, delivery, job, Observation(_PHASES[str(phase)], _argo_says(said), external_id))
    return Json({"message": "OK"})


async def _take(
    request: Request,
    store: Store,
    scheme: Scheme,
    *,
    job: FlowJob | None,
    seen: Sequence[Observation],
    look: bool = False,
) -> Response:
    """Check the signature, then make it news of the job, once.

    Takes: `seen` in the order in which it happened. `look`: the agent is asked at once, because it knows more.
    Fails: `Unauthorized`; `TooLarge`.
    """
    secrets = _secrets_of_settings(request.app.state.settings, scheme)
    if job is not None:
        secrets += await _secrets_of(request, job.workspace_id, job.agent_id)
    delivery = await receive(request, scheme, secrets=secrets)
    if job is not None and seen:
        await _hear(store, delivery, job, *seen, look=look)
    return Json({"message": "OK"})


async def _hear(store: Store, delivery: Delivery, job: FlowJob, *seen: Observation, look: bool = False) -> None:
    """Make it news of the job, unless it was here before."""
    actor, cause = Actor("agent", job.agent_id, job.agent_name), f"webhook: {delivery.source}"
    async with store.tx(actor=actor, cause=cause, workspace_id=job.workspace_id, chain=job.chain) as tx:
        if not await note_delivery(tx, delivery):
            return
        for one in seen:
            status = await jobs.hear(tx, job, one, source="webhook")
            job = replace(job, status=status, handover=Handover.STARTED if job.is_being_handed_over else job.handover)
        if look and not job.status.terminal:
            await tx.record(wakes=[WorkRequest("observe", job.id, job.workspace_id, None, OWN_FACTS)])


async def _job_in(store: Store, text: str, *, kind: str) -> FlowJob | None:
    """The job whose id is the first in a text, when it is with an agent of this type."""
    found = _UUID.search(text)
    if found is None:
        return None
    async with store.read() as conn:
        job = await jobs.find_flow_job(conn, found[0].lower())
    return job if job is not None and job.agent_type == kind else None


async def _secrets_of(request: Request, workspace_id: str, agent_id: str) -> list[str]:
    """The secret that an agent's tool signs with, if it has one; it may stand in an outside store."""
    async with store_of(request).read() as conn:
        agent = await agents.find_agent(conn, workspace_id, agent_id=agent_id)
    if agent is None or "webhookSecret" not in agent.config:
        return []
    opener: Opener = request.app.state.opener
    secret = (await opener.open(workspace_id, agent.config["webhookSecret"])).document
    return [secret] if isinstance(secret, str) and secret else []


def _secrets_of_settings(settings: Settings, scheme: Scheme) -> list[str]:
    """What the whole installation's tool signs with."""
    given = {GITHUB.name: settings.github_webhook_secret, TERRAFORM_CLOUD.name: settings.tfe_webhook_secret}
    return [each.strip() for each in (given.get(scheme.name) or "").split(",") if each.strip()]


def _read(body: bytes) -> Mapping[str, Any]:
    """The body as an object. One that is none says nothing; its signature is looked at all the same."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, Mapping) else {}


def _github(run: Mapping[str, Any]) -> Observation:
    conclusion, url = run.get("conclusion"), str(run.get("html_url") or "")
    if conclusion:
        status = _CONCLUSIONS.get(str(conclusion), JobStatus.FAILURE)
    elif run.get("status") in {"waiting", "action_required"}:
        status = JobStatus.ACTION_REQUIRED
    else:
        status = JobStatus.SUCCESSFUL if run.get("status") == "completed" else JobStatus.IN_PROGRESS
    return _news(
        status,
        message=f"GitHub: {conclusion}." if conclusion else None,
        external_id=str(run["id"]) if run.get("id") else None,
        links=[("Run", url), ("Workflow", str(run.get("workflow_url") or ""))],
    )


def _is_of_another_attempt(name: str, job: FlowJob) -> bool:
    """Whether a workflow has a name that we gave, and to another attempt than the job's last."""
    found = _ATTEMPT.search(name)
    return found is not None and found[1] == job.id and int(found[2]) != max(job.attempt, 1)


def _argo_says(said: Mapping[str, Any]) -> str | None:
    """What a workflow's exit handler tells of its failures: `{{workflow.failures}}`, as JSON or as a text of it."""
    failures = said.get("failures")
    if isinstance(failures, str):
        try:
            failures = orjson.loads(failures)
        except orjson.JSONDecodeError:
            return failures[:_SAID_MAX] or None
    told = [
        f"{one.get('displayName') or one.get('templateName') or 'a step'}: {one['message']}"
        for one in (failures if isinstance(failures, list) else [])
        if isinstance(one, Mapping) and one.get("message")
    ]
    return "; ".join(dict.fromkeys(told))[:_SAID_MAX] or str(said.get("message") or "")[:_SAID_MAX] or None


def _terraform_cloud(said: Mapping[str, Any], job: FlowJob) -> tuple[Observation, ...]:
    """All that a payload tells of the job's own run, in its order; nothing where it is another attempt's run."""
    attempt = _RUN_ATTEMPT.search(str(said.get("run_message") or ""))
    known = job.external_id if (job.external_id or "").startswith("run-") else None
    if (attempt is not None and int(attempt[1]) != job.attempt) or known not in {None, said.get("run_id")}:
        return ()
    listed = said.get("notifications")
    told = [one for one in (listed if isinstance(listed, list) else []) if isinstance(one, Mapping)]
    told = [one for one in told if str(one.get("trigger")) in _TRIGGERS]
    in_order = sorted(told, key=lambda one: str(one.get("run_updated_at") or ""))
    return tuple(_one_notification(said, one, job) for one in in_order)


def _one_notification(said: Mapping[str, Any], told: Mapping[str, Any], job: FlowJob) -> Observation:
    """One event of a run. One that waits to be confirmed waits no more once it was: that news is late."""
    status = ENDS.get(str(told.get("run_status")), _TRIGGERS[str(told["trigger"])])
    if status is JobStatus.ACTION_REQUIRED and job.confirm in {Confirm.GIVING, Confirm.GIVEN}:
        status = None
    return _news(
        status,
        message=str(told.get("message") or "") or None,
        external_id=str(said["run_id"]) if said.get("run_id") else None,
        links=[("Run", str(said.get("run_url") or ""))],
    )


def _news(
    status: JobStatus | None, *, message: str | None, external_id: str | None, links: Sequence[tuple[str, str]]
) -> Observation:
    kept = {name: url for name, url in links if url.startswith(("https://", "http://"))}
    metadata = {"run_url": kept["Run"]} if "Run" in kept else {}
    return Observation(status, message, external_id=external_id, links=kept, metadata=metadata)

"""REST for jobs: read them, say how they go, and what a pull agent needs to list and claim them.

List items carry the job in both forms that clients expect: `{job, release, …}` and its own fields beside it. News
that comes too late or out of order still answers 202, says so, and changes nothing.

Source: contract.md sections b (`ctrlc ui`), a (get-job-inputs) and e ("Job", "Pull agent").
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Any, Literal

import orjson
from fastapi import Query, Request
from pydantic import AwareDatetime, Field, StringConstraints
from starlette.responses import Response

from interlock.access import WORKSPACE, Permission, Place, allowed
from interlock.api import shapes
from interlock.api.deployments import place_of
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import Wire, render_variables
from interlock.api.rollouts import ReasonBody
from interlock.clock import monotonic_s
from interlock.model.errors import Conflict, NotFound, Rejected, Unavailable
from interlock.model.job import JobStatus, Observation, statuses_of
from interlock.model.lease import LEASE_MAX_S, LEASE_MIN_S
from interlock.model.secret import ids_in
from interlock.store import agents, job_list, jobs, leases
from interlock.store.job_list import TEXT_MAX, JobFilter
from interlock.store.jobs import JobRow
from interlock.store.leases import HeldJob
from interlock.store.opening import Opener
from interlock.web.answers import Json, accepted, instant, present
from interlock.web.bodies import ClosedBody, Int, Text, TextMap, WireBody
from interlock.web.paging import Paging
from interlock.web.shapes import Accepted, page_of
from interlock.web.sign_in import Here, InWorkspace, store_of

router = noun_router("jobs")

Attempt = Annotated[Int, Field(ge=1, le=2**31 - 1)]
LeaseSeconds = Annotated[float, Field(ge=LEASE_MIN_S, le=LEASE_MAX_S)]
Brought = Annotated[tuple[Annotated[str, StringConstraints(max_length=500)], ...], Field(max_length=jobs.BROUGHT_MAX)]
WAIT_MAX_S = 60.0
LOOK_AGAIN_S = 10.0
"""Who waits for a queue looks by itself so often: an announcement may be lost."""
ME = "me"
"""In the path of a queue: the agent whose token is sent."""
StatusGroup = Literal["open", "running", "waiting", "failed", "over"]
"""Words for several statuses."""

KindWord = Literal["forward", "config", "redeploy", "rollback", "pin", "force", "workflow", "retry"]
MANY = "Once or several times: a status, or `open`, `running`, `waiting`, `failed`, `over` for several."
TAG_MAX = 500

_NAMED_IN_CONTEXT = ("release", "deployment", "environment", "resource")


class StatusBody(WireBody):
    """How a job goes. All but the status is ours."""

    status: shapes.JobStatusWord
    message: Text | None = None
    externalId: Text | None = None
    links: TextMap
    metadata: TextMap
    output: str | None = None
    applied: Brought = ()
    artifacts: Brought = ()
    attempt: Attempt | None = None


class ClaimBody(WireBody):
    """For how long a job is claimed, and by whom. Clients of the contract send none."""

    leaseSeconds: LeaseSeconds | None = None
    holder: Annotated[str, StringConstraints(max_length=200)] | None = None


class HeartbeatBody(ClosedBody):
    """Whoever has a job lives, and perhaps says how it goes."""

    attempt: Attempt
    leaseSeconds: LeaseSeconds | None = None
    message: Text | None = None
    externalId: Text | None = None
    links: TextMap
    metadata: TextMap
    output: str | None = None


@router.get(W + "/jobs", response_model=page_of(shapes.JobWithRelease))
async def list_jobs(
    here: InWorkspace,
    page: Paging,
    deploymentId: Annotated[str | None, Query()] = None,
    environmentId: Annotated[str | None, Query()] = None,
    resourceId: Annotated[str | None, Query()] = None,
    systemId: Annotated[str | None, Query()] = None,
    status: Annotated[list[Literal[shapes.JobStatusWord, StatusGroup]] | None, Query(description=MANY)] = None,
    jobAgentId: Annotated[str | None, Query()] = None,
    agentType: Annotated[list[str] | None, Query(max_length=50)] = None,
    version: Annotated[str | None, Query(max_length=TAG_MAX, description="A tag, or a version's id.")] = None,
    kind: Annotated[KindWord | None, Query()] = None,
    since: Annotated[AwareDatetime | None, Query(description="Created then or later.")] = None,
    q: Annotated[str | None, Query(max_length=TEXT_MAX, description="In names, tags, ids and messages.")] = None,
) -> Response:
    """List the jobs of all agents, newest first."""
    here.require(Permission.READ)
    wanted = JobFilter(
        statuses=statuses_of(status or ()),
        agent_id=id_of(jobAgentId, "job agent") if jobAgentId else None,
        agent_types=agentType or (),
        deployment_id=id_of(deploymentId, "deployment") if deploymentId else None,
        environment_id=id_of(environmentId, "environment") if environmentId else None,
        resource_id=id_of(resourceId, "resource") if resourceId else None,
        system_id=id_of(systemId, "system") if systemId else None,
        version=version or None,
        kind=kind,
        since_at=since,
        text=q or None,
    )
    async with here.store.snapshot() as conn:
        items, total = await job_list.list_jobs(conn, here.id, wanted=wanted, limit=page.limit, offset=page.offset)
    return page.answer([render_with_release(job, here) for job in items], total)


@router.get(W + "/jobs/{jobId:segment}", response_model=shapes.JobWithContext)
async def get_job(here: InWorkspace, request: Request, jobId: str) -> Response:
    """Get a job with its dispatch context. Who has `job:secrets` there reads its secrets in full."""
    job = await _known(here, jobId)
    if next(ids_in(job.context), None) is not None:
        place = await _place_of(here, job)
        if allowed(here.caller, Permission.JOB_SECRETS, place=place):
            opened = await opener_of(request).open_snapshot(here.id, job.context, follow=False)
            job = replace(job, context=opened.document)
    return Json({**render_job(job), "dispatchContext": _full_context(job, here)})


@router.get(W + "/jobs/{jobId:segment}/with-release", response_model=shapes.JobWithRelease)
async def get_job_with_release(here: InWorkspace, jobId: str) -> Response:
    """Get a job with the release that it brings."""
    return Json(render_with_release(await _known(here, jobId), here))


@router.put(W + "/jobs/{jobId:segment}/status", status_code=202, response_model=Accepted)
async def put_status(here: InWorkspace, request: Request, jobId: str, body: StatusBody) -> Response:
    """Say how a job goes. What it says is kept without the secrets that the job was given.

    With `attempt`, the number that the claim gave: refused (409) once another attempt has the job, or none.
    """
    row, place = await _reported(here, jobId)
    seen = Observation(
        status=JobStatus(body.status),
        message=body.message,
        external_id=body.externalId,
        links=body.links,
        metadata=body.metadata,
        output=body.output,
        applied=body.applied,
        artifacts=body.artifacts,
    )
    here.require(Permission.JOB_REPORT, place=place)
    _refuse_task(row)
    with suppress(Rejected, Unavailable):  # what cannot be opened now was hardly given away
        seen = (await opener_of(request).open_snapshot(here.id, row.context)).observation(seen)
    async with here.tx(Permission.JOB_REPORT, cause="api: put job status", place=place) as tx:
        job = found(await jobs.find_flow_job(tx.conn, row.id), "job")
        news = await leases.report(tx, job, seen, attempt=body.attempt, source="api")
    if news.refused is not None:
        raise Conflict(news.refused, code="FENCED")
    if news.status is seen.status:
        return accepted(row.id, f"The job is {news.status}.")
    return accepted(row.id, f"The news was noted and changes nothing: the job is {news.status} already.")


@router.post(W + "/jobs/{jobId:segment}/heartbeat", response_model=shapes.Heartbeat)
async def heartbeat(here: InWorkspace, request: Request, jobId: str, body: HeartbeatBody) -> Response:
    """Say that whoever claimed a job lives: its lease begins anew. The answer says whether the job is to stop.

    Refused (409) when the lease of that attempt has ended, or the job is over: then stop working on it.
    """
    async with here.read() as conn:
        held = found(await leases.find_held(conn, here.id, job_id=id_of(jobId, "job")), "job")
    if here.caller.agent_id not in {None, held.agent_id}:
        raise NotFound("There is no such job.")
    place = replace(await _place_of(here, held), agent_id=held.agent_id)
    here.require(Permission.JOB_REPORT, place=place)
    _refuse_task(held)
    seen = await _said(here, request, body, held.id)
    async with here.tx(Permission.JOB_REPORT, cause="api: heartbeat", place=place) as tx:
        news = await leases.heartbeat(tx, held.id, attempt=body.attempt, asked_s=body.leaseSeconds, seen=seen)
    if news.refused is not None:
        raise Conflict(news.refused, code="JOB_OVER" if news.status.terminal else "FENCED")
    return Json(
        present(
            id=held.id,
            status=news.status,
            attempt=news.attempt,
            leaseSeconds=news.lease_s,
            leasedUntil=instant(news.leased_until) if news.leased_until else None,
            cancelRequested=news.cancel_asked,
            cancelReason=news.cancel_reason,
        )
    )


async def _said(here: Here, request: Request, body: HeartbeatBody, job_id: str) -> Observation | None:
    """What a heartbeat says beside that somebody lives, without the job's secrets; mostly nothing."""
    if not (body.message or body.externalId or body.links or body.metadata or body.output):
        return None
    seen = Observation(
        None,
        message=body.message,
        external_id=body.externalId,
        links=body.links,
        metadata=body.metadata,
        output=body.output,
    )
    async with here.read() as conn:
        row = found(await jobs.find_job(conn, here.id, job_id=job_id), "job")
    with suppress(Rejected, Unavailable):
        seen = (await opener_of(request).open_snapshot(here.id, row.context)).observation(seen)
    return seen


@router.post(W + "/jobs/{jobId:segment}/cancel", status_code=202, response_model=Accepted)
async def cancel_job(here: InWorkspace, jobId: str, body: ReasonBody) -> Response:
    """Ask for a job's end. Its target stays occupied until the outside confirms, or the time for that is over."""
    row = await _known(here, jobId)
    place = await _place_of(here, row)
    async with here.tx(Permission.STEER, cause="api: cancel job", place=place) as tx:
        asked = await jobs.cancel_job(tx, row.id, reason=body.reason)
    return accepted(row.id, "The job was asked to stop." if asked else "The job was asked to stop before.")


@router.get(W + "/job-agents/{jobAgentId:segment}/jobs", response_model=page_of(shapes.JobWithContext))
async def list_agent_jobs(
    here: InWorkspace,
    request: Request,
    jobAgentId: str,
    page: Paging,
    status: Annotated[shapes.JobStatusWord | None, Query()] = None,
    includeDispatchContext: Annotated[bool, Query()] = False,
    waitSeconds: Annotated[float, Query(ge=0, le=WAIT_MAX_S)] = 0,
) -> Response:
    """List a pull agent's jobs, oldest first.

    With `waitSeconds` an empty answer waits so long for a job: who waits with others gets one of its own to claim.
    """
    agent_id = _queue_of(here, jobAgentId)
    here.require(Permission.READ, place=Place(agent_id=agent_id))

    async def read(offset: int) -> tuple[tuple[JobRow, ...], int]:
        async with here.read() as conn:
            return await jobs.list_agent_jobs(
                conn, here.id, agent_id=agent_id, status=status, limit=page.limit, offset=offset
            )

    async with here.read() as conn:
        found(await agents.find_agent(conn, here.id, agent_id=agent_id), "job agent")

    async def queued() -> Sequence[str]:
        async with here.read() as conn:
            return await jobs.list_queue(conn, agent_id, status=status)

    if waitSeconds and not page.offset:
        items, total = await _waited(request, agent_id, read, queued=queued, timeout_s=waitSeconds)
    else:
        items, total = await read(page.offset)
    if not items and page.offset:
        async with here.read() as conn:
            _, total = await jobs.list_agent_jobs(conn, here.id, agent_id=agent_id, status=status, limit=1)
    rendered = [
        {**render_job(job), "dispatchContext": _full_context(job, here)} if includeDispatchContext else render_job(job)
        for job in items
    ]
    return page.answer(rendered, total)


async def _waited(
    request: Request,
    agent_id: str,
    read: Callable[[int], Awaitable[tuple[tuple[JobRow, ...], int]]],
    *,
    queued: Callable[[], Awaitable[Sequence[str]]],
    timeout_s: float,
) -> tuple[tuple[JobRow, ...], int]:
    """A page of a queue that was empty, once there is something in it or the time is over.

    Why:    no connection is held meanwhile. Of those who wait for one queue as many are let go as jobs are there, each
            with a page that begins at a job of its own: hundreds who claim the same one would be in each other's way.
    """
    over_s = monotonic_s() + timeout_s
    with store_of(request).wakes.in_line(jobs.queue_topic(agent_id)) as line:
        while True:
            ids = await queued()
            place = line.pick(ids, monotonic_s())
            if place is not None:
                line.release(len(ids) - place - 1)
                return await read(place)
            left_s = over_s - monotonic_s()
            if left_s <= 0 or request.app.state.streams.ended:
                return (), 0
            await line.turn(min(left_s, LOOK_AGAIN_S))
            if await request.is_disconnected():
                line.wake()  # whoever is next looks instead
                return (), 0


@router.post(W + "/job-agents/{jobAgentId:segment}/jobs/{jobId:segment}/claim", response_model=shapes.JobWithContext)
async def claim_job(
    here: InWorkspace, request: Request, jobAgentId: str, jobId: str, body: ClaimBody | None = None
) -> Response:
    """Take a queued job: at most one caller does. It answers with everything that the job needs, secrets in full.

    With a lease (`leaseSeconds`, or the agent's) it is the caller's as long as heartbeats come in time.
    """
    agent_id = _queue_of(here, jobAgentId)
    row, place = await _reported(here, jobId)
    here.require(Permission.JOB_REPORT, place=place)
    _refuse_task(row)
    context = await _opened_for_claim(here, request, row, agent_id=agent_id, place=place)
    holder, lease_s = (body.holder, body.leaseSeconds) if body is not None else (None, None)
    holder = holder or here.caller.name
    async with here.tx(Permission.JOB_REPORT, cause="api: claim job", place=place) as tx:
        job = await jobs.claim_job(
            tx, workspace_id=here.id, agent_id=agent_id, job_id=row.id, holder=holder, lease_s=lease_s, row=row
        )
    job = replace(job, context=context)
    return Json({**render_job(job), "dispatchContext": _full_context(job, here)})


async def _opened_for_claim(
    here: Here, request: Request, row: JobRow, *, agent_id: str, place: Place
) -> Mapping[str, Any]:
    """What a job that is about to be claimed gets, secrets in full: asked for before the claim, so that a job whose
    secrets cannot be had now is not taken.

    Fails: `Unavailable`; `Conflict` when a reference leads nowhere, which ends the job.
    """
    if row.agent_id != agent_id:
        return row.context  # the claim refuses it
    if row.status != JobStatus.QUEUED:  # it may be queued in a moment, and the claim would succeed without the secrets
        raise Conflict("The job is not to be had now: it is not queued.")
    try:
        return dict((await opener_of(request).open_snapshot(here.id, row.context)).document)
    except Rejected as nowhere:
        async with here.tx(Permission.JOB_REPORT, cause="api: claim job", place=place) as tx:
            job = found(await jobs.find_flow_job(tx.conn, row.id), "job")
            seen = Observation(JobStatus.INVALID_INTEGRATION, nowhere.message)
            await jobs.apply_observation(tx, job, seen, source="claim")
        raise Conflict(nowhere.message, code="SECRET_NOT_FOUND") from nowhere


def opener_of(request: Request) -> Opener:
    """What fills in secrets, as the app was built with."""
    opener: Opener = request.app.state.opener
    return opener


async def _known(here: Here, text: str) -> JobRow:
    here.require(Permission.READ)
    async with here.read() as conn:
        return found(await jobs.find_job(conn, here.id, job_id=id_of(text, "job")), "job")


async def _place_of(here: Here, job: JobRow | HeldJob) -> Place:
    """Where a request about a job happens; a run's job belongs to the workspace."""
    if job.run_id is not None:
        return WORKSPACE
    return await place_of(here, job.deployment_id, environment_id=job.environment_id)


async def _reported(here: Here, text: str) -> tuple[JobRow, Place]:
    """The job that somebody claims or reports, and where it happens. The job of another agent is none to an agent."""
    async with here.read() as conn:
        row = found(await jobs.find_job(conn, here.id, job_id=id_of(text, "job")), "job")
    if here.caller.agent_id not in {None, row.agent_id}:
        raise NotFound("There is no such job.")
    return row, replace(await _place_of(here, row), agent_id=row.agent_id)


def _refuse_task(row: JobRow | HeldJob) -> None:
    """A task ends by the answer of whom it asks, not by a report.

    Fails: `Conflict`.
    """
    if row.is_task:
        raise Conflict("People do this job: POST …/take, /complete or /reject answers it.", code="TASK")


def _queue_of(here: Here, text: str) -> str:
    """The agent whose queue a path names; `me` is that of the token. The queue of another agent is none to an agent.

    Fails: `NotFound`.
    """
    if text == ME and here.caller.agent_id is not None:
        return here.caller.agent_id
    agent_id = id_of(text, "job agent")
    if here.caller.agent_id not in {None, agent_id}:
        raise NotFound("There is no such job agent.")
    return agent_id


def render_job(job: JobRow) -> Wire:
    """A job on the wire, without its dispatch context."""
    metadata: dict[str, str] = {key: str(value) for key, value in job.metadata.items()}
    if job.links:
        metadata.setdefault("ctrlplane/links", orjson.dumps(dict(job.links)).decode())
    return present(
        id=job.id,
        status=job.status,
        message=job.message,
        externalId=job.external_id,
        jobAgentId=job.agent_id,
        jobAgentConfig=job.context.get("jobAgentConfig") or {},
        releaseId=job.release_id,
        metadata=metadata,
        links=dict(job.links) or None,
        createdAt=instant(job.created_at),
        updatedAt=instant(job.updated_at),
        startedAt=instant(job.started_at) if job.started_at else None,
        completedAt=instant(job.completed_at) if job.completed_at else None,
        observedAt=instant(job.observed_at) if job.observed_at else None,
        verification=job.verification,
        kind=job.move_kind,
        moveId=job.move_id or None,
        workflowRunId=job.run_id,
        decisionId=job.decision_id,
        attempt=job.attempt,
        retryOf=job.retry_of,
        output=job.output,
        cancelReason=job.cancel_reason,
        heldBy=job.held_by,
        heardAt=instant(job.heard_at) if job.heard_at else None,
        leasedUntil=instant(job.leased_until) if job.leased_until and not job.completed_at else None,
        applied=list(job.applied) or None,
        artifacts=list(job.artifacts) or None,
    )


def render_with_release(job: JobRow, here: Here) -> Wire:
    """A job with its release and what it is about, and its own fields beside them. A run's job has no release."""
    flat = render_job(job)
    context = _full_context(job, here)
    named = {name: context[name] for name in _NAMED_IN_CONTEXT if name in context}
    agent = {"id": job.agent_id, "name": job.agent_name, "type": job.agent_type}
    return {**flat, "job": flat, **named, **({"jobAgent": agent} if job.agent_name else {})}


def _full_context(job: JobRow, here: Here) -> dict[str, Any]:
    """The snapshot of a release, or what a run's job froze, as clients read it: each part complete."""
    context = {**job.context, "variables": render_variables(job.context.get("variables") or {})}
    if isinstance(resource := context.get("resource"), Mapping):
        context["resource"] = {**resource, "workspaceId": here.id}
    if isinstance(agent := context.get("jobAgent"), Mapping):
        context["jobAgent"] = {"config": context.get("jobAgentConfig") or {}, "metadata": {}, **agent}
    if job.run_id is not None:
        return context
    context["release"] = {
        **(context.get("release") or {}),
        "id": job.release_id,
        "releaseTarget": {
            "resourceId": job.resource_id,
            "environmentId": job.environment_id,
            "deploymentId": job.deployment_id,
        },
        "version": context.get("version"),
        "variables": context["variables"],
        "encryptedVariables": list(job.encrypted),
    }
    return context

"""What is on a target now, whoever put it there? Asked of its agent, where that can inspect.

The agent gets the newest job that succeeded there, and says what lives, which digests run, and where what lives differs
from what that job applied. Nothing is changed and nothing of the answer is stored. The agent's tool is asked once a
call, with the agent's own credentials: what it tells are names, digests and fields, no values.

Source: core.md section 5 (capability `inspect`).
"""

from __future__ import annotations

import asyncio
from typing import NotRequired, cast

from fastapi import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.agents import Agent, Inspector
from interlock.api.jobs import opener_of
from interlock.api.paths import W, found, noun_router
from interlock.model.errors import AgentUnavailable, Conflict, Rejected
from interlock.model.ids import parse_target_key
from interlock.model.job import Inspected, JobStatus
from interlock.store import jobs, target_states
from interlock.web.answers import Json, instant, present
from interlock.web.shapes import Id, Instant
from interlock.web.sign_in import InWorkspace

TIMEOUT_S = 25.0
JOBS_LOOKED_AT_MAX = 100

router = noun_router("release targets")


class DriftAnswer(TypedDict):
    """One object that is not as it was applied: the fields that differ, or `missing`."""

    object: str
    fields: list[str]
    missing: bool


class InspectionAnswer(TypedDict):
    """What is on a target now. `jobId` is the job it is compared with, `externalId` the attempt that wrote last."""

    at: Instant
    jobId: Id
    externalId: NotRequired[str]
    objects: list[str]
    artifacts: list[str]
    drift: list[DriftAnswer]


@router.post(W + "/release-targets/{releaseTargetKey:segment}/inspection", response_model=InspectionAnswer)
async def inspect_target(here: InWorkspace, request: Request, releaseTargetKey: str) -> Response:
    """Ask a target's agent what is on it now, and where that differs from what was applied."""
    here.require(Permission.READ)
    key = parse_target_key(releaseTargetKey)
    async with here.read() as conn:
        target = found(await target_states.find_target(conn, here.id, key=key), "release target")
        rows, _ = await jobs.list_target_jobs(conn, here.id, target_id=target.id, limit=JOBS_LOOKED_AT_MAX, offset=0)
        newest = next((row for row in rows if row.status == JobStatus.SUCCESSFUL), None)
        job = await jobs.find_flow_job(conn, newest.id) if newest else None
    if job is None:
        raise Conflict(
            "No job has succeeded on this target yet: there is nothing to compare with.", code="NOTHING_RUNS"
        )
    known: dict[str, Agent] = request.app.state.agents
    agent = known.get(job.agent_type)
    if agent is None or "inspect" not in agent.capabilities:
        raise Conflict(f"The agent {job.agent_name} is of the type {job.agent_type}, which cannot inspect.")
    opened = await opener_of(request).open_snapshot(here.id, job.snapshot)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            seen = await cast("Inspector", agent).inspect(job.for_agent(opened.document))
    except Rejected as no:
        raise Conflict(opened.hide(no.message) or "", code="AGENT_REFUSED") from None
    except AgentUnavailable as away:
        raise AgentUnavailable(opened.hide(away.message) or "", retry_after_s=away.retry_after_s) from None
    except TimeoutError as late:
        raise AgentUnavailable(f"{job.agent_name} did not answer within {TIMEOUT_S:g} s.") from late
    return Json(opened.hide_all(_render(job.id, seen)))


def _render(job_id: str, seen: Inspected) -> dict[str, object]:
    return present(
        at=instant(seen.at),
        jobId=job_id,
        externalId=seen.external_id,
        objects=list(seen.applied),
        artifacts=list(seen.artifacts),
        drift=[{"object": one.object, "fields": list(one.fields), "missing": one.missing} for one in seen.drift],
    )

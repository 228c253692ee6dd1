"""REST for the questions that are answered now: where does a version stand in an environment, may it go there, and why
is a job where it is? Nothing is stored by asking.

The answers are worked out over the facts of this instant, like a round that is not committed; `at` says the instant.
A target's own explanation stands with the other questions about it, in `targets.py`.

Source: core.md law 8. These paths are ours, not the public contract's.
"""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from fastapi import Query
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api import shapes
from interlock.api.explanation import explain_job, explain_run_job
from interlock.api.jobs import render_job
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import Wire
from interlock.decide.explain import sentences
from interlock.decide.tree import Told
from interlock.model.ids import TargetKey
from interlock.store import deployments, environments, jobs, pages, resources, standings, target_states, verifications
from interlock.store.target_states import StoredDecision
from interlock.web.answers import Json, instant, present
from interlock.web.shapes import AnyObject, Id, Instant, Named
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("explanations")

BY_VERSION = W + "/deployments/{deploymentId:segment}/versions/{versionId:segment}"

EnvironmentText = Annotated[str, Query(description="Id or name.", min_length=1, max_length=500)]
ResourceText = Annotated[str | None, Query(description="Identifier or name of a resource.", max_length=500)]
WithCounterfactual = Annotated[bool, Query(description="Also look for what would have to be different.")]


class StandingAnswer(TypedDict):
    """Where a version stands in an environment: its targets in groups that are told the same."""

    at: Instant
    answer: Literal["allow", "hold", "person"]
    says: str
    deployment: Named
    environment: Named
    version: AnyObject
    targets: int
    states: dict[str, int]
    groups: list[AnyObject]
    groupsLeftOut: NotRequired[int]
    waitsFor: NotRequired[list[str]]


class CanDeployAnswer(TypedDict):
    """Whether a version may go there now, and every reason why not."""

    at: Instant
    answer: Literal["allow", "hold", "person"]
    says: str
    deployment: Named
    environment: Named
    version: AnyObject
    targets: int
    states: dict[str, int]
    groupsLeftOut: NotRequired[int]
    reasons: list[AnyObject]


class JobDecision(TypedDict):
    """The decision that allowed a job."""

    id: Id
    kind: str
    outcome: str
    at: Instant
    validUntil: NotRequired[Instant]
    verdicts: list[shapes.Verdict]


class JobExplanation(TypedDict):
    """Why a job was allowed, what became of it, and where its version stands on its target now. A job of a workflow's
    run has no target.
    """

    job: shapes.Job
    target: NotRequired[str]
    sentences: list[str]
    decision: NotRequired[JobDecision]
    standing: NotRequired[AnyObject]


@router.get(BY_VERSION + "/explain", response_model=StandingAnswer)
async def explain_version(
    here: InWorkspace,
    deploymentId: str,
    versionId: str,
    environment: EnvironmentText,
    resource: ResourceText = None,
    counterfactual: WithCounterfactual = True,
) -> Response:
    """Say where a version stands in an environment, and why: its targets in groups that are told the same."""
    body = await _stands(here, deploymentId, versionId, environment, resource, counterfactual=counterfactual)
    return Json(body)


@router.get(BY_VERSION + "/can-deploy", response_model=CanDeployAnswer)
async def can_deploy(
    here: InWorkspace, deploymentId: str, versionId: str, environment: EnvironmentText, resource: ResourceText = None
) -> Response:
    """Say whether a version may go into an environment now: `allow`, `hold`, or `person` when only people hold it.

    `allow` means that no rule holds it on any target: it runs there, is on its way, starts with the next round, or
    waits for its place in its rollout.
    """
    body = await _stands(here, deploymentId, versionId, environment, resource, counterfactual=False)
    reasons = [
        {"targets": group["count"], "for": group["targets"], **verdict}
        for group in body["groups"]
        for verdict in group["holds"]
        if group["state"] == "held"
    ]
    kept = ("at", "answer", "says", "deployment", "environment", "version", "targets", "states", "groupsLeftOut")
    return Json({**{key: body[key] for key in kept if key in body}, "reasons": reasons})


@router.get(W + "/jobs/{jobId:segment}/explain", response_model=JobExplanation)
async def explain_one_job(here: InWorkspace, jobId: str, counterfactual: WithCounterfactual = True) -> Response:
    """Say why a job was allowed, what became of it, and where its version stands on its target now."""
    here.require(Permission.READ)
    job_id = id_of(jobId, "job")
    async with here.read() as conn:
        job = found(await jobs.find_job(conn, here.id, job_id=job_id), "job")
        decisions = await target_states.load_decisions(conn, [job.decision_id])
        if job.run_id is not None:
            told = _decision(decisions.get(job.decision_id))
            return Json(present(job=render_job(job), sentences=explain_run_job(job), decision=told))
        place = found(await pages.find_job_place(conn, here.id, job_id=job_id), "job")
        checks = await verifications.list_verifications(conn, [job_id])
        ended = await target_states.load_ended_moves(conn, [job.target_id])
    standing = await standings.explain_target_now(
        here.store,
        job.deployment_id,
        target_id=job.target_id,
        version=place.version_id,
        counterfactual=counterfactual,
    )
    return Json(
        present(
            job=render_job(job),
            target=str(TargetKey(job.resource_id, job.environment_id, job.deployment_id)),
            sentences=explain_job(job, place=place, checks=checks, ended=ended.get(job.target_id, ())),
            decision=_decision(decisions.get(job.decision_id)),
            standing=standing,
        )
    )


def _decision(decision: StoredDecision | None) -> Wire | None:
    if decision is None:
        return None
    return present(
        id=decision.id,
        kind=decision.kind,
        outcome=decision.outcome,
        at=instant(decision.at),
        validUntil=instant(decision.valid_until) if decision.valid_until else None,
        verdicts=sentences(decision.verdicts),
    )


async def _stands(
    here: Here, deployment_text: str, version: str, environment_text: str, resource: str | None, *, counterfactual: bool
) -> Told:
    here.require(Permission.READ)
    async with here.read() as conn:
        deployment = found(await deployments.resolve_deployment(conn, here.id, text=deployment_text), "deployment")
        environment = found(await environments.resolve_environment(conn, here.id, text=environment_text), "environment")
        known = await resources.find_resource(conn, here.id, identifier=resource) if resource else None
    return await standings.explain_version_now(
        here.store,
        deployment.id,
        environment_id=environment.id,
        version=version,
        resource=known.id if known else resource,
        counterfactual=counterfactual,
    )

"""REST for release targets: where each is, what it goes for, and why it waits.

A target's key is `{resourceId}-{environmentId}-{deploymentId}`; one of another shape is 400, an unknown one 404.

Source: contract.md sections d and e ("Release", "Release target"); core.md sections 1, 4 and 6.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, NotRequired

from fastapi import Query
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api import shapes
from interlock.api.explanation import explain_deployment, explain_target, first_reason
from interlock.api.jobs import render_job, render_with_release
from interlock.api.orders import OrderAnswer, explain_order, render_order
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import Wire, render_variables, render_version
from interlock.decide.explain import EndedMove
from interlock.inventory.variables import remarks
from interlock.model.errors import Invalid
from interlock.model.ids import is_id, parse_target_key
from interlock.model.variable import encrypted_in
from interlock.model.version import Version
from interlock.store import (
    deployments,
    freezes,
    jobs,
    orders,
    resources,
    standings,
    target_states,
    verifications,
    versions,
)
from interlock.store.freezes import Biting
from interlock.store.queries import Conn
from interlock.store.target_states import Release, StoredDecision, TargetState, TargetVariables
from interlock.web.answers import Json, instant, present
from interlock.web.bodies import WireBody
from interlock.web.paging import Paging
from interlock.web.shapes import AnyObject, Id, Instant, Named, page_of
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("release targets")

BY_KEY = W + "/release-targets/{releaseTargetKey:segment}"
REMARKS_MAX = 10
"""Sentences about variables in the explanation of a deployment; each target's own explanation has all of its own."""

EXPLAINED_MAX = 1000
"""Targets that an explanation of a deployment goes through; the first ones by environment and name."""


class StatesBody(WireBody):
    """Whose states are wanted."""

    deploymentId: str
    environmentId: str


@dataclass(frozen=True, slots=True)
class Around:
    """What targets refer to, loaded once for all of them."""

    releases: Mapping[str, Release]
    versions: Mapping[str, Version]
    decisions: Mapping[str, StoredDecision]
    variables: Mapping[str, TargetVariables] = field(default_factory=dict)
    frozen: Mapping[str, Sequence[Biting]] = field(default_factory=dict)

    @property
    def tags(self) -> dict[str, str]:
        """version id -> tag."""
        return {version_id: version.tag for version_id, version in self.versions.items()}


class TargetResource(Named):
    """The resource of a target."""

    identifier: str
    kind: str


class OpenMove(TypedDict):
    """The move of a target that is not over."""

    id: Id
    kind: str
    state: str
    version: shapes.VersionInPlace | None


class BitingFreeze(TypedDict):
    """A freeze as it concerns a target."""

    id: Id
    scope: str
    reason: str
    by: NotRequired[str]
    since: Instant
    until: NotRequired[Instant]


class TargetAnswer(shapes.ReleaseTarget):
    """A target: what it runs, what it goes for, and what holds it."""

    id: Id
    key: str
    deployment: Named
    environment: Named
    resource: TargetResource
    state: str
    attachedAt: Instant
    detachedAt: NotRequired[Instant]
    agent: NotRequired[str]
    current: NotRequired[shapes.VersionInPlace]
    good: NotRequired[shapes.VersionInPlace]
    desired: NotRequired[shapes.VersionInPlace]
    move: NotRequired[OpenMove]
    outcome: NotRequired[str]
    reason: NotRequired[str]
    since: NotRequired[Instant]
    wakeAt: NotRequired[Instant]
    frozen: NotRequired[list[BitingFreeze]]


class TargetVariablesAnswer(TypedDict):
    """What a target's variables are resolved to, where each comes from, and what was passed over."""

    variables: list[AnyObject]
    passedOver: list[AnyObject]


class TargetDecision(TypedDict):
    """A decision that concerns a target."""

    id: Id
    kind: str
    environmentId: NotRequired[Id]
    version: AnyObject
    outcome: str
    verdicts: list[shapes.Verdict]
    at: Instant
    validUntil: NotRequired[Instant]


class TargetExplanation(TargetAnswer):
    """What a target waits for, and why."""

    sentences: list[str]
    variables: list[AnyObject]
    passedOver: list[AnyObject]
    orders: list[OrderAnswer]
    verdicts: list[shapes.Verdict]
    decisions: list[TargetDecision]
    standing: NotRequired[AnyObject]


class ExplainedTarget(TypedDict):
    """What one target waits for."""

    key: str
    environment: str
    resource: str
    outcome: NotRequired[str]
    sentences: list[str]


class DeploymentExplanation(TypedDict):
    """What a deployment's targets wait for; the first ones by environment and name."""

    deployment: Named
    sentences: list[str]
    targets: list[ExplainedTarget]
    targetsTotal: int
    decidedAt: NotRequired[Instant]
    wakeAt: NotRequired[Instant]


@router.get(W + "/release-targets", response_model=page_of(TargetAnswer))
async def list_targets(
    here: InWorkspace,
    page: Paging,
    deploymentId: Annotated[str | None, Query()] = None,
    environmentId: Annotated[str | None, Query()] = None,
    resourceId: Annotated[str | None, Query()] = None,
    gone: Annotated[bool, Query(description="Those that were detached or removed as well.")] = False,
) -> Response:
    """List release targets with what each runs, what it goes for, and what holds it."""
    here.require(Permission.READ)
    async with here.read() as conn:
        items, total = await target_states.list_targets(
            conn,
            here.id,
            deployment_id=id_of(deploymentId, "deployment") if deploymentId else None,
            environment_id=id_of(environmentId, "environment") if environmentId else None,
            resource_id=id_of(resourceId, "resource") if resourceId else None,
            gone_too=gone,
            limit=page.limit,
            offset=page.offset,
        )
        around = await load_around(conn, here.id, targets=items)
    return page.answer([render_target(target, around) for target in items], total)


@router.post(W + "/release-targets/state", response_model=page_of(shapes.ReleaseTargetWithState))
async def list_states(here: InWorkspace, page: Paging, body: StatesBody) -> Response:
    """List the states of a deployment's targets in an environment."""
    here.require(Permission.READ)
    for name, text in (("deploymentId", body.deploymentId), ("environmentId", body.environmentId)):
        if not is_id(text):
            raise Invalid(f"{name} is no id.", field=name)
    async with here.read() as conn:
        items, total = await target_states.list_targets(
            conn,
            here.id,
            deployment_id=body.deploymentId.lower(),
            environment_id=body.environmentId.lower(),
            limit=page.limit,
            offset=page.offset,
        )
        around = await with_variables(conn, await load_around(conn, here.id, targets=items), items)
        latest = await jobs.load_latest_jobs(conn, here.id, target_ids=[target.id for target in items])
    rendered = [
        {
            "releaseTarget": _triple(target),
            "state": {
                **_releases(target, around),
                **({"latestJob": render_job(latest[target.id])} if target.id in latest else {}),
            },
        }
        for target in items
    ]
    return page.answer(rendered, total)


@router.get(BY_KEY + "/state", response_model=shapes.ReleaseTargetState)
async def get_state(here: InWorkspace, releaseTargetKey: str) -> Response:
    """Get a target's desired and current release and its latest job."""
    here.require(Permission.READ)
    async with here.read() as conn:
        target = await _known(conn, here, releaseTargetKey)
        around = await with_variables(conn, await load_around(conn, here.id, targets=[target]), [target])
        latest, _ = await jobs.list_target_jobs(conn, here.id, target_id=target.id, limit=1, offset=0)
        state: Wire = dict(_releases(target, around))
        if latest:
            verified = await verifications_of(conn, latest[0].id)
            state["latestJob"] = {"job": render_job(latest[0]), "verifications": verified}
    return Json(state)


@router.get(BY_KEY + "/desired-release", response_model=shapes.DesiredRelease)
async def get_desired_release(here: InWorkspace, releaseTargetKey: str) -> Response:
    """Get what a target goes for."""
    here.require(Permission.READ)
    async with here.read() as conn:
        target = await _known(conn, here, releaseTargetKey)
        around = await with_variables(conn, await load_around(conn, here.id, targets=[target]), [target])
    return Json({key: value for key, value in _releases(target, around).items() if key == "desiredRelease"})


@router.get(BY_KEY + "/variables", response_model=TargetVariablesAnswer)
async def get_variables(here: InWorkspace, releaseTargetKey: str) -> Response:
    """Get what a target's variables are resolved to now, where each comes from, and what was passed over."""
    here.require(Permission.READ)
    async with here.read() as conn:
        target = await _known(conn, here, releaseTargetKey)
        resolved = (await target_states.load_target_variables(conn, [target.id]))[target.id]
    return Json(_render_target_variables(resolved))


@router.get(BY_KEY + "/jobs", response_model=page_of(shapes.JobWithRelease))
async def list_target_jobs(here: InWorkspace, releaseTargetKey: str, page: Paging) -> Response:
    """List a target's jobs, newest first."""
    here.require(Permission.READ)
    async with here.read() as conn:
        target = await _known(conn, here, releaseTargetKey)
        items, total = await jobs.list_target_jobs(
            conn, here.id, target_id=target.id, limit=page.limit, offset=page.offset
        )
        if not items and page.offset:
            _, total = await jobs.list_target_jobs(conn, here.id, target_id=target.id, limit=1, offset=0)
    return page.answer([render_with_release(job, here) for job in items], total)


@router.get(BY_KEY + "/explain", response_model=TargetExplanation)
async def get_target_explanation(
    here: InWorkspace,
    releaseTargetKey: str,
    version: Annotated[str | None, Query(description="Id or tag; else the one it goes for.", max_length=500)] = None,
    counterfactual: Annotated[bool, Query(description="Also look for what would have to be different.")] = True,
) -> Response:
    """Say what a target waits for, and why: what rounds stored, and as `standing` the rule tree of this instant."""
    here.require(Permission.READ)
    async with here.read() as conn:
        target = await _known(conn, here, releaseTargetKey)
        around = await load_around(conn, here.id, targets=[target])
        ended = await target_states.load_ended_moves(conn, [target.id])
        resolved = (await target_states.load_target_variables(conn, [target.id]))[target.id]
        asked, _ = await orders.list_orders(conn, here.id, target_id=target.id, state="open")
        job = (await jobs.load_latest_jobs(conn, here.id, target_ids=[target.id])).get(target.id)
    standing = await standings.explain_target_now(
        here.store, target.deployment_id, target_id=target.id, version=version, counterfactual=counterfactual
    )
    decisions = [around.decisions[each] for each in target.decision_ids if each in around.decisions]
    return Json(
        {
            **render_target(target, around),
            "sentences": [
                *_sentences(target, around, ended=ended.get(target.id, ())),
                *([job.message] if job is not None and job.status == "pending" and job.message else []),
                *map(explain_order, asked),
                *remarks(resolved.origin),
            ],
            **_render_target_variables(resolved),
            "orders": [render_order(order) for order in asked],
            "verdicts": target.verdicts,
            "decisions": [_render_decision(decision) for decision in decisions],
            **({"standing": standing} if standing is not None else {}),
        }
    )


@router.get(W + "/deployments/{deploymentId:segment}/explain", response_model=DeploymentExplanation)
async def get_deployment_explanation(here: InWorkspace, deploymentId: str) -> Response:
    """Say what a deployment's targets wait for, and why, in sentences."""
    here.require(Permission.READ)
    async with here.read() as conn:
        deployment = found(await deployments.resolve_deployment(conn, here.id, text=deploymentId), "deployment")
        targets, total = await target_states.list_targets(
            conn, here.id, deployment_id=deployment.id, limit=EXPLAINED_MAX
        )
        around = await load_around(conn, here.id, targets=targets)
        ended = await target_states.load_ended_moves(conn, [target.id for target in targets])
        rollouts = await target_states.list_live_rollouts(conn, deployment.id)
        pulse = found(await target_states.find_pulse(conn, deployment.id), "deployment")
        _, frozen = await freezes.list_freezes(conn, here.id, deployment_id=deployment.id, limit=1)
        resolved = await target_states.load_target_variables(conn, [target.id for target in targets])
    explained = [
        present(
            key=target.key,
            environment=target.environment,
            resource=target.resource,
            outcome=target.outcome,
            sentences=_sentences(target, around, ended=ended.get(target.id, ())),
        )
        for target in targets
    ]
    return Json(
        present(
            deployment={"id": deployment.id, "name": deployment.name},
            sentences=[
                *explain_deployment(targets, rollouts=rollouts, frozen=frozen),
                *_remarks([each.origin for each in resolved.values()]),
            ],
            targets=explained,
            targetsTotal=total,
            decidedAt=instant(pulse.decided_at) if pulse.decided_at else None,
            wakeAt=instant(pulse.wake_at) if pulse.wake_at else None,
        )
    )


@router.get(W + "/releases/{releaseId:segment}", response_model=shapes.Release)
async def get_release(here: InWorkspace, releaseId: str) -> Response:
    """Get a release: what a target runs or ran, frozen."""
    here.require(Permission.READ)
    release_id = id_of(releaseId, "release")
    async with here.read() as conn:
        releases = await target_states.load_releases(conn, here.id, release_ids=[release_id])
    return Json(render_release(found(releases.get(release_id), "release")))


@router.get(
    W + "/resources/identifier/{identifier:segment}/release-targets/deployment/{deploymentId:segment}",
    response_model=shapes.ReleaseTarget,
)
async def find_target_of_resource(here: InWorkspace, identifier: str, deploymentId: str) -> Response:
    """Get the target that a deployment has on a resource."""
    here.require(Permission.READ)
    deployment_id = id_of(deploymentId, "deployment")
    async with here.read() as conn:
        resource = found(await resources.find_resource(conn, here.id, identifier=identifier), "resource")
        targets, _ = await target_states.list_targets(
            conn, here.id, deployment_id=deployment_id, resource_id=resource.id, limit=1
        )
    return Json(_triple(found(targets[0] if targets else None, "release target")))


@router.get(
    W + "/resources/{identifier:segment}/release-targets/deployment/{deploymentId:segment}",
    response_model=shapes.ReleaseTarget,
)
async def find_target_by_old_path(here: InWorkspace, identifier: str, deploymentId: str) -> Response:
    """Get the target that a deployment has on a resource; the document's spelling of the path."""
    return await find_target_of_resource(here, identifier, deploymentId)


async def load_around(conn: Conn, workspace_id: str, *, targets: Sequence[TargetState]) -> Around:
    """Load what these targets refer to: a few statements, whatever their number."""
    release_ids = _ids(
        each
        for target in targets
        for each in (target.current_release_id, target.good_release_id, target.move_release_id)
    )
    releases = await target_states.load_releases(conn, workspace_id, release_ids=release_ids)
    decisions = await target_states.load_decisions(conn, _ids(each for t in targets for each in t.decision_ids))
    version_ids = {release.version_id for release in releases.values()}
    for target in targets:
        version_ids |= {
            each
            for each in (target.desired_version_id, target.move_version_id, target.decided_version_id)
            if each is not None
        }
    loaded = await versions.load_versions(conn, sorted(version_ids))
    frozen = await freezes.load_biting(conn, [target.id for target in targets])
    return Around(releases, {version.id: version for version in loaded}, decisions, frozen=frozen)


async def with_variables(conn: Conn, around: Around, targets: Sequence[TargetState]) -> Around:
    """The same, with what these targets' variables are resolved to."""
    return replace(around, variables=await target_states.load_target_variables(conn, [each.id for each in targets]))


async def verifications_of(conn: Conn, job_id: str) -> list[Wire]:
    """The verifications of a job with what their metrics measured."""
    rows = await verifications.list_verifications(conn, [job_id])
    metrics = await target_states.list_metrics(conn, [row.id for row in rows])
    return [
        present(
            id=row.id,
            jobId=row.job_id,
            status="failed" if row.state == "inconclusive" else row.state,
            state=row.state,
            message=row.message,
            createdAt=instant(row.started_at),
            endedAt=instant(row.ended_at) if row.ended_at else None,
            metrics=[
                {
                    **metric.spec,
                    "state": metric.state,
                    "measurements": [present(**measurement) for measurement in metric.measurements],
                }
                for metric in metrics
                if metric.verification_id == row.id
            ],
        )
        for row in rows
    ]


def render_target(target: TargetState, around: Around) -> Wire:
    """A target as the list shows it."""
    current = around.releases.get(target.current_release_id or "")
    good = around.releases.get(target.good_release_id or "")
    move = None
    if target.move_id is not None:
        move = {
            "id": target.move_id,
            "kind": target.move_kind,
            "state": target.move_state,
            "version": _brief(around.versions.get(target.move_version_id or "")),
        }
    return present(
        id=target.id,
        key=target.key,
        **_triple(target),
        deployment={"id": target.deployment_id, "name": target.deployment},
        environment={"id": target.environment_id, "name": target.environment},
        resource={
            "id": target.resource_id,
            "name": target.resource,
            "identifier": target.identifier,
            "kind": target.resource_kind,
        },
        state=target.state,
        attachedAt=instant(target.attached_at),
        detachedAt=instant(target.detached_at) if target.detached_at else None,
        agent=target.agent_state if target.agent_state != "one" else None,
        current=_brief(around.versions.get(current.version_id)) if current else None,
        good=_brief(around.versions.get(good.version_id)) if good else None,
        desired=_brief(_desired(target, around)),
        move=move,
        outcome=target.outcome,
        reason=first_reason(target, decisions=around.decisions, tags=around.tags),
        since=instant(target.since) if target.since else None,
        wakeAt=instant(target.wake_at) if target.wake_at else None,
        frozen=[render_biting(freeze) for freeze in around.frozen.get(target.id, ())] or None,
    )


def render_biting(freeze: Biting) -> Wire:
    """A freeze as it concerns a target."""
    return present(
        id=freeze.id,
        scope=freeze.scope_kind,
        reason=freeze.reason,
        by=freeze.created_by,
        since=instant(freeze.created_at),
        until=instant(freeze.expires_at) if freeze.expires_at else None,
    )


def render_release(release: Release) -> Wire:
    """A release on the wire, with its version as it was then."""
    return {
        "id": release.id,
        "createdAt": instant(release.created_at),
        "releaseTarget": {
            "resourceId": release.resource_id,
            "environmentId": release.environment_id,
            "deploymentId": release.deployment_id,
        },
        "version": release.snapshot.get("version"),
        "variables": render_variables(release.snapshot.get("variables") or {}),
        "variableOrigins": release.snapshot.get("variableOrigins") or {},
        "encryptedVariables": encrypted_in(release.snapshot.get("variables") or {}),
    }


def _remarks(origins: Iterable[Mapping[str, Any]]) -> list[str]:
    """What there is to know of how the variables of many targets came about, each once: the most frequent first."""
    counts = Counter(remark for origin in origins for remark in remarks(origin))
    said = [
        f"{remark} ({number} {'target' if number == 1 else 'targets'})"
        for remark, number in sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    ]
    return (
        said if len(said) <= REMARKS_MAX else [*said[:REMARKS_MAX], f"And {len(said) - REMARKS_MAX} more like these."]
    )


def _render_target_variables(resolved: TargetVariables) -> Wire:
    """The variables by key, each with where it comes from."""
    values = render_variables(resolved.values)
    origins = resolved.origin.get("variables", {})
    return {
        "variables": [
            {"key": key, **({"value": values[key]} if key in values else {}), **origins.get(key, {})}
            for key in sorted({*values, *origins})
        ],
        "passedOver": resolved.origin.get("passedOver", []),
    }


def _releases(target: TargetState, around: Around) -> Wire:
    """Desired and current release. A version that has no release here yet is shown as what it would be."""
    current = around.releases.get(target.current_release_id or "")
    moving = around.releases.get(target.move_release_id or "")
    desired = _desired(target, around)
    wanted: Wire | None = None
    if desired is not None:
        known = next((each for each in (moving, current) if each and each.version_id == desired.id), None)
        wanted = render_release(known) if known else _release_to_be(target, desired, around.variables.get(target.id))
    return present(desiredRelease=wanted, currentRelease=render_release(current) if current else None)


def _release_to_be(target: TargetState, version: Version, resolved: TargetVariables | None) -> Wire:
    return {
        "createdAt": instant(version.created_at),
        "releaseTarget": _triple(target),
        "version": render_version(version),
        "variables": render_variables(resolved.values) if resolved else {},
        "variableOrigins": resolved.origin.get("variables", {}) if resolved else {},
        "encryptedVariables": encrypted_in(resolved.values) if resolved else [],
    }


def _desired(target: TargetState, around: Around) -> Version | None:
    """The version that a target goes for, paced or not; else the one that it runs."""
    current = around.releases.get(target.current_release_id or "")
    wanted = target.desired_version_id or (current.version_id if current else None)
    return around.versions.get(wanted or "")


def _brief(version: Version | None) -> Wire | None:
    return {"id": version.id, "tag": version.tag, "name": version.name} if version else None


def _triple(target: TargetState) -> dict[str, Any]:
    return {
        "resourceId": target.resource_id,
        "environmentId": target.environment_id,
        "deploymentId": target.deployment_id,
    }


def _sentences(target: TargetState, around: Around, *, ended: Sequence[EndedMove]) -> list[str]:
    return explain_target(target, decisions=around.decisions, tags=around.tags, releases=around.releases, ended=ended)


def _render_decision(decision: StoredDecision) -> Wire:
    return present(
        id=decision.id,
        kind=decision.kind,
        environmentId=decision.environment_id,
        version=present(id=decision.version_id, tag=decision.tag),
        outcome=decision.outcome,
        verdicts=decision.verdicts,
        at=instant(decision.at),
        validUntil=instant(decision.valid_until) if decision.valid_until else None,
    )


def _ids(found_ids: Iterable[str | None]) -> list[str]:
    return sorted({each for each in found_ids if each is not None})


async def _known(conn: Conn, here: Here, text: str) -> TargetState:
    key = parse_target_key(text)
    return found(await target_states.find_target(conn, here.id, key=key), "release target")

"""REST for rollouts and quarantines: see where a change stands, steer it, and open the way after a halt.

Whoever pauses, resumes, speeds up, promotes, aborts or clears says why; everybody who looks at it reads the reason.

Source: core.md section 4; DESIGN.md section 1, step 6. These paths are ours, not the public contract's.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, NotRequired

from fastapi import Query
from pydantic import AwareDatetime, Field
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api.deployments import narrowed_to, place_of
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import Wire
from interlock.api.shapes import VersionRef
from interlock.clock import utc_now
from interlock.model.wire import INT32_MAX
from interlock.store import rollouts
from interlock.store.places import Picture, Square, load_picture
from interlock.store.rollouts import Faster, Steering, StoredQuarantine, StoredRollout, StoredSteering
from interlock.web.answers import Json, instant, present
from interlock.web.bodies import ClosedBody, Int, Name, refuse_unless
from interlock.web.paging import Paging
from interlock.web.shapes import Id, Instant, Named, page_of
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("rollouts")

LIVE = ("open", "paused", "halted")
State = Literal["live", "open", "paused", "halted", "complete", "superseded", "aborted"]


class ReasonBody(ClosedBody):
    """Why a person does it."""

    reason: Name


class PauseBody(ReasonBody):
    """Until when; without it a person ends the pause."""

    expiresAt: AwareDatetime | None = None


class FasterBody(ReasonBody):
    """What goes faster, in the words of the rule gradualRollout; what is left out stays."""

    timeScaleInterval: Annotated[Int, Field(ge=0, le=INT32_MAX)] | None = None
    maxInFlight: Annotated[Int, Field(ge=1, le=INT32_MAX)] | None = None
    bakeSeconds: Annotated[Int, Field(ge=0, le=INT32_MAX)] | None = None


class Speed(TypedDict):
    """How a rollout goes faster than its rules say."""

    timeScaleInterval: NotRequired[float]
    maxInFlight: NotRequired[int]
    bakeSeconds: NotRequired[float]
    promotedAt: NotRequired[Instant]


class RolloutAnswer(TypedDict):
    """A rollout. `failuresForgiven` counts targets that failed before a resume."""

    id: Id
    deployment: Named
    environment: Named
    version: NotRequired[VersionRef]
    changeId: Id
    kind: str
    state: Literal["open", "paused", "halted", "complete", "superseded", "aborted"]
    reason: NotRequired[str]
    pausedUntil: NotRequired[Instant]
    openedAt: Instant
    stateAt: Instant
    targetsAtOpen: int
    failures: int
    failuresForgiven: int
    speed: NotRequired[Speed]


class SteeringAnswer(TypedDict):
    """A person's word on a rollout."""

    step: str
    timeScaleInterval: NotRequired[float]
    maxInFlight: NotRequired[int]
    bakeSeconds: NotRequired[float]
    reason: NotRequired[str]
    by: NotRequired[str]
    at: Instant


class SteeredRolloutAnswer(RolloutAnswer):
    """A rollout with what people said about it, newest first."""

    steering: list[SteeringAnswer]


class SquareAnswer(TypedDict):
    """Where one target of a rollout stands."""

    targetId: Id
    resource: str
    state: str
    why: NotRequired[str]
    until: NotRequired[Instant]


class StripAnswer(TypedDict):
    """One wave of a rollout."""

    number: int
    over: bool
    counts: dict[str, int]
    targets: list[SquareAnswer]


class PlacesAnswer(TypedDict):
    """Where every target of a rollout stands, and what is next."""

    inWaves: bool
    waves: list[StripAnswer]
    next: NotRequired[SquareAnswer]


class QuarantineAnswer(TypedDict):
    """What a target does not take again by itself: a version, or a config."""

    id: Id
    deployment: Named
    environment: Named
    targetId: Id
    resource: str
    version: NotRequired[VersionRef]
    configDigest: NotRequired[str]
    setAt: Instant
    clearedAt: NotRequired[Instant]


@router.get(W + "/rollouts", response_model=page_of(RolloutAnswer))
async def list_rollouts(
    here: InWorkspace,
    page: Paging,
    deploymentId: Annotated[str | None, Query(description="Id or name.")] = None,
    state: Annotated[State | None, Query(description="`live`: open, paused or halted.")] = None,
) -> Response:
    """List rollouts, newest first."""
    here.require(Permission.READ)
    async with here.read() as conn:
        narrow = await narrowed_to(conn, here, deploymentId)
        states = None if state is None else LIVE if state == "live" else (state,)
        items, total = await rollouts.list_rollouts(
            conn, here.id, deployment_id=narrow, states=states, limit=page.limit, offset=page.offset
        )
        if not items and page.offset:
            _, total = await rollouts.list_rollouts(conn, here.id, deployment_id=narrow, states=states, limit=1)
    return page.answer([render_rollout(rollout) for rollout in items], total)


@router.get(W + "/rollouts/{rolloutId:segment}", response_model=SteeredRolloutAnswer)
async def get_rollout(here: InWorkspace, rolloutId: str) -> Response:
    """Get a rollout, with what people said about it, newest first."""
    known = await _known(here, rolloutId)
    async with here.read() as conn:
        steering = await rollouts.list_steering(conn, rollout_id=known.id)
    return Json({**render_rollout(known), "steering": [render_steering(word) for word in steering]})


@router.get(W + "/rollouts/{rolloutId:segment}/places", response_model=PlacesAnswer)
async def get_rollout_places(here: InWorkspace, rolloutId: str) -> Response:
    """Get where each target of a rollout stands, wave by wave, and what is next."""
    known = await _known(here, rolloutId)
    async with here.store.snapshot() as conn:
        return Json(render_picture(await load_picture(conn, known)))


@router.post(W + "/rollouts/{rolloutId:segment}/pause", response_model=RolloutAnswer)
async def pause_rollout(here: InWorkspace, rolloutId: str, body: PauseBody) -> Response:
    """Pause an open rollout: what is handed over goes on, nothing else starts. With an end it goes on by itself."""
    over = body.expiresAt is not None and body.expiresAt <= utc_now()
    refuse_unless(not over, "A pause must end in the future.", field="expiresAt")
    return await _steer(here, rolloutId, "pause", body, until=body.expiresAt)


@router.post(W + "/rollouts/{rolloutId:segment}/resume", response_model=RolloutAnswer)
async def resume_rollout(here: InWorkspace, rolloutId: str, body: ReasonBody) -> Response:
    """Resume a paused or halted rollout; the failures that it saw are forgiven."""
    return await _steer(here, rolloutId, "resume", body)


@router.post(W + "/rollouts/{rolloutId:segment}/speed-up", response_model=RolloutAnswer)
async def speed_up_rollout(here: InWorkspace, rolloutId: str, body: FasterBody) -> Response:
    """Let a rollout go faster than its rules say, never slower: the fields of the rule, for this rollout alone."""
    faster = Faster(body.timeScaleInterval, body.maxInFlight, body.bakeSeconds)
    given = faster != Faster()
    refuse_unless(given, "Give timeScaleInterval, maxInFlight or bakeSeconds.", field="timeScaleInterval")
    return await _steer(here, rolloutId, "speed_up", body, faster=faster)


@router.post(W + "/rollouts/{rolloutId:segment}/promote", response_model=RolloutAnswer)
async def promote_rollout(here: InWorkspace, rolloutId: str, body: ReasonBody) -> Response:
    """Let all that is left of a rollout start at once, also of a paused or halted one; gates are still asked."""
    return await _steer(here, rolloutId, "promote", body)


@router.post(W + "/rollouts/{rolloutId:segment}/abort", response_model=RolloutAnswer)
async def abort_rollout(here: InWorkspace, rolloutId: str, body: ReasonBody) -> Response:
    """Give a rollout up: it starts nothing any more. What it moved stays where it is."""
    return await _steer(here, rolloutId, "abort", body)


@router.get(W + "/quarantines", response_model=page_of(QuarantineAnswer))
async def list_quarantines(
    here: InWorkspace,
    page: Paging,
    deploymentId: Annotated[str | None, Query(description="Id or name.")] = None,
    cleared: Annotated[bool, Query(description="Those that were cleared as well.")] = False,
) -> Response:
    """List what targets do not take again by themselves, newest first."""
    here.require(Permission.READ)
    async with here.read() as conn:
        narrow = await narrowed_to(conn, here, deploymentId)
        items, total = await rollouts.list_quarantines(
            conn, here.id, deployment_id=narrow, cleared_too=cleared, limit=page.limit, offset=page.offset
        )
        if not items and page.offset:
            _, total = await rollouts.list_quarantines(
                conn, here.id, deployment_id=narrow, cleared_too=cleared, limit=1
            )
    return page.answer([render_quarantine(quarantine) for quarantine in items], total)


@router.get(W + "/quarantines/{quarantineId:segment}", response_model=QuarantineAnswer)
async def get_quarantine(here: InWorkspace, quarantineId: str) -> Response:
    """Get a quarantine."""
    here.require(Permission.READ)
    quarantine_id = id_of(quarantineId, "quarantine")
    async with here.read() as conn:
        known = found(await rollouts.find_quarantine(conn, here.id, quarantine_id=quarantine_id), "quarantine")
    return Json(render_quarantine(known))


@router.post(W + "/quarantines/{quarantineId:segment}/clear", response_model=QuarantineAnswer)
async def clear_quarantine(here: InWorkspace, quarantineId: str, body: ReasonBody) -> Response:
    """Let a target take again what failed on it."""
    here.require(Permission.READ)
    quarantine_id = id_of(quarantineId, "quarantine")
    async with here.read() as conn:
        known = found(await rollouts.find_quarantine(conn, here.id, quarantine_id=quarantine_id), "quarantine")
    place = await place_of(here, known.deployment_id, environment_id=known.environment_id)
    async with here.tx(Permission.STEER, cause="api: clear quarantine", place=place) as tx:
        cleared = await rollouts.clear_quarantine(
            tx, here.id, quarantine_id=quarantine_id, principal_id=here.caller.id, reason=body.reason
        )
    return Json(render_quarantine(cleared))


async def _steer(
    here: Here,
    text: str,
    step: Steering,
    body: ReasonBody,
    *,
    faster: Faster | None = None,
    until: datetime | None = None,
) -> Response:
    known = await _known(here, text)
    place = await place_of(here, known.deployment_id, environment_id=known.environment_id)
    async with here.tx(Permission.STEER, cause=f"api: {step} rollout", place=place) as tx:
        after = await rollouts.steer_rollout(
            tx,
            here.id,
            rollout_id=known.id,
            step=step,
            reason=body.reason,
            principal_id=here.caller.id,
            faster=faster,
            until=until,
        )
    return Json(render_rollout(after))


async def _known(here: Here, text: str) -> StoredRollout:
    here.require(Permission.READ)
    rollout_id = id_of(text, "rollout")
    async with here.read() as conn:
        return found(await rollouts.find_rollout(conn, here.id, rollout_id=rollout_id), "rollout")


def render_rollout(rollout: StoredRollout) -> Wire:
    """A rollout on the wire. `failures` counts targets that failed in it, `failuresForgiven` those before a resume."""
    return present(
        id=rollout.id,
        deployment={"id": rollout.deployment_id, "name": rollout.deployment},
        environment={"id": rollout.environment_id, "name": rollout.environment},
        version=present(id=rollout.version_id, tag=rollout.tag) or None,
        changeId=rollout.change_id,
        kind=rollout.kind,
        state=rollout.state,
        reason=rollout.reason,
        pausedUntil=instant(rollout.paused_until) if rollout.paused_until and rollout.state == "paused" else None,
        openedAt=instant(rollout.opened_at),
        stateAt=instant(rollout.state_at),
        targetsAtOpen=rollout.targets_at_open,
        failures=rollout.failures,
        failuresForgiven=rollout.failures_forgiven,
        speed=present(
            timeScaleInterval=rollout.interval_s,
            maxInFlight=rollout.max_in_flight,
            bakeSeconds=rollout.bake_s,
            promotedAt=instant(rollout.promoted_at) if rollout.promoted_at else None,
        )
        or None,
    )


def render_steering(word: StoredSteering) -> Wire:
    """A person's word on a rollout, on the wire."""
    return present(
        step=word.step.replace("_", "-"),
        timeScaleInterval=word.interval_s,
        maxInFlight=word.max_in_flight,
        bakeSeconds=word.bake_s,
        reason=word.reason,
        by=word.by,
        at=instant(word.at),
    )


def render_quarantine(quarantine: StoredQuarantine) -> Wire:
    """A quarantine on the wire: of a version, or of a config."""
    return present(
        id=quarantine.id,
        deployment={"id": quarantine.deployment_id, "name": quarantine.deployment},
        environment={"id": quarantine.environment_id, "name": quarantine.environment},
        targetId=quarantine.target_id,
        resource=quarantine.resource,
        version=present(id=quarantine.version_id, tag=quarantine.tag) or None,
        configDigest=quarantine.config_digest,
        setAt=instant(quarantine.set_at),
        clearedAt=instant(quarantine.cleared_at) if quarantine.cleared_at else None,
    )


def render_picture(picture: Picture) -> Wire:
    """A picture on the wire."""
    return present(
        inWaves=picture.in_waves,
        waves=[
            {
                "number": strip.number,
                "over": strip.over,
                "counts": strip.counts,
                "targets": [_render_square(square) for square in strip.squares],
            }
            for strip in picture.strips
        ],
        next=_render_square(picture.next) if picture.next else None,
    )


def _render_square(square: Square) -> Wire:
    return present(
        targetId=square.target_id,
        resource=square.resource,
        state=square.state,
        why=square.why,
        until=instant(square.until) if square.until else None,
    )

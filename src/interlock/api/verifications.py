"""REST for verifications: what was measured after a job, and what people say where nothing could tell.

Accepting and failing need a reason, which everybody who looks at it reads. Saying the same twice is saying it once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired

from fastapi import Query
from pydantic import Field
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api.deployments import place_of
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import Wire
from interlock.api.shapes import VersionRef
from interlock.store import verification_words
from interlock.store.queries import Conn
from interlock.store.verification_words import MetricCounts, Said, VerificationPlace, Word
from interlock.web.answers import Json, instant, present
from interlock.web.bodies import ClosedBody
from interlock.web.paging import Paging
from interlock.web.shapes import Id, Instant, Named, page_of
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("verifications")

REASON_MAX = 1_000

VERIFICATION_STATES = Literal["running", "passed", "failed", "inconclusive", "held"]


class WordBody(ClosedBody):
    """Why: everybody who looks at the verification reads it."""

    reason: Annotated[str, Field(min_length=1, max_length=REASON_MAX)]


class AgainBody(ClosedBody):
    """Why it is measured again, where there is something to say."""

    reason: Annotated[str, Field(min_length=1, max_length=REASON_MAX)] | None = None


class MetricAnswer(TypedDict):
    """A metric with how often it said what, in this run of the verification. `waitsFor`: what somebody has to post."""

    name: str
    state: str
    message: NotRequired[str]
    judge: NotRequired[str]
    dryRun: bool
    onInconclusive: str
    nextAt: NotRequired[Instant]
    waitsFor: NotRequired[str]
    passed: int
    failed: int
    inconclusive: int
    errored: int


class SaidAnswer(TypedDict):
    """What somebody said of it."""

    word: Literal["accepted", "failed", "again"]
    reason: NotRequired[str]
    at: Instant
    by: str


class VerificationAnswer(TypedDict):
    """A verification. `held`: nothing could tell, and it waits; `can` is what there is to say of it now."""

    id: Id
    about: str
    state: Literal["running", "passed", "failed", "inconclusive"]
    held: bool
    message: NotRequired[str]
    deployment: Named
    environment: NotRequired[Named]
    resource: NotRequired[Named]
    version: NotRequired[VersionRef]
    jobId: NotRequired[Id]
    rolloutId: NotRequired[Id]
    startedAt: Instant
    endedAt: NotRequired[Instant]
    run: int
    heldSince: NotRequired[Instant]
    heldUntil: NotRequired[Instant]
    comesTo: NotRequired[Literal["fail", "pass"]]
    againAt: NotRequired[Instant]
    passedAt: NotRequired[Instant]
    can: list[Literal["accept", "fail", "again"]]
    metrics: NotRequired[list[MetricAnswer]]
    said: NotRequired[list[SaidAnswer]]


@router.get(W + "/verifications", response_model=page_of(VerificationAnswer))
async def list_verifications(
    here: InWorkspace,
    page: Paging,
    deploymentId: Annotated[str | None, Query()] = None,
    jobId: Annotated[str | None, Query()] = None,
    state: Annotated[VERIFICATION_STATES | None, Query()] = None,
) -> Response:
    """List verifications, newest first; `held` are those that wait because nothing could tell."""
    here.require(Permission.READ)
    narrow: dict[str, Any] = {
        "deployment_id": id_of(deploymentId, "deployment") if deploymentId else None,
        "subject_id": id_of(jobId, "job") if jobId else None,
        "state": state,
    }
    async with here.read() as conn:
        items, total = await verification_words.list_verifications(
            conn, here.id, **narrow, limit=page.limit, offset=page.offset
        )
        if not items and page.offset:
            _, total = await verification_words.list_verifications(conn, here.id, **narrow, limit=1)
    return page.answer([render_verification(one) for one in items], total)


@router.get(W + "/verifications/{verificationId:segment}", response_model=VerificationAnswer)
async def get_verification(here: InWorkspace, verificationId: str) -> Response:
    """Get a verification with its metrics, and what people said of it."""
    here.require(Permission.READ)
    async with here.read() as conn:
        return Json(await _whole(here, conn, id_of(verificationId, "verification")))


@router.post(W + "/verifications/{verificationId:segment}/accept", response_model=VerificationAnswer)
async def accept_verification(here: InWorkspace, verificationId: str, body: WordBody) -> Response:
    """Accept what measuring could not tell: the move goes on as if it had passed."""
    return await _say(here, verificationId, "accepted", body.reason)


@router.post(W + "/verifications/{verificationId:segment}/fail", response_model=VerificationAnswer)
async def fail_verification(here: InWorkspace, verificationId: str, body: WordBody) -> Response:
    """Fail what measuring could not tell: halts and rollbacks follow as after any failed verification."""
    return await _say(here, verificationId, "failed", body.reason)


@router.post(W + "/verifications/{verificationId:segment}/again", response_model=VerificationAnswer)
async def measure_verification_again(here: InWorkspace, verificationId: str, body: AgainBody | None = None) -> Response:
    """Measure again: what could not tell, or what passed while its target still runs it or its rollout lasts."""
    return await _say(here, verificationId, "again", body.reason if body else None)


async def _say(here: Here, text: str, word: Word, reason: str | None) -> Response:
    here.require(Permission.READ)
    verification_id = id_of(text, "verification")
    async with here.read() as conn:
        known = await verification_words.find_verification(conn, here.id, verification_id=verification_id)
        known = found(known, "verification")
    place = await place_of(here, known.deployment_id, environment_id=known.environment_id)
    async with here.tx(Permission.STEER, cause=f"api: {word} verification", place=place) as tx:
        await verification_words.say(
            tx,
            here.id,
            verification_id=verification_id,
            word=word,
            reason=reason,
            principal_id=here.caller.id,
        )
        return Json(await _whole(here, tx.conn, verification_id))


async def _whole(here: Here, conn: Conn, verification_id: str) -> Wire:
    known = await verification_words.find_verification(conn, here.id, verification_id=verification_id)
    one = found(known, "verification")
    metrics = await verification_words.list_metric_counts(conn, verification_id)
    return render_verification(one, metrics, await verification_words.list_said(conn, [verification_id]))


def render_verification(
    one: VerificationPlace, metrics: tuple[MetricCounts, ...] | None = None, said: tuple[Said, ...] | None = None
) -> Wire:
    """A verification on the wire."""
    return present(
        id=one.id,
        about=one.about,
        state=one.state,
        held=one.held,
        message=one.message,
        deployment={"id": one.deployment_id, "name": one.deployment},
        environment={"id": one.environment_id, "name": one.environment} if one.environment_id else None,
        resource={"id": one.resource_id, "name": one.resource} if one.resource_id else None,
        version={"id": one.version_id, "tag": one.tag} if one.version_id else None,
        jobId=one.subject_id if one.subject_kind == "job" else None,
        rolloutId=one.rollout_id,
        startedAt=instant(one.started_at),
        endedAt=instant(one.ended_at) if one.ended_at else None,
        run=one.run,
        heldSince=instant(one.held_since) if one.held and one.held_since else None,
        heldUntil=instant(one.held_until) if one.held_until else None,
        comesTo=one.comes_to if one.held_until else None,
        againAt=instant(one.again_at) if one.again_at else None,
        passedAt=instant(one.passed_at) if one.passed_at else None,
        can=list(one.can),
        metrics=None if metrics is None else [_metric(one, each) for each in metrics],
        said=None if said is None else [_said(each) for each in said],
    )


def _metric(of: VerificationPlace, one: MetricCounts) -> Wire:
    provider = str(one.spec["provider"]["type"])
    return present(
        name=one.name,
        state=one.state,
        message=one.message,
        judge=_judge(one.spec.get("compare")),
        dryRun=bool(one.spec.get("dryRun", False)),
        onInconclusive=str(one.spec.get("onInconclusive") or "hold"),
        nextAt=instant(one.next_at) if one.next_at and one.state == "running" else None,
        waitsFor=of.waits_for(one.name, provider_kind=provider, metric_state=one.state),
        passed=one.passed,
        failed=one.failed,
        inconclusive=one.inconclusive,
        errored=one.errored,
    )


def _judge(compare: object) -> str | None:
    return str(compare.get("judge") or "sequential") if isinstance(compare, Mapping) else None


def _said(one: Said) -> Wire:
    return present(word=one.word, reason=one.reason, at=instant(one.at), by=one.by)

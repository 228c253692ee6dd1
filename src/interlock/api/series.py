"""REST for looking at verifications: which there are of a job, a target or a rollout, and what was measured over time.

The series is what the console draws and `interlock verification watch` follows.

Source: issue "Verification that acts". These paths are ours, not the public contract's.
"""

from __future__ import annotations

from typing import Literal, NotRequired

from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.shapes import VersionRef
from interlock.store import series, verification_words
from interlock.web.answers import Json
from interlock.web.series import render_series
from interlock.web.shapes import Id, Instant, Named
from interlock.web.sign_in import InWorkspace

router = noun_router("verifications")

State = Literal["running", "passed", "failed", "inconclusive"]


class SubjectAnswer(TypedDict):
    """What a verification is about."""

    kind: Literal["job", "wave", "rollout", "target", "slo"]
    id: Id


class PointAnswer(TypedDict):
    """One measurement. `says`: why it did not pass, or the numbers of a compared look."""

    at: Instant
    status: Literal["passed", "failed", "inconclusive", "errored"]
    says: NotRequired[str]


class LineAnswer(TypedDict):
    """A line: a number for each point, null where there is none. `role`: value, canary, baseline, allowed, low, ..."""

    role: str
    name: str
    values: list[float | None]


class ThresholdAnswer(TypedDict):
    """A line across a panel, in words: `passes below 1 %`."""

    value: float
    says: str
    good: bool


class PanelAnswer(TypedDict):
    """One pair of axes. `unit`: ratio (0 to 1), %, ms, s, bytes or empty."""

    title: str
    unit: str
    log: bool
    lines: list[LineAnswer]
    thresholds: list[ThresholdAnswer]


class CountsAnswer(TypedDict):
    """How many measurements there are of each status."""

    passed: int
    failed: int
    inconclusive: int
    errored: int


class MetricSeriesAnswer(TypedDict):
    """A metric over time."""

    id: Id
    name: str
    state: State
    says: str
    provider: str
    judge: NotRequired[str]
    successCondition: NotRequired[str]
    failureCondition: NotRequired[str]
    dryRun: NotRequired[bool]
    count: NotRequired[int]
    intervalSeconds: float
    counts: CountsAnswer
    nextAt: NotRequired[Instant]
    points: list[PointAnswer]
    panels: list[PanelAnswer]


class VerificationSeriesAnswer(TypedDict):
    """A verification with its metrics over time, and its verdict in a sentence."""

    id: Id
    about: str
    state: State
    held: bool
    says: str
    subject: SubjectAnswer
    deployment: Named
    environment: NotRequired[Named]
    resource: NotRequired[Named]
    version: NotRequired[VersionRef]
    targetId: NotRequired[Id]
    rolloutId: NotRequired[Id]
    jobId: NotRequired[Id]
    message: NotRequired[str]
    run: int
    startedAt: Instant
    endedAt: NotRequired[Instant]
    againAt: NotRequired[Instant]
    nextAt: NotRequired[Instant]
    metrics: list[MetricSeriesAnswer]


@router.get(W + "/verifications/{verificationId:segment}/series", response_model=VerificationSeriesAnswer)
async def get_verification_series(here: InWorkspace, verificationId: str) -> Response:
    """Get what a verification measured over time: lines with their limits, and its verdict in a sentence."""
    here.require(Permission.READ)
    verification_id = id_of(verificationId, "verification")
    async with here.store.snapshot() as conn:
        one = found(
            await verification_words.find_verification(conn, here.id, verification_id=verification_id), "verification"
        )
        metrics = await series.load_series(conn, verification_id)
    return Json(render_series(one, metrics))

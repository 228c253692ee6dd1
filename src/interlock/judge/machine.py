"""What do the measurements say so far, and when is the next one due?

A fold over the measurements in their order. It stops at the one that decides: what comes later changes nothing.

**One metric**, after each measurement:

1. more failed ones than `failureThreshold` (0 where absent): **failed**;
2. more than `errorsMax` errors in a row: **inconclusive**. Any other measurement breaks the row;
3. `successThreshold` passes in a row, if there is one: **passed** early;
4. `count` measurements, errors not counted: **passed** when more passed than were inconclusive, else **inconclusive**;
5. else **running**.

**When.** Measurements stand on a fixed grid: begin + warm-up + k · interval. The next one is due at the first point at
least half an interval after the last one, so a slow answer does not move the grid, and an outage leaves a gap instead
of a burst. After the n-th error in a row the wait is interval · 2^(n−1), at most 60 s or one interval, put on the grid
too.

**A metric that compares** two sides is judged by all its looks together (`comparison.py`): rule 2 holds, then its judge
decides, at the latest at `count`. Kayenta's classes fail nobody by themselves, but for a critical one: when all of them
are over, the score of a verification's metrics is one verdict more.

**A metric that runs while its rollout is open** has no end of its own. Rule 1 looks at the last `count` measurements
alone, rule 2 holds, and there are no rules 3 and 4: it is running until it has failed or could not tell. A sequential
judge finds harm as ever, at every look of however many; that it is safe ends nothing.

**A verification** is failed as soon as one metric is; it is over when all are. Dry-run metrics decide nothing, and are
waited for only where there are no others. Each of its sequential judges has its own part of its rollout's α
(`spending.py`), which was fixed when the verification began. What an inconclusive metric comes to says its
`onInconclusive`: with `fail` it is as a failed one, with `pass` as a passed one, and with `hold` the verification is
inconclusive: nobody can tell, and somebody has to.

Source: DESIGN.md section 7 (failed and errored differ); reference-behaviour.md 4.11. Different on purpose: a missing or
zero `successThreshold` means "never early" (there it ended the metric with no measurement, and the job verified for
ever); `count` passes nothing that nobody saw passing; errors have an end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from interlock.judge.canary import Classified, Verdict
from interlock.judge.comparison import Sample, Seen, found_of, judge_samples, nothing_seen, score_all, with_sample
from interlock.judge.spending import evenly
from interlock.model.compare import JUDGED_AT_EVERY_LOOK, Compare
from interlock.model.verification import (
    Measurement,
    MeasurementStatus,
    MetricSpec,
    OnInconclusive,
    Runs,
    VerificationState,
)

BACKOFF_MAX_S = 60.0

STATE_BY_WORD = {
    OnInconclusive.HOLD: VerificationState.INCONCLUSIVE,
    OnInconclusive.FAIL: VerificationState.FAILED,
    OnInconclusive.PASS: VerificationState.PASSED,
}


@dataclass(frozen=True, slots=True)
class MetricProgress:
    """Where one metric stands.

    Takes: `next_at` is None once the state is final, and `decided_at` until then. `reason` is a sentence for people.
           `passes_in_a_row` and `errors_in_a_row` count back from the last measurement. `classified` is the class
           of a metric that Kayenta's judge has judged. `window`: of the last that a metric without an end looks at,
           which failed. `numbers`: those that led a judge to its verdict, by name. `seen`: what a judge that judges at
           every look knows of those so far.
    """

    state: VerificationState
    passed: int = 0
    failed: int = 0
    inconclusive: int = 0
    errored: int = 0
    passes_in_a_row: int = 0
    errors_in_a_row: int = 0
    next_at: datetime | None = None
    decided_at: datetime | None = None
    reason: str | None = None
    classified: Classified | None = None
    window: tuple[bool, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)
    seen: Seen | None = None

    @property
    def counted(self) -> int:
        """Measurements that count towards `count`: errors do not."""
        return self.passed + self.failed + self.inconclusive


@dataclass(frozen=True, slots=True)
class VerificationProgress:
    """Where a verification stands: its state, with the metrics it rests on, in the order they were given."""

    state: VerificationState
    metrics: tuple[MetricProgress, ...]
    next_at: datetime | None = None
    decided_at: datetime | None = None
    reason: str | None = None


def judge_metric(
    spec: MetricSpec, measurements: Sequence[Measurement], *, started_at: datetime, alpha_share: float = 1.0
) -> MetricProgress:
    """Fold the measurements of one metric.

    Takes: measurements in the order they were taken; `started_at` is when the verification began; `alpha_share` is the
           part of its α that a sequential judge may spend.
    Fails: never.
    """
    if spec.compare is not None and not judged_alone(spec):
        progress = _compared(spec, spec.compare, measurements, alpha_share=alpha_share)
        if progress.state.final:
            return progress
        last = measurements[-1] if measurements else None
        return replace(progress, next_at=_next_at(spec, progress, last, started_at=started_at))
    progress = begun(spec, started_at=started_at)
    for measurement in measurements:
        progress = with_one_more(spec, progress, measurement, started_at=started_at)
    return progress


def judged_alone(spec: MetricSpec) -> bool:
    """Whether each measurement is judged by itself."""
    return spec.compare is None or spec.compare.judge == "threshold"


def is_carried(spec: MetricSpec) -> bool:
    """Whether a metric's progress is all that its next measurement needs: but for Kayenta's judge, which wants all."""
    return judged_alone(spec) or _at_every_look(spec) is not None


def _at_every_look(spec: MetricSpec) -> Compare | None:
    """The comparison whose evidence adds up from look to look, where it is one."""
    return spec.compare if spec.compare is not None and spec.compare.judge in JUDGED_AT_EVERY_LOOK else None


def begun(spec: MetricSpec, *, started_at: datetime, alpha_share: float = 1.0) -> MetricProgress:
    """A metric of which nothing was measured yet."""
    progress = MetricProgress(VerificationState.RUNNING)
    compare = _at_every_look(spec)
    if compare is not None:
        found = found_of(compare, nothing_seen(compare), alpha=compare.alpha * alpha_share, last=False)
        progress = replace(progress, reason=found.reason, seen=found.seen)
    return replace(progress, next_at=_next_at(spec, progress, None, started_at=started_at))


def with_one_more(
    spec: MetricSpec,
    progress: MetricProgress,
    measurement: Measurement,
    *,
    started_at: datetime,
    alpha_share: float = 1.0,
) -> MetricProgress:
    """One more measurement of a metric whose progress is carried. What is over stays as it is.

    Takes: `alpha_share`: as for `judge_metric`, the same for all measurements of one metric.
    """
    if progress.state.final:
        return progress
    counted = replace(_counted(progress, measurement), next_at=None)
    compare = _at_every_look(spec)
    if compare is not None:
        decided = _looked(spec, compare, counted, measurement, alpha=compare.alpha * alpha_share)
    else:
        decide = _watched if spec.runs is Runs.WHILE_OPEN else _decided
        decided = decide(spec, counted, measurement)
    if decided.state.final:
        return decided
    return replace(decided, next_at=_next_at(spec, decided, measurement, started_at=started_at))


def _looked(
    spec: MetricSpec, compare: Compare, progress: MetricProgress, measurement: Measurement, *, alpha: float
) -> MetricProgress:
    """One more look at two sides, by a judge whose evidence adds up."""
    if measurement.status is MeasurementStatus.ERRORED or progress.seen is None:
        return _given_up(spec, progress, measurement)
    endless = spec.runs is Runs.WHILE_OPEN
    sample: Sample = measurement.result["sample"]  # type: ignore[assignment]
    seen = with_sample(compare, progress.seen, sample, alpha=alpha, endless=endless)
    last = not endless and progress.counted >= spec.count
    found = found_of(compare, seen, alpha=alpha, last=last, endless=endless)
    if not found.state.final:
        return replace(progress, reason=found.reason, seen=seen)
    at = measurement.measured_at
    return replace(progress, state=found.state, decided_at=at, reason=found.reason, numbers=found.numbers, seen=seen)


def judge_verification(
    metrics: Sequence[tuple[MetricSpec, Sequence[Measurement]]],
    *,
    started_at: datetime,
    alpha_shares: Sequence[float | None] = (),
) -> VerificationProgress:
    """Fold the metrics of one verification.

    Takes: `alpha_shares`: each metric's part of its rollout's α; without them it is split over this verification's.
    Gives: `next_at`, the earliest instant at which one of them is due. Without metrics: passed at its start.
    Fails: never.
    """
    shares = alpha_of([spec for spec, _ in metrics], alpha_shares)
    judged = [
        (spec, judge_metric(spec, measured, started_at=started_at, alpha_share=share))
        for (spec, measured), share in zip(metrics, shares, strict=True)
    ]
    return conclude(judged, started_at=started_at)


def alpha_of(specs: Sequence[MetricSpec], alpha_shares: Sequence[float | None] = ()) -> list[float]:
    """Each metric's part of α: what was fixed when it began, else an even one."""
    even = evenly(sum(spec.spends_alpha for spec in specs))
    return [even if share is None else share for share in alpha_shares] or [even] * len(specs)


def conclude(metrics: Sequence[tuple[MetricSpec, MetricProgress]], *, started_at: datetime) -> VerificationProgress:
    """What the metrics of one verification say together, each judged by itself.

    Fails: never.
    """
    judged = tuple(progress for _, progress in metrics)
    named = [(spec.name, progress) for (spec, _), progress in zip(metrics, judged, strict=True)]
    binding = [each for each, (spec, _) in zip(named, metrics, strict=True) if not spec.dry_run]
    scored = [
        (spec.name, spec.compare, progress)
        for (spec, _), progress in zip(metrics, judged, strict=True)
        if spec.compare is not None and spec.compare.judge == "kayenta" and not spec.dry_run
    ]
    excused = {
        name for name, _, progress in scored if progress.classified is not None and not progress.classified.critical
    }
    comes_to = {spec.name: spec.on_inconclusive or OnInconclusive.HOLD for spec, _ in metrics}
    failed = [each for each in binding if each[0] not in excused and _fails(each[1], comes_to[each[0]])]
    if failed:
        first = min(failed, key=_decided_at)
        return _over(VerificationState.FAILED, judged, first, _decided_at(first))
    awaited = binding or named
    if any(not progress.state.final for _, progress in awaited):
        due = [progress.next_at for progress in judged if progress.next_at is not None]
        return VerificationProgress(VerificationState.RUNNING, judged, next_at=min(due))
    ended_at = max((_decided_at(each) for each in awaited), default=started_at)
    classes = [(name, compare, one.classified) for name, compare, one in scored if one.classified is not None]
    score = score_all(classes) if classes else None
    if score is not None and score.verdict is Verdict.FAIL:
        return VerificationProgress(VerificationState.FAILED, judged, decided_at=ended_at, reason=score.reason)
    unclear = [each for each in binding if each[1].state is VerificationState.INCONCLUSIVE and each[0] not in excused]
    held = [each for each in unclear if comes_to[each[0]] is OnInconclusive.HOLD]
    if held:
        return _over(VerificationState.INCONCLUSIVE, judged, min(held, key=_decided_at), ended_at)
    if score is not None and score.verdict is Verdict.MARGINAL:
        words = {comes_to[name] for name, _, _ in scored}
        word = next(one for one in OnInconclusive if one in words)
        state = STATE_BY_WORD[word]
        taken = "" if word is OnInconclusive.HOLD else f" Its policy says {word} where nothing could tell."
        return VerificationProgress(state, judged, decided_at=ended_at, reason=f"{score.reason}{taken}")
    reason = f"{len(binding)} of {len(binding)} metrics passed" if score is None else score.reason
    if unclear:
        names = ", ".join(name for name, _ in unclear)
        reason = f"{len(binding) - len(unclear)} of {len(binding)} metrics passed; nothing could tell of {names}"
    return VerificationProgress(VerificationState.PASSED, judged, decided_at=ended_at, reason=reason)


def _fails(progress: MetricProgress, word: OnInconclusive) -> bool:
    """Whether a metric fails its verification."""
    if progress.state is VerificationState.INCONCLUSIVE:
        return word is OnInconclusive.FAIL
    return progress.state is VerificationState.FAILED


def _counted(progress: MetricProgress, measurement: Measurement) -> MetricProgress:
    """One more measurement, not judged yet."""
    passes, errors = progress.passes_in_a_row + 1, progress.errors_in_a_row + 1
    match measurement.status:
        case MeasurementStatus.PASSED:
            return replace(progress, passed=progress.passed + 1, passes_in_a_row=passes, errors_in_a_row=0)
        case MeasurementStatus.FAILED:
            return replace(progress, failed=progress.failed + 1, passes_in_a_row=0, errors_in_a_row=0)
        case MeasurementStatus.INCONCLUSIVE:
            return replace(progress, inconclusive=progress.inconclusive + 1, passes_in_a_row=0, errors_in_a_row=0)
        case MeasurementStatus.ERRORED:  # says nothing about the service: a row of passes goes on over it
            return replace(progress, errored=progress.errored + 1, errors_in_a_row=errors)


def _decided(spec: MetricSpec, progress: MetricProgress, last: Measurement) -> MetricProgress:
    """The rules of the table above, in their order."""
    tolerated = spec.failure_threshold or 0
    why = f": {last.message}" if last.message else ""
    if progress.failed > tolerated:
        state = VerificationState.FAILED
        reason = f"{progress.failed} of {progress.counted} measurements failed, {tolerated} tolerated{why}"
    elif progress.errors_in_a_row > spec.errors_max:
        return _given_up(spec, progress, last)
    elif spec.success_threshold and progress.passes_in_a_row >= spec.success_threshold:
        state = VerificationState.PASSED
        reason = f"{progress.passes_in_a_row} measurements in a row passed"
    elif progress.counted >= spec.count:
        clear = progress.passed > progress.inconclusive
        state = VerificationState.PASSED if clear else VerificationState.INCONCLUSIVE
        unclear = f", {progress.inconclusive} inconclusive" if progress.inconclusive else ""
        reason = f"{progress.passed} of {progress.counted} measurements passed{unclear}"
    else:
        return progress
    return replace(progress, state=state, decided_at=last.measured_at, reason=reason)


def _watched(spec: MetricSpec, progress: MetricProgress, last: Measurement) -> MetricProgress:
    """The same for a metric without an end: of the last `count` so many may have failed."""
    if last.status is MeasurementStatus.ERRORED:
        return _given_up(spec, progress, last)
    tolerated = spec.failure_threshold or 0
    window = (*progress.window, last.status is MeasurementStatus.FAILED)[-spec.count :]
    progress = replace(progress, window=window)
    if sum(window) <= tolerated:
        return progress
    why = f": {last.message}" if last.message else ""
    reason = f"{sum(window)} of the last {len(window)} measurements failed, {tolerated} tolerated{why}"
    return replace(progress, state=VerificationState.FAILED, decided_at=last.measured_at, reason=reason)


def _compared(
    spec: MetricSpec, compare: Compare, measurements: Sequence[Measurement], *, alpha_share: float
) -> MetricProgress:
    """The looks at two sides, until the one that decides: the judge's, or the last that may be taken.

    Why:   the judge folds all looks itself and tells which one decided, so they are folded once, not once a look.
    """
    endless = spec.runs is Runs.WHILE_OPEN
    steps: list[MetricProgress] = []
    looks: list[int] = []
    progress = MetricProgress(VerificationState.RUNNING)
    for number, measurement in enumerate(measurements):
        progress = _counted(progress, measurement)
        if measurement.status is MeasurementStatus.ERRORED:
            progress = _given_up(spec, progress, measurement)
        else:
            looks.append(number)
        steps.append(progress)
        if progress.state.final or (not endless and progress.counted >= spec.count):
            break
    samples: list[Sample] = [measurements[number].result["sample"] for number in looks]  # type: ignore[misc]
    last = not endless and progress.counted >= spec.count
    found = judge_samples(compare, samples, alpha=compare.alpha * alpha_share, last=last, endless=endless)
    if not found.state.final:
        seen = replace(progress, seen=found.seen)
        return seen if seen.state.final else replace(seen, reason=found.reason)
    decided = looks[found.looks - 1]
    at = measurements[decided].measured_at
    return replace(
        steps[decided],
        state=found.state,
        decided_at=at,
        reason=found.reason,
        classified=found.classified,
        numbers=found.numbers,
        seen=found.seen,
    )


def _given_up(spec: MetricSpec, progress: MetricProgress, last: Measurement) -> MetricProgress:
    """More errors in a row than are tolerated: inconclusive."""
    if progress.errors_in_a_row <= spec.errors_max:
        return progress
    why = f": {last.message}" if last.message else ""
    reason = f"{progress.errors_in_a_row} measurements in a row could not be taken, {spec.errors_max} tolerated{why}"
    return replace(progress, state=VerificationState.INCONCLUSIVE, decided_at=last.measured_at, reason=reason)


def _next_at(spec: MetricSpec, progress: MetricProgress, last: Measurement | None, *, started_at: datetime) -> datetime:
    """The first point of the grid that is late enough."""
    grid = started_at + timedelta(seconds=spec.warm_up_seconds)
    if last is None:
        return grid
    interval_s = spec.interval_seconds
    waits = 1
    if progress.errors_in_a_row > 1:
        most = max(1, math.floor(BACKOFF_MAX_S / interval_s))
        waits = min(2 ** min(progress.errors_in_a_row - 1, 20), most)
    passed_s = (last.measured_at - grid).total_seconds()
    number = math.ceil(passed_s / interval_s + waits - 0.5)
    return grid + timedelta(seconds=max(number, 0) * interval_s)


def _over(
    state: VerificationState, judged: tuple[MetricProgress, ...], by: tuple[str, MetricProgress], at: datetime
) -> VerificationProgress:
    name, progress = by
    return VerificationProgress(state, judged, decided_at=at, reason=f"{name}: {progress.reason}")


def _decided_at(named: tuple[str, MetricProgress]) -> datetime:
    """A final metric has an instant."""
    instant = named[1].decided_at
    assert instant is not None
    return instant

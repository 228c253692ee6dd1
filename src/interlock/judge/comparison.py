"""What do the looks of a compared metric say so far? From stored samples to the judge that the metric names.

Each look that could be taken left a *sample*: what its expressions gave, a side.

    {"canary": {"bad": 3, "total": 1000}, "baseline": {"bad": 20, "total": 9000}}       sequential
    {"canary": [12.1, 11.8], "baseline": [12.0]}                                        means, kayenta, threshold

`sequential` and `means` judge after every look and end as soon as they know; at `count` looks without a verdict they
are inconclusive. `kayenta` judges all points at `count`: judging it more often would be peeking. `threshold` judges
each look by itself, and `machine.py` counts them as it counts any measurement.

Kayenta's classes are no verdicts of their own: the scores of a verification's metrics together are (`score_all`).

Source: definitions.md E2 and E3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, cast

from interlock.judge.bounds import Allowed, Compared, compare_values
from interlock.judge.canary import (
    Bounds,
    Class,
    Classified,
    Comparison,
    Direction,
    Effect,
    Judged,
    Scored,
    Verdict,
    classify,
    score,
)
from interlock.judge.means import Averaging, Moments, compare_means, moments_of
from interlock.judge.sequential import Counting, Finding, Look, Weighed, evidence_of, with_look
from interlock.judge.shift import Solver
from interlock.judge.values import NoNumber, count_of, numbers_of
from interlock.model.compare import JUDGED_AT_EVERY_LOOK, Compare
from interlock.model.verification import Measurement, MeasurementStatus, VerificationState

Sample = Mapping[str, Any]
"""side -> what its expressions gave."""

SIDES = ("canary", "baseline")

STATE_BY_FINDING = {
    Finding.RUNNING: VerificationState.RUNNING,
    Finding.HARMFUL: VerificationState.FAILED,
    Finding.SAFE: VerificationState.PASSED,
    Finding.INCONCLUSIVE: VerificationState.INCONCLUSIVE,
}


@dataclass(frozen=True, slots=True)
class Averaged:
    """All that is needed of the looks so far to compare the means at the next one. `decided`: nothing more counts."""

    looks: int = 0
    canary: Moments = field(default_factory=Moments)
    baseline: Moments = field(default_factory=Moments)
    decided: bool = False


Seen = Weighed | Averaged


@dataclass(frozen=True, slots=True)
class Found:
    """What a judge says of the samples so far, in a sentence with its numbers.

    Takes: `looks` is how many of the samples it took; `classified` is kayenta's class once it has judged. `numbers` are
           those that led there, by name; what is infinite is left out. `seen`: what a judge that judges at every look
           needs for the next one.
    """

    state: VerificationState
    reason: str
    looks: int
    classified: Classified | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    seen: Seen | None = None


def judge_samples(
    compare: Compare, samples: Sequence[Sample], *, alpha: float, last: bool, endless: bool = False
) -> Found:
    """Judge what was seen.

    Takes: samples in their order, none that is malformed; `alpha` is this metric's part; `last`: no more will come;
           `endless`: only harm ends it.
    Fails: never.
    """
    if compare.judge in JUDGED_AT_EVERY_LOOK:
        seen = nothing_seen(compare)
        for sample in samples:
            seen = with_sample(compare, seen, sample, alpha=alpha, endless=endless)
        return found_of(compare, seen, alpha=alpha, last=last, endless=endless)
    if not last:
        return Found(VerificationState.RUNNING, f"{len(samples)} looks so far.", len(samples))
    classified = classify(_points(samples, "canary"), _points(samples, "baseline"), comparison_of(compare))
    if classified.kind is Class.NODATA and not classified.critical:
        return Found(VerificationState.INCONCLUSIVE, classified.reason, len(samples), classified)
    state = VerificationState.PASSED if classified.kind is Class.PASS else VerificationState.FAILED
    told = _finite({"effect": classified.effect})
    return Found(state, f"{classified.kind}. {classified.reason}", len(samples), classified, told)


def nothing_seen(compare: Compare) -> Seen:
    """What a judge that judges at every look knows before the first one."""
    return Weighed() if compare.judge == "sequential" else Averaged()


def with_sample(compare: Compare, seen: Seen, sample: Sample, *, alpha: float, endless: bool = False) -> Seen:
    """One more look. What is decided stays as it is: what comes later changes nothing."""
    if isinstance(seen, Weighed):
        return with_look(seen, look_of(compare, sample), _counting(compare, alpha=alpha, endless=endless))
    if seen.decided:
        return seen
    canary, baseline = (
        getattr(seen, side).plus(moments_of([one for one in sample[side] if one is not None and math.isfinite(one)]))
        for side in SIDES
    )
    finding = compare_means(canary, baseline, averaging_of(compare, alpha=alpha)).finding
    decided = finding is Finding.HARMFUL or (finding is not Finding.RUNNING and not endless)
    return Averaged(seen.looks + 1, canary, baseline, decided)


def found_of(compare: Compare, seen: Seen, *, alpha: float, last: bool, endless: bool = False) -> Found:
    """What its judge says of all that was seen; see `judge_samples`."""
    if isinstance(seen, Averaged):
        return _averaged(compare, seen, alpha=alpha, last=last, endless=endless)
    evidence = evidence_of(seen, _counting(compare, alpha=alpha, endless=endless))
    told = {
        "alpha": alpha,
        "harm": evidence.harm,
        "safety": evidence.safety,
        "ratioLow": evidence.low,
        "ratioHigh": evidence.high,
        "canaryBad": evidence.canary_bad,
        "canaryTotal": evidence.canary_total,
        "baselineBad": evidence.baseline_bad,
        "baselineTotal": evidence.baseline_total,
    }
    found = _ended(evidence.finding, evidence.reason, evidence.looks, last=last)
    return replace(found, numbers=_finite(told), seen=seen)


def judge_look(compare: Compare, sample: Sample) -> Compared:
    """One look of a metric whose judge is `threshold`: the newest number a side."""
    canary, baseline = (sample[side][-1] if sample[side] else math.nan for side in SIDES)
    allowed = Allowed(compare.increase, compare.decrease, compare.ratio_max, compare.ratio_min)
    return compare_values(canary, baseline, allowed)


def read_side(compare: Compare, result: Mapping[str, object], *, side: str) -> Any:
    """What a comparison's expressions give for one side.

    Takes: `side` is what the expressions call it.
    Fails: `NoNumber`, for more bad events than events too.
    """
    if compare.judge != "sequential":
        return numbers_of(compare.value, result, side=side)
    bad, total = (count_of(text, result, side=side) for text in (compare.bad, compare.total))
    if bad > total:
        raise NoNumber(f"{bad} bad events of {total} cannot be")
    return {"bad": bad, "total": total}


def measure_look(compare: Compare, sample: Sample, at: datetime, *, seen: Mapping[str, object]) -> Measurement:
    """One look as it is stored. Only `threshold` says something of one look by itself.

    Takes: `seen` is what else is kept of the answers.
    """
    result = {"sample": sample, **seen}
    if compare.judge != "threshold":
        return Measurement(MeasurementStatus.INCONCLUSIVE, at, None, result)
    compared = judge_look(compare, sample)
    if compared.within is None:
        return Measurement(MeasurementStatus.ERRORED, at, compared.reason, result)
    status = MeasurementStatus.PASSED if compared.within else MeasurementStatus.FAILED
    return Measurement(status, at, compared.reason, result)


def score_all(metrics: Sequence[tuple[str, Compare, Classified]]) -> Scored:
    """Kayenta's score of a verification's metrics.

    Takes: (name, comparison, class) of each; the strictest scores count, and of a group the first weight given.
    """
    weights: dict[str, float] = {}
    for _, compare, _ in metrics:
        if compare.weight is not None:
            weights.setdefault(compare.group, compare.weight)
    return score(
        [Judged(name, classified, (compare.group,)) for name, compare, classified in metrics],
        weights,
        pass_score=max(compare.pass_score for _, compare, _ in metrics),
        marginal_score=max(compare.marginal_score for _, compare, _ in metrics),
    )


STATE_BY_VERDICT = {
    Verdict.PASS: VerificationState.PASSED,
    Verdict.MARGINAL: VerificationState.INCONCLUSIVE,
    Verdict.FAIL: VerificationState.FAILED,
}


def comparison_of(compare: Compare) -> Comparison:
    """Kayenta's part of a comparison."""
    return Comparison(
        direction=cast("Direction", compare.direction),
        nans=cast('Literal["remove", "replace"]', compare.nan_strategy),
        outlier_factor=compare.outlier_factor,
        critical=compare.critical,
        must_have_data=compare.must_have_data,
        measure=cast("Effect", compare.effect),
        allowed=Bounds(compare.allowed_decrease, compare.allowed_increase),
        critical_at=Bounds(compare.critical_decrease, compare.critical_increase),
        solver=cast("Solver", compare.solver),
    )


def look_of(compare: Compare, sample: Sample) -> Look:
    """A sample of counts as the judge takes it."""
    canary, baseline = (sample[side] for side in SIDES)
    return Look(canary["bad"], canary["total"], baseline["bad"], baseline["total"], compare.share)


def averaging_of(compare: Compare, *, alpha: float) -> Averaging:
    """How the judge of means is set."""
    return Averaging(
        alpha=alpha,
        higher_is_worse=compare.higher_is_worse,
        tolerated=compare.tolerated,
        samples_min=compare.samples_min,
        samples_max=compare.samples_max,
    )


def _counting(compare: Compare, *, alpha: float, endless: bool) -> Counting:
    return Counting(
        alpha=alpha,
        safe_below=compare.safe_below,
        requests_min=compare.samples_min,
        requests_max=compare.samples_max,
        endless=endless,
    )


def _averaged(compare: Compare, seen: Averaged, *, alpha: float, last: bool, endless: bool) -> Found:
    difference = compare_means(seen.canary, seen.baseline, averaging_of(compare, alpha=alpha))
    if endless and difference.finding is not Finding.HARMFUL:
        return Found(VerificationState.RUNNING, difference.reason, seen.looks, seen=seen)
    told = {"alpha": alpha, "difference": difference.estimate, "low": difference.low, "high": difference.high}
    found = _ended(difference.finding, difference.reason, seen.looks, last=last)
    numbers = _finite({**told, "canary": seen.canary.mean, "baseline": seen.baseline.mean})
    return replace(found, numbers=numbers, seen=seen)


def _ended(finding: Finding, reason: str, looks: int, *, last: bool) -> Found:
    """A judge that has no verdict when the last look is taken could not tell."""
    if finding is Finding.RUNNING and last:
        return Found(VerificationState.INCONCLUSIVE, f"{reason} No look is left.", looks)
    return Found(STATE_BY_FINDING[finding], reason, looks)


def _points(samples: Sequence[Sample], side: str) -> list[float]:
    return [float(one) for sample in samples for one in sample[side]]


def _finite(numbers: Mapping[str, float]) -> dict[str, float]:
    return {name: number for name, number in numbers.items() if math.isfinite(number)}

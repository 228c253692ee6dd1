"""Is the canary's metric higher or lower than the baseline's, and what do all metrics say together?

    samples of two sides -> Pass, High, Low, Nodata, NodataFail     a metric, by the Mann-Whitney judge
    classes              -> a score from 0 to 100                   groups, weighted
    score                -> pass, marginal, fail                    the verdict

A metric is High when the interval of its shift lies above a quarter of the estimated shift (so the shift is certain
relative to itself), the direction is one that is minded, and the effect is as large as `allowedIncrease`. Low is the
mirror. The effect is the ratio of the means, or the probability that a canary value exceeds a baseline one (`cles`).

A critical metric that is not Pass makes the score 0, and so does a half or more of the metrics without data.

Source: Kayenta's published judge NetflixACAJudge-v1.0 with its defaults, as definitions.md E2 has them. Different on
purpose: constants are compared without noise, and `exact` finds shifts in any unit (`shift.py`). Counts of rare events
are mostly zeros, about which this test is wrong: `sequential.py` judges them.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from interlock.judge.shift import Shift, Solver, find_shift

CONFIDENCE = 0.98
TOLERANCE = 0.25
PASS_SCORE = 95.0
MARGINAL_SCORE = 75.0
NODATA_SHARE = 0.5
POINTS_WANTED = 50
"""So many points a side are wanted before a verdict means much; fewer are judged, and the reason says so."""

Direction = Literal["increase", "decrease", "either"]
Effect = Literal["meanRatio", "cles"]


class Class(StrEnum):
    """What one metric said."""

    PASS = "Pass"  # noqa: S105 - no password
    HIGH = "High"
    LOW = "Low"
    NODATA = "Nodata"
    NODATA_FAIL = "NodataFailMetric"


class Verdict(StrEnum):
    """What all of them said."""

    PASS = "pass"  # noqa: S105 - no password
    MARGINAL = "marginal"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much the effect may fall and rise. None: the measure's own default, 1.0 for the ratio, 0.5 for `cles`."""

    decrease: float | None = None
    increase: float | None = None

    def of(self, measure: Effect) -> tuple[float, float]:
        """(decrease, increase), defaults filled in."""
        default = 0.5 if measure == "cles" else 1.0
        return (
            default if self.decrease is None else self.decrease,
            default if self.increase is None else self.increase,
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a metric's two sides are compared."""

    direction: Direction = "either"
    nans: Literal["remove", "replace"] = "remove"
    outlier_factor: float | None = None
    critical: bool = False
    must_have_data: bool = False
    measure: Effect = "meanRatio"
    allowed: Bounds = field(default_factory=Bounds)
    critical_at: Bounds = field(default_factory=Bounds)
    solver: Solver = "exact"
    confidence: float = CONFIDENCE
    tolerance: float = TOLERANCE


@dataclass(frozen=True, slots=True)
class Classified:
    """A metric's class with the numbers that led there. `effect` is NaN where a mean is 0."""

    kind: Class
    critical: bool
    reason: str
    effect: float = 1.0
    shift: Shift | None = None


def classify(canary: Sequence[float], baseline: Sequence[float], how: Comparison) -> Classified:
    """One metric.

    Takes: the samples of both sides, in any order; NaN where a point has no value.
    Fails: never.
    """
    x, y = (_cleaned(side, how) for side in (canary, baseline))
    if not x or not y:
        return _without_data(x, how)
    if sorted(x) == sorted(y):
        return Classified(Class.PASS, False, "Both sides have the same values.")
    shift = find_shift(x, y, confidence=how.confidence, solver=how.solver)
    effect = _cles(x, y) if how.measure == "cles" else _mean_ratio(x, y)
    band = how.tolerance * abs(shift.estimate)
    decrease, increase = how.allowed.of(how.measure)
    critical_decrease, critical_increase = how.critical_at.of(how.measure)
    said = f"{_numbers(shift, effect, how)}{_few(x, y)}"
    if how.direction != "decrease" and shift.lower > band and _at_least(effect, increase):
        critical = how.critical and _at_least(effect, critical_increase)
        return Classified(Class.HIGH, critical, f"The canary is higher: {said}", effect, shift)
    if how.direction != "increase" and shift.upper < -band and _at_most(effect, decrease):
        critical = how.critical and _at_most(effect, critical_decrease)
        return Classified(Class.LOW, critical, f"The canary is lower: {said}", effect, shift)
    return Classified(Class.PASS, False, f"No difference that is minded: {said}", effect, shift)


def _without_data(canary: Sequence[float], how: Comparison) -> Classified:
    if how.nans == "replace":
        return Classified(Class.PASS, False, "No values, which counts as zeros.")
    reason = f"No values of the {'baseline' if canary else 'canary'}."
    if how.must_have_data and not how.critical:
        return Classified(Class.NODATA_FAIL, False, reason)
    return Classified(Class.NODATA, how.critical, reason)


def _numbers(shift: Shift, effect: float, how: Comparison) -> str:
    measure = "probability to exceed" if how.measure == "cles" else "ratio of means"
    effects = "" if math.isnan(effect) else f", {measure} {effect:.4g}"
    percent = f"{how.confidence * 100:g} %"
    return f"shift {shift.estimate:.4g}, {percent} between {shift.lower:.4g} and {shift.upper:.4g}{effects}."


def _few(x: Sequence[float], y: Sequence[float]) -> str:
    fewest = min(len(x), len(y))
    return f" Only {fewest} points a side, {POINTS_WANTED} are wanted." if fewest < POINTS_WANTED else ""


def _at_least(effect: float, bound: float) -> bool:
    return math.isnan(effect) or effect >= bound


def _at_most(effect: float, bound: float) -> bool:
    return math.isnan(effect) or effect <= bound


def _cleaned(side: Sequence[float], how: Comparison) -> list[float]:
    """Without NaN, and without outliers where asked."""
    values = [0.0 if math.isnan(one) else one for one in side if how.nans == "replace" or not math.isnan(one)]
    if how.outlier_factor is None or not values:
        return values
    ordered = sorted(values)
    first, third = percentile(ordered, 0.25), percentile(ordered, 0.75)
    spread = how.outlier_factor * (third - first)
    low, high = min(percentile(ordered, 0.01), first - spread), max(percentile(ordered, 0.99), third + spread)
    return [one for one in values if low <= one <= high]


def percentile(ordered: Sequence[float], share: float) -> float:
    """A percentile between the neighbouring values (R-7).

    Takes: values in ascending order, at least one; `share` from 0 to 1.
    """
    place = (len(ordered) - 1) * share
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _mean_ratio(canary: Sequence[float], baseline: Sequence[float]) -> float:
    x, y = math.fsum(canary) / len(canary), math.fsum(baseline) / len(baseline)
    return math.nan if x == 0 or y == 0 else x / y


def _cles(canary: Sequence[float], baseline: Sequence[float]) -> float:
    """The probability that a canary value exceeds a baseline one, ties counted half."""
    ordered = sorted(baseline)
    below = sum(bisect_left(ordered, value) + bisect_right(ordered, value) for value in canary) / 2
    return below / (len(canary) * len(baseline))


# The score ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Judged:
    """One metric in its groups. Muted: measured and shown, but it scores nothing."""

    name: str
    classified: Classified
    groups: tuple[str, ...] = ("default",)
    muted: bool = False


@dataclass(frozen=True, slots=True)
class Scored:
    """The canary's score, each group's, and the sentence that says why."""

    score: float
    verdict: Verdict
    score_by_group: Mapping[str, float]
    reason: str


def score(
    metrics: Sequence[Judged],
    weights: Mapping[str, float] | None = None,
    *,
    pass_score: float = PASS_SCORE,
    marginal_score: float = MARGINAL_SCORE,
) -> Scored:
    """All metrics together.

    Takes: `weights` in percent by group; groups without one share what is left of 100.
    Fails: never. Without metrics that score, nothing can be said: 0.
    """
    weights = weights or {}
    counted = [metric for metric in metrics if not metric.muted]
    by_group: dict[str, list[Class]] = {}
    for metric in counted:
        for group in metric.groups:
            by_group.setdefault(group, []).append(metric.classified.kind)
    scores = {group: _group_score(classes) for group, classes in sorted(by_group.items())}
    shown = {group: 0.0 if one is None else one for group, one in scores.items()}
    failed = next((one for one in counted if one.classified.critical and one.classified.kind is not Class.PASS), None)
    if failed is not None:
        reason = f"{failed.name} is critical and {failed.classified.kind}. {failed.classified.reason}"
        return Scored(0.0, Verdict.FAIL, shown, reason)
    silent = sum(metric.classified.kind is Class.NODATA for metric in counted)
    if not counted or silent >= NODATA_SHARE * len(counted):
        return Scored(0.0, Verdict.FAIL, shown, f"{silent} of {len(counted)} metrics have no data.")
    unweighted = [group for group in scores if group not in weights]
    rest = (100.0 - sum(weights.values())) / len(unweighted) if unweighted else 0.0
    total = math.fsum(
        (100.0 if one is None else one) * weights.get(group, rest) / 100.0 for group, one in scores.items()
    )
    total = math.floor(total * 100 + 0.5) / 100
    verdict = Verdict.PASS if total >= pass_score else Verdict.MARGINAL if total >= marginal_score else Verdict.FAIL
    against = [one.name for one in counted if one.classified.kind in {Class.HIGH, Class.LOW, Class.NODATA_FAIL}]
    blamed = f" Against it: {', '.join(against[:5])}{'…' if len(against) > 5 else ''}." if against else ""
    return Scored(total, verdict, shown, f"Score {total:g} of 100, {pass_score:g} passes.{blamed}")


def _group_score(classes: Sequence[Class]) -> float | None:
    """A group's share of passes; None where it has no data at all."""
    telling = [one for one in classes if one is not Class.NODATA]
    return 100.0 * telling.count(Class.PASS) / len(telling) if telling else None

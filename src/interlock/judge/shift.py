"""By how much is one sample higher than another, whatever their distribution? An interval for the shift of location.

The Mann-Whitney statistic W(μ) says how unusual the ranks of the canary are among those of the baseline when μ is taken
off each canary value. W falls as μ grows. Where it crosses the quantiles of the normal distribution lie the ends of the
interval; where it crosses zero lies the Hodges-Lehmann estimate.

W is a step function: it jumps where μ is the difference of a canary and a baseline value, and nowhere else.

    exact           the jump itself, found by halving over the sorted differences: the same verdict in every unit
    kayenta-compat  Brent's method with an absolute tolerance of 1e-4, as Kayenta and R's zeroin stop it. In small
                    units (seconds for latencies of microseconds) it stops too early and sees no shift

Two constants that differ are an interval of one point; Kayenta adds noise there, and its verdicts are the same.

Source: Mann and Whitney 1947; Hodges and Lehmann 1963; Bauer 1972 (inverting the test); Brent 1973, chapter 4;
definitions.md E2. Deliberately not here: what a shift means for a rollout (`canary.py`).
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

Solver = Literal["kayenta-compat", "exact"]

BRENT_TOLERANCE = 1e-4
BRENT_STEPS_MAX = 1000
_EPSILON = 2.220446049250313e-16


@dataclass(frozen=True, slots=True)
class Shift:
    """How much higher the canary is: the estimate, in the metric's unit, and its interval."""

    lower: float
    upper: float
    estimate: float


def find_shift(canary: Sequence[float], baseline: Sequence[float], *, confidence: float, solver: Solver) -> Shift:
    """The shift of location from baseline to canary.

    Takes: two samples, neither empty, without NaN; `confidence` of both sides together, like 0.98.
    Costs: exact sorts all differences: 250,000 for two samples of 500.
    Fails: never.
    """
    if len(set(canary)) == 1 and len(set(baseline)) == 1:
        only = canary[0] - baseline[0]
        return Shift(only, only, only)
    quantile = -NormalDist().inv_cdf((1.0 - confidence) / 2)
    statistic = Statistic(canary, baseline)
    if solver == "exact":
        return _exact(statistic, quantile)
    lowest, highest = min(canary) - max(baseline), max(canary) - min(baseline)

    def root(level: float, *, clamped: bool = True) -> float:
        at_lowest, at_highest = statistic.at(lowest) - level, statistic.at(highest) - level
        if clamped and at_lowest <= 0:
            return lowest
        if clamped and at_highest >= 0:
            return highest
        return _brent(lambda shift: statistic.at(shift) - level, lowest, highest, at_lowest, at_highest)

    return Shift(root(quantile), root(-quantile), root(0.0, clamped=False))


class Statistic:
    """W(μ) of two samples, sorted once."""

    def __init__(self, canary: Sequence[float], baseline: Sequence[float]) -> None:
        self.canary, self.baseline = sorted(canary), sorted(baseline)

    def at(self, shift: float) -> float:
        """The standardized statistic after taking `shift` off each canary value, continuity-corrected.

        Gives: 0 where all observations are tied.
        """
        shifted, baseline = [value - shift for value in self.canary], self.baseline
        m, n = len(shifted), len(baseline)
        # A canary value's rank among both, less its rank among its own, counts the baseline values below it.
        below = sum(bisect_left(baseline, value) + bisect_right(baseline, value) for value in shifted) / 2
        above_even = below - m * n / 2
        tied = _tied(sorted([*shifted, *baseline]))
        total = m + n
        variance = m * n / 12 * ((total + 1) - tied / (total * (total - 1)))
        if variance <= 0:
            return 0.0
        correction = math.copysign(0.5, above_even) if above_even else 0.0
        return (above_even - correction) / math.sqrt(variance)


def _tied(ordered: Sequence[float]) -> float:
    """Σ(t³ − t) over the groups of equal values."""
    found, begin = 0.0, 0
    for end in range(1, len(ordered) + 1):
        if end == len(ordered) or ordered[end] != ordered[begin]:
            size = end - begin
            if size > 1:
                found += float(size) ** 3 - size
            begin = end
    return found


def _exact(statistic: Statistic, quantile: float) -> Shift:
    """The jumps of W at which it passes the three levels.

    Why:   between two neighbouring differences W does not change, so it is asked in the middle of such a gap: at a
           difference itself two values tie, and rounding decides whether they are seen to.
    """
    differences = sorted({x - y for x in set(statistic.canary) for y in set(statistic.baseline)})
    last = len(differences) - 1
    value_by_gap: dict[int, float] = {}

    def in_gap(number: int) -> float:
        """W between the differences `number` and `number + 1`."""
        if number not in value_by_gap:
            value_by_gap[number] = statistic.at((differences[number] + differences[number + 1]) / 2)
        return value_by_gap[number]

    def first_gap(passes: Callable[[float], bool]) -> int:
        """The first gap in which W is as low as asked; `last` where none is."""
        low, high = 0, last
        while low < high:
            middle = (low + high) // 2
            if passes(in_gap(middle)):
                high = middle
            else:
                low = middle + 1
        return low

    lower = differences[first_gap(lambda value: value <= quantile)]
    upper = differences[first_gap(lambda value: value <= -quantile)]
    # Zero may be a whole gap: the estimate is its middle, which is the median of the differences.
    begin, end = first_gap(lambda value: value <= 0), first_gap(lambda value: value < 0)
    return Shift(lower, upper, (differences[begin] + differences[end]) / 2)


def _brent(function: Callable[[float], float], low: float, high: float, at_low: float, at_high: float) -> float:
    """A zero between two points, by Brent's method, stopped as Kayenta stops it."""
    a, b, c = low, high, low
    fa, fb, fc = at_low, at_high, at_low
    if fa == 0:
        return a
    if fb == 0:
        return b
    for _ in range(BRENT_STEPS_MAX):
        previous = b - a
        if abs(fc) < abs(fb):
            a, b, c = b, c, b
            fa, fb, fc = fb, fc, fb
        tolerance = 2 * _EPSILON * abs(b) + BRENT_TOLERANCE / 2
        step = (c - b) / 2
        if abs(step) <= tolerance or fb == 0:
            return b
        if abs(previous) >= tolerance and abs(fa) > abs(fb):
            guess = _interpolated(a, b, c, fa, fb, fc, tolerance=tolerance, previous=previous)
            step = step if guess is None else guess
        if abs(step) < tolerance:
            step = math.copysign(tolerance, step)
        a, fa = b, fb
        b += step
        fb = function(b)
        if (fb > 0) == (fc > 0) and fb != 0 and fc != 0:
            c, fc = a, fa
    return b


def _interpolated(
    a: float, b: float, c: float, fa: float, fb: float, fc: float, *, tolerance: float, previous: float
) -> float | None:
    """Brent's step by the secant, or by inverse quadratic interpolation; None where halving is safer."""
    width = c - b
    if a == c:
        ratio = fb / fa
        p, q = width * ratio, 1.0 - ratio
    else:
        q, r, s = fa / fc, fb / fc, fb / fa
        p = s * (width * q * (q - r) - (b - a) * (r - 1.0))
        q = (q - 1.0) * (r - 1.0) * (s - 1.0)
    if p > 0:
        q = -q
    p = abs(p)
    if p < 0.75 * width * q - abs(tolerance * q) / 2 and p < abs(previous * q / 2):
        return p / q
    return None

"""Is the canary's value beyond what is allowed of the baseline's? The plain comparison, without statistics.

    absolute     canary − baseline, in the metric's unit
    relative     canary / baseline

For a metric that is one settled number a side: saturation, a version's start-up time, a cost. What is noisy belongs to
the other judges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Allowed:
    """The bounds. None: that side is free."""

    increase: float | None = None
    decrease: float | None = None
    ratio_max: float | None = None
    ratio_min: float | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """Whether the canary is within bounds, and why, with its numbers. `within` is None where nothing can be said."""

    within: bool | None
    difference: float
    ratio: float
    reason: str


def compare_values(canary: float, baseline: float, allowed: Allowed) -> Compared:
    """One value a side.

    Fails: never. A ratio to a baseline of 0 is unknown unless both are 0, when it is 1.
    """
    if not (math.isfinite(canary) and math.isfinite(baseline)):
        return Compared(None, math.nan, math.nan, f"canary {canary:g} and baseline {baseline:g} cannot be compared.")
    difference = canary - baseline
    ratio = canary / baseline if baseline else 1.0 if canary == 0 else math.nan
    said = f"canary {canary:.4g}, baseline {baseline:.4g}"
    against: list[str] = []
    if allowed.increase is not None and difference > allowed.increase:
        against.append(f"it is higher by {difference:.4g}, allowed is {allowed.increase:g}")
    if allowed.decrease is not None and -difference > allowed.decrease:
        against.append(f"it is lower by {-difference:.4g}, allowed is {allowed.decrease:g}")
    if not math.isnan(ratio):
        if allowed.ratio_max is not None and ratio > allowed.ratio_max:
            against.append(f"it is {ratio:.4g} times the baseline, allowed is {allowed.ratio_max:g}")
        if allowed.ratio_min is not None and ratio < allowed.ratio_min:
            against.append(f"it is {ratio:.4g} times the baseline, at least {allowed.ratio_min:g} is wanted")
    if against:
        return Compared(False, difference, ratio, f"{said}: {'; '.join(against)}.")
    if math.isnan(ratio) and (allowed.ratio_max is not None or allowed.ratio_min is not None):
        return Compared(None, difference, ratio, f"{said}: no ratio to a baseline of 0.")
    return Compared(True, difference, ratio, f"{said}: within bounds.")

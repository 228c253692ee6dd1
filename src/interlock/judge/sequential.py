"""Does the canary make more errors, judged as often as one likes? Always-valid evidence from two counts a look.

Each look tells, for a stretch of time, how many requests and how many bad ones each side had. Given that a bad event
happened, it came from the canary with probability θ, the canary's share of the requests, if both sides are equally
good; with p(r) = θr / (θr + 1 − θ), if the canary's rate is r times the baseline's. The evidence against "not worse" is
the mean, over a few r, of the likelihood ratios:

    E = Σ wⱼ Π (p(rⱼ) / θ)^s · ((1 − p(rⱼ)) / (1 − θ))^f        s, f: bad events of canary and baseline in a look

While the canary is not worse, E is a supermartingale from 1, so the chance that it ever reaches 1/α is at most α,
however often it is looked at and whenever one stops (Ville). The share may change from look to look: ramps are fine.

    harmful        E ≥ 1/α against a ratio of at most `worse_above` (1)
    safe           the same evidence, mirrored, against a ratio of at least `safe_below` (1.5)
    inconclusive   the requests do not split as the traffic was asked to, or the largest sample is reached
    running        neither yet

A naive test at 1 %, repeated after each event, stops every eighth harmless rollout; this one at most one in a hundred.
Services with little traffic need a larger first share, not more time: it is events that count.

Source: Lindon and Malek, Anytime-valid inference for multinomial count data (NeurIPS 2022, arXiv 2011.03567); Ville
1939; definitions.md E3(a). Deliberately not here: means of anything but counts (`means.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

RATIOS = (1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
"""How much worse the alternatives are; equal weights."""

ALPHA = 0.01
SAFE_BELOW = 1.5
REQUESTS_MIN = 100
SPLIT_CHI2 = 15.136705
"""The χ² value of one degree of freedom whose p is 1e-4."""

RATIO_MAX = 1000.0
_LOG_RATIO_MAX = math.log(RATIO_MAX)
_LOGS = tuple((worse, math.log(worse)) for worse in RATIOS)
_STEPS_MAX = 60
_NEAR = 1e-6
"""So near to the threshold, in the root of ln E, an end of the confidence sequence is found."""


class Finding(StrEnum):
    """What the evidence says so far. All but running are final."""

    RUNNING = "running"
    HARMFUL = "harmful"
    SAFE = "safe"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Look:
    """One stretch of time, no part of it in another look.

    Takes: `canary_bad` of `canary_total` requests were bad, and so for the baseline. `share` is the part of the traffic
           that the canary was given, from 0 to 1, where that is known.
    """

    canary_bad: int
    canary_total: int
    baseline_bad: int
    baseline_total: int
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Counting:
    """How counts are judged.

    Takes: `alpha` of this metric (a rollout's, split over its gating metrics by `spending.py`). `requests_min` a side
           before anything is said; `requests_max` of both sides together, after which nothing more is waited for.
           `endless`: that it is safe, or that there were so many, ends nothing: harm is looked for ever on.
    """

    alpha: float = ALPHA
    worse_above: float = 1.0
    safe_below: float = SAFE_BELOW
    requests_min: int = REQUESTS_MIN
    requests_max: int | None = None
    endless: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the looks say, with the numbers that led there.

    Takes: `harm` and `safety` are the two e-values, at most e^700; 1/α decides. `low` and `high` bound the ratio of the
           rates at 1 − α each, at every look at once; `high` is infinite where nothing bounds it. `looks`: so many were
           taken until this was so.
    """

    finding: Finding
    harm: float
    safety: float
    low: float
    high: float
    canary_bad: int
    canary_total: int
    baseline_bad: int
    baseline_total: int
    reason: str
    looks: int


def weigh(looks: Sequence[Look], how: Counting) -> Evidence:
    """Fold the looks. It stops at the one that decides: what comes later changes nothing.

    Fails: never. A look without requests on one side tells nothing about the ratio, and only adds to the totals.
    """
    telling: list[tuple[float, int, int]] = []
    harms, safeties = [0.0] * len(RATIOS), [0.0] * len(RATIOS)
    threshold, seen = -math.log(how.alpha), 0
    canary = baseline = 0
    finding, split = Finding.RUNNING, Split()
    for look in looks:
        seen += 1
        canary, baseline = canary + look.canary_total, baseline + look.baseline_total
        split = split.plus(look)
        if look.canary_total > 0 and look.baseline_total > 0:
            share = look.canary_total / (look.canary_total + look.baseline_total)
            one = (share, look.canary_bad, look.baseline_bad)
            telling.append(one)
            harms = _plus(harms, _log_likelihoods(one, how.worse_above, 1.0))
            safeties = _plus(safeties, _log_likelihoods(one, how.safe_below, -1.0))
        enough = canary >= how.requests_min and baseline >= how.requests_min
        if split.chi2 > SPLIT_CHI2:
            finding = Finding.INCONCLUSIVE
        elif enough and _log_mean(harms) >= threshold:
            finding = Finding.HARMFUL
        elif how.endless:
            continue
        elif enough and _log_mean(safeties) >= threshold:
            finding = Finding.SAFE
        elif how.requests_max is not None and canary + baseline >= how.requests_max:
            finding = Finding.INCONCLUSIVE
        if finding is not Finding.RUNNING:
            break
    return _evidence(finding, looks[:seen], telling, how, chi2=split.chi2)


def trace(looks: Sequence[Look], how: Counting) -> tuple[tuple[float, float], ...]:
    """The two e-values (harm, safety) after each look, as `weigh` would find them; for drawing."""
    harms, safeties = [0.0] * len(RATIOS), [0.0] * len(RATIOS)
    found: list[tuple[float, float]] = []
    for look in looks:
        if look.canary_total > 0 and look.baseline_total > 0:
            one = (look.canary_total / (look.canary_total + look.baseline_total), look.canary_bad, look.baseline_bad)
            harms = _plus(harms, _log_likelihoods(one, how.worse_above, 1.0))
            safeties = _plus(safeties, _log_likelihoods(one, how.safe_below, -1.0))
        found.append((_bounded(_log_mean(harms)), _bounded(_log_mean(safeties))))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Split:
    """How the requests split, against how the traffic was asked to. Looks whose share is not known say nothing."""

    surplus: float = 0.0
    spread: float = 0.0

    def plus(self, look: Look) -> Split:
        """With one more look."""
        if look.share is None or not 0 < look.share < 1:
            return self
        total = look.canary_total + look.baseline_total
        surplus = self.surplus + look.canary_total - total * look.share
        return Split(surplus, self.spread + total * look.share * (1 - look.share))

    @property
    def chi2(self) -> float:
        """Above `SPLIT_CHI2` something else than chance sends them, and no comparison of the sides means anything."""
        return self.surplus * self.surplus / self.spread if self.spread else 0.0


def _log_likelihoods(look: tuple[float, int, int], null: float, way: float) -> list[float]:
    """What one look adds: the log likelihood ratio of each `null · worse^way` against `null`."""
    share, canary_bad, baseline_bad = look
    bad = canary_bad + baseline_bad
    of_null = bad * math.log(1.0 + share * (null - 1.0))
    return [
        way * canary_bad * log_worse + of_null - bad * math.log(1.0 + share * (null * worse**way - 1.0))
        for worse, log_worse in _LOGS
    ]


def _plus(before: list[float], more: list[float]) -> list[float]:
    return [one + other for one, other in zip(before, more, strict=True)]


def _log_harm(telling: Sequence[tuple[float, int, int]], ratio: float) -> float:
    """ln E against "the ratio is at most this"."""
    return _log_e(telling, ratio, 1.0)


def _log_safety(telling: Sequence[tuple[float, int, int]], ratio: float) -> float:
    """ln E against "the ratio is at least this"."""
    return _log_e(telling, ratio, -1.0)


def _log_e(telling: Sequence[tuple[float, int, int]], null: float, way: float) -> float:
    """The log of the mean of the likelihood ratios of `null · worse^way` against `null`.

    Costs: one logarithm a look and ratio: of all that a look adds, only the mass of its events hangs on both.
    """
    bad = sum(canary_bad for _, canary_bad, _ in telling)
    of_null = _log_mass(telling, null)
    return _log_mean(
        [way * bad * log_worse + of_null - _log_mass(telling, null * worse**way) for worse, log_worse in _LOGS]
    )


def _log_mass(telling: Sequence[tuple[float, int, int]], ratio: float) -> float:
    """Σ events · ln(θ · ratio + 1 − θ)."""
    log, more = math.log, ratio - 1.0
    return sum([(canary_bad + bad) * log(1.0 + share * more) for share, canary_bad, bad in telling])


def _log_mean(logs: Sequence[float]) -> float:
    most = max(logs)
    return most + math.log(math.fsum(math.exp(one - most) for one in logs) / len(logs))


def _bound(passes_at: float, telling: Sequence[tuple[float, int, int]], *, lower: bool) -> float:
    """The end of the confidence sequence for the ratio: where the evidence against a null just passes.

    Why:   over ln r the evidence is a bowl around the ratio that was seen, so its root is all but a straight line from
           there on, and chords find its end in a few steps (the Illinois method).
    """
    weigh_null = _log_harm if lower else _log_safety
    outside = -_LOG_RATIO_MAX if lower else _LOG_RATIO_MAX
    inside = _log_seen(telling)
    least = weigh_null(telling, math.exp(inside))
    if least >= passes_at:  # looks that contradict each other refuse even what they show together
        inside = -outside
        least = weigh_null(telling, math.exp(inside))
        if least >= passes_at:
            return math.exp(inside)
    wanted = math.sqrt(passes_at - least)
    at_outside = math.sqrt(max(0.0, weigh_null(telling, math.exp(outside)) - least)) - wanted
    if at_outside < 0:
        return 0.0 if lower else math.inf
    at_inside, kept = -wanted, 0
    for _ in range(_STEPS_MAX):
        middle = (inside * at_outside - outside * at_inside) / (at_outside - at_inside)
        found = math.sqrt(max(0.0, weigh_null(telling, math.exp(middle)) - least)) - wanted
        if abs(found) < _NEAR:
            return math.exp(middle)
        if found < 0:
            inside, at_inside, at_outside, kept = middle, found, at_outside / 2 if kept > 0 else at_outside, 1
        else:
            outside, at_outside, at_inside, kept = middle, found, at_inside / 2 if kept < 0 else at_inside, -1
    return math.exp(outside)


def _log_seen(telling: Sequence[tuple[float, int, int]]) -> float:
    """ln of the ratio of rates that the looks together show, within what is looked at."""
    canary, baseline = (sum(one[side] for one in telling) for side in (1, 2))
    exposed = sum(share * (canary_bad + baseline_bad) for share, canary_bad, baseline_bad in telling)
    if not canary or not baseline:
        return 0.0 if canary == baseline else _LOG_RATIO_MAX if canary else -_LOG_RATIO_MAX
    share = exposed / (canary + baseline)
    seen = math.log(canary * (1 - share) / (baseline * share))
    return min(max(seen, -_LOG_RATIO_MAX), _LOG_RATIO_MAX)


def _evidence(
    finding: Finding,
    looks: Sequence[Look],
    telling: Sequence[tuple[float, int, int]],
    how: Counting,
    *,
    chi2: float,
) -> Evidence:
    threshold = -math.log(how.alpha)
    harm, safety = _log_harm(telling, how.worse_above), _log_safety(telling, how.safe_below)
    low, high = _bound(threshold, telling, lower=True), _bound(threshold, telling, lower=False)
    canary = (sum(one.canary_bad for one in looks), sum(one.canary_total for one in looks))
    baseline = (sum(one.baseline_bad for one in looks), sum(one.baseline_total for one in looks))
    counts = (
        f"{canary[0]:,} of {canary[1]:,} requests of the canary were bad, "
        f"{baseline[0]:,} of {baseline[1]:,} of the baseline"
    )
    percent = f"{(1 - how.alpha) * 100:.4g} %"
    match finding:
        case Finding.HARMFUL:
            reason = f"{counts}: at least {low:.3g} times the rate, with {percent} confidence at every look."
        case Finding.SAFE:
            reason = f"{counts}: less than {high:.3g} times the rate, with {percent} confidence at every look."
        case Finding.INCONCLUSIVE if chi2 > SPLIT_CHI2:
            reason = f"{counts}: they do not split as the traffic was asked to, so the sides cannot be compared."
        case Finding.INCONCLUSIVE:
            reason = f"{counts}: the largest sample is reached and the ratio may be {_range(low, high)}."
        case Finding.RUNNING:
            reason = f"{counts}: the ratio may be {_range(low, high)}."
    return Evidence(finding, _bounded(harm), _bounded(safety), low, high, *canary, *baseline, reason, len(looks))


def _bounded(log_e: float) -> float:
    return math.exp(min(log_e, 700.0))


def _range(low: float, high: float) -> str:
    if low == 0 and high == math.inf:
        return "anything"
    if high == math.inf:
        return f"{low:.3g} or more"
    return f"{low:.3g} to {high:.3g}"

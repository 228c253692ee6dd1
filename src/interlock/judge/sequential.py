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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
_GRID, _AROUND = 20, 6
"""Grid points for one of log odds, and how many of them stand for a share between them."""

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


@dataclass(frozen=True, slots=True)
class Weighed:
    """All that is needed of the looks so far to weigh the next one: as much after ten thousand as after ten.

    Takes: totals of `looks` looks. `harms` and `safeties`: the log likelihood ratio of each alternative. `told`: of the
           looks that had requests on both sides, the bad events of the canary, those of the baseline, and all of them
           times the canary's share. `masses`: bad events by where the shares were, for the ends of the interval (see
           `_spread`).
    """

    looks: int = 0
    finding: Finding = Finding.RUNNING
    canary_bad: int = 0
    canary_total: int = 0
    baseline_bad: int = 0
    baseline_total: int = 0
    split: Split = field(default_factory=Split)
    harms: tuple[float, ...] = (0.0,) * len(RATIOS)
    safeties: tuple[float, ...] = (0.0,) * len(RATIOS)
    told: tuple[int, int, float] = (0, 0, 0.0)
    masses: Mapping[int, float] = field(default_factory=dict)


def weigh(looks: Sequence[Look], how: Counting) -> Evidence:
    """Fold the looks. It stops at the one that decides: what comes later changes nothing.

    Fails: never. A look without requests on one side tells nothing about the ratio, and only adds to the totals.
    """
    weighed = Weighed()
    for look in looks:
        weighed = with_look(weighed, look, how)
    return evidence_of(weighed, how)


def with_look(weighed: Weighed, look: Look, how: Counting) -> Weighed:
    """One more look. What is decided stays as it is."""
    if weighed.finding is not Finding.RUNNING:
        return weighed
    harms, safeties, told, masses = weighed.harms, weighed.safeties, weighed.told, weighed.masses
    if look.canary_total > 0 and look.baseline_total > 0:
        share = look.canary_total / (look.canary_total + look.baseline_total)
        one = (share, look.canary_bad, look.baseline_bad)
        bad = look.canary_bad + look.baseline_bad
        harms = _plus(harms, _log_likelihoods(one, how.worse_above, 1.0))
        safeties = _plus(safeties, _log_likelihoods(one, how.safe_below, -1.0))
        told = (told[0] + look.canary_bad, told[1] + look.baseline_bad, told[2] + share * bad)
        if bad:
            masses = _spread(masses, math.log(look.canary_total / look.baseline_total), bad)
    more = Weighed(
        weighed.looks + 1,
        Finding.RUNNING,
        weighed.canary_bad + look.canary_bad,
        weighed.canary_total + look.canary_total,
        weighed.baseline_bad + look.baseline_bad,
        weighed.baseline_total + look.baseline_total,
        weighed.split.plus(look),
        harms,
        safeties,
        told,
        masses,
    )
    return replace(more, finding=_finding(more, how))


def _finding(weighed: Weighed, how: Counting) -> Finding:
    threshold = -math.log(how.alpha)
    canary, baseline = weighed.canary_total, weighed.baseline_total
    enough = canary >= how.requests_min and baseline >= how.requests_min
    if weighed.split.chi2 > SPLIT_CHI2:
        return Finding.INCONCLUSIVE
    if enough and _log_mean(weighed.harms) >= threshold:
        return Finding.HARMFUL
    if how.endless:
        return Finding.RUNNING
    if enough and _log_mean(weighed.safeties) >= threshold:
        return Finding.SAFE
    if how.requests_max is not None and canary + baseline >= how.requests_max:
        return Finding.INCONCLUSIVE
    return Finding.RUNNING


def trace(looks: Sequence[Look], how: Counting) -> tuple[tuple[float, float], ...]:
    """The two e-values (harm, safety) after each look, as `weigh` would find them; for drawing."""
    harms: tuple[float, ...] = (0.0,) * len(RATIOS)
    safeties = harms
    found: list[tuple[float, float]] = []
    for look in looks:
        if look.canary_total > 0 and look.baseline_total > 0:
            one = (look.canary_total / (look.canary_total + look.baseline_total), look.canary_bad, look.baseline_bad)
            harms = _plus(harms, _log_likelihoods(one, how.worse_above, 1.0))
            safeties = _plus(safeties, _log_likelihoods(one, how.safe_below, -1.0))
        found.append((_bounded(_log_mean(harms)), _bounded(_log_mean(safeties))))
    return tuple(found)


def _log_likelihoods(look: tuple[float, int, int], null: float, way: float) -> list[float]:
    """What one look adds: the log likelihood ratio of each `null · worse^way` against `null`."""
    share, canary_bad, baseline_bad = look
    bad = canary_bad + baseline_bad
    of_null = bad * math.log(1.0 + share * (null - 1.0))
    return [
        way * canary_bad * log_worse + of_null - bad * math.log(1.0 + share * (null * worse**way - 1.0))
        for worse, log_worse in _LOGS
    ]


def _plus(before: Sequence[float], more: Sequence[float]) -> tuple[float, ...]:
    return tuple(one + other for one, other in zip(before, more, strict=True))


def _spread(masses: Mapping[int, float], odds: float, bad: int) -> Mapping[int, float]:
    """The bad events of one more look, spread over the grid points around the log odds of its canary's share.

    Why:   the evidence against any ratio r asks of the looks for Σ bad · ln(1 + r · e^odds), a smooth function of the
           odds. A polynomial through six neighbouring points of a grid of 1/20 gives each summand to 1e-10, so that
           what is kept hangs on how far the shares ever lay apart, and not on how many looks there were.
    """
    place = odds * _GRID
    first = math.floor(place) - _AROUND // 2 + 1
    more = dict(masses)
    for one in range(first, first + _AROUND):
        weight = 1.0
        for other in range(first, first + _AROUND):
            if other != one:
                weight *= (place - other) / (one - other)
        more[one] = more.get(one, 0.0) + bad * weight
    return more


def _log_harm(weighed: Weighed, ratio: float) -> float:
    """ln E against "the ratio is at most this"."""
    return _log_e(weighed, ratio, 1.0)


def _log_safety(weighed: Weighed, ratio: float) -> float:
    """ln E against "the ratio is at least this"."""
    return _log_e(weighed, ratio, -1.0)


def _log_e(weighed: Weighed, null: float, way: float) -> float:
    """The log of the mean of the likelihood ratios of `null · worse^way` against `null`.

    Costs: one logarithm a grid point and ratio: of all that a look adds, only the mass of its events hangs on both.
    """
    bad = weighed.told[0]
    of_null = _log_mass(weighed, null)
    return _log_mean(
        [way * bad * log_worse + of_null - _log_mass(weighed, null * worse**way) for worse, log_worse in _LOGS]
    )


def _log_mass(weighed: Weighed, ratio: float) -> float:
    """Σ events · ln(1 + ratio · odds): ln(θ · ratio + 1 − θ), less what is the same for every ratio."""
    log1p, exp = math.log1p, math.exp
    return math.fsum([bad * log1p(ratio * exp(place / _GRID)) for place, bad in weighed.masses.items()])


def _log_mean(logs: Sequence[float]) -> float:
    most = max(logs)
    return most + math.log(math.fsum(math.exp(one - most) for one in logs) / len(logs))


def _bound(passes_at: float, weighed: Weighed, *, lower: bool) -> float:
    """The end of the confidence sequence for the ratio: where the evidence against a null just passes.

    Why:   over ln r the evidence is a bowl around the ratio that was seen, so its root is all but a straight line from
           there on, and chords find its end in a few steps (the Illinois method).
    """
    weigh_null = _log_harm if lower else _log_safety
    outside = -_LOG_RATIO_MAX if lower else _LOG_RATIO_MAX
    inside = _log_seen(weighed)
    least = weigh_null(weighed, math.exp(inside))
    if least >= passes_at:  # looks that contradict each other refuse even what they show together
        inside = -outside
        least = weigh_null(weighed, math.exp(inside))
        if least >= passes_at:
            return math.exp(inside)
    wanted = math.sqrt(passes_at - least)
    at_outside = math.sqrt(max(0.0, weigh_null(weighed, math.exp(outside)) - least)) - wanted
    if at_outside < 0:
        return 0.0 if lower else math.inf
    at_inside, kept = -wanted, 0
    for _ in range(_STEPS_MAX):
        middle = (inside * at_outside - outside * at_inside) / (at_outside - at_inside)
        found = math.sqrt(max(0.0, weigh_null(weighed, math.exp(middle)) - least)) - wanted
        if abs(found) < _NEAR:
            return math.exp(middle)
        if found < 0:
            inside, at_inside, at_outside, kept = middle, found, at_outside / 2 if kept > 0 else at_outside, 1
        else:
            outside, at_outside, at_inside, kept = middle, found, at_inside / 2 if kept < 0 else at_inside, -1
    return math.exp(outside)


def _log_seen(weighed: Weighed) -> float:
    """ln of the ratio of rates that the looks together show, within what is looked at."""
    canary, baseline, exposed = weighed.told
    if not canary or not baseline:
        return 0.0 if canary == baseline else _LOG_RATIO_MAX if canary else -_LOG_RATIO_MAX
    share = exposed / (canary + baseline)
    seen = math.log(canary * (1 - share) / (baseline * share))
    return min(max(seen, -_LOG_RATIO_MAX), _LOG_RATIO_MAX)


def evidence_of(weighed: Weighed, how: Counting) -> Evidence:
    """What the looks say, in a sentence and in numbers."""
    threshold = -math.log(how.alpha)
    harm, safety = _log_mean(weighed.harms), _log_mean(weighed.safeties)
    low, high = _bound(threshold, weighed, lower=True), _bound(threshold, weighed, lower=False)
    canary = (weighed.canary_bad, weighed.canary_total)
    baseline = (weighed.baseline_bad, weighed.baseline_total)
    counts = (
        f"{canary[0]:,} of {canary[1]:,} requests of the canary were bad, "
        f"{baseline[0]:,} of {baseline[1]:,} of the baseline"
    )
    percent = f"{(1 - how.alpha) * 100:.4g} %"
    match weighed.finding:
        case Finding.HARMFUL:
            reason = f"{counts}: at least {low:.3g} times the rate, with {percent} confidence at every look."
        case Finding.SAFE:
            reason = f"{counts}: less than {high:.3g} times the rate, with {percent} confidence at every look."
        case Finding.INCONCLUSIVE if weighed.split.chi2 > SPLIT_CHI2:
            reason = f"{counts}: they do not split as the traffic was asked to, so the sides cannot be compared."
        case Finding.INCONCLUSIVE:
            reason = f"{counts}: the largest sample is reached and the ratio may be {_range(low, high)}."
        case Finding.RUNNING:
            reason = f"{counts}: the ratio may be {_range(low, high)}."
    return Evidence(
        weighed.finding, _bounded(harm), _bounded(safety), low, high, *canary, *baseline, reason, weighed.looks
    )


def _bounded(log_e: float) -> float:
    return math.exp(min(log_e, 700.0))


def _range(low: float, high: float) -> str:
    if low == 0 and high == math.inf:
        return "anything"
    if high == math.inf:
        return f"{low:.3g} or more"
    return f"{low:.3g} to {high:.3g}"

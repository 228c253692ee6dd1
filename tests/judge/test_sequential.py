"""Errors of a canary are judged at every look, and a harmless one is seldom stopped."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.judge.bounds import Allowed, compare_values
from interlock.judge.means import Averaging, Moments, compare_means, moments_of
from interlock.judge.sequential import (
    RATIOS,
    SPLIT_CHI2,
    Counting,
    Finding,
    Look,
    weigh,
)

HOW = Counting()


def look(
    canary_bad: int, baseline_bad: int, *, canary: int = 1_000, baseline: int = 9_000, share: float | None = None
) -> Look:
    return Look(canary_bad, canary, baseline_bad, baseline, share)


def simulated(
    ratio: float, *, seed: int, looks: int, share: float = 0.1, rate: float = 0.01, requests: int = 10_000
) -> list[Look]:
    """Looks of a canary whose error rate is `ratio` times the baseline's, drawn by the arm of each bad event."""
    dice, found = random.Random(seed), []
    for _ in range(looks):
        canary = round(requests * share)
        expected = rate * (canary * ratio + (requests - canary))
        events = _poisson(dice, expected)
        p = share * ratio / (share * ratio + 1 - share)
        mine = sum(dice.random() < p for _ in range(events))
        found.append(Look(mine, canary, events - mine, requests - canary, share))
    return found


def _poisson(dice: random.Random, expected: float) -> int:
    limit, product, count = math.exp(-expected), 1.0, 0
    while True:
        product *= dice.random()
        if product < limit:
            return count
        count += 1


def test_nothing_seen_says_nothing() -> None:
    found = weigh([], HOW)
    assert (found.finding, found.harm, found.safety, found.low, found.high) == (
        Finding.RUNNING,
        1.0,
        1.0,
        0.0,
        math.inf,
    )


def test_the_evidence_is_the_mixture_of_likelihood_ratios() -> None:
    share, s, f = 0.1, 7, 20
    expected = 0.0
    for r in RATIOS:
        p = share * r / (share * r + 1 - share)
        expected += (p / share) ** s * ((1 - p) / (1 - share)) ** f / len(RATIOS)
    assert weigh([look(s, f)], HOW).harm == pytest.approx(expected)


def test_one_look_or_many_of_the_same_counts_is_the_same_evidence() -> None:
    whole = weigh([look(6, 20, canary=2_000, baseline=18_000)], HOW)
    parts = weigh([look(2, 5), look(4, 15)], HOW)
    assert parts.harm == pytest.approx(whole.harm)
    assert parts.safety == pytest.approx(whole.safety)


def test_a_canary_with_twice_the_errors_is_harmful_and_says_by_how_much() -> None:
    found = weigh(simulated(2.0, seed=1, looks=20), HOW)
    assert found.finding is Finding.HARMFUL
    assert found.harm >= 100
    assert 1.0 < found.low < 2.6
    assert "of the canary were bad" in found.reason
    assert "times the rate, with 99 % confidence at every look" in found.reason


def test_it_ends_at_the_look_that_decides() -> None:
    looks = simulated(2.0, seed=1, looks=20)
    decided = weigh(looks, HOW)
    first = next(n for n in range(1, 21) if weigh(looks[:n], HOW).finding is Finding.HARMFUL)
    assert decided == weigh(looks[:first], HOW)
    assert weigh([*looks[:first], look(0, 100_000, canary=10**6, baseline=10**6)], HOW) == decided


def test_equal_errors_are_safe_in_the_end() -> None:
    found = weigh(simulated(1.0, seed=2, looks=60), HOW)
    assert found.finding is Finding.SAFE
    assert found.high < 1.5
    assert "less than" in found.reason


def test_few_requests_say_nothing_however_bad_they_look() -> None:
    looks = [Look(20, 60, 0, 10_000)]
    assert weigh(looks, HOW).finding is Finding.RUNNING
    assert weigh(looks, Counting(requests_min=50)).finding is Finding.HARMFUL


def test_the_largest_sample_ends_it_without_a_verdict() -> None:
    found = weigh([look(1, 9)], Counting(requests_max=10_000))
    assert found.finding is Finding.INCONCLUSIVE
    assert "largest sample is reached" in found.reason


def test_requests_that_do_not_split_as_asked_cannot_be_compared() -> None:
    found = weigh([look(50, 9, canary=1_500, baseline=8_500, share=0.1)], HOW)
    assert found.finding is Finding.INCONCLUSIVE
    assert "do not split" in found.reason
    assert weigh([look(1, 9, canary=1_030, baseline=8_970, share=0.1)], HOW).finding is Finding.RUNNING


def test_a_look_without_requests_on_one_side_tells_nothing() -> None:
    alone = weigh([Look(5, 1_000, 0, 0)], HOW)
    assert (alone.harm, alone.finding) == (1.0, Finding.RUNNING)


def test_changing_shares_are_weighed_each_with_its_own() -> None:
    ramp = [look(1, 99, canary=100, baseline=9_900), look(5, 5, canary=5_000, baseline=5_000)]
    pooled = [Look(6, 5_100, 104, 14_900)]
    assert weigh(ramp, HOW).harm < 2
    assert weigh(ramp, HOW).harm != pytest.approx(weigh(pooled, HOW).harm)


def test_an_endless_comparison_is_not_ended_by_being_safe_or_by_being_long() -> None:
    looks = [look(50, 500, canary=5_000, baseline=45_000)] * 40
    assert weigh(looks, HOW).finding is Finding.SAFE
    endless = replace(HOW, endless=True, requests_max=1_000)
    assert weigh(looks, endless).finding is Finding.RUNNING
    assert weigh([*looks, *[look(400, 500, canary=5_000, baseline=45_000)] * 3], endless).finding is Finding.HARMFUL


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(50, 5_000), st.integers(50, 5_000)), max_size=12
    )
)
def test_the_bounds_hold_the_two_verdicts_apart(rows: list[tuple[int, int, int, int]]) -> None:
    found = weigh([Look(s, m, f, n) for s, f, m, n in rows], HOW)
    assert found.low <= found.high
    assert (found.harm >= 100) == (found.low >= 1.0 - 1e-9) or found.harm == pytest.approx(100, rel=1e-3)
    assert (found.safety >= 100) == (found.high <= 1.5 + 1e-9) or found.safety == pytest.approx(100, rel=1e-3)


def test_the_split_check_is_the_chi_square_test_of_scipy() -> None:
    stats: Any = import_module("scipy.stats")
    assert pytest.approx(stats.chi2.isf(1e-4, 1), abs=1e-5) == SPLIT_CHI2


# Means ----------------------------------------------------------------------------------------------------------------


def test_moments_add_up() -> None:
    dice = random.Random(3)
    values = [dice.gauss(5, 2) for _ in range(100)]
    whole, parts = moments_of(values), moments_of(values[:30]).plus(moments_of(values[30:]))
    assert parts.count == whole.count
    assert parts.mean == pytest.approx(whole.mean)
    assert parts.variance == pytest.approx(whole.variance)
    assert Moments().plus(whole) == whole


def test_the_interval_at_the_size_it_is_tuned_for_is_the_published_one() -> None:
    half = Moments(2_500, 0.0, 2_499.0)
    found = compare_means(half, half, Averaging(alpha=0.05, tuned_for=5_000))
    fixed = 1.959964 * math.sqrt(2 / 2_500)
    assert found.high / fixed == pytest.approx(1.55, abs=0.01)


def test_a_higher_mean_is_harmful_and_an_equal_one_is_safe() -> None:
    dice = random.Random(4)
    base = moments_of([dice.gauss(100, 10) for _ in range(3_000)])
    slow = moments_of([dice.gauss(103, 10) for _ in range(3_000)])
    same = moments_of([dice.gauss(100, 10) for _ in range(3_000)])
    assert compare_means(slow, base, Averaging()).finding is Finding.HARMFUL
    assert compare_means(same, base, Averaging()).finding is Finding.SAFE
    assert compare_means(slow, base, Averaging(higher_is_worse=False)).finding is Finding.SAFE
    assert compare_means(base, slow, Averaging(higher_is_worse=False)).finding is Finding.HARMFUL


def test_before_its_warm_up_a_mean_says_nothing() -> None:
    found = compare_means(Moments(99, 5.0, 1.0), Moments(9_999, 1.0, 1.0), Averaging())
    assert found.finding is Finding.RUNNING
    assert "too few" in found.reason


def test_the_mean_is_seldom_called_harmful_by_chance_at_any_look() -> None:
    stopped = 0
    for seed in range(200):
        dice = random.Random(seed)
        canary, baseline = Moments(), Moments()
        for _ in range(20):
            canary = canary.plus(moments_of([dice.expovariate(1.0) for _ in range(60)]))
            baseline = baseline.plus(moments_of([dice.expovariate(1.0) for _ in range(60)]))
            if compare_means(canary, baseline, Averaging(alpha=0.05)).finding is Finding.HARMFUL:
                stopped += 1
                break
    assert stopped <= 10


# Bounds ---------------------------------------------------------------------------------------------------------------

BOUNDS: list[tuple[float, float, Allowed, bool | None, str]] = [
    (10, 10, Allowed(), True, "within bounds"),
    (13, 10, Allowed(increase=3), True, "within bounds"),
    (13.1, 10, Allowed(increase=3), False, "higher by 3.1, allowed is 3"),
    (6, 10, Allowed(decrease=3), False, "lower by 4, allowed is 3"),
    (12.1, 10, Allowed(ratio_max=1.2), False, "1.21 times the baseline, allowed is 1.2"),
    (5, 10, Allowed(ratio_min=0.6), False, "0.5 times the baseline, at least 0.6"),
    (0, 0, Allowed(ratio_max=1.2), True, "within bounds"),
    (1, 0, Allowed(ratio_max=1.2), None, "no ratio to a baseline of 0"),
    (1, 0, Allowed(ratio_max=1.2, increase=0.5), False, "higher by 1"),
    (math.nan, 10, Allowed(increase=3), None, "cannot be compared"),
    (math.inf, 10, Allowed(increase=3), None, "cannot be compared"),
]


@pytest.mark.parametrize(("canary", "baseline", "allowed", "within", "said"), BOUNDS, ids=range(len(BOUNDS)))
def test_one_value_a_side(canary: float, baseline: float, allowed: Allowed, within: bool | None, said: str) -> None:
    found = compare_values(canary, baseline, allowed)
    assert found.within is within
    assert said in found.reason

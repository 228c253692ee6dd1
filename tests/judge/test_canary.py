"""The Mann-Whitney judge says what Kayenta's published vectors say; the exact one says it in every unit."""

from __future__ import annotations

import json
import math
import random
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.judge.canary import Bounds, Class, Classified, Comparison, Judged, Verdict, classify, percentile, score
from interlock.judge.shift import Solver, Statistic, find_shift

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "kayenta.json").read_text())
CLASSES: list[dict[str, Any]] = VECTORS["classes"]
ZERO_INFLATED = "Mann-Whitney Classifier Test: High Metric (Large Input)"
"""The one vector whose answer comes from where Kayenta's solver stops: 64 of 210 points against 17 of 210."""


def comparison_of(vector: dict[str, Any], solver: Solver) -> Comparison:
    return Comparison(
        direction=vector["direction"],
        nans=vector["nanStrategy"],
        critical=vector["critical"],
        measure=vector["measure"],
        allowed=Bounds(*vector["allowed"]),
        critical_at=Bounds(*vector["criticalAt"]),
        solver=solver,
        confidence=vector["confidence"],
        tolerance=vector["tolerance"],
    )


@pytest.mark.parametrize("solver", ["kayenta-compat", "exact"])
@pytest.mark.parametrize("vector", CLASSES, ids=[f"{n}" for n in range(len(CLASSES))])
def test_says_what_the_published_vector_says(vector: dict[str, Any], solver: Solver) -> None:
    found = classify(vector["canary"], vector["baseline"], comparison_of(vector, solver))
    if solver == "exact" and vector["name"] == ZERO_INFLATED:
        assert found.kind is Class.PASS
        return
    assert found.kind.value == vector["expected"], found.reason
    if vector["expectedCritical"] is not None:
        assert found.critical is vector["expectedCritical"]


def test_all_published_vectors_are_here() -> None:
    assert len(CLASSES) == 33


@pytest.mark.parametrize("number", range(3))
def test_the_interval_ties_out_with_the_published_ones(number: int) -> None:
    vector = VECTORS["intervals"][number]
    x, y, confidence = vector["canary"], vector["baseline"], vector["confidence"]
    compat = find_shift(x, y, confidence=confidence, solver="kayenta-compat")
    assert compat.lower == pytest.approx(vector["lower"], abs=1e-4)
    assert compat.upper == pytest.approx(vector["upper"], abs=1e-4)
    assert compat.estimate == pytest.approx(vector["estimate"], abs=1e-4)
    exact = find_shift(x, y, confidence=confidence, solver="exact")
    assert exact.lower == pytest.approx(vector["lower"], abs=1e-3)
    assert exact.upper == pytest.approx(vector["upper"], abs=1e-3)


def test_the_statistic_is_the_one_of_scipy() -> None:
    stats: Any = import_module("scipy.stats")
    dice = random.Random(5)
    for _ in range(30):
        x = [round(dice.gauss(10, 3), dice.choice([0, 1, 9])) for _ in range(dice.randint(5, 60))]
        y = [round(dice.gauss(11, 3), dice.choice([0, 1, 9])) for _ in range(dice.randint(5, 60))]
        p = stats.mannwhitneyu(x, y, method="asymptotic", use_continuity=True).pvalue
        ours = 2 * (1 - stats.norm.cdf(abs(Statistic(x, y).at(0.0))))
        assert ours == pytest.approx(p, abs=1e-9) or p > 0.99


def test_the_exact_interval_is_the_inverted_test_of_scipy() -> None:
    stats: Any = import_module("scipy.stats")
    dice = random.Random(6)
    x, y = [dice.gauss(10, 3) for _ in range(40)], [dice.gauss(9, 2) for _ in range(50)]
    found = find_shift(x, y, confidence=0.98, solver="exact")
    width = found.upper - found.lower

    def refused(shift: float) -> bool:
        return bool(stats.mannwhitneyu([one - shift for one in x], y, method="asymptotic").pvalue < 0.02)

    assert refused(found.lower - width / 50)
    assert not refused(found.lower + width / 50)
    assert not refused(found.upper - width / 50)
    assert refused(found.upper + width / 50)
    differences = sorted(one - other for one in x for other in y)
    assert found.estimate == pytest.approx(percentile(differences, 0.5), rel=1e-9)


@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-3, 1e-4, 1e-5, 1e-9, 1e6])
def test_the_exact_judge_says_the_same_in_every_unit(scale: float) -> None:
    dice = random.Random(7)
    baseline = [dice.gauss(10, 1) * scale for _ in range(60)]
    canary = [dice.gauss(13, 1) * scale for _ in range(60)]
    assert classify(canary, baseline, Comparison(solver="exact")).kind is Class.HIGH


def test_the_compatible_judge_is_blind_in_small_units_as_kayenta_is() -> None:
    dice = random.Random(7)
    baseline = [dice.gauss(10, 1) * 1e-5 for _ in range(60)]
    canary = [dice.gauss(13, 1) * 1e-5 for _ in range(60)]
    assert classify(canary, baseline, Comparison(solver="kayenta-compat")).kind is Class.PASS


@pytest.mark.parametrize("solver", ["kayenta-compat", "exact"])
def test_two_constants_are_compared_without_noise(solver: Solver) -> None:
    high = classify([10.0] * 60, [0.0] * 60, Comparison(solver=solver))
    assert high.kind is Class.HIGH
    assert math.isnan(high.effect)
    assert classify([1.0] * 60, [2.0] * 60, Comparison(solver=solver)).kind is Class.LOW


def test_the_verdict_does_not_depend_on_the_order_of_points() -> None:
    dice = random.Random(8)
    x, y = [dice.gauss(10, 2) for _ in range(50)], [dice.gauss(11, 2) for _ in range(50)]
    assert classify(x, y, Comparison()) == classify(x[::-1], sorted(y), Comparison())


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=25),
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=25),
    st.sampled_from(["kayenta-compat", "exact"]),
)
def test_never_fails_and_its_interval_is_in_order(x: list[float], y: list[float], solver: Solver) -> None:
    found = find_shift(x, y, confidence=0.98, solver=solver)
    slack = 1e-3 if solver == "kayenta-compat" else 0.0
    assert found.lower <= found.upper + slack
    assert min(x) - max(y) <= found.lower
    assert found.upper <= max(x) - min(y)
    classify(x, y, Comparison(solver=solver))


def test_outliers_go_where_asked() -> None:
    spike = [10.0 + n % 3 for n in range(60)] + [1e6]
    calm = [10.0 + n % 3 for n in range(61)]
    kept = classify(spike, calm, Comparison(measure="meanRatio"))
    assert kept.effect > 100
    assert classify(spike, calm, Comparison(outlier_factor=3.0)).effect < 1.01


def test_nan_is_no_value_or_zero_as_asked() -> None:
    assert classify([math.nan] * 5, [1.0] * 5, Comparison()).kind is Class.NODATA
    assert classify([math.nan] * 60, [1.0] * 60, Comparison(nans="replace")).kind is Class.LOW
    assert classify([], [1.0], Comparison(must_have_data=True)).kind is Class.NODATA_FAIL
    assert classify([1.0], [], Comparison(critical=True)).critical


def judged(name: str, kind: Class, *groups: str, critical: bool = False, muted: bool = False) -> Judged:
    return Judged(name, Classified(kind, critical, "Because."), groups or ("default",), muted)


P, H, L, N, F = Class.PASS, Class.HIGH, Class.LOW, Class.NODATA, Class.NODATA_FAIL
SCORES: list[tuple[str, list[Judged], dict[str, float], float]] = [
    ("one passes", [judged("a", P)], {}, 100.0),
    ("one is high", [judged("a", H)], {}, 0.0),
    ("one has no data", [judged("a", N)], {}, 0.0),
    ("a group without data counts in full", [judged("a", P, "g"), judged("b", P, "g"), judged("c", N, "h")], {}, 100.0),
    ("half of a group", [judged("a", P), judged("b", H)], {}, 50.0),
    ("a third, rounded", [judged("a", P), judged("b", H), judged("c", L)], {}, 33.33),
    ("weights", [judged("a", P, "g"), judged("b", P, "g"), judged("c", H, "h")], {"g": 75.0, "h": 25.0}, 75.0),
    ("equal weights", [judged("a", P, "g"), judged("b", H, "g"), judged("c", H, "h")], {"g": 50.0, "h": 50.0}, 25.0),
    ("no data in a weighed group", [judged("a", P, "g"), judged("b", N, "g"), judged("c", H, "h")],
     {"g": 50.0, "h": 50.0}, 50.0),
    ("a critical one is high", [judged("a", P), judged("b", H, critical=True)], {}, 0.0),
    ("a critical one passes", [judged("a", L), judged("b", P, critical=True)], {}, 50.0),
    ("a critical one has no data", [judged("a", P), judged("b", N, critical=True)], {}, 0.0),
    ("unequal weights", [judged("a", H, "g"), judged("b", L, "g"), judged("c", P, "g"), judged("d", H, "h")],
     {"g": 15.0, "h": 85.0}, 5.0),
    ("missing data that must be there", [judged("a", P), judged("b", F)], {}, 50.0),
    ("half without data", [judged("a", P), judged("b", N)], {}, 0.0),
    ("unweighted groups share the rest", [judged("a", P, "g"), judged("b", H, "h"), judged("c", P, "i")],
     {"g": 50.0}, 75.0),
    ("a muted one says nothing", [judged("a", P), judged("b", H, critical=True, muted=True)], {}, 100.0),
    ("nothing is measured", [], {}, 0.0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("metrics", "weights", "expected"), [row[1:] for row in SCORES], ids=[row[0] for row in SCORES]
)
def test_the_score(metrics: list[Judged], weights: dict[str, float], expected: float) -> None:
    assert score(metrics, weights).score == expected


def test_the_verdict_follows_the_score_and_names_who_is_against_it() -> None:
    metrics = [judged(f"m{n}", P) for n in range(8)] + [judged("latency", H), judged("errors", L)]
    found = score(metrics)
    assert (found.score, found.verdict) == (80.0, Verdict.MARGINAL)
    assert found.reason == "Score 80 of 100, 95 passes. Against it: latency, errors."
    assert score(metrics, pass_score=80).verdict is Verdict.PASS
    assert score(metrics, marginal_score=81).verdict is Verdict.FAIL

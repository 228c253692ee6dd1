"""A metric that compares two sides is judged by all its looks, in the one state machine."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.judge.carried import read_progress, write_progress
from interlock.judge.machine import judge_metric, judge_verification
from interlock.judge.values import NoNumber, check_expressions, count_of, numbers_of
from interlock.model.errors import Invalid
from interlock.model.verification import (
    Measurement,
    MeasurementStatus,
    MetricSpec,
    VerificationState,
    parse_metric,
    render_metric,
)

BEGIN = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
RUNNING, PASSED, FAILED, INCONCLUSIVE = VerificationState
COUNTS = {"judge": "sequential", "bad": "result.json[side].bad", "total": "result.json[side].total"}
VALUES = {"value": "result.json[side]"}


def metric(name: str = "errors", *, count: int = 60, dry_run: bool = False, **compare: object) -> MetricSpec:
    body = {"name": name, "intervalSeconds": 60, "count": count, "provider": {"type": "http"}, "compare": compare}
    return parse_metric(body | ({"dryRun": True} if dry_run else {}), path="metric")


def looks(*samples: Any) -> list[Measurement]:
    """A measurement a sample, a minute apart; None: it could not be taken."""
    return [
        Measurement(MeasurementStatus.ERRORED, BEGIN + number * timedelta(minutes=1), "no answer")
        if sample is None
        else Measurement(
            MeasurementStatus.INCONCLUSIVE, BEGIN + number * timedelta(minutes=1), None, {"sample": sample}
        )
        for number, sample in enumerate(samples)
    ]


def counted(
    ratio: float, *, seed: int, minutes: int, share: float = 0.1, rate: float = 0.01, requests: int = 10_000
) -> list[Any]:
    """Counts a minute of a canary with `ratio` times the baseline's errors."""
    dice, found = random.Random(seed), []
    canary = round(requests * share)
    for _ in range(minutes):
        bad = [_binomial(dice, n, p) for n, p in ((canary, rate * ratio), (requests - canary, rate))]
        found.append(
            {"canary": {"bad": bad[0], "total": canary}, "baseline": {"bad": bad[1], "total": requests - canary}}
        )
    return found


def _binomial(dice: random.Random, n: int, p: float) -> int:
    """By geometric gaps: as many draws as there are events."""
    place, count, log_q = 0, -1, math.log1p(-p)
    while place <= n:
        place += int(math.log(1.0 - dice.random()) / log_q) + 1
        count += 1
    return count


def spread(mean: float, *, seed: int, points: int = 60) -> list[float]:
    dice = random.Random(seed)
    return [dice.gauss(mean, 1.0) for _ in range(points)]


# The promise of the sequential judge, through the machine -------------------------------------------------------------


def test_of_200_canaries_with_twice_the_errors_at_a_tenth_of_the_traffic_198_are_stopped() -> None:
    spec = metric(**COUNTS, share=0.1)
    states = [
        judge_metric(spec, looks(*counted(2.0, seed=seed, minutes=60)), started_at=BEGIN).state for seed in range(200)
    ]
    assert states.count(FAILED) >= 198


def test_of_200_canaries_with_equal_errors_at_most_6_are_stopped() -> None:
    spec = metric(**COUNTS, share=0.1)
    states = [
        judge_metric(spec, looks(*counted(1.0, seed=seed, minutes=60)), started_at=BEGIN).state
        for seed in range(1_000, 1_200)
    ]
    assert states.count(FAILED) <= 6
    assert states.count(PASSED) >= 150


# States ---------------------------------------------------------------------------------------------------------------


def test_a_harmful_canary_fails_at_the_look_that_shows_it_with_the_numbers() -> None:
    samples = counted(3.0, seed=1, minutes=30)
    found = judge_metric(metric(**COUNTS), looks(*samples), started_at=BEGIN)
    assert found.state is FAILED
    assert found.decided_at is not None
    assert found.decided_at < BEGIN + timedelta(minutes=10)
    assert "times the rate, with 99 % confidence at every look" in str(found.reason)


def test_the_numbers_that_led_to_a_verdict_are_told_by_name_and_survive_being_written_down() -> None:
    found = judge_metric(metric(**COUNTS), looks(*counted(3, seed=1, minutes=30)), started_at=BEGIN)
    assert found.state is VerificationState.FAILED
    assert found.numbers["harm"] >= 1 / found.numbers["alpha"]
    assert found.numbers["ratioLow"] > 1
    assert found.numbers["canaryTotal"] == 1_000 * found.counted
    assert read_progress(orjson.loads(orjson.dumps(write_progress(found)))) == found


def test_a_running_comparison_tells_where_it_stands_and_when_it_looks_again() -> None:
    found = judge_metric(metric(**COUNTS), looks(*counted(1.0, seed=1, minutes=1)), started_at=BEGIN)
    assert (found.state, found.next_at) == (RUNNING, BEGIN + timedelta(minutes=1))
    assert "the ratio may be" in str(found.reason)


def test_without_a_verdict_at_the_last_look_it_is_inconclusive() -> None:
    quiet = [{"canary": {"bad": 0, "total": 50}, "baseline": {"bad": 0, "total": 50}}] * 3
    found = judge_metric(metric(count=3, **COUNTS), looks(*quiet), started_at=BEGIN)
    assert found.state is INCONCLUSIVE
    assert str(found.reason).endswith("No look is left.")


def test_looks_that_could_not_be_taken_say_nothing_until_they_are_too_many() -> None:
    one = {"canary": {"bad": 0, "total": 50}, "baseline": {"bad": 0, "total": 50}}
    assert judge_metric(metric(**COUNTS), looks(one, None, None, one), started_at=BEGIN).state is RUNNING
    found = judge_metric(metric(**COUNTS), looks(one, *[None] * 6), started_at=BEGIN)
    assert found.state is INCONCLUSIVE
    assert "6 measurements in a row could not be taken, 5 tolerated: no answer" in str(found.reason)


def test_means_are_judged_at_every_look() -> None:
    slow = [{"canary": spread(103, seed=n), "baseline": spread(100, seed=n + 99)} for n in range(10)]
    found = judge_metric(metric(judge="means", **VALUES), looks(*slow), started_at=BEGIN)
    assert found.state is FAILED
    assert found.decided_at == BEGIN + timedelta(minutes=1)


def test_kayenta_waits_for_the_last_look() -> None:
    sample = {"canary": spread(13, seed=1, points=20), "baseline": spread(10, seed=2, points=20)}
    spec = metric(count=3, judge="kayenta", **VALUES)
    assert judge_metric(spec, looks(sample, sample), started_at=BEGIN).state is RUNNING
    found = judge_metric(spec, looks(sample, sample, sample), started_at=BEGIN)
    assert found.state is FAILED
    assert str(found.reason).startswith("High. The canary is higher: shift")


def test_the_threshold_judge_counts_looks_as_any_metric() -> None:
    spec = metric(count=3, judge="threshold", ratioMax=1.2, **VALUES)
    passes = [Measurement(MeasurementStatus.PASSED, BEGIN + n * timedelta(minutes=1)) for n in range(3)]
    assert judge_metric(spec, passes, started_at=BEGIN).state is PASSED


# A verification of several --------------------------------------------------------------------------------------------


def test_the_error_is_split_over_the_metrics_that_are_judged_at_every_look() -> None:
    samples = counted(2.0, seed=5, minutes=60)
    alone = judge_verification([(metric("a", **COUNTS), looks(*samples))], started_at=BEGIN)
    others = [(metric(f"o{n}", **COUNTS), looks()) for n in range(9)]
    shared = judge_verification([(metric("a", **COUNTS), looks(*samples)), *others], started_at=BEGIN)
    dry = [(metric(f"o{n}", dry_run=True, **COUNTS), looks()) for n in range(9)]
    beside = judge_verification([(metric("a", **COUNTS), looks(*samples)), *dry], started_at=BEGIN)
    assert alone.state is shared.state is beside.state is FAILED
    assert alone.decided_at == beside.decided_at
    assert alone.decided_at is not None and shared.decided_at is not None
    assert alone.decided_at <= shared.decided_at
    assert "with 99.9 % confidence" in str(shared.reason)


HIGH = {"canary": spread(13, seed=1), "baseline": spread(10, seed=2)}
EQUAL = {"canary": spread(10, seed=3), "baseline": spread(10, seed=4)}


def scored(*samples: Any, **compare: Any) -> Any:
    metrics = [
        (metric(f"m{n}", count=1, judge="kayenta", **VALUES, **compare), looks(sample))
        for n, sample in enumerate(samples)
    ]
    return judge_verification(metrics, started_at=BEGIN)


def test_kayentas_score_is_the_verdict_of_its_metrics_together() -> None:
    assert scored(EQUAL, EQUAL).state is PASSED
    assert scored(EQUAL, EQUAL).reason == "Score 100 of 100, 95 passes."
    assert scored(*[EQUAL] * 4, HIGH).state is INCONCLUSIVE
    assert scored(*[EQUAL] * 4, HIGH).reason == "Score 80 of 100, 95 passes. Against it: m4."
    assert scored(*[EQUAL] * 4, HIGH, passScore=80).state is PASSED
    assert scored(EQUAL, HIGH).state is FAILED


def test_a_critical_metric_of_kayenta_fails_at_once() -> None:
    metrics = [
        (metric("quick", count=1, judge="kayenta", critical=True, **VALUES), looks(HIGH)),
        (metric("slow", count=9, judge="kayenta", **VALUES), looks(EQUAL)),
    ]
    found = judge_verification(metrics, started_at=BEGIN)
    assert found.state is FAILED
    assert "quick" in str(found.reason)


def test_a_metric_of_kayenta_that_is_high_waits_for_the_others() -> None:
    metrics = [
        (metric("quick", count=1, judge="kayenta", **VALUES), looks(HIGH)),
        (metric("slow", count=9, judge="kayenta", **VALUES), looks(EQUAL)),
    ]
    assert judge_verification(metrics, started_at=BEGIN).state is RUNNING


@given(
    st.lists(
        st.one_of(st.none(), st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(30, 500))), max_size=40
    ),
    st.integers(1, 20),
)
def test_every_order_of_looks_ends_and_its_end_stays(rows: list[Any], count: int) -> None:
    spec = metric(count=count, **COUNTS)
    samples = [
        None
        if row is None
        else {"canary": {"bad": row[0], "total": row[2]}, "baseline": {"bad": row[1], "total": 9 * row[2]}}
        for row in rows
    ]
    ended = None
    for number in range(len(samples) + 1):
        found = judge_metric(spec, looks(*samples[:number]), started_at=BEGIN)
        assert found.state.final == (found.next_at is None)
        if ended is not None:
            assert found == ended
        elif found.state.final:
            ended = found
    if sum(row is not None for row in rows) >= count:
        assert ended is not None


# On the wire ----------------------------------------------------------------------------------------------------------

GOOD: list[dict[str, Any]] = [
    COUNTS,
    {**COUNTS, "share": 0.1, "alpha": 0.05, "samplesMin": 10, "samplesMax": 10_000, "safeBelow": 2.0},
    {**COUNTS, "bad": "result.value", "canary": {"provider": {"url": "http://a"}}, "baseline": {"label": "old"}},
    {"judge": "means", **VALUES, "higherIsWorse": False, "tolerated": 0.5},
    {"judge": "kayenta", **VALUES, "solver": "kayenta-compat", "critical": True, "group": "g", "weight": 40.0},
    {"judge": "threshold", **VALUES, "increase": 1.0},
]


@pytest.mark.parametrize("compare", GOOD, ids=range(len(GOOD)))
def test_what_is_read_is_written_again(compare: dict[str, Any]) -> None:
    body = {"name": "m", "intervalSeconds": 1, "count": 2, "provider": {"type": "http"}, "compare": compare}
    assert render_metric(parse_metric(body, path="metric")) == body


BAD: list[tuple[dict[str, Any], str]] = [
    ({"judge": "oracle"}, "metric.compare.judge"),
    ({"judge": "sequential", "bad": "side"}, "metric.compare.total"),
    ({"judge": "means"}, "metric.compare.value"),
    ({"judge": "threshold", **VALUES}, "metric.compare.judge"),
    ({**COUNTS, "share": 1}, "metric.compare.share"),
    ({**COUNTS, "alpha": 0.9}, "metric.compare.alpha"),
    ({**COUNTS, "colour": 1}, "metric.compare.colour"),
    ({"judge": "kayenta", **VALUES, "passScore": 50, "marginalScore": 80}, "metric.compare.marginalScore"),
    ({"judge": "kayenta", **VALUES, "passScore": 60}, "metric.compare.marginalScore"),
    ({**COUNTS, "canary": {"colour": 1}}, "metric.compare.canary.colour"),
    ({**COUNTS, "canary": {"provider": {"type": "sleep"}}}, "metric.compare.canary.provider.type"),
    ({**COUNTS, "bad": "result.x", "total": "result.y"}, "metric.compare.canary"),
]


@pytest.mark.parametrize(("compare", "field"), BAD, ids=range(len(BAD)))
def test_a_wrong_comparison_is_refused_by_its_field(compare: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        metric(**compare)
    assert field in [error.path for error in refused.value.fields]


def test_conditions_have_no_place_beside_a_comparison() -> None:
    body = {"name": "m", "intervalSeconds": 1, "count": 2, "provider": {"type": "http"}, "compare": COUNTS}
    with pytest.raises(Invalid, match="successCondition"):
        parse_metric(body | {"successCondition": "result.ok"}, path="metric")


# Numbers of an answer -------------------------------------------------------------------------------------------------


def test_expressions_find_a_side_in_an_answer() -> None:
    series = {"results": [{"metric": {"track": "old"}, "value": 1.5}, {"metric": {"track": "new"}, "value": "2.5"}]}
    text = "result.results.filter(s, s.metric.track == side)[0].value"
    assert numbers_of(text, series, side="old") == [1.5]
    assert numbers_of(text, series, side="new") == [2.5]
    assert numbers_of("result.results.map(s, double(s.value))", series, side="") == [1.5, 2.5]
    assert count_of("result.n", {"n": 3.0}, side="") == 3


@pytest.mark.parametrize("value", [None, True, "many", {}, [1, None], [1, 2], -1, math.nan, math.inf])
def test_what_is_no_count_is_an_error(value: object) -> None:
    with pytest.raises(NoNumber):
        count_of("result.n", {"n": value}, side="canary")


def test_an_expression_that_cannot_be_read_is_refused_with_its_place() -> None:
    with pytest.raises(Invalid, match="Line 1, column"):
        check_expressions({"bad": "result.(("}, path="metric.compare")

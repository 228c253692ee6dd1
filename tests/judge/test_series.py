"""What is drawn is what was measured: gaps where nothing was, limits where the conditions have them."""

import math
from datetime import UTC, datetime, timedelta

import pytest

from interlock.judge.sequential import Counting, Look, trace, weigh
from interlock.judge.series import Threshold, counts_of, measurements_max, says_verification, series_of, thinned
from interlock.judge.thinning import Kept
from interlock.judge.thinning import thinned as keep_few
from interlock.model.verification import Measurement, MeasurementStatus, parse_metric

BEGAN = datetime(2026, 3, 9, 9, 0, tzinfo=UTC)


def metric(name="error-rate", **more):
    body = {"name": name, "intervalSeconds": 10, "count": 6, "provider": {"type": "prometheus"}, **more}
    return parse_metric(body, path="metric")


def measured(*results, status="passed"):
    return [
        Measurement(
            MeasurementStatus(status if result is not None else "errored"),
            BEGAN + timedelta(seconds=10 * number),
            None if result is not None else "no answer",
            result or {},
        )
        for number, result in enumerate(results)
    ]


def lines(panel):
    return {line.name: line.values for line in panel.lines}


def test_a_condition_becomes_a_line_with_its_limits_and_gaps_for_what_is_no_number():
    spec = metric(successCondition="result.ok && result.value < 0.01", failureCondition="result.value > 0.05")
    taken = measured(
        {"ok": True, "value": 0.004}, None, {"ok": True, "value": None}, {"ok": True, "value": math.nan}, {"value": 0.2}
    )
    series = series_of(spec, taken, alpha=0.01)
    (panel,) = series.panels
    assert lines(panel) == {"value": (0.004, None, None, None, 0.2)}
    assert panel.unit == "ratio"
    assert panel.thresholds == (
        Threshold(0.01, "passes below 1 %", good=True),
        Threshold(0.05, "fails above 5 %", good=False),
    )
    assert series.points[1].says == "no answer"
    assert counts_of(series.points) == {"passed": 4, "failed": 0, "inconclusive": 0, "errored": 1}


def test_each_number_that_a_condition_looks_at_has_its_own_panel_and_the_status_comes_last():
    spec = metric(
        "health", successCondition='result.statusCode == 200 && result.duration < 300 && result.json["a-b"].n > 2'
    )
    series = series_of(spec, measured({"statusCode": 200, "duration": 120, "json": {"a-b": {"n": 5}}}), alpha=0.01)
    assert [(panel.title, panel.unit) for panel in series.panels] == [
        ("result.duration", "ms"),
        ('result.json["a-b"].n', ""),
        ("result.statusCode", ""),
    ]


@pytest.mark.parametrize("results", [(), (None, None)], ids=["nothing yet", "errors alone"])
def test_without_a_number_there_is_nothing_to_draw_but_the_points(results):
    series = series_of(metric(successCondition="result.value < 1"), measured(*results), alpha=0.01)
    assert series.panels == ()
    assert len(series.points) == len(results)


def test_a_rate_above_one_is_no_ratio():
    spec = metric("request-rate", successCondition="result.value < 500")
    (panel,) = series_of(spec, measured({"value": 120.0}), alpha=0.01).panels
    assert (panel.unit, panel.thresholds[0].says) == ("", "passes below 500")


COUNTS = {"judge": "sequential", "bad": "result.json[side].bad", "total": "result.json[side].total"}


def counted(canary, baseline):
    return {"sample": {"canary": dict(zip(("bad", "total"), canary, strict=True)), "baseline": baseline}}


def test_counts_are_drawn_as_rates_beside_the_evidence_that_decides():
    spec = metric(compare=COUNTS)
    base = {"bad": 9, "total": 900}
    taken = measured(counted((1, 100), base), None, counted((0, 0), base), counted((9, 100), base))
    rates, evidence = series_of(spec, taken, alpha=0.005).panels
    assert lines(rates) == {"canary": (0.01, None, None, 0.09), "baseline": (0.01, None, 0.01, 0.01)}
    assert [(each.value, each.says) for each in evidence.thresholds] == [(200.0, "decides from 200")]
    assert evidence.log
    harm = lines(evidence)["that it is worse"]
    assert harm[1] is None
    assert harm[2] == harm[0] < harm[3]
    assert series_of(spec, taken, alpha=0.01).points[0].says == "canary 1 of 100, baseline 9 of 900 bad"


def test_the_trace_of_the_evidence_ends_where_the_judge_ends():
    looks = [Look(bad, 100, 8, 900, 0.1) for bad in (1, 0, 2, 1, 1)] + [Look(0, 0, 3, 90)]
    found = weigh(looks, Counting())
    assert found.looks == len(looks)
    assert trace(looks, Counting())[-1] == pytest.approx((found.harm, found.safety))


def test_means_are_drawn_with_the_interval_of_their_difference():
    spec = metric("latency-ms", compare={"judge": "means", "value": "result.json[side]", "samplesMin": 2})
    taken = measured(
        *({"sample": {"canary": [110.0 + k, 112.0], "baseline": [100.0, 101.0, math.inf]}} for k in range(4))
    )
    both, difference = series_of(spec, taken, alpha=0.01).panels
    assert both.unit == "ms"
    assert lines(both)["baseline"] == (100.5,) * 4
    low, high, estimate = (line.values for line in difference.lines)
    assert estimate[3] == pytest.approx((110 + 111 + 112 + 113 + 4 * 112) / 8 - 100.5)
    assert low[3] < estimate[3] < high[3]
    assert difference.thresholds[1].says == "tolerated: 10.05 ms"


def test_bounds_are_drawn_along_the_baseline():
    spec = metric(compare={"judge": "threshold", "value": "result.json[side]", "ratioMax": 1.5, "decrease": 2})
    (panel,) = series_of(
        spec, measured({"sample": {"canary": [12.0], "baseline": [10.0]}}, None, {"odd": 1}), alpha=0.01
    ).panels
    assert lines(panel) == {
        "canary": (12.0, None, None),
        "baseline": (10.0, None, None),
        "highest allowed": (15.0, None, None),
        "lowest allowed": (8.0, None, None),
    }


def test_an_answer_that_the_condition_cannot_read_is_a_gap_and_no_error():
    spec = metric(successCondition="result.json.x.y < 1")
    assert series_of(spec, measured({"json": {"x": 1}}), alpha=0.01).panels == ()


def test_more_points_than_can_be_drawn_become_their_mean_and_what_they_lay_between():
    spec = metric(successCondition="result.value < 50")
    taken = measured(*({"value": float(number)} if number != 7 else None for number in range(10)))
    series = thinned(series_of(spec, taken, alpha=0.01), 4)
    (panel,) = series.panels
    assert lines(panel) == {
        "value": (1.0, 4.0, 7.0, 9.0),
        "lowest": (0.0, 3.0, 6.0, 9.0),
        "highest": (2.0, 5.0, 8.0, 9.0),
    }
    assert series.points[2].status is MeasurementStatus.ERRORED
    assert series.points[2].says == "3 measurements: 2 passed, 1 errored. no answer"
    assert thinned(series, 4) is series
    evidence = thinned(
        series_of(metric(compare=COUNTS), measured(*[counted((1, 9), {"bad": 1, "total": 9})] * 4), alpha=0.01), 2
    )
    whole = series_of(metric(compare=COUNTS), measured(*[counted((1, 9), {"bad": 1, "total": 9})] * 4), alpha=0.01)
    assert evidence.panels[1].lines[0].values == whole.panels[1].lines[0].values[1::2]


def kept_few(taken):
    """What is stored of a long run."""
    few = keep_few([Kept(n, one.status, one.measured_at, one.message, one.result) for n, one in enumerate(taken)])
    return [Measurement(one.status, one.measured_at, one.message, one.result) for one in few]


def test_of_a_long_run_the_mean_is_drawn_between_the_least_and_the_greatest():
    spec = metric(successCondition="result.json.rate < 0.5")
    taken = measured(*({"ok": True, "json": {"rate": number % 10 / 10}} for number in range(4_000)), status="passed")
    series = series_of(spec, kept_few(taken), alpha=0.01)
    assert len(series.points) <= 500
    assert sum(point.of for point in series.points) == 4_000
    (panel,) = series.panels
    drawn = lines(panel)
    assert list(drawn) == ["value", "lowest", "highest"]
    assert (min(drawn["lowest"]), max(drawn["highest"])) == (0.0, 0.9)
    assert all(
        low <= value <= high
        for low, value, high in zip(*(drawn[n] for n in ("lowest", "value", "highest")), strict=True)
    )
    assert series.points[0].says.endswith(" measurements")
    again = thinned(series, 50)
    assert (min(lines(again.panels[0])["lowest"]), max(lines(again.panels[0])["highest"])) == (0.0, 0.9)
    assert sum(point.of for point in again.points) == 4_000


def test_of_a_long_comparison_all_counts_and_all_points_are_drawn():
    counts = metric(compare={"bad": "result.json[side].bad", "total": "result.json[side].total"})
    one = {"sample": {"canary": {"bad": 1, "total": 100}, "baseline": {"bad": 9, "total": 900}}}
    taken = measured(*[one] * 2_000)
    whole, few = (series_of(counts, each, alpha=0.01) for each in (taken, kept_few(taken)))
    assert len(few.points) <= 500
    assert set(lines(few.panels[0])["canary"]) == {0.01}
    for name in lines(whole.panels[1]):
        assert lines(few.panels[1])[name][-1] == pytest.approx(lines(whole.panels[1])[name][-1])
    assert few.points[0].says == "8 measurements: canary 8 of 800, baseline 72 of 7,200 bad"

    means = metric(compare={"judge": "means", "value": "result.json[side]"})
    taken = measured(*({"sample": {"canary": [n % 7, n % 5], "baseline": [n % 6]}} for n in range(2_000)))
    whole, few = (series_of(means, each, alpha=0.01) for each in (taken, kept_few(taken)))
    for name in lines(whole.panels[1]):
        assert lines(few.panels[1])[name][-1] == pytest.approx(lines(whole.panels[1])[name][-1])


def test_how_far_it_is_names_the_most_where_there_is_one():
    body = {
        "name": "m",
        "intervalSeconds": 1,
        "count": 5,
        "successCondition": "result.ok",
        "provider": {"type": "http"},
    }
    most = [measurements_max(parse_metric(body | {"runs": runs}, path="m")) for runs in ("withJob", "whileOpen")]
    assert most == [5, None]
    began = datetime(2026, 3, 9, 9, 0, tzinfo=UTC)
    metrics = [("errors", "running", 3, most[0]), ("burn", "running", 1200, most[1]), ("smoke", "passed", 1, 1)]
    said = says_verification("running", message=None, started_at=began, ended_at=None, metrics=metrics)
    assert said == "It is being measured: errors 3 of 5, burn 1,200 so far, smoke passed."

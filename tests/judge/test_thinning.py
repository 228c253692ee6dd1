"""Does thinning keep what was seen, and does judging never see that it was thinned?"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.judge.carried import read_progress, write_progress
from interlock.judge.machine import begun, judge_metric, with_one_more
from interlock.judge.means import Moments, moments_of
from interlock.judge.thinning import SAMPLES_MAX, Kept, points_of, thinned
from interlock.model.verification import Measurement, MeasurementStatus, MetricSpec, Runs

T0 = datetime(2026, 3, 9, 8, tzinfo=UTC)
STATUSES = st.sampled_from(list(MeasurementStatus))


def samples(values: list[float], statuses: list[MeasurementStatus] | None = None) -> list[Kept]:
    passed = [MeasurementStatus.PASSED] * len(values)
    return [
        Kept(number, status, T0 + timedelta(seconds=number), None, {"ok": True, "json": {"rate": value}})
        for number, (value, status) in enumerate(zip(values, statuses or passed, strict=True), 1)
    ]


def test_few_samples_are_kept_as_they_were_measured():
    few = samples([1.0] * SAMPLES_MAX)
    assert list(thinned(few)) == few


def test_two_become_one_with_their_mean_between_the_least_and_the_greatest_at_the_place_of_the_later():
    first, *_ = thinned(samples([float(n) for n in range(1, 10)]), most=8)
    assert (first.number, first.of) == (2, 2)
    assert first.result["json"] == {"rate": 1.5}
    assert first.result["thinned"] == {"of": 2, "min": {"json.rate": 1.0}, "max": {"json.rate": 2.0}}
    assert first.result["ok"] is True


def look(number, sample, status=MeasurementStatus.INCONCLUSIVE):
    return Kept(number, status, T0 + timedelta(seconds=number), None, {} if sample is None else {"sample": sample})


def test_counts_of_a_comparison_are_summed_and_one_that_could_not_be_taken_takes_none_away():
    counts = [{"canary": {"bad": n, "total": 10}, "baseline": {"bad": 1, "total": 90}} for n in range(16)]
    whole = [look(2 * n + 1, one) for n, one in enumerate(counts)]
    gaps = [look(2 * n + 2, None, MeasurementStatus.ERRORED) for n in range(16)]
    for looks in (whole, sorted([*whole, *gaps], key=lambda one: one.number), [gaps[0], *whole[1:]]):
        kept = thinned(looks, most=8)
        held = [one.result["sample"] for one in kept if "sample" in one.result]
        bad = sum(one.result["sample"]["canary"]["bad"] for one in looks if "sample" in one.result)
        assert sum(one["canary"]["bad"] for one in held) == bad
        assert sum(one.of for one in kept) == len(looks)


def test_points_of_a_comparison_keep_their_moments():
    points = [[float(n), float(n * n), None] if n % 5 else [] for n in range(64)]
    kept = thinned([look(n + 1, {"canary": one, "baseline": [1.0]}) for n, one in enumerate(points)], most=8)
    moments = [points_of(one.result, "canary") for one in kept]
    known = moments_of([one for many in points for one in many if one is not None])
    together = Moments()
    for one in moments:
        together = together.plus(one)
    assert (together.count, together.mean) == (known.count, pytest.approx(known.mean))
    assert together.squares == pytest.approx(known.squares)
    assert kept[0].result["sample"]["canary"] == [pytest.approx(moments[0].mean)]
    assert kept[0].result["thinned"]["min"]["sample.canary"] == 1.0


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), STATUSES), min_size=9, max_size=400), st.integers(8, 60))
def test_thinned_twice_or_once_it_stands_for_every_sample(rows, most):
    values, statuses = [value for value, _ in rows], [status for _, status in rows]
    half = len(rows) // 2
    whole = samples(values, statuses)
    once = thinned(whole, most=most)
    twice = thinned([*thinned(whole[:half], most=most), *whole[half:]], most=most)
    for kept in (once, twice):
        assert len(kept) <= most
        assert sum(one.of for one in kept) == len(rows)
        assert [one.number for one in kept] == sorted(one.number for one in kept)
        assert kept[-1].number == len(rows)
        ends = [one.result.get("thinned") or {"min": {"json.rate": one.result["json"]["rate"]}} for one in kept]
        assert min(end["min"]["json.rate"] for end in ends) == min(values)
        mean = sum(one.result["json"]["rate"] * one.of for one in kept) / len(rows)
        assert mean == pytest.approx(sum(values) / len(rows), abs=1e-3)
        assert (MeasurementStatus.FAILED in {one.status for one in kept}) is (MeasurementStatus.FAILED in statuses)


SPECS = st.builds(
    MetricSpec,
    name=st.just("errors"),
    provider=st.just({"type": "http"}),
    interval_seconds=st.sampled_from([0.5, 10.0]),
    count=st.integers(1, 8),
    success_condition=st.just("true"),
    success_threshold=st.none() | st.integers(1, 4),
    failure_threshold=st.none() | st.integers(0, 3),
    errors_max=st.integers(0, 3),
    runs=st.sampled_from([Runs.WITH_JOB, Runs.WHILE_OPEN]),
)


@given(SPECS, st.lists(st.tuples(STATUSES, st.floats(0.1, 90)), max_size=40))
def test_one_more_after_what_was_written_down_is_the_fold_of_all(spec, rows):
    if spec.runs is Runs.WHILE_OPEN:
        spec = replace(spec, success_threshold=None)
    at, taken = T0, []
    progress = begun(spec, started_at=T0)
    for status, wait_s in rows:
        at += timedelta(seconds=wait_s)
        taken.append(Measurement(status, at, "why"))
        carried = read_progress(orjson.loads(orjson.dumps(write_progress(progress))))
        assert carried == progress
        progress = with_one_more(spec, carried, taken[-1], started_at=T0)
        assert progress == judge_metric(spec, taken, started_at=T0)

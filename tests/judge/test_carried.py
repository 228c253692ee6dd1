"""Is what a compared metric carries from look to look as good as all of its looks?"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.judge.carried import read_progress, write_progress
from interlock.judge.machine import begun, judge_metric, with_one_more
from interlock.judge.sequential import RATIOS, Counting, Look, Weighed, weigh, with_look
from interlock.model.verification import Measurement, MeasurementStatus, parse_metric

T0 = datetime(2026, 3, 9, 8, tzinfo=UTC)


def metric(compare, **more):
    body = {"name": "errors", "intervalSeconds": 30, "count": 12, "provider": {"type": "http"}, "compare": compare}
    return parse_metric(body | more, path="metric")


def _counts(draw):
    share = draw(st.sampled_from([0.02, 0.1, 0.5]))
    requests = draw(st.sampled_from([0, 50, 4_000]))
    totals = {"canary": int(requests * share), "baseline": int(requests * (1 - share))}
    rates = {"canary": draw(st.sampled_from([0.0, 0.01, 0.05])), "baseline": 0.01}
    noise = draw(st.integers(0, 3))
    return {
        side: {"bad": min(total, int(total * rates[side]) + noise), "total": total} for side, total in totals.items()
    }


def _values(draw):
    points = st.lists(st.floats(10, 20) | st.just(math.nan), max_size=40)
    slower = draw(st.sampled_from([0.0, 5.0]))
    return {"canary": [one + slower for one in draw(points)], "baseline": draw(points)}


@st.composite
def judged(draw):
    """A compared metric, its part of α, and looks at it: None is one that could not be taken."""
    counts = draw(st.booleans())
    compare = {"judge": "sequential" if counts else "means", "samplesMin": draw(st.sampled_from([1, 30, 100]))}
    compare |= {"bad": "side", "total": "side"} if counts else {"value": "side"}
    if draw(st.booleans()):
        compare["samplesMax"] = 30_000 if counts else 300
    if counts and draw(st.booleans()):
        compare["share"] = 0.1
    more = {"runs": draw(st.sampled_from(["withJob", "whileOpen"])), "errorsMax": draw(st.integers(0, 3))}
    looks = [
        None if draw(st.integers(0, 5)) == 0 else (_counts if counts else _values)(draw)
        for _ in range(draw(st.integers(0, 20)))
    ]
    return metric(compare, **more), draw(st.sampled_from([1.0, 0.3, 1e-6])), looks


@settings(max_examples=150)
@given(judged())
def test_one_more_look_after_what_was_written_down_is_the_fold_of_all_looks(one):
    spec, share, looks = one
    progress, taken = begun(spec, started_at=T0, alpha_share=share), []
    assert progress == judge_metric(spec, [], started_at=T0, alpha_share=share)
    for number, sample in enumerate(looks):
        at = T0 + timedelta(seconds=30 * number + 1)
        taken.append(
            Measurement(MeasurementStatus.ERRORED, at, "no answer")
            if sample is None
            else Measurement(MeasurementStatus.INCONCLUSIVE, at, None, {"sample": sample})
        )
        carried = read_progress(orjson.loads(orjson.dumps(write_progress(progress))))
        assert carried == progress
        progress = with_one_more(spec, carried, taken[-1], started_at=T0, alpha_share=share)
        assert progress == judge_metric(spec, taken, started_at=T0, alpha_share=share)


def ramp(looks):
    """The canary's share goes from 1 % to 50 %, none twice, at 1.3 times the rate."""
    found = []
    for number in range(looks):
        requests = 900 + 80_000 * number // looks + number % 7
        found.append(Look(round(requests * 0.013), requests, 900, 90_000))
    return found


def log_e(looks, null, way):
    """ln E straight from its definition, look by look."""
    logs = []
    for worse in RATIOS:
        total = 0.0
        for look in looks:
            share = look.canary_total / (look.canary_total + look.baseline_total)
            for_null, for_worse = (share * ratio / (share * ratio + 1 - share) for ratio in (null, null * worse**way))
            total += look.canary_bad * math.log(for_worse / for_null)
            total += look.baseline_bad * math.log((1 - for_worse) / (1 - for_null))
        logs.append(total)
    most = max(logs)
    return most + math.log(math.fsum(math.exp(one - most) for one in logs) / len(logs))


def test_the_ends_of_the_interval_are_where_the_definition_of_the_evidence_has_them():
    looks = ramp(60)
    how = Counting(alpha=1e-300, endless=True)
    found = weigh(looks, how)
    assert found.looks == 60
    assert log_e(looks, found.low, 1.0) == pytest.approx(-math.log(how.alpha), rel=1e-5)
    assert log_e(looks, found.high, -1.0) == pytest.approx(-math.log(how.alpha), rel=1e-5)
    assert math.log(found.harm) == pytest.approx(log_e(looks, 1.0, 1.0), rel=1e-9)


def test_what_is_carried_of_counts_hangs_on_how_far_shares_lay_apart_and_not_on_how_many_looks_there_were():
    how, weighed = Counting(alpha=1e-300, endless=True), Weighed()
    sizes = []
    for look in [*ramp(400), *ramp(400), *ramp(400)]:
        weighed = with_look(weighed, look, how)
        sizes.append(len(weighed.masses))
    assert sizes[-1] == sizes[399] <= 120

"""Laws of a whole verification: every order of results ends, its ends exclude each other, and an error never fails.

Source: issue 6, "property tests of the state machine".
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from interlock.judge.machine import judge_verification
from interlock.model.verification import (
    Measurement,
    MeasurementStatus,
    MetricSpec,
    OnInconclusive,
    VerificationState,
)

T0 = datetime(2026, 3, 9, 8, tzinfo=UTC)
RUNNING, PASSED, FAILED, INCONCLUSIVE = VerificationState
STATUS = {
    "P": MeasurementStatus.PASSED,
    "F": MeasurementStatus.FAILED,
    "I": MeasurementStatus.INCONCLUSIVE,
    "E": MeasurementStatus.ERRORED,
}
SPECS = st.builds(
    MetricSpec,
    name=st.just(""),
    provider=st.just({"type": "http"}),
    interval_seconds=st.sampled_from([1.0, 10.0]),
    count=st.integers(1, 5),
    success_condition=st.just("true"),
    success_threshold=st.none() | st.integers(1, 6),
    failure_threshold=st.none() | st.integers(0, 5),
    errors_max=st.integers(0, 3),
    dry_run=st.booleans(),
    on_inconclusive=st.none() | st.sampled_from(list(OnInconclusive)),
)
METRICS = st.lists(SPECS, min_size=1, max_size=3).map(
    lambda specs: [replace(spec, name=f"metric-{number}") for number, spec in enumerate(specs)]
)
ORDERS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from("PFIE")), max_size=60)
ENDS_AFTER = (5 + 1) * (3 + 1)


def played(specs: list[MetricSpec], order: list[tuple[int, str]]) -> list[VerificationState]:
    """The states of a verification as its results arrive, in any order of metrics; what is over is not measured."""
    taken: list[list[Measurement]] = [[] for _ in specs]
    states, at = [], T0
    for number, letter in order:
        progress = judge_verification(list(zip(specs, taken, strict=True)), started_at=T0)
        states.append(progress.state)
        place = number % len(specs)
        if progress.state.final:
            assert progress.next_at is None
            assert progress.decided_at is not None
            assert progress.reason
            break
        assert progress.next_at is not None, "what runs says when it goes on"
        at += timedelta(seconds=1)
        if not progress.metrics[place].state.final:
            taken[place].append(Measurement(STATUS[letter], at, "why"))
    states.append(judge_verification(list(zip(specs, taken, strict=True)), started_at=T0).state)
    return states


@given(METRICS, ORDERS)
def test_an_end_is_one_end_and_stays(specs, order):
    states = played(specs, order)
    assert all(state is RUNNING for state in states[:-2])
    assert len({state for state in states if state.final}) <= 1


@given(METRICS, ORDERS)
def test_every_order_of_results_ends_once_every_metric_was_measured_often_enough(specs, order):
    rest = [(place, letter) for letter in ("EEEP" * ENDS_AFTER)[:ENDS_AFTER] for place in range(len(specs))]
    assert played(specs, [*order, *rest])[-1].final


@given(METRICS, st.lists(st.tuples(st.integers(0, 2), st.sampled_from("PIE")), max_size=60))
def test_what_nobody_saw_failing_fails_only_where_the_policy_says_so(specs, order):
    held = [replace(spec, on_inconclusive=None, failure_condition="x") for spec in specs]
    assert FAILED not in played(held, order)
    lenient = [replace(spec, on_inconclusive=OnInconclusive.PASS) for spec in specs]
    assert not {FAILED, INCONCLUSIVE} & set(played(lenient, order))


@given(METRICS, ORDERS)
def test_the_policy_of_what_could_not_tell_changes_that_end_and_no_other(specs, order):
    def states(word):
        return played([replace(spec, on_inconclusive=word) for spec in specs], order)

    hold, fail, passes = (states(word)[-1] for word in OnInconclusive)
    if hold is FAILED:
        assert fail is FAILED
        assert passes is FAILED
    if hold is PASSED:
        assert passes is PASSED
    assert INCONCLUSIVE not in {fail, passes}


@given(METRICS, ORDERS)
def test_a_dry_run_beside_others_decides_nothing(specs, order):
    binding = [spec for spec in specs if not spec.dry_run]
    if not binding or len(binding) == len(specs):
        return
    taken: list[list[Measurement]] = [[] for _ in specs]
    for step, (number, letter) in enumerate(order, 1):
        taken[number % len(specs)].append(Measurement(STATUS[letter], T0 + timedelta(seconds=step), "why"))
    every = judge_verification(list(zip(specs, taken, strict=True)), started_at=T0)
    own = [(spec, rows) for spec, rows in zip(specs, taken, strict=True) if not spec.dry_run]
    alone = judge_verification(own, started_at=T0)
    assert (every.state, every.decided_at, every.reason) == (alone.state, alone.decided_at, alone.reason)

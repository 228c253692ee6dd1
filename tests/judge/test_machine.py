"""A verification's life, measurement by measurement. The reference's traps are among the examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.judge.machine import BACKOFF_MAX_S, MetricProgress, judge_metric, judge_verification
from interlock.model.compare import Compare
from interlock.model.verification import Measurement, MeasurementStatus, MetricSpec, Runs, VerificationState

BEGIN = datetime(2026, 3, 29, 0, 59, 50, tzinfo=UTC)  # ten seconds before clocks change in Europe: no difference
STATUS = {
    "P": MeasurementStatus.PASSED,
    "F": MeasurementStatus.FAILED,
    "I": MeasurementStatus.INCONCLUSIVE,
    "E": MeasurementStatus.ERRORED,
}
RUNNING, PASSED, FAILED, INCONCLUSIVE = VerificationState


def spec(**change: object) -> MetricSpec:
    given_: dict[str, object] = {
        "name": "health",
        "provider": {"type": "http"},
        "interval_seconds": 10.0,
        "count": 3,
        "success_condition": "result.ok",
    }
    return MetricSpec(**(given_ | change))  # type: ignore[arg-type]


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def measured(letters: str, *, every_s: float = 10.0, first_s: float = 0.0) -> list[Measurement]:
    return [Measurement(STATUS[letter], at(first_s + number * every_s)) for number, letter in enumerate(letters)]


def judged(letters: str, **change: object) -> MetricProgress:
    return judge_metric(spec(**change), measured(letters), started_at=BEGIN)


@pytest.mark.parametrize(
    ("letters", "change", "state"),
    [
        ("", {}, RUNNING),
        ("P", {}, RUNNING),
        ("PP", {}, RUNNING),
        ("PPP", {}, PASSED),
        # one failure is one too many, unless it is tolerated
        ("F", {}, FAILED),
        ("PF", {}, FAILED),
        ("PFP", {"failure_threshold": 1}, PASSED),
        ("PFF", {"failure_threshold": 1}, FAILED),
        ("FFF", {"failure_threshold": 3}, INCONCLUSIVE),  # tolerated, but nobody saw it pass
        # early success needs its row
        ("PP", {"count": 9, "success_threshold": 2}, PASSED),
        ("PIP", {"count": 9, "success_threshold": 2}, RUNNING),
        ("PIPP", {"count": 9, "success_threshold": 2}, PASSED),
        ("PEP", {"count": 9, "success_threshold": 2}, PASSED),  # an error says nothing about the service
        ("PPP", {"success_threshold": 5}, PASSED),  # never early, but complete
        # neither good nor bad
        ("PIP", {}, PASSED),
        ("PII", {}, INCONCLUSIVE),
        ("IIII", {"count": 4}, INCONCLUSIVE),
        ("PIPI", {"count": 4}, INCONCLUSIVE),
        # errors do not count, do not fail, and have an end
        ("EEPEP", {}, RUNNING),
        ("EEPEPP", {}, PASSED),
        ("EEEEE", {}, RUNNING),
        ("EEEEEE", {}, INCONCLUSIVE),
        ("EEEEEPEEEEE", {}, RUNNING),
        ("E", {"errors_max": 0}, INCONCLUSIVE),
    ],
)
def test_a_metric_after_its_measurements(letters: str, change: dict[str, object], state: VerificationState) -> None:
    progress = judged(letters, **change)
    assert progress.state is state
    assert (progress.next_at is None) == state.final
    assert (progress.decided_at is None) != state.final
    assert (progress.reason is None) != state.final


def test_a_missing_success_threshold_still_measures_and_ends() -> None:
    """In the reference it reads as 0, so `0 ≥ 0` completes the metric unmeasured, and its job verifies for ever."""
    assert judged("", success_threshold=None).next_at == BEGIN
    assert judged("PPP", success_threshold=None).state is PASSED


def test_one_formula_gives_the_state_of_a_metric_that_passed_early_and_of_its_verification() -> None:
    """Two of the reference's three formulas call an early pass running, and so never decide again."""
    early = spec(count=9, success_threshold=2)
    assert judge_metric(early, measured("PP"), started_at=BEGIN).state is PASSED
    assert judge_verification([(early, measured("PP"))], started_at=BEGIN).state is PASSED


def test_what_comes_after_the_end_changes_nothing() -> None:
    assert judged("FPPP") == judged("F")
    assert judged("PPPF") == judged("PPP")


def test_the_reason_says_numbers_and_the_last_message() -> None:
    failing = [*measured("P"), Measurement(MeasurementStatus.FAILED, at(10), message="`result.ok` is false")]
    assert judge_metric(spec(), failing, started_at=BEGIN).reason == (
        "1 of 2 measurements failed, 0 tolerated: `result.ok` is false"
    )


# When the next measurement is due


def test_the_first_one_is_due_at_once_or_after_the_warm_up() -> None:
    assert judged("").next_at == BEGIN
    assert judged("", warm_up_seconds=30.0).next_at == at(30)


@pytest.mark.parametrize(
    ("measured_s", "due_s"),
    [
        (0.0, 10),
        (0.4, 10),
        (4.9, 10),
        (5.1, 20),
        (9.9, 20),
        (10.0, 20),
        (10.3, 20),
        (3_600.0, 3_610),
        (9.999, 20),
        (-0.01, 10),
    ],
)
def test_the_grid_does_not_drift_and_an_outage_leaves_a_gap_not_a_burst(measured_s: float, due_s: float) -> None:
    last = [Measurement(MeasurementStatus.PASSED, at(measured_s))]
    assert judge_metric(spec(), last, started_at=BEGIN).next_at == at(due_s)


def test_late_answers_never_move_the_grid() -> None:
    taken: list[Measurement] = []
    many = spec(count=100)
    for number in range(50):
        due = judge_metric(many, taken, started_at=BEGIN).next_at
        assert due == at(number * 10)
        taken.append(Measurement(MeasurementStatus.PASSED, due + timedelta(seconds=1.7)))


@pytest.mark.parametrize(("errors", "wait_s"), [(1, 10), (2, 20), (3, 40), (4, 60), (5, 60)])
def test_errors_back_off_on_the_grid(errors: int, wait_s: float) -> None:
    progress = judged("E" * errors)
    assert progress.next_at == at((errors - 1) * 10 + wait_s)
    assert wait_s <= BACKOFF_MAX_S


def test_a_long_interval_is_its_own_longest_back_off() -> None:
    assert judged("EEE", interval_seconds=3600.0).next_at == at(3600)


# A verification of several metrics


def verify(*metrics: tuple[MetricSpec, Sequence[Measurement]]) -> VerificationState:
    return judge_verification(metrics, started_at=BEGIN).state


def test_one_failed_metric_fails_the_verification_while_others_still_run() -> None:
    whole = judge_verification([(spec(name="a"), measured("P")), (spec(name="b"), measured("F"))], started_at=BEGIN)
    assert (whole.state, whole.next_at, whole.decided_at) == (FAILED, None, BEGIN)
    assert str(whole.reason).startswith("b: 1 of 1 measurements failed")


def test_a_verification_passes_when_its_slowest_metric_does() -> None:
    quick, slow = spec(name="a", count=1), spec(name="b")
    running = judge_verification([(quick, measured("P")), (slow, measured("PP"))], started_at=BEGIN)
    assert (running.state, running.next_at) == (RUNNING, at(20))
    done = judge_verification([(quick, measured("P")), (slow, measured("PPP"))], started_at=BEGIN)
    assert (done.state, done.decided_at, done.reason) == (PASSED, at(20), "2 of 2 metrics passed")


def test_an_inconclusive_metric_waits_for_the_others_which_may_still_fail() -> None:
    unclear = spec(name="a", errors_max=0)
    assert verify((unclear, measured("E")), (spec(name="b"), measured("P"))) is RUNNING
    assert verify((unclear, measured("E")), (spec(name="b"), measured("PF"))) is FAILED
    assert verify((unclear, measured("E")), (spec(name="b"), measured("PPP"))) is INCONCLUSIVE


def test_a_dry_run_decides_nothing_and_is_waited_for_only_alone() -> None:
    dry = spec(name="dry", dry_run=True)
    assert verify((dry, measured("F")), (spec(), measured("PPP"))) is PASSED
    assert verify((dry, measured("")), (spec(), measured("PPP"))) is PASSED
    assert verify((dry, measured("P"))) is RUNNING
    assert verify((dry, measured("F"))) is PASSED


def test_no_metrics_is_passed_at_once() -> None:
    whole = judge_verification([], started_at=BEGIN)
    assert (whole.state, whole.decided_at) == (PASSED, BEGIN)


# Laws

letters = st.text(alphabet="PFIE", max_size=30)
specs = st.builds(
    spec,
    count=st.integers(1, 8),
    interval_seconds=st.sampled_from([0.1, 1.0, 7.5, 600.0]),
    success_threshold=st.none() | st.integers(1, 9),
    failure_threshold=st.none() | st.integers(0, 9),
    errors_max=st.integers(0, 6),
    warm_up_seconds=st.sampled_from([0.0, 2.5]),
)


@given(specs, letters, letters)
def test_a_final_state_stays(metric: MetricSpec, first: str, more: str) -> None:
    before = judge_metric(metric, measured(first), started_at=BEGIN)
    after = judge_metric(metric, measured(first + more), started_at=BEGIN)
    assert not before.state.final or after == before


@given(specs, st.lists(st.tuples(st.sampled_from("PFIE"), st.floats(0, 5_000)), max_size=40))
def test_measuring_when_due_moves_forward_on_the_grid_and_ends(
    metric: MetricSpec, answers: list[tuple[str, float]]
) -> None:
    taken: list[Measurement] = []
    for letter, late_s in answers:
        progress = judge_metric(metric, taken, started_at=BEGIN)
        if progress.next_at is None:
            return
        steps = (progress.next_at - BEGIN).total_seconds() - metric.warm_up_seconds
        assert abs(steps / metric.interval_seconds - round(steps / metric.interval_seconds)) < 1e-3
        assert not taken or progress.next_at > taken[-1].measured_at
        taken.append(Measurement(STATUS[letter], progress.next_at + timedelta(seconds=late_s)))
    ends_after = (metric.count + 1) * (metric.errors_max + 1)
    assert len(taken) < ends_after or judge_metric(metric, taken, started_at=BEGIN).state.final


@pytest.mark.parametrize(
    ("letters", "change", "state"),
    [
        ("PPPPPPPPPPPP", {}, RUNNING),  # however often it passes, it goes on
        ("PF", {"count": 1}, FAILED),
        ("FPPPFPPPF", {"failure_threshold": 1, "count": 4}, RUNNING),  # never two within four
        ("FPPFPPPPP", {"failure_threshold": 1, "count": 4}, FAILED),
        ("FEEF", {"failure_threshold": 1, "count": 2}, FAILED),  # errors leave the window as it is
        ("PIIIIIIII", {"count": 2}, RUNNING),
        ("PEEE", {"errors_max": 2}, INCONCLUSIVE),
        ("PEEPEE", {"errors_max": 2}, RUNNING),
    ],
)
def test_a_metric_that_runs_while_its_rollout_is_open_looks_at_a_window_and_never_passes(letters, change, state):
    found = judged(letters, **({"runs": Runs.WHILE_OPEN} | change))
    assert found.state is state
    assert (found.next_at is None) == state.final


def test_a_sequential_judge_that_runs_while_the_rollout_is_open_ends_by_harm_alone_and_spends_its_part_of_alpha():
    def look(bad: int) -> Measurement:
        sides = {"canary": {"bad": bad, "total": 1_000}, "baseline": {"bad": 90, "total": 9_000}}
        return Measurement(MeasurementStatus.INCONCLUSIVE, BEGIN, result={"sample": sides})

    watched = spec(count=2, runs=Runs.WHILE_OPEN, compare=Compare(bad="result.bad", total="result.total"))
    calm, harm = [look(10)] * 60, [look(16)] * 3
    assert judge_metric(replace(watched, runs=Runs.WITH_JOB, count=60), calm, started_at=BEGIN).state is PASSED
    assert judge_metric(watched, calm, started_at=BEGIN).state is RUNNING
    hot = [look(22)] * 3
    assert judge_metric(watched, hot, started_at=BEGIN).state is FAILED
    assert judge_metric(watched, hot, started_at=BEGIN, alpha_share=1e-9).state is RUNNING
    assert judge_metric(watched, harm, started_at=BEGIN).state is RUNNING

"""An error budget has one class at a time: the worst that is true, and unknown before all others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.judge.budget import ROWS, WINDOWS, Budget, BudgetClass, Events, Objective, Reading, read_budget

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
PERIOD = timedelta(days=30)
SLO = Objective(0.999, PERIOD)
H, M, D = timedelta(hours=1), timedelta(minutes=1), timedelta(days=1)


def reading(
    spent: float = 0.2, *, burn: dict[timedelta, float] | None = None, total: float = 100_000, age: timedelta = M
) -> Reading:
    """A reading with a part of the budget spent, and burn rates by window (0 where not named)."""
    rates = dict.fromkeys(WINDOWS, 0.0) | (burn or {})
    events = {window: Events(rate * SLO.budget * total, total) for window, rate in rates.items()}
    return Reading({**events, PERIOD: Events(spent * SLO.budget * 1e7, 1e7)}, NOW - age)


def test_the_factors_are_the_published_ones() -> None:
    assert [row.factor(PERIOD) for row in ROWS] == pytest.approx([14.4, 6, 3, 1])
    assert [row.factor(timedelta(days=28)) for row in ROWS] == pytest.approx([13.44, 5.6, 2.8, 0.9333], abs=1e-3)
    assert all(row.long == 12 * row.short for row in ROWS)


CLASSES = [
    ("a fifth is spent", reading(0.2), BudgetClass.HEALTHY),
    ("all but a little is spent", reading(0.91), BudgetClass.LOW),
    ("all is spent", reading(1.0), BudgetClass.EXHAUSTED),
    ("more than all is spent, and it burns", reading(1.4, burn={H: 50, 5 * M: 50}), BudgetClass.EXHAUSTED),
    ("a burst that goes on", reading(burn={H: 14.5, 5 * M: 14.5}), BudgetClass.FAST_BURN),
    ("a burst that is over", reading(burn={H: 14.5, 5 * M: 1}), BudgetClass.HEALTHY),
    ("a burst that has just begun", reading(burn={H: 2, 5 * M: 100}), BudgetClass.HEALTHY),
    ("exactly at the factor", reading(burn={H: 14.4, 5 * M: 14.4}), BudgetClass.HEALTHY),
    ("six hours of it", reading(burn={6 * H: 6.1, 30 * M: 6.1}), BudgetClass.FAST_BURN),
    ("a day of it", reading(burn={D: 3.1, 2 * H: 3.1}), BudgetClass.SLOW_BURN),
    ("three days of it", reading(burn={3 * D: 1.1, 6 * H: 1.1}), BudgetClass.SLOW_BURN),
    ("burning counts before low", reading(0.95, burn={3 * D: 1.1, 6 * H: 1.1}), BudgetClass.SLOW_BURN),
    ("stale, however good", reading(0.0, age=6 * M), BudgetClass.UNKNOWN),
    ("stale, however bad", reading(2.0, age=6 * M), BudgetClass.UNKNOWN),
    ("nearly no traffic", reading(total=99), BudgetClass.UNKNOWN),
    ("no traffic", Reading({PERIOD: Events(0, 0)}, NOW), BudgetClass.UNKNOWN),
    ("no sample", Reading({}, None), BudgetClass.UNKNOWN),
    ("the provider failed", Reading({}, None, "timeout"), BudgetClass.UNKNOWN),
]


@pytest.mark.parametrize(("read", "expected"), [row[1:] for row in CLASSES], ids=[row[0] for row in CLASSES])
def test_the_class(read: Reading, expected: BudgetClass) -> None:
    found = read_budget(SLO, read, now=NOW)
    assert found.kind is expected, found.reason
    assert found.reason


def test_it_tells_what_is_left_and_when_it_is_empty() -> None:
    found = read_budget(SLO, reading(0.5, burn={H: 15.0, 5 * M: 20.0}), now=NOW)
    assert found.remaining == pytest.approx(0.5)
    assert found.empty_at == NOW + timedelta(days=1)
    assert found.firing == ("page, fast",)
    expected = "50% of the error budget is left and it burns at 15 times the sustainable rate over 1 h, 20 over 5 min."
    assert found.reason == expected


def test_a_class_is_left_only_after_it_was_clear_for_its_short_window() -> None:
    burning = read_budget(SLO, reading(burn={H: 20, 5 * M: 20}), now=NOW)
    at, before, kinds = NOW, burning, []
    for minute in range(1, 8):
        at = NOW + minute * M
        calm = reading()
        before = read_budget(SLO, Reading(calm.events, at), now=at, before=before)
        kinds.append(before.kind)
    assert kinds == [BudgetClass.FAST_BURN] * 5 + [BudgetClass.HEALTHY] * 2


def test_a_worse_class_is_entered_at_once_and_starts_the_wait_again() -> None:
    burning = read_budget(SLO, reading(burn={H: 20, 5 * M: 20}), now=NOW)
    later = NOW + 3 * M
    clear = read_budget(SLO, Reading(reading().events, later), now=later, before=burning)
    assert clear.clear_since == later
    again = read_budget(SLO, Reading(reading(burn={H: 20, 5 * M: 20}).events, later), now=later, before=clear)
    assert (again.kind, again.clear_since) == (BudgetClass.FAST_BURN, None)
    assert read_budget(SLO, Reading(reading(1.2).events, later), now=later, before=clear).kind is BudgetClass.EXHAUSTED


def test_unknown_holds_nothing_and_is_not_held() -> None:
    burning = read_budget(SLO, reading(burn={H: 20, 5 * M: 20}), now=NOW)
    unknown = read_budget(SLO, reading(age=H), now=NOW, before=burning)
    assert unknown.kind is BudgetClass.UNKNOWN
    assert read_budget(SLO, reading(), now=NOW, before=unknown).kind is BudgetClass.HEALTHY


@given(st.floats(0, 3), st.lists(st.floats(0, 100), min_size=len(WINDOWS), max_size=len(WINDOWS)), st.floats(0, 10_000))
def test_every_reading_has_a_class_and_a_reason(spent: float, rates: list[float], total: float) -> None:
    found = read_budget(SLO, reading(spent, burn=dict(zip(WINDOWS, rates, strict=True)), total=total), now=NOW)
    assert isinstance(found, Budget)
    assert found.reason
    assert (found.remaining is None) == (found.kind is BudgetClass.UNKNOWN)
    assert (found.kind is BudgetClass.EXHAUSTED) == (found.remaining is not None and found.remaining <= 0)

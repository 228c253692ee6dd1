"""How much of an error budget is left, and how fast does it burn? Ratios over windows in, a class out.

With target SLO the budget is B = 1 − SLO: the share of events that may be bad over the period P. Over a window w the
error ratio e(w) = bad / total burns it at the rate BR(w) = e(w) / B; at 1 the budget lasts the period exactly. A row of
the table fires when the rate is above its factor F = f · P / L in both its windows: the long one L, so that it matters,
and the short one S = L / 12, so that it still goes on.

| row | f | L | S | F at 30 d |
|---|---|---|---|---|
| page, fast | 2 % | 1 h | 5 min | 14.4 |
| page, slow | 5 % | 6 h | 30 min | 6 |
| ticket, fast | 10 % | 1 d | 2 h | 3 |
| ticket, slow | 10 % | 3 d | 6 h | 1 |

| class | when |
|---|---|
| `unknown` | the newest sample is too old, or too few events in the short windows, or the provider failed |
| `exhausted` | nothing is left |
| `fast_burn` | a page row fires |
| `slow_burn` | a ticket row fires |
| `low` | less than a tenth is left |
| `healthy` | else |

Unknown comes first: a signal that is stale or empty is never healthy. A class is left only after it has been clear for
the short window of what set it (hysteresis), so a rollout does not start and stop with every sample.

Source: Google SRE workbook, chapter 5, as Sloth and Pyrra have it; definitions.md E1. Deliberately not here: what a
class means for a rollout (the rule errorBudget).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

LOW = 0.10
EVENTS_MIN = 100
STALE_MIN = timedelta(minutes=5)


class BudgetClass(StrEnum):
    """Where an error budget stands, worst last but for unknown."""

    HEALTHY = "healthy"
    LOW = "low"
    SLOW_BURN = "slow_burn"
    FAST_BURN = "fast_burn"
    EXHAUSTED = "exhausted"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class BurnRow:
    """One row of the table. `share` of the budget in `long`."""

    name: str
    kind: BudgetClass
    share: float
    long: timedelta
    short: timedelta

    def factor(self, period: timedelta) -> float:
        """The burn rate above which it fires."""
        return self.share * (period / self.long)


ROWS: tuple[BurnRow, ...] = (
    BurnRow("page, fast", BudgetClass.FAST_BURN, 0.02, timedelta(hours=1), timedelta(minutes=5)),
    BurnRow("page, slow", BudgetClass.FAST_BURN, 0.05, timedelta(hours=6), timedelta(minutes=30)),
    BurnRow("ticket, fast", BudgetClass.SLOW_BURN, 0.10, timedelta(days=1), timedelta(hours=2)),
    BurnRow("ticket, slow", BudgetClass.SLOW_BURN, 0.10, timedelta(days=3), timedelta(hours=6)),
)

WINDOWS: tuple[timedelta, ...] = tuple(sorted({window for row in ROWS for window in (row.long, row.short)}))
"""Every window that must be asked for, beside the period itself."""

_HOLD_LOW = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Objective:
    """What is promised.

    Takes: `target` above 0 and below 1 (a target of 1 has no budget). `events_min` in each short window, below which
           nothing is known. `scrape` is how often a new sample comes.
    """

    target: float
    period: timedelta
    events_min: int = EVENTS_MIN
    scrape: timedelta = timedelta(minutes=1)

    @property
    def budget(self) -> float:
        """The share of events that may be bad."""
        return 1.0 - self.target

    @property
    def stale_after(self) -> timedelta:
        """How old the newest sample may be."""
        return max(2 * self.scrape, STALE_MIN)


@dataclass(frozen=True, slots=True)
class Events:
    """What happened in a window. `total` 0: nothing did."""

    bad: float
    total: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What a provider answered: events by window, the period's among them; `newest_at` is its newest sample.

    Takes: `error` where it failed, in words.
    """

    events: Mapping[timedelta, Events]
    newest_at: datetime | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """Where it stands.

    Takes: `remaining` as a part of the whole, negative when overspent; None where it is not known. `burn` by window.
           `empty_at`: when it is empty at the rate of the last hour. `firing` are names of rows. `clear_since`: since
           when the readings would allow a better class than `kind`; None where they do not.
    """

    kind: BudgetClass
    remaining: float | None
    burn: Mapping[timedelta, float]
    empty_at: datetime | None
    firing: tuple[str, ...]
    reason: str
    clear_since: datetime | None = None


_SEVERITY = {
    BudgetClass.HEALTHY: 0,
    BudgetClass.LOW: 1,
    BudgetClass.SLOW_BURN: 2,
    BudgetClass.FAST_BURN: 3,
    BudgetClass.EXHAUSTED: 4,
}


def worsens(before: str | None, after: str) -> bool:
    """Whether a change of class may take something away: what is not known may be anything, so only better is better.

    Takes: `before` is None for an objective that was not there.
    """
    if after == BudgetClass.HEALTHY:
        return False
    if before is None or BudgetClass.UNKNOWN in {before, after}:
        return True
    return _SEVERITY[BudgetClass(after)] > _SEVERITY[BudgetClass(before)]


def read_budget(objective: Objective, reading: Reading, *, now: datetime, before: Budget | None = None) -> Budget:
    """The class now.

    Takes: `before` is what the last reading gave, for the hysteresis.
    Fails: never.
    """
    raw = _raw(objective, reading, now=now)
    return raw if before is None else _held(raw, before, now=now)


def _raw(objective: Objective, reading: Reading, *, now: datetime) -> Budget:
    """Without hysteresis."""
    whole = reading.events.get(objective.period)
    unknown = _unknown(objective, reading, whole, now=now)
    burn = {
        window: events.bad / events.total / objective.budget
        for window, events in reading.events.items()
        if events.total > 0
    }
    if unknown or whole is None:
        return Budget(BudgetClass.UNKNOWN, None, burn, None, (), unknown)
    remaining = 1.0 - whole.bad / (objective.budget * whole.total)
    firing = [row for row in ROWS if _fires(row, burn, objective)]
    names = tuple(row.name for row in firing)
    hourly = burn.get(timedelta(hours=1), 0.0)
    left = f"{remaining:.0%} of the error budget is left"
    empty_at = _empty_at(objective, remaining, hourly, now=now)
    if remaining <= 0:
        kind, reason = BudgetClass.EXHAUSTED, f"The error budget is spent: {1.0 - remaining:.0%} of it is used."
    elif firing:
        kind = max((row.kind for row in firing), key=_SEVERITY.__getitem__)
        row = next(row for row in firing if row.kind is kind)
        rate = f"{burn[row.long]:.3g} times the sustainable rate over {_span(row.long)}"
        reason = f"{left} and it burns at {rate}, {burn[row.short]:.3g} over {_span(row.short)}."
    else:
        kind = BudgetClass.LOW if remaining < LOW else BudgetClass.HEALTHY
        reason = f"{left}."
    return Budget(kind, remaining, burn, empty_at, names, reason)


def _unknown(objective: Objective, reading: Reading, whole: Events | None, *, now: datetime) -> str:
    """Why nothing is known; empty where something is."""
    if reading.error is not None:
        return f"The signal could not be read: {reading.error}"
    if reading.newest_at is None or whole is None or whole.total <= 0:
        return "The signal has no events."
    age = now - reading.newest_at
    if age > objective.stale_after:
        return f"The newest sample is {_span(age)} old, {_span(objective.stale_after)} is the limit."
    for row in ROWS:
        events = reading.events.get(row.short)
        if events is not None and events.total >= objective.events_min:
            return ""
    return f"Fewer than {objective.events_min} events in every short window."


def _fires(row: BurnRow, burn: Mapping[timedelta, float], objective: Objective) -> bool:
    factor = row.factor(objective.period)
    return burn.get(row.long, 0.0) > factor and burn.get(row.short, 0.0) > factor


def _empty_at(objective: Objective, remaining: float, rate: float, *, now: datetime) -> datetime | None:
    """When the budget is empty at this rate; None where it is not, or later than in a period."""
    if remaining <= 0:
        return now
    return now + remaining / rate * objective.period if 0 < remaining <= rate else None


def _held(raw: Budget, before: Budget, *, now: datetime) -> Budget:
    """A class is left for a better one only after it has been clear for its short window. Unknown is never held, and
    holds nothing.
    """
    if BudgetClass.UNKNOWN in {raw.kind, before.kind} or _SEVERITY[raw.kind] >= _SEVERITY[before.kind]:
        return raw
    since = before.clear_since or now
    if now - since >= _clear_for(before):
        return raw
    reason = f"{raw.reason} It was {before.kind.replace('_', ' ')} and has been clear since {since:%H:%M}."
    return Budget(before.kind, raw.remaining, raw.burn, raw.empty_at, before.firing, reason, since)


def _clear_for(before: Budget) -> timedelta:
    """How long a class must be clear: the short window of the slowest row that fired."""
    return max((row.short for row in ROWS if row.name in before.firing), default=_HOLD_LOW)


def _span(length: timedelta) -> str:
    seconds = length.total_seconds()
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {name}"
    return f"{seconds:.3g} s"

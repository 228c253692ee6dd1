"""How do objectives fare in a scenario? Read from its traffic all the time, by the same judge as in production.

    objectives:
      - name: checkout-availability
        target: 99.9                 # per cent
        windowDays: 30
        environment: production      # whose requests count; all of them where none is named
        interval: 60s                # how often it is read
        minEvents: 100               # fewer in every short window say nothing

What happened counts as it is expected, without chance: requests times the part of them that goes wrong. Before the
story began the traffic was as it is at its start, for ever. While the traffic is `silent` nothing can be read.

Another class is a fact that asks for a round; a reading alone is none.

Source: definitions.md E1; `judge/budget.py` for what a reading means, `store/slos.py` for how it becomes a fact.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from interlock.judge.budget import WINDOWS, Budget, Events, Objective, Reading, read_budget
from interlock.model.wire import Fields
from interlock.simulate.moments import seconds
from interlock.simulate.traffic import Traffic
from interlock.simulate.world import World

DAYS = (1, 90)
INTERVAL_S = 60.0
NAMES_MAX = 20


@dataclass(frozen=True, slots=True)
class WrittenObjective:
    """An objective as it stands in the file. `environment` None: the requests of all count."""

    name: str
    objective: Objective
    environment: str | None


def read_objective(fields: Fields) -> WrittenObjective:
    """Take one objective's fields. Faults are left in `fields`."""
    target = fields.number("target", default=None, minimum=0.0, maximum=100.0, required=True)
    if target in {0.0, 100.0}:
        fields.wrong("target", "must be per cent, above 0 and below 100")
        target = None
    interval_s = fields.parsed("interval", seconds, required=False) or INTERVAL_S
    if interval_s < 1:
        fields.wrong("interval", "must be a second at least")
        interval_s = INTERVAL_S
    return WrittenObjective(
        name=fields.text("name", required=True),
        objective=Objective(
            target=(target or 99.0) / 100,
            period=timedelta(days=fields.integer("windowDays", default=30, minimum=DAYS[0], maximum=DAYS[1])),
            events_min=fields.integer("minEvents", default=100, minimum=1),
            scrape=timedelta(seconds=interval_s),
        ),
        environment=fields.text("environment") or None,
    )


@dataclass(frozen=True, slots=True)
class Stretch:
    """From one reading to the next the traffic was so, by the second."""

    begins_at: datetime
    bad_per_s: float
    total_per_s: float


@dataclass(slots=True)
class Watched:
    """An objective of the story, and what was read of it."""

    written: WrittenObjective
    traffic: Traffic
    stretches: list[Stretch] = field(default_factory=list)
    last: Budget | None = None

    def read(self, world: World) -> Budget | None:
        """Read it once. Gives the budget where its class is another than before."""
        if self.traffic.silent:
            reading = Reading({}, None, "nobody answers")
        else:
            self._note(world)
            windows = (*(one for one in WINDOWS if one < self.written.objective.period), self.written.objective.period)
            reading = Reading({window: self._events(window, world.now) for window in windows}, world.now)
        before, after = self.last, read_budget(self.written.objective, reading, now=world.now, before=self.last)
        self.last = after
        world.read_budget(
            self.written.name,
            str(after.kind),
            remaining=after.remaining,
            fresh_for=self.written.objective.stale_after,
            why=after.reason,
        )
        return after if before is None or before.kind is not after.kind else None

    def _note(self, world: World) -> None:
        """The traffic is so from now on; where it was so before, nothing is to be noted."""
        bad, total = self.traffic.rates(world, self.written.environment)
        last = self.stretches[-1] if self.stretches else None
        if last is None or (last.bad_per_s, last.total_per_s) != (bad, total):
            self.stretches.append(Stretch(world.now, bad, total))

    def _events(self, window: timedelta, now: datetime) -> Events:
        """What happened in the window before now: the first stretch began long ago."""
        since, bad, total = now - window, 0.0, 0.0
        ends_at = now
        for number, one in reversed(tuple(enumerate(self.stretches))):
            begins_at = max(one.begins_at, since) if number else since
            lasted_s = max(0.0, (ends_at - begins_at).total_seconds())
            bad, total = bad + one.bad_per_s * lasted_s, total + one.total_per_s * lasted_s
            ends_at = begins_at
            if ends_at <= since:
                break
        return Events(bad, total)


def watched(written: Iterable[WrittenObjective], traffic: Traffic) -> tuple[Watched, ...]:
    """The objectives of a story."""
    return tuple(Watched(one, traffic) for one in written)

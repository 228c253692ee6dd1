"""Are the objectives of a scenario read right: what happened in every window, and which readings are facts?"""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest

from interlock.judge.budget import BudgetClass, Objective
from interlock.simulate.objectives import Watched, WrittenObjective
from interlock.simulate.traffic import Traffic
from worlds import MONDAY, a_fleet

HOSTS = {"staging": ["s-1"], "production": ["p-1", "p-2"]}
PROMISE = Objective(target=0.999, period=timedelta(days=30))


def test_events_of_a_window_are_what_each_minute_brought() -> None:
    world, traffic, dice = a_fleet(HOSTS, runs="v0"), Traffic(requests_per_min=600), Random(4)
    watched = Watched(WrittenObjective("checkout", PROMISE, "production"), traffic)
    minutes: list[float] = []
    for _ in range(200):
        traffic.bad = dice.choice((0.0, 0.0, 0.1, 0.5))
        watched._note(world)
        for window in (5, 30, 60, 360):
            long_ago = [minutes[0] if minutes else traffic.bad] * window
            bad = sum(part * 600 for part in (long_ago + minutes)[-window:])
            found = watched._events(timedelta(minutes=window), world.now)
            assert (found.bad, found.total) == pytest.approx((bad, 600 * window))
        minutes.append(traffic.bad)
        world.advance(timedelta(minutes=1))


def test_requests_of_other_environments_count_only_where_none_is_named() -> None:
    world, traffic = a_fleet(HOSTS, runs="v0"), Traffic(requests_per_min=60, bad=0.5)
    assert traffic.rates(world, "production") == pytest.approx((0.5, 1.0))
    assert traffic.rates(world) == pytest.approx((1.0, 2.0))


def test_only_another_class_is_a_fact() -> None:
    world, traffic = a_fleet(HOSTS, runs="v0"), Traffic(bad=0.0)
    watched = Watched(WrittenObjective("checkout", PROMISE, None), traffic)
    said = []
    for minute in range(80):
        traffic.bad, traffic.silent = 0.15 if 10 <= minute < 20 else 0.0, minute >= 70
        before = world.facts_told
        changed = watched.read(world)
        assert (changed is None) == (world.facts_told == before)
        said += [(minute, changed.kind)] if changed else []
        world.now = MONDAY + timedelta(minutes=minute + 1)
    assert [kind for _, kind in said] == [
        BudgetClass.HEALTHY, BudgetClass.FAST_BURN, BudgetClass.HEALTHY, BudgetClass.UNKNOWN
    ]  # fmt: skip
    assert said[1][0] <= 17, "a burn of 150 for six minutes is 15 over an hour"
    assert 25 <= said[2][0] <= 35, "left when the last five minutes were clear, for as long"

"""Do the laws hold where a rollout goes in waves? Crafted worlds that random histories seldom reach.

A wave bakes, lacks samples, is verified, is sped up or promoted; a target has no place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

import pytest

from interlock.simulate.world import World
from laws.checks import OF_A_WORLD
from worlds import METRIC, REGION, ZONE, a_fleet, finish, hand_over_all, moving

NAMES = [f"prod-{number}" for number in range(6)]


def begun(*more: Mapping[str, object], **gradual: object) -> World:
    """The one box of six runs v2; its job has ended."""
    pace = {"rolloutType": "exponential", "failureDomains": [REGION, ZONE], **gradual}
    world = a_fleet({"production": NAMES}, {"pace": (["production"], [{"gradualRollout": pace}, *more])}, runs="v1")
    for number, name in enumerate(NAMES):
        world.label(name, **{REGION: f"r{number % 2}", ZONE: f"r{number % 2}z{number // 2 % 2}"})
    world.create_version("v2")
    world.round()
    (first,) = moving(world)
    finish(world, first)
    world.advance(timedelta(seconds=1))
    world.round()
    return world


def sped_up(*, promoted: bool = False) -> World:
    world = begun(bakeSeconds=600)
    (rollout,) = [one for one in world.facts.rollouts if one.live]
    if promoted:
        world.promote(rollout.id)
    else:
        world.speed_up(rollout.id, bake_s=30, max_in_flight=2)
    world.advance(timedelta(seconds=1))
    world.round()
    return world


def without_a_place() -> World:
    world = begun()
    world.label("prod-5", **{REGION: "r1"})
    world.round()
    return world


def on_its_way() -> World:
    world = begun(maxInFlight=1)
    hand_over_all(world)
    return world


WORLDS: Mapping[str, Callable[[], World]] = {
    "bakes": lambda: begun(bakeSeconds=600),
    "lacks samples": lambda: begun(minimumSamples=3),
    "is verified": lambda: begun({"verification": {"metrics": [METRIC]}}, bakeSeconds=60),
    "overlaps": lambda: begun({"verification": {"metrics": [METRIC]}}, whileVerifying="overlap"),
    "is on its way": on_its_way,
    "is sped up": sped_up,
    "is promoted": lambda: sped_up(promoted=True),
    "has one without a place": without_a_place,
}


@pytest.mark.parametrize("law", OF_A_WORLD)
@pytest.mark.parametrize("world", WORLDS)
def test_the_laws_hold_while_a_wave(world, law):
    OF_A_WORLD[law](WORLDS[world]())

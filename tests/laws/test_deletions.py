"""Whatever happened before: a deletion at any instant ends what it concerns, starts nothing there, and others go on.

Seeded histories with all rules together, cut off by the deletion of an environment or of the deployment. core.md laws
4, 6 and 10 for what is gone.
"""

from __future__ import annotations

from random import Random

import pytest

from interlock.decide import decide
from interlock.model.job import JobStatus
from interlock.simulate.world import World
from worlds import seeded_history

SEEDS = range(40)


def confirm_cancels(world: World) -> None:
    """The outside confirms every cancel that it was asked for."""
    for _, job in world.jobs(lambda one: one.cancel_asked and not one.status.terminal):
        world.hear(job.id, JobStatus.CANCELLED)


def open_in(world: World, environment_ids: frozenset[str]) -> list[str]:
    return [move.state for move in world.facts.moves if move.open and move.environment_id in environment_ids]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("what", ["environment", "deployment"])
def test_what_is_deleted_comes_to_rest_and_starts_nothing(seed: int, what: str) -> None:
    world = seeded_history(seed, steps=60).world()
    chance = Random(seed)
    names = sorted(one.name for one in world.facts.environments.values())
    if what == "environment":
        name = chance.choice(names)
        gone = frozenset({world.environment(name).id})
        world.delete_environment(name)
    else:
        gone = frozenset(world.facts.environments)
        world.delete_deployment()
    before = {move.id for move in world.facts.moves}
    for _ in range(8):
        plan = world.round()
        assert not [move for move in plan.moves if move.environment_id in gone], "nothing starts where nothing is"
        assert not [one for one in plan.requests if one.environment_id in gone], "nobody is asked about what is gone"
        assert not [one for one in plan.rollouts if one.environment_id in gone]
        assert not [one for one in plan.orders if world.facts.leaving.get(one.target_id)], "nobody orders it back"
        confirm_cancels(world)
        for _, verification in world.running_verifications():
            world.measured(verification.id, "passed")
    assert open_in(world, gone) == []
    assert not [one for one in world.facts.rollouts if one.live and one.environment_id in gone]
    assert {move.id for move in world.facts.moves if move.environment_id in gone} <= before
    again = decide(world.snapshot(), world.now)
    assert not [move for move in again.moves if move.environment_id in gone]

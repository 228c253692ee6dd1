"""Whatever fails while a fleet goes forward and back, it comes to rest: proven releases, or a person who is named.

Rollbacks during a rollout, rollbacks that fail themselves, targets that never answer, limits that everything shares: a
seed is a story in which the outside does all that, until nothing happens by itself any more. core.md laws 7 and 10.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest

from interlock.decide import decide
from interlock.decide.plan import TargetDecision
from interlock.model.job import Handover, JobStatus
from interlock.simulate.world import World
from worlds import METRIC, a_fleet

SEEDS = range(60)
STEPS_MAX = 400


def a_troubled_fleet(chance: Random) -> World:
    """Up to eight hosts under rules that go back by themselves, and limits that going back must respect."""
    scope = chance.choice(("target", "environment"))
    statuses = chance.choice((["failure"], ["failure", "cancelled"]))
    rules: list[dict[str, object]] = [
        {"rollback": {"onJobStatuses": statuses, "onVerificationFailure": True, "scope": scope}},
        {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": chance.choice((0, 60)), "maxFailures": 3}},
    ]
    if chance.random() < 0.7:
        limit = chance.choice(({"maxInFlight": 1}, {"maxPercentage": 25}, {"maxInFlight": 3}))
        rules.append({"concurrency": limit})
    if chance.random() < 0.6:
        rules.append({"verification": {"metrics": [METRIC]}})
    if chance.random() < 0.5:
        rules.append({"retry": {"maxRetries": 1, "backoffSeconds": 10}})
    hosts = [f"host-{number}" for number in range(chance.randint(1, 8))]
    return a_fleet({"production": hosts}, {"rules": (["production"], rules)}, runs="v0")


def let_it_happen(world: World, chance: Random, silent: set[str]) -> bool:
    """The outside acts once: jobs start and end, well or badly. Says whether anything happened."""
    happened = False
    names = {one.id: one.name for one in (*world.facts.targets.values(), *world.facts.leaving.values())}
    for _, job in world.waiting_jobs():
        happened |= world.hand_over(job.id)
    for move, job in world.jobs(lambda one: one.handover is Handover.STARTED and not one.status.terminal):
        if names[move.target_id] in silent:
            continue
        bad = 0.2 if move.kind == "rollback" else 0.35
        end = JobStatus.FAILURE if chance.random() < bad else JobStatus.SUCCESSFUL
        happened |= world.hear(job.id, end, "exit status 1" if end is JobStatus.FAILURE else None)
    for _, one in world.running_verifications():
        happened |= world.measured(one.id, "failed" if chance.random() < 0.2 else "passed")
    return happened


def come_to_rest(world: World, chance: Random, silent: set[str]) -> None:
    """Everything that happens by itself happens."""
    for _ in range(STEPS_MAX):
        world.settle(rounds_max=60)
        if let_it_happen(world, chance, silent):
            continue
        if world.wake_at is None:
            return
        world.now = max(world.wake_at, world.now + timedelta(microseconds=1))
    raise AssertionError("It never comes to rest.")


def rows(world: World) -> dict[str, TargetDecision]:
    """Target id -> what its row says."""
    facts = replace(world.snapshot(), decided_by_subject={}, decided_by_target={})
    return {row.target_id: row for row in decide(facts, world.now).target_decisions}


def told_to_a_person(row: TargetDecision) -> bool:
    """Whether a row names somebody who can act."""
    return any(verdict["outcome"] != "pass" and verdict.get("who") for verdict in row.verdicts)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_troubled_fleet_comes_to_rest_proven_or_with_a_person_named(seed):
    chance = Random(seed)
    world = a_troubled_fleet(chance)
    silent = {one.name for one in world.facts.targets.values() if chance.random() < 0.15}
    for tag in ("v1", "v2", "v3")[: chance.randint(1, 3)]:
        world.create_version(tag)
        for _ in range(chance.randint(1, 6)):
            world.settle(rounds_max=60)
            let_it_happen(world, chance, silent)
    come_to_rest(world, chance, silent)
    said = rows(world)
    for target in world.facts.targets.values():
        move, row = world.open_move(target.name), said[target.id]
        if move is not None:
            assert target.name in silent, "what answers comes to an end"
            goes_back = move.kind == "rollback" or any(one.target_id == target.id for one in world.facts.orders)
            assert not goes_back or told_to_a_person(row), (target.name, row)
        elif target.current != target.good:
            assert told_to_a_person(row), (target.name, row)
        else:
            assert row.outcome in {"settled", "hold"}
            assert row.outcome == "settled" or row.verdicts or row.decision_ids


@pytest.mark.parametrize("seed", SEEDS[:20])
def test_once_the_outside_is_well_again_a_newer_version_gets_everywhere(seed):
    chance = Random(seed)
    world = a_troubled_fleet(chance)
    world.create_version("v1")
    come_to_rest(world, chance, set())
    newest = world.create_version("v2")
    well = Random(0)
    well.random = lambda: 1.0  # type: ignore[method-assign]
    come_to_rest(world, well, set())
    assert {one.current.version_id for one in world.facts.targets.values() if one.current} == {newest.id}

"""Does the world in memory measure as the store does? The same measurements, and afterwards the same facts.

Law 9 holds commits of rounds against each other; here it is what comes between rounds: measurements of all kinds, in
any order, of metrics of both kinds, until their verifications have ended and a while longer.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from random import Random
from typing import Any

from interlock.decide import decide
from interlock.model.verification import Measurement, MeasurementStatus, parse_metric
from interlock.simulate.world import Measuring, World
from interlock.store.verifications import find_due_metric, lock_verification, measure_again, record_measurement
from tests.store.fleet import Fleet, Stepper, a_fleet, commit, load

SLEEP = {"type": "sleep", "durationSeconds": 1}
PLAIN = {
    "name": "plain",
    "intervalSeconds": 10,
    "count": 6,
    "successCondition": "result.ok",
    "successThreshold": 3,
    "failureThreshold": 2,
    "errorsMax": 2,
    "warmUpSeconds": 5,
    "provider": SLEEP,
}
COMPARED = {
    "name": "compared",
    "intervalSeconds": 20,
    "count": 5,
    "provider": SLEEP,
    "compare": {"judge": "sequential", "bad": "result.json[side].bad", "total": "result.json[side].total"},
}
WHILE_OPEN = {**COMPARED, "name": "open", "count": 200, "runs": "whileOpen"}
RULES = [
    {"gradualRollout": {"rolloutType": "waves", "waves": ["100%"], "minimumSamples": 4}},
    {
        "verification": {
            "metrics": [PLAIN, COMPARED, WHILE_OPEN],
            "measureAgainSeconds": 600,
            "inconclusiveAfterSeconds": 90_000,
        }
    },
]
HOSTS = 6


def counted(samples: Mapping[str, int]) -> dict[str, int]:
    """Of those moves that have any."""
    return {move_id: number for move_id, number in samples.items() if number}


TEMPERS = ("mixed", "good", "silent", "mixed")
"""How hosts fare, so that every way to end is taken."""


def a_measurement(dice: Random, temper: str, name: str, at: datetime) -> Measurement:
    """What may be measured of a metric."""
    chance = {"mixed": 0.25, "good": 0.1, "silent": 0.9, "bad": 0.1}[temper]
    if dice.random() < chance:
        return Measurement(MeasurementStatus.ERRORED, at, "no answer")
    good = temper == "good"
    if name == "plain":
        mixed = (MeasurementStatus.PASSED, MeasurementStatus.FAILED, MeasurementStatus.INCONCLUSIVE)
        return Measurement(MeasurementStatus.PASSED if good else dice.choice(mixed), at, "so so")
    worse = {"good": 0, "bad": 40}.get(temper, dice.choice((0, 0, 40)))
    sample = {"canary": {"bad": 50 + worse, "total": 5000}, "baseline": {"bad": 450, "total": 45000}}
    return Measurement(MeasurementStatus.INCONCLUSIVE, at, None, {"sample": sample})


async def verifying(fleet: Fleet, stepper: Stepper) -> World:
    """Every host verifies a version, in the store and in the world that is given: both committed the same plan."""
    await fleet.policy("prove", RULES)
    await fleet.version("1.0.0")
    await stepper.run(kinds=["round", "dispatch"])
    await stepper.run(kinds=["observe"])
    loaded = await load(fleet.store, fleet.deployment_id)
    plan = decide(loaded.facts, loaded.now)
    assert len(plan.verifications) == HOSTS
    world = World(loaded.facts, loaded.now)
    world.commit(loaded.facts, plan)
    await commit(fleet.store, loaded, plan)
    async with fleet.store.read() as conn:
        rows = await conn.fetch(
            "SELECT v.id::text, v.started_at, m.spec, m.alpha_share FROM verification v "
            "JOIN verification_metric m ON m.verification_id = v.id WHERE v.rollout_id IS NOT NULL"
        )
    for row in rows:  # what is measured of the rollout as a whole was begun rounds ago
        spec = parse_metric(row["spec"], path="metric")
        world.measuring[row["id"]] = Measuring(row["started_at"], (spec,), ([],), (row["alpha_share"],))
    assert len(world.running_proofs()) == len(rows) == 1
    return world


async def again(fleet: Fleet, world: World, metric_id: str, verification_id: str, *, at: datetime) -> None:
    """What could not tell is measured again, in both."""
    async with fleet.tx() as tx:
        due = await find_due_metric(tx.conn, metric_id)
        head = await lock_verification(tx.conn, verification_id)
        assert due is not None
        assert head is not None
        assert head.again_at == world.again_at[verification_id]
        await measure_again(tx, due, head, at=at, by="rule")
    now, world.now = world.now, at
    assert world.measure_again(verification_id)
    world.now = now


async def test_world_measures_as_the_store_does(store: Any, tmp_path: Any) -> None:
    fleet = await a_fleet(store, {f"host-{n}": "prod" for n in range(HOSTS)}, agent_config={"delaySeconds": 0})
    world = await verifying(fleet, Stepper(store, tmp_path))
    dice, ends = Random(9), set[str]()
    async with store.read() as conn:
        rows = await conn.fetch("SELECT id, verification_id, position, name FROM verification_metric ORDER BY id")
    named = {one.id: world.target(move.target_id).name for move, one in world.running_verifications()}
    verified = sorted(named, key=lambda one: named[one])
    metrics = sorted(
        ((str(row["id"]), str(row["verification_id"]), row["position"], row["name"]) for row in rows),
        key=lambda one: (named.get(one[1], ""), one[2]),
    )
    temper_by = {one: TEMPERS[place % len(TEMPERS)] for place, one in enumerate(verified)}
    temper_by |= {proof.id: "bad" for _, proof in world.running_proofs()}
    for number in range(24 * HOSTS):
        metric_id, verification_id, position, name = metrics[number % len(metrics)]
        at = world.now + timedelta(seconds=number)
        held = {one.id for _, one in world.held_verifications()}
        if number >= 12 * HOSTS and held and "again" not in ends:
            ends.add("again")
            for one in metrics:
                if one[1] in held:  # a verification has several metrics: it is begun again once
                    held.discard(one[1])
                    await again(fleet, world, one[0], one[1], at=at)
        measured = a_measurement(dice, temper_by[verification_id], name, at)
        async with store.read() as conn:
            due = await find_due_metric(conn, metric_id)
        assert due is not None
        if not due.running:
            continue
        async with fleet.tx() as tx:
            stored_at = await record_measurement(tx, due, measured)
        next_at = world.measure(verification_id, position, measured)
        if next_at is not None or stored_at is not None:
            assert next_at == stored_at
        if number % 16 == 0 or next_at is None:
            loaded = await load(store, fleet.deployment_id)
            pure = world.snapshot()
            assert {move.id: move.verifications for move in pure.moves} == {
                move.id: move.verifications for move in loaded.facts.moves
            }
            assert [one.proofs for one in pure.rollouts] == [one.proofs for one in loaded.facts.rollouts]
            stored = loaded.facts
            assert [one.tests_begun for one in pure.rollouts] == [one.tests_begun for one in stored.rollouts]
            assert counted(pure.samples_by_move) == counted(stored.samples_by_move)
            assert (pure.generation, pure.fence) == (loaded.facts.generation, loaded.facts.fence)
            ends |= {one.state for move in pure.moves for one in move.verifications}
            ends |= {f"open {one.state}" for rollout in pure.rollouts for one in rollout.proofs}
    ways = {"running", "passed", "failed", "inconclusive", "again", "open failed"}
    assert ways <= ends, "a way to end that was not shown"

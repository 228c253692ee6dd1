"""What people say about a rollout: kept word by word, read by the next round, in the ledger, and pictured."""

from __future__ import annotations

import pytest

from interlock.agents.test_runner import TestRunnerAgent
from interlock.decide.codec import decode, encode, in_order
from interlock.decide.facts import Speed
from interlock.model.errors import Conflict, NotFound
from interlock.model.event import Event, Ref
from interlock.model.ids import new_id
from interlock.store.places import load_picture
from interlock.store.rollouts import Faster, find_rollout, list_rollouts, list_steering, steer_rollout
from interlock.store.tx import Change
from tests.store.fleet import Stepper, a_fleet, load

WAVES = {
    "gradualRollout": {
        "rolloutType": "exponential",
        "cap": 0.5,
        "failureDomains": ["region", "zone"],
        "bakeSeconds": 3600,
    }
}
HOSTS = ("eu-a1", "eu-a2", "eu-b1", "us-a1", "us-a2", "us-b1")


@pytest.fixture
def stepper(store, tmp_path):
    return Stepper(store, tmp_path, agents={"test-runner": TestRunnerAgent()})


async def in_waves(store, stepper):
    """Six hosts in two regions run 1.0.0; the one box runs 1.1.0, and bakes. Gives the fleet and the rollout."""
    fleet = await a_fleet(store, dict.fromkeys(HOSTS, "prod"))
    for name in HOSTS:
        await fleet.resource(name, env="prod", region=name[:2], zone=name[:4])
    await fleet.version("1.0.0")
    await stepper.run()
    await fleet.policy("waves", [WAVES])
    await stepper.run()
    await fleet.version("1.1.0")
    await stepper.run()
    return fleet, await live(fleet)


async def live(fleet):
    async with fleet.store.read() as conn:
        (found,), _ = await list_rollouts(conn, fleet.workspace_id, states=("open", "paused", "halted"))
    return found


async def steer(fleet, rollout, step, **words):
    async with fleet.tx() as tx:
        said = {"step": step, "reason": f"{step} it", "principal_id": fleet.admin_id}
        return await steer_rollout(
            tx, fleet.workspace_id, rollout_id=rollout.id, **said, faster=Faster(**words) if words else None
        )


async def test_a_round_knows_the_domains_of_its_targets_and_starts_with_one_box(store, stepper):
    fleet, _ = await in_waves(store, stepper)
    loaded = await load(store, fleet.deployment_id)
    assert {tuple(sorted(one.items())) for one in loaded.facts.labels_by_target.values()} == {
        (("region", name[:2]), ("zone", name[:4])) for name in HOSTS
    }
    assert {name for name, tag in (await fleet.where()).items() if tag == "1.1.0"} == {"eu-b1"}


async def test_a_rollout_is_pictured_wave_by_wave(store, stepper):
    fleet, rollout = await in_waves(store, stepper)
    async with store.snapshot() as conn:
        picture = await load_picture(conn, rollout)
    assert picture.in_waves
    assert [strip.counts for strip in picture.strips] == [{"done": 1}, {"waiting": 2}, {"waiting": 1}, {"waiting": 2}]
    assert [{one.resource[:4] for one in strip.squares} for strip in picture.strips] == [
        {"eu-b"},
        {"eu-a"},
        {"us-b"},
        {"us-a"},
    ]
    assert [strip.over for strip in picture.strips] == [True, False, False, False]
    assert picture.next is not None
    assert picture.next.resource.startswith("eu-a")
    assert "bakes until" in (picture.next.why or "")
    assert picture.next.until is not None
    assert await fleet.where()


async def test_sped_up_the_bake_ends_and_the_next_wave_goes(store, stepper):
    fleet, rollout = await in_waves(store, stepper)
    after = await steer(fleet, rollout, "speed_up", bake_s=0)
    assert (after.state, after.bake_s, after.reason) == ("open", 0, rollout.reason)
    await steer(fleet, rollout, "speed_up", max_in_flight=5)
    loaded = await load(store, fleet.deployment_id)
    (found,) = [one for one in loaded.facts.rollouts if one.id == rollout.id]
    assert found.speed == Speed(bake_s=0, max_in_flight=5)
    await stepper.run()
    assert set((await fleet.where()).values()) == {"1.1.0"}
    assert [kind for kind in await fleet.told() if kind == "rollout.sped_up"] == ["rollout.sped_up"] * 2
    async with store.read() as conn:
        words = await list_steering(conn, rollout_id=rollout.id)
        ended = await find_rollout(conn, fleet.workspace_id, rollout_id=rollout.id)
    assert [(word.step, word.bake_s, word.max_in_flight, word.reason) for word in words] == [
        ("speed_up", None, 5, "speed_up it"),
        ("speed_up", 0, None, "speed_up it"),
    ]
    assert ended is not None
    assert ended.state == "complete"
    with pytest.raises(Conflict, match="complete: there is nothing to speed up"):
        await steer(fleet, rollout, "speed_up", bake_s=0)
    async with store.snapshot() as conn:
        picture = await load_picture(conn, ended)
    assert picture.next is None
    assert all(strip.over for strip in picture.strips)


async def test_promoted_while_nobody_works_it_takes_hold_when_workers_return(store, stepper):
    fleet, rollout = await in_waves(store, stepper)
    await steer(fleet, rollout, "pause")
    after = await steer(fleet, rollout, "promote")
    assert (after.state, after.reason) == ("open", "promote it")
    assert after.promoted_at is not None
    assert await fleet.is_due("round", fleet.deployment_id)
    await stepper.run()
    assert set((await fleet.where()).values()) == {"1.1.0"}
    assert "rollout.promoted" in await fleet.told()


async def test_what_is_not_there_cannot_be_steered(store):
    fleet = await a_fleet(store, {})
    async with fleet.tx() as tx:
        with pytest.raises(NotFound):
            await steer_rollout(
                tx, fleet.workspace_id, rollout_id=new_id(), step="promote", reason="r", principal_id=fleet.admin_id
            )


async def test_a_resource_that_tells_its_zone_is_placed_at_once(store, stepper):
    fleet, rollout = await in_waves(store, stepper)
    await fleet.resource("us-b1", env="prod", region="us")
    await stepper.run()
    await steer(fleet, rollout, "speed_up", bake_s=0)
    await stepper.run()
    left = {name for name, tag in (await fleet.where()).items() if tag == "1.0.0"}
    assert left == {"us-b1"}
    async with store.snapshot() as conn:
        picture = await load_picture(conn, await live(fleet))
    assert picture.next is not None
    assert picture.next.why == (
        "Its resource has no zone, which failureDomains names; without it it has no place. "
        "Who can act: whoever may edit the resource; an operator may promote the rollout."
    )
    await fleet.resource("us-b1", env="prod", region="us", zone="us-b")
    await stepper.run()
    assert set((await fleet.where()).values()) == {"1.1.0"}


async def test_samples_are_counted_of_what_passed_or_failed(store, stepper):
    fleet, rollout = await in_waves(store, stepper)
    await fleet.policy(
        "waves", [{"gradualRollout": {**WAVES["gradualRollout"], "minimumSamples": 2, "bakeSeconds": 0}}]
    )
    async with fleet.tx() as tx:
        move_id = await tx.conn.fetchval("SELECT id FROM move WHERE rollout_id = $1", rollout.id)
        verification_id, metric_id = new_id(), new_id()
        await tx.record(
            [
                Change(
                    "INSERT INTO verification (id, workspace_id, deployment_id, subject_kind, subject_id, move_id, "
                    "state, started_at) VALUES ($1, $2, $3, 'job', $1, $4, 'passed', now())",
                    (verification_id, fleet.workspace_id, fleet.deployment_id, move_id),
                ),
                Change(
                    "INSERT INTO verification_metric (id, verification_id, position, name, spec, state, progress) "
                    "VALUES ($1, $2, 0, 'error-rate', '{}', 'passed', $3)",
                    (metric_id, verification_id, {"passed": 1, "errored": 1, "inconclusive": 1, "failed": 1}),
                ),
            ],
            events=[Event("verification.passed", Ref("verification", verification_id), {})],
        )
    facts = (await load(store, fleet.deployment_id)).facts
    assert facts.samples_by_move == {move_id: 2}
    assert decode(dict(encode(facts))) == in_order(facts)

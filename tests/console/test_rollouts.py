"""A rollout as a picture: squares by wave, what is next, and the forms that steer it."""

import re

import pytest

from interlock.model.event import Event, Ref
from interlock.store.rollouts import list_rollouts
from interlock.store.tx import Change
from tests.console.conftest import OURS
from tests.store.fleet import Fleet, Stepper

WAVES = {
    "gradualRollout": {
        "rolloutType": "exponential",
        "failureDomains": ["region", "zone"],
        "bakeSeconds": [0, 3600],
    }
}


@pytest.fixture
async def rollout(store, world, tmp_path):
    """1.2.0 on its way over nineteen hosts of staging in two regions: three are done, and bake."""
    fleet = Fleet(store, world.workspace_id, world.maker_id, "", "", world.deployment_id)
    stepper = Stepper(store, tmp_path)
    for name in ("eu-a", "eu-b", "us-a", "us-b"):
        for number in range(7 if name.endswith("a") else 3):
            await fleet.resource(f"{name}{number}", env="staging", region=name[:2], zone=name)
    await fleet.resource("staging-1", env="staging", region="us", zone="us-a")
    await fleet.policy("waves", [WAVES], selector='environment.name == "staging"')
    await stepper.run()
    await fleet.version("1.2.0")
    await stepper.run()
    return await live(store, world)


async def a_live_one(store, world):
    """A rollout of the world, opened again: for forms it need not move."""
    async with store.tx(actor=OURS, cause="test", workspace_id=world.workspace_id) as tx:
        rollout_id = await tx.conn.fetchval("SELECT id FROM rollout ORDER BY opened_at DESC LIMIT 1")
        again = Change("UPDATE rollout SET state = 'open' WHERE id = $1", (rollout_id,))
        await tx.record([again], events=[Event("rollout.resumed", Ref("rollout", rollout_id), {})])
    return await live(store, world)


async def live(store, world):
    async with store.read() as conn:
        (found,), _ = await list_rollouts(conn, world.workspace_id, states=("open", "paused", "halted"))
    return found


async def test_a_rollout_shows_every_target_by_wave_and_what_is_next(visitor, world, rollout):
    page = (await (await visitor()).get(world.at("rollouts", rollout.id))).text
    assert '<h1>Rollout of <span class="tag">1.2.0</span> in staging</h1>' in page
    squares = re.findall(r'<a class="square (\w+)"', page)
    assert (len(squares), squares.count("done"), squares.count("waiting")) == (21, 3, 18)
    assert re.findall(r"Wave (\d+)</h3>", page) == ["1", "2", "3", "4", "5", "6"]
    assert "bakes until <time" in page
    assert "Nobody has steered it" in page
    assert world.at("rollouts", rollout.id, "pause") not in page, "who may only look is offered nothing"
    deployment = (await (await visitor("otto", "operator")).get(world.at("deployments", "shop-api"))).text
    assert world.at("rollouts", rollout.id) in deployment


async def test_why_it_halted_is_a_sentence_and_what_is_held_says_so(visitor, world, store):
    rollout = await a_live_one(store, world)
    async with store.tx(actor=OURS, cause="test", workspace_id=world.workspace_id) as tx:
        halt = Change(
            "UPDATE rollout SET state = 'halted', reason = 'verification_failed' WHERE id = $1", (rollout.id,)
        )
        hold = Change(
            "UPDATE verification SET state = 'inconclusive', ended_at = NULL, held_since = now() WHERE id = $1",
            (world.verification_id,),
        )
        told = [Event("rollout.halted", Ref("rollout", rollout.id), {})]
        told.append(Event("verification.inconclusive", Ref("verification", world.verification_id), {}))
        await tx.record([halt, hold], events=told)
    viewer = await visitor()
    page = (await viewer.get(world.at("rollouts", rollout.id))).text
    assert "It halted by itself: what was measured of it failed." in page
    assert "verification_failed" not in page
    async with store.read() as conn:
        one = await conn.fetchrow(
            "SELECT t.resource_id, t.environment_id, t.deployment_id FROM target t "
            "JOIN move m ON m.target_id = t.id JOIN job j ON j.move_id = m.id WHERE j.id = $1",
            world.job_id,
        )
    target = world.at("targets", "-".join(str(part) for part in one))
    assert "held: nothing could tell" in (await viewer.get(target)).text


async def test_a_target_that_is_still_verified_is_in_flight_and_not_done(visitor, world, store, rollout):
    viewer, page = await visitor(), world.at("deployments", "shop-api")
    assert "3 of 21 done" in (await viewer.get(page)).text
    async with store.tx(actor=OURS, cause="test", workspace_id=world.workspace_id) as tx:
        move_id = await tx.conn.fetchval(
            "SELECT id FROM move WHERE rollout_id = $1 AND state = 'succeeded' LIMIT 1", rollout.id
        )
        again = Change("UPDATE move SET state = 'verifying', closed_at = NULL WHERE id = $1", (move_id,))
        await tx.record([again], events=[Event("move.reopened", Ref("move", move_id), {})])
    assert "2 of 21 done, 1 in flight" in (await viewer.get(page)).text


async def test_a_person_pauses_resumes_speeds_up_promotes_and_gives_up(visitor, world, store, rollout):
    olga = await visitor("olga", "operator")
    page = world.at("rollouts", rollout.id)

    async def steer(step, **fields):
        answer = await olga.send(f"{page}/{step}", f"{page}/{step}", **fields)
        assert answer.status_code == 303, answer.text
        return (await olga.get(answer.headers["location"])).text

    assert "It is paused." in await steer("pause", reason="we look")
    assert (await olga.get(f"{page}/pause")).status_code == 409
    assert "It goes on." in await steer("resume", reason="all is well")
    shown = await steer("speed-up", reason="in a hurry", bake_s="60", max_in_flight="3")
    assert "Sped up: 60 s of bake at most, at least 3 at once" in shown
    assert "in a hurry" in shown and "olga" in shown
    assert "promoted" in await steer("promote", reason="proven in the morning")
    assert (await live(store, world)).promoted_at is not None
    assert "aborted" in await steer("abort", reason="1.3.0 replaces it")
    assert (await olga.get(f"{page}/resume")).status_code == 409


WRONG = [
    ("pause", {"reason": ""}, "Say why"),
    ("speed-up", {"reason": "r"}, "Say what goes faster."),
    ("speed-up", {"reason": "r", "bake_s": "soon"}, "Seconds of bake after each wave: a whole number from 0"),
    ("speed-up", {"reason": "r", "max_in_flight": "0"}, "So many at once: a whole number from 1"),
]


async def test_a_field_that_is_wrong_is_shown_again(visitor, world, store):
    rollout, olga = await a_live_one(store, world), await visitor("olga", "operator")
    for step, fields, said in WRONG:
        page = world.at("rollouts", rollout.id, step)
        answer = await olga.send(page, page, **fields)
        assert answer.status_code == 400
        assert said in answer.text
    assert await live(store, world) == rollout


async def test_who_may_not_steer_is_refused_and_what_is_not_there_is_404(visitor, world, store):
    rollout, vera = await a_live_one(store, world), await visitor()
    assert (await vera.get(world.at("rollouts", rollout.id, "pause"))).status_code == 403
    olga = await visitor("olga", "operator")
    assert (await olga.get(world.at("rollouts", rollout.id, "explode"))).status_code == 404
    assert (await olga.get(world.at("rollouts", "none"))).status_code == 404
    assert (await olga.get(world.at("rollouts", world.deployment_id))).status_code == 404

"""What a round knew can be read back, and decides the same again.

Source: core.md section 6.
"""

import pytest

from interlock import decide as core
from interlock.decide import decide
from interlock.decide.codec import in_order
from interlock.model.errors import NotFound
from interlock.store.replay import replay_round
from interlock.store.retention import delete_expired
from tests.store.fleet import APPROVAL, Stepper, a_fleet, a_member, commit, load


@pytest.fixture
def stepper(store, tmp_path):
    return Stepper(store, tmp_path)


async def rounds(store):
    async with store.read() as conn:
        return [row["id"] for row in await conn.fetch("SELECT id FROM round ORDER BY at")]


async def test_a_round_decides_the_same_facts_again_with_the_same_plan(store):
    fleet = await a_fleet(store, {"one": "staging", "two": "prod", "three": "prod"})
    await fleet.policy("prod", [APPROVAL], selector='environment.name == "prod"')
    await fleet.version("1.0.0")
    loaded = await load(store, fleet.deployment_id)
    plan = decide(loaded.facts, loaded.now)
    await commit(store, loaded, plan)
    (round_id,) = await rounds(store)
    async with store.read() as conn:
        replayed = await replay_round(conn, round_id)
    assert in_order(replayed.facts) == in_order(loaded.facts)
    assert replayed.plan == plan
    assert replayed.at == loaded.now
    assert replayed.agrees
    assert replayed.same_engine
    assert replayed.same_tzdata


async def test_every_round_of_a_story_can_be_decided_again(store, stepper):
    fleet = await a_fleet(store, {"one": "staging", "two": "prod"})
    person = await a_member(fleet, "ann")
    await fleet.policy("prod", [APPROVAL, {"retry": {"maxRetries": 1}}], selector='environment.name == "prod"')
    await fleet.version("1.0.0")
    await stepper.run()
    await fleet.answer("1.0.0", "prod", "approved", by=person)
    await stepper.run()
    told = await rounds(store)
    assert len(told) >= 4
    for round_id in told:
        async with store.read() as conn:
            assert (await replay_round(conn, round_id)).agrees


async def test_another_engine_says_so(store, stepper, monkeypatch):
    fleet = await a_fleet(store, {"one": "prod"})
    await fleet.version("1.0.0")
    await stepper.run()
    async with store.read() as conn:
        await conn.execute("UPDATE round SET engine_version = '0'")
        replayed = await replay_round(conn, (await rounds(store))[0])
    assert replayed.engine_version == "0"
    assert core.ENGINE_VERSION != "0"
    assert not replayed.same_engine


async def test_what_is_past_its_days_or_never_was_cannot_be_decided_again(store, stepper):
    fleet = await a_fleet(store, {"one": "prod"})
    await fleet.version("1.0.0")
    await stepper.run()
    (first, *_) = await rounds(store)
    async with store.read() as conn:
        await conn.execute("UPDATE blob SET last_used_at = now() - interval '91 days'")
        await delete_expired(conn, blob_days=90, measurement_days=30)
        with pytest.raises(NotFound, match="no longer kept"):
            await replay_round(conn, first)
        with pytest.raises(NotFound, match="no such round"):
            await replay_round(conn, fleet.workspace_id)

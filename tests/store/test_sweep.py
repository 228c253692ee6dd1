"""Nothing polls, so a wake-up that is lost must be found: the sweep finds those, and nothing where all is well.

Source: core.md section 3.
"""

import pytest

from interlock.store.health import SWEEP_DIFFERENCES, Counts
from interlock.store.wake import list_all_deployments
from interlock.workers.sweep import sweep_deployment
from tests.store.fleet import APPROVAL, Stepper, a_fleet, a_member


@pytest.fixture
def stepper(store, tmp_path):
    return Stepper(store, tmp_path)


async def sweep(store):
    """Why each deployment needed a look that nobody had asked for."""
    counts = Counts()
    async with store.read() as conn:
        deployments = await list_all_deployments(conn)
    found = [await sweep_deployment(store, deployment, counts=counts) for deployment in deployments]
    async with store.read() as conn:
        await counts.flush(conn)
        counted = await conn.fetchval("SELECT coalesce(sum(value), 0) FROM counter WHERE name = $1", SWEEP_DIFFERENCES)
    return [why for why in found if why], counted


async def lose(store, *kinds):
    """What would wake somebody is gone, as if its writer had forgotten it."""
    async with store.read() as conn:
        await conn.execute("DELETE FROM work WHERE kind = ANY ($1::text[])", list(kinds))


async def test_finds_nothing_where_all_is_well(store, stepper):
    fleet = await a_fleet(store, {"one": "staging", "two": "prod"})
    person = await a_member(fleet, "ann")
    await fleet.policy("prod", [APPROVAL], selector='environment.name == "prod"')
    assert await sweep(store) == ([], 0), "what was asked for is not lost"
    await stepper.run()
    assert await sweep(store) == ([], 0)
    await fleet.version("1.0.0")
    for step in range(40):
        assert await sweep(store) == ([], 0), f"before step {step}"
        if not await stepper.run(steps_max=1, patience_s=2.0, may_go_on=True):
            break
    assert await sweep(store) == ([], 0), "waiting for a person is no difference"
    await fleet.answer("1.0.0", "prod", "approved", by=person)
    await stepper.run()
    assert await sweep(store) == ([], 0)
    assert "sweep.difference" not in await fleet.told()


async def test_finds_a_version_whose_round_was_lost_and_asks_for_it(store, stepper):
    fleet = await a_fleet(store, {"one": "prod"})
    await stepper.run()
    await fleet.version("1.0.0")
    await lose(store, "round")
    assert await sweep(store) == (["it would move something"], 1)
    assert await sweep(store) == ([], 1), "it is asked for now"
    await stepper.run()
    assert await fleet.where() == {"one": "1.0.0"}
    assert (await fleet.told()).count("sweep.difference") == 1


async def test_finds_a_freeze_whose_wake_was_lost(store, stepper):
    fleet = await a_fleet(store, {"one": "prod"})
    await stepper.run()
    await fleet.freeze()
    assert await sweep(store) == ([], 0), "it is on its way"
    await lose(store, "wake")
    assert await sweep(store) == (["a fact that can take something away is undecided"], 1)


async def test_finds_a_wake_up_whose_instant_passed(store, stepper):
    fleet = await a_fleet(store, {"one": "prod"})
    await stepper.run()
    await lose(store, "round")
    async with store.read() as conn:
        await conn.execute("UPDATE deployment SET wake_at = now() - interval '1 s' WHERE id = $1", fleet.deployment_id)
    assert await sweep(store) == (["the instant at which it wanted its next round has passed"], 1)


async def test_what_lies_buried_is_shown_elsewhere(store, stepper):
    fleet = await a_fleet(store, {"one": "prod"})
    await stepper.run()
    await fleet.version("1.0.0")
    async with store.read() as conn:
        await conn.execute("UPDATE work SET buried_at = now() WHERE kind = 'round'")
    assert await sweep(store) == ([], 0)

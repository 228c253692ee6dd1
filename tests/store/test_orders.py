"""Orders on the real database: placed, loaded, answered and ended; of one target and of many; with nobody there."""

from dataclasses import replace
from datetime import timedelta

import pytest

from interlock.model.errors import Conflict, Invalid, NotFound
from interlock.store.orders import Where, list_orders, place_orders, roll_back_version, withdraw_order
from interlock.store.versions import change_version, find_version, lock_version
from tests.store.fleet import Stepper, a_fleet, commit, load


@pytest.fixture
def stepper(store, tmp_path):
    return Stepper(store, tmp_path)


def at(fleet, environment=None, host=None):
    return Where(
        fleet.deployment_id,
        "shop-api",
        environment_id=fleet.environments[environment] if environment else None,
        resource_id=fleet.resources[host] if host else None,
    )


async def place(fleet, kind, where, tag=None, *, when="now", lasts=None):
    async with fleet.tx() as tx:
        version = None
        if tag is not None:
            version = await find_version(tx.conn, fleet.workspace_id, version_id=fleet.versions[tag])
        now = await tx.conn.fetchval("SELECT interlock_now()")
        return await place_orders(
            tx,
            fleet.workspace_id,
            where,
            kind=kind,
            version=version,
            when=when,
            reason="by hand",
            expires_at=now + lasts if lasts else None,
            principal_id=fleet.admin_id,
        )


async def all_orders(fleet, **narrow):
    async with fleet.store.read() as conn:
        orders, _ = await list_orders(conn, fleet.workspace_id, **narrow)
    return orders


async def landed(fleet, stepper, *tags):
    for tag in tags:
        await fleet.version(tag)
        await stepper.run()


HOSTS = {"one": "prod", "two": "prod", "stage": "staging"}


async def test_a_redeploy_is_placed_without_workers_and_answered_when_they_return(store, stepper):
    fleet = await a_fleet(store, HOSTS)
    await landed(fleet, stepper, "1.0.0")
    before = await load(store, fleet.deployment_id)
    placed = await place(fleet, "redeploy", at(fleet, "prod"))
    assert [(one.resource, one.tag, one.state, one.scope) for one in placed.orders] == [
        ("one", "1.0.0", "open", "environment"),
        ("two", "1.0.0", "open", "environment"),
    ]
    assert await fleet.is_due("round", fleet.deployment_id)
    loaded = await load(store, fleet.deployment_id)
    assert {order.id for order in loaded.facts.orders} == {order.id for order in placed.orders}
    assert all(order.by.startswith("admin") and order.release is None for order in loaded.facts.orders)
    await stepper.run()
    after = await load(store, fleet.deployment_id)
    assert after.facts.targets == {
        key: replace(target, last_started_at=after.facts.targets[key].last_started_at)
        for key, target in before.facts.targets.items()
    }, "the very same releases"
    assert len(await fleet.jobs()) == 5
    assert {(one.state, one.move_id is not None) for one in await all_orders(fleet)} == {("answered", True)}
    told = await fleet.told()
    assert told.count("order.placed") == told.count("order.answered") == 2


async def test_one_query_loads_orders_whatever_their_number(store, stepper):
    fleet = await a_fleet(store, {f"host-{n}": "prod" for n in range(12)})
    await landed(fleet, stepper, "1.0.0")
    async with store.counting() as without:
        await load(store, fleet.deployment_id)
    await place(fleet, "redeploy", at(fleet))
    async with store.counting() as with_orders:
        loaded = await load(store, fleet.deployment_id)
    assert len(loaded.facts.orders) == 12
    assert len(with_orders) <= len(without)


async def test_a_redeploy_of_a_busy_target_is_refused_naming_the_job_or_waits_when_idle(store, stepper):
    fleet = await a_fleet(store, {"one": "prod", "two": "prod"})
    await landed(fleet, stepper, "1.0.0")
    await fleet.version("1.1.0")
    await commit(store, await load(store, fleet.deployment_id))
    job = (await fleet.jobs())[-1]
    with pytest.raises(Conflict) as refused:
        await place(fleet, "redeploy", at(fleet, "prod"))
    assert refused.value.code == "BUSY"
    assert "forward to 1.1.0, job" in refused.value.message
    assert "when: idle" in refused.value.message
    placed = await place(fleet, "redeploy", at(fleet, "prod"), when="idle")
    assert len(placed.orders) == 2
    await stepper.run()
    assert await fleet.where() == {"one": "1.1.0", "two": "1.1.0"}
    assert {one.state for one in await all_orders(fleet)} == {"answered"}
    assert len(await fleet.jobs()) == 6
    assert job["id"] in {one["id"] for one in await fleet.jobs()}


async def test_a_target_has_one_open_order_of_a_kind(store, stepper):
    fleet = await a_fleet(store, {"one": "prod", "two": "prod"})
    await landed(fleet, stepper, "1.0.0")
    first = await place(fleet, "redeploy", at(fleet, "prod", "one"))
    with pytest.raises(Conflict, match=first.orders[0].id):
        await place(fleet, "redeploy", at(fleet, "prod", "one"))
    placed = await place(fleet, "redeploy", at(fleet, "prod"))
    assert [one.resource for one in placed.orders] == ["two"]
    assert [(one.resource, one.code) for one in placed.refused] == [("one", "ordered_already")]


async def test_a_force_needs_version_and_end_and_goes_through_a_freeze(store, stepper):
    fleet = await a_fleet(store, {"one": "prod"})
    await landed(fleet, stepper, "1.0.0")
    await fleet.version("1.1.0", status="building")
    await fleet.freeze()
    with pytest.raises(Invalid, match="end"):
        await place(fleet, "force", at(fleet, "prod"), "1.1.0")
    with pytest.raises(Invalid, match="version"):
        await place(fleet, "force", at(fleet, "prod"), lasts=timedelta(hours=1))
    with pytest.raises(Invalid, match="ahead"):
        await place(fleet, "force", at(fleet, "prod"), "1.1.0", lasts=-timedelta(hours=1))
    with pytest.raises(Invalid, match="at most"):
        await place(fleet, "force", at(fleet, "prod"), "1.1.0", lasts=timedelta(days=99))
    await place(fleet, "force", at(fleet, "prod"), "1.1.0", lasts=timedelta(hours=1))
    await stepper.run()
    assert await fleet.where() == {"one": "1.1.0"}


async def test_an_environment_goes_back_to_what_was_good_and_its_rollout_halts(store, stepper):
    fleet = await a_fleet(store, HOSTS)
    await fleet.policy("counts", [{"rollbackHistory": {"reactions": [{"atLeast": 9, "then": "hold"}]}}])
    await landed(fleet, stepper, "1.0.0", "1.1.0")
    placed = await place(fleet, "rollback", at(fleet, "prod"))
    assert [(one.resource, one.tag) for one in placed.orders] == [("one", "1.0.0"), ("two", "1.0.0")]
    facts = (await load(store, fleet.deployment_id)).facts
    bad = fleet.versions["1.1.0"]
    assert {one.version_id for one in facts.quarantines} == {bad}
    left = {key[0] for key, one in facts.landed_by_target_version.items() if key[1] == bad and one.left_at}
    assert left == {one.target_id for one in placed.orders}
    await stepper.run()
    assert await fleet.where() == {"one": "1.0.0", "two": "1.0.0", "stage": "1.1.0"}
    assert {one.state for one in await all_orders(fleet)} == {"answered"}
    counted = (await load(store, fleet.deployment_id)).facts.rollbacks
    assert {(one.environment_id, one.version_id) for one in counted} == {(fleet.environments["prod"], bad)}
    await fleet.resource("three", env="prod")
    await stepper.run()
    assert (await fleet.where())["three"] == "1.0.0", "what was taken back starts on no target that joins"
    with pytest.raises(Conflict, match="no good release of another version"):
        await place(fleet, "rollback", at(fleet, "prod"))


async def test_an_environment_leaves_its_newest_version_and_those_that_it_has_not_reached_stay(store, stepper):
    slow = {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 3600}}
    fleet = await a_fleet(store, {"one": "prod", "two": "prod"})
    await landed(fleet, stepper, "1.0.0")
    await fleet.policy("slow", [slow])
    await landed(fleet, stepper, "1.1.0")
    where = await fleet.where()
    assert sorted(where.values()) == ["1.0.0", "1.1.0"]
    placed = await place(fleet, "rollback", at(fleet, "prod"))
    assert [where[one.resource] for one in placed.orders] == ["1.1.0"]
    assert [one.code for one in placed.refused] == ["not_concerned"]
    async with store.read() as conn:
        rollout = await conn.fetchrow(
            "SELECT state, reason FROM rollout WHERE version_id = $1", fleet.versions["1.1.0"]
        )
    assert tuple(rollout) == ("halted", "rolled_back")
    await stepper.run()
    assert await fleet.where() == {"one": "1.0.0", "two": "1.0.0"}


async def test_a_version_named_is_gone_back_to(store, stepper):
    fleet = await a_fleet(store, {"one": "prod"})
    await landed(fleet, stepper, "1.0.0", "1.1.0", "1.2.0")
    await fleet.version("0.9.0", status="building")
    with pytest.raises(Conflict, match="never good"):
        await place(fleet, "rollback", at(fleet, "prod"), "0.9.0")
    with pytest.raises(Conflict, match="already"):
        await place(fleet, "rollback", at(fleet, "prod"), "1.2.0")
    await place(fleet, "rollback", at(fleet, "prod"), "1.0.0")
    await stepper.run()
    assert await fleet.where() == {"one": "1.0.0"}


async def test_a_rejected_version_leaves_its_targets_only_when_asked(store, stepper):
    fleet = await a_fleet(store, {"one": "prod", "two": "prod"})
    await landed(fleet, stepper, "1.0.0", "1.1.0")
    await fleet.status("1.1.0", "rejected")
    await stepper.run()
    assert await fleet.where() == {"one": "1.1.0", "two": "1.1.0"}
    async with fleet.tx() as tx:
        before = await lock_version(tx, fleet.workspace_id, version_id=fleet.versions["1.1.0"])
        version = await change_version(tx, fleet.workspace_id, before=before, after=replace(before, status="rejected"))
        placed = await roll_back_version(
            tx, fleet.workspace_id, version=version, deployment="shop-api", reason="bad", principal_id=fleet.admin_id
        )
    assert len(placed.orders) == 2
    await stepper.run()
    assert await fleet.where() == {"one": "1.0.0", "two": "1.0.0"}


async def test_a_version_that_was_taken_off_comes_back_once_it_is_ready_again(store, stepper):
    fleet = await a_fleet(store, {"one": "prod"})
    await landed(fleet, stepper, "1.0.0", "1.1.0")
    await fleet.status("1.1.0", "rejected")
    await place(fleet, "rollback", at(fleet, "prod"))
    await stepper.run()
    assert await fleet.where() == {"one": "1.0.0"}
    await fleet.status("1.1.0", "ready")
    assert "quarantine.cleared" in await fleet.told()
    await stepper.run()
    assert await fleet.where() == {"one": "1.0.0"}, "its rollout halted when it was taken back"
    async with store.read() as conn:
        assert await conn.fetchval("SELECT count(*) FROM quarantine WHERE cleared_at IS NULL") == 0


async def test_a_withdrawn_order_starts_nothing(store, stepper):
    fleet = await a_fleet(store, {"one": "prod"})
    await landed(fleet, stepper, "1.0.0")
    (order,) = (await place(fleet, "redeploy", at(fleet, "prod"))).orders

    async def withdraw():
        async with fleet.tx() as tx:
            return await withdraw_order(
                tx, fleet.workspace_id, order_id=order.id, reason="not needed", principal_id=fleet.admin_id
            )

    ended = await withdraw()
    assert (ended.state, ended.end_reason) == ("withdrawn", "not needed")
    with pytest.raises(Conflict, match="open no more"):
        await withdraw()
    await stepper.run()
    assert len(await fleet.jobs()) == 1
    assert "order.ended" in await fleet.told()


async def test_where_nothing_is_nothing_is_placed(store):
    fleet = await a_fleet(store, {"one": "prod"})
    with pytest.raises(Conflict, match="runs nothing"):
        await place(fleet, "redeploy", at(fleet, "prod"))
    with pytest.raises(Conflict, match="no good release"):
        await place(fleet, "rollback", at(fleet))
    await fleet.resource("one", env="nowhere")
    with pytest.raises(NotFound):
        await place(fleet, "redeploy", at(fleet))


async def test_what_was_tried_in_vain_is_brought_again_by_name(store, stepper):
    fleet = await a_fleet(store, {"one": "prod"}, agent_config={"delaySeconds": 0, "status": "failure"})
    await landed(fleet, stepper, "1.0.0")
    assert (await fleet.one_job())["status"] == "failure"
    placed = await place(fleet, "redeploy", at(fleet, "prod"))
    assert placed.orders[0].tag == "1.0.0"
    await stepper.run()
    first, second = await fleet.jobs()
    assert first["release_id"] == second["release_id"]
    await fleet.status("1.0.0", "paused")
    with pytest.raises(Conflict, match="is paused"):
        await place(fleet, "redeploy", at(fleet, "prod"), "1.0.0")
    await fleet.version("0.9.0", status="building")
    with pytest.raises(Conflict, match="never brought"):
        await place(fleet, "redeploy", at(fleet, "prod"), "0.9.0")

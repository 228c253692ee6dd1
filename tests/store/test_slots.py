"""A limit that deployments share is never exceeded, whoever commits at the same instant, and what is freed is used.

Some plans here get their claims from the test: a group without a rule, weights.

Source: core.md section 3 (slot groups are locked and counted again) and law 7.
"""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from interlock.agents.test_runner import TestRunnerAgent
from interlock.decide import decide
from interlock.decide.facts import Slot
from interlock.decide.plan import SlotClaim
from interlock.model.job import JobStatus
from interlock.store.retention import delete_expired
from interlock.store.slots import list_slot_groups
from interlock.store.tx import Store
from interlock.store.work import WorkRequest
from interlock.workers import steps_by_kinds
from interlock.workers.loop import Loop
from tests.store.fleet import Stepper, a_fleet, commit, load, until

GROUP, LIMIT = "database migrations", 3
WORKERS, DEPLOYMENTS = 8, 20

GUARD = f"""
CREATE FUNCTION refuse_a_fourth() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT sum(weight) FROM slot WHERE workspace_id = NEW.workspace_id AND key = NEW.key) > {LIMIT} THEN
        RAISE EXCEPTION 'The group % holds too many.', NEW.key;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER never_a_fourth AFTER INSERT ON slot FOR EACH ROW EXECUTE FUNCTION refuse_a_fourth();
CREATE TABLE seen_held (held bigint);
CREATE FUNCTION note_held() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO seen_held SELECT sum(weight) FROM slot GROUP BY workspace_id, key;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER held_at_commit AFTER INSERT ON slot DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION note_held();
"""


def with_slots(plan, *, limit=LIMIT, weight=1):
    """The plan, each of whose new moves wants a place in the one group."""
    return replace(plan, slots=tuple(SlotClaim(move.id, GROUP, limit, weight) for move in plan.moves))


@pytest.fixture
def stepper(store, tmp_path):
    return Stepper(store, tmp_path)


async def test_a_move_that_finds_its_slot_taken_is_left_out_and_asked_for_again(store, stepper):
    fleet = await a_fleet(store, {"one": "prod", "two": "prod"})
    await fleet.version("1.0.0")
    loaded = await load(store, fleet.deployment_id)
    committed = await commit(store, loaded, with_slots(decide(loaded.facts, loaded.now), limit=1))
    assert len(committed.left_out) == 1
    assert len(await fleet.jobs()) == 1
    async with store.read() as conn:
        asked_at = await conn.fetchval("SELECT ready_at FROM work WHERE kind = 'round'")
    assert asked_at <= loaded.now + timedelta(seconds=1)


ONE_AT_ONCE = {"concurrency": {"maxInFlight": 1}}
ONE_A_ZONE = {"concurrency": {"maxInFlight": 1, "groupBy": 'resource.metadata["zone"]'}}


async def verdicts(store, deployment_id):
    """Resource name -> what its row says holds it."""
    async with store.read() as conn:
        rows = await conn.fetch(
            "SELECT r.name, td.outcome, td.verdicts FROM target t JOIN resource r ON r.id = t.resource_id "
            "JOIN target_decision td ON td.target_id = t.id WHERE t.deployment_id = $1",
            deployment_id,
        )
    return {
        row["name"]: (
            row["outcome"],
            [(one["reason"], one["values"].get("group", one["values"].get("why"))) for one in row["verdicts"]],
        )
        for row in rows
    }


async def forget_rounds(store):
    async with store.read() as conn:
        await conn.execute("DELETE FROM work WHERE kind IN ('round', 'match', 'wake')")


async def test_a_move_that_ends_frees_its_slot_and_asks_for_the_rounds_of_those_who_wait_for_it(store, stepper):
    fleet = await a_fleet(store, {"one": "prod"})
    other, idle = await fleet.deployment("billing"), await fleet.deployment("search")
    await fleet.policy("limit", [ONE_AT_ONCE])
    await fleet.version("1.0.0")
    await fleet.version("2.0.0", deployment_id=other)
    assert not (await commit(store, await load(store, fleet.deployment_id))).left_out
    assert not (await commit(store, await load(store, other))).left_out  # it saw that the group is full
    await commit(store, await load(store, idle))
    assert await verdicts(store, other) == {"one": ("hold", [("concurrency_full", "all")])}
    await forget_rounds(store)
    await stepper.run(kinds=["dispatch", "observe", "round"])  # the first move ends
    async with store.read() as conn:
        assert await conn.fetchval("SELECT count(*) FROM slot") == 0
    await stepper.run(kinds=["wake"])
    assert await fleet.is_due("round", other)
    assert not await fleet.is_due("round", idle)
    assert len((await commit(store, await load(store, other))).plan.moves) == 1


async def test_a_round_that_runs_while_a_slot_is_freed_is_asked_for_again(store, stepper):
    """Its row is not there yet, so nobody could see that it waits."""
    fleet = await a_fleet(store, {"one": "prod"})
    other = await fleet.deployment("billing")
    await fleet.policy("limit", [ONE_AT_ONCE])
    await fleet.version("1.0.0")
    await fleet.version("2.0.0", deployment_id=other)
    await commit(store, await load(store, fleet.deployment_id))
    await forget_rounds(store)
    async with fleet.tx() as tx:
        await tx.record(wakes=[WorkRequest("round", other, fleet.workspace_id)])
    claim = await stepper.claim("round")
    loaded = await load(store, other)  # the group is full in its snapshot
    await stepper.run(kinds=["dispatch", "observe", "round"])
    await stepper.run(kinds=["wake"])
    await commit(store, loaded, claim=claim)
    await stepper.finish(claim)
    assert await fleet.is_due("round", other)


async def test_two_rounds_that_saw_the_same_free_slot_do_not_both_take_it(store):
    fleet = await a_fleet(store, {"one": "prod"})
    other = await fleet.deployment("billing")
    await fleet.policy("limit", [ONE_AT_ONCE])
    await fleet.version("1.0.0")
    await fleet.version("2.0.0", deployment_id=other)
    first, second = await load(store, fleet.deployment_id), await load(store, other)
    assert not (await commit(store, first)).left_out
    assert len((await commit(store, second)).left_out) == 1
    assert len(await fleet.jobs()) == 1


async def test_targets_know_their_groups_and_follow_labels_and_rules(store):
    fleet = await a_fleet(store, dict.fromkeys(("one", "two", "three"), "prod"))
    await fleet.resource("one", env="prod", zone="a")
    await fleet.resource("two", env="prod", zone="a")
    await fleet.version("1.0.0")
    policy_id = await fleet.policy("zones", [ONE_A_ZONE])
    rule_id = f"{policy_id[:8]}-0"
    loaded = await load(store, fleet.deployment_id)
    assert loaded.facts.slots == {f"{policy_id}/{rule_id}/a": Slot(2, 0)}
    committed = await commit(store, loaded)
    assert len(committed.plan.moves) == 1
    said = await verdicts(store, fleet.deployment_id)
    assert ("hold", [("concurrency_full", "a")]) in said.values()
    assert said["three"][0] == "unknown"
    assert "zone" in said["three"][1][0][1]
    await fleet.resource("three", env="prod", zone="b")
    after = await load(store, fleet.deployment_id)
    assert after.facts.slots[f"{policy_id}/{rule_id}/b"] == Slot(1, 0)
    assert after.facts.fence > loaded.facts.fence
    assert len((await commit(store, after)).plan.moves) == 1
    await fleet.policy("zones", [ONE_A_ZONE], selector="false")
    async with store.read() as conn:
        assert await conn.fetchval("SELECT count(*) FROM target_slot") == 0
        assert await conn.fetchval("SELECT count(*) FROM slot") == 0
        assert await conn.fetchval("SELECT count(*) FROM slot_group") == 2
        await delete_expired(conn, blob_days=1, measurement_days=1)
        assert await conn.fetchval("SELECT count(*) FROM slot_group") == 0


async def test_what_is_in_flight_already_counts_from_the_day_the_rule_is_written(store):
    fleet = await a_fleet(store, dict.fromkeys(("one", "two"), "prod"))
    other = await fleet.deployment("billing")
    await fleet.version("1.0.0")
    await fleet.version("2.0.0", deployment_id=other)
    await commit(store, await load(store, fleet.deployment_id))
    await fleet.policy("limit", [{"concurrency": {"maxInFlight": 3}}])
    (slot,) = (await load(store, other)).facts.slots.values()
    assert slot == Slot(size=4, held_by_others=2)
    assert len((await commit(store, await load(store, other))).plan.moves) == 1


async def test_people_see_who_holds_a_group_and_how_many_wait(store):
    fleet = await a_fleet(store, dict.fromkeys(("one", "two", "three"), "prod"))
    await fleet.policy("half of it", [{"concurrency": {"maxPercentage": 40}}])
    await fleet.version("1.0.0")
    await commit(store, await load(store, fleet.deployment_id))
    async with store.read() as conn:
        (group,), total = await list_slot_groups(conn, fleet.workspace_id, limit=10, offset=0)
        nothing = await list_slot_groups(conn, fleet.workspace_id, limit=10, offset=1)
    assert (group.policy, group.group, group.limit, group.size, group.held, group.waiting) == (
        "half of it",
        "",
        1,
        3,
        1,
        2,
    )
    (holder,) = group.holders
    assert (holder.kind, holder.environment, holder.deployment, holder.tag) == ("forward", "prod", "shop-api", "1.0.0")
    assert total == 1
    assert nothing == ((), 1)


async def test_a_target_that_left_keeps_its_slot_until_its_job_ends(store):
    fleet = await a_fleet(store, {"one": "prod"})
    other = await fleet.deployment("billing", selector='resource.name == "two"')
    await fleet.resource("two", env="prod")
    await fleet.policy("limit", [ONE_AT_ONCE])
    await fleet.version("1.0.0")
    await commit(store, await load(store, fleet.deployment_id))
    await fleet.resource("one", env="nowhere")
    await fleet.resource("two", env="prod", note="edited")
    (slot,) = (await load(store, other)).facts.slots.values()
    assert slot.held_by_others == 1


async def test_weights_count(store):
    fleet = await a_fleet(store, dict.fromkeys(("one", "two", "three"), "prod"))
    await fleet.version("1.0.0")
    loaded = await load(store, fleet.deployment_id)
    committed = await commit(store, loaded, with_slots(decide(loaded.facts, loaded.now), limit=5, weight=2))
    assert len(committed.left_out) == 1
    async with store.read() as conn:
        assert await conn.fetchval("SELECT sum(weight) FROM slot") == 4


class Flaky(TestRunnerAgent):
    """An agent whose runs end at once, some of them badly."""

    kind = "flaky"

    async def observe(self, job):
        seen = await super().observe(job)
        failed = job.id[0] in "048c" and seen.status.terminal
        return replace(seen, status=JobStatus.FAILURE) if failed else seen


async def test_eight_workers_and_twenty_deployments_never_hold_four_of_three(store, database_url, tmp_path):
    """Each worker has connections of its own; a trigger would refuse a fourth holder in whatever order they commit.

    A quarter of the runs fails and is tried again in its slot.
    """
    fleet = await a_fleet(store, {"one": "prod"}, agent_config={"delaySeconds": 0}, agent_type="flaky")
    async with store.read() as conn:
        await conn.execute(GUARD)
    deployments = [fleet.deployment_id, *[await fleet.deployment(f"app-{n}") for n in range(1, DEPLOYMENTS)]]
    limit = {"concurrency": {"maxInFlight": LIMIT, "groupBy": "environment.name"}}
    await fleet.policy("limit", [limit, {"retry": {"maxRetries": 9}}])
    for deployment_id in deployments:
        await fleet.version("1.0.0", deployment_id=deployment_id)
    ended: Counter[str] = Counter()
    stores = [await Store.open(database_url, pool_max=3) for _ in range(WORKERS)]
    loops = []
    for own in stores:
        flow = Stepper(own, tmp_path, agents={"flaky": Flaky()}).flow
        loops += [
            Loop(own, kinds, step, slots=4, on_end=lambda end: ended.update([end.outcome]))
            for kinds, step in steps_by_kinds(flow).items()
        ]
    working = [asyncio.create_task(loop.work()) for loop in loops]
    try:
        async with store.read() as conn:
            text = "SELECT count(*) = $1 FROM target WHERE good_release_id IS NOT NULL"
            await until(lambda: conn.fetchval(text, DEPLOYMENTS), timeout_s=40)
            assert await conn.fetchval("SELECT count(*) FROM slot") == 0
            assert await conn.fetchval("SELECT max(held) FROM seen_held") == LIMIT, "they never met: it proves nothing"
            assert await conn.fetchval("SELECT count(*) FROM job") > DEPLOYMENTS, "nothing failed: it proves less"
    finally:
        for loop in loops:
            loop.stop()
        await asyncio.gather(*working)
        for own in stores:
            await own.close()
    assert ended["failed"] == ended["buried"] == 0, ended

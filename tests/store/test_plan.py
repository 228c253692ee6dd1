"""A plan is committed while the world goes on: what makes it stale, what asks for another round, and that it ends.

Source: core.md section 3 and law 7.
"""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import pytest

from interlock.clock import monotonic_s
from interlock.decide import decide
from interlock.model.errors import Bug, Stale
from interlock.model.job import JobStatus, Observation
from interlock.store.jobs import apply_observation, find_flow_job
from interlock.store.targets import Touched, match_targets
from interlock.store.tx import Change, Store
from interlock.workers.loop import Loop
from tests.store.fleet import APPROVAL, Stepper, a_fleet, a_member, commit, load


@pytest.fixture
def stepper(store, tmp_path):
    return Stepper(store, tmp_path)


@asynccontextmanager
async def a_round(stepper, fleet, *, between):
    """Load, let `between` happen, commit; then give the key back as a worker does. Gives what the commit said."""
    claim = await stepper.claim("round")
    assert claim is not None, "no round is due"
    loaded = await load(stepper.store, fleet.deployment_id)
    await between()
    try:
        yield await commit(stepper.store, loaded, claim=claim)
    finally:
        await stepper.finish(claim)


async def a_fleet_in_judgement(store, stepper):
    """1.0.0 was approved and runs; 1.1.0 waits for an approval."""
    fleet = await a_fleet(store, {"one": "prod", "two": "prod"})
    person = await a_member(fleet, "ann")
    await fleet.policy("approve", [APPROVAL])
    await fleet.version("1.0.0")
    await stepper.run()
    await fleet.answer("1.0.0", "prod", "approved", by=person)
    await stepper.run()
    await fleet.version("1.1.0")
    return fleet, person


# What wakes, what makes stale -----------------------------------------------------------------------------------------


async def test_a_version_that_comes_between_snapshot_and_commit_gets_its_round(store, stepper):
    fleet = await a_fleet(store, {"one": "prod"})
    await fleet.version("1.0.0")
    async with a_round(stepper, fleet, between=lambda: fleet.version("1.1.0")) as committed:
        assert [job.decision_id for job in committed.plan.jobs], "a new version does not make a round stale"
    assert await fleet.is_due("round", fleet.deployment_id)
    await stepper.run()
    assert await fleet.where() == {"one": "1.1.0"}


async def test_an_approval_that_comes_between_gets_its_round(store, stepper):
    fleet, person = await a_fleet_in_judgement(store, stepper)
    between = lambda: fleet.answer("1.1.0", "prod", "approved", by=person)
    async with a_round(stepper, fleet, between=between) as committed:
        assert not committed.plan.moves
    assert await fleet.is_due("round", fleet.deployment_id)
    await stepper.run()
    assert await fleet.where() == {"one": "1.1.0", "two": "1.1.0"}


async def test_a_success_that_comes_between_does_not_make_the_round_stale_and_gets_its_round(store, stepper):
    fleet = await a_fleet(store, {"one": "prod"}, agent_config={"delaySeconds": 0})
    await fleet.version("1.0.0")
    await stepper.run(kinds=["round", "dispatch"])
    await fleet.version("1.1.0")

    async def success():
        await stepper.run(kinds=["observe"])
        assert (await fleet.one_job())["status"] == "successful"

    async with a_round(stepper, fleet, between=success):
        pass
    assert await fleet.is_due("round", fleet.deployment_id)
    await stepper.run()
    assert await fleet.where() == {"one": "1.1.0"}


@pytest.mark.parametrize(
    "what", ["rejection", "withdrawn approval", "failure", "detached", "freeze", "policy", "status"]
)
async def test_what_takes_something_away_makes_the_round_stale(store, stepper, what):
    fleet, person = await a_fleet_in_judgement(store, stepper)
    await stepper.run()
    await fleet.answer("1.1.0", "prod", "approved", by=person)
    if what == "failure":
        async with fleet.tx() as tx:
            config = {"delaySeconds": 0, "status": "failure"}
            await tx.record([Change("UPDATE job_agent SET config = $2 WHERE id = $1", (fleet.agent_id, config))])
        await stepper.run(kinds=["round", "dispatch"])
        await fleet.version("1.2.0")

    async def taken_away():
        match what:
            case "rejection":
                await fleet.answer("1.1.0", "prod", "rejected", by=person)
            case "withdrawn approval":
                await fleet.answer("1.1.0", "prod", "withdrawn", by=person)
            case "failure":
                async with store.read() as conn:
                    job_id = await conn.fetchval("SELECT id FROM job WHERE status = 'inProgress' LIMIT 1")
                await fail(fleet, job_id)
            case "detached":
                await fleet.resource("two", env="elsewhere")
            case "freeze":
                await fleet.freeze()
            case "policy":
                await fleet.policy("approve", [{"anyApproval": {"minApprovals": 2}}])
            case "status":
                await fleet.status("1.1.0", "rejected")

    with pytest.raises(Stale):
        async with a_round(stepper, fleet, between=taken_away):
            pass
    assert await fleet.is_due("round", fleet.deployment_id) or what in {"freeze", "policy"}


async def fail(fleet, job_id):
    async with fleet.tx() as tx:
        job = await find_flow_job(tx.conn, job_id)
        await apply_observation(tx, job, Observation(JobStatus.FAILURE, "broken"), source="test")


async def test_a_claim_that_was_lost_commits_nothing(store, stepper):
    fleet = await a_fleet(store, {"one": "prod"})
    await fleet.version("1.0.0")
    claim = await stepper.claim("round", lease_s=0.0)
    loaded = await load(store, fleet.deployment_id)
    other = await stepper.claim("round")
    assert other is not None, "the lease had ended"
    with pytest.raises(Stale):
        await commit(store, loaded, claim=claim)
    assert not await fleet.jobs()
    await commit(store, loaded, claim=other)
    assert len(await fleet.jobs()) == 1


async def test_the_third_try_locks_first_so_facts_that_come_meanwhile_wait_for_it(store, stepper):
    fleet, person = await a_fleet_in_judgement(store, stepper)
    await stepper.run()
    await fleet.answer("1.1.0", "prod", "approved", by=person)
    claim = await stepper.claim("round")
    async with fleet.tx() as tx:  # the storm holds the deployment when the third try begins
        await tx.record([Change("UPDATE deployment SET fence = fence + 1 WHERE id = $1", (fleet.deployment_id,))])
        third = asyncio.create_task(stepper.flow.decide_round(replace(claim, stales=2)))
        await asyncio.sleep(0.1)
        assert not third.done()
    await third
    await stepper.finish(claim)
    assert [job["status"] for job in await fleet.jobs()].count("pending") == 2


async def test_rounds_end_under_a_storm_of_rejections(store, stepper, database_url):
    fleet, _ = await a_fleet_in_judgement(store, stepper)
    people = [await a_member(fleet, f"person-{number}") for number in range(3)]
    ended: list[str] = []
    # a round waits for nothing here, so that it meets the storm as often as it can
    loop = Loop(store, ["round"], stepper.flow.decide_round, on_end=lambda end: ended.append(end.outcome))
    working = asyncio.create_task(loop.work())
    enough, until_s = 5, monotonic_s() + 30.0

    async def storm(person):
        other = await Store.open(database_url, pool_max=1)
        try:
            while ended.count("done") < enough and monotonic_s() < until_s:
                for verdict in ("rejected", "approved"):
                    await replace(fleet, store=other).answer("1.1.0", "prod", verdict, by=person)
        finally:
            await other.close()

    await asyncio.gather(*map(storm, people))
    loop.stop()
    await working
    assert ended.count("done") >= enough, ended
    assert ended.count("stale") >= 1, "the storm met no round: it proves nothing"
    assert "failed" not in ended
    assert "buried" not in ended


# Guards of the tables -------------------------------------------------------------------------------------------------


STATUS_COLUMNS = {
    "job": "status = 'skipped'",
    "move": "state = 'verifying'",
    "rollout": "state = 'aborted'",
    "version": "status = 'paused'",
    "target": "state = 'detached'",
}


@pytest.mark.parametrize("table", sorted(STATUS_COLUMNS))
async def test_a_status_does_not_change_without_its_ledger_row(store, stepper, table):
    fleet = await a_fleet(store, {"one": "prod"})
    await fleet.version("1.0.0")
    await stepper.run()
    with pytest.raises(Bug, match=f"A change of {table}"):
        async with fleet.tx() as tx:
            await tx.record([Change(f"UPDATE {table} SET {STATUS_COLUMNS[table]}")])


async def test_a_target_has_one_open_move(store, stepper):
    fleet = await a_fleet(store, {"one": "prod"})
    await fleet.version("1.0.0")
    loaded = await load(store, fleet.deployment_id)
    plan = decide(loaded.facts, loaded.now)
    await commit(store, loaded, plan)
    with pytest.raises(asyncpg.UniqueViolationError):
        await commit(store, loaded, plan)
    await fleet.version("1.1.0")
    columns = (
        "workspace_id, deployment_id, environment_id, target_id, rollout_id, change_id, kind, version_id, "
        "to_release_id, decision_id, admitted_at"
    )
    async with store.read() as conn:
        with pytest.raises(asyncpg.UniqueViolationError, match="move_one_open"):
            await conn.execute(f"INSERT INTO move (id, {columns}) SELECT gen_random_uuid(), {columns} FROM move")


# What a round costs ---------------------------------------------------------------------------------------------------


PACES = {
    "approval, progression and rollout": {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 0}},
    "waves by zone": {
        "gradualRollout": {"rolloutType": "exponential", "failureDomains": ["zone"], "minimumSamples": 1}
    },
}


@pytest.mark.parametrize("rules", ["none", "approval, progression and rollout", "waves by zone"])
async def test_a_round_takes_as_many_statements_for_a_thousand_targets_as_for_ten(store, stepper, rules):
    counts = {}
    for targets in (10, 1000):
        fleet = await a_fleet(store, {"canary": "staging"})
        if rules != "none":
            await fleet.policy(
                "prod",
                [
                    APPROVAL,
                    PACES[rules],
                    {"environmentProgression": {"dependsOnEnvironmentSelector": 'environment.name == "staging"'}},
                ],
                selector='environment.name == "prod"',
            )
        await many_resources(fleet, targets, env="staging")
        await fleet.version("1.0.0")
        async with store.counting() as count:
            await commit(store, await load(store, fleet.deployment_id))
        assert len(await fleet.jobs()) == targets + 1
        counts[targets] = len(count)
        assert len(count) <= 40, "\n".join(text.partition("\n")[0] for text in count.texts)
    assert counts[10] == counts[1000]


async def many_resources(fleet, number, **metadata):
    """Many resources at once, matched by one look at their environment."""
    async with fleet.tx() as tx:
        await tx.conn.execute(
            "INSERT INTO resource (workspace_id, identifier, name, kind, version, metadata) "
            "SELECT $1, 'host-' || n, 'host-' || n, 'Host', 'v1', $3 FROM generate_series(1, $2) AS n",
            fleet.workspace_id,
            number,
            metadata,
        )
        await match_targets(tx, fleet.workspace_id, Touched(environments=tuple(fleet.environments.values())))

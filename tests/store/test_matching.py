"""Targets follow every change of what they are made of: at once in the change's own transaction, and where two changes
could not see each other, by the second look.

Source: core.md section 2, "Resolved before deciding".
"""

import asyncio
from contextlib import asynccontextmanager

import pytest

from interlock.model.ids import new_id
from interlock.store.agents import save_agent
from interlock.store.deletions import delete_deployment, delete_environment, delete_resource, delete_system
from interlock.store.deployments import save_deployment
from interlock.store.environments import save_environment
from interlock.store.facts import load_facts
from interlock.store.resources import ResourceContent, save_resource
from interlock.store.systems import link, unlink
from interlock.store.tx import Change
from tests.store.fleet import Fleet, Stepper, a_deployment, a_fleet, commit, load


@pytest.fixture
def stepper(store, tmp_path):
    return Stepper(store, tmp_path)


async def states(fleet: Fleet) -> dict[str, str]:
    """Resource name -> state of its target in the fleet's deployment."""
    async with fleet.store.read() as conn:
        rows = await conn.fetch(
            "SELECT r.name, t.state FROM target t JOIN resource r ON r.id = t.resource_id WHERE t.deployment_id = $1",
            fleet.deployment_id,
        )
    return {row["name"]: row["state"] for row in rows}


async def fence_of(fleet):
    async with fleet.store.read() as conn:
        return await conn.fetchval("SELECT fence FROM deployment WHERE id = $1", fleet.deployment_id)


async def an_environment(fleet, tx, *, selector, name="prod"):
    await save_environment(
        tx,
        fleet.workspace_id,
        environment_id=fleet.environments[name],
        name=name,
        description=None,
        resource_selector=selector,
        metadata={},
    )


def child(fleet, kind):
    child_id = fleet.deployment_id if kind == "deployment" else fleet.environments["prod"]
    return {"system_id": fleet.system_id, "child_kind": kind, "child_id": child_id}


# The eight kinds of change --------------------------------------------------------------------------------------------


async def test_a_resource_that_is_created_is_a_target_at_the_next_read(store):
    fleet = await a_fleet(store, {"one": "prod"})
    assert await states(fleet) == {"one": "attached"}
    assert await fleet.is_due("round", fleet.deployment_id)


async def test_a_resource_that_changes_leaves_and_comes_back(store):
    fleet = await a_fleet(store, {"one": "prod", "two": "prod"})
    before = await fence_of(fleet)
    await fleet.resource("one", env="elsewhere")
    assert await states(fleet) == {"one": "detached", "two": "attached"}
    assert await fence_of(fleet) == before + 1, "a target that leaves takes something away"
    await fleet.resource("one", env="prod")
    assert await states(fleet) == {"one": "attached", "two": "attached"}
    assert await fence_of(fleet) == before + 1
    assert [kind for kind in await fleet.told() if kind.startswith("target.")][-2:] == [
        "target.detached",
        "target.attached",
    ]


async def test_a_resource_that_is_deleted_removes_its_target_and_its_history_stays(store, stepper):
    fleet = await a_fleet(store, {"one": "prod"})
    await fleet.version("1.0.0")
    await stepper.run()
    async with fleet.tx() as tx:
        await delete_resource(tx, fleet.workspace_id, identifier="one")
    assert await states(fleet) == {"one": "removed"}
    async with store.read() as conn:
        assert await conn.fetchval("SELECT current_release_id IS NOT NULL FROM target")


async def test_targets_follow_the_selector_of_an_environment(store):
    fleet = await a_fleet(store, {"one": "prod", "two": "staging"})
    async with fleet.tx() as tx:
        await an_environment(fleet, tx, selector='resource.name == "two"')
    async with store.read() as conn:
        rows = await conn.fetch(
            "SELECT r.name, e.name AS environment FROM target t JOIN resource r ON r.id = t.resource_id "
            "JOIN environment e ON e.id = t.environment_id WHERE t.state = 'attached'"
        )
    assert sorted((row["name"], row["environment"]) for row in rows) == [("two", "prod"), ("two", "staging")]


async def test_targets_follow_the_selector_of_a_deployment(store):
    fleet = await a_fleet(store, {"one": "prod", "two": "prod"})
    async with fleet.tx() as tx:
        plain = a_deployment(fleet.deployment_id, "shop-api", selector='resource.name.startsWith("t")')
        await save_deployment(tx, fleet.workspace_id, **plain)
    assert await states(fleet) == {"one": "detached", "two": "attached"}


async def test_an_environment_that_is_deleted_removes_its_targets(store):
    fleet = await a_fleet(store, {"one": "prod", "two": "staging"})
    async with fleet.tx() as tx:
        await delete_environment(tx, fleet.workspace_id, environment_id=fleet.environments["prod"])
    assert await states(fleet) == {"one": "removed", "two": "attached"}


async def test_a_deployment_that_is_deleted_removes_its_targets(store):
    fleet = await a_fleet(store, {"one": "prod"})
    async with fleet.tx() as tx:
        await delete_deployment(tx, fleet.workspace_id, deployment_id=fleet.deployment_id)
    assert await states(fleet) == {"one": "removed"}


@pytest.mark.parametrize("kind", ["deployment", "environment"])
async def test_targets_follow_links_and_unlinks(store, kind):
    fleet = await a_fleet(store, {"one": "prod"})
    async with fleet.tx() as tx:
        await unlink(tx, fleet.workspace_id, **child(fleet, kind))
    assert await states(fleet) == {"one": "detached"}
    async with fleet.tx() as tx:
        await link(tx, fleet.workspace_id, **child(fleet, kind))
    assert await states(fleet) == {"one": "attached"}


async def test_a_system_that_is_deleted_parts_what_it_joined(store):
    fleet = await a_fleet(store, {"one": "prod"})
    async with fleet.tx() as tx:
        await delete_system(tx, fleet.workspace_id, system_id=fleet.system_id)
    assert await states(fleet) == {"one": "detached"}


async def test_a_change_that_changes_no_target_says_nothing_to_the_deployment(store):
    fleet = await a_fleet(store, {"one": "prod"})
    text = "SELECT generation FROM deployment WHERE id = $1"
    async with store.read() as conn:
        before = await conn.fetchval(text, fleet.deployment_id)
    await fleet.resource("one", env="prod", colour="blue")
    await fleet.resource("elsewhere", env="nowhere")
    async with store.read() as conn:
        assert await conn.fetchval(text, fleet.deployment_id) == before


# Two changes that cannot see each other -------------------------------------------------------------------------------


@asynccontextmanager
async def overlapping(fleet):
    """Two transactions, both begun before either commits; the first commits first."""
    async with fleet.tx() as second, fleet.tx() as first:
        yield first, second


async def test_a_resource_and_a_selector_that_were_written_at_once_meet(store, stepper):
    fleet = await a_fleet(store, {"other": "prod"})
    content = ResourceContent("new", "new", "Host", "v1", {}, {"ring": "canary"})
    async with overlapping(fleet) as (first, second):
        await save_resource(first, fleet.workspace_id, content=content, variables=None)
        await an_environment(fleet, second, selector='resource.metadata["ring"] == "canary"')
    assert await states(fleet) == {"other": "detached"}, "neither saw the other"
    await stepper.run(kinds=["match"])
    assert await states(fleet) == {"other": "detached", "new": "attached"}


async def test_a_resource_and_a_selector_that_were_written_at_once_part(store, stepper):
    fleet = await a_fleet(store, {"other": "prod"})
    content = ResourceContent("new", "new", "Host", "v1", {}, {"env": "prod"})
    async with fleet.tx() as first:
        async with fleet.tx() as second:
            await an_environment(fleet, second, selector="false")
            writing = asyncio.create_task(save_resource(first, fleet.workspace_id, content=content, variables=None))
            await asyncio.sleep(0.2)
            assert not writing.done(), "it waits for the deployment, having read the selector that was"
        await writing
    assert await states(fleet) == {"other": "detached", "new": "attached"}, "it did not see the other"
    await stepper.run(kinds=["match"])
    assert await states(fleet) == {"other": "detached", "new": "detached"}


async def test_a_second_look_undoes_nothing_that_was_committed_while_it_waited(store, stepper):
    """It locks before it reads: what it saw before the lock may be over."""
    fleet = await a_fleet(store, {"one": "prod"})
    await stepper.run(kinds=["match"])
    async with store.read() as conn:
        await conn.execute("UPDATE target SET agent_state = 'no_agent'")  # something for the second look to repair
    await fleet.resource("two", env="nowhere")
    async with fleet.tx() as tx:
        await an_environment(fleet, tx, selector="false")  # holds the deployment
        looking = asyncio.create_task(stepper.step("match"))
        await asyncio.sleep(0.2)
    await looking
    await stepper.run(kinds=["match"])
    assert await states(fleet) == {"one": "detached"}


# Policies and agents --------------------------------------------------------------------------------------------------


async def policy_names_of(store, deployment_id):
    async with store.snapshot() as conn:
        facts = (await load_facts(conn, deployment_id)).facts
    return [
        sorted(facts.policies[policy_id].name for policy_id in facts.policy_sets[target.policy_set])
        for target in facts.targets.values()
    ]


async def test_a_policy_reaches_the_targets_that_it_selects_with_its_own_commit(store):
    fleet = await a_fleet(store, {"one": "prod"})
    before = await fence_of(fleet)
    rule = {"anyApproval": {"minApprovals": 1}}
    await fleet.policy("mine", [rule], selector='environment.name == "prod"')
    await fleet.policy("other", [rule], selector='environment.name == "staging"')
    assert await policy_names_of(store, fleet.deployment_id) == [["mine"]]
    assert await fence_of(fleet) > before, "other policies take something away"


async def test_a_policy_that_is_committed_while_a_target_is_made_is_not_missed(store, stepper):
    fleet = await a_fleet(store, {})
    fleet.environments["prod"] = new_id()
    async with fleet.tx() as tx:
        await an_environment(fleet, tx, selector="true")
        await link(tx, fleet.workspace_id, **child(fleet, "environment"))
    content = ResourceContent("new", "new", "Host", "v1", {}, {})
    ready, go = asyncio.Event(), asyncio.Event()

    async def slow_policy():
        async with fleet.tx() as tx:
            # what save_policy does in a workspace with many targets: the fence now, the match after its commit
            await tx.record([Change("UPDATE workspace SET policies_fence = policies_fence + 1")])
            ready.set()
            await go.wait()

    writing_policy = asyncio.create_task(slow_policy())
    await ready.wait()

    async def make_target():
        async with fleet.tx() as tx:
            await save_resource(tx, fleet.workspace_id, content=content, variables=None)

    making = asyncio.create_task(make_target())
    await asyncio.sleep(0.2)
    assert not making.done(), "it waits for the policy that is being written"
    go.set()
    await asyncio.gather(writing_policy, making)
    assert await states(fleet) == {"new": "attached"}


async def test_while_policies_are_not_matched_a_big_workspace_starts_nothing(store, stepper):
    fleet = await a_fleet(store, {"one": "prod"})
    async with fleet.tx() as tx:
        await tx.conn.execute(
            "INSERT INTO resource (workspace_id, identifier, name, kind, version, metadata) "
            "SELECT $1, 'host-' || n, 'host-' || n, 'Host', 'v1', $2 FROM generate_series(1, 1100) AS n",
            fleet.workspace_id,
            {"env": "prod"},
        )
        await an_environment(fleet, tx, selector='resource.metadata["env"] == "prod"')
    await fleet.policy("approve", [{"anyApproval": {"minApprovals": 1}}])
    await fleet.version("1.0.0")
    loaded = await load(store, fleet.deployment_id)
    assert not loaded.facts.policies_matched
    assert not (await commit(store, loaded)).plan.jobs
    await stepper.run(kinds=["match", "wake"])
    loaded = await load(store, fleet.deployment_id)
    assert loaded.facts.policies_matched
    assert {target.policy_set is not None for target in loaded.facts.targets.values()} == {True}
    plan = (await commit(store, loaded)).plan
    assert not plan.jobs
    assert len(plan.requests) == 1, "a person is asked, once"


async def test_an_agent_that_changes_gives_its_targets_another_config(store, stepper):
    fleet = await a_fleet(store, {"one": "prod"})
    text = "SELECT config_digest FROM target"
    async with store.read() as conn:
        before = await conn.fetchval(text)
    async with fleet.tx() as tx:
        config = {"delaySeconds": 1}
        await save_agent(
            tx,
            fleet.workspace_id,
            agent_id=fleet.agent_id,
            name="runner",
            kind="test-runner",
            config=config,
            metadata={},
        )
    async with store.read() as conn:
        assert await conn.fetchval(text) != before


# Targets that leave while something runs ------------------------------------------------------------------------------


async def test_a_target_that_leaves_while_its_job_runs_is_cancelled(store, stepper):
    fleet = await a_fleet(store, {"one": "prod", "two": "prod"}, agent_config={"delaySeconds": 60})
    await fleet.version("1.0.0")
    await stepper.run(kinds=["round", "dispatch"])
    await fleet.resource("one", env="elsewhere")
    await stepper.run(patience_s=0.1)
    jobs = {job["status"] for job in await fleet.jobs()}
    assert jobs == {"cancelled", "inProgress"}
    async with store.read() as conn:
        rows = await conn.fetch("SELECT m.state, t.state AS target FROM move m JOIN target t ON t.id = m.target_id")
    assert {(row["target"], row["state"]) for row in rows} == {("detached", "cancelled"), ("attached", "running")}


async def test_a_target_that_leaves_before_its_job_was_handed_over_is_withdrawn(store, stepper):
    fleet = await a_fleet(store, {"one": "prod"}, agent_config={"delaySeconds": 60})
    await fleet.version("1.0.0")
    await stepper.run(kinds=["round"])
    await fleet.resource("one", env="elsewhere")
    await stepper.run(patience_s=0.1)
    assert (await fleet.one_job())["status"] == "skipped"
    assert "job.handed_over" not in await fleet.told()


# How much a change costs ----------------------------------------------------------------------------------------------


async def test_a_changed_resource_costs_as_many_statements_with_many_deployments(store):
    counts = []
    for deployments in (1, 60):
        fleet = await a_fleet(store, {"one": "prod"})
        for number in range(deployments - 1):
            await fleet.deployment(f"app-{number}")
        async with store.counting() as count:
            await fleet.resource("two", env="prod")
        counts.append(len(count))
    assert counts[0] == counts[1]

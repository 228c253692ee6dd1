"""A deletion ends what concerns the thing, and nothing else: what waits, what runs, what people set, what was asked."""

from __future__ import annotations

from typing import Any

import pytest

from interlock.model.errors import Conflict
from interlock.model.ids import new_id
from interlock.store.approvals import list_requests
from interlock.store.deletions import delete_deployment, delete_environment, delete_resource, delete_system
from interlock.store.deployments import save_deployment
from interlock.store.endings import count_endings, find_named, list_pointing
from interlock.store.environments import save_environment
from interlock.store.freezes import set_freeze
from interlock.store.pins import set_pin
from interlock.store.providers import save_provider
from interlock.store.rollouts import list_rollouts
from interlock.store.syncs import set_resources
from interlock.store.tx import Store
from tests.store.fleet import Fleet, Stepper, a_deployment, a_fleet

HOSTS = {"one": "prod", "two": "prod", "lab": "staging"}


@pytest.fixture
def stepper(store: Store, tmp_path: Any) -> Stepper:
    return Stepper(store, tmp_path)


async def states(store: Store) -> dict[str, tuple[str, str]]:
    """Target -> the state of its newest move and the status of its newest job."""
    async with store.read() as conn:
        rows = await conn.fetch(
            "SELECT DISTINCT ON (r.name) r.name, m.state, j.status FROM move m JOIN job j ON j.move_id = m.id "
            "JOIN target t ON t.id = m.target_id JOIN resource r ON r.id = t.resource_id "
            "ORDER BY r.name, m.admitted_at DESC, j.created_at DESC"
        )
    return {row["name"]: (row["state"], row["status"]) for row in rows}


async def open_things(store: Store) -> dict[str, int]:
    """How much of each kind is open."""
    texts = {
        "moves": "SELECT count(*) FROM move WHERE closed_at IS NULL",
        "jobs": "SELECT count(*) FROM job WHERE completed_at IS NULL",
        "rollouts": "SELECT count(*) FROM rollout WHERE state IN ('open', 'paused', 'halted')",
        "orders": "SELECT count(*) FROM steering_order WHERE state = 'open'",
        "pins": "SELECT count(*) FROM pin WHERE removed_at IS NULL",
        "freezes": 'SELECT count(*) FROM "freeze" WHERE thawed_at IS NULL',
        "slots": "SELECT count(*) FROM slot",
    }
    async with store.read() as conn:
        found = {word: await conn.fetchval(text) for word, text in texts.items()}
    return {word: number for word, number in found.items() if number}


async def running(store: Store, stepper: Stepper) -> Fleet:
    """A fleet of which every target has a running job."""
    fleet = await a_fleet(store, HOSTS, agent_config={"delaySeconds": 60})
    await fleet.version("1.0.0")
    await stepper.run(kinds=["round", "dispatch"])
    assert set((await states(store)).values()) == {("running", "inProgress")}
    return fleet


async def test_a_deleted_deployment_ends_what_runs_and_what_waits(store: Store, stepper: Stepper) -> None:
    fleet = await running(store, stepper)
    async with fleet.tx() as tx:
        await delete_deployment(tx, fleet.workspace_id, deployment_id=fleet.deployment_id)
    async with store.read() as conn:
        reasons = {row["cancel_reason"] for row in await conn.fetch("SELECT cancel_reason FROM job")}
        asked = await conn.fetch("SELECT actor_id FROM ledger WHERE kind = 'job.cancel_asked'")
    assert reasons == {"The deployment shop-api was deleted."}
    assert {row["actor_id"] for row in asked} == {fleet.admin_id}, "who deleted it asked"
    await stepper.run(patience_s=0.1)
    assert set((await states(store)).values()) == {("cancelled", "cancelled")}
    assert await open_things(store) == {}, "its rounds went on until nothing was open"


async def test_a_deleted_deployment_takes_back_what_nobody_has(store: Store, stepper: Stepper) -> None:
    fleet = await a_fleet(store, HOSTS, agent_config={"delaySeconds": 60})
    await fleet.version("1.0.0")
    await stepper.run(kinds=["round"])
    async with fleet.tx() as tx:
        await delete_deployment(tx, fleet.workspace_id, deployment_id=fleet.deployment_id)
    await stepper.run(patience_s=0.1)
    assert set((await states(store)).values()) == {("withdrawn", "skipped")}
    assert "job.handed_over" not in await fleet.told()
    assert await open_things(store) == {}


async def test_a_deleted_environment_ends_its_own_and_the_others_go_on(store: Store, stepper: Stepper) -> None:
    fleet = await running(store, stepper)
    async with fleet.tx() as tx:
        await delete_environment(tx, fleet.workspace_id, environment_id=fleet.environments["prod"])
    await stepper.run(patience_s=0.1)
    assert await states(store) == {
        "one": ("cancelled", "cancelled"),
        "two": ("cancelled", "cancelled"),
        "lab": ("running", "inProgress"),
    }
    async with store.read() as conn:
        rollouts, _ = await list_rollouts(conn, fleet.workspace_id)
    assert {one.environment: one.state for one in rollouts} == {"prod": "aborted", "staging": "open"}


@pytest.mark.parametrize("by_set", [False, True])
async def test_a_deleted_resource_ends_its_own_and_the_rollout_goes_on(
    store: Store, stepper: Stepper, *, by_set: bool
) -> None:
    fleet = await running(store, stepper)
    if by_set:
        async with fleet.tx() as tx:
            provider = await save_provider(tx, fleet.workspace_id, name="cloud", wanted_id=None, metadata={})
            await tx.conn.execute("UPDATE resource SET provider_id = $1 WHERE name = 'one'", provider.id)
        await set_resources(store, fleet.tx, fleet.workspace_id, provider_id=provider.id, offered=(), remove_max=9)
    else:
        async with fleet.tx() as tx:
            await delete_resource(tx, fleet.workspace_id, identifier="one")
    await stepper.run(patience_s=0.1)
    found = await states(store)
    assert found["one"] == ("cancelled", "cancelled") and found["two"] == ("running", "inProgress")
    async with store.read() as conn:
        reason = await conn.fetchval("SELECT cancel_reason FROM job WHERE cancel_reason IS NOT NULL")
        rollouts, _ = await list_rollouts(conn, fleet.workspace_id)
    assert reason == ("The resource was deleted." if by_set else "The resource one was deleted.")
    assert {one.environment: one.state for one in rollouts} == {"prod": "open", "staging": "open"}


async def test_what_people_set_on_it_ends_with_it(store: Store, stepper: Stepper) -> None:
    fleet = await a_fleet(store, HOSTS)
    version_id = await fleet.version("1.0.0")
    await stepper.run()
    prod = fleet.environments["prod"]
    async with fleet.tx() as tx:
        await set_pin(
            tx, fleet.workspace_id, deployment_id=fleet.deployment_id, version_id=version_id, environment_id=prod,
            target_id=None, reason="keep", expires_at=None, author_id=fleet.admin_id,
        )  # fmt: skip
        await set_freeze(
            tx, fleet.workspace_id, scope_kind="environment", scope_id=prod, selector=None, reason="no",
            incident_url=None, expires_at=None, author_id=fleet.admin_id,
        )  # fmt: skip
    assert await open_things(store) == {"pins": 1, "freezes": 1}
    async with store.read() as conn:
        counted = await count_endings(conn, fleet.workspace_id, kind="environment", object_id=prod)
    assert (counted.targets, counted.pins, counted.freezes, counted.links) == (2, 1, 1, 1)
    async with fleet.tx() as tx:
        await delete_environment(tx, fleet.workspace_id, environment_id=prod)
    assert await open_things(store) == {}
    assert {"pin.removed", "freeze.thawed", "environment.deleted"} <= set(await fleet.told())
    async with store.read() as conn:
        body = await conn.fetchval(
            "SELECT convert_from(body, 'UTF8')::jsonb FROM ledger WHERE kind = 'environment.deleted'"
        )
    assert body == {"name": "prod", "pins": 1, "freezes": 1}


async def test_nobody_is_asked_any_more_about_what_is_gone(store: Store, stepper: Stepper) -> None:
    fleet = await a_fleet(store, HOSTS)
    await fleet.policy("careful", [{"anyApproval": {"minApprovals": 1}}])
    await fleet.version("1.0.0")
    await stepper.run(patience_s=0.1)
    async with store.read() as conn:
        before, _ = await list_requests(conn, fleet.workspace_id, status="open", limit=10)
    assert {one.environment for one in before} == {"prod", "staging"}
    async with fleet.tx() as tx:
        await delete_environment(tx, fleet.workspace_id, environment_id=fleet.environments["prod"])
    async with store.read() as conn:
        after, _ = await list_requests(conn, fleet.workspace_id, status="open", limit=10)
    assert {one.environment for one in after} == {"staging"}


async def test_a_deleted_system_parts_what_it_joined_and_a_name_is_free_again(store: Store, stepper: Stepper) -> None:
    fleet = await running(store, stepper)
    async with fleet.tx() as tx:
        await delete_system(tx, fleet.workspace_id, system_id=fleet.system_id)
    await stepper.run(patience_s=0.1)
    assert set((await states(store)).values()) == {("cancelled", "cancelled")}
    assert "jobs" not in await open_things(store)


async def test_an_id_lives_once_and_a_name_again_with_a_history_of_its_own(store: Store) -> None:
    fleet = await a_fleet(store, {"one": "prod"})
    prod, gone = fleet.environments["prod"], fleet.deployment_id
    async with fleet.tx() as tx:
        await delete_environment(tx, fleet.workspace_id, environment_id=prod)
        await delete_deployment(tx, fleet.workspace_id, deployment_id=gone)
    with pytest.raises(Conflict, match="was deleted"):
        async with fleet.tx() as tx:
            await save_deployment(tx, fleet.workspace_id, **a_deployment(gone, "shop-api"))
    again = new_id()
    async with fleet.tx() as tx:
        await save_deployment(tx, fleet.workspace_id, **a_deployment(again, "shop-api"))
        await save_environment(
            tx, fleet.workspace_id, environment_id=new_id(), name="prod", description=None, resource_selector="true",
            metadata={},
        )  # fmt: skip
    async with store.read() as conn:
        rows = await conn.fetch(
            "SELECT subject_id, refs, convert_from(body, 'UTF8')::jsonb ->> 'formerly' AS formerly FROM ledger "
            "WHERE kind IN ('deployment.created', 'environment.created') ORDER BY id DESC LIMIT 2"
        )
        live = await find_named(conn, fleet.workspace_id, kind="deployment", name="shop-api")
        async with fleet.tx() as tx:
            await delete_deployment(tx, fleet.workspace_id, deployment_id=again)
        last = await find_named(conn, fleet.workspace_id, kind="", name="shop-api")
    assert {row["formerly"] for row in rows} == {prod, gone}
    assert all(row["formerly"] in row["refs"] for row in rows), "the one before finds it in its own history"
    assert live is not None and last is not None and live.id == last.id == again


async def test_rules_that_point_at_it_are_known_before(store: Store) -> None:
    fleet = await a_fleet(store, HOSTS)
    await fleet.policy(
        "staged", [{"environmentProgression": {"dependsOnEnvironmentSelector": 'environment.name == "staging"'}}]
    )
    async with store.read() as conn:
        for name, policies in (("staging", ["staged"]), ("prod", [])):
            found = await list_pointing(
                conn, fleet.workspace_id, kind="environment", object_id=fleet.environments[name], view={"name": name}
            )
            assert [one.policy for one in found] == policies

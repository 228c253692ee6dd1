"""Pins, skips and bypasses on the real database: what they let happen, what they keep, how they end, what is told.

Source: core.md sections 2 and 4; reference-behaviour.md 3.4, 4.14.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from interlock.agents.test_runner import TestRunnerAgent
from interlock.model.errors import Conflict, Invalid, NotFound
from interlock.store import freezes, jobs, pins, skips, target_states
from interlock.store.expiries import note_expiry
from interlock.store.tx import Store
from tests.store.fleet import APPROVAL, Stepper, a_fleet


class Clock:
    """A clock that a test moves; a look at it takes a millisecond, so that no two facts are of one instant."""

    def __init__(self):
        self.at = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)

    def __call__(self):
        self.at += timedelta(milliseconds=1)
        return self.at

    def forward(self, seconds):
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def timed(database_url, clock):
    """A store whose time is the test's."""
    opened = await Store.open(database_url, clock=clock)
    yield opened
    await opened.close()


class TimedStepper(Stepper):
    """A worker that lets what is due within seconds come: it moves the clock."""

    async def run(self, *, kinds=None, seconds=6, **more):
        for _ in range(seconds):
            await super().run(kinds=kinds, patience_s=0, **more)
            self.clock.forward(1)
        return await super().run(kinds=kinds, patience_s=0, **more)


@pytest.fixture
def stepper(timed, clock, tmp_path):
    made = TimedStepper(timed, tmp_path, agents={"test-runner": TestRunnerAgent(now=clock)})
    made.clock = clock
    return made


@pytest.fixture
async def fleet(timed):
    return await a_fleet(timed, {"one": "prod", "two": "prod", "lab-1": "lab"})


async def target_id(fleet, name: str) -> str:
    async with fleet.store.read() as conn:
        return await conn.fetchval("SELECT id FROM target WHERE resource_id = $1", fleet.resources[name])


async def pin(fleet, tag: str, *, environment=None, target=None, expires_at=None, reason="we look"):
    async with fleet.tx() as tx:
        made, _ = await pins.set_pin(
            tx,
            fleet.workspace_id,
            deployment_id=fleet.deployment_id,
            version_id=fleet.versions[tag],
            environment_id=fleet.environments[environment] if environment else None,
            target_id=await target_id(fleet, target) if target else None,
            reason=reason,
            expires_at=expires_at,
            author_id=fleet.admin_id,
        )
    return made


async def unpin(fleet, pin_id: str):
    async with fleet.tx() as tx:
        return await pins.remove_pin(tx, fleet.workspace_id, pin_id=pin_id, reason="enough", author_id=fleet.admin_id)


async def skip(fleet, tag: str, name: str, *, environment=None, resource=None, expires_at=None):
    async with fleet.tx() as tx:
        made, _ = await skips.set_skip(
            tx,
            fleet.workspace_id,
            name=name,
            deployment_id=fleet.deployment_id,
            version_id=fleet.versions[tag],
            environment_id=fleet.environments[environment] if environment else None,
            resource_id=fleet.resources[resource] if resource else None,
            reason="the fix cannot wait",
            expires_at=expires_at,
            author_id=fleet.admin_id,
        )
    return made


async def unskip(fleet, skip_id: str):
    async with fleet.tx() as tx:
        return await skips.remove_skip(
            tx, fleet.workspace_id, skip_id=skip_id, reason="enough", author_id=fleet.admin_id
        )


async def said(fleet, name: str) -> list[dict[str, object]]:
    """The verdicts on a target's row."""
    async with fleet.store.read() as conn:
        targets, _ = await target_states.list_targets(conn, fleet.workspace_id, deployment_id=fleet.deployment_id)
    return list(next(each for each in targets if each.resource == name).verdicts)


# Pins -----------------------------------------------------------------------------------------------------------------


async def test_a_pin_set_with_no_worker_running_takes_hold_when_one_comes(fleet, stepper):
    await fleet.version("1.0.0")
    await stepper.run()
    await fleet.version("2.0.0")
    await pin(fleet, "1.0.0", target="one")
    await stepper.run()
    assert await fleet.where() == {"one": "1.0.0", "two": "2.0.0", "lab-1": "2.0.0"}
    (verdict,) = await said(fleet, "one")
    assert verdict["reason"] == "pin_in_force" and verdict["outcome"] == "pass"
    assert verdict["values"]["why"] == "we look" and verdict["values"]["by"].startswith("admin-")
    assert verdict["since"]


async def test_a_pin_moves_back_and_its_removal_lets_go_on_to_what_is_newer(fleet, stepper):
    await fleet.version("1.0.0")
    await stepper.run()
    await fleet.version("2.0.0")
    await stepper.run()
    made = await pin(fleet, "1.0.0", environment="prod")
    assert (made.scope, made.targets) == ("environment", 2)
    await stepper.run()
    assert await fleet.where() == {"one": "1.0.0", "two": "1.0.0", "lab-1": "2.0.0"}
    over = await unpin(fleet, made.id)
    assert not over.in_force and over.remove_reason == "enough" and over.removed_by is not None
    await stepper.run()
    assert set((await fleet.where()).values()) == {"2.0.0"}
    told = await fleet.told()
    assert told.count("pin.set") == told.count("pin.removed") == 1
    with pytest.raises(Conflict):
        await unpin(fleet, made.id)


async def test_a_pin_that_ends_by_itself_brings_nothing_back_that_it_left_but_lets_newer_versions_go_on(
    fleet, stepper, clock
):
    await fleet.version("1.0.0")
    await stepper.run()
    await fleet.version("2.0.0")
    await stepper.run()
    await pin(fleet, "1.0.0", target="one", expires_at=clock() + timedelta(hours=1))
    await stepper.run()
    assert (await fleet.where())["one"] == "1.0.0"
    clock.forward(3601)
    await stepper.run()
    assert "pin.expired" in await fleet.told(), "by a worker, soon after"
    assert (await fleet.where())["one"] == "1.0.0", "nobody looks on at that instant"
    await fleet.version("3.0.0")
    await stepper.run()
    assert set((await fleet.where()).values()) == {"3.0.0"}


async def test_the_job_of_a_pin_that_has_ended_is_not_handed_over(fleet, stepper, clock):
    await fleet.version("1.0.0")
    await stepper.run()
    await fleet.version("2.0.0")
    await stepper.run()
    await pin(fleet, "1.0.0", target="one", expires_at=clock() + timedelta(hours=1))
    await stepper.run(kinds=["round"])
    job = (await fleet.jobs())[-1]
    assert job["status"] == "pending" and job["valid_until"] is not None
    clock.forward(3601)
    assert await stepper.step("dispatch")
    assert (await fleet.jobs())[-1]["handover"] == "waiting"
    await stepper.run()
    assert (await fleet.where())["one"] == "2.0.0"


async def test_one_place_has_one_pin_and_the_same_pin_twice_is_one(fleet, stepper):
    await fleet.version("1.0.0")
    await fleet.version("2.0.0")
    first = await pin(fleet, "1.0.0", environment="prod")
    again = await pin(fleet, "1.0.0", environment="prod")
    assert again.id == first.id
    second = await pin(fleet, "2.0.0", environment="prod")
    narrower = await pin(fleet, "1.0.0", target="one")
    async with fleet.store.read() as conn:
        listed, total = await pins.list_pins(conn, fleet.workspace_id, deployment_id=fleet.deployment_id)
        every, _ = await pins.list_pins(conn, fleet.workspace_id, over_too=True)
    assert total == 2 and {each.id for each in listed} == {second.id, narrower.id}
    assert next(each for each in every if each.id == first.id).remove_reason == pins.REPLACED
    await stepper.run()
    assert await fleet.where() == {"one": "1.0.0", "two": "2.0.0", "lab-1": "2.0.0"}


async def test_an_end_that_has_passed_is_refused(fleet, clock):
    await fleet.version("1.0.0")
    with pytest.raises(Invalid):
        await pin(fleet, "1.0.0", expires_at=clock() - timedelta(seconds=1))
    with pytest.raises(Invalid):
        await skip(fleet, "1.0.0", "kind:anyApproval", expires_at=clock())


# Skips ----------------------------------------------------------------------------------------------------------------


async def test_a_skip_passes_one_rule_for_one_version_where_it_says_and_names_who_and_why(fleet, stepper):
    policy_id = await fleet.policy("careful", [APPROVAL])
    await fleet.version("1.0.0")
    await stepper.run()
    assert set((await fleet.where()).values()) == {None}
    rule_id = f"{policy_id[:8]}-0"
    made = await skip(fleet, "1.0.0", rule_id, environment="prod", resource="one")
    assert (made.policy, made.rule_kind, made.orphaned) == ("careful", "anyApproval", False)
    await stepper.run()
    assert await fleet.where() == {"one": "1.0.0", "two": None, "lab-1": None}
    await unskip(fleet, made.id)
    await stepper.run()
    assert (await fleet.where())["one"] == "1.0.0", "gates judge moves: what a skip let start stays"
    await skip(fleet, "1.0.0", "kind:anyApproval", environment="lab")
    await stepper.run()
    assert await fleet.where() == {"one": "1.0.0", "two": None, "lab-1": "1.0.0"}
    told = await fleet.told()
    assert told.count("skip.set") == 2 and told.count("skip.removed") == 1


async def test_an_expired_skip_is_noted_and_undoes_nothing(fleet, stepper, clock):
    policy_id = await fleet.policy("careful", [APPROVAL])
    await fleet.version("1.0.0")
    expires_at = clock() + timedelta(hours=1)
    await skip(fleet, "1.0.0", f"{policy_id[:8]}-0", resource="one", expires_at=expires_at)
    await stepper.run()
    assert (await fleet.where())["one"] == "1.0.0"
    clock.forward(3601)
    await stepper.run()
    assert (await fleet.where())["one"] == "1.0.0"
    assert (await fleet.told()).count("skip.expired") == 1


async def test_a_skip_survives_its_policys_writes_and_is_orphaned_when_the_rule_is_gone(fleet):
    policy_id = await fleet.policy("careful", [APPROVAL])
    await fleet.version("1.0.0")
    made = await skip(fleet, "1.0.0", f"{policy_id[:8]}-0")
    await fleet.policy("careful", [{"anyApproval": {"minApprovals": 2}}])
    async with fleet.store.read() as conn:
        assert not (await skips.find_skip(conn, fleet.workspace_id, skip_id=made.id)).orphaned
    await fleet.policy("careful", [])
    async with fleet.store.read() as conn:
        found = await skips.find_skip(conn, fleet.workspace_id, skip_id=made.id)
        assert found.orphaned and found.in_force and found.rule_kind is None


async def test_only_gates_are_skipped_and_what_is_not_says_what_to_do_instead(fleet):
    policy_id = await fleet.policy("paced", [{"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 60}}])
    async with fleet.store.read() as conn:
        with pytest.raises(Invalid, match="promote the rollout"):
            await skips.name_of_rule(conn, fleet.workspace_id, rule_id=f"{policy_id[:8]}-0")
        with pytest.raises(NotFound):
            await skips.name_of_rule(conn, fleet.workspace_id, rule_id="nobody-0")
    with pytest.raises(Invalid, match="freezeId"):
        skips.name_of_kind("freeze")
    with pytest.raises(Invalid, match="pin the target"):
        skips.name_of_kind("versionSelector")
    with pytest.raises(Invalid, match="anyApproval"):
        skips.name_of_kind("moon")


# Freezes --------------------------------------------------------------------------------------------------------------


async def test_a_bypass_passes_its_own_freeze_and_no_later_one(fleet, stepper, clock):
    await fleet.version("1.0.0")
    freeze_id = await fleet.freeze()
    with pytest.raises(Invalid, match="must have an end"):
        await skip(fleet, "1.0.0", f"freeze:{freeze_id}")
    expires_at = clock() + timedelta(hours=1)
    await skip(fleet, "1.0.0", f"freeze:{freeze_id}", resource="one", expires_at=expires_at)
    await stepper.run()
    assert await fleet.where() == {"one": "1.0.0", "two": None, "lab-1": None}
    later = await fleet.freeze()
    await skip(fleet, "1.0.0", f"freeze:{freeze_id}", environment="prod", expires_at=expires_at)
    await stepper.run()
    assert (await fleet.where())["two"] is None, "the later freeze holds all the same"
    await fleet.thaw(later)
    await stepper.run()
    assert await fleet.where() == {"one": "1.0.0", "two": "1.0.0", "lab-1": None}
    async with fleet.store.read() as conn:
        await fleet.thaw(freeze_id)
        listed, _ = await skips.list_skips(conn, fleet.workspace_id)
        assert {each.freeze_reason for each in listed} == {"incident"} and all(each.orphaned for each in listed)
        with pytest.raises(Conflict):
            await skips.name_of_freeze(conn, fleet.workspace_id, freeze_id=freeze_id)


async def test_a_freeze_that_ends_is_noted_once_also_after_it_was_extended(fleet, stepper, clock):
    await fleet.version("1.0.0")
    async with fleet.tx() as tx:
        freeze = await freezes.set_freeze(
            tx,
            fleet.workspace_id,
            scope_kind="deployment",
            scope_id=fleet.deployment_id,
            selector=None,
            reason="incident",
            incident_url=None,
            expires_at=clock() + timedelta(hours=1),
            author_id=fleet.admin_id,
        )
        until = clock() + timedelta(hours=2)
        await freezes.extend_freeze(tx, fleet.workspace_id, freeze_id=freeze.id, expires_at=until)
    clock.forward(3601)
    await stepper.run()
    assert "freeze.expired" not in await fleet.told()
    assert set((await fleet.where()).values()) == {None}
    clock.forward(3600)
    await stepper.run()
    assert (await fleet.told()).count("freeze.expired") == 1
    assert set((await fleet.where()).values()) == {"1.0.0"}
    async with fleet.tx() as tx:
        assert await note_expiry(tx, fleet.workspace_id, kind="freeze", subject_id=freeze.id) is None
    assert (await fleet.told()).count("freeze.expired") == 1


# Jobs -----------------------------------------------------------------------------------------------------------------


async def test_a_cancel_is_asked_once_by_a_person_and_never_of_what_is_over(fleet, stepper):
    await fleet.version("1.0.0")
    await stepper.run(kinds=["round"])
    job = (await fleet.jobs())[0]
    async with fleet.tx() as tx:
        assert await jobs.cancel_job(tx, job["id"], reason="not today")
        assert not await jobs.cancel_job(tx, job["id"], reason="not today")
    await stepper.run()
    async with fleet.tx() as tx:
        with pytest.raises(Conflict):
            await jobs.cancel_job(tx, job["id"], reason="again")
        with pytest.raises(NotFound):
            await jobs.cancel_job(tx, fleet.deployment_id, reason="again")
        asked = await tx.conn.fetchval("SELECT convert_from(body, 'UTF8') FROM ledger WHERE kind = 'job.cancel_asked'")
    assert "not today" not in asked, "no personal text in the ledger"

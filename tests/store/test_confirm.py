"""A run plans first and waits: Interlock judges it again, and confirms it once. On a real database, against the API of
Terraform Cloud on loopback.

Source: core.md section 5.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import pytest

from conftest import TEST_KEY
from interlock.agents.tfe import TfeAgent
from interlock.decide import work_out
from interlock.decide.standing import State, standing_of
from interlock.model.errors import Stale
from interlock.model.ids import new_id
from interlock.model.job import Confirm
from interlock.model.workflow import Workflow
from interlock.outside.go_templates import GoTemplates
from interlock.outside.http import Http
from interlock.outside.secrets import Keyring
from interlock.store.confirms import begin_confirm
from interlock.store.jobs import find_flow_job
from interlock.store.tx import Change, Store
from interlock.store.workflows import save_workflow, start_run
from tests.agents.stub_server import serving
from tests.agents.tfe_server import TfeServer
from tests.store.fleet import APPROVAL, Stepper, a_fleet, a_member, commit, load


class Clock:
    """A clock that a test moves."""

    def __init__(self):
        self.at = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)

    def __call__(self):
        return self.at

    def forward(self, seconds):
        self.at += timedelta(seconds=seconds)


class Story:
    """A fleet whose only agent is Terraform Cloud, and its clock."""

    def __init__(self, store, clock, server, stepper):
        self.store, self.clock, self.server, self.stepper = store, clock, server, stepper

    async def begin(self, name="web-{{ .version.tag }}", **config):
        whole = {
            "address": self.server.url,
            "token": self.server.token,
            "organization": self.server.organization,
            "template": f"name: {name}",
            **config,
        }
        self.fleet = await a_fleet(self.store, {"one": "prod"}, agent_type="tfe", agent_config=whole)
        return self.fleet

    async def go(self, until, looks_max=30):
        """Let time pass until something is so."""
        for _ in range(looks_max):
            await self.stepper.run()
            if await until():
                return
            self.clock.forward(12)
        raise AssertionError([dict(job) for job in await self.fleet.jobs()])

    async def has(self, **columns):
        job = (await self.fleet.jobs())[-1]
        return all(job[name] == value for name, value in columns.items())

    async def until(self, **columns):
        await self.go(lambda: self.has(**columns))
        return (await self.fleet.jobs())[-1]

    async def planned(self, **config):
        """A version's run is planned and waits, and no round has judged that."""
        await self.begin(**config)
        await self.fleet.version("1.0.0")
        for _ in range(20):
            await self.stepper.run(kinds=["round", "dispatch"])
            self.clock.forward(12)
            await self.stepper.run(kinds=["observe"])
            if await self.has(status="actionRequired"):
                return await self.fleet.one_job()
        raise AssertionError("it is never planned")

    def applied(self):
        return self.server.count("POST", "/actions/apply")

    def states(self):
        return [run["attributes"]["status"] for run in self.server.runs.values()]


@pytest.fixture
async def story(database_url, tmp_path):
    clock = Clock()
    store = await Store.open(database_url, clock=clock, keyring=Keyring([TEST_KEY]))
    async with serving(TfeServer(brief=True)) as server, Http(allow_private_addresses=True) as http:
        agent = TfeAgent(http, GoTemplates())
        yield Story(store, clock, server, Stepper(store, tmp_path, agents={"tfe": agent}))
    await store.close()


async def test_a_version_is_planned_held_by_a_freeze_confirmed_after_the_thaw_and_applied_once(story):
    job = await story.planned()
    assert job["confirm"] == "asked"
    assert "Planned; it waits to be confirmed. Plan: 2 to add" in job["message"]
    freeze = await story.fleet.freeze()
    for _ in range(4):
        await story.stepper.run()
        story.clock.forward(12)
    assert await story.has(status="actionRequired", confirm="asked")
    assert story.applied() == 0
    loaded = await load(story.store, story.fleet.deployment_id)
    worked = work_out(loaded.facts, loaded.now)
    (target,) = worked.index.facts.targets.values()
    standing = standing_of(worked, target, worked.index.newest_first[0])
    assert standing.state is State.HELD
    assert [one.verdict.reason for one in standing.bars] == ["frozen"]
    await story.fleet.thaw(freeze)
    await story.until(status="successful")
    assert await story.fleet.where() == {"one": "1.0.0"}
    assert (story.applied(), story.states()) == (1, ["applied"])
    told = await story.fleet.told()
    wanted = ["job.confirm_asked", "job.confirm_admitted", "job.confirmed", "move.succeeded"]
    assert [kind for kind in told if kind in wanted] == wanted


async def test_a_superseded_run_is_discarded_and_the_newer_version_goes(story):
    await story.planned()
    await story.fleet.version("2.0.0")
    await story.go(lambda: story.has(status="successful"))
    first, second = await story.fleet.jobs()
    assert (first["status"], first["cancel_reason"]) == ("cancelled", "newer_version")
    assert story.states() == ["discarded", "applied"]
    assert second["status"] == "successful"
    assert await story.fleet.where() == {"one": "2.0.0"}


async def test_with_auto_apply_nothing_is_confirmed(story):
    await story.begin(autoApply=True)
    await story.fleet.version("1.0.0")
    await story.until(status="successful")
    assert story.applied() == 0
    assert "job.confirm_asked" not in await story.fleet.told()


async def test_an_approval_that_is_withdrawn_while_it_waits_holds_it(story):
    await story.begin()
    person = await a_member(story.fleet, "ann")
    await story.fleet.policy("approve", [APPROVAL])
    await story.fleet.version("1.0.0")
    await story.stepper.run()
    await story.fleet.answer("1.0.0", "prod", "approved", by=person)
    for _ in range(20):
        await story.stepper.run(kinds=["round", "dispatch"])
        story.clock.forward(12)
        await story.stepper.run(kinds=["observe"])
        if await story.has(status="actionRequired"):
            break
    await story.fleet.answer("1.0.0", "prod", "withdrawn", by=person)
    for _ in range(3):
        await story.stepper.run()
        story.clock.forward(12)
    assert story.applied() == 0
    await story.fleet.answer("1.0.0", "prod", "approved", by=person)
    await story.until(status="successful")
    assert story.applied() == 1


async def test_a_policy_that_failed_softly_waits_for_a_person_there_and_then_for_us(story):
    await story.begin("soft")
    await story.fleet.version("1.0.0")
    job = await story.until(status="actionRequired")
    assert job["confirm"] == "none"
    story.clock.forward(12)
    await story.stepper.run()
    assert story.applied() == 0
    story.server.override(job["external_id"])
    await story.until(status="successful")
    assert story.applied() == 1


# Once, and only while it holds ----------------------------------------------------------------------------------------


async def test_a_freeze_stops_the_confirm_from_its_commit(story):
    job = await story.planned()
    await story.stepper.step("round")
    assert await story.has(confirm="granted")
    await story.fleet.freeze()
    assert await story.stepper.step("dispatch")
    assert await story.has(confirm="granted"), "undecided"
    await story.stepper.run()
    assert await story.has(confirm="asked"), "a round held it back"
    assert story.applied() == 0
    assert "job.confirm_held" in await story.fleet.told()
    assert job["id"] == (await story.fleet.one_job())["id"]


@pytest.mark.parametrize("frozen", [True, False])
async def test_a_confirm_waits_for_a_freeze_that_is_being_written(story, frozen):
    await story.planned()
    await story.stepper.step("round")
    with nullcontext() if frozen else pytest.raises(LookupError):
        async with story.fleet.tx() as tx:
            await tx.record(
                [Change("UPDATE workspace SET rules_fence = rules_fence + 1 WHERE id = $1", (tx.workspace_id,))]
            )
            confirming = asyncio.create_task(story.stepper.step("dispatch"))
            await asyncio.sleep(0.2)
            assert not confirming.done(), "it waits for what is being written"
            if not frozen:
                raise LookupError
    await confirming
    assert story.applied() == (0 if frozen else 1)


async def test_two_workers_confirm_once(story):
    job = await story.planned()
    await story.stepper.step("round")

    async def begin():
        async with story.store.read() as conn:
            found = await find_flow_job(conn, job["id"])
        async with story.fleet.tx() as tx:
            return await begin_confirm(tx, found)

    assert sorted(await asyncio.gather(*(begin() for _ in range(4)))) == [False, False, False, True]


async def test_it_is_not_confirmed_after_its_time(story):
    job = await story.planned()
    await story.stepper.step("round")
    async with story.fleet.tx() as tx:
        past = story.clock() - timedelta(seconds=1)
        await tx.record([Change("UPDATE job SET valid_until = $2 WHERE id = $1", (job["id"], past))])
    await story.stepper.step("dispatch")
    assert story.applied() == 0
    assert await story.fleet.is_due("round", story.fleet.deployment_id), "a round judges it again"
    await story.until(status="successful")
    assert story.applied() == 1


async def test_a_round_that_discards_what_was_confirmed_meanwhile_is_stale(story):
    await story.planned()
    await story.stepper.step("round")
    await story.fleet.version("2.0.0")
    loaded = await load(story.store, story.fleet.deployment_id)
    await story.stepper.step("dispatch")
    assert story.applied() == 1
    with pytest.raises(Stale):
        await commit(story.store, loaded)
    await story.go(lambda: story.has(status="successful"))
    assert story.states() == ["applied", "applied"], "what was confirmed was not interrupted"


# Silence, crashes, a no -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", ["cut", "cut_after"])
async def test_a_confirm_that_was_not_answered_is_looked_for_and_applied_once(story, cut):
    await story.planned()
    await story.stepper.step("round")
    story.server.next_is(method="POST", **{cut: True})
    await story.stepper.step("dispatch")
    assert await story.has(confirm="giving")
    await story.until(status="successful")
    (run,) = story.server.runs.values()
    assert run["applied"] == 1
    assert story.applied() == (1 if cut == "cut_after" else 2)


async def test_a_freeze_made_while_nobody_knows_holds_what_never_arrived(story):
    await story.planned()
    await story.stepper.step("round")
    story.server.next_is(method="POST", cut=True)
    await story.stepper.step("dispatch")
    freeze = await story.fleet.freeze()
    for _ in range(10):
        await story.stepper.run()
        story.clock.forward(12)
    assert await story.has(status="actionRequired", confirm="asked")
    assert story.applied() == 1, "the one that was cut"
    await story.fleet.thaw(freeze)
    await story.until(status="successful")
    assert next(iter(story.server.runs.values()))["applied"] == 1


async def test_a_worker_that_dies_before_it_confirms_leaves_it_to_the_next(story):
    job = await story.planned()
    await story.stepper.step("round")
    async with story.store.read() as conn:
        found = await find_flow_job(conn, job["id"])
    async with story.fleet.tx() as tx:
        assert await begin_confirm(tx, found)
    assert await story.has(confirm="giving")
    await story.until(status="successful")
    assert next(iter(story.server.runs.values()))["applied"] == 1


async def test_a_confirm_that_is_refused_waits_for_a_person_and_says_so(story):
    await story.planned()
    await story.stepper.step("round")
    story.server.next_is(method="POST", status=403, body=b'{"errors": [{"title": "forbidden", "detail": "no apply"}]}')
    await story.stepper.step("dispatch")
    job = await story.fleet.one_job()
    assert (job["status"], job["confirm"]) == ("actionRequired", Confirm.REFUSED)
    assert "no apply" in job["message"]
    assert "job.confirm_refused" in await story.fleet.told()
    run = next(iter(story.server.runs.values()))
    run["states"] = ["applying", "applied"]  # somebody applies it there
    await story.until(status="successful")


async def test_a_run_that_somebody_discards_there_is_over_here(story):
    job = await story.planned()
    await story.fleet.freeze()
    await story.stepper.run()
    run = story.server.runs[job["external_id"]]
    story.server.enter(run, "discarded")
    await story.until(status="cancelled")


async def test_waiting_for_a_thaw_is_no_overrun(story):
    await story.planned(timeoutSeconds=600)
    freeze = await story.fleet.freeze()
    story.clock.forward(3600)
    await story.stepper.run()
    assert await story.has(status="actionRequired", cancel_asked_at=None)
    await story.fleet.thaw(freeze)
    await story.until(status="successful")


# Jobs of workflows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frozen", [False, True])
async def test_a_workflows_planned_run_is_confirmed_unless_a_freeze_covers_it_by_then(story, frozen):
    fleet = await story.begin("chore")
    entry = {"name": "a", "ref": fleet.agent_id, "config": {}, "selector": ""}
    async with fleet.tx() as tx:
        workflow = await save_workflow(tx, fleet.workspace_id, Workflow(new_id(), "Chore", "chore", [], [entry]))
        await start_run(tx, fleet.workspace_id, workflow, inputs={}, now=story.clock(), asked_by=fleet.admin_id)
    await story.stepper.run(kinds=["dispatch"])
    if frozen:
        await fleet.freeze()
    job = await story.until(status="cancelled" if frozen else "successful")
    assert story.applied() == (0 if frozen else 1)
    assert story.states() == ["discarded" if frozen else "applied"]
    assert ("incident" in (job["cancel_reason"] or "")) is frozen

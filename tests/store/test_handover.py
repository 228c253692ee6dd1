"""A job is handed over once, and only while what let it pass still holds: freezes, time, crashes and silence.

Source: core.md section 5.
"""

import asyncio
import sys
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from interlock.agents.exec import ExecAgent
from interlock.agents.test_runner import TestRunnerAgent
from interlock.model.errors import AgentUnavailable, Conflict, Unavailable
from interlock.model.job import AgentClass, JobStatus, Observation
from interlock.store.jobs import ask_cancel, claim_job, find_flow_job
from interlock.store.tx import Change, Store
from tests.store.fleet import APPROVAL, Stepper, a_fleet, a_member, until


@pytest.fixture
def stepper(store, tmp_path):
    return Stepper(store, tmp_path)


class Clock:
    """A clock that a test moves."""

    def __init__(self):
        self.at = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)

    def __call__(self):
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


async def a_waiting_job(store, stepper, **kwargs):
    fleet = await a_fleet(store, {"one": "prod"}, **kwargs)
    await fleet.version("1.0.0")
    await stepper.run(kinds=["round"], patience_s=0)
    job = await fleet.one_job()
    assert (job["status"], job["handover"]) == ("pending", "waiting")
    return fleet


async def test_a_job_that_is_cancelled_before_anybody_had_it_does_not_come_again(store, stepper):
    fleet = await a_waiting_job(store, stepper)
    async with store.read() as conn:
        job = await find_flow_job(conn, (await fleet.one_job())["id"])
    async with fleet.tx() as tx:
        assert await ask_cancel(tx, job, reason="not today")
    await stepper.run()
    assert (await fleet.one_job())["status"] == "cancelled", "its only attempt; a newer version, or a person, goes on"


# Undecided facts ------------------------------------------------------------------------------------------------------


async def test_a_freeze_stops_the_hand_over_from_its_commit_and_a_thaw_lets_it_go(store, stepper):
    fleet = await a_waiting_job(store, stepper)
    freeze_id = await fleet.freeze()
    assert await stepper.step("dispatch")  # before any round has seen the freeze
    assert (await fleet.one_job())["handover"] == "waiting"
    await stepper.run()
    assert (await fleet.one_job())["status"] == "skipped", "the round took it back"
    assert "job.handed_over" not in await fleet.told()
    await fleet.thaw(freeze_id)
    await stepper.run()
    assert await fleet.where() == {"one": "1.0.0"}


async def test_a_thaw_before_any_round_lets_the_same_job_go(store, stepper):
    fleet = await a_waiting_job(store, stepper)
    await fleet.thaw(await fleet.freeze())
    await stepper.step("dispatch")
    assert (await fleet.one_job())["handover"] == "waiting", "nobody has decided yet"
    await stepper.run()
    assert (await fleet.one_job())["status"] == "successful"


@pytest.mark.parametrize("frozen", [True, False])
async def test_a_hand_over_waits_for_a_freeze_that_is_being_written(store, stepper, frozen):
    fleet = await a_waiting_job(store, stepper)
    with nullcontext() if frozen else pytest.raises(LookupError):
        async with fleet.tx() as tx:
            await tx.record(
                [Change("UPDATE workspace SET rules_fence = rules_fence + 1 WHERE id = $1", (tx.workspace_id,))]
            )
            dispatching = asyncio.create_task(stepper.step("dispatch"))
            await asyncio.sleep(0.2)
            assert not dispatching.done(), "it waits for what is being written"
            if not frozen:
                raise LookupError
    await dispatching
    assert (await fleet.one_job())["handover"] == ("waiting" if frozen else "started")


async def test_a_withdrawn_approval_stops_the_hand_over(store, stepper):
    fleet = await a_fleet(store, {"one": "prod"})
    person = await a_member(fleet, "ann")
    await fleet.policy("approve", [APPROVAL])
    await fleet.version("1.0.0")
    await fleet.answer("1.0.0", "prod", "approved", by=person)
    await stepper.run(kinds=["round"], patience_s=0)
    await fleet.answer("1.0.0", "prod", "withdrawn", by=person)
    await stepper.step("dispatch")
    assert (await fleet.one_job())["handover"] == "waiting"
    await stepper.run()
    assert (await fleet.one_job())["status"] == "skipped"


async def test_what_was_handed_over_before_a_freeze_goes_on(store, stepper):
    fleet = await a_waiting_job(store, stepper)
    await stepper.step("dispatch")
    await fleet.freeze()
    await stepper.run()
    assert await fleet.where() == {"one": "1.0.0"}


# Time -----------------------------------------------------------------------------------------------------------------


async def test_when_the_verdicts_run_out_of_time_the_job_stays_and_a_round_judges_it(timed, clock, tmp_path):
    stepper = Stepper(timed, tmp_path, agents={"test-runner": TestRunnerAgent(now=clock)})
    fleet = await a_fleet(timed, {"one": "prod"})
    window = {"rrule": "FREQ=DAILY;BYHOUR=11;BYMINUTE=0;BYSECOND=0", "durationMinutes": 90, "timezone": "UTC"}
    await fleet.policy("daily", [{"deploymentWindow": window}])
    await fleet.version("1.0.0")
    await stepper.run(kinds=["match", "wake", "round"], patience_s=0)
    job = await fleet.one_job()
    assert job["valid_until"] == datetime(2026, 3, 9, 12, 30, tzinfo=UTC)
    async with timed.read() as conn:
        await conn.execute("DELETE FROM work WHERE kind = 'round'")
    clock.forward(1800)
    await stepper.step("dispatch")
    assert (await fleet.one_job())["handover"] == "waiting"
    assert await fleet.is_due("round", fleet.deployment_id), "the refused hand-over asked for it"
    await stepper.run(kinds=["round"], patience_s=0)
    assert (await fleet.one_job())["status"] == "skipped"
    async with timed.read() as conn:
        opens_at = await conn.fetchval("SELECT ready_at FROM work WHERE kind = 'round'")
    assert opens_at == datetime(2026, 3, 10, 11, 0, tzinfo=UTC)
    clock.at = opens_at
    for _ in range(8):
        await stepper.run(patience_s=0)
        clock.forward(1)
    assert await fleet.where() == {"one": "1.0.0"}


async def test_a_round_that_finds_the_job_still_good_renews_it(timed, clock, tmp_path):
    stepper = Stepper(timed, tmp_path, agents={"test-runner": TestRunnerAgent(now=clock)})
    fleet = await a_fleet(timed, {"one": "prod"})
    window = {"rrule": "FREQ=DAILY;BYHOUR=11;BYMINUTE=0;BYSECOND=0", "durationMinutes": 90, "timezone": "UTC"}
    later = {**window, "rrule": "FREQ=DAILY;BYHOUR=12;BYMINUTE=30;BYSECOND=0"}
    await fleet.policy("daily", [{"deploymentWindow": window}, {"deploymentWindow": later}])
    await fleet.version("1.0.0")
    await stepper.run(kinds=["match", "wake", "round"], patience_s=0)
    clock.forward(1800)
    await stepper.step("dispatch")
    await stepper.run(kinds=["round", "dispatch"], patience_s=0)
    job = await fleet.one_job()
    assert job["handover"] == "started"
    assert job["valid_until"] == datetime(2026, 3, 9, 14, 0, tzinfo=UTC)


# Pull agents ----------------------------------------------------------------------------------------------------------


async def a_queued_job(store, stepper):
    fleet = await a_waiting_job(store, stepper, agent_type="http-pull", agent_config={})
    await stepper.step("dispatch")
    assert (await fleet.one_job())["status"] == "queued"
    return fleet


async def claim(fleet, job_id):
    async with fleet.tx() as tx:
        return await claim_job(tx, workspace_id=fleet.workspace_id, agent_id=fleet.agent_id, job_id=job_id)


async def test_of_many_claims_at_once_one_gets_the_job(store, stepper):
    fleet = await a_queued_job(store, stepper)
    job = await fleet.one_job()
    answers = await asyncio.gather(*(claim(fleet, job["id"]) for _ in range(8)), return_exceptions=True)
    assert [isinstance(answer, Conflict) for answer in answers].count(True) == 7
    assert (await fleet.told()).count("job.handed_over") == 1
    assert (await fleet.one_job())["attempt"] == 1


async def test_a_claim_after_a_freeze_is_refused(store, stepper):
    fleet = await a_queued_job(store, stepper)
    job = await fleet.one_job()
    await fleet.freeze()
    with pytest.raises(Conflict):
        await claim(fleet, job["id"])
    await stepper.run()
    assert (await fleet.one_job())["status"] == "skipped"
    with pytest.raises(Conflict):
        await claim(fleet, job["id"])


async def test_a_cancel_of_a_claimed_job_waits_for_its_agent_and_ends_when_time_is_up(timed, clock, tmp_path):
    stepper = Stepper(timed, tmp_path)
    fleet = await a_queued_job(timed, stepper)
    job = await fleet.one_job()
    await claim(fleet, job["id"])
    await fleet.resource("one", env="elsewhere")
    await stepper.run(patience_s=0)
    job = await fleet.one_job()
    assert job["cancel_asked_at"] is not None
    assert job["status"] == "inProgress", "whoever claimed it has not said anything"
    clock.forward(300)
    await stepper.run(patience_s=0)
    assert (await fleet.one_job())["status"] == "cancelled"


# Crashes --------------------------------------------------------------------------------------------------------------


class Died(Exception):
    """The worker was killed here."""


class Dying:
    """An agent whose worker dies once at a point of the hand-over."""

    def __init__(self, agent, point):
        self.agent, self.point = agent, point

    def __getattr__(self, name):
        return getattr(self.agent, name)

    def die(self, point):
        if self.point == point:
            self.point = "no more"
            raise Died

    async def start(self, job, authorization):
        self.die("before the start")
        seen = await self.agent.start(job, authorization)
        self.die("after the start")
        return seen

    def links(self, job, seen):
        self.die("before the start was recorded")
        return self.agent.links(job, seen)


POINTS = ["before the start", "after the start", "before the start was recorded", "before the key was given back"]


async def hand_over_with_a_crash(stepper, point):
    """One worker dies at a point, its lease ends, another takes the key."""
    first = await stepper.claim("dispatch", lease_s=0.0)
    if point == "before the key was given back":
        await stepper.flow.dispatch_job(first)
    else:
        with pytest.raises(Died):
            await stepper.flow.dispatch_job(first)
    second = await stepper.claim("dispatch")
    assert second is not None
    assert second.epoch > first.epoch
    await stepper.finish(second, await stepper.flow.dispatch_job(second))


@pytest.mark.parametrize("point", POINTS)
async def test_a_command_runs_once_wherever_its_worker_dies(store, tmp_path, point):
    exec_agent = ExecAgent(tmp_path / "exec", enabled=True)
    stepper = Stepper(store, tmp_path, agents={"exec": Dying(exec_agent, point)})
    trace = tmp_path / "trace"
    program = f"open({str(trace)!r}, 'a').write('ran\\n')"
    config = {"command": [sys.executable, "-S", "-c", program]}
    fleet = await a_waiting_job(store, stepper, agent_type="exec", agent_config=config)
    await hand_over_with_a_crash(stepper, point)
    await stepper.run()
    job = await fleet.one_job()
    assert (job["status"], job["attempt"]) == ("successful", 1)
    assert trace.read_text() == "ran\n"
    assert (await fleet.told()).count("job.handed_over") == 1
    assert await fleet.where() == {"one": "1.0.0"}


@pytest.mark.parametrize("point", POINTS)
async def test_a_test_run_is_handed_over_once_wherever_its_worker_dies(store, tmp_path, point):
    stepper = Stepper(store, tmp_path, agents={"test-runner": Dying(TestRunnerAgent(), point)})
    fleet = await a_waiting_job(store, stepper)
    await hand_over_with_a_crash(stepper, point)
    await stepper.run()
    job = await fleet.one_job()
    assert (job["status"], job["attempt"]) == ("successful", 1)
    assert (await fleet.told()).count("job.handed_over") == 1


# Silence --------------------------------------------------------------------------------------------------------------


@dataclass
class ListingAgent:
    """A findable agent, as a forge is: a run carries our id, and its list lags behind."""

    clock: Clock
    klass: AgentClass = AgentClass.FINDABLE
    kind: str = "listing"
    observe_every_s: float = 1.0
    capabilities: frozenset[str] = frozenset()
    hears: bool = True
    answers: bool = True
    lag_s: float = 0.0
    runs: list[tuple[str, int, datetime]] = field(default_factory=list)

    async def start(self, job, authorization):
        assert authorization.target_id
        if self.hears:
            self.runs.append((job.id, job.attempt, self.clock()))
        if not self.answers:
            raise AgentUnavailable("timed out")
        return Observation(JobStatus.IN_PROGRESS, external_id=job.id)

    async def find(self, job):
        for job_id, attempt, at in self.runs:
            if (job_id, attempt) == (job.id, job.attempt) and self.clock() >= at + timedelta(seconds=self.lag_s):
                return Observation(JobStatus.SUCCESSFUL, external_id=job_id)
        return None

    async def observe(self, job):
        return await self.find(job)

    async def cancel(self, job):
        return await self.find(job)

    def links(self, job, seen):
        return {}


async def a_job_of(agent, timed, tmp_path, **config):
    stepper = Stepper(timed, tmp_path, agents={"listing": agent})
    fleet = await a_waiting_job(timed, stepper, agent_type="listing", agent_config=config)
    return stepper, fleet


async def pass_time(stepper, clock, seconds, *, every_s=5):
    for _ in range(0, seconds, every_s):
        await stepper.run(patience_s=0)
        clock.forward(every_s)
    await stepper.run(patience_s=0)


async def test_a_run_that_began_although_nobody_answered_is_found_and_followed(timed, clock, tmp_path):
    agent = ListingAgent(clock, answers=False, lag_s=20.0)
    stepper, fleet = await a_job_of(agent, timed, tmp_path)
    await stepper.run(patience_s=0)
    assert (await fleet.one_job())["handover"] == "uncertain"
    assert await fleet.where() == {"one": None}
    await pass_time(stepper, clock, 60)
    job = await fleet.one_job()
    assert (job["status"], job["attempt"], len(agent.runs)) == ("successful", 1, 1)
    assert [kind for kind in await fleet.told() if kind in {"job.uncertain", "job.handed_over"}] == [
        "job.uncertain",
        "job.handed_over",
    ]


async def test_a_run_that_is_never_found_is_left_to_a_person(timed, clock, tmp_path):
    agent = ListingAgent(clock, hears=False, answers=False)
    stepper, fleet = await a_job_of(agent, timed, tmp_path)
    await pass_time(stepper, clock, 50)
    assert (await fleet.one_job())["handover"] == "uncertain"
    await pass_time(stepper, clock, 20)
    job = await fleet.one_job()
    assert (job["status"], job["attempt"], len(agent.runs)) == ("externalRunNotFound", 1, 0)


async def test_a_run_that_is_never_found_is_started_again_where_that_is_allowed(timed, clock, tmp_path):
    agent = ListingAgent(clock, hears=False, answers=False)
    stepper, fleet = await a_job_of(agent, timed, tmp_path, repeatUncertain=True)
    await pass_time(stepper, clock, 50)
    agent.hears = agent.answers = True
    await pass_time(stepper, clock, 30)
    job = await fleet.one_job()
    assert (job["status"], job["attempt"]) == ("successful", 2)
    assert [(job_id, attempt) for job_id, attempt, _ in agent.runs] == [(job["id"], 2)]
    assert "job.not_started" in await fleet.told()


async def test_an_uncertain_job_is_neither_withdrawn_nor_started_again_by_a_freeze(timed, clock, tmp_path):
    agent = ListingAgent(clock, hears=False, answers=False)
    stepper, fleet = await a_job_of(agent, timed, tmp_path, repeatUncertain=True)
    await stepper.run(patience_s=0)
    await fleet.freeze()
    await pass_time(stepper, clock, 30)
    assert (await fleet.one_job())["handover"] == "uncertain"
    agent.hears = agent.answers = True
    await pass_time(stepper, clock, 60)
    assert not agent.runs, "the second attempt would have been a hand-over like any other"
    assert (await fleet.one_job())["status"] == "skipped"


async def test_a_worker_that_died_in_a_hand_over_to_a_findable_agent_asks_before_it_starts(timed, clock, tmp_path):
    agent = ListingAgent(clock)
    stepper, fleet = await a_job_of(Dying(agent, "after the start"), timed, tmp_path)
    with pytest.raises(Died):
        await stepper.flow.dispatch_job(await stepper.claim("dispatch", lease_s=0.0))
    await pass_time(stepper, clock, 10)
    job = await fleet.one_job()
    assert (job["status"], job["attempt"], len(agent.runs)) == ("successful", 1, 1)


async def test_a_keyed_agent_that_does_not_answer_is_started_again_under_the_same_key(store, tmp_path):
    exec_agent = ExecAgent(tmp_path / "exec", enabled=True)
    trace = tmp_path / "trace"

    class Silent:
        silent = 2

        def __getattr__(self, name):
            return getattr(exec_agent, name)

        async def start(self, job, authorization):
            seen = await exec_agent.start(job, authorization)
            self.silent -= 1
            if self.silent >= 0:
                raise AgentUnavailable("no answer")
            return seen

    stepper = Stepper(store, tmp_path, agents={"exec": Silent()})
    program = f"open({str(trace)!r}, 'a').write('ran\\n')"
    config = {"command": [sys.executable, "-S", "-c", program]}
    fleet = await a_waiting_job(store, stepper, agent_type="exec", agent_config=config)
    claim_of_job = await stepper.claim("dispatch")
    for _ in range(2):
        with pytest.raises(Unavailable):
            await stepper.flow.dispatch_job(claim_of_job)
        assert (await fleet.one_job())["handover"] == "starting"
    await stepper.finish(claim_of_job, await stepper.flow.dispatch_job(claim_of_job))
    await stepper.run()
    job = await fleet.one_job()
    assert (job["status"], job["attempt"]) == ("successful", 1)
    await until(lambda: asyncio.sleep(0, result=trace.exists()))
    assert trace.read_text() == "ran\n"

"""An agent that is down holds its jobs and burns none; a rate lets them go one by one; both on the real flow.

Source: core.md section 5; `model/line.py`.
"""

import itertools
from dataclasses import dataclass
from datetime import timedelta

import pytest

from interlock.model.errors import AgentUnavailable, NotStarted, Rejected, Unavailable
from interlock.model.job import AgentClass, JobStatus
from interlock.store.agents import save_agent
from interlock.store.health import load_health
from interlock.store.job_list import JobFilter, list_jobs
from interlock.store.jobs import cancel_job
from interlock.store.lines import load_lines, waiting_requests
from interlock.store.tx import Store
from tests.store.fleet import a_fleet
from tests.store.test_conduct import Tool, a_tool_fleet
from tests.store.test_handover import Clock, ListingAgent, a_job_of, pass_time
from tests.store.test_orders import at, place


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def timed(database_url, clock):
    """A store whose time is the test's."""
    opened = await Store.open(database_url, clock=clock)
    yield opened
    await opened.close()


REFUSED = NotStarted("connection refused")
SILENT = AgentUnavailable("no answer")


async def line_of(fleet):
    async with fleet.store.read() as conn:
        return (await load_lines(conn, [fleet.agent_id]))[fleet.agent_id]


async def target_of(fleet):
    async with fleet.store.read() as conn:
        return await conn.fetchrow(
            "SELECT mark_version_id::text, last_started_at FROM target WHERE deployment_id = $1", fleet.deployment_id
        )


def starts_of(tool):
    return [at for verb, at in tool.calls if verb == "start"]


# Surely not started ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("klass", [AgentClass.KEYED, AgentClass.FINDABLE, AgentClass.TOLD])
async def test_a_refused_connection_is_no_attempt_and_leaves_no_mark(timed, clock, tmp_path, klass):
    tool = Tool(clock, klass=klass, away=REFUSED)
    stepper, fleet = await a_tool_fleet(timed, tmp_path, tool)
    await fleet.version("1.0.0")
    await stepper.run(kinds=["match", "wake", "round"], patience_s=0)
    assert await stepper.step("dispatch")
    job, target = await fleet.one_job(), await target_of(fleet)
    assert (job["status"], job["handover"], job["attempt"]) == ("pending", "waiting", 0)
    assert job["message"] == "Nothing was started: connection refused"
    assert tuple(target) == (None, None)
    assert [kind for kind in await fleet.told() if "started" in kind] == [
        "move.started",
        "job.not_started",
        "move.not_started",
    ]
    tool.away = None
    await pass_time(stepper, clock, 10, every_s=1)
    job = await fleet.one_job()
    assert (job["status"], job["attempt"], len(tool.started)) == ("successful", 1, 1)
    assert await fleet.where() == {"host-0000": "1.0.0"}


async def test_a_job_that_was_not_started_is_judged_again_and_may_be_taken_back(timed, clock, tmp_path):
    tool = Tool(clock, away=REFUSED)
    stepper, fleet = await a_tool_fleet(timed, tmp_path, tool)
    await fleet.version("1.0.0")
    await pass_time(stepper, clock, 3, every_s=1)
    freeze_id = await fleet.freeze()
    tool.away = None
    await pass_time(stepper, clock, 90)
    assert [job["status"] for job in await fleet.jobs()] == ["skipped"]
    assert not tool.started
    await fleet.thaw(freeze_id)
    await pass_time(stepper, clock, 5, every_s=1)
    assert await fleet.where() == {"host-0000": "1.0.0"}, "a version that never was handed over may still go out"
    assert [job["attempt"] for job in await fleet.jobs()] == [0, 1]


async def test_a_redeploy_that_was_not_started_stays_asked_for(timed, clock, tmp_path):
    tool = Tool(clock)
    stepper, fleet = await a_tool_fleet(timed, tmp_path, tool)
    await fleet.version("1.0.0")
    await pass_time(stepper, clock, 5, every_s=1)
    assert await fleet.where() == {"host-0000": "1.0.0"}
    tool.away = REFUSED
    await place(fleet, "redeploy", at(fleet))
    await pass_time(stepper, clock, 20, every_s=1)
    tool.away = None
    await pass_time(stepper, clock, 90)
    assert len(tool.started) == 2
    assert (await fleet.told()).count("order.answered") == 1


async def test_a_worker_that_died_in_a_start_learns_nothing_from_a_refused_connection(timed, clock, tmp_path):
    tool = Tool(clock, away=SILENT)
    stepper, fleet = await a_tool_fleet(timed, tmp_path, tool)
    await fleet.version("1.0.0")
    await stepper.run(kinds=["match", "wake", "round"], patience_s=0)
    with pytest.raises(Unavailable):
        await stepper.flow.dispatch_job(await stepper.claim("dispatch", lease_s=0.0))
    tool.away = REFUSED
    with pytest.raises(Unavailable):
        await stepper.flow.dispatch_job(await stepper.claim("dispatch", lease_s=0.0))
    assert (await fleet.one_job())["handover"] == "starting", "the first call may have started it"


# The breaker ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("klass", [AgentClass.KEYED, AgentClass.FINDABLE])
async def test_an_agent_that_is_away_for_an_hour_gets_every_job_once_and_few_calls(timed, clock, tmp_path, klass):
    tool = Tool(clock, klass=klass, away=REFUSED)
    stepper, fleet = await a_tool_fleet(timed, tmp_path, tool, hosts=12)
    await fleet.version("1.0.0")
    await pass_time(stepper, clock, 3600, every_s=30)
    line = await line_of(fleet)
    assert line.waiting == 12
    assert line.down_since is not None
    assert line.reason == "connection refused"
    assert 50 < len(tool.calls) < 130, "a try a minute, not one a job"
    assert (await fleet.told()).count("agent.down") == 1
    tool.away = None
    await pass_time(stepper, clock, 90, every_s=5)
    assert sorted(one for one, _, _ in tool.started) == sorted(job["id"] for job in await fleet.jobs())
    assert {(job["status"], job["attempt"]) for job in await fleet.jobs()} == {("successful", 1)}
    assert (await fleet.told()).count("agent.back") == 1
    assert (await line_of(fleet)).down_since is None


async def test_waiting_jobs_of_an_agent_that_is_down_are_no_work(timed, clock, tmp_path):
    tool = Tool(clock, away=REFUSED)
    stepper, fleet = await a_tool_fleet(timed, tmp_path, tool, hosts=12, breakerFailures=1, breakerPauseSeconds=600)
    await fleet.version("1.0.0")
    await pass_time(stepper, clock, 120)
    async with timed.read() as conn:
        counts = dict(await conn.fetch("SELECT kind, count(*) FROM work WHERE kind IN ('dispatch', 'line') GROUP BY 1"))
    assert counts == {"line": 1}
    taken = await stepper.run(kinds=["dispatch", "line", "observe"], patience_s=0)
    assert taken == 0


async def test_a_job_that_can_never_be_answered_does_not_keep_the_others_waiting(timed, clock, tmp_path):
    @dataclass
    class Picky(Tool):
        async def start(self, job, authorization):
            if job.context["resource"]["name"] == "host-0000":
                self.calls.append(("start", self.clock()))
                raise REFUSED
            return await super().start(job, authorization)

    tool = Picky(clock)
    stepper, fleet = await a_tool_fleet(timed, tmp_path, tool, hosts=4, breakerFailures=1)
    await fleet.version("1.0.0")
    await pass_time(stepper, clock, 60, every_s=1)
    assert len(tool.started) == 3


async def test_a_job_that_has_its_turn_looks_itself_once_it_may_go_and_its_line_does_not(timed, clock, tmp_path):
    busy = NotStarted("busy", retry_after_s=600)
    stepper, fleet = await a_tool_fleet(timed, tmp_path, Tool(clock, away=busy))
    await fleet.version("1.0.0")
    await pass_time(stepper, clock, 5, every_s=1)
    job_id = (await fleet.one_job())["id"]
    async with fleet.tx() as tx:
        before = await waiting_requests(tx.conn, [job_id], workspace_id=fleet.workspace_id)
        turn_at = await tx.conn.fetchval(
            "UPDATE job SET turn_at = interlock_now() WHERE id = $1 RETURNING turn_at", job_id
        )
        after = await waiting_requests(tx.conn, [job_id], workspace_id=fleet.workspace_id)
    assert [(one.kind, one.key) for one in before] == [("line", fleet.agent_id)]
    assert [(one.kind, one.key, one.ready_at) for one in after] == [("dispatch", job_id, turn_at)]


async def test_an_outside_that_names_its_wait_is_not_called_before(timed, clock, tmp_path):
    tool = Tool(clock, away=NotStarted("GitHub answered 429.", retry_after_s=120.0))
    stepper, fleet = await a_tool_fleet(timed, tmp_path, tool, hosts=3)
    await fleet.version("1.0.0")
    await pass_time(stepper, clock, 100)
    assert len(tool.calls) == 1
    tool.away = None
    await pass_time(stepper, clock, 40)
    assert len(tool.started) == 3


async def test_runs_of_an_agent_that_is_down_are_looked_at_seldom_and_one_answer_ends_it(timed, clock, tmp_path):
    tool = Tool(clock, ends_as=None)
    stepper, fleet = await a_tool_fleet(timed, tmp_path, tool, hosts=6, breakerFailures=2)
    await fleet.version("1.0.0")
    await pass_time(stepper, clock, 3, every_s=1)
    assert len(tool.started) == 6
    tool.away, before = SILENT, len(tool.calls)
    await observing(stepper, clock, 600)
    assert len(tool.calls) - before < 40, "six runs, looked at each second, would be 3,600"
    tool.away, tool.ends_as = None, JobStatus.SUCCESSFUL
    await observing(stepper, clock, 150)
    assert {job["status"] for job in await fleet.jobs()} == {"successful"}
    assert [kind for kind in await fleet.told() if kind.startswith("agent.") and kind != "agent.created"] == [
        "agent.down",
        "agent.back",
    ]


async def observing(stepper, clock, seconds):
    """As `pass_time`, with a worker that gives back what was not answered, as the loop does."""
    for _ in range(0, seconds, 5):
        while True:
            claim = await stepper.claim("observe") or await stepper.claim("line") or await stepper.claim("round")
            if claim is None:
                break
            try:
                again_at = await stepper.steps[claim.kind](claim)
            except Unavailable:
                again_at = stepper.store.now() + timedelta(seconds=1)
            await stepper.finish(claim, again_at)
        clock.forward(5)


async def test_an_answer_that_says_no_while_it_is_down_is_no_proof_and_the_next_in_line_tries(timed, clock, tmp_path):
    tool = Tool(clock, away=REFUSED)
    stepper, fleet = await a_tool_fleet(timed, tmp_path, tool, hosts=3, breakerFailures=1)
    await fleet.version("1.0.0")
    await pass_time(stepper, clock, 2, every_s=1)
    tool.away = Rejected("The job's config lacks a project.")
    await pass_time(stepper, clock, 90)
    assert sorted(job["status"] for job in await fleet.jobs() if job["attempt"]) == ["failure"]


# The rate -------------------------------------------------------------------------------------------------------------


async def test_jobs_go_at_their_agents_rate_in_order_and_others_do_not_wait(timed, clock, tmp_path):
    tool, other = Tool(clock), Tool(clock, kind="other")
    stepper, fleet = await a_tool_fleet(timed, tmp_path, tool, hosts=20, ratePerMinute=30)
    stepper.flow.agents = {**stepper.flow.agents, "other": other}
    free = await a_fleet(timed, {"one": "prod", "two": "prod"}, agent_type="other", agent_config={})
    await fleet.version("1.0.0")
    await free.version("1.0.0")
    await pass_time(stepper, clock, 2, every_s=1)
    assert len(other.started) == 2
    await pass_time(stepper, clock, 60, every_s=1)
    instants = [instant for _, _, instant in tool.started]
    assert len(instants) == 20
    assert all(b - a >= timedelta(seconds=2) for a, b in itertools.pairwise(instants))
    order = [job["id"] for job in sorted(await fleet.jobs(), key=lambda job: (job["created_at"], job["id"]))]
    first = tool.started[0][0]
    assert [one for one, _, _ in tool.started[1:]] == [one for one in order if one != first]


async def test_a_freeze_stops_a_line_and_no_turn_is_lost_by_it(timed, clock, tmp_path):
    tool = Tool(clock)
    stepper, fleet = await a_tool_fleet(timed, tmp_path, tool, hosts=6, ratePerMinute=60)
    await fleet.version("1.0.0")
    await pass_time(stepper, clock, 2, every_s=1)
    handed_over = len(tool.started)
    assert 2 <= handed_over <= 4
    freeze_id = await fleet.freeze()
    await pass_time(stepper, clock, 10, every_s=1)
    assert len(tool.started) == handed_over
    await fleet.thaw(freeze_id)
    await pass_time(stepper, clock, 10, every_s=1)
    assert len(tool.started) == 6
    assert set((await fleet.where()).values()) == {"1.0.0"}


# Cancels --------------------------------------------------------------------------------------------------------------


async def test_a_cancel_reaches_a_run_whose_start_was_not_answered(timed, clock, tmp_path):
    agent = ListingAgent(clock, answers=False, lag_s=20.0)
    stopped = []

    async def cancel(job):
        stopped.append(job.external_id)
        return await agent.find(job)

    agent.cancel = cancel
    stepper, fleet = await a_job_of(agent, timed, tmp_path)
    await pass_time(stepper, clock, 5)
    assert (await fleet.one_job())["handover"] == "uncertain"
    async with fleet.tx() as tx:
        await cancel_job(tx, (await fleet.one_job())["id"], reason="not this one")
    await pass_time(stepper, clock, 60)
    job = await fleet.one_job()
    assert job["status"] == "successful", "it had ended before anybody could stop it"
    assert len(agent.runs) == 1


async def test_a_cancelled_job_whose_start_nobody_answered_is_over_when_no_run_is_found(timed, clock, tmp_path):
    agent = ListingAgent(clock, hears=False, answers=False)
    stepper, fleet = await a_job_of(agent, timed, tmp_path, repeatUncertain=True)
    await pass_time(stepper, clock, 5)
    async with fleet.tx() as tx:
        await cancel_job(tx, (await fleet.one_job())["id"], reason="not this one")
    await pass_time(stepper, clock, 80)
    job = await fleet.one_job()
    assert (job["status"], job["attempt"]) == ("cancelled", 1), "not started again, although that is allowed"


async def test_a_keyed_start_that_was_not_answered_is_not_repeated_for_a_job_to_cancel(timed, clock, tmp_path):
    tool = Tool(clock, away=SILENT)
    stepper, fleet = await a_tool_fleet(timed, tmp_path, tool)
    await fleet.version("1.0.0")
    await stepper.run(kinds=["match", "wake", "round"], patience_s=0)
    claim = await stepper.claim("dispatch")
    with pytest.raises(Unavailable):
        await stepper.flow.dispatch_job(claim)
    tool.away = None
    async with fleet.tx() as tx:
        await cancel_job(tx, (await fleet.one_job())["id"], reason="not this one")
    await stepper.finish(claim, await stepper.flow.dispatch_job(claim))
    await pass_time(stepper, clock, 80)
    assert (await fleet.one_job())["status"] == "cancelled"
    assert not tool.started


async def test_a_run_that_begins_after_its_job_is_over_is_cancelled(timed, clock, tmp_path):
    tool = Tool(clock, ends_as=None)
    stepper, fleet = await a_tool_fleet(timed, tmp_path, tool, cancelTimeoutSeconds=5)
    await fleet.version("1.0.0")
    await stepper.run(kinds=["match", "wake", "round"], patience_s=0)
    started = tool.start

    async def slow_start(job, authorization):
        async with fleet.tx() as tx:
            await cancel_job(tx, job.id, reason="not this one")
        clock.forward(10)
        assert await stepper.step("observe")
        return await started(job, authorization)

    tool.start = slow_start
    assert await stepper.step("dispatch")
    job = await fleet.one_job()
    assert job["status"] == "cancelled"
    assert tool.cancelled == {job["id"]}


# What people see ------------------------------------------------------------------------------------------------------


async def test_a_waiting_job_and_its_agent_say_why(timed, clock, tmp_path):
    tool = Tool(clock, away=REFUSED)
    stepper, fleet = await a_tool_fleet(timed, tmp_path, tool, hosts=2, breakerFailures=1, breakerPauseSeconds=600)
    await fleet.version("1.0.0")
    await pass_time(stepper, clock, 60)
    async with timed.snapshot() as conn:
        rows, _ = await list_jobs(conn, fleet.workspace_id, wanted=JobFilter(), limit=9, offset=0)
        health = await load_health(conn)
    said = {row.message for row in rows}
    line = await line_of(fleet)
    since = "The agent runner does not answer since 2026-03-09T12:00:00Z (connection refused)"
    assert said == {f"{since}; it is tried again at {line.next_try_at:%Y-%m-%dT%H:%M:%SZ}."}
    (agent,) = [one for one in health.agents if one.waiting]
    assert (agent.up, agent.down, agent.waiting) == (False, True, 2)
    tool.away = None
    await pass_time(stepper, clock, 700, every_s=20)
    async with timed.snapshot() as conn:
        rows, _ = await list_jobs(conn, fleet.workspace_id, wanted=JobFilter(), limit=9, offset=0)
    assert {row.message for row in rows} == {None}


async def test_a_job_that_waits_for_its_turn_says_so(timed, clock, tmp_path):
    stepper, fleet = await a_tool_fleet(timed, tmp_path, Tool(clock), hosts=3, ratePerMinute=6)
    await fleet.version("1.0.0")
    await stepper.run(patience_s=0)
    async with timed.snapshot() as conn:
        rows, _ = await list_jobs(conn, fleet.workspace_id, wanted=JobFilter(statuses=("pending",)), limit=9, offset=0)
    assert {row.message for row in rows} == {"Waits for its turn: the agent runner takes 6 jobs a minute."}


async def test_a_job_that_must_wait_for_something_of_its_own_says_nothing_of_its_agent(timed, clock, tmp_path):
    @dataclass
    class Busy(Tool):
        async def start(self, job, authorization):
            if job.context["resource"]["name"] == "host-0000":
                raise AgentUnavailable("Another operation runs.", retry_after_s=5.0)
            return await super().start(job, authorization)

    stepper, fleet = await a_tool_fleet(timed, tmp_path, Busy(clock), hosts=1, breakerFailures=1)
    await fleet.version("1.0.0")
    await stepper.run(kinds=["match", "wake", "round"], patience_s=0)
    with pytest.raises(AgentUnavailable, match="Another operation"):
        await stepper.flow.dispatch_job(await stepper.claim("dispatch"))
    line = await line_of(fleet)
    assert (line.down_since, line.failures) == (None, 0)


async def test_a_changed_config_is_tried_at_once(timed, clock, tmp_path):
    tool = Tool(clock, away=REFUSED)
    how = {"breakerFailures": 1, "breakerPauseSeconds": 3600}
    stepper, fleet = await a_tool_fleet(timed, tmp_path, tool, hosts=2, **how)
    await fleet.version("1.0.0")
    for _ in range(12):
        await stepper.run(patience_s=0)
        clock.forward(120)
    await stepper.run(patience_s=0)
    assert (await line_of(fleet)).next_try_at > clock.at + timedelta(seconds=60)
    tool.away = None
    async with fleet.tx() as tx:
        await save_agent(
            tx, fleet.workspace_id, agent_id=fleet.agent_id, name="runner", kind="tool", config=how, metadata={}
        )
    await pass_time(stepper, clock, 5, every_s=1)
    assert len(tool.started) == 2

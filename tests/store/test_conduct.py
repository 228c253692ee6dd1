"""Limits of one agent, on the real flow: how long a start, a run and a cancel may take, and how often it is asked.

Source: core.md section 5; `model/conduct.py`.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

import pytest

from interlock.model.job import AgentClass, JobStatus, Observation
from interlock.store.agents import save_agent
from interlock.store.jobs import claim_job
from interlock.store.tx import Store
from tests.store.fleet import Stepper, a_fleet
from tests.store.test_handover import Clock, pass_time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def timed(database_url, clock):
    """A store whose time is the test's."""
    opened = await Store.open(database_url, clock=clock)
    yield opened
    await opened.close()


@dataclass
class Tool:
    """A keyed agent whose outside does what the test says. `runs` is job id and attempt -> how it goes."""

    clock: Clock
    klass: AgentClass = AgentClass.KEYED
    kind: str = "tool"
    observe_every_s: float | None = 1.0
    capabilities: frozenset[str] = frozenset()
    hangs: bool = False
    ends_as: JobStatus | None = JobStatus.SUCCESSFUL
    confirms: bool = True
    away: Exception | None = None
    started: list[tuple[str, int, datetime]] = field(default_factory=list)
    calls: list[tuple[str, datetime]] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)
    configs: list[dict] = field(default_factory=list)

    async def called(self, verb, job):
        self.calls.append((verb, self.clock()))
        self.configs.append(dict(job.config))
        if self.hangs:
            await asyncio.Event().wait()
        if self.away is not None:
            raise self.away

    async def start(self, job, authorization):
        await self.called("start", job)
        if (job.id, job.attempt) not in [(one, attempt) for one, attempt, _ in self.started]:
            self.started.append((job.id, job.attempt, self.clock()))
        return Observation(JobStatus.IN_PROGRESS, external_id=job.id)

    async def find(self, job):
        await self.called("find", job)
        return self.seen(job)

    async def observe(self, job):
        await self.called("observe", job)
        return self.seen(job)

    async def cancel(self, job):
        await self.called("cancel", job)
        if self.confirms and self.seen(job):
            self.cancelled.add(job.id)
        return self.seen(job)

    def seen(self, job):
        if (job.id, job.attempt) not in [(one, attempt) for one, attempt, _ in self.started]:
            return None
        if job.id in self.cancelled:
            return Observation(JobStatus.CANCELLED, "Stopped.")
        return Observation(self.ends_as or JobStatus.IN_PROGRESS, external_id=job.id)

    def links(self, job, seen):
        return {}


async def a_tool_fleet(timed, tmp_path, tool, *, hosts=1, **config):
    stepper = Stepper(timed, tmp_path, agents={"tool": tool})
    fleet = await a_fleet(timed, {f"host-{n:04}": "prod" for n in range(hosts)}, agent_type="tool", agent_config=config)
    return stepper, fleet


async def test_a_run_over_its_time_is_cancelled_and_has_failed(timed, clock, tmp_path):
    tool = Tool(clock, ends_as=None)
    stepper, fleet = await a_tool_fleet(timed, tmp_path, tool, timeoutSeconds=60)
    await fleet.version("1.0.0")
    await pass_time(stepper, clock, 55)
    assert (await fleet.one_job())["status"] == "inProgress"
    await pass_time(stepper, clock, 15)
    job = await fleet.one_job()
    assert (job["status"], job["message"]) == ("failure", "It ran longer than 60 s. Stopped.")
    assert "cancel" in [verb for verb, _ in tool.calls]
    assert [kind for kind in await fleet.told() if kind in {"job.overran", "job.cancel_asked"}] == [
        "job.overran",
        "job.cancel_asked",
    ]


async def test_a_run_over_its_time_whose_end_nobody_confirms_fails_when_the_cancel_is_over(timed, clock, tmp_path):
    tool = Tool(clock, ends_as=None, confirms=False)
    stepper, fleet = await a_tool_fleet(timed, tmp_path, tool, timeoutSeconds=60, cancelTimeoutSeconds=20)
    await fleet.version("1.0.0")
    await pass_time(stepper, clock, 75)
    assert (await fleet.one_job())["status"] == "inProgress", "the outside may still be at it"
    await pass_time(stepper, clock, 15)
    job = await fleet.one_job()
    assert job["status"] == "failure"
    assert job["message"] == "It ran longer than 60 s. The outside did not confirm the cancel within 20 s."


async def test_a_run_that_ended_well_while_its_cancel_was_asked_ended_well(timed, clock, tmp_path):
    tool = Tool(clock, ends_as=None, confirms=False)
    stepper, fleet = await a_tool_fleet(timed, tmp_path, tool, timeoutSeconds=60)
    await fleet.version("1.0.0")
    await pass_time(stepper, clock, 65)
    tool.ends_as = JobStatus.SUCCESSFUL
    await pass_time(stepper, clock, 5)
    assert (await fleet.one_job())["status"] == "successful"


async def test_a_claimed_job_over_its_time_fails_although_its_agent_is_never_asked(timed, clock, tmp_path):
    stepper = Stepper(timed, tmp_path)
    config = {"timeoutSeconds": 60, "cancelTimeoutSeconds": 10}
    fleet = await a_fleet(timed, {"one": "prod"}, agent_type="http-pull", agent_config=config)
    await fleet.version("1.0.0")
    await stepper.run(patience_s=0)
    async with fleet.tx() as tx:
        job_id = (await fleet.one_job())["id"]
        await claim_job(tx, workspace_id=fleet.workspace_id, agent_id=fleet.agent_id, job_id=job_id)
    await pass_time(stepper, clock, 55)
    assert (await fleet.one_job())["cancel_asked_at"] is None
    await pass_time(stepper, clock, 10)
    assert (await fleet.one_job())["cancel_asked_at"] is not None, "whoever has it reads that"
    await pass_time(stepper, clock, 15)
    assert (await fleet.one_job())["status"] == "failure"


async def test_a_start_that_takes_longer_than_it_may_went_unanswered(timed, clock, tmp_path):
    tool = Tool(clock, hangs=True)
    stepper, fleet = await a_tool_fleet(timed, tmp_path, tool, startTimeoutSeconds=0.1)
    await fleet.version("1.0.0")
    await stepper.run(kinds=["round"], patience_s=0)
    with pytest.raises(Exception, match="did not answer a start"):
        await stepper.flow.dispatch_job(await stepper.claim("dispatch"))
    assert (await fleet.one_job())["handover"] == "starting"


async def test_the_interval_of_the_config_is_gone_by_and_a_change_holds_for_what_runs(timed, clock, tmp_path):
    tool = Tool(clock, ends_as=None)
    stepper, fleet = await a_tool_fleet(timed, tmp_path, tool, pollIntervalSeconds=20)
    await fleet.version("1.0.0")
    await pass_time(stepper, clock, 100, every_s=1)
    looks = [verb for verb, _ in tool.calls].count("observe")
    assert 4 <= looks <= 6
    async with fleet.tx() as tx:
        await save_agent(
            tx,
            fleet.workspace_id,
            agent_id=fleet.agent_id,
            name="runner",
            kind="tool",
            metadata={},
            config={"pollIntervalSeconds": 2},
        )
    await pass_time(stepper, clock, 60, every_s=1)
    assert [verb for verb, _ in tool.calls].count("observe") > looks + 15
    assert tool.configs[-1] == {"pollIntervalSeconds": 2}
    assert len(await fleet.jobs()) == 1, "how often it is asked is no reason to deploy again"


async def test_a_deployments_config_goes_before_its_agents_and_a_versions_before_both(timed, clock, tmp_path):
    tool = Tool(clock, ends_as=None)
    stepper, fleet = await a_tool_fleet(timed, tmp_path, tool, timeoutSeconds=10)
    await fleet.version("1.0.0", config={"timeoutSeconds": 40})
    await pass_time(stepper, clock, 30)
    assert (await fleet.one_job())["status"] == "inProgress"
    await pass_time(stepper, clock, 20)
    assert (await fleet.one_job())["status"] == "failure"

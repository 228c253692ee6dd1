"""How fast are jobs handed over, and how little do agents disturb each other?

One real worker process with all its loops, PostgreSQL with fsync on, agents that live in the worker: one answers at
once, one takes its time over every call. So what is measured is Interlock.

    a second      1,000 jobs of ten deployments, with the agent that answers at once
    idle          from the decision (the job's row) to the hand-over, one job at a time
    rate          1,000 jobs at once on an agent that takes 3,000 a minute: how long beyond the ideal, and in order?
    isolation     idle, while another agent that takes 3 s a call has 200 jobs to start; p99 against without it, in
                  turns, and the same with a worker whose agents share all slots, as it was before
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from bench.ground import Finding, Fleet, a_database, a_fleet, percentile
from bench.latency import rest

from interlock.agents import Agent
from interlock.model.errors import AgentUnavailable
from interlock.model.ids import new_id
from interlock.model.job import AgentClass, AgentJob, Authorization, JobStatus, Observation
from interlock.settings import Settings
from interlock.store.deployments import save_deployment
from interlock.store.systems import link
from interlock.store.tx import Store
from interlock.store.work import WorkRequest, request_work
from interlock.workers import run_workers

AT_ONCE, DEPLOYMENTS = 1_000, 10
RATED, PER_MINUTE = 1_000, 3_000
IDLE, TURNS = 20, 2
SLOW_JOBS, SLOW_CALL_S = 200, 3.0
BUDGET_RATIO = 1.2


@dataclass(frozen=True, slots=True)
class Paced:
    """An agent every call of which takes so long. Its runs end at once, or a start always says "later"."""

    kind: str
    call_s: float
    ends: bool
    klass: AgentClass = AgentClass.KEYED
    capabilities: frozenset[str] = frozenset()
    observe_every_s: float = 1.0

    def check_config(self, config: Mapping[str, object]) -> None:
        """Anything goes."""

    async def start(self, job: AgentJob, authorization: Authorization) -> Observation:
        """Done, or under way."""
        _ = job, authorization
        seen = await self._seen()
        if not self.ends:
            raise AgentUnavailable("Another operation runs.", retry_after_s=0.1)
        return seen

    async def find(self, job: AgentJob) -> Observation | None:
        """As it goes."""
        _ = job
        return await self._seen()

    async def observe(self, job: AgentJob) -> Observation | None:
        """As it goes."""
        _ = job
        return await self._seen()

    async def cancel(self, job: AgentJob) -> Observation | None:
        """As it goes."""
        _ = job
        return await self._seen()

    def links(self, job: AgentJob, observation: Observation) -> Mapping[str, str]:
        """None."""
        _ = job, observation
        return {}

    async def _seen(self) -> Observation:
        if self.call_s:
            await asyncio.sleep(self.call_s)
        return Observation(JobStatus.SUCCESSFUL if self.ends else JobStatus.IN_PROGRESS)


async def work(url: str) -> None:
    """The worker process."""
    agents = {"instant": Paced("instant", 0.0, ends=True), "slow": Paced("slow", SLOW_CALL_S, ends=False)}
    store = await Store.open(url)
    await run_workers(store, cast("Mapping[str, Agent]", agents), {}, Settings(), asyncio.Event())


@contextlib.asynccontextmanager
async def a_worker(url: str, **settings: str) -> AsyncIterator[None]:
    """This file as a worker, until the block ends."""
    quiet = asyncio.subprocess.DEVNULL
    folder = str(Path(__file__).resolve().parents[1])
    paths = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": paths, **settings}
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.handover", url, cwd=folder, env=environment, stdout=quiet, stderr=quiet
    )
    try:
        yield
    finally:
        worker.kill()
        await worker.wait()


async def handed_over(fleet: Fleet, jobs: int) -> list[tuple[float, float]]:
    """Wait until so many jobs of the newest version are handed over; when each was made and handed over, in order."""
    text = (
        "SELECT extract(epoch FROM j.created_at)::float8 AS made, extract(epoch FROM j.handed_over_at)::float8 AS had "
        "FROM job j JOIN move m ON m.id = j.move_id WHERE j.deployment_id = $1 AND j.handed_over_at IS NOT NULL "
        "AND m.version_id = (SELECT id FROM version WHERE deployment_id = $1 ORDER BY created_at DESC LIMIT 1) "
        "ORDER BY j.created_at, j.id"
    )
    async with asyncio.timeout(180), fleet.store.read() as conn:
        while True:
            rows = await conn.fetch(text, fleet.deployment_id)
            if len(rows) >= jobs:
                return [(row["made"], row["had"]) for row in rows]
            await asyncio.sleep(0.02 if jobs < 10 else 0.3)


async def idle_ms(fleet: Fleet, *, tag: str) -> list[float]:
    """Milliseconds from decision to hand-over, version after version."""
    took = []
    for number in range(IDLE):
        await fleet.version(f"{tag}.{number}")
        rows = await handed_over(fleet, 3)
        if number >= 2:
            took += [(had - made) * 1000 for made, had in rows]
        await asyncio.sleep(0.02)
    return took


async def at_once(store: Store, tag: str, config: Mapping[str, Any], jobs: int) -> list[tuple[float, float]]:
    """As many jobs at once, of ten deployments on one agent: when each was made and handed over."""
    fleet = await a_fleet(store, jobs // DEPLOYMENTS - 1, agent_type="instant", agent_config=config)
    names = [fleet.deployment_id, *[await another_deployment(fleet, str(number)) for number in range(1, DEPLOYMENTS)]]
    for deployment_id in names:
        await replace(fleet, deployment_id=deployment_id).version(tag)
    found = [await handed_over(replace(fleet, deployment_id=each), jobs // DEPLOYMENTS) for each in names]
    await rest(fleet)
    return sorted(itertools.chain.from_iterable(found))


async def another_deployment(fleet: Fleet, name: str) -> str:
    """One more deployment in the same system, on the same hosts and agent."""
    deployment_id = new_id()
    async with fleet.tx() as tx:
        await save_deployment(
            tx,
            fleet.workspace_id,
            deployment_id=deployment_id,
            name=f"shop-{name}",
            description=None,
            resource_selector='resource.kind == "Host"',
            job_agent_selector='jobAgent.name == "runner"',
            job_agent_config={},
            job_agents=None,
            metadata={},
            supersede="wait",
        )
        await link(tx, fleet.workspace_id, system_id=fleet.system_id, child_kind="deployment", child_id=deployment_id)
    return deployment_id


async def with_and_without(store: Store, small: Fleet, slow: Fleet, *, tag: str) -> tuple[list[float], list[float]]:
    """A quiet fleet's hand-overs without and with 200 hand-overs of another agent under way, each call taking 3 s; in
    turns, so that what else the machine does is in both.
    """
    alone: list[float] = []
    beside: list[float] = []
    for turn in range(TURNS):
        alone += await idle_ms(small, tag=f"{tag}.{turn}.a")
        async with store.read() as conn:
            jobs = await conn.fetch("SELECT id::text FROM job WHERE deployment_id = $1", slow.deployment_id)
            await request_work(conn, [WorkRequest("dispatch", row["id"], slow.workspace_id) for row in jobs])
        await asyncio.sleep(SLOW_CALL_S)
        beside += await idle_ms(small, tag=f"{tag}.{turn}.b")
        async with store.read() as conn:  # nobody looks at these any further
            await conn.execute("DELETE FROM work WHERE kind = 'dispatch' AND workspace_id = $1", slow.workspace_id)
        await asyncio.sleep(SLOW_CALL_S)
    return alone, beside


async def measure() -> list[Finding]:
    """All of it, in one database; two workers, one after the other."""
    found = []
    async with a_database() as url:
        store = await Store.open(url)
        try:
            async with a_worker(url):
                rows = await at_once(store, "1.0", {}, AT_ONCE)
                took_s = max(had for _, had in rows) - min(made for made, _ in rows)
                print(f"    {AT_ONCE:,} at once, of {DEPLOYMENTS} deployments   {AT_ONCE / took_s:,.0f} a second")
                found.append(Finding("jobs handed over a second", AT_ONCE / took_s, None, "/s", more_is_better=True))
                found += _of_rate(await at_once(store, "1.0", {"ratePerMinute": PER_MINUTE}, RATED))
                small = await a_fleet(store, 2, agent_type="instant", agent_config={})
                slow = await a_fleet(store, SLOW_JOBS - 1, agent_type="slow", agent_config={})
                await slow.version("1.0")
                await asyncio.sleep(2 * SLOW_CALL_S)
                alone, beside = await with_and_without(store, small, slow, tag="1")
            async with a_worker(url, INTERLOCK_AGENT_SLOTS="16", INTERLOCK_CALL_SLOTS="16"):
                unshared, shared = await with_and_without(store, small, slow, tag="2")
        finally:
            await store.close()
    p50, p99 = percentile(alone, 0.5), percentile(alone, 0.99)
    print(f"    decision to hand-over, idle   p50 {p50:.1f} ms   p99 {p99:.1f} ms")
    ratio, without = _compared("beside a slow agent", alone, beside), _compared("no lanes", unshared, shared)
    return [
        *found,
        Finding("decision -> job handed over, p50", p50, None, "ms"),
        Finding("decision -> job handed over, p99", p99, None, "ms"),
        Finding("p99 of the others beside a slow agent, of without it", ratio, BUDGET_RATIO, ""),
        Finding("the same where agents share all slots", without, None, ""),
    ]


def _compared(what: str, alone: list[float], beside: list[float]) -> float:
    ratios = [percentile(beside, share) / percentile(alone, share) for share in (0.5, 0.9, 0.99)]
    print(f"    {what:<26}   p50 {ratios[0]:.2f}   p90 {ratios[1]:.2f}   p99 {ratios[2]:.2f} of without it")
    return ratios[2]


def _of_rate(rows: list[tuple[float, float]]) -> list[Finding]:
    had = [at for _, at in rows]
    spent_s, ideal_s = max(had) - min(had), (RATED - 1) * 60 / PER_MINUTE
    behind = sum(b < a - 0.05 for a, b in itertools.pairwise(had))
    most = max(sum(begin <= at < begin + 1 for at in had) for begin in had[::10])
    print(
        f"    {RATED:,} at {PER_MINUTE:,} a minute   {spent_s:.1f} s (ideal {ideal_s:.1f} s), at most {most} in a "
        f"second, {behind} out of order"
    )
    return [Finding("1,000 jobs at a rate: time, of the ideal", spent_s / ideal_s, None, "")]


def main() -> list[Finding]:
    """Print the figures."""
    print("Jobs handed over: one worker process, agents in it.")
    return asyncio.run(measure())


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))

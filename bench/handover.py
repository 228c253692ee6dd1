"""How fast are jobs handed over, and how little do agents disturb each other?

One real worker process with all its loops, PostgreSQL with fsync on, agents that live in the worker: one answers at
once, one takes its time over every call. So what is measured is Interlock.

    a second      jobs of one round handed over a second, with the agent that answers at once
    idle          from the decision (the job's row) to the hand-over, one job at a time
    rate          1,000 jobs at once on an agent that takes 6,000 a minute: how long beyond the ideal, and in order?
    isolation     idle, while another agent that takes 3 s a call has 200 jobs under way; p99 against without it
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bench.ground import Finding, Fleet, a_database, a_fleet, percentile
from bench.latency import rest

from interlock.agents import Agent
from interlock.model.job import AgentClass, AgentJob, Authorization, JobStatus, Observation
from interlock.settings import Settings
from interlock.store.tx import Store
from interlock.workers import run_workers

AT_ONCE = 2_000
RATED, PER_MINUTE = 1_000, 6_000
IDLE = 120
SLOW_JOBS, SLOW_CALL_S = 200, 3.0
BUDGET_RATIO = 1.2


@dataclass(frozen=True, slots=True)
class Paced:
    """An agent every call of which takes so long. Its runs end with the first look, or never."""

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
        return await self._seen()

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
async def a_worker(url: str) -> AsyncIterator[None]:
    """This file as a worker, until the block ends."""
    quiet = asyncio.subprocess.DEVNULL
    folder = str(Path(__file__).resolve().parents[1])
    paths = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.handover", url, cwd=folder, env={**os.environ, "PYTHONPATH": paths}, stderr=quiet
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
    for number in range(IDLE + 10):
        await fleet.version(f"{tag}.{number}")
        rows = await handed_over(fleet, 3)
        if number >= 10:
            took += [(had - made) * 1000 for made, had in rows]
        await asyncio.sleep(0.02)
    return took


async def measure() -> list[Finding]:
    """All four, in one database with one worker."""
    found = []
    async with a_database() as url, a_worker(url):
        store = await Store.open(url)
        try:
            fleet = await a_fleet(store, AT_ONCE - 1, agent_type="instant", agent_config={})
            await fleet.version("1.0")
            rows = await handed_over(fleet, AT_ONCE)
            took_s = max(had for _, had in rows) - min(made for made, _ in rows)
            a_second = AT_ONCE / took_s
            waits = [(had - made) * 1000 for made, had in rows]
            print(f"    {AT_ONCE:,} at once   {a_second:,.0f} a second, the last after {max(waits) / 1000:.1f} s")
            found.append(Finding("jobs handed over a second", a_second, None, "/s", more_is_better=True))
            await rest(fleet)

            small = await a_fleet(store, 2, agent_type="instant", agent_config={})
            alone = await idle_ms(small, tag="1")
            p50, p99 = percentile(alone, 0.5), percentile(alone, 0.99)
            print(f"    decision to hand-over, idle   p50 {p50:.1f} ms   p99 {p99:.1f} ms")
            found += [
                Finding("decision -> job handed over, p50", p50, None, "ms"),
                Finding("decision -> job handed over, p99", p99, None, "ms"),
            ]

            rated = await a_fleet(
                store, RATED - 1, agent_type="instant", agent_config={"ratePerMinute": PER_MINUTE}
            )
            await rated.version("1.0")
            rows = await handed_over(rated, RATED)
            found += _of_rate(rows)
            await rest(rated)

            slow = await a_fleet(store, SLOW_JOBS - 1, agent_type="slow", agent_config={})
            await slow.version("1.0")
            await asyncio.sleep(2 * SLOW_CALL_S)
            beside = await idle_ms(small, tag="2")
            ratio = percentile(beside, 0.99) / p99
            print(f"    beside a slow agent           p50 {percentile(beside, 0.5):.1f} ms   "
                  f"p99 {percentile(beside, 0.99):.1f} ms   {ratio:.2f} of without it")
            found.append(Finding("p99 of the others beside a slow agent, of without it", ratio, BUDGET_RATIO, ""))
        finally:
            await store.close()
    return found


def _of_rate(rows: list[tuple[float, float]]) -> list[Finding]:
    had = [at for _, at in rows]
    spent_s, ideal_s = max(had) - min(had), (RATED - 1) * 60 / PER_MINUTE
    behind = sum(b < a - 0.05 for a, b in itertools.pairwise(had))
    most = max(sum(begin <= at < begin + 1 for at in had) for begin in had[::10])
    print(f"    {RATED:,} at {PER_MINUTE:,} a minute   {spent_s:.1f} s (ideal {ideal_s:.1f} s), at most {most} in a "
          f"second, {behind} out of order")
    return [Finding("1,000 jobs at a rate: time, of the ideal", spent_s / ideal_s, None, "")]


def main() -> list[Finding]:
    """Print the figures."""
    print("Jobs handed over: one worker process, agents in it.")
    return asyncio.run(measure())


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))

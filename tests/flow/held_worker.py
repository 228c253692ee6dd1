"""A worker that stops each job at a named point, and waits there to be killed.

    python -m tests.flow.held_worker DATABASE_URL FOLDER

It is the product's worker, with the product's agents and store; around both stands something that looks whether a job
has reached its point. The point of a job is its deployment's name up to the first dot. A job without one goes on. Each
job that has arrived writes a line with its deployment's name to FOLDER/arrived; when all have, whoever started this
kills it: one kill, and every job is hit at a point of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import uvloop

from interlock import flow
from interlock.agents import build_agents
from interlock.agents.exec import ExecAgent, Run
from interlock.metrics import build_metrics
from interlock.model.job import AgentJob, Observation
from interlock.outside.http import Http
from interlock.outside.secrets import Keyring
from interlock.settings import Settings
from interlock.store.tx import Store, Tx
from interlock.workers import run_workers

KEY = "t2KcBzF3bXq0i4mWb6u1x6m0b3kqk5e8yVwzH0nq1nE="


class Point(StrEnum):
    """Where a worker dies. As slugs, because deployments are named so."""

    BEFORE_HANDOVER = "before-the-hand-over-commits"
    AFTER_HANDOVER = "after-the-hand-over-before-the-call"
    IN_CALL = "during-the-call-before-anything-is-done"
    IN_CALL_DONE = "during-the-call-when-it-is-done"
    AFTER_CALL = "after-the-call-before-it-is-settled"
    BEFORE_SETTLING = "before-the-settling-commits"
    AFTER_SETTLING = "after-it-is-settled-before-a-look"
    BEFORE_LOOK = "before-a-look"
    AFTER_LOOK = "after-a-look-before-it-is-recorded"
    AT_END = "at-the-end-before-it-is-recorded"
    BEFORE_END = "before-the-end-commits"
    BEFORE_CANCEL = "before-the-cancel-is-passed-on"
    AFTER_CANCEL = "after-the-cancel-before-it-is-recorded"


def settings(folder: Path) -> Settings:
    """Leases are long, because a held worker is slow on purpose; whoever kills it ends them."""
    return Settings(
        data=folder,
        exec_agent=True,
        allow_private_addresses=True,
        work_lease_s=60.0,
        work_poll_s=0.2,
        round_gap_s=0.0,
        worker_slots=128,
        pool_max=40,
    )


@dataclass(slots=True)
class Arrivals:
    """Which job is to stop where, and which has."""

    folder: Path
    names_by_job: dict[str, str] = field(default_factory=dict)

    def learn(self, job: AgentJob) -> None:
        """A job as its agent sees it."""
        self.names_by_job[job.id] = str(job.context["deployment"]["name"])  # type: ignore[index]

    def is_at(self, job_id: str, point: Point) -> bool:
        """Whether this is where the job stops."""
        return self.names_by_job.get(job_id, "").partition(".")[0] == point

    async def hold(self, job_id: str, point: Point) -> None:
        """Stop here for ever, if this is the job's point."""
        if self.is_at(job_id, point):
            self.arrive(job_id)
            await asyncio.Event().wait()

    def hold_thread(self, job_id: str, point: Point) -> None:
        """The same in a thread."""
        if self.is_at(job_id, point):
            self.arrive(job_id)
            threading.Event().wait()

    def arrive(self, job_id: str) -> None:
        """Tell it in one write."""
        file = os.open(self.folder / "arrived", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, (self.names_by_job[job_id] + "\n").encode())
        os.close(file)


class HeldStore(Store):
    """Looks at a job's hand-over before and after each commit that is about it."""

    arrivals: Arrivals
    handovers: dict[str, str]

    @contextlib.asynccontextmanager
    async def tx(self, **how: Any) -> AsyncIterator[Tx]:
        claim = how.get("claim")
        about = claim.key if claim is not None and claim.kind in {"dispatch", "observe"} else None
        was = now = None
        async with super().tx(**how) as tx:
            yield tx
            if about is not None:
                row = await tx.conn.fetchrow(
                    "SELECT d.name, j.handover, j.status FROM job j JOIN deployment d ON d.id = j.deployment_id "
                    "WHERE j.id = $1",
                    about,
                )
                self.arrivals.names_by_job[about] = row["name"]
                was, now = self.handovers.get(about, "waiting"), row["handover"]
                if (was, now) == ("waiting", "starting"):
                    await self.arrivals.hold(about, Point.BEFORE_HANDOVER)
                if was != "started" and now == "started":
                    await self.arrivals.hold(about, Point.BEFORE_SETTLING)
                if row["status"] in {"successful", "failure"}:
                    await self.arrivals.hold(about, Point.BEFORE_END)
        if about is not None:
            assert now is not None
            self.handovers[about] = now
            if (was, now) == ("waiting", "starting"):
                await self.arrivals.hold(about, Point.AFTER_HANDOVER)
            if was != "started" and now == "started":
                await self.arrivals.hold(about, Point.AFTER_SETTLING)


class HeldAgent:
    """An agent that is looked at before and after each call."""

    def __init__(self, agent: Any, arrivals: Arrivals) -> None:
        self._agent, self._arrivals = agent, arrivals

    def __getattr__(self, name: str) -> Any:
        return getattr(self._agent, name)

    async def start(self, job: AgentJob, authorization: Any) -> Observation:
        self._arrivals.learn(job)
        seen = await self._agent.start(job, authorization)
        await self._arrivals.hold(job.id, Point.AFTER_CALL)
        return seen

    async def observe(self, job: AgentJob) -> Observation | None:
        self._arrivals.learn(job)
        await self._arrivals.hold(job.id, Point.BEFORE_LOOK)
        seen = await self._agent.observe(job)
        await self._arrivals.hold(job.id, Point.AFTER_LOOK)
        if seen is not None and seen.status is not None and seen.status.terminal:
            await self._arrivals.hold(job.id, Point.AT_END)
        return seen

    async def cancel(self, job: AgentJob) -> Observation | None:
        self._arrivals.learn(job)
        await self._arrivals.hold(job.id, Point.BEFORE_CANCEL)
        seen = await self._agent.cancel(job)
        await self._arrivals.hold(job.id, Point.AFTER_CANCEL)
        return seen


class HeldExec(ExecAgent):
    """A call of this agent is a process that it starts."""

    arrivals: Arrivals

    def _begin(self, run: Run) -> None:
        job_id = run.folder.parent.name
        self.arrivals.hold_thread(job_id, Point.IN_CALL)
        super()._begin(run)
        self.arrivals.hold_thread(job_id, Point.IN_CALL_DONE)


async def main(url: str, folder: Path) -> None:
    """Work until killed."""
    flow.AGENT_CALL_S = 600.0  # who is held is not late
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(64))
    arrivals, set_up = Arrivals(folder), settings(folder)
    store = await HeldStore.open(url, pool_max=set_up.pool_max, keyring=Keyring([KEY]))
    assert isinstance(store, HeldStore)
    store.arrivals, store.handovers = arrivals, {}
    async with Http(allow_private_addresses=True) as http:
        built = build_agents(exec_root=folder / "exec", exec_enabled=True, http=http)
        command = HeldExec(folder / "exec", enabled=True)
        command.arrivals = arrivals
        built["exec"] = command
        agents: Any = {kind: HeldAgent(agent, arrivals) for kind, agent in built.items()}
        await run_workers(store, agents, build_metrics(http), set_up, asyncio.Event())


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1], Path(sys.argv[2])))

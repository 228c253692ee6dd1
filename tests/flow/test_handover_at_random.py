"""Many jobs, workers that are killed and tools that misbehave at random: is every promise kept, and is every job over?

A seed is a story: which agents, which faults at which calls, which jobs somebody cancels, after how many hand-overs a
worker process is killed. What happens between is the machine's, so a seed that fails is tried again a few times.

    INTERLOCK_SCHEDULES   how many stories (1)
    INTERLOCK_SEED        the first one's seed

Source: core.md section 5, "Promise"; issue 5.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from interlock.model.job import AgentClass
from tests.flow.test_handover_faults import PATIENCE_S, ROOT, Row, Stage, a_stage, a_worker
from tests.store.fleet import until

SCHEDULES = int(os.environ.get("INTERLOCK_SCHEDULES", "1"))
SEED = int(os.environ.get("INTERLOCK_SEED", "5"))
JOBS = 16
KILLS = 2

AGENTS = ("exec", "argo-cd", "argo-workflow", "kubernetes", "github-app", "gitlab", "tfe")
FAULTS: tuple[dict[str, Any], ...] = (
    {"cut": True},
    {"cut_after": True},
    {"wait_s": 0.5},
    {"late_s": 0.5},
    {"status": 429, "headers": {"Retry-After": "1"}},
    {"status": 500},
    {"status": 503},
    {"status": 200, "body": b"<html>"},
    {"status": 401, "method": "GET"},
)

ENDS = {
    AgentClass.KEYED: {"successful", "cancelled"},
    AgentClass.FINDABLE: {"successful", "cancelled", "externalRunNotFound"},
}


@contextlib.asynccontextmanager
async def a_worker_process(url: str, folder: Path):
    """The product's worker in a process of its own; killed at the end of the block."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", ROOT, ROOT / "tests")))}
    with (folder / "worker.log").open("ab") as log:
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.flow.held_worker", url, str(folder), cwd=ROOT, env=environment, stderr=log
        )
    try:
        yield worker
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGKILL)
        await worker.wait()


async def play(stage: Stage, url: str, chance: Random) -> None:
    """Hand all jobs over while workers die, then let one that lives finish."""
    for outside in stage.outsides.values():
        if outside.server is not None:
            for fault in chance.sample(FAULTS, chance.randrange(4)):
                outside.server.next_is(**fault, after=chance.randrange(5))
    to_cancel = set(chance.sample(list(stage.outsides), 3))
    for deployment_id in stage.deployments.values():
        await stage.fleet.version("1.0.0", deployment_id=deployment_id)
    for _ in range(KILLS):
        wanted = chance.randrange(1, JOBS)
        async with a_worker_process(url, stage.folder) as worker:

            async def so_many_have_been_handed_over(wanted: int = wanted, worker: Any = worker) -> bool:
                assert worker.returncode is None, (stage.folder / "worker.log").read_text()[-3000:]
                return sum(job["handover"] != "waiting" for job in stage.jobs.values()) >= wanted

            await until(so_many_have_been_handed_over, timeout_s=PATIENCE_S)
        async with stage.fleet.store.read() as conn:  # its leases end
            await conn.execute("UPDATE work SET leased_until = clock_timestamp() WHERE owner IS NOT NULL")
    async with a_worker(stage.fleet.store, stage.folder):
        asked = {row for row in to_cancel if stage.job(row) is not None and stage.job(row)["completed_at"] is None}
        for row in asked:  # a job that is not there yet runs to its end
            await stage.ask_cancel(row)
        await stage.finish(set(stage.outsides) - asked)


def broken_promises(stage: Stage) -> list[str]:
    """What must not be, in words."""
    wrong = []
    for row, outside in stage.outsides.items():
        job, runs = stage.job(row), outside.runs() or 0
        told = f"{row.name}: {job['status']} after {runs} runs and {job['attempt']} attempts: {job['message']}"
        refused = job["status"] == "failure" and not runs  # the first call of its start met a 401
        if job["status"] not in ENDS[outside.klass] and not refused:
            wrong.append(f"ended otherwise than promised: {told}")
        if job["status"] == "successful" and not runs:
            wrong.append(f"nothing ran: {told}")
        if outside.klass is AgentClass.KEYED and runs > 1:
            wrong.append(f"ran twice: {told}")
        if outside.klass is AgentClass.FINDABLE and runs > (job["attempt"] if row.config else 1):
            wrong.append(f"ran more often than it was handed over: {told}")
    return wrong


def rows(chance: Random) -> list[Row]:
    found = []
    for number in range(JOBS):
        agent = chance.choice(AGENTS)
        repeats = agent in {"github-app", "gitlab", "tfe"} and chance.random() < 0.5
        found.append(Row(agent, f"story-{number}", "", 0, (("repeatUncertain", True),) if repeats else ()))
    return found


@pytest.mark.e2e
@pytest.mark.parametrize("seed", range(SEED, SEED + SCHEDULES))
async def test_whatever_happens_when_every_job_ends_and_runs_as_often_as_its_class_promises(
    database_url, folder_for_all, seed
):
    chance = Random(seed)
    async with a_stage(database_url, folder_for_all(), rows(chance)) as stage:
        try:
            await play(stage, database_url, chance)
        except BaseException as error:
            left = [f"{row.name}: {stage.job(row)}" for row in stage.outsides if not _is_over(stage, row)]
            error.add_note(f"INTERLOCK_SEED={seed}\n" + "\n".join(left)[:4000])
            raise
        wrong = broken_promises(stage)
        async with stage.fleet.store.read() as conn:
            buried = await conn.fetch("SELECT kind, key, last_error FROM work WHERE buried_at IS NOT NULL")
        wrong += [f"buried: {tuple(row)}" for row in buried]
    assert not wrong, f"INTERLOCK_SEED={seed}\n" + "\n".join(wrong)


def _is_over(stage: Stage, row: Row) -> bool:
    job = stage.job(row)
    return job is not None and job["completed_at"] is not None

"""How long does it take from a version to its first job, on an idle system?

From the call that creates the version to the instant at which the agent has the job, through a real worker process with
all its loops, on PostgreSQL with fsync on. The commit of the version notifies the worker; nothing polls. The fleet has
three hosts, no gate holds. Between two versions the system comes to rest.

The agent is the test runner, so what is measured is Interlock: the version's transaction, the wake-up, the round, the
hand-over's transaction. The worker's clock and PostgreSQL's are the same machine's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from bench.ground import Finding, Fleet, a_database, a_fleet, percentile

from interlock.store.tx import Store

VERSIONS = 100
WARM_UP = 10
BUDGET_P50_MS, BUDGET_P99_MS = 50.0, 250.0


@contextlib.asynccontextmanager
async def a_worker(url: str) -> AsyncIterator[None]:
    """`interlock worker` as a process of its own."""
    environment = {**os.environ, "INTERLOCK_DATABASE_URL": url}
    quiet = asyncio.subprocess.DEVNULL
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "interlock.cli", "worker", env=environment, stdout=quiet, stderr=quiet
    )
    try:
        yield
    finally:
        worker.terminate()
        await worker.wait()


async def measure_latency() -> list[float]:
    """Milliseconds from the call to the hand-over, for each version."""
    took = []
    async with a_database() as url, a_worker(url):
        store = await Store.open(url)
        try:
            fleet = await a_fleet(store, 2)
            for number in range(VERSIONS + WARM_UP):
                began = time.time()
                await fleet.version(f"1.{number}")
                handed_over = await handed_over_at(fleet, f"1.{number}")
                if number >= WARM_UP:
                    took.append((handed_over - began) * 1000)
                await rest(fleet)
        finally:
            await store.close()
    return took


async def handed_over_at(fleet: Fleet, tag: str) -> float:
    """When the first job of a version was handed over."""
    text = (
        "SELECT extract(epoch FROM min(j.handed_over_at))::float8 FROM job j JOIN move m ON m.id = j.move_id "
        "JOIN version v ON v.id = m.version_id WHERE v.tag = $1 AND v.deployment_id = $2"
    )
    async with asyncio.timeout(30), fleet.store.read() as conn:
        while True:
            at: float | None = await conn.fetchval(text, tag, fleet.deployment_id)
            if at is not None:
                return at
            await asyncio.sleep(0.01)


async def rest(fleet: Fleet) -> None:
    """Wait until nothing is due or runs."""
    text = "SELECT NOT EXISTS (SELECT FROM work) AND NOT EXISTS (SELECT FROM move WHERE closed_at IS NULL)"
    async with asyncio.timeout(30), fleet.store.read() as conn:
        while not await conn.fetchval(text):  # noqa: ASYNC110 - the answer is in the database
            await asyncio.sleep(0.02)


def main() -> list[Finding]:
    """Print the figures."""
    took = asyncio.run(measure_latency())
    p50, p99 = percentile(took, 0.5), percentile(took, 0.99)
    print(f"Version created -> job handed over, idle, {len(took)} versions; milliseconds.")
    print(f"    p50 {p50:.1f}   p90 {percentile(took, 0.9):.1f}   p99 {p99:.1f}   worst {max(took):.1f}")
    return [
        Finding("version created -> job handed over, p50", p50, BUDGET_P50_MS, "ms"),
        Finding("version created -> job handed over, p99", p99, BUDGET_P99_MS, "ms"),
    ]


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main()

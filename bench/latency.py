"""How long from a version created to its job handed over, on an idle system?

A real worker process on a database of its own; one deployment, one host, the test-runner agent. Every version is
created when the job before it has ended. The figure is the database's: from the commit's transaction that stored the
version to the one that recorded the hand-over.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile

from bench.ground import a_database, a_fleet

from interlock.store.tx import Store

VERSIONS = 60
BUDGET_P50_MS = 50
BUDGET_P99_MS = 250
PATIENCE_S = 20.0

TOOK = """
SELECT extract(epoch FROM j.handed_over_at - v.stored_at)::float8 * 1000 AS ms
FROM job j JOIN move m ON m.id = j.move_id JOIN version v ON v.id = m.version_id
WHERE v.deployment_id = $1 AND v.tag = $2 AND j.status = 'successful'
"""


async def measure() -> list[float]:
    """Milliseconds for each version."""
    took: list[float] = []
    async with a_database() as url:
        store = await Store.open(url)
        fleet = await a_fleet(store, 0)
        with tempfile.TemporaryDirectory() as folder:
            worker = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "interlock.cli", "worker", "--database-url", url),
                cwd=folder,
                env={**os.environ, "INTERLOCK_LOG_LEVEL": "warning"},
            )
            try:
                await asyncio.sleep(3)
                for number in range(VERSIONS + 3):
                    tag = f"1.0.{number}"
                    await fleet.version(tag)
                    took.append(await handed_over(store, fleet.deployment_id, tag))
                    await asyncio.sleep(0.3)
            finally:
                worker.terminate()
                await worker.wait()
        await store.close()
    return took[3:]


async def handed_over(store: Store, deployment_id: str, tag: str) -> float:
    """Wait for a version's job to end; how long its hand-over took."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with store.read() as conn:
                ms = await conn.fetchval(TOOK, deployment_id, tag)
            if ms is not None:
                return float(ms)
            await asyncio.sleep(0.05)


def main() -> int:
    """Print the figures."""
    took = sorted(asyncio.run(measure()))
    budgets = f"(budgets: p50 {BUDGET_P50_MS}, p99 {BUDGET_P99_MS})"
    print(f"version created to job handed over, idle, {len(took)} versions; milliseconds   {budgets}")
    print(f"p50 {statistics.median(took):.1f}   p99 {took[int(len(took) * 0.99) - 1]:.1f}   max {took[-1]:.1f}")
    return 0


if __name__ == "__main__":
    main()

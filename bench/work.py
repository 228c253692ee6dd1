"""How many work items a second does one worker process take, run and write back?

The step does nothing, so this is the price of the table: asked for 1,000 at a time, claimed as many as there are free
slots, written back many in one statement. One process, PostgreSQL with fsync on, and beside it the same with four
processes' worth of loops in one event loop.
"""

from __future__ import annotations

import asyncio
import time

from bench.ground import Finding, a_database

from interlock.store.tx import Store
from interlock.store.work import Claim, WorkRequest, request_work
from interlock.workers.loop import Loop

ITEMS = 20_000


async def measure_work(loops: int) -> float:
    """Items a second."""
    async with a_database() as url:
        stores = [await Store.open(url) for _ in range(loops)]
        done = asyncio.Event()
        seen = 0

        async def nothing(_: Claim) -> None:
            nonlocal seen
            seen += 1
            if seen == ITEMS:
                done.set()

        for at in range(0, ITEMS, 1_000):
            async with stores[0].read() as conn:
                await request_work(conn, [WorkRequest("bench", str(number)) for number in range(at, at + 1_000)])
        working = [Loop(store, ["bench"], nothing, slots=64) for store in stores]
        began = time.perf_counter()
        tasks = [asyncio.create_task(loop.work()) for loop in working]
        await done.wait()
        took_s = time.perf_counter() - began
        for loop in working:
            loop.stop()
        await asyncio.gather(*tasks)
        for store in stores:
            await store.close()
    return ITEMS / took_s


def main() -> list[Finding]:
    """Print the figures."""
    print(f"Work items taken, run and written back, of {ITEMS:,} that are due; a second.")
    found = []
    for loops in (1, 4):
        rate = asyncio.run(measure_work(loops))
        print(f"    {loops} loop{'s' if loops > 1 else ' '}   {rate:>9,.0f}")
        found.append(Finding(f"work items a second, {loops} loop(s)", rate, None, "/s", more_is_better=True))
    return found


if __name__ == "__main__":
    main()

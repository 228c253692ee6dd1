"""How many work items a second? Asked for, claimed 50 at a time, finished in batches: the table alone, and the whole
loop.

The database is on the same machine with fsync on.
"""

from __future__ import annotations

import asyncio
import time

from bench.ground import a_store

from interlock.store.tx import Store
from interlock.store.work import Claim, Finished, WorkRequest, claim_work, finish_work, request_work
from interlock.workers.loop import Loop

ITEMS = 20_000
BATCH = 50


async def ask(store: Store) -> float:
    """Ask for all items, 1,000 a statement. Gives seconds."""
    began_s = time.perf_counter()
    async with store.read() as conn:
        for begin in range(0, ITEMS, 1000):
            await request_work(conn, [WorkRequest("bench", f"{number:06d}") for number in range(begin, begin + 1000)])
    return time.perf_counter() - began_s


async def by_table(store: Store) -> float:
    """Claim and finish everything on one connection. Gives seconds."""
    began_s = time.perf_counter()
    async with store.read() as conn:
        while claims := await claim_work(conn, ["bench"], items_max=BATCH, owner="bench", lease_s=30.0):
            await finish_work(conn, [Finished(claim) for claim in claims], owner="bench")
    return time.perf_counter() - began_s


async def by_loop(store: Store) -> float:
    """The worker's loop with 64 slots and steps that do nothing. Gives seconds."""
    done = 0
    over = asyncio.Event()

    async def step(_claim: Claim) -> None:
        nonlocal done
        done += 1
        if done == ITEMS:
            over.set()

    loop = Loop(store, ["bench"], step, slots=64)
    began_s = time.perf_counter()
    working = asyncio.create_task(loop.work())
    await over.wait()
    took_s = time.perf_counter() - began_s
    loop.stop()
    await working
    return took_s


async def measure() -> dict[str, float]:
    """What -> items a second."""
    async with a_store() as store:
        asked_s = await ask(store)
        table_s = await by_table(store)
        await ask(store)
        loop_s = await by_loop(store)
    return {"asked for": ITEMS / asked_s, "claimed and finished": ITEMS / table_s, "through the loop": ITEMS / loop_s}


def main() -> int:
    """Print the table."""
    print(f"work items a second, {ITEMS:,} items, {BATCH} a claim")
    for what, rate in asyncio.run(measure()).items():
        print(f"{rate:>10,.0f}  {what}")
    return 0


if __name__ == "__main__":
    main()

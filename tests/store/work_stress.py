"""Worker processes for the stress test: the real loop, on the kind `stress`, until each is killed.

    python work_stress.py DATABASE_URL

Says `ready`, then forks one worker for every line on stdin and says its pid: a new worker works within milliseconds,
because what it imports is imported already. Ends with its stdin; the workers are the caller's to end.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys

import asyncpg

from interlock.model.event import Actor
from interlock.store.tx import Store
from interlock.store.work import Claim
from interlock.workers.loop import Loop

ME = Actor("system", "stress")


async def work(url: str) -> None:
    store = await Store.open(url, pool_max=4)

    async def look(claim: Claim) -> None:
        async with store.read() as conn:
            began_at = await conn.fetchval("SELECT clock_timestamp()")
            seen = await conn.fetchval("SELECT n FROM asked WHERE key = $1", claim.key)
        await asyncio.sleep(random.random() * 0.03)
        try:
            async with store.tx(actor=ME, cause="stress", claim=claim) as tx:
                await tx.conn.execute("UPDATE asked SET seen = $2 WHERE key = $1", claim.key, seen)
                await tx.conn.execute(
                    "INSERT INTO run VALUES (int4range($1, $1 + 1), tstzrange($2, clock_timestamp()))",
                    int(claim.key[1:]),
                    began_at,
                )
        except asyncpg.ExclusionViolationError as overlap:
            async with store.read() as conn:
                await conn.execute("INSERT INTO overlap VALUES ($1)", f"{claim} {overlap.detail}")

    await Loop(store, ["stress"], look, slots=6, lease_s=0.5, attempts_max=1000).work()


def main(url: str) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    print("ready", flush=True)
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os.dup2(2, 1)  # what a worker logs is no answer
            asyncio.run(work(url))
            os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])

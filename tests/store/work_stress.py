"""A worker process for the stress test: the real loop, on the kind `stress`, until it is killed.

python work_stress.py DATABASE_URL
"""

from __future__ import annotations

import asyncio
import random
import sys

import asyncpg

from interlock.model.event import Actor
from interlock.store.tx import Store
from interlock.store.work import Claim
from interlock.workers.loop import Loop

ME = Actor("system", "stress")


async def main(url: str) -> None:
    store = await Store.open(url, pool_max=4)

    async def look(claim: Claim) -> None:
        async with store.read() as conn:
            began_at = await conn.fetchval("SELECT clock_timestamp()")
            seen = await conn.fetchval("SELECT n FROM asked WHERE key = $1", claim.key)
        await asyncio.sleep(random.random() * 0.01)
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


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

"""Who gives ledger rows their place? Whichever worker holds the lock; the others look again when the next rows were
written.

Source: core.md section 7.
"""

from __future__ import annotations

import asyncio

import structlog

from interlock.model.errors import Stale, StoreUnavailable
from interlock.store.ledger import sequence_ledger
from interlock.store.tx import FEED_TOPIC, LEDGER_TOPIC, Store

POLL_S = 1.0
AGAIN_S = 0.05
"""Rows above the horizon (a transaction older than theirs is still open) are looked at again soon."""

log = structlog.get_logger("interlock.workers")


async def keep_sequencing(store: Store) -> None:
    """Place rows as they are written, until cancelled. An outage of the database is waited out."""
    listener = store.wakes.listener([LEDGER_TOPIC])
    try:
        while True:
            listener.clear()
            placed = 0
            try:
                async with store.read() as conn:
                    placed = await sequence_ledger(conn)
            except (StoreUnavailable, Stale) as error:
                log.warning("ledger_not_sequenced", error=str(error))
            if placed:
                store.wakes.announce([FEED_TOPIC])
                await asyncio.sleep(0)
                continue
            woken = await listener.wait(POLL_S)
            if woken:
                await asyncio.sleep(AGAIN_S / 10)
    finally:
        store.wakes.drop(listener)

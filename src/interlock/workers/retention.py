"""What is deleted, and when? Blobs after 90 days without use, measurements and captured output after 30, a batch at a
time.

The ledger, decisions and verdicts stay.

Source: DESIGN.md section 5; core.md section 6.
"""

from __future__ import annotations

import asyncio

import structlog

from interlock.model.errors import Stale, StoreUnavailable
from interlock.store.retention import delete_expired
from interlock.store.tx import Store

log = structlog.get_logger("interlock.workers")

EVERY_S = 3600.0


async def keep_retention(store: Store, *, blob_days: int, measurement_days: int) -> None:
    """Delete what is past its days, once an hour, until cancelled."""
    while True:
        await asyncio.sleep(EVERY_S)
        try:
            async with store.read() as conn:
                deleted = await delete_expired(conn, blob_days=blob_days, measurement_days=measurement_days)
            log.info("retention", deleted=deleted)
        except (StoreUnavailable, Stale) as error:
            log.warning("retention_postponed", error=str(error))

"""What is deleted, and when? Blobs after 90 days without use, measurements, captured output and folders of the exec
agent after 30, a batch at a time.

The ledger, decisions and verdicts stay.

Source: DESIGN.md section 5; core.md section 6.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import structlog

from interlock.agents.exec import purge_runs
from interlock.clock import utc_now
from interlock.model.errors import Stale, StoreUnavailable
from interlock.store.retention import delete_expired
from interlock.store.slos import thin_readings
from interlock.store.tx import Store

log = structlog.get_logger("interlock.workers")

EVERY_S = 3600.0


async def keep_retention(
    store: Store, *, blob_days: int, measurement_days: int, exec_root: Path, every_s: float = EVERY_S
) -> None:
    """Delete what is past its days, again and again, until cancelled.

    Takes: `exec_root` is the folder where runs of the exec agent lie on this machine.
    """
    while True:
        await asyncio.sleep(every_s)
        try:
            async with store.read() as conn:
                deleted = await delete_expired(conn, blob_days=blob_days, measurement_days=measurement_days)
                thinned = await thin_readings(conn)
            kept = timedelta(days=measurement_days)
            runs = await asyncio.to_thread(purge_runs, exec_root, older_than=kept, now=utc_now())
            log.info("retention", deleted=deleted, thinned=thinned, runs=runs)
        except (StoreUnavailable, Stale) as error:
            log.warning("retention_postponed", error=str(error))

"""How are many measurements read and written in few steps? Those that come while one is under way go together.

A measurement alone is a question, and a transaction with its own flush to the disk; ten thousand metrics every half
minute are some three hundred a second. So while one batch is read or written the next one gathers: nobody waits for
company, and the busier it is the larger the batches are. A batch is written in one workspace, each measurement exactly
as if it came alone; if it cannot be written, each of it is tried alone, so that one that fails takes no other with it.

The commit hangs on the claims of all of them: what is measured by a worker that lost its lease is written by nobody.

Source: DESIGN.md section 5 (group commit, as PostgreSQL does within itself); core.md section 8.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from interlock.model.event import Actor
from interlock.model.verification import Measurement
from interlock.store.posted import Posted, take_posted
from interlock.store.tx import Store
from interlock.store.verifications import DueMetric, find_due_metrics, record_measurements
from interlock.store.work import Claim

BATCH_MAX = 50
READERS_MAX = 2
WRITERS_MAX = 2
"""So many batches are written at once: one flushes while the other fills."""

WORKER = Actor("system", "worker")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A measurement to be written, and who waits for it."""

    claim: Claim
    metric: DueMetric
    measured: Measurement
    posted: Posted | None
    written: asyncio.Future[datetime | None]


@dataclass(slots=True)
class Measurements:
    """What was measured and is not written yet, by workspace. One for a process."""

    store: Store
    _asked: dict[str, asyncio.Future[DueMetric | None]] = field(default_factory=dict)
    _reading: set[asyncio.Task[None]] = field(default_factory=set)
    _waiting_by_workspace: dict[str, deque[Waiting]] = field(default_factory=dict)
    _writing: set[asyncio.Task[None]] = field(default_factory=set)

    async def find(self, metric_id: str) -> DueMetric | None:
        """One metric with its context, or None when it is gone.

        Fails: as `Store.read` does.
        """
        asked = self._asked.get(metric_id)
        if asked is None:
            asked = self._asked[metric_id] = asyncio.get_running_loop().create_future()
        if len(self._reading) < READERS_MAX:
            task = asyncio.create_task(self._read_all(), name="due metrics")
            self._reading.add(task)
            task.add_done_callback(self._reading.discard)
        return await asyncio.shield(asked)

    async def _read_all(self) -> None:
        while self._asked:
            batch = {key: self._asked.pop(key) for key in list(self._asked)[:BATCH_MAX]}
            try:
                async with self.store.read() as conn:
                    found = await find_due_metrics(conn, list(batch))
            except Exception as failed:  # noqa: BLE001 - whoever waits for it gets it
                for one in batch.values():
                    one.set_exception(failed)
                continue
            for key, one in batch.items():
                one.set_result(found.get(key))

    async def record(
        self, claim: Claim, metric: DueMetric, measured: Measurement, *, posted: Posted | None = None
    ) -> datetime | None:
        """Write one measurement and what follows from it.

        Takes: `posted` is the result that it was read from, where an outside system posts them.
        Gives: when its metric is due again; None when it is over.
        Fails: as `Store.tx` does.
        """
        one = Waiting(claim, metric, measured, posted, asyncio.get_running_loop().create_future())
        self._waiting_by_workspace.setdefault(metric.workspace_id, deque()).append(one)
        if len(self._writing) < WRITERS_MAX:
            task = asyncio.create_task(self._write_all(), name="measurements")
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)
        return await one.written

    async def _write_all(self) -> None:
        while self._waiting_by_workspace:
            workspace_id = next(iter(self._waiting_by_workspace))
            waiting = self._waiting_by_workspace.pop(workspace_id)
            batch = [waiting.popleft() for _ in range(min(len(waiting), BATCH_MAX))]
            if waiting:
                self._waiting_by_workspace[workspace_id] = waiting  # behind the other workspaces
            await self._write_or_split(batch)

    async def _write_or_split(self, batch: Sequence[Waiting]) -> None:
        try:
            written = await self._write(batch)
        except Exception as failed:  # noqa: BLE001 - whoever waits for it gets it
            if len(batch) > 1:
                for one in batch:
                    await self._write_or_split([one])
            elif not batch[0].written.done():
                batch[0].written.set_exception(failed)
            return
        for one, again_at in zip(batch, written, strict=True):
            if not one.written.done():
                one.written.set_result(again_at)

    async def _write(self, batch: Sequence[Waiting]) -> tuple[datetime | None, ...]:
        """One transaction. Its chain is not that of one change: each event names its own."""
        first = batch[0].metric
        async with self.store.tx(
            actor=WORKER,
            cause="measure",
            workspace_id=first.workspace_id,
            claims=[one.claim for one in batch],
            chain=first.change_id if len(batch) == 1 else None,
        ) as tx:
            again_at = await record_measurements(tx, [(one.metric, one.measured) for one in batch])
            for one in batch:
                if one.posted is not None:
                    at = one.measured.measured_at
                    await take_posted(tx, one.posted, metric_id=one.metric.id, measured_at=at)
        return again_at

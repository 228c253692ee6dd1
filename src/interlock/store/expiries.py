"""When did a pin, a skip, a freeze or an incident end by itself? Noted once, soon after the instant.

Nothing waits for this: whoever reads an override compares its end with his own now, and a round wakes at that instant
by its own `wake_at`. What is written here is the ledger's entry, so that a person finds it; and the looks that it asks
for are a second road to the rounds.

A work item stands at each end (`expire`, `freeze:<id>`). It may come early, because an end was moved, and twice.

Source: core.md sections 7 and 8.
"""

from __future__ import annotations

from datetime import datetime

import asyncpg

from interlock.model.event import Event, Ref
from interlock.store.incidents import note_end
from interlock.store.queries import queries
from interlock.store.tx import Tx
from interlock.store.work import OWN_FACTS, WorkRequest

Q = queries("expiry")

_STEPS = {
    "pin": (Q.end_pin, Q.find_pin_end),
    "skip": (Q.end_skip, Q.find_skip_end),
    "freeze": (Q.end_freeze, Q.find_freeze_end),
}

ABOUT = ("deployment", "version", "environment", "target", "resource")


async def note_expiry(tx: Tx, workspace_id: str, *, kind: str, subject_id: str) -> datetime | None:
    """Note that an override reached its end. Gives the instant to look again, when the end lies ahead."""
    if kind == "incident":
        return await note_end(tx, workspace_id, subject_id)
    end, find_end = _STEPS[kind]
    row = await tx.conn.fetchrow(end, subject_id)
    if row is None:
        at: datetime | None = await tx.conn.fetchval(find_end, subject_id)
        return at
    if kind == "freeze":
        refs = [Ref(row["scope_kind"], row["scope_id"] or workspace_id)]
        wake = WorkRequest("wake", f"freeze:{subject_id}", workspace_id, None, OWN_FACTS)
    else:
        refs = _refs(row)
        wake = WorkRequest("round", row["deployment_id"], workspace_id, None, OWN_FACTS)
    event = Event(_KINDS[kind], Ref(kind, subject_id), {}, refs=tuple(refs))
    await tx.record(events=[event], wakes=[wake])
    return None


_KINDS = {"pin": "pin.expired", "skip": "skip.expired", "freeze": "freeze.expired"}


def _refs(row: asyncpg.Record) -> list[Ref]:
    return [Ref(about, row[f"{about}_id"]) for about in ABOUT if row[f"{about}_id"] is not None]

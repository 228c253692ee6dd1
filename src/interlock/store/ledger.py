"""What happened, in which order? Rows of the ledger, their place in the feed, and reading it.

Writing and ordering are apart, because transactions commit in another order than they write. A transaction writes its
rows with its own number (`xid8`). Later *one* sequencer gives every row below the snapshot's `xmin` (every
transaction before it has ended) its place in `ledger_order`: 1, 2, 3, … without a gap, in (xid, id) order. A reader
that has seen place n never misses a later one, which no timestamp and no sequence can promise. Feeds, Last-Event-ID
and webhooks know only the place.

A transaction that stays open holds the horizon for everybody; `find_held_horizon` names it.

Source: core.md section 7. Body bytes: RFC 8785.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg
import orjson

from interlock.model.canonical import canonical
from interlock.model.errors import Bug
from interlock.model.event import Actor, Event, Ref
from interlock.model.secret import MARKER, masked
from interlock.store.queries import Conn, queries

Q = queries("ledger")

PLACE_MAX = 5_000
"""Rows that get their place in one transaction of the sequencer."""

LAST = 2**63 - 1
"""A place after every other: read back from here for the newest."""

_JOIN = "\x1f"
_MARKER = f'"{MARKER}"'.encode()


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """An event made ready to be written: body as canonical bytes, and their SHA-256."""

    event: Event
    body: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One event at its place in the feed. `refs` begins with the subject."""

    seq: int
    event_id: str
    workspace_id: str | None
    kind: str
    schema_version: int
    refs: tuple[Ref, ...]
    actor: Actor
    cause: str
    decision_id: str | None
    chain: str | None
    trace_id: str | None
    at: datetime
    body: dict[str, object]
    digest: str

    @property
    def subject(self) -> Ref:
        """What it happened to."""
        return self.refs[0]


@dataclass(frozen=True, slots=True)
class HeldHorizon:
    """The oldest transaction that writes: nothing written after it began can get its place before it ends."""

    holder: str
    application: str | None
    state: str | None
    since_at: datetime


def ledger_row(event: Event) -> LedgerRow:
    """Make an event ready to be written. A secret in its body is told by its mark.

    Fails: `Bug` when the body is no JSON (NaN, an integer over 2^53, an object that is no plain value).
    """
    try:
        body = canonical(dict(event.body))
    except Bug as cause:
        raise Bug(f"The body of {event.kind} cannot be written as canonical JSON: {cause}") from cause
    if _MARKER in body:
        body = canonical(masked(dict(event.body)))
    return LedgerRow(event, body, hashlib.sha256(body).digest())


async def insert_rows(
    conn: Conn,
    rows: Sequence[LedgerRow],
    *,
    actor: Actor,
    cause: str,
    workspace_id: str | None,
    chain: str | None = None,
    trace_id: str | None = None,
) -> None:
    """Write the rows of one transaction, in one statement. `chain` stands in where an event names none."""
    events = [row.event for row in rows]
    await conn.execute(
        Q.insert_events,
        workspace_id,
        actor.kind,
        actor.id,
        cause,
        trace_id,
        [event.kind for event in events],
        [event.subject.kind for event in events],
        [event.subject.id for event in events],
        [_JOIN.join([event.subject.id, *(ref.id for ref in event.refs)]) for event in events],
        [_JOIN.join([event.subject.kind, *(ref.kind for ref in event.refs)]) for event in events],
        [event.decision_id for event in events],
        [event.chain or chain for event in events],
        [row.body for row in rows],
        [row.digest for row in rows],
    )


async def sequence_ledger(conn: Conn, *, rows_max: int = PLACE_MAX) -> int:
    """Give rows their place in the feed. Any number of processes may call this; one at a time does it.

    Why:    the lock on the one row of `ledger_position` is the lease: it ends with the transaction, however that ends.
    Gives:  how many got their place; `rows_max` means that there may be more, 0 also that another process is at it.
    """
    if not await conn.fetchval(Q.find_unplaced):
        return 0
    async with conn.transaction():
        if await conn.fetchrow(Q.lock_position) is None:
            return 0
        return int(await conn.fetchval(Q.place_events, rows_max))


async def settle_restored(conn: Conn) -> int:
    """Give the rows of a restored dump their place before anything is written to this database.

    Why:    in another cluster transaction numbers start again: an old row may carry a number that this cluster has
            yet to reach. Called by `migrate`, which every process runs before it writes.
    Gives:  how many rows got their place; 0 in a database that was not restored, or where the server does not say who
            it is.
    """
    try:
        cluster = await conn.fetchval(Q.find_cluster)
    except asyncpg.InsufficientPrivilegeError:
        return 0
    async with conn.transaction():
        position = await conn.fetchrow(Q.lock_position_and_wait)
        if position is None:
            raise Bug("ledger_position has lost its only row.")
        if position["cluster"] == cluster:
            return 0
        if position["cluster"] is None:
            await conn.execute(Q.set_cluster, cluster)
            return 0
        return int(await conn.fetchval(Q.place_restored, cluster))


async def find_held_horizon(conn: Conn, *, older_than_s: float = 10.0) -> HeldHorizon | None:
    """The transaction that holds the horizon, when it has done so for longer than `older_than_s`."""
    row = await conn.fetchrow(Q.find_oldest_writer)
    if row is None or row["since_at"] is None:
        return None
    now = await conn.fetchval("SELECT clock_timestamp()")
    if (now - row["since_at"]).total_seconds() <= older_than_s:
        return None
    return HeldHorizon(row["holder"], row["application_name"], row["state"], row["since_at"])


async def read_feed(
    conn: Conn,
    workspace_id: str,
    *,
    after_seq: int = 0,
    rows_max: int = 100,
    subject: str | None = None,
    kinds: Sequence[str] | None = None,
) -> tuple[FeedEntry, ...]:
    """The feed of a workspace after a place, oldest first.

    Takes: `subject` is the id of a thing; events that refer to it count. `kinds` None means every kind.
    """
    wanted = None if kinds is None else list(kinds)
    if subject is None:
        rows = await conn.fetch(Q.read_feed, workspace_id, after_seq, rows_max, wanted)
    else:
        rows = await conn.fetch(Q.read_feed_of_subject, workspace_id, after_seq, rows_max, wanted, subject)
    return tuple(map(entry_of, rows))


async def read_feed_back(
    conn: Conn,
    workspace_id: str,
    *,
    before_seq: int = LAST,
    rows_max: int = 100,
    subject: str | None = None,
    kinds: Sequence[str] | None = None,
) -> tuple[FeedEntry, ...]:
    """The feed of a workspace before a place, newest first. Takes what `read_feed` takes."""
    wanted = None if kinds is None else list(kinds)
    if subject is None:
        rows = await conn.fetch(Q.read_feed_back, workspace_id, before_seq, rows_max, wanted)
    else:
        rows = await conn.fetch(Q.read_feed_of_subject_back, workspace_id, before_seq, rows_max, wanted, subject)
    return tuple(map(entry_of, rows))


async def find_last_seq(conn: Conn) -> int:
    """The place that was given last; 0 before the first."""
    return int(await conn.fetchval(Q.find_last_seq))


def entry_of(row: asyncpg.Record) -> FeedEntry:
    """A row of the feed."""
    return FeedEntry(
        seq=row["seq"],
        event_id=row["event_id"],
        workspace_id=row["workspace_id"],
        kind=row["kind"],
        schema_version=row["schema_version"],
        refs=tuple(map(Ref, row["ref_kinds"], row["refs"])),
        actor=Actor(row["actor_kind"], row["actor_id"]),
        cause=row["cause"],
        decision_id=row["decision_id"],
        chain=row["chain"],
        trace_id=row["trace_id"],
        at=row["at"],
        body=orjson.loads(row["body"]),
        digest=row["digest"].hex(),
    )

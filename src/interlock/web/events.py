"""How does a page or a program follow what happens? Server-sent events over the ledger's feed.

Every event's id is its place in the feed, so a client that comes back with `Last-Event-ID` misses nothing and sees
nothing twice. The store's wake-up says when to look; a look once a second is the net. A comment every 15 s keeps
proxies from closing a quiet stream.

A stream holds no database connection while it waits.

Source: HTML Living Standard, section 9.2 "Server-sent events"; core.md section 7.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NotRequired

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from typing_extensions import TypedDict

from interlock.model.errors import StoreUnavailable
from interlock.model.event import Ref
from interlock.model.ids import is_id
from interlock.store.endings import NAMED_KINDS, find_named
from interlock.store.ledger import FeedEntry, find_last_seq, read_feed
from interlock.store.pages import load_names
from interlock.store.queries import Conn
from interlock.store.tx import FEED_TOPIC
from interlock.web.answers import instant, present
from interlock.web.shapes import AnyObject, Instant
from interlock.web.sign_in import Here

COMMENT_EVERY_S = 15.0
LOOK_EVERY_S = 1.0
ENTRIES_MAX = 500
RETRY_MS = 1000

Wire = dict[str, object]


class WhoActed(TypedDict):
    """Who did it, with the name of today."""

    kind: str
    id: str
    name: NotRequired[str]


class Thing(TypedDict):
    """What it is about, with the name that it has today."""

    kind: str
    id: str
    name: NotRequired[str]


class LedgerEntry(TypedDict):
    """One event at its place in the feed."""

    seq: int
    id: str
    kind: str
    schemaVersion: int
    at: Instant
    actor: WhoActed
    cause: str
    subject: Thing
    refs: list[Thing]
    decisionId: NotRequired[str]
    chain: NotRequired[str]
    traceId: NotRequired[str]
    body: AnyObject
    digest: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries a reader wants. None filters nothing."""

    subject: Ref | None = None
    subject_id: str | None = None
    kinds: tuple[str, ...] | None = None

    @classmethod
    def of(cls, *, subject: str | None, kinds: Sequence[str] | None) -> Wanted:
        """From a query: `subject` is `kind:id`, or an id alone. For names see `find_wanted`."""
        kind, colon, identity = (subject or "").partition(":")
        ref = Ref(kind, identity) if colon else None
        return cls(
            subject=ref, subject_id=identity if colon else subject or None, kinds=tuple(kinds) if kinds else None
        )

    def covers(self, entry: FeedEntry) -> bool:
        """Whether the entry is about the subject; the query has found its id already."""
        return self.subject is None or self.subject in entry.refs


async def find_wanted(conn: Conn, workspace_id: str, *, subject: str | None, kinds: Sequence[str] | None) -> Wanted:
    """As `Wanted.of`, where the subject may be named: `deployment:shop-api`, `production`, a resource's identifier.

    Gives: what has the name now, else what had it last and was deleted. A name that nothing has finds nothing.
    """
    wanted = Wanted.of(subject=subject, kinds=kinds)
    if not subject or is_id(wanted.subject_id or ""):
        return wanted
    kind, colon, name = subject.partition(":")
    known = bool(colon) and kind in NAMED_KINDS
    found = await find_named(conn, workspace_id, kind=kind if known else "", name=name if known else subject)
    return wanted if found is None else replace(wanted, subject=found, subject_id=found.id)


async def follow_feed(here: Here, request: Request, *, wanted: Wanted, after_seq: int | None) -> Response:
    """A stream of the feed after a place; without one, from now on."""
    last_seen = request.headers.get("last-event-id", "")
    if last_seen.isdigit():
        after_seq = int(last_seen)
    if after_seq is None:
        async with here.read() as conn:
            after_seq = await find_last_seq(conn)
    return StreamingResponse(
        _chunks(here, wanted=wanted, after_seq=after_seq),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"},
    )


async def _chunks(here: Here, *, wanted: Wanted, after_seq: int) -> AsyncIterator[bytes]:
    listener = here.store.wakes.listener({FEED_TOPIC})
    loop = asyncio.get_running_loop()
    quiet_since = loop.time()
    try:
        yield f"retry: {RETRY_MS}\n\n".encode()
        while True:
            listener.clear()
            entries, after_seq = await _look(here, wanted, after_seq)
            if entries:
                quiet_since = loop.time()
                yield b"".join(map(_event, entries))
            elif loop.time() - quiet_since >= COMMENT_EVERY_S:
                quiet_since = loop.time()
                yield b": still here\n\n"
            if len(entries) < ENTRIES_MAX:
                await listener.wait(LOOK_EVERY_S)
    except StoreUnavailable:
        return
    finally:
        here.store.wakes.drop(listener)


async def _look(here: Here, wanted: Wanted, after_seq: int) -> tuple[list[Wire], int]:
    async with here.read() as conn:
        entries = await read_feed(
            conn, here.id, after_seq=after_seq, rows_max=ENTRIES_MAX, subject=wanted.subject_id, kinds=wanted.kinds
        )
        rendered = await render_entries(conn, [entry for entry in entries if wanted.covers(entry)])
    return rendered, entries[-1].seq if entries else after_seq


def _event(entry: Wire) -> bytes:
    head = f"id: {entry['seq']}\nevent: {entry['kind']}\ndata: "
    return head.encode() + orjson.dumps(entry) + b"\n\n"


async def render_entries(conn: Conn, entries: Sequence[FeedEntry]) -> list[Wire]:
    """Entries on the wire, with the names that the people who acted and the things they are about have today."""
    ids = {ref.id for entry in entries for ref in entry.refs} | {entry.actor.id for entry in entries}
    names = await load_names(conn, sorted(ids))
    return [_rendered(entry, names=names) for entry in entries]


def _rendered(entry: FeedEntry, *, names: Mapping[str, str]) -> Wire:
    return present(
        seq=entry.seq,
        id=entry.event_id,
        kind=entry.kind,
        schemaVersion=entry.schema_version,
        at=instant(entry.at),
        actor=present(kind=entry.actor.kind, id=entry.actor.id, name=names.get(entry.actor.id) or entry.actor.name),
        cause=entry.cause,
        subject=_named(entry.subject, names),
        refs=[_named(ref, names) for ref in entry.refs[1:]],
        decisionId=entry.decision_id,
        chain=entry.chain,
        traceId=entry.trace_id,
        body=entry.body,
        digest=entry.digest,
    )


def _named(ref: Ref, names: Mapping[str, str]) -> Wire:
    return present(kind=ref.kind, id=ref.id, name=names.get(ref.id))

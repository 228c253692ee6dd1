"""How does a page or a program follow what happens? Server-sent events over the ledger's feed.

Every event's id is its place in the feed, so a client that comes back with `Last-Event-ID` misses nothing and sees
nothing twice. The store's wake-up says when to look; a look once a second is the net. A comment every 15 s keeps
proxies from closing a quiet stream, and carries the place that was looked up to: a filter that seldom matches does not
make the next reader start far back.

Whether the reader may still read is asked again while the stream lives: every 5 s, and before news if the last time is
more than a second ago. A key that was revoked, has expired or lost its role hears `event: end` with the reason, and
nothing more. A key holds so many streams at once and no more. When the process is asked to stop, its streams end at
once, and their readers come back to another.

A stream holds no database connection while it waits.

Source: HTML Living Standard, section 9.2 "Server-sent events"; core.md section 7.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from interlock.model.errors import Invalid, Refused, StoreUnavailable, TooMany
from interlock.model.event import KINDS, Ref
from interlock.model.ids import is_id
from interlock.store.endings import NAMED_KINDS, find_named
from interlock.store.ledger import FeedEntry, find_last_seq, read_feed
from interlock.store.notify import Wakes
from interlock.store.queries import Conn
from interlock.store.tx import FEED_TOPIC
from interlock.web.entries import Wire, render_entries
from interlock.web.sign_in import Here, admit_again

COMMENT_EVERY_S = 15.0
LOOK_EVERY_S = 1.0
ASK_AGAIN_S = 5.0
ASK_AGAIN_WITH_NEWS_S = 1.0
ENTRIES_MAX = 500
RETRY_MS = 1000
SEQ_DIGITS_MAX = 18


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries a reader wants. None filters nothing."""

    subject: Ref | None = None
    subject_id: str | None = None
    kinds: tuple[str, ...] | None = None

    @classmethod
    def of(cls, *, subject: str | None, kinds: Sequence[str] | None) -> Wanted:
        """From a query: `subject` is `kind:id`, or an id alone. For names see `find_wanted`.

        Fails: `Invalid` for a kind that there is not: it would be waited for in vain.
        """
        for number, each in enumerate(kinds or ()):
            if each not in KINDS:
                raise Invalid(f"There is no kind of event {each!r}.", field=f"kind[{number}]")
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


@dataclass(slots=True)
class Streams:
    """The open streams of one process, counted by who holds them; `end` ends them all."""

    held_max: int
    ended: bool = False
    _held: Counter[str] = field(default_factory=Counter)

    def open(self, who: str) -> None:
        """Count one more.

        Fails: `TooMany` for one too many, and when the process is about to stop.
        """
        if self._held[who] >= self.held_max:
            raise TooMany(
                f"This key holds {self.held_max} open streams, the most that one may. Close one, or follow more kinds "
                "and subjects in one.",
                code="TOO_MANY_STREAMS",
                retry_after_s=COMMENT_EVERY_S,
            )
        self._held[who] += 1

    def close(self, who: str) -> None:
        """Count one less."""
        self._held[who] -= 1
        if self._held[who] <= 0:
            del self._held[who]

    def held(self, who: str) -> int:
        """How many somebody holds."""
        return self._held[who]

    def end(self, wakes: Wakes) -> None:
        """Let every stream end, after what it is sending."""
        self.ended = True
        wakes.announce({FEED_TOPIC})
        wakes.let_all_go()


class _Held(StreamingResponse):
    """A stream that is counted as long as it is sent, however it ends."""

    def __init__(self, content: AsyncIterator[bytes], *, streams: Streams, who: str) -> None:
        super().__init__(
            content,
            media_type="text/event-stream",
            headers={"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"},
        )
        self._streams, self._who = streams, who

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.close(self._who)


async def follow_feed(here: Here, request: Request, *, wanted: Wanted, after_seq: int | None) -> Response:
    """A stream of the feed after a place; without one, from now on.

    Fails: `Invalid` for a Last-Event-ID that is no place, `TooMany` for one stream too many.
    """
    seen = place_of(request.headers.get("last-event-id"))
    after_seq = after_seq if seen is None else seen
    if after_seq is None:
        async with here.read() as conn:
            after_seq = await find_last_seq(conn)
    streams: Streams = request.app.state.streams
    who = here.caller.key_id or here.caller.id
    streams.open(who)

    async def still_allowed() -> None:
        await admit_again(request)

    chunks = _chunks(here, wanted=wanted, after_seq=after_seq, streams=streams, still_allowed=still_allowed)
    return _Held(chunks, streams=streams, who=who)


def place_of(text: str | None) -> int | None:
    """The place that a Last-Event-ID names; None without one.

    Fails: `Invalid` for a text that no event had as its id: going on from now instead would lose what lies between.
    """
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= SEQ_DIGITS_MAX):
        raise Invalid("Last-Event-ID is the id of an event of this stream, a number.", field="Last-Event-ID")
    return int(text)


async def _chunks(
    here: Here,
    *,
    wanted: Wanted,
    after_seq: int,
    streams: Streams | None = None,
    still_allowed: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[bytes]:
    listener = here.store.wakes.listener({FEED_TOPIC})
    loop = asyncio.get_running_loop()
    quiet_since = asked_at = loop.time()
    try:
        yield f"retry: {RETRY_MS}\nid: {after_seq}\n\n".encode()
        while streams is None or not streams.ended:
            listener.clear()
            entries, after_seq, more = await _look(here, wanted, after_seq)
            due_s = ASK_AGAIN_WITH_NEWS_S if entries else ASK_AGAIN_S
            if still_allowed is not None and loop.time() - asked_at >= due_s:
                await still_allowed()
                asked_at = loop.time()
            if entries:
                quiet_since = loop.time()
                yield b"".join(map(_event, entries))
            elif loop.time() - quiet_since >= COMMENT_EVERY_S:
                quiet_since = loop.time()
                yield f": still here\nid: {after_seq}\n\n".encode()
            if not more:
                await listener.wait(LOOK_EVERY_S)
    except StoreUnavailable:
        return
    except Refused as refused:
        said = {"error": refused.message, "message": refused.message, "code": refused.code}
        yield b"event: end\ndata: " + orjson.dumps(said) + b"\n\n"
    finally:
        here.store.wakes.drop(listener)


async def _look(here: Here, wanted: Wanted, after_seq: int) -> tuple[list[Wire], int, bool]:
    """What came after a place: (entries, the place that was looked up to, whether there is more at once).

    Why:    a filter that seldom matches goes on with the feed all the same; else each look would read all of it again.
    """
    async with here.read() as conn:
        placed = await find_last_seq(conn)  # before the feed: what has its place by now is in it
        entries = await read_feed(
            conn, here.id, after_seq=after_seq, rows_max=ENTRIES_MAX, subject=wanted.subject_id, kinds=wanted.kinds
        )
        rendered = await render_entries(conn, [entry for entry in entries if wanted.covers(entry)])
    if len(entries) == ENTRIES_MAX:
        return rendered, entries[-1].seq, True
    return rendered, max(after_seq, placed, entries[-1].seq if entries else 0), False


def _event(entry: Wire) -> bytes:
    head = f"id: {entry['seq']}\nevent: {entry['kind']}\ndata: "
    return head.encode() + orjson.dumps(entry) + b"\n\n"

"""How does a page stay true while it is open? One stream a page: it says *that* something changed, and reads out what
matters.

The page asks for itself again and takes over what differs, so that live and loaded pages come from the same
templates. The id of each message is the place in the feed: a browser that comes back misses nothing. Changes are
gathered: however much happens, a page hears at most one message in `GAP_S`.

A stream ends after `STREAM_S` and is opened again by the browser, which asks anew whether this person may listen.

Source: HTML Living Standard, "Server-sent events"; the vendored hx-sse; core.md section 7.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence

from markupsafe import Markup
from starlette.responses import Response, StreamingResponse

from interlock.console.telling import heard
from interlock.console.visit import Visit, number_in_query
from interlock.model.errors import StoreUnavailable
from interlock.model.ids import is_id
from interlock.store.ledger import FeedEntry, find_last_seq, read_feed
from interlock.store.tx import FEED_TOPIC
from interlock.web.events import place_of
from interlock.web.sign_in import Here

GAP_S = 0.4
COMMENT_EVERY_S = 15.0
LOOK_EVERY_S = 3.0
STREAM_S = 600.0
ENTRIES_MAX = 500
ABOUT_MAX = 50
READ_OUT_MAX = 2
RETRY_MS = 1_000

EVERYWHERE = ("freeze.", "workspace.")
"""Kinds that concern every page: they stand in its frame."""


async def follow(visit: Visit) -> Response:
    """The stream of a page."""
    last_seen = place_of(visit.request.headers.get("last-event-id"))
    after_seq = number_in_query(visit, "after", otherwise=-1) if last_seen is None else last_seen
    about = frozenset(each for each in visit.request.query_params.getlist("about")[:ABOUT_MAX] if is_id(each))
    if after_seq < 0:
        async with visit.here.read() as conn:
            after_seq = await find_last_seq(conn)
    return StreamingResponse(
        news(visit.here, about=about, after_seq=after_seq),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"},
    )


async def news(here: Here, *, about: Collection[str], after_seq: int) -> AsyncIterator[bytes]:
    """The messages of a stream: `news` when something changed, HTML for what is read out, comments in silence."""
    listener = here.store.wakes.listener({FEED_TOPIC})
    loop = asyncio.get_running_loop()
    began_s = quiet_since_s = loop.time()
    try:
        yield f"retry: {RETRY_MS}\nid: {after_seq}\n\n".encode()
        while loop.time() - began_s < STREAM_S:
            listener.clear()
            async with here.read() as conn:
                entries = await read_feed(conn, here.id, after_seq=after_seq, rows_max=ENTRIES_MAX)
            concerned = [entry for entry in entries if concerns(entry, about)]
            if entries:
                after_seq = entries[-1].seq
            if concerned:
                quiet_since_s = loop.time()
                yield message(concerned, seq=after_seq)
                await asyncio.sleep(GAP_S)
            elif loop.time() - quiet_since_s >= COMMENT_EVERY_S:
                quiet_since_s = loop.time()
                yield b": still here\n\n"
            if len(entries) < ENTRIES_MAX:
                await listener.wait(LOOK_EVERY_S)
    except StoreUnavailable:
        return
    finally:
        here.store.wakes.drop(listener)


def concerns(entry: FeedEntry, about: Collection[str]) -> bool:
    """Whether a page about these things shows what the entry tells."""
    return not about or entry.kind.startswith(EVERYWHERE) or any(ref.id in about for ref in entry.refs)


def message(entries: Sequence[FeedEntry], *, seq: int) -> bytes:
    """What a page is sent for these entries, in the stream's form."""
    said = list(dict.fromkeys(filter(None, map(heard, entries))))[-READ_OUT_MAX:]
    parts = []
    if said:
        text = Markup(" ").join(Markup("{}").format(each) for each in said)
        line = Markup('<hx-partial hx-target="#heard" hx-swap="innerHTML">{}</hx-partial>').format(text)
        parts.append("data: " + " ".join(line.split()))
        parts.append("")
    parts += [f"id: {seq}", "event: news", f"data: {seq}", "", ""]
    return "\n".join(parts).encode()

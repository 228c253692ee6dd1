"""REST for the ledger: what happened, in order, who did it and why; and the same as a stream.

Readers know one number, `seq`: the place in the feed. What has place n never changes, and nothing appears before it
later.

Source: core.md section 7.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Query, Request
from starlette.responses import Response, StreamingResponse
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api.paths import W, noun_router
from interlock.store.ledger import read_feed, read_feed_back
from interlock.web.answers import Json
from interlock.web.entries import LedgerEntry, render_entries
from interlock.web.events import find_wanted, follow_feed
from interlock.web.sign_in import InWorkspace

router = noun_router("ledger")

SEQ_MAX = 2**63 - 1
ENTRIES_MAX = 1000

Subject = Annotated[
    str | None,
    Query(
        description="Only what is about this: `kind:id` or `kind:name`, or one of them alone; what is gone too.",
        max_length=1100,
    ),
]
Kinds = Annotated[list[str] | None, Query(description="Only these kinds, as in `job.status_changed`.", max_length=100)]


class LedgerPage(TypedDict):
    """Entries in the order of the feed. `lastSeq` is where to go on."""

    items: list[LedgerEntry]
    lastSeq: int
    limit: int


@router.get(W + "/ledger", response_model=LedgerPage)
async def list_entries(
    here: InWorkspace,
    subject: Subject = None,
    kind: Kinds = None,
    after: Annotated[int, Query(ge=0, le=SEQ_MAX)] = 0,
    before: Annotated[int | None, Query(ge=0, le=SEQ_MAX, description="Read back from here, newest first.")] = None,
    limit: Annotated[int, Query(ge=1, le=ENTRIES_MAX)] = 100,
) -> Response:
    """Read the ledger after a place, oldest first; with `before`, back from a place, newest first."""
    here.require(Permission.READ)
    async with here.read() as conn:
        wanted = await find_wanted(conn, here.id, subject=subject, kinds=kind)
        if before is None:
            entries = await read_feed(
                conn, here.id, after_seq=after, rows_max=limit, subject=wanted.subject_id, kinds=wanted.kinds
            )
        else:
            entries = await read_feed_back(
                conn, here.id, before_seq=before, rows_max=limit, subject=wanted.subject_id, kinds=wanted.kinds
            )
        items = await render_entries(conn, [entry for entry in entries if wanted.covers(entry)])
    last = entries[-1].seq if entries else after
    return Json({"items": items, "lastSeq": last, "limit": limit})


@router.get(
    W + "/ledger/stream",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Events as they get their place: `id` is `seq`, `event` the kind, `data` a `LedgerEntry`.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
)
async def stream_entries(
    here: InWorkspace,
    request: Request,
    subject: Subject = None,
    kind: Kinds = None,
    after: Annotated[int | None, Query(ge=0, le=SEQ_MAX)] = None,
    _seen: Annotated[
        str | None, Header(alias="Last-Event-ID", description="The id of the last event that was seen; before `after`.")
    ] = None,
) -> Response:
    """Follow the ledger as it grows (server-sent events). `Last-Event-ID` or `after` says from where; neither: from
    now on.
    """
    here.require(Permission.READ)
    async with here.read() as conn:
        wanted = await find_wanted(conn, here.id, subject=subject, kinds=kind)
    return await follow_feed(here, request, wanted=wanted, after_seq=after)

"""What happened here, in which order, and who did it? The ledger of the workspace, newest first.

A page begins before a place in the feed, so that it shows the same entries however much happens meanwhile.

Source: core.md section 7.
"""

from __future__ import annotations

from starlette.responses import Response

from interlock.console.telling import entries_of
from interlock.console.visit import Visit, number_in_query
from interlock.model.event import KINDS
from interlock.model.ids import is_id
from interlock.store import pages
from interlock.store.ledger import LAST, read_feed_back
from interlock.web.paging import LIMIT_DEFAULT

ENTRIES_MAX = LIMIT_DEFAULT


async def show(visit: Visit) -> Response:
    """The ledger."""
    query = visit.request.query_params
    kind = query.get("kind", "")
    subject = query.get("subject", "").strip()
    subject_id = subject.rpartition(":")[2].lower()
    known = not subject or is_id(subject_id)
    kinds = [each for each in KINDS if each == kind or each.startswith(f"{kind}.")] if kind else None
    before = number_in_query(visit, "before", otherwise=LAST, most=LAST)
    async with visit.here.store.snapshot() as conn:
        entries = (
            await read_feed_back(
                conn,
                visit.here.id,
                before_seq=before,
                rows_max=ENTRIES_MAX + 1,
                subject=subject_id or None,
                kinds=kinds,
            )
            if known
            else ()
        )
        names = await pages.load_names(conn, [subject_id]) if subject_id else {}
        more = len(entries) > ENTRIES_MAX
        told = await entries_of(conn, entries[:ENTRIES_MAX], at=visit.at)
        return await visit.render(
            conn,
            "ledger.html",
            title="Ledger",
            live="follow" if before == LAST else "",
            about=[subject_id] if subject_id else [],
            entries=told,
            families=sorted({each.partition(".")[0] for each in KINDS}),
            kind=kind,
            subject=subject,
            subject_known=known,
            subject_name=names.get(subject_id),
            older=told[-1].seq if more else None,
            newest=before == LAST,
        )

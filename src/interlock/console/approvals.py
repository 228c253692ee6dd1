"""What is a person asked? The requests for approval, open ones first."""

from __future__ import annotations

from starlette.responses import Response

from interlock.console.visit import Visit, number_in_query
from interlock.store.approvals import list_requests

REQUESTS_MAX = 50


async def show(visit: Visit) -> Response:
    """The requests."""
    offset = number_in_query(visit, "offset", otherwise=0, most=1_000_000)
    async with visit.here.store.snapshot() as conn:
        waiting, _ = await list_requests(conn, visit.here.id, status="open", limit=REQUESTS_MAX)
        every, total = await list_requests(conn, visit.here.id, limit=REQUESTS_MAX, offset=offset)
        return await visit.render(
            conn,
            "approvals.html",
            title="Approvals",
            live="follow",
            waiting=waiting,
            answered=[request for request in every if request.status != "open"],
            total=total,
            offset=offset,
            page_size=REQUESTS_MAX,
        )

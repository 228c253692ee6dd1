"""How does an incident end by hand? A form that says what it is, and asks why it holds nobody any longer."""

from __future__ import annotations

from starlette.responses import Response

from interlock.access import Permission
from interlock.console.incidents import lines_of
from interlock.console.visit import Visit, form_text, found, id_in_path, see_other
from interlock.model.errors import Conflict, Invalid
from interlock.store import incidents
from interlock.store.queries import Conn

REASON_MAX = 1_000


async def show(visit: Visit) -> Response:
    """The form."""
    async with visit.here.store.snapshot() as conn:
        return await _form(visit, conn)


async def save(visit: Visit) -> Response:
    """Resolve.

    Fails: `Forbidden`; `NotFound`; `Conflict` when it is over already. A missing reason is asked for again.
    """
    try:
        reason = await form_text(
            visit, "reason", length_max=REASON_MAX, required="Say why it is over: it stands in the history."
        )
    except Invalid as refused:
        async with visit.here.store.snapshot() as conn:
            return await _form(visit, conn, refused=refused)
    incident_id = id_in_path(visit, "incident", "incident")
    async with visit.here.tx(Permission.SIGNAL_REPORT, cause="console: resolve incident") as tx:
        await incidents.resolve_incident(
            tx, visit.here.id, incident_id=incident_id, reason=reason, author_id=visit.here.caller.id
        )
    return see_other(f"{visit.at('incidents')}?said=resolved")


async def _form(visit: Visit, conn: Conn, *, refused: Invalid | None = None) -> Response:
    visit.here.require(Permission.SIGNAL_REPORT)
    incident_id = id_in_path(visit, "incident", "incident")
    known = found(await incidents.find_incident(conn, visit.here.id, incident_id=incident_id), "incident")
    if known.resolved_at is not None:
        raise Conflict("This incident is resolved already.", code="INCIDENT_OVER")
    (line,) = await lines_of(conn, visit.here.id, [known])
    return await visit.render(
        conn,
        "resolve.html",
        title="Resolve an incident",
        line=line,
        reason_max=REASON_MAX,
        wrong=refused.message if refused else None,
        status=400 if refused else 200,
    )

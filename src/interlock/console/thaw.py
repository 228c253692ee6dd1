"""How does a freeze end? A form that says what it is, and asks why it may go on."""

from __future__ import annotations

from starlette.responses import Response

from interlock.access import Permission
from interlock.console.freezes import place_of_freeze
from interlock.console.visit import Visit, form_text, found, id_in_path, see_other
from interlock.model.errors import Conflict, Invalid
from interlock.store import freezes, pages
from interlock.store.pages import FreezeRow
from interlock.store.queries import Conn

REASON_MAX = 1_000


async def show(visit: Visit) -> Response:
    """The form."""
    async with visit.here.store.snapshot() as conn:
        return await _form(visit, conn)


async def save(visit: Visit) -> Response:
    """Thaw.

    Fails: `Forbidden`; `NotFound`; `Conflict` when it is over already. A missing reason is asked for again.
    """
    try:
        reason = await form_text(
            visit, "reason", length_max=REASON_MAX, required="Say why it may go on: it stands in the history."
        )
    except Invalid as refused:
        async with visit.here.store.snapshot() as conn:
            return await _form(visit, conn, refused=refused)
    async with visit.here.read() as conn:
        freeze = await known_freeze(visit, conn)
    async with visit.here.tx(Permission.FREEZE, cause="console: thaw", place=place_of_freeze(freeze)) as tx:
        await freezes.thaw_freeze(tx, visit.here.id, freeze_id=freeze.id, reason=reason, author_id=visit.here.caller.id)
    return see_other(f"{visit.at('freezes')}?said=thawed")


async def known_freeze(visit: Visit, conn: Conn) -> FreezeRow:
    """The freeze in the path.

    Fails: `NotFound`.
    """
    freeze_id = id_in_path(visit, "freeze", "freeze")
    rows = await pages.list_freezes(conn, visit.here.id, over_too=True)
    return found(next((row for row in rows if row.id == freeze_id), None), "freeze")


async def _form(visit: Visit, conn: Conn, *, refused: Invalid | None = None) -> Response:
    freeze = await known_freeze(visit, conn)
    visit.here.require(Permission.FREEZE, place=place_of_freeze(freeze))
    if not freeze.in_force:
        raise Conflict("This freeze is over already.", code="FREEZE_OVER")
    return await visit.render(
        conn,
        "thaw.html",
        title="Thaw",
        freeze=freeze,
        reason_max=REASON_MAX,
        wrong=refused.message if refused else None,
        status=400 if refused else 200,
    )

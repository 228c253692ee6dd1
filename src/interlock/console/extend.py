"""How does a freeze get another end? A form that says what it is and when it ends now.

The new end counts from now on: extending resets it.

Source: reference-behaviour.md 4.14 (RFC 0008).
"""

from __future__ import annotations

from datetime import timedelta

from starlette.responses import Response

from interlock.access import Permission
from interlock.console.freeze import HOURS
from interlock.console.freezes import place_of_freeze
from interlock.console.thaw import known_freeze
from interlock.console.visit import Visit, see_other
from interlock.model.errors import Conflict, Invalid
from interlock.store import freezes
from interlock.store.queries import Conn


async def show(visit: Visit) -> Response:
    """The form."""
    async with visit.here.store.snapshot() as conn:
        return await _form(visit, conn)


async def save(visit: Visit) -> Response:
    """Move its end.

    Fails: `Forbidden`; `NotFound`; `Conflict` when it is over already.
    """
    hours = str((await visit.request.form()).get("hours", ""))
    if hours not in HOURS:
        raise Invalid("Choose for how long.", field="hours")
    async with visit.here.read() as conn:
        freeze = await known_freeze(visit, conn)
    async with visit.here.tx(Permission.FREEZE, cause="console: extend freeze", place=place_of_freeze(freeze)) as tx:
        now = await tx.conn.fetchval(freezes.Q.now)
        expires_at = now + timedelta(hours=int(hours)) if hours else None
        await freezes.extend_freeze(tx, visit.here.id, freeze_id=freeze.id, expires_at=expires_at)
    return see_other(f"{visit.at('overrides')}?said=extended")


async def _form(visit: Visit, conn: Conn) -> Response:
    freeze = await known_freeze(visit, conn)
    visit.here.require(Permission.FREEZE, place=place_of_freeze(freeze))
    if not freeze.in_force:
        raise Conflict("This freeze is over already.", code="FREEZE_OVER")
    return await visit.render(conn, "extend.html", title="Move the end of a freeze", freeze=freeze, hours=HOURS)

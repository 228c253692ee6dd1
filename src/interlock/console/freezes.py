"""What is frozen, and what was? Every freeze with its reason and its people; those in force can be thawed."""

from __future__ import annotations

from starlette.responses import Response

from interlock.access import Permission, Place
from interlock.console.visit import Visit
from interlock.store import pages
from interlock.store.pages import FreezeRow


async def show(visit: Visit) -> Response:
    """The freezes."""
    async with visit.here.store.snapshot() as conn:
        rows = await pages.list_freezes(conn, visit.here.id, over_too=True)
        thawable = {row.id for row in rows if row.in_force and visit.may(Permission.FREEZE, place=place_of_freeze(row))}
        return await visit.render(
            conn,
            "freezes.html",
            title="Freezes",
            live="follow",
            rows=rows,
            thawable=thawable,
            said={"set": "The freeze is in force.", "thawed": "The freeze is over."}.get(
                visit.request.query_params.get("said", "")
            ),
        )


def place_of_freeze(row: FreezeRow) -> Place:
    """Where a freeze applies, as `access` asks for it."""
    match row.scope_kind, row.scope_id:
        case "system", str(scope_id):
            return Place(system_ids=frozenset({scope_id}))
        case "environment", str(scope_id):
            return Place(environment_id=scope_id)
        case "deployment", str(scope_id):
            return Place(system_ids=frozenset(row.system_ids), deployment_id=scope_id)
        case _:
            return Place()

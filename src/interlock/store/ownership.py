"""May this id be written in this workspace?

Ids are chosen by clients in every PUT by id. An id that another workspace holds is refused as a clash, and says
nothing about what it names there.
"""

from __future__ import annotations

from interlock.model.errors import Conflict
from interlock.model.event import Event, Ref
from interlock.store.queries import Conn


async def is_known(conn: Conn, find_owner: str, *, workspace_id: str, wanted_id: str) -> bool:
    """Whether a live row has this id in this workspace.

    Takes: `find_owner` is the noun's query giving `workspace_id, live`.
    Fails: `Conflict` when another workspace has it.
    """
    row = await conn.fetchrow(find_owner, wanted_id)
    if row is None:
        return False
    if row["workspace_id"] != workspace_id:
        raise Conflict("This id is taken. Choose another.", code="DUPLICATE_ID")
    return bool(row["live"])


async def require_unused(conn: Conn, find_owner: str, *, wanted_id: str) -> None:
    """Refuse the id of something that was deleted.

    Why:    rounds, releases and jobs of its first life stand under this id; a second one would begin with them.
    Fails:  `Conflict`.
    """
    row = await conn.fetchrow(find_owner, wanted_id)
    if row is not None and not row["live"]:
        raise Conflict(
            "This id belonged to something that was deleted, and its history stays under it. Choose another id; the "
            "name is free.",
            code="ID_WAS_DELETED",
        )


def told_of_the_one_before(event: Event, formerly: str | None) -> Event:
    """The event of something that came, with what had its name and was deleted: both find it in their history."""
    if formerly is None:
        return event
    refs = (*event.refs, Ref(event.subject.kind, formerly))
    return Event(event.kind, event.subject, {**event.body, "formerly": formerly}, refs)

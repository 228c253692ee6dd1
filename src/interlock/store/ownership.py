"""May this id be written in this workspace?

Ids are chosen by clients in every PUT by id. An id that another workspace holds is refused as a clash, and says
nothing about what it names there.
"""

from __future__ import annotations

from interlock.model.errors import Conflict
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

"""Where is a member written to?

The ledger hears that an address changed, never which: it is personal.

Source: core.md section 7 (no personal text).
"""

from __future__ import annotations

from interlock.model.errors import NotFound
from interlock.model.event import Event, Ref
from interlock.store.queries import queries
from interlock.store.tx import Change, Tx

Q = queries("address")


async def save_address(tx: Tx, workspace_id: str, *, principal_id: str, email: str | None) -> None:
    """Say where a member is written to in this workspace; None: where the user is known to be reached anyway.

    Fails: `NotFound` for one who is no member.
    """
    row = await tx.conn.fetchrow(Q.lock_address, workspace_id, principal_id)
    if row is None:
        raise NotFound("There is no such member.")
    if row["email"] != email:
        await tx.record(
            changes=[Change(Q.update_address, (workspace_id, principal_id, email))],
            events=[Event("member.changed", Ref("principal", principal_id), {"address": email is not None})],
        )

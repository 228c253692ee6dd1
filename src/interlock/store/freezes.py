"""What is frozen, and how does a freeze take hold?

It holds from the commit that wrote it: the write bumps the workspace's rules fence, and no hand-over that was decided
before passes that fence (core.md 5). Which deployments must look again is found afterwards, by query.

A person's reason stands in the freeze's own row, never in the ledger.

Source: core.md sections 2 and 5.
"""

from __future__ import annotations

from datetime import datetime

from interlock.model.errors import Conflict, Invalid, NotFound
from interlock.model.event import Event, Ref
from interlock.model.freeze import Freeze
from interlock.model.ids import new_id
from interlock.store.queries import Conn, queries
from interlock.store.rows import many, one
from interlock.store.tx import Change, Tx
from interlock.store.work import PEOPLE, WorkRequest
from interlock.store.workspaces import Q as WORKSPACE

Q = queries("freeze")


async def find_freeze(conn: Conn, workspace_id: str, *, freeze_id: str) -> Freeze | None:
    """A freeze by id."""
    return one(Freeze, await conn.fetchrow(Q.find_freeze, workspace_id, freeze_id))


async def list_freezes(
    conn: Conn, workspace_id: str, *, over_too: bool = False, limit: int = 50, offset: int = 0
) -> tuple[tuple[Freeze, ...], int]:
    """A page of the freezes in force, newest first, and how many there are; `over_too` those that ended as well."""
    total = await conn.fetchval(Q.count_freezes, workspace_id, over_too)
    return many(Freeze, await conn.fetch(Q.list_freezes, workspace_id, over_too, limit, offset)), total


async def set_freeze(
    tx: Tx,
    workspace_id: str,
    *,
    scope_kind: str,
    scope_id: str | None,
    selector: str | None,
    reason: str,
    incident_url: str | None,
    expires_at: datetime | None,
    author_id: str,
) -> Freeze:
    """Freeze a scope.

    Takes: the scope exists.
    Fails: `Invalid` for an end that has passed.
    """
    await _require_future(tx.conn, expires_at)
    freeze_id = new_id()
    row = (freeze_id, workspace_id, scope_kind, scope_id, selector, reason, incident_url, author_id, expires_at)
    scope = Ref(scope_kind, scope_id or workspace_id)
    body = {"scopeKind": scope_kind, "scopeId": scope_id, "selector": selector, "expiresAt": _text(expires_at)}
    await _record(
        tx,
        workspace_id,
        change=Change(Q.insert_freeze, row),
        event=Event("freeze.set", Ref("freeze", freeze_id), body, refs=(scope,)),
        ends_at=expires_at,
    )
    return await _stored(tx.conn, workspace_id, freeze_id)


async def extend_freeze(tx: Tx, workspace_id: str, *, freeze_id: str, expires_at: datetime | None) -> Freeze:
    """Move the end of a freeze; None: until somebody thaws it.

    Fails: `NotFound`; `Conflict` when it is over; `Invalid` for an end that has passed.
    """
    freeze = await _in_force(tx.conn, workspace_id, freeze_id)
    await _require_future(tx.conn, expires_at)
    body = {"from": _text(freeze.expires_at), "to": _text(expires_at)}
    await _record(
        tx,
        workspace_id,
        change=Change(Q.extend_freeze, (freeze_id, expires_at)),
        event=Event("freeze.extended", Ref("freeze", freeze_id), body),
        ends_at=expires_at,
    )
    return await _stored(tx.conn, workspace_id, freeze_id)


async def thaw_freeze(tx: Tx, workspace_id: str, *, freeze_id: str, reason: str, author_id: str) -> Freeze:
    """End a freeze.

    Fails: `NotFound`; `Conflict` when it is over already.
    """
    await _in_force(tx.conn, workspace_id, freeze_id)
    await _record(
        tx,
        workspace_id,
        change=Change(Q.thaw_freeze, (freeze_id, author_id, reason)),
        event=Event("freeze.thawed", Ref("freeze", freeze_id), {}),
    )
    return await _stored(tx.conn, workspace_id, freeze_id)


async def _record(tx: Tx, workspace_id: str, *, change: Change, event: Event, ends_at: datetime | None = None) -> None:
    topic = f"freeze:{event.subject.id}"
    wakes = [WorkRequest("wake", topic, workspace_id, None, PEOPLE)]
    if ends_at is not None:
        wakes.append(WorkRequest("expire", topic, workspace_id, ends_at, PEOPLE))
    await tx.record(
        changes=[change, Change(WORKSPACE.bump_rules_fence, (workspace_id,))],
        events=[event],
        wakes=wakes,
    )


async def _in_force(conn: Conn, workspace_id: str, freeze_id: str) -> Freeze:
    freeze = await find_freeze(conn, workspace_id, freeze_id=freeze_id)
    if freeze is None:
        raise NotFound("There is no such freeze.")
    if not freeze.in_force:
        raise Conflict("This freeze is over already.", code="FREEZE_OVER")
    return freeze


async def _require_future(conn: Conn, expires_at: datetime | None) -> None:
    if expires_at is not None and expires_at <= await conn.fetchval(Q.now):
        raise Invalid("The end of a freeze must lie ahead.", field="expiresAt")


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None


async def _stored(conn: Conn, workspace_id: str, freeze_id: str) -> Freeze:
    freeze = await find_freeze(conn, workspace_id, freeze_id=freeze_id)
    assert freeze is not None, "just written in this transaction"
    return freeze

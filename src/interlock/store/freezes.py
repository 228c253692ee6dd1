"""What is frozen, and how does a freeze take hold?

It holds from the commit that wrote it: the write bumps the workspace's rules fence, and no hand-over that was decided
before passes that fence (core.md 5). Which deployments must look again is found afterwards, by query.

A person's reason stands in the freeze's own row, never in the ledger.

Source: core.md sections 2 and 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from interlock.inventory.selector import Scope, parse_selector
from interlock.inventory.to_python import matches
from interlock.model.errors import Conflict, Invalid, NotFound
from interlock.model.event import Event, Ref
from interlock.model.freeze import Freeze
from interlock.model.ids import new_id
from interlock.store.facts import resource_view
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
    conn: Conn,
    workspace_id: str,
    *,
    deployment_id: str | None = None,
    over_too: bool = False,
    limit: int = 50,
    offset: int = 0,
) -> tuple[tuple[Freeze, ...], int]:
    """A page of the freezes in force, newest first, and how many there are; `over_too` those that ended as well.

    Takes: with `deployment_id` those whose scope concerns it: its own, its systems', environments', the workspace's.
    """
    total = await conn.fetchval(Q.count_freezes, workspace_id, over_too, deployment_id)
    rows = await conn.fetch(Q.list_freezes, workspace_id, over_too, limit, offset, deployment_id)
    return many(Freeze, rows), total


@dataclass(frozen=True, slots=True)
class Biting:
    """A freeze in force, as it concerns one target."""

    id: str
    scope_kind: str
    reason: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None


async def load_biting(conn: Conn, target_ids: Sequence[str]) -> dict[str, tuple[Biting, ...]]:
    """target id -> the freezes that bite there, oldest first, for those that have one.

    Costs: one statement while nothing is frozen there; one more where a freeze has a selector.
    """
    rows = await conn.fetch(Q.list_biting, list(target_ids))
    narrow = sorted({row["target_id"] for row in rows if row["selector"]})
    views = {row["target_id"]: row for row in await conn.fetch(Q.list_views, narrow)} if narrow else {}
    biting: dict[str, tuple[Biting, ...]] = {}
    for row in rows:
        if row["selector"] and not _picks(row["selector"], views[row["target_id"]]):
            continue
        one = Biting(
            row["id"], row["scope_kind"], row["reason"], row["created_by"], row["created_at"], row["expires_at"]
        )
        biting[row["target_id"]] = (*biting.get(row["target_id"], ()), one)
    return biting


def _picks(selector: str, view: asyncpg.Record) -> bool:
    environment = {"id": view["environment_id"], "name": view["environment"], "metadata": view["environment_metadata"]}
    name = view["deployment"]
    deployment = {"id": view["deployment_id"], "name": name, "slug": name, "metadata": {}}
    values = {"resource": resource_view(view), "environment": environment, "deployment": deployment}
    return matches(parse_selector(selector, Scope.POLICY), values)


async def load_scope_names(conn: Conn, scope_ids: Sequence[str]) -> dict[str, str]:
    """id -> name of the systems, environments and deployments that freezes name."""
    return {row["id"]: row["name"] for row in await conn.fetch(Q.load_scope_names, list(scope_ids))}


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
    body = {"from": _text(freeze.expires_at), "to": _text(expires_at), "scopeKind": freeze.scope_kind}
    await _record(
        tx,
        workspace_id,
        change=Change(Q.extend_freeze, (freeze_id, expires_at)),
        event=Event("freeze.extended", Ref("freeze", freeze_id), body, refs=(_scope(freeze, workspace_id),)),
        ends_at=expires_at,
    )
    return await _stored(tx.conn, workspace_id, freeze_id)


async def thaw_freeze(tx: Tx, workspace_id: str, *, freeze_id: str, reason: str, author_id: str) -> Freeze:
    """End a freeze.

    Fails: `NotFound`; `Conflict` when it is over already.
    """
    freeze = await _in_force(tx.conn, workspace_id, freeze_id)
    body = {"scopeKind": freeze.scope_kind, "scopeId": freeze.scope_id}
    await _record(
        tx,
        workspace_id,
        change=Change(Q.thaw_freeze, (freeze_id, author_id, reason)),
        event=Event("freeze.thawed", Ref("freeze", freeze_id), body, refs=(_scope(freeze, workspace_id),)),
    )
    return await _stored(tx.conn, workspace_id, freeze_id)


def _scope(freeze: Freeze, workspace_id: str) -> Ref:
    return Ref(freeze.scope_kind, freeze.scope_id or workspace_id)


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

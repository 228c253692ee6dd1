"""Which versions did somebody pin, where, why and until when? Set, list and remove pins.

A pin of a target wins over one of its environment, that over one of its deployment. One place has one pin: a new one
takes the place of the one before.

Removing a pin lets its targets go on to everything newer than what they run (core.md 4). A pin that ends by itself
does not: nobody looks on at that instant, so what it left stays left, and newer versions go on as ever.

A person's reason stands in the pin's own row, never in the ledger.

Source: core.md sections 2 and 4; DESIGN.md section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from interlock.model.errors import Conflict, Invalid, NotFound
from interlock.model.event import Event, Ref
from interlock.model.ids import new_id
from interlock.store.deployments import lock_deployment, touch
from interlock.store.queries import Conn, queries
from interlock.store.tx import Change, Tx
from interlock.store.work import PEOPLE, WorkRequest

Q = queries("pin")

REPLACED = "Another pin took its place."


@dataclass(frozen=True, slots=True)
class StoredPin:
    """A pin with the names that people know it by. `targets` is how many attached targets its scope holds now."""

    id: str
    deployment_id: str
    deployment: str
    environment_id: str | None
    environment: str | None
    target_id: str | None
    resource_id: str | None
    resource: str | None
    version_id: str
    tag: str
    reason: str
    created_by: str | None
    created_at: datetime
    expires_at: datetime | None
    removed_at: datetime | None
    removed_by: str | None
    remove_reason: str | None
    in_force: bool
    targets: int

    @property
    def scope(self) -> str:
        """target, environment or deployment."""
        return "target" if self.target_id else "environment" if self.environment_id else "deployment"


async def list_pins(
    conn: Conn,
    workspace_id: str,
    *,
    deployment_id: str | None = None,
    over_too: bool = False,
    limit: int = 50,
    offset: int = 0,
) -> tuple[tuple[StoredPin, ...], int]:
    """A page of the pins in force, newest first, and how many there are (0 past the last page)."""
    rows = await conn.fetch(Q.list_pins, workspace_id, None, deployment_id, over_too, limit, offset)
    return tuple(StoredPin(**_less_total(row)) for row in rows), rows[0]["total"] if rows else 0


async def find_pin(conn: Conn, workspace_id: str, *, pin_id: str) -> StoredPin | None:
    """A pin by id, in force or over."""
    row = await conn.fetchrow(Q.list_pins, workspace_id, pin_id, None, True, 1, 0)
    return None if row is None else StoredPin(**_less_total(row))


async def set_pin(
    tx: Tx,
    workspace_id: str,
    *,
    deployment_id: str,
    version_id: str,
    environment_id: str | None,
    target_id: str | None,
    reason: str,
    expires_at: datetime | None,
    author_id: str,
) -> tuple[StoredPin, bool]:
    """Pin a target, else an environment, else a whole deployment to a version.

    Takes: all of them exist and belong together.
    Gives: the pin, and whether it is new: the same pin set twice is one pin.
    Fails: `Invalid` for an end that has passed.
    """
    await lock_deployment(tx, deployment_id)
    await require_future(tx, expires_at, what="pin")
    place = (None, target_id) if target_id else (environment_id, None)
    there = await tx.conn.fetch(Q.list_pins_at, deployment_id, *place)
    for row in there:
        if (row["version_id"], row["reason"], row["expires_at"]) == (version_id, reason, expires_at):
            return await _stored(tx.conn, workspace_id, row["id"]), False
    pin_id = new_id()
    row_args = (pin_id, workspace_id, deployment_id, *place, version_id, reason, author_id, expires_at)
    await tx.record(changes=[Change(Q.insert_pin, row_args)])
    pin = await _stored(tx.conn, workspace_id, pin_id)
    wakes = [_round(pin, workspace_id)]
    if expires_at is not None:
        wakes.append(WorkRequest("expire", f"pin:{pin_id}", workspace_id, expires_at, PEOPLE))
    await tx.record(
        changes=[
            touch(deployment_id, takes_away=True),
            *(Change(Q.remove_pin, (row["id"], author_id, REPLACED), rows=1) for row in there),
        ],
        events=[
            *(_event("pin.removed", pin, pin_id=row["id"], replacedBy=pin_id) for row in there),
            _event("pin.set", pin, **({"expiresAt": expires_at.isoformat()} if expires_at else {})),
        ],
        wakes=wakes,
    )
    return pin, True


async def remove_pin(tx: Tx, workspace_id: str, *, pin_id: str, reason: str, author_id: str) -> StoredPin:
    """Take a pin back. Its targets may go on to whatever is newer than what they run.

    Fails: `NotFound`; `Conflict` when it is over already.
    """
    known = await find_pin(tx.conn, workspace_id, pin_id=pin_id)
    if known is None:
        raise NotFound("There is no such pin.")
    await lock_deployment(tx, known.deployment_id)
    pin = await _stored(tx.conn, workspace_id, pin_id)
    if not pin.in_force:
        raise Conflict("This pin is over already.", code="PIN_OVER")
    place = (None, pin.target_id) if pin.target_id else (pin.environment_id, None)
    await tx.record(
        changes=[
            touch(pin.deployment_id, takes_away=True),
            Change(Q.remove_pin, (pin_id, author_id, reason), rows=1),
            Change(Q.forget_marks, (pin.deployment_id, *place)),
        ],
        events=[_event("pin.removed", pin)],
        wakes=[_round(pin, workspace_id)],
    )
    return await _stored(tx.conn, workspace_id, pin_id)


async def require_future(tx: Tx, expires_at: datetime | None, *, what: str) -> None:
    """Refuse an end that has passed.

    Fails: `Invalid`.
    """
    if expires_at is not None and expires_at <= await tx.conn.fetchval(Q.now):
        raise Invalid(f"The end of a {what} must lie ahead.", field="expiresAt")


def _event(kind: str, pin: StoredPin, *, pin_id: str | None = None, **body: object) -> Event:
    refs = [Ref("deployment", pin.deployment_id), Ref("version", pin.version_id)]
    named: dict[str, object] = {"deployment": pin.deployment, "version": pin.tag, "scope": pin.scope}
    if pin.environment_id is not None:
        refs.append(Ref("environment", pin.environment_id))
        named["environment"] = pin.environment
    if pin.target_id is not None:
        refs.append(Ref("target", pin.target_id))
        named["target"] = pin.resource
    return Event(kind, Ref("pin", pin_id or pin.id), {**named, **body}, refs=tuple(refs))


def _round(pin: StoredPin, workspace_id: str) -> WorkRequest:
    return WorkRequest("round", pin.deployment_id, workspace_id, None, PEOPLE)


async def _stored(conn: Conn, workspace_id: str, pin_id: str) -> StoredPin:
    pin = await find_pin(conn, workspace_id, pin_id=pin_id)
    assert pin is not None, "just written or found in this transaction"
    return pin


def _less_total(row: asyncpg.Record) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "total"}

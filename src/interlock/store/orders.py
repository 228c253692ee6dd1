"""How does a person ask for a redeploy, a force or a rollback, and take that back? As orders, which rounds answer.

One call is one order a target, whatever the scope: a target, an environment, a deployment, or those that run a version
that was rejected. Each target that cannot take it is told apart, with why; the others get theirs.

An order is a fact of its deployment. It is written whether workers, agents or providers are there or not, and takes
hold when they return. Asking for a rollback also puts what the targets leave into quarantine there, at once.

Source: core.md sections 3 and 4 (the table, "Rollback"); reference-behaviour.md 3.5 and appendix B, outcome 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import asyncpg

from interlock.model.errors import Conflict, Invalid, NotFound
from interlock.model.event import Event, Ref
from interlock.model.ids import new_id
from interlock.model.version import Version
from interlock.store.deployments import lock_deployment, touch
from interlock.store.queries import Conn, queries
from interlock.store.tx import Change, Tx
from interlock.store.versions import Q as VERSION
from interlock.store.work import PEOPLE, WorkRequest

Q = queries("order")

ORDERS_MAX = 2_000
"""Targets that one call may be about."""

LASTS = timedelta(days=1)
"""How long an order stays open where nobody says so."""

LASTS_MAX = timedelta(days=30)

WIDE = frozenset({"environment", "deployment"})
"""Scopes in which the newest version of each environment is what goes back."""

Kind = Literal["redeploy", "force", "rollback"]
When = Literal["now", "idle"]
Row = asyncpg.Record


@dataclass(frozen=True, slots=True)
class StoredOrder:
    """One order, with the names that people know its things by. `created_by` is `interlock` where a rule asked."""

    id: str
    kind: str
    scope: str
    state: str
    deployment_id: str
    deployment: str
    environment_id: str
    environment: str
    target_id: str
    resource_id: str
    resource: str
    version_id: str
    tag: str
    starts: str
    reason: str
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    end_reason: str | None
    ended_by: str | None
    ended_at: datetime | None
    move_id: str | None
    change_id: str


@dataclass(frozen=True, slots=True)
class RefusedTarget:
    """A target that cannot take an order, and why. `job_id` is the job that is in the way."""

    target_id: str
    environment: str
    resource: str
    code: str
    message: str
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of one call."""

    orders: tuple[StoredOrder, ...]
    refused: tuple[RefusedTarget, ...]


@dataclass(frozen=True, slots=True)
class Where:
    """Which targets of a deployment are meant; all of them where nothing narrows."""

    deployment_id: str
    deployment: str
    environment_id: str | None = None
    resource_id: str | None = None
    target_id: str | None = None

    @property
    def scope(self) -> str:
        """How much is asked for at once."""
        if self.target_id is not None or self.resource_id is not None:
            return "target"
        return "environment" if self.environment_id is not None else "deployment"


async def place_orders(
    tx: Tx,
    workspace_id: str,
    where: Where,
    *,
    kind: Kind,
    version: Version | None,
    when: When,
    reason: str,
    expires_at: datetime | None,
    principal_id: str,
) -> Placed:
    """Ask for a move of this kind on each of these targets.

    Takes: `version` is the one to force, the one to go back to, or the one to bring again.
    Fails: `NotFound` where no target is meant; `Conflict` where every target refuses; `Invalid` for an end that has
           passed or lies too far ahead, a force without version or end, and for too many targets.
    """
    if kind == "force" and version is None:
        raise Invalid("A force names the version that it brings.", field="version")
    if kind == "force" and expires_at is None:
        raise Invalid("A force needs an end: after it nothing is started.", field="expiresAt")
    expires_at = await _end_of(tx.conn, expires_at)
    await lock_deployment(tx, where.deployment_id)
    rows = await _rows(tx.conn, workspace_id, where, kind=kind, version=version)
    if not rows:
        raise NotFound("The deployment has no target there.")
    placed = await _place(
        tx,
        workspace_id,
        where,
        rows,
        kind=kind,
        scope=where.scope,
        version=version,
        when=when,
        reason=reason,
        expires_at=expires_at,
        principal_id=principal_id,
    )
    if not placed.orders:
        first = placed.refused[0]
        others = f" ({len(placed.refused)} targets refused)" if len(placed.refused) > 1 else ""
        raise Conflict(first.message + others, code=first.code.upper())
    return placed


async def roll_back_version(
    tx: Tx, workspace_id: str, *, version: Version, deployment: str, reason: str, principal_id: str
) -> Placed:
    """Order the targets that run a version, or are on their way to it, back to their newest good release of another."""
    where = Where(version.deployment_id, deployment)
    rows = await _rows(tx.conn, workspace_id, where, kind="rollback", version=None)
    return await _place(
        tx,
        workspace_id,
        where,
        [row for row in rows if row["leaves_version_id"] == version.id and row["move_kind"] != "rollback"],
        kind="rollback",
        scope="version",
        version=None,
        when="now",
        reason=reason,
        expires_at=await _end_of(tx.conn, None),
        principal_id=principal_id,
    )


async def withdraw_order(tx: Tx, workspace_id: str, *, order_id: str, reason: str, principal_id: str) -> StoredOrder:
    """Take an order back. What was handed over for it goes on.

    Fails: `NotFound`; `Conflict` when it is open no more.
    """
    known = await find_order(tx.conn, workspace_id, order_id=order_id)
    if known is None:
        raise NotFound("There is no such order.")
    await lock_deployment(tx, known.deployment_id)
    before = await find_order(tx.conn, workspace_id, order_id=order_id)
    if before is None or before.state != "open":
        raise Conflict("This order is open no more.", code="ORDER_ENDED")
    body = {**_place_of(before), "kind": before.kind, "version": before.tag, "state": "withdrawn"}
    event = Event("order.ended", Ref("order", order_id), body, refs=_refs(before), chain=before.change_id)
    await tx.record(
        changes=[
            touch(before.deployment_id, takes_away=True),
            Change(Q.withdraw_order, (order_id, principal_id, reason), rows=1),
        ],
        events=[event],
        wakes=[_round(workspace_id, before.deployment_id)],
    )
    after = await find_order(tx.conn, workspace_id, order_id=order_id)
    assert after is not None, "just written in this transaction"
    return after


async def find_order(conn: Conn, workspace_id: str, *, order_id: str) -> StoredOrder | None:
    """An order by id, open or ended."""
    orders, _ = await list_orders(conn, workspace_id, order_ids=[order_id], limit=1)
    return orders[0] if orders else None


async def list_orders(
    conn: Conn,
    workspace_id: str,
    *,
    order_ids: Sequence[str] | None = None,
    deployment_id: str | None = None,
    target_id: str | None = None,
    state: str | None = None,
    limit: int | None = 50,
    offset: int = 0,
) -> tuple[tuple[StoredOrder, ...], int]:
    """A page of orders, newest first, and how many there are (0 past the last page)."""
    wanted = list(order_ids) if order_ids is not None else None
    rows = await conn.fetch(Q.list_orders, workspace_id, wanted, deployment_id, target_id, state, limit, offset)
    orders = tuple(StoredOrder(**{name: row[name] for name in row.keys() if name != "total"}) for row in rows)  # noqa: SIM118
    return orders, rows[0]["total"] if rows else 0


# Placing --------------------------------------------------------------------------------------------------------------


async def _rows(conn: Conn, workspace_id: str, where: Where, *, kind: Kind, version: Version | None) -> list[Row]:
    narrow = (where.deployment_id, where.environment_id, where.resource_id, where.target_id)
    version_id = version.id if version is not None else None
    rows = await conn.fetch(Q.find_order_targets, workspace_id, *narrow, ORDERS_MAX + 1, kind, version_id)
    if len(rows) > ORDERS_MAX:
        raise Invalid(f"More than {ORDERS_MAX:,} targets are meant, the most for one call; narrow it.", field="scope")
    return list(rows)


async def _place(
    tx: Tx,
    workspace_id: str,
    where: Where,
    rows: Sequence[Row],
    *,
    kind: Kind,
    scope: str,
    version: Version | None,
    when: When,
    reason: str,
    expires_at: datetime,
    principal_id: str,
) -> Placed:
    """Write an order for each target that can take it, with what a rollback takes away: one statement a kind of row."""
    left = _left_by_environment(rows) if kind == "rollback" and scope in WIDE and version is None else {}
    judged = [(row, _refusal(row, kind=kind, version=version, when=when, left=left)) for row in rows]
    taking = [row for row, refusal in judged if refusal is None]
    refused = tuple(refusal for _, refusal in judged if refusal is not None)
    if not taking:
        return Placed((), refused)
    changes: list[Change] = []
    events: list[Event] = []
    if kind == "force":
        assert version is not None, "refused before"
        change_id = await tx.conn.fetchval(VERSION.find_change, version.id)
    else:
        change_id = new_id()
        brought = version.id if version is not None else None
        row = (change_id, workspace_id, where.deployment_id, kind, brought, principal_id)
        changes.append(Change(Q.insert_change, row))
        refs = (Ref("deployment", where.deployment_id),)
        events.append(Event("change.created", Ref("change", change_id), {"kind": kind}, refs=refs, chain=change_id))
    ids = [new_id() for _ in taking]
    brings = [_brings(row, kind=kind, version=version) for row in taking]
    columns = (
        ids,
        [row["id"] for row in taking],
        [version_id for version_id, _ in brings],
        [release_id for _, release_id in brings],
        [row["leaves_move_id"] if kind == "rollback" else None for row in taking],
    )
    shared = (workspace_id, where.deployment_id, kind, scope, change_id, when, reason, principal_id, expires_at)
    changes.append(Change(Q.insert_orders, (*shared, *columns)))
    if kind == "rollback":
        taken, told = _leave(workspace_id, where, taking, chain=change_id)
        changes.extend(taken)
        events.extend(told)
    await tx.record(changes=[touch(where.deployment_id, takes_away=kind != "redeploy"), *changes], events=events)
    if kind == "rollback" and scope != "target":
        await _halt(tx, where, taking)
    orders, _ = await list_orders(tx.conn, workspace_id, order_ids=ids, limit=None)
    await tx.record(events=[_placed(order) for order in orders], wakes=[_round(workspace_id, where.deployment_id)])
    return Placed(orders, refused)


def _left_by_environment(rows: Sequence[Row]) -> dict[str, tuple[str, str]]:
    """Environment id -> (id, tag) of the newest version in it: what it leaves when all of it goes back.

    Why:    a target that a rollout has not reached yet runs what the others go back to; it has nothing to undo.
    """
    newest: dict[str, Row] = {}
    for row in rows:
        if row["leaves_version_id"] is None:
            continue
        known = newest.get(row["environment_id"])
        if known is None or _age(row) > _age(known):
            newest[row["environment_id"]] = row
    return {key: (row["leaves_version_id"], row["leaves_tag"]) for key, row in newest.items()}


def _age(row: Row) -> tuple[datetime, str]:
    return (row["leaves_created_at"], row["leaves_version_id"])


def _refusal(
    row: Row, *, kind: Kind, version: Version | None, when: When, left: Mapping[str, tuple[str, str]]
) -> RefusedTarget | None:
    """Why a target cannot take an order; None when it can."""
    code, message = _why_not(row, kind=kind, version=version, when=when)
    leaves_id, leaves_tag = left.get(row["environment_id"], (None, ""))
    if leaves_id is not None and row["leaves_version_id"] != leaves_id:
        code, message = "not_concerned", f"it does not run {leaves_tag}, which its environment leaves."
    if not code:
        return None
    where = f"{row['resource']} in {row['environment']}"
    return RefusedTarget(
        row["id"],
        row["environment"],
        row["resource"],
        code,
        f"{where}: {message}",
        row["job_id"] if code == "busy" else None,
    )


def _why_not(row: Row, *, kind: Kind, version: Version | None, when: When) -> tuple[str, str]:
    if row["order_id"] is not None:
        return "ordered_already", f"a {kind} is ordered already (order {row['order_id']})."
    if kind == "redeploy":
        return _why_no_redeploy(row, version=version, when=when)
    if kind == "rollback":
        if row["move_kind"] == "rollback":
            return "goes_back_already", f"it goes back already, to {row['move_tag']}."
        if version is not None and row["leaves_version_id"] == version.id:
            return "runs_it_already", f"it runs {version.tag} already, or is on its way to it."
        if row["returns_to_id"] is None:
            named = (
                f"{version.tag} was never good there." if version else "there is no good release of another version."
            )
            return "no_good_release", named
    return "", ""


def _why_no_redeploy(row: Row, *, version: Version | None, when: When) -> tuple[str, str]:
    if row["move_id"] is not None and when == "now":
        job = f"job {row['job_id']}" if row["job_id"] is not None else "its verification runs"
        moves = f"{row['move_kind']} to {row['move_tag']}, {job}"
        return "busy", f"something moves there ({moves}). Wait for its end, or ask with when: idle."
    if version is not None and version.id != row["current_version_id"]:
        if row["tried_id"] is None:
            return "never_ran", f"{version.tag} was never brought there."
        if row["tried_status"] != "ready":
            return "version_not_ready", f"{version.tag} is {row['tried_status']}; only ready versions are brought."
    elif row["current_id"] is None and row["tried_id"] is None and row["move_id"] is None:
        return "nothing_runs", "it runs nothing that could be brought again."
    return "", ""


def _brings(row: Row, *, kind: Kind, version: Version | None) -> tuple[str, str | None]:
    """The version that an order brings to a target, and its release where that is settled by now."""
    if kind == "rollback":
        return row["returns_to_version_id"], row["returns_to_id"]
    if kind == "force":
        assert version is not None, "refused before"
        return version.id, None
    if version is not None and version.id != row["current_version_id"]:
        return row["tried_version_id"], row["tried_id"]
    if row["current_id"] is None and row["move_id"] is None:
        return row["tried_version_id"], row["tried_id"]
    return row["current_version_id"] or row["move_version_id"], None


def _leave(workspace_id: str, where: Where, rows: Sequence[Row], *, chain: str) -> tuple[list[Change], list[Event]]:
    """Put what the targets leave into quarantine there, and let it speak for no progression."""
    leaving = [row for row in rows if row["leaves_version_id"] is not None and row["leaves_move_id"] is not None]
    fresh = [(new_id(), row) for row in leaving if not row["in_quarantine"]]
    changes = [
        Change(Q.leave_versions, ([row["id"] for row in leaving], [row["leaves_version_id"] for row in leaving])),
    ]
    if fresh:
        columns = (
            [quarantine_id for quarantine_id, _ in fresh],
            [row["id"] for _, row in fresh],
            [row["leaves_version_id"] for _, row in fresh],
            [row["leaves_move_id"] for _, row in fresh],
        )
        changes.append(Change(Q.insert_quarantines, (workspace_id, where.deployment_id, *columns)))
    events = [
        Event(
            "quarantine.set",
            Ref("quarantine", quarantine_id),
            {
                "target": row["resource"],
                "environment": row["environment"],
                "deployment": where.deployment,
                "version": row["leaves_tag"],
            },
            refs=(
                Ref("target", row["id"]),
                Ref("environment", row["environment_id"]),
                Ref("deployment", where.deployment_id),
                Ref("version", row["leaves_version_id"]),
            ),
            chain=chain,
        )
        for quarantine_id, row in fresh
    ]
    return changes, events


async def _halt(tx: Tx, where: Where, rows: Sequence[Row]) -> None:
    """Halt the rollouts of the versions that whole environments leave."""
    environments = sorted({row["environment_id"] for row in rows})
    left = sorted({row["leaves_version_id"] for row in rows if row["leaves_version_id"] is not None})
    halted = await tx.conn.fetch(Q.halt_rollouts, where.deployment_id, environments, left)
    events = [
        Event(
            "rollout.halted",
            Ref("rollout", row["id"]),
            {
                "deployment": where.deployment,
                "environment": row["environment"],
                "kind": "version",
                "version": row["tag"],
                "reason": "rolled_back",
            },
            refs=(
                Ref("deployment", where.deployment_id),
                Ref("environment", row["environment_id"]),
                Ref("version", row["version_id"]),
            ),
            chain=row["change_id"],
        )
        for row in halted
    ]
    await tx.record(events=events)


def _placed(order: StoredOrder) -> Event:
    body: dict[str, object] = {
        **_place_of(order),
        "kind": order.kind,
        "scope": order.scope,
        "version": order.tag,
        "when": order.starts,
        "expiresAt": order.expires_at.isoformat() if order.expires_at else None,
    }
    return Event("order.placed", Ref("order", order.id), body, refs=_refs(order), chain=order.change_id)


def _place_of(order: StoredOrder) -> dict[str, Any]:
    return {"target": order.resource, "environment": order.environment, "deployment": order.deployment}


def _refs(order: StoredOrder) -> tuple[Ref, ...]:
    return (
        Ref("target", order.target_id),
        Ref("environment", order.environment_id),
        Ref("deployment", order.deployment_id),
        Ref("version", order.version_id),
    )


def _round(workspace_id: str, deployment_id: str) -> WorkRequest:
    return WorkRequest("round", deployment_id, workspace_id=workspace_id, priority=PEOPLE)


async def _end_of(conn: Conn, expires_at: datetime | None) -> datetime:
    """When an order ends by itself."""
    now: datetime = await conn.fetchval(Q.now)
    if expires_at is None:
        return now + LASTS
    if expires_at <= now:
        raise Invalid("The end of an order must lie ahead.", field="expiresAt")
    if expires_at > now + LASTS_MAX:
        raise Invalid(f"An order lasts {LASTS_MAX.days} days at most.", field="expiresAt")
    return expires_at

"""Who holds which role over what? Bindings of users, groups and keys.

A binding of a key narrows what its user may (`Caller.limits`); it never adds. Somebody who is bound for the first time
becomes a member. A workspace keeps at least one person who is admin over all of it: whatever would take the last one
away is refused, two requests at once included, because both lock the workspace first.

Source: access/decision.py; decision record 0024.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import asyncpg

from interlock.access import WORKSPACE, Binding, Place
from interlock.model.errors import Conflict, Invalid, NotFound
from interlock.model.event import Event, Ref
from interlock.model.ids import is_id, new_id
from interlock.store.queries import Conn, queries
from interlock.store.refusals import refusals
from interlock.store.roles import StoredRole, find_role, permissions_of
from interlock.store.rows import many
from interlock.store.tx import Change, Tx

Q = queries("binding")

SubjectKind = Literal["user", "group", "key"]


@dataclass(frozen=True, slots=True)
class StoredBinding:
    """A binding with the names of what it binds. `permissions` None: those of the built-in role."""

    id: str
    role: str
    permissions: Sequence[str] | None
    scope_kind: str
    scope_id: str | None
    scope_name: str | None
    subject_kind: str
    subject_id: str
    subject_name: str
    created_at: datetime

    @property
    def as_binding(self) -> Binding:
        """As `access` weighs it."""
        own = None if self.permissions is None else permissions_of(self.permissions)
        return Binding(self.role, self.scope_kind, self.scope_id, own)


@dataclass(frozen=True, slots=True)
class ScopeOf:
    """What a binding is over: its name, and the place that it is. The workspace has no name of its own here."""

    kind: str
    id: str | None
    name: str | None
    place: Place


async def load_bindings(conn: Conn, workspace_id: str, *, principal_id: str) -> tuple[Binding, ...]:
    """The roles of a principal in a workspace, its groups' among them."""
    return _bindings(await conn.fetch(Q.list_of_principal, workspace_id, principal_id))


async def load_key_bindings(conn: Conn, workspace_id: str, *, key_id: str) -> tuple[Binding, ...]:
    """The roles that a key has of its own in a workspace."""
    return _bindings(await conn.fetch(Q.list_of_key, workspace_id, key_id))


async def load_group_bindings(conn: Conn, workspace_id: str, *, group_id: str) -> tuple[Binding, ...]:
    """The roles that a group gives to whoever is in it."""
    return _bindings(await conn.fetch(Q.list_of_group, workspace_id, group_id))


async def find_scope(conn: Conn, workspace_id: str, *, kind: str, scope_id: str | None) -> ScopeOf:
    """What a scope names.

    Fails: `Invalid` for a scope other than the workspace without an id, and for the workspace with one; `NotFound` for
           what is not in this workspace.
    """
    if (kind == "workspace") != (scope_id is None):
        raise Invalid("A scope other than the workspace needs an id, and the workspace takes none.", field="scope.id")
    if scope_id is None:
        return ScopeOf(kind, None, None, WORKSPACE)
    row = await conn.fetchrow(Q.find_scope, workspace_id, kind, scope_id.lower()) if is_id(scope_id) else None
    if row is None:
        raise NotFound(f"There is no {kind} with this id.")
    own = {} if kind == "system" else {f"{kind}_id": scope_id.lower()}
    place = Place(system_ids=frozenset(row["system_ids"]), **own)
    return ScopeOf(kind, scope_id.lower(), row["name"], place)


async def find_place(conn: Conn, workspace_id: str, *, kind: str, scope_id: str | None) -> Place | None:
    """The place that a binding's scope is; None for what is gone."""
    try:
        return (await find_scope(conn, workspace_id, kind=kind, scope_id=scope_id)).place
    except NotFound:
        return None


async def load_place(conn: Conn, *, deployment_id: str, environment_id: str | None = None) -> Place:
    """Where something about a deployment happens: so that a role over one of its systems counts.

    Takes: with an environment, only the systems count that both are in: that is where they meet.
    """
    ids = await conn.fetchval(Q.list_systems_of, deployment_id, environment_id)
    return Place(system_ids=frozenset(ids), deployment_id=deployment_id, environment_id=environment_id)


async def list_bindings(
    conn: Conn,
    workspace_id: str,
    *,
    subject_id: str | None = None,
    role: str | None = None,
    scope_id: str | None = None,
    limit: int,
    offset: int = 0,
) -> tuple[tuple[StoredBinding, ...], int]:
    """A page of a workspace's bindings, oldest first, and how many there are."""
    rows = await conn.fetch(Q.list_bindings, workspace_id, None, subject_id, role, scope_id, limit, offset)
    total = await conn.fetchval(Q.count_bindings, workspace_id, subject_id, role, scope_id)
    return many(StoredBinding, rows), int(total)


async def find_binding(conn: Conn, workspace_id: str, *, binding_id: str) -> StoredBinding | None:
    """A binding by its id."""
    found = many(StoredBinding, await conn.fetch(Q.list_bindings, workspace_id, binding_id, None, None, None, 1, 0))
    return found[0] if found else None


async def grant(
    tx: Tx, workspace_id: str, *, subject_kind: SubjectKind, subject_id: str, role: StoredRole, scope: ScopeOf
) -> tuple[StoredBinding, bool]:
    """Bind a role; the same binding again changes nothing.

    Gives: the binding, and whether it is new.
    """
    who = [subject_id if subject_kind == kind else None for kind in ("user", "group", "key")]
    what = (role.name if role.id is None else None, role.id, scope.kind, scope.id)
    known = await tx.conn.fetchval(Q.find_same, workspace_id, *who, *what)
    binding_id = known or new_id()
    if known is None:
        body = {"role": role.name, "scopeKind": scope.kind, "scopeId": scope.id}
        subject = Ref({"user": "principal"}.get(subject_kind, subject_kind), subject_id)
        with refusals():
            await tx.record(
                changes=[Change(Q.insert_binding, (binding_id, workspace_id, *who, *what))],
                events=[Event("binding.granted", Ref("binding", binding_id), body, refs=(subject,))],
            )
    found = await find_binding(tx.conn, workspace_id, binding_id=binding_id)
    assert found is not None, "just looked up or written in this transaction"
    return found, known is None


async def revoke(tx: Tx, workspace_id: str, *, binding: StoredBinding) -> None:
    """Take a role back.

    Fails: `Conflict` (LAST_ADMIN).
    """
    await lock_admins(tx, workspace_id)
    subject = Ref({"user": "principal"}.get(binding.subject_kind, binding.subject_kind), binding.subject_id)
    body = {"role": binding.role, "scopeKind": binding.scope_kind, "scopeId": binding.scope_id}
    await tx.record(
        changes=[Change(Q.delete_binding, (binding.id,), rows=1)],
        events=[Event("binding.revoked", Ref("binding", binding.id), body, refs=(subject,))],
    )
    await require_an_admin(tx, workspace_id)


async def lock_admins(tx: Tx, workspace_id: str) -> None:
    """Lock what two who each take an admin away would both have to change."""
    await tx.conn.execute(Q.lock_workspace, workspace_id)


async def require_an_admin(tx: Tx, workspace_id: str) -> None:
    """Refuse to leave a workspace without a person who is admin over all of it.

    Fails: `Conflict` (LAST_ADMIN).
    """
    if not await tx.conn.fetchval(Q.count_admins, workspace_id):
        raise Conflict("This would leave the workspace without an admin. Make another one first.", code="LAST_ADMIN")


async def role_named(conn: Conn, workspace_id: str, *, name: str) -> StoredRole:
    """The role of this name.

    Fails: `Invalid` on the field `role`.
    """
    role = await find_role(conn, workspace_id, name=name)
    if role is None:
        raise Invalid(f"There is no role {name!r} in this workspace.", field="role")
    return role


def _bindings(rows: Sequence[asyncpg.Record | Any]) -> tuple[Binding, ...]:
    return tuple(
        Binding(
            role=row["role"],
            scope_kind=row["scope_kind"],
            scope_id=row["scope_id"],
            permissions=None if row["permissions"] is None else permissions_of(row["permissions"]),
            group=row["group_name"],
        )
        for row in rows
    )

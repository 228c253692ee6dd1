"""Which roles can be given in a workspace? The five that every workspace has, and those that it made.

A role of a workspace is a named set of permissions. Whoever holds it has what it says *now*: a change of the role is a
change for all of its holders at once. One that is held is not deleted.

Source: access/permissions.py; decision record 0024.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from interlock.access import PERMISSIONS, ROLE_SENTENCES, Permission, Role
from interlock.model.errors import Conflict, Invalid, NotFound
from interlock.model.event import Event, Ref
from interlock.model.ids import new_id
from interlock.store.queries import Conn, queries
from interlock.store.refusals import refusals
from interlock.store.tx import Change, Tx

Q = queries("role")

BUILT_IN = frozenset(role.value for role in Role)


@dataclass(frozen=True, slots=True)
class StoredRole:
    """A role with how many bindings name it. `id` None: a built-in one."""

    id: str | None
    name: str
    description: str
    permissions: frozenset[Permission]
    bindings: int
    created_at: datetime | None = None
    updated_at: datetime | None = None


def permissions_of(words: Iterable[str]) -> frozenset[Permission]:
    """Stored words as permissions. A word that this version does not know gives nothing; reading is in every role."""
    known = {each.value: each for each in Permission}
    return frozenset({Permission.READ, *(known[word] for word in words if word in known)})


async def list_roles(conn: Conn, workspace_id: str) -> tuple[StoredRole, ...]:
    """The built-in roles in their order, then the workspace's own by name."""
    held = {row["role"]: row["bindings"] for row in await conn.fetch(Q.count_built_in, workspace_id)}
    built_in = [
        StoredRole(None, role.value, ROLE_SENTENCES[role], PERMISSIONS[role], held.get(role.value, 0)) for role in Role
    ]
    return (*built_in, *await _own(conn, workspace_id, None))


async def find_role(conn: Conn, workspace_id: str, *, name: str) -> StoredRole | None:
    """A role by its name."""
    if name in BUILT_IN:
        return next(role for role in await list_roles(conn, workspace_id) if role.name == name)
    return next(iter(await _own(conn, workspace_id, name)), None)


async def save_role(
    tx: Tx, workspace_id: str, *, name: str, description: str, permissions: Iterable[Permission]
) -> StoredRole:
    """Make a role, or say anew what it carries.

    Fails: `Invalid` for the name of a built-in one.
    """
    if name in BUILT_IN:
        raise Invalid(f"The role {name} is built in and stays what it is. Take another name.", field="roleName")
    words = sorted({Permission.READ.value, *(each.value for each in permissions)})
    before = await find_role(tx.conn, workspace_id, name=name)
    if before is not None and (before.description, before.permissions) == (description, permissions_of(words)):
        return before
    role_id = before.id if before else new_id()
    had = set[str]() if before is None else {each.value for each in before.permissions}
    body = {"name": name, "gained": sorted(set(words) - had), "lost": sorted(had - set(words))}
    kind = "role.created" if before is None else "role.changed"
    with refusals():
        await tx.record(
            changes=[Change(Q.save_role, (role_id, workspace_id, name, description, words))],
            events=[Event(kind, Ref("role", str(role_id)), body)],
        )
    saved = await find_role(tx.conn, workspace_id, name=name)
    assert saved is not None, "just written in this transaction"
    return saved


async def delete_role(tx: Tx, workspace_id: str, *, name: str) -> None:
    """End a role that nobody holds.

    Fails: `NotFound`; `Invalid` for a built-in one; `Conflict` (ROLE_IN_USE) for one that somebody holds.
    """
    role = await find_role(tx.conn, workspace_id, name=name)
    if role is None:
        raise NotFound("There is no such role.")
    if role.id is None:
        raise Invalid(f"The role {name} is built in and stays.", field="roleName")
    if role.bindings:
        raise Conflict(f"{role.bindings} bindings give this role. Revoke them first.", code="ROLE_IN_USE")
    await tx.record(
        changes=[Change(Q.delete_role, (role.id,))],
        events=[Event("role.deleted", Ref("role", role.id), {"name": name})],
    )


async def _own(conn: Conn, workspace_id: str, name: str | None) -> tuple[StoredRole, ...]:
    return tuple(
        StoredRole(
            id=row["id"],
            name=row["name"],
            description=row["description"],
            permissions=permissions_of(row["permissions"]),
            bindings=row["bindings"],
            created_at=row["created_at"],
            updated_at=row["updated_at"],
        )
        for row in await conn.fetch(Q.list_roles, workspace_id, name)
    )

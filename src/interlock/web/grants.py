"""How is a role given and taken, by whichever door? Nobody gives, or takes away, what they do not hold there.

It holds for a role, for a group that has roles, for a role's permissions, and for a key: whoever makes a key in
another's name could use it. API and console ask here.

Source: decision record 0024.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from interlock.access import WORKSPACE, Binding, Permission, Place, beyond
from interlock.model.errors import Forbidden, NotFound
from interlock.store import bindings, principals
from interlock.store.bindings import ScopeOf, StoredBinding
from interlock.store.principals import Member
from interlock.store.queries import Conn
from interlock.store.roles import StoredRole
from interlock.web.sign_in import Here


def binding_of(role: StoredRole, scope: ScopeOf) -> Binding:
    """A role over a scope, as `access` weighs it."""
    return Binding(role.name, scope.kind, scope.id, None if role.id is None else role.permissions)


async def with_places(conn: Conn, here: Here, held: Iterable[Binding]) -> list[tuple[Binding, Place]]:
    """Bindings with the places that their scopes are; one over something that is gone gives nothing."""
    placed = []
    for each in held:
        known = await bindings.find_place(conn, here.id, kind=each.scope_kind, scope_id=each.scope_id)
        if known is not None:
            placed.append((each, known))
    return placed


def require_grantable(
    here: Here, granted: Sequence[tuple[Binding, Place]], *, what: str, scopes: Iterable[str] | None = None
) -> None:
    """Refuse to give, or take, more than the caller holds.

    Fails: `Forbidden`, naming what is missing.
    """
    missing = beyond(here.caller, granted, scopes=scopes)
    if missing:
        words = ", ".join(each.value for each in missing)
        raise Forbidden(f"{what} would give {words}, which you do not hold there yourself.", code="ESCALATION")


def require_held(here: Here, permissions: Iterable[Permission], *, what: str) -> None:
    """Refuse to put into a role what the caller does not hold over the workspace.

    Fails: `Forbidden`.
    """
    role = Binding("role", permissions=frozenset(permissions))
    require_grantable(here, [(role, WORKSPACE)], what=what)


async def give_role(
    here: Here, *, user: str, role: str, scope_kind: str, scope_id: str | None, cause: str, replace: bool = False
) -> Member:
    """Make a user a member with this role; one who does not exist yet is made. With `replace` it is the only one left.

    Fails: `Forbidden`; `Invalid` for a role that is none; `NotFound` for a scope that is not here.
    """
    async with here.read() as conn:
        scope = await bindings.find_scope(conn, here.id, kind=scope_kind, scope_id=scope_id)
        given = await bindings.role_named(conn, here.id, name=role)
    here.require(Permission.MEMBER_WRITE, place=scope.place)
    require_grantable(here, [(binding_of(given, scope), scope.place)], what=f"The role {given.name}")
    if replace:
        here.require(Permission.MEMBER_WRITE)
    async with here.tx(Permission.MEMBER_WRITE, cause=cause, place=scope.place) as tx:
        principal_id = await principals.save_principal(tx, user)
        if replace:
            held = await bindings.load_bindings(tx.conn, here.id, principal_id=principal_id)
            own = [each for each in held if each.group is None]
            require_grantable(here, await with_places(tx.conn, here, own), what=f"A change of {user}'s roles")
        await principals.save_member(
            tx,
            here.id,
            principal_id=principal_id,
            role=given.name,
            role_id=given.id,
            scope_kind=scope.kind,
            scope_id=scope.id,
            replace=replace,
        )
        member = await principals.find_member(tx.conn, here.id, principal_id=principal_id)
    assert member is not None, "just written in this transaction"
    return member


async def take_role(here: Here, *, binding_id: str, cause: str) -> StoredBinding:
    """Take a role back from a user or a group.

    Fails: `NotFound`; `Forbidden`; `Conflict` (LAST_ADMIN).
    """
    async with here.read() as conn:
        known = await bindings.find_binding(conn, here.id, binding_id=binding_id)
        if known is None:
            raise NotFound("There is no such role binding.")
        place = await bindings.find_place(conn, here.id, kind=known.scope_kind, scope_id=known.scope_id)
    here.require(Permission.MEMBER_WRITE, place=place or WORKSPACE)
    if place is not None and known.subject_kind != "key":
        require_grantable(here, [(known.as_binding, place)], what=f"The role {known.role}")
    async with here.tx(Permission.MEMBER_WRITE, cause=cause, place=place or WORKSPACE) as tx:
        await bindings.revoke(tx, here.id, binding=known)
    return known


async def remove_member(here: Here, *, principal_id: str, cause: str) -> None:
    """End a membership and its roles.

    Fails: `NotFound`; `Forbidden`; `Conflict` (LAST_ADMIN).
    """
    async with here.tx(Permission.MEMBER_WRITE, cause=cause) as tx:
        held = await bindings.load_bindings(tx.conn, here.id, principal_id=principal_id)
        require_grantable(here, await with_places(tx.conn, here, held), what="The roles of this member")
        await principals.remove_member(tx, here.id, principal_id=principal_id)

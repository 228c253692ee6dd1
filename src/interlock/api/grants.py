"""May this caller give that to somebody? Nobody gives, or takes away, what they do not hold there themselves.

It holds for a role, for a group that has roles, for a role's permissions, and for a key: whoever makes a key in
another's name could use it.

Source: decision record 0024.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired

from pydantic import StringConstraints
from typing_extensions import TypedDict

from interlock.access import WORKSPACE, Binding, Permission, Place, beyond
from interlock.api.rendering import Wire
from interlock.model.errors import Forbidden
from interlock.store import bindings
from interlock.store.bindings import ScopeOf
from interlock.store.queries import Conn
from interlock.store.roles import StoredRole
from interlock.web.answers import present
from interlock.web.bodies import ClosedBody
from interlock.web.shapes import Id
from interlock.web.sign_in import Here

RoleName = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$")]


class BindingScope(ClosedBody):
    """Where a role holds: the workspace, or one system, deployment or environment."""

    kind: Literal["workspace", "system", "deployment", "environment"] = "workspace"
    id: str | None = None


class ScopeAnswer(TypedDict):
    """Where a role holds."""

    kind: Literal["workspace", "system", "deployment", "environment"]
    id: NotRequired[Id]
    name: NotRequired[str]


class HeldAnswer(TypedDict):
    """A role as it stands with its holder."""

    id: Id
    role: str
    scope: ScopeAnswer


def render_held(binding: Mapping[str, Any]) -> Wire:
    """A binding as it stands with its holder."""
    scope = present(kind=binding["scopeKind"], id=binding["scopeId"])
    return present(id=binding["id"], role=binding["role"], scope=scope)


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

"""May this caller do this here? One function that API and console ask.

A caller holds bindings: a role over a workspace, or over one system, deployment or environment of it. A request
happens at a *place*: a workspace, and as much as is known of which system, deployment and environment it touches. A
binding counts when its scope holds the place. Reading is wider on purpose: any binding in a workspace lets its holder
read all of it, because a team must see why another team's deployment holds theirs.

Pure: the bindings are loaded by `store/principals.py`.

Source: DESIGN.md section 3; core.md section 4, "Approval".
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.access.permissions import PERMISSIONS, Permission, Role
from interlock.model.errors import Forbidden


@dataclass(frozen=True, slots=True)
class Binding:
    """A role over a scope. `scope_id` is None for the whole workspace."""

    role: Role
    scope_kind: str = "workspace"
    scope_id: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """What a request touches, as far as it is known. The nowhere-in-particular place is the workspace as a whole."""

    system_ids: frozenset[str] = frozenset()
    deployment_id: str | None = None
    environment_id: str | None = None


WORKSPACE = Place()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a person or a service, with their bindings in the workspace at hand.

    Takes: `bindings` is empty for one who is no member. `system_admin` may do everything everywhere. `scopes` are what
           the key at hand may be used for; None: everything that its principal may.
    """

    id: str
    name: str
    kind: str = "user"
    system_admin: bool = False
    bindings: tuple[Binding, ...] = ()
    scopes: frozenset[str] | None = None


def allowed(caller: Caller, permission: Permission, *, place: Place = WORKSPACE) -> bool:
    """Whether the caller may do this here."""
    if caller.scopes is not None and permission.value not in caller.scopes:
        return False
    if caller.system_admin:
        return True
    if permission is Permission.READ:
        return bool(caller.bindings)
    return any(permission in PERMISSIONS[binding.role] and _holds(binding, place) for binding in caller.bindings)


def require(caller: Caller, permission: Permission, *, place: Place = WORKSPACE) -> None:
    """Refuse what is not allowed.

    Fails: `Forbidden`, naming the permission and the roles that carry it.
    """
    if allowed(caller, permission, place=place):
        return
    if caller.scopes is not None and permission.value not in caller.scopes:
        raise Forbidden(f"This key is not made for {permission}; its scopes are {', '.join(sorted(caller.scopes))}.")
    roles = " or ".join(role for role, permissions in PERMISSIONS.items() if permission in permissions)
    raise Forbidden(f"{caller.name} lacks the permission {permission} here; the role {roles} carries it.")


def _holds(binding: Binding, place: Place) -> bool:
    match binding.scope_kind:
        case "workspace":
            return True
        case "system":
            return binding.scope_id in place.system_ids
        case "deployment":
            return binding.scope_id == place.deployment_id
        case "environment":
            return binding.scope_id == place.environment_id
        case _:
            return False

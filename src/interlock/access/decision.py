"""May this caller do this here, and why? One function that API and console ask.

A caller holds bindings: a role over a workspace, or over one system, deployment or environment of it. A request
happens at a *place*: a workspace, and as much as is known of which system, deployment and environment it touches. A
binding counts when its scope holds the place. Reading is wider on purpose: any binding in a workspace lets its holder
read all of it, because a team must see why another team's deployment holds theirs.

A key may narrow what its user may, in two ways: by scopes (permissions) and by bindings of its own (`limits`). It never
adds anything. An agent's token is no user's: it reads its own queue and reports its own jobs.

`weigh` decides; `allowed`, `require` and `explain` are three ways to ask it, so that an explanation cannot differ from
what is done.

Pure: the bindings are loaded by `store/principals.py`.

Source: DESIGN.md section 3; core.md section 4, "Approval"; decision record 0024.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from interlock.access.permissions import PERMISSIONS, Permission, Role
from interlock.model.errors import Forbidden

ScopeKind = Literal["workspace", "system", "deployment", "environment"]


@dataclass(frozen=True, slots=True)
class Binding:
    """A role over a scope. `scope_id` is None for the whole workspace.

    Takes: `permissions` are those of a role that the workspace made; None: those of the built-in role of this name.
           `group` is the name of the group that has the binding; None: it is the caller's own.
    """

    role: str
    scope_kind: str = "workspace"
    scope_id: str | None = None
    permissions: frozenset[Permission] | None = None
    group: str | None = None

    @property
    def carries(self) -> frozenset[Permission]:
        """What the role lets its holder do."""
        return PERMISSIONS[Role(self.role)] if self.permissions is None else self.permissions


@dataclass(frozen=True, slots=True)
class Place:
    """What a request touches, as far as it is known. The nowhere-in-particular place is the workspace as a whole.

    Takes: `agent_id` is the job agent whose queue or job it is about.
    """

    system_ids: frozenset[str] = frozenset()
    deployment_id: str | None = None
    environment_id: str | None = None
    agent_id: str | None = None


WORKSPACE = Place()

AGENT_MAY = frozenset({Permission.READ, Permission.JOB_REPORT})
"""What an agent's token may do, at its own agent's place alone."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a person, a service or an agent, with their bindings in the workspace at hand.

    Takes: `bindings` is empty for one who is no member. `system_admin` may do everything everywhere. `scopes` are what
           the key at hand may be used for; None: everything that its principal may. `limits` are the key's own
           bindings in this workspace; None: it has none anywhere. `agent_id` and `agent_workspace_id` belong to an
           agent's token.
    """

    id: str
    name: str
    kind: str = "user"
    system_admin: bool = False
    bindings: tuple[Binding, ...] = ()
    scopes: frozenset[str] | None = None
    limits: tuple[Binding, ...] | None = None
    key_id: str | None = None
    agent_id: str | None = None
    agent_workspace_id: str | None = None


@dataclass(frozen=True, slots=True)
class Weighed:
    """Whether, and the one thing that decided it.

    Takes: `binding` is the one that lets the caller, or that carries the permission over another scope.
    """

    allowed: bool
    because: Literal[
        "system_admin", "role", "reads_all", "agent",
        "not_the_agents", "not_in_scopes", "outside_the_keys_limits", "elsewhere", "no_role_carries_it", "no_member",
    ]  # fmt: skip
    binding: Binding | None = None


def weigh(caller: Caller, permission: Permission, *, place: Place = WORKSPACE) -> Weighed:
    """The decision with its cause."""
    if caller.agent_id is not None:
        own = place.agent_id == caller.agent_id and permission in AGENT_MAY
        return Weighed(own, "agent" if own else "not_the_agents")
    if caller.scopes is not None and permission.value not in caller.scopes:
        return Weighed(False, "not_in_scopes")
    if caller.limits is not None and _counting(caller.limits, permission, place) is None:
        return Weighed(False, "outside_the_keys_limits")
    if caller.system_admin:
        return Weighed(True, "system_admin")
    if not caller.bindings:
        return Weighed(False, "no_member")
    binding = _counting(caller.bindings, permission, place)
    if binding is not None:
        there = permission in binding.carries and _holds(binding, place)
        return Weighed(True, "role" if there else "reads_all", binding)
    elsewhere = next((each for each in caller.bindings if permission in each.carries), None)
    return Weighed(False, "no_role_carries_it" if elsewhere is None else "elsewhere", elsewhere)


def allowed(caller: Caller, permission: Permission, *, place: Place = WORKSPACE) -> bool:
    """Whether the caller may do this here."""
    return weigh(caller, permission, place=place).allowed


def allowed_somewhere(caller: Caller, permission: Permission) -> bool:
    """Whether there may be a part of the workspace where the caller may do this: the least that a call needs."""
    if caller.agent_id is not None:
        return permission in AGENT_MAY
    if caller.scopes is not None and permission.value not in caller.scopes:
        return False
    carried = [caller.system_admin or _carried(caller.bindings, permission)]
    carried += [] if caller.limits is None else [_carried(caller.limits, permission)]
    return all(carried)


def require(caller: Caller, permission: Permission, *, place: Place = WORKSPACE) -> None:
    """Refuse what is not allowed.

    Fails: `Forbidden`, naming the permission and the roles that carry it.
    """
    weighed = weigh(caller, permission, place=place)
    if not weighed.allowed:
        raise Forbidden(explain(caller, permission, weighed))


def explain(
    caller: Caller,
    permission: Permission,
    weighed: Weighed,
    *,
    roles: Mapping[str, frozenset[Permission]] | None = None,
    names: Mapping[str, str] | None = None,
) -> str:
    """A decision as one sentence: what lets the caller, or what is missing and which roles have it.

    Takes: `roles` are the workspace's own by name; `names` says scope ids as people do.
    """
    said = _scope_in_words(weighed.binding, names or {}) if weighed.binding else ""
    match weighed.because:
        case "system_admin":
            return f"{caller.name} is a system admin, who may do everything everywhere."
        case "agent":
            return "An agent's token reads its own queue and reports its own jobs."
        case "not_the_agents":
            return "An agent's token claims, lists and reports the jobs of its own agent, and does nothing else."
        case "not_in_scopes":
            return f"This key is not made for {permission}; its scopes are {', '.join(sorted(caller.scopes or ()))}."
        case "outside_the_keys_limits":
            return f"This key has roles of its own, and none of them carries {permission} here."
        case "no_member":
            return f"{caller.name} has no role in this workspace."
        case "role":
            assert weighed.binding is not None
            by = f"is in the group {weighed.binding.group}, which has" if weighed.binding.group else "has"
            return f"{caller.name} {by} the role {weighed.binding.role} over {said}, which carries {permission}."
        case "reads_all":
            return f"{caller.name} has a role in this workspace, and whoever has one reads all of it."
        case "elsewhere":
            assert weighed.binding is not None
            return (
                f"{caller.name} lacks the permission {permission} here: "
                f"the role {weighed.binding.role} carries it over {said} alone."
            )
    carry = _roles_that_carry(permission, roles or {})
    return f"{caller.name} lacks the permission {permission} here; the role {' or '.join(carry)} carries it."


def beyond(
    granter: Caller, granted: Iterable[tuple[Binding, Place]], *, scopes: Iterable[str] | None = None
) -> tuple[Permission, ...]:
    """What the bindings would give that the granter does not hold there: nobody grants, or takes away, more than that.

    Takes: each binding with the place that its scope is. `scopes` narrow what is granted, as a key's do.
    Gives: permissions in the table's order; empty means that all may be granted.
    """
    only = None if scopes is None else frozenset(scopes)
    missing = {
        permission
        for binding, place in granted
        for permission in binding.carries
        if (only is None or permission.value in only) and not allowed(granter, permission, place=place)
    }
    return tuple(each for each in Permission if each in missing)


def place_of_scope(kind: str, scope_id: str | None) -> Place:
    """A binding's scope as a place."""
    match kind, scope_id:
        case "system", str():
            return Place(system_ids=frozenset({scope_id}))
        case "deployment", str():
            return Place(deployment_id=scope_id)
        case "environment", str():
            return Place(environment_id=scope_id)
        case _:
            return WORKSPACE


def _counting(bindings: Iterable[Binding], permission: Permission, place: Place) -> Binding | None:
    """The first binding that carries the permission over this place; for reading, any."""
    first = None
    for binding in bindings:
        first = first or binding
        if permission in binding.carries and _holds(binding, place):
            return binding
    return first if permission is Permission.READ else None


def _carried(bindings: tuple[Binding, ...], permission: Permission) -> bool:
    reading = permission is Permission.READ and bool(bindings)
    return reading or any(permission in each.carries for each in bindings)


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


def _scope_in_words(binding: Binding, names: Mapping[str, str]) -> str:
    if binding.scope_id is None:
        return "the workspace"
    return f"the {binding.scope_kind} {names.get(binding.scope_id, binding.scope_id)}"


def _roles_that_carry(permission: Permission, roles: Mapping[str, frozenset[Permission]]) -> list[str]:
    built_in = [role.value for role, permissions in PERMISSIONS.items() if permission in permissions]
    return built_in + sorted(name for name, permissions in roles.items() if permission in permissions)

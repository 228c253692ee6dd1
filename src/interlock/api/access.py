"""REST for the question who may do what, and why.

`GET /access` says what the caller may do here; `GET /access/explain` asks about one permission at one place, for the
caller or for a member. The answer comes from the function that decides every call, so it cannot differ from what is
done.

Source: access/decision.py. These paths are ours.
"""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from fastapi import Query
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import (
    SENTENCES,
    WORKSPACE,
    Binding,
    Caller,
    Permission,
    Place,
    allowed,
    allowed_somewhere,
    explain,
    weigh,
)
from interlock.api.deployments import place_of
from interlock.api.grants import ScopeAnswer
from interlock.api.paths import W, found, noun_router
from interlock.api.rendering import Wire
from interlock.model.errors import Invalid, NotFound
from interlock.model.ids import is_id
from interlock.store import bindings, deployments, environments, principals, roles, systems
from interlock.store.queries import Conn
from interlock.web.answers import Json, present
from interlock.web.shapes import Named
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("access")

BINDINGS_MAX = 1_000


class RoleOver(TypedDict):
    """A role, what it is over, and the group that gives it."""

    role: str
    scope: ScopeAnswer
    group: NotRequired[str]


class OwnPermission(TypedDict):
    """What the caller may do: over the workspace, or over some of it."""

    name: str
    description: str
    over: Literal["workspace", "some"]


class AccessAnswer(TypedDict):
    """What the caller may do here, and by which roles."""

    user: Named
    systemAdmin: bool
    bindings: list[RoleOver]
    keyScopes: NotRequired[list[str]]
    keyBindings: NotRequired[list[RoleOver]]
    permissions: list[OwnPermission]


class ExplanationAnswer(TypedDict):
    """Whether somebody may do something somewhere, and the one thing that decides it."""

    allowed: bool
    permission: str
    user: Named
    where: str
    because: str
    sentence: str
    binding: NotRequired[RoleOver]
    everyBinding: list[RoleOver]


@router.get(W + "/access", response_model=AccessAnswer)
async def get_access(here: InWorkspace) -> Response:
    """Get what the caller may do in this workspace, and by which roles."""
    here.require(Permission.READ)
    async with here.read() as conn:
        names = await _names(conn, here)
    caller = here.caller
    permissions = [
        {"name": each.value, "description": SENTENCES[each], "over": "workspace" if allowed(caller, each) else "some"}
        for each in Permission
        if allowed_somewhere(caller, each)
    ]
    return Json(
        present(
            user={"id": caller.id, "name": caller.name},
            systemAdmin=caller.system_admin,
            bindings=[_render(each, names) for each in caller.bindings],
            keyScopes=None if caller.scopes is None else sorted(caller.scopes),
            keyBindings=None if caller.limits is None else [_render(each, names) for each in caller.limits],
            permissions=permissions,
        )
    )


@router.get(W + "/access/explain", response_model=ExplanationAnswer)
async def explain_access(
    here: InWorkspace,
    permission: Annotated[str, Query(description="The word, as in `GET /permissions`.")],
    user: Annotated[str | None, Query(description="A member, by name or id; none: the caller.")] = None,
    system: Annotated[str | None, Query(description="Name or id.")] = None,
    deployment: Annotated[str | None, Query(description="Name or id.")] = None,
    environment: Annotated[str | None, Query(description="Name or id.")] = None,
) -> Response:
    """Say whether somebody may do something somewhere, and why or why not."""
    here.require(Permission.READ)
    asked = next((each for each in Permission if each.value == permission), None)
    if asked is None:
        raise Invalid(f"permission is one of {', '.join(Permission)}.", field="permission")
    async with here.read() as conn:
        caller = here.caller if user is None else await _as_member(conn, here, user)
        place, where = await _place(conn, here, system, deployment, environment)
        names = await _names(conn, here)
        own = {role.name: role.permissions for role in await roles.list_roles(conn, here.id) if role.id is not None}
    weighed = weigh(caller, asked, place=place)
    return Json(
        present(
            allowed=weighed.allowed,
            permission=asked.value,
            user={"id": caller.id, "name": caller.name},
            where=where,
            because=weighed.because,
            sentence=explain(caller, asked, weighed, roles=own, names=names),
            binding=_render(weighed.binding, names) if weighed.binding else None,
            everyBinding=[_render(each, names) for each in caller.bindings],
        )
    )


async def _as_member(conn: Conn, here: Here, text: str) -> Caller:
    """A member as they would call with a key that narrows nothing.

    Fails: `NotFound`.
    """
    principal = await principals.find_principal_by_name(conn, text)
    if principal is None and is_id(text):
        principal = await principals.find_principal(conn, text.lower())
    if principal is None or await principals.find_member(conn, here.id, principal_id=principal.id) is None:
        raise NotFound("There is no such member.")
    return Caller(
        id=principal.id,
        name=principal.name,
        kind=principal.kind,
        system_admin=principal.system_role == "admin",
        bindings=await bindings.load_bindings(conn, here.id, principal_id=principal.id),
    )


async def _place(
    conn: Conn, here: Here, system: str | None, deployment: str | None, environment: str | None
) -> tuple[Place, str]:
    """The place that a question names, and in words.

    Fails: `NotFound` for what is not here; `Invalid` for a system beside something else.
    """
    if system is not None:
        if deployment is not None or environment is not None:
            raise Invalid("Give a system, or a deployment and an environment.", field="system")
        items, _total = await systems.list_systems(conn, here.id, limit=BINDINGS_MAX, offset=0)
        one = found(next((each for each in items if system in {each.id, each.name}), None), "system")
        return Place(system_ids=frozenset({one.id})), f"the system {one.name}"
    env = None
    if environment is not None:
        env = await environments.find_environment_by_name(conn, here.id, name=environment)
        if env is None and is_id(environment):
            env = await environments.find_environment(conn, here.id, environment_id=environment.lower())
        env = found(env, "environment")
    if deployment is not None:
        one_deployment = found(await deployments.resolve_deployment(conn, here.id, text=deployment), "deployment")
        place = await place_of(here, one_deployment.id, environment_id=env.id if env else None)
        return place, f"the deployment {one_deployment.name}" + (f" in {env.name}" if env else "")
    if env is not None:
        scope = await bindings.find_scope(conn, here.id, kind="environment", scope_id=env.id)
        return scope.place, f"the environment {env.name}"
    return WORKSPACE, "the workspace"


async def _names(conn: Conn, here: Here) -> dict[str, str]:
    """What the scopes of this workspace's bindings are called."""
    items, _total = await bindings.list_bindings(conn, here.id, limit=BINDINGS_MAX)
    return {each.scope_id: each.scope_name for each in items if each.scope_id and each.scope_name}


def _render(binding: Binding, names: dict[str, str]) -> Wire:
    name = names.get(binding.scope_id) if binding.scope_id else None
    return present(
        role=binding.role, scope=present(kind=binding.scope_kind, id=binding.scope_id, name=name), group=binding.group
    )

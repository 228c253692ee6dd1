"""REST for roles: which there are and what each carries; those that the workspace makes itself.

A role is a named set of permissions. The five built-in ones stand in every workspace and stay what they are; `PUT`
makes another or says anew what it carries, which is then true for all who hold it. One that somebody holds is not
deleted.

Source: access/permissions.py; decision record 0024. These paths are ours.
"""

from __future__ import annotations

from typing import Annotated, NotRequired

from pydantic import Field
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import SENTENCES, Permission
from interlock.api.paths import W, found, noun_router
from interlock.api.rendering import Wire
from interlock.model.errors import Invalid
from interlock.store import roles
from interlock.store.roles import StoredRole
from interlock.web.answers import Json, instant, present
from interlock.web.bodies import ClosedBody, Text
from interlock.web.grants import require_held
from interlock.web.paging import Paging
from interlock.web.shapes import Id, Instant, page_of
from interlock.web.sign_in import InWorkspace

router = noun_router("roles")

NAME_MAX = 100


class PermissionAnswer(TypedDict):
    """A permission and what it lets one do."""

    name: str
    description: str


class RoleAnswer(TypedDict):
    """A role, what it carries, and how many bindings name it."""

    id: NotRequired[Id]
    name: str
    description: str
    builtIn: bool
    permissions: list[str]
    bindings: int
    createdAt: NotRequired[Instant]
    updatedAt: NotRequired[Instant]


class RoleDeleted(TypedDict):
    """A role that is gone."""

    name: str
    message: str


class RoleBody(ClosedBody):
    """What a role carries. `read` is in every role."""

    permissions: Annotated[list[Permission], Field(min_length=1, max_length=100)]
    description: Text = ""


@router.get(W + "/permissions", response_model=page_of(PermissionAnswer))
async def list_permissions(here: InWorkspace, page: Paging) -> Response:
    """List every permission with a sentence that says what it lets one do."""
    here.require(Permission.READ)
    items = [{"name": each.value, "description": SENTENCES[each]} for each in Permission]
    return page.answer(items[page.offset : page.offset + page.limit], len(items))


@router.get(W + "/roles", response_model=page_of(RoleAnswer))
async def list_roles(here: InWorkspace, page: Paging) -> Response:
    """List the built-in roles, then the workspace's own by name."""
    here.require(Permission.READ)
    async with here.read() as conn:
        items = await roles.list_roles(conn, here.id)
    return page.answer([render_role(role) for role in items[page.offset : page.offset + page.limit]], len(items))


@router.get(W + "/roles/{roleName:segment}", response_model=RoleAnswer)
async def get_role(here: InWorkspace, roleName: str) -> Response:
    """Get a role."""
    here.require(Permission.READ)
    async with here.read() as conn:
        role = await roles.find_role(conn, here.id, name=roleName)
    return Json(render_role(found(role, "role")))


@router.put(W + "/roles/{roleName:segment}", response_model=RoleAnswer)
async def put_role(here: InWorkspace, roleName: str, body: RoleBody) -> Response:
    """Make a role, or say anew what it carries. Nobody puts more into it than they hold over the workspace."""
    name = roleName.strip()
    if not name or len(name) > NAME_MAX or not name.isprintable() or "/" in name:
        raise Invalid(f"A role's name has 1 to {NAME_MAX} characters and no slash.", field="roleName")
    async with here.tx(Permission.MEMBER_WRITE, cause="api: put role") as tx:
        before = await roles.find_role(tx.conn, here.id, name=name)
        had = before.permissions if before else frozenset()
        require_held(here, had ^ set(body.permissions), what=f"A change of the role {name}")
        role = await roles.save_role(tx, here.id, name=name, description=body.description, permissions=body.permissions)
    return Json(render_role(role))


@router.delete(W + "/roles/{roleName:segment}", response_model=RoleDeleted)
async def delete_role(here: InWorkspace, roleName: str) -> Response:
    """End a role that nobody holds; 409 while somebody does."""
    async with here.tx(Permission.MEMBER_WRITE, cause="api: delete role") as tx:
        await roles.delete_role(tx, here.id, name=roleName)
    return Json({"name": roleName, "message": "The role was deleted."})


def render_role(role: StoredRole) -> Wire:
    """A role on the wire; its permissions in the order of the table."""
    return present(
        id=role.id,
        name=role.name,
        description=role.description,
        builtIn=role.id is None,
        permissions=[each.value for each in Permission if each in role.permissions],
        bindings=role.bindings,
        createdAt=instant(role.created_at) if role.created_at else None,
        updatedAt=instant(role.updated_at) if role.updated_at else None,
    )

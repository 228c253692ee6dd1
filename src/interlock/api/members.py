"""REST for the members of a workspace, and their roles.

`POST` invites as well: a user who does not exist yet is made, and has the role when they first sign in with that name
or e-mail address. The last admin of a workspace stays.

Source: DESIGN.md section 3, `access/`; contract.md section a.
"""

from __future__ import annotations

from typing import Annotated, NotRequired

from pydantic import Field
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api.grants import BindingScope, HeldAnswer, RoleName, render_held
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import Wire
from interlock.store import principals
from interlock.store.principals import Member
from interlock.web import grants
from interlock.web.answers import Json, instant, present
from interlock.web.bodies import ClosedBody, Name
from interlock.web.grants import give_role
from interlock.web.paging import Paging
from interlock.web.shapes import Accepted, Id, Instant, page_of
from interlock.web.sign_in import InWorkspace

router = noun_router("members")


class MemberBody(ClosedBody):
    """A role for a user, who is made when there is none with this name."""

    user: Name
    role: RoleName
    scope: BindingScope = BindingScope()
    replace: Annotated[bool, Field(strict=True)] = False


class MemberAnswer(TypedDict):
    """A member with the roles."""

    id: Id
    name: str
    kind: str
    email: NotRequired[str]
    addedAt: Instant
    groups: list[str]
    bindings: list[HeldAnswer]


@router.get(W + "/members", response_model=page_of(MemberAnswer))
async def list_members(here: InWorkspace, page: Paging) -> Response:
    """List members with their roles, in the order they joined."""
    here.require(Permission.READ)
    async with here.read() as conn:
        members, total = await principals.list_members(conn, here.id, limit=page.limit, offset=page.offset)
    return page.answer([render_member(member) for member in members], total)


@router.get(W + "/members/{principalId:segment}", response_model=MemberAnswer)
async def get_member(here: InWorkspace, principalId: str) -> Response:
    """Get a member with their roles and groups."""
    here.require(Permission.READ)
    async with here.read() as conn:
        member = await principals.find_member(conn, here.id, principal_id=id_of(principalId, "member"))
    return Json(render_member(found(member, "member")))


@router.post(W + "/members", status_code=201, response_model=MemberAnswer)
async def add_member(here: InWorkspace, body: MemberBody) -> Response:
    """Give a user a role; with `replace` it is the only one left."""
    member = await give_role(
        here,
        user=body.user,
        role=body.role,
        scope_kind=body.scope.kind,
        scope_id=body.scope.id,
        replace=body.replace,
        cause="api: add member",
    )
    return Json(render_member(member), status_code=201)


@router.delete(W + "/members/{principalId:segment}", response_model=Accepted)
async def remove_member(here: InWorkspace, principalId: str) -> Response:
    """End a membership and its roles. The last admin stays."""
    principal_id = id_of(principalId, "member")
    await grants.remove_member(here, principal_id=principal_id, cause="api: remove member")
    return Json({"id": principal_id, "message": "The member was removed."})


def render_member(member: Member) -> Wire:
    """A member on the wire."""
    return present(
        id=member.id,
        name=member.name,
        kind=member.kind,
        email=member.email,
        addedAt=instant(member.added_at),
        groups=list(member.groups),
        bindings=[render_held(binding) for binding in member.bindings],
    )

"""REST for the members of a workspace, and their roles.

Source: DESIGN.md section 3, `access/`; contract.md section a.
"""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission, Role
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import Wire
from interlock.model.errors import Invalid
from interlock.model.ids import is_id
from interlock.store import principals
from interlock.store.principals import Member
from interlock.web.answers import Json, instant, present
from interlock.web.bodies import ClosedBody, Name
from interlock.web.paging import Paging
from interlock.web.shapes import Accepted, Id, Instant, page_of
from interlock.web.sign_in import InWorkspace

router = noun_router("members")

RoleWord = Literal["viewer", "developer", "approver", "operator", "admin"]


class BindingScope(ClosedBody):
    """Where a role holds: the workspace, or one system, deployment or environment."""

    kind: Literal["workspace", "system", "deployment", "environment"]
    id: str | None = None


class MemberBody(ClosedBody):
    """A role for a user, who is made when there is none with this name."""

    user: Name
    role: RoleWord
    scope: BindingScope = BindingScope(kind="workspace")
    replace: Annotated[bool, Field(strict=True)] = False


class BindingScopeAnswer(TypedDict):
    """Where a role holds."""

    kind: Literal["workspace", "system", "deployment", "environment"]
    id: NotRequired[Id]


class BindingAnswer(TypedDict):
    """A role somewhere."""

    role: str
    scope: BindingScopeAnswer


class MemberAnswer(TypedDict):
    """A member with the roles."""

    id: Id
    name: str
    kind: str
    email: NotRequired[str]
    addedAt: Instant
    bindings: list[BindingAnswer]


@router.get(W + "/members", response_model=page_of(MemberAnswer))
async def list_members(here: InWorkspace, page: Paging) -> Response:
    """List members with their roles, in the order they joined."""
    here.require(Permission.READ)
    async with here.read() as conn:
        members, total = await principals.list_members(conn, here.id, limit=page.limit, offset=page.offset)
    return page.answer([render_member(member) for member in members], total)


@router.post(W + "/members", status_code=201, response_model=MemberAnswer)
async def add_member(here: InWorkspace, body: MemberBody) -> Response:
    """Give a user a role; with `replace` it is the only one left."""
    if body.scope.id is not None and not is_id(body.scope.id):
        raise Invalid("This is no id.", field="scope.id")
    async with here.tx(Permission.MEMBER_WRITE, cause="api: add member") as tx:
        principal_id = await principals.save_principal(tx, body.user)
        await principals.save_member(
            tx,
            here.id,
            principal_id=principal_id,
            role=Role(body.role),
            scope_kind=body.scope.kind,
            scope_id=body.scope.id,
            replace=body.replace,
        )
        member = await principals.find_member(tx.conn, here.id, principal_id=principal_id)
    return Json(render_member(found(member, "member")), status_code=201)


@router.delete(W + "/members/{principalId:segment}", response_model=Accepted)
async def remove_member(here: InWorkspace, principalId: str) -> Response:
    """End a membership and its roles."""
    principal_id = id_of(principalId, "member")
    async with here.tx(Permission.MEMBER_WRITE, cause="api: remove member") as tx:
        await principals.remove_member(tx, here.id, principal_id=principal_id)
    return Json({"id": principal_id, "message": "The member was removed."})


def render_member(member: Member) -> Wire:
    """A member on the wire."""
    bindings = [
        present(role=binding["role"], scope=present(kind=binding["scopeKind"], id=binding["scopeId"]))
        for binding in member.bindings
    ]
    return present(
        id=member.id,
        name=member.name,
        kind=member.kind,
        email=member.email,
        addedAt=instant(member.added_at),
        bindings=bindings,
    )

"""REST for the members of a workspace and the keys that open it.

A key is shown once, in the answer that made it.

Source: DESIGN.md section 3, `access/`; contract.md section a.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field
from starlette.responses import Response

from interlock.access import Permission, Role
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import Wire
from interlock.model.errors import Invalid, NotFound
from interlock.model.ids import is_id
from interlock.store import principals
from interlock.store.principals import Member
from interlock.web.answers import Json, instant, present
from interlock.web.bodies import ClosedBody, Name, Text
from interlock.web.paging import Paging
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


class KeyBody(ClosedBody):
    """A key for a user of this workspace, who is made, and given the role, when new."""

    user: Name
    role: RoleWord
    name: Text = ""
    expiresAt: AwareDatetime | None = None


@router.get(W + "/members")
async def list_members(here: InWorkspace, page: Paging) -> Response:
    """List members with their roles, in the order they joined."""
    here.require(Permission.READ)
    async with here.read() as conn:
        members, total = await principals.list_members(conn, here.id, limit=page.limit, offset=page.offset)
    return page.answer([render_member(member) for member in members], total)


@router.post(W + "/members", status_code=201)
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


@router.delete(W + "/members/{principalId:segment}")
async def remove_member(here: InWorkspace, principalId: str) -> Response:
    """End a membership and its roles."""
    principal_id = id_of(principalId, "member")
    async with here.tx(Permission.MEMBER_WRITE, cause="api: remove member") as tx:
        await principals.remove_member(tx, here.id, principal_id=principal_id)
    return Json({"id": principal_id, "message": "The member was removed."})


@router.post(W + "/keys", status_code=201)
async def create_key(here: InWorkspace, body: KeyBody) -> Response:
    """Make a key. Its text is in this answer and nowhere else."""
    async with here.tx(Permission.MEMBER_WRITE, cause="api: create key") as tx:
        principal_id = await principals.save_principal(tx, body.user)
        principal = await principals.find_principal(tx.conn, principal_id)
        if principal is None or (principal.system_role == "admin" and not here.caller.system_admin):
            raise NotFound("There is no such user here.")
        others = await principals.count_memberships_elsewhere(tx.conn, principal_id, workspace_id=here.id)
        if others and not here.caller.system_admin and principal_id != here.caller.id:
            raise Invalid(
                "This user is in other workspaces too, and a key would open those as well. Ask a system admin.",
                field="user",
            )
        await principals.save_member(tx, here.id, principal_id=principal_id, role=Role(body.role))
        key = await principals.save_key(tx, principal_id, name=body.name, expires_at=body.expiresAt)
    answer = present(
        key=key,
        prefix=key.partition(".")[0],
        user={"id": principal_id, "name": body.user},
        role=body.role,
        expiresAt=instant(body.expiresAt) if body.expiresAt else None,
    )
    return Json(answer, status_code=201)


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

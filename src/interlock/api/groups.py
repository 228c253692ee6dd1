"""REST for groups: people who are asked together.

A group is known by its name, which a policy's rule carries (`anyApproval.approverGroup`); `PUT` says who is in it.

Source: core.md section 4 (obligations); DESIGN.md section 3, `access/`. These paths are ours.
"""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api.paths import W, found, noun_router
from interlock.api.rendering import Wire
from interlock.model.errors import Invalid
from interlock.store import bindings, groups, principals
from interlock.store.groups import MEMBERS_MAX, Group
from interlock.store.tx import Tx
from interlock.web.answers import Json, instant, present
from interlock.web.bodies import ClosedBody, Name
from interlock.web.grants import require_grantable, with_places
from interlock.web.paging import Paging
from interlock.web.shapes import Id, Instant, page_of
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("groups")

NAME_MAX = 200


class GroupBody(ClosedBody):
    """Exactly these members, by their user names; with `claim` also whom the identity provider has in that group."""

    members: Annotated[list[Name], Field(max_length=MEMBERS_MAX)]
    claim: Name | None = None


class GroupMember(TypedDict):
    """One who is in a group."""

    id: Id
    name: str
    fromClaims: NotRequired[Literal[True]]


class GroupAnswer(TypedDict):
    """A group with its members."""

    id: Id
    name: str
    claim: NotRequired[str]
    createdAt: Instant
    members: list[GroupMember]


class GroupDeleted(TypedDict):
    """A group is gone."""

    name: str
    message: str


@router.get(W + "/groups", response_model=page_of(GroupAnswer))
async def list_groups(here: InWorkspace, page: Paging) -> Response:
    """List groups with their members, by name."""
    here.require(Permission.READ)
    async with here.read() as conn:
        items, total = await groups.list_groups(conn, here.id, limit=page.limit, offset=page.offset)
    return page.answer([render_group(group) for group in items], total)


@router.get(W + "/groups/{groupName:segment}", response_model=GroupAnswer)
async def get_group(here: InWorkspace, groupName: str) -> Response:
    """Get a group."""
    here.require(Permission.READ)
    async with here.read() as conn:
        group = await groups.find_group(conn, here.id, name=groupName)
    return Json(render_group(found(group, "group")))


@router.put(W + "/groups/{groupName:segment}", response_model=GroupAnswer)
async def put_group(here: InWorkspace, groupName: str, body: GroupBody) -> Response:
    """Make a group, or say anew who is in it."""
    if not groupName.strip() or len(groupName) > NAME_MAX:
        raise Invalid(f"A group's name has 1 to {NAME_MAX} characters.", field="groupName")
    async with here.tx(Permission.MEMBER_WRITE, cause="api: put group") as tx:
        members: dict[str, str] = {}
        for name in dict.fromkeys(body.members):
            principal = await principals.find_principal_by_name(tx.conn, name)
            if principal is None:
                raise Invalid(f"There is no user {name!r}. Who is given a role, or a key, is one.", field="members")
            members[principal.id] = principal.name
        await _require_members_grantable(here, tx, groupName, joining=members, claim=body.claim)
        await bindings.lock_admins(tx, here.id)
        group = await groups.save_group(tx, here.id, name=groupName, members=members, claim=body.claim)
        await bindings.require_an_admin(tx, here.id)
    return Json(render_group(group))


@router.delete(W + "/groups/{groupName:segment}", response_model=GroupDeleted)
async def delete_group(here: InWorkspace, groupName: str) -> Response:
    """End a group. A rule that names it waits until one of this name exists again."""
    async with here.tx(Permission.MEMBER_WRITE, cause="api: delete group") as tx:
        await _require_members_grantable(here, tx, groupName, joining=None)
        await bindings.lock_admins(tx, here.id)
        await groups.delete_group(tx, here.id, name=groupName)
        await bindings.require_an_admin(tx, here.id)
    return Json({"name": groupName, "message": "The group was deleted."})


async def _require_members_grantable(
    here: Here, tx: Tx, name: str, *, joining: dict[str, str] | None, claim: str | None = None
) -> None:
    """A group that has roles gives them to who joins, and takes them from who leaves.

    Fails: `Forbidden`.
    """
    known = await groups.find_group(tx.conn, here.id, name=name)
    if known is None or (joining is not None and _by_hand(known) == set(joining) and claim == known.claim):
        return
    held = await bindings.load_group_bindings(tx.conn, here.id, group_id=known.id)
    require_grantable(here, await with_places(tx.conn, here, held), what=f"The group {name}")


def _by_hand(group: Group) -> set[str]:
    return {member["id"] for member in group.members if not member["from_claims"]}


def render_group(group: Group) -> Wire:
    """A group on the wire."""
    return present(
        id=group.id,
        name=group.name,
        claim=group.claim,
        createdAt=instant(group.created_at),
        members=[
            present(id=member["id"], name=member["name"], fromClaims=True if member["from_claims"] else None)
            for member in group.members
        ],
    )

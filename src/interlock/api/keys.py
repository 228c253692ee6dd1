"""REST for API keys: made, listed, revoked.

A key is shown once, in the answer that made it; afterwards only its prefix, its scopes and its last use are known. A
key with scopes may be used for nothing else, whatever its user may. Everybody sees and ends their own keys; those of
others need `member:write`.

Source: contract.md section a; DESIGN.md section 8, "auth".
"""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from fastapi import Query
from pydantic import AwareDatetime, Field
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission, Role, allowed
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import Wire
from interlock.clock import utc_now
from interlock.model.errors import Invalid, NotFound
from interlock.store import principals
from interlock.store.principals import Key
from interlock.web.answers import Json, instant, present
from interlock.web.bodies import ClosedBody, Name, Text
from interlock.web.paging import Paging
from interlock.web.shapes import Accepted, Id, Instant, Named, page_of
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("keys")


class KeyBody(ClosedBody):
    """A key for a user of this workspace, who is made, and given the role, when new."""

    user: Name
    role: Literal["viewer", "developer", "approver", "operator", "admin"]
    name: Text = ""
    expiresAt: AwareDatetime | None = None
    scopes: Annotated[list[Permission], Field(min_length=1, max_length=50)] | None = None


class KeyAnswer(TypedDict):
    """A key: never its text."""

    id: Id
    prefix: str
    name: str
    user: Named
    scopes: NotRequired[list[str]]
    createdAt: Instant
    expiresAt: NotRequired[Instant]
    revokedAt: NotRequired[Instant]
    lastUsedAt: NotRequired[Instant]


class NewKeyAnswer(TypedDict):
    """A key that was just made, with its text, which is shown once."""

    key: str
    prefix: str
    user: Named
    role: str
    scopes: NotRequired[list[str]]
    expiresAt: NotRequired[Instant]


@router.get(W + "/keys", response_model=page_of(KeyAnswer))
async def list_keys(
    here: InWorkspace, page: Paging, mine: Annotated[bool, Query(description="Only the caller's own.")] = False
) -> Response:
    """List the keys of the workspace's members, newest first; without `member:write` the caller's own."""
    here.require(Permission.READ)
    own = mine or not allowed(here.caller, Permission.MEMBER_WRITE)
    async with here.read() as conn:
        items, total = await principals.list_keys(
            conn,
            here.id,
            principal_id=here.caller.id if own else None,
            limit=page.limit,
            offset=page.offset,
        )
    return page.answer([render_key(key) for key in items], total)


@router.post(W + "/keys", status_code=201, response_model=NewKeyAnswer)
async def create_key(here: InWorkspace, body: KeyBody) -> Response:
    """Make a key. Its text is in this answer and nowhere else."""
    if body.expiresAt is not None and body.expiresAt <= utc_now():
        raise Invalid("A key must end in the future.", field="expiresAt")
    scopes = None if body.scopes is None else sorted({scope.value for scope in body.scopes})
    mine = here.caller.scopes
    if mine is not None and (scopes is None or not mine.issuperset(scopes)):
        raise Invalid("A key with scopes makes keys with no more than its own.", field="scopes")
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
        key = await principals.save_key(
            tx,
            principal_id,
            name=body.name,
            expires_at=body.expiresAt,
            scopes=scopes,
            created_by=here.caller.id,
        )
    answer = present(
        key=key,
        prefix=key.partition(".")[0],
        user={"id": principal_id, "name": body.user},
        role=body.role,
        scopes=scopes,
        expiresAt=instant(body.expiresAt) if body.expiresAt else None,
    )
    return Json(answer, status_code=201)


@router.delete(W + "/keys/{keyId:segment}", response_model=Accepted)
async def revoke_key(here: InWorkspace, keyId: str) -> Response:
    """End a key: it opens nothing any more."""
    key = await _known(here, id_of(keyId, "key"))
    needed = Permission.READ if key.principal_id == here.caller.id else Permission.MEMBER_WRITE
    async with here.tx(needed, cause="api: revoke key") as tx:
        await principals.revoke_key(tx, here.id, key_id=key.id)
    return Json({"id": key.id, "message": "The key was revoked."})


async def _known(here: Here, key_id: str) -> Key:
    here.require(Permission.READ)
    async with here.read() as conn:
        return found(await principals.find_key(conn, here.id, key_id=key_id), "key")


def render_key(key: Key) -> Wire:
    """A key on the wire: never its text."""
    return present(
        id=key.id,
        prefix=key.prefix,
        name=key.name,
        user={"id": key.principal_id, "name": key.principal},
        scopes=None if key.scopes is None else list(key.scopes),
        createdAt=instant(key.created_at),
        expiresAt=instant(key.expires_at) if key.expires_at else None,
        revokedAt=instant(key.revoked_at) if key.revoked_at else None,
        lastUsedAt=instant(key.last_used_at) if key.last_used_at else None,
    )

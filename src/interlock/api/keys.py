"""REST for API keys: made, listed, revoked.

A key is shown once, in the answer that made it; afterwards only its prefix, its scopes and its last use are known. A
key with scopes may be used for nothing else, whatever its user may; one with bindings of its own only where they are.
Everybody makes, sees, rotates and ends keys of their own; those of others need `member:write`. Nobody makes a key that
could do more than they can.

Source: contract.md section a; DESIGN.md section 8, "auth".
"""

from __future__ import annotations

from typing import Annotated, NotRequired

from fastapi import Query
from pydantic import AwareDatetime, Field
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import WORKSPACE, Permission, allowed
from interlock.api.grants import BindingScope, HeldAnswer, RoleName, ScopeAnswer, render_held
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import Wire
from interlock.clock import utc_now
from interlock.model.errors import Conflict, Forbidden, Invalid, NotFound
from interlock.store import bindings, principals
from interlock.store.bindings import ScopeOf
from interlock.store.principals import Key
from interlock.store.queries import Conn
from interlock.store.roles import StoredRole
from interlock.web.answers import Json, instant, present
from interlock.web.bodies import ClosedBody, Name, Text
from interlock.web.grants import binding_of, require_grantable, with_places
from interlock.web.paging import Paging
from interlock.web.shapes import Accepted, Id, Instant, Named, page_of
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("keys")

OVERLAP_S_MAX = 30 * 24 * 3600

_EVERYWHERE = ScopeOf("workspace", None, None, WORKSPACE)


class KeyBinding(ClosedBody):
    """A role to which a key is narrowed, and over what."""

    role: RoleName
    scope: BindingScope = BindingScope()


class KeyBody(ClosedBody):
    """A key for a user of this workspace, who is made when new, and given the role. `bindings` narrow the key."""

    user: Name
    role: RoleName | None = None
    bindings: Annotated[list[KeyBinding], Field(max_length=50)] | None = None
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
    rotatedTo: NotRequired[Id]
    bindings: NotRequired[list[HeldAnswer]]


class NarrowedTo(TypedDict):
    """A role to which a key is narrowed."""

    role: str
    scope: ScopeAnswer


class NewKeyAnswer(TypedDict):
    """A key that was just made, with its text, which is shown once."""

    id: Id
    key: str
    prefix: str
    user: Named
    role: NotRequired[str]
    bindings: NotRequired[list[NarrowedTo]]
    scopes: NotRequired[list[str]]
    expiresAt: NotRequired[Instant]


class RotatedAnswer(KeyAnswer):
    """The key that took another's place, with its text, which is shown once."""

    key: str
    replaces: KeyAnswer


class RotateBody(ClosedBody):
    """How long the old key goes on beside the new one, and when the new one ends."""

    overlapSeconds: Annotated[int, Field(ge=0, le=OVERLAP_S_MAX, strict=True)] = 24 * 3600
    expiresAt: AwareDatetime | None = None


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
    own = body.user == here.caller.name and body.role is None
    if own and here.caller.limits is not None:
        raise Forbidden("A key with roles of its own makes no keys.")
    async with here.read() as conn:
        role = await bindings.role_named(conn, here.id, name=body.role) if body.role else None
        narrowed = [await _narrowed(conn, here, each) for each in body.bindings or ()]
    if role is not None:
        require_grantable(here, [(binding_of(role, _EVERYWHERE), WORKSPACE)], what=f"The role {role.name}")
    async with here.tx(Permission.READ if own else Permission.MEMBER_WRITE, cause="api: create key") as tx:
        principal_id = await principals.save_principal(tx, body.user)
        principal = await principals.find_principal(tx.conn, principal_id)
        if principal is None or (principal.system_role == "admin" and not here.caller.system_admin):
            raise NotFound("There is no such user here.")
        others = await principals.count_memberships_elsewhere(tx.conn, principal_id, workspace_id=here.id)
        if others and not narrowed and not here.caller.system_admin and principal_id != here.caller.id:
            raise Invalid(
                "This user is in other workspaces too, and a key would open those as well. Give it bindings here, "
                "or ask a system admin.",
                field="user",
            )
        if role is not None:
            await principals.save_member(tx, here.id, principal_id=principal_id, role=role.name, role_id=role.id)
        held = await bindings.load_bindings(tx.conn, here.id, principal_id=principal_id)
        if not held and principal.system_role != "admin":
            raise Invalid("This user has no role here. Give one with the key.", field="role")
        if principal_id != here.caller.id:
            opened = [(binding_of(*each), each[1].place) for each in narrowed] or await with_places(tx.conn, here, held)
            require_grantable(here, opened, what=f"A key of {body.user}", scopes=scopes)
        key = await principals.save_key(
            tx,
            principal_id,
            name=body.name,
            expires_at=body.expiresAt,
            scopes=scopes,
            created_by=here.caller.id,
        )
        key_id = await principals.find_key_id(tx.conn, key)
        for each, scope in narrowed:
            await bindings.grant(tx, here.id, subject_kind="key", subject_id=key_id, role=each, scope=scope)
    answer = present(
        id=key_id,
        key=key,
        prefix=key.partition(".")[0],
        user={"id": principal_id, "name": body.user},
        role=body.role,
        bindings=[{"role": each.name, "scope": present(kind=scope.kind, id=scope.id)} for each, scope in narrowed]
        or None,
        scopes=scopes,
        expiresAt=instant(body.expiresAt) if body.expiresAt else None,
    )
    return Json(answer, status_code=201)


@router.post(W + "/keys/{keyId:segment}/rotate", status_code=201, response_model=RotatedAnswer)
async def rotate_key(here: InWorkspace, keyId: str, body: RotateBody) -> Response:
    """Make the key that takes this one's place. The old one goes on for the overlap."""
    key = await _known(here, id_of(keyId, "key"))
    now = utc_now()
    if body.expiresAt is not None and body.expiresAt <= now:
        raise Invalid("A key must end in the future.", field="expiresAt")
    if key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now):
        raise Conflict("This key is over. Make a new one.", code="KEY_OVER")
    if key.rotated_to is not None:
        raise Conflict("Another key took this one's place already.", code="KEY_ROTATED")
    own = key.principal_id == here.caller.id
    if not own or here.caller.key_id not in {None, key.id}:
        mine = here.caller.scopes
        if mine is not None and (key.scopes is None or not mine.issuperset(key.scopes)):
            raise Invalid("A key with scopes rotates keys with no more than its own.")
    lifetime = None if key.expires_at is None else key.expires_at - key.created_at
    expires_at = body.expiresAt or (now + lifetime if lifetime else None)
    async with here.tx(Permission.READ if own else Permission.MEMBER_WRITE, cause="api: rotate key") as tx:
        if not own:
            held = await bindings.load_bindings(tx.conn, here.id, principal_id=key.principal_id)
            require_grantable(
                here, await with_places(tx.conn, here, held), what=f"A key of {key.principal}", scopes=key.scopes
            )
            if await principals.count_memberships_elsewhere(tx.conn, key.principal_id, workspace_id=here.id):
                raise Invalid("This user is in other workspaces too. They rotate their key themselves.")
        text = await principals.rotate_key(
            tx, key, overlap_s=body.overlapSeconds, expires_at=expires_at, created_by=here.caller.id
        )
        fresh_id = await principals.find_key_id(tx.conn, text)
        fresh = found(await principals.find_key(tx.conn, here.id, key_id=fresh_id), "key")
        old = found(await principals.find_key(tx.conn, here.id, key_id=key.id), "key")
    return Json({"key": text, **render_key(fresh), "replaces": render_key(old)}, status_code=201)


@router.get(W + "/keys/{keyId:segment}", response_model=KeyAnswer)
async def get_key(here: InWorkspace, keyId: str) -> Response:
    """Get a key, never its text: the caller's own, or anybody's for one who may write members."""
    key = await _known(here, id_of(keyId, "key"))
    mine = key.principal_id == here.caller.id or allowed(here.caller, Permission.MEMBER_WRITE)
    return Json(render_key(found(key if mine else None, "key")))


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


async def _narrowed(conn: Conn, here: Here, body: KeyBinding) -> tuple[StoredRole, ScopeOf]:
    role = await bindings.role_named(conn, here.id, name=body.role)
    return role, await bindings.find_scope(conn, here.id, kind=body.scope.kind, scope_id=body.scope.id)


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
        rotatedTo=key.rotated_to,
        bindings=[render_held(each) for each in key.bindings] or None,
    )

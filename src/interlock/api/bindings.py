"""REST for role bindings: which role, over what, for a user, a group or a key.

A binding over a system, a deployment or an environment needs `member:write` there, not over the workspace. Nobody gives
or takes more than they hold. A key's binding narrows what its user may.

Source: access/decision.py; decision record 0024. These paths are ours.
"""

from __future__ import annotations

from typing import Annotated, NotRequired

from fastapi import Query
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api.grants import BindingScope, RoleName, ScopeAnswer
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import Wire
from interlock.model.errors import Invalid, NotFound
from interlock.model.ids import is_id
from interlock.store import bindings, groups, principals
from interlock.store.bindings import StoredBinding, SubjectKind
from interlock.store.queries import Conn
from interlock.web.answers import Json, instant, present
from interlock.web.bodies import ClosedBody, Name
from interlock.web.grants import binding_of, require_grantable
from interlock.web.paging import Paging
from interlock.web.shapes import Accepted, Id, Instant, Named, page_of
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("role-bindings")


class KeyNamed(TypedDict):
    """A key by id and prefix."""

    id: Id
    prefix: str


class BindingAnswer(TypedDict):
    """A role binding: the subject under its kind."""

    id: Id
    role: str
    scope: ScopeAnswer
    user: NotRequired[Named]
    group: NotRequired[Named]
    key: NotRequired[KeyNamed]
    createdAt: Instant


class BindingBody(ClosedBody):
    """A role for a `user` (by name or id), a `group` (by name) or a `key` (by id)."""

    role: RoleName
    user: Name | None = None
    group: Name | None = None
    key: Name | None = None
    scope: BindingScope = BindingScope()


@router.get(W + "/role-bindings", response_model=page_of(BindingAnswer))
async def list_bindings(
    here: InWorkspace,
    page: Paging,
    user: Annotated[str | None, Query(description="Name or id.")] = None,
    group: Annotated[str | None, Query(description="Name.")] = None,
    key: Annotated[str | None, Query(description="Id.")] = None,
    role: Annotated[str | None, Query()] = None,
    scopeId: Annotated[str | None, Query(description="What they are over.")] = None,
) -> Response:
    """List role bindings, oldest first."""
    here.require(Permission.READ)
    async with here.read() as conn:
        _kind, subject_id, _name = await _subject(conn, here, user=user, group=group, key=key, required=False)
        items, total = await bindings.list_bindings(
            conn,
            here.id,
            subject_id=subject_id,
            role=role,
            scope_id=id_of(scopeId, "scope") if scopeId else None,
            limit=page.limit,
            offset=page.offset,
        )
    return page.answer([render_binding(each) for each in items], total)


@router.post(
    W + "/role-bindings",
    status_code=201,
    response_model=BindingAnswer,
    responses={200: {"model": BindingAnswer, "description": "The same binding was there."}},
)
async def grant_role(here: InWorkspace, body: BindingBody) -> Response:
    """Bind a role; 200 when the same binding is there already."""
    async with here.read() as conn:
        role = await bindings.role_named(conn, here.id, name=body.role)
        scope = await bindings.find_scope(conn, here.id, kind=body.scope.kind, scope_id=body.scope.id)
        kind, subject_id, _name = await _subject(conn, here, user=body.user, group=body.group, key=body.key)
    here.require(Permission.MEMBER_WRITE, place=scope.place)
    if kind == "key":  # it narrows what the key's user may, so it gives nothing; but the key must be theirs to narrow
        await _require_own_or_all(here, subject_id)
    else:
        require_grantable(here, [(binding_of(role, scope), scope.place)], what=f"The role {role.name}")
    async with here.tx(Permission.MEMBER_WRITE, cause="api: grant role", place=scope.place) as tx:
        if kind == "user":
            await principals.save_membership(tx, here.id, principal_id=subject_id)
        made, new = await bindings.grant(tx, here.id, subject_kind=kind, subject_id=subject_id, role=role, scope=scope)
    return Json(render_binding(made), status_code=201 if new else 200)


@router.delete(W + "/role-bindings/{bindingId:segment}", response_model=Accepted)
async def revoke_role(here: InWorkspace, bindingId: str) -> Response:
    """Take a role back. A workspace's last admin stays; a key's last binding ends with its key."""
    async with here.read() as conn:
        binding_id = id_of(bindingId, "role binding")
        known = found(await bindings.find_binding(conn, here.id, binding_id=binding_id), "role binding")
        place = await bindings.find_place(conn, here.id, kind=known.scope_kind, scope_id=known.scope_id)
        left = 2
        if known.subject_kind == "key":
            _, left = await bindings.list_bindings(conn, here.id, subject_id=known.subject_id, limit=1)
    there = {"place": place} if place is not None else {}
    here.require(Permission.MEMBER_WRITE, **there)
    if known.subject_kind == "key":
        await _require_own_or_all(here, known.subject_id)
    elif place is not None:
        require_grantable(here, [(known.as_binding, place)], what=f"The role {known.role}")
    if left < 2:
        raise Invalid("Without its last role here this key would do all that its user may. Revoke the key instead.")
    async with here.tx(Permission.MEMBER_WRITE, cause="api: revoke role", **there) as tx:
        await bindings.revoke(tx, here.id, binding=known)
    return Json({"id": known.id, "message": f"{known.subject_name} no longer has the role {known.role} there."})


async def _require_own_or_all(here: Here, key_id: str) -> None:
    """A key is narrowed by its user, or by who may write every member of the workspace."""
    async with here.read() as conn:
        key = found(await principals.find_key(conn, here.id, key_id=key_id), "key")
    if key.principal_id != here.caller.id:
        here.require(Permission.MEMBER_WRITE)


async def _subject(
    conn: Conn, here: Here, *, user: str | None, group: str | None, key: str | None, required: bool = True
) -> tuple[SubjectKind, str, str]:
    """Whom a request means.

    Fails: `Invalid` unless it names exactly one; `NotFound` for one who is not here.
    """
    named = [each for each in (user, group, key) if each]
    if not named and not required:
        return "user", None, ""  # type: ignore[return-value]
    if len(named) != 1:
        raise Invalid("Give one of user, group and key.", field="user")
    if user:
        principal = await principals.find_principal_by_name(conn, user)
        if principal is None and is_id(user):
            principal = await principals.find_principal(conn, user.lower())
        member = principal and await principals.find_member(conn, here.id, principal_id=principal.id)
        if principal is None or (member is None and not required):
            raise NotFound("There is no such user here.")
        if member is None:
            raise NotFound("There is no such member. Add them with POST /members.")
        return "user", principal.id, principal.name
    if group:
        known = found(await groups.find_group(conn, here.id, name=group), "group")
        return "group", known.id, known.name
    owned = found(await principals.find_key(conn, here.id, key_id=id_of(key or "", "key")), "key")
    return "key", owned.id, owned.prefix


def render_binding(binding: StoredBinding) -> Wire:
    """A binding on the wire: the subject under its kind."""
    who = {"id": binding.subject_id, "prefix" if binding.subject_kind == "key" else "name": binding.subject_name}
    return present(
        id=binding.id,
        role=binding.role,
        scope=present(kind=binding.scope_kind, id=binding.scope_id, name=binding.scope_name),
        **{binding.subject_kind: who},
        createdAt=instant(binding.created_at),
    )

"""Who may do what here? Members with their roles and groups, what each role carries, and the keys.

Whoever may write members gives and takes roles here; everybody makes and ends keys of their own. A key's text is on the
page that answers the form that made it, and nowhere else.

Source: access/permissions.py; decision record 0024.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from starlette.responses import Response

from interlock.access import SENTENCES, Permission
from interlock.console.visit import Visit, form_text, id_in_path, see_other
from interlock.model.errors import Conflict, Forbidden, Invalid, NotFound
from interlock.store import bindings, groups, pages, principals, roles
from interlock.store.queries import Conn
from interlock.web import grants
from interlock.web.grants import give_role, take_role

EACH_MAX = 500
NAME_MAX = 255
DAYS = {"30": "30 days", "90": "90 days", "365": "a year", "": "Never"}

SAID = {
    "given": "The role is given.",
    "taken": "The role is taken back.",
    "removed": "The member is removed.",
    "ended": "The key opens nothing any more.",
}


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made."""

    name: str
    text: str


async def show(visit: Visit) -> Response:
    """Members, groups, roles and keys."""
    async with visit.here.store.snapshot() as conn:
        return await _page(visit, conn)


async def give(visit: Visit) -> Response:
    """Give somebody a role. Who does not exist yet is made: that is how people are invited."""
    form = await visit.request.form()
    try:
        user = await form_text(visit, "user", length_max=NAME_MAX, required="Say who: a name or an e-mail address.")
        role = await form_text(visit, "role", length_max=NAME_MAX, required="Choose a role.")
        kind, _, scope_id = str(form.get("scope", "workspace")).partition(":")
        await give_role(
            visit.here, user=user, role=role, scope_kind=kind, scope_id=scope_id or None, cause="console: give role"
        )
    except (Invalid, NotFound, Forbidden, Conflict) as refused:
        async with visit.here.store.snapshot() as conn:
            return await _page(visit, conn, wrong=refused.message, sent=dict(form))
    return see_other(f"{visit.at('people')}?said=given")


async def take(visit: Visit) -> Response:
    """Take a role back."""
    try:
        await take_role(visit.here, binding_id=id_in_path(visit, "id", "role"), cause="console: take role")
    except (Forbidden, Conflict) as refused:
        return await _refused(visit, refused.message)
    return see_other(f"{visit.at('people')}?said=taken")


async def remove(visit: Visit) -> Response:
    """Remove a member."""
    try:
        await grants.remove_member(
            visit.here, principal_id=id_in_path(visit, "id", "member"), cause="console: remove member"
        )
    except (Forbidden, Conflict) as refused:
        return await _refused(visit, refused.message)
    return see_other(f"{visit.at('people')}?said=removed")


async def make_key(visit: Visit) -> Response:
    """Make a key for the one who visits, and show it this once."""
    try:
        name = await form_text(visit, "name", length_max=NAME_MAX, required="Say what the key is for.")
        days = await form_text(visit, "days", length_max=5)
        if days not in DAYS:
            raise Invalid("Choose when it ends.", field="days")
    except Invalid as refused:
        return await _refused(visit, refused.message)
    here = visit.here
    async with here.tx(Permission.READ, cause="console: make key") as tx:
        expires_at = here.store.now() + timedelta(days=int(days)) if days else None
        text = await principals.save_key(
            tx, here.caller.id, name=name, expires_at=expires_at, created_by=here.caller.id
        )
    async with here.store.snapshot() as conn:
        return await _page(visit, conn, made=NewKey(name, text))


async def end_key(visit: Visit) -> Response:
    """End a key: one's own, or with `member:write` anybody's."""
    key_id = id_in_path(visit, "id", "key")
    async with visit.here.read() as conn:
        key = await principals.find_key(conn, visit.here.id, key_id=key_id)
    if key is None:
        raise NotFound("There is no such key in this workspace.")
    needed = Permission.READ if key.principal_id == visit.here.caller.id else Permission.MEMBER_WRITE
    async with visit.here.tx(needed, cause="console: end key") as tx:
        await principals.revoke_key(tx, visit.here.id, key_id=key.id)
    return see_other(f"{visit.at('people')}?said=ended")


async def _refused(visit: Visit, message: str) -> Response:
    async with visit.here.store.snapshot() as conn:
        return await _page(visit, conn, wrong=message)


async def _page(
    visit: Visit,
    conn: Conn,
    *,
    wrong: str | None = None,
    sent: dict[str, object] | None = None,
    made: NewKey | None = None,
) -> Response:
    here = visit.here
    all_keys = visit.may(Permission.MEMBER_WRITE)
    members, members_total = await principals.list_members(conn, here.id, limit=EACH_MAX, offset=0)
    held, _ = await bindings.list_bindings(conn, here.id, limit=EACH_MAX * 4)
    keys, keys_total = await principals.list_keys(
        conn, here.id, principal_id=None if all_keys else here.caller.id, limit=EACH_MAX, offset=0
    )
    known_groups, _ = await groups.list_groups(conn, here.id, limit=EACH_MAX, offset=0)
    return await visit.render(
        conn,
        "people.html",
        title="People",
        members=members,
        members_total=members_total,
        held_by={
            subject: [each for each in held if each.subject_id == subject] for subject in {e.subject_id for e in held}
        },
        groups=known_groups,
        roles=await roles.list_roles(conn, here.id),
        sentences=[(each, SENTENCES[each]) for each in Permission],
        keys=keys,
        keys_total=keys_total,
        all_keys=all_keys,
        now=here.store.now(),
        scopes=[
            each for each in await pages.list_scopes(conn, here.id) if visit.may_somewhere(Permission.MEMBER_WRITE)
        ],
        may_write=visit.may_somewhere(Permission.MEMBER_WRITE),
        may_remove=all_keys,
        days=DAYS,
        wrong=wrong,
        sent={"user": "", "role": "", "scope": "workspace", **(sent or {})},
        made=made,
        said=SAID.get(visit.request.query_params.get("said", "")),
        status=400 if wrong else 200,
    )

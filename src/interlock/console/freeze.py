"""How does a person stop everything? A small form: what, why, and for how long.

A freeze holds from the commit that wrote it (core.md 5), so the form says what will happen to what runs already:
nothing; and to what waits: it waits on.

Source: core.md sections 2 and 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from starlette.responses import Response

from interlock.access import WORKSPACE, Permission, Place
from interlock.console.visit import Visit, form_text, see_other
from interlock.inventory.selector import Scope, parse_selector
from interlock.model.errors import Forbidden, Invalid, NotFound
from interlock.store import freezes, pages
from interlock.store.pages import ScopeRow
from interlock.store.queries import Conn

REASON_MAX = 255
SELECTOR_MAX = 4_000
URL_MAX = 2_000
HOURS = {"": "Until somebody thaws it", "1": "1 hour", "4": "4 hours", "24": "24 hours", "72": "3 days"}
"""What can be chosen; hours, or no end."""


async def show(visit: Visit) -> Response:
    """The form."""
    async with visit.here.store.snapshot() as conn:
        return await _form(visit, conn, sent={"scope": visit.request.query_params.get("scope", "workspace")})


async def save(visit: Visit) -> Response:
    """Freeze.

    Fails: `Forbidden`; `NotFound` for a scope that is gone. A field that is wrong is shown in the form again.
    """
    form = await visit.request.form()
    sent = {name: str(form.get(name, "")) for name in ("scope", "reason", "hours", "selector", "incident")}
    try:
        scope = await form_text(visit, "scope", length_max=100, required="Choose what is to be frozen.")
        reason = await form_text(
            visit, "reason", length_max=REASON_MAX, required="Say why: everybody who is held reads it."
        )
        if sent["hours"] not in HOURS:
            raise Invalid("Choose for how long.", field="hours")
        selector = await form_text(visit, "selector", length_max=SELECTOR_MAX)
        if selector:
            parse_selector(selector, Scope.POLICY)
        incident_url = await form_text(visit, "incident", length_max=URL_MAX)
        if incident_url and not incident_url.startswith(("https://", "http://")):
            raise Invalid("The incident's address begins with https://.", field="incident")
    except Invalid as refused:
        async with visit.here.store.snapshot() as conn:
            return await _form(visit, conn, sent=sent, refused=refused)
    kind, _, scope_id = scope.partition(":")
    async with visit.here.read() as conn:
        place = await _place(visit, conn, kind, scope_id)
    async with visit.here.tx(Permission.FREEZE, cause="console: freeze", place=place) as tx:
        now = await tx.conn.fetchval(freezes.Q.now)
        await freezes.set_freeze(
            tx,
            visit.here.id,
            scope_kind=kind,
            scope_id=scope_id or None,
            selector=selector or None,
            reason=reason,
            incident_url=incident_url or None,
            expires_at=now + timedelta(hours=int(sent["hours"])) if sent["hours"] else None,
            author_id=visit.here.caller.id,
        )
    return see_other(f"{visit.at('freezes')}?said=set")


async def _form(visit: Visit, conn: Conn, *, sent: Mapping[str, str], refused: Invalid | None = None) -> Response:
    """The form, with what was sent and what is wrong with it.

    Fails: `Forbidden` for one who may freeze nothing.
    """
    scopes = [
        scope
        for scope in await pages.list_scopes(conn, visit.here.id)
        if visit.may(Permission.FREEZE, place=place_of_scope(scope))
    ]
    everything = visit.may(Permission.FREEZE, place=WORKSPACE)
    if not everything and not scopes:
        raise Forbidden(f"{visit.here.caller.name} may freeze nothing here; the role operator or admin carries it.")
    return await visit.render(
        conn,
        "freeze.html",
        title="Freeze",
        everything=everything,
        groups=[
            (label, [scope for scope in scopes if scope.kind == kind])
            for kind, label in (("environment", "Environments"), ("deployment", "Deployments"), ("system", "Systems"))
        ],
        hours=HOURS,
        reason_max=REASON_MAX,
        sent={"scope": "workspace", "reason": "", "hours": "", "selector": "", "incident": "", **sent},
        wrong={each.path: each.message for each in refused.fields} or {"selector": refused.message} if refused else {},
        status=400 if refused else 200,
    )


def place_of_scope(scope: ScopeRow) -> Place:
    """Where a freeze of this would apply, as `access` asks for it."""
    match scope.kind:
        case "system":
            return Place(system_ids=frozenset({scope.id}))
        case "environment":
            return Place(environment_id=scope.id)
        case _:
            return Place(system_ids=frozenset(scope.system_ids), deployment_id=scope.id)


async def _place(visit: Visit, conn: Conn, kind: str, scope_id: str) -> Place:
    if kind == "workspace" and not scope_id:
        return WORKSPACE
    for scope in await pages.list_scopes(conn, visit.here.id):
        if (scope.kind, scope.id) == (kind, scope_id):
            return place_of_scope(scope)
    raise NotFound("What was to be frozen is gone, or was never here.")

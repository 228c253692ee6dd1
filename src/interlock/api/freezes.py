"""REST for freezes: stop every hand-over in a scope, from the commit of this write on.

Source: core.md sections 2 and 5.
"""

from __future__ import annotations

from typing import Annotated, NotRequired

from fastapi import Query
from pydantic import AwareDatetime
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api.deployments import narrowed_to
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import Wire
from interlock.api.scopes import ScopeBody, ScopeKind, find_scope_id, place_of_scope
from interlock.api.selectors import Scope, checked_selector
from interlock.model.freeze import Freeze
from interlock.store import freezes, principals
from interlock.store.queries import Conn
from interlock.web.answers import Json, instant, present
from interlock.web.bodies import ClosedBody, Name, Text
from interlock.web.paging import Paging
from interlock.web.shapes import Id, Instant, page_of
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("freezes")


class FreezeScope(ScopeBody):
    """What is frozen: the workspace, or one system, environment or deployment."""


class FreezeBody(ClosedBody):
    """A freeze. Without an end it holds until somebody thaws it; a selector narrows it to the targets it matches."""

    reason: Name
    scope: FreezeScope = FreezeScope(kind="workspace")
    selector: Text | None = None
    incidentUrl: Text | None = None
    expiresAt: AwareDatetime | None = None


class ExtendBody(ClosedBody):
    """A new end; null: until somebody thaws it."""

    expiresAt: AwareDatetime | None


class ThawBody(ClosedBody):
    """Why it may go on."""

    reason: Text = ""


class FreezeScopeAnswer(TypedDict):
    """What is frozen."""

    kind: ScopeKind
    id: NotRequired[Id]
    name: NotRequired[str]


class FreezeAnswer(TypedDict):
    """A freeze, with the names of who set and ended it."""

    id: Id
    scope: FreezeScopeAnswer
    selector: NotRequired[str]
    reason: str
    incidentUrl: NotRequired[str]
    inForce: bool
    createdBy: NotRequired[str]
    createdAt: Instant
    expiresAt: NotRequired[Instant]
    thawedBy: NotRequired[str]
    thawedAt: NotRequired[Instant]
    thawReason: NotRequired[str]


@router.get(W + "/freezes", response_model=page_of(FreezeAnswer))
async def list_freezes(
    here: InWorkspace,
    page: Paging,
    over: Annotated[bool, Query(description="Those that ended as well.")] = False,
    deploymentId: Annotated[str | None, Query(description="Id or name: those that concern it.")] = None,
) -> Response:
    """List the freezes in force, newest first."""
    here.require(Permission.READ)
    async with here.read() as conn:
        narrow = await narrowed_to(conn, here, deploymentId)
        items, total = await freezes.list_freezes(
            conn, here.id, deployment_id=narrow, over_too=over, limit=page.limit, offset=page.offset
        )
        rendered = await _rendered(conn, *items)
    return page.answer(rendered, total)


@router.post(W + "/freezes", status_code=201, response_model=FreezeAnswer)
async def set_freeze(here: InWorkspace, body: FreezeBody) -> Response:
    """Freeze a scope."""
    selector = checked_selector(body.selector, scope=Scope.POLICY, field="selector")
    async with here.read() as conn:
        scope_id = await find_scope_id(conn, here, body.scope)
    place = await place_of_scope(here, body.scope.kind, scope_id)
    async with here.tx(Permission.FREEZE, cause="api: freeze", place=place) as tx:
        freeze = await freezes.set_freeze(
            tx,
            here.id,
            scope_kind=body.scope.kind,
            scope_id=scope_id,
            selector=selector,
            reason=body.reason,
            incident_url=body.incidentUrl,
            expires_at=body.expiresAt,
            author_id=here.caller.id,
        )
        rendered = await _rendered(tx.conn, freeze)
    return Json(rendered[0], status_code=201)


@router.get(W + "/freezes/{freezeId:segment}", response_model=FreezeAnswer)
async def get_freeze(here: InWorkspace, freezeId: str) -> Response:
    """Get a freeze."""
    here.require(Permission.READ)
    async with here.read() as conn:
        return Json((await _rendered(conn, await _known(conn, here, freezeId)))[0])


@router.post(W + "/freezes/{freezeId:segment}/extend", response_model=FreezeAnswer)
async def extend_freeze(here: InWorkspace, freezeId: str, body: ExtendBody) -> Response:
    """Move the end of a freeze."""
    async with here.read() as conn:
        known = await _known(conn, here, freezeId)
    place = await place_of_scope(here, known.scope_kind, known.scope_id)
    async with here.tx(Permission.FREEZE, cause="api: extend freeze", place=place) as tx:
        freeze = await freezes.extend_freeze(tx, here.id, freeze_id=known.id, expires_at=body.expiresAt)
        rendered = await _rendered(tx.conn, freeze)
    return Json(rendered[0])


@router.post(W + "/freezes/{freezeId:segment}/thaw", response_model=FreezeAnswer)
async def thaw_freeze(here: InWorkspace, freezeId: str, body: ThawBody) -> Response:
    """End a freeze."""
    async with here.read() as conn:
        known = await _known(conn, here, freezeId)
    place = await place_of_scope(here, known.scope_kind, known.scope_id)
    async with here.tx(Permission.FREEZE, cause="api: thaw", place=place) as tx:
        freeze = await freezes.thaw_freeze(
            tx, here.id, freeze_id=known.id, reason=body.reason, author_id=here.caller.id
        )
        rendered = await _rendered(tx.conn, freeze)
    return Json(rendered[0])


async def _known(conn: Conn, here: Here, text: str) -> Freeze:
    return found(await freezes.find_freeze(conn, here.id, freeze_id=id_of(text, "freeze")), "freeze")


async def _rendered(conn: Conn, *items: Freeze) -> list[Wire]:
    ids = {who for item in items for who in (item.created_by, item.thawed_by) if who}
    names = await principals.load_names(conn, sorted(ids))
    names |= await freezes.load_scope_names(conn, sorted({item.scope_id for item in items if item.scope_id}))
    return [render_freeze(item, names=names) for item in items]


def render_freeze(freeze: Freeze, *, names: dict[str, str]) -> Wire:
    """A freeze on the wire, with the names of what it freezes, and of who set and ended it."""
    return present(
        id=freeze.id,
        scope=present(kind=freeze.scope_kind, id=freeze.scope_id, name=names.get(freeze.scope_id or "")),
        selector=freeze.selector,
        reason=freeze.reason,
        incidentUrl=freeze.incident_url,
        inForce=freeze.in_force,
        createdBy=names.get(freeze.created_by or "", freeze.created_by),
        createdAt=instant(freeze.created_at),
        expiresAt=instant(freeze.expires_at) if freeze.expires_at else None,
        thawedBy=names.get(freeze.thawed_by or "", freeze.thawed_by),
        thawedAt=instant(freeze.thawed_at) if freeze.thawed_at else None,
        thawReason=freeze.thaw_reason,
    )

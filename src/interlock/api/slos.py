"""REST for objectives (SLOs): what is promised, where the error budget stands, and what was read of it.

Source: definitions.md E1; issue "Verification that acts", error budgets. These paths are ours.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, NotRequired

from fastapi import Query
from pydantic import AwareDatetime, Field
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api.deployments import narrowed_to
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import Wire
from interlock.api.selectors import Scope, checked_selector
from interlock.judge.budget import ROWS
from interlock.judge.slo import DEPLOYMENTS_MAX, SPEC, parse_slo, window_word
from interlock.metrics import Metrics
from interlock.metrics.objectives import check_slo
from interlock.model.errors import Invalid
from interlock.model.ids import is_id
from interlock.model.secret import MASK, resolved
from interlock.store import slos
from interlock.store.queries import Conn
from interlock.store.slos import Covered, SloContent, StoredSlo
from interlock.web.answers import Json, instant, present
from interlock.web.bodies import ClosedBody, Name, Object, Text
from interlock.web.paging import Paging
from interlock.web.shapes import AnyObject, Id, Instant, page_of
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("slos")

POINTS_DEFAULT = 500
CHART_DEFAULT = timedelta(days=1)

Number = int | float


class SloBody(ClosedBody):
    """A promise, how it is measured, and for which deployments. `total` and one of `good` and `bad` are asked for each
    window, which their texts hold as `{{.window}}`.
    """

    name: Name
    description: Text | None = None
    target: Number
    windowDays: Number | None = None
    provider: Object
    total: str | Object
    good: str | Object | None = None
    bad: str | Object | None = None
    intervalSeconds: Number | None = None
    minEvents: Number | None = None
    deployments: Annotated[list[Name], Field(max_length=DEPLOYMENTS_MAX)] | None = None
    selector: Text | None = None


class BurnThreshold(TypedDict):
    """A row of the table: it fires when the burn is above `factor` in both windows, and `makes` that class."""

    name: str
    long: str
    short: str
    factor: float
    makes: str


class SloStatus(TypedDict):
    """Where an error budget stands: `budget` is its class, `unknown` where the reading is too old by now."""

    budget: str
    why: str
    since: Instant
    readAt: NotRequired[Instant]
    observedAt: NotRequired[Instant]
    freshUntil: NotRequired[Instant]
    ageSeconds: NotRequired[int]
    remaining: NotRequired[float]
    burn: dict[str, float]
    firing: list[str]
    emptyAt: NotRequired[Instant]
    nextAt: Instant


class SloDeployment(TypedDict):
    """A deployment that an objective covers."""

    id: Id
    name: str


class SloAnswer(TypedDict):
    """An objective with where its error budget stands, and whom it covers."""

    id: Id
    name: str
    description: NotRequired[str]
    target: float
    windowDays: int
    provider: AnyObject
    total: Any
    good: NotRequired[Any]
    bad: NotRequired[Any]
    intervalSeconds: int
    minEvents: int
    deployments: list[SloDeployment]
    selector: NotRequired[str]
    covers: list[SloDeployment]
    thresholds: list[BurnThreshold]
    createdAt: Instant
    updatedAt: Instant
    status: SloStatus


class SloReadingAnswer(TypedDict):
    """One reading. `burn`: window to rate."""

    at: Instant
    budget: str
    remaining: NotRequired[float]
    burn: dict[str, float]
    why: NotRequired[str]


class SloReadings(TypedDict):
    """What was read of an objective, oldest first, with the thresholds of its burn."""

    id: Id
    name: str
    target: float
    windowDays: int
    since: Instant
    until: Instant
    thresholds: list[BurnThreshold]
    items: list[SloReadingAnswer]


@router.get(W + "/slos", response_model=page_of(SloAnswer))
async def list_slos(
    here: InWorkspace,
    page: Paging,
    deploymentId: Annotated[str | None, Query(description="Id or name: those that cover it.")] = None,
) -> Response:
    """List objectives by name, each with where its error budget stands."""
    here.require(Permission.READ)
    async with here.read() as conn:
        narrow = await narrowed_to(conn, here, deploymentId)
        items, total = await slos.list_slos(conn, here.id, deployment_id=narrow, limit=page.limit, offset=page.offset)
        rendered = await _rendered(conn, items, now=here.store.now())
    return page.answer(await here.shown(rendered, Permission.SLO_WRITE), total)


@router.post(W + "/slos", status_code=201, response_model=SloAnswer)
async def create_slo(here: InWorkspace, request: Request, body: SloBody) -> Response:
    """Create an objective. It is read at once, and covers what it names or selects from now on."""
    return await _save(here, request, body, slo_id=None)


@router.get(W + "/slos/{sloId:segment}", response_model=SloAnswer)
async def get_slo(here: InWorkspace, sloId: str) -> Response:
    """Get an objective, by id or name."""
    here.require(Permission.READ)
    async with here.read() as conn:
        slo = await _known(conn, here, sloId)
        rendered = await _rendered(conn, [slo], now=here.store.now())
    return Json((await here.shown(rendered, Permission.SLO_WRITE))[0])


@router.put(W + "/slos/{sloId:segment}", response_model=SloAnswer)
async def put_slo(here: InWorkspace, request: Request, sloId: str, body: SloBody) -> Response:
    """Replace an objective. What was read of another promise is not held against it."""
    return await _save(here, request, body, slo_id=id_of(sloId, "objective"))


@router.delete(W + "/slos/{sloId:segment}", response_model=SloAnswer)
async def delete_slo(here: InWorkspace, sloId: str) -> Response:
    """Delete an objective, with what was read of it. What it covered is covered by it no longer."""
    async with here.tx(Permission.SLO_WRITE, cause="api: delete objective") as tx:
        known = await _known(tx.conn, here, sloId)
        rendered = await _rendered(tx.conn, [known], now=here.store.now())
        await slos.delete_slo(tx, here.id, slo_id=known.id)
    return Json((await here.shown(rendered, Permission.SLO_WRITE))[0])


@router.get(W + "/slos/{sloId:segment}/readings", response_model=SloReadings)
async def list_readings(
    here: InWorkspace,
    sloId: str,
    since: Annotated[AwareDatetime | None, Query(description="From when; by default a day before `until`.")] = None,
    until: Annotated[AwareDatetime | None, Query(description="Until when; by default now.")] = None,
    points: Annotated[
        int, Query(ge=2, le=2000, description="So many readings at most, evenly spread.")
    ] = POINTS_DEFAULT,
) -> Response:
    """What was read of an objective, for a chart: the budget that was left, and how fast it burnt."""
    here.require(Permission.READ)
    now = here.store.now()
    end = until or now
    begin = since or end - CHART_DEFAULT
    async with here.read() as conn:
        slo = await _known(conn, here, sloId)
        readings = await slos.list_readings(
            conn, slo.id, since=begin, until=end + timedelta(microseconds=1), most=points
        )
    spec = slos.spec_of(slo.spec)
    items = [
        present(at=instant(each.at), budget=each.budget, remaining=each.remaining, burn=dict(each.burn), why=each.why)
        for each in readings
    ]
    return Json(
        present(
            id=slo.id,
            name=slo.name,
            target=spec.target_percent,
            windowDays=spec.window_days,
            since=instant(begin),
            until=instant(end),
            thresholds=_thresholds(spec.window_days),
            items=items,
        )
    )


async def _save(here: Here, request: Request, body: SloBody, *, slo_id: str | None) -> Response:
    content = checked_content(body, request.app.state.metrics)
    cause = "api: create objective" if slo_id is None else "api: put objective"
    async with here.tx(Permission.SLO_WRITE, cause=cause) as tx:
        before = None
        if slo_id is not None:
            before = found(await slos.find_slo(tx.conn, here.id, slo_id=slo_id), "objective")
        saved = await slos.save_slo(tx, here.id, content=content, before=before)
        rendered = await _rendered(tx.conn, [saved], now=here.store.now())
    shown = (await here.shown(rendered, Permission.SLO_WRITE))[0]
    return Json(shown, status_code=201 if slo_id is None else 200)


def checked_content(body: SloBody, metrics: Metrics) -> SloContent:
    """What a body says of an objective, checked.

    Fails: `Invalid` naming each wrong field.
    """
    said = body.model_dump(exclude_none=True)
    wire = {name: said[name] for name in SPEC if name in said}
    spec = parse_slo(resolved(wire, lambda _: MASK))
    check_slo(spec, metrics)
    selector = checked_selector(body.selector, scope=Scope.DEPLOYMENT, field="selector")
    if not body.deployments and selector is None:
        raise Invalid("Say whom it covers: deployments by name or id, or a selector.", field="deployments")
    whole = {**wire, "windowDays": spec.window_days, "intervalSeconds": spec.interval_s, "minEvents": spec.events_min}
    return SloContent(body.name.strip(), body.description, whole, spec.interval_s, body.deployments or (), selector)


async def _known(conn: Conn, here: Here, text: str) -> StoredSlo:
    slo = await slos.find_slo(conn, here.id, slo_id=text.lower()) if is_id(text) else None
    return found(slo or await slos.find_slo_by_name(conn, here.id, name=text), "objective")


async def _rendered(conn: Conn, items: tuple[StoredSlo, ...] | list[StoredSlo], *, now: datetime) -> list[Wire]:
    covered = await slos.load_covered(conn, [item.id for item in items])
    return [render_slo(item, covered=covered.get(item.id, ()), now=now) for item in items]


def render_slo(slo: StoredSlo, *, covered: tuple[Covered, ...], now: datetime) -> Wire:
    """An objective on the wire."""
    names = {each.id: each.name for each in covered}
    return present(
        id=slo.id,
        name=slo.name,
        description=slo.description,
        **{name: slo.spec[name] for name in SPEC if name in slo.spec},
        deployments=[{"id": each, "name": names.get(each, each)} for each in slo.deployment_ids],
        selector=slo.selector,
        covers=[{"id": each.id, "name": each.name} for each in covered],
        thresholds=_thresholds(int(slo.spec["windowDays"])),
        createdAt=instant(slo.created_at),
        updatedAt=instant(slo.updated_at),
        status=render_status(slo, now=now),
    )


def render_status(slo: StoredSlo, *, now: datetime) -> Wire:
    """Where the error budget stands now: what was read too long ago is unknown."""
    stale = slo.stale_at(now)
    why = f"The last reading is too old: it counted until {instant(slo.fresh_until)}." if slo.fresh_until else ""
    return present(
        budget="unknown" if stale else slo.budget,
        why=why if stale else slo.why,
        since=instant(slo.fresh_until if stale and slo.fresh_until else slo.since),
        readAt=instant(slo.read_at) if slo.read_at else None,
        observedAt=instant(slo.observed_at) if slo.observed_at else None,
        freshUntil=instant(slo.fresh_until) if slo.fresh_until else None,
        ageSeconds=max(0, int((now - slo.observed_at).total_seconds())) if slo.observed_at else None,
        remaining=slo.remaining,
        burn=dict(slo.burn),
        firing=list(slo.firing),
        emptyAt=instant(slo.empty_at) if slo.empty_at else None,
        nextAt=instant(slo.next_at),
    )


def _thresholds(window_days: int) -> list[Wire]:
    period = timedelta(days=window_days)
    return [
        present(
            name=row.name,
            long=window_word(row.long),
            short=window_word(row.short),
            factor=round(row.factor(period), 4),
            makes=str(row.kind),
        )
        for row in ROWS
    ]

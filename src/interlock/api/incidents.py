"""REST for incidents: what burns outside holds what would start, until it is resolved or reaches its end.

A source reports an incident by its own id, again and again if it likes; a person does it with the same call. Reporting
and resolving are one permission (`signal:report`): who may say that something burns may say that it is out.

Source: core.md section 2; decision record on incidents. These paths are ours, not the public contract's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal, NotRequired

from fastapi import Query
from pydantic import AwareDatetime, Field, StringConstraints
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api.deployments import narrowed_to
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import Wire
from interlock.model.errors import Invalid, NotFound
from interlock.model.ids import new_id
from interlock.model.incident import (
    DEPLOYMENTS_MAX,
    ENVIRONMENTS_MAX,
    GATING,
    LABELS_MAX,
    LASTS,
    LASTS_MAX,
    LINKS_MAX,
    VALUE_MAX,
    Incident,
    Report,
)
from interlock.store import incidents, principals
from interlock.store.incidents import Matched, Told
from interlock.store.queries import Conn
from interlock.web.answers import Json, instant, present
from interlock.web.bodies import Bool, ClosedBody, Name, Text
from interlock.web.paging import Paging
from interlock.web.shapes import Id, Instant, Named, Texts, page_of
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("incidents")

SOURCE = "api"
"""The source of an incident that names none: a person, by hand."""

Severity = Literal["critical", "warning", "info"]
Value = Annotated[str, StringConstraints(max_length=VALUE_MAX)]
Address = Annotated[str, StringConstraints(max_length=2_000, pattern=r"^https?://")]


class IncidentBody(ClosedBody):
    """An incident, or the same again: `source` and `externalId` say which. Without an `externalId` it is a new one.

    `deployments` and `environments` are ids or names; without environments it bites in all of them. `gates` says
    whether it holds what would start; without it a critical one does. Without `expiresAt` it ends after 12 hours.
    """

    source: Name = SOURCE
    externalId: Name | None = None
    title: Name
    severity: Severity = "critical"
    gates: Bool | None = None
    deployments: Annotated[tuple[Name, ...], Field(max_length=DEPLOYMENTS_MAX)] = ()
    environments: Annotated[tuple[Name, ...], Field(max_length=ENVIRONMENTS_MAX)] | None = None
    links: Annotated[dict[Name, Address], Field(max_length=LINKS_MAX, default_factory=dict)]
    labels: Annotated[dict[Name, Value], Field(max_length=LABELS_MAX, default_factory=dict)]
    startedAt: AwareDatetime | None = None
    expiresAt: AwareDatetime | None = None


class ResolveBody(ClosedBody):
    """Why it holds nobody any longer."""

    reason: Text = ""


class ResolveToldBody(ClosedBody):
    """The end of an incident that its source knows by its own id."""

    source: Name = SOURCE
    externalId: Name
    reason: Text = ""


class IncidentAnswer(TypedDict):
    """An incident. `gates` and no `deployments` hold nothing; `unmatched` are names that nothing here has."""

    id: Id
    source: str
    externalId: str
    title: str
    severity: Severity
    gates: bool
    open: bool
    deployments: list[Named]
    environments: NotRequired[list[Named]]
    unmatched: NotRequired[list[str]]
    links: NotRequired[Texts]
    labels: NotRequired[Texts]
    reportedBy: NotRequired[str]
    startedAt: Instant
    openedAt: Instant
    renewedAt: Instant
    expiresAt: Instant
    resolvedAt: NotRequired[Instant]
    resolvedBy: NotRequired[str]
    resolveReason: NotRequired[str]
    says: str


class ReportedAnswer(IncidentAnswer):
    """An incident as it is after a report, and what the report did."""

    outcome: Literal["opened", "renewed", "changed", "old"]


@router.get(W + "/incidents", response_model=page_of(IncidentAnswer))
async def list_incidents(
    here: InWorkspace,
    page: Paging,
    over: Annotated[bool, Query(description="Those that ended as well.")] = False,
    deploymentId: Annotated[str | None, Query(description="Id or name: those that are about it.")] = None,
) -> Response:
    """List the open incidents, newest first."""
    here.require(Permission.READ)
    async with here.read() as conn:
        narrow = await narrowed_to(conn, here, deploymentId)
        items, total = await incidents.list_incidents(
            conn, here.id, deployment_id=narrow, over_too=over, limit=page.limit, offset=page.offset
        )
        rendered = await rendered_incidents(conn, here.id, items)
    return page.answer(rendered, total)


@router.post(
    W + "/incidents", status_code=201, response_model=ReportedAnswer, responses={200: {"model": ReportedAnswer}}
)
async def report_incident(here: InWorkspace, body: IncidentBody) -> Response:
    """Open an incident (201), or say that it goes on (200).

    One that began before an occurrence which is resolved already is old news: it is answered with that, and changes
    nothing.
    """
    async with here.tx(Permission.SIGNAL_REPORT, cause="api: report incident") as tx:
        now = await tx.conn.fetchval(incidents.Q.now)
        matched = await incidents.match_names(
            tx.conn, here.id, deployments=body.deployments, environments=body.environments or ()
        )
        report = _report(body, matched, expires_at=end_of(body.expiresAt, now=now))
        (told,) = await incidents.report_incidents(tx, here.id, [report], author_id=here.caller.id)
        if told.incident_id is None:
            raise Invalid(f"At most {incidents.OPEN_MAX} incidents are open at once.", field="externalId")
        stored = found(await incidents.find_incident(tx.conn, here.id, incident_id=told.incident_id), "incident")
        (rendered,) = await rendered_incidents(tx.conn, here.id, [stored])
    return Json({**rendered, "outcome": told.outcome}, status_code=201 if told.outcome == "opened" else 200)


@router.post(W + "/incidents/resolve", response_model=IncidentAnswer)
async def resolve_told(here: InWorkspace, body: ResolveToldBody) -> Response:
    """Resolve an incident by its source and the id that it has there."""
    async with here.read() as conn:
        known = await incidents.find_told(conn, here.id, source=body.source, external_id=body.externalId)
    if known is None:
        raise NotFound("This source told of no such incident.")
    return await _resolve(here, known, body.reason)


@router.get(W + "/incidents/{incidentId:segment}", response_model=IncidentAnswer)
async def get_incident(here: InWorkspace, incidentId: str) -> Response:
    """Get an incident, also one that is over."""
    here.require(Permission.READ)
    async with here.read() as conn:
        known = await _known(conn, here, incidentId)
        return Json((await rendered_incidents(conn, here.id, [known]))[0])


@router.post(W + "/incidents/{incidentId:segment}/resolve", response_model=IncidentAnswer)
async def resolve_incident(here: InWorkspace, incidentId: str, body: ResolveBody) -> Response:
    """Say that an incident is over, or that it shall hold nobody any longer.

    Its source may go on repeating it; only one that begins after this opens again.
    """
    async with here.read() as conn:
        known = await _known(conn, here, incidentId)
    return await _resolve(here, known, body.reason)


async def _resolve(here: Here, known: Incident, reason: str) -> Response:
    async with here.tx(Permission.SIGNAL_REPORT, cause="api: resolve incident") as tx:
        after = await incidents.resolve_incident(
            tx, here.id, incident_id=known.id, reason=reason, author_id=here.caller.id
        )
        return Json((await rendered_incidents(tx.conn, here.id, [after]))[0])


async def _known(conn: Conn, here: Here, text: str) -> Incident:
    return found(await incidents.find_incident(conn, here.id, incident_id=id_of(text, "incident")), "incident")


def end_of(expires_at: datetime | None, *, now: datetime) -> datetime:
    """When an incident ends by itself, as its source says or after 12 hours.

    Fails: `Invalid` for an end that has passed, or lies more than 30 days ahead.
    """
    if expires_at is None:
        return now + LASTS
    if expires_at <= now:
        raise Invalid("The end of an incident must lie ahead.", field="expiresAt")
    if expires_at > now + LASTS_MAX:
        raise Invalid(
            f"An incident ends within {LASTS_MAX.days} days; report it again if it burns on.", field="expiresAt"
        )
    return expires_at


def _report(body: IncidentBody, matched: Matched, *, expires_at: datetime) -> Report:
    about, missing = meant(body.deployments, matched.deployments)
    where, missing_places = meant(body.environments or (), matched.environments)
    return Report(
        source=body.source,
        external_id=body.externalId or new_id(),
        title=body.title,
        severity=body.severity,
        gates=body.severity in GATING if body.gates is None else body.gates,
        expires_at=expires_at,
        started_at=body.startedAt,
        deployment_ids=about,
        environment_ids=None if body.environments is None else where,
        unmatched=(*missing, *missing_places),
        links=body.links,
        labels=body.labels,
    )


def meant(names: Collection[str], ids_by_name: Mapping[str, str]) -> tuple[frozenset[str], tuple[str, ...]]:
    """The ids of what some names mean, and the names that mean nothing."""
    known = frozenset(ids_by_name[name] for name in names if name in ids_by_name)
    return known, tuple(name for name in names if name not in ids_by_name)


async def rendered_incidents(conn: Conn, workspace_id: str, items: Sequence[Incident]) -> list[Wire]:
    """Incidents on the wire, with the names of what they are about."""
    about = await incidents.load_deployments(conn, [item.id for item in items])
    who = sorted({one for item in items for one in (item.reported_by, item.resolved_by) if one})
    people = await principals.load_names(conn, who)
    place_ids = sorted({one for item in items for one in item.environment_ids or ()})
    matched = await incidents.match_names(conn, workspace_id, deployments=(), environments=place_ids)
    places = matched.names
    return [_render(item, about.get(item.id, ()), people, places) for item in items]


def _render(
    item: Incident, about: Sequence[tuple[str, str]], people: Mapping[str, str], places: Mapping[str, str]
) -> Wire:
    where = item.environment_ids
    return present(
        id=item.id,
        source=item.source,
        externalId=item.external_id,
        title=item.title,
        severity=item.severity,
        gates=item.gates,
        open=item.is_open,
        deployments=[{"id": id_, "name": name} for id_, name in about],
        environments=None if where is None else [{"id": one, "name": places.get(one, one)} for one in where],
        unmatched=list(item.unmatched) or None,
        links=dict(item.links) or None,
        labels=dict(item.labels) or None,
        reportedBy=people.get(item.reported_by or ""),
        startedAt=instant(item.started_at),
        openedAt=instant(item.opened_at),
        renewedAt=instant(item.renewed_at),
        expiresAt=instant(item.expires_at),
        resolvedAt=instant(item.resolved_at) if item.resolved_at else None,
        resolvedBy=people.get(item.resolved_by or ""),
        resolveReason=item.resolve_reason or None,
        says=says(item, [name for _, name in about]),
    )


def says(item: Incident, about: Sequence[str]) -> str:
    """What an incident does, in a sentence."""
    if item.resolved_at is not None:
        return f"Resolved {instant(item.resolved_at)}."
    if not item.is_open:
        return f"It reached its end at {instant(item.expires_at)}, and nobody had said that it is over."
    if not about:
        return "It names no deployment that is here, so it holds nothing."
    if item.environment_ids is not None and not item.environment_ids:
        return "It names no environment that is here, so it holds nothing."
    if not item.gates:
        return f"It does not gate ({item.severity}), so it holds nothing."
    return f"Nothing new starts on {', '.join(about)} until it is resolved, or {instant(item.expires_at)}."


def outcome_says(told: Told, incident: Incident | None, about: Sequence[str]) -> str:
    """What became of a report, in a sentence."""
    if told.outcome == "left_out" or incident is None:
        return f"Left out: {incidents.OPEN_MAX} incidents are open already."
    if told.outcome == "old":
        return "It began before an occurrence that is resolved already: nothing changed."
    return says(incident, about)

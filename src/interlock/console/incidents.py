"""What burns outside, and what did? Every incident with what it is about; those that are open can be resolved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from interlock.access import Permission
from interlock.console.visit import Visit
from interlock.model.incident import Incident
from interlock.model.saturation import UNKNOWN
from interlock.store import incidents, principals, saturations
from interlock.store.incidents import OPEN_MAX
from interlock.store.queries import Conn

LISTED_MAX = 200
NAMED_MAX = 5
"""Incidents that a deployment's page names."""

MARKS = {"normal": "pass", "high": "wait", "saturated": "halted", "unknown": "unknown"}
"""A level of saturation -> the mark beside it."""


@dataclass(frozen=True, slots=True)
class IncidentLine:
    """An incident with the names of what it is about and of its people. `holds`: nothing new starts there."""

    incident: Incident
    about: tuple[str, ...]
    places: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    reported_by: str | None
    resolved_by: str | None

    @property
    def holds(self) -> bool:
        """Whether it keeps anything from starting."""
        one = self.incident
        return one.is_open and one.gates and bool(self.about) and (one.environment_ids is None or bool(self.places))


@dataclass(frozen=True, slots=True)
class SaturationLine:
    """How full something is, with the word and the mark for it."""

    signal: saturations.StoredSaturation
    level: str
    mark: str


async def show(visit: Visit) -> Response:
    """The incidents."""
    async with visit.here.store.snapshot() as conn:
        items, total = await incidents.list_incidents(conn, visit.here.id, over_too=True, limit=LISTED_MAX)
        return await visit.render(
            conn,
            "incidents.html",
            title="Incidents",
            live="follow",
            lines=await lines_of(conn, visit.here.id, items),
            total=total,
            may_resolve=visit.may(Permission.SIGNAL_REPORT),
            said={"resolved": "The incident is resolved."}.get(visit.request.query_params.get("said", "")),
        )


async def lines_of(conn: Conn, workspace_id: str, items: Sequence[Incident]) -> list[IncidentLine]:
    """Incidents with names. None: no question is asked."""
    if not items:
        return []
    about = await incidents.load_deployments(conn, [one.id for one in items])
    places = sorted({each for one in items for each in one.environment_ids or ()})
    matched = await incidents.match_names(conn, workspace_id, deployments=(), environments=places)
    people = sorted({each for one in items for each in (one.reported_by, one.resolved_by) if each})
    names = await principals.load_names(conn, people)
    return [
        IncidentLine(
            one,
            tuple(name for _, name in about.get(one.id, ())),
            tuple(matched.names.get(each, each) for each in one.environment_ids or ()),
            tuple((name, url) for name, url in one.links.items() if url.startswith(("https://", "http://"))),
            names.get(one.reported_by or ""),
            names.get(one.resolved_by or ""),
        )
        for one in items
    ]


async def load_burning(conn: Conn, workspace_id: str, *, deployment_id: str) -> tuple[list[IncidentLine], int]:
    """The open incidents that are about a deployment, at most `NAMED_MAX`, and how many there are."""
    items = await incidents.list_open(conn, workspace_id, deployment_id=deployment_id, incidents_max=OPEN_MAX)
    return await lines_of(conn, workspace_id, items[:NAMED_MAX]), len(items)


async def load_saturation(conn: Conn, deployment_id: str) -> list[SaturationLine]:
    """How full the things are that a deployment runs on."""
    found = await saturations.list_saturations(conn, deployment_id)
    levels = [(one, one.level if one.fresh else UNKNOWN) for one in found]
    return [SaturationLine(one, level, MARKS[level]) for one, level in levels]

"""What burns outside, and how does it take hold? Report incidents, list them, resolve them.

A report is told once: the same incident told again renews its end and changes what it says; one that is told as over is
resolved; one that began no later than an occurrence which is already resolved is old news, whatever order the network
chose. When it begins anew after that, it is another occurrence, with a row of its own.

An open incident that gates is an own fact of the deployments that it names: their fence rises with the write, so that
nothing that was decided before it is handed over after it (core.md 2). Those that depend on them hear of it as of any
fact of others, by query after the commit. Its end by time is in every verdict that it gave, and an `expire` item notes
it in the ledger.

The ledger says source, severity and what it is about; titles, labels and reasons stand in the incident's own row.

Source: core.md sections 2 and 3; issue "Error budgets and signals".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from interlock.model.alertmanager import METADATA, matchers_of
from interlock.model.errors import Conflict, NotFound
from interlock.model.event import Event, Ref
from interlock.model.ids import new_id
from interlock.model.incident import Incident, Report
from interlock.store.deployments import touch
from interlock.store.elsewhere import wake_dependents
from interlock.store.queries import Conn, queries
from interlock.store.rows import many, one
from interlock.store.tx import Change, Tx
from interlock.store.work import OWN_FACTS, PEOPLE, WorkRequest

Q = queries("incident")

OPEN_MAX = 2_000
"""So many are open at once in a workspace; what comes beyond is answered as left out."""


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a report.

    Takes: `outcome` is opened, renewed, changed, resolved, old (it began before what is already over), over (it was
           resolved already) or left_out (too many are open). `incident_id` is None where it is left out.
    """

    report: Report
    outcome: str
    incident_id: str | None


@dataclass(frozen=True, slots=True)
class Matched:
    """What names mean: ids of the deployments and environments that are there, by the name or id that was said.

    Takes: `names` are the environments' names by id.
    """

    deployments: Mapping[str, str]
    environments: Mapping[str, str]
    names: Mapping[str, str]


async def match_names(
    conn: Conn, workspace_id: str, *, deployments: Collection[str], environments: Collection[str]
) -> Matched:
    """Which deployments and environments some names or ids mean."""
    found = await conn.fetch(Q.match_deployments, workspace_id, sorted(deployments)) if deployments else ()
    places = await conn.fetch(Q.match_environments, workspace_id, sorted(environments)) if environments else ()
    return Matched(
        {text: row["id"] for row in found for text in (row["name"], row["id"])},
        {text: row["id"] for row in places for text in (row["name"], row["id"])},
        {row["id"]: row["name"] for row in places},
    )


async def list_matchers(conn: Conn, workspace_id: str) -> tuple[tuple[str, Mapping[str, str]], ...]:
    """The deployments that say which alerts are about them: (id, labels)."""
    rows = await conn.fetch(Q.list_matchers, workspace_id, METADATA)
    return tuple((row["id"], matchers_of(row["matchers"] or "")) for row in rows)


async def find_incident(conn: Conn, workspace_id: str, *, incident_id: str) -> Incident | None:
    """An incident by id."""
    return one(Incident, await conn.fetchrow(Q.find_incident, workspace_id, incident_id))


async def load_incidents(conn: Conn, workspace_id: str, incident_ids: Sequence[str]) -> dict[str, Incident]:
    """incident id -> the incident, of those that are there."""
    rows = await conn.fetch(Q.list_by_ids, workspace_id, list(incident_ids))
    return {each.id: each for each in many(Incident, rows)}


async def find_told(conn: Conn, workspace_id: str, *, source: str, external_id: str) -> Incident | None:
    """The newest incident that a source told of under an id."""
    return one(Incident, await conn.fetchrow(Q.list_told, workspace_id, source, [external_id]))


async def list_incidents(
    conn: Conn,
    workspace_id: str,
    *,
    deployment_id: str | None = None,
    over_too: bool = False,
    limit: int = 50,
    offset: int = 0,
) -> tuple[tuple[Incident, ...], int]:
    """A page of the open incidents, newest first, and how many there are; `over_too` those that ended as well."""
    total = await conn.fetchval(Q.count_incidents, workspace_id, over_too, deployment_id)
    rows = await conn.fetch(Q.list_incidents, workspace_id, over_too, deployment_id, limit, offset)
    return many(Incident, rows), total


async def list_open(conn: Conn, workspace_id: str, *, deployment_id: str, incidents_max: int) -> tuple[Incident, ...]:
    """The open incidents about a deployment, newest first."""
    rows = await conn.fetch(Q.list_incidents, workspace_id, False, deployment_id, incidents_max, 0)
    return many(Incident, rows)


async def load_deployments(conn: Conn, incident_ids: Sequence[str]) -> dict[str, tuple[tuple[str, str], ...]]:
    """incident id -> (id, name) of the deployments that it is about."""
    found: dict[str, tuple[tuple[str, str], ...]] = {}
    for row in await conn.fetch(Q.list_deployments, list(incident_ids)):
        found[row["incident_id"]] = (*found.get(row["incident_id"], ()), (row["id"], row["name"]))
    return found


async def report_incidents(tx: Tx, workspace_id: str, reports: Sequence[Report], *, author_id: str) -> tuple[Told, ...]:
    """Take what one source says of its incidents; of one that it names twice the last word counts.

    Takes: reports of one source.
    Gives: what became of each, in their order.
    """
    if not reports:
        return ()
    await tx.conn.fetchval(Q.take_turn, workspace_id)
    last = {each.external_id: each for each in reports}
    rows = await tx.conn.fetch(Q.list_told, workspace_id, reports[0].source, sorted(last))
    known = {each.external_id: each for each in many(Incident, rows)}
    about = await load_deployments(tx.conn, [each.id for each in known.values()])
    before = {each.id: frozenset(id_ for id_, _ in about.get(each.id, ())) for each in known.values()}
    concerned = {id_ for ids in before.values() for id_ in ids} | {
        id_ for each in last.values() for id_ in each.deployment_ids
    }
    if concerned:
        await tx.conn.fetch(Q.lock_deployments, sorted(concerned))
    room = OPEN_MAX - int(await tx.conn.fetchval(Q.count_open, workspace_id))
    teller = _Teller(tx, workspace_id, author_id, before, room)
    told = {key: await teller.tell(report, known.get(key)) for key, report in last.items()}
    await teller.wake()
    return tuple(told[each.external_id] for each in reports)


async def resolve_incident(tx: Tx, workspace_id: str, *, incident_id: str, reason: str, author_id: str) -> Incident:
    """A person says that an incident is over, or that it shall hold nobody any longer.

    Fails: `NotFound`; `Conflict` when it is over already.
    """
    await tx.conn.fetchval(Q.take_turn, workspace_id)
    known = await find_incident(tx.conn, workspace_id, incident_id=incident_id)
    if known is None:
        raise NotFound("There is no such incident.")
    if known.resolved_at is not None:
        raise Conflict("This incident is resolved already.", code="INCIDENT_OVER")
    about = await load_deployments(tx.conn, [known.id])
    deployment_ids = frozenset(id_ for id_, _ in about.get(known.id, ()))
    if deployment_ids:
        await tx.conn.fetch(Q.lock_deployments, sorted(deployment_ids))
    teller = _Teller(tx, workspace_id, author_id, {known.id: deployment_ids}, OPEN_MAX)
    await teller.resolve(known, reason=reason, person=True)
    await teller.wake()
    stored = await find_incident(tx.conn, workspace_id, incident_id=incident_id)
    assert stored is not None, "just written in this transaction"
    return stored


async def note_end(tx: Tx, workspace_id: str, incident_id: str) -> datetime | None:
    """Note that an incident reached its end. Gives the instant to look again, when that lies ahead."""
    await tx.conn.fetchval(Q.take_turn, workspace_id)
    about = (await load_deployments(tx.conn, [incident_id])).get(incident_id, ())
    ids = sorted(id_ for id_, _ in about)
    if ids:
        await tx.conn.fetch(Q.lock_deployments, ids)
    ended = await tx.conn.fetchrow(Q.end_incident, incident_id)
    if ended is None:
        at: datetime | None = await tx.conn.fetchval(Q.find_incident_end, incident_id)
        return at
    refs = tuple(Ref("deployment", each) for each in ids)
    event = Event("incident.expired", Ref("incident", incident_id), {}, refs=refs)
    wakes = [WorkRequest("round", each, workspace_id, None, OWN_FACTS) for each in ids] if ended["gates"] else []
    await tx.record(events=[event], wakes=wakes)
    if ended["gates"]:
        await wake_dependents(tx, workspace_id, ids)
    return None


@dataclass(slots=True)
class _Teller:
    """Writes reports one after the other, and at the end asks for the rounds that they concern.

    Takes: `before` says which deployments each known incident is about, `room` how many more may be opened.
    """

    tx: Tx
    workspace_id: str
    author_id: str
    before: Mapping[str, frozenset[str]]
    room: int
    stopping: frozenset[str] = frozenset()
    going_on: frozenset[str] = frozenset()

    async def tell(self, report: Report, known: Incident | None) -> Told:
        """What becomes of one report, given the newest that is known of its incident."""
        if known is not None and known.resolved_at is None:
            if report.resolved:
                if report.started_at is not None and report.started_at < known.started_at:
                    return Told(report, "old", known.id)
                await self.resolve(known, reason=None, person=False, ended_at=report.ended_at)
                return Told(report, "resolved", known.id)
            return await self._renew(known, report)
        if known is not None and report.resolved:
            return Told(report, "over", known.id)
        if known is not None and _began_before(report, known):
            return Told(report, "old", known.id)
        return await self._open(report)

    async def _open(self, report: Report) -> Told:
        """A new occurrence. One that is over before it was heard of is noted: its beginning may still be under way."""
        if not report.resolved and self.room <= 0:
            return Told(report, "left_out", None)
        incident_id = new_id()
        now = await self.tx.conn.fetchval(Q.now)
        ended = (now, report.ended_at or now, self.author_id) if report.resolved else (None, None, None)
        row = (
            *(incident_id, self.workspace_id, report.source, report.external_id, report.title, report.severity),
            *(report.gates, dict(report.links), dict(report.labels), list(report.unmatched), _listed(report)),
            *(report.started_at, report.expires_at, *ended, self.author_id),
        )
        changes = [
            Change(Q.insert_incident, row),
            Change(Q.add_deployments, (incident_id, sorted(report.deployment_ids))),
        ]
        kind = "incident.resolved" if report.resolved else "incident.opened"
        await self._record(incident_id, kind, report, changes)
        if report.resolved:
            return Told(report, "resolved", incident_id)
        self.room -= 1
        if report.bites:
            self.stopping |= report.deployment_ids
        return Told(report, "opened", incident_id)

    async def _renew(self, known: Incident, report: Report) -> Told:
        """The same again: another end, and perhaps other things said. One that had ended by time is open again."""
        before = self.before.get(known.id, frozenset())
        after = replace(
            report, expires_at=max(report.expires_at, known.expires_at) if known.is_open else report.expires_at
        )
        row = (
            *(known.id, after.title, after.severity, after.gates, dict(after.links), dict(after.labels)),
            *(list(after.unmatched), _listed(after), after.expires_at, after.started_at),
        )
        changes = [
            Change(Q.renew_incident, row),
            Change(Q.forget_deployments, (known.id, sorted(after.deployment_ids))),
            Change(Q.add_deployments, (known.id, sorted(after.deployment_ids))),
        ]
        said = (known.severity, known.gates, _set_of(known.environment_ids), before)
        same = said == (after.severity, after.gates, after.environment_ids, after.deployment_ids)
        if same and known.is_open:
            await self.tx.record(changes, wakes=[self._end_of(known.id, after)])
            if after.bites:
                self.going_on |= after.deployment_ids  # its verdicts name the end that it had
            return Told(report, "renewed", known.id)
        await self._record(known.id, "incident.changed" if known.is_open else "incident.opened", after, changes)
        if after.bites or (known.gates and before):
            self.stopping |= after.deployment_ids | before
        return Told(report, "changed" if known.is_open else "opened", known.id)

    async def resolve(
        self, known: Incident, *, reason: str | None, person: bool, ended_at: datetime | None = None
    ) -> None:
        """It is over: by its source's word, or by a person's."""
        about = self.before.get(known.id, frozenset())
        event = Event(
            "incident.resolved",
            Ref("incident", known.id),
            {"source": known.source, "severity": known.severity, "gates": known.gates, "byHand": person},
            refs=tuple(Ref("deployment", each) for each in sorted(about)),
        )
        change = Change(Q.resolve_incident, (known.id, self.author_id, reason, ended_at), rows=1)
        await self.tx.record([change], events=[event])
        if known.gates:
            self.going_on |= about

    async def wake(self) -> None:
        """The deployments look again, and whoever depends on them."""
        stopping, going_on = sorted(self.stopping), sorted(self.going_on - self.stopping)
        if not stopping and not going_on:
            return
        touches = [touch(each, takes_away=True) for each in stopping]
        touches += [touch(each, takes_away=False) for each in going_on]
        rounds = [WorkRequest("round", each, self.workspace_id, None, PEOPLE) for each in (*stopping, *going_on)]
        await self.tx.record(touches, wakes=rounds)
        await wake_dependents(self.tx, self.workspace_id, (*stopping, *going_on))

    async def _record(self, incident_id: str, kind: str, report: Report, changes: Sequence[Change]) -> None:
        body: dict[str, object] = {
            "source": report.source,
            "severity": report.severity,
            "gates": report.bites,
            "expiresAt": report.expires_at.isoformat(),
        }
        if report.unmatched:
            body["unmatched"] = list(report.unmatched)
        refs = [Ref("deployment", each) for each in sorted(report.deployment_ids)]
        refs += [Ref("environment", each) for each in sorted(report.environment_ids or ())]
        wakes = [] if report.resolved else [self._end_of(incident_id, report)]
        event = Event(kind, Ref("incident", incident_id), body, refs=tuple(refs))
        await self.tx.record(changes, events=[event], wakes=wakes)

    def _end_of(self, incident_id: str, report: Report) -> WorkRequest:
        return WorkRequest("expire", f"incident:{incident_id}", self.workspace_id, report.expires_at, OWN_FACTS)


def _began_before(report: Report, known: Incident) -> bool:
    """Whether a report tells of an occurrence that is resolved already.

    Why:   sources repeat what they said, and networks turn messages round. Both instants are by the source's clock;
           where a person resolved it, its end is theirs, and only what begins after that opens it again.
    """
    if report.started_at is None:
        return False
    return report.started_at <= known.started_at or (known.ended_at is not None and report.started_at < known.ended_at)


def _listed(report: Report) -> list[str] | None:
    return None if report.environment_ids is None else sorted(report.environment_ids)


def _set_of(ids: Sequence[str] | None) -> frozenset[str] | None:
    return None if ids is None else frozenset(ids)

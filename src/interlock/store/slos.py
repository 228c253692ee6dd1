"""Which objectives are there, whom do they cover, and how does a reading become a fact?

A reading is stored with each look, and asks for nothing; another class (or another cover) is an own fact of every
deployment covered: it bumps their generation, their fence where it may take something away, and asks for their rounds.
The instant at which a reading gets too old needs no write: it stands in the fact, and a round that rested on it wakes
by itself.

Whom a selector means is worked out when the objective is written, and looked at again after each write of a deployment
(`match_slos`), so that two concurrent changes meet.

Source: core.md section 2 (own facts, facts from outside); definitions.md E1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from interlock.inventory.selector import Scope, parse_selector
from interlock.inventory.to_python import matches
from interlock.inventory.views import deployment_view
from interlock.judge.budget import Budget, BudgetClass, Events, Reading, read_budget, worsens
from interlock.judge.slo import COVERED_MAX, SloSpec, parse_slo, window_word
from interlock.model.errors import Conflict, Invalid, NotFound
from interlock.model.event import Event, Ref
from interlock.model.ids import new_id
from interlock.model.secret import Where, masked
from interlock.store.deployments import find_deployment, list_deployments
from interlock.store.queries import Conn, queries
from interlock.store.refusals import refusals
from interlock.store.rows import many, one
from interlock.store.tx import Change, Tx
from interlock.store.work import OWN_FACTS, WorkRequest

Q = queries("slo")

SLOS_MAX = 1_000
REFS_MAX = 100
NAMES_MAX = 20
READINGS_MAX = 2_000
BACKOFF_MAX = timedelta(minutes=10)
AGED_MARGIN = timedelta(seconds=30)
"""A fact that is so near its end may be taken for unknown by a round that runs while it is written anew."""

HELD_FOR = timedelta(days=1)
"""So long the last known class is remembered over a gap in which nothing is known: after that it says nothing."""


@dataclass(frozen=True, slots=True)
class StoredSlo:
    """An objective as it was written, and where it stands."""

    id: str
    workspace_id: str
    name: str
    description: str | None
    spec: Mapping[str, Any] = field(repr=False)
    interval_s: int
    deployment_ids: Sequence[str]
    selector: str | None
    revision: int
    created_at: datetime
    updated_at: datetime
    budget: str
    why: str
    since: datetime
    observed_at: datetime | None
    fresh_until: datetime | None
    remaining: float | None
    burn: Mapping[str, float]
    firing: Sequence[str]
    empty_at: datetime | None
    read_at: datetime | None
    next_at: datetime

    def stale_at(self, now: datetime) -> bool:
        """Whether what was read counts no more, by time alone."""
        return self.fresh_until is not None and now >= self.fresh_until


@dataclass(frozen=True, slots=True)
class Covered:
    """A deployment that an objective covers."""

    slo_id: str
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class SloReading:
    """One reading, for a chart. `burn`: window -> rate."""

    at: datetime
    budget: str
    remaining: float | None
    burn: Mapping[str, float]
    why: str | None


@dataclass(frozen=True, slots=True)
class DueSlo:
    """An objective that is due: what the next reading starts from.

    Takes: `asked`: window in seconds -> `{bad, total, at}`. `held` is the last known class.
    """

    id: str
    workspace_id: str
    name: str
    spec: Mapping[str, Any] = field(repr=False)
    revision: int
    interval_s: int
    budget: str
    why: str
    since: datetime
    held: Mapping[str, Any] | None
    asked: Mapping[str, Any]
    newest_at: datetime | None
    errors: int
    next_at: datetime
    burn: Mapping[str, float]
    remaining: float | None
    firing: Sequence[str]
    fresh_until: datetime | None


@dataclass(frozen=True, slots=True)
class SloContent:
    """What a client says of an objective. `spec` is a wire object that was checked."""

    name: str
    description: str | None
    spec: Mapping[str, Any] = field(repr=False)
    interval_s: int
    deployments: Sequence[str]
    selector: str | None


# --- reading ---------------------------------------------------------------------------------------------------------


async def find_slo(conn: Conn, workspace_id: str, *, slo_id: str) -> StoredSlo | None:
    """An objective by id."""
    return one(StoredSlo, await conn.fetchrow(Q.find_slo, workspace_id, slo_id))


async def find_slo_by_name(conn: Conn, workspace_id: str, *, name: str) -> StoredSlo | None:
    """An objective by its name."""
    return one(StoredSlo, await conn.fetchrow(Q.find_slo_by_name, workspace_id, name))


async def list_slos(
    conn: Conn, workspace_id: str, *, deployment_id: str | None = None, limit: int, offset: int
) -> tuple[tuple[StoredSlo, ...], int]:
    """A page of a workspace's objectives by name, or of those that cover a deployment, and how many there are."""
    total = await conn.fetchval(Q.count_slos, workspace_id, deployment_id)
    return many(StoredSlo, await conn.fetch(Q.list_slos, workspace_id, deployment_id, limit, offset)), total


async def load_covered(conn: Conn, slo_ids: Sequence[str]) -> dict[str, tuple[Covered, ...]]:
    """Objective's id -> the deployments that it covers, by name."""
    found: dict[str, tuple[Covered, ...]] = {}
    for each in many(Covered, await conn.fetch(Q.list_covered, list(slo_ids))):
        found[each.slo_id] = (*found.get(each.slo_id, ()), each)
    return found


async def list_readings(
    conn: Conn, slo_id: str, *, since: datetime, until: datetime, most: int
) -> tuple[SloReading, ...]:
    """The readings of a stretch of time, oldest first; of more than `most` some, evenly spread."""
    return many(SloReading, await conn.fetch(Q.list_readings, slo_id, since, until, min(most, READINGS_MAX)))


async def find_due_slo(conn: Conn, slo_id: str) -> DueSlo | None:
    """One objective with what its next reading starts from; None when it is gone."""
    return one(DueSlo, await conn.fetchrow(Q.find_due, slo_id))


# --- writing ---------------------------------------------------------------------------------------------------------


async def save_slo(tx: Tx, workspace_id: str, *, content: SloContent, before: StoredSlo | None) -> StoredSlo:
    """Create an objective, or replace what `before` says.

    Fails: `Conflict` on a name that is taken; `Invalid` for a deployment that is none, for a secret's mark of something
           else, and where the workspace has as many objectives as it may.
    """
    ids = await _ids_of(tx.conn, workspace_id, content.deployments)
    spec = await tx.secrets.seal_document(
        tx.conn, workspace_id, dict(content.spec), where=Where.RULES, before=before and before.spec, field=""
    )
    row = (content.name, content.description, spec, content.interval_s, ids, content.selector)
    slo_id = before.id if before else new_id()
    kind = "slo.changed" if before else "slo.created"
    body = {"name": content.name, "target": content.spec.get("target"), "windowDays": content.spec.get("windowDays")}
    if before is None:
        if await tx.conn.fetchval(Q.count_slos, workspace_id, None) >= SLOS_MAX:
            raise Conflict(f"A workspace has at most {SLOS_MAX} objectives.", code="TOO_MANY")
        change = Change(Q.insert_slo, (slo_id, workspace_id, *row))
    else:
        change = Change(Q.update_slo, (slo_id, *row, dict(before.spec) != spec))
    wanted = await _meant(tx.conn, workspace_id, deployment_ids=ids, selector=content.selector)
    covered = {row["id"] for row in await tx.conn.fetch(Q.list_covered_ids, slo_id)}
    await _lock(tx, covered ^ wanted)
    with refusals():
        await tx.record(
            changes=[change],
            events=[Event(kind, Ref("slo", slo_id), body)],
            wakes=[WorkRequest("slo", slo_id, workspace_id, None, OWN_FACTS)],
        )
    await _write_cover(tx, slo_id, workspace_id=workspace_id, joined=wanted - covered, left=covered - wanted)
    saved = await find_slo(tx.conn, workspace_id, slo_id=slo_id)
    assert saved is not None, "just written in this transaction"
    return saved


async def delete_slo(tx: Tx, workspace_id: str, *, slo_id: str) -> StoredSlo:
    """End an objective, with all that was read of it. What it covered is covered no longer.

    Fails: `NotFound`.
    """
    known = await find_slo(tx.conn, workspace_id, slo_id=slo_id)
    if known is None:
        raise NotFound("There is no such objective.")
    covered = {row["id"] for row in await tx.conn.fetch(Q.list_covered_ids, slo_id)}
    await _lock(tx, covered)
    await tx.record(events=[Event("slo.deleted", Ref("slo", slo_id), {"name": known.name}, _refs(covered))])
    await _write_cover(tx, slo_id, workspace_id=workspace_id, joined=set(), left=covered)
    await tx.record(changes=[Change(Q.delete_slo, (slo_id,))])
    return known


async def match_slos(tx: Tx, workspace_id: str, *, deployment_id: str) -> int:
    """Whom objectives cover, looked at again after a deployment was written or deleted. Gives how many changed."""
    rows = await tx.conn.fetch(Q.list_covering, workspace_id, deployment_id)
    if not rows:
        return 0
    await _lock(tx, {deployment_id})
    deployment = await find_deployment(tx.conn, workspace_id, deployment_id=deployment_id)
    view = {"deployment": deployment_view(deployment)} if deployment is not None else None
    changed = 0
    for row in rows:
        wanted = view is not None and (
            deployment_id in row["deployment_ids"]
            or (bool(row["selector"]) and matches(parse_selector(row["selector"], Scope.DEPLOYMENT), view))
        )
        if wanted == row["covers"] or (wanted and row["covered"] >= COVERED_MAX):
            continue
        ids = {deployment_id}
        joined, left = (ids, set[str]()) if wanted else (set[str](), ids)
        await _write_cover(tx, row["id"], workspace_id=workspace_id, joined=joined, left=left)
        changed += 1
    return changed


async def _ids_of(conn: Conn, workspace_id: str, deployments: Sequence[str]) -> list[str]:
    """The ids of deployments that were given by id or name.

    Fails: `Invalid`, naming the first that is none.
    """
    if not deployments:
        return []
    found: dict[str, str] = {}
    for row in await conn.fetch(Q.list_named, workspace_id, [text.lower() for text in deployments] + [*deployments]):
        found |= {row["id"]: row["id"], row["name"]: row["id"]}
    for number, text in enumerate(deployments):
        if text not in found and text.lower() not in found:
            raise Invalid(f"There is no deployment {text!r}.", field=f"deployments[{number}]")
    return sorted({found.get(text) or found[text.lower()] for text in deployments})


async def _meant(conn: Conn, workspace_id: str, *, deployment_ids: Sequence[str], selector: str | None) -> set[str]:
    """The live deployments that are named or selected; of too many the first that were created."""
    named = {row["id"] for row in await conn.fetch(Q.list_live_ids, workspace_id, list(deployment_ids))}
    if selector is None:
        return named
    picked, _ = await list_deployments(
        conn, workspace_id, selector=parse_selector(selector, Scope.DEPLOYMENT), limit=COVERED_MAX, offset=0
    )
    others = [each.id for each in picked if each.id not in named]
    return named | set(others[: COVERED_MAX - len(named)])


async def _lock(tx: Tx, deployment_ids: set[str]) -> None:
    if deployment_ids:
        await tx.conn.fetch(Q.lock_deployments, sorted(deployment_ids))


async def _write_cover(tx: Tx, slo_id: str, *, workspace_id: str, joined: set[str], left: set[str]) -> None:
    """Write whom an objective covers from now on. Those that changed are locked already."""
    changed = sorted(joined | left)
    if not changed:
        return
    body = {"joined": len(joined), "left": len(left)}
    await tx.record(
        changes=[
            *([Change(Q.add_covered, (slo_id, sorted(joined)))] if joined else []),
            *([Change(Q.remove_covered, (slo_id, sorted(left)))] if left else []),
            Change(Q.touch_deployments, (changed, True)),
        ],
        events=[Event("slo.cover_changed", Ref("slo", slo_id), body, _refs(changed))],
        wakes=[WorkRequest("round", each, workspace_id, None, OWN_FACTS) for each in changed],
    )


def _refs(deployment_ids: Sequence[str] | set[str]) -> tuple[Ref, ...]:
    return tuple(Ref("deployment", each) for each in sorted(deployment_ids)[:REFS_MAX])


# --- readings --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Read:
    """What a look gave: the judge's reading, and what the next look may keep of it."""

    reading: Reading
    asked: Mapping[timedelta, tuple[Events, datetime]]


def known_before(due: DueSlo) -> dict[timedelta, tuple[Events, datetime]]:
    """What the last look asked for: window -> (events, when)."""
    return {
        timedelta(seconds=int(seconds)): (Events(one["bad"], one["total"]), datetime.fromisoformat(one["at"]))
        for seconds, one in due.asked.items()
    }


def _held(due: DueSlo, now: datetime) -> Budget | None:
    """The last known class, for the hysteresis."""
    held = due.held
    if held is None or now - datetime.fromisoformat(held["at"]) > HELD_FOR:
        return None
    clear = held.get("clearSince")
    return Budget(
        BudgetClass(held["budget"]),
        held.get("remaining"),
        {},
        None,
        tuple(held.get("firing", ())),
        "",
        datetime.fromisoformat(clear) if clear else None,
    )


async def record_reading(tx: Tx, due: DueSlo, *, spec: SloSpec, read: Read, now: datetime) -> datetime | None:
    """Write a reading, and what follows from it: where its class changed, an own fact of each deployment covered.

    Gives: when the objective is read again; None where it is gone or changed meanwhile, which asked for a look itself.
    """
    covered = [row["id"] for row in await tx.conn.fetch(Q.list_covered_ids, due.id)]
    objective = spec.objective
    found = read_budget(objective, read.reading, now=now, before=_held(due, now))
    aged = due.fresh_until is not None and await _now(tx.conn) >= due.fresh_until - AGED_MARGIN
    changed = aged or str(found.kind) != due.budget
    if changed:
        await _lock(tx, set(covered))
    if not await tx.conn.fetchval(Q.lock_slo, due.id, due.revision):
        return None
    if changed:
        covered = [row["id"] for row in await tx.conn.fetch(Q.list_covered_ids, due.id)]
    unknown = found.kind is BudgetClass.UNKNOWN
    newest_at = read.reading.newest_at
    fresh_until = None if unknown or newest_at is None else newest_at + objective.stale_after
    errors = due.errors + 1 if read.reading.error is not None else 0
    next_at = _next_at(due, now=now, errors=errors)
    burn = {window_word(window): rate for window, rate in sorted(found.burn.items())}
    row = (
        due.id,
        str(found.kind),
        found.reason,
        None if unknown else newest_at,
        fresh_until,
        found.remaining,
        burn,
        list(found.firing),
        found.empty_at,
        _remembered(found, due, now),
        {
            str(int(window.total_seconds())): {"bad": events.bad, "total": events.total, "at": at.isoformat()}
            for window, (events, at) in read.asked.items()
        },
        newest_at,
        errors,
        now,
        next_at,
    )
    why = found.reason if unknown else None
    reading = (due.id, now, str(found.kind), found.remaining, burn, why)
    await tx.record(changes=[Change(Q.note_reading, row), Change(Q.insert_reading, reading)])
    if changed:
        await _tell(tx, due, found, covered=covered, aged=aged)
    return next_at


async def _now(conn: Conn) -> datetime:
    now: datetime = await conn.fetchval(Q.now)
    return now


async def _tell(tx: Tx, due: DueSlo, found: Budget, *, covered: Sequence[str], aged: bool) -> None:
    """Another class: the ledger hears of it, and every deployment covered.

    Takes: `aged`: what was read before got too old meanwhile, so it was unknown whatever its row says. Whoever waits
           for that has no other cause to look again.
    """
    before = str(BudgetClass.UNKNOWN) if aged else due.budget
    body: dict[str, object] = {"name": due.name, "from": before, "to": str(found.kind), "why": found.reason}
    if found.remaining is not None:
        body["remainingPercent"] = round(found.remaining * 100, 1)
    if found.firing:
        body["firing"] = list(found.firing)
    takes_away = worsens(due.budget, str(found.kind))
    another = before != str(found.kind)
    await tx.record(
        changes=[Change(Q.touch_deployments, (list(covered), takes_away))] if covered else [],
        events=[Event("slo.class_changed", Ref("slo", due.id), body, _refs(covered))] if another else [],
        wakes=[WorkRequest("round", each, due.workspace_id, None, OWN_FACTS) for each in covered],
    )


def _remembered(found: Budget, due: DueSlo, now: datetime) -> dict[str, Any] | None:
    """The last known class. A gap in which nothing is known proves nothing clear, so its clearing begins anew."""
    if found.kind is BudgetClass.UNKNOWN:
        return {**due.held, "clearSince": None} if due.held is not None else None
    return {
        "budget": str(found.kind),
        "remaining": found.remaining,
        "firing": list(found.firing),
        "clearSince": found.clear_since.isoformat() if found.clear_since else None,
        "at": now.isoformat(),
    }


def _next_at(due: DueSlo, *, now: datetime, errors: int) -> datetime:
    """The next place on the objective's grid; after errors later and later, up to ten minutes."""
    every = timedelta(seconds=due.interval_s)
    wait = every if not errors else max(every, min(every * 2 ** min(errors - 1, 10), BACKOFF_MAX))
    late = max(now - due.next_at, timedelta())
    return due.next_at + wait + (late // every) * every


def spec_of(stored: Mapping[str, Any]) -> SloSpec:
    """What is stored of an objective, read again. Its secrets are marks."""
    return parse_slo(masked(dict(stored)))


async def thin_readings(conn: Conn) -> int:
    """Delete readings that a chart would not miss. Gives how many."""
    status = await conn.execute(Q.thin_readings)
    return int(status.rpartition(" ")[2])

"""Which rollouts and quarantines are there, and how does a person steer them? Pause, resume, speed up, promote, abort.

After a halt the way forward is a person's: resuming forgives the failures that were seen, also of what was measured of
the rollout as a whole; promoting too, and lets all that is left start at once; aborting ends the rollout for good. What
a person said about the pace is kept word by word; rounds read the latest of each.

A cleared quarantine lets a target take again what failed on it, and everything newer than what it runs.

Each is a fact of the deployment and asks for its round. All of them bump the fence: a round that decided over the
state before may not commit over it. What a person wrote stands in the row, never in the ledger.

Source: core.md section 4, "A rollout opens", "Rollback"; DESIGN.md section 1, step 6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

import asyncpg

from interlock.model.errors import Conflict, NotFound
from interlock.model.event import Event, Ref
from interlock.store.deployments import lock_deployment, touch
from interlock.store.queries import Conn, queries
from interlock.store.tx import Change, Tx
from interlock.store.verifications import end_proofs
from interlock.store.work import WorkRequest

Q = queries("rollout")

PEOPLE = 10

Steering = Literal["pause", "resume", "abort", "speed_up", "promote"]
LIVE = frozenset({"open", "paused", "halted"})

_STEPS: Mapping[Steering, tuple[str | None, frozenset[str], str]] = {
    "pause": ("paused", frozenset({"open"}), "rollout.paused"),
    "resume": ("open", frozenset({"paused", "halted"}), "rollout.resumed"),
    "abort": ("aborted", LIVE, "rollout.aborted"),
    "speed_up": (None, LIVE, "rollout.sped_up"),
    "promote": ("open", LIVE, "rollout.promoted"),
}
"""word -> the state it leads to (None: as it was), those it starts from, and its event. A halted rollout is not paused:
the halt also holds the environments after it, and must not be forgotten."""


@dataclass(frozen=True, slots=True)
class StoredRollout:
    """One change in one environment, with the names that people know it by. `failures`: targets that failed in it."""

    id: str
    deployment_id: str
    deployment: str
    environment_id: str
    environment: str
    change_id: str
    kind: str
    version_id: str | None
    tag: str | None
    state: str
    reason: str | None
    opened_at: datetime
    state_at: datetime
    targets_at_open: int
    failures_forgiven: int
    paused_until: datetime | None
    interval_s: int | None
    max_in_flight: int | None
    bake_s: int | None
    promoted_at: datetime | None
    failures: int


@dataclass(frozen=True, slots=True)
class Faster:
    """How a rollout is sped up; None leaves a part as it was."""

    interval_s: int | None = None
    max_in_flight: int | None = None
    bake_s: int | None = None


@dataclass(frozen=True, slots=True)
class StoredSteering:
    """A person's word on a rollout. `step` is pause, resume, abort, speed_up or promote."""

    step: str
    interval_s: int | None
    max_in_flight: int | None
    bake_s: int | None
    reason: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class StoredPlace:
    """Where a target stands in a rollout: its newest move there, whether it has arrived, and what its row says."""

    target_id: str
    resource_id: str
    resource: str
    move_state: str | None
    closed_at: datetime | None
    there: bool
    outcome: str | None
    about_version_id: str | None
    verdicts: list[dict[str, Any]] | None
    wake_at: datetime | None


@dataclass(frozen=True, slots=True)
class StoredQuarantine:
    """A version, or else a config digest, that one target does not take again by itself."""

    id: str
    deployment_id: str
    deployment: str
    target_id: str
    environment_id: str
    environment: str
    resource_id: str
    resource: str
    version_id: str | None
    tag: str | None
    config_digest: str | None
    move_id: str
    set_at: datetime
    cleared_at: datetime | None


async def list_rollouts(
    conn: Conn,
    workspace_id: str,
    *,
    deployment_id: str | None = None,
    states: tuple[str, ...] | None = None,
    limit: int = 50,
    offset: int = 0,
) -> tuple[tuple[StoredRollout, ...], int]:
    """A page of rollouts, newest first, and how many there are (0 past the last page)."""
    wanted = list(states) if states else None
    rows = await conn.fetch(Q.list_rollouts, workspace_id, None, deployment_id, wanted, limit, offset)
    return tuple(StoredRollout(**_less_total(row)) for row in rows), rows[0]["total"] if rows else 0


async def find_rollout(conn: Conn, workspace_id: str, *, rollout_id: str) -> StoredRollout | None:
    """A rollout by id."""
    row = await conn.fetchrow(Q.list_rollouts, workspace_id, rollout_id, None, None, 1, 0)
    return None if row is None else StoredRollout(**_less_total(row))


async def list_steering(conn: Conn, *, rollout_id: str) -> tuple[StoredSteering, ...]:
    """What people said about a rollout, newest first."""
    return tuple(StoredSteering(**row) for row in await conn.fetch(Q.list_steering, rollout_id))


async def list_places(conn: Conn, rollout: StoredRollout) -> tuple[StoredPlace, ...]:
    """Where each target of a rollout stands."""
    asked = (rollout.id, rollout.deployment_id, rollout.environment_id, rollout.version_id)
    return tuple(StoredPlace(**row) for row in await conn.fetch(Q.list_places, *asked))


async def steer_rollout(
    tx: Tx,
    workspace_id: str,
    *,
    rollout_id: str,
    step: Steering,
    reason: str,
    principal_id: str,
    faster: Faster | None = None,
    until: datetime | None = None,
) -> StoredRollout:
    """Pause, resume, speed up, promote or abort a rollout.

    Takes: `faster` with `speed_up`; `until` with `pause`: when it ends by itself.
    Fails: `NotFound`; `Conflict` when it is in no state that this can start from.
    """
    before = await _locked(tx, workspace_id, rollout_id)
    state, starts_from, kind = _STEPS[step]
    if before.state not in starts_from:
        word = step.replace("_", " ")
        raise Conflict(f"The rollout is {before.state}: there is nothing to {word}.", code="ROLLOUT_STATE")
    said = faster or Faster()
    forgiven = before.failures if step in {"resume", "promote"} else before.failures_forgiven
    words = (said.interval_s, said.max_in_flight, said.bake_s)
    changes = [
        touch(before.deployment_id, takes_away=True),
        Change(Q.insert_steering, (workspace_id, rollout_id, step, *words, reason, principal_id), rows=1),
    ]
    if state is not None:
        changes.append(Change(Q.set_state, (rollout_id, state, reason, forgiven, before.state, until), rows=1))
    if step in {"resume", "promote"}:
        changes.append(Change(Q.forgive_proofs, (rollout_id,)))
    if state is not None and state not in LIVE:
        await end_proofs(tx, [rollout_id])
    await tx.record(
        changes=changes,
        events=[_told(before, kind, said, until)],
        wakes=[WorkRequest("round", before.deployment_id, workspace_id=workspace_id, priority=PEOPLE)],
    )
    after = await find_rollout(tx.conn, workspace_id, rollout_id=rollout_id)
    assert after is not None, "just written in this transaction"
    return after


def _told(rollout: StoredRollout, kind: str, said: Faster, until: datetime | None) -> Event:
    """What the ledger says of it."""
    body: dict[str, object] = {"deployment": rollout.deployment, "environment": rollout.environment}
    if rollout.tag:
        body["version"] = rollout.tag
    body["from"] = rollout.state
    if until is not None:
        body["until"] = until.isoformat()
    body |= {name: value for name, value in asdict(said).items() if value is not None}
    refs = [Ref("deployment", rollout.deployment_id), Ref("environment", rollout.environment_id)]
    if rollout.version_id is not None:
        refs.append(Ref("version", rollout.version_id))
    return Event(kind, Ref("rollout", rollout.id), body, refs=tuple(refs), chain=rollout.change_id)


async def list_quarantines(
    conn: Conn,
    workspace_id: str,
    *,
    deployment_id: str | None = None,
    cleared_too: bool = False,
    limit: int = 50,
    offset: int = 0,
) -> tuple[tuple[StoredQuarantine, ...], int]:
    """A page of the quarantines in force, newest first, and how many there are (0 past the last page)."""
    rows = await conn.fetch(Q.list_quarantines, workspace_id, None, deployment_id, cleared_too, limit, offset)
    return tuple(StoredQuarantine(**_less_total(row)) for row in rows), rows[0]["total"] if rows else 0


async def find_quarantine(conn: Conn, workspace_id: str, *, quarantine_id: str) -> StoredQuarantine | None:
    """A quarantine by id, in force or cleared."""
    row = await conn.fetchrow(Q.list_quarantines, workspace_id, quarantine_id, None, True, 1, 0)
    return None if row is None else StoredQuarantine(**_less_total(row))


async def clear_quarantine(
    tx: Tx, workspace_id: str, *, quarantine_id: str, principal_id: str, reason: str
) -> StoredQuarantine:
    """Let a target take again what failed on it.

    Fails: `NotFound`; `Conflict` when it is cleared already.
    """
    known = await find_quarantine(tx.conn, workspace_id, quarantine_id=quarantine_id)
    if known is None:
        raise NotFound("There is no such quarantine.")
    await lock_deployment(tx, known.deployment_id)
    before = await find_quarantine(tx.conn, workspace_id, quarantine_id=quarantine_id)
    if before is None or before.cleared_at is not None:
        raise Conflict("This quarantine is cleared already.", code="QUARANTINE_CLEARED")
    body: dict[str, object] = {
        "target": before.resource,
        "environment": before.environment,
        "deployment": before.deployment,
        **({"version": before.tag} if before.tag else {"config": before.config_digest}),
    }
    refs = [
        Ref("target", before.target_id),
        Ref("environment", before.environment_id),
        Ref("deployment", before.deployment_id),
        Ref("move", before.move_id),
    ]
    if before.version_id is not None:
        refs.append(Ref("version", before.version_id))
    await tx.record(
        changes=[
            touch(before.deployment_id, takes_away=True),
            Change(Q.clear_quarantine, (quarantine_id, principal_id, reason), rows=1),
            Change(Q.forget_mark, (before.target_id,), rows=1),
        ],
        events=[Event("quarantine.cleared", Ref("quarantine", quarantine_id), body, refs=tuple(refs))],
        wakes=[WorkRequest("round", before.deployment_id, workspace_id=workspace_id, priority=PEOPLE)],
    )
    after = await find_quarantine(tx.conn, workspace_id, quarantine_id=quarantine_id)
    assert after is not None, "just written in this transaction"
    return after


async def _locked(tx: Tx, workspace_id: str, rollout_id: str) -> StoredRollout:
    """A rollout as it is while its deployment is held."""
    known = await find_rollout(tx.conn, workspace_id, rollout_id=rollout_id)
    if known is not None:
        await lock_deployment(tx, known.deployment_id)
        known = await find_rollout(tx.conn, workspace_id, rollout_id=rollout_id)
    if known is None:
        raise NotFound("There is no such rollout.")
    return known


def _less_total(row: asyncpg.Record) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "total"}

"""What ends when a deployment, an environment or a resource is deleted?

A thing with history is a tombstone afterwards: its rows stay for the ledger, its name is free again, and nothing shows
it. In the transaction that deletes it

- every job that somebody has is asked to stop, with the reason; of a workflow's runs, those that wait too;
- its live rollouts are aborted, its open orders, pins, skips, quarantines and the freezes of its scope end;
- its targets are taken down, which asks for a round: that withdraws what nobody has yet, and ends the moves as their
  jobs end. Rounds of a deleted deployment go on until nothing of it is open.

What else runs goes on: other targets of the same rollout, other deployments on the same resource.

Each ending is told in the ledger with `because`, for the thing itself and for what was deleted.

Source: core.md sections 2 and 4; DESIGN.md section 6 ("a cancel is asked for, not assumed").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from interlock.inventory.selector import Scope, Selector, parse_selector
from interlock.inventory.to_python import matches
from interlock.model.errors import Invalid
from interlock.model.event import Event, Ref
from interlock.store.jobs import find_flow_job
from interlock.store.queries import Conn, queries
from interlock.store.tx import Tx
from interlock.store.work import OWN_FACTS, WorkRequest

Q = queries("ending")

NAMED_KINDS = frozenset({"deployment", "environment", "resource", "system", "agent", "policy", "provider"})
"""What the ledger is asked about by name."""


@dataclass(frozen=True, slots=True)
class Endings:
    """How much of each kind a deletion ends."""

    targets: int
    jobs_waiting: int
    jobs_running: int
    rollouts: int
    orders: int
    pins: int
    skips: int
    freezes: int
    quarantines: int
    variables: int
    links: int


@dataclass(frozen=True, slots=True)
class Pointing:
    """A rule, or a version of another deployment, that points at what would be deleted."""

    kind: str
    policy: str | None = None
    rule_id: str | None = None
    deployment: str | None = None
    version: str | None = None


async def end_what_concerns(
    tx: Tx, workspace_id: str, *, kind: str, ids: Sequence[str], name: str | None = None
) -> Mapping[str, int]:
    """End everything that concerns some deployments, environments or resources that the transaction deletes.

    Takes: `name` is said in the reason of a cancelled job, where there is one thing. The caller deletes the things and
           has their targets matched afterwards.
    Gives: how much of each kind ended, without what was nothing; for the event of the deletion.
    """
    if not ids:
        return {}
    scope = (workspace_id, kind, list(ids))
    await tx.conn.fetch(Q.lock_concerned, *scope)
    because = f"{kind}_deleted"
    reason = f"The {kind}{f' {name}' if name else ''} was deleted."
    cancelled = await _ask_cancels(tx, scope, reason)
    ended = {"jobsCancelled": cancelled}
    for word, query, make in _ENDS:
        rows = await tx.conn.fetch(query, *scope, reason)
        ended[word] = len(rows)
        await tx.record(events=[make(row, because) for row in rows])
    return {word: number for word, number in ended.items() if number}


async def _ask_cancels(tx: Tx, scope: tuple[str, str, list[str]], reason: str) -> int:
    """Ask the outside to stop every job that somebody has. The observer follows each until it ends."""
    asked = [
        row["id"] for query in (Q.ask_cancels, Q.ask_run_cancels) for row in await tx.conn.fetch(query, *scope, reason)
    ]
    for job_id in asked:
        job = await find_flow_job(tx.conn, job_id)
        assert job is not None, "just updated in this transaction"
        wakes = [WorkRequest("observe", job_id, job.workspace_id, None, OWN_FACTS)]
        await tx.record(events=[job.event("job.cancel_asked", because=f"{scope[1]}_deleted")], wakes=wakes)
    return len(asked)


def _event(kind: str, subject: str, row: asyncpg.Record, because: str, *also: str) -> Event:
    """The end of one thing, with what it concerned."""
    known = dict(row)
    words = ("deployment", "environment", "target", "resource", "version")
    refs = tuple(Ref(word, known[f"{word}_id"]) for word in words if known.get(f"{word}_id"))
    body = {word: known[word] for word in also if known.get(word)}
    return Event(kind, Ref(subject, known["id"]), {**body, "because": because}, refs, chain=known.get("change_id"))


def _rollout(row: asyncpg.Record, because: str) -> Event:
    told = _event("rollout.aborted", "rollout", row, because, "deployment", "environment", "version")
    return Event(told.kind, told.subject, {**told.body, "from": row["was"]}, told.refs, chain=told.chain)


def _order(row: asyncpg.Record, because: str) -> Event:
    told = _event("order.ended", "order", row, because, "kind")
    return Event(told.kind, told.subject, {**told.body, "state": "withdrawn"}, told.refs, chain=told.chain)


_ENDS = (
    ("rollouts", Q.abort_rollouts, _rollout),
    ("orders", Q.end_orders, _order),
    ("pins", Q.end_pins, lambda row, because: _event("pin.removed", "pin", row, because)),
    ("skips", Q.end_skips, lambda row, because: _event("skip.removed", "skip", row, because)),
    ("freezes", Q.end_freezes, lambda row, because: _event("freeze.thawed", "freeze", row, because)),
    ("quarantines", Q.end_quarantines, lambda row, because: _event("quarantine.cleared", "quarantine", row, because)),
)
"""What ends beside jobs: the word in the event of the deletion, the statement, and the event of each."""


async def count_endings(conn: Conn, workspace_id: str, *, kind: str, object_id: str) -> Endings:
    """What deleting a thing would end now."""
    row = await conn.fetchrow(Q.count_endings, workspace_id, kind, [object_id])
    assert row is not None, "one row of counts"
    return Endings(**dict(row))


async def list_pointing(
    conn: Conn, workspace_id: str, *, kind: str, object_id: str, view: Mapping[str, object]
) -> tuple[Pointing, ...]:
    """The rules whose selector matches a deployment or an environment, and the versions that need a deployment.

    Takes: `view` is the thing as selectors see it.
    """
    rules = await conn.fetch(Q.list_pointing, workspace_id) if kind in _POINTED_AT else ()
    found = [
        Pointing(row["kind"], policy=row["policy"], rule_id=row["rule_id"])
        for row in rules
        if row["kind"] == _POINTED_AT[kind] and _selects(row["selector"], kind, view)
    ]
    if kind == "deployment":
        rows = await conn.fetch(Q.list_needing, workspace_id, object_id)
        found.extend(Pointing("versionDependency", deployment=row["deployment"], version=row["tag"]) for row in rows)
    return tuple(found)


_POINTED_AT = {"environment": "environmentProgression", "deployment": "deploymentDependency"}
_SCOPES = {"environment": Scope.ENVIRONMENT, "deployment": Scope.DEPLOYMENT}


def _selects(text: str | None, kind: str, view: Mapping[str, object]) -> bool:
    try:
        selector: Selector = parse_selector(text or "", _SCOPES[kind])
    except Invalid:
        return False
    return matches(selector, {kind: view})


async def find_named(conn: Conn, workspace_id: str, *, kind: str, name: str) -> Ref | None:
    """What has a name or identifier, else what had it last and is gone. `kind` "" looks at every kind."""
    row = await conn.fetchrow(Q.list_named, workspace_id, kind, name)
    return None if row is None else Ref(row["kind"], row["id"])

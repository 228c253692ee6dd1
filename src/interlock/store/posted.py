"""What becomes of a result that an outside system posts? It is kept, and each metric that waits for it takes it once.

A result belongs to what is verified (a job, mostly) and to a metric's name, so it may come before the verification
begins: nothing is lost that is early, and what is late stays to be read, and to be taken when the metric is measured
again. Its own name makes it one, however often it is posted. Taking it and writing the measurement is one transaction.

Source: `metrics/webhook.py`; core.md section 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from interlock.model.errors import Conflict, NotFound, TooMany
from interlock.model.event import Event, Ref
from interlock.model.ids import new_id
from interlock.model.verification import POSTED
from interlock.store.queries import Conn, queries
from interlock.store.tx import Change, Tx
from interlock.store.work import OWN_FACTS, WorkRequest

Q = queries("posted")

RESULTS_MAX = 1_000
"""Results of one metric of one subject."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is verified. `kind` is that of a verification's subject; `deployment_id` is "" for what belongs to none."""

    id: str
    kind: str
    deployment_id: str


@dataclass(frozen=True, slots=True)
class Posted:
    """One result, waiting for a metric."""

    id: str
    name: str
    result: Any
    posted_at: datetime
    by: str | None

    def context(self) -> Mapping[str, object]:
        """As the provider sees it."""
        return {"id": self.name, "result": self.result, "postedAt": self.posted_at, "by": self.by or ""}


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a post: whether it was new, how many metrics wait for it, and how many there are."""

    id: str
    is_new: bool
    waiting: int
    metrics: int


async def find_subject(conn: Conn, workspace_id: str, *, verification_id: str) -> Subject | None:
    """What a verification is about."""
    row = await conn.fetchrow(Q.find_subject, workspace_id, verification_id)
    return None if row is None else Subject(row["subject_id"], row["subject_kind"], row["deployment_id"] or "")


async def post_result(
    tx: Tx, workspace_id: str, subject: Subject, *, metric: str, name: str, result: Any, principal_id: str
) -> Kept:
    """Keep a result, and wake the metrics that wait for one.

    Fails: `NotFound` where the subject is verified, and not by a metric of that name; `Conflict` where that metric asks
           by itself; `TooMany`.
    """
    rows = await tx.conn.fetch(Q.list_metrics_of_subject, workspace_id, subject.id, metric)
    waits = [row for row in rows if row["provider"] == POSTED]
    if rows and not waits:
        raise Conflict(f"The metric {metric} asks its provider by itself ({rows[0]['provider']}).", code="NOT_POSTED")
    if not rows and await tx.conn.fetchval(Q.is_verified, workspace_id, subject.id):
        raise NotFound(f"Nothing that is measured there is named {metric}.")
    if await tx.conn.fetchval(Q.count_posted, subject.id, metric) >= RESULTS_MAX:
        raise TooMany(f"There are {RESULTS_MAX} results of {metric} already.", retry_after_s=3600)
    new, running = new_id(), [row["id"] for row in waits if row["runs"]]
    args = (new, workspace_id, subject.id, metric, name, result, principal_id)
    if await tx.conn.fetchval(Q.insert_posted, *args) is None:
        return Kept("", is_new=False, waiting=len(running), metrics=len(waits))
    refs = (Ref("deployment", subject.deployment_id),) if subject.deployment_id else ()
    event = Event("verification.posted", Ref(subject.kind, subject.id), {"metric": metric, "result": name}, refs)
    wakes = [WorkRequest("measure", each, workspace_id, None, OWN_FACTS) for each in running]
    await tx.record(events=[event], wakes=wakes)
    return Kept(new, is_new=True, waiting=len(running), metrics=len(waits))


@dataclass(frozen=True, slots=True)
class PostedRow:
    """One result as people read it. `taken` says of how many metrics it is a measurement."""

    id: str
    metric: str
    name: str
    result: Any
    posted_at: datetime
    by: str | None
    taken: int


async def list_posted(
    conn: Conn, workspace_id: str, subject_id: str, *, limit: int, offset: int
) -> tuple[tuple[PostedRow, ...], int]:
    """What was posted of a subject, oldest first, and how many there are."""
    rows = await conn.fetch(Q.list_posted, workspace_id, subject_id, limit, offset)
    found = tuple(PostedRow(**{name: row[name] for name in PostedRow.__slots__}) for row in rows)
    return found, rows[0]["total"] if rows else 0


async def find_posted(conn: Conn, metric_id: str) -> Posted | None:
    """The oldest result that a metric has not taken; None where there is none."""
    row = await conn.fetchrow(Q.find_posted, metric_id)
    return None if row is None else Posted(**dict(row))


async def take_posted(tx: Tx, posted: Posted, *, metric_id: str, measured_at: datetime) -> None:
    """A result became a metric's measurement of that instant, if one was written."""
    await tx.record([Change(Q.take_posted, (posted.id, metric_id, measured_at))])

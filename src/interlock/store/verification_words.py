"""What do people say of a verification? They read it, accept or fail what could not tell, or have it measured again.

Each word is a row of its own, with its reason; the ledger keeps that it was said. Saying the same twice is saying it
once.

    held       nothing could tell        accept, fail, again
    passed     and the target runs it,   again: the pass stands until a failure takes it back, where the rules say so
               or the wave's rollout is
               not over
    running                              again says nothing new
    failed     its move is over          nothing: redeploy it

Source: core.md section 7 (free text is a row); issue 6, "One state machine".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from shlex import quote
from typing import Any, Literal

import asyncpg

from interlock.decide.facts import LIVE
from interlock.model.errors import Conflict, NotFound
from interlock.model.ids import new_id
from interlock.model.verification import POSTED, VerificationState
from interlock.store.deployments import lock_deployment
from interlock.store.queries import Conn, queries
from interlock.store.rows import many
from interlock.store.tx import Change, Tx
from interlock.store.verifications import DueMetric, Head, end, find_due_metric, lock_verification, measure_again

Q = queries("verification")

Word = Literal["accepted", "failed", "again"]


@dataclass(frozen=True, slots=True)
class VerificationPlace:
    """A verification with its place in names. One that is about no job's move has no target.

    Takes: `held_until`, `again_at`: when a hold because nothing could tell goes on by itself. `passed_at`: that it
           passed then stands, while it is measured again.
    """

    id: str
    subject_kind: str
    subject_id: str
    state: str
    message: str | None
    started_at: datetime
    ended_at: datetime | None
    run: int
    held_since: datetime | None
    held_until: datetime | None
    again_at: datetime | None
    passed_at: datetime | None
    comes_to: str
    gates: bool
    revokes: bool
    deployment_id: str
    deployment: str
    environment_id: str | None
    environment: str | None
    target_id: str | None
    resource_id: str | None
    resource: str | None
    version_id: str | None
    tag: str | None
    rollout_id: str | None
    wave: int | None
    change_id: str | None
    decision_id: str | None
    move_id: str | None

    @property
    def held(self) -> bool:
        """Whether it waits because nothing could tell."""
        return self.state == "inconclusive" and self.ended_at is None

    @property
    def can(self) -> tuple[str, ...]:
        """What there is to say of it, if its target allows."""
        if self.held:
            return ("accept", "fail", "again")
        return ("again",) if self.state == "passed" and self.subject_kind in {"job", "wave"} else ()

    def waits_for(self, metric: str, *, provider_kind: str, metric_state: str) -> str | None:
        """What has to come from outside before a metric goes on, and how to send it; None where it asks by itself."""
        if provider_kind != POSTED or metric_state != "running" or self.state != "running":
            return None
        return awaited_post(self.subject_id if self.subject_kind == "job" else f"verification/{self.id}", metric)

    @property
    def about(self) -> str:
        """As in "shop-api 1.4.0 on edge-1 in production", or "wave 2 of shop-api 1.4.0 in production"."""
        parts = [f"{self.deployment} {self.tag}" if self.tag else self.deployment]
        parts += [f"on {self.resource}"] if self.resource else []
        parts += [f"in {self.environment}"] if self.environment else []
        if self.subject_kind == "wave" and self.wave is not None:
            return f"wave {self.wave + 1} of {' '.join(parts)}"
        return f"the rollout of {' '.join(parts)}" if self.subject_kind == "rollout" else " ".join(parts)


def awaited_post(subject: str, metric: str) -> str:
    """What a metric waits for that an outside system measures, with the command that sends it.

    Takes: `subject` is a job's id, or `verification/ID`.
    """
    return f"a result: interlock post {subject} {quote(metric)} --id YOUR_ID --result-file FILE"


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody said of a verification."""

    verification_id: str
    word: str
    reason: str | None
    at: datetime
    principal_id: str
    by: str


@dataclass(frozen=True, slots=True)
class MetricCounts:
    """A metric with how often it said what, in this run of its verification. `spec` is the wire's metric object."""

    name: str
    spec: Mapping[str, Any]
    state: str
    message: str | None
    next_at: datetime | None
    passed: int
    failed: int
    inconclusive: int
    errored: int


async def list_verifications(
    conn: Conn,
    workspace_id: str,
    *,
    deployment_id: str | None = None,
    subject_id: str | None = None,
    state: str | None = None,
    limit: int = 50,
    offset: int = 0,
) -> tuple[tuple[VerificationPlace, ...], int]:
    """A page of verifications, newest first, and how many there are (0 past the last page).

    Takes: `subject_id` is the job, or what else it is about; `state` is a state, or `held`.
    """
    rows = await conn.fetch(Q.list_verifications, workspace_id, None, deployment_id, subject_id, state, limit, offset)
    return tuple(VerificationPlace(**_less_total(row)) for row in rows), rows[0]["total"] if rows else 0


async def find_verification(conn: Conn, workspace_id: str, *, verification_id: str) -> VerificationPlace | None:
    """A verification by id."""
    return next(iter(await load_places(conn, workspace_id, [verification_id])), None)


async def load_places(conn: Conn, workspace_id: str, verification_ids: Sequence[str]) -> tuple[VerificationPlace, ...]:
    """Some verifications of this workspace, newest first."""
    rows = await conn.fetch(
        Q.list_verifications, workspace_id, list(verification_ids), None, None, None, len(verification_ids), 0
    )
    return tuple(VerificationPlace(**_less_total(row)) for row in rows)


async def list_metric_counts(conn: Conn, verification_id: str) -> tuple[MetricCounts, ...]:
    """The metrics of a verification, in their order."""
    return many(MetricCounts, await conn.fetch(Q.list_metric_counts, verification_id))


async def list_said(conn: Conn, verification_ids: Sequence[str]) -> tuple[Said, ...]:
    """What people said of some verifications, oldest first."""
    return many(Said, await conn.fetch(Q.list_words, list(verification_ids)))


async def say(
    tx: Tx, workspace_id: str, *, verification_id: str, word: Word, reason: str | None, principal_id: str
) -> None:
    """Accept or fail a verification that could not tell, or have one measured again.

    Fails: `NotFound`; `Conflict` where there is nothing to say any more, or not yet.
    """
    place = await find_verification(tx.conn, workspace_id, verification_id=verification_id)
    if place is None:
        raise NotFound(UNKNOWN)
    await lock_deployment(tx, place.deployment_id)
    head = await lock_verification(tx.conn, verification_id)
    metric_id = await tx.conn.fetchval(Q.find_first_metric, verification_id)
    metric = await find_due_metric(tx.conn, metric_id) if metric_id is not None else None
    if head is None or metric is None:
        raise NotFound(UNKNOWN)
    if await _is_said(tx.conn, verification_id, head, word):
        return
    now: datetime = await tx.conn.fetchval(Q.now)
    if word == "again":
        await _check_again(tx.conn, metric, head)
    elif not head.held:
        raise Conflict(NOT_HELD[head.state], code="VERIFICATION_NOT_HELD")
    await tx.record([Change(Q.insert_word, (new_id(), workspace_id, verification_id, word, reason, principal_id))])
    if word == "again":
        await measure_again(tx, metric, head, at=now, by="person")
        return
    await _end_by_person(tx, metric, head, accepted=word == "accepted", at=now)


UNKNOWN = "There is no such verification."

NOT_HELD: Mapping[str, str] = {
    "running": "It is being measured: there is nothing to accept or fail before nothing could tell.",
    "passed": "It passed; to undo what it verified, roll the target back.",
    "failed": "It failed already, and its move with it; redeploy what it verified to try again.",
    "inconclusive": "It is over: nothing waits for it any more.",
}
"""State -> why there is nothing to accept or fail."""


async def _end_by_person(tx: Tx, metric: DueMetric, head: Head, *, accepted: bool, at: datetime) -> None:
    state = VerificationState.PASSED if accepted else VerificationState.FAILED
    said = f"a person {'accepted' if accepted else 'failed'} what could not be told: {head.message}"
    kind = "verification.accepted" if accepted else "verification.failed"
    await end(tx, metric, state, reason=said, at=at, kind=kind, told={"by": "person"})


async def _is_said(conn: Conn, verification_id: str, head: Head, word: Word) -> bool:
    """Whether the word was said already, and it is so."""
    if word == "again":
        return head.state == "running"
    last = [one for one in await list_said(conn, [verification_id]) if one.word != "again"][-1:]
    state = "passed" if word == "accepted" else "failed"
    return head.state == state and bool(last) and last[0].word == word


async def _check_again(conn: Conn, metric: DueMetric, head: Head) -> None:
    """Whether there is something to measure again.

    Fails: `Conflict`: its move is over and did not go well, its target runs something else by now, or its rollout is
           over.
    """
    if head.held:
        return
    if head.state != "passed":
        raise Conflict(NOT_HELD[head.state], code="VERIFICATION_OVER")
    move = await conn.fetchrow(Q.find_measured_move, metric.verification_id)
    if metric.rollout_id is not None:
        if move is None or move["rollout_state"] not in LIVE:
            raise Conflict("It passed, and its rollout is over: there is nothing to measure.", code="VERIFICATION_OVER")
        return
    if move is not None and move["closed_at"] is None:
        return
    if move is None or move["target_state"] != "attached" or move["current_release_id"] != move["to_release_id"]:
        raise Conflict("Its target runs something else by now: there is nothing to measure.", code="VERIFICATION_OVER")
    if move["open_move_id"] is not None:
        raise Conflict("Its target is moving: there is nothing to measure before that ends.", code="TARGET_MOVES")


def _less_total(row: asyncpg.Record) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "total"}

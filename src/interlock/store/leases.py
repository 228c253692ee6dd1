"""Who has a claimed job, and until when? Heartbeats, fences, and what becomes of a job whose lease ends.

A lease is columns of the job. A heartbeat writes the job's row alone: no ledger row, because nothing changed hands, and
no work row either. The look at the lease's end stands in the work table since the claim; one that comes too early asks
for the next at the new end. So 500 agents that say "I live" cost 500 small updates and nothing else.

An attempt is over when its lease ended. What it says then is refused (`News.refused`), noted in the ledger, and changes
nothing: the fence. A program that sends no attempt, as the contract's clients do, is believed as long as no lease of
the job has ended; after that nobody could tell whose word it is.

Source: core.md section 5; decision record 0031. Fencing: M. Kleppmann, "How to do distributed locking" (2016).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from interlock.model.errors import NotFound
from interlock.model.job import Handover, JobStatus, Observation
from interlock.model.lease import lease_terms
from interlock.store.deployments import lock_deployment, touch
from interlock.store.jobs import FlowJob, apply_observation, find_flow_job, hear
from interlock.store.queries import Conn, queries
from interlock.store.rows import one
from interlock.store.tx import Change, Tx
from interlock.store.work import OWN_FACTS, WorkRequest

Q = queries("lease")


@dataclass(frozen=True, slots=True)
class HeldJob:
    """A job as who reports of it needs it: where it is, and whose."""

    id: str
    agent_id: str
    status: str
    attempt: int
    deployment_id: str
    environment_id: str
    run_id: str | None
    is_task: bool


@dataclass(frozen=True, slots=True)
class News:
    """What became of a report or a heartbeat.

    Takes: `refused` says why it changed nothing; None: it counted, as far as the job's status allows it. `leased_until`
           is None where the job has no lease.
    """

    status: JobStatus
    attempt: int
    refused: str | None = None
    lease_s: float | None = None
    leased_until: datetime | None = None
    cancel_asked: bool = False
    cancel_reason: str | None = None


async def find_held(conn: Conn, workspace_id: str, *, job_id: str) -> HeldJob | None:
    """A job without its release: heartbeats come often."""
    return one(HeldJob, await conn.fetchrow(Q.find_held, workspace_id, job_id))


async def heartbeat(
    tx: Tx, job_id: str, *, attempt: int, asked_s: float | None = None, seen: Observation | None = None
) -> News:
    """Whoever has the job lives: its lease begins anew. `seen` is what it says beside that, never a status.

    Why:    a heartbeat waits for no round: it locks the job alone.
    Takes:  `asked_s` makes the lease last so long from now on, and gives one to a job that had none.
    """
    row = await _lock(tx, job_id)
    refused = _over(row, attempt) or _ended(row)
    if refused is not None:
        await _note(tx, job_id, row, attempt=attempt, heard="heartbeat")
        return _news(row, refused=refused)
    if seen is not None:
        await apply_observation(tx, await _known(tx, job_id), seen, source="heartbeat")
    had = row["lease_s"]
    terms = lease_terms({})
    if asked_s is not None:
        terms = lease_terms((await _known(tx, job_id)).snapshot.get("jobAgentConfig") or {})
    renewed = await tx.conn.fetchrow(Q.renew_lease, job_id, terms.granted_s(asked_s))
    if renewed is not None and renewed["leased_until"] is not None and (had is None or renewed["lease_s"] < had):
        await tx.record(wakes=[_look(job_id, tx.workspace_id, renewed["leased_until"])])
    return _news(row, renewed=renewed)


async def report(tx: Tx, job: FlowJob, seen: Observation, *, attempt: int | None, source: str) -> News:
    """Make what an attempt says of a job a fact, if it is still its word that counts. A report is a heartbeat too.

    Takes: `attempt` None: whoever says it knows of no attempts.
    """
    if job.run_id is None and (seen.status not in (None, job.status) or job.is_being_handed_over):
        await lock_deployment(tx, job.deployment_id)
    row = await _lock(tx, job.id)
    refused = _over(row, attempt)
    if refused is not None:
        await _note(tx, job.id, row, attempt=attempt, heard=seen.status.value if seen.status else "news")
        return _news(row, refused=refused)
    status = await hear(tx, job, seen, source=source)
    held = row["handover"] == Handover.STARTED and not status.terminal
    renewed = await tx.conn.fetchrow(Q.renew_lease, job.id, None) if held else None
    return _news(row, status=status, renewed=renewed)


async def end_lease(tx: Tx, job_id: str) -> datetime | None:
    """Look whether a job's lease has ended, and if so give the job up: to be offered again, or for good.

    Gives: when to look again; None where there is no lease to look after any more.
    """
    job = await _known(tx, job_id)
    if job.run_id is None:
        await lock_deployment(tx, job.deployment_id)
    row = await _lock(tx, job_id)
    until: datetime | None = row["leased_until"]
    if until is None or row["handover"] != Handover.STARTED or JobStatus(row["status"]).terminal:
        return None
    if row["now"] < until:
        return until
    attempt, terms = int(row["attempt"]), lease_terms(job.snapshot.get("jobAgentConfig") or {})
    cancelled = row["cancel_asked_at"] is not None
    offered = terms.offers(attempt) and not cancelled
    then = "cancelled" if cancelled else "offered" if offered else "failed"
    await tx.record(events=[job.event("job.lease_ended", attempt=attempt, then=then)])
    said = f"The lease of attempt {attempt} ended at {until:%Y-%m-%dT%H:%M:%SZ}: {_who(row)} was not heard of in time"
    if offered:
        told = {"from": row["status"], "to": JobStatus.PENDING.value, "source": "lease"}
        changes = [Change(Q.offer_again, (job_id, f"{said}. It is offered again."))]
        if job.run_id is None:
            # Undecided until a round judged it: its gates may hold by now.
            changes.append(touch(job.deployment_id, takes_away=True))
            wakes = [WorkRequest("round", job.deployment_id, job.workspace_id, None, OWN_FACTS)]
        else:
            wakes = [WorkRequest("dispatch", job_id, job.workspace_id, None, OWN_FACTS)]
        await tx.record(changes, events=[job.event("job.status_changed", **told)], wakes=wakes)
        return None
    last = f", and it was attempt {attempt} of {terms.attempts_max}" if attempt > 1 else ""
    status = JobStatus.CANCELLED if cancelled else JobStatus.FAILURE
    await apply_observation(tx, job, Observation(status, f"{said}{last}."), source="lease")
    await tx.record([Change(Q.count_lease, (job_id,))])
    return None


def _look(job_id: str, workspace_id: str | None, at: datetime) -> WorkRequest:
    return WorkRequest("observe", job_id, workspace_id, at, OWN_FACTS)


async def _known(tx: Tx, job_id: str) -> FlowJob:
    job = await find_flow_job(tx.conn, job_id)
    if job is None:
        raise NotFound("There is no such job.")
    return job


async def _lock(tx: Tx, job_id: str) -> asyncpg.Record:
    row = await tx.conn.fetchrow(Q.lock_held, job_id)
    if row is None:
        raise NotFound("There is no such job.")
    return row


def _over(row: asyncpg.Record, attempt: int | None) -> str | None:
    """Why what an attempt says does not count; None where it does."""
    newest, gone = row["attempt"], row["leases_ended"]
    if attempt is None:
        if not gone:
            return None
        return "A lease of this job has ended: say which attempt this is. The claim's answer has its number."
    if attempt > newest:
        return f"There was no attempt {attempt} of this job yet."
    if attempt < newest or (gone >= newest and row["handover"] != Handover.STARTED):
        return f"Attempt {attempt} is over: its lease ended. What it says does not count any more."
    if row["handover"] != Handover.STARTED and not JobStatus(row["status"]).terminal:
        return f"Nobody has attempt {attempt} of this job."
    return None


def _ended(row: asyncpg.Record) -> str | None:
    """Why there is nothing to renew."""
    status = JobStatus(row["status"])
    return f"The job is over: it is {status}." if status.terminal else None


async def _note(tx: Tx, job_id: str, row: asyncpg.Record, *, attempt: int | None, heard: str) -> None:
    note = {"is": row["status"], "heard": heard, "source": "api", "attempt": attempt, "newest": row["attempt"]}
    await tx.record(events=[(await _known(tx, job_id)).event("job.noted", **note)])


def _who(row: asyncpg.Record) -> str:
    return str(row["held_by"] or "whoever had it")


def _news(
    row: asyncpg.Record,
    *,
    refused: str | None = None,
    status: JobStatus | None = None,
    renewed: asyncpg.Record | None = None,
) -> News:
    return News(
        status or JobStatus(row["status"]),
        row["attempt"],
        refused,
        renewed["lease_s"] if renewed is not None else None,
        renewed["leased_until"] if renewed is not None else None,
        row["cancel_asked_at"] is not None,
        row["cancel_reason"],
    )

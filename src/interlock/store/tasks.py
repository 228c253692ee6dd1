"""How do people do a job? They are asked, one of them takes it, somebody answers, and everybody may comment.

A task is a row beside its job. Whoever answers has it first: taking is the hand-over, in one statement that succeeds
once and only while the decision behind the job holds, and an answer to what nobody took takes it in the same
transaction. So a job ends exactly once, and what a freeze or a newer version took back cannot be completed any more.

Evidence and comments are rows, which can be erased; the ledger keeps what is no free text, and the digest of all of it.

Source: core.md sections 5 and 7; issue 5, "manual".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import asyncpg

from interlock.model.errors import Conflict, Forbidden, Invalid, NotFound
from interlock.model.event import Event, Ref
from interlock.model.ids import new_id
from interlock.model.job import JobStatus, Observation
from interlock.model.task import COMMENT_MAX, Asked, Task, checked_evidence, read_field, told_evidence
from interlock.store.jobs import FlowJob, apply_observation, find_flow_job, hold_job, offer_job, take_job
from interlock.store.queries import Conn, queries
from interlock.store.tx import Change, Tx
from interlock.store.work import WorkRequest

Q = queries("task")

COMMENTS_MAX = 500


@dataclass(frozen=True, slots=True)
class Comment:
    """What somebody wrote about a job."""

    id: str
    text: str
    at: datetime
    author_id: str
    by: str | None


async def ask_people(tx: Tx, job: FlowJob, asked: Asked) -> bool:
    """Put a job before people. Says whether it still waited.

    Fails: `Invalid` when it asks somebody who is no member, or a group that the workspace does not have.
    """
    refs: list[Ref] = []
    assignee_id = None
    if asked.assignee is not None:
        person = await tx.conn.fetchrow(Q.find_assignee, job.workspace_id, asked.assignee)
        if person is None:
            raise Invalid(f"config.assignee: there is no member named {asked.assignee} in this workspace.")
        assignee_id = person["id"]
        refs.append(Ref("principal", assignee_id))
    if asked.group is not None:
        group_id = await tx.conn.fetchval(Q.find_group_id, job.workspace_id, asked.group)
        if group_id is None:
            raise Invalid(f"config.group: there is no group named {asked.group} in this workspace.")
        refs.append(Ref("group", group_id))
    if not await offer_job(tx, job):
        return False
    fields = [each.document() for each in asked.evidence]
    due_at: datetime | None = await tx.conn.fetchval(
        Q.insert_task,
        job.id,
        job.workspace_id,
        asked.instructions,
        assignee_id,
        asked.assignee,
        asked.group,
        fields,
        asked.due_s,
        asked.on_overdue,
    )
    body = {"group": asked.group, "dueAt": due_at.isoformat() if due_at else None}
    wakes = [WorkRequest("expire", f"task:{job.id}", job.workspace_id, due_at)] if due_at else []
    told = job.event("job.asked", **{key: value for key, value in body.items() if value is not None})
    await tx.record(events=[_about(told, refs)], wakes=wakes)
    return True


async def find_task(conn: Conn, workspace_id: str, *, job_id: str, principal_id: str | None) -> Task | None:
    """The task of a job as one person sees it; None for a job that asks nobody."""
    row = await conn.fetchrow(Q.find_task, workspace_id, job_id, principal_id)
    return None if row is None else _task(row)


async def list_tasks(
    conn: Conn, workspace_id: str, *, principal_id: str, mine: bool, state: str, limit: int, offset: int
) -> tuple[tuple[Task, ...], int]:
    """A page of tasks as one person sees them, what is due first first, and how many there are (0 past the last page).

    Takes: `mine` leaves those that do not ask this person; `state` is open, over or any.
    """
    rows = await conn.fetch(Q.list_tasks, workspace_id, principal_id, mine, state, limit, offset)
    return tuple(map(_task, rows)), rows[0]["total"] if rows else 0


async def list_comments(conn: Conn, job_id: str) -> tuple[Comment, ...]:
    """What people wrote about a job, oldest first."""
    rows = await conn.fetch(Q.list_comments, job_id, COMMENTS_MAX)
    return tuple(Comment(**row) for row in rows)


async def take_task(tx: Tx, workspace_id: str, *, job_id: str, principal_id: str) -> None:
    """Somebody begins: from now on nothing takes the job back, and others see who has it.

    Fails: `NotFound`; `Forbidden` for one who is not asked; `Conflict` when it is over, taken, or not to be had now.
    """
    job, task = await _held(tx, workspace_id, job_id=job_id, principal_id=principal_id)
    if task.taken_by is not None:
        raise Conflict(f"{task.taken_by} has it since {_at(task.taken_at)}.", code="TASK_TAKEN")
    await take_job(tx, job)
    await tx.record([Change(Q.set_taken, (job.id, principal_id))])


async def answer_task(
    tx: Tx,
    workspace_id: str,
    *,
    job_id: str,
    principal_id: str,
    by: str,
    answer: str,
    evidence: Mapping[str, Any],
    comment: str | None,
) -> JobStatus:
    """Complete or reject a task; one that nobody took is taken with it. Gives the job's status afterwards.

    Why:    a job whose end was asked for and that is rejected is cancelled: that is what the cancel waits for.
    Takes:  `answer` is completed or rejected; `by` is the person's name.
    Fails:  `NotFound`; `Forbidden` for one who is not asked; `Invalid` for evidence that is missing or not as asked;
            `Conflict` when somebody was faster, or the job is not to be had now.
    """
    job, task = await _held(tx, workspace_id, job_id=job_id, principal_id=principal_id)
    given = checked_evidence(task.evidence, evidence) if answer == "completed" else {}
    if task.status == JobStatus.QUEUED:
        await take_job(tx, job)
        await tx.record([Change(Q.set_taken, (job.id, principal_id))])
        job = await _flow_job(tx.conn, job_id)
    told = job.event("job.answered", answer=answer, **told_evidence(task.evidence, given))
    args = (job.id, answer, principal_id, given, comment)
    await tx.record([Change(Q.set_answer, args, rows=1)], events=[told])
    status = JobStatus.SUCCESSFUL
    if answer == "rejected":
        status = JobStatus.CANCELLED if job.cancel_asked_at is not None else JobStatus.FAILURE
    said = f"{answer.capitalize()} by {by}{f': {comment}' if comment else ''}"
    return await apply_observation(tx, job, Observation(status, said), source="person")


async def comment_task(tx: Tx, workspace_id: str, *, job_id: str, text: str) -> None:
    """Write something beside a job that people do. Also after its end.

    Fails: `NotFound`; `Invalid` for nothing, or too much.
    """
    job = await _flow_job(tx.conn, job_id)
    if (
        await find_task(tx.conn, workspace_id, job_id=job_id, principal_id=None) is None
        or job.workspace_id != workspace_id
    ):
        raise NotFound("There is no task of this job: no person does it.")
    if not text.strip() or len(text) > COMMENT_MAX:
        raise Invalid(f"A comment has 1 to {COMMENT_MAX:,} characters.", field="text")
    args = (new_id(), workspace_id, job.id, tx.actor.kind, tx.actor.id, text.strip())
    await tx.record([Change(Q.insert_comment, args)], events=[job.event("job.commented")])


async def note_overdue(tx: Tx, job_id: str) -> datetime | None:
    """Note that a task is overdue, once; its job fails where it is to. Gives the instant to look again, if any."""
    job = await find_flow_job(tx.conn, job_id)
    if job is None:
        return None
    await hold_job(tx, job)
    row = await tx.conn.fetchrow(Q.note_overdue, job_id)
    if row is None:
        at: datetime | None = await tx.conn.fetchval(Q.find_due, job_id)
        return at
    body = {"group": row["asked_group"], "minutes": row["minutes"], "then": row["on_overdue"]}
    told = job.event("job.overdue", **{key: value for key, value in body.items() if value is not None})
    refs = [Ref("principal", row["assignee_id"])] if row["assignee_id"] else []
    await tx.record(events=[_about(told, refs)])
    if row["on_overdue"] == "fail":
        said = f"Nobody answered within {row['minutes']:g} minutes."
        await apply_observation(tx, job, Observation(JobStatus.FAILURE, said), source="overdue")
    return None


async def _held(tx: Tx, workspace_id: str, *, job_id: str, principal_id: str) -> tuple[FlowJob, Task]:
    """The job and its task, held, when this person may answer it now.

    Why:    a cancelled job that somebody has may still be answered: its end is what the cancel waits for.
    """
    job = await _flow_job(tx.conn, job_id)
    await hold_job(tx, job, itself=True)
    task = await find_task(tx.conn, workspace_id, job_id=job_id, principal_id=principal_id)
    if task is None:
        raise NotFound("There is no task of this job: no person does it.")
    if not task.is_asked:
        raise Forbidden(f"This task asks {task.who}; somebody else's answer does not count.", code="NOT_ASKED")
    if not task.open:
        raise Conflict(_over(task), code="JOB_OVER")
    return await _flow_job(tx.conn, job_id), task


def _over(task: Task) -> str:
    if task.answer is not None:
        return f"{task.answered_by} {task.answer} it {_at(task.answered_at)}: the job is {task.status}."
    if task.status == JobStatus.SKIPPED:
        return "The job was taken back before anybody had it: there is nothing to answer."
    return f"The job is {task.status} already: there is nothing to answer."


def _at(instant: datetime | None) -> str:
    return f"at {instant:%Y-%m-%d %H:%M} UTC" if instant else "already"


async def _flow_job(conn: Conn, job_id: str) -> FlowJob:
    job = await find_flow_job(conn, job_id)
    if job is None:
        raise NotFound("There is no such job.")
    return job


def _task(row: asyncpg.Record) -> Task:
    fields: dict[str, Any] = {key: value for key, value in row.items() if key != "total"}
    fields["evidence"] = tuple(map(read_field, fields["evidence"]))
    return Task(**fields)


def _about(event: Event, refs: Sequence[Ref]) -> Event:
    """The event, which whom it is about finds too."""
    return replace(event, refs=(*event.refs, *refs))

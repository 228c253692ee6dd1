"""What becomes of a callback: news of one attempt of one job, from whoever was told to do it.

Source: core.md section 5 (class told); decision record 0035.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.model.errors import NotFound
from interlock.model.job import JobStatus, Observation
from interlock.store.jobs import FlowJob, find_flow_job, hear
from interlock.store.queries import Conn, queries
from interlock.store.tx import Tx

Q = queries("callback")

LATE_HOURS = 24
"""How long after a job's end its token is known: whoever tries again shall hear that it is over."""


@dataclass(frozen=True, slots=True)
class Heard:
    """The job after a callback. `was_over` before it; `attempt` is the one that has it."""

    status: JobStatus
    attempt: int
    was_over: bool = False


async def find_job(conn: Conn, job_id: str) -> FlowJob | None:
    """The job that may be called back; None where there is none, or it was over long ago."""
    if not await conn.fetchval(Q.may_be_called_back, job_id, LATE_HOURS):
        return None
    return await find_flow_job(conn, job_id)


async def call_back(tx: Tx, job_id: str, seen: Observation, *, attempt: int) -> Heard:
    """Make what an attempt says of its job a fact, if it is still the one that has it; else note it.

    Fails: `NotFound`.
    """
    job = await find_flow_job(tx.conn, job_id)
    if job is None:
        raise NotFound("There is no such job.")
    if attempt != job.attempt:
        heard = seen.status.value if seen.status else "news"
        body = {"is": job.status.value, "heard": heard, "source": "callback", "attempt": attempt}
        await tx.record(events=[job.event("job.noted", **body)])
        return Heard(job.status, job.attempt, was_over=job.status.terminal)
    status = await hear(tx, job, seen, source="callback")
    return Heard(status, attempt, was_over=job.status.terminal)

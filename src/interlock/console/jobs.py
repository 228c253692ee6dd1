"""What became of one job? Its status, what the outside said, what was measured after it, and why it was allowed.

A metric that measures a number is drawn as a small line with its threshold; the verification's own page has the chart
and every measurement.

Source: core.md sections 5 and 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from interlock.access import WORKSPACE, Permission
from interlock.console.holds import mark_of, told
from interlock.console.task import Panel, Refusal, load_panel
from interlock.console.telling import Entry, entries_of
from interlock.console.verification import MARKS as CHECK_MARKS
from interlock.console.verification import check_of
from interlock.console.visit import Visit, found, id_in_path
from interlock.decide.explain import failures
from interlock.model.ids import TargetKey
from interlock.model.job import TERMINAL, JobStatus, age
from interlock.store import jobs, pages, series, standings, target_states
from interlock.store.bindings import load_place
from interlock.store.jobs import JobRow
from interlock.store.ledger import read_feed_back
from interlock.store.queries import Conn

OUTPUT_LINES_MAX = 200
TIMELINE_MAX = 60
AGAIN_S = 15
CHECKS_MAX = 20


async def show(visit: Visit, *, refused: Refusal | None = None) -> Response:
    """A job.

    Takes: `refused` is what was wrong with an answer to its task.
    """
    job_id = id_in_path(visit, "job", "job")
    here = visit.here
    async with here.store.read() as conn:
        known = found(await jobs.find_job(conn, here.id, job_id=job_id), "job")
    if known.run_id is not None:
        return await show_run_job(visit, job_id, refused=refused)
    async with here.store.read() as conn:
        about = found(await pages.find_job_place(conn, here.id, job_id=job_id), "job")
    standing = await standings.explain_target_now(
        here.store, known.deployment_id, target_id=known.target_id, version=about.version_id, counterfactual=False
    )
    async with here.store.snapshot() as conn:
        job = found(await jobs.find_job(conn, here.id, job_id=job_id), "job")
        place = found(await pages.find_job_place(conn, here.id, job_id=job_id), "job")
        checks = await series.list_of_job(conn, here.id, job_id=job_id, limit=CHECKS_MAX)
        decisions = await target_states.load_decisions(conn, [job.decision_id])
        decision = decisions.get(job.decision_id)
        ended = await target_states.load_ended_moves(conn, [job.target_id])
        lines = (job.output or "").splitlines()
        where = await load_place(conn, deployment_id=job.deployment_id, environment_id=job.environment_id)
        asked = await load_panel(visit, conn, job, place=where, refused=refused)
        timeline = await _timeline(visit, conn, job_id)
        return await visit.render(
            conn,
            "jobs.html",
            title=f"{place.tag} on {place.resource}",
            **_frame(visit, job, asked, refused=refused),
            asked=asked,
            cancel_asked=place.cancel_asked_at is not None,
            timeline=timeline,
            about=[job_id],
            job=job,
            place=place,
            over=JobStatus(job.status) in TERMINAL,
            may_cancel=visit.may(Permission.STEER, place=where),
            mark=MARKS.get(job.status, "failed"),
            output="\n".join(lines[-OUTPUT_LINES_MAX:]),
            output_cut=max(0, len(lines) - OUTPUT_LINES_MAX),
            links=links_of(job.links),
            checks=[await check_of(conn, check) for check in reversed(checks)],
            check_marks=CHECK_MARKS,
            failed=failures(ended.get(job.target_id, ())),
            standing=standing,
            key=str(TargetKey(job.resource_id, job.environment_id, job.deployment_id)),
            marked=mark_of,
            decision=decision,
            verdicts=[told(verdict) for verdict in decision.verdicts] if decision else [],
        )


async def show_run_job(visit: Visit, job_id: str, *, refused: Refusal | None = None) -> Response:
    """A job of a workflow's run: it brings no version, so there is no target, no move and nothing to verify."""
    async with visit.here.store.snapshot() as conn:
        job = found(await jobs.find_job(conn, visit.here.id, job_id=job_id), "job")
        decision = (await target_states.load_decisions(conn, [job.decision_id])).get(job.decision_id)
        asked = await load_panel(visit, conn, job, place=WORKSPACE, refused=refused)
        timeline = await _timeline(visit, conn, job_id)
        lines = (job.output or "").splitlines()
        return await visit.render(
            conn,
            "run_job.html",
            title=f"A job of {job.context['workflow']['name']}",
            **_frame(visit, job, asked, refused=refused),
            asked=asked,
            cancel_asked=job.cancel_reason is not None,
            timeline=timeline,
            over=JobStatus(job.status).terminal,
            output_cut=max(0, len(lines) - OUTPUT_LINES_MAX),
            about=[job_id],
            job=job,
            mark=MARKS.get(job.status, "failed"),
            may_cancel=JobStatus(job.status) not in TERMINAL and visit.may(Permission.STEER, place=WORKSPACE),
            output="\n".join(lines[-OUTPUT_LINES_MAX:]),
            links=links_of(job.links),
            decision=decision,
            verdicts=[told(verdict) for verdict in decision.verdicts] if decision else [],
        )


MARKS = {
    "pending": "wait",
    "queued": "wait",
    "inProgress": "moving",
    "actionRequired": "person",
    "successful": "pass",
    "skipped": "idle",
    "cancelled": "idle",
}
"""Status -> mark; every other one is a failure."""


def _frame(visit: Visit, job: JobRow, asked: Panel | None, *, refused: Refusal | None) -> dict[str, Any]:
    """How the page stays true: one with a form says that something changed, the others follow; and how old is what is
    known.
    """
    form = asked is not None and (asked.may_comment or (asked.task.open and asked.may_answer))
    over = JobStatus(job.status).terminal
    since_s = (visit.here.store.now() - job.observed_at).total_seconds() if job.observed_at else None
    return {
        "live": "tell" if form else "follow",
        "again_s": None if form or over else AGAIN_S,
        "known": None if since_s is None else age(since_s),
        "status": 400 if refused else 200,
    }


async def _timeline(visit: Visit, conn: Conn, job_id: str) -> Sequence[Entry]:
    """What happened to a job, oldest first."""
    entries = await read_feed_back(conn, visit.here.id, rows_max=TIMELINE_MAX, subject=job_id)
    return list(reversed(await entries_of(conn, entries, at=visit.at)))


def links_of(links: Mapping[str, str]) -> list[tuple[str, str]]:
    """Label and address of those that a browser may be sent to."""
    return [(name, url) for name, url in links.items() if url.startswith(("https://", "http://"))]

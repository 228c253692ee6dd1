"""What became of one job? Its status, what the outside said, what was measured after it, and why it was allowed.

A metric whose condition compares a number is drawn as a small line with its threshold; every measurement is listed
with it, so that nothing depends on seeing the drawing.

Source: core.md sections 5 and 6.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.responses import Response

from interlock.access import WORKSPACE, Permission
from interlock.console.holds import mark_of, told
from interlock.console.task import Panel, Refusal, load_panel
from interlock.console.telling import Entry, entries_of
from interlock.console.visit import Visit, found, id_in_path
from interlock.decide.explain import failures
from interlock.model.ids import TargetKey
from interlock.model.job import TERMINAL, JobStatus, age
from interlock.store import jobs, pages, standings, target_states, verifications
from interlock.store.bindings import load_place
from interlock.store.jobs import JobRow
from interlock.store.ledger import read_feed_back
from interlock.store.queries import Conn
from interlock.store.target_states import MetricState

OUTPUT_LINES_MAX = 200
TIMELINE_MAX = 60
AGAIN_S = 15
MEASUREMENTS_MAX = 60
WIDTH, HEIGHT, PAD = 240, 48, 8

_COMPARED = re.compile(r"(result(?:\.[A-Za-z_]\w*|\[\"[^\"]+\"\])*)\s*(<=|>=|<|>|==)\s*(-?\d+(?:\.\d+)?)")
_STEP = re.compile(r"\.([A-Za-z_]\w*)|\[\"([^\"]+)\"\]")


@dataclass(frozen=True, slots=True)
class Measured:
    """One measurement. `value` is the number that the condition compares, where it does."""

    status: str
    message: str | None
    value: float | None
    measured_at: datetime


@dataclass(frozen=True, slots=True)
class Sparkline:
    """A drawn metric: the line's points, each measurement's dot, and where the threshold lies."""

    points: str
    dots: Sequence[tuple[float, float, str]]
    threshold_y: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of a verification for people."""

    name: str
    state: str
    condition: str
    compared: str | None
    operator: str | None
    threshold: float | None
    measured: Sequence[Measured]
    sparkline: Sparkline | None


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
        checks = await verifications.list_verifications(conn, [job_id])
        metrics = await target_states.list_metrics(conn, [check.id for check in checks])
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
            checks=[
                (check, [_metric(each) for each in metrics if each.verification_id == check.id]) for check in checks
            ],
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


def _metric(state: MetricState) -> Metric:
    compare = state.spec.get("compare")
    judged = f"{compare.get('judge')}: canary against baseline" if isinstance(compare, Mapping) else ""
    condition = str(state.spec.get("successCondition") or judged)
    readings = state.measurements[-MEASUREMENTS_MAX:]
    compared = next(
        (
            match
            for match in _COMPARED.finditer(condition)
            if any(_number(each, match[1]) is not None for each in readings)
        ),
        None,
    )
    measured = [
        Measured(
            each["status"],
            each["message"],
            _number(each, compared[1]) if compared else None,
            datetime.fromisoformat(each["measuredAt"]),
        )
        for each in readings
    ]
    threshold = float(compared[3]) if compared else None
    return Metric(
        name=state.name,
        state=state.state,
        condition=condition,
        compared=compared[1] if compared else None,
        operator=compared[2] if compared else None,
        threshold=threshold,
        measured=measured,
        sparkline=_sparkline(measured, threshold) if threshold is not None else None,
    )


def _number(measurement: Mapping[str, Any], path: str) -> float | None:
    """The number at a path of the result (`result.json.errorRate`); None for anything else."""
    value: Any = measurement.get("data")
    for step in _STEP.finditer(path):
        name = step[1] or step[2]
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _sparkline(measured: Sequence[Measured], threshold: float) -> Sparkline | None:
    values = [each.value for each in measured if each.value is not None]
    if not values:
        return None
    lowest, highest = min(*values, threshold), max(*values, threshold)
    span = (highest - lowest) or 1.0
    step = (WIDTH - 2 * PAD) / max(len(measured) - 1, 1)

    def y(value: float) -> float:
        return round(HEIGHT - PAD - (value - lowest) / span * (HEIGHT - 2 * PAD), 1)

    dots = [
        (round(PAD + number * step, 1), y(each.value), each.status)
        for number, each in enumerate(measured)
        if each.value is not None
    ]
    return Sparkline(" ".join(f"{x},{height}" for x, height, _ in dots), dots, y(threshold), min(values), max(values))

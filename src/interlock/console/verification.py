"""What did this verification measure, and what came of it? A chart for each number, with the limits it is held to.

The verdict stands first, in a sentence with its numbers. The charts are drawn by `static/charts.js` from what the API's
`series` says; without script a small drawing and the table below it tell the same. While it runs the page loads itself
again at the pace of its metrics: measurements are no events.

Source: issue "Verification that acts", section "Console and CLI".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
from starlette.responses import Response

from interlock.access import Permission
from interlock.console.sparkline import Sparkline, says_panel, sparkline
from interlock.console.verification_word import WORDS
from interlock.console.visit import Visit, found, id_in_path
from interlock.judge.series import Panel, Point, says_metric, says_number
from interlock.model.ids import TargetKey
from interlock.model.verification import POSTED
from interlock.store import series, verification_words
from interlock.store.bindings import load_place
from interlock.store.queries import Conn
from interlock.store.series import MetricSeries
from interlock.store.verification_words import VerificationPlace
from interlock.web.series import render_chart, says_of

ROWS_MAX = 200
"""So many measurements of a metric are listed, the newest; the API has the others."""

BEADS_MAX = 240
AGAIN_MIN_S, AGAIN_MAX_S = 2, 15

MARKS: Mapping[str, str] = {"running": "moving", "passed": "pass", "failed": "failed", "inconclusive": "unknown"}
STATUS_MARKS: Mapping[str, str] = {
    "passed": "pass",
    "failed": "failed",
    "inconclusive": "unknown",
    "errored": "errored",
}
"""State, or status of one measurement -> mark."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One panel for people: what the script reads, what stands in its place without one, and what it shows in words."""

    panel: Panel
    series: str
    spark: Sparkline
    says: str


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement in the table, with a text for each line."""

    point: Point
    values: Sequence[str]


@dataclass(frozen=True, slots=True)
class Shown:
    """A metric for people."""

    metric: MetricSeries
    says: str
    waits_for: str | None
    charts: Sequence[Chart]
    heads: Sequence[str]
    rows: Sequence[Row]
    beads: Sequence[Point]
    statuses: Sequence[str]


@dataclass(frozen=True, slots=True)
class Check:
    """A verification on the page of what it is about."""

    one: VerificationPlace
    says: str
    shown: Sequence[Shown]


async def check_of(conn: Conn, one: VerificationPlace) -> Check:
    """A verification with its metrics, as other pages show it."""
    metrics = await series.load_series(conn, one.id)
    return Check(one, says_of(one, metrics), [shown(one, metric) for metric in metrics])


async def show(visit: Visit) -> Response:
    """A verification."""
    verification_id = id_in_path(visit, "verification", "verification")
    async with visit.here.store.snapshot() as conn:
        one = found(
            await verification_words.find_verification(conn, visit.here.id, verification_id=verification_id),
            "verification",
        )
        where = await load_place(conn, deployment_id=one.deployment_id, environment_id=one.environment_id)
        metrics = await series.load_series(conn, one.id)
        asking = [each for each in metrics if each.state == "running" and each.spec.provider_kind != POSTED]
        due = [metric.next_at for metric in asking if metric.next_at is not None]
        return await visit.render(
            conn,
            "verification.html",
            title=f"Verification of {one.about}",
            live="follow",
            again_s=again_s(one, metrics),
            about=[each for each in (one.id, one.subject_id) if each],
            one=one,
            key=target_key(one),
            says=says_of(one, metrics),
            next_at=min(due) if due and one.state == "running" else None,
            shown=[shown(one, metric) for metric in metrics],
            marks_of=MARKS,
            status_marks=STATUS_MARKS,
            said=await verification_words.list_said(conn, [one.id]),
            steps=[(step, WORDS[step][0]) for step in one.can] if visit.may(Permission.STEER, place=where) else [],
        )


def again_s(one: VerificationPlace, metrics: Sequence[MetricSeries]) -> int | None:
    """After how long an open page looks again: while it runs, about as often as something is measured."""
    if one.state != "running":
        return None
    fastest = min(
        (metric.spec.interval_seconds for metric in metrics if metric.state == "running"), default=AGAIN_MAX_S
    )
    return round(min(max(fastest, AGAIN_MIN_S), AGAIN_MAX_S))


def target_key(one: VerificationPlace) -> str | None:
    """The target's key in paths; None for a verification of a wave or a rollout."""
    if one.resource_id is None or one.environment_id is None:
        return None
    return str(TargetKey(one.resource_id, one.environment_id, one.deployment_id))


def shown(one: VerificationPlace, metric: MetricSeries) -> Shown:
    """A metric as the page shows it."""
    drawn = metric.series
    counts = metric.counts
    return Shown(
        metric=metric,
        says=says_metric(metric.spec, metric.state, message=metric.message, counts=counts),
        waits_for=one.waits_for(metric.name, provider_kind=metric.spec.provider_kind, metric_state=metric.state),
        charts=[
            Chart(
                panel,
                orjson.dumps(render_chart(drawn.points, panel)).decode(),
                sparkline(panel, drawn.points),
                says_panel(panel),
            )
            for panel in drawn.panels
        ],
        heads=_heads(drawn.panels),
        rows=rows_of(drawn.points, drawn.panels),
        beads=[] if drawn.panels else drawn.points[-BEADS_MAX:],
        statuses=[status for status, number in counts.items() if number],
    )


def rows_of(points: Sequence[Point], panels: Sequence[Panel]) -> list[Row]:
    """The measurements as a table, newest first."""
    rows = [
        Row(point, [_text(line.values[number], panel.unit) for panel in panels for line in panel.lines])
        for number, point in enumerate(points)
    ]
    return rows[: -ROWS_MAX - 1 : -1]


def _heads(panels: Sequence[Panel]) -> list[str]:
    """A head for each line: its name, or what it measures where it is the only one."""
    return [panel.title if line.role == "value" else line.name for panel in panels for line in panel.lines]


def _text(value: float | None, unit: str) -> str:
    return "–" if value is None else says_number(value, unit)

"""How is a verification with its series written down? The same for the API, the console's charts and the command line.

Lines hold a number for each point, and null where there is none: a chart needs the gap in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from interlock.judge.series import Panel, Point, measurements_max, says_metric, says_verification
from interlock.store.series import MetricSeries
from interlock.store.verification_words import VerificationPlace
from interlock.web.answers import instant, present

Wire = dict[str, object]
COMES_TO: Mapping[str, str] = {"fail": "failed", "pass": "passed"}


def render_series(one: VerificationPlace, metrics: Sequence[MetricSeries]) -> Wire:
    """A verification with each metric's panels, and its verdict in a sentence."""
    due = [metric.next_at for metric in metrics if metric.next_at is not None and metric.state == "running"]
    return present(
        id=one.id,
        about=one.about,
        state=one.state,
        held=one.held,
        says=says_of(one, metrics),
        subject={"kind": one.subject_kind, "id": one.subject_id},
        deployment={"id": one.deployment_id, "name": one.deployment},
        environment=_named(one.environment_id, one.environment),
        resource=_named(one.resource_id, one.resource),
        version=present(id=one.version_id, tag=one.tag) or None,
        targetId=one.target_id,
        rolloutId=one.rollout_id,
        jobId=one.subject_id if one.subject_kind == "job" else None,
        message=one.message,
        run=one.run,
        startedAt=instant(one.started_at),
        endedAt=instant(one.ended_at) if one.ended_at else None,
        againAt=instant(one.again_at) if one.held and one.again_at else None,
        nextAt=instant(min(due)) if due and one.state == "running" else None,
        metrics=[render_metric_series(metric, over=one.state != "running") for metric in metrics],
    )


def says_of(one: VerificationPlace, metrics: Sequence[MetricSeries]) -> str:
    """The verdict in a sentence with its numbers; of one that is held, what it waits for."""
    said = says_verification(
        one.state,
        message=one.message,
        started_at=one.started_at,
        ended_at=one.ended_at,
        metrics=[
            (metric.name, metric.state, _counted(metric.counts), measurements_max(metric.spec)) for metric in metrics
        ],
    )
    if not one.held:
        return said
    waits = [f"It waits{f' since {instant(one.held_since)}' if one.held_since else ''} for a person"]
    waits += [f"or to be measured again at {instant(one.again_at)}"] if one.again_at else []
    if one.held_until:
        waits.append(
            f"or until {instant(one.held_until)}, when it counts as {COMES_TO[one.comes_to]}, as its policy says"
        )
    return f"{said} {', '.join(waits)}."


def render_metric_series(metric: MetricSeries, *, over: bool) -> Wire:
    """A metric with its points and panels.

    Takes: `over`: its verification has ended, so that it is measured no more.
    """
    spec, counts = metric.spec, metric.counts
    return present(
        id=metric.id,
        name=metric.name,
        state=metric.state,
        says=says_metric(spec, metric.state, message=metric.message, counts=counts),
        provider=spec.provider_kind,
        judge=spec.compare.judge if spec.compare else None,
        successCondition=spec.success_condition or None,
        failureCondition=spec.failure_condition,
        dryRun=spec.dry_run or None,
        count=measurements_max(spec),
        intervalSeconds=spec.interval_seconds,
        counts=dict(counts),
        nextAt=_due(metric, over=over),
        points=[_point(point) for point in metric.series.points],
        panels=[_panel(panel) for panel in metric.series.panels],
    )


def render_chart(points: Sequence[Point], panel: Panel) -> Wire:
    """One panel with its points, as the console's chart reads it: seconds for instants."""
    return {
        **_panel(panel),
        "at": [_seconds(point.at) for point in points],
        "status": [point.status.value for point in points],
        "says": [point.says for point in points],
    }


def _panel(panel: Panel) -> Wire:
    return {
        "title": panel.title,
        "unit": panel.unit,
        "log": panel.log,
        "lines": [{"role": line.role, "name": line.name, "values": line.values} for line in panel.lines],
        "thresholds": [{"value": each.value, "says": each.says, "good": each.good} for each in panel.thresholds],
    }


def _counted(counts: Mapping[str, int]) -> int:
    """Those that count: errors do not."""
    return sum(counts.values()) - counts["errored"]


def _point(point: Point) -> Wire:
    return present(at=instant(point.at), status=point.status.value, says=point.says or None)


def _due(metric: MetricSeries, *, over: bool) -> str | None:
    return instant(metric.next_at) if metric.next_at and metric.state == "running" and not over else None


def _named(identity: str | None, name: str | None) -> Wire | None:
    return None if identity is None else present(id=identity, name=name)


def _seconds(at: datetime) -> float:
    return round(at.timestamp(), 3)

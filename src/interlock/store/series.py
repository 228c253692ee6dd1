"""What does a verification look like? The series of each of its metrics, in its present run; and which there are.

A sample stands for one measurement, or for several of a long run (`judge/thinning.py`): how many there were, and of
which status, is what the metric's progress says.

Source: `judge/series.py` draws; `verifications.py` writes, `verification_words.py` has its place in names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from interlock.judge.series import Series, counts_of, series_of, thinned
from interlock.judge.spending import evenly
from interlock.model.verification import Measurement, MeasurementStatus, MetricSpec, parse_metric
from interlock.store.queries import Conn, queries
from interlock.store.verification_words import VerificationPlace, load_places

Q = queries("series")

POINTS_MAX = 500
"""So many points of a metric are drawn: of more, neighbours become one."""

READ_MAX = 10_000
"""So many samples are read, the newest: those of longer runs were thinned, but for what a version before left."""


@dataclass(frozen=True, slots=True)
class MetricSeries:
    """A metric of a verification with what it looks like over time.

    Takes: `counts` are of all measurements of its run, also of those whose samples were thinned.
    """

    id: str
    name: str
    spec: MetricSpec
    state: str
    message: str | None
    next_at: datetime | None
    series: Series
    counts: Mapping[str, int]


async def list_of_job(conn: Conn, workspace_id: str, *, job_id: str, limit: int) -> tuple[VerificationPlace, ...]:
    """The verifications of a job, newest first."""
    return await _heads(conn, workspace_id, Q.list_ids_of_subject, job_id, limit)


async def list_of_target(conn: Conn, workspace_id: str, *, target_id: str, limit: int) -> tuple[VerificationPlace, ...]:
    """The verifications of a target's moves, newest first."""
    return await _heads(conn, workspace_id, Q.list_ids_of_target, target_id, limit)


async def list_of_rollout(
    conn: Conn, workspace_id: str, *, rollout_id: str, limit: int
) -> tuple[VerificationPlace, ...]:
    """The verifications of a rollout and of its moves, newest first."""
    return await _heads(conn, workspace_id, Q.list_ids_of_rollout, rollout_id, limit)


async def load_series(conn: Conn, verification_id: str) -> tuple[MetricSeries, ...]:
    """The metrics of a verification in their order, each with its series."""
    rows = await conn.fetch(Q.list_metrics, verification_id)
    taken: dict[str, list[Measurement]] = {row["id"]: [] for row in rows}
    for row in await conn.fetch(Q.list_measurements, verification_id, READ_MAX):
        one = Measurement(MeasurementStatus(row["status"]), row["measured_at"], row["message"], row["result"] or {})
        taken[row["metric_id"]].append(one)
    specs = [parse_metric(row["spec"], path="metric") for row in rows]
    return tuple(_drawn(row, spec, taken[row["id"]], specs) for row, spec in zip(rows, specs, strict=True))


def _drawn(
    row: asyncpg.Record, spec: MetricSpec, taken: Sequence[Measurement], specs: Sequence[MetricSpec]
) -> MetricSeries:
    share = row["alpha_share"]
    part = evenly(sum(one.spends_alpha for one in specs)) if share is None else share
    series = series_of(spec, taken, alpha=spec.compare.alpha * part if spec.compare else 1.0)
    drawn = thinned(series, POINTS_MAX)
    progress = row["progress"]
    counts = (
        counts_of(series.points) if progress is None else {one.value: progress[one.value] for one in MeasurementStatus}
    )
    return MetricSeries(row["id"], row["name"], spec, row["state"], row["message"], row["next_at"], drawn, counts)


async def _heads(conn: Conn, workspace_id: str, query: str, about_id: str, limit: int) -> tuple[VerificationPlace, ...]:
    ids = [row["id"] for row in await conn.fetch(query, about_id, limit)]
    return await load_places(conn, workspace_id, ids)

"""How does a measurement become a fact? It takes its place on its metric's grid, the judge folds all of them, and a
change of state is what wakes the deployment.

A measurement by itself asks for no round. A worker's death loses none and doubles none: a place is written once.

Source: core.md section 2 (own facts); DESIGN.md section 1, step 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from interlock.judge.machine import VerificationProgress, judge_verification
from interlock.model.event import Event, Ref
from interlock.model.verification import Measurement, MeasurementStatus, MetricSpec, VerificationState, parse_metric
from interlock.store.deployments import touch
from interlock.store.queries import Conn, queries
from interlock.store.tx import Change, Tx
from interlock.store.work import OWN_FACTS, WorkRequest

Q = queries("verification")


@dataclass(frozen=True, slots=True)
class DueMetric:
    """A metric that is due: what to ask, in which context, and what it belongs to.

    Takes: `context` is the release's snapshot, with the verified `job`: its `id`, and its run's `externalId`. Of a
           rollout as a whole (`rollout_id`, and `wave` from 0 where it is one) it is of its version, environment and
           deployment alone.
    """

    id: str
    verification_id: str
    spec: MetricSpec
    due_at: datetime | None
    running: bool
    workspace_id: str
    deployment_id: str
    job_id: str
    move_id: str
    target_id: str
    environment_id: str
    version_id: str
    change_id: str
    decision_id: str
    context: Mapping[str, Any]
    rollout_id: str | None = None
    wave: int | None = None

    @property
    def told(self) -> dict[str, object]:
        """Where, in names, for the ledger."""
        place = self.context
        what = {"measured": _named(self.wave)} if self.rollout_id else {"target": place["resource"]["name"]}
        return {
            **what,
            "environment": place["environment"]["name"],
            "deployment": place["deployment"]["name"],
            "version": place["version"]["tag"],
        }

    def refs(self) -> tuple[Ref, ...]:
        """What the verification is about."""
        if self.rollout_id is not None:
            return (
                Ref("rollout", self.rollout_id),
                Ref("environment", self.environment_id),
                Ref("deployment", self.deployment_id),
                Ref("version", self.version_id),
            )
        return (
            Ref("job", self.job_id),
            Ref("move", self.move_id),
            Ref("target", self.target_id),
            Ref("environment", self.environment_id),
            Ref("deployment", self.deployment_id),
            Ref("version", self.version_id),
        )


@dataclass(frozen=True, slots=True)
class VerificationRow:
    """A verification as people read it."""

    id: str
    job_id: str
    state: str
    message: str | None
    started_at: datetime
    ended_at: datetime | None
    metrics: tuple[Mapping[str, Any], ...] = ()


async def find_due_metric(conn: Conn, metric_id: str) -> DueMetric | None:
    """One metric with its context, or None when it is gone."""
    row = await conn.fetchrow(Q.find_metric, metric_id)
    if row is None:
        return None
    return DueMetric(
        id=row["id"],
        verification_id=row["verification_id"],
        spec=parse_metric(row["spec"], path="metric"),
        due_at=row["next_at"],
        running=row["state"] == "running" and row["verification_state"] == "running",
        workspace_id=row["workspace_id"],
        deployment_id=row["deployment_id"],
        job_id=row["subject_id"],
        move_id=row["move_id"],
        target_id=row["target_id"],
        environment_id=row["environment_id"],
        version_id=row["version_id"],
        change_id=row["change_id"],
        decision_id=row["decision_id"],
        context=_context(row),
        rollout_id=row["rollout_id"],
        wave=row["wave"],
    )


def _context(row: asyncpg.Record) -> dict[str, Any]:
    snapshot: dict[str, Any] = row["snapshot"]
    if row["rollout_id"] is None:
        return {**snapshot, "job": {"id": row["subject_id"], "externalId": row["external_id"] or ""}}
    opened_at = row["opened_at"].isoformat().replace("+00:00", "Z")
    return {
        **{name: snapshot[name] for name in ("deployment", "environment", "version")},
        "rollout": {"id": row["rollout_id"], "kind": row["rollout_kind"], "openedAt": opened_at},
        **({"wave": {"number": row["wave"] + 1}} if row["wave"] is not None else {}),
    }


def _named(wave: int | None) -> str:
    return "what is measured while it is open" if wave is None else f"wave {wave + 1}"


async def end_proofs(tx: Tx, rollout_ids: Sequence[str]) -> None:
    """Rollouts are over, and with them what was measured of them as a whole. Each end is in the ledger."""
    if not rollout_ids:
        return
    events = []
    for row in await tx.conn.fetch(Q.end_proofs, list(rollout_ids)):
        body = {
            "measured": _named(row["wave"]),
            **{name: row[name] for name in ("environment", "deployment", "version", "message")},
        }
        refs = tuple(Ref(kind, row[f"{kind}_id"]) for kind in ("rollout", "environment", "deployment", "version"))
        subject = Ref("verification", row["id"])
        events.append(Event(f"verification.{row['state']}", subject, body, refs, row["decision_id"], row["change_id"]))
    await tx.record(events=events)


async def record_measurement(tx: Tx, metric: DueMetric, measured: Measurement) -> datetime | None:
    """Write one measurement and what follows from it.

    Gives: when this metric is due again; None when it is over.
    """
    head = await tx.conn.fetchrow(Q.lock_verification, metric.verification_id)
    if head is None or head["state"] != "running":
        return None
    rows = await tx.conn.fetch(Q.list_metrics, metric.verification_id)
    taken = await _measurements(tx.conn, metric.verification_id)
    mine = taken.setdefault(metric.id, [])
    number = len(mine) + 1
    row = (metric.id, number, measured.status.value, dict(measured.result), measured.message, measured.measured_at)
    await tx.record([Change(Q.insert_measurement, row)])
    mine.append(measured)
    specs = [parse_metric(one["spec"], path="metric") for one in rows]
    progress = judge_verification(
        [(spec, taken.get(one["id"], ())) for spec, one in zip(specs, rows, strict=True)],
        started_at=head["started_at"],
        alpha_shares=[one["alpha_share"] for one in rows],
    )
    await _write_progress(tx, metric, rows, progress)
    own = next(each for each, one in zip(progress.metrics, rows, strict=True) if one["id"] == metric.id)
    return None if progress.state.final else own.next_at


async def _measurements(conn: Conn, verification_id: str) -> dict[str, list[Measurement]]:
    found: dict[str, list[Measurement]] = {}
    for row in await conn.fetch(Q.list_measurements, verification_id):
        one = Measurement(MeasurementStatus(row["status"]), row["measured_at"], row["message"], row["result"] or {})
        found.setdefault(row["metric_id"], []).append(one)
    return found


async def _write_progress(
    tx: Tx, metric: DueMetric, rows: Sequence[asyncpg.Record], progress: VerificationProgress
) -> None:
    changes = [
        Change(Q.set_metric_state, (row["id"], each.state.value, each.reason, each.next_at))
        for row, each in zip(rows, progress.metrics, strict=True)
        if (row["state"], row["next_at"]) != (each.state.value, each.next_at)
    ]
    if not progress.state.final:
        await tx.record(changes)
        return
    body = {**metric.told, **({"message": progress.reason} if progress.reason else {})}
    kind = f"verification.{progress.state.value}"
    subject = Ref("verification", metric.verification_id)
    event = Event(kind, subject, body, metric.refs(), metric.decision_id, metric.change_id)
    ended = (metric.verification_id, progress.state.value, progress.reason, progress.decided_at)
    takes_away = progress.state is not VerificationState.PASSED
    changes += [Change(Q.end_verification, ended), touch(metric.deployment_id, takes_away=takes_away)]
    wakes = [WorkRequest("round", metric.deployment_id, metric.workspace_id, None, OWN_FACTS)]
    await tx.record(changes, events=[event], wakes=wakes)


async def list_verifications(conn: Conn, job_ids: Sequence[str]) -> tuple[VerificationRow, ...]:
    """The verifications of some jobs with their metrics, oldest first."""
    found = []
    for row in await conn.fetch(Q.list_verifications_of_job, list(job_ids)):
        taken = await _measurements(conn, row["id"])
        metrics = tuple(
            {
                "name": one["name"],
                "spec": one["spec"],
                "state": one["state"],
                "message": one["message"],
                "measurements": [
                    {
                        "status": each.status.value,
                        "measuredAt": each.measured_at,
                        "message": each.message,
                        "result": each.result,
                    }
                    for each in taken.get(one["id"], ())
                ],
            }
            for one in await conn.fetch(Q.list_metrics, row["id"])
        )
        found.append(VerificationRow(**dict(row), metrics=metrics))
    return tuple(found)

"""How does a measurement become a fact? It takes its place on its metric's grid, the judge folds all of them, and a
change of state is what wakes the deployment.

A measurement by itself asks for no round. A worker's death loses none and doubles none: a place is written once.

What could not tell holds: it has no end yet, and its first metric's look is when it goes on by itself. What people say
of it stands in `verification_words.py`.

Locks: deployments by id, then verifications by id, as everywhere. Hardly a measurement ends anything, and a deployment
is not held for those that do not: which do is found while the verifications alone are held, and they are let go and
taken again behind their deployments when one does.

Source: core.md section 2 (own facts); DESIGN.md section 1, step 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from interlock.judge.carried import read_progress, write_progress
from interlock.judge.machine import (
    MetricProgress,
    VerificationProgress,
    alpha_of,
    conclude,
    is_carried,
    judge_metric,
    judged_alone,
    with_one_more,
)
from interlock.judge.spending import alpha_share
from interlock.judge.thinning import SAMPLES_MAX, Kept, thinned
from interlock.model.event import Event, Ref
from interlock.model.verification import Measurement, MeasurementStatus, MetricSpec, VerificationState, parse_metric
from interlock.store.deployments import lock_deployment, touch
from interlock.store.queries import Conn, queries
from interlock.store.rows import one
from interlock.store.tx import Change, Tx
from interlock.store.work import OWN_FACTS, WorkRequest

Q = queries("verification")

SPECS_MAX = 50_000
_SPECS: dict[str, MetricSpec] = {}

THIN_EVERY = 250
"""After so many measurements the samples of a running metric are looked at: are there too many?"""


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
    held: bool
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

    def event(self, kind: str, **body: Any) -> Event:
        """What happened to the verification, where."""
        subject = Ref("verification", self.verification_id)
        return Event(kind, subject, {**self.told, **body}, self.refs(), self.decision_id, self.change_id)


@dataclass(frozen=True, slots=True)
class Head:
    """A verification as it is while it is held.

    Takes: `measured_from`: when its run began. `held_since`: when it first could not tell. `passed_at`: that it passed
           then stands, while it is measured again.
    """

    state: str
    message: str | None
    started_at: datetime
    ended_at: datetime | None
    measured_from: datetime
    gates: bool
    again_s: float | None
    hold_s: float | None
    comes_to: str
    revokes: bool
    run: int
    held_since: datetime | None
    held_until: datetime | None
    again_at: datetime | None
    passed_at: datetime | None

    @property
    def held(self) -> bool:
        """Whether it waits because nothing could tell."""
        return self.state == "inconclusive" and self.ended_at is None


@dataclass(frozen=True, slots=True)
class VerificationRow:
    """A verification as people read it."""

    id: str
    job_id: str
    state: str
    message: str | None
    started_at: datetime
    ended_at: datetime | None
    held: bool
    metrics: tuple[Mapping[str, Any], ...] = ()


async def find_due_metric(conn: Conn, metric_id: str) -> DueMetric | None:
    """One metric with its context, or None when it is gone."""
    return (await find_due_metrics(conn, [metric_id])).get(metric_id)


async def find_due_metrics(conn: Conn, metric_ids: Sequence[str]) -> dict[str, DueMetric]:
    """Metrics by id, each with its context, as far as they are there."""
    return {row["id"]: _due(row) for row in await conn.fetch(Q.find_metrics, list(metric_ids))}


def _due(row: asyncpg.Record) -> DueMetric:
    return DueMetric(
        id=row["id"],
        verification_id=row["verification_id"],
        spec=_spec(row),
        due_at=row["next_at"],
        running=row["state"] == "running" and row["verification_state"] == "running",
        held=row["verification_state"] == "inconclusive" and row["ended_at"] is None,
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


def _spec(row: asyncpg.Record) -> MetricSpec:
    """A metric's specification, which never changes, so that each is read once."""
    known = _SPECS.get(row["id"])
    if known is None:
        if len(_SPECS) >= SPECS_MAX:
            _SPECS.clear()
        known = _SPECS[row["id"]] = parse_metric(row["spec"], path="metric")
    return known


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
        kind = "verification.stands" if row["stood"] else f"verification.{row['state']}"
        events.append(Event(kind, subject, body, refs, row["decision_id"], row["change_id"]))
    await tx.record(events=events)


async def lock_verification(conn: Conn, verification_id: str) -> Head | None:
    """A verification, held until the transaction ends; None when it is gone. Whoever ends it holds its deployment."""
    return one(Head, await conn.fetchrow(Q.lock_verification, verification_id))


@dataclass(slots=True)
class Standing:
    """Where a verification stands while measurements of it are written: its metrics in order, and how each is judged.

    Takes: `judged` is None for a metric that is measured now and judged afresh. `taken`: how many measurements it has.
    """

    head: Head
    rows: Sequence[asyncpg.Record]
    specs: Sequence[MetricSpec]
    alpha: Sequence[float]
    judged: list[MetricProgress | None]
    taken: list[int]

    def progress(self) -> VerificationProgress:
        """What all of its metrics come to."""
        standing = [(spec, each) for spec, each in zip(self.specs, self.judged, strict=True) if each is not None]
        return conclude(standing, started_at=self.head.measured_from)


async def record_measurement(tx: Tx, metric: DueMetric, measured: Measurement) -> datetime | None:
    """Write one measurement and what follows from it.

    Gives: when this metric is due again; None when it is over.
    """
    (again_at,) = await record_measurements(tx, [(metric, measured)])
    return again_at


@dataclass(frozen=True, slots=True)
class Taken:
    """What measurements come to, with their verifications locked, before any of it is written.

    Takes: `again`: when each is due again; `written` and `carried` are rows. `over`: verification id -> its verdict.
    """

    standings: Mapping[str, Standing]
    again: list[datetime | None]
    written: Sequence[tuple[object, ...]]
    carried: Sequence[tuple[object, ...]]
    over: Mapping[str, VerificationProgress]


async def record_measurements(tx: Tx, measured: Sequence[tuple[DueMetric, Measurement]]) -> tuple[datetime | None, ...]:
    """Write measurements of several metrics, no two of one metric, and what follows from them.

    Gives: when each metric is due again; None when it is over.
    Costs: 4 statements and a savepoint, however many they are; one more for each whose judge wants all of its
           measurements, and a few for each verification that they end.
    """
    taken = await _taken_in_order(tx, measured)
    again, told = taken.again, set[str]()
    if not taken.written:
        return tuple(again)
    inserted, carried = _columns(taken.written), _columns(taken.carried)
    await tx.record([Change(Q.insert_measurements, inserted), Change(Q.set_metric_states, carried)])
    for number, (metric, taking) in enumerate(measured):
        at = taken.standings.get(metric.verification_id)
        if at is None:
            continue
        verdict = taken.over.get(metric.verification_id)
        if metric.verification_id in told:
            again[number] = None
        elif verdict is not None:
            told.add(metric.verification_id)
            again[number] = await _ended(tx, metric, at, verdict, measured_at=taking.measured_at)
        else:
            place = next(place for place, row in enumerate(at.rows) if row["id"] == metric.id)
            if is_carried(at.specs[place]) and at.taken[place] % THIN_EVERY == 0:
                await _thin(tx, at.rows[place])
    return tuple(again)


async def _taken_in_order(tx: Tx, measured: Sequence[tuple[DueMetric, Measurement]]) -> Taken:
    """Judge measurements, and hold what they write: the deployments of what they end, then the verifications.

    Why:   a round holds its deployment when it ends what was measured of a rollout; held in the other order the two
           would wait for each other.
    """
    held: set[str] = set()
    while True:
        attempt = tx.conn.transaction()
        await attempt.start()
        if held:
            await tx.conn.fetch(Q.lock_deployments, sorted(held))
        taken = await _taken(tx.conn, measured)
        ending = {metric.deployment_id for metric, _ in measured if metric.verification_id in taken.over}
        if ending <= held:
            await attempt.commit()
            return taken
        await attempt.rollback()  # lets the verifications go
        held |= ending


async def _taken(conn: Conn, measured: Sequence[tuple[DueMetric, Measurement]]) -> Taken:
    """Judge measurements of verifications that run, which are locked from here on."""
    standings = await _standings(conn, measured)
    written: list[tuple[object, ...]] = []
    carried: list[tuple[object, ...]] = []
    again: list[datetime | None] = []
    for metric, taking in measured:
        at = standings.get(metric.verification_id)
        if at is None:
            again.append(None)
            continue
        place = next(number for number, row in enumerate(at.rows) if row["id"] == metric.id)
        own = await _judged_now(conn, at, place, taking)
        at.judged[place] = own
        at.taken[place] += 1
        number = at.taken[place]
        result = dict(taking.result)
        written.append((metric.id, number, taking.status.value, result, taking.message, taking.measured_at))
        carried.append((metric.id, own.state.value, own.reason, own.next_at, number, write_progress(own)))
        again.append(own.next_at)
    verdicts = {verification_id: at.progress() for verification_id, at in standings.items()}
    over = {verification_id: verdict for verification_id, verdict in verdicts.items() if verdict.state.final}
    return Taken(standings, again, written, carried, over)


async def _standings(conn: Conn, measured: Sequence[tuple[DueMetric, Measurement]]) -> dict[str, Standing]:
    """The verifications that run, locked in the order in which everybody locks them, each as it stood before."""
    ids = sorted({metric.verification_id for metric, _ in measured})
    heads = {}
    for row in await conn.fetch(Q.lock_verifications, ids):
        head = Head(**{key: value for key, value in row.items() if key != "id"})
        if head.state == "running":
            heads[row["id"]] = head
    rows_by_id: dict[str, list[asyncpg.Record]] = {}
    for row in await conn.fetch(Q.list_metrics_of, list(heads)) if heads else ():
        rows_by_id.setdefault(row["verification_id"], []).append(row)
    mine = {metric.id for metric, _ in measured}
    found = {}
    for verification_id, rows in rows_by_id.items():
        head = heads[verification_id]
        specs = [_spec(row) for row in rows]
        alpha = alpha_of(specs, [row["alpha_share"] for row in rows])
        judged = [
            await _judged_before(conn, row, spec, head.measured_from, share)
            if row["id"] not in mine or is_carried(spec)
            else None
            for row, spec, share in zip(rows, specs, alpha, strict=True)
        ]
        found[verification_id] = Standing(head, rows, specs, alpha, judged, [row["taken"] for row in rows])
    return found


async def _judged_now(conn: Conn, at: Standing, place: int, taking: Measurement) -> MetricProgress:
    """Where a metric stands with one more measurement."""
    spec, since, before = at.specs[place], at.head.measured_from, at.judged[place]
    if before is not None:
        return with_one_more(spec, before, taking, started_at=since, alpha_share=at.alpha[place])
    taken = [*await _counted(conn, at.rows[place]["id"]), taking]
    return judge_metric(spec, taken, started_at=since, alpha_share=at.alpha[place])


async def _ended(
    tx: Tx, metric: DueMetric, at: Standing, progress: VerificationProgress, *, measured_at: datetime
) -> datetime | None:
    """All is measured: too many samples are thinned, and the verdict is told."""
    for row, taken in zip(at.rows, at.taken, strict=True):
        if taken > SAMPLES_MAX:
            await _thin(tx, row)
    told = {"metrics": [_told(row["name"], each) for row, each in zip(at.rows, progress.metrics, strict=True)]}
    return await _conclude(tx, metric, at.head, progress, measured_at=measured_at, told=told)


def _columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]


async def settle_hold(tx: Tx, metric: DueMetric) -> datetime | None:
    """A hold because nothing could tell goes on by itself: it is over, or is measured again, where its rules say so.

    Gives: when to look at it again; None: only a person ends it.
    """
    await lock_deployment(tx, metric.deployment_id)
    head = await lock_verification(tx.conn, metric.verification_id)
    if head is None or not head.held:
        return None
    now: datetime = await tx.conn.fetchval(Q.now)
    if head.held_until is not None and now >= head.held_until:
        await end_hold(tx, metric, head, comes_to=head.comes_to, at=now)
        return None
    if head.again_at is not None and now >= head.again_at:
        return await measure_again(tx, metric, head, at=now, by="rule")
    return min((at for at in (head.held_until, head.again_at) if at is not None), default=None)


async def end_hold(tx: Tx, metric: DueMetric, head: Head, *, comes_to: str, at: datetime) -> None:
    """A hold is over, because its time is."""
    state = VerificationState.PASSED if comes_to == "pass" else VerificationState.FAILED
    since_s = (at - (head.held_since or at)).total_seconds()
    said = f"nothing could tell for {since_s:,.0f} s, which its policy takes for a {comes_to}: {head.message}"
    await end(tx, metric, state, reason=said, at=at, kind=f"verification.{state.value}", told={"by": "policy"})


async def measure_again(tx: Tx, metric: DueMetric, head: Head, *, at: datetime, by: str) -> datetime | None:
    """Begin another run of a verification: the earlier measurements are shown and count no more.

    Why:   evidence that begins anew may stop a harmless rollout anew, so it gets a part of α of its own.
    Takes: `by`: person or rule.
    Gives: when this metric is due.
    """
    passed = head.state == "passed"
    due = {
        one["id"]: one["next_at"] for one in await tx.conn.fetch(Q.restart_metrics, metric.verification_id, at, passed)
    }
    wakes = [WorkRequest("measure", metric_id, metric.workspace_id, when, OWN_FACTS) for metric_id, when in due.items()]
    wakes.append(WorkRequest("round", metric.deployment_id, metric.workspace_id, None, OWN_FACTS))
    event = metric.event("verification.again", run=head.run + 1, by=by)
    changes = [
        Change(Q.restart_verification, (metric.verification_id, at)),
        touch(metric.deployment_id, takes_away=False),
    ]
    await tx.record(changes, events=[event], wakes=wakes)
    tests = await tx.conn.fetch(Q.begin_tests, metric.verification_id)
    if tests:
        shares = [float(alpha_share(row["number"], row["planned"])) for row in tests]
        await tx.record([Change(Q.set_alpha_shares, ([row["id"] for row in tests], shares))])
    found: datetime | None = due.get(metric.id)
    return found


async def end(
    tx: Tx,
    metric: DueMetric,
    state: VerificationState,
    *,
    reason: str | None,
    at: datetime | None,
    kind: str,
    told: Mapping[str, Any],
    beside: Sequence[Change] = (),
) -> None:
    """A verification has its verdict: a fact of its deployment."""
    event = metric.event(kind, **({"message": reason} if reason else {}), **told)
    takes_away = state is not VerificationState.PASSED
    changes = [
        Change(Q.end_verification, (metric.verification_id, state.value, reason, at)),
        touch(metric.deployment_id, takes_away=takes_away),
        *beside,
    ]
    wakes = [WorkRequest("round", metric.deployment_id, metric.workspace_id, None, OWN_FACTS)]
    await tx.record(changes, events=[event], wakes=wakes)


async def _conclude(
    tx: Tx,
    metric: DueMetric,
    head: Head,
    progress: VerificationProgress,
    *,
    measured_at: datetime,
    told: Mapping[str, Any],
) -> datetime | None:
    """All is measured: it passed or failed, or nothing could tell, which holds where a move waits for it."""
    state, at = progress.state, progress.decided_at or measured_at
    if head.passed_at is not None and state is not VerificationState.PASSED:
        await _measured_worse(tx, metric, head, progress, told=told)
        return None
    if state is not VerificationState.INCONCLUSIVE or not head.gates:
        await end(tx, metric, state, reason=progress.reason, at=at, kind=f"verification.{state.value}", told=told)
        return None
    since: datetime = head.held_since or at
    until = since + timedelta(seconds=head.hold_s) if head.hold_s is not None else None
    if until is not None and at >= until:
        await end_hold(
            tx, metric, replace(head, held_since=since, message=progress.reason), comes_to=head.comes_to, at=at
        )
        return None
    again = at + timedelta(seconds=head.again_s) if head.again_s is not None else None
    looks = [one for one in (until, again) if one is not None]
    times = {"heldUntil": until, "againAt": again}
    said = {name: one.isoformat() for name, one in times.items() if one is not None}
    event = metric.event("verification.inconclusive", message=progress.reason, **said, **told)
    changes = [
        Change(Q.hold_verification, (metric.verification_id, progress.reason, since, until, again)),
        touch(metric.deployment_id, takes_away=True),
    ]
    wakes = [WorkRequest("round", metric.deployment_id, metric.workspace_id, None, OWN_FACTS)]
    await tx.record(changes, events=[event], wakes=wakes)
    return min(looks, default=None)


async def _measured_worse(
    tx: Tx, metric: DueMetric, head: Head, progress: VerificationProgress, *, told: Mapping[str, Any]
) -> None:
    """Measured again, what had passed did not: the pass is taken back where it failed and its rules say so."""
    how = "failed" if progress.state is VerificationState.FAILED else "nothing could tell"
    if progress.state is not VerificationState.FAILED or not head.revokes:
        said = f"measured again, {how} ({progress.reason}); that it had passed stands"
        passed = VerificationState.PASSED
        await end(tx, metric, passed, reason=said, at=head.passed_at, kind="verification.stands", told=told)
        return
    said = f"measured again, it failed: {progress.reason}"
    move = None
    if metric.rollout_id is None:
        move = await tx.conn.fetchrow(Q.find_measured_move, metric.verification_id)
    beside: list[Change] = []
    events: list[Event] = []
    if move is not None and move["target_state"] == "attached" and move["current_release_id"] == move["to_release_id"]:
        beside += [
            Change(Q.revoke_good, (move["target_id"], move["to_release_id"], move["good_release_id"])),
            Change(Q.revoke_landing, (move["target_id"], move["version_id"])),
        ]
        if move["open_move_id"] is None:
            beside.append(Change(Q.reopen_move, (move["id"],), rows=1))
            events.append(replace(metric.event("move.reopened"), subject=Ref("move", move["id"])))
    failed = VerificationState.FAILED
    at = progress.decided_at
    await end(tx, metric, failed, reason=said, at=at, kind="verification.revoked", told=told, beside=beside)
    await tx.record(events=events)


def _told(name: str, progress: MetricProgress) -> dict[str, Any]:
    """A metric's part of a verdict, with its numbers, as the ledger keeps it."""
    counts = {word.value: getattr(progress, word.value) for word in MeasurementStatus}
    return {
        "name": name,
        "state": progress.state.value,
        **({"reason": progress.reason} if progress.reason else {}),
        **({"judge": dict(progress.numbers)} if progress.numbers else {}),
        "measurements": {word: number for word, number in counts.items() if number},
    }


async def _judged_before(
    conn: Conn, row: asyncpg.Record, spec: MetricSpec, since: datetime, alpha_share: float
) -> MetricProgress:
    """Where a metric stood: what was carried, or folded once more where a version before had carried nothing."""
    if row["progress"] is not None:
        before = read_progress(row["progress"])
        if before.state.final or not is_carried(spec) or (before.seen is None) is judged_alone(spec):
            return before
    taken = await _counted(conn, row["id"]) if row["taken"] > row["counted_from"] else ()
    return judge_metric(spec, taken, started_at=since, alpha_share=alpha_share)


async def _counted(conn: Conn, metric_id: str) -> list[Measurement]:
    """What a metric measured in this run."""
    return [_measurement(row) for row in await conn.fetch(Q.list_counted, metric_id)]


async def _thin(tx: Tx, metric: asyncpg.Record) -> None:
    """Keep as many samples of a metric as may be kept. None stands for measurements of two runs."""
    metric_id = metric["id"]
    kept = [
        Kept(row["number"], MeasurementStatus(row["status"]), row["measured_at"], row["message"], row["result"] or {})
        for row in await tx.conn.fetch(Q.list_all, metric_id)
    ]
    if len(kept) <= SAMPLES_MAX:
        return
    before = thinned([one for one in kept if one.number <= metric["counted_from"]], most=SAMPLES_MAX // 2)
    now = [one for one in kept if one.number > metric["counted_from"]]
    few = (*before, *thinned(now, most=SAMPLES_MAX - len(before)))
    changed = [one for one in few if one.of > 1]
    columns = (
        [one.number for one in changed],
        [one.status.value for one in changed],
        [one.message for one in changed],
        [dict(one.result) for one in changed],
    )
    numbers = [one.number for one in few]
    await tx.record([Change(Q.delete_thinned, (metric_id, numbers)), Change(Q.write_thinned, (metric_id, *columns))])


def _measurement(row: asyncpg.Record) -> Measurement:
    return Measurement(MeasurementStatus(row["status"]), row["measured_at"], row["message"], row["result"] or {})


def _by_metric(rows: Sequence[asyncpg.Record]) -> dict[str, list[Measurement]]:
    found: dict[str, list[Measurement]] = {}
    for row in rows:
        found.setdefault(row["metric_id"], []).append(_measurement(row))
    return found


async def _measurements(conn: Conn, verification_id: str) -> dict[str, list[Measurement]]:
    return _by_metric(await conn.fetch(Q.list_measurements, verification_id))


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

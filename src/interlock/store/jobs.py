"""How is a job handed over, exactly once, and how does what the outside says of it become a fact?

The hand-over, and a pull agent's claim, is one statement that succeeds only if no fact that can take something away
is undecided and the verdicts that let the job pass still hold. So a freeze holds from the commit that wrote it.

A job is a step of a move, or of a workflow's run. A run's job has no deployment to hold and no round to ask for: it is
judged in the transaction that hands it over, and withdrawn where a freeze covers it.

What the outside says is applied by the transition table of `model/job.py`: terminal is final, and news that comes
late or out of order is noted in the ledger and changes nothing.

Source: core.md section 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from interlock.decide.explain import plain_sentence, sentence
from interlock.model.canonical import digest
from interlock.model.conduct import AGENT_WIDE, KEYS, Conduct, read_conduct
from interlock.model.errors import Conflict, NotFound
from interlock.model.event import Event, Ref
from interlock.model.job import (
    TRANSITIONS,
    AgentJob,
    Authorization,
    Confirm,
    Handover,
    JobStatus,
    Observation,
    confirm_heard,
)
from interlock.model.lease import lease_terms
from interlock.model.line import Line
from interlock.model.variable import encrypted_in
from interlock.store.deployments import lock_deployment, touch
from interlock.store.lines import explain_waits
from interlock.store.queries import Conn, queries
from interlock.store.tx import Change, Tx
from interlock.store.work import OWN_FACTS, WorkRequest
from interlock.store.workflows import may_start

Q = queries("job")
LEASES = queries("lease")

ATTEMPT_LEASE_S = 60.0
"""How long one hand-over may take before others assume that its worker died."""

OURS = frozenset({"dispatch", "claim", "cancel", "lease", "overdue"})
"""Sources of news that are our own conclusions: nobody outside was heard."""
LINE_READ = ("failures", "down_since", "next_try_at", "trying_until", "stands", "moves_at")
"""What of its agent's line is read with a job."""

NOT_STARTED_FIRST_S = 0.2
NOT_STARTED_MAX_S = 10.0
"""When a job is judged again that was not started: twice as long for each call in a row without an answer."""

MESSAGE_MAX = 4_000
OUTPUT_MAX = 64_000
QUEUE_READ_MAX = 500
BROUGHT_MAX = 1_000
"""Objects, and digests, that a job may say it brought."""


@dataclass(frozen=True, slots=True)
class FlowJob:
    """A job with what the flow needs to hand it over and follow it. `snapshot` is its release's, the dispatch
    context. `conduct` is what the configs ask for now (`conduct_said` as they say it), not when the release was made.

    Takes: a job of a workflow's run (`run_id`) has no move, target, release, deployment, environment, version or
           change: these are empty.
    """

    id: str
    workspace_id: str
    deployment_id: str
    target_id: str
    move_id: str
    release_id: str
    agent_id: str
    decision_id: str
    status: JobStatus
    handover: Handover
    attempt: int
    external_id: str | None
    valid_until: datetime | None
    cancel_asked_at: datetime | None
    cancel_reason: str | None
    created_at: datetime
    handed_over_at: datetime | None
    started_at: datetime | None
    uncertain_since: datetime | None
    version_id: str
    environment_id: str
    rollout_id: str | None
    change_id: str
    move_kind: str
    agent_type: str
    agent_name: str
    snapshot: Mapping[str, Any]
    snapshot_digest: str
    run_id: str | None = None
    resource_id: str | None = None
    conduct: Conduct = field(default_factory=Conduct)
    conduct_said: Mapping[str, Any] = field(default_factory=dict)
    turn_at: datetime | None = None
    line: Line = field(default_factory=lambda: Line(""))
    confirm: Confirm = Confirm.NONE
    confirm_at: datetime | None = None

    @property
    def awaits_confirm(self) -> bool:
        """Whether it is planned outside, and Interlock has not confirmed it."""
        return self.status is JobStatus.ACTION_REQUIRED and self.confirm in {Confirm.ASKED, Confirm.GRANTED}

    def for_agent(self, snapshot: Mapping[str, Any], *, external_id: str | None = None) -> AgentJob:
        """The job as its agent sees it.

        Takes: `snapshot` is the job's own, opened; `external_id` where it is known and not stored yet.
        """
        return AgentJob(
            id=self.id,
            attempt=max(self.attempt, 1),
            agent_id=self.agent_id,
            agent_kind=self.agent_type,
            config={**snapshot.get("jobAgentConfig", {}), **self.conduct_said},
            context=snapshot,
            external_id=external_id or self.external_id,
            started_at=self.handed_over_at or self.started_at,
            timeout_s=self.conduct.timeout_s,
        )

    def authorization(self) -> Authorization:
        """Why this hand-over is allowed."""
        frozen = self.snapshot_digest or digest(self.snapshot)
        return Authorization(self.decision_id, self.target_id, frozen, self.valid_until)

    @property
    def rated(self) -> bool:
        """Whether its agent's jobs go at a rate."""
        return self.conduct.rate_per_minute is not None

    @property
    def is_being_handed_over(self) -> bool:
        """Whether somebody may have it, and nobody has said so."""
        return self.handover in {Handover.STARTING, Handover.UNCERTAIN} and not self.status.terminal

    @property
    def over_at(self) -> datetime | None:
        """When its run has taken longer than it may; None: it may take as long as it likes, or nobody has it.

        Why:    a planned run that a rule holds takes no time, and one that was confirmed begins anew: a freeze over a
                weekend is no overrun.
        """
        if self.handed_over_at is None or self.conduct.timeout_s is None or self.awaits_confirm:
            return None
        began_at = self.confirm_at or self.handed_over_at
        return began_at + timedelta(seconds=self.conduct.timeout_s)

    @property
    def chain(self) -> str | None:
        """The change that it belongs to; a run brings none."""
        return self.change_id or None

    def event(self, kind: str, **body: object) -> Event:
        """An event about this job."""
        return Event(kind, Ref("job", self.id), {**self.place(), **body}, self.refs(), self.decision_id, self.chain)

    def refs(self) -> tuple[Ref, ...]:
        """What else the job is about."""
        if self.run_id is not None:
            of = (Ref("workflow_run", self.run_id), Ref("workflow", self.snapshot["workflow"]["id"]))
            return (*of, Ref("resource", self.resource_id)) if self.resource_id else of
        found = (
            Ref("move", self.move_id),
            Ref("target", self.target_id),
            Ref("environment", self.environment_id),
            Ref("deployment", self.deployment_id),
            Ref("version", self.version_id),
        )
        return (*found, Ref("rollout", self.rollout_id)) if self.rollout_id else found

    def place(self) -> dict[str, object]:
        """Where, and with what, in names."""
        if self.run_id is not None:
            at = {"resource": self.snapshot["resource"]["name"]} if self.resource_id else {}
            return {"workflow": self.snapshot["workflow"]["name"], "agent": self.agent_name, **at}
        return {
            "target": self.snapshot["resource"]["name"],
            "environment": self.snapshot["environment"]["name"],
            "deployment": self.snapshot["deployment"]["name"],
            "version": self.snapshot["version"]["tag"],
            "kind": self.move_kind,
        }


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as people and clients read it. `context` is its dispatch context.

    Takes: a job of a workflow's run (`run_id`) has no move, target, release, deployment or environment, and perhaps no
           resource: these are empty, and its `move_kind` is `workflow`.
    """

    id: str
    status: str
    message: str | None
    external_id: str | None
    links: Mapping[str, str]
    metadata: Mapping[str, str]
    agent_id: str
    release_id: str
    target_id: str
    deployment_id: str
    environment_id: str
    resource_id: str
    move_id: str
    move_kind: str
    decision_id: str
    attempt: int
    retry_of: str | None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    context: Mapping[str, Any] = field(repr=False)
    run_id: str | None = None
    output: str | None = None
    cancel_reason: str | None = None
    held_by: str | None = None
    heard_at: datetime | None = None
    leased_until: datetime | None = None
    applied: Sequence[str] = ()
    artifacts: Sequence[str] = ()
    observed_at: datetime | None = None
    """When the outside was last heard, or looked at."""
    verification: str | None = None
    """How what was measured of it stands, where something is: a job may end well and its version be bad."""
    is_task: bool = False
    agent_name: str = ""
    agent_type: str = ""
    encrypted: Sequence[str] = ()
    """The variables of the context that are secrets, by key."""


def job_row(row: asyncpg.Record) -> JobRow:
    """A job as a query gave it."""
    fields = {key: row[key] for key in row.keys() if key not in ("snapshot", "total")}  # noqa: SIM118 - a Record iterates values
    context = row["snapshot"]
    return JobRow(**fields, context=context, encrypted=encrypted_in(context.get("variables") or {}))


async def with_reasons(conn: Conn, rows: Sequence[asyncpg.Record]) -> tuple[JobRow, ...]:
    """The rows; one that waits for an agent that is down, or for its turn, says so.

    Why: it is so for all jobs of an agent at once, from one instant to the next, and so it is written on none of them.
    """
    found = tuple(map(job_row, rows))
    waiting = {job.agent_id for job in found if job.status == JobStatus.PENDING}
    reasons = await explain_waits(conn, sorted(waiting))
    if not reasons:
        return found
    return tuple(
        replace(job, message=reasons.get(job.agent_id, job.message)) if job.status == JobStatus.PENDING else job
        for job in found
    )


async def list_target_jobs(
    conn: Conn, workspace_id: str, *, target_id: str, limit: int, offset: int
) -> tuple[tuple[JobRow, ...], int]:
    """A page of a target's jobs, newest first, and how many there are (0 past the last page)."""
    rows = await conn.fetch(Q.list_target_jobs, workspace_id, target_id, limit, offset)
    return await with_reasons(conn, rows), rows[0]["total"] if rows else 0


async def load_latest_jobs(conn: Conn, workspace_id: str, *, target_ids: Sequence[str]) -> dict[str, JobRow]:
    """target id -> its newest job, for those that have one."""
    rows = await conn.fetch(Q.list_latest_jobs, workspace_id, list(target_ids))
    return {job.target_id: job for job in await with_reasons(conn, rows)}


async def find_job(conn: Conn, workspace_id: str, *, job_id: str) -> JobRow | None:
    """One job, with its captured output."""
    row = await conn.fetchrow(Q.find_job, workspace_id, job_id)
    return None if row is None else (await with_reasons(conn, [row]))[0]


async def list_agent_jobs(
    conn: Conn, workspace_id: str, *, agent_id: str, status: str | None, limit: int, offset: int = 0
) -> tuple[tuple[JobRow, ...], int]:
    """A pull agent's jobs, oldest first, and how many there are."""
    rows = await conn.fetch(Q.list_agent_jobs, workspace_id, agent_id, status, limit, offset)
    return await with_reasons(conn, rows), rows[0]["total"] if rows else 0


async def find_flow_job(conn: Conn, job_id: str) -> FlowJob | None:
    """A job with what the flow needs of it."""
    row = await conn.fetchrow(Q.find_flow_job, job_id, list(KEYS), sorted(AGENT_WIDE))
    if row is None:
        return None
    fields: dict[str, Any] = dict(row)
    fields["conduct"] = read_conduct(fields["conduct_said"])
    fields["status"] = JobStatus(fields["status"])
    fields["handover"] = Handover(fields["handover"])
    fields["line"] = Line(fields["agent_id"], **{name: fields.pop(name) for name in LINE_READ})
    fields["confirm"] = Confirm(fields["confirm"])
    return FlowJob(**fields)


async def begin_handover(tx: Tx, job: FlowJob) -> bool:
    """Take the job for one attempt, if the decision behind it is still valid. Says whether it is."""
    if job.run_id is not None:
        if not await _still_passes(tx, job):
            return False
        return await tx.conn.fetchrow(Q.begin_run_handover, job.id, ATTEMPT_LEASE_S) is not None
    if await tx.conn.fetchrow(Q.begin_handover, job.id, ATTEMPT_LEASE_S) is None:
        return False
    await _note_start(tx, job)
    return True


async def _still_passes(tx: Tx, job: FlowJob) -> bool:
    """Judge a run's job once more, right before somebody gets it. One that a freeze covers is withdrawn: whoever asked
    for it may ask again, and nothing starts by itself hours later because somebody thawed.
    """
    decision = await may_start(tx, job.workspace_id, resource_id=job.resource_id, now=await tx.conn.fetchval(Q.now))
    if decision.barring is None:
        return True
    said = f"Taken back before it started. {plain_sentence(decision.verdicts[0])}"[:MESSAGE_MAX]
    if await tx.conn.fetchrow(Q.withdraw_run_job, job.id, said) is not None:
        body = {"reason": decision.barring.reason, "waitsOn": list(decision.barring.waits_on)}
        await tx.record(events=[job.event("job.withdrawn", **body)])
    return False


async def reconsider(tx: Tx, job: FlowJob) -> None:
    """A freeze was set: take a run's job back that nobody has yet, if it covers it."""
    await _still_passes(tx, job)


async def judge_again(tx: Tx, job: FlowJob) -> None:
    """A hand-over was refused: ask for a round if the verdicts behind the job have run out of time.

    Why:    where a fact is undecided its writer asked for the round; the instant at which a verdict may change is the
            plan's wake-up. This is the second road to the same round.
    """
    if await tx.conn.fetchval(Q.is_out_of_time, job.id):
        await tx.record(wakes=_looks(job))


async def _note_start(tx: Tx, job: FlowJob) -> None:
    """The target has been handed this version: its mark, its move.

    Why:    the hand-over is what answers an order, and what a pin brings raises the mark past an older rollout's
            version: both end in a round, which nothing else would ask for.
    """
    started = await tx.conn.fetchrow(Q.start_move, job.move_id)
    events = []
    wakes = [_round(job)] if started is not None and started["by_hand"] else []
    if started is not None:
        refs = tuple(ref for ref in (*job.refs(), Ref("job", job.id)) if ref.kind != "move")
        events.append(
            Event("move.started", Ref("move", job.move_id), job.place(), refs, job.decision_id, job.change_id)
        )
    await tx.record([Change(Q.mark_target, (job.target_id, job.version_id))], events=events, wakes=wakes)


async def offer_job(tx: Tx, job: FlowJob) -> bool:
    """Put a pull agent's job where it is asked for. Says whether it still waited."""
    if job.run_id is not None and not await _still_passes(tx, job):
        return False
    await _hold(tx, job)
    if await tx.conn.fetchrow(Q.offer_job, job.id) is None:
        return False
    event = job.event("job.status_changed", **{"from": "pending", "to": "queued", "source": "dispatch"})
    await tx.record(_touched(job, takes_away=False), events=[event])
    tx.announce(queue_topic(job.agent_id))
    return True


async def list_queue(conn: Conn, agent_id: str, *, status: str | None) -> tuple[str, ...]:
    """The ids of a pull agent's oldest jobs, for who waits for one."""
    return tuple(row["id"] for row in await conn.fetch(Q.list_queue, agent_id, status, QUEUE_READ_MAX))


def queue_topic(agent_id: str) -> str:
    """What is announced when this agent is offered a job."""
    return f"queue:{agent_id}"


async def claim_job(
    tx: Tx,
    *,
    workspace_id: str,
    agent_id: str,
    job_id: str,
    holder: str | None = None,
    lease_s: float | None = None,
    row: JobRow | None = None,
) -> JobRow:
    """A pull agent takes a job: at most one does. It has it for a lease (`store/leases.py`), or until it ends.

    Why:   of hundreds who claim at once all but one hear so at once, and keep no connection waiting for the locks.
    Takes: `lease_s` is the lease that is asked for; `holder` who takes it, in its own words; `row` the job as it was
           read before, where it was.
    Fails: `NotFound` for a job that is not this agent's, `Conflict` when it is not queued or may not be handed over
           now.
    """
    if not await tx.conn.fetchval(LEASES.try_claim, job_id):
        raise Conflict("The job is not to be had now: somebody else claims it.")
    row = row or await find_job(tx.conn, workspace_id, job_id=job_id)
    job = await find_flow_job(tx.conn, job_id)
    if row is None or job is None or row.agent_id != agent_id:
        raise NotFound("This agent has no such job.")
    # Two claims would share the deployment's lock, and each wait for the other to let it write there.
    await _hold(tx, job)
    if job.run_id is not None:
        decision = await may_start(tx, workspace_id, resource_id=job.resource_id, now=await tx.conn.fetchval(Q.now))
        if decision.barring is not None:
            raise Conflict(f"The job is not to be had now. {sentence(decision.verdicts[0])}")
    granted_s = lease_terms(job.snapshot.get("jobAgentConfig") or {}).granted_s(lease_s)
    claim = Q.claim_job if job.run_id is None else Q.claim_run_job
    claimed = await tx.conn.fetchrow(claim, job_id, agent_id, holder, granted_s)
    if claimed is None:
        raise Conflict("The job is not to be had now: it is not queued, or what let it pass is being decided again.")
    if job.run_id is None:
        await _note_start(tx, job)
    events = [
        job.event("job.claimed", agent=job.agent_name),
        job.event("job.handed_over", agent=job.agent_name, attempt=claimed["attempt"]),
        job.event("job.status_changed", **{"from": "queued", "to": "inProgress", "source": "claim"}),
    ]
    wakes = _looks(job)
    if job.conduct.timeout_s is not None:
        over_at = claimed["started_at"] + timedelta(seconds=job.conduct.timeout_s)
        wakes.append(WorkRequest("observe", job.id, job.workspace_id, over_at, OWN_FACTS))
    if claimed["leased_until"] is not None:
        wakes.append(WorkRequest("observe", job.id, job.workspace_id, claimed["leased_until"], OWN_FACTS))
    await tx.record(_touched(job, takes_away=False), events=events, wakes=wakes)
    return replace(row, **dict(claimed))


async def take_job(tx: Tx, job: FlowJob) -> None:
    """A person takes a job that is theirs to do; whoever calls has looked whether it is, and holds it.

    Fails: `Conflict` when it is not queued, or may not be handed over now.
    """
    if job.run_id is not None:
        decision = await may_start(tx, job.workspace_id, resource_id=job.resource_id, now=await tx.conn.fetchval(Q.now))
        if decision.barring is not None:
            raise Conflict(f"The job is not to be had now. {sentence(decision.verdicts[0])}")
    if await tx.conn.fetchrow(Q.take_job if job.run_id is None else Q.take_run_job, job.id) is None:
        raise Conflict("The job is not to be had now: it is not queued, or what let it pass is being decided again.")
    if job.run_id is None:
        await _note_start(tx, job)
    events = [
        job.event("job.claimed", agent=job.agent_name),
        job.event("job.handed_over", agent=job.agent_name, attempt=job.attempt + 1),
        job.event("job.status_changed", **{"from": "queued", "to": "inProgress", "source": "person"}),
    ]
    await tx.record(_touched(job, takes_away=False), events=events, wakes=_looks(job))


def _round(job: FlowJob) -> WorkRequest:
    return WorkRequest("round", job.deployment_id, job.workspace_id, None, OWN_FACTS)


def _looks(job: FlowJob) -> list[WorkRequest]:
    """Who must look because something changed about the job: its deployment's round. A run has none."""
    return [_round(job)] if job.run_id is None else []


def _touched(job: FlowJob, *, takes_away: bool) -> list[Change]:
    """That its deployment has a fact which no round has seen. A run has none."""
    return [touch(job.deployment_id, takes_away=takes_away)] if job.run_id is None else []


async def _hold(tx: Tx, job: FlowJob) -> None:
    """Hold what is locked before the job itself, in the order of rounds."""
    if job.run_id is None:
        await lock_deployment(tx, job.deployment_id)


def looks_of(job: FlowJob) -> list[WorkRequest]:
    """Who must look because something changed about a job."""
    return _looks(job)


def touched_by(job: FlowJob) -> list[Change]:
    """That a job has news which takes nothing away."""
    return _touched(job, takes_away=False)


async def hold_job(tx: Tx, job: FlowJob, *, itself: bool = False) -> None:
    """Hold what is locked before a job, in the order of rounds, and then perhaps the job `itself`."""
    await _hold(tx, job)
    if itself:
        await tx.conn.fetchrow(Q.lock_job, job.id)


async def wait_again(tx: Tx, job: FlowJob) -> None:
    """No run came of a hand-over. A round judges the job again before anybody hands it over: gates may hold by now,
    and no round looked at them while the outside might have had it.
    """
    if job.run_id is not None:
        again = [WorkRequest("dispatch", job.id, job.workspace_id, None, OWN_FACTS)]
        await tx.record([Change(Q.wait_again, (job.id,))], events=[job.event("job.not_started")], wakes=again)
        return
    changes = [Change(Q.wait_again, (job.id,)), touch(job.deployment_id, takes_away=False)]
    await tx.record(changes, events=[job.event("job.not_started")], wakes=_looks(job))


async def take_back(tx: Tx, job: FlowJob, *, reason: str) -> None:
    """A hand-over that surely started nothing: all that it wrote is put back, and the job waits as it did before.

    Why:    the attempt was none, so none is counted; the target was not handed the version, so it may be held back or
            overtaken again. A round judges the job before anybody hands it over, later after each silence in a row.
    """
    await _hold(tx, job)
    row = await tx.conn.fetchrow(Q.take_back, job.id, job.attempt, reason[:MESSAGE_MAX])
    if row is None:
        return
    wait_s = min(NOT_STARTED_FIRST_S * 2 ** min(job.line.failures, 10), NOT_STARTED_MAX_S)
    at = await tx.conn.fetchval(Q.now) + timedelta(seconds=wait_s)
    told = job.event("job.not_started")
    if job.run_id is not None:
        again = [WorkRequest("dispatch", job.id, job.workspace_id, at, OWN_FACTS)]
        await tx.record(events=[told], wakes=again)
        return
    changes = [
        Change(Q.unmark_target, (job.target_id, job.version_id, row["mark_before"], row["last_started_before"])),
        touch(job.deployment_id, takes_away=False),
    ]
    events = [told]
    if row["move_began"]:
        changes.append(Change(Q.unstart_move, (job.move_id,)))
        refs = tuple(ref for ref in (*job.refs(), Ref("job", job.id)) if ref.kind != "move")
        moved = Event("move.not_started", Ref("move", job.move_id), job.place(), refs, job.decision_id, job.change_id)
        events.append(moved)
    wakes = [WorkRequest("round", job.deployment_id, job.workspace_id, at, OWN_FACTS)]
    await tx.record(changes, events=events, wakes=wakes)


async def settle_handover(tx: Tx, job: FlowJob, handover: Handover, *, events: Sequence[Event] = ()) -> None:
    """Say what became of a hand-over: started or uncertain. One that news has settled already stays started."""
    await _hold(tx, job)
    was = await tx.conn.fetchval(Q.settle_handover, job.id, handover.value)
    if was is not None and was != Handover.STARTED:
        await tx.record(events=events)


async def hear(tx: Tx, job: FlowJob, seen: Observation, *, source: str) -> JobStatus:
    """News of a run that comes by itself, by webhook or callback. Gives the status that the job has afterwards.

    Why:    it may come before the start is answered, or where the answer was lost. Then it is the answer: the outside
            has the job, which is followed from now on whatever becomes of the worker that started it.
    """
    if job.is_being_handed_over:
        told = job.event("job.handed_over", agent=job.agent_name, attempt=job.attempt)
        await settle_handover(tx, job, Handover.STARTED, events=[told])
        await tx.record(wakes=[WorkRequest("observe", job.id, job.workspace_id, None, OWN_FACTS)])
        seen = replace(seen, status=seen.status or JobStatus.IN_PROGRESS)
    return await apply_observation(tx, job, seen, source=source)


async def apply_start(tx: Tx, job: FlowJob, seen: Observation, *, source: str) -> JobStatus:
    """What the answer to a start says. News that came before it is newer: then only its end counts, and its links."""
    row = await tx.conn.fetchrow(Q.lock_job, job.id)
    if row is not None and row["status"] != JobStatus.PENDING and not (seen.status and seen.status.terminal):
        seen = replace(seen, status=None, message=None)
    return await apply_observation(tx, job, seen, source=source)


async def apply_observation(tx: Tx, job: FlowJob, seen: Observation, *, source: str) -> JobStatus:
    """Make what the outside said a fact. Gives the status that the job has afterwards.

    Why:    every road of news (agent, claim, PUT, webhook) ends here, so that terminal is final on all of them. The
            deployment is held first, in the order of rounds; news that changes no status does not wait for it.
    """
    held = seen.status not in (None, job.status) or _confirm_changes(job.confirm, seen)
    if held:
        await _hold(tx, job)
    row = await tx.conn.fetchrow(Q.lock_job, job.id)
    if row is None:
        raise NotFound("There is no such job.")
    before = JobStatus(row["status"])
    if (seen.applied or seen.artifacts) and not before.terminal:
        brought = (job.id, list(seen.applied)[:BROUGHT_MAX], list(seen.artifacts)[:BROUGHT_MAX])
        await tx.record([Change(Q.set_job_brought, brought)])
    message = seen.message[:MESSAGE_MAX] if seen.message else None
    output = seen.output[-OUTPUT_MAX:] if seen.output else None
    wanted = seen.status or before
    if Confirm(row["confirm"]) in PAST_ASKING and seen.confirmable:
        wanted = before  # it is older than our yes
    if row["overran"] and wanted is JobStatus.CANCELLED:
        wanted, message = JobStatus.FAILURE, " ".join(filter(None, (row["cancel_reason"], message)))[:MESSAGE_MAX]
    heard = source not in OURS
    if wanted is before:
        if not before.terminal:
            news = (job.id, message, seen.external_id, dict(seen.links), dict(seen.metadata), output, heard)
            await tx.record([Change(Q.set_job_news, news)])
            if held and _confirm_changes(Confirm(row["confirm"]), seen):
                await _note_confirm(tx, job, Confirm(row["confirm"]), seen)
        return before
    if wanted not in TRANSITIONS[before]:
        note = job.event("job.noted", **{"is": before.value, "heard": wanted.value, "source": source})
        await tx.record(events=[note])
        return before
    row_args = (
        job.id,
        wanted.value,
        message,
        seen.external_id,
        dict(seen.links),
        dict(seen.metadata),
        output,
        wanted.terminal,
        seen.finished_at,
        heard,
    )
    told = {"from": before.value, "to": wanted.value, "source": source}
    takes_away = wanted.terminal and wanted is not JobStatus.SUCCESSFUL
    changes = [Change(Q.set_job_status, row_args), *_touched(job, takes_away=takes_away)]
    if job.run_id is None and wanted.terminal and row["handover"] == Handover.WAITING:
        # It ended before anybody had it (no such agent, cancelled): that was its attempt, or a round starts it again.
        changes.append(Change(Q.mark_target, (job.target_id, job.version_id)))
    await tx.record(changes, events=[job.event("job.status_changed", **told)], wakes=_looks(job))
    if _confirm_changes(Confirm(row["confirm"]), seen):
        await _note_confirm(tx, job, Confirm(row["confirm"]), seen)
    return wanted


PAST_ASKING = frozenset({Confirm.GIVING, Confirm.GIVEN})
"""Our yes is on its way, or there: what says that the run waits for it was said before."""


def _confirm_changes(before: Confirm, seen: Observation) -> bool:
    return seen.status is not None and confirm_heard(before, confirmable=seen.confirmable) is not before


async def _note_confirm(tx: Tx, job: FlowJob, before: Confirm, seen: Observation) -> None:
    """The outside waits for our yes, or does not any more. A round judges it; a workflow's run has none, and may go."""
    after = confirm_heard(before, confirmable=seen.confirmable)
    if after is Confirm.ASKED and job.run_id is not None:
        after = Confirm.GRANTED
    events = [job.event("job.confirm_asked")] if seen.confirmable else []
    wakes = [WorkRequest("dispatch", job.id, job.workspace_id, None, OWN_FACTS)] if job.run_id is not None else []
    changes = [Change(Q.set_confirm, (job.id, after.value)), *_touched(job, takes_away=False)]
    await tx.record(changes, events=events, wakes=[*wakes, *_looks(job)])


async def cancel_job(tx: Tx, job_id: str, *, reason: str) -> bool:
    """A person wants a job to end. Says whether that is news: a job is asked once.

    Fails: `NotFound`; `Conflict` when it has ended already.
    """
    job = await find_flow_job(tx.conn, job_id)
    if job is None:
        raise NotFound("There is no such job.")
    if await ask_cancel(tx, job, reason=reason):
        return True
    job = await find_flow_job(tx.conn, job_id)
    if job is None or job.status.terminal:
        status = job.status if job is not None else "gone"
        raise Conflict(f"The job is {status} already: there is nothing to cancel.", code="JOB_OVER")
    return False


async def cancel_jobs_of_workspace(tx: Tx, workspace_id: str, *, reason: str) -> None:
    """Ask for the end of every job of a workspace that is not over."""
    for row in await tx.conn.fetch(Q.list_open_jobs, workspace_id):
        job = await find_flow_job(tx.conn, row["id"])
        if job is not None:
            await ask_cancel(tx, job, reason=reason)


async def ask_cancel(tx: Tx, job: FlowJob, *, reason: str, overran: bool = False) -> bool:
    """Ask for a job's end. Its target stays occupied until the outside confirms. Says whether it was new.

    Takes: `overran`: because it took too long. Then a cancelled run is a job that failed.
    """
    await _hold(tx, job)
    if await tx.conn.fetchrow(Q.ask_cancel, job.id, reason, overran) is None:
        return False
    wakes = [WorkRequest("observe", job.id, job.workspace_id, None, OWN_FACTS), *_looks(job)]
    events = [job.event("job.overran", afterSeconds=job.conduct.timeout_s)] if overran else []
    await tx.record(_touched(job, takes_away=True), events=[*events, job.event("job.cancel_asked")], wakes=wakes)
    return True

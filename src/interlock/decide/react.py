"""An outcome arrived: what now? Retry, verify, succeed, roll back, escalate, halt.

Reactions in order: retry while attempts are left, then rollback, then halt. A failed verification is never retried. They come first in a round, because everything after
them (progression, pace, the next target) looks at where targets are once outcomes were answered.

    job ended well     -> verification begins, or the move succeeds
    job ended badly    -> a retry is due (asked for by `gates`, made by `pace`), or the move fails
    verification ended -> the move succeeds and its release is `good`, or the move fails
    a move failed      -> the rule says roll back: a move to the `good` release, and a quarantine; or the hold says who can act
    too many failed    -> the rollout halts

Source: core.md section 4 (reactions, halt, rollback).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from interlock.decide.facts import Index, Job, Landed, Move, Quarantine, ReleaseRef, Target, Verification
from interlock.decide.plan import (
    Escalation,
    Landing,
    MoveEnd,
    NewChange,
    NewJob,
    NewQuarantine,
    NewVerification,
    Plan,
    RolloutState,
    TargetChange,
    applied,
)
from interlock.decide.record import Recorder
from interlock.decide.rules import gradual_rollout, retry, rollback, verification
from interlock.model.ids import derived_id
from interlock.model.job import Handover, JobStatus
from interlock.model.policy import Rule

FAILED = frozenset({"failed"})


@dataclass(slots=True)
class Outcome:
    """What a round's answers come to, collected while they are given."""

    ends: list[MoveEnd] = field(default_factory=list)
    verifying: list[str] = field(default_factory=list)
    target_changes: list[TargetChange] = field(default_factory=list)
    landings: list[Landing] = field(default_factory=list)
    quarantines: list[NewQuarantine] = field(default_factory=list)
    verifications: list[NewVerification] = field(default_factory=list)
    changes: list[NewChange] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    jobs: list[NewJob] = field(default_factory=list)
    escalations: list[Escalation] = field(default_factory=list)

    def plan(self) -> Plan:
        """The answers as a plan."""
        return Plan(
            changes=tuple(self.changes),
            ends=tuple(self.ends),
            verifying=tuple(self.verifying),
            target_changes=tuple(self.target_changes),
            landings=tuple(self.landings),
            quarantines=tuple(self.quarantines),
            moves=tuple(self.moves),
            jobs=tuple(self.jobs),
            verifications=tuple(self.verifications),
            escalations=tuple(self.escalations),
        )


def answer(index: Index, recorder: Recorder, now: datetime) -> Plan:
    """The reactions to everything that ended: ends, verifications, rollbacks, halts.

    Gives: a plan; its rollbacks name decisions that `recorder` holds.
    """
    outcome = Outcome()
    for move in sorted(index.open_move_by_target.values(), key=lambda one: one.id):
        target = index.facts.targets.get(move.target_id) or index.facts.leaving.get(move.target_id)
        if target is not None:
            _answer_move(index, recorder, outcome, target, move, now)
    answers = outcome.plan()
    return _with_halts(index, answers, now)


def rules_of(index: Index, target: Target, kind: str) -> tuple[Rule, ...]:
    """The enforced rules of one kind that concern a target."""
    return tuple(
        rule
        for policy in index.policies_of(target.policy_set)
        if not policy.observe
        for rule in policy.rules
        if rule.kind == kind
    )


def last_outcome(move: Move) -> Job | None:
    """The newest job that the outside had; one that was withdrawn before that tells nothing."""
    told = [job for job in move.jobs if not (job.status is JobStatus.SKIPPED and job.handover is Handover.WAITING)]
    return told[-1] if told else None


def retry_due(index: Index, target: Target, move: Move) -> datetime | None:
    """When the next attempt of a move may start; None when its last job did not fail or no retry is left."""
    job = last_outcome(move)
    if job is None or not job.status.terminal or job.status is JobStatus.SUCCESSFUL or move.state == "verifying":
        return None
    params = [rule.params for rule in rules_of(index, target, retry.kind) if isinstance(rule.params, retry.Params)]
    statuses = [one.status for one in move.jobs if one.status.terminal and one.status is not JobStatus.SKIPPED]
    if not params or not statuses or job.status is JobStatus.SKIPPED:
        return None
    wait = retry.wait_before_retry(params, statuses)
    return None if wait is None else (job.completed_at or job.created_at) + wait


def _answer_move(index: Index, recorder: Recorder, outcome: Outcome, target: Target, move: Move, now: datetime) -> None:
    job = last_outcome(move)
    if job is None:
        return
    _begin_early(index, outcome, target, move, job)
    if not job.status.terminal:
        return
    if job.status is JobStatus.SUCCESSFUL:
        _answer_success(index, recorder, outcome, target, move, job, now)
    elif retry_due(index, target, move) is None:
        if job.status in {JobStatus.CANCELLED, JobStatus.SKIPPED} and not _rolls_back_on(index, target, job.status):
            outcome.ends.append(MoveEnd(move.id, target.id, "cancelled", f"job_{job.status.value}", _told(job)))
        else:
            _fail(index, recorder, outcome, target, move, now, reason="job_failed", values=_told(job), status=job.status)


def _told(job: Job) -> dict[str, object]:
    return {"status": job.status.value, **({"message": job.message} if job.message else {})}


def _metrics(index: Index, target: Target, triggers: Sequence[str]) -> list[tuple[str, Rule, verification.Params]]:
    """(policy id, rule, params) of the verification rules with these triggers, in a stable order."""
    found = [
        (policy.id, rule, rule.params)
        for policy in index.policies_of(target.policy_set)
        if not policy.observe
        for rule in policy.rules
        if isinstance(rule.params, verification.Params) and rule.params.trigger in triggers
    ]
    return sorted(found, key=lambda one: (one[0], one[1].id))


def _begin(outcome: Outcome, target: Target, move: Move, job: Job, rules: list[tuple[str, Rule, verification.Params]]) -> None:
    """Begin one verification a trigger, unless it was begun."""
    metrics = tuple((policy_id, spec) for policy_id, _, params in rules for spec in params.metrics)
    begun = Verification(derived_id("verification", job.id, rules[0][2].trigger), job.id, "running")
    if all(one.id != begun.id for one in move.verifications):
        outcome.verifications.append(NewVerification(begun, move.id, target.id, metrics))


def _begin_early(index: Index, outcome: Outcome, target: Target, move: Move, job: Job) -> None:
    """Verifications that run beside the job (jobCreated, jobStarted) or only record a failure (jobFailure)."""
    reached = {"jobCreated": True, "jobStarted": job.status not in {JobStatus.PENDING, JobStatus.QUEUED}}
    reached["jobFailure"] = job.status.terminal and job.status is not JobStatus.SUCCESSFUL
    for trigger in (name for name, yes in reached.items() if yes):
        rules = _metrics(index, target, (trigger,))
        if rules:
            _begin(outcome, target, move, job, rules)


def _answer_success(
    index: Index, recorder: Recorder, outcome: Outcome, target: Target, move: Move, job: Job, now: datetime
) -> None:
    """The job ended well: the target runs the release; whether it is good the verification says."""
    landed_at = job.completed_at or now
    known = index.facts.landed_by_target_version.get((target.id, move.version_id))
    gating = _metrics(index, target, ("jobSuccess", "jobStarted", "jobCreated"))
    begun = [one for one in move.verifications if one.job_id == job.id and not _records_only(one, job)]
    late = [one for one in gating if one[2].trigger == "jobSuccess"]
    expected = len({params.trigger for _, _, params in gating})
    arrived = move.state != "verifying"
    if arrived and (known is None or known.left_at is not None):
        known = Landed(first_success_at=landed_at, verified_at=None)
        outcome.landings.append(Landing(target.id, move.version_id, known))
    if arrived and (target.current is None or target.current.id != move.to_release.id):
        outcome.target_changes.append(TargetChange(target.id, current=move.to_release))
    failed = [one for one in begun if one.state == "failed"]
    unsure = [one for one in begun if one.state == "inconclusive"]
    if failed:
        told = {"message": failed[0].message or "", "verification": failed[0].id}
        _fail(index, recorder, outcome, target, move, now, reason="verification_failed", values=told)
    elif unsure:
        told = {"message": unsure[0].message or "", "verification": unsure[0].id}
        outcome.ends.append(MoveEnd(move.id, target.id, "failed", "verification_inconclusive", told))
    elif len(begun) >= expected and all(one.state == "passed" for one in begun):
        good_at = max([landed_at, *(one.ended_at for one in begun if one.ended_at is not None)])
        _succeed(outcome, target, move, known, good_at)
    else:
        if late and all(one.id != derived_id("verification", job.id, "jobSuccess") for one in begun):
            _begin(outcome, target, move, job, late)
        if arrived:
            outcome.verifying.append(move.id)


def _records_only(one: Verification, job: Job) -> bool:
    return one.id == derived_id("verification", job.id, "jobFailure")


def _succeed(outcome: Outcome, target: Target, move: Move, known: Landed | None, good_at: datetime) -> None:
    first = known.first_success_at if known else good_at
    if known is None or known.verified_at is None:
        landing = Landing(target.id, move.version_id, Landed(first_success_at=first, verified_at=good_at))
        outcome.landings[:] = [one for one in outcome.landings if (one.target_id, one.version_id) != (target.id, move.version_id)]
        outcome.landings.append(landing)
    outcome.target_changes[:] = [one for one in outcome.target_changes if one.target_id != target.id]
    outcome.target_changes.append(TargetChange(target.id, current=move.to_release, good=move.to_release))
    outcome.ends.append(MoveEnd(move.id, target.id, "succeeded", "done", {}))


def _rolls_back_on(index: Index, target: Target, status: JobStatus) -> bool:
    return any(
        isinstance(rule.params, rollback.Params) and status in rule.params.statuses
        for rule in rules_of(index, target, rollback.kind)
    )


def _fail(  # noqa: PLR0913 - what failed, where, why
    index: Index,
    recorder: Recorder,
    outcome: Outcome,
    target: Target,
    move: Move,
    now: datetime,
    *,
    reason: str,
    values: dict[str, object],
    status: JobStatus | None = None,
) -> None:
    """The move failed for good: end it, and go back where a rule says so."""
    outcome.ends.append(MoveEnd(move.id, target.id, "failed", reason, values))
    if status is None:
        wanted = any(
            isinstance(rule.params, rollback.Params) and rule.params.on_verification_failure
            for rule in rules_of(index, target, rollback.kind)
        )
    else:
        wanted = _rolls_back_on(index, target, status)
    if move.kind == "rollback":
        outcome.escalations.append(Escalation(move.id, target.id))
        return
    if not wanted or target.id not in index.facts.targets:
        return
    outcome.quarantines.append(NewQuarantine(_quarantine(target, move), move.id))
    left = index.facts.landed_by_target_version.get((target.id, move.version_id))
    known = [one.landed for one in outcome.landings if (one.target_id, one.version_id) == (target.id, move.version_id)]
    left = known[-1] if known else left
    if left is not None and _version_changed(move):
        landed = Landed(left.first_success_at, left.verified_at, left_at=now)
        outcome.landings[:] = [one for one in outcome.landings if (one.target_id, one.version_id) != (target.id, move.version_id)]
        outcome.landings.append(Landing(target.id, move.version_id, landed))
    if target.good is not None and target.good.id != move.to_release.id:
        _start_rollback(recorder, outcome, target, move, target.good, now)


def _version_changed(move: Move) -> bool:
    return move.from_release is None or move.from_release.version_id != move.version_id


def _quarantine(target: Target, move: Move) -> Quarantine:
    if _version_changed(move):
        return Quarantine(target.id, move.version_id, None)
    return Quarantine(target.id, None, move.to_release.config_digest)


def _start_rollback(
    recorder: Recorder, outcome: Outcome, target: Target, move: Move, good: ReleaseRef, now: datetime
) -> None:
    decision = recorder.decide(
        kind="rollback", environment_id=target.environment_id, version_id=good.version_id, policy_set=target.policy_set, judged=()
    )
    change = NewChange(derived_id("change", "rollback", move.id), "rollback", version_id=good.version_id)
    back = Move(
        id=derived_id("move", target.id, move.id, "rollback"),
        target_id=target.id,
        environment_id=target.environment_id,
        rollout_id=None,
        change_id=change.id,
        kind="rollback",
        version_id=good.version_id,
        to_release=good,
        from_release=move.to_release,
        state="admitted",
        decision_id=decision.id,
        admitted_at=now,
        undoes_move_id=move.id,
    )
    job = Job(derived_id("job", back.id, "1"), JobStatus.PENDING, Handover.WAITING, created_at=now)
    outcome.changes.append(change)
    outcome.moves.append(back)
    outcome.jobs.append(NewJob(job, back.id, target.id, decision.id, None))


def failures_of(index: Index, rollout_id: str) -> int:
    """How many targets of a rollout failed: their newest move in it did."""
    newest: dict[str, Move] = {}
    for move in index.moves_by_rollout.get(rollout_id, ()):
        newest[move.target_id] = move
    return sum(1 for move in newest.values() if move.state in FAILED)


def failures_allowed(index: Index, environment_id: str) -> int:
    """The smallest `maxFailures` of the rules that pace an environment; 0 where none does."""
    sets = {target.policy_set for target in index.targets_by_environment.get(environment_id, ())}
    limits = [
        rule.params.max_failures
        for policy_set in sets
        for policy in index.policies_of(policy_set)
        if not policy.observe
        for rule in policy.rules
        if isinstance(rule.params, gradual_rollout.Params)
    ]
    return min(limits, default=0)


def _with_halts(index: Index, answers: Plan, now: datetime) -> Plan:
    """The answers, and the rollouts that they halt."""
    after = Index(applied(index.facts, answers, now))
    states = []
    for rollout in sorted(after.facts.rollouts, key=lambda one: one.id):
        if rollout.state not in {"open", "paused"}:
            continue
        failures = failures_of(after, rollout.id) - rollout.failures_forgiven
        allowed = failures_allowed(after, rollout.environment_id)
        if failures > allowed:
            values: dict[str, object] = {"failures": failures, "max_failures": allowed}
            states.append(RolloutState(rollout.id, "halted", "failures", values))
    return answers if not states else Plan(**{**_parts(answers), "rollout_states": tuple(states)})  # type: ignore[arg-type]


def _parts(plan: Plan) -> dict[str, object]:
    return {name: getattr(plan, name) for name in Plan.__dataclass_fields__}

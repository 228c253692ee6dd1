"""An outcome arrived: what now? Retry, verify, succeed, roll back, escalate, halt.

Reactions in order: retry while attempts are left, then rollback, then halt. A failed verification is never retried.
They come first in a round, because everything after them (progression, pace, the next target) looks at where targets
are once outcomes were answered.

    job ended well     -> verification begins, or the move succeeds
    job ended badly    -> a retry is due (asked for by `gates`, made by `pace`), or the move fails
    verification ended -> the move succeeds and its release is `good`, or the move fails
    a move failed      -> the rule says roll back: a move to the `good` release, and a quarantine; or the hold says who
                          can act
    too many failed    -> the rollout halts
    a target left      -> what waits for it is withdrawn

Source: core.md section 4 (reactions, halt, rollback).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from interlock.decide.facts import Job, Landed, Move, Quarantine, ReleaseRef, Target, Verification
from interlock.decide.index import Index
from interlock.decide.plan import (
    Ending,
    Escalation,
    Landing,
    MoveEnd,
    NewChange,
    NewJob,
    NewQuarantine,
    NewVerification,
    Plan,
    RolloutState,
    SlotClaim,
    TargetChange,
    applied,
)
from interlock.decide.record import Recorder
from interlock.decide.rules import gradual_rollout, retry, rollback, verification
from interlock.model.ids import derived_id
from interlock.model.job import Handover, JobStatus

GATING = ("jobSuccess", "jobStarted", "jobCreated")
"""The triggers whose verification a move must pass. `jobFailure` only records what was seen."""

STOPPED = frozenset({JobStatus.CANCELLED, JobStatus.SKIPPED})
"""A job that somebody stopped did not fail: the move ends without an answer, unless a rollback rule names it."""


def answer(index: Index, recorder: Recorder, now: datetime) -> Plan:
    """The reactions to everything that ended: ends, verifications, rollbacks, halts.

    Gives: a plan; its rollbacks name decisions that `recorder` holds.
    """
    reactions = Reactions(index, recorder, now)
    for move in sorted(index.open_move_by_target.values(), key=lambda one: one.id):
        if move.target_id in index.facts.targets:
            reactions.answer(index.facts.targets[move.target_id], move)
        elif move.target_id in index.facts.leaving:
            reactions.answer_leaving(index.facts.leaving[move.target_id], move)
    return with_halts(index, reactions.plan(), now)


def last_outcome(move: Move) -> Job | None:
    """The newest job that the outside had; one that was withdrawn before that tells nothing."""
    told = [job for job in move.jobs if not (job.status is JobStatus.SKIPPED and job.handover is Handover.WAITING)]
    return told[-1] if told else None


def retry_due(index: Index, target: Target, move: Move) -> datetime | None:
    """When the next attempt of a move may start; None when its last job did not fail or no retry is left."""
    job = last_outcome(move)
    if job is None or not job.status.terminal or job.status is JobStatus.SUCCESSFUL or job.status in STOPPED:
        return None
    rules = index.enforced_rules(target.policy_set, retry.kind)
    params = [rule.params for rule in rules if isinstance(rule.params, retry.Params)]
    statuses = [one.status for one in move.jobs if one.status.terminal and one.status not in STOPPED]
    wait = retry.wait_before_retry(params, statuses)
    return None if wait is None else (job.completed_at or job.created_at) + wait


class Reactions:
    """What a round's answers come to, collected while they are given."""

    def __init__(self, index: Index, recorder: Recorder, now: datetime) -> None:
        self.index = index
        self.recorder = recorder
        self.now = now
        self._landed: dict[tuple[str, str], Landed] = {}
        self._endings: list[Ending] = []
        self._changes_by_target: dict[str, TargetChange] = {}
        self._ends: list[MoveEnd] = []
        self._verifying: list[str] = []
        self._quarantines: list[NewQuarantine] = []
        self._verifications: list[NewVerification] = []
        self._changes: list[NewChange] = []
        self._moves: list[Move] = []
        self._jobs: list[NewJob] = []
        self._claims: list[SlotClaim] = []
        self._escalations: list[Escalation] = []

    def plan(self) -> Plan:
        """The answers as a plan."""
        return Plan(
            changes=tuple(self._changes),
            ends=tuple(self._ends),
            verifying=tuple(self._verifying),
            target_changes=tuple(self._changes_by_target.values()),
            landings=tuple(Landing(*key, landed) for key, landed in self._landed.items()),
            endings=tuple(self._endings),
            quarantines=tuple(self._quarantines),
            moves=tuple(self._moves),
            jobs=tuple(self._jobs),
            slots=tuple(self._claims),
            verifications=tuple(self._verifications),
            escalations=tuple(self._escalations),
        )

    def answer(self, target: Target, move: Move) -> None:
        """Answer what became of one open move."""
        job = last_outcome(move)
        if job is None:
            return
        self._begin_early(target, move, job)
        self._note_ending(target, move, job)
        if job.status is JobStatus.SUCCESSFUL:
            self._answer_success(target, move, job)
        elif job.status.terminal and retry_due(self.index, target, move) is None:
            self._answer_failure(target, move, job)

    def answer_leaving(self, target: Target, move: Move) -> None:
        """A target that left: what was not handed over is withdrawn, what failed is not tried again."""
        newest, told = move.jobs[-1], last_outcome(move)
        state = "withdrawn" if move.untouched else "cancelled"
        if told is not None:
            self._note_ending(target, move, told)
        if newest.ours and not newest.cancel_asked:
            self._ends.append(MoveEnd(move.id, target.id, state, "target_detached", {}, newest.id))
        elif told is None or retry_due(self.index, target, move) is not None:
            self._ends.append(MoveEnd(move.id, target.id, state, "target_detached", {}))
        else:
            self.answer(target, move)

    def _note_ending(self, target: Target, move: Move, job: Job) -> None:
        """A job ended otherwise than well: whoever counts such endings must not need old jobs."""
        key = (target.id, move.version_id)
        if not job.status.terminal or job.status is JobStatus.SUCCESSFUL:
            return
        if job.status.value not in self.index.facts.ended_by_target_version.get(key, {}):
            self._endings.append(Ending(*key, job.status.value, job.completed_at or self.now))

    def _answer_failure(self, target: Target, move: Move, job: Job) -> None:
        if job.status in STOPPED and not self._rolls_back_on(target, job.status):
            self._ends.append(MoveEnd(move.id, target.id, "cancelled", f"job_{job.status.value}", _told(job)))
        else:
            self._fail(target, move, "job_failed", _told(job), rolls_back=self._rolls_back_on(target, job.status))

    def _rolls_back_on(self, target: Target, status: JobStatus) -> bool:
        return any(status in params.statuses for params in self._rollback_rules(target))

    def _rollback_rules(self, target: Target) -> list[rollback.Params]:
        rules = self.index.enforced_rules(target.policy_set, rollback.kind)
        return [rule.params for rule in rules if isinstance(rule.params, rollback.Params)]

    # Verification -----------------------------------------------------------------------------------------------------

    def _rules(self, target: Target, triggers: Sequence[str]) -> list[tuple[str, verification.Params]]:
        """(policy id, params) of the verification rules with these triggers, in a stable order."""
        return [
            (policy.id, rule.params)
            for policy in self.index.policies_of(target.policy_set)
            if not policy.observe
            for rule in policy.rules
            if isinstance(rule.params, verification.Params) and rule.params.trigger in triggers
        ]

    def _begin(self, target: Target, move: Move, job: Job, trigger: str) -> None:
        """Begin the verification of one trigger, unless no rule asks for it or it was begun."""
        rules = self._rules(target, (trigger,))
        verification_id = derived_id("verification", job.id, trigger)
        if not rules or any(one.id == verification_id for one in move.verifications):
            return
        metrics = tuple((policy_id, spec) for policy_id, params in rules for spec in params.metrics)
        begun = Verification(verification_id, job.id, "running")
        self._verifications.append(NewVerification(begun, move.id, target.id, metrics))

    def _begin_early(self, target: Target, move: Move, job: Job) -> None:
        """Verifications that run beside the job (jobCreated, jobStarted) or only record a failure (jobFailure).

        Why:    a job that may still be withdrawn has nothing to verify, so `jobCreated` is its hand-over.
        """
        if job.handover is not Handover.WAITING or job.status.terminal:
            self._begin(target, move, job, "jobCreated")
        if job.status not in {JobStatus.PENDING, JobStatus.QUEUED}:
            self._begin(target, move, job, "jobStarted")
        if job.status.terminal and job.status is not JobStatus.SUCCESSFUL:
            self._begin(target, move, job, "jobFailure")

    # Success ----------------------------------------------------------------------------------------------------------

    def _answer_success(self, target: Target, move: Move, job: Job) -> None:
        """The job ended well: the target runs the release; whether it is good the verification says."""
        if move.state != "verifying":
            self._arrive(target, move, job)
        asked = len({params.trigger for _, params in self._rules(target, GATING)})
        begun = [one for one in move.verifications if one.job_id == job.id]
        failed = next((one for one in begun if one.state == "failed"), None)
        unsure = next((one for one in begun if one.state == "inconclusive"), None)
        if failed is not None:
            rolls_back = any(params.on_verification_failure for params in self._rollback_rules(target))
            self._fail(target, move, "verification_failed", _measured(failed), rolls_back=rolls_back)
        elif unsure is not None:
            self._fail(target, move, "verification_inconclusive", _measured(unsure), rolls_back=False)
        elif len(begun) >= asked and all(one.state == "passed" for one in begun):
            self._succeed(target, move, job, begun)
        else:
            self._begin(target, move, job, "jobSuccess")
            if move.state != "verifying":
                self._verifying.append(move.id)

    def _arrive(self, target: Target, move: Move, job: Job) -> None:
        """The target runs the release now, and the version landed on it."""
        key = (target.id, move.version_id)
        known = self.index.facts.landed_by_target_version.get(key)
        if known is None or known.left_at is not None:
            self._landed[key] = Landed(first_success_at=job.completed_at or self.now)
        if target.current is None or target.current.id != move.to_release.id:
            self._changes_by_target[target.id] = TargetChange(target.id, current=move.to_release)

    def _succeed(self, target: Target, move: Move, job: Job, passed: Sequence[Verification]) -> None:
        """The move is done and its release is good."""
        done_at = job.completed_at or self.now
        landed = self._landed_of(target, move) or Landed(first_success_at=done_at)
        ended = [one.ended_at for one in passed if one.ended_at is not None]
        if landed.verified_at is None:
            verified_at = max([landed.first_success_at, *ended])
            self._landed[(target.id, move.version_id)] = replace(landed, verified_at=verified_at)
        elif max([done_at, *ended]) > landed.verified_at:
            self._landed[(target.id, move.version_id)] = replace(landed, renewed_at=max([done_at, *ended]))
        self._changes_by_target[target.id] = TargetChange(target.id, current=move.to_release, good=move.to_release)
        self._ends.append(MoveEnd(move.id, target.id, "succeeded", "done", {}))

    def _landed_of(self, target: Target, move: Move) -> Landed | None:
        key = (target.id, move.version_id)
        return self._landed.get(key) or self.index.facts.landed_by_target_version.get(key)

    # Failure ----------------------------------------------------------------------------------------------------------

    def _fail(self, target: Target, move: Move, reason: str, values: Mapping[str, object], *, rolls_back: bool) -> None:
        """The move failed for good: end it, and go back where a rule says so.

        Why:    a rollback that fails is escalated, never answered by another rollback.
        """
        self._ends.append(MoveEnd(move.id, target.id, "failed", reason, values))
        if move.kind == "rollback":
            self._escalations.append(Escalation(move.id, target.id))
        elif rolls_back and target.id in self.index.facts.targets:
            self._quarantines.append(NewQuarantine(_quarantine(target, move), move.id))
            landed = self._landed_of(target, move)
            if landed is not None and _version_changed(move):
                self._landed[(target.id, move.version_id)] = replace(landed, left_at=self.now)
            if target.good is not None and target.good.id != move.to_release.id:
                self._roll_back(target, move, target.good)

    def _roll_back(self, target: Target, move: Move, good: ReleaseRef) -> None:
        """Go to the good release, with everything that it froze."""
        decision = self.recorder.decide(
            kind="rollback",
            environment_id=target.environment_id,
            version_id=good.version_id,
            policy_set=target.policy_set,
            judged=(),
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
            admitted_at=self.now,
            undoes_move_id=move.id,
            slots=tuple(sorted(one.key for one in target.slot_keys if one.key is not None)),
        )
        self._claims.extend(SlotClaim(back.id, key, None) for key in back.slots)
        job = Job(derived_id("job", back.id, "1"), JobStatus.PENDING, Handover.WAITING, created_at=self.now)
        self._changes.append(change)
        self._moves.append(back)
        self._jobs.append(NewJob(job, back.id, target.id, decision.id, None))


def _told(job: Job) -> dict[str, object]:
    return {"status": job.status.value, **({"message": job.message} if job.message else {})}


def _measured(one: Verification) -> dict[str, object]:
    return {"message": one.message or "", "verification": one.id}


def _version_changed(move: Move) -> bool:
    return move.from_release is None or move.from_release.version_id != move.version_id


def _quarantine(target: Target, move: Move) -> Quarantine:
    """The version where it had changed, else the config."""
    if _version_changed(move):
        return Quarantine(target.id, move.version_id, None, move.version_id)
    return Quarantine(target.id, None, move.to_release.config_digest, move.version_id)


# Halts ----------------------------------------------------------------------------------------------------------------


def failures_of(index: Index, rollout_id: str) -> int:
    """How many targets of a rollout failed: their newest move in it did."""
    newest = {move.target_id: move for move in index.moves_by_rollout.get(rollout_id, ())}
    return sum(1 for move in newest.values() if move.state == "failed")


def failures_allowed(index: Index, environment_id: str) -> int:
    """The smallest `maxFailures` of the rules that pace an environment; 0 where none does."""
    sets = {target.policy_set for target in index.targets_by_environment.get(environment_id, ())}
    limits = [
        rule.params.max_failures
        for policy_set in sets
        for rule in index.enforced_rules(policy_set, gradual_rollout.kind)
        if isinstance(rule.params, gradual_rollout.Params)
    ]
    return min(limits, default=0)


def with_halts(index: Index, answers: Plan, now: datetime) -> Plan:
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
    return replace(answers, rollout_states=tuple(states)) if states else answers

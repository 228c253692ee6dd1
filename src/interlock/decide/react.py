"""An outcome arrived: what now? Retry, verify, succeed, roll back, escalate, halt.

Reactions in order: retry while attempts are left, then rollback, then halt. A failed verification is never retried.
They come first in a round, because everything after them (progression, pace, the next target) looks at where targets
are once outcomes were answered.

    job ended well     -> verification begins, or the move succeeds
    job ended badly    -> a retry is due (asked for by `gates`, made by `pace`), or the move fails
    verification ended -> the move succeeds and its release is `good`, or the move fails
    a rollout's proof  -> begins with its first hand-over, for as long as it is open (`proofs.py`). One that failed
                          halts the rollout at once; where the rules of what it moved say so, that goes back
    it could not tell  -> the move waits, until it is measured again or a person says (`verification.py`); an order of a
                          person ends it
    a move failed      -> the rule says roll back: an order to go to the `good` release, and a quarantine; or the hold
                          says who can act. Where the rule's scope is the environment, every target that the rollout had
                          moved there goes back, and the rollout halts
    going back         -> what moves on such a target makes way: it is withdrawn, or ends when its job does
    too many failed    -> the rollout halts
    a target left      -> what waits for it is withdrawn

A rollback is an order (`orders.py`), which the same round answers unless its place is taken.

Source: core.md section 4 (reactions, halt, rollback).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime

from interlock.decide.facts import Job, Landed, Move, Order, Quarantine, ReleaseRef, Rollout, Target, Verification
from interlock.decide.index import Index
from interlock.decide.orders import ROLLBACK_OVERDUE, end_orders, refuse_orders
from interlock.decide.plan import (
    Ending,
    Escalation,
    Landing,
    MoveEnd,
    NewChange,
    NewProof,
    NewQuarantine,
    NewVerification,
    Plan,
    RolloutState,
    TargetChange,
    applied,
    joined,
)
from interlock.decide.proofs import GATING, alpha_shares, begin_while_open, disproved, named
from interlock.decide.record import Recorder
from interlock.decide.rules import gradual_rollout, retry, rollback, verification
from interlock.model.ids import derived_id
from interlock.model.job import Handover, JobStatus
from interlock.model.verification import MetricSpec

STOPPED = frozenset({JobStatus.CANCELLED, JobStatus.SKIPPED})
"""A job that somebody stopped did not fail: the move ends without an answer, unless a rollback rule names it."""


def answer(index: Index, recorder: Recorder, now: datetime) -> Plan:
    """The reactions to everything that ended: ends, verifications, orders to go back, halts."""
    ended = end_orders(index, recorder, now)
    if not ended.empty:
        index = Index(applied(index.facts, ended, now))
    reactions = Reactions(index, recorder, now)
    reactions.answer_all()
    recorder.wake(one.paused_until for one in index.facts.rollouts if one.state == "paused")
    answers = with_halts(index, reactions.plan(), now, rolled_back=reactions.rolled_back)
    answers = with_proofs(index, answers, now)
    refused = Plan()
    if index.facts.orders:
        refused = refuse_orders(Index(applied(index.facts, answers, now)))
    return joined((ended, answers, refused), wake_at=None)


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
        self._orders_by_target: dict[str, Order] = {}
        self._escalations: list[Escalation] = []
        self._rollout_by_id = {rollout.id: rollout for rollout in index.facts.rollouts}
        self._tests_begun = {rollout.id: rollout.tests_begun for rollout in index.facts.rollouts}
        self.rolled_back: dict[str, int] = {}
        """Rollout id -> how many of its targets go back together."""

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
            orders=tuple(self._orders_by_target.values()),
            verifications=tuple(self._verifications),
            escalations=tuple({one.move_id: one for one in self._escalations}.values()),
        )

    def answer_all(self) -> None:
        """Answer every open move; those that failed first, because others may have to go back with them."""
        for rollout in sorted(self.index.facts.rollouts, key=lambda one: one.id):
            self._answer_proofs(rollout)
        moves = sorted(self.index.open_move_by_target.values(), key=lambda one: (not _has_failed(one), one.id))
        for move in moves:
            if move.target_id in self.index.facts.targets:
                self.answer(self.index.facts.targets[move.target_id], move)
            elif move.target_id in self.index.facts.leaving:
                self.answer_leaving(self.index.facts.leaving[move.target_id], move)
        ended = {end.move_id for end in self._ends}
        for move in moves:
            if move.target_id in self._orders_by_target and move.id not in ended and _has_failed(move):
                self.answer(self.index.facts.targets[move.target_id], move)

    def answer(self, target: Target, move: Move) -> None:
        """Answer what became of one open move."""
        back = self._goes_back(target)
        if move.kind == "rollback":
            self._call_when_overdue(move, move.admitted_at)
        elif back is not None:
            self._make_way(target, move, back)
            return
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
        elif told is None or move.unclear is not None or retry_due(self.index, target, move) is not None:
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
        rules = [params for params in self._rollback_rules(target) if job.status in params.statuses]
        if job.status in STOPPED and not rules:
            self._ends.append(MoveEnd(move.id, target.id, "cancelled", f"job_{job.status.value}", _told(job)))
        else:
            self._fail(target, move, "job_failed", _told(job), rules)

    def _rollback_rules(self, target: Target) -> list[rollback.Params]:
        rules = self.index.enforced_rules(target.policy_set, rollback.kind)
        return [rule.params for rule in rules if isinstance(rule.params, rollback.Params)]

    # Verification -----------------------------------------------------------------------------------------------------

    def _rules(
        self, target: Target, move: Move, triggers: Sequence[str]
    ) -> list[tuple[str, verification.Params, tuple[MetricSpec, ...]]]:
        """(policy id, params, metrics) of the verification rules with these triggers, in a stable order."""
        found = [
            (policy.id, rule.params, verification.metrics_of(rule.params, move.kind))
            for policy in self.index.policies_of(target.policy_set)
            if not policy.observe
            for rule in policy.rules
            if isinstance(rule.params, verification.Params) and rule.params.trigger in triggers
        ]
        return [one for one in found if one[2]]

    def _begin(self, target: Target, move: Move, job: Job, trigger: str) -> None:
        """Begin the verification of one trigger, unless no rule asks for it or it was begun."""
        rules = self._rules(target, move, (trigger,))
        verification_id = derived_id("verification", job.id, trigger)
        if not rules or any(one.id == verification_id for one in move.verifications):
            return
        metrics = tuple((policy_id, spec) for policy_id, _, specs in rules for spec in specs)
        begun = Verification(verification_id, job.id, "running")
        rollout_id = move.rollout_id or ""
        shares = alpha_shares(self._rollout_by_id.get(rollout_id), metrics, begun=self._tests_begun.get(rollout_id, 0))
        terms = verification.joint_terms([params for _, params, _ in rules], gates=trigger in GATING)
        new = NewVerification(begun, move.id, target.id, metrics, move.rollout_id, shares, terms)
        self._tests_begun[rollout_id] = self._tests_begun.get(rollout_id, 0) + new.tests
        self._verifications.append(new)

    def _begin_early(self, target: Target, move: Move, job: Job) -> None:
        """Verifications that run beside the job (jobCreated, jobStarted) or only record a failure (jobFailure).

        Why:    a job that may still be withdrawn has nothing to verify, so `jobCreated` is its hand-over, once that is
                more than begun: it may turn out that nothing was started.
        """
        if job.handover not in {Handover.WAITING, Handover.STARTING} or job.status.terminal:
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
        asked = len({params.trigger for _, params, _ in self._rules(target, move, GATING)})
        begun = [one for one in move.verifications if one.job_id == job.id]
        failed = next((one for one in begun if one.state == "failed"), None)
        if failed is not None:
            rules = [params for params in self._rollback_rules(target) if params.on_verification_failure]
            self._fail(target, move, "verification_failed", _measured(failed), rules)
        elif any(one.held for one in begun) and self.index.order_of(target) is not None:
            self._ends.append(MoveEnd(move.id, target.id, "cancelled", "ordered", {}))
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

    def _fail(
        self,
        target: Target,
        move: Move,
        reason: str,
        values: Mapping[str, object],
        rules: Sequence[rollback.Params],
    ) -> None:
        """The move failed for good: end it, and go back where a rule says so.

        Takes: `rules` are the rollback rules that answer this failure.
        Why:    a rollback that fails is escalated, never answered by another one; so is what fails here again, after a
                person let it come back while it was in quarantine.
        """
        self._ends.append(MoveEnd(move.id, target.id, "failed", reason, values))
        if move.kind == "rollback":
            self._escalations.append(Escalation(move.id, target.id))
            return
        if not rules or target.id not in self.index.facts.targets:
            return
        bad = _quarantine(target, move)
        if bad is not None and self._in_quarantine(bad) and self._goes_back(target) is None:
            self._escalations.append(Escalation(move.id, target.id))
            return
        scope = "environment" if any(params.scope == "environment" for params in rules) else "target"
        self._leave(target, move, bad)
        self._go_back(target, move, target.good, scope=scope, cause_id=move.id)
        rollout = self._rollout_of(move)
        if scope == "environment" and rollout is not None:
            self._take_back(rollout, cause_id=move.id, but=move.id)

    def _answer_proofs(self, rollout: Rollout) -> None:
        """A proof of a rollout failed: what the rollout moved goes back where rules say so. It halts in any case."""
        proof = disproved(rollout) if rollout.state in {"open", "paused"} else None
        if proof is None:
            return
        rules_by_target = {
            move.target_id: [one for one in self._rollback_rules(target) if one.on_verification_failure]
            for move in self.index.moves_by_rollout.get(rollout.id, ())
            if (target := self.index.facts.targets.get(move.target_id)) is not None
        }
        answering = {target_id for target_id, rules in rules_by_target.items() if rules}
        if any(one.scope == "environment" for rules in rules_by_target.values() for one in rules):
            self._take_back(rollout, cause_id=proof.id)
        elif answering:
            self._take_back(rollout, cause_id=proof.id, only=answering, scope="target")

    # Going back -------------------------------------------------------------------------------------------------------

    def _goes_back(self, target: Target) -> Order | None:
        """The order by which a target is to go back: one that stood before, or one of this round."""
        return self._orders_by_target.get(target.id) or self.index.goes_back(target.id)

    def _in_quarantine(self, bad: Quarantine) -> bool:
        return (bad.target_id, bad.version_id or bad.config_digest or "") in self.index.quarantined

    def _rollout_of(self, move: Move) -> Rollout | None:
        return next((one for one in self.index.facts.rollouts if one.id == move.rollout_id and one.live), None)

    def _leave(self, target: Target, move: Move, bad: Quarantine | None) -> None:
        """Put what failed into quarantine, and count the version as left: it no longer speaks for progression."""
        if bad is None:
            return
        if not self._in_quarantine(bad) and all(one.quarantine != bad for one in self._quarantines):
            self._quarantines.append(NewQuarantine(bad, move.id))
        landed = self._landed_of(target, move)
        if landed is not None and bad.version_id is not None:
            self._landed[(target.id, move.version_id)] = replace(landed, left_at=self.now)

    def _go_back(self, target: Target, move: Move, good: ReleaseRef | None, *, scope: str, cause_id: str) -> None:
        """Order a target back to a release, with everything that it froze; once, however many ask for it."""
        if good is None or good.id == move.to_release.id or self._goes_back(target) is not None:
            return
        change = NewChange(derived_id("change", "rollback", cause_id), "rollback", version_id=good.version_id)
        if all(one.id != change.id for one in self._changes):
            self._changes.append(change)
        self._orders_by_target[target.id] = Order(
            id=derived_id("order", "rollback", move.id),
            kind="rollback",
            target_id=target.id,
            version_id=good.version_id,
            change_id=change.id,
            created_at=self.now,
            release=good,
            scope=scope,
            undoes_move_id=move.id,
        )

    def _take_back(
        self,
        rollout: Rollout,
        *,
        cause_id: str,
        but: str = "",
        only: AbstractSet[str] | None = None,
        scope: str = "environment",
    ) -> None:
        """The targets that a rollout had moved go back, each to its own good release; the rollout halts.

        Takes: `but` is a move that was answered already; `only` those targets, where not all.
        """
        newest = {move.target_id: move for move in self.index.moves_by_rollout.get(rollout.id, ())}
        for target_id, move in sorted(newest.items()):
            target = self.index.facts.targets.get(target_id)
            if target is None or move.id == but or move.state == "withdrawn":
                continue
            if only is not None and target_id not in only:
                continue
            tried = move.open and not move.untouched
            if not tried and not _runs_what(target.current, move, rollout):
                continue
            self._leave(target, move, _quarantine(target, move))
            good = move.returns_to if _runs_what(target.good, move, rollout) else target.good
            self._go_back(target, move, good, scope=scope, cause_id=cause_id)
        back = sum(1 for order in self._orders_by_target.values() if order.target_id in newest)
        self.rolled_back[rollout.id] = back

    def _make_way(self, target: Target, move: Move, back: Order) -> None:
        """What moves on a target that is to go back: withdrawn when nobody has it, else it ends with its job."""
        newest, job = move.jobs[-1], last_outcome(move)
        if newest.ours and not newest.cancel_asked:
            state = "withdrawn" if move.untouched else "cancelled"
            self._ends.append(MoveEnd(move.id, target.id, state, "rolled_back", {}, newest.id))
        elif job is None or not job.status.terminal:
            self._call_when_overdue(move, back.created_at)
        elif job.status is JobStatus.SUCCESSFUL:
            failed = next((one for one in move.verifications if one.job_id == job.id and one.state == "failed"), None)
            if move.state != "verifying":
                self._arrive(target, move, job)
            landed = self._landed_of(target, move)
            if landed is not None:
                self._landed[(target.id, move.version_id)] = replace(landed, left_at=self.now)
            if failed is not None:
                self._ends.append(MoveEnd(move.id, target.id, "failed", "verification_failed", _measured(failed)))
            else:
                self._ends.append(MoveEnd(move.id, target.id, "cancelled", "rolled_back", {}))
        else:
            self._note_ending(target, move, job)
            self._answer_failure(target, move, job)

    def _call_when_overdue(self, move: Move, since: datetime) -> None:
        """Call for a person, once, when going back does not come to an end.

        Why:    an agent that is away and a job that never ends would leave a target on what failed, in silence.
        """
        if move.reason is not None or move.state == "verifying":
            return
        due_at = since + ROLLBACK_OVERDUE
        if self.now >= due_at:
            self._escalations.append(Escalation(move.id, move.target_id))
        else:
            self.recorder.wake((due_at,))


def _told(job: Job) -> dict[str, object]:
    return {"status": job.status.value, **({"message": job.message} if job.message else {})}


def _measured(one: Verification) -> dict[str, object]:
    return {"message": one.message or "", "verification": one.id}


def _has_failed(move: Move) -> bool:
    """Whether the newest outcome of an open move is a failure: of its job, or of what verifies it."""
    job = last_outcome(move)
    if job is None or not job.status.terminal:
        return False
    if job.status is not JobStatus.SUCCESSFUL:
        return True
    return any(one.job_id == job.id and one.state == "failed" for one in move.verifications)


def _runs_what(release: ReleaseRef | None, move: Move, rollout: Rollout) -> bool:
    """Whether a release is what a rollout's move brought: its version, or its very release where only config moved."""
    if release is None:
        return False
    return release.version_id == move.version_id if rollout.kind == "version" else release.id == move.to_release.id


def _quarantine(target: Target, move: Move) -> Quarantine | None:
    """What a target must not take again: the version where it had changed, else the config; None when neither had.

    Why:    a redeploy changes nothing; when it fails, what it brought is bad only where something else is good.
    """
    before, after = move.from_release, move.to_release
    if before is not None and (before.version_id, before.config_digest) == (after.version_id, after.config_digest):
        before = target.good
        if before is None:
            return None
    if before is None or before.version_id != move.version_id:
        return Quarantine(target.id, move.version_id, None)
    if before.config_digest != after.config_digest:
        return Quarantine(target.id, None, after.config_digest, move.version_id)
    return None


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


def _proven_bad(rollout: Rollout) -> dict[str, object]:
    """Which proof stopped a rollout, for the ledger; nothing where none did."""
    proof = disproved(rollout)
    return {} if proof is None else {"measured": named(proof), "message": proof.message or "", "verification": proof.id}


def with_proofs(index: Index, answers: Plan, now: datetime) -> Plan:
    """The answers, and what is measured of rollouts from now on, as long as they are open."""
    begun: tuple[NewProof, ...] = begin_while_open(Index(applied(index.facts, answers, now)))
    return replace(answers, proofs=begun) if begun else answers


def with_halts(index: Index, answers: Plan, now: datetime, *, rolled_back: Mapping[str, int]) -> Plan:
    """The answers, and the rollouts that they halt: too much failed, or all that they moved goes back.

    A pause that is over ends here too.
    """
    after = Index(applied(index.facts, answers, now))
    states = []
    for rollout in sorted(after.facts.rollouts, key=lambda one: one.id):
        if rollout.state not in {"open", "paused"}:
            continue
        failures = failures_of(after, rollout.id) - rollout.failures_forgiven
        allowed = failures_allowed(after, rollout.environment_id)
        if rollout.state == "paused" and rollout.paused_until is not None and rollout.paused_until <= now:
            states.append(RolloutState(rollout.id, "open", "pause_over", {"reason": "pause_over"}))
        if rollout.id in rolled_back:
            told = {"targets": rolled_back[rollout.id], "failures": failures}
            states.append(RolloutState(rollout.id, "halted", "rolled_back", {**told, **_proven_bad(rollout)}))
        elif disproved(rollout) is not None:
            states.append(RolloutState(rollout.id, "halted", "verification_failed", _proven_bad(rollout)))
        elif failures > allowed:
            values: dict[str, object] = {"failures": failures, "max_failures": allowed}
            states.append(RolloutState(rollout.id, "halted", "failures", values))
    last = {state.rollout_id: state for state in states}
    return replace(answers, rollout_states=tuple(last.values())) if states else answers

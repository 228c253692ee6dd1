"""What will one round write? Everything, in one frozen value; and what will the facts be once it is written?

A plan names rows by ids that are derived from what they mean, so that deciding the same facts at the same instant twice
gives the same plan, and committing it twice is refused by keys and not by luck.

`applied(facts, plan)` is the pure twin of `store.plan.commit_plan`: a round uses it between its own steps, the
simulator uses it as its database, and a law proves on real PostgreSQL that both agree (core.md 9, law 9).

Source: core.md sections 3 and 6; nomad's scheduler for the shape (snapshot in, plan out).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime

from interlock.decide.facts import (
    LIVE,
    Decided,
    Facts,
    Job,
    Landed,
    Move,
    Order,
    Pin,
    Proof,
    Quarantine,
    ReleaseRef,
    RolledBack,
    Rollout,
    Target,
    Verification,
)
from interlock.decide.rules.rollback_history import days_read, within
from interlock.model.job import Confirm, Handover, JobStatus
from interlock.model.verification import MetricSpec, Terms


@dataclass(frozen=True, slots=True)
class NewChange:
    """A change that a round itself makes: `config` or `rollback`."""

    id: str
    kind: str
    version_id: str | None = None
    config_digest: str | None = None


@dataclass(frozen=True, slots=True)
class RolloutState:
    """A rollout goes to another state. `values` are for the ledger (how many failed, which version took over)."""

    rollout_id: str
    state: str
    reason: str
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to make. `decision_id` let it pass; it may be handed over before `valid_until`."""

    job: Job
    move_id: str
    target_id: str
    decision_id: str
    valid_until: datetime | None
    retry_of: str | None = None


@dataclass(frozen=True, slots=True)
class JobRenewal:
    """A job that still waits was judged again: by this decision, until then."""

    job_id: str
    decision_id: str
    valid_until: datetime | None


@dataclass(frozen=True, slots=True)
class MoveEnd:
    """A move ends. `withdrawn_job_id` names a job of it that was not handed over, and now never will be."""

    move_id: str
    target_id: str
    state: str
    reason: str
    values: Mapping[str, object]
    withdrawn_job_id: str | None = None


@dataclass(frozen=True, slots=True)
class TargetChange:
    """Where a target is now; None leaves a field as it was."""

    target_id: str
    current: ReleaseRef | None = None
    good: ReleaseRef | None = None


@dataclass(frozen=True, slots=True)
class Landing:
    """A target's history with one version, as it now stands."""

    target_id: str
    version_id: str
    landed: Landed


@dataclass(frozen=True, slots=True)
class Ending:
    """A job of a version ended on a target in this status for the first time, and it was no success."""

    target_id: str
    version_id: str
    status: str
    at: datetime


@dataclass(frozen=True, slots=True)
class NewQuarantine:
    """What the target of a failed move must not take again."""

    quarantine: Quarantine
    move_id: str


@dataclass(frozen=True, slots=True)
class NewVerification:
    """A verification to begin: its metrics with the policy that asked for each.

    Takes: `rollout_id` is that of its move. `alpha_shares`: of each metric that spends some, its part of the rollout's
           α; None for the others, and where no rollout splits it. `terms`: what is said of its end.
    """

    verification: Verification
    move_id: str
    target_id: str
    metrics: tuple[tuple[str, MetricSpec], ...]
    rollout_id: str | None = None
    alpha_shares: tuple[float | None, ...] = ()
    terms: Terms = field(default_factory=Terms)

    @property
    def tests(self) -> int:
        """How many of the rollout's tests begin with it."""
        return sum(share is not None for share in self.alpha_shares)


@dataclass(frozen=True, slots=True)
class NewProof:
    """A verification of a rollout to begin. `move_id` is a move of it, whose release says what is measured."""

    proof: Proof
    rollout_id: str
    move_id: str
    metrics: tuple[tuple[str, MetricSpec], ...]
    alpha_shares: tuple[float | None, ...] = ()
    terms: Terms = field(default_factory=Terms)

    @property
    def tests(self) -> int:
        """How many of the rollout's tests begin with it."""
        return sum(share is not None for share in self.alpha_shares)


@dataclass(frozen=True, slots=True)
class NewRequest:
    """A person is asked. `shown` is what is put before them, plain JSON.

    Takes: `group`: only its members' words count. `lasts_s`: a yes counts so long. `config_digests`: the resolved
           configs that are asked about, where a change of config is.
    """

    id: str
    change_id: str
    environment_id: str
    version_id: str
    minimum: int
    why: str
    shown: Mapping[str, object]
    group: str | None = None
    authors_excluded: bool = False
    lasts_s: float | None = None
    config_digests: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class OrderEnd:
    """An order is no longer open. States: answered (its move is under way), expired, withdrawn, refused."""

    order_id: str
    target_id: str
    state: str
    reason: str
    move_id: str | None = None


@dataclass(frozen=True, slots=True)
class JobCancel:
    """A running job is asked to stop; its target stays occupied until the outside confirms.

    Takes: `planned`: only if it was planned and nobody has confirmed it.
    """

    job_id: str
    reason: str
    planned: bool = False


@dataclass(frozen=True, slots=True)
class JobConfirm:
    """A planned run may be confirmed: by this decision, until then."""

    job_id: str
    decision_id: str
    valid_until: datetime | None


@dataclass(frozen=True, slots=True)
class Escalation:
    """Going back failed too, does not come to an end, or was tried before: a person must act."""

    move_id: str
    target_id: str


@dataclass(frozen=True, slots=True)
class Decision:
    """One verdict tree: kind of move × environment × version × policy set. `verdicts` is plain JSON."""

    id: str
    subject: str
    kind: str
    environment_id: str
    version_id: str
    outcome: str
    verdicts: tuple[Mapping[str, object], ...]
    digest: str
    valid_until: datetime | None


@dataclass(frozen=True, slots=True)
class TargetDecision:
    """The short row of one target: what it goes for and the first thing that holds it."""

    target_id: str
    kind: str | None
    version_id: str | None
    outcome: str
    verdicts: tuple[Mapping[str, object], ...]
    decision_ids: tuple[str, ...]
    digest: str
    wake_at: datetime | None


@dataclass(frozen=True, slots=True)
class SlotClaim:
    """A move takes a place in a limited group.

    The commit locks the group and counts again: a move that no longer fits is left out. Without a limit it is counted,
    and always fits.
    """

    move_id: str
    key: str
    limit: int | None
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """Every write of one round.

    Takes: `verifying` are moves whose job ended well and whose verification runs. `unconfirms` are jobs that were to be
           confirmed, and are held again. `desired_by_target` holds changes
           only.
    """

    changes: tuple[NewChange, ...] = ()
    rollouts: tuple[Rollout, ...] = ()
    rollout_states: tuple[RolloutState, ...] = ()
    ends: tuple[MoveEnd, ...] = ()
    verifying: tuple[str, ...] = ()
    target_changes: tuple[TargetChange, ...] = ()
    landings: tuple[Landing, ...] = ()
    endings: tuple[Ending, ...] = ()
    quarantines: tuple[NewQuarantine, ...] = ()
    orders: tuple[Order, ...] = ()
    order_ends: tuple[OrderEnd, ...] = ()
    moves: tuple[Move, ...] = ()
    jobs: tuple[NewJob, ...] = ()
    slots: tuple[SlotClaim, ...] = ()
    renewals: tuple[JobRenewal, ...] = ()
    withdrawn_jobs: tuple[str, ...] = ()
    verifications: tuple[NewVerification, ...] = ()
    proofs: tuple[NewProof, ...] = ()
    requests: tuple[NewRequest, ...] = ()
    cancels: tuple[JobCancel, ...] = ()
    confirms: tuple[JobConfirm, ...] = ()
    unconfirms: tuple[str, ...] = ()
    escalations: tuple[Escalation, ...] = ()
    desired_by_target: tuple[tuple[str, str | None], ...] = ()
    decisions: tuple[Decision, ...] = ()
    target_decisions: tuple[TargetDecision, ...] = ()
    wake_at: datetime | None = None

    @property
    def moving(self) -> bool:
        """Whether it starts, ends or withdraws anything: more than words about what holds."""
        return any(getattr(self, name) for name in MOVING)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write at all."""
        return not any(getattr(self, one.name) for one in fields(self) if one.name != "wake_at")


MOVING = (
    "rollouts",
    "rollout_states",
    "ends",
    "verifying",
    "target_changes",
    "orders",
    "order_ends",
    "moves",
    "jobs",
    "withdrawn_jobs",
    "verifications",
    "proofs",
    "requests",
    "cancels",
    "confirms",
    "unconfirms",
    "escalations",
)


def joined(plans: Iterable[Plan], *, wake_at: datetime | None) -> Plan:
    """The steps' plans as one, in their order. A rollout that changed twice says the state that it ends in."""
    steps = tuple(plans)
    parts: dict[str, object] = {
        one.name: tuple(item for step in steps for item in getattr(step, one.name))
        for one in fields(Plan)
        if one.name != "wake_at"
    }
    states: dict[str, RolloutState] = {}
    for state in (state for step in steps for state in step.rollout_states):
        before = states.get(state.rollout_id)
        states[state.rollout_id] = replace(state, values={**before.values, **state.values}) if before else state
    parts["rollout_states"] = tuple(states.values())
    return Plan(**parts, wake_at=wake_at)  # type: ignore[arg-type]


def applied(facts: Facts, plan: Plan, now: datetime) -> Facts:
    """The facts that a snapshot taken right after the plan's commit would hold.

    Takes: `now` is the round's instant; ends are stamped with it.
    """
    if plan.empty:
        return facts
    rollouts = _applied_rollouts(facts, plan)
    moves = _applied_moves(facts, plan, now, rollouts)
    landed = facts.landed_by_target_version
    if plan.landings:
        landed = {**landed, **{(one.target_id, one.version_id): one.landed for one in plan.landings}}
    ended = _applied_endings(facts.ended_by_target_version, plan)
    by_subject = facts.decided_by_subject
    if plan.decisions:
        by_subject = {**by_subject, **{one.subject: Decided(one.id, one.digest) for one in plan.decisions}}
    by_target = facts.decided_by_target
    if plan.target_decisions:
        by_target = {**by_target, **{one.target_id: Decided("", one.digest, now) for one in plan.target_decisions}}
    days = days_read(facts.policies.values())
    leaving = _applied_targets(facts.leaving, plan)
    leaving = counted_leaving(leaving, moves, rollouts, (*landed, *ended)) if leaving else leaving
    return replace(
        facts,
        targets=_applied_targets(facts.targets, plan),
        leaving=leaving,
        labels_by_target=labels_of(facts.labels_by_target, (*facts.targets, *leaving)),
        samples_by_move=samples_of(facts.samples_by_move, moves, rollouts),
        rollouts=rollouts,
        moves=moves,
        landed_by_target_version=landed,
        ended_by_target_version=ended,
        quarantines=facts.quarantines + tuple(one.quarantine for one in plan.quarantines),
        orders=_applied_orders(facts, plan),
        rollbacks=within((*facts.rollbacks, *rolled_back(facts, plan)), days, now) if days else facts.rollbacks,
        requests=facts.requests | {request.id for request in plan.requests},
        decided_by_subject=by_subject,
        decided_by_target=by_target,
    )


def rolled_back(facts: Facts, plan: Plan) -> Iterator[RolledBack]:
    """The versions that a plan takes back, and where: of the move that is answered, else what the target ran."""
    undone = {move.id: move.version_id for move in facts.moves}
    for move in plan.moves:
        if move.kind == "rollback":
            ran = move.from_release.version_id if move.from_release is not None else move.version_id
            yield RolledBack(move.environment_id, undone.get(move.undoes_move_id or "", ran), move.admitted_at)


def _applied_targets(targets: Mapping[str, Target], plan: Plan) -> Mapping[str, Target]:
    if not plan.target_changes and not plan.desired_by_target:
        return targets
    after = dict(targets)
    for change in plan.target_changes:
        target = after.get(change.target_id)
        if target is not None:
            current, good = change.current or target.current, change.good or target.good
            after[target.id] = replace(target, current=current, good=good)
    for target_id, version_id in plan.desired_by_target:
        if target_id in after:
            after[target_id] = replace(after[target_id], desired=version_id)
    return after


def _applied_endings(
    ended: Mapping[tuple[str, str], Mapping[str, datetime]], plan: Plan
) -> Mapping[tuple[str, str], Mapping[str, datetime]]:
    if not plan.endings:
        return ended
    after = dict(ended)
    for one in plan.endings:
        key = (one.target_id, one.version_id)
        after[key] = {one.status: one.at, **after.get(key, {})}
    return after


def _applied_orders(facts: Facts, plan: Plan) -> tuple[Order, ...]:
    ended = {end.order_id for end in plan.order_ends}
    return tuple(order for order in facts.orders + plan.orders if order.id not in ended)


def _applied_rollouts(facts: Facts, plan: Plan) -> tuple[Rollout, ...]:
    if not (plan.rollouts or plan.rollout_states or plan.verifications or plan.proofs):
        return facts.rollouts
    states = {change.rollout_id: change.state for change in plan.rollout_states}
    known = {version.id for version in facts.versions}
    proofs: dict[str, list[Proof]] = {}
    for begun in plan.proofs:
        proofs.setdefault(begun.rollout_id, []).append(begun.proof)
    tests = tests_by_rollout(plan)

    def changed(rollout: Rollout) -> Rollout:
        state = states.get(rollout.id, rollout.state)
        if state == rollout.state and rollout.id not in tests and rollout.id not in proofs:
            return rollout
        begun = (*rollout.proofs, *proofs.get(rollout.id, ())) if state in LIVE else ()
        return replace(rollout, state=state, proofs=begun, tests_begun=rollout.tests_begun + tests.get(rollout.id, 0))

    after = (changed(rollout) for rollout in facts.rollouts + plan.rollouts)
    return tuple(rollout for rollout in after if rollout.live or rollout.version_id in known)


def tests_by_rollout(plan: Plan) -> Mapping[str, int]:
    """Rollout id -> how many of its tests begin with this plan."""
    found: dict[str, int] = {}
    begins: tuple[NewVerification | NewProof, ...] = (*plan.verifications, *plan.proofs)
    for begun in begins:
        if begun.rollout_id is not None and begun.tests:
            found[begun.rollout_id] = found.get(begun.rollout_id, 0) + begun.tests
    return found


def _applied_moves(facts: Facts, plan: Plan, now: datetime, rollouts: Sequence[Rollout]) -> tuple[Move, ...]:
    ends = {end.move_id: end for end in plan.ends}
    withdrawn = {end.withdrawn_job_id for end in plan.ends if end.withdrawn_job_id} | set(plan.withdrawn_jobs)
    verifying = frozenset(plan.verifying)
    cancelled = {cancel.job_id for cancel in plan.cancels}
    confirm_by_job = {one.job_id: Confirm.GRANTED for one in plan.confirms}
    confirm_by_job |= dict.fromkeys(plan.unconfirms, Confirm.ASKED)
    escalated = {one.move_id for one in plan.escalations}
    jobs: dict[str, list[Job]] = {}
    for made in plan.jobs:
        jobs.setdefault(made.move_id, []).append(made.job)
    begun: dict[str, list[Verification]] = {}
    for start in plan.verifications:
        begun.setdefault(start.move_id, []).append(start.verification)

    def after(move: Move) -> Move:
        end = ends.get(move.id)
        if end is not None:
            return replace(move, state=end.state, reason=end.reason, closed_at=now, jobs=(), verifications=(), slots=())
        settled = tuple(_applied_job(job, withdrawn, cancelled, confirm_by_job, now) for job in move.jobs)
        return replace(
            move,
            state="verifying" if move.id in verifying else move.state,
            reason=ESCALATED if move.id in escalated else move.reason,
            jobs=(*settled, *jobs.get(move.id, ())),
            verifications=(*move.verifications, *begun.get(move.id, ())),
        )

    touched = ends.keys() | verifying | jobs.keys() | begun.keys() | escalated
    concerned = withdrawn | cancelled | confirm_by_job.keys()
    if concerned:
        touched |= {move.id for move in facts.moves if any(job.id in concerned for job in move.jobs)}
    moves = facts.moves + plan.moves
    return loaded_moves((after(move) if move.id in touched else move for move in moves), rollouts, facts.pins)


def _applied_job(
    job: Job, withdrawn: set[str], cancelled: set[str], confirm_by_job: Mapping[str, Confirm], now: datetime
) -> Job:
    if job.id in withdrawn:
        return replace(job, status=JobStatus.SKIPPED, handover=Handover.WAITING, completed_at=now, message=WITHDRAWN)
    if job.id in confirm_by_job:
        job = replace(job, confirm=confirm_by_job[job.id])
    return replace(job, cancel_asked=True) if job.id in cancelled else job


ESCALATED = "escalated"
"""The reason of an open move that a person was called for already."""

WITHDRAWN = "withdrawn before it was handed over"
"""What a withdrawn job says."""


# What a snapshot holds: the same conditions as in store/sql/fact.sql --------------------------------------------------


def loaded_moves(moves: Iterable[Move], rollouts: Iterable[Rollout], pins: Iterable[Pin]) -> tuple[Move, ...]:
    """The moves that a round looks at: open ones, all of live rollouts, and pin moves since the oldest pin in force."""
    live = {rollout.id for rollout in rollouts if rollout.live}
    pinned_at = min((pin.created_at for pin in pins), default=None)
    return tuple(
        move
        for move in moves
        if move.open
        or move.rollout_id in live
        or (move.kind == "pin" and pinned_at is not None and move.admitted_at >= pinned_at)
    )


def counted_leaving(
    leaving: Mapping[str, Target],
    moves: Iterable[Move],
    rollouts: Iterable[Rollout],
    history: Iterable[tuple[str, str]],
) -> Mapping[str, Target]:
    """The detached targets that a round still counts.

    Those with an open move, those that left after a live rollout opened, and those on which a version landed or a job
    of it ended otherwise.

    Takes: `history` are (target id, version id) of the latter.
    """
    busy = {move.target_id for move in moves if move.open}
    opened_at = min((rollout.opened_at for rollout in rollouts if rollout.live), default=None)
    known = {target_id for target_id, _ in history}
    return {
        target.id: target
        for target in leaving.values()
        if target.id in busy
        or target.id in known
        or (opened_at is not None and (target.detached_at is None or target.detached_at > opened_at))
    }


def labels_of(labels: Mapping[str, Mapping[str, str]], target_ids: Iterable[str]) -> Mapping[str, Mapping[str, str]]:
    """The labels of the targets that are loaded."""
    return {target_id: labels[target_id] for target_id in target_ids if target_id in labels} if labels else labels


def samples_of(samples: Mapping[str, int], moves: Iterable[Move], rollouts: Iterable[Rollout]) -> Mapping[str, int]:
    """The counts of moves of live rollouts."""
    if not samples:
        return samples
    live = {rollout.id for rollout in rollouts if rollout.live}
    return {move.id: samples[move.id] for move in moves if move.id in samples and move.rollout_id in live}

"""How many of the admitted moves go now, and in which order?

    open       the first round in which a target passes all gates opens its version's rollout there; an older one is superseded
    pace       due times, verified-between, in-flight limits, halts: gradual_rollout's arithmetic over the order of targets
    fall back  a target that runs nothing yet, and is only paced, takes the newest version that is good beside it
    start      at most `moves_max` moves with their first jobs; retries that are due; waiting jobs withdrawn that nothing admits any more
    complete   a rollout that no target waits for any more

A *pace's* hold does not let an older candidate try: the target waits for its slot.

Source: core.md section 4 ("A rollout opens", order, times, verified between, halt).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from interlock.decide.facts import Index, Job, Move, ReleaseRef, Rollout, Target, Version
from interlock.decide.gates import Asked, Asking, Choice, Gates
from interlock.decide.package import shown
from interlock.decide.plan import (
    JobCancel,
    JobRenewal,
    MoveEnd,
    NewChange,
    NewJob,
    NewRequest,
    Plan,
    RolloutState,
    applied,
)
from interlock.decide.react import failures_allowed, failures_of, last_outcome
from interlock.decide.record import Recorder
from interlock.decide.rules import gradual_rollout, verification
from interlock.decide.rules.gradual_rollout import Params, offset, order_key
from interlock.decide.verdict import Judged, Stage, WaitsFor, holds, instant
from interlock.model.ids import TargetKey, derived_id
from interlock.model.job import Handover, JobStatus

MOVES_MAX = 2000

PACED: Mapping[str, bool] = {
    "forward": True,
    "config": True,
    "pin": False,
    "retry": False,
    "redeploy": False,
    "rollback": False,
    "force": False,
}
"""Kind of move -> whether it waits for its place in a rollout. (Limits shared by deployments are counted at the commit.)"""

ROLLOUT_KIND = {"forward": "version", "config": "config"}

REASONS = gradual_rollout.REASONS


@dataclass(slots=True)
class Lane:
    """One gradualRollout rule while its targets are walked in order."""

    rule_id: str
    policy_id: str
    policy_name: str
    params: Params
    targets: int
    in_flight: int = 0
    position: int = -1
    previous: tuple[datetime, int, bool] | None = None


class Pace:
    """Turns answers into starts."""

    def __init__(
        self, index: Index, recorder: Recorder, gates: Gates, now: datetime, moves_max: int = MOVES_MAX
    ) -> None:
        self.index = index
        self.recorder = recorder
        self.gates = gates
        self.now = now
        self.moves_max = moves_max
        self._opened: list[Rollout] = []
        self._states: list[RolloutState] = []
        self._changes: list[NewChange] = []
        self._starts: list[tuple[Asking, Choice, Rollout | None]] = []
        self._paced: dict[str, Judged] = {}
        self._config_rollouts: dict[str, Rollout] = {}
        self._orders: dict[tuple[str, str], tuple[Target, ...]] = {}

    def admit(self, asked: Asked) -> Plan:
        """Everything that starts, ends or is asked for in this round after the reactions."""
        self._open(asked)
        wanting = self._by_rollout(asked)
        for rollout, choices in wanting:
            self._admit_rollout(rollout, choices, asked)
        for asking in asked.by_target.values():
            choice = asking.choice
            if choice is not None and not PACED[choice.kind] and not asking.retrying:
                self._starts.append((asking, choice, None))
        ends, withdrawn_jobs, renewals, retries = self._settle_ours(asked)
        moves, jobs, left_over = self._start(asked, ends)
        plan = Plan(
            changes=tuple(self._changes),
            rollouts=tuple(self._opened),
            rollout_states=tuple(self._states),
            ends=tuple(ends),
            withdrawn_jobs=tuple(withdrawn_jobs),
            renewals=tuple(renewals),
            moves=tuple(moves),
            jobs=(*jobs, *retries),
            requests=tuple(self._requests(asked)),
            cancels=tuple(self._cancels(asked)),
        )
        plan = self._completed(plan)
        if left_over:
            self.recorder.instants.add(self.now + timedelta(milliseconds=1))
        self._write_rows(asked, plan)
        return plan

    # Opening -----------------------------------------------------------------------------------------------------------------

    def _open(self, asked: Asked) -> None:
        """Open rollouts for versions that a target may now go to; the newest of an environment supersedes the others."""
        wanted: dict[tuple[str, str], Version] = {}
        for asking in asked.by_target.values():
            choice = asking.choice
            if choice is not None and choice.kind == "forward" and not asking.retrying:
                wanted[(asking.target.environment_id, choice.version.id)] = choice.version
        for (environment_id, _), version in sorted(wanted.items(), key=lambda one: (one[0][0], one[1].age_key)):
            if (version.change_id, environment_id) in self.index.rollout_by_change_environment:
                continue
            opened = Rollout(
                id=derived_id("rollout", version.change_id, environment_id),
                change_id=version.change_id,
                environment_id=environment_id,
                kind="version",
                version_id=version.id,
                state="open",
                opened_at=self.now,
                targets_at_open=len(self.index.targets_by_environment.get(environment_id, ())),
            )
            self._opened.append(opened)
        self._supersede()
        self._open_config(asked)

    def _supersede(self) -> None:
        """Of the live version rollouts of an environment only the newest version's stays."""
        live: dict[str, list[Rollout]] = {}
        for rollout in (*self.index.facts.rollouts, *self._opened):
            if rollout.live and rollout.kind == "version":
                live.setdefault(rollout.environment_id, []).append(rollout)
        opened = {rollout.id for rollout in self._opened}
        for group in live.values():
            newest = max(group, key=self._age)
            for rollout in sorted(group, key=lambda one: one.id):
                if rollout.id == newest.id:
                    continue
                if rollout.id in opened:
                    place = next(i for i, one in enumerate(self._opened) if one.id == rollout.id)
                    self._opened[place] = _with_state(rollout, "superseded")
                else:
                    self._states.append(RolloutState(rollout.id, "superseded", "newer_version", {"by": newest.id}))

    def _age(self, rollout: Rollout) -> tuple[datetime, str]:
        version = self.index.version_by_id.get(rollout.version_id or "")
        return version.age_key if version else (rollout.opened_at, rollout.id)

    def _open_config(self, asked: Asked) -> None:
        """One config rollout an environment: the live one, or a new one over the targets that differ now."""
        drifting: dict[str, list[Asking]] = {}
        for asking in asked.by_target.values():
            if asking.choice is not None and asking.choice.kind == "config" and not asking.retrying:
                drifting.setdefault(asking.target.environment_id, []).append(asking)
        for environment_id, group in sorted(drifting.items()):
            live = self.index.live_rollout_by_environment_kind.get((environment_id, "config"))
            if live is None:
                digests = sorted({asking.target.config_digest or "" for asking in group})
                change = NewChange(
                    derived_id("change", "config", self.index.facts.deployment_id, environment_id, *digests, instant(self.now)),
                    "config",
                    config_digest=digests[0] if len(digests) == 1 else None,
                )
                live = Rollout(
                    id=derived_id("rollout", change.id, environment_id),
                    change_id=change.id,
                    environment_id=environment_id,
                    kind="config",
                    version_id=None,
                    state="open",
                    opened_at=self.now,
                    targets_at_open=len(self.index.targets_by_environment.get(environment_id, ())),
                )
                self._changes.append(change)
                self._opened.append(live)
            self._config_rollouts[environment_id] = live

    def _rollout_for(self, asking: Asking, choice: Choice) -> Rollout | None:
        environment_id = asking.target.environment_id
        if choice.kind == "config":
            return self._config_rollouts.get(environment_id)
        for rollout in self._opened:
            if rollout.change_id == choice.version.change_id and rollout.environment_id == environment_id:
                return rollout
        return self.index.rollout_by_change_environment.get((choice.version.change_id, environment_id))

    def _by_rollout(self, asked: Asked) -> list[tuple[Rollout, dict[str, Asking]]]:
        found: dict[str, tuple[Rollout, dict[str, Asking]]] = {}
        known: dict[tuple[str, str, str], Rollout | None] = {}
        for asking in asked.by_target.values():
            choice = asking.choice
            if choice is None or not PACED[choice.kind] or (asking.retrying and asking.move is not None):
                continue
            key = (asking.target.environment_id, choice.version.change_id, choice.kind)
            if key not in known:
                known[key] = self._rollout_for(asking, choice)
            rollout = known[key]
            if rollout is not None:
                found.setdefault(rollout.id, (rollout, {}))[1][asking.target.id] = asking
        return [found[key] for key in sorted(found)]

    # Pacing ------------------------------------------------------------------------------------------------------------------

    def _admit_rollout(self, rollout: Rollout, choices: Mapping[str, Asking], asked: Asked) -> None:
        """Admit what may start now; hold the rest, each with what it waits for."""
        blocked = self._blocked(rollout)
        held = dict.fromkeys(choices, blocked) if blocked else self._walk(rollout, choices)
        for target_id, asking in choices.items():
            hold = held.get(target_id)
            if hold is None and asking.choice is not None:
                self._starts.append((asking, asking.choice, rollout))
            elif hold is not None:
                self._paced[target_id] = hold
                self._fall_back(asking, asked)

    def _blocked(self, rollout: Rollout) -> Judged | None:
        """Why a rollout starts nothing at all."""
        failures = failures_of(self.index, rollout.id) - rollout.failures_forgiven
        allowed = failures_allowed(self.index, rollout.environment_id)
        who = "an operator may resume, promote or abort the rollout; a newer version ends it"
        waits_on = (f"rollout:{rollout.id}",)
        verdict = None
        if rollout.state == "paused":
            verdict = holds(WaitsFor.PERSON, "rollout_paused", waits_on=waits_on, who=who)
        elif rollout.state == "aborted":
            verdict = holds(WaitsFor.DENY, "rollout_aborted", waits_on=waits_on, who="a newer version, or a pin")
        elif rollout.state == "halted" or failures > allowed:
            verdict = holds(
                WaitsFor.PERSON, "rollout_halted", waits_on=waits_on, who=who, failures=failures, max_failures=allowed
            )
        return Judged(gradual_rollout.kind, verdict, Stage.READINESS) if verdict else None

    def _walk(self, rollout: Rollout, choices: Mapping[str, Asking]) -> dict[str, Judged]:
        """Target id -> why it must wait for its place. Absent: it may start."""
        lanes_by_set = self._lanes(rollout)
        if not any(lanes_by_set.values()):
            return {}
        newest = {
            move.target_id: move
            for move in self.index.moves_by_rollout.get(rollout.id, ())
            if move.state not in {"withdrawn", "cancelled"}
        }
        holds_by_target: dict[str, Judged] = {}
        shared: dict[tuple[str, str], Judged] = {}
        for target in self._order(rollout):
            lanes = lanes_by_set.get(target.policy_set, ())
            for lane in lanes:
                lane.position += 1
            move = newest.get(target.id)
            if move is not None:
                for lane in lanes:
                    proven = move.state in {"succeeded", "failed"} or not self._waits_for_proof(target, lane)
                    lane.previous = (move.started_at or move.admitted_at, lane.position, proven)
                continue
            asking = choices.get(target.id)
            if asking is None:
                continue
            hold = next(filter(None, (self._check(lane, rollout, shared) for lane in lanes)), None)
            if hold is not None:
                holds_by_target[target.id] = hold
                continue
            for lane in lanes:
                lane.in_flight += 1
                lane.previous = (self.now, lane.position, not self._waits_for_proof(target, lane))
        return holds_by_target

    def _check(self, lane: Lane, rollout: Rollout, shared: dict[tuple[str, str], Judged]) -> Judged | None:
        """Why the target at the lane's position must wait, if it must."""
        params = lane.params
        if lane.previous is not None and not lane.previous[2]:
            return self._shared(lane, shared, "rollout_verifying", WaitsFor.WAIT, {})
        if params.max_in_flight is not None and lane.in_flight >= params.max_in_flight:
            values = {"in_flight": lane.in_flight, "max_in_flight": params.max_in_flight}
            return self._shared(lane, shared, "rollout_in_flight", WaitsFor.WAIT, values)
        mine = offset(params, lane.position, targets_at_open=rollout.targets_at_open)
        due_at = rollout.opened_at + mine
        if lane.previous is not None:
            started_at, place, _ = lane.previous
            due_at = max(due_at, started_at + mine - offset(params, place, targets_at_open=rollout.targets_at_open))
        if self.now >= due_at:
            return None
        verdict = holds(
            WaitsFor.WAIT,
            "rollout_due_later",
            changes_at=due_at,
            position=lane.position + 1,
            targets=lane.targets,
            due_at=due_at,
        )
        return Judged(gradual_rollout.kind, verdict, Stage.READINESS, lane.rule_id, lane.policy_id, lane.policy_name)

    def _shared(
        self, lane: Lane, shared: dict[tuple[str, str], Judged], reason: str, waits_for: WaitsFor, values: dict[str, int]
    ) -> Judged:
        key = (lane.rule_id, reason)
        if key not in shared:
            verdict = holds(waits_for, reason, waits_on=(f"moves:{self.index.facts.deployment_id}",), **values)
            shared[key] = Judged(
                gradual_rollout.kind, verdict, Stage.READINESS, lane.rule_id, lane.policy_id, lane.policy_name
            )
        return shared[key]

    def _lanes(self, rollout: Rollout) -> dict[str | None, tuple[Lane, ...]]:
        """Policy set -> the lanes that pace its targets; one `Lane` a rule, shared by the sets that hold it."""
        members = self.index.targets_by_environment.get(rollout.environment_id, ())
        lanes: dict[str, Lane] = {}
        by_set: dict[str | None, tuple[Lane, ...]] = {}
        for policy_set in sorted({target.policy_set or "" for target in members}):
            mine = []
            for policy in self.index.policies_of(policy_set):
                for rule in policy.rules:
                    if isinstance(rule.params, Params) and not policy.observe:
                        key = f"{policy.id}:{rule.id}"
                        lanes.setdefault(key, Lane(rule.id, policy.id, policy.name, rule.params, 0))
                        mine.append(lanes[key])
            by_set[policy_set or None] = tuple(mine)
        for target in members:
            occupied = target.id in self.index.open_move_by_target
            for lane in by_set.get(target.policy_set, ()):
                lane.targets += 1
                lane.in_flight += occupied
        return by_set

    def _order(self, rollout: Rollout) -> tuple[Target, ...]:
        """The environment's targets in the rollout's order; those that joined later behind; those that left keep their number."""
        key = (rollout.environment_id, rollout.id)
        if key not in self._orders:
            facts = self.index.facts
            salt = rollout.version_id or rollout.change_id
            members = [
                *self.index.targets_by_environment.get(rollout.environment_id, ()),
                *(target for target in facts.leaving.values() if target.environment_id == rollout.environment_id),
            ]

            def place(target: Target) -> tuple[bool, datetime, int, str]:
                text = str(TargetKey(target.resource_id, target.environment_id, facts.deployment_id))
                late = target.attached_at > rollout.opened_at
                return (late, target.attached_at if late else rollout.opened_at, order_key(text, salt), target.id)

            self._orders[key] = tuple(sorted(members, key=place))
        return self._orders[key]

    def _waits_for_proof(self, target: Target, lane: Lane) -> bool:
        """Whether the next target waits until this one passed its verification."""
        if lane.params.overlap:
            return False
        return any(
            isinstance(rule.params, verification.Params) and rule.params.trigger != "jobFailure"
            for policy in self.index.policies_of(target.policy_set)
            if not policy.observe
            for rule in policy.rules
        )

    def _fall_back(self, asking: Asking, asked: Asked) -> None:
        """A target that runs nothing yet and is only paced takes the newest version that is good beside it."""
        target, choice = asking.target, asking.choice
        if target.current is not None or asking.move is not None or choice is None or choice.kind != "forward":
            return
        beside = self.index.good_versions_by_environment.get(target.environment_id, frozenset())
        for version in self.index.newest_first:
            if version.id not in beside or version.age_key >= choice.version.age_key:
                continue
            older = self.gates.choose(target, version.id)
            if older is not None:
                rollout = self.index.rollout_by_change_environment.get((version.change_id, target.environment_id))
                self._starts.append((asking, older, rollout))
                return

    # Starting ----------------------------------------------------------------------------------------------------------------

    def _settle_ours(self, asked: Asked) -> tuple[list[MoveEnd], list[str], list[JobRenewal], list[NewJob]]:
        """Jobs that still wait: kept with a fresh decision, or withdrawn. Retries that are due: made."""
        ends: list[MoveEnd] = []
        withdrawn: list[str] = []
        renewals: list[JobRenewal] = []
        retries: list[NewJob] = []
        for asking in asked.by_target.values():
            move = asking.move
            if move is None:
                continue
            newest = move.jobs[-1]
            if asking.retrying:
                self._settle_retry(asking, move, newest, withdrawn, renewals, retries)
                continue
            if asking.choice is not None and asking.choice.kind == "forward" and len(move.jobs) > 1:
                ends.append(MoveEnd(move.id, move.target_id, "cancelled", "newer_version", {}, newest.id if newest.ours else None))
                continue
            if self._still_wanted(asking, move):
                choice = asking.choice
                if choice is not None and (choice.decision.id != move.decision_id or choice.valid_until is not None):
                    renewals.append(JobRenewal(newest.id, choice.decision.id, choice.valid_until))
            else:
                reason = "newer_version" if asking.choice is not None else "held"
                ends.append(MoveEnd(move.id, move.target_id, "withdrawn", reason, _holding(asking, self._paced), newest.id))
        return ends, withdrawn, renewals, retries

    def _settle_retry(
        self,
        asking: Asking,
        move: Move,
        newest: Job,
        withdrawn: list[str],
        renewals: list[JobRenewal],
        retries: list[NewJob],
    ) -> None:
        choice, waiting = asking.choice, newest.ours and not newest.status.terminal
        if choice is None:
            if waiting:
                withdrawn.append(newest.id)
        elif waiting:
            if choice.valid_until is not None or choice.decision.id != move.decision_id:
                renewals.append(JobRenewal(newest.id, choice.decision.id, choice.valid_until))
        else:
            failed = last_outcome(move)
            job = Job(
                derived_id("job", move.id, str(len(move.jobs) + 1)), JobStatus.PENDING, Handover.WAITING, created_at=self.now
            )
            retries.append(
                NewJob(job, move.id, move.target_id, choice.decision.id, choice.valid_until, failed.id if failed else None)
            )

    def _still_wanted(self, asking: Asking, move: Move) -> bool:
        """Whether the choice of this round is what the waiting move does, and nothing paces it any more than it did."""
        choice, target = asking.choice, asking.target
        if choice is None or choice.version.id != move.version_id:
            return False
        if target.config_digest != move.to_release.config_digest:
            return False
        rollout = self._rollout_for(asking, choice) if PACED[choice.kind] else None
        first = move.from_release is None and rollout is not None and rollout.state in {"halted", "complete", "superseded"}
        return rollout is None or first or self._blocked(rollout) is None

    def _start(self, asked: Asked, ends: Iterable[MoveEnd]) -> tuple[list[Move], list[NewJob], bool]:
        """The moves that start now, at most `moves_max`, with their first jobs. A target whose waiting move is kept starts nothing."""
        freed = {end.target_id for end in ends}
        moves: list[Move] = []
        jobs: list[NewJob] = []
        for asking, choice, rollout in self._starts:
            target = asking.target
            if (asking.move is not None and target.id not in freed) or target.config_digest is None:
                continue
            if len(moves) >= self.moves_max:
                return moves, jobs, True
            move_id = derived_id("move", target.id, choice.version.id, target.config_digest, choice.kind, instant(self.now))
            change_id = rollout.change_id if rollout is not None else choice.version.change_id
            moves.append(
                Move(
                    id=move_id,
                    target_id=target.id,
                    environment_id=target.environment_id,
                    rollout_id=rollout.id if rollout is not None else None,
                    change_id=change_id,
                    kind=choice.kind,
                    version_id=choice.version.id,
                    to_release=ReleaseRef(derived_id("release", move_id), choice.version.id, target.config_digest),
                    from_release=target.current,
                    state="admitted",
                    decision_id=choice.decision.id,
                    admitted_at=self.now,
                )
            )
            job = Job(derived_id("job", move_id, "1"), JobStatus.PENDING, Handover.WAITING, created_at=self.now)
            jobs.append(NewJob(job, move_id, target.id, choice.decision.id, choice.valid_until))
        return moves, jobs, False

    def _cancels(self, asked: Asked) -> list[JobCancel]:
        """Running jobs that must stop: their target left, or a newer version goes first where the deployment says so."""
        cancels = []
        for move in self.index.open_move_by_target.values():
            if move.target_id in self.index.facts.leaving:
                cancels.extend(JobCancel(job.id, "target_detached") for job in move.jobs if _cancellable(job))
        if self.index.facts.supersede == "cancel":
            for target, move in asked.occupied:
                if move.kind == "forward" and self._newer_admitted(target, move, asked):
                    cancels.extend(JobCancel(job.id, "newer_version") for job in move.jobs if _cancellable(job))
        return cancels

    def _newer_admitted(self, target: Target, move: Move, asked: Asked) -> bool:
        choice, _ = self.gates._forward(target, asked)  # noqa: SLF001 - the same question, for a target that is occupied
        moving = self.index.version_by_id.get(move.version_id)
        return choice is not None and moving is not None and choice.version.age_key > moving.age_key

    def _requests(self, asked: Asked) -> list[NewRequest]:
        """The people to ask: once per change, environment and minimum."""
        requests = []
        for (environment_id, _), (version, missing) in sorted(asked.judgements.items(), key=lambda one: one[0]):
            minimum = max(int(str(one.verdict.values["minimum"])) for one in missing)
            request_id = derived_id("approval-request", version.change_id, environment_id, str(minimum))
            if request_id in self.index.facts.requests or any(one.id == request_id for one in requests):
                continue
            names = sorted({one.policy_name for one in missing if one.policy_name})
            requests.append(
                NewRequest(
                    id=request_id,
                    change_id=version.change_id,
                    environment_id=environment_id,
                    version_id=version.id,
                    minimum=minimum,
                    why=f"policy {', '.join(names)} asks for {minimum} approval{'s' if minimum > 1 else ''}",
                    shown=shown(self.index, environment_id, version, missing),
                )
            )
        return requests

    def _completed(self, plan: Plan) -> Plan:
        """The plan, and the rollouts that nothing waits for once it is written."""
        after = Index(applied(self.index.facts, plan, self.now))
        states = list(plan.rollout_states)
        ended = {state.rollout_id for state in states}
        for rollout in sorted(after.facts.rollouts, key=lambda one: one.id):
            if rollout.state != "open" or rollout.id in ended:
                continue
            if any(move.open for move in after.moves_by_rollout.get(rollout.id, ())):
                continue
            if not any(self._wants(after, rollout, target) for target in after.targets_by_environment.get(rollout.environment_id, ())):
                states.append(RolloutState(rollout.id, "complete", "done", {}))
        return plan if len(states) == len(plan.rollout_states) else _replaced(plan, tuple(states))

    def _wants(self, after: Index, rollout: Rollout, target: Target) -> bool:
        """Whether a target may still join a rollout."""
        if rollout.kind == "config":
            return (
                target.current is not None
                and target.config_digest not in (None, target.current.config_digest)
                and not any(one.target_id == target.id for one in after.facts.quarantines)
            )
        listed = self.gates.candidates.shared(target.environment_id, target.policy_set, target.mark)
        if target.id in after.open_move_by_target and after.open_move_by_target[target.id].version_id == rollout.version_id:
            return True
        return any(version.id == rollout.version_id for version in listed) and (
            (target.id, rollout.version_id or "") not in after.quarantined
        )

    # Words -------------------------------------------------------------------------------------------------------------------

    def _write_rows(self, asked: Asked, plan: Plan) -> None:
        """The short row of every target."""
        starting = {move.target_id: move for move in plan.moves}
        ending = {end.move_id for end in plan.ends}
        nothing_good: dict[str, Judged] = {}
        for target_id, asking in asked.by_target.items():
            held = tuple(one.decision for one in asking.held)
            own = tuple(judged for one in asking.held for judged in one.judged)
            choice = asking.choice
            move = starting.get(target_id) or (asking.move if asking.move and asking.move.id not in ending else None)
            if move is not None:
                decisions = (choice.decision, *held) if choice else held
                self.recorder.row(
                    target_id, outcome="moving", kind=move.kind, version_id=move.version_id, judged=own, decisions=decisions
                )
            elif choice is not None:
                paced = self._paced.get(target_id)
                judged = (*((paced,) if paced else ()), *choice.judged, *own)
                self.recorder.row(
                    target_id,
                    outcome="hold",
                    kind=choice.kind,
                    version_id=choice.version.id,
                    judged=judged,
                    decisions=(choice.decision, *held),
                )
            elif asking.held:
                first = asking.held[0]
                unknown = any(one.outcome == "unknown" for one in held) or any(one.verdict.outcome == "unknown" for one in own)
                self.recorder.row(
                    target_id,
                    outcome="unknown" if unknown else "hold",
                    kind=first.kind,
                    version_id=first.version.id,
                    judged=own,
                    decisions=held,
                )
            else:
                self.recorder.row(target_id, outcome="settled", judged=_settled(asking.target, self.index, nothing_good))
        for target, occupying in asked.occupied:
            self.recorder.row(target.id, outcome="moving", kind=occupying.kind, version_id=occupying.version_id)


def _settled(target: Target, index: Index, shared: dict[str, Judged]) -> tuple[Judged, ...]:
    """What there is to say about a target that goes nowhere: that it failed and who can act."""
    failed = target.mark is not None and (target.current is None or target.current.version_id != target.mark)
    left = (target.id, target.mark or "") in index.quarantined
    if not failed:
        stuck = target.current is not None and (target.good is None or target.good.id != target.current.id)
        if stuck:
            return (_word(shared, "no_good_release", "a newer version, a redeploy or a person", stage=Stage.READINESS),)
        return ()
    if left:
        return (_word(shared, "quarantined", "a newer version; or an operator may clear the quarantine", stage=Stage.READINESS),)
    return (_word(shared, "attempts_used", "a newer version, a redeploy or a person", stage=Stage.READINESS),)


def _word(shared: dict[str, Judged], reason: str, who: str, *, stage: Stage) -> Judged:
    if reason not in shared:
        shared[reason] = Judged("outcome", holds(WaitsFor.PERSON, reason, who=who), stage)
    return shared[reason]


def _holding(asking: Asking, paced: Mapping[str, Judged]) -> dict[str, object]:
    """Which rules took a waiting job back, for the ledger."""
    names = {judged.kind for one in asking.held for judged in one.judged if judged.bars}
    names |= {str(one["rule"]) for held in asking.held for one in held.decision.verdicts if one["outcome"] != "pass"}
    if asking.target.id in paced:
        names.add(paced[asking.target.id].kind)
    return {"rules": sorted(names)} if names else {}


def _cancellable(job: Job) -> bool:
    return not job.status.terminal and not job.cancel_asked


def _with_state(rollout: Rollout, state: str) -> Rollout:
    return Rollout(
        rollout.id,
        rollout.change_id,
        rollout.environment_id,
        rollout.kind,
        rollout.version_id,
        state,
        rollout.opened_at,
        rollout.targets_at_open,
        rollout.failures_forgiven,
    )


def _replaced(plan: Plan, states: tuple[RolloutState, ...]) -> Plan:
    parts = {name: getattr(plan, name) for name in Plan.__dataclass_fields__}
    return Plan(**{**parts, "rollout_states": states})

"""How many of the admitted moves go now, and in which order?

    open       the first round in which a target passes all gates opens its version's rollout there; an older one is
               superseded
    pace       which targets of a rollout may start now: `schedule` walks them in order
    fall back  a target that runs nothing yet, and is only paced, takes the newest version that is good beside it
    start      at most `moves_max` moves with their first jobs, and retries that are due; a waiting job that nothing
               admits any more is withdrawn
    complete   a rollout that no target waits for any more

A *pace's* hold does not let an older candidate try: the target waits for its slot.

The file is long because these steps share one state, what starts and what is given up: a job that is withdrawn frees a
place that another target takes in the same round.

Source: core.md section 4 ("A rollout opens", order, times, verified between, halt).
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from interlock.decide.facts import Job, Move, ReleaseRef, Rollout, Target, Version
from interlock.decide.gates import GIVEN_UP, Asked, Asking, Choice, Confirming, Gates
from interlock.decide.index import Index
from interlock.decide.orders import AS_FROZEN, brought_release, capped_rollbacks
from interlock.decide.package import shown
from interlock.decide.plan import (
    JobCancel,
    JobConfirm,
    JobRenewal,
    MoveEnd,
    NewChange,
    NewJob,
    NewProof,
    NewRequest,
    Plan,
    RolloutState,
    SlotClaim,
    applied,
)
from interlock.decide.proofs import tests_planned
from interlock.decide.react import last_outcome
from interlock.decide.record import Recorder
from interlock.decide.rows import Rows
from interlock.decide.schedule import Asks, Schedule
from interlock.decide.slots import Slots
from interlock.decide.subjects import EnvironmentVersion
from interlock.decide.verdict import Judged, instant
from interlock.model.ids import derived_id
from interlock.model.job import Confirm, Handover, JobStatus

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
"""Kind of move -> whether it waits for its place in a rollout. How it meets concurrency is `slots.ASKED_AT`."""

STARTING_FIRST: Mapping[str, int] = {"force": 0, "rollback": 1}
"""Kinds of move that take their slots before the others do, in this order."""


@dataclass(frozen=True, slots=True)
class Start:
    """A move that starts now."""

    target: Target
    choice: Choice
    rollout: Rollout | None


Wanting = dict[str, tuple[Asking, Choice]]
"""Target id -> a target that wants to start in a rollout, and what it goes for."""


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
        self._opened: dict[str, Rollout] = {}
        self._states: list[RolloutState] = []
        self._changes: list[NewChange] = []
        self._starts: list[Start] = []
        self._left_over: set[str] = set()
        self._paced: dict[str, tuple[Judged, ...]] = {}
        self._falls_back: dict[str, Choice | None] = {}
        self._config_rollouts: dict[str, Rollout] = {}
        self._rollout_by_id = {rollout.id: rollout for rollout in index.facts.rollouts}
        self.slots = Slots(index)
        self.schedule = Schedule(index, self.slots, now)

    @property
    def paced(self) -> Mapping[str, tuple[Judged, ...]]:
        """Target id -> what it waits for, though its gates pass. Known once `admit` was asked."""
        return self._paced

    def admit(self, asked: Asked) -> Plan:
        """Everything that starts, ends or is asked for in this round after the reactions."""
        self._open_versions(asked)
        self._open_configs(asked)
        self._supersede()
        given_up = {one.target.id for one in asked.by_target.values() if self._gives_up(one) is not None}
        self.slots.release(given_up)
        self._start_unpaced(asked, given_up)
        self.schedule.count_in_flight(given_up, unpaced={start.target.id for start in self._starts})
        by_rollout = self._by_rollout(asked)
        proofs = self._begin_proofs(by_rollout, given_up, asked)
        for rollout, choices in by_rollout:
            self._admit_rollout(rollout, choices, given_up, asked)
        ends, withdrawn_jobs, renewals, retries = self._settle_ours(asked)
        confirms, unconfirms, renewed, discards = self._confirm(asked)
        moves, jobs, claims = self._start(asked, frozenset(end.target_id for end in ends))
        plan = Plan(
            changes=tuple(self._changes),
            rollouts=tuple(self._opened.values()),
            rollout_states=tuple(self._states),
            ends=tuple(ends),
            withdrawn_jobs=tuple(withdrawn_jobs),
            renewals=(*renewals, *renewed),
            moves=tuple(moves),
            jobs=(*jobs, *retries),
            slots=tuple(claims),
            requests=tuple(self._requests(asked)),
            cancels=(*self._cancels(asked), *discards),
            confirms=tuple(confirms),
            unconfirms=tuple(unconfirms),
            proofs=proofs,
        )
        plan = self._completed(plan)
        if self._left_over:
            self.recorder.wake((self.now + timedelta(milliseconds=1),))
        Rows(self.index, self.recorder, self.gates.candidates).write(
            asked, plan, paced=self._paced, left_over=self._left_over, moves_max=self.moves_max
        )
        return plan

    # Opening ----------------------------------------------------------------------------------------------------------

    def _open_versions(self, asked: Asked) -> None:
        """Open a rollout for each version that a target may now go to."""
        wanted: dict[tuple[str, str], Version] = {}
        for asking in asked.by_target.values():
            choice = asking.choice
            if choice is not None and choice.kind == "forward":
                wanted[(asking.target.environment_id, choice.version.change_id)] = choice.version
        for (environment_id, change_id), version in sorted(wanted.items(), key=lambda one: one[0]):
            if (change_id, environment_id) not in self.index.rollout_by_change_environment:
                self._open(change_id, environment_id, "version", version.id)

    def _open(self, change_id: str, environment_id: str, kind: str, version_id: str | None) -> Rollout:
        here = self.index.targets_by_environment.get(environment_id, ())
        members = [one for one in here if kind != "config" or self.index.drifts(one)]
        opened = Rollout(
            id=derived_id("rollout", change_id, environment_id),
            change_id=change_id,
            environment_id=environment_id,
            kind=kind,
            version_id=version_id,
            state="open",
            opened_at=self.now,
            targets_at_open=len(members),
        )
        waves = len(self.schedule.laid_out(opened))
        opened = replace(opened, tests_planned=tests_planned(self.index, members, waves))
        self._opened[opened.id] = opened
        return opened

    def _open_configs(self, asked: Asked) -> None:
        """One config rollout an environment: the live one, or a new one over the targets that differ now.

        Why:    one that halted ends when what failed was corrected, as a version's does when a newer version comes;
                else the correction would wait behind the failure that it is for.
        """
        drifting: dict[str, list[str]] = {}
        for asking in asked.by_target.values():
            if asking.choice is not None and asking.choice.kind == "config":
                drifting.setdefault(asking.target.environment_id, []).append(asking.target.config_digest or "")
        for environment_id, found in sorted(drifting.items()):
            live = self.index.live_rollout_by_environment_kind.get((environment_id, "config"))
            corrected = live is not None and live.state == "halted" and self.index.is_corrected(live)
            if live is None or corrected:
                digests = sorted(set(found))
                named = (self.index.facts.deployment_id, environment_id, *digests, instant(self.now))
                digest = digests[0] if len(digests) == 1 else None
                change = NewChange(derived_id("change", "config", *named), "config", config_digest=digest)
                self._changes.append(change)
                opened = self._open(change.id, environment_id, "config", None)
                if live is not None:
                    self._states.append(RolloutState(live.id, "aborted", "newer_config", {"by": opened.id}))
                live = opened
            self._config_rollouts[environment_id] = live

    def _supersede(self) -> None:
        """Of the live version rollouts of an environment only the newest version's stays."""
        live: dict[str, list[Rollout]] = {}
        for rollout in (*self.index.facts.rollouts, *self._opened.values()):
            if rollout.live and rollout.kind == "version":
                live.setdefault(rollout.environment_id, []).append(rollout)
        for _, group in sorted(live.items()):
            newest = max(group, key=self._age)
            for rollout in sorted(group, key=lambda one: one.id):
                if rollout.id != newest.id:
                    self._end_rollout(rollout, newest)

    def _end_rollout(self, rollout: Rollout, newest: Rollout) -> None:
        """A newer rollout takes over. One that had halted is aborted, so that it is not forgotten that it failed."""
        if rollout.id in self._opened:
            self._opened[rollout.id] = replace(rollout, state="superseded")
        else:
            state = "aborted" if rollout.state == "halted" else "superseded"
            self._states.append(RolloutState(rollout.id, state, "newer_version", {"by": newest.id}))

    def _age(self, rollout: Rollout) -> tuple[datetime, str]:
        version = self.index.version_by_id.get(rollout.version_id or "")
        return version.age_key if version else (rollout.opened_at, rollout.id)

    def _paced_by(self, environment_id: str, choice: Choice) -> Rollout:
        """The rollout that paces a choice, as it stands after the openings of this round."""
        if choice.kind == "config":
            return self._config_rollouts[environment_id]
        opened = self._opened.get(derived_id("rollout", choice.version.change_id, environment_id))
        return opened or self.index.rollout_by_change_environment[(choice.version.change_id, environment_id)]

    def _by_rollout(self, asked: Asked) -> list[tuple[Rollout, Wanting]]:
        """The rollouts with the targets that want to start: by environment, newest version first, config last."""
        found: dict[tuple[str, str, str], tuple[Rollout, Wanting]] = {}
        for asking in asked.by_target.values():
            choice = asking.choice
            if choice is None or asking.retrying or not PACED[choice.kind]:
                continue
            change_id = choice.version.change_id if choice.kind == "forward" else ""
            key = (choice.kind, asking.target.environment_id, change_id)
            if key not in found:
                found[key] = (self._paced_by(asking.target.environment_id, choice), {})
            found[key][1][asking.target.id] = (asking, choice)
        newest_first = sorted(found.values(), key=lambda one: self._age(one[0]), reverse=True)
        return sorted(newest_first, key=lambda one: (one[0].environment_id, one[0].kind == "config"))

    # Pacing -----------------------------------------------------------------------------------------------------------

    def _gives_up(self, asking: Asking) -> str | None:
        """Why a move that is still ours ends in this round; None when it stays, or when there is none."""
        move, choice, target = asking.move, asking.choice, asking.target
        if move is None or asking.retrying:
            return None
        order = choice.order if choice is not None else None
        if order is not None and order.id != move.order_id:
            return "ordered"
        if order is None and move.order_id is not None and move.untouched:
            still_open = any(one.id == move.order_id for one in self.index.orders_by_target.get(target.id, ()))
            return "held" if still_open else "order_ended"
        if choice is None:
            return "held" if any(one.version.id == move.version_id for one in asking.held) else "not_wanted"
        if choice.kind == move.kind and choice.version.id == move.version_id:
            if target.config_digest != move.to_release.config_digest and choice.kind not in AS_FROZEN:
                return "config_changed"
            blocked = (
                PACED[choice.kind] and self.schedule.blocked(self._paced_by(target.environment_id, choice)) is not None
            )
            return "held" if blocked else None
        older = self._fall_back(asking)
        if older is not None and older.version.id == move.version_id:
            return None
        if choice.kind == "pin":
            return "pinned"
        return "newer_version" if self.index.is_newer(choice.version.id, move.version_id) else "held"

    def _start_unpaced(self, asked: Asked, given_up: set[str]) -> None:
        """What waits for no place starts first, so that those who wait see the places that it takes.

        What is not asked is counted before those who ask (`STARTING_FIRST`); targets that go back come before the
        others, and where many go back together, only so many at once.
        """
        unpaced = [
            Start(asking.target, asking.choice, None)
            for target_id, asking in asked.by_target.items()
            if asking.choice is not None and not PACED[asking.choice.kind] and not asking.retrying
            if asking.move is None or target_id in given_up
        ]
        back = [(one.target, one.choice.order) for one in unpaced if one.choice.kind == "rollback"]
        capped = capped_rollbacks(self.index, [(target, order) for target, order in back if order is not None])
        self._paced.update({target_id: (judged,) for target_id, judged in capped.items()})
        for start in sorted(unpaced, key=lambda one: STARTING_FIRST.get(one.choice.kind, len(STARTING_FIRST))):
            if start.target.id not in capped:
                self._start_or_wait(start)

    def _start_or_wait(self, start: Start) -> None:
        """Start what waits for no place in a rollout, if its slot groups have room."""
        held = self.slots.take(start.target, start.choice.kind)
        if held:
            self._paced[start.target.id] = (*self._paced.get(start.target.id, ()), *held)
        else:
            self._starts.append(start)

    def _admit_rollout(self, rollout: Rollout, choices: Wanting, given_up: AbstractSet[str], asked: Asked) -> None:
        """Admit what may start now; hold the rest, each with what it waits for."""
        blocked = self.schedule.blocked(rollout)
        held: dict[str, tuple[Judged, ...]]
        if blocked is not None:
            order, held = tuple(choices), dict.fromkeys(choices, (blocked,))
        else:
            moves = {target_id: asking.move for target_id, (asking, _) in choices.items()}
            caps = self.gates.caps(rollout)
            barred = self._barred(rollout, asked, capped=bool(caps))
            order, held = self.schedule.walk(rollout, moves, given_up, barred, caps)
        for target_id in order:
            asking, choice = choices[target_id]
            hold = held.get(target_id)
            if hold is None:
                self._starts.append(Start(asking.target, choice, rollout))
            else:
                self._paced[target_id] = hold
                self._start_fall_back(asking)

    def _begin_proofs(
        self, by_rollout: list[tuple[Rollout, Wanting]], given_up: AbstractSet[str], asked: Asked
    ) -> tuple[NewProof, ...]:
        """What is measured of waves from now on; also where a gate holds everybody in the next one."""
        wanting = {rollout.id: frozenset(choices) for rollout, choices in by_rollout}
        begun: list[NewProof] = []
        for rollout in sorted(self.index.facts.rollouts, key=lambda one: one.id):
            if rollout.state not in {"open", "paused"} or not self.schedule.in_waves(rollout.environment_id):
                continue
            going = wanting.get(rollout.id, frozenset()) | self._barred(rollout, asked, capped=False)
            begun += self.schedule.begin_proofs(rollout, Asks(going, given_up, self.schedule.newest_moves(rollout)))
        ended = {state.rollout_id for state in self._states}
        return tuple(one for one in begun if one.rollout_id not in ended)

    def _barred(self, rollout: Rollout, asked: Asked, *, capped: bool) -> AbstractSet[str]:
        """The targets that a gate keeps from a rollout's change: a wave waits for them."""
        if not capped and not self.schedule.in_waves(rollout.environment_id):
            return frozenset()
        return {
            asking.target.id
            for asking in asked.by_target.values()
            if asking.target.environment_id == rollout.environment_id
            and any(
                one.kind == "config" if rollout.version_id is None else one.version.id == rollout.version_id
                for one in asking.held
            )
        }

    # Falling back -----------------------------------------------------------------------------------------------------

    def _fall_back(self, asking: Asking) -> Choice | None:
        """What a target that runs nothing yet takes while it waits for its place: the newest that is good beside it."""
        target, choice = asking.target, asking.choice
        if target.current is not None or choice is None or choice.kind != "forward":
            return None
        if target.id not in self._falls_back:
            beside = self.index.good_versions_by_environment.get(target.environment_id, frozenset())
            beside -= self.index.bad_versions_by_environment.get(target.environment_id, frozenset())
            older = (
                self.gates.choose(target, version)
                for version in self.index.newest_first
                if version.id in beside and version.age_key < choice.version.age_key
            )
            self._falls_back[target.id] = next(filter(None, older), None)
        return self._falls_back[target.id]

    def _start_fall_back(self, asking: Asking) -> None:
        """Start what a target falls back to, unless it is on its way already."""
        older, environment_id = self._fall_back(asking), asking.target.environment_id
        if older is not None and (asking.move is None or asking.move.version_id != older.version.id):
            rollout = self.index.rollout_by_change_environment.get((older.version.change_id, environment_id))
            self._start_or_wait(Start(asking.target, older, rollout))

    # Starting ---------------------------------------------------------------------------------------------------------

    def _settle_ours(self, asked: Asked) -> tuple[list[MoveEnd], list[str], list[JobRenewal], list[NewJob]]:
        """Jobs that still wait: kept with a fresh decision, or withdrawn. Retries that are due: made."""
        ends: list[MoveEnd] = []
        withdrawn: list[str] = []
        renewals: list[JobRenewal] = []
        retries: list[NewJob] = []
        starting = {start.target.id for start in self._starts}
        for asking in asked.by_target.values():
            move = asking.move
            if move is None:
                continue
            newest = move.jobs[-1]
            reason = self._gives_up(asking)
            if reason is None and not asking.retrying and self._replaced(asking, move, starting):
                reason = "newer_version"
            if reason is not None:
                state = "withdrawn" if move.untouched else "cancelled"
                job_id = newest.id if newest.ours else None
                ends.append(MoveEnd(move.id, move.target_id, state, reason, self._holding(asking), job_id))
            elif asking.choice is None:
                if newest.ours:
                    withdrawn.append(newest.id)
            elif newest.ours:
                choice = asking.choice if asking.retrying else self._kept(asking, asking.choice, move)
                if choice.decision.id != move.decision_id or choice.valid_until is not None:
                    renewals.append(JobRenewal(newest.id, choice.decision.id, choice.valid_until))
            else:
                retries.append(self._retry(move, asking.choice))
        return ends, withdrawn, renewals, retries

    def _confirm(self, asked: Asked) -> tuple[list[JobConfirm], list[str], list[JobRenewal], list[JobCancel]]:
        """Planned runs: confirmed where all gates pass again, held where one does not, discarded where they lost."""
        confirms: list[JobConfirm] = []
        unconfirms: list[str] = []
        renewals: list[JobRenewal] = []
        discards: list[JobCancel] = []
        for one in asked.confirming.values():
            job, rollout = one.move.jobs[-1], self._rollout_by_id.get(one.move.rollout_id or "")
            blocked = self._blocks(one, rollout)
            granted = job.confirm is Confirm.GRANTED
            if one.discard is not None or (rollout is not None and rollout.state == "aborted"):
                discards.append(JobCancel(job.id, one.discard or "rollout_ended", planned=True))
            elif one.choice is None or blocked is not None:
                if blocked is not None:
                    self.recorder.wake((blocked.verdict.changes_at,))
                    self._paced[one.target.id] = (blocked,)
                if granted:
                    unconfirms.append(job.id)
            elif not granted:
                confirms.append(JobConfirm(job.id, one.choice.decision.id, one.choice.valid_until))
            elif one.choice.decision.id != one.move.decision_id or one.choice.valid_until is not None:
                renewals.append(JobRenewal(job.id, one.choice.decision.id, one.choice.valid_until))
        return confirms, unconfirms, renewals, sorted(discards, key=lambda each: each.job_id)

    def _blocks(self, one: Confirming, rollout: Rollout | None) -> Judged | None:
        """What holds a planned run though its gates pass: its rollout is paused or halted. A pin goes past that."""
        if rollout is None or not PACED[one.move.kind] or rollout.state not in {"paused", "halted"}:
            return None
        return self.schedule.blocked(rollout)

    def _kept(self, asking: Asking, choice: Choice, move: Move) -> Choice:
        """The choice that a move which stays follows: its own, or the one that its target falls back to."""
        older = None if choice.version.id == move.version_id else self._fall_back(asking)
        return older or choice

    def _replaced(self, asking: Asking, move: Move, starting: set[str]) -> bool:
        """Whether a target that falls back got its place after all."""
        wanted = asking.choice is not None and asking.choice.version.id != move.version_id
        return wanted and asking.target.id in starting

    def _retry(self, move: Move, choice: Choice) -> NewJob:
        """The next job of a move whose last one failed."""
        job_id = derived_id("job", move.id, str(len(move.jobs) + 1))
        job = Job(job_id, JobStatus.PENDING, Handover.WAITING, created_at=self.now)
        failed = last_outcome(move)
        retry_of = failed.id if failed else None
        return NewJob(job, move.id, move.target_id, choice.decision.id, choice.valid_until, retry_of)

    def _start(self, asked: Asked, freed: frozenset[str]) -> tuple[list[Move], list[NewJob], list[SlotClaim]]:
        """The moves that start now with their first jobs and slots. A target whose waiting move is kept starts none."""
        moves: list[Move] = []
        jobs: list[NewJob] = []
        claims: list[SlotClaim] = []
        for start in self._starts:
            target, choice, rollout = start.target, start.choice, start.rollout
            asking, order = asked.by_target[target.id], choice.order
            kept = brought_release(order, target) if order is not None else None
            digest = kept.config_digest if kept is not None else target.config_digest
            if (asking.move is not None and target.id not in freed) or digest is None:
                continue
            if len(moves) >= self.moves_max:
                self._left_over.add(target.id)
                continue
            named = (choice.version.id, digest, choice.kind, instant(self.now), *([order.id] if order else []))
            move_id = derived_id("move", target.id, *named)
            change_id = rollout.change_id if rollout is not None else choice.version.change_id
            mine = self.slots.claims(target, choice.kind, move_id)
            move = Move(
                id=move_id,
                target_id=target.id,
                environment_id=target.environment_id,
                rollout_id=rollout.id if rollout is not None else None,
                change_id=order.change_id if order is not None else change_id,
                kind=choice.kind,
                version_id=choice.version.id,
                to_release=kept or ReleaseRef(derived_id("release", move_id), choice.version.id, digest),
                from_release=target.current,
                state="admitted",
                decision_id=choice.decision.id,
                admitted_at=self.now,
                slots=tuple(claim.key for claim in mine),
                undoes_move_id=order.undoes_move_id if order is not None else None,
                order_id=order.id if order is not None else None,
                returns_to=target.good,
            )
            claims.extend(mine)
            job = Job(derived_id("job", move_id, "1"), JobStatus.PENDING, Handover.WAITING, created_at=self.now)
            moves.append(move)
            jobs.append(NewJob(job, move_id, target.id, choice.decision.id, choice.valid_until))
        return moves, jobs, claims

    def _cancels(self, asked: Asked) -> list[JobCancel]:
        """Running jobs that must stop.

        Their target left, or a newer version goes first where the deployment says so.
        """
        cancels: list[JobCancel] = []
        for move in self.index.open_move_by_target.values():
            if move.target_id in self.index.facts.leaving:
                cancels.extend(JobCancel(job.id, "target_detached") for job in move.jobs if _cancellable(job))
        if self.index.facts.supersede == "cancel":
            for target, move, _ in asked.occupied:
                if move.kind == "forward" and self._newer_admitted(target, move, asked):
                    cancels.extend(JobCancel(job.id, "newer_version") for job in move.jobs if _cancellable(job))
        return sorted(cancels, key=lambda one: one.job_id)

    def _newer_admitted(self, target: Target, move: Move, asked: Asked) -> bool:
        choice, _ = self.gates.forward(target, asked)
        return choice is not None and self.index.is_newer(choice.version.id, move.version_id)

    def _requests(self, asked: Asked) -> list[NewRequest]:
        """The people to ask: once per change, environment, group and minimum."""
        requests: dict[str, NewRequest] = {}
        for (environment_id, _, kind), (version, missing) in sorted(asked.judgements.items(), key=lambda one: one[0]):
            subject = EnvironmentVersion(self.index, self.index.facts.environments[environment_id], version, kind)
            configs = tuple(sorted(subject.lacking_configs)) if kind == "config" else None
            for group in sorted({str(one.verdict.values.get("group", "")) for one in missing}):
                of_group = tuple(one for one in missing if one.verdict.values.get("group", "") == group)
                request = self._request(environment_id, version, of_group, group, configs)
                if request.id not in self.index.facts.requests:
                    requests.setdefault(request.id, request)
        return list(requests.values())

    def _request(
        self,
        environment_id: str,
        version: Version,
        missing: tuple[Judged, ...],
        group: str,
        configs: tuple[str, ...] | None,
    ) -> NewRequest:
        """What one group of people is asked."""
        minimum = max(int(str(one.verdict.values["minimum"])) for one in missing)
        names = sorted({one.policy_name for one in missing if one.policy_name})
        lives = [float(str(one.verdict.values["lasts_s"])) for one in missing if "lasts_s" in one.verdict.values]
        of_whom = f" of the group {group}" if group else ""
        about = "" if configs is None else " for a change of config"
        return NewRequest(
            id=derived_id(
                "approval-request",
                version.change_id,
                environment_id,
                str(minimum),
                *([group] if group or configs is not None else []),
                *(configs or ()),
            ),
            change_id=version.change_id,
            environment_id=environment_id,
            version_id=version.id,
            minimum=minimum,
            why=f"policy {', '.join(names)} asks for {minimum} approval{'s' if minimum > 1 else ''}{of_whom}{about}",
            shown=shown(self.index, environment_id, version, missing, configs=configs),
            group=group or None,
            authors_excluded=any(bool(one.verdict.values.get("author_excluded")) for one in missing),
            lasts_s=min(lives, default=None),
            config_digests=configs,
        )

    # Completing -------------------------------------------------------------------------------------------------------

    def _completed(self, plan: Plan) -> Plan:
        """The plan, and the rollouts that nothing waits for once it is written."""
        after = Index(applied(self.index.facts, plan, self.now))
        done = [
            RolloutState(rollout.id, "complete", "done", {})
            for rollout in sorted(after.facts.rollouts, key=lambda one: one.id)
            if rollout.state in ENDING[rollout.kind] and not self._goes_on(after, rollout)
        ]
        return replace(plan, rollout_states=(*plan.rollout_states, *done)) if done else plan

    def _goes_on(self, after: Index, rollout: Rollout) -> bool:
        """Whether something of a rollout is under way, or a target may still join it."""
        if any(move.open for move in after.moves_by_rollout.get(rollout.id, ())):
            return True
        targets = after.targets_by_environment.get(rollout.environment_id, ())
        if rollout.kind == "config":
            return any(after.drifts(target) for target in targets)
        version = after.version_by_id.get(rollout.version_id or "")
        if version is None or version.status in GIVEN_UP:
            return False
        selected = {
            policy_set: self.gates.candidates.selected(rollout.environment_id, policy_set, version)
            for policy_set in {target.policy_set for target in targets}
        }
        return any(
            selected[target.policy_set]
            and (target.id, version.id) not in after.quarantined
            and version in after.newer_than(after.floor(target))
            for target in targets
        )

    def _holding(self, asking: Asking) -> dict[str, object]:
        """Which rules took a waiting job back, for the ledger."""
        names = {judged.kind for one in asking.held for judged in one.judged if judged.bars}
        names |= {
            str(one["rule"])
            for held in asking.held
            for one in held.decision.verdicts
            if one["outcome"] != "pass" and not one.get("observed")
        }
        if asking.target.id in self._paced:
            names |= {judged.kind for judged in self._paced[asking.target.id]}
        return {"rules": sorted(names)} if names else {}


ENDING: Mapping[str, frozenset[str]] = {"version": frozenset({"open"}), "config": frozenset({"open", "halted"})}
"""Kind of rollout -> the states that end when no target waits for it any more.

A config rollout that halted ends too once nothing lacks its config: a newer version brought it along, or it was undone.
"""


def _cancellable(job: Job) -> bool:
    return not job.status.terminal and not job.cancel_asked

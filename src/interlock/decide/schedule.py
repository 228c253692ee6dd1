"""In which order do a rollout's targets go, and which of them may start now?

    order    targets that were attached at the opening by the rule's key, later ones behind; who left keeps a number
    waves    the same, wave by wave: `wave_places` says which may go
    lane     one gradualRollout rule in one environment: how many of its targets are in flight, and where it stands
    walk     the targets in order: each has started, may start now, or is told what its place waits for
    blocked  a rollout that was paused, halted or aborted starts nothing at all

Positions are computed, never stored: the same facts give the same places.

Source: core.md section 4 ("A rollout opens", order, times, verified between, halt).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import TypeVar

from interlock.decide.facts import Move, Proof, Rollout, Target, Verification
from interlock.decide.index import Index
from interlock.decide.plan import NewProof
from interlock.decide.proofs import GATING, begin_of_wave, disproved, metrics_of, named, proof_of_wave, stops, unclear
from interlock.decide.react import failures_allowed, failures_of
from interlock.decide.rules import gradual_rollout, verification
from interlock.decide.rules.gradual_rollout import ALL_AT_ONCE, Params, capped, offset, order_keys, sped
from interlock.decide.slots import Slots
from interlock.decide.verdict import Judged, Outcome, Stage, Verdict, WaitsFor, holds, instant
from interlock.decide.wave_places import AT_START, Front, Places, Standing, front, hold, narrowed, places
from interlock.model.ids import TargetKey
from interlock.model.verification import Runs

OPERATOR = "an operator may resume, promote or abort the rollout; a newer version ends it"
CORRECTED = ", and so does another config where it failed"
"""What else ends the halt of a config rollout."""


@dataclass(slots=True)
class Lane:
    """One gradualRollout rule in one environment, and how many of its targets are in flight."""

    rule_id: str
    policy_id: str
    policy_name: str
    params: Params
    targets: int = 0
    in_flight: int = 0

    @property
    def key(self) -> str:
        """What tells this rule's waves from another's."""
        return self.rule_id or self.policy_id


Caps = Mapping[str | None, int]
"""Policy set -> how many percent of each wave may go at once; a set that is not named is not capped."""

NO_CAPS: Caps = {}

_Lane = TypeVar("_Lane")


def with_caps(
    lanes_by_set: Mapping[str | None, tuple[_Lane, ...]], caps: Caps, unpaced: Callable[[], _Lane]
) -> tuple[Mapping[str | None, tuple[_Lane, ...]], dict[int, int]]:
    """The lanes of each policy set, and of each lane (by its `id`) the percent that caps it.

    Why:    a lane that several sets share goes at the pace of the slowest. Targets that no rule paces go in one wave of
            all of them (`unpaced`), of which a cap lets a part go.
    """
    if not caps:
        return lanes_by_set, {}
    alone = unpaced()
    lanes = {**lanes_by_set, **{key: lanes_by_set.get(key) or (alone,) for key in caps}}
    percents: dict[int, int] = {}
    for policy_set, percent in caps.items():
        for lane in lanes[policy_set]:
            percents[id(lane)] = min(percent, percents.get(id(lane), 100))
    return lanes, percents


@dataclass(slots=True)
class Walk:
    """Where a lane stands while the targets of one rollout are walked in order.

    `params` are those of this rollout: the rule's, or faster. `targets`: so many have a place. `previous` is the last
    target that started: when, its position, and whether it is proven. `waiting` says that one before waits for its time
    already. `places`, `front` and `waits_on` are of rules that go wave by wave, and so is `proof`: what the first wave
    that is not over waits for, where the one before it is not proven as a whole.
    """

    params: Params
    targets: int = 0
    position: int = -1
    previous: tuple[datetime, int, bool] | None = None
    waiting: bool = False
    unclear: bool = False
    places: Places | None = None
    front: Front = AT_START
    proof: Verdict | None = None
    waits_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asks:
    """What the targets of one rollout do in this round.

    `going` want to start, or would but for a gate; `given_up` end their move; `newest` is target id -> its newest move
    in this rollout that was not taken back.
    """

    going: AbstractSet[str]
    given_up: AbstractSet[str]
    newest: Mapping[str, Move]


class Schedule:
    """The places of one round."""

    def __init__(self, index: Index, slots: Slots, now: datetime) -> None:
        self.index = index
        self.slots = slots
        self.now = now
        self._lanes: dict[str, dict[str | None, tuple[Lane, ...]]] = {}

    def count_in_flight(self, given_up: AbstractSet[str], *, unpaced: AbstractSet[str]) -> None:
        """How many places are taken in each lane before this round's targets are walked.

        Counted are all open moves but those that end in this round (`given_up`, target ids), and what starts without
        waiting for a place (`unpaced`).
        """
        open_moves = self.index.open_move_by_target
        for environment_id, lanes_by_set in self._all_lanes().items():
            for target in self.index.targets_by_environment.get(environment_id, ()):
                occupied = target.id in open_moves and target.id not in given_up
                for lane in lanes_by_set.get(target.policy_set, ()):
                    lane.targets += 1
                    lane.in_flight += occupied or target.id in unpaced
            for target in self.index.leaving_by_environment.get(environment_id, ()):
                for lane in lanes_by_set.get(target.policy_set, ()):
                    lane.in_flight += target.id in open_moves

    def _all_lanes(self) -> dict[str, dict[str | None, tuple[Lane, ...]]]:
        """Environment -> policy set -> the lanes that pace its targets; one `Lane` a rule, whatever the sets."""
        for environment_id in sorted(self.index.facts.environments):
            lanes: dict[tuple[str, str], Lane] = {}
            by_set: dict[str | None, tuple[Lane, ...]] = {}
            here = (
                *self.index.targets_by_environment.get(environment_id, ()),
                *self.index.leaving_by_environment.get(environment_id, ()),
            )
            for policy_set in {target.policy_set for target in here}:
                mine = []
                for policy in self.index.policies_of(policy_set):
                    for rule in policy.rules:
                        if isinstance(rule.params, Params) and not policy.observe:
                            lane = Lane(rule.id, policy.id, policy.name, rule.params)
                            mine.append(lanes.setdefault((policy.id, rule.id), lane))
                by_set[policy_set] = tuple(mine)
            if lanes:
                self._lanes[environment_id] = by_set
        return self._lanes

    def _taken_back(self, rollout: Rollout) -> bool:
        """Whether what a rollout brought is in quarantine on some target there: it halted because that goes back."""
        bad = self.index.bad_versions_by_environment.get(rollout.environment_id, frozenset())
        return rollout.version_id in bad

    def blocked(self, rollout: Rollout) -> Judged | None:
        """Why a rollout starts nothing at all."""
        failures = failures_of(self.index, rollout.id) - rollout.failures_forgiven
        allowed = failures_allowed(self.index, rollout.environment_id)
        waits_on = (f"rollout:{rollout.id}",)
        verdict = None
        if rollout.state == "paused":
            until = rollout.paused_until
            waits_for = WaitsFor.PERSON if until is None else WaitsFor.WAIT
            verdict = holds(waits_for, "rollout_paused", waits_on=waits_on, who=OPERATOR, changes_at=until)
        elif rollout.state == "aborted":
            verdict = holds(WaitsFor.DENY, "rollout_aborted", waits_on=waits_on, who="a newer version, or a pin")
        elif rollout.state == "halted" and (proof := disproved(rollout)) is not None:
            verdict = _of_proof("rollout_disproved", proof, waits_on=waits_on)
        elif rollout.state == "halted" and failures <= allowed and self._taken_back(rollout):
            verdict = holds(WaitsFor.PERSON, "rollout_taken_back", waits_on=waits_on, who=OPERATOR)
        elif rollout.state == "halted" or failures > allowed:
            verdict = holds(
                WaitsFor.PERSON,
                "rollout_halted",
                waits_on=waits_on,
                who=OPERATOR + (CORRECTED if rollout.kind == "config" else ""),
                failures=failures,
                max_failures=allowed,
            )
        elif (proof := unclear(rollout)) is not None:
            verdict = _of_proof("rollout_proof_unclear", proof, waits_on=waits_on)
        return Judged(gradual_rollout.kind, verdict, Stage.READINESS) if verdict else None

    def walk(
        self,
        rollout: Rollout,
        wanting: Mapping[str, Move | None],
        given_up: AbstractSet[str],
        barred: AbstractSet[str] = frozenset(),
        caps: Caps = NO_CAPS,
    ) -> tuple[tuple[str, ...], dict[str, tuple[Judged, ...]]]:
        """The order of the targets that want to start, and target id -> why it must wait. Absent: it may start.

        Why:    the slot is asked here, last: a target that waits for one has not started, so it keeps nobody behind it.

        Takes: `wanting`: target id -> its move that still waits to be handed over, if it has one; `given_up` are the
               targets whose move ends in this round; `barred` those that a gate keeps from this very change. `caps`:
               policy set -> the percent of each wave that may go at once.
        """
        lanes_by_set, percents = with_caps(self._lanes.get(rollout.environment_id, {}), caps, _unpaced_lane)
        if not lanes_by_set and not self.slots.limiting:
            return tuple(wanting), {}
        kind = "config" if rollout.kind == "config" else "forward"
        promoted = rollout.speed.promoted_at is not None
        newest = self.newest_moves(rollout)
        members = self.members_of(rollout)
        lanes_here = {id(lane): lane for lanes in lanes_by_set.values() for lane in lanes}
        walks = {
            number: Walk(capped(sped(lane.params, rollout.speed), percents.get(number, 100)), lane.targets)
            for number, lane in lanes_here.items()
        }
        if rollout.kind == "config":
            for number, walk in walks.items():
                walk.targets = sum(lanes_here[number] in lanes_by_set.get(one.policy_set, ()) for one in members)
        for number, lane in lanes_here.items():
            if lane.params.in_waves:
                mine = [target for target in members if lane in lanes_by_set.get(target.policy_set, ())]
                asks_all = Asks(frozenset(wanting) | barred, given_up, newest)
                self._set_out(walks[number], rollout, mine, asks_all, percents.get(number, 100))
                walks[number].proof = self._unproven(lane, rollout, mine, asks_all)
        order: list[str] = []
        held: dict[str, tuple[Judged, ...]] = {}
        shared: dict[tuple[str, str, str], Judged] = {}
        for target in self.ordered(rollout, members, [walk.places for walk in walks.values()]):
            lanes = lanes_by_set.get(target.policy_set, ())
            for lane in lanes:
                walks[id(lane)].position += 1
            asks = target.id in wanting
            move = newest.get(target.id)
            again = asks and (move is None or not move.open or target.id in given_up)
            if move is not None and not again:
                started_at = move.started_at or move.admitted_at
                proven = move.state in {"succeeded", "failed"}
                self._step(lanes, walks, started_at, proven=proven or not self._proves(target), unclear=move.unclear)
            elif asks:
                has_place = wanting[target.id] is not None and target.id not in given_up
                hold = None if promoted else self._place(rollout, target, lanes, walks, shared, has_place=has_place)
                waits = (hold,) if hold is not None else () if has_place else self.slots.take(target, kind)
                if waits:
                    held[target.id] = waits
                else:
                    if not has_place:
                        self._take(lanes)
                    self._step(lanes, walks, self.now, proven=not self._proves(target))
            if asks:
                order.append(target.id)
        return tuple(order), held

    def _step(
        self,
        lanes: tuple[Lane, ...],
        walks: Mapping[int, Walk],
        started_at: datetime,
        *,
        proven: bool,
        unclear: Verification | None = None,
    ) -> None:
        """Takes: `unclear`: nothing could tell whether it works, so that nobody follows, overlapping or not."""
        for lane in lanes:
            walk = walks[id(lane)]
            walk.unclear = walk.unclear or unclear is not None
            walk.previous = (started_at, walk.position, not walk.unclear and (proven or walk.params.overlap))

    def _take(self, lanes: tuple[Lane, ...]) -> None:
        for lane in lanes:
            lane.in_flight += 1

    def _place(
        self,
        rollout: Rollout,
        target: Target,
        lanes: tuple[Lane, ...],
        walks: Mapping[int, Walk],
        shared: dict[tuple[str, str, str], Judged],
        *,
        has_place: bool,
    ) -> Judged | None:
        """Why a target must wait for its place, if it must. A fall-back that still waits has one already."""
        for lane in lanes:
            walk = walks[id(lane)]
            taken = lane.in_flight - has_place
            if walk.places is None:
                hold = self._check(lane, walk, rollout, shared, taken)
            else:
                hold = self._check_wave(lane, walk, walk.places, target, shared) or self._full(
                    lane, walk, taken, shared
                )
            if hold is not None:
                return hold
        return None

    def _check(
        self, lane: Lane, walk: Walk, rollout: Rollout, shared: dict[tuple[str, str, str], Judged], taken: int
    ) -> Judged | None:
        """Why the target at the walk's position must wait in this lane, if it must.

        Why:    the next one due is told the exact instant; those behind it the one that the schedule names, which stays
                the same while others start a little late. So a start rewrites a row or two, and not all of them.
        """
        params = walk.params
        if walk.previous is not None and not walk.previous[2]:
            return self._waits(lane, shared, "rollout_unclear" if walk.unclear else "rollout_verifying")
        full = self._full(lane, walk, taken, shared)
        if full is not None:
            return full
        mine = offset(params, walk.position, targets_at_open=rollout.targets_at_open)
        due_at = rollout.opened_at + mine
        if walk.waiting and self.now >= due_at:
            return self._waits(lane, shared, "rollout_after_previous")
        if walk.previous is not None and not walk.waiting:
            started_at, place, _ = walk.previous
            due_at = max(due_at, started_at + mine - offset(params, place, targets_at_open=rollout.targets_at_open))
        if self.now >= due_at:
            return None
        walk.waiting = True
        values = {"position": walk.position + 1, "targets": walk.targets, "due_at": instant(due_at)}
        verdict = Verdict(Outcome.HOLD, "rollout_due_later", values, waits_for=WaitsFor.WAIT, changes_at=due_at)
        return _of_lane(lane, verdict)

    def _full(self, lane: Lane, walk: Walk, taken: int, shared: dict[tuple[str, str, str], Judged]) -> Judged | None:
        """That as many are in flight as may be, if so."""
        most = walk.params.max_in_flight
        if most is None or taken < most:
            return None
        return self._waits(lane, shared, "rollout_in_flight", in_flight=taken, max_in_flight=most)

    def _waits(self, lane: Lane, shared: dict[tuple[str, str, str], Judged], reason: str, **values: object) -> Judged:
        """A hold that many targets share, made once."""
        key = (lane.policy_id, lane.rule_id, f"{reason}{values}")
        if key not in shared:
            waits_on = (f"moves:{self.index.facts.deployment_id}",)
            verdict = replace(holds(WaitsFor.WAIT, reason, waits_on=waits_on), values=values)
            shared[key] = _of_lane(lane, verdict)
        return shared[key]

    # Waves ------------------------------------------------------------------------------------------------------------

    def in_waves(self, environment_id: str) -> bool:
        """Whether a rule there paces wave by wave."""
        lanes_by_set = self._lanes.get(environment_id, {})
        return any(lane.params.in_waves for lanes in lanes_by_set.values() for lane in lanes)

    def _set_out(self, walk: Walk, rollout: Rollout, members: Sequence[Target], asks: Asks, percent: int = 100) -> None:
        """Where every target's wave is, and which wave may go."""
        by_id = {target.id: target for target in members}
        walk.waits_on = (f"moves:{self.index.facts.deployment_id}", f"rollout:{rollout.id}")
        walk.params, walk.places = narrowed(walk.params, self.places_of(walk.params, rollout, members), percent)
        walk.front = front(
            walk.params,
            walk.places.waves,
            lambda target_id: self._standing(by_id[target_id], rollout, asks, overlap=walk.params.overlap),
            self.now,
        )

    def _unproven(self, lane: Lane, rollout: Rollout, members: Sequence[Target], asks: Asks) -> Verdict | None:
        """What the next wave waits for while the one before it is measured as a whole."""
        measured = metrics_of(self.index, members, Runs.BETWEEN_WAVES)
        if not measured and not rollout.proofs:
            return None
        walk, over = self._last_over(lane, rollout, members, asks)
        before = walk.front.before
        if before is None:
            return None
        proof = proof_of_wave(rollout, lane=lane.key, wave=before)
        if proof is None:
            names = tuple(spec.name for _, spec in metrics_of(self.index, over, Runs.BETWEEN_WAVES))
        elif proof.state == "inconclusive" and stops(proof):
            return _of_proof("rollout_proof_unclear", proof, waits_on=walk.waits_on)
        else:
            names = proof.metrics if proof.state == "running" else ()
        if not names:
            return None
        return holds(
            WaitsFor.WAIT,
            "rollout_measured",
            waits_on=walk.waits_on,
            wave=walk.front.wave + 1,
            before=before + 1,
            metrics=", ".join(names),
        )

    def _last_over(
        self, lane: Lane, rollout: Rollout, members: Sequence[Target], asks: Asks
    ) -> tuple[Walk, list[Target]]:
        """How far a rollout is, in its waves as they are written, and the targets of the last wave that is over.

        Why:    a cap cuts waves into more while it lasts; what is measured of a wave must not hang on that.
        """
        walk = Walk(sped(lane.params, rollout.speed))
        self._set_out(walk, rollout, members, asks, 100)
        if walk.places is None or walk.front.before is None:
            return walk, []
        wave = set(walk.places.waves[walk.front.before])
        return walk, [target for target in members if target.id in wave]

    def begin_proofs(self, rollout: Rollout, asks: Asks) -> tuple[NewProof, ...]:
        """The waves of a rollout that are over now, and are measured as a whole before the next one goes."""
        lanes_by_set = self._lanes.get(rollout.environment_id, {})
        members = self.members_of(rollout)
        begun = []
        for lane in {id(one): one for lanes in lanes_by_set.values() for one in lanes}.values():
            mine = [target for target in members if lane in lanes_by_set.get(target.policy_set, ())]
            if not lane.params.in_waves or not metrics_of(self.index, mine, Runs.BETWEEN_WAVES):
                continue
            walk, over = self._last_over(lane, rollout, mine, asks)
            if walk.places is None or walk.front.before is None or walk.front.wave >= len(walk.places.waves):
                continue
            new = begin_of_wave(self.index, rollout, over, lane=lane.key, wave=walk.front.before)
            if new is not None:
                begun.append(new)
        return tuple(begun)

    def newest_moves(self, rollout: Rollout) -> dict[str, Move]:
        """Target id -> its newest move in a rollout that was not taken back."""
        return {
            move.target_id: move
            for move in self.index.moves_by_rollout.get(rollout.id, ())
            if move.state not in {"withdrawn", "cancelled"}
        }

    def _standing(self, target: Target, rollout: Rollout, asks: Asks, *, overlap: bool) -> Standing:
        """Whether a wave waits for this target, and when its move ended."""
        move = asks.newest.get(target.id)
        if move is not None and move.open and target.id not in asks.given_up:
            if not overlap or move.state != "verifying" or move.unclear is not None:
                return Standing(open=True)
            return Standing(open=False)
        if target.id in asks.going:
            return Standing(open=True)
        occupying = self.index.open_move_by_target.get(target.id)
        if occupying is not None and target.id not in asks.given_up and self._comes_later(occupying, rollout):
            return Standing(open=True)
        if move is None or move.closed_at is None:
            return Standing(open=False)
        return Standing(open=False, ended_at=move.closed_at, samples=self.index.facts.samples_by_move.get(move.id, 0))

    def _comes_later(self, occupying: Move, rollout: Rollout) -> bool:
        """Whether a target that something older occupies will want this change after it."""
        if occupying.kind in {"rollback", "pin"}:
            return False
        return rollout.version_id is None or self.index.is_newer(rollout.version_id, occupying.version_id)

    def _check_wave(
        self, lane: Lane, walk: Walk, where: Places, target: Target, shared: dict[tuple[str, str, str], Judged]
    ) -> Judged | None:
        """Why a target must wait for its wave, if it must; told once for all whom it concerns."""
        said = where.unplaced.get(target.id) or str(where.wave_by_target[target.id])
        key = (lane.policy_id, lane.rule_id, f"wave {said}")
        if key not in shared:
            verdict = hold(walk.params, where, walk.front, target.id, waits_on=walk.waits_on) or walk.proof
            if verdict is None:
                return None
            shared[key] = _of_lane(lane, verdict)
        return shared[key]

    def laid_out(self, rollout: Rollout) -> tuple[tuple[str, ...], ...]:
        """The ids of a rollout's targets, wave by wave, for people; all in one where no rule has waves.

        Gives: those without a place in a last wave of their own.
        """
        lanes_by_set = self._lanes.get(rollout.environment_id) or self._all_lanes().get(rollout.environment_id, {})
        members = self.members_of(rollout)
        for lane in {id(one): one for lanes in lanes_by_set.values() for one in lanes}.values():
            if lane.params.in_waves:
                mine = [target for target in members if lane in lanes_by_set.get(target.policy_set, ())]
                found = self.places_of(lane.params, rollout, mine)
                rest = tuple(sorted(one.id for one in members if one.id not in found.wave_by_target))
                return (*found.waves, rest) if rest else found.waves
        return (tuple(one.id for one in self.ordered(rollout, members, ())),)

    def places_of(self, params: Params, rollout: Rollout, members: Sequence[Target]) -> Places:
        """The waves of the targets that a rule paces in a rollout."""
        labels, salt = self.index.facts.labels_by_target, _salt(rollout)
        return places(params, members, opened_at=rollout.opened_at, salt=salt, labels=labels)

    # Order ------------------------------------------------------------------------------------------------------------

    def members_of(self, rollout: Rollout) -> tuple[Target, ...]:
        """The targets that a rollout counts: those of its environment, and those that left it since the opening.

        A config rollout counts those alone that the change concerns: who lacks the config, and whom it was brought.

        Why:    a variable of three targets among five hundred must not wait for the places of the others.
        """
        left = self.index.leaving_by_environment.get(rollout.environment_id, ())
        members = (
            *self.index.targets_by_environment.get(rollout.environment_id, ()),
            *(one for one in left if one.detached_at is None or one.detached_at > rollout.opened_at),
        )
        if rollout.kind != "config":
            return members
        brought = {move.target_id for move in self.index.moves_by_rollout.get(rollout.id, ())}
        return tuple(one for one in members if one.id in brought or self.index.drifts(one))

    def ordered(
        self, rollout: Rollout, members: Sequence[Target], by_lane: Sequence[Places | None]
    ) -> tuple[Target, ...]:
        """The targets in the rollout's order: wave by wave where every rule has waves, else the reference's.

        Those that joined later stand behind; those that left keep their number.
        """
        first = next(iter(by_lane), None)
        if first is not None and None not in by_lane:
            place = {target_id: number for number, target_id in enumerate(chain.from_iterable(first.waves))}
            return tuple(sorted(members, key=lambda one: (place.get(one.id, len(place)), one.attached_at, one.id)))
        names = [str(TargetKey(one.resource_id, one.environment_id, self.index.facts.deployment_id)) for one in members]
        keys = order_keys(names, _salt(rollout))
        opened_at = rollout.opened_at
        ranks = sorted(
            (max(target.attached_at, opened_at), key, target.id, number)
            for number, (target, key) in enumerate(zip(members, keys, strict=True))
        )
        return tuple(members[number] for _, _, _, number in ranks)

    def _proves(self, target: Target) -> bool:
        """Whether a target's move must pass a verification."""
        rules = self.index.enforced_rules(target.policy_set, verification.kind)
        return any(
            isinstance(rule.params, verification.Params) and rule.params.trigger in GATING and rule.params.of_job
            for rule in rules
        )


def _unpaced_lane() -> Lane:
    return Lane("", "", "", ALL_AT_ONCE)


def _salt(rollout: Rollout) -> str:
    """What makes each change's order its own."""
    return rollout.version_id or rollout.change_id


def _of_proof(reason: str, proof: Proof, *, waits_on: tuple[str, ...]) -> Verdict:
    """What a proof that did not pass keeps from starting."""
    return holds(
        WaitsFor.PERSON,
        reason,
        waits_on=waits_on,
        who=OPERATOR,
        measured=named(proof),
        message=proof.message or "",
        verification=proof.id,
    )


def _of_lane(lane: Lane, verdict: Verdict) -> Judged:
    ids = (lane.rule_id,) if lane.rule_id else ()
    return Judged(gradual_rollout.kind, verdict, Stage.READINESS, ids, lane.policy_id, lane.policy_name)

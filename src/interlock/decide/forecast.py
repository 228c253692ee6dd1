"""When could each target start at the earliest, and what keeps it until then?

    gates     asked at instants that their own verdicts name; a version's way through earlier environments is
              forecast first, and its successes there are facts for the later ones
    people    an approval is an assumption ("if approved by then"), as is the end of a pause; nobody is sampled
    pace      the rollout's own order, spacing, waves and limits, event by event: a place, a start, an end
    unknown   what no instant is known for (a freeze without an end, a halt, a missing agent) is said, with the verdict

Jobs and verifications take as long as they are said to take, and nothing fails: run once with usual durations and once
with long ones, the answers are a range. So a forecast is no promise; it is what the rules alone would allow.

Environments are walked one after the other. Where they share slots, the one that is walked first takes them first; it
need not be the one whose turn would come first.

Each event looks at the first waiting target of each group (same rules, same environment), for those behind it wait for
the same. So a forecast costs O(n log n), but where gates differ from target to target.

Source: core.md section 4; `schedule` for the arithmetic, which a property test holds this file to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count

from interlock.decide.candidates import Candidates
from interlock.decide.facts import Environment, Facts, Landed, Move, Rollout, Target, Version
from interlock.decide.forecast_lanes import ForecastLane, ForecastWaves
from interlock.decide.gates import Gates
from interlock.decide.index import Index
from interlock.decide.proofs import GATING, metrics_of, proof_of_wave
from interlock.decide.record import Recorder
from interlock.decide.rules import environment_progression, verification
from interlock.decide.rules.gradual_rollout import ALL_AT_ONCE, Params, capped, sped
from interlock.decide.schedule import Schedule, with_caps
from interlock.decide.slots import Slots
from interlock.decide.unclear import unclear_words
from interlock.decide.verdict import Judged, WaitsFor, earliest, holds
from interlock.decide.wave_places import narrowed
from interlock.inventory.to_python import matches
from interlock.model.ids import derived_id
from interlock.model.verification import Runs

AHEAD_MAX = timedelta(days=400)
"""What would begin later than this is not known."""

ASSUMED = frozenset({"approval_missing"})
"""Holds of people that a forecast takes as answered."""

REASONS = {
    "occupied": "It is busy with {version} until then.",
    "not_going": "It does not go for {version}: it is pinned, it had its try, or {version} is none of its candidates.",
    "too_far": "That is more than {days} days ahead.",
}


@dataclass(frozen=True, slots=True)
class Durations:
    """How long a job takes in an environment, and what verifies it."""

    job: timedelta
    verification: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class Sample:
    """How long one move took: its job, and after that its verification, where there was one."""

    job_s: float
    verification_s: float | None = None


@dataclass(frozen=True, slots=True)
class Usual:
    """How long things usually take in an environment.

    Takes: `samples` are the moves that this was measured on; where there are none at all, `assumed` says so.
    """

    samples: int
    assumed: bool
    p50: Durations
    p90: Durations

    @property
    def few(self) -> bool:
        """Whether that is too little to rely on."""
        return self.samples < FEW


FEW = 5
"""Fewer moves than this are no measure."""

JOB_ASSUMED_S = 60.0
"""How long a job takes where none was ever seen."""


def usual_durations(facts: Facts, samples_by_environment: Mapping[str, tuple[Sample, ...]]) -> dict[str, Usual]:
    """Environment id -> how long things usually take there.

    Why:    an environment that is too new to have a measure of its own borrows that of the whole deployment, and where
            nothing was ever verified a verification takes what its rule says: it is better than nothing, and is said.
    """
    everywhere = tuple(sample for samples in samples_by_environment.values() for sample in samples)
    index = Index(facts)
    found: dict[str, Usual] = {}
    for environment_id in facts.environments:
        own = samples_by_environment.get(environment_id, ())
        samples = own if len(own) >= FEW else own or everywhere
        jobs = [one.job_s for one in samples] or [JOB_ASSUMED_S]
        proofs = [one.verification_s for one in samples if one.verification_s is not None]
        proofs = proofs or [_written_s(index, environment_id)]
        p50, p90 = (
            Durations(timedelta(seconds=ranked(jobs, share)), timedelta(seconds=ranked(proofs, share)))
            for share in (50, 90)
        )
        found[environment_id] = Usual(len(own), not samples, p50, p90)
    return found


def ranked(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent of all do not exceed (nearest rank)."""
    place = -(-percent * len(values) // 100)
    return sorted(values)[max(place, 1) - 1]


def _written_s(index: Index, environment_id: str) -> float:
    """How long the verifications of an environment take as their rules are written: the longest metric."""
    sets = {target.policy_set for target in index.targets_by_environment.get(environment_id, ())}
    takes = [
        metric.warm_up_seconds + (metric.count - 1) * metric.interval_seconds
        for policy_set in sets
        for rule in index.enforced_rules(policy_set, verification.kind)
        if isinstance(rule.params, verification.Params)
        for metric in rule.params.of_job
    ]
    return float(max(takes, default=0.0))


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected of one target.

    Takes: `state` is `there` (it runs the version), `moving` (it is on its way), `starts`, `unknown` (no instant is
           known), or `not_going`. `cause` is what keeps it until it starts, or for good. `assumes` are the holds of
           people that were taken as answered.
    """

    target_id: str
    environment_id: str
    state: str
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    cause: Judged | None = None
    assumes: tuple[Judged, ...] = ()


def forecast(
    facts: Facts, now: datetime, version: Version, durations_by_environment: Mapping[str, Durations]
) -> tuple[Expected, ...]:
    """What is expected of every attached target, if this version stays the newest.

    Takes: `durations_by_environment`: environment id -> durations, for every environment.
    Gives: by environment in the order of their dependencies, within it by start.
    """
    found: list[Expected] = []
    for environment in _in_order_of_progress(facts, version):
        run = _Run(facts, now, version, environment, durations_by_environment, found)
        expected = run.expected()
        found += expected
        landed = {**facts.landed_by_target_version, **run.landed(expected)}
        facts = replace(facts, landed_by_target_version=landed)
    return tuple(found)


def _in_order_of_progress(facts: Facts, version: Version) -> list[Environment]:
    """The environments, those that others depend on first; else, and in a circle, in the order in which rounds go."""
    index = Index(facts)
    upstream: dict[str, set[str]] = {}
    for environment in facts.environments.values():
        sets = {target.policy_set for target in index.targets_by_environment.get(environment.id, ())}
        selectors = [
            rule.params.selector
            for policy_set in sets
            for rule in index.enforced_rules(policy_set, environment_progression.kind)
            if isinstance(rule.params, environment_progression.Params)
        ]
        upstream[environment.id] = {
            other.id
            for other in facts.environments.values()
            if other.id != environment.id
            and any(matches(selector, {"environment": other.view}) for selector in selectors)
        }
    ordered: list[Environment] = []
    left = [one for _, one in sorted(facts.environments.items())]
    while left:
        done = {one.id for one in ordered}
        ready = next((one for one in left if upstream[one.id] <= done), left[0])
        ordered.append(ready)
        left.remove(ready)
    return ordered


@dataclass(slots=True)
class _Group:
    """Targets of one policy set that wait, the first in the rollout's order on top.

    Takes: `alone` where skips for its one resource make it ask for itself. `bars` are the verdicts that hold all of
           them now, until `bars_until` at least. `cause` is what held the first of them last.
    """

    policy_set: str | None
    kind: str = "forward"
    alone: bool = False
    waiting: list[tuple[int, str]] = field(default_factory=list)
    bars: tuple[Judged, ...] = ()
    assumed: tuple[Judged, ...] = ()
    bars_until: datetime | None = None
    asked: bool = False
    cause: Judged | None = None


class _Run:
    """One environment, event by event."""

    def __init__(
        self,
        facts: Facts,
        now: datetime,
        version: Version,
        environment: Environment,
        durations_by_environment: Mapping[str, Durations],
        earlier: Sequence[Expected],
    ) -> None:
        self.facts = facts
        self.now = now
        self.version = version
        self.environment = environment
        self.durations_by_environment = durations_by_environment
        self.durations = durations_by_environment[environment.id]
        self.earlier = earlier
        self.index = Index(facts)
        self.targets = self.index.targets_by_environment.get(environment.id, ())
        self.leaving = self.index.leaving_by_environment.get(environment.id, ())
        self.target_by_id = {target.id: target for target in (*self.targets, *self.leaving)}
        self.rollout = self.index.rollout_by_change_environment.get((version.change_id, environment.id))
        self.opened_at = self.rollout.opened_at if self.rollout else None
        self.slots = Slots(self.index)
        self._candidates = Candidates(self.index, now)
        self._done: dict[str, Expected] = {}
        self._left: set[str] = set()
        self._events: list[tuple[datetime, int, str, str]] = []
        self._numbers = count()
        self._groups: dict[tuple[object, ...], _Group] = {}
        self._skipping = frozenset(one.resource_id for one in facts.skips if one.resource_id is not None)
        self._rank: dict[str, int] = {}
        self._lanes: dict[str | None, tuple[ForecastLane, ...]] = {}
        self._causes: dict[str, Judged] = {}
        self._pause: tuple[Judged, ...] = ()
        self._kinds: dict[str, str] = {}

    def expected(self) -> list[Expected]:
        """What is expected of each target here."""
        self._left = {target.id for target in self.targets if self._wants(target)}
        self._set_out()
        blocked = self._blocked()
        for target_id in sorted(self._left):
            target = self.target_by_id[target_id]
            if blocked is not None and self._kinds.get(target_id) != "pin":
                self._never(target, blocked)
            elif self._occupied(target) is None:
                self._join(target)
        self._play()
        late = datetime.max.replace(tzinfo=self.now.tzinfo)
        return sorted(self._done.values(), key=lambda one: (one.starts_at or late, self._rank[one.target_id]))

    def landed(self, expected: Iterable[Expected]) -> dict[tuple[str, str], Landed]:
        """The successes that are expected here, as facts for those that wait for them."""
        known = self.facts.landed_by_target_version
        found: dict[tuple[str, str], Landed] = {}
        for one in expected:
            if one.ends_at is None:
                continue
            key = (one.target_id, self.version.id)
            before = known.get(key)
            if before is not None and before.left_at is None:
                found[key] = replace(before, verified_at=before.verified_at or one.ends_at)
                continue
            success_at = min(one.ends_at, (one.starts_at or self.now) + self.durations.job)
            found[key] = Landed(max(success_at, self.now), one.ends_at)
        return found

    # What is known now ------------------------------------------------------------------------------------------------

    def _wants(self, target: Target) -> bool:
        """Whether a target still has to start; what becomes of the others is noted."""
        move = self.index.open_move_by_target.get(target.id)
        if move is not None and move.version_id == self.version.id:
            began_at, ends_at = move.started_at or self.now, self._ends_at(target, move)
            held = self._held_until(target, move)
            if held is not None and held.verdict.changes_at is None:
                self._never(target, held)
                return False
            self._done[target.id] = Expected(target.id, self.environment.id, "moving", began_at, ends_at)
            return False
        if target.current is not None and target.current.version_id == self.version.id and move is None:
            self._done[target.id] = Expected(target.id, self.environment.id, "there")
            return False
        pin = self._candidates.pin_of(target)
        if pin is not None and pin.version_id == self.version.id and not self.index.pin_used(pin, target):
            self._kinds[target.id] = "pin"
            return True
        if pin is not None or self.version not in self._candidates.of(target):
            verdict = holds(WaitsFor.DENY, "not_going", version=self.version.tag)
            self._never(target, Judged("forecast", verdict), state="not_going")
            return False
        return True

    def _occupied(self, target: Target) -> Move | None:
        """The move that a target must end before it can start; one that nobody has yet makes way."""
        move = self.index.open_move_by_target.get(target.id)
        if move is None or move.version_id == self.version.id:
            return move
        ours = bool(move.jobs) and move.jobs[-1].ours and move.untouched and move.kind != "rollback"
        return None if ours else move

    def _ends_at(self, target: Target, move: Move) -> datetime:
        """When an open move is expected to end: as usual from its start, and no earlier than now."""
        if move.unclear is not None:
            return move.unclear.held_until or self.now + AHEAD_MAX + timedelta(days=1)
        if move.state == "verifying":
            ended = [job.completed_at for job in move.jobs if job.completed_at is not None]
            return max(self.now, max(ended, default=self.now) + self.durations.verification)
        held = self._held_until(target, move)
        if held is not None:
            goes_on_at = held.verdict.changes_at
            return self._closes_at(target, goes_on_at) if goes_on_at else self.now + AHEAD_MAX + timedelta(days=1)
        return max(self.now, self._closes_at(target, move.started_at or self.now))

    def _held_until(self, target: Target, move: Move) -> Judged | None:
        """What keeps a planned run from being confirmed, or a move from being proven, the longest; None: nothing."""
        for one in unclear_words(self.index, move):
            return one
        version = self.index.version_by_id.get(move.version_id)
        if version is None or not move.jobs or not move.jobs[-1].awaits_confirm:
            return None
        bars = self._gates(self.now).bars(target, version, move.kind) if target.id in self.facts.targets else ()
        held = [one for one in bars if one.verdict.reason not in ASSUMED]
        for_good = next((one for one in held if one.verdict.changes_at is None), None)
        return for_good or max(held, key=lambda one: one.verdict.changes_at or self.now, default=None)

    def _closes_at(self, target: Target, starts_at: datetime) -> datetime:
        """When a move that starts then ends: its job, and what verifies it, after it or beside it."""
        durations = self.durations_by_environment.get(target.environment_id, self.durations)
        job, proof = durations.job, durations.verification
        takes = [job, *(job + proof if one == "jobSuccess" else proof for one in self._triggers(target))]
        return starts_at + max(takes)

    def _triggers(self, target: Target) -> set[str]:
        """What begins the verifications that a target's move must pass."""
        rules = self.index.enforced_rules(target.policy_set, verification.kind)
        found = {
            rule.params.trigger for rule in rules if isinstance(rule.params, verification.Params) and rule.params.of_job
        }
        return found & set(GATING)

    def _blocked(self) -> Judged | None:
        """Why this version's rollout starts nothing here for good; a pause is taken as ended."""
        blocked = Schedule(self.index, self.slots, self.now).blocked(self.rollout) if self.rollout else None
        if blocked is not None and blocked.verdict.reason == "rollout_paused":
            self._pause = (blocked,)
            return None
        return blocked

    # Places -----------------------------------------------------------------------------------------------------------

    def _set_out(self) -> None:
        """The order of the targets, their lanes, what has started and what is in flight."""
        rollout = self._rollout_meant()
        schedule = Schedule(self.index, self.slots, self.now)
        members = schedule.members_of(rollout)
        lanes: dict[tuple[str, str], ForecastLane] = {}
        for policy_set in {target.policy_set for target in (*self.targets, *self.leaving)}:
            mine = []
            for policy in self.index.policies_of(policy_set):
                for rule in policy.rules:
                    if isinstance(rule.params, Params) and not policy.observe:
                        params = sped(rule.params, rollout.speed)
                        lane = ForecastLane(rule.id, policy.id, policy.name, params)
                        mine.append(lanes.setdefault((policy.id, rule.id), lane))
            self._lanes[policy_set] = tuple(mine)
        caps = self._gates(self.now).caps(rollout)
        by_set, percents = with_caps(self._lanes, caps, lambda: ForecastLane("", "", "", ALL_AT_ONCE))
        self._lanes = dict(by_set)
        found = {id(lane): lane for mine in self._lanes.values() for lane in mine}
        for number, lane in found.items():
            lane.params = capped(lane.params, percents.get(number, 100))
        newest = {
            move.target_id: move
            for move in self.index.moves_by_rollout.get(rollout.id, ())
            if move.state not in {"withdrawn", "cancelled"}
        }
        for number, lane in found.items():
            lane.mixed = len(found) > 1
            if lane.params.in_waves:
                paced = [one for one in members if any(lane is each for each in self._lanes[one.policy_set])]
                self._set_out_waves(lane, paced, newest, percents.get(number, 100))
        by_lane = [lane.waves.places if lane.waves else None for lane in found.values()]
        for rank, target in enumerate(schedule.ordered(rollout, members, by_lane)):
            self._rank[target.id] = rank
            started = newest.get(target.id)
            for lane in self._lanes[target.policy_set]:
                lane.join(target.id)
                if started is not None and target.id not in self._left:
                    proven = started.state in {"succeeded", "failed"} or not self._triggers(target)
                    lane.start(target.id, started.started_at or started.admitted_at, proven=proven)
        for target in (*self.targets, *self.leaving):
            self._rank.setdefault(target.id, len(self._rank))
        for target in (*self.targets, *self.leaving):
            occupying = self._occupied(target)
            if occupying is not None:
                for lane in self._lanes[target.policy_set]:
                    lane.in_flight += 1
                self._note(self._ends_at(target, occupying), "end", target.id)
                if target.id not in self._left and occupying.state != "verifying":
                    landed_at = (occupying.started_at or self.now) + self.durations.job
                    self._note(max(self.now, landed_at), "landed", target.id)
        if self.slots.limiting:
            self._count_elsewhere()

    def _count_elsewhere(self) -> None:
        """Slots that targets of the other environments hold: those that move now, and those that will have started."""
        for move in self.index.open_move_by_target.values():
            target = self.facts.targets.get(move.target_id) or self.facts.leaving.get(move.target_id)
            if target is not None and target.environment_id != self.environment.id:
                self._note(self._ends_at(target, move), "gives", target.id)
                self.target_by_id[target.id] = target
        for one in self.earlier:
            if one.state == "starts" and one.starts_at is not None and one.ends_at is not None:
                self.target_by_id[one.target_id] = self.facts.targets[one.target_id]
                self._note(one.starts_at, "takes", one.target_id)
                self._note(one.ends_at, "gives", one.target_id)

    def _rollout_meant(self) -> Rollout:
        """This version's rollout here, or the one that would open now."""
        return self.rollout or Rollout(
            id=derived_id("rollout", self.version.change_id, self.environment.id),
            change_id=self.version.change_id,
            environment_id=self.environment.id,
            kind="version",
            version_id=self.version.id,
            state="open",
            opened_at=self.now,
            targets_at_open=len(self.targets),
        )

    def _set_out_waves(
        self, lane: ForecastLane, members: Sequence[Target], newest: Mapping[str, Move], percent: int
    ) -> None:
        """Where each wave stands now: whom it waits for, and when the last of it ended."""
        places = Schedule(self.index, self.slots, self.now).places_of(lane.params, self._rollout_meant(), members)
        lane.params, places = narrowed(lane.params, places, percent)
        proofs = tuple(
            self._proof_of(lane, number, [one for one in members if one.id in set(wave)])
            for number, wave in enumerate(places.waves)
        )
        waves = [set(one) for one in places.waves]
        lane.waves = ForecastWaves(lane.params, places, waves, [None] * len(places.waves), proofs)
        for target in members:
            move = newest.get(target.id)
            moving = move is not None and move.open
            if moving and lane.params.overlap and move is not None and move.state == "verifying":
                moving = move.unclear is not None
            if target.id not in self._left and not moving:
                lane.waves.leave(target.id, move.closed_at if move is not None else None)

    def _proof_of(self, lane: ForecastLane, wave: int, members: Sequence[Target]) -> timedelta:
        """How long a wave is measured as a whole, as its rules are written; nothing once that is over."""
        begun = proof_of_wave(self.rollout, lane=lane.rule_id or lane.policy_id, wave=wave) if self.rollout else None
        if begun is not None and begun.state != "running":
            return timedelta()
        metrics = metrics_of(self.index, members, Runs.BETWEEN_WAVES)
        takes = [spec.warm_up_seconds + (spec.count - 1) * spec.interval_seconds for _, spec in metrics]
        return timedelta(seconds=max(takes, default=0.0))

    # Events -----------------------------------------------------------------------------------------------------------

    def _note(self, at: datetime, what: str, target_id: str = "") -> None:
        heappush(self._events, (at, next(self._numbers), what, target_id))

    def _join(self, target: Target) -> None:
        """A target waits for its place from now on."""
        heappush(self._group(target).waiting, (self._rank[target.id], target.id))

    def _group(self, target: Target) -> _Group:
        kind = self._kinds.get(target.id, "forward")
        resource_id = target.resource_id if target.resource_id in self._skipping else None
        key = (target.policy_set, kind, resource_id, tuple(one.key for one in target.slot_keys))
        return self._groups.setdefault(key, _Group(target.policy_set, kind, alone=resource_id is not None))

    def _play(self) -> None:
        """Go from event to event until nobody is left whose instant could be known."""
        self._note(self.now, "look")
        last_at = self.now + AHEAD_MAX
        while self._left and self._events and self._events[0][0] <= last_at:
            at = self._events[0][0]
            while self._events and self._events[0][0] == at:
                _, _, what, target_id = heappop(self._events)
                if what == "end":
                    self._end(self.target_by_id[target_id], at)
                elif what == "landed":
                    self._landed(self.target_by_id[target_id], at)
                elif what == "join":
                    self._join(self.target_by_id[target_id])
                elif what in {"takes", "gives"}:
                    self.slots.count(self.target_by_id[target_id], 1 if what == "takes" else -1)
            self._look(at)
        for target_id in sorted(self._left):
            target = self.target_by_id[target_id]
            group = self._group(target)
            too_far = Judged("forecast", holds(WaitsFor.WAIT, "too_far", days=AHEAD_MAX.days))
            self._never(target, self._causes.get(target_id) or group.cause or too_far)

    def _end(self, target: Target, now: datetime) -> None:
        """A move ended: others have its place, and its target may want this version now."""
        for lane in self._lanes[target.policy_set]:
            lane.end(target.id)
            if lane.waves is not None and self._goes(target):
                lane.waves.leave(target.id, now)
        self.slots.count(target, -1)
        if target.id in self._left and target.id not in self._done:
            self._join(target)

    def _landed(self, target: Target, now: datetime) -> None:
        """A job ended; what verifies it may go on: where waves overlap, its wave waits for it no longer."""
        for lane in self._lanes[target.policy_set]:
            if lane.waves is not None and lane.params.overlap and self._goes(target):
                lane.waves.leave(target.id, now)

    def _goes(self, target: Target) -> bool:
        """Whether a target's move is the one that its wave waits for."""
        done = self._done.get(target.id)
        return done is not None and done.state in {"starts", "moving"}

    def _look(self, now: datetime) -> None:
        """Start whoever may start now, in the order of the rollout."""
        for lanes in self._lanes.values():
            for lane in lanes:
                lane.waiting = False
        looking = [group for group in self._groups.values() if group.waiting and self._gates_open(group, now)]
        passed: list[tuple[_Group, tuple[int, str]]] = []
        while looking:
            group = min(looking, key=lambda one: one.waiting[0])
            first = group.waiting[0]
            goes_on = self._look_at(group, now)
            if goes_on and group.waiting and group.waiting[0] is first:
                passed.append((group, heappop(group.waiting)))
            if not goes_on or not group.waiting:
                looking.remove(group)
        for group, waiting in passed:
            heappush(group.waiting, waiting)

    def _gates_open(self, group: _Group, now: datetime) -> bool:
        """Whether what all targets of a group are asked lets them go. If not, when to look again is noted."""
        if group.alone or not group.asked or (group.bars_until is not None and now >= group.bars_until):
            gates = self._gates(now)
            if group.alone:
                bars = gates.bars(self.target_by_id[group.waiting[0][1]], self.version, group.kind)
            else:
                shared = gates.shared(self.environment.id, self.version, group.policy_set, group.kind)
                bars = shared.bars
                group.bars_until = earliest(one.verdict.changes_at for one in shared.judged if not one.observed)
            group.asked = True
            group.assumed = tuple(one for one in bars if one.verdict.reason in ASSUMED)
            group.bars = tuple(one for one in bars if one.verdict.reason not in ASSUMED)
            if group.bars:
                group.cause = _last(group.bars)
                self._again(group.bars)
        return not group.bars

    def _gates(self, now: datetime) -> Gates:
        return Gates(self.index, Recorder(self.facts, now), Candidates(self.index, now), now)

    def _again(self, bars: tuple[Judged, ...]) -> datetime | None:
        """Note when to look again at what holds: when the last of the holds may change; None where one never does."""
        ends = [one.verdict.changes_at for one in bars]
        known = [one for one in ends if one is not None]
        if len(known) < len(ends):
            return None
        self._note(max(known), "look")
        return max(known)

    def _look_at(self, group: _Group, now: datetime) -> bool:
        """Start the first target of a group, or note what it waits for. Says whether the next one may be looked at.

        Gives: True, and the first one left in its place, where one behind it may start all the same.
        """
        _, target_id = group.waiting[0]
        target = self.target_by_id[target_id]
        own = self._own_bars(target, now)
        if own:
            heappop(group.waiting)
            self._causes[target_id] = _last(own)
            again_at = self._again(own)
            if again_at is None:
                self._never(target, _last(own))
            else:
                self._note(again_at, "join", target_id)
            return True
        if self.opened_at is None:
            self.opened_at = now
        promoted = self.rollout is not None and self.rollout.speed.promoted_at is not None
        if group.kind != "pin" and not promoted:
            for lane in self._lanes[group.policy_set]:
                at_open = self.rollout.targets_at_open if self.rollout else len(self.targets)
                wait = lane.wait(target_id, now, opened_at=self.opened_at, targets_at_open=at_open)
                if wait is not None:
                    group.cause = wait.judged
                    if wait.until is not None:
                        self._note(wait.until, "look")
                    return wait.others_pass
        full = self.slots.take(target, group.kind)
        if full:
            group.cause = full[0]
            return False
        heappop(group.waiting)
        self._start(group, target, now)
        return True

    def _own_bars(self, target: Target, now: datetime) -> tuple[Judged, ...]:
        """What holds this target alone."""
        judged = self._gates(now).of_target(target, self.version, self._kinds.get(target.id, "forward"))
        return tuple(one for one in judged if one.bars and one.verdict.reason not in ASSUMED)

    def _start(self, group: _Group, target: Target, now: datetime) -> None:
        self._left.discard(target.id)
        ends_at = self._closes_at(target, now)
        for lane in self._lanes[target.policy_set]:
            lane.in_flight += 1
            lane.start(target.id, now, proven=not self._triggers(target))
        self._note(ends_at, "end", target.id)
        self._note(now + self.durations.job, "landed", target.id)
        cause = self._cause(group, target, now)
        assumes = (*self._pause, *group.assumed)
        self._done[target.id] = Expected(target.id, self.environment.id, "starts", now, ends_at, cause, assumes)

    def _cause(self, group: _Group, target: Target, now: datetime) -> Judged | None:
        """What kept a target until now; nothing where it starts at once."""
        if now == self.now:
            return None
        move = self._occupied(target)
        if move is not None and self._ends_at(target, move) == now:
            version = self.index.version_by_id.get(move.version_id)
            verdict = holds(WaitsFor.WAIT, "occupied", changes_at=now, version=version.tag if version else "?")
            return Judged("forecast", verdict)
        own = self._causes.get(target.id)
        if own is not None and own.verdict.changes_at == now:
            return own
        return group.cause or own

    def _never(self, target: Target, cause: Judged, *, state: str = "unknown") -> None:
        self._left.discard(target.id)
        self._done[target.id] = Expected(target.id, self.environment.id, state, cause=cause)


def _last(bars: Iterable[Judged]) -> Judged:
    """The hold that lasts longest: one without an instant, else the one with the latest."""
    return max(bars, key=lambda one: (one.verdict.changes_at is None, one.verdict.changes_at))

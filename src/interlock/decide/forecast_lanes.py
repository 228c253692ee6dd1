"""Where does a rollout's pace stand while a forecast lets its targets start one after another?

The same arithmetic as `schedule`, kept from event to event and not worked out again for all targets: a lane knows which
places started, when, and which of them are proven. Whether a target may start is then a question about the nearest
place before it, the limits, and the clock.

Source: core.md section 4 (times, verified between); `schedule`, with which a property test compares.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from interlock.decide.rules import gradual_rollout
from interlock.decide.rules.gradual_rollout import Params, offset
from interlock.decide.verdict import Judged, Outcome, Stage, Verdict, WaitsFor, holds, instant
from interlock.decide.wave_places import Places


@dataclass(frozen=True, slots=True)
class Wait:
    """What a place waits for.

    Takes: `until` is the instant at which it may be over by the clock; None where something else must end first.
           `others_pass` says that a place further behind may start all the same.
    """

    judged: Judged
    until: datetime | None = None
    others_pass: bool = False


@dataclass(slots=True)
class ForecastLane:
    """One gradualRollout rule in one environment.

    Takes: `started` are the places that started, in their order; `unproven` those of them whose verification is still
           to pass. `waiting` says that a place before waits for its time, in this look. `waves` are of a rule that goes
           wave by wave; `mixed` says that others pace the same targets in another order.
    """

    rule_id: str
    policy_id: str
    policy_name: str
    params: Params
    place_by_target: dict[str, int] = field(default_factory=dict)
    started: list[int] = field(default_factory=list)
    started_at: dict[int, datetime] = field(default_factory=dict)
    unproven: set[int] = field(default_factory=set)
    in_flight: int = 0
    waiting: bool = False
    waves: ForecastWaves | None = None
    mixed: bool = False

    def join(self, target_id: str) -> int:
        """Give a target the next place."""
        return self.place_by_target.setdefault(target_id, len(self.place_by_target))

    def start(self, target_id: str, at: datetime, *, proven: bool) -> None:
        """A place started."""
        place = self.place_by_target[target_id]
        insort(self.started, place)
        self.started_at[place] = at
        if not proven and not self.params.overlap:
            self.unproven.add(place)

    def end(self, target_id: str) -> None:
        """A move ended: its place is proven, and somebody else may be in flight."""
        self.in_flight -= 1
        self.unproven.discard(self.place_by_target[target_id])

    def wait(self, target_id: str, now: datetime, *, opened_at: datetime, targets_at_open: int) -> Wait | None:
        """What a target must wait for here, if it must."""
        if self.waves is not None:
            return self.waves.wait(self, target_id, now) or self._full()
        place, params = self.place_by_target[target_id], self.params
        number = bisect_left(self.started, place)
        before = self.started[number - 1] if number else None
        if before is not None and before in self.unproven:
            behind = number < len(self.started)
            return Wait(self.judged(holds(WaitsFor.WAIT, "rollout_verifying")), others_pass=behind)
        full = self._full()
        if full is not None:
            return full
        mine = offset(params, place, targets_at_open=targets_at_open)
        due_at = opened_at + mine
        if self.waiting and now >= due_at:
            return Wait(self.judged(holds(WaitsFor.WAIT, "rollout_after_previous")))
        if before is not None and not self.waiting:
            theirs = offset(params, before, targets_at_open=targets_at_open)
            due_at = max(due_at, self.started_at[before] + mine - theirs)
        if now >= due_at:
            return None
        self.waiting = True
        values = {"position": place + 1, "targets": len(self.place_by_target), "due_at": instant(due_at)}
        verdict = Verdict(Outcome.HOLD, "rollout_due_later", values, waits_for=WaitsFor.WAIT, changes_at=due_at)
        return Wait(self.judged(verdict), until=due_at)

    def _full(self) -> Wait | None:
        """That as many are in flight as may be, if so."""
        most = self.params.max_in_flight
        if most is None or self.in_flight < most:
            return None
        full = holds(WaitsFor.WAIT, "rollout_in_flight", in_flight=self.in_flight, max_in_flight=most)
        return Wait(self.judged(full))

    def judged(self, verdict: Verdict) -> Judged:
        """A verdict of this rule."""
        return Judged(gradual_rollout.kind, verdict, Stage.READINESS, (self.rule_id,), self.policy_id, self.policy_name)


@dataclass(slots=True)
class ForecastWaves:
    """How far a rollout is that goes wave by wave.

    Takes: `open`: the targets that each wave still waits for. `ended_at`: when the last of a wave ended. `at` is the
           first wave that is not over, `baked_at` when what went before it has baked; `proofs`: how long each is
           measured as a whole.
    """

    params: Params
    places: Places
    open: list[set[str]]
    ended_at: list[datetime | None]
    proofs: tuple[timedelta, ...] = ()
    at: int = 0
    baked_at: datetime | None = None

    def leave(self, target_id: str, ended_at: datetime | None) -> None:
        """A wave waits for one target less."""
        wave = self.places.wave_by_target.get(target_id)
        if wave is None or target_id not in self.open[wave]:
            return
        self.open[wave].discard(target_id)
        before = self.ended_at[wave]
        if ended_at is not None and (before is None or ended_at > before):
            self.ended_at[wave] = ended_at

    def advance(self) -> None:
        """Go past the waves that are over."""
        while self.at < len(self.open) and not self.open[self.at]:
            ended_at = self.ended_at[self.at]
            if ended_at is not None:
                proof = self.proofs[self.at] if self.proofs else timedelta()
                until = ended_at + max(self.params.bake_after(self.at), proof)
                self.baked_at = until if self.baked_at is None else max(self.baked_at, until)
            self.at += 1

    def wait(self, lane: ForecastLane, target_id: str, now: datetime) -> Wait | None:
        """What a target must wait for before its wave goes, if it must."""
        missing = self.places.unplaced.get(target_id)
        if missing is not None:
            return Wait(
                lane.judged(holds(WaitsFor.INCOMPLETE, "rollout_domain_unknown", key=missing)), others_pass=True
            )
        self.advance()
        wave = self.places.wave_by_target[target_id]
        if wave > self.at:
            later = holds(WaitsFor.WAIT, "rollout_wave_later", wave=wave + 1)
            return Wait(lane.judged(later), others_pass=lane.mixed)
        if self.baked_at is not None and now < self.baked_at:
            baking = holds(
                WaitsFor.WAIT, "rollout_baking", changes_at=self.baked_at, wave=wave + 1, due_at=self.baked_at
            )
            return Wait(lane.judged(baking), until=self.baked_at, others_pass=lane.mixed)
        return None

"""How does a story go on by itself? Rounds at wake-ups and on facts, hand-overs, runs, measurements, until it is quiet.

The driver does what the workers do, on a virtual clock: it decides when a fact arrived or the world's `wake_at` comes,
hands waiting jobs to the agent, and lets happen what the agent said would happen. Things of one instant happen in the
order in which they were asked for, so a story always goes the same way.

Source: DESIGN.md section 2 (one round, in the order the code reads).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

from interlock.decide.facts import Job, Move
from interlock.decide.plan import Plan
from interlock.model.errors import Conflict
from interlock.simulate.agents import Action, Happening, StubAgent
from interlock.simulate.world import World

STEPS_MAX = 10_000


@dataclass(slots=True)
class Scenario:
    """A world, the agent that works in it, and what is still to happen. `watch` is told of each plan once it stands."""

    world: World
    agent: StubAgent = field(default_factory=StubAgent)
    plans: list[Plan] = field(default_factory=list)
    steps_max: int = STEPS_MAX
    watch: Callable[[Plan], object] | None = None
    _decided: int | None = None
    _due: list[tuple[datetime, int, Action]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)

    def at(self, when: datetime, action: Action) -> None:
        """Let something happen at an instant."""
        heapq.heappush(self._due, (when, next(self._numbers), action))

    def run(self, *, until: datetime | None = None) -> None:
        """Go on until nothing is left to happen, or until an instant.

        Fails: `Conflict` when it does not become quiet within `steps_max`.
        """
        for _ in range(self.steps_max):
            if self._asked():
                self._decide()
            next_at = self._next_at()
            if next_at is None or (until is not None and next_at > until):
                if until is not None:
                    self.world.now = max(self.world.now, until)
                return
            self.world.now = max(self.world.now, next_at)
            while self._due and self._due[0][0] <= self.world.now:
                _, _, action = heapq.heappop(self._due)
                follows = action(self.world)
                if isinstance(follows, Happening):
                    self._expect((follows,))
                elif isinstance(follows, list):
                    self._expect(follows)
        raise Conflict(
            f"The story did not become quiet in {self.steps_max} steps; the clock stands at {self.world.now}."
        )

    def _asked(self) -> bool:
        """Whether a round is due: somebody else's fact arrived, or the instant came that the last one named."""
        wake_at = self.world.wake_at
        return self._decided != self.world.facts_told or (wake_at is not None and wake_at <= self.world.now)

    def cancel(self, job_id: str) -> None:
        """Ask for the end of a run."""
        self._expect(self.agent.cancel(job_id))

    def measure_again(self, verification_id: str) -> None:
        """Ask for another measurement of what could not tell."""
        self._expect(self.agent.measure_again(self.world, verification_id))

    def _next_at(self) -> datetime | None:
        due = [self._due[0][0]] if self._due else []
        wake = [self.world.wake_at] if self.world.wake_at is not None else []
        return min((*due, *wake), default=None)

    def _decide(self) -> None:
        """Rounds and hand-overs until neither leads to the other."""
        for _ in range(self.steps_max):
            plan = self.world.round()
            self.plans.append(plan)
            self._follow(plan)
            if self.watch is not None:
                self.watch(plan)
            started = [self._hand_over(move, job) for move, job in self.world.waiting_jobs()]
            if not plan.moving and not any(started):
                self._decided = self.world.facts_told
                return
        raise Conflict(f"Rounds did not end at {self.world.now}.")

    def _hand_over(self, move: Move, job: Job) -> bool:
        happenings = self.agent.start(self.world, move, job)
        self._expect(happenings)
        return bool(happenings)

    def _follow(self, plan: Plan) -> None:
        """What a plan asks of the outside."""
        moves = {move.id: move for move in self.world.facts.moves}
        for begun in plan.verifications:
            move = moves.get(begun.move_id)
            if move is not None:
                self._expect(self.agent.measure(self.world, move, begun.verification))
        for proof in plan.proofs:
            self._expect(self.agent.measure_rollout(self.world, proof))
        for cancel in plan.cancels:
            self._expect(self.agent.cancel(cancel.job_id))

    def _expect(self, happenings: Iterable[Happening]) -> None:
        for one in happenings:
            self.at(self.world.now + timedelta(seconds=one.after_s), one.action)

"""How does the outside behave, at its worst? Job agents and metric providers on a virtual clock, with seeded faults.

A stub answers the start of a job with a list of things that will happen to the world, each after some seconds. Without
faults a job runs for `run_s` and succeeds, and a verification passes after `verify_s`. A `Behaviour` says otherwise for
some versions, targets and attempts; `Faults` says how often the road between us is bad. Where there is `Traffic`,
what the behaviour says nothing of is measured: each metric at its points of time, judged as in production.

Source: core.md section 5 (what an unanswered start allows, late and repeated news).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from interlock.decide.facts import Job, Move, Verification
from interlock.decide.plan import NewProof
from interlock.model.job import Handover, JobStatus
from interlock.model.verification import MetricSpec
from interlock.simulate.traffic import About, Traffic
from interlock.simulate.world import World

Action = Callable[[World], object]


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happens to the world after some seconds. An action may give what happens after it."""

    after_s: float
    action: Action


@dataclass(frozen=True, slots=True)
class Run:
    """How a job goes. `hangs`: it begins and is never heard of again."""

    status: JobStatus = JobStatus.SUCCESSFUL
    run_s: float = 5.0
    message: str | None = None
    hangs: bool = False


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How jobs and verifications go, by version tag, target name and attempt (from 1).

    Takes: `verify` gives None where nothing is said of a verification: it passes, or is measured where there is
           traffic. `measure`, where it is given, says how long a verification takes and what it says.
    """

    run: Callable[[str, str, int], Run] = lambda tag, target, attempt: Run()  # noqa: ARG005 - the default looks at nothing
    verify: Callable[[str, str], str | None] = lambda tag, target: None  # noqa: ARG005
    verify_s: float = 10.0
    cancel_s: float = 1.0
    measure: Callable[[str, str], tuple[float, str | None]] | None = None


@dataclass(frozen=True, slots=True)
class Faults:
    """How often, from 0 to 1: a start goes unanswered, such a start never ran, news comes twice, and out of order."""

    unanswered: float = 0.0
    never_ran: float = 0.0
    repeated: float = 0.0
    disordered: float = 0.0


@dataclass(slots=True)
class StubAgent:
    """An agent, and the provider that measures what it did."""

    behaviour: Behaviour = field(default_factory=Behaviour)
    faults: Faults = field(default_factory=Faults)
    seed: int = 0
    traffic: Traffic | None = None
    _chance: Random = field(init=False)
    _looked: Counter[tuple[str, int]] = field(default_factory=Counter)
    _runs: dict[str, Callable[[World], list[Happening]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._chance = Random(self.seed)

    def _strikes(self, share: float) -> bool:
        return share > 0 and self._chance.random() < share

    def start(self, world: World, move: Move, job: Job) -> list[Happening]:
        """Take a job over. Gives nothing when the world does not allow the hand-over."""
        unanswered = self._strikes(self.faults.unanswered)
        handover = Handover.UNCERTAIN if unanswered else Handover.STARTED
        if not world.hand_over(job.id, handover=handover):
            return []
        if unanswered and self._strikes(self.faults.never_ran):
            return [Happening(60.0, lambda w: w.settle_hand_over(job.id, Handover.WAITING))]
        found = [Happening(5.0, lambda w: w.settle_hand_over(job.id, Handover.STARTED))] if unanswered else []
        tag, target = world.version(move.version_id).tag, world.target(move.target_id).name
        run = self.behaviour.run(tag, target, len(move.jobs))
        ends_s = run.run_s + (5.0 if unanswered else 0.0)
        begins = Happening(ends_s / 2, lambda w: w.hear(job.id, JobStatus.IN_PROGRESS))
        ends = Happening(ends_s, lambda w: w.hear(job.id, run.status, run.message))
        news = [begins] if run.hangs else [begins, ends]
        if not run.hangs and self._strikes(self.faults.disordered):
            news = [ends, Happening(ends_s + 1.0, begins.action)]
        if self._strikes(self.faults.repeated):
            news += [Happening(one.after_s + 2.0, one.action) for one in news]
        return found + news

    def cancel(self, job_id: str) -> list[Happening]:
        """Stop a run, and say so a little later."""
        stop = Happening(self.behaviour.cancel_s, lambda w: w.hear(job_id, JobStatus.CANCELLED, "cancelled"))
        return [stop]

    def measure_rollout(self, world: World, begun: NewProof) -> list[Happening]:
        """Measure a rollout as a whole. What runs while it is open ends by itself only when it goes wrong.

        Takes: behaviours know a wave as the target `wave 1`, and the whole rollout as `rollout`.
        """
        rollout = next(one for one in world.facts.rollouts if one.id == begun.rollout_id)
        tag = next((one.tag for one in world.facts.versions if one.id == rollout.version_id), "")
        wave = begun.proof.wave
        about = "rollout" if wave is None else f"wave {wave + 1}"
        state = self.behaviour.verify(tag, about)
        if state is None and self.traffic is not None:
            return self._looks(world, self.traffic, begun.proof.id, About(tag, rollout.environment_id, about))
        if wave is None and state in {None, "passed"}:
            return []
        return [self._ends(begun.proof.id, tag, about, state or "passed")]

    def measure(self, world: World, move: Move, verification: Verification) -> list[Happening]:
        """Measure what a move did."""
        tag, target = world.version(move.version_id).tag, world.target(move.target_id).name

        def run(world: World) -> list[Happening]:
            state = self.behaviour.verify(tag, target)
            if state is None and self.traffic is not None:
                return self._looks(world, self.traffic, verification.id, About(tag, move.environment_id, target))
            return [self._ends(verification.id, tag, target, state or "passed")]

        self._runs[verification.id] = run
        return run(world)

    def measure_again(self, world: World, verification_id: str) -> list[Happening]:
        """Measure what could not tell once more. Gives nothing where it does not hold."""
        return self._runs[verification_id](world) if world.measure_again(verification_id) else []

    def _settled(self, world: World, verification_id: str) -> list[Happening]:
        """What comes by itself of a verification that could not tell: it is measured again, or its hold is over."""
        due_at = world.hold_due_at(verification_id)
        if due_at is None:
            return []

        def settle(world: World) -> list[Happening]:
            if world.hold_due_at(verification_id) != due_at:
                return []  # somebody was faster
            world.settle_hold(verification_id)
            runs = any(one.id == verification_id for _, one in world.running_verifications())
            return self._runs[verification_id](world) if runs else self._settled(world, verification_id)

        return [Happening(max(0.0, (due_at - world.now).total_seconds()), settle)]

    def _ends(self, verification_id: str, tag: str, target: str, state: str) -> Happening:
        measure = self.behaviour.measure
        takes_s, said = measure(tag, target) if measure is not None else (self.behaviour.verify_s, None)
        if said is None and state != "passed":
            said = f"{tag} is {state} on {target}"

        def end(world: World) -> list[Happening]:
            world.measured(verification_id, state, said)
            return self._settled(world, verification_id)

        return Happening(takes_s, end)

    def _looks(self, world: World, traffic: Traffic, verification_id: str, about: About) -> list[Happening]:
        """The first look at each metric of a verification; each look gives the next."""
        run = world.measuring[verification_id]

        def look_at(position: int, spec: MetricSpec) -> Action:
            def look(world: World) -> list[Happening]:
                if world.measuring[verification_id] is not run:
                    return []  # it is measured again, by looks of its own
                number = self._looked[verification_id, position]
                self._looked[verification_id, position] += 1
                next_at = world.measure(verification_id, position, traffic.look(world, about, spec, number))
                if world.hold_due_at(verification_id) is not None:
                    return self._settled(world, verification_id)
                return [] if next_at is None else [Happening(max(0.0, (next_at - world.now).total_seconds()), look)]

            return look

        return [
            Happening(spec.warm_up_seconds, look_at(place, spec))
            for place, (spec, one) in enumerate(zip(run.metrics, run.progress().metrics, strict=True))
            if not one.state.final
        ]

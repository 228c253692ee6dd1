"""How do agents and verifications behave in a scenario? What its file says of them, made into a `StubAgent`.

    agent:
      takes: 5m                                    # each job, unless said otherwise
      seed: 7                                      # for everything below that is left to chance
      jobs:                                        # the first entry that fits a job decides
        - {version: 1.1.0, target: eu-2, attempt: 1, ends: failure, takes: 30s, says: disk full}
        - {version: 1.1.0, place: 3, ends: never}  # the third target that this version starts on; it hangs
        - {chance: 0.1, ends: failure}             # one job in ten
      road: {unanswered: 0.1, neverRan: 0.5, repeated: 0.1, disordered: 0.1}
    verification:
      takes: 2m
      outcomes:
        - {version: 1.1.0, environment: production, ends: failed}
    traffic: {requests: 10000, bad: 0.01, versions: {1.1.0: 0.02}, seed: 7}     # traffic.py

Chance hangs on the seed, the version, the target and the attempt alone: a story goes the same way each time, and one
more target changes nothing for the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from interlock.model.errors import FieldError, Invalid
from interlock.model.job import JobStatus
from interlock.model.wire import Fields
from interlock.simulate.agents import Behaviour, Faults, Run, StubAgent
from interlock.simulate.moments import seconds
from interlock.simulate.traffic import BAD, REQUESTS_PER_MIN, Traffic

HANGS = "never"
ENDS = tuple(status.value for status in JobStatus if status.terminal)
MEASURED = ("passed", "failed", "inconclusive")
OUTCOMES_MAX = 200
REQUESTS_MAX = 1e9


@dataclass(frozen=True, slots=True)
class Outcome:
    """How some jobs, or verifications, go. None stands for any."""

    version: str | None
    environment: str | None
    target: str | None
    attempt: int | None
    place: int | None
    chance: float
    ends: str
    takes_s: float | None
    says: str | None


@dataclass(frozen=True, slots=True)
class Conduct:
    """What the file says of the outside."""

    takes_s: float = 5.0
    cancel_s: float = 1.0
    seed: int = 0
    jobs: tuple[Outcome, ...] = ()
    faults: Faults = field(default_factory=Faults)
    verify_s: float = 10.0
    outcomes: tuple[Outcome, ...] = ()
    traffic: TrafficConduct | None = None


@dataclass(frozen=True, slots=True)
class TrafficConduct:
    """How the traffic fares, or what changes of it: None is what is not said."""

    requests_per_min: float | None = None
    bad: float | None = None
    bad_by_tag: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    silent: bool | None = None

    def changes(self, traffic: Traffic) -> None:
        """Make it so."""
        traffic.requests_per_min = traffic.requests_per_min if self.requests_per_min is None else self.requests_per_min
        traffic.bad = traffic.bad if self.bad is None else self.bad
        traffic.bad_by_tag.update(self.bad_by_tag)
        traffic.silent = traffic.silent if self.silent is None else self.silent

    def sentence(self) -> str:
        """What is said, as a timeline tells it."""
        parts = [] if self.requests_per_min is None else [f"gets {self.requests_per_min:g} requests a minute"]
        parts += [] if self.bad is None else [f"has {self.bad * 100:.3g} % bad ones"]
        parts += [
            f"has {part * 100:.3g} % bad ones where it runs {tag}" for tag, part in sorted(self.bad_by_tag.items())
        ]
        parts += [] if self.silent is None else ["says nothing" if self.silent else "answers again"]
        return ", ".join(parts) or "goes on as it did"


def read_traffic(fields: Fields) -> TrafficConduct:
    """Take what is said of the traffic. Faults are left in `fields`."""
    written = fields.mapping("versions")
    versions = Fields(written, f"{fields.path}.versions")
    bad_by_tag = {str(tag): _part(versions, str(tag)) or 0.0 for tag in written}
    fields.errors.extend(versions.errors)
    silent = fields.anything("silent")
    if not isinstance(silent, bool | None):
        fields.wrong("silent", "must be true or false")
    return TrafficConduct(
        requests_per_min=fields.number("requests", default=None, minimum=0.0, maximum=REQUESTS_MAX),
        bad=_part(fields, "bad"),
        bad_by_tag=bad_by_tag,
        seed=fields.integer("seed"),
        silent=silent if isinstance(silent, bool) else None,
    )


def _part(fields: Fields, name: str) -> float | None:
    return fields.number(name, default=None, minimum=0.0, maximum=1.0)


def read_conduct(
    agent: Mapping[str, object], verification: Mapping[str, object], traffic: Mapping[str, object] | None = None
) -> Conduct:
    """Read these parts of the file.

    Fails: `Invalid`, naming every fault with its path.
    """
    errors: list[FieldError] = []
    fields = Fields(agent, ".agent")
    road = Fields(fields.mapping("road"), ".agent.road")
    jobs = _outcomes(fields, "jobs", allowed=(*ENDS, HANGS), errors=errors)
    measured = Fields(verification, ".verification")
    served = Fields(traffic or {}, ".traffic")
    conduct = Conduct(
        takes_s=_seconds(fields, "takes", default=5.0),
        cancel_s=_seconds(fields, "cancelTakes", default=1.0),
        seed=fields.integer("seed"),
        jobs=jobs,
        faults=Faults(*(_share(road, name) for name in ("unanswered", "neverRan", "repeated", "disordered"))),
        verify_s=_seconds(measured, "takes", default=10.0),
        outcomes=_outcomes(measured, "outcomes", allowed=MEASURED, errors=errors),
        traffic=None if traffic is None else read_traffic(served),
    )
    for part in (fields, road, measured, served):
        _collect(part, errors)
    if errors:
        raise Invalid("The scenario has faults.", fields=errors)
    return conduct


def _outcomes(fields: Fields, name: str, *, allowed: tuple[str, ...], errors: list[FieldError]) -> tuple[Outcome, ...]:
    found = []
    for number, body in enumerate(fields.items(name, maximum=OUTCOMES_MAX)):
        one = Fields(body, f"{fields.path}.{name}[{number}]")
        chance = one.number("chance", default=1.0, minimum=0.0, maximum=1.0)
        outcome = Outcome(
            version=one.text("version") or None,
            environment=one.text("environment") or None,
            target=one.text("target") or None,
            attempt=one.optional_integer("attempt", minimum=1),
            place=one.optional_integer("place", minimum=1),
            chance=1.0 if chance is None else chance,
            ends=one.choice("ends", allowed=allowed, default="successful" if HANGS in allowed else "passed"),
            takes_s=one.parsed("takes", seconds, required=False),
            says=one.text("says") or None,
        )
        _collect(one, errors)
        found.append(outcome)
    return tuple(found)


def _seconds(fields: Fields, name: str, *, default: float) -> float:
    read = fields.parsed(name, seconds, required=False)
    return default if read is None else read


def _share(fields: Fields, name: str) -> float:
    return fields.number(name, default=0.0, minimum=0.0, maximum=1.0) or 0.0


def _collect(fields: Fields, errors: list[FieldError]) -> None:
    try:
        fields.done()
    except Invalid as error:
        errors.extend(error.fields)


class Actor:
    """Answers for the outside, as a `Conduct` says."""

    def __init__(self, conduct: Conduct, environment_by_target: Mapping[str, str]) -> None:
        self.conduct = conduct
        self.environment_by_target = environment_by_target
        self.traffic: Traffic | None = None
        if conduct.traffic is not None:
            self.traffic = Traffic(REQUESTS_PER_MIN, BAD, seed=conduct.traffic.seed)
            conduct.traffic.changes(self.traffic)
        self._places: dict[tuple[str, str], dict[str, int]] = {}

    def agent(self) -> StubAgent:
        """The agent of the story."""
        conduct = self.conduct
        behaviour = Behaviour(
            run=self.run, verify=self.verify, verify_s=conduct.verify_s, cancel_s=conduct.cancel_s, measure=self.measure
        )
        return StubAgent(behaviour, conduct.faults, conduct.seed, self.traffic)

    def run(self, tag: str, target: str, attempt: int) -> Run:
        """How a job goes."""
        here = self._places.setdefault((tag, self._environment(target)), {})
        here.setdefault(target, len(here) + 1)
        found = self._first(self.conduct.jobs, tag, target, attempt=attempt)
        if found is None:
            return Run(run_s=self.conduct.takes_s)
        takes_s = self.conduct.takes_s if found.takes_s is None else found.takes_s
        if found.ends == HANGS:
            return Run(run_s=takes_s, hangs=True)
        return Run(JobStatus(found.ends), takes_s, found.says)

    def verify(self, tag: str, target: str) -> str | None:
        """How a verification ends; None where the file says nothing of it."""
        found = self._first(self.conduct.outcomes, tag, target, attempt=1)
        return None if found is None else found.ends

    def measure(self, tag: str, target: str) -> tuple[float, str | None]:
        """How long a verification takes, and what it says."""
        found = self._first(self.conduct.outcomes, tag, target, attempt=1)
        if found is None or found.takes_s is None:
            return self.conduct.verify_s, found.says if found else None
        return found.takes_s, found.says

    def _environment(self, target: str) -> str:
        return self.environment_by_target.get(target, "")

    def _first(self, outcomes: tuple[Outcome, ...], tag: str, target: str, *, attempt: int) -> Outcome | None:
        environment = self._environment(target)
        place = self._places.get((tag, environment), {}).get(target)
        for number, one in enumerate(outcomes):
            fits = (
                one.version in {None, tag}
                and one.target in {None, target}
                and one.environment in {None, environment}
                and one.attempt in {None, attempt}
                and one.place in {None, place}
            )
            if fits and (one.chance >= 1 or self._drawn(number, tag, target, attempt) < one.chance):
                return one
        return None

    def _drawn(self, *parts: object) -> float:
        digest = hashlib.sha256("\x1f".join(map(str, (self.conduct.seed, *parts))).encode()).digest()
        return int.from_bytes(digest[:6], "big") / 2**48

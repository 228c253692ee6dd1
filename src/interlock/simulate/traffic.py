"""What does a service say of itself? Traffic that is split by what its targets run, and errors by version.

    traffic:
      requests: 10000              # a minute, in each environment, spread evenly over its targets
      bad: 0.01                    # this part of them goes wrong
      versions: {1.1.0: 0.02}      # where another version runs

Requests come as a Poisson process; each goes to one of the targets and is bad or not, by the version that runs there.
So the good and the bad ones of each side are four Poisson counts, drawn anew for each look from the seed, the version,
the target, the metric and the look's number: a story goes the same way each time.

What a metric sees is the same whatever its provider: `result` is an HTTP answer.

    result.json.canary      {bad, total, errorRate} of the targets of the environment that run what is verified
    result.json.baseline    the same of all others
    result.json             the same once more, of the side that is asked about (the canary, where none is)
    result.ok, result.statusCode, result.value (the error rate)

A side without requests has no `errorRate`. Sides are called canary and baseline; labels and templates of a metric are
not filled here.

Source: definitions.md E3 (what is compared); W. Hörmann, The transformed rejection method for generating Poisson random
variables, 1993 (PTRS).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

from interlock.judge.comparison import SIDES, measure_look, read_side
from interlock.judge.conditions import judge_result
from interlock.judge.values import NoNumber
from interlock.model.verification import Measurement, MeasurementStatus, MetricSpec
from interlock.simulate.world import World

REQUESTS_PER_MIN = 10_000.0
BAD = 0.01
FEW = 10.0
"""Below this mean a Poisson count is drawn by multiplying, above it by rejection."""


@dataclass(frozen=True, slots=True)
class About:
    """What is measured: a version in an environment, on the target of this name or (`wave 1`, `rollout`) as a whole."""

    tag: str
    environment_id: str
    name: str


@dataclass(slots=True)
class Traffic:
    """The traffic of every environment and what goes wrong of it. It changes while a story goes on.

    Takes: `bad` and `bad_by_tag` are parts of the requests, from 0 to 1. `silent`: nobody answers who asks.
    """

    requests_per_min: float = REQUESTS_PER_MIN
    bad: float = BAD
    bad_by_tag: dict[str, float] = field(default_factory=dict)
    seed: int = 0
    silent: bool = False

    def rates(self, world: World, environment: str | None = None) -> tuple[float, float]:
        """Bad and all requests a second, of one environment or of all."""
        bad = total = 0.0
        for environment_id in [world.environment(environment).id] if environment else world.facts.environments:
            for _, part, each in self._parts(world, environment_id):
                bad, total = bad + each * part, total + each
        return bad, total

    def look(self, world: World, about: About, spec: MetricSpec, number: int) -> Measurement:
        """The measurement that one look at a metric gives now.

        Takes: `number` of the look, from 0.
        """
        if self.silent:
            return Measurement(MeasurementStatus.ERRORED, world.now, "nobody answers")
        counts = self._counts(world, about, spec, number)
        results = {side: _answer(counts, side) for side in SIDES}
        if spec.compare is None:
            status, message = judge_result(spec, results["canary"])
            return Measurement(status, world.now, message, results["canary"])
        try:
            sample = {side: read_side(spec.compare, results[side], side=side) for side in SIDES}
        except NoNumber as nothing:
            return Measurement(MeasurementStatus.ERRORED, world.now, str(nothing), counts)
        return measure_look(spec.compare, sample, world.now, seen={})

    def _parts(self, world: World, environment_id: str) -> Iterator[tuple[str, float, float]]:
        """(version's tag, part that goes wrong, requests a second) of each target of an environment."""
        tags = {version.id: version.tag for version in world.facts.versions}
        here = [one for one in world.facts.targets.values() if one.environment_id == environment_id]
        for target in here:
            tag = tags.get(target.current.version_id, "") if target.current else ""
            yield tag, self.bad_by_tag.get(tag, self.bad), self.requests_per_min / 60 / len(here)

    def _counts(self, world: World, about: About, spec: MetricSpec, number: int) -> dict[str, dict[str, float]]:
        """side -> {bad, total, errorRate}, over one interval of the metric."""
        good, bad = dict.fromkeys(SIDES, 0.0), dict.fromkeys(SIDES, 0.0)
        for tag, part, per_s in self._parts(world, about.environment_id):
            side = "canary" if tag == about.tag else "baseline"
            good[side] += per_s * spec.interval_seconds * (1 - part)
            bad[side] += per_s * spec.interval_seconds * part
        dice = self._dice(about, spec, number)
        found: dict[str, dict[str, float]] = {}
        for side in SIDES:
            went_wrong, went_well = poisson(dice, bad[side]), poisson(dice, good[side])
            total = went_wrong + went_well
            found[side] = {"bad": went_wrong, "total": total, **({"errorRate": went_wrong / total} if total else {})}
        return found

    def _dice(self, about: About, spec: MetricSpec, number: int) -> Random:
        parts = (self.seed, about.tag, about.name, spec.name, number)
        digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
        return Random(int.from_bytes(digest[:8], "big"))


def _answer(counts: Mapping[str, Mapping[str, float]], side: str) -> dict[str, object]:
    own = counts[side]
    json = {**own, **counts}
    rate = {"value": own["errorRate"]} if "errorRate" in own else {}
    return {"ok": True, "statusCode": 200, "json": json, **rate}


def poisson(dice: Random, mean: float) -> int:
    """A Poisson count."""
    if mean <= 0:
        return 0
    if mean < FEW:
        limit, count, product = math.exp(-mean), 0, dice.random()
        while product > limit:
            count, product = count + 1, product * dice.random()
        return count
    root, log_mean = math.sqrt(mean), math.log(mean)
    b = 0.931 + 2.53 * root
    a = -0.059 + 0.02483 * b
    steep, sure = 1.1239 + 1.1328 / (b - 3.4), 0.9277 - 3.6224 / (b - 2)
    while True:
        u, v = dice.random() - 0.5, dice.random()
        edge = 0.5 - abs(u)
        count = math.floor((2 * a / edge + b) * u + mean + 0.43)
        if edge >= 0.07 and v <= sure:
            return count
        if count < 0 or (edge < 0.013 and v > edge):
            continue
        if math.log(v * steep / (a / (edge * edge) + b)) <= count * log_mean - mean - math.lgamma(count + 1):
            return count

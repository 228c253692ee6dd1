"""# gradualRollout: not everywhere at once

A version's rollout into an environment goes target by target or wave by wave, in a stable order, at a set pace.

```yaml
rules:
  - gradualRollout:
      rolloutType: linear          # or linear-normalized
      timeScaleInterval: 300       # seconds between two targets; for linear-normalized: for all of them
      maxInFlight: 1               # ours: so many at once
      maxFailures: 0               # ours: halt when more than so many failed (default 0)
      whileVerifying: wait         # ours: wait (default) or overlap
```

Ours, in waves:

```yaml
  - gradualRollout:
      rolloutType: waves
      waves: [1, "10%", "50%", "100%"]   # how many targets have started once each wave has, rounded up
      bakeSeconds: [3600, 43200, 7200]   # after each wave; the last holds for all later ones, one number for all
      minimumSamples: 100                # samples of a wave's verifications before the next
      failureDomains: [topology.region, topology.zone]   # metadata keys of the resource, the widest first
      domainWeight: traffic.share        # a number on the resource: the lightest domain first (default: the smallest)
```

```yaml
  - gradualRollout:
      rolloutType: exponential     # 1, 2, 4, 8, … of them, never more than a third at once
      initial: 1                   # the first wave
      factor: 2                    # each next wave is so many times as large
      cap: 0.33                    # and none larger than this part of all targets (at least 1)
```

The rollout opens in the first round in which one of its targets passes all gates, and that instant never changes. Sizes
are parts of the targets that were attached then; later ones come behind, and one that leaves keeps its number.

A rollout of a changed config goes the same way, over the targets that the change concerns: the others have no place in
it. A further change joins it while it is under way.

**linear**: the order is that of the reference (FNV-1a over target key and version id). Target i is due at `opened_at +
offset(i)` and starts no earlier than the one before it started plus the difference of their offsets, so overdue targets
keep their spacing after a pause, a closed window or an outage.

**waves**: a wave's targets start together, at most `maxInFlight` of them at once. The next wave starts when every
target of the one before has ended (proven, or failed within `maxFailures`), has baked since the last of them ended, and
was measured often enough: a sample is a measurement that passed or failed, and of a metric that compares every look
that could be taken. Those of its targets count, and none come when they have passed: where metrics pass early, ask for
fewer. Where a [verification](verification.md) rule has metrics with `runs: betweenWaves`, the wave
as a whole is measured meanwhile, and must have passed. A wave waits for a target that a gate holds, and not for one
that goes elsewhere (it is pinned, quarantined, or has the version). The order is by sha256(version id, target id)
within the domains.

**Failure domains**: the first wave is one target, of the lightest domain. The first two waves stay within one region
each; no wave touches a second zone of a region until its first zone is over; further keys bind in the same way within
their parent. A wave that this cuts short stays short. A target whose resource lacks a key has no place, and waits until
somebody adds it.

**Verified between**: where a verification rule applies the next target or wave starts only after the one before it
passed; `overlap` waits for the jobs only. **Halt**: when more than `maxFailures` targets failed (no retry left, or a
failed verification) nothing more starts until a person resumes, promotes or aborts it, or a newer version's rollout
opens; for a config, until the targets on which it failed go for another one.

**People** may pause (for a while, if they say so), resume and abort a rollout; speed it up (a shorter interval, a
shorter bake, more at once: never slower than the rule); or promote it, after which everything that is left may start at
once. Gates and `concurrency` are still asked. Each takes a reason and is in the ledger.

**Holds** with the instant at which a target is due, or with what it waits for. A target that waits for its place does
not take an older version meanwhile; one that runs nothing yet takes the newest version that is good elsewhere in its
environment. **Wakes**: the next target's instant, the end of a bake, the end of a move, a verification.

Source: core.md section 4; definitions.md E4; reference-behaviour.md 4.3 and appendix E (numeric vectors).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

from interlock.decide.facts import AS_WRITTEN, Speed
from interlock.decide.lift import Lift, land_move, promote_rollout, resume_rollout
from interlock.decide.subjects import TargetMove
from interlock.decide.verdict import Verdict
from interlock.decide.waves import Domains, Growth, Reach, growing_sizes, listed_sizes
from interlock.model.policy import Policy
from interlock.model.wire import INT32_MAX, Fields

kind = "gradualRollout"
shape = "pace"
needs = frozenset({"targets", "leaving", "rollouts", "moves", "labels_by_target", "samples_by_move"})

REASONS = {
    "rollout_due_later": "Its place in the rollout is {position} of {targets}; it is due at {due_at}.",
    "rollout_after_previous": "It is due, and starts after the targets before it, which wait for theirs.",
    "rollout_in_flight": "{in_flight} of at most {max_in_flight} targets are in flight.",
    "rollout_verifying": "The target before it is not proven yet.",
    "rollout_unclear": "Nothing could tell whether a target before it works: it waits until that is measured again, "
    "accepted or failed.",
    "rollout_wave_later": "It goes in wave {wave}; the waves before it go first.",
    "rollout_baking": "It goes in wave {wave}; what went before bakes until {due_at}.",
    "rollout_samples": "It goes in wave {wave}; the wave before it has {samples} of at least {minimum} samples.",
    "rollout_measured": "It goes in wave {wave}; wave {before} bakes until its metrics have passed: {metrics}.",
    "rollout_disproved": "The rollout halted: {measured} failed its verification: {message}.",
    "rollout_proof_unclear": "The verification of {measured} could not tell: {message}.",
    "rollout_domain_unknown": "Its resource has no {key}, which failureDomains names; without it it has no place.",
    "rollout_taken_back": "The rollout halted: what it brought is taken back in this environment.",
    "rollout_halted": "The rollout halted: {failures} of its targets failed, at most {max_failures} may.",
    "rollout_paused": "The rollout is paused.",
    "rollout_aborted": "The rollout was aborted.",
}

WAVE_HOLDS = frozenset(
    {"rollout_wave_later", "rollout_baking", "rollout_samples", "rollout_measured", "rollout_domain_unknown"}
)
"""What only waves say, and what a person can end by promoting the rollout."""

RESUMED = frozenset(
    {"rollout_paused", "rollout_halted", "rollout_taken_back", "rollout_disproved", "rollout_proof_unclear"}
)
"""What a person can end by letting the rollout go on."""

_FNV_OFFSET = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3
_MASK = 0xFFFFFFFFFFFFFFFF
_WIDTH = 16
_ONE = (1).to_bytes(_WIDTH, "little")


LINEAR = ("linear", "linear-normalized")
WAVES = ("waves", "exponential")
TYPES = (*LINEAR, *WAVES)

WAVES_MAX = 100
KEY_MAX = 200
DOMAIN_KEYS_MAX = 5
BAKE_S_MAX = 90 * 86_400
SAMPLES_MAX = 1_000_000
_OF_LINEAR = f"is for rolloutType {' and '.join(LINEAR)}"
_OF_WAVES = f"is for rolloutType {' and '.join(WAVES)}"
_REACH = 'must be a count of targets (1 and more) or a percentage such as "10%", each larger than the one before'
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,2})?)%")
_DEFAULT_GROWTH = Growth(initial=1, factor=Fraction(2), cap=Fraction(33, 100))


@dataclass(frozen=True, slots=True)
class Params:
    """How a rollout is paced. `max_in_flight` is None for no limit.

    Takes: `interval_s` and `normalized` are those of the linear types; there `normalized`: it spans all targets.
           `waves` or `growth` make the waves of the other types; of `bake_s` the last holds for all later waves.
    """

    normalized: bool = False
    interval_s: int = 0
    max_in_flight: int | None = None
    max_failures: int = 0
    overlap: bool = False
    waves: tuple[Reach, ...] = ()
    growth: Growth | None = None
    domains: Domains | None = None
    bake_s: tuple[int, ...] = ()
    samples_min: int = 0

    @property
    def in_waves(self) -> bool:
        """Whether targets go wave by wave, and not one by one at fixed times."""
        return bool(self.waves) or self.growth is not None

    def bake_after(self, wave: int) -> timedelta:
        """How long a wave (from 0) bakes before the next one starts."""
        return timedelta(seconds=self.bake_s[min(wave, len(self.bake_s) - 1)] if self.bake_s else 0)

    def sizes(self, targets: int) -> Iterator[int]:
        """How many targets each wave may have, without end."""
        return growing_sizes(self.growth, targets) if self.growth else listed_sizes(self.waves, targets)


def parse(fields: Fields) -> Params:
    """Read the rule's object. Faults are left in `fields`."""
    kind_of = fields.choice("rolloutType", allowed=TYPES)
    max_in_flight = fields.optional_integer("maxInFlight", minimum=1)
    max_failures = fields.integer("maxFailures")
    overlap = fields.choice("whileVerifying", allowed=("wait", "overlap"), default="wait") == "overlap"
    if kind_of in LINEAR:
        for name in ("failureDomains", "domainWeight", "bakeSeconds", "minimumSamples"):
            fields.unwanted(name, _OF_WAVES)
    else:
        fields.unwanted("timeScaleInterval", _OF_LINEAR)
    if kind_of != "waves":
        fields.unwanted("waves", "is for rolloutType waves")
    if kind_of != "exponential":
        for name in ("initial", "factor", "cap"):
            fields.unwanted(name, "is for rolloutType exponential")
    if kind_of in LINEAR:
        interval_s = fields.integer("timeScaleInterval", required=True)
        normalized = kind_of == "linear-normalized"
        return Params(normalized, interval_s, max_in_flight, max_failures, overlap)
    params = Params(
        max_in_flight=max_in_flight,
        max_failures=max_failures,
        overlap=overlap,
        waves=_waves(fields) if kind_of == "waves" else (),
        growth=_growth(fields) if kind_of == "exponential" else None,
        domains=_domains(fields),
        bake_s=_bake_s(fields),
        samples_min=fields.integer("minimumSamples", maximum=SAMPLES_MAX),
    )
    _refuse_combinations(fields, params)
    return params


def _refuse_combinations(fields: Fields, params: Params) -> None:
    """What each field alone allows, and all together do not."""
    if params.overlap:
        for name, asked in (("bakeSeconds", any(params.bake_s)), ("minimumSamples", params.samples_min)):
            if asked:
                fields.wrong(name, "needs whileVerifying: wait; with overlap a wave is over before it is verified")
    if params.waves and not params.domains and len(params.bake_s) > len(params.waves):
        fields.wrong("bakeSeconds", f"must hold at most {len(params.waves)} durations, one a wave")
    if params.domains is not None:
        first = params.waves[0].count if params.waves else params.growth.initial if params.growth else 1
        if first != 1:
            name = "waves" if params.waves else "initial"
            fields.wrong(name, "must begin with 1: with failureDomains the first wave is one target")


def _waves(fields: Fields) -> tuple[Reach, ...]:
    written = fields.is_list("waves")
    given = fields.items("waves", required=True, maximum=WAVES_MAX)
    reaches = tuple(_reach(one) for one in given)
    counts = [one.count for one in reaches if one is not None and one.part is None]
    parts = [one.part for one in reaches if one is not None and one.part is not None]
    found = tuple(one for one in reaches if one is not None)
    if len(found) < len(reaches) or not _rises(counts) or not _rises(parts):
        fields.wrong("waves", _REACH)
    elif written and (not found or found[-1].part != 1):
        fields.wrong("waves", 'must end with "100%", so that no target is left out')
    return found or (Reach(part=Fraction(1)),)


def _reach(value: object) -> Reach | None:
    """One entry of `waves`; None for what is none."""
    if isinstance(value, str):
        percent = _PERCENT.fullmatch(value.strip())
        part = Fraction(percent[1]) / 100 if percent else Fraction(0)
        return Reach(part=part) if 0 < part <= 1 else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= INT32_MAX:
        return None
    return Reach(count=value)


def _rises(values: Sequence[int | Fraction]) -> bool:
    return all(one < other for one, other in pairwise(values))


def _growth(fields: Fields) -> Growth:
    """Hundredths, so that a cap of 0.33 is that and nothing near it."""
    standard = _DEFAULT_GROWTH
    initial = fields.integer("initial", default=standard.initial, minimum=1)
    factor = fields.number("factor", default=float(standard.factor), minimum=1, maximum=10)
    cap = fields.number("cap", default=float(standard.cap), minimum=0.01, maximum=1)
    return Growth(initial, Fraction(round((factor or 1) * 100), 100), Fraction(round((cap or 1) * 100), 100))


def _domains(fields: Fields) -> Domains | None:
    keys = fields.items("failureDomains", maximum=DOMAIN_KEYS_MAX)
    weight = fields.text("domainWeight", maximum=KEY_MAX)
    if not all(isinstance(key, str) and 0 < len(key) <= KEY_MAX for key in keys) or len(set(map(str, keys))) < len(
        keys
    ):
        fields.wrong("failureDomains", "must be a list of different metadata keys, the widest domain first")
        return None
    if weight and not keys:
        fields.wrong("domainWeight", "needs failureDomains, whose order it says")
    return Domains(tuple(map(str, keys)), weight or None) if keys else None


def _bake_s(fields: Fields) -> tuple[int, ...]:
    """One duration, or one a wave."""
    if not fields.is_list("bakeSeconds"):
        bake_s = fields.optional_integer("bakeSeconds", maximum=BAKE_S_MAX)
        return () if bake_s is None else (bake_s,)
    given = fields.items("bakeSeconds", maximum=WAVES_MAX)
    durations = tuple(one for one in given if isinstance(one, int) and not isinstance(one, bool))
    if not given or len(durations) < len(given) or not all(0 <= one <= BAKE_S_MAX for one in durations):
        fields.wrong("bakeSeconds", f"must be seconds from 0 to {BAKE_S_MAX}, or a list of them, one a wave")
    return durations


def _paces(policies: Iterable[Policy]) -> Iterator[Params]:
    return (rule.params for policy in policies for rule in policy.rules if isinstance(rule.params, Params))


def keys_read(policies: Iterable[Policy]) -> frozenset[str]:
    """The metadata keys of resources that a round must know."""
    return frozenset(key for params in _paces(policies) if params.domains for key in params.domains.read)


def samples_read(policies: Iterable[Policy]) -> bool:
    """Whether a round must know how often its moves were measured."""
    return any(params.samples_min for params in _paces(policies))


def sped(params: Params, speed: Speed) -> Params:
    """The params of a rollout that a person sped up: never slower than the rule."""
    if speed == AS_WRITTEN:
        return params
    interval_s = params.interval_s if speed.interval_s is None else min(params.interval_s, speed.interval_s)
    bake_s = params.bake_s if speed.bake_s is None else tuple(min(one, speed.bake_s) for one in params.bake_s)
    at_once = params.max_in_flight
    if at_once is not None and speed.max_in_flight is not None:
        at_once = max(at_once, speed.max_in_flight)
    return replace(params, interval_s=interval_s, bake_s=bake_s, max_in_flight=at_once)


ALL_AT_ONCE = Params(waves=(Reach(part=Fraction(1)),))
"""How a rollout goes that no rule paces: one wave of all its targets."""


def capped(params: Params, percent: int) -> Params:
    """The params of a rollout of which so many percent may go at once (`effects`); of waves `wave_places.narrowed`."""
    if percent >= 100:
        return params
    at_once = params.max_in_flight
    if at_once is not None:
        at_once = max(1, at_once * percent // 100)
    return replace(params, interval_s=-(-params.interval_s * 100 // percent), max_in_flight=at_once)


def offset(params: Params, position: int, *, targets_at_open: int) -> timedelta:
    """How long after the opening target `position` (from 0) is due. Whole seconds, truncated."""
    if params.normalized:
        return timedelta(seconds=position * params.interval_s // max(targets_at_open, 1))
    return timedelta(seconds=position * params.interval_s)


def order_keys(target_keys: Sequence[str], salt: str) -> list[int]:
    """FNV-1a-64 of each target's key followed by a salt, the version's id: the order of the reference.

    Why:    a byte at a time for every target would take half of a round's time. So the states of all targets stand side
            by side in one large number, 128 bits each, of which a step fills at most 105: one multiplication by the
            prime steps all of them.
    Costs:  about 1 µs a target, and 12 µs once for a target's key.
    Source: reference-behaviour.md 4.3 and appendix E; http://www.isthe.com/chongo/tech/comp/fnv/.
    """
    lanes = len(target_keys)
    if not lanes:
        return []
    ones = int.from_bytes(_ONE * lanes, "little")
    mask = ones * _MASK
    states = int.from_bytes(b"".join(map(_key_state, target_keys)), "little")
    for byte in salt.encode():
        states = ((states ^ ones * byte) * _FNV_PRIME) & mask
    body = states.to_bytes(_WIDTH * lanes, "little")
    return [int.from_bytes(body[at : at + 8], "little") for at in range(0, len(body), _WIDTH)]


@lru_cache(maxsize=500_000)
def _key_state(target_key: str) -> bytes:
    """The state after the 110 characters that never change for a target, as wide as a lane."""
    state = _FNV_OFFSET
    for byte in target_key.encode():
        state = ((state ^ byte) * _FNV_PRIME) & _MASK
    return state.to_bytes(_WIDTH, "little")


def lifts(subject: TargetMove, params: Params | None, verdict: Verdict) -> tuple[Lift, ...]:
    """A stopped rollout goes on, one in waves is promoted; where a place must come free, the moves that have it end."""
    del params
    index, environment_id = subject.index, subject.target.environment_id
    where = index.facts.environments[environment_id].name
    tags = {version.id: version.tag for version in index.facts.versions}
    if verdict.reason in RESUMED:
        named = {topic.removeprefix("rollout:") for topic in verdict.waits_on}
        stopped = [one for one in index.facts.rollouts if one.id in named]
        return tuple(
            resume_rollout(one, what=tags.get(one.version_id or "", "the config"), where=where) for one in stopped
        )
    if verdict.reason in WAVE_HOLDS:
        named = {topic.removeprefix("rollout:") for topic in verdict.waits_on}
        waiting = [one for one in index.facts.rollouts if one.id in named]
        return tuple(
            promote_rollout(one, what=tags.get(one.version_id or "", "the config"), where=where) for one in waiting
        )
    if verdict.reason in {"rollout_in_flight", "rollout_verifying", "rollout_unclear"}:
        going = ((index.facts.targets.get(move.target_id), move) for move in index.open_move_by_target.values())
        return tuple(
            land_move(move, target, what=tags.get(move.version_id, move.version_id), where=where)
            for target, move in going
            if target is not None and target.environment_id == environment_id and target.id != subject.target.id
        )
    return ()

"""# gradualRollout: not everywhere at once

A version's rollout into an environment goes target by target, in a stable order, at a set pace.

```yaml
rules:
  - gradualRollout:
      rolloutType: linear          # or linear-normalized
      timeScaleInterval: 300       # seconds between two targets; for linear-normalized: for all of them
      maxInFlight: 1               # ours: so many at once
      maxFailures: 0               # ours: halt when more than so many failed (default 0)
      whileVerifying: wait         # ours: wait (default) or overlap
```

The rollout opens in the first round in which one of its targets passes all gates, and that instant never changes. The
order of the targets attached then is that of the reference (FNV-1a over target key and version id); later ones come
behind. Target i is due at `opened_at + offset(i)` and starts no earlier than the one before it started plus the
difference of their offsets, so overdue targets keep their spacing after a pause, a closed window or an outage.

**Verified between**: where a verification rule applies the next target starts only after the one before it passed.
**Halt**: when more than `maxFailures` targets failed (no retry left, or a failed verification) nothing more starts
until a person resumes or aborts it, or a newer version's rollout opens.

**Holds** with the instant at which a target is due, or with what it waits for. A target that waits for its slot does
not take an older version meanwhile; one that runs nothing yet takes the newest version that is good elsewhere in its
environment. **Wakes**: the next target's instant, the end of a move, a verification.

Source: core.md section 4; definitions.md E4; reference-behaviour.md 4.3 and appendix E (numeric vectors).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from interlock.decide.lift import Lift, land_move, resume_rollout
from interlock.decide.subjects import TargetMove
from interlock.decide.verdict import Verdict
from interlock.model.wire import Fields

kind = "gradualRollout"
shape = "pace"
needs = frozenset({"targets", "rollouts", "moves"})

REASONS = {
    "rollout_due_later": "Its place in the rollout is {position} of {targets}; it is due at {due_at}.",
    "rollout_after_previous": "It is due, and starts after the targets before it, which wait for theirs.",
    "rollout_in_flight": "{in_flight} of at most {max_in_flight} targets are in flight.",
    "rollout_verifying": "The target before it is not proven yet.",
    "rollout_halted": "The rollout halted: {failures} of its targets failed, at most {max_failures} may.",
    "rollout_paused": "The rollout is paused.",
    "rollout_aborted": "The rollout was aborted.",
}

_FNV_OFFSET = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3
_MASK = 0xFFFFFFFFFFFFFFFF
_WIDTH = 16
_ONE = (1).to_bytes(_WIDTH, "little")


@dataclass(frozen=True, slots=True)
class Params:
    """`normalized`: the interval spans all targets. `max_in_flight` is None for no limit."""

    normalized: bool
    interval_s: int
    max_in_flight: int | None
    max_failures: int
    overlap: bool


def parse(fields: Fields) -> Params:
    """Read the rule's object. Faults are left in `fields`."""
    return Params(
        normalized=fields.choice("rolloutType", allowed=("linear", "linear-normalized")) == "linear-normalized",
        interval_s=fields.integer("timeScaleInterval", required=True),
        max_in_flight=fields.optional_integer("maxInFlight", minimum=1),
        max_failures=fields.integer("maxFailures"),
        overlap=fields.choice("whileVerifying", allowed=("wait", "overlap"), default="wait") == "overlap",
    )


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
    """A stopped rollout goes on; where a place must become free, the moves that have one end well."""
    del params
    index, environment_id = subject.index, subject.target.environment_id
    where = index.facts.environments[environment_id].name
    tags = {version.id: version.tag for version in index.facts.versions}
    if verdict.reason in {"rollout_paused", "rollout_halted"}:
        named = {topic.removeprefix("rollout:") for topic in verdict.waits_on}
        stopped = [one for one in index.facts.rollouts if one.id in named]
        return tuple(
            resume_rollout(one, what=tags.get(one.version_id or "", "the config"), where=where) for one in stopped
        )
    if verdict.reason in {"rollout_in_flight", "rollout_verifying"}:
        going = ((index.facts.targets.get(move.target_id), move) for move in index.open_move_by_target.values())
        return tuple(
            land_move(move, target, what=tags.get(move.version_id, move.version_id), where=where)
            for target, move in going
            if target is not None and target.environment_id == environment_id and target.id != subject.target.id
        )
    return ()

"""How does Interlock conduct itself towards a job agent: how long it waits, how often it asks, when it pauses?

These keys may stand in the config of every agent, whatever its type. They are Interlock's: no agent reads them, what a
target runs does not depend on them (they are no part of a config's digest), and a change holds at once, for jobs under
way too. Those of one job may also stand in a deployment's and in a version's config, the later over the earlier; those
that are shared by all jobs of an agent (`AGENT_WIDE`) stand in the agent's own config alone.

Source: core.md section 5; the glossary, conduct.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from interlock.model.errors import FieldError, Invalid

RUN_S_MAX = 604_800.0
_JITTER = 0.1


@dataclass(frozen=True, slots=True)
class ConductKey:
    """One key: what may stand there, and what it is without.

    Takes: `lowest` and `highest` of a number; both None for a yes or no. `default` as a person reads it. `wide`: shared
           by all jobs of the agent.
    """

    lowest: float | None
    highest: float | None
    default: str
    about: str
    wide: bool = False
    whole: bool = False


KEYS: Mapping[str, ConductKey] = {
    "startTimeoutSeconds": ConductKey(0.1, 240, "30", "how long one call of `start` may take; then it went unanswered"),
    "timeoutSeconds": ConductKey(
        0.1,
        RUN_S_MAX,
        "none",
        "how long a run may take from its hand-over; then its end is asked for, and the job is a failure",
    ),
    "cancelTimeoutSeconds": ConductKey(
        1, 86_400, "300", "how long the outside may take to confirm a cancel; then the job ends without it"
    ),
    "pollIntervalSeconds": ConductKey(
        0.1, 3_600, "the agent's", "how long between two looks at a run, a tenth more or less, so that looks spread"
    ),
    "settleSeconds": ConductKey(
        0.1, 3_600, "60", "how long a run may stay unlisted after a start; until then it is looked for, not given up"
    ),
    "repeatUncertain": ConductKey(
        None, None, "false", "start again when a start was not answered and no run is found (findable agents)"
    ),
    "ratePerMinute": ConductKey(0.1, 60_000, "no limit", "how many jobs are handed over in a minute", wide=True),
    "rateBurst": ConductKey(
        1, 10_000, "1", "how many of them may go at once after a quiet time", wide=True, whole=True
    ),
    "breakerFailures": ConductKey(
        1, 1_000, "5", "after so many unanswered calls in a row the agent is down: its jobs wait", wide=True, whole=True
    ),
    "breakerPauseSeconds": ConductKey(
        0.1, 3_600, "60", "the longest wait between two tries of an agent that is down", wide=True
    ),
}
"""Key -> what it may be. The table of the docs is made of it."""

AGENT_WIDE = frozenset(name for name, key in KEYS.items() if key.wide)


@dataclass(frozen=True, slots=True)
class Conduct:
    """The keys of one job, read. Seconds; None: no limit, or the agent's own."""

    start_timeout_s: float = 30.0
    timeout_s: float | None = None
    cancel_timeout_s: float | None = None
    poll_interval_s: float | None = None
    settle_s: float = 60.0
    repeat_uncertain: bool = False
    rate_per_minute: float | None = None
    rate_burst: int = 1
    breaker_failures: int = 5
    breaker_pause_s: float = 60.0

    def poll_s(self, agents_own_s: float | None, *, job_id: str) -> float | None:
        """How long until the next look at a job's run; None: nobody looks.

        Why: each job has its own tenth more or less, the same on every machine: runs that began together are not looked
             at together for long.
        """
        every_s = agents_own_s if agents_own_s is None or self.poll_interval_s is None else self.poll_interval_s
        if every_s is None:
            return None
        return every_s * (1 - _JITTER + 2 * _JITTER * share_of(job_id))

    @property
    def rate_interval_s(self) -> float | None:
        """How far apart hand-overs are where there is a rate."""
        return None if self.rate_per_minute is None else 60.0 / self.rate_per_minute


def share_of(job_id: str) -> float:
    """A job's own number from 0 to 1: what would come at once for many jobs is spread by it."""
    return int.from_bytes(hashlib.sha256(job_id.encode()).digest()[:4], "big") / 0xFFFFFFFF


def read_conduct(config: Mapping[str, Any]) -> Conduct:
    """The conduct that a merged config asks for. A value that is wrong (written before it was refused) is as none."""

    def number(name: str) -> float | None:
        value = config.get(name)
        return float(value) if value is not None and _wrong(name, value) is None else None

    return Conduct(
        start_timeout_s=number("startTimeoutSeconds") or 30.0,
        timeout_s=number("timeoutSeconds"),
        cancel_timeout_s=number("cancelTimeoutSeconds"),
        poll_interval_s=number("pollIntervalSeconds"),
        settle_s=number("settleSeconds") or 60.0,
        repeat_uncertain=config.get("repeatUncertain") is True,
        rate_per_minute=number("ratePerMinute"),
        rate_burst=int(number("rateBurst") or 1),
        breaker_failures=int(number("breakerFailures") or 5),
        breaker_pause_s=number("breakerPauseSeconds") or 60.0,
    )


def check_conduct(config: Mapping[str, Any], *, path: str, of_agent: bool = False) -> None:
    """Refuse wrong values when they are written.

    Takes: `path` is the field that holds the config (`config`, `jobAgentConfig`, `jobAgents[2].config`); `of_agent`:
           it is an agent's own, where the shared keys belong.
    Fails: `Invalid` with each field that is wrong.
    """
    wrong = []
    for name in KEYS:
        if config.get(name) is None:
            continue
        said = _wrong(name, config[name])
        if said is None and name in AGENT_WIDE and not of_agent:
            said = "All jobs of an agent share it: it belongs in the agent's own config."
        if said is not None:
            wrong.append(FieldError(f"{path}.{name}", said))
    if wrong:
        raise Invalid(f"{wrong[0].path}: {wrong[0].message}", fields=wrong)


def without_conduct(config: Mapping[str, Any], *, keep: Collection[str] = ()) -> dict[str, Any]:
    """What is left for the agent to check, and for the digest of what a target runs with.

    Takes: `keep` are keys that the agent reads too, as `exec` does with `timeoutSeconds`.
    """
    return {name: value for name, value in config.items() if name not in KEYS or name in keep}


def _wrong(name: str, value: object) -> str | None:
    key = KEYS[name]
    if key.lowest is None or key.highest is None:
        return None if isinstance(value, bool) else "Must be true or false."
    kinds = int if key.whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not key.lowest <= value <= key.highest:
        return f"Must be a {'whole ' if key.whole else ''}number from {key.lowest:g} to {key.highest:,g}."
    return None

"""# saturation: nothing is rolled out onto what is full already

A rollout takes capacity away while it goes: targets restart, caches are cold. Where processors, queues or pools are
near their end, this rule slows it down or stops it. What is read is said by readings: a number with the bounds from
which it is *high* or *saturated*, and until when it counts (`interlock saturation report`, or REST).

```yaml
rules:
  - saturation: {}                # the reactions of the table below
```

```yaml
rules:
  - saturation:
      signals: [db-pool, cpu]     # names; default: every one that is read of the deployment
      exempt: [fix, security, rollback]    # types of change that always go (this is the default)
      reactions:                  # asked first, in order; what none of them names is the table's
        - {level: [high], then: {approvals: 1}}
      whenUnread: unknown         # there is no reading at all: unknown (default), or pass
```

| level | without a reaction of its own |
|---|---|
| `normal` | passes |
| `high` | half of each wave at once |
| `saturated` | holds: nothing new starts, also of a rollout that is under way; it goes on when that is over |
| `unknown` | holds |

A reading that names an environment counts only there. **Unknown** is what was read too long ago, and a signal that the
rule names and nobody reads: never normal, by time alone if need be. Where several count the strictest of each does.
`then` is `pass`, `hold`, or an object of `approvals` (with `approverGroup`) and `paceCap`, as for errorBudget.

**Passes** what the table lets pass, and every exempt type of change. **Holds** else. **Wakes**: another level, the
instant at which a reading is too old, an approval. **Meets others**: it is asked before anybody is asked for an
approval; a rollback is not asked at all.

Source: issue "Error budgets and signals"; requirement R003-59.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from interlock.decide.effects import (
    EXEMPT,
    HOLD,
    PASS,
    Effect,
    Words,
    joined,
    read_effect,
    read_exempt,
    read_names,
    read_reactions,
    verdict_of,
)
from interlock.decide.facts import Facts
from interlock.decide.lift import Lift, lift
from interlock.decide.rules import any_approval
from interlock.decide.subjects import EnvironmentVersion
from interlock.decide.verdict import Outcome, Stage, Verdict, earliest, passes
from interlock.model.policy import Policy
from interlock.model.saturation import LEVELS, NORMAL, UNKNOWN
from interlock.model.signal import Unknown
from interlock.model.wire import Fields

kind = "saturation"
shape = "gate"
stage = Stage.READINESS
caps = True
needs = frozenset({"saturations", "versions", "approvals_by_version_environment", "targets", "quarantines"})

REASONS = {
    "saturation_allows": "{signal} is {level} ({value}).",
    "saturation_exempt": "A change of type {change} goes, however full it is.",
    "saturation_unread": "Nothing is read of how full it is, and the rule lets that pass.",
    "saturation_capped": "{signal} is {level} ({value}): {percent} % of each wave go at once.",
    "saturation_approved": "{signal} is {level} ({value}). Approved by {by}.",
    "saturation_holds": "{signal} is {level} ({value}): nothing new starts until that is over.",
    "saturation_unknown": "It is not known how full {signal} is: {said}.",
    "approval_missing": any_approval.REASONS["approval_missing"],
    "rejected": any_approval.REASONS["rejected"],
}

LIFTS = {
    "saturation_falls": "{signals} is read as normal.",
    "approved_by_more": any_approval.LIFTS["approved_by_more"],
}

WORDS = Words(
    passes="saturation_allows", holds="saturation_holds", capped="saturation_capped", approved="saturation_approved"
)

REACTIONS_MAX = 20
SIGNALS_MAX = 50

TABLE = {"normal": PASS, "high": Effect(percent=50), "saturated": HOLD, "unknown": HOLD}
"""Level -> what follows where no reaction names it."""


@dataclass(frozen=True, slots=True)
class Params:
    """Of which signals (none named: all that are read), and what follows from their levels."""

    signals: tuple[str, ...] = ()
    exempt: tuple[str, ...] = EXEMPT
    reactions: tuple[tuple[frozenset[str], Effect], ...] = ()
    pass_unread: bool = False

    def effect_of(self, level: str) -> Effect:
        """What follows from a level."""
        return next((effect for levels, effect in self.reactions if not levels or level in levels), TABLE[level])


def parse(fields: Fields) -> Params:
    """Read the rule's object. Faults are left in `fields`."""
    return Params(
        signals=read_names(fields, "signals", maximum=SIGNALS_MAX),
        exempt=read_exempt(fields),
        reactions=read_reactions(fields, read_reaction, maximum=REACTIONS_MAX),
        pass_unread=fields.choice("whenUnread", allowed=("unknown", "pass"), default="unknown") == "pass",
    )


def read_reaction(row: Fields) -> tuple[frozenset[str], Effect]:
    """Read one of the reactions. Faults are left in `row`."""
    return frozenset(row.words("level", allowed=LEVELS)), read_effect(row, "then")


@dataclass(frozen=True, slots=True)
class _Found:
    """One signal, as it counts now."""

    name: str
    level: str
    effect: Effect
    value: float | None = None
    said: str = ""
    since: datetime | None = None
    fresh_until: datetime | None = None


def evaluate(subject: EnvironmentVersion, params: Params, now: datetime) -> Verdict:
    """What the levels make of a version in an environment."""
    change = str(subject.change.get("type", ""))
    if change in params.exempt:
        return passes("saturation_exempt", change=change)
    found = tuple(_found(subject, params, now))
    if not found:
        return passes("saturation_unread")
    worst = max(found, key=lambda one: (one.effect.severity, LEVELS.index(one.level), one.name))
    effect = joined(one.effect for one in found)
    value = "?" if worst.value is None else f"{worst.value:.6g}"
    verdict = verdict_of(
        effect,
        subject,
        now,
        words=WORDS,
        asked_because=f", asked for because {worst.name} is {worst.level} ({value})",
        since=worst.since,
        changes_at=earliest(one.fresh_until for one in found),
        waits_on=tuple(f"saturation:{one.name}" for one in found),
        who="an operator may skip the rule for this version",
        signal=worst.name,
        level=worst.level,
        value=value,
        said=worst.said or None,
    )
    if effect.hold and worst.level == UNKNOWN:
        return replace(verdict, outcome=Outcome.UNKNOWN, waits_for=None, reason="saturation_unknown")
    return verdict


def _found(subject: EnvironmentVersion, params: Params, now: datetime) -> Iterator[_Found]:
    """Each signal that counts, with what follows from it."""
    counting = [one for one in subject.saturations if not params.signals or one.name in params.signals]
    for one in counting:
        signal = one.signal(now)
        if isinstance(signal, Unknown):
            said = f"its last reading ({one.value:.6g}) is too old"
            yield _Found(one.name, UNKNOWN, params.effect_of(UNKNOWN), said=said, since=signal.since)
        else:
            effect = params.effect_of(one.level)
            yield _Found(one.name, one.level, effect, one.value, since=one.since, fresh_until=one.fresh_until)
    if params.pass_unread:
        return
    if not params.signals and not counting:
        yield _Found("this deployment", UNKNOWN, params.effect_of(UNKNOWN), said="nothing is read of it")
    for name in sorted(set(params.signals) - {one.name for one in counting}):
        yield _Found(name, UNKNOWN, params.effect_of(UNKNOWN), said="nobody reads it")


def saturation_read(policies: Iterable[Policy]) -> bool:
    """Whether a round must know how full its deployment is."""
    return any(rule.kind == kind for policy in policies for rule in policy.rules)


def lifts(subject: EnvironmentVersion, params: Params, verdict: Verdict) -> tuple[Lift, ...]:
    """The approvals that are missing, or readings that are normal again."""
    given: tuple[Lift, ...] = ()
    if verdict.reason in {"approval_missing", "rejected"}:
        minimum, group = verdict.values.get("minimum", 0), verdict.values.get("group", "")
        asked = any_approval.Params(int(str(minimum)), allow_self=True, group=str(group))
        given = any_approval.lifts(subject, asked, verdict)
    names = sorted({one.name for one in subject.saturations if not params.signals or one.name in params.signals})
    if not names or verdict.reason == "rejected":
        return given
    return (*given, lift("saturation_falls", _normal(frozenset(names)), signals=names))


def _normal(names: frozenset[str]) -> Callable[[Facts, datetime], Facts]:
    def change(facts: Facts, now: datetime) -> Facts:
        fresh_until = now + timedelta(minutes=5)
        return replace(
            facts,
            saturations=tuple(
                replace(one, level=NORMAL, since=now, observed_at=now, fresh_until=fresh_until)
                if one.name in names
                else one
                for one in facts.saturations
            ),
        )

    return change

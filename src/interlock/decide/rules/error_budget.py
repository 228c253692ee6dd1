"""# errorBudget: how much may go wrong still?

What a version may do in an environment follows from where the deployment's error budget stands: the class of each
objective (SLO) that covers it, the version's risk, and the type of its change.

```yaml
rules:
  - errorBudget: {}              # the reactions of the table below
```

```yaml
rules:
  - errorBudget:
      objectives: [checkout-availability]   # names; default: every objective that covers the deployment
      exempt: [fix, security, rollback]     # types of change that always go (this is the default)
      reactions:                            # asked first, in order; what none of them names is the table's
        - class: [slow_burn, low]
          risk: [low]
          then: {paceCap: 0.5}              # half of each wave at once
        - class: [healthy]
          risk: [critical]
          changeType: [migration, infra]
          then: {approvals: 2, approverGroup: sre-leads}
        - class: [unknown]
          tier: ["1"]
          then: hold
      whenUncovered: unknown                # no objective covers it: unknown (default), or pass
```

| class | without a reaction of its own |
|---|---|
| `healthy` | passes |
| `low` | one approval where the risk is high, critical or not said; else passes |
| `slow_burn` | one approval, and half of each wave at once |
| `fast_burn` | holds: nothing new starts, also of a rollout that is under way; it goes on when that is over |
| `exhausted` | holds |
| `unknown` | tier 1 holds; else one approval |

The risk is the version's `metadata["interlock/risk"]`, the type of change its `metadata["interlock/change-type"]`, the
tier the deployment's `metadata["interlock/tier"]`; `unsaid` in a reaction names what was not said. `then` is `pass`,
`hold`, or an object of `approvals` (with `approverGroup`, if need be) and `paceCap`. Where several objectives cover the
deployment the strictest of each counts.

**Passes** what the table lets pass, and every exempt type of change: a fix goes out while the budget burns. **Holds**
else; where approvals are asked for, until they are given: the yeses are those of anyApproval. With a pace cap of 0.5
half of each wave of the rollout goes at once, the rest when that half has ended and baked (of `maxInFlight` half; the
interval of a linear rollout is twice as long); a rollout without gradualRollout goes in two halves.

**Unknown** is what was read of an objective too long ago, what had too few events, and what could not be read: never
healthy, by time alone if need be. A class is left only when it was clear for the short window of what set it, so a
rollout does not start and stop with every reading.

**Wakes**: a change of class, the instant at which the last reading is too old, an approval. **Meets others**: it is
asked before anybody is asked for an approval, and a rollback is not asked at all. What runs stays: it judges moves that
did not start yet.

Source: definitions.md E1 (classes, default reaction, hysteresis); core.md section 4 (obligations).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
from interlock.decide.facts import ErrorBudget, Facts
from interlock.decide.lift import Lift, lift
from interlock.decide.rules import any_approval
from interlock.decide.subjects import EnvironmentVersion
from interlock.decide.verdict import Outcome, Stage, Verdict, WaitsFor, earliest, passes
from interlock.judge.budget import BudgetClass
from interlock.model.deployment_facts import TIERS
from interlock.model.policy import Policy
from interlock.model.signal import Unknown
from interlock.model.version_facts import CHANGE_TYPES, RISKS
from interlock.model.wire import Fields

kind = "errorBudget"
shape = "gate"
stage = Stage.READINESS
caps = True
needs = frozenset({"budgets", "tier", "versions", "approvals_by_version_environment", "targets", "quarantines"})

REASONS = {
    "budget_allows": "The error budget of {objective} is {stands}.",
    "budget_exempt": "A change of type {change} goes, whatever the error budget.",
    "budget_uncovered": "No objective covers the deployment, and the rule lets that pass.",
    "budget_capped": "The error budget of {objective} is {stands}: {percent} % of each wave go at once.",
    "budget_approved": "The error budget of {objective} is {stands}. Approved by {by}.",
    "budget_holds": "The error budget of {objective} is {stands}: {said}.",
    "budget_unknown": "Nothing is known of the error budget of {objective}: {said}.",
    "approval_missing": any_approval.REASONS["approval_missing"],
    "rejected": any_approval.REASONS["rejected"],
}

LIFTS = {
    "budget_recovers": "The error budget of {objective} is healthy again.",
    "approved_by_more": any_approval.LIFTS["approved_by_more"],
}

WORDS = Words(passes="budget_allows", holds="budget_holds", capped="budget_capped", approved="budget_approved")

CLASSES = tuple(str(one) for one in BudgetClass)
UNSAID = "unsaid"
REACTIONS_MAX = 50
OBJECTIVES_MAX = 50
RISKY = frozenset({"high", "critical", UNSAID})

ONE_APPROVAL = Effect(approvals=1)

SAID = {
    BudgetClass.EXHAUSTED: "nothing goes but {exempt} until some of it is earned back",
    BudgetClass.FAST_BURN: "nothing new starts until that is over",
}
"""What a hold says of its class."""


@dataclass(frozen=True, slots=True)
class Reaction:
    """What follows where all of these hold; an empty set is any."""

    classes: frozenset[str]
    risks: frozenset[str]
    changes: frozenset[str]
    tiers: frozenset[str]
    effect: Effect

    def meets(self, budget: str, risk: str, change: str, tier: str) -> bool:
        """Whether it is about this."""
        pairs = ((self.classes, budget), (self.risks, risk), (self.changes, change), (self.tiers, tier))
        return all(not some or one in some for some, one in pairs)


@dataclass(frozen=True, slots=True)
class Params:
    """Of which objectives (none named: all that cover the deployment), and what follows from where they stand."""

    objectives: tuple[str, ...] = ()
    exempt: tuple[str, ...] = EXEMPT
    reactions: tuple[Reaction, ...] = ()
    pass_uncovered: bool = False


def parse(fields: Fields) -> Params:
    """Read the rule's object. Faults are left in `fields`."""
    return Params(
        objectives=read_names(fields, "objectives", maximum=OBJECTIVES_MAX),
        exempt=read_exempt(fields),
        reactions=read_reactions(fields, read_reaction, maximum=REACTIONS_MAX),
        pass_uncovered=fields.choice("whenUncovered", allowed=("unknown", "pass"), default="unknown") == "pass",
    )


def read_reaction(row: Fields) -> Reaction:
    """Read one of the reactions. Faults are left in `row`."""
    return Reaction(
        classes=frozenset(row.words("class", allowed=CLASSES)),
        risks=frozenset(row.words("risk", allowed=(*RISKS, UNSAID))),
        changes=frozenset(row.words("changeType", allowed=(*CHANGE_TYPES, UNSAID))),
        tiers=frozenset(row.words("tier", allowed=(*TIERS, UNSAID))),
        effect=read_effect(row, "then"),
    )


def default_effect(budget: str, *, risk: str, tier: str) -> Effect:
    """The table of the page: what follows from a class where no reaction names it."""
    match budget:
        case BudgetClass.HEALTHY:
            return PASS
        case BudgetClass.LOW:
            return ONE_APPROVAL if risk in RISKY else PASS
        case BudgetClass.SLOW_BURN:
            return Effect(approvals=1, percent=50)
        case BudgetClass.UNKNOWN:
            return HOLD if tier == "1" else ONE_APPROVAL
        case _:
            return HOLD


@dataclass(frozen=True, slots=True)
class _Found:
    """One objective, as it counts now."""

    name: str
    budget: str
    why: str
    effect: Effect
    left: float | None = None
    since: datetime | None = None
    fresh_until: datetime | None = None
    id: str = ""


def _left(part: float) -> str:
    return f"{part:.0%} left" if part >= 0 else f"{1.0 - part:.0%} used"


def evaluate(subject: EnvironmentVersion, params: Params, now: datetime) -> Verdict:
    """What the budgets, the risk and the type of change make of a version in an environment."""
    change, risk = str(subject.change.get("type", UNSAID)), str(subject.change.get("risk", UNSAID))
    if change in params.exempt:
        return passes("budget_exempt", change=change)
    found = tuple(_found(subject, params, now, risk=risk, change=change))
    if not found:
        return passes("budget_uncovered")
    worst = max(found, key=lambda one: (one.effect.severity, CLASSES.index(one.budget), one.name))
    effect = joined(one.effect for one in found)
    words = worst.budget.replace("_", " ")
    stands = words if worst.left is None else f"{words} ({_left(worst.left)})"
    unknown = worst.budget == BudgetClass.UNKNOWN
    exempt = ", ".join(params.exempt) or "nothing"
    said = worst.why if unknown else SAID.get(BudgetClass(worst.budget), "its rule holds that").format(exempt=exempt)
    because = f", asked for because the error budget of {worst.name} is {stands}"
    verdict = verdict_of(
        effect,
        subject,
        now,
        words=WORDS,
        asked_because=f"{because} ({worst.why.rstrip('.')})" if unknown and worst.why else because,
        waits_for=WaitsFor.DENY if worst.budget == BudgetClass.EXHAUSTED else WaitsFor.WAIT,
        since=worst.since,
        changes_at=earliest(one.fresh_until for one in found),
        waits_on=tuple(f"slo:{one.id or one.name}" for one in found),
        who=_who(params),
        objective=worst.name,
        budget=words,
        stands=stands,
        left=None if worst.left is None else f"{worst.left:.0%}",
        said=said.strip().rstrip(".") or "nothing was read of it",
        change=None if change == UNSAID else change,
        risk=None if risk == UNSAID else risk,
    )
    if effect.hold and unknown:
        return replace(verdict, outcome=Outcome.UNKNOWN, waits_for=None, reason="budget_unknown")
    return verdict


def _who(params: Params) -> str:
    exempt = f"a version whose change is of type {' or '.join(params.exempt)} may go; " if params.exempt else ""
    return f"{exempt}an operator may skip the rule for this version"


def _found(subject: EnvironmentVersion, params: Params, now: datetime, *, risk: str, change: str) -> Iterator[_Found]:
    """Each objective that counts, with what follows from it."""
    tier = subject.tier or UNSAID

    def effect(budget: str) -> Effect:
        for one in params.reactions:
            if one.meets(budget, risk, change, tier):
                return one.effect
        return default_effect(budget, risk=risk, tier=tier)

    covering = [one for one in subject.budgets if not params.objectives or one.name in params.objectives]
    for one in covering:
        signal = one.signal(now)
        if isinstance(signal, Unknown):
            budget = str(BudgetClass.UNKNOWN)
            yield _Found(one.name, budget, signal.why, effect(budget), since=signal.since, id=one.slo_id)
        else:
            budget = one.budget
            yield _Found(
                one.name, budget, one.why, effect(budget), one.remaining, one.since, signal.fresh_until, one.slo_id
            )
    missing = sorted(set(params.objectives) - {one.name for one in covering})
    if not params.pass_uncovered:
        unknown = str(BudgetClass.UNKNOWN)
        if not params.objectives and not covering:
            yield _Found("this deployment", unknown, "No objective covers it.", effect(unknown))
        for name in missing:
            yield _Found(name, unknown, "No objective of that name covers the deployment.", effect(unknown))


def budgets_read(policies: Iterable[Policy]) -> bool:
    """Whether a round must know where the error budgets of its deployment stand."""
    return any(rule.kind == kind for policy in policies for rule in policy.rules)


def lifts(subject: EnvironmentVersion, params: Params, verdict: Verdict) -> tuple[Lift, ...]:
    """The approvals that are missing, or a budget that is healthy again."""
    if verdict.reason in {"approval_missing", "rejected"}:
        minimum, group = verdict.values.get("minimum", 0), verdict.values.get("group", "")
        asked = any_approval.Params(int(str(minimum)), allow_self=True, group=str(group))
        given = any_approval.lifts(subject, asked, verdict)
    else:
        given = ()
    named = {one.slo_id for one in subject.budgets if not params.objectives or one.name in params.objectives}

    def recover(facts: Facts, now: datetime) -> Facts:
        return replace(
            facts, budgets=tuple(_healthy(one, now) if one.slo_id in named else one for one in facts.budgets)
        )

    if not named or verdict.reason == "rejected":
        return given
    names = ", ".join(one.name for one in subject.budgets if one.slo_id in named)
    return (*given, lift("budget_recovers", recover, objective=names))


def _healthy(budget: ErrorBudget, now: datetime) -> ErrorBudget:
    return replace(
        budget,
        budget=str(BudgetClass.HEALTHY),
        why="",
        since=now,
        observed_at=now,
        fresh_until=now + timedelta(minutes=5),
        remaining=1.0,
        burn={},
        firing=(),
    )

"""# rollbackHistory: who went back often lately goes on with care

A deployment that had to go back again and again has something that its checks do not see. This rule counts its
rollbacks of the last days and asks for people, a slower pace, or a stop.

```yaml
rules:
  - rollbackHistory: {}          # two rollbacks in 7 days: one approval
```

```yaml
rules:
  - rollbackHistory:
      days: 7                    # 1 to 30
      where: everywhere          # in every environment (default), or `here`: in the one that the version goes to
      exempt: [fix, security, rollback]    # types of change that always go (this is the default)
      reactions:                 # the one with the most rollbacks that were reached counts
        - {atLeast: 2, then: {approvals: 1}}
        - {atLeast: 4, then: hold}
```

One rollback is one version that was taken back in one environment, on however many targets. It counts from the instant
at which it was decided, whether a rule or a person asked for it. `then` is `pass`, `hold`, or an object of `approvals`
(with `approverGroup`) and `paceCap`, as for errorBudget.

**Passes** below the first reaction. **Holds** as the reaction says; an approval is one of anyApproval's. **Wakes**: a
rollback that gets older than the days, an approval. **Meets others**: it is asked before anybody is asked for an
approval; a rollback is not asked at all.

Source: issue "Error budgets and signals"; requirement R003-61.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from interlock.decide.effects import EXEMPT, PASS, Effect, Words, read_effect, read_exempt, read_reactions, verdict_of
from interlock.decide.facts import RolledBack
from interlock.decide.lift import Lift
from interlock.decide.rules import any_approval
from interlock.decide.subjects import EnvironmentVersion
from interlock.decide.verdict import Stage, Verdict, earliest, passes
from interlock.model.policy import Policy
from interlock.model.wire import Fields

kind = "rollbackHistory"
shape = "gate"
stage = Stage.READINESS
caps = True
needs = frozenset({"rollbacks", "versions", "approvals_by_version_environment", "targets", "quarantines"})

REASONS = {
    "rollbacks_few": "{count} rollbacks in {days} days.",
    "rollbacks_exempt": "A change of type {change} goes, however often the deployment went back.",
    "rollbacks_capped": "{count} rollbacks in {days} days: {percent} % of each wave go at once.",
    "rollbacks_approved": "{count} rollbacks in {days} days. Approved by {by}.",
    "rollbacks_hold": "{count} rollbacks in {days} days ({versions}): nothing new starts.",
    "approval_missing": any_approval.REASONS["approval_missing"],
    "rejected": any_approval.REASONS["rejected"],
}

LIFTS = {"approved_by_more": any_approval.LIFTS["approved_by_more"]}

WORDS = Words(passes="rollbacks_few", holds="rollbacks_hold", capped="rollbacks_capped", approved="rollbacks_approved")

DAYS_MAX = 30
"""No rule looks back further; a round loads as much as its rules ask for."""

REACTIONS_MAX = 20
COUNT_MAX = 1_000
NAMED_MAX = 5

DEFAULT = ((2, Effect(approvals=1)),)


@dataclass(frozen=True, slots=True)
class Params:
    """How far it looks back, and what follows from how many: (at least, effect), rising."""

    days: int = 7
    here: bool = False
    exempt: tuple[str, ...] = EXEMPT
    reactions: tuple[tuple[int, Effect], ...] = DEFAULT


def parse(fields: Fields) -> Params:
    """Read the rule's object. Faults are left in `fields`."""
    reactions = read_reactions(fields, read_reaction, maximum=REACTIONS_MAX)
    if len({count for count, _ in reactions}) < len(reactions):
        fields.wrong("reactions", "say atLeast the same twice")
    return Params(
        days=fields.integer("days", default=7, minimum=1, maximum=DAYS_MAX),
        here=fields.choice("where", allowed=("everywhere", "here"), default="everywhere") == "here",
        exempt=read_exempt(fields),
        reactions=tuple(sorted(reactions, key=lambda one: one[0])) or DEFAULT,
    )


def read_reaction(row: Fields) -> tuple[int, Effect]:
    """Read one of the reactions. Faults are left in `row`."""
    return row.integer("atLeast", required=True, minimum=1, maximum=COUNT_MAX), read_effect(row, "then")


def evaluate(subject: EnvironmentVersion, params: Params, now: datetime) -> Verdict:
    """What the rollbacks of the last days make of a version in an environment."""
    change = str(subject.change.get("type", ""))
    if change in params.exempt:
        return passes("rollbacks_exempt", change=change)
    lasts = timedelta(days=params.days)
    latest: dict[tuple[str, str], datetime] = {}
    for one in subject.rollbacks:
        if now < one.at + lasts and (not params.here or one.environment_id == subject.environment.id):
            key = (one.environment_id, one.version_id)
            latest[key] = max(one.at, latest.get(key, one.at))
    count = len(latest)
    effect = next((effect for least, effect in reversed(params.reactions) if count >= least), PASS)
    tags = sorted({subject.tag_of(version_id) for _, version_id in latest})
    return verdict_of(
        effect,
        subject,
        now,
        words=WORDS,
        asked_because=f", asked for because of {count} rollbacks in {params.days} days",
        since=max(latest.values(), default=None),
        changes_at=earliest(at + lasts for at in latest.values()),
        waits_on=("rollbacks",),
        who="an operator may skip the rule for this version",
        count=count,
        days=params.days,
        versions=[*tags[:NAMED_MAX], *(["…"] if len(tags) > NAMED_MAX else [])] or None,
    )


def days_read(policies: Iterable[Policy]) -> int:
    """How many days back a round must know the rollbacks of its deployment; 0: no rule asks."""
    asked = (rule.params for policy in policies for rule in policy.rules)
    return max((params.days for params in asked if isinstance(params, Params)), default=0)


def within(rollbacks: Iterable[RolledBack], days: int, now: datetime) -> tuple[RolledBack, ...]:
    """Those that a round loads: once each, of the last days."""
    return tuple(sorted({one for one in rollbacks if now < one.at + timedelta(days=days)}, key=lambda one: one.key))


def lifts(subject: EnvironmentVersion, params: Params, verdict: Verdict) -> tuple[Lift, ...]:
    """The approvals that are missing."""
    del params
    if verdict.reason not in {"approval_missing", "rejected"}:
        return ()
    minimum, group = verdict.values.get("minimum", 0), verdict.values.get("group", "")
    return any_approval.lifts(
        subject, any_approval.Params(int(str(minimum)), allow_self=True, group=str(group)), verdict
    )

"""# anyApproval: a person says yes first

A version needs the yes of so many distinct people before it may go into an environment. Yes is given once per version
and environment and counts for all targets. A rejection is a veto until it is withdrawn.

```yaml
rules:
  - anyApproval:
      minApprovals: 1
      allowSelfApproval: false   # ours; default true
      approverGroup: sre-leads   # ours; only its members' yes counts (default: anybody who may approve)
      expiresAfterHours: 72      # ours; a yes counts so long (default: for ever)
      appliesTo: both            # ours; version (default), config, or both
```

**Passes** when `minApprovals` people said yes and nobody says no. **Holds** for a person otherwise. With
`allowSelfApproval: false` the word of the version's author does not count: the user whose key created it, and whoever
`metadata["interlock/author"]` names. With `approverGroup` only a yes of somebody who is in that group *now* counts; a
no of anybody who may approve is a veto. A yes that ran out may be given again.

A change of config is asked about only with `appliesTo: config` or `both`; that yes is for the configs it was given for,
and a later change asks again.

**Wakes**: an approval, a rejection, a withdrawal, a member who joins or leaves the group, the end of a yes. **Meets
others**: nobody is asked before everything else that could hold has passed. What already runs is not asked again when
this rule is added later or a yes runs out. Several of these rules share the yeses; each group is asked once, with the
largest minimum.

Source: core.md section 4, "Approval answers a request"; reference-behaviour.md 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from interlock.decide.facts import Approval, Facts
from interlock.decide.lift import Lift, lift, withdraw_rejection
from interlock.decide.subjects import EnvironmentVersion
from interlock.decide.verdict import Obligation, Stage, Verdict, WaitsFor, earliest, holds, passes
from interlock.model.wire import Fields

kind = "anyApproval"
shape = "gate"
stage = Stage.JUDGEMENT
needs = frozenset({"approvals_by_version_environment", "versions", "targets", "quarantines"})

REASONS = {
    "approved": "Approved by {by}.",
    "approval_not_needed": "The rule asks for no approval.",
    "approval_missing": "It has {given} of {minimum} approvals{of_group}.",
    "rejected": "Rejected by {by}.",
}

LIFTS = {"approved_by_more": "{version} gets {more} more of the {minimum} approvals{of_group} for {environment}."}

GROUP_NAME_MAX = 200
HOURS_MAX = 8_760


@dataclass(frozen=True, slots=True)
class Params:
    """`minimum` distinct people; whether the author's own yes counts; of which group ("" for any); how long."""

    minimum: int
    allow_self: bool
    group: str = ""
    lasts: timedelta | None = None


def parse(fields: Fields) -> Params:
    """Read the rule's object. Faults are left in `fields`."""
    hours = fields.number("expiresAfterHours", default=None, minimum=1 / 60, maximum=HOURS_MAX)
    return Params(
        minimum=fields.integer("minApprovals", required=True, maximum=1000),
        allow_self=fields.boolean("allowSelfApproval", default=True),
        group=fields.text("approverGroup", maximum=GROUP_NAME_MAX).strip(),
        lasts=None if hours is None else timedelta(hours=hours),
    )


def evaluate(subject: EnvironmentVersion, params: Params, now: datetime) -> Verdict:
    """Whether enough people said yes and nobody says no."""
    words = subject.approvals
    waits_on = (f"approval:{subject.key}",)
    vetoes = [word for word in words if word.verdict == "rejected"]
    if vetoes:
        return holds(
            WaitsFor.PERSON,
            "rejected",
            since=vetoes[0].given_at,
            waits_on=waits_on,
            who=f"{vetoes[0].name} may withdraw the rejection",
            by=[word.name for word in vetoes],
        )
    if params.minimum <= 0:
        return passes("approval_not_needed", since=subject.version.created_at)
    yeses = [word for word in words if _counts(word, subject, params, now)]
    by = [word.name for word in yeses]
    ends_at = None if params.lasts is None else earliest(word.given_at + params.lasts for word in yeses)
    if len(yeses) >= params.minimum:
        return passes("approved", since=yeses[params.minimum - 1].given_at, changes_at=ends_at, by=by)
    of_group = {"group": params.group} if params.group else {}
    others = sorted(word.name for word in words if word.verdict == "approved" and word not in yeses)
    return holds(
        WaitsFor.PERSON,
        "approval_missing",
        changes_at=ends_at,
        waits_on=(*waits_on, f"group:{params.group}") if params.group else waits_on,
        who=_who(params),
        obligations=(Obligation("approvals", {"minimum": params.minimum, **of_group}),),
        given=len(yeses),
        minimum=params.minimum,
        by=by,
        of_group=_of_group(params) + (f"; not counted: {', '.join(others)}" if others else ""),
        author_excluded=None if params.allow_self else True,
        lasts_s=None if params.lasts is None else params.lasts.total_seconds(),
        group=params.group or None,
    )


def _counts(word: Approval, subject: EnvironmentVersion, params: Params, now: datetime) -> bool:
    """Whether a word is a yes that this rule counts."""
    return (
        word.verdict == "approved"
        and (params.allow_self or word.principal_id not in subject.version.author_ids)
        and (not params.group or params.group in word.groups)
        and (params.lasts is None or now < word.given_at + params.lasts)
    )


def _of_group(params: Params) -> str:
    return f" of the group {params.group}" if params.group else ""


def _who(params: Params) -> str:
    who = f"members of {params.group}" if params.group else "anybody who may approve"
    return who if params.allow_self else f"{who}, but not the version's author"


def lifts(subject: EnvironmentVersion, params: Params, verdict: Verdict) -> tuple[Lift, ...]:
    """The vetoes withdrawn, or the approvals that are missing, by people who have not said anything yet."""
    key = (subject.version.id, subject.environment.id)
    if verdict.reason == "rejected":
        vetoes = (word for word in subject.approvals if word.verdict == "rejected")
        return tuple(withdraw_rejection(word, subject.version, subject.environment) for word in vetoes)
    if verdict.reason != "approval_missing":
        return ()
    given = int(str(verdict.values.get("given", 0)))
    more = params.minimum - given

    of_config = subject.kind == "config"
    groups = frozenset({params.group} if params.group else ())

    def approve(facts: Facts, now: datetime) -> Facts:
        known = facts.approvals_by_version_environment
        said = {word.principal_id: word for word in known.get(key, ())}
        people = [f"somebody {params.group} {number}" for number in range(more)]
        here = (one for one in facts.targets.values() if one.environment_id == subject.environment.id)
        configs = frozenset(one.config_digest for one in here if one.config_digest) if of_config else None
        said |= {one: Approval(one, "somebody", "approved", now, groups, configs) for one in people}
        return replace(facts, approvals_by_version_environment={**known, key: tuple(said.values())})

    return (
        lift(
            "approved_by_more",
            approve,
            who=verdict.who,
            late=True,
            more=more,
            of_group=_of_group(params),
            minimum=params.minimum,
            version=subject.version.tag,
            environment=subject.environment.name,
        ),
    )

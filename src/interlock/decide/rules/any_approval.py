"""# anyApproval: a person says yes first

A version needs the yes of so many distinct people before it may go into an environment. Yes is given once per version
and environment and counts for all targets. A rejection is a veto until it is withdrawn.

```yaml
rules:
  - anyApproval:
      minApprovals: 1
      allowSelfApproval: false   # ours; default true
```

**Passes** when `minApprovals` people said yes and nobody says no. **Holds** for a person otherwise. With
`allowSelfApproval: false` the word of the version's author does not count: the user whose key created it, and whoever
`metadata["interlock/author"]` names. **Wakes**: an approval, a rejection, a withdrawal. **Meets others**: nobody is
asked before everything else that could hold has passed. What already runs is not asked again when this rule is added
later. Several of these rules share the yeses: the largest minimum wins.

Source: core.md section 4, "Approval answers a request"; reference-behaviour.md 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from interlock.decide.subjects import EnvironmentVersion
from interlock.decide.verdict import Obligation, Stage, Verdict, WaitsFor, holds, passes
from interlock.model.wire import Fields

kind = "anyApproval"
shape = "gate"
stage = Stage.JUDGEMENT
needs = frozenset({"approvals_by_version_environment", "versions"})

REASONS = {
    "approved": "Approved by {by}.",
    "approval_not_needed": "The rule asks for no approval.",
    "approval_missing": "It has {given} of {minimum} approvals.",
    "rejected": "Rejected by {by}.",
}


@dataclass(frozen=True, slots=True)
class Params:
    """`minimum` distinct people; whether the author's own yes counts."""

    minimum: int
    allow_self: bool


def parse(fields: Fields) -> Params:
    """Read the rule's object. Faults are left in `fields`."""
    return Params(
        minimum=fields.integer("minApprovals", required=True, maximum=1000),
        allow_self=fields.boolean("allowSelfApproval", default=True),
    )


def evaluate(subject: EnvironmentVersion, params: Params, now: datetime) -> Verdict:
    """Whether enough people said yes and nobody says no."""
    del now
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
    authors = frozenset[str]() if params.allow_self else subject.version.author_ids
    yeses = [word for word in words if word.verdict == "approved" and word.principal_id not in authors]
    if len(yeses) >= params.minimum:
        return passes("approved", since=yeses[params.minimum - 1].given_at, by=[word.name for word in yeses])
    return holds(
        WaitsFor.PERSON,
        "approval_missing",
        waits_on=waits_on,
        who="anybody who may approve" if params.allow_self else "anybody who may approve, but not the version's author",
        obligations=(Obligation("approvals", {"minimum": params.minimum}),),
        given=len(yeses),
        minimum=params.minimum,
        by=[word.name for word in yeses],
    )

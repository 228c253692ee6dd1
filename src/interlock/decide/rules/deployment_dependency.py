"""# deploymentDependency: what must run beside it first

A version starts on a resource only while another deployment runs there what the rule asks for: the schema before the
application, the agent before what it watches.

```yaml
rules:
  - deploymentDependency:
      dependsOn: deployment.name == "shop-schema" && version.tag.startsWith("v2.")
      require: any              # ours: any (default), or all
      scope: sameResource       # ours: sameResource (default), or sameEnvironment
```

It looks at what *other deployments run now* (the version of their last successful job, after a rollback the one that
they went back to) on the same resource, whichever environment it is in there; with `sameEnvironment`, on any resource
of the target's environment. What has a place there and runs nothing yet is not asked.

**Passes** when the expression is true of one of them (`any`), or of every one and there is at least one (`all`).
**Holds** until then, and names the deployments that it waits for. What runs stays, also when the other deployment moves
on to something that no longer matches. **Wakes**: a landing or rollback of another deployment there, and an edit of
what the expression reads; nothing waits for a sweep. **Meets others**: an approval is asked for only after this passed.
A version may also carry dependencies of its own: see versionDependency.

The expression sees `deployment` (id, name, slug, description, metadata, resourceSelector, jobAgentSelector) and
`version` (id, name, tag, status, metadata, createdAt, message, deploymentId) of the other deployment. A key that is
missing is no match. It is evaluated once for each version that runs elsewhere, however many targets there are.

Source: reference-behaviour.md 4.7 and its [BUG] marks; core.md section 2, "Facts of others".
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime

from interlock.decide.facts import Beside
from interlock.decide.lift import Lift, run_beside
from interlock.decide.subjects import TargetMove
from interlock.decide.verdict import Stage, Verdict, WaitsFor, holds, passes
from interlock.inventory.selector import Scope, Selector, parse_selector
from interlock.model.wire import Fields

kind = "deploymentDependency"
shape = "gate"
stage = Stage.READINESS
needs = frozenset({"elsewhere"})

NAMED_MAX = 10
"""A verdict names so many deployments at most."""

UNSEEN = frozenset({"deployment.jobAgentConfig", "version.config"})
"""Fields of the scope that a round does not load of others."""

REASONS = {
    "dependency_runs": "{running} runs {where}.",
    "nothing_runs_beside": "No other deployment runs anything {where}; it waits for one that matches {selector}.",
    "dependency_missing": "Nothing that runs {where} matches {selector}; there is {running}.",
    "dependency_unmet": "{running} runs {where} and does not match {selector}; all must.",
}


@dataclass(frozen=True, slots=True)
class Params:
    """`selector` is CEL over deployment and version."""

    selector: Selector
    require_all: bool
    same_environment: bool


def parse(fields: Fields) -> Params:
    """Read the rule's object. Faults are left in `fields`."""
    selector = fields.parsed("dependsOn", lambda text: parse_selector(text, Scope.DEPENDENCY))
    unseen = [] if selector is None else [name for name in selector.variables if name.replace("has_", "") in UNSEEN]
    if unseen:
        fields.wrong("dependsOn", f"reads {', '.join(unseen)}, which is not known of other deployments")
    return Params(
        selector=selector or parse_selector("false", Scope.DEPENDENCY),
        require_all=fields.choice("require", allowed=("any", "all"), default="any") == "all",
        same_environment=fields.choice("scope", allowed=("sameResource", "sameEnvironment"), default="sameResource")
        == "sameEnvironment",
    )


def group(subject: TargetMove) -> Hashable:
    """What it looks at of a target: those of one group are told the same."""
    return subject.beside, subject.around


def evaluate(subject: TargetMove, params: Params, now: datetime) -> Verdict:
    """Whether what must run beside this target does."""
    del now
    there = subject.around if params.same_environment else subject.beside
    where = "in the same environment" if params.same_environment else "on the same resource"
    picked = subject.picked(params.selector)
    running = [one for one in there if one.version_id is not None]
    matching = [one for one in running if one.version_id in picked]
    unmet = [one for one in running if one.version_id not in picked]
    if matching and not (unmet and params.require_all):
        return passes("dependency_runs", where=where, running=_named(subject, matching))
    missing = unmet if running else list(there)
    names = sorted({subject.name_of(one.deployment_id) for one in missing})[:NAMED_MAX]
    if not running:
        reason = "nothing_runs_beside"
    else:
        reason = "dependency_unmet" if params.require_all and matching else "dependency_missing"
    return holds(
        WaitsFor.WAIT,
        reason,
        waits_on=tuple(sorted({f"runs:{one.deployment_id}" for one in missing})[:NAMED_MAX]) or ("runs",),
        who=f"whoever may deploy {', '.join(names) or 'what it waits for'}, or edit the policy",
        where=where,
        selector=params.selector.text,
        running=_named(subject, unmet),
    )


def _named(subject: TargetMove, there: list[Beside]) -> list[str]:
    """As in "shop-schema v1.4"."""
    named = {f"{subject.name_of(one.deployment_id)} {subject.tag_of(one.version_id)}" for one in there}
    return sorted(named)[:NAMED_MAX]


def lifts(subject: TargetMove, params: Params, verdict: Verdict) -> tuple[Lift, ...]:
    """A version that matches runs beside it too, where one is known from elsewhere; else nothing of its own."""
    del verdict
    known = sorted(subject.picked(params.selector))
    if params.require_all or not known:
        return ()
    deployment_id = subject.deployment_of(known[0])
    neighbour = Beside(subject.target.environment_id, deployment_id, known[0])
    name, tag = subject.name_of(deployment_id), subject.tag_of(known[0])
    return (run_beside(neighbour, subject.target.resource_id, deployment=name, version=tag),)

"""# versionSelector: which versions may these targets consider at all?

A version that does not match is no candidate for the targets that the policy selects. It is passed over, as if it were
not there, and the next older one is looked at. What already runs stays.

```yaml
rules:
  - versionSelector:
      selector: version.tag.startsWith("v2.") && !version.tag.contains("-rc")
      description: production takes v2 releases only
```

**Passes** when the expression is true of the version. **Passes over** it when it is false, or reads a metadata key that
the version does not have. **Wakes**: an edit of the version or of the policy. It meets no other rule: candidates are
chosen before any gate is asked.

The expression sees `version` (id, name, tag, status, metadata, createdAt, message, deploymentId), `change` (type, risk,
author, commits, pullRequest, artifacts: what CI said of it, see the guide on version facts), `environment`, and
`deployment` (id, name, slug). `change.type == "migration"` is no match for a version that does not say its type;
`!has(change.type)` is.

Source: core.md section 4; reference-behaviour.md 4.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from interlock.decide.subjects import EnvironmentVersion
from interlock.decide.verdict import Stage, Verdict, WaitsFor, holds, passes
from interlock.inventory.selector import Scope, Selector, parse_selector
from interlock.inventory.to_python import matches
from interlock.model.wire import Fields

kind = "versionSelector"
shape = "candidate"
stage = Stage.ELIGIBILITY
needs = frozenset({"versions", "environments"})

REASONS = {
    "version_selected": "The version matches {selector}.",
    "version_not_selected": "The version does not match {selector}, so it is no candidate here.",
}


@dataclass(frozen=True, slots=True)
class Params:
    """`selector` is CEL over version and environment."""

    selector: Selector
    description: str


def parse(fields: Fields) -> Params:
    """Read the rule's object. Faults are left in `fields`."""
    selector = fields.parsed("selector", lambda text: parse_selector(text, Scope.VERSION_RULE))
    unread = [] if selector is None else [name for name in selector.variables if not _readable(name)]
    if unread:
        fields.wrong(
            "selector",
            f"reads {', '.join(unread)}, which it does not see; which targets it concerns the policy's selector says",
        )
    return Params(
        selector=selector or parse_selector("false", Scope.VERSION_RULE),
        description=fields.text("description"),
    )


def _readable(variable: str) -> bool:
    """Whether the rule's subject has it: judged once for all targets of an environment, it sees no resource."""
    root, _, name = variable.removeprefix("has_").partition(".")
    if variable.removeprefix("has_") == "version.config":
        return False
    return root in {"version", "environment", "change"} or (root == "deployment" and name in {"id", "name", "slug"})


def evaluate(subject: EnvironmentVersion, params: Params, now: datetime) -> Verdict:
    """Whether the version may be considered here."""
    del now
    seen = {
        "version": subject.version.view,
        "environment": subject.environment.view,
        "deployment": subject.deployment_view,
    }
    if "change" in params.selector.roots:
        seen["change"] = subject.change
    if matches(params.selector, seen):
        return passes("version_selected", selector=params.selector.text)
    who = "whoever may edit the version or the policy"
    return holds(WaitsFor.DENY, "version_not_selected", who=who, selector=params.selector.text)

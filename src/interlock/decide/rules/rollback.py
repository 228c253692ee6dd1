"""# rollback: go back by itself

When a move failed, its target returns to its last known good release, with everything that release froze: version,
config, variables, agent config.

```yaml
rules:
  - rollback:
      onJobStatuses: [failure]       # once no retry is left
      onVerificationFailure: true
      scope: target                  # default; environment: all targets that the rollout had moved go back
```

No gate is asked, and an `unknown` gate does not stop it. The version that failed is quarantined for that target:
nothing takes it there again but a pin, a redeploy or a cleared quarantine; a newer version goes out without hand work.
The rollback is verified like any move.

With `scope: environment` one failure takes back every target that the rollout had moved in that environment, each to
the release that was good on it before; the rollout halts, so the version that failed starts nowhere else there. A
target whose job still runs goes back when that job has ended.

**How many at once**: what goes back together does so at a pace of its own, at most 33 % of the environment's targets at
once and at least one; where a concurrency rule stands, at most 33 % of its groups. A target that goes back alone waits
for nobody.

A target without a good release stays where it is, and the hold names who can act. There is at most one change of
direction per bad version and target: a rollback that fails itself, and a version that fails again where it was already
in quarantine, are escalated to a person, never answered by another rollback. A rollback that is not done after one hour
(its agent is away, or the job before it never ends) calls for a person too, and goes on waiting.

Source: core.md section 4, "Rollback"; reference-behaviour.md 3.7; definitions.md E4, cap_rb.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.model.job import TERMINAL, JobStatus
from interlock.model.wire import Fields

kind = "rollback"
shape = "reaction"
needs = frozenset({"moves", "targets"})

REASONS = {
    "no_good_release": "The move failed and the target has no good release to return to.",
    "rollback_escalated": "The rollback failed too; a person must act.",
}

STATUSES = tuple(sorted(status.value for status in TERMINAL if status is not JobStatus.SUCCESSFUL))


@dataclass(frozen=True, slots=True)
class Params:
    """Which outcomes are answered, and which targets go back: the one that failed, or all that its rollout moved."""

    statuses: frozenset[JobStatus]
    on_verification_failure: bool
    scope: str = "target"


def parse(fields: Fields) -> Params:
    """Read the rule's object. Faults are left in `fields`."""
    statuses = fields.words("onJobStatuses", allowed=STATUSES)
    return Params(
        statuses=frozenset(JobStatus(status) for status in statuses if status in STATUSES),
        on_verification_failure=fields.boolean("onVerificationFailure", default=False),
        scope=fields.choice("scope", allowed=("target", "environment"), default="target"),
    )

"""# rollback: go back by itself

When a move failed, its target returns to its last known good release, with everything that release froze: version,
config, variables, agent config.

```yaml
rules:
  - rollback:
      onJobStatuses: [failure]       # once no retry is left
      onVerificationFailure: true
```

No gate is asked, and an `unknown` gate does not stop it. The version that failed is quarantined for that target:
nothing takes it there again but a pin, a redeploy or a cleared quarantine; a newer version goes out without hand work.
The rollback is verified like any move.

A target without a good release stays where it is, and the hold names who can act. There is at most one change of
direction per bad version and target: a rollback that fails itself is escalated to a person, never answered by another
rollback.

Source: core.md section 4, "Rollback"; reference-behaviour.md 3.7.
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
    """Which outcomes are answered."""

    statuses: frozenset[JobStatus]
    on_verification_failure: bool


def parse(fields: Fields) -> Params:
    """Read the rule's object. Faults are left in `fields`."""
    statuses = fields.words("onJobStatuses", allowed=STATUSES)
    return Params(
        statuses=frozenset(JobStatus(status) for status in statuses if status in STATUSES),
        on_verification_failure=fields.boolean("onVerificationFailure", default=False),
    )

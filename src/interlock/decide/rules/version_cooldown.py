"""# versionCooldown: leave each deployment some time

A target that just started a deployment is left alone for a while before another version goes to it.

```yaml
rules:
  - versionCooldown:
      intervalSeconds: 3600
```

The interval counts from the *start* of the target's last deployment. When it ends the newest version goes; those in
between are never deployed.

**Passes** when the target runs nothing yet, or the interval is over. **Holds** with the instant at which it ends.
**Wakes**: that instant. A rollback is not asked.

Source: core.md section 10, outcomes 13 and 14; reference-behaviour.md 4.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from interlock.decide.subjects import TargetMove
from interlock.decide.verdict import Stage, Verdict, WaitsFor, holds, passes
from interlock.model.wire import Fields

kind = "versionCooldown"
shape = "gate"
stage = Stage.READINESS
needs = frozenset({"targets"})

REASONS = {
    "nothing_runs": "The target runs nothing yet.",
    "cooled_down": "The cooldown is over.",
    "cooling_down": "Its last deployment started less than {seconds} seconds ago; the cooldown ends at {until_at}.",
}


@dataclass(frozen=True, slots=True)
class Params:
    """The interval."""

    interval: timedelta


def parse(fields: Fields) -> Params:
    """Read the rule's object. Faults are left in `fields`."""
    return Params(interval=timedelta(seconds=fields.integer("intervalSeconds", required=True, maximum=31_536_000)))


def evaluate(subject: TargetMove, params: Params, now: datetime) -> Verdict:
    """Whether the target's last deployment started long enough ago."""
    started_at = subject.target.last_started_at
    if started_at is None or subject.current is None:
        return passes("nothing_runs")
    if now >= started_at + params.interval:
        return passes("cooled_down", since=started_at + params.interval)
    ends_at = started_at + params.interval
    return holds(
        WaitsFor.WAIT,
        "cooling_down",
        since=started_at,
        changes_at=ends_at,
        seconds=int(params.interval.total_seconds()),
        until_at=ends_at,
    )

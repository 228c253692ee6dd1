"""# concurrency: so many at once, whoever deploys

Targets that share something (a zone, a rack, a database) share a limit: at most so many of them are in flight at once,
across all deployments that the policy selects.

```yaml
rules:
  - concurrency:
      groupBy: resource.metadata["zone"]   # CEL over resource, environment, deployment; without it one group for all
      maxInFlight: 2                       # so many of a group at once,
      # maxPercentage: 10                  # or so many percent of it: one of the two
```

`groupBy` gives each target that the policy selects the key of its *slot group*: the text of that expression. A number
or a yes is written as text. A move takes a *slot* in the group when it starts, and keeps it until it ends, its
verification and its retries included. A percentage counts the group's attached targets and is rounded down, but is at
least 1 (25 % of 3 targets is 1). Several rules all count: a move needs a slot in each of its groups.

In flight is what was handed over, is about to be, or is being verified. The rows are locked and counted again when a
round is written, so that deployments that decide at the same instant never exceed the limit together; whoever comes
second waits, and says so.

**Passes** when every group of the target has a free slot. Who comes first is the order of the rollout; between
deployments, who decides first. **Holds** with how many are in flight, and the group; `interlock get slots` names them.
**Wakes**: the end of a move that holds a slot of the group. **Unknown** when the expression gives nothing for a target
(a label that it lacks): such a target waits for somebody to give it the label, or to edit the rule.

Asked are starts of every kind. A retry has its slot already. A *rollback* is not kept waiting for long: it may go as
long as fewer than a third of the group (0.33, at least one, and never less than the limit) is in flight, also where the
group is unknown. `force` is not asked, but takes a slot. A first deployment is asked like any other.

A policy that only observes limits nothing.

Source: core.md section 4 (the table of moves), sections 1 and 3 (slots); definitions.md E4 (rounding as in Kubernetes'
maxUnavailable, rollback pace 0.33).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from interlock.decide.facts import Facts, Slot
from interlock.decide.lift import Lift, lift
from interlock.decide.subjects import TargetMove
from interlock.decide.verdict import Verdict
from interlock.inventory.selector import Expression, Scope, parse_expression
from interlock.model.errors import Invalid
from interlock.model.wire import Fields

kind = "concurrency"
shape = "pace"
needs = frozenset({"targets", "moves", "slots"})

REASONS = {
    "concurrency_full": "In flight in the slot group {group}: {held} of at most {limit} ({size} targets).",
    "slot_group_unknown": "Its slot group cannot be told ({why}).",
}

LIFTS = {"slots_freed": "{count} fewer are in flight in the slot group {group}."}

ROLLBACK_PERCENTAGE = 33
"""So much of a group may be in flight for a rollback to start, where the rule's own limit is lower."""

_KINDS = frozenset({"STRING", "INT", "UINT", "DOUBLE", "BOOL", "DYN"})
"""What a group key may be, in CEL's words."""


@dataclass(frozen=True, slots=True)
class Params:
    """One of `max_in_flight` and `max_percentage` is there. `group_by` None: one group for all."""

    group_by: Expression | None
    max_in_flight: int | None
    max_percentage: int | None


def parse(fields: Fields) -> Params:
    """Read the rule's object. Faults are left in `fields`."""
    params = Params(
        group_by=fields.parsed("groupBy", _group_key, required=False),
        max_in_flight=fields.optional_integer("maxInFlight", minimum=1),
        max_percentage=fields.optional_integer("maxPercentage", minimum=1, maximum=100),
    )
    if (params.max_in_flight is None) == (params.max_percentage is None):
        fields.wrong("maxInFlight", "or maxPercentage must be there, and only one of them")
    return params


def _group_key(text: str) -> Expression:
    expression = parse_expression(text, Scope.GROUP_KEY)
    if expression.checked.type not in _KINDS:
        raise Invalid(f"must give text; this one gives {expression.checked.type.lower()}")
    return expression


def limit_of(params: Params, size: int, *, kind: str = "forward") -> int:
    """How many of a group of so many targets may be in flight when a move of a kind starts."""
    if params.max_in_flight is not None:
        limit = params.max_in_flight
    else:
        limit = max(size * (params.max_percentage or 0) // 100, 1)
    return max(limit, size * ROLLBACK_PERCENTAGE // 100) if kind == "rollback" else limit


def lifts(subject: TargetMove, params: Params, verdict: Verdict) -> tuple[Lift, ...]:
    """As many slots of the group become free as are missing, whoever holds them."""
    del subject, params
    if verdict.reason != "concurrency_full":
        return ()
    values = verdict.values
    key, count = str(values["key"]), int(str(values["held"])) - int(str(values["limit"])) + 1

    def free(facts: Facts, now: datetime) -> Facts:
        del now
        group = facts.slots.get(key, Slot())
        freed = replace(group, held_by_others=group.held_by_others - count)
        return replace(facts, slots={**facts.slots, key: freed})

    return (lift("slots_freed", free, who="whoever ends a move of the group", count=count, group=values["group"]),)

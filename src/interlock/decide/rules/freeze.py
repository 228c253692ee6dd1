"""# freeze: nothing starts while somebody says stop

A freeze is not a rule in a policy. It is set by a person (or an incident tool) on a workspace, system, environment or
deployment, with a reason, perhaps an incident link, a selector over targets and an expiry. From the commit that wrote
it no move starts and no job is handed over where it bites; jobs that already run go on. A rollback is not asked, so a
freeze never keeps a target on a bad release.

```
interlock freeze --reason "sev-1 in payments" --for 2h
```

**Holds** while one is in force. **Passes** when none is, when it was thawed or ran out, or when somebody bypassed each
one that bites for this version (`interlock skip --freeze`, permission `freeze:bypass`); a bypass names its freeze, so a
later one holds. **Wakes**: its expiry, a thaw, an extension, the end of a bypass. **Meets others**: it is asked first;
while it holds nobody is asked for an approval.

Source: core.md sections 4 and 5; reference-behaviour.md 4.14 (RFC 0008).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from interlock.decide.facts import Facts, Freeze
from interlock.decide.lift import Lift, lift
from interlock.decide.subjects import EnvironmentVersion, TargetMove, WorkflowRun
from interlock.decide.verdict import Stage, Verdict, WaitsFor, earliest, holds, passes

kind = "freeze"
shape = "gate"
stage = Stage.ELIGIBILITY
needs = frozenset({"freezes"})

REASONS = {
    "not_frozen": "No freeze is in force here.",
    "frozen": "Frozen ({scope}) by {by} since {since}: {why}. It {until}.",
}

LIFTS = {"thawed": "The freeze of {by} ({why}) is thawed."}


def evaluate(subject: EnvironmentVersion | TargetMove | WorkflowRun, now: datetime) -> Verdict:
    """Whether a freeze bites. Of several, it says the one that ends last."""
    biting = [freeze for freeze in subject.freezes if freeze.expires_at is None or now < freeze.expires_at]
    if not biting:
        return passes("not_frozen")
    return _hold(biting)


def _hold(biting: Sequence[Freeze]) -> Verdict:
    endless = [freeze for freeze in biting if freeze.expires_at is None]
    longest = endless[0] if endless else max(biting, key=lambda freeze: (freeze.expires_at, freeze.id))
    return holds(
        WaitsFor.PERSON if endless else WaitsFor.WAIT,
        "frozen",
        since=min(freeze.created_at for freeze in biting),
        changes_at=earliest(freeze.expires_at for freeze in biting),
        waits_on=tuple(f"freeze:{freeze.id}" for freeze in biting),
        who="an operator may thaw it",
        scope=longest.scope,
        by=longest.created_by,
        why=longest.reason,
        until_at=longest.expires_at,
        freezes=[freeze.id for freeze in biting],
    )


def lifts(subject: EnvironmentVersion | TargetMove, params: object, verdict: Verdict) -> tuple[Lift, ...]:
    """Each freeze that bites, thawed."""
    del params
    biting = verdict.values.get("freezes")
    ids = frozenset(biting if isinstance(biting, list) else ())
    return tuple(
        lift("thawed", _thawed(one.id), who="an operator may thaw it", by=one.created_by, why=one.reason, freeze=one.id)
        for one in subject.freezes
        if one.id in ids
    )


def _thawed(freeze_id: str) -> Callable[[Facts, datetime], Facts]:
    def change(facts: Facts, now: datetime) -> Facts:
        del now
        return replace(facts, freezes=tuple(one for one in facts.freezes if one.id != freeze_id))

    return change

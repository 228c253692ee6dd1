"""# incident: nothing new goes out while something burns

While an incident is open on a deployment, or on one that it depends on, nothing new starts there: no version, no pin,
no change of config, no next attempt. It is no rule in a policy. An alert of Alertmanager, an incident tool or a person
opens the incident, each with an end, so that a receiver that falls silent holds nobody for ever.

```
interlock incident open --deployment checkout --title "checkout answers 500" --for 2h
```

What it *depends on* are the deployments that the version names (versionDependency) and those that a
deploymentDependency rule picks beside it. What gates is said by each incident: `critical` ones do unless they say
otherwise, others only when they say so. An incident that names environments bites only there.

**Passes** when none is open here, when the open ones are resolved or ran out, and for a version whose change type
(`metadata["interlock/change-type"]`) is `fix`: the cure must get through. **Holds** otherwise, says which incidents, on
what, and the first end. **Wakes**: an incident opens, changes, is resolved or reaches its end. **Meets others**: a
rollback, a redeploy of what runs and a force do not ask it; while it holds nobody is asked for an approval; a person
may resolve an incident, or skip `incident` for one version.

Source: issue "Error budgets and signals"; guide docs/guides/incidents.md; decision record on what asks it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from interlock.decide.facts import Facts, Incident
from interlock.decide.lift import Lift, lift
from interlock.decide.subjects import EnvironmentVersion
from interlock.decide.verdict import Stage, Verdict, WaitsFor, earliest, holds, passes

kind = "incident"
shape = "gate"
stage = Stage.ELIGIBILITY
needs = frozenset({"incidents", "versions", "elsewhere"})

NAMED_MAX = 3
"""A verdict quotes so many incidents at most; all of them are listed by id."""

CURE = "fix"
"""The change type that goes out while an incident is open."""

WHO = "whoever may report incidents may resolve it; an operator may skip it for a version"

REASONS = {
    "no_incident": "No open incident concerns this.",
    "incident_let_through": "An incident is open on {on}: {titles}. A change of type {change_type} goes out.",
    "incident_open": "An incident is open on {on}: {titles}.",
}

LIFTS = {"incident_resolved": "The incident “{title}” ({source}) on {on} is resolved."}


def evaluate(subject: EnvironmentVersion, now: datetime) -> Verdict:
    """Whether an open incident bites."""
    biting = _biting(subject, now)
    if not biting:
        return passes("no_incident")
    ends_at = earliest(one.expires_at for one in biting)
    on = sorted({subject.name_of(each) for one in biting for each in _about(subject, one)})
    titles = [f"{one.title} ({one.severity}, {one.source})" for one in biting][:NAMED_MAX]
    if len(biting) > NAMED_MAX:
        titles.append(f"and {len(biting) - NAMED_MAX} more")
    since = min(one.opened_at for one in biting)
    if subject.kind != "config" and subject.change.get("type") == CURE:
        return passes("incident_let_through", since=since, changes_at=ends_at, on=on, titles=titles, change_type=CURE)
    return holds(
        WaitsFor.WAIT,
        "incident_open",
        since=since,
        changes_at=ends_at,
        waits_on=tuple(f"incident:{one.id}" for one in biting),
        who=WHO,
        on=on,
        titles=titles,
        incidents=[one.id for one in biting],
    )


def _biting(subject: EnvironmentVersion, now: datetime) -> list[Incident]:
    """The incidents that have not ended and are about this deployment or one that it depends on, oldest first."""
    return [one for one in subject.incidents if now < one.expires_at and _about(subject, one)]


def _about(subject: EnvironmentVersion, incident: Incident) -> frozenset[str]:
    """Of the deployments that it is about those that matter here."""
    return incident.deployment_ids & subject.relied_on


def lifts(subject: EnvironmentVersion, params: object, verdict: Verdict) -> tuple[Lift, ...]:
    """All incidents that bite, resolved: one alone may not be enough, so each is offered and they go together."""
    del params
    named = verdict.values.get("incidents")
    ids = frozenset(named if isinstance(named, list) else ())
    return tuple(
        lift(
            "incident_resolved",
            _resolved(one.id),
            who="whoever may report incidents may resolve it",
            title=one.title,
            source=one.source,
            on=sorted(subject.name_of(each) for each in one.deployment_ids),
            incident=one.id,
        )
        for one in subject.incidents
        if one.id in ids
    )


def _resolved(incident_id: str) -> Callable[[Facts, datetime], Facts]:
    def change(facts: Facts, now: datetime) -> Facts:
        del now
        return replace(facts, incidents=tuple(one for one in facts.incidents if one.id != incident_id))

    return change

"""# versionDependency: what this version needs beside it

A version may say itself which version of another deployment it needs on the same resource. No policy is needed, and
none can turn it off; a person may skip `versionDependency` for one version.

```json
{"tag": "v2.0.0", "dependencies": {"8f1c…": {"versionSelector": "version.tag.startsWith('v2.')"}}}
```

For each of its dependencies, on the target's resource: if the other deployment has a target in the *same environment*,
the version that runs there must match; if it has none there, one that runs in *any* environment must.
`"environments": "all"` (ours) asks for every environment in which it has a target on this resource.

**Passes** when every dependency is met. **Holds** while one is not, and names it with what runs instead. **Wakes**: a
landing or rollback of the deployment that it needs, an edit of that version or of the dependency. **Meets others**: a
retry, a config move and a rollback are not asked. Dependencies that lead back to the version's own deployment are
refused when they are written: each would wait for the other.

The expression sees `version` (id, name, tag, status, metadata, createdAt, message, deploymentId) of what the other
deployment runs.

Source: core.md section 10, outcome 24; reference-behaviour.md 4.9 [RB].
"""

from __future__ import annotations

from collections.abc import Hashable
from datetime import datetime

from interlock.decide.facts import Beside, Dependency
from interlock.decide.lift import Lift, drop_dependency, run_beside
from interlock.decide.subjects import TargetMove
from interlock.decide.verdict import Stage, Verdict, WaitsFor, holds, passes
from interlock.inventory.selector import Scope, parse_selector

kind = "versionDependency"
shape = "gate"
stage = Stage.READINESS
needs = frozenset({"versions", "targets", "elsewhere"})

REASONS = {
    "dependencies_run": "What the version needs runs on the same resource.",
    "needs_nothing": "The version needs nothing beside it.",
    "dependency_not_there": "The version needs {unmet} on the same resource.",
}


def group(subject: TargetMove) -> Hashable:
    """What it looks at of a target: those of one group are told the same."""
    return subject.version.id, subject.target.environment_id, subject.beside


def evaluate(subject: TargetMove, now: datetime) -> Verdict:
    """Whether everything that the version needs runs on the target's resource."""
    del now
    dependencies = subject.version.dependencies
    if not dependencies:
        return passes("needs_nothing")
    asked = [(one, _asked(subject, one)) for one in dependencies]
    unmet = [(one, there) for one, there in asked if not _met(subject, one, there)]
    if not unmet:
        return passes("dependencies_run")
    names = ", ".join(sorted(subject.name_of(one.deployment_id) for one, _ in unmet))
    return holds(
        WaitsFor.WAIT,
        "dependency_not_there",
        waits_on=tuple(sorted(f"runs:{one.deployment_id}" for one, _ in unmet)),
        who=f"whoever may deploy {names}, or edit the version's dependencies",
        unmet=sorted(_said(subject, one, there) for one, there in unmet),
    )


def _asked(subject: TargetMove, dependency: Dependency) -> tuple[Beside, ...]:
    """The targets of the other deployment that it asks about."""
    there = tuple(one for one in subject.beside if one.deployment_id == dependency.deployment_id)
    here = tuple(one for one in there if one.environment_id == subject.target.environment_id)
    return there if dependency.everywhere or not here else here


def _met(subject: TargetMove, dependency: Dependency, asked: tuple[Beside, ...]) -> bool:
    picked = subject.picked(parse_selector(dependency.selector, Scope.VERSION))
    matching = [one.version_id in picked for one in asked]
    return all(matching) and bool(matching) if dependency.everywhere else any(matching)


def _said(subject: TargetMove, dependency: Dependency, asked: tuple[Beside, ...]) -> str:
    """As in `shop-schema with version.tag == "v2" (it runs v1)`."""
    tags = sorted({subject.tag_of(one.version_id) for one in asked})
    runs = f"it runs {', '.join(tags)}" if tags else "it is not there"
    where = " in all environments" if dependency.everywhere else ""
    return f"{subject.name_of(dependency.deployment_id)}{where} with {dependency.selector} ({runs})"


def lifts(subject: TargetMove, params: object, verdict: Verdict) -> tuple[Lift, ...]:
    """For each that is not met: a version of it that matches, known from elsewhere, runs here; else it is dropped."""
    del params, verdict
    found = []
    for one in subject.version.dependencies:
        asked = _asked(subject, one)
        if _met(subject, one, asked):
            continue
        name = subject.name_of(one.deployment_id)
        picked = subject.picked(parse_selector(one.selector, Scope.VERSION))
        known = sorted(key for key in picked if subject.deployment_of(key) == one.deployment_id)
        if known and not one.everywhere:
            neighbour = Beside(subject.target.environment_id, one.deployment_id, known[0])
            tag = subject.tag_of(known[0])
            found.append(run_beside(neighbour, subject.target.resource_id, deployment=name, version=tag, instead=asked))
        else:
            found.append(drop_dependency(subject.version, one, deployment=name))
    return tuple(found)

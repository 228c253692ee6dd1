"""# environmentProgression: first there, then here

A version may go into an environment when it has proved itself in another one: on so many percent of the targets there,
for so long, not too long ago.

```yaml
rules:
  - environmentProgression:
      dependsOnEnvironmentSelector: environment.name == "staging"
      minimumSuccessPercentage: 100    # default
      successStatuses: [successful]    # default; how a job may end there to count
      minimumSoakTimeMinutes: 30       # and minimumSoakTimeSeconds, ours; fractions are fine
      maximumAgeHours: 168             # no limit by default
      requireVerificationPassed: true  # default false
      require: any                     # ours: any (default) or all of the environments that match
      requireTargets: false            # default; ours: an environment without targets does not pass
```

A target succeeded when a job of the version ended there in one of the `successStatuses`, any of the final ones. With
`requireVerificationPassed` only a success that was verified counts.

The percentage is met at the first instant t at which `successes(t) ≥ ceil(p · n(t))`, n(t) being the targets attached
at t. It is a function of stored times: it stays met when targets join or leave later, and the soak counts from it. It
closes again only when the version is rolled back, halted, quarantined or rejected there, or `maximumAgeHours` passed
since its newest success.

**Passes** when one (`any`) or each (`all`) of the matching environments met it and soaked. An environment without
targets passes ("0 of 0") unless `requireTargets` is set. **Holds** with the count until then, with the instant while it
soaks, and as incomplete when no environment matches. **Wakes**: a success, a verification, the end of the soak. **Meets
others**: approval is asked for only after this passed.

Source: core.md section 10; reference-behaviour.md 4.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import groupby

from interlock.decide.facts import Environment, Facts, Landed, Target
from interlock.decide.lift import Lift, clear_quarantines, lift, resume_rollout, withdraw_rejection
from interlock.decide.subjects import EnvironmentVersion
from interlock.decide.verdict import Stage, Verdict, WaitsFor, earliest, holds, passes
from interlock.inventory.selector import Scope, Selector, parse_selector
from interlock.inventory.to_python import matches
from interlock.model.job import JobStatus
from interlock.model.wire import Fields

kind = "environmentProgression"
shape = "gate"
stage = Stage.READINESS
needs = frozenset(
    {
        "environments",
        "targets",
        "leaving",
        "landed_by_target_version",
        "ended_by_target_version",
        "rollouts",
        "quarantines",
        "versions",
        "approvals_by_version_environment",
    }
)

FINAL = tuple(status.value for status in JobStatus if status.terminal)
"""The statuses in which a job ends."""

REASONS = {
    "progressed": "It proved itself in {environments}.",
    "no_targets_upstream": "{environment} has no targets (0 of 0), which passes.",
    "targets_missing": "{environment} has no targets, and the rule requires some.",
    "no_environment_matches": "No environment matches {selector}.",
    "success_missing": "{successes} of {targets} targets in {environment} succeeded; {needed} are needed.",
    "soaking": "It soaks in {environment} until {until_at}.",
    "too_old": "Its newest success in {environment} is older than {hours} hours.",
    "left_upstream": "It was {how} in {environment}.",
}

LIFTS = {
    "succeeded_upstream": "{version} {how} on {more} more of the {targets} targets in {environment}.",
}


@dataclass(frozen=True, slots=True)
class Params:
    """`percentage` 0 to 100, exact; `max_age` is None for no limit; `statuses` are those that count."""

    selector: Selector
    percentage: Fraction
    soak: timedelta
    max_age: timedelta | None
    require_verified: bool
    require_all: bool
    require_targets: bool
    statuses: frozenset[str] = frozenset({"successful"})


def parse(fields: Fields) -> Params:
    """Read the rule's object. Faults are left in `fields`."""
    selector = fields.parsed("dependsOnEnvironmentSelector", lambda text: parse_selector(text, Scope.ENVIRONMENT))
    percentage = fields.number("minimumSuccessPercentage", default=100.0, minimum=0, maximum=100)
    soak = timedelta(
        minutes=fields.number("minimumSoakTimeMinutes", default=0, minimum=0, maximum=525_600) or 0,
        seconds=fields.number("minimumSoakTimeSeconds", default=0, minimum=0, maximum=31_536_000) or 0,
    )
    max_age_hours = fields.number("maximumAgeHours", default=None, minimum=0, maximum=87_600)
    statuses = fields.words("successStatuses", allowed=FINAL, default=("successful",))
    require_verified = fields.boolean("requireVerificationPassed", default=False)
    if not statuses:
        fields.wrong("successStatuses", f"must name at least one of {', '.join(FINAL)}")
    elif require_verified and "successful" not in statuses:
        fields.wrong("successStatuses", "must name successful with requireVerificationPassed: only that is verified")
    return Params(
        selector=selector or parse_selector("false", Scope.ENVIRONMENT),
        percentage=Fraction(str(percentage)),
        soak=soak,
        max_age=timedelta(hours=max_age_hours) if max_age_hours else None,
        require_verified=require_verified,
        require_all=fields.choice("require", allowed=("any", "all"), default="any") == "all",
        require_targets=fields.boolean("requireTargets", default=False),
        statuses=frozenset(statuses),
    )


def evaluate(subject: EnvironmentVersion, params: Params, now: datetime) -> Verdict:
    """Whether the version proved itself in any, or all, of the environments it depends on."""
    upstream = [other for other in subject.neighbours if matches(params.selector, {"environment": other.view})]
    if not upstream:
        return holds(
            WaitsFor.INCOMPLETE,
            "no_environment_matches",
            waits_on=("environments",),
            who="whoever may edit the policy or the environments",
            selector=params.selector.text,
        )
    verdicts = [_judge(subject, other, params, now) for other in upstream]
    passed = [verdict for verdict in verdicts if verdict.passes]
    held = [verdict for verdict in verdicts if not verdict.passes]
    changes_at = earliest(verdict.changes_at for verdict in verdicts)
    if (held and params.require_all) or not passed:
        return _nearest(held, changes_at)
    if len(upstream) == 1:
        return passed[0]
    return passes(
        "progressed",
        since=(max if params.require_all else min)(verdict.since for verdict in passed if verdict.since is not None),
        changes_at=changes_at,
        environments=[other.name for other, verdict in zip(upstream, verdicts, strict=True) if verdict.passes],
    )


def _nearest(held: Sequence[Verdict], changes_at: datetime | None) -> Verdict:
    """Of several holds the one that time alone ends first; else the first one in the order of environments.

    Takes: `changes_at`, when the first of all the environments' answers changes, which may change what is said here.
    """
    timed = [(verdict.changes_at, number) for number, verdict in enumerate(held) if verdict.changes_at is not None]
    return replace(held[min(timed)[1] if timed else 0], changes_at=changes_at)


def _judge(subject: EnvironmentVersion, other: Environment, params: Params, now: datetime) -> Verdict:
    topic = (f"landed:{subject.version.id}:{other.id}",)
    left = _left(subject, other)
    if left:
        who = "whoever may deploy a newer version, or clear what happened there"
        return holds(WaitsFor.DENY, "left_upstream", waits_on=topic, who=who, environment=other.name, how=left)
    targets = subject.upstream(other)
    gone = subject.left_upstream(other)
    counted = [(target, _success_at(landed, subject.ended_on(target), params)) for target, landed in (*targets, *gone)]
    met_at = _met_at(counted, params, subject.version.created_at)
    if not targets and met_at is None:
        if params.require_targets:
            who = "whoever may edit the environment or the policy"
            return holds(WaitsFor.INCOMPLETE, "targets_missing", waits_on=topic, who=who, environment=other.name)
        return passes("no_targets_upstream", since=subject.version.created_at, environment=other.name)
    times = [at for _, at in counted[: len(targets)] if at is not None]
    if met_at is None:
        return holds(
            WaitsFor.WAIT,
            "success_missing",
            waits_on=topic,
            environment=other.name,
            successes=len(times),
            targets=len(targets),
            needed=_needed(params.percentage, len(targets)),
        )
    soaked_at = met_at + params.soak
    if now < soaked_at:
        return holds(
            WaitsFor.WAIT,
            "soaking",
            since=met_at,
            changes_at=soaked_at,
            waits_on=topic,
            environment=other.name,
            until_at=soaked_at,
        )
    renewed = [one.renewed_at for _, one in targets if one is not None and one.renewed_at and one.left_at is None]
    expires_at = max([*times, *renewed, met_at]) + params.max_age if params.max_age else None
    if expires_at is not None and params.max_age is not None and now >= expires_at:
        hours = f"{params.max_age / timedelta(hours=1):g}"
        who = "whoever may redeploy it there, or deploy a newer version"
        return holds(
            WaitsFor.DENY, "too_old", since=expires_at, waits_on=topic, who=who, environment=other.name, hours=hours
        )
    return passes(
        "progressed",
        since=soaked_at,
        changes_at=expires_at,
        environments=[other.name],
        successes=len(times),
        targets=len(targets),
    )


def _left(subject: EnvironmentVersion, other: Environment) -> str | None:
    """How the version left the other environment, if it did."""
    rollout = subject.rollout_in(other)
    if subject.version.status == "rejected" or subject.rejections_in(other):
        return "rejected"
    if subject.quarantined_in(other):
        return "rolled back"
    if rollout is not None and rollout.state in {"halted", "aborted"}:
        return "stopped"
    return None


def _success_at(landed: Landed | None, ended: Mapping[str, datetime], params: Params) -> datetime | None:
    """When a target counts as a success; a version that was rolled back from does not count."""
    if landed is not None and landed.left_at is not None:
        return None
    counts = landed if "successful" in params.statuses else None
    if params.require_verified:
        return counts.verified_at if counts is not None else None
    first = counts.first_success_at if counts is not None else None
    return earliest((first, *(at for status, at in ended.items() if status in params.statuses)))


def _needed(percentage: Fraction, targets: int) -> int:
    """ceil(p · n / 100) in whole numbers."""
    return -((-percentage * targets) // 100)


def _met_at(counted: Sequence[tuple[Target, datetime | None]], params: Params, created_at: datetime) -> datetime | None:
    """The first instant at which enough of the targets that were attached then had succeeded; None when there was none.

    Takes: each target with the instant from which it counts.

    Why:    walked through the instants at which targets joined, succeeded and left, so that what happens later changes
            nothing about it. An instant without targets, or without a success, meets nothing.
    """
    if params.percentage == 0:
        return created_at
    steps: list[tuple[datetime, int, int]] = []
    for target, counts_at in counted:
        left_at = target.detached_at
        if counts_at is not None:
            counts_at = max(counts_at, target.attached_at)
            if left_at is not None and counts_at >= left_at:
                counts_at = None
        steps.append((target.attached_at, 1, 0))
        if counts_at is not None:
            steps.append((counts_at, 0, 1))
        if left_at is not None:
            steps.append((left_at, -1, 0 if counts_at is None else -1))
    attached = successes = 0
    steps.sort()
    for at, group in groupby(steps, key=_first):
        for _, joined, succeeded in group:
            attached += joined
            successes += succeeded
        if successes > 0 and successes >= _needed(params.percentage, attached):
            return at
    return None


def _first(step: tuple[datetime, int, int]) -> datetime:
    return step[0]


def lifts(subject: EnvironmentVersion, params: Params, verdict: Verdict) -> tuple[Lift, ...]:
    """What would have to have happened in the environment that it waits for."""
    other = next((one for one in subject.neighbours if one.name == verdict.values.get("environment")), None)
    if other is None:
        return ()
    if verdict.reason == "success_missing":
        return (_succeeded(subject, other, params),)
    if verdict.reason == "left_upstream":
        return _come_back(subject, other)
    return ()


def _succeeded(subject: EnvironmentVersion, other: Environment, params: Params) -> Lift:
    """As many more successes as are needed, on the targets that have none."""
    rows = subject.upstream(other)
    lacking = sorted(
        target.id for target, landed in rows if _success_at(landed, subject.ended_on(target), params) is None
    )
    chosen = lacking[: max(1, _needed(params.percentage, len(rows)) - (len(rows) - len(lacking)))]
    version_id, status = subject.version.id, min(params.statuses)

    def change(facts: Facts, now: datetime) -> Facts:
        if "successful" not in params.statuses:
            ended = {(target_id, version_id): {status: now} for target_id in chosen}
            return replace(facts, ended_by_target_version={**facts.ended_by_target_version, **ended})
        landed: Mapping[tuple[str, str], Landed] = {
            **facts.landed_by_target_version,
            **{(target_id, version_id): Landed(now, now) for target_id in chosen},
        }
        return replace(facts, landed_by_target_version=landed)

    return lift(
        "succeeded_upstream",
        change,
        version=subject.version.tag,
        environment=other.name,
        how="is verified" if params.require_verified else "succeeds",
        more=len(chosen),
        targets=len(rows),
    )


def _come_back(subject: EnvironmentVersion, other: Environment) -> tuple[Lift, ...]:
    """What made it leave there, undone: each of it, since each holds alone."""
    version, rollout = subject.version, subject.rollout_in(other)
    found = [withdraw_rejection(word, version, other) for word in subject.rejections_in(other)]
    if subject.quarantined_in(other):
        here = frozenset(target.id for target, _ in subject.upstream(other))
        found.append(clear_quarantines(here, version, where=other.name))
    if rollout is not None and rollout.state == "halted":
        found.append(resume_rollout(rollout, what=version.tag, where=other.name))
    return tuple(found)

"""What do tests decide about? Small fleets with readable names, and whole worlds in which anything may have happened.

`a_fleet` builds a world by hand. A `History` is a fleet with rules of all kinds together, and random commands (a
version arrives, a job ends, somebody approves, a freeze, a target leaves, time passes, …) that drive it through
`simulate.world`, so that every state it reaches can be reached. `histories()` draws one with Hypothesis, which shrinks
well; `seeded_history(seed)` draws a long one in which more happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TypeVar

from hypothesis import strategies as st

from interlock.decide.facts import Dependency, Environment, Facts, Move, ReleaseRef, Target, Version
from interlock.model.ids import derived_id
from interlock.model.job import Confirm, Handover, JobStatus
from interlock.model.policy import Policy
from interlock.simulate.world import World, policy

_T = TypeVar("_T")

MONDAY = datetime(2026, 3, 9, 8, 0, tzinfo=UTC)
"""09:00 in Berlin, 04:00 in New York (which changed to summer time the day before)."""

SLEEP = {"type": "sleep", "durationSeconds": 1}
METRIC = {"name": "healthz", "intervalSeconds": 1, "count": 1, "successCondition": "result.ok", "provider": SLEEP}

BETWEEN = {**METRIC, "name": "between", "runs": "betweenWaves"}
WHILE_OPEN = {**METRIC, "name": "open", "runs": "whileOpen"}


def an_id(name: str) -> str:
    """An id for a name."""
    return derived_id("test", name)


def an_environment(
    name: str, *, systems: Iterable[str] = ("shop",), metadata: Mapping[str, str] | None = None
) -> Environment:
    """An environment; those that share a system know each other."""
    view = {"id": an_id(name), "name": name, "description": "", "metadata": dict(metadata or {})}
    return Environment(an_id(name), name, frozenset(map(an_id, systems)), view)


def a_target(name: str, environment: str, *, at: datetime = MONDAY, runs: str | None = None) -> Target:
    """A target that runs a version, proven, or nothing."""
    resource_id, environment_id = derived_id("resource", name), an_id(environment)
    target_id = derived_id("target", resource_id, environment_id)
    release = None
    if runs is not None:
        release = ReleaseRef(derived_id("release", target_id, runs), version_id(runs), "config-1")
    return Target(
        id=target_id,
        environment_id=environment_id,
        resource_id=resource_id,
        attached_at=at,
        policy_set=derived_id("policy-set"),
        agent="one",
        config_digest="config-1",
        current=release,
        good=release,
        mark=version_id(runs) if runs else None,
        desired=version_id(runs) if runs else None,
        last_started_at=at if runs else None,
        name=name,
    )


DEPLOYMENT = an_id("shop-api")


def version_id(tag: str) -> str:
    """The id that `World.create_version` gives."""
    return derived_id("version", DEPLOYMENT, tag)


def a_version(
    tag: str, *, at: datetime = MONDAY, status: str = "ready", authors: Iterable[str] = (), **metadata: str
) -> Version:
    """A version with its view."""
    created = at.isoformat().replace("+00:00", "Z")
    view = {"id": version_id(tag), "name": tag, "tag": tag, "deploymentId": DEPLOYMENT, "status": status}
    view |= {"createdAt": created, "metadata": metadata, "message": ""}
    return Version(version_id(tag), tag, status, at, derived_id("change", version_id(tag)), frozenset(authors), view)


Gated = tuple[Iterable[str], Iterable[Mapping[str, object]]]
"""Names of environments, and rules as on the wire."""


def a_fleet(
    environments: Mapping[str, Sequence[str]],
    policies: Mapping[str, Gated] | None = None,
    *,
    runs: str | None = None,
    now: datetime = MONDAY,
    **facts: object,
) -> World:
    """A deployment on named targets in environments of one system; `runs` is what all of them run, proven."""
    targets = {
        target.id: target
        for name, members in environments.items()
        for target in (a_target(m, name, runs=runs) for m in members)
    }
    versions = (a_version(runs, at=now - timedelta(days=1)),) if runs else ()
    built = Facts(
        workspace_id=an_id("workspace"),
        deployment_id=DEPLOYMENT,
        deployment_name="shop-api",
        environments={an_id(name): an_environment(name) for name in environments},
        targets=targets,
        versions=versions,
        policy_sets={derived_id("policy-set"): ()},
        **facts,  # type: ignore[arg-type]
    )
    if runs:
        from interlock.decide.facts import Landed

        landed = {(target_id, version_id(runs)): Landed(now, now) for target_id in targets}
        built = replace(built, landed_by_target_version=landed)
    world = World(built, now)
    set_policies(world, policies or {})
    return world


def set_policies(world: World, policies: Mapping[str, Gated], *, observe: Iterable[str] = ()) -> None:
    """Policies by name: which environments they select, and their rules."""
    written: list[Policy] = []
    by_environment: dict[str, list[str]] = {}
    for name, (environments, rules) in policies.items():
        one = policy(name, rules, observe=name in set(observe), first_stored_at=MONDAY - timedelta(days=30))
        written.append(one)
        for environment in environments:
            by_environment.setdefault(environment, []).append(one.id)
    world.set_policies(written, by_environment=by_environment)


# Doing what the outside does ------------------------------------------------------------------------------------------


def hand_over_all(world: World) -> int:
    """Hand every waiting job over. Gives how many."""
    return sum(world.hand_over(job.id) for _, job in world.waiting_jobs())


def active_job(world: World, name: str) -> str:
    """The id of the job that a target has now."""
    move = world.open_move(name)
    assert move is not None, f"{name} has no open move"
    return next(job.id for job in reversed(move.jobs) if not job.status.terminal)


def finish(world: World, name: str, status: JobStatus = JobStatus.SUCCESSFUL) -> None:
    """Hand over a target's job if it still waits, and let it end."""
    world.hand_over(active_job(world, name))
    assert world.hear(active_job(world, name), status)


def verify(world: World, name: str, state: str = "passed", message: str | None = None) -> None:
    """Let the running verifications of a target end."""
    move = world.open_move(name)
    assert move is not None, f"{name} has no open move"
    running = [one for one in move.verifications if one.state == "running"]
    assert running, f"nothing is verified on {name}"
    for one in running:
        world.measured(one.id, state, message)


def deploy(world: World, tag: str, *, verified: bool = False, rounds_max: int = 60) -> None:
    """Let a version that nothing holds go everywhere."""
    if all(one.tag != tag for one in world.facts.versions):
        world.create_version(tag)
    for _ in range(rounds_max):
        plan = world.round()
        hand_over_all(world)
        for move in [move for move in world.facts.moves if move.open]:
            for job in move.jobs:
                if job.handover is Handover.STARTED:
                    world.hear(job.id, JobStatus.SUCCESSFUL)
        for _, one in world.running_verifications():
            world.measured(one.id, "passed")
        for _, proof in world.running_proofs():
            if proof.wave is not None:
                world.measured(proof.id, "passed")
        if not plan.moving:
            break
    if verified:
        assert all(t.good and t.good.version_id == version_id(tag) for t in world.facts.targets.values())


def runs(world: World, *, environment: str | None = None) -> dict[str, str]:
    """Target name -> tag that it runs; "-" for nothing."""
    tags = {version.id: version.tag for version in world.facts.versions}
    return {
        target.name: tags[target.current.version_id] if target.current else "-"
        for target in sorted(world.facts.targets.values(), key=lambda one: one.name)
        if environment is None or target.environment_id == an_id(environment)
    }


def moving(world: World) -> dict[str, str]:
    """Target name -> `kind tag state` of its open move."""
    tags = {version.id: version.tag for version in world.facts.versions}
    names = {t.id: t.name for t in (*world.facts.targets.values(), *world.facts.leaving.values())}
    return {
        names[move.target_id]: f"{move.kind} {tags[move.version_id]} {move.state}"
        for move in sorted(world.facts.moves, key=lambda one: names[one.target_id])
        if move.open
    }


# Worlds in which anything may have happened ---------------------------------------------------------------------------


@dataclass(slots=True)
class Pick:
    """Choices out of one number, so that Hypothesis can shrink them."""

    number: int

    def one(self, options: Sequence[_T]) -> _T:
        """One of the options."""
        self.number, place = divmod(self.number, len(options))
        return options[place]

    def maybe(self) -> bool:
        """Yes or no."""
        return self.one((False, True))


SECONDS = (1, 10, 29, 30, 60, 61, 300, 900, 1800, 3600, 7200, 86_400)

REGION, ZONE = "topology.region", "topology.zone"


def _linear(p: Pick) -> Mapping[str, object]:
    return {
        "rolloutType": p.one(("linear", "linear-normalized")),
        "timeScaleInterval": p.one((0, 30, 60, 600)),
        "whileVerifying": p.one(("wait", "overlap")),
    }


def _in_waves(p: Pick) -> Mapping[str, object]:
    shape: Mapping[str, object] = p.one(
        (
            {"rolloutType": "exponential"},
            {"rolloutType": "waves", "waves": [1, "50%", "100%"]},
            {"rolloutType": "exponential", "factor": 1, "cap": 0.5},
        )
    )
    domains: Mapping[str, object] = p.one(({}, {}, {"failureDomains": [REGION, ZONE]}, {"failureDomains": [ZONE]}))
    proof: Mapping[str, object] = p.one(
        ({}, {"bakeSeconds": p.one((60, [30, 600]))}, {"minimumSamples": p.one((1, 2))}, {"whileVerifying": "overlap"})
    )
    return {**shape, **domains, **proof}


SHAPES: tuple[Callable[[Pick], Mapping[str, object]], ...] = (_linear, _in_waves, _linear)

RULE_MAKERS: Mapping[str, Callable[[Pick], Mapping[str, object]]] = {
    "anyApproval": lambda p: {"minApprovals": p.one((1, 2, 0)), "allowSelfApproval": p.maybe()},
    "environmentProgression": lambda p: {
        "dependsOnEnvironmentSelector": p.one(('environment.name == "staging"', "true", 'environment.name == "moon"')),
        "minimumSuccessPercentage": p.one((100, 50, 0, 34)),
        "minimumSoakTimeSeconds": p.one((0, 30, 600)),
        "requireVerificationPassed": p.maybe(),
        "require": p.one(("any", "all")),
        "requireTargets": p.maybe(),
        **({"successStatuses": ["successful", "failure"]} if p.maybe() else {}),
        **({"maximumAgeHours": 1} if p.maybe() else {}),
    },
    "gradualRollout": lambda p: {
        **p.one(SHAPES)(p),
        "maxFailures": p.one((0, 1)),
        **({"maxInFlight": p.one((1, 2))} if p.maybe() else {}),
    },
    "deploymentDependency": lambda p: {
        "dependsOn": p.one(("true", 'deployment.name == "schema"', 'version.tag == "s1"', 'version.tag != "s2"')),
        "require": p.one(("any", "all")),
        "scope": p.one(("sameResource", "sameEnvironment")),
    },
    "deploymentWindow": lambda p: {
        "rrule": p.one(("FREQ=HOURLY", "FREQ=DAILY;BYHOUR=9,12", "FREQ=HOURLY;INTERVAL=2", "FREQ=DAILY;COUNT=40")),
        "durationMinutes": p.one((20, 45, 180)),
        "timezone": p.one(("UTC", "Europe/Berlin", "America/New_York")),
        "allowWindow": p.one((True, True, False)),
    },
    "saturation": lambda p: {
        **({"signals": ["pool"]} if p.maybe() else {}),
        "whenUnread": p.one(("pass", "pass", "unknown")),
        **({"reactions": [{"level": ["high"], "then": {"approvals": 1}}]} if p.maybe() else {}),
    },
    "rollbackHistory": lambda p: {
        "days": p.one((1, 7)),
        "where": p.one(("here", "everywhere")),
        "reactions": [{"atLeast": p.one((1, 2)), "then": p.one(("hold", {"approvals": 1}, {"paceCap": 0.5}))}],
    },
    "versionCooldown": lambda p: {"intervalSeconds": p.one((60, 0, 900))},
    "errorBudget": lambda p: {
        **p.one(
            (
                {},
                {"reactions": [{"class": ["slow_burn", "unknown", "low"], "then": {"paceCap": 0.5}}]},
                {"reactions": [{"class": ["healthy"], "then": {"approvals": 1, "paceCap": 0.34}}], "exempt": []},
                {"objectives": ["checkout"], "reactions": [{"class": ["fast_burn"], "then": "pass"}]},
            )
        ),
        "whenUncovered": p.one(("pass", "unknown", "pass")),
    },
    "versionSelector": lambda p: {
        "selector": p.one(('!version.tag.contains("bad")', "true", 'environment.name != "staging"'))
    },
    "concurrency": lambda p: {
        **p.one(({"maxInFlight": 1}, {"maxInFlight": 2}, {"maxPercentage": 40})),
        **p.one(({}, {"groupBy": "environment.name"}, {"groupBy": 'resource.metadata["zone"]'})),
    },
    "verification": lambda p: {
        "triggerOn": p.one(("jobSuccess", "jobStarted", "jobCreated", "jobFailure")),
        "metrics": p.one(([METRIC], [METRIC], [METRIC, BETWEEN], [WHILE_OPEN], [BETWEEN, WHILE_OPEN])),
    },
    "retry": lambda p: {
        "maxRetries": p.one((1, 2, 0)),
        "backoffSeconds": p.one((0, 10, 60)),
        "backoffStrategy": p.one(("linear", "exponential")),
    },
    "rollback": lambda p: {
        "onJobStatuses": p.one((["failure"], [], ["failure", "cancelled"])),
        "onVerificationFailure": p.one((True, False)),
        "scope": p.one(("target", "target", "environment")),
    },
}


def a_rule(choice: tuple[str, int]) -> Mapping[str, object]:
    """One rule on the wire."""
    kind, number = choice
    return {kind: RULE_MAKERS[kind](Pick(number))}


PLACES = (("staging",), ("production",), ("staging", "production"), ("lab", "production"))

_NUMBERS = st.integers(min_value=0, max_value=2**20)
_RULES = st.lists(st.tuples(st.sampled_from(sorted(RULE_MAKERS)), _NUMBERS), max_size=5)
_POLICIES = st.lists(
    st.tuples(
        st.sampled_from(PLACES),
        _RULES,
        _NUMBERS,
    ),
    min_size=1,
    max_size=3,
)

Written = list[tuple[tuple[str, ...], list[tuple[str, int]], int]]


def write_policies(world: World, written: Written) -> None:
    """Policies of a generated world; a sixth of them only observes."""
    policies = {f"policy-{n}": (places, [a_rule(one) for one in rules]) for n, (places, rules, _) in enumerate(written)}
    set_policies(
        world, policies, observe=[f"policy-{n}" for n, (_, _, number) in enumerate(written) if number % 6 == 5]
    )


Command = Callable[[World, Pick], object]


def _names(world: World) -> list[str]:
    return sorted(target.name for target in world.facts.targets.values())


def _tags(world: World) -> list[str]:
    return [version.tag for version in sorted(world.facts.versions, key=lambda one: one.age_key, reverse=True)]


def _jobs(world: World) -> list[tuple[Move, object]]:
    return list(world.jobs(lambda job: not job.status.terminal))


def _round(world: World, pick: Pick) -> None:
    world.round(moves_max=pick.one((2000, 2000, 1)))


def _settle(world: World, pick: Pick) -> None:
    for _ in range(6):
        if not world.round().moving:
            return


def _create_version(world: World, pick: Pick) -> None:
    number = len(world.facts.versions) + 1
    tag = f"v{number}" + pick.one(("", "", "-bad"))
    world.create_version(
        tag, status=pick.one(("ready", "ready", "ready", "building")), author_ids=(derived_id("principal", "ann"),)
    )


def _set_status(world: World, pick: Pick) -> None:
    if world.facts.versions:
        world.set_version_status(pick.one(_tags(world)), pick.one(("ready", "ready", "paused", "rejected")))


def _say(world: World, pick: Pick) -> None:
    if world.facts.versions:
        verdict = pick.one(("approved", "approved", "approved", "rejected", "withdrawn"))
        environment = pick.one(("production", "staging"))
        world.say(pick.one(("ann", "bob", "eve")), verdict, pick.one(_tags(world)[:2]), environment)


def _freeze(world: World, pick: Pick) -> None:
    if len(world.facts.freezes) >= 2:
        world.thaw(pick.one(world.facts.freezes).id)
        return
    expires_at = world.now + timedelta(seconds=pick.one(SECONDS)) if pick.maybe() else None
    names = _names(world)
    where = pick.one((None, ("production",), ("staging",)))
    which = (pick.one(names),) if names and pick.maybe() else None
    world.freeze(environments=where, targets=which, expires_at=expires_at)


def _thaw(world: World, pick: Pick) -> None:
    if world.facts.freezes:
        world.thaw(pick.one(world.facts.freezes).id)


def _open_incident(world: World, pick: Pick) -> None:
    if len(world.facts.incidents) >= 2:
        world.resolve_incident(pick.one(world.facts.incidents).id)
        return
    others = sorted(world.facts.elsewhere.deployments)
    on = (pick.one(others),) if others and pick.maybe() else None
    where = pick.one((None, ("production",), ("staging",)))
    world.open_incident(on=on, environments=where, lasts=timedelta(seconds=pick.one(SECONDS)))


def _resolve_incident(world: World, pick: Pick) -> None:
    if world.facts.incidents:
        world.resolve_incident(pick.one(world.facts.incidents).id)


def _read_saturation(world: World, pick: Pick) -> None:
    where = pick.one((None, "production"))
    fresh_for = timedelta(seconds=pick.one(SECONDS))
    world.read_saturation(
        pick.one(("pool", "cpu")), pick.one((0.1, 0.85, 0.99)), environment=where, fresh_for=fresh_for
    )


def _attach(world: World, pick: Pick) -> None:
    environment = pick.one(("production", "staging", "lab"))
    name = f"{environment}-{pick.one((1, 2, 3, 4, 5))}"
    if name in _names(world):
        return
    beside = [one for one in world.facts.targets.values() if one.environment_id == an_id(environment)]
    policy_set = beside[0].policy_set if beside else derived_id("policy-set")
    if policy_set not in world.facts.policy_sets:
        policy_set = None
    world.attach(name, environment, policy_set=policy_set)


def _detach(world: World, pick: Pick) -> None:
    if len(world.facts.targets) > 1:
        world.detach(pick.one(_names(world)))


def _edit_target(world: World, pick: Pick) -> None:
    if world.facts.targets:
        agent = pick.one((None, None, "one", "one", "no_agent", "ambiguous_agent"))
        world.edit_target(
            pick.one(_names(world)), agent=agent, config_digest=pick.one((None, "config-1", "config-2", "config-3"))
        )


def _heal_agents(world: World, pick: Pick) -> None:
    for name in _names(world):
        world.edit_target(name, agent="one")


def _edit_config(world: World, pick: Pick) -> None:
    digest = pick.one(("config-1", "config-2", "config-3"))
    for name in _names(world):
        world.edit_target(name, config_digest=digest)


def _pin(world: World, pick: Pick) -> None:
    if len(world.facts.pins) >= 2:
        world.remove_pin(pick.one(world.facts.pins).id)
    elif world.facts.versions and world.facts.targets:
        expires_at = world.now + timedelta(seconds=pick.one(SECONDS)) if pick.maybe() else None
        where: dict[str, str] = pick.one(({}, {"environment": "production"}, {"target": pick.one(_names(world))}))
        world.pin(pick.one(_tags(world)), expires_at=expires_at, **where)


def _remove_pin(world: World, pick: Pick) -> None:
    if world.facts.pins:
        world.remove_pin(pick.one(world.facts.pins).id)


def _skip(world: World, pick: Pick) -> None:
    rules = [rule.id for one in world.facts.policies.values() for rule in one.rules]
    if rules and world.facts.versions and world.facts.targets:
        expires_at = world.now + timedelta(seconds=pick.one(SECONDS)) if pick.maybe() else None
        resource_id = world.target(pick.one(_names(world))).resource_id if pick.maybe() else None
        environment = "production" if pick.maybe() else None
        world.skip(
            pick.one(rules),
            pick.one(_tags(world)[:2]),
            environment=environment,
            resource_id=resource_id,
            expires_at=expires_at,
        )


def _order(world: World, pick: Pick) -> None:
    if not world.facts.versions or not world.facts.targets:
        return
    kind = pick.one(("redeploy", "force", "rollback", "rollback"))
    expires_at = world.now + timedelta(seconds=pick.one(SECONDS)) if kind == "force" or pick.maybe() else None
    tag = pick.one(_tags(world)) if kind == "force" or (kind == "rollback" and pick.maybe()) else None
    when, scope = pick.one(("now", "idle")), pick.one(("target", "environment"))
    for name in _names(world) if pick.one((False, False, True)) else [pick.one(_names(world))]:
        world.order(kind, name, tag, when=when, expires_at=expires_at, scope=scope)


def _withdraw_order(world: World, pick: Pick) -> None:
    if world.facts.orders:
        world.withdraw_order(pick.one(sorted(one.id for one in world.facts.orders)))


def _skip_kind(world: World, pick: Pick) -> None:
    if world.facts.versions:
        expires_at = world.now + timedelta(seconds=pick.one(SECONDS)) if pick.maybe() else None
        kind = pick.one(("anyApproval", "environmentProgression", "deploymentWindow", "versionDependency", "incident"))
        world.skip(f"kind:{kind}", pick.one(_tags(world)[:2]), expires_at=expires_at)


def _bypass(world: World, pick: Pick) -> None:
    if world.facts.freezes and world.facts.versions and world.facts.targets:
        resource_id = world.target(pick.one(_names(world))).resource_id if pick.maybe() else None
        world.skip(
            f"freeze:{pick.one(world.facts.freezes).id}",
            pick.one(_tags(world)[:2]),
            environment="production" if pick.maybe() else None,
            resource_id=resource_id,
            expires_at=world.now + timedelta(seconds=pick.one(SECONDS)),
        )


def _clear(world: World, pick: Pick) -> None:
    hit = [one.target_id for one in world.facts.quarantines if one.target_id in world.facts.targets]
    if hit:
        world.clear_quarantine(pick.one(hit))


def _set_rollout(world: World, pick: Pick) -> None:
    live = [rollout for rollout in world.facts.rollouts if rollout.live]
    if live:
        state = pick.one(("open", "open", "paused", "paused", "aborted"))
        lasts_s = pick.one((None, 30, 300, 3600)) if state == "paused" else None
        until = None if lasts_s is None else world.now + timedelta(seconds=lasts_s)
        world.set_rollout(pick.one(live).id, state, until=until)


def _runs_elsewhere(world: World, pick: Pick) -> None:
    """Another deployment lands, goes back, or only has its place, on some of the resources."""
    name, tag = pick.one(("schema", "cache")), pick.one(("s1", "s1", "s2", None))
    environment = pick.one(("production", "staging"))
    for resource in _names(world):
        if pick.one((True, True, False)):
            world.runs_elsewhere(name, tag, resource=resource, environment=environment)


def _depend(world: World, pick: Pick) -> None:
    """The newest version needs something beside it, or nothing any more."""
    if world.facts.versions:
        needs = Dependency(
            derived_id("deployment", pick.one(("schema", "cache"))),
            pick.one(("true", 'version.tag == "s1"', 'version.tag != "s1"')),
            pick.maybe(),
        )
        world.depend(_tags(world)[0], pick.one(((), (needs,))))


def domains(number: int) -> dict[str, str]:
    """Where the resource of a number is."""
    return {"zone": "ab"[number % 2], REGION: f"r{number // 2 % 2}", ZONE: f"r{number // 2 % 2}z{number % 2}"}


def _speed_up(world: World, pick: Pick) -> None:
    live = [rollout for rollout in world.facts.rollouts if rollout.live]
    if live:
        what: Mapping[str, int] = pick.one(
            ({"interval_s": 0}, {"interval_s": 10}, {"max_in_flight": 3}, {"bake_s": 0}, {"bake_s": 10})
        )
        world.speed_up(pick.one(live).id, **what)


def _promote(world: World, pick: Pick) -> None:
    live = [rollout for rollout in world.facts.rollouts if rollout.live]
    if live:
        world.promote(pick.one(live).id)


def _hand_over(world: World, pick: Pick) -> None:
    handover = pick.one((Handover.STARTED,) * 5 + (Handover.STARTING, Handover.UNCERTAIN))
    for _, job in world.waiting_jobs():
        if pick.one((True, True, True, False)):
            world.hand_over(job.id, handover=handover)


def _settle_hand_over(world: World, pick: Pick) -> None:
    for _, job in world.jobs(
        lambda one: one.handover in {Handover.STARTING, Handover.UNCERTAIN} and not one.status.terminal
    ):
        world.settle_hand_over(job.id, pick.one((Handover.STARTED, Handover.WAITING)))
    _confirm(world, pick)


def _offer(world: World, pick: Pick) -> None:
    for _, job in world.waiting_jobs():
        if pick.maybe():
            world.offer(job.id)


def _claim(world: World, pick: Pick) -> None:
    for _, job in world.jobs(lambda one: one.status is JobStatus.QUEUED):
        world.hand_over(job.id)


ENDS = (JobStatus.SUCCESSFUL,) * 5 + (
    JobStatus.FAILURE,
    JobStatus.FAILURE,
    JobStatus.CANCELLED,
    JobStatus.SKIPPED,
    JobStatus.INVALID_JOB_AGENT,
    JobStatus.ACTION_REQUIRED,
    JobStatus.IN_PROGRESS,
)


def _hear(world: World, pick: Pick) -> None:
    for _, job in world.jobs(lambda one: one.handover is not Handover.WAITING and not one.status.terminal):
        if pick.one((True, True, False)):
            status = pick.one(ENDS)
            planned = status is JobStatus.ACTION_REQUIRED and job.handover is Handover.STARTED
            world.hear(job.id, status, confirmable=planned and pick.one((True, True, True, False)))


def _succeed(world: World, pick: Pick) -> None:
    for _, job in world.jobs(lambda one: one.handover is not Handover.WAITING and not one.status.terminal):
        world.hear(job.id, JobStatus.SUCCESSFUL)


def _fail(world: World, pick: Pick) -> None:
    jobs = world.jobs(lambda one: one.handover is not Handover.WAITING and not one.status.terminal)
    if jobs:
        world.hear(pick.one(jobs)[1].id, JobStatus.FAILURE, "exit status 1")


def _reject_early(world: World, pick: Pick) -> None:
    jobs = world.waiting_jobs()
    if jobs:
        world.hear(pick.one(jobs)[1].id, pick.one((JobStatus.INVALID_JOB_AGENT, JobStatus.CANCELLED)))


def _confirm(world: World, pick: Pick) -> None:
    for _, job in world.jobs(lambda one: one.awaits_confirm):
        world.begin_confirm(job.id)
    for _, job in world.jobs(lambda one: one.confirm is Confirm.GIVING and not one.status.terminal):
        world.settle_confirm(job.id, pick.one((Confirm.GIVEN,) * 4 + (Confirm.ASKED, Confirm.REFUSED)))


def _measured(world: World, pick: Pick) -> None:
    for _, one in world.running_verifications():
        world.measured(one.id, pick.one(("passed", "passed", "passed", "failed", "inconclusive")))
    for _, proof in world.running_proofs():
        state = pick.one(("passed", "passed", "failed", "inconclusive"))
        if proof.wave is not None or state != "passed":
            world.measured(proof.id, state)
    for _, one in world.held_verifications():
        world.judge_held(one.id, pick.one(("passed", "failed", "running")))


def _pass(world: World, pick: Pick) -> None:
    for _, one in world.running_verifications():
        world.measured(one.id, "passed")
    for _, proof in world.running_proofs():
        if proof.wave is not None:
            world.measured(proof.id, "passed")
    for _, one in world.held_verifications():
        world.judge_held(one.id, "passed")


def _wait(world: World, pick: Pick) -> None:
    world.advance(timedelta(seconds=pick.one(SECONDS)))


def _wake(world: World, pick: Pick) -> None:
    if world.wake_at is not None and world.wake_at > world.now:
        world.now = world.wake_at
        world.round()


def _elsewhere(world: World, pick: Pick) -> None:
    keys = sorted(world.snapshot().slots)
    if keys:
        world.hold_elsewhere(pick.one(keys), pick.one((0, 0, 1, 2)))


BUDGETS = ("healthy", "healthy", "slow_burn", "fast_burn", "unknown", "low", "exhausted")


def _read_budget(world: World, pick: Pick) -> None:
    fresh_for = timedelta(seconds=pick.one(SECONDS))
    world.read_budget(pick.one(("checkout", "latency")), pick.one(BUDGETS), remaining=0.5, fresh_for=fresh_for)


def _uncover(world: World, pick: Pick) -> None:
    world.uncover(pick.one(("checkout", "latency")))


def _label(world: World, pick: Pick) -> None:
    if world.facts.targets:
        world.label(pick.one(_names(world)), **pick.one((domains(0), domains(1), domains(2), {"zone": "a"}, {})))


def _supersede(world: World, pick: Pick) -> None:
    world.facts = replace(world.facts, supersede=pick.one(("wait", "cancel")))


COMMANDS: tuple[Command, ...] = (
    *(_round,) * 6,
    *(_settle,) * 4,
    *(_create_version,) * 5,
    *(_say,) * 5,
    *(_hand_over,) * 9,
    *(_succeed,) * 6,
    *(_hear,) * 3,
    *(_fail,) * 4,
    *(_pass,) * 5,
    *(_measured,) * 3,
    *(_wait,) * 4,
    *(_wake,) * 4,
    _set_status,
    _freeze,
    _thaw,
    _attach,
    _attach,
    _detach,
    _edit_target,
    _heal_agents,
    _edit_config,
    _pin,
    _remove_pin,
    _skip,
    _order,
    _order,
    _withdraw_order,
    _clear,
    _set_rollout,
    _set_rollout,
    _speed_up,
    _promote,
    _settle_hand_over,
    _settle_hand_over,
    _offer,
    _claim,
    _reject_early,
    _supersede,
    _runs_elsewhere,
    _runs_elsewhere,
    _depend,
    _elsewhere,
    _elsewhere,
    _label,
    _read_budget,
    _read_budget,
    _uncover,
    _skip_kind,
    _bypass,
    _open_incident,
    _resolve_incident,
    _read_saturation,
    _read_saturation,
)

Step = tuple[int, int, Written | None]


def do(world: World, step: Step) -> None:
    """One command of a generated world."""
    place, number, written = step
    if written is not None:
        write_policies(world, written)
    else:
        COMMANDS[place % len(COMMANDS)](world, Pick(number))


_STEP = st.tuples(st.integers(0, len(COMMANDS) - 1), _NUMBERS, st.none())
_POLICY_STEP = st.tuples(st.just(0), st.just(0), _POLICIES)
_STEPS = st.integers(0, 19).flatmap(lambda n: _POLICY_STEP if n == 19 else _STEP)


@dataclass(frozen=True, slots=True)
class History:
    """How a world came about: its fleet, whether something ran before, its policies, and what happened."""

    sizes: tuple[int, int, int]
    installed: bool
    policies: Written
    steps: tuple[Step, ...]

    def begin(self) -> World:
        """Three environments of one system, some targets each, before anything happened."""
        names = {
            name: [f"{name}-{n + 1}" for n in range(size)]
            for name, size in zip(("staging", "production", "lab"), self.sizes, strict=True)
        }
        world = a_fleet(names, runs="v0" if self.installed else None)
        world.labels = {name: domains(n) for members in names.values() for n, name in enumerate(members)}
        write_policies(world, self.policies)
        return world

    def world(self) -> World:
        """The world after everything happened."""
        world = self.begin()
        for step in self.steps:
            do(world, step)
        return world


@st.composite
def histories(draw: st.DrawFn, *, steps_max: int = 60) -> History:
    """Any history."""
    sizes = draw(st.tuples(st.integers(0, 2), st.integers(1, 4), st.integers(0, 1)))
    installed, policies = draw(st.booleans()), draw(_POLICIES)
    steps = draw(st.lists(_STEPS, min_size=steps_max // 2, max_size=steps_max))
    return History(sizes, installed, policies, tuple(steps))


EASY = ("gradualRollout", "rollback", "retry", "verification", "anyApproval", "environmentProgression")
"""Rules that let something happen before long."""


def seeded_history(seed: int, *, steps: int = 90) -> History:
    """A long history, all of it from one number. Every second one has rules under which more moves."""
    chance = Random(seed)
    kinds = EASY if seed % 2 else tuple(sorted(RULE_MAKERS))

    def written() -> Written:
        return [
            (
                chance.choice(PLACES),
                [(chance.choice(kinds), chance.randrange(2**20)) for _ in range(chance.randint(0, 3))],
                chance.randrange(60),
            )
            for _ in range(chance.randint(1, 3))
        ]

    def step() -> Step:
        return (
            (0, 0, written())
            if chance.random() < 0.01
            else (chance.randrange(len(COMMANDS)), chance.randrange(2**20), None)
        )

    sizes = (chance.randint(0, 2), chance.randint(1, 4), chance.randint(0, 1))
    policies = written()
    if seed % 4 == 1:
        policies = [(("staging", "production"), [("rollback", 0), ("verification", 0)], 0), *policies[:2]]
    return History(sizes, chance.random() < 0.6, policies, tuple(step() for _ in range(steps)))

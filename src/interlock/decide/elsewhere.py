"""What of other deployments does a round look at? Only what a rule or a version of its own deployment asks about.

A deploymentDependency rule asks about every other deployment, on the same resources or in the same environments; a
version's dependencies ask about those that they name. Where nothing asks, nothing is loaded, so that nobody pays for
what others use. The store and the pure world narrow by the same functions.

Source: core.md section 2, "Facts of others"; store/sql/elsewhere.sql for the queries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from interlock.decide.facts import Beside, Elsewhere, Incident, Target, Version
from interlock.decide.rules import deployment_dependency
from interlock.model.policy import Policy


@dataclass(frozen=True, slots=True)
class Need:
    """What is asked about others.

    Takes: `named` are the deployments that versions depend on: those on the same resources. `resources`: all of them
           there. `environments`: all of them in the same environments.
    """

    named: frozenset[str] = frozenset()
    resources: bool = False
    environments: bool = False

    @property
    def nothing(self) -> bool:
        """Whether nothing is asked."""
        return not (self.named or self.resources or self.environments)


def needed(versions: Iterable[Version], policies: Iterable[Policy]) -> Need:
    """What the rules of some policies and the dependencies of some versions ask about others."""
    scopes = {
        rule.params.same_environment
        for policy in policies
        for rule in policy.rules
        if isinstance(rule.params, deployment_dependency.Params)
    }
    named = frozenset(one.deployment_id for version in versions for one in version.dependencies)
    return Need(named, resources=False in scopes, environments=True in scopes)


def in_order(group: Iterable[Beside]) -> tuple[Beside, ...]:
    """Neighbours by deployment, environment and version."""
    return tuple(sorted(group, key=lambda one: (one.deployment_id, one.environment_id, one.version_id or "")))


def narrowed(elsewhere: Elsewhere, need: Need, targets: Mapping[str, Target]) -> Elsewhere:
    """What is needed of it, where the targets are; equal groups become one value."""
    beside = need.resources or bool(need.named)
    resource_ids = {target.resource_id for target in targets.values()} if beside else set()
    environment_ids = {target.environment_id for target in targets.values()} if need.environments else set()
    known: dict[tuple[Beside, ...], tuple[Beside, ...]] = {}

    def kept(group: tuple[Beside, ...]) -> tuple[Beside, ...]:
        if group not in known:
            mine = [one for one in group if need.resources or one.deployment_id in need.named]
            ordered = in_order(mine)
            known[group] = known.setdefault(ordered, ordered)
        return known[group]

    by_resource = {
        key: mine for key, group in elsewhere.by_resource.items() if key in resource_ids and (mine := kept(group))
    }
    by_environment = {
        key: in_order(group) for key, group in elsewhere.by_environment.items() if key in environment_ids and group
    }
    named = {one for group in (*{*by_resource.values()}, *by_environment.values()) for one in group}
    deployment_ids = {one.deployment_id for one in named} | need.named
    version_ids = {one.version_id for one in named}
    return Elsewhere(
        {key: view for key, view in elsewhere.deployments.items() if key in deployment_ids},
        {key: view for key, view in elsewhere.versions.items() if key in version_ids},
        by_resource,
        by_environment,
    )


def near(incidents: Iterable[Incident], deployment_id: str, elsewhere: Elsewhere) -> tuple[Incident, ...]:
    """The incidents about a deployment or about one that it looks at, each with no other deployments than those."""
    looked_at = {deployment_id, *elsewhere.deployments}
    return tuple(
        replace(one, deployment_ids=one.deployment_ids & looked_at)
        for one in incidents
        if one.deployment_ids & looked_at
    )

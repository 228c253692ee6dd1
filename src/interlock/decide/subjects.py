"""What may a rule look at? The subject is its first parameter, and all there is.

Scope is a signature: a rule over `EnvironmentVersion` is evaluated once for an environment and version, whatever the
number of targets, and its verdict is broadcast. There is no memo, so none can lie. A rule over `TargetMove` is
evaluated once a target.

A subject is a narrow window onto `Facts`; each accessor names the fact kind it reads, and a rule's `needs` must list it
(a test watches).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from interlock.decide.facts import (
    Approval,
    Beside,
    Environment,
    ErrorBudget,
    Freeze,
    Incident,
    Landed,
    ReleaseRef,
    RolledBack,
    Rollout,
    Saturation,
    Target,
    Version,
)
from interlock.decide.index import Index
from interlock.inventory.selector import Selector
from interlock.model.version_facts import version_facts


def change_view(version: Version) -> Mapping[str, object]:
    """What CI said of a version's change: the fields that it said, and no others."""
    metadata = version.view.get("metadata")
    return version_facts(metadata).view if isinstance(metadata, Mapping) else {}


@dataclass(frozen=True, slots=True)
class EnvironmentVersion:
    """One version on its way into one environment."""

    index: Index
    environment: Environment
    version: Version
    kind: str
    bypassed: frozenset[str] = frozenset()
    """The freezes that this move passes by hand."""
    depends_on: tuple[Selector, ...] = ()
    """The selectors of the deploymentDependency rules that stand for this place."""

    @property
    def key(self) -> str:
        """How `waits_on` names it."""
        return f"{self.version.id}:{self.environment.id}"

    @property
    def deployment_view(self) -> dict[str, object]:
        """The deployment's CEL map, as far as a round knows it."""
        facts = self.index.facts
        return {"id": facts.deployment_id, "name": facts.deployment_name, "slug": facts.deployment_name}

    @property
    def change(self) -> Mapping[str, object]:
        """What CI said of the change, as CEL sees it. Reads `versions`."""
        return change_view(self.version)

    @property
    def approvals(self) -> tuple[Approval, ...]:
        """The latest word of each person, oldest first, on the version; for a change of config, on those configs.

        Reads `approvals_by_version_environment`; for a change of config `targets` and `quarantines` as well.
        """
        words = self.index.facts.approvals_by_version_environment.get((self.version.id, self.environment.id), ())
        if self.kind == "config":
            lacking = self.lacking_configs
            found = [word for word in words if word.config_digests is not None and word.config_digests >= lacking]
        else:
            found = [word for word in words if word.config_digests is None]
        return tuple(sorted(found, key=lambda one: (one.given_at, one.principal_id)))

    @property
    def lacking_configs(self) -> frozenset[str]:
        """The resolved configs that targets lack which run this version here. Reads `targets`, `quarantines`."""
        return self.index.lacking_by_environment_version.get((self.environment.id, self.version.id), frozenset())

    @property
    def budgets(self) -> tuple[ErrorBudget, ...]:
        """Where the objectives that cover the deployment stand, by name. Reads `budgets`."""
        return tuple(sorted(self.index.facts.budgets, key=lambda one: (one.name, one.slo_id)))

    @property
    def tier(self) -> str | None:
        """How critical the deployment is said to be. Reads `tier`."""
        return self.index.facts.tier

    @property
    def freezes(self) -> tuple[Freeze, ...]:
        """The freezes over the whole environment (those with a selector are asked per target). Reads `freezes`."""
        return tuple(
            freeze
            for freeze in sorted(self.index.facts.freezes, key=lambda one: (one.created_at, one.id))
            if freeze.target_ids is None
            and freeze.id not in self.bypassed
            and (freeze.environment_ids is None or self.environment.id in freeze.environment_ids)
        )

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """The open incidents that are about this environment, oldest first. Reads `incidents`."""
        return tuple(
            one
            for one in sorted(self.index.facts.incidents, key=lambda one: (one.opened_at, one.id))
            if one.environment_ids is None or self.environment.id in one.environment_ids
        )

    @property
    def relied_on(self) -> frozenset[str]:
        """This deployment and those that it depends on: named by the version, or picked beside it by a rule.

        Reads `versions`, `elsewhere`.
        """
        named = {one.deployment_id for one in self.version.dependencies}
        versions = self.index.facts.elsewhere.versions
        picked = {
            str(versions[one]["deploymentId"]) for each in self.depends_on for one in self.index.picked_elsewhere(each)
        }
        return frozenset({self.index.facts.deployment_id, *named, *picked})

    def name_of(self, deployment_id: str) -> str:
        """A deployment's name, this one's too; its id while it is nowhere near. Reads `elsewhere`."""
        facts = self.index.facts
        if deployment_id == facts.deployment_id:
            return facts.deployment_name or deployment_id
        view = facts.elsewhere.deployments.get(deployment_id)
        return str(view["name"]) if view else deployment_id

    @property
    def saturations(self) -> tuple[Saturation, ...]:
        """How full things are that count here, by name; what is read of this place goes before what is read everywhere.

        Reads `saturations`.
        """
        here = {one.name: one for one in self.index.facts.saturations if one.environment_id is None}
        here |= {one.name: one for one in self.index.facts.saturations if one.environment_id == self.environment.id}
        return tuple(here[name] for name in sorted(here))

    @property
    def rollbacks(self) -> tuple[RolledBack, ...]:
        """The deployment's rollbacks of the days that a rule asks about. Reads `rollbacks`."""
        return self.index.facts.rollbacks

    def tag_of(self, version_id: str) -> str:
        """The tag of a version of this deployment; its id where it was long ago. Reads `versions`."""
        version = self.index.version_by_id.get(version_id)
        return version.tag if version else version_id[:8]

    @property
    def neighbours(self) -> tuple[Environment, ...]:
        """The other environments that share a system with this one, by id. Reads `environments`."""
        return tuple(
            other
            for _, other in sorted(self.index.facts.environments.items())
            if other.id != self.environment.id and other.system_ids & self.environment.system_ids
        )

    def upstream(self, environment: Environment) -> tuple[tuple[Target, Landed | None], ...]:
        """The deployment's targets there, each with what it did with this version.

        Reads `targets`, `landed_by_target_version`.
        """
        return self._with_landed(self.index.targets_by_environment.get(environment.id, ()))

    def left_upstream(self, environment: Environment) -> tuple[tuple[Target, Landed | None], ...]:
        """The same of the targets that left. Reads `leaving`, `landed_by_target_version`."""
        gone = self.index.leaving_by_environment.get(environment.id, ())
        return self._with_landed([target for target in gone if target.detached_at is not None])

    def ended_on(self, target: Target) -> Mapping[str, datetime]:
        """When a job of this version first ended there, by status; successes apart. Reads `ended_by_target_version`."""
        return self.index.facts.ended_by_target_version.get((target.id, self.version.id), {})

    def _with_landed(self, targets: Sequence[Target]) -> tuple[tuple[Target, Landed | None], ...]:
        landed = self.index.facts.landed_by_target_version
        return tuple((target, landed.get((target.id, self.version.id))) for target in targets)

    def rejections_in(self, environment: Environment) -> tuple[Approval, ...]:
        """Who says no to this version there. Reads `approvals_by_version_environment`."""
        words = self.index.facts.approvals_by_version_environment.get((self.version.id, environment.id), ())
        return tuple(word for word in words if word.verdict == "rejected" and word.config_digests is None)

    def rollout_in(self, environment: Environment) -> Rollout | None:
        """This version's rollout there, if one was ever opened. Reads `rollouts`."""
        return self.index.rollout_by_change_environment.get((self.version.change_id, environment.id))

    def quarantined_in(self, environment: Environment) -> bool:
        """Whether a target there must not take this version again. Reads `quarantines`, `targets`."""
        quarantined = self.index.quarantined
        targets = self.index.targets_by_environment.get(environment.id, ()) if quarantined else ()
        return any((target.id, self.version.id) in quarantined for target in targets)


@dataclass(frozen=True, slots=True)
class TargetMove:
    """One target that might go to one version."""

    index: Index
    target: Target
    version: Version
    kind: str
    bypassed: frozenset[str] = frozenset()
    """The freezes that this move passes by hand."""

    @property
    def current(self) -> ReleaseRef | None:
        """What it runs. Reads `targets`."""
        return self.target.current

    @property
    def freezes(self) -> tuple[Freeze, ...]:
        """The freezes whose selector picks this target. Reads `freezes`."""
        return tuple(
            freeze
            for freeze in sorted(self.index.facts.freezes, key=lambda one: (one.created_at, one.id))
            if freeze.target_ids is not None and freeze.id not in self.bypassed and self.target.id in freeze.target_ids
        )

    @property
    def beside(self) -> tuple[Beside, ...]:
        """The targets of other deployments on its resource. Reads `elsewhere`."""
        return self.index.facts.elsewhere.by_resource.get(self.target.resource_id, ())

    @property
    def around(self) -> tuple[Beside, ...]:
        """What other deployments run in its environment, each version once. Reads `elsewhere`."""
        return self.index.facts.elsewhere.by_environment.get(self.target.environment_id, ())

    def picked(self, selector: Selector) -> frozenset[str]:
        """The versions running elsewhere that a selector picks. Reads `elsewhere`."""
        return self.index.picked_elsewhere(selector)

    def deployment_of(self, version_id: str) -> str:
        """The deployment of a version that runs elsewhere. Reads `elsewhere`."""
        return str(self.index.facts.elsewhere.versions[version_id]["deploymentId"])

    def name_of(self, deployment_id: str) -> str:
        """Another deployment's name; its id while it is nowhere near. Reads `elsewhere`."""
        view = self.index.facts.elsewhere.deployments.get(deployment_id)
        return str(view["name"]) if view else deployment_id

    def tag_of(self, version_id: str | None) -> str:
        """The tag of a version that runs elsewhere. Reads `elsewhere`."""
        view = self.index.facts.elsewhere.versions.get(version_id or "")
        return str(view["tag"]) if view else "nothing"


@dataclass(frozen=True, slots=True)
class WorkflowRun:
    """A run of a workflow, or one job of it: the freezes that cover it are all there is to see."""

    freezes: tuple[Freeze, ...]

"""How does each stored noun look on the wire? One function a noun, because nouns show one another.

Exact on purpose: an optional that was not given is absent, never null or `""`, because a client that compares would
show a difference for ever. `metadata` is always an object. A `"false"` selector of an environment is hidden and that
of a deployment is shown, as its clients expect; an unset agent selector is `""`.

Source: contract.md sections c and e.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from interlock.model.inventory import NOTHING, Deployment, Environment, JobAgent, Provider, Resource, System
from interlock.model.line import explain_wait
from interlock.model.secret import masked
from interlock.model.variable import DeploymentVariable, RelationshipRule, VariableSet, VariableValue, literal_wire
from interlock.model.version import Dependency, Version
from interlock.store.lines import LineRow
from interlock.store.policies import StoredPolicy
from interlock.store.workspaces import Workspace
from interlock.web.answers import instant, present

Wire = dict[str, object]


def render_workspace(workspace: Workspace) -> Wire:
    """A workspace."""
    return {
        "id": workspace.id,
        "name": workspace.name,
        "slug": workspace.slug,
        "createdAt": instant(workspace.created_at),
        **({} if workspace.sync_remove_max is None else {"syncRemoveMax": workspace.sync_remove_max}),
    }


def render_system(system: System) -> Wire:
    """A system. Its slug is its name."""
    return present(
        id=system.id,
        workspaceId=system.workspace_id,
        name=system.name,
        slug=system.name,
        description=system.description,
        metadata=system.metadata,
    )


def render_environment(environment: Environment, *, systems: Sequence[System] | None = None) -> Wire:
    """An environment, with its systems where they were loaded."""
    return present(
        id=environment.id,
        name=environment.name,
        description=environment.description,
        resourceSelector=environment.resource_selector if environment.resource_selector != NOTHING else None,
        metadata=environment.metadata,
        createdAt=instant(environment.created_at),
        systems=[render_system(system) for system in systems] if systems is not None else None,
    )


def render_deployment(deployment: Deployment) -> Wire:
    """A deployment. Its slug is its name."""
    return present(
        id=deployment.id,
        name=deployment.name,
        slug=deployment.name,
        description=deployment.description,
        resourceSelector=deployment.resource_selector,
        jobAgentSelector=deployment.job_agent_selector,
        jobAgentConfig=deployment.job_agent_config,
        jobAgents=deployment.job_agents,
        metadata=deployment.metadata,
        supersede=deployment.supersede if deployment.supersede != "wait" else None,
    )


def render_health(line: LineRow) -> Wire:
    """How it stands with a job agent: whether it answers, and how many jobs nobody has yet."""
    says = None
    if line.down_since is not None:
        says = explain_wait(
            agent=line.name, down_since=line.down_since, next_try_at=line.next_try_at, reason=line.reason
        )
    return present(
        state="up" if line.down_since is None else "down",
        since=instant(line.down_since) if line.down_since else None,
        nextTryAt=instant(line.next_try_at) if line.next_try_at else None,
        reason=line.reason,
        says=says,
        waiting=line.waiting,
    )


def render_agent(agent: JobAgent, line: LineRow | None = None) -> Wire:
    """A job agent, with its configuration in full: clients read it back."""
    return {
        **({} if line is None else {"health": render_health(line)}),
        "id": agent.id,
        "workspaceId": agent.workspace_id,
        "name": agent.name,
        "type": agent.type,
        "config": agent.config,
        "metadata": agent.metadata,
    }


def render_provider(provider: Provider) -> Wire:
    """A resource provider."""
    return {
        "id": provider.id,
        "workspaceId": provider.workspace_id,
        "name": provider.name,
        "metadata": provider.metadata,
        "createdAt": instant(provider.created_at),
    }


def render_resource(resource: Resource) -> Wire:
    """A resource."""
    return present(
        id=resource.id,
        workspaceId=resource.workspace_id,
        providerId=resource.provider_id,
        identifier=resource.identifier,
        name=resource.name,
        kind=resource.kind,
        version=resource.version,
        config=resource.config,
        metadata=resource.metadata,
        createdAt=instant(resource.created_at),
        updatedAt=instant(resource.updated_at),
    )


def render_version(version: Version) -> Wire:
    """A version."""
    return present(
        id=version.id,
        deploymentId=version.deployment_id,
        tag=version.tag,
        name=version.name,
        status=version.status,
        message=version.message,
        config=masked(version.config),  # the secrets of a version stand in its `jobAgentConfig` alone
        jobAgentConfig=version.job_agent_config,
        metadata=masked(version.metadata),
        createdAt=instant(version.created_at),
    )


def render_dependency(dependency: Dependency) -> Wire:
    """A dependency by itself."""
    return {
        "deploymentVersionId": dependency.version_id,
        "dependencyDeploymentId": dependency.deployment_id,
        **render_need(dependency),
    }


def render_need(dependency: Dependency) -> Wire:
    """What a version needs of one deployment; `environments` only where it is not what everybody expects."""
    more = {"environments": "all"} if dependency.environments == "all" else {}
    return {"versionSelector": dependency.version_selector, **more}


def render_variable(variable: DeploymentVariable) -> Wire:
    """A deployment variable."""
    return present(
        id=variable.id,
        deploymentId=variable.deployment_id,
        key=variable.key,
        description=variable.description,
        sensitive=variable.sensitive or None,
    )


def render_value(value: VariableValue) -> Wire:
    """A value of a deployment variable. JSON null is a value, so it is never left out."""
    body = present(
        id=value.id,
        deploymentVariableId=value.variable_id,
        priority=value.priority,
        resourceSelector=value.resource_selector,
    )
    return {**body, "value": value.value}


def render_variable_with_values(variable: DeploymentVariable, values: Sequence[VariableValue]) -> Wire:
    """A deployment variable with its values in the order in which they are tried."""
    return {"variable": render_variable(variable), "values": [render_value(value) for value in values]}


def render_variable_set(one: VariableSet) -> Wire:
    """A variable set with its variables in the order in which they were sent."""
    return {
        "id": one.id,
        "name": one.name,
        "description": one.description,
        "selector": one.selector,
        "priority": one.priority,
        "createdAt": instant(one.created_at),
        "updatedAt": instant(one.updated_at),
        "variables": one.variables,
    }


def render_variables(values: Mapping[str, object]) -> Wire:
    """Resolved variables: literals, objects wrapped, secrets as their marks."""
    return {key: literal_wire(value) for key, value in values.items()}


def render_relationship_rule(rule: RelationshipRule) -> Wire:
    """A relationship rule."""
    return present(
        id=rule.id,
        workspaceId=rule.workspace_id,
        name=rule.name,
        description=rule.description,
        reference=rule.reference,
        cel=rule.cel,
        metadata=rule.metadata,
    )


def render_policy(policy: StoredPolicy, *, rules: Sequence[Mapping[str, object]] | None = None) -> Wire:
    """A policy with its rules exactly as they were written, or with these in their place."""
    return present(
        id=policy.id,
        workspaceId=policy.workspace_id,
        name=policy.name,
        description=policy.description,
        selector=policy.selector,
        metadata=policy.metadata,
        priority=policy.priority,
        enabled=policy.enabled,
        mode=policy.mode if policy.mode != "enforce" else None,
        rules=policy.rules if rules is None else rules,
        createdAt=instant(policy.created_at),
    )

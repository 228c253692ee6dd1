"""What does an object look like to an expression? The plain mapping that selectors are evaluated over.

The keys are the wire's, as `scope.py` declares them. A view is made once per object and shared; nothing writes to it.

Secrets are marks in it, as in whatever a reader sees: an expression is a question that any reader may ask, and one that
saw a marker would tell its id letter by letter.

Source: reference-behaviour.md 7.2, "Entity maps".
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from interlock.inventory.engine import instant_text
from interlock.model.inventory import Deployment, Environment, JobAgent, Resource
from interlock.model.secret import masked


def resource_view(resource: Resource) -> dict[str, Any]:
    """The view of a resource."""
    return {
        "id": resource.id,
        "identifier": resource.identifier,
        "name": resource.name,
        "kind": resource.kind,
        "version": resource.version,
        "workspaceId": resource.workspace_id,
        "providerId": resource.provider_id,
        "config": resource.config,
        "metadata": resource.metadata,
        "createdAt": instant_text(resource.created_at),
        "updatedAt": instant_text(resource.updated_at),
    }


def environment_view(environment: Environment, *, workspace_id: str | None = None) -> dict[str, Any]:
    """The view of an environment."""
    return {
        "id": environment.id,
        "name": environment.name,
        "description": environment.description,
        "workspaceId": workspace_id,
        "resourceSelector": environment.resource_selector,
        "metadata": environment.metadata,
        "createdAt": instant_text(environment.created_at),
    }


def deployment_view(deployment: Deployment) -> dict[str, Any]:
    """The view of a deployment. Its slug is its name."""
    return {
        "id": deployment.id,
        "name": deployment.name,
        "slug": deployment.name,
        "description": deployment.description,
        "resourceSelector": deployment.resource_selector,
        "jobAgentSelector": deployment.job_agent_selector,
        "jobAgentConfig": masked(deployment.job_agent_config),
        "metadata": deployment.metadata,
    }


def agent_view(agent: JobAgent) -> dict[str, Any]:
    """The view of a job agent."""
    return {
        "id": agent.id,
        "name": agent.name,
        "type": agent.type,
        "workspaceId": agent.workspace_id,
        "config": masked(agent.config),
        "metadata": agent.metadata,
    }


def version_view(
    version_id: str,
    *,
    deployment_id: str,
    tag: str,
    status: str,
    created_at: datetime,
    name: str | None = None,
    message: str | None = None,
    metadata: dict[str, str] | None = None,
    config: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The view of a version. Its name is its tag unless it was given one."""
    return {
        "id": version_id,
        "name": name or tag,
        "tag": tag,
        "deploymentId": deployment_id,
        "status": status,
        "message": message,
        "metadata": metadata or {},
        "config": config,
        "createdAt": instant_text(created_at),
    }

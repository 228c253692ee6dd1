"""What is there to deploy, and where to? Systems, environments, deployments, job agents, resources and providers.

Source: contract.md section d, "Systems" to "Resource providers".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

from interlock.client.calls import Wire
from interlock.client.reach import Reach

if TYPE_CHECKING:
    from interlock.client.shapes import (
        Accepted,
        Deployment,
        DeploymentAndSystems,
        Ending,
        Environment,
        JobAgent,
        JobAgentType,
        Provider,
        Resource,
        ResourceVariable,
        System,
        SystemWithLinks,
    )


class Inventory(Reach):
    """What there is."""

    def list_systems(self, *, items_max: int | None = None) -> Iterator[System]:
        """Every system, in order of creation."""
        return self._list("systems", items_max=items_max)

    def get_system(self, system_id: str) -> SystemWithLinks:
        """One system with its linked `deployments` and `environments`."""
        return cast("SystemWithLinks", self._get("systems", system_id))

    def create_system(self, body: Wire) -> Accepted:
        """Create a system; the server chooses its id."""
        return cast("Accepted", self._write("POST", "systems", body=body))

    def put_system(self, system_id: str, body: Wire) -> Accepted:
        """Create or replace a system by id."""
        return cast("Accepted", self._write("PUT", "systems", system_id, body=body))

    def delete_system(self, system_id: str) -> Accepted:
        """Delete a system. What it links stays."""
        return cast("Accepted", self._delete("systems", system_id))

    def link_deployment(self, system_id: str, deployment_id: str) -> Accepted:
        """Put a deployment into a system. Doing it twice changes nothing."""
        return cast("Accepted", self._write("PUT", "systems", system_id, "deployments", deployment_id))

    def is_deployment_linked(self, system_id: str, deployment_id: str) -> bool:
        """Whether a system has this deployment."""
        return self._found("systems", system_id, "deployments", deployment_id) is not None

    def is_environment_linked(self, system_id: str, environment_id: str) -> bool:
        """Whether a system has this environment."""
        return self._found("systems", system_id, "environments", environment_id) is not None

    def unlink_deployment(self, system_id: str, deployment_id: str) -> Accepted:
        """Take a deployment out of a system."""
        return cast("Accepted", self._delete("systems", system_id, "deployments", deployment_id))

    def link_environment(self, system_id: str, environment_id: str) -> Accepted:
        """Put an environment into a system. Doing it twice changes nothing."""
        return cast("Accepted", self._write("PUT", "systems", system_id, "environments", environment_id))

    def unlink_environment(self, system_id: str, environment_id: str) -> Accepted:
        """Take an environment out of a system."""
        return cast("Accepted", self._delete("systems", system_id, "environments", environment_id))

    def list_environments(self, *, items_max: int | None = None) -> Iterator[Environment]:
        """Every environment."""
        return self._list("environments", items_max=items_max)

    def get_environment(self, environment_id: str) -> Environment:
        """One environment, with its `systems`."""
        return cast("Environment", self._get("environments", environment_id))

    def find_environment(self, name: str) -> Environment | None:
        """The environment of this name, with its `systems`."""
        return cast("Environment | None", self._found("environments", "name", name))

    def create_environment(self, body: Wire) -> Accepted:
        """Create an environment; the server chooses its id."""
        return cast("Accepted", self._write("POST", "environments", body=body))

    def put_environment(self, environment_id: str, body: Wire) -> Accepted:
        """Create or replace an environment by id."""
        return cast("Accepted", self._write("PUT", "environments", environment_id, body=body))

    def delete_environment(self, environment_id: str) -> Accepted:
        """Delete an environment; what is in flight there ends first."""
        return cast("Accepted", self._delete("environments", environment_id))

    def list_deployments(
        self, *, cel: str | None = None, items_max: int | None = None
    ) -> Iterator[DeploymentAndSystems]:
        """Every deployment that the selector `cel` matches: items `{deployment, systems}`."""
        return self._list("deployments", query={"cel": cel}, items_max=items_max)

    def get_deployment(self, deployment_id: str) -> DeploymentAndSystems:
        """One deployment: `{deployment, systems, variables}`."""
        return cast("DeploymentAndSystems", self._get("deployments", deployment_id))

    def find_deployment(self, name: str) -> DeploymentAndSystems | None:
        """The deployment of this name: `{deployment, systems, variables}`."""
        return cast("DeploymentAndSystems | None", self._found("deployments", "name", name))

    def create_deployment(self, body: Wire) -> Accepted:
        """Create a deployment; the server chooses its id."""
        return cast("Accepted", self._write("POST", "deployments", body=body))

    def put_deployment(self, deployment_id: str, body: Wire) -> Accepted:
        """Create or replace a deployment by id."""
        return cast("Accepted", self._write("PUT", "deployments", deployment_id, body=body))

    def delete_deployment(self, deployment_id: str) -> Accepted:
        """Delete a deployment; what is in flight ends first, and its history stays."""
        return cast("Accepted", self._delete("deployments", deployment_id))

    def list_job_agent_types(self) -> Iterator[JobAgentType]:
        """The types of job agents that the server knows, each with the JSON Schema of its config."""
        return self._list("job-agent-types")

    def list_job_agents(self, *, items_max: int | None = None) -> Iterator[JobAgent]:
        """Every job agent."""
        return self._list("job-agents", items_max=items_max)

    def get_job_agent(self, agent_id: str) -> JobAgent:
        """One job agent."""
        return cast("JobAgent", self._get("job-agents", agent_id))

    def put_job_agent(self, agent_id: str, body: Wire) -> Accepted:
        """Create or replace a job agent by id."""
        return cast("Accepted", self._write("PUT", "job-agents", agent_id, body=body))

    def delete_job_agent(self, agent_id: str) -> Accepted:
        """Delete a job agent."""
        return cast("Accepted", self._delete("job-agents", agent_id))

    def list_resources(self, *, cel: str | None = None, items_max: int | None = None) -> Iterator[Resource]:
        """Every resource that the selector `cel` matches."""
        return self._list("resources", query={"cel": cel}, items_max=items_max)

    def find_resource(self, identifier: str) -> Resource | None:
        """The resource with this identifier."""
        return cast("Resource | None", self._found("resources", "identifier", identifier))

    def search_resources(self, body: Wire) -> Wire:
        """One page of the resources that lists of values and part of a name pick: `{items, total, limit, offset}`."""
        return cast("Wire", self._write("POST", "resources", "search", body=body))

    def put_resource(self, identifier: str, body: Wire) -> Accepted:
        """Create or replace a resource by identifier; its provider stays."""
        return cast("Accepted", self._write("PUT", "resources", "identifier", identifier, body=body))

    def delete_resource(self, identifier: str) -> Accepted:
        """Remove a resource; its targets are detached and their history stays."""
        return cast("Accepted", self._delete("resources", "identifier", identifier))

    def find_target_of_resource(self, identifier: str, deployment_id: str) -> Wire | None:
        """The release target that a deployment has on a resource."""
        place = ("resources", "identifier", identifier, "release-targets", "deployment", deployment_id)
        return cast("Wire | None", self._found(*place))

    def list_deployments_of_resource(self, identifier: str) -> Iterator[Deployment]:
        """The deployments that have a target on a resource."""
        return self._list("resources", "identifier", identifier, "deployments")

    def list_resource_variables(self, identifier: str) -> Iterator[ResourceVariable]:
        """Variables of a resource: items `{resourceId, key, value}`."""
        return self._list("resources", "identifier", identifier, "variables")

    def patch_resource_variables(self, identifier: str, variables: Wire) -> Accepted:
        """Replace all variables of a resource."""
        return cast(
            "Accepted", self._write("PATCH", "resources", "identifier", identifier, "variables", body=variables)
        )

    def list_resource_providers(self) -> Iterator[Provider]:
        """Every resource provider, by name."""
        return self._list("resource-providers")

    def find_resource_provider(self, name: str) -> Provider | None:
        """The resource provider of this name."""
        return cast("Provider | None", self._found("resource-providers", "name", name))

    def put_resource_provider(self, body: Wire) -> Provider:
        """Create or replace a resource provider by name: the answer is the provider."""
        return cast("Provider", self._write("PUT", "resource-providers", body=body))

    def delete_resource_provider(self, name: str) -> Provider:
        """Delete a provider that offers nothing any more."""
        return cast("Provider", self._delete("resource-providers", "name", name))

    def list_provider_resources(self, name: str) -> list[Resource]:
        """The resources of a provider in the order last set."""
        return cast("list[Resource]", self._get("resource-providers", "name", name, "resources")["items"])

    def set_resources(self, provider_id: str, resources: Sequence[Wire], *, removal_allowed: bool = False) -> Wire:
        """Replace everything that a provider offers: its other resources are removed.

        Takes: `removal_allowed` lets it remove more than the server takes for a mistake.
        """
        headers = {"X-Interlock-Allow-Removal": "true"} if removal_allowed else None
        body = {"resources": list(resources)}
        return cast("Wire", self._write("PUT", "resource-providers", provider_id, "set", body=body, headers=headers))

    # Deleting ---------------------------------------------------------------------------------------------------------

    def preview_ending(self, kind: str, name: str) -> Ending:
        """What deleting a `deployment`, `environment`, `resource` or `system` would end now.

        Takes: `name` is a name or id; a resource's identifier.
        """
        return cast("Ending", self._get("endings", kind, name))

"""What does each operation of the API need? One table; a route that is not in it is refused.

A row names the permissions of which the caller must hold one: which of them, a handler may say more narrowly (a `force`
needs another than a `redeploy`). `within`: a role over a system, deployment or environment is enough where the object
lies in it; else the role must be over the workspace. `agents`: the token of a job agent may call it too, for its own
agent.

`web/sign_in.py` asks this table before the body is read, and refuses a handler that asks for something that its row
does not name. `apply` sends each of its requests through its own row. `/W` is a workspace's path.

Source: DESIGN.md section 3, `access/`; decision record 0023.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from interlock.access.permissions import Permission as P  # noqa: N817 one letter, in a table of 170 rows


@dataclass(frozen=True, slots=True)
class Needs:
    """What a call needs. No permissions: anybody who signed in, or with `public` anybody at all."""

    permissions: frozenset[P] = frozenset()
    within: bool = False
    agents: bool = False
    public: bool = False


def needs(*permissions: P, within: bool = False, agents: bool = False) -> Needs:
    """One of these permissions."""
    return Needs(frozenset(permissions), within=within, agents=agents)


PUBLIC = Needs(public=True)
SIGNED_IN = Needs()
READ = needs(P.READ, within=True)

OPERATIONS: Mapping[str, Needs] = {
    "GET /healthz": PUBLIC,
    "GET /readyz": PUBLIC,
    "GET /version": PUBLIC,
    "POST /github/webhook": PUBLIC,
    "POST /tfe/webhook": PUBLIC,
    "POST /argo/{jobAgentId}/webhook": PUBLIC,
    "POST /jobs/{jobId}/callback": PUBLIC,
    "POST /login": PUBLIC,
    "GET /v1/workspaces": SIGNED_IN,
    "POST /v1/workspaces": SIGNED_IN,
    "GET /v1/workspaces/slug/{workspaceSlug}": SIGNED_IN,
    "GET /W": READ,
    "PATCH /W": needs(P.WORKSPACE_WRITE),
    "DELETE /W": needs(P.WORKSPACE_WRITE),
    "POST /W/apply": READ,
    "GET /W/workflows": READ,
    "POST /W/workflows": needs(P.WORKFLOW_WRITE),
    "GET /W/workflows/slug/{slug}": READ,
    "POST /W/workflows/slug/{slug}/runs": needs(P.WORKFLOW_RUN),
    "GET /W/workflows/{workflowId}": READ,
    "PUT /W/workflows/{workflowId}": needs(P.WORKFLOW_WRITE),
    "DELETE /W/workflows/{workflowId}": needs(P.WORKFLOW_WRITE),
    "POST /W/workflows/{workflowId}/runs": needs(P.WORKFLOW_RUN),
    "GET /W/systems": READ,
    "POST /W/systems": needs(P.DEPLOYMENT_WRITE),
    "GET /W/systems/{systemId}": READ,
    "PUT /W/systems/{systemId}": needs(P.DEPLOYMENT_WRITE, within=True),
    "DELETE /W/systems/{systemId}": needs(P.DEPLOYMENT_WRITE, within=True),
    "GET /W/systems/{systemId}/deployments/{deploymentId}": READ,
    "PUT /W/systems/{systemId}/deployments/{deploymentId}": needs(P.DEPLOYMENT_WRITE, within=True),
    "DELETE /W/systems/{systemId}/deployments/{deploymentId}": needs(P.DEPLOYMENT_WRITE, within=True),
    "GET /W/systems/{systemId}/environments/{environmentId}": READ,
    "PUT /W/systems/{systemId}/environments/{environmentId}": needs(P.DEPLOYMENT_WRITE, within=True),
    "DELETE /W/systems/{systemId}/environments/{environmentId}": needs(P.DEPLOYMENT_WRITE, within=True),
    "GET /W/deployments/{deploymentId}/forecast": READ,
    "POST /W/what-if": needs(P.POLICY_WRITE),
    "GET /W/what-if/{whatIfId}": READ,
    "GET /W/slos": READ,
    "POST /W/slos": needs(P.SLO_WRITE),
    "GET /W/slos/{sloId}": READ,
    "PUT /W/slos/{sloId}": needs(P.SLO_WRITE),
    "DELETE /W/slos/{sloId}": needs(P.SLO_WRITE),
    "GET /W/slos/{sloId}/readings": READ,
    "GET /W/environments": READ,
    "POST /W/environments": needs(P.DEPLOYMENT_WRITE),
    "GET /W/environments/name/{name}": READ,
    "GET /W/environments/{environmentId}": READ,
    "PUT /W/environments/{environmentId}": needs(P.DEPLOYMENT_WRITE, within=True),
    "DELETE /W/environments/{environmentId}": needs(P.DEPLOYMENT_WRITE, within=True),
    "GET /W/deployments": READ,
    "POST /W/deployments": needs(P.DEPLOYMENT_WRITE),
    "GET /W/deployments/name/{name}": READ,
    "GET /W/deployments/{deploymentId}": READ,
    "PUT /W/deployments/{deploymentId}": needs(P.DEPLOYMENT_WRITE, within=True),
    "DELETE /W/deployments/{deploymentId}": needs(P.DEPLOYMENT_WRITE, within=True),
    "GET /W/deployments/{deploymentId}/versions": READ,
    "POST /W/deployments/{deploymentId}/versions": needs(P.VERSION_WRITE, within=True),
    "GET /W/deployment-versions/{deploymentVersionId}": READ,
    "PATCH /W/deployment-versions/{deploymentVersionId}": needs(P.VERSION_WRITE, P.STEER, within=True),
    "PATCH /W/deploymentversions/{deploymentVersionId}": needs(P.VERSION_WRITE, P.STEER, within=True),
    "POST /W/deployments/{deploymentId}/plan": needs(P.VERSION_WRITE, within=True),
    "GET /W/deployments/{deploymentId}/plan/{planId}": READ,
    "GET /W/deployment-versions/{deploymentVersionId}/dependencies": READ,
    "PUT /W/deployment-versions/{deploymentVersionId}/dependencies/{dependencyDeploymentId}": needs(
        P.VERSION_WRITE, within=True
    ),
    "DELETE /W/deployment-versions/{deploymentVersionId}/dependencies/{dependencyDeploymentId}": needs(
        P.VERSION_WRITE, within=True
    ),
    "GET /W/job-agent-types": READ,
    "GET /W/job-agents": READ,
    "GET /W/job-agents/{jobAgentId}": READ,
    "PUT /W/job-agents/{jobAgentId}": needs(P.DEPLOYMENT_WRITE),
    "DELETE /W/job-agents/{jobAgentId}": needs(P.DEPLOYMENT_WRITE),
    "GET /W/policies": READ,
    "POST /W/policies": needs(P.POLICY_WRITE),
    "GET /W/policies/{policyId}": READ,
    "PUT /W/policies/{policyId}": needs(P.POLICY_WRITE),
    "DELETE /W/policies/{policyId}": needs(P.POLICY_WRITE),
    "GET /W/resources": READ,
    "POST /W/resources/search": READ,
    "GET /W/resources/identifier/{identifier}": READ,
    "PUT /W/resources/identifier/{identifier}": needs(P.RESOURCE_WRITE),
    "DELETE /W/resources/identifier/{identifier}": needs(P.RESOURCE_WRITE),
    "GET /W/resources/identifier/{identifier}/variables": READ,
    "PATCH /W/resources/identifier/{identifier}/variables": needs(P.RESOURCE_WRITE),
    "GET /W/resources/identifier/{identifier}/deployments": READ,
    "GET /W/resource-providers": READ,
    "PUT /W/resource-providers": needs(P.RESOURCE_WRITE),
    "GET /W/resource-providers/name/{name}": READ,
    "DELETE /W/resource-providers/name/{name}": needs(P.RESOURCE_WRITE),
    "GET /W/resource-providers/name/{name}/resources": READ,
    "PUT /W/resource-providers/{providerId}/set": needs(P.RESOURCE_WRITE),
    "GET /W/deployments/{deploymentId}/variables": READ,
    "PUT /W/deployments/{deploymentId}/variables": needs(P.DEPLOYMENT_WRITE, within=True),
    "GET /W/deployment-variables/{variableId}": READ,
    "PUT /W/deployment-variables/{variableId}": needs(P.DEPLOYMENT_WRITE, within=True),
    "DELETE /W/deployment-variables/{variableId}": needs(P.DEPLOYMENT_WRITE, within=True),
    "GET /W/deployment-variable-values/{valueId}": READ,
    "PUT /W/deployment-variable-values/{valueId}": needs(P.DEPLOYMENT_WRITE, within=True),
    "DELETE /W/deployment-variable-values/{valueId}": needs(P.DEPLOYMENT_WRITE, within=True),
    "GET /W/variable-sets": READ,
    "POST /W/variable-sets": needs(P.DEPLOYMENT_WRITE),
    "GET /W/variable-sets/{variableSetId}": READ,
    "PUT /W/variable-sets/{variableSetId}": needs(P.DEPLOYMENT_WRITE),
    "DELETE /W/variable-sets/{variableSetId}": needs(P.DEPLOYMENT_WRITE),
    "GET /W/relationship-rules": READ,
    "POST /W/relationship-rules": needs(P.DEPLOYMENT_WRITE),
    "GET /W/relationship-rules/{relationshipRuleId}": READ,
    "PUT /W/relationship-rules/{relationshipRuleId}": needs(P.DEPLOYMENT_WRITE),
    "DELETE /W/relationship-rules/{relationshipRuleId}": needs(P.DEPLOYMENT_WRITE),
    "POST /W/release-targets/{releaseTargetKey}/eligible-versions": READ,
    "POST /W/release-targets/resource-preview": READ,
    "GET /W/release-targets": READ,
    "POST /W/release-targets/state": READ,
    "GET /W/release-targets/{releaseTargetKey}/state": READ,
    "GET /W/release-targets/{releaseTargetKey}/desired-release": READ,
    "GET /W/release-targets/{releaseTargetKey}/variables": READ,
    "GET /W/release-targets/{releaseTargetKey}/jobs": READ,
    "GET /W/release-targets/{releaseTargetKey}/explain": READ,
    "POST /W/release-targets/{releaseTargetKey}/inspection": READ,
    "GET /W/deployments/{deploymentId}/explain": READ,
    "GET /W/releases/{releaseId}": READ,
    "GET /W/resources/identifier/{identifier}/release-targets/deployment/{deploymentId}": READ,
    "GET /W/resources/{identifier}/release-targets/deployment/{deploymentId}": READ,
    "GET /W/jobs": READ,
    "GET /W/jobs/{jobId}": READ,
    "GET /W/jobs/{jobId}/with-release": READ,
    "PUT /W/jobs/{jobId}/status": needs(P.JOB_REPORT, within=True, agents=True),
    "POST /W/jobs/{jobId}/heartbeat": needs(P.JOB_REPORT, within=True, agents=True),
    "POST /W/jobs/{jobId}/cancel": needs(P.STEER, within=True),
    "GET /W/tasks": READ,
    "GET /W/jobs/{jobId}/task": READ,
    "POST /W/jobs/{jobId}/take": needs(P.TASK_ANSWER, within=True),
    "POST /W/jobs/{jobId}/complete": needs(P.TASK_ANSWER, within=True),
    "POST /W/jobs/{jobId}/reject": needs(P.TASK_ANSWER, within=True),
    "POST /W/jobs/{jobId}/comments": needs(P.TASK_ANSWER, within=True),
    "GET /W/jobs/{jobId}/results": READ,
    "POST /W/jobs/{jobId}/metrics/{metric}/results": needs(P.MEASUREMENT_WRITE, within=True),
    "POST /W/verifications/{verificationId}/metrics/{metric}/results": needs(P.MEASUREMENT_WRITE, within=True),
    "GET /W/verifications": READ,
    "GET /W/verifications/{verificationId}": READ,
    "POST /W/verifications/{verificationId}/accept": needs(P.STEER, within=True),
    "POST /W/verifications/{verificationId}/fail": needs(P.STEER, within=True),
    "POST /W/verifications/{verificationId}/again": needs(P.STEER, within=True),
    "GET /W/job-agents/{jobAgentId}/jobs": needs(P.READ, within=True, agents=True),
    "POST /W/job-agents/{jobAgentId}/jobs/{jobId}/claim": needs(P.JOB_REPORT, within=True, agents=True),
    "PUT /W/deployment-versions/{deploymentVersionId}/user-approval-records": needs(P.APPROVE, within=True),
    "GET /W/approval-requests": READ,
    "GET /W/approval-requests/{requestId}": READ,
    "POST /W/approval-requests/{requestId}/approvals": needs(P.APPROVE, within=True),
    "GET /W/verifications/{verificationId}/series": READ,
    "GET /W/rollouts": READ,
    "GET /W/rollouts/{rolloutId}": READ,
    "GET /W/rollouts/{rolloutId}/places": READ,
    "POST /W/rollouts/{rolloutId}/pause": needs(P.STEER, within=True),
    "POST /W/rollouts/{rolloutId}/resume": needs(P.STEER, within=True),
    "POST /W/rollouts/{rolloutId}/speed-up": needs(P.STEER, within=True),
    "POST /W/rollouts/{rolloutId}/promote": needs(P.STEER, within=True),
    "POST /W/rollouts/{rolloutId}/abort": needs(P.STEER, within=True),
    "GET /W/quarantines": READ,
    "GET /W/quarantines/{quarantineId}": READ,
    "POST /W/quarantines/{quarantineId}/clear": needs(P.STEER, within=True),
    "POST /W/orders": needs(P.STEER, P.FORCE, within=True),
    "GET /W/orders": READ,
    "GET /W/orders/{orderId}": READ,
    "POST /W/orders/{orderId}/withdraw": needs(P.STEER, P.FORCE, within=True),
    "GET /W/slots": READ,
    "GET /W/deployments/{deploymentId}/versions/{versionId}/explain": READ,
    "GET /W/deployments/{deploymentId}/versions/{versionId}/can-deploy": READ,
    "GET /W/jobs/{jobId}/explain": READ,
    "GET /W/deployment-versions/{deploymentVersionId}/trace": READ,
    "GET /W/environments/{environmentId}/policies": READ,
    "GET /W/decisions/{decisionId}/replay": READ,
    "GET /W/pins": READ,
    "POST /W/pins": needs(P.STEER, within=True),
    "GET /W/pins/{pinId}": READ,
    "POST /W/pins/{pinId}/remove": needs(P.STEER, within=True),
    "GET /W/skips": READ,
    "POST /W/skips": needs(P.STEER, P.FREEZE_BYPASS, within=True),
    "GET /W/skips/{skipId}": READ,
    "POST /W/skips/{skipId}/remove": needs(P.STEER, within=True),
    "GET /W/deployments/{deploymentId}/saturation": READ,
    "POST /W/deployments/{deploymentId}/saturation": needs(P.SIGNAL_REPORT, within=True),
    "DELETE /W/deployments/{deploymentId}/saturation/{name}": needs(P.SIGNAL_REPORT, within=True),
    "POST /W/alerts/alertmanager": needs(P.SIGNAL_REPORT),
    "GET /W/incidents": READ,
    "POST /W/incidents": needs(P.SIGNAL_REPORT),
    "POST /W/incidents/resolve": needs(P.SIGNAL_REPORT),
    "GET /W/incidents/{incidentId}": READ,
    "POST /W/incidents/{incidentId}/resolve": needs(P.SIGNAL_REPORT),
    "GET /W/freezes": READ,
    "POST /W/freezes": needs(P.FREEZE, within=True),
    "GET /W/freezes/{freezeId}": READ,
    "POST /W/freezes/{freezeId}/extend": needs(P.FREEZE, within=True),
    "POST /W/freezes/{freezeId}/thaw": needs(P.FREEZE, within=True),
    "PUT /W/members/{principalId}/address": needs(P.READ, P.MEMBER_WRITE, within=True),
    "GET /W/subscriptions": READ,
    "POST /W/subscriptions": needs(P.SUBSCRIPTION_WRITE, within=True),
    "GET /W/subscriptions/{subscriptionId}": READ,
    "PUT /W/subscriptions/{subscriptionId}": needs(P.SUBSCRIPTION_WRITE, within=True),
    "DELETE /W/subscriptions/{subscriptionId}": needs(P.SUBSCRIPTION_WRITE, within=True),
    "POST /W/subscriptions/{subscriptionId}/pause": needs(P.SUBSCRIPTION_WRITE, within=True),
    "POST /W/subscriptions/{subscriptionId}/resume": needs(P.SUBSCRIPTION_WRITE, within=True),
    "POST /W/subscriptions/{subscriptionId}/test": needs(P.SUBSCRIPTION_WRITE, within=True),
    "POST /W/subscriptions/{subscriptionId}/rotate-secret": needs(P.SUBSCRIPTION_WRITE, within=True),
    "GET /W/subscriptions/{subscriptionId}/deliveries": READ,
    "GET /W/subscriptions/{subscriptionId}/deliveries/{deliveryId}": READ,
    "POST /W/subscriptions/{subscriptionId}/deliveries/{deliveryId}/park": needs(P.SUBSCRIPTION_WRITE, within=True),
    "POST /W/subscriptions/{subscriptionId}/deliveries/{deliveryId}/redeliver": needs(
        P.SUBSCRIPTION_WRITE, within=True
    ),
    "GET /W/members": READ,
    "GET /W/members/{principalId}": READ,
    "POST /W/members": needs(P.MEMBER_WRITE, within=True),
    "DELETE /W/members/{principalId}": needs(P.MEMBER_WRITE),
    "GET /W/keys": READ,
    "POST /W/keys": needs(P.READ, P.MEMBER_WRITE),
    "GET /W/keys/{keyId}": needs(P.READ, P.MEMBER_WRITE),
    "DELETE /W/keys/{keyId}": needs(P.READ, P.MEMBER_WRITE),
    "GET /W/groups": READ,
    "GET /W/groups/{groupName}": READ,
    "PUT /W/groups/{groupName}": needs(P.MEMBER_WRITE),
    "DELETE /W/groups/{groupName}": needs(P.MEMBER_WRITE),
    "GET /W/endings/{kind}/{name}": READ,
    "GET /W/ledger": READ,
    "GET /W/ledger/stream": READ,
    "POST /W/keys/{keyId}/rotate": needs(P.READ, P.MEMBER_WRITE),
    "GET /W/roles": READ,
    "GET /W/roles/{roleName}": READ,
    "PUT /W/roles/{roleName}": needs(P.MEMBER_WRITE),
    "DELETE /W/roles/{roleName}": needs(P.MEMBER_WRITE),
    "GET /W/permissions": READ,
    "GET /W/role-bindings": READ,
    "POST /W/role-bindings": needs(P.MEMBER_WRITE, within=True),
    "DELETE /W/role-bindings/{bindingId}": needs(P.MEMBER_WRITE, within=True),
    "GET /W/access": READ,
    "GET /W/access/explain": READ,
    "GET /W/job-agents/{jobAgentId}/tokens": READ,
    "POST /W/job-agents/{jobAgentId}/tokens": needs(P.AGENT_TOKEN),
    "DELETE /W/job-agents/{jobAgentId}/tokens/{tokenId}": needs(P.AGENT_TOKEN),
}
"""operation -> what it needs, in the order of the API's nouns."""

_WORKSPACE = "/v1/workspaces/{workspaceId}"


def operation_of(method: str, path: str) -> str:
    """The key of a route in the table.

    Takes: the route's path as the API declares it: with `/api` in front, and with or without `:segment` in a parameter.
    """
    bare = re.sub(r":segment\}", "}", path).removeprefix("/api")
    if bare == _WORKSPACE or bare.startswith(_WORKSPACE + "/"):
        bare = "/W" + bare.removeprefix(_WORKSPACE)
    return f"{method} {bare}"

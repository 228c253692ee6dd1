"""Does the API describe itself, and does the description keep to the contract's paths?"""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema_rs
import schemathesis

CONTRACT = """
GET /v1/workspaces
GET /v1/workspaces/slug/{workspaceSlug}
GET /W
POST /v1/workspaces
GET /W/systems
POST /W/systems
GET /W/systems/{systemId}
PUT /W/systems/{systemId}
DELETE /W/systems/{systemId}
GET /W/systems/{systemId}/deployments/{deploymentId}
PUT /W/systems/{systemId}/deployments/{deploymentId}
DELETE /W/systems/{systemId}/deployments/{deploymentId}
GET /W/systems/{systemId}/environments/{environmentId}
PUT /W/systems/{systemId}/environments/{environmentId}
DELETE /W/systems/{systemId}/environments/{environmentId}
GET /W/environments
POST /W/environments
GET /W/environments/{environmentId}
PUT /W/environments/{environmentId}
DELETE /W/environments/{environmentId}
GET /W/environments/name/{name}
GET /W/deployments
POST /W/deployments
GET /W/deployments/{deploymentId}
PUT /W/deployments/{deploymentId}
DELETE /W/deployments/{deploymentId}
GET /W/deployments/name/{name}
GET /W/deployments/{deploymentId}/versions
POST /W/deployments/{deploymentId}/versions
PATCH /W/deploymentversions/{deploymentVersionId}
PUT /W/deployment-versions/{deploymentVersionId}/user-approval-records
GET /W/job-agents
GET /W/job-agents/{jobAgentId}
PUT /W/job-agents/{jobAgentId}
DELETE /W/job-agents/{jobAgentId}
GET /W/job-agents/{jobAgentId}/jobs
POST /W/job-agents/{jobAgentId}/jobs/{jobId}/claim
GET /W/jobs
GET /W/jobs/{jobId}
GET /W/jobs/{jobId}/with-release
PUT /W/jobs/{jobId}/status
GET /W/policies
POST /W/policies
GET /W/policies/{policyId}
PUT /W/policies/{policyId}
DELETE /W/policies/{policyId}
PUT /W/resource-providers
GET /W/resource-providers/name/{name}
DELETE /W/resource-providers/name/{name}
GET /W/resource-providers/name/{name}/resources
PUT /W/resource-providers/{providerId}/set
GET /W/resources
POST /W/resources/search
GET /W/resources/identifier/{identifier}
PUT /W/resources/identifier/{identifier}
DELETE /W/resources/identifier/{identifier}
GET /W/resources/identifier/{identifier}/variables
PATCH /W/resources/identifier/{identifier}/variables
GET /W/resources/identifier/{identifier}/deployments
GET /W/deployments/{deploymentId}/variables
GET /W/deployment-variables/{variableId}
PUT /W/deployment-variables/{variableId}
DELETE /W/deployment-variables/{variableId}
GET /W/deployment-variable-values/{valueId}
PUT /W/deployment-variable-values/{valueId}
DELETE /W/deployment-variable-values/{valueId}
GET /W/variable-sets
POST /W/variable-sets
GET /W/variable-sets/{variableSetId}
PUT /W/variable-sets/{variableSetId}
DELETE /W/variable-sets/{variableSetId}
GET /W/relationship-rules
POST /W/relationship-rules
GET /W/relationship-rules/{relationshipRuleId}
PUT /W/relationship-rules/{relationshipRuleId}
DELETE /W/relationship-rules/{relationshipRuleId}
GET /W/release-targets/{releaseTargetKey}/state
GET /W/release-targets/{releaseTargetKey}/desired-release
GET /W/release-targets/{releaseTargetKey}/jobs
POST /W/release-targets/state
GET /W/releases/{releaseId}
GET /W/deployment-versions/{deploymentVersionId}/dependencies
DELETE /W/deployment-versions/{deploymentVersionId}/dependencies/{dependencyDeploymentId}
PUT /W/deployment-versions/{deploymentVersionId}/dependencies/{dependencyDeploymentId}
POST /W/deployments/{deploymentId}/plan
GET /W/deployments/{deploymentId}/plan/{planId}
POST /W/release-targets/resource-preview
POST /W/release-targets/{releaseTargetKey}/eligible-versions
GET /W/resources/{resourceIdentifier}/release-targets/deployment/{deploymentId}
GET /W/workflows
POST /W/workflows
GET /W/workflows/slug/{slug}
POST /W/workflows/slug/{slug}/runs
DELETE /W/workflows/{workflowId}
GET /W/workflows/{workflowId}
PUT /W/workflows/{workflowId}
POST /W/workflows/{workflowId}/runs
DELETE /W
PATCH /W
"""
"""The contract's operations: all 99 of them."""

OURS = """
GET /W/approval-requests
POST /W/approval-requests/{requestId}/approvals
GET /W/deployments/{deploymentId}/explain
GET /W/release-targets/{releaseTargetKey}/explain
GET /W/freezes
POST /W/freezes
GET /W/ledger
GET /W/members
POST /W/keys
GET /W/rollouts
GET /W/slots
POST /W/rollouts/{rolloutId}/pause
POST /W/rollouts/{rolloutId}/resume
POST /W/rollouts/{rolloutId}/speed-up
POST /W/rollouts/{rolloutId}/promote
GET /W/rollouts/{rolloutId}/places
GET /W/verifications/{verificationId}/series
POST /W/rollouts/{rolloutId}/abort
GET /W/pins
POST /W/pins
GET /W/pins/{pinId}
POST /W/pins/{pinId}/remove
GET /W/skips
POST /W/skips
GET /W/skips/{skipId}
POST /W/skips/{skipId}/remove
POST /W/jobs/{jobId}/cancel
PUT /W/deployments/{deploymentId}/variables
GET /W/release-targets/{releaseTargetKey}/variables
POST /W/orders
GET /W/orders
GET /W/orders/{orderId}
POST /W/orders/{orderId}/withdraw
GET /W/quarantines
POST /W/quarantines/{quarantineId}/clear
"""
"""Interlock's own operations that the story needs."""


async def test_it_is_openapi_3_1_with_every_operation_of_the_contract(client_of: Any) -> None:
    answer = await client_of(None).get("/api/openapi.json")
    assert answer.status_code == 200
    schema = answer.json()
    assert schema["openapi"].startswith("3.1")
    offered = {
        f"{method.upper()} {path.removeprefix('/api')}"
        for path, operations in schema["paths"].items()
        for method in operations
    }
    wanted = {line.replace("/W", "/v1/workspaces/{workspaceId}", 1) for line in (CONTRACT + OURS).split("\n") if line}
    unnamed = {re.sub(r"\{\w+\}", "{}", each) for each in offered}
    assert sorted(each for each in wanted if re.sub(r"\{\w+\}", "{}", each) not in unnamed) == []
    assert len(CONTRACT.split("\n")) - 2 == 99
    for operations in schema["paths"].values():
        for operation in operations.values():
            assert operation["summary"]
    assert "HTTPValidationError" not in str(schema)


async def test_whoever_watches_needs_no_key(client_of: Any) -> None:
    client = client_of(None)
    assert (await client.get("/api/healthz")).json() == {"status": "ok"}
    assert (await client.get("/api/readyz")).json()["status"] == "ok"
    version = (await client.get("/api/version")).json()
    assert set(version) == {"api", "workspaceEngine"}


async def test_lists_say_how_many_there_are(api: Any) -> None:
    for number in range(3):
        await api.post("/systems", {"name": f"s{number}"})
        await api.post("/environments", {"name": f"e{number}"})
        await api.post("/deployments", {"name": f"d{number}", "slug": f"d{number}"})
    for path, name in (
        ("/systems", lambda item: item["name"]),
        ("/environments", lambda item: item["name"]),
        ("/deployments", lambda item: item["deployment"]["name"]),
    ):
        page = (await api.get(path, params={"limit": 2, "offset": 1})).json()
        assert [name(item)[1:] for item in page["items"]] == ["1", "2"], "in order of creation"
        assert (page["total"], page["limit"], page["offset"]) == (3, 2, 1)
        beyond = (await api.get(path, params={"offset": 9})).json()
        assert (beyond["items"], beyond["total"]) == ([], 3)
    by_cel = (await api.get("/deployments", params={"cel": "deployment.name == 'd1'"})).json()
    assert by_cel["total"] == 1 and by_cel["items"][0]["systems"] == []
    ignored = await api.get("/systems", params={"unknown": "x"})
    assert ignored.status_code == 200


async def test_the_description_is_valid_openapi_3_1(client_of: Any) -> None:
    schema = (await client_of(None).get("/api/openapi.json")).json()
    schemathesis.openapi.from_dict(schema).validate()
    for each in schema["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **each})
    text = json.dumps(schema)
    named = set(re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', text))
    assert named <= set(schema["components"]["schemas"])
    operations = [(path, each) for path, item in schema["paths"].items() for each in item.values()]
    ids = [each["operationId"] for _, each in operations]
    assert len(ids) == len(set(ids))
    for path, each in operations:
        declared = {one["name"] for one in each.get("parameters", ()) if one["in"] == "path"}
        assert declared == set(re.findall(r"{(\w+)}", path)), path
        assert any(200 <= int(code) < 300 for code in each["responses"]), path
        assert path.startswith("/api/v1/") or each["security"] == [], path

"""Has every answer the fields that the contract requires, in the types that a client's decoder takes?

Typed clients fail on a missing field, on null where a text is due, on an instant without a zone and on metadata that
is no text. What is required stands in one table here, as the contract's schemas have it.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

REQUIRED: Mapping[str, Mapping[str, str]] = {
    "Workspace": {"id": "text", "name": "text", "slug": "text", "createdAt": "instant"},
    "System": {"id": "text", "workspaceId": "text", "name": "text", "slug": "text", "metadata": "texts"},
    "SystemWithLinkedEntities": {"$": "System", "deployments": "[Deployment]", "environments": "[Environment]"},
    "Environment": {"id": "text", "name": "text", "createdAt": "instant", "metadata": "texts"},
    "EnvironmentWithSystems": {"$": "Environment", "systems": "[System]"},
    "Deployment": {
        "id": "text",
        "name": "text",
        "slug": "text",
        "jobAgentSelector": "text",
        "jobAgentConfig": "map",
        "metadata": "texts",
        "resourceSelector": "text",
    },
    "DeploymentAndSystems": {"deployment": "Deployment", "systems": "[System]"},
    "DeploymentWithVariablesAndSystems": {"$": "DeploymentAndSystems", "variables": "[Variable]"},
    "Variable": {},
    "JobAgent": {"id": "text", "name": "text", "type": "text", "config": "map", "metadata": "texts"},
    "Resource": {
        "id": "text",
        "workspaceId": "text",
        "identifier": "text",
        "name": "text",
        "kind": "text",
        "version": "text",
        "config": "map",
        "metadata": "texts",
        "createdAt": "instant",
    },
    "ResourceProvider": {
        "id": "text",
        "workspaceId": "text",
        "name": "text",
        "createdAt": "instant",
        "metadata": "texts",
    },
    "ResourceVariable": {"resourceId": "text", "key": "text"},
    "DeploymentVersion": {
        "id": "text",
        "deploymentId": "text",
        "tag": "text",
        "name": "text",
        "status": "text",
        "config": "map",
        "jobAgentConfig": "map",
        "metadata": "texts",
        "createdAt": "instant",
    },
    "DeploymentVersionWithDependencies": {"$": "DeploymentVersion", "dependencies": "map"},
    "Policy": {
        "id": "text",
        "workspaceId": "text",
        "name": "text",
        "selector": "text",
        "priority": "int",
        "enabled": "bool",
        "metadata": "texts",
        "rules": "[PolicyRule]",
        "createdAt": "text",
    },
    "PolicyRule": {"id": "text", "policyId": "text", "createdAt": "text"},
    "Job": {
        "id": "text",
        "status": "text",
        "releaseId": "text",
        "jobAgentId": "text",
        "jobAgentConfig": "map",
        "metadata": "texts",
        "createdAt": "instant",
        "updatedAt": "instant",
    },
    "JobWithRelease": {
        "$": "Job",
        "job": "Job",
        "release": "Release",
        "deployment": "Deployment",
        "environment": "Environment",
        "resource": "Resource",
    },
    "JobWithContext": {"$": "Job", "dispatchContext": "DispatchContext"},
    "DispatchContext": {
        "jobAgent": "JobAgent",
        "jobAgentConfig": "map",
        "release": "Release",
        "deployment": "Deployment",
        "environment": "Environment",
        "resource": "Resource",
        "version": "DeploymentVersion",
        "variables": "map",
    },
    "Release": {
        "createdAt": "text",
        "releaseTarget": "ReleaseTarget",
        "version": "DeploymentVersion",
        "variables": "map",
        "encryptedVariables": "[text]",
    },
    "ReleaseTarget": {"resourceId": "text", "environmentId": "text", "deploymentId": "text"},
    "Accepted": {"id": "text", "message": "text"},
    "DeploymentLink": {"systemId": "text", "deploymentId": "text"},
    "EnvironmentLink": {"systemId": "text", "environmentId": "text"},
    "Set": {"ok": "bool", "method": "text"},
}
"""Schema -> field -> kind; `$` names a schema whose fields it has too."""

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def faults(value: Any, kind: str, path: str = "") -> list[str]:
    """What is wrong with a value of this kind. Null is wrong everywhere: an absent optional is absent."""
    match kind:
        case "text":
            return [] if isinstance(value, str) else [f"{path}: {value!r} is no text"]
        case "instant":
            fits = isinstance(value, str) and INSTANT.fullmatch(value)
            return [] if fits else [f"{path}: {value!r} is no instant with a zone"]
        case "int" | "bool":
            return [] if type(value).__name__ == kind else [f"{path}: {value!r} is no {kind}"]
        case "map":
            return [] if isinstance(value, dict) else [f"{path}: {value!r} is no object"]
        case "texts":
            fits = isinstance(value, dict) and all(isinstance(each, str) for each in value.values())
            return [] if fits else [f"{path}: {value!r} is no object of texts"]
        case _ if kind.startswith("["):
            if not isinstance(value, list):
                return [f"{path}: {value!r} is no list"]
            return [fault for at, each in enumerate(value) for fault in faults(each, kind[1:-1], f"{path}[{at}]")]
        case _ if kind.startswith("page<"):
            found = faults(value.get("items"), f"[{kind[5:-1]}]", f"{path}.items")
            found += [fault for name in ("total", "limit", "offset") for fault in faults(value.get(name), "int", name)]
            return found + ([] if value["items"] else [f"{path}: an empty page shows nothing"])
        case _:
            if not isinstance(value, dict):
                return [f"{path}: {value!r} is no {kind}"]
            wanted = dict(REQUIRED[kind])
            found = faults(value, wanted.pop("$"), path) if "$" in wanted else []
            found += [f"{path}.{name}: is null" for name, each in value.items() if each is None]
            for name, inner in wanted.items():
                found += faults(value[name], inner, f"{path}.{name}") if name in value else [f"{path}.{name}: missing"]
            return found


async def test_every_answer_has_what_the_contract_requires(api: Any, store: Any) -> None:
    agent_id = str(uuid.uuid4())

    async def ask(method: str, path: str, status: int, kind: str, body: Any = None) -> Any:
        answer = await api.call(method, path, **({"json": body} if body is not None else {}))
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        assert answer.headers["content-type"].startswith("application/json")
        wrong = faults(answer.json(), kind, f"{method} {path}")
        assert not wrong, "\n".join(["", *wrong])
        return answer.json()

    system = (await ask("POST", "/systems", 202, "Accepted", {"name": "shop", "metadata": {}}))["id"]
    everything = {"name": "all", "resourceSelector": "true", "metadata": {}}
    environment = (await ask("POST", "/environments", 202, "Accepted", everything))["id"]
    agent = {"name": "pull", "type": "http-pull", "config": {"pool": "a"}, "metadata": {}}
    await ask("PUT", f"/job-agents/{agent_id}", 202, "Accepted", agent)
    selectors = {"resourceSelector": "true", "jobAgentSelector": f'jobAgent.id == "{agent_id}"'}
    body = {"name": "api", "slug": "api", "metadata": {}, **selectors}
    deployment = (await ask("POST", "/deployments", 202, "Accepted", body))["id"]
    for kind, child in (("deployment", deployment), ("environment", environment)):
        path = f"/systems/{system}/{kind}s/{child}"
        await ask("PUT", path, 202, "Accepted")
        await ask("GET", path, 200, f"{kind.capitalize()}Link")
    provider = (await ask("PUT", "/resource-providers", 202, "ResourceProvider", {"id": "", "name": "p"}))["id"]
    sent = {"identifier": "a/b", "name": "n", "kind": "K", "version": "v", "config": None, "metadata": None}
    await ask("PUT", f"/resource-providers/{provider}/set", 202, "Set", {"resources": [sent]})
    await ask("PUT", "/resources/identifier/a%2Fb", 202, "Accepted", sent)
    await ask("PATCH", "/resources/identifier/a%2Fb/variables", 202, "Accepted", {"k": 1})
    policy = {"name": "p", "selector": "false", "rules": [{"anyApproval": {"minApprovals": 1}}]}
    policy_id = (await ask("POST", "/policies", 202, "Policy", policy))["id"]
    version = {"tag": "1", "name": "", "status": "ready", "metadata": {}, "config": {}}
    await ask("POST", f"/deployments/{deployment}/versions", 200, "DeploymentVersion", version)

    for path, kind in (
        (f"/systems/{system}", "SystemWithLinkedEntities"),
        ("/systems", "page<System>"),
        (f"/environments/{environment}", "EnvironmentWithSystems"),
        ("/environments/name/all", "EnvironmentWithSystems"),
        ("/environments", "page<EnvironmentWithSystems>"),
        (f"/deployments/{deployment}", "DeploymentWithVariablesAndSystems"),
        ("/deployments/name/api", "DeploymentWithVariablesAndSystems"),
        ("/deployments", "page<DeploymentAndSystems>"),
        (f"/deployments/{deployment}/versions", "page<DeploymentVersionWithDependencies>"),
        (f"/job-agents/{agent_id}", "JobAgent"),
        ("/job-agents", "page<JobAgent>"),
        (f"/policies/{policy_id}", "Policy"),
        ("/policies", "page<Policy>"),
        ("/resource-providers/name/p", "ResourceProvider"),
        ("/resource-providers/name/p/resources", "page<Resource>"),
        ("/resources/identifier/a%2Fb", "Resource"),
        ("/resources", "page<Resource>"),
        ("/resources/identifier/a%2Fb/variables", "page<ResourceVariable>"),
        ("/resources/identifier/a%2Fb/deployments", "page<Deployment>"),
    ):
        await ask("GET", path, 200, kind)
    await ask("POST", "/resources/search", 200, "page<Resource>", {})
    by_slug = await api.raw.get("/api/v1/workspaces/slug/shop")
    assert not faults(by_slug.json(), "Workspace")
    listed = (await api.raw.get("/api/v1/workspaces")).json()
    assert not faults(listed["workspaces"], "[Workspace]") and type(listed["total"]) is int


async def test_every_job_has_what_the_contract_requires(pulled: Any, api: Any) -> None:
    """A job as lists, `get`, `claim` and a target's state show it."""
    world = pulled
    agent = f"/job-agents/{world.ids['agent']}/jobs"
    for path, kind in (
        ("/jobs", "page<JobWithRelease>"),
        (agent, "page<Job>"),
        (f"{agent}?includeDispatchContext=true", "page<JobWithContext>"),
    ):
        answer = await api.get(path)
        assert answer.status_code == 200 and not faults(answer.json(), kind, path), faults(answer.json(), kind, path)
    job_id = (await api.get("/jobs")).json()["items"][0]["id"]
    claimed = await api.post(f"{agent}/{job_id}/claim")
    assert claimed.status_code == 200 and not faults(claimed.json(), "JobWithContext"), claimed.text
    told = await api.put(f"/jobs/{job_id}/status", {"status": "successful"})
    assert told.status_code == 202 and not faults(told.json(), "Accepted")
    for path, kind in ((f"/jobs/{job_id}", "JobWithContext"), (f"/jobs/{job_id}/with-release", "JobWithRelease")):
        answer = await api.get(path)
        assert answer.status_code == 200 and not faults(answer.json(), kind, path), faults(answer.json(), kind, path)
    release = await api.get(f"/releases/{claimed.json()['releaseId']}")
    assert release.status_code == 200 and not faults(release.json(), "Release"), release.text

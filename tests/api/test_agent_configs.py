"""What an agent, a deployment or a version brings for jobs is judged when it is written, by field."""

from __future__ import annotations

from typing import Any

import pytest

from interlock.model.ids import new_id

ARGO = {"serverUrl": "https://argo.example", "apiKey": "key"}


async def agent(api: Any, kind: str = "argo-cd", config: dict[str, Any] | None = None) -> str:
    agent_id = new_id()
    body = {"name": f"a-{agent_id[:8]}", "type": kind, "config": ARGO if config is None else config}
    assert (await api.put(f"/job-agents/{agent_id}", body)).status_code == 202
    return agent_id


def fields_of(answer: Any) -> dict[str, str]:
    assert answer.status_code == 400, answer.text
    return {one["path"]: one["message"] for one in answer.json()["details"]}


async def test_an_agent_that_lacks_where_to_go_is_refused_naming_each_field_and_its_type(api: Any) -> None:
    answer = await api.put(f"/job-agents/{new_id()}", {"name": "argo", "type": "argo-cd", "config": {"prune": "yes"}})
    assert fields_of(answer) == {"config.prune": "Must be true or false."}
    answer = await api.put(f"/job-agents/{new_id()}", {"name": "argo", "type": "argo-cd", "config": {}})
    assert fields_of(answer) == {
        "config.serverUrl": "Is missing. Must be a URL.",
        "config.apiKey": "Is missing. Must be a text or a secretRef.",
    }


async def test_a_deployment_with_a_wrong_value_for_its_agent_is_refused(api: Any, counted: Any) -> None:
    agent_id = await agent(api)
    before = await counted()
    body = {
        "name": "shop",
        "jobAgentSelector": f'jobAgent.id == "{agent_id}"',
        "jobAgentConfig": {"template": "{{ if }", "colour": "red"},
    }
    refused = fields_of(await api.post("/deployments", body))
    assert list(refused) == ["jobAgentConfig.template"]
    assert "line 1" in refused["jobAgentConfig.template"]
    older = {"name": "shop", "jobAgents": [{"ref": agent_id, "config": {"prune": 1}, "selector": ""}]}
    assert list(fields_of(await api.post("/deployments", older))) == ["jobAgents[0].config.prune"]
    assert await counted() == before


async def test_a_deployment_is_told_what_its_jobs_would_lack(api: Any) -> None:
    agent_id = await agent(api)
    body = {"name": "shop", "jobAgentSelector": f'jobAgent.id == "{agent_id}"'}
    answer = await api.post("/deployments", body)
    assert answer.status_code == 202
    [warning] = answer.json()["warnings"]
    assert "still lack template (a Go template, as a text)" in warning
    whole = {**body, "name": "shop-2", "jobAgentConfig": {"template": "kind: Application"}}
    assert "warnings" not in (await api.post("/deployments", whole)).json()


@pytest.mark.parametrize("asked", ['resource.kind == "Cluster"', '(resource.kind == "Host" || true)'], ids=["is", "or"])
async def test_a_selector_that_asks_for_the_resource_leaves_it_to_the_job(api: Any, asked: str) -> None:
    await agent(api)
    body = {
        "name": "shop",
        "jobAgentSelector": f'jobAgent.type == "argo-cd" && {asked}',
        "jobAgentConfig": {"template": 5},
    }
    answer = await api.post("/deployments", body)
    assert answer.status_code == 202
    assert "warnings" not in answer.json()


async def test_a_version_with_a_wrong_value_for_an_agent_of_its_deployment_is_refused(api: Any) -> None:
    agent_id = await agent(api, "test-runner", {})
    made = await api.post("/deployments", {"name": "shop", "jobAgentSelector": f'jobAgent.id == "{agent_id}"'})
    path = f"/deployments/{made.json()['id']}/versions"
    wrong = {"tag": "1", "status": "ready", "jobAgentConfig": {"delaySeconds": "soon"}}
    assert list(fields_of(await api.post(path, wrong))) == ["jobAgentConfig.delaySeconds"]
    good = await api.post(path, {**wrong, "jobAgentConfig": {"delaySeconds": 1, "ours": "x"}})
    assert good.status_code == 200
    changed = await api.patch(f"/deployment-versions/{good.json()['id']}", {"jobAgentConfig": {"status": "maybe"}})
    assert list(fields_of(changed)) == ["jobAgentConfig.status"]


async def test_every_type_is_listed_with_the_schema_of_its_config(api: Any) -> None:
    items = {one["type"]: one for one in (await api.get("/job-agent-types?limit=100")).json()["items"]}
    argo = items["argo-cd"]
    assert (argo["class"], argo["configSchema"]["required"]) == ("keyed", ["serverUrl", "apiKey"])
    assert "template" in argo["neededByJobs"]
    assert argo["configSchema"]["properties"]["apiKey"]["writeOnly"] is True
    assert argo["configSchema"]["properties"]["timeoutSeconds"]["type"] == "number"
    assert items["http-pull"]["configSchema"]["additionalProperties"] is True

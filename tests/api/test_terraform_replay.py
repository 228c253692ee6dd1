"""Does a Terraform apply work, call for call? Create, wait, read back, plan again (empty), update, destroy.

The calls and what must come back are contract.md section c. Where a read differs from what was sent, Terraform would
show a difference on every plan; so what is read back is compared field by field.
"""

from __future__ import annotations

import uuid
from typing import Any

import pytest

GO = {"User-Agent": "Go-http-client/1.1"}


@pytest.fixture
def tf(api: Any) -> Any:
    api.raw.headers.update(GO)
    return api


async def test_configure_resolves_a_slug(tf: Any) -> None:
    answer = await tf.raw.get("/api/v1/workspaces/slug/shop")
    assert answer.status_code == 200 and "json" in answer.headers["content-type"]
    body = answer.json()
    assert body["id"] == tf.workspace and body["slug"] == "shop" and body["createdAt"].endswith("Z")
    assert "googleServiceAccountEmail" not in body
    assert (await tf.raw.get("/api/v1/workspaces/slug/nope")).status_code == 404


async def test_system(tf: Any) -> None:
    made = await tf.post("/systems", {"name": "shop", "metadata": {}})
    assert made.status_code == 202
    system_id = made.json()["id"]
    read = (await tf.get(f"/systems/{system_id}")).json()
    assert read["name"] == "shop" and "description" not in read and read["metadata"] == {}
    assert read["deployments"] == [] and read["environments"] == []
    updated = await tf.put(f"/systems/{system_id}", {"name": "shop", "description": "d", "metadata": {"a": "b"}})
    assert updated.status_code == 202 and updated.json()["id"] == system_id
    assert (await tf.get(f"/systems/{system_id}")).json()["description"] == "d"
    assert (await tf.delete(f"/systems/{system_id}")).status_code == 202
    assert (await tf.get(f"/systems/{system_id}")).status_code == 404


async def test_environment(tf: Any) -> None:
    body = {"name": "production", "resourceSelector": 'resource.metadata["env"] == "prod"', "metadata": {}}
    made = await tf.post("/environments", body)
    assert made.status_code == 202
    path = f"/environments/{made.json()['id']}"
    read = (await tf.get(path)).json()
    assert read["createdAt"].endswith("Z") and read["systems"] == []
    assert {key: read[key] for key in body} == body and "description" not in read
    assert (await tf.post("/environments", body)).status_code == 409
    assert (await tf.put(path, {"name": "production", "metadata": {}})).status_code == 202
    read = (await tf.get(path)).json()
    assert "resourceSelector" not in read
    by_name = await tf.get("/environments/name/production")
    assert by_name.status_code == 200 and by_name.json()["id"] == read["id"]
    assert (await tf.delete(path)).status_code == 202
    assert (await tf.get(path)).status_code == 404
    assert (await tf.get("/environments/name/production")).status_code == 404
    assert (await tf.delete(path)).status_code == 404


@pytest.mark.parametrize(
    "config",
    [
        {"installationId": 12345678, "owner": "acme", "repo": "api", "workflowId": 99, "ref": "main"},
        {"apiKey": "k", "serverUrl": "https://argo", "template": "{{ .x }}"},
        {"organization": "acme", "address": "https://tfc", "triggerRunOnChange": False},
        {"delaySeconds": 0, "status": "completed"},
        {"webhookSecret": "s", "httpInsecure": False, "name": "n", "serverUrl": "u", "template": "t", "apiKey": "k"},
        None,
    ],
)
async def test_deployment(tf: Any, config: dict[str, Any] | None) -> None:
    body: dict[str, Any] = {"name": "shop api", "slug": "shop-api", "metadata": {"team": "a"}}
    if config is not None:
        body |= {"jobAgentConfig": config, "jobAgentSelector": f'jobAgent.id == "{uuid.uuid4()}"'}
    made = await tf.post("/deployments", body)
    assert made.status_code == 202
    path = f"/deployments/{made.json()['id']}"
    answer = (await tf.get(path)).json()
    read = answer["deployment"]
    assert answer["systems"] == [] and answer["variables"] == []
    assert (read["name"], read["slug"], read["metadata"]) == ("shop api", "shop api", {"team": "a"})
    assert read["jobAgentConfig"] == (config or {}) and "description" not in read
    assert read["resourceSelector"] == "false"
    assert read["jobAgentSelector"] == body.get("jobAgentSelector", "")
    body["resourceSelector"] = 'resource.kind == "Host"'
    assert (await tf.put(path, body)).status_code == 202
    assert (await tf.get(path)).json()["deployment"]["resourceSelector"] == 'resource.kind == "Host"'
    assert (await tf.get("/deployments/name/shop%20api")).json()["deployment"]["id"] == made.json()["id"]
    assert (await tf.post("/deployments", body)).json()["code"] == "DUPLICATE_NAME"
    assert (await tf.delete(path)).status_code == 202
    assert (await tf.get(path)).status_code == 404


async def test_a_deployment_in_the_older_form_keeps_its_agents(tf: Any) -> None:
    agents = [{"ref": str(uuid.uuid4()), "config": {"owner": "a", "workflowId": 1}, "selector": 'resource.kind == "x"'}]
    made = await tf.post("/deployments", {"name": "old", "slug": "old", "jobAgents": agents})
    read = (await tf.get(f"/deployments/{made.json()['id']}")).json()["deployment"]
    assert read["jobAgents"] == agents


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("github-app", {"installationId": 1, "owner": "a", "repo": "r"}),
        ("argo-cd", {"apiKey": "k", "serverUrl": "u", "template": "t"}),
        ("test-runner", {"delaySeconds": 1}),
        ("custom-thing", {"a": "b"}),
    ],
)
async def test_job_agent(tf: Any, kind: str, config: dict[str, Any]) -> None:
    path = f"/job-agents/{uuid.uuid4()}"
    body = {"name": "agent", "type": kind, "config": config, "metadata": {"team": "a"}}
    made = await tf.put(path, body)
    assert made.status_code == 202 and made.json()["id"] == path.rpartition("/")[2]
    read = (await tf.get(path)).json()
    assert {key: read[key] for key in body} == body
    assert (await tf.put(path, {**body, "metadata": {}})).status_code == 202
    assert (await tf.get(path)).json()["metadata"] == {}
    clash = await tf.put(f"/job-agents/{uuid.uuid4()}", body)
    assert clash.status_code == 409
    assert (await tf.get("/job-agents")).json()["total"] == 1
    assert (await tf.delete(path)).status_code == 202
    assert (await tf.get(path)).status_code == 404


async def test_links(tf: Any) -> None:
    system_id = (await tf.post("/systems", {"name": "s"})).json()["id"]
    deployment_id = (await tf.post("/deployments", {"name": "d", "slug": "d"})).json()["id"]
    environment_id = (await tf.post("/environments", {"name": "e"})).json()["id"]
    for kind, child_id in (("deployments", deployment_id), ("environments", environment_id)):
        path = f"/systems/{system_id}/{kind}/{child_id}"
        assert (await tf.get(path)).status_code == 404
        assert (await tf.put(path)).status_code == 202
        again = await tf.put(path)
        assert again.status_code == 202 and again.json()["id"] == system_id
        read = await tf.get(path)
        assert read.status_code == 200
        assert read.json() == {"systemId": system_id, f"{kind[:-1]}Id": child_id}
        assert [each["id"] for each in (await tf.get(f"/systems/{system_id}")).json()[kind]] == [child_id]
        shown = (await tf.get(f"/{kind}/{child_id}")).json()
        assert [each["id"] for each in shown["systems"]] == [system_id]
        assert (await tf.delete(path)).status_code == 202
        assert (await tf.get(path)).status_code == 404
        assert (await tf.delete(path)).status_code == 404
    unknown = f"/systems/{system_id}/deployments/{uuid.uuid4()}"
    assert (await tf.put(unknown)).status_code == 404


def _rule(**rule: Any) -> dict[str, Any]:
    return {"id": str(uuid.uuid4()), "createdAt": "0001-01-01T00:00:00Z", **rule}


async def test_policy(tf: Any) -> None:
    wanted_id = str(uuid.uuid4())
    rules = [
        _rule(policyId=wanted_id, anyApproval={"minApprovals": 1}),
        _rule(
            policyId=wanted_id,
            environmentProgression={
                "dependsOnEnvironmentSelector": "environment.name == 'staging'",
                "minimumSoakTimeMinutes": 0,
                "minimumSuccessPercentage": 99.5,
            },
        ),
        _rule(policyId=wanted_id, gradualRollout={"rolloutType": "linear", "timeScaleInterval": 0}),
        _rule(
            policyId=wanted_id,
            verification={
                "metrics": [
                    {
                        "name": "m",
                        "intervalSeconds": 30,
                        "count": 2,
                        "successCondition": "result.ok",
                        "provider": {"type": "sleep", "durationSeconds": 30},
                    }
                ]
            },
        ),
    ]
    body = {
        "name": "p",
        "metadata": {},
        "priority": 0,
        "enabled": True,
        "selector": "environment.name == 'production'",
        "rules": rules,
    }
    made = await tf.post("/policies", body)
    assert made.status_code == 202, made.text
    policy = made.json()
    assert policy["id"] == wanted_id
    assert policy["rules"] == rules and "description" not in policy and policy["workspaceId"] == tf.workspace

    read = (await tf.get(f"/policies/{wanted_id}")).json()
    assert read == policy
    again = await tf.put(f"/policies/{wanted_id}", body)
    assert again.status_code == 202 and again.json() == policy

    changed = {**body, "description": "why", "enabled": False, "rules": [rules[2], rules[0]]}
    updated = await tf.put(f"/policies/{wanted_id}", changed)
    assert updated.status_code == 202
    assert updated.json()["rules"] == [rules[2], rules[0]]
    assert updated.json()["createdAt"] == policy["createdAt"] and updated.json()["enabled"] is False

    assert [each["id"] for each in (await tf.get("/policies")).json()["items"]] == [wanted_id]
    gone = await tf.delete(f"/policies/{wanted_id}")
    assert gone.status_code == 202 and gone.json()["rules"] == [] and gone.json()["id"] == wanted_id
    assert (await tf.get(f"/policies/{wanted_id}")).status_code == 404
    assert (await tf.delete(f"/policies/{wanted_id}")).status_code == 404


async def test_a_policy_without_rules_gets_an_id_of_its_own(tf: Any) -> None:
    body = {"name": "p", "metadata": {}, "priority": 0, "enabled": True, "selector": "true", "rules": []}
    first, second = await tf.post("/policies", body), await tf.post("/policies", body)
    assert first.status_code == second.status_code == 202
    assert first.json()["id"] != second.json()["id"] and first.json()["rules"] == []


async def test_a_rule_without_identity_gets_one_and_keeps_it(tf: Any) -> None:
    made = await tf.post(
        "/policies", {"name": "p", "selector": "true", "rules": [{"anyApproval": {"minApprovals": 1}}]}
    )
    rule = made.json()["rules"][0]
    assert uuid.UUID(rule["id"]) and rule["policyId"] == made.json()["id"] and rule["createdAt"].endswith("Z")
    assert (await tf.get(f"/policies/{made.json()['id']}")).json()["rules"] == [rule]


async def test_resource_provider_keeps_the_order_of_its_last_set(tf: Any) -> None:
    provider_id = str(uuid.uuid4())
    made = await tf.put("/resource-providers", {"id": provider_id, "name": "fleet", "metadata": {"a": "b"}})
    assert made.status_code == 202 and made.json()["id"] == provider_id and made.json()["metadata"] == {"a": "b"}
    assert (await tf.get("/resource-providers/name/fleet")).json() == made.json()

    def host(name: str) -> dict[str, Any]:
        return {"name": name, "identifier": f"id/{name}", "kind": "Host", "version": "v1", "config": {}, "metadata": {}}

    for names in (["c", "a", "b"], ["b", "c"], ["c", "d", "b"]):
        set_ = await tf.put(f"/resource-providers/{provider_id}/set", {"resources": [host(name) for name in names]})
        assert set_.status_code == 202 and set_.json()["ok"] is True
        listed = (await tf.get("/resource-providers/name/fleet/resources")).json()
        assert [each["name"] for each in listed["items"]] == names
        assert {key: type(listed[key]) for key in ("total", "limit", "offset")} == {
            "total": int,
            "limit": int,
            "offset": int,
        }
    assert (await tf.get("/resources/identifier/id%2Fa")).status_code == 404

    renamed = await tf.put("/resource-providers", {"id": provider_id, "name": "fleet-2", "metadata": {"a": "b"}})
    assert renamed.json()["id"] == provider_id
    assert (await tf.get("/resource-providers/name/fleet")).status_code == 404
    gone = await tf.delete("/resources/identifier/id%2Fd")
    assert gone.status_code == 202
    assert (await tf.delete("/resources/identifier/id%2Fd")).status_code == 404


# Variables ------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def deployment_id(tf: Any) -> str:
    return str((await tf.post("/deployments", {"name": "d", "slug": "d", "metadata": {}})).json()["id"])


async def test_deployment_variable(tf: Any, deployment_id: str) -> None:
    path = f"/deployment-variables/{uuid.uuid4()}"
    body = {"deploymentId": deployment_id, "key": "replicas"}
    made = await tf.put(path, body)
    assert made.status_code == 202 and made.json()["id"] == path.rpartition("/")[2]
    assert (await tf.get(path)).json() == {"variable": {"id": made.json()["id"], **body}, "values": []}
    renamed = {**body, "key": "count", "description": "how many"}
    assert (await tf.put(path, renamed)).json()["id"] == made.json()["id"], "by id, so that a key may change"
    assert (await tf.get(path)).json()["variable"] == {"id": made.json()["id"], **renamed}
    clash = await tf.put(f"/deployment-variables/{uuid.uuid4()}", renamed)
    assert clash.status_code == 409 and clash.json()["code"] == "DUPLICATE_KEY"
    unknown = {"deploymentId": str(uuid.uuid4()), "key": "k"}
    assert (await tf.put(f"/deployment-variables/{uuid.uuid4()}", unknown)).status_code == 404
    listed = (await tf.get(f"/deployments/{deployment_id}/variables")).json()
    assert listed["total"] == 1 and listed["items"] == [(await tf.get(path)).json()]
    assert (await tf.get(f"/deployments/{deployment_id}")).json()["variables"] == listed["items"]
    assert (await tf.delete(path)).status_code == 202
    assert (await tf.get(path)).status_code == 404
    assert (await tf.delete(path)).status_code == 404


@pytest.mark.parametrize(
    "value",
    [
        "text",
        5,
        2.5,
        True,
        None,
        {"object": {"a": {"b": [1, "x", None]}}},
        {"object": {}},
        {"reference": "network", "path": ["config", "cidr"]},
    ],
)
async def test_deployment_variable_value(tf: Any, deployment_id: str, value: Any) -> None:
    variable_id = str(uuid.uuid4())
    await tf.put(f"/deployment-variables/{variable_id}", {"deploymentId": deployment_id, "key": "k"})
    path = f"/deployment-variable-values/{uuid.uuid4()}"
    body = {"deploymentVariableId": variable_id, "priority": 0, "value": value}
    made = await tf.put(path, body)
    assert made.status_code == 202 and made.json()["id"] == path.rpartition("/")[2]
    assert set(made.json()) == {"id", "message"}
    read = await tf.get(path)
    assert read.status_code == 200 and read.json() == {"id": made.json()["id"], **body}
    body |= {"priority": 2**40, "resourceSelector": 'resource.metadata["tier"] == "gold"'}
    assert (await tf.put(path, body)).status_code == 202
    assert (await tf.get(path)).json() == {"id": made.json()["id"], **body}
    shown = (await tf.get(f"/deployment-variables/{variable_id}")).json()
    assert shown["values"] == [{"id": made.json()["id"], **body}]
    assert (await tf.delete(path)).status_code == 202
    assert (await tf.get(path)).status_code == 404
    assert (await tf.delete(path)).status_code == 404


async def test_a_value_of_another_variable_keeps_its_id(tf: Any, deployment_id: str) -> None:
    ids = [str(uuid.uuid4()) for _ in range(3)]
    for number, variable_id in enumerate(ids[:2]):
        body = {"deploymentId": deployment_id, "key": f"k{number}"}
        assert (await tf.put(f"/deployment-variables/{variable_id}", body)).status_code == 202
    for variable_id, status in zip(ids, (202, 409, 404), strict=True):
        body = {"deploymentVariableId": variable_id, "priority": 0, "value": 1}
        assert (await tf.put(f"/deployment-variable-values/{ids[2]}", body)).status_code == status


async def test_variable_set(tf: Any) -> None:
    variables = [
        {"key": "z", "value": "text"},
        {"key": "a", "value": {"reference": "network", "path": ["config", "cidr"]}},
        {"key": "m", "value": {"object": {"a": 1}}},
    ]
    body = {"name": "eu", "selector": 'environment.name == "production"', "priority": 3, "variables": variables}
    made = await tf.post("/variable-sets", body)
    assert made.status_code == 201, made.text
    said = made.json()
    assert uuid.UUID(said["id"]) and said["createdAt"].endswith("Z") and said["updatedAt"].endswith("Z")
    assert said["description"] == "" and "variables" not in said
    path = f"/variable-sets/{said['id']}"
    read = (await tf.get(path)).json()
    assert {key: read[key] for key in body} == body and read["description"] == ""
    changed = {**body, "description": "d", "priority": 0, "variables": []}
    updated = await tf.put(path, changed)
    assert updated.status_code == 202 and updated.json()["id"] == said["id"]
    assert {key: (await tf.get(path)).json()[key] for key in changed} == changed
    assert (await tf.put(path, {"name": "emea"})).status_code == 202
    read = (await tf.get(path)).json()
    assert (read["name"], read["selector"], read["description"]) == ("emea", body["selector"], "d")
    gone = await tf.delete(path)
    assert gone.status_code == 202 and gone.json()["name"] == "emea"
    assert (await tf.get(path)).status_code == 404
    assert (await tf.put(path, changed)).status_code == 404
    assert (await tf.delete(path)).status_code == 404


async def test_a_sensitive_variable_of_a_set_shows_an_empty_plan_and_keeps_what_somebody_gave_it(tf: Any) -> None:
    """The provider keeps the value to itself and sends `{"valueHash": ""}` every time."""
    sent = [{"key": "db", "value": {"valueHash": ""}}, {"key": "region", "value": "eu"}]
    body = {"name": "eu", "selector": "true", "priority": 0, "variables": sent}
    path = f"/variable-sets/{(await tf.post('/variable-sets', body)).json()['id']}"
    read = (await tf.get(path)).json()["variables"]
    assert [{key: each[key] for key in ("key", "value")} for each in read] == sent
    given = [{"key": "db", "value": "hunter2", "sensitive": True}, sent[1]]
    assert (await tf.put(path, {"variables": given})).status_code == 202
    assert (await tf.get(path)).json()["variables"] == [
        {"key": "db", "value": "hunter2", "sensitive": True},
        sent[1],
    ]
    assert (await tf.put(path, body)).status_code == 202
    kept = (await tf.get(path)).json()["variables"][0]
    assert kept["value"]["valueHash"].startswith("••••") and len(kept["value"]["valueHash"]) == 12


async def test_variable_sets_are_listed_as_they_are_tried(tf: Any) -> None:
    for name, priority in (("b", 1), ("c", 2), ("a", 1)):
        await tf.post("/variable-sets", {"name": name, "selector": "true", "priority": priority, "variables": []})
    listed = (await tf.get("/variable-sets", params={"limit": 2})).json()
    assert [each["name"] for each in listed["items"]] == ["c", "a"] and listed["total"] == 3
    assert listed["items"][0]["variables"] == []


async def test_relationship_rule(tf: Any) -> None:
    cel = 'from.kind == "Host" && to.kind == "Network" && from.metadata.net == to.name'
    body = {"name": "net", "reference": "network", "cel": cel, "metadata": {"team": "a"}}
    made = await tf.post("/relationship-rules", body)
    assert made.status_code == 201, made.text
    assert made.json() == {"id": made.json()["id"], "workspaceId": tf.workspace, **body}
    path = f"/relationship-rules/{made.json()['id']}"
    assert (await tf.get(path)).json() == made.json()
    changed = {**body, "description": "d", "metadata": {}, "cel": "from.metadata.net == to.name"}
    updated = await tf.put(path, changed)
    assert updated.status_code == 202 and updated.json() == {**made.json(), **changed}
    assert (await tf.get("/relationship-rules")).json()["items"] == [updated.json()]
    gone = await tf.delete(path)
    assert gone.status_code == 202 and gone.json() == updated.json()
    assert (await tf.get(path)).status_code == 404
    assert (await tf.delete(path)).status_code == 404
    assert (await tf.put(path, body)).status_code == 202, "create or replace by id"
    assert (await tf.get(path)).json()["id"] == path.rpartition("/")[2]


SECRET = "stands for a secret that is not stored here"


@pytest.mark.parametrize(
    ("path", "body", "field", "said"),
    [
        ("variable", {"key": ""}, "key", ""),
        ("value", {"value": {"valueHash": "••••12345678"}}, "value", SECRET),
        ("value", {"value": {"valueHash": 1}}, "value.valueHash", "must be text"),
        ("value", {"value": {"$secret": "x"}}, "value.$secret", "word of ours"),
        ("value", {"value": {"secretRef": {"path": "a"}}}, "value.secretRef.provider", "must be text"),
        ("value", {"value": {"reference": "", "path": ["a"]}}, "value.reference", "relationship rule"),
        ("value", {"value": {"reference": "r", "path": []}}, "value.path", "1 to 32 steps"),
        ("value", {"value": {"reference": "r", "path": [1]}}, "value.path", "list of texts"),
        ("value", {"value": 2**60}, "value", "cannot keep exactly"),
        ("value", {"value": "x" * 70_000}, "value", "at most 65,536 bytes"),
        ("value", {"resourceSelector": "resource.knd == 1"}, "resourceSelector", "no valid CEL"),
        ("value", {"priority": 1.5}, "priority", ""),
        ("set", {"variables": [{"key": "k", "value": {"valueHash": "x"}}]}, "variables[0].value", SECRET),
        ("set", {"variables": [{"key": "k", "value": 1}, {"key": "k", "value": 2}]}, "variables[1].key", "already"),
        ("set", {"selector": "environment.name =="}, "selector", "no valid CEL"),
        ("rule", {"cel": "from.name == there.name"}, "cel", "may read from, to"),
        ("rule", {"cel": " "}, "cel", "required"),
        ("rule", {"reference": " "}, "reference", ""),
        ("resource", {"a": {"valueHash": "x"}}, "variables.a", SECRET),
    ],
)
async def test_what_cannot_be_kept_is_refused_and_named(
    tf: Any, deployment_id: str, counted: Any, path: str, body: Any, field: str, said: str
) -> None:
    variable_id = str(uuid.uuid4())
    await tf.put(f"/deployment-variables/{variable_id}", {"deploymentId": deployment_id, "key": "declared"})
    await tf.put("/resources/identifier/one", {"name": "one", "kind": "Host", "version": "v1"})
    sends: dict[str, tuple[Any, str, Any]] = {
        "variable": (tf.put, f"/deployment-variables/{uuid.uuid4()}", {"deploymentId": deployment_id, "key": "k"}),
        "value": (
            tf.put,
            f"/deployment-variable-values/{uuid.uuid4()}",
            {"deploymentVariableId": variable_id, "priority": 0, "value": 1},
        ),
        "set": (tf.post, "/variable-sets", {"name": "s", "selector": "true", "variables": []}),
        "rule": (tf.post, "/relationship-rules", {"name": "r", "reference": "r", "cel": "true", "metadata": {}}),
        "resource": (tf.patch, "/resources/identifier/one/variables", {}),
    }
    send, target, good = sends[path]
    before = await counted()
    refused = await send(target, {**good, **body})
    assert refused.status_code == 400, refused.text
    details = refused.json()["details"]
    assert [each["path"] for each in details] == [field]
    assert said in refused.json()["message"]
    assert await counted() == before

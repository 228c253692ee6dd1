"""Is the contract kept where no single client insists? Access, what the reference contradicts itself in, strictness.

The rows of `ctrlc` and of Terraform have files of their own.

Source: contract.md sections a and e.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any

from api.contract_rows import stands_for
from api.story import World
from api.wire_clients import YEAR_ONE, escaped, is_instant, texts

# Access ---------------------------------------------------------------------------------------------------------------


@stands_for("access base url", "access slug for a workspace id", "strictness in: slug for workspace")
async def test_a_slug_serves_wherever_an_id_does(api: Any) -> None:
    await api.post("/systems", {"name": "s", "metadata": {}})
    for workspace in (api.workspace, "shop"):
        for path in ("", "/systems", "/deployments", "/resources", "/workflows", "/variable-sets"):
            assert (await api.raw.get(f"/api/v1/workspaces/{workspace}{path}")).status_code == 200
    for unknown in ("nobody", "%00", "a%2Fb", "not-an-id"):
        answer = await api.raw.get(f"/api/v1/workspaces/{unknown}/systems")
        assert answer.status_code in {400, 404} and answer.json()["error"]


@stands_for("access header X-API-Key", "access header Authorization", "access no key")
async def test_the_key_in_either_header(api: Any, client_of: Any) -> None:
    key = api.raw.headers["X-API-Key"]
    assert re.fullmatch(r"[0-9a-f]{16}\.[0-9a-f]{64}", key)
    path = f"/api/v1/workspaces/{api.workspace}"
    nobody = client_of(None)
    for headers in ({"X-API-Key": key}, {"x-api-key": key}, {"Authorization": f"Bearer {key}"}):
        assert (await nobody.get(path, headers=headers)).status_code == 200
    first, _, second = key.partition(".")
    for headers in ({}, {"X-API-Key": ""}, {"X-API-Key": f"{first}.{second[::-1]}"}, {"Authorization": "Bearer x"}):
        refused = await nobody.get(path, headers=headers)
        assert refused.status_code == 401 and refused.json()["code"] in {"UNAUTHORIZED", "AUTH_FAILED"}
        assert isinstance(refused.json()["message"], str) and "json" in refused.headers["content-type"]


@stands_for("access unauthenticated paths")
async def test_health_and_version_need_no_key(client_of: Any) -> None:
    nobody = client_of(None)
    health = await nobody.get("/api/healthz")
    assert (health.status_code, health.json()) == (200, {"status": "ok"})
    version = await nobody.get("/api/version")
    assert version.status_code == 200 and isinstance(version.json()["api"], str)


# Contradictions -------------------------------------------------------------------------------------------------------


@stands_for("contradiction PUT relationship-rule", "contradiction DELETE relationship-rule")
async def test_relationship_rules_answer_202_with_the_rule(api: Any) -> None:
    body = {"name": "n", "reference": "r", "cel": "from.name == to.name", "metadata": {}}
    made = await api.post("/relationship-rules", body)
    assert made.status_code == 201
    path = f"/relationship-rules/{made.json()['id']}"
    assert ((await api.put(path, body)).status_code, (await api.delete(path)).status_code) == (202, 202)


@stands_for("contradiction DELETE resource by identifier")
async def test_deleting_a_resource_answers_each_client_what_it_takes(api: Any) -> None:
    for agent, status in (("Go-http-client/1.1", 202), ("Go-http-client/2.0", 202), ("other/1", 200), ("ctrlc/1", 200)):
        await api.put("/resources/identifier/x", {"name": "n", "kind": "K", "version": "v"})
        gone = await api.delete("/resources/identifier/x", headers={"User-Agent": agent})
        assert gone.status_code == status and set(gone.json()) == {"id", "message"}


@stands_for("contradiction GET jobs")
async def test_a_job_of_the_list_is_nested_and_flat(api: Any, pulled: World) -> None:
    for item in (await api.get("/jobs")).json()["items"]:
        assert {key: item[key] for key in item["job"]} == item["job"]
        assert item["release"]["id"] == item["job"]["releaseId"]


@stands_for("contradiction PATCH deploymentversions/{id}")
async def test_a_version_is_changed_under_both_spellings(api: Any) -> None:
    deployment = (await api.post("/deployments", {"name": "d", "slug": "d"})).json()["id"]
    made = (await api.post(f"/deployments/{deployment}/versions", {"tag": "1"})).json()
    for spelling in ("deploymentversions", "deployment-versions"):
        answer = await api.patch(f"/{spelling}/{made['id']}", {"name": spelling})
        assert (answer.status_code, answer.json()["name"]) == (202, spelling)
        assert (await api.patch(f"/{spelling}/{uuid.uuid4()}", {"name": "x"})).status_code == 404


@stands_for("contradiction GET resources/{identifier}/release-targets/deployment/{id}")
async def test_a_target_is_found_under_both_spellings(api: Any) -> None:
    world = await World(api).build(agent_type="http-pull", config={}, rules=[])
    deployment = world.ids["deployment"]
    for spelling in ("resources/identifier", "resources"):
        answer = await api.get(f"/{spelling}/p-1/release-targets/deployment/{deployment}")
        assert answer.status_code == 200, answer.text
        target = answer.json()
        assert (target["deploymentId"], target["environmentId"]) == (deployment, world.ids["production"])
        assert uuid.UUID(target["resourceId"])
        for missing in (
            f"none/release-targets/deployment/{deployment}",
            f"p-1/release-targets/deployment/{uuid.uuid4()}",
        ):
            assert (await api.get(f"/{spelling}/{missing}")).status_code == 404


@stands_for("contradiction GET name/{name}/resources", "strictness out: list order")
async def test_the_resources_of_a_provider_are_a_page_in_the_order_of_the_set(api: Any) -> None:
    provider = (await api.put("/resource-providers", {"name": "p"})).json()["id"]
    sent = [{"name": name, "identifier": name, "kind": "K", "version": "v"} for name in ("c", "a", "b")]
    await api.put(f"/resource-providers/{provider}/set", {"resources": sent})
    page = (await api.get("/resource-providers/name/p/resources")).json()
    assert [each["name"] for each in page["items"]] == ["c", "a", "b"]
    assert (page["total"], page["offset"], type(page["limit"])) == (3, 0, int)


@stands_for("contradiction POST versions")
async def test_a_repeated_tag_brings_everything_up_to_date(api: Any) -> None:
    other = (await api.post("/deployments", {"name": "o", "slug": "o"})).json()["id"]
    deployment = (await api.post("/deployments", {"name": "d", "slug": "d"})).json()["id"]
    path = f"/deployments/{deployment}/versions"
    first = (await api.post(path, {"tag": "1", "status": "building"})).json()
    changed = {
        "tag": "1",
        "name": "n",
        "status": "ready",
        "config": {"a": 1},
        "jobAgentConfig": {"b": 2},
        "metadata": {"c": "d"},
        "message": "m",
        "dependencies": {other: {"versionSelector": "version.tag == '1'"}},
    }
    again = await api.post(path, changed)
    assert again.status_code == 200 and again.json()["id"] == first["id"]
    (listed,) = (await api.get(path)).json()["items"]
    assert {key: listed[key] for key in changed} == changed
    assert listed["createdAt"] == first["createdAt"]


@stands_for("contradiction error body")
async def test_every_refusal_has_one_body(api: Any, client_of: Any) -> None:
    await api.post("/environments", {"name": "e"})
    for answer, status, code in (
        (await api.post("/environments", {"name": "e"}), 409, "DUPLICATE_NAME"),
        (await api.post("/environments", {}), 400, "VALIDATION_ERROR"),
        (await api.get(f"/environments/{uuid.uuid4()}"), 404, "NOT_FOUND"),
        (await api.get("/environments/not-an-id"), 404, "NOT_FOUND"),
        (await api.get("/deployments", params={"cel": "((("}), 400, "INVALID_CEL"),
        (await api.get("/deployments", params={"limit": 1001}), 400, "VALIDATION_ERROR"),
        (await api.get("/nothing"), 404, "NOT_FOUND"),
        (await api.call("PATCH", "/systems"), 405, "METHOD_NOT_ALLOWED"),
        (await client_of(None).get("/api/v1/workspaces"), 401, "UNAUTHORIZED"),
    ):
        body = answer.json()
        assert (answer.status_code, body["code"]) == (status, code), answer.text
        assert body["error"] == body["message"] and "json" in answer.headers["content-type"]
        assert set(body) <= {"error", "message", "code", "details"}


@stands_for("contradiction job agent metadata, provider metadata, provider id")
async def test_metadata_and_the_id_of_a_provider_are_stored(api: Any) -> None:
    agent, provider = str(uuid.uuid4()), str(uuid.uuid4())
    body = {"name": "a", "type": "http-pull", "config": {}, "metadata": {"pool": "x"}}
    assert (await api.put(f"/job-agents/{agent}", body)).status_code == 202
    assert (await api.get(f"/job-agents/{agent}")).json()["metadata"] == {"pool": "x"}
    made = await api.put("/resource-providers", {"id": provider, "name": "p", "metadata": {"team": "y"}})
    assert made.json()["id"] == provider
    assert (await api.get("/resource-providers/name/p")).json()["metadata"] == {"team": "y"}
    again = await api.put("/resource-providers", {"id": "", "name": "p"})
    assert again.json()["id"] == provider


@stands_for("contradiction policy rollback rule")
async def test_a_rollback_rule_is_stored_as_it_was_written(api: Any) -> None:
    body = {"name": "p", "selector": "true", "rules": [{"rollback": {}}, {"retry": {"maxRetries": 2}}]}
    made = await api.post("/policies", body)
    assert made.status_code == 202, made.text
    read = (await api.get(f"/policies/{made.json()['id']}")).json()["rules"]
    assert [{key: rule[key] for key in rule if key not in {"id", "createdAt", "policyId"}} for rule in read] == body[
        "rules"
    ]


# Strictness -----------------------------------------------------------------------------------------------------------


@stands_for(
    "strictness in: extra fields",
    "strictness in: null config and metadata",
    "strictness in: an empty id",
    "strictness in: year-1 dates",
    "strictness in: unknown query parameters",
)
async def test_input_is_taken_generously(api: Any) -> None:
    extra = {"x": 1, "createdAt": YEAR_ONE, "id": "", "metadata": None}
    assert (await api.post("/systems", {"name": "s", **extra})).status_code == 202
    assert (await api.post("/environments", {"name": "e", **extra})).status_code == 202
    body = {"name": "d", "slug": "d", "jobAgentConfig": None, **extra}
    deployment = await api.post("/deployments", body)
    assert deployment.status_code == 202
    path = f"/deployments/{deployment.json()['id']}/versions"
    version = await api.post(path, {"tag": "1", "config": None, "jobAgentConfig": None, "metadata": None, "x": 1})
    assert version.status_code == 200
    assert (await api.put(f"/job-agents/{uuid.uuid4()}", {"name": "a", "type": "t", "config": None})).status_code == 202
    provider = await api.put("/resource-providers", {"name": "p", **extra})
    sent = {"name": "n", "identifier": "i", "kind": "K", "version": "v", "config": None, **extra}
    path = f"/resource-providers/{provider.json()['id']}/set"
    assert (await api.put(path, {"resources": [sent], "x": 1})).status_code == 202
    assert (await api.put("/resources/identifier/j", {**sent, "variables": None})).status_code == 202
    rule = {"id": str(uuid.uuid4()), "createdAt": YEAR_ONE, "anyApproval": {"minApprovals": 1}}
    assert (await api.post("/policies", {"name": "p", "selector": "true", "rules": [rule], **extra})).status_code == 202
    workflow = {"name": "w", "inputs": [{"key": "k", "type": "string", "label": "more"}], "jobAgents": [], **extra}
    assert (await api.post("/workflows", workflow)).status_code == 201
    variables = {"name": "v", "selector": "true", "variables": [], **extra}
    assert (await api.post("/variable-sets", variables)).status_code == 201
    for listed in (
        "systems",
        "environments",
        "deployments",
        "job-agents",
        "policies",
        "resources",
        "jobs",
        "workflows",
    ):
        assert (await api.get(f"/{listed}", params={"unknown": "1"})).status_code == 200


@stands_for(
    "strictness out: status codes",
    "strictness out: JSON content type",
    "strictness out: RFC 3339 with zone",
    "strictness out: string-only metadata",
    "strictness out: absent rather than null",
)
async def test_output_is_exact(api: Any, pulled: World) -> None:
    await api.post("/variable-sets", {"name": "v", "selector": "true", "variables": []})
    await api.post("/policies", {"name": "p", "selector": "true", "rules": []})
    await api.post("/relationship-rules", {"name": "r", "reference": "r", "cel": "true", "metadata": {}})
    await api.post("/workflows", {"name": "w", "inputs": [], "jobAgents": []})
    ids = pulled.ids
    for path in (
        "",
        "/systems",
        f"/systems/{ids['system']}",
        "/environments",
        f"/environments/{ids['production']}",
        "/deployments",
        f"/deployments/{ids['deployment']}",
        f"/deployments/{ids['deployment']}/versions",
        f"/deployments/{ids['deployment']}/variables",
        "/job-agents",
        f"/job-agents/{ids['agent']}/jobs?includeDispatchContext=true",
        "/jobs",
        "/policies",
        "/relationship-rules",
        "/variable-sets",
        "/workflows",
        "/resources",
        "/resources/identifier/p-1",
        "/resources/identifier/p-1/deployments",
        "/resources/identifier/p-1/variables",
    ):
        answer = await api.get(path)
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("application/json")
        wrong = list(inexact(answer.json(), path))
        assert not wrong, "\n".join(["", *wrong])
        if "items" in answer.json():
            assert all(type(answer.json()[key]) is int for key in ("total", "limit", "offset"))


def inexact(value: Any, path: str) -> Iterator[str]:
    """What a typed client would stumble over: null, an instant without a zone, metadata that is no text."""
    match value:
        case dict():
            for key, each in value.items():
                at = f"{path}.{key}"
                if each is None:
                    yield f"{at} is null"
                elif key == "metadata":
                    texts(each)
                elif key.endswith("At") and isinstance(each, str) and not is_instant(each):
                    yield f"{at}: {each!r} has no zone"
                else:
                    yield from inexact(each, at)
        case list():
            for number, each in enumerate(value):
                yield from inexact(each, f"{path}[{number}]")


@stands_for("strictness out: echoed rule ids")
async def test_rules_come_back_with_their_ids_in_their_order(api: Any) -> None:
    rules = [
        {"id": str(uuid.uuid4()), "policyId": str(uuid.uuid4()), "createdAt": YEAR_ONE, **each}
        for each in (
            {"versionCooldown": {"intervalSeconds": 60}},
            {"anyApproval": {"minApprovals": 1}},
            {"versionCooldown": {"intervalSeconds": 30}},
        )
    ]
    made = (await api.post("/policies", {"name": "p", "selector": "true", "rules": rules})).json()
    assert [rule["id"] for rule in made["rules"]] == [rule["id"] for rule in rules]
    put = await api.put(f"/policies/{made['id']}", {"name": "p", "selector": "true", "rules": rules[::-1]})
    wanted = [{**rule, "policyId": made["id"]} for rule in rules[::-1]]
    assert put.json()["rules"] == wanted == (await api.get(f"/policies/{made['id']}")).json()["rules"]
    assert (await api.put("/policies/not-an-id", {"name": "p", "selector": "true", "rules": []})).status_code == 400


NO_ID = "not-an-id"
TAKES_ANY_TEXT = ("name", "identifier", "slug")
"""Path parameters that are no ids: any text may name something."""


@stands_for("strictness out: status codes")
async def test_a_malformed_id_names_nothing_and_breaks_nothing(api: Any, counted: Any) -> None:
    """Every operation with an id in its path, each id malformed in turn, with an empty body and a wrong one."""
    document = (await api.raw.get("/api/openapi.json")).json()
    before = await counted()
    asked = 0
    for path, operations in document["paths"].items():
        names = [name for name in re.findall(r"\{(\w+)\}", path) if name != "workspaceId"]
        if not path.startswith("/api/v1/workspaces/{workspaceId}/") or not names:
            continue
        for bad in names:
            url = path.replace("{workspaceId}", api.workspace)
            for name in names:
                url = url.replace(f"{{{name}}}", NO_ID if name == bad else str(uuid.uuid4()))
            for method in operations:
                sent = {"json": {}} if method in {"put", "post", "patch"} else {}
                answer = await api.raw.request(method.upper(), url, **sent)
                asked += 1
                text = any(word in bad.lower() for word in TAKES_ANY_TEXT)
                assert answer.status_code in {400, 404} or (text and answer.status_code < 500), (
                    f"{method} {url}: {answer.text}"
                )
                assert "json" in answer.headers["content-type"]
    assert asked > 80
    assert await counted() == before


# Lists ----------------------------------------------------------------------------------------------------------------


@stands_for("strictness out: list order")
async def test_lists_are_in_order_of_creation_and_paged(api: Any) -> None:
    for path in ("systems", "environments", "deployments", "job-agents", "policies", "workflows"):
        for name in ("c", "a", "b"):
            body: dict[str, Any] = {"name": name, "slug": name, "selector": "true", "rules": [], "type": "t"}
            if path == "workflows":
                body |= {"inputs": [], "jobAgents": []}
            agent = f"/job-agents/{uuid.uuid4()}"
            made = await (api.put(agent, body) if path == "job-agents" else api.post(f"/{path}", body))
            assert made.status_code in {201, 202}, made.text
        page = (await api.get(f"/{path}", params={"limit": 2, "offset": 1})).json()
        names = [(item.get("deployment") or item)["name"] for item in page["items"]]
        assert names == ["a", "b"] and (page["total"], page["limit"], page["offset"]) == (3, 2, 1)
        default = (await api.get(f"/{path}")).json()
        assert (default["limit"], default["offset"]) == (50, 0)
        for wrong in ({"limit": 0}, {"limit": 1001}, {"offset": -1}, {"limit": "x"}):
            assert (await api.get(f"/{path}", params=wrong)).status_code == 400
        past = (await api.get(f"/{path}", params={"offset": 9})).json()
        assert (past["items"], past["total"]) == ([], 3)


IDENTIFIERS = ("a/b", "/leading", "a//b", "variables", "a b%", "x/variables", "ü+&=", ".")


@stands_for("strictness out: status codes")
async def test_any_identifier_is_one_segment(api: Any) -> None:
    for identifier in IDENTIFIERS:
        path = f"/resources/identifier/{'%2E' if identifier == '.' else escaped(identifier)}"
        body = {"name": "n", "kind": "K", "version": "v"}
        assert (await api.put(path, body)).status_code == 202
        assert (await api.get(path)).json()["identifier"] == identifier
        assert (await api.patch(f"{path}/variables", {"k": 1})).status_code == 202
        assert (await api.get(f"{path}/variables")).json()["total"] == 1
        assert (await api.get(f"{path}/deployments")).status_code == 200
        assert (await api.delete(path)).status_code == 200

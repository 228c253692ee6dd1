"""Is every bad write refused whole? A clear error in the contract's body, and not one row more in any table.

The list is the one of the first issue, "Bad input and bad luck".
"""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest

NO_ID = "not-an-id"
POLICY: dict[str, Any] = {"name": "p", "selector": "true", "metadata": {}, "priority": 0, "enabled": True, "rules": []}
RESOURCE = {"name": "n", "kind": "K", "version": "v"}


@pytest.fixture
async def refused(api: Any, counted: Any) -> Any:
    """`await refused("PUT", path, body, status=400, field="…")`: refused so, and nothing was stored."""

    async def check(
        method: str, path: str, body: Any = None, *, status: int = 400, field: str | None = None, **more: Any
    ) -> Any:
        before = await counted()
        if body is not None:
            more["json"] = body
        answer = await api.call(method, path, **more)
        assert_refusal(answer, status)
        assert await counted() == before
        if field is not None:
            assert [fault["path"] for fault in answer.json()["details"]] == [field], answer.text
        return answer.json()

    return check


def assert_refusal(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    body = answer.json()
    assert isinstance(body["error"], str) and body["message"] == body["error"] and body["error"]
    assert "Traceback" not in answer.text


async def test_conduct_towards_an_agent_that_is_wrong(refused: Any) -> None:
    agent = {"name": "a", "type": "http-pull", "config": {"timeoutSeconds": "soon"}}
    await refused("PUT", f"/job-agents/{uuid.uuid4()}", agent, field="config.timeoutSeconds")
    deployment: dict[str, Any] = {"name": "x", "slug": "x"}
    for config, key in (({"pollIntervalSeconds": 0}, "pollIntervalSeconds"), ({"ratePerMinute": 5}, "ratePerMinute")):
        await refused("POST", "/deployments", {**deployment, "jobAgentConfig": config}, field=f"jobAgentConfig.{key}")
        entries = [{"ref": str(uuid.uuid4()), "config": config}]
        await refused("POST", "/deployments", {**deployment, "jobAgents": entries}, field=f"jobAgents[0].config.{key}")


NOT_CEL = "this is not valid cel ===!!!"


async def test_cel_that_does_not_parse(refused: Any) -> None:
    for path in ("/environments", "/deployments"):
        body = {"name": "x", "slug": "x", "resourceSelector": NOT_CEL}
        said = await refused("POST", path, body, field="resourceSelector")
        assert "line 1" in said["message"] and said["code"] == "INVALID_CEL"
    await refused(
        "POST", "/deployments", {"name": "x", "slug": "x", "jobAgentSelector": "((("}, field="jobAgentSelector"
    )
    agents = [{"ref": str(uuid.uuid4()), "config": {}}, {"ref": str(uuid.uuid4()), "config": {}, "selector": "((("}]
    await refused(
        "POST", "/deployments", {"name": "x", "slug": "x", "jobAgents": agents}, field="jobAgents[1].selector"
    )
    await refused("POST", "/policies", {**POLICY, "selector": "((("}, field="selector")
    await refused("POST", "/freezes", {"reason": "r", "selector": "((("}, field="selector")
    progression = {"environmentProgression": {"dependsOnEnvironmentSelector": "((("}}
    await refused("POST", "/policies", {**POLICY, "rules": [progression]})
    await refused("POST", "/policies", {**POLICY, "rules": [{"versionSelector": {"selector": "((("}}]})
    await refused("GET", "/resources", params={"cel": NOT_CEL})
    await refused("GET", "/deployments", params={"cel": "(((not valid CEL"})


async def test_cel_that_does_not_type_check(refused: Any) -> None:
    for selector in ('resource.metadata["n"] > 3', "resource.name", "1 + 1", "resource.kind == 3"):
        await refused("POST", "/environments", {"name": "x", "resourceSelector": selector}, field="resourceSelector")


async def test_a_selector_over_an_unknown_variable_or_field(refused: Any) -> None:
    for selector in ("resouce.kind == 'x'", "resource.knd == 'x'", "deployment.name == 'x'", "jobAgent.id == 'x'"):
        await refused("POST", "/environments", {"name": "x", "resourceSelector": selector}, field="resourceSelector")
    await refused("POST", "/policies", {**POLICY, "selector": "version.tag == 'x'"}, field="selector")


async def test_rules_are_read_closed(refused: Any) -> None:
    approval = {"anyApproval": {"minApprovals": 1}}
    for rules in (
        [{"anyAproval": {"minApprovals": 1}}],
        [{"anyApproval": {"minApprovals": 1, "extra": True}}],
        [{"anyApproval": {"minApprovals": "1"}}],
        [{"anyApproval": {"minApprovals": True}}],
        [{"anyApproval": {}}],
        [{}],
        [{"id": str(uuid.uuid4())}],
        [{**approval, "retry": {"maxRetries": 1}}],
        ["anyApproval"],
        [{"gradualRollout": {"rolloutType": "sideways", "timeScaleInterval": 1}}],
        [{"verification": {"metrics": [{"name": "m"}]}}],
    ):
        await refused("POST", "/policies", {**POLICY, "rules": rules})
        await refused("PUT", f"/policies/{uuid.uuid4()}", {**POLICY, "rules": rules})
    said = await refused("POST", "/policies", {**POLICY, "rules": [approval, {"anyAproval": {"minApprovals": 1}}]})
    assert "rules[1]" in said["message"]
    await refused("POST", "/policies", {**POLICY, "rules": "none"})


async def test_a_bad_recurrence_or_time_zone(refused: Any) -> None:
    window = {"durationMinutes": 60, "rrule": "FREQ=DAILY;BYHOUR=9", "timezone": "Europe/Berlin", "allowWindow": True}
    for change in (
        {"rrule": "EVERY DAY"},
        {"rrule": "FREQ=SECONDLY"},
        {"rrule": ""},
        {"timezone": "Europe/Atlantis"},
        {"durationMinutes": 0},
    ):
        await refused("POST", "/policies", {**POLICY, "rules": [{"deploymentWindow": {**window, **change}}]})


async def test_a_non_string_metadata_value(refused: Any, api: Any) -> None:
    deployment_id = (await api.post("/deployments", {"name": "d", "slug": "d"})).json()["id"]
    provider_id = (await api.put("/resource-providers", {"name": "p"})).json()["id"]
    for value in (1, True, None, {"a": "b"}, ["x"]):
        metadata = {"good": "yes", "bad": value}
        for method, path, body in (
            ("POST", "/systems", {"name": "x"}),
            ("POST", "/environments", {"name": "x"}),
            ("POST", "/deployments", {"name": "x", "slug": "x"}),
            ("PUT", f"/job-agents/{uuid.uuid4()}", {"name": "x", "type": "test-runner", "config": {}}),
            ("PUT", "/resources/identifier/x", RESOURCE),
            ("PUT", "/resource-providers", {"name": "x"}),
            ("POST", "/policies", POLICY),
            ("POST", f"/deployments/{deployment_id}/versions", {"tag": "1", "name": "1", "status": "ready"}),
        ):
            await refused(method, path, {**body, "metadata": metadata}, field="metadata.bad")
    good = {**RESOURCE, "identifier": "a"}
    bad = {**RESOURCE, "identifier": "b", "metadata": {"n": 1}}
    await refused(
        "PUT", f"/resource-providers/{provider_id}/set", {"resources": [good, bad]}, field="resources[1].metadata.n"
    )


async def test_a_body_over_the_limit(refused: Any, api: Any, counted: Any) -> None:
    big = {"name": "x", "metadata": {"k": "v" * 300_000}}
    await refused("POST", "/systems", big, status=413)

    async def pieces() -> Any:
        for _ in range(300):
            yield b" " * 1024

    before = await counted()
    answer = await api.call("POST", "/systems", content=pieces(), headers={"Content-Type": "application/json"})
    assert_refusal(answer, 413)
    assert await counted() == before


async def test_what_is_no_json_is_told_as_that_and_not_as_a_field(api: Any) -> None:
    headers = {"Content-Type": "application/json"}
    for body in ("nojson", '{"name": NaN}', '{"name": 1e999}'):
        answer = await api.call("POST", "/systems", content=body, headers=headers)
        assert answer.status_code == 400
        assert answer.json()["message"] in {"The body is not JSON.", "name: Input should be a valid string."}
        assert not any(fault["path"].startswith("[") for fault in answer.json()["details"])


async def test_a_malformed_id(refused: Any) -> None:
    for path in (
        "/systems",
        "/environments",
        "/deployments",
        "/job-agents",
        "/policies",
        "/deployment-versions",
        "/freezes",
        "/approval-requests",
        "/jobs",
        "/rollouts",
    ):
        await refused("GET", f"{path}/{NO_ID}", status=404)
        await refused("GET", f"{path}/%00", status=404)
        await refused("GET", f"{path}/%ff", status=404)
    for path in ("/systems", "/environments", "/deployments", "/job-agents", "/policies"):
        await refused("DELETE", f"{path}/{NO_ID}", status=404)
    await refused("PUT", f"/policies/{NO_ID}", POLICY, status=400)
    await refused("PUT", f"/systems/{NO_ID}", {"name": "x"}, status=404)
    await refused("PUT", f"/systems/{NO_ID}/deployments/{NO_ID}", status=404)
    await refused("PUT", f"/resource-providers/{NO_ID}/set", {"resources": []}, status=404)
    await refused("POST", f"/deployments/{NO_ID}/versions", {"tag": "1", "name": "", "status": "ready"}, status=404)
    await refused("PUT", f"/jobs/{NO_ID}/status", {"status": "successful"}, status=404)
    await refused("GET", "/release-targets/short/state", status=400)
    await refused("GET", f"/release-targets/{uuid.uuid4()}-{uuid.uuid4()}-{uuid.uuid4()}/state", status=404)
    approval = {"status": "approved", "environmentIds": []}
    await refused("PUT", f"/deployment-versions/{NO_ID}/user-approval-records", approval, status=404)


async def test_a_duplicate_name(refused: Any, api: Any) -> None:
    agent = {"name": "a", "type": "test-runner", "config": {}}
    await api.post("/environments", {"name": "a"})
    await api.post("/deployments", {"name": "a", "slug": "a"})
    await api.put(f"/job-agents/{uuid.uuid4()}", agent)
    await refused("POST", "/environments", {"name": "a"}, status=409)
    await refused("PUT", f"/environments/{uuid.uuid4()}", {"name": "a"}, status=409)
    said = await refused("POST", "/deployments", {"name": "a", "slug": "a"}, status=409)
    assert said["code"] == "DUPLICATE_NAME"
    await refused("PUT", f"/job-agents/{uuid.uuid4()}", agent, status=409)
    answer = await api.raw.post("/api/v1/workspaces", json={"name": "Shop", "slug": "shop"})
    assert_refusal(answer, 409)
    assert answer.json()["code"] == "DUPLICATE_SLUG"


async def test_an_id_of_another_workspace(api: Any, counted: Any) -> None:
    system_id = (await api.post("/systems", {"name": "mine"})).json()["id"]
    other = (await api.raw.post("/api/v1/workspaces", json={"name": "Other", "slug": "other"})).json()["id"]
    before = await counted()
    for method, status in (("GET", 404), ("PUT", 409), ("DELETE", 404)):
        body = {"json": {"name": "theirs"}} if method == "PUT" else {}
        answer = await api.raw.request(method, f"/api/v1/workspaces/{other}/systems/{system_id}", **body)
        assert_refusal(answer, status)
    assert await counted() == before
    assert (await api.get(f"/systems/{system_id}")).json()["name"] == "mine"


async def test_a_workspace_that_is_unknown_or_not_the_users(
    api: Any, counted: Any, key_of: Any, client_of: Any
) -> None:
    stranger = client_of(await key_of("mallory"))
    before = await counted()
    for client, workspace in (
        (api.raw, str(uuid.uuid4())),
        (api.raw, "00000000-0000-0000-0000-000000000000"),
        (api.raw, "nowhere"),
        (api.raw, ""),
        (stranger, api.workspace),
        (stranger, "shop"),
    ):
        for method, path in (("GET", "/systems"), ("POST", "/systems"), ("GET", "/resources/identifier/x")):
            answer = await client.request(method, f"/api/v1/workspaces/{workspace}{path}", json={"name": "x"})
            assert_refusal(answer, 404)
    answer = await stranger.get("/api/v1/workspaces/slug/shop")
    assert_refusal(answer, 404)
    listed = (await stranger.get("/api/v1/workspaces")).json()
    assert listed == {"workspaces": [], "total": 0}
    assert await counted() == before


async def test_no_key_or_a_wrong_one(api: Any, counted: Any, client_of: Any) -> None:
    real = api.raw.headers["x-api-key"]
    before = await counted()
    for key in (None, "", "x", real[:-1] + ("0" if real[-1] != "0" else "1"), real.replace(".", "")):
        client = client_of(key)
        for method, path in (("GET", "/api/v1/workspaces"), ("POST", f"/api/v1/workspaces/{api.workspace}/systems")):
            answer = await client.request(method, path, content=b"not even JSON")
            assert_refusal(answer, 401)
            assert "www-authenticate" in answer.headers
    assert await counted() == before
    bearer = await client_of(None).get("/api/v1/workspaces", headers={"Authorization": f"Bearer {real}"})
    assert bearer.status_code == 200


async def test_an_expired_or_revoked_key(api: Any, store: Any) -> None:
    async with store.read() as conn:
        await conn.execute("UPDATE api_key SET expires_at = now() - interval '1 second'")
    assert_refusal(await api.get("/systems"), 401)
    async with store.read() as conn:
        await conn.execute("UPDATE api_key SET expires_at = NULL, revoked_at = now()")
    assert_refusal(await api.get("/systems"), 401)


async def test_a_role_that_may_not(api: Any, counted: Any, key_of: Any, client_of: Any) -> None:
    viewer, approver = client_of(await key_of("vera", "viewer")), client_of(await key_of("abe", "approver"))
    developer = client_of(await key_of("dev", "developer"))
    base = f"/api/v1/workspaces/{api.workspace}"
    before = await counted()
    for client in (viewer, approver):
        assert_refusal(await client.post(f"{base}/systems", json={"name": "x"}), 403)
        assert_refusal(await client.put(f"{base}/resources/identifier/x", json=RESOURCE), 403)
        assert (await client.get(f"{base}/systems")).status_code == 200
    for client in (viewer, approver, developer):
        assert_refusal(await client.post(f"{base}/policies", json=POLICY), 403)
        assert_refusal(await client.post(f"{base}/freezes", json={"reason": "r"}), 403)
        assert_refusal(await client.post(f"{base}/keys", json={"user": "vera", "role": "admin"}), 403)
    assert await counted() == before


async def test_pages_out_of_range(refused: Any) -> None:
    for query in ({"limit": 0}, {"limit": 1001}, {"offset": -1}, {"limit": "many"}, {"offset": 2**40}):
        for path in ("/deployments", "/systems", "/resources", "/policies", "/jobs"):
            await refused("GET", path, params=query, field=next(iter(query)))


async def test_bodies_that_are_no_json(refused: Any) -> None:
    json = {"Content-Type": "application/json"}
    await refused("POST", "/systems", content=b"{", headers=json)
    await refused("POST", "/systems", content=b"[]", headers=json)
    await refused("POST", "/systems", content=b"", headers=json)
    await refused("POST", "/systems", content=b"name=x", headers={"Content-Type": "text/plain"}, status=415)
    await refused("POST", "/systems", content=b'{"name": "a\\u0000b"}', headers=json)
    await refused("POST", "/systems", content=b'{"name": "x", "metadata": {"a\\u0000": "b"}}', headers=json)
    await refused("POST", "/systems", content=b'{"name": "\\ud800"}', headers=json)
    await refused("POST", "/systems", content=b"[" * 100_000, headers=json)
    await refused("POST", "/systems", {"name": ""})
    await refused("POST", "/systems", {"name": "   "}, field="name")
    await refused("POST", "/systems", {}, field="name")


async def test_a_path_or_method_that_does_not_exist(refused: Any, client_of: Any) -> None:
    await refused("GET", "/nothing", status=404)
    await refused("PATCH", "/systems", {}, status=405)
    answer = await client_of(None).get("/api/nothing")
    assert_refusal(answer, 404)
    answer = await client_of(None).post("/api/healthz")
    assert_refusal(answer, 405)
    assert "GET" in answer.headers["allow"]


async def test_our_own_bodies_are_closed(refused: Any) -> None:
    await refused("POST", "/freezes", {"reason": "r", "forever": True}, field="forever")
    await refused("POST", "/freezes", {"reason": ""}, field="reason")
    await refused("POST", "/freezes", {"reason": "r", "expiresAt": "2020-01-01T00:00:00Z"}, field="expiresAt")
    await refused("POST", "/freezes", {"reason": "r", "expiresAt": "2099-01-01T00:00:00"}, field="expiresAt")
    await refused("POST", "/freezes", {"reason": "r", "scope": {"kind": "deployment"}}, field="scope.id")
    unknown = {"kind": "deployment", "id": str(uuid.uuid4())}
    await refused("POST", "/freezes", {"reason": "r", "scope": unknown}, status=404)
    await refused("POST", "/keys", {"user": "u", "role": "king"}, field="role")
    for path in ("rollouts", "quarantines"):
        step = "resume" if path == "rollouts" else "clear"
        await refused("POST", f"/{path}/{uuid.uuid4()}/{step}", {"reason": "r"}, status=404)
        await refused("POST", f"/{path}/{NO_ID}/{step}", {"reason": "r"}, status=404)
        await refused("POST", f"/{path}/{uuid.uuid4()}/{step}", {"reason": " "}, field="reason")
        await refused("POST", f"/{path}/{uuid.uuid4()}/{step}", {}, field="reason")
    faster = f"/rollouts/{uuid.uuid4()}/speed-up"
    await refused("POST", faster, {"reason": "r"}, field="timeScaleInterval")
    await refused("POST", faster, {"reason": "r", "maxInFlight": 0}, field="maxInFlight")
    await refused("POST", faster, {"reason": "r", "bakeSeconds": "none"}, field="bakeSeconds")
    await refused("POST", faster, {"reason": "r", "bakeSeconds": 1, "factor": 2}, field="factor")
    await refused("POST", faster, {"reason": "r", "bakeSeconds": 1}, status=404)
    await refused("GET", f"/rollouts/{uuid.uuid4()}/places", None, status=404)


async def test_an_exec_agent_is_refused_while_it_is_off(refused: Any) -> None:
    body = {"name": "local", "type": "exec", "config": {"command": ["true"]}, "metadata": {}}
    said = await refused("PUT", f"/job-agents/{uuid.uuid4()}", body, field="type")
    assert "INTERLOCK_EXEC_AGENT" in said["message"]


async def test_an_unforeseen_failure_is_500_and_says_nothing_of_the_inside(api: Any, store: Any) -> None:
    async with store.read() as conn:
        await conn.execute("ALTER TABLE system RENAME TO hidden")
    answer = await api.get("/systems")
    assert_refusal(answer, 500)
    assert "hidden" not in answer.text and "asyncpg" not in answer.text


async def test_a_store_that_cannot_be_reached_is_503(api: Any, store: Any) -> None:
    await store.close()
    answer = await api.get("/systems")
    assert_refusal(answer, 503)
    assert int(answer.headers["retry-after"]) >= 1
    assert_refusal(await api.raw.get("/api/readyz"), 503)
    assert (await api.raw.get("/api/healthz")).status_code == 200


async def fail_with(store: Any, *, times: int) -> None:
    """The next so many inserts into `system` end as a lost race does; a sequence counts, for it never rolls back."""
    async with store.read() as conn:
        await conn.execute("CREATE SEQUENCE race")
        await conn.execute(
            f"""CREATE FUNCTION lose_race() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF nextval('race') <= {times} THEN
                    RAISE EXCEPTION 'lost' USING ERRCODE = 'deadlock_detected';
                END IF;
                RETURN NEW;
            END $$"""
        )
        await conn.execute("CREATE TRIGGER lose_race BEFORE INSERT ON system FOR EACH ROW EXECUTE FUNCTION lose_race()")


async def test_a_request_that_lost_a_race_is_handled_again(api: Any, store: Any) -> None:
    await fail_with(store, times=3)
    made = await api.post("/systems", {"name": "x"})
    assert made.status_code == 202, made.text
    listed = (await api.get("/systems")).json()
    assert [each["id"] for each in listed["items"]] == [made.json()["id"]]
    async with store.read() as conn:
        assert await conn.fetchval("SELECT count(*) FROM ledger WHERE kind = 'system.created'") == 1


async def test_a_request_that_loses_every_race_is_503_and_says_when_to_come_again(api: Any, store: Any) -> None:
    await fail_with(store, times=100)
    answer = await api.post("/systems", {"name": "x"})
    assert_refusal(answer, 503)
    assert int(answer.headers["retry-after"]) >= 1
    assert (await api.get("/systems")).json()["total"] == 0


async def test_what_is_said_of_a_change_is_checked_when_it_is_written(api: Any, refused: Any) -> None:
    deployment = (await api.post("/deployments", {"name": "shop-api", "slug": "shop-api"})).json()["id"]
    path = f"/deployments/{deployment}/versions"
    version = {"tag": "1", "name": "", "status": "ready", "config": {}, "metadata": {"interlock/risk": "high"}}
    made = (await api.post(path, version)).json()
    bad = {**version, "tag": "2", "metadata": {"interlock/risk": "urgent"}}
    answer = await refused("POST", path, bad, field='metadata["interlock/risk"]')
    assert "must be one of low, medium, high, critical" in answer["message"]
    changed = {"metadata": {"interlock/change-type": "hotfix"}}
    answer = await refused(
        "PATCH", f"/deployment-versions/{made['id']}", changed, field='metadata["interlock/change-type"]'
    )
    assert "one of code, config, infra, migration, fix, security, rollback" in answer["message"]

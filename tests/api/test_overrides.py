"""Overrides over REST: shapes, statuses, permissions by place, and what explain says of them."""

from __future__ import annotations

from api.story import World, until

FAR = "2999-01-01T00:00:00Z"
APPROVAL = {"id": "two-eyes", "anyApproval": {"minApprovals": 1}}


async def a_world(api) -> World:
    return await World(api).build(agent_type="test-runner", config={"delaySeconds": 0}, rules=[APPROVAL])


async def resource_id(api, name: str) -> str:
    return (await api.get(f"/resources/identifier/{name}")).json()["id"]


async def test_a_pin_is_set_without_a_worker_listed_explained_replaced_and_removed(api):
    world = await a_world(api)
    first, second = await world.version("1.0.0"), await world.version("2.0.0")
    body = {
        "versionId": first,
        "environmentId": world.ids["production"],
        "resourceId": await resource_id(api, "p-1"),
        "reason": "the canary stays",
        "expiresAt": FAR,
    }
    made = await api.post("/pins", body)
    assert made.status_code == 201
    pin = made.json()
    assert pin["scope"] == "target" and pin["version"] == {"id": first, "tag": "1.0.0"}
    assert (pin["environment"]["name"], pin["resource"]["name"], pin["targets"]) == ("production", "p-1", 1)
    assert pin["createdBy"] == "ada" and pin["inForce"] and pin["expiresAt"] == FAR
    again = await api.post("/pins", body)
    assert (again.status_code, again.json()["id"]) == (200, pin["id"])
    assert (await api.get(f"/pins/{pin['id']}")).json() == pin

    listed = (await api.get("/pins", params={"deploymentId": "shop-api"})).json()
    assert (listed["total"], listed["limit"], listed["offset"]) == (1, 50, 0)
    assert (await api.get("/pins", params={"offset": 5})).json() == {"items": [], "total": 1, "limit": 50, "offset": 5}
    assert (await api.get("/pins", params={"deploymentId": "nobody"})).status_code == 404

    replaced = await api.post("/pins", {**body, "versionId": second})
    assert replaced.status_code == 201
    assert (await api.get(f"/pins/{pin['id']}")).json()["inForce"] is False
    removed = await api.post(f"/pins/{replaced.json()['id']}/remove", {"reason": "enough"})
    assert removed.status_code == 200
    assert (removed.json()["removedBy"], removed.json()["removeReason"]) == ("ada", "enough")
    gone = await api.post(f"/pins/{pin['id']}/remove", {"reason": "enough"})
    assert (gone.status_code, gone.json()["code"]) == (409, "PIN_OVER")
    assert (await api.get("/pins", params={"over": "true"})).json()["total"] == 2


async def test_explain_says_who_pinned_why_and_until_when(api, workers):
    world = await a_world(api)
    first = await world.version("1.0.0")
    await world.version("2.0.0")
    body = {"versionId": first, "environmentId": world.ids["staging"], "reason": "the canary stays", "expiresAt": FAR}
    await api.post("/pins", body)

    async def landed() -> bool:
        return (await world.running())["s-1"] == "1.0.0"

    await until(landed, "the pin did not take hold")
    (target,) = (await api.get("/release-targets", params={"environmentId": world.ids["staging"]})).json()["items"]

    async def explained() -> str | None:
        said = (await api.get(f"/release-targets/{target['key']}/explain")).json()["sentences"]
        return next((each for each in said if "Pinned to 1.0.0 (environment) by ada since 20" in each), None)

    sentence = await until(explained, "explain does not say it")
    assert ": the canary stays. The pin ends 2999-01-01T00:00:00Z." in sentence


async def test_a_skip_lets_one_version_pass_one_rule_and_explain_says_who_and_why(api, workers):
    world = await a_world(api)
    version = await world.version("1.0.0")
    body = {"ruleId": "two-eyes", "versionId": version, "environmentId": world.ids["production"], "reason": "sev-1"}
    made = await api.post("/skips", {**body, "resourceId": await resource_id(api, "p-1")})
    assert made.status_code == 201
    skip = made.json()
    assert (skip["ruleId"], skip["ruleKind"], skip["policy"]["name"]) == ("two-eyes", "anyApproval", "gates")
    assert skip["orphaned"] is False and skip["resource"]["name"] == "p-1"

    async def landed() -> bool:
        return (await world.running())["p-1"] == "1.0.0"

    await until(landed, "the skip did not take hold")
    assert (await world.running())["p-2"] is None
    every = await api.post("/skips", {**body, "ruleId": None, "ruleKind": "anyApproval"})
    assert (every.json()["ruleKind"], "ruleId" in every.json()) == ("anyApproval", False)

    async def both() -> bool:
        return (await world.running())["p-2"] == "1.0.0"

    await until(both, "the skip of a kind did not take hold")
    assert (await api.get("/skips", params={"deploymentId": "shop-api"})).json()["total"] == 2
    removed = await api.post(f"/skips/{skip['id']}/remove", {"reason": "enough"})
    assert removed.json()["removeReason"] == "enough"
    assert (await api.post(f"/skips/{skip['id']}/remove", {"reason": "r"})).json()["code"] == "SKIP_OVER"
    assert (await api.get(f"/skips/{skip['id']}")).json()["inForce"] is False


async def test_bad_overrides_are_refused_and_name_the_field(api, counted):
    world = await a_world(api)
    version = await world.version("1.0.0")
    pin, skip = {"versionId": version, "reason": "r"}, {"versionId": version, "reason": "r", "ruleId": "two-eyes"}
    unknown = "00000000-0000-4000-8000-000000000000"
    for path, body, status, word in (
        ("/pins", {**pin, "reason": " "}, 400, "reason"),
        ("/pins", {**pin, "expiresAt": "2020-01-01T00:00:00Z"}, 400, "expiresAt"),
        ("/pins", {**pin, "expiresAt": "2999-01-01T00:00:00"}, 400, "expiresAt"),
        ("/pins", {**pin, "untill": FAR}, 400, "untill"),
        ("/pins", {**pin, "versionId": "v1"}, 404, "version"),
        ("/pins", {**pin, "environmentId": unknown}, 404, "environment"),
        ("/pins", {**pin, "resourceId": unknown}, 400, "environmentId"),
        ("/pins", {**pin, "resourceId": unknown, "environmentId": world.ids["staging"]}, 404, "no target"),
        ("/skips", {**skip, "ruleId": "nobody"}, 404, "rule"),
        ("/skips", {**skip, "ruleKind": "anyApproval"}, 400, "exactly one"),
        ("/skips", {**skip, "ruleId": None}, 400, "exactly one"),
        ("/skips", {**skip, "ruleId": None, "ruleKind": "freeze"}, 400, "freezeId"),
        ("/skips", {**skip, "ruleId": None, "ruleKind": "gradualRollout"}, 400, "promote"),
        ("/skips", {**skip, "ruleId": None, "freezeId": unknown}, 404, "freeze"),
        ("/skips", {**skip, "resourceId": unknown}, 404, "resource"),
    ):
        before = await counted()
        answer = await api.post(path, body)
        assert answer.status_code == status, (path, body, answer.text)
        assert word in answer.text, (path, body, answer.text)
        assert await counted() == before
    for path in ("/pins", "/skips"):
        assert (await api.get(f"{path}/{unknown}")).status_code == 404
        assert (await api.get(f"{path}/x")).status_code == 404
        assert (await api.post(f"{path}/{unknown}/remove", {"reason": "r"})).status_code == 404
        assert (await api.post(f"{path}/{unknown}/remove", {})).status_code == 400


async def test_a_bypass_of_a_freeze_has_its_own_permission_and_always_an_end(api, key_of, client_of, workers):
    world = await a_world(api)
    version = await world.version("1.0.0")
    freeze = (await api.post("/freezes", {"reason": "sev-1"})).json()
    body = {"freezeId": freeze["id"], "versionId": version, "environmentId": world.ids["staging"], "reason": "the fix"}
    olga = client_of(await key_of("olga", "operator"))
    refused = await olga.post(f"/api/v1/workspaces/{api.workspace}/skips", json={**body, "expiresAt": FAR})
    assert refused.status_code == 403 and "freeze:bypass" in refused.json()["message"]
    assert (await api.post("/skips", body)).status_code == 400
    made = await api.post("/skips", {**body, "expiresAt": FAR})
    assert made.status_code == 201
    assert (made.json()["freezeId"], made.json()["freezeReason"]) == (freeze["id"], "sev-1")

    async def landed() -> bool:
        return (await world.running())["s-1"] == "1.0.0"

    await until(landed, "the bypass did not take hold")
    assert (await world.running())["p-1"] is None
    back = await olga.post(f"/api/v1/workspaces/{api.workspace}/skips/{made.json()['id']}/remove", json={"reason": "r"})
    assert back.status_code == 200, "whoever steers may take it back"


async def test_who_steers_one_place_sets_overrides_there_only(api, key_of, client_of):
    world = await a_world(api)
    version = await world.version("1.0.0")
    scope = {"scope_kind": "environment", "scope_id": world.ids["staging"]}
    olga = client_of(await key_of("olga", "operator", **scope))
    vera = client_of(await key_of("vera", "viewer"))
    base = f"/api/v1/workspaces/{api.workspace}"
    here = {"versionId": version, "reason": "r", "environmentId": world.ids["staging"]}
    there = {**here, "environmentId": world.ids["production"]}
    everywhere = {"versionId": version, "reason": "r"}
    for path, more in (("/pins", {}), ("/skips", {"ruleKind": "anyApproval"})):
        assert (await olga.post(base + path, json={**there, **more})).status_code == 403
        assert (await olga.post(base + path, json={**everywhere, **more})).status_code == 403
        assert (await vera.post(base + path, json={**here, **more})).status_code == 403
        made = await olga.post(base + path, json={**here, **more})
        assert made.status_code == 201, made.text
        assert (await vera.get(base + path)).json()["total"] == 1
        answer = await vera.post(f"{base}{path}/{made.json()['id']}/remove", json={"reason": "r"})
        assert answer.status_code == 403 and "steer" in answer.json()["message"]


async def test_a_running_job_is_asked_to_stop_and_one_that_is_over_is_not(pulled, api, key_of, client_of):
    agent = pulled.ids["agent"]
    (job, *_) = (await api.get(f"/job-agents/{agent}/jobs", params={"status": "queued"})).json()["items"]
    assert (await api.post(f"/job-agents/{agent}/jobs/{job['id']}/claim")).status_code == 200
    vera = client_of(await key_of("vera", "viewer"))
    path = f"/jobs/{job['id']}/cancel"
    refused = await vera.post(f"/api/v1/workspaces/{api.workspace}{path}", json={"reason": "r"})
    assert refused.status_code == 403
    assert (await api.post(path, {})).status_code == 400
    asked = await api.post(path, {"reason": "wrong flags"})
    assert (asked.status_code, asked.json()["id"]) == (202, job["id"])
    assert "before" in (await api.post(path, {"reason": "wrong flags"})).json()["message"]
    read = (await api.get(f"/jobs/{job['id']}")).json()
    assert (read["status"], read["cancelReason"]) == ("inProgress", "wrong flags"), "asked for, not assumed"
    assert (await api.put(f"/jobs/{job['id']}/status", {"status": "cancelled"})).status_code == 202
    over = await api.post(path, {"reason": "r"})
    assert (over.status_code, over.json()["code"]) == (409, "JOB_OVER")
    assert (await api.post(f"/jobs/{agent}/cancel", {"reason": "r"})).status_code == 404


async def test_a_target_says_which_freezes_bite_there_also_when_it_goes_nowhere(api):
    world = await a_world(api)
    scope = {"kind": "system", "id": world.ids["system"]}
    body = {"reason": "zone b", "scope": scope, "selector": 'resource.name == "p-1"', "expiresAt": FAR}
    frozen = (await api.post("/freezes", body)).json()
    await api.post("/freezes", {"reason": "lab", "scope": {"kind": "environment", "id": world.ids["staging"]}})
    for text in ("shop-api", world.ids["deployment"]):
        assert (await api.get("/freezes", params={"deploymentId": text})).json()["total"] == 2
    assert (await api.get("/freezes", params={"deploymentId": "nobody"})).status_code == 404
    listed = (await api.get("/release-targets")).json()["items"]
    by_name = {item["resource"]["name"]: item.get("frozen") for item in listed}
    assert by_name["p-2"] is None
    assert [each["reason"] for each in by_name["s-1"]] == ["lab"]
    (said,) = by_name["p-1"]
    assert (said["id"], said["scope"], said["by"], said["until"]) == (frozen["id"], "system", "ada", FAR)
    await api.post(f"/freezes/{frozen['id']}/thaw", {"reason": "over"})
    listed = (await api.get("/release-targets")).json()["items"]
    assert all("frozen" not in item for item in listed if item["resource"]["name"] == "p-1")

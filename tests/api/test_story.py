"""Does one version go its way when everything is asked over REST? With real workers in this process.

Staging first, production after an approval; a freeze stops what is not handed over; a pull agent lists, claims and
reports.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from api.story import World, until

APPROVAL = {"anyApproval": {"minApprovals": 1}}
AFTER_STAGING = {"environmentProgression": {"dependsOnEnvironmentSelector": "environment.name == 'staging'"}}


async def test_the_next_read_sees_the_targets(api: Any) -> None:
    world = await World(api).build(agent_type="test-runner", config={}, rules=[])
    assert await world.running() == {"s-1": None, "p-1": None, "p-2": None}
    await api.delete("/resources/identifier/p-2")
    assert set(await world.running()) == {"s-1", "p-1"}
    gone = (await api.get("/release-targets", params={"gone": True})).json()
    assert [item["state"] for item in gone["items"] if item["resource"]["name"] == "p-2"] == ["removed"]
    await api.delete(f"/systems/{world.ids['system']}")
    assert await world.running() == {}


async def test_a_version_goes_through_staging_and_an_approval_to_production(
    api: Any, workers: None, key_of: Any, client_of: Any
) -> None:
    config = {"delaySeconds": 0}
    world = await World(api).build(agent_type="test-runner", config=config, rules=[AFTER_STAGING, APPROVAL])
    version_id = await world.version("1.0.0")

    async def asked() -> Any:
        return (await api.get("/approval-requests", params={"status": "open"})).json()["items"]

    request = (await until(asked, "nobody was asked"))[0]
    assert await world.running() == {"s-1": "1.0.0", "p-1": None, "p-2": None}
    assert request["environment"]["name"] == "production" and request["version"]["tag"] == "1.0.0"
    assert request["minimum"] == 1 and request["approvals"] == []

    said = (await api.get(f"/deployments/{world.ids['deployment']}/explain")).json()
    by_resource = {target["resource"]: target for target in said["targets"]}
    assert any("0 of 1 approvals" in sentence for sentence in by_resource["p-1"]["sentences"]), said
    key = (await api.get("/release-targets", params={"environmentId": world.ids["production"]})).json()["items"][0][
        "key"
    ]
    one = (await api.get(f"/release-targets/{key}/explain")).json()
    assert one["outcome"] == "hold" and "approvals" in one["reason"]
    state = (await api.get(f"/release-targets/{key}/state")).json()
    assert "currentRelease" not in state and "latestJob" not in state

    bea = client_of(await key_of("bea", "approver"))
    path = f"/api/v1/workspaces/{api.workspace}/approval-requests/{request['id']}/approvals"
    outdated = await bea.post(path, json={"verdict": "approved", "digest": "0" * 64})
    assert outdated.status_code == 412, outdated.text
    answered = await bea.post(path, json={"verdict": "approved", "digest": request["digest"], "comment": "fine"})
    assert answered.status_code == 201, answered.text
    assert [word["name"] for word in answered.json()["approvals"]] == ["bea"]

    async def everywhere() -> bool:
        return set((await world.running()).values()) == {"1.0.0"}

    await until(everywhere, "production never got it")
    state = (await api.get(f"/release-targets/{key}/state")).json()
    assert state["currentRelease"]["version"]["tag"] == state["desiredRelease"]["version"]["tag"] == "1.0.0"
    assert state["latestJob"]["job"]["status"] == "successful" and state["latestJob"]["verifications"] == []
    desired = (await api.get(f"/release-targets/{key}/desired-release")).json()
    assert desired["desiredRelease"] == state["desiredRelease"]
    release = await api.get(f"/releases/{state['currentRelease']['id']}")
    assert release.status_code == 200 and release.json()["releaseTarget"]["environmentId"] == world.ids["production"]
    states = await api.post(
        "/release-targets/state", {"deploymentId": world.ids["deployment"], "environmentId": world.ids["production"]}
    )
    assert states.json()["total"] == 2 and "latestJob" in states.json()["items"][0]["state"]

    jobs = (await api.get("/jobs")).json()
    assert jobs["total"] == 3
    for item in jobs["items"]:
        assert item["id"] == item["job"]["id"] and item["status"] == "successful" and item["completedAt"]
        assert item["deployment"]["id"] == world.ids["deployment"]
        assert item["release"]["version"]["tag"] == "1.0.0" and item["release"]["releaseTarget"]["resourceId"]
    assert (await api.get("/jobs", params={"offset": 3})).json() == {"items": [], "total": 3, "limit": 50, "offset": 3}
    job = (await api.get(f"/jobs/{jobs['items'][0]['id']}")).json()
    context = job["dispatchContext"]
    assert {"deployment", "environment", "resource", "version", "variables", "jobAgent", "jobAgentConfig"} <= set(
        context
    )
    late = await api.put(f"/jobs/{job['id']}/status", {"status": "failure"})
    assert late.status_code == 202 and "noted" in late.json()["message"]
    assert (await api.get(f"/jobs/{job['id']}")).json()["status"] == "successful"

    async def placed() -> Any:
        return [each for each in await world.ledger(subject=f"job:{job['id']}") if each["kind"] == "job.noted"]

    await until(placed, "the late news is in nobody's history")
    ledger = await world.ledger()
    assert [entry["seq"] for entry in ledger] == sorted({entry["seq"] for entry in ledger})
    actors = {entry["actor"].get("name") for entry in ledger if entry["actor"]["kind"] == "user"}
    assert actors == {"ada", "bea"}
    assert "fine" not in str(ledger), "a comment is personal text and stands in its own row"
    about = await world.ledger(subject=f"version:{version_id}", kind="approval.given")
    assert len(about) == 1 and about[0]["actor"]["name"] == "bea"


async def test_the_contracts_approval_counts_and_is_kept_as_unseen(api: Any, workers: None, store: Any) -> None:
    world = await World(api).build(agent_type="test-runner", config={"delaySeconds": 0}, rules=[APPROVAL])
    version_id = await world.version("1")
    body = {"status": "approved", "environmentIds": [world.ids["production"]], "reason": "ok"}
    path = f"/deployment-versions/{version_id}/user-approval-records"
    assert (await api.put(path, body)).status_code == 202
    assert (await api.put(path, body)).status_code == 202

    async def everywhere() -> bool:
        return set((await world.running()).values()) == {"1"}

    await until(everywhere, "the approval did not count")
    async with store.read() as conn:
        rows = await conn.fetch("SELECT verdict, shown_digest, comment FROM approval")
    assert [tuple(row) for row in rows] == [("approved", None, "ok")]
    unknown = await api.put(path, {**body, "environmentIds": [str(uuid.uuid4())]})
    assert unknown.status_code == 404


async def test_a_pull_agent_lists_claims_and_reports(api: Any, workers: None) -> None:
    world = await World(api).build(agent_type="http-pull", config={"pool": "a"}, rules=[])
    await world.version("1")
    path = f"/job-agents/{world.ids['agent']}/jobs"

    async def queued() -> Any:
        page = (await api.get(path, params={"status": "queued"})).json()
        return page["items"] if page["total"] == 3 else None

    jobs = await until(queued, "nothing was offered")
    assert all("dispatchContext" not in job for job in jobs)
    full = (await api.get(path, params={"status": "queued", "includeDispatchContext": "true", "limit": 1})).json()
    assert full["items"][0]["dispatchContext"]["version"]["tag"] == "1"

    job_id = jobs[0]["id"]
    stranger = str(uuid.uuid4())
    assert (await api.post(f"/job-agents/{stranger}/jobs/{job_id}/claim")).status_code == 404
    answers = await asyncio.gather(*(api.post(f"{path}/{job_id}/claim") for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    won = next(answer.json() for answer in answers if answer.status_code == 200)
    assert (
        won["status"] == "inProgress" and won["startedAt"] and won["dispatchContext"]["jobAgentConfig"]["pool"] == "a"
    )

    done = {"status": "successful", "links": {"Run": "https://ci/1"}, "externalId": "run-1"}
    assert (await api.put(f"/jobs/{job_id}/status", done)).status_code == 202
    job = (await api.get(f"/jobs/{job_id}")).json()
    assert job["status"] == "successful" and job["externalId"] == "run-1" and job["completedAt"]
    assert job["metadata"]["ctrlplane/links"] == '{"Run":"https://ci/1"}'
    assert (await api.put(f"/jobs/{job_id}/status", {"status": "bogus"})).status_code == 400
    assert (await api.call("PUT", f"/jobs/{job_id}/status", json="successful")).status_code == 400


async def test_a_freeze_holds_what_is_not_handed_over_until_it_is_thawed(api: Any, workers: None) -> None:
    world = await World(api).build(agent_type="test-runner", config={"delaySeconds": 0}, rules=[])
    scope = {"kind": "environment", "id": world.ids["production"], "name": "production"}
    asked = {"kind": "environment", "id": world.ids["production"]}
    made = await api.post("/freezes", {"reason": "audit", "scope": asked})
    assert made.status_code == 201, made.text
    freeze = made.json()
    assert freeze["inForce"] and freeze["createdBy"] == "ada" and freeze["scope"] == scope
    await world.version("1")

    async def staged() -> bool:
        return (await world.running())["s-1"] == "1"

    async def held() -> Any:
        said = (await api.get(f"/deployments/{world.ids['deployment']}/explain")).json()
        sentences = [text for target in said["targets"] for text in target["sentences"] if target["resource"] == "p-1"]
        return [text for text in sentences if "audit" in text]

    await until(staged, "staging was frozen too")
    await until(held, "nothing says that it is frozen")
    assert (await world.running())["p-1"] is None
    assert (await api.get("/freezes")).json()["total"] == 1

    extended = await api.post(f"/freezes/{freeze['id']}/extend", {"expiresAt": "2999-01-01T00:00:00Z"})
    assert extended.status_code == 200 and extended.json()["expiresAt"] == "2999-01-01T00:00:00Z"
    thawed = await api.post(f"/freezes/{freeze['id']}/thaw", {"reason": "done"})
    assert thawed.status_code == 200 and not thawed.json()["inForce"]
    assert (await api.post(f"/freezes/{freeze['id']}/thaw", {})).status_code == 409
    assert (await api.get("/freezes")).json()["total"] == 0
    assert (await api.get("/freezes", params={"over": "true"})).json()["items"][0]["thawReason"] == "done"

    async def everywhere() -> bool:
        return set((await world.running()).values()) == {"1"}

    await until(everywhere, "the thaw woke nobody")


ONE_BY_ONE = {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 0, "maxInFlight": 1, "maxFailures": 0}}
ROLLBACK = {"rollback": {"onJobStatuses": ["failure"], "onVerificationFailure": True}}


async def test_an_explanation_says_what_failed_when_why_and_where_it_went_back_to(api: Any, workers: None) -> None:
    config = {"delaySeconds": 0}
    world = await World(api).build(agent_type="test-runner", config=config, rules=[ONE_BY_ONE, ROLLBACK])
    await world.version("1.0.0")

    async def everywhere() -> bool:
        return set((await world.running()).values()) == {"1.0.0"}

    await until(everywhere, "1.0.0 never landed")
    bad = {"tag": "1.1.0", "status": "ready", "jobAgentConfig": {"status": "failure", "message": "port 80 is taken"}}
    assert (await api.post(f"/deployments/{world.ids['deployment']}/versions", bad)).status_code == 200

    async def said() -> Any:
        answer = (await api.get(f"/deployments/{world.ids['deployment']}/explain")).json()
        text = " ".join(sentence for target in answer["targets"] for sentence in target["sentences"])
        return answer if "rolled back to 1.0.0 at" in text else None

    answer = await until(said, "nothing says what failed")
    told = [target for target in answer["targets"] if any("1.1.0 failed at" in one for one in target["sentences"])]
    hit = next(target for target in told if target["environment"] == "production")
    sentence = next(one for one in hit["sentences"] if one.startswith("1.1.0 failed at 2"))
    assert ": port 80 is taken; rolled back to 1.0.0 at 2" in sentence and sentence.endswith("Z.")
    assert any(
        one.startswith("The rollout of 1.1.0 in production halted at 2") and "1 of its targets failed" in one
        for one in answer["sentences"]
    ), answer["sentences"]
    key = hit["key"]
    assert sentence in (await api.get(f"/release-targets/{key}/explain")).json()["sentences"]


async def test_after_a_halt_a_person_resumes_aborts_and_clears(
    api: Any, workers: None, client_of: Any, key_of: Any
) -> None:
    config = {"delaySeconds": 0}
    world = await World(api).build(agent_type="test-runner", config=config, rules=[ONE_BY_ONE, ROLLBACK])
    await world.version("1.0.0")

    async def everywhere() -> bool:
        return set((await world.running()).values()) == {"1.0.0"}

    await until(everywhere, "1.0.0 never landed")
    bad = {"tag": "1.1.0", "status": "ready", "jobAgentConfig": {"status": "failure", "message": "port 80 is taken"}}
    made = await api.post(f"/deployments/{world.ids['deployment']}/versions", bad)

    async def rollout() -> Any:
        page = (await api.get("/rollouts", params={"deploymentId": "shop-api", "state": "live"})).json()
        return next((each for each in page["items"] if each["environment"]["name"] == "production"), None)

    async def halted() -> Any:
        now = await rollout()
        back = await everywhere() and (await api.get("/quarantines")).json()["items"]
        return now if now and now["state"] == "halted" and back else None

    async def jobs_of_bad() -> int:
        items = (await api.get("/jobs", params={"limit": 1000})).json()["items"]
        here = [each for each in items if each["environment"]["name"] == "production"]
        return sum(1 for each in here if each["release"]["version"]["tag"] == "1.1.0")

    one = await until(halted, "the rollout did not halt")
    assert (one["failures"], one["failuresForgiven"], one["version"]["tag"]) == (1, 0, "1.1.0")
    assert await jobs_of_bad() == 1
    path = f"/rollouts/{one['id']}"
    assert (await api.get(path)).json() == {**one, "steering": []}
    assert (await api.post(f"{path}/pause", {"reason": "r"})).status_code == 409

    developer = client_of(await key_of("dev", "developer"))
    base = f"/api/v1/workspaces/{api.workspace}"
    assert (await developer.post(f"{base}{path}/resume", json={"reason": "r"})).status_code == 403
    olga = client_of(await key_of("olga", "operator"))
    resumed = await olga.post(f"{base}{path}/resume", json={"reason": "the port is free now"})
    assert resumed.status_code == 200, resumed.text
    assert (resumed.json()["state"], resumed.json()["failuresForgiven"]) == ("open", 1)
    assert resumed.json()["reason"] == "the port is free now"

    async def next_one() -> bool:
        now = await rollout()
        return bool(await jobs_of_bad() == 2 and now and now["state"] == "halted")

    await until(next_one, "the next target was not tried, or a second failure did not halt it again")

    async def cleared_all() -> bool:
        return len((await api.get("/quarantines")).json()["items"]) >= 2 and await everywhere()

    await until(cleared_all, "the second target was not rolled back")
    aborted = await olga.post(f"{base}{path}/abort", json={"reason": "given up"})
    assert aborted.status_code == 200 and aborted.json()["state"] == "aborted"
    assert (await olga.post(f"{base}{path}/resume", json={"reason": "r"})).status_code == 409

    quarantine = next(
        each for each in (await api.get("/quarantines")).json()["items"] if each["environment"]["name"] == "production"
    )
    assert quarantine["version"] == {"id": made.json()["id"], "tag": "1.1.0"}
    clear = f"{base}/quarantines/{quarantine['id']}/clear"
    assert (await developer.post(clear, json={"reason": "r"})).status_code == 403
    cleared = await olga.post(clear, json={"reason": "fixed"})
    assert cleared.status_code == 200 and cleared.json()["clearedAt"]
    assert (await olga.post(clear, json={"reason": "fixed"})).status_code == 409
    in_force = (await api.get("/quarantines")).json()["items"]
    assert quarantine["id"] not in {each["id"] for each in in_force}

    async def told() -> Any:
        kinds = [entry["kind"] for entry in await world.ledger() if entry["actor"].get("name") == "olga"]
        return kinds if len(kinds) == 3 else None

    assert await until(told, "the ledger misses a step") == ["rollout.resumed", "rollout.aborted", "quarantine.cleared"]
    assert "the port is free" not in str(await world.ledger()), "a reason is personal text and stands in its own row"

    assert (await api.post(f"/deployments/{world.ids['deployment']}/versions", {"tag": "1.2.0"})).status_code == 200

    async def onward() -> bool:
        return set((await world.running()).values()) == {"1.2.0"}

    await until(onward, "a newer version does not go out")

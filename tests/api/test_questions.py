"""What can be asked over REST? Where a version stands and why, may it go, which policies apply, its journey, replay."""

from __future__ import annotations

from typing import Any

from api.story import World, until

APPROVAL = {"anyApproval": {"minApprovals": 1}}
AFTER_STAGING = {"environmentProgression": {"dependsOnEnvironmentSelector": "environment.name == 'staging'"}}


async def a_world(api: Any, *rules: Any) -> World:
    """Staging took 1.0.0, and production waits for a person."""
    world = await World(api).build(agent_type="test-runner", config={"delaySeconds": 0}, rules=[*rules])
    world.ids["version"] = await world.version("1.0.0")

    async def on_staging() -> bool:
        return (await world.running())["s-1"] == "1.0.0"

    await until(on_staging, "staging never got it")
    return world


async def target_key(api: Any, name: str) -> str:
    listed = (await api.get("/release-targets")).json()["items"]
    return next(str(item["key"]) for item in listed if item["resource"]["name"] == name)


async def answer(api: Any, path: str, **params: Any) -> Any:
    got = await api.get(path, params=params)
    assert got.status_code == 200, got.text
    return got.json()


async def test_a_target_says_its_rule_tree_and_what_would_let_it_go(api: Any, workers: None) -> None:
    await a_world(api, AFTER_STAGING, APPROVAL)
    key = await target_key(api, "p-1")
    standing = (await answer(api, f"/release-targets/{key}/explain"))["standing"]
    assert standing["state"] == "held" and standing["version"]["tag"] == "1.0.0"
    assert standing["says"] == "1.0.0 is held on p-1 in production by anyApproval (gates)."
    (gates,) = [policy for policy in standing["policies"] if policy["policy"] == "gates"]
    assert [(rule["rule"], rule["outcome"]) for rule in gates["rules"]] == [
        ("environmentProgression", "pass"),
        ("anyApproval", "hold"),
    ]
    (hold,) = standing["holds"]
    assert hold["who"] == "anybody who may approve" and hold["says"] == "It has 0 of 1 approvals."
    found = standing["counterfactual"]
    assert found["found"] and found["then"] == "starts"
    assert [lift["sentence"] for lift in found["lifts"]] == ["1.0.0 gets 1 more of the 1 approvals for production."]


async def test_any_version_can_be_asked_about_on_any_target(api: Any, workers: None) -> None:
    world = await a_world(api)
    await world.version("1.1.0")

    async def newer() -> bool:
        return set((await world.running()).values()) == {"1.1.0"}

    await until(newer, "1.1.0 never came")
    key = await target_key(api, "p-1")
    older = (await answer(api, f"/release-targets/{key}/explain", version="1.0.0"))["standing"]
    assert older["state"] == "held"
    assert older["holds"][0]["says"] == "It is not newer than 1.1.0, which was handed over here already."
    assert [one["code"] for one in older["counterfactual"]["lifts"]] == ["pinned"]
    runs = (await answer(api, f"/release-targets/{key}/explain"))["standing"]
    assert runs["says"] == "p-1 in production runs 1.1.0." and "counterfactual" not in runs
    unknown = await api.get(f"/release-targets/{key}/explain", params={"version": "9.9.9"})
    assert unknown.status_code == 404 and "does not look at this version" in unknown.json()["message"]


async def test_ci_asks_whether_it_can_deploy(api: Any, workers: None, key_of: Any, client_of: Any) -> None:
    world = await a_world(api, AFTER_STAGING, APPROVAL)
    path = f"/deployments/shop-api/versions/{world.ids['version']}/can-deploy"
    staging = await answer(api, path, environment="staging")
    assert (staging["answer"], staging["reasons"], staging["states"]) == ("allow", [], {"runs": 1})
    production = await answer(api, path, environment="production")
    assert production["answer"] == "person"
    assert production["says"] == "A person is needed for 1.0.0 in production, 2 targets: 2 held."
    assert [reason["rule"] for reason in production["reasons"]] == ["anyApproval"]
    one = await answer(api, path, environment=world.ids["production"], resource="p-2")
    assert one["targets"] == 1 and one["reasons"][0]["for"] == ["p-2"]

    frozen = await api.post("/freezes", {"reason": "audit", "expiresAt": "2099-01-01T00:00:00Z"})
    assert frozen.status_code in {200, 201, 202}, frozen.text
    held = await answer(api, path, environment="production")
    assert held["answer"] == "hold"
    assert {reason["rule"] for reason in held["reasons"]} == {"freeze", "anyApproval"}
    assert (await api.get(path, params={"environment": "moon"})).status_code == 404
    assert (await api.get(path, params={"environment": "production", "resource": "s-1"})).status_code == 404
    assert (await api.get(path)).status_code == 400


async def test_a_version_in_an_environment_is_told_in_groups(api: Any, workers: None) -> None:
    world = await a_world(api, APPROVAL)
    path = f"/deployments/{world.ids['deployment']}/versions/1.0.0/explain"
    said = await answer(api, path, environment="production")
    (group,) = said["groups"]
    assert group["count"] == 2 and group["targets"] == ["p-1", "p-2"] and group["state"] == "held"
    assert group["counterfactual"]["lifts"][0]["code"] == "approved_by_more"
    staging = await answer(api, path, environment="staging", counterfactual=False)
    assert staging["says"] == "Nothing holds 1.0.0 in staging, 1 target: 1 run it."


async def test_the_policies_in_force_say_why_each_matched(api: Any, workers: None) -> None:
    await World(api).build(agent_type="test-runner", config={}, rules=[APPROVAL])
    both = "environment.name == 'production' && resource.metadata['env'] == 'moon'"
    await api.post("/policies", {"name": "never", "selector": both, "rules": [], "mode": "observe"})
    found = (await answer(api, "/environments/production/policies"))["items"]
    gates, never = found
    assert (gates["policy"]["name"], gates["applies"], gates["targets"], gates["of"]) == ("gates", True, 2, 2)
    assert gates["conjuncts"] == [
        {
            "text": "environment.name == 'production'",
            "outcome": "yes",
            "saw": {"environment.name": "production"},
        }
    ]
    assert [rule["kind"] for rule in gates["rules"]] == ["anyApproval"]
    assert (never["applies"], never["mode"]) == (False, "observe")
    assert [part["outcome"] for part in never["conjuncts"]] == ["yes", "no"]
    assert never["conjuncts"][1]["saw"] == {'resource.metadata["env"]': "production"}
    page = await answer(api, "/environments/production/policies", limit=1, offset=len(found) - 1)
    assert (page["items"], page["total"], page["limit"]) == (found[-1:], len(found), 1)
    staging = (await answer(api, "/environments/staging/policies", deployment="shop-api", resource="s-1"))["items"]
    assert [one["applies"] for one in staging] == [False, False]


async def test_a_version_has_a_journey_and_a_job_its_reasons(api: Any, workers: None) -> None:
    world = await a_world(api, APPROVAL)
    version_id = world.ids["version"]
    trace = await answer(api, f"/deployment-versions/{version_id}/trace")
    stages = {stage["environment"]["name"]: stage for stage in trace["stages"]}
    assert stages["staging"]["counts"] == {"verified": 1} and stages["staging"]["rollout"]["state"] == "complete"
    assert stages["production"]["counts"] == {"held": 2}
    assert "0 of 1 approvals" in stages["production"]["targets"][0]["holds"]
    kinds = [event["kind"] for event in trace["events"]]
    assert kinds[0] == "version.created" and {"move.admitted", "job.handed_over", "move.succeeded"} <= set(kinds)
    assert [event["seq"] for event in trace["events"]] == sorted(event["seq"] for event in trace["events"])
    assert {one["environment"]["name"] for one in trace["decisions"]} == {"staging", "production"}
    assert not trace["cut"]
    first = await answer(api, f"/deployment-versions/{version_id}/trace", limit=1)
    assert first["cut"] and len(first["events"]) == 1
    (job,) = (await answer(api, "/jobs"))["items"]
    said = await answer(api, f"/jobs/{job['job']['id']}/explain")
    assert said["sentences"][0] == "Takes s-1 in staging to 1.0.0 by a forward move."
    assert said["sentences"][1].startswith("It ended successful at ")
    assert said["decision"]["outcome"] == "pass" and said["standing"]["state"] == "runs"


async def test_a_decision_and_a_round_can_be_decided_again(api: Any, workers: None, store: Any) -> None:
    world = await a_world(api, APPROVAL)
    trace = await answer(api, f"/deployment-versions/{world.ids['version']}/trace")
    decision = next(one for one in trace["decisions"] if one["environment"]["name"] == "production")
    again = await answer(api, f"/decisions/{decision['id']}/replay")
    assert again["agrees"] and again["differences"] == [] and again["decisionId"] == decision["id"]
    assert [verdict["rule"] for verdict in again["decisions"][0]["verdicts"]] == ["anyApproval", "freeze"]
    whole = await answer(api, f"/decisions/{decision['roundId']}/replay")
    assert whole["agrees"] and "decisionId" not in whole and len(whole["decisions"]) >= 2
    async with store.read() as conn:
        await conn.execute("UPDATE round SET engine_version = '0'")
        await conn.execute("UPDATE decision SET digest = 'other' WHERE id = $1", decision["id"])
    other = await answer(api, f"/decisions/{decision['id']}/replay")
    assert not other["agrees"] and "Engine 0 decided then" in other["says"]
    assert (await api.get(f"/decisions/{world.ids['version']}/replay")).status_code == 404


async def test_a_stranger_to_the_workspace_is_told_nothing(api: Any, key_of: Any, client_of: Any) -> None:
    world = await World(api).build(agent_type="test-runner", config={}, rules=[])
    version_id = await world.version("1.0.0")
    stranger = client_of(await key_of("eve"))
    inside = f"/api/v1/workspaces/{api.workspace}"
    for path in (
        f"/deployment-versions/{version_id}/trace",
        f"/deployments/shop-api/versions/{version_id}/can-deploy?environment=staging",
        "/environments/staging/policies",
    ):
        assert (await stranger.get(inside + path)).status_code == 404, path

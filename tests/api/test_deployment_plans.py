"""Does a plan say what a version would change, and what rules think of it, without moving anything?"""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from api.story import World, until
from interlock.outside.rego import has_rego

NO_NINES = """package deploy
deny contains msg if {
  contains(input.proposed, "9.9.9")
  msg := sprintf("%s may not run %s on %s", [input.deployment.name, input.proposedVersion.tag, input.resource.name])
}"""
RULES = [
    {"planValidationOpa": {"name": "no nines", "rego": NO_NINES}},
    {"planValidationOpa": {"name": "broken", "description": "does not compile", "rego": "package a\ndeny["}},
]
VERSION = {"tag": "9.9.9", "config": {"image": "shop:9.9.9"}}


async def computed(api: Any, world: World, body: Any) -> Any:
    asked = await api.post(f"/deployments/{world.ids['deployment']}/plan", body)
    assert asked.status_code == 202, asked.text
    empty = {"total": 0, "changed": 0, "unchanged": 0, "errored": 0, "unsupported": 0}
    assert asked.json() == {"id": asked.json()["id"], "status": "computing", "summary": empty, "targets": []}

    async def done() -> Any:
        plan = (await api.get(f"/deployments/{world.ids['deployment']}/plan/{asked.json()['id']}")).json()
        return plan if plan["status"] != "computing" else None

    return await until(done, "the plan was not computed")


@pytest.mark.skipif(not has_rego(), reason="the extra [rego] is not installed")
async def test_a_plan_shows_each_target_and_what_rules_say(api: Any, workers: None) -> None:
    world = await World(api).build(agent_type="test-runner", config={"delaySeconds": 0}, rules=RULES)
    await world.version("1.0.0")

    async def runs() -> Any:
        return set((await world.running()).values()) == {"1.0.0"}

    await until(runs, "1.0.0 did not go out")
    plan = await computed(api, world, {"version": VERSION, "metadata": {"pr": "7"}})
    assert plan["status"] == "completed"
    assert plan["summary"] == {"total": 3, "changed": 3, "unchanged": 0, "errored": 0, "unsupported": 0}
    first = plan["targets"][0]
    assert (first["environmentName"], first["resourceName"], first["hasChanges"]) == ("production", "p-1", True)
    (result,) = first["results"]
    assert '"1.0.0"' in result["current"] and '"9.9.9"' in result["proposed"] and len(result["contentHash"]) == 64
    broken, nines = result["validations"]
    assert (broken["name"], broken["status"], broken["passed"]) == ("broken", "errored", False)
    assert nines["violations"] == ["shop-api may not run 9.9.9 on p-1"] and nines["status"] == "failed"
    assert set((await world.running()).values()) == {"1.0.0"}, "nothing moved"
    assert (await api.get(f"/deployments/{world.ids['deployment']}/versions")).json()["total"] == 1


async def test_an_agent_that_cannot_plan_says_so(api: Any, workers: None) -> None:
    world = await World(api).build(agent_type="http-pull", config={"pool": "a"}, rules=RULES)
    plan = await computed(api, world, {"version": VERSION})
    assert plan["summary"] == {"total": 3, "changed": 0, "unchanged": 0, "errored": 0, "unsupported": 3}
    assert {result["validations"] == [] for target in plan["targets"] for result in target["results"]} == {True}


async def test_a_secret_of_the_planned_version_is_sealed(api: Any, store: Any, workers: None) -> None:
    world = await World(api).build(agent_type="test-runner", config={"delaySeconds": 0}, rules=[])
    plan = await computed(api, world, {"version": {**VERSION, "jobAgentConfig": {"apiKey": "hunter-2-of-plans"}}})
    (result,) = plan["targets"][0]["results"]
    assert "hunter-2-of-plans" not in str(plan)
    assert "apiKey" in result["proposed"], "it shows that there is one"
    async with store.read() as conn:
        kept = await conn.fetchval("SELECT version::text FROM deployment_plan")
    assert "$secret" in kept and "hunter-2-of-plans" not in kept


async def test_a_rule_comes_back_as_it_was_written_and_a_wrong_one_is_refused(api: Any) -> None:
    world = await World(api).build(agent_type="test-runner", config={}, rules=[])
    rule = {"id": str(uuid.uuid4()), **RULES[0]}
    body = {"name": "p", "selector": "true", "rules": [rule], "priority": 0, "enabled": True, "metadata": {}}
    made = await api.post("/policies", body)
    assert made.status_code in {200, 201, 202}, made.text
    stored = (await api.get(f"/policies/{made.json()['id']}")).json()["rules"][0]
    assert stored["planValidationOpa"] == RULES[0]["planValidationOpa"]
    for wrong in ({"name": "x"}, {"rego": NO_NINES}, {"name": "x", "rego": "deny[x]"}, {"name": "", "rego": NO_NINES}):
        refused = await api.post("/policies", {**body, "rules": [{"planValidationOpa": wrong}]})
        assert refused.status_code == 400 and "planValidationOpa." in refused.text, refused.text
    unknown = f"/deployments/{world.ids['deployment']}/plan/{uuid.uuid4()}"
    assert (await api.get(unknown)).status_code == 404
    assert (await api.post(f"/deployments/{world.ids['deployment']}/plan", {"version": {}})).status_code == 400

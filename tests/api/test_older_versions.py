"""Is what happened to an older version remembered when somebody goes back to it, or asks about it?"""

from __future__ import annotations

from typing import Any

from api.story import World, until

APPROVAL = {"anyApproval": {"minApprovals": 1}}
AFTER_STAGING = {"environmentProgression": {"dependsOnEnvironmentSelector": "environment.name == 'staging'"}}


async def test_a_pin_goes_back_to_a_version_that_was_approved_and_proven_before(api: Any, workers: None) -> None:
    world = await World(api).build(
        agent_type="test-runner", config={"delaySeconds": 0}, rules=[AFTER_STAGING, APPROVAL]
    )
    ids = {}
    for tag in ("1.0", "2.0"):
        ids[tag] = await world.version(tag)
        said = {"status": "approved", "environmentIds": [world.ids["production"]]}
        assert (await api.put(f"/deployment-versions/{ids[tag]}/user-approval-records", said)).status_code == 202

        async def runs(tag: str = tag) -> Any:
            return set((await world.running()).values()) == {tag}

        await until(runs, f"{tag} did not go out")

    path = f"/deployments/{world.ids['deployment']}/versions/1.0"
    asked = (await api.get(f"{path}/can-deploy?environment=production")).json()
    assert not {reason["rule"] for reason in asked["reasons"]} & {"anyApproval", "environmentProgression"}, asked
    made = await api.post(
        "/pins", {"versionId": ids["1.0"], "environmentId": world.ids["production"], "reason": "2 leaks"}
    )
    assert made.status_code in {200, 201}, made.text

    async def back() -> Any:
        running = await world.running()
        return {running["p-1"], running["p-2"]} == {"1.0"}

    await until(back, "the pin moved nothing")

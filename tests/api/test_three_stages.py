"""One version goes through three stages, each with an agent of another type, and explain names the agent of each.

Source: requirement R002-19.
"""

from __future__ import annotations

import uuid
from typing import Any

from api.story import until

STAGES = ("test", "staging", "production")
AGENTS: dict[str, dict[str, Any]] = {
    "test-runner": {"delaySeconds": 0},
    "http-pull": {},
    "manual": {"instructions": "Switch {{ .resource.name }} to {{ .version.tag }}."},
}
BY_STAGE = dict(zip(STAGES, AGENTS, strict=True))


async def build(api: Any) -> tuple[str, dict[str, str]]:
    """A deployment with a target in each stage; each stage waits for the one before it. Its id, and agents' ids."""
    system = (await api.post("/systems", {"name": "shop"})).json()["id"]
    agents = {kind: str(uuid.uuid4()) for kind in AGENTS}
    for kind, config in AGENTS.items():
        made = await api.put(f"/job-agents/{agents[kind]}", {"name": f"our-{kind}", "type": kind, "config": config})
        assert made.is_success, made.text
    picks = " || ".join(
        f"(resource.metadata['stage'] == '{stage}' && jobAgent.type == '{kind}')" for stage, kind in BY_STAGE.items()
    )
    body = {"name": "api", "slug": "api", "resourceSelector": "true", "jobAgentSelector": picks}
    deployment: str = (await api.post("/deployments", body)).json()["id"]
    assert (await api.put(f"/systems/{system}/deployments/{deployment}")).is_success
    for stage, before in zip(STAGES, (None, *STAGES), strict=False):
        selector = f"resource.metadata['stage'] == '{stage}'"
        made = await api.post("/environments", {"name": stage, "resourceSelector": selector})
        assert (await api.put(f"/systems/{system}/environments/{made.json()['id']}")).is_success
        host = {"name": f"{stage}-1", "kind": "Host", "version": "v1", "metadata": {"stage": stage}}
        assert (await api.put(f"/resources/identifier/{stage}-1", host)).is_success
        if before:
            rule = {"environmentProgression": {"dependsOnEnvironmentSelector": f"environment.name == '{before}'"}}
            policy = {"name": stage, "selector": f"environment.name == '{stage}'", "rules": [rule]}
            assert (await api.post("/policies", policy)).is_success
    return deployment, agents


async def test_one_version_goes_through_three_stages_each_with_another_type_of_agent(api: Any, workers: None) -> None:
    deployment, agents = await build(api)
    made = await api.post(f"/deployments/{deployment}/versions", {"tag": "1.0.0", "status": "ready"})
    assert made.is_success, made.text

    async def of(stage: str) -> Any:
        """The newest job of a stage."""
        items = (await api.get(f"/jobs?q={stage}-1")).json()["items"]
        return items[0] if items else None

    async def offered(stage: str) -> Any:
        job = await of(stage)
        return job if job and job["status"] == "queued" else None

    async def said_of(stage: str) -> str:
        targets = (await api.get(f"/deployments/{deployment}/explain")).json()["targets"]
        (mine,) = [each for each in targets if each["environment"] == stage]
        return " ".join(mine["sentences"])

    pulled = await until(lambda: offered("staging"), "the program was offered nothing")
    for stage, kind in BY_STAGE.items():
        assert f"Its agent is our-{kind} ({kind})." in await said_of(stage), (
            "each stage names its own, before and after"
        )
    assert await of("production") is None, "production waits for staging"
    assert (await api.post(f"/job-agents/{agents['http-pull']}/jobs/{pulled['id']}/claim")).is_success
    assert (await api.put(f"/jobs/{pulled['id']}/status", {"status": "successful"})).is_success

    asked = await until(lambda: offered("production"), "nobody was asked")
    assert (await api.post(f"/jobs/{asked['id']}/complete", {})).is_success

    async def everywhere() -> bool:
        listed = (await api.get("/release-targets")).json()["items"]
        return {(item.get("current") or {}).get("tag") for item in listed} == {"1.0.0"}

    await until(everywhere, "it does not run everywhere")
    done = (await api.get("/jobs?version=1.0.0&status=successful")).json()["items"]
    assert {each["environment"]["name"]: each["jobAgent"]["type"] for each in done} == BY_STAGE
    for each in done:
        sentences = (await api.get(f"/jobs/{each['id']}/explain")).json()["sentences"]
        assert f"Its agent is our-{each['jobAgent']['type']} ({each['jobAgent']['type']})." in sentences

"""Does asking what a policy would do say which targets would stand elsewhere, and leave everything as it is?"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from api.story import World, until, working
from interlock.settings import Settings

FROZEN = [
    {"deploymentWindow": {"rrule": "FREQ=YEARLY;BYMONTH=1;BYMONTHDAY=1", "durationMinutes": 1, "timezone": "UTC"}}
]
APPROVED = [{"anyApproval": {"minApprovals": 1}}]
SELECTS = "environment.name == 'production'"


async def answer_to(api: Any, *changes: dict[str, Any]) -> dict[str, Any]:
    asked = await api.post("/what-if", {"changes": list(changes)})
    assert asked.status_code == 202, asked.text
    assert asked.json()["status"] == "pending"
    assert asked.headers["Location"].endswith(f"/what-if/{asked.json()['id']}")

    async def done() -> Any:
        said = (await api.get(f"/what-if/{asked.json()['id']}")).json()
        return said["status"] == "done" and said["answer"]

    return dict(await until(done, "no answer"))


@pytest.fixture
async def held(api: Any, workers: None) -> World:
    """Two hosts in production that wait for an approval."""
    world = await World(api).build(agent_type="http-pull", config={}, rules=APPROVED)
    await world.version("1.0")

    async def decided() -> bool:
        items = (await api.get("/release-targets")).json()["items"]
        return sum(one.get("outcome") == "hold" for one in items) == 2

    await until(decided, "nothing is held")
    return world


async def test_end_of_a_policy_shows_what_it_would_let_go(api: Any, held: World, counted: Any) -> None:
    policy = (await api.get("/policies")).json()["items"][0]
    before = await counted()
    answer = await answer_to(api, {"policyId": policy["id"], "delete": True})
    after = await counted()
    told = {"ledger", "ledger_order", "subscription_delivery"}  # what happened before is still being told
    assert {name for name in after if after[name] != before[name]} <= {"what_if", "work", *told}
    assert answer["decided"] == {"targets": 3, "deployments": 1}
    assert answer["selected"] == {"before": 2, "after": 0}
    assert answer["changes"] == {"starts": 2}
    assert {one["resource"]["name"] for one in answer["targets"]} == {"p-1", "p-2"}
    (one, _) = answer["targets"]
    assert one["after"] == {"outcome": "starts", "version": "1.0", "holds": []}
    assert one["lifted"] and "It has 0 of 1 approvals" in one["lifted"][0]
    assert len((await api.get("/policies")).json()["items"]) == 1, "nothing was deleted"

    disabled = {"name": "gates", "selector": SELECTS, "rules": policy["rules"], "enabled": False}
    assert (await answer_to(api, {"policyId": policy["id"], "policy": disabled}))["changes"] == {"starts": 2}
    watched = {"name": "gates", "selector": SELECTS, "rules": policy["rules"], "mode": "observe"}
    assert (await answer_to(api, {"policyId": policy["id"], "policy": watched}))["changes"] == {"starts": 2}
    same = {"name": "gates", "selector": SELECTS, "rules": policy["rules"]}
    assert (await answer_to(api, {"policyId": policy["id"], "policy": same}))["changed"] == 0


async def test_new_policy_and_another_selector_are_matched_anew(api: Any, held: World) -> None:
    one_host = {"name": "new", "selector": "resource.name == 'p-1'", "rules": FROZEN}
    answer = await answer_to(api, {"policy": one_host})
    assert (answer["changed"], answer["changes"], answer["selected"]) == (1, {"other": 1}, {"before": 0, "after": 1})
    assert "deploymentWindow (new)" in answer["targets"][0]["added"][0]

    policy = (await api.get("/policies")).json()["items"][0]
    elsewhere = {"name": "gates", "selector": "resource.name == 'p-2'", "rules": policy["rules"]}
    answer = await answer_to(api, {"policyId": policy["id"], "policy": elsewhere})
    assert (answer["changes"], answer["selected"]) == ({"starts": 1}, {"before": 2, "after": 1})
    nobody = {"name": "none", "selector": "resource.name == 'moon'", "rules": FROZEN}
    assert (await answer_to(api, {"policy": nobody}))["decided"] == {"targets": 0, "deployments": 0}


async def test_limits_of_a_group_are_counted_as_they_would_be(api: Any, held: World) -> None:
    policy = (await api.get("/policies")).json()["items"][0]
    one_by_one = {"name": "gates", "selector": SELECTS, "rules": [{"concurrency": {"maxInFlight": 1}}]}
    answer = await answer_to(api, {"policyId": policy["id"], "policy": one_by_one})
    assert answer["changes"] == {"starts": 1, "other": 1}
    waves = {
        "name": "gates",
        "selector": SELECTS,
        "rules": [{"gradualRollout": {"rolloutType": "waves", "waves": [1, "100%"], "failureDomains": ["env"]}}],
    }
    answer = await answer_to(api, {"policyId": policy["id"], "policy": waves})
    assert answer["changes"] == {"starts": 1, "other": 1}


async def test_what_does_not_fit_is_left_out_and_said(store: Any, tmp_path: Any, api: Any) -> None:
    async with working(store, Settings(data=tmp_path, what_if_targets_max=2)):
        world = await World(api).build(agent_type="http-pull", config={}, rules=APPROVED)
        await world.version("1.0")
        await asyncio.sleep(0.3)
        answer = await answer_to(api, {"policy": {"name": "new", "rules": FROZEN}})
    assert answer["cut"] == {"deployments": 1, "targets": 3, "names": ["shop-api"]}
    assert answer["decided"] == {"targets": 0, "deployments": 0}


async def test_wrong_questions_are_refused(api: Any, key_of: Any, client_of: Any, counted: Any) -> None:
    await World(api).build(agent_type="http-pull", config={}, rules=APPROVED)
    operator = client_of(await key_of("bea", "operator"))
    before = await counted()
    for changes in (
        [],
        [{}],
        [{"policy": {"name": "x", "rules": []}, "delete": True}],
        [{"delete": True}],
        [{"policyId": "x", "delete": True}],
        [{"policy": {"name": "x", "rules": [{"retry": {"maxRetries": "x"}}]}}],
        [{"policy": {"name": "x", "selector": "resource.knd == 'x'"}}],
        [{"policy": {"name": "x"}, "polcy": 1}],
    ):
        refused = await api.post("/what-if", {"changes": changes})
        assert refused.status_code == 400, refused.text
    missing = [{"policyId": "00000000-0000-4000-8000-000000000001", "delete": True}]
    assert (await api.post("/what-if", {"changes": missing})).status_code == 404
    assert (await api.get("/what-if/00000000-0000-4000-8000-000000000001")).status_code == 404
    path = f"/api/v1/workspaces/{api.workspace}/what-if"
    assert (await operator.post(path, json={"changes": [{"policy": {"name": "x"}}]})).status_code == 403
    assert await counted() == before

"""Where would a resource be deployed to, if it existed? The selectors are asked, and nothing is stored."""

from __future__ import annotations

import uuid
from typing import Any

from api.story import World

BODY = {"identifier": "host/new", "name": "new", "kind": "Host", "version": "v1", "config": {}}


async def test_the_selectors_are_matched_against_the_posted_resource(api: Any, counted: Any) -> None:
    await World(api).build(agent_type="test-runner", config={}, rules=[])
    before = await counted()
    said = (await api.post("/release-targets/resource-preview", {**BODY, "metadata": {"env": "staging"}})).json()
    assert (said["total"], said["limit"], said["offset"]) == (1, 50, 0)
    (item,) = said["items"]
    names = {key: item[key]["name"] for key in ("system", "deployment", "environment")}
    assert names == {"system": "shop", "deployment": "shop-api", "environment": "staging"}
    none = (await api.post("/release-targets/resource-preview", {**BODY, "metadata": {"env": "nowhere"}})).json()
    assert (none["total"], none["items"]) == (0, [])
    assert await counted() == before


async def test_it_is_paged_and_refuses_what_is_no_resource(api: Any) -> None:
    await World(api).build(agent_type="test-runner", config={}, rules=[])
    body = {**BODY, "metadata": {"env": "production"}}
    beyond = (await api.post("/release-targets/resource-preview?limit=1&offset=1", body)).json()
    assert (beyond["total"], beyond["items"]) == (1, [])
    refused = await api.post("/release-targets/resource-preview", {"name": "new"})
    assert refused.status_code == 400 and "identifier" in refused.text


APPROVAL = {"id": str(uuid.uuid4()), "anyApproval": {"minApprovals": 1}}


async def test_eligible_versions_are_those_that_every_rule_lets_go(api: Any, key_of: Any) -> None:
    only_2 = {"versionSelector": {"selector": "version.tag.startsWith('2')"}}
    world = await World(api).build(agent_type="test-runner", config={}, rules=[APPROVAL, only_2])
    for tag in ("1.0", "2.0", "2.1"):
        await world.version(tag)
    rejected = await world.version("2.2")
    assert (await api.patch(f"/deployment-versions/{rejected}", {"status": "rejected"})).status_code == 202
    query = {"environmentId": world.ids["production"]}
    key = (await api.get("/release-targets", params=query)).json()["items"][0]["key"]
    path = f"/release-targets/{key}/eligible-versions"

    async def tags(**body: Any) -> list[str]:
        answer = await api.post(path, body)
        assert answer.status_code == 200, answer.text
        return [item["tag"] for item in answer.json()["items"]]

    assert await tags() == []
    assert await tags(excludeRuleIds=[APPROVAL["id"]]) == ["2.1", "2.0"]
    assert await tags(excludeRuleIds=[APPROVAL["id"]], filter="version.tag == '2.0'") == ["2.0"]
    paged = (await api.post(f"{path}?limit=1&offset=1", {"excludeRuleIds": [APPROVAL["id"]]})).json()
    assert (paged["total"], [item["tag"] for item in paged["items"]]) == (2, ["2.0"])
    assert (await api.post(path, {"filter": "this is not cel @#$%"})).status_code == 400
    assert (await api.post("/release-targets/nothing/eligible-versions", {})).status_code == 400
    unknown = "-".join(str(uuid.uuid4()) for _ in range(3))
    assert (await api.post(f"/release-targets/{unknown}/eligible-versions", {})).status_code == 404

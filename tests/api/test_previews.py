"""Where would a resource be deployed to, if it existed? The selectors are asked, and nothing is stored."""

from __future__ import annotations

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

"""Saturation over REST, on a real database: which reading wakes a deployment, and what a round knows of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from api.story import World
from interlock.store.facts import load_facts

RULES = [{"saturation": {"whenUnread": "pass"}}, {"rollbackHistory": {"days": 30}}]


async def test_only_another_level_wakes_and_a_round_knows_the_last_reading(api, store, counted, key_of, client_of):
    world = await World(api).build(agent_type="http-pull", config={"pool": "a"}, rules=RULES)
    path = "/deployments/shop-api/saturation"
    made = (await api.post(path, {"name": "pool", "value": 0.5})).json()
    assert (made["level"], made["changed"]) == ("normal", True)
    before = await counted()
    again = (await api.post(path, {"name": "pool", "value": 0.6})).json()
    assert (again["value"], again["changed"], again["since"]) == (0.6, False, made["since"])
    after = await counted()
    assert after["ledger"] == before["ledger"], "a reading by itself is no transition"
    assert (await api.post(path, {"name": "pool", "value": 0.99})).json()["level"] == "saturated"
    long_ago = (datetime.now(UTC) - timedelta(minutes=4)).isoformat()
    late = (await api.post(path, {"name": "pool", "value": 0.1, "observedAt": long_ago})).json()
    assert (late["level"], late["changed"]) == ("saturated", False), "what was read before that is not news"
    queue = {"name": "queue", "value": 12, "highAbove": 10, "saturatedAbove": 50, "environment": "production"}
    assert (await api.post(path, queue)).json()["environment"]["name"] == "production"

    async with store.read() as conn:
        loaded = await load_facts(conn, world.ids["deployment"])
        fence = await conn.fetchval("SELECT fence FROM deployment WHERE id = $1", world.ids["deployment"])
    known = {one.name: one for one in loaded.facts.saturations}
    assert (known["pool"].level, known["pool"].value, known["pool"].environment_id) == ("saturated", 0.99, None)
    assert (known["queue"].level, known["queue"].environment_id) == ("high", world.ids["production"])
    assert loaded.facts.rollbacks == ()
    assert loaded.facts.fence == fence

    listed = (await api.get(path)).json()["items"]
    assert [(one["name"], one["level"]) for one in listed] == [("pool", "saturated"), ("queue", "high")]
    assert (await api.delete(f"{path}/queue")).status_code == 404, "it is read of production alone"
    assert (await api.delete(f"{path}/queue", params={"environment": "production"})).status_code == 200
    assert len((await api.get(path)).json()["items"]) == 1

    for wrong in (
        {"name": "pool"},
        {"name": "", "value": 1},
        {"name": "pool", "value": "much"},
        {"name": "pool", "value": 1, "highAbove": 2, "saturatedAbove": 1},
        {"name": "pool", "value": 1, "observedAt": "2026-01-01T00:00:00Z"},
        {"name": "pool", "value": 1, "freshForSeconds": 0},
    ):
        assert (await api.post(path, wrong)).status_code == 400, wrong
    assert (await api.post("/deployments/moon/saturation", {"name": "pool", "value": 1})).status_code == 404
    assert (await api.post(path, {"name": "pool", "value": 1, "environment": "moon"})).status_code == 404
    viewer = {"X-API-Key": await key_of("vic", "viewer")}
    answer = await client_of(None).post(
        f"/api/v1/workspaces/{api.workspace}{path}", json={"name": "pool", "value": 1}, headers=viewer
    )
    assert answer.status_code == 403

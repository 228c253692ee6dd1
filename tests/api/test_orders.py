"""Are orders taken over REST as they should be? Placed while nobody works, answered later; refused with a reason."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from api.story import World, until, working


async def a_world(api: Any) -> World:
    return await World(api).build(agent_type="test-runner", config={"delaySeconds": 0}, rules=[])


async def everywhere(world: World, tag: str) -> bool:
    return set((await world.running()).values()) == {tag}


def soon(**after: float) -> str:
    return (datetime.now(UTC) + timedelta(**after)).isoformat()


async def test_orders_are_taken_without_workers_and_answered_when_they_return(
    api: Any, store: Any, settings: Any, client_of: Any, key_of: Any
) -> None:
    world = await a_world(api)
    async with working(store, settings):
        await world.version("1.0.0")
        await until(lambda: everywhere(world, "1.0.0"), "1.0.0 never landed")
        await world.version("1.1.0")
        await until(lambda: everywhere(world, "1.1.0"), "1.1.0 never landed")

    base = f"/api/v1/workspaces/{api.workspace}/orders"
    back = {"kind": "rollback", "deployment": "shop-api", "environment": "production", "reason": "checkout fails"}
    developer = client_of(await key_of("dev", "developer"))
    assert (await developer.post(base, json=back)).status_code == 403
    olga = client_of(await key_of("olga", "operator"))
    placed = await olga.post(base, json=back)
    assert placed.status_code == 201, placed.text
    first, second = placed.json()["orders"]
    assert [first["resource"]["name"], second["resource"]["name"]] == ["p-1", "p-2"]
    assert (first["state"], first["scope"], first["version"]["tag"]) == ("open", "environment", "1.0.0")
    assert (first["createdBy"], first["reason"]) == ("olga", "checkout fails")
    assert "checkout fails" not in str(await world.ledger()), "a reason stands in its own row"
    assert (await olga.get(f"{base}/{first['id']}")).json() == first
    assert (await olga.get(base, params={"deploymentId": "shop-api", "state": "open"})).json()["total"] == 2
    assert (await olga.get(base, params={"offset": 50})).json()["total"] == 2
    assert len((await api.get("/quarantines")).json()["items"]) == 2
    said = (await api.get(f"/release-targets/{first['target']}/explain")).json()
    assert said["orders"] == [first]
    assert any(line.startswith("A rollback to 1.0.0 is asked for since") for line in said["sentences"]), said
    assert any("by olga: checkout fails." in line for line in said["sentences"])

    again = await olga.post(base, json=back)
    assert (again.status_code, again.json()["code"]) == (409, "ORDERED_ALREADY")
    again = {"kind": "redeploy", "target": first["target"], "reason": "disk"}
    redeploy = await olga.post(base, json=again)
    assert redeploy.status_code == 201, redeploy.text
    path = f"{base}/{redeploy.json()['orders'][0]['id']}/withdraw"
    assert (await developer.post(path, json={"reason": "r"})).status_code == 403
    withdrawn = await olga.post(path, json={"reason": "not needed"})
    assert (withdrawn.json()["state"], withdrawn.json()["endReason"]) == ("withdrawn", "not needed")
    assert (await olga.post(path, json={"reason": "r"})).status_code == 409

    async def went_back() -> bool:
        answered = (await api.get("/orders", params={"state": "answered"})).json()["total"] == 2
        return answered and (await world.running()) == {"s-1": "1.1.0", "p-1": "1.0.0", "p-2": "1.0.0"}

    async with working(store, settings):
        await until(went_back, "production did not go back")


async def test_a_force_needs_its_own_permission_and_an_end(
    api: Any, store: Any, settings: Any, client_of: Any, key_of: Any
) -> None:
    world = await a_world(api)
    assert (await api.post("/freezes", {"reason": "audit"})).status_code == 201
    await api.post(f"/deployments/{world.ids['deployment']}/versions", {"tag": "2.0.0", "status": "building"})
    base = f"/api/v1/workspaces/{api.workspace}/orders"
    olga, adam = client_of(await key_of("olga", "operator")), client_of(await key_of("adam", "admin"))
    body = {"kind": "force", "deployment": "shop-api", "resource": "s-1", "version": "2.0.0", "reason": "INC-42"}
    assert (await olga.post(base, json={**body, "expiresAt": soon(minutes=5)})).status_code == 403
    assert (await adam.post(base, json=body)).status_code == 400
    placed = await adam.post(base, json={**body, "expiresAt": soon(minutes=5)})
    assert placed.status_code == 201, placed.text
    assert placed.json()["orders"][0]["scope"] == "target"

    async def forced() -> bool:
        return (await world.running())["s-1"] == "2.0.0"

    async with working(store, settings):
        await until(forced, "2.0.0 was not brought")
    assert (await world.running())["p-1"] is None


async def test_a_version_is_rejected_and_rolled_back_in_one_call(
    api: Any, workers: None, key_of: Any, client_of: Any
) -> None:
    world = await a_world(api)
    await world.version("1.0.0")
    await until(lambda: everywhere(world, "1.0.0"), "1.0.0 never landed")
    version_id = await world.version("1.1.0")
    await until(lambda: everywhere(world, "1.1.0"), "1.1.0 never landed")
    path = f"/api/v1/workspaces/{api.workspace}/deployment-versions/{version_id}"
    bad = {"status": "rejected", "rollback": True, "message": "leaks"}
    developer = client_of(await key_of("dev", "developer"))
    assert (await developer.patch(path, json=bad)).status_code == 403, "rolling back is steering"
    assert (await client_of(await key_of("olga", "operator")).patch(path, json={"rollback": True})).status_code == 400
    answer = await client_of(await key_of("olga", "operator")).patch(path, json=bad)
    assert answer.status_code == 202, answer.text
    assert answer.json()["status"] == "rejected"
    assert len(answer.json()["rollback"]["orders"]) == 3
    await until(lambda: everywhere(world, "1.0.0"), "1.1.0 still runs somewhere")


async def test_bad_orders_are_refused_whole(api: Any, counted: Any) -> None:
    world = await a_world(api)
    redeploy = {"kind": "redeploy", "deployment": "shop-api", "reason": "r"}
    key = f"{uuid.uuid4()}-{uuid.uuid4()}-{uuid.uuid4()}"
    before = await counted()
    for body, status in (
        ({**redeploy, "kind": "restart"}, 400),
        ({**redeploy, "reason": " "}, 400),
        ({**redeploy, "when": "later"}, 400),
        ({**redeploy, "expiresAt": "2020-01-01T00:00:00Z"}, 400),
        ({**redeploy, "expiresAt": soon(days=99)}, 400),
        ({**redeploy, "expiresAt": "2099-01-01T00:00:00"}, 400),
        ({**redeploy, "everywhere": True}, 400),
        ({**redeploy, "target": key}, 400),
        ({"kind": "redeploy", "reason": "r"}, 400),
        ({"kind": "redeploy", "reason": "r", "target": "short"}, 400),
        ({"kind": "redeploy", "reason": "r", "target": key, "environment": "staging"}, 400),
        ({"kind": "redeploy", "reason": "r", "target": key}, 404),
        ({**redeploy, "deployment": "nothing"}, 404),
        ({**redeploy, "environment": "nowhere"}, 404),
        ({**redeploy, "environment": str(uuid.uuid4())}, 404),
        ({**redeploy, "resource": "nobody"}, 404),
        ({**redeploy, "version": "9.9.9"}, 404),
        ({**redeploy, "version": str(uuid.uuid4())}, 404),
        ({**redeploy, "environment": "staging", "resource": "p-1"}, 404),
        (redeploy, 409),
        ({**redeploy, "kind": "rollback"}, 409),
        ({**redeploy, "kind": "force", "expiresAt": soon(minutes=5)}, 400),
    ):
        answer = await api.post("/orders", body)
        assert answer.status_code == status, (body, answer.text)
        assert answer.json()["error"]
    for text in ("not-an-id", str(uuid.uuid4())):
        assert (await api.get(f"/orders/{text}")).status_code == 404
        assert (await api.post(f"/orders/{text}/withdraw", {"reason": "r"})).status_code == 404
    assert await counted() == before
    assert world.ids

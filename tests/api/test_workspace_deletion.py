"""Does deleting a workspace end what runs there, and keep what is known of it?"""

from __future__ import annotations

from typing import Any

from api.story import World, until
from interlock.store.tx import Store


async def test_a_deleted_workspace_ends_its_jobs_and_keeps_its_ledger(
    api: Any, store: Store, workers: None, key_of: Any, client_of: Any
) -> None:
    world = await World(api).build(agent_type="test-runner", config={"delaySeconds": 600}, rules=[])
    await world.version("1")
    entry = {"name": "a", "ref": world.ids["agent"], "config": {}, "selector": "true"}
    workflow = (await api.post("/workflows", {"name": "tidy up", "inputs": [], "jobAgents": [entry]})).json()
    assert (await api.post(f"/workflows/{workflow['id']}/runs", {"inputs": {}})).status_code == 201

    async def running() -> bool:
        return bool((await api.get("/jobs?status=inProgress")).json()["total"] == 4)

    await until(running, "the jobs did not start")
    developer = client_of(await key_of("dev", "developer"))
    assert (await developer.delete(f"/api/v1/workspaces/{api.workspace}")).status_code == 403
    gone = await api.delete("")
    assert (gone.status_code, gone.content) == (204, b"")
    for path in ("", "/jobs", "/deployments"):
        assert (await api.get(path)).status_code == 404
    assert (await api.raw.get("/api/v1/workspaces/slug/shop")).status_code == 404
    assert (await api.raw.get("/api/v1/workspaces")).json() == {"workspaces": [], "total": 0}
    assert (await api.delete("")).status_code == 404

    async def over() -> bool:
        async with store.read() as conn:
            rows = await conn.fetch("SELECT status FROM job")
        return {row["status"] for row in rows} == {"cancelled"}

    await until(over, "the jobs were not ended")
    async with store.read() as conn:
        told = await conn.fetchval("SELECT count(*) FROM ledger WHERE workspace_id = $1", api.workspace)
        last = await conn.fetchval("SELECT count(*) FROM ledger WHERE kind = 'workspace.deleted'")
    assert told > 20 and last == 1
    again = await api.raw.post("/api/v1/workspaces", json={"name": "Shop", "slug": "shop"})
    assert again.status_code == 201, "its slug is free again"

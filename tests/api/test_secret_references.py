"""What becomes of a job whose secrets stand in an outside store? Over REST, with real workers."""

from __future__ import annotations

from typing import Any

import pytest

from api.story import World, until
from api.test_variables import Shelf
from interlock.settings import Settings
from interlock.store.retention import delete_expired

HUSH = "hunter2-from-outside"


@pytest.fixture
def settings(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The operator set one value apart for the workspace `shop`; Vault does not answer."""
    monkeypatch.setenv("INTERLOCK_VALUE__SHOP__DB", HUSH)
    return Settings(data=tmp_path, vault_addr="http://127.0.0.1:1", vault_token="t")


async def deployed(api: Any, agent_type: str, config: dict[str, Any], reference: dict[str, str]) -> tuple[World, Any]:
    """A version with a variable that refers elsewhere; gives the world and how to read its first job."""
    world = await World(api).build(agent_type=agent_type, config=config, rules=[])
    shelf = Shelf(api, world.ids["deployment"])
    await shelf.declare("db")
    await shelf.value("db", "default", {"secretRef": reference})
    value = (await api.get(f"/deployment-variable-values/{shelf.id_of('default')}")).json()["value"]
    assert value == {"secretRef": reference}, "a reference is shown as it was written"
    await api.post(f"/deployments/{world.ids['deployment']}/versions", {"tag": "v1"})

    async def job(**wanted: Any) -> Any:
        listed = (await api.get("/jobs")).json()["items"]
        return next((each for each in listed if wanted.items() <= each.items()), None)

    return world, job


async def test_a_pull_agent_gets_the_value_and_the_snapshot_keeps_the_reference(
    api: Any, workers: None, store: Any
) -> None:
    reference = {"provider": "env", "path": "DB"}
    world, job = await deployed(api, "http-pull", {}, reference)
    queued = await until(lambda: job(status="queued"), "a queued job")
    claimed = await api.post(f"/job-agents/{world.ids['agent']}/jobs/{queued['id']}/claim", {})
    assert claimed.json()["dispatchContext"]["variables"] == {"db": HUSH}
    shown = (await api.get(f"/jobs/{queued['id']}")).json()["dispatchContext"]
    assert shown["variables"] == {"db": "•••• (env:DB)"}
    assert shown["release"]["encryptedVariables"] == ["db"]
    said = {"status": "successful", "message": f"logged in with {HUSH}", "links": {"log": f"https://x.test/?{HUSH}"}}
    assert (await api.put(f"/jobs/{queued['id']}/status", said)).status_code == 202
    told = (await api.get(f"/jobs/{queued['id']}")).json()
    assert told["message"] == "logged in with •••• (env:DB)"
    assert HUSH not in str(told)
    async with store.read() as conn:
        assert await conn.fetchval("SELECT snapshot -> 'variables' -> 'db' FROM release LIMIT 1") == {
            "secretRef": reference
        }


async def test_a_reference_that_leads_nowhere_ends_the_claim_and_the_job(api: Any, workers: None) -> None:
    world, job = await deployed(api, "http-pull", {}, {"provider": "env", "path": "NOTHING"})
    queued = await until(lambda: job(status="queued"), "a queued job")
    claimed = await api.post(f"/job-agents/{world.ids['agent']}/jobs/{queued['id']}/claim", {})
    assert (claimed.status_code, claimed.json()["code"]) == (409, "SECRET_NOT_FOUND")
    assert (
        "env:NOTHING cannot be had: Interlock has no environment variable INTERLOCK_VALUE__SHOP__NOTHING"
        in claimed.text
    )
    assert await job(id=queued["id"], status="invalidIntegration")


async def test_a_reference_that_leads_nowhere_fails_the_start_with_its_name(api: Any, workers: None) -> None:
    _, job = await deployed(api, "test-runner", {}, {"provider": "file", "path": "db"})
    failed = await until(lambda: job(status="invalidIntegration"), "a failed start")
    assert failed["message"].startswith("file:db cannot be had: this Interlock reads no files")


async def test_a_store_that_is_away_holds_the_job_and_says_so(api: Any, workers: None) -> None:
    _, job = await deployed(api, "test-runner", {}, {"provider": "vault", "path": "db"})

    async def waiting() -> Any:
        pending = await job(status="pending")
        return pending if pending and pending.get("message") else None

    held = await until(waiting, "a job that waits")
    assert held["message"].startswith("Waits: vault:db cannot be had now: Vault does not answer")
    assert held["attempt"] == 0


async def test_a_metric_and_an_agent_may_refer_too(api: Any) -> None:
    reference = {"secretRef": {"provider": "env", "path": "DB"}}
    provider = {"type": "http", "url": "https://stats.test/", "headers": {"Authorization": reference}}
    metric = {"name": "m", "intervalSeconds": 1, "count": 1, "successCondition": "result.ok", "provider": provider}
    saved = await api.post("/policies", {"name": "p", "rules": [{"verification": {"metrics": [metric]}}]})
    assert saved.status_code == 202, saved.text
    assert saved.json()["rules"][0]["verification"]["metrics"][0]["provider"] == provider
    path = "/job-agents/3c59dc04-0000-4000-8000-000000000001"
    assert (await api.put(path, {"name": "a", "type": "http-pull", "config": {"token": reference}})).status_code == 202
    assert (await api.get(path)).json()["config"] == {"token": reference}


async def test_secrets_of_a_workspace_that_was_deleted_go_with_its_retention(api: Any, store: Any) -> None:
    await api.put("/job-agents/3c59dc04-0000-4000-8000-000000000001", {
        "name": "a", "type": "http-pull", "config": {"token": HUSH}, "metadata": {},
    })  # fmt: skip
    async with store.read() as conn:
        await delete_expired(conn, blob_days=90, measurement_days=30)
        assert await conn.fetchval("SELECT count(*) FROM secret") == 1
        await conn.execute("UPDATE workspace SET deleted_at = interlock_now() - interval '8 days'")
        await delete_expired(conn, blob_days=90, measurement_days=30)
        assert await conn.fetchval("SELECT count(*) FROM secret") == 0

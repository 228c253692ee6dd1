"""Who reads a secret back? Who may write the object; everybody else sees its mark."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from api.story import World, until
from api.test_variables import Shelf
from interlock.model.ids import new_id
from interlock.outside.secrets import Keyring, new_key
from interlock.store.secrets import Secrets

HUSH = "argocd-token-hunter2"


@pytest.fixture
async def reader(api: Any, key_of: Any, client_of: Any) -> Any:
    """Somebody who may read everything and write nothing."""
    return type(api)(client_of(await key_of("vic", "viewer")), api.workspace)


@pytest.fixture
async def world(api: Any) -> World:
    return await World(api).build(agent_type="http-pull", config={"pool": "a", "token": HUSH}, rules=[])


def agent(**config: Any) -> dict[str, Any]:
    return {"name": "argo", "type": "argo-cd", "config": {"serverUrl": "argo.test", **config}, "metadata": {}}


async def test_who_may_write_an_agent_reads_its_key_and_others_see_the_mark(api: Any, reader: Any) -> None:
    path = f"/job-agents/{new_id()}"
    assert (await api.put(path, agent(apiKey=HUSH))).status_code == 202
    assert (await api.get(path)).json()["config"]["apiKey"] == HUSH
    shown = (await reader.get(path)).json()["config"]
    assert shown["serverUrl"] == "argo.test"
    assert shown["apiKey"].startswith("••••")
    listed = await reader.get("/job-agents")
    assert HUSH not in listed.text
    assert "$secret" not in listed.text
    assert listed.json()["items"][0]["config"] == shown


async def test_a_write_of_the_mark_keeps_the_key(api: Any, reader: Any) -> None:
    path = f"/job-agents/{new_id()}"
    await api.put(path, agent(apiKey=HUSH))
    mark = (await reader.get(path)).json()["config"]["apiKey"]
    assert (await api.put(path, agent(apiKey=mark, prune=True))).status_code == 202
    assert (await api.get(path)).json()["config"] == {"serverUrl": "argo.test", "apiKey": HUSH, "prune": True}


async def test_a_mark_of_another_agents_key_is_refused(api: Any) -> None:
    first = f"/job-agents/{new_id()}"
    await api.put(first, agent(apiKey=HUSH))
    answer = await api.put(f"/job-agents/{new_id()}", {**agent(apiKey="••••00000000"), "name": "thief"})
    assert answer.status_code == 400
    assert answer.json()["details"][0]["path"] == "config.apiKey"


async def test_a_deployment_a_version_and_a_policy_hide_theirs_too(api: Any, reader: Any, world: World) -> None:
    path = f"/deployments/{world.ids['deployment']}"
    body = {"name": "shop-api", "jobAgentConfig": {"apiKey": HUSH}, "jobAgentSelector": "false"}
    assert (await api.put(path, body)).status_code == 202
    version = {"tag": "v1", "jobAgentConfig": {"deep": {"password": HUSH}}}
    made = await api.post(f"{path}/versions", version)
    assert made.json()["jobAgentConfig"] == version["jobAgentConfig"]
    again = await api.post(f"{path}/versions", version)
    assert again.json()["id"] == made.json()["id"]
    provider = {"type": "http", "url": "https://stats.test/", "headers": {"Authorization": HUSH, "Accept": "text/csv"}}
    metric = {"name": "m", "intervalSeconds": 1, "count": 1, "successCondition": "result.ok", "provider": provider}
    policy = {"name": "p", "rules": [{"verification": {"metrics": [metric]}}]}
    policy_path = f"/policies/{(await api.post('/policies', policy)).json()['id']}"
    for where in (path, f"{path}/versions", f"/deployment-versions/{made.json()['id']}", policy_path, "/policies"):
        mine, theirs = await api.get(where), await reader.get(where)
        assert mine.status_code == theirs.status_code == 200
        assert HUSH in mine.text
        assert HUSH not in theirs.text
        assert "$secret" not in theirs.text
        assert "••••" in theirs.text
    rules = (await api.get(policy_path)).json()["rules"]
    assert rules[0]["verification"]["metrics"][0]["provider"] == provider
    shown = (await reader.get(policy_path)).json()["rules"]
    assert shown[0]["verification"]["metrics"][0]["provider"]["headers"]["Accept"] == "text/csv"
    saved = await api.put(policy_path, {"name": "p", "rules": shown})
    assert saved.json()["rules"] == rules


async def test_the_policy_that_was_sent_again_is_the_same_policy(api: Any, world: World, store: Any) -> None:
    provider = {"type": "http", "url": "https://stats.test/", "headers": {"Authorization": HUSH}}
    metric = {"name": "m", "intervalSeconds": 1, "count": 1, "successCondition": "result.ok", "provider": provider}
    policy_id = str(uuid.uuid4())
    rule = {"id": "r", "createdAt": "2026-01-01T00:00:00Z", "verification": {"metrics": [metric]}}
    for _ in range(2):
        await api.put(f"/policies/{policy_id}", {"name": "p", "rules": [rule]})
    async with store.read() as conn:
        assert await conn.fetchval("SELECT max(number) FROM policy_revision WHERE policy_id = $1", policy_id) == 1


async def test_a_sensitive_variable_is_shown_to_its_writers_alone(api: Any, reader: Any, world: World) -> None:
    shelf = Shelf(api, world.ids["deployment"])
    await shelf.declare("db", "region")
    await shelf.value("db", "default", {"object": {"password": HUSH}}, sensitive=True)
    await shelf.value("region", "eu", "eu")
    value = f"/deployment-variable-values/{shelf.id_of('default')}"
    mine = (await api.get(value)).json()
    assert (mine["value"], mine["sensitive"]) == ({"object": {"password": HUSH}}, True)
    mark = (await reader.get(value)).json()["value"]
    assert mark["valueHash"].startswith("••••")
    for where in (
        f"/deployments/{world.ids['deployment']}",
        f"/deployments/{world.ids['deployment']}/variables",
        f"/deployment-variables/{shelf.id_of('db')}",
    ):
        assert HUSH in (await api.get(where)).text
        theirs = (await reader.get(where)).text
        assert HUSH not in theirs
        assert mark["valueHash"] in theirs
    await shelf.value("db", "default", mark)
    assert (await api.get(value)).json() == mine
    await shelf.value("db", "default", "in the open?")
    assert (await api.get(value)).json()["sensitive"] is True, "a plain value over a secret is a secret"
    await shelf.value("db", "default", "in the open", sensitive=False)
    assert "sensitive" not in (await api.get(value)).json()


async def test_a_variable_that_becomes_sensitive_seals_the_values_that_it_has(
    api: Any, reader: Any, world: World
) -> None:
    shelf = Shelf(api, world.ids["deployment"])
    await shelf.declare("db")
    await shelf.value("db", "default", HUSH)
    path = f"/deployment-variables/{shelf.id_of('db')}"
    body = {"deploymentId": world.ids["deployment"], "key": "db"}
    assert (await api.put(path, {**body, "sensitive": True})).status_code == 202
    assert (await api.get(path)).json()["variable"]["sensitive"] is True
    assert HUSH not in (await reader.get(path)).text
    assert (await api.put(path, body)).status_code == 202
    assert (await api.get(path)).json()["variable"]["sensitive"] is True, (
        "a client that does not know it changes nothing"
    )
    await shelf.value("db", "other", "another secret", priority=1)
    assert "another secret" not in (await reader.get(path)).text


async def test_a_resource_says_which_of_its_variables_are_sensitive(api: Any, reader: Any, world: World) -> None:
    path = "/resources/identifier/p-1/variables"
    sent = {"db": {"sensitive": HUSH}, "region": "eu"}
    assert (await api.patch(path, sent)).status_code == 202
    mine = (await api.get(path)).json()["items"]
    assert [(each["key"], each["value"], each.get("sensitive")) for each in mine] == [
        ("db", HUSH, True),
        ("region", "eu", None),
    ]
    assert HUSH not in (await reader.get(path)).text
    assert (await api.patch(path, {each["key"]: each["value"] for each in mine})).status_code == 202
    assert (await api.get(path)).json()["items"] == mine


async def test_a_pull_agent_gets_values_with_its_claim_and_nobody_else_does(
    api: Any, reader: Any, key_of: Any, client_of: Any, world: World, workers: None
) -> None:
    shelf = Shelf(api, world.ids["deployment"])
    await shelf.declare("db", "plain", "unset")
    await shelf.value("db", "default", {"object": {"password": HUSH}}, sensitive=True)
    await shelf.value("plain", "one", 1)
    await shelf.value("unset", "none", {"valueHash": ""})
    await api.post(f"/deployments/{world.ids['deployment']}/versions", {"tag": "v1"})
    agent_jobs = f"/job-agents/{world.ids['agent']}/jobs"

    async def queued() -> Any:
        return (await reader.get(agent_jobs, params={"status": "queued"})).json()["items"]

    job = (await until(queued, "a queued job"))[0]
    listed = await reader.get(agent_jobs, params={"includeDispatchContext": "true"})
    assert HUSH not in listed.text
    worker = type(api)(client_of(await key_of("pat", "developer")), api.workspace)
    claimed = await worker.raw.post(f"/api/v1/workspaces/{api.workspace}{agent_jobs}/{job['id']}/claim")
    context = claimed.json()["dispatchContext"]
    assert context["jobAgentConfig"] == {"pool": "a", "token": HUSH}
    assert context["variables"] == {"db": {"object": {"password": HUSH}}, "plain": 1}
    assert context["release"]["encryptedVariables"] == ["db"]
    for who in (reader, worker):
        for where in (
            f"/jobs/{job['id']}",
            f"/jobs/{job['id']}/with-release",
            "/jobs",
            f"/releases/{job['releaseId']}",
        ):
            seen = await who.get(where)
            assert seen.status_code == 200
            assert HUSH not in seen.text
            assert "$secret" not in seen.text
    assert (await api.get(f"/jobs/{job['id']}")).json()["dispatchContext"]["variables"] == context["variables"]
    shown = (await reader.get(f"/jobs/{job['id']}")).json()["dispatchContext"]
    assert shown["variables"]["db"].startswith("••••")
    assert shown["release"]["encryptedVariables"] == ["db"]


async def test_a_changed_secret_is_a_config_rollout_and_a_rotation_is_nothing(
    api: Any, world: World, workers: None, store: Any
) -> None:
    shelf = Shelf(api, world.ids["deployment"])
    await shelf.declare("db")
    await shelf.value("db", "default", HUSH, sensitive=True)

    async def digests() -> Any:
        async with store.read() as conn:
            return [row[0] for row in await conn.fetch("SELECT config_digest FROM target ORDER BY id")]

    async def generation() -> Any:
        async with store.read() as conn:
            return await conn.fetchval("SELECT generation FROM deployment WHERE id = $1", world.ids["deployment"])

    before = await digests(), await generation()
    await shelf.value("db", "default", HUSH, sensitive=True)
    assert (await digests(), await generation()) == before
    store.secrets.keyring._hold([new_key(), "t2KcBzF3bXq0i4mWb6u1x6m0b3kqk5e8yVwzH0nq1nE="])
    async with store.read() as conn:
        assert await Secrets(store.secrets.keyring).reseal(conn) >= 2
    await shelf.value("db", "default", HUSH, sensitive=True)
    assert (await digests(), await generation()) == before
    await shelf.value("db", "default", f"{HUSH}!", sensitive=True)
    after = await digests()
    assert all(new != old for new, old in zip(after, before[0], strict=True))
    assert isinstance(store.secrets.keyring, Keyring)


async def test_no_reference_leads_to_a_secret_of_something_else(api: Any, world: World) -> None:
    shelf = Shelf(api, world.ids["deployment"])
    other = {"name": "other", "jobAgentConfig": {"apiKey": HUSH}, "metadata": {"is": "other"}}
    assert (await api.post("/deployments", other)).status_code == 202
    rule = {"name": "o", "reference": "o", "cel": "to.type == 'deployment' && to.metadata['is'] == from.metadata['o']"}
    await api.post(
        "/relationship-rules", {**rule, "cel": "to.type == 'deployment' && to.name == 'other'", "metadata": {}}
    )
    await shelf.declare("stolen")
    await shelf.value("stolen", "it", {"reference": "o", "path": ["jobAgentConfig", "apiKey"]})
    shown = (await api.get(f"/release-targets/{await shelf.target('p-1')}/variables")).json()
    assert shown["variables"] == []
    assert HUSH not in str(shown)
    assert [each["why"] for each in shown["passedOver"]] == ["that is a secret, to which no reference leads"]

"""Can somebody get at a secret by the id that its marker holds? Not learn it, not write it, not have it filled in."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from api.story import World, until
from interlock.model.ids import new_id

HUSH = "argocd-token-hunter2"
MARKER = {"$secret": "4c1f0a9e-0000-4000-8000-000000000001"}
HEX = "0123456789abcdef"


@pytest.fixture
async def reader(api: Any, key_of: Any, client_of: Any) -> Any:
    """Somebody who may read everything and write nothing."""
    return type(api)(client_of(await key_of("vic", "viewer")), api.workspace)


@pytest.fixture
async def developer(api: Any, key_of: Any, client_of: Any) -> Any:
    """Somebody who may write versions, claim jobs, and read no agent's key."""
    return type(api)(client_of(await key_of("dev", "developer")), api.workspace)


@pytest.fixture
async def world(api: Any) -> World:
    return await World(api).build(agent_type="http-pull", config={"pool": "a"}, rules=[])


async def keep_hidden(api: Any) -> None:
    """Another deployment, with the key that somebody is after."""
    made = await api.post("/deployments", {"name": "vault", "jobAgentConfig": {"apiKey": HUSH}})
    assert made.status_code == 202, made.text


async def stored_marker(store: Any) -> Any:
    async with store.read() as conn:
        config = await conn.fetchval("SELECT job_agent_config FROM deployment WHERE name = 'vault'")
    return config["apiKey"]


async def test_no_expression_tells_a_secret_id_letter_by_letter(reader: Any, api: Any, store: Any) -> None:
    await keep_hidden(api)
    secret_id = (await stored_marker(store))["$secret"]

    async def matched(cel: str) -> list[str]:
        answer = await reader.get("/deployments", params={"cel": cel})
        return [each["deployment"]["name"] for each in answer.json()["items"]] if answer.status_code == 200 else []

    config = "deployment.jobAgentConfig"
    assert await matched(f"{config}.apiKey == '••••{secret_id[:8]}'") == ["vault"], "the mark is what everybody sees"
    digits = secret_id[8:12]
    for leaf in (f'{config}.apiKey["$secret"]', f'{config}["apiKey"]["$secret"]', f"{config}.apiKey"):
        for asks in (
            f"{leaf}.startsWith('{secret_id[0]}')",
            f"{leaf}.contains('{digits}')",
            f"{leaf} == '{secret_id}'",
            f"{leaf} > '{secret_id[:12]}' && {leaf} < '{secret_id[:12]}g'",
            f"'{secret_id}' in {leaf}",
        ):
            assert await matched(asks) == [], asks
            assert await matched(f"true && {asks} || false") == [], asks
    assert await matched(f"'$secret' in {config}.apiKey") == []
    assert await matched(f"{config}.apiKey.exists(k, {config}.apiKey[k].startsWith('{secret_id[0]}'))") == []


async def test_an_agent_is_chosen_without_a_look_at_its_secrets(api: Any, store: Any, world: World) -> None:
    agent = {"name": "agent", "type": "http-pull", "config": {"pool": "a", "token": HUSH}}
    assert (await api.put(f"/job-agents/{world.ids['agent']}", agent)).status_code == 202
    deployment = f"/deployments/{world.ids['deployment']}"
    chosen = []
    for test in ("has(jobAgent.config.token.x)", *(f'jobAgent.config.token["$secret"].startsWith("{h}")' for h in HEX)):
        body = {"name": "shop-api", "resourceSelector": "resource.kind == 'Host'", "jobAgentSelector": test}
        assert (await api.put(deployment, body)).status_code == 202
        async with store.read() as conn:
            chosen += [row[0] for row in await conn.fetch("SELECT agent_id FROM target WHERE agent_id IS NOT NULL")]
    assert chosen == []


AGENT = {"name": "x", "type": "http-pull"}
METRIC = {"name": "m", "intervalSeconds": 1, "count": 1, "successCondition": "true"}


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        (
            "PUT",
            "/resources/identifier/p-1",
            {"name": "p", "kind": "Host", "version": "1", "config": {"a": MARKER}},
            "",
        ),
        ("PUT", "/resources/identifier/p-1", {"name": "p", "kind": "H", "version": "1", "metadata": MARKER}, ""),
        ("PATCH", "/resources/identifier/p-1/variables", {"a": {"object": {"b": [MARKER]}}}, "a.object.b[0].$secret"),
        ("POST", "/deployments/{deployment}/versions", {"tag": "v", "config": {"a": MARKER}}, "config.a.$secret"),
        ("POST", "/deployments/{deployment}/versions", {"tag": "v", "jobAgentConfig": {"token": MARKER}}, ""),
        ("POST", "/deployments/{deployment}/versions", {"tag": "v", "metadata": MARKER}, "metadata.$secret"),
        ("POST", "/deployments/{deployment}/plan", {"version": {"tag": "v", "jobAgentConfig": {"a": MARKER}}}, ""),
        ("PUT", "/deployments/{deployment}", {"name": "shop-api", "jobAgentConfig": {"password": MARKER}}, ""),
        ("PUT", "/job-agents/{new}", {**AGENT, "config": {"token": MARKER}}, "config.token.$secret"),
        ("PUT", "/job-agents/{new}", {**AGENT, "config": {"a": {**MARKER, "b": 1}}}, "config.a.$secret"),
        ("POST", "/environments", {"name": "e", "metadata": MARKER}, "metadata.$secret"),
        ("POST", "/systems", {"name": "s", "metadata": MARKER}, "metadata.$secret"),
        (
            "POST",
            "/policies",
            {"name": "p", "rules": [{"verification": {"metrics": [{**METRIC, "provider": MARKER}]}}]},
            "",
        ),
        (
            "POST",
            "/workflows",
            {"name": "w", "inputs": [{"key": "k", "type": "object", "default": MARKER}], "jobAgents": []},
            "inputs[0].default.$secret",
        ),
        (
            "POST",
            "/apply",
            {"requests": [{"method": "PUT", "path": "resources/identifier/p-1", "body": {"config": {"a": MARKER}}}]},
            "requests[0].body.config.a.$secret",
        ),
    ],
)
async def test_a_marker_that_a_client_sends_is_refused_wherever_it_stands(
    api: Any, world: World, counted: Any, method: str, path: str, body: Any, field: str
) -> None:
    before = await counted()
    place = path.format(new=new_id(), **world.ids)
    answer = await api.call(method, place, json=body)
    assert answer.status_code == 400, answer.text
    assert "is a word of ours" in answer.json()["message"]
    assert answer.json()["details"][0]["path"].endswith(field or ".$secret")
    escaped = orjson.dumps(body).replace(b"$secret", b"\\u0024\\u0073ecret")
    again = await api.call(method, place, content=escaped, headers={"Content-Type": "application/json"})
    assert again.status_code == 400, again.text
    assert "is a word of ours" in again.json()["message"]
    assert await counted() == before


async def test_a_marker_that_stands_where_none_may_is_never_filled_in(
    api: Any, developer: Any, world: World, store: Any, workers: None
) -> None:
    await keep_hidden(api)
    stolen = await stored_marker(store)
    body = {
        "name": "shop-api",
        "resourceSelector": "resource.kind == 'Host'",
        "jobAgentConfig": {"password": "mine-alone"},
    }
    body["jobAgentSelector"] = f"jobAgent.id == '{world.ids['agent']}'"
    assert (await api.put(f"/deployments/{world.ids['deployment']}", body)).status_code == 202
    async with store.read() as conn:
        await conn.execute("UPDATE resource SET config = $1, metadata = metadata || $2", {"a": [stolen]}, {"b": "c"})
        await conn.execute("UPDATE environment SET metadata = metadata || $1", {"d": stolen})
    made = await api.post(
        f"/deployments/{world.ids['deployment']}/versions", {"tag": "v1", "status": "building", "config": {"a": 1}}
    )
    async with store.read() as conn:
        await conn.execute("UPDATE version SET config = $1 WHERE tag = 'v1'", {"stolen": stolen})
    version = f"/deployment-versions/{made.json()['id']}"
    for who in (developer, api):
        for path in (version, f"/deployments/{world.ids['deployment']}/versions"):
            assert HUSH not in (await who.get(path)).text
    assert (await api.patch(version, {"status": "ready"})).status_code == 202
    queue = f"/job-agents/{world.ids['agent']}/jobs"

    async def queued() -> Any:
        return (await api.get(queue, params={"status": "queued"})).json()["items"]

    job = (await until(queued, "a queued job"))[0]
    claimed = await developer.post(f"{queue}/{job['id']}/claim")
    assert claimed.status_code == 200, claimed.text
    context = claimed.json()["dispatchContext"]
    assert context["jobAgentConfig"]["password"] == "mine-alone"
    assert context["deployment"]["jobAgentConfig"] == {"password": "mine-alone"}
    mark = f"••••{stolen['$secret'][:8]}"
    assert context["resource"]["config"] == {"a": [mark]}
    assert context["version"]["config"] == {"stolen": mark}
    assert HUSH not in claimed.text
    assert stolen["$secret"] not in claimed.text
    shown = await api.get(f"/jobs/{job['id']}")
    assert "mine-alone" in shown.text, "an admin has job:secrets"
    assert HUSH not in shown.text


async def test_the_mark_of_another_object_is_worth_nothing(api: Any, developer: Any, world: World, store: Any) -> None:
    await keep_hidden(api)
    mark = f"••••{(await stored_marker(store))['$secret'][:8]}"
    versions = f"/deployments/{world.ids['deployment']}/versions"
    answer = await developer.post(versions, {"tag": "v1", "jobAgentConfig": {"apiKey": mark}})
    assert answer.status_code == 400, answer.text
    assert answer.json()["details"][0]["path"] == "jobAgentConfig.apiKey"
    made = await developer.post(versions, {"tag": "v1", "config": {"apiKey": mark}})
    assert made.json()["config"] == {"apiKey": mark}, "a text like any other"

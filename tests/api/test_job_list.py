"""Are the jobs of all agents one list, narrowed by what people look for, that says how old its knowledge is?"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from api.story import until

AGENTS: dict[str, dict[str, Any]] = {
    "test-runner": {"delaySeconds": 600},
    "http-pull": {},
    "manual": {"instructions": "Turn {{ .resource.name }} by hand."},
}


@pytest.fixture
async def three(api: Any, workers: None) -> dict[str, str]:
    """Three deployments on two hosts, each with an agent of another type; their jobs run. Name -> id."""
    ids: dict[str, str] = {}
    for path, name, body in (
        ("/systems", "shop", {"name": "shop"}),
        ("/environments", "staging", {"name": "staging", "resourceSelector": "resource.name == 'one'"}),
        ("/environments", "production", {"name": "production", "resourceSelector": "resource.name == 'two_2'"}),
    ):
        ids[name] = (await api.post(path, body)).json()["id"]
    for name in ("one", "two_2"):
        await api.put(f"/resources/identifier/{name}", {"name": name, "kind": "Host", "version": "v1", "metadata": {}})
        ids[name] = (await api.get(f"/resources/identifier/{name}")).json()["id"]
    for kind, config in AGENTS.items():
        ids[kind] = str(uuid.uuid4())
        made = await api.put(f"/job-agents/{ids[kind]}", {"name": f"does-{kind}", "type": kind, "config": config})
        assert made.is_success, made.text
        deployment = {
            "name": f"by-{kind}",
            "slug": f"by-{kind}",
            "resourceSelector": "true",
            "jobAgentSelector": f"jobAgent.id == '{ids[kind]}'",
        }
        ids[f"by-{kind}"] = (await api.post("/deployments", deployment)).json()["id"]
    for kind, name in (
        ("environments", "staging"),
        ("environments", "production"),
        *(("deployments", f"by-{k}") for k in AGENTS),
    ):
        assert (await api.put(f"/systems/{ids['shop']}/{kind}/{ids[name]}")).is_success
    for kind in AGENTS:
        tag = {"tag": f"1-{kind}", "status": "ready"}
        assert (await api.post(f"/deployments/{ids[f'by-{kind}']}/versions", tag)).is_success

    async def offered() -> bool:
        seen = (await api.get("/jobs?status=queued&status=inProgress")).json()
        return bool(seen["total"] == 6)

    await until(offered, "the jobs did not come")
    for job in (await api.get("/jobs?status=queued&limit=10")).json()["items"]:
        if job["jobAgent"]["type"] == "manual":
            assert (await api.post(f"/jobs/{job['id']}/take")).is_success
        else:
            assert (await api.post(f"/job-agents/{ids['http-pull']}/jobs/{job['id']}/claim")).is_success

    async def running() -> bool:
        return bool((await api.get("/jobs?status=running")).json()["total"] == 6)

    await until(running, "they do not run")
    return ids


async def seen(api: Any, **query: Any) -> set[str]:
    """DEPLOYMENT/RESOURCE of the jobs that fit."""
    answer = await api.get(f"/jobs?{urlencode(query, doseq=True)}")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["total"] == len(body["items"])
    return {f"{each['deployment']['name']}/{each['resource']['name']}" for each in body["items"]}


def both(*kinds: str) -> set[str]:
    return {f"by-{kind}/{host}" for kind in kinds for host in ("one", "two_2")}


async def test_what_runs_is_one_list_over_every_type_of_agent(api: Any, three: dict[str, str]) -> None:
    listed = (await api.get("/jobs?status=running")).json()
    assert {each["jobAgent"]["type"] for each in listed["items"]} == {"test-runner", "http-pull", "manual"}
    assert {each["status"] for each in listed["items"]} == {"inProgress"}
    for each in listed["items"]:
        heard = datetime.now(UTC) - datetime.fromisoformat(each["observedAt"])
        assert heard < timedelta(minutes=5), "each was heard of just now"
    page = (await api.get("/jobs?limit=2&offset=4")).json()
    assert (len(page["items"]), page["total"]) == (2, 6)
    assert (await api.get("/jobs?offset=99")).json() == {"items": [], "total": 6, "limit": 50, "offset": 99}


async def test_a_list_is_narrowed_by_what_people_look_for(api: Any, three: dict[str, str]) -> None:
    everything = both(*AGENTS)
    assert await seen(api) == everything
    assert await seen(api, status="inProgress") == everything, "the contract's word"
    assert await seen(api, status="open") == everything
    assert await seen(api, status=["waiting", "failed"]) == set()
    assert await seen(api, jobAgentId=three["manual"]) == both("manual")
    assert await seen(api, agentType=["manual", "http-pull"]) == both("manual", "http-pull")
    assert await seen(api, agentType="argo-cd") == set()
    assert await seen(api, deploymentId=three["by-http-pull"]) == both("http-pull")
    assert await seen(api, environmentId=three["staging"]) == {f"by-{kind}/one" for kind in AGENTS}
    assert await seen(api, resourceId=three["two_2"]) == {f"by-{kind}/two_2" for kind in AGENTS}
    assert await seen(api, systemId=three["shop"]) == everything
    assert await seen(api, systemId=str(uuid.uuid4())) == set()
    assert await seen(api, version="1-manual") == both("manual")
    assert await seen(api, kind="forward") == everything
    assert await seen(api, kind="workflow") == set()
    assert await seen(api, since="2020-01-01T00:00:00Z") == everything
    assert await seen(api, since="2199-01-01T00:00:00Z") == set()
    assert await seen(api, q="DOES-MANUAL") == both("manual")
    assert await seen(api, q="two_") == {f"by-{kind}/two_2" for kind in AGENTS}, "_ is no wildcard"
    assert await seen(api, q="%") == set()
    both_ways = {"q": "by-", "status": "running", "environmentId": three["production"], "agentType": "test-runner"}
    assert await seen(api, **both_ways) == {"by-test-runner/two_2"}


@pytest.mark.parametrize(
    "query", ["status=bogus", "kind=sideways", "since=yesterday", "deploymentId=x", "q=" + "a" * 201, "limit=0"]
)
async def test_a_condition_that_is_none_is_refused(api: Any, query: str) -> None:
    assert (await api.get(f"/jobs?{query}")).status_code in {400, 404}

"""What does a test of a whole story over REST get? A small world, real workers in this process, and patience."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from interlock.agents import build_agents
from interlock.metrics import build_metrics
from interlock.outside.http import guarded_http
from interlock.workers import run_workers

WAIT_S = 20.0


@asynccontextmanager
async def working(store: Any, settings: Any, *, agents: Mapping[str, Any] | None = None) -> AsyncIterator[None]:
    """Real workers, which end with the block. `agents` are those that stand in for the product's."""
    stop = asyncio.Event()
    async with guarded_http(settings) as http:
        known = build_agents(exec_root=settings.data / "exec", exec_enabled=False, http=http)
        running = asyncio.create_task(
            run_workers(store, {**known, **(agents or {})}, build_metrics(http), settings, stop)
        )
        try:
            yield
        finally:
            stop.set()
            await running


async def until(ask: Callable[[], Awaitable[Any]], what: str) -> Any:
    """Ask until the answer is true, and give it."""
    async with asyncio.timeout(WAIT_S):
        while True:
            answer = await ask()
            if answer:
                return answer
            await asyncio.sleep(0.05)
    raise AssertionError(what)


class World:
    """What the story is about: one system, two environments, one deployment, three hosts."""

    def __init__(self, api: Any) -> None:
        self.api = api
        self.ids: dict[str, str] = {}

    async def build(self, *, agent_type: str, config: dict[str, Any], rules: list[dict[str, Any]]) -> World:
        api, ids = self.api, self.ids
        ids["agent"] = str(uuid.uuid4())
        for path, name, body in (
            ("/systems", "system", {"name": "shop"}),
            (
                "/environments",
                "staging",
                {"name": "staging", "resourceSelector": "resource.metadata['env'] == 'staging'"},
            ),
            (
                "/environments",
                "production",
                {"name": "production", "resourceSelector": "resource.metadata['env'] == 'production'"},
            ),
            (
                "/deployments",
                "deployment",
                {
                    "name": "shop-api",
                    "slug": "shop-api",
                    "resourceSelector": "resource.kind == 'Host'",
                    "jobAgentSelector": f"jobAgent.id == '{ids['agent']}'",
                },
            ),
        ):
            made = await api.post(path, body)
            assert made.status_code == 202, made.text
            ids[name] = made.json()["id"]
        agent = await api.put(f"/job-agents/{ids['agent']}", {"name": "agent", "type": agent_type, "config": config})
        assert agent.status_code == 202, agent.text
        for kind, name in (("environments", "staging"), ("environments", "production"), ("deployments", "deployment")):
            assert (await api.put(f"/systems/{ids['system']}/{kind}/{ids[name]}")).status_code == 202
        for host, environment in (("s-1", "staging"), ("p-1", "production"), ("p-2", "production")):
            body = {"name": host, "kind": "Host", "version": "v1", "metadata": {"env": environment}}
            assert (await api.put(f"/resources/identifier/{host}", body)).status_code == 202
        if rules:
            policy = {"name": "gates", "selector": "environment.name == 'production'", "rules": rules}
            made = await api.post("/policies", policy)
            assert made.status_code == 202, made.text
        return self

    async def version(self, tag: str) -> str:
        made = await self.api.post(f"/deployments/{self.ids['deployment']}/versions", {"tag": tag, "status": "ready"})
        assert made.status_code == 200, made.text
        return str(made.json()["id"])

    async def running(self) -> dict[str, str | None]:
        """resource -> tag that it runs."""
        listed = (await self.api.get("/release-targets")).json()
        return {item["resource"]["name"]: (item.get("current") or {}).get("tag") for item in listed["items"]}

    async def ledger(self, **query: Any) -> list[dict[str, Any]]:
        answer = await self.api.get("/ledger", params={"limit": 1000, **query})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["items"])

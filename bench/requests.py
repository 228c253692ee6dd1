"""How many requests a second does the API answer, and how long does the slowest in a hundred take?

Over HTTP, against one `interlock api` and one `interlock worker` as processes, on PostgreSQL with fsync on: creating a
version, upserting a resource, listing targets (of 10,000) and searching resources (of 100,000). Eight clients ask as
fast as they are answered, so p99 is that of a busy server; each kind is measured by itself, after a warm-up. The
clients, the server, the worker and PostgreSQL share the machine.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.ground import Finding
from bench.served import Connection, Served, load, served
from bench.sync import a_resource, an_inventory

RESOURCES = 100_000
CLIENTS = 8
WARM_UP_S = 1.0
FOR_S = 6.0


async def prepared(where: Served) -> str:
    """100,000 resources, every tenth a target of one deployment. Gives the deployment's id."""
    async with where.connection() as api:
        await an_inventory(api)
        provider = await api.get("PUT", "/resource-providers", {"name": "cloud"})
        sent = {"resources": [a_resource(number) for number in range(RESOURCES)]}
        await api.get("PUT", f"/resource-providers/{provider['id']}/set", sent)
        deployment_id = str((await api.get("GET", "/deployments/name/shop-api"))["deployment"]["id"])
        while (await api.get("GET", "/release-targets?limit=1"))["total"] < RESOURCES // 10:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    return deployment_id


def calls(deployment_id: str) -> dict[str, Callable[[Connection, int], Awaitable[object]]]:
    """What is measured, by its name in the table."""

    async def create_version(api: Connection, number: int) -> object:
        body = {
            "tag": f"1.{number}",
            "name": f"1.{number}",
            "status": "ready",
            "metadata": {"git/commit": f"{number:x}"},
        }
        return await api.get("POST", f"/deployments/{deployment_id}/versions", body)

    async def upsert_resource(api: Connection, number: int) -> object:
        sent = a_resource(number % 5_000, revision=number)
        path = sent.pop("identifier").replace("/", "%2F")
        return await api.get("PUT", f"/resources/identifier/{path}", sent)

    async def list_targets(api: Connection, number: int) -> object:
        return await api.get("GET", f"/release-targets?limit=50&offset={number * 50 % 9_900}")

    async def search_resources(api: Connection, number: int) -> object:
        body = {"query": f"host-{number % 1000:03d}", "kinds": ["Host"], "limit": 50}
        return await api.get("POST", "/resources/search", body)

    return {
        "list targets (10,000)": list_targets,
        "search resources (100,000)": search_resources,
        "upsert resource": upsert_resource,
        "create version": create_version,
    }


async def measure() -> list[Finding]:
    """One kind after the other."""
    findings = []
    async with served() as where:
        deployment_id = await prepared(where)
        for what, call in calls(deployment_id).items():
            await load(where, call, clients=CLIENTS, for_s=WARM_UP_S)
            rate, p50, p99 = await load(where, call, clients=CLIENTS, for_s=FOR_S)
            print(f"    {what:<28} {rate:7.0f} requests/s   p50 {p50:6.1f} ms   p99 {p99:6.1f} ms   {where.memory()}")
            findings.append(Finding(f"{what}: requests per second", rate, None, "/s", more_is_better=True))
            findings.append(Finding(f"{what}: p99 of {CLIENTS} clients", p99, None, "ms"))
    return findings


def main() -> list[Finding]:
    """Print the figures."""
    print(f"{CLIENTS} clients, {FOR_S:g} s each, after {WARM_UP_S:g} s of warm-up.")
    return asyncio.run(measure())


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main()

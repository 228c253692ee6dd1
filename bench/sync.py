"""How long does a provider's sync of 100,000 resources take, first and with 1 % changed, and who waits meanwhile?

Over HTTP, against `interlock api` and `interlock worker` as processes, on PostgreSQL with fsync on. A deployment with
two environments selects 10,000 of the resources, so a sync makes targets, changes them and takes them away. Measured
are the call, the time until the worker has matched what the sync changed (no `match` item is left), what another
client of the API sees while the call runs, and the memory of the API's process.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import orjson
from bench.ground import Finding, percentile
from bench.served import Connection, Served, cpu_s, memory_mb, served

RESOURCES = 100_000
TARGETS_SHARE = 10
BUDGET_AGAIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Synced:
    """One call, what came after it, and what others saw during it."""

    call_s: float
    matched_s: float
    others_ms: Sequence[float]
    peak_mb: float
    api_cpu_s: float
    worker_cpu_s: float


def a_resource(number: int, *, revision: int = 0) -> dict[str, Any]:
    """One host; every tenth is a target, half of them in production."""
    return {
        "identifier": f"cloud/project-{number % 50}/host-{number:06d}",
        "name": f"host-{number:06d}",
        "kind": "Host" if number % TARGETS_SHARE == 0 else "Disk",
        "version": "cloud/v1",
        "config": {"address": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", "cpus": 8, "revision": revision},
        "metadata": {
            "env": "production" if number // TARGETS_SHARE % 2 else "staging",
            "region": f"eu-{number % 3}",
            "team": f"team-{number % 20}",
        },
    }


def changed(resources: Sequence[dict[str, Any]], *, share: float) -> list[dict[str, Any]]:
    """The same with a share of them changed: most of those in their config, a tenth replaced by others."""
    every = round(1 / share)
    again = list(resources)
    for number in range(0, len(again), every):
        fresh = len(again) + number if number // every % 10 == 0 else number
        again[number] = a_resource(fresh, revision=1)
    return again


async def an_inventory(api: Connection) -> None:
    """A deployment of hosts in two environments, without an agent: what is measured is the sync, not jobs."""
    system = await api.get("POST", "/systems", {"name": "shop", "slug": "shop"})
    body = {"name": "shop-api", "slug": "shop-api", "resourceSelector": 'resource.kind == "Host"'}
    deployment = await api.get("POST", "/deployments", body)
    await api.get("PUT", f"/systems/{system['id']}/deployments/{deployment['id']}")
    for name in ("staging", "production"):
        selector = f'resource.metadata["env"] == "{name}"'
        environment = await api.get("POST", "/environments", {"name": name, "resourceSelector": selector})
        await api.get("PUT", f"/systems/{system['id']}/environments/{environment['id']}")


async def sync(where: Served, conn: asyncpg.Connection[Any], *, provider_id: str, sent: bytes) -> Synced:
    """One set, with another client asking all the time."""
    others_ms: list[float] = []
    api_began_s, worker_began_s = cpu_s(where.api_pid), cpu_s(where.worker_pid or 0)
    async with where.connection() as api, where.connection() as other:

        async def ask() -> None:
            while True:
                began = time.perf_counter()
                await other.get("GET", "/systems")
                others_ms.append((time.perf_counter() - began) * 1000)
                await asyncio.sleep(0.02)

        asking = asyncio.create_task(ask())
        began = time.perf_counter()
        status, raw = await api.call("PUT", f"/resource-providers/{provider_id}/set", sent)
        call_s = time.perf_counter() - began
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        if status != 202:
            raise RuntimeError(f"{status} {raw[:300]!r}")
    while await conn.fetchval(  # noqa: ASYNC110 - the answer is in the database
        "SELECT EXISTS (SELECT FROM work WHERE kind IN ('match', 'round') AND buried_at IS NULL)"
    ):
        await asyncio.sleep(0.05)
    return Synced(
        call_s,
        time.perf_counter() - began,
        others_ms,
        memory_mb(where.api_pid, "VmHWM"),
        cpu_s(where.api_pid) - api_began_s,
        cpu_s(where.worker_pid or 0) - worker_began_s,
    )


def told(one: Synced) -> str:
    """One sync on a line."""
    return (
        f"call {one.call_s:6.2f} s   matched after {one.matched_s:6.2f} s   cpu api {one.api_cpu_s:.2f} s "
        f"worker {one.worker_cpu_s:.2f} s   others p50 {percentile(one.others_ms, 0.5):.0f} ms "
        f"worst {max(one.others_ms):.0f} ms"
    )


async def measure() -> list[tuple[str, Synced]]:
    """First, unchanged, with 1 % changed, and a set of none of them."""
    resources = [a_resource(number) for number in range(RESOURCES)]
    again = changed(resources, share=0.01)
    found = []
    async with served() as where, where.connection() as api:
        conn = await asyncpg.connect(where.database_url)
        await an_inventory(api)
        provider = await api.get("PUT", "/resource-providers", {"name": "cloud"})
        print(f"    memory of the API before: {where.memory()}")
        for what, body in (("first", resources), ("unchanged", resources), ("1 % changed", again)):
            sent = orjson.dumps({"resources": body})
            one = await sync(where, conn, provider_id=provider["id"], sent=sent)
            print(f"    {what:<12} {told(one)}   {where.memory()}")
            found.append((what, one))
        targets = await conn.fetchval("SELECT count(*) FROM target WHERE state = 'attached'")
        print(f"    {targets} targets; memory of the worker {memory_mb(where.worker_pid or 0, 'VmHWM'):.0f} MB at most")
        await conn.close()
    return found


def main() -> list[Finding]:
    """Print the figures."""
    print(f"{RESOURCES:,} resources, every {TARGETS_SHARE}th a target.")
    found = dict(asyncio.run(measure()))
    return [
        Finding("sync of 100,000 resources, first", found["first"].call_s, None, "s"),
        Finding("the same until its targets stand", found["first"].matched_s, None, "s"),
        Finding("sync of 100,000 resources, 1 % changed", found["1 % changed"].call_s, BUDGET_AGAIN_S, "s"),
        Finding("the same until its targets stand", found["1 % changed"].matched_s, BUDGET_AGAIN_S, "s"),
        Finding("memory of the API at most, during the syncs", found["1 % changed"].peak_mb, None, "MB"),
    ]


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main()

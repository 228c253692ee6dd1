"""How do 500 pull agents share one server? What their polling costs, and how long a job waits to be claimed.

`interlock api` and `interlock worker` as processes, PostgreSQL with fsync on, 500 programs with a connection each. Ten
deployments with 50 targets each; every five seconds a version makes 50 jobs. A program lists what waits, claims one,
says half way that it lives and then that it succeeded. Four ways:

    one queue, polled       500 programs of one agent ask every 4 s, and claim any that waits
    a queue each, polled    500 agents, a program each, ask every 4 s
    one queue, waiting      as the first, but the list's answer waits for a job (`waitSeconds`)
    a queue each, waiting   as the second, the same

Measured: requests a second; how long a claim takes, as its caller sees it; how long a job lies queued until it is
claimed, as the ledger has it; the processor time of the API, in cores and for each request, and of the worker, to which
no other process on the machine adds. The programs share the machine and one process: what they see is the worst case.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from bench.ground import Finding, percentile
from bench.served import Connection, Served, cpu_s, served

PULLERS = 500
DEPLOYMENTS = 10
POLL_S = 4.0
"""A kept connection that is silent for 5 s is closed."""
WAIT_S = 20
FOR_S = 20.0
VERSION_EVERY_S = 5.0


@dataclass(slots=True)
class Seen:
    """What the programs saw."""

    requests: int = 0
    lost: int = 0
    failed: int = 0
    done: int = 0
    claims_ms: list[float] = field(default_factory=list)
    lists_ms: list[float] = field(default_factory=list)


async def prepared(where: Served, *, own: bool) -> tuple[list[str], list[str]]:
    """The fleet. Gives the deployments' ids, and the agent of each program."""
    async with where.connection() as api:
        agents = [str(uuid.uuid4()) for _ in range(PULLERS if own else 1)]
        for number, agent_id in enumerate(agents):
            body = {
                "name": f"agent-{number}",
                "type": "http-pull",
                "config": {},
                "metadata": {"host": f"host-{number}"},
            }
            await api.get("PUT", f"/job-agents/{agent_id}", body)
        system = (await api.get("POST", "/systems", {"name": "shop"}))["id"]
        made = await api.get("POST", "/environments", {"name": "all", "resourceSelector": "true"})
        await api.get("PUT", f"/systems/{system}/environments/{made['id']}")
        picks = 'jobAgent.metadata["host"] == resource.name' if own else "true"
        deployments = []
        for number in range(DEPLOYMENTS):
            body = {
                "name": f"d{number}",
                "slug": f"d{number}",
                "resourceSelector": f'resource.metadata["part"] == "{number}"',
                "jobAgentSelector": picks,
            }
            deployments.append(str((await api.get("POST", "/deployments", body))["id"]))
            await api.get("PUT", f"/systems/{system}/deployments/{deployments[-1]}")
        provider = await api.get("PUT", "/resource-providers", {"name": "cloud"})
        resources = [
            {
                "identifier": f"host-{number}",
                "name": f"host-{number}",
                "kind": "Host",
                "version": "v1",
                "config": {},
                "metadata": {"part": str(number % DEPLOYMENTS)},
            }
            for number in range(PULLERS)
        ]
        await api.get("PUT", f"/resource-providers/{provider['id']}/set", {"resources": resources})
        while (await api.get("GET", "/release-targets?limit=1"))["total"] < PULLERS:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    await rest(where.database_url)
    return deployments, agents if own else agents * PULLERS


async def puller(where: Served, agent_id: str, seen: Seen, stop: asyncio.Event, *, wait: bool, number: int) -> None:
    """One program, as long as it may."""
    queue = f"/job-agents/{agent_id}/jobs"
    listing = f"{queue}?status=queued" + (f"&limit=5&waitSeconds={WAIT_S}" if wait else "&limit=50")
    if not wait:
        await asyncio.sleep(POLL_S * number / PULLERS)  # they did not all start at once
    while not stop.is_set():
        try:
            await asks(where, queue, listing, seen, stop, wait=wait)
        except (RuntimeError, ConnectionError, asyncio.IncompleteReadError):
            seen.failed += 1  # busy (503) or cut off: a program tries again later
            await asyncio.sleep(random.uniform(1, 3))


async def asks(where: Served, queue: str, listing: str, seen: Seen, stop: asyncio.Event, *, wait: bool) -> None:
    """The same, on one connection."""
    async with where.connection() as api:
        while not stop.is_set():
            began = time.perf_counter()
            seen.requests += 1
            waiting = (await api.get("GET", listing))["items"]
            seen.lists_ms.append((time.perf_counter() - began) * 1000)
            took = False
            if not wait:
                random.shuffle(waiting)
            for job in waiting[:5]:
                took = await claimed(api, queue, job["id"], seen)
                if took:
                    break
            if not took and (waiting or not wait):
                await asyncio.sleep(random.uniform(0.5, 1.5) if wait else POLL_S)


async def claimed(api: Connection, queue: str, job_id: str, seen: Seen) -> bool:
    """Claim a job and do it. Says whether it was to be had."""
    began = time.perf_counter()
    seen.requests += 1
    status, _ = await api.call("POST", f"{queue}/{job_id}/claim", {"leaseSeconds": 60})
    if status != 200:
        seen.lost += 1
        return False
    seen.claims_ms.append((time.perf_counter() - began) * 1000)
    seen.requests += 2
    await api.get("POST", f"/jobs/{job_id}/heartbeat", {"attempt": 1})
    await api.get("PUT", f"/jobs/{job_id}/status", {"status": "successful", "attempt": 1})
    seen.done += 1
    return True


async def measured(*, own: bool, wait: bool) -> list[Finding]:
    """One way, on a server of its own."""
    what = f"{'a queue each' if own else 'one queue'}, {'waiting' if wait else 'polled'}"
    async with served() as where:
        deployments, agents = await prepared(where, own=own)
        seen, stop = Seen(), asyncio.Event()
        pullers = [
            asyncio.create_task(puller(where, agent_id, seen, stop, wait=wait, number=number))
            for number, agent_id in enumerate(agents)
        ]
        await asyncio.sleep(2.0)
        assert where.worker_pid is not None
        pids = {"api": where.api_pid, "worker": where.worker_pid}
        idle_before, idle_requests = cpu_s(where.api_pid), seen.requests
        await asyncio.sleep(POLL_S)
        idle, idle_rate = (cpu_s(where.api_pid) - idle_before) / POLL_S, (seen.requests - idle_requests) / POLL_S
        before, began, seen.requests = {name: cpu_s(pid) for name, pid in pids.items()}, time.perf_counter(), 0
        seen.lists_ms.clear()
        made = 0
        async with where.connection() as api:
            while time.perf_counter() - began < FOR_S:
                body = {"tag": f"1.{made}", "name": f"1.{made}", "status": "ready"}
                with contextlib.suppress(RuntimeError):
                    await api.get("POST", f"/deployments/{deployments[made % DEPLOYMENTS]}/versions", body)
                made += 1
                await asyncio.sleep(max(0.0, began + made * VERSION_EVERY_S - time.perf_counter()))
            took_s = time.perf_counter() - began
            cores = {name: (cpu_s(pid) - before[name]) / took_s for name, pid in pids.items()}
            requests, done = seen.requests, seen.done
        over = time.perf_counter() + 30
        while seen.done < made * PULLERS // DEPLOYMENTS and time.perf_counter() < over:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        stop.set()
        for task in pullers:
            task.cancel()
        await asyncio.gather(*pullers, return_exceptions=True)
        queued_ms = await lay_queued_ms(where.database_url)
    p50, p99 = percentile(seen.claims_ms, 0.5), percentile(seen.claims_ms, 0.99)
    lay50, lay99 = percentile(queued_ms, 0.5), percentile(queued_ms, 0.99)
    print(
        f"    {what:<22} idle: {idle_rate:4.0f} requests/s, API {idle:.2f} cores; with 10 jobs a second: "
        f"{requests / took_s:4.0f} requests/s, API {cores['api']:.2f} cores "
        f"({cores['api'] * took_s * 1000 / requests:.1f} ms a request), worker {cores['worker']:.2f}"
    )
    print(
        f"    {'':<22} {done} of {made * PULLERS // DEPLOYMENTS} jobs done in time, {seen.lost} claims came second, "
        f"{seen.failed} calls failed; "
        f"list p50 {percentile(seen.lists_ms, 0.5):.0f} ms; claim p50 {p50:.0f}, p99 {p99:.0f} ms; "
        f"queued until claimed p50 {lay50:.0f}, p99 {lay99:.0f} ms"
    )
    return [
        Finding(f"500 pull agents, {what}: claim, p99", p99, None, "ms"),
        Finding(f"500 pull agents, {what}: queued until claimed, p50", lay50, None, "ms"),
        Finding(f"500 pull agents, {what}: API, share of a core", cores["api"], None, ""),
    ]


async def rest(url: str) -> None:
    """Wait until what the fleet's making asked for is looked at."""
    conn: Any = await asyncpg.connect(url)
    try:
        while await conn.fetchval("SELECT EXISTS (SELECT FROM work)"):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    finally:
        await conn.close()


async def lay_queued_ms(url: str) -> list[float]:
    """How long each job lay in its queue."""
    text = """
    SELECT extract(epoch FROM j.handed_over_at - l.at)::float8 * 1000
    FROM ledger l JOIN job j ON j.id::text = l.subject_id
    WHERE l.kind = 'job.status_changed' AND convert_from(l.body, 'UTF8')::jsonb ->> 'to' = 'queued'
      AND j.handed_over_at IS NOT NULL
    """
    conn: Any = await asyncpg.connect(url)
    try:
        return [row[0] for row in await conn.fetch(text)]
    finally:
        await conn.close()


async def measure() -> list[Finding]:
    """One way after the other."""
    findings = []
    for wait in (False, True):
        for own in (False, True):
            findings += await measured(own=own, wait=wait)
    return findings


def main() -> list[Finding]:
    """Print the figures."""
    print(f"{PULLERS} programs, {FOR_S:g} s each way; they ask every {POLL_S:g} s, or wait for {WAIT_S} s.")
    return asyncio.run(measure())


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main()

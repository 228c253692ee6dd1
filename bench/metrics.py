"""How far does one process fall behind with 10,000 metrics that are measured every 30 s?

One worker process with all its loops, PostgreSQL with fsync on, and a provider on loopback that answers every question
after 20 ms over HTTP. 2,000 targets were brought a version whose verification has five metrics, so 333 measurements are
due every second, spread evenly. Beside them a sixth metric on 20 of the targets asks a provider that takes 25 s over
every answer: it must keep nobody else waiting.

    lag       from the instant at which a measurement is due to the one at which its provider is asked; p50, p99
    missed    points of the grid that no measurement was taken for, because the one before came too late
    CPU       of the worker, and of PostgreSQL with all its processes, in cores; and a measurement's, in ms
    memory    of the worker, resident

The machine is shared by all of them, by the provider and by whatever else it does: CPU a measurement is the figure that
other machines have too, lag is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bench.ground import Finding, a_database, a_fleet, percentile
from bench.handover import Paced

from interlock.agents import Agent
from interlock.metrics import build_metrics
from interlock.outside.http import Http
from interlock.settings import Settings
from interlock.store.tx import Store
from interlock.store.work import OWN_FACTS, WorkRequest, request_work
from interlock.workers import run_workers

TARGETS, TIMES, METRICS = 20, 100, 5
DUE = TARGETS * TIMES * METRICS
EVERY_S = 30
WARM_UP_S, FOR_S = 35, 90
ANSWER_S, SLOW_ANSWER_S = 0.02, 25.0
SLOW = 20
BUDGET_LAG_MS = 1_000.0


class Provider(asyncio.Protocol):
    """The least that HTTP allows: every question is answered with the same JSON after a while."""

    def __init__(self, answer_s: float) -> None:
        self.answer_s = answer_s
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Kept open by who asks."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Questions have no body and come one by one."""
        if data.endswith(b"\r\n\r\n"):
            asyncio.get_running_loop().call_later(self.answer_s, self.answer)

    def answer(self) -> None:
        """All is well."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(
                b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 19\r\n\r\n{"errorRate": 0.00}'
            )


async def provide() -> None:
    """The provider's process: a quick one and a slow one, whose ports it prints."""
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(lambda s=each: Provider(s), "127.0.0.1", 0) for each in (ANSWER_S, SLOW_ANSWER_S)
    ]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


async def work(url: str) -> None:
    """The worker's process."""
    agents = {"instant": Paced("instant", 0.0, ends=True)}
    settings = Settings()
    store = await Store.open(url)
    metrics = build_metrics(Http(allow_private_addresses=True))
    await run_workers(store, cast("Mapping[str, Agent]", agents), metrics, settings, asyncio.Event())


@dataclass(frozen=True, slots=True)
class Seen:
    """What was measured of one worker."""

    lags_ms: list[float]
    missed: int
    slow_taken: int
    cpu_s: float
    database_cpu_s: float
    resident_mib: float

    @property
    def taken(self) -> int:
        """How many measurements."""
        return len(self.lags_ms)


@contextlib.asynccontextmanager
async def a_process(*args: str, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """This file as another process, until the block ends."""
    folder = str(Path(__file__).resolve().parents[1])
    paths = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.metrics",
        *args,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, **settings},
        stdout=asyncio.subprocess.PIPE if args[0] == "provide" else asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


def cpu_s(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def tree_cpu_s(pid: int) -> float:
    """Processor time of a process, of its children and of those that it has waited for."""
    total = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            text = stat.read_text()
            fields = text.rpartition(")")[2].split()
            if int(text.partition(" ")[0]) == pid:
                total += sum(map(int, fields[11:15]))
            elif int(fields[1]) == pid:
                total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def metric(name: str, port: str) -> dict[str, Any]:
    """One metric that never ends by itself here."""
    return {
        "name": name,
        "intervalSeconds": EVERY_S,
        "count": 1_000,
        "successCondition": "result.ok && result.json.errorRate < 0.01",
        "provider": {"type": "http", "url": f"http://127.0.0.1:{port}/{name}"},
    }


async def multiplied(store: Store) -> None:
    """Each verification a hundred times: what is measured of a target knows nothing of the others. Of the slow metric a
    few remain. What was copied has no rows in the ledger.
    """
    async with store.read() as conn:
        await conn.execute("SET session_replication_role = replica")
        for table, ids in (("verification", ("id",)), ("verification_metric", ("id", "verification_id"))):
            rows = await conn.fetch(
                "SELECT column_name AS name FROM information_schema.columns WHERE table_name = $1 "
                "AND table_schema = current_schema()",
                table,
            )
            names = [row["name"] for row in rows]
            new = [f"md5({name}::text || n)::uuid" if name in ids else name for name in names]
            await conn.execute(
                f"INSERT INTO {table} ({', '.join(names)}) "
                f"SELECT {', '.join(new)} FROM {table}, generate_series(2, {TIMES}) n"
            )
        await conn.execute(
            "DELETE FROM verification_metric WHERE name = 'slow' "
            "AND id NOT IN (SELECT id FROM verification_metric WHERE name = 'slow' ORDER BY id LIMIT $1)",
            SLOW,
        )
        await conn.execute("SET session_replication_role = origin")


async def spread(store: Store) -> None:
    """Let the verifications begin evenly over one interval, from now on."""
    async with store.read() as conn:
        await conn.execute(
            "UPDATE verification SET started_at = now() + interval '3 s' "
            "+ (('x' || right(id::text, 6))::bit(24)::int::float8 / 16777216) * make_interval(secs => $1)",
            EVERY_S,
        )
        await conn.execute(
            "UPDATE verification_metric m SET next_at = v.started_at FROM verification v WHERE v.id = m.verification_id"
        )
        await conn.execute("DELETE FROM measurement")
        await conn.execute("DELETE FROM work WHERE kind = 'measure'")
        rows = await conn.fetch(
            "SELECT m.id, v.workspace_id, m.next_at "
            "FROM verification_metric m JOIN verification v ON v.id = m.verification_id"
        )
        due = [WorkRequest("measure", row["id"], row["workspace_id"], row["next_at"], OWN_FACTS) for row in rows]
        for at in range(0, len(due), 1_000):
            await request_work(conn, due[at : at + 1_000])


LAGS = """
SELECT m.name = 'slow' AS slow, extract(epoch FROM s.measured_at - v.started_at)::float8 AS since_s
FROM measurement s JOIN verification_metric m ON m.id = s.metric_id JOIN verification v ON v.id = m.verification_id
WHERE s.measured_at >= $1 AND s.measured_at < $2
"""


async def measure_metrics() -> Seen:
    """All of it, on one database."""
    async with a_database() as url, a_process("provide") as provider:
        assert provider.stdout is not None
        quick, slow = (await provider.stdout.readline()).decode().split()
        store = await Store.open(url)
        try:
            named = {**{f"m{number}": quick for number in range(METRICS)}, "slow": slow}
            rule = {"verification": {"metrics": [metric(name, port) for name, port in named.items()]}}
            fleet = await a_fleet(store, TARGETS, agent_type="instant", agent_config={}, rules=[rule])
            async with a_process("work", url):
                await fleet.version("1.0")
                async with asyncio.timeout(120), store.read() as conn:
                    count = "SELECT count(*) FROM verification_metric"
                    while await conn.fetchval(count) < TARGETS * len(named):  # noqa: ASYNC110 - it is in the database
                        await asyncio.sleep(0.1)
            await multiplied(store)
            await spread(store)
            async with a_process("work", url) as worker:
                return await watch(store, worker.pid)
        finally:
            await store.close()


async def watch(store: Store, pid: int) -> Seen:
    """Look on for a while, once it runs evenly."""
    await asyncio.sleep(WARM_UP_S)
    async with store.read() as conn:
        postmaster = await conn.fetchval("SELECT pg_backend_pid()")
        fields = Path(f"/proc/{postmaster}/stat").read_text().rpartition(")")[2].split()
        postmaster = int(fields[1])
        began_at = await conn.fetchval("SELECT clock_timestamp()")
        before = cpu_s(pid), tree_cpu_s(postmaster)
        await asyncio.sleep(FOR_S)
        after = cpu_s(pid), tree_cpu_s(postmaster)
        ended_at = await conn.fetchval("SELECT clock_timestamp()")
        rows = await conn.fetch(LAGS, began_at, ended_at)
    lags = [row["since_s"] % EVERY_S * 1000 for row in rows if not row["slow"]]
    due = (DUE + SLOW) * FOR_S // EVERY_S
    return Seen(
        lags,
        due - len(rows),
        sum(row["slow"] for row in rows),
        after[0] - before[0],
        after[1] - before[1],
        resident_mib(pid),
    )


def main() -> list[Finding]:
    """Print the figures."""
    print(f"{DUE:,} metrics every {EVERY_S} s: one worker process, a provider over HTTP on loopback.")
    seen = asyncio.run(measure_metrics())
    p50, p99 = percentile(seen.lags_ms, 0.5), percentile(seen.lags_ms, 0.99)
    cores, database = seen.cpu_s / FOR_S, seen.database_cpu_s / FOR_S
    each = seen.cpu_s / max(seen.taken, 1) * 1000
    print(
        f"    {seen.taken:,} measurements in {FOR_S} s, {seen.missed:,} missed, {seen.slow_taken} of the slow provider"
    )
    print(f"    lag p50 {p50:.1f} ms   p99 {p99:.1f} ms   most {max(seen.lags_ms):.0f} ms")
    print(f"    worker {cores:.2f} cores, {each:.2f} ms a measurement; PostgreSQL {database:.2f} cores")
    print(f"    memory of the worker {seen.resident_mib:.0f} MiB")
    return [
        Finding("10,000 metrics every 30 s: lag, p99", p99, BUDGET_LAG_MS, "ms"),
        Finding("  the worker's CPU a measurement", each, None, "ms"),
        Finding("  the worker's CPU, in cores", cores, None, ""),
        Finding("  PostgreSQL's CPU, in cores", database, None, ""),
        Finding("  the worker's memory", seen.resident_mib, None, "MiB"),
    ]


if __name__ == "__main__":
    asyncio.run(provide() if sys.argv[1] == "provide" else work(sys.argv[2]))

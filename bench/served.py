"""What do the benchmarks that speak HTTP stand on? `interlock api` and `interlock worker` as processes, and a client.

The client is a socket and thirty lines: one that understands HTTP fully would cost more than the server that it is to
measure. It keeps its connection, as CI tools and syncs do not always, and reads answers with a length only, which all
of ours have.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from bench.ground import a_database, percentile

WORKSPACE = "bench"
UNITS = {"VmRSS": "now", "VmHWM": "at most"}


class Connection:
    """One kept connection to the API."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, key: str) -> None:
        self.reader = reader
        self.writer = writer
        self.key = key

    async def call(
        self, method: str, path: str, body: object = None, *, headers: tuple[str, ...] = ()
    ) -> tuple[int, bytes]:
        """The status and body of an answer, for a path below the workspace."""
        sent = b"" if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
        head = [
            f"{method} /api/v1/workspaces/{WORKSPACE}{path} HTTP/1.1",
            "Host: bench",
            f"X-API-Key: {self.key}",
            "Content-Type: application/json",
            f"Content-Length: {len(sent)}",
            *headers,
        ]
        self.writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + sent)
        await self.writer.drain()
        answer = await self.reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in answer.split(b"\r\n") if line.lower().startswith(b"content-length:")
        )
        return int(answer[9:12]), await self.reader.readexactly(length)

    async def get(self, method: str, path: str, body: object = None) -> Any:
        """The answer to a call that must succeed."""
        status, raw = await self.call(method, path, body)
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status} {raw[:500]!r}")
        return orjson.loads(raw)


@dataclass(frozen=True, slots=True)
class Served:
    """A running API with its database, and its worker where one was asked for."""

    database_url: str
    port: int
    key: str
    api_pid: int
    worker_pid: int | None

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection of one's own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**26)
        try:
            yield Connection(reader, writer, key=self.key)
        finally:
            writer.close()

    def memory(self) -> str:
        """What the API's process holds and has held, in MB."""
        return ", ".join(f"{word} {memory_mb(self.api_pid, field):.0f} MB" for field, word in UNITS.items())


def memory_mb(pid: int, field: str) -> float:
    """A field of a process's status, in MB: VmRSS is what it holds, VmHWM the most that it ever held."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def cpu_s(pid: int) -> float:
    """The processor time that a process has taken, in seconds: what others do on the machine is not in it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.asynccontextmanager
async def served(*, worker: bool = True) -> AsyncIterator[Served]:
    """`interlock api` on a fresh database, and `interlock worker` beside it."""
    async with a_database() as url, contextlib.AsyncExitStack() as processes:
        key = os.urandom(8).hex() + "." + os.urandom(32).hex()
        environment = {
            **os.environ,
            "INTERLOCK_DATABASE_URL": url,
            "INTERLOCK_BOOTSTRAP_API_KEY": key,
            "INTERLOCK_BOOTSTRAP_WORKSPACE": WORKSPACE,
            "INTERLOCK_PORT": "0",
            "INTERLOCK_RATE_PER_S": "0",  # what it can do is measured, not what it lets one key do
        }
        api = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "interlock.cli", "api", "--port", "0",
            env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        processes.push_async_callback(_end, api)
        assert api.stdout is not None
        port = 0
        while not port:
            line = (await api.stdout.readline()).decode()
            if not line:
                raise RuntimeError("The API did not start.")
            if "/api" in line:
                port = int(line.strip().removesuffix("/api").rpartition(":")[2])
        worker_pid = None
        if worker:
            beside = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "interlock.cli", "worker",
                env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            processes.push_async_callback(_end, beside)
            worker_pid = beside.pid
        yield Served(url, port, key, api.pid, worker_pid)


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    await process.wait()


async def load(
    where: Served, call: Callable[[Connection, int], Awaitable[object]], *, clients: int, for_s: float
) -> tuple[float, float, float]:
    """Call again and again from some connections. Gives requests per second, and p50 and p99 in milliseconds."""
    took_ms: list[float] = []
    numbers = iter(range(1, 10_000_000))
    until = time.perf_counter() + for_s

    async def one() -> None:
        async with where.connection() as connection:
            while (began := time.perf_counter()) < until:
                await call(connection, next(numbers))
                took_ms.append((time.perf_counter() - began) * 1000)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(one())
    return len(took_ms) / (time.perf_counter() - began), percentile(took_ms, 0.5), percentile(took_ms, 0.99)

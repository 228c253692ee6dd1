"""How does a test meet a tool that misbehaves? A tool's API on loopback, which does wrong what it is told to.

For the tests of agents and of metric providers, ours and yours; nothing of the running product loads it. Its routes
answer as the vendor publishes; what it is told to do wrong, it does once.

    server = LoopbackServer()
    server.on("GET", r"/api/v1/things/([^/]+)", lambda call: (200, {...}))
    server.next_is(status=429, headers={"Retry-After": "7"})     the next call is answered so
    server.next_is(status=503, after=2)                          two calls go well, the third is answered so
    server.next_is(cut=True)                                     the connection ends before anything is done
    server.next_is(cut_after=True)                               it does what was asked, and ends without a word
    server.next_is(wait_s=60)                                    it does nothing for a minute
    server.next_is(late_s=60)                                    it does what was asked, and answers a minute later
    server.next_is(held=event)                                   it does as asked, and answers when that is set
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson


@dataclass(frozen=True, slots=True)
class Call:
    """One request, its path's groups decoded. `raw` is the body as it came, `body` as JSON where it is some."""

    method: str
    path: str
    groups: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    raw: bytes = b""


@dataclass(slots=True)
class Misbehaviour:
    """What a call meets instead of its answer; `after` is how many calls that match go well before it."""

    method: str | None = None
    status: int | None = None
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    cut_after: bool = False
    wait_s: float = 0.0
    late_s: float = 0.0
    held: asyncio.Event | None = None
    after: int = 0


Answer = tuple[int, Any]


@dataclass
class LoopbackServer:
    """A server with routes. `calls` is what reached it, `coming` what it will do wrong. `let_go` ends its delays."""

    routes: list[tuple[str, re.Pattern[str], Callable[[Call], Answer]]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    coming: list[Misbehaviour] = field(default_factory=list)
    port: int = 0
    let_go: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def on(self, method: str, path: str, answer: Callable[[Call], Answer]) -> None:
        """Answer such calls so; `path` is a regular expression over the path as it was sent, still quoted."""
        self.routes.append((method, re.compile(path), answer))

    def next_is(self, **how: Any) -> None:
        """Do this wrong once (`Misbehaviour`)."""
        self.coming.append(Misbehaviour(**how))

    def count(self, method: str, ending: str = "") -> int:
        """How many such calls reached it."""
        return sum(1 for call in self.calls if call.method == method and call.path.endswith(ending))

    def _answer(self, call: Call) -> Answer:
        for method, pattern, answer in self.routes:
            found = pattern.fullmatch(call.path)
            if method == call.method and found:
                groups = tuple(unquote(group) for group in found.groups())
                return answer(Call(call.method, call.path, groups, call.query, call.headers, call.body, call.raw))
        return 404, {"message": "404 not found"}

    def _misbehaves(self, call: Call) -> Misbehaviour | None:
        for one in self.coming:
            if one.method in {None, call.method}:
                if one.after:
                    one.after -= 1
                    return None
                self.coming.remove(one)
                return one
        return None

    async def _delay(self, seconds: float) -> None:
        if seconds:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.let_go.wait(), seconds)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one connection, which is one request."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._serve(reader, writer)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        raw = await reader.readexactly(int(headers.get("content-length", "0")))
        method, target, _ = first.split(" ")
        parts = urlsplit(target)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        call = Call(method, parts.path, (), query, headers, _json_of(raw), raw)
        self.calls.append(call)
        wrong = self._misbehaves(call) or Misbehaviour()
        if wrong.cut:
            return
        await self._delay(wrong.wait_s)
        if wrong.status is not None:
            await _write(writer, wrong.status, wrong.body, wrong.headers)
            return
        status, body = self._answer(call)
        if wrong.cut_after:
            return
        await self._delay(wrong.late_s)
        if wrong.held is not None:
            await wrong.held.wait()
        fields = {"Content-Type": "application/json"}
        if 300 <= status < 400 and isinstance(body, Mapping):
            fields |= {name.title(): str(value) for name, value in body.items()}
        await _write(writer, status, _bytes_of(body), fields)


def _json_of(raw: bytes) -> Any:
    try:
        return orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError:
        return None


def _bytes_of(body: Any) -> bytes:
    """A body as it is sent: JSON, unless a route gives bytes."""
    if isinstance(body, bytes):
        return body
    return b"" if body is None else orjson.dumps(body)


async def _write(writer: asyncio.StreamWriter, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    fields = {"Content-Length": str(len(body)), "Connection": "close", **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    writer.write(f"HTTP/1.1 {status} said\r\n{lines}\r\n".encode() + body)
    await writer.drain()


@contextlib.asynccontextmanager
async def serving(server: LoopbackServer, *, port: int = 0) -> AsyncIterator[Any]:
    """The server is up, at a port of its own; it ends with the block, and so does every call that it delays."""
    under_way: set[asyncio.Task[Any]] = set()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        under_way.add(task)
        try:
            await server.serve(reader, writer)
        except asyncio.CancelledError:
            writer.close()
        finally:
            under_way.discard(task)

    listening = await asyncio.start_server(take, "127.0.0.1", port)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in tuple(under_way):
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await listening.wait_closed()

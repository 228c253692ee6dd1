"""A tool's API on loopback: routes that answer as the vendor publishes, and every way in which a server misbehaves.

server.on("GET", r"/api/v1/things/([^/]+)", lambda call: (200, {...}))
server.next_is(status=429, headers={"Retry-After": "7"})     the next call that matches is answered so
server.next_is(cut=True)                                     the connection ends before the answer
server.next_is(cut_after=True)                               it does what was asked, and ends without a word
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
    """One request, its path's groups decoded."""

    method: str
    path: str
    groups: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """What the next call that matches meets instead of its answer."""

    method: str | None = None
    status: int | None = None
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    cut_after: bool = False
    wait_s: float = 0.0


Answer = tuple[int, Any]


@dataclass
class StubServer:
    """A server with routes. `calls` is what reached it."""

    routes: list[tuple[str, re.Pattern[str], Callable[[Call], Answer]]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    coming: list[Misbehaviour] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def on(self, method: str, path: str, answer: Callable[[Call], Answer]) -> None:
        self.routes.append((method, re.compile(path), answer))

    def next_is(self, **how: Any) -> None:
        self.coming.append(Misbehaviour(**how))

    def count(self, method: str, ending: str = "") -> int:
        return sum(1 for call in self.calls if call.method == method and call.path.endswith(ending))

    def _answer(self, call: Call) -> Answer:
        for method, pattern, answer in self.routes:
            found = pattern.fullmatch(call.path)
            if method == call.method and found:
                groups = tuple(unquote(group) for group in found.groups())
                return answer(Call(call.method, call.path, groups, call.query, call.headers, call.body))
        return 404, {"message": "404 not found"}

    def _misbehaves(self, call: Call) -> Misbehaviour | None:
        for one in self.coming:
            if one.method in {None, call.method}:
                self.coming.remove(one)
                return one
        return None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
        call = Call(method, parts.path, (), query, headers, orjson.loads(raw) if raw else None)
        self.calls.append(call)
        wrong = self._misbehaves(call)
        if wrong is not None and wrong.cut:
            return
        if wrong is not None and wrong.wait_s:
            await asyncio.sleep(wrong.wait_s)
        if wrong is not None and wrong.status is not None:
            await _write(writer, wrong.status, wrong.body, wrong.headers)
            return
        status, body = self._answer(call)
        if wrong is not None and wrong.cut_after:
            return
        await _write(writer, status, b"" if body is None else orjson.dumps(body), {"Content-Type": "application/json"})


async def _write(writer: asyncio.StreamWriter, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    fields = {"Content-Length": str(len(body)), "Connection": "close", **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    writer.write(f"HTTP/1.1 {status} said\r\n{lines}\r\n".encode() + body)
    await writer.drain()


@contextlib.asynccontextmanager
async def serving(stub: StubServer) -> AsyncIterator[StubServer]:
    """The server is up, at a port of its own; it ends with the block."""
    server = await asyncio.start_server(stub.serve, "127.0.0.1", 0)
    stub.port = server.sockets[0].getsockname()[1]
    try:
        yield stub
    finally:
        server.close()
        await server.wait_closed()


# status, body, headers or what else happens -> is it a no (Rejected), or nothing (AgentUnavailable)?; what is said
FAULTS: tuple[tuple[dict[str, Any], bool, str], ...] = (
    ({"status": 401, "body": b'{"message": "bad token"}'}, True, "refused the credentials"),
    ({"status": 403, "body": b'{"message": "may not"}'}, True, "may not"),
    ({"status": 422, "body": b'{"message": "no such ref"}'}, True, "no such ref"),
    ({"status": 400, "body": b"plain words"}, True, "plain words"),
    ({"status": 302, "headers": {"Location": "/login"}}, True, "redirects"),
    ({"status": 429, "headers": {"Retry-After": "7"}}, False, "429"),
    ({"status": 500, "body": b"<html>oh</html>"}, False, "500"),
    ({"status": 503, "headers": {"Retry-After": "2"}}, False, "503"),
    ({"status": 200, "body": b"<html>hello"}, False, "no JSON"),
    ({"cut": True}, False, "could not be reached"),
    ({"wait_s": 5.0}, False, "did not answer"),
)

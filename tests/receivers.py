"""What does a message reach in a test? A web server and a mail server on this machine, each on a free port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller


@dataclass
class Call:
    """One request that came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """A web server. `answers` says what each call gets: (status, headers); the default is 200."""

    port: int = 0
    calls: list[Call] = field(default_factory=list)
    answer: Callable[[Call], tuple[int, dict[str, str]]] = lambda _call: (200, {})
    wait: Callable[[Call], Any] | None = None
    server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def kinds(self) -> list[str]:
        return [call.json["type"] for call in self.calls]

    async def up(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        if self.server is not None:
            self.server.close()
            self.server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            call = Call(first.split(" ")[1], headers, body)
            self.calls.append(call)
            if self.wait is not None:
                await self.wait(call)
            status, more = self.answer(call)
            fields = "".join(f"{name}: {value}\r\n" for name, value in {"Content-Length": "2", **more}.items())
            writer.write(f"HTTP/1.1 {status} x\r\nConnection: close\r\n{fields}\r\nok".encode())
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A web server that is up; it ends with the block."""
    receiver = Receiver()
    await receiver.up()
    try:
        yield receiver
    finally:
        await receiver.down()


@dataclass
class Letterbox:
    """A mail server's letters."""

    port: int = 0
    letters: list[EmailMessage] = field(default_factory=list)
    envelopes: list[list[str]] = field(default_factory=list)
    refuse: str = ""

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.refuse and self.refuse in address:
            return "550 no such person"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.letters.append(message_from_bytes(envelope.content, policy=policy.default))
        self.envelopes.append(list(envelope.rcpt_tos))
        return "250 taken"


class _OnFreePort(Controller):
    """It calls itself once to see that it is up, at the port that was asked for, which is 0."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def mail_server(**more: Any) -> Iterator[Letterbox]:
    """A mail server (aiosmtpd, in a thread of its own)."""
    box = Letterbox()
    controller = _OnFreePort(box, hostname="127.0.0.1", port=0, **more)
    controller.start()
    box.port = controller.port
    try:
        yield box
    finally:
        controller.stop()

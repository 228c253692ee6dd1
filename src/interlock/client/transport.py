"""How does one request travel, and what comes back? HTTP/1.1 over the standard library, nothing else.

Why not httpx: importing it costs 150 ms on a small machine, five times what everything else of a command costs, and a
client of one server needs neither HTTP/2 nor a pool. Connections are kept and used again while they are fresh; threads
may share a transport.

TLS trusts what the system trusts (`SSL_CERT_FILE` names another list). `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` are
honoured. Redirects are not followed: the address is the server's.

It says apart what was never sent (`Unreachable`: asking again is harmless) from what was sent and not answered
(`Unanswered`: only the caller knows).

Source: RFC 9110 and 9112; proxies: the environment variables as `urllib.request` reads them.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from interlock.model.errors import Invalid, Unavailable

IDLE_MAX_S = 3.0
"""A kept connection older than this is not used again: servers close idle ones after about five seconds."""

KEPT_MAX = 8
LINE_MAX = 4 * 1024 * 1024
"""Bytes that one line of a stream may have."""


class Unreachable(Unavailable):
    """No connection could be made: nothing was sent."""


class Unanswered(Unavailable):
    """The request was sent and the answer did not arrive: whether it was carried out is unknown."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `target` begins with `/` and is encoded already; `timeout_s` is longer than the client's."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; names of headers in small letters."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def ok(self) -> bool:
        """Whether the status is one of success."""
        return 200 <= self.status < 300


class Carries(Protocol):
    """Whatever carries requests: `Transport`, or a function's stand-in where answers are recorded."""

    def exchange(self, request: Request) -> Answer:
        """Send a request and read its whole answer."""

    def stream(self, request: Request, *, silence_max_s: float) -> AbstractContextManager[tuple[Answer, Iterator[str]]]:
        """Send a request and read its answer line by line."""

    def close(self) -> None:
        """Close what is open."""


class Transport:
    """Connections to one server.

    Takes: `root` is the address under which every target stands (`https://interlock.example.com/api`).
    """

    def __init__(self, root: str, *, timeout_s: float) -> None:
        parts = urlsplit(root)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Invalid(f"{root} is no address of a server; it looks like https://interlock.example.com.")
        try:
            port = parts.port
        except ValueError as cause:
            raise Invalid(f"{root} has no valid port.") from cause
        self._shown = root.removesuffix("/api")
        self._tls = parts.scheme == "https"
        self._host, self._port = parts.hostname, port or (443 if self._tls else 80)
        self._prefix = parts.path.rstrip("/")
        self._timeout_s = timeout_s
        self._kept: list[tuple[float, http.client.HTTPConnection]] = []
        self._absolute = ""
        self._proxy = _proxy(parts.scheme, parts.hostname)

    def exchange(self, request: Request) -> Answer:
        """Send a request and read its whole answer.

        Fails: `Unreachable`, `Unanswered`.
        """
        connection = self._fresh() or self._connect()
        try:
            answer = self._sent(connection, request)
            whole = Answer(answer.status, _headers(answer), answer.read())
        except TimeoutError as cause:
            connection.close()
            waited_s = request.timeout_s or self._timeout_s
            raise Unanswered(f"{self._shown} did not answer within {waited_s:g} s.") from cause
        except (OSError, http.client.HTTPException) as cause:
            connection.close()
            raise Unanswered(f"{self._shown} broke the connection off: {_said(cause)}.") from cause
        if answer.will_close or len(self._kept) >= KEPT_MAX:
            connection.close()
        else:
            self._kept.append((time.monotonic(), connection))
        return whole

    @contextlib.contextmanager
    def stream(self, request: Request, *, silence_max_s: float) -> Iterator[tuple[Answer, Iterator[str]]]:
        """Send a request and read its answer line by line, as it comes.

        Takes: `silence_max_s` is how long nothing may arrive.
        Fails: `Unreachable`; `Unanswered` when the connection breaks or falls silent.
        """
        connection = self._connect()
        try:
            try:
                answer = self._sent(connection, request)
                if answer.status != 200:
                    yield Answer(answer.status, _headers(answer), answer.read()), iter(())
                    return
                if connection.sock is not None:
                    connection.sock.settimeout(silence_max_s)
            except (OSError, http.client.HTTPException) as cause:
                raise Unanswered(f"{self._shown} broke the connection off: {_said(cause)}.") from cause
            yield Answer(answer.status, _headers(answer)), self._lines(answer)
        finally:
            connection.close()

    def close(self) -> None:
        """Close the connections that are kept. Further requests open new ones."""
        while self._kept:
            self._kept.pop()[1].close()

    def _lines(self, answer: http.client.HTTPResponse) -> Iterator[str]:
        while True:
            try:
                line = answer.readline(LINE_MAX)
            except (OSError, http.client.HTTPException, ValueError) as cause:
                raise Unanswered(f"{self._shown} ended the stream: {_said(cause)}.") from cause
            if not line:
                return
            yield line.decode("utf-8", "replace").rstrip("\r\n")

    def _fresh(self) -> http.client.HTTPConnection | None:
        """A kept connection that the server has hardly closed yet."""
        while self._kept:
            kept_s, connection = self._kept.pop()
            if time.monotonic() - kept_s < IDLE_MAX_S:
                return connection
            connection.close()
        return None

    def _connect(self) -> http.client.HTTPConnection:
        connection = self._connection()
        try:
            connection.connect()
        except TimeoutError as cause:
            raise Unreachable(f"{self._shown} did not answer within {self._timeout_s:g} s.") from cause
        except (OSError, http.client.HTTPException) as cause:
            connection.close()
            raise Unreachable(
                f"{self._shown} cannot be reached: {_said(cause)}. Is Interlock running there?"
            ) from cause
        return connection

    def _connection(self) -> http.client.HTTPConnection:
        """Not connected yet; through the proxy where one is set."""
        host, port = (self._host, self._port) if self._proxy is None else self._proxy.address
        if not self._tls:
            if self._proxy is not None:
                self._absolute = f"http://{self._host}:{self._port}"
            return http.client.HTTPConnection(host, port, timeout=self._timeout_s)
        import ssl

        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, port, timeout=self._timeout_s, context=context)
        if self._proxy is not None:
            connection.set_tunnel(self._host, self._port, headers=dict(self._proxy.headers))
        return connection

    def _sent(self, connection: http.client.HTTPConnection, request: Request) -> http.client.HTTPResponse:
        headers = dict(request.headers)
        connection.timeout = request.timeout_s or self._timeout_s
        if connection.sock is not None:
            connection.sock.settimeout(connection.timeout)
        if self._proxy is not None and not self._tls:
            headers.update(self._proxy.headers)
        connection.request(
            request.method, f"{self._absolute}{self._prefix}{request.target}", body=request.body, headers=headers
        )
        return connection.getresponse()


@dataclass(frozen=True, slots=True)
class Proxy:
    """Through whom requests go."""

    address: tuple[str, int]
    headers: Mapping[str, str]


def _proxy(scheme: str, host: str) -> Proxy | None:
    """The proxy that the environment names for this host. `urllib.request` is imported only where it names any."""
    if not any(name.lower().endswith("_proxy") and value for name, value in os.environ.items()):
        return None
    import base64
    from urllib.parse import unquote
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    address = proxies.get(scheme) or proxies.get("all")
    if not address or proxy_bypass(host):
        return None
    parts = urlsplit(address if "://" in address else f"http://{address}")
    if parts.hostname is None:
        return None
    headers: dict[str, str] = {}
    if parts.username is not None:
        said = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(said.encode()).decode()}"
    return Proxy((parts.hostname, parts.port or 8080), headers)


def _headers(answer: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.getheaders()}


def _said(cause: BaseException) -> str:
    """What an error of the system says, without its number."""
    return re.sub(r"^\[Errno -?\d+\] ", "", str(cause)).rstrip(".") or type(cause).__name__

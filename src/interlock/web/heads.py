"""How large may a request's head be? Bounded twice: while its bytes arrive, and as a whole before anything reads it.

The server's parser collects a header until its line ends, so a client could fill the memory without ever ending one.
`BoundedHead` counts while a head arrives and hangs up. What arrived whole is refused in our own words by `HeadLimit`:
431 for the headers, 414 for path and query.

Source: RFC 6585, section 5 (431); RFC 9110, section 15.5.15 (414).
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from interlock.web.errors import refusal

HEADERS_MAX = 100
HEADER_BYTES_MAX = 32 * 1024
PATH_BYTES_MAX = 64 * 1024
"""Path and query: a selector of 20,000 characters still fits, each of them encoded."""

HEAD_BYTES_MAX = 2 * (HEADER_BYTES_MAX + PATH_BYTES_MAX)


class HeadLimit:
    """ASGI middleware: refuses a request whose head is too large."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path_bytes = len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"])
            headers = scope["headers"]
            if path_bytes > PATH_BYTES_MAX:
                said = f"Path and query are longer than {PATH_BYTES_MAX:,} bytes, the most that is read here."
                await refusal(414, said, code="PATH_TOO_LONG")(scope, receive, send)
                return
            if len(headers) > HEADERS_MAX or sum(len(name) + len(value) for name, value in headers) > HEADER_BYTES_MAX:
                said = f"The headers are more than {HEADERS_MAX}, or larger than {HEADER_BYTES_MAX:,} bytes together."
                await refusal(431, said, code="HEADERS_TOO_LARGE")(scope, receive, send)
                return
        await self.app(scope, receive, send)


class BoundedHead(HttpToolsProtocol):
    """uvicorn's protocol, which hangs up on a head that does not end."""

    _in_head = True
    _head_bytes = 0

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Bytes arrive."""
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
                self.transport.write(b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\r\n")
                self.transport.close()

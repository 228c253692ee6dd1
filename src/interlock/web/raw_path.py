"""How does a path with an encoded slash reach the right route?

A resource's identifier is often a URL or an ARN: `…/identifier/arn:aws:eks:…:cluster%2Fprod/variables`. An ASGI
server decodes the path before routing, which tears such an identifier apart and merges
`…/identifier//subscriptions/…`. So routes match the *raw* path, where `%2F` is still one segment's text, and each
parameter is decoded once, after the match, by the convertor `segment`. Every path parameter is written
`{name:segment}`. An empty segment matches too (`…/identifier/`): it names nothing and answers 404.

Source: contract.md section e, "Identifiers and URLs".
"""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from starlette.convertors import Convertor, register_url_convertor
from starlette.types import ASGIApp, Receive, Scope, Send

from interlock.model.errors import NotFound


class Segment(Convertor[str]):
    """One raw path segment, decoded once. Text that is not UTF-8 or holds NUL can name nothing stored."""

    regex = "[^/]*"

    def convert(self, value: str) -> str:
        try:
            text = unquote_to_bytes(value).decode("utf-8")
        except UnicodeDecodeError as error:
            raise NotFound("The path is not UTF-8 text.") from error
        if "\x00" in text:
            raise NotFound("The path holds a NUL character.")
        return text

    def to_string(self, value: str) -> str:
        return value


def allow_segments() -> None:
    """Let routes say `{name:segment}`. Called by whoever makes routers, before the first route."""
    register_url_convertor("segment", Segment())


class RawPath:
    """ASGI middleware: routes below it see the path as it came over the wire, not decoded."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (raw := scope.get("raw_path")):
            # Servers differ in whether raw_path carries the query; text outside ASCII was never a valid request target.
            path = raw.split(b"?", 1)[0].decode("ascii", errors="replace")
            scope = {**scope, "path": path}
        await self.app(scope, receive, send)

"""How are the console's own files served? From the package, with the headers that let a browser keep them.

An address that carries the content's digest (`rendering.asset`) may be kept for ever; any other is asked for again.
"""

from __future__ import annotations

from starlette.responses import Response
from starlette.staticfiles import StaticFiles as Folder
from starlette.types import Scope

from interlock.console.rendering import STATIC


class StaticFiles(Folder):
    """`static/`, without the listing of what was vendored."""

    def __init__(self) -> None:
        super().__init__(directory=STATIC)

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        kept = b"v=" in scope["query_string"]
        answer.headers["Cache-Control"] = "public, max-age=31536000, immutable" if kept else "no-cache"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer

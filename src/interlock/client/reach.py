"""What do all calls of a workspace share? The calls, the workspace's path, and five ways to ask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from interlock.client.calls import Calls, path
from interlock.model.errors import NotFound


class Reach:
    """One workspace of one server."""

    calls: Calls
    workspace: str

    def _in(self, *segments: str) -> str:
        """A path inside the workspace."""
        return path("workspaces", self.workspace, *segments)

    def _get(self, *segments: str, query: Mapping[str, object] | None = None) -> Any:
        return self.calls.request("GET", self._in(*segments), query=query)

    def _found(self, *segments: str) -> Any:
        """One object, or None where the server says 404."""
        try:
            return self._get(*segments)
        except NotFound:
            return None

    def _list(
        self, *segments: str, query: Mapping[str, object] | None = None, items_max: int | None = None
    ) -> Iterator[Any]:
        return self.calls.items(self._in(*segments), query=query, items_max=items_max)

    def _write(
        self,
        method: str,
        *segments: str,
        body: object | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, object] | None = None,
    ) -> Any:
        return self.calls.request(method, self._in(*segments), body=body, headers=headers, query=query) or {}

    def _delete(self, *segments: str) -> Any:
        return self.calls.request("DELETE", self._in(*segments)) or {}

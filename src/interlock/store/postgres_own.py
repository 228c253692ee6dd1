"""What does a fresh connection know of PostgreSQL's own types? What this process was told on its first one.

The driver looks an array type up when a connection meets it, with a query that takes a server 8 ms to plan: two thirds
of what a connection costs. The answer for PostgreSQL's own types is the same on every connection and server: an id
under 10,000 is given once, for ever.

It deliberately knows nothing of types that a database makes; those are looked up each time.

Source: PostgreSQL, "Initial Catalog Data", OID Assignment (bki.html).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg

if TYPE_CHECKING:
    Plain = asyncpg.Connection[asyncpg.Record]
else:
    Plain = asyncpg.Connection  # a generic for its stubs alone

OWN_IDS_END = 10_000
"""The first type id that a server gives for itself."""

_told: dict[frozenset[int], Any] = {}


class _Asked(NamedTuple):
    """What stands for the driver's statement where none was sent: one with a name, which disturbs no other."""

    name: str = "known"


class Connection(Plain):
    """A connection that asks for PostgreSQL's own types once a process.

    Why: the hook is the driver's and not public. Were it gone, each connection would ask again; a test looks.
    """

    __slots__ = ()

    async def _introspect_types(self, typeoids: Iterable[int], timeout: float | None) -> tuple[Any, Any]:  # noqa: ASYNC109 — the driver's
        ids = frozenset(typeoids)
        types = _told.get(ids)
        if types is not None:
            return types, _Asked()
        types, statement = await super()._introspect_types(ids, timeout)  # type: ignore[misc]
        if max(ids) < OWN_IDS_END:
            _told[ids] = types
        return types, statement

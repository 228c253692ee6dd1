"""How does a row become a value? Column names are field names; nothing else is mapped.

A test prepares every query and compares its columns with the dataclass it feeds, so a renamed column is found there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import asyncpg

T = TypeVar("T")


def one(kind: type[T], row: asyncpg.Record | None) -> T | None:
    """The row as a value, or None when there is no row."""
    return None if row is None else kind(**row)


def many(kind: type[T], rows: Iterable[asyncpg.Record]) -> tuple[T, ...]:
    """The rows as values, in their order."""
    return tuple(kind(**row) for row in rows)

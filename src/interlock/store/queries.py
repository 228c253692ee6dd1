"""Where is the SQL text of a noun? In `sql/<noun>.sql`, one named query after another; this gives each by its name.

    -- Relies on work_due.
    -- name: find_due
    SELECT … ;

    Q = queries("work")
    await conn.fetch(Q.find_due, …)

The comment above a name says which index the query relies on. Every query begins with a comment that names it, so that
`pg_stat_activity` shows at 3 a.m. which question of ours is slow. No templating: what varies is a parameter.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from interlock.model.errors import Bug

Conn: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
"""What a query runs on: a connection of the pool or one of its own."""

_NAME = re.compile(r"--\s*name:\s*(?P<name>\S*)\s*")
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")


class Queries:
    """The queries of one noun as attributes.

    Fails: `AttributeError`, listing what there is, for a name that the file does not have.
    """

    __slots__ = ("_noun", "_texts")

    def __init__(self, noun: str, texts: Mapping[str, str]) -> None:
        self._noun = noun
        self._texts = texts

    def __getattr__(self, name: str) -> str:
        try:
            return self._texts[name]
        except KeyError:
            known = ", ".join(self._texts)
            raise AttributeError(f"sql/{self._noun}.sql has no query {name!r}; it has {known}.") from None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._texts.items())


def parse_queries(text: str, *, noun: str) -> dict[str, str]:
    """Cut the text of a file at its `-- name:` lines.

    Gives: name -> query without its final semicolon, in the order of the file.
    Fails: `Bug` on a name twice, a name that is no identifier, a query without text, or SQL before the first name.
    """
    cut: list[tuple[str, list[str]]] = [("", [])]
    for line in text.splitlines():
        header = _NAME.fullmatch(line.strip())
        if header:
            cut.append((header["name"], []))
        else:
            cut[-1][1].append(line)
    found: dict[str, str] = {}
    for name, lines in cut:
        query = _without_trailing_comments(lines)
        if not name and not query:
            continue
        where = f"sql/{noun}.sql, query {name!r}"
        if not _IDENTIFIER.fullmatch(name):
            raise Bug(f"{where}: a query needs a name like `list_versions`.")
        if name in found:
            raise Bug(f"{where}: the name stands twice.")
        if not query:
            raise Bug(f"{where}: there is no SQL.")
        found[name] = f"-- {noun}.{name}\n{query}"
    return found


def _without_trailing_comments(lines: list[str]) -> str:
    """The query alone: comments and blank lines after it belong to the next one."""
    kept = list(lines)
    while kept and (not kept[-1].strip() or kept[-1].lstrip().startswith("--")):
        kept.pop()
    return "\n".join(kept).strip().removesuffix(";").rstrip()


@functools.cache
def queries(noun: str) -> Queries:
    """The queries of `sql/<noun>.sql`, read once.

    Fails: `Bug` when there is no such file or it does not parse.
    """
    file = resources.files("interlock.store").joinpath("sql", f"{noun}.sql")
    if not file.is_file():
        raise Bug(f"There is no sql/{noun}.sql.")
    return Queries(noun, parse_queries(file.read_text(encoding="utf-8"), noun=noun))


def nouns() -> tuple[str, ...]:
    """Every noun that has a file, sorted."""
    folder = resources.files("interlock.store").joinpath("sql")
    return tuple(sorted(file.name[:-4] for file in folder.iterdir() if file.name.endswith(".sql")))

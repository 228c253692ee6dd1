"""How is a page of what a selector matches read, and how many match?

By PostgreSQL where the selector translates: one count and one page, whatever the number of rows. Where it does not (a
macro, arithmetic over a config), all rows are read and Python chooses; the answer is the same.

A query that can be narrowed keeps a place for the condition, `TRUE /* selector */`, and numbers its own parameters
first: the count has one, the list has one, its limit and its offset.

Source: contract.md section e, "Lists and paging" and "Selectors (CEL)".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from interlock.inventory.selector import Selector
from interlock.inventory.to_python import predicate
from interlock.inventory.to_sql import SqlFragment, Table, to_sql
from interlock.store.queries import Conn
from interlock.store.rows import many

T = TypeVar("T")

PLACE = "TRUE /* selector */"


async def load_selected(
    conn: Conn,
    kind: type[T],
    *,
    counted: str,
    listed: str,
    within: str,
    selector: Selector | None,
    table: Table,
    view: Callable[[T], Mapping[str, Any]],
    limit: int | None,
    offset: int,
) -> tuple[tuple[T, ...], int]:
    """A page, and how many there are before paging.

    Takes: `within` is what the rows belong to, the queries' first parameter; `view` what the selector sees of a row.
    """
    if selector is None:
        return many(kind, await conn.fetch(listed, within, limit, offset)), await conn.fetchval(counted, within)
    count, page = to_sql(selector, table=table, first=2), to_sql(selector, table=table, first=4)
    if count is not None and page is not None:
        total = await conn.fetchval(_narrowed(counted, count), within, *count.params)
        return many(kind, await conn.fetch(_narrowed(listed, page), within, limit, offset, *page.params)), total
    matches = predicate(selector)
    kept = [one for one in many(kind, await conn.fetch(listed, within, None, 0)) if matches({table.root: view(one)})]
    return tuple(kept[offset : None if limit is None else offset + limit]), len(kept)


def _narrowed(query: str, selector: SqlFragment) -> str:
    return query.replace(PLACE, selector.where)

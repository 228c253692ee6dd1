"""Do processes that start together agree on the schema, and does an unknown schema stop them?"""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from interlock.model.errors import Refused, StoreUnavailable
from interlock.store.migrate import Migration, known_migrations, migrate

ONE = Migration(1, "one", "CREATE TABLE one (id int);")
TWO = Migration(2, "two", "CREATE TABLE two (id int); INSERT INTO two SELECT pg_sleep(0.05)::text::int WHERE false;")


async def tables(url: str) -> set[str]:
    conn = await asyncpg.connect(url)
    try:
        rows = await conn.fetch(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        return {row["relname"] for row in rows}
    finally:
        await conn.close()


async def test_the_files_apply_in_order_and_only_once(empty_database_url: str) -> None:
    applied = await migrate(empty_database_url)
    assert applied == tuple(range(1, len(known_migrations()) + 1))
    assert await migrate(empty_database_url) == ()
    assert {"work", "ledger", "ledger_order", "blob", "note", "schema_migration"} <= await tables(empty_database_url)


async def test_processes_that_start_together_take_turns(empty_database_url: str) -> None:
    together = await asyncio.gather(*(migrate(empty_database_url, migrations=[ONE, TWO]) for _ in range(8)))
    assert sorted(together) == [()] * 7 + [(1, 2)]


async def test_a_newer_program_applies_only_what_is_missing(empty_database_url: str) -> None:
    assert await migrate(empty_database_url, migrations=[ONE]) == (1,)
    assert await migrate(empty_database_url, migrations=[ONE, TWO]) == (2,)


async def test_an_older_program_refuses_a_newer_schema(empty_database_url: str) -> None:
    await migrate(empty_database_url, migrations=[ONE, TWO])
    with pytest.raises(Refused, match="0002_two, which this version of Interlock does not know") as refused:
        await migrate(empty_database_url, migrations=[ONE])
    assert refused.value.code == "SCHEMA_NEWER"


async def test_a_changed_file_is_refused_but_not_for_its_line_ends(empty_database_url: str) -> None:
    await migrate(empty_database_url, migrations=[Migration(1, "one", "CREATE TABLE one (id int);\n")])
    assert await migrate(empty_database_url, migrations=[Migration(1, "one", "CREATE TABLE one (id int);\r\n")]) == ()
    with pytest.raises(Refused, match="0001_one was applied with another content") as refused:
        await migrate(empty_database_url, migrations=[Migration(1, "one", "CREATE TABLE one (id bigint);\n")])
    assert refused.value.code == "SCHEMA_CHANGED"


async def test_a_migration_that_fails_leaves_nothing_of_itself(empty_database_url: str) -> None:
    broken = Migration(2, "broken", "CREATE TABLE half (id int); SELECT 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(empty_database_url, migrations=[ONE, broken])
    assert await tables(empty_database_url) == {"schema_migration", "one"}
    assert await migrate(empty_database_url, migrations=[ONE, TWO]) == (2,)


async def test_no_server_is_said_as_such() -> None:
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await migrate("postgresql://nobody@/none?host=/nonexistent")

"""Does a dump hold everything, and does a restore bring all of it back, or nothing?"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import asyncpg
import pytest

from interlock.model.errors import Conflict, Invalid, Refused
from interlock.model.event import Actor, Event, Ref
from interlock.model.ids import new_id
from interlock.store import dump
from interlock.store.dump import dump_database, restore_database
from interlock.store.embedded import EmbeddedPostgres
from interlock.store.ledger import read_feed, sequence_ledger
from interlock.store.migrate import known_migrations, migrate
from interlock.store.queries import queries
from interlock.store.server.binaries import every_installation
from interlock.store.tx import Store

WORKSPACE, POLICY, REVISION = new_id(), new_id(), new_id()
AWKWARD = 'tab\t, newline\n, backslash \\N, quote ", Ünïcödé ✓, \\.'


async def write(store: Store, *things: str) -> None:
    async with store.tx(actor=Actor("user", "u1"), cause=AWKWARD, workspace_id=WORKSPACE) as tx:
        await tx.record(events=[Event("resource.changed", Ref("thing", thing), {"n": AWKWARD}) for thing in things])


async def fill(url: str) -> list[str]:
    """Write rows that are hard to carry over; give the things of the ledger in their order."""
    store = await Store.open(url)
    async with store.tx(actor=Actor("user", "u1"), cause="fill", workspace_id=WORKSPACE) as tx:
        await tx.conn.execute("INSERT INTO workspace (id, name, slug) VALUES ($1, $2, 'w')", WORKSPACE, AWKWARD)
        # Each of these two refers to the other.
        await tx.conn.execute(
            "INSERT INTO policy (id, workspace_id, name, metadata, revision_id) VALUES ($1, $2, 'p', $3, $4)",
            *(POLICY, WORKSPACE, {"note": AWKWARD}, REVISION),
        )
        await tx.conn.execute(
            "INSERT INTO policy_revision (id, policy_id, number, selector, mode, enabled, rules) "
            "VALUES ($1, $2, 1, 'true', 'enforce', true, '[]')",
            *(REVISION, POLICY),
        )
        await tx.conn.execute("INSERT INTO blob (digest, body) VALUES (sha256('x'), $1)", bytes(range(256)) * 4000)
    await write(store, "a", "b")
    async with store.read() as conn:
        while await conn.fetchval("SELECT count(*) FROM ledger_order") < 2:
            await sequence_ledger(conn)
    await write(store, "c")
    await write(store, "d", "e")
    await store.close()
    return ["a", "b", "c", "d", "e"]


async def contents(url: str) -> dict[str, list[str]]:
    """Every row of every table as text. Where a restore places events is its own test."""
    conn = await asyncpg.connect(url)
    try:
        tables = [row["name"] for row in await conn.fetch(queries("dump").list_tables)]
        return {
            name: sorted(str(row[0]) for row in await conn.fetch(f'SELECT t::text FROM "{name}" t'))
            for name in tables
            if name not in {"schema_migration", "ledger_order", "ledger_position"}
        }
    finally:
        await conn.close()


async def feed(url: str) -> list[str]:
    store = await Store.open(url)
    async with store.read() as conn:
        entries = await read_feed(conn, WORKSPACE)
    await store.close()
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    return [entry.subject.id for entry in entries]


@pytest.fixture
async def filled_url(database_url: str) -> str:
    await fill(database_url)
    return database_url


@pytest.fixture
async def dumped(filled_url: str, tmp_path: Path) -> Path:
    await dump_database(filled_url, tmp_path / "all.dump")
    return tmp_path / "all.dump"


async def test_every_row_comes_back_into_a_database_without_tables(filled_url, dumped, empty_database_url):
    manifest = await restore_database(empty_database_url, dumped)
    assert await contents(empty_database_url) == await contents(filled_url)
    assert manifest.rows == sum(len(rows) for rows in (await contents(filled_url)).values()) + 3
    assert manifest.schema_version == len(known_migrations())


async def test_every_row_comes_back_into_a_migrated_database(filled_url, dumped, new_database):
    url = await new_database()
    await restore_database(url, dumped)
    assert await contents(url) == await contents(filled_url)


async def test_constraints_triggers_and_sequences_work_as_before_after_a_restore(
    filled_url, dumped, empty_database_url
):
    await restore_database(empty_database_url, dumped)

    async def schema(url: str) -> list[tuple[object, ...]]:
        conn = await asyncpg.connect(url)
        constraints = await conn.fetch(
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint "
            "WHERE conrelid <> 0 AND connamespace = 'public'::regnamespace ORDER BY 1, 2"
        )
        triggers = await conn.fetch(
            "SELECT tgrelid::regclass::text, pg_get_triggerdef(oid), tgenabled FROM pg_trigger "
            "WHERE NOT tgisinternal ORDER BY 1, 2"
        )
        sequences = await conn.fetch("SELECT sequencename, last_value FROM pg_sequences ORDER BY 1")
        await conn.close()
        return [tuple(row) for row in (*constraints, *triggers, *sequences)]

    assert await schema(empty_database_url) == await schema(filled_url)


async def test_events_of_a_dump_keep_their_order_and_come_before_new_ones(dumped, empty_database_url):
    await restore_database(empty_database_url, dumped)
    assert await feed(empty_database_url) == ["a", "b", "c", "d", "e"]
    store = await Store.open(empty_database_url)
    await write(store, "f")
    async with store.read() as conn:
        while await conn.fetchval("SELECT count(*) FROM ledger_order") < 6:
            await sequence_ledger(conn)
    await store.close()
    assert await feed(empty_database_url) == ["a", "b", "c", "d", "e", "f"]


async def test_events_keep_their_order_in_another_cluster_where_transaction_numbers_start_again(
    pg, filled_url, tmp_path, data_dir
):
    conn = await asyncpg.connect(filled_url)
    for _ in range(2000):  # this cluster's numbers run ahead of what a new one has
        await conn.execute("SELECT pg_current_xact_id()")
    await conn.close()
    store = await Store.open(filled_url)
    await write(store, "late")
    await store.close()
    await dump_database(filled_url, tmp_path / "all.dump")
    async with EmbeddedPostgres(data_dir) as server:
        await restore_database(server.url, tmp_path / "all.dump")
        assert await feed(server.url) == ["a", "b", "c", "d", "e", "late"]
        store = await Store.open(server.url)
        await write(store, "new")
        async with store.read() as conn:
            while await conn.fetchval("SELECT count(*) FROM ledger_order") < 7:
                await sequence_ledger(conn)
        await store.close()
        assert await feed(server.url) == ["a", "b", "c", "d", "e", "late", "new"]


async def test_dump_crosses_major_versions(filled_url, dumped, data_dir):
    conn = await asyncpg.connect(filled_url)
    here = conn.get_server_version().major
    await conn.close()
    other = next((found for found in every_installation() if found.version_major != here), None)
    if other is None:
        pytest.skip("this machine has one PostgreSQL only")
    async with EmbeddedPostgres(data_dir, binaries=other.bin_dir) as server:
        await restore_database(server.url, dumped)
        assert await contents(server.url) == await contents(filled_url)


async def test_restored_database_can_be_dumped_again_to_the_same_tables(
    filled_url, dumped, empty_database_url, tmp_path
):
    first = await restore_database(empty_database_url, dumped)
    second = await dump_database(empty_database_url, tmp_path / "again.dump")
    order = {"ledger_order", "ledger_position"}
    assert [t for t in second.tables if t.name not in order] == [t for t in first.tables if t.name not in order]


async def test_dump_is_one_instant_of_the_database(database_url, tmp_path, monkeypatch):
    await fill(database_url)
    store = await Store.open(database_url)
    write_table, done = dump._write_table, False

    async def and_meanwhile(conn, archive, name, columns):
        nonlocal done
        if name == "ledger" and not done:
            done = True
            await write(store, "meanwhile")
        return await write_table(conn, archive, name, columns)

    monkeypatch.setattr(dump, "_write_table", and_meanwhile)
    manifest = await dump_database(database_url, tmp_path / "all.dump")
    await store.close()
    assert done
    assert {table.name: table.rows for table in manifest.tables}["ledger"] == 5


async def test_dump_is_for_its_owner_alone_and_never_overwrites(dumped, filled_url):
    assert dumped.stat().st_mode & 0o777 == 0o600
    with pytest.raises(Conflict, match="exists"):
        await dump_database(filled_url, dumped)
    assert list(dumped.parent.iterdir()) == [dumped]


async def test_dump_of_a_database_without_our_tables_is_refused_and_leaves_no_file(empty_database_url, tmp_path):
    with pytest.raises(Refused, match="nothing to dump"):
        await dump_database(empty_database_url, tmp_path / "all.dump")
    assert list(tmp_path.iterdir()) == []


async def test_restore_into_a_database_with_rows_is_refused_unless_they_may_go(dumped, new_database):
    url = await new_database()
    store = await Store.open(url)
    await write(store, "its-own")
    await store.close()
    before = await contents(url)
    with pytest.raises(Conflict, match=r"not empty \(ledger\)"):
        await restore_database(url, dumped)
    assert await contents(url) == before
    await restore_database(url, dumped, replace=True)
    assert await feed(url) == ["a", "b", "c", "d", "e"]


async def test_fresh_database_holds_no_rows_but_the_seeded_ones(database_url):
    conn = await asyncpg.connect(database_url)
    tables = await conn.fetch(queries("dump").list_tables)
    filled = {table["name"] for table in tables if await conn.fetchval(table["has_rows"])}
    await conn.close()
    assert filled == dump.SEEDED | dump.NOT_DUMPED


def damaged(dumped: Path, member: str, change) -> Path:
    copy = dumped.with_name(f"damaged-{dumped.name}")
    with zipfile.ZipFile(dumped) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(old.read(name)) if name == member else old.read(name))
    return copy


@pytest.mark.parametrize(
    ("member", "change"),
    [
        ("tables/workspace", lambda text: text.replace(b"tab", b"bat")),
        ("tables/workspace", lambda text: b""),
        ("tables/ledger", lambda text: text + b"not a row\n"),
        ("tables/ledger", lambda text: text[: len(text) // 2]),
    ],
)
async def test_damaged_dump_changes_nothing(dumped, new_database, member, change):
    url = await new_database()
    before = await contents(url)
    with pytest.raises(Invalid, match="damaged"):
        await restore_database(url, damaged(dumped, member, change))
    assert await contents(url) == before
    await restore_database(url, dumped)


async def test_dump_with_a_row_that_refers_to_nothing_changes_nothing(dumped, new_database):
    def without_workspace(text: bytes) -> bytes:
        manifest = json.loads(text)
        for table in manifest["tables"]:
            if table["name"] == "workspace":
                table |= {"rows": 0, "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
        return json.dumps(manifest).encode()

    forged = damaged(damaged(dumped, "tables/workspace", lambda text: b""), dump.MANIFEST, without_workspace)
    url = await new_database()
    with pytest.raises(Invalid, match="foreign key"):
        await restore_database(url, forged)
    assert (await contents(url))["ledger"] == []


@pytest.mark.parametrize("bytes_", [b"", b"no zip at all", b"PK\x05\x06" + b"\0" * 18])
async def test_other_file_is_refused(tmp_path, empty_database_url, bytes_):
    file = tmp_path / "other"
    file.write_bytes(bytes_)
    with pytest.raises(Invalid, match="no dump of Interlock"):
        await restore_database(empty_database_url, file)


async def test_dump_cut_short_is_refused(dumped, empty_database_url):
    dumped.write_bytes(dumped.read_bytes()[:-100])
    with pytest.raises(Invalid, match="cut short"):
        await restore_database(empty_database_url, dumped)


async def test_missing_file_is_refused(tmp_path, empty_database_url):
    with pytest.raises(Invalid, match="No such file"):
        await restore_database(empty_database_url, tmp_path / "none")


async def test_dump_of_an_older_schema_is_brought_up_to_date(empty_database_url, new_database, tmp_path, monkeypatch):
    only_first = known_migrations()[:1]
    await migrate(empty_database_url, migrations=only_first)
    conn = await asyncpg.connect(empty_database_url)
    await conn.execute("INSERT INTO blob (digest, body) VALUES (sha256('x'), 'y')")
    await conn.execute("CREATE DATABASE restored_here")
    await conn.close()
    url = empty_database_url.replace(empty_database_url.split("?")[0], "postgresql:///restored_here")
    try:
        await dump_database(empty_database_url, tmp_path / "old.dump")
        manifest = await restore_database(url, tmp_path / "old.dump")
        assert manifest.schema_version == 1
        assert (await contents(url))["workspace"] == []
        assert len((await contents(url))["blob"]) == 1
    finally:
        conn = await asyncpg.connect(empty_database_url)
        await conn.execute("DROP DATABASE restored_here WITH (FORCE)")
        await conn.close()
    with pytest.raises(Refused, match="new, empty database"):
        await restore_database(await new_database(), tmp_path / "old.dump")


async def test_dump_of_a_newer_schema_is_refused_naming_the_version(dumped, empty_database_url):
    def newer(text: bytes) -> bytes:
        manifest = json.loads(text)
        manifest["interlock"] = "9.9"
        manifest["migrations"].append([len(manifest["migrations"]) + 1, "digest"])
        return json.dumps(manifest).encode()

    with pytest.raises(Refused, match=r"Interlock 9\.9"):
        await restore_database(empty_database_url, damaged(dumped, dump.MANIFEST, newer))

"""How is the whole database written to one file, and loaded from it?

A dump is a zip: `tables/<name>`, the rows of each table as PostgreSQL's COPY writes them as text, and `manifest.json`
with the migrations of the schema, columns, row counts and digests. It is read in one snapshot, while Interlock runs.

Why not pg_dump: it must be as new as the server, and not every source of binaries has it (nor has a managed database).
COPY text is read by every version of PostgreSQL, so a dump is also the way from one major version to the next.

Loading is one transaction: all of it, or nothing. The schema comes from the migrations, never from the file. A database
without tables is brought to the schema of the dump, loaded, and brought up to date; a migrated one must be at exactly
the dump's schema, and empty unless `replace` says that its rows may go. While rows are loaded, foreign keys are dropped
and made again (which checks every row against them, whatever the order of the tables), and triggers are off: they guard
changes, and what was dumped has passed them. None of that needs a superuser.

Events of the ledger keep their order: those that have their place bring it along, the others get theirs right after the
load, before anything else can write (core.md section 7).

A dump holds everything, digests of keys and encrypted secrets too: the file is readable by its owner only.

Source: core.md section 7; PostgreSQL's documentation of COPY, "Text Format".
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zipfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias, cast

import asyncpg

from interlock import __version__
from interlock.model.errors import Conflict, Invalid, Refused, StoreUnavailable
from interlock.store.migrate import Migration, known_migrations, migrate
from interlock.store.queries import queries

Q = queries("dump")
Q_LEDGER = queries("ledger")
Q_MIGRATION = queries("migration")

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

FORMAT = 1
MANIFEST = "manifest.json"
NOT_DUMPED = frozenset({"schema_migration"})
"""Written by `migrate`, and compared instead."""
SEEDED = frozenset({"ledger_position"})
"""Tables that a migration leaves with rows; an empty database has them, too."""
CHUNK_BYTES = 256 * 1024

# The same text for the same value, whatever the server's and the role's settings.
_SESSION = {
    "client_encoding": "UTF8",
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "statement_timeout": "0",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "0",
    "application_name": "interlock db",
}


@dataclass(frozen=True, slots=True)
class DumpedTable:
    """One table: its columns in the order of the file, and what its text must come to."""

    name: str
    columns: tuple[str, ...]
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a dump says of itself. `migrations` are (version, digest); a sequence never drawn from is absent."""

    format: int
    interlock: str
    postgresql: str
    dumped_at: str
    migrations: tuple[tuple[int, str], ...]
    tables: tuple[DumpedTable, ...]
    sequences: tuple[tuple[str, int], ...]

    @property
    def schema_version(self) -> int:
        return self.migrations[-1][0]

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)


async def dump_database(url: str, file: Path) -> Manifest:
    """Write the database at `url` into a new file. Interlock may run meanwhile.

    Fails: `Conflict` if the file exists; `Refused` if the database has no tables of ours; `StoreUnavailable` if it
           cannot be reached. No file is left then.
    """
    if file.exists():
        raise Conflict(f"{file} exists. A dump never overwrites one; give another name.", code="FILE_EXISTS")
    unfinished = file.with_name(f"{file.name}.{os.getpid()}.new")
    try:
        with os.fdopen(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as out:
            async with _connection(url) as conn, conn.transaction(isolation="repeatable_read", readonly=True):
                with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                    manifest = await _write(conn, archive)
            out.flush()
            os.fsync(out.fileno())
        unfinished.rename(file)
    finally:
        unfinished.unlink(missing_ok=True)
    return manifest


async def restore_database(url: str, file: Path, *, replace: bool = False) -> Manifest:
    """Load a dump into the database at `url`, whole or not at all, and bring it up to date.

    Takes: `replace`, whether rows that are there may go.
    Fails: `Invalid` if the file is no whole dump; `Refused` if its schema is newer than this program, or another than
           the database's; `Conflict` if the database has rows and `replace` is not set, or if somebody uses it.
    """
    with _archive(file) as archive:
        manifest = _read_manifest(archive, file)
        known = _migrations_of(manifest)
        async with _connection(url) as conn:
            has_tables = bool(await conn.fetch(Q.list_tables))
        if not has_tables:
            await migrate(url, migrations=known)
        async with _connection(url) as conn:
            await _load_whole(conn, archive, manifest, replace=replace)
            await conn.execute(Q.analyze)
    await migrate(url)
    return manifest


# --- writing ----------------------------------------------------------------------------------------------------------


async def _write(conn: Connection, archive: zipfile.ZipFile) -> Manifest:
    found = [row for row in await conn.fetch(Q.list_tables) if row["name"] not in NOT_DUMPED]
    if not found:
        raise Refused("The database has no tables of Interlock: nothing to dump.", code="NO_SCHEMA")
    migrations = await _migrations_in(conn)
    tables = [await _write_table(conn, archive, row["name"], tuple(row["columns"])) for row in found]
    sequences = [(row["name"], row["last_value"]) for row in await conn.fetch(Q.list_sequences)]
    manifest = Manifest(
        format=FORMAT,
        interlock=__version__,
        postgresql=await conn.fetchval(Q.find_server_version),
        dumped_at=datetime.now(UTC).isoformat(timespec="seconds"),
        migrations=migrations,
        tables=tuple(tables),
        sequences=tuple((name, last) for name, last in sequences if last is not None),
    )
    archive.writestr(MANIFEST, json.dumps(asdict(manifest), indent=1))
    return manifest


async def _write_table(conn: Connection, archive: zipfile.ZipFile, name: str, columns: tuple[str, ...]) -> DumpedTable:
    digest = hashlib.sha256()
    # A table may be larger than the 2 GiB that a zip member of the old kind can hold.
    with archive.open(_member(name), "w", force_zip64=True) as member:

        async def write(chunk: bytes) -> None:
            digest.update(chunk)
            member.write(chunk)

        said = await conn.copy_from_table(name, columns=columns, output=write, format="text")
    return DumpedTable(name, columns, rows=int(said.removeprefix("COPY ")), sha256=digest.hexdigest())


# --- loading ----------------------------------------------------------------------------------------------------------


async def _load_whole(conn: Connection, archive: zipfile.ZipFile, manifest: Manifest, *, replace: bool) -> None:
    """Load in one transaction, and say in our words why it did not work."""
    try:
        cluster = await conn.fetchval(Q_LEDGER.find_cluster)
    except asyncpg.InsufficientPrivilegeError:
        cluster = None  # a managed server; `settle_restored` gets no answer either, then and later
    try:
        async with conn.transaction():
            await _load(conn, archive, manifest, replace=replace)
            await conn.fetchval(Q_LEDGER.place_restored, cluster)
    except asyncpg.LockNotAvailableError as error:
        raise Conflict("Somebody uses the database. Stop Interlock, then restore.", code="IN_USE") from error
    except asyncpg.IntegrityConstraintViolationError as error:
        raise Invalid(f"The dump is damaged: {error}", code="BAD_DUMP") from error


async def _load(conn: Connection, archive: zipfile.ZipFile, manifest: Manifest, *, replace: bool) -> None:
    """Put the rows of the file in place of what is there."""
    if await _migrations_in(conn) != manifest.migrations:
        raise Refused(
            f"The dump has schema {manifest.schema_version}, and the database another. Restore it into a new, empty "
            "database: its schema is then brought up to date.",
            code="SCHEMA_DIFFERS",
        )
    tables = [row for row in await conn.fetch(Q.list_tables) if row["name"] not in NOT_DUMPED]
    _see_same_tables(tables, manifest)
    if not replace:
        await _see_empty(conn, tables)
    keys = await conn.fetch(Q.list_foreign_keys)
    await _execute_each(conn, [key["drop_it"] for key in keys])
    await _execute_each(conn, [table["triggers_off"] for table in tables])
    await _execute_each(conn, [table["empty"] for table in tables])
    for table in manifest.tables:
        await _load_table(conn, archive, table)
    for name, last in manifest.sequences:
        await conn.execute(Q.set_sequence, name, last)
    await _execute_each(conn, [table["triggers_on"] for table in tables])
    await _execute_each(conn, [key["make_it"] for key in keys])


async def _load_table(conn: Connection, archive: zipfile.ZipFile, table: DumpedTable) -> None:
    digest = hashlib.sha256()

    async def read() -> AsyncIterator[bytes]:
        with archive.open(_member(table.name)) as member:
            while chunk := member.read(CHUNK_BYTES):
                digest.update(chunk)
                yield chunk

    try:
        said = await conn.copy_to_table(table.name, columns=table.columns, source=read(), format="text")
    except (KeyError, zipfile.BadZipFile, asyncpg.DataError, asyncpg.BadCopyFileFormatError) as error:
        raise Invalid(f"The dump is damaged: table {table.name}: {error}", code="BAD_DUMP") from error
    if digest.hexdigest() != table.sha256 or said != f"COPY {table.rows}":
        raise Invalid(f"The dump is damaged: table {table.name} is not as it was written.", code="BAD_DUMP")


async def _see_empty(conn: Connection, tables: Sequence[asyncpg.Record]) -> None:
    full = [t["name"] for t in tables if t["name"] not in SEEDED and await conn.fetchval(t["has_rows"])]
    if full:
        raise Conflict(
            f"The database is not empty ({', '.join(full[:5])}{', …' if len(full) > 5 else ''}): a restore would mix "
            "two histories. Restore into a new one (another --data), or say --replace to drop what is there.",
            code="NOT_EMPTY",
        )


def _see_same_tables(tables: Sequence[asyncpg.Record], manifest: Manifest) -> None:
    here = {row["name"]: set(row["columns"]) for row in tables}
    there = {table.name: set(table.columns) for table in manifest.tables}
    if here != there:
        differ = sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
        raise Refused(
            f"Dump and database differ in {', '.join(differ)}, though their migrations are the same: somebody changed "
            "the schema by hand.",
            code="SCHEMA_DIFFERS",
        )


def _migrations_of(manifest: Manifest) -> tuple[Migration, ...]:
    """The migrations of this program that lead to the schema of the dump."""
    known = known_migrations()
    if len(manifest.migrations) > len(known):
        raise Refused(
            f"The dump was made by Interlock {manifest.interlock} with schema {manifest.schema_version}; this version "
            f"knows {len(known)}. Restore it with that version or a newer one.",
            code="SCHEMA_NEWER",
        )
    leading = known[: len(manifest.migrations)]
    if tuple((migration.version, migration.digest) for migration in leading) != manifest.migrations:
        raise Refused(
            f"The migrations of the dump (Interlock {manifest.interlock}) are not those of this version.",
            code="SCHEMA_CHANGED",
        )
    return leading


# --- small parts ------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _connection(url: str) -> AsyncIterator[Connection]:
    try:
        conn = await asyncpg.connect(url, timeout=10, server_settings=_SESSION)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as cause:
        raise StoreUnavailable(f"PostgreSQL cannot be reached: {cause}") from cause
    try:
        yield conn
    finally:
        await conn.close(timeout=5)


@contextlib.contextmanager
def _archive(file: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(file)
    except OSError as error:
        raise Invalid(f"{file} cannot be read: {error.strerror}", code="BAD_DUMP") from error
    except zipfile.BadZipFile as error:
        raise Invalid(f"{file} is no dump of Interlock, or was cut short: {error}", code="BAD_DUMP") from error
    with archive:
        yield archive


def _read_manifest(archive: zipfile.ZipFile, file: Path) -> Manifest:
    try:
        said = cast("dict[str, Any]", json.loads(archive.read(MANIFEST)))
        if said["format"] != FORMAT:
            raise Refused(f"{file} has format {said['format']}; this version reads {FORMAT}.", code="BAD_DUMP")
        return Manifest(
            format=FORMAT,
            interlock=said["interlock"],
            postgresql=said["postgresql"],
            dumped_at=said["dumped_at"],
            migrations=tuple((version, digest) for version, digest in said["migrations"]),
            tables=tuple(
                DumpedTable(table["name"], tuple(table["columns"]), rows=table["rows"], sha256=table["sha256"])
                for table in said["tables"]
            ),
            sequences=tuple((name, last) for name, last in said["sequences"]),
        )
    except (KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise Invalid(f"{file} is no dump of Interlock: {error}", code="BAD_DUMP") from error


async def _migrations_in(conn: Connection) -> tuple[tuple[int, str], ...]:
    return tuple((row["version"], row["digest"]) for row in await conn.fetch(Q_MIGRATION.list_migrations))


async def _execute_each(conn: Connection, statements: Sequence[str]) -> None:
    if statements:
        await conn.execute(";\n".join(statements))


def _member(table: str) -> str:
    return f"tables/{table}"

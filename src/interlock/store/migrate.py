"""Does the database have the tables this program was written for? Applies what is missing; refuses what it cannot know.

Plain SQL files, `migrations/NNNN_name.sql`, applied in order, each in a transaction of its own and recorded with its
digest. Every process runs this when it starts; one advisory lock makes them take turns. Forward only: expand first,
contract a release later. There is no way down, a backup is.

It also notices that the database was restored from a dump into another cluster, where transaction numbers start
again, and lets the ledger settle the rows that came with it before anybody writes (`settle_restored` in `ledger.py`).

Source: DESIGN section 5.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources

import asyncpg

from interlock.model.errors import Bug, Refused, StoreUnavailable
from interlock.store.ledger import settle_restored
from interlock.store.queries import queries

Q = queries("migration")

LOCK_KEY = 0x1A7E_810C_0001
"""The advisory lock that processes take turns on. Any number, but always this one."""

_FILE_NAME = re.compile(r"(?P<version>\d{4})_(?P<name>[a-z0-9_]+)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, its name and its text."""

    version: int
    name: str
    text: str
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        normal = self.text.replace("\r\n", "\n")
        object.__setattr__(self, "digest", hashlib.sha256(normal.encode()).hexdigest())


def known_migrations() -> tuple[Migration, ...]:
    """The files of this program, in order.

    Fails: `Bug` on a file name of another form, a number twice or a gap.
    """
    found = []
    for file in resources.files("interlock.store").joinpath("migrations").iterdir():
        if not file.name.endswith(".sql"):
            continue
        match = _FILE_NAME.fullmatch(file.name)
        if match is None:
            raise Bug(f"migrations/{file.name}: a migration is called NNNN_name.sql.")
        found.append(Migration(int(match["version"]), match["name"], file.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.version)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise Bug("migrations/: the numbers must be 1, 2, 3, … without a gap or a double.")
    return tuple(found)


async def migrate(url: str, *, migrations: Sequence[Migration] | None = None) -> tuple[int, ...]:
    """Bring the database at `url` up to date.

    Takes: `migrations`, for tests, in place of this program's own.
    Gives: the numbers that were applied now; empty when there was nothing to do.
    Fails: `Refused` when the schema is newer than this program or a recorded file differs; `StoreUnavailable` when
           the database cannot be reached. A migration that fails leaves the schema as it was before it.
    """
    known = known_migrations() if migrations is None else tuple(migrations)
    try:
        conn = await asyncpg.connect(url, timeout=10)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as cause:
        raise StoreUnavailable(f"PostgreSQL cannot be reached: {cause}") from cause
    try:
        await conn.execute(Q.take_turn, LOCK_KEY)
        await conn.execute("SET client_min_messages = warning")
        await conn.execute(Q.create_schema_migration)
        missing = missing_migrations(known, await conn.fetch(Q.list_migrations))
        for migration in missing:
            async with conn.transaction():
                await conn.execute(migration.text)
                await conn.execute(Q.insert_migration, migration.version, migration.name, migration.digest)
        if migrations is None:
            await settle_restored(conn)
    finally:
        await conn.close(timeout=5)
    return tuple(migration.version for migration in missing)


def missing_migrations(known: Sequence[Migration], recorded: Sequence[asyncpg.Record]) -> tuple[Migration, ...]:
    """What is known and not recorded.

    Fails: `Refused` when what is recorded is not the beginning of what is known.
    """
    by_version = {migration.version: migration for migration in known}
    for row in recorded:
        migration = by_version.get(row["version"])
        label = f"{row['version']:04}_{row['name']}"
        if migration is None:
            raise Refused(
                f"The database has migration {label}, which this version of Interlock does not know: "
                "the schema is newer. Run the newer version, or restore a backup.",
                code="SCHEMA_NEWER",
            )
        if migration.digest != row["digest"]:
            raise Refused(
                f"Migration {label} was applied with another content than this version of Interlock has. "
                "A released migration never changes; find out which of the two is right.",
                code="SCHEMA_CHANGED",
            )
    applied = {row["version"] for row in recorded}
    return tuple(migration for migration in known if migration.version not in applied)

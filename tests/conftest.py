"""What does a test that needs PostgreSQL get? A real server for the session, and a database of its own for each test.

    pg                   the running server (an `EmbeddedPostgres`); INTERLOCK_TEST_PG=<bindir> takes other binaries
    data_dir             a path for `--data`, which PostgreSQL's user can reach; its database is removed
    folder_for_all       `folder_for_all()` gives one more folder that every user can reach, removed with the session
    databases            makes, copies and drops databases of that server
    new_database         `await new_database()` gives the address of one more fresh, migrated database
    database_url         the address of a fresh, migrated database
    empty_database_url   the address of a database without a table
    store                a `Store` on a fresh, migrated database

A migrated database is a copy of a template (20 ms), so no test sees another's rows. The server, the template and the
copies are made by threads of their own, outside every test's event loop. It runs without fsync: nothing here is to
survive the session.
"""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest

from interlock.store import embedded

TEST_KEY = "t2KcBzF3bXq0i4mWb6u1x6m0b3kqk5e8yVwzH0nq1nE="
NO_DURABILITY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}

if find_spec("sniffio") is None:
    # httpx and httpcore try this import at each request, lock and connection; pytest has a long way to look in vain.
    sys.modules["sniffio"] = None  # type: ignore[assignment]

_numbers = count(1)

T = TypeVar("T")


@pytest.fixture(scope="session")
def folder_for_all() -> Iterator[Callable[[], Path]]:
    made: list[Path] = []

    def make() -> Path:
        made.append(_folder_for_all())
        return made[-1]

    yield make
    for folder in made:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def pg(folder_for_all: Callable[[], Path]) -> Iterator[embedded.EmbeddedPostgres]:
    bin_dir = os.environ.get("INTERLOCK_TEST_PG")
    data_dir = folder_for_all() / "data"
    server = embedded.EmbeddedPostgres(data_dir, binaries=Path(bin_dir) if bin_dir else None, settings=NO_DURABILITY)
    server.start_blocking()
    yield server
    server.stop_blocking()
    embedded.remove(data_dir)


class Databases:
    """The databases of the server, on one connection that a thread keeps: to make one for each costs 5 ms of CPU."""

    def __init__(self, pg: embedded.EmbeddedPostgres) -> None:
        self._pg = pg
        self._loop = asyncio.new_event_loop()
        self._turn = asyncio.Lock()
        self._conn: asyncpg.Connection | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    async def make(self) -> str:
        """An empty one. Gives its name."""
        return await self._new("CREATE DATABASE {name}")

    async def copy(self, template: str) -> str:
        """File by file: by way of the log, which is the server's default, takes four times as long."""
        return await self._new(f"CREATE DATABASE {{name}} TEMPLATE {template} STRATEGY file_copy")

    async def drop(self, name: str) -> None:
        await self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        async def leave() -> None:
            if self._conn is not None:
                await self._conn.close()

        asyncio.run_coroutine_threadsafe(leave(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _new(self, sql: str) -> str:
        name = f"test_{next(_numbers)}"
        await self._run(sql.format(name=name))
        return name

    async def _run(self, sql: str) -> None:
        async def run() -> None:
            async with self._turn:
                if self._conn is None or self._conn.is_closed():
                    self._conn = await asyncpg.connect(self._pg.url_of("postgres"))
                await self._conn.execute(sql)

        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(run(), self._loop))


@pytest.fixture(scope="session")
def databases(pg: embedded.EmbeddedPostgres) -> Iterator[Databases]:
    made = Databases(pg)
    yield made
    made.close()


@pytest.fixture(scope="session")
def migrated_template(pg: embedded.EmbeddedPostgres, databases: Databases) -> str:
    from interlock.store.migrate import migrate

    async def make() -> str:
        name = await databases.make()
        await migrate(pg.url_of(name))
        return name

    return _in_a_thread(make())


@pytest.fixture
async def new_database(
    pg: embedded.EmbeddedPostgres, databases: Databases, migrated_template: str
) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    made = []

    async def make() -> str:
        made.append(await databases.copy(migrated_template))
        return pg.url_of(made[-1])

    yield make
    for name in made:
        await databases.drop(name)


@pytest.fixture
async def database_url(new_database: Callable[[], Awaitable[str]]) -> str:
    return await new_database()


@pytest.fixture
async def empty_database_url(pg: embedded.EmbeddedPostgres, databases: Databases) -> AsyncIterator[str]:
    name = await databases.make()
    yield pg.url_of(name)
    await databases.drop(name)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Any]:
    from interlock.outside.secrets import Keyring
    from interlock.store.tx import Store

    opened = await Store.open(database_url, keyring=Keyring([TEST_KEY]))
    yield opened
    await opened.close()


@pytest.fixture(autouse=True)
def _nothing_is_kept_for_ever() -> Iterator[None]:
    """Workers that a test runs in this process freeze what is there, as they do in theirs (`collect_less`): it would
    never be collected, and a run of the suite would hold all that its tests made.
    """
    limits = gc.get_threshold()
    yield
    if gc.get_freeze_count():
        gc.unfreeze()
        gc.set_threshold(*limits)


@pytest.fixture
def data_dir(folder_for_all: Callable[[], Path]) -> Iterator[Path]:
    folder = folder_for_all()
    yield folder / "data"
    embedded.remove(folder / "data")


def _folder_for_all() -> Path:
    """Make a folder outside pytest's own, which is closed to PostgreSQL's user when the tests run as root.

    In memory where there is enough of it: a database is 1,000 small files, and nothing here is to survive the session.
    """
    memory = Path("/dev/shm")
    room = os.statvfs(memory) if os.access(memory, os.W_OK) else None
    fits = room is not None and room.f_bavail * room.f_frsize > 2**30 and not room.f_flag & os.ST_NOEXEC
    folder = Path(tempfile.mkdtemp(prefix="interlock-", dir=memory if fits else None))
    folder.chmod(0o711)
    return folder


def _in_a_thread(work: Coroutine[Any, Any, T]) -> T:
    """Run to its end on a loop of its own; the test's own thread may already have one, of another scope."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()

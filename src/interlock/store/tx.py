"""How is anything read or written? Through one `Store`; and everything written goes through one door, `Tx.record`.

    async with store.read() as conn: …              one connection, each statement for itself
    async with store.snapshot() as conn: …          REPEATABLE READ, READ ONLY: one instant of the whole database
    async with store.tx(actor=…, cause=…) as tx:    READ COMMITTED, read and write
        await tx.record(changes=[…], events=[…], wakes=[…])

`record` executes the changes at once, in order. Ledger rows and work requests of the whole transaction are written at
its end, one statement each, so that work rows are always locked last and in one order. After the commit the store
wakes the loops that the requests are for.

`store.joined()` makes one transaction of many: within it every `tx`, `read` and `snapshot` of this task uses the same
connection, each `tx` as a savepoint, and what comes last is written once, at the end of all. So a set of requests is
written whole or not at all, by the code that writes each of them alone.

Errors of the driver become ours at this edge: a deadlock or a serialization failure is `Stale`, a lost connection
`StoreUnavailable`. A violated constraint stays the driver's, because only the caller knows what the caller did wrong.

Source: DESIGN section 5; core.md sections 3, 7 and 8.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import orjson

from interlock.clock import utc_now
from interlock.model.errors import Bug, Stale, StoreUnavailable
from interlock.model.event import Actor, Event
from interlock.outside.secrets import Keyring
from interlock.store.ledger import LedgerRow, insert_rows, ledger_row
from interlock.store.notify import Wakes
from interlock.store.postgres_own import Connection
from interlock.store.queries import Conn
from interlock.store.secrets import Secrets
from interlock.store.work import Claim, WorkRequest, joined_requests, lock_claims, request_work

ACQUIRE_S = 10.0
"""How long a caller waits for a free connection before it hears 503."""

LEDGER_TOPIC = "ledger"
FEED_TOPIC = "feed"

_UNREACHABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InternalClientError,  # PostgreSQL said good-bye just as we began to speak
    ConnectionError,
)


@dataclass(frozen=True, slots=True)
class Change:
    """One statement that writes.

    Takes: `many` executes the statement once per tuple of `args`. `rows`: it must touch exactly so many rows, else
           somebody was faster and the transaction is `Stale`.
    """

    sql: str
    args: Sequence[Any] = ()
    many: bool = False
    rows: int | None = None


@dataclass(slots=True)
class StatementCount:
    """What a piece of code sent to the database, BEGIN and COMMIT included (COPY is not seen by the driver's log)."""

    texts: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.texts)


_COUNT: contextvars.ContextVar[StatementCount | None] = contextvars.ContextVar("statement_count", default=None)


class Tx:
    """One read-write transaction. Got from `Store.tx`."""

    __slots__ = (
        "_claims",
        "_requests",
        "_rows",
        "_topics",
        "actor",
        "cause",
        "chain",
        "conn",
        "secrets",
        "trace_id",
        "workspace_id",
    )

    def __init__(
        self,
        conn: Conn,
        *,
        secrets: Secrets,
        actor: Actor,
        cause: str,
        workspace_id: str | None,
        claims: Sequence[Claim],
        chain: str | None,
        trace_id: str | None,
    ) -> None:
        self.conn = conn
        self.secrets = secrets
        self.actor = actor
        self.cause = cause
        self.workspace_id = workspace_id
        self.chain = chain
        self.trace_id = trace_id
        self._claims = claims
        self._rows: list[LedgerRow] = []
        self._requests: list[WorkRequest] = []
        self._topics: set[str] = set()

    def announce(self, topic: str) -> None:
        """Wake who waits for a topic that is no kind of work, after the commit."""
        self._topics.add(topic)

    async def record(
        self, changes: Sequence[Change] = (), *, events: Sequence[Event] = (), wakes: Sequence[WorkRequest] = ()
    ) -> None:
        """Write changes with the events that tell of them and the looks they ask for, all with the transaction.

        Fails: `Stale` when a change touches another number of rows than it must; `Bug` when an event's body is no JSON.
        """
        for change in changes:
            if change.many:
                await self.conn.executemany(change.sql, change.args)
                continue
            status = await self.conn.execute(change.sql, *change.args)
            if change.rows is not None and int(status.rpartition(" ")[2]) != change.rows:
                raise Stale(f"{_title(change.sql)} touched another number of rows than {change.rows}: {status}.")
        self._rows.extend(map(ledger_row, events))
        self._requests.extend(wakes)

    async def write_ends(self) -> None:
        """Write what comes last: ledger rows, then the claim's lock and the requests. Called once, by the store."""
        await self.write_rows()
        requests = joined_requests(self._requests)
        if self._claims:
            await lock_claims(self.conn, self._claims, requests)
        await request_work(self.conn, requests)

    async def write_rows(self) -> None:
        """Write the ledger rows. Called once, by the store."""
        if self._rows:
            await insert_rows(
                self.conn,
                self._rows,
                actor=self.actor,
                cause=self.cause,
                workspace_id=self.workspace_id,
                chain=self.chain,
                trace_id=self.trace_id,
            )

    def told_as(self, other: Tx) -> bool:
        """Whether the ledger says the same of who wrote both, why, and as part of what."""
        mine, theirs = ((tx.actor, tx.cause, tx.workspace_id, tx.chain, tx.trace_id) for tx in (self, other))
        return mine == theirs

    def take_rows(self, other: Tx) -> None:
        """Write the other's ledger rows with one's own, after them."""
        self._rows.extend(other._rows)
        other._rows = []

    @property
    def requests(self) -> Sequence[WorkRequest]:
        """The looks that were asked for so far."""
        return self._requests

    def topics(self, now: datetime) -> set[str]:
        """Whom the commit wakes: who has something to do before looking by itself within a second."""
        soon = now + timedelta(seconds=1)
        topics = {each.kind for each in self._requests if each.ready_at is None or each.ready_at <= soon} | self._topics
        if self._rows:
            topics.add(LEDGER_TOPIC)
        return topics


@dataclass(slots=True)
class Joined:
    """One transaction that several share: its connection, and those that went through, in their order."""

    store: Store
    conn: Conn
    txs: list[Tx] = field(default_factory=list)

    async def write_ends(self) -> None:
        """Ledger rows of each, then all requests together: work rows are locked last and in one order."""
        before: Tx | None = None
        for tx in self.txs:
            if before is not None and before.told_as(tx):
                before.take_rows(tx)
                continue
            if before is not None:
                await before.write_rows()
            before = tx
        if before is not None:
            await before.write_rows()
        await request_work(self.conn, joined_requests([each for tx in self.txs for each in tx.requests]))


_JOINED: contextvars.ContextVar[Joined | None] = contextvars.ContextVar("joined_transaction", default=None)


class RolledBack(Exception):
    """Raised within `Store.joined` to end it without writing; it does not leave the block."""


class Store:
    """The database of one process: a pool, one more connection that wakes and is woken (`wakes`), and what opens
    its `secrets`.
    """

    def __init__(
        self,
        url: str,
        *,
        pool: asyncpg.Pool[asyncpg.Record],
        clock: Callable[[], datetime] | None,
        keyring: Keyring | None = None,
    ) -> None:
        self.url = url
        self.secrets = Secrets(keyring)
        self.wakes = Wakes(self._connect_alone)
        self._pool = pool
        self._clock = clock

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        pool_max: int = 10,
        application: str = "interlock",
        clock: Callable[[], datetime] | None = None,
        keyring: Keyring | None = None,
    ) -> Store:
        """Connect. Does not migrate.

        Takes: `clock` is the simulator's: every transaction then has its instant for `interlock_now()`. Without a
               `keyring` nothing can be sealed or opened.
        Fails: `StoreUnavailable` when PostgreSQL cannot be reached.
        """
        pool = asyncpg.create_pool(
            url,
            connection_class=Connection,
            min_size=1,
            max_size=pool_max,
            init=set_codecs,
            reset=_keep_session,
            statement_cache_size=500,
            max_inactive_connection_lifetime=300,
            timeout=ACQUIRE_S,
            server_settings={"application_name": application, **_SESSION},
        )
        with _as_ours():
            try:
                await pool
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as cause:
                raise StoreUnavailable(f"PostgreSQL cannot be reached: {cause}") from cause
        return cls(url, pool=pool, clock=clock, keyring=keyring)

    async def close(self) -> None:
        """Close every connection; those in use are given 10 s."""
        await self.wakes.close()
        try:
            async with asyncio.timeout(10):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[Conn]:
        """A connection on which each statement is its own transaction. Hold it for a request, not for a wait."""
        joined = self._joined()
        if joined is not None:
            yield joined.conn
            return
        with _as_ours():
            async with self._connection() as conn:
                if self._clock is not None:
                    await conn.execute(_SET_NOW, self._clock().isoformat(), False)
                yield conn

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Conn]:
        """A read-only transaction in which nothing changes (within `joined`: in which nobody else's change is lost)."""
        joined = self._joined()
        if joined is not None:
            yield joined.conn
            return
        with _as_ours():
            async with self._connection() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
                if self._clock is not None:
                    await conn.execute(_SET_NOW, self._clock().isoformat(), True)
                yield conn

    @contextlib.asynccontextmanager
    async def tx(
        self,
        *,
        actor: Actor,
        cause: str,
        workspace_id: str | None = None,
        claim: Claim | None = None,
        claims: Sequence[Claim] = (),
        chain: str | None = None,
        trace_id: str | None = None,
    ) -> AsyncIterator[Tx]:
        """A transaction that writes; it commits when the block ends and rolls back when it raises.

        Takes: `claim` makes the commit depend on it: it succeeds only while the claim is ours, and nobody takes it
               meanwhile; so do `claims`, where several looks are written together. `cause` says in a few words why
               ("api: createVersion", "round"). `chain` stands in where an event names none.
        Fails: `Stale` on a deadlock, a serialization failure or a lost claim; `StoreUnavailable` when the connection
               is lost, and then nobody knows whether the commit happened; `Bug` when a status changed without its
               event.
        """
        joined = self._joined()
        if joined is not None:
            if claim is not None or claims:
                raise Bug("A claim cannot be settled within a joined transaction.")
            with _as_ours():
                async with joined.conn.transaction():
                    tx = Tx(
                        joined.conn,
                        secrets=self.secrets,
                        actor=actor,
                        cause=cause,
                        workspace_id=workspace_id,
                        claims=(),
                        chain=chain,
                        trace_id=trace_id,
                    )
                    yield tx
            joined.txs.append(tx)
            return
        with _as_ours():
            async with self._connection() as conn, conn.transaction(isolation="read_committed"):
                if self._clock is not None:
                    await conn.execute(_SET_NOW, self._clock().isoformat(), True)
                tx = Tx(
                    conn,
                    secrets=self.secrets,
                    actor=actor,
                    cause=cause,
                    workspace_id=workspace_id,
                    claims=claims if claim is None else (claim, *claims),
                    chain=chain,
                    trace_id=trace_id,
                )
                yield tx
                await tx.write_ends()
        self.wakes.announce(tx.topics(self.now()))

    @contextlib.asynccontextmanager
    async def joined(self, *, unchanged: bool = False) -> AsyncIterator[Joined]:
        """One transaction for everything that this task does with the store within the block.

        Why:    what belongs together is written whole or not at all, by the very code that writes its parts.
        Takes:  `RolledBack`, raised in the block, ends it without writing anything and goes no further. `unchanged`
                (REPEATABLE READ): what was read first may not have changed when it is written, else `Stale`. Within
                another joined transaction the block is a savepoint of it, and `unchanged` is the outer one's.
        Fails:  as `tx` does.
        """
        outer = self._joined()
        if outer is not None:
            through = len(outer.txs)
            try:
                with _as_ours():
                    async with outer.conn.transaction():
                        yield outer
            except BaseException as ended:
                del outer.txs[through:]
                if not isinstance(ended, RolledBack):
                    raise
            return
        with _as_ours():
            async with self._connection() as conn:
                joined = Joined(self, conn)
                token = _JOINED.set(joined)
                try:
                    async with conn.transaction(isolation="repeatable_read" if unchanged else "read_committed"):
                        if self._clock is not None:
                            await conn.execute(_SET_NOW, self._clock().isoformat(), True)
                        yield joined
                        await joined.write_ends()
                except RolledBack:
                    return
                finally:
                    _JOINED.reset(token)
        now = self.now()
        self.wakes.announce({topic for tx in joined.txs for topic in tx.topics(now)})

    def _joined(self) -> Joined | None:
        """The joined transaction that this task is in, if it is one of this store."""
        joined = _JOINED.get()
        return joined if joined is not None and joined.store is self else None

    def now(self) -> datetime:
        """This process's idea of the time, or the simulator's. A round asks the database instead."""
        return utc_now() if self._clock is None else self._clock()

    @contextlib.asynccontextmanager
    async def counting(self) -> AsyncIterator[StatementCount]:
        """Count the statements that this task (and tasks it starts) sends through the store."""
        count = StatementCount()
        token = _COUNT.set(count)
        try:
            yield count
        finally:
            _COUNT.reset(token)
            await asyncio.sleep(0)  # the driver reports a statement in the loop's next turn

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Conn]:
        try:
            conn = await self._pool.acquire(timeout=ACQUIRE_S)
        except TimeoutError as cause:
            raise StoreUnavailable("No connection became free in time.", retry_after_s=1.0) from cause
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as cause:
            raise StoreUnavailable(f"PostgreSQL cannot be reached: {cause}", retry_after_s=1.0) from cause
        count = _COUNT.get()

        def log(query: Any) -> None:
            if count is not None:
                count.texts.append(query.query)

        if count is not None:
            conn.add_query_logger(log)
        try:
            yield conn
        except asyncpg.InternalClientError:
            conn.terminate()  # the driver lost its place in the protocol; nobody shall get this one again
            raise
        finally:
            if count is not None:
                conn.remove_query_logger(log)
            await self._pool.release(conn)

    async def _connect_alone(self) -> asyncpg.Connection[asyncpg.Record]:
        return await asyncpg.connect(
            self.url, timeout=ACQUIRE_S, server_settings={"application_name": "interlock-wakes"}
        )


_SET_NOW = "SELECT set_config('interlock.now', $1, $2)"

_ARRAYS = (
    "SELECT $1::uuid[], $2::jsonb[], $3::text[], $4::bytea[], $5::smallint[], $6::integer[], $7::bigint[], "
    "$8::boolean[], $9::float8[], $10::timestamptz[]"
)

_SESSION = {
    "timezone": "UTC",
    "jit": "off",  # our statements are short and many
    "idle_in_transaction_session_timeout": "15s",  # one left open holds the ledger's horizon, and rows others want
}


async def set_codecs(conn: Conn) -> None:
    """Ids as lower-case text, jsonb as Python values; both in binary, so that COPY takes them too.

    Why:    the driver looks array types up when it first meets them (`postgres_own.py`); better now than within
            somebody's round. It is run, not only prepared: a statement that is prepared alone leaves the server within
            a transaction until the next one runs, and a BEGIN that says how isolated it is would be refused.
    """
    await conn.set_type_codec("uuid", schema="pg_catalog", encoder=_uuid_bytes, decoder=_uuid_text, format="binary")
    await conn.set_type_codec("jsonb", schema="pg_catalog", encoder=_jsonb_bytes, decoder=_jsonb_value, format="binary")
    await conn.fetchrow(_ARRAYS, *[[]] * _ARRAYS.count("$"))


def _uuid_bytes(text: str) -> bytes:
    raw = bytes.fromhex(text.replace("-", ""))
    if len(raw) != 16:
        raise ValueError(f"{text!r} is no id")
    return raw


def _uuid_text(raw: bytes) -> str:
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _jsonb_bytes(value: object) -> bytes:
    return b"\x01" + orjson.dumps(value)


def _jsonb_value(raw: bytes) -> Any:
    return orjson.loads(raw[1:])


async def _keep_session(_conn: Conn) -> None:
    """Leave a released connection as it is: we change no session, and the driver's reset costs a round trip."""


@contextlib.contextmanager
def _as_ours() -> Iterator[None]:
    """Turn the driver's errors into those that say who must act; keep the cause."""
    try:
        yield
    except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError) as cause:
        raise Stale(f"The database could not let both go on: {cause}") from cause
    except _UNREACHABLE as cause:
        raise StoreUnavailable(f"The connection to PostgreSQL is gone: {cause}", retry_after_s=1.0) from cause
    except asyncpg.InterfaceError as cause:
        if "closed" in str(cause) or "closing" in str(cause):
            raise StoreUnavailable(f"The connection to PostgreSQL is closed: {cause}", retry_after_s=1.0) from cause
        raise Bug(f"The driver was used wrongly: {cause}") from cause
    except asyncpg.IntegrityConstraintViolationError as cause:
        # Those of columns are subclasses; this one is require_ledger_row.
        if type(cause) is asyncpg.IntegrityConstraintViolationError:
            raise Bug(str(cause)) from cause
        raise


def _title(sql: str) -> str:
    """The name of a query, from the comment that `queries` put first."""
    return sql.partition("\n")[0].removeprefix("-- ")

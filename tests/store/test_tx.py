"""Does the one write door keep its promises: all together, ended in one order, and errors that say who must act?"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from interlock.model.errors import Bug, Stale, StoreUnavailable
from interlock.model.event import Actor, Event, Ref
from interlock.model.ids import new_id
from interlock.store.postgres_own import Connection
from interlock.store.tx import Change, RolledBack, Store, set_codecs
from interlock.store.work import Claim, WorkRequest, claim_work, list_work

SOMEBODY = Actor("user", "u1", "Ada")
NOON = datetime(2026, 3, 9, 12, tzinfo=UTC)
CLAIM = Claim("round", "k", workspace_id=None, owner="o", epoch=1, attempts=0, ready_at=NOON)

MAKE_THING = """
CREATE TABLE thing (id uuid PRIMARY KEY, status text NOT NULL);
CREATE CONSTRAINT TRIGGER thing_recorded AFTER INSERT OR UPDATE OF status ON thing
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_ledger_row();
"""
INSERT_THING = "INSERT INTO thing (id, status) VALUES ($1, $2)"
UPDATE_THING = "UPDATE thing SET status = $2 WHERE id = $1"


@pytest.fixture
async def things(store: Store) -> Store:
    async with store.read() as conn:
        await conn.execute(MAKE_THING)
    return store


async def count(store: Store, table: str) -> int:
    async with store.read() as conn:
        return int(await conn.fetchval(f"SELECT count(*) FROM {table}"))


def created(thing: str, *refs: Ref) -> Event:
    return Event("resource.created", Ref("thing", thing), {"b": 1, "a": "ü"}, refs)


async def test_change_event_and_request_are_written_together(things: Store) -> None:
    thing, workspace = new_id(), new_id()
    async with things.tx(actor=SOMEBODY, cause="test", workspace_id=workspace, chain="c1", trace_id="t1") as tx:
        await tx.record(
            [Change(INSERT_THING, (thing, "new"))],
            events=[created(thing, Ref("other", "o1"))],
            wakes=[WorkRequest("round", thing)],
        )
    async with things.read() as conn:
        row = await conn.fetchrow("SELECT * FROM ledger")
        assert row is not None
        assert (row["subject_kind"], row["subject_id"], row["workspace_id"]) == ("thing", thing, workspace)
        assert (row["refs"], row["ref_kinds"]) == ([thing, "o1"], ["thing", "other"])
        assert (row["actor_kind"], row["actor_id"], row["cause"]) == ("user", "u1", "test")
        assert (row["chain"], row["trace_id"], row["decision_id"]) == ("c1", "t1", None)
        assert row["body"] == '{"a":"ü","b":1}'.encode()
        assert [(item.kind, item.key, item.state) for item in await list_work(conn)] == [("round", thing, "due")]


async def test_a_block_that_raises_leaves_nothing(things: Store) -> None:
    async def write_and_break(thing: str) -> None:
        async with things.tx(actor=SOMEBODY, cause="test") as tx:
            await tx.record(
                [Change(INSERT_THING, (thing, "new"))], events=[created(thing)], wakes=[WorkRequest("round", thing)]
            )
            raise KeyError

    with pytest.raises(KeyError):
        await write_and_break(new_id())
    assert [await count(things, table) for table in ("thing", "ledger", "work")] == [0, 0, 0]


async def test_a_status_change_without_its_event_is_a_bug_and_is_not_stored(things: Store) -> None:
    with pytest.raises(Bug, match="has no ledger row in its transaction"):
        async with things.tx(actor=SOMEBODY, cause="test") as tx:
            await tx.record([Change(INSERT_THING, (new_id(), "new"))], events=[created(new_id())])
    assert await count(things, "thing") == 0


async def test_an_event_of_an_earlier_transaction_does_not_cover_a_later_change(things: Store) -> None:
    thing = new_id()
    async with things.tx(actor=SOMEBODY, cause="test") as tx:
        await tx.record([Change(INSERT_THING, (thing, "new"))], events=[created(thing)])
    with pytest.raises(Bug, match="has no ledger row"):
        async with things.tx(actor=SOMEBODY, cause="test") as tx:
            await tx.record([Change(UPDATE_THING, (thing, "old"))])


async def test_an_event_about_something_else_covers_what_it_refers_to(things: Store) -> None:
    thing = new_id()
    async with things.tx(actor=SOMEBODY, cause="test") as tx:
        await tx.record([Change(INSERT_THING, (thing, "new"))], events=[created(new_id(), Ref("thing", thing))])
    assert await count(things, "thing") == 1


async def test_many_runs_a_statement_for_each_tuple(things: Store) -> None:
    ids = [new_id() for _ in range(3)]
    async with things.tx(actor=SOMEBODY, cause="test") as tx:
        await tx.record([Change(INSERT_THING, [(i, "new") for i in ids], many=True)], events=[created(i) for i in ids])
    assert await count(things, "thing") == 3


async def test_a_change_that_touches_another_number_of_rows_is_stale(things: Store) -> None:
    with pytest.raises(Stale, match="another number of rows than 1"):
        async with things.tx(actor=SOMEBODY, cause="test") as tx:
            await tx.record([Change(UPDATE_THING, (new_id(), "new"), rows=1)])


@pytest.mark.parametrize("body", [{"x": float("nan")}, {"x": 2**60}, {"x": object()}])
async def test_a_body_that_is_no_canonical_json_is_a_bug(store: Store, body: dict[str, object]) -> None:
    with pytest.raises(Bug, match="canonical JSON"):
        async with store.tx(actor=SOMEBODY, cause="test") as tx:
            await tx.record(events=[Event("resource.created", Ref("thing", "1"), body)])


def test_an_event_of_an_unknown_kind_is_a_bug() -> None:
    with pytest.raises(Bug, match=r"thing\.exploded"):
        Event("thing.exploded", Ref("thing", "1"))


async def test_a_violated_constraint_stays_the_drivers(things: Store) -> None:
    thing = new_id()
    with pytest.raises(asyncpg.UniqueViolationError):
        async with things.tx(actor=SOMEBODY, cause="test") as tx:
            await tx.record([Change(INSERT_THING, [(thing, "new"), (thing, "new")], many=True)])


async def test_a_deadlock_is_stale(store: Store) -> None:
    async with store.read() as conn:
        await conn.execute("CREATE TABLE pair (id int PRIMARY KEY); INSERT INTO pair VALUES (1), (2)")
    both = asyncio.Barrier(2)

    async def lock(first: int, second: int) -> None:
        async with store.tx(actor=SOMEBODY, cause="test") as tx:
            await tx.conn.execute("SET LOCAL deadlock_timeout = '20ms'")
            await tx.conn.execute("SELECT FROM pair WHERE id = $1 FOR UPDATE", first)
            await both.wait()
            await tx.conn.execute("SELECT FROM pair WHERE id = $1 FOR UPDATE", second)

    ended = await asyncio.gather(lock(1, 2), lock(2, 1), return_exceptions=True)
    assert sorted(type(each).__name__ for each in ended) == ["NoneType", "Stale"]


async def test_a_connection_that_dies_is_unavailable_and_the_next_one_works(store: Store) -> None:
    with pytest.raises(StoreUnavailable) as died:
        async with store.tx(actor=SOMEBODY, cause="test") as tx:
            await tx.conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert died.value.__cause__ is not None
    async with store.read() as conn:
        assert await conn.fetchval("SELECT 1") == 1


async def test_a_connection_that_is_lost_in_the_protocol_is_given_to_nobody_again(store: Store) -> None:
    """What the driver says when PostgreSQL ends a connection at the instant that a statement begins on it."""
    async with store.read() as conn:
        lost = await conn.fetchval("SELECT pg_backend_pid()")
    said = asyncpg.InternalClientError("cannot switch to state 11; another operation (2) is in progress")
    with pytest.raises(StoreUnavailable, match="another operation"):
        async with store.read():
            raise said
    async with store.read() as conn:
        assert await conn.fetchval("SELECT pg_backend_pid()") != lost


async def test_no_server_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await Store.open("postgresql://nobody@/none?host=/nonexistent")


async def test_a_snapshot_sees_one_instant_and_writes_nothing(things: Store) -> None:
    async with things.snapshot() as conn:
        assert await conn.fetchval("SELECT count(*) FROM thing") == 0
        thing = new_id()
        async with things.tx(actor=SOMEBODY, cause="test") as tx:
            await tx.record([Change(INSERT_THING, (thing, "new"))], events=[created(thing)])
        assert await conn.fetchval("SELECT count(*) FROM thing") == 0
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await conn.execute(INSERT_THING, new_id(), "new")


async def test_ids_are_text_and_jsonb_is_values_in_copy_too(store: Store) -> None:
    thing, value = new_id(), {"k": [1, None, {"ü": True}]}
    async with store.tx(actor=SOMEBODY, cause="test") as tx:
        await tx.conn.execute("CREATE TEMP TABLE t (id uuid, ids uuid[], v jsonb, at timestamptz) ON COMMIT DROP")
        await tx.conn.copy_records_to_table("t", records=[(thing, [thing], value, NOON)])
        row = await tx.conn.fetchrow("SELECT * FROM t WHERE id = $1 AND v = $2", thing.upper(), value)
    assert row is not None
    assert tuple(row) == (thing, [thing], value, NOON)
    assert row["at"].utcoffset() == timedelta(0)


async def test_the_simulators_clock_is_the_time_in_sql(database_url: str) -> None:
    at = [NOON]
    store = await Store.open(database_url, clock=lambda: at[0])
    try:
        async with store.tx(actor=SOMEBODY, cause="test") as tx:
            await tx.record(events=[Event("resource.created", Ref("thing", "1"))], wakes=[WorkRequest("round", "d")])
        async with store.read() as conn:
            assert await conn.fetchval("SELECT at FROM ledger") == NOON
            assert await conn.fetchval("SELECT ready_at FROM work") == NOON
        at[0] = NOON + timedelta(days=1)
        for door in (store.read, store.snapshot):
            async with door() as conn:
                assert await conn.fetchval("SELECT interlock_now()") == at[0]
    finally:
        await store.close()


async def test_statements_are_counted_with_begin_and_commit(store: Store) -> None:
    async with store.read() as conn:
        await conn.fetchval("SELECT 1")
    async with store.counting() as counted, store.tx(actor=SOMEBODY, cause="test") as tx:
        for number in range(5):
            event = Event("resource.created", Ref("thing", str(number)))
            await tx.record(events=[event], wakes=[WorkRequest("round", str(number))])
    async with store.read() as conn:
        await conn.fetchval("SELECT 1")
    assert [text.split()[0] if text[0] != "-" else text.split()[1] for text in counted.texts] == [
        "BEGIN",
        "ledger.insert_events",
        "work.request_work",
        "COMMIT;",
    ]


async def test_a_commit_wakes_listeners_here_and_in_other_processes(store: Store) -> None:
    elsewhere = await Store.open(store.url)
    try:
        here, there = store.wakes.listener(["round"]), elsewhere.wakes.listener(["round"])
        deaf = elsewhere.wakes.listener(["dispatch"])
        for listener in (here, there, deaf):
            assert await listener.wait(5.0)  # once, when connected
            listener.clear()
        async with store.tx(actor=SOMEBODY, cause="test") as tx:
            await tx.record(wakes=[WorkRequest("round", "d")])
        assert await here.wait(0.0)
        assert await there.wait(5.0)
        assert not await deaf.wait(0.05)
    finally:
        await elsewhere.close()


async def test_a_listener_that_lost_its_connection_looks_once_and_hears_again(store: Store) -> None:
    elsewhere = await Store.open(store.url)
    try:
        there = elsewhere.wakes.listener(["round"])
        assert await there.wait(5.0)
        there.clear()
        async with store.read() as conn:
            await conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'interlock-wakes' AND datname = current_database()"
            )
        assert await there.wait(5.0)
        there.clear()
        store.wakes.announce(["round"])
        assert await there.wait(5.0)
    finally:
        await elsewhere.close()


async def test_a_commit_under_a_lost_claim_is_stale_and_leaves_nothing(things: Store) -> None:
    thing = new_id()
    async with things.tx(actor=SOMEBODY, cause="test") as tx:
        await tx.record(wakes=[WorkRequest("round", "d")])
    async with things.read() as conn:
        (claim,) = await claim_work(conn, ["round"], items_max=1, owner="me", lease_s=-1)
        (newer,) = await claim_work(conn, ["round"], items_max=1, owner="me", lease_s=60)

    async def write(under: Claim, thing: str) -> None:
        async with things.tx(actor=SOMEBODY, cause="test", claim=under) as tx:
            await tx.record([Change(INSERT_THING, (thing, "new"))], events=[created(thing)])

    with pytest.raises(Stale, match="not this worker's any more"):
        await write(claim, thing)
    assert await count(things, "thing") == 0
    await write(newer, thing)
    assert await count(things, "thing") == 1


async def test_nobody_takes_a_key_while_its_owner_commits(store: Store) -> None:
    async with store.tx(actor=SOMEBODY, cause="test") as tx:
        await tx.record(wakes=[WorkRequest("round", "d")])
    async with store.read() as conn:
        (claim,) = await claim_work(conn, ["round"], items_max=1, owner="me", lease_s=0.05)
    async with store.tx(actor=SOMEBODY, cause="test", claim=claim) as tx:
        await tx.write_ends()
        await asyncio.sleep(0.1)
        async with store.read() as conn:
            assert await claim_work(conn, ["round"], items_max=1, owner="you", lease_s=60) == ()
    async with store.read() as conn:
        assert len(await claim_work(conn, ["round"], items_max=1, owner="you", lease_s=60)) == 1


# Joined ---------------------------------------------------------------------------------------------------------------


async def test_joined_transactions_are_one_and_see_each_other(things: Store) -> None:
    first, second = new_id(), new_id()
    async with things.joined():
        for thing in (first, second):
            async with things.tx(actor=SOMEBODY, cause="test", workspace_id=new_id()) as tx:
                await tx.record(
                    [Change(INSERT_THING, (thing, "new"))],
                    events=[created(thing)],
                    wakes=[WorkRequest("round", thing), WorkRequest("round", first)],
                )
        async with things.read() as conn:
            assert await conn.fetchval("SELECT count(*) FROM thing") == 2
        async with things.snapshot() as conn:
            assert await conn.fetchval("SELECT count(*) FROM ledger") == 0, "what comes last is written at the end"
        elsewhere = await asyncpg.connect(things.url)
        assert await elsewhere.fetchval("SELECT count(*) FROM thing") == 0
        await elsewhere.close()
    assert (await count(things, "thing"), await count(things, "ledger"), await count(things, "work")) == (2, 2, 2)


async def test_one_that_fails_within_a_joined_transaction_leaves_the_others(things: Store) -> None:
    kept, lost = new_id(), new_id()
    async with things.joined():
        for thing in (kept, lost):
            try:
                async with things.tx(actor=SOMEBODY, cause="test", workspace_id=new_id()) as tx:
                    await tx.record([Change(INSERT_THING, (thing, "new"))], events=[created(thing)])
                    if thing == lost:
                        raise LookupError
            except LookupError:
                pass
    assert (await count(things, "thing"), await count(things, "ledger")) == (1, 1)


async def test_a_joined_transaction_that_is_rolled_back_or_fails_wrote_nothing(things: Store) -> None:
    async def write() -> None:
        async with things.tx(actor=SOMEBODY, cause="test", workspace_id=new_id()) as tx:
            thing = new_id()
            await tx.record(
                [Change(INSERT_THING, (thing, "new"))], events=[created(thing)], wakes=[WorkRequest("round", thing)]
            )

    async with things.joined():
        await write()
        raise RolledBack

    async def fail() -> None:
        async with things.joined():
            await write()
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert (await count(things, "thing"), await count(things, "ledger"), await count(things, "work")) == (0, 0, 0)
    await write()
    assert await count(things, "thing") == 1, "afterwards each is for itself again"


async def test_a_joined_transaction_settles_no_claim(things: Store) -> None:
    async with things.joined():
        with pytest.raises(Bug):
            async with things.tx(actor=SOMEBODY, cause="test", claim=CLAIM):
                pass


async def test_within_another_a_joined_transaction_is_a_part_that_can_be_taken_back(things: Store) -> None:
    async def write(thing: str) -> None:
        async with things.tx(actor=SOMEBODY, cause="test", workspace_id=None) as tx:
            await tx.record([Change(INSERT_THING, (thing, "new"))], events=[created(thing)])

    kept = [new_id(), new_id()]
    async with things.joined():
        await write(kept[0])
        async with things.joined():
            await write(new_id())
            raise RolledBack
        async with things.joined():
            await write(kept[1])
    async with things.read() as conn:
        assert {row[0] for row in await conn.fetch("SELECT id FROM thing")} == set(kept)
        told = [row[0] for row in await conn.fetch("SELECT subject_id FROM ledger ORDER BY id")]
    assert told == kept, "rows of one writer are written together, in their order"


async def test_a_second_connection_asks_nothing_about_types(database_url: str) -> None:
    asked = []
    for _ in range(2):
        conn = await asyncpg.connect(database_url, connection_class=Connection)
        with conn.query_logger(asked.append):
            asked.clear()
            await set_codecs(conn)
            found = await conn.fetchval("SELECT $1::uuid[]", [new_id()])
        assert isinstance(found[0], str)
        await conn.close()
    assert len(asked) == 2
    assert asked[-1].query == "SELECT $1::uuid[]"


async def test_the_first_thing_that_a_connection_does_may_be_a_snapshot(database_url: str) -> None:
    for _ in range(2):
        other = await Store.open(database_url, pool_max=1)
        async with other.snapshot() as conn:
            assert await conn.fetchval("SHOW transaction_isolation") == "repeatable read"
        await other.close()

"""Does a reader of the feed miss nothing, whatever order transactions commit in? And does the ledger never change?"""

from __future__ import annotations

import asyncio
import hashlib
import random

import asyncpg
import pytest

from interlock.model.event import Actor, Event, Ref
from interlock.model.ids import new_id
from interlock.store.ledger import (
    find_held_horizon,
    find_last_seq,
    insert_rows,
    ledger_row,
    read_feed,
    read_feed_back,
    sequence_ledger,
    settle_restored,
)
from interlock.store.tx import Store

WORKSPACE = new_id()
SOMEBODY = Actor("user", "u1")


def event(thing: str, *refs: Ref, kind: str = "resource.changed") -> Event:
    return Event(kind, Ref("thing", thing), {"n": thing}, refs)


async def write(store: Store, *things: str, workspace_id: str = WORKSPACE) -> None:
    async with store.tx(actor=SOMEBODY, cause="test", workspace_id=workspace_id) as tx:
        await tx.record(events=[event(thing) for thing in things])


async def sequence(store: Store) -> int:
    async with store.read() as conn:
        return await sequence_ledger(conn)


async def sequence_up_to(store: Store, seq: int) -> None:
    """The server's own transactions (autovacuum) may hold the horizon for a moment."""
    async with asyncio.timeout(10), store.read() as conn:
        while await find_last_seq(conn) < seq:
            await sequence_ledger(conn)
        assert await find_last_seq(conn) == seq
    assert await sequence(store) == 0


async def subjects(store: Store, after_seq: int = 0) -> list[str]:
    async with store.read() as conn:
        return [entry.subject.id for entry in await read_feed(conn, WORKSPACE, after_seq=after_seq)]


async def test_a_place_is_given_once_and_without_a_gap(store: Store) -> None:
    assert await sequence(store) == 0
    await write(store, "a", "b")
    await write(store, "c")
    assert await subjects(store) == []
    await sequence_up_to(store, 3)
    async with store.read() as conn:
        entries = await read_feed(conn, WORKSPACE)
        assert await find_last_seq(conn) == 3
    assert [(entry.seq, entry.subject.id) for entry in entries] == [(1, "a"), (2, "b"), (3, "c")]


async def test_an_entry_says_what_was_recorded(store: Store) -> None:
    decision = new_id()
    recorded = Event("rollout.halted", Ref("rollout", "r"), {"failures": 2}, (Ref("version", "v"),), decision, "chain")
    async with store.tx(actor=SOMEBODY, cause="round", workspace_id=WORKSPACE, trace_id="t") as tx:
        await tx.record(events=[recorded])
    await sequence_up_to(store, 1)
    async with store.read() as conn:
        (entry,) = await read_feed(conn, WORKSPACE)
    assert (entry.kind, entry.subject, entry.refs) == (
        "rollout.halted",
        Ref("rollout", "r"),
        (Ref("rollout", "r"), Ref("version", "v")),
    )
    assert (entry.actor, entry.cause, entry.decision_id, entry.chain, entry.trace_id) == (
        SOMEBODY,
        "round",
        decision,
        "chain",
        "t",
    )
    assert entry.body == {"failures": 2}
    assert entry.digest == hashlib.sha256(b'{"failures":2}').hexdigest()


async def test_a_transaction_that_is_still_open_holds_back_all_that_began_after_it(store: Store) -> None:
    async with store.tx(actor=SOMEBODY, cause="test", workspace_id=WORKSPACE) as slow:
        await slow.record(events=[event("slow")])
        await slow.conn.execute("SELECT pg_current_xact_id()")
        await write(store, "fast")
        assert await sequence(store) == 0
    await sequence_up_to(store, 2)
    assert await subjects(store) == ["slow", "fast"]


async def test_only_one_sequencer_at_a_time(store: Store) -> None:
    await write(store, "a")
    async with store.tx(actor=SOMEBODY, cause="test") as tx:
        await tx.conn.execute("SELECT FROM ledger_position FOR SHARE")
        assert await sequence(store) == 0
    await sequence_up_to(store, 1)


async def test_a_large_backlog_is_placed_in_pieces(store: Store) -> None:
    await write(store, *map(str, range(25)))
    async with asyncio.timeout(10), store.read() as conn:
        placed: list[int] = []
        while sum(placed) < 25:
            placed.append(await sequence_ledger(conn, rows_max=10))
    assert [each for each in placed if each] == [10, 10, 5]
    assert await subjects(store) == list(map(str, range(25)))


async def test_a_reader_sees_every_row_once_while_many_write_and_several_sequence(store: Store) -> None:
    chance, seen, writing = random.Random(7), [], True

    async def writer(name: int) -> None:
        for number in range(30):
            async with store.tx(actor=SOMEBODY, cause="test", workspace_id=WORKSPACE) as tx:
                row = ledger_row(event(f"{name}-{number}"))
                await insert_rows(tx.conn, [row], actor=SOMEBODY, cause="test", workspace_id=WORKSPACE)
                await asyncio.sleep(chance.random() * 0.004)

    async def sequencer() -> None:
        while writing:
            await sequence(store)
            await asyncio.sleep(chance.random() * 0.003)

    async def reader() -> None:
        last = 0
        async with asyncio.timeout(60):
            while len(seen) < 150:  # the last rows wait for older transactions of the whole server
                await sequence(store)
                async with store.read() as conn:
                    for entry in await read_feed(conn, WORKSPACE, after_seq=last, rows_max=7):
                        assert entry.seq == last + 1
                        last = entry.seq
                        seen.append(entry.subject.id)
                await asyncio.sleep(0.001)

    others = [asyncio.create_task(each()) for each in (sequencer, sequencer, reader)]
    await asyncio.gather(*(writer(name) for name in range(5)))
    writing = False
    await asyncio.gather(*others)
    assert sorted(seen) == sorted(f"{name}-{number}" for name in range(5) for number in range(30))
    for name in range(5):  # one writer's rows keep their order
        assert [each for each in seen if each.startswith(f"{name}-")] == [f"{name}-{number}" for number in range(30)]


async def test_the_feed_can_be_narrowed_and_read_backwards(store: Store) -> None:
    await write(store, "elsewhere", workspace_id=new_id())
    async with store.tx(actor=SOMEBODY, cause="test", workspace_id=WORKSPACE) as tx:
        await tx.record(
            events=[
                event("a"),
                event("b", Ref("other", "a")),
                event("c", kind="resource.deleted"),
                event("a", kind="resource.deleted"),
            ]
        )
    await sequence_up_to(store, 5)

    async with store.read() as conn:

        async def found(reader: object = read_feed, **how: object) -> list[str]:
            entries = await reader(conn, WORKSPACE, **how)  # type: ignore[operator]
            return [f"{entry.subject.id} {entry.kind.split('.')[1]}" for entry in entries]

        assert await found() == ["a changed", "b changed", "c deleted", "a deleted"]
        assert await found(read_feed_back, rows_max=2) == ["a deleted", "c deleted"]
        assert await found(read_feed_back, before_seq=4) == ["b changed", "a changed"]
        assert await found(kinds=["resource.deleted"]) == ["c deleted", "a deleted"]
        assert await found(subject="a") == ["a changed", "b changed", "a deleted"]
        assert await found(read_feed_back, subject="a", kinds=["resource.changed"]) == ["b changed", "a changed"]
        assert await found(subject="a", after_seq=3) == ["a deleted"]


@pytest.mark.parametrize("sql", ["UPDATE ledger SET cause = 'other'", "DELETE FROM ledger", "TRUNCATE ledger"])
async def test_the_ledger_refuses_to_change(store: Store, sql: str) -> None:
    await write(store, "a")
    async with store.read() as conn:
        with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
            await conn.execute(sql)


async def test_rows_of_a_restored_dump_come_first_whatever_their_numbers(store: Store) -> None:
    """As after a restore into a young cluster: rows there with numbers that this cluster has yet to reach."""
    await write(store, "placed")
    await sequence_up_to(store, 1)
    async with store.read() as conn:
        await conn.execute(
            "INSERT INTO ledger (kind, subject_kind, subject_id, refs, ref_kinds, actor_kind, actor_id, cause, body,"
            " digest, workspace_id, xid) "
            "SELECT kind, subject_kind, n, ARRAY[n], ref_kinds, actor_kind, actor_id, cause, body, digest,"
            " workspace_id, x::xid8 FROM ledger, (VALUES ('late', '90000000000'), ('early', '80000000000')) AS v (n, x)"
        )
        await conn.execute("UPDATE ledger_position SET cluster = 4711, xid = '70000000000'")
        assert await settle_restored(conn) == 2
        assert await settle_restored(conn) == 0
    await write(store, "new")
    await sequence_up_to(store, 4)
    assert await subjects(store) == ["placed", "early", "late", "new"]


async def test_who_holds_the_horizon_is_named(store: Store) -> None:
    async with store.read() as conn:
        assert await find_held_horizon(conn, older_than_s=60) is None
    async with store.tx(actor=SOMEBODY, cause="test") as tx:
        await tx.conn.execute("SELECT pg_current_xact_id()")
        pid = await tx.conn.fetchval("SELECT pg_backend_pid()")
        async with store.read() as conn:
            held = await find_held_horizon(conn, older_than_s=0)
    assert held is not None
    assert (held.holder, held.state) == (f"pid {pid}", "idle in transaction")

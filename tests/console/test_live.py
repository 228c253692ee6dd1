"""The stream that keeps an open page true."""

import asyncio
import contextlib

from interlock.console.live import concerns, follow, message, news
from interlock.model.event import Actor, Event, Ref
from interlock.model.ids import new_id
from interlock.store.ledger import find_last_seq, read_feed, sequence_ledger
from interlock.store.tx import FEED_TOPIC
from interlock.store.workspaces import find_workspace
from interlock.web.sign_in import Here

OURS = Actor("system", "00000000-0000-0000-0000-000000000000", "tests")


async def here_of(store, world):
    async with store.read() as conn:
        return Here(store, await find_workspace(conn, world.slug), None)


async def happen(store, world, *events):
    async with store.tx(actor=OURS, cause="test", workspace_id=world.workspace_id) as tx:
        await tx.record(events=events)
    async with store.read() as conn:
        while await sequence_ledger(conn):
            pass
        seq = await find_last_seq(conn)
    store.wakes.announce([FEED_TOPIC])
    return seq


async def test_a_change_is_told_once_with_its_place(store, world):
    async with store.read() as conn:
        last = await find_last_seq(conn)
    stream = news(await here_of(store, world), about=(), after_seq=last)
    first = await anext(stream)
    assert f"id: {last}\n" in first.decode()
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    seq = await happen(store, world, Event("rollout.halted", Ref("rollout", new_id()), {"version": "2.0"}))
    told = (await asyncio.wait_for(waiting, 3)).decode()
    assert f"id: {seq}\nevent: news\n" in told
    assert "The rollout of 2.0 in the environment halted." in told
    await stream.aclose()


async def test_what_happened_while_the_page_was_on_its_way_is_not_missed(store, world):
    async with store.read() as conn:
        before = await find_last_seq(conn)
    await happen(store, world, Event("version.changed", Ref("version", new_id())))
    stream = news(await here_of(store, world), about=(), after_seq=before)
    await anext(stream)
    assert b"event: news" in await asyncio.wait_for(anext(stream), 3)
    await stream.aclose()


async def test_a_page_hears_what_it_is_about_and_every_freeze(store, world):
    other, mine = new_id(), world.deployment_id
    await happen(
        store,
        world,
        Event("deployment.changed", Ref("deployment", other)),
        Event("job.noted", Ref("job", new_id()), refs=(Ref("deployment", mine),)),
        Event("freeze.set", Ref("freeze", new_id())),
    )
    async with store.read() as conn:
        entries = (await read_feed(conn, world.workspace_id, rows_max=10_000))[-3:]
    assert [concerns(entry, {mine}) for entry in entries] == [False, True, True]
    assert all(concerns(entry, ()) for entry in entries)


async def test_many_changes_are_one_message(store, world):
    await happen(store, world, *(Event("version.changed", Ref("version", new_id())) for _ in range(200)))
    async with store.read() as conn:
        entries = await read_feed(conn, world.workspace_id, rows_max=10_000)
    assert message(entries, seq=9).count(b"event: news") == 1


async def test_the_stream_begins_where_the_browser_left_off(visitor, world, store, monkeypatch):
    monkeypatch.setattr("interlock.console.live.STREAM_S", 0.0)
    vera = await visitor()
    answer = await vera.get(world.at("live"), headers={"Last-Event-ID": "5"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "id: 5\n" in answer.text
    assert "id: 3\n" in (await vera.get(world.at("live") + "?after=3")).text
    assert (await vera.get(world.at("live"))).status_code == 200
    assert follow.__doc__


async def test_a_stranger_follows_nothing(stranger, world):
    assert (await stranger.get(world.at("live"))).status_code == 401


async def test_a_database_that_goes_away_ends_the_stream_quietly(store, world):
    stream = news(await here_of(store, world), about=(), after_seq=0)
    await anext(stream)
    await store.close()
    with contextlib.suppress(StopAsyncIteration):
        for _ in range(3):
            await asyncio.wait_for(anext(stream), 3)

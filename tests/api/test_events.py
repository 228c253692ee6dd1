"""Can a page follow what happens? The stream misses nothing, repeats nothing, and starts where it was left.

The in-process transport hands over an answer only when it has ended, so these tests read the stream's chunks directly.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from interlock.model.ids import NIL
from interlock.store.ledger import sequence_ledger
from interlock.web import events
from interlock.web.events import Wanted
from interlock.web.sign_in import find_here


async def place(store: Any) -> None:
    async with store.read() as conn:
        await sequence_ledger(conn)
    store.wakes.announce({"feed"})


@pytest.fixture
async def here(store: Any, workspace_id: str) -> Any:
    from interlock.access import Caller

    return await find_here(store, Caller(NIL, "x", system_admin=True), workspace=workspace_id)


async def take(chunks: AsyncIterator[bytes], *, timeout_s: float = 5) -> list[dict[str, Any]]:
    """The entries of the next chunk that has any."""
    async with asyncio.timeout(timeout_s):
        async for chunk in chunks:
            entries = [
                orjson.loads(line.removeprefix("data: "))
                for line in chunk.decode().split("\n")
                if line.startswith("data: ")
            ]
            if entries:
                return entries
    return []


async def test_a_stream_begins_where_it_was_left_and_goes_on_as_things_happen(api: Any, store: Any, here: Any) -> None:
    await api.post("/systems", {"name": "one"})
    await place(store)
    listed = (await api.get("/ledger")).json()["items"]
    left_at = listed[-2]["seq"]
    chunks = events._chunks(here, wanted=Wanted(), after_seq=left_at)
    assert await take(chunks) == [listed[-1]]

    await api.post("/systems", {"name": "two"})
    waiting = asyncio.create_task(take(chunks))
    await asyncio.sleep(0.05)
    await place(store)
    entry = (await waiting)[0]
    assert entry["kind"] == "system.created" and entry["body"] == {"name": "two"}
    assert entry["actor"]["name"] == "ada" and entry["cause"] == "api: create system"
    assert entry["seq"] == listed[-1]["seq"] + 1
    await chunks.aclose()


async def test_a_stream_can_be_of_one_thing_or_of_some_kinds(api: Any, store: Any, here: Any) -> None:
    first = (await api.post("/systems", {"name": "one"})).json()["id"]
    await api.post("/systems", {"name": "two"})
    await api.post("/environments", {"name": "e"})
    await place(store)
    of_one = events._chunks(here, wanted=Wanted.of(subject=f"system:{first}", kinds=None), after_seq=0)
    assert [entry["subject"]["id"] for entry in await take(of_one)] == [first]
    await of_one.aclose()
    of_kind = events._chunks(here, wanted=Wanted.of(subject=None, kinds=["environment.created"]), after_seq=0)
    assert [entry["kind"] for entry in await take(of_kind)] == ["environment.created"]
    await of_kind.aclose()
    other = (await api.get("/ledger", params={"subject": f"deployment:{first}"})).json()
    assert other["items"] == [], "an id of another kind is another thing"


async def test_a_quiet_stream_sends_comments(here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "COMMENT_EVERY_S", 0.0)
    monkeypatch.setattr(events, "LOOK_EVERY_S", 0.01)
    chunks = events._chunks(here, wanted=Wanted(), after_seq=2**40)
    async with asyncio.timeout(5):
        assert (await anext(chunks)).startswith(b"retry: ")
        assert (await anext(chunks)).startswith(b": ")
    await chunks.aclose()


async def test_the_ledger_is_read_forwards_and_back(api: Any, store: Any) -> None:
    for number in range(5):
        await api.post("/systems", {"name": f"s{number}"})
    await place(store)
    forwards = (await api.get("/ledger", params={"kind": "system.created", "limit": 2})).json()
    assert [entry["body"]["name"] for entry in forwards["items"]] == ["s0", "s1"]
    more = (await api.get("/ledger", params={"kind": "system.created", "after": forwards["lastSeq"]})).json()
    assert [entry["body"]["name"] for entry in more["items"]] == ["s2", "s3", "s4"]
    back = (await api.get("/ledger", params={"kind": "system.created", "before": 2**62, "limit": 2})).json()
    assert [entry["body"]["name"] for entry in back["items"]] == ["s4", "s3"]

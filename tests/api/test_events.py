"""Can a page follow what happens? The stream misses nothing, repeats nothing, and starts where it was left.

The in-process transport hands over an answer only when it has ended, so these tests read the stream's chunks directly.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import orjson
import pytest

from api.story import until
from interlock.app import build_app, listen, serve, url_of
from interlock.model.ids import NIL
from interlock.settings import Settings
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


# --- a stream's life -------------------------------------------------------------------------------------------------


class Reader:
    """A reader of one stream over a real connection: `entries` as they come, `last_id` for coming back."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.lines = answer.aiter_lines()
        self.last_id = ""

    async def message(self) -> dict[str, str]:
        """The next message that has data; comments and bare ids only move `last_id`."""
        said: dict[str, str] = {}
        async with asyncio.timeout(20):
            async for line in self.lines:
                if line == "":
                    self.last_id = said.get("id", self.last_id)
                    if "data" in said:
                        return said
                    said = {}
                elif not line.startswith(":"):
                    name, _, text = line.partition(": ")
                    said[name] = text
        return {}


@pytest.fixture
async def served(store: Any, settings: Settings) -> AsyncIterator[Any]:
    """The app on a real port, with a sequencer beside it: `served.url`, `served.stop()`, `served.app`."""
    stop, ready = asyncio.Event(), asyncio.Event()
    bound = listen(settings.model_copy(update={"port": 0}))
    app = build_app(store, settings.model_copy(update={"streams_max": 2}))
    serving = asyncio.create_task(serve(app, bound, stop=stop, on_ready=ready.set))

    async def keep_placing() -> None:
        while True:
            await place(store)
            await asyncio.sleep(0.02)

    placing = asyncio.create_task(keep_placing())
    await asyncio.wait_for(ready.wait(), 20)
    yield SimpleNamespace(url=url_of(bound), app=app, stop=stop.set, serving=serving)
    placing.cancel()
    stop.set()
    await serving


@asynccontextmanager
async def reading(served: Any, key: str, workspace: str, **more: Any) -> AsyncIterator[Reader]:
    headers = {"X-API-Key": key, **more.pop("headers", {})}
    async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=30) as client:
        path = f"/api/v1/workspaces/{workspace}/ledger/stream"
        async with client.stream("GET", path, params=more) as answer:
            if answer.status_code == 200:
                assert answer.headers["content-type"].startswith("text/event-stream")
            else:
                await answer.aread()
            yield Reader(answer)


async def test_who_comes_back_misses_nothing_and_sees_nothing_twice(served: Any, api: Any, key_of: Any) -> None:
    """A reader that is torn off again and again, while others write."""
    key = await key_of("vic", "viewer")

    async def write() -> None:
        for number in range(40):
            await api.post("/systems", {"name": f"s{number}"})

    writing = asyncio.create_task(write())
    names: list[str] = []
    last_id = "0"
    for patience in (1, 3, 7, 5, 2, 100):
        came_back = {"kind": "system.created", "headers": {"Last-Event-ID": last_id}}
        async with reading(served, key, api.workspace, **came_back) as one:
            for _ in range(patience):
                said = await one.message()
                names.append(orjson.loads(said["data"])["body"]["name"])
                last_id = one.last_id
                if len(names) == 40:
                    break
        if len(names) == 40:
            break
    await writing
    assert names == [f"s{number}" for number in range(40)]


async def test_a_revoked_keys_stream_ends_and_says_why(served: Any, api: Any, key_of: Any) -> None:
    key = await key_of("vic", "viewer")
    async with reading(served, key, api.workspace, after=0) as one:
        assert (await one.message())["event"] != "end"
        mine = [each for each in (await api.get("/keys")).json()["items"] if key.startswith(each["prefix"])]
        assert (await api.delete(f"/keys/{mine[0]['id']}")).status_code == 200
        while (said := await one.message())["event"] != "end":
            assert orjson.loads(said["data"])["kind"] != "system.created"
        assert orjson.loads(said["data"])["code"] == "UNAUTHORIZED"
        assert await one.message() == {}, "nothing follows"


async def test_who_is_no_member_any_more_hears_the_end(served: Any, api: Any, key_of: Any) -> None:
    key = await key_of("vic", "viewer")
    async with reading(served, key, api.workspace) as one:
        vic = next(each for each in (await api.get("/members")).json()["items"] if each["name"] == "vic")
        assert (await api.delete(f"/members/{vic['id']}")).is_success
        while (said := await one.message())["event"] != "end":
            pass
        assert orjson.loads(said["data"])["code"] == "NOT_FOUND"


async def test_a_key_holds_so_many_streams_and_a_closed_one_makes_room(served: Any, api: Any, key_of: Any) -> None:
    key, other = await key_of("vic", "viewer"), await key_of("bea", "viewer")
    async with reading(served, key, api.workspace) as one:
        async with reading(served, key, api.workspace) as two:
            assert (one.answer.status_code, two.answer.status_code) == (200, 200)
            async with reading(served, key, api.workspace) as three:
                assert three.answer.status_code == 429 and three.answer.json()["code"] == "TOO_MANY_STREAMS"
                assert int(three.answer.headers["retry-after"]) >= 1
            async with reading(served, other, api.workspace) as hers:
                assert hers.answer.status_code == 200

        async def room() -> bool:
            async with reading(served, key, api.workspace) as again:
                return again.answer.status_code == 200

        await until(room, "the closed stream is counted for ever")


async def test_streams_end_at_once_when_the_process_is_asked_to_stop(served: Any, api: Any, key_of: Any) -> None:
    key = await key_of("vic", "viewer")
    async with reading(served, key, api.workspace) as one:
        served.stop()
        assert await one.message() == {}, "a clean end, not a torn connection"
    await asyncio.wait_for(served.serving, 20)


async def test_a_filter_that_seldom_matches_goes_on_with_the_feed(store: Any, api: Any, here: Any) -> None:
    for number in range(3):
        await api.post("/systems", {"name": f"s{number}"})
    await place(store)
    last = (await api.get("/ledger")).json()["lastSeq"]
    wanted = Wanted.of(subject=None, kinds=["freeze.set"])
    assert await events._look(here, wanted, 0) == ([], last, False)


async def test_a_place_that_is_none_is_refused(api: Any) -> None:
    for text in ("abc", "-1", "1.5", "9" * 30, "\u00b2"):
        answer = await api.get("/ledger/stream", headers={"Last-Event-ID": text.encode("latin-1")})
        assert answer.status_code == 400, text
    answer = await api.get("/ledger/stream", params={"kind": "system.crated"})
    assert answer.status_code == 400 and "system.crated" in answer.json()["message"]

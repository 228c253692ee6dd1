"""Who waits in a line is let go one after the other, and nobody misses what was announced while they looked."""

import asyncio

from interlock.store.notify import GIVEN_S, PAYLOAD_MAX, Line, payloads


async def test_an_announcement_lets_the_first_go_who_lets_as_many_go_as_there_is_for():
    line = Line(["queue:a"])
    waiting = [asyncio.create_task(line.turn(30)) for _ in range(5)]
    await asyncio.sleep(0)
    line.wake()
    assert await waiting[0] == 0
    line.release(2)
    assert [await waiting[1], await waiting[2]] == [1, 2]
    assert len(line) == 2 and not waiting[3].done()
    waiting[3].cancel()
    await asyncio.gather(waiting[3], return_exceptions=True)
    line.wake()
    assert await waiting[4] == 0, "one who left is no hindrance"


async def test_each_who_looks_is_given_a_thing_of_its_own_and_what_lies_is_given_again():
    line = Line(["queue:a"])
    assert [line.pick(["x", "y"], 0.0) for _ in range(3)] == [0, 1, None]
    assert line.pick(["x", "y", "z"], 1.0) == 2
    assert line.pick(["x", "y", "z"], GIVEN_S) == 0, "whoever was given it did not take it"
    assert line.pick([], 99.0) is None


async def test_what_is_announced_while_all_look_is_not_missed():
    line = Line(["queue:a"])
    line.wake()
    assert await line.turn(30) == 0
    assert await line.turn(0.01) is None


def test_many_topics_fit_into_what_notify_takes():
    topics = {f"queue:{number:036d}" for number in range(1000)}
    parts = list(payloads(topics))
    assert max(map(len, parts)) <= PAYLOAD_MAX
    assert {topic for part in parts for topic in part.split(",")} == topics
    assert list(payloads([])) == []

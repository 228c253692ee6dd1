"""Is a key that was asked for always looked at, by one worker at a time, whatever happens in between?"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from interlock.model.errors import Bug, NotFound, Stale
from interlock.model.event import Actor
from interlock.model.ids import new_id
from interlock.store.tx import Store
from interlock.store.work import (
    FAN_OUT,
    OWN_FACTS,
    PEOPLE,
    SWEEP,
    Claim,
    Finished,
    WorkItem,
    WorkRequest,
    assert_claim,
    bury_work,
    claim_work,
    dig_up_work,
    fail_work,
    find_next_ready_s,
    finish_work,
    list_work,
    measure_work,
    release_work,
    renew_work,
    request_work,
    retry_work,
)

SOMEBODY = Actor("user", "u1")
NOON = datetime(2026, 3, 9, 12, tzinfo=UTC)


class World:
    """A store on a clock that the test moves, and short words for what the tests do with it."""

    def __init__(self) -> None:
        self.now = NOON
        self.store: Store

    def after(self, seconds: float) -> datetime:
        return self.now + timedelta(seconds=seconds)

    def sleep(self, seconds: float) -> None:
        self.now = self.after(seconds)

    async def call(self, function: Any, *args: Any, **how: Any) -> Any:
        async with self.store.read() as conn:
            return await function(conn, *args, **how)

    async def ask(self, key: str = "d", *, kind: str = "round", in_s: float = 0, priority: int = FAN_OUT) -> None:
        at = self.after(in_s)
        await self.call(request_work, [WorkRequest(kind, key, ready_at=at, priority=priority)])

    async def take(self, items_max: int = 10, *, owner: str = "me", lease_s: float = 60) -> tuple[Claim, ...]:
        return await self.call(claim_work, ["round"], items_max=items_max, owner=owner, lease_s=lease_s)  # type: ignore[no-any-return]

    async def take_one(self, owner: str = "me", *, lease_s: float = 60) -> Claim:
        (claim,) = await self.take(owner=owner, lease_s=lease_s)
        return claim

    async def finish(self, claim: Claim, again_at: datetime | None = None) -> dict[tuple[str, str], datetime | None]:
        return await self.call(finish_work, [Finished(claim, again_at)], owner=claim.owner)  # type: ignore[no-any-return]

    async def items(self, **which: Any) -> tuple[WorkItem, ...]:
        return await self.call(list_work, **which)  # type: ignore[no-any-return]

    async def item(self) -> WorkItem:
        (item,) = await self.items()
        return item


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    world = World()
    world.store = await Store.open(database_url, clock=lambda: world.now)
    yield world
    await world.store.close()


# Asking


async def test_asking_twice_is_asking_once_at_the_earlier_time(world: World) -> None:
    await world.ask(in_s=60, priority=FAN_OUT)
    await world.ask(in_s=30, priority=SWEEP)
    await world.ask(in_s=90, priority=PEOPLE)
    item = await world.item()
    assert (item.ready_at, item.priority, item.state) == (world.after(30), PEOPLE, "waiting")


async def test_requests_of_one_call_are_joined(world: World) -> None:
    ws = new_id()
    await world.call(
        request_work,
        [
            WorkRequest("round", "b", ws, world.after(60), SWEEP),
            WorkRequest("round", "a"),
            WorkRequest("round", "b", ws, None, FAN_OUT),
            WorkRequest("round", "b", ws, world.after(30), OWN_FACTS),
        ],
    )
    assert [(item.key, item.workspace_id, item.ready_at, item.priority) for item in await world.items()] == [
        ("b", ws, NOON, OWN_FACTS),
        ("a", None, NOON, FAN_OUT),
    ]


def test_another_priority_is_a_bug() -> None:
    with pytest.raises(Bug, match="A priority is one of"):
        WorkRequest("round", "d", priority=40)


async def test_asking_during_a_run_has_it_looked_at_again_with_the_urgency_of_that_request(world: World) -> None:
    await world.ask(priority=PEOPLE)
    claim = await world.take_one()
    await world.ask(in_s=30, priority=FAN_OUT)
    await world.ask(in_s=60, priority=SWEEP)
    assert await world.finish(claim) == {("round", "d"): world.after(30)}
    item = await world.item()
    assert (item.state, item.ready_at, item.priority, item.again_at) == ("waiting", world.after(30), FAN_OUT, None)


async def test_asking_brings_forward_but_not_over_the_back_off(world: World) -> None:
    await world.ask()
    await world.call(fail_work, await world.take_one(), error="no", retry_after_s=40)
    await world.ask(in_s=0)
    assert (await world.item()).ready_at == world.after(40)
    assert await world.take() == ()
    world.sleep(40)
    assert (await world.take_one()).attempts == 1


async def test_a_request_that_is_not_committed_yet_is_not_lost_when_the_run_ends(world: World) -> None:
    """The interleaving that a single statement with two branches gets wrong."""
    await world.ask()
    claim = await world.take_one()
    async with world.store.tx(actor=SOMEBODY, cause="test") as tx:
        await request_work(tx.conn, [WorkRequest("round", "d")])
        finishing = asyncio.create_task(world.finish(claim))
        await asyncio.sleep(0.1)
        assert not finishing.done()
    assert await finishing == {("round", "d"): NOON}
    assert (await world.item()).state == "due"


async def test_a_key_is_not_taken_while_a_request_for_it_is_open(world: World) -> None:
    await world.ask()
    async with world.store.tx(actor=SOMEBODY, cause="test") as tx:
        await request_work(tx.conn, [WorkRequest("round", "d")])
        assert await world.take() == ()
    assert len(await world.take()) == 1


async def test_transactions_that_ask_for_the_same_keys_do_not_deadlock(store: Store) -> None:
    """Each also holds a claim of its own, which the others ask for: rounds that wake each other."""
    names = [f"d{number}" for number in range(6)]
    async with store.read() as conn:
        await request_work(conn, [WorkRequest("round", name) for name in names])
        claims = await claim_work(conn, ["round"], items_max=6, owner="me", lease_s=60)

    async def commit(claim: Claim) -> None:
        for _ in range(15):
            keys = random.sample(names, 4)
            async with store.tx(actor=SOMEBODY, cause="test", claim=claim) as tx:
                await tx.record(wakes=[WorkRequest("round", key) for key in keys])
                await tx.record(wakes=[WorkRequest("round", f"new-{key}") for key in reversed(keys)])

    await asyncio.gather(*map(commit, claims))


# Taking


async def test_the_most_urgent_go_first_and_no_more_than_asked_for(world: World) -> None:
    for key, in_s, priority in [("s", -9, SWEEP), ("f2", -1, FAN_OUT), ("f1", -2, FAN_OUT), ("p", 0, PEOPLE)]:
        await world.ask(key, in_s=in_s, priority=priority)
    await world.ask("later", in_s=0.1, priority=PEOPLE)
    await world.ask("other", kind="dispatch")
    taken = [[claim.key for claim in await world.take(2)] for _ in range(3)]
    assert [sorted(keys) for keys in taken] == [["f1", "p"], ["f2", "s"], []]


async def test_what_was_asked_for_before_the_run_began_is_this_run(world: World) -> None:
    await world.ask()
    await world.take_one(lease_s=-1)
    await world.ask(in_s=0)
    claim = await world.take_one()
    assert claim.recovered
    assert await world.finish(claim) == {("round", "d"): None}
    assert await world.items() == ()


async def test_when_a_lease_ends_another_takes_the_key_and_the_first_cannot_touch_it(world: World) -> None:
    await world.ask()
    slow = await world.take_one("slow", lease_s=-1)
    quick = await world.take_one("quick")
    assert (quick.recovered, quick.attempts, quick.epoch > slow.epoch) == (True, 1, True)
    assert await world.finish(slow) == {}
    assert not await world.call(fail_work, slow, error="no", bury=True)
    assert await world.call(release_work, [slow], owner="slow") == 0
    assert await world.call(renew_work, [slow], owner="slow", lease_s=60) == 0
    with pytest.raises(Stale):
        await world.call(assert_claim, slow)
    await world.call(assert_claim, quick)
    assert (await world.item()).owner == "quick"
    assert "slow did not come back" in str((await world.item()).last_error)


async def test_a_worker_is_fenced_even_after_its_item_was_done_and_asked_for_again(world: World) -> None:
    await world.ask()
    first = await world.take_one(lease_s=-1)
    await world.finish(await world.take_one("other"))
    await world.ask()
    second = await world.take_one()
    assert (first.owner, first.key) == (second.owner, second.key)
    with pytest.raises(Stale):
        await world.call(assert_claim, first)
    assert await world.finish(first) == {}


async def test_a_lease_that_is_renewed_does_not_end(world: World) -> None:
    await world.ask()
    claim = await world.take_one(lease_s=0.05)
    assert await world.call(renew_work, [claim], owner="me", lease_s=60) == 1
    await asyncio.sleep(0.06)
    assert await world.take() == ()


async def test_the_next_instant_to_wake_is_known(world: World) -> None:
    assert await world.call(find_next_ready_s, ["round"]) is None
    await world.ask("a", in_s=20, priority=SWEEP)
    await world.ask("b", in_s=10)
    await world.ask("c", in_s=5, kind="dispatch")
    await world.ask("due")
    assert await world.call(find_next_ready_s, ["round"]) == 10


# Ending


async def test_a_run_may_ask_for_itself(world: World) -> None:
    await world.ask()
    await world.finish(await world.take_one(), world.after(5))
    assert ((await world.item()).state, (await world.item()).ready_at) == ("waiting", world.after(5))


async def test_given_back_it_is_due_again_and_no_failure_is_counted(world: World) -> None:
    await world.ask()
    await world.call(release_work, [await world.take_one()], owner="me")
    await world.call(release_work, [await world.take_one()], owner="me", delay_s=3)
    assert await world.take() == ()
    world.sleep(3)
    assert (await world.take_one()).attempts == 0


async def test_the_back_off_doubles_up_to_its_end(world: World) -> None:
    await world.ask()
    for expected in [1, 2, 4, 8, 10, 10]:
        await world.call(fail_work, await world.take_one(), error="no", backoff_first_s=1, backoff_max_s=10)
        wait_s = ((await world.item()).ready_at - world.now).total_seconds()
        assert expected / 2 <= wait_s <= expected
        world.sleep(wait_s)


async def test_a_success_forgets_the_failures(world: World) -> None:
    await world.ask()
    await world.call(fail_work, await world.take_one(), error="no")
    world.sleep(60)
    await world.finish(await world.take_one(), world.after(1))
    item = await world.item()
    assert (item.attempts, item.last_error, item.backoff_until) == (0, None, None)


# Burying


async def bury(world: World) -> None:
    await world.call(fail_work, await world.take_one(), error="broken", bury=True)
    assert (await world.item()).state == "buried"


async def test_after_too_many_failures_it_lies_buried(world: World) -> None:
    await world.ask()
    assert not await world.call(fail_work, await world.take_one(), error="no", attempts_max=2)
    world.sleep(60)
    assert await world.call(fail_work, await world.take_one(), error="no", attempts_max=2)
    world.sleep(86400)
    assert await world.take() == ()
    assert ((await world.item()).state, (await world.item()).last_error) == ("buried", "no")


async def test_asking_digs_it_up_at_most_once_a_minute_and_is_not_forgotten(world: World) -> None:
    await world.ask()
    await bury(world)
    await world.ask()
    await bury(world)
    world.sleep(10)
    await world.ask()
    assert (await world.item()).state == "buried"
    world.sleep(49)
    await world.call(dig_up_work, ["round"])
    assert await world.take() == ()
    world.sleep(1)
    await world.call(dig_up_work, ["round"])
    assert (await world.take_one()).attempts == 2


async def test_asking_while_it_fails_for_good_is_not_forgotten(world: World) -> None:
    await world.ask()
    claim = await world.take_one()
    await world.ask()
    assert await world.call(fail_work, claim, error="broken", bury=True)
    await world.call(dig_up_work, ["round"])
    assert await world.take() == ()
    world.sleep(60)
    await world.call(dig_up_work, ["round"])
    assert len(await world.take()) == 1


async def test_a_person_can_retry_and_bury(world: World) -> None:
    await world.ask()
    claim = await world.take_one()
    await world.call(bury_work, "round", "d", reason="it loops")
    with pytest.raises(Stale):
        await world.call(assert_claim, claim)
    assert ((await world.item()).state, (await world.item()).last_error) == ("buried", "it loops")
    await world.call(retry_work, "round", "d")
    assert (await world.take_one()).attempts == 0
    for act in (retry_work, lambda *args: bury_work(*args, reason="none")):
        with pytest.raises(NotFound):
            await world.call(act, "round", "nothing")


async def test_a_retry_while_it_runs_has_it_run_again(world: World) -> None:
    await world.ask()
    claim = await world.take_one()
    await world.call(retry_work, "round", "d")
    await world.finish(claim)
    assert len(await world.take()) == 1


async def test_depth_and_age_are_measured_per_kind(world: World) -> None:
    await world.ask("a", in_s=-30)
    await world.take_one()
    await world.ask("b", in_s=-20)
    await world.ask("c", in_s=20)
    await world.ask("d", kind="dispatch", in_s=-5)
    await world.ask("e", kind="dispatch", in_s=5)
    await world.call(bury_work, "dispatch", "e", reason="x")
    depths = {depth.kind: depth for depth in await world.call(measure_work)}
    assert (depths["round"].due, depths["round"].waiting, depths["round"].running, depths["round"].buried) == (
        1,
        1,
        1,
        0,
    )
    assert (depths["round"].oldest_s, depths["dispatch"].oldest_s, depths["dispatch"].buried) == (20, 5, 1)
    assert [item.key for item in await world.items(state="buried")] == ["e"]
    assert [item.key for item in await world.items(kind="round", state="running")] == ["a"]


# All together


STRESS_S = 4.5
KEYS = [f"k{number}" for number in range(20)]


@pytest.fixture
def start_worker(database_url: str) -> Iterator[Callable[[], int]]:
    """Start one worker process and say its pid; all are killed in the end."""
    nursery = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("work_stress.py")), database_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert nursery.stdout.readline() == "ready\n"
    started = []

    def start() -> int:
        nursery.stdin.write("one more\n")
        nursery.stdin.flush()
        started.append(int(nursery.stdout.readline()))
        return started[-1]

    yield start
    for pid in started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    nursery.communicate(timeout=5)


async def test_hot_keys_and_killed_workers_lose_nothing_and_never_overlap(
    store: Store, start_worker: Callable[[], int]
) -> None:
    """Four worker processes on 20 hot keys; every second one is killed and one is stopped for longer than its leases.

    `asked.n` counts requests per key, `asked.seen` is what the last run saw. Two runs of one key that overlap in
    time and are both let through to their commit violate the exclusion constraint of `run`; the worker notes that.
    """
    chance = random.Random(11)
    async with store.read() as conn:
        await conn.execute(
            "CREATE TABLE asked (key text PRIMARY KEY, n int NOT NULL DEFAULT 0, seen int NOT NULL DEFAULT 0);"
            "CREATE TABLE run (key int4range, during tstzrange,"
            " EXCLUDE USING gist (key WITH &&, during WITH &&) DEFERRABLE INITIALLY DEFERRED);"
            "CREATE TABLE overlap (what text);"
        )
        await conn.executemany("INSERT INTO asked (key) VALUES ($1)", [(key,) for key in KEYS])

    async def ask_until(end_s: float) -> int:
        asked = 0
        while time.monotonic() < end_s:
            keys = chance.sample(KEYS, chance.randint(1, 3))
            async with store.tx(actor=SOMEBODY, cause="test") as tx:
                for key in sorted(keys):
                    await tx.conn.execute("UPDATE asked SET n = n + 1 WHERE key = $1", key)
                await tx.record(wakes=[WorkRequest("stress", key) for key in keys])
            asked += len(keys)
            await asyncio.sleep(chance.random() * 0.004)
        return asked

    workers = [start_worker() for _ in range(4)]
    try:
        end_s = time.monotonic() + STRESS_S
        asking = [asyncio.create_task(ask_until(end_s)) for _ in range(3)]
        while time.monotonic() < end_s:
            await asyncio.sleep(0.25)
            killed, stopped = chance.sample(range(4), 2)
            os.kill(workers[killed], signal.SIGKILL)
            os.kill(workers[stopped], signal.SIGSTOP)
            workers[killed] = start_worker()
            await asyncio.sleep(0.7)  # its leases are 0.5 s
            os.kill(workers[stopped], signal.SIGCONT)
        asked = sum(await asyncio.gather(*asking))
        async with asyncio.timeout(6), store.read() as conn:
            while await conn.fetchval("SELECT count(*) FROM work"):  # noqa: ASYNC110 - another process ends this
                await asyncio.sleep(0.02)
    except TimeoutError:
        async with store.read() as conn:
            left = [dict(row) for row in await conn.fetch("SELECT * FROM work")]
        pytest.fail(f"keys are left: {left}")

    async with store.read() as conn:
        assert await conn.fetch("SELECT what FROM overlap") == []
        assert await conn.fetch("SELECT key, n, seen FROM asked WHERE seen <> n") == []
        runs = await conn.fetchval("SELECT count(*) FROM run")
    assert asked > 100
    assert runs > 100, "the workers hardly ran: this test proves nothing"

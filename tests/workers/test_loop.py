"""Does the loop look at every key once it is due, keep it while it works, and end each run as its error says?"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from interlock.model.errors import AgentUnavailable, Bug, Invalid, Rejected, Stale, StoreUnavailable
from interlock.model.event import Actor
from interlock.store.tx import Store
from interlock.store.work import Claim, WorkItem, WorkRequest, claim_work, list_work, request_work
from interlock.workers.loop import Ended, Loop, Run

SOMEBODY = Actor("user", "u1")


async def ask(store: Store, *keys: str, in_s: float | None = None) -> None:
    at = None if in_s is None else datetime.now(UTC) + timedelta(seconds=in_s)
    async with store.tx(actor=SOMEBODY, cause="test") as tx:
        await tx.record(wakes=[WorkRequest("round", key, ready_at=at) for key in keys])


async def items(store: Store) -> tuple[WorkItem, ...]:
    for _ in range(100):
        with contextlib.suppress(StoreUnavailable):  # some tests cut every connection
            async with store.read() as conn:
                return await list_work(conn)
        await asyncio.sleep(0.01)
    raise AssertionError("The database did not come back.")


async def until_nothing_is_left(store: Store) -> None:
    async with asyncio.timeout(5):
        while await items(store):  # noqa: ASYNC110 - the database says when
            await asyncio.sleep(0.005)


async def until_buried(store: Store) -> WorkItem:
    async with asyncio.timeout(5):
        while (await items(store))[0].state != "buried":  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    return (await items(store))[0]


@contextlib.asynccontextmanager
async def looping(store: Store, run: Run, **how: Any) -> AsyncIterator[Loop]:
    loop = Loop(store, ["round"], run, **how)
    task = asyncio.create_task(loop.work())
    try:
        yield loop
    finally:
        loop.stop()
        async with asyncio.timeout(5):
            await task


class Runs:
    """What the loop ran, and what each run is to end with: an exception, an instant or None."""

    def __init__(self, *ends: Exception | datetime | None) -> None:
        self.claims: list[Claim] = []
        self.ended: list[Ended] = []
        self.another = asyncio.Event()
        self._ends = list(ends)

    async def __call__(self, claim: Claim) -> datetime | None:
        self.claims.append(claim)
        self.another.set()
        end = self._ends.pop(0) if self._ends else None
        if isinstance(end, Exception):
            raise end
        return end

    @property
    def outcomes(self) -> list[str]:
        return [each.outcome for each in self.ended]

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.claims) < count:
                self.another.clear()
                await self.another.wait()


async def test_every_key_is_looked_at_and_no_more_at_once_than_there_are_slots(store: Store) -> None:
    at_once, most, seen = 0, 0, []

    async def look(claim: Claim) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.002)
        at_once -= 1
        seen.append(claim.key)

    keys = [f"d{number}" for number in range(50)]
    await ask(store, *keys)
    async with looping(store, look, slots=4, poll_s=60):
        await until_nothing_is_left(store)
    assert sorted(seen) == sorted(keys)
    assert most == 4


async def in_lanes(store: Store, **lane_by_key: str) -> None:
    async with store.read() as conn:
        for key, lane in lane_by_key.items():
            await conn.execute("UPDATE work SET lane = $2 WHERE key = $1", key, lane)


async def test_a_lane_has_its_share_of_the_slots_and_the_others_do_not_wait_for_it(store: Store) -> None:
    answers, seen, hanging = asyncio.Event(), [], 0
    most = 0

    async def look(claim: Claim) -> None:
        nonlocal hanging, most
        if claim.lane == "slow":
            hanging += 1
            most = max(most, hanging)
            await answers.wait()
            hanging -= 1
        seen.append(claim.key)

    slow = {f"slow{number:03}": "slow" for number in range(60)}
    await ask(store, *slow)
    await in_lanes(store, **slow)
    async with looping(store, look, slots=6, lane_slots=2, poll_s=60):
        await until(lambda: hanging == 2)
        others = {f"other{number}": "other" for number in range(20)}
        await ask(store, *others)
        await in_lanes(store, **others)
        await until(lambda: len(seen) == 20)
        assert set(seen) == set(others)
        answers.set()
        await until_nothing_is_left(store)
    assert most == 2
    assert sorted(seen) == sorted({**slow, **others})


async def test_what_waits_for_its_lane_is_given_back_when_the_worker_stops(store: Store) -> None:
    answers = asyncio.Event()

    async def look(claim: Claim) -> None:
        await answers.wait()

    keys = {f"slow{number}": "slow" for number in range(5)}
    await ask(store, *keys)
    await in_lanes(store, **keys)
    async with looping(store, look, slots=5, lane_slots=1, poll_s=60) as loop:
        await until(lambda: len(loop._held) == 5)
        loop.stop()
        answers.set()
    async with store.read() as conn:
        left = await conn.fetch("SELECT owner, attempts FROM work")
    assert [tuple(row) for row in left] == [(None, 0)] * 4


async def until(ready: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not ready():  # noqa: ASYNC110 - what is waited for is a plain number
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_commit_wakes_it_long_before_it_would_look_by_itself(store: Store, elsewhere: bool) -> None:
    runs = Runs()
    async with looping(store, runs, poll_s=60):
        other = await Store.open(store.url) if elsewhere else store
        try:
            for number in range(3):
                await asyncio.sleep(0.1)
                await ask(other, f"d{number}")
                await runs.until(number + 1)
        finally:
            if elsewhere:
                await other.close()


async def test_it_wakes_when_the_next_key_becomes_due(store: Store) -> None:
    runs = Runs()
    await ask(store, "d", in_s=0.2)
    async with looping(store, runs, poll_s=60):
        await runs.until(1)
    assert (datetime.now(UTC) - runs.claims[0].ready_at).total_seconds() < 2


async def test_without_any_wake_up_it_looks_once_in_a_while(store: Store) -> None:
    runs = Runs()
    async with looping(store, runs, poll_s=0.05):
        await asyncio.sleep(0.1)
        async with store.read() as conn:
            await request_work(conn, [WorkRequest("round", "d")])  # nobody is told
        await runs.until(1)


async def test_a_run_that_names_an_instant_is_looked_at_again_then(store: Store) -> None:
    runs = Runs(datetime.now(UTC) + timedelta(seconds=0.2))
    await ask(store, "d")
    async with looping(store, runs, poll_s=60):
        await runs.until(2)
        await until_nothing_is_left(store)


async def test_asked_for_during_the_run_it_runs_again(store: Store) -> None:
    runs = Runs()

    async def look(claim: Claim) -> None:
        if await runs(claim) is None and len(runs.claims) < 3:
            await ask(store, claim.key)

    await ask(store, "d")
    async with looping(store, look, poll_s=60):
        await runs.until(3)
        await until_nothing_is_left(store)


async def test_a_lost_race_is_run_again_at_once_and_is_no_failure(store: Store) -> None:
    runs = Runs(Stale("x"), Stale("x"), Stale("x"), Stale("x"))
    await ask(store, "d")
    async with looping(store, runs, poll_s=60, stale_tries_max=3, on_end=runs.ended.append):
        await until_nothing_is_left(store)
    assert [(claim.stales, claim.attempts) for claim in runs.claims] == [(0, 0), (1, 0), (2, 0), (0, 0), (1, 0)]
    assert runs.outcomes == ["stale"] * 4 + ["done"]


async def test_what_the_world_must_mend_waits_as_it_says_and_is_never_buried(store: Store) -> None:
    runs = Runs(*[AgentUnavailable("down", retry_after_s=0.01)] * 5)
    await ask(store, "d")
    async with looping(store, runs, poll_s=60, attempts_max=2, on_end=runs.ended.append):
        await until_nothing_is_left(store)
    assert [claim.attempts for claim in runs.claims] == [0, 1, 2, 3, 4, 5]
    assert runs.outcomes == ["unavailable"] * 5 + ["done"]


@pytest.mark.parametrize("error", [Bug("corrupt"), Invalid("no"), Rejected("gone")])
async def test_what_trying_again_cannot_mend_is_buried_at_once(store: Store, error: Exception) -> None:
    runs = Runs(error)
    await ask(store, "d")
    async with looping(store, runs, on_end=runs.ended.append):
        item = await until_buried(store)
    assert item.last_error == f"{type(error).__name__}: {error}"
    assert runs.outcomes == ["buried"]


async def test_an_unknown_error_is_tried_again_and_buried_after_some(store: Store) -> None:
    runs = Runs(*[ValueError("odd")] * 2)
    await ask(store, "d")
    async with looping(store, runs, attempts_max=2, poll_s=60, on_end=runs.ended.append):
        item = await until_buried(store)
    assert (item.last_error, item.attempts, len(runs.claims)) == ("ValueError: odd", 2, 2)
    assert runs.outcomes == ["failed", "failed"]


async def test_a_run_that_takes_too_long_has_failed(store: Store) -> None:
    async def look(claim: Claim) -> None:
        await asyncio.sleep(60)

    await ask(store, "d")
    async with looping(store, look, run_s_max=0.05, attempts_max=1):
        item = await until_buried(store)
    assert item.last_error == "It took longer than 0.05 s."


async def test_a_key_that_kills_its_worker_every_time_is_buried_unseen(store: Store) -> None:
    await ask(store, "d")
    async with store.read() as conn:
        for _ in range(3):
            assert len(await claim_work(conn, ["round"], items_max=1, owner="killed", lease_s=-1)) == 1
    runs = Runs()
    async with looping(store, runs, attempts_max=3):
        item = await until_buried(store)
    assert "3 times in a row its worker did not come back" in str(item.last_error)
    assert runs.claims == []


async def test_a_run_longer_than_its_lease_keeps_the_key(store: Store) -> None:
    runs = Runs()

    async def look(claim: Claim) -> None:
        await runs(claim)
        await asyncio.sleep(0.7)

    await ask(store, "d")
    async with looping(store, look, lease_s=0.3, poll_s=0.05), looping(store, look, lease_s=0.3, poll_s=0.05):
        await until_nothing_is_left(store)
    assert len(runs.claims) == 1


async def test_a_stop_finishes_the_step_in_hand_and_takes_nothing_more(store: Store) -> None:
    runs = Runs()

    async def look(claim: Claim) -> None:
        await runs(claim)
        await asyncio.sleep(0.1)

    await ask(store, "a")
    async with looping(store, look) as loop:
        await runs.until(1)
        loop.stop()
        await ask(store, "b")
    assert [(item.key, item.owner) for item in await items(store)] == [("b", None)]


async def test_a_step_that_does_not_end_in_time_is_stopped_and_given_back(store: Store) -> None:
    runs = Runs()

    async def look(claim: Claim) -> None:
        await runs(claim)
        await asyncio.sleep(60)

    await ask(store, "a")
    async with looping(store, look, grace_s=0.05):
        await runs.until(1)
    assert [(item.key, item.state, item.attempts) for item in await items(store)] == [("a", "due", 0)]


async def test_an_outage_of_the_database_is_waited_out(store: Store) -> None:
    """Every connection dies while runs are under way, twice."""
    runs = Runs()

    async def look(claim: Claim) -> None:
        await runs(claim)
        await asyncio.sleep(0.05)

    await ask(store, *[f"d{number}" for number in range(30)])
    async with looping(store, look, slots=5, lease_s=30, poll_s=0.2):
        for count in (8, 20):
            await runs.until(count)
            with contextlib.suppress(StoreUnavailable):
                async with store.read() as conn:
                    await conn.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                    )
        await until_nothing_is_left(store)

"""How does a worker take keys, keep them while it works, and give them back? The loop that every kind of work shares.

One step of the loop: claim as many due keys as there are free slots, start one task for each, then sleep until
something wakes it: a commit of this process, a NOTIFY of another, a slot set free while there was more to do, the
instant at which the next key becomes due, or a second gone by. Meanwhile the leases of what is really in flight are
renewed, and what is done is written back, many in one statement while one is under way.

Work has a lane where it is about one agent, and a lane has only `lane_slots` of the slots: an agent that takes half a
minute over each answer keeps nobody else waiting. What was claimed over that waits here for its lane, leased, up to
`LANE_QUEUE` a lane; then the lane is passed over until it moves.

How a run ends decides what happens to the key; the error tree says who must act, so nothing else is asked:

    returns None            done
    returns an instant      done, and looked at again then
    Stale                   tried again at once, a few times; then given back. Never counts as a failure
    Unavailable             waits `retry_after_s`, or backs off; never buried for it, because the world may need long
    Refused, Rejected, Bug  buried: trying again cannot help
    anything else           backs off; buried after `attempts_max` failures in a row

A worker that is killed loses nothing: its leases end and others take its keys. That counts as a failure too, so a key
that kills its worker every time is buried in the end.

Source: core.md section 8; DESIGN section 7.
"""

from __future__ import annotations

import asyncio
import functools
import os
import random
import secrets
import socket
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from interlock.clock import monotonic_s
from interlock.model.errors import Bug, Refused, Rejected, Stale, StoreUnavailable, Unavailable
from interlock.store.tx import Store
from interlock.store.work import (
    Claim,
    Finished,
    claim_work,
    dig_up_work,
    fail_work,
    find_next_ready_s,
    finish_work,
    release_work,
    renew_work,
)

Run = Callable[[Claim], Awaitable[datetime | None]]
"""One look at a key. Gives the instant at which it wants to look again, or None."""

LANE_QUEUE = 16
"""How many claims of one lane may wait for it; more are left to others."""

OUTAGE_PAUSE_S = 0.2
OUTAGE_PAUSE_MAX_S = 5.0

log = structlog.get_logger("interlock.workers")


@dataclass(frozen=True, slots=True)
class Ended:
    """How one run ended: `done`, `stale`, `unavailable`, `failed` or `buried`. For metrics."""

    kind: str
    outcome: str
    seconds: float


class Loop:
    """The loop of some kinds of work. `await loop.work()` until `loop.stop()`.

    Takes: `lane_slots` are the most that one lane may have. `lease_s` is how long others wait when this process dies.
           `run_s_max` bounds one run; a run over it has failed.
    """

    def __init__(
        self,
        store: Store,
        kinds: Sequence[str],
        run: Run,
        *,
        slots: int = 16,
        lane_slots: int | None = None,
        lease_s: float = 15.0,
        poll_s: float = 1.0,
        attempts_max: int = 12,
        stale_tries_max: int = 3,
        run_s_max: float = 300.0,
        grace_s: float = 20.0,
        on_end: Callable[[Ended], None] | None = None,
    ) -> None:
        self.kinds = tuple(kinds)
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._store = store
        self._run = run
        self._slots = slots
        self._lane_slots = lane_slots or slots
        self._lane_running: Counter[str] = Counter()
        self._lane_waiting: dict[str, deque[Claim]] = {}
        self._passed_over: set[str] = set()
        self._lease_s = lease_s
        self._poll_s = poll_s
        self._attempts_max = attempts_max
        self._stale_tries_max = stale_tries_max
        self._run_s_max = run_s_max
        self._grace_s = grace_s
        self._on_end = on_end
        self._held: dict[tuple[str, str], Claim] = {}  # in flight, or done and not yet written back: these are renewed
        self._tasks: set[asyncio.Task[None]] = set()
        self._finished: list[Finished] = []
        self._returned: list[Claim] = []  # ended while the database was away: given back when it is there again
        self._something_ended = asyncio.Event()
        self._writing_back = asyncio.Lock()
        self._more_to_take = False
        self._dig_at_s = 0.0
        self._stopping = False
        self._listener = store.wakes.listener(self.kinds)

    def stop(self) -> None:
        """Take nothing more; `work` returns when what is in hand is done."""
        self._stopping = True
        self._listener.wake()

    async def work(self) -> None:
        """Work until stopped. An outage of the database is waited out; an error nobody foresaw ends it."""
        helpers = [asyncio.create_task(self._renew_forever()), asyncio.create_task(self._finish_forever())]
        for helper in helpers:
            helper.add_done_callback(lambda _: self._listener.wake())
        pause_s, outage_s = 0.0, 0.05
        grace_s = 0.0  # when cancelled; a stop is given its time
        try:
            while not self._stopping:
                self._listener.clear()
                try:
                    pause_s, outage_s = await self._take(), 0.05
                except (StoreUnavailable, Stale) as error:
                    log.warning("work_unreachable", kinds=self.kinds, error=str(error))
                    pause_s, outage_s = outage_s, min(outage_s * 2, OUTAGE_PAUSE_MAX_S)
                await self._listener.wait(pause_s)
                for helper in helpers:
                    if helper.done():  # only by an error nobody foresaw: without it leases end under running work
                        helper.result()
            grace_s = self._grace_s
        finally:
            self._store.wakes.drop(self._listener)
            await self._drain(grace_s)
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)

    async def _take(self) -> float:
        """Claim for the free slots and start. Gives how long to sleep unless woken."""
        free = self._slots - len(self._tasks)
        if free <= 0:
            return self._poll_s
        async with self._store.read() as conn:
            if monotonic_s() >= self._dig_at_s:
                await dig_up_work(conn, self.kinds)
                self._dig_at_s = monotonic_s() + self._poll_s
            # Before the claim: what becomes due in between is claimed. The other way round it would be in neither.
            next_s = await find_next_ready_s(conn, self.kinds)
            self._passed_over = {lane for lane, waiting in self._lane_waiting.items() if len(waiting) >= LANE_QUEUE}
            claims = await claim_work(
                conn,
                self.kinds,
                items_max=free,
                owner=self.owner,
                lease_s=self._lease_s,
                but_lanes=sorted(self._passed_over),
            )
            for claim in claims:
                self._held[claim.kind, claim.key] = claim
                if claim.lane is not None and self._lane_running[claim.lane] >= self._lane_slots:
                    self._lane_waiting.setdefault(claim.lane, deque()).append(claim)
                else:
                    self._begin(claim)
        self._more_to_take = len(claims) == free
        if self._more_to_take and len(self._tasks) < self._slots:
            return 0.0  # some of what was claimed waits for its lane: others may have these slots
        if self._more_to_take or next_s is None:
            return self._poll_s
        return min(self._poll_s, next_s + 0.001)

    def _begin(self, claim: Claim) -> None:
        task = asyncio.create_task(self._look(claim), name=f"{claim.kind} {claim.key}")
        self._tasks.add(task)
        if claim.lane is not None:
            self._lane_running[claim.lane] += 1
        task.add_done_callback(functools.partial(self._free_slot, lane=claim.lane))

    def _free_slot(self, task: asyncio.Task[None], *, lane: str | None) -> None:
        self._tasks.discard(task)
        if lane is not None:
            self._move_lane(lane)
        if self._more_to_take or (lane in self._passed_over and len(self._lane_waiting.get(lane, ())) < LANE_QUEUE):
            self._listener.wake()
        if not task.cancelled() and task.exception() is not None:
            log.error("work_task_broke", task=task.get_name(), exc_info=task.exception())

    def _move_lane(self, lane: str) -> None:
        """One of a lane's looks has ended: the next that waits for it begins."""
        self._lane_running[lane] -= 1
        waiting = self._lane_waiting.get(lane)
        if waiting and not self._stopping:
            self._begin(waiting.popleft())
        if not waiting:
            self._lane_waiting.pop(lane, None)
        if not self._lane_running[lane]:
            del self._lane_running[lane]

    async def _look(self, claim: Claim) -> None:
        """Run, and see to it that the key is done, waits, lies buried or is given back."""
        if claim.recovered and claim.attempts >= self._attempts_max:
            await self._bury(claim, f"{claim.attempts} times in a row its worker did not come back or it failed.", 0.0)
            return
        while True:
            began_s = monotonic_s()
            deadline = asyncio.timeout(self._run_s_max)
            try:
                async with deadline:
                    again_at = await self._run(claim)
            except Stale as error:
                claim = replace(claim, stales=claim.stales + 1)
                self._note(claim, "stale", began_s)
                if claim.stales < self._stale_tries_max and not self._stopping:
                    continue
                log.debug("work_stale", kind=claim.kind, key=claim.key, stales=claim.stales, reason=str(error))
                await self._give_back(claim, delay_s=0.05 + random.random() * 0.1)
            except Unavailable as error:
                self._note(claim, "unavailable", began_s)
                log.warning("work_unavailable", kind=claim.kind, key=claim.key, error=str(error))
                await self._fail(claim, str(error), attempts_max=None, retry_after_s=error.retry_after_s)
            except (Refused, Rejected, Bug) as error:
                log.exception("work_buried", kind=claim.kind, key=claim.key)
                await self._bury(claim, f"{type(error).__name__}: {error}", began_s)
            except Exception as error:
                self._note(claim, "failed", began_s)
                log.exception("work_failed", kind=claim.kind, key=claim.key, attempts=claim.attempts + 1)
                text = f"{type(error).__name__}: {error}"
                if deadline.expired():
                    text = f"It took longer than {self._run_s_max:g} s."
                await self._fail(claim, text, attempts_max=self._attempts_max)
            else:
                self._note(claim, "done", began_s)
                self._finished.append(Finished(claim, again_at))
                self._something_ended.set()
            return

    async def _bury(self, claim: Claim, error: str, began_s: float) -> None:
        self._note(claim, "buried", began_s or monotonic_s())
        await self._fail(claim, error, bury=True)

    async def _fail(
        self,
        claim: Claim,
        error: str,
        *,
        attempts_max: int | None = None,
        bury: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        try:
            async with self._store.read() as conn:
                await fail_work(
                    conn, claim, error=error, attempts_max=attempts_max, bury=bury, retry_after_s=retry_after_s
                )
        except (StoreUnavailable, Stale) as outage:
            self._return_later(claim, outage)
        else:
            self._let_go(claim)
            self._listener.wake()  # to learn when it is due again

    async def _give_back(self, claim: Claim, *, delay_s: float) -> None:
        try:
            async with self._store.read() as conn:
                await release_work(conn, [claim], owner=self.owner, delay_s=delay_s)
        except (StoreUnavailable, Stale) as outage:
            self._return_later(claim, outage)
        else:
            self._let_go(claim)
            self._listener.wake()  # to learn when it is due again

    def _return_later(self, claim: Claim, outage: Exception) -> None:
        log.warning("work_not_written_back", kind=claim.kind, key=claim.key, error=str(outage))
        self._returned.append(claim)
        self._something_ended.set()

    def _let_go(self, claim: Claim) -> None:
        """Renew it no longer. A newer claim of the same key (after a lost lease) stays."""
        held = self._held.get((claim.kind, claim.key))
        if held is not None and held.epoch == claim.epoch:
            del self._held[claim.kind, claim.key]

    def _note(self, claim: Claim, outcome: str, began_s: float) -> None:
        if self._on_end is not None:
            self._on_end(Ended(claim.kind, outcome, monotonic_s() - began_s))

    async def _finish_forever(self) -> None:
        while True:
            await self._something_ended.wait()
            self._something_ended.clear()
            async with self._writing_back:
                await self._finish_batch()

    async def _finish_batch(self) -> None:
        """Write back all that is done so far, in one statement. In an outage it stays on the list, and leased."""
        finished, self._finished = self._finished, []
        returned, self._returned = self._returned, []
        if not finished and not returned:
            return
        try:
            async with self._store.read() as conn:
                ours = await finish_work(conn, finished, owner=self.owner)
                await release_work(conn, returned, owner=self.owner, delay_s=random.random())
        except (StoreUnavailable, Stale) as error:
            log.warning("work_not_written_back", items=len(finished) + len(returned), error=str(error))
            self._finished = finished + self._finished
            self._returned = returned + self._returned
            self._something_ended.set()
            await asyncio.sleep(OUTAGE_PAUSE_S)
            return
        for claim in [*returned, *(each.claim for each in finished)]:
            self._let_go(claim)
        for each in finished:
            if (each.claim.kind, each.claim.key) not in ours:
                log.info("work_lost_while_running", kind=each.claim.kind, key=each.claim.key)
        if returned or any(ours.values()):
            self._listener.wake()  # what was handed on may be due already

    async def _renew_forever(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            try:
                async with self._store.read() as conn:
                    await renew_work(conn, list(self._held.values()), owner=self.owner, lease_s=self._lease_s)
            except (StoreUnavailable, Stale) as error:
                log.warning("work_not_renewed", items=len(self._held), error=str(error))

    async def _drain(self, grace_s: float) -> None:
        """Let what is in hand end; then stop it and give it back."""
        self._stopping = True  # what waits for its lane is given back
        if self._tasks and grace_s > 0:
            await asyncio.wait(self._tasks, timeout=grace_s)
        late = list(self._tasks)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        async with self._writing_back:
            await self._finish_batch()
        try:
            async with self._store.read() as conn:
                await release_work(conn, list(self._held.values()), owner=self.owner)
        except (StoreUnavailable, Stale) as error:
            log.warning("work_left_to_its_lease", items=len(self._held), error=str(error))

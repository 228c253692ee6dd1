"""How does a commit wake the loops that wait for it? In memory at once, and other processes by NOTIFY.

A topic is a work kind, or `ledger` (rows want their place), `feed` (places were given), or `queue:<id>` (a pull agent
was offered a job). Whoever commits announces
its topics: listeners of the same process are woken directly; the others hear one NOTIFY per 10 ms at most, sent on
this room's own connection after the commit. Inside a data transaction NOTIFY would serialise all commits (measured:
4.8k a second instead of 13.4k).

A wake-up is a hint. It carries nothing, may be lost, and may be for nothing: after every (re)connect all listeners
are woken to look once, and whoever waits also looks once a second.

Source: core.md section 8.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Sequence
from typing import Any

import asyncpg

Connect = Callable[[], Coroutine[Any, Any, "asyncpg.Connection[asyncpg.Record]"]]

CHANNEL = "interlock"
NOTIFY_GAP_S = 0.01
PAYLOAD_MAX = 7_000
"""Characters of topics in one NOTIFY; PostgreSQL takes 8,000 bytes."""
RECONNECT_MAX_S = 5.0
ALIVE_EVERY_S = 30.0


class Listener:
    """Something to wait on. Woken once for any number of announcements in between."""

    __slots__ = ("_event", "topics")

    def __init__(self, topics: Collection[str]) -> None:
        self.topics = frozenset(topics)
        self._event = asyncio.Event()

    def wake(self) -> None:
        """Let the next (or current) `wait` return."""
        self._event.set()

    def clear(self) -> None:
        """Forget what came so far: call before looking, so that what comes while looking is not lost."""
        self._event.clear()

    async def wait(self, timeout_s: float) -> bool:
        """Wait until woken, `timeout_s` at most. Says whether it was woken."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        return self._event.is_set()


GIVEN_S = 4.0
"""So long a thing that somebody in a line was given is not given to another one."""


class Line(Listener):
    """Several who wait for the same topic, in the order they came. An announcement lets the first go and look.

    Why:    of 500 programs that wait for one queue, 499 would find the job taken by the one who was faster. Who looks
            and finds several says so (`release`), and as many more go, each with a number of its own.
    """

    __slots__ = ("_given", "_missed", "_waiting", "members")

    def __init__(self, topics: Collection[str]) -> None:
        super().__init__(topics)
        self._waiting: deque[asyncio.Future[int]] = deque()
        self._missed = False
        self._given: dict[str, float] = {}
        self.members = 0

    def wake(self) -> None:
        """Let the first go; while all of them look just now, the next one who would wait."""
        self._missed = not len(self)
        self.release(1, first=0)

    def release(self, number: int, *, first: int = 1) -> None:
        """Let some more go, numbered from `first`."""
        while number > 0 and self._waiting:
            one = self._waiting.popleft()
            if not one.done():
                one.set_result(first)
                first, number = first + 1, number - 1

    def pick(self, ids: Sequence[str], now_s: float) -> int | None:
        """Which of these things, by its place, is one's own: the first that nobody was given of late; None: none."""
        self._given = {each: at_s for each, at_s in self._given.items() if now_s - at_s < GIVEN_S}
        for place, each in enumerate(ids):
            if each not in self._given:
                self._given[each] = now_s
                return place
        return None

    async def turn(self, timeout_s: float) -> int | None:
        """Wait for one's turn. Gives one's number: 0 was woken by an announcement; None: the time is over."""
        if self._missed:
            self._missed = False
            return 0
        mine: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        try:
            async with asyncio.timeout(timeout_s):
                return await mine
        except TimeoutError:
            return None
        finally:
            mine.cancel()

    def __len__(self) -> int:
        return sum(not one.done() for one in self._waiting)


class Wakes:
    """The listeners of one process and its one connection for LISTEN and NOTIFY, made when first needed."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._me = secrets.token_hex(6)
        self._listeners: set[Listener] = set()
        self._lines: dict[str, Line] = {}
        self._unsent: set[str] = set()
        self._something_to_send = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.connected = False

    def listener(self, topics: Collection[str]) -> Listener:
        """Begin to listen. Hand it back with `drop`."""
        listener = Listener(topics)
        self._listeners.add(listener)
        self._ensure_connection()
        return listener

    @contextlib.contextmanager
    def in_line(self, topic: str) -> Iterator[Line]:
        """Wait with others for a topic; the line is there as long as anybody waits."""
        line = self._lines.get(topic)
        if line is None:
            line = self._lines[topic] = Line([topic])
            self._listeners.add(line)
            self._ensure_connection()
        line.members += 1
        try:
            yield line
        finally:
            line.members -= 1
            if not line.members:
                del self._lines[topic]
                self._listeners.discard(line)

    def let_all_go(self) -> None:
        """Let everybody who stands in a line look once more: this process is about to end."""
        for line in self._lines.values():
            line.release(len(line), first=0)

    def drop(self, listener: Listener) -> None:
        """Stop listening."""
        self._listeners.discard(listener)

    def announce(self, topics: Iterable[str]) -> None:
        """Wake whoever listens to one of these topics: here now, elsewhere within 10 ms. Never fails."""
        new = frozenset(topics)
        if new:
            self._wake_here(new)
            self._unsent |= new
            self._something_to_send.set()
            self._ensure_connection()

    async def close(self) -> None:
        """End the connection; what is unsent is left to the others' poll."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _wake_here(self, topics: frozenset[str] | None = None) -> None:
        for listener in tuple(self._listeners):
            if topics is None or not topics.isdisjoint(listener.topics):
                listener.wake()

    def _ensure_connection(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._stay_connected(), name="interlock-wakes")

    async def _stay_connected(self) -> None:
        pause_s = 0.05
        while True:
            conn: asyncpg.Connection[asyncpg.Record] | None = None
            try:
                conn = await self._connect()
                await conn.add_listener(CHANNEL, self._heard)
                self.connected = True
                self._wake_here()
                pause_s = 0.05
                await self._send_forever(conn)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, RECONNECT_MAX_S)
            finally:
                self.connected = False
                if conn is not None:
                    conn.terminate()

    async def _send_forever(self, conn: asyncpg.Connection[asyncpg.Record]) -> None:
        """Send what is announced; in silence, ask now and then whether the connection lives. Ends by raising."""
        gone = asyncio.Event()

        def note_end(_conn: object) -> None:
            gone.set()
            self._something_to_send.set()

        conn.add_termination_listener(note_end)
        while not gone.is_set():
            try:
                async with asyncio.timeout(ALIVE_EVERY_S):
                    await self._something_to_send.wait()
            except TimeoutError:
                await conn.execute("SELECT 1", timeout=5)
                continue
            self._something_to_send.clear()
            topics, self._unsent = self._unsent, set()
            for payload in payloads(topics):
                await conn.execute("SELECT pg_notify($1, $2)", CHANNEL, f"{self._me} {payload}", timeout=5)
            if topics:
                await asyncio.sleep(NOTIFY_GAP_S)
        raise ConnectionError("The connection that listens is gone.")

    def _heard(self, _conn: object, _pid: int, _channel: str, payload: object) -> None:
        sender, _, topics = str(payload).partition(" ")
        if sender != self._me:
            self._wake_here(frozenset(topics.split(",")))


def payloads(topics: Iterable[str]) -> Iterator[str]:
    """The topics in as few texts as NOTIFY takes."""
    part: list[str] = []
    for topic in sorted(topics):
        if part and sum(map(len, part)) + len(part) + len(topic) > PAYLOAD_MAX:
            yield ",".join(part)
            part = []
        part.append(topic)
    if part:
        yield ",".join(part)

"""How does a commit wake the loops that wait for it? In memory at once, and other processes by NOTIFY.

A topic is a work kind, or `ledger` (rows want their place) or `feed` (places were given). Whoever commits announces
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
from collections.abc import Callable, Collection, Coroutine, Iterable
from typing import Any

import asyncpg

Connect = Callable[[], Coroutine[Any, Any, "asyncpg.Connection[asyncpg.Record]"]]

CHANNEL = "interlock"
NOTIFY_GAP_S = 0.01
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


class Wakes:
    """The listeners of one process and its one connection for LISTEN and NOTIFY, made when first needed."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._me = secrets.token_hex(6)
        self._listeners: set[Listener] = set()
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
        for listener in self._listeners:
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
            if topics:
                payload = f"{self._me} {','.join(sorted(topics))}"
                await conn.execute("SELECT pg_notify($1, $2)", CHANNEL, payload, timeout=5)
                await asyncio.sleep(NOTIFY_GAP_S)
        raise ConnectionError("The connection that listens is gone.")

    def _heard(self, _conn: object, _pid: int, _channel: str, payload: object) -> None:
        sender, _, topics = str(payload).partition(" ")
        if sender != self._me:
            self._wake_here(frozenset(topics.split(",")))

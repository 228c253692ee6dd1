"""How does Interlock run a PostgreSQL of its own, and keep it through everything that happens to a process?

`EmbeddedPostgres(data_dir)` owns the database of one `interlock up`: it makes the cluster at the first start, starts
`postgres` as a child (no pg_ctl), watches it, starts it again when it dies, and stops it. `attach(data_dir)` finds the
running one from another process. All of it is one concept, a server kept alive, and so one file, though longer than
most; what it needs of the operating system is in `os_user.py`, which PostgreSQL it runs is in `binaries.py`.

**A thread, not a task.** All work is done by one thread that lives from start to stop. It is the parent of `postgres`,
and the kernel ends a child when its parent *thread* ends; it blocks where there is nothing to await (flock, initdb,
waiting for a process); and whoever starts it may use any event loop, or none.

**What may happen, and what is done**

    we are root                      PostgreSQL runs as the owner of the cluster, `nobody` for a new one (os_user.py)
    nobody cannot read the wheel     the wheel is copied beside the cluster's state (binaries.py)
    nobody cannot reach the data     the cluster lies in a state directory, see below
    the PID in postmaster.pid is     /proc says it is no server of this directory; the file stays (unlinking it under a live
      somebody else's now            server corrupts), and PG_GRANDPARENT_PID tells postgres to see through that one PID
    kill -9 of postgres              noticed within 0.1 s; its orphaned backends are ended, since they hold the shared memory
                                     that a new postmaster needs; then it is started again, with back-off if that fails
    kill -9 of Interlock             the kernel sends postgres SIGINT, a fast and clean stop. The next start waits for one that
                                     is still stopping, and adopts one that still runs (elsewhere than on Linux it does)
    kill -9 during initdb            initdb works in a neighbour directory, which is renamed when the cluster is complete
    a socket path over 107 bytes     the socket goes into a short directory, named by a hash of the cluster's path
    another major version            refused; the message says how to dump and restore
    a second `up`                    refused by a lock on the directory, held until our process is gone however it goes

A server is alive when it *answers*: a PID proves nothing. `ask` speaks the first message of the PostgreSQL protocol for
that.

**Where things lie.** In `DATA/postgres/`: `cluster/`, `run/` (the socket), `postgres.log`, `lock`, `server.json`. The
modes of the directories above are never changed. When `nobody` cannot get there (below root's 0700 home), `cluster/`
and `run/` lie in `/var/lib/interlock/<id>/` (else `/var/tmp/interlock/<id>/`), and `DATA/postgres/server.json` says so.
The id is random and stands only in that file: a data directory that was deleted and made again never finds its
predecessor's rows. If the recorded place is missing, starting is refused rather than an empty database made.
`belongs-to` in the state directory names DATA; `remove` deletes both. Inside a container, mount a volume that others
may enter (0711 is enough), else the rows lie outside it.

**Who may connect.** Authentication is `trust`, on a Unix socket in a 0700 directory of PostgreSQL's user, and no TCP.
So the user that runs it and root can connect, and they could read the files of the cluster anyway: `peer` with a map
would add a second list of the same accounts, that breaks for an account without a name. The role `interlock` owns
everything.

It deliberately does not: tune for size, archive, replicate, listen on a network. That is what INTERLOCK_DATABASE_URL is
for.

Source: DESIGN.md section 5; libraries.md section 1; PostgreSQL's src/backend/utils/init/miscinit.c (CreateLockFile) for
        the
lock file, and protocol chapter "Message Flow".
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import json
import logging
import os
import secrets
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGQUIT, Signals
from types import TracebackType
from typing import Self
from urllib.parse import quote

from interlock.model.errors import Conflict, Refused, StoreUnavailable
from interlock.store.binaries import PgBinaries, every_installation, find_binaries, readable_by
from interlock.store.os_user import OsUser, can_enter, current_user, owner_of, run_as, start_as, user_for_new_cluster

ROLE = "interlock"
DATABASE = "interlock"
PORT = 5432  # only a part of the socket's name
SOCKET_NAME = f".s.PGSQL.{PORT}"
SOCKET_PATH_BYTES_MAX = 103  # sun_path holds 108 bytes with the final zero on Linux, 104 elsewhere
STATE_ROOTS = (Path("/var/lib/interlock"), Path("/var/tmp/interlock"))  # noqa: S108 — ours alone, and checked for it
LOG_BYTES_MAX = 8 * 1024 * 1024

WATCH_EVERY_S = 0.1
PROBE_EVERY_S = 0.02
TRIM_EVERY_S = 10.0
RECOVERY_MAX_S = 600.0
STOP_TIMEOUT_S = 30.0
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


class Answer(Enum):
    """What a socket says to a client that knocks."""

    READY = "ready"
    STARTING = "starting"
    STOPPING = "stopping"
    NOBODY = "nobody"


class ServerState(Enum):
    """What the supervisor is doing. RESTARTING: the server died and does not answer yet; `last_failure` says why."""

    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the database of a data directory lies."""

    cluster: Path
    sockets: Path

    @property
    def socket(self) -> Path:
        return self.sockets / SOCKET_NAME

    def url(self, database: str = DATABASE) -> str:
        """Give the address for asyncpg and for libpq. It names everything, so that no PG* variable of the caller takes
        part.
        """
        return f"postgresql:///{database}?host={quote(str(self.sockets))}&port={PORT}&user={ROLE}"


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
        self.home = self.data_dir / "postgres"
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
        self._server: _Server | None = None
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
        return isinstance(self._server, _Adopted)

    async def start(self) -> Self:
        """Start the server, or adopt the one that is there; return when it answers.

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
        """Stop the server cleanly (fast shutdown; after 30 s not so cleanly) and give the directory free. Never
        fails.
        """
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
        if sys.platform == "win32":
            raise Refused(
                "The embedded PostgreSQL does not run on Windows; set INTERLOCK_DATABASE_URL.", code="NO_POSTGRES"
            )
        binaries = find_binaries(prefer=self._binaries_dir)
        self._make_home()
        self._lock(self.home)
        place = self._recorded() or self._make_cluster(binaries)
        if place.cluster.parent != self.home:
            self._lock(place.cluster.parent)  # a copied data directory leads to the same rows
        _refuse_other_major(place.cluster, binaries)
        user = owner_of(place.cluster)
        if not user.is_us and current_user().uid != 0:
            raise Refused(
                f"{place.cluster} belongs to the user {user.name}; run Interlock as that user or as root.",
                code="NOT_OURS",
            )
        if not user.is_us and not can_enter(user, place.cluster):
            raise Refused(
                f"PostgreSQL runs as {user.name}, who cannot get into {place.cluster}. Allow it to enter the directories above "
                f"(chmod o+x), or run Interlock as the user that owns them.",
                code="NOT_OURS",
            )
        self._user = user
        self._binaries = readable_by(binaries, user, copies=place.cluster.parent)
        self._place = place
        self._server = self._launch()
        self._record()

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
            except (StoreUnavailable, OSError) as failure:
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

    def _launch(self) -> _Server:
        """Give a server that answers: the one that is there, or a new one."""
        place = self._placed
        deadline = time.monotonic() + self._start_timeout_s
        while (pid := live_postmaster(place.cluster)) is not None:
            place = self._place = Place(place.cluster, sockets_of(place.cluster) or place.sockets)
            if ask(place.socket) is Answer.READY:
                # One that was just told to stop may still answer; so look twice.
                time.sleep(0.1)
                if ask(place.socket) is Answer.READY and live_postmaster(place.cluster) == pid:
                    _log.warning(
                        "PostgreSQL %s of an earlier Interlock still runs in %s; going on with it", pid, place.cluster
                    )
                    return _Adopted(pid, place.cluster)
            if time.monotonic() > deadline:
                raise StoreUnavailable(
                    f"PostgreSQL {pid} holds {place.cluster}, and neither answers nor ends. Look at {self.log}; "
                    f"`kill -QUIT {pid}` ends it without losing what was committed."
                )
            time.sleep(PROBE_EVERY_S)
        place = self._place = Place(place.cluster, self._socket_dir(place.cluster))
        while True:
            end_orphans(place.cluster)
            server = self._spawn(place)
            try:
                why = self._wait_until_it_answers(server, place, deadline)
            except BaseException:
                server.end(wait_s=5)
                raise
            if why is None:
                return server
            # A backend that outlived its postmaster holds the shared memory for a moment longer than /proc shows it.
            if "still in use" not in why or time.monotonic() > deadline:
                raise StoreUnavailable(f"PostgreSQL did not start in {place.cluster}. The end of {self.log}:\n{why}")
            time.sleep(0.2)

    def _spawn(self, place: Place) -> _Child:
        stale_pid = pid_in_lock_file(place.cluster)
        # The socket's own lock file has the same weakness. Its directory is ours alone and no server lives: it may go.
        place.socket.with_name(f"{SOCKET_NAME}.lock").unlink(missing_ok=True)
        settings = {**self._settings, "unix_socket_directories": str(place.sockets)}
        _trim_log(self.log)
        with self.log.open("ab") as log:
            return _Child(
                start_as(
                    self._user,
                    [self._binaries.postgres, "-D", place.cluster, *(f"--{k}={v}" for k, v in settings.items())],
                    signal_when_we_die=SIGINT,
                    output=log,
                    environment={"PG_GRANDPARENT_PID": str(stale_pid)} if stale_pid else {},
                )
            )

    def _wait_until_it_answers(self, server: _Child, place: Place, deadline: float) -> str | None:
        """Give None when it answers, and what its log says at the end if it ended instead."""
        log_began = self.log.stat().st_size
        recovery_deadline = time.monotonic() + RECOVERY_MAX_S
        while server.alive():
            answer = ask(place.socket)
            if answer is Answer.READY:
                return None
            if self._stop.is_set():
                raise StoreUnavailable("Stopped before PostgreSQL answered.")
            # Recovery after a crash takes what it takes, as long as it says that it works on it.
            if time.monotonic() > (recovery_deadline if answer is Answer.STARTING else deadline):
                raise StoreUnavailable(
                    f"PostgreSQL does not answer on {place.socket}:\n{_tail(self.log, since=log_began)}"
                )
            time.sleep(PROBE_EVERY_S)
        return _tail(self.log, since=max(0, log_began - 4096)) or server.epitaph()

    # --- the directory ------------------------------------------------------------------------------------------------

    @property
    def log(self) -> Path:
        """The server's log; at most LOG_BYTES_MAX, and as much again in `postgres.log.1`."""
        return self.home / "postgres.log"

    @property
    def _placed(self) -> Place:
        assert self._place is not None  # noqa: S101 — set before anything that asks
        return self._place

    def _make_home(self) -> None:
        """Make DATA and DATA/postgres. Under root, those that are new or empty let others through, but not look:
        PostgreSQL is one.
        """
        mode = 0o711 if current_user().uid == 0 else 0o700
        try:
            for folder in (self.data_dir, self.home):
                folder.mkdir(parents=True, exist_ok=True)
                if not any(folder.iterdir()):
                    folder.chmod(mode)
        except OSError as error:
            raise Refused(f"{self.home} cannot be made: {error.strerror}.", code="NO_DATA_DIR") from error

    def _lock(self, folder: Path) -> None:
        """Own a directory until this process ends, however it ends: the kernel drops the lock with the file."""
        path = folder / "lock"
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Refused(
                f"{path} cannot be opened: {error.strerror}. Does another user own it?", code="NOT_OURS"
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(fd, 32).decode(errors="replace").strip()
            os.close(fd)
            raise Conflict(
                f"Another `interlock up`{f' (process {owner})' if owner else ''} owns {self.data_dir}. Stop it, or give this one "
                "a directory of its own with --data. `interlock api` and `interlock worker` join the running one.",
                code="DATA_DIR_OWNED",
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._lock_fds.append(fd)

    def _recorded(self) -> Place | None:
        """Give the place that an earlier start wrote down; None before the first.

        Fails: `Refused` if the cluster is gone from where it was: an empty one in its stead would look like lost rows.
        """
        place = read_place(self.data_dir)
        if place is None:
            inside = self.home / "cluster"
            return Place(inside, self.home / "run") if (inside / "PG_VERSION").exists() else None
        if not (place.cluster / "PG_VERSION").exists():
            raise Refused(
                f"{self.home / 'server.json'} says that the database lies in {place.cluster}, where there is none. Put it back, or "
                f"delete {self.home} to begin with an empty one.",
                code="CLUSTER_MISSING",
            )
        return place

    def _record(self) -> None:
        """Write down where the server is, for `attach` and for the next start. Paths inside are relative: DATA may
        move.
        """
        place = self._placed
        inside = place.cluster.parent == self.home
        record = {
            "cluster": "cluster" if inside else str(place.cluster),
            "sockets": str(place.sockets.relative_to(self.home))
            if place.sockets.is_relative_to(self.home)
            else str(place.sockets),
            "version": self._binaries.version,
        }
        unfinished = self.home / "server.json.new"
        unfinished.write_text(json.dumps(record, indent=2) + "\n")
        unfinished.replace(self.home / "server.json")

    def _make_cluster(self, binaries: PgBinaries) -> Place:
        """Make the cluster with role and database, in a neighbour directory that is renamed when it is complete."""
        user = user_for_new_cluster()
        keep = self.home if user.is_us or can_enter(user, self.home) else self._new_state_dir(user)
        for leftover in keep.glob("cluster.*.new"):
            shutil.rmtree(leftover, ignore_errors=True)
        unfinished = keep / f"cluster.{secrets.token_hex(4)}.new"
        unfinished.mkdir(mode=0o700)
        try:
            if not user.is_us:
                os.chown(unfinished, user.uid, user.gid)
            programs = readable_by(binaries, user, copies=keep)
            _initdb(programs, user, unfinished)
            unfinished.rename(keep / "cluster")
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        self._place = Place(keep / "cluster", keep / "run")
        self._binaries = programs
        self._record()
        return self._place

    def _state_root(self, user: OsUser) -> Path:
        """Give a directory outside DATA that `user` can go into, for clusters and copies of binaries."""
        tried = []
        for root in self._state_roots:
            try:
                _own_folder(root, current_user(), 0o711)
            except (OSError, Refused) as error:
                tried.append(f"{root}: {error}")
                continue
            if can_enter(user, root):
                return root
            tried.append(f"{root}: {user.name} cannot enter it")
        raise Refused(
            f"PostgreSQL does not run as root, and {user.name} can reach neither {self.home} nor another place ({'; '.join(tried)}). "
            "Give a --data directory that others may enter (chmod o+x on it and those above), or run Interlock as an ordinary user.",
            code="NO_DATA_DIR",
        )

    def _new_state_dir(self, user: OsUser) -> Path:
        root = self._state_root(user)
        folder = root / secrets.token_hex(8)
        folder.mkdir()
        folder.chmod(0o711)
        (folder / "belongs-to").write_text(f"{self.data_dir}\n")
        _log.warning("%s cannot reach %s: the database lies in %s", user.name, self.home, folder)
        for other in root.glob("*/belongs-to"):
            if other.parent != folder and other.read_text().strip() == str(self.data_dir):
                _log.warning("%s holds the database of an earlier directory at %s", other.parent, self.data_dir)
        return folder

    def _socket_dir(self, cluster: Path) -> Path:
        """Give a 0700 directory of PostgreSQL's user whose socket path the kernel takes; the cluster's neighbour if it
        does.
        """
        beside = cluster.parent / "run"
        # asyncpg and libpq read a comma in `host` as a list of hosts.
        if len(os.fsencode(beside / SOCKET_NAME)) <= SOCKET_PATH_BYTES_MAX and "," not in str(beside):
            return _own_folder(beside, self._user, 0o700)
        name = hashlib.sha256(os.fsencode(cluster)).hexdigest()[:16]
        failures = []
        for root in self._runtime_roots or _runtime_roots():
            try:
                if not root.is_dir():
                    root.mkdir(mode=0o711)
                return _own_folder(root / f"interlock-{name}", self._user, 0o700)
            except (OSError, Refused) as error:
                failures.append(str(error))
        raise Refused(
            f"The path {beside / SOCKET_NAME} is longer than a socket's may be, and no short directory can be made for it "
            f"({'; '.join(failures)}). Give a shorter --data.",
            code="NO_DATA_DIR",
        )


# --- from other processes ---------------------------------------------------------------------------------------------


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


def read_place(data_dir: Path) -> Place | None:
    """Read where the database of a data directory lies; None if it has none, or none that this user may see."""
    home = data_dir.absolute() / "postgres"
    try:
        record = json.loads((home / "server.json").read_text())
        return Place(cluster=home / record["cluster"], sockets=home / record["sockets"])
    except (FileNotFoundError, PermissionError, NotADirectoryError):
        return None
    except (ValueError, KeyError) as error:
        raise Refused(f"{home / 'server.json'} cannot be read: {error}", code="CLUSTER_MISSING") from error


def remove(data_dir: Path) -> None:
    """Delete the database of a data directory, wherever it lies.

    Fails: `Conflict` while it runs.
    """
    place = read_place(data_dir)
    if place is not None and live_postmaster(place.cluster) is not None:
        raise Conflict(f"PostgreSQL runs in {place.cluster}; stop it first.", code="DATA_DIR_OWNED")
    home = data_dir.absolute() / "postgres"
    if place is not None and place.cluster.parent != home:
        shutil.rmtree(place.cluster.parent, ignore_errors=True)
    if place is not None and not place.sockets.is_relative_to(home):
        shutil.rmtree(place.sockets, ignore_errors=True)
    shutil.rmtree(home, ignore_errors=True)


# --- is it there? -----------------------------------------------------------------------------------------------------


def ask(socket_path: Path, *, timeout_s: float = 2.0) -> Answer:
    """Knock at a server: say hello as a client would and read the first word of the answer.

    Why: neither a PID nor a socket file says that anybody is at home, and a driver would need an event loop.
    """
    hello = (
        b"\0\x03\0\0" + b"".join(f"{k}\0{v}\0".encode() for k, v in (("user", ROLE), ("database", DATABASE))) + b"\0"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
        knock.settimeout(timeout_s)
        try:
            knock.connect(str(socket_path))
            knock.sendall(struct.pack("!i", len(hello) + 4) + hello)
            said = knock.recv(4096)
        except OSError:
            return Answer.NOBODY
        if said[:1] == b"R":
            with contextlib.suppress(OSError):
                knock.sendall(b"X\0\0\0\x04")  # goodbye; a client that only hangs up is a line in the server's log
            return Answer.READY
    if b"shutting down" in said:
        return Answer.STOPPING
    if b"C57P03" in said:  # cannot_connect_now: starting up, or recovering from a crash
        return Answer.STARTING
    return Answer.READY if said[:1] == b"E" else Answer.NOBODY  # "too many clients" is an answer, too


def pid_in_lock_file(cluster: Path) -> int | None:
    """Read the PID that `postmaster.pid` names, whoever has it now."""
    try:
        return abs(int((cluster / "postmaster.pid").read_text().split("\n", 1)[0]))
    except (OSError, ValueError):
        return None


def sockets_of(cluster: Path) -> Path | None:
    """Read where the server of a cluster put its socket."""
    try:
        lines = (cluster / "postmaster.pid").read_text().split("\n")
    except OSError:
        return None
    return Path(lines[4]) if len(lines) > 4 and lines[4] else None


def live_postmaster(cluster: Path) -> int | None:
    """Give the PID of the server that runs in `cluster`, if one does.

    Why: after a crash or a container's restart the PID in the file is often somebody else's. A server's working
         directory is its cluster; and a zombie, which a careless PID 1 keeps for ever, is dead though kill(pid, 0) says
         otherwise.
    """
    pid = pid_in_lock_file(cluster)
    return pid if pid is not None and _serves(pid, cluster) else None


def end_orphans(cluster: Path, *, wait_s: float = 5.0) -> None:
    """End backends that outlived their postmaster. Only called when it is known to be dead.

    Why: they keep the old shared memory, so no new postmaster starts, and a backend in a long query notices the death
         only at its end. Nothing is lost: what they did not commit is rolled back by recovery.
    """
    began = time.monotonic()
    while orphans := [pid for pid in _pids() if _serves(pid, cluster)]:
        waited_s = time.monotonic() - began
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, SIGQUIT if waited_s < wait_s / 2 else SIGKILL)
        if waited_s > wait_s:
            return
        time.sleep(PROBE_EVERY_S)


def _serves(pid: int, cluster: Path) -> bool:
    """True if `pid` is a live PostgreSQL process of this cluster."""
    if not sys.platform.startswith("linux"):
        said = subprocess.run(
            ["ps", "-o", "stat=,command=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout
        return "postgres" in said and str(cluster) in said and not said.startswith("Z")
    proc = Path(f"/proc/{pid}")
    try:
        state = (proc / "stat").read_text().rpartition(")")[2].split()[0]
        program = (proc / "exe").readlink().name
        return state not in "ZX" and program.startswith("postgres") and (proc / "cwd").readlink() == cluster.resolve()
    except (OSError, IndexError):
        return False  # gone meanwhile, or another user's, which ours cannot be


def _pids() -> list[int]:
    if not sys.platform.startswith("linux"):
        return []
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 — names alone, thousands of them


# --- a server that runs -----------------------------------------------------------------------------------------------


class _Server(ABC):
    """A running postmaster, ours or adopted."""

    pid: int

    @abstractmethod
    def alive(self) -> bool: ...

    def epitaph(self) -> str:
        """How it ended, for a sentence that begins with "PostgreSQL"."""
        return "ended"

    def end(self, *, wait_s: float = STOP_TIMEOUT_S) -> None:
        """Stop it: fast (sessions are ended, a checkpoint is written), then immediately (recovery at the next start),
        then by force.
        """
        for stop, patience_s in ((SIGINT, wait_s), (SIGQUIT, 5.0), (SIGKILL, 5.0)):
            if not self.alive():
                return
            if stop is not SIGINT:
                _log.error("PostgreSQL %s did not stop within its time; sending %s", self.pid, stop.name)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, stop)
            deadline = time.monotonic() + patience_s
            while self.alive() and time.monotonic() < deadline:
                time.sleep(PROBE_EVERY_S)


class _Child(_Server):
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    def alive(self) -> bool:
        return self._process.poll() is None

    def epitaph(self) -> str:
        code = self._process.poll()
        return (
            f"was ended by {Signals(-code).name}" if code is not None and code < 0 else f"ended with exit code {code}"
        )


class _Adopted(_Server):
    def __init__(self, pid: int, cluster: Path) -> None:
        self.pid = pid
        self._cluster = cluster

    def alive(self) -> bool:
        return _serves(self.pid, self._cluster)


# --- small parts ------------------------------------------------------------------------------------------------------


def _initdb(programs: PgBinaries, user: OsUser, cluster: Path) -> None:
    """Make an empty cluster with the role as its superuser, and the database.

    Why: the builtin C.UTF-8 (17 and later) sorts the same on every machine and never changes under an index, as the C
         library's and ICU's do; before 17 it is the C library's, and where that has none, C. The database is made by a
         server in single-user mode, so that no cluster without it is ever renamed into its place.
    """
    if programs.version_major >= 17:
        locales: list[list[str]] = [["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]]
    else:
        locales = [["--locale=C.UTF-8"], ["--locale=C"]]
    for locale in locales:
        code, said = run_as(
            user,
            [programs.initdb, "-D", cluster, "-U", ROLE, "--auth=trust", "--encoding=UTF8", "--lc-messages=C", *locale],
        )
        if code == 0 or "locale" not in said:
            break
    if code == 0:
        single = [programs.postgres, "--single", "-j", "-D", cluster, "-c", "exit_on_error=on", "template1"]
        code, said = run_as(user, single, stdin=f"CREATE DATABASE {DATABASE};\n\n".encode())
    if code:
        raise StoreUnavailable(f"The database could not be set up in {cluster}:\n{said.strip()}")


def _refuse_other_major(cluster: Path, binaries: PgBinaries) -> None:
    """A PostgreSQL reads no cluster of another major version; say how to carry the rows over."""
    major = int((cluster / "PG_VERSION").read_text().strip().split(".")[0])
    if major == binaries.version_major:
        return
    other = next((found.bin_dir for found in every_installation() if found.version_major == major), None)
    where = (
        f"INTERLOCK_POSTGRES_BIN={other}"
        if other
        else f"INTERLOCK_POSTGRES_BIN set to the bin directory of a PostgreSQL {major}"
    )
    raise Refused(
        f"The database in {cluster} was made by PostgreSQL {major}; the one to run ({binaries.source}) is "
        f"{binaries.version}. Save it with `interlock db dump FILE` under {where}, move {cluster.parent} away, and load it with "
        "`interlock db restore FILE`.",
        code="OTHER_POSTGRES_MAJOR",
    )


def _own_folder(folder: Path, user: OsUser, mode: int) -> Path:
    """Make a folder that belongs to `user` with this mode, or see that it is so.

    Why:   in a shared place (/tmp) somebody may have made it first, to read along.
    Fails: `Refused` if it is a link, or somebody else's and we are not root in a place of our own.
    """
    try:
        folder.mkdir(mode=0o700)
        if not user.is_us:
            os.chown(folder, user.uid, user.gid, follow_symlinks=False)
        folder.chmod(mode)
    except FileExistsError:
        found = folder.lstat()
        if folder.is_symlink() or not folder.is_dir() or found.st_uid != user.uid or found.st_mode & 0o022:
            raise Refused(f"{folder} exists and is not a directory of {user.name} alone.", code="NOT_OURS") from None
        if found.st_mode & 0o777 != mode and mode == 0o700:
            folder.chmod(mode)
    return folder


def _runtime_roots() -> tuple[Path, ...]:
    uid = current_user().uid
    own = Path("/run/interlock") if uid == 0 else Path(f"/run/user/{uid}")
    return (own, Path("/tmp"))  # noqa: S108 — the folder in it is checked by _own_folder


def _trim_log(log: Path) -> None:
    """Keep the log's size bounded: copy it away and cut it. The server appends, so it goes on at the new end."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LOG_BYTES_MAX:
            with log.open("rb") as written, log.with_name(f"{log.name}.1").open("wb") as kept:
                written.seek(-LOG_BYTES_MAX, os.SEEK_END)
                shutil.copyfileobj(written, kept)
            os.truncate(log, 0)


def _tail(log: Path, *, since: int, lines_max: int = 20) -> str:
    with contextlib.suppress(OSError), log.open("rb") as written:
        written.seek(since if log.stat().st_size >= since else 0)
        return "\n".join(written.read(256 * 1024).decode(errors="replace").splitlines()[-lines_max:])
    return ""

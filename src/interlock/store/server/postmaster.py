"""Is a server there, which process is it, and how is it ended?

A server is alive when it *answers*: a PID proves nothing, since a container's restart gives the PID in `postmaster.pid`
to somebody else, and a socket file stays behind. `ask` speaks the first message of the PostgreSQL protocol; a driver
would need an event loop, which the supervisor's thread has none of.

`postmaster.pid` is never unlinked here: under a live server that corrupts the cluster. `live_postmaster` looks in /proc
who has the PID now.

Source: PostgreSQL's protocol chapter "Message Flow", and src/backend/utils/init/miscinit.c (CreateLockFile).
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from enum import Enum
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGQUIT, Signals

from interlock.store.server.place import DATABASE, ROLE

PROBE_EVERY_S = 0.02
STOP_TIMEOUT_S = 30.0

_log = logging.getLogger("interlock.postgres")


class Answer(Enum):
    """What a socket says to a client that knocks."""

    READY = "ready"
    STARTING = "starting"
    STOPPING = "stopping"
    NOBODY = "nobody"


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
    return pid if pid is not None and serves(pid, cluster) else None


def end_orphans(cluster: Path, *, wait_s: float = 5.0) -> None:
    """End backends that outlived their postmaster. Only called when it is known to be dead.

    Why: they keep the old shared memory, so no new postmaster starts, and a backend in a long query notices the death
         only at its end. Nothing is lost: what they did not commit is rolled back by recovery.
    """
    began = time.monotonic()
    while orphans := [pid for pid in _pids() if serves(pid, cluster)]:
        waited_s = time.monotonic() - began
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, SIGQUIT if waited_s < wait_s / 2 else SIGKILL)
        if waited_s > wait_s:
            return
        time.sleep(PROBE_EVERY_S)


def serves(pid: int, cluster: Path) -> bool:
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


class Server(ABC):
    """A running postmaster, ours or adopted."""

    pid: int

    @abstractmethod
    def alive(self) -> bool: ...

    def epitaph(self) -> str:
        """How it ended, for a sentence that begins with "PostgreSQL"."""
        return "ended"

    def end(self, *, wait_s: float = STOP_TIMEOUT_S) -> None:
        """Stop it: fast (sessions end, with a checkpoint), else at once (the next start recovers), else killed."""
        for stop, patience_s in ((SIGINT, wait_s), (SIGQUIT, 10.0), (SIGKILL, 5.0)):
            if not self.alive():
                return
            if stop is not SIGINT:
                _log.error("PostgreSQL %s did not stop within its time; sending %s", self.pid, stop.name)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, stop)
            deadline = time.monotonic() + patience_s
            while self.alive() and time.monotonic() < deadline:
                time.sleep(PROBE_EVERY_S)


class Child(Server):
    """One that we started: its parent is the supervisor's thread."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid

    def alive(self) -> bool:
        return self._process.poll() is None

    def epitaph(self) -> str:
        code = self._process.poll()
        return f"was ended by {Signals(-code).name}" if code and code < 0 else f"ended with exit code {code}"


class Adopted(Server):
    """One that an earlier Interlock started and left behind."""

    def __init__(self, pid: int, cluster: Path) -> None:
        self.pid = pid
        self._cluster = cluster

    def alive(self) -> bool:
        return serves(self.pid, self._cluster)

"""Who runs a command when Interlock may die at any moment? This small program, in a session of its own.

It is started with a run's folder and leaves by double fork, so it belongs to nobody and no signal meant for Interlock
reaches it. It imports nothing but the standard library (and nothing of ours): it starts in milliseconds and cannot be
broken by an upgrade of Interlock while it runs.

The folder is the whole interface (whoever starts a run writes `spec.json` and `cancel`, and reads everything):

    spec.json      what to run: argv, env (absent: as the runner's own), cwd, stdin (absent: nothing), timeoutS
                   (absent: as long as it likes), graceS, outputBytesMax
    lock           flock of the one runner at work; holds the runner's pid
    process.json   pid, kernel start time and boot of the command; made once, by its own process, just before exec
    output         head and tail of what it wrote, renewed while it runs
    cancel         somebody asked for the end
    lease          until when the run may go on, if nobody writes it anew; in seconds of CLOCK_BOOTTIME
    exit.json      how it ended; appears whole, by rename

Exactly one run. Any number of runners may be started for one folder. Only the holder of the lock goes on, only while
there is neither `process.json` nor `exit.json`; and the forked process shares the lock until it becomes the command. So
whoever takes the lock and finds no `process.json` knows that the command never began and never will by another hand. A
`process.json` without a lock and without a live process means that the runner died, and that the command's end is not
known.

Source: core.md section 5 (keyed agents); flock(2), execve(2), proc(5) field 22.
"""

# os.path and not pathlib: its import costs 3 ms of a start of 20 ms (measured).
# ruff: noqa: PTH104, PTH108, PTH110, PTH118, PTH123

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import signal
import sys
import time
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess

HEAD_BYTES = 16 * 1024
TAIL_BYTES = 48 * 1024
LOCK_TRIES = 50
TICK_S = 0.1
OUTPUT_EVERY_S = 0.5


def main(folder: str) -> int:
    """Take the lock, detach, run. A second runner of the same folder ends here and changes nothing."""
    lock = take_lock(folder)
    if lock is None or is_begun(folder):
        return 0
    if os.fork():
        os._exit(0)  # the child holds the same lock: whoever waited for us now finds it taken
    os.ftruncate(lock, 0)
    os.write(lock, json.dumps(identity(os.getpid())).encode())
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # a handler and not SIG_IGN, which the command would inherit
    try:
        ending = _run(folder)
    except BaseException as broken:  # noqa: BLE001 - whatever happens, the job must get an end with a reason
        ending = _ending("runner", f"The runner of the command failed: {broken!r}")
    write_whole(folder, "exit.json", ending)
    return 0


def take_lock(folder: str) -> int | None:
    """The lock's descriptor, or None where a runner is at work.

    Why:   an observer takes the lock for some microseconds to see whether it is free, so one refusal proves nothing.
    """
    for _ in range(LOCK_TRIES):
        lock = try_lock(folder)
        if lock is not None:
            return lock
        time.sleep(0.01)
    return None


def try_lock(folder: str) -> int | None:
    """The lock's descriptor if it is free at this moment. The descriptor's close gives it back."""
    lock = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def is_begun(folder: str) -> bool:
    """Whether the command was begun by somebody, or ended without."""
    return _exists(folder, "process.json") or _exists(folder, "exit.json")


def identity(pid: int) -> dict[str, Any]:
    """What names a process for ever: its pid, its kernel start time (clock ticks since boot) and the boot."""
    return {"pid": pid, "startTicks": start_ticks(pid), "boot": boot_id()}


def start_ticks(pid: int) -> int | None:
    """Field 22 of /proc/<pid>/stat, or None where the process is gone, a zombie, or the system has no /proc."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {b"Z", b"X"} else int(fields[19])


def boot_id() -> str | None:
    """This boot of the machine: start ticks of another boot mean nothing."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as text:
            return text.read().strip()
    except OSError:
        return None


def hold_lease(folder: str, until_s: float) -> None:
    """Let the run go on until then, in seconds of CLOCK_BOOTTIME."""
    write_whole(folder, "lease", {"untilS": until_s})


def lease_left_s(folder: str) -> float:
    """How long a run may still go on: without a lease, for ever.

    Why:    whoever renews it may be killed; the command must end in time all the same, because somebody else may get
            its work. Time that the machine sleeps through counts: CLOCK_BOOTTIME.
    """
    try:
        with open(os.path.join(folder, "lease"), "rb") as file:
            until_s = float(json.load(file)["untilS"])
    except FileNotFoundError:
        return float("inf")
    return until_s - time.clock_gettime(time.CLOCK_BOOTTIME)


def write_whole(folder: str, name: str, content: dict[str, Any], *, exclusive: bool = False) -> None:
    """Write a JSON file that is either there in full or not at all, also after a power cut.

    Fails: FileExistsError when `exclusive` and it is there.
    """
    path = os.path.join(folder, name)
    part = f"{path}.{os.urandom(6).hex()}.part"  # several may write one file at once; the whole one wins
    with open(part, "wb", opener=_private) as file:
        file.write(json.dumps(content).encode())
        file.flush()
        os.fsync(file.fileno())
    if exclusive:
        try:
            os.link(part, path)
        finally:
            os.unlink(part)
    else:
        os.rename(part, path)
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _run(folder: str) -> dict[str, Any]:
    with open(os.path.join(folder, "spec.json"), "rb") as file:
        spec = json.load(file)
    if _exists(folder, "cancel"):
        return _ending("cancelled", "Cancelled before the command began.")
    import subprocess  # noqa: PLC0415 - slow to import, and here nobody waits for it any more

    began = time.monotonic()
    began_at = _now()
    try:
        process = subprocess.Popen(
            spec["argv"],
            stdin=open(spec["stdin"], "rb") if spec.get("stdin") else subprocess.DEVNULL,  # noqa: SIM115 - the command's
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=spec["cwd"],
            env=spec.get("env"),
            start_new_session=True,
            preexec_fn=lambda: write_whole(folder, "process.json", identity(os.getpid()), exclusive=True),  # noqa: PLW1509 - one thread
        )
    except OSError as missing:
        return _ending("notStarted", _why_not_started(spec, missing))
    output = Output(os.path.join(folder, "output"))
    ending = _follow(folder, spec, process, output, began)
    ending |= {
        "startedAt": began_at,
        "durationMs": round((time.monotonic() - began) * 1000),
        "outputBytes": output.total,
    }
    return ending


def _follow(
    folder: str, spec: dict[str, Any], process: subprocess.Popen[bytes], output: Output, began: float
) -> dict[str, Any]:
    """Collect output until the command ends, or until it must be ended.

    Why:   the end of the command is its process's end, not the pipe's: a service that it left behind may hold the pipe
    open.
    """
    stopped: dict[str, Any] | None = None
    kill_at: float | None = None
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    os.set_blocking(pipe, False)
    with selectors.DefaultSelector() as ready:
        ready.register(pipe, selectors.EVENT_READ)
        with contextlib.suppress(OSError, AttributeError):
            ready.register(os.pidfd_open(process.pid), selectors.EVENT_READ)
        while process.poll() is None:
            ready.select(TICK_S)
            if not output.read(pipe) and output.is_closed() and pipe in ready.get_map():
                ready.unregister(pipe)
            output.save_sometimes()
            now = time.monotonic()
            if stopped is None:
                stopped = _why_stop(folder, spec, output, lasted_s=now - began, asked=bool(asked))
                if stopped is not None:
                    _signal_group(process.pid, signal.SIGTERM)
                    kill_at = now + spec["graceS"]
            elif kill_at is not None and now >= kill_at:
                _signal_group(process.pid, signal.SIGKILL)
                kill_at = now + 1.0
    if stopped is not None:
        _signal_group(process.pid, signal.SIGKILL)  # what is left of its group
    while output.read(pipe):
        if output.total > spec["outputBytesMax"] + HEAD_BYTES + TAIL_BYTES:
            break  # somebody who stayed behind is still writing
    output.save()
    return _how_it_ended(process.returncode) if stopped is None else stopped | _status(process.returncode)


def _why_stop(
    folder: str, spec: dict[str, Any], output: Output, *, lasted_s: float, asked: bool
) -> dict[str, Any] | None:
    if spec.get("timeoutS") is not None and lasted_s >= spec["timeoutS"]:
        return _ending("timeout", f"The command did not end within {spec['timeoutS']:g} s and was stopped.")
    if output.total > spec["outputBytesMax"]:
        return _ending("output", f"The command wrote more than {spec['outputBytesMax']} bytes and was stopped.")
    if _exists(folder, "cancel"):
        return _ending("cancelled", "Cancelled: the command was stopped.")
    if lease_left_s(folder) <= 0:
        return _ending("lease", "The lease was not renewed in time: the command was stopped.")
    if asked:
        return _ending("runner", "The command was stopped because its runner was told to end (SIGTERM).")
    return None


def _how_it_ended(code: int) -> dict[str, Any]:
    if code == 0:
        return _ending("exit", "The command ended with exit status 0.") | _status(code)
    if code > 0:
        return _ending("exit", f"The command ended with exit status {code}.") | _status(code)
    return _ending("signal", f"The command was ended by {_signal_name(-code)}.") | _status(code)


def _status(code: int) -> dict[str, Any]:
    return {"exitCode": code} if code >= 0 else {"signal": _signal_name(-code)}


def _ending(reason: str, message: str) -> dict[str, Any]:
    return {"reason": reason, "message": message, "finishedAt": _now()}


def _why_not_started(spec: dict[str, Any], missing: OSError) -> str:
    """Python blames the program or the folder by `filename`; both deserve a plain sentence."""
    name = spec["argv"][0]
    if missing.filename == spec["cwd"] and spec["cwd"] != name:
        return f"The command could not start: its folder {spec['cwd']} cannot be entered ({missing.strerror})."
    if isinstance(missing, FileNotFoundError):
        return f"The command could not start: there is no program `{name}`."
    return f"The command could not start: `{name}`: {missing.strerror}."


def _signal_group(group: int, number: int) -> None:
    """The group is named after the command's pid, which cannot be taken again while the group has a member."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _exists(folder: str, name: str) -> bool:
    return os.path.exists(os.path.join(folder, name))


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class Output:
    """The first and the last bytes of what a command wrote. Memory and file stay bounded whatever it writes."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.total = 0
        self._closed = False
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._saved_total = 0
        self._saved = time.monotonic()

    def read(self, pipe: int) -> bool:
        """Take what is there now. False when there was nothing."""
        try:
            part = os.read(pipe, 65536)
        except BlockingIOError:
            return False
        if not part:
            self._closed = True
            return False
        self.total += len(part)
        room = HEAD_BYTES - len(self._head)
        self._head += part[:room] if room > 0 else b""
        rest = part[max(room, 0) :]
        if rest:
            self._tail.append(rest)
            self._tail_bytes += len(rest)
            while self._tail_bytes - len(self._tail[0]) >= TAIL_BYTES:
                self._tail_bytes -= len(self._tail.popleft())
        return True

    def is_closed(self) -> bool:
        """Whether nobody can write any more."""
        return self._closed

    def save_sometimes(self) -> None:
        """Renew the file while the command runs, so that people can watch it."""
        now = time.monotonic()
        if self.total != self._saved_total and now - self._saved >= OUTPUT_EVERY_S:
            self.save()
            self._saved = now

    def save(self) -> None:
        tail = b"".join(self._tail)[-TAIL_BYTES:]
        left_out = self.total - len(self._head) - len(tail)
        middle = f"\n[... {left_out} bytes left out ...]\n".encode() if left_out > 0 else b""
        part = f"{self.path}.part"
        with open(part, "wb", opener=_private) as file:
            file.write(bytes(self._head) + middle + tail)
        os.rename(part, self.path)
        self._saved_total = self.total


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

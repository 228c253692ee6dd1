"""`interlock up` as a process: it starts, says where it is, survives being killed, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from interlock.store import embedded

pytestmark = pytest.mark.e2e

PATIENCE_S = 30.0
KEY = "00112233445566ff." + "0f" * 32


class Up:
    """One `interlock up` on a data directory; it may be started again."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.log = data.with_suffix(".log")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **settings: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("INTERLOCK_")}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "interlock.cli", "up", "--port", "0", "--data", str(self.data)],
                env={**kept, **settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait(lambda: self.address() is not None)

    def address(self) -> str | None:
        """Where it listens, once it does."""
        with contextlib.suppress(OSError, ValueError):
            noted = json.loads((self.data / "up.json").read_text())
            return noted["url"] if self.process and noted["pid"] == self.process.pid else None
        return None

    def wait(self, true: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < deadline, self.said()
            assert self.process is not None
            assert self.process.poll() is None, self.said()
            time.sleep(0.05)

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"{self.address()}{path}", timeout=5) as answer:
            return answer.read()

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def ended(self, *, within_s: float = PATIENCE_S) -> int:
        assert self.process is not None
        return self.process.wait(timeout=within_s)

    def workers(self) -> list[int]:
        """The worker processes of this directory, whoever their parent is by now."""
        wanted = f"INTERLOCK_DATA={self.data.absolute()}".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (process / "cmdline").read_bytes().split(b"\0")
                if b"worker" in words and wanted in (process / "environ").read_bytes().split(b"\0"):
                    found.append(int(process.name))
        return found

    def servers(self) -> list[int]:
        """The PostgreSQL of this directory."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                folder = (process / "cwd").readlink()
                if folder.is_relative_to(self.data) and b"postgres" in (process / "cmdline").read_bytes():
                    found.append(int(process.name))
        return found

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        deadline = time.monotonic() + PATIENCE_S
        while self.servers() and time.monotonic() < deadline:
            time.sleep(0.05)


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for this signal (proc(5), SigCgt)."""
    status = Path(f"/proc/{pid}/status").read_text()
    mask = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(mask, 16) >> (number - 1) & 1)


@pytest.fixture(scope="module")
def up_for_all(folder_for_all: Callable[[], Path]) -> Iterator[Up]:
    """One that stays up, for the tests that leave it so; a key and a workspace are given to it."""
    data = folder_for_all() / "data"
    made = Up(data)
    made.start(INTERLOCK_BOOTSTRAP_API_KEY=KEY, INTERLOCK_BOOTSTRAP_WORKSPACE="shop")
    yield made
    made.close()
    embedded.remove(data)


@pytest.fixture
def up(data_dir: Path) -> Iterator[Up]:
    made = Up(data_dir)
    yield made
    made.close()


def test_first_start_prints_the_key_once_and_sigterm_ends_it_cleanly(up):
    up.start()
    assert up.said().count("API key") == 1
    assert (up.data / "up.json").stat().st_mode & 0o777 == 0o600
    assert json.loads(up.get("/api/healthz"))["status"] == "ok"
    assert b"interlock_round_seconds_bucket" in up.get("/metrics")
    up.wait(up.workers)
    up.signal(signal.SIGTERM)
    assert up.ended(within_s=10) == 0
    assert not (up.data / "up.json").exists()
    assert up.workers() == []
    assert up.servers() == []
    assert "was not properly shut down" not in (up.data / "postgres" / "postgres.log").read_text()

    up.start()
    assert "API key" not in up.said()


def test_a_given_key_and_workspace_open_and_are_not_printed(up_for_all):
    up = up_for_all
    assert KEY not in up.said()
    asked = urllib.request.Request(f"{up.address()}/api/v1/workspaces/slug/shop", headers={"X-API-Key": KEY})
    with urllib.request.urlopen(asked, timeout=5) as answer:
        assert json.load(answer)["slug"] == "shop"


def test_a_worker_that_is_killed_is_started_again(up_for_all):
    up = up_for_all
    up.wait(up.workers)
    (first,) = up.workers()
    os.kill(first, signal.SIGKILL)
    up.wait(lambda: up.workers() not in ([], [first]))
    assert json.loads(up.get("/api/healthz"))["status"] == "ok"


def test_kill_9_takes_the_worker_and_postgres_along_and_the_next_start_works(up):
    up.start()
    up.wait(up.workers)
    for _ in range(2):
        up.signal(signal.SIGKILL)
        up.ended()
        assert (up.data / "up.json").exists()
        up.start()
        assert json.loads(up.get("/api/healthz"))["status"] == "ok"
        up.wait(lambda: len(up.workers()) == 1)


def test_a_second_signal_ends_it_at_once(up):
    up.start()
    up.wait(up.workers)
    (worker,) = up.workers()
    up.wait(lambda: catches(worker, signal.SIGTERM))  # before that it would simply die of one
    os.kill(worker, signal.SIGSTOP)  # it cannot finish its step in hand
    up.signal(signal.SIGINT)
    time.sleep(1.0)
    assert up.process is not None
    assert up.process.poll() is None
    up.signal(signal.SIGINT)
    assert up.ended(within_s=5) == 128 + signal.SIGINT, up.said()
    deadline = time.monotonic() + 5
    while up.workers() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert up.workers() == []


def test_a_port_that_is_taken_is_one_sentence(up_for_all):
    up = up_for_all
    taken = up.address().rpartition(":")[2]
    ran = subprocess.run(
        [sys.executable, "-m", "interlock.cli", "up", "--port", taken, "--data", str(up.data.with_name("other"))],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith("Error: Cannot listen on 127.0.0.1")


def test_a_second_up_on_one_directory_is_refused(up_for_all):
    up = up_for_all
    ran = subprocess.run(
        [sys.executable, "-m", "interlock.cli", "up", "--port", "0", "--data", str(up.data)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert up.address() is not None

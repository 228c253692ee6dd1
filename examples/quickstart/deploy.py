"""What does "deploy" mean in the quickstart? Replace the process on a host's port by one of another version.

The exec agent runs this for each job: `deploy.py --host=prod-eu-1 --port=7201 --version=1.0.0`. It ends with 0 when the
new process answers with that version, else with 1 and the reason in its last line. Given twice, it does nothing the
second time. Killed half-way, it is finished by being given again: the service itself writes its pid file, as soon as it
has the port.

Files, in a folder under TMPDIR: `<host>.pid` (pid, kernel start time, version), `<host>.log`, `<host>.lock`.
`deploy.py stop` ends every service that has a file there.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shop_api import start_ticks

SERVICE = Path(__file__).resolve().with_name("shop_api.py")
PATIENCE_S = 15.0
STOP_S = 5.0
POLL_S = 0.02


class DeployFailed(Exception):
    """It did not work; the message says why."""


def deploy(folder: Path, *, host: str, port: int, version: str) -> str:
    """Bring the version to the host; gives a sentence.

    Fails: `DeployFailed`.
    """
    with locked(folder / f"{host}.lock"):
        serving = ask(port)
        if serving.get("version") == version and serving.get("host") == host:
            return f"{host} serves {version} already."
        deadline = time.monotonic() + PATIENCE_S
        while True:
            stop(folder / f"{host}.pid")
            service = start(folder, host=host, port=port, version=version)
            if wait_until_serving(service, port, version=version, deadline=deadline):
                before = serving.get("version", "nothing")
                return f"{host} serves {version} now (before: {before}), process {service.pid}."
            if time.monotonic() >= deadline:
                raise DeployFailed(f"{host} does not serve {version}: {last_line(folder / f'{host}.log')}")
            time.sleep(
                0.2
            )  # somebody else had the port: a service whose start was interrupted, and has its file by now


def start(folder: Path, *, host: str, port: int, version: str) -> subprocess.Popen[bytes]:
    """Start the service in a session of its own, so that it outlives this command and holds none of its files."""
    arguments = ["--host", host, "--port", str(port), "--version", version, "--pid-file", str(folder / f"{host}.pid")]
    with (folder / f"{host}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, str(SERVICE), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def wait_until_serving(service: subprocess.Popen[bytes], port: int, *, version: str, deadline: float) -> bool:
    """Whether this very process came to answer with the version; False when it ended or time is up."""
    while time.monotonic() < deadline and service.poll() is None:
        serving = ask(port)
        if serving.get("pid") == service.pid and serving.get("version") == version:
            return True
        time.sleep(POLL_S)
    return False


def stop(pid_file: Path) -> None:
    """End the process that the file names, asked first, then made to. Another one that got its PID is left alone."""
    try:
        pid_text, ticks, *_ = pid_file.read_text().split()
    except (OSError, ValueError):
        return
    pid = int(pid_text)
    for number, patience_s in ((signal.SIGTERM, STOP_S), (signal.SIGKILL, STOP_S)):
        if start_ticks(pid) != ticks:
            break
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + patience_s
        while start_ticks(pid) == ticks and time.monotonic() < deadline:
            time.sleep(POLL_S)
    pid_file.unlink(missing_ok=True)


def ask(port: int) -> dict[str, Any]:
    """What the process on a port says about itself; empty when nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/version", timeout=2) as answer:
            said: dict[str, Any] = json.load(answer)
            return said
    except (OSError, ValueError):
        return {}


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One deploy of a host at a time."""
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def last_line(log: Path) -> str:
    """What the service said last."""
    with contextlib.suppress(OSError):
        lines = log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"
    return "it said nothing"


def state_folder() -> Path:
    """Where the files are: under TMPDIR, so that each demo has its own."""
    folder = Path(tempfile.gettempdir()) / "interlock-quickstart-hosts"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def main() -> int:
    """The command line."""
    if sys.argv[1:] == ["stop"]:
        for pid_file in sorted(state_folder().glob("*.pid")):
            stop(pid_file)
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--version", required=True)
    wanted = parser.parse_args()
    if "/" in wanted.host:
        parser.error("--host must be a plain name")
    try:
        print(deploy(state_folder(), host=wanted.host, port=wanted.port, version=wanted.version))
    except DeployFailed as failed:
        print(failed)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What is there around Interlock? GitHub, Argo CD, Terraform Cloud, Datadog and two clusters, each a process here.

    python examples/walkthrough/outside

tells what happens in them, and ends them all with Ctrl-C.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from running import PORTS, tell

HERE = Path(__file__).resolve().parent
PROGRAMS = {
    "github": ("github.py",),
    "argo_cd": ("argo_cd.py",),
    "terraform_cloud": ("terraform_cloud.py",),
    "staging": ("cluster.py", "staging"),
    "production": ("cluster.py", "production"),
    "datadog": ("datadog.py",),
}
READY_S = 60.0


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def run() -> int:
    """Start all, say when they are there, end all."""
    if taken := [f"{PORTS[name]} ({name})" for name in PROGRAMS if answers(PORTS[name])]:
        print(f"Somebody listens already at port {', '.join(taken)}. Is the walkthrough running?", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    tools = {
        name: subprocess.Popen([sys.executable, str(HERE / program), *arguments], stdin=subprocess.PIPE)
        for name, (program, *arguments) in PROGRAMS.items()
    }
    try:
        deadline = time.monotonic() + READY_S
        waiting = dict.fromkeys(tools)
        while True:
            if ended := [name for name, tool in tools.items() if tool.poll() is not None]:
                print(f"{ended[0]} ended by itself.", file=sys.stderr)
                return 1
            for name in [name for name in waiting if answers(PORTS[name])]:
                del waiting[name]
                tell("outside", f"{name} listens at http://127.0.0.1:{PORTS[name]}")
                if not waiting:
                    tell("outside", "everything is there; Ctrl-C ends it")
            if waiting and time.monotonic() > deadline:
                print(f"{', '.join(waiting)} did not come up.", file=sys.stderr)
                return 1
            time.sleep(0.1 if waiting else 1.0)
    except KeyboardInterrupt:
        return 0
    finally:
        for tool in tools.values():
            tool.terminate()
        for tool in tools.values():
            tool.wait()


if __name__ == "__main__":
    sys.exit(run())

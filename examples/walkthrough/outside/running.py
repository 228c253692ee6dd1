"""How does a tool of the walkthrough run as a process of its own? At its port, until whoever started it is gone."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agents.stub_server import StubServer

WALKTHROUGH = Path(__file__).resolve().parents[1]
KEPT = Path(".interlock/walkthrough")
"""Where the walkthrough keeps what it writes, below the folder that it is played in."""

PORTS = {"github": 7401, "argo_cd": 7402, "terraform_cloud": 7403, "datadog": 7404, "staging": 7411, "production": 7412}
"""tool or cluster -> where it listens, on this machine alone."""


def find_stub_servers() -> None:
    """The tools' APIs are those that Interlock's own tests check the job agents against."""
    sys.path.insert(0, str(WALKTHROUGH.parents[1] / "tests"))


def tell(who: str, what: str) -> None:
    """A line of what happens outside of Interlock."""
    for line in what.splitlines():
        print(f"{who:<15} | {line}", flush=True)


def end_with_parent() -> None:
    """End this process when its standard input does: nothing of the walkthrough outlives who started it."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    if not sys.stdin.isatty():
        threading.Thread(target=wait, daemon=True).start()


def serve(make_stub: Callable[[], StubServer], *, port: int) -> None:
    """Answer until the end."""
    end_with_parent()

    async def run() -> None:
        server = await asyncio.start_server(make_stub().serve, "127.0.0.1", port)
        await server.serve_forever()

    asyncio.run(run())

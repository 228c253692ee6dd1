"""What is deployed in the quickstart? A small shop, as an HTTP service whose behaviour depends on its version.

    GET /           a page of the shop; this is what customers call
    GET /healthz    that it is up
    GET /version    {"version", "host", "pid"}: who answers here
    GET /stats      {"requests", "errors", "errorRate", ...} of the last seconds, of customers' calls alone

1.1.0 has a bug that no test found: when more than RATE_OF_BUG customers call in a second, one call in four fails.
Staging has no customers. Production has.

Started by `deploy.py`, never by hand. Only the standard library, only on this machine, and never for longer than a day.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BUGGY = {"1.1.0": 4}
"""version -> every how many-th call fails once many call"""

RATE_OF_BUG = 20.0
RATE_WINDOW_S = 0.5
STATS_WINDOW_S = 5.0
CALLS_KEPT_MAX = 20_000


class Shop:
    """The calls of customers, and how each ends."""

    def __init__(self, version: str) -> None:
        self.version = version
        self._calls: deque[tuple[float, bool]] = deque(maxlen=CALLS_KEPT_MAX)
        self._served = 0
        self._lock = threading.Lock()

    def serve(self) -> bool:
        """Take one call; whether it went well."""
        now = time.monotonic()
        with self._lock:
            self._served += 1
            every = BUGGY.get(self.version)
            went_well = not (every and self._rate(now) > RATE_OF_BUG and self._served % every == 0)
            self._calls.append((now, went_well))
        return went_well

    def stats(self, window_s: float) -> dict[str, object]:
        """Calls and errors of the last `window_s` seconds."""
        since = time.monotonic() - window_s
        with self._lock:
            ends = [went_well for at, went_well in self._calls if at >= since]
        errors = ends.count(False)
        return {
            "version": self.version,
            "windowSeconds": window_s,
            "requests": len(ends),
            "errors": errors,
            "errorRate": round(errors / len(ends), 4) if ends else 0.0,
        }

    def _rate(self, now: float) -> float:
        """Calls a second, just now."""
        since = now - RATE_WINDOW_S
        recent = 0
        for at, _ in reversed(self._calls):
            if at < since:
                break
            recent += 1
        return recent / RATE_WINDOW_S


def answering(shop: Shop, host: str) -> type[BaseHTTPRequestHandler]:
    """The class that answers for this shop."""

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        timeout = 30

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            match path:
                case "/":
                    went_well = shop.serve()
                    self.answer(200 if went_well else 500, {"shop": "open" if went_well else "broken", "host": host})
                case "/healthz":
                    self.answer(200, {"status": "ok", "version": shop.version})
                case "/version":
                    self.answer(200, {"version": shop.version, "host": host, "pid": os.getpid()})
                case "/stats":
                    wanted = query.removeprefix("window=")
                    window_s = float(wanted) if wanted.replace(".", "", 1).isdigit() else STATS_WINDOW_S
                    self.answer(200, shop.stats(window_s))
                case _:
                    self.answer(404, {"error": f"There is no {path} here."})

        def answer(self, status: int, body: dict[str, object]) -> None:
            raw = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet: fifty lines a second help nobody."""

    return Answers


def start_ticks(pid: int) -> str:
    """When the kernel started a process, so that a PID taken again is not taken for it; "" when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def main() -> int:
    """Listen, write the pid file, serve until told to end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", required=True, help="name of the host this stands for")
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--version", required=True)
    parser.add_argument("--pid-file", required=True, type=Path)
    parser.add_argument("--hours-max", type=float, default=24.0, help="ends by itself after so long")
    wanted = parser.parse_args()

    ThreadingHTTPServer.daemon_threads = True
    ThreadingHTTPServer.request_queue_size = 64
    try:
        server = ThreadingHTTPServer(("127.0.0.1", wanted.port), answering(Shop(wanted.version), wanted.host))
    except OSError as taken:
        print(f"Port {wanted.port} cannot be used: {taken.strerror}.", file=sys.stderr)
        return 1
    # The port is ours, so nobody else of this host writes the file now.
    wanted.pid_file.write_text(f"{os.getpid()} {start_ticks(os.getpid())} {wanted.version}\n")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(0))
    signal.setitimer(signal.ITIMER_REAL, wanted.hours_max * 3600)
    server.serve_forever(poll_interval=0.1)
    return 0


if __name__ == "__main__":
    sys.exit(main())

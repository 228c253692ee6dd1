"""Who are the customers of the quickstart? One of these for each production host, at a steady rate.

It calls `/` again and again, on one connection that it opens again when the service is replaced, and does not mind
refusals. It calls nobody but this machine, ends on SIGTERM, and by itself after `--seconds-max`.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import signal
import sys
import time

RATE_MAX = 500.0


def main() -> int:
    """Call until told to end, then say how it went."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", required=True, type=int, help="port on this machine")
    parser.add_argument("--rate", type=float, default=50.0, help="calls a second")
    parser.add_argument("--seconds-max", type=float, default=3600.0, help="ends by itself after so long")
    wanted = parser.parse_args()
    if not 0 < wanted.rate <= RATE_MAX:
        parser.error(f"--rate must be above 0 and at most {RATE_MAX:g}")

    ending = False

    def end(*_: object) -> None:
        nonlocal ending
        ending = True

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    counts = {"ok": 0, "error": 0, "refused": 0}
    connection: http.client.HTTPConnection | None = None
    began = due = time.monotonic()
    while not ending and time.monotonic() - began < wanted.seconds_max:
        connection = connection or http.client.HTTPConnection("127.0.0.1", wanted.port, timeout=2)
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            answer.read()
            counts["ok" if answer.status == 200 else "error"] += 1
        except (OSError, http.client.HTTPException):
            counts["refused"] += 1
            with contextlib.suppress(OSError):
                connection.close()
            connection = None
        # On a grid, but never in a burst after a pause.
        due = max(due + 1 / wanted.rate, time.monotonic() - 1 / wanted.rate)
        time.sleep(max(0.0, due - time.monotonic()))
    print(" ".join(f"{word}={count}" for word, count in counts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What time is it? For durations at the edges and for tests; a round's `now` is the database's.

The pure rooms (`decide`, `inventory`, `judge`, `model`) never import this: an instant enters them as an argument.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime


def utc_now() -> datetime:
    """The current instant, aware, in UTC."""
    return datetime.now(UTC)


def monotonic_s() -> float:
    """Seconds on a clock that never goes back, for measuring durations."""
    return time.monotonic()

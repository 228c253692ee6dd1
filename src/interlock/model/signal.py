"""What is known of something outside, and for how long? A value with its instants, or why there is none.

    Known(value, observed_at, fresh_until, source)
    Unknown(why)

A default never stands in for a missing signal: what is stale, empty or could not be read is `Unknown`, and whoever
reads it must say what that means. A known value turns unknown by time alone, at `fresh_until`.

Source: core.md section 2 ("Fact kinds").
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """A value that holds until `fresh_until`. `source` names who said it."""

    value: T
    observed_at: datetime
    fresh_until: datetime
    source: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """There is no value; `why` is a sentence. `since` is where that is known."""

    why: str
    since: datetime | None = None


def signal_at(signal: Known[T] | Unknown, now: datetime) -> Known[T] | Unknown:
    """The signal as it counts at an instant: past its `fresh_until` nothing is known."""
    if isinstance(signal, Unknown) or now < signal.fresh_until:
        return signal
    return Unknown(f"The last reading of {signal.source} is too old.", signal.fresh_until)

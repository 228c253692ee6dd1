"""How are instants and durations written in a scenario?

instants    +10m (after the start), 09:30 (on the day of the start), 2026-03-10T09:00:00Z, 2026-03-10 09:00;
            without a zone they are UTC
durations   90s, 5m, 1h30m, 2d
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from interlock.model.errors import Invalid

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")
_TIME = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")


def duration(text: str) -> timedelta:
    """`1h30m` and the like; 0 is nothing.

    Fails: `Invalid` for anything else.
    """
    if text == "0":
        return timedelta()
    found = _DURATION.fullmatch(text.strip())
    if not text.strip() or found is None:
        raise Invalid(f"{text!r} is no duration; write 90s, 5m, 1h30m or 2d")
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def seconds(text: str) -> float:
    """A duration in seconds."""
    return duration(text).total_seconds()


@dataclass(frozen=True, slots=True)
class Clock:
    """Reads instants against the start of a story."""

    starts_at: datetime

    def instant(self, text: str) -> datetime:
        """An instant.

        Fails: `Invalid` for anything else.
        """
        text = text.strip()
        if text == "0":  # YAML reads +0 as a number
            return self.starts_at
        if text.startswith("+"):
            return self.starts_at + duration(text[1:])
        try:
            if _TIME.fullmatch(text):
                at = time.fromisoformat(text.zfill(8 if text.count(":") == 2 else 5))
                return datetime.combine(self.starts_at.astimezone(UTC).date(), at, tzinfo=UTC)
            found = datetime.fromisoformat(text)
        except ValueError:
            raise Invalid(f"{text!r} is no instant; write +10m, 09:30 or 2026-03-10T09:00:00Z") from None
        return found if found.tzinfo else found.replace(tzinfo=UTC)

"""# deploymentWindow: only at certain hours, or never at certain hours

A recurrence in wall-clock time opens (`allowWindow: true`, the default) or closes (`false`) the environment for so many minutes.

```yaml
rules:
  - deploymentWindow:
      rrule: FREQ=WEEKLY;BYDAY=MO,TU,WE,TH;BYHOUR=9;BYMINUTE=0
      durationMinutes: 480
      timezone: Europe/Berlin
```

Windows are judged together: several allow windows are a union, any deny window wins, and the next opening is computed jointly. It gates *starts* only, a first
deployment too; what runs goes on past the end. Occurrences are expanded in naive local time and then placed in the zone, so 09:00 stays 09:00 across a
change to summer time; a time that does not exist that day moves forward by the gap, one that exists twice is the first. The end is so many elapsed minutes after the start.

`DTSTART` defaults to the day on which the server first stored the rule, 00:00 local; one before 2000 is refused, so is a frequency finer than hourly.

**Passes** inside. **Holds** with the instant of the next opening. **Wakes**: that opening, the end of the open time.
**Meets others**: an approval may be given before it opens; targets of a rollout that come due while it is closed keep their spacing when it opens.

Source: RFC 5545 section 3.3.10; core.md section 10; reference-behaviour.md 4.4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dateutil.rrule import DAILY, HOURLY, MINUTELY, WEEKLY, rrule, rrulestr

from interlock.decide.subjects import EnvironmentVersion
from interlock.decide.verdict import Stage, Verdict, WaitsFor, holds, passes
from interlock.model.policy import Rule
from interlock.model.wire import Fields

kind = "deploymentWindow"
shape = "gate"
stage = Stage.READINESS
needs = frozenset[str]()
joint = True

REASONS = {
    "window_open": "The deployment window is open.",
    "window_closed": "Outside the deployment window; it opens at {opens_local} {timezone}.",
    "window_never_opens": "No deployment window opens in the next {years} years.",
}

DURATION_MINUTES_MAX = 366 * 24 * 60
OCCURRENCES_MAX = 20_000
STEPS_MAX = 500
YEARS_MAX = 5
_FIRST_DTSTART = datetime(2000, 1, 1)  # noqa: DTZ001 - naive local time, as RFC 5545 has it
_ANY_DAY = datetime(2024, 1, 1)  # noqa: DTZ001 - only to read the text; the real start comes with the rule


@dataclass(frozen=True, slots=True)
class Params:
    """`rrule` is the recurrence without its DTSTART line; `dtstart` is naive local time, or None when the text has none."""

    rrule: str
    dtstart: datetime | None
    duration: timedelta
    timezone: str
    allow: bool


def parse(fields: Fields) -> Params:
    """Read the rule's object. Faults are left in `fields`."""
    text = fields.text("rrule", required=True, maximum=2000)
    timezone = fields.text("timezone", default="UTC", maximum=100) or "UTC"
    zone_ok = _known_zone(timezone)
    if not zone_ok:
        fields.wrong("timezone", f"{timezone!r} is not a time zone of the IANA database")
    recurrence, dtstart, fault = _read(text, timezone if zone_ok else "UTC")
    if fault and text:
        fields.wrong("rrule", fault)
    return Params(
        rrule=recurrence,
        dtstart=dtstart,
        duration=timedelta(minutes=fields.integer("durationMinutes", required=True, minimum=1, maximum=DURATION_MINUTES_MAX)),
        timezone=timezone,
        allow=fields.boolean("allowWindow", default=True),
    )


def _known_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _read(text: str, timezone: str) -> tuple[str, datetime | None, str | None]:
    """The recurrence, its naive local DTSTART if it has one, and what is wrong with it."""
    recurrence, dtstart = "", None
    for line in text.replace("\\n", "\n").split("\n"):
        part = line.strip()
        if part.upper().startswith("DTSTART"):
            dtstart, fault = _read_dtstart(part, timezone)
            if fault:
                return "", None, fault
        elif part:
            if recurrence:
                return "", None, "must be one recurrence"
            recurrence = part.removeprefix("RRULE:")
    try:
        parsed = rrulestr(recurrence, dtstart=dtstart or _ANY_DAY, ignoretz=True)
    except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        return "", None, f"is not a recurrence of RFC 5545: {error}"
    if not isinstance(parsed, rrule):
        return "", None, "must be a single RRULE"
    if parsed._freq >= MINUTELY:  # type: ignore[attr-defined]  # noqa: SLF001 - dateutil offers no public reading of it
        return "", None, "must not recur more often than hourly"
    if dtstart is not None and dtstart < _FIRST_DTSTART:
        return "", None, "DTSTART must not be before 2000-01-01"
    return recurrence, dtstart, None


def _read_dtstart(line: str, timezone: str) -> tuple[datetime | None, str | None]:
    """The naive local start of a DTSTART line. A zone named there must be the rule's; a Z means UTC and is converted."""
    head, _, value = line.partition(":")
    if "TZID=" in head.upper():
        named = head.split("=", 1)[1]
        if named != timezone:
            return None, f"DTSTART names the zone {named}, the rule {timezone}"
    try:
        if value.endswith("Z"):
            at = datetime.strptime(value, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            return at.astimezone(ZoneInfo(timezone)).replace(tzinfo=None), None
        form = "%Y%m%dT%H%M%S" if "T" in value else "%Y%m%d"
        return datetime.strptime(value, form), None  # noqa: DTZ007 - naive local time, as RFC 5545 has it
    except ValueError:
        return None, f"{value!r} is not a DTSTART"


def evaluate(subject: EnvironmentVersion, rules: Sequence[Rule], now: datetime) -> Verdict:
    """Whether starts are allowed now, over all windows together; when not, the instant at which they will be."""
    windows = tuple((rule.params, rule.first_stored_at or subject.version.created_at) for rule in rules)
    if _is_open(windows, now):
        return passes("window_open", changes_at=_closes_at(windows, now))
    opens_at = _opens_at(windows, now)
    if opens_at is None:
        return holds(WaitsFor.DENY, "window_never_opens", who="whoever may edit the policy", years=YEARS_MAX)
    timezone = next(params.timezone for params, _ in windows if isinstance(params, Params))
    return holds(
        WaitsFor.WAIT,
        "window_closed",
        changes_at=opens_at,
        opens_at=opens_at,
        opens_local=opens_at.astimezone(ZoneInfo(timezone)).strftime("%Y-%m-%dT%H:%M"),
        timezone=timezone,
    )


_Windows = tuple[tuple[object, datetime], ...]


def _inside(params: Params, stored_at: datetime, at: datetime) -> tuple[datetime, datetime] | None:
    """The occurrence that contains `at`, as [start, end); the one that ends last if several do."""
    containing = None
    for start in _occurrences(params, stored_at, after=at - params.duration):
        if start > at:
            break
        if at < start + params.duration:
            containing = (start, start + params.duration)
    return containing


def _is_open(windows: _Windows, at: datetime) -> bool:
    allows = [(p, s) for p, s in windows if isinstance(p, Params) and p.allow]
    denies = [(p, s) for p, s in windows if isinstance(p, Params) and not p.allow]
    if any(_inside(params, stored_at, at) for params, stored_at in denies):
        return False
    return not allows or any(_inside(params, stored_at, at) for params, stored_at in allows)


def _edges(windows: _Windows, at: datetime) -> datetime | None:
    """The first instant after `at` at which any window starts or ends."""
    found = []
    for params, stored_at in windows:
        if not isinstance(params, Params):
            continue
        for start in _occurrences(params, stored_at, after=at - params.duration):
            ends = [edge for edge in (start, start + params.duration) if edge > at]
            if ends:
                found.append(min(ends))
            if start > at:
                break
    return min(found, default=None)


def _closes_at(windows: _Windows, at: datetime) -> datetime | None:
    """When it stops being open; the first edge after a year of touching windows, which only means an early look."""
    edge, horizon = _edges(windows, at), at + timedelta(days=366)
    for _ in range(STEPS_MAX):
        if edge is None or edge >= horizon or not _is_open(windows, edge):
            return edge
        edge = _edges(windows, edge)
    return edge


def _opens_at(windows: _Windows, at: datetime) -> datetime | None:
    """When it opens next; None when it does not within the horizon."""
    edge, horizon = _edges(windows, at), at + timedelta(days=366 * YEARS_MAX)
    for _ in range(STEPS_MAX):
        if edge is None or edge > horizon:
            return None
        if _is_open(windows, edge):
            return edge
        edge = _edges(windows, edge)
    return edge


def _occurrences(params: Params, stored_at: datetime, *, after: datetime) -> Iterator[datetime]:
    """Starts in UTC, ascending, from about a day before `after` on.

    Why:    the expansion starts near `after`, at a place that INTERVAL allows, so that a rule of years ago costs nothing.
    """
    zone = ZoneInfo(params.timezone)
    local = after.astimezone(zone).replace(tzinfo=None) - timedelta(days=1)
    recurrence = _anchored(params.rrule, _dtstart(params, stored_at, zone), local.date().toordinal())
    for start in islice(recurrence.xafter(local, inc=True), OCCURRENCES_MAX):
        yield start.replace(tzinfo=zone).astimezone(UTC)


def _dtstart(params: Params, stored_at: datetime, zone: ZoneInfo) -> datetime:
    if params.dtstart is not None:
        return params.dtstart
    day = stored_at.astimezone(zone)
    return datetime(day.year, day.month, day.day)  # noqa: DTZ001 - naive local time, as RFC 5545 has it


@lru_cache(maxsize=512)
def _anchored(text: str, dtstart: datetime, day: int) -> rrule:
    """The recurrence, its start moved forward to shortly before `day` (an ordinal) where that changes no occurrence."""
    plain = rrulestr(text, dtstart=dtstart, ignoretz=True)
    freq, interval = plain._freq, plain._interval  # type: ignore[union-attr]  # noqa: SLF001 - dateutil offers no public reading of it
    step_days = {DAILY: 1, WEEKLY: 7}.get(freq)
    behind = day - dtstart.toordinal() - 8
    if freq == HOURLY and 24 % interval == 0:
        step_days = 1
    if step_days is None or plain._count is not None or behind <= 0:  # type: ignore[union-attr]  # noqa: SLF001
        return plain  # type: ignore[return-value]
    period = step_days * (interval if freq in (DAILY, WEEKLY) else 1)
    moved = dtstart + timedelta(days=behind // period * period)
    return rrulestr(text, dtstart=moved, ignoretz=True)  # type: ignore[return-value]

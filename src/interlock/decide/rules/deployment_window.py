"""# deploymentWindow: only at certain hours, or never at certain hours

A recurrence in wall-clock time opens (`allowWindow: true`, the default) or closes (`false`) the environment for so many
minutes.

```yaml
rules:
  - deploymentWindow:
      rrule: FREQ=WEEKLY;BYDAY=MO,TU,WE,TH;BYHOUR=9;BYMINUTE=0
      durationMinutes: 480
      timezone: Europe/Berlin
```

Windows are judged together: several allow windows are a union, any deny window wins, and the next opening is computed
jointly. It gates *starts* only, a first deployment too; what runs goes on past the end. Occurrences are expanded in
naive local time and then placed in the zone, so 09:00 stays 09:00 across a change to summer time; a time that does not
exist that day moves forward by the gap, one that exists twice is the first. The end is so many elapsed minutes after
the start.

`DTSTART` defaults to the day on which the server first stored the rule, 00:00 local. Refused are one before 2000, more
than 24 occurrences a day, and a recurrence that never comes (30 February).

**Passes** inside. **Holds** with the instant of the next opening. **Wakes**: that opening, the end of the open time.
**Meets others**: an approval may be given before it opens; targets of a rollout that come due while it is closed keep
their spacing when it opens.

Source: RFC 5545 section 3.3.10; core.md section 10; reference-behaviour.md 4.4.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from heapq import heappop, heappush, merge
from itertools import groupby, islice
from math import gcd
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dateutil.rrule import DAILY, HOURLY, MINUTELY, WEEKLY, rrule, rrulestr

from interlock.decide.subjects import EnvironmentVersion
from interlock.decide.verdict import Stage, Verdict, WaitsFor, holds, passes
from interlock.model.errors import Bug
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
OCCURRENCES_A_DAY_MAX = 24
COUNT_MAX = 10_000
DAYS_LOOKED_MAX = 100_000
YEARS_AHEAD = 5
_GAP_MAX = timedelta(days=1)
_FIRST_DTSTART = datetime(2000, 1, 1)  # noqa: DTZ001 - naive local time, as RFC 5545 has it
_ANY_DAY = datetime(2024, 1, 1)  # noqa: DTZ001 - only to read the text; the real start comes with the rule


@dataclass(frozen=True, slots=True)
class Params:
    """`rrule` is the recurrence without its DTSTART line; `dtstart` is naive local time, or None without one."""

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
        duration=timedelta(
            minutes=fields.integer("durationMinutes", required=True, minimum=1, maximum=DURATION_MINUTES_MAX)
        ),
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
    if dtstart is not None and dtstart < _FIRST_DTSTART:
        return "", None, "DTSTART must not be before 2000-01-01"
    fault = _check(parsed)
    return ("", None, fault) if fault else (recurrence, dtstart, None)


def _check(parsed: rrule) -> str | None:
    """What is wrong with a recurrence that can be read, if anything."""
    if _part(parsed, "freq") >= MINUTELY:
        return "must not recur more often than hourly"
    if (_part(parsed, "count") or 0) > COUNT_MAX:
        return f"COUNT must be at most {COUNT_MAX}"
    sample = list(islice(_bounded(parsed), 2 * OCCURRENCES_A_DAY_MAX))
    if not sample:
        return "never recurs"
    pairs = zip(sample, sample[OCCURRENCES_A_DAY_MAX:], strict=False)
    if any(later - start < timedelta(days=1) for start, later in pairs):
        return f"must not recur more often than {OCCURRENCES_A_DAY_MAX} times a day"
    return None


def _part(recurrence: rrule, name: str) -> Any:
    """A part of a recurrence, which dateutil offers no public reading of."""
    return getattr(recurrence, f"_{name}")


class _NothingFound(Exception):
    """So many days were looked at without a match."""


class _Months(tuple[int, ...]):  # noqa: SLOT001 - it counts
    """The months of a recurrence, which end a search that looked at too many days.

    Why:    dateutil looks on until the year 9999 for an occurrence that never comes (30 February), for seconds or
            minutes. It asks for each day whether its month is among these, so here is the place to stop it.
    """

    looked: int

    def __contains__(self, month: object) -> bool:
        self.looked += 1
        if self.looked > DAYS_LOOKED_MAX:
            raise _NothingFound
        return super().__contains__(month)


def _bounded(recurrence: rrule, after: datetime | None = None) -> Iterator[datetime]:
    """The occurrences, from `after` on, until there is none or the search is given up."""
    bounded = copy(recurrence)
    months = _Months(_part(recurrence, "bymonth") or range(1, 13))
    months.looked = 0
    bounded._bymonth = months  # type: ignore[attr-defined]  # noqa: SLF001 - the one place where a search can be ended
    found = bounded.xafter(after, inc=True) if after is not None else iter(bounded)
    while True:
        try:
            yield next(found)
        except (StopIteration, _NothingFound):
            return


def _read_dtstart(line: str, timezone: str) -> tuple[datetime | None, str | None]:
    """The naive local start of a DTSTART line. A zone named there must be the rule's; a Z means UTC."""
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
    stored_at = subject.version.created_at
    windows = tuple(
        (rule.params, rule.first_stored_at or stored_at) for rule in rules if isinstance(rule.params, Params)
    )
    is_open, changes_at = outlook(windows, now)
    if is_open:
        return passes("window_open", changes_at=changes_at or _new_year(now))
    if changes_at is None:
        who = "whoever may edit the policy"
        return holds(WaitsFor.DENY, "window_never_opens", changes_at=_new_year(now), who=who, years=YEARS_AHEAD)
    timezone = windows[0][0].timezone
    return holds(
        WaitsFor.WAIT,
        "window_closed",
        changes_at=changes_at,
        opens_at=changes_at,
        opens_local=changes_at.astimezone(ZoneInfo(timezone)).strftime("%Y-%m-%dT%H:%M"),
        timezone=timezone,
    )


Window = tuple[Params, datetime]
"""A window, and when the server first stored it."""


@lru_cache(maxsize=4096)
def outlook(windows: tuple[Window, ...], now: datetime) -> tuple[bool, datetime | None]:
    """Whether starts are allowed now, and the next instant at which that changes.

    Why:    one sweep over the edges of all windows, so that touching ones, a union, or a deny inside an allow need no
            case of their own.
    Gives:  None when an open window does not close this year, or a closed one does not open in `YEARS_AHEAD` years.
    """
    allows = sum(1 for params, _ in windows if params.allow)
    active = {True: 0, False: 0}
    horizon = datetime(now.year + YEARS_AHEAD, 1, 1, tzinfo=UTC)
    edges = merge(*(_edges(params, stored_at, now, horizon) for params, stored_at in windows))
    was_open: bool | None = None
    for at, group in groupby(edges, key=lambda edge: edge[0]):
        if at > now and was_open is None:
            was_open = _is_open(allows, active)
        if was_open and at >= _new_year(now):
            return True, None
        for _, allow, step in group:
            active[allow] += step
        if was_open is not None and _is_open(allows, active) is not was_open:
            return was_open, at
    return (_is_open(allows, active) if was_open is None else was_open), None


def _is_open(allows: int, active: Mapping[bool, int]) -> bool:
    """Any deny wins; where there are allow windows, one must be open."""
    return active[False] == 0 and (allows == 0 or active[True] > 0)


def _new_year(now: datetime) -> datetime:
    """When one more year comes into view: the same instant all year, so that the answer is constant until then."""
    return datetime(now.year + 1, 1, 1, tzinfo=UTC)


def _edges(
    params: Params, stored_at: datetime, now: datetime, horizon: datetime
) -> Iterator[tuple[datetime, bool, int]]:
    """(instant, allow, +1 at a start or -1 at an end), ascending, of what may contain `now` and what comes later."""
    running: deque[datetime] = deque()
    for start in _occurrences(params, stored_at, after=now - params.duration):
        while running and running[0] <= start:
            yield running.popleft(), params.allow, -1
        if start >= horizon:
            return
        yield start, params.allow, 1
        running.append(start + params.duration)
    for end in running:
        yield end, params.allow, -1


def _occurrences(params: Params, stored_at: datetime, *, after: datetime) -> Iterator[datetime]:
    """Starts in UTC, ascending, from about a day before `after` on.

    Why:    the expansion starts near `after`, at a place that INTERVAL allows, so that a rule of years ago costs
            nothing. A start inside a DST gap moves past later ones, so a day's worth is kept back and sorted.
    """
    zone = ZoneInfo(params.timezone)
    local = after.astimezone(zone).replace(tzinfo=None) - timedelta(days=1)
    recurrence = _anchored(params.rrule, _dtstart(params, stored_at, zone), local.date().toordinal())
    kept: list[datetime] = []
    for naive in _bounded(recurrence, local):
        start = naive.replace(tzinfo=zone).astimezone(UTC)
        while kept and kept[0] <= start - _GAP_MAX:
            yield heappop(kept)
        heappush(kept, start)
    while kept:
        yield heappop(kept)


def _dtstart(params: Params, stored_at: datetime, zone: ZoneInfo) -> datetime:
    if params.dtstart is not None:
        return params.dtstart
    day = stored_at.astimezone(zone)
    return datetime(day.year, day.month, day.day)  # noqa: DTZ001 - naive local time, as RFC 5545 has it


@lru_cache(maxsize=512)
def _anchored(text: str, dtstart: datetime, day: int) -> rrule:
    """The recurrence, its start moved forward to shortly before `day` (an ordinal) where that changes no occurrence."""
    plain = _parsed(text, dtstart)
    interval = _part(plain, "interval")
    period = {DAILY: interval, WEEKLY: 7 * interval, HOURLY: interval // gcd(interval, 24)}.get(_part(plain, "freq"))
    behind = day - dtstart.toordinal() - 8
    if period is None or _part(plain, "count") is not None or behind <= 0:
        return plain
    return _parsed(text, dtstart + timedelta(days=behind // period * period))


def _parsed(text: str, dtstart: datetime) -> rrule:
    found = rrulestr(text, dtstart=dtstart, ignoretz=True)
    if not isinstance(found, rrule):
        raise Bug("A window's recurrence is checked when it is written.")
    return found

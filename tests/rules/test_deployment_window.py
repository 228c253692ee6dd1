"""When is a deployment window open, and when does that change? Dated examples; the weekdays of March 2026 are

Mo 9, Tu 10, We 11, Th 12, Fr 13, Sa 14, Su 15; Su 29: summer time begins in Europe (Su 8 in New York)
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from interlock.decide.rules import deployment_window, parse_rules
from interlock.decide.verdict import WaitsFor, holds, passes
from interlock.model.errors import Bug, Invalid
from interlock.model.policy import Rule
from rules.examples import an_empty_subject, at

BERLIN, NEW_YORK, UTC_ZONE = "Europe/Berlin", "America/New_York", "UTC"


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch):
    """Each example is worked out anew, whatever was worked out before it, on a machine that is far from UTC."""
    deployment_window.outlook.cache_clear()
    deployment_window._anchored.cache_clear()
    with monkeypatch.context() as here:
        here.setenv("TZ", "Pacific/Kiritimati")
        time.tzset()
        yield
    time.tzset()


def a_window(
    rrule: str, minutes: int, zone: str = "UTC", *, allow: bool = True, stored: str = "2026-01-01 00:00"
) -> Rule:
    body = {"rrule": rrule, "durationMinutes": minutes, "timezone": zone, "allowWindow": allow}
    (rule,) = parse_rules([{"deploymentWindow": body}])
    return Rule("window", rule.kind, rule.params, "policy", at(stored))


def asked(now: datetime, *windows: Rule):
    return deployment_window.evaluate(an_empty_subject(), windows, now)


OFFICE = "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH;BYHOUR=9;BYMINUTE=0"
DAILY_2 = "FREQ=DAILY;BYHOUR=2;BYMINUTE=30"

# rrule, minutes, zone, now, open?, until or opens at (all instants in UTC)
EXAMPLES = [
    ("before the office opens", OFFICE, 480, BERLIN, "2026-03-09 07:59", False, "2026-03-09 08:00"),
    ("at the very start", OFFICE, 480, BERLIN, "2026-03-09 08:00", True, "2026-03-09 16:00"),
    ("inside", OFFICE, 480, BERLIN, "2026-03-09 12:00", True, "2026-03-09 16:00"),
    ("at the very end, which is outside", OFFICE, 480, BERLIN, "2026-03-09 16:00", False, "2026-03-10 08:00"),
    ("over the weekend", OFFICE, 480, BERLIN, "2026-03-12 16:00", False, "2026-03-16 08:00"),
    ("09:00 stays 09:00 in summer time", OFFICE, 480, BERLIN, "2026-03-29 12:00", False, "2026-03-30 07:00"),
    ("09:00 stays 09:00 in New York", OFFICE, 480, NEW_YORK, "2026-03-08 12:00", False, "2026-03-09 13:00"),
    ("a start in the gap moves forward by the gap", DAILY_2, 60, BERLIN, "2026-03-28 12:00", False, "2026-03-29 01:30"),
    ("and ends an hour later", DAILY_2, 60, BERLIN, "2026-03-29 01:30", True, "2026-03-29 02:30"),
    ("the same in New York", DAILY_2, 60, NEW_YORK, "2026-03-07 12:00", False, "2026-03-08 07:30"),
    ("a start that comes twice is the first", DAILY_2, 60, BERLIN, "2026-10-24 12:00", False, "2026-10-25 00:30"),
    ("and ends an elapsed hour later", DAILY_2, 60, BERLIN, "2026-10-25 01:29", True, "2026-10-25 01:30"),
    (
        "the same in New York in November",
        DAILY_2.replace("2", "1", 1),
        60,
        NEW_YORK,
        "2026-11-01 00:00",
        False,
        "2026-11-01 05:30",
    ),
    (
        "a window over the gap is elapsed time",
        "FREQ=DAILY;BYHOUR=22",
        480,
        BERLIN,
        "2026-03-29 04:59",
        True,
        "2026-03-29 05:00",
    ),
    ("a window over midnight", "FREQ=DAILY;BYHOUR=22", 240, UTC_ZONE, "2026-03-10 01:00", True, "2026-03-10 02:00"),
    (
        "the 31st, where there is one",
        "FREQ=MONTHLY;BYMONTHDAY=31;BYHOUR=9",
        60,
        UTC_ZONE,
        "2026-02-01 00:00",
        False,
        "2026-03-31 09:00",
    ),
    (
        "the last day of the month",
        "FREQ=MONTHLY;BYMONTHDAY=-1;BYHOUR=9",
        60,
        UTC_ZONE,
        "2026-02-01 00:00",
        False,
        "2026-02-28 09:00",
    ),
    (
        "the last Friday",
        "FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=9",
        60,
        UTC_ZONE,
        "2026-02-28 00:00",
        False,
        "2026-03-27 09:00",
    ),
    ("29 February", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", 60, UTC_ZONE, "2026-03-01 00:00", False, "2028-02-29 00:00"),
    ("without a time it starts at midnight", "FREQ=DAILY", 60, UTC_ZONE, "2026-03-09 12:34", False, "2026-03-10 00:00"),
    ("midnight is local", "FREQ=DAILY", 60, BERLIN, "2026-03-09 12:34", False, "2026-03-09 23:00"),
    ("every second hour", "FREQ=HOURLY;INTERVAL=2", 30, UTC_ZONE, "2026-03-09 09:00", False, "2026-03-09 10:00"),
    (
        "every fifth hour, counted from the first day",
        "FREQ=HOURLY;INTERVAL=5",
        30,
        UTC_ZONE,
        "2026-03-09 00:00",
        False,
        "2026-03-09 02:00",
    ),
    ("until a day that is over", "FREQ=DAILY;UNTIL=20260201T000000", 60, UTC_ZONE, "2026-03-09 09:00", False, None),
    ("so many times, all over", "FREQ=DAILY;COUNT=10", 60, UTC_ZONE, "2026-03-09 09:00", False, None),
    ("so many times, the last one", "FREQ=DAILY;COUNT=10", 60, UTC_ZONE, "2026-01-09 12:00", False, "2026-01-10 00:00"),
    ("never closing", "FREQ=DAILY", 1440, UTC_ZONE, "2026-03-09 09:00", True, "2027-01-01 00:00"),
]


@pytest.mark.parametrize(
    ("what", "rrule", "minutes", "zone", "now", "is_open", "changes"), EXAMPLES, ids=[e[0] for e in EXAMPLES]
)
def test_is_open_or_says_when(what, rrule, minutes, zone, now, is_open, changes):
    verdict = asked(at(now), a_window(rrule, minutes, zone))
    assert verdict.passes is is_open
    if changes is None:
        assert verdict.reason == "window_never_opens"
        assert verdict.waits_for is WaitsFor.DENY
        assert verdict.changes_at == at("2027-01-01 00:00")
    else:
        assert verdict.changes_at == at(changes)


# zone, now, when it opens, and how a person there reads that: after the clocks changed in the night of Sunday
SAID = [
    (BERLIN, "2026-03-29 12:00", "2026-03-30 07:00", "2026-03-30T09:00"),
    (BERLIN, "2026-10-25 12:00", "2026-10-26 08:00", "2026-10-26T09:00"),
    (NEW_YORK, "2026-03-08 12:00", "2026-03-09 13:00", "2026-03-09T09:00"),
]


@pytest.mark.parametrize(("zone", "now", "opens", "local"), SAID)
def test_a_closed_window_says_when_it_opens_in_the_time_of_its_zone(zone, now, opens, local):
    said = {"changes_at": at(opens), "opens_at": at(opens), "opens_local": local, "timezone": zone}
    assert asked(at(now), a_window(OFFICE, 480, zone)) == holds(WaitsFor.WAIT, "window_closed", **said)


def test_an_open_window_says_until_when_and_one_that_is_over_who_can_act():
    found = asked(at("2026-03-09 12:00"), a_window(OFFICE, 480, BERLIN))
    assert found == passes("window_open", changes_at=at("2026-03-09 16:00"))
    new_year, who = at("2027-01-01 00:00"), "whoever may edit the policy"
    over = asked(at("2026-03-09 09:00"), a_window("FREQ=DAILY;COUNT=10", 60))
    assert over == holds(WaitsFor.DENY, "window_never_opens", changes_at=new_year, who=who, years=5)


def test_looks_ahead_to_the_end_of_the_fourth_year_that_follows():
    now = at("2026-03-09 09:00")
    last, beyond = (a_window(f"DTSTART:{day}T000000\nFREQ=YEARLY", 60) for day in ("20301231", "20310101"))
    assert asked(now, last).changes_at == at("2030-12-31 00:00")
    assert asked(now, beyond).reason == "window_never_opens"
    assert asked(at("2027-01-01 00:00"), beyond).changes_at == at("2031-01-01 00:00")


# recurrence since Wednesday 2020-01-01 00:00, and the time from one start to the next
PHASES = [
    ("FREQ=DAILY;INTERVAL=3", timedelta(days=3)),
    ("FREQ=DAILY;INTERVAL=10", timedelta(days=10)),
    ("FREQ=WEEKLY;INTERVAL=3", timedelta(days=21)),
    ("FREQ=HOURLY;INTERVAL=5", timedelta(hours=5)),
    ("FREQ=HOURLY;INTERVAL=36", timedelta(hours=36)),
]


@pytest.mark.parametrize(("rrule", "period"), PHASES)
@pytest.mark.parametrize("now", ["2020-01-01 00:30", "2020-01-12 00:30", "2026-03-09 12:34", "2028-02-29 12:34"])
def test_an_interval_is_counted_from_its_first_day_however_long_ago(rrule, period, now):
    window = a_window(rrule, 10, stored="2020-01-01 12:00")
    opens = asked(at(now), window).changes_at
    assert (opens - at("2020-01-01 00:00")) % period == timedelta()
    assert timedelta() < opens - at(now) <= period


def test_without_a_zone_a_window_is_in_utc_and_allows():
    for more in ({}, {"timezone": ""}):
        (rule,) = parse_rules([{"deploymentWindow": {"rrule": "RRULE:FREQ=DAILY", "durationMinutes": 60, **more}}])
        hour = timedelta(hours=1)
        assert rule.params == deployment_window.Params("FREQ=DAILY", None, hour, "UTC", allow=True)


TAKEN = [
    ("FREQ=DAILY;COUNT=10000", None),
    ("FREQ=HOURLY", None),
    ("FREQ=DAILY;BYHOUR=9,10;BYMINUTE=0,5,10,15,20,25,30,35,40,45,50,55", None),
    ("DTSTART:20000101T000000\nFREQ=DAILY", "2000-01-01 00:00"),
    ("DTSTART;VALUE=DATE:20260309\n\nRRULE:FREQ=DAILY", "2026-03-09 00:00"),
    ("DTSTART:20260329T013000Z\\nRRULE:FREQ=DAILY", "2026-03-29 03:30"),  # UTC, kept as Berlin reads it
    ("dtstart;tzid=Europe/Berlin:20260309T090000\nFREQ=DAILY", "2026-03-09 09:00"),
]


@pytest.mark.parametrize(("text", "starts"), TAKEN)
def test_takes_what_is_just_within_the_limits(text, starts):
    params = a_window(text, 366 * 24 * 60, BERLIN).params
    assert params.dtstart == (None if starts is None else datetime.fromisoformat(starts))
    assert params.duration == timedelta(days=366)


def test_interval_keeps_its_phase_over_the_years():
    every_second_week = a_window("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO;BYHOUR=9", 60, stored="2020-01-06 12:00")
    opens = asked(at("2026-03-01 00:00"), every_second_week).changes_at
    assert opens is not None
    assert (opens - at("2020-01-06 09:00")) % timedelta(days=14) == timedelta()
    after = asked(opens + timedelta(hours=2), every_second_week).changes_at
    assert after == opens + timedelta(days=14)


def test_a_dtstart_in_the_future_is_waited_for():
    window = a_window("DTSTART:20260401T090000\nRRULE:FREQ=DAILY", 60)
    assert asked(at("2026-03-09 09:30"), window).changes_at == at("2026-04-01 09:00")


def test_a_dtstart_in_utc_is_converted_to_the_zone_of_the_rule():
    window = a_window("DTSTART:20260301T080000Z\nRRULE:FREQ=DAILY", 60, BERLIN)
    assert asked(at("2026-03-09 08:30"), window).passes
    assert asked(at("2026-04-09 07:30"), window).passes, "09:00 local, in summer too"


def test_a_dtstart_may_name_the_zone_of_the_rule():
    window = a_window("DTSTART;TZID=Europe/Berlin:20260301T090000\nRRULE:FREQ=DAILY", 60, BERLIN)
    assert asked(at("2026-03-09 08:30"), window).passes


def test_a_window_that_was_never_checked_is_a_bug():
    params = deployment_window.Params("RDATE:20260101T090000", None, timedelta(hours=1), "UTC", allow=True)
    with pytest.raises(Bug):
        deployment_window.outlook(((params, at("2026-01-01 00:00")),), at("2026-03-09 09:00"))


def test_a_date_may_start_it():
    assert asked(at("2026-03-09 00:30"), a_window("DTSTART;VALUE=DATE:20260301\nFREQ=DAILY", 60)).passes


def test_several_allow_windows_are_a_union_and_touching_ones_are_one():
    morning, noon = a_window("FREQ=DAILY;BYHOUR=9", 180), a_window("FREQ=DAILY;BYHOUR=12", 60)
    assert asked(at("2026-03-09 10:00"), morning, noon).changes_at == at("2026-03-09 13:00")
    assert asked(at("2026-03-09 13:00"), morning, noon).changes_at == at("2026-03-10 09:00")


def test_a_deny_window_wins_and_the_opening_is_joint():
    allow, deny = a_window("FREQ=DAILY;BYHOUR=9", 480), a_window("FREQ=DAILY;BYHOUR=8", 120, allow=False)
    verdict = asked(at("2026-03-09 09:30"), allow, deny)
    assert not verdict.passes
    assert verdict.changes_at == at("2026-03-09 10:00")
    assert asked(at("2026-03-09 10:00"), allow, deny).changes_at == at("2026-03-09 17:00")


def test_a_deny_window_alone_leaves_everything_else_open():
    deny = a_window("FREQ=WEEKLY;BYDAY=FR;BYHOUR=12", 720, allow=False)
    assert asked(at("2026-03-09 09:00"), deny).changes_at == at("2026-03-13 12:00")
    assert asked(at("2026-03-13 13:00"), deny).changes_at == at("2026-03-14 00:00")


def test_deny_over_every_allow_never_opens():
    allow, deny = a_window("FREQ=DAILY;BYHOUR=9", 60), a_window("FREQ=DAILY;BYHOUR=9", 60, allow=False)
    assert asked(at("2026-03-09 09:30"), allow, deny).reason == "window_never_opens"


def test_overlapping_occurrences_of_one_window_close_with_the_last():
    overlapping = a_window("FREQ=DAILY;BYHOUR=9,10;COUNT=2", 120, stored="2026-03-09 00:00")
    assert asked(at("2026-03-09 09:30"), overlapping).changes_at == at("2026-03-09 12:00")


def test_hours_that_a_gap_puts_out_of_order_are_put_in_order():
    hourly = a_window("FREQ=HOURLY;BYMINUTE=30", 20, BERLIN)
    opens, found = at("2026-03-29 00:00"), []
    for _ in range(4):
        opens = asked(opens, hourly).changes_at
        found.append(opens.astimezone(UTC).strftime("%H:%M"))
        opens = asked(opens, hourly).changes_at
    assert found == ["00:30", "01:30", "02:30", "03:30"]


def test_a_rule_never_stored_before_counts_from_the_version():
    window = a_window("FREQ=DAILY;INTERVAL=2;BYHOUR=9", 60)
    verdict = deployment_window.evaluate(
        an_empty_subject(), (Rule("w", "deploymentWindow", window.params),), at("2026-03-09 08:30")
    )
    assert verdict.changes_at == at("2026-03-09 09:00"), "the version is of the 9th"


REFUSED = [
    ("FREQ=MINUTELY", "must not recur more often than hourly"),
    ("FREQ=SECONDLY", "must not recur more often than hourly"),
    (
        "FREQ=DAILY;BYHOUR=9,10;BYMINUTE=0,1,2,3,4,5,6,7,8,9,10,11,12,13",
        "must not recur more often than 24 times a day",
    ),
    ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "never recurs"),
    ("FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30", "never recurs"),
    ("FREQ=DAILY;COUNT=10001", "COUNT must be at most 10000"),
    ("FREQ=DAILY;BYHOUR=0,1,2,3,4;BYMINUTE=0,15,30,45,50", "must not recur more often than 24 times a day"),
    ("FREQ=DAILY;BYMONTH=" + ",".join(["1"] * 1000), "must be at most 2000 characters"),
    ("FREQ=SOMETIMES", "is not a recurrence of RFC 5545: "),
    ("every monday", "is not a recurrence of RFC 5545: "),
    ("", "must not be empty"),
    ("DTSTART:19991231T090000\nFREQ=DAILY", "DTSTART must not be before 2000-01-01"),
    ("DTSTART:00010101T000000Z\nFREQ=DAILY", "DTSTART must not be before 2000-01-01"),
    ("DTSTART:tomorrow\nFREQ=DAILY", "'tomorrow' is not a DTSTART"),
    (
        "DTSTART;TZID=America/New_York:20260101T090000\nFREQ=DAILY",
        "DTSTART names the zone America/New_York, the rule UTC",
    ),
    ("RRULE:FREQ=DAILY\nRRULE:FREQ=WEEKLY", "must be one recurrence"),
    ("RDATE:20260101T090000", "must be a single RRULE"),
]


@pytest.mark.parametrize(("rrule", "why"), REFUSED)
def test_refuses_a_recurrence_that_cannot_be_meant(rrule, why):
    with pytest.raises(Invalid) as refused:
        a_window(rrule, 60)
    assert refused.value.fields[0].path == "rules[0].deploymentWindow.rrule"
    said = refused.value.fields[0].message
    assert said.startswith(why) if why.endswith(": ") else said == why


def test_refuses_an_unknown_zone_and_a_window_without_length():
    with pytest.raises(Invalid) as refused:
        a_window("FREQ=DAILY", 0, "Mars/Olympus")
    assert [one.path for one in refused.value.fields] == [
        "rules[0].deploymentWindow.timezone",
        "rules[0].deploymentWindow.durationMinutes",
    ]


def test_refuses_more_than_a_year_and_words_where_yes_or_no_belongs():
    body = {"rrule": "FREQ=DAILY", "durationMinutes": 366 * 24 * 60 + 1, "timezone": "x" * 101, "allowWindow": "yes"}
    with pytest.raises(Invalid) as refused:
        parse_rules([{"deploymentWindow": body}])
    assert {one.path.rpartition(".")[2]: one.message for one in refused.value.fields} == {
        "timezone": f"'{'x' * 101}' is not a time zone of the IANA database",
        "durationMinutes": "must be from 1 to 527040",
        "allowWindow": "must be true or false",
    }
    with pytest.raises(Invalid) as refused:
        parse_rules([{"deploymentWindow": {}}])
    paths = [one.path.rpartition(".")[2] for one in refused.value.fields]
    assert paths == ["rrule", "durationMinutes"]

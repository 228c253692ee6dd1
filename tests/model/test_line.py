"""The breaker and the rate of one agent, as arithmetic over instants."""

from datetime import UTC, datetime, timedelta

import pytest

from interlock.model.conduct import Conduct
from interlock.model.line import TURN_S, Line, after_answer, after_silence, after_turns, take_turns

NOON = datetime(2026, 3, 9, 12, tzinfo=UTC)
LINE = Line("a")


def at(seconds):
    return NOON + timedelta(seconds=seconds)


def silent(line, conduct, *instants, wait_s=None):
    for seconds in instants:
        line = after_silence(line, conduct, at(seconds), reason="no", wait_s=wait_s)
    return line


# The breaker ----------------------------------------------------------------------------------------------------------


def test_it_opens_after_so_many_silences_in_a_row_and_an_answer_between_begins_anew():
    conduct = Conduct(breaker_failures=3)
    assert not silent(LINE, conduct, 0, 1).down
    assert not silent(after_answer(silent(LINE, conduct, 0, 1)), conduct, 2, 3).down
    down = silent(LINE, conduct, 0, 1, 2)
    assert (down.down_since, down.next_try_at, down.reason) == (at(0), at(3), "no")


def test_tries_come_after_twice_the_pause_each_time_up_to_the_longest():
    conduct = Conduct(breaker_failures=1, breaker_pause_s=7.0)
    line, tries = LINE, []
    for _ in range(6):
        now = line.next_try_at or NOON
        line = after_silence(line, conduct, now, reason="no")
        tries.append((line.next_try_at - now).total_seconds())
    assert tries == [1, 2, 4, 7, 7, 7]


def test_what_was_under_way_when_it_opened_is_no_try():
    conduct = Conduct(breaker_failures=1)
    line = silent(LINE, conduct, 0, 0.1, 0.2, 0.3)
    assert (line.next_try_at, line.pause_s, line.failures) == (at(1), 1.0, 4)


def test_an_outside_that_says_when_to_come_back_is_not_called_before():
    line = silent(LINE, Conduct(), 0, wait_s=90.0)
    assert line.down
    assert line.next_try_at == at(90)
    assert silent(line, Conduct(), 1, wait_s=200.0).next_try_at == at(201)
    assert silent(line, Conduct(), 1).next_try_at == at(90)


def test_one_try_at_a_time():
    line = silent(LINE, Conduct(breaker_failures=1), 0)
    assert line.tries_at(at(0.5)) == at(1)
    assert line.tries_at(at(1)) is None
    trying = Line("a", down_since=NOON, next_try_at=at(1), trying_until=at(40))
    assert trying.tries_at(at(2)) == at(40)
    assert trying.tries_at(at(40)) is None


def test_an_answer_ends_it_and_leaves_the_rate_alone():
    line = Line("a", next_turn_at=at(9), stands=True, moves_at=at(1))
    assert after_answer(silent(line, Conduct(breaker_failures=1), 0)) == line


def test_a_job_waits_for_an_agent_that_is_down_unless_it_is_its_turn():
    down = silent(LINE, Conduct(breaker_failures=1), 0)
    assert down.holds(None, NOON, rated=False)
    assert not down.holds(NOON, NOON, rated=False)
    assert down.holds(NOON, at(TURN_S), rated=False), "that turn is over"
    assert not LINE.holds(None, NOON, rated=True)
    assert Line("a", stands=True).holds(None, NOON, rated=True), "others came first"
    assert not Line("a", stands=True).holds(None, NOON, rated=False)


# The rate -------------------------------------------------------------------------------------------------------------


def drained(conduct, jobs, *, moves_every_s=0.3):
    """When each of so many jobs has its turn, with a line that moves now and then."""
    line, now, turns = LINE, NOON, []
    while len(turns) < jobs:
        given = take_turns(line, conduct, now)[: jobs - len(turns)]
        line = after_turns(line, conduct, now, taken=len(given))
        turns += given
        now += timedelta(seconds=moves_every_s)
    return [(turn - NOON).total_seconds() for turn in turns]


@pytest.mark.parametrize("moves_every_s", [0.1, 0.3, 0.9])
def test_turns_lie_an_interval_apart_however_often_the_line_moves(moves_every_s):
    turns = drained(Conduct(rate_per_minute=120), 20, moves_every_s=moves_every_s)
    assert turns == [n * 0.5 for n in range(20)]
    turns = drained(Conduct(rate_per_minute=6000), 500, moves_every_s=moves_every_s)
    assert turns == pytest.approx([n * 0.01 for n in range(500)])


def test_a_quiet_time_saves_turns_up_to_the_burst():
    conduct = Conduct(rate_per_minute=60, rate_burst=3)
    assert drained(conduct, 6)[:6] == [0, 0, 0, 1, 2, 3]
    line = after_turns(LINE, conduct, NOON, taken=3)
    assert take_turns(line, conduct, at(100)) == (at(100),) * 3 + (at(101),)


def test_never_more_in_a_minute_than_the_rate_and_the_burst_allow():
    conduct = Conduct(rate_per_minute=30, rate_burst=5)
    turns = drained(conduct, 200)
    for begin in turns:
        assert sum(begin <= turn < begin + 60 for turn in turns) <= 30 + 5


def test_without_a_rate_there_is_always_a_turn():
    assert take_turns(LINE, Conduct(), NOON, turns_max=3) == (NOON,) * 3

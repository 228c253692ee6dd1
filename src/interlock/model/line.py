"""May an agent's next job go now, and if not, when? Its jobs stand in a line; this says how the line moves.

A line stands for two reasons: the agent has a rate and its next turn is not yet due, or the agent is *down*. An agent
that answers, and has no rate, has no line: its jobs go as they come.

The circuit breaker. Every call that is not answered counts (a refused connection, a time-out, a 5xx, an answer that
cannot be read); any answer, a no too, sets the count back. After `breakerFailures` in a row, or at once where the
outside names the instant to come back (`Retry-After`), the agent is down: nobody calls it but one *try* at a time,
first after 1 s, then twice as long each time up to `breakerPauseSeconds`. Each try is another job, so that one job
which can never be answered does not keep the others waiting. The first answer ends it. A job that waits so is handed
over by the same rules as ever: rounds judge it meanwhile, and none of its retries is used.

The rate is a generic cell rate: turns lie an interval apart, and a quiet time saves up to `rateBurst` of them.

Pure: what is stored, and when it moves, is `store/lines.py`.

Source: decision record 0033; ITU-T I.371 (generic cell rate algorithm); M. Nygard, Release It!
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from interlock.model.conduct import Conduct

FIRST_PAUSE_S = 1.0
TURN_S = 60.0
"""How long a turn that was given may be used."""

AHEAD_S = 1.0
"""Turns are given so far ahead, so that a fast rate does not move the line for every job."""

TURNS_MAX = 200
"""How many turns one move of the line gives."""

TRY_SPARE_S = 15.0


@dataclass(frozen=True, slots=True)
class Line:
    """How it stands between us and one agent.

    Takes: `failures` in a row since `failing_since`. `down_since`: the breaker is open, the next try is at
           `next_try_at`, and one is under way until `trying_until`. `next_turn_at`: the rate's next turn. `stands`:
           jobs may stand in it; it moves at `moves_at`. `reason`: what was wrong with the last call.
    """

    agent_id: str
    failures: int = 0
    failing_since: datetime | None = None
    down_since: datetime | None = None
    next_try_at: datetime | None = None
    pause_s: float = 0.0
    trying_until: datetime | None = None
    next_turn_at: datetime | None = None
    stands: bool = False
    moves_at: datetime | None = None
    reason: str | None = None

    @property
    def down(self) -> bool:
        """Whether the breaker is open."""
        return self.down_since is not None

    @property
    def troubled(self) -> bool:
        """Whether an answer is news."""
        return self.failures > 0 or self.down

    def tries_at(self, now: datetime) -> datetime | None:
        """When somebody may call an agent that is down; None: now, and whoever takes the try first."""
        wait = max(at for at in (self.next_try_at, self.trying_until, now) if at is not None)
        return None if wait <= now else wait

    def holds(self, turn_at: datetime | None, now: datetime, *, rated: bool) -> bool:
        """Whether a job that waits must stand in line: it has no turn, and the agent is down, or others came first."""
        if turn_at is not None and now < turn_at + timedelta(seconds=TURN_S):
            return False  # given a second ahead at most; its work item says when
        return self.down or (rated and self.stands)


def after_silence(line: Line, conduct: Conduct, now: datetime, *, reason: str, wait_s: float | None = None) -> Line:
    """A call was not answered.

    Takes: `wait_s` is the wait that the outside asked for.
    """
    failures, since = line.failures + 1, line.failing_since or now
    line = replace(line, failures=failures, failing_since=since, reason=reason)
    if not line.down and failures < conduct.breaker_failures and not wait_s:
        return line
    pause_s, next_try_at = line.pause_s, line.next_try_at
    if next_try_at is None or now >= next_try_at:  # what was under way when the last try failed is no try of its own
        pause_s = min(pause_s * 2 or FIRST_PAUSE_S, conduct.breaker_pause_s)
        next_try_at = now + timedelta(seconds=pause_s)
    asked_at = now + timedelta(seconds=wait_s or 0.0)
    return replace(line, down_since=since, pause_s=pause_s, next_try_at=max(next_try_at, asked_at), trying_until=None)


def after_answer(line: Line) -> Line:
    """A call was answered, whatever it said."""
    return Line(line.agent_id, next_turn_at=line.next_turn_at, stands=line.stands, moves_at=line.moves_at)


def take_turns(line: Line, conduct: Conduct, now: datetime, *, turns_max: int = TURNS_MAX) -> tuple[datetime, ...]:
    """The turns that may be given now, in order; those of a rate up to a second ahead."""
    every_s = conduct.rate_interval_s
    if every_s is None:
        return (now,) * turns_max
    every, at = timedelta(seconds=every_s), _first_turn(line, conduct, now, every_s)
    found: list[datetime] = []
    while at <= now + timedelta(seconds=AHEAD_S) and len(found) < turns_max:
        found.append(max(at, now))
        at += every
    return tuple(found)


def after_turns(line: Line, conduct: Conduct, now: datetime, *, taken: int) -> Line:
    """So many turns were used."""
    every_s = conduct.rate_interval_s
    if every_s is None or not taken:
        return line
    begin = _first_turn(line, conduct, now, every_s)
    return replace(line, next_turn_at=begin + timedelta(seconds=every_s) * taken)


def explain_wait(
    *, agent: str, down_since: datetime | None, next_try_at: datetime | None, reason: str | None, rate: object = None
) -> str:
    """Why an agent's jobs wait, as a sentence; instants as everywhere, so that a page can show them its way."""
    if down_since is None:
        return f"Waits for its turn: the agent {agent} takes {rate} jobs a minute."
    because = f" ({' '.join(reason.split()).rstrip('.')})" if reason else ""
    again = f"; it is tried again at {_instant(next_try_at)}" if next_try_at is not None else ""
    return f"The agent {agent} does not answer since {_instant(down_since)}{because}{again}."


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _first_turn(line: Line, conduct: Conduct, now: datetime, every_s: float) -> datetime:
    """The next turn; in the past where a quiet time has saved some."""
    saved_at = now - timedelta(seconds=every_s * (conduct.rate_burst - 1))
    return saved_at if line.next_turn_at is None else max(line.next_turn_at, saved_at)

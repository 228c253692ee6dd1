"""How it stands between us and each job agent: who may call it, who waits, and when the next may go.

`model/line.py` says how a line moves; here it is stored, one small row an agent that was ever in trouble or has a rate.
An agent that answers and has no rate costs nothing: its row is read with the job, and written by nobody.

Jobs that must stand in line leave the work table. One item of it, `line` with the agent's id, moves the line: it gives
turns to the first jobs and asks for their `dispatch` at just those instants. So 1,000 jobs of an agent that is down are
no 1,000 looks, and those of a slow rate are one look each.

Nobody is lost: whoever finds the line standing asks for the item again, and the line stops standing only in a
transaction that holds its row and finds nobody.

Source: core.md sections 5 and 8; decision record 0033.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from interlock.model.conduct import Conduct, read_conduct
from interlock.model.event import Event, Ref
from interlock.model.line import (
    TRY_SPARE_S,
    TURN_S,
    Line,
    after_answer,
    after_silence,
    after_turns,
    explain_wait,
    take_turns,
)
from interlock.store.queries import Conn, queries
from interlock.store.tx import Change, Tx
from interlock.store.work import OWN_FACTS, WorkRequest

Q = queries("line")

LOCKED_AGAIN_S = 0.5
"""When a line is looked at again whose only jobs somebody else had locked."""

REASON_MAX = 1_000


@dataclass(frozen=True, slots=True)
class LineRow:
    """How it stands with an agent, as people read it. `waiting` counts its jobs that nobody has yet."""

    agent_id: str
    name: str
    failures: int
    failing_since: datetime | None
    down_since: datetime | None
    next_try_at: datetime | None
    trying_until: datetime | None
    reason: str | None
    waiting: int


@dataclass(frozen=True, slots=True)
class _Held:
    line: Line
    conduct: Conduct
    now: datetime
    name: str
    workspace_id: str


async def load_lines(conn: Conn, agent_ids: Sequence[str]) -> dict[str, LineRow]:
    """agent id -> how it stands with it."""
    rows = await conn.fetch(Q.list_lines, list(agent_ids))
    return {row["agent_id"]: LineRow(**dict(row)) for row in rows}


async def explain_waits(conn: Conn, agent_ids: Sequence[str]) -> dict[str, str]:
    """agent id -> why its jobs wait, for those that are down or whose jobs go at a rate and stand in line."""
    if not agent_ids:
        return {}
    rows = await conn.fetch(Q.list_waits, list(agent_ids))
    return {
        row["agent_id"]: explain_wait(
            agent=row["name"],
            down_since=row["down_since"],
            next_try_at=row["next_try_at"],
            reason=row["reason"],
            rate=row["rate"],
        )
        for row in rows
    }


async def note_silence(tx: Tx, agent_id: str, *, reason: str, wait_s: float | None) -> None:
    """A call of the agent was not answered. `wait_s` is the wait that the outside asked for."""
    held = await _lock(tx, agent_id)
    if held is None:
        return
    before, now = held.line, held.now
    line = after_silence(before, held.conduct, now, reason=reason[:REASON_MAX], wait_s=wait_s)
    events = [_event("agent.down", held, line)] if line.down and not before.down else []
    wakes = []
    if line.down:
        line = replace(line, stands=True, moves_at=line.next_try_at)
        wakes = [_move(held, line.next_try_at)]
    await tx.record([_saved(line)], events=events, wakes=wakes)


async def note_answer(tx: Tx, agent_id: str) -> None:
    """An agent that did not answer did now."""
    held = await _lock(tx, agent_id)
    if held is None or not held.line.troubled:
        return
    line = after_answer(held.line)
    if not held.line.down:
        await tx.record([_saved(line)])
        return
    line = replace(line, moves_at=held.now)
    await tx.record([_saved(line)], events=[_event("agent.back", held, held.line)], wakes=[_move(held, None)])


async def take_try(tx: Tx, agent_id: str, *, call_s: float) -> bool:
    """Take the one try that an agent which is down gets now. Says whether it was to be had."""
    return await tx.conn.fetchrow(Q.take_try, agent_id, call_s + TRY_SPARE_S) is not None


async def give_try_back(tx: Tx, agent_id: str, *, workspace_id: str) -> None:
    """The job that had the try was not handed over: the next in line takes it."""
    if await tx.conn.fetchrow(Q.give_try_back, agent_id) is not None:
        await tx.record(wakes=[line_request(agent_id, workspace_id, None)])


async def hurry_line(tx: Tx, agent_id: str, *, workspace_id: str) -> None:
    """The agent's config changed: perhaps it answers now, or its jobs may go faster."""
    if await tx.conn.fetchrow(Q.hurry_line, agent_id) is not None:
        await tx.record(wakes=[line_request(agent_id, workspace_id, None)])


async def stand_in_line(tx: Tx, agent_id: str, *, workspace_id: str, line: Line) -> None:
    """A job waits for its turn.

    Takes: `line` as it was read with the job. Where it stood then, its item is asked for again: it may have stopped
           standing meanwhile.
    """
    if not line.stands:
        held = await _lock(tx, agent_id)
        if held is None:
            return
        at = None
        if held.line.down:
            at = max(at for at in (held.line.next_try_at, held.line.trying_until, held.now) if at is not None)
        line = replace(held.line, stands=True, moves_at=at or held.now)
        await tx.record([_saved(line)])
    await tx.record(wakes=[line_request(agent_id, workspace_id, line.moves_at)])


async def take_turn(tx: Tx, agent_id: str) -> bool:
    """One turn of the agent's rate, for a job that found nobody before it. Says whether one was due."""
    held = await _lock(tx, agent_id)
    if held is None:
        return True
    if held.line.down or held.line.stands:
        return False
    turns = take_turns(held.line, held.conduct, held.now, turns_max=1)
    if not turns or turns[0] > held.now:
        return False
    await tx.record([_saved(after_turns(held.line, held.conduct, held.now, taken=1))])
    return True


async def move_line(tx: Tx, agent_id: str) -> datetime | None:
    """Give the first in line their turns. Gives when it moves next; None: nobody stands there."""
    held = await _lock(tx, agent_id)
    if held is None:
        return None
    line, now = held.line, held.now
    if line.down:
        wait_until = line.tries_at(now)
        if wait_until is not None:
            await tx.record([_saved(replace(line, stands=True, moves_at=wait_until))])
            return wait_until
        turns: tuple[datetime, ...] = (now,)
    else:
        turns = take_turns(line, held.conduct, now)
    rows = await tx.conn.fetch(Q.list_line, agent_id, len(turns), TURN_S) if turns else []
    first = [row["id"] for row in rows]
    line = after_turns(line, held.conduct, now, taken=len(first))
    there = len(first) == len(turns) or await tx.conn.fetchval(Q.is_anybody_there, agent_id, TURN_S)
    again = None
    if line.down and first:
        again = now + timedelta(seconds=held.conduct.start_timeout_s + TRY_SPARE_S)
        line = replace(line, trying_until=again)
    elif there:
        again = max(_next(line, held.conduct, now), now if first else now + timedelta(seconds=LOCKED_AGAIN_S))
    line = replace(line, stands=again is not None, moves_at=again)
    changes = [_saved(line), *([Change(Q.give_turns, (first, list(turns[: len(first)])))] if first else [])]
    wakes = [
        WorkRequest("dispatch", job_id, held.workspace_id, at, OWN_FACTS)
        for job_id, at in zip(first, turns, strict=False)
    ]
    await tx.record(changes, wakes=wakes)
    return again


async def waiting_requests(conn: Conn, job_ids: Sequence[str], *, workspace_id: str) -> list[WorkRequest]:
    """Who must look because these jobs may be handed over now: they themselves, or the lines in which they stand.

    Why:    a job that had its turn and was not to be handed over then is passed over by its line for a minute.
    """
    if not job_ids:
        return []
    rows = await conn.fetch(Q.list_standing, list(job_ids), TURN_S)
    turns = {row["job_id"]: row["turn_at"] for row in rows}
    lines = {row["agent_id"]: row["moves_at"] for row in rows if row["turn_at"] is None}
    return [
        *(
            WorkRequest("dispatch", each, workspace_id, turns.get(each), OWN_FACTS)
            for each in job_ids
            if each not in turns or turns[each] is not None
        ),
        *(line_request(agent_id, workspace_id, at) for agent_id, at in lines.items()),
    ]


def line_request(agent_id: str, workspace_id: str, at: datetime | None) -> WorkRequest:
    """Have a line moved, no later than that."""
    return WorkRequest("line", agent_id, workspace_id, at, OWN_FACTS)


def _next(line: Line, conduct: Conduct, now: datetime) -> datetime:
    """When the next turns can be given: where there is a rate, a little before the first of them is due."""
    every_s = conduct.rate_interval_s
    if every_s is None or line.next_turn_at is None:
        return now
    return line.next_turn_at - timedelta(seconds=min(every_s, 1.0) / 2)


def _move(held: _Held, at: datetime | None) -> WorkRequest:
    return line_request(held.line.agent_id, held.workspace_id, at)


def _event(kind: str, held: _Held, line: Line) -> Event:
    since = None if line.down_since is None else line.down_since.isoformat()
    body = {"name": held.name, "since": since, "failures": line.failures}
    return Event(kind, Ref("agent", line.agent_id), body)


def _saved(line: Line) -> Change:
    return Change(
        Q.save_line,
        (
            line.agent_id,
            line.failures,
            line.failing_since,
            line.down_since,
            line.next_try_at,
            line.pause_s,
            line.trying_until,
            line.next_turn_at,
            line.stands,
            line.moves_at,
            line.reason,
        ),
    )


async def _lock(tx: Tx, agent_id: str) -> _Held | None:
    row = await tx.conn.fetchrow(Q.lock_line, agent_id)
    if row is None:
        return None
    fields: dict[str, Any] = dict(row)
    now, name, workspace_id, config = (fields.pop(key) for key in ("now", "name", "workspace_id", "config"))
    return _Held(Line(**fields), read_conduct(config), now, name, workspace_id)

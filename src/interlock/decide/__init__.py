"""Which moves should happen now, and why not the others? The pure core: no I/O, no clock, no log, no async.

    reactions   what ended is answered: verification, success, rollback, halt
    candidates  which versions a target may consider at all
    gates       which of them may start, per kind of move
    pace        how many go now, in which order
    plan        every write of the round, and the next instant at which time alone may change an answer

Takes frozen `Facts` and one `now`; gives a `Plan`. It is total: a rule that raises becomes `unknown`, which holds.

Source: core.md sections 3 and 4; DESIGN.md section 4.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from datetime import datetime

from interlock.decide import react
from interlock.decide.candidates import Candidates
from interlock.decide.facts import Facts
from interlock.decide.gates import Asked, Gates
from interlock.decide.index import Index
from interlock.decide.pace import MOVES_MAX, Pace
from interlock.decide.plan import Plan, applied, joined
from interlock.decide.record import Recorder

ENGINE_VERSION = "2"
"""Goes up with every change that may decide the same facts differently; `replay` says so when it differs."""


@dataclass(frozen=True, slots=True)
class WorkedOut:
    """A round as it was worked out: what it writes, and whom it asked on the way, for those who ask why."""

    plan: Plan
    index: Index
    gates: Gates
    asked: Asked
    pace: Pace


def decide(facts: Facts, now: datetime, *, moves_max: int = MOVES_MAX) -> Plan:
    """One round of one deployment.

    Costs: linear in targets; each environment-and-version rule once per policy set.
    """
    return work_out(facts, now, moves_max=moves_max).plan


def work_out(
    facts: Facts, now: datetime, *, moves_max: int = MOVES_MAX, only: Container[str] | None = None
) -> WorkedOut:
    """The same, with everything that led to it.

    Takes: `only` asks some targets alone (ids); the others stay as they are and compete for nothing.
    """
    recorder = Recorder(facts, now)
    answers = react.answer(Index(facts), recorder, now)
    index = Index(applied(facts, answers, now))
    gates = Gates(index, recorder, Candidates(index, now), now)
    asked = gates.ask(only)
    pace = Pace(index, recorder, gates, now, moves_max)
    starts = pace.admit(asked)
    plan = joined((answers, starts), wake_at=None)
    plan = replace(
        plan,
        desired_by_target=_desired(index, plan, asked),
        decisions=recorder.decisions(),
        target_decisions=recorder.rows(),
        wake_at=recorder.next_wake(),
    )
    return WorkedOut(plan, index, gates, asked, pace)


def _desired(index: Index, plan: Plan, asked: Asked) -> tuple[tuple[str, str | None], ...]:
    """Where the version a target goes for differs from what its row says: paced or not; else what it runs."""
    starting = {move.target_id: move.version_id for move in plan.moves}
    ended = {end.move_id for end in plan.ends}
    changed = []
    for target in index.targets_in_order:
        asking = asked.by_target.get(target.id)
        move = index.open_move_by_target.get(target.id)
        wanted = starting.get(target.id)
        if wanted is None and move is not None and move.id not in ended:
            wanted = move.version_id
        if wanted is None and asking is not None and asking.choice is not None:
            wanted = asking.choice.version.id
        if wanted is None and target.current is not None:
            wanted = target.current.version_id
        if wanted != target.desired:
            changed.append((target.id, wanted))
    return tuple(changed)

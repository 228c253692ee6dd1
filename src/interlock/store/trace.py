"""What did one version go through? Where it stands on every target, and the story of how it came there.

The tables say where it stands: who runs it, where it proved itself, where it was rolled back. The ledger says how:
made, decided, asked for, approved, moved, verified, undone, each with its instant. Both are read in one snapshot.

Source: core.md sections 1 and 7; issue "Every rule, one pure decision", `interlock trace`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from interlock.decide.explain import sentence, title
from interlock.model.version import Version
from interlock.store import target_states
from interlock.store.ledger import FeedEntry, entry_of
from interlock.store.queries import Conn, queries
from interlock.store.rows import many

Q = queries("trace")

CELLS_MAX = 5_000
STORY_MAX = 2_000
DECISIONS_MAX = 200


@dataclass(frozen=True, slots=True)
class CellRow:
    """One target, and what it did with the version. `runs`, `proven` and `wanted` are None where there is nothing.

    Takes: `runs_failed`: it runs what a move of this version brought there, and that move failed (its verification).
    """

    id: str
    environment_id: str
    environment: str
    resource_id: str
    resource: str
    state: str
    runs: bool | None
    proven: bool | None
    first_success_at: datetime | None
    verified_at: datetime | None
    left_at: datetime | None
    runs_failed: bool
    move_id: str | None
    move_kind: str | None
    move_state: str | None
    move_reason: str | None
    admitted_at: datetime | None
    started_at: datetime | None
    closed_at: datetime | None
    job_id: str | None
    job_status: str | None
    outcome: str | None
    wanted: bool | None
    verdicts: Sequence[Mapping[str, Any]]
    decision_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Cell:
    """One target of a stage. `state` is a word of `CELL_STATES`; `says` is the first thing that holds it."""

    row: CellRow
    state: str
    says: str | None


CELL_STATES: Mapping[str, str] = {
    "verified": "runs it, proven",
    "running": "runs it",
    "moving": "on the way",
    "held": "held",
    "failed": "it failed here",
    "left": "ran it, and was rolled back",
    "past": "ran it, and something else since",
    "none": "never had it",
}


@dataclass(frozen=True, slots=True)
class RolloutRow:
    """One rollout of the version."""

    id: str
    environment_id: str
    environment: str
    state: str
    reason: str | None
    opened_at: datetime
    state_at: datetime


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """One decision about the version."""

    id: str
    kind: str
    environment_id: str | None
    environment: str | None
    outcome: str
    verdicts: Sequence[Mapping[str, Any]]
    at: datetime
    valid_until: datetime | None
    round_id: str


@dataclass(frozen=True, slots=True)
class Stage:
    """One environment: the version's rollout there, and its targets."""

    environment_id: str
    environment: str
    rollout: RolloutRow | None
    cells: tuple[Cell, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Cell state -> targets, in the order of `CELL_STATES`."""
        found = Counter(cell.state for cell in self.cells)
        return {state: found[state] for state in CELL_STATES if found[state]}


@dataclass(frozen=True, slots=True)
class Trace:
    """What a version went through. `cut` says that there is more than what is here."""

    version: Version
    stages: tuple[Stage, ...]
    decisions: tuple[DecisionRow, ...]
    story: tuple[FeedEntry, ...]
    cut: bool


async def load_trace(
    conn: Conn, workspace_id: str, *, version: Version, story_max: int = STORY_MAX, after_seq: int = 0
) -> Trace:
    """A version's journey.

    Takes: a connection inside a snapshot. `story_max` events after `after_seq`.
    Costs: six statements.
    """
    deployment_id = version.deployment_id
    cells = many(CellRow, await conn.fetch(Q.list_cells, deployment_id, version.id, CELLS_MAX))
    rollouts = many(RolloutRow, await conn.fetch(Q.list_rollouts_of, deployment_id, version.id))
    decisions = many(DecisionRow, await conn.fetch(Q.list_decisions_about, deployment_id, version.id, DECISIONS_MAX))
    trees = await target_states.load_decisions(
        conn, [one for cell in cells if cell.wanted for one in cell.decision_ids]
    )
    undoing = [row["id"] for row in await conn.fetch(Q.list_undoing, deployment_id, version.id)]
    rows = await conn.fetch(Q.read_story, workspace_id, [version.id, *undoing], after_seq, story_max + 1)
    stages: dict[str, list[Cell]] = {}
    for row in cells:
        stages.setdefault(row.environment_id, []).append(_cell(row, version.id, trees))
    newest = {one.environment_id: one for one in rollouts}
    return Trace(
        version,
        tuple(
            Stage(environment_id, group[0].row.environment, newest.get(environment_id), tuple(group))
            for environment_id, group in stages.items()
        ),
        decisions,
        tuple(entry_of(row) for row in rows[:story_max]),
        cut=len(rows) > story_max or len(cells) == CELLS_MAX or len(decisions) == DECISIONS_MAX,
    )


def _cell(row: CellRow, version_id: str, trees: Mapping[str, target_states.StoredDecision]) -> Cell:
    """Where the version stands on one target, as far as rounds wrote it down."""
    says = _first_hold(row, version_id, trees) if row.wanted and row.outcome in {"hold", "unknown"} else None
    return Cell(row, _cell_state(row), says)


def _cell_state(row: CellRow) -> str:
    if row.move_id is not None and row.closed_at is None:
        return "moving"
    if row.runs_failed:
        return "failed"  # its job went well and its verification did not: it runs until something takes it back
    if row.runs:
        return "verified" if row.proven else "running"
    if row.wanted and row.outcome in {"hold", "unknown"}:
        return "held"
    if row.left_at is not None:
        return "left"
    if row.move_state == "failed":
        return "failed"
    return "past" if row.first_success_at is not None else "none"


def _first_hold(row: CellRow, version_id: str, trees: Mapping[str, target_states.StoredDecision]) -> str | None:
    """The first sentence of what holds the version there: the target's own, then what it shares."""
    shared = [
        verdict
        for each in row.decision_ids
        if each in trees and trees[each].version_id == version_id
        for verdict in trees[each].verdicts
    ]
    for verdict in (*row.verdicts, *shared):
        if verdict.get("outcome") != "pass" and not verdict.get("observed"):
            return f"{title(verdict)}: {sentence(verdict)}"
    return None

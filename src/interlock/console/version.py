"""What did a version go through? Its journey through the environments as a picture, then its story.

One column an environment, in the order in which they were made; in each its rollout and a cell a target: who runs it,
who is on the way, whom something holds (with the sentence), where it failed and where it was rolled back.

Source: issue "Every rule, one pure decision", `interlock trace`; STYLE.md rule 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from interlock.console.telling import entries_of
from interlock.console.visit import Visit, found, id_in_path
from interlock.model.ids import TargetKey
from interlock.store import pages, versions
from interlock.store.trace import CELL_STATES, Cell, Stage, load_trace

CELLS_SHOWN_MAX = 60
HOLDS_SHOWN_MAX = 3
ENTRIES_MAX = 200

MARKS = {
    "verified": "good",
    "running": "pass",
    "moving": "moving",
    "held": "wait",
    "failed": "failed",
    "left": "back",
    "past": "idle",
    "none": "idle",
}
"""State of a cell -> mark."""


FIRST = ("failed", "left", "held", "moving", "running", "verified", "past", "none")
"""The order in which cells are shown: those that somebody may have to look at come first."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A cell with its mark and the way to its target."""

    name: str
    mark: str
    word: str
    says: str | None
    key: str
    job_id: str | None


@dataclass(frozen=True, slots=True)
class Column:
    """One environment. `holds` are (sentence, targets that it holds)."""

    stage: Stage
    cells: Sequence[Shown]
    left_out: int
    holds: Sequence[tuple[str, int]]


async def show(visit: Visit) -> Response:
    """A version."""
    version_id = id_in_path(visit, "version", "version")
    here = visit.here
    async with here.store.snapshot() as conn:
        version = found(await versions.find_version(conn, here.id, version_id=version_id), "version")
        deployment = found(
            await pages.find_deployment(conn, here.id, deployment_id=version.deployment_id), "deployment"
        )
        trace = await load_trace(conn, here.id, version=version)
        authors = await pages.find_authors(conn, version_id)
        entries = await entries_of(conn, trace.story[-ENTRIES_MAX:], at=visit.at)
        return await visit.render(
            conn,
            "version.html",
            title=f"{version.tag} of {deployment.name}",
            live="follow",
            about=[version.id],
            version=version,
            deployment=deployment,
            author=authors.named_author or authors.author if authors else None,
            columns=[_column(stage, version.deployment_id) for stage in trace.stages],
            words=CELL_STATES,
            marks_of=MARKS,
            entries=entries[::-1],
            earlier=len(trace.story) > ENTRIES_MAX or trace.cut,
        )


def _column(stage: Stage, deployment_id: str) -> Column:
    cells = sorted(stage.cells, key=lambda one: (FIRST.index(one.state), one.row.resource, one.row.id))
    holds: dict[str, int] = {}
    for cell in cells:
        if cell.says is not None:
            holds[cell.says] = holds.get(cell.says, 0) + 1
    shown = [_shown(cell, deployment_id) for cell in cells[:CELLS_SHOWN_MAX]]
    most = sorted(holds.items(), key=lambda one: -one[1])[:HOLDS_SHOWN_MAX]
    return Column(stage, shown, max(0, len(cells) - CELLS_SHOWN_MAX), most)


def _shown(cell: Cell, deployment_id: str) -> Shown:
    row = cell.row
    key = str(TargetKey(row.resource_id, row.environment_id, deployment_id))
    return Shown(row.resource, MARKS[cell.state], CELL_STATES[cell.state], cell.says, key, row.job_id)

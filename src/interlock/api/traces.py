"""REST for a version's journey: every stage and target that it went through, and the story of how.

Source: issue "Every rule, one pure decision", `interlock trace`. This path is ours, not the public contract's.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api import shapes
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import Wire, render_version
from interlock.decide.explain import sentences
from interlock.store import versions
from interlock.store.trace import CELL_STATES, Cell, DecisionRow, Stage, load_trace
from interlock.web.answers import Json, instant, present
from interlock.web.entries import LedgerEntry, render_entries
from interlock.web.shapes import AnyObject
from interlock.web.sign_in import InWorkspace

router = noun_router("versions")

EVENTS_MAX = 5_000


class TraceAnswer(TypedDict):
    """What a version went through. `cut` says whether more events follow the last."""

    version: shapes.DeploymentVersion
    stages: list[AnyObject]
    decisions: list[AnyObject]
    events: list[LedgerEntry]
    cut: bool


@router.get(W + "/deployment-versions/{deploymentVersionId:segment}/trace", response_model=TraceAnswer)
async def get_trace(
    here: InWorkspace,
    deploymentVersionId: str,
    after: Annotated[int, Query(ge=0, le=2**63 - 1, description="Events after this place in the ledger.")] = 0,
    limit: Annotated[int, Query(ge=1, le=EVENTS_MAX, description="Events at most.")] = 1_000,
) -> Response:
    """Get what a version went through: where it stands on every target, its decisions, and its events in order."""
    here.require(Permission.READ)
    version_id = id_of(deploymentVersionId, "version")
    async with here.store.snapshot() as conn:
        version = found(await versions.find_version(conn, here.id, version_id=version_id), "version")
        trace = await load_trace(conn, here.id, version=version, story_max=limit, after_seq=after)
        events = await render_entries(conn, trace.story)
    return Json(
        {
            "version": render_version(version),
            "stages": [render_stage(stage) for stage in trace.stages],
            "decisions": [render_decision(decision) for decision in trace.decisions],
            "events": events,
            "cut": trace.cut,
        }
    )


def render_stage(stage: Stage) -> Wire:
    """One environment on the wire."""
    rollout = stage.rollout
    return present(
        environment={"id": stage.environment_id, "name": stage.environment},
        rollout=present(
            id=rollout.id,
            state=rollout.state,
            reason=rollout.reason,
            openedAt=instant(rollout.opened_at),
            stateAt=instant(rollout.state_at),
        )
        if rollout is not None
        else None,
        counts=stage.counts,
        targets=[render_cell(cell) for cell in stage.cells],
    )


def render_cell(cell: Cell) -> Wire:
    """One target on the wire. Instants that did not come are absent."""
    row = cell.row
    instants = {
        "admittedAt": row.admitted_at,
        "startedAt": row.started_at,
        "succeededAt": row.first_success_at,
        "verifiedAt": row.verified_at,
        "rolledBackAt": row.left_at,
        "closedAt": row.closed_at,
    }
    return present(
        id=row.id,
        resource={"id": row.resource_id, "name": row.resource},
        state=cell.state,
        means=CELL_STATES[cell.state],
        holds=cell.says,
        move=present(id=row.move_id, kind=row.move_kind, state=row.move_state, reason=row.move_reason) or None,
        job=present(id=row.job_id, status=row.job_status) or None,
        **{name: instant(at) for name, at in instants.items() if at is not None},
    )


def render_decision(decision: DecisionRow) -> Wire:
    """One decision on the wire, with its verdicts in sentences."""
    return present(
        id=decision.id,
        kind=decision.kind,
        environment=present(id=decision.environment_id, name=decision.environment),
        outcome=decision.outcome,
        at=instant(decision.at),
        validUntil=instant(decision.valid_until) if decision.valid_until else None,
        roundId=decision.round_id,
        verdicts=sentences(decision.verdicts),
    )

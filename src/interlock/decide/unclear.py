"""Nothing could tell whether a move worked: what is said of it while it holds?

The target runs what the move brought, its release is not `good`, and its place in the rollout stays taken, so whoever
comes next waits: also where targets otherwise overlap. It ends with the verification (`rules/verification.py`).

Source: DESIGN.md section 7 (failed and errored differ); issue 6, "One state machine".
"""

from __future__ import annotations

from interlock.decide.facts import Move
from interlock.decide.index import Index
from interlock.decide.rules import verification
from interlock.decide.verdict import Judged, Stage, WaitsFor, holds

WHO = "whoever may steer here may accept it, fail it or measure again"


def unclear_words(index: Index, move: Move | None) -> tuple[Judged, ...]:
    """That a move waits because nothing could tell; nothing where it does not."""
    one = move.unclear if move is not None else None
    if move is None or one is None:
        return ()
    version = index.version_by_id.get(move.version_id)
    verdict = holds(
        WaitsFor.PERSON,
        "verification_unclear",
        waits_on=(f"verification:{one.id}",),
        who=WHO,
        changes_at=one.held_until,
        version=version.tag if version else move.version_id,
        message=(one.message or "no measurement said anything").rstrip("."),
        verification=one.id,
    )
    return (Judged(verification.kind, verdict, Stage.READINESS),)

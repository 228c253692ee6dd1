"""What becomes of an order? It is answered by a move, waits for its turn, or ends; and how many go back at once?

An order is a fact: somebody (redeploy, force, roll back now) or a reaction (automatic rollback) wants one move on one
target. Only rounds create jobs, so a round answers it:

    waits      something else moves on its target, or its own gates or slot hold it; the target's row says so
    turn       its target is free: a move of its kind starts, with what the order brings
    answered   that move was handed over: nothing can take it back any more
    ends       by its own end (`expires_at`), because its target left, or because there is nothing to bring

Until its move is handed over an order stays open, so that a move which is withdrawn meanwhile (a freeze takes the
waiting job back) is made again when it may, and never after the order's end.

Source: core.md section 3 ("Only rounds create jobs for targets") and section 4 (the table); definitions.md E4, cap_rb.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from interlock.decide.facts import Move, Order, ReleaseRef, Target
from interlock.decide.index import Index
from interlock.decide.plan import ESCALATED, OrderEnd, Plan
from interlock.decide.record import Recorder
from interlock.decide.verdict import Judged, Stage, WaitsFor, holds
from interlock.model.job import Handover

ROLLBACK_CAP = 0.33
"""The share of an environment's targets that go back at once where many go back together, at least one. definitions.md
E4, cap_rb: faster than forward, and still not all at once. Where a concurrency rule stands, its groups are counted."""

ROLLBACK_OVERDUE = timedelta(hours=1)
"""After so long a person is called for: the rollback's job has not ended, or what it waits for has not."""

AS_FROZEN = frozenset({"redeploy", "rollback"})
"""Kinds of move that bring a release as it was frozen, whatever its target's config is now."""

READY = "ready"

REASONS = {
    "order_waits_for_move": "A {order} is asked for and follows when what moves here now has ended.",
    "rollback_cap": "{in_flight} of {targets} targets go back already; at most {limit} do at once.",
    "rollback_overdue": "Going back is not done within {minutes} minutes; a person must act.",
}

OPERATOR = "an operator: cancel the job that runs, or see to its agent"


def end_orders(index: Index, recorder: Recorder, now: datetime) -> Plan:
    """The orders that are answered, that have expired, or whose target left; before anything is reacted to."""
    ends: list[OrderEnd] = []
    for order in sorted(index.facts.orders, key=lambda one: one.id):
        move = index.open_move_by_target.get(order.target_id)
        tried = move is not None and move.order_id == order.id and not move.untouched
        if tried and move is not None and move.jobs and move.jobs[-1].handover is Handover.STARTING:
            continue  # it may turn out that nothing was started; what becomes of the hand-over is a fact of its own
        if tried and move is not None:
            ends.append(OrderEnd(order.id, order.target_id, "answered", order.kind, move.id))
        elif order.target_id not in index.facts.targets:
            ends.append(OrderEnd(order.id, order.target_id, "refused", "target_detached"))
        elif order.expires_at is not None and order.expires_at <= now:
            ends.append(OrderEnd(order.id, order.target_id, "expired", "expired"))
        else:
            recorder.wake((order.expires_at,))
    return Plan(order_ends=tuple(ends))


def refuse_orders(index: Index) -> Plan:
    """The orders on free targets that no move can answer; after everything was reacted to."""
    ends = [
        OrderEnd(order.id, order.target_id, "refused", reason)
        for order in sorted(index.facts.orders, key=lambda one: one.id)
        if order.target_id not in index.open_move_by_target
        and (reason := _refusal(index, index.facts.targets[order.target_id], order)) is not None
    ]
    return Plan(order_ends=tuple(ends))


def _refusal(index: Index, target: Target, order: Order) -> str | None:
    version_id = brought_version(order, target)
    version = index.version_by_id.get(version_id or "")
    if version is None:
        return "nothing_to_bring" if version_id is None else "version_gone"
    runs_it = target.current is not None and target.current.version_id == version.id
    if order.kind == "redeploy" and not runs_it and version.status != READY:
        return "version_not_ready"
    return None


def brought_release(order: Order, target: Target) -> ReleaseRef | None:
    """The release that an order brings as it was frozen; None for one that is made anew, or when nothing runs."""
    return order.release or (target.current if order.kind == "redeploy" else None)


def brought_version(order: Order, target: Target) -> str | None:
    """The version that an order brings; None when there is nothing to bring."""
    release = brought_release(order, target)
    if release is not None:
        return release.version_id
    return order.version_id if order.kind == "force" else None


def waiting_words(index: Index, target: Target, move: Move) -> tuple[Judged, ...]:
    """What there is to say beside a move that occupies its target: what follows it, and that a person is called for."""
    words: list[Judged] = []
    if move.reason == ESCALATED:
        minutes = int(ROLLBACK_OVERDUE.total_seconds() // 60)
        verdict = holds(WaitsFor.PERSON, "rollback_overdue", who=OPERATOR, minutes=minutes)
        words.append(Judged("rollback", verdict, Stage.READINESS))
    for order in index.orders_by_target.get(target.id, ()):
        if order.id != move.order_id:
            verdict = holds(
                WaitsFor.WAIT,
                "order_waits_for_move",
                waits_on=(f"move:{move.id}",),
                changes_at=order.expires_at,
                order=order.kind,
                order_id=order.id,
            )
            words.append(Judged("order", verdict, Stage.READINESS))
    return tuple(words)


def capped_rollbacks(index: Index, wanted: Sequence[tuple[Target, Order]]) -> dict[str, Judged]:
    """Target id -> why it must wait before it goes back: enough of its environment do already.

    Takes: the targets that want to go back now, with their orders. One that goes back alone waits for nobody.
    """
    held: dict[str, Judged] = {}
    by_environment: dict[str, list[tuple[Target, Order]]] = {}
    for target, order in sorted(wanted, key=lambda one: (one[1].created_at, one[0].id)):
        if order.scope != "target" and not index.enforced_rules(target.policy_set, "concurrency"):
            by_environment.setdefault(target.environment_id, []).append((target, order))
    going = _going_back(index, wanted, by_environment) if by_environment else {}
    for environment_id, waiting in by_environment.items():
        targets = len(index.targets_by_environment.get(environment_id, ()))
        limit = max(1, int(targets * ROLLBACK_CAP))
        others = going.get(environment_id, 0)
        free = max(0, limit - others)
        for target, _ in waiting[free:]:
            waits_on = (f"moves:{index.facts.deployment_id}",)
            verdict = holds(
                WaitsFor.WAIT,
                "rollback_cap",
                waits_on=waits_on,
                in_flight=max(others, limit),
                targets=targets,
                limit=limit,
            )
            held[target.id] = Judged("rollback", verdict, Stage.READINESS)
    return held


def _going_back(
    index: Index, wanted: Sequence[tuple[Target, Order]], capped: Mapping[str, Sequence[tuple[Target, Order]]]
) -> dict[str, int]:
    """Environment id -> how many of its targets go back: those under way, and those that start without waiting."""
    going: dict[str, int] = {}
    waiting = {target.id for group in capped.values() for target, _ in group}
    under_way = [move.environment_id for move in index.open_move_by_target.values() if move.kind == "rollback"]
    alone = [target.environment_id for target, _ in wanted if target.id not in waiting]
    for environment_id in (*under_way, *alone):
        going[environment_id] = going.get(environment_id, 0) + 1
    return going

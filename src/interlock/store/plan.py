"""How does a plan become rows? In one short transaction that first asks whether the plan still holds.

READ COMMITTED; the locks in one order everywhere: the deployment, the workspace (shared), slot groups by key; the
claim last. The commit checks

1. that the claim is still ours (`Store.tx(claim=…)`),
2. that nothing that can take something away arrived since the snapshot: `deployment.fence` and
`workspace.rules_fence`, else `Stale`,
3. for each slot group of the plan that its moves still fit; those that do not are left out (`slot_taken`) and the
round is asked for again.

Then rows, ledger and wake-ups together. A success, a progress report or a new version does not make a round stale; it
asks for another.

Every write is one statement a kind of row, so a round costs the same number of statements at 10 and at 10,000 targets.

Source: core.md section 3.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from importlib import metadata
from typing import Any

import orjson

from interlock.decide import ENGINE_VERSION
from interlock.decide.facts import LIVE, Facts, Move, Order, Proof
from interlock.decide.plan import (
    MoveEnd,
    NewProof,
    NewRequest,
    OrderEnd,
    Plan,
    RolloutState,
    SlotClaim,
    TargetChange,
    tests_by_rollout,
)
from interlock.decide.proofs import named
from interlock.model.canonical import digest
from interlock.model.errors import Stale
from interlock.model.event import Event, Ref
from interlock.model.ids import derived_id, new_id
from interlock.model.job import Confirm
from interlock.model.verification import MetricSpec, SubjectKind, Terms, render_metric
from interlock.store.blobs import Packed, packed, store_blobs
from interlock.store.elsewhere import wake_dependents
from interlock.store.facts import Loaded
from interlock.store.lines import waiting_requests
from interlock.store.queries import Conn, queries
from interlock.store.releases import freeze_releases
from interlock.store.tx import Change, Tx
from interlock.store.verifications import end_proofs
from interlock.store.work import OWN_FACTS, WorkRequest

Q = queries("plan")

TZDATA_VERSION = metadata.version("tzdata")

SLOT_AGAIN_S = 1.0
"""When a round whose move found its slot taken looks again, if no freed slot asks for it before."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit did. `left_out` are moves that found their slot taken."""

    plan: Plan
    left_out: tuple[str, ...] = ()


async def commit_plan(tx: Tx, loaded: Loaded, plan: Plan, *, round_ms: int = 0) -> Committed:
    """Write a plan.

    Fails: `Stale` when the facts that the plan rests on may have been taken away, or a job to withdraw was handed
           over meanwhile.
    """
    facts, now = loaded.facts, loaded.now
    await lock_fences(tx, facts)
    plan, left_out, freed = await _take_slots(tx, facts, plan)
    if not plan.empty:
        await _write(tx, loaded, plan)
    wake_at = plan.wake_at
    if left_out:  # whoever frees a slot asks for a round too; this is the net
        again_at = now + timedelta(seconds=SLOT_AGAIN_S)
        wake_at = again_at if wake_at is None else min(wake_at, again_at)
    finish = (facts.deployment_id, facts.fence, facts.rules_fence, now, wake_at, round_ms)
    wakes = [WorkRequest("round", facts.deployment_id, facts.workspace_id, wake_at, OWN_FACTS)] if wake_at else []
    wakes += [WorkRequest("wake", f"slots:{facts.workspace_id}", facts.workspace_id)] if freed else []
    may_go = await _held_back(tx, loaded, plan)
    wakes += await waiting_requests(tx.conn, may_go, workspace_id=facts.workspace_id)
    await tx.record([Change(Q.finish_round, finish)], wakes=wakes)
    return Committed(plan, left_out)


async def _held_back(tx: Tx, loaded: Loaded, plan: Plan) -> list[str]:
    """Jobs, and planned runs, that waited before this round and still may go: their hand-over may have been refused
    until it was decided, or it was taken back.

    Why:    a plan renews what has an end; what it keeps without one may be handed over at any time, whatever its row
            says since its hand-over came to nothing.
    """
    renewed = {renewal.job_id for renewal in plan.renewals}
    withdrawn = {end.withdrawn_job_id for end in plan.ends} | set(plan.withdrawn_jobs) | set(plan.unconfirms)
    withdrawn |= {cancel.job_id for cancel in plan.cancels}
    waiting = [
        job.id
        for move in loaded.facts.moves
        for job in move.jobs
        if (job.ours or (job.awaits_confirm and job.confirm is Confirm.GRANTED))
        and not job.status.terminal
        and job.id not in withdrawn
    ]
    kept = [job_id for job_id in waiting if job_id not in renewed]
    if loaded.news:
        if kept:
            await tx.record([Change(Q.keep_jobs, (kept,))])
        return waiting
    lapsed = {row["id"] for row in await tx.conn.fetch(Q.keep_jobs, kept)} if kept else set()
    return [job_id for job_id in waiting if job_id in renewed or job_id in lapsed]


async def lock_deployment(conn: Conn, deployment_id: str) -> bool:
    """Lock a deployment and share its workspace's rules, before loading: a round that lost races must end. Says
    whether it exists.
    """
    head = await conn.fetchrow(Q.lock_fences, deployment_id)
    return head is not None


async def lock_fences(tx: Tx, facts: Facts) -> None:
    """Lock what a plan rests on, and see that it is what the snapshot saw.

    Fails: `Stale` when something that can take something away was committed since: that the deployment was deleted,
           for one.
    """
    head = await tx.conn.fetchrow(Q.lock_fences, facts.deployment_id)
    if head is None:
        raise Stale("The deployment is gone.")
    if (head["fence"], head["rules_fence"]) != (facts.fence, facts.rules_fence):
        raise Stale("Facts that can take something away arrived since the snapshot.")


async def _take_slots(tx: Tx, facts: Facts, plan: Plan) -> tuple[Plan, tuple[str, ...], bool]:
    """Free the slots of moves that end, take those of moves that start, and leave out moves that do not fit.

    Gives: what is left of the plan, the moves left out, whether anything was freed.
    """
    ended = [end.move_id for end in plan.ends]
    freed = bool(ended and await tx.conn.fetch(Q.free_slots, ended))
    if not plan.slots:
        return plan, (), freed
    keys = sorted({claim.key for claim in plan.slots})
    if len(await tx.conn.fetch(Q.lock_slot_groups, facts.workspace_id, keys)) < len(keys):
        await tx.conn.execute(Q.ensure_slot_groups, facts.workspace_id, keys)  # matching makes them, as a rule
        await tx.conn.fetch(Q.lock_slot_groups, facts.workspace_id, keys)
    held = {row["key"]: row["held"] for row in await tx.conn.fetch(Q.count_slots, facts.workspace_id, keys)}
    refused: set[str] = set()
    claims_by_move: dict[str, list[SlotClaim]] = {}
    for claim in plan.slots:
        claims_by_move.setdefault(claim.move_id, []).append(claim)
    for move_id, claims in claims_by_move.items():
        if any(one.limit is not None and held.get(one.key, 0) + one.weight > one.limit for one in claims):
            refused.add(move_id)
        else:
            for claim in claims:
                held[claim.key] = held.get(claim.key, 0) + claim.weight
    return without_moves(plan, refused), tuple(sorted(refused)), freed


def without_moves(plan: Plan, refused: Iterable[str]) -> Plan:
    """The plan without some of its new moves, and without the jobs, slots and rows that came with them."""
    gone = frozenset(refused)
    if not gone:
        return plan
    targets = {move.target_id for move in plan.moves if move.id in gone}
    return replace(
        plan,
        moves=tuple(move for move in plan.moves if move.id not in gone),
        jobs=tuple(job for job in plan.jobs if job.move_id not in gone),
        slots=tuple(claim for claim in plan.slots if claim.move_id not in gone),
        target_decisions=tuple(row for row in plan.target_decisions if row.target_id not in targets),
    )


async def _write(tx: Tx, loaded: Loaded, plan: Plan) -> None:
    """All rows of a plan, in the order that the constraints need, with their events and wake-ups.

    The facts are packed in a thread meanwhile: this one waits for PostgreSQL most of the time.
    """
    facts, now = loaded.facts, loaded.now
    owner = (facts.workspace_id, facts.deployment_id)
    round_id = new_id()
    packing = asyncio.ensure_future(asyncio.to_thread(packed, facts)) if plan.moving or plan.decisions else None
    try:
        await tx.record([*_states(plan, owner, now), *_decisions(plan, owner, round_id, now)])
        if plan.moves:
            await tx.record(await freeze_releases(tx.conn, facts, plan.moves, now))
            await tx.record(_moves(plan, owner, now))
        await end_proofs(tx, [one.rollout_id for one in plan.rollout_states if one.state not in LIVE])
        changes = [*_slots(facts, plan), *_jobs(plan, owner, now), *_verifications(plan, owner, now)]
        await tx.record(changes, events=events_of(facts, plan), wakes=_wakes(facts, plan, now))
        if any(change.current is not None for change in plan.target_changes):
            await wake_dependents(tx, facts.workspace_id, [facts.deployment_id])
        if packing is not None:
            await tx.record(_round(loaded, round_id, await packing))
    finally:
        if packing is not None:
            packing.cancel()


def _round(loaded: Loaded, round_id: str, facts: Packed) -> list[Change]:
    """The round's row, with the facts that it knew in the blob store."""
    row = (
        round_id,
        loaded.facts.workspace_id,
        loaded.facts.deployment_id,
        loaded.now,
        dict(facts.digests),
        ENGINE_VERSION,
        TZDATA_VERSION,
        list(loaded.policy_revisions),
    )
    return [store_blobs(facts), Change(Q.insert_round, row)]


def _slots(facts: Facts, plan: Plan) -> list[Change]:
    if not plan.slots:
        return []
    slots = plan.slots
    columns = ([one.key for one in slots], [one.move_id for one in slots], [one.weight for one in slots])
    return [Change(Q.take_slots, (facts.workspace_id, *columns))]


def _states(plan: Plan, owner: tuple[str, str], now: datetime) -> list[Change]:
    """What ends, where targets are, what opens: first, because unique indexes allow one open move and one live
    rollout.
    """
    changes: list[Change] = []
    withdrawn = [end.withdrawn_job_id for end in plan.ends if end.withdrawn_job_id] + list(plan.withdrawn_jobs)
    if withdrawn:
        changes.append(Change(Q.withdraw_jobs, (withdrawn, now), rows=len(withdrawn)))
    if plan.ends:
        ends = plan.ends
        columns = ([end.move_id for end in ends], [end.state for end in ends], [end.reason for end in ends])
        changes.append(Change(Q.end_moves, (*columns, now), rows=len(ends)))
    if plan.verifying:
        changes.append(Change(Q.mark_verifying, (list(plan.verifying),)))
    if plan.target_changes or plan.desired_by_target:
        changes.append(Change(Q.set_where_targets_are, _where_columns(plan)))
    if plan.landings:
        landings = plan.landings
        changes.append(
            Change(
                Q.upsert_landings,
                (
                    [one.target_id for one in landings],
                    [one.version_id for one in landings],
                    [one.landed.first_success_at for one in landings],
                    [one.landed.verified_at for one in landings],
                    [one.landed.left_at for one in landings],
                    [one.landed.renewed_at for one in landings],
                ),
            )
        )
    if plan.endings:
        columns_e = (
            [one.target_id for one in plan.endings],
            [one.version_id for one in plan.endings],
            [one.status for one in plan.endings],
            [one.at for one in plan.endings],
        )
        changes.append(Change(Q.insert_endings, columns_e))
    if plan.quarantines:
        kept = plan.quarantines
        columns_q = (
            [derived_id("quarantine", one.move_id) for one in kept],
            [one.quarantine.target_id for one in kept],
            [one.quarantine.version_id for one in kept],
            [one.quarantine.config_digest for one in kept],
            [one.move_id for one in kept],
        )
        changes.append(Change(Q.insert_quarantines, (*owner, *columns_q, now)))
    if plan.changes:
        made = plan.changes
        columns_c = (
            [one.id for one in made],
            [one.kind for one in made],
            [one.version_id for one in made],
            [one.config_digest for one in made],
        )
        changes.append(Change(Q.insert_changes, (*owner, *columns_c, now)))
    if plan.escalations:
        changes.append(Change(Q.mark_escalated, ([one.move_id for one in plan.escalations],)))
    changes.extend(_orders(plan, owner, now))
    changes.extend(_rollouts(plan, owner, now))
    return changes


def _orders(plan: Plan, owner: tuple[str, str], now: datetime) -> list[Change]:
    """Orders that end, then those that the round gives: a target has one open order of a kind."""
    changes = []
    if plan.order_ends:
        ends = plan.order_ends
        columns = ([one.order_id for one in ends], [one.state for one in ends], [one.reason for one in ends])
        changes.append(Change(Q.end_orders, (*columns, now), rows=len(ends)))
    if plan.orders:
        new = plan.orders
        columns_n = (
            [one.id for one in new],
            [one.target_id for one in new],
            [one.kind for one in new],
            [one.scope for one in new],
            [one.version_id for one in new],
            [one.release.id if one.release else None for one in new],
            [one.change_id for one in new],
            [one.when for one in new],
            [one.reason for one in new],
            [one.undoes_move_id for one in new],
            [one.expires_at for one in new],
        )
        changes.append(Change(Q.insert_orders, (*owner, now, *columns_n)))
    return changes


def _where_columns(plan: Plan) -> tuple[list[Any], ...]:
    """Each target whose place or aim changes once, with the columns of `set_where_targets_are`."""
    changes = {change.target_id: change for change in plan.target_changes}
    desired = dict(plan.desired_by_target)
    ids = sorted({*changes, *desired})
    places = [changes.get(one, TargetChange(one)) for one in ids]
    return (
        ids,
        [one.current.id if one.current else None for one in places],
        [one.good.id if one.good else None for one in places],
        [desired.get(one) for one in ids],
        [one in desired for one in ids],
    )


def _rollouts(plan: Plan, owner: tuple[str, str], now: datetime) -> list[Change]:
    """States before new rows: the one that is superseded makes room for the one that opens.

    A rollout that opens and completes in one plan is inserted first and set afterwards.
    """
    opened = {rollout.id for rollout in plan.rollouts}
    before = tuple(state for state in plan.rollout_states if state.rollout_id not in opened)
    after = tuple(state for state in plan.rollout_states if state.rollout_id in opened)
    changes = [_rollout_states(before, now)] if before else []
    if plan.rollouts:
        new = plan.rollouts
        columns = (
            [one.id for one in new],
            [one.change_id for one in new],
            [one.environment_id for one in new],
            [one.kind for one in new],
            [one.version_id for one in new],
            [one.state for one in new],
            [one.opened_at for one in new],
            [one.targets_at_open for one in new],
            [one.tests_planned for one in new],
        )
        changes.append(Change(Q.insert_rollouts, (*owner, *columns, now)))
    return [*changes, _rollout_states(after, now)] if after else changes


def _rollout_states(states: Sequence[RolloutState], now: datetime) -> Change:
    columns = ([one.rollout_id for one in states], [one.state for one in states], [one.reason for one in states])
    return Change(Q.set_rollout_states, (*columns, now))


def _decisions(plan: Plan, owner: tuple[str, str], round_id: str, now: datetime) -> list[Change]:
    changes = []
    if plan.decisions:
        trees = plan.decisions
        columns = (
            [one.id for one in trees],
            [one.subject for one in trees],
            [one.environment_id for one in trees],
            [one.version_id for one in trees],
            [one.kind for one in trees],
            [one.outcome for one in trees],
            [_json(one.verdicts) for one in trees],
            [one.digest for one in trees],
            [one.valid_until for one in trees],
        )
        changes.append(Change(Q.insert_decisions, (*owner, round_id, now, *columns)))
    if plan.target_decisions:
        rows = plan.target_decisions
        columns_t = (
            [one.target_id for one in rows],
            [one.kind for one in rows],
            [one.version_id for one in rows],
            [one.outcome for one in rows],
            [_json(one.verdicts) for one in rows],
            [f"{{{','.join(one.decision_ids)}}}" for one in rows],
            [one.digest for one in rows],
            [one.wake_at for one in rows],
        )
        changes.append(Change(Q.upsert_target_decisions, (owner[1], now, *columns_t)))
    return changes


def _json(verdicts: Sequence[Mapping[str, object]]) -> str:
    """JSON as text: the driver takes a list of lists for an array of two dimensions."""
    return orjson.dumps(verdicts).decode()


def _moves(plan: Plan, owner: tuple[str, str], now: datetime) -> list[Change]:
    new = plan.moves
    columns = (
        [one.id for one in new],
        [one.environment_id for one in new],
        [one.target_id for one in new],
        [one.rollout_id for one in new],
        [one.change_id for one in new],
        [one.kind for one in new],
        [one.version_id for one in new],
        [one.from_release.id if one.from_release else None for one in new],
        [one.to_release.id for one in new],
        [one.undoes_move_id for one in new],
        [one.decision_id for one in new],
        [one.order_id for one in new],
        [one.returns_to.id if one.returns_to else None for one in new],
    )
    changes = [Change(Q.insert_moves, (*owner, now, *columns))]
    answering = [one for one in new if one.order_id is not None]
    if answering:
        linked = ([one.order_id for one in answering], [one.id for one in answering])
        changes.append(Change(Q.link_orders, linked))
    return changes


def _jobs(plan: Plan, owner: tuple[str, str], now: datetime) -> list[Change]:
    changes = []
    if plan.jobs:
        columns = (
            [one.job.id for one in plan.jobs],
            [one.move_id for one in plan.jobs],
            [one.decision_id for one in plan.jobs],
            [one.retry_of for one in plan.jobs],
            [one.valid_until for one in plan.jobs],
        )
        changes.append(Change(Q.insert_jobs, (*owner, now, *columns), rows=len(plan.jobs)))
    if plan.renewals:
        columns_r = (
            [one.job_id for one in plan.renewals],
            [one.decision_id for one in plan.renewals],
            [one.valid_until for one in plan.renewals],
        )
        changes.append(Change(Q.renew_jobs, columns_r))
    running = [one for one in plan.cancels if not one.planned]
    if running:
        columns_k = ([one.job_id for one in running], [one.reason for one in running])
        changes.append(Change(Q.ask_cancel, (*columns_k, now)))
    return changes + _confirms(plan, now)


def _confirms(plan: Plan, now: datetime) -> list[Change]:
    """Planned runs: a worker may have confirmed one since the snapshot, and then the round is stale."""
    changes = []
    discards = [one for one in plan.cancels if one.planned]
    if discards:
        columns_d = ([one.job_id for one in discards], [one.reason for one in discards])
        changes.append(Change(Q.discard_planned, (*columns_d, now), rows=len(discards)))
    if plan.confirms:
        columns_g = (
            [one.job_id for one in plan.confirms],
            [one.decision_id for one in plan.confirms],
            [one.valid_until for one in plan.confirms],
        )
        changes.append(Change(Q.grant_confirms, (*columns_g, now), rows=len(plan.confirms)))
    if plan.unconfirms:
        changes.append(Change(Q.hold_confirms, (list(plan.unconfirms), now), rows=len(plan.unconfirms)))
    return changes


def metric_id(verification_id: str, position: int) -> str:
    """A metric's id, derived from its place in its verification."""
    return derived_id("metric", verification_id, str(position))


def subject_kind_of(proof: Proof) -> SubjectKind:
    """What a proof is about."""
    return SubjectKind.ROLLOUT if proof.wave is None else SubjectKind.WAVE


def _metrics(
    begun: Sequence[tuple[str, Sequence[tuple[str, MetricSpec]], Sequence[float | None]]], now: datetime
) -> tuple[list[object], ...]:
    """The columns of the metrics of verifications: each with its policy, and the part of α that it may spend."""
    rows = [
        (
            metric_id(verification_id, number),
            verification_id,
            number,
            spec.name,
            render_metric(spec),
            policy_id,
            now + timedelta(seconds=spec.warm_up_seconds),
            shares[number] if shares else None,
        )
        for verification_id, metrics, shares in begun
        for number, (policy_id, spec) in enumerate(metrics)
    ]
    return tuple(map(list, zip(*rows, strict=True)))


def _terms(terms: Sequence[Terms]) -> tuple[list[Any], ...]:
    """What is said of the ends of verifications, column by column."""
    return (
        [one.gates for one in terms],
        [one.again_s for one in terms],
        [one.hold_s for one in terms],
        [one.then.value for one in terms],
        [one.revokes for one in terms],
    )


def _verifications(plan: Plan, owner: tuple[str, str], now: datetime) -> list[Change]:
    changes = []
    if plan.verifications:
        new = plan.verifications
        columns = ([v.verification.id for v in new], [v.verification.job_id for v in new], [v.move_id for v in new])
        metrics = _metrics([(v.verification.id, v.metrics, v.alpha_shares) for v in new], now)
        terms = _terms([v.terms for v in new])
        changes.append(Change(Q.insert_verifications, (*owner, now, *columns, *metrics, *terms)))
    if plan.proofs:
        begun = plan.proofs
        columns_p = (
            [one.proof.id for one in begun],
            [subject_kind_of(one.proof).value for one in begun],
            [one.rollout_id for one in begun],
            [one.move_id for one in begun],
            [one.rollout_id for one in begun],
            [one.proof.wave for one in begun],
            [one.proof.lane or None for one in begun],
        )
        metrics = _metrics([(one.proof.id, one.metrics, one.alpha_shares) for one in begun], now)
        terms = _terms([one.terms for one in begun])
        changes.append(Change(Q.insert_proofs, (*owner, now, *columns_p, *metrics, *terms)))
    tests = tests_by_rollout(plan)
    if tests:
        changes.append(Change(Q.add_tests, (list(tests), list(tests.values()))))
    if plan.requests:
        asked = plan.requests
        columns_a = (
            [one.id for one in asked],
            [one.environment_id for one in asked],
            [one.version_id for one in asked],
            [one.change_id for one in asked],
            [one.minimum for one in asked],
            [one.why for one in asked],
            [dict(one.shown) for one in asked],
            [digest(dict(one.shown)) for one in asked],
            [one.group for one in asked],
            [one.authors_excluded for one in asked],
            [one.lasts_s for one in asked],
            [None if one.config_digests is None else f"{{{','.join(one.config_digests)}}}" for one in asked],
        )
        changes.append(Change(Q.insert_requests, (*owner, now, *columns_a)))
    return changes


def _wakes(facts: Facts, plan: Plan, now: datetime) -> list[WorkRequest]:
    """The second hop: hand-overs, measurements, cancels."""
    workspace_id = facts.workspace_id
    wakes = [WorkRequest("dispatch", one.job.id, workspace_id, None, OWN_FACTS) for one in plan.jobs]
    wakes += [WorkRequest("observe", one.job_id, workspace_id, None, OWN_FACTS) for one in plan.cancels]
    wakes += [WorkRequest("dispatch", one.job_id, workspace_id, None, OWN_FACTS) for one in plan.confirms]
    measured = [(one.verification.id, one.metrics) for one in plan.verifications]
    measured += [(one.proof.id, one.metrics) for one in plan.proofs]
    wakes += [
        WorkRequest(
            "measure",
            metric_id(verification_id, number),
            workspace_id,
            now + timedelta(seconds=spec.warm_up_seconds) if spec.warm_up_seconds else None,
            OWN_FACTS,
        )
        for verification_id, metrics in measured
        for number, (_, spec) in enumerate(metrics)
    ]
    return wakes


# Events -------------------------------------------------------------------------------------------------------------

ROLLOUT_EVENTS = {
    "open": "rollout.opened",
    "halted": "rollout.halted",
    "complete": "rollout.completed",
    "superseded": "rollout.superseded",
    "aborted": "rollout.aborted",
}

MOVE_EVENTS = {
    "succeeded": "move.succeeded",
    "failed": "move.failed",
    "withdrawn": "move.withdrawn",
    "cancelled": "move.cancelled",
}


class _Telling:
    """Words and references for the events of one plan."""

    def __init__(self, facts: Facts, plan: Plan) -> None:
        self.facts = facts
        self.tags = {version.id: version.tag for version in facts.versions}
        self.targets = {**facts.leaving, **facts.targets}
        self.moves = {move.id: move for move in (*facts.moves, *plan.moves)}
        self.move_of_job = {job.id: move for move in facts.moves for job in move.jobs}

    def place(self, target_id: str, environment_id: str) -> dict[str, object]:
        """Where, in names."""
        target = self.targets.get(target_id)
        environment = self.facts.environments.get(environment_id)
        return {
            "target": target.name if target else target_id,
            "environment": environment.name if environment else environment_id,
            "deployment": self.facts.deployment_name,
        }

    def refs(self, move: Move) -> tuple[Ref, ...]:
        """What a move is about."""
        found = [
            Ref("move", move.id),
            Ref("target", move.target_id),
            Ref("environment", move.environment_id),
            Ref("deployment", self.facts.deployment_id),
            Ref("version", move.version_id),
        ]
        return (*found, Ref("rollout", move.rollout_id)) if move.rollout_id else tuple(found)

    def of_move(self, kind: str, subject: Ref, move: Move, **body: object) -> Event:
        """An event about a move, or a job or verification of it."""
        told = {
            **self.place(move.target_id, move.environment_id),
            "kind": move.kind,
            "version": self.tags.get(move.version_id, move.version_id),
            **body,
        }
        refs = tuple(ref for ref in self.refs(move) if ref != subject)
        return Event(kind, subject, told, refs, move.decision_id, move.change_id)

    def of_proof(self, kind: str, begun: NewProof, **body: object) -> Event:
        """An event about a verification of a rollout."""
        move = self.moves[begun.move_id]
        environment = self.facts.environments.get(move.environment_id)
        told = {
            "environment": environment.name if environment else move.environment_id,
            "deployment": self.facts.deployment_name,
            "version": self.tags.get(move.version_id, move.version_id),
            "measured": named(begun.proof),
            **body,
        }
        refs = (
            Ref("rollout", begun.rollout_id),
            Ref("environment", move.environment_id),
            Ref("deployment", self.facts.deployment_id),
            Ref("version", move.version_id),
        )
        return Event(kind, Ref("verification", begun.proof.id), told, refs, move.decision_id, move.change_id)


def events_of(facts: Facts, plan: Plan) -> list[Event]:
    """Every transition of a plan, in the order in which a person would tell it."""
    tell = _Telling(facts, plan)
    events: list[Event] = []
    for end in plan.ends:
        events.extend(_end_events(tell, end))
    events.extend(
        tell.of_move("job.withdrawn", Ref("job", job_id), tell.move_of_job[job_id]) for job_id in plan.withdrawn_jobs
    )
    events.extend(tell.of_move("move.applied", Ref("move", move_id), tell.moves[move_id]) for move_id in plan.verifying)
    for new in plan.quarantines:
        move = tell.moves[new.move_id]
        subject = Ref("quarantine", derived_id("quarantine", new.move_id))
        events.append(tell.of_move("quarantine.set", subject, move, config=new.quarantine.config_digest))
    events.extend(_escalation(tell, one.move_id) for one in plan.escalations)
    events.extend(_order_end_event(tell, end) for end in plan.order_ends)
    for change in plan.changes:
        body = {"kind": change.kind, "version": tell.tags.get(change.version_id or "", change.version_id)}
        deployment = (Ref("deployment", facts.deployment_id),)
        events.append(Event("change.created", Ref("change", change.id), body, deployment, None, change.id))
    events.extend(_order_event(tell, order) for order in plan.orders)
    events.extend(_rollout_events(tell, plan))
    events.extend(_request_event(tell, asked) for asked in plan.requests)
    events.extend(_start_events(tell, plan))
    return events


def _order_event(tell: _Telling, order: Order) -> Event:
    move = tell.moves[order.undoes_move_id or ""]
    body = {
        **tell.place(order.target_id, move.environment_id),
        "kind": order.kind,
        "scope": order.scope,
        "version": tell.tags.get(order.version_id, order.version_id),
    }
    refs = tuple(ref for ref in tell.refs(move) if ref.kind not in {"version", "rollout"})
    refs = (*refs, Ref("version", order.version_id))
    return Event("order.placed", Ref("order", order.id), body, refs, None, order.change_id)


def _order_end_event(tell: _Telling, end: OrderEnd) -> Event:
    order = next((one for one in tell.facts.orders if one.id == end.order_id), None)
    target = tell.targets.get(end.target_id)
    body = {
        **tell.place(end.target_id, target.environment_id if target else ""),
        **({"kind": order.kind, "version": tell.tags.get(order.version_id, order.version_id)} if order else {}),
        **({"state": end.state, "reason": end.reason} if end.state != "answered" else {}),
    }
    refs = [Ref("target", end.target_id), Ref("deployment", tell.facts.deployment_id)]
    if end.move_id is not None:
        refs.append(Ref("move", end.move_id))
    kind = "order.answered" if end.state == "answered" else "order.ended"
    return Event(kind, Ref("order", end.order_id), body, tuple(refs), None, order.change_id if order else None)


def _escalation(tell: _Telling, move_id: str) -> Event:
    move = tell.moves[move_id]
    return tell.of_move("rollback.escalated", Ref("target", move.target_id), move)


def _end_events(tell: _Telling, end: MoveEnd) -> list[Event]:
    move = tell.moves[end.move_id]
    events = []
    if end.withdrawn_job_id:
        events.append(tell.of_move("job.withdrawn", Ref("job", end.withdrawn_job_id), move, reason=end.reason))
    if end.state == "succeeded" and move.verifications:
        events.append(tell.of_move("move.verified", Ref("move", move.id), move))
    reason = {} if end.state == "succeeded" else {"reason": end.reason, **end.values}
    events.append(tell.of_move(MOVE_EVENTS[end.state], Ref("move", move.id), move, **reason))
    return events


def _rollout_events(tell: _Telling, plan: Plan) -> list[Event]:
    facts = tell.facts
    known = {rollout.id: rollout for rollout in (*facts.rollouts, *plan.rollouts)}
    opened = {rollout.id for rollout in plan.rollouts}
    told: list[tuple[str, str, dict[str, object]]] = [(rollout.id, "open", {}) for rollout in plan.rollouts]
    told += [(rollout.id, rollout.state, {}) for rollout in plan.rollouts if rollout.state != "open"]
    told += [(state.rollout_id, state.state, dict(state.values)) for state in plan.rollout_states]
    events = []
    for rollout_id, state, values in told:
        rollout = known[rollout_id]
        environment = facts.environments.get(rollout.environment_id)
        body: dict[str, object] = {
            "deployment": facts.deployment_name,
            "environment": environment.name if environment else rollout.environment_id,
            "kind": rollout.kind,
            **({"version": tell.tags.get(rollout.version_id, rollout.version_id)} if rollout.version_id else {}),
            **values,
        }
        refs = [Ref("deployment", facts.deployment_id), Ref("environment", rollout.environment_id)]
        if rollout.version_id:
            refs.append(Ref("version", rollout.version_id))
        kind = "rollout.resumed" if state == "open" and rollout_id not in opened else ROLLOUT_EVENTS[state]
        events.append(Event(kind, Ref("rollout", rollout_id), body, tuple(refs), None, rollout.change_id))
    return events


def _request_event(tell: _Telling, asked: NewRequest) -> Event:
    environment = tell.facts.environments[asked.environment_id]
    body = {
        "deployment": tell.facts.deployment_name,
        "environment": environment.name,
        "version": tell.tags.get(asked.version_id, asked.version_id),
        "minimum": asked.minimum,
        **({"group": asked.group} if asked.group else {}),
        **({"configs": len(asked.config_digests)} if asked.config_digests is not None else {}),
    }
    refs = (
        Ref("deployment", tell.facts.deployment_id),
        Ref("environment", asked.environment_id),
        Ref("version", asked.version_id),
    )
    return Event("approval.requested", Ref("request", asked.id), body, refs, None, asked.change_id)


def _start_events(tell: _Telling, plan: Plan) -> list[Event]:
    events = []
    for move in plan.moves:
        if move.kind == "rollback":
            events.append(tell.of_move("rollback.started", Ref("target", move.target_id), move))
        before = tell.tags.get(move.from_release.version_id) if move.from_release else None
        events.append(tell.of_move("move.admitted", Ref("move", move.id), move, **({"from": before} if before else {})))
    for order in plan.jobs:
        retry = {"retryOf": order.retry_of} if order.retry_of else {}
        events.append(tell.of_move("job.created", Ref("job", order.job.id), tell.moves[order.move_id], **retry))
    for begun in plan.verifications:
        names = [spec.name for _, spec in begun.metrics]
        subject = Ref("verification", begun.verification.id)
        events.append(tell.of_move("verification.started", subject, tell.moves[begun.move_id], metrics=names))
    for proof in plan.proofs:
        names = [spec.name for _, spec in proof.metrics]
        events.append(tell.of_proof("verification.started", proof, metrics=names))
    confirms = [("job.confirm_admitted", one.job_id) for one in plan.confirms]
    confirms += [("job.confirm_held", job_id) for job_id in plan.unconfirms]
    events.extend(tell.of_move(kind, Ref("job", job_id), tell.move_of_job[job_id]) for kind, job_id in confirms)
    for cancel in plan.cancels:
        move = tell.move_of_job[cancel.job_id]
        events.append(tell.of_move("job.cancel_asked", Ref("job", cancel.job_id), move, reason=cancel.reason))
    return events

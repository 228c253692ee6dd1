"""Is it true that nothing polls? The sweep decides every deployment about once an hour without committing, and counts
what should not be there.

A deployment for which nobody will look, and whose plan would move something, or which has not decided a fact, or whose
`wake_at` has passed, has lost a wake-up: a fault of ours. It is counted (an alert), told in the ledger, and the
deployment gets its round.

Source: core.md section 3.
"""

from __future__ import annotations

import asyncio

import structlog

from interlock.decide import decide
from interlock.model.errors import Stale, StoreUnavailable
from interlock.model.event import Actor, Event, Ref
from interlock.store.facts import load_facts
from interlock.store.health import SWEEP_DIFFERENCES, Counts
from interlock.store.tx import Store
from interlock.store.wake import SweptDeployment, is_round_asked, list_all_deployments
from interlock.store.work import SWEEP, WorkRequest

log = structlog.get_logger("interlock.workers")

SWEEPER = Actor("system", "sweep")


async def keep_sweeping(store: Store, *, every_s: float, counts: Counts) -> None:
    """Sweep all deployments again and again, spread over the interval, until cancelled."""
    while True:
        await asyncio.sleep(min(every_s, 60.0))
        try:
            async with store.read() as conn:
                deployments = await list_all_deployments(conn)
            pause_s = every_s / max(len(deployments), 1)
            for deployment in deployments:
                await sweep_deployment(store, deployment, counts=counts)
                await asyncio.sleep(min(pause_s, 60.0))
        except (StoreUnavailable, Stale) as error:
            log.warning("sweep_postponed", error=str(error))


async def sweep_deployment(store: Store, deployment: SweptDeployment, *, counts: Counts) -> str | None:
    """Look at one deployment.

    Gives: why it needed a look that nobody had asked for, or None.
    """
    async with store.snapshot() as conn:
        if await is_round_asked(conn, deployment):
            return None
        loaded = await load_facts(conn, deployment.id)
    if loaded is None:
        return None
    plan = decide(loaded.facts, loaded.now)
    if plan.moving:
        why = "it would move something"
    elif loaded.news:
        why = "a fact that can take something away is undecided"
    elif deployment.wake_at is not None and deployment.wake_at < loaded.now:
        why = "the instant at which it wanted its next round has passed"
    else:
        return None
    async with store.read() as conn:
        if await is_round_asked(conn, deployment):
            return None  # a fact arrived while we looked
    counts.add(SWEEP_DIFFERENCES)
    log.error("sweep_difference", deployment=deployment.id, why=why, moves=len(plan.moves), ends=len(plan.ends))
    async with store.tx(actor=SWEEPER, cause="sweep", workspace_id=deployment.workspace_id) as tx:
        body = {"why": why, "moves": len(plan.moves), "ends": len(plan.ends)}
        event = Event("sweep.difference", Ref("deployment", deployment.id), body)
        await tx.record(
            events=[event], wakes=[WorkRequest("round", deployment.id, deployment.workspace_id, None, SWEEP)]
        )
    return why

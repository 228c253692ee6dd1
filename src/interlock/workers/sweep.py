"""Is it true that nothing polls? The sweep decides every deployment about once an hour without committing, and counts
what should not be there.

A plan that would move something although no fact arrived and its `wake_at` has not passed means that a wake-up was
lost: a fault of ours. It is counted (an alert), told in the ledger, and the deployment gets its round.

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


async def sweep_deployment(store: Store, deployment: SweptDeployment, *, counts: Counts) -> bool:
    """Look at one deployment. Says whether something would move that nobody had asked for."""
    async with store.snapshot() as conn:
        if await is_round_asked(conn, deployment.id):
            return False
        loaded = await load_facts(conn, deployment.id)
    if loaded is None or loaded.news or (deployment.wake_at is not None and deployment.wake_at <= loaded.now):
        return False
    plan = decide(loaded.facts, loaded.now)
    if not plan.moving:
        return False
    async with store.read() as conn:
        if await is_round_asked(conn, deployment.id):
            return False  # a fact arrived while we looked
    counts.add(SWEEP_DIFFERENCES)
    log.error("sweep_difference", deployment=deployment.id, moves=len(plan.moves), ends=len(plan.ends))
    async with store.tx(actor=SWEEPER, cause="sweep", workspace_id=deployment.workspace_id) as tx:
        body = {"moves": len(plan.moves), "ends": len(plan.ends)}
        event = Event("sweep.difference", Ref("deployment", deployment.id), body)
        await tx.record(
            events=[event], wakes=[WorkRequest("round", deployment.id, deployment.workspace_id, None, SWEEP)]
        )
    return True

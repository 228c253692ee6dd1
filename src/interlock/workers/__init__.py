"""Which loops does a worker process run? One for each kind of work, so that none waits for another's slots.

    round      decide_round        wake    the rounds that a fact of many concerns
    dispatch   dispatch_job        match   the second look at a changed object
    observe    observe_job         measure take_measurement
    slo        read_slo
    line       move_line: the jobs that wait for an agent that is down, or for its rate
    plan       what a version would change, asked of the agents (`deployment_plans.py`)
    what_if    what changed policies would do, decided and not committed (`what_if.py`)
    expire     note_expiry         (with match and wake, in one loop)
    sequence   places for ledger rows
    sweep      decides without committing, and must find nothing        (hourly)
    retention  deletes what is past its days                            (hourly)

No decisions stand here: `flow.py` has the steps of the loop, `loop.py` the leases.

Source: DESIGN.md section 5; core.md sections 3 and 8.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

from interlock.agents import Agent, close_agents
from interlock.flow import Flow
from interlock.metrics import Metric, close_metrics
from interlock.outside.http import guarded_http
from interlock.outside.mail import Mail, MailServer
from interlock.outside.references import build_references
from interlock.settings import Settings
from interlock.store.health import Counts
from interlock.store.tx import Store
from interlock.store.work import Claim
from interlock.workers.deployment_plans import DeploymentPlans
from interlock.workers.loop import Ended, Loop
from interlock.workers.retention import keep_retention
from interlock.workers.sequence import keep_sequencing
from interlock.workers.subscriptions import Telling, keep_telling
from interlock.workers.sweep import keep_sweeping
from interlock.workers.what_if import WhatIfs

Step = Callable[[Claim], Awaitable[datetime | None]]


def steps_by_kinds(flow: Flow, *, what_if_targets_max: int = 50_000) -> Mapping[tuple[str, ...], Step]:
    """Kinds of work -> the step that looks at their keys."""
    steps_of_many = {"match": flow.match_inventory, "wake": flow.wake_deployments, "expire": flow.note_expiry}

    async def of_many(claim: Claim) -> datetime | None:
        return await steps_of_many[claim.kind](claim)

    return {
        ("round",): flow.decide_round,
        ("dispatch",): flow.dispatch_job,
        ("observe",): flow.observe_job,
        ("line",): flow.move_line,
        ("measure",): flow.take_measurement,
        ("slo",): flow.read_slo,
        ("match", "wake", "expire"): of_many,
        ("plan",): DeploymentPlans(flow.store, flow.agents, flow.opener).compute,
        ("what_if",): WhatIfs(flow.store, what_if_targets_max).answer,
    }


def collect_less() -> None:
    """Look for cycles of garbage less often: a round over 10,000 targets makes a million objects, in no cycle, and a
    fifth of its time went into looking (measured).
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def run_workers(
    store: Store,
    agents: Mapping[str, Agent],
    metrics: Mapping[str, Metric],
    settings: Settings,
    stop: asyncio.Event,
    *,
    counts: Counts | None = None,
) -> None:
    """Work until `stop` is set; then finish the steps in hand."""
    collect_less()
    counts = counts or Counts()
    references = build_references(settings)
    flow = Flow(
        store,
        agents,
        metrics,
        round_gap_s=settings.round_gap_s,
        references=references,
        public_url=public_url(settings),
        note_handover=counts.add_handover,
    )

    def note(ended: Ended) -> None:
        counts.add_run(ended.kind, outcome=ended.outcome, took_s=ended.seconds)

    http = guarded_http(settings)
    telling = Telling(store, http, Mail(mail_server(settings)), public_url(settings), failing_max(settings))
    steps = {
        **steps_by_kinds(flow, what_if_targets_max=settings.what_if_targets_max),
        ("tell",): telling.tell,
        ("deliver",): telling.deliver,
    }
    loops = [
        Loop(
            store,
            kinds,
            step,
            slots=slots_of(kinds, settings),
            lane_slots=lane_slots_of(kinds, settings),
            lease_s=settings.work_lease_s,
            poll_s=settings.work_poll_s,
            attempts_max=settings.work_attempts_max,
            on_end=note,
        )
        for kinds, step in steps.items()
    ]
    keepers = [
        asyncio.create_task(keep_sequencing(store), name="sequence"),
        asyncio.create_task(keep_telling(store), name="telling"),
        asyncio.create_task(keep_sweeping(store, every_s=settings.sweep_every_s, counts=counts), name="sweep"),
        asyncio.create_task(
            keep_retention(
                store,
                blob_days=settings.blob_days,
                measurement_days=settings.measurement_days,
                exec_root=settings.data.absolute() / "exec",
            ),
            name="retention",
        ),
    ]
    working = [asyncio.create_task(loop.work(), name=",".join(loop.kinds)) for loop in loops]
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([stopping, *working, *keepers], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for loop in loops:
            loop.stop()
        ended = await asyncio.gather(*working, return_exceptions=True)
        for keeper in (*keepers, stopping):
            keeper.cancel()
        kept = await asyncio.gather(*keepers, return_exceptions=True)
        await http.close()
        await references.close()
        await close_agents(agents)
        await close_metrics(metrics)
        for result in (*ended, *kept):
            if isinstance(result, Exception):
                raise result


def slots_of(kinds: tuple[str, ...], settings: Settings) -> int:
    """How many looks at once: those that mostly wait for somebody outside may be many."""
    if kinds == ("deliver",):
        return settings.delivery_slots
    if kinds in {("measure",), ("slo",)}:
        return settings.metric_slots
    return settings.call_slots if kinds in {("dispatch",), ("observe",)} else settings.worker_slots


def lane_slots_of(kinds: tuple[str, ...], settings: Settings) -> int:
    """How many of them one agent may have, or one metrics server: two of those may hang, and the rest goes on."""
    return max(1, settings.metric_slots // 3) if kinds in {("measure",), ("slo",)} else settings.agent_slots


def mail_server(settings: Settings) -> MailServer | None:
    """The mail server of the settings; None where none is set."""
    if not settings.smtp_host:
        return None
    return MailServer(
        host=settings.smtp_host,
        port=settings.smtp_port,
        sender=settings.smtp_from,
        tls=settings.smtp_tls,
        user=settings.smtp_user,
        password=settings.smtp_password,
        ca_file=None if settings.smtp_ca_file is None else str(settings.smtp_ca_file),
        timeout_s=settings.smtp_timeout_s,
    )


def public_url(settings: Settings) -> str:
    """Where people find the console, without a slash at the end: what is set, else where we listen."""
    if settings.public_url:
        return settings.public_url.rstrip("/")
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104 compared, not bound
    return f"http://{host}:{settings.port}"


def failing_max(settings: Settings) -> timedelta:
    """How long a receiver may fail before it is disabled."""
    return timedelta(days=settings.subscription_failing_days)


__all__ = ["collect_less", "run_workers", "steps_by_kinds"]

"""What can Prometheus scrape? `GET /metrics`: queue depth and age, rounds, lost races, agents, ages of jobs.

Everything comes from the database at the moment of the scrape, because the workers are other processes. Every API
process answers the same, so scrape one, and do not add up the answers of several.

No key is asked for: the page holds numbers and the names of agents and workspaces. Keep it inside, as other /metrics.

Source: DESIGN.md section 5; the Prometheus text format by `prometheus_client`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from interlock.store.health import (
    HANDOVER_BOUNDS_S,
    HANDOVER_BUCKET,
    HANDOVER_SECONDS,
    HANDOVERS,
    ROUND_BOUNDS_S,
    ROUND_BUCKET,
    ROUND_SECONDS,
    ROUNDS,
    STALE,
    SWEEP_DIFFERENCES,
    Health,
    load_health,
)
from interlock.store.tx import Store


def metrics_route(store: Store) -> Route:
    """The route `/metrics`."""

    async def answer(_request: Request) -> Response:
        async with store.read() as conn:
            health = await load_health(conn)
        return Response(render_metrics(health), media_type=CONTENT_TYPE_LATEST)

    return Route("/metrics", answer, methods=["GET"], include_in_schema=False)


def render_metrics(health: Health) -> bytes:
    """The text that Prometheus reads."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(tuple(_families(health))))
    return generate_latest(registry)


class _Once(Collector):
    """Families that were made already: the library insists on a collector."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _families(health: Health) -> Iterator[Metric]:
    items = GaugeMetricFamily("interlock_work_items", "Work items by state.", labels=["kind", "state"])
    oldest = GaugeMetricFamily(
        "interlock_work_oldest_seconds", "How long the oldest due item has waited.", labels=["kind"]
    )
    for depth in health.work:
        for state in ("due", "waiting", "running", "buried"):
            items.add_metric([depth.kind, state], getattr(depth, state))
        oldest.add_metric([depth.kind], depth.oldest_s)
    yield items
    yield oldest

    stale = CounterMetricFamily("interlock_stale", "Commits that lost a race and were done again.", labels=["kind"])
    for (name, label), value in sorted(health.counts.items()):
        if name == STALE:
            stale.add_metric([label], value)
    yield stale

    rounds = HistogramMetricFamily("interlock_round_seconds", "How long a round took, from claim to commit.")
    ended = health.counts.get((ROUNDS, ""), 0.0)
    bounds = [(f"{bound:g}", health.counts.get((ROUND_BUCKET, f"{bound:g}"), 0.0)) for bound in ROUND_BOUNDS_S]
    rounds.add_metric([], [*bounds, ("+Inf", ended)], health.counts.get((ROUND_SECONDS, ""), 0.0))
    yield rounds

    sweep = CounterMetricFamily("interlock_sweep_differences", "Moves that no fact had asked for. Must stay 0.")
    sweep.add_metric([], health.counts.get((SWEEP_DIFFERENCES, ""), 0.0))
    yield sweep

    jobs = GaugeMetricFamily("interlock_jobs", "Jobs that are not over, by status.", labels=["status"])
    ages = GaugeMetricFamily("interlock_job_status_oldest_seconds", "The longest time in a status.", labels=["status"])
    for job in health.jobs:
        jobs.add_metric([job.status], job.jobs)
        ages.add_metric([job.status], job.oldest_s)
    yield jobs
    yield ages

    waits = HistogramMetricFamily(
        "interlock_handover_wait_seconds", "How long a job waited for its hand-over, from the decision on."
    )
    handed = health.counts.get((HANDOVERS, ""), 0.0)
    within = [(f"{bound:g}", health.counts.get((HANDOVER_BUCKET, f"{bound:g}"), 0.0)) for bound in HANDOVER_BOUNDS_S]
    waits.add_metric([], [*within, ("+Inf", handed)], health.counts.get((HANDOVER_SECONDS, ""), 0.0))
    yield waits

    labels = ["workspace", "agent", "type"]
    up = GaugeMetricFamily("interlock_agent_up", "1 unless the last look through the agent failed.", labels=labels)
    for agent in health.agents:
        up.add_metric([agent.workspace, agent.name, agent.type], float(agent.up))
    yield up
    down = GaugeMetricFamily("interlock_agent_breaker_open", "1 while the agent is down and tried.", labels=labels)
    waiting = GaugeMetricFamily("interlock_agent_waiting_jobs", "Jobs of the agent that nobody has.", labels=labels)
    for agent in health.agents:
        down.add_metric([agent.workspace, agent.name, agent.type], float(agent.down))
        waiting.add_metric([agent.workspace, agent.name, agent.type], agent.waiting)
    yield down
    yield waiting

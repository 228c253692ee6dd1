"""What operators watch: counts that several processes add up, and the page that Prometheus reads."""

from __future__ import annotations

import pytest

from interlock.model.errors import StoreUnavailable
from interlock.store.health import ROUNDS, STALE, SWEEP_DIFFERENCES, Counts, load_health
from interlock.store.work import WorkRequest, request_work
from interlock.web.metrics import render_metrics


async def test_processes_add_their_counts_and_none_is_told_twice(store):
    counts = [Counts(), Counts()]
    for one in counts:
        one.add_run("round", outcome="done", took_s=0.03)
        one.add_run("round", outcome="stale", took_s=0.01)
        one.add_run("observe", outcome="done", took_s=9.0)
    async with store.read() as conn:
        for one in (*counts, *counts):
            await one.flush(conn)
        health = await load_health(conn)
    assert health.counts[ROUNDS, ""] == 2
    assert health.counts[STALE, "round"] == 2
    assert (SWEEP_DIFFERENCES, "") not in health.counts


async def test_what_could_not_be_told_is_told_later(store):
    class Away:
        async def execute(self, *_):
            raise StoreUnavailable("away")

    counts = Counts()
    counts.add(SWEEP_DIFFERENCES)
    with pytest.raises(StoreUnavailable):
        await counts.flush(Away())
    async with store.read() as conn:
        await counts.flush(conn)
        assert (await load_health(conn)).counts[SWEEP_DIFFERENCES, ""] == 1


async def test_the_page_has_every_number(store):
    counts = Counts()
    counts.add_run("round", outcome="done", took_s=0.03)
    async with store.read() as conn:
        await request_work(conn, [WorkRequest("round", "a"), WorkRequest("round", "b")])
        await counts.flush(conn)
        page = render_metrics(await load_health(conn)).decode()
    assert 'interlock_work_items{kind="round",state="due"} 2.0' in page
    assert 'interlock_work_oldest_seconds{kind="round"}' in page
    assert 'interlock_round_seconds_bucket{le="0.025"} 0.0' in page
    assert 'interlock_round_seconds_bucket{le="0.05"} 1.0' in page
    assert 'interlock_round_seconds_bucket{le="+Inf"} 1.0' in page
    assert "interlock_round_seconds_sum 0.03" in page
    assert "interlock_sweep_differences_total 0.0" in page
    for family in ("interlock_stale", "interlock_jobs", "interlock_job_status_oldest_seconds", "interlock_agent_up"):
        assert f"# TYPE {family}" in page

"""Measurements that come together are written together, each as if it came alone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from interlock.agents.test_runner import TestRunnerAgent
from interlock.model.errors import Stale
from interlock.model.ids import new_id
from interlock.model.verification import Measurement, MeasurementStatus
from interlock.store.measuring import Measurements
from interlock.store.verifications import find_due_metric
from interlock.store.work import claim_work, release_work
from tests.store.fleet import Stepper, a_fleet

METRIC = {
    "name": "error-rate",
    "intervalSeconds": 60,
    "count": 2,
    "successCondition": "result.ok",
    "provider": {"type": "http", "url": "http://metrics.internal:9090/errors"},
}
HOSTS = ("a", "b", "c", "d")


@pytest.fixture
def stepper(store, tmp_path):
    return Stepper(store, tmp_path, agents={"test-runner": TestRunnerAgent()})


async def verifying(store, stepper):
    """Four hosts are verified by two metrics each."""
    fleet = await a_fleet(store, dict.fromkeys(HOSTS, "prod"))
    templated = {"type": "http", "url": "http://{{ .resource.name }}/errors"}
    metrics = [METRIC, {**METRIC, "name": "own", "provider": templated}]
    await fleet.policy("verified", [{"verification": {"metrics": metrics}}])
    await fleet.version("1.0.0")
    await stepper.run(kinds=[kind for kind in stepper.steps if kind != "measure"])
    return fleet


async def claimed(store):
    async with store.read() as conn:
        claims = await claim_work(conn, ["measure"], items_max=20, owner="tester", lease_s=60)
        return [(claim, await find_due_metric(conn, claim.key)) for claim in claims]


def passed():
    return Measurement(MeasurementStatus.PASSED, datetime.now(UTC))


async def test_measurements_that_come_together_share_transactions(store, stepper):
    fleet = await verifying(store, stepper)
    found = await claimed(store)
    assert len(found) == 8
    async with store.counting() as count:
        measurements = Measurements(store)
        again = await asyncio.gather(*(measurements.record(claim, due, passed()) for claim, due in found))
    assert all(at is not None for at in again)
    assert sum(text.startswith("COMMIT") for text in count.texts) <= 2
    async with store.read() as conn:
        assert await conn.fetchval("SELECT count(*) FROM measurement") >= 8
    again = await asyncio.gather(*(measurements.record(claim, due, passed()) for claim, due in found))
    assert again == [None] * 8, "both metrics of each have passed"
    async with store.read() as conn:
        states = "SELECT DISTINCT state FROM verification WHERE workspace_id = $1"
        assert [row["state"] for row in await conn.fetch(states, fleet.workspace_id)] == ["passed"]


async def test_one_that_cannot_be_written_takes_no_other_with_it(store, stepper):
    await verifying(store, stepper)
    found = await claimed(store)
    lost, _ = found[3]
    async with store.read() as conn:
        await release_work(conn, [lost], owner="tester")
    measurements = Measurements(store)
    written = await asyncio.gather(
        *(measurements.record(claim, due, passed()) for claim, due in found), return_exceptions=True
    )
    assert [number for number, one in enumerate(written) if isinstance(one, Stale)] == [3]
    async with store.read() as conn:
        ids = [due.id for _, due in found]
        assert await conn.fetchval("SELECT count(*) FROM measurement WHERE metric_id = ANY ($1::uuid[])", ids) == 7


async def test_metrics_that_are_due_together_are_read_together(store, stepper):
    await verifying(store, stepper)
    found = await claimed(store)
    measurements = Measurements(store)
    async with store.counting() as count:
        read = await asyncio.gather(*(measurements.find(claim.key) for claim, _ in found))
    assert read == [due for _, due in found]
    assert len(count) <= 2
    assert await measurements.find(new_id()) is None

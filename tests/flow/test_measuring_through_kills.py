"""A worker that measures is killed: is every measurement there once, and is there one verdict?"""

from __future__ import annotations

import pytest

from tests.flow.test_handover_at_random import a_worker_process
from tests.flow.test_handover_faults import PATIENCE_S, a_worker
from tests.store.fleet import a_fleet, until

COUNT = 24
METRIC = {
    "name": "alive",
    "intervalSeconds": 0.1,
    "count": COUNT,
    "successCondition": "result.ok",
    "provider": {"type": "sleep", "durationSeconds": 0},
}


@pytest.mark.e2e
async def test_a_killed_worker_loses_no_measurement_and_doubles_none(store, database_url, tmp_path):
    fleet = await a_fleet(store, {"one": "prod"})
    await fleet.policy("verify", [{"verification": {"metrics": [METRIC, {**METRIC, "name": "too"}]}}])
    await fleet.version("1.0.0")

    async def count(sql: str) -> int:
        async with store.read() as conn:
            return int(await conn.fetchval(sql))

    for wanted in (3, 17):
        async with a_worker_process(database_url, tmp_path) as worker:

            async def so_many_were_taken(wanted: int = wanted) -> bool:
                assert worker.returncode is None, (tmp_path / "worker.log").read_text()[-3000:]
                return await count("SELECT count(*) FROM measurement") >= wanted

            await until(so_many_were_taken, timeout_s=PATIENCE_S)
        async with store.read() as conn:  # its leases end
            await conn.execute("UPDATE work SET leased_until = clock_timestamp() WHERE owner IS NOT NULL")
    async with a_worker(store, tmp_path):
        await until(lambda: count("SELECT count(*) FROM verification WHERE state = 'passed'"), timeout_s=PATIENCE_S)
    async with store.read() as conn:
        rows = await conn.fetch(
            "SELECT m.name, array_agg(s.number ORDER BY s.number) AS numbers, "
            "(m.progress ->> 'passed')::int AS passed, "
            "count(DISTINCT s.measured_at) AS instants FROM verification_metric m "
            "JOIN measurement s ON s.metric_id = m.id GROUP BY m.id"
        )
    assert {row["name"] for row in rows} == {"alive", "too"}
    for row in rows:
        assert row["numbers"] == list(range(1, COUNT + 1))
        assert (row["passed"], row["instants"]) == (COUNT, COUNT)
    assert (await fleet.told()).count("verification.passed") == 1

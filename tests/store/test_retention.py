"""What is past its days goes, in batches; what is in use, and what the ledger and the decisions say, stays.

Source: core.md section 6; DESIGN section 5.
"""

import pytest

from interlock.store.retention import delete_expired
from tests.store.fleet import Stepper, a_fleet


@pytest.fixture
def stepper(store, tmp_path):
    return Stepper(store, tmp_path)


async def test_old_blobs_measurements_and_output_go_and_the_rest_stays(store, stepper):
    fleet = await a_fleet(store, {"one": "prod"})
    metric = {
        "name": "wait",
        "intervalSeconds": 1,
        "count": 1,
        "successCondition": "result.ok",
        "provider": {"type": "sleep", "durationSeconds": 0},
    }
    await fleet.policy("verify", [{"verification": {"metrics": [metric]}}])
    await fleet.version("1.0.0")
    await stepper.run()
    async with store.read() as conn:

        async def count(table, where="true"):
            return await conn.fetchval(f"SELECT count(*) FROM {table} WHERE {where}")

        ledger, decisions, blobs = await count("ledger"), await count("decision"), await count("blob")
        assert blobs > 1
        assert await count("measurement") == 1
        await conn.execute("UPDATE job SET output = 'hello'")

        assert await delete_expired(conn, blob_days=90, measurement_days=30) == 0
        assert await count("blob") == blobs

        await conn.execute(
            "UPDATE blob SET last_used_at = now() - interval '91 days' WHERE digest = (SELECT min(digest) FROM blob)"
        )
        await conn.execute("UPDATE measurement SET measured_at = now() - interval '31 days'")
        assert await delete_expired(conn, blob_days=90, measurement_days=30) == 1, "its verification ended just now"
        await conn.execute("UPDATE verification SET ended_at = now() - interval '31 days'")
        await conn.execute("UPDATE job SET completed_at = now() - interval '31 days'")
        assert await delete_expired(conn, blob_days=90, measurement_days=30) == 2
        assert await count("blob") == blobs - 1
        assert await count("measurement") == 0
        assert await count("job", "output IS NOT NULL") == 0
        assert (await count("ledger"), await count("decision")) == (ledger, decisions)


async def test_a_measurement_of_what_still_runs_is_kept(store, stepper):
    fleet = await a_fleet(store, {"one": "prod"})
    metric = {
        "name": "wait",
        "intervalSeconds": 600,
        "count": 2,
        "successCondition": "result.ok",
        "provider": {"type": "sleep", "durationSeconds": 0},
    }
    await fleet.policy("verify", [{"verification": {"metrics": [metric]}}])
    await fleet.version("1.0.0")
    await stepper.run()
    async with store.read() as conn:
        await conn.execute("UPDATE measurement SET measured_at = now() - interval '31 days'")
        assert await delete_expired(conn, blob_days=90, measurement_days=30) == 0


async def test_a_blob_that_is_used_again_gets_new_days(store, stepper):
    fleet = await a_fleet(store, {"one": "prod"})
    await fleet.version("1.0.0")
    await stepper.run()
    async with store.read() as conn:
        await conn.execute("UPDATE blob SET last_used_at = now() - interval '91 days'")
    await fleet.version("1.1.0")
    await stepper.run()
    async with store.read() as conn:
        await delete_expired(conn, blob_days=90, measurement_days=30)
        newest = await conn.fetchval("SELECT fact_digests FROM round ORDER BY at DESC LIMIT 1")
        kept = {row["digest"].hex() for row in await conn.fetch("SELECT digest FROM blob")}
    assert set(newest.values()) <= kept

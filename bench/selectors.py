"""How long does one selector take over 100,000 resources, in Python and in SQL?

Python: `sieve` over the views of all resources, as a match does. SQL: the translated condition in PostgreSQL,
counted, warm, with the indexes that the tables have. A fifth of the resources is in production, one in a thousand
carries the rare label.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from datetime import UTC, datetime

from bench.ground import a_fleet, a_store

from interlock.inventory.selector import Scope, parse_selector
from interlock.inventory.to_python import sieve
from interlock.inventory.to_sql import to_sql
from interlock.inventory.views import resource_view
from interlock.model.inventory import Resource

RESOURCES = 100_000
RUNS = 7
BUDGET_PYTHON_MS = 100
BUDGET_SQL_MS = 20

SELECTORS = (
    'resource.metadata["ring"] == "rare"',
    'resource.kind == "Host" && resource.metadata["env"] == "production"',
    'resource.metadata["env"] != "production"',
    'resource.name.startsWith("host-9")',
    'resource.config.port > 8100 && !("ring" in resource.metadata)',
)


def views() -> list[dict[str, object]]:
    """The same resources that the database gets."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        resource_view(
            Resource(
                id=f"00000000-0000-4000-8000-{number:012d}",
                workspace_id="00000000-0000-4000-8000-000000000000",
                provider_id=None,
                identifier=f"host-{number}",
                name=f"host-{number}",
                kind="Host" if number % 2 else "Function",
                version="v1",
                config={"port": 8000 + number % 200},
                metadata={
                    "env": "production" if number % 5 == 0 else "staging",
                    "region": f"r{number % 7}",
                    **({"ring": "rare"} if number % 1000 == 0 else {}),
                },
                created_at=at,
                updated_at=at,
            )
        )
        for number in range(RESOURCES)
    ]


async def in_sql() -> dict[str, tuple[float, int] | None]:
    """Selector -> (median milliseconds, matches); None where it does not translate."""
    found: dict[str, tuple[float, int] | None] = {}
    async with a_store() as store:
        fleet = await a_fleet(store, 0)
        async with store.read() as conn:
            await conn.execute(
                "INSERT INTO resource (workspace_id, identifier, name, kind, version, config, metadata) "
                "SELECT $1, 'host-' || n, 'host-' || n, CASE WHEN n % 2 = 1 THEN 'Host' ELSE 'Function' END, 'v1', "
                "jsonb_build_object('port', 8000 + n % 200), "
                "jsonb_build_object('env', CASE WHEN n % 5 = 0 THEN 'production' ELSE 'staging' END, "
                "'region', 'r' || n % 7) "
                "|| CASE WHEN n % 1000 = 0 THEN '{\"ring\": \"rare\"}'::jsonb ELSE '{}'::jsonb END "
                "FROM generate_series(0, $2::int - 1) AS n",
                fleet.workspace_id,
                RESOURCES,
            )
            await conn.execute("VACUUM ANALYZE resource")
            for text in SELECTORS:
                fragment = to_sql(parse_selector(text, Scope.RESOURCE), first=2)
                if fragment is None:
                    found[text] = None
                    continue
                live = "SELECT count(*) FROM resource r WHERE workspace_id = $1 AND deleted_at IS NULL"
                sql = f"{live} AND {fragment.where}"
                took = []
                for _ in range(RUNS):
                    began_s = time.perf_counter()
                    matches = await conn.fetchval(sql, fleet.workspace_id, *fragment.params)
                    took.append((time.perf_counter() - began_s) * 1000)
                found[text] = (statistics.median(took), matches)
    return found


def main() -> int:
    """Print the table."""
    rows = views()
    by_sql = asyncio.run(in_sql())
    budgets = f"(budgets: Python {BUDGET_PYTHON_MS}, SQL {BUDGET_SQL_MS})"
    print(f"one selector over {RESOURCES:,} resources, median of {RUNS}; milliseconds   {budgets}")
    print(f"{'Python':>8} {'SQL':>8} {'matches':>9}  selector")
    for text in SELECTORS:
        run = sieve(parse_selector(text, Scope.RESOURCE))
        took = []
        matched = 0
        for _ in range(RUNS):
            began_s = time.perf_counter()
            matched = len(run(rows))
            took.append((time.perf_counter() - began_s) * 1000)
        sql = by_sql[text]
        assert sql is None or abs(sql[1] - matched) <= 1, (
            text,
            sql,
            matched,
        )  # the fleet's own host is in the table too
        print(f"{statistics.median(took):>8.1f} {f'{sql[0]:.1f}' if sql else 'n/a':>8} {matched:>9,}  {text}")
    return 0


if __name__ == "__main__":
    main()

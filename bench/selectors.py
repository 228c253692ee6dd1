"""How long does one selector take over 100,000 resources, in Python and in PostgreSQL?

Python: the generated sieve over views that are there already, the median of five. SQL: the condition that the selector
is translated to, counting what it matches in a table with its indexes, the median of five after one run to warm up.
One resource in a thousand has a `rack`'s label, one in five an `env`'s.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

from bench.ground import Finding, a_store

from interlock.inventory.selector import Scope, parse_selector
from interlock.inventory.to_python import sieve
from interlock.inventory.to_sql import to_sql
from interlock.inventory.views import resource_view
from interlock.model.event import Actor
from interlock.model.ids import new_id
from interlock.model.inventory import Resource
from interlock.store.principals import save_principal
from interlock.store.rows import many
from interlock.store.tx import Store
from interlock.store.workspaces import create_workspace

RESOURCES = 100_000
BUDGET_PYTHON_MS, BUDGET_SQL_MS = 100.0, 20.0
RUNS = 5

SELECTORS = (
    ('resource.metadata["rack"] == "rack-7"', True),
    ('resource.kind == "Host" && resource.metadata["env"] == "production"', True),
    ('resource.metadata["env"] in ["production", "staging"] && resource.metadata["region"] != "eu"', False),
    ('resource.name.startsWith("host-12")', False),
    ('"gpu" in resource.metadata', False),
    ("resource.config.cores > 32", False),
    ('resource.name.matches("^host-[0-9]*7$")', False),
)
"""CEL, and whether the budget is about it: a label or two, as fleets are selected by."""

FILL = """
INSERT INTO resource (workspace_id, identifier, name, kind, version, config, metadata)
SELECT $1, 'host-' || n, 'host-' || n, CASE WHEN n % 7 = 0 THEN 'Cluster' ELSE 'Host' END, 'v1',
       jsonb_build_object('cores', n % 64, 'address', '10.0.0.' || n % 256),
       jsonb_build_object('env', (ARRAY['production', 'staging', 'test', 'dev', 'lab'])[1 + n % 10 / 2],
                          'region', (ARRAY['eu', 'us', 'ap'])[1 + n % 3],
                          'rack', 'rack-' || n % 1000, 'team', 'team-' || n % 40)
       || CASE WHEN n % 50 = 0 THEN '{"gpu": "yes"}'::jsonb ELSE '{}'::jsonb END
FROM generate_series(1, $2) AS n
"""


async def a_workspace(store: Store) -> str:
    """A workspace with all the resources."""
    async with store.tx(actor=Actor("user", new_id()), cause="bench") as tx:
        creator_id = await save_principal(tx, "ann")
        workspace_id = await create_workspace(tx, "bench", slug="bench", creator_id=creator_id)
        await tx.conn.execute(FILL, workspace_id, RESOURCES)
    async with store.read() as conn:
        await conn.execute("VACUUM ANALYZE resource")
    return workspace_id


def median_ms(run: Callable[[], object]) -> float:
    """The median of some runs."""
    took = []
    for _ in range(RUNS):
        gc.collect()
        began = time.perf_counter()
        run()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


async def measure_selectors() -> list[tuple[str, bool, int, float, float | None]]:
    """(selector, whether the budget is about it, matches, Python ms, SQL ms or None) for each."""
    found = []
    async with a_store() as store:
        workspace_id = await a_workspace(store)
        async with store.read() as conn:
            rows = await conn.fetch(
                "SELECT id, workspace_id, provider_id, identifier, name, kind, version, config, metadata, created_at, "
                "updated_at FROM resource"
            )
            views: list[dict[str, Any]] = [resource_view(one) for one in many(Resource, rows)]
            del rows
            for text, counts in SELECTORS:
                selector = parse_selector(text, Scope.RESOURCE)
                picked = sieve(selector)
                python_ms = median_ms(lambda picked=picked: picked(views))  # type: ignore[misc]
                matched = len(picked(views))
                fragment = to_sql(selector, first=2)
                sql_ms = None
                if fragment is not None:
                    where = f"r.workspace_id = $1 AND r.deleted_at IS NULL AND ({fragment.where})"
                    query = f"SELECT count(*) FROM resource r WHERE {where}"
                    took = []
                    for _ in range(RUNS + 1):
                        began = time.perf_counter()
                        in_sql = await conn.fetchval(query, workspace_id, *fragment.params)
                        took.append((time.perf_counter() - began) * 1000)
                    assert in_sql == matched, f"{text}: {in_sql} in SQL, {matched} in Python"
                    sql_ms = statistics.median(took[1:])
                found.append((text, counts, matched, python_ms, sql_ms))
    return found


def main() -> list[Finding]:
    """Print the table."""
    print(f"One selector over {RESOURCES:,} resources; milliseconds.")
    print(f"{'Python':>9} {'SQL':>9} {'matches':>9}   selector")
    found = []
    for text, counts, matched, python_ms, sql_ms in asyncio.run(measure_selectors()):
        in_sql = "-" if sql_ms is None else f"{sql_ms:.1f}"
        print(f"{python_ms:>9.1f} {in_sql:>9} {matched:>9,}   {text}")
        if counts:
            found.append(Finding(f"Python: {text}", python_ms, BUDGET_PYTHON_MS, "ms"))
            if sql_ms is not None:
                found.append(Finding(f"SQL: {text}", sql_ms, BUDGET_SQL_MS, "ms"))
    return found


if __name__ == "__main__":
    main()

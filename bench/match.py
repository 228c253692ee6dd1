"""How long does a match of 10,000 targets take, and what do variables and references add?

The second look at a deployment is timed, which finds nothing to do: loading and resolving, no writes. Then a value
that changes for every target: the same, with 10,000 new configs written. Hosts are in 100 networks; the reference is

    from.kind == "Host" && to.kind == "Network" && from.metadata.net == to.metadata.net

Ratios are to the deployment without variables.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from bench.ground import Finding, Fleet, a_fleet, a_store

from interlock.model.ids import new_id
from interlock.store.relationships import save_rule
from interlock.store.targets import Touched, find_unmatched, match_targets
from interlock.store.variables import WantedValue, WantedVariable, replace_variables
from interlock.workers import collect_less

TARGETS = 10_000
NETWORKS = 100
RATIO = 3.0
"""What five variables and one reference may cost a match, as a multiple; ours, DESIGN names no figure."""

TIER = 'resource.metadata["tier"] == "gold"'
PLAIN = [
    WantedVariable("replicas", None, (WantedValue(2, 0, None), WantedValue(5, 10, TIER))),
    WantedVariable("region", None, (WantedValue("eu", 0, None),)),
    WantedVariable("limits", None, (WantedValue({"object": {"cpu": 2}}, 0, None),)),
    WantedVariable("flag", None, (WantedValue(True, 0, TIER), WantedValue(False, -1, None))),
    WantedVariable("level", None, (WantedValue("info", 0, None),)),
]
CIDR = WantedVariable("network", None, (WantedValue({"reference": "net", "path": ["config", "cidr"]}, 0, None),))


async def in_networks(fleet: Fleet) -> None:
    """Every host in one of the networks, every second one of gold."""
    async with fleet.store.read() as conn:
        await conn.execute(
            "UPDATE resource r SET metadata = metadata || jsonb_build_object('net', (n.number % $2)::text, 'tier', "
            "CASE WHEN n.number % 2 = 0 THEN 'gold' ELSE 'silver' END) "
            "FROM (SELECT id, row_number() OVER (ORDER BY id) AS number FROM resource WHERE workspace_id = $1) AS n "
            "WHERE r.id = n.id",
            fleet.workspace_id,
            NETWORKS,
        )
        await conn.execute(
            "INSERT INTO resource (workspace_id, identifier, name, kind, version, metadata, config) "
            "SELECT $1, 'net-' || n, 'net-' || n, 'Network', 'v1', jsonb_build_object('net', n::text), "
            "jsonb_build_object('cidr', '10.' || n || '.0.0/16') FROM generate_series(0, $2 - 1) AS n",
            fleet.workspace_id,
            NETWORKS,
        )
        await conn.execute("ANALYZE")
    async with fleet.tx() as tx:
        await save_rule(
            tx,
            fleet.workspace_id,
            rule_id=new_id(),
            name="hosts in their network",
            description=None,
            reference="net",
            cel='from.kind == "Host" && to.kind == "Network" && from.metadata.net == to.metadata.net',
            metadata={},
        )


async def declare(fleet: Fleet, wanted: list[WantedVariable]) -> float:
    """Write a deployment's variables; gives how long the transaction took, in seconds."""
    began = time.perf_counter()
    async with fleet.tx() as tx:
        await replace_variables(tx, fleet.workspace_id, deployment_id=fleet.deployment_id, wanted=wanted)
    return time.perf_counter() - began


async def best_of(times: int, work: Callable[[], Awaitable[object]]) -> float:
    """The shortest of some runs, in seconds."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        await work()
        taken.append(time.perf_counter() - began)
    return min(taken)


async def measure() -> list[tuple[str, float]]:
    """What was matched -> seconds."""
    collect_less()
    async with a_store() as store:
        fleet = await a_fleet(store, TARGETS)
        await in_networks(fleet)
        touched = Touched(deployments=(fleet.deployment_id,))
        only = (fleet.deployment_id,)

        async def look() -> None:
            async with store.snapshot() as conn:
                found = await find_unmatched(conn, fleet.workspace_id, touched, only=only)
            assert not found, "everything is matched"

        async with fleet.tx() as tx:
            await match_targets(tx, fleet.workspace_id, touched)
        found = [("no variables", await best_of(3, look))]
        written = await declare(fleet, PLAIN)
        found += [("5 variables", await best_of(3, look)), ("5 variables, first written", written)]
        written = await declare(fleet, [*PLAIN, CIDR])
        found += [("5 variables and a reference", await best_of(3, look))]
        found += [("5 variables and a reference, first written", written)]
        return found


def main() -> list[Finding]:
    """Print the table; give the ratios."""
    found = asyncio.run(measure())
    plain = found[0][1]
    print(f"Match of {TARGETS:,} targets.")
    for what, seconds in found:
        print(f"{what:>45} {seconds * 1000:>9.0f} ms {seconds / plain:>6.2f} x")
    looked = dict(found)
    return [
        Finding(f"match of {TARGETS:,} targets", plain * 1000, None, "ms"),
        Finding("the same with 5 variables", looked["5 variables"] / plain, RATIO, "x"),
        Finding("the same with 5 variables and a reference", looked["5 variables and a reference"] / plain, RATIO, "x"),
    ]


if __name__ == "__main__":
    main()

"""How long does one round take, end to end, and how many statements? At 10, 1,000 and 10,000 targets.

A round is what a worker does for one deployment: load the facts in a snapshot, decide, commit the plan. Four gates and
a gradual rollout apply. The rounds of one version's life:

    asks     a version is new: staging starts, 10,000 targets hold, a person is asked
    admits   the person said yes: as many moves start as one round may (2,000)
    goes on  those jobs have succeeded: their moves end, the next 2,000 start
    rests    nothing changed

PostgreSQL runs on the same machine with fsync on. Statements are counted in the driver, BEGIN and COMMIT included.
`match` is how long it took to find the targets in the first place.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from bench.ground import GATES, Finding, Fleet, a_fleet, a_store, add_resources

from interlock.decide import decide
from interlock.model.event import Actor
from interlock.store.facts import load_facts
from interlock.store.plan import commit_plan
from interlock.workers import collect_less

BUDGET_MS = 1000.0
BUDGET_STATEMENTS = 40
RULES = [*GATES, {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 0}}]


@dataclass(frozen=True, slots=True)
class Took:
    """One round, in milliseconds."""

    statements: int
    load_ms: float
    decide_ms: float
    commit_ms: float
    moves: int

    @property
    def all_ms(self) -> float:
        """End to end."""
        return self.load_ms + self.decide_ms + self.commit_ms


async def a_round(fleet: Fleet) -> Took:
    """One round of the fleet's deployment."""
    store = fleet.store
    async with store.counting() as count:
        began = time.perf_counter()
        async with store.snapshot() as conn:
            loaded = await load_facts(conn, fleet.deployment_id)
        assert loaded is not None
        had = time.perf_counter()
        plan = decide(loaded.facts, loaded.now)
        decided = time.perf_counter()
        async with store.tx(actor=Actor("system", "worker"), cause="round", workspace_id=fleet.workspace_id) as tx:
            await commit_plan(tx, loaded, plan)
        done = time.perf_counter()
    return Took(len(count), (had - began) * 1000, (decided - had) * 1000, (done - decided) * 1000, len(plan.moves))


async def succeed(fleet: Fleet) -> None:
    """Every job that waits was handed over and has succeeded."""
    async with fleet.store.read() as conn:
        await conn.execute("ALTER TABLE job DISABLE TRIGGER USER")
        await conn.execute("ALTER TABLE move DISABLE TRIGGER USER")
        await conn.execute(
            "UPDATE job SET status = 'successful', handover = 'started', attempt = 1, handed_over_at = now(), "
            "started_at = now(), completed_at = now() WHERE status = 'pending' AND deployment_id = $1",
            fleet.deployment_id,
        )
        await conn.execute(
            "UPDATE move SET state = 'running', started_at = now() WHERE state = 'admitted' AND deployment_id = $1",
            fleet.deployment_id,
        )
        await conn.execute(
            "UPDATE target t SET mark_version_id = m.version_id, last_started_at = now() "
            "FROM move m WHERE m.target_id = t.id AND m.closed_at IS NULL AND t.deployment_id = $1",
            fleet.deployment_id,
        )
        await conn.execute("ALTER TABLE job ENABLE TRIGGER USER")
        await conn.execute("ALTER TABLE move ENABLE TRIGGER USER")


async def rounds_of(fleet: Fleet) -> dict[str, Took]:
    """The rounds of a version's life; the second version's, so that every target runs something."""
    for tag in ("1.0.0", "1.1.0"):
        await fleet.version(tag)
        found = {"asks": await a_round(fleet)}
        await succeed(fleet)
        await a_round(fleet)
        await fleet.approve(tag)
        found["admits"] = await a_round(fleet)
        await succeed(fleet)
        found["goes on"] = await a_round(fleet)
        for _ in range(20):
            await succeed(fleet)
            if not (await a_round(fleet)).moves:
                break
        found["rests"] = await a_round(fleet)
    return found


async def measure_rounds() -> list[tuple[int, float, dict[str, Took]]]:
    """(targets, seconds to match, rounds) for each size."""
    collect_less()
    found = []
    async with a_store() as store:
        for targets in (10, 1_000, 10_000):
            fleet = await a_fleet(store, 0, rules=RULES)
            match_s = await add_resources(fleet, targets, env="production")
            async with store.read() as conn:
                await conn.execute("ANALYZE")
            found.append((targets, match_s, await rounds_of(fleet)))
    return found


def main() -> list[Finding]:
    """Print the table; give what the budgets are about."""
    print("One round, end to end; milliseconds.")
    print(
        f"{'targets':>9} {'round':>9} {'statements':>11} {'load':>8} {'decide':>8}"
        f" {'commit':>8} {'all':>8} {'moves':>6}"
    )
    found = []
    statements: dict[str, set[int]] = {}
    for targets, match_s, rounds in asyncio.run(measure_rounds()):
        for name, took in rounds.items():
            print(
                f"{targets:>9,} {name:>9} {took.statements:>11} {took.load_ms:>8.1f} {took.decide_ms:>8.1f}"
                f" {took.commit_ms:>8.1f} {took.all_ms:>8.1f} {took.moves:>6,}"
            )
            statements.setdefault(name, set()).add(took.statements)
            if targets == 10_000:
                found.append(Finding(f"round over 10,000 targets, {name}", took.all_ms, BUDGET_MS, "ms"))
        print(f"{targets:>9,} {'match':>9} {'':>11} {'':>8} {'':>8} {'':>8} {match_s * 1000:>8.1f}")
    most = max(count for counts in statements.values() for count in counts)
    found.append(Finding("statements of one round, at most", most, BUDGET_STATEMENTS, ""))
    return found


if __name__ == "__main__":
    main()

"""How does it go? What operators watch, asked of the database, which knows of every process.

Depths and ages are read when they are asked for. What leaves no trace in the tables (rounds that lost a race, how long
a round took) is counted: each process collects in memory and adds its sums to the table `counter` now and then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from interlock.store.queries import Conn, queries
from interlock.store.rows import many
from interlock.store.work import WorkDepth, measure_work

Q = queries("health")

STALE = "stale"
"""Commits that lost a race and were done again; the label is the kind of work."""
ROUNDS = "rounds"
"""Rounds that ended."""
ROUND_SECONDS = "round_seconds"
"""The sum of their durations."""
ROUND_BUCKET = "round_bucket"
"""Rounds that took at most so many seconds; the label is the bound."""
SWEEP_DIFFERENCES = "sweep_differences"
"""Moves that the sweep found and no fact had asked for. Must stay 0."""

ROUND_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class JobAge:
    """How many jobs have a status, and for how long the one that changed least recently has had it."""

    status: str
    jobs: int
    oldest_s: float


@dataclass(frozen=True, slots=True)
class AgentUp:
    """Whether the last look through an agent went well, whether its breaker is open, and how many jobs nobody has."""

    name: str
    type: str
    workspace: str
    up: bool
    down: bool
    waiting: int


@dataclass(frozen=True, slots=True)
class Health:
    """Everything at one instant. `counts` maps (name, label) to the sum over all processes."""

    work: tuple[WorkDepth, ...]
    jobs: tuple[JobAge, ...]
    agents: tuple[AgentUp, ...]
    counts: dict[tuple[str, str], float]


async def load_health(conn: Conn) -> Health:
    """Read it all. Costs: four statements."""
    return Health(
        work=await measure_work(conn),
        jobs=many(JobAge, await conn.fetch(Q.measure_jobs)),
        agents=many(AgentUp, await conn.fetch(Q.list_agents_up)),
        counts={(row["name"], row["label"]): row["value"] for row in await conn.fetch(Q.list_counters)},
    )


HANDOVERS = "handovers"
"""Jobs that were handed over."""
HANDOVER_SECONDS = "handover_seconds"
"""The sum of how long they waited, from the decision on."""
HANDOVER_BUCKET = "handover_bucket"
"""Jobs that waited at most so many seconds; the label is the bound."""

HANDOVER_BOUNDS_S = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 1800.0, 3600.0)


class Counts:
    """What this process did since it last told the database.

    counts = Counts()
    counts.add(STALE, label="round")
    counts.add_round(0.034)
    async with store.read() as conn:
        await counts.flush(conn)
    """

    def __init__(self) -> None:
        self._sums: Counter[tuple[str, str]] = Counter()
        self._seconds: float = 0.0
        self._waited_s: float = 0.0

    def add(self, name: str, *, label: str = "", amount: int = 1) -> None:
        """Count something."""
        self._sums[name, label] += amount

    def add_run(self, kind: str, *, outcome: str, took_s: float) -> None:
        """Count how one look at a work item ended: a lost race, or a round and how long it took."""
        if outcome == "stale":
            self.add(STALE, label=kind)
        if kind != "round" or outcome != "done":
            return
        self.add(ROUNDS)
        self._seconds += took_s
        for bound_s in ROUND_BOUNDS_S:
            if took_s <= bound_s:
                self.add(ROUND_BUCKET, label=f"{bound_s:g}")

    def add_handover(self, waited_s: float) -> None:
        """Count a hand-over, and how long its job waited for it."""
        self.add(HANDOVERS)
        self._waited_s += waited_s
        for bound_s in HANDOVER_BOUNDS_S:
            if waited_s <= bound_s:
                self.add(HANDOVER_BUCKET, label=f"{bound_s:g}")

    async def flush(self, conn: Conn) -> None:
        """Add the sums to the table. What cannot be written is kept for the next time."""
        sums, seconds, waited_s = self._sums, self._seconds, self._waited_s
        if not sums:
            return
        self._sums, self._seconds, self._waited_s = Counter(), 0.0, 0.0
        rows: Iterable[tuple[str, str, float]] = [(name, label, float(value)) for (name, label), value in sums.items()]
        rows = [*rows, (ROUND_SECONDS, "", seconds)] if seconds else list(rows)
        rows = [*rows, (HANDOVER_SECONDS, "", waited_s)] if waited_s else rows
        try:
            await conn.execute(Q.add_counters, *map(list, zip(*rows, strict=True)))
        except BaseException:
            self._sums += sums
            self._seconds += seconds
            self._waited_s += waited_s
            raise

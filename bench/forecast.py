"""How long does a forecast take? Every start of a rollout, worked out event by event, and how that grows.

One environment behind approval, progression, a window and a version selector (as in `decide`), one target every minute,
at most five in flight, each verified. `a round` is one `decide` over the same facts: what it costs to know what starts
now, against what it costs to know when everything starts.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from bench.decide import GATES, NOW, some_facts
from bench.ground import Finding

from interlock.decide import decide
from interlock.decide.facts import Facts
from interlock.decide.forecast import Durations, forecast
from interlock.simulate.world import policy

METRIC = {
    "name": "healthy",
    "intervalSeconds": 10,
    "count": 3,
    "successCondition": "result.ok",
    "provider": {"type": "sleep", "durationSeconds": 1},
}
PACE = [
    {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 60, "maxInFlight": 5}},
    {"verification": {"metrics": [METRIC]}},
]
USUAL = Durations(timedelta(seconds=95), timedelta(seconds=30))
BUDGET_MS = 1000
"""Ours: a page that shows a forecast of 1,000 targets must not be waited for."""


def paced_facts(targets: int) -> Facts:
    """The facts of `decide`'s benchmark, with a pace and a proof."""
    facts = some_facts(targets, paced=False)
    policies = {one.id: one for one in (policy("gates", GATES), policy("pace", PACE))}
    return replace(facts, policies=policies, policy_sets={"set": tuple(policies), "none": ()})


def cpu_ms(run: Callable[[], object], times: int = 3) -> float:
    """The median of some runs, in milliseconds of CPU."""
    found = []
    for _ in range(times):
        gc.collect()
        began = time.process_time()
        run()
        found.append((time.process_time() - began) * 1000)
    return statistics.median(found)


def main() -> list[Finding]:
    """Print the table; give the figure of 1,000 targets."""
    print("forecast() of one rollout; milliseconds of CPU for one of its two runs")
    print(f"{'targets':>9} {'forecast':>9} {'µs/target':>10} {'a round':>9} {'ratio':>7} {'starts':>7}")
    findings: list[Finding] = []
    for targets in (100, 1_000, 10_000):
        facts = paced_facts(targets)
        durations = dict.fromkeys(facts.environments, USUAL)
        newest = facts.versions[1]
        starts = sum(one.state == "starts" for one in forecast(facts, NOW, newest, durations))
        forecast_ms = cpu_ms(lambda: forecast(facts, NOW, newest, durations))  # noqa: B023
        round_ms = cpu_ms(lambda: decide(facts, NOW))  # noqa: B023
        row = f"{targets:>9,} {forecast_ms:>9.1f} {forecast_ms * 1000 / targets:>10.1f} {round_ms:>9.1f}"
        print(f"{row} {forecast_ms / round_ms:>7.1f} {starts:>7,}")
        if targets == 1_000:
            findings.append(Finding("forecast of 1,000 targets, both runs", forecast_ms * 2, BUDGET_MS, "ms"))
    return findings


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
    main()

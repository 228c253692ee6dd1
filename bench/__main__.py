"""`make bench`: every benchmark, and a table against the budgets of DESIGN section 9.

Names after `make bench ARGS=` run only those: `make bench ARGS="round latency"`. Figures are of this machine, as it is
now; what else runs on it is in them. Garbage is collected as in a worker (`collect_less`).
"""

from __future__ import annotations

import os
import platform
import sys
import time

from bench import canaries, decide, forecast, handover, latency, match, metrics, pull, selectors, sync, what_if, work
from bench import requests as api_requests
from bench import round as rounds
from bench.ground import Finding

from interlock.workers import collect_less

BENCHMARKS = {
    "decide": decide,
    "canaries": canaries,
    "forecast": forecast,
    "what-if": what_if,
    "round": rounds,
    "match": match,
    "latency": latency,
    "handover": handover,
    "selectors": selectors,
    "requests": api_requests,
    "pull": pull,
    "metrics": metrics,
    "sync": sync,
    "work": work,
}


def main(names: list[str]) -> int:
    """Run them one by one; give 0 whatever they find: a machine's figure is no test."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"There is no benchmark {', '.join(unknown)}. There are: {', '.join(BENCHMARKS)}.", file=sys.stderr)
        return 2
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{machine}, Python {platform.python_version()}")
    collect_less()
    findings: list[Finding] = []
    for name in names or BENCHMARKS:
        began = time.perf_counter()
        print(f"\n--- {name}: {(BENCHMARKS[name].__doc__ or '').partition(chr(10))[0]}")
        found = BENCHMARKS[name].main()
        if isinstance(found, list):
            findings += found
        print(f"    ({time.perf_counter() - began:.0f} s)")
    print("\n--- against DESIGN section 9")
    for one in findings:
        budget = "" if one.budget is None else f"budget {one.budget:g}{one.unit and ' ' + one.unit}"
        verdict = "" if one.budget is None else "ok" if one.met else "MISSED"
        print(f"{one.figure:>12,.1f} {one.unit:<3} {budget:<16} {verdict:<7} {one.what}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Run the benchmarks: all of them, or those named. Each says what it measures, how, and against which budget.

    make bench                    all
    make bench ARGS="round work"  some

Nothing here is asserted: a figure over its budget is a finding, and is said in the notes of the change. Compare two
states of the code in one session on one quiet machine, as a ratio.
"""

from __future__ import annotations

import os
import platform
import sys
import time

from bench import decide, latency, selectors, work
from bench import round as round_

BENCHMARKS = {"decide": decide, "round": round_, "latency": latency, "selectors": selectors, "work": work}


def main(names: list[str]) -> int:
    """Run what is named, or all. Gives 2 for an unknown name."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"There is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}.", file=sys.stderr)
        return 2
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for name in names or BENCHMARKS:
        print(f"\n--- {name}")
        began_s = time.perf_counter()
        BENCHMARKS[name].main()
        print(f"    ({time.perf_counter() - began_s:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

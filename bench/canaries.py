"""How often does the sequential judge stop a harmless canary, and after how many bad events a harmful one?

Each bad event is drawn for the canary with the probability that its share of the traffic and its rate give, and the
judge looks after every one: the most peeking there can be. `ramp` begins with 1 % of the traffic and goes to 5, 10 and
33 % after 200, 300 and 500 events; `flat` has 10 % throughout. Beside it a z-test at 1 % (both sides), repeated after
every event, as dashboards invite to.

No time is measured: the table is that of definitions.md E3, found again with other seeds, whose figures stand below
ours.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Iterable, Iterator

from bench.ground import Finding

from interlock.judge.sequential import RATIOS, Counting, Look, weigh
from interlock.judge.sequential import Finding as Verdict

ALPHA = 0.01
RUNS_NULL, RUNS = 2_000, 200
EVENTS_MAX = 2_000
RAMP = ((200, 0.01), (500, 0.05), (1_000, 0.10), (EVENTS_MAX, 0.33))
FLAT = ((EVENTS_MAX, 0.10),)
Z = 2.5758293035489004
RATIOS_SHOWN = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
PUBLISHED = {
    "ramp": ("0.7 %", "1393 (73 %)", "880", "453", "248", "149", "47"),
    "flat 10 %": ("0.4 %", "", "550 (99 %)", "166", "56", "23", ""),
    "naive, flat": ("13.1 %",),
}
"""Rows of E3's table."""


def shares(schedule: tuple[tuple[int, float], ...]) -> Iterator[float]:
    """The canary's share at each event."""
    for number in range(EVENTS_MAX):
        yield next(share for until, share in schedule if number < until)


def stopped_after(
    ratio: float, schedule: tuple[tuple[int, float], ...], dice: random.Random
) -> tuple[int | None, int | None]:
    """Bad events until the judge says harmful, and until the repeated z-test does; None: never."""
    logs = [0.0] * len(RATIOS)
    surplus = spread = 0.0
    ours: int | None = None
    naive: int | None = None
    for number, share in enumerate(shares(schedule), 1):
        p = share * ratio / (share * ratio + 1 - share)
        canary = dice.random() < p
        for place, worse in enumerate(RATIOS):
            mass = share * worse + 1 - share
            logs[place] += math.log((worse if canary else 1.0) / mass)
        surplus, spread = surplus + canary - share, spread + share * (1 - share)
        if ours is None and sum(map(math.exp, logs)) / len(logs) >= 1 / ALPHA:
            ours = number
        if naive is None and number >= 10 and surplus / math.sqrt(spread) > Z:
            naive = number
        if ours is not None and naive is not None:
            break
    return ours, naive


def main() -> list[Finding]:
    """Play it."""
    check_same_as_the_judge()
    findings: list[Finding] = []
    print(f"{RUNS_NULL:,} equal canaries, {RUNS} of each other ratio; median bad events until stopped (part of them)")
    show("ratio of the rates", ("1.0 (stopped)", *map(str, RATIOS_SHOWN)))
    for name, schedule in (("ramp", RAMP), ("flat 10 %", FLAT)):
        dice = random.Random(20221128)
        null = [stopped_after(1.0, schedule, dice) for _ in range(RUNS_NULL)]
        ours = 100 * sum(one is not None for one, _ in null) / RUNS_NULL
        naive = 100 * sum(one is not None for _, one in null) / RUNS_NULL
        findings.append(Finding(f"sequential judge, {name}: harmless canaries stopped", ours, 100 * ALPHA, "%"))
        cells = [f"{ours:.1f} %"]
        for ratio in RATIOS_SHOWN:
            found = [stopped_after(ratio, schedule, dice)[0] for _ in range(RUNS)]
            caught = [one for one in found if one is not None]
            median = statistics.median(caught) if caught else math.nan
            part = "" if len(caught) == RUNS else f" ({100 * len(caught) / RUNS:.0f} %)"
            cells.append(f"{median:.0f}{part}")
            if ratio == 2.0:
                findings.append(
                    Finding(f"sequential judge, {name}: events until twice the errors is found", median, None, "")
                )
        show(name, cells)
        show("  as published", PUBLISHED[name])
        short = name.split()[0]
        show(f"naive, {short}", (f"{naive:.1f} %",))
        if f"naive, {short}" in PUBLISHED:
            show("  as published", PUBLISHED[f"naive, {short}"])
        findings.append(Finding(f"z-test after every event, {name}: harmless canaries stopped", naive, None, "%"))
    return findings


def show(name: str, cells: Iterable[str]) -> None:
    """A row of the table."""
    print(f"{name:<20}" + "".join(f"{cell:>14}" for cell in cells))


def check_same_as_the_judge() -> None:
    """The loop above is the judge's own formula, kept incremental: both say the same of one history."""
    dice, looks, logs = random.Random(1), [], [0.0] * len(RATIOS)
    for _ in range(50):
        canary = dice.random() < 0.2
        looks.append(Look(int(canary), 100, int(not canary), 900))
        for place, worse in enumerate(RATIOS):
            logs[place] += math.log((worse if canary else 1.0) / (0.1 * worse + 0.9))
    harm = sum(map(math.exp, logs)) / len(logs)
    found = weigh(looks, Counting(alpha=1e-12))
    assert found.finding is Verdict.RUNNING
    assert math.isclose(found.harm, harm, rel_tol=1e-9), (found.harm, harm)

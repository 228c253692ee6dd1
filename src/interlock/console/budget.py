"""How much may still go wrong with this deployment, and how fast is it used up? The error budgets of its objectives.

Part of the deployment's page: the class with its word, what is left, a small chart of both over the last day, and each
pair of windows with its burn beside what it may be. What is not known, or was read too long ago, says so and is drawn
as a gap: unknown is never healthy.

Source: definitions.md E1; issue "Verification that acts", sections "Error budgets" and "Console and CLI".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson

from interlock.console.sparkline import says_panel, sparkline
from interlock.console.verification import Chart
from interlock.judge.budget import LOW, ROWS, BudgetClass
from interlock.judge.series import Line, Panel, Point, Threshold, says_number
from interlock.judge.slo import window_word
from interlock.model.job import age
from interlock.model.verification import MeasurementStatus
from interlock.store import slos
from interlock.store.queries import Conn
from interlock.store.slos import SloReading, StoredSlo
from interlock.web.series import render_chart

SHOWN_MAX = 6
"""So many objectives are shown with their charts."""

POINTS_MAX = 240
DRAWN = timedelta(days=1)
AGAIN_S = 30

WORDS = {
    BudgetClass.HEALTHY: ("pass", "healthy"),
    BudgetClass.LOW: ("wait", "low"),
    BudgetClass.SLOW_BURN: ("wait", "slow burn"),
    BudgetClass.FAST_BURN: ("halted", "fast burn"),
    BudgetClass.EXHAUSTED: ("failed", "exhausted"),
    BudgetClass.UNKNOWN: ("unknown", "unknown"),
}
"""Class -> its mark and its word."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A pair of windows. It fires when both burns are above the factor; a burn is None where it is not known."""

    name: str
    windows: str
    burns: Sequence[float | None]
    factor: float
    fires: bool
    makes: str


@dataclass(frozen=True, slots=True)
class Budget:
    """An objective as the page shows it. `left` is a text; `age` is how old what is known is."""

    slo: StoredSlo
    promise: str
    mark: str
    word: str
    why: str
    left: str | None
    age: str | None
    stale: bool
    pairs: Sequence[Pair]
    charts: Sequence[Chart]
    gaps: bool


async def load_budgets(
    conn: Conn, workspace_id: str, *, deployment_id: str, now: datetime
) -> tuple[Sequence[Budget], int]:
    """The objectives that cover a deployment, by name, and how many there are."""
    found, total = await slos.list_slos(conn, workspace_id, deployment_id=deployment_id, limit=SHOWN_MAX, offset=0)
    shown = []
    for slo in found:
        readings = await slos.list_readings(
            conn, slo.id, since=now - DRAWN, until=now + timedelta(microseconds=1), most=POINTS_MAX
        )
        shown.append(budget_of(slo, readings, now=now))
    return shown, total


def budget_of(slo: StoredSlo, readings: Sequence[SloReading], *, now: datetime) -> Budget:
    """One objective as the page shows it now."""
    spec = slos.spec_of(slo.spec)
    stale = slo.stale_at(now)
    kind = BudgetClass.UNKNOWN if stale else BudgetClass(slo.budget)
    mark, word = WORDS[kind]
    known = kind is not BudgetClass.UNKNOWN
    return Budget(
        slo=slo,
        promise=f"{spec.target_percent:.6g} % over {spec.window_days} days",
        mark=mark,
        word=word,
        why="Its signal is too old to count." if stale else slo.why,
        left=None if slo.remaining is None or not known else says_number(slo.remaining, "ratio"),
        age=age(max(0.0, (now - slo.observed_at).total_seconds())) if slo.observed_at else None,
        stale=stale,
        pairs=pairs_of(slo, period=timedelta(days=spec.window_days), known=known),
        charts=charts_of(slo, readings, period=timedelta(days=spec.window_days), stale_now=now if stale else None),
        gaps=stale or any(each.budget == "unknown" for each in readings),
    )


def pairs_of(slo: StoredSlo, *, period: timedelta, known: bool) -> list[Pair]:
    """The table of E1 with this objective's burns. Windows that are no shorter than the period have no burn."""
    return [
        Pair(
            name=row.name,
            windows=f"{window_word(row.long)}, {window_word(row.short)}",
            burns=[slo.burn.get(window_word(window)) if known else None for window in (row.long, row.short)],
            factor=row.factor(period),
            fires=known and row.name in slo.firing,
            makes=WORDS[row.kind][1],
        )
        for row in ROWS
        if row.long < period
    ]


def charts_of(
    slo: StoredSlo, readings: Sequence[SloReading], *, period: timedelta, stale_now: datetime | None
) -> list[Chart]:
    """What was left, and how fast it burnt.

    Takes: `stale_now`: the signal has run dry, and it is this instant by now.
    """
    points = [_point(each) for each in readings]
    burns = [each.burn if each.budget != "unknown" else {} for each in readings]
    left = [each.remaining if each.budget != "unknown" else None for each in readings]
    if points and stale_now is not None:
        points.append(Point(stale_now, MeasurementStatus.ERRORED, "unknown: the signal is too old"))
        burns.append({})
        left.append(None)
    if not any(value is not None for value in left):
        return []
    budget = Panel(
        "budget left",
        "ratio",
        (Line("value", "left", tuple(left)),),
        (Threshold(0.0, "exhausted", good=False),)
        if any(value is not None and value < 0 for value in left)
        else (Threshold(LOW, f"low below {says_number(LOW, 'ratio')}", good=False),),
    )
    rows = [row for row in ROWS if row.long < period]
    lines = tuple(
        Line(f"window-{number}", window_word(row.long), tuple(burn.get(window_word(row.long)) for burn in burns))
        for number, row in enumerate(rows, start=1)
    )
    burn = Panel("burn rate, by window", "", lines, _burn_limits(lines, period))
    return [
        Chart(panel, orjson.dumps(render_chart(points, panel)).decode(), sparkline(panel, points), says_panel(panel))
        for panel in (budget, burn)
        if panel.lines
    ]


def _burn_limits(lines: Sequence[Line], period: timedelta) -> tuple[Threshold, ...]:
    """What the slowest pair may burn, and the fastest once that is in sight: more lines would hide each other."""
    rows = [row for row in ROWS if row.long < period]
    most = max((value for line in lines for value in line.values if value is not None), default=0.0)
    drawn = [row for row in (rows[0], rows[-1]) if row is rows[-1] or row.factor(period) <= 2 * most] if rows else []
    return tuple(
        Threshold(
            row.factor(period),
            f"{WORDS[row.kind][1]}: {window_word(row.long)} above {row.factor(period):.3g}",
            good=False,
        )
        for row in drawn
    )


def _point(reading: SloReading) -> Point:
    """A reading of which nothing is known was none."""
    word = WORDS[BudgetClass(reading.budget)][1]
    status = MeasurementStatus.ERRORED if reading.budget == "unknown" else MeasurementStatus.PASSED
    return Point(
        reading.at, status, f"{word}{f': {reading.why}' if reading.why and reading.budget == 'unknown' else ''}"
    )

"""How is a line drawn without script? As a small SVG: the values, their thresholds, and a shape for each measurement.

It stands beside a job, and in a chart's place where no script runs. Every number is listed besides, so that nothing
depends on seeing it.

Source: SVG 2, "Basic Shapes".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from interlock.judge.series import Panel, Point, says_number

WIDTH, HEIGHT, PAD = 240, 48, 8
DOTS_MAX = 60
"""More measurements than this are drawn as a line alone, but for those that did not pass."""


@dataclass(frozen=True, slots=True)
class Sparkline:
    """A drawn panel: the stretches of its lines, the measurements' shapes, and how high each threshold lies."""

    lines: Sequence[tuple[str, Sequence[str]]]
    shapes: Sequence[tuple[float, float, str]]
    thresholds: Sequence[float]
    says: str


def sparkline(panel: Panel, points: Sequence[Point]) -> Sparkline:
    """The panel as a small drawing, with what it shows in words."""
    values = [value for line in panel.lines for value in line.values if value is not None]
    ends = [*values, *(each.value for each in panel.thresholds)] if not panel.log else values
    scaled = [_scaled(value, log=panel.log) for value in ends] or [0.0]
    lowest, highest = min(scaled), max(scaled)
    span = (highest - lowest) or 1.0
    step = (WIDTH - 2 * PAD) / max(len(points) - 1, 1)

    def x(number: int) -> float:
        return round(PAD + number * step, 1)

    def y(value: float) -> float:
        return round(HEIGHT - PAD - (_scaled(value, log=panel.log) - lowest) / span * (HEIGHT - 2 * PAD), 1)

    first = panel.lines[0].values if panel.lines else ()
    shapes = [
        (x(number), HEIGHT - PAD / 2 if value is None else y(value), point.status.value)
        for number, (value, point) in enumerate(zip(first, points, strict=True))
        if (value is not None or point.status.value == "errored")
        and (len(points) <= DOTS_MAX or point.status.value != "passed")
    ]
    lines = [
        (line.role, [" ".join(f"{x(number)},{y(value)}" for number, value in run) for run in _runs(line.values)])
        for line in panel.lines
    ]
    thresholds = [] if panel.log else [y(each.value) for each in panel.thresholds]
    return Sparkline(lines, shapes, thresholds, says_panel(panel))


def says_panel(panel: Panel) -> str:
    """What a panel shows, for those who do not see it."""
    said = []
    for line in panel.lines:
        known = [value for value in line.values if value is not None]
        if known:
            low, high, last = (says_number(value, panel.unit) for value in (min(known), max(known), known[-1]))
            said.append(f"{line.name} from {low} to {high}, last {last}")
    limits = "; ".join(each.says for each in panel.thresholds)
    return f"{panel.title}: {'; '.join(said) or 'no number yet'}{f'; {limits}' if limits else ''}"


def _runs(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """The stretches of a line between its gaps."""
    runs: list[list[tuple[int, float]]] = [[]]
    for number, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((number, value))
    return [run for run in runs if run]


def _scaled(value: float, *, log: bool) -> float:
    return math.log10(max(value, 1e-2)) if log else value

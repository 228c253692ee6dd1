"""What does a metric look like over time? Its measurements as lines with their limits, for people and charts.

A metric is drawn in *panels*. One per number that its conditions look at, with the limits that stand there; or, for a
metric that compares, one with canary and baseline, and one with the evidence of a judge that looks again and again:

    conditions    value                                       limits: passes below 0.01, fails above 0.05
    threshold     canary, baseline, and what the bounds allow of the baseline
    kayenta       canary, baseline: the mean of each look's points
    sequential    canary, baseline: bad of all events           and the two e-values, which decide at 1/α
    means         canary, baseline                              and the difference with its interval

What could not be measured, and what is no finite number, is a gap. Nothing here judges: states and sentences are those
that were recorded; where a metric still runs, its counts are said. A sample that stands for several (`thinning.py`) is
one point: its mean, with the least and the greatest of them around it, or the sums of its counts. Where the share of
the traffic changed between those, the evidence drawn from their sums is near what the judge had, not the same.

Source: definitions.md E2, E3; `comparison.py`, `machine.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from interlock.judge.comparison import SIDES, averaging_of, look_of
from interlock.judge.limits import Limit, limits_of
from interlock.judge.means import Moments, compare_means
from interlock.judge.sequential import Counting, trace
from interlock.judge.thinning import THINNED, at_ends, points_of
from interlock.judge.values import NoNumber, numbers_of
from interlock.model.compare import Compare
from interlock.model.verification import Measurement, MeasurementStatus, MetricSpec, Runs

PANELS_MAX = 4
"""So many numbers of one metric's conditions are drawn."""

Values = tuple[float | None, ...]
"""A number for each measurement; None is a gap."""

NAMES_MAX = 5
VERDICTS = {"passed": "It passed", "failed": "It failed", "inconclusive": "Nothing could tell"}

OPERATORS = {"<": "below", "<=": "up to", ">": "above", ">=": "from", "==": "at"}

_MILLISECONDS = re.compile(r"(?:_ms|Ms|-ms|[Mm]illis(?:econds)?)$|^(?:duration|ms)$")
_SECONDS = re.compile(r"(?:_s|-s|[Ss]econds)$")
_PERCENT = re.compile(r"[Pp]ercent(?:age)?$|_pct$|Pct$")
_BYTES = re.compile(r"[Bb]ytes$")
_RATIO = re.compile(r"[Rr]ate$|[Rr]atio$|[Ss]hare$|[Ff]raction$|[Uu]tili[sz]ation$|[Ss]aturation$|[Aa]vailability$")
_LAST_NAME = re.compile(r"([A-Za-z_][\w-]*)\"?\]?\W*$")


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement, or `of` so many. `says` is its message, or a compared look's numbers."""

    at: datetime
    status: MeasurementStatus
    says: str
    of: int = 1


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a panel.

    Takes: `role` is value, canary, baseline, allowed (what the bounds allow), low and high (an interval), estimate,
           harm or safety.
    """

    role: str
    name: str
    values: Values


@dataclass(frozen=True, slots=True)
class Threshold:
    """A line across a panel, with what it means in words."""

    value: float
    says: str
    good: bool


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes.

    Takes: `unit` is ratio (0 to 1, shown as percent), %, ms, s, bytes or empty; `log`: the scale is logarithmic.
    """

    title: str
    unit: str
    lines: tuple[Line, ...]
    thresholds: tuple[Threshold, ...] = ()
    log: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """A metric's measurements in their order, with its panels. None: it measures no number."""

    points: tuple[Point, ...]
    panels: tuple[Panel, ...]


def series_of(spec: MetricSpec, measurements: Sequence[Measurement], *, alpha: float) -> Series:
    """The series of one metric.

    Takes: measurements in their order; `alpha` is this metric's part of its comparison's.
    Fails: never. What an old or odd answer does not hold is a gap.
    """
    if spec.compare is None:
        points = tuple(_point_of(each, each.message or "") for each in measurements)
        return Series(points, _condition_panels(spec, measurements))
    samples = [_sample(each) for each in measurements]
    says = _says_counts if spec.compare.judge == "sequential" else _says_values
    points = tuple(
        _point_of(each, each.message or (says(sample) if sample else ""))
        for each, sample in zip(measurements, samples, strict=True)
    )
    if not any(samples):
        return Series(points, ())
    draw = {"sequential": _count_panels, "means": _mean_panels, "threshold": _bound_panels}
    return Series(points, draw.get(spec.compare.judge, _plain_panels)(spec, spec.compare, samples, alpha))


def thinned(series: Series, points_max: int) -> Series:
    """The series with at most so many points: neighbours become one, with their mean, and what they lay between.

    Gives: a thinned point has the worst status of its measurements, and says how many they were. Evidence and what
           else adds up keeps its last value.
    """
    every = math.ceil(len(series.points) / points_max)
    if every <= 1:
        return series
    groups = [range(begin, min(begin + every, len(series.points))) for begin in range(0, len(series.points), every)]
    points = tuple(_together([series.points[number] for number in group]) for group in groups)
    return Series(points, tuple(_thinned_panel(panel, groups) for panel in series.panels))


_WORST = (
    MeasurementStatus.FAILED,
    MeasurementStatus.ERRORED,
    MeasurementStatus.INCONCLUSIVE,
    MeasurementStatus.PASSED,
)


def _point_of(measurement: Measurement, says: str) -> Point:
    of = _of(measurement)
    if of > 1:
        says = f"{of} measurements{f': {says}' if says else ''}"
    return Point(measurement.measured_at, measurement.status, says, of)


def _of(measurement: Measurement) -> int:
    """How many measurements a stored sample stands for."""
    kept = measurement.result.get(THINNED)
    return int(kept.get("of", 1)) if isinstance(kept, Mapping) else 1


def _together(points: Sequence[Point]) -> Point:
    worst = min(points, key=lambda point: _WORST.index(point.status))
    of = sum(point.of for point in points)
    if of == len(points):
        counted = ", ".join(f"{number} {status}" for status, number in counts_of(points).items() if number)
        says = f"{of} measurements: {counted}{f'. {worst.says}' if worst.says else ''}"
    else:
        says = f"{of} measurements{f'. {worst.says}' if worst.says else ''}"
    return Point(points[-1].at, worst.status, says, of)


def _thinned_panel(panel: Panel, groups: Sequence[range]) -> Panel:
    def fold(line: Line, of: Callable[[list[float]], float]) -> Values:
        known = ([value for number in group if (value := line.values[number]) is not None] for group in groups)
        return tuple(of(values) if values else None for values in known)

    around: Mapping[str, Callable[[list[float]], float]] = {}
    if panel.lines[0].role == "value":
        around = {"low": min, "high": max}
    lines = [
        replace(line, values=fold(line, _mean if line.role in _MEASURED else around.get(line.role, _last)))
        for line in panel.lines
    ]
    if len(lines) == 1:
        lines += [
            Line("low", "lowest", fold(panel.lines[0], min)),
            Line("high", "highest", fold(panel.lines[0], max)),
        ]
    return replace(panel, lines=tuple(lines))


_MEASURED = frozenset({"value", "canary", "baseline", "allowed"})


def _last(values: list[float]) -> float:
    return values[-1]


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def counts_of(points: Sequence[Point]) -> Mapping[str, int]:
    """Status -> how many points, of all four."""
    return {status.value: sum(each.status is status for each in points) for status in MeasurementStatus}


def says_metric(spec: MetricSpec, state: str, *, message: str | None, counts: Mapping[str, int]) -> str:
    """Where a metric stands, in a sentence with its numbers."""
    taken = sum(counts.values())
    if state != "running":
        said = _sentence(message)
        return said[:1].upper() + said[1:] if said else f"It {state}."
    if not taken:
        return "Nothing was measured yet."
    counted = taken - counts["errored"]
    said = ", ".join(f"{number:,} {status}" for status, number in counts.items() if number)
    if spec.compare is not None and spec.compare.judge != "threshold":
        said = f"{counts['errored']} errored" if counts["errored"] else ""
    if spec.runs is Runs.WHILE_OPEN:
        far = f"{counted:,} measurements while the rollout is open"
    else:
        far = f"{counted:,} of at most {spec.count:,} measurements"
    so_far = f"{far}{f' ({said})' if said else ''}"
    return f"{so_far}. {_sentence(message)}".strip() if message else f"{so_far} so far."


def measurements_max(spec: MetricSpec) -> int | None:
    """At most so many measurements decide; None where a metric is measured as long as its rollout is open."""
    return None if spec.runs is Runs.WHILE_OPEN else spec.count


def says_verification(
    state: str,
    *,
    message: str | None,
    started_at: datetime,
    ended_at: datetime | None,
    metrics: Sequence[tuple[str, str, int, int | None]],
) -> str:
    """The verdict in a sentence with its numbers; while it runs, how far it is.

    Takes: `metrics` are (name, state, measurements taken, at most if there is a most) of each.
    """
    if state != "running":
        lasted = f" after {says_time((ended_at - started_at).total_seconds())}" if ended_at else ""
        return f"{VERDICTS.get(state, state)}{lasted}{f': {_sentence(message)}' if message else '.'}"
    far = [
        f"{name} {found if found != 'running' else f'{taken:,} so far' if most is None else f'{taken:,} of {most:,}'}"
        for name, found, taken, most in metrics
    ]
    more = f" and {len(far) - NAMES_MAX} more" if len(far) > NAMES_MAX else ""
    return f"It is being measured: {', '.join(far[:NAMES_MAX])}{more}."


def says_time(seconds: float) -> str:
    """A stretch of time: `45 s`, `12 min 30 s`, `2 h 5 min`."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    parts = [(hours, "h"), (minutes, "min"), (rest if whole < 3600 else 0, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or f"{seconds:.2g} s"


def _sentence(text: str | None) -> str:
    plain = (text or "").strip()
    return plain if not plain or plain[-1] in ".!?" else f"{plain}."


def says_number(value: float, unit: str = "") -> str:
    """A number with its unit, to four digits: `1.2 %`, `250 ms`, `0.05`."""
    if unit == "ratio":
        return f"{value * 100:.4g} %"
    text = f"{value:,.0f}" if abs(value) >= 1_000 and value == int(value) else f"{value:.4g}"
    return f"{text} {unit}" if unit else text


# --- conditions ------------------------------------------------------------------------------------------------------


def _condition_panels(spec: MetricSpec, measurements: Sequence[Measurement]) -> tuple[Panel, ...]:
    wanted, refused = limits_of(spec.success_condition), limits_of(spec.failure_condition or "")
    panels = []
    for expression in dict.fromkeys(limit.expression for limit in (*wanted, *refused)):
        values = tuple(_value(expression, each) for each in measurements)
        if all(value is None for value in values):
            continue
        limits = [(limit, limit in wanted) for limit in (*wanted, *refused) if limit.expression == expression]
        limits = [(limit, good) for limit, good in limits if math.isfinite(limit.bound)]
        unit = _unit(spec.name, expression, [*values, *(limit.bound for limit, _ in limits)])
        thresholds = tuple(_threshold(limit, unit, good=good) for limit, good in limits)
        lines = (Line("value", "value", values), *_around(expression, measurements, values))
        panels.append(Panel(expression, unit, lines, thresholds))
    return tuple(sorted(panels, key=lambda panel: panel.title == "result.statusCode")[:PANELS_MAX])


def _around(expression: str, measurements: Sequence[Measurement], values: Values) -> tuple[Line, ...]:
    """Between which numbers those lay that a thinned sample stands for; nothing where none is thinned."""
    if not any(_of(each) > 1 for each in measurements):
        return ()
    ends = []
    for each, value in zip(measurements, values, strict=True):
        found = [value, *(_value(expression, replace(each, result=at_ends(each.result, word))) for word in _ENDS)]
        ends.append([one for one in (found if _of(each) > 1 else [value]) if one is not None])
    low, high = (tuple(choose(found) if found else None for found in ends) for choose in (min, max))
    return (Line("low", "lowest", low), Line("high", "highest", high))


_ENDS = ("min", "max")


def _threshold(limit: Limit, unit: str, *, good: bool) -> Threshold:
    word = "passes" if good else "fails"
    return Threshold(limit.bound, f"{word} {OPERATORS[limit.operator]} {says_number(limit.bound, unit)}", good)


def _value(expression: str, measurement: Measurement) -> float | None:
    errored = measurement.status is MeasurementStatus.ERRORED and _of(measurement) == 1
    if errored or not measurement.result:
        return None
    try:
        found = numbers_of(expression, measurement.result, side="")
    except NoNumber:
        return None
    return _finite(found[0]) if len(found) == 1 else None


def _unit(name: str, expression: str, values: Sequence[float | None]) -> str:
    """What the numbers count, as far as the names tell."""
    last = _LAST_NAME.search(expression)
    for text in (last[1] if last else "", name):
        for unit, pattern in (("ms", _MILLISECONDS), ("s", _SECONDS), ("%", _PERCENT), ("bytes", _BYTES)):
            if pattern.search(text):
                return unit
        if _RATIO.search(text) and all(value is None or 0 <= value <= 1 for value in values):
            return "ratio"
    return ""


# --- canary against baseline -----------------------------------------------------------------------------------------

Sample = Mapping[str, Any]


def _plain_panels(
    spec: MetricSpec, compare: Compare, samples: Sequence[Sample | None], alpha: float
) -> tuple[Panel, ...]:
    return (_both(spec, samples, _mean),)


def _bound_panels(
    spec: MetricSpec, compare: Compare, samples: Sequence[Sample | None], alpha: float
) -> tuple[Panel, ...]:
    panel = _both(spec, samples, lambda points: points[-1])
    baseline = panel.lines[1].values
    bounds: tuple[tuple[str, float | None, Callable[[float, float], float]], ...] = (
        ("highest allowed", compare.increase, lambda base, by: base + by),
        ("highest allowed", compare.ratio_max, lambda base, by: base * by),
        ("lowest allowed", compare.decrease, lambda base, by: base - by),
        ("lowest allowed", compare.ratio_min, lambda base, by: base * by),
    )
    allowed = tuple(
        Line("allowed", name, tuple(None if base is None else at(base, bound) for base in baseline))
        for name, bound, at in bounds
        if bound is not None
    )
    return (Panel(panel.title, panel.unit, panel.lines + allowed),)


def _count_panels(
    spec: MetricSpec, compare: Compare, samples: Sequence[Sample | None], alpha: float
) -> tuple[Panel, ...]:
    lines = tuple(Line(side, side, tuple(_rate(sample, side) for sample in samples)) for side in SIDES)
    looks = [look_of(compare, sample) for sample in samples if sample is not None]
    traced = iter(trace(looks, Counting(alpha=alpha, safe_below=compare.safe_below)))
    evidence = [next(traced) if sample is not None else None for sample in samples]
    return (
        Panel("bad of all events", "ratio", lines),
        Panel(
            "evidence (e-value)",
            "",
            (
                Line("harm", "that it is worse", tuple(None if one is None else one[0] for one in evidence)),
                Line("safety", "that it is safe", tuple(None if one is None else one[1] for one in evidence)),
            ),
            (Threshold(1 / alpha, f"decides from {says_number(1 / alpha)}", True),),
            log=True,
        ),
    )


def _mean_panels(
    spec: MetricSpec, compare: Compare, samples: Sequence[Sample | None], alpha: float
) -> tuple[Panel, ...]:
    panel = _both(spec, samples, _mean)
    how = averaging_of(compare, alpha=alpha)
    seen = {side: Moments() for side in SIDES}
    found: list[tuple[float | None, float | None, float | None]] = []
    for sample in samples:
        if sample is None:
            found.append((None, None, None))
            continue
        for side in SIDES:
            seen[side] = seen[side].plus(sample[MOMENTS][side])
        one = compare_means(seen["canary"], seen["baseline"], how)
        found.append((_finite(one.low), _finite(one.estimate), _finite(one.high)))
    tolerated = compare.tolerated * abs(seen["baseline"].mean) * (1 if compare.higher_is_worse else -1)
    side_of_harm = "above" if compare.higher_is_worse else "below"
    low, estimate, high = (tuple(each[place] for each in found) for place in range(3))
    difference = Panel(
        f"difference of the means; harmful once all {side_of_harm} 0",
        panel.unit,
        (Line("low", "least", low), Line("high", "most", high), Line("estimate", "difference", estimate)),
        (
            Threshold(0.0, "no difference", good=False),
            Threshold(tolerated, f"tolerated: {says_number(tolerated, panel.unit)}", good=True),
        ),
    )
    return (panel, difference)


def _both(spec: MetricSpec, samples: Sequence[Sample | None], of: Callable[[list[float]], float]) -> Panel:
    """Canary and baseline, one number a look."""
    lines = tuple(Line(side, side, tuple(_point(sample, side, of) for sample in samples)) for side in SIDES)
    values = [value for line in lines for value in line.values]
    expression = spec.compare.value if spec.compare else ""
    return Panel(expression, _unit(spec.name, expression, values), lines)


MOMENTS = "moments"
"""Beside a sample's sides: side -> the moments of its points."""


def _sample(measurement: Measurement) -> Sample | None:
    """What a look left, where it is whole; or what stands for several."""
    sample = measurement.result.get("sample")
    if not isinstance(sample, Mapping) or any(side not in sample for side in SIDES):
        return None
    if all(isinstance(sample[side], Mapping) for side in SIDES):
        return sample
    points = {side: [one for one in sample[side] if _finite(one) is not None] for side in SIDES}
    return points | {MOMENTS: {side: points_of(measurement.result, side) for side in SIDES}}


def _point(sample: Sample | None, side: str, of: Callable[[list[float]], float]) -> float | None:
    points = [float(one) for one in (sample or {}).get(side, ()) if _finite(one) is not None]
    return of(points) if points else None


def _rate(sample: Sample | None, side: str) -> float | None:
    if sample is None or not sample[side]["total"]:
        return None
    return float(sample[side]["bad"] / sample[side]["total"])


def _says_counts(sample: Sample) -> str:
    said = [f"{side} {sample[side]['bad']:,} of {sample[side]['total']:,}" for side in SIDES]
    return ", ".join(said) + " bad"


def _says_values(sample: Sample) -> str:
    return ", ".join(
        f"{side} {says_number(float(sample[side][-1]))}"
        if len(sample[side]) == 1
        else f"{side} {sample[MOMENTS][side].count} points"
        for side in SIDES
    )


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)

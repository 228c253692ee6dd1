"""How is an objective read? Its provider is asked for the events of each window, a few at once.

    one number a side and window: the total, and the good or the bad events
    a side that is asked with the same object as the other is asked once
    no total, or none above 0: there were no events in that window
    a total and no number for the other side, NaN, an error: the reading is errored as a whole, with the reason

Long windows change slowly and cost a provider much, so each is asked again only when a hundredth of it has passed (15
minutes at most); between that its numbers are those of before.

The newest sample is as old as the last time that the shortest window had events: a provider's answer says when it was
computed, not how old what it was computed from is.

Source: definitions.md E1; `judge/slo.py` for what is asked, `judge/budget.py` for what it means.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog

from interlock.judge.budget import Events, Reading
from interlock.judge.slo import Side, SloSpec, window_word
from interlock.judge.values import NoNumber, check_expressions, numbers_of
from interlock.metrics import Metric, Metrics, NotBefore
from interlock.model.errors import FieldError, Invalid, Rejected, Unavailable

AT_ONCE_MAX = 4
AGAIN_MAX = timedelta(minutes=15)
PART_OF_WINDOW = 100
TOLERANCE = 1.01
"""By so much more good than total events are rounding: rates over a window are extrapolated."""

NONE_YET = {
    "prometheus": "; where there may be none, write `or vector(0)`",
    "datadog": "; where there may be none, write `default_zero(…)`",
}
"""kind -> how a query says that there were none, and not nothing."""

_log = structlog.get_logger("interlock.objectives")


@dataclass(frozen=True, slots=True)
class Asked:
    """The events of one window, and when they were asked for."""

    events: Events
    at: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """What was asked of an objective.

    Takes: `asked` by window, also what was kept from before. `newest_at` is when the shortest window last had events.
    """

    asked: Mapping[timedelta, Asked] = field(default_factory=dict)
    newest_at: datetime | None = None
    error: str | None = None

    @property
    def reading(self) -> Reading:
        """The same for the judge."""
        return Reading({window: one.events for window, one in self.asked.items()}, self.newest_at, self.error)


def check_slo(spec: SloSpec, metrics: Metrics) -> None:
    """Refuse what the provider would not take, and values that are no CEL.

    Fails: `Invalid` naming every wrong field once.
    """
    metric = metrics[spec.kind]
    wrong: list[FieldError] = []
    for name, side in _sides(spec):
        checks = (
            lambda side=side: metric.check_config(spec.asked(side, None), "provider"),
            lambda name=name, side=side: check_expressions({"value": side.value}, path=name),
        )
        for check in checks:
            try:
                check()
            except Invalid as refused:
                wrong += [one for one in refused.fields if one not in wrong]
    if wrong:
        raise Invalid("; ".join(f"{error.path}: {error.message}" for error in wrong[:5]), fields=wrong)


def _sides(spec: SloSpec) -> tuple[tuple[str, Side], ...]:
    return (("total", spec.total), ("good" if spec.counts_good else "bad", spec.events))


def due_windows(spec: SloSpec, before: Mapping[timedelta, Asked], now: datetime) -> tuple[timedelta, ...]:
    """The windows that are to be asked again, the shortest first."""
    return tuple(
        window
        for window in spec.windows
        if (known := before.get(window)) is None or now >= known.at + min(window / PART_OF_WINDOW, AGAIN_MAX)
    )


async def ask_objective(
    spec: SloSpec,
    before: Answer,
    *,
    name: str,
    metrics: Metrics,
    now: datetime,
    timeout_s: float,
) -> Answer:
    """Ask once for all windows that are due.

    Takes: `spec` with its secrets opened; `before` is the last answer.
    Fails: never for what the outside does: that is an answer with its error, which keeps nothing.
    """
    metric = metrics.get(spec.kind)
    if metric is None:
        return Answer(newest_at=before.newest_at, error=f"There is no metric provider `{spec.kind}`.")
    few = asyncio.Semaphore(AT_ONCE_MAX)
    kept = {window: before.asked[window] for window in spec.windows if window in before.asked}
    error, tasks = "", dict[timedelta, asyncio.Task[Events]]()
    try:
        async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as group:
            tasks = {
                window: group.create_task(_ask(spec, metric, window, few, name=name, now=now, timeout_s=timeout_s))
                for window in due_windows(spec, kept, now)
            }
    except* (Unavailable, Rejected, NoNumber) as silent:
        error = _first(silent)
    except* TimeoutError:
        error = f"There was no answer within {timeout_s:g} s."
    except* Exception as broken:  # noqa: BLE001 - whatever a provider does not foresee, the next reading must come
        _log.exception("objective_provider_broke", type=spec.kind)
        kind = type(broken.exceptions[0]).__name__
        error = f"The provider {spec.kind} cannot read that answer ({kind})."
    if error:
        return Answer(newest_at=before.newest_at, error=error)
    asked = {**kept, **{window: Asked(task.result(), now) for window, task in tasks.items()}}
    shortest = asked[spec.windows[0]]
    newest_at = shortest.at if shortest.events.total > 0 else before.newest_at
    return Answer(asked, newest_at)


def _first(failed: BaseExceptionGroup[BaseException]) -> str:
    """What one of those that failed says."""
    error: BaseException = failed
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(getattr(error, "message", None) or error)


async def _ask(
    spec: SloSpec,
    metric: Metric,
    window: timedelta,
    few: asyncio.Semaphore,
    *,
    name: str,
    now: datetime,
    timeout_s: float,
) -> Events:
    """The events of one window.

    Fails: `NoNumber`, or as the provider does.
    """
    word = window_word(window)
    context = {"window": word, "windowSeconds": int(window.total_seconds()), "slo": {"name": name}}

    async def result(side: Side) -> Mapping[str, object]:
        async with few:
            config = spec.asked(side, window)
            answer = await metric.measure(config, context, due_at=now, now=now, timeout_s=timeout_s)
        if isinstance(answer, NotBefore):
            raise NoNumber(f"{word}: the provider has no answer yet")
        if answer.result.get("ok") is False:
            raise NoNumber(f"{word}: {_said(answer.result)}")
        return answer.result

    total_of = await result(spec.total)
    same = spec.asked(spec.total, window) == spec.asked(spec.events, window)
    total = _number(spec.total, total_of)
    if total is None or total <= 0:
        return Events(0.0, 0.0)
    counted = _number(spec.events, total_of if same else await result(spec.events))
    what = "good" if spec.counts_good else "bad"
    if counted is None:
        raise NoNumber(f"{word}: no number of {what} events{NONE_YET.get(spec.kind, '')}")
    if counted > total * TOLERANCE + 1:
        raise NoNumber(f"{word}: {counted:g} {what} events of {total:g} cannot be")
    counted = min(counted, total)
    return Events(total - counted if spec.counts_good else counted, total)


def _said(result: Mapping[str, object]) -> str:
    said = result.get("error")
    return f"{said}" if said else f"the provider answered {result.get('statusCode')}"


def _number(side: Side, result: Mapping[str, object]) -> float | None:
    """The number of an answer; None for null and for an empty list, which is no number and no fault.

    Fails: `NoNumber` for anything else: text, NaN, below 0, several.
    """
    if side.value == "result.value":
        value = result.get("value")
        found = [] if value is None else [value]
    else:
        found = list(numbers_of(side.value, result, side=""))
    if not found:
        return None
    number = found[0]
    if len(found) > 1 or isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise NoNumber(f"`{side.value}` is no number of events: {_short(found)}")
    if number < 0:
        raise NoNumber(f"`{side.value}` is below 0: {number:g}")
    return float(number)


def _short(values: Iterable[Any]) -> str:
    return ", ".join(str(one) for one in values)[:100]

"""How is a metric measured that compares a canary with a baseline? One look: both sides asked, their numbers kept.

Where a side has its own part of the provider, each is asked, both at once; else one answer holds both, and the
expressions tell them apart by `side`. A look in which one side gives no answer, or no number, is errored as a whole:
half a comparison says nothing.

Source: `model/compare.py`; `judge/comparison.py` says what the looks mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from interlock.judge.comparison import SIDES, measure_look, read_side
from interlock.judge.values import NoNumber, check_expressions
from interlock.metrics.filling import check_filling, holds_template
from interlock.metrics.reading import NotBefore, Reading, kept
from interlock.model.compare import Compare, Side
from interlock.model.verification import Measurement, MeasurementStatus, MetricSpec

Ask = Callable[[Mapping[str, object]], Awaitable[Reading | NotBefore]]
"""Asks a provider once, by its config."""


def compared_checks(
    spec: MetricSpec, compare: Compare, check_config: Callable[[Mapping[str, object], str], None], *, path: str
) -> list[Callable[[], None]]:
    """What is to be checked of a comparison when it is written; each raises `Invalid`."""
    known = {name: text for name, text in compare.expressions.items() if not holds_template(text)}
    checks: list[Callable[[], None]] = [lambda: check_expressions(known, path=f"{path}.compare")]
    for name, text in compare.expressions.items():
        checks.append(partial(check_filling, text, field=f"{path}.compare.{name}"))
    for name, side in (("canary", compare.canary), ("baseline", compare.baseline)):
        at = f"{path}.compare.{name}"
        if side.provider:
            checks.append(partial(check_config, provider_of(spec, side), f"{at}.provider"))
        if side.label:
            checks.append(partial(check_filling, side.label, field=f"{at}.label"))
    return checks


def provider_of(spec: MetricSpec, side: Side) -> dict[str, object]:
    """The provider of one side: the metric's, with what the side has instead."""
    return {**spec.provider, **side.provider}


async def compare_sides(spec: MetricSpec, compare: Compare, ask: Ask, *, now: datetime) -> Measurement | NotBefore:
    """Take one look.

    Takes: `compare` with its texts filled; `ask` fills those of a provider.
    Fails: as the provider does, when it gives no answer.
    """
    sides = (compare.canary, compare.baseline)
    if compare.asks_twice:
        readings = await asyncio.gather(*(ask(provider_of(spec, side)) for side in sides))
    else:
        readings = [await ask(spec.provider)] * len(sides)
    seen: dict[str, object] = {}
    sample: dict[str, Any] = {}
    for name, side, reading in zip(SIDES, sides, readings, strict=True):
        if isinstance(reading, NotBefore):
            return reading
        seen[name] = {key: kept(value) for key, value in reading.result.items()}
        try:
            sample[name] = read_side(compare, reading.result, side=side.label or name)
        except NoNumber as nothing:
            why = f"{reading.why} " if reading.why else ""
            return Measurement(MeasurementStatus.ERRORED, now, f"{name}: {why}{nothing}", seen)
    return measure_look(compare, sample, now, seen=seen if compare.asks_twice else {"answer": seen["canary"]})

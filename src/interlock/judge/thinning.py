"""How are many samples kept as few? Neighbours become one: their numbers as min, mean and max, their worst status.

    500 and fewer            as they were measured
    more                     the older ones two by two, as often as it takes; the newest quarter stays as it is

A thinned sample looks like one measurement: its numbers are the means, at the places where they stood, so that what
draws measurements draws it too. Beside them stands `thinned`: of how many it is, and the least and greatest of each. A
comparison's counts are summed, and a list of its points becomes their mean; with `thinned` stand its moments (number,
mean, squares), which add up.

Judging does not look at thinned samples: what a metric needs is carried from one measurement to the next
(`carried.py`). Kayenta's judge wants all points at its end; its metrics are thinned when their verification is over.

Source: issue 6 ("at most 500 a metric, then thinned to min, mean, max").
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from interlock.judge.means import Moments, moments_of
from interlock.model.verification import MeasurementStatus

SAMPLES_MAX = 500
THINNED = "thinned"
WORST_FIRST = (
    MeasurementStatus.FAILED,
    MeasurementStatus.INCONCLUSIVE,
    MeasurementStatus.ERRORED,
    MeasurementStatus.PASSED,
)


@dataclass(frozen=True, slots=True)
class Kept:
    """A sample as it is kept: one measurement, or several of them thinned.

    Takes: `number` and `measured_at` are those of the last one that it stands for.
    """

    number: int
    status: MeasurementStatus
    measured_at: datetime
    message: str | None = None
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def of(self) -> int:
        """How many measurements it stands for."""
        return int(self.result.get(THINNED, {}).get("of", 1))


def thinned(samples: Sequence[Kept], *, most: int = SAMPLES_MAX) -> tuple[Kept, ...]:
    """At most so many samples, in their order, that stand for all of these.

    Takes: samples in their order; `most` is at least 8.
    Fails: never.
    """
    kept = list(samples)
    newest = most // 4
    while len(kept) > most:
        old, new = kept[:-newest], kept[-newest:]
        pairs = [old[at : at + 2] for at in range(0, len(old), 2)]
        kept = [_joined(pair) for pair in pairs] + new
    return tuple(kept)


def _joined(pair: Sequence[Kept]) -> Kept:
    if len(pair) == 1:
        return pair[0]
    first, last = pair
    of = first.of + last.of
    worst = min((first, last), key=lambda one: WORST_FIRST.index(one.status))
    extremes = {
        "min": _merged(_ends(first, "min", min), _ends(last, "min", min), min),
        "max": _merged(_ends(first, "max", max), _ends(last, "max", max), max),
    }
    means = _mean(_numbers_less(first.result), _numbers_less(last.result), first.of / of)
    told: dict[str, Any] = {"of": of, **extremes}
    sample, moments = _sample(first.result, last.result)
    if sample:
        means["sample"] = sample
    if moments:
        told["moments"] = moments
    return Kept(last.number, worst.status, last.measured_at, worst.message, {**means, THINNED: told})


def _sample(first: Mapping[str, Any], last: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """Both samples of a comparison as one, and the moments of each side that has points."""
    sides = [result["sample"] for result in (first, last) if isinstance(result.get("sample"), Mapping)]
    sample: dict[str, Any] = {}
    moments: dict[str, list[float]] = {}
    for side in dict.fromkeys(side for one in sides for side in one):
        found = [one[side] for one in sides if side in one]
        counts = [one for one in found if isinstance(one, Mapping)]
        both = points_of(first, side).plus(points_of(last, side))
        if counts:
            sample[side] = {name: sum(one.get(name, 0) for one in counts) for name in counts[0]}
        elif math.isfinite(both.squares):
            sample[side] = [both.mean] if both.count else []
            moments[side] = [both.count, both.mean, both.squares]
        else:
            sample[side] = found[-1]
    return sample, moments


def points_of(result: Mapping[str, Any], side: str) -> Moments:
    """The points that one side of a comparison has in a stored sample, thinned or not."""
    known = (result.get(THINNED) or {}).get("moments", {})
    if side in known:
        return Moments(*known[side])
    points = (result.get("sample") or {}).get(side)
    return moments_of([float(one) for one in points if _is_number(one)]) if isinstance(points, list) else Moments()


def _numbers_less(result: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key != THINNED}


def _ends(one: Kept, word: str, choose: Any) -> Mapping[str, float]:
    """Path -> the least or greatest number there."""
    known = one.result.get(THINNED)
    if isinstance(known, Mapping):
        return dict(known.get(word, {}))
    found: dict[str, float] = {}
    for path, number in _leaves(one.result, ""):
        found[path] = choose(found.get(path, number), number)
    return found


def _leaves(value: Any, path: str) -> list[tuple[str, float]]:
    if _is_number(value):
        return [(path, value)]
    if isinstance(value, list):
        return [(path, one) for one in value if _is_number(one)]
    if isinstance(value, Mapping):
        return [leaf for key, inner in value.items() for leaf in _leaves(inner, _under(path, key))]
    return []


def _under(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def at_ends(result: Mapping[str, Any], word: str) -> Mapping[str, Any]:
    """A thinned result with the least (`min`) or the greatest (`max`) of its numbers in their places."""
    ends: Mapping[str, float] = (result.get(THINNED) or {}).get(word, {})

    def placed(value: Any, path: str) -> Any:
        if isinstance(value, Mapping):
            return {key: placed(inner, _under(path, key)) for key, inner in value.items()}
        return ends.get(path, value) if _is_number(value) else value

    found: Mapping[str, Any] = placed(_numbers_less(result), "")
    return found


def _merged(one: Mapping[str, float], other: Mapping[str, float], choose: Any) -> dict[str, float]:
    return {
        path: choose(found for found in (one.get(path), other.get(path)) if found is not None)
        for path in sorted({*one, *other})
    }


def _mean(one: Any, other: Any, weight: float) -> Any:
    """The second value with its numbers replaced by the weighted means of both."""
    if _is_number(one) and _is_number(other):
        return one if one == other else one * weight + other * (1 - weight)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        means = {key: _mean(one[key], inner, weight) if key in one else inner for key, inner in other.items()}
        return {key: inner for key, inner in one.items() if key not in other} | means
    return other


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

"""Which numbers does an answer hold? CEL over `result` and `side`, for metrics that compare two sides.

    result.json[side].errors                                         a side in one answer
    result.results.filter(s, s.metric.track == side)[0].value        one query with a label

An expression gives a number, or a list of numbers (an empty list: no points). Anything else is an error of the
measurement: what is no number says nothing about the service.

Source: CEL language definition; `conditions.py` has the truth values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_math, ext_strings

from interlock.model.errors import FieldError, Invalid

_WHERE = re.compile(r"ERROR: <input>:(\d+):(\d+): ([^\n]+)")
POINTS_MAX = 500
"""So many numbers of one answer are kept, the newest."""


class NoNumber(Exception):
    """An answer does not hold what was asked for; the message says why."""


def check_expressions(expressions: Mapping[str, str], *, path: str) -> None:
    """Refuse expressions that cannot be read, when they are written.

    Takes: wire name -> text.
    Fails: `Invalid` naming each.
    """
    wrong: list[FieldError] = []
    for name, text in expressions.items():
        try:
            _compiled(text)
        except Invalid as refused:
            wrong.append(FieldError(f"{path}.{name}", refused.message))
    if wrong:
        raise Invalid("; ".join(f"{error.path}: {error.message}" for error in wrong), fields=wrong)


def numbers_of(text: str, result: Mapping[str, object], *, side: str) -> list[float]:
    """The numbers of an answer; of a list the last `POINTS_MAX`.

    Fails: `NoNumber`.
    """
    try:
        expression = _compiled(text)
    except Invalid as refused:
        raise NoNumber(refused.message) from refused
    try:
        value = expression.eval(data={"result": dict(result), "side": side})
        plain = value.plain_value() if hasattr(value, "plain_value") else value.value()
        if value.type() == cel.Type.ERROR:
            raise NoNumber(f"`{text}` could not be evaluated: {value.value()}")
    except (RuntimeError, TypeError, ValueError, OverflowError) as broken:
        raise NoNumber(f"`{text}` could not be evaluated: {broken}") from broken
    items = list(plain) if isinstance(plain, list | tuple) else [plain]
    return [_number(one, text) for one in items[-POINTS_MAX:]]


def count_of(text: str, result: Mapping[str, object], *, side: str) -> int:
    """One whole number from 0.

    Fails: `NoNumber`.
    """
    found = numbers_of(text, result, side=side)
    if len(found) != 1 or not math.isfinite(found[0]) or found[0] < 0:
        raise NoNumber(f"`{text}` is no count: {found[0] if len(found) == 1 else f'{len(found)} numbers'}")
    return round(found[0])


def _number(value: object, text: str) -> float:
    inner = getattr(value, "value", None)
    plain = inner() if callable(inner) else value
    if isinstance(plain, str):
        try:
            return float(plain)
        except ValueError:
            raise NoNumber(f"`{text}` gave the text {plain[:50]!r}, no number") from None
    if isinstance(plain, bool) or not isinstance(plain, int | float):
        raise NoNumber(f"`{text}` gave {type(plain).__name__}, no number")
    return float(plain)


@lru_cache(maxsize=1024)
def _compiled(text: str) -> Any:
    try:
        return _environment().compile(text)
    except RuntimeError as refused:
        found = _WHERE.search(str(refused))
        said = f"Line {found.group(1)}, column {found.group(2)}: {found.group(3)[:300]}" if found else str(refused)
        raise Invalid(said.removesuffix(" (in container '')")) from refused


@lru_cache(maxsize=1)
def _environment() -> Any:
    return cel.NewEnv(
        variables={"result": cel.Type.Map(cel.Type.STRING, cel.Type.DYN), "side": cel.Type.STRING},
        extensions=[ext_strings.ExtStrings(), ext_math.ExtMath()],
    )

"""Which numbers does a condition look at, and where are their limits? For drawing them; no verdict rests on this.

`result.ok && result.json.errorRate < 0.01` looks at `result.json.errorRate`, and its limit is `< 0.01`. What stands
between `&&` and `||` is taken apart, `!` turns a comparison round, and a number may stand on either side. The other
side may be any expression (`result.queries.errors / result.queries.requests`): `values.py` works it out.

A limit that is written as a template (`result.value < {{ .variables.limit }}`) is not known here, and NaN: what it was
filled with may be a secret. What is no comparison with a number has no limit to be drawn. A text is never an error
here: the condition was checked when it was written.

Source: CEL language definition, "Syntax" (precedence).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

_TOKEN = re.compile(
    r"""(?P<template>\{\{.*?\}\})
      | (?P<text>[rRbB]{0,2}(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'))
      | (?P<number>(?:\d+\.\d+|\.\d+|\d+)(?:[eE][+-]?\d+)?[uU]?)
      | (?P<name>[A-Za-z_]\w*)
      | (?P<sign>&&|\|\||<=|>=|==|!=|[-+*/%<>!?:.,()\[\]{}])
      | (?P<space>\s+)""",
    re.VERBOSE,
)
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "=="}
_REFUSED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}
_COMPARING = frozenset({"<", "<=", ">", ">=", "==", "!=", "in"})


@dataclass(frozen=True, slots=True)
class Limit:
    """`expression operator bound`, as in `result.value < 0.01`. A bound that is a template is NaN."""

    expression: str
    operator: str
    bound: float


@lru_cache(maxsize=1024)
def limits_of(condition: str) -> tuple[Limit, ...]:
    """The comparisons with a number that a condition consists of, in its order.

    Fails: never. What cannot be read has none.
    """
    tokens: list[str] = []
    end = 0
    for match in _TOKEN.finditer(condition):
        if match.start() != end:
            return ()
        end = match.end()
        tokens.append(match[0])
    if end != len(condition) or sum(token in _OPENING for token in tokens) != sum(
        token in _CLOSING for token in tokens
    ):
        return ()
    return tuple(_limits(_trimmed(tokens), refused=False))


def _limits(tokens: Sequence[str], *, refused: bool) -> Iterator[Limit]:
    """Those of a part of the condition. `refused`: it stands behind a `!`."""
    for joint in ("?", "||", "&&"):
        parts = _split(tokens, joint)
        if len(parts) > 1:
            if joint != "?":
                for part in parts:
                    yield from _limits(part, refused=refused)
            return
    if tokens and tokens[0] == "!" and _enclosed(_trimmed(tokens[1:])):
        yield from _limits(_trimmed(tokens[1:]), refused=not refused)
    elif _enclosed(tokens):
        yield from _limits(_trimmed(tokens[1:-1]), refused=refused)
    elif (limit := _compared(tokens, refused=refused)) is not None:
        yield limit


def _compared(tokens: Sequence[str], *, refused: bool) -> Limit | None:
    places = [place for place, depth in _depths(tokens) if depth == 0 and tokens[place] in _COMPARING]
    if len(places) != 1 or tokens[places[0]] not in _TURNED:
        return None
    left, operator, right = tokens[: places[0]], tokens[places[0]], tokens[places[0] + 1 :]
    expression, bound = left, _number(right)
    if bound is None:
        expression, bound, operator = right, _number(left), _TURNED[operator]
    if bound is None or "result" not in expression or any(token.startswith("{{") for token in expression):
        return None
    if refused:
        if operator not in _REFUSED:
            return None
        operator = _REFUSED[operator]
    return Limit("".join(_trimmed(expression)), operator, bound)


def _number(tokens: Sequence[str]) -> float | None:
    """A plain number, with a sign or in brackets; NaN for a template; None for anything else."""
    parts = [each for each in tokens if not each.isspace()]
    while len(parts) > 2 and parts[0] == "(" and parts[-1] == ")":
        parts = parts[1:-1]
    if len(parts) == 1 and parts[0].startswith("{{"):
        return math.nan
    sign = 1.0
    if parts and parts[0] == "-":
        sign, parts = -1.0, parts[1:]
    if len(parts) != 1 or parts[0][0] not in "0123456789.":
        return None
    try:
        return sign * float(parts[0].rstrip("uU"))
    except ValueError:  # a dot alone
        return None


def _split(tokens: Sequence[str], joint: str) -> list[Sequence[str]]:
    """The parts between a sign that stands in no brackets."""
    parts: list[Sequence[str]] = []
    begin = 0
    for place, depth in _depths(tokens):
        if depth == 0 and tokens[place] == joint:
            parts.append(_trimmed(tokens[begin:place]))
            begin = place + 1
    return [*parts, _trimmed(tokens[begin:])]


def _enclosed(tokens: Sequence[str]) -> bool:
    """Whether one pair of brackets holds all of it."""
    if len(tokens) < 2 or tokens[0] != "(" or tokens[-1] != ")":
        return False
    return all(depth > 0 for place, depth in _depths(tokens) if 0 < place < len(tokens) - 1)


def _depths(tokens: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Each token's place, with how many brackets it stands in; a bracket stands in those around it."""
    depth = 0
    for place, token in enumerate(tokens):
        if token in _CLOSING:
            depth -= 1
        yield place, depth
        if token in _OPENING:
            depth += 1


def _trimmed(tokens: Sequence[str]) -> Sequence[str]:
    begin, end = 0, len(tokens)
    while begin < end and tokens[begin].isspace():
        begin += 1
    while end > begin and tokens[end - 1].isspace():
        end -= 1
    return tokens[begin:end]

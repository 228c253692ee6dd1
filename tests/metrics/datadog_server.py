"""Datadog's metrics on loopback: what was counted, with tags, and the published call that asks for numbers.

    datadog = DatadogServer()
    datadog.note("shop.calls", 3, env="staging", version="v1")

    POST /api/v2/query/scalar      queries sum:NAME{TAG:VALUE,…}.as_count(), with the aggregator sum or last;
                                   formulas over them: names, numbers, + - * / and default_zero()

Without both keys it says 403, as Datadog does; to what it cannot read 400, with `errors`. A query without points in its
stretch of time has no number: null.

Source: Datadog API v2, "Query scalar data across multiple products", "Authentication"; docs "Functions: interpolation"
(default_zero).
"""

from __future__ import annotations

import ast
import operator
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from interlock.outside.loopback import Answer, Call, LoopbackServer

POINTS_MAX = 100_000
QUERY = re.compile(r"sum:([\w.]+)\{([^}]*)\}(?:\.as_count\(\))?")
OPERATORS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@dataclass(frozen=True, slots=True)
class Point:
    """So much was counted."""

    at_s: float
    name: str
    tags: frozenset[str]
    value: float


@dataclass
class DatadogServer(LoopbackServer):
    """One organisation's metrics. `api_key` and `app_key` are those that may read them."""

    api_key: str = "dd-api-key"
    app_key: str = "dd-app-key"
    points: list[Point] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.on("POST", "/api/v2/query/scalar", self.query)

    def note(self, name: str, value: float, **tags: str) -> None:
        """An application counted something now."""
        self.points.append(Point(time.time(), name, frozenset(f"{key}:{tag}" for key, tag in tags.items()), value))
        del self.points[:-POINTS_MAX]

    def query(self, call: Call) -> Answer:
        """Answer each formula with a number."""
        keys = (call.headers.get("dd-api-key"), call.headers.get("dd-application-key"))
        if keys != (self.api_key, self.app_key):
            return 403, {"errors": ["Forbidden"]}
        try:
            asked = call.body["data"]["attributes"]
            numbers = {
                one["name"]: self._number(one, asked["from"] / 1000, asked["to"] / 1000) for one in asked["queries"]
            }
            columns = [
                {
                    "name": one["formula"],
                    "type": "number",
                    "values": [_worked_out(ast.parse(one["formula"], mode="eval").body, numbers)],
                    "meta": {"unit": [None, None]},
                }
                for one in asked["formulas"]
            ]
        except (KeyError, TypeError, ValueError, SyntaxError) as wrong:
            return 400, {"errors": [f"Invalid query: {wrong}"]}
        return 200, {"data": {"type": "scalar_response", "attributes": {"columns": columns}}}

    def _number(self, query: Mapping[str, Any], since_s: float, until_s: float) -> float | None:
        found = QUERY.fullmatch(query["query"])
        if found is None or query["aggregator"] not in {"sum", "last"}:
            raise ValueError(query["query"])
        tags = frozenset(filter(lambda tag: tag != "*", found[2].split(",")))
        here = [
            one.value
            for one in self.points
            if one.name == found[1] and tags <= one.tags and since_s <= one.at_s <= until_s
        ]
        return None if not here else here[-1] if query["aggregator"] == "last" else sum(here)


def _worked_out(part: ast.expr, numbers: Mapping[str, float | None]) -> float | None:
    """A formula's number; None where one of its parts has none."""
    match part:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.Name(id=name):
            return numbers[name]
        case ast.Call(func=ast.Name(id="default_zero"), args=[inner]):
            return _worked_out(inner, numbers) or 0.0
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            one, other = _worked_out(left, numbers), _worked_out(right, numbers)
            if one is None or other is None or (other == 0 and isinstance(op, ast.Div)):
                return None
            return OPERATORS[type(op)](one, other)
    raise ValueError(ast.unparse(part))

"""What does Google's CEL say? The checker and the reference that everything else is compared with.

The only file that knows `cel-expr-python`. Two things about it are easy to get wrong: it returns errors as values,
whose text is truthy, so the type is always asked first; and it takes instants only as whole variables, so views carry
RFC 3339 text.

Source: https://github.com/cel-expr/cel-python; libraries.md section 2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_bindings, ext_math, ext_optional, ext_strings

from interlock.inventory.extensions import FUNCTIONS
from interlock.inventory.scope import FIELDS_BY_ROOT, Absent, Scope

Subjects = Mapping[str, Any]
"""Root -> view: what an expression is evaluated over."""

_ERROR = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")


class Trouble(Enum):
    """Why an evaluation gave no value: something is not there, or it makes no sense."""

    MISSING = "missing"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Failed:
    """An evaluation that gave no value."""

    trouble: Trouble
    message: str


@dataclass(frozen=True, slots=True)
class Fault:
    """What the checker refuses, and where (both from 1; 0 where it cannot say)."""

    line: int
    column: int
    message: str


@dataclass(frozen=True, slots=True)
class Checked:
    """An expression that the checker accepted. `type` is CEL's word for what it gives, in upper case."""

    expression: Any
    type: str
    serialized: bytes


def check(text: str, scope: Scope) -> Checked | Fault:
    """Parse and type-check. Never raises for a wrong text."""
    try:
        expression = _environment(scope).compile(text)
        return Checked(expression, expression.return_type().name(), expression.serialize())
    except RuntimeError as error:
        found = _ERROR.search(str(error))
        if found is None:
            return Fault(0, 0, str(error).split(" [")[0].removeprefix("CANCELLED: "))
        return Fault(max(int(found[1]), 0), max(int(found[2]), 0), found[3].removesuffix(" [INVALID_ARGUMENT]"))


def evaluate(checked: Checked, variables: Iterable[str], subjects: Subjects) -> object:
    """The plain value, or `Failed`. Never raises.

    Takes: the variables that the expression reads, so that no more than those is handed over.
    """
    try:
        value = checked.expression.eval(data=activation(variables, subjects))
        kind = value.type()
        if kind in (cel.Type.ERROR, cel.Type.UNKNOWN):
            return failed(str(value.value()))
        return value.plain_value()
    except (RuntimeError, TypeError, ValueError) as error:
        return failed(str(error))


def failed(message: str) -> Failed:
    """Read why from the engine's text."""
    missing = message.startswith("NOT_FOUND") or "No value with name" in message
    return Failed(Trouble.MISSING if missing else Trouble.WRONG, message)


def activation(variables: Iterable[str], subjects: Subjects) -> dict[str, Any]:
    """Variable -> value, without those that the views lack."""
    found: dict[str, Any] = {}
    for variable in variables:
        root, _, name = variable.partition(".")
        if root.startswith("has_"):
            found[variable] = subjects.get(root[4:], {}).get(name) is not None
        elif not name:
            if root in subjects:
                found[variable] = subjects[root]
        else:
            field = FIELDS_BY_ROOT[root][name]
            value = subjects.get(root, {}).get(name)
            if value is None and field.absent is Absent.BLANK:
                value = ""
            if value is not None:
                found[variable] = instant_text(value) if field.instant else value
    return found


def instant_text(value: object) -> str:
    """An instant as RFC 3339 text; text stays as it is."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)


@lru_cache(maxsize=4096)
def regex_found(text: str, pattern: str) -> bool | None:
    """Whether RE2 finds the pattern; None when it is no pattern.

    Why:    Python's `re` has other rules and takes exponential time for some patterns that people may write here.
    """
    value = _regex_expression().eval(data={"text": text, "pattern": pattern})
    return bool(value.value()) if value.type() == cel.Type.BOOL else None


@lru_cache(maxsize=1)
def _regex_expression() -> Any:
    strings = {"text": cel.Type.STRING, "pattern": cel.Type.STRING}
    return cel.NewEnv(variables=strings).compile("text.matches(pattern)")


@lru_cache(maxsize=len(Scope))
def _environment(scope: Scope) -> Any:
    """The declared variables and functions of one scope. Costs about a millisecond, once."""
    return cel.NewEnv(
        variables={name: _TYPES[word] for name, word in scope.variables.items()},
        extensions=[
            ext_strings.ExtStrings(),
            ext_math.ExtMath(),
            ext_optional.ExtOptional(),
            ext_bindings.ExtBindings(),
        ],
        functions=[
            cel.FunctionDecl(
                name,
                [
                    cel.Overload(
                        name.replace(".", "_"),
                        return_type=_TYPES[result],
                        parameters=[_TYPES[word] for word in parameters],
                        is_member=False,
                        impl=function,
                    )
                ],
            )
            for name, (function, parameters, result) in FUNCTIONS.items()
        ],
    )


_TYPES: Mapping[str, Any] = {
    "bool": cel.Type.BOOL,
    "string": cel.Type.STRING,
    "dyn": cel.Type.DYN,
    "list": cel.Type.LIST,
    "list(string)": cel.Type.List(cel.Type.STRING),
    "map(string,string)": cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
    "map(string,dyn)": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
}

"""What does one answer of a provider mean? Two CEL conditions over `result` say it.

    failureCondition true                        failed
    successCondition true                        passed
    neither, and there is a failureCondition     inconclusive: between good and bad
    neither, and there is none                   failed
    a condition could not be evaluated           errored: a field that the answer has not says nothing

The last line is a deliberate difference from the reference, which calls that failed and so rolls back a release because
a page was no JSON. Write `result.ok && result.json.x < 1` and a bad answer fails, because CEL's `&&` needs only its
false side.

A provider tells the type of each field of its `result`, so that `result.stausCode` and `result.statusCode == "200"`
are refused when the policy is written. A condition that indexes (`result["ok"]`) is checked as a map without types.

Source: reference-behaviour.md 4.11; CEL language definition, "Logical Operators". Time: an expression has no budget of
its own; its text is short and the provider's answer bounded, but nested macros over a long list cost their product.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from cel_expr_python import cel
from cel_expr_python.ext import ext_math, ext_strings

from interlock.model.errors import FieldError, Invalid
from interlock.model.verification import MeasurementStatus, MetricSpec

ResultFields = Mapping[str, str]
"""field of `result` -> its CEL type: bool, int, double, string, dyn, map(string, dyn), ..."""

UNTYPED: Final[ResultFields] = {}
"""A provider that says nothing about its result."""

_INDEXED = re.compile(r"\bresult\s*\[")
_WHERE = re.compile(r"ERROR: <input>:(\d+):(\d+): ([^\n]+)")


@dataclass(frozen=True, slots=True)
class Condition:
    """A checked condition, ready to be asked."""

    text: str
    expression: Any
    field_by_field: bool

    def holds(self, result: Mapping[str, object]) -> bool | str:
        """Whether it is true of an answer; a text where that cannot be said, with the reason. Never raises."""
        by_field = {f"result.{name}": value for name, value in result.items()}
        try:
            value = self.expression.eval(data=by_field if self.field_by_field else {"result": dict(result)})
            if value.type() == cel.Type.BOOL:
                return bool(value.value())
            found = str(value.value()) if value.type() == cel.Type.ERROR else f"it gave {value.type().name()}"
        except (RuntimeError, TypeError, ValueError, OverflowError) as broken:
            found = str(broken)
        return f"`{self.text}` could not be evaluated: {found}"


def compile_condition(text: str, fields: ResultFields = UNTYPED, *, path: str) -> Condition:
    """Parse and type-check a condition.

    Takes: `path` names the field of the request for the refusal.
    Fails: `Invalid` with line and column when it does not parse, reads what `result` has not, or is no truth value.
    """
    field_by_field = bool(fields) and not _INDEXED.search(text)
    try:
        expression = _environment(tuple(sorted(fields.items())) if field_by_field else ()).compile(text)
    except RuntimeError as refused:
        raise Invalid(f"{_reason(str(refused))}.{_known(fields)}", field=path) from refused
    if expression.return_type() not in (cel.Type.BOOL, cel.Type.DYN):
        kind = expression.return_type().name()
        raise Invalid(f"A condition must be true or false; this one gives {kind}.", field=path)
    return Condition(text, expression, field_by_field)


def check_conditions(spec: MetricSpec, fields: ResultFields = UNTYPED, *, path: str) -> None:
    """Refuse a metric whose conditions are wrong, when it is written.

    Fails: `Invalid` naming each wrong condition.
    """
    refusals: list[FieldError] = []
    for name, text in (("successCondition", spec.success_condition), ("failureCondition", spec.failure_condition)):
        if text is not None:
            try:
                compile_condition(text, fields, path=f"{path}.{name}")
            except Invalid as refused:
                refusals += refused.fields
    if refusals:
        raise Invalid("; ".join(f"{error.path}: {error.message}" for error in refusals), fields=refusals)


def judge_result(
    spec: MetricSpec, result: Mapping[str, object], fields: ResultFields = UNTYPED
) -> tuple[MeasurementStatus, str | None]:
    """What one answer means for a metric, and the reason where it did not pass."""
    try:
        success = _compiled(spec.success_condition, tuple(sorted(fields.items())))
        failure = _compiled(spec.failure_condition, tuple(sorted(fields.items()))) if spec.failure_condition else None
    except Invalid as refused:  # written under other rules; the metric cannot be judged
        return MeasurementStatus.ERRORED, refused.message
    failed = failure.holds(result) if failure else False
    if failed is True:
        return MeasurementStatus.FAILED, f"`{spec.failure_condition}` is true"
    passed = success.holds(result)
    if isinstance(passed, str):
        return MeasurementStatus.ERRORED, passed
    if isinstance(failed, str):
        return MeasurementStatus.ERRORED, failed
    if passed:
        return MeasurementStatus.PASSED, None
    if failure is not None:
        return MeasurementStatus.INCONCLUSIVE, "neither condition is true"
    return MeasurementStatus.FAILED, f"`{spec.success_condition}` is false"


@lru_cache(maxsize=1024)
def _compiled(text: str, fields: tuple[tuple[str, str], ...]) -> Condition:
    return compile_condition(text, dict(fields), path="condition")


@lru_cache(maxsize=64)
def _environment(fields: tuple[tuple[str, str], ...]) -> Any:
    typed = {f"result.{name}": _type(kind) for name, kind in fields}
    return cel.NewEnv(
        variables=typed or {"result": _type("map(string, dyn)")},
        extensions=[ext_strings.ExtStrings(), ext_math.ExtMath()],
    )


def _type(text: str) -> Any:
    """A CEL type by its name.

    Why:   `cel.Type("map(string, dyn)")` gives a type of that name which no operator takes.
    """
    outer, _, inner = text.removesuffix(")").partition("(")
    if outer == "map":
        key, _, value = inner.partition(", ")
        return cel.Type.Map(_type(key), _type(value))
    if outer == "list":
        return cel.Type.List(_type(inner))
    return getattr(cel.Type, outer.upper())


def _reason(text: str) -> str:
    """CEL's first complaint, with its place, without its drawing."""
    found = _WHERE.search(text)
    if found is None:
        return f"Not a CEL expression: {text.splitlines()[0]}"
    complaint = found.group(3).removesuffix(" (in container '')").removesuffix(" [INVALID_ARGUMENT]")
    return f"Line {found.group(1)}, column {found.group(2)}: {complaint[:300]}"


def _known(fields: ResultFields) -> str:
    return f" `result` has {', '.join(sorted(fields))}." if fields else ""

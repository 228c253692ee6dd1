"""What one answer of a provider means, and which conditions are refused when they are written."""

from __future__ import annotations

from typing import Any

import pytest

from interlock.judge.conditions import check_conditions, compile_condition, judge_result
from interlock.model.errors import Invalid
from interlock.model.verification import MeasurementStatus, MetricSpec

FIELDS = {
    "ok": "bool",
    "statusCode": "int",
    "body": "string",
    "json": "dyn",
    "headers": "map(string, list(string))",
    "duration": "int",
}
OK: dict[str, Any] = {
    "ok": True,
    "statusCode": 200,
    "body": "{}",
    "json": {"errorRate": 0, "items": [1, 2.5], "none": None},
    "headers": {"x-version": ["1.0.0"]},
    "duration": 12,
}
DOWN = OK | {"ok": False, "statusCode": 502, "json": None, "body": "<h1>Bad gateway</h1>"}


def spec(success: str, failure: str | None = None) -> MetricSpec:
    return MetricSpec("m", {"type": "http"}, 1.0, 3, success, failure_condition=failure)


@pytest.mark.parametrize(
    ("success", "failure", "result", "expected"),
    [
        ("result.ok", None, OK, MeasurementStatus.PASSED),
        ("result.ok", None, DOWN, MeasurementStatus.FAILED),
        ("result.ok && result.json.errorRate < 0.05", None, OK, MeasurementStatus.PASSED),
        ("result.ok && result.json.errorRate < 0.05", None, DOWN, MeasurementStatus.FAILED),
        ("result.json.errorRate < 0.05", None, DOWN, MeasurementStatus.ERRORED),
        ("result.json.rate < 0.05", None, OK, MeasurementStatus.ERRORED),
        ("result.duration < 10", "result.duration > 100", OK, MeasurementStatus.INCONCLUSIVE),
        ("result.ok", "result.statusCode >= 500", DOWN, MeasurementStatus.FAILED),
        ("result.ok", "result.json.rate > 0.05", OK, MeasurementStatus.ERRORED),
        ("result['ok']", None, OK, MeasurementStatus.PASSED),
        ("result.headers['x-version'][0] == '1.0.0'", None, OK, MeasurementStatus.PASSED),
        ("result.json.items.exists(i, i > 2)", None, OK, MeasurementStatus.PASSED),
        ("result.json.none == null && has(result.json.none)", None, OK, MeasurementStatus.PASSED),
        ("result.body.lowerAscii().contains('bad')", None, DOWN, MeasurementStatus.PASSED),
        ("result.json", None, OK, MeasurementStatus.ERRORED),
        ("result.json.errorRate > 0", None, OK | {"json": {"errorRate": 2**70}}, MeasurementStatus.ERRORED),
    ],
)
def test_an_answer_means(
    success: str, failure: str | None, result: dict[str, Any], expected: MeasurementStatus
) -> None:
    status, message = judge_result(spec(success, failure), result, FIELDS)
    assert status is expected
    assert (message is None) == (status is MeasurementStatus.PASSED)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("1 +", "Line 1, column 4"),
        ("result.stausCode == 200", "result.stausCode"),
        ("result.statusCode == '200'", "no matching overload"),
        ("result.statusCode", "true or false"),
        ("resource.name == 'x'", "resource"),
        ("", "Syntax error"),
    ],
)
def test_a_wrong_condition_is_refused_with_its_place(text: str, part: str) -> None:
    with pytest.raises(Invalid) as refused:
        compile_condition(text, FIELDS, path="metrics[0].successCondition")
    assert part in refused.value.message
    assert refused.value.fields[0].path == "metrics[0].successCondition"


def test_both_conditions_are_checked_and_both_named() -> None:
    with pytest.raises(Invalid) as refused:
        check_conditions(spec("result.okay", "result."), FIELDS, path="m")
    assert [error.path for error in refused.value.fields] == ["m.successCondition", "m.failureCondition"]


def test_a_condition_that_was_stored_wrong_cannot_tell_instead_of_failing() -> None:
    status, message = judge_result(spec("result.gone"), OK, FIELDS)
    assert status is MeasurementStatus.ERRORED
    assert "result.gone" in str(message)

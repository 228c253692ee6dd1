"""What is drawn as a limit is what the condition says."""

import math

import pytest

from interlock.judge.limits import Limit, limits_of

VALUE = "result.value"
RATIO = "result.queries.errors / result.queries.requests * 100.0"


@pytest.mark.parametrize(
    ("condition", "limits"),
    [
        ("result.value < 0.01", [Limit(VALUE, "<", 0.01)]),
        ("result.ok && result.value<1e-2", [Limit(VALUE, "<", 0.01)]),
        ("0.01 > result.value", [Limit(VALUE, "<", 0.01)]),
        ("!(result.value >= 5)", [Limit(VALUE, "<", 5.0)]),
        (
            "!(result.ok && (result.value > 5 || -1.5 > result.value))",
            [Limit(VALUE, "<=", 5), Limit(VALUE, ">=", -1.5)],
        ),
        ("(result.value > 1) && ((result.value < (3)))", [Limit(VALUE, ">", 1.0), Limit(VALUE, "<", 3.0)]),
        (f"{RATIO} < 1.0", [Limit(RATIO, "<", 1.0)]),
        ("double(result.value) < .5", [Limit("double(result.value)", "<", 0.5)]),
        ("result.results[0].value <= -3", [Limit("result.results[0].value", "<=", -3.0)]),
        ('result.json["p99 < 3"] < 250u', [Limit('result.json["p99 < 3"]', "<", 250.0)]),
        ("result.statusCode == 200", [Limit("result.statusCode", "==", 200.0)]),
        ("100 * result.value < 5", [Limit("100 * result.value", "<", 5.0)]),
    ],
)
def test_a_comparison_with_a_number_is_a_limit(condition, limits):
    assert list(limits_of(condition)) == limits


@pytest.mark.parametrize(
    "condition",
    [
        "",
        "result.ok",
        'result.json.status == "value < 3"',
        "result.value != 3",
        "!(result.value == 3)",
        "result.value < result.json.limit",
        "result.value < 5 * 60",
        "result.ok ? result.value < 1 : result.value < 2",
        "result.results.all(s, s.value < 3)",
        "3 in result.json.codes",
        "1 < 2",
        "result.value < §",
        "result.value < 3)",
    ],
)
def test_what_is_no_comparison_with_a_number_has_no_limit(condition):
    assert limits_of(condition) == ()


def test_a_limit_that_is_a_template_is_known_by_its_place_alone():
    (limit,) = limits_of('result.value < {{ .variables.limit | default "3" }}')
    assert (limit.expression, limit.operator) == ("result.value", "<")
    assert math.isnan(limit.bound)
    assert limits_of("result.json.{{ .field }} < 3") == ()

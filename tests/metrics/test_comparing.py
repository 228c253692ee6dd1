"""A look at two sides is one measurement: both numbers, or an error that says which side is missing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from interlock.metrics import Metric, build_metrics, check_metric
from interlock.model.errors import Invalid
from interlock.model.verification import Measurement, MeasurementStatus, MetricSpec, parse_metric
from interlock.outside.http import Http
from metrics.test_providers import PATH, measured, serving

BOTH = {"canary": {"bad": 3, "total": 100}, "baseline": {"bad": 9, "total": 900}}
COUNTS = {"bad": "result.json[side].bad", "total": "result.json[side].total"}


@pytest.fixture
async def metrics() -> AsyncIterator[dict[str, Metric]]:
    async with Http(allow_private_addresses=True) as http:
        yield build_metrics(http)


def compared(url: str, **compare: Any) -> MetricSpec:
    provider = {"type": "http", "url": url}
    body = {"name": "m", "intervalSeconds": 1, "count": 3, "provider": provider, "compare": compare}
    return parse_metric(body, path=PATH)


@asynccontextmanager
async def answering(body: object) -> AsyncIterator[str]:
    async with serving(200, json.dumps(body)) as (port, _):
        yield f"http://127.0.0.1:{port}/"


async def look(metrics: dict[str, Metric], answer: object, **compare: Any) -> Measurement:
    async with answering(answer) as url:
        return await measured(metrics, compared(url, **compare), {"version": {"tag": "2"}})


async def test_one_answer_holds_both_sides(metrics: dict[str, Metric]) -> None:
    taken = await look(metrics, BOTH, **COUNTS)
    assert taken.result["sample"] == BOTH
    assert taken.status is MeasurementStatus.INCONCLUSIVE
    assert taken.result["answer"]["json"] == BOTH  # type: ignore[index]


async def test_each_side_is_asked_where_it_has_its_own_address(metrics: dict[str, Metric]) -> None:
    async with answering({"bad": 1, "total": 10}) as new, answering({"bad": 2, "total": 90}) as old:
        sides = {"canary": {"provider": {"url": new}}, "baseline": {"provider": {"url": old}}}
        spec = compared(old, bad="result.json.bad", total="result.json.total", **sides)
        check_metric(spec, metrics, path=PATH)
        taken = await measured(metrics, spec)
    assert taken.result["sample"] == {"canary": {"bad": 1, "total": 10}, "baseline": {"bad": 2, "total": 90}}
    assert taken.result["baseline"]["statusCode"] == 200  # type: ignore[index]


async def test_a_label_names_a_side_and_may_hold_a_placeholder(metrics: dict[str, Metric]) -> None:
    series = [{"version": "1", "ms": 10.5}, {"version": "2", "ms": 12.5}]
    value = "result.json.filter(s, s.version == side).map(s, s.ms)"
    labels = {"canary": {"label": "{{ version.tag }}"}, "baseline": {"label": "1"}}
    taken = await look(metrics, series, judge="means", value=value, **labels)
    assert taken.result["sample"] == {"canary": [12.5], "baseline": [10.5]}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"canary": {"bad": 3, "total": 100}}, "baseline: `result.json[side].bad` could not be evaluated"),
        ({**BOTH, "canary": {"bad": 300, "total": 100}}, "canary: 300 bad events of 100 cannot be"),
        ({**BOTH, "canary": {"bad": "lots", "total": 100}}, "canary: `result.json[side].bad` gave the text 'lots'"),
        ({**BOTH, "canary": {"bad": -1, "total": 100}}, "canary: `result.json[side].bad` is no count"),
        (None, "canary: `result.json[side].bad`"),
    ],
    ids=range(5),
)
async def test_half_a_look_is_an_error_that_names_the_side(
    metrics: dict[str, Metric], answer: object, said: str
) -> None:
    taken = await look(metrics, answer, **COUNTS)
    assert taken.status is MeasurementStatus.ERRORED
    assert said in str(taken.message)


async def test_a_side_that_does_not_answer_is_an_error(metrics: dict[str, Metric]) -> None:
    async with answering({"bad": 1, "total": 10}) as new:
        sides = {"canary": {"provider": {"url": new}}, "baseline": {"provider": {"url": "http://127.0.0.1:1/"}}}
        taken = await measured(metrics, compared(new, bad="result.json.bad", total="result.json.total", **sides))
    assert taken.status is MeasurementStatus.ERRORED


@pytest.mark.parametrize(
    ("canary", "status", "said"),
    [
        ([11.0], MeasurementStatus.PASSED, "within bounds"),
        ([13.0], MeasurementStatus.FAILED, "1.3 times the baseline, allowed is 1.2"),
        ([], MeasurementStatus.ERRORED, "cannot be compared"),
    ],
    ids=["within", "beyond", "empty"],
)
async def test_the_threshold_judge_judges_the_look(
    metrics: dict[str, Metric], canary: list[float], status: MeasurementStatus, said: str
) -> None:
    answer = {"canary": canary, "baseline": [10.0]}
    taken = await look(metrics, answer, judge="threshold", value="result.json[side]", ratioMax=1.2)
    assert taken.status is status
    assert said in str(taken.message)


@pytest.mark.parametrize(
    ("compare", "field"),
    [
        ({**COUNTS, "bad": "result.(side"}, "compare.bad"),
        ({**COUNTS, "canary": {"provider": {"colour": "red"}}}, "compare.canary.provider.colour"),
        ({**COUNTS, "canary": {"label": "{{ a b }}"}}, "compare.canary.label"),
    ],
    ids=["expression", "provider", "label"],
)
def test_a_comparison_is_checked_when_it_is_written(compare: dict[str, Any], field: str) -> None:
    metrics = build_metrics(Http())
    with pytest.raises(Invalid) as refused:
        check_metric(compared("https://metrics.example/", **compare), metrics, path=PATH)
    assert f"{PATH}.{field}" in [error.path for error in refused.value.fields]

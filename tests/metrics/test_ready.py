"""Ready-made questions: made when they are written and when they are asked; a real Prometheus takes all of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from interlock.metrics import Metric, build_metrics, check_metric
from interlock.metrics.ready import READY, ready_page, with_ready_made
from interlock.model.errors import Invalid
from interlock.model.verification import MeasurementStatus, MetricSpec
from interlock.outside.http import Http
from metrics.test_providers import PATH, measured, serving

NAMES = [(kind, name) for kind, known in READY.items() for name in known]


@pytest.fixture
async def metrics() -> AsyncIterator[dict[str, Metric]]:
    async with Http(allow_private_addresses=True) as http:
        yield build_metrics(http)


def spec(kind: str, name: str, success: str = "result.value < 1.0", **more: Any) -> MetricSpec:
    needs = {"used": "used_things", "limit": "all_things"} if (kind, name) == ("prometheus", "saturation") else {}
    own = {"address": "https://prometheus.example"} if kind == "prometheus" else {"apiKey": "a-key", "appKey": "b-key"}
    told = {"type": kind, "template": name, **own, "with": {**needs, **more.pop("with", {})}, **more}
    return MetricSpec("m", told, 1.0, 3, success)


@pytest.mark.parametrize(("kind", "name"), NAMES, ids=[f"{kind}-{name}" for kind, name in NAMES])
def test_each_is_taken_as_it_stands_and_stands_on_its_page(metrics: dict[str, Metric], kind: str, name: str) -> None:
    check_metric(spec(kind, name), metrics, path=PATH)
    assert f"| `{name}` |" in ready_page()


def test_what_is_said_stands_in_the_query() -> None:
    said = {
        "selector": 'service="shop",',
        "metric": "http_server_requests_total",
        "errors": 'status="5xx"',
        "window": "1m",
    }
    made = with_ready_made("prometheus", spec("prometheus", "error-rate", **{"with": said}).provider, "provider")
    assert made["query"] == (
        '(sum(rate(http_server_requests_total{service="shop",status="5xx"}[1m])) or vector(0))'
        ' / sum(rate(http_server_requests_total{service="shop"}[1m]))'
    )
    assert not {"template", "with"} & set(made)


@pytest.mark.parametrize(
    ("kind", "wrong", "field", "said"),
    [
        ("prometheus", {"template": "errors"}, "template", "must be one of error-rate, latency-p50"),
        ("prometheus", {"template": "error-rate", "query": "up"}, "query", "has no place beside template"),
        ("prometheus", {"template": "error-rate", "with": {"service": "x"}}, "with.service", "metric, selector"),
        ("prometheus", {"template": "error-rate", "with": {"window": 5}}, "with.window", "must be a text"),
        ("prometheus", {"template": "error-rate", "with": {"window": ""}}, "with.window", "is required"),
        ("prometheus", {"template": "error-rate", "with": []}, "with", "must be an object"),
        ("prometheus", {"template": "saturation", "with": {"used": "u"}}, "with.limit", "is required"),
        ("prometheus", {"with": {}}, "template", "must be one of"),
        ("prometheus", {"template": "error-rate", "with": {"selector": "a={{ if }}"}}, "with.selector", "line 1"),
        ("datadog", {"template": "error-rate", "formula": "a"}, "formula", "has no place beside template"),
        ("http", {"template": "error-rate"}, "template", "is not known here"),
    ],
    ids=range(11),
)
def test_a_wrong_one_is_refused_by_field(
    metrics: dict[str, Metric], kind: str, wrong: dict[str, Any], field: str, said: str
) -> None:
    own = {
        "prometheus": {"address": "https://p.example"},
        "datadog": {"apiKey": "a", "appKey": "b"},
        "http": {"url": "https://x"},
    }
    with pytest.raises(Invalid) as refused:
        check_metric(MetricSpec("m", {"type": kind, **own[kind], **wrong}, 1.0, 3, "result.ok"), metrics, path=PATH)
    assert [said in error.message for error in refused.value.fields if error.path == f"{PATH}.provider.{field}"] == [
        True
    ]


async def test_datadog_is_asked_what_it_makes(metrics: dict[str, Metric]) -> None:
    columns = [
        {"type": "number", "name": name, "values": [value]} for name, value in (("e", 1.0), ("h", 4.0), ("f", 0.25))
    ]
    body = json.dumps({"data": {"attributes": {"columns": columns}}})
    async with serving(200, body) as (port, asked):
        told = {"site": f"http://127.0.0.1:{port}", "with": {"filter": "service:{{ deployment.name }}"}}
        metric = spec("datadog", "error-rate", "result.value == 0.25", **told)
        taken = await measured(metrics, metric, {"deployment": {"name": "shop"}})
    assert taken.status is MeasurementStatus.PASSED
    attributes = json.loads(asked[0].partition(b"\r\n\r\n")[2])["data"]["attributes"]
    assert [each["query"] for each in attributes["queries"]] == [
        "sum:trace.http.request.errors{service:shop}.as_count()",
        "sum:trace.http.request.hits{service:shop}.as_count()",
    ]
    assert attributes["formulas"][-1] == {"formula": "default_zero(errors) / hits"}

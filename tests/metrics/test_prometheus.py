"""The provider prometheus, against a real Prometheus; what a real one seldom does, against a stub."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest

from interlock.metrics import Metric, build_metrics, check_metric, take_measurement
from interlock.metrics.prometheus import parse_duration, parse_instant
from interlock.metrics.ready import READY
from interlock.model.errors import Invalid
from interlock.model.verification import Measurement, MeasurementStatus, MetricSpec, parse_metric
from interlock.outside.http import Http
from metrics.prometheus_server import MISSING, PROMETHEUS, Prometheus, serving_prometheus, wait_for_scrapes
from metrics.test_providers import PATH, serving

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
CONTEXT = {"resource": {"config": {"track": "canary"}}}
RATE = 'sum(failed_total{track="%s"}) / sum(requests_total{track="%s"})'


@pytest.fixture
async def metrics() -> AsyncIterator[dict[str, Metric]]:
    async with Http(allow_private_addresses=True) as http:
        yield build_metrics(http)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    if PROMETHEUS is None:
        pytest.skip(MISSING)
    with serving_prometheus(tmp_path_factory.mktemp("prometheus")) as server:
        yield server


def spec(success: str = "result.ok", **provider: Any) -> MetricSpec:
    told = {"type": "prometheus", "address": "https://prometheus.example", "query": "up", **provider}
    return MetricSpec("m", told, 1.0, 3, success)


async def look(metrics: dict[str, Metric], metric: MetricSpec, *, now: datetime | None = None) -> Measurement:
    at = now or datetime.now(UTC)
    taken = await take_measurement(metric, CONTEXT, metrics=metrics, due_at=at, now=at, timeout_s=10.0)
    assert isinstance(taken, Measurement)
    return taken


# A real server --------------------------------------------------------------------------------------------------------


async def test_an_instant_query_gives_a_number(metrics: dict[str, Metric], real: Prometheus) -> None:
    good = spec("result.ok && result.value == 0.2", address=real.address, query=RATE % ("canary", "canary"))
    taken = await look(metrics, good)
    assert (taken.status, taken.message) == (MeasurementStatus.PASSED, None)


async def test_placeholders_are_filled_in_a_query(metrics: dict[str, Metric], real: Prometheus) -> None:
    query = 'requests_total{track="{{ resource.config.track }}"}'
    taken = await look(metrics, spec("result.results.size() == 1", address=real.address, query=query))
    assert taken.status is MeasurementStatus.PASSED
    assert taken.result["results"][0]["metric"]["track"] == "canary"  # type: ignore[index]


async def test_a_range_gives_the_numbers_and_the_last(metrics: dict[str, Metric], real: Prometheus) -> None:
    await asyncio.to_thread(wait_for_scrapes, real, 3)
    query = 'requests_total{track="stable"}'
    told = spec(address=real.address, query=query, rangeQuery={"step": "100ms", "start": "now-600ms"})
    result = (await look(metrics, told)).result
    values = result["results"][0]["values"]  # type: ignore[index]
    assert len(values) >= 2
    assert values == sorted(values)
    assert result["value"] == values[-1]


@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("error-rate", "result.value > 0.0999 && result.value < 0.1001"),
        ("latency-p50", "result.value > 0.0999 && result.value < 0.1001"),
        ("latency-p95", "result.value > 0.7499 && result.value < 0.7501"),
        ("latency-p99", "result.value > 0.9499 && result.value < 0.9501"),
        ("cpu-saturation", "result.value > 0.0 && result.value < 1.0"),
        ("memory-saturation", "result.value == 0.25"),
        ("saturation", "result.value == 0.75"),
    ],
)
async def test_a_ready_made_question_is_answered(
    metrics: dict[str, Metric], real: Prometheus, name: str, condition: str
) -> None:
    await asyncio.to_thread(wait_for_scrapes, real, 1)
    said = {"selector": 'service="{{ deployment.name }}"'}
    said |= {"window": "1m"} if "window" in READY["prometheus"][name].takes else {}
    said |= {"used": "used_things", "limit": "all_things"} if name == "saturation" else {}
    told = {"type": "prometheus", "address": real.address, "template": name, "with": said}
    metric = MetricSpec("m", told, 1.0, 3, condition)
    check_metric(metric, metrics, path=PATH)
    at = datetime.now(UTC)
    shop = {"deployment": {"name": "shop"}}
    taken = await take_measurement(metric, shop, metrics=metrics, due_at=at, now=at, timeout_s=10.0)
    assert isinstance(taken, Measurement)
    assert taken.status is MeasurementStatus.PASSED, (taken.message, taken.result)


async def test_a_ready_made_error_rate_is_zero_without_errors_and_no_number_without_traffic(
    metrics: dict[str, Metric], real: Prometheus
) -> None:
    for selector, value in (('service="shop",code!="500"', 0), ('service="nobody"', None)):
        told = {"template": "error-rate", "with": {"selector": selector, "window": "1m"}, "address": real.address}
        metric = MetricSpec("m", {"type": "prometheus", **told}, 1.0, 3, "result.value < 0.01")
        taken = await look(metrics, metric)
        assert taken.result["value"] == value
        assert taken.status is (MeasurementStatus.ERRORED if value is None else MeasurementStatus.PASSED)


async def test_no_series_is_an_answer_without_a_value(metrics: dict[str, Metric], real: Prometheus) -> None:
    taken = await look(metrics, spec("result.value == null", address=real.address, query="nobody_total"))
    assert taken.status is MeasurementStatus.PASSED
    assert taken.result["results"] == []


async def test_a_division_by_zero_is_no_number(metrics: dict[str, Metric], real: Prometheus) -> None:
    taken = await look(metrics, spec(address=real.address, query="vector(0) / 0"))
    assert taken.result["value"] is None
    assert taken.result["ok"] is True


async def test_a_query_that_is_none_is_told_in_prometheus_own_words(
    metrics: dict[str, Metric], real: Prometheus
) -> None:
    taken = await look(metrics, spec("result.ok", address=real.address, query="sum(("))
    assert taken.status is MeasurementStatus.ERRORED
    assert "It answered 400: " in str(taken.message)
    assert "parse error" in str(taken.message)


async def test_a_canary_is_compared_by_a_label(metrics: dict[str, Metric], real: Prometheus) -> None:
    of_side = "result.results.filter(s, s.metric.track == side && s.metric.__name__ == '%s')[0].value"
    body = {
        "name": "errors",
        "intervalSeconds": 1,
        "count": 3,
        "provider": {"type": "prometheus", "address": real.address, "query": '{__name__=~"(requests|failed)_total"}'},
        "compare": {
            "bad": of_side % "failed_total",
            "total": of_side % "requests_total",
            "baseline": {"label": "stable"},
        },
    }
    metric = parse_metric(body, path=PATH)
    check_metric(metric, metrics, path=PATH)
    sample: Any = (await look(metrics, metric)).result["sample"]
    assert sample["canary"]["bad"] * 5 == sample["canary"]["total"]
    assert sample["baseline"]["bad"] * 90 == sample["baseline"]["total"]


# A stub ---------------------------------------------------------------------------------------------------------------

EMPTY = json.dumps({"status": "success", "data": {"resultType": "vector", "result": []}})


@pytest.mark.parametrize(
    ("authentication", "header"),
    [
        ({"bearerToken": "t0ken"}, "Bearer t0ken"),
        ({"basic": {"username": "ada", "password": "pass"}}, f"Basic {base64.b64encode(b'ada:pass').decode()}"),
    ],
    ids=["bearer", "basic"],
)
async def test_it_signs_in(metrics: dict[str, Metric], authentication: dict[str, Any], header: str) -> None:
    async with serving(200, EMPTY) as (port, asked):
        told = spec(
            address=f"http://127.0.0.1:{port}/prom/",
            authentication=authentication,
            headers=[{"key": "X-Scope-OrgID", "value": "{{ resource.config.track }}"}],
        )
        check_metric(told, metrics, path=PATH)
        await look(metrics, told, now=NOW)
    head, _, form = asked[0].partition(b"\r\n\r\n")
    lines = {line.lower() for line in head.decode().split("\r\n")}
    assert "post /prom/api/v1/query http/1.1" in lines
    assert f"authorization: {header}".lower() in lines
    assert "x-scope-orgid: canary" in lines
    assert parse_qs(form.decode()) == {"query": ["up"], "time": [f"{NOW.timestamp():.3f}"], "timeout": ["10s"]}


async def test_an_oauth_token_is_asked_for_once_and_again_when_it_has_ended(metrics: dict[str, Metric]) -> None:
    told = json.dumps({"access_token": "abc", "token_type": "Bearer", "expires_in": 300})
    async with serving(200, told) as (token_port, tokens), serving(200, EMPTY) as (port, asked):
        oauth = {
            "tokenUrl": f"http://127.0.0.1:{token_port}/token",
            "clientId": "interlock",
            "clientSecret": "s/cret",
            "scopes": ["metrics", "read"],
        }
        metric = spec(address=f"http://127.0.0.1:{port}", authentication={"oauth2": oauth})
        check_metric(metric, metrics, path=PATH)
        for minutes in (0, 1, 10):
            await look(metrics, metric, now=NOW + timedelta(minutes=minutes))
    assert len(tokens) == 2
    assert b"grant_type=client_credentials&scope=metrics+read" in tokens[0]
    assert base64.b64encode(b"interlock:s%2Fcret") in tokens[0]
    assert all(b"authorization: bearer abc" in one.lower() for one in asked)


async def test_nobody_at_home_is_an_error_of_the_measurement(metrics: dict[str, Metric]) -> None:
    taken = await look(metrics, spec(address="http://127.0.0.1:1"), now=NOW)
    assert taken.status is MeasurementStatus.ERRORED


async def test_too_many_points_are_refused_before_they_are_asked_for(metrics: dict[str, Metric]) -> None:
    metric = spec(address="http://127.0.0.1:1", rangeQuery={"step": "1s", "start": "1w"})
    taken = await look(metrics, metric, now=NOW)
    assert taken.status is MeasurementStatus.ERRORED
    assert "604800 points" in str(taken.message)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"address": ""}, "provider.address"),
    ({"query": None}, "provider.query"),
    ({"address": "http://169.254.169.254"}, "provider.address"),
    ({"query": "up{{ a b }}"}, "provider.query"),
    ({"timeout": 301}, "provider.timeout"),
    ({"insecure": "yes"}, "provider.insecure"),
    ({"headers": {"A": "b"}}, "provider.headers"),
    ({"headers": [{"key": "A b", "value": "c"}]}, "provider.headers[0].key"),
    ({"headers": [{"key": "A", "value": "c\nd"}]}, "provider.headers[0].value"),
    ({"rangeQuery": {"start": "now"}}, "provider.rangeQuery.step"),
    ({"rangeQuery": {"step": "fast"}}, "provider.rangeQuery.step"),
    ({"rangeQuery": {"step": "5s", "end": "tomorrow"}}, "provider.rangeQuery.end"),
    ({"authentication": {"bearerToken": 5}}, "provider.authentication.bearerToken"),
    ({"authentication": {"basic": {"username": "a"}}}, "provider.authentication.basic.password"),
    ({"authentication": {"oauth2": {"clientId": "a", "clientSecret": "b"}}}, "provider.authentication.oauth2.tokenUrl"),
    ({"authentication": {"bearerToken": "a", "basic": {}}}, "provider.authentication.bearerToken"),
    ({"colour": "red"}, "provider.colour"),
]


@pytest.mark.parametrize(("wrong", "field"), WRONG, ids=range(len(WRONG)))
async def test_a_wrong_config_is_refused_by_its_field(wrong: dict[str, Any], field: str) -> None:
    async with Http() as http:
        with pytest.raises(Invalid) as refused:
            check_metric(spec(**wrong), build_metrics(http), path=PATH)
    assert f"{PATH}.{field}" in [error.path for error in refused.value.fields]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        ("1.5", 1.5),
        ("5m", 300),
        ("1h30m", 5400),
        ("100ms", 0.1),
        ("", None),
        ("0", None),
        ("5 m", None),
        ("m", None),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("now", NOW),
        ("now-5m", NOW - timedelta(minutes=5)),
        ("5m", NOW - timedelta(minutes=5)),
        ("2026-05-04T11:00:00Z", NOW - timedelta(hours=1)),
        ("1777892400", NOW - timedelta(hours=1)),
        ("yesterday", None),
    ],
)
def test_instants(text: str, at: datetime | None) -> None:
    assert parse_instant(text, now=NOW) == at

"""Providers: what they refuse when written, what they answer, and that no answer is an error and never a failure."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from interlock.metrics import METRICS, Metric, NotBefore, build_metrics, check_metric, take_measurement
from interlock.metrics.reading import ITEMS_KEPT_MAX, TEXT_KEPT_MAX, kept
from interlock.model.errors import Invalid
from interlock.model.verification import Measurement, MeasurementStatus, MetricSpec
from interlock.outside.http import Http
from interlock.outside.loopback import serving as on_loopback
from metrics.datadog_server import DatadogServer

NOW = datetime(2026, 3, 29, 1, tzinfo=UTC)
PATH = "rules[0].verification.metrics[0]"


@pytest.fixture
async def metrics() -> AsyncIterator[dict[str, Metric]]:
    async with Http(allow_private_addresses=True) as http:
        yield build_metrics(http)


@asynccontextmanager
async def serving(status: int, body: str) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server on loopback, and the requests it got."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = [
            int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
        ]
        asked.append(head + (await reader.readexactly(length[0]) if length else b""))
        raw = body.encode()
        first = f"HTTP/1.1 {status} X\r\nContent-Length: {len(raw)}\r\nConnection: close\r\n"
        writer.write(first.encode() + b"X-Version: 1.0.0\r\n\r\n" + raw)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], asked
    finally:
        server.close()


def spec(success: str = "result.ok", **provider: Any) -> MetricSpec:
    return MetricSpec("m", {"type": "http"} | provider, 1.0, 3, success)


async def measured(
    metrics: dict[str, Metric], metric: MetricSpec, context: dict[str, Any] | None = None, *, now: datetime = NOW
) -> Measurement:
    taken = await take_measurement(metric, context or {}, metrics=metrics, due_at=NOW, now=now, timeout_s=2.0)
    assert isinstance(taken, Measurement)
    return taken


def test_every_provider_is_listed_once_and_tells_its_fields(metrics: dict[str, Metric]) -> None:
    assert (
        {listed.kind for listed in METRICS}
        == set(metrics)
        == {
            "argocd",
            "datadog",
            "http",
            "kubernetes",
            "prometheus",
            "sleep",
            "terraformCloudRun",
            "webhook",
        }
    )
    assert len(METRICS) == len(metrics)
    assert all(metric.result_fields for metric in metrics.values())


# http


async def test_an_answer_is_judged_and_kept(metrics: dict[str, Metric]) -> None:
    context = {"resource": {"name": "prod-eu-1", "config": {"port": 0}}}
    async with serving(200, '{"errorRate": 0.01}') as (port, asked):
        context["resource"]["config"]["port"] = port  # type: ignore[index]
        metric = spec(
            "result.ok && result.json.errorRate < 0.05 && result.headers['x-version'][0] == '1.0.0'",
            url="http://127.0.0.1:{{ resource.config.port }}/stats",
            method="POST",
            headers={"X-Host": "{{ resource.name }}"},
            body="hello {{ resource.name }}",
        )
        check_metric(metric, metrics, path=PATH)
        taken = await measured(metrics, metric, context)
    assert (taken.status, taken.message, taken.measured_at) == (MeasurementStatus.PASSED, None, NOW)
    assert taken.result["json"] == {"errorRate": 0.01}
    assert asked[0].startswith(b"POST /stats HTTP/1.1\r\n")
    assert b"prod-eu-1" in asked[0].partition(b"\r\n\r\n")[0]
    assert asked[0].endswith(b"hello prod-eu-1")


async def test_a_bad_status_is_an_answer_and_fails(metrics: dict[str, Metric]) -> None:
    async with serving(500, "<h1>no</h1>") as (port, _):
        taken = await measured(metrics, spec(url=f"http://127.0.0.1:{port}/"))
    assert (taken.status, taken.message) == (MeasurementStatus.FAILED, "`result.ok` is false")
    assert (taken.result["statusCode"], taken.result["json"]) == (500, None)


async def test_no_answer_is_an_error_and_not_a_failure(metrics: dict[str, Metric]) -> None:
    async with serving(200, "") as (port, _):
        pass
    taken = await measured(metrics, spec(url=f"http://127.0.0.1:{port}/"))
    assert taken.status is MeasurementStatus.ERRORED
    assert "could not be reached" in str(taken.message)


async def test_an_answer_that_is_too_long_is_an_error(metrics: dict[str, Metric]) -> None:
    async with serving(200, "x" * (1024 * 1024 + 1)) as (port, _):
        taken = await measured(metrics, spec(url=f"http://127.0.0.1:{port}/"))
    assert taken.status is MeasurementStatus.ERRORED
    assert "longer than" in str(taken.message)


@pytest.mark.parametrize("body", ['{"x": NaN}', "[" * 100_000, "{", "\u00e4"])
async def test_what_is_no_json_is_null(metrics: dict[str, Metric], body: str) -> None:
    async with serving(200, body) as (port, _):
        taken = await measured(metrics, spec("result.json == null", url=f"http://127.0.0.1:{port}/"))
    assert taken.status is MeasurementStatus.PASSED


async def test_a_placeholder_that_leads_nowhere_is_an_error_that_names_it(metrics: dict[str, Metric]) -> None:
    taken = await measured(metrics, spec(url="http://127.0.0.1:{{ resource.config.port }}/"))
    assert taken.status is MeasurementStatus.ERRORED
    assert "resource.config.port" in str(taken.message)


async def test_a_private_address_is_refused_when_written_and_an_error_when_measured() -> None:
    async with Http() as http:
        metrics = build_metrics(http)
        with pytest.raises(Invalid, match="INTERLOCK_ALLOW_PRIVATE_ADDRESSES=1"):
            check_metric(spec(url="http://127.0.0.1:80/"), metrics, path=PATH)
        taken = await measured(metrics, spec(url="http://{{ host }}/"), {"host": "169.254.169.254"})
        assert taken.status is MeasurementStatus.ERRORED


# sleep


async def test_sleep_is_a_timer_and_holds_nobody(metrics: dict[str, Metric]) -> None:
    nap = MetricSpec("nap", {"type": "sleep", "durationSeconds": 90}, 1.0, 1, "result.ok")
    check_metric(nap, metrics, path=PATH)
    early = await take_measurement(nap, {}, metrics=metrics, due_at=NOW, now=NOW + timedelta(seconds=89), timeout_s=1.0)
    assert early == NotBefore(NOW + timedelta(seconds=90))
    assert (await measured(metrics, nap, now=NOW + timedelta(seconds=90))).status is MeasurementStatus.PASSED


async def test_an_unknown_provider_errs_when_measured(metrics: dict[str, Metric]) -> None:
    taken = await measured(metrics, MetricSpec("m", {"type": "tarot"}, 1.0, 1, "result.ok"))
    assert (taken.status, taken.message) == (MeasurementStatus.ERRORED, "There is no metric provider `tarot`.")


# Refused when written


@pytest.mark.parametrize(
    ("metric", "field"),
    [
        (MetricSpec("m", {"type": "tarot"}, 1, 1, "result.ok"), "provider.type"),
        (spec(), "provider.url"),
        (spec(url="ftp://x/"), "provider.url"),
        (spec(url="http://{{ resource | name }}/"), "provider.url"),
        (spec(url="http://x/", method="BREW"), "provider.method"),
        (spec(url="http://x/", headers=["a"]), "provider.headers"),
        (spec(url="http://x/", headers={"a b": "c"}), "provider.headers"),
        (spec(url="http://x/", headers={"a": 5}), "provider.headers.a"),
        (spec(url="http://x/", headers={"a": "b\r\nc: d"}), "provider.headers.a"),
        (spec(url="http://x/", body={}), "provider.body"),
        (spec(url="http://x/", timeout="soon"), "provider.timeout"),
        (spec(url="http://x/", timeout="0s"), "provider.timeout"),
        (spec(url="http://x/", timeout="6m"), "provider.timeout"),
        (spec(url="http://x/", timout="5s"), "provider.timout"),
        (spec("result.okay", url="http://x/"), "successCondition"),
        (MetricSpec("m", {"type": "sleep", "durationSeconds": 3601}, 1, 1, "result.ok"), "provider.durationSeconds"),
        (MetricSpec("m", {"type": "sleep"}, 1, 1, "result.statusCode == 200"), "successCondition"),
    ],
)
def test_a_wrong_metric_is_refused_by_field(metrics: dict[str, Metric], metric: MetricSpec, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_metric(metric, metrics, path=PATH)
    assert f"{PATH}.{field}" in [error.path for error in refused.value.fields]


def test_durations_are_read_like_gos(metrics: dict[str, Metric]) -> None:
    for text in ("500ms", "5s", "1m", "1m30s", "0.5s"):
        check_metric(spec(url="http://x/", timeout=text), metrics, path=PATH)


# What is kept


def test_long_answers_are_cut_visibly() -> None:
    assert len(str(kept("x" * 10_000))) < TEXT_KEPT_MAX + 50
    assert kept([1] * 100) == [1] * ITEMS_KEPT_MAX + ["[... 100 items]"]
    assert len(kept({str(number): 1 for number in range(100)})) == ITEMS_KEPT_MAX + 1  # type: ignore[arg-type]
    assert kept({"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}) == {"a": {"b": {"c": {"d": {"e": "[1 keys]"}}}}}
    assert kept("a\0b") == "a\ufffdb"


# datadog


def datadog(success: str = "result.ok && result.value < 0.5", **provider: Any) -> MetricSpec:
    keys = {"apiKey": "key-of-datadog", "appKey": "app-of-datadog"}
    return MetricSpec("m", {"type": "datadog", **keys, **provider}, 1.0, 3, success)


async def test_datadog_is_asked_once_for_all_queries_and_a_formula(metrics: dict[str, Metric]) -> None:
    columns = [
        {"type": "group", "name": "host", "values": [["a"]]},
        {"type": "number", "name": "errors", "values": [1.0]},
        {"type": "number", "name": "calls", "values": [4.0]},
        {"type": "number", "name": "errors / calls", "values": [0.25]},
    ]
    body = json.dumps({"data": {"type": "scalar_response", "attributes": {"columns": columns}}})
    async with serving(200, body) as (port, asked):
        metric = datadog(
            "result.ok && result.value < 0.5 && result.queries.calls == 4.0",
            site=f"http://127.0.0.1:{port}",
            queries={"errors": "sum:errors{service:{{ deployment.name }}}", "calls": "sum:calls{*}"},
            formula="errors / calls",
            aggregator="sum",
            intervalSeconds=60,
        )
        check_metric(metric, metrics, path=PATH)
        taken = await measured(metrics, metric, {"deployment": {"name": "api"}})
    assert taken.status is MeasurementStatus.PASSED, taken
    head, _, sent = asked[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /api/v2/query/scalar ") and b"DD-API-KEY: key-of-datadog" in head
    attributes = json.loads(sent)["data"]["attributes"]
    assert attributes["to"] - attributes["from"] == 60_000 and attributes["to"] == int(NOW.timestamp() * 1000)
    first = {"data_source": "metrics", "name": "errors", "query": "sum:errors{service:api}", "aggregator": "sum"}
    assert attributes["queries"][0] == first
    assert [each["formula"] for each in attributes["formulas"]] == ["errors", "calls", "errors / calls"]


async def test_datadog_of_the_walkthrough_is_asked_as_the_real_one(metrics: dict[str, Metric]) -> None:
    server = DatadogServer(api_key="key-of-datadog", app_key="app-of-datadog")
    for version, failed in (("v1", 0), ("v2", 1)):
        for _ in range(10):
            server.note("shop.calls", 1, env="staging", version=version)
            server.note("shop.failed", failed, env="staging", version=version)
    now = datetime.now(UTC) + timedelta(seconds=1)
    async with on_loopback(server):
        queries = {
            name: f"sum:shop.{name}{{env:staging,version:{{{{ version.tag }}}}}}.as_count()"
            for name in ("failed", "calls")
        }
        metric = datadog(
            site=server.url,
            aggregator="sum",
            queries=queries,
            formula="default_zero(failed) / calls",
            intervalSeconds=3600,
        )
        seen = [await measured(metrics, metric, {"version": {"tag": tag}}, now=now) for tag in ("v1", "v2", "v3")]
        server.api_key = "another"
        seen.append(await measured(metrics, metric, {"version": {"tag": "v1"}}, now=now))
    assert [one.status.value for one in seen] == ["passed", "failed", "errored", "errored"]
    assert [one.result.get("queries") for one in seen[:2]] == [{"failed": 0, "calls": 10}, {"failed": 10, "calls": 10}]
    assert "no points" in str(seen[2].message), "a version that nobody called has no rate"
    assert "403" in str(seen[3].message)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"queries": {}}, "queries"),
        ({"queries": {"q": 1}}, "queries.q"),
        ({"queries": {"q": "{{ x"}}, "queries.q"),
        ({"apiKey": ""}, "apiKey"),
        ({"site": "not a site"}, "site"),
        ({"aggregator": "median"}, "aggregator"),
        ({"intervalSeconds": 0}, "intervalSeconds"),
        ({"apikey": "x"}, "apikey"),
    ],
)
def test_datadog_refuses_what_it_cannot_ask(metrics: dict[str, Metric], wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_metric(datadog(**{"queries": {"q": "avg:x{*}"}, **wrong}), metrics, path=PATH)
    assert [error.path for error in refused.value.fields] == [f"{PATH}.provider.{field}"]

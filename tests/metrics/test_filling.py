"""Templates in a metric's texts: refused when they cannot be read, filled when it is measured, no way to a secret."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from interlock.metrics import Metric, build_metrics, check_metric, close_metrics, provider_parts, with_parts
from interlock.metrics.filling import FILLED_CHARS_MAX
from interlock.model.errors import Invalid
from interlock.model.secret import resolved
from interlock.model.verification import MeasurementStatus, MetricSpec, parse_metric
from interlock.outside.http import Http
from metrics.test_providers import PATH, measured, serving

CONTEXT: dict[str, Any] = {
    "resource": {"name": "prod-eu-1", "config": {"tier": "gold"}},
    "version": {"tag": "1.2.0", "metadata": {"team.example/owner": "shop"}},
    "variables": {"limit": 0.05, "user": "probe", "password": "correct-horse"},
}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def metrics() -> AsyncIterator[dict[str, Metric]]:
    async with Http(allow_private_addresses=True) as http:
        built = build_metrics(http)
        yield built
        await close_metrics(built)


def spec(success: str = "result.ok", failure: str | None = None, **provider: Any) -> MetricSpec:
    told = {"type": "http", "url": "http://metrics.example/", **provider}
    return MetricSpec("m", told, 1.0, 3, success, failure_condition=failure)


async def test_a_go_template_is_filled_where_the_provider_is_asked(metrics: dict[str, Metric]) -> None:
    async with serving(200, "{}") as (port, asked):
        metric = spec(
            url=f"http://127.0.0.1:{port}/{{{{ .resource.name | upper }}}}",
            headers={"X-Owner": '{{ index .version.metadata "team.example/owner" }}'},
            body='{{ if eq .resource.config.tier "gold" }}strict{{ else }}lax{{ end }} {"a":{"b":1}}',
            method="POST",
        )
        check_metric(metric, metrics, path=PATH)
        taken = await measured(metrics, metric, CONTEXT)
    assert taken.status is MeasurementStatus.PASSED
    assert asked[0].startswith(b"POST /PROD-EU-1 ")
    assert b"X-Owner: shop" in asked[0]
    assert asked[0].endswith(b'strict {"a":{"b":1}}')


async def test_braces_that_close_json_are_no_template(metrics: dict[str, Metric]) -> None:
    async with serving(200, "{}") as (port, asked):
        metric = spec(url=f"http://127.0.0.1:{port}/", method="POST", body='{"a":{"b":1}}')
        check_metric(metric, metrics, path=PATH)
        await measured(metrics, metric, {})
    assert asked[0].endswith(b'{"a":{"b":1}}')


async def test_a_condition_is_filled_and_shown_as_it_was_written(metrics: dict[str, Metric]) -> None:
    condition = "result.json.rate < {{ .variables.limit }} && result.json.by == {{ .version.tag | quote }}"
    for rate, status in ((0.01, MeasurementStatus.PASSED), (0.9, MeasurementStatus.FAILED)):
        async with serving(200, json.dumps({"rate": rate, "by": "1.2.0"})) as (port, _):
            metric = spec(condition, url=f"http://127.0.0.1:{port}/")
            check_metric(metric, metrics, path=PATH)
            taken = await measured(metrics, metric, CONTEXT)
        assert taken.status is status
    assert taken.message == f"`{condition}` is false"


async def test_an_expression_of_a_comparison_is_filled(metrics: dict[str, Metric]) -> None:
    async with serving(200, '{"canary": {"e-gold": 2}, "baseline": {"e-gold": 1}}') as (port, _):
        provider = {"type": "http", "url": f"http://127.0.0.1:{port}/"}
        compare = {"judge": "means", "value": 'result.json[side]["e-{{ .resource.config.tier }}"]'}
        body = {"name": "m", "intervalSeconds": 1, "count": 3, "provider": provider, "compare": compare}
        metric = parse_metric(body, path=PATH)
        check_metric(metric, metrics, path=PATH)
        taken = await measured(metrics, metric, CONTEXT)
    assert taken.result["sample"] == {"canary": [2.0], "baseline": [1.0]}


@pytest.mark.parametrize(
    ("wrong", "path", "said"),
    [
        (spec(url="http://x/{{ if }}"), "provider.url", "line 1"),
        (spec(url="http://x/{{ .a"), "provider.url", "unclosed"),
        (spec(headers={"A": "{{ nosuch .a }}"}), "provider.headers.A", "'nosuch' not defined"),
        (spec(url="http://x/{{ resource.name | upper }}"), "provider.url", "line 1"),
        (spec(url="http://{{ resource.name }}/{{ .a | upper }}"), "provider.url", "a path begins with a dot"),
        (spec("result.ok && {{ if }}"), "successCondition", "line 1"),
        (spec(failure="{{ .a"), "failureCondition", "unclosed"),
        (spec("result.nope", failure="{{ .a }} == 1"), "successCondition", "nope"),
    ],
    ids=range(8),
)
async def test_a_template_that_cannot_be_read_is_refused_when_it_is_written(
    metrics: dict[str, Metric], wrong: MetricSpec, path: str, said: str
) -> None:
    with pytest.raises(Invalid) as refused:
        check_metric(wrong, metrics, path=PATH)
    (one,) = refused.value.fields
    assert one.path == f"{PATH}.{path}"
    assert said in one.message


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        (spec(url='http://x/{{ fail "there is no zone" }}'), ("provider.url", "there is no zone")),
        (spec(url="http://x/{{ .resource.name | upper }}{{ .resource.nope }}"), ("provider.url", "leads nowhere")),
        (spec("result.ok && {{ .nope | default .nope }}"), ("successCondition", "leads nowhere")),
        (spec(body='{{ getHostByName "localhost" }}'), ("provider.body", "not available here")),
        (spec(body="{{ range until 90000 }}{{ repeat 100 $.resource.name }}{{ end }}"), ("provider.body",)),
        (spec(body=f"{{{{ repeat {FILLED_CHARS_MAX + 1} .one }}}}x"), ("provider.body", "longer than")),
        (spec("result.ok == {{ .version.tag }}"), ("",)),
    ],
    ids=range(7),
)
async def test_a_template_that_cannot_be_filled_is_an_error_with_its_reason(
    metrics: dict[str, Metric], metric: MetricSpec, said: tuple[str, ...]
) -> None:
    async with serving(200, "{}") as (port, asked):
        told = metric.provider
        if told["url"] == "http://metrics.example/":
            metric = replace(metric, provider={**told, "url": f"http://127.0.0.1:{port}/"})
        taken = await measured(metrics, metric, {**CONTEXT, "one": "x"})
    assert taken.status is MeasurementStatus.ERRORED
    assert all(each in str(taken.message) for each in said), taken.message
    assert len(asked) == (said == ("",))


async def test_what_a_secret_text_was_filled_to_shows_nowhere(metrics: dict[str, Metric]) -> None:
    basic = base64.b64encode(b"probe:correct-horse").decode()
    header = '{{ printf "Basic %s" (printf "%s:%s" .variables.user .variables.password | b64enc) }}'
    body = json.dumps({"you": f"Basic {basic}", basic: ["seen", basic]})
    async with serving(401, body) as (port, asked):
        metric = spec("result.ok", url=f"http://127.0.0.1:{port}/", headers={"Authorization": header})
        taken = await measured(metrics, metric, CONTEXT)
    assert f"Authorization: Basic {basic}".encode() in asked[0]
    assert taken.status is MeasurementStatus.FAILED
    assert basic not in repr(taken)
    assert "••••" in repr(taken)


async def test_what_a_reference_leads_to_is_no_template(metrics: dict[str, Metric]) -> None:
    reference = {"secretRef": {"provider": "env", "path": "TOKEN"}}
    side = {"provider": {"headers": {"X-Token": reference}}}
    body = {
        "name": "m",
        "intervalSeconds": 1,
        "count": 3,
        "provider": {
            "type": "http",
            "url": "http://x/",
            "headers": {"X-Token": reference, "X-Name": "{{ version.tag }}"},
        },
        "compare": {"judge": "means", "value": "result.json.v", "canary": side, "baseline": {}},
    }
    metric = parse_metric(body, path=PATH)
    opened = with_parts(metric, resolved(provider_parts(metric), lambda _: "{{ .a secret {{"))
    check_metric(opened, metrics, path=PATH)
    async with serving(200, '{"v": 1}') as (port, asked):
        await measured(
            metrics, replace(opened, provider={**opened.provider, "url": f"http://127.0.0.1:{port}/"}), CONTEXT
        )
    assert len(asked) == 2
    assert all(b"X-Token: {{ .a secret {{" in one for one in asked)
    assert sum(b"X-Name: 1.2.0" in one for one in asked) == 1

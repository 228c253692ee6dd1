"""Every listed provider passes the suite."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest

from interlock.metrics import METRICS
from interlock.metrics.argo_cd import ArgoCdMetric
from interlock.metrics.conformance import CONTEXT, HERE, NOW, ProviderConformance, Rehearsal
from interlock.metrics.datadog import DatadogMetric
from interlock.metrics.http import HttpMetric
from interlock.metrics.kubernetes import KubernetesMetric
from interlock.metrics.prometheus import PrometheusMetric
from interlock.metrics.reading import NotBefore
from interlock.metrics.sleep import SleepMetric
from interlock.metrics.terraform_cloud_run import TerraformCloudRunMetric
from interlock.metrics.webhook import WebhookMetric
from interlock.model.errors import ProviderUnavailable
from interlock.outside.http import Http
from interlock.outside.loopback import LoopbackServer
from metrics.test_kubernetes import deployment, kubeconfig
from metrics.test_tools import APPLICATION, RUN

SECRET = "s3cr3t-of-the-tool"
BEARER = {"Authorization": f"Bearer {SECRET}"}


def http() -> Http:
    return Http(allow_private_addresses=True)


def answering(method: str, path: str, body: Any) -> LoopbackServer:
    server = LoopbackServer()
    server.on(method, path, lambda _: (200, body))
    return server


def vector(*values: str) -> bytes:
    result = [{"metric": {}, "value": [1, value]} for value in values]
    return orjson.dumps({"status": "success", "data": {"resultType": "vector", "result": result}})


def columns(text: str) -> bytes:
    """Datadog's answer with these values, as text: some tools write NaN into JSON."""
    return b'{"data": {"attributes": {"columns": [{"type": "number", "values": [%s]}]}}}' % text.encode()


class TestHttp(ProviderConformance):
    @pytest.fixture
    def rehearsal(self) -> Rehearsal:
        return Rehearsal(
            provider=HttpMetric(http()),
            good={"url": f"{HERE}/stats", "headers": BEARER, "method": "POST", "body": "x"},
            condition="result.ok && result.json.rate < 0.1",
            wrong=(
                ({"url": ""}, "url"),
                ({"url": "ftp://x/"}, "url"),
                ({"method": "GOT"}, "method"),
                ({"timeout": "soon"}, "timeout"),
                ({"headers": {"a b": "x"}}, "headers"),
            ),
            server=answering("POST", "/stats", {"rate": 0.01}),
            answers=(302, 400, 401, 403, 404, 429, 500, 503),
            bodies={"none": b"{}", "null": b'{"rate": null}', "NaN": b'{"rate": NaN}', "text": b'{"rate": "0.01"}'},
            secrets=(SECRET,),
        )


class TestPrometheus(ProviderConformance):
    @pytest.fixture
    def rehearsal(self) -> Rehearsal:
        return Rehearsal(
            provider=PrometheusMetric(http()),
            good={"address": HERE, "query": "rate(x[5m])", "authentication": {"bearerToken": SECRET}},
            condition="result.ok && result.value < 0.1",
            wrong=(
                ({"address": "x"}, "address"),
                ({"query": ""}, "query"),
                ({"timeout": 0}, "timeout"),
                ({"authentication": {"bearerToken": ""}}, "authentication.bearerToken"),
            ),
            server=answering("POST", "/api/v1/query", vector("0.01")),
            bodies={
                "no series": vector(),
                "NaN": vector("NaN"),
                "infinite": vector("+Inf"),
                "text": vector("much"),
                "no pair": b'{"status": "success", "data": {"resultType": "vector", "result": [{"value": 5}, 7]}}',
                "no result": b'{"status": "success", "data": {"resultType": "vector", "result": null}}',
                "no data": b'{"status": "success"}',
                "error": b'{"status": "error", "errorType": "bad_data", "error": "parse error"}',
            },
            secrets=(SECRET,),
        )


class TestDatadog(ProviderConformance):
    @pytest.fixture
    def rehearsal(self) -> Rehearsal:
        return Rehearsal(
            provider=DatadogMetric(http()),
            good={"site": HERE, "apiKey": SECRET, "appKey": f"{SECRET}-2", "queries": {"q": "avg:x{*}"}},
            condition="result.ok && result.value < 0.1",
            wrong=(
                ({"queries": {}}, "queries"),
                ({"queries": {"q": 5}}, "queries.q"),
                ({"appKey": ""}, "appKey"),
                ({"aggregator": "most"}, "aggregator"),
                ({"site": "no site"}, "site"),
            ),
            server=answering("POST", "/api/v2/query/scalar", columns("0.01")),
            bodies={
                "null": columns("null"),
                "none": columns(""),
                "NaN": columns("NaN"),
                "text": columns('"0.01"'),
                "true": columns("true"),
                "no columns": b'{"data": {"attributes": {"columns": []}}}',
                "other": b'{"data": 5}',
            },
            secrets=(SECRET, f"{SECRET}-2"),
        )


class TestArgoCd(ProviderConformance):
    @pytest.fixture
    def rehearsal(self) -> Rehearsal:
        return Rehearsal(
            provider=ArgoCdMetric(http()),
            good={"address": HERE, "token": SECRET, "application": "shop"},
            condition='result.health == "Degraded" && result.json.metadata.name == "shop"',
            wrong=(({"address": ""}, "address"), ({"token": ""}, "token"), ({"insecure": "no"}, "insecure")),
            server=answering("GET", "/api/v1/applications/shop", APPLICATION),
            answers=(404,),
            bodies={"empty": b"{}", "other": b'{"status": 5}'},
            secrets=(SECRET,),
        )


class TestTerraformCloudRun(ProviderConformance):
    @pytest.fixture
    def rehearsal(self) -> Rehearsal:
        run = {**RUN, "data": {**RUN["data"], "relationships": {}}}  # type: ignore[dict-item]
        return Rehearsal(
            provider=TerraformCloudRunMetric(http()),
            good={"address": HERE, "token": SECRET, "runId": "run-abc"},
            condition='result.status == "applied" && result.plan.additions == 3',
            wrong=(({"address": "x"}, "address"), ({"runId": ""}, "runId"), ({"token": 5}, "token")),
            server=answering("GET", "/api/v2/runs/run-abc", run),
            bodies={"empty": b"{}", "other": b'{"data": [5]}', "no run": b'{"data": {"id": "run-1"}}'},
            secrets=(SECRET,),
        )


class TestKubernetes(ProviderConformance):
    @pytest.fixture
    def rehearsal(self) -> Rehearsal:
        return Rehearsal(
            provider=KubernetesMetric(http()),
            good={"kubeconfig": kubeconfig(HERE, token=SECRET), "name": "web", "insecureSkipTlsVerify": True},
            condition="result.rolledOut && result.desired == result.available",
            wrong=(
                ({"name": ""}, "name"),
                ({"kind": "Job"}, "kind"),
                ({"inCluster": True}, "inCluster"),
                ({"inCluster": True}, "kubeconfig"),
                ({"kubeconfig": "{"}, "kubeconfig"),
                ({"kubeconfig": kubeconfig("https://x", token="t", more={"exec": {"command": "sh"}})}, "kubeconfig"),
                ({"kubeconfig": kubeconfig("https://169.254.169.254", token="t")}, "kubeconfig"),
            ),
            server=answering("GET", "/apis/apps/v1/namespaces/shop/deployments/web", deployment()),
            answers=(404,),
            bodies={"other": b'{"kind": "Status"}', "odd": b'{"kind": "Deployment", "status": 5}', "empty": b"{}"},
            secrets=(SECRET,),
        )


class TestSleep(ProviderConformance):
    @pytest.fixture
    def rehearsal(self) -> Rehearsal:
        return Rehearsal(
            provider=SleepMetric(),
            good={"durationSeconds": 0},
            condition="result.ok",
            wrong=(({"durationSeconds": -1}, "durationSeconds"), ({"durationSeconds": "x"}, "durationSeconds")),
        )


class TestWebhook(ProviderConformance):
    @pytest.fixture
    def rehearsal(self) -> Rehearsal:
        posted = {"id": "run-1", "result": {"failed": 0}, "postedAt": NOW, "by": "ci"}
        return Rehearsal(
            provider=WebhookMetric(),
            good={"timeoutSeconds": 60},
            condition='result.ok && result.json.failed == 0 && result.by == "ci"',
            wrong=(({"timeoutSeconds": 0}, "timeoutSeconds"), ({"timeoutSeconds": "1h"}, "timeoutSeconds")),
            context={**CONTEXT, "posted": posted},
        )


async def test_a_metric_that_is_posted_waits_without_holding_anything_and_not_for_ever() -> None:
    waits = WebhookMetric()
    for after_s, answer in ((0, NotBefore(NOW + timedelta(seconds=60))), (59, NotBefore(NOW + timedelta(seconds=60)))):
        now = NOW + timedelta(seconds=after_s)
        assert await waits.measure({"timeoutSeconds": 60}, CONTEXT, due_at=NOW, now=now, timeout_s=1) == answer
    late = NOW + timedelta(seconds=60)
    with pytest.raises(ProviderUnavailable, match=r"Nothing was posted within 60 s\."):
        await waits.measure({"timeoutSeconds": 60}, CONTEXT, due_at=NOW, now=late, timeout_s=1)


def test_every_listed_provider_is_rehearsed() -> None:
    suites = [one for one in globals().values() if isinstance(one, type) and issubclass(one, ProviderConformance)]
    rehearsed = {one.__name__ for one in suites} - {"ProviderConformance"}
    assert {f"Test{one.__name__.removesuffix('Metric')}" for one in METRICS} == rehearsed

"""Providers that ask a deployment tool: Argo CD for an Application, Terraform Cloud for a run."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from interlock.metrics import Metric, build_metrics, check_metric
from interlock.model.errors import Invalid
from interlock.model.verification import Measurement, MeasurementStatus, MetricSpec
from interlock.outside.http import Http
from metrics.test_providers import PATH, measured, serving

CONTEXT = {"deployment": {"name": "shop"}, "job": {"externalId": "run-abc"}}

APPLICATION: dict[str, Any] = {
    "metadata": {"name": "shop"},
    "status": {
        "health": {"status": "Degraded", "message": "2 of 3 pods are ready"},
        "sync": {"status": "Synced", "revision": "0a1b2c"},
        "summary": {"images": ["shop:1.2.3"]},
        "operationState": {"phase": "Succeeded", "message": "successfully synced"},
    },
}
RUN = {
    "data": {
        "id": "run-abc",
        "type": "runs",
        "attributes": {
            "status": "applied",
            "has-changes": True,
            "is-destroy": False,
            "plan-only": False,
            "position-in-queue": 2,
            "status-timestamps": {"applied-at": "2026-05-04T12:00:00+00:00"},
        },
        "relationships": {"policy-checks": {"data": [{"id": "polchk-1", "type": "policy-checks"}]}},
    },
    "included": [
        {"type": "plans", "attributes": {"status": "finished", "resource-additions": 3, "resource-imports": 1}},
        {"type": "applies", "attributes": {"status": "finished", "resource-changes": 2}},
        {"type": "cost-estimates", "attributes": {"status": "finished", "delta-monthly-cost": "-1.25"}},
        {
            "type": "workspaces",
            "attributes": {"name": "shop-prod"},
            "relationships": {"organization": {"data": {"id": "acme"}}},
        },
    ],
}


@pytest.fixture
async def metrics() -> AsyncIterator[dict[str, Metric]]:
    async with Http(allow_private_addresses=True) as http:
        yield build_metrics(http)


def argo(address: str = "https://argocd.example", success: str = "result.ok", **more: Any) -> MetricSpec:
    told = {"type": "argocd", "address": address, "token": "t", "application": "{{ deployment.name }}", **more}
    return MetricSpec("m", told, 1.0, 3, success)


def terraform(address: str = "https://app.terraform.io", success: str = "result.ok", **more: Any) -> MetricSpec:
    told = {"type": "terraformCloudRun", "address": address, "token": "t", "runId": "{{ job.externalId }}", **more}
    return MetricSpec("m", told, 1.0, 3, success)


async def asked(
    metrics: dict[str, Metric], make: Any, answer: object, *, status: int = 200, **more: Any
) -> tuple[Measurement, list[bytes]]:
    body = answer if isinstance(answer, str) else json.dumps(answer)
    async with serving(status, body) as (port, calls):
        spec = make(f"http://127.0.0.1:{port}/", **more)
        check_metric(spec, metrics, path=PATH)
        return await measured(metrics, spec, CONTEXT), calls


async def test_an_application_tells_health_sync_and_images(metrics: dict[str, Metric]) -> None:
    condition = 'result.synced && result.health == "Degraded" && result.images[0] == "shop:1.2.3"'
    taken, calls = await asked(metrics, argo, APPLICATION, success=condition, namespace="apps")
    assert taken.status is MeasurementStatus.PASSED
    assert calls[0].startswith(b"GET /api/v1/applications/shop?appNamespace=apps HTTP/1.1")
    assert b"authorization: bearer t\r\n" in calls[0].lower()
    assert (taken.result["revision"], taken.result["message"]) == ("0a1b2c", "2 of 3 pods are ready")


async def test_an_application_that_is_out_of_sync_says_so(metrics: dict[str, Metric]) -> None:
    status = {**APPLICATION["status"], "sync": {"status": "OutOfSync", "revision": "0a1b2c"}}
    taken, _ = await asked(metrics, argo, {**APPLICATION, "status": status}, success="result.synced")
    assert (taken.status, taken.result["synced"]) == (MeasurementStatus.FAILED, False)


async def test_a_run_tells_its_plan_cost_and_policies(metrics: dict[str, Metric]) -> None:
    taken, calls = await asked(metrics, terraform, RUN, success='result.status == "applied" && result.hasChanges')
    assert taken.status is MeasurementStatus.PASSED
    assert [call.split(b" ")[1] for call in calls] == [
        b"/api/v2/runs/run-abc?include=plan,apply,cost_estimate,workspace",
        b"/api/v2/runs/run-abc/policy-checks",
    ]
    result = taken.result
    assert result["plan"] == {"status": "finished", "additions": 3, "changes": 0, "destructions": 0, "imports": 1}
    assert result["costEstimate"] == {"status": "finished", "prior": None, "proposed": None, "delta": -1.25}
    assert result["positionInQueue"] == 2
    assert str(result["url"]).endswith("/app/acme/workspaces/shop-prod/runs/run-abc")


@pytest.mark.parametrize("make", [argo, terraform], ids=["argocd", "terraformCloudRun"])
async def test_nobody_at_home_is_an_error_of_the_measurement(metrics: dict[str, Metric], make: Any) -> None:
    taken = await measured(metrics, make("http://127.0.0.1:1"), CONTEXT)
    assert taken.status is MeasurementStatus.ERRORED


WRONG: list[tuple[MetricSpec, str]] = [
    (argo(""), "provider.address"),
    (argo("http://10.0.0.1"), "provider.address"),
    (argo(token=""), "provider.token"),
    (argo(application="{{ a b }}"), "provider.application"),
    (argo(insecure=1), "provider.insecure"),
    (argo(colour="red"), "provider.colour"),
    (argo(success="result.helth == ''"), "successCondition"),
    (terraform(runId=""), "provider.runId"),
    (terraform(token=None), "provider.token"),
    (terraform(colour="red"), "provider.colour"),
    (terraform(success="result.status == 5"), "successCondition"),
]


@pytest.mark.parametrize(("spec", "field"), WRONG, ids=range(len(WRONG)))
async def test_a_wrong_config_is_refused_by_its_field(spec: MetricSpec, field: str) -> None:
    async with Http() as http:
        with pytest.raises(Invalid) as refused:
            check_metric(spec, build_metrics(http), path=PATH)
    assert f"{PATH}.{field}" in [error.path for error in refused.value.fields]

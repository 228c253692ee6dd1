"""Kubernetes: what a workload's rollout looks like to a condition, and whose account asks."""

from __future__ import annotations

import copy
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from interlock.metrics import Metric, build_metrics
from interlock.model.errors import Invalid
from interlock.model.verification import Measurement, MeasurementStatus, MetricSpec
from interlock.outside.http import Http
from interlock.outside.kubernetes_access import OwnPod
from interlock.outside.loopback import LoopbackServer, serving
from metrics.test_providers import measured


def kubeconfig(server: str, *, token: str = "t0ken-of-the-cluster", more: Mapping[str, Any] | None = None) -> str:
    """A kubeconfig as `kubectl config view --raw --flatten --minify` writes one."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
            "clusters": [{"name": "c", "cluster": {"server": server, "insecure-skip-tls-verify": True}}],
            "users": [{"name": "u", "user": {"token": token, **(more or {})}}],
        },
        indent=1,
    )


def deployment(**status: Any) -> dict[str, Any]:
    """A Deployment that has been rolled out."""
    shown = {
        "observedGeneration": 4,
        "replicas": 3,
        "updatedReplicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "conditions": [{"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable", "message": "ok"}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "generation": 4, "managedFields": [{"manager": "x"}]},
        "spec": {"replicas": 3, "template": {"spec": {"containers": [{"name": "web", "image": "web:1.2.0"}]}}},
        "status": {**shown, **status},
    }


@pytest.fixture
async def metrics() -> AsyncIterator[dict[str, Metric]]:
    async with Http(allow_private_addresses=True) as http:
        yield build_metrics(http)


async def look(
    metrics: dict[str, Metric], live: Any, success: str = "result.rolledOut", **more: Any
) -> tuple[Measurement, LoopbackServer]:
    server = LoopbackServer()
    if live is not None:
        server.on("GET", r"/apis/apps/v1/namespaces/.*", lambda _: (200, live))
    async with serving(server):
        told = {
            "type": "kubernetes",
            "kubeconfig": kubeconfig(server.url),
            "insecureSkipTlsVerify": True,
            "name": "web",
        }
        spec = MetricSpec("m", {**told, **more}, 1.0, 3, success, failure_condition="result.failed")
        return await measured(metrics, spec, {"deployment": {"name": "web"}}), server


async def test_a_rollout_that_is_done_says_so_in_numbers(metrics: dict[str, Metric]) -> None:
    condition = 'result.ok && result.rolledOut && result.conditions["Available"].status == "True"'
    taken, server = await look(metrics, deployment(), condition, name="{{ deployment.name }}")
    assert (taken.status, taken.message) == (MeasurementStatus.PASSED, None)
    (call,) = server.calls
    assert call.path == "/apis/apps/v1/namespaces/shop/deployments/web"
    assert call.headers["authorization"] == "Bearer t0ken-of-the-cluster"
    names = ("state", "desired", "ready", "updated", "available", "generation", "observedGeneration", "images")
    assert [taken.result[name] for name in names] == ["ready", 3, 3, 3, 3, 4, 4, ["web:1.2.0"]]
    assert "managedFields" not in repr(taken.result["json"])


@pytest.mark.parametrize(
    ("status", "state", "said", "ends"),
    [
        ({"availableReplicas": 2}, "working", "2 of 3 updated replicas are available", "inconclusive"),
        ({"updatedReplicas": 1}, "working", "1 of 3 replicas are updated", "inconclusive"),
        ({"observedGeneration": 3}, "working", "has not seen the change yet", "inconclusive"),
        (
            {"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]},
            "failed",
            "ProgressDeadlineExceeded",
            "failed",
        ),
    ],
    ids=range(4),
)
async def test_a_rollout_that_is_not_done_says_what_is_missing(
    metrics: dict[str, Metric], status: dict[str, Any], state: str, said: str, ends: str
) -> None:
    taken, _ = await look(metrics, deployment(**status))
    assert (taken.status, taken.result["state"]) == (MeasurementStatus(ends), state)
    assert said in str(taken.result["message"])


async def test_a_daemon_set_and_a_stateful_set_are_read_by_their_own_words(metrics: dict[str, Metric]) -> None:
    daemons = copy.deepcopy(deployment()) | {"kind": "DaemonSet"}
    daemons["status"] = {
        "observedGeneration": 4,
        "desiredNumberScheduled": 5,
        "updatedNumberScheduled": 5,
        "numberReady": 4,
        "numberAvailable": 4,
    }
    taken, server = await look(metrics, daemons, kind="DaemonSet", namespace="kube-system")
    assert server.calls[0].path == "/apis/apps/v1/namespaces/kube-system/daemonsets/web"
    assert [taken.result[name] for name in ("desired", "updated", "ready", "available")] == [5, 5, 4, 4]
    assert taken.result["message"] == "4 of 5 pods are available"
    states = deployment(currentRevision="a", updateRevision="a") | {"kind": "StatefulSet"}
    taken, server = await look(metrics, states, kind="StatefulSet")
    assert server.calls[0].path.endswith("/statefulsets/web")
    assert taken.status is MeasurementStatus.PASSED


async def test_what_is_not_there_is_an_answer(metrics: dict[str, Metric]) -> None:
    taken, _ = await look(metrics, None, 'result.ok || result.state == "missing"')
    assert taken.status is MeasurementStatus.PASSED
    assert taken.result["message"] == "There is no Deployment web."


async def test_the_own_pods_account_asks_where_its_operator_lets_it(tmp_path: Path) -> None:
    told = {"type": "kubernetes", "inCluster": True, "name": "web"}
    async with Http() as http:
        with pytest.raises(Invalid, match="INTERLOCK_KUBERNETES_IN_CLUSTER"):
            build_metrics(http)["kubernetes"].check_config(told, "provider")
        allowed = build_metrics(http, own_pod=OwnPod(tmp_path, {}))
        allowed["kubernetes"].check_config(told, "provider")
        taken = await measured(allowed, MetricSpec("m", told, 1.0, 3, "result.rolledOut"))
    assert taken.status is MeasurementStatus.ERRORED
    assert "runs in no cluster" in str(taken.message)

"""Is the stub API server what Kubernetes publishes? Its answers and what the agent sends are read through the models
that lightkube makes from Kubernetes' OpenAPI document, and lightkube's own client works against it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import typing
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from lightkube import ApiError, AsyncClient, KubeConfig
from lightkube.codecs import from_dict
from lightkube.models.meta_v1 import APIResourceList, ObjectMeta, Status
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import ConfigMap, Pod

from interlock.agents.kubernetes import KubernetesAgent
from interlock.outside.go_templates import GoTemplates
from interlock.outside.http import Http

from .conformance import AUTHORIZATION, Rehearsal, ended, job_of
from .kubernetes_server import KubernetesServer
from .stub_server import serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVERYTHING = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: web}
---
apiVersion: v1
kind: Secret
metadata: {name: web}
stringData: {password: swordfish}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template: {metadata: {labels: {app: db}}, spec: {containers: [{name: db, image: "registry.example/db:1"}]}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: node}
spec:
  selector: {matchLabels: {app: node}}
  template: {metadata: {labels: {app: node}}, spec: {containers: [{name: n, image: "registry.example/n:1"}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: "registry.example/web:1"}]}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: migrate}
spec:
  template: {spec: {restartPolicy: Never, containers: [{name: m, image: "registry.example/m:1"}]}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  tls: [{hosts: [shop.example]}]
  rules:
    - host: shop.example
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}]}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: queues.shop.example}
spec:
  group: shop.example
  scope: Namespaced
  names: {plural: queues, singular: queue, kind: Queue}
  versions:
    - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told():
    """A server on which the agent has worked: a release that went well, one that did not."""
    templates = GoTemplates()
    async with serving(KubernetesServer()) as server, Http(allow_private_addresses=True) as http:
        agent = KubernetesAgent(http, templates)
        config = {"kubeconfig": server.kubeconfig(), "insecureSkipTlsVerify": True, "template": EVERYTHING}
        rehearsal = Rehearsal(agent=agent, quick=config, slow=config, wrong=())
        job = job_of(rehearsal, config)
        seen = await agent.start(job, AUTHORIZATION)
        seen = await ended(agent, dataclasses.replace(job, external_id=seen.external_id))
        assert seen.links == {"Ingress shop.example": "https://shop.example"}
        yield server
    await templates.close()


@pytest_asyncio.fixture(loop_scope="module")
async def client(told):
    config = KubeConfig.from_dict(msgspec.json.decode(told.kubeconfig()))
    client = AsyncClient(config=config, field_manager="somebody", trust_env=False)
    yield client
    await client.close()


def unknown(model: Any, value: Any, at: str = "") -> Iterator[str]:
    """The fields of a value that a published model does not have."""
    origin, arguments = typing.get_origin(model), typing.get_args(model)
    if origin is typing.Union or type(None) in arguments:
        model = next(one for one in arguments if one is not type(None))
        origin, arguments = typing.get_origin(model), typing.get_args(model)
    if origin is list and isinstance(value, list):
        for place, one in enumerate(value):
            yield from unknown(arguments[0], one, f"{at}[{place}]")
    elif isinstance(model, type) and issubclass(model, msgspec.Struct) and isinstance(value, dict):
        fields = {field.encode_name: field.type for field in msgspec.structs.fields(model)}
        for key, inner in value.items():
            if key not in fields:
                yield f"{at}.{key}"
            else:
                yield from unknown(fields[key], inner, f"{at}.{key}")


async def test_every_object_of_the_server_is_one_that_kubernetes_publishes(told):
    kinds = set()
    for one in told.objects.values():
        if one["apiVersion"] == "shop.example/v1":
            continue
        kinds.add(one["kind"])
        model = type(from_dict(one))
        msgspec.convert(one, model)
        assert list(unknown(model, one)) == [], one["kind"]
    assert {"Deployment", "StatefulSet", "DaemonSet", "Job", "Pod", "Ingress", "CustomResourceDefinition"} <= kinds


async def test_what_the_agent_sends_is_what_kubernetes_publishes(told):
    sent = [call for call in told.calls if call.method in {"PATCH", "POST", "PUT"}]
    assert {call.method for call in sent} == {"PATCH", "POST"}
    for call in sent:
        model = type(from_dict(call.body))
        msgspec.convert(call.body, model)
        assert list(unknown(model, call.body)) == []
    assert {call.headers["content-type"] for call in sent if call.method == "PATCH"} == {"application/apply-patch+yaml"}


async def test_lightkube_applies_and_meets_the_same_conflict(told, client):
    mine = ConfigMap(metadata=ObjectMeta(name="theirs", namespace="shop"), data={"a": "1"})
    made = await client.apply(mine)
    assert made.metadata.managedFields[0].manager == "somebody"
    assert made.metadata.managedFields[0].fieldsV1 == {"f:data": {"f:a": {}}}
    other = ConfigMap(metadata=ObjectMeta(name="theirs", namespace="shop"), data={"a": "2"})
    with pytest.raises(ApiError) as refused:
        await client.apply(other, field_manager="another")
    status = refused.value.status
    assert isinstance(status, Status)
    assert (status.code, status.reason) == (409, "Conflict")
    assert [(cause.reason, cause.field) for cause in status.details.causes] == [("FieldManagerConflict", ".data.a")]
    assert (await client.apply(other, field_manager="another", force=True)).data == {"a": "2"}
    assert (await client.apply(ConfigMap(metadata=mine.metadata, data={"b": "1"}))).data == {"a": "2", "b": "1"}


async def test_lightkube_lists_reads_and_deletes(told, client):
    names = [one.metadata.name async for one in client.list(Pod, namespace="shop", labels={"app": "web"})]
    assert names == ["web-0"]
    assert (await client.get(Deployment, "web", namespace="shop")).status.availableReplicas == 1
    assert [one.status.succeeded async for one in client.list(Job, namespace="shop")] == [1]
    await client.apply(ConfigMap(metadata=ObjectMeta(name="short", namespace="shop")))
    await client.delete(ConfigMap, "short", namespace="shop")
    with pytest.raises(ApiError) as missing:
        await client.get(ConfigMap, "short", namespace="shop")
    assert (missing.value.status.code, missing.value.status.reason) == (404, "NotFound")


async def test_lightkube_watches(told, client):
    since = str(told.version)
    await client.apply(ConfigMap(metadata=ObjectMeta(name="watched", namespace="shop"), data={"a": "1"}))
    await client.apply(ConfigMap(metadata=ObjectMeta(name="watched", namespace="shop"), data={"a": "2"}))
    seen = []
    async with asyncio.timeout(10):
        async for what, one in client.watch(ConfigMap, namespace="shop", resource_version=since):
            seen.append((what, one.metadata.name, one.data))
            if len(seen) == 2:
                break
    assert seen == [("ADDED", "watched", {"a": "1"}), ("MODIFIED", "watched", {"a": "2"})]


async def test_the_lists_of_kinds_are_what_kubernetes_publishes(told):
    for version in told.kinds:
        listed = told._resources(version)
        msgspec.convert(listed, APIResourceList)
        assert list(unknown(APIResourceList, listed)) == []

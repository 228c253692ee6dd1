"""Kubernetes: how the rollout of a Deployment, a StatefulSet or a DaemonSet stands.

```yaml
rules:
  - verification:
      metrics:
        - name: rolled-out
          intervalSeconds: 15
          count: 20
          successCondition: result.rolledOut
          successThreshold: 3
          failureCondition: result.failed
          provider:
            type: kubernetes
            kubeconfig: {secretRef: {provider: vault, path: shop/cluster, key: kubeconfig}}
            namespace: shop
            name: "{{ deployment.name }}"
```

| key | default | meaning |
|---|---|---|
| `name` | required | the object's name |
| `kind` | `Deployment` | or StatefulSet, DaemonSet |
| `namespace` | the kubeconfig's | where it is |
| `kubeconfig` | none | the cluster, and who asks; sealed |
| `context` | the current one | of the kubeconfig |
| `inCluster` | false | the cluster that Interlock runs in, where its operator allows it, in place of a kubeconfig |
| `insecureSkipTlsVerify` | false | a server whose certificate is not checked, where the kubeconfig says so |

A kubeconfig may hold what one of the [agent](../agents/kubernetes.md) may. Needed in the cluster: `get` of the kind.

**`result`**

| field | type | |
|---|---|---|
| `ok` | bool | the object is there |
| `rolledOut` | bool | all that is wanted runs what the object says, is available, and nothing old is left |
| `failed` | bool | its progress deadline has passed |
| `state` | string | `ready`, `working`, `suspended` (paused), `failed`, `missing` |
| `message` | string | what is missing, in words: `2 of 3 updated replicas are available` |
| `desired`, `ready`, `updated`, `available` | int | pods |
| `generation`, `observedGeneration` | int | of what was written, and of what its controller has seen |
| `conditions` | map | type -> `status`, `reason`, `message` |
| `images` | list | the images that it says |
| `json` | any | the object |
| `statusCode`, `duration` | int | the answer's status, and milliseconds |

An object that is not there is an answer: `ok` is false, `state` is `missing`. A cluster that refuses or fails is an
error of the measurement. A rollout that is paused is neither rolled out nor failed.

The job agent [kubernetes](../agents/kubernetes.md) has waited for its rollout already; this metric watches whether it
lasts, and what another agent rolled out.

Source: Kubernetes API, `apps/v1`; `kubectl rollout status`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import quote

from interlock.judge.conditions import ResultFields
from interlock.metrics.asking import ask_json, check_texts, map_in, texts_of
from interlock.metrics.filling import holds_template
from interlock.metrics.reading import NotBefore, Reading
from interlock.model.errors import ProviderUnavailable, Rejected
from interlock.model.secret import MASK, hidden, hidden_all, is_masked, is_reference
from interlock.model.wire import Fields
from interlock.outside.http import Http
from interlock.outside.kubernetes_access import Access, OwnPod, read_kubeconfig, trust_of
from interlock.outside.kubernetes_health import State, health_of

_KINDS: Mapping[str, str] = {"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}
_PARTS = ("metadata", "spec", "status")
_NOT_ALLOWED = "is not allowed here: an operator sets INTERLOCK_KUBERNETES_IN_CLUSTER=1"


class KubernetesMetric:
    """One look at a workload.

    Takes: `own_pod` where the operator lets policies use the service account of Interlock's own pod.
    """

    kind: ClassVar[str] = "kubernetes"
    result_fields: ClassVar[ResultFields] = {
        "ok": "bool",
        "rolledOut": "bool",
        "failed": "bool",
        "state": "string",
        "message": "string",
        "desired": "int",
        "ready": "int",
        "updated": "int",
        "available": "int",
        "generation": "int",
        "observedGeneration": "int",
        "conditions": "map(string, dyn)",
        "images": "list(string)",
        "json": "dyn",
        "statusCode": "int",
        "duration": "int",
    }

    def __init__(self, http: Http, *, own_pod: OwnPod | None = None) -> None:
        self._http, self._own_pod = http, own_pod

    def check_config(self, config: Mapping[str, object], path: str) -> None:
        """Refuse unknown keys, wrong values, a kubeconfig that may not be used, two clusters or none."""
        fields = Fields(config, path)
        fields.text("type")
        check_texts(fields, ("name", "namespace", "context"), needed=("name",))
        fields.choice("kind", allowed=tuple(_KINDS), default="Deployment")
        own = fields.boolean("inCluster", default=False)
        insecure = fields.boolean("insecureSkipTlsVerify", default=False)
        text = fields.anything("kubeconfig")
        if own and self._own_pod is None:
            fields.wrong("inCluster", _NOT_ALLOWED)
        if own == (text is not None):
            fields.wrong("kubeconfig", "is required, or inCluster: true; not both")
        elif isinstance(text, str) and not (is_masked(text) or holds_template(text)):
            self._check_kubeconfig(fields, text, config, insecure=insecure)
        elif text is not None and not isinstance(text, str) and not is_reference(text):
            fields.wrong("kubeconfig", "must be a text or a secretRef")
        fields.done()

    def _check_kubeconfig(self, fields: Fields, text: str, config: Mapping[str, object], *, insecure: bool) -> None:
        try:
            wrong = self._http.check_url(_access(text, config, insecure=insecure).server)
        except Rejected as refused:
            wrong = refused.message
        if wrong:
            fields.wrong("kubeconfig", wrong.removeprefix("kubeconfig: "))

    async def measure(
        self,
        config: Mapping[str, object],
        context: Mapping[str, object],
        *,
        due_at: datetime,
        now: datetime,
        timeout_s: float,
    ) -> Reading | NotBefore:
        """Ask once.

        Fails: `ProviderUnavailable` without a whole answer; `Rejected` when the call cannot be made as configured.
        """
        _ = context, due_at, now
        access = self._access(config)
        name, namespace = texts_of(config, ("name", "namespace"))
        kind = str(config.get("kind") or "Deployment")
        place = f"namespaces/{quote(namespace or access.namespace, safe='')}/{_KINDS[kind]}/{quote(name, safe='')}"
        try:
            told, live = await self._ask(access, f"{access.server}/apis/apps/v1/{place}", timeout_s=timeout_s)
        except ProviderUnavailable as away:
            raise ProviderUnavailable(hidden(away.message, _marks(access)), retry_after_s=away.retry_after_s) from None
        except Rejected as no:
            raise Rejected(hidden(no.message, _marks(access))) from None
        if not told["ok"]:
            return Reading({**told, **_missing(kind, name)})
        if live.get("kind") != kind or not all(isinstance(live.get(part, {}), Mapping) for part in _PARTS):
            raise ProviderUnavailable(f"It answered with what is no {kind}.")
        result = {**told, **_result_of(live)}
        return Reading(hidden_all(result, _marks(access)))

    def _access(self, config: Mapping[str, object]) -> Access:
        if config.get("inCluster") is True:
            if self._own_pod is None:
                raise Rejected(f"inCluster {_NOT_ALLOWED}.")
            return self._own_pod.access()
        insecure = config.get("insecureSkipTlsVerify") is True
        return _access(str(config.get("kubeconfig") or ""), config, insecure=insecure)

    async def _ask(self, access: Access, url: str, *, timeout_s: float) -> tuple[dict[str, object], Any]:
        """With the cluster's own trust, behind the guard: one client a look where trust is not everybody's."""
        headers, trust = {**access.headers, "Accept": "application/json"}, trust_of(access)
        if trust is None and not access.own:
            return await ask_json(self._http, url, headers=headers, timeout_s=timeout_s, answers=(404,))
        async with self._http.trusting(trust, private=access.own) as http:
            return await ask_json(http, url, headers=headers, timeout_s=timeout_s, answers=(404,))


def _access(text: str, config: Mapping[str, object], *, insecure: bool) -> Access:
    return read_kubeconfig(text, context=str(config.get("context") or "") or None, insecure=insecure)


def _marks(access: Access) -> dict[str, object]:
    return {MASK: list(access.secrets)}


def _result_of(live: Mapping[str, Any]) -> dict[str, object]:
    health = health_of(live)
    spec, status = map_in(live, "spec"), map_in(live, "status")
    metadata = map_in(live, "metadata")
    daemons = live["kind"] == "DaemonSet"

    def count(of_replicas: str, of_daemons: str, part: Mapping[str, Any] = status, *, absent: int = 0) -> int:
        found = part.get(of_daemons if daemons else of_replicas)
        return found if isinstance(found, int) else absent

    shown = status.get("conditions")
    containers = map_in(spec, "template", "spec").get("containers")
    return {
        "rolledOut": health.state is State.READY,
        "failed": health.state is State.FAILED,
        "state": health.state.value,
        "message": health.said,
        "desired": count("", "desiredNumberScheduled") if daemons else count("replicas", "", spec, absent=1),
        "ready": count("readyReplicas", "numberReady"),
        "updated": count("updatedReplicas", "updatedNumberScheduled"),
        "available": count("availableReplicas", "numberAvailable"),
        "generation": _whole(metadata.get("generation")),
        "observedGeneration": _whole(status.get("observedGeneration")),
        "conditions": {
            str(one.get("type")): {key: one.get(key) for key in ("status", "reason", "message")}
            for one in (shown if isinstance(shown, list) else ())
            if isinstance(one, Mapping)
        },
        "images": [
            str(one.get("image"))
            for one in (containers if isinstance(containers, list) else ())
            if isinstance(one, Mapping)
        ],
        "json": {**live, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}},
    }


def _missing(kind: str, name: str) -> dict[str, object]:
    counts = dict.fromkeys(("desired", "ready", "updated", "available", "generation", "observedGeneration"), 0)
    return {
        "rolledOut": False,
        "failed": False,
        "state": "missing",
        "message": f"There is no {kind} {name}.",
        **counts,
        "conditions": {},
        "images": [],
        "json": None,
    }


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0

"""Argo CD: how an Application stands, its sync and its health.

```yaml
rules:
  - verification:
      metrics:
        - name: healthy
          intervalSeconds: 30
          count: 10
          successCondition: result.ok && result.synced && result.health == "Healthy"
          successThreshold: 3
          failureCondition: result.ok && result.health == "Degraded"
          failureThreshold: 2
          provider:
            type: argocd
            address: https://argocd.example.com
            token: {secretRef: {provider: env, path: ARGOCD_TOKEN}}
            application: "{{ deployment.name }}-{{ resource.name }}"
```

| key | default | meaning |
|---|---|---|
| `address` | required | the server's address |
| `token` | required | a token that may `get` the Application; sealed |
| `application` | required | its name |
| `namespace` | none | its namespace, where Applications are kept in several |
| `insecure` | false | take any certificate of the server |

`address`, `application` and `namespace` may be templates.

**`result`**

| field | type | |
|---|---|---|
| `ok` | bool | the Application is there |
| `health` | string | `Healthy`, `Progressing`, `Degraded`, `Suspended`, `Missing`, `Unknown` |
| `synced` | bool | what runs is what the revision says |
| `revision` | string | the revision that it was compared with last |
| `message` | string | of its health, or of its last operation |
| `images` | list | the images that run |
| `json` | any | the Application |
| `statusCode`, `duration` | int | the answer's status, and milliseconds |

An Application that is not there is an answer: `ok` is false, `health` is `Missing`. A server that refuses or fails is
an error of the measurement.

The job agent [argo-cd](../agents/argo_cd.md) has waited for health already; this metric watches whether it lasts.

Source: Argo CD's published API, `application.proto`; reference-behaviour.md 5.4 (its health as a verification).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from interlock.judge.conditions import ResultFields
from interlock.metrics.asking import ask_json, check_address, check_secret, check_texts, map_in, texts_of
from interlock.metrics.reading import NotBefore, Reading
from interlock.model.errors import ProviderUnavailable
from interlock.model.wire import Fields
from interlock.outside.http import Http

_TEXTS = ("address", "application", "namespace")


class ArgoCdMetric:
    """One look at an Application."""

    kind: ClassVar[str] = "argocd"
    result_fields: ClassVar[ResultFields] = {
        "ok": "bool",
        "health": "string",
        "synced": "bool",
        "revision": "string",
        "message": "string",
        "images": "list(string)",
        "json": "dyn",
        "statusCode": "int",
        "duration": "int",
    }

    def __init__(self, http: Http) -> None:
        self._http = http

    def check_config(self, config: Mapping[str, object], path: str) -> None:
        """Refuse unknown keys, wrong values, an address that may not be called."""
        fields = Fields(config, path)
        fields.text("type")
        texts = check_texts(fields, _TEXTS, needed=("address", "application"))
        check_address(fields, self._http, "address", texts["address"])
        check_secret(fields, "token")
        fields.boolean("insecure", default=False)
        fields.done()

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
        address, name, namespace = texts_of(config, _TEXTS)
        query = f"?{urlencode({'appNamespace': namespace})}" if namespace else ""
        told, application = await ask_json(
            self._http,
            f"{address.rstrip('/')}/api/v1/applications/{quote(name, safe='')}{query}",
            headers={"Authorization": f"Bearer {config.get('token', '')}", "Accept": "application/json"},
            timeout_s=timeout_s,
            verify_tls=config.get("insecure") is not True,
            answers=(404,),
        )
        if told["ok"] and not map_in(application, "metadata"):
            raise ProviderUnavailable("It answered with what is no Application.")
        found = _result_of(application)
        if not told["ok"]:
            found |= {"health": "Missing", "message": f"There is no Application {name}."}
        return Reading({**told, **found})


def _result_of(application: Any) -> dict[str, object]:
    health, sync = map_in(application, "status", "health"), map_in(application, "status", "sync")
    images = map_in(application, "status", "summary").get("images")
    message = health.get("message") or map_in(application, "status", "operationState").get("message")
    return {
        "health": str(health.get("status") or ""),
        "synced": sync.get("status") == "Synced",
        "revision": str(sync.get("revision") or ""),
        "message": str(message or ""),
        "images": [str(one) for one in images] if isinstance(images, list) else [],
        "json": application,
    }

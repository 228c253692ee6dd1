"""Terraform Cloud: how a run went, its plan, cost and policies.

```yaml
rules:
  - verification:
      metrics:
        - name: applied
          intervalSeconds: 30
          count: 20
          successCondition: result.ok && result.status in ["applied", "planned_and_finished"]
          successThreshold: 1
          failureCondition: result.ok && result.status in ["errored", "discarded", "canceled", "force_canceled"]
          provider:
            type: terraformCloudRun
            address: https://app.terraform.io
            token: {secretRef: {provider: env, path: TFE_TOKEN}}
            runId: "{{ job.externalId }}"
```

| key | default | meaning |
|---|---|---|
| `address` | required | the server's address |
| `token` | required | a token that may read the run's workspace; sealed |
| `runId` | required | the run: `run-…` |

`address` and `runId` may be templates.

**`result`**

| field | type | |
|---|---|---|
| `ok` | bool | true: what is no answer is an error of the measurement |
| `runId` | string | |
| `status` | string | the run's state, as Terraform Cloud names it |
| `hasChanges`, `isDestroy`, `planOnly` | bool | of the run |
| `positionInQueue` | int | 0 where it is first, or not queued |
| `statusTimestamps` | map | state -> when it was reached |
| `plan`, `apply` | map | what each counts: `status`, `additions`, `changes`, `destructions`, `imports` |
| `costEstimate` | map | `status`, `prior`, `proposed`, `delta` a month, as numbers |
| `policyChecks` | list | each with `status`, `passed`, `failed` |
| `url` | string | the run's page, where it can be told |
| `json` | any | the whole answer |
| `statusCode`, `duration` | int | the answer's status, and milliseconds |

`{{ job.externalId }}` is the run of the job that is verified, where its agent is [tfe](../agents/tfe.md).

Source: HashiCorp's API reference, "Show a run" with included resources; reference-behaviour.md 4.12. Different on
purpose: `runId` may be a template, and there is an `ok`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import quote

from interlock.judge.conditions import ResultFields
from interlock.metrics.asking import ask_json, check_address, check_secret, check_texts, map_in, texts_of
from interlock.metrics.reading import NotBefore, Reading
from interlock.model.errors import ProviderUnavailable
from interlock.model.wire import Fields
from interlock.outside.http import Http

_TEXTS = ("address", "runId")
_INCLUDED = "plan,apply,cost_estimate,workspace"
_COUNTED = {
    "additions": "resource-additions",
    "changes": "resource-changes",
    "destructions": "resource-destructions",
    "imports": "resource-imports",
}
_COSTS = {
    "prior": "prior-monthly-cost",
    "proposed": "proposed-monthly-cost",
    "delta": "delta-monthly-cost",
}


class TerraformCloudRunMetric:
    """One look at a run."""

    kind: ClassVar[str] = "terraformCloudRun"
    result_fields: ClassVar[ResultFields] = {
        "ok": "bool",
        "runId": "string",
        "status": "string",
        "hasChanges": "bool",
        "isDestroy": "bool",
        "planOnly": "bool",
        "positionInQueue": "int",
        "statusTimestamps": "map(string, dyn)",
        "plan": "map(string, dyn)",
        "apply": "map(string, dyn)",
        "costEstimate": "map(string, dyn)",
        "policyChecks": "list(map(string, dyn))",
        "url": "string",
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
        texts = check_texts(fields, _TEXTS, needed=_TEXTS)
        check_address(fields, self._http, "address", texts["address"])
        check_secret(fields, "token")
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
        """Ask for the run, and for its policy checks.

        Fails: `ProviderUnavailable` without a whole answer; `Rejected` when the call cannot be made as configured.
        """
        _ = context, due_at, now
        address, run_id = texts_of(config, _TEXTS)
        run = f"{address.rstrip('/')}/api/v2/runs/{quote(run_id, safe='')}"
        headers = {"Authorization": f"Bearer {config.get('token', '')}", "Accept": "application/vnd.api+json"}
        told, found = await ask_json(self._http, f"{run}?include={_INCLUDED}", headers=headers, timeout_s=timeout_s)
        if not map_in(found, "data", "attributes"):
            raise ProviderUnavailable("It answered with what is no run.")
        checks: Any = None
        if map_in(found, "data", "relationships", "policy-checks").get("data"):
            _, checks = await ask_json(self._http, f"{run}/policy-checks", headers=headers, timeout_s=timeout_s)
        return Reading({**told, **_result_of(found, checks, run_id=run_id, address=address.rstrip("/"))})


def _result_of(found: Any, checks: Any, *, run_id: str, address: str) -> dict[str, object]:
    said = map_in(found, "data", "attributes")
    included = found.get("included") if isinstance(found, Mapping) else None
    parts = {
        str(one.get("type")): map_in(one, "attributes")
        for one in (included if isinstance(included, list) else ())
        if isinstance(one, Mapping)
    }
    listed = checks.get("data") if isinstance(checks, Mapping) else None
    return {
        "runId": str(map_in(found, "data").get("id") or run_id),
        "status": str(said.get("status") or ""),
        "hasChanges": said.get("has-changes") is True,
        "isDestroy": said.get("is-destroy") is True,
        "planOnly": said.get("plan-only") is True,
        "positionInQueue": _whole(said.get("position-in-queue")),
        "statusTimestamps": dict(map_in(said, "status-timestamps")),
        "plan": _counts(parts.get("plans", {})),
        "apply": _counts(parts.get("applies", {})),
        "costEstimate": _costs(parts.get("cost-estimates", {})),
        "policyChecks": [_check(one) for one in (listed if isinstance(listed, list) else ())],
        "url": _page_of(parts.get("workspaces", {}), found, run_id=run_id, address=address),
        "json": found,
    }


def _counts(part: Mapping[str, Any]) -> dict[str, object]:
    if not part:
        return {}
    return {"status": part.get("status"), **{name: _whole(part.get(key)) for name, key in _COUNTED.items()}}


def _costs(part: Mapping[str, Any]) -> dict[str, object]:
    if not part:
        return {}
    return {"status": part.get("status"), **{name: _decimal(part.get(key)) for name, key in _COSTS.items()}}


def _check(one: object) -> dict[str, object]:
    result = map_in(one, "attributes", "result")
    return {
        "status": map_in(one, "attributes").get("status"),
        "passed": _whole(result.get("passed")),
        "failed": _whole(result.get("total-failed")),
    }


def _page_of(workspace: Mapping[str, Any], found: Any, *, run_id: str, address: str) -> str:
    """The run's page, by the names of workspace and organization; "" where they are not told."""
    name = workspace.get("name")
    included = found.get("included") if isinstance(found, Mapping) else None
    organization = next(
        (
            map_in(one, "relationships", "organization", "data").get("id")
            for one in (included if isinstance(included, list) else ())
            if isinstance(one, Mapping) and one.get("type") == "workspaces"
        ),
        None,
    )
    return f"{address}/app/{organization}/workspaces/{name}/runs/{run_id}" if name and organization else ""


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _decimal(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None

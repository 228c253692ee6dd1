r"""Webhook: an outside system posts the measurement, a test run or a synthetic check.

```yaml
rules:
  - verification:
      metrics:
        - name: smoke-tests
          intervalSeconds: 10
          count: 1
          successCondition: result.json.failed == 0
          errorsMax: 0
          provider:
            type: webhook
            timeoutSeconds: 1800
```

| key | default | meaning |
|---|---|---|
| `timeoutSeconds` | 3600 | how long to wait for a result, 1 to 604800 (a week) |

Whoever ran the tests posts what came of them:

```
curl -X POST "$INTERLOCK_URL/api/v1/workspaces/$WORKSPACE/jobs/$JOB_ID/metrics/smoke-tests/results" \
  -H "Authorization: Bearer $INTERLOCK_API_KEY" -H "Content-Type: application/json" \
  -d '{"id": "run-4711", "result": {"passed": 118, "failed": 0, "url": "https://ci.example/run/4711"}}'
```

or `interlock post $JOB_ID smoke-tests --id run-4711 --result-file results.json`. The job is the one that is verified;
for what is no job's, `verifications/{verificationId}` stands in its place (`interlock post verification/ID …`). The key
needs the permission `measurement:write`, which operators have, and a role of your own may.

`id` is your own name of the result. A result that is posted again counts once; each other one is a measurement of its
own, oldest first, at most one an interval. One that comes before the verification begins is kept for it; one that comes
after its end is kept and changes nothing, unless the metric is measured again. `GET …/jobs/$JOB_ID/results` lists all
of them, and which became measurements.

**`result`**

| field | type | |
|---|---|---|
| `ok` | bool | true: something was posted |
| `json` | any | what was posted as `result`: any JSON, at most 64 KiB |
| `id` | string | its name |
| `by` | string | whose key posted it |
| `waited` | int | milliseconds from when the measurement was due; 0 for a result that was there |

Nothing posted in time is an error of the measurement. `errorsMax: 0` makes the first one the end, as inconclusive.

Nothing is held while the metric waits: the post is what wakes it. A restart changes nothing, because the instant is
counted from when the measurement was due.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import ClassVar

from interlock.judge.conditions import ResultFields
from interlock.metrics.reading import NotBefore, Reading
from interlock.model.errors import ProviderUnavailable
from interlock.model.verification import POSTED
from interlock.model.wire import Fields

TIMEOUT_S = 3600.0
TIMEOUT_MAX_S = 604_800.0


class WebhookMetric:
    """What was posted, or the wait for it.

    Takes: the context's `posted` is the oldest result that this metric has not taken: `id`, `result`, `postedAt`, `by`.
    """

    kind: ClassVar[str] = POSTED
    result_fields: ClassVar[ResultFields] = {
        "ok": "bool",
        "json": "dyn",
        "id": "string",
        "by": "string",
        "waited": "int",
    }

    def check_config(self, config: Mapping[str, object], path: str) -> None:
        """Refuse unknown keys and a time out of range."""
        _read_timeout_s(config, path)

    async def measure(
        self,
        config: Mapping[str, object],
        context: Mapping[str, object],
        *,
        due_at: datetime,
        now: datetime,
        timeout_s: float,
    ) -> Reading | NotBefore:
        """The result that is there; else the instant until which there may be one.

        Fails: `ProviderUnavailable` when nothing was posted in time.
        """
        _ = timeout_s
        posted = context.get("posted")
        if isinstance(posted, Mapping):
            waited = posted["postedAt"] - due_at
            return Reading(
                {
                    "ok": True,
                    "json": posted["result"],
                    "id": str(posted["id"]),
                    "by": str(posted["by"]),
                    "waited": max(0, round(waited.total_seconds() * 1000)),
                }
            )
        waits_s = _read_timeout_s(config, "provider")
        until = due_at + timedelta(seconds=waits_s)
        if now < until:
            return NotBefore(until)
        raise ProviderUnavailable(f"Nothing was posted within {waits_s:g} s.")


def _read_timeout_s(config: Mapping[str, object], path: str) -> float:
    fields = Fields(config, path)
    fields.text("type")
    timeout_s = fields.number("timeoutSeconds", default=TIMEOUT_S, minimum=1, maximum=TIMEOUT_MAX_S)
    fields.done()
    return timeout_s or TIMEOUT_S

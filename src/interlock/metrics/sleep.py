"""Sleep: pass after a while, without looking at anything.

For a pause between two steps, and for trying out policies.

```yaml
rules:
  - verification:
      metrics:
        - name: let-it-settle
          intervalSeconds: 30
          count: 1
          successCondition: result.ok
          provider:
            type: sleep
            durationSeconds: 30
```

| key | default | meaning |
|---|---|---|
| `durationSeconds` | 30 | from 0 to 3600 |

**`result`**: `ok`, always true.

Nothing sleeps: the measurement is put off until its instant, and no worker is held. A restart changes nothing, because
the instant is counted from when the measurement was due.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import ClassVar

from interlock.judge.conditions import ResultFields
from interlock.metrics.reading import NotBefore, Reading
from interlock.model.errors import Invalid, Rejected
from interlock.model.wire import Fields

_DURATION_DEFAULT_S = 30.0
_DURATION_MAX_S = 3600.0


class SleepMetric:
    """A timer."""

    kind: ClassVar[str] = "sleep"
    result_fields: ClassVar[ResultFields] = {"ok": "bool"}

    def check_config(self, config: Mapping[str, object], path: str) -> None:
        """Refuse unknown keys and a duration out of range."""
        _duration_s(config, path)

    async def measure(
        self,
        config: Mapping[str, object],
        context: Mapping[str, object],
        *,
        due_at: datetime,
        now: datetime,
        timeout_s: float,
    ) -> Reading | NotBefore:
        """True once the duration has passed since the measurement was due."""
        _ = context, timeout_s
        try:
            ready_at = due_at + timedelta(seconds=_duration_s(config, "provider"))
        except Invalid as refused:
            raise Rejected(refused.message) from refused
        return Reading({"ok": True}) if now >= ready_at else NotBefore(ready_at)


def _duration_s(config: Mapping[str, object], path: str) -> float:
    fields = Fields(config, path)
    fields.text("type")
    duration_s = fields.number("durationSeconds", default=_DURATION_DEFAULT_S, minimum=0, maximum=_DURATION_MAX_S)
    fields.done()
    return _DURATION_DEFAULT_S if duration_s is None else duration_s

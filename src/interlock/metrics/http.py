"""HTTP: call an address and look at the answer.

```yaml
rules:
  - verification:
      metrics:
        - name: error-rate
          intervalSeconds: 10
          count: 6
          successCondition: result.ok && result.json.errorRate < 0.01
          provider:
            type: http
            url: http://{{ resource.config.host }}/stats
            timeout: 5s
```

| key | default | meaning |
|---|---|---|
| `url` | required | http or https |
| `method` | `GET` | GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS |
| `headers` | none | name and value |
| `body` | none | text to send |
| `timeout` | `30s` | for the whole call: `500ms`, `5s`, `1m`; at most 5 minutes |

`url`, `body` and the values of `headers` may be templates. Values of `headers` are secrets, but those of `Accept`,
`Accept-Language`, `Content-Type` and `User-Agent`; one may be a `secretRef`. The headers `Host`, `Content-Length`,
`Transfer-Encoding`, `Connection` and `Upgrade` are Interlock's own.

**`result`**

| field | type | |
|---|---|---|
| `ok` | bool | the status is from 200 to 299 |
| `statusCode` | int | |
| `body` | string | |
| `json` | any | the body read as JSON, null where it is none |
| `headers` | map of lists | by name in lower case |
| `duration` | int | milliseconds |

An answer with any status is an answer; conditions judge it. No answer (no connection, no name, too slow, more than 1
MiB) is an error of the measurement. Redirects are not followed: a 302 is an answer. Addresses that do not belong to the
public internet are refused unless Interlock runs with `INTERLOCK_ALLOW_PRIVATE_ADDRESSES=1`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar

from interlock.judge.conditions import ResultFields
from interlock.metrics.filling import holds_template
from interlock.metrics.reading import NotBefore, Reading
from interlock.model.errors import ProviderUnavailable, Unavailable
from interlock.model.wire import Fields
from interlock.outside.http import Answer, Http

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_TIMEOUT_MAX_S = 300.0
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADERS_MAX = 50


class HttpMetric:
    """One call, one answer.

    Takes: `http` is the process's client, with its guard and limits.
    """

    kind: ClassVar[str] = "http"
    result_fields: ClassVar[ResultFields] = {
        "ok": "bool",
        "statusCode": "int",
        "body": "string",
        "json": "dyn",
        "headers": "map(string, list(string))",
        "duration": "int",
    }

    def __init__(self, http: Http) -> None:
        self._http = http

    def check_config(self, config: Mapping[str, object], path: str) -> None:
        """Refuse unknown keys, wrong values, and a literal address that the guard would refuse."""
        fields = Fields(config, path)
        fields.text("type")
        url = fields.text("url", required=True)
        _check_method(fields)
        headers = fields.mapping("headers")
        fields.text("body")
        timeout = fields.text("timeout", default="30s")
        if _parse_duration(timeout) is None:
            fields.wrong("timeout", "must be a duration above 0 and at most 5m, like 500ms, 5s or 1m")
        if len(headers) > _HEADERS_MAX:
            fields.wrong("headers", f"must hold at most {_HEADERS_MAX} entries")
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name):
                fields.wrong("headers", f"`{name}` is no name for a header")
            if not isinstance(value, str) or "\n" in value or "\r" in value:
                fields.wrong(f"headers.{name}", "must be a text on one line")
        if url and not holds_template(url) and (wrong := self._http.check_url(url)):
            fields.wrong("url", wrong)
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
        """Call once.

        Fails: `ProviderUnavailable` without a whole answer; `Rejected` when the call cannot be made as it is
               configured.
        """
        _ = context, due_at, now
        headers = config.get("headers")
        body = config.get("body")
        own_s = _parse_duration(str(config.get("timeout") or "30s")) or timeout_s
        try:
            answer = await self._http.send(
                str(config.get("method") or "GET"),
                str(config.get("url", "")),
                headers={str(n): str(v) for n, v in (headers if isinstance(headers, Mapping) else {}).items()},
                body=str(body).encode() if body else None,
                timeout_s=min(own_s, timeout_s),
            )
        except Unavailable as silent:
            raise ProviderUnavailable(silent.message) from silent
        if answer.truncated:
            raise ProviderUnavailable(f"The answer is longer than {len(answer.body)} bytes.")
        return Reading(_result_of(answer))


def _result_of(answer: Answer) -> Mapping[str, object]:
    headers: dict[str, list[str]] = {}
    for name, value in answer.headers:
        headers.setdefault(name, []).append(value)
    text = answer.text
    try:
        parsed = json.loads(text, parse_constant=_no_number) if text.strip() else None
    except (ValueError, RecursionError):
        parsed = None
    return {
        "ok": 200 <= answer.status < 300,
        "statusCode": answer.status,
        "body": text,
        "json": parsed,
        "headers": headers,
        "duration": answer.duration_ms,
    }


def _no_number(name: str) -> None:
    """NaN and Infinity are no JSON, though Python would read them."""
    raise ValueError(f"{name} is no JSON")


def _check_method(fields: Fields) -> None:
    fields.choice("method", allowed=_METHODS, default="GET")


def _parse_duration(text: str) -> float | None:
    """Seconds of a duration like Go's (`1m30s`), None where it is none or out of range."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return seconds if 0 < seconds <= _TIMEOUT_MAX_S else None

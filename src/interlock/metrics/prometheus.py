"""Prometheus: an instant or a range query in PromQL.

```yaml
rules:
  - verification:
      metrics:
        - name: error-rate
          intervalSeconds: 60
          count: 10
          successCondition: result.ok && result.value < 0.01
          failureCondition: result.ok && result.value > 0.05
          provider:
            type: prometheus
            address: https://prometheus.example.com
            query: |
              sum(rate(http_requests_total{service="{{ deployment.name }}", code=~"5.."}[5m]))
                / sum(rate(http_requests_total{service="{{ deployment.name }}"}[5m]))
```

| key | default | meaning |
|---|---|---|
| `address` | required | the server's address; a path in front of `/api/v1` may stand in it |
| `query` | required | PromQL; or `template` and `with` in its place: [ready-made](README.md#ready-made) |
| `rangeQuery` | none | `step` (required), `start`, `end`: a query over a range in place of an instant |
| `timeout` | 30 | seconds for the whole call, at most 300; Prometheus is told it too |
| `insecure` | false | take any certificate of the server |
| `headers` | none | a list of `{key, value}`; values are secrets, with the exceptions of the provider http |
| `authentication` | none | `bearerToken`, or `basic` (`username`, `password`), or `oauth2` (see below) |

All texts may be templates. `start` and `end` are RFC 3339, Unix
seconds, `now`, or a duration before now (`5m`, `now-5m`); by default `end` is now and `start` ten steps before it. An
OAuth token (`tokenUrl`, `clientId`, `clientSecret`, `scopes`) is asked for when it is needed and kept until it ends.

**`result`**

| field | type | |
|---|---|---|
| `ok` | bool | true: what is no answer is an error of the measurement |
| `value` | any | the first series' number, of a range its last; null where there is no series or it is no number |
| `results` | list | every series: `metric` (its labels), `value`, and `values` (the numbers) of a range; at most 200 |
| `error`, `errorType` | any | null: a query that Prometheus refuses is an error of the measurement, with its words |
| `statusCode` | int | |
| `body` | string | |
| `json` | any | the body read as JSON |
| `duration` | int | milliseconds |

A division by zero is `NaN` in Prometheus, and `null` here: write a condition so that no traffic is what you mean it to
be. No series at all is an empty `results`, and no error. No answer is an error of the measurement.

For a canary (`compare`): `result.results.filter(s, s.metric.track == side)[0].value` picks a series by a label.

Source: Prometheus HTTP API v1, "Expression queries"; RFC 6749 section 4.4; contract.json, `PrometheusMetricProvider`.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

import orjson

from interlock.judge.conditions import ResultFields
from interlock.metrics.asking import read_json, words_of
from interlock.metrics.filling import holds_template
from interlock.metrics.reading import NotBefore, Reading
from interlock.model.errors import ProviderUnavailable, Rejected, Unavailable
from interlock.model.secret import is_reference
from interlock.model.wire import Fields
from interlock.outside.http import Answer, Http

TIMEOUT_S = 30
TIMEOUT_MAX_S = 300
SERIES_MAX = 200
POINTS_MAX = 11_000
"""So many points of a series Prometheus gives at most."""
STEPS_BEFORE = 10

_HEADERS_MAX = 50
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w|y)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0, "y": 31_536_000.0}
_TOKEN_SPARE = timedelta(seconds=30)
_TOKENS_MAX = 1_000
_NO_SERIES = "No series matches the query."


class PrometheusMetric:
    """One query, one answer.

    Takes: `http` is the process's client, with its guard and limits.
    """

    kind: ClassVar[str] = "prometheus"
    result_fields: ClassVar[ResultFields] = {
        "ok": "bool",
        "value": "dyn",
        "results": "list(map(string, dyn))",
        "error": "dyn",
        "errorType": "dyn",
        "statusCode": "int",
        "body": "string",
        "json": "dyn",
        "duration": "int",
    }

    def __init__(self, http: Http) -> None:
        self._http = http
        self._tokens: dict[tuple[str, ...], tuple[str, datetime]] = {}

    def check_config(self, config: Mapping[str, object], path: str) -> None:
        """Refuse unknown keys, wrong values, and a literal address that the guard would refuse."""
        fields = Fields(config, path)
        fields.text("type")
        texts = {name: fields.text(name, required=True) for name in ("address", "query")}
        self._check_url(fields, "address", texts["address"])
        fields.integer("timeout", default=TIMEOUT_S, minimum=1, maximum=TIMEOUT_MAX_S)
        fields.boolean("insecure", default=False)
        _check_headers(fields)
        _check_range(fields)
        self._check_authentication(fields)
        fields.done()

    def _check_url(self, fields: Fields, name: str, url: str) -> None:
        if url and not holds_template(url) and (wrong := self._http.check_url(url)):
            fields.wrong(name, wrong)

    def _check_authentication(self, fields: Fields) -> None:
        given = fields.mapping("authentication")
        if not given:
            return
        inner = Fields(given, f"{fields.path}.authentication")
        if len(given) != 1:
            inner.wrong("bearerToken", "or basic or oauth2: one of them")
        token = inner.anything("bearerToken")
        if token is not None and not _is_secret(token):
            inner.wrong("bearerToken", "must be a text or a secretRef")
        for kind, secret, words in (
            ("basic", "password", ("username",)),
            ("oauth2", "clientSecret", ("tokenUrl", "clientId")),
        ):
            told = inner.mapping(kind)
            if not told:
                continue
            part = Fields(told, f"{inner.path}.{kind}")
            read = {word: part.text(word, required=True) for word in words}
            if not _is_secret(part.anything(secret)):
                part.wrong(secret, "is required: a text or a secretRef")
            if kind == "oauth2":
                self._check_url(part, "tokenUrl", read["tokenUrl"])
                if not all(isinstance(scope, str) for scope in part.items("scopes")):
                    part.wrong("scopes", "must be a list of texts")
            part.refuse_rest()
            inner.errors.extend(part.errors)
        inner.refuse_rest()
        fields.errors.extend(inner.errors)

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

        Fails: `ProviderUnavailable` without a whole answer, or where no token is to be had; `Rejected` when the call
               cannot be made as configured.
        """
        _ = context, due_at
        own_s = config.get("timeout")
        limit_s = min(float(own_s if isinstance(own_s, int | float) else TIMEOUT_S), timeout_s)
        verify = config.get("insecure") is not True
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        headers |= _headers_of(config)
        headers |= await self._authorization(config, now=now, timeout_s=limit_s, verify_tls=verify)
        address = str(config.get("address", "")).rstrip("/")
        route, asked = _question(config, query=str(config.get("query", "")), now=now)
        asked["timeout"] = f"{limit_s:g}s"
        try:
            answer = await self._http.send(
                "POST",
                f"{address}/api/v1/{route}",
                headers=headers,
                body=urlencode(asked).encode(),
                timeout_s=limit_s,
                verify_tls=verify,
            )
        except Unavailable as silent:
            raise ProviderUnavailable(silent.message) from silent
        if answer.status == 401:
            self._tokens.clear()  # the next look asks for a fresh one
        return _reading_of(answer)

    async def _authorization(
        self, config: Mapping[str, object], *, now: datetime, timeout_s: float, verify_tls: bool
    ) -> dict[str, str]:
        given = config.get("authentication")
        told: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
        if told.get("bearerToken"):
            return {"Authorization": f"Bearer {told['bearerToken']}"}
        if isinstance(basic := told.get("basic"), Mapping):
            pair = f"{basic.get('username', '')}:{basic.get('password', '')}"
            return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        if isinstance(oauth := told.get("oauth2"), Mapping):
            token = await self._token(oauth, now=now, timeout_s=timeout_s, verify_tls=verify_tls)
            return {"Authorization": f"Bearer {token}"}
        return {}

    async def _token(self, oauth: Mapping[str, Any], *, now: datetime, timeout_s: float, verify_tls: bool) -> str:
        """A token by client credentials, kept until it ends."""
        scopes = " ".join(str(scope) for scope in oauth.get("scopes") or ())
        key = (str(oauth.get("tokenUrl")), str(oauth.get("clientId")), str(oauth.get("clientSecret")), scopes)
        token, until = self._tokens.get(key, ("", now))
        if token and now < until:
            return token
        asked = {"grant_type": "client_credentials", **({"scope": scopes} if scopes else {})}
        pair = f"{urlencode({'': key[1]})[1:]}:{urlencode({'': key[2]})[1:]}"
        try:
            answer = await self._http.send(
                "POST",
                key[0],
                headers={
                    "Content-Type": "application/x-www-form-urlencoded",
                    "Accept": "application/json",
                    "Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}",
                },
                body=urlencode(asked).encode(),
                timeout_s=timeout_s,
                verify_tls=verify_tls,
            )
            told = orjson.loads(answer.body)
            token = str(told["access_token"])
        except Unavailable as silent:
            raise ProviderUnavailable(f"No token: {silent.message}") from silent
        except (orjson.JSONDecodeError, KeyError, TypeError) as other:
            raise ProviderUnavailable("No token: the token address answered with none.") from other
        life = told.get("expires_in")
        if len(self._tokens) >= _TOKENS_MAX:
            self._tokens.clear()
        if isinstance(life, int | float):
            self._tokens[key] = (token, now + timedelta(seconds=float(life)) - _TOKEN_SPARE)
        return token


def _question(config: Mapping[str, object], *, query: str, now: datetime) -> tuple[str, dict[str, str]]:
    """The route and its form.

    Fails: `Rejected` for an instant or a step that is none once it was filled, or too many points.
    """
    told = config.get("rangeQuery")
    if not isinstance(told, Mapping) or not told:
        return "query", {"query": query, "time": f"{now.timestamp():.3f}"}

    def instant(name: str, default: datetime) -> datetime:
        text = str(told.get(name) or "").strip()
        found = parse_instant(text, now=now) if text else default
        if found is None:
            raise Rejected(f"provider.rangeQuery.{name}: {text!r} is no instant.")
        return found

    step_s = parse_duration(str(told.get("step") or ""))
    if step_s is None:
        raise Rejected("provider.rangeQuery.step is no duration.")
    end = instant("end", now)
    start = instant("start", end - timedelta(seconds=step_s * STEPS_BEFORE))
    points = (end - start).total_seconds() / step_s
    if not 0 <= points <= POINTS_MAX:
        raise Rejected(f"provider.rangeQuery: from {start} to {end} are {points:.0f} points; 0 to {POINTS_MAX} may be.")
    asked = {"start": f"{start.timestamp():.3f}", "end": f"{end.timestamp():.3f}", "step": f"{step_s:g}"}
    return "query_range", {"query": query, **asked}


def parse_duration(text: str) -> float | None:
    """Seconds of a duration as Prometheus writes it (`5m`, `1h30m`, or plain seconds); None where it is none."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        seconds = float(text)
    else:
        parts = _DURATION.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            return None
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return seconds if 0 < seconds < 1e9 else None


def parse_instant(text: str, *, now: datetime) -> datetime | None:
    """RFC 3339, Unix seconds, `now`, or a duration before now; None where it is none of them."""
    if text == "now":
        return now
    if re.fullmatch(r"\d{9,}(\.\d+)?", text):
        return datetime.fromtimestamp(float(text), UTC)
    before_s = parse_duration(text.removeprefix("now").removeprefix("-").strip())
    if before_s is not None:
        return now - timedelta(seconds=before_s)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _headers_of(config: Mapping[str, object]) -> dict[str, str]:
    listed = config.get("headers")
    items = listed if isinstance(listed, list | tuple) else ()
    return {str(one["key"]): str(one["value"]) for one in items if isinstance(one, Mapping) and "key" in one}


def _check_headers(fields: Fields) -> None:
    for number, item in enumerate(fields.items("headers", maximum=_HEADERS_MAX)):
        at = f"headers[{number}]"
        if not isinstance(item, Mapping) or set(item) != {"key", "value"}:
            fields.wrong(at, "must be an object of key and value")
        elif not isinstance(item["key"], str) or not _HEADER_NAME.fullmatch(item["key"]):
            fields.wrong(f"{at}.key", f"`{item['key']}` is no name for a header")
        elif is_reference(item["value"]):
            continue
        elif not isinstance(item["value"], str) or "\n" in item["value"] or "\r" in item["value"]:
            fields.wrong(f"{at}.value", "must be a text on one line")


def _check_range(fields: Fields) -> None:
    told = fields.mapping("rangeQuery")
    if not told:
        return
    inner = Fields(told, f"{fields.path}.rangeQuery")
    step = inner.text("step", required=True)
    if step and parse_duration(step) is None:
        inner.wrong("step", "must be a duration, like 30s or 5m")
    for name in ("start", "end"):
        text = inner.text(name)
        if text and not holds_template(text) and parse_instant(text, now=datetime(2026, 1, 1, tzinfo=UTC)) is None:
            inner.wrong(name, "must be RFC 3339, Unix seconds, now, or a duration before now")
    inner.refuse_rest()
    fields.errors.extend(inner.errors)


def _is_secret(value: object) -> bool:
    return (isinstance(value, str) and bool(value)) or is_reference(value)


def _reading_of(answer: Answer) -> Reading:
    """Fails: `ProviderUnavailable` where Prometheus does not say success."""
    told = read_json(answer)
    if told.get("status") != "success" or not isinstance(told.get("data"), Mapping):
        raise ProviderUnavailable(f"Prometheus did not say success: {words_of(told) or 'and not why'}.")
    results = _series(told["data"])
    value = results[0]["value"] if results else None
    why = "" if value is not None else "The first series is no number (NaN or infinite)." if results else _NO_SERIES
    result = {
        "ok": True,
        "value": value,
        "results": results,
        "error": None,
        "errorType": None,
        "statusCode": answer.status,
        "body": answer.text,
        "json": told,
        "duration": answer.duration_ms,
    }
    return Reading(result, why)


def _series(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every series of a vector, a matrix or a scalar, its numbers read."""
    found = data.get("result")
    if data.get("resultType") in {"scalar", "string"}:
        return [{"metric": {}, "value": _number(found)}]
    series: list[dict[str, Any]] = []
    for one in found[:SERIES_MAX] if isinstance(found, list) else ():
        if not isinstance(one, Mapping):
            continue
        labels = one.get("metric") if isinstance(one.get("metric"), Mapping) else {}
        if isinstance(points := one.get("values"), list):
            numbers = [_number(point) for point in points]
            series.append({"metric": labels, "value": numbers[-1] if numbers else None, "values": numbers})
        else:
            series.append({"metric": labels, "value": _number(one.get("value"))})
    return series


def _number(point: object) -> float | None:
    """The number of `[time, "text"]`; None for NaN, infinities and what is no number."""
    try:
        value = float(point[1])  # type: ignore[index]
    except (TypeError, ValueError, IndexError, KeyError):
        return None
    return value if math.isfinite(value) else None

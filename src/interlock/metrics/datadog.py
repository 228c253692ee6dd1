"""Datadog: ask metric queries, and perhaps a formula over them.

```yaml
rules:
  - verification:
      metrics:
        - name: errors
          intervalSeconds: 60
          count: 5
          successCondition: result.ok && result.value < 0.01
          provider:
            type: datadog
            site: datadoghq.eu
            apiKey: ...
            appKey: ...
            queries:
              errors: sum:http.errors{service:{{ deployment.name }}}.as_count()
              calls: sum:http.calls{service:{{ deployment.name }}}.as_count()
            formula: errors / calls
```

| key | default | meaning |
|---|---|---|
| `queries` | required | name and metric query; or `template` and `with`: [ready-made](README.md#ready-made) |
| `apiKey`, `appKey` | required | the keys of Datadog that may read metrics |
| `site` | `datadoghq.com` | your site of Datadog, or the whole address of a gateway before it |
| `intervalSeconds` | 300 | how far back the queries look, 1 to 3600 |
| `aggregator` | `last` | makes each query one number: avg, min, max, sum, last, percentile, mean, l2norm or area |
| `formula` | none | over the queries, by their names |

All texts may be templates.

**`result`**

| field | type | |
|---|---|---|
| `ok` | bool | true: what is no answer is an error of the measurement |
| `value` | any | the formula's number, else that of the first query; null where there are no points |
| `queries` | map | each query's number by name, null where there are no points |
| `statusCode` | int | |
| `body` | string | |
| `json` | any | the body read as JSON |
| `duration` | int | milliseconds |

Source: Datadog API, v2, "Query scalar data across multiple products"; contract.json, `DatadogMetricProvider`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

import orjson

from interlock.judge.conditions import ResultFields
from interlock.metrics.asking import is_number, read_json
from interlock.metrics.filling import holds_template
from interlock.metrics.reading import NotBefore, Reading
from interlock.model.errors import ProviderUnavailable, Unavailable
from interlock.model.wire import Fields
from interlock.outside.http import Answer, Http

AGGREGATORS = ("avg", "min", "max", "sum", "last", "percentile", "mean", "l2norm", "area")
LOOKBACK_S = 300
LOOKBACK_MAX_S = 3600
QUERIES_MAX = 20

_SITE = re.compile(r"[a-z0-9.-]+\.[a-z]{2,}\Z")


class DatadogMetric:
    """One question with all queries.

    Takes: `http` is the process's client, with its guard and limits.
    """

    kind: ClassVar[str] = "datadog"
    result_fields: ClassVar[ResultFields] = {
        "ok": "bool",
        "value": "dyn",
        "queries": "map(string, dyn)",
        "statusCode": "int",
        "body": "string",
        "json": "dyn",
        "duration": "int",
    }

    def __init__(self, http: Http) -> None:
        self._http = http

    def check_config(self, config: Mapping[str, object], path: str) -> None:
        """Refuse unknown keys and wrong values."""
        fields = Fields(config, path)
        fields.text("type")
        for key in ("apiKey", "appKey"):
            if fields.anything(key) in (None, ""):
                fields.wrong(key, "is required")
        site = fields.text("site", default="datadoghq.com")
        if holds_template(site):
            pass
        elif not _SITE.match(site) and not site.startswith(("https://", "http://")):
            fields.wrong("site", "must be a site of Datadog, like datadoghq.eu")
        elif "://" in site and (wrong := self._http.check_url(site)):
            fields.wrong("site", wrong)
        fields.choice("aggregator", allowed=AGGREGATORS, default="last")
        fields.text("formula")
        fields.integer("intervalSeconds", default=LOOKBACK_S, minimum=1, maximum=LOOKBACK_MAX_S)
        queries = fields.mapping("queries")
        if not 0 < len(queries) <= QUERIES_MAX:
            fields.wrong("queries", f"must hold 1 to {QUERIES_MAX} queries by name")
        for name, query in queries.items():
            if not isinstance(query, str) or not query:
                fields.wrong(f"queries.{name}", "must be a text")
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
        _ = context, due_at
        queries = config.get("queries")
        named = {str(name): str(query) for name, query in (queries if isinstance(queries, Mapping) else {}).items()}
        site = str(config.get("site") or "datadoghq.com")
        address = site.rstrip("/") if "://" in site else f"https://api.{site}"
        formula = str(config.get("formula") or "")
        try:
            answer = await self._http.send(
                "POST",
                f"{address}/api/v2/query/scalar",
                headers={
                    "Content-Type": "application/json",
                    "DD-API-KEY": str(config.get("apiKey", "")),
                    "DD-APPLICATION-KEY": str(config.get("appKey", "")),
                },
                body=orjson.dumps(_question(config, named, formula=formula, now=now)),
                timeout_s=timeout_s,
            )
        except Unavailable as silent:
            raise ProviderUnavailable(silent.message) from silent
        result = _result_of(answer, list(named), formula=formula)
        return Reading(result, "" if result["value"] is not None else "There are no points.")


def _question(config: Mapping[str, object], named: Mapping[str, str], *, formula: str, now: datetime) -> dict[str, Any]:
    lookback = config.get("intervalSeconds")
    until_ms = int(now.timestamp() * 1000)
    since_ms = until_ms - int(lookback if isinstance(lookback, int | float) else LOOKBACK_S) * 1000
    aggregator = str(config.get("aggregator") or "last")
    asked = [
        {"data_source": "metrics", "name": name, "query": query, "aggregator": aggregator}
        for name, query in named.items()
    ]
    formulas = [{"formula": name} for name in named] + ([{"formula": formula}] if formula else [])
    attributes = {"from": since_ms, "to": until_ms, "queries": asked, "formulas": formulas}
    return {"data": {"type": "scalar_request", "attributes": attributes}}


def _result_of(answer: Answer, names: Sequence[str], *, formula: str) -> Mapping[str, object]:
    parsed = read_json(answer)
    numbers = _numbers(parsed)
    by_name = {name: numbers[place] if place < len(numbers) else None for place, name in enumerate(names)}
    value = numbers[len(names)] if formula and len(numbers) > len(names) else None
    return {
        "ok": True,
        "value": value if formula else next(iter(by_name.values()), None),
        "queries": by_name,
        "statusCode": answer.status,
        "body": answer.text,
        "json": parsed,
        "duration": answer.duration_ms,
    }


def _numbers(parsed: Any) -> list[float | None]:
    """The number of each formula, in the order in which they were asked; groups are no numbers."""
    try:
        columns = parsed["data"]["attributes"]["columns"]
        told = [column["values"] for column in columns if column.get("type") != "group"]
    except (TypeError, KeyError, AttributeError):
        return []
    return [next((each for each in values if is_number(each)), None) for values in told]

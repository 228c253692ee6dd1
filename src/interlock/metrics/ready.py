"""Which questions are asked so often that nobody should have to write them? Ready-made ones, per provider.

    provider: {type: prometheus, address: …, template: error-rate, with: {selector: 'service="shop"'}}

`template` names one, `with` says what is yours about it; what they make stands in the place of the provider's own
`query`, or `queries` and `formula`. It is made when the policy is written, to be checked, and when the metric is
measured, so a text in `with` may be a template like every other.

Source: issue "Verification that acts"; the metrics that Prometheus' client libraries, cAdvisor, kube-state-metrics and
Datadog's agent and tracers name so; Google SRE workbook, "Alerting on SLOs" (errors over all requests).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from interlock.model.errors import FieldError, Invalid

TEXT_MAX = 2_000

Made = Mapping[str, object]
"""Keys of a provider's object."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A ready-made question: what it gives, what can be said in `with` (name -> default), and the keys it makes."""

    gives: str
    takes: Mapping[str, str]
    make: Callable[[Mapping[str, str]], Made]


def _matchers(*parts: str) -> str:
    """`{a="1",b="2"}` of matchers; nothing where there are none."""
    said = ",".join(part for each in parts if (part := each.strip().strip(",")))
    return f"{{{said}}}" if said else ""


_REQUESTS = {"metric": "http_requests_total", "selector": "", "errors": 'code=~"5.."', "window": "5m"}
_DURATIONS = {"metric": "http_request_duration_seconds_bucket", "selector": "", "window": "5m"}
_CONTAINERS = 'container!=""'


def _error_rate(said: Mapping[str, str]) -> Made:
    metric, selector, window = said["metric"], said["selector"], said["window"]
    bad = f"sum(rate({metric}{_matchers(selector, said['errors'])}[{window}]))"
    return {"query": f"({bad} or vector(0)) / sum(rate({metric}{_matchers(selector)}[{window}]))"}


def _latency(quantile: str) -> Ready:
    def make(said: Mapping[str, str]) -> Made:
        rate = f"rate({said['metric']}{_matchers(said['selector'])}[{said['window']}])"
        return {"query": f"histogram_quantile({quantile}, sum by (le) ({rate}))"}

    return Ready("seconds", _DURATIONS, make)


def _limits(said: Mapping[str, str], resource: str) -> str:
    """The sum of what the containers may have."""
    matchers = _matchers(said["selector"], f'resource="{resource}"')
    return f"sum(kube_pod_container_resource_limits{matchers})"


def _cpu(said: Mapping[str, str]) -> Made:
    used = f"sum(rate(container_cpu_usage_seconds_total{_matchers(said['selector'], _CONTAINERS)}[{said['window']}]))"
    return {"query": f"{used} / {_limits(said, 'cpu')}"}


def _memory(said: Mapping[str, str]) -> Made:
    used = f"sum(container_memory_working_set_bytes{_matchers(said['selector'], _CONTAINERS)})"
    return {"query": f"{used} / {_limits(said, 'memory')}"}


def _saturation(said: Mapping[str, str]) -> Made:
    selector = _matchers(said["selector"])
    return {"query": f"sum({said['used']}{selector}) / sum({said['limit']}{selector})"}


_SPANS = {"metric": "trace.http.request", "filter": "*"}


def _datadog_error_rate(said: Mapping[str, str]) -> Made:
    errors, hits = (f"sum:{said['metric']}.{kind}{{{said['filter']}}}.as_count()" for kind in ("errors", "hits"))
    return {"queries": {"errors": errors, "hits": hits}, "formula": "default_zero(errors) / hits", "aggregator": "sum"}


def _datadog_latency(percentile: str) -> Ready:
    def make(said: Mapping[str, str]) -> Made:
        query = f"{percentile}:{said['metric']}{{{said['filter']}}}"
        return {"queries": {"latency": query}, "aggregator": "avg"}

    return Ready("seconds", _SPANS, make)


def _datadog_share(used: str, limit: str, formula: str) -> Ready:
    def make(said: Mapping[str, str]) -> Made:
        asked = {name: f"sum:{metric}{{{said['filter']}}}" for name, metric in (("used", used), ("limits", limit))}
        return {"queries": asked, "formula": formula, "aggregator": "avg"}

    return Ready("part of the limit, from 0", {"filter": "*"}, make)


READY: Mapping[str, Mapping[str, Ready]] = {
    "prometheus": {
        "error-rate": Ready("part of the requests that failed, from 0 to 1", _REQUESTS, _error_rate),
        "latency-p50": _latency("0.5"),
        "latency-p95": _latency("0.95"),
        "latency-p99": _latency("0.99"),
        "cpu-saturation": Ready("part of the limit, from 0", {"selector": "", "window": "5m"}, _cpu),
        "memory-saturation": Ready("part of the limit, from 0", {"selector": ""}, _memory),
        "saturation": Ready("part of the limit, from 0", {"used": "", "limit": "", "selector": ""}, _saturation),
    },
    "datadog": {
        "error-rate": Ready("part of the requests that failed, from 0 to 1", _SPANS, _datadog_error_rate),
        "latency-p50": _datadog_latency("p50"),
        "latency-p95": _datadog_latency("p95"),
        "latency-p99": _datadog_latency("p99"),
        "cpu-saturation": _datadog_share(
            "kubernetes.cpu.usage.total", "kubernetes.cpu.limits", "used / 1000000000 / limits"
        ),
        "memory-saturation": _datadog_share("kubernetes.memory.usage", "kubernetes.memory.limits", "used / limits"),
    },
}
"""provider -> name -> question. A parameter without a default must be said."""

OPTIONAL = frozenset({"selector"})
"""Parameters that may be empty."""


@dataclass(slots=True)
class _Faults:
    path: str
    found: list[FieldError] = field(default_factory=list)

    def add(self, name: str, message: str) -> None:
        self.found.append(FieldError(f"{self.path}.{name}", message))


def with_ready_made(kind: str, config: Mapping[str, object], path: str) -> Mapping[str, object]:
    """A provider's object with what its `template` makes in the place of `template` and `with`.

    Fails: `Invalid` naming each wrong field.
    """
    if "template" not in config and "with" not in config:
        return config
    known, faults = READY.get(kind, {}), _Faults(path)
    if not known:
        for key in ("template", "with"):
            if key in config:
                faults.add(key, "is not known here")
        raise _refusal(faults)
    ready = known.get(str(config.get("template")))
    if ready is None:
        faults.add("template", f"must be one of {', '.join(known)}")
        raise _refusal(faults)
    said, given = dict(ready.takes), config.get("with", {})
    for name, text in given.items() if isinstance(given, Mapping) else ():
        if name not in ready.takes:
            faults.add(f"with.{name}", f"is not known here; {', '.join(ready.takes)}")
        elif not isinstance(text, str) or len(text) > TEXT_MAX:
            faults.add(f"with.{name}", f"must be a text of at most {TEXT_MAX} characters")
        else:
            said[name] = text
    if not isinstance(given, Mapping):
        faults.add("with", "must be an object of texts")
    for name, text in said.items():
        if not text.strip() and name not in OPTIONAL:
            faults.add(f"with.{name}", "is required")
    made = ready.make(said)
    for key in ("query", "queries", "formula"):
        if key in config:
            faults.add(key, "has no place beside template, which asks by itself")
    if faults.found:
        raise _refusal(faults)
    rest = {key: value for key, value in config.items() if key not in {"template", "with"}}
    return {**made, **rest}


def _refusal(faults: _Faults) -> Invalid:
    return Invalid("; ".join(f"{one.path}: {one.message}" for one in faults.found), fields=faults.found)


def ready_page() -> str:
    """The part of the providers' list of pages that is about these."""
    lines = [
        "## Ready-made",
        "",
        "Error rate, latency and saturation need no query of your own: `template` names the question, `with` says what",
        "is yours about it. `result.value` is the answer.",
        "",
        "```yaml",
        "successCondition: result.value < 0.01",
        "provider:",
        "  type: prometheus",
        "  address: https://prometheus.example.com",
        "  template: error-rate",
        "  with:",
        '    selector: service="{{ deployment.name }}"',
        "```",
        "",
        "Texts of `with` may be templates. `selector` are Prometheus' matchers, `filter` Datadog's tags",
        "(`service:shop,env:prod`). No traffic is no answer: an error of the measurement, and no failure.",
    ]
    for kind, known in READY.items():
        lines += ["", f"**{kind}**", "", "| template | gives | `with`, and its defaults | asks |", "|---|---|---|---|"]
        lines += [_row(name, ready) for name, ready in known.items()]
    return "\n".join(lines) + "\n"


def _row(name: str, ready: Ready) -> str:
    """A line of the table, with the question as its defaults make it."""
    example = {each: default or ("" if each in OPTIONAL else f"<{each}>") for each, default in ready.takes.items()}
    made = ready.make(example)
    queries = made.get("queries")
    asked = [*map(str, queries.values())] if isinstance(queries, Mapping) else [str(made["query"])]
    asked += [str(made["formula"])] if "formula" in made else []
    takes = ", ".join(f"`{each}` {f'`{default}`' if default else 'none'}" for each, default in ready.takes.items())
    return f"| `{name}` | {ready.gives} | {takes} | {'<br>'.join(f'`{one}`' for one in asked)} |"

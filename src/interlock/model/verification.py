"""What is measured after a job, and what can come of it?

A *metric* says what to ask a provider, how often, and what its answer means. Each answer is a *measurement*. The
measurements of a metric give its state, the states of all metrics give the verification's (`judge/machine.py`).

Four words, kept apart everywhere. *Passed* and *failed*: we looked and know. *Inconclusive*: we looked and it is
neither. *Errored*: we could not look. An error is never a failure.

```json
{"name": "error-rate", "intervalSeconds": 10, "count": 6,
 "successCondition": "result.ok && result.json.errorRate < 0.01", "successThreshold": 3,
 "failureCondition": "result.json.errorRate > 0.05", "failureThreshold": 1,
 "provider": {"type": "http", "url": "http://{{ resource.config.host }}/stats"}}
```

| key | default | meaning |
|---|---|---|
| `name` | required | what people call it |
| `provider` | required | `type` and the provider's own keys |
| `intervalSeconds` | required | from one measurement to the next, at least 0.1 (wire clients send whole seconds) |
| `count` | required | how many measurements decide |
| `successCondition` | required | CEL over `result`: this measurement passed |
| `successThreshold` | none | so many passes in a row end the metric early. Absent and 0 mean the same: never early |
| `failureCondition` | none | CEL over `result`: this measurement failed. Without it, what does not pass has failed |
| `failureThreshold` | 0 | how many failed measurements are tolerated |
| `errorsMax` | 5 | ours: how many errors in a row are tolerated before the metric is inconclusive |
| `warmUpSeconds` | 0 | ours: how long to wait before the first measurement |
| `dryRun` | false | ours: measured and shown, but decides nothing |
| `onInconclusive` | the rule's | ours: what it comes to when this metric could not tell: `hold`, `fail` or `pass` |
| `compare` | none | ours: canary against baseline (`compare.py`). Conditions and thresholds have no place beside it |
| `runs` | `withJob` | ours: or `betweenWaves`, once a wave; or `whileOpen`, as long as the rollout is open |

**Between waves and while open.** `withJob` measures the target of one job. `betweenWaves` measures a rollout each time
that one of its waves is over, and the next wave waits for it. `whileOpen` begins with a rollout's first hand-over and
goes on at its interval until the rollout is over. It never passes before that, so `successThreshold` has no place with
it, and `count` is a window: of the last `count` measurements `failureThreshold` may have failed. Where `count` is
absent it is `failureThreshold` + 1, so as many in a row. A judge that looks at everything once, at the end, has no
place with it either: there is no end to wait for.

Whether the provider's keys and the conditions are right is checked when a policy is written, by `metrics.check_metric`:
this room knows neither providers nor CEL.

Source: contract.md section c (policy, verification); reference-behaviour.md 4.11.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from interlock.model.compare import JUDGED_AT_EVERY_LOOK, KAYENTA_LOOKS_MAX, Compare, read_compare, render_compare
from interlock.model.wire import Fields

COUNT_MAX = 10_000
INTERVAL_MAX_S = 86_400.0
INTERVAL_MIN_S = 0.1
ERRORS_MAX_DEFAULT = 5
CONDITION_MAX = 4_000
THE_RULES = "theRules"
POSTED = "webhook"
"""The type of the provider that asks nobody: an outside system posts what it measured."""


class Runs(StrEnum):
    """When a metric is measured."""

    WITH_JOB = "withJob"
    BETWEEN_WAVES = "betweenWaves"
    WHILE_OPEN = "whileOpen"


class MeasurementStatus(StrEnum):
    """What one look said."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    ERRORED = "errored"


class VerificationState(StrEnum):
    """Where a metric, or a whole verification, stands. All but running are final."""

    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"

    @property
    def final(self) -> bool:
        """Nothing more is measured."""
        return self is not VerificationState.RUNNING


class OnInconclusive(StrEnum):
    """What it comes to when nothing could tell: wait for somebody who can, or take it for a failure or a pass."""

    HOLD = "hold"
    FAIL = "fail"
    PASS = "pass"  # noqa: S105 - no password


@dataclass(frozen=True, slots=True)
class Terms:
    """What the rules of a verification say of its end.

    Takes: `gates`: the move waits for it. Of a hold because nothing could tell: it is measured again after each
           `again_s`, and comes to `then` after `hold_s`; None: only a person ends it. `revokes`: measured again, a
           failure takes back that it had passed.
    """

    gates: bool = True
    again_s: float | None = None
    hold_s: float | None = None
    then: OnInconclusive = OnInconclusive.FAIL
    revokes: bool = False


class SubjectKind(StrEnum):
    """What a verification is about: one job, a wave of a rollout, or a rollout while it is open."""

    JOB = "job"
    WAVE = "wave"
    ROLLOUT = "rollout"
    TARGET = "target"
    SLO = "slo"


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric, as the policy's revision froze it. See the table above."""

    name: str
    provider: Mapping[str, object] = field(repr=False)
    interval_seconds: float
    count: int
    success_condition: str
    success_threshold: int | None = None
    failure_condition: str | None = None
    failure_threshold: int | None = None
    errors_max: int = ERRORS_MAX_DEFAULT
    warm_up_seconds: float = 0.0
    dry_run: bool = False
    compare: Compare | None = None
    runs: Runs = Runs.WITH_JOB
    on_inconclusive: OnInconclusive | None = None

    @property
    def spends_alpha(self) -> bool:
        """Whether it may wrongly stop a harmless rollout, with its part of α."""
        return self.compare is not None and self.compare.judge in JUDGED_AT_EVERY_LOOK and not self.dry_run

    @property
    def provider_kind(self) -> str:
        """The provider's `type`."""
        return str(self.provider.get("type", ""))


@dataclass(frozen=True, slots=True)
class Measurement:
    """One look at a metric.

    Takes: `message` is a sentence for people. `result` is what the provider answered, trimmed for keeping.
    """

    status: MeasurementStatus
    measured_at: datetime
    message: str | None = None
    result: Mapping[str, object] = field(default_factory=dict)


def parse_metric(body: object, *, path: str) -> MetricSpec:
    """Read one metric from the wire; the object is closed.

    Fails: `Invalid` naming every wrong field.
    """
    fields = Fields(body, path)
    spec = read_metric(fields)
    fields.done()
    return spec


def read_metric(fields: Fields) -> MetricSpec:
    """Take one metric's fields. Faults are left in `fields`."""
    runs = Runs(fields.choice("runs", allowed=tuple(Runs), default=Runs.WITH_JOB))
    compare = _parse_compare(fields)
    if runs is Runs.WHILE_OPEN:
        fields.unwanted(
            "successThreshold", "has no place with runs: whileOpen, which goes on until the rollout is over"
        )
        if compare is not None and compare.judge == "kayenta":
            fields.wrong("compare.judge", "must not be kayenta with runs: whileOpen; it judges once, at the end")
    if compare is not None:
        for name in ("successCondition", "successThreshold", "failureCondition"):
            fields.unwanted(name, "has no place beside compare, whose judge decides")
    failure_condition = fields.text("failureCondition", maximum=CONDITION_MAX)
    tolerated = fields.optional_integer("failureThreshold", maximum=COUNT_MAX)
    counted = runs is not Runs.WHILE_OPEN
    count = fields.integer("count", required=counted, default=(tolerated or 0) + 1, minimum=1, maximum=COUNT_MAX)
    if compare is not None and compare.judge == "kayenta" and count > KAYENTA_LOOKS_MAX:
        fields.wrong("count", f"must be at most {KAYENTA_LOOKS_MAX} with kayenta, which wants every point at its end")
    return MetricSpec(
        name=fields.text("name", required=True, maximum=200),
        provider=_parse_provider(fields),
        interval_seconds=fields.number(
            "intervalSeconds", default=1.0, minimum=INTERVAL_MIN_S, maximum=INTERVAL_MAX_S, required=True
        )
        or 1.0,
        count=count,
        success_condition=fields.text("successCondition", required=compare is None, maximum=CONDITION_MAX),
        success_threshold=fields.optional_integer("successThreshold", maximum=COUNT_MAX) or None,
        failure_condition=failure_condition if failure_condition.strip() else None,
        failure_threshold=tolerated,
        errors_max=fields.integer("errorsMax", default=ERRORS_MAX_DEFAULT, maximum=COUNT_MAX),
        warm_up_seconds=fields.number("warmUpSeconds", default=0.0, minimum=0.0, maximum=INTERVAL_MAX_S) or 0.0,
        dry_run=fields.boolean("dryRun", default=False),
        compare=compare,
        on_inconclusive=_parse_on_inconclusive(fields),
        runs=runs,
    )


def render_metric(spec: MetricSpec) -> dict[str, object]:
    """The wire's form. What was absent stays absent; whole seconds stay whole numbers (Go clients read integers)."""
    body: dict[str, object] = {
        "name": spec.name,
        "intervalSeconds": _number(spec.interval_seconds),
        "count": spec.count,
        **({} if spec.compare else {"successCondition": spec.success_condition}),
        "provider": dict(spec.provider),
    }
    optional: tuple[tuple[str, object, object], ...] = (
        ("successThreshold", spec.success_threshold, None),
        ("failureCondition", spec.failure_condition, None),
        ("failureThreshold", spec.failure_threshold, None),
        ("errorsMax", spec.errors_max, ERRORS_MAX_DEFAULT),
        ("warmUpSeconds", _number(spec.warm_up_seconds), 0),
        ("dryRun", spec.dry_run, False),
        ("onInconclusive", spec.on_inconclusive and spec.on_inconclusive.value, None),
        ("runs", spec.runs.value, Runs.WITH_JOB.value),
    )
    compared = {} if spec.compare is None else {"compare": render_compare(spec.compare)}
    return body | {key: value for key, value, default in optional if value != default} | compared


def _parse_on_inconclusive(fields: Fields) -> OnInconclusive | None:
    """The metric's own word; None leaves it to the rule."""
    word = fields.choice("onInconclusive", allowed=tuple(OnInconclusive), default=THE_RULES)
    return None if word == THE_RULES else OnInconclusive(word)


def _parse_provider(fields: Fields) -> Mapping[str, object]:
    """The provider's object with its `type`; its other keys are the provider's business."""
    provider = fields.mapping("provider", required=True)
    if provider and not (isinstance(provider.get("type"), str) and provider["type"]):
        fields.wrong("provider.type", "is required: which provider to ask")
    return provider


def _parse_compare(fields: Fields) -> Compare | None:
    """The comparison; None where there is none. Its faults are left in `fields`."""
    body = fields.anything("compare")
    if body is None:
        return None
    inner = Fields(body, f"{fields.path}.compare")
    compare = read_compare(inner)
    inner.refuse_rest()
    fields.errors.extend(inner.errors)
    return compare


def _number(value: float) -> int | float:
    return int(value) if value == int(value) else value

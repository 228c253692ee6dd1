"""# verification: what must hold after the job?

A job that ended well is not proof. This rule gives every job of the selected targets metrics; the move counts as done
only when they passed.

```yaml
rules:
  - verification:
      triggerOn: jobSuccess        # default; or jobCreated (its hand-over), jobStarted, jobFailure
      metrics:
        - name: error-rate
          intervalSeconds: 10
          count: 6
          successCondition: result.ok && result.json.errorRate < 0.01
          successThreshold: 3        # three in a row pass early
          failureThreshold: 1        # one failure is tolerated
          provider:
            type: http
            url: http://{{ .resource.config.host }}/stats
```

Whom a metric can ask, ready-made questions, and what becomes of one that gets no answer: the guide
`docs/guides/measuring.md`. A metric with `compare` in place of the conditions judges a canary against a baseline: the
guide `docs/guides/canaries.md`. It is left out of a rollback and of a redeploy: they bring nothing new to compare.

**A rollout as a whole**: `runs` says when a metric is measured.

```yaml
rules:
  - verification:
      metrics:
        - name: error-rate
          runs: betweenWaves       # once, when a wave is over; the next wave starts when it passed
          intervalSeconds: 60
          count: 30
          successCondition: result.value < 0.01
          provider:
            type: prometheus
            address: http://prometheus:9090
            query: error_rate{version="{{ .version.tag }}"}
        - name: saturation
          runs: whileOpen          # from the rollout's first hand-over until it ends
          intervalSeconds: 30
          count: 10                # a window: of the last 10
          failureThreshold: 2      # two may have failed
          successCondition: result.value < 0.9
          provider: {type: prometheus, address: "http://prometheus:9090", query: "max(cpu_used)"}
```

`betweenWaves` is for a [gradualRollout](gradual_rollout.md) in waves; without waves it is never measured, and after the
last wave neither. `whileOpen` passes when the rollout ends and nothing was found. Both measure the version in the
environment: their providers know `version`, `environment`, `deployment`, `rollout.id` and `wave.number`, and no
resource or job. When one fails the rollout halts at once, and every target that it moved goes back where a
[rollback](rollback.md) rule answers failed verifications. When one could not tell nothing more starts. A person who
resumes or promotes the rollout lets it go on: the wave counts as proven, and what runs while it is open begins anew.

A target whose verification runs counts as in flight. When it passes, its release becomes the target's `good` one, the
one that a rollback returns to. When it fails, the move failed: it is never retried, it counts for the rollout's
`maxFailures`, and the rollback rule may answer. `inconclusive` (we could not tell) closes the move without a rollback,
and the rollout halts as for a failure: a person, or a newer version, decides. With `triggerOn: jobFailure` it only
records what was seen.

Source: core.md sections 1 and 4; reference-behaviour.md 4.10 to 4.12.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.model.errors import Invalid
from interlock.model.verification import MetricSpec, Runs, parse_metric
from interlock.model.wire import Fields

kind = "verification"
shape = "proof"
needs = frozenset({"moves"})

REASONS = {
    "verification_failed": "Its verification failed: {message}.",
    "verification_inconclusive": "Its verification could not tell: {message}.",
}

TRIGGERS = ("jobCreated", "jobStarted", "jobSuccess", "jobFailure")
METRICS_MAX = 20


@dataclass(frozen=True, slots=True)
class Params:
    """When to begin, and which metrics."""

    trigger: str
    metrics: tuple[MetricSpec, ...]

    @property
    def of_job(self) -> tuple[MetricSpec, ...]:
        """Those that are measured with each job."""
        return tuple(one for one in self.metrics if one.runs is Runs.WITH_JOB)


NOTHING_NEW = frozenset({"rollback", "redeploy"})
"""Moves to what is the baseline already: a comparison would hold it against itself, and could never tell."""


def metrics_of(params: Params, move_kind: str) -> tuple[MetricSpec, ...]:
    """The metrics that are measured after a move of this kind."""
    return tuple(spec for spec in params.of_job if spec.compare is None or move_kind not in NOTHING_NEW)


def parse(fields: Fields) -> Params:
    """Read the rule's object. Faults are left in `fields`."""
    trigger = fields.choice("triggerOn", allowed=TRIGGERS, default="jobSuccess")
    metrics = []
    items = fields.items("metrics", required=True, maximum=METRICS_MAX)
    for number, item in enumerate(items):
        try:
            metrics.append(parse_metric(item, path=f"{fields.path}.metrics[{number}]"))
        except Invalid as error:
            fields.errors.extend(error.fields)
    if not items:
        fields.wrong("metrics", "must name at least one metric")
    names = [metric.name for metric in metrics]
    if len(set(names)) != len(names):
        fields.wrong("metrics", "must have different names")
    return Params(trigger=trigger, metrics=tuple(metrics))

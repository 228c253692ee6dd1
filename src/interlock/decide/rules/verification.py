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
[rollback](rollback.md) rule answers failed verifications. When one could not tell nothing more starts: see below. A
person who resumes or promotes the rollout lets it go on: the wave counts as proven, and what runs while it is open
begins anew.

**Inconclusive** (nothing could tell: too many errors in a row, no clear answer) is no failure and no pass. By default
it holds: the target stays where it is, its release is not promoted, the next targets do not start and nobody is rolled
back, until one of these:

- it is measured again: because a person asks (`interlock verification again`), or by itself (`measureAgainSeconds`);
- a person who may steer there accepts it or fails it, with a reason (`interlock verification accept`, `fail`);
- `inconclusiveAfterSeconds` have passed: it comes to `inconclusiveThen`.

An order of a person for the target (a redeploy, a force, a rollback) goes before and ends it. A newer version waits.

```yaml
rules:
  - verification:
      onInconclusive: hold           # default; fail: as a failure; pass: as a pass. A metric may say its own
      measureAgainSeconds: 300       # while it holds, measure again by itself; absent: only a person asks for that
      inconclusiveAfterSeconds: 7200 # a hold ends after so long; absent: it waits for a person
      inconclusiveThen: fail         # default; or pass
      revokes: true                  # measured again, a failure takes back that it had passed; default false
      metrics:                       # as above
        - {name: up, intervalSeconds: 60, count: 5, successCondition: result.ok, provider: {type: http, url: "https://x"}}
```

Where several rules begin together, the shortest times hold, and `fail` goes before `pass`.

**Measured again after it had passed** (`interlock verification again`, while the target still runs the release, or for
a wave while its rollout lasts) it stays passed until it fails. With `revokes` a failure then takes the pass back: the
release is `good` no more, the move failed, and halts and rollbacks follow as after any failed verification. Without it
the ledger tells, and nothing moves.

A target whose verification runs counts as in flight. When it passes, its release becomes the target's `good` one, the
one that a rollback returns to. When it fails, the move failed: it is never retried, it counts for the rollout's
`maxFailures`, and the rollback rule may answer. With `triggerOn: jobFailure` it only records what was seen, and
nothing waits for it.

Source: core.md sections 1 and 4; reference-behaviour.md 4.10 to 4.12.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from interlock.model.errors import Invalid
from interlock.model.verification import INTERVAL_MAX_S, MetricSpec, OnInconclusive, Runs, Terms, parse_metric
from interlock.model.wire import Fields

kind = "verification"
shape = "proof"
needs = frozenset({"moves"})

REASONS = {
    "verification_failed": "Its verification failed: {message}.",
    "verification_inconclusive": "Its verification could not tell: {message}.",
    "verification_unclear": "Nothing could tell whether {version} works here: {message}. It waits to be measured "
    "again, accepted or failed: interlock verification again, accept or fail {verification}.",
}

TRIGGERS = ("jobCreated", "jobStarted", "jobSuccess", "jobFailure")
METRICS_MAX = 20
HOLD_MAX_S = 30 * 86_400.0
THEN = (OnInconclusive.FAIL, OnInconclusive.PASS)


@dataclass(frozen=True, slots=True)
class Params:
    """When to begin, which metrics (each knows what it comes to where it could not tell), and what is said of the end:
    `Terms` says what each means.
    """

    trigger: str
    metrics: tuple[MetricSpec, ...]
    again_s: float | None = None
    hold_s: float | None = None
    then: OnInconclusive = OnInconclusive.FAIL
    revokes: bool = False

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
    word = OnInconclusive(fields.choice("onInconclusive", allowed=tuple(OnInconclusive), default=OnInconclusive.HOLD))
    return Params(
        trigger=trigger,
        metrics=tuple(replace(one, on_inconclusive=one.on_inconclusive or word) for one in metrics),
        again_s=fields.number("measureAgainSeconds", default=None, minimum=1, maximum=INTERVAL_MAX_S),
        hold_s=fields.number("inconclusiveAfterSeconds", default=None, minimum=1, maximum=HOLD_MAX_S),
        then=OnInconclusive(fields.choice("inconclusiveThen", allowed=THEN, default=OnInconclusive.FAIL)),
        revokes=fields.boolean("revokes", default=False),
    )


def joint_terms(rules: Sequence[Params], *, gates: bool) -> Terms:
    """What several rules that begin together say of their end: the shortest times, and fail before pass."""
    timed = [one for one in rules if one.hold_s is not None]
    passes = bool(timed) and all(one.then is OnInconclusive.PASS for one in timed)
    return Terms(
        gates=gates,
        again_s=min((one.again_s for one in rules if one.again_s is not None), default=None),
        hold_s=min((one.hold_s for one in timed if one.hold_s is not None), default=None),
        then=OnInconclusive.PASS if passes else OnInconclusive.FAIL,
        revokes=any(one.revokes for one in rules),
    )

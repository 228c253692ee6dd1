"""# retry: try the same again

A job that failed is followed by another one for the same move, at most so many times.

```yaml
rules:
  - retry:
      maxRetries: 2
      retryOnStatuses: [failure, invalidIntegration, invalidJobAgent]   # default
      backoffSeconds: 30
      backoffStrategy: exponential    # 30, 60, 120 …; linear (default): always 30
      maxBackoffSeconds: 300
```

A successful job never makes another. Cancelled, skipped and withdrawn jobs do not count. A failed verification is never
retried. A retry keeps its place and its slot; it asks for version status, freeze, window and concurrency again, not for
approval. Of several rules the strictest wins: the fewest retries, the longest wait.

**Holds** with the instant at which the back-off ends. **Wakes**: that instant.

Source: core.md section 4; reference-behaviour.md 4.8 and appendix E.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from interlock.model.job import JobStatus
from interlock.model.wire import Fields

kind = "retry"
shape = "reaction"
needs = frozenset({"moves"})

REASONS = {
    "retry_backoff": "Attempt {attempt} failed; it is tried again at {due_at}.",
}

RETRYABLE = ("failure", "invalidIntegration", "invalidJobAgent", "externalRunNotFound")
DEFAULT_STATUSES = ("failure", "invalidIntegration", "invalidJobAgent")
RETRIES_MAX = 100


@dataclass(frozen=True, slots=True)
class Params:
    """`statuses` are those of the job that count; `backoff_max_s` is None for no cap."""

    retries: int
    statuses: frozenset[JobStatus]
    backoff_s: float
    exponential: bool
    backoff_max_s: int | None


def parse(fields: Fields) -> Params:
    """Read the rule's object. Faults are left in `fields`."""
    statuses = fields.words("retryOnStatuses", allowed=RETRYABLE, default=DEFAULT_STATUSES)
    return Params(
        retries=fields.integer("maxRetries", required=True, maximum=RETRIES_MAX),
        statuses=frozenset(JobStatus(status) for status in statuses if status in RETRYABLE),
        backoff_s=fields.number("backoffSeconds", default=0.0, minimum=0, maximum=604_800) or 0.0,
        exponential=fields.choice("backoffStrategy", allowed=("linear", "exponential"), default="linear")
        == "exponential",
        backoff_max_s=fields.optional_integer("maxBackoffSeconds", maximum=604_800),
    )


def backoff(params: Params, failures: int) -> timedelta:
    """How long to wait after failure number `failures` (from 1)."""
    seconds = params.backoff_s * (2 ** min(failures - 1, 40) if params.exponential else 1)
    return timedelta(seconds=min(seconds, params.backoff_max_s if params.backoff_max_s is not None else 604_800))


def wait_before_retry(rules: Sequence[Params], statuses: Sequence[JobStatus]) -> timedelta | None:
    """How long after the last job's end the next one may start; None when none is left. The strictest rule wins.

    Takes: the statuses of the move's jobs, oldest first.
    """
    waits = []
    for params in rules:
        failures = sum(1 for status in statuses if status in params.statuses)
        if statuses[-1] not in params.statuses or failures > params.retries:
            return None
        waits.append(backoff(params, failures))
    return max(waits, default=None)

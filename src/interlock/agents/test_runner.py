"""Test runner: an agent that does nothing for a while and then ends as it was told.

For trying out policies, and for teaching. Nothing runs anywhere.

```yaml
type: JobAgent
name: rehearsal
agentType: test-runner
config:
  delaySeconds: 5
  status: completed
```

{keys}

**Statuses**: inProgress, then successful or failure.

**Plan**: the version, variables and config that a run would get, as indented JSON, against those of what runs now.

**Class**: keyed. The end of a run is computed from the instant the job started and the delay, so it is the same after
any restart, and starting again changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import ClassVar

from interlock.agents.keys import Flag, Key, Number, Text, check_keys
from interlock.clock import utc_now
from interlock.model.errors import Invalid, Rejected
from interlock.model.job import AgentClass, AgentJob, Authorization, JobStatus, Observation, Planned

_DELAY_DEFAULT_S = 5.0
_DELAY_MAX_S = 86_400.0
_ENDS: Mapping[str, JobStatus] = {
    "completed": JobStatus.SUCCESSFUL,
    "successful": JobStatus.SUCCESSFUL,
    "failure": JobStatus.FAILURE,
}
KEYS = (
    Key("delaySeconds", Number(0, _DELAY_MAX_S), "how long the run takes, from 0 to 86400", default=5),
    Key(
        "status",
        Text(choices=tuple(_ENDS)),
        "how it ends: `completed` or `successful`, or `failure`",
        default="completed",
    ),
    Key("message", Text(), "what the job says when it ends"),
    Key("hasChanges", Flag(), "what a plan says, whatever the comparison says", shown_default="by comparison"),
)


class TestRunnerAgent:
    """A run that is only a formula of its start."""

    __test__ = False  # not a test case, in spite of its name

    kind: ClassVar[str] = "test-runner"
    klass: ClassVar[AgentClass] = AgentClass.KEYED
    capabilities: ClassVar[frozenset[str]] = frozenset({"plan"})
    observe_every_s: ClassVar[float | None] = 0.5
    keys: ClassVar[tuple[Key, ...]] = KEYS
    open_ended: ClassVar[bool] = False

    def __init__(self, *, now: Callable[[], datetime] = utc_now) -> None:
        self._now = now

    def check_config(self, config: Mapping[str, object]) -> None:
        """Refuse unknown keys, a delay out of range, another status, a message that is no text."""
        check_keys(config, self.keys)

    async def start(self, job: AgentJob, authorization: Authorization) -> Observation:
        """In progress from now on."""
        _ = authorization
        try:
            check_keys(job.config, self.keys, open_ended=True)
        except Invalid as refused:
            raise Rejected(refused.message) from refused
        return Observation(JobStatus.IN_PROGRESS, external_id=f"{job.id}/{job.attempt}")

    async def find(self, job: AgentJob) -> Observation | None:
        """A run exists from the instant that Interlock recorded as its start."""
        return None if job.started_at is None else self._seen(job, job.started_at)

    async def observe(self, job: AgentJob) -> Observation | None:
        """In progress until start + delay, then the configured end."""
        return await self.find(job)

    async def cancel(self, job: AgentJob) -> Observation | None:
        """Ends at once: there is nothing to wait for. A run that is over stays as it ended."""
        seen = await self.find(job)
        if seen is not None and seen.status is not None and seen.status.terminal:
            return seen
        return Observation(JobStatus.CANCELLED, message="Cancelled.", finished_at=self._now())

    async def plan(self, job: AgentJob, current: Mapping[str, object] | None) -> Planned:
        """What a run would get, against what the last one got."""
        proposed = _rendered(job.context)
        before = "" if current is None else _rendered(current)
        told = job.config.get("hasChanges")
        return Planned(before, proposed, told if isinstance(told, bool) else before != proposed)

    def links(self, job: AgentJob, observation: Observation) -> Mapping[str, str]:
        """None: there is nothing to look at."""
        _ = job, observation
        return {}

    def _seen(self, job: AgentJob, started_at: datetime) -> Observation:
        delay_s = _delay_s(job.config)
        ends_at = started_at + timedelta(seconds=_DELAY_DEFAULT_S if delay_s is None else delay_s)
        external_id = f"{job.id}/{job.attempt}"
        if self._now() < ends_at:
            return Observation(JobStatus.IN_PROGRESS, external_id=external_id)
        status = _ENDS.get(str(job.config.get("status", "completed")), JobStatus.SUCCESSFUL)
        message = str(job.config["message"]) if job.config.get("message") else None
        return Observation(status, message=message, external_id=external_id, finished_at=ends_at)


def _rendered(context: Mapping[str, object]) -> str:
    """What of a dispatch context makes a difference to a run."""
    version = context.get("version")
    named = {key: version.get(key) for key in ("tag", "config")} if isinstance(version, Mapping) else {}
    told = {"version": named, "variables": context.get("variables"), "config": context.get("jobAgentConfig")}
    return json.dumps(told, indent=2, sort_keys=True, ensure_ascii=False)


def _delay_s(config: Mapping[str, object]) -> float | None:
    """The configured delay, its default where none is given, None where it is wrong."""
    delay = config.get("delaySeconds", _DELAY_DEFAULT_S)
    if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay <= _DELAY_MAX_S:
        return None
    return float(delay)

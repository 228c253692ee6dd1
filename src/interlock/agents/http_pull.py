"""HTTP pull: the agent is a program of yours that asks Interlock for work.

For places that Interlock cannot reach, and for tools that have no agent here. Your program needs its agent's token
(`interlock agent-token issue`), or an API key that carries `job:report`, and three calls:

    GET  /api/v1/workspaces/W/job-agents/A/jobs?status=queued   the jobs that wait, oldest first
    POST /api/v1/workspaces/W/job-agents/A/jobs/J/claim         mine: the job with its context; 409: another was first
    PUT  /api/v1/workspaces/W/jobs/J/status                     {"status": "inProgress" | "successful" | "failure", …}

```yaml
type: JobAgent
name: datacenter-west
agentType: http-pull
config:
  playbook: deploy.yml      # yours: whatever your program wants to read
```

{keys}

**Statuses**: queued until claimed, inProgress from the claim, then what your program reports.

**Class**: asked. The claim is one statement that succeeds once, and only while the decision behind the job still holds:
a freeze that was written before the claim answers it with 409. A job that nobody claimed may be withdrawn (skipped).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from interlock.agents.keys import Key
from interlock.model.errors import FieldError, Invalid
from interlock.model.job import AgentClass, AgentJob, Authorization, JobStatus, Observation
from interlock.model.lease import wrong_lease_keys

_KEYS_MAX = 200


class HttpPullAgent:
    """Puts a job where its agent finds it. Claim and reports are the API's."""

    kind: ClassVar[str] = "http-pull"
    klass: ClassVar[AgentClass] = AgentClass.ASKED
    capabilities: ClassVar[frozenset[str]] = frozenset()
    observe_every_s: ClassVar[float | None] = None
    keys: ClassVar[tuple[Key, ...]] = ()
    open_ended: ClassVar[bool] = True

    def check_config(self, config: Mapping[str, object]) -> None:
        """Any config is the puller's own, but for the keys of its leases; its size has a limit."""
        wrong = wrong_lease_keys(config)
        if len(config) > _KEYS_MAX:
            wrong.append(FieldError("config", f"May have {_KEYS_MAX} keys at most."))
        if wrong:
            raise Invalid(f"{wrong[0].path}: {wrong[0].message}", fields=wrong)

    async def start(self, job: AgentJob, authorization: Authorization) -> Observation:
        """Queued: it waits for somebody to claim it."""
        _ = job, authorization
        return Observation(JobStatus.QUEUED, message="Waits to be claimed.")

    async def find(self, job: AgentJob) -> Observation | None:
        """There is no outside to ask; None lets the job be queued, which is idempotent."""
        _ = job
        return None

    async def observe(self, job: AgentJob) -> Observation | None:
        """The agent reports by itself: nothing is known beyond the job's own row."""
        _ = job
        return Observation(None)

    async def cancel(self, job: AgentJob) -> Observation | None:
        """Nobody is called. The puller sees the cancel when it next asks; a job that nobody claimed ends at once.

        The store knows whether it was claimed, so None stands for "ask the job's row".
        """
        _ = job
        return None

    def links(self, job: AgentJob, observation: Observation) -> Mapping[str, str]:
        """None of our own; the puller may set links on the job."""
        _ = job, observation
        return {}

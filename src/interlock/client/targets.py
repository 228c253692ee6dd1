"""What runs where, and who brings it there? Release targets, releases and jobs.

Source: contract.md section d, "Release targets", "Releases", "Jobs".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from interlock.client.calls import PAGE_MAX, Wire
from interlock.client.reach import Reach

if TYPE_CHECKING:
    from interlock.client.shapes import Heartbeat, Job, JobWithRelease, PostedResult, Release, Target


WAIT_SPARE_S = 10.0
"""How much longer than it was asked to wait an answer may take."""


class Targets(Reach):
    """Release targets and jobs."""

    def list_targets(
        self,
        *,
        deployment_id: str | None = None,
        environment_id: str | None = None,
        resource_id: str | None = None,
        items_max: int | None = None,
    ) -> Iterator[Target]:
        """Release targets with what each runs and goes for."""
        query = {"deploymentId": deployment_id, "environmentId": environment_id, "resourceId": resource_id}
        return self._list("release-targets", query=query, items_max=items_max)

    def get_target_state(self, target_key: str) -> Wire:
        """What a target goes for and runs, and its latest job: `{desiredRelease?, currentRelease?, latestJob?}`."""
        return cast("Wire", self._get("release-targets", target_key, "state"))

    def list_target_states(self, deployment_id: str, environment_id: str) -> Wire:
        """One page of the states of a deployment's targets in an environment: `{items, total, limit, offset}`."""
        body = {"deploymentId": deployment_id, "environmentId": environment_id}
        query = {"limit": PAGE_MAX}
        return cast("Wire", self._write("POST", "release-targets", "state", body=body, query=query))

    def get_verification_series(self, verification_id: str) -> Wire:
        """What a verification measured over time, and its verdict in a sentence: `{id, state, says, metrics, ...}`."""
        return cast("Wire", self._get("verifications", verification_id, "series"))

    def get_desired_release(self, target_key: str) -> Wire:
        """What a target goes for: `{desiredRelease?}`."""
        return cast("Wire", self._get("release-targets", target_key, "desired-release"))

    def list_eligible_versions(
        self, target_key: str, *, cel: str | None = None, excluded_rule_ids: Sequence[str] = ()
    ) -> Wire:
        """One page of the versions that every rule would let go to a target: `{items, total, limit, offset}`."""
        body: Wire = {"excludeRuleIds": list(excluded_rule_ids), **({"filter": cel} if cel else {})}
        return cast("Wire", self._write("POST", "release-targets", target_key, "eligible-versions", body=body))

    def preview_targets(self, resource: Wire) -> Wire:
        """Where a resource like this would become a release target: `{items, total, limit, offset}`."""
        return cast("Wire", self._write("POST", "release-targets", "resource-preview", body=resource))

    def get_target_variables(self, target_key: str) -> Wire:
        """What a target's variables are resolved to now, and where each comes from."""
        return cast("Wire", self._get("release-targets", target_key, "variables"))

    def inspect_target(self, target_key: str) -> Wire:
        """What is on a target now, asked of its agent, and where that differs from what was applied:
        `{at, jobId, externalId?, objects, artifacts, drift}`.
        """
        return cast("Wire", self._write("POST", "release-targets", target_key, "inspection"))

    def list_target_jobs(self, target_key: str, *, items_max: int | None = None) -> Iterator[JobWithRelease]:
        """A target's jobs, newest first."""
        return self._list("release-targets", target_key, "jobs", items_max=items_max)

    def get_release(self, release_id: str) -> Release:
        """Everything that a target runs, frozen."""
        return cast("Release", self._get("releases", release_id))

    def list_jobs(
        self,
        *,
        deployment_id: str | None = None,
        environment_id: str | None = None,
        resource_id: str | None = None,
        system_id: str | None = None,
        status: str | Sequence[str] | None = None,
        agent_id: str | None = None,
        agent_types: Sequence[str] = (),
        version: str | None = None,
        kind: str | None = None,
        since: str | None = None,
        text: str | None = None,
        items_max: int | None = None,
    ) -> Iterator[JobWithRelease]:
        """The jobs of all agents, newest first: items `{job, release, deployment, environment, resource, jobAgent}`.

        Takes: `status` is one or several, or a word for several: open, running, waiting, failed, over. `since` is an
               instant; `text` is looked for in names, tags, ids and messages.
        """
        query = {
            "deploymentId": deployment_id,
            "environmentId": environment_id,
            "resourceId": resource_id,
            "systemId": system_id,
            "status": [status] if isinstance(status, str) else list(status or ()),
            "jobAgentId": agent_id,
            "agentType": list(agent_types),
            "version": version,
            "kind": kind,
            "since": since,
            "q": text,
        }
        return self._list("jobs", query=query, items_max=items_max)

    def get_job(self, job_id: str) -> Job:
        """One job with its dispatch context."""
        return cast("Job", self._get("jobs", job_id))

    def get_job_with_release(self, job_id: str) -> JobWithRelease:
        """One job with its release."""
        return cast("JobWithRelease", self._get("jobs", job_id, "with-release"))

    def cancel_job(self, job_id: str, *, reason: str) -> Wire:
        """Ask for a job's end: asked for, not assumed."""
        return cast("Wire", self._write("POST", "jobs", job_id, "cancel", body={"reason": reason}))

    def post_result(self, job_id: str, metric: str, *, result_id: str, result: Any) -> Wire:
        """Post what was measured of a job, for a metric with the provider `webhook`. The same id again counts once."""
        body = {"id": result_id, "result": result}
        return cast("Wire", self._write("POST", "jobs", job_id, "metrics", metric, "results", body=body))

    def list_results(self, job_id: str, *, items_max: int | None = None) -> Iterator[PostedResult]:
        """What was posted of a job, oldest first, and whether it was measured by."""
        return self._list("jobs", job_id, "results", items_max=items_max)

    def post_verification_result(self, verification_id: str, metric: str, *, result_id: str, result: Any) -> Wire:
        """The same for whatever a verification is about."""
        target, body = ("verifications", verification_id, "metrics", metric), {"id": result_id, "result": result}
        return cast("Wire", self._write("POST", *target, "results", body=body))

    def list_agent_jobs(
        self, agent_id: str, *, status: str | None = None, items_max: int | None = None
    ) -> Iterator[JobWithRelease]:
        """The jobs of a pull agent, oldest first. `me` is the agent whose token this client has."""
        return self._list("job-agents", agent_id, "jobs", query={"status": status}, items_max=items_max)

    def wait_for_jobs(self, agent_id: str, *, wait_s: float, items_max: int) -> list[Job]:
        """What waits to be claimed, as soon as something does: claim the first. Empty: nothing came in that time."""
        query = {"status": "queued", "limit": items_max, "waitSeconds": wait_s}
        target = self._in("job-agents", agent_id, "jobs")
        page = self.calls.request("GET", target, query=query, timeout_s=wait_s + WAIT_SPARE_S)
        return cast("list[Job]", page["items"])

    def claim_job(
        self,
        agent_id: str,
        job_id: str,
        *,
        lease_s: float | None = None,
        holder: str | None = None,
        key: str | None = None,
    ) -> Job:
        """Take a job, as its agent. Fails: `Conflict` when somebody else has it.

        Takes: `lease_s` is for how long, from now and from each heartbeat; `holder` who takes it. The same claim under
               the same `key` gets the same answer again.
        """
        said = {"leaseSeconds": lease_s, "holder": holder}
        body = {name: value for name, value in said.items() if value is not None}
        headers = {"Idempotency-Key": key} if key is not None else None
        return cast(
            "Job", self._write("POST", "job-agents", agent_id, "jobs", job_id, "claim", body=body, headers=headers)
        )

    def heartbeat_job(self, job_id: str, *, attempt: int, timeout_s: float | None = None, **more: object) -> Heartbeat:
        """Say that the attempt lives. Fails: `Conflict` when it does not count any more: stop working on it."""
        target, body = self._in("jobs", job_id, "heartbeat"), {"attempt": attempt, **more}
        headers = {"Idempotency-Key": ""}
        answer = self.calls.request("POST", target, body=body, headers=headers, timeout_s=timeout_s)
        return cast("Heartbeat", answer)

    def report_job(self, job_id: str, *, status: str, **more: object) -> Wire:
        """Say where a job is, as its agent: its `status`, and perhaps `message`, `externalId`, `links`, `output`."""
        return cast("Wire", self._write("PUT", "jobs", job_id, "status", body={"status": status, **more}))

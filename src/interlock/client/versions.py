"""What can be deployed? Versions as CI makes them, what they would change, and who must say yes.

Source: contract.md section d, "Deployment versions", "Deployment plans"; approval requests are ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from interlock.client.calls import Wire
from interlock.client.reach import Reach

if TYPE_CHECKING:
    from interlock.client.shapes import ApprovalRequest, Plan, Version


class Versions(Reach):
    """Versions, plans and approvals."""

    def list_versions(
        self, deployment_id: str, *, cel: str | None = None, items_max: int | None = None
    ) -> Iterator[Version]:
        """Versions of a deployment (its id or name) that the selector `cel` matches, newest first."""
        return self._list("deployments", deployment_id, "versions", query={"cel": cel}, items_max=items_max)

    def get_version(self, version_id: str) -> Version:
        """One version, with what it needs of others."""
        return cast("Version", self._get("deployment-versions", version_id))

    def upsert_version(
        self,
        deployment_id: str,
        *,
        tag: str,
        name: str = "",
        status: str = "ready",
        metadata: Mapping[str, str] | None = None,
        config: Wire | None = None,
        job_agent_config: Wire | None = None,
        created_at: str | None = None,
        needs: Mapping[str, str] | None = None,
    ) -> Version:
        """Create a version, or bring the one with this tag up to date.

        Takes: `deployment_id` may be a name; `needs` is deployment id -> which version of it must run beside this one
               (CEL); None changes nothing.
        """
        body: Wire = {
            "tag": tag,
            "name": name,
            "status": status,
            "metadata": dict(metadata or {}),
            "config": config or {},
        }
        if job_agent_config is not None:
            body["jobAgentConfig"] = job_agent_config
        if created_at is not None:
            body["createdAt"] = created_at
        if needs is not None:
            body["dependencies"] = {key: {"versionSelector": text} for key, text in needs.items()}
        return cast("Version", self._write("POST", "deployments", deployment_id, "versions", body=body))

    def change_version(self, version_id: str, body: Wire) -> Version:
        """Change what is sent of a version, as in `{"status": "rejected", "rollback": true}`."""
        return cast("Version", self._write("PATCH", "deployment-versions", version_id, body=body))

    def list_version_needs(self, version_id: str) -> list[Wire]:
        """What a version needs of other deployments."""
        return cast("list[Wire]", self._get("deployment-versions", version_id, "dependencies"))

    def put_version_need(self, version_id: str, deployment_id: str, *, selector: str) -> Wire:
        """Say which version of another deployment (CEL) must run beside this one."""
        body = {"versionSelector": selector}
        return cast(
            "Wire", self._write("PUT", "deployment-versions", version_id, "dependencies", deployment_id, body=body)
        )

    def delete_version_need(self, version_id: str, deployment_id: str) -> Wire:
        """Take back that a version needs another deployment."""
        return cast("Wire", self._delete("deployment-versions", version_id, "dependencies", deployment_id))

    def approve_version(
        self, version_id: str, environment_ids: Sequence[str], *, status: str, reason: str = ""
    ) -> Wire:
        """Say yes or no to a version in environments, whatever is shown; `answer_request` says it to what was shown."""
        body = {"environmentIds": list(environment_ids), "status": status, "reason": reason}
        return cast("Wire", self._write("PUT", "deployment-versions", version_id, "user-approval-records", body=body))

    def plan_version(
        self,
        deployment_id: str,
        *,
        tag: str,
        config: Wire | None = None,
        job_agent_config: Wire | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Plan:
        """Ask what a version would change, before it exists. Gives the plan, still empty."""
        version: Wire = {"tag": tag, "config": config or {}, "metadata": dict(metadata or {})}
        if job_agent_config is not None:
            version["jobAgentConfig"] = job_agent_config
        return cast("Plan", self._write("POST", "deployments", deployment_id, "plan", body={"version": version}))

    def get_plan(self, deployment_id: str, plan_id: str) -> Plan:
        """A plan with what is known of it; `status` is computing until every target's result is there."""
        return cast("Plan", self._get("deployments", deployment_id, "plan", plan_id))

    def list_approval_requests(
        self, *, status: str | None = "open", deployment_id: str | None = None
    ) -> Iterator[ApprovalRequest]:
        """Requests for approval, newest first; by default those still open."""
        return self._list("approval-requests", query={"status": status, "deploymentId": deployment_id})

    def get_approval_request(self, request_id: str) -> ApprovalRequest:
        """One request, with the latest word of each person."""
        return cast("ApprovalRequest", self._get("approval-requests", request_id))

    def answer_request(
        self, request_id: str, *, verdict: str, digest: str, comment: str | None = None
    ) -> ApprovalRequest:
        """Approve or reject exactly what was shown.

        Takes: `verdict` is approved or rejected; `digest` is the request's.
        Fails: `Outdated` when what the request shows is no longer that.
        """
        body = {"verdict": verdict, "digest": digest, "comment": comment}
        return cast("ApprovalRequest", self._write("POST", "approval-requests", request_id, "approvals", body=body))

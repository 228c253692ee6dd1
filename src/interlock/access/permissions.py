"""What may each role do? One table.

A role is a word in a binding; a permission is a word in the code. Nothing else in the code compares roles. Approving
is not part of operating: whoever may stop and steer a rollout is not thereby one who may let it start. Writing a
policy is a control of its own and stays with the admin.

Source: DESIGN.md section 3, `access/`; core.md section 4 (approval, force).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Role(StrEnum):
    """The five roles that a binding can name."""

    VIEWER = "viewer"
    DEVELOPER = "developer"
    APPROVER = "approver"
    OPERATOR = "operator"
    ADMIN = "admin"


class Permission(StrEnum):
    """What a request can need. The word is shown in a 403."""

    READ = "read"
    VERSION_WRITE = "version:write"
    """Create a version, change its name, metadata or status."""
    RESOURCE_WRITE = "resource:write"
    """Resources, their variables, resource providers."""
    DEPLOYMENT_WRITE = "deployment:write"
    """Systems, environments, deployments, job agents and the links between them."""
    WORKFLOW_WRITE = "workflow:write"
    """Create, change and delete workflows."""
    WORKFLOW_RUN = "workflow:run"
    """Ask for a run of a workflow."""
    JOB_REPORT = "job:report"
    """Claim a job and put its status: what an agent does."""
    JOB_SECRETS = "job:secrets"
    """Read the values of a job's secrets in the answer to GET job. Nobody needs it to deploy."""
    APPROVE = "approve"
    FREEZE = "freeze"
    """Freeze, extend, thaw."""
    FREEZE_BYPASS = "freeze:bypass"
    """Let a version pass a freeze."""
    STEER = "steer"
    """Pin, skip, redeploy, cancel, clear a quarantine, pause, resume, abort."""
    FORCE = "force"
    """A move that no gate is asked about."""
    POLICY_WRITE = "policy:write"
    SUBSCRIPTION_WRITE = "subscription:write"
    """Who is told what happens, and read the secrets of that."""
    MEMBER_WRITE = "member:write"
    """Members, role bindings, keys of others."""
    WORKSPACE_WRITE = "workspace:write"


_DEVELOPER = frozenset(
    {
        Permission.READ,
        Permission.VERSION_WRITE,
        Permission.RESOURCE_WRITE,
        Permission.DEPLOYMENT_WRITE,
        Permission.WORKFLOW_WRITE,
        Permission.WORKFLOW_RUN,
        Permission.JOB_REPORT,
    }
)

PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({Permission.READ}),
    Role.DEVELOPER: _DEVELOPER,
    Role.APPROVER: frozenset({Permission.READ, Permission.APPROVE}),
    Role.OPERATOR: _DEVELOPER | {Permission.FREEZE, Permission.STEER, Permission.SUBSCRIPTION_WRITE},
    Role.ADMIN: frozenset(Permission),
}

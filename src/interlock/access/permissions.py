"""What may each role do? One table.

A role is a word in a binding; a permission is a word in the code. Nothing else in the code compares roles. Approving
is not part of operating: whoever may stop and steer a rollout is not thereby one who may let it start. Writing a
policy is a control of its own and stays with the admin.

A workspace adds roles of its own, each a named set of these permissions. `read` is in every role.

Source: DESIGN.md section 3, `access/`; core.md section 4 (approval, force).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Role(StrEnum):
    """The five roles that every workspace has."""

    VIEWER = "viewer"
    DEVELOPER = "developer"
    APPROVER = "approver"
    OPERATOR = "operator"
    ADMIN = "admin"


class Permission(StrEnum):
    """What a request can need. The word is shown in a 403."""

    READ = "read"
    VERSION_WRITE = "version:write"
    RESOURCE_WRITE = "resource:write"
    DEPLOYMENT_WRITE = "deployment:write"
    WORKFLOW_WRITE = "workflow:write"
    WORKFLOW_RUN = "workflow:run"
    JOB_REPORT = "job:report"
    JOB_SECRETS = "job:secrets"
    MEASUREMENT_WRITE = "measurement:write"
    TASK_ANSWER = "task:answer"
    APPROVE = "approve"
    FREEZE = "freeze"
    FREEZE_BYPASS = "freeze:bypass"
    SIGNAL_REPORT = "signal:report"
    STEER = "steer"
    FORCE = "force"
    POLICY_WRITE = "policy:write"
    SLO_WRITE = "slo:write"
    SUBSCRIPTION_WRITE = "subscription:write"
    AGENT_TOKEN = "agent:token"  # noqa: S105 a word, no secret
    MEMBER_WRITE = "member:write"
    WORKSPACE_WRITE = "workspace:write"


SENTENCES: Mapping[Permission, str] = {
    Permission.READ: "See everything in the workspace but secrets.",
    Permission.VERSION_WRITE: "Create a version; change its name, metadata, dependencies or status; ask for a plan.",
    Permission.RESOURCE_WRITE: "Write resources, their variables and resource providers.",
    Permission.DEPLOYMENT_WRITE: "Write systems, environments, deployments, job agents, variables and their links.",
    Permission.WORKFLOW_WRITE: "Create, change and delete workflows.",
    Permission.WORKFLOW_RUN: "Ask for a run of a workflow.",
    Permission.JOB_REPORT: "Claim a job and say how it goes: what an agent does.",
    Permission.JOB_SECRETS: "Read the values of a job's secrets in the answer to GET job. Nobody needs it to deploy.",
    Permission.MEASUREMENT_WRITE: "Post what an outside system measured, for a metric that waits for it.",
    Permission.TASK_ANSWER: "Take, complete, reject and comment tasks: the jobs that ask oneself or one's group.",
    Permission.APPROVE: "Answer an approval request.",
    Permission.FREEZE: "Freeze, move a freeze's end, thaw.",
    Permission.FREEZE_BYPASS: "Let a version pass a freeze.",
    Permission.SIGNAL_REPORT: "Report incidents and alerts, and resolve them; post readings of signals.",
    Permission.STEER: "Pin, skip, redeploy, roll back, cancel, clear a quarantine; pause, resume or end a rollout; "
    "accept, fail or repeat a verification.",
    Permission.FORCE: "Start a move that no gate is asked about.",
    Permission.POLICY_WRITE: "Write policies, and ask what one would change.",
    Permission.SLO_WRITE: "Write objectives (SLOs): what is promised, how it is measured, whom it covers.",
    Permission.SUBSCRIPTION_WRITE: "Say who is told what happens, and read the secrets of that.",
    Permission.AGENT_TOKEN: "Issue and revoke the tokens of job agents.",
    Permission.MEMBER_WRITE: "Members, groups, roles and their bindings; keys of others.",
    Permission.WORKSPACE_WRITE: "Rename the workspace or its slug; delete it.",
}
"""permission -> what it lets one do, in one sentence: the text of `GET /permissions`, the guide and the console."""


_DEVELOPER = frozenset(
    {
        Permission.READ,
        Permission.VERSION_WRITE,
        Permission.RESOURCE_WRITE,
        Permission.DEPLOYMENT_WRITE,
        Permission.WORKFLOW_WRITE,
        Permission.WORKFLOW_RUN,
        Permission.JOB_REPORT,
        Permission.TASK_ANSWER,
    }
)

PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({Permission.READ}),
    Role.DEVELOPER: _DEVELOPER,
    Role.APPROVER: frozenset({Permission.READ, Permission.APPROVE, Permission.TASK_ANSWER}),
    Role.OPERATOR: _DEVELOPER
    | {
        Permission.FREEZE,
        Permission.SIGNAL_REPORT,
        Permission.STEER,
        Permission.SLO_WRITE,
        Permission.MEASUREMENT_WRITE,
        Permission.SUBSCRIPTION_WRITE,
        Permission.AGENT_TOKEN,
    },
    Role.ADMIN: frozenset(Permission),
}

ROLE_SENTENCES: Mapping[Role, str] = {
    Role.VIEWER: "Sees everything, changes nothing.",
    Role.DEVELOPER: "Writes what there is and announces versions.",
    Role.APPROVER: "Answers approval requests and tasks.",
    Role.OPERATOR: "A developer who stops, steers and lets agents in.",
    Role.ADMIN: "May everything, members and policies included.",
}
"""role -> who it is for, in one sentence."""

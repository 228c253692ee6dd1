"""What do the console's pages show? Read models: a page is a handful of questions, each over its whole set.

Everything here was decided and stored by rounds and by people; nothing is decided again. What a noun's own module
reads already (a job, a request, releases, decisions) is not repeated here.

Source: DESIGN.md section 3, `console/`; house rule 7 (no query in a loop).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, TypeVar

import asyncpg

from interlock.model.ids import is_id
from interlock.store.queries import Conn, queries
from interlock.store.rows import many, one

Q = queries("page")

T = TypeVar("T")

FREEZES_MAX = 20
"""Freezes that a page names; all of them have a page of their own."""

FREEZES_LISTED_MAX = 200


@dataclass(frozen=True, slots=True)
class FrameRow:
    """What the frame around every page counts. `seq` is the place in the feed up to which the page is true."""

    seq: int
    requests_open: int


@dataclass(frozen=True, slots=True)
class FreezeRow:
    """A freeze with the names of its scope and people. `system_ids`: those of the deployment that it names."""

    id: str
    scope_kind: str
    scope_id: str | None
    scope_name: str | None
    selector: str | None
    reason: str
    incident_url: str | None
    created_by: str | None
    created_at: datetime
    expires_at: datetime | None
    thawed_at: datetime | None
    thawed_by: str | None
    thaw_reason: str | None
    in_force: bool
    system_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class ScopeRow:
    """Something that can be frozen."""

    kind: str
    id: str
    name: str
    system_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class DeploymentRow:
    """A deployment as a page heads it."""

    id: str
    name: str
    description: str | None
    decided_at: datetime | None
    wake_at: datetime | None
    systems: Sequence[str]


@dataclass(frozen=True, slots=True)
class EnvironmentRow:
    """A column of the fleet."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class RunningRow:
    """So many targets of an environment run this version; `good` of them a release that proved itself."""

    deployment_id: str
    environment_id: str
    version_id: str | None
    tag: str | None
    targets: int
    good: int


@dataclass(frozen=True, slots=True)
class WaitingRow:
    """So many targets wait to go to this version; the verdicts are those of the one that is looked at first."""

    deployment_id: str
    environment_id: str
    version_id: str | None
    tag: str | None
    targets: int
    outcome: str
    verdicts: Sequence[Mapping[str, Any]]
    decision_ids: Sequence[str]
    since: datetime
    wake_at: datetime | None


@dataclass(frozen=True, slots=True)
class RolloutRow:
    """A live rollout and how far it is."""

    id: str
    deployment_id: str
    environment_id: str
    change_id: str
    kind: str
    version_id: str | None
    tag: str | None
    state: str
    reason: str | None
    opened_at: datetime
    state_at: datetime
    targets: int
    landed: int
    in_flight: int
    failed: int


@dataclass(frozen=True, slots=True)
class TargetRow:
    """A target with its last move, that move's last job, and its latest decision. `total` counts its environment."""

    id: str
    environment_id: str
    resource_id: str
    attached_at: datetime
    agent_state: str
    resource: str
    identifier: str
    current_version_id: str | None
    current_tag: str | None
    current_good: bool | None
    outcome: str | None
    wanted_kind: str | None
    wanted_version_id: str | None
    wanted_tag: str | None
    verdicts: Sequence[Mapping[str, Any]]
    decision_ids: Sequence[str]
    since: datetime | None
    wake_at: datetime | None
    total: int
    place: int
    move_id: str | None
    move_kind: str | None
    move_state: str | None
    move_open: bool
    rollout_id: str | None
    move_reason: str | None
    move_tag: str | None
    job_id: str | None
    job_status: str | None


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A version as the list shows it."""

    id: str
    tag: str
    name: str
    status: str
    message: str | None
    metadata: Mapping[str, str]
    created_at: datetime
    author: str | None


@dataclass(frozen=True, slots=True)
class NewestRequestRow:
    """The newest request for approval of a deployment in an environment."""

    id: str
    deployment_id: str
    environment_id: str
    version_id: str
    tag: str
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class AuthorsRow:
    """Who made a version, and what CI wrote beside it."""

    author_id: str | None
    author: str | None
    named_author: str | None
    metadata: Mapping[str, str]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ApprovalRuleRow:
    """An approval rule of a policy as it was written."""

    policy: str
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class JobPlaceRow:
    """What stands around a job. `tries` are the jobs of its move, oldest first: `{id, status}`."""

    id: str
    handover: str
    handed_over_at: datetime | None
    cancel_asked_at: datetime | None
    cancel_reason: str | None
    not_before: datetime | None
    valid_until: datetime | None
    agent_id: str
    agent: str
    agent_type: str
    deployment_id: str
    deployment: str
    environment: str
    resource: str
    move_state: str
    move_reason: str | None
    rollout_id: str | None
    version_id: str
    tag: str
    from_tag: str | None
    tries: Sequence[Mapping[str, str]]


async def load_frame(conn: Conn, workspace_id: str) -> FrameRow:
    """What the frame counts."""
    (row,) = await conn.fetch(Q.find_frame, workspace_id)
    return FrameRow(**row)


async def list_freezes(conn: Conn, workspace_id: str, *, over_too: bool = False) -> tuple[FreezeRow, ...]:
    """The freezes in force, newest first; `over_too` the newest of all."""
    rows_max = FREEZES_LISTED_MAX if over_too else FREEZES_MAX
    return many(FreezeRow, await conn.fetch(Q.list_freezes, workspace_id, over_too, rows_max))


async def list_scopes(conn: Conn, workspace_id: str) -> tuple[ScopeRow, ...]:
    """What can be frozen beside the workspace itself: deployments, environments, systems, each by name."""
    return many(ScopeRow, await conn.fetch(Q.list_scopes, workspace_id))


async def list_deployments(
    conn: Conn, workspace_id: str, *, limit: int, offset: int
) -> tuple[tuple[DeploymentRow, ...], int]:
    """A page of deployments by name, and how many there are (0 past the last page)."""
    rows = await conn.fetch(Q.list_deployments, workspace_id, None, limit, offset)
    return _known(DeploymentRow, rows), rows[0]["total"] if rows else 0


async def find_deployment(conn: Conn, workspace_id: str, *, deployment_id: str) -> DeploymentRow | None:
    """One deployment, as a page heads it."""
    rows = await conn.fetch(Q.list_deployments, workspace_id, deployment_id, 1, 0)
    return next(iter(_known(DeploymentRow, rows)), None)


async def list_environments(conn: Conn, deployment_ids: Sequence[str]) -> tuple[EnvironmentRow, ...]:
    """The environments that these deployments can reach, oldest first."""
    return many(EnvironmentRow, await conn.fetch(Q.list_environments, list(deployment_ids)))


async def list_running(conn: Conn, deployment_ids: Sequence[str]) -> tuple[RunningRow, ...]:
    """What runs where, newest version first."""
    return many(RunningRow, await conn.fetch(Q.list_running, list(deployment_ids)))


async def list_waiting(conn: Conn, deployment_ids: Sequence[str]) -> tuple[WaitingRow, ...]:
    """What waits where, newest version first."""
    return many(WaitingRow, await conn.fetch(Q.list_waiting, list(deployment_ids)))


async def list_rollouts(conn: Conn, deployment_ids: Sequence[str]) -> tuple[RolloutRow, ...]:
    """The live rollouts, oldest first."""
    return many(RolloutRow, await conn.fetch(Q.list_rollouts, list(deployment_ids)))


async def list_targets(conn: Conn, deployment_id: str, *, each_max: int) -> tuple[TargetRow, ...]:
    """A deployment's targets, at most `each_max` an environment: first what moves, then what waits."""
    return many(TargetRow, await conn.fetch(Q.list_targets, deployment_id, each_max))


async def list_versions(
    conn: Conn, deployment_id: str, *, limit: int, offset: int
) -> tuple[tuple[VersionRow, ...], int]:
    """A page of versions, newest first, and how many there are (0 past the last page)."""
    rows = await conn.fetch(Q.list_versions, deployment_id, limit, offset)
    return _known(VersionRow, rows), rows[0]["total"] if rows else 0


async def list_newest_requests(
    conn: Conn, workspace_id: str, *, deployment_ids: Sequence[str]
) -> tuple[NewestRequestRow, ...]:
    """The newest request of each deployment and environment, answered or not."""
    return many(NewestRequestRow, await conn.fetch(Q.list_newest_requests, workspace_id, list(deployment_ids)))


async def find_authors(conn: Conn, version_id: str) -> AuthorsRow | None:
    """Who made a version."""
    return one(AuthorsRow, await conn.fetchrow(Q.find_authors, version_id))


async def list_approval_rules(conn: Conn, workspace_id: str, *, policies: Sequence[str]) -> tuple[ApprovalRuleRow, ...]:
    """The approval rules of the policies with these names."""
    return many(ApprovalRuleRow, await conn.fetch(Q.list_approval_rules, workspace_id, list(policies)))


async def find_job_place(conn: Conn, workspace_id: str, *, job_id: str) -> JobPlaceRow | None:
    """What stands around a job."""
    return one(JobPlaceRow, await conn.fetchrow(Q.find_job_place, workspace_id, job_id))


async def load_names(conn: Conn, ids: Sequence[str]) -> dict[str, str]:
    """id -> name, for whatever of these has one; a version's is its tag, a target's its resource's name."""
    wanted = sorted({each for each in ids if is_id(each)})
    return {row["id"]: row["name"] for row in await conn.fetch(Q.list_names, wanted)} if wanted else {}


def _known(kind: type[T], rows: Sequence[asyncpg.Record]) -> tuple[T, ...]:
    """The rows as values, without the columns that count all of them."""
    names = [each.name for each in fields(kind)]  # type: ignore[arg-type]
    return tuple(kind(**{name: row[name] for name in names}) for row in rows)

"""Where is each target, what does it go for, and why does it wait? What people and clients read.

Everything here was decided and stored by rounds; nothing is worked out again but the words.

Source: core.md sections 1, 4 and 6; contract.md section e, "Release".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from interlock.decide.explain import EndedMove
from interlock.model.ids import TargetKey
from interlock.store.queries import Conn, queries
from interlock.store.rows import many, one

Q = queries("target_state")


@dataclass(frozen=True, slots=True)
class TargetState:
    """One target with its names, its open move and its latest decision (None before its first round)."""

    id: str
    state: str
    attached_at: datetime
    detached_at: datetime | None
    agent_state: str
    deployment_id: str
    deployment: str
    environment_id: str
    environment: str
    resource_id: str
    resource: str
    identifier: str
    resource_kind: str
    desired_version_id: str | None
    current_release_id: str | None
    good_release_id: str | None
    move_id: str | None
    move_kind: str | None
    move_state: str | None
    move_version_id: str | None
    move_release_id: str | None
    outcome: str | None
    decided_kind: str | None
    decided_version_id: str | None
    verdicts: Sequence[Mapping[str, Any]]
    decision_ids: Sequence[str]
    since: datetime | None
    wake_at: datetime | None
    agent: str | None = None
    agent_type: str | None = None

    @property
    def key(self) -> str:
        """The wire's release target key."""
        return str(TargetKey(self.resource_id, self.environment_id, self.deployment_id))


@dataclass(frozen=True, slots=True)
class Release:
    """What a target runs or ran, frozen. `snapshot` is the dispatch context without the job."""

    id: str
    target_id: str
    version_id: str
    snapshot: Mapping[str, Any]
    created_at: datetime
    deployment_id: str
    environment_id: str
    resource_id: str


@dataclass(frozen=True, slots=True)
class TargetVariables:
    """What a target's variables are resolved to, whether it runs with them yet or not.

    Takes: `origin` is that of `inventory/variables.py`. A target without an agent has an origin and no values.
    """

    id: str
    values: Mapping[str, Any]
    origin: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """A shared verdict tree, about one version in one environment."""

    id: str
    kind: str
    environment_id: str | None
    version_id: str | None
    tag: str | None
    outcome: str
    verdicts: Sequence[Mapping[str, Any]]
    at: datetime
    valid_until: datetime | None


@dataclass(frozen=True, slots=True)
class LiveRollout:
    """A rollout that is open, paused or halted."""

    id: str
    environment_id: str
    environment: str
    kind: str
    version_id: str | None
    tag: str | None
    state: str
    reason: str | None
    opened_at: datetime
    state_at: datetime
    failures: int
    """Targets whose newest move in it failed."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """When a deployment was decided last, and when time alone has it decided again."""

    decided_at: datetime | None
    wake_at: datetime | None


@dataclass(frozen=True, slots=True)
class MetricState:
    """One metric of a verification with what it measured. `spec` is the wire's metric object."""

    verification_id: str
    name: str
    spec: Mapping[str, Any]
    state: str
    measurements: Sequence[Mapping[str, Any]]


async def list_targets(
    conn: Conn,
    workspace_id: str,
    *,
    deployment_id: str | None = None,
    environment_id: str | None = None,
    resource_id: str | None = None,
    gone_too: bool = False,
    limit: int | None = None,
    offset: int = 0,
) -> tuple[tuple[TargetState, ...], int]:
    """A page of targets by deployment, environment and resource, and how many there are.

    Takes: `gone_too` lists those that were detached or removed as well.
    """
    narrow = (workspace_id, deployment_id, environment_id, resource_id, gone_too)
    total = await conn.fetchval(Q.count_targets, *narrow)
    return many(TargetState, await conn.fetch(Q.list_targets, *narrow, limit, offset)), total


async def find_target(conn: Conn, workspace_id: str, *, key: TargetKey) -> TargetState | None:
    """A target by its key, attached or not."""
    found, _ = await list_targets(
        conn,
        workspace_id,
        deployment_id=key.deployment_id,
        environment_id=key.environment_id,
        resource_id=key.resource_id,
        gone_too=True,
        limit=1,
    )
    return found[0] if found else None


async def load_releases(conn: Conn, workspace_id: str, *, release_ids: Sequence[str]) -> dict[str, Release]:
    """release id -> release, for those of this workspace."""
    rows = many(Release, await conn.fetch(Q.list_releases, workspace_id, sorted(set(release_ids))))
    return {release.id: release for release in rows}


async def load_target_variables(conn: Conn, target_ids: Sequence[str]) -> dict[str, TargetVariables]:
    """target id -> what its variables are resolved to."""
    rows = many(TargetVariables, await conn.fetch(Q.list_target_variables, list(target_ids)))
    return {row.id: row for row in rows}


async def load_decisions(conn: Conn, decision_ids: Sequence[str]) -> dict[str, StoredDecision]:
    """decision id -> decision."""
    rows = many(StoredDecision, await conn.fetch(Q.list_decisions, sorted(set(decision_ids))))
    return {decision.id: decision for decision in rows}


async def load_ended_moves(conn: Conn, target_ids: Sequence[str]) -> dict[str, tuple[EndedMove, ...]]:
    """target id -> its newest moves that ended, newest first; at most four each."""
    found: dict[str, tuple[EndedMove, ...]] = {}
    for move in many(EndedMove, await conn.fetch(Q.list_ended_moves, list(target_ids))):
        found[move.target_id] = (*found.get(move.target_id, ()), move)
    return found


async def list_live_rollouts(conn: Conn, deployment_id: str) -> tuple[LiveRollout, ...]:
    """The rollouts of a deployment that still govern their environment, oldest first."""
    return many(LiveRollout, await conn.fetch(Q.list_live_rollouts, deployment_id))


async def find_pulse(conn: Conn, deployment_id: str) -> Pulse | None:
    """When a deployment was and will be decided."""
    return one(Pulse, await conn.fetchrow(Q.find_deployment_pulse, deployment_id))


async def list_metrics(conn: Conn, verification_ids: Sequence[str]) -> tuple[MetricState, ...]:
    """The metrics of verifications, each verification's in order."""
    return many(MetricState, await conn.fetch(Q.list_metrics, list(verification_ids)))

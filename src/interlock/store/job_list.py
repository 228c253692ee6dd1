"""What do all agents do, and what did they? Jobs together, whatever tool does them, narrowed by what people look for.

A page is found by its ids first, so that what is shown of a job is read for those of the page alone; the count has the
same conditions. Both are planned for the values at hand.

Source: requirements R002-02, R002-09 and R002-10; contract.md section e, "Job".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from interlock.store.jobs import JobRow, with_reasons
from interlock.store.queries import Conn, queries

Q = queries("job_list")

TEXT_MAX = 200
TARGETS_MAX = 10_000
"""Targets of one resource whose jobs are looked for."""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs are wanted; what is None or empty narrows nothing.

    Takes: `version` is a tag or an id. `kind` is a move's kind, or `workflow`, or `retry`. `text` is looked for in
           names, tags, ids and messages.
    """

    statuses: Sequence[str] = ()
    agent_id: str | None = None
    agent_types: Sequence[str] = ()
    deployment_id: str | None = None
    environment_id: str | None = None
    resource_id: str | None = None
    system_id: str | None = None
    version: str | None = None
    kind: str | None = None
    since_at: datetime | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class AgentChoice:
    """An agent to narrow by."""

    id: str
    name: str
    type: str


async def list_jobs(
    conn: Conn, workspace_id: str, *, wanted: JobFilter, limit: int, offset: int
) -> tuple[tuple[JobRow, ...], int]:
    """A page of jobs, newest first, and how many there are.

    Takes: a connection in a transaction, best a snapshot: then page and count are of one instant.
    """
    await conn.fetchval(Q.plan_anew)
    args = await _args(conn, workspace_id, wanted)
    total: int = await conn.fetchval(Q.count_jobs, *args)
    if offset >= total:
        return (), total
    ids = [row["id"] for row in await conn.fetch(Q.list_job_ids, *args, limit, offset)]
    return await with_reasons(conn, await conn.fetch(Q.list_jobs, ids)), total


async def count_open(conn: Conn, workspace_id: str) -> Mapping[str, int]:
    """status -> how many jobs are in it, of those that are not over."""
    return {row["status"]: row["jobs"] for row in await conn.fetch(Q.count_open, workspace_id)}


async def list_agents(conn: Conn, workspace_id: str) -> tuple[AgentChoice, ...]:
    """The workspace's agents by name."""
    return tuple(AgentChoice(**row) for row in await conn.fetch(Q.list_agents, workspace_id))


async def _args(conn: Conn, workspace_id: str, wanted: JobFilter) -> tuple[object, ...]:
    targets = None
    if wanted.resource_id is not None:
        targets = [row["id"] for row in await conn.fetch(Q.list_target_ids, wanted.resource_id)][:TARGETS_MAX]
    return (
        workspace_id,
        list(wanted.statuses) or None,
        wanted.agent_id,
        list(wanted.agent_types) or None,
        wanted.deployment_id,
        wanted.environment_id,
        targets,
        wanted.resource_id,
        wanted.system_id,
        wanted.version,
        wanted.kind,
        wanted.since_at,
        _pattern(wanted.text) if wanted.text else None,
    )


def _pattern(text: str) -> str:
    """What ILIKE looks for; its own signs stand for themselves."""
    escaped = text[:TEXT_MAX].replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"

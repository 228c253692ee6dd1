"""Which job agents are there?

Their configuration holds credentials: markers stand in their place (`model/secret.py`), whoever reads it here.

Source: contract.md section c, ctrlplane_job_agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interlock.model.errors import NotFound
from interlock.model.event import Event, Ref
from interlock.model.inventory import JobAgent
from interlock.model.secret import Where
from interlock.store import targets
from interlock.store.lines import hurry_line
from interlock.store.matching import match_after
from interlock.store.ownership import is_known
from interlock.store.queries import Conn, queries
from interlock.store.rows import many, one
from interlock.store.tx import Change, Tx

Q = queries("agent")


async def find_agent(conn: Conn, workspace_id: str, *, agent_id: str) -> JobAgent | None:
    """A job agent by id."""
    return one(JobAgent, await conn.fetchrow(Q.find_agent, workspace_id, agent_id))


async def find_workspace_of(conn: Conn, agent_id: str) -> str | None:
    """The workspace of a live job agent, for a caller that is known by the agent alone."""
    row = await conn.fetchrow(Q.find_owner, agent_id)
    return str(row["workspace_id"]) if row is not None and row["live"] else None


async def list_agents(conn: Conn, workspace_id: str, *, limit: int, offset: int) -> tuple[tuple[JobAgent, ...], int]:
    """A page of job agents in order of creation, and how many there are."""
    total = await conn.fetchval(Q.count_agents, workspace_id)
    return many(JobAgent, await conn.fetch(Q.list_agents, workspace_id, limit, offset)), total


async def save_agent(
    tx: Tx,
    workspace_id: str,
    *,
    agent_id: str,
    name: str,
    kind: str,
    config: Mapping[str, Any],
    metadata: Mapping[str, str],
) -> None:
    """Create or replace a job agent by id; the targets that choose it follow.

    Fails: `Conflict` on a name or id that is taken; `Invalid` for a mark of a secret that it does not have.
    """
    known = await is_known(tx.conn, Q.find_owner, workspace_id=workspace_id, wanted_id=agent_id)
    before = await find_agent(tx.conn, workspace_id, agent_id=agent_id) if known else None
    kept = await tx.secrets.seal_document(
        tx.conn, workspace_id, dict(config), where=Where.AGENT_CONFIG, before=before and before.config
    )
    await tx.record(
        changes=[Change(Q.save_agent, (agent_id, workspace_id, name, kind, kept, dict(metadata)))],
        events=[
            Event("agent.changed" if known else "agent.created", Ref("agent", agent_id), {"name": name, "type": kind})
        ],
    )
    await match_after(tx, workspace_id, touched=targets.Touched(agents=(agent_id,)))
    if known:
        await hurry_line(tx, agent_id, workspace_id=workspace_id)


async def delete_agent(tx: Tx, workspace_id: str, *, agent_id: str) -> None:
    """End a job agent; what chose it holds until another fits.

    Fails: `NotFound`.
    """
    if await find_agent(tx.conn, workspace_id, agent_id=agent_id) is None:
        raise NotFound("There is no such job agent.")
    await tx.record(
        changes=[Change(Q.delete_agent, (agent_id,))],
        events=[Event("agent.deleted", Ref("agent", agent_id), {})],
    )
    await match_after(tx, workspace_id, touched=targets.Touched(agents=(agent_id,)))

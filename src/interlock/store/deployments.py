"""Which deployments are there, and how does an own fact reach their rounds?

`touch` is the change that every own fact of a deployment brings along (core.md 2): it bumps the generation, and the
fence when the fact can take something away.

Source: contract.md section e, "Deployment"; core.md section 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from interlock.inventory.selector import Selector
from interlock.inventory.to_sql import DEPLOYMENTS
from interlock.inventory.views import deployment_view
from interlock.model.deployment_facts import TIER, read_tier
from interlock.model.event import Event, Ref
from interlock.model.ids import is_id
from interlock.model.inventory import Deployment
from interlock.model.secret import Where
from interlock.store import targets
from interlock.store.elsewhere import wake_dependents
from interlock.store.matching import match_after
from interlock.store.ownership import is_known, require_unused, told_of_the_one_before
from interlock.store.queries import Conn, queries
from interlock.store.rows import many, one
from interlock.store.selected import load_selected
from interlock.store.tx import Change, Tx
from interlock.store.work import OWN_FACTS, WorkRequest

Q = queries("deployment")


def touch(deployment_id: str, *, takes_away: bool) -> Change:
    """The change by which an own fact of a deployment makes its rounds look again."""
    return Change(Q.touch_taking_away if takes_away else Q.touch, (deployment_id,))


async def lock_deployment(tx: Tx, deployment_id: str) -> None:
    """Hold a deployment until the transaction ends: before anything of it is locked (core.md 3)."""
    await tx.conn.fetchval(Q.lock_deployment, deployment_id)


async def find_deployment(conn: Conn, workspace_id: str, *, deployment_id: str) -> Deployment | None:
    """A deployment by id."""
    return one(Deployment, await conn.fetchrow(Q.find_deployment, workspace_id, deployment_id))


async def find_deployment_by_name(conn: Conn, workspace_id: str, *, name: str) -> Deployment | None:
    """A deployment by its unique name, which is its slug too."""
    return one(Deployment, await conn.fetchrow(Q.find_deployment_by_name, workspace_id, name))


async def resolve_deployment(conn: Conn, workspace_id: str, *, text: str) -> Deployment | None:
    """A deployment by id or by name, where clients may send either."""
    if is_id(text):
        found = await find_deployment(conn, workspace_id, deployment_id=text.lower())
        if found is not None:
            return found
    return await find_deployment_by_name(conn, workspace_id, name=text)


async def list_deployments(
    conn: Conn, workspace_id: str, *, selector: Selector | None = None, limit: int | None, offset: int
) -> tuple[tuple[Deployment, ...], int]:
    """A page of the deployments that a selector matches, in order of creation (all of them without a limit), and how
    many there are.
    """
    return await load_selected(
        conn,
        Deployment,
        counted=Q.count_deployments,
        listed=Q.list_deployments,
        within=workspace_id,
        selector=selector,
        table=DEPLOYMENTS,
        view=deployment_view,
        limit=limit,
        offset=offset,
    )


async def list_deployments_of_resource(
    conn: Conn, resource_id: str, *, limit: int, offset: int
) -> tuple[tuple[Deployment, ...], int]:
    """A page of the deployments that have a target on a resource, by name, and how many there are."""
    total = await conn.fetchval(Q.count_deployments_of_resource, resource_id)
    return many(Deployment, await conn.fetch(Q.list_deployments_of_resource, resource_id, limit, offset)), total


async def load_deployments(conn: Conn, deployment_ids: Sequence[str]) -> tuple[Deployment, ...]:
    """The live deployments with these ids, in the order of the ids."""
    return many(Deployment, await conn.fetch(Q.list_deployments_by_ids, list(deployment_ids)))


async def load_system_ids(conn: Conn, deployment_id: str) -> frozenset[str]:
    """The systems that a deployment is in."""
    return frozenset(row["system_id"] for row in await conn.fetch(Q.list_system_ids, deployment_id))


async def save_deployment(
    tx: Tx,
    workspace_id: str,
    *,
    deployment_id: str,
    name: str,
    description: str | None,
    resource_selector: str,
    job_agent_selector: str,
    job_agent_config: Mapping[str, Any],
    job_agents: Sequence[Mapping[str, Any]] | None,
    metadata: Mapping[str, str],
    supersede: str,
) -> None:
    """Create or replace a deployment by id; its targets, their agents and configs follow.

    Fails: `Conflict` on a name or id that is taken, and on an id that was deleted.
    """
    known = await is_known(tx.conn, Q.find_owner, workspace_id=workspace_id, wanted_id=deployment_id)
    if not known:
        await require_unused(tx.conn, Q.find_owner, wanted_id=deployment_id)
    formerly = None if known else await tx.conn.fetchval(Q.find_gone, workspace_id, name)
    before = await find_deployment(tx.conn, workspace_id, deployment_id=deployment_id) if known else None
    standing = [before.job_agent_config, before.job_agents] if before else None

    async def seal(document: Any, field: str) -> Any:
        return await tx.secrets.seal_document(
            tx.conn, workspace_id, document, where=Where.AGENT_CONFIG, before=standing, field=field
        )

    agents = [dict(agent) for agent in job_agents] if job_agents is not None else None
    row = (
        deployment_id,
        workspace_id,
        name,
        description,
        resource_selector,
        job_agent_selector,
        await seal(dict(job_agent_config), "jobAgentConfig"),
        await seal(agents, "jobAgents"),
        dict(metadata),
        supersede,
    )
    kind = "deployment.changed" if known else "deployment.created"
    body = {"name": name, "resourceSelector": resource_selector, "jobAgentSelector": job_agent_selector}
    await tx.record(
        changes=[Change(Q.save_deployment, row)],
        events=[told_of_the_one_before(Event(kind, Ref("deployment", deployment_id), body), formerly)],
    )
    if before is not None and read_tier(before.metadata.get(TIER)) != read_tier(metadata.get(TIER)):
        wake = WorkRequest("round", deployment_id, workspace_id, None, OWN_FACTS)
        await tx.record(changes=[touch(deployment_id, takes_away=True)], wakes=[wake])
    await match_after(tx, workspace_id, touched=targets.Touched(deployments=(deployment_id,)))
    if known:
        await wake_dependents(tx, workspace_id, [deployment_id])  # whose expressions may read its name or metadata

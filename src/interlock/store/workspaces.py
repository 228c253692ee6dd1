"""Which workspaces are there, and who sees which?

Source: contract.md section e, "Workspace".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from interlock.access import Role
from interlock.model.event import Event, Ref
from interlock.model.ids import is_id, new_id
from interlock.store import deletions, deployments, jobs
from interlock.store.principals import save_member
from interlock.store.queries import Conn, queries
from interlock.store.refusals import refusals
from interlock.store.rows import many, one
from interlock.store.subscriptions import create_first
from interlock.store.tx import Change, Tx

Q = queries("workspace")


@dataclass(frozen=True, slots=True)
class Workspace:
    """The room that everything else belongs to."""

    id: str
    name: str
    slug: str
    created_at: datetime
    sync_remove_max: int | None = None


async def find_workspace(conn: Conn, text: str) -> Workspace | None:
    """A workspace by id or slug: wherever an id is expected, clients send either."""
    return one(Workspace, await conn.fetchrow(Q.find_workspace, text.lower() if is_id(text) else None, text))


async def list_workspaces_of(conn: Conn, principal_id: str, *, every: bool) -> tuple[Workspace, ...]:
    """The workspaces that a principal is a member of, oldest first; `every` one for a system admin."""
    return many(Workspace, await conn.fetch(Q.list_workspaces_of, principal_id, every))


async def create_workspace(tx: Tx, name: str, *, slug: str, creator_id: str) -> str:
    """Make a workspace whose creator is its admin.

    Fails: `Conflict` (DUPLICATE_SLUG).
    """
    workspace_id = new_id()
    with refusals():
        await tx.record(changes=[Change(Q.insert_workspace, (workspace_id, name, slug))])
    tx.workspace_id = workspace_id
    await tx.record(events=[Event("workspace.created", Ref("workspace", workspace_id), {"slug": slug})])
    await save_member(tx, workspace_id, principal_id=creator_id, role=Role.ADMIN)
    await create_first(tx, workspace_id)
    return workspace_id


async def delete_workspace(tx: Tx, workspace_id: str) -> None:
    """End a workspace: every deployment in it, with what waits and runs, and the jobs of workflow runs. Its history
    and its ledger stay.

    Takes: nothing that is written to it meanwhile can reach an agent: no hand-over passes in a deleted workspace.
    """
    every, _ = await deployments.list_deployments(tx.conn, workspace_id, limit=None, offset=0)
    for deployment in sorted(every, key=lambda one: one.id):
        await deletions.delete_deployment(tx, workspace_id, deployment_id=deployment.id)
    await jobs.cancel_jobs_of_workspace(tx, workspace_id, reason="The workspace was deleted.")
    await tx.record(
        changes=[Change(Q.delete_workspace, (workspace_id,), rows=1)],
        events=[Event("workspace.deleted", Ref("workspace", workspace_id), {"deployments": len(every)})],
    )


async def change_workspace(
    tx: Tx, workspace_id: str, *, name: str | None, slug: str | None, sync_remove_max: int | None = None
) -> None:
    """Rename a workspace or its slug, or say how much a sync may remove. None leaves what is stored.

    Fails: `Conflict` (DUPLICATE_SLUG).
    """
    body: dict[str, object] = {"slug": slug} if slug else {}
    if sync_remove_max is not None:
        body["syncRemoveMax"] = sync_remove_max
    await tx.record(
        changes=[Change(Q.update_workspace, (workspace_id, name, slug, sync_remove_max))],
        events=[Event("workspace.changed", Ref("workspace", workspace_id), body)],
    )

"""Which systems are there, and who meets in them?

A deployment and an environment can meet in a target only when they share a system, so a link is an inventory write
like any other: it matches the targets of what it joins or parts, in its own transaction.

Source: contract.md section e; core.md section 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from interlock.model.errors import NotFound
from interlock.model.event import Event, Ref
from interlock.model.inventory import System
from interlock.store import targets
from interlock.store.matching import match_after
from interlock.store.ownership import is_known
from interlock.store.queries import Conn, queries
from interlock.store.rows import many, one
from interlock.store.tx import Change, Tx

Q = queries("system")


async def find_system(conn: Conn, workspace_id: str, *, system_id: str) -> System | None:
    """A system by id."""
    return one(System, await conn.fetchrow(Q.find_system, workspace_id, system_id))


async def list_systems(conn: Conn, workspace_id: str, *, limit: int, offset: int) -> tuple[tuple[System, ...], int]:
    """A page of systems in order of creation, and how many there are."""
    total = await conn.fetchval(Q.count_systems, workspace_id)
    return many(System, await conn.fetch(Q.list_systems, workspace_id, limit, offset)), total


async def load_systems_of(conn: Conn, child_kind: str, *, child_ids: Sequence[str]) -> dict[str, list[System]]:
    """child id -> its systems, for `deployment` or `environment` ids."""
    query = Q.list_systems_of_deployments if child_kind == "deployment" else Q.list_systems_of_environments
    systems_by_child: dict[str, list[System]] = {child_id: [] for child_id in child_ids}
    for row in await conn.fetch(query, list(child_ids)):
        fields = dict(row)
        systems_by_child[fields.pop("child_id")].append(System(**fields))
    return systems_by_child


async def load_linked_ids(conn: Conn, system_id: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The ids of the linked deployments and environments, in the order they were linked."""
    deployments = await conn.fetch(Q.list_linked_deployment_ids, system_id)
    environments = await conn.fetch(Q.list_linked_environment_ids, system_id)
    return tuple(row["deployment_id"] for row in deployments), tuple(row["environment_id"] for row in environments)


async def save_system(
    tx: Tx,
    workspace_id: str,
    *,
    system_id: str,
    name: str,
    description: str | None,
    metadata: Mapping[str, str],
) -> None:
    """Create or replace a system by id.

    Fails: `Conflict` when another workspace has the id.
    """
    known = await is_known(tx.conn, Q.find_owner, workspace_id=workspace_id, wanted_id=system_id)
    await tx.record(
        changes=[Change(Q.save_system, (system_id, workspace_id, name, description, dict(metadata)))],
        events=[Event("system.changed" if known else "system.created", Ref("system", system_id), {"name": name})],
    )


async def link(tx: Tx, workspace_id: str, *, system_id: str, child_kind: str, child_id: str) -> None:
    """Put a deployment or an environment into a system. Doing it twice changes nothing.

    Takes: `child_kind` is `deployment` or `environment`; the child exists.
    Fails: `NotFound` for an unknown system.
    """
    await _required(tx.conn, workspace_id, system_id)
    if await is_linked(tx.conn, system_id=system_id, child_kind=child_kind, child_id=child_id):
        return
    query = Q.link_deployment if child_kind == "deployment" else Q.link_environment
    await _relink(tx, workspace_id, query, kind="system.linked", system_id=system_id, child=Ref(child_kind, child_id))


async def unlink(tx: Tx, workspace_id: str, *, system_id: str, child_kind: str, child_id: str) -> None:
    """Take a deployment or an environment out of a system.

    Fails: `NotFound` for an unknown system or link.
    """
    await _required(tx.conn, workspace_id, system_id)
    if not await is_linked(tx.conn, system_id=system_id, child_kind=child_kind, child_id=child_id):
        raise NotFound("There is no such link.")
    query = Q.unlink_deployment if child_kind == "deployment" else Q.unlink_environment
    await _relink(tx, workspace_id, query, kind="system.unlinked", system_id=system_id, child=Ref(child_kind, child_id))


async def is_linked(conn: Conn, *, system_id: str, child_kind: str, child_id: str) -> bool:
    """Whether the link stands."""
    query = Q.find_deployment_link if child_kind == "deployment" else Q.find_environment_link
    return await conn.fetchval(query, system_id, child_id) is not None


async def _relink(tx: Tx, workspace_id: str, query: str, *, kind: str, system_id: str, child: Ref) -> None:
    await tx.record(
        changes=[Change(query, (system_id, child.id))],
        events=[Event(kind, Ref("system", system_id), {"kind": child.kind, "id": child.id}, refs=(child,))],
    )
    ids = (child.id,)
    touched = targets.Touched(deployments=ids) if child.kind == "deployment" else targets.Touched(environments=ids)
    await match_after(tx, workspace_id, touched=touched)


async def _required(conn: Conn, workspace_id: str, system_id: str) -> System:
    system = await find_system(conn, workspace_id, system_id=system_id)
    if system is None:
        raise NotFound("There is no such system.")
    return system

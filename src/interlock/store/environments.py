"""Which environments are there?

Source: contract.md section e, "Environment".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from interlock.model.event import Event, Ref
from interlock.model.ids import is_id
from interlock.model.inventory import Environment
from interlock.store import targets
from interlock.store.matching import match_after
from interlock.store.ownership import is_known, require_unused, told_of_the_one_before
from interlock.store.queries import Conn, queries
from interlock.store.rows import many, one
from interlock.store.tx import Change, Tx

Q = queries("environment")


async def find_environment(conn: Conn, workspace_id: str, *, environment_id: str) -> Environment | None:
    """An environment by id."""
    return one(Environment, await conn.fetchrow(Q.find_environment, workspace_id, environment_id))


async def find_environment_by_name(conn: Conn, workspace_id: str, *, name: str) -> Environment | None:
    """An environment by its unique name."""
    return one(Environment, await conn.fetchrow(Q.find_environment_by_name, workspace_id, name))


async def resolve_environment(conn: Conn, workspace_id: str, *, text: str) -> Environment | None:
    """An environment by id or by name, where clients may send either."""
    if is_id(text):
        found = await find_environment(conn, workspace_id, environment_id=text.lower())
        if found is not None:
            return found
    return await find_environment_by_name(conn, workspace_id, name=text)


async def list_environments(
    conn: Conn, workspace_id: str, *, limit: int, offset: int
) -> tuple[tuple[Environment, ...], int]:
    """A page of environments in order of creation, and how many there are."""
    total = await conn.fetchval(Q.count_environments, workspace_id)
    return many(Environment, await conn.fetch(Q.list_environments, workspace_id, limit, offset)), total


async def load_environments(conn: Conn, environment_ids: Sequence[str]) -> tuple[Environment, ...]:
    """The live environments with these ids, in the order of the ids."""
    return many(Environment, await conn.fetch(Q.list_environments_by_ids, list(environment_ids)))


async def load_system_ids(conn: Conn, environment_id: str) -> frozenset[str]:
    """The systems that an environment is in."""
    return frozenset(row["system_id"] for row in await conn.fetch(Q.list_system_ids, environment_id))


async def save_environment(
    tx: Tx,
    workspace_id: str,
    *,
    environment_id: str,
    name: str,
    description: str | None,
    resource_selector: str,
    metadata: Mapping[str, str],
) -> None:
    """Create or replace an environment by id; its targets follow.

    Fails: `Conflict` on a name or id that is taken, and on an id that was deleted.
    """
    known = await is_known(tx.conn, Q.find_owner, workspace_id=workspace_id, wanted_id=environment_id)
    if not known:
        await require_unused(tx.conn, Q.find_owner, wanted_id=environment_id)
    formerly = None if known else await tx.conn.fetchval(Q.find_gone, workspace_id, name)
    kind = "environment.changed" if known else "environment.created"
    body = {"name": name, "resourceSelector": resource_selector}
    row = (environment_id, workspace_id, name, description, resource_selector, dict(metadata))
    await tx.record(
        changes=[Change(Q.save_environment, row)],
        events=[told_of_the_one_before(Event(kind, Ref("environment", environment_id), body), formerly)],
    )
    await match_after(tx, workspace_id, touched=targets.Touched(environments=(environment_id,)))

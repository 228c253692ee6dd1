"""Which resources are there?

A resource is told apart by its identifier, unique among those of its workspace that are there. One that is deleted and
comes again is a new object with a history of its own; the event of its coming names the one before. What a provider
sends as a whole is `syncs.py`.

`config` and `metadata` never enter the ledger: they may hold what the ledger, which is never erased, must not.

Source: contract.md section e, "Resource".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from interlock.inventory.selector import Selector
from interlock.inventory.to_sql import RESOURCES
from interlock.inventory.views import resource_view
from interlock.model.errors import NotFound
from interlock.model.event import Event, Ref
from interlock.model.ids import new_id
from interlock.model.inventory import Resource
from interlock.model.variable import is_same
from interlock.store import targets
from interlock.store.matching import match_after
from interlock.store.queries import Conn, queries
from interlock.store.rows import many, one
from interlock.store.selected import load_selected
from interlock.store.tx import Change, Tx

Q = queries("resource")

VARIABLES_MAX = 1000


@dataclass(frozen=True, slots=True)
class ResourceContent:
    """What a client says of a resource."""

    identifier: str
    name: str
    kind: str
    version: str
    config: Mapping[str, Any]
    metadata: Mapping[str, str]

    @property
    def said(self) -> bytes:
        """What tells two contents apart, the same bytes for the same content."""
        said = [self.name, self.kind, self.version, self.config, self.metadata]
        return orjson.dumps(said, option=orjson.OPT_SORT_KEYS)

    @property
    def digest(self) -> str:
        """Tells whether two contents are the same."""
        return hashlib.sha256(self.said).hexdigest()


@dataclass(frozen=True, slots=True)
class ResourceFilter:
    """Which resources a search wants: OR within a field, AND across them. None filters nothing."""

    identifiers: Sequence[str] | None = None
    kinds: Sequence[str] | None = None
    versions: Sequence[str] | None = None
    provider_ids: Sequence[str] | None = None
    metadata: Mapping[str, str] | None = None
    query: str | None = None


@dataclass(frozen=True, slots=True)
class ResourceVariable:
    """One variable of a resource."""

    resource_id: str
    key: str
    value: Any


async def find_resource(conn: Conn, workspace_id: str, *, identifier: str) -> Resource | None:
    """A resource by identifier."""
    return one(Resource, await conn.fetchrow(Q.find_resource, workspace_id, identifier))


async def load_resources(conn: Conn, resource_ids: Sequence[str]) -> tuple[Resource, ...]:
    """The resources with these ids, gone ones too, in the order of the ids."""
    return many(Resource, await conn.fetch(Q.list_resources_by_ids, list(resource_ids)))


async def list_resources(
    conn: Conn, workspace_id: str, *, selector: Selector | None = None, limit: int, offset: int
) -> tuple[tuple[Resource, ...], int]:
    """A page of the resources that a selector matches (all without one) in order of creation, and how many there
    are.

    Costs: one page and one count, by PostgreSQL; with a selector that does not translate, every resource.
    """
    return await load_selected(
        conn,
        Resource,
        counted=Q.count_resources,
        listed=Q.list_resources,
        within=workspace_id,
        selector=selector,
        table=RESOURCES,
        view=resource_view,
        limit=limit,
        offset=offset,
    )


async def list_resources_of_provider(
    conn: Conn, provider_id: str, *, limit: int | None = None, offset: int = 0
) -> tuple[Resource, ...]:
    """The resources of a provider in the order last set; all of them without a limit."""
    return many(Resource, await conn.fetch(Q.list_resources_of_provider, provider_id, limit, offset))


async def search_resources(
    conn: Conn,
    workspace_id: str,
    *,
    wanted: ResourceFilter,
    sort_by: str,
    descending: bool,
    limit: int,
    offset: int,
) -> tuple[tuple[Resource, ...], int]:
    """A page of the resources that pass the filter, and how many do.

    Takes: `sort_by` is createdAt, updatedAt, name or kind; then comes the identifier. `query` matches part of name or
           identifier, whatever the case.
    """
    args = (
        workspace_id,
        _texts(wanted.identifiers),
        _texts(wanted.kinds),
        _texts(wanted.versions),
        _texts(wanted.provider_ids),
        dict(wanted.metadata) if wanted.metadata else None,
        _pattern(wanted.query) if wanted.query else None,
    )
    rows = await conn.fetch(Q.search_resources, *args, sort_by, descending, limit, offset)
    if not rows:
        return (), int(await conn.fetchval(Q.count_search, *args)) if offset else 0
    found = tuple(Resource(**{name: value for name, value in row.items() if name != "total"}) for row in rows)
    return found, rows[0]["total"]


def _texts(values: Sequence[str] | None) -> list[str] | None:
    return list(values) if values else None


def _pattern(query: str) -> str:
    escaped = query.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return f"%{escaped}%"


async def save_resource(
    tx: Tx, workspace_id: str, *, content: ResourceContent, variables: Mapping[str, Any] | None
) -> str:
    """Create or replace a resource by identifier, and give its id; its provider stays.

    Takes: `variables` replaces them all, values in the wire's form; None leaves them.
    """
    row = await tx.conn.fetchrow(Q.lock_resource, workspace_id, content.identifier)
    resource_id: str = row["id"] if row else new_id()
    ref = Ref("resource", resource_id)
    if row is None:
        formerly = await tx.conn.fetchval(Q.find_gone, workspace_id, content.identifier)
        event = created(resource_id, content.identifier, kind=content.kind, formerly=formerly)
        sent = _sent(content, resource_id=resource_id)
        await tx.record(changes=[Change(Q.insert_resources, ([sent], workspace_id))], events=[event])
    elif row["content_digest"] != content.digest:
        sent = _sent(content, resource_id=resource_id)
        event = Event("resource.changed", ref, {"identifier": content.identifier})
        await tx.record(changes=[Change(Q.update_resources, ([sent],))], events=[event])
    if variables is not None:
        await _replace_variables(tx, workspace_id, resource_id, variables=variables)
    await match_after(tx, workspace_id, touched=targets.Touched(resources=(resource_id,)))
    return resource_id


async def replace_variables(tx: Tx, workspace_id: str, *, identifier: str, variables: Mapping[str, Any]) -> str:
    """Replace all variables of a resource, and give its id.

    Fails: `NotFound` for an unknown identifier.
    """
    row = await tx.conn.fetchrow(Q.lock_resource, workspace_id, identifier)
    if row is None:
        raise NotFound("There is no resource with this identifier.")
    if await _replace_variables(tx, workspace_id, row["id"], variables=variables):
        await match_after(tx, workspace_id, touched=targets.Touched(resources=(row["id"],)))
    return str(row["id"])


async def list_variables(
    conn: Conn, resource_id: str, *, limit: int, offset: int
) -> tuple[tuple[ResourceVariable, ...], int]:
    """A page of a resource's variables by key, and how many there are."""
    total = await conn.fetchval(Q.count_variables, resource_id)
    return many(ResourceVariable, await conn.fetch(Q.list_variables, resource_id, limit, offset)), total


async def _replace_variables(tx: Tx, workspace_id: str, resource_id: str, *, variables: Mapping[str, Any]) -> bool:
    """Whether anything changed. Sensitive values are sealed."""
    rows = await tx.conn.fetch(Q.list_variables, resource_id, None, 0)
    standing = {row["key"]: row["value"] for row in rows}
    wanted = {
        key: await tx.secrets.seal_wire(
            tx.conn, workspace_id, value, before=standing.get(key), field=f"variables.{key}"
        )
        for key, value in variables.items()
    }
    if is_same(standing, wanted):
        return False
    await tx.record(
        changes=[
            Change(Q.delete_variables, (resource_id, list(wanted))),
            Change(Q.save_variables, (resource_id, wanted)),
        ],
        events=[Event("resource.changed", Ref("resource", resource_id), {"variables": sorted(wanted)})],
    )
    return True


def created(resource_id: str, identifier: str, *, kind: str, formerly: str | None) -> Event:
    """A resource came; `formerly` had its identifier and was deleted, and hears of it in its own history too."""
    body = {"identifier": identifier, "kind": kind, **({"formerly": formerly} if formerly else {})}
    refs = (Ref("resource", formerly),) if formerly else ()
    return Event("resource.created", Ref("resource", resource_id), body, refs)


def _sent(content: ResourceContent, *, resource_id: str) -> dict[str, object]:
    return {
        "id": resource_id,
        "identifier": content.identifier,
        "name": content.name,
        "kind": content.kind,
        "version": content.version,
        "config": dict(content.config),
        "metadata": dict(content.metadata),
        "content_digest": content.digest,
    }


def gone(resource_id: str, identifier: str, **ended: int) -> Event:
    """A resource left; `ended` counts what ended with it."""
    return Event("resource.deleted", Ref("resource", resource_id), {"identifier": identifier, **ended})

"""Who keeps resources up to date? Providers are found by name; a rename keeps the id.

Source: contract.md sections c (ctrlplane_resource_provider) and e.
"""

from __future__ import annotations

from collections.abc import Mapping

from interlock.model.errors import Invalid, NotFound
from interlock.model.event import Event, Ref
from interlock.model.ids import is_id, new_id
from interlock.model.inventory import Provider
from interlock.store import targets
from interlock.store.matching import match_after
from interlock.store.ownership import is_known
from interlock.store.queries import Conn, queries
from interlock.store.rows import many, one
from interlock.store.tx import Change, Tx

Q = queries("provider")
SYNC = queries("sync")

LEFT_A_TIME = 1_000


async def find_provider_by_name(conn: Conn, workspace_id: str, *, name: str) -> Provider | None:
    """A provider by its unique name."""
    return one(Provider, await conn.fetchrow(Q.find_provider_by_name, workspace_id, name))


async def list_providers(conn: Conn, workspace_id: str, *, limit: int, offset: int) -> tuple[tuple[Provider, ...], int]:
    """A page of providers by name, and how many there are."""
    rows = await conn.fetch(Q.list_providers, workspace_id, limit, offset)
    return many(Provider, rows), int(await conn.fetchval(Q.count_providers, workspace_id))


async def lock_provider(tx: Tx, workspace_id: str, *, provider_id: str) -> Provider:
    """A provider, held until the transaction ends.

    Fails: `NotFound`.
    """
    found = (
        one(Provider, await tx.conn.fetchrow(Q.lock_provider, workspace_id, provider_id))
        if is_id(provider_id)
        else None
    )
    if found is None:
        raise NotFound("There is no such resource provider.")
    return found


async def count_resources(conn: Conn, provider_id: str) -> int:
    """How many resources a provider offers."""
    return int(await conn.fetchval(Q.count_resources, provider_id))


async def save_provider(
    tx: Tx, workspace_id: str, *, name: str, wanted_id: str | None, metadata: Mapping[str, str] | None
) -> Provider:
    """Create or replace a provider, found by name, then by id (a rename).

    Takes: `wanted_id` is what a client chose, or None; `metadata` None leaves what is stored.
    Fails: `Conflict` when the id belongs to another workspace.
    """
    existing = await find_provider_by_name(tx.conn, workspace_id, name=name)
    if existing is None and wanted_id is not None:
        await is_known(tx.conn, Q.find_owner, workspace_id=workspace_id, wanted_id=wanted_id)
        existing = one(Provider, await tx.conn.fetchrow(Q.find_provider, workspace_id, wanted_id))
    provider_id = existing.id if existing else wanted_id or new_id()
    body = {"name": name}
    if existing is None:
        await tx.record(
            changes=[Change(Q.insert_provider, (provider_id, workspace_id, name, dict(metadata or {})))],
            events=[Event("provider.created", Ref("provider", provider_id), body)],
        )
    else:
        kept = dict(existing.metadata if metadata is None else metadata)
        if (name, kept) != (existing.name, dict(existing.metadata)):
            await tx.record(
                changes=[Change(Q.update_provider, (provider_id, name, kept))],
                events=[Event("provider.changed", Ref("provider", provider_id), body)],
            )
    saved = one(Provider, await tx.conn.fetchrow(Q.find_provider, workspace_id, provider_id))
    assert saved is not None, "just written in this transaction"
    return saved


async def delete_provider(tx: Tx, workspace_id: str, *, name: str) -> Provider:
    """End a provider that offers nothing any more.

    Fails: `NotFound`; `Invalid` while it has resources.
    """
    found = await find_provider_by_name(tx.conn, workspace_id, name=name)
    if found is None:
        raise NotFound("There is no resource provider with this name.")
    provider = await lock_provider(tx, workspace_id, provider_id=found.id)
    resources = await count_resources(tx.conn, provider.id)
    if resources:
        raise Invalid(f"The provider still offers {resources} resources. Set it to none first.", code="PROVIDER_IN_USE")
    # What left with a big set is matched after it, by a look that finds it through the provider.
    while left := await tx.conn.fetch(SYNC.list_left, provider.id, LEFT_A_TIME):
        await match_after(tx, workspace_id, touched=targets.Touched(resources=tuple(row["id"] for row in left)))
    await tx.record(
        changes=[Change(Q.delete_provider, (provider.id,))],
        events=[Event("provider.deleted", Ref("provider", provider.id), {"name": name})],
    )
    return provider

"""REST for resource providers and the sets that they send.

Source: contract.md sections b (`sync`, `apply`), c (ctrlplane_resource_provider) and e ("Provider set").
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import Header, Request
from pydantic import Field, TypeAdapter, ValidationError, WithJsonSchema
from starlette.responses import Response

from interlock.access import Permission
from interlock.api import shapes
from interlock.api.paths import W, found, noun_router
from interlock.api.rendering import render_provider, render_resource
from interlock.model.ids import is_id
from interlock.settings import Settings
from interlock.store import providers, resources, syncs
from interlock.web.answers import Json
from interlock.web.bodies import AnyMap, Name, Text, TextMap, Texts, WireBody
from interlock.web.errors import invalid_from
from interlock.web.paging import Paging
from interlock.web.shapes import page_of
from interlock.web.sign_in import InWorkspace

router = noun_router("resource providers")

BY_NAME = W + "/resource-providers/name/{name:segment}"
RESOURCES_MAX = 500_000
SLICE = 500
"""Resources that are read before others are served: a few milliseconds."""


class ProviderBody(WireBody):
    """A provider as a client sends it. `id` may be empty; `metadata`, when absent, stays."""

    name: Name
    id: str | None = None
    metadata: Texts | None = None


class SetResource(WireBody):
    """One resource of a set. What else clients send (an instant of year 1) is ignored."""

    identifier: Name
    name: Name
    kind: Text
    version: Text
    config: AnyMap
    metadata: TextMap


_SCHEMA = {"type": "array", "items": SetResource.model_json_schema()}


class ProviderSetBody(WireBody):
    """Everything that a provider offers, in its order. Its resources are read a slice at a time (`_offered`)."""

    resources: Annotated[list[Any], Field(max_length=RESOURCES_MAX), WithJsonSchema(_SCHEMA)]


@router.get(W + "/resource-providers", response_model=page_of(shapes.ResourceProvider))
async def list_providers(here: InWorkspace, page: Paging) -> Response:
    """List providers by name. This path is ours: the contract knows a provider by name alone."""
    here.require(Permission.READ)
    async with here.read() as conn:
        items, total = await providers.list_providers(conn, here.id, limit=page.limit, offset=page.offset)
    return page.answer([render_provider(provider) for provider in items], total)


@router.put(W + "/resource-providers", status_code=202, response_model=shapes.ResourceProvider)
async def put_provider(here: InWorkspace, body: ProviderBody) -> Response:
    """Create or replace a provider, found by name, then by id."""
    wanted_id = body.id.lower() if body.id and is_id(body.id) else None
    async with here.tx(Permission.RESOURCE_WRITE, cause="api: put resource provider") as tx:
        provider = await providers.save_provider(
            tx, here.id, name=body.name, wanted_id=wanted_id, metadata=body.metadata
        )
    return Json(render_provider(provider), status_code=202)


@router.get(BY_NAME, response_model=shapes.ResourceProvider)
async def get_provider(here: InWorkspace, name: str) -> Response:
    """Get a provider by name."""
    here.require(Permission.READ)
    async with here.read() as conn:
        provider = await providers.find_provider_by_name(conn, here.id, name=name)
    return Json(render_provider(found(provider, "resource provider")))


@router.delete(BY_NAME, status_code=202, response_model=shapes.ResourceProvider)
async def delete_provider(here: InWorkspace, name: str) -> Response:
    """Delete a provider that offers nothing any more."""
    async with here.tx(Permission.RESOURCE_WRITE, cause="api: delete resource provider") as tx:
        provider = await providers.delete_provider(tx, here.id, name=name)
    return Json(render_provider(provider), status_code=202)


@router.get(BY_NAME + "/resources", response_model=page_of(shapes.Resource))
async def list_provider_resources(here: InWorkspace, name: str) -> Response:
    """List everything that a provider offers, in the order last set."""
    here.require(Permission.READ)
    async with here.read() as conn:
        provider = found(await providers.find_provider_by_name(conn, here.id, name=name), "resource provider")
        items = await resources.list_resources_of_provider(conn, provider.id)
    rendered = [render_resource(resource) for resource in items]
    return Json({"items": rendered, "total": len(items), "limit": max(1, len(items)), "offset": 0})


@router.put(W + "/resource-providers/{providerId:segment}/set", status_code=202, response_model=shapes.SetDone)
async def set_resources(
    here: InWorkspace,
    request: Request,
    providerId: str,
    body: ProviderSetBody,
    allow_removal: Annotated[
        str | None,
        Header(alias="X-Interlock-Allow-Removal", description="`true`: a removal of more than half is meant."),
    ] = None,
) -> Response:
    """Replace everything that a provider offers. Its other resources are deleted; those of other providers stay
    theirs and are named in `contested`.
    """
    here.require(Permission.RESOURCE_WRITE)
    settings: Settings = request.app.state.settings
    outcome = await syncs.set_resources(
        here.store,
        lambda: here.tx(Permission.RESOURCE_WRITE, cause="api: set resources"),
        here.id,
        provider_id=providerId.lower(),
        offered=await _offered(body.resources),
        remove_max=settings.sync_remove_max
        if here.workspace.sync_remove_max is None
        else here.workspace.sync_remove_max,
        removal_allowed=(allow_removal or "").strip().lower() == "true",
    )
    contested = [
        {"identifier": one.identifier, "providerId": one.provider_id, "provider": one.provider}
        for one in outcome.contested[: syncs.NAMED_MAX]
    ]
    more = {"contested": contested, "contestedTotal": len(outcome.contested)} if contested else {}
    return Json({"ok": True, "method": "direct", **more}, status_code=202)


async def _offered(sent: list[Any]) -> list[syncs.Offered]:
    """The resources of a set as the bytes that are compared and stored.

    Why:    a slice at a time, and each forgotten once it is read: others are served meanwhile, and the set is in
            memory once.
    Fails:  `Invalid` that names the faults of the first slice with any.
    """
    offered: list[syncs.Offered] = []
    for begin in range(0, len(sent), SLICE):
        try:
            read = _SLICE.validate_python(sent[begin : begin + SLICE])
        except ValidationError as cause:
            faults = [
                {**fault, "loc": ("resources", begin + int(fault["loc"][0]), *fault["loc"][1:])}
                for fault in cause.errors()
            ]
            raise invalid_from(faults) from cause
        offered.extend(
            syncs.Offered(
                one.identifier,
                one.kind,
                resources.ResourceContent(
                    one.identifier, one.name, one.kind, one.version, one.config, one.metadata
                ).said,
            )
            for one in read
        )
        for one in sent[begin : begin + SLICE]:
            one.clear()
        await asyncio.sleep(0)
    return offered


_SLICE = TypeAdapter(list[SetResource])

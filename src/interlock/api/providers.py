"""REST for resource providers and the sets that they send.

Source: contract.md sections b (`sync`, `apply`), c (ctrlplane_resource_provider) and e ("Provider set").
"""

from __future__ import annotations

from starlette.responses import Response

from interlock.access import Permission
from interlock.api import shapes
from interlock.api.paths import W, found, noun_router
from interlock.api.rendering import render_provider, render_resource
from interlock.model.ids import is_id
from interlock.store import providers, resources
from interlock.web.answers import Json
from interlock.web.bodies import AnyMap, Name, Text, TextMap, Texts, WireBody
from interlock.web.shapes import page_of
from interlock.web.sign_in import InWorkspace

router = noun_router("resource providers")

BY_NAME = W + "/resource-providers/name/{name:segment}"


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


class ProviderSetBody(WireBody):
    """Everything that a provider offers, in its order."""

    resources: list[SetResource]


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
async def set_resources(here: InWorkspace, providerId: str, body: ProviderSetBody) -> Response:
    """Replace everything that a provider offers. Its other resources are deleted, those of others skipped."""
    contents = [
        resources.ResourceContent(
            identifier=sent.identifier,
            name=sent.name,
            kind=sent.kind,
            version=sent.version,
            config=sent.config,
            metadata=sent.metadata,
        )
        for sent in body.resources
    ]
    async with here.tx(Permission.RESOURCE_WRITE, cause="api: set resources") as tx:
        provider = await providers.lock_provider(tx, here.id, provider_id=providerId.lower())
        await resources.set_resources(tx, here.id, provider_id=provider.id, contents=contents)
    return Json({"ok": True, "method": "direct"}, status_code=202)

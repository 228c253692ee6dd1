"""REST for resources and their variables. A resource is named by its identifier, which may hold slashes.

Deleting answers 202 to clients written in Go and 200 to all others: one client takes 202 alone, another 200 alone.

Source: contract.md section e, "Resource" and "Where the running server contradicts its own document".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Body, Query, Request
from pydantic import Field
from starlette.responses import Response

from interlock.access import Permission
from interlock.api import shapes
from interlock.api.paths import W, found, noun_router
from interlock.api.rendering import Wire, render_deployment, render_resource
from interlock.api.selectors import Scope, selector_of_query
from interlock.api.sensitive import shown_values
from interlock.model.errors import Invalid
from interlock.model.variable import wire_value
from interlock.store import deletions, deployments, resources
from interlock.web.answers import Json, accepted
from interlock.web.bodies import AnyMap, Int, Name, Object, Text, TextMap, Texts, WireBody
from interlock.web.paging import LIMIT_MAX, OFFSET_MAX, Page, Paging
from interlock.web.shapes import Accepted, page_of
from interlock.web.sign_in import InWorkspace

router = noun_router("resources")

SEARCH_LIMIT_DEFAULT = 500
FILTER_MAX = 1000
BY_IDENTIFIER = W + "/resources/identifier/{identifier:segment}"


class ResourceBody(WireBody):
    """A resource as a client sends it. Variables, when given, replace all it has."""

    name: Name
    kind: Text
    version: Text
    config: AnyMap
    metadata: TextMap
    variables: Object | None = None


FilterList = Annotated[list[str], Field(max_length=FILTER_MAX)]


class SearchBody(WireBody):
    """What to search for: OR within a list, AND across fields. `query` is part of a name or identifier."""

    identifiers: FilterList | None = None
    kinds: FilterList | None = None
    versions: FilterList | None = None
    providerIds: FilterList | None = None
    metadata: Texts | None = None
    query: Text | None = None
    sortBy: Literal["createdAt", "updatedAt", "name", "kind"] | None = None
    order: Literal["asc", "desc"] | None = None
    limit: Annotated[Int, Field(ge=1, le=LIMIT_MAX)] | None = None
    offset: Annotated[Int, Field(ge=0, le=OFFSET_MAX)] | None = None


@router.get(W + "/resources", response_model=page_of(shapes.Resource))
async def list_resources(here: InWorkspace, page: Paging, cel: Annotated[str | None, Query()] = None) -> Response:
    """List the resources that a selector over `resource` matches, in order of creation."""
    here.require(Permission.READ)
    selector = selector_of_query(cel, scope=Scope.RESOURCE)
    async with here.read() as conn:
        items, total = await resources.list_resources(
            conn, here.id, selector=selector, limit=page.limit, offset=page.offset
        )
    return page.answer([render_resource(resource) for resource in items], total)


@router.post(W + "/resources/search", response_model=page_of(shapes.Resource))
async def search_resources(
    here: InWorkspace,
    body: SearchBody,
    limit: Annotated[int | None, Query(ge=1, le=LIMIT_MAX)] = None,
    offset: Annotated[int | None, Query(ge=0, le=OFFSET_MAX)] = None,
) -> Response:
    """Search resources by lists of values and part of a name."""
    here.require(Permission.READ)
    page = Page(limit=body.limit or limit or SEARCH_LIMIT_DEFAULT, offset=body.offset or offset or 0)
    wanted = resources.ResourceFilter(
        identifiers=body.identifiers,
        kinds=body.kinds,
        versions=body.versions,
        provider_ids=body.providerIds,
        metadata=body.metadata,
        query=body.query,
    )
    async with here.read() as conn:
        items, total = await resources.search_resources(
            conn,
            here.id,
            wanted=wanted,
            sort_by=body.sortBy or "createdAt",
            descending=body.order == "desc",
            limit=page.limit,
            offset=page.offset,
        )
    return page.answer([render_resource(resource) for resource in items], total)


@router.get(BY_IDENTIFIER, response_model=shapes.Resource)
async def get_resource(here: InWorkspace, identifier: str) -> Response:
    """Get a resource."""
    here.require(Permission.READ)
    async with here.read() as conn:
        return Json(
            render_resource(found(await resources.find_resource(conn, here.id, identifier=identifier), "resource"))
        )


@router.put(BY_IDENTIFIER, status_code=202, response_model=Accepted)
async def put_resource(here: InWorkspace, identifier: str, body: ResourceBody) -> Response:
    """Create or replace a resource. Its provider stays."""
    if not identifier.strip():
        raise Invalid("An identifier must not be empty.", field="identifier")
    content = resources.ResourceContent(
        identifier=identifier,
        name=body.name,
        kind=body.kind,
        version=body.version,
        config=body.config,
        metadata=body.metadata,
    )
    sent = None if body.variables is None else _stored(body.variables)
    async with here.tx(Permission.RESOURCE_WRITE, cause="api: put resource") as tx:
        resource_id = await resources.save_resource(tx, here.id, content=content, variables=sent)
    return accepted(resource_id, "The resource was saved.")


@router.delete(BY_IDENTIFIER, status_code=202, response_model=Accepted, responses={200: {"model": Accepted}})
async def delete_resource(here: InWorkspace, request: Request, identifier: str) -> Response:
    """Delete a resource. What waits is withdrawn, what runs is asked to stop, and what is deployed stays
    where it is.
    """
    async with here.tx(Permission.RESOURCE_WRITE, cause="api: delete resource") as tx:
        resource_id = await deletions.delete_resource(tx, here.id, identifier=identifier)
    answer = accepted(resource_id, "The resource was deleted.")
    if not request.headers.get("user-agent", "").startswith("Go-http-client/"):
        answer.status_code = 200
    return answer


@router.get(BY_IDENTIFIER + "/variables", response_model=page_of(shapes.ResourceVariable))
async def list_variables(here: InWorkspace, identifier: str, page: Paging) -> Response:
    """List a resource's variables by key."""
    here.require(Permission.READ)
    async with here.read() as conn:
        resource = found(await resources.find_resource(conn, here.id, identifier=identifier), "resource")
        items, total = await resources.list_variables(conn, resource.id, limit=page.limit, offset=page.offset)
    rendered: list[Wire] = [{"resourceId": item.resource_id, "key": item.key, "value": item.value} for item in items]
    return page.answer(await shown_values(here, rendered, Permission.RESOURCE_WRITE), total)


@router.patch(BY_IDENTIFIER + "/variables", status_code=202, response_model=Accepted)
async def replace_variables(here: InWorkspace, identifier: str, variables: Annotated[Object, Body()]) -> Response:
    """Replace all variables of a resource; `{}` clears them. A value may be literal, or `{reference, path}`."""
    sent = _stored(variables)
    async with here.tx(Permission.RESOURCE_WRITE, cause="api: replace resource variables") as tx:
        resource_id = await resources.replace_variables(tx, here.id, identifier=identifier, variables=sent)
    return accepted(resource_id, "The variables were replaced.")


@router.get(BY_IDENTIFIER + "/deployments", response_model=page_of(shapes.Deployment))
async def list_deployments(here: InWorkspace, identifier: str, page: Paging) -> Response:
    """List the deployments that have a target on a resource, by name."""
    here.require(Permission.READ)
    async with here.read() as conn:
        resource = found(await resources.find_resource(conn, here.id, identifier=identifier), "resource")
        items, total = await deployments.list_deployments_of_resource(
            conn, resource.id, limit=page.limit, offset=page.offset
        )
    return page.answer([render_deployment(deployment) for deployment in items], total)


def _stored(variables: dict[str, Any]) -> dict[str, Any]:
    """The variables in the form in which they are stored.

    Fails: `Invalid` for too many, and for a value that cannot be kept.
    """
    if len(variables) > resources.VARIABLES_MAX:
        raise Invalid(f"A resource has at most {resources.VARIABLES_MAX} variables.", field="variables")
    return {key: wire_value(value, field=f"variables.{key}") for key, value in variables.items()}

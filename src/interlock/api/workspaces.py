"""REST for workspaces. A workspace of which the caller is no member does not exist for them.

Source: contract.md section e, "Workspace"; section a, "Workspace" lookups.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints
from starlette.responses import Response

from interlock.access import Permission
from interlock.api import shapes
from interlock.api.paths import W, noun_router
from interlock.api.rendering import render_workspace
from interlock.model.errors import Forbidden, Invalid, NotFound
from interlock.model.ids import is_id
from interlock.store import principals, workspaces
from interlock.store.refusals import refusals
from interlock.web.answers import Json
from interlock.web.bodies import Int, WireBody
from interlock.web.sign_in import FromStore, InWorkspace, SignedIn, actor_of, find_here

router = noun_router("workspaces")

WorkspaceName = Annotated[str, StringConstraints(min_length=3, max_length=30)]
Slug = Annotated[str, StringConstraints(min_length=3, max_length=50, pattern=r"^[a-z0-9-]+$")]


class WorkspaceBody(WireBody):
    """A new workspace."""

    name: WorkspaceName
    slug: Slug


class WorkspaceChange(WireBody):
    """What may change of a workspace. `syncRemoveMax`: how many resources one sync may remove without a word."""

    name: WorkspaceName | None = None
    slug: Slug | None = None
    syncRemoveMax: Annotated[Int, Field(ge=0, le=2**31 - 1)] | None = None


@router.get("/v1/workspaces", response_model=shapes.WorkspaceList)
async def list_workspaces(caller: SignedIn, store: FromStore) -> Response:
    """List the workspaces that the key's user is a member of."""
    async with store.read() as conn:
        items = await workspaces.list_workspaces_of(conn, caller.id, every=caller.system_admin)
        if caller.limits is not None and caller.key_id is not None:
            opened = await principals.list_key_workspaces(conn, caller.key_id)
            items = tuple(workspace for workspace in items if workspace.id in opened)
    return Json({"workspaces": [render_workspace(workspace) for workspace in items], "total": len(items)})


@router.post("/v1/workspaces", status_code=201, response_model=shapes.Workspace)
async def create_workspace(caller: SignedIn, store: FromStore, body: WorkspaceBody) -> Response:
    """Create a workspace. Its creator becomes its admin."""
    if caller.limits is not None or (caller.scopes is not None and Permission.WORKSPACE_WRITE not in caller.scopes):
        raise Forbidden("This key is narrowed to some things, and making a workspace is not one of them.")
    if is_id(body.slug):
        raise Invalid("A slug must not look like an id.", field="slug", code="INVALID_SLUG")
    with refusals():
        async with store.tx(actor=actor_of(caller), cause="api: create workspace") as tx:
            workspace_id = await workspaces.create_workspace(tx, body.name, slug=body.slug, creator_id=caller.id)
            workspace = await workspaces.find_workspace(tx.conn, workspace_id)
    assert workspace is not None, "just written"
    return Json(render_workspace(workspace), status_code=201)


@router.get("/v1/workspaces/slug/{workspaceSlug:segment}", response_model=shapes.Workspace)
async def get_workspace_by_slug(caller: SignedIn, store: FromStore, workspaceSlug: str) -> Response:
    """Get a workspace by slug."""
    here = await find_here(store, caller, workspace=workspaceSlug)
    if here.workspace.slug != workspaceSlug:
        raise NotFound("There is no workspace with this slug.")
    return Json(render_workspace(here.workspace))


@router.get(W, response_model=shapes.Workspace)
async def get_workspace(here: InWorkspace) -> Response:
    """Get a workspace by id or slug."""
    here.require(Permission.READ)
    return Json(render_workspace(here.workspace))


@router.delete(W, status_code=204, response_class=Response)
async def delete_workspace(here: InWorkspace) -> Response:
    """Delete a workspace: nothing starts there any more, and what runs is asked to stop. Its ledger is kept."""
    async with here.tx(Permission.WORKSPACE_WRITE, cause="api: delete workspace") as tx:
        await workspaces.delete_workspace(tx, here.id)
    return Response(status_code=204)


@router.patch(W, response_model=shapes.Workspace)
async def update_workspace(here: InWorkspace, body: WorkspaceChange) -> Response:
    """Change a workspace's name or slug."""
    async with here.tx(Permission.WORKSPACE_WRITE, cause="api: update workspace") as tx:
        await workspaces.change_workspace(
            tx, here.id, name=body.name, slug=body.slug, sync_remove_max=body.syncRemoveMax
        )
        workspace = await workspaces.find_workspace(tx.conn, here.id)
    assert workspace is not None, "just written"
    return Json(render_workspace(workspace))

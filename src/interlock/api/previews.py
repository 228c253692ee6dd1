"""REST for previews: where would this resource be deployed to, if it existed?

Upstream ignores the body and lists every linked triple; what the command promises is to match the selectors against
the posted resource, and so it does here.

Source: contract.md sections b ("api get release-targets") and e ("resource-preview").
"""

from __future__ import annotations

from starlette.responses import Response

from interlock.access import Permission
from interlock.api.paths import W, noun_router
from interlock.api.rendering import render_deployment, render_environment, render_system
from interlock.clock import utc_now
from interlock.inventory.views import resource_view
from interlock.model.ids import new_id
from interlock.model.inventory import Resource
from interlock.store import deployments, environments, previews, systems
from interlock.web.bodies import AnyMap, Name, TextMap, WireBody
from interlock.web.paging import Paging
from interlock.web.sign_in import InWorkspace

router = noun_router("previews")


class ResourcePreviewBody(WireBody):
    """A resource that does not exist."""

    identifier: Name
    name: Name
    kind: Name
    version: Name
    config: AnyMap
    metadata: TextMap


@router.post(W + "/release-targets/resource-preview")
async def preview_targets(here: InWorkspace, page: Paging, body: ResourcePreviewBody) -> Response:
    """List where a resource like this would become a release target."""
    here.require(Permission.READ)
    now = utc_now()
    view = resource_view(
        Resource(
            id=new_id(),
            workspace_id=here.id,
            provider_id=None,
            identifier=body.identifier,
            name=body.name,
            kind=body.kind,
            version=body.version,
            config=body.config,
            metadata=body.metadata,
            created_at=now,
            updated_at=now,
        )
    )
    async with here.read() as conn:
        found = await previews.list_triples_of(conn, here.id, resource=view)
        shown = found[page.offset : page.offset + page.limit]
        by_id = {
            each.id: each
            for each in await deployments.load_deployments(conn, sorted({one.deployment_id for one in shown}))
        }
        environment_ids = sorted({one.environment_id for one in shown})
        places = {each.id: each for each in await environments.load_environments(conn, environment_ids)}
        grouped = await systems.load_systems_of(conn, "deployment", child_ids=sorted(by_id))
        rooms = {system.id: system for group in grouped.values() for system in group}
    return page.answer(
        [
            {
                "system": render_system(rooms[one.system_id]),
                "deployment": render_deployment(by_id[one.deployment_id]),
                "environment": render_environment(places[one.environment_id]),
            }
            for one in shown
        ],
        len(found),
    )

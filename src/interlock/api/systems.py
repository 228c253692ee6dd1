"""REST for systems and the links by which deployments and environments meet in them.

Source: contract.md sections c (ctrlplane_system, the two links) and e.
"""

from __future__ import annotations

from starlette.responses import Response

from interlock.access import Permission, Place
from interlock.api import shapes
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import render_deployment, render_environment, render_system
from interlock.model.ids import new_id
from interlock.model.inventory import System
from interlock.store import bindings, deletions, deployments, environments, systems
from interlock.store.queries import Conn
from interlock.web.answers import Json, accepted
from interlock.web.bodies import Name, Text, TextMap, WireBody
from interlock.web.paging import Paging
from interlock.web.shapes import Accepted, page_of
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("systems")


class SystemBody(WireBody):
    """A system as a client sends it. A slug is taken and ignored: it is the name."""

    name: Name
    description: Text | None = None
    metadata: TextMap


@router.get(W + "/systems", response_model=page_of(shapes.System))
async def list_systems(here: InWorkspace, page: Paging) -> Response:
    """List systems in order of creation."""
    here.require(Permission.READ)
    async with here.read() as conn:
        items, total = await systems.list_systems(conn, here.id, limit=page.limit, offset=page.offset)
    return page.answer([render_system(system) for system in items], total)


@router.post(W + "/systems", status_code=202, response_model=Accepted)
async def create_system(here: InWorkspace, body: SystemBody) -> Response:
    """Create a system. Names need not be unique."""
    system_id = new_id()
    await _save(here, system_id, body, cause="api: create system")
    return accepted(system_id, "The system was created.")


@router.get(W + "/systems/{systemId:segment}", response_model=shapes.SystemWithLinkedEntities)
async def get_system(here: InWorkspace, systemId: str) -> Response:
    """Get a system with the deployments and environments that are linked to it."""
    here.require(Permission.READ)
    async with here.read() as conn:
        system = await _required(conn, here, systemId)
        deployment_ids, environment_ids = await systems.load_linked_ids(conn, system.id)
        linked_deployments = await deployments.load_deployments(conn, deployment_ids)
        linked_environments = await environments.load_environments(conn, environment_ids)
    return Json(
        {
            **render_system(system),
            "deployments": [render_deployment(deployment) for deployment in linked_deployments],
            "environments": [render_environment(environment) for environment in linked_environments],
        }
    )


@router.put(W + "/systems/{systemId:segment}", status_code=202, response_model=Accepted)
async def put_system(here: InWorkspace, systemId: str, body: SystemBody) -> Response:
    """Create or replace a system by id."""
    system_id = id_of(systemId, "system")
    await _save(here, system_id, body, cause="api: put system")
    return accepted(system_id, "The system was saved.")


@router.delete(W + "/systems/{systemId:segment}", status_code=202, response_model=Accepted)
async def delete_system(here: InWorkspace, systemId: str) -> Response:
    """Delete a system. What it links stays."""
    system_id = id_of(systemId, "system")
    async with here.tx(Permission.DEPLOYMENT_WRITE, cause="api: delete system", place=_place(system_id)) as tx:
        await deletions.delete_system(tx, here.id, system_id=system_id)
    return accepted(system_id, "The system was deleted.")


@router.get(W + "/systems/{systemId:segment}/deployments/{deploymentId:segment}", response_model=shapes.DeploymentLink)
async def get_deployment_link(here: InWorkspace, systemId: str, deploymentId: str) -> Response:
    """Get the link of a deployment to a system."""
    system_id, child_id = await _linked(here, systemId, deploymentId, child_kind="deployment")
    return Json({"systemId": system_id, "deploymentId": child_id})


@router.put(
    W + "/systems/{systemId:segment}/deployments/{deploymentId:segment}", status_code=202, response_model=Accepted
)
async def link_deployment(here: InWorkspace, systemId: str, deploymentId: str) -> Response:
    """Link a deployment to a system."""
    return await _link(here, systemId, deploymentId, child_kind="deployment")


@router.delete(
    W + "/systems/{systemId:segment}/deployments/{deploymentId:segment}", status_code=202, response_model=Accepted
)
async def unlink_deployment(here: InWorkspace, systemId: str, deploymentId: str) -> Response:
    """Unlink a deployment from a system."""
    return await _unlink(here, systemId, deploymentId, child_kind="deployment")


@router.get(
    W + "/systems/{systemId:segment}/environments/{environmentId:segment}", response_model=shapes.EnvironmentLink
)
async def get_environment_link(here: InWorkspace, systemId: str, environmentId: str) -> Response:
    """Get the link of an environment to a system."""
    system_id, child_id = await _linked(here, systemId, environmentId, child_kind="environment")
    return Json({"systemId": system_id, "environmentId": child_id})


@router.put(
    W + "/systems/{systemId:segment}/environments/{environmentId:segment}", status_code=202, response_model=Accepted
)
async def link_environment(here: InWorkspace, systemId: str, environmentId: str) -> Response:
    """Link an environment to a system."""
    return await _link(here, systemId, environmentId, child_kind="environment")


@router.delete(
    W + "/systems/{systemId:segment}/environments/{environmentId:segment}", status_code=202, response_model=Accepted
)
async def unlink_environment(here: InWorkspace, systemId: str, environmentId: str) -> Response:
    """Unlink an environment from a system."""
    return await _unlink(here, systemId, environmentId, child_kind="environment")


async def _save(here: Here, system_id: str, body: SystemBody, *, cause: str) -> None:
    async with here.tx(Permission.DEPLOYMENT_WRITE, cause=cause, place=_place(system_id)) as tx:
        await systems.save_system(
            tx,
            here.id,
            system_id=system_id,
            name=body.name,
            description=body.description,
            metadata=body.metadata,
        )


async def _linked(here: Here, system_text: str, child_text: str, *, child_kind: str) -> tuple[str, str]:
    here.require(Permission.READ)
    child_id = id_of(child_text, child_kind)
    async with here.read() as conn:
        system = await _required(conn, here, system_text)
        linked = await systems.is_linked(conn, system_id=system.id, child_kind=child_kind, child_id=child_id)
    found(linked or None, "link")
    return system.id, child_id


async def _link(here: Here, system_text: str, child_text: str, *, child_kind: str) -> Response:
    system_id, child_id = id_of(system_text, "system"), id_of(child_text, child_kind)
    async with here.read() as conn:
        child_place = (await bindings.find_scope(conn, here.id, kind=child_kind, scope_id=child_id)).place
    # who holds a role over the system would hold it over what is linked: so both are needed
    here.require(Permission.DEPLOYMENT_WRITE, place=child_place)
    async with here.tx(Permission.DEPLOYMENT_WRITE, cause=f"api: link {child_kind}", place=_place(system_id)) as tx:
        child = (
            await deployments.find_deployment(tx.conn, here.id, deployment_id=child_id)
            if child_kind == "deployment"
            else await environments.find_environment(tx.conn, here.id, environment_id=child_id)
        )
        found(child, child_kind)
        await systems.link(tx, here.id, system_id=system_id, child_kind=child_kind, child_id=child_id)
    return accepted(system_id, f"The {child_kind} was linked.")


async def _unlink(here: Here, system_text: str, child_text: str, *, child_kind: str) -> Response:
    system_id, child_id = id_of(system_text, "system"), id_of(child_text, child_kind)
    async with here.tx(Permission.DEPLOYMENT_WRITE, cause=f"api: unlink {child_kind}", place=_place(system_id)) as tx:
        await systems.unlink(tx, here.id, system_id=system_id, child_kind=child_kind, child_id=child_id)
    return accepted(system_id, f"The {child_kind} was unlinked.")


async def _required(conn: Conn, here: Here, text: str) -> System:
    return found(await systems.find_system(conn, here.id, system_id=id_of(text, "system")), "system")


def _place(system_id: str) -> Place:
    return Place(system_ids=frozenset({system_id}))

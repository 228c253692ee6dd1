"""REST for environments.

Source: contract.md sections c (ctrlplane_environment) and e.
"""

from __future__ import annotations

from starlette.responses import Response

from interlock.access import Permission, Place
from interlock.api import shapes
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import render_environment
from interlock.api.selectors import Scope, checked_selector
from interlock.model.ids import new_id
from interlock.model.inventory import NOTHING, Environment
from interlock.store import deletions, environments, systems
from interlock.store.queries import Conn
from interlock.web.answers import Json, accepted
from interlock.web.bodies import Name, Text, TextMap, WireBody
from interlock.web.paging import Paging
from interlock.web.shapes import Accepted, page_of
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("environments")


class EnvironmentBody(WireBody):
    """An environment as a client sends it."""

    name: Name
    description: Text | None = None
    resourceSelector: Text | None = None
    metadata: TextMap


@router.get(W + "/environments", response_model=page_of(shapes.EnvironmentWithSystems))
async def list_environments(here: InWorkspace, page: Paging) -> Response:
    """List environments in order of creation, each with its systems."""
    here.require(Permission.READ)
    async with here.read() as conn:
        items, total = await environments.list_environments(conn, here.id, limit=page.limit, offset=page.offset)
        systems_by_id = await systems.load_systems_of(conn, "environment", child_ids=[item.id for item in items])
    return page.answer([render_environment(item, systems=systems_by_id[item.id]) for item in items], total)


@router.post(W + "/environments", status_code=202, response_model=Accepted)
async def create_environment(here: InWorkspace, body: EnvironmentBody) -> Response:
    """Create an environment. Its name is unique in the workspace."""
    environment_id = new_id()
    await _save(here, environment_id, body, cause="api: create environment")
    return accepted(environment_id, "The environment was created.")


@router.get(W + "/environments/name/{name:segment}", response_model=shapes.EnvironmentWithSystems)
async def get_environment_by_name(here: InWorkspace, name: str) -> Response:
    """Get an environment by name."""
    here.require(Permission.READ)
    async with here.read() as conn:
        return await _answer(conn, await environments.find_environment_by_name(conn, here.id, name=name))


@router.get(W + "/environments/{environmentId:segment}", response_model=shapes.EnvironmentWithSystems)
async def get_environment(here: InWorkspace, environmentId: str) -> Response:
    """Get an environment with the systems that it is in."""
    here.require(Permission.READ)
    environment_id = id_of(environmentId, "environment")
    async with here.read() as conn:
        return await _answer(conn, await environments.find_environment(conn, here.id, environment_id=environment_id))


@router.put(W + "/environments/{environmentId:segment}", status_code=202, response_model=Accepted)
async def put_environment(here: InWorkspace, environmentId: str, body: EnvironmentBody) -> Response:
    """Create or replace an environment by id."""
    environment_id = id_of(environmentId, "environment")
    await _save(here, environment_id, body, cause="api: put environment")
    return accepted(environment_id, "The environment was saved.")


@router.delete(W + "/environments/{environmentId:segment}", status_code=202, response_model=Accepted)
async def delete_environment(here: InWorkspace, environmentId: str) -> Response:
    """Delete an environment. What waits is withdrawn, what runs is asked to stop, and what is deployed stays
    where it is.
    """
    environment_id = id_of(environmentId, "environment")
    place = await _place(here, environment_id)
    async with here.tx(Permission.DEPLOYMENT_WRITE, cause="api: delete environment", place=place) as tx:
        await deletions.delete_environment(tx, here.id, environment_id=environment_id)
    return accepted(environment_id, "The environment was deleted.")


async def _save(here: Here, environment_id: str, body: EnvironmentBody, *, cause: str) -> None:
    selector = checked_selector(body.resourceSelector, scope=Scope.RESOURCE, field="resourceSelector") or NOTHING
    place = await _place(here, environment_id)
    async with here.tx(Permission.DEPLOYMENT_WRITE, cause=cause, place=place) as tx:
        await environments.save_environment(
            tx,
            here.id,
            environment_id=environment_id,
            name=body.name,
            description=body.description,
            resource_selector=selector,
            metadata=body.metadata,
        )


async def _answer(conn: Conn, environment: Environment | None) -> Response:
    known = found(environment, "environment")
    systems_by_id = await systems.load_systems_of(conn, "environment", child_ids=[known.id])
    return Json(render_environment(known, systems=systems_by_id[known.id]))


async def _place(here: Here, environment_id: str) -> Place:
    async with here.read() as conn:
        system_ids = await environments.load_system_ids(conn, environment_id)
    return Place(system_ids=system_ids, environment_id=environment_id)

"""REST for deployments.

A deployment names its agent in one of two forms: `jobAgentSelector` with `jobAgentConfig`, or the older `jobAgents`,
a list of `{ref, config, selector}`. Both are stored and returned as they were sent. What a replacement leaves out is
unset.

Source: contract.md sections c (ctrlplane_deployment) and e.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import Query, Request
from pydantic import Field
from starlette.responses import Response

from interlock.access import Permission, Place
from interlock.api import shapes
from interlock.api.agent_configs import check_deployment, load_agents
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import (
    Wire,
    render_deployment,
    render_system,
    render_value,
    render_variable_with_values,
)
from interlock.api.selectors import Scope, checked_selector, selector_of_query
from interlock.api.sensitive import shown_values
from interlock.model.conduct import check_conduct
from interlock.model.deployment_facts import check_deployment_facts
from interlock.model.ids import new_id
from interlock.model.inventory import NOTHING, Deployment, System
from interlock.model.variable import DeploymentVariable, VariableValue
from interlock.store import bindings, deletions, deployments, systems, variables
from interlock.store.queries import Conn
from interlock.web.answers import Json, accepted, present
from interlock.web.bodies import AnyMap, Name, Text, TextMap, WireBody
from interlock.web.paging import Paging
from interlock.web.shapes import Accepted, page_of
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("deployments")

JOB_AGENTS_MAX = 100


class DeploymentAgent(WireBody):
    """One entry of the older form: the first whose selector is true wins, an empty one is always true."""

    ref: Text
    config: AnyMap
    selector: Text | None = None


class DeploymentBody(WireBody):
    """A deployment as a client sends it. A slug is taken and ignored: it is the name. `supersede` is ours."""

    name: Name
    description: Text | None = None
    resourceSelector: Text | None = None
    jobAgentSelector: Text | None = None
    jobAgentConfig: AnyMap
    jobAgents: Annotated[list[DeploymentAgent], Field(max_length=JOB_AGENTS_MAX)] | None = None
    metadata: TextMap
    supersede: Literal["wait", "cancel"] = "wait"


@router.get(W + "/deployments", response_model=page_of(shapes.DeploymentAndSystems))
async def list_deployments(here: InWorkspace, page: Paging, cel: Annotated[str | None, Query()] = None) -> Response:
    """List deployments in order of creation, each with its systems."""
    here.require(Permission.READ)
    selector = selector_of_query(cel, scope=Scope.DEPLOYMENT)
    async with here.read() as conn:
        items, total = await deployments.list_deployments(
            conn, here.id, selector=selector, limit=page.limit, offset=page.offset
        )
        systems_by_id = await systems.load_systems_of(conn, "deployment", child_ids=[item.id for item in items])
    rendered = [
        {
            "deployment": await _shown(here, item, systems_by_id[item.id]),
            "systems": [render_system(system) for system in systems_by_id[item.id]],
        }
        for item in items
    ]
    return page.answer(rendered, total)


@router.post(W + "/deployments", status_code=202, response_model=shapes.WithWarnings)
async def create_deployment(here: InWorkspace, request: Request, body: DeploymentBody) -> Response:
    """Create a deployment. Its name is unique in the workspace. `warnings` tell what its jobs would lack."""
    deployment_id = new_id()
    warnings = await _save(here, request, deployment_id, body, cause="api: create deployment")
    return _saved(deployment_id, "The deployment was created.", warnings)


@router.get(W + "/deployments/name/{name:segment}", response_model=shapes.DeploymentWithVariablesAndSystems)
async def get_deployment_by_name(here: InWorkspace, name: str) -> Response:
    """Get a deployment by name."""
    here.require(Permission.READ)
    async with here.read() as conn:
        deployment = await deployments.find_deployment_by_name(conn, here.id, name=name)
    return await _answer(here, deployment)


@router.get(W + "/deployments/{deploymentId:segment}", response_model=shapes.DeploymentWithVariablesAndSystems)
async def get_deployment(here: InWorkspace, deploymentId: str) -> Response:
    """Get a deployment with the systems that it is in and the variables that it declares."""
    here.require(Permission.READ)
    deployment_id = id_of(deploymentId, "deployment")
    async with here.read() as conn:
        deployment = await deployments.find_deployment(conn, here.id, deployment_id=deployment_id)
    return await _answer(here, deployment)


@router.put(W + "/deployments/{deploymentId:segment}", status_code=202, response_model=shapes.WithWarnings)
async def put_deployment(here: InWorkspace, request: Request, deploymentId: str, body: DeploymentBody) -> Response:
    """Create or replace a deployment by id. `warnings` tell what its jobs would lack."""
    deployment_id = id_of(deploymentId, "deployment")
    warnings = await _save(here, request, deployment_id, body, cause="api: put deployment")
    return _saved(deployment_id, "The deployment was saved.", warnings)


@router.delete(W + "/deployments/{deploymentId:segment}", status_code=202, response_model=Accepted)
async def delete_deployment(here: InWorkspace, deploymentId: str) -> Response:
    """Delete a deployment. What waits is withdrawn, what runs is asked to stop, and what is deployed stays
    where it is.
    """
    deployment_id = id_of(deploymentId, "deployment")
    place = await place_of(here, deployment_id)
    async with here.tx(Permission.DEPLOYMENT_WRITE, cause="api: delete deployment", place=place) as tx:
        await deletions.delete_deployment(tx, here.id, deployment_id=deployment_id)
    return accepted(deployment_id, "The deployment was deleted.")


async def place_of(here: Here, deployment_id: str, *, environment_id: str | None = None) -> Place:
    """Where a request about a deployment happens: so that a role over one of its systems counts.

    Takes: with an environment, only the systems count that both are in: that is where they meet.
    """
    async with here.read() as conn:
        return await bindings.load_place(conn, deployment_id=deployment_id, environment_id=environment_id)


async def narrowed_to(conn: Conn, here: Here, text: str | None) -> str | None:
    """The id of the deployment that a list is narrowed to, by its id or name; None where it is not.

    Fails: `NotFound`.
    """
    if not text:
        return None
    return found(await deployments.resolve_deployment(conn, here.id, text=text), "deployment", named=text).id


def _saved(deployment_id: str, message: str, warnings: list[str]) -> Response:
    return Json(present(id=deployment_id, message=message, warnings=warnings or None), status_code=202)


async def _save(here: Here, request: Request, deployment_id: str, body: DeploymentBody, *, cause: str) -> list[str]:
    """Save it; gives warnings."""
    selector = checked_selector(body.resourceSelector, scope=Scope.RESOURCE, field="resourceSelector") or NOTHING
    checked_selector(body.jobAgentSelector, scope=Scope.JOB_AGENT, field="jobAgentSelector")
    for number, agent in enumerate(body.jobAgents or ()):
        checked_selector(agent.selector, scope=Scope.JOB_AGENT, field=f"jobAgents[{number}].selector")
        check_conduct(agent.config, path=f"jobAgents[{number}].config")
    check_conduct(body.jobAgentConfig, path="jobAgentConfig")
    check_deployment_facts(body.metadata)
    place = await place_of(here, deployment_id)
    entries = [agent.model_dump(exclude_none=True) for agent in body.jobAgents or ()]
    async with here.tx(Permission.DEPLOYMENT_WRITE, cause=cause, place=place) as tx:
        warnings = check_deployment(
            request.app.state.agents,
            await load_agents(tx.conn, here.id),
            selector=body.jobAgentSelector or "",
            config=body.jobAgentConfig,
            entries=entries,
        )
        await deployments.save_deployment(
            tx,
            here.id,
            deployment_id=deployment_id,
            name=body.name,
            description=body.description,
            resource_selector=selector,
            job_agent_selector=body.jobAgentSelector or "",
            job_agent_config=body.jobAgentConfig,
            job_agents=entries or None,
            metadata=body.metadata,
            supersede=body.supersede,
        )
    return warnings


async def _answer(here: Here, deployment: Deployment | None) -> Response:
    known = found(deployment, "deployment")
    async with here.read() as conn:
        systems_by_id = await systems.load_systems_of(conn, "deployment", child_ids=[known.id])
        declared, _ = await variables.list_variables(conn, known.id, limit=None, offset=0)
        values = await variables.load_values(conn, [each.id for each in declared])
    place = _place(known, systems_by_id[known.id])
    return Json(
        {
            "deployment": await _shown(here, known, systems_by_id[known.id]),
            "systems": [render_system(system) for system in systems_by_id[known.id]],
            "variables": [await shown_variable(here, each, values[each.id], place=place) for each in declared],
        }
    )


def _place(deployment: Deployment, within: Sequence[System]) -> Place:
    return Place(system_ids=frozenset(system.id for system in within), deployment_id=deployment.id)


async def _shown(here: Here, deployment: Deployment, within: Sequence[System]) -> Wire:
    """A deployment, with the secrets of its agents' config for who may write it."""
    place = _place(deployment, within)
    shown: Wire = await here.shown(render_deployment(deployment), Permission.DEPLOYMENT_WRITE, place=place)
    return shown


async def shown_variable(
    here: Here, variable: DeploymentVariable, values: Sequence[VariableValue], *, place: Place
) -> Wire:
    """A variable with its values, those that are sensitive for who may write them."""
    rendered = render_variable_with_values(variable, values)
    listed = [render_value(value) for value in values]
    return {**rendered, "values": await shown_values(here, listed, Permission.DEPLOYMENT_WRITE, place=place)}

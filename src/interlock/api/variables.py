"""REST for deployment variables and their values: what a deployment's releases carry, and for which resources.

Both are created or replaced by an id that the client made. A value comes back as it was sent: scalars bare, objects
wrapped as `{"object": ...}`, references as `{"reference", "path"}`. Two values of the same priority that match the same
resource are taken in the order of their ids; the answer to the write warns of them.

Source: contract.md section c, ctrlplane_deployment_variable and ctrlplane_deployment_variable_value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field
from starlette.responses import Response

from interlock.access import Permission
from interlock.api import shapes
from interlock.api.deployments import place_of, shown_variable
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import render_value
from interlock.api.selectors import Scope, checked_selector
from interlock.api.sensitive import shown_values
from interlock.inventory.variables import Overlap
from interlock.model.errors import Invalid
from interlock.model.variable import wire_value
from interlock.store import deployments, variables
from interlock.store.variables import WantedValue, WantedVariable
from interlock.web.answers import Json, accepted, present
from interlock.web.bodies import ClosedBody, Int, Name, Text, WireBody
from interlock.web.paging import Paging
from interlock.web.shapes import Accepted, page_of
from interlock.web.sign_in import InWorkspace

router = noun_router("variables")

PRIORITY_MAX = 2**63 - 1

VARIABLE = W + "/deployment-variables/{variableId:segment}"
VALUE = W + "/deployment-variable-values/{valueId:segment}"


class VariableBody(WireBody):
    """A deployment variable as a client sends it."""

    deploymentId: Text
    key: Name
    description: Text | None = None
    sensitive: bool | None = None


class ValueBody(WireBody):
    """A value as a client sends it. Without a selector it is for every resource."""

    deploymentVariableId: Text
    priority: Annotated[Int, Field(ge=-PRIORITY_MAX, le=PRIORITY_MAX)]
    resourceSelector: Text | None = None
    value: Any
    sensitive: bool | None = None


class WantedValueBody(ClosedBody):
    """One value of a variable."""

    value: Any
    priority: Annotated[Int, Field(ge=-PRIORITY_MAX, le=PRIORITY_MAX)] = 0
    resourceSelector: Text | None = None
    sensitive: bool | None = None


class WantedBody(ClosedBody):
    """One variable with all its values."""

    key: Name
    description: Text | None = None
    sensitive: bool | None = None
    values: Annotated[list[WantedValueBody], Field(max_length=variables.VALUES_MAX)] = Field(default_factory=list)


class VariablesBody(ClosedBody):
    """All variables of a deployment."""

    variables: Annotated[list[WantedBody], Field(max_length=variables.VARIABLES_MAX)]


@router.get(
    W + "/deployments/{deploymentId:segment}/variables", response_model=page_of(shapes.DeploymentVariableWithValues)
)
async def list_variables(here: InWorkspace, deploymentId: str, page: Paging) -> Response:
    """List a deployment's variables by key, each with its values in the order in which they are tried."""
    here.require(Permission.READ)
    deployment_id = id_of(deploymentId, "deployment")
    async with here.read() as conn:
        found(await deployments.find_deployment(conn, here.id, deployment_id=deployment_id), "deployment")
        items, total = await variables.list_variables(conn, deployment_id, limit=page.limit, offset=page.offset)
        values = await variables.load_values(conn, [item.id for item in items])
    place = await place_of(here, deployment_id)
    return page.answer([await shown_variable(here, item, values[item.id], place=place) for item in items], total)


@router.put(W + "/deployments/{deploymentId:segment}/variables", status_code=202, response_model=shapes.WithWarnings)
async def put_variables(here: InWorkspace, deploymentId: str, body: VariablesBody) -> Response:
    """Make a deployment's variables exactly these, as one change. `warnings` name values that overlap."""
    deployment_id = id_of(deploymentId, "deployment")
    wanted = _wanted(body)
    place = await place_of(here, deployment_id)
    async with here.tx(Permission.DEPLOYMENT_WRITE, cause="api: put deployment variables", place=place) as tx:
        done = await variables.replace_variables(tx, here.id, deployment_id=deployment_id, wanted=wanted)
    warnings = [warning for key, overlap in done.overlaps for warning in _warnings(key, [overlap])]
    answer = present(id=deployment_id, message="The variables were saved.", warnings=warnings or None)
    return Json(answer, status_code=202)


@router.get(VARIABLE, response_model=shapes.DeploymentVariableWithValues)
async def get_variable(here: InWorkspace, variableId: str) -> Response:
    """Get a deployment variable with its values."""
    here.require(Permission.READ)
    variable_id = id_of(variableId, "deployment variable")
    async with here.read() as conn:
        variable = found(await variables.find_variable(conn, here.id, variable_id=variable_id), "deployment variable")
        values = await variables.load_values(conn, [variable_id])
    place = await place_of(here, variable.deployment_id)
    return Json(await shown_variable(here, variable, values[variable_id], place=place))


@router.put(VARIABLE, status_code=202, response_model=Accepted)
async def put_variable(here: InWorkspace, variableId: str, body: VariableBody) -> Response:
    """Create or replace a deployment variable by id. Its key is unique in its deployment."""
    variable_id = id_of(variableId, "deployment variable")
    deployment_id = id_of(body.deploymentId, "deployment")
    async with here.read() as conn:
        before = await variables.find_variable(conn, here.id, variable_id=variable_id)
    if before is not None and before.deployment_id != deployment_id:
        here.require(Permission.DEPLOYMENT_WRITE, place=await place_of(here, before.deployment_id))
    place = await place_of(here, deployment_id)
    async with here.tx(Permission.DEPLOYMENT_WRITE, cause="api: put deployment variable", place=place) as tx:
        await variables.save_variable(
            tx,
            here.id,
            variable_id=variable_id,
            deployment_id=deployment_id,
            key=body.key,
            description=body.description,
            sensitive=body.sensitive,
        )
    return accepted(variable_id, "The variable was saved.")


@router.delete(VARIABLE, status_code=202, response_model=Accepted)
async def delete_variable(here: InWorkspace, variableId: str) -> Response:
    """Delete a deployment variable with its values."""
    variable_id = id_of(variableId, "deployment variable")
    async with here.read() as conn:
        variable = found(await variables.find_variable(conn, here.id, variable_id=variable_id), "deployment variable")
    place = await place_of(here, variable.deployment_id)
    async with here.tx(Permission.DEPLOYMENT_WRITE, cause="api: delete deployment variable", place=place) as tx:
        await variables.delete_variable(tx, here.id, variable_id=variable_id)
    return accepted(variable_id, "The variable was deleted.")


@router.get(VALUE, response_model=shapes.DeploymentVariableValue)
async def get_value(here: InWorkspace, valueId: str) -> Response:
    """Get a value of a deployment variable."""
    here.require(Permission.READ)
    value_id = id_of(valueId, "value")
    async with here.read() as conn:
        value = found(await variables.find_value(conn, here.id, value_id=value_id), "value")
        variable = found(
            await variables.find_variable(conn, here.id, variable_id=value.variable_id), "deployment variable"
        )
    place = await place_of(here, variable.deployment_id)
    (shown,) = await shown_values(here, [render_value(value)], Permission.DEPLOYMENT_WRITE, place=place)
    return Json(shown)


@router.put(VALUE, status_code=202, response_model=shapes.WithWarnings)
async def put_value(here: InWorkspace, valueId: str, body: ValueBody) -> Response:
    """Create or replace a value of a deployment variable by id. `warnings` name values that it overlaps with."""
    value_id = id_of(valueId, "value")
    variable_id = id_of(body.deploymentVariableId, "deployment variable")
    value = wire_value(body.value, field="value", sensitive=bool(body.sensitive))
    selector = checked_selector(body.resourceSelector, scope=Scope.RESOURCE, field="resourceSelector")
    async with here.read() as conn:
        variable = found(await variables.find_variable(conn, here.id, variable_id=variable_id), "deployment variable")
    place = await place_of(here, variable.deployment_id)
    async with here.tx(Permission.DEPLOYMENT_WRITE, cause="api: put deployment variable value", place=place) as tx:
        overlaps = await variables.save_value(
            tx,
            here.id,
            value_id=value_id,
            variable_id=variable_id,
            priority=body.priority,
            resource_selector=selector,
            value=value,
            sensitive=body.sensitive,
        )
    if not overlaps:
        return accepted(value_id, "The value was saved.")
    answer = {"id": value_id, "message": "The value was saved.", "warnings": _warnings(variable.key, overlaps)}
    return Json(answer, status_code=202)


@router.delete(VALUE, status_code=202, response_model=Accepted)
async def delete_value(here: InWorkspace, valueId: str) -> Response:
    """Delete a value of a deployment variable."""
    value_id = id_of(valueId, "value")
    async with here.read() as conn:
        value = found(await variables.find_value(conn, here.id, value_id=value_id), "value")
        variable = found(
            await variables.find_variable(conn, here.id, variable_id=value.variable_id), "deployment variable"
        )
    place = await place_of(here, variable.deployment_id)
    async with here.tx(Permission.DEPLOYMENT_WRITE, cause="api: delete deployment variable value", place=place) as tx:
        await variables.delete_value(tx, here.id, value_id=value_id)
    return accepted(value_id, "The value was deleted.")


def _wanted(body: VariablesBody) -> list[WantedVariable]:
    """The variables, checked.

    Fails: `Invalid` for a key that comes twice, a selector that is none, a value that cannot be kept.
    """
    seen: set[str] = set()
    wanted = []
    for number, one in enumerate(body.variables):
        field = f"variables[{number}]"
        if one.key in seen:
            raise Invalid(f"{field}.key: {one.key} stands in this list already.", field=f"{field}.key")
        seen.add(one.key)
        values = []
        for place, each in enumerate(one.values):
            at = f"{field}.values[{place}]"
            selector = checked_selector(each.resourceSelector, scope=Scope.RESOURCE, field=f"{at}.resourceSelector")
            value = wire_value(each.value, field=f"{at}.value", sensitive=bool(each.sensitive))
            values.append(WantedValue(value, each.priority, selector))
        wanted.append(WantedVariable(one.key, one.description, tuple(values), one.sensitive))
    return wanted


def _warnings(key: str, overlaps: Sequence[Overlap]) -> list[str]:
    return [
        f"{key} has two values of priority {one.priority} for {_where(one)}: {one.value_ids[0]} and "
        f"{one.value_ids[1]}. The first wins there, because its id is smaller; give one of them another priority."
        for one in overlaps
    ]


def _where(overlap: Overlap) -> str:
    if not overlap.example:
        return "every resource"
    return f"{overlap.resources} {'resource' if overlap.resources == 1 else 'resources'}, {overlap.example} for one"

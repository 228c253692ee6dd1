"""REST for variable sets: values for the variables of many deployments.

Created with 201; replaced and deleted with 202 and the set. A replacement leaves what it does not name. The variables
come back in the order in which they were sent, in the answer to GET; a write answers without them, as its clients
expect.

Source: contract.md section c, ctrlplane_variable_set; contract.json, `VariableSet`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field
from starlette.responses import Response

from interlock.access import Permission
from interlock.api import shapes
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import Wire, render_variable_set
from interlock.api.selectors import Scope, checked_selector
from interlock.api.sensitive import shown_values
from interlock.model.errors import Invalid
from interlock.model.ids import new_id
from interlock.model.variable import VariableSet, wire_value
from interlock.store import variable_sets
from interlock.store.variable_sets import SetContent
from interlock.web.answers import Json
from interlock.web.bodies import Int, Name, Text, WireBody
from interlock.web.paging import Paging
from interlock.web.shapes import page_of
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("variable sets")

PRIORITY_MAX = 2**31 - 1
VARIABLES_MAX = 1_000

SET = W + "/variable-sets/{variableSetId:segment}"

Priority = Annotated[Int, Field(ge=-PRIORITY_MAX, le=PRIORITY_MAX)]


class VariableSetEntry(WireBody):
    """One variable of a set."""

    key: Name
    value: Any
    sensitive: bool | None = None


Listed = Annotated[list[VariableSetEntry], Field(max_length=VARIABLES_MAX)]


class VariableSetBody(WireBody):
    """A set as a client creates it."""

    name: Name
    description: Text | None = None
    selector: Text
    priority: Priority | None = None
    variables: Listed | None = None


class VariableSetChange(WireBody):
    """What of a set a client replaces."""

    name: Name | None = None
    description: Text | None = None
    selector: Text | None = None
    priority: Priority | None = None
    variables: Listed | None = None


@router.get(W + "/variable-sets", response_model=page_of(shapes.VariableSet))
async def list_sets(here: InWorkspace, page: Paging) -> Response:
    """List variable sets in the order in which they are tried: by priority, the highest first, then by name."""
    here.require(Permission.READ)
    async with here.read() as conn:
        items, total = await variable_sets.list_sets(conn, here.id, limit=page.limit, offset=page.offset)
    return page.answer([await _shown(here, item) for item in items], total)


@router.post(W + "/variable-sets", status_code=201, response_model=shapes.VariableSetSummary)
async def create_set(here: InWorkspace, body: VariableSetBody) -> Response:
    """Create a variable set. An empty selector matches nothing."""
    content = SetContent(
        body.name, body.description or "", _selector(body.selector), body.priority or 0, _variables(body.variables)
    )
    async with here.tx(Permission.DEPLOYMENT_WRITE, cause="api: create variable set") as tx:
        made = await variable_sets.create_set(tx, here.id, set_id=new_id(), content=content)
    return Json(_without_variables(render_variable_set(made)), status_code=201)


@router.get(SET, response_model=shapes.VariableSet)
async def get_set(here: InWorkspace, variableSetId: str) -> Response:
    """Get a variable set with its variables."""
    here.require(Permission.READ)
    set_id = id_of(variableSetId, "variable set")
    async with here.read() as conn:
        known = found(await variable_sets.find_set(conn, here.id, set_id=set_id), "variable set")
    return Json(await _shown(here, known))


@router.put(SET, status_code=202, response_model=shapes.VariableSetSummary)
async def put_set(here: InWorkspace, variableSetId: str, body: VariableSetChange) -> Response:
    """Change what is named of a variable set; its variables are replaced as a whole."""
    set_id = id_of(variableSetId, "variable set")
    selector = None if body.selector is None else _selector(body.selector)
    listed = None if body.variables is None else _variables(body.variables)
    async with here.tx(Permission.DEPLOYMENT_WRITE, cause="api: put variable set") as tx:
        before = found(await variable_sets.find_set(tx.conn, here.id, set_id=set_id), "variable set")
        content = SetContent(
            name=body.name or before.name,
            description=before.description if body.description is None else body.description,
            selector=before.selector if selector is None else selector,
            priority=before.priority if body.priority is None else body.priority,
            variables=None if listed is None else listed,
        )
        saved = await variable_sets.change_set(tx, here.id, set_id=set_id, content=content)
    return Json(_without_variables(render_variable_set(saved)), status_code=202)


@router.delete(SET, status_code=202, response_model=shapes.VariableSetSummary)
async def delete_set(here: InWorkspace, variableSetId: str) -> Response:
    """Delete a variable set. What took its values takes the next ones."""
    set_id = id_of(variableSetId, "variable set")
    async with here.tx(Permission.DEPLOYMENT_WRITE, cause="api: delete variable set") as tx:
        gone = await variable_sets.delete_set(tx, here.id, set_id=set_id)
    return Json(_without_variables(render_variable_set(gone)), status_code=202)


def _selector(text: str) -> str:
    return checked_selector(text, scope=Scope.VARIABLE_SET, field="selector") or text


def _variables(listed: Sequence[VariableSetEntry] | None) -> list[Wire]:
    """The variables as they are stored.

    Fails: `Invalid` for a key that comes twice, and for a value that cannot be kept.
    """
    seen: set[str] = set()
    stored: list[Wire] = []
    for number, each in enumerate(listed or ()):
        field = f"variables[{number}]"
        if each.key in seen:
            raise Invalid(f"{field}.key: {each.key} stands in this set already.", field=f"{field}.key")
        seen.add(each.key)
        value = wire_value(each.value, field=f"{field}.value", sensitive=bool(each.sensitive))
        stored.append({"key": each.key, "value": value})
    return stored


async def _shown(here: Here, one: VariableSet) -> Wire:
    """A set, its sensitive values for who may write it."""
    listed = [dict(each) for each in one.variables]
    return {**render_variable_set(one), "variables": await shown_values(here, listed, Permission.DEPLOYMENT_WRITE)}


def _without_variables(rendered: Wire) -> Wire:
    return {key: value for key, value in rendered.items() if key != "variables"}

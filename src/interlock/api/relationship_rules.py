"""REST for relationship rules: CEL over `from` and `to` that says which things of the inventory belong together.

Source: contract.md section c, ctrlplane_relationship_rule, and section e (PUT answers 202, DELETE 202 with the rule).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints
from starlette.responses import Response

from interlock.access import Permission
from interlock.api import shapes
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import render_relationship_rule
from interlock.api.selectors import Scope, checked_selector
from interlock.model.errors import Invalid
from interlock.model.ids import new_id
from interlock.model.variable import REFERENCE_MAX
from interlock.store import relationships
from interlock.web.answers import Json
from interlock.web.bodies import Name, Text, TextMap, WireBody
from interlock.web.paging import Paging
from interlock.web.shapes import page_of
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("relationship rules")

RULE = W + "/relationship-rules/{relationshipRuleId:segment}"


class RuleBody(WireBody):
    """A relationship rule as a client sends it."""

    name: Name
    description: Text | None = None
    reference: Annotated[str, StringConstraints(min_length=1, max_length=REFERENCE_MAX, pattern=r"\S")]
    cel: Text
    metadata: TextMap


@router.get(W + "/relationship-rules", response_model=page_of(shapes.RelationshipRule))
async def list_rules(here: InWorkspace, page: Paging) -> Response:
    """List relationship rules in order of creation."""
    here.require(Permission.READ)
    async with here.read() as conn:
        items, total = await relationships.list_rules(conn, here.id, limit=page.limit, offset=page.offset)
    return page.answer([render_relationship_rule(item) for item in items], total)


@router.post(W + "/relationship-rules", status_code=201, response_model=shapes.RelationshipRule)
async def create_rule(here: InWorkspace, body: RuleBody) -> Response:
    """Create a relationship rule."""
    return await _save(here, new_id(), body, cause="api: create relationship rule", status_code=201)


@router.get(RULE, response_model=shapes.RelationshipRule)
async def get_rule(here: InWorkspace, relationshipRuleId: str) -> Response:
    """Get a relationship rule."""
    here.require(Permission.READ)
    rule_id = id_of(relationshipRuleId, "relationship rule")
    async with here.read() as conn:
        rule = found(await relationships.find_rule(conn, here.id, rule_id=rule_id), "relationship rule")
    return Json(render_relationship_rule(rule))


@router.put(RULE, status_code=202, response_model=shapes.RelationshipRule)
async def put_rule(here: InWorkspace, relationshipRuleId: str, body: RuleBody) -> Response:
    """Create or replace a relationship rule by id."""
    rule_id = id_of(relationshipRuleId, "relationship rule")
    return await _save(here, rule_id, body, cause="api: put relationship rule", status_code=202)


@router.delete(RULE, status_code=202, response_model=shapes.RelationshipRule)
async def delete_rule(here: InWorkspace, relationshipRuleId: str) -> Response:
    """Delete a relationship rule. References by it lead nowhere from now on."""
    rule_id = id_of(relationshipRuleId, "relationship rule")
    async with here.tx(Permission.DEPLOYMENT_WRITE, cause="api: delete relationship rule") as tx:
        gone = await relationships.delete_rule(tx, here.id, rule_id=rule_id)
    return Json(render_relationship_rule(gone), status_code=202)


async def _save(here: Here, rule_id: str, body: RuleBody, *, cause: str, status_code: int) -> Response:
    if checked_selector(body.cel, scope=Scope.RELATIONSHIP, field="cel") is None:
        raise Invalid("cel is required: an expression over `from` and `to`.", field="cel")
    async with here.tx(Permission.DEPLOYMENT_WRITE, cause=cause) as tx:
        rule = await relationships.save_rule(
            tx,
            here.id,
            rule_id=rule_id,
            name=body.name,
            description=body.description,
            reference=body.reference,
            cel=body.cel,
            metadata=body.metadata,
        )
    return Json(render_relationship_rule(rule), status_code=status_code)

"""REST for policies.

Rules come back exactly as they were sent: ids, instants and order kept, no default filled in. They are read closed:
an unknown key is refused, because a misspelt rule that is dropped in silence is a gate that does not stand.

Source: contract.md section c, ctrlplane_policy; reference-behaviour.md appendix D.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Request
from pydantic import Field
from starlette.responses import Response

from interlock.access import Permission
from interlock.api import shapes
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import render_policy
from interlock.api.selectors import Scope, checked_selector
from interlock.clock import utc_now
from interlock.decide.rules import parse_rules, verification
from interlock.metrics import Metrics, check_metric, provider_parts, with_parts
from interlock.model.errors import Invalid
from interlock.model.ids import is_id, new_id
from interlock.model.policy_senders import sender_of
from interlock.model.secret import MASK, resolved
from interlock.store import policies
from interlock.web.answers import Json
from interlock.web.bodies import Bool, Int, Name, Text, TextMap, WireBody
from interlock.web.paging import Paging
from interlock.web.shapes import page_of
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("policies")

PRIORITY_MAX = 2**31 - 1
EVERYTHING = "true"


class PolicyBody(WireBody):
    """A policy as a client sends it. `mode` is ours: `observe` records verdicts that start and stop nothing."""

    name: Name
    description: Text | None = None
    selector: Text | None = None
    metadata: TextMap
    priority: Annotated[Int, Field(ge=-PRIORITY_MAX, le=PRIORITY_MAX)] = 0
    enabled: Bool = True
    mode: Literal["enforce", "observe"] = "enforce"
    rules: list[Any] | None = None


@router.get(W + "/policies", response_model=page_of(shapes.Policy))
async def list_policies(here: InWorkspace, page: Paging) -> Response:
    """List policies in order of creation."""
    here.require(Permission.READ)
    async with here.read() as conn:
        items, total = await policies.list_policies(conn, here.id, limit=page.limit, offset=page.offset)
    return page.answer(await _shown(here, [render_policy(policy) for policy in items]), total)


@router.post(W + "/policies", status_code=202, response_model=shapes.Policy)
async def create_policy(here: InWorkspace, request: Request, body: PolicyBody) -> Response:
    """Create a policy. Its id is the one that all its rules name, where they agree on a new one."""
    policy_id = await _wanted_id(here, body)
    return await _save(here, request, body, policy_id=policy_id, cause="api: create policy")


@router.get(W + "/policies/{policyId:segment}", response_model=shapes.Policy)
async def get_policy(here: InWorkspace, policyId: str) -> Response:
    """Get a policy with its rules as they were written."""
    here.require(Permission.READ)
    policy_id = id_of(policyId, "policy")
    async with here.read() as conn:
        policy = found(await policies.find_policy(conn, here.id, policy_id=policy_id), "policy")
    return Json(await _shown(here, render_policy(policy)))


@router.put(W + "/policies/{policyId:segment}", status_code=202, response_model=shapes.Policy)
async def put_policy(here: InWorkspace, request: Request, policyId: str, body: PolicyBody) -> Response:
    """Create or replace a policy by id. What went because the client has no word for it stands in the ledger."""
    if not is_id(policyId):
        raise Invalid("A policy's id is a UUID.", field="policyId")
    return await _save(here, request, body, policy_id=policyId.lower(), cause="api: put policy")


@router.delete(W + "/policies/{policyId:segment}", status_code=202, response_model=shapes.Policy)
async def delete_policy(here: InWorkspace, policyId: str) -> Response:
    """Delete a policy. Targets that only its rules held may start at once."""
    policy_id = id_of(policyId, "policy")
    async with here.tx(Permission.POLICY_WRITE, cause="api: delete policy") as tx:
        policy = await policies.delete_policy(tx, here.id, policy_id=policy_id)
    return Json(render_policy(policy, rules=[]), status_code=202)


def metrics_of(request: Request) -> Metrics:
    """The metric providers that this server knows, by kind."""
    metrics: Metrics = request.app.state.metrics
    return metrics


def checked_content(body: PolicyBody, metrics: Metrics) -> policies.PolicyContent:
    """What a body says of a policy, checked.

    Fails: `Invalid` on a wrong selector, rule or metric.
    """
    rules = body.rules or []
    for number, rule in enumerate(parse_rules(rules)):
        if isinstance(rule.params, verification.Params):
            for place, spec in enumerate(rule.params.metrics):
                spec = with_parts(spec, resolved(provider_parts(spec), lambda _: MASK))
                check_metric(spec, metrics, path=f"rules[{number}].verification.metrics[{place}]")
    selector = checked_selector(body.selector, scope=Scope.POLICY, field="selector") or EVERYTHING
    return policies.PolicyContent(
        name=body.name,
        description=body.description,
        selector=selector,
        metadata=body.metadata,
        priority=body.priority,
        enabled=body.enabled,
        mode=body.mode,
        rules=rules,
    )


async def _save(here: Here, request: Request, body: PolicyBody, *, policy_id: str, cause: str) -> Response:
    content = checked_content(body, metrics_of(request))
    async with here.tx(Permission.POLICY_WRITE, cause=cause) as tx:
        policy = await policies.save_policy(
            tx,
            here.id,
            policy_id=policy_id,
            content=content,
            now=utc_now(),
            author_id=here.caller.id,
            sender=sender_of(request.headers.get("user-agent", "")),
        )
    return Json(await _shown(here, render_policy(policy)), status_code=202)


async def _shown(here: Here, rendered: Any) -> Any:
    """Policies, with the secrets of their metrics for who may write them."""
    return await here.shown(rendered, Permission.POLICY_WRITE)


async def _wanted_id(here: Here, body: PolicyBody) -> str:
    """The id that a client made and wrote into every rule, unless something has it."""
    wanted = {str(rule.get("policyId") or "").lower() for rule in body.rules or () if isinstance(rule, dict)}
    if len(wanted) != 1 or not is_id(candidate := wanted.pop()):
        return new_id()
    async with here.read() as conn:
        taken = await policies.is_taken(conn, candidate)
    return new_id() if taken else candidate

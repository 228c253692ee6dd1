"""REST for the question what policies would do, before they are saved.

    POST /api/v1/workspaces/W/what-if     {"changes": [{"policyId": P, "policy": {…}}, {"policyId": Q, "delete": true}]}
    GET  /api/v1/workspaces/W/what-if/ID  status pending, then done with the answer

A `policy` is what a client would PUT or POST; without `policyId` it would be a new one. The answer is worked out by a
worker and kept for some days. Nothing is saved and nothing moves.

Source: docs/guides/what-if-and-forecast.md. These paths are ours, not the public contract's.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from fastapi import Request
from pydantic import Field
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.policies import PolicyBody, checked_content, metrics_of
from interlock.api.rendering import Wire
from interlock.metrics import Metrics
from interlock.model.errors import Invalid, NotFound
from interlock.model.ids import is_id, new_id
from interlock.store import policies, what_if
from interlock.store.what_if import WhatIf
from interlock.web.answers import Json, instant, present
from interlock.web.bodies import Bool, ClosedBody
from interlock.web.shapes import AnyObject, Id, Instant
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("what-if")

CHANGES_MAX = 20


class PolicyChange(ClosedBody):
    """One policy as it would be: another content, or gone."""

    policyId: str | None = None
    policy: PolicyBody | None = None
    delete: Bool = False


class WhatIfBody(ClosedBody):
    """What would be saved together."""

    changes: Annotated[list[PolicyChange], Field(min_length=1, max_length=CHANGES_MAX)]


class WhatIfAnswer(TypedDict):
    """A question about policies, and its answer when it is there."""

    id: Id
    status: Literal["pending", "done"]
    askedAt: Instant
    answeredAt: NotRequired[Instant]
    answer: NotRequired[AnyObject]


@router.post(W + "/what-if", status_code=202, response_model=WhatIfAnswer)
async def ask_what_if(here: InWorkspace, request: Request, body: WhatIfBody) -> Response:
    """Ask which targets would change their verdict if these policies were saved."""
    here.require(Permission.POLICY_WRITE)
    changes = [
        await _checked(here, one, metrics_of(request), path=f"changes[{number}]")
        for number, one in enumerate(body.changes)
    ]
    named = [one["policyId"] for one in changes]
    if len(set(named)) != len(named):
        raise Invalid("changes names a policy twice.", field="changes")
    async with here.tx(Permission.POLICY_WRITE, cause="api: what if") as tx:
        asked = await what_if.ask_what_if(tx, here.id, proposal=changes, asked_by=here.caller.id)
        question = found(await what_if.find_what_if(tx.conn, asked), "question")
    answer = Json(render_what_if(question), status_code=202)
    answer.headers["Location"] = f"/api/v1/workspaces/{here.id}/what-if/{question.id}"
    return answer


@router.get(W + "/what-if/{whatIfId:segment}", response_model=WhatIfAnswer)
async def get_what_if(here: InWorkspace, whatIfId: str) -> Response:
    """Get a question, and its answer when it is there."""
    here.require(Permission.READ)
    async with here.read() as conn:
        question = found(await what_if.find_what_if(conn, id_of(whatIfId, "question")), "question")
    if question.workspace_id != here.id:
        raise NotFound("There is no such question.")
    return Json(render_what_if(question))


async def _checked(here: Here, change: PolicyChange, metrics: Metrics, *, path: str) -> dict[str, Any]:
    """The change as it is kept: {policyId, policy: what would be saved, or null}."""
    if (change.policy is None) != change.delete:
        raise Invalid("A change has a policy, or delete: true.", field=path)
    if change.policyId is None:
        if change.delete:
            raise Invalid("What is deleted must be named.", field=f"{path}.policyId")
        policy_id = new_id()
    elif not is_id(change.policyId):
        raise Invalid("A policy's id is a UUID.", field=f"{path}.policyId")
    else:
        policy_id = change.policyId.lower()
    if change.policy is None:
        async with here.read() as conn:
            found(await policies.find_policy(conn, here.id, policy_id=policy_id), "policy")
        return {"policyId": policy_id, "policy": None}
    content = checked_content(change.policy, metrics)
    kept = {
        "name": content.name,
        "selector": content.selector,
        "enabled": content.enabled,
        "mode": content.mode,
        "rules": list(content.rules),
    }
    return {"policyId": policy_id, "policy": kept}


def render_what_if(question: WhatIf) -> Wire:
    """A question on the wire, and its answer when it is there."""
    return present(
        id=question.id,
        status="pending" if question.answered_at is None else "done",
        askedAt=instant(question.asked_at),
        answeredAt=instant(question.answered_at) if question.answered_at else None,
        answer=question.answer,
    )

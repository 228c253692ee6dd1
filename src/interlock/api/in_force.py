"""REST for the policies in force: which apply in an environment, and why each does or does not.

Source: issue "Every rule, one pure decision", `interlock policies`. This path is ours, not the public contract's.
"""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from fastapi import Query
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api.paths import W, found, noun_router
from interlock.api.rendering import Wire
from interlock.decide.rules import KINDS
from interlock.store import deployments, environments, resources
from interlock.store.in_force import InForce, list_in_force
from interlock.web.answers import Json, present
from interlock.web.paging import Paging
from interlock.web.shapes import AnyObject, Id, Named
from interlock.web.sign_in import InWorkspace

router = noun_router("policies")


class Judged(TypedDict):
    """The target that a selector was looked at on."""

    deployment: NotRequired[str]
    resource: NotRequired[str]


class Conjunct(TypedDict):
    """One part of a selector, what came of it, and what it saw."""

    text: str
    outcome: str
    saw: AnyObject


class RuleInForce(TypedDict):
    """One rule of a policy, as it was written."""

    id: str
    kind: str
    says: AnyObject | None


class PolicyRef(TypedDict):
    """A policy and its revision."""

    id: Id
    name: str
    revision: int


class PolicyInForce(TypedDict):
    """A policy, whether it applies, and why."""

    policy: PolicyRef
    applies: bool
    enabled: bool
    mode: Literal["enforce", "observe"]
    targets: int
    of: int
    selector: str
    judgedOn: NotRequired[Judged]
    conjuncts: list[Conjunct]
    rules: list[RuleInForce]


class PoliciesInForce(TypedDict):
    """Every policy of a workspace, as it concerns an environment."""

    environment: Named
    items: list[PolicyInForce]
    total: int
    limit: int
    offset: int


@router.get(W + "/environments/{environmentId:segment}/policies", response_model=PoliciesInForce)
async def list_policies_in_force(
    here: InWorkspace,
    environmentId: str,
    page: Paging,
    deployment: Annotated[str | None, Query(description="Id or name.", max_length=500)] = None,
    resource: Annotated[str | None, Query(description="Identifier of a resource.", max_length=500)] = None,
) -> Response:
    """List every policy of the workspace: how many targets of an environment it governs, and why."""
    here.require(Permission.READ)
    async with here.read() as conn:
        environment = found(await environments.resolve_environment(conn, here.id, text=environmentId), "environment")
        narrow = host = None
        if deployment:
            narrow = found(await deployments.resolve_deployment(conn, here.id, text=deployment), "deployment")
        if resource:
            host = found(await resources.find_resource(conn, here.id, identifier=resource), "resource").id
        items = await list_in_force(conn, here.id, environment=environment, deployment=narrow, resource_id=host)
    return Json(
        {
            "environment": {"id": environment.id, "name": environment.name},
            "items": [render_in_force(one) for one in items[page.offset : page.offset + page.limit]],
            "total": len(items),
            "limit": page.limit,
            "offset": page.offset,
        }
    )


def render_in_force(one: InForce) -> Wire:
    """A policy, whether it applies, and why."""
    policy, example = one.policy, one.example
    return present(
        policy={"id": policy.id, "name": policy.name, "revision": policy.number},
        applies=one.applies,
        enabled=policy.enabled,
        mode=policy.mode,
        targets=one.targets,
        of=one.of,
        selector=policy.selector,
        judgedOn=present(deployment=example.deployment, resource=example.resource) if example else None,
        conjuncts=[{"text": part.text, "outcome": part.outcome.value, "saw": dict(part.saw)} for part in one.conjuncts],
        rules=[
            {"id": str(rule.get("id", "")), "kind": next((kind for kind in KINDS if rule.get(kind) is not None), "")}
            | {"says": next((rule[kind] for kind in KINDS if rule.get(kind) is not None), None)}
            for rule in policy.rules
        ],
    )

"""REST for deployment plans: what would this version change, before it exists?

The request is answered at once with an empty plan (`computing`); its results come as the agents tell them. Nothing is
moved, no version is made.

Source: contract.md sections b ("api plan version") and e ("Plan"); reference-behaviour.md 5.10.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api.deployments import place_of
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import Wire
from interlock.model.conduct import check_conduct
from interlock.store import deployment_plans, deployments
from interlock.store.deployment_plans import PlanResult, StoredPlan
from interlock.web.answers import Json
from interlock.web.bodies import AnyMap, Name, Text, TextMap, WireBody
from interlock.web.shapes import AnyObject, Id
from interlock.web.sign_in import InWorkspace

router = noun_router("deployment plans")


class PlannedVersion(WireBody):
    """The version that might come."""

    tag: Name
    name: Text | None = None
    config: AnyMap
    jobAgentConfig: AnyMap
    metadata: TextMap


class PlanBody(WireBody):
    """What is to be planned; `metadata` is kept beside it."""

    version: PlannedVersion
    metadata: TextMap


class PlanSummary(TypedDict):
    """How many results there are, by what they say."""

    total: int
    changed: int
    unchanged: int
    errored: int
    unsupported: int


class PlanResultAnswer(TypedDict):
    """What one agent says. A field that is not known is null, as the contract has it."""

    id: Id
    status: str
    hasChanges: bool | None
    contentHash: str | None
    current: str | None
    proposed: str | None
    message: str | None
    validations: list[AnyObject]


class PlannedTarget(TypedDict):
    """One target of a plan."""

    environmentId: Id
    environmentName: str
    resourceId: Id
    resourceName: str
    hasChanges: bool | None
    results: list[PlanResultAnswer]


class DeploymentPlan(TypedDict):
    """What a version would change. `targetsLeftOut` counts those beyond the limit."""

    id: Id
    status: Literal["computing", "completed", "failed"]
    summary: PlanSummary
    targets: list[PlannedTarget]
    targetsLeftOut: NotRequired[int]


@router.post(W + "/deployments/{deploymentId:segment}/plan", status_code=202, response_model=DeploymentPlan)
async def create_plan(here: InWorkspace, deploymentId: str, body: PlanBody) -> Response:
    """Ask what a version would change on every target."""
    async with here.read() as conn:
        deployment = found(await deployments.resolve_deployment(conn, here.id, text=deploymentId), "deployment")
    check_conduct(body.version.jobAgentConfig, path="version.jobAgentConfig")
    version: dict[str, Any] = {
        "tag": body.version.tag,
        "name": body.version.name or body.version.tag,
        "config": body.version.config,
        "jobAgentConfig": body.version.jobAgentConfig,
        "metadata": body.version.metadata,
    }
    place = await place_of(here, deployment.id)
    async with here.tx(Permission.VERSION_WRITE, cause="api: plan", place=place) as tx:
        plan_id = await deployment_plans.create_plan(
            tx,
            here.id,
            deployment_id=deployment.id,
            version=version,
            metadata=body.metadata,
            created_by=here.caller.id,
        )
        plan = found(await deployment_plans.find_plan(tx.conn, plan_id), "plan")
    return Json(render_plan(plan, ()), status_code=202)


@router.get(W + "/deployments/{deploymentId:segment}/plan/{planId:segment}", response_model=DeploymentPlan)
async def get_plan(here: InWorkspace, deploymentId: str, planId: str) -> Response:
    """Get a plan with what is known of it."""
    here.require(Permission.READ)
    plan_id = id_of(planId, "plan")
    async with here.read() as conn:
        deployment = found(await deployments.resolve_deployment(conn, here.id, text=deploymentId), "deployment")
        plan = found(await deployment_plans.find_plan(conn, plan_id), "plan")
        known = plan if plan.deployment_id == deployment.id else None
        results = await deployment_plans.list_results(conn, plan_id)
    return Json(render_plan(found(known, "plan"), results))


def render_plan(plan: StoredPlan, results: tuple[PlanResult, ...]) -> Wire:
    """A plan on the wire; `validations` of a result and `targetsLeftOut` are ours."""
    done = plan.completed_at is not None
    errored = sum(1 for one in results if one.status == "errored")
    changed = sum(1 for one in results if one.status == "completed" and one.has_changes)
    completed = sum(1 for one in results if one.status == "completed")
    return {
        "id": plan.id,
        "status": ("failed" if errored else "completed") if done else "computing",
        "summary": {
            "total": len(results),
            "changed": changed,
            "unchanged": completed - changed,
            "errored": errored,
            "unsupported": sum(1 for one in results if one.status == "unsupported"),
        },
        "targets": [_target(one) for one in results],
        **({"targetsLeftOut": plan.targets_left_out} if plan.targets_left_out else {}),
    }


def _target(result: PlanResult) -> Wire:
    """One target. It has one agent, so its results are one."""
    return {
        "environmentId": result.environment_id,
        "environmentName": result.environment,
        "resourceId": result.resource_id,
        "resourceName": result.resource,
        "hasChanges": result.has_changes,
        "results": [
            {
                "id": result.id,
                "status": result.status,
                "hasChanges": result.has_changes,
                "contentHash": result.content_hash,
                "current": result.current,
                "proposed": result.proposed,
                "message": result.message,
                "validations": [dict(one) for one in result.validations],
            }
        ],
    }

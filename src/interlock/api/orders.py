"""REST for orders: bring the same again, force a version through, roll back now; see what was asked for, take it back.

One call asks for a move on one target, on an environment's, or on a whole deployment's; each target takes its own order
or says why it cannot. An order is stored at once and answered by the deployment's rounds: also when workers, agents or
providers are away, and then when they return.

Source: core.md sections 3 and 4. These paths are ours, not the public contract's.
"""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from fastapi import Query
from pydantic import AwareDatetime
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api.deployments import narrowed_to, place_of
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import Wire
from interlock.api.shapes import VersionRef
from interlock.decide.explain import SENTENCES
from interlock.model.errors import Invalid
from interlock.model.ids import TargetKey, is_id, parse_target_key
from interlock.model.inventory import Environment
from interlock.model.version import Version
from interlock.store import deployments, environments, orders, resources, target_states, versions
from interlock.store.orders import Placed, RefusedTarget, StoredOrder, Where
from interlock.store.queries import Conn
from interlock.web.answers import Json, instant, present
from interlock.web.bodies import ClosedBody, Name
from interlock.web.paging import Paging
from interlock.web.shapes import Id, Instant, Named, page_of
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("orders")

State = Literal["open", "answered", "expired", "withdrawn", "refused"]

PERMISSION = {"redeploy": Permission.STEER, "rollback": Permission.STEER, "force": Permission.FORCE}


class OrderBody(ClosedBody):
    """What is asked for, and where: a `target` by its key, or a `deployment`, narrowed by environment and resource."""

    kind: Literal["redeploy", "force", "rollback"]
    target: Name | None = None
    deployment: Name | None = None
    environment: Name | None = None
    resource: Name | None = None
    version: Name | None = None
    when: Literal["now", "idle"] = "now"
    reason: Name
    expiresAt: AwareDatetime | None = None


class WithdrawBody(ClosedBody):
    """Why it is taken back."""

    reason: Name


class OrderAnswer(TypedDict):
    """An order, and what became of it. `endReason` is a sentence where Interlock ended it."""

    id: Id
    kind: Literal["redeploy", "force", "rollback"]
    state: State
    scope: str
    deployment: Named
    environment: Named
    resource: Named
    target: str
    version: VersionRef
    when: str
    reason: NotRequired[str]
    createdBy: NotRequired[str]
    createdAt: Instant
    expiresAt: NotRequired[Instant]
    endedAt: NotRequired[Instant]
    endedBy: NotRequired[str]
    endReason: NotRequired[str]
    moveId: NotRequired[Id]
    changeId: NotRequired[Id]


class RefusedTargetAnswer(TypedDict):
    """A target that cannot take an order, and why."""

    targetId: Id
    environment: str
    resource: str
    code: str
    message: str
    jobId: NotRequired[Id]


class PlacedAnswer(TypedDict):
    """What became of one call."""

    orders: list[OrderAnswer]
    refused: list[RefusedTargetAnswer]


@router.post(W + "/orders", status_code=201, response_model=PlacedAnswer)
async def place_orders(here: InWorkspace, body: OrderBody) -> Response:
    """Ask for a redeploy, a force or a rollback of targets.

    409 where no target can take it; a redeploy of a target on which something moves names the job that is in the way.
    """
    async with here.read() as conn:
        where, version = await _meant(conn, here, body)
    place = await place_of(here, where.deployment_id, environment_id=where.environment_id)
    async with here.tx(PERMISSION[body.kind], cause=f"api: {body.kind}", place=place) as tx:
        placed = await orders.place_orders(
            tx,
            here.id,
            where,
            kind=body.kind,
            version=version,
            when=body.when,
            reason=body.reason,
            expires_at=body.expiresAt,
            principal_id=here.caller.id,
        )
    return Json(render_placed(placed), status_code=201)


@router.get(W + "/orders", response_model=page_of(OrderAnswer))
async def list_orders(
    here: InWorkspace,
    page: Paging,
    deploymentId: Annotated[str | None, Query(description="Id or name.")] = None,
    state: Annotated[State | None, Query()] = None,
) -> Response:
    """List orders, newest first."""
    here.require(Permission.READ)
    async with here.read() as conn:
        narrow = await narrowed_to(conn, here, deploymentId)
        items, total = await orders.list_orders(
            conn, here.id, deployment_id=narrow, state=state, limit=page.limit, offset=page.offset
        )
        if not items and page.offset:
            _, total = await orders.list_orders(conn, here.id, deployment_id=narrow, state=state, limit=1)
    return page.answer([render_order(order) for order in items], total)


@router.get(W + "/orders/{orderId:segment}", response_model=OrderAnswer)
async def get_order(here: InWorkspace, orderId: str) -> Response:
    """Get an order, and what became of it."""
    return Json(render_order(await _known(here, orderId)))


@router.post(W + "/orders/{orderId:segment}/withdraw", response_model=OrderAnswer)
async def withdraw_order(here: InWorkspace, orderId: str, body: WithdrawBody) -> Response:
    """Take an open order back, with its job if nobody has that yet."""
    known = await _known(here, orderId)
    place = await place_of(here, known.deployment_id, environment_id=known.environment_id)
    async with here.tx(PERMISSION[known.kind], cause="api: withdraw order", place=place) as tx:
        ended = await orders.withdraw_order(
            tx, here.id, order_id=known.id, reason=body.reason, principal_id=here.caller.id
        )
    return Json(render_order(ended))


async def _meant(conn: Conn, here: Here, body: OrderBody) -> tuple[Where, Version | None]:
    """The targets that a body means, and the version that it names.

    Fails: `Invalid` where it says too little or too much, `NotFound` for a name that names nothing here.
    """
    if (body.target is None) == (body.deployment is None):
        raise Invalid("Give a target, or else a deployment.", field="target")
    if body.target is not None:
        if body.environment is not None or body.resource is not None:
            raise Invalid("A target says where it is; give no environment or resource beside it.", field="target")
        target = found(
            await target_states.find_target(conn, here.id, key=parse_target_key(body.target)), "release target"
        )
        where = Where(target.deployment_id, target.deployment, target.environment_id, target.resource_id, target.id)
    else:
        deployment = found(
            await deployments.resolve_deployment(conn, here.id, text=body.deployment or ""), "deployment"
        )
        environment = await _environment(conn, here, body.environment) if body.environment is not None else None
        resource_id = None
        if body.resource is not None:
            resource_id = found(await resources.find_resource(conn, here.id, identifier=body.resource), "resource").id
        where = Where(deployment.id, deployment.name, environment.id if environment else None, resource_id)
    version = None
    if body.version is not None:
        version = found(await _version(conn, here, where.deployment_id, body.version), "version")
    return where, version


async def _environment(conn: Conn, here: Here, text: str) -> Environment:
    named = await environments.find_environment_by_name(conn, here.id, name=text)
    if named is None and is_id(text):
        named = await environments.find_environment(conn, here.id, environment_id=text.lower())
    return found(named, "environment")


async def _version(conn: Conn, here: Here, deployment_id: str, text: str) -> Version | None:
    """A version of a deployment by tag, else by id."""
    named = await versions.find_version_by_tag(conn, deployment_id, tag=text)
    if named is None and is_id(text):
        named = await versions.find_version(conn, here.id, version_id=text.lower())
    return named if named is not None and named.deployment_id == deployment_id else None


async def _known(here: Here, text: str) -> StoredOrder:
    here.require(Permission.READ)
    order_id = id_of(text, "order")
    async with here.read() as conn:
        return found(await orders.find_order(conn, here.id, order_id=order_id), "order")


def render_placed(placed: Placed) -> Wire:
    """What became of one call: the orders, and the targets that could not take one."""
    return {
        "orders": [render_order(order) for order in placed.orders],
        "refused": [render_refused(refused) for refused in placed.refused],
    }


def render_refused(refused: RefusedTarget) -> Wire:
    """A target that cannot take an order, and why."""
    return present(
        targetId=refused.target_id,
        environment=refused.environment,
        resource=refused.resource,
        code=refused.code,
        message=refused.message,
        jobId=refused.job_id,
    )


def render_order(order: StoredOrder) -> Wire:
    """An order on the wire. `endReason` is a sentence where Interlock ended it, else what a person wrote."""
    return present(
        id=order.id,
        kind=order.kind,
        state=order.state,
        scope=order.scope,
        deployment={"id": order.deployment_id, "name": order.deployment},
        environment={"id": order.environment_id, "name": order.environment},
        resource={"id": order.resource_id, "name": order.resource},
        target=str(TargetKey(order.resource_id, order.environment_id, order.deployment_id)),
        version={"id": order.version_id, "tag": order.tag},
        when=order.starts,
        reason=order.reason or None,
        createdBy=order.created_by,
        createdAt=instant(order.created_at),
        expiresAt=instant(order.expires_at) if order.expires_at else None,
        endedAt=instant(order.ended_at) if order.ended_at else None,
        endedBy=order.ended_by,
        endReason=_end_reason(order),
        moveId=order.move_id,
        changeId=order.change_id,
    )


def explain_order(order: StoredOrder) -> str:
    """An open order as a sentence: who asked for what, why, and until when it stands."""
    why = f": {order.reason.rstrip('.')}" if order.reason else ""
    until = f" It stands until {instant(order.expires_at)}." if order.expires_at else ""
    by = f"since {instant(order.created_at)} by {order.created_by}"
    return f"A {order.kind} to {order.tag} is asked for {by}{why}.{until}"


def _end_reason(order: StoredOrder) -> str | None:
    if order.state in {"open", "answered"} or order.end_reason is None:
        return None
    return order.end_reason if order.state == "withdrawn" else SENTENCES.get(order.end_reason, order.end_reason)

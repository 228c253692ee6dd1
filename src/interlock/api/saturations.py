"""REST for saturation: how full something is that a deployment runs on, as whoever measures it says.

    POST /W/deployments/{deploymentId}/saturation    {"name": "db-pool", "value": 0.91}

A rule `saturation` acts on the level that follows from the bounds. A reading counts until it is too old; then nothing
is known, which is never normal.

Source: core.md section 2. These paths are ours, not the public contract's.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal, NotRequired

from fastapi import Query
from pydantic import AwareDatetime, Field, StringConstraints
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api.deployments import place_of
from interlock.api.paths import W, found, noun_router
from interlock.api.pins import environment_of
from interlock.api.rendering import Wire
from interlock.model.errors import Invalid
from interlock.model.saturation import FRESH_MAX_S, FRESH_S, HIGH_ABOVE, NAME_MAX, SATURATED_ABOVE, UNKNOWN
from interlock.store import deployments, environments, saturations
from interlock.store.queries import Conn
from interlock.store.saturations import Posted, StoredSaturation
from interlock.web.answers import Json, instant, present
from interlock.web.bodies import ClosedBody, Int, Name
from interlock.web.shapes import Instant, Named
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("saturation")

SignalName = Annotated[str, StringConstraints(min_length=1, max_length=NAME_MAX, pattern=r"\S")]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-1e300, le=1e300)]


class SaturationBody(ClosedBody):
    """A reading. `value` is any number, and the bounds say from where on it is high, and saturated.

    It counts for `freshForSeconds` from `observedAt` (now, unless said). Without an `environment` (id or name) it
    counts in all.
    """

    name: SignalName
    value: Number
    highAbove: Number = HIGH_ABOVE
    saturatedAbove: Number = SATURATED_ABOVE
    environment: Name | None = None
    observedAt: AwareDatetime | None = None
    freshForSeconds: Annotated[Int, Field(ge=1, le=FRESH_MAX_S)] = FRESH_S
    source: Name = "api"


class SaturationAnswer(TypedDict):
    """A signal as it was last read. A reading that is too old has the level `unknown`."""

    name: str
    environment: NotRequired[Named]
    level: Literal["normal", "high", "saturated", "unknown"]
    value: float
    highAbove: float
    saturatedAbove: float
    since: Instant
    observedAt: Instant
    freshUntil: Instant
    source: str


class SaturationsAnswer(TypedDict):
    """What is read of a deployment."""

    items: list[SaturationAnswer]


class PostedSaturation(SaturationAnswer):
    """A signal after a reading, and whether that is another level than before."""

    changed: bool


@router.get(W + "/deployments/{deploymentId:segment}/saturation", response_model=SaturationsAnswer)
async def list_saturations(here: InWorkspace, deploymentId: str) -> Response:
    """List how full things are that a deployment runs on."""
    here.require(Permission.READ)
    async with here.read() as conn:
        deployment_id = await _deployment_id(conn, here, deploymentId)
        items = await saturations.list_saturations(conn, deployment_id)
    return Json({"items": [render_saturation(item) for item in items]})


@router.post(W + "/deployments/{deploymentId:segment}/saturation", response_model=PostedSaturation)
async def post_saturation(here: InWorkspace, deploymentId: str, body: SaturationBody) -> Response:
    """Say how full something is. Only another level wakes the deployment; a reading older than the last is not kept."""
    if body.highAbove > body.saturatedAbove:
        raise Invalid("highAbove must not lie above saturatedAbove.", field="highAbove")
    async with here.read() as conn:
        deployment_id = await _deployment_id(conn, here, deploymentId)
        environment_id = await _environment_id(conn, here, body.environment)
    place = await place_of(here, deployment_id, environment_id=environment_id)
    async with here.tx(Permission.SIGNAL_REPORT, cause="api: saturation", place=place) as tx:
        now = await tx.conn.fetchval(saturations.Q.now)
        observed_at = min(body.observedAt or now, now)
        fresh_until = observed_at + timedelta(seconds=body.freshForSeconds)
        if fresh_until <= now:
            raise Invalid("The reading is too old already: it counts no more.", field="observedAt")
        posted = Posted(
            body.name.strip(),
            body.value,
            body.highAbove,
            body.saturatedAbove,
            observed_at,
            fresh_until,
            body.source,
            environment_id,
        )
        stored, changed = await saturations.post_saturation(
            tx, here.id, deployment_id=deployment_id, posted=posted, author_id=here.caller.id
        )
    return Json({**render_saturation(stored), "changed": changed})


@router.delete(W + "/deployments/{deploymentId:segment}/saturation/{name:segment}", response_model=SaturationAnswer)
async def forget_saturation(
    here: InWorkspace,
    deploymentId: str,
    name: str,
    environment: Annotated[str | None, Query(description="Id or name, where it is read of one.")] = None,
) -> Response:
    """Forget a signal that nobody reads any more: else it stays unknown, and holds."""
    async with here.read() as conn:
        deployment_id = await _deployment_id(conn, here, deploymentId)
        environment_id = await _environment_id(conn, here, environment)
    place = await place_of(here, deployment_id, environment_id=environment_id)
    async with here.tx(Permission.SIGNAL_REPORT, cause="api: forget saturation", place=place) as tx:
        gone = await saturations.forget_saturation(
            tx, here.id, deployment_id=deployment_id, name=name, environment_id=environment_id
        )
    return Json(render_saturation(gone))


async def _deployment_id(conn: Conn, here: Here, text: str) -> str:
    return found(await deployments.resolve_deployment(conn, here.id, text=text), "deployment", named=text).id


async def _environment_id(conn: Conn, here: Here, text: str | None) -> str | None:
    if text is None:
        return None
    known = await environments.find_environment_by_name(conn, here.id, name=text)
    return known.id if known is not None else await environment_of(conn, here, text)


def render_saturation(item: StoredSaturation) -> Wire:
    """A signal on the wire."""
    where = {"id": item.environment_id, "name": item.environment} if item.environment_id else None
    return present(
        name=item.name,
        environment=where,
        level=item.level if item.fresh else UNKNOWN,
        value=item.value,
        highAbove=item.high_above,
        saturatedAbove=item.saturated_above,
        since=instant(item.since if item.fresh else item.fresh_until),
        observedAt=instant(item.observed_at),
        freshUntil=instant(item.fresh_until),
        source=item.source,
    )

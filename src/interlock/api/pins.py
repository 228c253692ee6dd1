"""REST for pins: this target, environment or deployment stays at, or goes to, this version.

Source: core.md section 4. These paths are ours, not the public contract's.
"""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from fastapi import Query
from pydantic import AwareDatetime
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api.deployments import place_of
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import Wire
from interlock.api.rollouts import ReasonBody
from interlock.api.shapes import VersionRef
from interlock.model.errors import Invalid, NotFound
from interlock.model.ids import TargetKey, is_id
from interlock.model.version import Version
from interlock.store import deployments, environments, pins, target_states, versions
from interlock.store.pins import StoredPin
from interlock.store.queries import Conn
from interlock.web.answers import Json, instant, present
from interlock.web.bodies import ClosedBody, Name
from interlock.web.paging import Paging
from interlock.web.shapes import Id, Instant, Named, page_of
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("pins")


class PinBody(ClosedBody):
    """A pin: of the version's deployment, of one environment of it, or of the target on one resource there."""

    versionId: str
    environmentId: str | None = None
    resourceId: str | None = None
    reason: Name
    expiresAt: AwareDatetime | None = None


class PinAnswer(TypedDict):
    """A pin. `targets` is how many attached targets its scope holds."""

    id: Id
    scope: Literal["deployment", "environment", "target"]
    deployment: Named
    environment: NotRequired[Named]
    resource: NotRequired[Named]
    releaseTargetKey: NotRequired[str]
    version: VersionRef
    targets: int
    reason: str
    inForce: bool
    createdBy: NotRequired[str]
    createdAt: Instant
    expiresAt: NotRequired[Instant]
    removedBy: NotRequired[str]
    removedAt: NotRequired[Instant]
    removeReason: NotRequired[str]


@router.get(W + "/pins", response_model=page_of(PinAnswer))
async def list_pins(
    here: InWorkspace,
    page: Paging,
    deploymentId: Annotated[str | None, Query(description="Id or name.")] = None,
    over: Annotated[bool, Query(description="Those that ended as well.")] = False,
) -> Response:
    """List the pins in force, newest first."""
    here.require(Permission.READ)
    async with here.read() as conn:
        narrow = await narrowed(conn, here, deploymentId)
        items, total = await pins.list_pins(
            conn, here.id, deployment_id=narrow, over_too=over, limit=page.limit, offset=page.offset
        )
        if not items and page.offset:
            _, total = await pins.list_pins(conn, here.id, deployment_id=narrow, over_too=over, limit=1)
    return page.answer([render_pin(pin) for pin in items], total)


@router.post(W + "/pins", status_code=201, response_model=PinAnswer, responses={200: {"model": PinAnswer}})
async def set_pin(here: InWorkspace, body: PinBody) -> Response:
    """Pin a place to a version. It takes the place of another pin there; the same pin sent again answers 200."""
    async with here.read() as conn:
        version = await version_of(conn, here, body.versionId)
        environment_id = await environment_of(conn, here, body.environmentId)
        target_id = await _target_id(conn, here, version, environment_id, body.resourceId)
    place = await place_of(here, version.deployment_id, environment_id=environment_id)
    async with here.tx(Permission.STEER, cause="api: pin", place=place) as tx:
        pin, new = await pins.set_pin(
            tx,
            here.id,
            deployment_id=version.deployment_id,
            version_id=version.id,
            environment_id=environment_id,
            target_id=target_id,
            reason=body.reason,
            expires_at=body.expiresAt,
            author_id=here.caller.id,
        )
    return Json(render_pin(pin), status_code=201 if new else 200)


@router.get(W + "/pins/{pinId:segment}", response_model=PinAnswer)
async def get_pin(here: InWorkspace, pinId: str) -> Response:
    """Get a pin."""
    return Json(render_pin(await _known(here, pinId)))


@router.post(W + "/pins/{pinId:segment}/remove", response_model=PinAnswer)
async def remove_pin(here: InWorkspace, pinId: str, body: ReasonBody) -> Response:
    """Take a pin back: its targets may go on to whatever is newer than what they run."""
    known = await _known(here, pinId)
    place = await place_of(here, known.deployment_id, environment_id=known.environment_id)
    async with here.tx(Permission.STEER, cause="api: unpin", place=place) as tx:
        pin = await pins.remove_pin(tx, here.id, pin_id=known.id, reason=body.reason, author_id=here.caller.id)
    return Json(render_pin(pin))


async def narrowed(conn: Conn, here: Here, text: str | None) -> str | None:
    """The id of the deployment that a list is narrowed to, by id or name.

    Fails: `NotFound`.
    """
    if not text:
        return None
    return found(await deployments.resolve_deployment(conn, here.id, text=text), "deployment").id


async def version_of(conn: Conn, here: Here, text: str) -> Version:
    """The version that a body names.

    Fails: `NotFound`.
    """
    version = await versions.find_version(conn, here.id, version_id=text.lower()) if is_id(text) else None
    return found(version, "version")


async def environment_of(conn: Conn, here: Here, text: str | None) -> str | None:
    """The id of the environment that a body names, if it names one.

    Fails: `NotFound`.
    """
    if text is None:
        return None
    if not is_id(text):
        raise NotFound("There is no environment with this id.")
    return found(await environments.find_environment(conn, here.id, environment_id=text.lower()), "environment").id


async def _target_id(
    conn: Conn, here: Here, version: Version, environment_id: str | None, resource: str | None
) -> str | None:
    if resource is None:
        return None
    if environment_id is None:
        raise Invalid("A pin of a target needs its environment too.", field="environmentId")
    if is_id(resource):
        targets, _ = await target_states.list_targets(
            conn,
            here.id,
            deployment_id=version.deployment_id,
            environment_id=environment_id,
            resource_id=resource.lower(),
            limit=1,
        )
        if targets:
            return targets[0].id
    raise NotFound("The version's deployment has no target on this resource in this environment.")


async def _known(here: Here, text: str) -> StoredPin:
    here.require(Permission.READ)
    async with here.read() as conn:
        return found(await pins.find_pin(conn, here.id, pin_id=id_of(text, "pin")), "pin")


def render_pin(pin: StoredPin) -> Wire:
    """A pin on the wire. `targets` is how many attached targets its scope holds."""
    key = None
    if pin.resource_id and pin.environment_id:
        key = str(TargetKey(pin.resource_id, pin.environment_id, pin.deployment_id))
    return present(
        id=pin.id,
        scope=pin.scope,
        deployment={"id": pin.deployment_id, "name": pin.deployment},
        environment=present(id=pin.environment_id, name=pin.environment) or None,
        resource=present(id=pin.resource_id, name=pin.resource) or None,
        releaseTargetKey=key,
        version={"id": pin.version_id, "tag": pin.tag},
        targets=pin.targets,
        reason=pin.reason,
        inForce=pin.in_force,
        createdBy=pin.created_by,
        createdAt=instant(pin.created_at),
        expiresAt=instant(pin.expires_at) if pin.expires_at else None,
        removedBy=pin.removed_by,
        removedAt=instant(pin.removed_at) if pin.removed_at else None,
        removeReason=pin.remove_reason,
    )

"""REST for skips: a version passes one rule, every rule of a kind, or one freeze.

Passing a freeze is a control of its own, with its own permission and always with an end. Taking any of them back needs
what steering needs: it only makes things safer.

Source: core.md section 4; reference-behaviour.md 3.4, 4.14. These paths are ours, not the public contract's.
"""

from __future__ import annotations

from typing import Annotated, NotRequired

from fastapi import Query
from pydantic import AwareDatetime
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api.deployments import place_of
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.pins import environment_of, narrowed, version_of
from interlock.api.rendering import Wire
from interlock.api.rollouts import ReasonBody
from interlock.api.shapes import VersionRef
from interlock.model.errors import Invalid, NotFound
from interlock.model.ids import is_id
from interlock.store import resources, skips
from interlock.store.queries import Conn
from interlock.store.skips import StoredSkip
from interlock.web.answers import Json, instant, present
from interlock.web.bodies import ClosedBody, Name
from interlock.web.paging import Paging
from interlock.web.shapes import Id, Instant, Named, page_of
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("skips")


class SkipBody(ClosedBody):
    """What a version passes: exactly one of `ruleId`, `ruleKind` and `freezeId`. A bypass of a freeze has an end."""

    ruleId: Name | None = None
    ruleKind: Name | None = None
    freezeId: Name | None = None
    versionId: str
    environmentId: str | None = None
    resourceId: str | None = None
    reason: Name
    expiresAt: AwareDatetime | None = None


class SkipAnswer(TypedDict):
    """A skip with the rule, the kind or the freeze that it passes."""

    id: Id
    ruleId: NotRequired[str]
    ruleKind: NotRequired[str]
    freezeId: NotRequired[Id]
    freezeReason: NotRequired[str]
    policy: NotRequired[Named]
    orphaned: bool
    deployment: Named
    version: VersionRef
    environment: NotRequired[Named]
    resource: NotRequired[Named]
    reason: str
    inForce: bool
    createdBy: NotRequired[str]
    createdAt: Instant
    expiresAt: NotRequired[Instant]
    removedBy: NotRequired[str]
    removedAt: NotRequired[Instant]
    removeReason: NotRequired[str]


@router.get(W + "/skips", response_model=page_of(SkipAnswer))
async def list_skips(
    here: InWorkspace,
    page: Paging,
    deploymentId: Annotated[str | None, Query(description="Id or name.")] = None,
    over: Annotated[bool, Query(description="Those that ended as well.")] = False,
) -> Response:
    """List the skips in force, newest first. One whose rule or freeze is gone is `orphaned`: it does nothing."""
    here.require(Permission.READ)
    async with here.read() as conn:
        narrow = await narrowed(conn, here, deploymentId)
        items, total = await skips.list_skips(
            conn, here.id, deployment_id=narrow, over_too=over, limit=page.limit, offset=page.offset
        )
        if not items and page.offset:
            _, total = await skips.list_skips(conn, here.id, deployment_id=narrow, over_too=over, limit=1)
    return page.answer([render_skip(skip) for skip in items], total)


@router.post(W + "/skips", status_code=201, response_model=SkipAnswer, responses={200: {"model": SkipAnswer}})
async def set_skip(here: InWorkspace, body: SkipBody) -> Response:
    """Let a version pass a rule or a freeze. The same skip sent again answers 200."""
    async with here.read() as conn:
        version = await version_of(conn, here, body.versionId)
        environment_id = await environment_of(conn, here, body.environmentId)
        resource_id = await _resource_id(conn, here, body.resourceId)
        name = await _name(conn, here, body)
    permission = Permission.STEER if body.freezeId is None else Permission.FREEZE_BYPASS
    place = await place_of(here, version.deployment_id, environment_id=environment_id)
    async with here.tx(permission, cause="api: skip", place=place) as tx:
        skip, new = await skips.set_skip(
            tx,
            here.id,
            name=name,
            deployment_id=version.deployment_id,
            version_id=version.id,
            environment_id=environment_id,
            resource_id=resource_id,
            reason=body.reason,
            expires_at=body.expiresAt,
            author_id=here.caller.id,
        )
    return Json(render_skip(skip), status_code=201 if new else 200)


@router.get(W + "/skips/{skipId:segment}", response_model=SkipAnswer)
async def get_skip(here: InWorkspace, skipId: str) -> Response:
    """Get a skip."""
    return Json(render_skip(await _known(here, skipId)))


@router.post(W + "/skips/{skipId:segment}/remove", response_model=SkipAnswer)
async def remove_skip(here: InWorkspace, skipId: str, body: ReasonBody) -> Response:
    """Take a skip back: what it let start goes on, nothing else starts by it."""
    known = await _known(here, skipId)
    place = await place_of(here, known.deployment_id, environment_id=known.environment_id)
    async with here.tx(Permission.STEER, cause="api: unskip", place=place) as tx:
        skip = await skips.remove_skip(tx, here.id, skip_id=known.id, reason=body.reason, author_id=here.caller.id)
    return Json(render_skip(skip))


async def _name(conn: Conn, here: Here, body: SkipBody) -> str:
    match body.ruleId, body.ruleKind, body.freezeId:
        case str(rule_id), None, None:
            return await skips.name_of_rule(conn, here.id, rule_id=rule_id)
        case None, str(kind), None:
            return skips.name_of_kind(kind)
        case None, None, str(freeze_id):
            return await skips.name_of_freeze(conn, here.id, freeze_id=id_of(freeze_id, "freeze"))
        case _:
            raise Invalid("Send exactly one of ruleId, ruleKind and freezeId.", field="ruleId")


async def _resource_id(conn: Conn, here: Here, text: str | None) -> str | None:
    if text is None:
        return None
    known = await resources.load_resources(conn, [text.lower()]) if is_id(text) else ()
    if not known or known[0].workspace_id != here.id:
        raise NotFound("There is no such resource.")
    return known[0].id


async def _known(here: Here, text: str) -> StoredSkip:
    here.require(Permission.READ)
    async with here.read() as conn:
        return found(await skips.find_skip(conn, here.id, skip_id=id_of(text, "skip")), "skip")


def render_skip(skip: StoredSkip) -> Wire:
    """A skip on the wire, with the rule, the kind or the freeze that it passes."""
    plain = skip.freeze_id is None and skip.every_kind is None
    return present(
        id=skip.id,
        ruleId=skip.rule_id if plain else None,
        ruleKind=skip.rule_kind,
        freezeId=skip.freeze_id,
        freezeReason=skip.freeze_reason,
        policy=present(id=skip.policy_id, name=skip.policy) or None,
        orphaned=skip.orphaned,
        deployment={"id": skip.deployment_id, "name": skip.deployment},
        version={"id": skip.version_id, "tag": skip.tag},
        environment=present(id=skip.environment_id, name=skip.environment) or None,
        resource=present(id=skip.resource_id, name=skip.resource) or None,
        reason=skip.reason,
        inForce=skip.in_force,
        createdBy=skip.created_by,
        createdAt=instant(skip.created_at),
        expiresAt=instant(skip.expires_at) if skip.expires_at else None,
        removedBy=skip.removed_by,
        removedAt=instant(skip.removed_at) if skip.removed_at else None,
        removeReason=skip.remove_reason,
    )

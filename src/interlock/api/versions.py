"""REST for versions: what CI calls when it has built something.

The tag is the identity. CI that runs its step again gets 200 and the same version, with what it says now; so the call
is safe to repeat. A deployment may be named by its id or by its name.

Source: contract.md sections b ("api upsert version") and e ("Version").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, NotRequired

from fastapi import Query, Request
from pydantic import AwareDatetime
from starlette.responses import Response

from interlock.access import Permission
from interlock.api import shapes
from interlock.api.agent_configs import check_version, load_agents
from interlock.api.dependencies import dependencies_of
from interlock.api.deployments import place_of
from interlock.api.orders import PlacedAnswer, render_placed
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import Wire, render_need, render_version
from interlock.api.selectors import Scope, selector_of_query
from interlock.clock import utc_now
from interlock.model.conduct import check_conduct
from interlock.model.errors import Invalid
from interlock.model.inventory import Deployment
from interlock.model.secret import ids_in
from interlock.model.version import Dependency, Version
from interlock.model.version_facts import parse_version_facts
from interlock.store import deployments, orders, versions
from interlock.store.dependencies import load_dependencies
from interlock.store.tx import Tx
from interlock.web.answers import Json
from interlock.web.bodies import AnyMap, Bool, Name, Object, Text, TextMap, Texts, WireBody
from interlock.web.paging import Paging
from interlock.web.shapes import page_of
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("versions")

Status = Literal["unspecified", "building", "ready", "failed", "rejected", "paused"]
AHEAD_MAX = timedelta(days=1)
"""A version dated further ahead would be the newest for as long."""


class VersionBody(WireBody):
    """A version as CI sends it. An empty name becomes the tag; an instant of year 1 counts as none."""

    tag: Name
    name: Text | None = None
    status: Status = "ready"
    message: Text | None = None
    config: AnyMap
    jobAgentConfig: AnyMap
    metadata: TextMap
    createdAt: AwareDatetime | None = None
    dependencies: Object | None = None


class VersionChange(WireBody):
    """What may change of a version; what is absent stays."""

    tag: Name | None = None
    name: Text | None = None
    status: Status | None = None
    message: Text | None = None
    config: Object | None = None
    jobAgentConfig: Object | None = None
    metadata: Texts | None = None
    createdAt: AwareDatetime | None = None
    rollback: Bool = False
    """With status `rejected`, ours: targets that run it go back to their newest good release of another version."""


class ChangedVersionAnswer(shapes.DeploymentVersion):
    """A version after a change; with `rollback`, what became of its targets."""

    rollback: NotRequired[PlacedAnswer]


@router.get(
    W + "/deployments/{deploymentId:segment}/versions", response_model=page_of(shapes.DeploymentVersionWithDependencies)
)
async def list_versions(
    here: InWorkspace,
    deploymentId: str,
    page: Paging,
    order: Annotated[Literal["asc", "desc"], Query()] = "desc",
    cel: Annotated[str | None, Query()] = None,
) -> Response:
    """List a deployment's versions by age, newest first, that a selector over `version` matches."""
    here.require(Permission.READ)
    selector = selector_of_query(cel, scope=Scope.VERSION)
    async with here.read() as conn:
        known = await deployments.resolve_deployment(conn, here.id, text=deploymentId)
        deployment = found(known, "deployment")
        items, total = await versions.list_versions(
            conn,
            deployment.id,
            newest_first=order == "desc",
            selector=selector,
            limit=page.limit,
            offset=page.offset,
        )
        needed = await load_dependencies(conn, [item.id for item in items])
    rendered = [_with_dependencies(version, needed) for version in items]
    return page.answer(await _shown(here, rendered, deployment.id), total)


@router.post(W + "/deployments/{deploymentId:segment}/versions", response_model=shapes.DeploymentVersion)
async def upsert_version(here: InWorkspace, request: Request, deploymentId: str, body: VersionBody) -> Response:
    """Create a version, or bring the one with this tag up to date."""
    parse_version_facts(body.metadata)
    check_conduct(body.jobAgentConfig, path="jobAgentConfig")
    content = versions.VersionContent(
        tag=body.tag,
        name=body.name or body.tag,
        status=body.status,
        message=body.message,
        config=body.config,
        job_agent_config=body.jobAgentConfig,
        metadata=body.metadata,
        created_at=_said_at(body.createdAt),
        dependencies=None if body.dependencies is None else dependencies_of(body.dependencies),
    )
    async with here.read() as conn:
        known = await deployments.resolve_deployment(conn, here.id, text=deploymentId)
    deployment = found(known, "deployment")
    place = await place_of(here, deployment.id)
    async with here.tx(Permission.VERSION_WRITE, cause="api: upsert version", place=place) as tx:
        await _check_config(tx, here, request, deployment, body.jobAgentConfig)
        version = await versions.save_version(
            tx, here.id, deployment_id=deployment.id, content=content, author_id=here.caller.id
        )
    return Json(await _shown(here, render_version(version), deployment.id))


@router.get(
    W + "/deployment-versions/{deploymentVersionId:segment}", response_model=shapes.DeploymentVersionWithDependencies
)
async def get_version(here: InWorkspace, deploymentVersionId: str) -> Response:
    """Get a version."""
    here.require(Permission.READ)
    version_id = id_of(deploymentVersionId, "version")
    async with here.read() as conn:
        version = found(await versions.find_version(conn, here.id, version_id=version_id), "version")
        needed = await load_dependencies(conn, [version_id])
    return Json(await _shown(here, _with_dependencies(version, needed), version.deployment_id))


@router.patch(
    W + "/deployment-versions/{deploymentVersionId:segment}", status_code=202, response_model=ChangedVersionAnswer
)
async def change_version(
    here: InWorkspace, request: Request, deploymentVersionId: str, body: VersionChange
) -> Response:
    """Change a version: rename it, make it ready, pause or reject it.

    Rejected, it starts nowhere any more, and its waiting jobs are withdrawn. What runs it stays, unless `rollback` says
    that it goes back: then the answer's `rollback` tells which targets do, and which cannot.
    """
    version_id = id_of(deploymentVersionId, "version")
    if body.metadata is not None:
        parse_version_facts(body.metadata)
    if body.rollback and body.status != "rejected":
        raise Invalid("Only a version that is rejected is rolled back; send status rejected too.", field="rollback")
    async with here.read() as conn:
        known = found(await versions.find_version(conn, here.id, version_id=version_id), "version")
        deployment = found(
            await deployments.find_deployment(conn, here.id, deployment_id=known.deployment_id), "deployment"
        )
    place = await place_of(here, known.deployment_id)
    if body.rollback:
        here.require(Permission.STEER, place=place)
    async with here.tx(Permission.VERSION_WRITE, cause="api: change version", place=place) as tx:
        before = found(await versions.lock_version(tx, here.id, version_id=version_id), "version")
        await _check_config(tx, here, request, deployment, body.jobAgentConfig or {})
        after = replace(before, **_changes(body))
        version = await versions.change_version(tx, here.id, before=before, after=after)
        if not body.rollback:
            return Json(render_version(version), status_code=202)
        placed = await orders.roll_back_version(
            tx,
            here.id,
            version=version,
            deployment=deployment.name,
            reason=body.message or "version rejected",
            principal_id=here.caller.id,
        )
    return Json({**render_version(version), "rollback": render_placed(placed)}, status_code=202)


@router.patch(
    W + "/deploymentversions/{deploymentVersionId:segment}", status_code=202, response_model=ChangedVersionAnswer
)
async def change_version_by_old_path(
    here: InWorkspace, request: Request, deploymentVersionId: str, body: VersionChange
) -> Response:
    """Change a version; the document's spelling of the path."""
    return await change_version(here, request, deploymentVersionId, body)


async def _check_config(
    tx: Tx, here: Here, request: Request, deployment: Deployment, config: Mapping[str, Any]
) -> None:
    """Refuse a `jobAgentConfig` with a value that an agent of the deployment would not take."""
    if config:
        check_version(
            request.app.state.agents,
            await load_agents(tx.conn, here.id),
            selector=deployment.job_agent_selector,
            entries=deployment.job_agents or (),
            config=config,
        )


async def _shown(here: Here, rendered: Any, deployment_id: str) -> Any:
    """Versions of one deployment, with the secrets of their `jobAgentConfig` for who may write them."""
    if next(ids_in(rendered), None) is None:
        return rendered
    return await here.shown(rendered, Permission.VERSION_WRITE, place=await place_of(here, deployment_id))


def _changes(body: VersionChange) -> dict[str, Any]:
    """Field of a version -> its new value, for what was sent."""
    check_conduct(body.jobAgentConfig or {}, path="jobAgentConfig")
    sent = {
        "tag": body.tag,
        "name": body.name,
        "status": body.status,
        "message": body.message,
        "config": body.config,
        "job_agent_config": body.jobAgentConfig,
        "metadata": body.metadata,
        "created_at": _said_at(body.createdAt),
    }
    return {name: value for name, value in sent.items() if value is not None}


def _said_at(created_at: datetime | None) -> datetime | None:
    """The instant that a client means: Go's zero instant means none.

    Fails: `Invalid` for one that lies far ahead.
    """
    if created_at is None or created_at.astimezone(UTC).year == 1:
        return None
    if created_at > utc_now() + AHEAD_MAX:
        raise Invalid("createdAt lies more than a day ahead.", field="createdAt")
    return created_at.astimezone(UTC)


def _with_dependencies(version: Version, needed: Mapping[str, Sequence[Dependency]]) -> Wire:
    mine = {one.deployment_id: render_need(one) for one in needed.get(version.id, ())}
    return {**render_version(version), "dependencies": mine}

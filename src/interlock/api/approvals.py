"""REST for approvals: what people are asked, and their answers.

The contract's call names a version and environments; it was given without seeing anything and is kept so. Ours
answers one request and carries the digest of what it showed: when something else is shown now, the answer is 412.

Source: contract.md section e, "Approvals"; core.md section 4.
"""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from fastapi import Query
from pydantic import Field
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api import shapes
from interlock.api.deployments import place_of
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import Wire
from interlock.model.approval import ApprovalRequest
from interlock.model.errors import Invalid
from interlock.model.ids import is_id
from interlock.store import approvals, versions
from interlock.web.answers import Json, accepted, instant, present
from interlock.web.bodies import ClosedBody, Text, WireBody
from interlock.web.paging import Paging
from interlock.web.shapes import Accepted, AnyObject, Id, Instant, Named, page_of
from interlock.web.sign_in import InWorkspace

router = noun_router("approvals")

ENVIRONMENTS_MAX = 1000


class UserApprovalBody(WireBody):
    """The contract's answer. Without environments it is for all that the version can reach."""

    status: Literal["approved", "rejected"]
    environmentIds: Annotated[list[str], Field(max_length=ENVIRONMENTS_MAX)] | None = None
    reason: Text | None = None


class AnswerBody(ClosedBody):
    """An answer to a request. `digest` is that of what the request showed."""

    verdict: Literal["approved", "rejected", "withdrawn"]
    digest: Text
    comment: Text | None = None


class ApprovalRequestAnswer(TypedDict):
    """A request with what it shows, and the latest word of each person: of a yes that does not count, why not."""

    id: Id
    status: Literal["open", "approved", "rejected", "superseded"]
    deployment: Named
    environment: Named
    version: shapes.VersionInPlace
    changeId: Id
    minimum: int
    why: str
    group: NotRequired[str]
    authorExcluded: NotRequired[Literal[True]]
    expiresAfterHours: NotRequired[float]
    configDigests: NotRequired[list[str]]
    shown: AnyObject
    digest: str
    openedAt: Instant
    approvals: list[AnyObject]


@router.put(
    W + "/deployment-versions/{deploymentVersionId:segment}/user-approval-records",
    status_code=202,
    response_model=Accepted,
)
async def put_user_approval(here: InWorkspace, deploymentVersionId: str, body: UserApprovalBody) -> Response:
    """Approve or reject a version in environments, without having been shown anything."""
    version_id = id_of(deploymentVersionId, "version")
    malformed = next((text for text in body.environmentIds or () if not is_id(text)), None)
    if malformed is not None:
        raise Invalid(f"{malformed!r} is no environment's id.", field="environmentIds")
    async with here.read() as conn:
        version = found(await versions.find_version(conn, here.id, version_id=version_id), "version")
        reachable = await approvals.list_reachable(conn, version.deployment_id)
    environment_ids = tuple(text.lower() for text in body.environmentIds or ()) or tuple(reachable)
    for environment_id in environment_ids:
        place = await place_of(here, version.deployment_id, environment_id=environment_id)
        here.require(Permission.APPROVE, place=place)
    place = await place_of(here, version.deployment_id, environment_id=next(iter(environment_ids), None))
    async with here.tx(Permission.APPROVE, cause="api: user approval", place=place) as tx:
        await approvals.answer_unseen(
            tx,
            here.id,
            version=version,
            environment_ids=environment_ids,
            principal_id=here.caller.id,
            verdict=body.status,
            comment=body.reason,
        )
    return accepted(version_id, f"The version was {body.status}.")


@router.get(W + "/approval-requests", response_model=page_of(ApprovalRequestAnswer))
async def list_requests(
    here: InWorkspace,
    page: Paging,
    status: Annotated[Literal["open", "approved", "rejected", "superseded"] | None, Query()] = None,
    deploymentId: Annotated[str | None, Query()] = None,
) -> Response:
    """List what people were asked, newest first."""
    here.require(Permission.READ)
    deployment_id = id_of(deploymentId, "deployment") if deploymentId else None
    async with here.read() as conn:
        items, total = await approvals.list_requests(
            conn, here.id, status=status, deployment_id=deployment_id, limit=page.limit, offset=page.offset
        )
    return page.answer([render_request(request) for request in items], total)


@router.get(W + "/approval-requests/{requestId:segment}", response_model=ApprovalRequestAnswer)
async def get_request(here: InWorkspace, requestId: str) -> Response:
    """Get a request with what it shows and the answers so far."""
    here.require(Permission.READ)
    request_id = id_of(requestId, "request")
    async with here.read() as conn:
        request = await approvals.find_request(conn, here.id, request_id=request_id)
    return Json(render_request(found(request, "request")))


@router.post(
    W + "/approval-requests/{requestId:segment}/approvals",
    status_code=201,
    response_model=ApprovalRequestAnswer,
    responses={412: {}},
)
async def answer_request(here: InWorkspace, requestId: str, body: AnswerBody) -> Response:
    """Approve or reject what a request shows, or take the answer back."""
    request_id = id_of(requestId, "request")
    async with here.read() as conn:
        known = found(await approvals.find_request(conn, here.id, request_id=request_id), "request")
    place = await place_of(here, known.deployment_id, environment_id=known.environment_id)
    async with here.tx(Permission.APPROVE, cause="api: answer request", place=place) as tx:
        request = found(await approvals.find_request(tx.conn, here.id, request_id=request_id), "request")
        await approvals.answer_request(
            tx,
            here.id,
            request=request,
            principal_id=here.caller.id,
            verdict=body.verdict,
            digest=body.digest,
            comment=body.comment,
        )
        answered = found(await approvals.find_request(tx.conn, here.id, request_id=request_id), "request")
    return Json(render_request(answered), status_code=201)


def render_request(request: ApprovalRequest) -> Wire:
    """A request on the wire, with the latest word of each person."""
    return present(
        group=request.group,
        authorExcluded=True if request.authors_excluded else None,
        expiresAfterHours=None if request.lasts_s is None else request.lasts_s / 3600,
        configDigests=None if request.config_digests is None else list(request.config_digests),
    ) | {
        "id": request.id,
        "status": request.status,
        "deployment": {"id": request.deployment_id, "name": request.deployment},
        "environment": {"id": request.environment_id, "name": request.environment},
        "version": {"id": request.version_id, "tag": request.tag, "name": request.version},
        "changeId": request.change_id,
        "minimum": request.minimum,
        "why": request.why,
        "shown": request.shown,
        "digest": request.shown_digest,
        "openedAt": instant(request.opened_at),
        "approvals": [present(**word, says=request.why_not_counted(word)) for word in request.words],
    }

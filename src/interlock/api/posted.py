"""REST for results that outside systems post: test runs, synthetic checks, whatever a metric waits for.

    POST /W/jobs/{jobId}/metrics/{metric}/results                     of the job that is verified
    POST /W/verifications/{verificationId}/metrics/{metric}/results   of whatever a verification is about
    GET  /W/jobs/{jobId}/results                                      what was posted, and what became of it

A post is answered 202 once it is kept, and says what it is good for. The same again is answered 202 too, so that nobody
sends it over and over.

Source: `metrics/webhook.py`.
"""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

import orjson
from pydantic import StringConstraints
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import WORKSPACE, Permission
from interlock.api.deployments import place_of
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import Wire
from interlock.model.errors import Invalid
from interlock.store import jobs, posted
from interlock.store.posted import Kept, PostedRow, Subject
from interlock.web.answers import accepted, instant, present
from interlock.web.bodies import ClosedBody
from interlock.web.paging import Paging
from interlock.web.shapes import Accepted, Instant, page_of
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("verifications")

RESULT_BYTES_MAX = 64 * 1024
NAME_MAX = 200


class ResultBody(ClosedBody):
    """What was measured. `id` is the sender's own name of it: posted twice, it counts once."""

    id: Annotated[str, StringConstraints(min_length=1, max_length=NAME_MAX, pattern=r"\S")]
    result: Any


class ResultAnswer(TypedDict):
    """One posted result. `taken`: it is a measurement; else it came after the end, or nothing waited for it yet."""

    id: str
    metric: str
    result: Any
    postedAt: Instant
    by: NotRequired[str]
    taken: bool


@router.get(W + "/jobs/{jobId:segment}/results", response_model=page_of(ResultAnswer))
async def list_job_results(here: InWorkspace, jobId: str, page: Paging) -> Response:
    """List what was posted of a job, oldest first, and whether it was measured by."""
    here.require(Permission.READ)
    async with here.read() as conn:
        job = found(await jobs.find_job(conn, here.id, job_id=id_of(jobId, "job")), "job")
        rows, total = await posted.list_posted(conn, here.id, job.id, limit=page.limit, offset=page.offset)
    return page.answer([_rendered(row) for row in rows], total)


def _rendered(row: PostedRow) -> Wire:
    return present(
        id=row.name,
        metric=row.metric,
        result=row.result,
        postedAt=instant(row.posted_at),
        by=row.by,
        taken=row.taken > 0,
    )


@router.post(W + "/jobs/{jobId:segment}/metrics/{metric:segment}/results", status_code=202, response_model=Accepted)
async def post_job_result(here: InWorkspace, jobId: str, metric: str, body: ResultBody) -> Response:
    """Post what was measured of a job, for a metric with the provider `webhook`: before, while or after it waits."""
    async with here.read() as conn:
        job = found(await jobs.find_job(conn, here.id, job_id=id_of(jobId, "job")), "job")
    return await _post(here, Subject(job.id, "job", job.deployment_id), metric, body)


@router.post(
    W + "/verifications/{verificationId:segment}/metrics/{metric:segment}/results",
    status_code=202,
    response_model=Accepted,
)
async def post_result(here: InWorkspace, verificationId: str, metric: str, body: ResultBody) -> Response:
    """Post what was measured of whatever a verification is about, for a metric with the provider `webhook`."""
    verification_id = id_of(verificationId, "verification")
    async with here.read() as conn:
        subject = await posted.find_subject(conn, here.id, verification_id=verification_id)
    return await _post(here, found(subject, "verification"), metric, body)


async def _post(here: Here, subject: Subject, metric: str, body: ResultBody) -> Response:
    if len(orjson.dumps(body.result)) > RESULT_BYTES_MAX:
        raise Invalid(f"A result may have {RESULT_BYTES_MAX} bytes at most, as JSON.", field="result")
    if body.result is None:
        raise Invalid("A result is an object, a list, a text, a number or a truth value.", field="result")
    place = await place_of(here, subject.deployment_id) if subject.deployment_id else WORKSPACE
    async with here.tx(Permission.MEASUREMENT_WRITE, cause="api: post result", place=place) as tx:
        kept = await posted.post_result(
            tx, here.id, subject, metric=metric, name=body.id, result=body.result, principal_id=here.caller.id
        )
    return accepted(subject.id, _says(kept, metric, body.id))


def _says(kept: Kept, metric: str, name: str) -> str:
    """What became of the post, in words."""
    if not kept.is_new:
        return f"The result {name} was posted before: it counts once."
    if kept.waiting:
        return f"The result is kept, and {metric} takes it when its next measurement is due."
    if kept.metrics:
        return f"The result is kept and changes nothing: {metric} is over."
    return f"The result is kept for when {metric} begins."

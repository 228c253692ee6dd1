"""REST for callbacks: whoever does a job that was told says how it goes, with a token that is good for that alone.

    POST /api/jobs/{jobId}/callback       Authorization: Bearer ilcb_…

The token came with the job, and is for one attempt of it. It is derived from that and from a key of this installation,
so it is stored nowhere, and a wrong one costs no look at the database. It can change nothing once the job is over, and
a day later it opens nothing.

News that comes late, twice, or of an attempt that has the job no longer is answered 202, so that nobody sends it again
and again; it says so, and changes nothing. News that comes before the start was answered is its answer.

Source: core.md section 5 (class told); decision record 0035.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Literal

from fastapi import Request
from pydantic import Field, StringConstraints
from starlette.responses import Response

from interlock.api.jobs import opener_of
from interlock.api.paths import id_of, noun_router
from interlock.model.errors import Rejected, TooMany, Unauthorized, Unavailable
from interlock.model.event import Actor
from interlock.model.job import JobStatus, Observation
from interlock.model.secret import MASK
from interlock.store import callbacks
from interlock.store.callbacks import Heard
from interlock.store.jobs import BROUGHT_MAX
from interlock.web.answers import accepted
from interlock.web.bodies import ClosedBody, Text, TextMap
from interlock.web.rates import Buckets, Rate
from interlock.web.shapes import Accepted
from interlock.web.sign_in import FromStore

router = noun_router("jobs")

RATE = Rate(per_s=1.0, burst=60)
"""How often one job may be called back, in one process."""

OUTPUT_MAX = 256 * 1024
_ITEMS_MAX = 50

StatusSaid = Literal["inProgress", "actionRequired", "successful", "failure", "cancelled", "skipped"]
Brought = Annotated[tuple[Annotated[str, StringConstraints(max_length=500)], ...], Field(max_length=BROUGHT_MAX)]


class CallbackBody(ClosedBody):
    """How a job goes. Without a status it goes on as it did."""

    status: StatusSaid | None = None
    message: Text | None = None
    externalId: Annotated[str, StringConstraints(max_length=500)] | None = None
    links: Annotated[TextMap, Field(max_length=_ITEMS_MAX)]
    metadata: Annotated[TextMap, Field(max_length=_ITEMS_MAX)]
    output: Annotated[str, StringConstraints(max_length=OUTPUT_MAX)] | None = None
    applied: Brought = ()
    artifacts: Brought = ()


@router.post(
    "/jobs/{jobId:segment}/callback", status_code=202, response_model=Accepted, responses={401: {}, 404: {}, 429: {}}
)
async def call_back(request: Request, store: FromStore, jobId: str, body: CallbackBody) -> Response:
    """Say how a job goes, with the token that came with it. What it says is kept without the job's secrets.

    News that comes late or twice is answered 202 too, and changes nothing.
    """
    job_id, token = id_of(jobId, "job"), _token_of(request)
    async with store.read() as conn:
        attempt = await store.secrets.attempt_of(conn, token, job_id=job_id)
        held = None if attempt is None else await callbacks.find_job(conn, job_id)
    if attempt is None or held is None:
        raise Unauthorized("The token is not this job's, or its time is over.")
    calls: Buckets = request.app.state.callbacks
    wait_s = calls.take(job_id)
    if wait_s:
        raise TooMany("This job is called back too often.", retry_after_s=math.ceil(wait_s))
    seen = Observation(
        None if body.status is None else JobStatus(body.status),
        message=body.message,
        external_id=body.externalId,
        links={name: url for name, url in body.links.items() if url.startswith(("https://", "http://"))},
        metadata=body.metadata,
        output=body.output,
        artifacts=body.artifacts,
        applied=body.applied,
    )
    with suppress(Rejected, Unavailable):  # what cannot be opened now was hardly given away
        opened = await opener_of(request).open_snapshot(held.workspace_id, held.snapshot)
        seen = replace(opened, values_by_mark={**opened.values_by_mark, MASK: token}).observation(seen)
    actor = Actor("agent", held.agent_id, held.agent_name)
    async with store.tx(actor=actor, cause="callback", workspace_id=held.workspace_id, chain=held.chain) as tx:
        heard = await callbacks.call_back(tx, job_id, seen, attempt=attempt)
    return accepted(job_id, _says(heard, seen, attempt=attempt))


def _says(heard: Heard, seen: Observation, *, attempt: int) -> str:
    """What became of the news, in words."""
    if heard.attempt != attempt:
        return f"The news was noted and changes nothing: attempt {heard.attempt} has the job, not attempt {attempt}."
    if heard.status is seen.status or seen.status is None:
        over = " already" if heard.was_over else ""
        return f"The job is {heard.status}{over}."
    return f"The news was noted and changes nothing: the job is {heard.status} already."


def _token_of(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""

"""REST for tasks, the jobs that people do: what waits for me; take it, complete it, reject it, comment it.

A job ends once: whoever answers second hears 409 with who was first. An answer counts from whom the task asks, and from
nobody else: 403 says whom it asks.

Source: core.md section 5, class "asked"; issue 5, "manual".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from fastapi import Query
from pydantic import Field
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import WORKSPACE, Permission, Place
from interlock.api.deployments import place_of
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import Wire
from interlock.model.task import COMMENT_MAX, FIELDS_MAX, Task
from interlock.store import jobs, tasks
from interlock.store.jobs import JobRow
from interlock.store.queries import Conn
from interlock.store.tasks import Comment
from interlock.web.answers import Json, instant, present
from interlock.web.bodies import ClosedBody
from interlock.web.paging import Paging
from interlock.web.shapes import AnyObject, Id, Instant, page_of
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("tasks")

Words = Annotated[str, Field(max_length=COMMENT_MAX)]


class CompleteBody(ClosedBody):
    """A completion: the evidence by name, as the task declares it."""

    evidence: Annotated[dict[str, Any], Field(max_length=FIELDS_MAX * 2)] = Field(default_factory=dict)
    comment: Words | None = None


class RejectBody(ClosedBody):
    """Why it was not done: everybody who looks at the job reads it."""

    reason: Annotated[str, Field(min_length=1, max_length=COMMENT_MAX)]


class CommentBody(ClosedBody):
    """Something to know about the job."""

    text: Annotated[str, Field(min_length=1, max_length=COMMENT_MAX)]


class CommentAnswer(TypedDict):
    """What somebody wrote."""

    id: Id
    text: str
    at: Instant
    by: NotRequired[str]


class TaskAnswer(TypedDict):
    """A task. `mine`: it asks the one who looks; `open`: it waits for an answer."""

    jobId: Id
    about: str
    deployment: NotRequired[str]
    environment: NotRequired[str]
    resource: NotRequired[str]
    version: NotRequired[str]
    workflow: NotRequired[str]
    status: str
    open: bool
    mine: bool
    instructions: str
    who: str
    assignee: NotRequired[str]
    group: NotRequired[str]
    evidence: list[AnyObject]
    askedAt: Instant
    dueAt: NotRequired[Instant]
    onOverdue: Literal["wait", "fail"]
    overdueAt: NotRequired[Instant]
    takenBy: NotRequired[str]
    takenAt: NotRequired[Instant]
    answer: NotRequired[Literal["completed", "rejected"]]
    answeredBy: NotRequired[str]
    answeredAt: NotRequired[Instant]
    given: NotRequired[AnyObject]
    comment: NotRequired[str]
    comments: NotRequired[list[CommentAnswer]]


@router.get(W + "/tasks", response_model=page_of(TaskAnswer))
async def list_tasks(
    here: InWorkspace,
    page: Paging,
    mine: Annotated[bool, Query()] = True,
    state: Annotated[Literal["open", "over", "any"], Query()] = "open",
) -> Response:
    """List tasks: without more those that wait for an answer of the one who asks, the next one due first."""
    here.require(Permission.READ)
    narrow: dict[str, Any] = {"principal_id": here.caller.id, "mine": mine, "state": state}
    async with here.read() as conn:
        items, total = await tasks.list_tasks(conn, here.id, **narrow, limit=page.limit, offset=page.offset)
        if not items and page.offset:
            _, total = await tasks.list_tasks(conn, here.id, **narrow, limit=1, offset=0)
    return page.answer([render_task(task) for task in items], total)


@router.get(W + "/jobs/{jobId:segment}/task", response_model=TaskAnswer)
async def get_task(here: InWorkspace, jobId: str) -> Response:
    """Get the task of a job, with what people wrote about it."""
    here.require(Permission.READ)
    async with here.read() as conn:
        return Json(await _task(here, conn, id_of(jobId, "job")))


@router.post(W + "/jobs/{jobId:segment}/take", response_model=TaskAnswer)
async def take_task(here: InWorkspace, jobId: str) -> Response:
    """Begin with a task: from now on nothing takes it back, and others see who has it."""
    job, place = await _found(here, jobId)
    async with here.tx(Permission.TASK_ANSWER, cause="api: take task", place=place) as tx:
        await tasks.take_task(tx, here.id, job_id=job.id, principal_id=here.caller.id)
        return Json(await _task(here, tx.conn, job.id))


@router.post(W + "/jobs/{jobId:segment}/complete", response_model=TaskAnswer)
async def complete_task(here: InWorkspace, jobId: str, body: CompleteBody) -> Response:
    """Say that a task is done, with the evidence that it asks for."""
    return await _answer(here, jobId, answer="completed", evidence=body.evidence, comment=body.comment)


@router.post(W + "/jobs/{jobId:segment}/reject", response_model=TaskAnswer)
async def reject_task(here: InWorkspace, jobId: str, body: RejectBody) -> Response:
    """Say that a task was not done: its job fails."""
    return await _answer(here, jobId, answer="rejected", evidence={}, comment=body.reason)


@router.post(W + "/jobs/{jobId:segment}/comments", status_code=201, response_model=TaskAnswer)
async def comment_task(here: InWorkspace, jobId: str, body: CommentBody) -> Response:
    """Write something beside a task; also after its end."""
    job, place = await _found(here, jobId)
    async with here.tx(Permission.TASK_ANSWER, cause="api: comment task", place=place) as tx:
        await tasks.comment_task(tx, here.id, job_id=job.id, text=body.text)
        return Json(await _task(here, tx.conn, job.id), status_code=201)


async def _answer(here: Here, job_id: str, *, answer: str, evidence: dict[str, Any], comment: str | None) -> Response:
    job, place = await _found(here, job_id)
    async with here.tx(Permission.TASK_ANSWER, cause=f"api: {answer} task", place=place) as tx:
        await tasks.answer_task(
            tx,
            here.id,
            job_id=job.id,
            principal_id=here.caller.id,
            by=here.caller.name,
            answer=answer,
            evidence=evidence,
            comment=comment or None,
        )
        return Json(await _task(here, tx.conn, job.id))


async def _found(here: Here, text: str) -> tuple[JobRow, Place]:
    """The job, and where it happens; a run's job belongs to the workspace."""
    async with here.read() as conn:
        job = found(await jobs.find_job(conn, here.id, job_id=id_of(text, "job")), "job")
    if job.run_id is not None:
        return job, WORKSPACE
    return job, await place_of(here, job.deployment_id, environment_id=job.environment_id)


async def _task(here: Here, conn: Conn, job_id: str) -> Wire:
    task = found(await tasks.find_task(conn, here.id, job_id=job_id, principal_id=here.caller.id), "task")
    return render_task(task, comments=await tasks.list_comments(conn, job_id))


def render_task(task: Task, *, comments: tuple[Comment, ...] | None = None) -> Wire:
    """A task on the wire, as the one who asks sees it."""
    return present(
        jobId=task.job_id,
        about=task.about,
        deployment=task.deployment,
        environment=task.environment,
        resource=task.resource,
        version=task.version,
        workflow=task.workflow,
        status=task.status,
        open=task.open,
        mine=task.is_asked,
        instructions=task.instructions,
        who=task.who,
        assignee=task.assignee,
        group=task.group,
        evidence=[{**each.document(), "wanted": each.wanted} for each in task.evidence],
        askedAt=instant(task.asked_at),
        dueAt=instant(task.due_at) if task.due_at else None,
        onOverdue=task.on_overdue,
        overdueAt=instant(task.overdue_at) if task.overdue_at else None,
        takenBy=task.taken_by,
        takenAt=instant(task.taken_at) if task.taken_at else None,
        answer=task.answer,
        answeredBy=task.answered_by,
        answeredAt=instant(task.answered_at) if task.answered_at else None,
        given=dict(task.given) or None,
        comment=task.comment,
        comments=None if comments is None else [_comment(each) for each in comments],
    )


def _comment(comment: Comment) -> Wire:
    return present(id=comment.id, text=comment.text, at=instant(comment.at), by=comment.by)

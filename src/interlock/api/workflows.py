"""REST for workflows and their runs.

A slug that is not sent is made of the name when the workflow is created, and stays what it is after. A run answers
201 with its jobs; one that a freeze covers, or that could never start, answers 400 with the code WORKFLOW_RUN_ERROR,
which is what its clients know. A refused run is on record all the same, with its decision.

Source: contract.md section c, ctrlplane_workflow, and section e, "Workflow"; contract.json.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from starlette.responses import Response

from interlock.access import Permission
from interlock.api import shapes
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import Wire
from interlock.api.selectors import Scope, checked_selector
from interlock.model.conduct import check_conduct
from interlock.model.errors import Refused
from interlock.model.ids import new_id
from interlock.model.secret import masked
from interlock.model.workflow import Workflow, check_inputs, checked_slug, slug_of
from interlock.store import workflows
from interlock.store.workflows import Run
from interlock.web.answers import Json
from interlock.web.bodies import AnyMap, Name, Object, Text, WireBody
from interlock.web.paging import Paging
from interlock.web.shapes import page_of
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("workflows")

WORKFLOW = W + "/workflows/{workflowId:segment}"

INPUTS_MAX = 200
ENTRIES_MAX = 200


class EntryBody(WireBody):
    """A job agent of a workflow: which one, with what config, and for which resources."""

    name: Text
    ref: Text
    config: AnyMap
    selector: Text


class WorkflowBody(WireBody):
    """A workflow as a client sends it."""

    name: Name
    slug: Text | None = None
    inputs: Annotated[list[Object], Field(max_length=INPUTS_MAX)]
    jobAgents: Annotated[list[EntryBody], Field(max_length=ENTRIES_MAX)]


class RunBody(WireBody):
    """What a run is asked for with."""

    inputs: Object


@router.get(W + "/workflows", response_model=page_of(shapes.Workflow))
async def list_workflows(here: InWorkspace, page: Paging) -> Response:
    """List workflows in order of creation."""
    here.require(Permission.READ)
    async with here.read() as conn:
        items, total = await workflows.list_workflows(conn, here.id, limit=page.limit, offset=page.offset)
    shown = await here.shown([render_workflow(item) for item in items], Permission.WORKFLOW_WRITE)
    return page.answer(shown, total)


@router.post(W + "/workflows", status_code=201, response_model=shapes.Workflow)
async def create_workflow(here: InWorkspace, body: WorkflowBody) -> Response:
    """Create a workflow."""
    workflow = _workflow(new_id(), body, slug_of(body.name) if not body.slug else checked_slug(body.slug))
    async with here.tx(Permission.WORKFLOW_WRITE, cause="api: create workflow") as tx:
        made = await workflows.save_workflow(tx, here.id, workflow)
    return await _answer(here, made, status_code=201)


@router.get(W + "/workflows/slug/{slug:segment}", response_model=shapes.Workflow)
async def get_workflow_by_slug(here: InWorkspace, slug: str) -> Response:
    """Get a workflow by slug."""
    return await _answer(here, await _by_slug(here, slug))


@router.post(W + "/workflows/slug/{slug:segment}/runs", status_code=201, response_model=shapes.WorkflowRun)
async def create_run_by_slug(here: InWorkspace, slug: str, body: RunBody) -> Response:
    """Ask for a run of the workflow with this slug."""
    return await _run(here, await _by_slug(here, slug), body)


@router.get(WORKFLOW, response_model=shapes.Workflow)
async def get_workflow(here: InWorkspace, workflowId: str) -> Response:
    """Get a workflow."""
    return await _answer(here, await _by_id(here, workflowId))


@router.put(WORKFLOW, status_code=202, response_model=shapes.Workflow)
async def put_workflow(here: InWorkspace, workflowId: str, body: WorkflowBody) -> Response:
    """Replace a workflow. Without a slug in the body it keeps the one that it has."""
    before = await _by_id(here, workflowId)
    workflow = _workflow(before.id, body, checked_slug(body.slug) if body.slug else before.slug)
    async with here.tx(Permission.WORKFLOW_WRITE, cause="api: put workflow") as tx:
        saved = await workflows.save_workflow(tx, here.id, workflow, replaces=before)
    return await _answer(here, saved, status_code=202)


@router.delete(WORKFLOW, status_code=202, response_model=shapes.Workflow)
async def delete_workflow(here: InWorkspace, workflowId: str) -> Response:
    """Delete a workflow. Jobs of its runs go on."""
    workflow_id = id_of(workflowId, "workflow")
    async with here.tx(Permission.WORKFLOW_WRITE, cause="api: delete workflow") as tx:
        gone = await workflows.delete_workflow(tx, here.id, workflow_id=workflow_id)
    return await _answer(here, gone, status_code=202)


@router.post(WORKFLOW + "/runs", status_code=201, response_model=shapes.WorkflowRun)
async def create_run(here: InWorkspace, workflowId: str, body: RunBody) -> Response:
    """Ask for a run: it is decided at once, and its jobs go to their agents as those of deployments do."""
    return await _run(here, await _by_id(here, workflowId), body)


async def _run(here: Here, workflow: Workflow, body: RunBody) -> Response:
    async with here.tx(Permission.WORKFLOW_RUN, cause="api: run workflow") as tx:
        run = await workflows.start_run(
            tx, here.id, workflow, inputs=body.inputs, now=here.store.now(), asked_by=here.caller.id
        )
    if run.why is not None:
        details = {"id": run.id, "decisionId": run.decision_id, "freezes": list(run.freeze_ids)}
        raise Refused(f"The run was refused. {run.why}", code="WORKFLOW_RUN_ERROR", details=details)
    return Json(render_run(run), status_code=201)


async def _answer(here: Here, workflow: Workflow, *, status_code: int = 200) -> Response:
    """A workflow. Who may write it reads the secrets of its configs in full."""
    return Json(await here.shown(render_workflow(workflow), Permission.WORKFLOW_WRITE), status_code=status_code)


async def _by_id(here: Here, text: str) -> Workflow:
    here.require(Permission.READ)
    async with here.read() as conn:
        known = await workflows.find_workflow(conn, here.id, workflow_id=id_of(text, "workflow"))
    return found(known, "workflow")


async def _by_slug(here: Here, slug: str) -> Workflow:
    here.require(Permission.READ)
    async with here.read() as conn:
        return found(await workflows.find_workflow_by_slug(conn, here.id, slug=slug), "workflow")


def _workflow(workflow_id: str, body: WorkflowBody, slug: str) -> Workflow:
    """The workflow of a body, whose inputs and selectors are sound.

    Fails: `Invalid` with the field.
    """
    check_inputs(body.inputs)
    for number, entry in enumerate(body.jobAgents):
        checked_selector(entry.selector, scope=Scope.JOB_AGENT, field=f"jobAgents[{number}].selector")
        check_conduct(entry.config, path=f"jobAgents[{number}].config")
    entries = [entry.model_dump() for entry in body.jobAgents]
    return Workflow(workflow_id, body.name, slug, body.inputs, entries)


def render_workflow(workflow: Workflow) -> Wire:
    """A workflow, its inputs and entries as they were written."""
    return {
        "id": workflow.id,
        "name": workflow.name,
        "slug": workflow.slug,
        "inputs": masked([dict(each) for each in workflow.inputs]),
        "jobAgents": [dict(each) for each in workflow.job_agents],
    }


def render_run(run: Run) -> Wire:
    """A run that started; `decisionId` is ours."""
    return {
        "id": run.id,
        "workflowId": run.workflow_id,
        "inputs": dict(run.inputs),
        "jobs": [{"jobId": job_id, "jobAgentId": agent_id} for job_id, agent_id in run.jobs],
        "decisionId": run.decision_id,
    }

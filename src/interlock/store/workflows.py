"""Which workflows are there, and how does a run of one become jobs?

A run is decided in its request's own transaction, under the lock that a freeze's writer needs: either the run sees the
freeze, or the freeze comes after it. Refused or not, the run stays on record with its decision. Its jobs wait in the
same table and the same queue as those of moves; each is judged again right before it is handed over (`may_start`), so
a freeze holds from the commit that wrote it.

What a job was frozen with (`context`) is what its agent gets. A job of a run has no release, target or deployment.

Source: contract.md section e, "Workflow"; core.md section 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import asyncpg
import orjson

from interlock.decide.explain import sentence
from interlock.decide.facts import Freeze
from interlock.decide.workflow_runs import RunDecision, decide_run
from interlock.inventory.selector import Scope, Selector, parse_selector
from interlock.inventory.targets import deep_merge
from interlock.inventory.to_python import matches
from interlock.inventory.views import agent_view, resource_view
from interlock.model.errors import Conflict, Invalid, NotFound
from interlock.model.event import Event, Ref
from interlock.model.ids import is_id, new_id
from interlock.model.inventory import JobAgent, Resource
from interlock.model.secret import Where, masked
from interlock.model.workflow import RESOURCE_SELECTOR, Workflow, filled_inputs
from interlock.store import agents, resources
from interlock.store.queries import Conn, queries
from interlock.store.rows import many, one
from interlock.store.tx import Change, Tx
from interlock.store.work import PEOPLE, WorkRequest

Q = queries("workflow")

JOBS_MAX = 1_000
"""How many jobs one run may make; more is refused, because somebody most likely mistook the selector."""

_NO_RESOURCE: Mapping[str, Any] = {
    "id": "",
    "identifier": "",
    "name": "",
    "kind": "",
    "version": "",
    "workspaceId": "",
    "config": {},
    "metadata": {},
}
"""What an entry's selector sees where a run is about no resource."""

_NOWHERE: Mapping[str, Any] = {"id": "", "name": "", "metadata": {}}


@dataclass(frozen=True, slots=True)
class RunJob:
    """One job that a run asks for."""

    id: str
    agent: JobAgent
    resource: Resource | None
    context: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it was decided. `jobs` are (job, agent); none of a refused one, whose `why` says what bars it."""

    id: str
    workflow_id: str
    inputs: Mapping[str, Any]
    decision_id: str
    jobs: tuple[tuple[str, str], ...]
    why: str | None = None
    freeze_ids: tuple[str, ...] = ()


async def find_workflow(conn: Conn, workspace_id: str, *, workflow_id: str) -> Workflow | None:
    """A workflow by id."""
    return one(Workflow, await conn.fetchrow(Q.find_workflow, workspace_id, workflow_id))


async def find_workflow_by_slug(conn: Conn, workspace_id: str, *, slug: str) -> Workflow | None:
    """A workflow by slug."""
    return one(Workflow, await conn.fetchrow(Q.find_workflow_by_slug, workspace_id, slug))


async def list_workflows(conn: Conn, workspace_id: str, *, limit: int, offset: int) -> tuple[tuple[Workflow, ...], int]:
    """A page of workflows, oldest first, and how many there are."""
    total = await conn.fetchval(Q.count_workflows, workspace_id)
    return many(Workflow, await conn.fetch(Q.list_workflows, workspace_id, limit, offset)), total


async def save_workflow(tx: Tx, workspace_id: str, workflow: Workflow, *, replaces: Workflow | None = None) -> Workflow:
    """Create a workflow, or replace the one that the caller has found. Gives it as it is stored, secrets sealed.

    Fails: `Conflict` (DUPLICATE_SLUG) with the workflow that has the slug.
    """
    there = await find_workflow_by_slug(tx.conn, workspace_id, slug=workflow.slug)
    if there is not None and there.id != workflow.id:
        raise Conflict(
            "A workflow with this slug exists in the workspace.",
            code="DUPLICATE_SLUG",
            details={"slug": workflow.slug, "existingWorkflowId": there.id},
        )
    entries = await tx.secrets.seal_document(
        tx.conn,
        workspace_id,
        [dict(each) for each in workflow.job_agents],
        where=Where.AGENT_CONFIG,
        before=[dict(each) for each in replaces.job_agents] if replaces else None,
        field="jobAgents",
    )
    listed = ([dict(each) for each in workflow.inputs], entries)
    if replaces:
        change = Change(Q.update_workflow, (workflow.id, workflow.name, workflow.slug, *listed), rows=1)
    else:
        change = Change(Q.insert_workflow, (workflow.id, workspace_id, workflow.name, workflow.slug, *listed), rows=1)
    kind = "workflow.changed" if replaces else "workflow.created"
    body = {
        "name": workflow.name,
        "slug": workflow.slug,
        "inputs": sorted(str(each["key"]) for each in workflow.inputs),
    }
    await tx.record([change], events=[Event(kind, Ref("workflow", workflow.id), body)])
    return replace(workflow, job_agents=entries)


async def delete_workflow(tx: Tx, workspace_id: str, *, workflow_id: str) -> Workflow:
    """End a workflow, and give it as it was. Its runs stay on record; what runs goes on.

    Fails: `NotFound`.
    """
    gone = await find_workflow(tx.conn, workspace_id, workflow_id=workflow_id)
    if gone is None:
        raise NotFound("There is no such workflow.")
    event = Event("workflow.deleted", Ref("workflow", workflow_id), {"name": gone.name, "slug": gone.slug})
    await tx.record([Change(Q.delete_workflow, (workflow_id,))], events=[event])
    return gone


async def start_run(
    tx: Tx, workspace_id: str, workflow: Workflow, *, inputs: Mapping[str, Any], now: datetime, asked_by: str
) -> Run:
    """Decide a run, and make its jobs if it may start; either way it is recorded.

    Fails: `Invalid` (WORKFLOW_RUN_ERROR) for a run that could never start.
    """
    try:
        filled = filled_inputs(workflow.inputs, inputs)
        picked = await _resources(tx.conn, workspace_id, filled.get(RESOURCE_SELECTOR))
        run_id = new_id()
        jobs = await _jobs(tx.conn, workspace_id, workflow, run_id=run_id, inputs=filled, picked=picked)
    except Invalid as wrong:
        raise Invalid(wrong.message, fields=wrong.fields, code="WORKFLOW_RUN_ERROR") from wrong
    await tx.conn.fetchval(Q.hold_rules, workspace_id)
    covering = await _covering(tx.conn, workspace_id, list({job.resource.id if job.resource else None for job in jobs}))
    decision = decide_run(_distinct(covering), now)
    decision_id = new_id()
    outcome, made = ("started", jobs) if decision.starts else ("refused", ())
    events = _events(workflow, run_id=run_id, decision=decision, decision_id=decision_id, jobs=made)
    await tx.record(
        [
            Change(Q.insert_decision, (decision_id, workspace_id, f"workflow:{run_id}", *_decision_row(decision, now))),
            Change(
                Q.insert_run,
                (run_id, workspace_id, workflow.id, filled, outcome, decision_id, asked_by),
            ),
            Change(Q.insert_jobs, (workspace_id, run_id, decision_id, *_job_columns(made))),
        ],
        events=events,
        wakes=[WorkRequest("dispatch", job.id, workspace_id, None, PEOPLE) for job in made],
    )
    return Run(
        run_id,
        workflow.id,
        filled,
        decision_id,
        tuple((job.id, job.agent.id) for job in made),
        sentence(decision.verdicts[0]) if decision.barring else None,
        tuple(freeze.id for freeze in _distinct(covering)),
    )


def _decision_row(decision: RunDecision, now: datetime) -> tuple[object, ...]:
    return (decision.outcome.value, orjson.dumps(decision.verdicts).decode(), decision.digest, now)


def _job_columns(jobs: Sequence[RunJob]) -> tuple[list[Any], ...]:
    return (
        [job.id for job in jobs],
        [job.agent.id for job in jobs],
        [job.resource.id if job.resource else None for job in jobs],
        [orjson.dumps(job.context).decode() for job in jobs],
    )


def _events(
    workflow: Workflow, *, run_id: str, decision: RunDecision, decision_id: str, jobs: Sequence[RunJob]
) -> list[Event]:
    of = Ref("workflow", workflow.id)
    body: dict[str, object] = {"workflow": workflow.name, "jobs": len(jobs)}
    if decision.barring is not None:
        body |= {"reason": decision.barring.reason, "waitsOn": list(decision.barring.waits_on)}
    kind = "workflow_run.started" if decision.starts else "workflow_run.refused"
    told = [Event(kind, Ref("workflow_run", run_id), body, (of,), decision_id)]
    for job in jobs:
        about = (Ref("workflow_run", run_id), of, *((Ref("resource", job.resource.id),) if job.resource else ()))
        place = {"workflow": workflow.name, "agent": job.agent.name}
        if job.resource:
            place["resource"] = job.resource.name
        told.append(Event("job.created", Ref("job", job.id), place, about, decision_id))
    return told


async def _resources(conn: Conn, workspace_id: str, text: object) -> tuple[Resource | None, ...]:
    """What a run is about: the resources that its selector matches, or nothing in particular."""
    if text is None:
        return (None,)
    if not isinstance(text, str):
        raise Invalid(f"inputs.{RESOURCE_SELECTOR} must be CEL.", field=f"inputs.{RESOURCE_SELECTOR}")
    try:
        selector = parse_selector(text, Scope.RESOURCE)
    except Invalid as wrong:
        at = f"inputs.{RESOURCE_SELECTOR}"
        raise Invalid(f"{at} is no valid CEL: {wrong.message}", field=at) from wrong
    found, total = await resources.list_resources(conn, workspace_id, selector=selector, limit=JOBS_MAX, offset=0)
    if total > JOBS_MAX:
        raise Invalid(
            f"The selector matches {total:,} resources; one run may have at most {JOBS_MAX:,} jobs.",
            field=f"inputs.{RESOURCE_SELECTOR}",
        )
    return found


async def _jobs(
    conn: Conn,
    workspace_id: str,
    workflow: Workflow,
    *,
    run_id: str,
    inputs: Mapping[str, Any],
    picked: Sequence[Resource | None],
) -> tuple[RunJob, ...]:
    """One job for each resource and each entry whose selector is true there."""
    entries: list[tuple[int, Mapping[str, Any], JobAgent, Selector | None]] = []
    for index, entry in enumerate(workflow.job_agents):
        ref = str(entry["ref"])
        agent = await agents.find_agent(conn, workspace_id, agent_id=ref.lower()) if is_id(ref) else None
        if agent is None:
            raise Invalid(f"jobAgents[{index}].ref: there is no job agent {ref}.", field=f"jobAgents[{index}].ref")
        text = str(entry.get("selector") or "")
        entries.append((index, entry, agent, parse_selector(text, Scope.JOB_AGENT) if text.strip() else None))
    found = []
    for resource in picked:
        seen = resource_view(resource) if resource else _NO_RESOURCE
        for index, entry, agent, selector in entries:
            if selector is None or matches(selector, {"jobAgent": agent_view(agent), "resource": seen}):
                at = _context(workflow, run_id=run_id, inputs=inputs, index=index, entry=entry, agent=agent)
                if resource:
                    at["resource"] = _resource(resource)
                found.append(RunJob(new_id(), agent, resource, at))
    if len(found) > JOBS_MAX:
        raise Invalid(f"This run would have {len(found):,} jobs; at most {JOBS_MAX:,} are taken at once.")
    return tuple(found)


def _context(
    workflow: Workflow,
    *,
    run_id: str,
    inputs: Mapping[str, Any],
    index: int,
    entry: Mapping[str, Any],
    agent: JobAgent,
) -> dict[str, Any]:
    """What a job freezes: the wire's dispatch context, less the job."""
    config = deep_merge(agent.config, entry.get("config") or {})
    entries = masked([dict(each) for each in workflow.job_agents])  # whose agents are not this one's business
    return {
        "workflow": {
            "id": workflow.id,
            "name": workflow.name,
            "slug": workflow.slug,
            "inputs": list(workflow.inputs),
            "jobAgents": entries,
        },
        "workflowRun": {"id": run_id, "workflowId": workflow.id, "inputs": dict(inputs)},
        "workflowJob": {
            "id": new_id(),
            "index": index,
            "ref": agent.id,
            "config": dict(entry.get("config") or {}),
            "workflowId": workflow.id,
        },
        "inputs": dict(inputs),
        "variables": {},
        "jobAgent": {
            "id": agent.id,
            "name": agent.name,
            "type": agent.type,
            "workspaceId": agent.workspace_id,
            "config": config,
            "metadata": agent.metadata,
        },
        "jobAgentConfig": config,
    }


def _resource(resource: Resource) -> dict[str, Any]:
    """A resource in the wire's form, as it was when the run was asked for."""
    return {key: value for key, value in resource_view(resource).items() if value is not None}


# Freezes --------------------------------------------------------------------------------------------------------------


async def may_start(tx: Tx, workspace_id: str, *, resource_id: str | None, now: datetime) -> RunDecision:
    """Judge one waiting job again, under the lock that a freeze's writer needs."""
    await tx.conn.fetchval(Q.hold_rules, workspace_id)
    return decide_run(_distinct(await _covering(tx.conn, workspace_id, [resource_id])), now)


async def list_waiting(conn: Conn, workspace_id: str) -> tuple[str, ...]:
    """The jobs of runs that nobody has yet: a freeze takes them back."""
    return tuple(row["id"] for row in await conn.fetch(Q.list_waiting, workspace_id))


async def _covering(conn: Conn, workspace_id: str, resource_ids: Sequence[str | None]) -> list[Freeze]:
    """The freezes in force that cover jobs on any of these resources, oldest first; one may come several times."""
    rows = await conn.fetch(Q.list_covering, workspace_id, list(resource_ids))
    narrow = sorted({row["resource_id"] for row in rows if row["selector"] and row["resource_id"]})
    views = {each.id: resource_view(each) for each in await resources.load_resources(conn, narrow)}
    return [_freeze(row) for row in rows if not row["selector"] or _picks(row, views)]


def _picks(row: asyncpg.Record, views: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a freeze with a selector covers a resource at one of its places."""
    environment, deployment = _NOWHERE, {**_NOWHERE, "slug": ""}
    if row["environment_id"]:
        named = {"name": row["environment"], "metadata": row["environment_metadata"]}
        environment = {"id": row["environment_id"], **named}
        name = row["deployment"]
        deployment = {"id": row["deployment_id"], "name": name, "slug": name, "metadata": {}}
    subjects = {
        "resource": views.get(row["resource_id"], _NO_RESOURCE),
        "environment": environment,
        "deployment": deployment,
    }
    return matches(parse_selector(row["selector"], Scope.POLICY), subjects)


def _freeze(row: asyncpg.Record) -> Freeze:
    return Freeze(
        id=row["id"],
        scope=row["scope_kind"],
        reason=row["reason"],
        created_at=row["created_at"],
        created_by=row["created_by"],
        expires_at=row["expires_at"],
    )


def _distinct(freezes: Sequence[Freeze]) -> tuple[Freeze, ...]:
    return tuple({freeze.id: freeze for freeze in freezes}.values())

"""REST for job agents.

The agent's own file says which configuration it takes, and refuses a wrong one here, when it is written. A type that
Interlock does not know is stored and does nothing: a target that chooses it holds, and says so.

Source: contract.md section c, ctrlplane_job_agent.
"""

from __future__ import annotations

from difflib import get_close_matches

from fastapi import Request
from starlette.responses import Response

from interlock.access import Permission
from interlock.agents import Agent
from interlock.agents.conduct import CONDUCT
from interlock.agents.keys import check_complete, missing_keys, schema_of
from interlock.api import shapes
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import render_agent
from interlock.model.conduct import check_conduct, without_conduct
from interlock.model.secret import MASK, resolved
from interlock.store import agents
from interlock.store.lines import load_lines
from interlock.web.answers import Json, accepted, present
from interlock.web.bodies import AnyMap, Name, TextMap, WireBody
from interlock.web.paging import Paging
from interlock.web.shapes import Accepted, page_of
from interlock.web.sign_in import InWorkspace

router = noun_router("job agents")


class AgentBody(WireBody):
    """A job agent as a client sends it."""

    name: Name
    type: Name
    config: AnyMap
    metadata: TextMap


@router.get(W + "/job-agent-types", response_model=page_of(shapes.JobAgentType))
async def list_agent_types(here: InWorkspace, request: Request, page: Paging) -> Response:
    """List the types of job agents that this server knows, each with the JSON Schema of its config.

    `required` there must stand on the agent itself; `neededByJobs` may also come from a deployment or a version.
    """
    here.require(Permission.READ)
    known: dict[str, Agent] = request.app.state.agents
    items = [
        {
            "type": agent.kind,
            "class": agent.klass.value,
            "capabilities": sorted(agent.capabilities),
            "configSchema": schema_of((*CONDUCT, *agent.keys), open_ended=agent.open_ended),
            "neededByJobs": [key.name for key in missing_keys({}, agent.keys, of="job")],
        }
        for agent in sorted(known.values(), key=lambda one: one.kind)
    ]
    return page.answer(items[page.offset : page.offset + page.limit], len(items))


@router.get(W + "/job-agents", response_model=page_of(shapes.JobAgent))
async def list_agents(here: InWorkspace, page: Paging) -> Response:
    """List job agents in order of creation."""
    here.require(Permission.READ)
    async with here.read() as conn:
        items, total = await agents.list_agents(conn, here.id, limit=page.limit, offset=page.offset)
        lines = await load_lines(conn, [agent.id for agent in items])
    shown = await here.shown([render_agent(agent, lines.get(agent.id)) for agent in items], Permission.DEPLOYMENT_WRITE)
    return page.answer(shown, total)


@router.get(W + "/job-agents/{jobAgentId:segment}", response_model=shapes.JobAgent)
async def get_agent(here: InWorkspace, jobAgentId: str) -> Response:
    """Get a job agent. Who may write it reads its secrets in full."""
    here.require(Permission.READ)
    agent_id = id_of(jobAgentId, "job agent")
    async with here.read() as conn:
        agent = found(await agents.find_agent(conn, here.id, agent_id=agent_id), "job agent")
        lines = await load_lines(conn, [agent.id])
    return Json(await here.shown(render_agent(agent, lines.get(agent.id)), Permission.DEPLOYMENT_WRITE))


@router.put(W + "/job-agents/{jobAgentId:segment}", status_code=202, response_model=shapes.WithWarnings)
async def put_agent(here: InWorkspace, request: Request, jobAgentId: str, body: AgentBody) -> Response:
    """Create or replace a job agent by the id that the client chose. `warnings` name a type that nothing here does."""
    agent_id = id_of(jobAgentId, "job agent")
    known: dict[str, Agent] = request.app.state.agents
    check_conduct(body.config, path="config", of_agent=True)
    if body.type in known:
        agent, config = known[body.type], resolved(body.config, lambda _: MASK)
        agent.check_config(without_conduct(config, keep=[key.name for key in agent.keys]))
        check_complete(config, agent.keys)
    async with here.tx(Permission.DEPLOYMENT_WRITE, cause="api: put job agent") as tx:
        await agents.save_agent(
            tx,
            here.id,
            agent_id=agent_id,
            name=body.name,
            kind=body.type,
            config=body.config,
            metadata=body.metadata,
        )
    warnings = [] if body.type in known else [_unknown(body.type, tuple(known))]
    return Json(present(id=agent_id, message="The job agent was saved.", warnings=warnings or None), status_code=202)


@router.delete(W + "/job-agents/{jobAgentId:segment}", status_code=202, response_model=Accepted)
async def delete_agent(here: InWorkspace, jobAgentId: str) -> Response:
    """Delete a job agent. What chose it holds until another fits."""
    agent_id = id_of(jobAgentId, "job agent")
    async with here.tx(Permission.DEPLOYMENT_WRITE, cause="api: delete job agent") as tx:
        await agents.delete_agent(tx, here.id, agent_id=agent_id)
    return accepted(agent_id, "The job agent was deleted.")


def _unknown(kind: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(kind, known, n=1)
    meant = f" Did you mean {near[0]}?" if near else ""
    return f"No agent of type {kind} is known here ({', '.join(sorted(known))}): it is stored and does nothing.{meant}"

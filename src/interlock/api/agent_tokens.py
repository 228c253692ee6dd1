"""REST for the tokens of job agents: issued, listed, revoked.

A token goes into the same headers as an API key. It opens three operations, for its own agent alone: list the queue,
claim a job, say how a job goes. Everything else answers 403, and another agent's queue and jobs 404.

Source: requirements.md, R003-26; contract.md section e, "Pull agent". These paths are ours.
"""

from __future__ import annotations

from typing import NotRequired

from pydantic import AwareDatetime
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.access import Permission
from interlock.api.paths import W, found, id_of, noun_router
from interlock.api.rendering import Wire
from interlock.clock import utc_now
from interlock.model.errors import Invalid
from interlock.store import agent_tokens, agents
from interlock.store.agent_tokens import AgentToken
from interlock.web.answers import Json, instant, present
from interlock.web.bodies import ClosedBody, Text
from interlock.web.paging import Paging
from interlock.web.shapes import Accepted, Id, Instant, page_of
from interlock.web.sign_in import Here, InWorkspace

router = noun_router("agent-tokens")

TOKENS = W + "/job-agents/{jobAgentId:segment}/tokens"


class TokenAnswer(TypedDict):
    """A token: never its text."""

    id: Id
    agentId: Id
    prefix: str
    name: str
    createdBy: NotRequired[str]
    createdAt: Instant
    expiresAt: NotRequired[Instant]
    revokedAt: NotRequired[Instant]
    lastUsedAt: NotRequired[Instant]


class NewTokenAnswer(TokenAnswer):
    """A token that was just issued, with its text, which is shown once."""

    token: str


class TokenBody(ClosedBody):
    """What a token is for, and when it ends."""

    name: Text = ""
    expiresAt: AwareDatetime | None = None


@router.get(TOKENS, response_model=page_of(TokenAnswer))
async def list_tokens(here: InWorkspace, jobAgentId: str, page: Paging) -> Response:
    """List an agent's tokens, newest first. Never their text."""
    here.require(Permission.READ)
    agent_id = await _agent_id(here, jobAgentId)
    async with here.read() as conn:
        items, total = await agent_tokens.list_tokens(
            conn, here.id, agent_id=agent_id, limit=page.limit, offset=page.offset
        )
    return page.answer([render_token(token) for token in items], total)


@router.post(TOKENS, status_code=201, response_model=NewTokenAnswer)
async def issue_token(here: InWorkspace, jobAgentId: str, body: TokenBody) -> Response:
    """Issue a token. Its text is in this answer and nowhere else."""
    if body.expiresAt is not None and body.expiresAt <= utc_now():
        raise Invalid("A token must end in the future.", field="expiresAt")
    agent_id = await _agent_id(here, jobAgentId)
    async with here.tx(Permission.AGENT_TOKEN, cause="api: issue agent token") as tx:
        token, text = await agent_tokens.issue_token(
            tx, here.id, agent_id=agent_id, name=body.name, expires_at=body.expiresAt, created_by=here.caller.id
        )
    return Json({"token": text, **render_token(token)}, status_code=201)


@router.delete(TOKENS + "/{tokenId:segment}", response_model=Accepted)
async def revoke_token(here: InWorkspace, jobAgentId: str, tokenId: str) -> Response:
    """End a token: it opens nothing any more."""
    agent_id = await _agent_id(here, jobAgentId)
    token_id = id_of(tokenId, "token")
    async with here.tx(Permission.AGENT_TOKEN, cause="api: revoke agent token") as tx:
        await agent_tokens.revoke_token(tx, here.id, agent_id=agent_id, token_id=token_id)
    return Json({"id": token_id, "message": "The token was revoked."})


async def _agent_id(here: Here, text: str) -> str:
    agent_id = id_of(text, "job agent")
    async with here.read() as conn:
        return found(await agents.find_agent(conn, here.id, agent_id=agent_id), "job agent").id


def render_token(token: AgentToken) -> Wire:
    """A token on the wire: never its text."""
    return present(
        id=token.id,
        agentId=token.agent_id,
        prefix=token.prefix,
        name=token.name,
        createdBy=token.created_by,
        createdAt=instant(token.created_at),
        expiresAt=instant(token.expires_at) if token.expires_at else None,
        revokedAt=instant(token.revoked_at) if token.revoked_at else None,
        lastUsedAt=instant(token.last_used_at) if token.last_used_at else None,
    )

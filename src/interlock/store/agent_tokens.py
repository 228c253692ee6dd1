"""By what does the program of a job agent sign in? By a token that is good for this agent's queue and jobs alone.

It looks like an API key and goes into the same headers. It is shown once; its sha256 is stored. It belongs to no
person: who issued it may leave, and it goes on until it ends, is revoked, or its agent is deleted.

Source: contract.md section a (key format); requirements.md, R003-26.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from interlock.access import Caller
from interlock.model.errors import NotFound
from interlock.model.event import Event, Ref
from interlock.model.ids import new_id
from interlock.store.key_text import hash_of, new_key
from interlock.store.queries import Conn, queries
from interlock.store.refusals import refusals
from interlock.store.rows import many
from interlock.store.tx import Change, Tx

Q = queries("agent_token")

TOUCH_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class AgentToken:
    """What is known of a token after it was made: never its secret."""

    id: str
    agent_id: str
    name: str
    prefix: str
    created_by: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


async def find_caller(conn: Conn, prefix: str, *, secret: str) -> Caller | None:
    """The agent that this token stands for; None for one that is unknown, over or revoked."""
    row = await conn.fetchrow(Q.find_token, prefix)
    if row is None or not hmac.compare_digest(bytes(row["secret_hash"]), hash_of(secret)):
        return None
    if row["last_used_at"] is None or row["last_used_at"] < datetime.now(UTC) - TOUCH_EVERY:
        await conn.execute(Q.touch_token, row["token_id"])
    return Caller(
        id=row["agent_id"],
        name=row["name"],
        kind="agent",
        agent_id=row["agent_id"],
        agent_workspace_id=row["workspace_id"],
    )


async def issue_token(
    tx: Tx, workspace_id: str, *, agent_id: str, name: str, expires_at: datetime | None, created_by: str
) -> tuple[AgentToken, str]:
    """Make a token for an agent. Gives it with its text, which is stored nowhere."""
    text = new_key()
    prefix, _, secret = text.partition(".")
    token_id = new_id()
    row = (token_id, workspace_id, agent_id, name, prefix, hash_of(secret), created_by, expires_at)
    told = Event("agent_token.issued", Ref("agent_token", token_id), {"prefix": prefix}, refs=(Ref("agent", agent_id),))
    with refusals():
        await tx.record(changes=[Change(Q.insert_token, row)], events=[told])
    return await _known(tx.conn, workspace_id, agent_id, token_id), text


async def list_tokens(
    conn: Conn, workspace_id: str, *, agent_id: str, limit: int, offset: int
) -> tuple[tuple[AgentToken, ...], int]:
    """A page of an agent's tokens, newest first, and how many there are."""
    rows = await conn.fetch(Q.list_tokens, workspace_id, agent_id, None, limit, offset)
    return many(AgentToken, rows), int(await conn.fetchval(Q.count_tokens, workspace_id, agent_id))


async def revoke_token(tx: Tx, workspace_id: str, *, agent_id: str, token_id: str) -> None:
    """End a token: from this commit it opens nothing. A second time changes nothing.

    Fails: `NotFound`.
    """
    token = await _known(tx.conn, workspace_id, agent_id, token_id)
    if token.revoked_at is None:
        told = Event(
            "agent_token.revoked",
            Ref("agent_token", token_id),
            {"prefix": token.prefix},
            refs=(Ref("agent", agent_id),),
        )
        await tx.record(changes=[Change(Q.revoke_token, (token_id,))], events=[told])


async def _known(conn: Conn, workspace_id: str, agent_id: str, token_id: str) -> AgentToken:
    found = many(AgentToken, await conn.fetch(Q.list_tokens, workspace_id, agent_id, token_id, 1, 0))
    if not found:
        raise NotFound("This agent has no such token.")
    return found[0]

"""Which deployments does a fact of many concern? Asked of stored rows, after the fact's commit, never of subscriptions.

    policies:<workspace>, freeze:<id>   the live deployments of the workspace; those with jobs that wait go first;
                                        and of a freeze, the jobs of workflow runs that nobody has yet
    runs:<deployment>                   what that deployment runs: those that depend on it
    slots:<workspace>                   those that wait for a slot of a group in which fewer are in flight than they saw

Whoever waits for a slot stands in the row of its target; that row may just be on its way, so a deployment whose round
runs at this moment is asked for once more (core.md 2: subscriptions that a round wrote lose wake-ups).

Source: core.md section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from interlock.store.queries import Conn, queries
from interlock.store.tx import Tx
from interlock.store.work import FAN_OUT, OWN_FACTS, WorkRequest
from interlock.store.workflows import list_waiting

Q = queries("wake")
ELSEWHERE = queries("elsewhere")

ROUNDS_A_STATEMENT_MAX = 1_000


async def request_rounds(tx: Tx, topic: str, *, workspace_id: str | None) -> int:
    """Ask for the rounds that a fact concerns. Gives how many."""
    if workspace_id is None:
        return 0
    about, _, subject = topic.partition(":")
    if about == "runs":
        rows = await tx.conn.fetch(ELSEWHERE.list_dependents, workspace_id, subject)
    elif about == "slots":
        rows = await tx.conn.fetch(Q.list_deployments_waiting_for_slots, workspace_id)
    else:
        rows = await tx.conn.fetch(Q.list_deployments_of_workspace, workspace_id)
    if about == "freeze":
        waiting = await list_waiting(tx.conn, workspace_id)
        await tx.record(wakes=[WorkRequest("dispatch", job_id, workspace_id, None, OWN_FACTS) for job_id in waiting])
    for begin in range(0, len(rows), ROUNDS_A_STATEMENT_MAX):
        page = rows[begin : begin + ROUNDS_A_STATEMENT_MAX]
        await tx.record(
            wakes=[
                WorkRequest("round", row["id"], workspace_id, None, OWN_FACTS if row["waits"] else FAN_OUT)
                for row in page
            ]
        )
    return len(rows)


async def list_by_domain(conn: Conn, workspace_id: str, *, resource_ids: Sequence[str]) -> tuple[str, ...]:
    """The deployments that roll out by failure domain over some resources, whose metadata says which."""
    rows = await conn.fetch(Q.list_deployments_by_domain, workspace_id, list(resource_ids))
    return tuple(row["id"] for row in rows)


@dataclass(frozen=True, slots=True)
class SweptDeployment:
    """A deployment as the sweep finds it. `wake_at` is when its last round wanted the next one."""

    id: str
    workspace_id: str
    wake_at: datetime | None


async def list_all_deployments(conn: Conn) -> tuple[SweptDeployment, ...]:
    """Every live deployment."""
    return tuple(SweptDeployment(**row) for row in await conn.fetch(Q.list_all_deployments))


async def is_round_asked(conn: Conn, deployment: SweptDeployment) -> bool:
    """Whether somebody will look at it by himself."""
    return bool(await conn.fetchval(Q.is_round_asked, deployment.id, deployment.workspace_id))

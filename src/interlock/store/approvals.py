"""What are people asked, and what did they answer?

An answer is a fact of its deployment: it asks for the round at once, before anything else, and bumps the fence when
it takes something away. Comments stand in the answer's row, never in the ledger.

Source: core.md sections 2 and 4.
"""

from __future__ import annotations

from interlock.model.approval import ApprovalRequest
from interlock.model.errors import Conflict, NotFound, Outdated
from interlock.model.event import Event, Ref
from interlock.model.ids import new_id
from interlock.model.version import Version
from interlock.store.deployments import touch
from interlock.store.queries import Conn, queries
from interlock.store.rows import many
from interlock.store.tx import Change, Tx
from interlock.store.work import PEOPLE, WorkRequest

Q = queries("approval")

_EVENTS = {"approved": "approval.given", "rejected": "approval.rejected", "withdrawn": "approval.withdrawn"}
COUNT_MAX = 10_000


async def list_requests(
    conn: Conn,
    workspace_id: str,
    *,
    status: str | None = None,
    deployment_id: str | None = None,
    limit: int = 50,
    offset: int = 0,
) -> tuple[tuple[ApprovalRequest, ...], int]:
    """A page of requests, newest first, and how many there are."""
    rows = await conn.fetch(Q.list_requests, workspace_id, None, status, deployment_id, COUNT_MAX, 0)
    return many(ApprovalRequest, rows[offset : offset + limit]), len(rows)


async def find_request(conn: Conn, workspace_id: str, *, request_id: str) -> ApprovalRequest | None:
    """A request by id."""
    found = many(ApprovalRequest, await conn.fetch(Q.list_requests, workspace_id, request_id, None, None, 1, 0))
    return found[0] if found else None


async def list_reachable(conn: Conn, deployment_id: str) -> dict[str, str]:
    """environment id -> name, for the environments that share a system with a deployment."""
    return {row["id"]: row["name"] for row in await conn.fetch(Q.list_reachable, deployment_id)}


async def answer_request(
    tx: Tx,
    workspace_id: str,
    *,
    request: ApprovalRequest,
    principal_id: str,
    verdict: str,
    digest: str | None,
    comment: str | None,
) -> None:
    """Record a person's answer to a request. Saying the same again changes nothing.

    Takes: `digest` is that of what the person was shown; None: they did not see it.
    Fails: `Outdated` when something else is shown now or a newer request took its place; `Conflict` when there is
           nothing to withdraw.
    """
    if digest is not None and digest != request.shown_digest:
        raise Outdated("What this request shows has changed since it was read. Look at it again.")
    if request.status == "superseded" and verdict == "approved":
        raise Outdated("A newer request took this one's place, or its version is no longer ready.")
    await _say(
        tx,
        workspace_id,
        deployment_id=request.deployment_id,
        version_id=request.version_id,
        environment_id=request.environment_id,
        request_id=request.id,
        principal_id=principal_id,
        verdict=verdict,
        digest=digest,
        comment=comment,
    )


async def answer_unseen(
    tx: Tx,
    workspace_id: str,
    *,
    version: Version,
    environment_ids: tuple[str, ...],
    principal_id: str,
    verdict: str,
    comment: str | None,
) -> None:
    """Record the wire's answer, which names a version and environments and was given without the package.

    Fails: `NotFound` for an environment that the version's deployment cannot reach.
    """
    reachable = await list_reachable(tx.conn, version.deployment_id)
    unknown = [environment_id for environment_id in environment_ids if environment_id not in reachable]
    if unknown:
        raise NotFound(f"The deployment shares no system with the environment {unknown[0]}.")
    for environment_id in environment_ids or tuple(reachable):
        await _say(
            tx,
            workspace_id,
            deployment_id=version.deployment_id,
            version_id=version.id,
            environment_id=environment_id,
            request_id=await tx.conn.fetchval(Q.find_newest_request_id, version.id, environment_id),
            principal_id=principal_id,
            verdict=verdict,
            digest=None,
            comment=comment,
        )


async def _say(
    tx: Tx,
    workspace_id: str,
    *,
    deployment_id: str,
    version_id: str,
    environment_id: str,
    request_id: str | None,
    principal_id: str,
    verdict: str,
    digest: str | None,
    comment: str | None,
) -> None:
    before = await tx.conn.fetchrow(Q.find_word, version_id, environment_id, principal_id, request_id)
    standing = before["verdict"] if before else None
    if verdict == "withdrawn" and standing not in {"approved", "rejected"}:
        raise Conflict("You have given no answer that could be withdrawn.", code="NOTHING_TO_WITHDRAW")
    if (
        before is not None
        and standing == verdict
        and digest in {None, before["shown_digest"]}
        and not before["ran_out"]
    ):
        return
    approval_id = new_id()
    row = (
        approval_id,
        workspace_id,
        deployment_id,
        request_id,
        version_id,
        environment_id,
        principal_id,
        verdict,
        comment,
        digest,
    )
    takes_away = verdict == "rejected" or (verdict == "withdrawn" and standing == "approved")
    refs: tuple[Ref, ...] = (
        Ref("version", version_id),
        Ref("environment", environment_id),
        Ref("deployment", deployment_id),
    )
    if request_id is not None:
        refs = (*refs, Ref("request", request_id))
    await tx.record(
        changes=[Change(Q.insert_approval, row), touch(deployment_id, takes_away=takes_away)],
        events=[Event(_EVENTS[verdict], Ref("approval", approval_id), {"packageSeen": digest is not None}, refs=refs)],
        wakes=[WorkRequest("round", deployment_id, workspace_id=workspace_id, priority=PEOPLE)],
    )

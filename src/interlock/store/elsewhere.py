"""What do other deployments run beside this one, and who must hear when that changes?

Loaded only where a rule or a version asks for it, set by set: resources with equal neighbours come as one group, each
version and deployment once.

Who is concerned is found after the commit, by query (`list_dependents`). Whether there may be anybody at all is asked
within it, so that where nobody depends on anybody a landing asks for nothing. That question cannot miss a dependency
that is written meanwhile: whoever writes one (a policy, a version's dependency) locks the workspace's row, and whoever
changes what runs shares it before asking.

Source: core.md section 2, "Facts of others"; reference-behaviour.md 4.7 [BUG], 4.9 [RB].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from interlock.decide.elsewhere import narrowed, needed
from interlock.decide.facts import Beside, Elsewhere, Target, Version
from interlock.model.policy import Policy
from interlock.store.queries import Conn, queries
from interlock.store.tx import Tx
from interlock.store.work import WorkRequest

Q = queries("elsewhere")


async def load_elsewhere(
    conn: Conn,
    deployment_id: str,
    *,
    versions: Iterable[Version],
    policies: Iterable[Policy],
    targets: Mapping[str, Target],
) -> Elsewhere:
    """What of other deployments the rules and versions of one ask about.

    Costs: no statement where they ask nothing, else up to four.
    """
    need = needed(versions, policies)
    if need.nothing or not targets:
        return Elsewhere()
    by_resource: dict[str, tuple[Beside, ...]] = {}
    by_environment: dict[str, list[Beside]] = {}
    if need.resources or need.named:
        wanted = None if need.resources else sorted(need.named)
        for row in await conn.fetch(Q.load_beside, deployment_id, wanted):
            by_resource.update(dict.fromkeys(row["resource_ids"], tuple(map(_beside, row["members"].split(",")))))
    if need.environments:
        places = sorted({target.environment_id for target in targets.values()})
        for row in await conn.fetch(Q.load_around, deployment_id, places):
            by_environment.setdefault(row["environment_id"], []).append(
                Beside(row["environment_id"], row["deployment_id"], row["version_id"])
            )
    around = {key: tuple(group) for key, group in by_environment.items()}
    there = {one for group in (*{*by_resource.values()}, *around.values()) for one in group}
    return narrowed(await _with_views(conn, Elsewhere({}, {}, by_resource, around), there, need.named), need, targets)


def _beside(text: str) -> Beside:
    deployment_id, environment_id, *version_id = text.split(" ")
    return Beside(environment_id, deployment_id, version_id[0] if version_id else None)


async def _with_views(conn: Conn, found: Elsewhere, there: Iterable[Beside], named: Iterable[str]) -> Elsewhere:
    """The same with the CEL maps of what is named in it."""
    version_ids = sorted({one.version_id for one in there if one.version_id is not None})
    deployment_ids = sorted({one.deployment_id for one in there} | set(named))
    versions = await conn.fetch(Q.load_other_versions, version_ids) if version_ids else ()
    deployments = await conn.fetch(Q.load_other_deployments, deployment_ids)
    return Elsewhere(
        {
            row["id"]: {
                "id": row["id"],
                "name": row["name"],
                "slug": row["name"],
                "description": row["description"] or "",
                "metadata": row["metadata"],
                "resourceSelector": row["resource_selector"],
                "jobAgentSelector": row["job_agent_selector"],
            }
            for row in deployments
        },
        {
            row["id"]: {
                "id": row["id"],
                "name": row["name"],
                "tag": row["tag"],
                "deploymentId": row["deployment_id"],
                "status": row["status"],
                "createdAt": row["created_at"].isoformat().replace("+00:00", "Z"),
                "metadata": row["metadata"],
                "message": row["message"] or "",
            }
            for row in versions
        },
        found.by_resource,
        found.by_environment,
    )


async def wake_dependents(tx: Tx, workspace_id: str, deployment_ids: Iterable[str]) -> None:
    """What some deployments run, where, or how it reads has changed: let those hear who depend on it, if there are any.

    Takes: a transaction that holds those deployments, and no lock that comes after the workspace's.
    """
    wanted = sorted(set(deployment_ids))
    if not wanted:
        return
    await tx.conn.fetchval(Q.share_rules, workspace_id)
    rows = await tx.conn.fetch(Q.list_depended_on, workspace_id, wanted)
    await tx.record(wakes=[WorkRequest("wake", f"runs:{row['id']}", workspace_id) for row in rows])

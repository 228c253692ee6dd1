"""Which versions does a deployment have, and what does a new one set in motion?

Creating a version writes the version, the change that it is, their events and the deployment's next round in one
transaction: what CI was told is stored is also on its way. The tag is the identity: CI that runs its step again gets
the same version back, with what it says now.

Source: core.md sections 1 and 4; contract.md section b, "api upsert version".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from interlock.inventory.selector import Selector
from interlock.inventory.to_sql import VERSIONS
from interlock.inventory.views import version_view
from interlock.model.errors import NotFound
from interlock.model.event import Event, Ref
from interlock.model.ids import new_id
from interlock.model.secret import Where
from interlock.model.version import Dependency, Version
from interlock.model.version_facts import COMMIT, COMMITS, LINKS, PULL_REQUEST
from interlock.store.dependencies import set_dependencies
from interlock.store.deployments import touch
from interlock.store.elsewhere import wake_dependents
from interlock.store.queries import Conn, queries
from interlock.store.rows import many, one
from interlock.store.selected import load_selected
from interlock.store.tx import Change, Tx
from interlock.store.work import WorkRequest

Q = queries("version")

REFS = (LINKS, "interlock/ticket", COMMITS, COMMIT, PULL_REQUEST)
"""Metadata that says where a change comes from; kept with the change."""


@dataclass(frozen=True, slots=True)
class VersionContent:
    """What a client says of a version. `created_at` None: now. `dependencies` None: as they were."""

    tag: str
    name: str
    status: str
    message: str | None
    config: Mapping[str, Any]
    job_agent_config: Mapping[str, Any]
    metadata: Mapping[str, str]
    created_at: datetime | None = None
    dependencies: tuple[Dependency, ...] | None = None


async def find_version(conn: Conn, workspace_id: str, *, version_id: str) -> Version | None:
    """A version by id."""
    return one(Version, await conn.fetchrow(Q.find_version, workspace_id, version_id))


async def lock_version(tx: Tx, workspace_id: str, *, version_id: str) -> Version | None:
    """A version by id, its deployment held so that no other writer changes it meanwhile."""
    version = await find_version(tx.conn, workspace_id, version_id=version_id)
    if version is not None:
        await tx.conn.fetchval(Q.lock_deployment, version.deployment_id)
        version = await find_version(tx.conn, workspace_id, version_id=version_id)
    return version


async def find_version_by_tag(conn: Conn, deployment_id: str, *, tag: str) -> Version | None:
    """A version by its tag, unique in its deployment."""
    return one(Version, await conn.fetchrow(Q.find_version_by_tag, deployment_id, tag))


async def list_versions(
    conn: Conn,
    deployment_id: str,
    *,
    newest_first: bool,
    selector: Selector | None = None,
    limit: int | None,
    offset: int,
) -> tuple[tuple[Version, ...], int]:
    """A page of a deployment's versions that a selector matches, by (created_at, tag), and how many there are."""
    return await load_selected(
        conn,
        Version,
        counted=Q.count_versions,
        listed=Q.list_newest_first if newest_first else Q.list_oldest_first,
        within=deployment_id,
        selector=selector,
        table=VERSIONS,
        view=_view,
        limit=limit,
        offset=offset,
    )


def _view(version: Version) -> dict[str, Any]:
    return version_view(
        version.id,
        deployment_id=version.deployment_id,
        tag=version.tag,
        status=version.status,
        created_at=version.created_at,
        name=version.name,
        message=version.message,
        metadata=dict(version.metadata),
        config=dict(version.config),
    )


async def load_versions(conn: Conn, version_ids: Sequence[str]) -> tuple[Version, ...]:
    """The versions with these ids, in the order of the ids."""
    return many(Version, await conn.fetch(Q.list_versions_by_ids, list(version_ids)))


async def save_version(
    tx: Tx, workspace_id: str, *, deployment_id: str, content: VersionContent, author_id: str | None
) -> Version:
    """Create a version, or bring the one with this tag up to date; its age stays.

    Fails: `NotFound` when the deployment is gone; what `set_dependencies` refuses.
    """
    version = await _save_version(tx, workspace_id, deployment_id=deployment_id, content=content, author_id=author_id)
    if content.dependencies is not None:
        wanted = [replace(one, version_id=version.id) for one in content.dependencies]
        await set_dependencies(tx, workspace_id, version=version, wanted=wanted, all_of_them=True)
    return version


async def _save_version(
    tx: Tx, workspace_id: str, *, deployment_id: str, content: VersionContent, author_id: str | None
) -> Version:
    if await tx.conn.fetchval(Q.lock_deployment, deployment_id) is None:
        raise NotFound("There is no such deployment.")
    existing = await find_version_by_tag(tx.conn, deployment_id, tag=content.tag)
    if existing is not None:
        wanted = replace(
            existing,
            name=content.name,
            status=content.status,
            message=content.message,
            config=content.config,
            job_agent_config=content.job_agent_config,
            metadata=content.metadata,
        )
        return await change_version(tx, workspace_id, before=existing, after=wanted)
    version_id, change_id = new_id(), new_id()
    row = (
        version_id,
        workspace_id,
        deployment_id,
        content.tag,
        content.name,
        content.status,
        content.message,
        dict(content.config),
        dict(await _sealed(tx, workspace_id, content.job_agent_config, before=None)),
        dict(content.metadata),
        author_id,
        content.created_at,
    )
    refs = {key: content.metadata[key] for key in REFS if key in content.metadata}
    version, deployment = Ref("version", version_id), Ref("deployment", deployment_id)
    await tx.record(
        changes=[
            Change(Q.insert_version, row),
            Change(Q.insert_change, (change_id, workspace_id, deployment_id, version_id, author_id, refs)),
            touch(deployment_id, takes_away=False),
        ],
        events=[
            Event(
                "version.created",
                version,
                {"tag": content.tag, "status": content.status},
                refs=(deployment,),
                chain=change_id,
            ),
            Event(
                "change.created",
                Ref("change", change_id),
                {"kind": "version"},
                refs=(version, deployment),
                chain=change_id,
            ),
        ],
        wakes=[WorkRequest("round", deployment_id, workspace_id=workspace_id, priority=10)],
    )
    return await _stored(tx.conn, workspace_id, version_id)


async def change_version(tx: Tx, workspace_id: str, *, before: Version, after: Version) -> Version:
    """Write what differs between two states of a version; nothing when nothing does.

    A changed version may no longer be one that a target may take, so the change can take something away. One that was
    rejected and is ready again may be taken once more by targets that left it, also where it was in quarantine
    (core.md 4).

    Fails: `Conflict` when another version of the deployment has the new tag.
    """
    after = replace(after, job_agent_config=await _sealed(tx, workspace_id, after.job_agent_config, before=before))
    if after == before:
        return before
    row = (
        before.id,
        after.tag,
        after.name,
        after.status,
        after.message,
        dict(after.config),
        dict(after.job_agent_config),
        dict(after.metadata),
        after.created_at,
    )
    ref, refs = Ref("version", before.id), (Ref("deployment", before.deployment_id),)
    chain = await tx.conn.fetchval(Q.find_change, before.id)
    events = []
    if after.status != before.status:
        body = {"from": before.status, "to": after.status}
        events.append(Event("version.status_changed", ref, body, refs=refs, chain=chain))
    if replace(after, status=before.status) != before:
        events.append(Event("version.changed", ref, {"tag": after.tag}, refs=refs, chain=chain))
    changes = [Change(Q.update_version, row), touch(before.deployment_id, takes_away=True)]
    if (before.status, after.status) == ("rejected", "ready"):
        changes.append(Change(Q.forget_marks, (before.deployment_id, before.id)))
        events.extend(await _cleared(tx, after, chain=chain))
    await tx.record(
        changes=changes,
        events=events,
        wakes=[WorkRequest("round", before.deployment_id, workspace_id=workspace_id, priority=10)],
    )
    await wake_dependents(tx, workspace_id, [before.deployment_id])  # whose expressions may read what changed
    return await _stored(tx.conn, workspace_id, before.id)


async def _sealed(tx: Tx, workspace_id: str, config: Mapping[str, Any], *, before: Version | None) -> Mapping[str, Any]:
    """A version's job agent config with its secrets sealed; the stored one as it is."""
    if before is not None and config == before.job_agent_config:
        return config
    kept: dict[str, Any] = await tx.secrets.seal_document(
        tx.conn,
        workspace_id,
        dict(config),
        where=Where.AGENT_CONFIG,
        before=before and before.job_agent_config,
        field="jobAgentConfig",
    )
    return kept


async def _cleared(tx: Tx, version: Version, *, chain: str | None) -> list[Event]:
    """Lift the quarantines of a version that is ready again: whoever rejected it took it off, and lets it come back."""
    rows = await tx.conn.fetch(Q.clear_quarantines, version.deployment_id, version.id, tx.actor.id)
    return [
        Event(
            "quarantine.cleared",
            Ref("quarantine", row["id"]),
            {
                "target": row["resource"],
                "environment": row["environment"],
                "deployment": row["deployment"],
                "version": version.tag,
            },
            refs=(
                Ref("target", row["target_id"]),
                Ref("environment", row["environment_id"]),
                Ref("deployment", version.deployment_id),
                Ref("move", row["move_id"]),
                Ref("version", version.id),
            ),
            chain=chain,
        )
        for row in rows
    ]


async def _stored(conn: Conn, workspace_id: str, version_id: str) -> Version:
    version = await find_version(conn, workspace_id, version_id=version_id)
    assert version is not None, "just written in this transaction"
    return version

"""What will a target run, frozen? The version with its config, the resource and everything around it, as they are now.

A release never changes: an attempt, a retry and a rollback all bring exactly what was decided. The snapshot is the
dispatch context in the wire's form, less the job; its digest is what a hand-over is authorized for.

What many targets share (deployment, environment, version, config) is read once a round, the resources once a target.

Source: core.md section 1 ("release"); reference-behaviour.md 5.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from interlock.decide.facts import Facts, Move
from interlock.decide.orders import AS_FROZEN
from interlock.inventory.targets import deep_merge
from interlock.model.canonical import digest
from interlock.model.errors import Stale
from interlock.store.queries import Conn, queries
from interlock.store.tx import Change

Q = queries("release")

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Shared:
    """What releases of one round have in common, in the wire's form, by id (configs by digest)."""

    deployment: Mapping[str, object]
    environments: Mapping[str, Mapping[str, object]]
    versions: Mapping[str, Mapping[str, Any]]
    configs: Mapping[str, Mapping[str, Any]]
    agent_configs: dict[tuple[str, str], Mapping[str, object]]
    """(config digest, version id) -> what the agent gets: the merged config, and the version's over it."""

    def agent_config(self, config_digest: str, version_id: str) -> Mapping[str, object]:
        """Merged once for all targets."""
        key = (config_digest, version_id)
        if key not in self.agent_configs:
            merged = deep_merge(
                self.configs[config_digest]["jobAgentConfig"], self.versions[version_id]["jobAgentConfig"]
            )
            self.agent_configs[key] = merged
        return self.agent_configs[key]


async def freeze_releases(conn: Conn, facts: Facts, moves: Sequence[Move], now: datetime) -> list[Change]:
    """The changes that freeze what these moves bring. A rollback and a redeploy bring what was frozen before.

    Fails: `Stale` when something that a release freezes is gone.
    """
    new = [move for move in moves if move.kind not in AS_FROZEN]
    if not new:
        return []
    shared = await load_shared(
        conn,
        facts.deployment_id,
        environment_ids={move.environment_id for move in new},
        version_ids={move.version_id for move in new},
        config_digests={move.to_release.config_digest for move in new},
    )
    resources = await load_resources(conn, [move.target_id for move in new])
    origins = await _origins(conn, shared, new)
    try:
        snapshots = [
            frozen_release(shared, resources[move.target_id], move, now) | origins.get(move.id, {}) for move in new
        ]
    except KeyError as gone:
        raise Stale(f"Something that a release freezes is gone: {gone}.") from gone
    columns = (
        [move.to_release.id for move in new],
        [move.target_id for move in new],
        [move.version_id for move in new],
        [move.to_release.config_digest for move in new],
        snapshots,
        [digest(snapshot) for snapshot in snapshots],
    )
    return [Change(Q.insert_releases, (facts.workspace_id, *columns, now))]


def frozen_release(shared: Shared, resource: Mapping[str, object], move: Move, now: datetime) -> dict[str, object]:
    """What one target will run."""
    return frozen(
        shared,
        resource,
        environment_id=move.environment_id,
        version_id=move.version_id,
        config_digest=move.to_release.config_digest,
        release_id=move.to_release.id,
        at=now,
    )


def frozen(
    shared: Shared,
    resource: Mapping[str, object],
    *,
    environment_id: str,
    version_id: str,
    config_digest: str,
    release_id: str,
    at: datetime,
) -> dict[str, object]:
    """A release's snapshot: the dispatch context, less the job.

    Fails: `KeyError` when `shared` lacks one of them.
    """
    config = shared.configs[config_digest]
    return {
        "deployment": shared.deployment,
        "environment": shared.environments[environment_id],
        "resource": resource,
        "version": shared.versions[version_id],
        "variables": config["variables"],
        "jobAgent": config["jobAgent"],
        "jobAgentConfig": shared.agent_config(config_digest, version_id),
        "release": {"id": release_id, "createdAt": _text(at)},
    }


async def load_resources(conn: Conn, target_ids: Sequence[str]) -> dict[str, Mapping[str, object]]:
    """Target id -> its resource, in the wire's form."""
    return {row["target_id"]: _resource(row) for row in await conn.fetch(Q.read_resources, list(target_ids))}


async def _origins(conn: Conn, shared: Shared, moves: Sequence[Move]) -> dict[str, dict[str, object]]:
    """Move id -> where the variables that its release freezes came from.

    Gives: nothing for a target that was resolved to something else meanwhile, nor where nothing has variables.
    """
    if not any(config["variables"] for config in shared.configs.values()):
        return {}
    rows = await conn.fetch(Q.read_origins, [move.target_id for move in moves])
    origins = {(row["target_id"], row["config_digest"]): row["variables"] for row in rows}
    return {
        move.id: {"variableOrigins": origins[move.target_id, move.to_release.config_digest]}
        for move in moves
        if origins.get((move.target_id, move.to_release.config_digest))
    }


async def load_shared(
    conn: Conn,
    deployment_id: str,
    *,
    environment_ids: Iterable[str],
    version_ids: Iterable[str],
    config_digests: Iterable[str],
) -> Shared:
    """What the releases of one deployment have in common.

    Fails: `Stale` when the deployment is gone.
    """
    rows = await conn.fetch(
        Q.read_shared, deployment_id, sorted(environment_ids), sorted(version_ids), sorted(config_digests)
    )
    found: dict[str, dict[str, Row]] = {"deployment": {}, "environment": {}, "version": {}, "config": {}}
    for row in rows:
        found[row["kind"]][row["key"]] = row["body"]
    if not found["deployment"]:
        raise Stale("The deployment is gone.")
    return Shared(
        deployment=_deployment(found["deployment"][deployment_id]),
        environments={key: _environment(row) for key, row in found["environment"].items()},
        versions={key: _version(row) for key, row in found["version"].items()},
        configs=found["config"],
        agent_configs={},
    )


def _deployment(row: Row) -> dict[str, object]:
    return {
        "id": row["id"],
        "name": row["name"],
        "slug": row["name"],
        "metadata": row["metadata"],
        "resourceSelector": row["resource_selector"],
        "jobAgentSelector": row["job_agent_selector"],
        "jobAgentConfig": row["job_agent_config"],
        **({"description": row["description"]} if row["description"] else {}),
    }


def _environment(row: Row) -> dict[str, object]:
    return {
        "id": row["id"],
        "name": row["name"],
        "metadata": row["metadata"],
        "createdAt": _text(datetime.fromisoformat(row["created_at"])),
        **({"description": row["description"]} if row["description"] else {}),
    }


def _version(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "tag": row["tag"],
        "name": row["name"],
        "status": row["status"],
        "config": row["config"],
        "jobAgentConfig": row["job_agent_config"],
        "metadata": row["metadata"],
        "deploymentId": row["deployment_id"],
        "createdAt": _text(datetime.fromisoformat(row["created_at"])),
        **({"message": row["message"]} if row["message"] else {}),
    }


def _resource(row: asyncpg.Record) -> dict[str, object]:
    return {
        "id": row["id"],
        "identifier": row["identifier"],
        "name": row["name"],
        "kind": row["kind"],
        "version": row["version"],
        "config": row["config"],
        "metadata": row["metadata"],
        "createdAt": _text(row["created_at"]),
        **({"providerId": row["provider_id"]} if row["provider_id"] else {}),
    }


def _text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")

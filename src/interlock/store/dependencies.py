"""What does a version need of other deployments, and may it?

Written with the version or by themselves. Dependencies that lead back to the version's own deployment are refused: each
would wait for the other. Writers take turns by the workspace's row, so that two halves of a circle cannot be written at
once, and so that a landing either sees the new dependency or is seen by the round that it asks for
(`store/elsewhere.py`).

Source: contract.md section e, "Version"; core.md section 10, outcome 24; docs/decisions/0019-who-depends-on-whom.md.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from interlock.inventory.cycles import find_cycle
from interlock.model.errors import Conflict, Invalid, NotFound
from interlock.model.event import Event, Ref
from interlock.model.version import Dependency, Version
from interlock.store.deployments import touch
from interlock.store.queries import Conn, queries
from interlock.store.rows import many
from interlock.store.tx import Change, Tx
from interlock.store.work import WorkRequest

Q = queries("dependency")

DEPENDENCIES_MAX = 50
"""A version may name so many other deployments."""


async def load_dependencies(conn: Conn, version_ids: Sequence[str]) -> Mapping[str, tuple[Dependency, ...]]:
    """Version id -> what it needs, by deployment id; a version that needs nothing is not there."""
    found: dict[str, list[Dependency]] = {}
    for one in many(Dependency, await conn.fetch(Q.list_dependencies, list(version_ids))):
        found.setdefault(one.version_id, []).append(one)
    return {version_id: tuple(group) for version_id, group in found.items()}


async def set_dependencies(
    tx: Tx, workspace_id: str, *, version: Version, wanted: Collection[Dependency], all_of_them: bool = False
) -> None:
    """Write what a version needs: those that are named, or all that it needs from now on. Nothing changed: nothing is
    written.

    Takes: a transaction that holds the version's deployment.
    Fails: `Invalid` when the version would need its own deployment; `NotFound` when a deployment is not there;
           `Conflict` when the dependencies lead back to it; the last names the way.
    """
    if wanted:
        await tx.conn.fetchval(Q.lock_workspace, workspace_id)
    known = {one.deployment_id: one for one in (await load_dependencies(tx.conn, [version.id])).get(version.id, ())}
    after = {} if all_of_them else dict(known)
    after.update({one.deployment_id: one for one in wanted})
    if len(after) > DEPENDENCIES_MAX:
        raise Invalid(f"A version may depend on at most {DEPENDENCIES_MAX} deployments.", field="dependencies")
    written = [one for one in after.values() if known.get(one.deployment_id) != one]
    removed = sorted(known.keys() - after.keys())
    if written:
        await _check(tx.conn, workspace_id, version=version, needs=after)
    await _record(tx, workspace_id, version=version, written=written, removed=removed)


async def remove_dependency(tx: Tx, workspace_id: str, *, version: Version, deployment_id: str) -> None:
    """A version needs a deployment no longer.

    Fails: `NotFound` when it did not.
    """
    known = (await load_dependencies(tx.conn, [version.id])).get(version.id, ())
    if all(one.deployment_id != deployment_id for one in known):
        raise NotFound("The version does not depend on this deployment.")
    await _record(tx, workspace_id, version=version, written=(), removed=[deployment_id])


async def _check(conn: Conn, workspace_id: str, *, version: Version, needs: Mapping[str, Dependency]) -> None:
    if version.deployment_id in needs:
        raise Invalid("A version cannot depend on its own deployment.", field="dependencies")
    asked = [*needs, version.deployment_id]
    names = {row["id"]: row["name"] for row in await conn.fetch(Q.list_names, workspace_id, asked)}
    unknown = sorted(needs.keys() - names.keys())
    if unknown:
        raise NotFound(f"There is no deployment {', '.join(unknown)} to depend on.")
    needs_by_deployment: dict[str, list[str]] = {}
    for row in await conn.fetch(Q.list_needs, workspace_id):
        needs_by_deployment.setdefault(row["id"], []).append(row["needs"])
        names[row["id"]] = row["name"]
    way = find_cycle(version.deployment_id, list(needs), needs_by_deployment=needs_by_deployment)
    if way:
        said = " -> ".join(names.get(one, one) for one in way)
        raise Conflict(f"These dependencies would wait for each other: {said}.", code="DEPENDENCY_CYCLE")


async def _record(
    tx: Tx, workspace_id: str, *, version: Version, written: Sequence[Dependency], removed: Sequence[str]
) -> None:
    """Write the difference; a new or changed dependency can take something away, one that is gone cannot."""
    if not written and not removed:
        return
    changes = []
    if removed:
        changes.append(Change(Q.delete_dependencies, (version.id, list(removed))))
    if written:
        columns = (
            [one.deployment_id for one in written],
            [one.version_selector for one in written],
            [one.environments for one in written],
        )
        changes.append(Change(Q.save_dependencies, (version.id, *columns)))
    changes.append(touch(version.deployment_id, takes_away=bool(written)))
    refs = [Ref("deployment", one) for one in (version.deployment_id, *(w.deployment_id for w in written), *removed)]
    body = {
        "tag": version.tag,
        "needs": {one.deployment_id: one.version_selector for one in written},
        "needsNoLonger": list(removed),
    }
    event = Event("version.dependencies_changed", Ref("version", version.id), body, refs=tuple(refs))
    wake = WorkRequest("round", version.deployment_id, workspace_id=workspace_id, priority=10)
    await tx.record(changes, events=[event], wakes=[wake])

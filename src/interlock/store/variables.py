"""Which variables does a deployment declare, and which values do they have? Written with the targets that follow.

A write resolves the deployment's targets again in its own transaction, and once more after its commit: only targets
whose resolved variables really changed are own facts of it (core.md section 2). The values themselves never enter the
ledger, which is never erased.

Source: contract.md section c, ctrlplane_deployment_variable and ctrlplane_deployment_variable_value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from interlock.inventory.variables import Overlap, overlaps
from interlock.inventory.views import resource_view
from interlock.model.errors import Conflict, Invalid, NotFound
from interlock.model.event import Event, Ref
from interlock.model.inventory import Resource
from interlock.model.variable import DeploymentVariable, VariableValue, is_same
from interlock.store import targets
from interlock.store.matching import match_after
from interlock.store.ownership import is_known
from interlock.store.queries import Conn, queries
from interlock.store.rows import many, one
from interlock.store.tx import Change, Tx

Q = queries("variable")

VARIABLES_MAX = 500
"""Variables that one deployment may declare."""

VALUES_MAX = 1_000
"""Values that one variable may have."""

OVERLAP_RESOURCES_MAX = 20_000
"""Resources of a deployment's targets that a write looks at for values that overlap."""


async def find_variable(conn: Conn, workspace_id: str, *, variable_id: str) -> DeploymentVariable | None:
    """A deployment variable by id."""
    return one(DeploymentVariable, await conn.fetchrow(Q.find_variable, workspace_id, variable_id))


async def list_variables(
    conn: Conn, deployment_id: str, *, limit: int | None, offset: int
) -> tuple[tuple[DeploymentVariable, ...], int]:
    """A page of a deployment's variables by key (all of them without a limit), and how many there are."""
    total = await conn.fetchval(Q.count_variables, deployment_id)
    return many(DeploymentVariable, await conn.fetch(Q.list_variables, deployment_id, limit, offset)), total


async def load_values(conn: Conn, variable_ids: Sequence[str]) -> dict[str, list[VariableValue]]:
    """variable id -> its values, in the order in which they are tried."""
    found: dict[str, list[VariableValue]] = {variable_id: [] for variable_id in variable_ids}
    for value in many(VariableValue, await conn.fetch(Q.list_values, list(variable_ids))):
        found[value.variable_id].append(value)
    return found


async def find_value(conn: Conn, workspace_id: str, *, value_id: str) -> VariableValue | None:
    """A value by id."""
    return one(VariableValue, await conn.fetchrow(Q.find_value, workspace_id, value_id))


async def save_variable(
    tx: Tx, workspace_id: str, *, variable_id: str, deployment_id: str, key: str, description: str | None
) -> None:
    """Create or replace a variable by id. One that goes to another deployment takes its values along.

    Fails: `NotFound` for an unknown deployment; `Conflict` on a key or id that is taken.
    """
    await is_known(tx.conn, Q.find_variable_owner, workspace_id=workspace_id, wanted_id=variable_id)
    before = await find_variable(tx.conn, workspace_id, variable_id=variable_id)
    await _lock(tx, workspace_id, deployment_id, *([before.deployment_id] if before else []))
    after = DeploymentVariable(variable_id, deployment_id, key, description)
    if before == after:
        return
    if before is None and await tx.conn.fetchval(Q.count_variables, deployment_id) >= VARIABLES_MAX:
        raise Invalid(f"A deployment has at most {VARIABLES_MAX} variables.", field="key")
    row = (variable_id, workspace_id, deployment_id, key, description)
    kind = "deployment_variable.created" if before is None else "deployment_variable.changed"
    await tx.record([Change(Q.save_variable, row)], events=[_event(kind, after, {"key": key})])
    moved = (before.deployment_id,) if before is not None and before.deployment_id != deployment_id else ()
    await _match(tx, workspace_id, deployment_id, *moved)


async def delete_variable(tx: Tx, workspace_id: str, *, variable_id: str) -> None:
    """End a variable with its values.

    Fails: `NotFound`.
    """
    variable = await find_variable(tx.conn, workspace_id, variable_id=variable_id)
    if variable is None:
        raise NotFound("There is no such deployment variable.")
    await _lock(tx, workspace_id, variable.deployment_id)
    await tx.record(
        [Change(Q.delete_variable, (variable_id,))],
        events=[_event("deployment_variable.deleted", variable, {"key": variable.key})],
    )
    await _match(tx, workspace_id, variable.deployment_id)


async def save_value(
    tx: Tx,
    workspace_id: str,
    *,
    value_id: str,
    variable_id: str,
    priority: int,
    resource_selector: str | None,
    value: Any,
) -> tuple[Overlap, ...]:
    """Create or replace a value by id, and give the values that overlap with it at the same priority.

    Fails: `NotFound` for an unknown variable; `Conflict` when the id is another variable's value.
    """
    variable = await find_variable(tx.conn, workspace_id, variable_id=variable_id)
    if variable is None:
        raise NotFound("There is no such deployment variable.")
    await _lock(tx, workspace_id, variable.deployment_id)
    owner = await tx.conn.fetchrow(Q.find_value_owner, value_id)
    if owner is not None and (owner["workspace_id"], owner["variable_id"]) != (workspace_id, variable_id):
        raise Conflict("This id is a value of another variable. Choose another id.", code="DUPLICATE_ID")
    after = VariableValue(value_id, variable_id, priority, resource_selector, value)
    before = await find_value(tx.conn, workspace_id, value_id=value_id) if owner is not None else None
    if before is None or not is_same(asdict(before), asdict(after)):
        if owner is None and await tx.conn.fetchval(Q.count_values, variable_id) >= VALUES_MAX:
            raise Invalid(f"A variable has at most {VALUES_MAX} values.", field="deploymentVariableId")
        row = (value_id, variable_id, priority, resource_selector, {"value": value})
        body = {"key": variable.key, "value": value_id, "priority": priority, "resourceSelector": resource_selector}
        await tx.record(
            [Change(Q.save_value, row)],
            events=[_event("deployment_variable.changed", variable, {**body, "was": "set"})],
        )
        await _match(tx, workspace_id, variable.deployment_id)
    return await _overlaps(tx.conn, variable, after)


async def delete_value(tx: Tx, workspace_id: str, *, value_id: str) -> None:
    """End a value.

    Fails: `NotFound`.
    """
    value = await find_value(tx.conn, workspace_id, value_id=value_id)
    variable = await find_variable(tx.conn, workspace_id, variable_id=value.variable_id) if value else None
    if variable is None:
        raise NotFound("There is no such value.")
    await _lock(tx, workspace_id, variable.deployment_id)
    body = {"key": variable.key, "value": value_id, "was": "removed"}
    await tx.record(
        [Change(Q.delete_value, (value_id,))], events=[_event("deployment_variable.changed", variable, body)]
    )
    await _match(tx, workspace_id, variable.deployment_id)


async def _lock(tx: Tx, workspace_id: str, *deployment_ids: str) -> None:
    """Hold deployments, in the order of everybody, so that two writers of their variables take turns."""
    wanted = sorted(set(deployment_ids))
    rows = await tx.conn.fetch(Q.lock_deployments, workspace_id, wanted)
    if len(rows) < len(wanted):
        raise NotFound("There is no such deployment.")


async def _match(tx: Tx, workspace_id: str, *deployment_ids: str) -> None:
    await match_after(tx, workspace_id, touched=targets.Touched(deployments=tuple(sorted(deployment_ids))))


async def _overlaps(conn: Conn, variable: DeploymentVariable, value: VariableValue) -> tuple[Overlap, ...]:
    """Values of the same priority that also match a resource of the deployment's targets."""
    values = (await load_values(conn, [variable.id]))[variable.id]
    rivals = [one for one in values if one.priority == value.priority]
    if len(rivals) < 2:
        return ()
    rows = await conn.fetch(Q.list_target_resources, variable.deployment_id, OVERLAP_RESOURCES_MAX)
    resources = [resource_view(resource) for resource in many(Resource, rows)]
    return tuple(one for one in overlaps(rivals, resources) if value.id in one.value_ids)


def _event(kind: str, variable: DeploymentVariable, body: Mapping[str, object]) -> Event:
    refs = (Ref("deployment", variable.deployment_id),)
    return Event(kind, Ref("deployment_variable", variable.id), body, refs)

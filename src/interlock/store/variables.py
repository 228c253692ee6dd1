"""Which variables does a deployment declare, and which values do they have? Written with the targets that follow.

A write resolves the deployment's targets again in its own transaction, and once more after its commit: only targets
whose resolved variables really changed are own facts of it (core.md section 2). The values themselves never enter the
ledger, which is never erased.

Source: contract.md section c, ctrlplane_deployment_variable and ctrlplane_deployment_variable_value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from interlock.inventory.variables import Overlap, overlaps
from interlock.inventory.views import resource_view
from interlock.model.errors import Conflict, Invalid, NotFound
from interlock.model.event import Event, Ref
from interlock.model.ids import new_id
from interlock.model.inventory import Resource
from interlock.model.secret import is_marker, is_reference
from interlock.model.variable import (
    DeploymentVariable,
    Reference,
    Sensitive,
    VariableValue,
    is_same,
    plain_value,
)
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


@dataclass(frozen=True, slots=True)
class WantedValue:
    """A value as somebody wants it, in the wire's form."""

    value: Any
    priority: int
    resource_selector: str | None


@dataclass(frozen=True, slots=True)
class WantedVariable:
    """A variable as somebody wants it, with all its values. `sensitive` None: as it was."""

    key: str
    description: str | None
    values: tuple[WantedValue, ...]
    sensitive: bool | None = None


@dataclass(frozen=True, slots=True)
class Replaced:
    """Which variables a replacement changed, by id; and values that overlap at one priority, with their key."""

    changed: tuple[str, ...]
    overlaps: tuple[tuple[str, Overlap], ...]


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
    tx: Tx,
    workspace_id: str,
    *,
    variable_id: str,
    deployment_id: str,
    key: str,
    description: str | None,
    sensitive: bool | None = None,
) -> None:
    """Create or replace a variable by id. One that goes to another deployment takes its values along.

    Takes: `sensitive` None leaves that as it was. Values that are there become secrets with it; they stay so when it
           is taken away, until they are written again.

    Fails: `NotFound` for an unknown deployment; `Conflict` on a key or id that is taken.
    """
    await is_known(tx.conn, Q.find_variable_owner, workspace_id=workspace_id, wanted_id=variable_id)
    before = await find_variable(tx.conn, workspace_id, variable_id=variable_id)
    await _lock(tx, workspace_id, deployment_id, *([before.deployment_id] if before else []))
    was = before.sensitive if before else False
    after = DeploymentVariable(variable_id, deployment_id, key, description, was if sensitive is None else sensitive)
    if before == after:
        return
    if before is None and await tx.conn.fetchval(Q.count_variables, deployment_id) >= VARIABLES_MAX:
        raise Invalid(f"A deployment has at most {VARIABLES_MAX} variables.", field="key")
    row = (variable_id, workspace_id, deployment_id, key, description, after.sensitive)
    kind = "deployment_variable.created" if before is None else "deployment_variable.changed"
    await tx.record([Change(Q.save_variable, row)], events=[_event(kind, after, {"key": key})])
    if after.sensitive and not was:
        await _seal_values(tx, workspace_id, variable_id)
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
    sensitive: bool | None = None,
) -> tuple[Overlap, ...]:
    """Create or replace a value by id, and give the values that overlap with it at the same priority.

    Takes: `sensitive` False makes a plain value of what was a secret.
    Fails: `NotFound` for an unknown variable; `Conflict` when the id is another variable's value.
    """
    variable = await find_variable(tx.conn, workspace_id, variable_id=variable_id)
    if variable is None:
        raise NotFound("There is no such deployment variable.")
    await _lock(tx, workspace_id, variable.deployment_id)
    owner = await tx.conn.fetchrow(Q.find_value_owner, value_id)
    if owner is not None and (owner["workspace_id"], owner["variable_id"]) != (workspace_id, variable_id):
        raise Conflict("This id is a value of another variable. Choose another id.", code="DUPLICATE_ID")
    before = await find_value(tx.conn, workspace_id, value_id=value_id) if owner is not None else None
    stays = sensitive is not False
    value = await tx.secrets.seal_wire(
        tx.conn, workspace_id, as_declared(variable, value), before=before and before.value, stays=stays
    )
    after = VariableValue(value_id, variable_id, priority, resource_selector, value)
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
    values = (await load_values(tx.conn, [variable_id]))[variable_id]
    rivals = [value for value in values if value.priority == priority]
    found = await _overlaps(tx.conn, variable.deployment_id, {variable.key: rivals})
    return tuple(each for _, each in found if value_id in each.value_ids)


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


async def replace_variables(
    tx: Tx, workspace_id: str, *, deployment_id: str, wanted: Sequence[WantedVariable]
) -> Replaced:
    """Make a deployment's variables exactly these, as one change of its targets.

    A variable keeps its id by its key, a value by its priority and selector.

    Takes: keys that are told apart.
    Fails: `NotFound` for an unknown deployment.
    """
    await _lock(tx, workspace_id, deployment_id)
    standing, _ = await list_variables(tx.conn, deployment_id, limit=None, offset=0)
    values = await load_values(tx.conn, [one.id for one in standing])
    by_key = {one.key: one for one in standing}
    kept = {one.key for one in wanted}
    gone = [one for one in standing if one.key not in kept]
    saves: list[tuple[Any, ...]] = []
    value_saves: list[tuple[Any, ...]] = []
    value_ids_gone: list[str] = []
    events = [_event("deployment_variable.deleted", one, {"key": one.key}) for one in gone]
    values_by_key: dict[str, Sequence[VariableValue]] = {}
    for want in wanted:
        before = by_key.get(want.key)
        was = before.sensitive if before else False
        sensitive = was if want.sensitive is None else want.sensitive
        variable_id = before.id if before else new_id()
        variable = DeploymentVariable(variable_id, deployment_id, want.key, want.description, sensitive)
        new, old = _with_ids(variable.id, want.values, values.get(variable.id, []))
        new = [await _sealed(tx, workspace_id, variable, value, old.get(value.id)) for value in new]
        changed = [value for value in new if not is_same(asdict(value), old.pop(value.id, None))]
        values_by_key[want.key] = new
        if variable != before:
            saves.append((variable.id, workspace_id, deployment_id, variable.key, variable.description, sensitive))
        value_saves += [(v.id, variable.id, v.priority, v.resource_selector, {"value": v.value}) for v in changed]
        value_ids_gone += old
        if variable != before or changed or old:
            kind = "deployment_variable.changed" if before else "deployment_variable.created"
            events.append(_event(kind, variable, {"key": want.key, "values": len(new)}))
    if events:
        changes = [
            Change(Q.delete_variables, ([one.id for one in gone],)),
            Change(Q.delete_values, (value_ids_gone,)),
            Change(Q.save_variable, saves, many=True),
            Change(Q.save_value, value_saves, many=True),
        ]
        await tx.record([change for change in changes if change.args and change.args[0]], events=events)
        await _match(tx, workspace_id, deployment_id)
    overlapping = await _overlaps(tx.conn, deployment_id, values_by_key)
    return Replaced(tuple(sorted(event.subject.id for event in events)), overlapping)


def as_declared(variable: DeploymentVariable, value: Any) -> Any:
    """A value, sensitive as its variable is."""
    plain = isinstance(value, Sensitive) or is_reference(value) or isinstance(plain_value(value), Reference)
    return value if plain or not variable.sensitive or is_marker(value) else Sensitive(value)


async def _sealed(
    tx: Tx, workspace_id: str, variable: DeploymentVariable, value: VariableValue, before: Mapping[str, Any] | None
) -> VariableValue:
    """A value with its secret sealed."""
    stored = await tx.secrets.seal_wire(
        tx.conn,
        workspace_id,
        as_declared(variable, value.value),
        before=before and before["value"],
        field=f"variables.{variable.key}",
    )
    return replace(value, value=stored)


async def _seal_values(tx: Tx, workspace_id: str, variable_id: str) -> None:
    """A variable has become sensitive: so do the values that it has."""
    changes = []
    for value in (await load_values(tx.conn, [variable_id]))[variable_id]:
        if is_marker(value.value) or is_reference(value.value) or isinstance(plain_value(value.value), Reference):
            continue
        kept = await tx.secrets.seal_value(tx.conn, workspace_id, plain_value(value.value))
        changes.append((value.id, variable_id, value.priority, value.resource_selector, {"value": kept}))
    if changes:
        await tx.record([Change(Q.save_value, changes, many=True)])


def _with_ids(
    variable_id: str, wanted: Sequence[WantedValue], standing: Sequence[VariableValue]
) -> tuple[list[VariableValue], dict[str, dict[str, Any]]]:
    """The wanted values, each with the id of one that stands at its priority and selector; and what stands, by id."""
    free: dict[tuple[int, str | None], list[str]] = {}
    for value in standing:
        free.setdefault((value.priority, value.resource_selector), []).append(value.id)
    found = []
    for want in wanted:
        ids = free.get((want.priority, want.resource_selector))
        value_id = ids.pop(0) if ids else new_id()
        found.append(VariableValue(value_id, variable_id, want.priority, want.resource_selector, want.value))
    return found, {value.id: asdict(value) for value in standing}


async def _lock(tx: Tx, workspace_id: str, *deployment_ids: str) -> None:
    """Hold deployments, in the order of everybody, so that two writers of their variables take turns."""
    wanted = sorted(set(deployment_ids))
    rows = await tx.conn.fetch(Q.lock_deployments, workspace_id, wanted)
    if len(rows) < len(wanted):
        raise NotFound("There is no such deployment.")


async def _match(tx: Tx, workspace_id: str, *deployment_ids: str) -> None:
    await match_after(tx, workspace_id, touched=targets.Touched(deployments=tuple(sorted(deployment_ids))))


async def _overlaps(
    conn: Conn, deployment_id: str, values_by_key: Mapping[str, Sequence[VariableValue]]
) -> tuple[tuple[str, Overlap], ...]:
    """(key, values of one priority that match the same resource of the deployment's targets)."""
    rivals: dict[str, list[VariableValue]] = {}
    for key, values in values_by_key.items():
        priorities = Counter(value.priority for value in values)
        rivals[key] = [value for value in values if priorities[value.priority] > 1]
    if not any(rivals.values()):
        return ()
    rows = await conn.fetch(Q.list_target_resources, deployment_id, OVERLAP_RESOURCES_MAX)
    resources = [resource_view(resource) for resource in many(Resource, rows)]
    return tuple((key, each) for key, values in rivals.items() for each in overlaps(values, resources))


def _event(kind: str, variable: DeploymentVariable, body: Mapping[str, object]) -> Event:
    refs = (Ref("deployment", variable.deployment_id),)
    return Event(kind, Ref("deployment_variable", variable.id), body, refs)

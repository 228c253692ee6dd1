"""Which variable sets are there? Written with the targets that follow.

A set may concern every deployment that declares a variable, so a large workspace follows by the second look alone.

Source: contract.md section c, ctrlplane_variable_set; core.md section 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from interlock.model.errors import NotFound
from interlock.model.event import Event, Ref
from interlock.model.secret import is_marker
from interlock.model.variable import Sensitive, VariableSet
from interlock.store import targets
from interlock.store.matching import match_after
from interlock.store.queries import Conn, queries
from interlock.store.rows import many, one
from interlock.store.tx import Change, Tx

Q = queries("variable_set")


@dataclass(frozen=True, slots=True)
class SetContent:
    """What a client says of a set. `variables` is `[{key, value}]`, values in the wire's form, keys told apart; None
    leaves them as they are.
    """

    name: str
    description: str
    selector: str
    priority: int
    variables: Sequence[Mapping[str, Any]] | None

    @property
    def row(self) -> tuple[Any, ...]:
        """Its columns, in the order of the queries."""
        listed = [dict(each) for each in self.variables or ()]
        return (self.name, self.description, self.selector, self.priority, listed)


async def find_set(conn: Conn, workspace_id: str, *, set_id: str) -> VariableSet | None:
    """A set by id."""
    return one(VariableSet, await conn.fetchrow(Q.find_set, workspace_id, set_id))


async def list_sets(conn: Conn, workspace_id: str, *, limit: int, offset: int) -> tuple[tuple[VariableSet, ...], int]:
    """A page of sets in the order in which they are tried, and how many there are."""
    total = await conn.fetchval(Q.count_sets, workspace_id)
    return many(VariableSet, await conn.fetch(Q.list_sets, workspace_id, limit, offset)), total


async def create_set(tx: Tx, workspace_id: str, *, set_id: str, content: SetContent) -> VariableSet:
    """Create a set. Its sensitive values are sealed."""
    content = await _sealed(tx, workspace_id, content, before=())
    await tx.record(
        [Change(Q.insert_set, (set_id, workspace_id, *content.row))],
        events=[_event("variable_set.created", set_id, content)],
    )
    return await _matched(tx, workspace_id, set_id)


async def change_set(tx: Tx, workspace_id: str, *, set_id: str, content: SetContent) -> VariableSet:
    """Replace what a set says.

    Takes: a set that the caller has found.
    Fails: `Invalid` for a mark of a secret that the set does not have under that key.
    """
    standing = await find_set(tx.conn, workspace_id, set_id=set_id)
    content = await _sealed(tx, workspace_id, content, before=standing.variables if standing else ())
    await tx.record(
        [Change(Q.update_set, (set_id, *content.row), rows=1)],
        events=[_event("variable_set.changed", set_id, content)],
    )
    return await _matched(tx, workspace_id, set_id)


async def delete_set(tx: Tx, workspace_id: str, *, set_id: str) -> VariableSet:
    """End a set, and give it as it was.

    Fails: `NotFound`.
    """
    before = await find_set(tx.conn, workspace_id, set_id=set_id)
    if before is None:
        raise NotFound("There is no such variable set.")
    body = {"name": before.name, "keys": sorted(each["key"] for each in before.variables)}
    await tx.record(
        [Change(Q.delete_set, (set_id,))],
        events=[Event("variable_set.deleted", Ref("variable_set", set_id), body)],
    )
    await match_after(tx, workspace_id, touched=targets.Touched(variables=True))
    return before


async def _sealed(tx: Tx, workspace_id: str, content: SetContent, *, before: Sequence[Mapping[str, Any]]) -> SetContent:
    """The set as it is stored. A key that was declared without its value says so when it is read back."""
    standing = {each["key"]: each for each in before}
    variables = []
    if content.variables is None:
        return replace(content, variables=before)
    for number, each in enumerate(content.variables):
        there = standing.get(each["key"], {})
        value = await tx.secrets.seal_wire(
            tx.conn, workspace_id, each["value"], before=there.get("value"), field=f"variables[{number}].value"
        )
        declared = isinstance(each["value"], Sensitive) and each["value"].keeps is not None
        variables.append({**each, "value": value, **({"declared": True} if declared and is_marker(value) else {})})
    return replace(content, variables=variables)


async def _matched(tx: Tx, workspace_id: str, set_id: str) -> VariableSet:
    await match_after(tx, workspace_id, touched=targets.Touched(variables=True))
    saved = await find_set(tx.conn, workspace_id, set_id=set_id)
    assert saved is not None, "just written in this transaction"
    return saved


def _event(kind: str, set_id: str, content: SetContent) -> Event:
    keys = sorted(each["key"] for each in content.variables or ())
    body = {"name": content.name, "selector": content.selector, "priority": content.priority, "keys": keys}
    return Event(kind, Ref("variable_set", set_id), body)

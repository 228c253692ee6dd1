"""Which people are asked together?

A group is a name and its members, who are members of the workspace. A rule that asks for the yes of a group looks at
who is in it *now*, so a change of its members is a rule of the workspace: it bumps `rules_fence`, and after its commit
the rounds that it concerns are asked for.

Source: core.md sections 2 and 4 (obligations: approvals(n, group, why)).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from interlock.model.errors import Invalid, NotFound
from interlock.model.event import Event, Ref
from interlock.model.ids import new_id
from interlock.store.queries import Conn, queries
from interlock.store.refusals import refusals
from interlock.store.rows import many
from interlock.store.tx import Change, Tx
from interlock.store.work import WorkRequest

Q = queries("group")

MEMBERS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Group:
    """A group with its members, `{id, name, from_claims}` by name. `claim` is what the identity provider calls it."""

    id: str
    name: str
    created_at: datetime
    members: Sequence[Mapping[str, str]]
    claim: str | None = None


async def list_groups(conn: Conn, workspace_id: str, *, limit: int, offset: int) -> tuple[tuple[Group, ...], int]:
    """A page of a workspace's groups by name, and how many there are."""
    total = await conn.fetchval(Q.count_groups, workspace_id)
    return many(Group, await conn.fetch(Q.list_groups, workspace_id, None, limit, offset)), total


async def find_group(conn: Conn, workspace_id: str, *, name: str) -> Group | None:
    """A group by its name."""
    found = many(Group, await conn.fetch(Q.list_groups, workspace_id, name, 1, 0))
    return found[0] if found else None


async def save_group(
    tx: Tx, workspace_id: str, *, name: str, members: Mapping[str, str], claim: str | None = None
) -> Group:
    """Make a group, or give it exactly these members; whom the identity provider put into it stays.

    Takes: principal id -> name. `claim` is what the provider calls the group; None: it has no say.
    Fails: `Invalid` when one of them is no member of the workspace.
    """
    ids = sorted(members)
    strangers = [row["name"] for row in await tx.conn.fetch(Q.list_strangers, workspace_id, ids)]
    if strangers:
        raise Invalid(f"{', '.join(strangers)} is no member of this workspace.", field="members")
    before = await find_group(tx.conn, workspace_id, name=name)
    group_id = before.id if before else new_id()
    had = {member["id"] for member in before.members if not member["from_claims"]} if before else set[str]()
    if before is None or had != set(ids) or before.claim != claim:
        body = {"name": name, "members": len(ids), "joined": len(set(ids) - had), "left": len(had - set(ids))}
        changes = [Change(Q.remove_group_members, (group_id, ids)), Change(Q.add_group_members, (group_id, ids))]
        if before is None:
            changes.insert(0, Change(Q.insert_group, (group_id, workspace_id, name)))
        changes.append(Change(Q.set_claim, (group_id, claim)))
        kind = "group.created" if before is None else "group.changed"
        with refusals():
            await tx.record(changes=changes, events=[Event(kind, Ref("group", group_id), body)])
        await _govern(tx, workspace_id)
    saved = await find_group(tx.conn, workspace_id, name=name)
    assert saved is not None, "just written in this transaction"
    return saved


async def delete_group(tx: Tx, workspace_id: str, *, name: str) -> None:
    """End a group. A rule that names it then waits until one of this name exists again.

    Fails: `NotFound`.
    """
    group = await find_group(tx.conn, workspace_id, name=name)
    if group is None:
        raise NotFound("There is no such group.")
    event = Event("group.deleted", Ref("group", group.id), {"name": name})
    await tx.record(changes=[Change(Q.delete_group, (group.id,))], events=[event])
    await _govern(tx, workspace_id)


async def _govern(tx: Tx, workspace_id: str) -> None:
    """Whose yes counts has changed: nothing that waits is handed over before it is judged again."""
    await tx.record(
        changes=[Change(Q.bump_rules_fence, (workspace_id,))],
        wakes=[WorkRequest("wake", f"policies:{workspace_id}", workspace_id=workspace_id)],
    )

"""Which slot groups are there, how full are they, and who holds them? For the operator who asks why something waits.

What is counted is what rounds count: the rows that moves hold and the targets that matching put into a group. The limit
is that of the rule as it stands now.

Source: core.md section 1, "slot"; STYLE.md rule 16.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from interlock.decide.rules import concurrency, parse_rules
from interlock.inventory.slots import group_of
from interlock.store.queries import Conn, queries
from interlock.store.rows import many

Q = queries("slot")

HOLDERS_MAX = 100
"""Holders that a group names; `held` counts all of them."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A move that holds a slot."""

    key: str
    move_id: str
    kind: str
    state: str
    weight: int
    taken_at: datetime
    target_id: str
    resource: str
    environment: str
    deployment_id: str
    deployment: str
    tag: str


@dataclass(frozen=True, slots=True)
class SlotGroup:
    """A group of targets with its limit.

    Takes: `group` is the text of the rule's `groupBy`, "" where it has none. `limit` is None when the rule is there no
           more. `waiting` are targets that a full group keeps from starting.
    """

    key: str
    policy_id: str
    policy: str
    rule_id: str
    group: str
    limit: int | None
    size: int
    held: int
    waiting: int
    holders: tuple[Holder, ...]


async def list_slot_groups(
    conn: Conn, workspace_id: str, *, limit: int, offset: int
) -> tuple[tuple[SlotGroup, ...], int]:
    """A page of groups: the fullest first, then by policy and key; and how many there are."""
    total = int(await conn.fetchval(Q.count_slot_groups, workspace_id) or 0)
    rows = await conn.fetch(Q.list_slot_groups, workspace_id, limit, offset)
    keys = [row["key"] for row in rows]
    holders: dict[str, list[Holder]] = {}
    for holder in many(Holder, await conn.fetch(Q.list_slot_holders, workspace_id, keys, HOLDERS_MAX)):
        holders.setdefault(holder.key, []).append(holder)
    return tuple(_group(row, tuple(holders.get(row["key"], ()))) for row in rows), total


def _group(row: asyncpg.Record, holders: tuple[Holder, ...]) -> SlotGroup:
    return SlotGroup(
        key=row["key"],
        policy_id=row["policy_id"],
        policy=row["policy"] or "",
        rule_id=row["rule_id"],
        group=group_of(row["key"], policy_id=row["policy_id"], rule_id=row["rule_id"]),
        limit=_limit(row["rule"], row["size"]),
        size=row["size"],
        held=row["held"],
        waiting=row["waiting"],
        holders=holders,
    )


def _limit(wire: Sequence[Mapping[str, Any]], size: int) -> int | None:
    for rule in parse_rules(wire):
        if isinstance(rule.params, concurrency.Params):
            return concurrency.limit_of(rule.params, size)
    return None

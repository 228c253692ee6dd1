"""Which relationship rules are there? Written with the targets whose references follow.

Source: contract.md section c, ctrlplane_relationship_rule; core.md section 2.
"""

from __future__ import annotations

from collections.abc import Mapping

from interlock.model.errors import NotFound
from interlock.model.event import Event, Ref
from interlock.model.variable import RelationshipRule
from interlock.store import targets
from interlock.store.matching import match_after
from interlock.store.ownership import is_known
from interlock.store.queries import Conn, queries
from interlock.store.rows import many, one
from interlock.store.tx import Change, Tx

Q = queries("relationship")


async def find_rule(conn: Conn, workspace_id: str, *, rule_id: str) -> RelationshipRule | None:
    """A rule by id."""
    return one(RelationshipRule, await conn.fetchrow(Q.find_rule, workspace_id, rule_id))


async def list_rules(
    conn: Conn, workspace_id: str, *, limit: int | None, offset: int
) -> tuple[tuple[RelationshipRule, ...], int]:
    """A page of rules in order of creation, and how many there are."""
    total = await conn.fetchval(Q.count_rules, workspace_id)
    return many(RelationshipRule, await conn.fetch(Q.list_rules, workspace_id, limit, offset)), total


async def save_rule(
    tx: Tx,
    workspace_id: str,
    *,
    rule_id: str,
    name: str,
    description: str | None,
    reference: str,
    cel: str,
    metadata: Mapping[str, str],
) -> RelationshipRule:
    """Create or replace a rule by id.

    Fails: `Conflict` when another workspace has the id.
    """
    known = await is_known(tx.conn, Q.find_owner, workspace_id=workspace_id, wanted_id=rule_id)
    row = (rule_id, workspace_id, name, description, reference, cel, dict(metadata))
    kind = "relationship_rule.changed" if known else "relationship_rule.created"
    await tx.record(
        [Change(Q.save_rule, row)],
        events=[Event(kind, Ref("relationship_rule", rule_id), {"name": name, "reference": reference, "cel": cel})],
    )
    await match_after(tx, workspace_id, touched=targets.Touched(references=True))
    return RelationshipRule(rule_id, workspace_id, name, description, reference, cel, metadata)


async def delete_rule(tx: Tx, workspace_id: str, *, rule_id: str) -> RelationshipRule:
    """End a rule, and give it as it was.

    Fails: `NotFound`.
    """
    before = await find_rule(tx.conn, workspace_id, rule_id=rule_id)
    if before is None:
        raise NotFound("There is no such relationship rule.")
    body = {"name": before.name, "reference": before.reference}
    await tx.record(
        [Change(Q.delete_rule, (rule_id,))],
        events=[Event("relationship_rule.deleted", Ref("relationship_rule", rule_id), body)],
    )
    await match_after(tx, workspace_id, touched=targets.Touched(references=True))
    return before

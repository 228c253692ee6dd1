"""Which policies are there, and what does a change of one set in motion?

A policy's rules live in immutable revisions, as the client wrote them: ids, instants and order kept, nothing filled
in. A rule that came without an id gets one. When a rule's id was first stored is remembered: a window without DTSTART
counts from that day.

A change of what a policy says bumps two fences of the workspace: nothing decided before it may be handed over after
it, and targets do not know their policies until they are matched again (core.md 2).

Source: contract.md section c, ctrlplane_policy; core.md sections 2, 4 and 10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from interlock.model.errors import NotFound
from interlock.model.event import Event, Ref
from interlock.model.ids import new_id
from interlock.model.policy_senders import Sender, dropped
from interlock.model.secret import Where
from interlock.store import targets
from interlock.store.ownership import is_known
from interlock.store.queries import Conn, queries
from interlock.store.rows import many, one
from interlock.store.tx import Change, Tx
from interlock.store.work import WorkRequest
from interlock.store.workspaces import Q as WORKSPACE

Q = queries("policy")

MATCHED_AT_ONCE_MAX = 1000
"""A workspace with more targets is matched by the worker alone; until then its rounds hold."""


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """A policy with the rules of its newest revision, as they were written."""

    id: str
    workspace_id: str
    name: str
    description: str | None
    selector: str
    metadata: Mapping[str, str]
    priority: int
    enabled: bool
    mode: str
    revision_id: str
    created_at: datetime
    rules: Sequence[Mapping[str, Any]]
    number: int


@dataclass(frozen=True, slots=True)
class PolicyContent:
    """What a client says of a policy. `rules` are wire objects that were checked."""

    name: str
    description: str | None
    selector: str
    metadata: Mapping[str, str]
    priority: int
    enabled: bool
    mode: str
    rules: Sequence[Mapping[str, Any]]


async def find_policy(conn: Conn, workspace_id: str, *, policy_id: str) -> StoredPolicy | None:
    """A policy by id."""
    return one(StoredPolicy, await conn.fetchrow(Q.find_policy, workspace_id, policy_id))


async def list_policies(
    conn: Conn, workspace_id: str, *, limit: int, offset: int
) -> tuple[tuple[StoredPolicy, ...], int]:
    """A page of policies in order of creation, and how many there are."""
    total = await conn.fetchval(Q.count_policies, workspace_id)
    return many(StoredPolicy, await conn.fetch(Q.list_policies, workspace_id, limit, offset)), total


async def is_taken(conn: Conn, policy_id: str) -> bool:
    """Whether any policy of any workspace has or had this id."""
    return await conn.fetchval(Q.find_owner, policy_id) is not None


async def save_policy(
    tx: Tx,
    workspace_id: str,
    *,
    policy_id: str,
    content: PolicyContent,
    now: datetime,
    author_id: str | None,
    sender: Sender | None = None,
) -> StoredPolicy:
    """Create or replace a policy by id.

    Takes: `now` is what a rule without `createdAt` gets. `sender` is a kind of client that cannot say everything: what
           a policy loses for that reason stands in the event.
    Fails: `Conflict` when another workspace has the id.
    """
    known = await is_known(tx.conn, Q.find_owner, workspace_id=workspace_id, wanted_id=policy_id)
    before = await find_policy(tx.conn, workspace_id, policy_id=policy_id) if known else None
    rules = [_with_identity(rule, policy_id=policy_id, now=now) for rule in content.rules]
    rules = await tx.secrets.seal_document(
        tx.conn, workspace_id, rules, where=Where.RULES, before=before and before.rules, field="rules"
    )
    says_the_same = before is not None and _saying(content, rules) == _saying(before, list(before.rules))
    if says_the_same:
        assert before is not None
        await tx.record(changes=[_update(policy_id, content, revision_id=before.revision_id)])
    else:
        await _lock_deployments_if_few(tx, workspace_id)
        revision_id = new_id()
        number = await tx.conn.fetchval(Q.next_number, policy_id)
        owned = await is_taken(tx.conn, policy_id)
        revision = (revision_id, policy_id, number, content.selector, content.mode, content.enabled, rules, author_id)
        save = _update(policy_id, content, revision_id=revision_id)
        if not owned:
            save = _insert(policy_id, workspace_id, content, revision_id=revision_id)
        body = {"number": number, "enabled": content.enabled, "mode": content.mode, "rules": len(rules)}
        body |= _dropped(before, content, rules=rules, sender=sender)
        await tx.record(
            changes=[
                save,
                Change(Q.insert_revision, revision),
                Change(Q.insert_rules, (policy_id, [str(rule["id"]) for rule in rules])),
            ],
            events=[Event("policy.changed" if known else "policy.created", Ref("policy", policy_id), body)],
        )
        await _govern(tx, workspace_id, policy_id)
    saved = await find_policy(tx.conn, workspace_id, policy_id=policy_id)
    assert saved is not None, "just written in this transaction"
    return saved


async def delete_policy(tx: Tx, workspace_id: str, *, policy_id: str) -> StoredPolicy:
    """End a policy, and give it as it was.

    Fails: `NotFound`.
    """
    before = await find_policy(tx.conn, workspace_id, policy_id=policy_id)
    if before is None:
        raise NotFound("There is no such policy.")
    await _lock_deployments_if_few(tx, workspace_id)
    await tx.record(
        changes=[Change(Q.delete_policy, (policy_id,))],
        events=[Event("policy.deleted", Ref("policy", policy_id), {})],
    )
    await _govern(tx, workspace_id, policy_id)
    return before


async def _govern(tx: Tx, workspace_id: str, policy_id: str) -> None:
    """Bump the fences, match a small workspace at once, and ask for everything else after the commit."""
    await tx.record(
        changes=[Change(WORKSPACE.bump_policies_fence, (workspace_id,))],
        wakes=[
            WorkRequest("match", f"policy:{policy_id}", workspace_id=workspace_id),
            WorkRequest("wake", f"policies:{workspace_id}", workspace_id=workspace_id),
        ],
    )
    if await _is_small(tx.conn, workspace_id):
        await targets.match_targets(tx, workspace_id, targets.Touched(policies=True))


async def _is_small(conn: Conn, workspace_id: str) -> bool:
    return int(await conn.fetchval(Q.count_targets_up_to, workspace_id, MATCHED_AT_ONCE_MAX + 1)) <= MATCHED_AT_ONCE_MAX


async def _lock_deployments_if_few(tx: Tx, workspace_id: str) -> None:
    """A match will write to deployments after the workspace's fence: take their locks first, in order."""
    if await _is_small(tx.conn, workspace_id):
        await tx.conn.execute(Q.lock_deployments, workspace_id)


def _dropped(
    before: StoredPolicy | None, content: PolicyContent, *, rules: Sequence[Mapping[str, Any]], sender: Sender | None
) -> dict[str, object]:
    """What the write took away that its sender could not have said, for its event."""
    if before is None or sender is None:
        return {}
    lost = dropped(before.rules, rules, sender=sender, mode_before=before.mode, mode_after=content.mode)
    return {"sender": sender.name, "dropped": lost} if lost else {}


def _saying(policy: StoredPolicy | PolicyContent, rules: Sequence[Mapping[str, Any]]) -> tuple[object, ...]:
    """What of a policy governs anything."""
    return (policy.selector, policy.enabled, policy.mode, policy.priority, [dict(rule) for rule in rules])


def _with_identity(rule: Mapping[str, Any], *, policy_id: str, now: datetime) -> dict[str, Any]:
    """The rule as it is stored: what the client sent, with the identity that it did not send, and nothing that is
    null.
    """
    kept = {key: _without_nulls(value) for key, value in rule.items() if value is not None}
    kept["id"] = str(kept.get("id") or new_id())
    kept["createdAt"] = kept.get("createdAt") or now.isoformat().replace("+00:00", "Z")
    kept["policyId"] = policy_id
    return kept


def _without_nulls(value: Any) -> Any:
    """Null for an optional means absent, and absent is what must come back."""
    match value:
        case dict():
            return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
        case list():
            return [_without_nulls(inner) for inner in value]
        case _:
            return value


def _insert(policy_id: str, workspace_id: str, content: PolicyContent, *, revision_id: str) -> Change:
    row = (
        policy_id,
        workspace_id,
        content.name,
        content.description,
        content.selector,
        dict(content.metadata),
        content.priority,
        content.enabled,
        content.mode,
        revision_id,
    )
    return Change(Q.insert_policy, row)


def _update(policy_id: str, content: PolicyContent, *, revision_id: str) -> Change:
    row = (
        policy_id,
        content.name,
        content.description,
        content.selector,
        dict(content.metadata),
        content.priority,
        content.enabled,
        content.mode,
        revision_id,
    )
    return Change(Q.update_policy, row)

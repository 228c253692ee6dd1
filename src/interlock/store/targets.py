"""Which targets are there now? Recomputed for what a write touched, inside its own transaction, and once more after
its commit.

What should be there is worked out in `wanted.py`; here the difference is written. Only deployments whose targets really
changed hear of it: their generation goes up, their fence too where something was taken away (a target left, other
policies, another agent).

Two concurrent writes cannot see each other, and each may leave targets behind that the other's objects no longer make.
So every inventory write asks for a second look, which locks the deployments before it reads: what it writes was never
read before somebody else's commit.

A policy that is committed meanwhile must not be missed either: at its end a match shares the workspace's fence of
policies, and works everything out again if it moved.

Source: core.md section 2, "Resolved before deciding"; reference-behaviour.md 2 [RB].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from interlock.model.event import Event, Ref
from interlock.model.ids import new_id
from interlock.store.elsewhere import wake_dependents
from interlock.store.queries import Conn, queries
from interlock.store.tx import Change, Tx
from interlock.store.wanted import Difference, Resolved, Touched, Triple, find_difference
from interlock.store.work import OWN_FACTS, WorkRequest

__all__ = ["MatchOutcome", "Touched", "find_unmatched", "list_concerned", "match_targets"]

Q = queries("match")

AT_ONCE_MAX = 1_000
"""With more targets than this a change of an agent, a variable set or a relationship rule reaches them by its second
look, not in its own transaction."""


@dataclass(frozen=True, slots=True)
class MatchOutcome:
    """What changed: target ids, and the deployments that heard of it."""

    attached: tuple[str, ...] = ()
    detached: tuple[str, ...] = ()
    resolved: tuple[str, ...] = ()
    deployments: tuple[str, ...] = ()


async def match_targets(
    tx: Tx, workspace_id: str, touched: Touched, *, only: Sequence[str] | None = None
) -> MatchOutcome:
    """Bring the stored targets of what was touched to what they should be. Idempotent.

    Takes: `only` are the deployments of a second look: they are locked before anything is read, so that it undoes
           nothing that was committed meanwhile.
    """
    if only is not None:
        await tx.conn.fetch(Q.lock_deployments, sorted(only))
    elif touched.resolution and not touched.policies and await _are_many(tx.conn, workspace_id):
        return MatchOutcome()
    narrowed = only
    if only is None and (touched.variables or touched.references):
        kind = "variables" if touched.variables else "references"
        narrowed = await list_concerned(tx.conn, workspace_id, kind=kind, object_id=workspace_id)
    difference = await find_difference(tx.conn, workspace_id, touched, only=narrowed)
    outcome = await _write(tx, workspace_id, difference)
    if outcome.deployments:
        fence = await tx.conn.fetchval(Q.share_policies_fence, workspace_id)
        if fence != difference.policies_fence:
            again = Touched(policies=True)
            await _write(
                tx, workspace_id, await find_difference(tx.conn, workspace_id, again, only=outcome.deployments)
            )
    if touched.policies and only is None:
        await note_policies_matched(tx, workspace_id, fence=difference.policies_fence)
    return outcome


async def _are_many(conn: Conn, workspace_id: str) -> bool:
    """Whether a workspace has more targets than one request may resolve again."""
    return int(await conn.fetchval(Q.count_targets_up_to, workspace_id, AT_ONCE_MAX + 1)) > AT_ONCE_MAX


async def find_unmatched(conn: Conn, workspace_id: str, touched: Touched, *, only: Sequence[str]) -> tuple[str, ...]:
    """Those of some deployments whose stored targets are not what they should be, in id order."""
    return (await find_difference(conn, workspace_id, touched, only=only)).deployments


async def _write(tx: Tx, workspace_id: str, difference: Difference) -> MatchOutcome:
    """The difference, written; nothing at all when there is none."""
    if not difference.deployments:
        return MatchOutcome()
    takes_away = difference.takes_away_by_deployment
    attach, detach, change = difference.attach, difference.detach, difference.change
    stored, resolved = difference.stored, difference.resolved
    concerned = sorted(takes_away)
    await tx.conn.fetch(Q.lock_deployments, list(difference.deployments))
    ids = {triple: (stored[triple]["id"] if triple in stored else new_id()) for triple in attach}
    await tx.record([*_interned(difference)])
    arrived = await _attach(tx, workspace_id, attach, ids, resolved)
    names, gone = await _names(tx.conn, [*attach, *detach])
    changes = []
    if detach:
        states = ["removed" if any(part in gone for part in triple) else "detached" for triple in detach]
        changes.append(Change(Q.detach_targets, ([stored[triple]["id"] for triple in detach], states)))
    if change or difference.retell:
        changes.append(_resolve((*change, *difference.retell), stored, resolved))
    regrouped = _regroup(difference, ids, workspace_id)
    changes.extend(regrouped)
    if concerned:
        changes.append(Change(Q.bump_deployments, (concerned, [takes_away[one] for one in concerned])))
    events = [
        *(_event("target.attached", ids[triple], triple, names) for triple in attach if ids[triple] in arrived),
        *(
            _event(
                "target.removed" if any(part in gone for part in triple) else "target.detached",
                stored[triple]["id"],
                triple,
                names,
            )
            for triple in detach
        ),
    ]
    wakes = [WorkRequest("round", deployment_id, workspace_id, None, OWN_FACTS) for deployment_id in concerned]
    if regrouped:  # groups grew, or lost a holder
        wakes.append(WorkRequest("wake", f"slots:{workspace_id}", workspace_id))
    await tx.record(changes, events=events, wakes=wakes)
    await wake_dependents(tx, workspace_id, {deployment_id for deployment_id, _, _ in (*attach, *detach)})
    return MatchOutcome(
        tuple(sorted(arrived)),
        tuple(stored[triple]["id"] for triple in detach),
        tuple(stored[triple]["id"] for triple in change),
        tuple(concerned),
    )


def _interned(difference: Difference) -> Iterable[Change]:
    if difference.sets:
        ids = sorted(difference.sets)
        yield Change(Q.insert_policy_sets, (ids, [f"{{{','.join(difference.sets[one])}}}" for one in ids]))
    if difference.configs:
        digests = sorted(difference.configs)
        yield Change(Q.insert_resolved_configs, (digests, [difference.configs[one] for one in digests]))
    if difference.origins:
        digests = sorted(difference.origins)
        yield Change(Q.insert_variable_origins, (digests, [difference.origins[one] for one in digests]))


async def _attach(
    tx: Tx,
    workspace_id: str,
    attach: Sequence[Triple],
    ids: Mapping[Triple, str],
    resolved: Mapping[Triple, Resolved],
) -> frozenset[str]:
    """Insert or attach again. Gives the ids that really changed; a concurrent match may have been first."""
    if not attach:
        return frozenset()
    columns = (
        [ids[triple] for triple in attach],
        [triple[0] for triple in attach],
        [triple[1] for triple in attach],
        [triple[2] for triple in attach],
        [resolved[triple].policy_set for triple in attach],
        [resolved[triple].agent_state for triple in attach],
        [resolved[triple].agent_id for triple in attach],
        [resolved[triple].config_digest for triple in attach],
        [resolved[triple].origin_digest for triple in attach],
    )
    rows = await tx.conn.fetch(Q.attach_targets, workspace_id, *columns)
    return frozenset(row["id"] for row in rows)


async def _names(conn: Conn, triples: Sequence[Triple]) -> tuple[dict[str, str], frozenset[str]]:
    """Of what some targets are made of: id -> name, and the ids that were deleted."""
    if not triples:
        return {}, frozenset()
    rows = await conn.fetch(Q.read_names, sorted({part for triple in triples for part in triple}))
    return {row["id"]: row["name"] for row in rows}, frozenset(row["id"] for row in rows if row["deleted"])


def _resolve(
    change: Sequence[Triple], stored: Mapping[Triple, asyncpg.Record], resolved: Mapping[Triple, Resolved]
) -> Change:
    columns = (
        [stored[triple]["id"] for triple in change],
        [resolved[triple].policy_set for triple in change],
        [resolved[triple].agent_state for triple in change],
        [resolved[triple].agent_id for triple in change],
        [resolved[triple].config_digest for triple in change],
        [resolved[triple].origin_digest for triple in change],
    )
    return Change(Q.resolve_targets, columns)


def _regroup(difference: Difference, ids: Mapping[Triple, str], workspace_id: str) -> list[Change]:
    """The slot groups of the targets that are in others now, and of those that left; nothing where there are none.

    Why:    an open move holds a slot in each group of its target, also in one that a rule made after it started, so
            that what is held is always what is in flight. One whose target left keeps its slots until it ends.
    """
    rows = [
        (ids[triple] if triple in ids else str(difference.stored[triple]["id"]), key)
        for triple in difference.regrouped
        for key in difference.resolved[triple].slot_keys
    ]
    moved = [ids[triple] if triple in ids else difference.stored[triple]["id"] for triple in difference.regrouped]
    left = [row["id"] for row in map(difference.stored.__getitem__, difference.detach)]
    left = [target_id for target_id in left if target_id in difference.slot_keys]
    if not (moved or left):
        return []
    columns = (
        [target_id for target_id, _ in rows],
        [key.policy_id for _, key in rows],
        [key.rule_id for _, key in rows],
        [key.key for _, key in rows],
        [key.why for _, key in rows],
    )
    changes = [Change(Q.delete_slot_keys, ([*moved, *left],))]
    if rows:
        changes.append(Change(Q.insert_slot_keys, (workspace_id, *columns)))
    if moved:
        changes += [
            Change(query, (moved,)) for query in (Q.leave_slot_groups, Q.ensure_slot_groups, Q.join_slot_groups)
        ]
    return changes


def _event(kind: str, target_id: str, triple: Triple, names: Mapping[str, str]) -> Event:
    """A target came or went, told in names where they are known."""
    refs = (Ref("deployment", triple[0]), Ref("environment", triple[1]), Ref("resource", triple[2]))
    words = zip(("deployment", "environment", "target"), triple, strict=True)
    return Event(kind, Ref("target", target_id), {word: names.get(part, part) for word, part in words}, refs)


async def list_concerned(conn: Conn, workspace_id: str, *, kind: str, object_id: str) -> tuple[str, ...]:
    """The deployments that a second look at an object may change, in id order."""
    if kind == "deployment":
        return (object_id,)
    if kind == "environment":
        rows = await conn.fetch(Q.list_deployment_ids_of_environment, object_id)
    elif kind == "variables":
        rows = await conn.fetch(Q.list_deployment_ids_with_variables, workspace_id)
    elif kind == "references":
        rows = await conn.fetch(Q.list_deployment_ids_with_references, workspace_id)
    else:
        rows = await conn.fetch(Q.list_deployment_ids, workspace_id)
    return tuple(row["id"] for row in rows)


async def find_policies_fence(conn: Conn, workspace_id: str) -> int:
    """How many policy writes the workspace has seen."""
    return int(await conn.fetchval(Q.find_policies_fence, workspace_id) or 0)


async def note_policies_matched(tx: Tx, workspace_id: str, *, fence: int) -> None:
    """All targets know the policies of so many writes."""
    await tx.record([Change(Q.set_policies_matched, (workspace_id, fence))])

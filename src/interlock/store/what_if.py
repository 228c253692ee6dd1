"""What would changed policies do, before they are saved? The question, what its answer is worked out from, the answer.

A question is a work item: it may look at many deployments. Only those count that have a target which one of the
policies selects as it stands, or would select as it is proposed; of these as many are decided as `targets_max` allows.
Everything is read in snapshots, and nothing but the answer is written.

Source: decide/what_if.py; core.md section 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from interlock.decide.facts import Facts
from interlock.decide.rules import concurrency, parse_rules
from interlock.decide.rules.gradual_rollout import keys_read
from interlock.decide.what_if import Proposal
from interlock.inventory.selector import Scope, Selector, parse_selector
from interlock.inventory.slots import SlotKey, SlotRule, slot_keys_of
from interlock.inventory.targets import policies_of
from interlock.inventory.views import deployment_view, environment_view
from interlock.model.errors import NotFound
from interlock.model.ids import new_id
from interlock.model.inventory import Deployment, Environment
from interlock.model.policy import Policy
from interlock.model.secret import Where
from interlock.store.facts import load_facts, resource_view
from interlock.store.policies import find_policy
from interlock.store.queries import Conn, queries
from interlock.store.rows import many
from interlock.store.tx import Change, Tx
from interlock.store.work import PEOPLE, WorkRequest

Q = queries("what_if")
FACT = queries("fact")
MATCH = queries("match")


@dataclass(frozen=True, slots=True)
class WhatIf:
    """A question, and its answer when it is there. `proposal` are objects {policyId, policy: … or null}."""

    id: str
    workspace_id: str
    proposal: Sequence[Mapping[str, Any]]
    asked_by: str | None
    asked_at: datetime
    answer: Mapping[str, Any] | None
    answered_at: datetime | None


@dataclass(frozen=True, slots=True)
class Proposed:
    """One policy as it would be. `policy` is None for one that is gone or disabled."""

    policy_id: str
    selector: Selector
    policy: Policy | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A deployment with attached targets. `selected` of them are selected by one of the policies now."""

    id: str
    name: str
    targets: int
    environment_ids: tuple[str, ...]
    selected: int


async def ask_what_if(tx: Tx, workspace_id: str, *, proposal: Sequence[Mapping[str, Any]], asked_by: str | None) -> str:
    """Ask; the answer is worked out after the commit. Gives the question's id."""
    what_if_id = new_id()
    standing = [await find_policy(tx.conn, workspace_id, policy_id=str(one["policyId"])) for one in proposal]
    before = [policy.rules for policy in standing if policy is not None]
    kept = await tx.secrets.seal_document(
        tx.conn, workspace_id, list(proposal), where=Where.RULES, before=before, field="changes"
    )
    await tx.record(
        changes=[Change(Q.insert_what_if, (what_if_id, workspace_id, kept, asked_by))],
        wakes=[WorkRequest("what_if", what_if_id, workspace_id, None, PEOPLE)],
    )
    return what_if_id


async def find_what_if(conn: Conn, what_if_id: str) -> WhatIf | None:
    """A question by id."""
    row = await conn.fetchrow(Q.find_what_if, what_if_id)
    return None if row is None else WhatIf(**row)


async def answer_what_if(tx: Tx, what_if_id: str, *, answer: Mapping[str, Any]) -> None:
    """Write the answer; a second one changes nothing."""
    await tx.record(changes=[Change(Q.answer_what_if, (what_if_id, dict(answer)))])


def proposed(question: WhatIf) -> tuple[Proposed, ...]:
    """The policies as they would be, read again from what was asked."""
    found = []
    for one in question.proposal:
        policy_id, wire = str(one["policyId"]), one["policy"]
        gone = wire is None or not wire.get("enabled", True)
        selector = parse_selector("false" if gone else wire["selector"], Scope.POLICY)
        policy = None
        if not gone:
            rules = tuple(
                replace(rule, id=rule.id or f"{policy_id}#{number}", policy_id=policy_id)
                for number, rule in enumerate(parse_rules(wire["rules"]))
            )
            policy = Policy(policy_id, wire["name"], question.id, rules, observe=wire.get("mode") == "observe")
        found.append(Proposed(policy_id, selector, policy))
    return tuple(found)


async def list_candidates(conn: Conn, workspace_id: str, *, policy_ids: Sequence[str]) -> tuple[Candidate, ...]:
    """The deployments that might be concerned, by name."""
    rows = await conn.fetch(Q.list_candidates, workspace_id, list(policy_ids))
    return tuple(
        Candidate(row["id"], row["name"], row["targets"], tuple(row["environment_ids"]), row["selected"])
        for row in rows
    )


@dataclass(frozen=True, slots=True)
class Matched:
    """What the policies would select of one deployment.

    Takes: `by_target`: target id -> which of them; None where it cannot be told. `slot_keys` and `labels` are what
           their rules would read of a target.
    """

    by_target: Mapping[str, frozenset[str] | None]
    slot_keys: Mapping[str, tuple[SlotKey, ...]]
    labels: Mapping[str, Mapping[str, str]]

    @property
    def selected(self) -> int:
        """How many targets they would select, or might."""
        return sum(1 for ids in self.by_target.values() if ids is None or ids)


async def load_decidable(
    conn: Conn, candidate: Candidate, policies: Sequence[Proposed], matched: Matched
) -> tuple[Facts, datetime, Proposal]:
    """A deployment's facts, their instant, and the proposal as far as it concerns its targets.

    Takes: a connection in a snapshot.
    Fails: `NotFound` when it was deleted meanwhile.
    """
    asking = [one.policy for one in policies if one.policy is not None]
    loaded = await load_facts(conn, candidate.id, asking=asking)
    if loaded is None:
        raise NotFound("The deployment is gone.")
    facts = loaded.facts
    if matched.labels:
        facts = replace(facts, labels_by_target={**facts.labels_by_target, **matched.labels})
    known = {one.policy_id: _remembering(one, facts, loaded.now) for one in policies}
    return facts, loaded.now, Proposal(known, matched.by_target, matched.slot_keys)


def _remembering(one: Proposed, facts: Facts, now: datetime) -> Policy | None:
    """The policy, its rules with the day on which rules with these ids were first stored."""
    if one.policy is None:
        return None
    before = facts.policies.get(one.policy_id)
    stored = {rule.id: rule.first_stored_at for rule in (before.rules if before else ())}
    rules = tuple(replace(rule, first_stored_at=stored.get(rule.id) or now) for rule in one.policy.rules)
    return replace(one.policy, rules=rules)


async def match_candidate(conn: Conn, candidate: Candidate, policies: Sequence[Proposed]) -> Matched | None:
    """What the policies would select of a deployment; None when neither as they are nor as proposed any of it."""
    found_deployments = many(Deployment, await conn.fetch(MATCH.list_deployments, [candidate.id]))
    if not found_deployments:
        return None
    environments = many(Environment, await conn.fetch(MATCH.list_environments, list(candidate.environment_ids)))
    selectors = [(one.policy_id, one.selector) for one in policies]
    in_force = [one.policy for one in policies if one.policy is not None]
    limiting = [
        SlotRule(policy.id, rule.id, rule.params.group_by)
        for policy in in_force
        for rule in policy.rules
        if isinstance(rule.params, concurrency.Params) and not policy.observe
    ]
    keys = keys_read(in_force)
    rows_by_environment: dict[str, list[Any]] = {}
    for row in await conn.fetch(FACT.load_selector_views, candidate.id):
        rows_by_environment.setdefault(row["environment_id"], []).append(row)
    selected: dict[str, frozenset[str] | None] = {}
    slot_keys: dict[str, tuple[SlotKey, ...]] = {}
    labels: dict[str, dict[str, str]] = {}
    seen_deployment = deployment_view(found_deployments[0])
    for environment in environments:
        rows = rows_by_environment.get(environment.id, [])
        views = [resource_view(row) for row in rows]
        seen = environment_view(environment, workspace_id=None)
        found = policies_of(selectors, views, environment=seen, deployment=seen_deployment)
        groups = slot_keys_of(limiting, views, found, environment=seen, deployment=seen_deployment)
        for row, ids, mine in zip(rows, found, groups, strict=True):
            selected[row["target_id"]] = None if ids is None else frozenset(ids)
            if mine:
                slot_keys[row["target_id"]] = mine
            if keys:
                labels[row["target_id"]] = {key: row["metadata"][key] for key in keys if key in row["metadata"]}
    matched = Matched(selected, slot_keys, labels)
    return matched if candidate.selected or matched.selected else None

"""Which targets are there now? Recomputed for what a write touched, inside its own transaction, and once more after
its commit.

A release target is a deployment, an environment and a resource: the first two share a system, and both their
selectors match the resource. With it is worked out what a round will compare and never evaluate: the policies that
select the target (an interned set), its one agent, its resolved config's digest.

Only deployments whose targets really changed hear of it: their generation goes up, their fence too where something
was taken away (a target left, other policies, another agent).

Source: core.md section 2, "Resolved before deciding"; reference-behaviour.md 2 [RB].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from interlock.inventory.selector import Scope, Selector, parse_selector
from interlock.inventory.targets import choose_agent, deep_merge
from interlock.inventory.to_python import Match, match_outcome, matches, predicate
from interlock.inventory.views import deployment_view, environment_view, resource_view
from interlock.model.canonical import digest
from interlock.model.event import Event, Ref
from interlock.model.ids import derived_id, new_id
from interlock.model.inventory import Deployment, Environment, JobAgent, Resource
from interlock.store.queries import Conn, queries
from interlock.store.rows import many
from interlock.store.tx import Change, Tx
from interlock.store.work import OWN_FACTS, WorkRequest

Q = queries("match")

AT_ONCE_MAX = 1_000
"""Up to so many targets a policy's write matches in its own transaction."""


@dataclass(frozen=True, slots=True)
class Touched:
    """Ids of what a write touched. `policies`: some policy of the workspace did."""

    resources: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    deployments: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    policies: bool = False


@dataclass(frozen=True, slots=True)
class MatchOutcome:
    """What changed: target ids, and the deployments that heard of it."""

    attached: tuple[str, ...] = ()
    detached: tuple[str, ...] = ()
    resolved: tuple[str, ...] = ()
    deployments: tuple[str, ...] = ()


Triple = tuple[str, str, str]
"""Deployment, environment, resource."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """What is worked out for a target before any round. `policy_set` None: it cannot be told, which holds."""

    policy_set: str | None
    agent_state: str
    agent_id: str | None
    config_digest: str | None


@dataclass(slots=True)
class Inventory:
    """Everything one match looks at, with each selector parsed once."""

    deployments: Mapping[str, Deployment]
    environments: Mapping[str, Environment]
    agents: tuple[JobAgent, ...]
    policies: tuple[tuple[str, Selector], ...]
    sets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    views: dict[str, dict[str, Any]] = field(default_factory=dict)
    digests: dict[tuple[str, str, int], str] = field(default_factory=dict)

    def resolve(self, deployment_id: str, environment_id: str, resource: Mapping[str, Any]) -> Resolved:
        """A target's policies, agent and config."""
        deployment, environment = self.deployments[deployment_id], self.environments[environment_id]
        subjects = {
            "resource": resource,
            "environment": self._view(environment_id, lambda: environment_view(environment)),
            "deployment": self._view(deployment_id, lambda: deployment_view(deployment)),
        }
        choice = choose_agent(deployment, self.agents, resource)
        if choice.agent is None:
            return Resolved(self._policy_set(subjects), choice.state, None, None)
        config_digest = self._config(deployment, choice.agent, choice.config, choice.entry)
        return Resolved(self._policy_set(subjects), choice.state, choice.agent.id, config_digest)

    def _view(self, key: str, make: Any) -> dict[str, Any]:
        if key not in self.views:
            self.views[key] = make()
        return self.views[key]

    def _policy_set(self, subjects: Mapping[str, Any]) -> str | None:
        picked = []
        for policy_id, selector in self.policies:
            outcome = match_outcome(selector, subjects) if selector.reads_facts else None
            if outcome is Match.UNKNOWN:
                return None
            if outcome is Match.YES or (outcome is None and matches(selector, subjects)):
                picked.append(policy_id)
        set_id = derived_id("policy-set", *picked)
        self.sets[set_id] = tuple(picked)
        return set_id

    def _config(self, deployment: Deployment, agent: JobAgent, own: Mapping[str, Any], entry: int) -> str:
        """The digest of what the deployment's version will run with on this agent; its body is kept for interning."""
        key = (deployment.id, agent.id, entry)
        if key not in self.digests:
            merged = deep_merge(agent.config, own)
            variables: dict[str, Any] = {}
            told = digest({"jobAgentId": agent.id, "jobAgentConfig": merged, "variables": variables})
            self.configs[told] = {
                "jobAgent": {"id": agent.id, "name": agent.name, "type": agent.type},
                "jobAgentConfig": merged,
                "variables": variables,
            }
            self.digests[key] = told
        return self.digests[key]


async def match_targets(
    tx: Tx, workspace_id: str, touched: Touched, *, only: Sequence[str] | None = None
) -> MatchOutcome:
    """Bring the stored targets of what was touched to what they should be. Idempotent.

    Takes: `only` narrows to some deployments, so that a change of many is written 100 deployments a transaction.
    """
    fence = await tx.conn.fetchval(Q.find_policies_fence, workspace_id) if touched.policies else None
    pairs = await _pairs(tx.conn, workspace_id, touched, only)
    inventory = await _load(tx.conn, workspace_id, pairs)
    stored = await _stored(tx.conn, workspace_id, touched, only)
    wanted = await _wanted(tx.conn, workspace_id, touched, pairs, inventory)
    outcome = await _write(tx, workspace_id, inventory, stored, wanted)
    if touched.policies and only is None:
        await tx.record([Change(Q.set_policies_matched, (workspace_id, fence))])
    return outcome


async def _pairs(conn: Conn, workspace_id: str, touched: Touched, only: Sequence[str] | None) -> list[tuple[str, str]]:
    """The deployments and environments that can meet, as far as they are concerned."""
    everything = bool(touched.resources or touched.agents or touched.policies)
    deployments = None if everything else list(touched.deployments)
    environments = None if everything else list(touched.environments)
    rows = await conn.fetch(Q.list_pairs, workspace_id, deployments, environments)
    wanted = None if only is None else frozenset(only)
    return [
        (row["deployment_id"], row["environment_id"])
        for row in rows
        if wanted is None or row["deployment_id"] in wanted
    ]


async def _load(conn: Conn, workspace_id: str, pairs: Sequence[tuple[str, str]]) -> Inventory:
    deployments = many(Deployment, await conn.fetch(Q.list_deployments, sorted({one for one, _ in pairs})))
    environments = many(Environment, await conn.fetch(Q.list_environments, sorted({one for _, one in pairs})))
    agents = many(JobAgent, await conn.fetch(Q.list_agents, workspace_id))
    policies = [
        (row["id"], parse_selector(row["selector"], Scope.POLICY))
        for row in await conn.fetch(Q.list_policies, workspace_id)
    ]
    return Inventory(
        {one.id: one for one in deployments}, {one.id: one for one in environments}, agents, tuple(policies)
    )


async def _stored(
    conn: Conn, workspace_id: str, touched: Touched, only: Sequence[str] | None
) -> dict[Triple, asyncpg.Record]:
    """The stored targets that the touched objects name, by triple."""
    narrowed = None if only is None else list(only)
    groups: list[tuple[list[str] | None, list[str] | None, list[str] | None]] = []
    if touched.agents or touched.policies:
        groups.append((narrowed, None, None))
    else:
        if touched.resources:
            groups.append((narrowed, None, list(touched.resources)))
        if touched.environments:
            groups.append((narrowed, list(touched.environments), None))
        if touched.deployments:
            groups.append((list(touched.deployments), None, None))
    found: dict[Triple, asyncpg.Record] = {}
    for group in groups:
        for row in await conn.fetch(Q.list_stored, workspace_id, *group):
            found[row["deployment_id"], row["environment_id"], row["resource_id"]] = row
    return found


async def _wanted(
    conn: Conn,
    workspace_id: str,
    touched: Touched,
    pairs: Sequence[tuple[str, str]],
    inventory: Inventory,
) -> dict[Triple, dict[str, Any]]:
    """The targets that should be there, each with the view of its resource."""
    some = bool(touched.resources) and not (
        touched.environments or touched.deployments or touched.agents or touched.policies
    )
    if not pairs:
        return {}
    text, args = (Q.list_resources_by_id, (list(touched.resources),)) if some else (Q.list_resources, (workspace_id,))
    views = [resource_view(resource) for resource in many(Resource, await conn.fetch(text, *args))]
    of_deployment: dict[str, list[dict[str, Any]]] = {}
    of_environment: dict[str, frozenset[str]] = {}
    wanted: dict[Triple, dict[str, Any]] = {}
    for deployment_id, environment_id in pairs:
        deployment, environment = inventory.deployments.get(deployment_id), inventory.environments.get(environment_id)
        if deployment is None or environment is None:
            continue
        if deployment_id not in of_deployment:
            of_deployment[deployment_id] = _picked(deployment.resource_selector, views)
        if environment_id not in of_environment:
            of_environment[environment_id] = frozenset(
                view["id"] for view in _picked(environment.resource_selector, views)
            )
        inside = of_environment[environment_id]
        for view in of_deployment[deployment_id]:
            if view["id"] in inside:
                wanted[deployment_id, environment_id, view["id"]] = view
    return wanted


def _picked(selector_text: str, views: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The resources that a selector matches; a text that does not parse any more matches none."""
    selector = parse_selector(selector_text, Scope.RESOURCE)
    one = predicate(selector)
    return [view for view in views if one({"resource": view})]


async def _write(
    tx: Tx,
    workspace_id: str,
    inventory: Inventory,
    stored: Mapping[Triple, asyncpg.Record],
    wanted: Mapping[Triple, dict[str, Any]],
) -> MatchOutcome:
    """The difference, written; nothing at all when there is none."""
    resolved = {triple: inventory.resolve(triple[0], triple[1], view) for triple, view in wanted.items()}
    attach = [triple for triple in sorted(wanted) if triple not in stored or stored[triple]["state"] != "attached"]
    detach = [triple for triple in sorted(stored) if triple not in wanted and stored[triple]["state"] == "attached"]
    change = [
        triple
        for triple in sorted(wanted)
        if triple in stored and stored[triple]["state"] == "attached" and _differs(stored[triple], resolved[triple])
    ]
    takes_away: dict[str, bool] = {triple[0]: False for triple in attach}
    for triple in change:
        row, new = stored[triple], resolved[triple]
        other = (row["policy_set_id"], row["agent_state"]) != (new.policy_set, new.agent_state)
        takes_away[triple[0]] = takes_away.get(triple[0], False) or other
    takes_away.update({triple[0]: True for triple in detach})
    if not takes_away:
        return MatchOutcome()
    concerned = sorted(takes_away)
    await tx.conn.fetch(Q.lock_deployments, concerned)
    changes = [*_interned(inventory)]
    ids = {triple: (stored[triple]["id"] if triple in stored else new_id()) for triple in attach}
    await tx.record(changes)
    arrived = await _attach(tx, workspace_id, attach, ids, resolved)
    names, gone = await _names(tx.conn, [*attach, *detach])
    changes = []
    if detach:
        states = ["removed" if any(part in gone for part in triple) else "detached" for triple in detach]
        changes.append(Change(Q.detach_targets, ([stored[triple]["id"] for triple in detach], states)))
    if change:
        changes.append(_resolve(change, stored, resolved))
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
    await tx.record(changes, events=events, wakes=wakes)
    return MatchOutcome(
        tuple(sorted(arrived)),
        tuple(stored[triple]["id"] for triple in detach),
        tuple(stored[triple]["id"] for triple in change),
        tuple(concerned),
    )


def _differs(row: asyncpg.Record, new: Resolved) -> bool:
    return (row["policy_set_id"], row["agent_state"], row["agent_id"], row["config_digest"]) != (
        new.policy_set,
        new.agent_state,
        new.agent_id,
        new.config_digest,
    )


def _interned(inventory: Inventory) -> Iterable[Change]:
    if inventory.sets:
        ids = sorted(inventory.sets)
        yield Change(Q.insert_policy_sets, (ids, [f"{{{','.join(inventory.sets[one])}}}" for one in ids]))
    if inventory.configs:
        digests = sorted(inventory.configs)
        yield Change(Q.insert_resolved_configs, (digests, [inventory.configs[one] for one in digests]))


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
    )
    return Change(Q.resolve_targets, columns)


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
    else:
        rows = await conn.fetch(Q.list_deployment_ids, workspace_id)
    return tuple(row["id"] for row in rows)


async def find_policies_fence(conn: Conn, workspace_id: str) -> int:
    """How many policy writes the workspace has seen."""
    return int(await conn.fetchval(Q.find_policies_fence, workspace_id) or 0)


async def note_policies_matched(tx: Tx, workspace_id: str, *, fence: int) -> None:
    """All targets know the policies of so many writes."""
    await tx.record([Change(Q.set_policies_matched, (workspace_id, fence))])

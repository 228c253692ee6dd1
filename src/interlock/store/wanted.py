"""Which targets should there be, and what differs from those that are stored? Read, and worked out; nothing is written.

A release target is a deployment, an environment and a resource: the first two share a system, and both their
selectors match the resource. With it is worked out what a round will compare and never evaluate: the policies that
select the target (an interned set), its one agent, its resolved variables, its resolved config's digest.

Only what was touched is looked at. A changed resource is matched alone, against all selectors; for a changed selector
PostgreSQL narrows the resources where the selectors translate (`inventory/to_sql.py`), and a sieve keeps what matches;
a changed policy, agent, variable set or relationship rule leaves the targets as they are and resolves them again.

References are followed for all targets at once: the rules that are named are loaded with the things that they may
relate, and evaluated once for the match (`inventory/relations.py`).

Source: core.md section 2, "Resolved before deciding"; reference-behaviour.md 2 [RB].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from interlock.decide.rules import concurrency, parse_rules
from interlock.inventory import relations
from interlock.inventory.relations import NO_RELATIONS, Relations, entity_of
from interlock.inventory.selector import Scope, Selector, parse_selector
from interlock.inventory.slots import SlotKey, SlotRule, slot_keys_of
from interlock.inventory.targets import AgentChoice, choose_agent, deep_merge, policies_of
from interlock.inventory.to_python import sieve
from interlock.inventory.to_sql import to_sql
from interlock.inventory.variables import UNDECLARED, Declared, Resolution, Variables
from interlock.inventory.views import agent_view, deployment_view, environment_view, resource_view
from interlock.model.canonical import digest
from interlock.model.conduct import without_conduct
from interlock.model.ids import derived_id
from interlock.model.inventory import Deployment, Environment, JobAgent, Resource
from interlock.model.variable import Reference, RelationshipRule, VariableSet, VariableValue, plain_value
from interlock.store.queries import Conn, queries
from interlock.store.rows import many

Q = queries("match")

PAIRS_IN_SQL_MAX = 20
"""With more pairs of deployment and environment than this, PostgreSQL is asked for all resources."""

Triple = tuple[str, str, str]
"""Deployment, environment, resource."""

View = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Touched:
    """Ids of what a write touched. `policies`: some policy of the workspace did; `variables`: a variable set;
    `references`: a relationship rule, or anything that a reference may lead to.
    """

    resources: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    deployments: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    policies: bool = False
    variables: bool = False
    references: bool = False

    @property
    def objects(self) -> bool:
        """Whether targets may come or go."""
        return bool(self.resources or self.environments or self.deployments)

    @property
    def resolution(self) -> bool:
        """Whether what stays a target may have other policies, another agent or other variables."""
        return bool(self.agents) or self.policies or self.variables or self.references


@dataclass(frozen=True, slots=True)
class Resolved:
    """What is worked out for a target before any round. `policy_set` None: it cannot be told, which holds."""

    policy_set: str | None
    agent_state: str
    agent_id: str | None
    config_digest: str | None
    origin_digest: str | None = None
    slot_keys: tuple[SlotKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """What must be written, each in order; `resolved` holds the new values of what attaches or changes.

    Takes: `retell` are targets of which only the words differ that say where their variables came from: no fact of
           their deployment. `sets`, `configs` and `origins` are what has to be interned. `policies_fence` is that of
           the policies seen.
           `slot_keys` are those that are stored: target id -> its slot groups.
    """

    stored: Mapping[Triple, asyncpg.Record]
    resolved: Mapping[Triple, Resolved]
    attach: tuple[Triple, ...]
    detach: tuple[Triple, ...]
    change: tuple[Triple, ...]
    retell: tuple[Triple, ...]
    sets: Mapping[str, tuple[str, ...]]
    configs: Mapping[str, Mapping[str, Any]]
    origins: Mapping[str, Mapping[str, Any]]
    policies_fence: int
    slot_keys: Mapping[str, tuple[SlotKey, ...]] = field(default_factory=dict)

    @property
    def regrouped(self) -> tuple[Triple, ...]:
        """Those that attach or change whose slot groups are not the stored ones."""
        return tuple(
            triple
            for triple in (*self.attach, *self.change)
            if self.resolved[triple].slot_keys != self.slot_keys.get(_id(self.stored, triple), ())
        )

    @property
    def deployments(self) -> tuple[str, ...]:
        """The deployments of which a row must be written, in order."""
        return tuple(sorted({triple[0] for triple in (*self.attach, *self.detach, *self.change, *self.retell)}))

    @property
    def takes_away_by_deployment(self) -> dict[str, bool]:
        """Deployment id -> whether something is taken away: a target left, other policies, another agent's state, other
        slot groups.
        """
        found = dict.fromkeys(sorted({triple[0] for triple in (*self.attach, *self.detach, *self.change)}), False)
        found.update((triple[0], True) for triple in self.detach)
        for triple in self.change:
            row, new = self.stored[triple], self.resolved[triple]
            if (row["policy_set_id"], row["agent_state"]) != (new.policy_set, new.agent_state):
                found[triple[0]] = True
        found.update((triple[0], True) for triple in self.regrouped if triple not in self.attach)
        return found


async def find_difference(
    conn: Conn, workspace_id: str, touched: Touched, *, only: Sequence[str] | None = None
) -> Difference:
    """What the stored targets of what was touched lack or have too many of.

    Takes: `only` narrows to some deployments.
    """
    fence = int(await conn.fetchval(Q.find_policies_fence, workspace_id) or 0)
    narrowed = None if only is None else list(only)
    pairs = await _pairs(conn, workspace_id, touched, narrowed)
    inventory = await _inventory(conn, workspace_id, pairs)
    stored = await _stored(conn, workspace_id, touched, narrowed)
    wanted: dict[tuple[str, str], list[View]] = {}
    if touched.objects:
        wanted = _matching(pairs, inventory, await _resources(conn, workspace_id, touched, pairs, inventory))
    if touched.resolution:
        for pair, views in (await _standing(conn, stored, inventory)).items():
            there = {view["id"] for view in wanted.get(pair, ())}
            wanted.setdefault(pair, []).extend(view for view in views if view["id"] not in there)
    inventory.variables = await _variables(conn, workspace_id, wanted)
    slot_keys = await _slot_keys(conn, workspace_id, stored, inventory)
    return _difference(stored, inventory, wanted, fence, slot_keys)


# What is touched ------------------------------------------------------------------------------------------------------


async def _pairs(conn: Conn, workspace_id: str, touched: Touched, only: list[str] | None) -> list[tuple[str, str]]:
    """The deployments and environments that can meet, as far as they are concerned."""
    everything = bool(touched.resources) or touched.resolution
    deployments = None if everything else list(touched.deployments)
    environments = None if everything else list(touched.environments)
    rows = await conn.fetch(Q.list_pairs, workspace_id, deployments, environments, only)
    return [(row["deployment_id"], row["environment_id"]) for row in rows]


async def _stored(
    conn: Conn, workspace_id: str, touched: Touched, only: list[str] | None
) -> dict[Triple, asyncpg.Record]:
    """The stored targets that the touched objects name, by triple."""
    if touched.resolution:
        rows = await conn.fetch(Q.list_stored, workspace_id, None, None, None, only)
    else:
        groups = (list(touched.deployments), list(touched.environments), list(touched.resources))
        rows = await conn.fetch(Q.list_stored, workspace_id, *groups, only)
    return {(row["deployment_id"], row["environment_id"], row["resource_id"]): row for row in rows}


async def _slot_keys(
    conn: Conn, workspace_id: str, stored: Mapping[Triple, asyncpg.Record], inventory: _Inventory
) -> dict[str, tuple[SlotKey, ...]]:
    """Target id -> its stored slot groups, where the workspace has any or a rule makes some."""
    if not stored or not (inventory.limiting or await conn.fetchval(Q.has_slot_keys, workspace_id)):
        return {}
    found: dict[str, list[SlotKey]] = {}
    known: dict[SlotKey, SlotKey] = {}
    for row in await conn.fetch(Q.list_slot_keys, [row["id"] for row in stored.values()]):
        key = SlotKey(row["policy_id"], row["rule_id"], row["key"], row["why"])
        found.setdefault(row["target_id"], []).append(known.setdefault(key, key))
    return {target_id: tuple(keys) for target_id, keys in found.items()}


@dataclass(slots=True)
class _Inventory:
    """Everything one match looks at, and what it interns on the way."""

    deployments: Mapping[str, Deployment]
    environments: Mapping[str, Environment]
    agents: tuple[JobAgent, ...]
    policies: tuple[tuple[str, Selector], ...]
    variables: Variables = field(default_factory=lambda: Variables({}))
    limiting: tuple[SlotRule, ...] = ()
    sets: dict[str, tuple[str, ...]] = field(default_factory=dict)
    configs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    origins: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _set_ids: dict[tuple[str, ...], str] = field(default_factory=dict)
    _agent_views: dict[str, View] = field(init=False)
    _choices: dict[str, AgentChoice] = field(default_factory=dict)
    _digests: dict[tuple[str, str, int, bytes], str] = field(default_factory=dict)
    _origins: dict[int, tuple[Resolution, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._agent_views = {agent.id: agent_view(agent) for agent in self.agents}

    def resolve(self, deployment_id: str, environment_id: str, resources: Sequence[View]) -> list[Resolved]:
        """The policies, agent and config of the targets of one pair, in the order of the resources."""
        deployment, environment = self.deployments[deployment_id], self.environments[environment_id]
        around = {"environment": environment_view(environment), "deployment": deployment_view(deployment)}
        picked = policies_of(self.policies, resources, **around)
        grouped = slot_keys_of(self.limiting, resources, picked, **around)
        told = self.variables.resolve(around["deployment"], around["environment"], resources)
        found = []
        for policy_ids, slot_keys, view, resolution in zip(picked, grouped, resources, told, strict=True):
            policy_set = None if policy_ids is None else self._policy_set(policy_ids)
            choice = self._choose(deployment, view)
            origin = self._origin(resolution)
            if choice.agent is None:
                found.append(Resolved(policy_set, choice.state, None, None, origin, slot_keys))
            else:
                config_digest = self._config(deployment, choice, choice.agent, resolution)
                found.append(Resolved(policy_set, choice.state, choice.agent.id, config_digest, origin, slot_keys))
        return found

    def _policy_set(self, policy_ids: tuple[str, ...]) -> str:
        if policy_ids not in self._set_ids:
            set_id = derived_id("policy-set", *policy_ids)
            self._set_ids[policy_ids] = set_id
            self.sets[set_id] = policy_ids
        return self._set_ids[policy_ids]

    def _choose(self, deployment: Deployment, resource: View) -> AgentChoice:
        """The agent of a target; asked once a deployment where no selector reads the resource."""
        if deployment.id in self._choices:
            return self._choices[deployment.id]
        choice = choose_agent(deployment, self.agents, resource, views=self._agent_views)
        if not _chooses_by_resource(deployment):
            self._choices[deployment.id] = choice
        return choice

    def _config(self, deployment: Deployment, choice: AgentChoice, agent: JobAgent, resolution: Resolution) -> str:
        """The digest of what a version will run with on this agent; its body is kept for interning."""
        key = (deployment.id, agent.id, choice.entry, resolution.key)
        if key not in self._digests:
            merged = without_conduct(deep_merge(agent.config, choice.config))
            told = digest({"jobAgentId": agent.id, "jobAgentConfig": merged, "variables": resolution.values})
            self.configs[told] = {
                "jobAgent": {"id": agent.id, "name": agent.name, "type": agent.type},
                "jobAgentConfig": merged,
                "variables": resolution.values,
            }
            self._digests[key] = told
        return self._digests[key]

    def _origin(self, resolution: Resolution) -> str | None:
        """The digest of where a target's variables came from; None for one without variables."""
        if resolution is UNDECLARED:
            return None
        if id(resolution) not in self._origins:
            told = digest(resolution.origin)
            self.origins[told] = resolution.origin
            self._origins[id(resolution)] = (resolution, told)
        return self._origins[id(resolution)][1]


def _chooses_by_resource(deployment: Deployment) -> bool:
    texts = [entry.get("selector") or "" for entry in deployment.job_agents or ()] or [deployment.job_agent_selector]
    return any("resource" in parse_selector(text, Scope.JOB_AGENT).roots for text in texts)


async def _inventory(conn: Conn, workspace_id: str, pairs: Sequence[tuple[str, str]]) -> _Inventory:
    deployments = many(Deployment, await conn.fetch(Q.list_deployments, sorted({one for one, _ in pairs})))
    environments = many(Environment, await conn.fetch(Q.list_environments, sorted({one for _, one in pairs})))
    agents = many(JobAgent, await conn.fetch(Q.list_agents, workspace_id))
    policies: list[tuple[str, Selector]] = []
    limiting: list[SlotRule] = []
    for row in await conn.fetch(Q.list_policies, workspace_id):
        policies.append((row["id"], parse_selector(row["selector"], Scope.POLICY)))
        limiting.extend(_slot_rules(row["id"], row["limiting"]))
    return _Inventory(
        {one.id: one for one in deployments},
        {one.id: one for one in environments},
        agents,
        tuple(policies),
        limiting=tuple(limiting),
    )


def _slot_rules(policy_id: str, wire: Sequence[Mapping[str, Any]]) -> Iterable[SlotRule]:
    for rule in parse_rules(wire):
        assert isinstance(rule.params, concurrency.Params), "only such rules were asked for"
        yield SlotRule(policy_id, rule.id, rule.params.group_by)


# Which variables ------------------------------------------------------------------------------------------------------


async def _variables(conn: Conn, workspace_id: str, wanted: Mapping[tuple[str, str], Sequence[View]]) -> Variables:
    """What the variables of these targets are resolved from; one statement where no deployment declares any."""
    deployment_ids = sorted({deployment_id for deployment_id, _ in wanted})
    declared = await _declared(conn, deployment_ids)
    if not declared:
        return Variables({})
    keys = sorted({one.key for each in declared.values() for one in each})
    views = {view["id"]: view for (one, _), each in wanted.items() if one in declared for view in each}
    sets = many(VariableSet, await conn.fetch(Q.list_variable_sets, workspace_id))
    own: dict[str, dict[str, Any]] = {}
    for row in await conn.fetch(Q.list_own_variables, sorted(views), keys):
        own.setdefault(row["resource_id"], {})[row["key"]] = row["value"]
    values = [value.value for each in declared.values() for one in each for value in one.values]
    values += [each["value"] for one in sets for each in one.variables if each["key"] in keys]
    values += [value for each in own.values() for value in each.values()]
    names = {plain.name for plain in map(plain_value, values) if isinstance(plain, Reference)}
    related = await _relations(conn, workspace_id, sorted(names), list(views.values())) if names else NO_RELATIONS
    return Variables(declared, sets=sets, own_by_resource=own, relations=related)


async def _declared(conn: Conn, deployment_ids: Sequence[str]) -> dict[str, list[Declared]]:
    """Deployment id -> the variables that it declares."""
    values: dict[str, list[VariableValue]] = {}
    variables: dict[str, tuple[str, str]] = {}
    for row in await conn.fetch(Q.list_declared, deployment_ids):
        variables[row["id"]] = (row["deployment_id"], row["key"])
        if row["value_id"] is not None:
            value = VariableValue(row["value_id"], row["id"], row["priority"], row["resource_selector"], row["value"])
            values.setdefault(row["id"], []).append(value)
    declared: dict[str, list[Declared]] = {}
    for variable_id, (deployment_id, key) in variables.items():
        declared.setdefault(deployment_id, []).append(Declared(key, tuple(values.get(variable_id, ()))))
    return declared


async def _relations(conn: Conn, workspace_id: str, names: Sequence[str], resources: Sequence[View]) -> Relations:
    """The rules that these references name, with the things that they may relate to these resources."""
    rows = await conn.fetch(Q.list_relationship_rules, workspace_id, names)
    rules = relations.parse_rules(many(RelationshipRule, rows))
    needed = relations.needed(rules, resources)
    entities: list[View] = []
    if needed.resource_kinds is None or needed.resource_kinds:
        kinds = None if needed.resource_kinds is None else sorted(needed.resource_kinds)
        found = await conn.fetch(Q.list_resources_of_kinds, workspace_id, kinds, relations.ENTITIES_MAX + 1)
        if len(found) > relations.ENTITIES_MAX:
            return Relations(rules, (), too_many=True)
        entities += [entity_of("resource", resource_view(each)) for each in many(Resource, found)]
    if needed.deployments:
        deployments = many(Deployment, await conn.fetch(Q.list_all_deployments, workspace_id))
        entities += [entity_of("deployment", deployment_view(each)) for each in deployments]
    if needed.environments:
        environments = many(Environment, await conn.fetch(Q.list_all_environments, workspace_id))
        entities += [
            entity_of("environment", environment_view(each, workspace_id=workspace_id)) for each in environments
        ]
    return Relations(rules, entities)


# Which resources ------------------------------------------------------------------------------------------------------


async def _resources(
    conn: Conn, workspace_id: str, touched: Touched, pairs: Sequence[tuple[str, str]], inventory: _Inventory
) -> list[View]:
    """The resources that may be in a target of what was touched: surely all that are."""
    if not pairs:
        return []
    if touched.resources and not (touched.environments or touched.deployments):
        rows = await conn.fetch(Q.list_resources_by_id, list(touched.resources))
    else:
        narrowed = _narrowed(pairs, inventory) if not touched.resources else None
        text, params = narrowed or ("", [])
        rows = await conn.fetch(Q.list_resources.rstrip().rstrip(";") + text, workspace_id, *params)
    return [resource_view(resource) for resource in many(Resource, rows)]


def _narrowed(pairs: Sequence[tuple[str, str]], inventory: _Inventory) -> tuple[str, list[object]] | None:
    """A condition that every resource of these pairs meets; None when there is no short one."""
    texts = {
        (deployment.resource_selector, environment.resource_selector)
        for deployment, environment in _live(pairs, inventory)
    }
    if len(texts) > PAIRS_IN_SQL_MAX:
        return None
    wheres: list[str] = []
    params: list[object] = []
    for both in sorted(texts):
        selectors = [parse_selector(text, Scope.RESOURCE) for text in dict.fromkeys(both)]
        if any(selector.constant is False for selector in selectors):
            continue
        parts = []
        for selector in selectors:
            fragment = to_sql(selector, first=2 + len(params)) if selector.constant is None else None
            if fragment is not None:
                parts.append(f"({fragment.where})")
                params.extend(fragment.params)
        if not parts:
            return None
        wheres.append(" AND ".join(parts))
    return (f" AND ({' OR '.join(wheres) or 'false'})", params)


def _live(pairs: Iterable[tuple[str, str]], inventory: _Inventory) -> Iterable[tuple[Deployment, Environment]]:
    for deployment_id, environment_id in pairs:
        deployment, environment = inventory.deployments.get(deployment_id), inventory.environments.get(environment_id)
        if deployment is not None and environment is not None:
            yield deployment, environment


def _matching(
    pairs: Sequence[tuple[str, str]], inventory: _Inventory, resources: Sequence[View]
) -> dict[tuple[str, str], list[View]]:
    """The resources of each pair; each selector is asked once."""
    by_text: dict[str, list[View]] = {}
    ids_by_text: dict[str, frozenset[str]] = {}
    wanted: dict[tuple[str, str], list[View]] = {}
    for deployment, environment in _live(pairs, inventory):
        mine, theirs = deployment.resource_selector, environment.resource_selector
        for text in (mine, theirs):
            if text not in by_text:
                by_text[text] = sieve(parse_selector(text, Scope.RESOURCE))(resources)
        if not by_text[mine] or not by_text[theirs]:
            continue
        if theirs not in ids_by_text:
            ids_by_text[theirs] = frozenset(view["id"] for view in by_text[theirs])
        inside = ids_by_text[theirs]
        wanted[deployment.id, environment.id] = [view for view in by_text[mine] if view["id"] in inside]
    return wanted


async def _standing(
    conn: Conn, stored: Mapping[Triple, asyncpg.Record], inventory: _Inventory
) -> dict[tuple[str, str], list[View]]:
    """The resources of the targets that are attached."""
    triples = [triple for triple, row in stored.items() if row["state"] == "attached"]
    if not triples:
        return {}
    rows = await conn.fetch(Q.list_resources_by_id, sorted({triple[2] for triple in triples}))
    views = {resource.id: resource_view(resource) for resource in many(Resource, rows)}
    standing: dict[tuple[str, str], list[View]] = {}
    for deployment_id, environment_id, resource_id in triples:
        known = deployment_id in inventory.deployments and environment_id in inventory.environments
        if known and resource_id in views:
            standing.setdefault((deployment_id, environment_id), []).append(views[resource_id])
    return standing


# The difference -------------------------------------------------------------------------------------------------------


def _difference(
    stored: Mapping[Triple, asyncpg.Record],
    inventory: _Inventory,
    wanted: Mapping[tuple[str, str], Sequence[View]],
    fence: int,
    slot_keys: Mapping[str, tuple[SlotKey, ...]],
) -> Difference:
    resolved: dict[Triple, Resolved] = {}
    for (deployment_id, environment_id), views in wanted.items():
        values = inventory.resolve(deployment_id, environment_id, views)
        for view, value in zip(views, values, strict=True):
            resolved[deployment_id, environment_id, view["id"]] = value
    attached = {triple for triple, row in stored.items() if row["state"] == "attached"}
    standing = sorted(resolved.keys() & attached)
    attach = tuple(sorted(resolved.keys() - attached))
    change = tuple(
        one for one in standing if _differs(stored[one], resolved[one], slot_keys.get(stored[one]["id"], ()))
    )
    told = {*attach, *change}
    retell = tuple(
        one for one in standing if one not in told and stored[one]["origin_digest"] != resolved[one].origin_digest
    )
    written = [resolved[one] for one in (*attach, *change, *retell)]
    configs = {one.config_digest for one in written}
    origins = {one.origin_digest for one in written}
    return Difference(
        stored=stored,
        resolved=resolved,
        attach=attach,
        detach=tuple(sorted(attached - resolved.keys())),
        change=change,
        retell=retell,
        sets=inventory.sets,
        configs={key: body for key, body in inventory.configs.items() if key in configs},
        origins={key: body for key, body in inventory.origins.items() if key in origins},
        policies_fence=fence,
        slot_keys=slot_keys,
    )


def _differs(row: asyncpg.Record, new: Resolved, slot_keys: tuple[SlotKey, ...]) -> bool:
    return (row["policy_set_id"], row["agent_state"], row["agent_id"], row["config_digest"], slot_keys) != (
        new.policy_set,
        new.agent_state,
        new.agent_id,
        new.config_digest,
        new.slot_keys,
    )


def _id(stored: Mapping[Triple, asyncpg.Record], triple: Triple) -> str:
    return str(stored[triple]["id"]) if triple in stored else ""

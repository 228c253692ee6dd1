"""Which release targets should there be, and what is known of each before anything is decided?

A release target is a deployment, an environment and a resource: the first two share a system, and the selectors of both
match the resource. Everything that a round compares and never works out is worked out here, for one target or for many:
the policies that select it, the one agent that does its jobs, and the config it would run with.

    targets_of(...)           the triples that should be there
    diff_targets(...)         what is attached, detached and removed to get there from what is stored
    policies_of(...)          per resource of one deployment and environment, the policies that select the target
    choose_agent(...)         the agent of a target, or why there is none
    deep_merge, resolve_config   what a version runs with on that agent

A target that no longer matches is *detached*: its history stays, and it may come back. One of whose three parts was
deleted is *removed*. Nothing here reads or writes; `store/targets.py` does.

Source: core.md sections 2 and 5; reference-behaviour.md section 2 and its [RB].
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from interlock.inventory.selector import Scope, Selector, parse_selector
from interlock.inventory.to_python import Match, match_outcome, matches, sieve
from interlock.inventory.views import agent_view
from interlock.model.canonical import digest
from interlock.model.conduct import without_conduct
from interlock.model.inventory import Deployment, JobAgent
from interlock.model.secret import is_whole

View: TypeAlias = Mapping[str, Any]

AgentState: TypeAlias = Literal["one", "no_agent", "ambiguous_agent"]
TargetState: TypeAlias = Literal["attached", "detached", "removed"]


class Triple(NamedTuple):
    """What a release target is, in the order in which its rows are kept."""

    deployment_id: str
    environment_id: str
    resource_id: str


class Pair(NamedTuple):
    """A deployment and an environment that share a system: they can meet."""

    deployment_id: str
    environment_id: str


# --- which targets --------------------------------------------------------------------------------------------------


def match_resources(selector: Selector, resources: Sequence[View]) -> frozenset[str]:
    """The ids of the resources that a selector over `resource` matches.

    Costs: 15-60 ms for 100,000.
    """
    return frozenset([view["id"] for view in sieve(selector)(resources)])


def pairs_of(
    systems_by_deployment: Mapping[str, Collection[str]], systems_by_environment: Mapping[str, Collection[str]]
) -> tuple[Pair, ...]:
    """The deployments and environments that share at least one system, each pair once."""
    environments_by_system: dict[str, list[str]] = {}
    for environment_id, systems in systems_by_environment.items():
        for system in systems:
            environments_by_system.setdefault(system, []).append(environment_id)
    met = {
        Pair(deployment_id, environment_id)
        for deployment_id, systems in systems_by_deployment.items()
        for system in systems
        for environment_id in environments_by_system.get(system, ())
    }
    return tuple(sorted(met))


def targets_of(
    pairs: Iterable[Pair],
    resources: Sequence[View],
    *,
    selector_by_deployment: Mapping[str, str],
    selector_by_environment: Mapping[str, str],
) -> frozenset[Triple]:
    """The targets that should be there, as far as these pairs and these resources go.

    Why:    one function for a whole workspace, for one changed selector (its pairs, all resources) and for one changed
            resource (all pairs, that resource): the answer for a part is that part of the whole answer.
    Takes:  a pair whose deployment or environment has no selector text here was deleted, and gives nothing.
    Costs:  one pass over the resources per distinct selector text.
    """
    ids_by_text: dict[str, frozenset[str]] = {}

    def selected(text: str) -> frozenset[str]:
        if text not in ids_by_text:
            ids_by_text[text] = match_resources(parse_selector(text, Scope.RESOURCE), resources)
        return ids_by_text[text]

    return frozenset(
        Triple(deployment_id, environment_id, resource_id)
        for deployment_id, environment_id in pairs
        if deployment_id in selector_by_deployment and environment_id in selector_by_environment
        for resource_id in selected(selector_by_deployment[deployment_id])
        & selected(selector_by_environment[environment_id])
    )


@dataclass(frozen=True, slots=True)
class TargetDiff:
    """What takes the stored targets to the wanted ones, each in order."""

    attached: tuple[Triple, ...] = ()
    detached: tuple[Triple, ...] = ()
    removed: tuple[Triple, ...] = ()


def diff_targets(
    stored: Mapping[Triple, TargetState], wanted: Collection[Triple], *, deleted: Collection[str] = ()
) -> TargetDiff:
    """Compare.

    Takes: `stored` are the known targets of the part that was looked at, `wanted` those of the same part. `deleted` are
           ids of deployments, environments and resources that are gone.
    Gives: nothing at all when nothing changed; a detached target whose part was deleted since becomes removed.
    """
    gone = frozenset(deleted)
    leaving = [triple for triple in sorted(stored) if triple not in wanted]
    return TargetDiff(
        attached=tuple(triple for triple in sorted(wanted) if stored.get(triple) != "attached"),
        detached=tuple(triple for triple in leaving if stored[triple] == "attached" and gone.isdisjoint(triple)),
        removed=tuple(triple for triple in leaving if stored[triple] != "removed" and not gone.isdisjoint(triple)),
    )


# --- which policies -------------------------------------------------------------------------------------------------


def policies_of(
    policies: Iterable[tuple[str, Selector]], resources: Sequence[View], *, environment: View, deployment: View
) -> list[tuple[str, ...] | None]:
    """The ids of the policies that select each target of one deployment and environment, in the order of the resources.

    Why:    what does not read the resource is asked once for all of them.
    Gives:  None for a target for which a policy cannot be told (it reads a fact that is missing, or compares what
            cannot be compared): a policy that might apply holds. Otherwise the ids in order, for `policy_set_key`.
    """
    subjects: dict[str, Any] = {"environment": environment, "deployment": deployment}
    found: list[list[str]] = [[] for _ in resources]
    unknown: set[int] = set()
    for policy_id, selector in policies:
        if "resource" not in selector.roots:
            outcomes = [match_outcome(selector, subjects)] * len(resources)
        else:
            outcomes = [match_outcome(selector, {**subjects, "resource": view}) for view in resources]
        for number, outcome in enumerate(outcomes):
            if outcome is Match.YES:
                found[number].append(policy_id)
            elif outcome is Match.UNKNOWN:
                unknown.add(number)
    return [None if number in unknown else tuple(sorted(ids)) for number, ids in enumerate(found)]


def policy_set_key(policy_ids: Collection[str]) -> str:
    """The digest under which a set of policies is kept once, whatever order it came in."""
    return digest(sorted(policy_ids))


# --- which agent, which config --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AgentChoice:
    """The agent of a target, or why it has none.

    Takes: `config` is what the deployment says for that agent. `entry` is the place in `jobAgents[]`, -1 for
           `jobAgentSelector`.
    """

    state: AgentState
    agent: JobAgent | None
    config: Mapping[str, Any]
    entry: int = -1


def choose_agent(
    deployment: Deployment, agents: Iterable[JobAgent], resource: View, *, views: Mapping[str, View] | None = None
) -> AgentChoice:
    """Pick the one agent.

    Why:    exactly one agent may be told to change a target; none or several is a hold that ends by itself.
    Takes:  the agents of the workspace, in any order; the view of the resource. `views`: agent id -> its view, for who
            asks for many resources.
    """
    agents = tuple(agents)
    if views is None:
        views = {agent.id: agent_view(agent) for agent in agents}
    if deployment.job_agents:
        return _first_entry(deployment, agents, resource, views)
    selector = parse_selector(deployment.job_agent_selector, Scope.JOB_AGENT)
    if selector.constant is False:
        return AgentChoice("no_agent", None, deployment.job_agent_config)
    picked = [agent for agent in agents if matches(selector, {"jobAgent": views[agent.id], "resource": resource})]
    state: AgentState = "one" if len(picked) == 1 else "ambiguous_agent" if picked else "no_agent"
    return AgentChoice(state, picked[0] if state == "one" else None, deployment.job_agent_config)


def _first_entry(
    deployment: Deployment, agents: Iterable[JobAgent], resource: View, views: Mapping[str, View]
) -> AgentChoice:
    """The older form: the first entry whose selector is true; an empty or absent one there means all resources."""
    agent_by_id = {agent.id: agent for agent in agents}
    for number, entry in enumerate(deployment.job_agents or ()):
        agent = agent_by_id.get(str(entry.get("ref")))
        text = entry.get("selector") or ""
        subjects = {"jobAgent": views[agent.id] if agent else {}, "resource": resource}
        if not text.strip() or matches(parse_selector(text, Scope.JOB_AGENT), subjects):
            config = deep_merge(deployment.job_agent_config, entry.get("config") or {})
            return AgentChoice("one" if agent else "no_agent", agent, config, number)
    return AgentChoice("no_agent", None, deployment.job_agent_config)


def deep_merge(*configs: Mapping[str, Any]) -> dict[str, Any]:
    """Merge, later over earlier: maps go into each other, anything else replaces what was there, a secret as a whole.

    Gives: a map of its own; what it holds may be shared with the configs, which stay as they are.
    """
    merged: dict[str, Any] = {}
    for config in configs:
        for key, value in config.items():
            there = merged.get(key)
            if isinstance(there, Mapping) and isinstance(value, Mapping) and not (is_whole(there) or is_whole(value)):
                merged[key] = deep_merge(there, value)
            else:
                merged[key] = value
    return merged


def resolve_config(
    agent: JobAgent,
    own: Mapping[str, Any],
    *,
    version_config: Mapping[str, Any] | None = None,
    variables: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], str]:
    """What a target runs with, and its digest: agent, then deployment, then version.

    Takes: `own` is the config of the `AgentChoice`.
    """
    resolved = {
        "jobAgentId": agent.id,
        "jobAgentConfig": without_conduct(deep_merge(agent.config, own, version_config or {})),
        "variables": dict(variables or {}),
    }
    return resolved, digest(resolved)

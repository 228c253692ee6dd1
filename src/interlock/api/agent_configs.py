"""Does what a deployment or a version brings fit the agents that would get it? Asked when it is written.

A config is merged of an agent's, its deployment's and its version's. Of the part that is written here each value is
checked against the keys of every agent that the deployment names (`agents/keys.py`): a wrong one is refused. What a job
would still lack is told as a warning, because a later part may bring it; unknown keys are no error, because one config
may serve agents of several types.

Which agent gets a target may depend on its resource; then nothing can be said here, and the job says it. So it is with
the entries of workflows, whose configs clients send as maps of texts.

Source: decision record 0030.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from interlock.agents import Agent
from interlock.agents.keys import missing_keys
from interlock.inventory.scope import Scope
from interlock.inventory.selector import parse_selector
from interlock.inventory.targets import deep_merge
from interlock.inventory.to_python import matches
from interlock.inventory.views import agent_view
from interlock.model.errors import FieldError, Invalid
from interlock.model.inventory import JobAgent
from interlock.model.secret import MASK, resolved
from interlock.store import agents
from interlock.store.queries import Conn

Known = Mapping[str, Agent]
"""type -> the agent, as the app was built with."""

AGENTS_MAX = 1_000
"""So many agents of a workspace are looked at."""


async def load_agents(conn: Conn, workspace_id: str) -> tuple[JobAgent, ...]:
    """The workspace's agents."""
    found, _ = await agents.list_agents(conn, workspace_id, limit=AGENTS_MAX, offset=0)
    return found


def picked_by(selector: str, among: Iterable[JobAgent]) -> tuple[JobAgent, ...]:
    """The agents that a deployment's selector picks whatever the resource; none where it asks for the resource."""
    parsed = parse_selector(selector, Scope.JOB_AGENT)
    if "resource" in parsed.roots or parsed.constant is False:
        return ()
    return tuple(agent for agent in among if matches(parsed, {"jobAgent": agent_view(agent), "resource": {}}))


def check_values(known: Known, among: Iterable[JobAgent], config: Mapping[str, Any], *, path: str) -> None:
    """Refuse a config that holds a value which one of these agents would not take.

    Takes: `path` of the config in the request.
    Fails: `Invalid` with the path of each wrong field.
    """
    wrong: dict[tuple[str, str], FieldError] = {}
    given = resolved(config, lambda _: MASK)
    for agent in among:
        kind = known.get(agent.type)
        if kind is None:
            continue
        names = {key.name for key in kind.keys}
        try:
            kind.check_config({name: value for name, value in given.items() if name in names})
        except Invalid as refused:
            for field in refused.fields:
                if field.path.startswith("config."):  # what it has against the agent itself was said when that came
                    at = path + field.path.removeprefix("config")
                    wrong[at, field.message] = FieldError(at, f"{field.message} (Job agent {agent.name}.)")
    if wrong:
        fields = list(wrong.values())
        raise Invalid(f"{fields[0].path}: {fields[0].message}", fields=fields)


def missing_in(known: Known, agent: JobAgent, *configs: Mapping[str, Any]) -> str | None:
    """What a job of this agent lacks, as a sentence; None where it has all."""
    kind = known.get(agent.type)
    if kind is None:
        return None
    missing = missing_keys(deep_merge(agent.config, *configs), kind.keys, of="job")
    if not missing:
        return None
    wanted = ", ".join(f"{key.name} ({key.shape.says()})" for key in missing)
    return f"Jobs of {agent.name} still lack {wanted}. A version's jobAgentConfig may bring it."


def check_deployment(
    known: Known,
    among: Sequence[JobAgent],
    *,
    selector: str,
    config: Mapping[str, Any],
    entries: Sequence[Mapping[str, Any]],
) -> list[str]:
    """Judge what a deployment brings, in either form of naming its agent.

    Takes: `entries` are its `jobAgents`, `{ref, config, selector}`.
    Gives: warnings: what its jobs would still lack.
    Fails: `Invalid`.
    """
    by_id = {agent.id: agent for agent in among}
    warnings: list[str | None] = []
    for number, entry in enumerate(entries):
        agent = by_id.get(str(entry.get("ref")))
        if agent is not None:
            own = entry.get("config") or {}
            check_values(known, [agent], own, path=f"jobAgents[{number}].config")
            check_values(known, [agent], config, path="jobAgentConfig")
            warnings.append(missing_in(known, agent, config, own))
    if not entries:
        picked = picked_by(selector, among)
        check_values(known, picked, config, path="jobAgentConfig")
        warnings += [missing_in(known, agent, config) for agent in picked]
    return sorted({warning for warning in warnings if warning is not None})


def check_version(
    known: Known,
    among: Sequence[JobAgent],
    *,
    selector: str,
    entries: Sequence[Mapping[str, Any]],
    config: Mapping[str, Any],
) -> None:
    """Judge what a version brings for the agents of its deployment.

    Fails: `Invalid`.
    """
    by_id = {agent.id: agent for agent in among}
    named = [by_id[str(entry.get("ref"))] for entry in entries if str(entry.get("ref")) in by_id]
    check_values(known, named if entries else picked_by(selector, among), config, path="jobAgentConfig")

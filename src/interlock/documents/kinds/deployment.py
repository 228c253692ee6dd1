"""Deployment: what is deployed, onto which resources, and who does it.

```yaml
type: Deployment
name: shop-api
system: shop
resourceSelector: resource.kind == "Host"
jobAgent: this-machine
variables:
- key: replicas
  values:
  - value: 2
  - {value: 5, priority: 10, resourceSelector: 'resource.metadata["tier"] == "gold"'}
```

`jobAgent` names an agent; on the wire it is a selector over its id. `variables` is the whole list: what it leaves out
is removed; without it they stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from interlock.client import Wire
from interlock.documents.kind import Body, Kind, Named, Standing, Write, is_same
from interlock.documents.kinds.environment import links
from interlock.documents.kinds.keys import (
    DESCRIPTION,
    METADATA,
    SELECTOR,
    SYSTEMS,
    name_key,
    picked,
    systems_body,
    systems_named,
)
from interlock.documents.kinds.variables import DECLARED, declared_body, in_order, told
from interlock.documents.server import Server, path
from interlock.documents.shapes import NAME, TREE, Choice, Key, List, Object

WIRE = (
    *("name", "description", "resourceSelector", "jobAgentSelector", "jobAgentConfig", "jobAgents", "metadata"),
    "supersede",
)
_BY_ID = re.compile(r'jobAgent\.id == "([0-9a-f-]{36})"')

AGENT_ENTRY = Object(
    {
        "ref": Key(NAME, "Name or id of an agent.", required=True),
        "config": Key(TREE, "Added to the agent's own.", default={}),
        "selector": Key(SELECTOR, "CEL over `jobAgent` and `resource`; empty is always true."),
    }
)


def load(server: Server, names: frozenset[str] | None) -> Iterable[Standing]:
    """Every deployment; variables of those that are asked for."""
    _ = names
    for row in server.client.list_deployments():
        one = row["deployment"]
        body = {**picked(one, *WIRE), **systems_body(each["name"] for each in row["systems"])}
        chosen = _BY_ID.fullmatch(str(one.get("jobAgentSelector") or ""))
        agent = server.name_of("JobAgent", chosen[1]) if chosen else None
        if agent is not None:
            body["jobAgent"] = agent
            del body["jobAgentSelector"]
        for entry in body.get("jobAgents") or ():
            entry["ref"] = server.name_of("JobAgent", entry["ref"]) or entry["ref"]
        full: Wire = {**row, "id": one["id"]}
        if server.wants("Deployment", one["name"], key="variables"):
            full["variables"] = list(server.client.list_deployment_variables(one["id"]))
            body["variables"] = told(full["variables"])
        yield Standing(one["id"], one["name"], {key: value for key, value in body.items() if value != []}, full)


def write(server: Server, body: Body, standing: Standing | None, identity: str) -> Sequence[Write]:
    """Put it by id, link it, and set its variables where they differ."""
    writes = []
    mine = {key: value for key, value in body.items() if key not in {"system", "systems", "variables"}}
    stands = {key: value for key, value in standing.body.items() if key in KIND.keys} if standing else {}
    theirs = {key: value for key, value in stands.items() if key not in {"system", "systems", "variables"}}
    if standing is None or not is_same(mine, KIND.whole(theirs)):
        writes.append(Write("PUT", path("deployments", identity), wire_body(server, body)))
    writes += links(server, "deployments", body, standing, identity)
    wanted = body.get("variables")
    if wanted is not None and not is_same(wanted, stands.get("variables") or []):
        writes.append(Write("PUT", path("deployments", identity, "variables"), {"variables": declared_body(wanted)}))
    return writes


def wire_body(server: Server, body: Body) -> dict[str, Any]:
    """What is sent of a deployment."""
    sent = {"metadata": {}, "jobAgentConfig": {}, **{key: body[key] for key in WIRE if key in body}}
    if "jobAgent" in body:
        sent["jobAgentSelector"] = f'jobAgent.id == "{server.id_of("JobAgent", body["jobAgent"])}"'
    if "jobAgents" in body:
        sent["jobAgents"] = [{**each, "ref": server.id_of("JobAgent", each["ref"])} for each in body["jobAgents"]]
    return {**sent, "slug": body["name"]}


def remove(server: Server, standing: Standing) -> Sequence[Write]:
    """Delete it; what runs is left alone."""
    _ = server
    return [Write("DELETE", path("deployments", standing.id))]


def named(body: Body) -> Iterable[Named]:
    """Systems and agents."""
    yield from systems_named(body)
    if body.get("jobAgent"):
        yield Named(("jobAgent",), "JobAgent", body["jobAgent"])
    for number, each in enumerate(body.get("jobAgents") or ()):
        yield Named(("jobAgents", number, "ref"), "JobAgent", each["ref"])


def settled(body: Body) -> Body:
    """Variables in an order of their own; agents without empty entries."""
    found = dict(body)
    if "variables" in found:
        found["variables"] = in_order(found["variables"])
    if "jobAgents" in found:
        found["jobAgents"] = [_full(each) for each in found["jobAgents"]]
    return found


def _full(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if value not in (None, {}, "")}


KIND = Kind(
    name="Deployment",
    about="What is deployed, onto which resources, and who does it.",
    keys={
        "name": name_key("Its name, unique in the workspace."),
        "description": DESCRIPTION,
        "resourceSelector": Key(SELECTOR, "CEL over `resource`; without one it has no targets.", default="false"),
        "jobAgent": Key(NAME, "The agent that does it, by name."),
        "jobAgentSelector": Key(SELECTOR, "CEL over `jobAgent` and `resource`: the agent for each target.", default=""),
        "jobAgents": Key(List(AGENT_ENTRY), "The older form: the first whose selector is true does it."),
        "jobAgentConfig": Key(TREE, "Added to the agent's own config.", default={}),
        "supersede": Key(Choice(("wait", "cancel")), "What a newer version does to a job that runs.", default="wait"),
        "metadata": METADATA,
        **SYSTEMS,
        "variables": Key(DECLARED, "Which variables it takes, and their values: the whole list.", kept=True),
    },
    one_of=(("system", "systems"), ("jobAgent", "jobAgentSelector", "jobAgents")),
    load=load,
    write=write,
    remove=remove,
    names=named,
    settle=settled,
)

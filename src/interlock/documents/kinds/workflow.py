"""Workflow: jobs that are asked for by name, outside any rollout.

```yaml
type: Workflow
name: restore backup
inputs:
- {key: day, type: string}
jobAgents:
- {name: restore, ref: runner, config: {}, selector: "true"}
```

`ref` names an agent; its selector says for which resources it runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from interlock.documents.kind import Body, Kind, Named, Standing, Write
from interlock.documents.kinds.keys import SELECTOR, name_key, picked
from interlock.documents.server import Server, path
from interlock.documents.shapes import NAME, TREE, Key, List, Map, Object

ENTRY = Object(
    {
        "name": Key(NAME, "Its name.", required=True),
        "ref": Key(NAME, "Name or id of an agent.", required=True),
        "config": Key(TREE, "Added to the agent's own config.", default={}),
        "selector": Key(SELECTOR, "CEL over `resource` and `jobAgent`: for which it runs.", default="true"),
    }
)


def load(server: Server, names: frozenset[str] | None) -> Iterable[Standing]:
    """Every workflow: there are few."""
    _ = names
    for row in server.client.list_workflows():
        entries = [{**each, "ref": server.name_of("JobAgent", each["ref"]) or each["ref"]} for each in row["jobAgents"]]
        body = {**picked(row, "name", "slug", "inputs"), "jobAgents": entries}
        yield Standing(row["id"], row["name"], body, row)


def write(server: Server, body: Body, standing: Standing | None, identity: str) -> Sequence[Write]:
    """Put it, or create it: the server chooses a workflow's id."""
    _ = identity
    entries = [
        {"config": {}, "selector": "true", **each, "ref": server.id_of("JobAgent", each["ref"])}
        for each in body.get("jobAgents") or ()
    ]
    sent: dict[str, Any] = {"inputs": [], **body, "jobAgents": entries}
    if standing is None:
        return [Write("POST", "workflows", sent)]
    return [Write("PUT", path("workflows", standing.id), sent)]


def remove(server: Server, standing: Standing) -> Sequence[Write]:
    """Delete it; jobs of its runs go on."""
    _ = server
    return [Write("DELETE", path("workflows", standing.id))]


def named(body: Body) -> Iterable[Named]:
    """Its agents."""
    for number, each in enumerate(body.get("jobAgents") or ()):
        yield Named(("jobAgents", number, "ref"), "JobAgent", each["ref"])


def filled(body: Body) -> Body:
    """Its entries with what they leave out."""
    entries = [{"config": {}, "selector": "true", **each} for each in body.get("jobAgents") or ()]
    return {**body, "jobAgents": entries}


KIND = Kind(
    name="Workflow",
    about="Jobs that are asked for by name, outside any rollout.",
    keys={
        "name": name_key("Its name."),
        "slug": Key(NAME, "Its short name, unique in the workspace; made of the name at first.", kept=True),
        "inputs": Key(List(Map(), items_max=200), "What a run is asked for with.", default=[]),
        "jobAgents": Key(List(ENTRY, items_max=200), "Who does it, and for which resources.", default=[]),
    },
    load=load,
    write=write,
    remove=remove,
    names=named,
    settle=filled,
)

"""VariableSet: values for the variables of many deployments.

```yaml
type: VariableSet
name: europe
selector: environment.name.startsWith("eu-")
priority: 10
variables:
  region: eu
  network: {reference: network, path: [config, cidr]}
```
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from interlock.documents.kind import Body, Kind, Standing, Write
from interlock.documents.kinds.keys import DESCRIPTION, PRIORITY_ABOUT, SELECTOR, name_key, picked
from interlock.documents.kinds.variables import offered_body, told_value, unwrapped
from interlock.documents.server import Server, path
from interlock.documents.shapes import TREE, Key, Whole


def load(server: Server, names: frozenset[str] | None) -> Iterable[Standing]:
    """Every set: there are few."""
    _ = names
    for row in server.client.list_variable_sets():
        body = picked(row, "name", "description", "selector", "priority")
        body["variables"] = {each["key"]: told_value(each) for each in row["variables"]}
        yield Standing(row["id"], row["name"], body, row)


def write(server: Server, body: Body, standing: Standing | None, identity: str) -> Sequence[Write]:
    """Put it, or create it: the server chooses a set's id."""
    _ = server, identity
    sent = {"description": "", "priority": 0, **body, "variables": offered_body(body.get("variables") or {})}
    if standing is None:
        return [Write("POST", "variable-sets", sent)]
    return [Write("PUT", path("variable-sets", standing.id), sent)]


def remove(server: Server, standing: Standing) -> Sequence[Write]:
    """Delete it; what took its values takes the next ones."""
    _ = server
    return [Write("DELETE", path("variable-sets", standing.id))]


def plain_values(body: Body) -> Body:
    """Values without the wire's wrapping."""
    values = body.get("variables") or {}
    return {**body, "variables": {key: unwrapped(value) for key, value in values.items()}}


KIND = Kind(
    name="VariableSet",
    about="Values for the variables of many deployments.",
    keys={
        "name": name_key("Its name."),
        "description": Key(DESCRIPTION.shape, DESCRIPTION.about, default=""),
        "selector": Key(SELECTOR, "CEL over `resource`, `deployment`, `environment`: where it counts.", required=True),
        "priority": Key(Whole(), PRIORITY_ABOUT, default=0),
        "variables": Key(TREE, "Key to value; `{reference, path}` refers to what is related.", default={}),
    },
    load=load,
    write=write,
    remove=remove,
    settle=plain_values,
)

"""Resource: somewhere that something can be deployed to.

```yaml
type: Resource
identifier: prod-eu-1
name: prod-eu-1
kind: Host
version: example.com/host/v1
metadata: {stage: production, region: eu}
config: {port: 7201}
variables: {replicas: 2}
provider: inventory
```

`kind` is the resource's own kind, so the document's is always `type`. One with a `provider` joins what that provider
offers; what else the provider offers stays, unless `--prune --provider` says that these files have all of it.
`variables` is all of its variables; without it they stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from interlock.documents.kind import Body, Kind, Standing, Write, is_same
from interlock.documents.kinds.keys import METADATA, name_key, picked
from interlock.documents.kinds.variables import told_value, unwrapped
from interlock.documents.server import Server, path
from interlock.documents.shapes import NAME, TREE, Key, Text

WIRE = ("name", "kind", "version", "config", "metadata")
ONE_BY_ONE_MAX = 40
"""Beyond so many, all resources are read page by page: a page holds a thousand."""

CONTENT = {
    "identifier": Key(NAME, "What it is known by, in the whole workspace.", required=True),
    "name": name_key("What people call it."),
    "kind": Key(Text(inked=True), "What it is: a Host, a KubernetesCluster, …", required=True),
    "version": Key(Text(inked=True), "Of which form `config` is: example.com/host/v1.", required=True),
    "config": Key(TREE, "What agents and selectors read.", default={}),
    "metadata": METADATA,
}
VARIABLES = Key(TREE, "All of its variables, key to value.", kept=True)


def load(server: Server, names: frozenset[str] | None) -> Iterable[Standing]:
    """The resources of these identifiers, or all; variables of those that are asked for."""
    if names is not None and len(names) <= ONE_BY_ONE_MAX:
        found = (server.client.find_resource(name) for name in sorted(names))
        rows = [row for row in found if row is not None]
    else:
        rows = [row for row in server.client.list_resources() if names is None or row["identifier"] in names]
    for row in rows:
        body = picked(row, "identifier", *WIRE)
        if row.get("providerId"):
            body["provider"] = server.name_of("ResourceProvider", row["providerId"]) or row["providerId"]
        if server.wants("Resource", row["identifier"], key="variables"):
            body["variables"] = variables_of(server, row["identifier"])
        yield Standing(row["identifier"], row["identifier"], body, row)


def variables_of(server: Server, identifier: str) -> dict[str, Any]:
    """The variables of a resource, key to value."""
    return {each["key"]: told_value(each) for each in server.client.list_resource_variables(identifier)}


def content(body: Body) -> dict[str, Any]:
    """What a provider's list says of a resource."""
    return {"config": {}, "metadata": {}, **picked(body, "identifier", *WIRE)}


def write(server: Server, body: Body, standing: Standing | None, identity: str) -> Sequence[Write]:
    """Put it by identifier. A provider's content comes with the provider's list; here only its variables."""
    _ = identity
    identifier = body["identifier"]
    wanted = body.get("variables")
    if not server.mentions("Resource", identifier, key="provider"):
        sent = {key: value for key, value in content(body).items() if key != "identifier"}
        more = {} if wanted is None else {"variables": wanted}
        return [Write("PUT", path("resources", "identifier", identifier), {**sent, **more})]
    stands = standing.body.get("variables") if standing else None
    if wanted is None or is_same(wanted, stands or {}):
        return []
    return [Write("PATCH", path("resources", "identifier", identifier, "variables"), wanted)]


def remove(server: Server, standing: Standing) -> Sequence[Write]:
    """Delete it; its targets are detached and their history stays."""
    _ = server
    return [Write("DELETE", path("resources", "identifier", standing.id))]


def plain_values(body: Body) -> Body:
    """Variables without the wire's wrapping."""
    values: Mapping[str, Any] | None = body.get("variables")
    return body if values is None else {**body, "variables": {key: unwrapped(each) for key, each in values.items()}}


KIND = Kind(
    name="Resource",
    about="Somewhere that something can be deployed to.",
    keys={
        **CONTENT,
        "variables": VARIABLES,
        "provider": Key(NAME, "The provider that offers it.", kept=True),
    },
    known_by="identifier",
    load=load,
    write=write,
    remove=remove,
    settle=plain_values,
)

"""ResourceProvider: who says which resources there are. Its `resources`, where written, are all that it offers.

```yaml
type: ResourceProvider
name: inventory
resources:
- {identifier: host/two, name: two, kind: Host, version: v1}
```

A provider has one list, sent as one request: what stands in `resources`, and every Resource document that names it.
Without `resources` the rest of what it offers stays; with `resources`, or under `--prune --provider`, the rest goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from interlock.documents.kind import Body, Kind, Standing, Write, is_same
from interlock.documents.kinds.keys import METADATA, name_key, picked
from interlock.documents.kinds.resource import CONTENT, VARIABLES, content, variables_of
from interlock.documents.server import Server, path
from interlock.documents.shapes import Key, List, Object


def load(server: Server, names: frozenset[str] | None) -> Iterable[Standing]:
    """The providers of these names, or all; what each offers where that is wanted."""
    if names is None:
        rows = list(server.client.list_resource_providers())
    else:
        found = (server.client.find_resource_provider(name) for name in sorted(names))
        rows = [row for row in found if row is not None]
    for row in rows:
        body = picked(row, "name", "metadata")
        if server.wants("ResourceProvider", row["name"], key="resources"):
            offers = server.client.list_provider_resources(row["name"])
            wanted = _with_variables(server, row["name"])
            body["resources"] = [
                {**picked(each, *CONTENT), **_variables(server, each["identifier"], wanted)} for each in offers
            ]
        yield Standing(row["id"], row["name"], body, row)


def _with_variables(server: Server, name: str) -> frozenset[str]:
    """The identifiers of the list whose variables a document says."""
    document = server.described.get(("ResourceProvider", name))
    listed = document.body.get("resources") or () if document else ()
    return frozenset(each["identifier"] for each in listed if each.get("variables") is not None)


def _variables(server: Server, identifier: str, wanted: frozenset[str]) -> dict[str, Any]:
    return {"variables": variables_of(server, identifier)} if server.full or identifier in wanted else {}


def write(server: Server, body: Body, standing: Standing | None, identity: str) -> Sequence[Write]:
    """Put it by name, set its list, then the variables of what it offers."""
    writes = []
    mine = picked(body, "name", "metadata")
    stands = KIND.whole(standing.body) if standing else {}
    if standing is None or not is_same(mine, picked(stands, "name", "metadata")):
        writes.append(Write("PUT", "resource-providers", {"metadata": {}, **mine, "id": identity}))
    if "resources" not in body:
        return writes
    wanted = [content(each) for each in body["resources"]]
    there = [content(each) for each in stands.get("resources") or ()]
    if not is_same(wanted, there):
        writes.append(Write("PUT", path("resource-providers", identity, "set"), {"resources": wanted}))
    known = {each["identifier"]: each.get("variables") for each in stands.get("resources") or ()}
    for each in body["resources"]:
        values = each.get("variables")
        if values is not None and not is_same(values, known.get(each["identifier"]) or {}):
            writes.append(Write("PATCH", path("resources", "identifier", each["identifier"], "variables"), values))
    return writes


def remove(server: Server, standing: Standing) -> Sequence[Write]:
    """Take away what it offers, then itself."""
    _ = server
    return [
        Write("PUT", path("resource-providers", standing.id, "set"), {"resources": []}),
        Write("DELETE", path("resource-providers", "name", standing.name)),
    ]


def filled(body: Body) -> Body:
    """Each resource of the list with nothing written that is a default, and no empty variables."""
    if body.get("resources") is None:
        return body
    return {**body, "resources": [_short(each) for each in body["resources"]]}


def _short(each: Mapping[str, Any]) -> dict[str, Any]:
    return {key: each[key] for key in OFFERED.keys if each.get(key) not in (None, {})}


OFFERED = Object({**CONTENT, "variables": VARIABLES})

KIND = Kind(
    name="ResourceProvider",
    about="Who says which resources there are.",
    keys={
        "name": name_key("Its name."),
        "metadata": METADATA,
        "resources": Key(
            List(OFFERED), "All that it offers, in this order; without it nothing is taken away.", kept=True
        ),
    },
    load=load,
    write=write,
    remove=remove,
    settle=filled,
)

"""Environment: where to, chosen by what stands on resources.

```yaml
type: Environment
name: production
system: shop
resourceSelector: resource.metadata.stage == "production"
```

Links to systems that a document does not name stay: others may have made them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from interlock.documents.kind import Body, Kind, Standing, Write
from interlock.documents.kinds.keys import (
    DESCRIPTION,
    METADATA,
    SELECTOR,
    SYSTEMS,
    name_key,
    picked,
    system_names,
    systems_body,
    systems_named,
)
from interlock.documents.server import Server, path
from interlock.documents.shapes import Key

WIRE = ("name", "description", "resourceSelector", "metadata")


def load(server: Server, names: frozenset[str] | None) -> Iterable[Standing]:
    """Every environment."""
    _ = names
    for row in server.client.list_environments():
        body = {**picked(row, *WIRE), **systems_body(each["name"] for each in row["systems"])}
        yield Standing(row["id"], row["name"], body, row)


def write(server: Server, body: Body, standing: Standing | None, identity: str) -> Sequence[Write]:
    """Put it by id, then link it."""
    sent = {key: body[key] for key in WIRE if key in body}
    put = Write("PUT", path("environments", identity), {"metadata": {}, **sent})
    return [put, *links(server, "environments", body, standing, identity)]


def links(server: Server, noun: str, body: Body, standing: Standing | None, identity: str) -> list[Write]:
    """The links that are missing."""
    linked = {each["id"] for each in standing.row["systems"]} if standing else set()
    wanted = [server.id_of("System", name) for name in system_names(body)]
    return [Write("PUT", path("systems", each, noun, identity)) for each in wanted if each not in linked]


def remove(server: Server, standing: Standing) -> Sequence[Write]:
    """Delete it; what runs there is left alone."""
    _ = server
    return [Write("DELETE", path("environments", standing.id))]


KIND = Kind(
    name="Environment",
    about="Where to: the resources that its selector matches.",
    keys={
        "name": name_key("Its name, unique in the workspace."),
        "description": DESCRIPTION,
        "resourceSelector": Key(SELECTOR, "CEL over `resource`; without one it has none.", default="false"),
        "metadata": METADATA,
        **SYSTEMS,
    },
    one_of=(("system", "systems"),),
    load=load,
    write=write,
    remove=remove,
    names=systems_named,
)

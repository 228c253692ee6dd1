"""Role: a named set of permissions that a workspace makes itself. Who holds it is said where members are.

```yaml
type: Role
name: releaser
description: Brings versions out, and changes nothing else.
permissions: [version:write]
```
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from interlock.documents.kind import Body, Kind, Standing, Write
from interlock.documents.kinds.keys import DESCRIPTION, name_key, picked
from interlock.documents.server import Server, path
from interlock.documents.shapes import NAME, Key, List


def load(server: Server, names: frozenset[str] | None) -> Iterable[Standing]:
    """The workspace's own roles; of the built-in ones those that are described, so that nobody thinks them new."""
    for row in server.client.list_roles():
        if not row["builtIn"] or row["name"] in (names or ()):
            yield Standing(row["name"], row["name"], picked(row, "name", "description", "permissions"), row)


def write(server: Server, body: Body, standing: Standing | None, identity: str) -> Sequence[Write]:
    """Put it by name."""
    _ = server, standing, identity
    return [Write("PUT", path("roles", body["name"]), picked(body, "description", "permissions"))]


def remove(server: Server, standing: Standing) -> Sequence[Write]:
    """Delete it by name."""
    _ = server
    return [Write("DELETE", path("roles", standing.name))]


def in_order(body: Body) -> Body:
    """Permissions in an order of their own; `read` is in every role."""
    return {**body, "permissions": sorted({"read", *(body.get("permissions") or ())})}


KIND = Kind(
    name="Role",
    about="A named set of permissions that a workspace makes itself.",
    keys={
        "name": name_key("Its name; the built-in ones stay what they are."),
        "description": Key(DESCRIPTION.shape, DESCRIPTION.about, default=""),
        "permissions": Key(List(NAME, items_min=1, items_max=100), "What it carries.", required=True),
    },
    load=load,
    write=write,
    remove=remove,
    settle=in_order,
)

"""Group: people who are asked together. A policy's `anyApproval.approverGroup` names one.

```yaml
type: Group
name: sre-leads
members: [ada, bea]
```
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from interlock.documents.kind import Body, Kind, Standing, Write
from interlock.documents.kinds.keys import name_key
from interlock.documents.server import Server, path
from interlock.documents.shapes import NAME, Key, List


def load(server: Server, names: frozenset[str] | None) -> Iterable[Standing]:
    """Every group: there are few."""
    _ = names
    for row in server.client.list_groups():
        members = sorted(str(each["name"]) for each in row["members"])
        yield Standing(row["id"], row["name"], {"name": row["name"], "members": members}, row)


def write(server: Server, body: Body, standing: Standing | None, identity: str) -> Sequence[Write]:
    """Put it by name."""
    _ = server, standing, identity
    return [Write("PUT", path("groups", body["name"]), {"members": list(body.get("members") or ())})]


def remove(server: Server, standing: Standing) -> Sequence[Write]:
    """Delete it by name."""
    _ = server
    return [Write("DELETE", path("groups", standing.name))]


def in_order(body: Body) -> Body:
    """Members in an order of their own: who is in it has none."""
    return {**body, "members": sorted(set(body.get("members") or ()))}


KIND = Kind(
    name="Group",
    about="People who are asked together.",
    keys={
        "name": name_key("Its name."),
        "members": Key(List(NAME, items_max=1000), "User names, exactly these.", default=[]),
    },
    load=load,
    write=write,
    remove=remove,
    settle=in_order,
)

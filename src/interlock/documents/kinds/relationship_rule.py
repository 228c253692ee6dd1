"""RelationshipRule: which resources, deployments and environments belong together, so that variables can refer.

```yaml
type: RelationshipRule
name: host to network
reference: network
cel: from.kind == "Host" && to.kind == "Network" && from.metadata.net == to.name
```
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from interlock.documents.kind import Body, Kind, Standing, Write
from interlock.documents.kinds.keys import DESCRIPTION, METADATA, SELECTOR, name_key, picked
from interlock.documents.server import Server, path
from interlock.documents.shapes import NAME, Key


def load(server: Server, names: frozenset[str] | None) -> Iterable[Standing]:
    """Every rule: there are few."""
    _ = names
    for row in server.client.list_relationship_rules():
        body = picked(row, "name", "description", "reference", "cel", "metadata")
        yield Standing(row["id"], row["name"], body, row)


def write(server: Server, body: Body, standing: Standing | None, identity: str) -> Sequence[Write]:
    """Put it by id."""
    _ = server, standing
    return [Write("PUT", path("relationship-rules", identity), {"metadata": {}, **body})]


def remove(server: Server, standing: Standing) -> Sequence[Write]:
    """Delete it; what referred by it has no value any more."""
    _ = server
    return [Write("DELETE", path("relationship-rules", standing.id))]


KIND = Kind(
    name="RelationshipRule",
    about="What belongs together, so that variables can refer from one to the other.",
    keys={
        "name": name_key("Its name."),
        "description": DESCRIPTION,
        "reference": Key(NAME, "The word by which variables refer.", required=True),
        "cel": Key(SELECTOR, "CEL over `from` and `to`.", required=True),
        "metadata": METADATA,
    },
    load=load,
    write=write,
    remove=remove,
)

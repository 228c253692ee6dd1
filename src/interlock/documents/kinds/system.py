"""System: what belongs together, as a product or a team does.

```yaml
type: System
name: shop
description: Everything a customer sees.
metadata: {team: shop}
```
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from interlock.documents.kind import Body, Kind, Standing, Write
from interlock.documents.kinds.keys import DESCRIPTION, METADATA, name_key, picked
from interlock.documents.server import Server, path


def load(server: Server, names: frozenset[str] | None) -> Iterable[Standing]:
    """Every system: there are few."""
    _ = names
    for row in server.client.list_systems():
        yield Standing(row["id"], row["name"], picked(row, "name", "description", "metadata"), row)


def write(server: Server, body: Body, standing: Standing | None, identity: str) -> Sequence[Write]:
    """Put it by id."""
    _ = server, standing
    return [Write("PUT", path("systems", identity), {"metadata": {}, **body})]


def remove(server: Server, standing: Standing) -> Sequence[Write]:
    """Delete it; what it links stays."""
    _ = server
    return [Write("DELETE", path("systems", standing.id))]


KIND = Kind(
    name="System",
    about="What belongs together: environments and deployments meet where they share a system.",
    keys={"name": name_key("Its name."), "description": DESCRIPTION, "metadata": METADATA},
    load=load,
    write=write,
    remove=remove,
)

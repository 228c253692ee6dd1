"""JobAgent: who does the work. `agentType` is its kind (`type` says that this is a JobAgent).

```yaml
type: JobAgent
name: rehearsal
agentType: test-runner
config: {delaySeconds: 5}
```
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from interlock.documents.kind import Body, Kind, Standing, Write
from interlock.documents.kinds.keys import METADATA, name_key, picked
from interlock.documents.server import Server, path
from interlock.documents.shapes import NAME, TREE, Key


def load(server: Server, names: frozenset[str] | None) -> Iterable[Standing]:
    """Every agent: there are few."""
    _ = names
    for row in server.client.list_job_agents():
        body = {**picked(row, "name", "config", "metadata"), "agentType": row["type"]}
        yield Standing(row["id"], row["name"], body, row)


def write(server: Server, body: Body, standing: Standing | None, identity: str) -> Sequence[Write]:
    """Put it by id."""
    _ = server, standing
    sent = {"config": {}, "metadata": {}, **{key: value for key, value in body.items() if key != "agentType"}}
    return [Write("PUT", path("job-agents", identity), {**sent, "type": body["agentType"]})]


def remove(server: Server, standing: Standing) -> Sequence[Write]:
    """Delete it; what chose it holds until another fits."""
    _ = server
    return [Write("DELETE", path("job-agents", standing.id))]


KIND = Kind(
    name="JobAgent",
    about="Who does the work: a command, a pull agent, and what else there is.",
    keys={
        "name": name_key("Its name."),
        "agentType": Key(NAME, "What kind of agent: exec, http-pull, test-runner, …", required=True),
        "config": Key(TREE, "What the agent's own page says.", default={}),
        "metadata": METADATA,
    },
    load=load,
    write=write,
    remove=remove,
)

"""What can be asked of a server? One method per question, in the words of the contract.

The methods stand where their nouns do: `inventory.py`, `variables.py`, `policies.py`, `versions.py`, `targets.py`,
`tasks.py`, `verifications.py`, `steering.py`, `answers.py`, `subscriptions.py`, `people.py`; what they answer stands in
`shapes.py`.

Lookups by name (`find_…`) give None when there is nothing of that name; everything else raises what `calls.py`
says. A workspace may be given by id or by slug; the server takes both wherever a workspace's id is expected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from interlock.client.access import Access
from interlock.client.answers import Answers
from interlock.client.calls import RETRIES_MAX, Calls, Wire, path
from interlock.client.inventory import Inventory
from interlock.client.people import People
from interlock.client.policies import Policies
from interlock.client.slos import Slos
from interlock.client.steering import Steering
from interlock.client.subscriptions import Subscriptions
from interlock.client.targets import Targets
from interlock.client.tasks import Tasks
from interlock.client.transport import Carries
from interlock.client.variables import Variables
from interlock.client.verifications import Verifications
from interlock.client.versions import Versions
from interlock.client.workflows import Workflows

if TYPE_CHECKING:
    from interlock.client.shapes import Workspace


APPLY_S = 60.0
APPLY_EACH_S = 0.1
"""How long `apply` may take: ten times what its requests take on a machine with nothing else to do, and a minute."""


class Client(
    Inventory,
    Variables,
    Policies,
    Versions,
    Targets,
    Tasks,
    Slos,
    Verifications,
    Steering,
    Answers,
    Subscriptions,
    People,
    Access,
    Workflows,
):
    """One workspace of one server, with one key.

    Takes: `workspace` is an id or a slug; `timeout_s` bounds each try; `retries_max` is how often what is harmless to
           ask twice is asked again (`calls.py`); `transport` replaces what carries the requests.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str,
        workspace: str = "",
        timeout_s: float = 30.0,
        retries_max: int = RETRIES_MAX,
        transport: Carries | None = None,
    ) -> None:
        self.calls = Calls(url, api_key=api_key, timeout_s=timeout_s, retries_max=retries_max, transport=transport)
        self.workspace = workspace

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Further calls open new ones."""
        self.calls.close()

    def is_ready(self) -> bool:
        """Whether the server answers and its database does too."""
        return self.calls.request("GET", "/readyz") is not None

    def get_server_version(self) -> Wire:
        """Which Interlock answers."""
        return cast("Wire", self.calls.request("GET", "/version"))

    def apply(
        self, requests: Sequence[Wire], *, dry_run: bool = False, headers: Mapping[str, str] | None = None
    ) -> Wire:
        """Write all that these requests ask for, or nothing: {method, path, body?, at?} each.

        Takes: `dry_run` only says whether it would be written. `headers` count for each.
        Gives: `{written, results}`.
        Fails: the error of the first refusal, with `details` that list every one as `refusals`.
        """
        body = {"requests": list(requests), "dryRun": dry_run}
        timeout_s = APPLY_S + len(requests) * APPLY_EACH_S
        answer = self.calls.request("POST", self._in("apply"), body=body, headers=headers, timeout_s=timeout_s)
        return cast("Wire", answer)

    def list_workspaces(self) -> list[Workspace]:
        """The workspaces that this key's user may see."""
        return cast("list[Workspace]", self.calls.request("GET", path("workspaces"))["workspaces"])

    def create_workspace(self, *, name: str, slug: str) -> Workspace:
        """Create a workspace; the caller is its first admin."""
        return cast("Workspace", self.calls.request("POST", path("workspaces"), body={"name": name, "slug": slug}))

    def get_workspace(self) -> Workspace:
        """This client's workspace."""
        return cast("Workspace", self._get())

    def change_workspace(self, body: Wire) -> Workspace:
        """Change this client's workspace: its `name` or `slug`."""
        return cast("Workspace", self._write("PATCH", body=body))

    def delete_workspace(self) -> None:
        """Delete this client's workspace. Its ledger stays."""
        self._delete()

    def find_workspace(self, slug: str) -> Workspace | None:
        """The workspace with this slug."""
        return next((each for each in self.list_workspaces() if each["slug"] == slug), None)

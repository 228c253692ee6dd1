"""What does Terraform Cloud do in the walkthrough? It runs workspaces: each run is planned, then applied.

The API is the stub that Interlock's tests check the agent `tfe` against, which follows HashiCorp's published one. What
is added here is that it tells what its runs do. There is nothing behind it: the network is made of words.
"""

from __future__ import annotations

from typing import Any

from running import PORTS, find_stub_servers, serve, tell

find_stub_servers()

from agents.tfe_server import TfeServer  # noqa: E402

STEP_S = 0.1
"""How long a run stays in each of its states. Real ones take minutes."""
TOLD = {"planned", "applied", "errored", "discarded", "canceled"}


class TerraformCloud(TfeServer):
    """Terraform Cloud that tells. Where its pages would be stands what it knows, as JSON."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.on("GET", "/app/example/workspaces/[^/]+/runs/([^/]+)", self.show_run)

    def enter(self, run: dict[str, Any], state: str) -> None:
        """A run reaches its next state."""
        super().enter(run, state)
        if state in TOLD:
            workspace = self.workspaces[run["workspace"]]
            values = {
                one["attributes"]["key"]: one["attributes"]["value"]
                for one in self.variables[run["workspace"]].values()
            }
            tell("Terraform Cloud", f"{workspace['attributes']['name']}: {state}, release {values.get('release')}")


if __name__ == "__main__":
    serve(lambda: TerraformCloud(step_s=STEP_S, organization="example"), port=PORTS["terraform_cloud"])

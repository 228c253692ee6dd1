"""What does Argo CD do in the walkthrough? It brings an Application's revision into the cluster that it names.

The API is the stub that Interlock's tests check the agent `argo-cd` against, which follows Argo CD's published one.
What is added here is the work: a sync applies the revision to the cluster, and ends Healthy once the cluster has it.

    GET /api/v1/applications/shop-api-production       what Argo CD knows of it
"""

from __future__ import annotations

import asyncio
import json
import urllib.request

from running import PORTS, find_stub_servers, serve, tell

find_stub_servers()

from agents.argo_cd_server import ArgoCdServer  # noqa: E402

ROLLOUT_S = 0.3
"""How long new pods take to become ready."""


class ArgoCd(ArgoCdServer):
    """Argo CD with clusters behind it. Where its pages would be stands what it knows, as JSON."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.on("GET", "/applications/([^/]+)", self.get)

    def end(self, name: str, **how: str) -> None:
        """The operation is asked for: it ends when the cluster has it."""
        self.apps[name]["status"]["health"] = {"status": "Progressing"}
        self.working = asyncio.get_running_loop().create_task(self.apply(name, how))

    async def apply(self, name: str, how: dict[str, str]) -> None:
        """Bring the revision into the cluster."""
        spec = self.apps[name]["spec"]
        revision, cluster = spec["source"]["targetRevision"], spec["destination"]["server"]
        tell("Argo CD", f"{name}: syncing {revision}")
        try:
            await asyncio.to_thread(apply_image, cluster, f"registry.example.com/shop-api:{revision}")
        except OSError as failure:
            super().end(name, phase="Failed", message=f"{cluster}: {failure}", sync="OutOfSync", health="Missing")
            return
        await asyncio.sleep(ROLLOUT_S)
        super().end(name, **how)
        tell("Argo CD", f"{name}: Synced to {revision}, Healthy")


def apply_image(cluster: str, image: str) -> None:
    """Change the image of the shop's Deployment in a cluster."""
    spec = {"template": {"spec": {"containers": [{"name": "shop-api", "image": image}]}}}
    body = json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "spec": spec}).encode()
    call = urllib.request.Request(
        f"{cluster}/apis/apps/v1/namespaces/shop/deployments/shop-api",
        data=body,
        method="PATCH",
        headers={"Content-Type": "application/apply-patch+yaml"},
    )
    with urllib.request.urlopen(call, timeout=10):
        pass


if __name__ == "__main__":
    serve(ArgoCd, port=PORTS["argo_cd"])

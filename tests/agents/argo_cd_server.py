"""An Argo CD API server that is faithful in what the agent relies on: one operation at a time, infos kept, upsert.

What it answers follows the published API (argo-cd's `application.proto` and the Application's CRD): `operation` while
it is asked for, `status.operationState` from then on, `status.sync`, `status.health`. `spec.source.path` says how a
sync goes: `quick` (synced and healthy at once), `slow` (it runs on), or what `outcomes` maps it to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .stub_server import Answer, Call, StubServer

BUSY = {
    "code": 9,
    "error": "another operation is already in progress",
    "message": "another operation is already in progress",
}


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class ArgoCdServer(StubServer):
    """`syncs` counts the operations that began."""

    token: str = "argo-token"
    apps: dict[str, dict[str, Any]] = field(default_factory=dict)
    outcomes: dict[str, dict[str, Any]] = field(default_factory=dict)
    manifests: dict[str, list[str]] = field(default_factory=dict)
    syncs: int = 0

    def __post_init__(self) -> None:
        one = r"/api/v1/applications/([^/]+)"
        for method, path, answer in (
            ("GET", one, self.get),
            ("POST", "/api/v1/applications", self.create),
            ("POST", one + "/sync", self.sync),
            ("DELETE", one + "/operation", self.terminate),
            ("GET", one + "/manifests", self.make_manifests),
        ):
            self.on(method, path, lambda call, answer=answer: self.signed_in(call) or answer(call))

    def signed_in(self, call: Call) -> Answer | None:
        if call.headers.get("authorization") == f"Bearer {self.token}":
            return None
        return 401, {"error": "no session information", "code": 16, "message": "no session information"}

    def get(self, call: Call) -> Answer:
        app = self.apps.get(call.groups[0])
        if app is None:
            return 404, {"error": f'applications "{call.groups[0]}" not found', "code": 5}
        return 200, app

    def create(self, call: Call) -> Answer:
        app, name = call.body, call.body["metadata"]["name"]
        known = self.apps.get(name)
        if known is not None and call.query.get("upsert") != "true":
            return 400, {"error": "existing application spec is different", "code": 3}
        self.apps[name] = {**(known or {"status": {}}), "metadata": app["metadata"], "spec": app["spec"]}
        return 200, self.apps[name]

    def sync(self, call: Call) -> Answer:
        app = self.apps.get(call.groups[0])
        if app is None:
            return 404, {"error": "not found", "code": 5}
        state = app["status"].get("operationState", {})
        if state.get("phase") in {"Running", "Terminating"}:
            return 400, BUSY
        self.syncs += 1
        operation = {"info": call.body.get("infos", []), "sync": {"prune": call.body.get("prune", False)}}
        app["status"]["operationState"] = {"operation": operation, "phase": "Running", "startedAt": now()}
        path = app["spec"]["source"]["path"]
        if path != "slow":
            self.end(call.groups[0], **self.outcomes.get(path, {}))
        return 200, app

    def end(
        self,
        name: str,
        *,
        phase: str = "Succeeded",
        message: str = "successfully synced (all tasks run)",
        sync: str = "Synced",
        health: str = "Healthy",
        health_message: str = "",
    ) -> None:
        """The operation is over."""
        status, spec = self.apps[name]["status"], self.apps[name]["spec"]
        revision = spec["source"]["targetRevision"]
        status["operationState"] |= {
            "phase": phase,
            "message": message,
            "finishedAt": now(),
            "syncResult": {
                "revision": revision,
                "resources": [{"kind": "Deployment", "namespace": "shop", "name": "web", "status": "Synced"}],
            },
        }
        status["sync"] = {"status": sync, "revision": revision}
        status["resources"] = [
            {"kind": "Deployment", "namespace": "shop", "name": "web", "status": sync, "health": {"status": health}}
        ]
        status["reconciledAt"] = now()
        status["health"] = {"status": health, **({"message": health_message} if health_message else {})}
        status["summary"] = {"images": ["registry.example/web@sha256:" + "0" * 64, "registry.example/side:1"]}

    def terminate(self, call: Call) -> Answer:
        state = self.apps[call.groups[0]]["status"].get("operationState", {})
        if state.get("phase") != "Running":
            return 400, {"error": "Unable to terminate operation. No operation is in progress", "code": 3}
        state |= {"phase": "Failed", "message": "Operation terminated", "finishedAt": now()}
        return 200, {}

    def make_manifests(self, call: Call) -> Answer:
        return 200, {"manifests": self.manifests.get(call.query.get("revision", ""), [])}

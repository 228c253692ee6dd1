"""An Argo Server that is faithful in what the agent relies on: names are unique, bodies are checked, errors are gRPC's.

What it takes and answers follows the published API (argo-workflows' `api/openapi-spec/swagger.json`, WorkflowService:
CreateWorkflow, GetWorkflow, TerminateWorkflow) and the Workflow's CRD (`docs/fields.md`). A Workflow's
`spec.entrypoint` says how it goes: `quick` (it succeeds at once), `slow` (it runs on), or what `outcomes` maps it to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .stub_server import Answer, Call, StubServer

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
LABEL = re.compile(r"|[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
CREATE_KEYS = {"namespace", "serverDryRun", "workflow", "createOptions", "instanceID"}


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def no(status: int, code: int, said: str) -> Answer:
    """An error as the gateway tells it."""
    return status, {"code": code, "message": said}


@dataclass
class ArgoWorkflowServer(StubServer):
    """`submitted` counts the Workflows that were made. `hidden` are names that a read does not show yet."""

    token: str = "argo-workflows-token"
    namespaces: frozenset[str] = frozenset({"ci", "default"})
    workflows: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    outcomes: dict[str, dict[str, Any]] = field(default_factory=dict)
    submitted: int = 0

    def __post_init__(self) -> None:
        one = r"/api/v1/workflows/([^/]+)/([^/]+)"
        for method, path, answer in (
            ("POST", r"/api/v1/workflows/([^/]+)", self.create),
            ("GET", one, self.get),
            ("PUT", one + "/terminate", self.terminate),
        ):
            self.on(method, path, lambda call, answer=answer: self.signed_in(call) or answer(call))

    def signed_in(self, call: Call) -> Answer | None:
        given = call.headers.get("authorization")
        if given == f"Bearer {self.token}":
            return None
        return no(401, 16, "token not valid. see https://argo-workflows.readthedocs.io/en/latest/faq/")

    def create(self, call: Call) -> Answer:
        (place,) = call.groups
        body, workflow = call.body, call.body.get("workflow")
        if set(body) - CREATE_KEYS or not isinstance(workflow, dict):
            return no(400, 3, "workflow body not specified")
        metadata, spec = workflow.get("metadata", {}), workflow.get("spec", {})
        name, labels = metadata.get("name", ""), metadata.get("labels", {})
        if (workflow.get("kind"), workflow.get("apiVersion")) != ("Workflow", "argoproj.io/v1alpha1"):
            return no(400, 3, "no kind Workflow in argoproj.io/v1alpha1")
        if not spec.get("entrypoint") and not spec.get("workflowTemplateRef"):
            return no(400, 3, "spec.entrypoint is required")
        if not NAME.fullmatch(name) or not all(LABEL.fullmatch(value) for value in labels.values()):
            return no(400, 3, f'Workflow.argoproj.io "{name}" is invalid')
        if metadata.get("namespace", place) != place or body.get("namespace", place) != place:
            return no(400, 3, "the namespace of the provided object does not match the namespace sent on the request")
        if place not in self.namespaces:
            return no(404, 5, f'namespaces "{place}" not found')
        if (place, name) in self.workflows:
            return no(409, 6, f'workflows.argoproj.io "{name}" already exists')
        self.submitted += 1
        made = {**workflow, "metadata": {**metadata, "namespace": place, "uid": f"uid-{self.submitted}"}, "status": {}}
        self.workflows[place, name] = made
        way = spec.get("entrypoint", "quick")
        if way != "submitted":
            self.run(place, name)
        if way not in {"slow", "submitted"}:
            self.end(place, name, **self.outcomes.get(way, {}))
        return 200, made

    def run(self, place: str, name: str) -> None:
        """The controller has seen it."""
        self.workflows[place, name]["status"] = {
            "phase": "Running",
            "startedAt": now(),
            "finishedAt": None,
            "progress": "0/1",
            "nodes": {name: {"id": name, "name": name, "displayName": name, "type": "Steps", "phase": "Running"}},
        }

    def end(self, place: str, name: str, *, phase: str = "Succeeded", **more: Any) -> None:
        """It is in this phase now."""
        over = {"finishedAt": now(), "progress": "1/1"} if phase in {"Succeeded", "Failed", "Error"} else {}
        self.workflows[place, name]["status"] |= {"phase": phase, **over, **more}

    def get(self, call: Call) -> Answer:
        place, name = call.groups
        found = self.workflows.get((place, name))
        return no(404, 5, f'workflows.argoproj.io "{name}" not found') if found is None else (200, found)

    def terminate(self, call: Call) -> Answer:
        place, name = call.groups
        found = self.workflows.get((place, name))
        if found is None:
            return no(404, 5, f'workflows.argoproj.io "{name}" not found')
        if (call.body.get("namespace"), call.body.get("name")) != (place, name):
            return no(400, 3, "name and namespace of the body do not match")
        if found["status"].get("finishedAt"):
            return no(500, 13, f'cannot shutdown a completed workflow: workflow: "{name}", namespace: "{place}"')
        found["spec"]["shutdown"] = "Terminate"
        self.end(place, name, phase="Failed", message="Stopped with strategy 'Terminate'")
        return 200, found

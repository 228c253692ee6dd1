"""What else can be set going? Workflows and their runs.

Source: contract.md section d, "Workflows".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from interlock.client.calls import Wire
from interlock.client.reach import Reach

if TYPE_CHECKING:
    from interlock.client.shapes import Workflow, WorkflowRun


class Workflows(Reach):
    """Workflows and their runs."""

    def list_workflows(self, *, items_max: int | None = None) -> Iterator[Workflow]:
        """Every workflow."""
        return self._list("workflows", items_max=items_max)

    def get_workflow(self, workflow_id: str) -> Workflow:
        """One workflow."""
        return cast("Workflow", self._get("workflows", workflow_id))

    def find_workflow(self, slug: str) -> Workflow | None:
        """The workflow with this slug."""
        return cast("Workflow | None", self._found("workflows", "slug", slug))

    def create_workflow(self, body: Wire) -> Workflow:
        """Create a workflow; the server chooses its id."""
        return cast("Workflow", self._write("POST", "workflows", body=body))

    def put_workflow(self, workflow_id: str, body: Wire) -> Workflow:
        """Change a workflow."""
        return cast("Workflow", self._write("PUT", "workflows", workflow_id, body=body))

    def delete_workflow(self, workflow_id: str) -> Workflow:
        """End a workflow: the answer is what it was."""
        return cast("Workflow", self._delete("workflows", workflow_id))

    def run_workflow(self, workflow_id: str, inputs: Wire) -> WorkflowRun:
        """Run a workflow. It is decided as any hand-over is: a freeze refuses it."""
        return cast("WorkflowRun", self._write("POST", "workflows", workflow_id, "runs", body={"inputs": inputs}))

    def run_workflow_by_slug(self, slug: str, inputs: Wire) -> WorkflowRun:
        """Run the workflow with this slug."""
        return cast("WorkflowRun", self._write("POST", "workflows", "slug", slug, "runs", body={"inputs": inputs}))

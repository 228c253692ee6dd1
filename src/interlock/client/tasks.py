"""What do jobs ask of people, and what do they answer? Tasks. All of it is ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from interlock.client.reach import Reach

if TYPE_CHECKING:
    from interlock.client.shapes import Task


class Tasks(Reach):
    """The jobs that people do."""

    def list_tasks(self, *, mine: bool = True, state: str = "open", items_max: int | None = None) -> Iterator[Task]:
        """Tasks that ask oneself (or with `mine` False anybody): `open`, `over` or `any`; what is due first first."""
        query = {"mine": "true" if mine else "false", "state": state}
        return self._list("tasks", query=query, items_max=items_max)

    def get_task(self, job_id: str) -> Task:
        """The task of a job, with what people wrote about it. Fails: `NotFound` for a job that no person does."""
        return cast("Task", self._get("jobs", job_id, "task"))

    def take_task(self, job_id: str) -> Task:
        """Begin. Fails: `Conflict` when somebody else has it; `Forbidden` when it asks others."""
        return cast("Task", self._write("POST", "jobs", job_id, "take"))

    def complete_task(
        self, job_id: str, *, evidence: Mapping[str, Any] | None = None, comment: str | None = None
    ) -> Task:
        """Say that it is done, with the evidence that it asks for, by name."""
        body = {"evidence": dict(evidence or {})} | ({"comment": comment} if comment else {})
        return cast("Task", self._write("POST", "jobs", job_id, "complete", body=body))

    def reject_task(self, job_id: str, *, reason: str) -> Task:
        """Say that it was not done: its job fails."""
        return cast("Task", self._write("POST", "jobs", job_id, "reject", body={"reason": reason}))

    def comment_task(self, job_id: str, text: str) -> Task:
        """Write something beside it."""
        return cast("Task", self._write("POST", "jobs", job_id, "comments", body={"text": text}))

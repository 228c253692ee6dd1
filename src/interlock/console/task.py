"""What does a job ask of a person? The panel of a job's page: what is to be done, the form, what people wrote.

Whoever is not asked sees whom it asks; they may comment. What the forms send is taken by `task_answer.py`.

Source: core.md section 5, class "asked"; agents/manual.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from interlock.access import Permission, Place
from interlock.console.visit import Visit
from interlock.model.task import COMMENT_MAX, Task
from interlock.store import tasks
from interlock.store.jobs import JobRow
from interlock.store.queries import Conn
from interlock.store.tasks import Comment

Refusal = tuple[Mapping[str, str], Sequence[tuple[str, str]]]
"""What somebody typed, by the field's name in the form; and what is wrong with it, (path, sentence)."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A task for its page.

    Takes: `typed` is what somebody typed by the field's name in the form, where it was refused; `wrong` are the paths
           and what is wrong there.
    """

    task: Task
    comments: Sequence[Comment]
    may_answer: bool
    may_comment: bool
    typed: Mapping[str, str] = field(default_factory=dict)
    wrong: Sequence[tuple[str, str]] = ()
    comment_max: int = COMMENT_MAX

    @property
    def wrong_paths(self) -> frozenset[str]:
        """The fields to mark."""
        return frozenset(path for path, _ in self.wrong)


async def load_panel(
    visit: Visit, conn: Conn, job: JobRow, *, place: Place, refused: Refusal | None = None
) -> Panel | None:
    """The task of a job as this person sees it; None for a job that asks nobody."""
    if not job.is_task:
        return None
    task = await tasks.find_task(conn, visit.here.id, job_id=job.id, principal_id=visit.here.caller.id)
    if task is None:
        return None
    may = visit.may(Permission.TASK_ANSWER, place=place)
    typed, wrong = refused or ({}, ())
    return Panel(task, await tasks.list_comments(conn, job.id), may and task.is_asked, may, typed, wrong)

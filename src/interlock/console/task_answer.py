"""What does a person say to a task? The forms of its panel: take, complete, reject, comment.

What is wrong with the evidence is said beside the form, with what was typed still in it.

Source: core.md section 5, class "asked".
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from interlock.access import WORKSPACE, Permission
from interlock.console import jobs as job_page
from interlock.console.visit import Visit, form_text, found, id_in_path, see_other
from interlock.model.errors import Invalid, NotFound
from interlock.model.task import COMMENT_MAX, typed
from interlock.store import jobs, tasks
from interlock.store.bindings import load_place
from interlock.store.tx import Tx

STEPS = ("take", "complete", "reject", "comment")
PREFIX = "evidence."


async def save(visit: Visit) -> Response:
    """Take, complete, reject or comment.

    Fails: `Forbidden`; `Conflict` when somebody was faster; what is wrong with the evidence is said on the page.
    """
    job_id, what = id_in_path(visit, "job", "job"), visit.request.path_params["step"]
    if what not in STEPS:
        raise NotFound("There is nothing to do here.")
    async with visit.here.store.read() as conn:
        job = found(await jobs.find_job(conn, visit.here.id, job_id=job_id), "job")
        place = WORKSPACE
        if job.run_id is None:
            place = await load_place(conn, deployment_id=job.deployment_id, environment_id=job.environment_id)
    form = await visit.request.form()
    texts = {name: text for name, text in form.items() if isinstance(text, str) and name != "csrf"}
    try:
        async with visit.here.tx(Permission.TASK_ANSWER, cause=f"console: {what} task", place=place) as tx:
            if what == "take":
                await tasks.take_task(tx, visit.here.id, job_id=job_id, principal_id=visit.here.caller.id)
            elif what == "comment":
                await tasks.comment_task(tx, visit.here.id, job_id=job_id, text=texts.get("text", ""))
            else:
                await _answer(visit, tx, texts, what=what, job_id=job_id)
    except Invalid as refused:
        wrong = [(each.path, each.message) for each in refused.fields] or [("", refused.message)]
        return await job_page.show(visit, refused=(texts, wrong))
    return see_other(f"{visit.at('jobs', job_id)}#task")


async def _answer(visit: Visit, tx: Tx, texts: Mapping[str, str], *, what: str, job_id: str) -> None:
    required = "Say why it was not done." if what == "reject" else None
    comment = await form_text(visit, "comment", length_max=COMMENT_MAX, required=required)
    caller, evidence = visit.here.caller, {}
    if what == "complete":
        task = found(await tasks.find_task(tx.conn, visit.here.id, job_id=job_id, principal_id=caller.id), "task")
        given = {name.removeprefix(PREFIX): text for name, text in texts.items() if name.startswith(PREFIX)}
        evidence = typed(task.evidence, given)
    await tasks.answer_task(
        tx,
        visit.here.id,
        job_id=job_id,
        principal_id=caller.id,
        by=caller.name,
        answer="completed" if what == "complete" else "rejected",
        evidence=evidence,
        comment=comment or None,
    )

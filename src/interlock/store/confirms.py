"""How is a run confirmed that was planned outside: once, and only while what lets it pass holds?

    asked      the outside says that it waits; a round judges it again, as the move that it completes
    granted    the round let it pass, until an instant; a later round may hold it back
    giving     a worker confirms it now: one statement, which succeeds only if no fact that can take something away is
               undecided, and before that instant, as at a hand-over
    given      the outside took it; refused: it did not, and a person must act there

A confirm that was not answered is looked for: the run says whether it still waits. It is given again only after that
was so for a while, and after a round judged it again.

A job of a workflow's run has no round: it is judged in the transaction that confirms it, and ended where a freeze
covers it, as one that nobody has yet.

Source: core.md section 5 (capabilities, the hand-over in one statement).
"""

from __future__ import annotations

from interlock.decide.explain import plain_sentence
from interlock.model.job import Confirm
from interlock.store.jobs import FlowJob, ask_cancel, hold_job, looks_of, touched_by
from interlock.store.queries import queries
from interlock.store.tx import Tx
from interlock.store.workflows import may_start

Q = queries("confirm")


async def begin_confirm(tx: Tx, job: FlowJob) -> bool:
    """Take a planned run to confirm it, if the decision behind it is still valid. Says whether it is."""
    if job.run_id is None:
        return await tx.conn.fetchrow(Q.begin_confirm, job.id) is not None
    now = await tx.conn.fetchval(Q.now)
    decision = await may_start(tx, job.workspace_id, resource_id=job.resource_id, now=now)
    if decision.barring is None:
        return await tx.conn.fetchrow(Q.begin_run_confirm, job.id) is not None
    await ask_cancel(tx, job, reason=f"It was not confirmed. {plain_sentence(decision.verdicts[0])}")
    return False


async def settle_confirm(tx: Tx, job: FlowJob, confirm: Confirm, *, message: str | None = None) -> None:
    """Say what became of a confirm: given, refused, or asked again because the outside still waits."""
    await hold_job(tx, job)
    row = await tx.conn.fetchrow(Q.settle_confirm, job.id, confirm.value, message)
    if row is None:
        return
    kind = {Confirm.GIVEN: "job.confirmed", Confirm.REFUSED: "job.confirm_refused"}.get(confirm, "job.confirm_asked")
    told = {"message": message} if message else {}
    await tx.record(touched_by(job), events=[job.event(kind, **told)], wakes=looks_of(job))

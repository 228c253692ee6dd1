"""How does a person end what is in force? A form that says what it is and what follows, and asks why.

One form for all of them: a pin, a skip, an order, a quarantine, a job that runs. A rollout has a page of its own.

Source: core.md sections 4 and 5.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.responses import Response

from interlock.access import WORKSPACE, Permission, Place
from interlock.console.visit import Visit, form_text, found, see_other
from interlock.model.errors import Conflict, Invalid, NotFound
from interlock.model.ids import is_id
from interlock.model.job import JobStatus
from interlock.store import jobs, orders, pages, pins, rollouts, skips
from interlock.store.bindings import load_place
from interlock.store.queries import Conn
from interlock.store.tx import Tx

REASON_MAX = 255


@dataclass(frozen=True, slots=True)
class Ending:
    """What ends, and how.

    Takes: `over` is what to say when there is nothing to end any more. `end` writes it.
    """

    title: str
    what: str
    follows: str
    button: str
    deployment_id: str | None
    environment_id: str | None
    over: str | None
    end: Callable[[Tx, str], Awaitable[object]]
    mark: str = "idle"
    back_to: tuple[str, ...] = ("overrides",)


async def show(visit: Visit) -> Response:
    """The form."""
    async with visit.here.store.snapshot() as conn:
        ending = await _ending(visit, conn)
        await _require(visit, conn, ending)
        return await _form(visit, conn, ending)


async def save(visit: Visit) -> Response:
    """End it.

    Fails: `Forbidden`; `NotFound`; `Conflict` when it is over already. A missing reason is asked for again.
    """
    async with visit.here.store.snapshot() as conn:
        ending = await _ending(visit, conn)
        place = await _require(visit, conn, ending)
        try:
            reason = await form_text(visit, "reason", length_max=REASON_MAX, required="Say why: it stands beside it.")
        except Invalid as refused:
            return await _form(visit, conn, ending, refused=refused)
    async with visit.here.tx(Permission.STEER, cause=f"console: {ending.title.lower()}", place=place) as tx:
        await ending.end(tx, reason)
    return see_other(f"{visit.at(*ending.back_to)}?said=ended")


async def _form(visit: Visit, conn: Conn, ending: Ending, *, refused: Invalid | None = None) -> Response:
    return await visit.render(
        conn,
        "ending.html",
        title=ending.title,
        live="tell",
        about=[visit.request.path_params["id"].lower()],
        ending=ending,
        reason_max=REASON_MAX,
        wrong=refused.message if refused else None,
        status=400 if refused else 200,
    )


async def _require(visit: Visit, conn: Conn, ending: Ending) -> Place:
    if ending.over is not None:
        raise Conflict(ending.over)
    place = WORKSPACE
    if ending.deployment_id is not None:
        place = await load_place(conn, deployment_id=ending.deployment_id, environment_id=ending.environment_id)
    visit.here.require(Permission.STEER, place=place)
    return place


async def _ending(visit: Visit, conn: Conn) -> Ending:
    kind, step = visit.request.path_params.get("kind", "job"), visit.request.path_params.get("step", "cancel")
    subject_id: str = visit.request.path_params["id"].lower()
    find = _ENDINGS.get((kind, step))
    if find is None or not is_id(subject_id):
        raise NotFound("There is nothing to end here.")
    return await find(visit, conn, subject_id)


async def _pin(visit: Visit, conn: Conn, pin_id: str) -> Ending:
    pin = found(await pins.find_pin(conn, visit.here.id, pin_id=pin_id), "pin")
    where = " / ".join(filter(None, (pin.deployment, pin.environment, pin.resource)))

    async def end(tx: Tx, reason: str) -> object:
        author_id = visit.here.caller.id
        return await pins.remove_pin(tx, visit.here.id, pin_id=pin.id, reason=reason, author_id=author_id)

    return Ending(
        title="Unpin",
        what=f"{where} is pinned to {pin.tag}: {pin.reason}",
        follows="Its targets go on to whatever is newer than what they run, as far as nothing else holds it.",
        button="Unpin now",
        deployment_id=pin.deployment_id,
        environment_id=pin.environment_id,
        over=None if pin.in_force else "This pin is over already.",
        end=end,
        mark="paused",
    )


async def _skip(visit: Visit, conn: Conn, skip_id: str) -> Ending:
    skip = found(await skips.find_skip(conn, visit.here.id, skip_id=skip_id), "skip")
    what = f"the freeze “{skip.freeze_reason}”" if skip.freeze_id else skip.rule_kind or "a rule that is gone"
    where = " / ".join(filter(None, (skip.deployment, skip.environment, skip.resource)))

    async def end(tx: Tx, reason: str) -> object:
        author_id = visit.here.caller.id
        return await skips.remove_skip(tx, visit.here.id, skip_id=skip.id, reason=reason, author_id=author_id)

    return Ending(
        title="Take a skip back",
        what=f"{skip.tag} passes {what} in {where}: {skip.reason}",
        follows="What it let start goes on. Nothing else starts by it.",
        button="Take it back now",
        deployment_id=skip.deployment_id,
        environment_id=skip.environment_id,
        over=None if skip.in_force else "This skip is over already.",
        end=end,
        mark="person",
    )


async def _order(visit: Visit, conn: Conn, order_id: str) -> Ending:
    order = found(await orders.find_order(conn, visit.here.id, order_id=order_id), "order")

    async def end(tx: Tx, reason: str) -> object:
        principal_id = visit.here.caller.id
        return await orders.withdraw_order(
            tx, visit.here.id, order_id=order.id, reason=reason, principal_id=principal_id
        )

    return Ending(
        title="Withdraw an order",
        what=f"{order.kind} of {order.tag} on {order.resource} in {order.environment}: {order.reason}",
        follows="It is not answered any more. What was handed over for it goes on.",
        button="Withdraw it now",
        deployment_id=order.deployment_id,
        environment_id=order.environment_id,
        over=None if order.state == "open" else "This order is open no more.",
        end=end,
        mark="moving",
    )


async def _quarantine(visit: Visit, conn: Conn, quarantine_id: str) -> Ending:
    one = found(await rollouts.find_quarantine(conn, visit.here.id, quarantine_id=quarantine_id), "quarantine")

    async def end(tx: Tx, reason: str) -> object:
        principal_id = visit.here.caller.id
        return await rollouts.clear_quarantine(
            tx, visit.here.id, quarantine_id=one.id, principal_id=principal_id, reason=reason
        )

    return Ending(
        title="Clear a quarantine",
        what=f"{one.tag or 'A config'} failed on {one.resource} in {one.environment} and is kept off it.",
        follows="The target may take it again, and everything newer than what it runs. If nothing else holds it, that "
        "happens at once.",
        button="Clear it now",
        deployment_id=one.deployment_id,
        environment_id=one.environment_id,
        over=None if one.cleared_at is None else "This quarantine is cleared already.",
        end=end,
        mark="failed",
    )


async def _job(visit: Visit, conn: Conn, job_id: str) -> Ending:
    job = found(await jobs.find_job(conn, visit.here.id, job_id=job_id), "job")
    what = f"A job of the workflow {job.context['workflow']['name']}" if job.run_id is not None else ""
    if job.run_id is None:
        place = found(await pages.find_job_place(conn, visit.here.id, job_id=job_id), "job")
        what = f"{place.tag} on {place.resource} in {place.environment}"

    async def end(tx: Tx, reason: str) -> object:
        return await jobs.cancel_job(tx, job.id, reason=reason)

    return Ending(
        title="Cancel a job",
        what=f"{what}: {job.status}",
        follows="The agent is asked to stop it. The target stays occupied until it confirms, or the time for that is "
        "over. Nothing is undone on the target.",
        button="Ask it to stop",
        deployment_id=job.deployment_id or None,
        environment_id=job.environment_id or None,
        over=f"The job is {job.status} already." if JobStatus(job.status).terminal else None,
        end=end,
        mark="moving",
        back_to=("jobs", job.id),
    )


_ENDINGS: dict[tuple[str, str], Callable[[Visit, Conn, str], Awaitable[Ending]]] = {
    ("pin", "end"): _pin,
    ("skip", "end"): _skip,
    ("order", "end"): _order,
    ("quarantine", "end"): _quarantine,
    ("job", "cancel"): _job,
}

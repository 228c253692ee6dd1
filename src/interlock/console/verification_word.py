"""What does a person say of a verification? Accept or fail what nothing could tell, or measure again: a form that says
what will happen, and asks why.

Source: issue 6, "One state machine"; the permission is STEER.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from interlock.access import Permission, Place
from interlock.console.visit import Visit, form_text, found, id_in_path, see_other
from interlock.model.errors import Conflict, Invalid, NotFound
from interlock.store import verification_words
from interlock.store.bindings import load_place
from interlock.store.queries import Conn
from interlock.store.verification_words import VerificationPlace, Word

REASON_MAX = 1_000

WORDS: Mapping[str, tuple[str, Word, str]] = {
    "accept": (
        "Accept",
        "accepted",
        "It goes on as if it had passed: the release is good, and the next targets start.",
    ),
    "fail": ("Fail", "failed", "It counts as failed: the rollout halts, and goes back where a rule says so."),
    "again": ("Measure again", "again", "It is measured once more; what was measured before counts no more."),
}
"""Step -> its label, the word, and what it means."""


async def show(visit: Visit) -> Response:
    """The form."""
    return await _form(visit, _step(visit))


async def save(visit: Visit) -> Response:
    """Say it.

    Fails: `Forbidden`; `NotFound`; `Conflict` when there is nothing to say any more.
    """
    step = _step(visit)
    _, word, _ = WORDS[step]
    try:
        reason = await form_text(visit, "reason", length_max=REASON_MAX, required="Say why: everybody reads it.")
    except Invalid as refused:
        return await _form(visit, step, refused=refused)
    async with visit.here.store.read() as conn:
        one, place = await _known(visit, conn)
    async with visit.here.tx(Permission.STEER, cause=f"console: {step} verification", place=place) as tx:
        await verification_words.say(
            tx,
            visit.here.id,
            verification_id=one.id,
            word=word,
            reason=reason,
            principal_id=visit.here.caller.id,
        )
    return see_other(visit.at("verifications", one.id))


def _step(visit: Visit) -> str:
    step: str = visit.request.path_params["word"]
    if step not in WORDS:
        raise NotFound("There is no such step; there are accept, fail and again.")
    return step


async def _known(visit: Visit, conn: Conn) -> tuple[VerificationPlace, Place]:
    verification_id = id_in_path(visit, "verification", "verification")
    one = found(
        await verification_words.find_verification(conn, visit.here.id, verification_id=verification_id),
        "verification",
    )
    return one, await load_place(conn, deployment_id=one.deployment_id, environment_id=one.environment_id)


async def _form(visit: Visit, step: str, *, refused: Invalid | None = None) -> Response:
    label, _, means = WORDS[step]
    async with visit.here.store.snapshot() as conn:
        one, place = await _known(visit, conn)
        visit.here.require(Permission.STEER, place=place)
        if step not in one.can:
            raise Conflict("There is nothing to say of this verification any more.")
        return await visit.render(
            conn,
            "verification_word.html",
            title=f"{label}: {one.about}",
            live="tell",
            about=[one.id],
            one=one,
            step=step,
            label=label,
            means=means,
            reason_max=REASON_MAX,
            wrong={each.path: each.message for each in refused.fields} if refused else {},
            status=400 if refused else 200,
        )

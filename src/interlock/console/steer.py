"""How does a person steer a rollout? A form for each step, that says what will happen and asks why.

Pausing, resuming, speeding up, promoting and giving up are facts of the deployment: written at once, also while no
worker runs, and taken up by the next round.

Source: core.md section 4, "A rollout opens"; the permission is STEER.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from starlette.responses import Response

from interlock.access import Permission
from interlock.console.rollouts import STEPS, known, place_of
from interlock.console.visit import Visit, form_text, see_other
from interlock.model.errors import Conflict, Invalid, NotFound
from interlock.model.wire import INT32_MAX
from interlock.store import rollouts
from interlock.store.rollouts import Faster, Steering, StoredRollout

REASON_MAX = 255

MEANS: Mapping[str, str] = {
    "pause": "Nothing more starts in it. What is handed over goes on to its end.",
    "resume": "It goes on from where it stands; the failures that it saw are forgiven.",
    "speed-up": "It goes faster than its rules say, for this rollout alone, and never slower.",
    "promote": "All that is left of it may start at once: no wave, no bake, no interval. Gates are still asked, and "
    "limits of concurrency still hold. The failures that it saw are forgiven.",
    "abort": "Nothing more starts in it, for good. What it moved stays where it is.",
}

FIELDS: Mapping[str, tuple[str, str, int]] = {
    "interval_s": ("Seconds between two targets", "For linear rollouts.", 0),
    "bake_s": ("Seconds of bake after each wave", "0 means none. For rollouts in waves.", 0),
    "max_in_flight": ("So many at once", "Where the rule limits it.", 1),
}
"""What can be faster: its label, its hint, the least."""


async def show(visit: Visit) -> Response:
    """The form."""
    return await _form(visit, await known(visit), step_of(visit))


async def save(visit: Visit) -> Response:
    """Steer.

    Fails: `Forbidden`; `NotFound`; `Conflict` when it is in no state for that. A field that is wrong is shown again.
    """
    rollout, step = await known(visit), step_of(visit)
    form = await visit.request.form()
    sent = {name: str(form.get(name, "")).strip() for name in ("reason", *FIELDS)}
    try:
        reason = await form_text(visit, "reason", length_max=REASON_MAX, required="Say why: everybody reads it.")
        faster = _faster(sent) if step == "speed-up" else None
    except Invalid as refused:
        return await _form(visit, rollout, step, sent=sent, refused=refused)
    place = await place_of(visit, rollout)
    async with visit.here.tx(Permission.STEER, cause=f"console: {step} rollout", place=place) as tx:
        await rollouts.steer_rollout(
            tx,
            visit.here.id,
            rollout_id=rollout.id,
            step=cast("Steering", step.replace("-", "_")),
            reason=reason,
            principal_id=visit.here.caller.id,
            faster=faster,
        )
    return see_other(f"{visit.at('rollouts', rollout.id)}?said={step}")


def step_of(visit: Visit) -> str:
    """The step that the path names.

    Fails: `NotFound` for a word that is none.
    """
    step: str = visit.request.path_params["step"]
    if step not in STEPS:
        raise NotFound("There is no such step; there are pause, resume, speed-up, promote and abort.")
    return step


def _faster(sent: Mapping[str, str]) -> Faster:
    """What was asked to go faster."""
    said: dict[str, int] = {}
    for name, (label, _, least) in FIELDS.items():
        text = sent[name]
        if not text:
            continue
        if not (text.isascii() and text.isdigit() and least <= int(text) <= INT32_MAX):
            raise Invalid(f"{label}: a whole number from {least}, please.", field=name)
        said[name] = int(text)
    if not said:
        raise Invalid("Say what goes faster.", field="bake_s")
    return Faster(**said)


async def _form(
    visit: Visit,
    rollout: StoredRollout,
    step: str,
    *,
    sent: Mapping[str, str] | None = None,
    refused: Invalid | None = None,
) -> Response:
    visit.here.require(Permission.STEER, place=await place_of(visit, rollout))
    label, states = STEPS[step]
    if rollout.state not in states:
        raise Conflict(f"The rollout is {rollout.state}: there is nothing to {step.replace('-', ' ')}.")
    async with visit.here.store.snapshot() as conn:
        return await visit.render(
            conn,
            "steer.html",
            title=f"{label}: rollout of {rollout.tag or 'a new config'}",
            live="tell",
            about=[rollout.id],
            rollout=rollout,
            step=step,
            label=label,
            means=MEANS[step],
            fields=FIELDS if step == "speed-up" else {},
            sent={"reason": "", **dict.fromkeys(FIELDS, ""), **(sent or {})},
            reason_max=REASON_MAX,
            wrong={each.path: each.message for each in refused.fields} if refused else {},
            status=400 if refused else 200,
        )

"""How far is this rollout? Its targets as squares, wave by wave, what is next and when, and what people said.

A picture to look at before reading: a square is a target, its shape and colour say how it stands. The buttons lead to
a form that asks why (`steer.py`), because this page renews itself while it is looked at.

Source: core.md section 4; STYLE.md rule 16.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from interlock.access import Permission, Place
from interlock.console.verification import MARKS as CHECK_MARKS
from interlock.console.visit import Visit, found, id_in_path
from interlock.model.ids import TargetKey
from interlock.store import rollouts, series
from interlock.store.bindings import load_place
from interlock.store.places import load_picture
from interlock.store.queries import Conn
from interlock.store.rollouts import LIVE, StoredRollout, StoredSteering

SQUARES_MAX = 1_000
"""So many targets of one wave are drawn."""

CHECKS_MAX = 50
"""So many of its verifications are listed, the newest."""

MARKS: Mapping[str, str] = {
    "done": "pass",
    "failed": "failed",
    "verifying": "verifying",
    "moving": "moving",
    "starting": "starting",
    "waiting": "wait",
    "elsewhere": "idle",
}
"""How a target stands -> its mark."""

STATE_MARKS: Mapping[str, str] = {
    "open": "moving",
    "paused": "paused",
    "halted": "halted",
    "complete": "pass",
    "superseded": "idle",
    "aborted": "deny",
}

WORDS: Mapping[str, str] = {
    "pause": "paused it",
    "resume": "resumed it",
    "speed_up": "sped it up",
    "promote": "promoted it",
    "abort": "gave it up",
}

WHYS: Mapping[str, str] = {
    "verification_failed": "It halted by itself: what was measured of it failed.",
    "failures": "It halted by itself: more of its targets failed than its rules tolerate.",
    "rolled_back": "It halted by itself: what it moved went back.",
    "newer_version": "A newer version came and ended it.",
    "newer_config": "A newer config came and ended it.",
}
"""Why its state changed, where nobody said so -> the sentence."""

STEPS: Mapping[str, tuple[str, frozenset[str]]] = {
    "pause": ("Pause", frozenset({"open"})),
    "resume": ("Resume", frozenset({"paused", "halted"})),
    "speed-up": ("Speed up", LIVE),
    "promote": ("Promote now", LIVE),
    "abort": ("Give up", LIVE),
}
"""What can be done: its word in the path -> what the button says, and the states in which it can be."""


async def show(visit: Visit) -> Response:
    """A rollout."""
    rollout = await known(visit)
    place = await place_of(visit, rollout)
    async with visit.here.store.snapshot() as conn:
        picture = await load_picture(conn, rollout)
        return await visit.render(
            conn,
            "rollouts.html",
            title=f"Rollout of {rollout.tag or 'a new config'} in {rollout.environment}",
            live="follow",
            about=[rollout.id, rollout.deployment_id],
            rollout=rollout,
            picture=picture,
            marks_of=MARKS,
            state_mark=STATE_MARKS[rollout.state],
            squares_max=SQUARES_MAX,
            key_of=lambda square: str(TargetKey(square.resource_id, rollout.environment_id, rollout.deployment_id)),
            words=[(WORDS[word.step], faster_of(word), word) for word in await steering_of(conn, rollout)],
            speed=faster_of(rollout),
            checks=await series.list_of_rollout(conn, visit.here.id, rollout_id=rollout.id, limit=CHECKS_MAX),
            checks_max=CHECKS_MAX,
            check_marks=CHECK_MARKS,
            steps=steps_of(rollout) if visit.may(Permission.STEER, place=place) else {},
            why=WHYS.get(rollout.reason or ""),
            said=visit.request.query_params.get("said", ""),
        )


async def steering_of(conn: Conn, rollout: StoredRollout) -> tuple[StoredSteering, ...]:
    """What people said about a rollout."""
    return await rollouts.list_steering(conn, rollout_id=rollout.id)


async def known(visit: Visit) -> StoredRollout:
    """The rollout that the path names."""
    rollout_id = id_in_path(visit, "rollout", "rollout")
    async with visit.here.read() as conn:
        return found(await rollouts.find_rollout(conn, visit.here.id, rollout_id=rollout_id), "rollout")


async def place_of(visit: Visit, rollout: StoredRollout) -> Place:
    """Where steering it happens."""
    async with visit.here.read() as conn:
        return await load_place(conn, deployment_id=rollout.deployment_id, environment_id=rollout.environment_id)


def steps_of(rollout: StoredRollout) -> dict[str, str]:
    """What can be done with a rollout now: word in the path -> what the button says."""
    return {step: label for step, (label, states) in STEPS.items() if rollout.state in states}


def faster_of(one: StoredRollout | StoredSteering) -> str:
    """How much faster, in words; empty for as written."""
    parts = []
    if one.interval_s is not None:
        parts.append(f"{one.interval_s} s between two targets at most")
    if one.bake_s is not None:
        parts.append(f"{one.bake_s} s of bake at most" if one.bake_s else "no bake")
    if one.max_in_flight is not None:
        parts.append(f"at least {one.max_in_flight} at once")
    return ", ".join(parts)

"""Where does each target of a rollout stand? Its waves as people see them, the same for REST, CLI and console.

The order and the waves are the core's own (`schedule`), computed over the facts of now; how far a target is stands in
its moves and in its row. Nothing is decided here.

Source: core.md section 4, "A rollout opens"; STYLE rule 16.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from interlock.decide.explain import sentence
from interlock.decide.index import Index
from interlock.decide.schedule import Schedule
from interlock.decide.slots import Slots
from interlock.store.facts import Loaded, load_facts
from interlock.store.queries import Conn
from interlock.store.rollouts import LIVE, StoredPlace, StoredRollout, list_places

BY_MOVE: Mapping[str, str] = {
    "admitted": "starting",
    "running": "moving",
    "verifying": "verifying",
    "succeeded": "done",
    "failed": "failed",
}
"""The newest move of a target in the rollout -> how it stands there."""

STATES = ("done", "failed", "verifying", "moving", "starting", "waiting", "elsewhere")
"""How a target may stand, from done to not meant. `elsewhere`: it goes another way, or stays where it is."""

OVER = frozenset({"done", "failed", "elsewhere"})


@dataclass(frozen=True, slots=True)
class Square:
    """One target of a rollout. `why` is what it waits for, as a sentence, and `until` when that ends by itself."""

    target_id: str
    resource_id: str
    resource: str
    state: str
    why: str | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Strip:
    """The targets that start together, and how many of them stand how."""

    number: int
    squares: tuple[Square, ...]

    @property
    def counts(self) -> dict[str, int]:
        """State -> targets, in the order of `STATES`."""
        found = Counter(square.state for square in self.squares)
        return {state: found[state] for state in STATES if found[state]}

    @property
    def over(self) -> bool:
        """Whether nothing of it is to come."""
        return all(square.state in OVER for square in self.squares)


@dataclass(frozen=True, slots=True)
class Picture:
    """A rollout as a picture. `in_waves`: not one by one. `next`: the first target that waits, if one does."""

    in_waves: bool
    strips: tuple[Strip, ...]
    next: Square | None
    now: datetime


async def load_picture(conn: Conn, rollout: StoredRollout) -> Picture:
    """The picture of a rollout, out of one snapshot."""
    loaded = await load_facts(conn, rollout.deployment_id)
    places = {place.target_id: place for place in await list_places(conn, rollout)}
    if loaded is None:
        return pictured(rollout, [tuple(places)], places, now=rollout.state_at)
    return pictured(rollout, _laid_out(loaded, rollout, places), places, now=loaded.now)


def _laid_out(loaded: Loaded, rollout: StoredRollout, places: Mapping[str, StoredPlace]) -> Sequence[Sequence[str]]:
    """Target ids wave by wave; those that the round no longer knows behind."""
    index = Index(loaded.facts)
    known = next((one for one in loaded.facts.rollouts if one.id == rollout.id), None)
    if known is None or known.environment_id not in loaded.facts.environments:
        return [tuple(places)]
    waves = [tuple(each) for each in Schedule(index, Slots(index), loaded.now).laid_out(known)]
    there = {target_id for wave in waves for target_id in wave}
    rest = tuple(target_id for target_id in places if target_id not in there)
    return [*waves, rest] if rest else waves


def pictured(
    rollout: StoredRollout, waves: Sequence[Sequence[str]], places: Mapping[str, StoredPlace], *, now: datetime
) -> Picture:
    """The picture, of what was loaded. Waves of nobody who is still known are left out, and keep their number."""
    strips = []
    for number, wave in enumerate(waves, 1):
        squares = tuple(_square(rollout, places[target_id]) for target_id in wave if target_id in places)
        if squares:
            strips.append(Strip(number, squares))
    waiting = [square for strip in strips for square in strip.squares if square.state == "waiting" and square.why]
    soonest = [square for square in waiting if square.until is not None]
    first = min(soonest, key=lambda one: one.until or now) if soonest else next(iter(waiting), None)
    return Picture(len(waves) > 1, tuple(strips), first if rollout.state in {"open", "paused", "halted"} else None, now)


def _square(rollout: StoredRollout, place: StoredPlace) -> Square:
    of = (place.target_id, place.resource_id, place.resource)
    state = BY_MOVE.get(place.move_state or "")
    if state == "done" and not place.there and rollout.state in LIVE:
        return Square(*of, "elsewhere", "It had it, and runs something else again.")
    if state is not None:
        return Square(*of, state)
    if place.there:
        return Square(*of, "done")
    meant = rollout.version_id is None or place.about_version_id == rollout.version_id
    if place.outcome not in {"hold", "unknown"} or not meant:
        return Square(*of, "elsewhere")
    verdict = next((one for one in place.verdicts or () if one.get("outcome") != "pass"), None)
    why = sentence(verdict) if verdict else "Its gates hold it; explain says which."
    until = datetime.fromisoformat(verdict["changesAt"]) if verdict and verdict.get("changesAt") else place.wake_at
    return Square(*of, "waiting", why, until)

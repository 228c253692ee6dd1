"""In which wave does each target of a rollout go, and which wave may go now?

    open     a wave is open while one of its targets is on its way, wants to start, or is held for this very change
    over     all of its targets ended: they landed and were proven, they failed, or they go elsewhere
    baked    so long after the last of them ended, and so many measurements of them later, the next wave may go

Targets that were attached at the opening are cut into waves; those that joined later go in waves of their own behind
them, no larger than the largest. Nothing of this is stored: ends are facts of the moves, so an answer stays the same
until the instant it names.

Source: core.md section 4 (order, verified between); definitions.md E4 (waves, bake).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import repeat

from interlock.decide.facts import Target
from interlock.decide.rules.gradual_rollout import Params
from interlock.decide.verdict import Verdict, WaitsFor, holds
from interlock.decide.waves import cut, cut_by_domain, order_key

Labels = Mapping[str, Mapping[str, str]]
"""Target id -> metadata key -> value, of the keys that domains name."""


@dataclass(frozen=True, slots=True)
class Places:
    """The waves of one rollout by one rule. `unplaced`: target id -> the metadata key without which it has no place."""

    waves: tuple[tuple[str, ...], ...]
    wave_by_target: Mapping[str, int]
    unplaced: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one target is in a rollout: `open` while its wave waits for it; when its move ended, and its samples.

    `ended_at` is None for a target that did not move.
    """

    open: bool
    ended_at: datetime | None = None
    samples: int = 0


@dataclass(frozen=True, slots=True)
class Front:
    """The first wave that is not over, and what it waits for before it may go: the clock, samples, or nothing.

    `before` is the last wave before it that moved something; None where nothing was moved yet.
    """

    wave: int
    baked_at: datetime | None = None
    samples: int | None = None
    before: int | None = None


AT_START = Front(0)


def places(params: Params, targets: Sequence[Target], *, opened_at: datetime, salt: str, labels: Labels) -> Places:
    """Every target's wave.

    Takes: `targets` are all that the rule paces there, also those that left since the opening: they keep their number.
    """
    unplaced: dict[str, str] = {}
    first: list[tuple[bytes, str]] = []
    later: list[tuple[datetime, bytes, str]] = []
    for target in targets:
        missing = params.domains.missing(labels.get(target.id, {})) if params.domains else None
        if missing is not None:
            unplaced[target.id] = missing
        elif target.attached_at > opened_at:
            later.append((target.attached_at, order_key(salt, target.id), target.id))
        else:
            first.append((order_key(salt, target.id), target.id))
    at_open = sum(1 for target in targets if target.attached_at <= opened_at)
    members = [target_id for _, target_id in sorted(first)]
    behind = [target_id for _, _, target_id in sorted(later)]
    waves = tuple(_waves(params, members, behind, at_open, labels))
    return Places(waves, {target_id: number for number, wave in enumerate(waves) for target_id in wave}, unplaced)


def _waves(
    params: Params, members: Sequence[str], behind: Sequence[str], at_open: int, labels: Labels
) -> Iterator[tuple[str, ...]]:
    sizes = params.sizes(at_open)
    if params.domains is None:
        yield from cut(members, sizes)
    else:
        yield from cut_by_domain(members, labels, params.domains, sizes)
    yield from cut(behind, sizes)


def narrowed(params: Params, where: Places, percent: int) -> tuple[Params, Places]:
    """The same waves, each cut into parts of so many percent of it (one target at least), that go one after the other.

    Why:    parts of a wave keep the order and every bound of its failure domains, and the waves are whole again when
            nothing caps them any more.
    Gives:  the params with the bake of each part, which is that of its wave.
    """
    if percent >= 100:
        return params, where
    parts = [
        (number, part)
        for number, wave in enumerate(where.waves)
        for part in cut(wave, repeat(max(1, len(wave) * percent // 100)))
    ]
    bake_s = tuple(int(params.bake_after(number).total_seconds()) for number, _ in parts)
    waves = tuple(part for _, part in parts)
    by_target = {target_id: number for number, wave in enumerate(waves) for target_id in wave}
    return replace(params, bake_s=bake_s), Places(waves, by_target, where.unplaced)


def front(params: Params, waves: Sequence[Sequence[str]], standing: Callable[[str], Standing], now: datetime) -> Front:
    """How far a rollout is.

    Takes: `standing` says where a target is.
    Gives: `wave` is the number of waves when all of them are over.
    """
    baked_at: datetime | None = None
    short: int | None = None
    before: int | None = None
    for number, wave in enumerate(waves):
        members = [standing(target_id) for target_id in wave]
        if any(one.open for one in members):
            break
        ends = [one.ended_at for one in members if one.ended_at is not None]
        if not ends:
            continue
        before = number
        until = max(ends) + params.bake_after(number)
        baked_at = until if baked_at is None else max(baked_at, until)
        samples = sum(one.samples for one in members)
        if short is None and samples < params.samples_min:
            short = samples
    else:
        number = len(waves)
    return Front(number, baked_at if baked_at is not None and now < baked_at else None, short, before)


def hold(params: Params, where: Places, at: Front, target_id: str, *, waits_on: tuple[str, ...]) -> Verdict | None:
    """What a target waits for, if it must wait for its wave.

    Why:    those far behind are told only their own wave, so that an end in the front rewrites no row of theirs.
    """
    missing = where.unplaced.get(target_id)
    if missing is not None:
        who = "whoever may edit the resource; an operator may promote the rollout"
        return holds(WaitsFor.INCOMPLETE, "rollout_domain_unknown", waits_on=waits_on, who=who, key=missing)
    wave = where.wave_by_target[target_id]
    if wave > at.wave:
        return holds(WaitsFor.WAIT, "rollout_wave_later", waits_on=waits_on, wave=wave + 1)
    if at.baked_at is not None:
        return holds(
            WaitsFor.WAIT,
            "rollout_baking",
            changes_at=at.baked_at,
            waits_on=waits_on,
            wave=wave + 1,
            due_at=at.baked_at,
        )
    if at.samples is not None:
        return holds(
            WaitsFor.INCOMPLETE,
            "rollout_samples",
            waits_on=waits_on,
            who="an operator may promote the rollout",
            wave=wave + 1,
            samples=at.samples,
            minimum=params.samples_min,
        )
    return None

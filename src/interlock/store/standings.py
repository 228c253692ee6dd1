"""Where does a version stand now? The facts of this instant, worked out like a round and never committed.

What rounds stored tells what was decided when. This tells what would be decided now, and it can be asked about any
version on any target: also one that no round has looked at lately. The instant is part of every answer.

Working out takes the processor and no database, so it runs in a thread of its own while the loop serves others.

Source: core.md section 3 (the sweep decides without committing); decide/standing.py.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from interlock.decide import WorkedOut, work_out
from interlock.decide.counterfactual import find_counterfactual
from interlock.decide.facts import Facts, Target, Version
from interlock.decide.standing import Standing, State, goes_for, standing_of
from interlock.decide.tree import Told, counterfactual_json, standing_json
from interlock.decide.verdict import Judged, WaitsFor, instant
from interlock.model.errors import NotFound
from interlock.store.facts import VERSIONS_MAX, load_facts
from interlock.store.tx import Store

GROUPS_MAX = 20
"""Kinds of targets of an environment that are told apart in one answer; the rest are counted."""

SEARCHED_MAX = 5
"""Groups for which a counterfactual is looked for: one search each."""

NAMES_MAX = 5


@dataclass(frozen=True, slots=True)
class Now:
    """The facts of a deployment at one instant."""

    facts: Facts
    now: datetime

    def version(self, text: str) -> Version:
        """A version by id or tag.

        Fails: `NotFound` for one that is not among those that a round looks at.
        """
        for version in self.facts.versions:
            if text in {version.id, version.tag}:
                return version
        raise NotFound(
            f"A round does not look at this version: it is not among the {VERSIONS_MAX} newest, and no target, "
            "pin or move names it."
        )


async def load_now(store: Store, deployment_id: str, *, about: str | None = None) -> Now:
    """The facts of this instant, with the history of the version that they are asked about (an id or a tag).

    Fails: `NotFound` when the deployment is gone.
    """
    async with store.snapshot() as conn:
        loaded = await load_facts(conn, deployment_id, about=about)
    if loaded is None:
        raise NotFound("There is no such deployment.")
    return Now(loaded.facts, loaded.now)


async def explain_target_now(
    store: Store, deployment_id: str, *, target_id: str, version: str | None = None, counterfactual: bool = True
) -> Told | None:
    """Where a version stands on a target now, and what would have to be different.

    Takes: `version` is an id or a tag; without it the one that the target goes for.
    Gives: None when the target is not attached, or there is no version to ask about.
    """
    at = await load_now(store, deployment_id, about=version)
    if target_id not in at.facts.targets:
        return None
    return await asyncio.to_thread(_explain, at, target_id, version, counterfactual)


def _explain(at: Now, target_id: str, text: str | None, counterfactual: bool) -> Told | None:  # noqa: FBT001
    beside = at.facts.targets[target_id].environment_id
    only = {key for key, one in at.facts.targets.items() if one.environment_id == beside}
    worked = work_out(at.facts, at.now, only=only)
    target = worked.index.facts.targets[target_id]
    version = at.version(text) if text else goes_for(worked, target)
    if version is None:
        return None
    standing = standing_of(worked, target, version)
    body = standing_json(worked, standing, now=at.now)
    row = at.facts.decided_by_target.get(target_id)
    if row is not None and row.since is not None and standing.state in {State.HELD, State.PACED}:
        body["since"] = instant(row.since)
    if counterfactual and standing.state in {State.HELD, State.PACED}:
        answer = find_counterfactual(at.facts, at.now, target_id=target_id, version_id=version.id)
        body["counterfactual"] = counterfactual_json(answer)
    return body


# A version in an environment ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Group:
    """Targets on which a version stands alike: the same state, held by the same rules for the same reasons."""

    standing: Standing
    targets: Sequence[Target]


async def explain_version_now(
    store: Store,
    deployment_id: str,
    *,
    environment_id: str,
    version: str,
    resource: str | None = None,
    counterfactual: bool = True,
) -> Told:
    """Where a version stands in an environment: its targets in groups, and one answer for all of them.

    Takes: `version` is an id or a tag; `resource`, an id or a name, narrows to one target.
    Fails: `NotFound` for an environment that shares no system with the deployment, and for a resource that is no target
           of it there.
    """
    at = await load_now(store, deployment_id, about=version)
    if environment_id not in at.facts.environments:
        raise NotFound("The deployment and this environment share no system, so nothing can be deployed there.")
    return await asyncio.to_thread(_explain_version, at, environment_id, version, resource, counterfactual)


def _explain_version(
    at: Now,
    environment_id: str,
    text: str,
    resource: str | None,
    counterfactual: bool,  # noqa: FBT001
) -> Told:
    version = at.version(text)
    here = {key for key, one in at.facts.targets.items() if one.environment_id == environment_id}
    worked = work_out(at.facts, at.now, only=here)
    targets = [
        one
        for one in worked.index.targets_by_environment.get(environment_id, ())
        if resource is None or resource in {one.resource_id, one.name}
    ]
    if resource is not None and not targets:
        raise NotFound("The deployment has no target on this resource in this environment.")
    groups = grouped(worked, targets, version)
    environment = at.facts.environments[environment_id]
    states = Counter({str(state): 0 for state in State})
    for group in groups:
        states[str(group.standing.state)] += len(group.targets)
    answer, reasons = verdict_of(groups)
    body: Told = {
        "at": instant(at.now),
        "deployment": {"id": at.facts.deployment_id, "name": at.facts.deployment_name},
        "environment": {"id": environment.id, "name": environment.name},
        "version": {"id": version.id, "tag": version.tag, "status": version.status},
        "answer": answer,
        "says": says(answer, version, environment.name, states, len(targets)),
        "targets": len(targets),
        "states": {state: number for state, number in states.items() if number},
        "groups": [
            _group(at, worked, group, counterfactual=counterfactual and number < SEARCHED_MAX)
            for number, group in enumerate(groups[:GROUPS_MAX])
        ],
    }
    if len(groups) > GROUPS_MAX:
        body["groupsLeftOut"] = len(groups) - GROUPS_MAX
    if reasons:
        body["waitsFor"] = sorted({str(one.verdict.waits_for or "unknown") for one in reasons})
    return body


def grouped(worked: WorkedOut, targets: Iterable[Target], version: Version) -> list[Group]:
    """Targets on which the version stands alike: those that are held first, the larger groups before the smaller."""
    found: dict[tuple[object, ...], tuple[Standing, list[Target]]] = {}
    for target in targets:
        standing = standing_of(worked, target, version)
        bars = tuple((one.kind, one.rule_ids, one.verdict.reason) for one in standing.bars)
        key = (standing.state, standing.kind, target.policy_set, bars)
        found.setdefault(key, (standing, []))[1].append(target)
    groups = [Group(standing, members) for standing, members in found.values()]
    order = [State.HELD, State.PACED, State.STARTS, State.MOVING, State.RUNS]
    return sorted(groups, key=lambda one: (order.index(one.standing.state), -len(one.targets), one.targets[0].id))


def verdict_of(groups: Sequence[Group]) -> tuple[str, list[Judged]]:
    """`allow` when nothing holds it anywhere, `person` when only people hold it, else `hold`; and what holds."""
    bars = [bar for group in groups if group.standing.state is State.HELD for bar in group.standing.bars]
    if not groups:
        return "hold", []
    if not any(group.standing.state is State.HELD for group in groups):
        return "allow", []
    return ("person" if all(bar.verdict.waits_for is WaitsFor.PERSON for bar in bars) else "hold"), bars


def says(answer: str, version: Version, environment: str, states: Mapping[str, int], targets: int) -> str:
    """The answer in one sentence."""
    if not targets:
        return f"There is no target for {version.tag} in {environment}: no resource is matched by both selectors."
    counts = ", ".join(f"{number} {WORDS[state]}" for state, number in states.items() if number)
    about = f"{version.tag} in {environment}, {targets} {'target' if targets == 1 else 'targets'}: {counts}."
    match answer:
        case "allow":
            return f"Nothing holds {about}"
        case "person":
            return f"A person is needed for {about}"
        case _:
            return f"Something holds {about}"


WORDS: Mapping[str, str] = {
    "runs": "run it",
    "moving": "on the way",
    "starts": "start with the next round",
    "paced": "wait for their place",
    "held": "held",
}


def _group(at: Now, worked: WorkedOut, group: Group, *, counterfactual: bool) -> Told:
    standing = group.standing
    body = standing_json(worked, standing, now=at.now)
    body["count"] = len(group.targets)
    body["targets"] = sorted(one.name or one.id for one in group.targets)[:NAMES_MAX]
    if counterfactual and standing.state is State.HELD:
        answer = find_counterfactual(at.facts, at.now, target_id=standing.target.id, version_id=standing.version.id)
        body["counterfactual"] = counterfactual_json(answer)
    return body

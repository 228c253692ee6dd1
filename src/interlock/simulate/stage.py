"""What do acts and expectations of a scenario work on? The world of the story, by the names that its file uses.

A stage knows what selectors see of each target and matches policies as `match_inventory` does, keeps the names that the
file gives to freezes and pins, and remembers what a snapshot forgets: moves that ended, trees of verdicts, when each
job was handed over. So that a story can be told and checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from interlock.decide.facts import Move, Target
from interlock.decide.plan import Decision, Plan, TargetDecision
from interlock.decide.proofs import named
from interlock.inventory.targets import policies_of
from interlock.model.errors import NotFound
from interlock.model.policy import Policy
from interlock.simulate.cast import PlacedTarget, WrittenPolicy
from interlock.simulate.traffic import Traffic
from interlock.simulate.world import World, policy

EVERYWHERE = "all"
"""The place that means every target."""

NOTHING = "none"
"""What a target runs that runs nothing; what holds one that nothing holds."""


@dataclass(frozen=True, slots=True)
class Telling:
    """A line of the timeline that an act gives: who did what, and why."""

    who: str
    what: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class HandedOver:
    """A job that an agent got."""

    at: datetime
    move: Move


@dataclass(slots=True)
class Stage:
    """The world of a story, and what is remembered of it."""

    world: World
    views: dict[str, Mapping[str, Any]]
    metadata: Mapping[str, str] = field(default_factory=dict)
    policies: dict[str, WrittenPolicy] = field(default_factory=dict)
    stored_at: dict[str, datetime] = field(default_factory=dict)
    names: dict[tuple[str, str], str] = field(default_factory=dict)
    cancel: Callable[[str], object] = lambda job_id: None  # noqa: ARG005 - set by the play
    traffic: Traffic | None = None
    measure_again: Callable[[str], object] = lambda verification_id: None  # noqa: ARG005 - set by the play
    moves: dict[str, Move] = field(default_factory=dict)
    move_by_job: dict[str, str] = field(default_factory=dict)
    move_by_verification: dict[str, str] = field(default_factory=dict)
    proofs: dict[str, tuple[str, str]] = field(default_factory=dict)
    """A proof -> what it is about, and its rollout."""
    rollouts: dict[str, tuple[str, str]] = field(default_factory=dict)
    requests: dict[str, tuple[str, str]] = field(default_factory=dict)
    handed_over: list[HandedOver] = field(default_factory=list)
    targets: dict[str, Target] = field(default_factory=dict)
    trees: dict[str, Decision] = field(default_factory=dict)
    rows: dict[str, TargetDecision] = field(default_factory=dict)

    # Policies ---------------------------------------------------------------------------------------------------------

    def match(self) -> None:
        """Match the policies that are enabled with the targets, and write both."""
        world = self.world
        enabled = [one for one in self.policies.values() if one.enabled]
        built = {one.name: self._built(one) for one in enabled}
        selectors = [(built[one.name].id, one.selector) for one in enabled]
        facts = world.facts
        deployment = {
            "id": facts.deployment_id,
            "name": facts.deployment_name,
            "slug": facts.deployment_name,
            "metadata": dict(self.metadata),
        }
        ids_by_target: dict[str, Iterable[str] | None] = {}
        for environment in facts.environments.values():
            here = [one for one in facts.targets.values() if one.environment_id == environment.id]
            views = [self.views[one.name] for one in here]
            sets = policies_of(selectors, views, environment=environment.view, deployment=deployment)
            ids_by_target |= {target.id: ids for target, ids in zip(here, sets, strict=True)}
        world.views = dict(self.views)
        world.labels = {name: view["metadata"] for name, view in self.views.items()}
        world.match_policies(built.values(), ids_by_target)

    def _built(self, written: WrittenPolicy) -> Policy:
        stored_at = self.stored_at.setdefault(written.name, self.world.now)
        return policy(written.name, written.rules, observe=written.observe, first_stored_at=stored_at)

    def rule_id(self, kind: str, policy_name: str | None) -> str:
        """The id of the one rule of a kind.

        Fails: `NotFound` where there is none, or several.
        """
        found = [
            rule.id
            for one in self.world.facts.policies.values()
            for rule in one.rules
            if kind in {rule.kind, rule.id} and policy_name in {None, one.name}
        ]
        if len(found) != 1:
            raise NotFound(f"There are {len(found)} rules {kind}; name the one policy that has it.")
        return found[0]

    def attach(self, placed: PlacedTarget) -> None:
        """A resource joins an environment, or comes back."""
        self.views[placed.name] = placed.view
        self.world.attach(placed.name, placed.environment, policy_set=None)
        self.match()

    # Places -----------------------------------------------------------------------------------------------------------

    def at(self, place: str) -> list[Target]:
        """The attached targets that a place names: one target, an environment's, or all, in the order of their names.

        Fails: `NotFound` for a word that is none of them.
        """
        facts = self.world.facts
        names = {one.name: one.id for one in facts.environments.values()}
        found = [
            target
            for target in facts.targets.values()
            if place in {EVERYWHERE, target.name} or names.get(place) == target.environment_id
        ]
        if not found and place != EVERYWHERE and place not in names:
            raise NotFound(f"There is no environment and no target {place}.")
        return sorted(found, key=lambda one: natural(one.name))

    def tag(self, version_id: str | None) -> str:
        """A version's tag; `none` for none."""
        if version_id is None:
            return NOTHING
        return next((one.tag for one in self.world.facts.versions if one.id == version_id), version_id)

    def target_name(self, target_id: str) -> str:
        """A target's name, also of one that left."""
        return self.targets[target_id].name if target_id in self.targets else target_id

    def environment_name(self, environment_id: str) -> str:
        """An environment's name."""
        found = self.world.facts.environments.get(environment_id)
        return found.name if found else environment_id

    # Remembering ------------------------------------------------------------------------------------------------------

    def remember(self, plan: Plan) -> None:
        """Keep what a plan says, before the facts forget it."""
        facts = self.world.facts
        self.targets |= {**facts.targets, **facts.leaving}
        self.moves |= {move.id: move for move in (*plan.moves, *facts.moves)}
        self.move_by_job |= {order.job.id: order.move_id for order in plan.jobs}
        self.move_by_verification |= {one.verification.id: one.move_id for one in plan.verifications}
        self.proofs |= {one.proof.id: (named(one.proof), one.rollout_id) for one in plan.proofs}
        for rollout in plan.rollouts:
            what = self.tag(rollout.version_id) if rollout.version_id else "the new config"
            self.rollouts[rollout.id] = (what, self.environment_name(rollout.environment_id))
        for request in plan.requests:
            self.requests[request.id] = (self.tag(request.version_id), self.environment_name(request.environment_id))
        self.trees |= {one.id: one for one in plan.decisions}
        self.rows |= {one.target_id: one for one in plan.target_decisions}

    def holds(self, target_id: str) -> list[Mapping[str, Any]]:
        """The verdicts that hold a target now; empty where nothing does, or while it moves."""
        row = self.rows.get(target_id)
        if row is None or row.outcome == "moving":
            return []
        trees = (verdict for one in row.decision_ids if one in self.trees for verdict in self.trees[one].verdicts)
        return [one for one in (*row.verdicts, *trees) if one["outcome"] != "pass" and not one.get("observed")]


def natural(name: str) -> tuple[tuple[int, object], ...]:
    """Sorts host-2 before host-10."""
    parts: list[tuple[int, object]] = []
    word = ""
    for letter in f"{name}\0":
        if word and letter.isdigit() != word[-1].isdigit():
            parts.append((0, int(word)) if word.isdigit() else (1, word))
            word = ""
        word += letter
    return tuple(parts)


Doing = Callable[[Stage], list[Telling]]
"""What happens to the stage at an instant, and what is told of it."""

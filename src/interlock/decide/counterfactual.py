"""What would have to be different for this version to go to this target? The smallest set of facts that a search finds.

    offer    each holding verdict offers lifts: its rule's own (`lifts` of the rule's module), else its instant, else to
             skip the rule, or to pin
    apply    all of them; work the round out again on the facts that would then hold; what holds now offers next
    reduce   drop what is not needed; then try every proper subset, smallest first, so that none of them suffices

Every answer is confirmed by deciding, never derived from the rules' words. *Goes* means that the move would start, or
waits for its place in its rollout alone. Where only its place holds, the search asks for more: that it starts.

The search looks at a narrowed fleet: in the target's own environment only the target, and one more of each set of
policies, since a gate reads no other. It ends after `LOOKS_MAX` rounds worked out, and says so.

When it finds nothing it says what still holds after everything that it tried, which is the honest answer.

Source: issue "Every rule, one pure decision", "Answers"; the docstring of `lift.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import combinations
from types import ModuleType

from interlock.decide import work_out
from interlock.decide.facts import Facts, Target, Version
from interlock.decide.gates import SCOPES
from interlock.decide.index import Index
from interlock.decide.lift import (
    Lift,
    clear_quarantines,
    clock,
    force_target,
    land_move,
    lift,
    pin_target,
    skip_rule,
    with_lifts,
    withdraw_order,
)
from interlock.decide.rules import RULE_BY_KIND
from interlock.decide.standing import STOPPED, Standing, State, standing_of
from interlock.decide.subjects import EnvironmentVersion, TargetMove
from interlock.decide.verdict import Judged, Verdict
from interlock.model.policy import Rule

LIFTS_MAX = 8
"""A larger set than this is no answer for a person, and its proper subsets could not all be tried."""

LOOKS_MAX = 300
"""Rounds worked out for one answer."""

STEPS_MAX = 12
"""How often new holds may come up behind lifted ones."""

WAITS_MAX = 4
"""How often the same hold may ask for one more instant."""

PLACE_TARGETS_MAX = 2000
"""In a larger environment a target that waits for its place alone is told its place, and nothing is searched."""

FALL_BACK_TARGETS_MAX = 200
"""In a larger fleet what a target that runs nothing yet might fall back to is left out of the search."""

LIFTS = {
    "agent_picked": "One job agent is picked for {target} in {environment}.",
    "version_ready": "The status of {version} is ready.",
    "policies_matched": "The policies of the targets are worked out, and are those that they have now.",
}


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """A set of facts whose change lets the version go, of which no proper subset does.

    Takes: `lifts` is empty where nothing need change. `then` is where it would stand; `at` the instant of that.
           `found` False: `left` is what still holds after everything that was tried, `why` is `nothing_lifts`,
           `too_many` or `looks_used`.
    """

    found: bool
    lifts: tuple[Lift, ...]
    then: State
    at: datetime
    left: tuple[Judged, ...] = ()
    why: str | None = None
    looks: int = 0


def find_counterfactual(
    facts: Facts,
    now: datetime,
    *,
    target_id: str,
    version_id: str,
    lifts_max: int = LIFTS_MAX,
    looks_max: int = LOOKS_MAX,
) -> Counterfactual:
    """Search.

    Takes: an attached target and a version that the facts hold.
    Costs: one round over the narrowed facts for each look.
    """
    answer = _Search(narrowed(facts, target_id), now, target_id, version_id, lifts_max, looks_max, place=False).run()
    beside = sum(1 for one in facts.targets.values() if one.environment_id == facts.targets[target_id].environment_id)
    if not answer.found or beside > PLACE_TARGETS_MAX:
        return answer
    standing = look(*with_lifts(facts, now, answer.lifts), target_id=target_id, version_id=version_id, beside=True)
    assert standing is not None, "the narrowed facts are some of these"
    if standing.state is State.HELD:  # something reads more than was kept: all of it, then, as far as that can be paid
        fewer = looks_max if beside <= FALL_BACK_TARGETS_MAX else looks_max // 10
        return _Search(facts, now, target_id, version_id, lifts_max, fewer, place=False).run()
    if answer.lifts or standing.state is not State.PACED:
        return replace(answer, then=standing.state, left=standing.bars)
    return _Search(facts, now, target_id, version_id, lifts_max, looks_max // 10, place=True).run()


def narrowed(facts: Facts, target_id: str) -> Facts:
    """The facts without those targets of its environment that no gate of this one reads.

    Why:    a gate reads the targets of other environments, and of its own none but the one that moves. Kept are those
            that move or failed (what became of them may halt a rollout), those on which a config was undone (they end
            its halt), and one of each set of policies (the least of what they allow to fail counts). A target that runs
            nothing yet may fall back to what is good beside it while others go before it: there all are kept, unless
            they are very many.
    """
    mine = facts.targets[target_id]
    moving = {move.target_id for move in facts.moves if move.open or move.state == "failed"}
    index = Index(facts)
    for rollout in facts.rollouts:
        if rollout.kind == "config" and rollout.state == "halted":
            moving |= {wrong_id for wrong_id, _ in index.went_wrong(rollout)}
    kept: dict[str, Target] = {}
    seen = {mine.policy_set}
    all_kept = mine.current is None and len(facts.targets) <= FALL_BACK_TARGETS_MAX
    for key, target in facts.targets.items():
        elsewhere = target.environment_id != mine.environment_id
        if elsewhere or all_kept or key == target_id or key in moving or target.policy_set not in seen:
            kept[key] = target
            seen.add(target.policy_set)
    leaving = {
        key: one for key, one in facts.leaving.items() if one.environment_id != mine.environment_id or key in moving
    }
    return replace(facts, targets=kept, leaving=leaving, decided_by_subject={}, decided_by_target={})


def goes(standing: Standing, *, place: bool) -> bool:
    """Whether that is what was asked for; with `place`, that it waits for nothing at all."""
    return standing.state.goes and not (place and standing.state is State.PACED)


def look(facts: Facts, now: datetime, *, target_id: str, version_id: str, beside: bool = False) -> Standing | None:
    """Where the version stands; None when the facts do not hold both. `beside` asks its whole environment."""
    target = facts.targets.get(target_id)
    if target is None:
        return None
    only = {target_id}
    if beside:
        only = {key for key, one in facts.targets.items() if one.environment_id == target.environment_id}
    worked = work_out(facts, now, only=only)
    version = worked.index.version_by_id.get(version_id)
    return None if version is None else standing_of(worked, worked.index.facts.targets[target_id], version)


class _Search:
    """One question, and how often it was looked at."""

    def __init__(
        self,
        facts: Facts,
        now: datetime,
        target_id: str,
        version_id: str,
        lifts_max: int,
        looks_max: int,
        *,
        place: bool,
    ) -> None:
        self.facts, self.now = facts, now
        self.target_id, self.version_id = target_id, version_id
        self.lifts_max, self.looks_max, self.place = lifts_max, looks_max, place
        self.looks = 0
        self.waited: Counter[tuple[str, ...]] = Counter()

    def run(self) -> Counterfactual:
        """Offer and apply until it goes, then reduce."""
        chosen: dict[str, Lift] = {}
        standing, at = self._look(())
        for _ in range(STEPS_MAX):
            if goes(standing, place=self.place):
                return self._reduced(tuple(chosen.values()), standing, at)
            more = self._next_lifts(standing, at, chosen)
            if not more or self.looks >= self.looks_max:
                break
            chosen |= more
            standing, at = self._look(chosen.values())
        why = "looks_used" if self.looks >= self.looks_max else "nothing_lifts"
        return self._not_found(standing, at, why)

    def _look(self, lifts: Iterable[Lift]) -> tuple[Standing, datetime]:
        self.looks += 1
        facts, at = with_lifts(self.facts, self.now, lifts)
        standing = look(facts, at, target_id=self.target_id, version_id=self.version_id, beside=True)
        assert standing is not None, "no lift takes a target or a version away"
        return standing, at

    def _not_found(self, standing: Standing, at: datetime, why: str) -> Counterfactual:
        left = standing.bars
        if self.place:  # everything but its place lets it go: that is an answer too
            return Counterfactual(True, (), State.PACED, self.now, self._look(())[0].bars, None, self.looks)
        return Counterfactual(False, (), State.HELD, at, left, why, self.looks)

    def _next_lifts(self, standing: Standing, at: datetime, chosen: Mapping[str, Lift]) -> dict[str, Lift]:
        """For each hold the first of its offers that was not taken yet."""
        index = Index(with_lifts(self.facts, self.now, chosen.values())[0])
        found: dict[str, Lift] = {}
        for bar in standing.bars:
            hold = (bar.kind, bar.verdict.reason, *bar.rule_ids)
            for group in offers(index, standing, bar, at):
                waits = any(one.at is not None for one in group)
                new = {one.key: one for one in group if one.key not in chosen}
                if not new or (waits and self.waited[hold] == WAITS_MAX):
                    continue
                self.waited[hold] += waits
                found |= new
                break
        return found

    def _reduced(self, lifts: tuple[Lift, ...], standing: Standing, at: datetime) -> Counterfactual:
        """The set without what it does not need; of all sets within it that suffice, one of the smallest."""
        for one in reversed(lifts):
            fewer = tuple(other for other in lifts if other is not one)
            if self.looks < self.looks_max and goes(self._look(fewer)[0], place=self.place):
                lifts = fewer
        if len(lifts) > self.lifts_max:
            return self._not_found(self._look(())[0], self.now, "too_many")
        for size in range(len(lifts)):
            for subset in combinations(lifts, size):
                if self.looks >= self.looks_max:
                    return self._not_found(self._look(())[0], self.now, "looks_used")
                smaller, then_at = self._look(subset)
                if goes(smaller, place=self.place):
                    return Counterfactual(True, subset, smaller.state, then_at, smaller.bars, None, self.looks)
        standing, at = self._look(lifts)
        return Counterfactual(True, lifts, standing.state, at, standing.bars, None, self.looks)


# Offers ---------------------------------------------------------------------------------------------------------------


def offers(index: Index, standing: Standing, bar: Judged, now: datetime) -> Iterator[tuple[Lift, ...]]:
    """What would lift one hold, best first: the rule's own lifts, its instant, a pin or a skip."""
    own = _rule_lifts(index, standing, bar) or _core_lifts(index, standing, bar)
    if own:
        yield own
    if bar.verdict.changes_at is not None and bar.verdict.changes_at > now:
        yield (clock(bar.verdict.changes_at),)
    target, version = standing.target, standing.version
    environment = index.facts.environments[target.environment_id]
    rules = [rule for rule in _rules(index, target) if rule.id in bar.rule_ids]
    if rules and RULE_BY_KIND[bar.kind].shape == "gate" and bar.kind in SCOPES:
        yield tuple(
            skip_rule(
                rule,
                policy_name=index.facts.policies[rule.policy_id].name if rule.policy_id in index.facts.policies else "",
                version=version,
                environment_id=environment.id,
                environment=environment.name,
            )
            for rule in rules
        )
    if bar.kind in {"pin", "history", "quarantine", "versionSelector"} or bar.verdict.reason in STOPPED:
        yield (pin_target(target, version, environment=environment.name),)


def _rules(index: Index, target: Target) -> list[Rule]:
    return [rule for policy in index.policies_of(target.policy_set) for rule in policy.rules]


def _rule_lifts(index: Index, standing: Standing, bar: Judged) -> tuple[Lift, ...]:
    """What the rule's own module offers."""
    module = RULE_BY_KIND.get(bar.kind)
    if module is None or not hasattr(module, "lifts"):
        return ()
    target, version = standing.target, standing.version
    rules = tuple(rule for rule in _rules(index, target) if rule.id in bar.rule_ids)
    params = rules if getattr(module, "joint", False) else rules[0].params if rules else None
    shared = EnvironmentVersion(index, index.facts.environments[target.environment_id], version, standing.kind)
    alone = TargetMove(index, target, version, standing.kind)
    scope = SCOPES.get(bar.kind, "TargetMove")
    subjects: list[object] = (
        [shared] if scope == "EnvironmentVersion" else [alone] if scope == "TargetMove" else [shared, alone]
    )
    return tuple(one for subject in subjects for one in _guarded(module, subject, params, bar.verdict))


def _guarded(module: ModuleType, subject: object, params: object, verdict: Verdict) -> tuple[Lift, ...]:
    """What a rule offers; nothing when it raises: an answer for people must not fail because of one rule."""
    try:
        return tuple(module.lifts(subject, params, verdict))
    except Exception:  # noqa: BLE001 - whatever a rule does wrong, the others still answer
        return ()


def _core_lifts(index: Index, standing: Standing, bar: Judged) -> tuple[Lift, ...]:
    """What lifts the holds that no rule owns."""
    target, version = standing.target, standing.version
    environment = index.facts.environments[target.environment_id].name
    match bar.verdict.reason:
        case "no_agent" | "ambiguous_agent":
            return (_agent_picked(target, environment),)
        case "version_not_ready":
            return (_version_ready(version),)
        case "quarantined":
            return (clear_quarantines(frozenset({target.id}), version, where=environment),)
        case "not_matched_yet" if target.policy_set is not None:
            return (lift("policies_matched", _matched),)
        case "order_goes_first":
            order = index.order_of(target)
            return () if order is None else (withdraw_order(order, target, environment=environment),)
        case "config_attempts_used" | "slot_group_unknown":
            return (force_target(target, version, environment=environment),)
        case "another_under_way":
            move = index.open_move_by_target.get(target.id)
            tag = str(bar.verdict.values.get("version"))
            return () if move is None else (land_move(move, target, what=tag, where=environment),)
        case _:
            return ()


def _agent_picked(target: Target, environment: str) -> Lift:
    def change(facts: Facts, now: datetime) -> Facts:
        del now
        known = facts.targets[target.id]
        picked = replace(known, agent="one", config_digest=known.config_digest or "the config of that agent")
        return replace(facts, targets={**facts.targets, target.id: picked})

    name = target.name or target.id
    who = "whoever may edit the deployment or its agents"
    return lift("agent_picked", change, who=who, target=name, environment=environment)


def _version_ready(version: Version) -> Lift:
    def change(facts: Facts, now: datetime) -> Facts:
        del now
        ready = replace(version, status="ready", view={**version.view, "status": "ready"})
        return replace(facts, versions=tuple(ready if one.id == version.id else one for one in facts.versions))

    return lift("version_ready", change, who="whoever may edit the version", version=version.tag)


def _matched(facts: Facts, now: datetime) -> Facts:
    del now
    return replace(facts, policies_matched=True)

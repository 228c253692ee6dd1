"""What would a changed policy do, before it is saved? The same facts decided twice, and where the answers differ.

Facts as they are, and facts in which some policies are replaced: other rules, another selector, gone. Both are decided
at the same instant as if no decision stood yet, and compared target by target: what starts, what holds it, and whether
that changed. Nothing is written, and nothing moves.

Which targets a new selector picks is worked out outside (`inventory/targets.py`), for that is matching, not deciding.

Source: core.md section 4 (policies, observe); docs/guides/what-if-and-forecast.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from interlock.decide import decide
from interlock.decide.explain import sentence, title
from interlock.decide.facts import Facts, Move, Slot, Target
from interlock.decide.plan import Plan
from interlock.inventory.slots import SlotKey
from interlock.model.ids import derived_id
from interlock.model.policy import Policy

Verdict = Mapping[str, object]

STARTS = "starts"
"""The outcome of a target whose move starts in this very round; the others are those of its decision."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Policies as they would be.

    Takes: `policies`: policy id -> the policy, or None for one that is deleted or disabled. `selected_by_target`:
           target id -> the ids of those of `policies` that would select it; None where a selector cannot be told for
           it. `slot_keys_by_target` are the slot groups by their rules.
    """

    policies: Mapping[str, Policy | None]
    selected_by_target: Mapping[str, frozenset[str] | None]
    slot_keys_by_target: Mapping[str, tuple[SlotKey, ...]]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a target stands: what comes of it now, for which version, and the verdicts that hold it."""

    outcome: str
    tag: str | None
    holds: tuple[Verdict, ...] = ()

    @property
    def content(self) -> tuple[object, ...]:
        """What of it makes a difference: the reasons, not their numbers and instants."""
        return (self.outcome, self.tag, frozenset(map(_key, self.holds)))


@dataclass(frozen=True, slots=True)
class Difference:
    """A target that would stand elsewhere.

    Takes: `change` is `starts` (it would start now), `stops` (it would not), `held` (nothing holds it now), `freed`
           (nothing would), or `other` (something else holds it).
    """

    target_id: str
    change: str
    before: Standing
    after: Standing

    @property
    def added(self) -> tuple[Verdict, ...]:
        """What would hold it that does not now."""
        known = set(map(_key, self.before.holds))
        return tuple(one for one in self.after.holds if _key(one) not in known)

    @property
    def lifted(self) -> tuple[Verdict, ...]:
        """What holds it now and would not."""
        known = set(map(_key, self.after.holds))
        return tuple(one for one in self.before.holds if _key(one) not in known)


def replaced(facts: Facts, proposal: Proposal) -> Facts:
    """The facts as they would be with other policies.

    Why:    each target's set of policies is interned again, because a new selector may change which targets share one.
    """
    policies = {key: one for key, one in facts.policies.items() if key not in proposal.policies}
    policies |= {key: one for key, one in proposal.policies.items() if one is not None}
    sets: dict[str, tuple[str, ...]] = {}
    targets = {}
    for target in facts.targets.values():
        selected = proposal.selected_by_target.get(target.id, frozenset())
        kept = [one for one in facts.policy_sets.get(target.policy_set or "", ()) if one not in proposal.policies]
        set_id = None
        if selected is not None and target.policy_set is not None:
            ids = tuple(sorted({*kept, *selected}))
            set_id = derived_id("policy-set", *ids)
            sets[set_id] = ids
        own = [one for one in target.slot_keys if one.policy_id not in proposal.policies]
        own += proposal.slot_keys_by_target.get(target.id, ())
        keys = tuple(sorted(own, key=lambda one: (one.policy_id, one.rule_id)))
        targets[target.id] = replace(target, policy_set=set_id, slot_keys=keys)
    for target in facts.leaving.values():
        if target.policy_set is not None:
            sets.setdefault(target.policy_set, facts.policy_sets.get(target.policy_set, ()))
    sizes = Counter(one.key for target in targets.values() for one in target.slot_keys if one.key is not None)
    slots = {key: facts.slots.get(key) or Slot(size) for key, size in sizes.items()}
    moves = tuple(_with_slots(move, targets) if move.open else move for move in facts.moves)
    return replace(facts, policies=policies, policy_sets=sets, targets=targets, slots=slots, moves=moves)


def _with_slots(move: Move, targets: Mapping[str, Target]) -> Move:
    """An open move holds the slots of its target's groups."""
    target = targets.get(move.target_id)
    if target is None:
        return move
    held = tuple(sorted(one.key for one in target.slot_keys if one.key is not None))
    return move if held == move.slots else replace(move, slots=held)


def differences(facts: Facts, proposal: Proposal, now: datetime) -> tuple[Difference, ...]:
    """The targets that would stand elsewhere, by environment and name.

    Costs: two rounds.
    """
    before = standings(facts, now)
    after = standings(replaced(facts, proposal), now)
    found = [
        Difference(target_id, _change(before[target_id], after[target_id]), before[target_id], after[target_id])
        for target_id in facts.targets
        if before[target_id].content != after[target_id].content
    ]
    names = {target.id: (target.environment_id, target.name, target.id) for target in facts.targets.values()}
    return tuple(sorted(found, key=lambda one: names[one.target_id]))


def standings(facts: Facts, now: datetime) -> dict[str, Standing]:
    """Where each target stands now: target id -> standing."""
    plan = decide(replace(facts, decided_by_subject={}, decided_by_target={}), now)
    return _read(facts, plan)


def _read(facts: Facts, plan: Plan) -> dict[str, Standing]:
    tags = {version.id: version.tag for version in facts.versions}
    starting = {move.target_id: move for move in plan.moves}
    trees = {one.id: one.verdicts for one in plan.decisions}
    held_by_tree = {key: tuple(one for one in verdicts if _bars(one)) for key, verdicts in trees.items()}
    rows = {row.target_id: row for row in plan.target_decisions}
    found: dict[str, Standing] = {}
    for target_id in facts.targets:
        move, row = starting.get(target_id), rows.get(target_id)
        if move is not None:
            found[target_id] = Standing(STARTS, tags.get(move.version_id, move.version_id))
        elif row is None:
            found[target_id] = Standing("settled", None)
        else:
            held = [one for one in row.verdicts if _bars(one)]
            held += [one for key in row.decision_ids for one in held_by_tree.get(key, ())]
            tag = tags.get(row.version_id, row.version_id) if row.version_id else None
            found[target_id] = Standing(row.outcome, tag, tuple(held))
    return found


def _bars(verdict: Verdict) -> bool:
    return verdict["outcome"] != "pass" and not verdict.get("observed")


def _key(verdict: Verdict) -> tuple[object, ...]:
    return (verdict["rule"], verdict["reason"], verdict.get("policyId"))


def _change(before: Standing, after: Standing) -> str:
    if after.outcome == STARTS and before.outcome != STARTS:
        return "starts"
    if before.outcome == STARTS and after.outcome != STARTS:
        return "stops"
    if after.holds and not before.holds:
        return "held"
    if before.holds and not after.holds:
        return "freed"
    return "other"


def sentences_of(verdicts: Sequence[Verdict]) -> list[str]:
    """The verdicts as sentences, each once."""
    return list(dict.fromkeys(f"{title(one)}: {sentence(one)}" for one in verdicts))

"""Is there a free slot for this move? The last question before a move starts, asked in the order in which moves start.

A slot is a place in a group of targets that the rule `concurrency` limits, across deployments. A round sees how many
others hold, knows what its own moves hold, and counts on while it starts more; what it takes goes into the plan as
claims, and the commit counts once more under the group's lock.

A move keeps its slots until it ends: what is being retried or verified is not asked again, and a target that goes for
something else, with a job that nobody has yet, hands its slots on.

Source: core.md section 4 (the table of moves) and section 3 (slot groups).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from interlock.decide.facts import Slot, Target
from interlock.decide.index import Index
from interlock.decide.plan import SlotClaim
from interlock.decide.rules import concurrency
from interlock.decide.rules.concurrency import Params, limit_of
from interlock.decide.verdict import Judged, Stage, Verdict, WaitsFor, holds, unknown
from interlock.inventory.slots import SlotKey, group_of
from interlock.model.policy import Rule

ASKED_AT: Mapping[str, str] = {
    "forward": "limit",
    "config": "limit",
    "pin": "limit",
    "redeploy": "limit",
    "retry": "kept",
    "rollback": "rollback cap",
    "force": "not asked",
}
"""Kind of move -> how it meets concurrency. `kept`: it has its slots since it started. `not asked`: counted only."""

WHO = "whoever ends a move of the group, or may edit the policy"

Rules = tuple[tuple[Rule, Params], ...]


class Slots:
    """The slot groups of one round, counted on while moves start."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self._rules: dict[str | None, Rules] = {}
        self._held: dict[str, int] = {}
        self._shared: dict[tuple[object, ...], Judged] = {}
        self.limiting = any(
            rule.kind == concurrency.kind for policy in index.facts.policies.values() for rule in policy.rules
        )
        if self.limiting:
            self._held = {key: slot.held_by_others for key, slot in index.facts.slots.items()}
            for move in index.open_move_by_target.values():
                self._count(move.slots, 1)

    def release(self, target_ids: Iterable[str]) -> None:
        """The open moves of these targets end in this round: others may have their slots."""
        if self.limiting:
            for target_id in sorted(target_ids):
                self._count(self.index.open_move_by_target[target_id].slots, -1)

    def take(self, target: Target, kind: str) -> tuple[Judged, ...]:
        """Take a slot in each group of a target, or none: then what is in the way.

        Takes: a target without a move that stays.
        Gives: empty when the move may start. What nobody counted yet is counted from now on.
        """
        if not self.limiting:
            return ()
        asked = [(rule, params, self._key(target, rule)) for rule, params in self._rules_of(target.policy_set)]
        held: tuple[Judged, ...] = ()
        if ASKED_AT[kind] != "not asked":
            judged = (self._judge(rule, params, key, kind) for rule, params, key in asked)
            held = tuple(one for one in judged if one is not None)
        if not held:
            self._count([key.key for _, _, key in asked if key is not None and key.key is not None], 1)
        return held

    def count(self, target: Target, by: int) -> None:
        """Somebody takes (1) or gives back (-1) a slot in each group of a target, whatever the limits."""
        for rule, _ in self._rules_of(target.policy_set) if self.limiting else ():
            key = self._key(target, rule)
            if key is not None and key.key is not None:
                self._count((key.key,), by)

    def claims(self, target: Target, kind: str, move_id: str) -> tuple[SlotClaim, ...]:
        """The slots that a move of a target takes with it, by key."""
        if not self.limiting:
            return ()
        claims = []
        for rule, params in self._rules_of(target.policy_set):
            key = self._key(target, rule)
            if key is not None and key.key is not None:
                asked = ASKED_AT[kind] != "not asked"
                limit = limit_of(params, self._slot(key.key).size, kind=kind) if asked else None
                claims.append(SlotClaim(move_id, key.key, limit))
        return tuple(sorted(claims, key=lambda one: one.key))

    def _judge(self, rule: Rule, params: Params, key: SlotKey | None, kind: str) -> Judged | None:
        """Why a move must wait for this group, if it must. Those who wait for the same share the verdict."""
        if key is None or key.key is None:
            return None if kind == "rollback" else self._unknown(rule, key)
        size, held = self._slot(key.key).size, self._held.get(key.key, 0)
        limit = limit_of(params, size, kind=kind)
        if held < limit:
            return None
        asked = (key.key, kind == "rollback", held)
        if asked not in self._shared:
            verdict = holds(
                WaitsFor.WAIT,
                "concurrency_full",
                waits_on=(f"slot:{key.key}",),
                who=WHO,
                held=held,
                limit=limit,
                size=size,
                key=key.key,
                group=group_of(key.key, policy_id=rule.policy_id, rule_id=rule.id) or "all",
            )
            self._shared[asked] = self._judged(rule, verdict)
        return self._shared[asked]

    def _unknown(self, rule: Rule, key: SlotKey | None) -> Judged:
        why = "it is still being worked out" if key is None or key.why is None else key.why
        asked = (rule.policy_id, rule.id, why)
        if asked not in self._shared:
            waits_on = (f"match:{self.index.facts.deployment_id}",)
            self._shared[asked] = self._judged(rule, unknown("slot_group_unknown", waits_on=waits_on, why=why))
        return self._shared[asked]

    def _judged(self, rule: Rule, verdict: Verdict) -> Judged:
        policy = self.index.facts.policies[rule.policy_id]
        return Judged(concurrency.kind, verdict, Stage.READINESS, (rule.id,), policy.id, policy.name)

    def _rules_of(self, policy_set: str | None) -> Rules:
        """The rules that limit the targets of a policy set."""
        if policy_set not in self._rules:
            enforced = self.index.enforced_rules(policy_set, concurrency.kind)
            self._rules[policy_set] = tuple((rule, cast("Params", rule.params)) for rule in enforced)
        return self._rules[policy_set]

    def _key(self, target: Target, rule: Rule) -> SlotKey | None:
        """The target's group under a rule; None while nobody worked it out."""
        for one in target.slot_keys:
            if one.rule_id == rule.id and one.policy_id == rule.policy_id:
                return one
        return None

    def _slot(self, key: str) -> Slot:
        return self.index.facts.slots.get(key) or Slot()

    def _count(self, keys: Iterable[str], by: int) -> None:
        for key in keys:
            self._held[key] = self._held.get(key, 0) + by

"""Where in the facts is what the core asks for? Facts, looked up by what the core asks for.

Built once a round from frozen facts; it holds nothing that is not in them, and computes a lookup when it is first asked
for. What follows from facts alone, whatever a rule says (is a version newer, does a target lack its config, has a pin
had its move), is answered here too, once for all who ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cached_property

from interlock.decide.facts import (
    Environment,
    Facts,
    Move,
    Order,
    Pin,
    Quarantine,
    ReleaseRef,
    Rollout,
    Target,
    Version,
)
from interlock.inventory.selector import Selector
from interlock.inventory.to_python import predicate
from interlock.model.policy import Policy, Rule


class Index:
    """Facts, looked up by what the core asks for."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self._policies: dict[str | None, tuple[Policy, ...]] = {}
        self._enforced: dict[tuple[str | None, str], tuple[Rule, ...]] = {}
        self._newer: dict[str | None, tuple[Version, ...]] = {}
        self._picked: dict[Selector, frozenset[str]] = {}

    # Versions ---------------------------------------------------------------------------------------------------------

    @cached_property
    def version_by_id(self) -> dict[str, Version]:
        """Version id -> version."""
        return {version.id: version for version in self.facts.versions}

    @cached_property
    def newest_first(self) -> tuple[Version, ...]:
        """The versions, whatever order they came in."""
        return tuple(sorted(self.facts.versions, key=lambda version: version.age_key, reverse=True))

    def newer_than(self, version_id: str | None) -> tuple[Version, ...]:
        """The versions newer than one, newest first: all of them for None, none when it is not known."""
        if version_id not in self._newer:
            known = self.version_by_id.get(version_id or "")
            self._newer[version_id] = tuple(
                version
                for version in self.newest_first
                if version_id is None or (known is not None and version.age_key > known.age_key)
            )
        return self._newer[version_id]

    def is_newer(self, version_id: str, than_id: str) -> bool:
        """Whether one known version is newer than another."""
        one, other = self.version_by_id.get(version_id), self.version_by_id.get(than_id)
        return one is not None and other is not None and one.age_key > other.age_key

    # Targets ----------------------------------------------------------------------------------------------------------

    @cached_property
    def targets_in_order(self) -> tuple[Target, ...]:
        """The attached targets by id."""
        targets = self.facts.targets
        return tuple(targets[target_id] for target_id in sorted(targets))

    @cached_property
    def targets_by_environment(self) -> dict[str, tuple[Target, ...]]:
        """Environment id -> its attached targets, by (attached_at, id)."""
        return _by_environment(self.facts.targets.values(), self.facts.environments)

    @cached_property
    def leaving_by_environment(self) -> dict[str, tuple[Target, ...]]:
        """Environment id -> the targets that left it and still count somewhere, by (attached_at, id)."""
        return _by_environment(self.facts.leaving.values(), self.facts.environments)

    @cached_property
    def quarantined(self) -> frozenset[tuple[str, str]]:
        """(target id, version id or config digest) that must not be taken."""
        return frozenset((one.target_id, one.version_id or one.config_digest or "") for one in self.facts.quarantines)

    @cached_property
    def quarantines_by_target(self) -> dict[str, tuple[Quarantine, ...]]:
        """Target id -> what it must not take again."""
        groups: dict[str, list[Quarantine]] = {}
        for one in self.facts.quarantines:
            groups.setdefault(one.target_id, []).append(one)
        return {target_id: tuple(group) for target_id, group in groups.items()}

    @cached_property
    def orders_by_target(self) -> dict[str, tuple[Order, ...]]:
        """Target id -> the open orders on it, the one whose turn it is first."""
        groups: dict[str, list[Order]] = {}
        for order in sorted(self.facts.orders, key=lambda one: one.rank):
            groups.setdefault(order.target_id, []).append(order)
        return {target_id: tuple(group) for target_id, group in groups.items()}

    def order_of(self, target: Target) -> Order | None:
        """The open order whose turn it is on a target."""
        orders = self.orders_by_target.get(target.id)
        return orders[0] if orders else None

    def goes_back(self, target_id: str) -> Order | None:
        """The open order by which a target is to go back."""
        orders = self.orders_by_target.get(target_id, ())
        return orders[0] if orders and orders[0].kind == "rollback" else None

    @cached_property
    def good_versions_by_environment(self) -> dict[str, frozenset[str]]:
        """Environment id -> versions that are the `good` of one of its targets."""
        return {
            environment_id: frozenset(target.good.version_id for target in targets if target.good is not None)
            for environment_id, targets in self.targets_by_environment.items()
        }

    @cached_property
    def bad_versions_by_environment(self) -> dict[str, frozenset[str]]:
        """Environment id -> versions that one of its targets must not take again."""
        found: dict[str, frozenset[str]] = {}
        for one in self.facts.quarantines:
            target = self.facts.targets.get(one.target_id)
            if target is not None and one.version_id is not None:
                known = found.get(target.environment_id, frozenset())
                found[target.environment_id] = known | {one.version_id}
        return found

    def floor(self, target: Target) -> str | None:
        """The version that a target's candidates must be newer than: its mark, or what it runs.

        Why:    the mark is set back to what runs when a pin is removed; a job in flight then may bring something newer.
        """
        current, mark = target.current, target.mark
        if current is None or mark is None or current.version_id == mark:
            return mark
        return current.version_id if self.is_newer(current.version_id, mark) else mark

    def drifts(self, target: Target) -> bool:
        """Whether a target lacks its resolved config, and may take it.

        Why:    after a rollback no config moves, until its quarantine is cleared or a newer version runs.
        """
        current = target.current
        if current is None or target.config_digest in {None, current.config_digest}:
            return False
        return all(self._left_behind(target, current, one) for one in self.quarantines_by_target.get(target.id, ()))

    def _left_behind(self, target: Target, current: ReleaseRef, quarantine: Quarantine) -> bool:
        """Whether a quarantine's failure is past: a newer version runs, or what failed was proven after all."""
        failed = quarantine.version_id or quarantine.failed_version_id
        if failed is not None and self.is_newer(current.version_id, failed):
            return True
        proven = target.good is not None and target.good.id == current.id
        taken = (current.version_id, None) if quarantine.version_id else (None, current.config_digest)
        return proven and taken == (quarantine.version_id, quarantine.config_digest)

    @cached_property
    def lacking_by_environment_version(self) -> dict[tuple[str, str], frozenset[str]]:
        """(environment id, version id) -> the resolved configs that targets lack which run that version there."""
        found: dict[tuple[str, str], set[str]] = {}
        for target in self.facts.targets.values():
            if target.current is not None and target.config_digest is not None and self.drifts(target):
                key = (target.environment_id, target.current.version_id)
                found.setdefault(key, set()).add(target.config_digest)
        return {key: frozenset(digests) for key, digests in found.items()}

    # Rollouts and moves -----------------------------------------------------------------------------------------------

    @cached_property
    def open_move_by_target(self) -> dict[str, Move]:
        """Target id -> its one open move."""
        return {move.target_id: move for move in self.facts.moves if move.open}

    @cached_property
    def moves_by_rollout(self) -> dict[str, tuple[Move, ...]]:
        """Rollout id -> its moves by (admitted_at, id)."""
        groups: dict[str, list[Move]] = {}
        for move in self.facts.moves:
            if move.rollout_id is not None:
                groups.setdefault(move.rollout_id, []).append(move)
        return {key: tuple(sorted(group, key=lambda m: (m.admitted_at, m.id))) for key, group in groups.items()}

    @cached_property
    def rollout_by_change_environment(self) -> dict[tuple[str, str], Rollout]:
        """(change id, environment id) -> rollout."""
        return {(rollout.change_id, rollout.environment_id): rollout for rollout in self.facts.rollouts}

    @cached_property
    def live_rollout_by_environment_kind(self) -> dict[tuple[str, str], Rollout]:
        """(environment id, kind) -> the one rollout that is open, paused or halted."""
        return {(rollout.environment_id, rollout.kind): rollout for rollout in self.facts.rollouts if rollout.live}

    def went_wrong(self, rollout: Rollout) -> frozenset[tuple[str, str]]:
        """(target id, config digest) that a config rollout brought in vain: the newest move failed, or was undone."""
        moves = self.moves_by_rollout.get(rollout.id, ())
        newest = {move.target_id: move for move in moves}
        return frozenset(
            (move.target_id, move.to_release.config_digest)
            for move in moves
            if (move.target_id, move.to_release.config_digest) in self.quarantined
            or (newest[move.target_id] is move and move.state == "failed")
        )

    def is_corrected(self, rollout: Rollout) -> bool:
        """Whether every target on which a config rollout went wrong goes for another config by now, or has left."""
        wrong = self.went_wrong(rollout)
        targets, leaving = self.facts.targets, self.facts.leaving
        return bool(wrong) and all(
            target_id in leaving or (target_id in targets and targets[target_id].config_digest != digest)
            for target_id, digest in wrong
        )

    @cached_property
    def tried_configs(self) -> frozenset[tuple[str, str | None]]:
        """(target id, config digest) that a live rollout brought there in vain: that was its attempt."""
        return frozenset(
            (move.target_id, move.to_release.config_digest)
            for move in self.facts.moves
            if move.kind == "config" and move.state in {"failed", "cancelled"}
        )

    @cached_property
    def _used_by_target_version(self) -> dict[tuple[str, str], datetime]:
        """(target id, version id) -> when its newest pin move that came to an end was admitted."""
        return {
            (move.target_id, move.version_id): move.admitted_at
            for move in sorted(self.facts.moves, key=lambda one: one.admitted_at)
            if move.kind == "pin" and not move.open and move.state != "withdrawn"
        }

    def pin_used(self, pin: Pin, target: Target) -> bool:
        """Whether a pin had its one move on a target."""
        admitted_at = self._used_by_target_version.get((target.id, pin.version_id))
        return admitted_at is not None and admitted_at >= pin.created_at

    # Other deployments ------------------------------------------------------------------------------------------------

    def picked_elsewhere(self, selector: Selector) -> frozenset[str]:
        """The versions running elsewhere that a selector over `deployment` and `version` picks.

        Costs: the expression once a version, whatever the number of targets.
        """
        if selector not in self._picked:
            picks, elsewhere = predicate(selector), self.facts.elsewhere
            self._picked[selector] = frozenset(
                version_id
                for version_id, view in elsewhere.versions.items()
                if picks({"version": view, "deployment": elsewhere.deployments.get(str(view["deploymentId"]), {})})
            )
        return self._picked[selector]

    # Policies ---------------------------------------------------------------------------------------------------------

    def policies_of(self, policy_set: str | None) -> tuple[Policy, ...]:
        """The policies of an interned set, by id."""
        if policy_set not in self._policies:
            policies = self.facts.policies
            ids = sorted(self.facts.policy_sets.get(policy_set or "", ()))
            self._policies[policy_set] = tuple(policies[policy_id] for policy_id in ids if policy_id in policies)
        return self._policies[policy_set]

    def enforced_rules(self, policy_set: str | None, kind: str) -> tuple[Rule, ...]:
        """The rules of one kind in the policies of a set that are enforced."""
        key = (policy_set, kind)
        if key not in self._enforced:
            self._enforced[key] = tuple(
                rule
                for policy in self.policies_of(policy_set)
                if not policy.observe
                for rule in policy.rules
                if rule.kind == kind
            )
        return self._enforced[key]


def _by_environment(
    targets: Iterable[Target], environments: Mapping[str, Environment]
) -> dict[str, tuple[Target, ...]]:
    groups: dict[str, list[Target]] = {environment_id: [] for environment_id in environments}
    for target in targets:
        groups.setdefault(target.environment_id, []).append(target)
    return {key: tuple(sorted(group, key=lambda t: (t.attached_at, t.id))) for key, group in groups.items()}

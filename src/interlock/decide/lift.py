"""Which single fact, if it were otherwise, would lift a hold? The steps out of which counterfactuals are made.

A lift is a change of one fact that somebody or something could bring about: two more approvals, a freeze thawed, a
rollout resumed, the clock at an instant. It says what would be different (a code with values, never a sentence) and
makes the facts that would then hold. A rule that knows what would lift its holds offers `lifts(subject, params,
verdict)` beside `evaluate`; for every other rule `counterfactual.py` knows two: its instant, and to skip it.

Lifts are told apart by what they say, so two rules that ask for the same ask for one thing.

Source: issue "Every rule, one pure decision", the counterfactual; Wachter, Mittelstadt and Russell (2018),
"Counterfactual explanations without opening the black box", for the idea that the nearest world explains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import orjson

from interlock.decide.facts import (
    Approval,
    Beside,
    Dependency,
    Environment,
    Facts,
    Landed,
    Move,
    Order,
    Pin,
    Proof,
    Rollout,
    Skip,
    Target,
    Version,
)
from interlock.decide.verdict import instant, plain
from interlock.model.ids import derived_id
from interlock.model.policy import Rule

Change = Callable[[Facts, datetime], Facts]
"""The facts as they would be. Takes the instant of the question, not a later one."""

LIFTS = {
    "clock": "The clock stands at {at}.",
    "rule_skipped": "The rule {rule} ({policy}) is skipped for {version} in {environment}.",
    "forced": "{version} is forced onto {target} in {environment}.",
    "order_withdrawn": "The {order} that is asked for on {target} in {environment} is withdrawn.",
    "pinned": "{target} in {environment} is pinned to {version}.",
    "rejection_withdrawn": "{by} withdraws the rejection of {version} for {environment}.",
    "rollout_promoted": "The rollout of {version} in {environment} is promoted.",
    "rollout_resumed": "The rollout of {version} in {environment} is resumed.",
    "move_landed": "The move of {target} in {environment} to {version} ends well.",
    "runs_beside": "{deployment} runs {version} beside it.",
    "dependency_dropped": "{version} no longer depends on {deployment}.",
    "quarantines_cleared": "The quarantine of {version} in {environment} is cleared.",
}


@dataclass(frozen=True, slots=True)
class Lift:
    """One fact that would be different.

    Takes: `change` makes the facts; None for the clock, which stands at `at`. `who` names who can bring it about.
           `late`: it is done when the clock stands there, and not at once (a yes may run out).
    """

    code: str
    values: Mapping[str, object]
    change: Change | None = None
    at: datetime | None = None
    who: str | None = None
    late: bool = False

    @property
    def key(self) -> str:
        """What it says, as text: two lifts that say the same are one."""
        return orjson.dumps([self.code, self.values], option=orjson.OPT_SORT_KEYS).decode()


def lift(code: str, change: Change, *, who: str | None = None, late: bool = False, **values: object) -> Lift:
    """A lift with its values as plain JSON."""
    return Lift(code, plain(values), change, None, who, late)


def clock(at: datetime) -> Lift:
    """Time passes, and nothing else happens."""
    return Lift("clock", {"at": instant(at)}, None, at, None)


def with_lifts(facts: Facts, now: datetime, lifts: Iterable[Lift]) -> tuple[Facts, datetime]:
    """The facts and the instant as they would be. Facts change first, at `now`; then the clock goes to the latest
    instant.
    """
    ordered = sorted(lifts, key=lambda one: one.key)
    at = max([now, *(one.at for one in ordered if one.at is not None)])
    for one in ordered:
        if one.change is not None:
            facts = one.change(facts, at if one.late else now)
    return facts, at


def skip_rule(rule: Rule, *, policy_name: str, version: Version, environment_id: str, environment: str) -> Lift:
    """Somebody skips a rule for a version in an environment."""
    skip_id = derived_id("skip", "lift", rule.id, version.id, environment_id)

    def change(facts: Facts, now: datetime) -> Facts:
        skip = Skip(skip_id, rule.id, version.id, "what if", now, environment_id)
        return replace(facts, skips=(*facts.skips, skip))

    who = "whoever may steer here, who then answers for it"
    return lift(
        "rule_skipped",
        change,
        who=who,
        rule=rule.kind,
        ruleId=rule.id,
        policy=policy_name or "no policy",
        version=version.tag,
        environment=environment,
    )


def pin_target(target: Target, version: Version, *, environment: str) -> Lift:
    """Somebody pins one target to a version."""
    pin_id = derived_id("pin", "lift", target.id, version.id)

    def change(facts: Facts, now: datetime) -> Facts:
        kept = tuple(pin for pin in facts.pins if pin.target_id != target.id)
        return replace(facts, pins=(*kept, Pin(pin_id, version.id, now, None, target.id)))

    name = target.name or target.id
    return lift(
        "pinned", change, who="an operator may pin it", target=name, environment=environment, version=version.tag
    )


def withdraw_rejection(word: Approval, version: Version, environment: Environment) -> Lift:
    """Somebody takes a no back."""
    key = (version.id, environment.id)

    def change(facts: Facts, now: datetime) -> Facts:
        del now
        known = facts.approvals_by_version_environment
        kept = tuple(one for one in known.get(key, ()) if one.principal_id != word.principal_id)
        return replace(facts, approvals_by_version_environment={**known, key: kept})

    who = f"{word.name} may withdraw the rejection"
    return lift("rejection_withdrawn", change, who=who, by=word.name, version=version.tag, environment=environment.name)


def forgiven(proofs: Iterable[Proof]) -> tuple[Proof, ...]:
    """A rollout's proofs once a person lets it go on: those that ended badly keep it no longer."""
    ended = {"failed", "inconclusive"}
    return tuple(replace(one, forgiven=True) if one.state in ended else one for one in proofs)


def resume_rollout(rollout: Rollout, *, what: str, where: str) -> Lift:
    """A paused or halted rollout goes on, and the failures that it saw are forgiven."""

    def change(facts: Facts, now: datetime) -> Facts:
        del now
        failed = {one.target_id for one in facts.moves if one.rollout_id == rollout.id and one.state == "failed"}
        after = (
            replace(one, state="open", failures_forgiven=len(failed), proofs=forgiven(one.proofs))
            if one.id == rollout.id
            else one
            for one in facts.rollouts
        )
        return replace(facts, rollouts=tuple(after))

    return lift("rollout_resumed", change, who="an operator may resume it", version=what, environment=where)


def promote_rollout(rollout: Rollout, *, what: str, where: str) -> Lift:
    """All that is left of a rollout may start at once."""

    def change(facts: Facts, now: datetime) -> Facts:
        after = (
            replace(one, speed=replace(one.speed, promoted_at=now)) if one.id == rollout.id else one
            for one in facts.rollouts
        )
        return replace(facts, rollouts=tuple(after))

    return lift("rollout_promoted", change, who="an operator may promote it", version=what, environment=where)


def clear_quarantines(target_ids: frozenset[str], version: Version, *, where: str) -> Lift:
    """Targets may take again what failed on them, and what is newer than what they run."""

    def change(facts: Facts, now: datetime) -> Facts:
        del now
        hit = {one.target_id for one in facts.quarantines if one.target_id in target_ids}
        targets = dict(facts.targets)
        for target_id in hit & targets.keys():
            current = targets[target_id].current
            targets[target_id] = replace(targets[target_id], mark=current.version_id if current else None)
        kept = tuple(one for one in facts.quarantines if one.target_id not in hit)
        return replace(facts, targets=targets, quarantines=kept)

    return lift("quarantines_cleared", change, who="an operator may clear it", version=version.tag, environment=where)


def run_beside(
    neighbour: Beside, resource_id: str, *, deployment: str, version: str, instead: Sequence[Beside] = ()
) -> Lift:
    """Another deployment runs a version on a resource, in place of what it runs there now."""

    def change(facts: Facts, now: datetime) -> Facts:
        del now
        elsewhere = facts.elsewhere
        kept = tuple(one for one in elsewhere.by_resource.get(resource_id, ()) if one not in instead)
        around = elsewhere.by_environment.get(neighbour.environment_id, ())
        return replace(
            facts,
            elsewhere=replace(
                elsewhere,
                by_resource={**elsewhere.by_resource, resource_id: (*kept, neighbour)},
                by_environment={**elsewhere.by_environment, neighbour.environment_id: (*around, neighbour)},
            ),
        )

    who = f"whoever may deploy {deployment}"
    return lift("runs_beside", change, who=who, deployment=deployment, version=version)


def drop_dependency(version: Version, dependency: Dependency, *, deployment: str) -> Lift:
    """A version needs another deployment no longer."""

    def change(facts: Facts, now: datetime) -> Facts:
        del now
        versions = tuple(
            replace(one, dependencies=tuple(need for need in one.dependencies if need != dependency))
            if one.id == version.id
            else one
            for one in facts.versions
        )
        return replace(facts, versions=versions)

    who = "whoever may edit the version's dependencies"
    return lift("dependency_dropped", change, who=who, version=version.tag, deployment=deployment)


def land_move(move: Move, target: Target, *, what: str, where: str) -> Lift:
    """A move that is under way ends well: its target runs what it brought, proven."""

    def change(facts: Facts, now: datetime) -> Facts:
        moves = tuple(
            replace(one, state="succeeded", closed_at=now, jobs=(), verifications=()) if one.id == move.id else one
            for one in facts.moves
        )
        known = facts.targets.get(move.target_id)
        targets = dict(facts.targets)
        if known is not None:
            targets[known.id] = replace(known, current=move.to_release, good=move.to_release)
        landed = {**facts.landed_by_target_version, (move.target_id, move.version_id): Landed(now, now)}
        return replace(facts, moves=moves, targets=targets, landed_by_target_version=landed)

    return lift("move_landed", change, target=target.name or target.id, environment=where, version=what)


def force_target(target: Target, version: Version, *, environment: str) -> Lift:
    """Somebody forces a version onto one target, past every rule."""
    order_id = derived_id("order", "lift", target.id, version.id)

    def change(facts: Facts, now: datetime) -> Facts:
        order = Order(order_id, "force", target.id, version.id, version.change_id, now)
        return replace(facts, orders=(*facts.orders, order))

    who = "whoever may force here, who then answers for it"
    name = target.name or target.id
    return lift("forced", change, who=who, target=name, environment=environment, version=version.tag)


def withdraw_order(order: Order, target: Target, *, environment: str) -> Lift:
    """Nobody asks for that move any more."""

    def change(facts: Facts, now: datetime) -> Facts:
        del now
        return replace(facts, orders=tuple(one for one in facts.orders if one.id != order.id))

    name = target.name or target.id
    who = "whoever may steer here may withdraw it"
    return lift("order_withdrawn", change, who=who, target=name, environment=environment, order=order.kind)

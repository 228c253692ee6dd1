"""Where does one version stand on one target, and what does every rule say about it?

A round asks for each target the newest version that it may consider. People ask about *this* version *here*: whatever
it is, candidate or not. So the answer begins before the gates: does the target run it already, is it pinned elsewhere,
is the version ready, do the selectors pick it, is it older than what was handed over, is it in quarantine, does a newer
one go first, is another move under way. Then every gate's verdict, those that pass and those that only observe as well.
Last its place in the rollout.

A standing is taken from a round that was worked out in full (`work_out`), so it never says anything else than what a
round would do at that instant.

Source: core.md section 4, "Which version, which move, who is asked", and law 8.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from interlock.decide import WorkedOut
from interlock.decide.candidates import CANDIDATES_MAX, DEPLOYABLE
from interlock.decide.facts import Move, Target, Version
from interlock.decide.gates import RETRIED_AS, Asking
from interlock.decide.orders import brought_version
from interlock.decide.rules import version_selector
from interlock.decide.subjects import EnvironmentVersion
from interlock.decide.unclear import unclear_words
from interlock.decide.verdict import Judged, Stage, Verdict, WaitsFor, guarded, holds, passes
from interlock.model.policy import Policy, Rule

REASONS = {
    "runs_already": "It runs {version}.",
    "pinned_to_other": "It is pinned to {version}.",
    "pin_used": "The pin brought {version} here once; it is not tried again by itself.",
    "older_than_mark": "It is not newer than {version}, which was handed over here already.",
    "newer_goes_first": "{version} is newer, and nothing holds it.",
    "order_goes_first": "A {order} is asked for here and goes first.",
    "another_under_way": "It is moving to {version} ({kind}); that must end first.",
    "too_many_newer": "More than {candidates_max} newer versions are candidates here.",
}

STOPPED = frozenset(
    {
        "rollout_paused",
        "rollout_halted",
        "rollout_taken_back",
        "rollout_disproved",
        "rollout_proof_unclear",
        "rollout_aborted",
    }
)
"""Reasons of a rollout that starts nothing at all. A pin goes past it."""

OPERATOR = "an operator may pin it"


class State(StrEnum):
    """Where a version is on its way to a target."""

    RUNS = "runs"
    MOVING = "moving"
    STARTS = "starts"
    PACED = "paced"
    HELD = "held"

    @property
    def goes(self) -> bool:
        """Whether no rule holds it: it is there, on its way, or waits for its place alone."""
        return self is not State.HELD


@dataclass(frozen=True, slots=True)
class Standing:
    """One version on one target at one instant.

    Takes: `kind` is the kind of move that would bring it. `judged` is every verdict, in the order in which they are
           asked; the last one may be its place in the rollout.
    """

    target: Target
    version: Version
    kind: str
    state: State
    judged: tuple[Judged, ...]

    @property
    def bars(self) -> tuple[Judged, ...]:
        """What holds it. What runs or is on its way is not asked again."""
        if self.state in {State.RUNS, State.MOVING, State.STARTS}:
            return ()
        return tuple(one for one in self.judged if one.bars)


def goes_for(worked: WorkedOut, target: Target) -> Version | None:
    """The version that one should ask about: where the target is going, what is held newest, else what is newest.

    Gives: None when there is no version at all.
    """
    asking = worked.asked.by_target.get(target.id)
    move = worked.index.open_move_by_target.get(target.id)
    known = worked.index.version_by_id
    if asking is not None and asking.retrying and move is not None:
        return known.get(move.version_id)
    if asking is not None and asking.held:
        return asking.held[0].version
    if asking is not None and asking.choice is not None:
        return asking.choice.version
    if move is not None:
        return known.get(move.version_id)
    pin = worked.gates.candidates.pin_of(target)
    if pin is not None and pin.version_id in known:
        return known[pin.version_id]
    newest = worked.index.newest_first
    return newest[0] if newest else None


def standing_of(worked: WorkedOut, target: Target, version: Version) -> Standing:
    """Where a version stands on an attached target that was asked."""
    asking = worked.asked.by_target.get(target.id)
    kind = _kind(worked, target, version, asking)
    state = _state(worked, target, version, asking)
    confirming = worked.asked.confirming.get(target.id)
    mine = confirming is not None and confirming.move.version_id == version.id
    waits = state in {State.HELD, State.PACED} and not mine
    before = tuple(_candidacy(worked, target, version, kind)) if waits else ()
    gates = worked.gates.verdicts(target, version, kind)
    own = _own(worked, target, version, asking, state)
    move = worked.index.open_move_by_target.get(target.id)
    if state is State.HELD and move is not None and move.version_id == version.id:
        own = (*own, *unclear_words(worked.index, move))
    if confirming is not None and mine:
        own = (*confirming.judged, *worked.pace.paced.get(target.id, ()))
    judged = (*before, *gates, *own)
    if state is State.RUNS:
        verdict = passes("runs_already", version=version.tag)
        judged = (Judged("target", verdict, Stage.ELIGIBILITY), *judged)
    return Standing(target, version, kind, state, judged)


OWN_RULES = frozenset({"freeze", "incident", "versionDependency", "versionStatus"})
"""Rules that stand in no policy."""


def eligible_versions(worked: WorkedOut, target: Target, *, excluded: Container[str]) -> tuple[Version, ...]:
    """The ready versions that every rule lets go to a target, newest first.

    Takes: `excluded` are ids of rules that are not asked.
    Why:   what is no rule does not count here: that it runs already, is older than what runs, or that something else
           goes first. It is the question "which could I pin?".
    """

    def lets(version: Version) -> bool:
        return not any(
            one.bars
            and (one.policy_id or one.kind in OWN_RULES)
            and not (one.rule_ids and all(rule_id in excluded for rule_id in one.rule_ids))
            for one in standing_of(worked, target, version).judged
        )

    ready = (version for version in worked.index.newest_first if version.status == DEPLOYABLE)
    return tuple(version for version in ready if lets(version))


def _kind(worked: WorkedOut, target: Target, version: Version, asking: Asking | None) -> str:
    """The kind of move that would bring the version."""
    move, order = worked.index.open_move_by_target.get(target.id), worked.index.order_of(target)
    if asking is not None and asking.retrying and move is not None and move.version_id == version.id:
        return RETRIED_AS.get(move.kind, "retry")
    if asking is not None and order is not None and brought_version(order, target) == version.id:
        return order.kind
    if move is not None and move.version_id == version.id and _stays(worked, move):
        return move.kind
    if target.current is not None and target.current.version_id == version.id and worked.index.drifts(target):
        return "config"
    pin = worked.gates.candidates.pin_of(target)
    return "pin" if pin is not None and pin.version_id == version.id else "forward"


def _state(worked: WorkedOut, target: Target, version: Version, asking: Asking | None) -> State:
    plan, move = worked.plan, worked.index.open_move_by_target.get(target.id)
    if any(one.target_id == target.id and one.version_id == version.id for one in plan.moves):
        return State.STARTS
    if move is not None and move.version_id == version.id and _stays(worked, move):
        if asking is None or not asking.retrying:
            return State.HELD if _is_held(worked, target) else State.MOVING
        return State.STARTS if asking.choice is not None and asking.choice.version.id == version.id else State.HELD
    if asking is not None and asking.choice is not None and asking.choice.version.id == version.id:
        place = worked.pace.paced.get(target.id)
        if not place:
            return State.STARTS
        waits = all(one.verdict.waits_for is WaitsFor.WAIT for one in place)
        return State.PACED if waits else State.HELD
    current = target.current
    if current is None or current.version_id != version.id:
        return State.HELD
    return State.HELD if worked.index.drifts(target) and asking is not None else State.RUNS


def _is_held(worked: WorkedOut, target: Target) -> bool:
    """Whether its run is planned and something keeps it from being confirmed, or nothing could tell how it went."""
    if unclear_words(worked.index, worked.index.open_move_by_target.get(target.id)):
        return True
    one = worked.asked.confirming.get(target.id)
    held = one is not None and one.discard is None and (one.held is not None or target.id in worked.pace.paced)
    return held and all(cancel.job_id != one.move.jobs[-1].id for cancel in worked.plan.cancels if one is not None)


def _stays(worked: WorkedOut, move: Move) -> bool:
    """Whether a move outlives this round."""
    return all(end.move_id != move.id for end in worked.plan.ends)


# Before the gates -----------------------------------------------------------------------------------------------------


def _candidacy(worked: WorkedOut, target: Target, version: Version, kind: str) -> list[Judged]:
    """Why the version is no candidate for the target, or comes after another one."""
    index, candidates = worked.index, worked.gates.candidates
    found = []
    pin = candidates.pin_of(target)
    if pin is not None and pin.version_id != version.id:
        who, waits_on = "whoever may steer here may remove the pin", (f"pin:{pin.id}",)
        found.append(_bar("pin", "pinned_to_other", who, _tag(worked, pin.version_id), waits_on, since=pin.created_at))
    elif pin is not None and index.pin_used(pin, target):
        found.append(_bar("pin", "pin_used", "a new pin, or a redeploy", version.tag, since=pin.created_at))
    if kind == "forward":
        if version.status != DEPLOYABLE:
            waits_on, who = (f"version:{version.id}",), "whoever may edit the version"
            verdict = holds(WaitsFor.DENY, "version_not_ready", who=who, waits_on=waits_on, status=version.status)
            found.append(Judged("versionStatus", verdict, Stage.ELIGIBILITY))
        found.extend(_selected(worked, target, version))
        if pin is None:
            found.extend(_floor(worked, target, version))
    if kind == "config" and (target.id, target.config_digest) in index.tried_configs:
        found.append(_bar("history", "config_attempts_used", "a redeploy, or another config", version.tag))
    asking = worked.asked.by_target.get(target.id)
    chosen = asking.choice.version if asking is not None and asking.choice is not None else None
    if chosen is not None and pin is None and chosen.age_key > version.age_key:
        found.append(_bar("history", "newer_goes_first", OPERATOR, chosen.tag))
    order = index.order_of(target)
    if order is not None and brought_version(order, target) != version.id:
        who = "whoever may steer here may withdraw the order"
        verdict = holds(
            WaitsFor.WAIT,
            "order_goes_first",
            waits_on=(f"order:{order.id}",),
            who=who,
            changes_at=order.expires_at,
            order=order.kind,
        )
        found.append(Judged("order", verdict, Stage.ELIGIBILITY))
    other = index.open_move_by_target.get(target.id)
    if other is not None and other.version_id != version.id:
        replaced = kind == "pin" or index.is_newer(version.id, other.version_id)
        stays = asking is None or (asking.retrying and (other.kind == "rollback" or not replaced))
        found.extend((_under_way(worked, other),) if stays else ())
    return found


def _floor(worked: WorkedOut, target: Target, version: Version) -> list[Judged]:
    """What the target's own history says: handed over before, in quarantine, or overtaken."""
    index, floor = worked.index, worked.index.floor(target)
    found = []
    if (target.id, version.id) in index.quarantined:
        who = "an operator may clear the quarantine"
        found.append(_bar("quarantine", "quarantined", who, version.tag, (f"quarantine:{target.id}",)))
    elif floor == version.id:
        found.append(_bar("history", "attempts_used", f"{OPERATOR}, or redeploy it", version.tag))
    elif floor is not None and version not in index.newer_than(floor):
        found.append(_bar("history", "older_than_mark", OPERATOR, _tag(worked, floor)))
    elif version not in worked.gates.candidates.of(target) and not found and version.status == DEPLOYABLE:
        listed = worked.gates.candidates.of(target)
        if len(listed) >= CANDIDATES_MAX and listed[-1].age_key > version.age_key:
            verdict = holds(WaitsFor.DENY, "too_many_newer", who=OPERATOR, candidates_max=CANDIDATES_MAX)
            found.append(Judged("history", verdict, Stage.ELIGIBILITY))
    return found


def _selected(worked: WorkedOut, target: Target, version: Version) -> list[Judged]:
    """What the versionSelector rules say, each on its own."""
    environment = worked.index.facts.environments[target.environment_id]
    subject = EnvironmentVersion(worked.index, environment, version, "forward")
    return [
        Judged(
            rule.kind,
            guarded(version_selector.evaluate, subject, rule.params, worked.gates.now),
            version_selector.stage,
            (rule.id,),
            policy.id,
            policy.name,
            policy.observe,
        )
        for policy, rule in _rules(worked, target)
        if rule.kind == version_selector.kind
    ]


def _rules(worked: WorkedOut, target: Target) -> list[tuple[Policy, Rule]]:
    return [(policy, rule) for policy in worked.index.policies_of(target.policy_set) for rule in policy.rules]


def _under_way(worked: WorkedOut, other: Move) -> Judged:
    tag, waits_on = _tag(worked, other.version_id), (f"move:{other.id}",)
    unclear = unclear_words(worked.index, other)
    if unclear:
        return unclear[0]
    verdict = holds(WaitsFor.WAIT, "another_under_way", waits_on=waits_on, version=tag, kind=other.kind)
    return Judged("target", verdict, Stage.READINESS)


# After them -----------------------------------------------------------------------------------------------------------


def _own(
    worked: WorkedOut, target: Target, version: Version, asking: Asking | None, state: State
) -> tuple[Judged, ...]:
    """What is no gate's verdict: the back-off of a retry, its place in the rollout."""
    if asking is None or state in {State.RUNS, State.MOVING}:
        return ()
    held = tuple(
        judged
        for one in asking.held
        if one.version.id == version.id
        for judged in one.judged
        if judged.verdict.reason == "retry_backoff"
    )
    place = worked.pace.paced.get(target.id, ())
    mine = asking.choice is not None and asking.choice.version.id == version.id
    return (*held, *(place if mine else ()))


def _bar(
    kind: str,
    reason: str,
    who: str,
    version: str,
    waits_on: tuple[str, ...] = (),
    since: datetime | None = None,
) -> Judged:
    verdict: Verdict = holds(WaitsFor.DENY, reason, who=who, waits_on=waits_on, since=since, version=version)
    return Judged(kind, verdict, Stage.ELIGIBILITY)


def _tag(worked: WorkedOut, version_id: str) -> str:
    version = worked.index.version_by_id.get(version_id)
    return version.tag if version else version_id

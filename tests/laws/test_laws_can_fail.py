"""Would a law notice? Each law is shown a core that was broken on purpose, and must find it in some world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from interlock.decide import codec, explain
from interlock.decide.candidates import Candidates
from interlock.decide.facts import ReleaseRef
from interlock.decide.gates import Gates
from interlock.decide.index import Index
from interlock.decide.pace import Pace
from interlock.decide.plan import RolloutState, TargetChange, applied
from interlock.decide.react import Reactions
from interlock.decide.record import Recorder
from interlock.decide.rules import any_approval
from interlock.decide.schedule import Schedule
from interlock.decide.verdict import WaitsFor, holds, passes
from interlock.model.job import JobStatus
from interlock.simulate import world as world_module
from interlock.simulate.world import World
from laws.checks import OF_A_HISTORY, OF_A_WORLD
from worlds import a_fleet, deploy, finish, seeded_history

SEEDS = range(120)


def lose_wake_ups(patch):
    patch.setattr(Recorder, "wake", lambda self, instants: None)


def declare_nothing(patch):
    patch.setattr(any_approval, "needs", frozenset())


def take_targets_as_they_come(patch):
    patch.setattr(Index, "targets_in_order", property(lambda self: tuple(self.facts.targets.values())))


def withdraw_whatever_waits(patch):
    def gives_up(self, asking):
        return "held" if asking.move is not None and not asking.retrying else None

    patch.setattr(Pace, "_gives_up", gives_up)


def forget_marks(patch):
    patch.setattr(Index, "newer_than", lambda self, version_id: self.newest_first[::-1])


def ask_no_target(patch):
    patch.setattr(Gates, "of_target", lambda self, target, version, kind: ())


def approve_only_beside_progression(patch):
    def evaluate(subject, params, now):
        kinds = {rule.kind for policy in subject.index.facts.policies.values() for rule in policy.rules}
        return (
            passes("approved")
            if "environmentProgression" in kinds
            else holds(WaitsFor.PERSON, "approval_missing", minimum=1)
        )

    patch.setattr(any_approval, "evaluate", evaluate)


def approve_what_nobody_did(patch):
    def evaluate(subject, params, now):
        missing = len(subject.approvals) < params.minimum
        return passes("approved") if missing else holds(WaitsFor.PERSON, "approval_missing", minimum=1)

    patch.setattr(any_approval, "evaluate", evaluate)


def complete_again_and_again(patch):
    def completed(self, plan):
        states = tuple(
            RolloutState(one.id, "open", "again", {}) for one in self.index.facts.rollouts if one.state == "open"
        )
        return replace(plan, rollout_states=(*plan.rollout_states, *states))

    patch.setattr(Pace, "_completed", completed)


def count_no_place(patch):
    patch.setattr(Schedule, "count_in_flight", lambda self, given_up, *, unpaced: self._all_lanes())


def lose_a_sentence(patch):
    patch.delitem(explain.SENTENCES, "not_frozen")


def ask_nobody(patch):
    """An approval is missing, and nobody is named who could give it."""
    evaluate = any_approval.evaluate

    def silent(subject, params, now):
        return replace(evaluate(subject, params, now), who=None)

    patch.setattr(any_approval, "evaluate", silent)


def leave_out_the_fence(patch):
    patch.setattr(codec, "HEAD", tuple(name for name in codec.HEAD if name != "fence"))


def commit_all_but_one_move(patch):
    def lossy(facts, plan, now):
        after = applied(facts, plan, now)
        return replace(after, moves=after.moves[:-1]) if plan.moves else after

    patch.setattr(world_module, "applied", lossy)


def arrive_somewhere_else(patch):
    def arrive(self, target, move, job):
        self._changes_by_target[target.id] = TargetChange(
            target.id, current=ReleaseRef("nowhere", move.version_id, "none")
        )

    patch.setattr(Reactions, "_arrive", arrive)


def take_quarantined_versions(patch):
    patch.setattr(Candidates, "of", lambda self, target: self.index.newest_first)


BROKEN: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "1 constant until wake-up": lose_wake_ups,
    "2 named causes": declare_nothing,
    "3 order is irrelevant": take_targets_as_they_come,
    "4 fixpoint": withdraw_whatever_waits,
    "5 time alone goes forward": forget_marks,
    "5 unknown starts nothing": ask_no_target,
    "5 fewer gates hold no more": approve_only_beside_progression,
    "5 more obligations start no more": approve_what_nobody_did,
    "6 extra rounds change nothing": complete_again_and_again,
    "7 never more in flight": count_no_place,
    "8 explains every hold": lose_a_sentence,
    "8 says who can act": ask_nobody,
    "9 facts survive the codec": leave_out_the_fence,
    "9 commits what was applied": commit_all_but_one_move,
    "10 failures leave a known release": arrive_somewhere_else,
    "10 rolled back stays": take_quarantined_versions,
}


def a_world_after_a_rollback() -> World:
    """v2 failed on a host that ran v1, and was taken back."""
    tolerant = {"rolloutType": "linear", "timeScaleInterval": 0, "maxFailures": 5}
    rules = [{"rollback": {"onJobStatuses": ["failure"]}}, {"gradualRollout": tolerant}]
    world = a_fleet({"production": ["prod-1"]}, {"rules": (["production"], rules)}, runs="v1")
    world.create_version("v2")
    world.settle()
    finish(world, "prod-1", JobStatus.FAILURE)
    world.settle()
    finish(world, "prod-1")
    return world


def a_world_after_a_second_version() -> World:
    """v1 runs, v0 ran before it."""
    world = a_fleet({"production": ["prod-1"]}, runs="v0")
    deploy(world, "v1")
    return world


CRAFTED: dict[str, Callable[[], World]] = {
    "5 time alone goes forward": a_world_after_a_second_version,
    "10 rolled back stays": a_world_after_a_rollback,
}
"""Laws whose breach random worlds seldom show."""


@pytest.mark.parametrize("law", BROKEN)
def test_a_broken_core_breaks_the_law(law, monkeypatch):
    world = CRAFTED[law]() if law in CRAFTED else None
    BROKEN[law](monkeypatch)
    if world is not None:
        with pytest.raises(AssertionError):
            OF_A_WORLD[law](world)
        return
    assert any(_breaks(law, seed) for seed in SEEDS), f"no world of {SEEDS} shows it"


def test_every_law_is_shown_to_be_able_to_fail():
    assert BROKEN.keys() == OF_A_WORLD.keys() | OF_A_HISTORY.keys()


def _breaks(law: str, seed: int) -> bool:
    history = seeded_history(seed)
    try:
        OF_A_WORLD[law](history.world()) if law in OF_A_WORLD else OF_A_HISTORY[law](history)
    except Exception:  # a broken core may break anything
        return True
    return False

"""What is measured of a rollout as a whole? Stories: between waves, while it is open, what a failure does, and α."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.decide.facts import Rollout
from interlock.decide.plan import Plan
from interlock.decide.rules import parse_rules
from interlock.model.errors import Invalid
from interlock.model.job import JobStatus
from interlock.simulate.world import World
from worlds import a_fleet, finish, moving, runs, set_policies, verify

METRIC: Mapping[str, object] = {
    "name": "error-rate",
    "intervalSeconds": 10,
    "count": 6,
    "successCondition": "result.ok",
    "provider": {"type": "sleep", "durationSeconds": 1},
}
BETWEEN = {**METRIC, "runs": "betweenWaves"}
OPEN = {**METRIC, "name": "saturation", "runs": "whileOpen"}
SEQUENTIAL = {
    "name": "errors",
    "intervalSeconds": 10,
    "count": 60,
    "provider": {"type": "http", "url": "http://metrics/errors"},
    "compare": {"bad": "result.json[side].bad", "total": "result.json[side].total"},
}
WAVES = {"gradualRollout": {"rolloutType": "waves", "waves": [1, "50%", "100%"]}}


def verified(*metrics: Mapping[str, object]) -> dict[str, object]:
    return {"verification": {"metrics": list(metrics)}}


def fleet(*rules: Mapping[str, object], size: int = 4) -> World:
    names = [f"t{number}" for number in range(size)]
    return a_fleet({"production": names}, {"pace": (["production"], rules)}, runs="v1")


def finish_all(world: World) -> list[str]:
    names = sorted(moving(world))
    for name in names:
        finish(world, name)
    return names


def the_rollout(world: World, tag: str = "v2") -> Rollout:
    found = world.rollout(tag, "production")
    assert found is not None
    return found


def proofs(world: World) -> dict[int | None, str]:
    return {one.wave: one.state for one in the_rollout(world).proofs}


def proven(world: World, wave: int | None, state: str, message: str | None = None) -> None:
    (one,) = [one for one in the_rollout(world).proofs if one.wave == wave and one.state == "running"]
    assert world.measured(one.id, state, message)


def reasons(plan: Plan) -> set[str]:
    return {str(one["reason"]) for row in plan.target_decisions for one in row.verdicts}


def first_wave_over(*rules: Mapping[str, object]) -> World:
    world = fleet(WAVES, *rules)
    world.create_version("v2")
    world.round()
    assert len(finish_all(world)) == 1
    world.settle()
    return world


# Between waves --------------------------------------------------------------------------------------------------------


def test_the_next_wave_waits_until_the_one_before_it_is_proven_as_a_whole():
    world = first_wave_over(verified(BETWEEN))
    assert moving(world) == {}
    assert proofs(world) == {0: "running"}
    assert "rollout_measured" in {str(one["reason"]) for one in held(world)}
    proven(world, 0, "passed")
    world.settle()
    assert len(finish_all(world)) == 1
    world.settle()
    assert (moving(world), proofs(world)) == ({}, {0: "passed", 1: "running"})
    proven(world, 1, "passed")
    world.settle()
    finish_all(world)
    world.settle()
    assert runs(world) == dict.fromkeys(("t0", "t1", "t2", "t3"), "v2")
    assert (the_rollout(world).state, the_rollout(world).proofs) == ("complete", ())


def held(world: World) -> list[Mapping[str, object]]:
    """What the targets wait for, decided afresh."""
    fresh = World(replace(world.facts, decided_by_target={}, decided_by_subject={}), world.now)
    return [one for row in fresh.round().target_decisions for one in row.verdicts]


def test_says_which_wave_bakes_and_what_is_measured():
    world = first_wave_over(verified(BETWEEN, {**BETWEEN, "name": "latency"}))
    (said,) = {(one["reason"], str(one["values"])) for one in held(world) if one["reason"] == "rollout_measured"}
    assert said[1] == str({"wave": 2, "before": 1, "metrics": "error-rate, latency"})


def test_a_wave_is_measured_once_its_targets_are_proven_and_for_no_longer_than_its_bake_takes():
    rules = (
        {"gradualRollout": {**WAVES["gradualRollout"], "bakeSeconds": 600}},
        verified({**METRIC, "name": "own"}, BETWEEN),
    )
    world = fleet(*rules)
    world.create_version("v2")
    world.round()
    (first,) = finish_all(world)
    world.settle()
    assert proofs(world) == {}, "its target is still verified"
    verify(world, first)
    world.settle()
    assert proofs(world) == {0: "running"}, "it is measured while it bakes"
    proven(world, 0, "passed")
    world.settle()
    assert moving(world) == {}, "and bakes on"
    world.advance(timedelta(seconds=600))
    world.settle()
    assert len(moving(world)) == 1


def test_is_measured_while_a_freeze_holds_the_next_wave():
    world = fleet(WAVES, verified(BETWEEN))
    world.create_version("v2")
    world.round()
    world.hand_over(next(job.id for _, job in world.waiting_jobs()))
    world.freeze(environments=["production"])
    finish_all(world)
    world.settle()
    assert proofs(world) == {0: "running"}


@pytest.mark.parametrize("state", ["failed", "inconclusive"])
def test_after_a_wave_that_is_not_proven_nothing_starts_until_a_person_lets_it_go_on(state):
    world = first_wave_over(verified(BETWEEN))
    proven(world, 0, state, "error-rate: 1 of 1 measurements failed")
    world.settle()
    rollout = the_rollout(world)
    assert (rollout.state, moving(world)) == ("halted" if state == "failed" else "open", {})
    said = [one for one in held(world) if one["reason"] in {"rollout_disproved", "rollout_proof_unclear"}]
    assert {one["reason"] for one in said} == {"rollout_disproved" if state == "failed" else "rollout_proof_unclear"}
    assert said[0]["values"]["measured"] == "wave 1"
    world.set_rollout(rollout.id, "open")
    world.settle()
    assert len(moving(world)) == 1, "the wave counts as proven"
    assert len(the_rollout(world).proofs) == 1, "and is not measured again"


def test_what_a_failed_wave_brought_goes_back_where_the_rules_say_so():
    rollback = {"rollback": {"onVerificationFailure": True}}
    world = first_wave_over(verified(BETWEEN), rollback)
    proven(world, 0, "failed", "bad")
    world.settle()
    assert the_rollout(world).state == "halted"
    assert list(moving(world).values()) == ["rollback v1 admitted"]
    finish_all(world)
    world.settle()
    assert set(runs(world).values()) == {"v1"}
    assert len(world.facts.quarantines) == 1


def test_what_could_not_be_told_takes_nothing_back():
    world = first_wave_over(verified(BETWEEN), {"rollback": {"onVerificationFailure": True}})
    proven(world, 0, "inconclusive")
    world.settle()
    assert (moving(world), world.facts.quarantines) == ({}, ())


def test_promoting_waits_for_no_measurement():
    world = first_wave_over(verified(BETWEEN))
    world.promote(the_rollout(world).id)
    world.settle()
    assert len(moving(world)) == 3


def test_without_waves_nothing_is_measured_between_them():
    world = fleet(verified(BETWEEN))
    world.create_version("v2")
    world.round()
    finish_all(world)
    world.settle()
    assert set(runs(world).values()) == {"v2"}


# While open -----------------------------------------------------------------------------------------------------------


def test_what_runs_while_a_rollout_is_open_begins_with_its_first_hand_over_and_ends_with_it():
    world = fleet(WAVES, verified(OPEN))
    world.create_version("v2")
    world.settle()
    assert proofs(world) == {}, "nobody has a job yet"
    for _ in range(3):
        finish_all(world)
        world.settle()
        if the_rollout(world).live:
            assert proofs(world) == {None: "running"}
    assert the_rollout(world).state == "complete"
    assert set(runs(world).values()) == {"v2"}


def test_when_it_fails_the_rollout_halts_at_once_and_once_a_person_lets_it_go_on_it_begins_anew():
    world = first_wave_over(verified(OPEN))
    proven(world, None, "failed", "saturation: 1 of the last 1 measurements failed")
    plan = world.round()
    assert [(one.state, one.reason) for one in plan.rollout_states] == [("halted", "verification_failed")]
    world.settle()
    world.set_rollout(the_rollout(world).id, "open")
    world.settle()
    assert sorted(one.state for one in the_rollout(world).proofs) == ["failed", "running"]
    assert len({one.id for one in the_rollout(world).proofs}) == 2


def test_when_it_cannot_tell_nothing_more_starts_until_a_person_lets_it_go_on():
    world = first_wave_over(verified(OPEN))
    proven(world, None, "inconclusive", "saturation: 6 measurements in a row could not be taken, 5 tolerated")
    finish_all(world)
    world.settle()
    assert (the_rollout(world).state, moving(world)) == ("open", {})
    assert "rollout_proof_unclear" in {one["reason"] for one in held(world)}
    world.set_rollout(the_rollout(world).id, "open")
    world.settle()
    assert len(moving(world)) == 2
    assert sorted(one.state for one in the_rollout(world).proofs) == ["inconclusive", "running"]


def test_everything_that_the_rollout_moved_goes_back_with_it():
    world = fleet(WAVES, verified(OPEN), {"rollback": {"onVerificationFailure": True}})
    world.create_version("v2")
    for _ in range(2):
        world.settle()
        finish_all(world)
    world.settle()
    assert len(moving(world)) == 2, "the last wave is on its way"
    proven(world, None, "failed", "bad")
    world.settle()
    finish_all(world)
    world.settle()
    finish_all(world)
    world.settle()
    assert set(runs(world).values()) == {"v1"}


def test_a_newer_version_ends_what_was_measured_of_the_older_one():
    world = first_wave_over(verified(OPEN))
    world.create_version("v3")
    world.settle()
    assert (the_rollout(world).state, the_rollout(world).proofs) == ("superseded", ())


def test_a_rule_that_observes_measures_nothing():
    world = fleet(WAVES)
    set_policies(
        world, {"pace": (["production"], [WAVES]), "look": (["production"], [verified(OPEN)])}, observe=["look"]
    )
    world.create_version("v2")
    world.round()
    finish_all(world)
    world.settle()
    assert proofs(world) == {}


# α --------------------------------------------------------------------------------------------------------------------


def shares(plan: Plan) -> list[float]:
    begun = (*(one.alpha_shares for one in plan.verifications), *(one.alpha_shares for one in plan.proofs))
    return [share for one in begun for share in one if share is not None]


def test_a_rollout_splits_its_alpha_over_all_its_tests_as_they_are_planned_when_it_opens():
    rules = (WAVES, verified(SEQUENTIAL, {**SEQUENTIAL, "name": "mean", "runs": "betweenWaves"}, METRIC))
    world = fleet(*rules)
    world.create_version("v2")
    (opened,) = world.round().rollouts
    assert opened.tests_planned == 4 + 2, "four targets, and twice between three waves"
    finish_all(world)
    plan = world.round()
    assert shares(plan) == [pytest.approx(0.9 / 6)]
    assert plan.verifications[0].alpha_shares[1:] == (None,), "a plain metric spends none"
    assert the_rollout(world).tests_begun == 1


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 4), max_size=40))
def test_whatever_happens_to_a_rollout_its_tests_spend_no_more_than_its_alpha(steps: list[int]):
    rules = (
        WAVES,
        verified(
            SEQUENTIAL,
            {**SEQUENTIAL, "name": "b", "runs": "betweenWaves"},
            {**SEQUENTIAL, "name": "o", "runs": "whileOpen"},
        ),
        {"retry": {"maxRetries": 3, "retryOnStatuses": ["failure"]}},
    )
    world = fleet(*rules)
    world.create_version("v2")
    spent: list[float] = []
    joined = 0
    for step in steps:
        spent += shares(world.round())
        rollout = the_rollout(world)
        match step:
            case 0:
                finish_all_as(world, JobStatus.SUCCESSFUL)
            case 1:
                finish_all_as(world, JobStatus.FAILURE)
            case 2:
                for _, one in world.running_verifications():
                    world.measured(one.id, "passed")
                for _, proof in world.running_proofs():
                    world.measured(proof.id, "passed" if proof.wave is not None else "failed", "bad")
            case 3 if rollout.state == "halted":
                world.set_rollout(rollout.id, "open")
            case _:
                joined += 1
                world.attach(f"n{joined}", "production", policy_set=next(iter(world.facts.policy_sets)))
        assert sum(spent) <= 1 + 1e-9
        assert the_rollout(world).tests_begun == len(spent)


def finish_all_as(world: World, status: JobStatus) -> None:
    for name in sorted(moving(world)):
        move = world.open_move(name)
        if move is not None and any(not job.status.terminal for job in move.jobs):
            finish(world, name, status)


# The rule -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "fault"),
    [
        ({**OPEN, "successThreshold": 2}, "successThreshold has no place with runs: whileOpen"),
        (
            {**SEQUENTIAL, "runs": "whileOpen", "compare": {"judge": "kayenta", "value": "result.json[side]"}},
            "compare.judge must not be kayenta with runs: whileOpen",
        ),
        ({**METRIC, "runs": "sometimes"}, "runs must be one of withJob, betweenWaves, whileOpen"),
        ({key: value for key, value in BETWEEN.items() if key != "count"}, "count is required"),
    ],
)
def test_wrong_metrics_are_named(metric, fault):
    with pytest.raises(Invalid) as refused:
        parse_rules([verified(metric)])
    assert f"rules[0].verification.metrics[0].{fault}" in str(refused.value)


def test_a_window_without_a_count_is_as_long_as_the_failures_in_a_row_that_end_it():
    (rule,) = parse_rules(
        [verified({key: value for key, value in OPEN.items() if key != "count"} | {"failureThreshold": 2})]
    )
    assert rule.params.metrics[0].count == 3

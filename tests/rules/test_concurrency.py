"""So many of a group at once, whoever deploys: parameters, limits with their rounding, and days with dates."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from interlock.decide.rules import parse_rules
from interlock.decide.rules.concurrency import Params, limit_of
from interlock.decide.verdict import instant
from interlock.model.errors import Invalid
from interlock.model.job import JobStatus
from worlds import MONDAY, a_fleet, finish, hand_over_all, moving, runs, set_policies, verify


def params(**fields: object) -> Params:
    (rule,) = parse_rules([{"concurrency": fields}])
    assert isinstance(rule.params, Params)
    return rule.params


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, "rules[0].concurrency.maxInFlight or maxPercentage must be there, and only one of them"),
        ({"maxInFlight": 1, "maxPercentage": 10}, "rules[0].concurrency.maxInFlight or maxPercentage must be there"),
        ({"maxInFlight": 0}, "rules[0].concurrency.maxInFlight must be from 1 to"),
        ({"maxInFlight": "many"}, "rules[0].concurrency.maxInFlight must be a whole number"),
        ({"maxPercentage": 101}, "rules[0].concurrency.maxPercentage must be from 1 to 100"),
        ({"maxPercentage": 0}, "rules[0].concurrency.maxPercentage must be from 1 to 100"),
        ({"maxInFlight": 1, "groupBy": "resource.knd"}, "rules[0].concurrency.groupBy line 1:9"),
        ({"maxInFlight": 1, "groupBy": "version.tag"}, "an expression may read resource, environment, deployment"),
        ({"maxInFlight": 1, "groupBy": "resource.metadata"}, "must give text; this one gives map"),
        ({"maxInFlight": 1, "per": "zone"}, "rules[0].concurrency.per is not known here"),
    ],
)
def test_wrong_parameters_are_refused_by_name(fields, complaint):
    with pytest.raises(Invalid) as refused:
        params(**fields)
    assert complaint in refused.value.message


@pytest.mark.parametrize(
    ("fields", "size", "limit"),
    [
        ({"maxInFlight": 3}, 100, 3),
        ({"maxInFlight": 3}, 0, 3),
        ({"maxPercentage": 25}, 3, 1),  # rounds down to 0 as in Kubernetes, and is at least 1
        ({"maxPercentage": 25}, 8, 2),
        ({"maxPercentage": 25}, 11, 2),
        ({"maxPercentage": 100}, 7, 7),
        ({"maxPercentage": 1}, 0, 1),
    ],
)
def test_a_percentage_is_rounded_down_but_is_at_least_one(fields, size, limit):
    assert limit_of(params(**fields), size) == limit


@pytest.mark.parametrize(
    ("fields", "size", "limit"),
    [
        ({"maxInFlight": 1}, 100, 33),
        ({"maxInFlight": 50}, 100, 50),
        ({"maxInFlight": 1}, 2, 1),
        ({"maxPercentage": 5}, 40, 13),
        ({"maxPercentage": 5}, 0, 1),
    ],
)
def test_a_rollback_may_go_up_to_a_third_of_the_group(fields, size, limit):
    assert limit_of(params(**fields), size, kind="rollback") == limit


PRODUCTION = {"production": ["a1", "a2", "b1", "b2"]}
BY_ZONE = {"concurrency": {"maxInFlight": 1, "groupBy": 'resource.metadata["zone"]'}}
VERIFIED = {"verification": {"metrics": [{"name": "ok", "intervalSeconds": 1, "count": 1, "successCondition": "true",
                                          "provider": {"type": "sleep", "durationSeconds": 1}}]}}  # fmt: skip


def a_zoned_fleet(*rules):
    world = a_fleet(PRODUCTION, {"limits": (["production"], list(rules))}, runs="1.0")
    for name in PRODUCTION["production"]:
        world.label(name, zone=name[0])
    return world


def holds_of(world, name):
    """The reasons that stand in a target's row."""
    from interlock.decide import decide

    facts = replace(world.snapshot(), decided_by_subject={}, decided_by_target={})
    rows = {row.target_id: row for row in decide(facts, world.now).target_decisions}
    return [(one["reason"], one["values"]) for one in rows[world.target(name).id].verdicts]


def test_one_of_each_zone_at_a_time_on_a_monday_morning():
    """2026-03-09 08:00 UTC: 2.0 arrives; a zone's second target starts when its first is done, not before."""
    world = a_zoned_fleet(BY_ZONE)
    world.create_version("2.0")
    world.settle()
    assert sorted(name[0] for name in moving(world)) == ["a", "b"]
    first = sorted(moving(world))
    waiting = next(name for name in ("a1", "a2") if name not in first)
    (reason, values), *_ = holds_of(world, waiting)
    assert reason == "concurrency_full"
    assert (values["held"], values["limit"], values["size"], values["group"]) == (1, 1, 2, "a")
    finish(world, next(name for name in first if name[0] == "a"))
    world.settle()
    assert waiting in moving(world)
    assert instant(world.now).startswith("2026-03-09T08:00:00")


def test_a_target_without_the_label_waits_and_says_why():
    world = a_zoned_fleet(BY_ZONE)
    world.label("b2")
    world.create_version("2.0")
    for _ in range(3):
        world.settle()
        for name in moving(world):
            finish(world, name)
    world.settle()
    assert runs(world) == {"a1": "2.0", "a2": "2.0", "b1": "2.0", "b2": "1.0"}
    (reason, values), *_ = holds_of(world, "b2")
    assert reason == "slot_group_unknown"
    assert "zone" in values["why"]
    world.label("b2", zone="c")
    world.settle()
    assert list(moving(world)) == ["b2"]


def test_others_count_and_a_slot_that_they_free_is_used():
    world = a_zoned_fleet({"concurrency": {"maxInFlight": 2}})
    (key,) = world.snapshot().slots
    world.hold_elsewhere(key, 2)
    world.create_version("2.0")
    world.settle()
    assert moving(world) == {}
    world.hold_elsewhere(key, 1)
    world.settle()
    assert len(moving(world)) == 1


def test_a_slot_is_kept_while_it_is_verified_and_retried():
    world = a_zoned_fleet({"concurrency": {"maxInFlight": 1}}, VERIFIED, {"retry": {"maxRetries": 1}})
    world.create_version("2.0")
    world.settle()
    (name,) = moving(world)
    finish(world, name, JobStatus.FAILURE)
    world.settle()
    assert list(moving(world)) == [name]  # tried again
    finish(world, name)
    world.settle()
    assert moving(world) == {name: "forward 2.0 verifying"}
    verify(world, name)
    world.settle()
    assert len(moving(world)) == 1
    assert name not in moving(world)


def test_two_rules_both_count_and_both_are_told():
    world = a_zoned_fleet(BY_ZONE, {"concurrency": {"maxInFlight": 1, "groupBy": "environment.name"}})
    world.create_version("2.0")
    world.settle()
    (name,) = moving(world)
    other = next(one for one in PRODUCTION["production"] if one[0] == name[0] and one != name)
    assert sorted(values["group"] for _, values in holds_of(world, other)) == [name[0], "production"]


def test_a_target_that_waits_for_its_slot_keeps_nobody_behind_it_waiting():
    """Zone a is full elsewhere; under one target a minute the two of zone b go at their times."""
    rollout = {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 60}}
    world = a_zoned_fleet(BY_ZONE, rollout)
    key = next(key for key in world.snapshot().slots if key.endswith("/a"))
    world.hold_elsewhere(key, 1)
    world.create_version("2.0")
    for _ in range(5):
        world.settle()
        for name in moving(world):
            finish(world, name)
        world.advance(timedelta(seconds=60))
    assert runs(world) == {"a1": "1.0", "a2": "1.0", "b1": "2.0", "b2": "2.0"}


def test_a_first_deployment_waits_for_a_slot_too():
    world = a_fleet(PRODUCTION, {"limits": (["production"], [{"concurrency": {"maxPercentage": 50}}])})
    world.create_version("1.0")
    world.settle()
    assert len(moving(world)) == 2


def test_a_rule_that_only_observes_limits_nothing():
    world = a_fleet(PRODUCTION)
    set_policies(world, {"limits": (["production"], [{"concurrency": {"maxInFlight": 1}}])}, observe=["limits"])
    world.create_version("1.0")
    world.settle()
    assert len(moving(world)) == 4


def test_what_ran_before_the_rule_was_written_is_counted_and_left_alone():
    world = a_fleet(PRODUCTION, runs="1.0", now=MONDAY)
    world.create_version("2.0")
    world.settle()
    hand_over_all(world)
    finish(world, "a1")
    set_policies(world, {"limits": (["production"], [{"concurrency": {"maxInFlight": 1}}])})
    world.create_version("3.0")
    world.settle()
    assert len(moving(world)) == 3
    assert "a1" not in moving(world)


def test_a_newer_version_takes_over_the_slot_of_a_job_that_nobody_has_yet():
    world = a_fleet({"production": ["one"]}, {"l": (["production"], [{"concurrency": {"maxInFlight": 1}}])}, runs="1.0")
    world.create_version("2.0")
    world.settle()
    world.create_version("3.0")
    world.settle()
    assert moving(world) == {"one": "forward 3.0 admitted"}


# Going back -----------------------------------------------------------------------------------------------------------

BACK = {"rollback": {"onJobStatuses": ["failure"]}}
TEN = [f"host-{n}" for n in range(10)]


def a_failed_fleet(limit: int):
    """Ten hosts with 2.0 in flight on all of them; then the limit is written, and all ten fail."""
    world = a_fleet({"production": TEN}, {"back": (["production"], [BACK])}, runs="1.0")
    world.create_version("2.0")
    world.settle()
    hand_over_all(world)
    set_policies(world, {"back": (["production"], [BACK, {"concurrency": {"maxInFlight": limit}}])})
    return world


def going_back(world):
    return [name for name, move in moving(world).items() if move.startswith("rollback")]


def test_a_rollback_waits_until_fewer_than_a_third_of_the_group_is_in_flight():
    world = a_failed_fleet(1)
    for name in TEN[:8]:
        finish(world, name, JobStatus.FAILURE)
    world.settle()
    assert len(going_back(world)) == 1  # two still run 2.0: 3 of 10 may be in flight
    waiting = next(name for name in TEN[:8] if name not in going_back(world))
    (reason, values), *_ = holds_of(world, waiting)
    assert (reason, values["held"], values["limit"], values["size"]) == ("concurrency_full", 3, 3, 10)
    for name in TEN[8:]:
        finish(world, name, JobStatus.FAILURE)
    world.settle()
    assert len(going_back(world)) == 3


def test_all_of_them_come_back_in_the_end_never_more_than_the_cap_at_once():
    world = a_failed_fleet(1)
    for name in TEN:
        finish(world, name, JobStatus.FAILURE)
    for _ in range(8):
        world.settle()
        assert len(moving(world)) <= 3
        for name in moving(world):
            finish(world, name)
    world.settle()
    assert set(runs(world).values()) == {"1.0"}
    assert moving(world) == {}


def test_a_rollback_goes_before_those_who_go_forward():
    world = a_fleet(
        {"production": TEN}, {"l": (["production"], [BACK, {"concurrency": {"maxInFlight": 1}}])}, runs="1.0"
    )
    world.create_version("2.0")
    world.settle()
    (name,) = moving(world)
    finish(world, name, JobStatus.FAILURE)
    world.settle()
    assert moving(world) == {name: "rollback 1.0 admitted"}


def test_a_target_whose_group_is_unknown_still_goes_back():
    world = a_zoned_fleet(BACK)
    world.create_version("2.0")
    world.settle()
    hand_over_all(world)
    set_policies(world, {"limits": (["production"], [BY_ZONE, BACK])})
    world.label("a1")
    finish(world, "a1", JobStatus.FAILURE)
    world.settle()
    assert moving(world)["a1"] == "rollback 1.0 admitted"


def test_a_force_takes_a_slot_without_asking_and_others_see_it():
    world = a_fleet(
        {"production": ["one", "two"]}, {"l": (["production"], [{"concurrency": {"maxInFlight": 1}}])}, runs="1.0"
    )
    world.create_version("2.0")
    world.settle()
    (first,) = moving(world)
    hand_over_all(world)
    other = "two" if first == "one" else "one"
    assert world.order("force", other, "2.0")
    world.settle()
    assert moving(world)[other] == "force 2.0 admitted"
    assert all(len(move.slots) == 1 for move in world.facts.moves if move.open)


def test_what_would_let_it_go_is_a_free_slot():
    from interlock.decide.counterfactual import find_counterfactual

    world = a_zoned_fleet(BY_ZONE)
    key = next(key for key in world.snapshot().slots if key.endswith("/a"))
    world.hold_elsewhere(key, 2)
    version = world.create_version("2.0")
    world.settle()
    answer = find_counterfactual(world.snapshot(), world.now, target_id=world.target("a1").id, version_id=version.id)
    assert answer.found
    assert [(one.code, one.values) for one in answer.lifts] == [("slots_freed", {"count": 2, "group": "a"})]
    (freed,) = answer.lifts
    assert freed.who == "whoever ends a move of the group"
    before, after = world.snapshot().slots, freed.change(world.snapshot(), world.now).slots
    assert after == {**before, key: replace(before[key], held_by_others=0)}, "so many slots, and nothing else"


def test_without_a_group_only_a_force_lets_a_target_go():
    from interlock.decide.counterfactual import find_counterfactual

    world = a_zoned_fleet(BY_ZONE)
    world.label("a1")
    world.label("a2")
    version = world.create_version("2.0")
    world.settle()
    assert holds_of(world, "a1") == holds_of(world, "a2")
    answer = find_counterfactual(world.snapshot(), world.now, target_id=world.target("a1").id, version_id=version.id)
    assert [one.code for one in answer.lifts] == ["forced"]


def test_a_target_whose_groups_nobody_worked_out_yet_waits_for_that():
    from interlock.decide import decide

    world = a_zoned_fleet(BY_ZONE)
    world.create_version("2.0")
    facts = world.snapshot()
    one = world.target("a1")
    facts = replace(facts, targets={**facts.targets, one.id: replace(one, slot_keys=())})
    plan = decide(facts, world.now)
    assert sorted(world.target(move.target_id).name[0] for move in plan.moves) == ["a", "b"]
    assert one.id not in {move.target_id for move in plan.moves}
    (row,) = [row for row in plan.target_decisions if row.target_id == one.id]
    assert row.outcome == "unknown"
    assert row.verdicts[0]["values"] == {"why": "it is still being worked out"}


def test_what_is_counted_by_hand_is_seen_by_those_who_ask_after_it():
    from interlock.decide.index import Index
    from interlock.decide.slots import Slots

    world = a_zoned_fleet(BY_ZONE)
    world.label("b1")
    slots = Slots(Index(world.snapshot()))
    one, other, without = world.target("a1"), world.target("a2"), world.target("b1")
    slots.count(one, 1)
    slots.count(without, 1)
    assert slots.take(other, "forward")
    slots.count(one, -1)
    assert not slots.take(other, "forward")

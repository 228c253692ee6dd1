"""What follows from how full things are, and from how often a deployment went back? Dated examples of both rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from interlock.decide.codec import decode, encode, in_order
from interlock.decide.facts import RolledBack
from interlock.decide.rule_schema import rule_schema
from interlock.decide.rules import parse_rules
from interlock.decide.verdict import Outcome
from interlock.model.errors import Invalid
from interlock.model.job import JobStatus
from interlock.model.saturation import level_of
from rules.examples import judged, lifts_of
from worlds import a_fleet, active_job, finish, hand_over_all, runs, set_policies

PLAIN = {"saturation": {}}
OFTEN = {"rollbackHistory": {}}
TWICE_STOPS = {"rollbackHistory": {"reactions": [{"atLeast": 2, "then": "hold"}]}}


def a_world(rule=PLAIN, **metadata):
    world = a_fleet({"production": ["p1", "p2", "p3", "p4"]}, {"signal": (["production"], [rule])}, runs="v0")
    world.advance(timedelta(hours=1))
    world.create_version("v1", metadata={f"interlock/{name}": value for name, value in metadata.items()})
    return world


def rule_of(world, kind):
    (rule,) = (one for each in world.facts.policies.values() for one in each.rules if one.kind == kind)
    return {kind: rule.wire}


def said(world, kind="saturation"):
    return judged(world, rule_of(world, kind), "v1", "production")


@pytest.mark.parametrize(
    ("value", "outcome", "reason"),
    [
        (0.79, Outcome.PASS, "saturation_allows"),
        (0.8, Outcome.PASS, "saturation_capped"),
        (0.95, Outcome.HOLD, "saturation_holds"),
        (7.0, Outcome.HOLD, "saturation_holds"),
    ],
)
def test_a_level_follows_from_the_bounds_and_what_follows_from_the_level(value, outcome, reason):
    world = a_world()
    world.read_saturation("pool", value)
    assert (said(world).outcome, said(world).reason) == (outcome, reason)


def test_what_was_read_too_long_ago_is_unknown_by_time_alone_and_never_normal():
    world = a_world()
    world.read_saturation("pool", 0.1, fresh_for=timedelta(minutes=5))
    ends_at = world.now + timedelta(minutes=5)
    assert said(world).changes_at == ends_at
    world.now = ends_at
    assert (said(world).outcome, said(world).reason) == (Outcome.UNKNOWN, "saturation_unknown")
    assert not world.round().moves
    world.read_saturation("pool", 0.1)
    assert world.round().moves


def test_nothing_read_is_unknown_unless_the_rule_lets_it_pass_and_a_named_signal_must_be_read():
    assert said(a_world()).outcome is Outcome.UNKNOWN
    assert said(a_world({"saturation": {"whenUnread": "pass"}})).reason == "saturation_unread"
    world = a_world({"saturation": {"signals": ["cpu"]}})
    world.read_saturation("pool", 0.99)
    assert said(world).values["said"] == "nobody reads it"
    world.read_saturation("cpu", 0.1)
    assert said(world).passes, "the pool is not asked about"


def test_the_strictest_counts_and_what_is_read_of_a_place_counts_only_there():
    world = a_fleet(
        {"staging": ["s1"], "production": ["p1"]}, {"signal": (["staging", "production"], [PLAIN])}, runs="v0"
    )
    world.create_version("v1")
    world.read_saturation("cpu", 0.1)
    world.read_saturation("pool", 0.1)
    world.read_saturation("pool", 0.99, environment="production")
    plan = world.round()
    assert {world.target("s1").id} == {move.target_id for move in plan.moves}


def test_half_of_a_wave_goes_while_it_is_high_and_a_rollout_stops_and_goes_on():
    world = a_world()
    world.read_saturation("pool", 0.85, fresh_for=timedelta(hours=9))
    assert len(world.round().moves) == 2
    world.read_saturation("pool", 0.99, fresh_for=timedelta(hours=9))
    hand_over_all(world)
    for name in [one.name for one in world.facts.targets.values() if world.open_move(one.name)]:
        world.hear(active_job(world, name), JobStatus.SUCCESSFUL)
    world.round()
    assert not world.round().moves, "nothing new starts"
    world.read_saturation("pool", 0.3, fresh_for=timedelta(hours=9))
    world.settle()
    hand_over_all(world)
    assert len([one for one in world.facts.moves if one.kind == "forward"]) == 4


def test_a_fix_goes_out_and_a_reaction_of_ones_own_goes_before_the_table():
    world = a_world(**{"change-type": "fix"})
    world.read_saturation("pool", 0.99)
    assert said(world).reason == "saturation_exempt"
    world = a_world({"saturation": {"reactions": [{"level": ["saturated"], "then": {"approvals": 1}}]}})
    world.read_saturation("pool", 0.99)
    assert said(world).reason == "approval_missing"
    assert {one.code for one in lifts_of(world, rule_of(world, "saturation"), "v1", "production")} >= {
        "saturation_falls"
    }
    world.say("ann", "approved", "v1", "production")
    assert said(world).reason == "saturation_approved"


def a_rollback(world, days_ago, tag, place="production"):
    world.rolled_back.add(RolledBack(world.environment(place).id, tag, world.now - timedelta(days=days_ago)))


def test_two_rollbacks_in_seven_days_ask_a_person_until_one_is_older():
    world = a_world(OFTEN)
    a_rollback(world, 1, "bad-1")
    assert said(world, "rollbackHistory").values["count"] == 1
    a_rollback(world, 6, "bad-2")
    verdict = said(world, "rollbackHistory")
    assert (verdict.reason, verdict.values["count"]) == ("approval_missing", 2)
    assert verdict.changes_at == world.now + timedelta(days=1)
    world.now = verdict.changes_at
    assert said(world, "rollbackHistory").reason == "rollbacks_few"
    assert world.round().moves


def test_one_version_that_went_back_twice_or_on_many_targets_is_one_rollback():
    world = a_world(TWICE_STOPS)
    for days_ago in (1, 2, 3):
        a_rollback(world, days_ago, "bad")
    assert said(world, "rollbackHistory").passes
    a_rollback(world, 2, "worse")
    assert said(world, "rollbackHistory").reason == "rollbacks_hold"
    assert said(world, "rollbackHistory").values["versions"] == ["bad", "worse"]


def test_what_the_reactions_take_back_is_counted_as_it_happens():
    world = a_world()
    set_policies(world, {"all": (["production"], [{"rollback": {"onJobStatuses": ["failure"]}}, TWICE_STOPS])})
    for tag in ("v1", "v2"):
        if tag != "v1":
            world.create_version(tag)
        world.settle()
        for name in ("p1", "p2", "p3", "p4"):
            finish(world, name, JobStatus.FAILURE)
        world.settle()
        for name in ("p1", "p2", "p3", "p4"):
            finish(world, name)
        world.settle()
    assert runs(world) == dict.fromkeys(("p1", "p2", "p3", "p4"), "v0")
    world.create_version("v3")
    assert not world.round().moves
    assert len({one.version_id for one in world.snapshot().rollbacks}) == 2


def test_here_counts_only_the_environment_that_it_goes_to():
    world = a_fleet(
        {"staging": ["s1"], "production": ["p1"]},
        {
            "signal": (
                ["production"],
                [{"rollbackHistory": {"where": "here", "reactions": [{"atLeast": 1, "then": "hold"}]}}],
            )
        },
        runs="v0",
    )
    world.create_version("v1")
    a_rollback(world, 1, "bad", "staging")
    assert world.round().moves
    a_rollback(world, 1, "bad", "production")
    world.create_version("v2")
    assert world.target("p1").id not in {one.target_id for one in world.round().moves}


def test_both_facts_read_back_as_they_were_written_down():
    world = a_world(PLAIN)
    world.read_saturation("pool", 0.85)
    a_rollback(world, 1, "bad")
    facts = replace(world.snapshot(), rollbacks=tuple(world.rolled_back))
    assert decode(dict(encode(facts))) == in_order(facts)


@pytest.mark.parametrize(
    "rule",
    [
        {"saturation": {"signals": [""]}},
        {"saturation": {"reactions": [{"level": ["full"], "then": "hold"}]}},
        {"saturation": {"reactions": [{"level": ["high"]}]}},
        {"saturation": {"whenUnread": "hold"}},
        {"rollbackHistory": {"days": 31}},
        {"rollbackHistory": {"reactions": [{"then": "hold"}]}},
        {"rollbackHistory": {"reactions": [{"atLeast": 1, "then": "hold"}, {"atLeast": 1, "then": "pass"}]}},
        {"rollbackHistory": {"where": "there"}},
    ],
)
def test_what_means_nothing_is_refused(rule):
    with pytest.raises(Invalid):
        parse_rules([rule])


def test_bounds_belong_to_the_level_above_them():
    assert [level_of(value, high_above=10, saturated_above=20) for value in (9.9, 10, 20)] == [
        "normal",
        "high",
        "saturated",
    ]


@pytest.mark.parametrize("kind", ["errorBudget", "rollbackHistory", "saturation"])
def test_files_are_told_what_a_reaction_may_say(kind):
    rule = rule_schema()["properties"][kind]
    reaction = rule["properties"]["reactions"]["items"]
    assert reaction["additionalProperties"] is False
    assert "then" in reaction["required"]
    assert set(reaction["properties"]) > {"then"}

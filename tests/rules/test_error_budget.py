"""What follows from an error budget? The table of class × risk × type of change, reactions of one's own, and a rollout
that stops halfway and goes on.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.decide import decide
from interlock.decide.effects import HOLD, PASS, Effect, joined
from interlock.decide.rules import parse_rules
from interlock.decide.rules.error_budget import CLASSES, TIERS, UNSAID, default_effect
from interlock.decide.verdict import Outcome, Stage, WaitsFor
from interlock.model.errors import Invalid
from interlock.model.job import JobStatus
from interlock.model.version_facts import CHANGE_TYPES, RISKS
from rules.examples import happens, judged, lifts_of
from worlds import MONDAY, a_fleet, active_job, deploy, finish, hand_over_all, runs, set_policies

PLAIN = {"errorBudget": {}}


def a_world(budget: str | None = "healthy", *, risk: str | None = None, change: str | None = None, tier=None, **more):
    world = a_fleet({"production": ["p1", "p2", "p3", "p4"]}, {"budget": (["production"], [PLAIN])}, runs="v0")
    world.facts = replace(world.facts, tier=tier)
    said = {"interlock/risk": risk, "interlock/change-type": change}
    world.create_version("v1", metadata={key: value for key, value in said.items() if value})
    if budget is not None:
        world.read_budget("checkout", budget, remaining=0.42, why="No events.", **more)
    return world


# class, risk, type of change, tier -> what follows
ASKED = "an approval"
TABLE = [
    ("healthy", None, None, None, "goes"),
    ("healthy", "critical", "migration", None, "goes"),
    ("low", "low", None, None, "goes"),
    ("low", "medium", "code", None, "goes"),
    ("low", "high", None, None, ASKED),
    ("low", "critical", "config", None, ASKED),
    ("low", None, None, None, ASKED),
    ("low", "critical", "fix", None, "goes"),
    ("slow_burn", "low", "code", None, ASKED),
    ("slow_burn", None, None, None, ASKED),
    ("slow_burn", "high", "security", None, "goes"),
    ("fast_burn", "low", "code", None, "waits"),
    ("fast_burn", None, None, None, "waits"),
    ("fast_burn", "high", "fix", None, "goes"),
    ("fast_burn", None, "rollback", None, "goes"),
    ("exhausted", "low", "code", None, "is denied"),
    ("exhausted", "low", "migration", None, "is denied"),
    ("exhausted", "critical", "fix", None, "goes"),
    ("exhausted", None, "rollback", None, "goes"),
    ("unknown", "low", "code", None, ASKED),
    ("unknown", None, None, "2", ASKED),
    ("unknown", "low", "code", "1", "is not known"),
    ("unknown", None, "fix", "1", "goes"),
    (None, None, None, None, ASKED),
    (None, None, None, "1", "is not known"),
    (None, None, "fix", "1", "goes"),
]


def what_follows(verdict) -> str:
    if verdict.passes:
        return "goes"
    if verdict.outcome is Outcome.UNKNOWN:
        return "is not known"
    return {WaitsFor.PERSON: ASKED, WaitsFor.DENY: "is denied", WaitsFor.WAIT: "waits"}[verdict.waits_for]


@pytest.mark.parametrize(("budget", "risk", "change", "tier", "follows"), TABLE)
def test_the_table(budget, risk, change, tier, follows):
    verdict = judged(a_world(budget, risk=risk, change=change, tier=tier), PLAIN, "v1", "production")
    assert what_follows(verdict) == follows
    assert verdict.passes or verdict.who
    assert verdict.passes or any(one.startswith("slo:") for one in verdict.waits_on)


@given(
    budget=st.sampled_from(CLASSES),
    risk=st.sampled_from((*RISKS, UNSAID)),
    change=st.sampled_from((*CHANGE_TYPES, UNSAID)),
    tier=st.sampled_from((*TIERS, UNSAID)),
)
def test_nothing_but_an_exempt_change_passes_freely_where_the_budget_is_not_well(budget, risk, change, tier):
    said = [None if one == UNSAID else one for one in (risk, change, tier)]
    verdict = judged(a_world(budget, risk=said[0], change=said[1], tier=said[2]), PLAIN, "v1", "production")
    free = verdict.passes and not verdict.obligations
    assert free == (change in {"fix", "security", "rollback"} or default_effect(budget, risk=risk, tier=tier) == PASS)
    assert default_effect(budget, risk=risk, tier=tier) != PASS or budget in {"healthy", "low"}


@given(st.lists(st.builds(Effect, st.booleans(), st.integers(0, 3), st.just(""), st.integers(1, 100)), max_size=4))
def test_joined_effects_are_at_least_as_strict_as_each_in_any_order(effects):
    found = joined(effects)
    assert found == joined(reversed(effects))
    for one in effects:
        assert (found.hold, found.approvals, -found.percent) >= (False, one.approvals, -100)
        assert found.hold >= one.hold and found.approvals >= one.approvals and found.percent <= one.percent
    assert joined((*effects, HOLD)).hold


def test_a_reading_that_gets_too_old_turns_unknown_by_time_alone():
    world = a_world("healthy", fresh_for=timedelta(minutes=5))
    passing = judged(world, PLAIN, "v1", "production")
    assert passing.passes and passing.changes_at == world.now + timedelta(minutes=5)
    world.advance(timedelta(minutes=5))
    assert what_follows(judged(world, PLAIN, "v1", "production")) == ASKED


def test_the_round_wakes_when_the_reading_gets_too_old():
    world = a_world("healthy", fresh_for=timedelta(minutes=5))
    plan = decide(world.snapshot(), world.now)
    assert plan.wake_at == world.now + timedelta(minutes=5)
    assert {move.version_id for move in plan.moves} == {world.version("v1").id}
    later = decide(world.snapshot(), plan.wake_at)
    assert not later.moves and [one.minimum for one in later.requests] == [1]


def test_the_strictest_of_several_objectives_counts():
    world = a_world("healthy")
    world.read_budget("latency", "fast_burn", remaining=0.9)
    verdict = judged(world, PLAIN, "v1", "production")
    assert what_follows(verdict) == "waits" and verdict.values["objective"] == "latency"
    named = {"errorBudget": {"objectives": ["checkout"]}}
    assert judged(world, named, "v1", "production").passes


def test_a_named_objective_that_does_not_cover_the_deployment_is_unknown():
    verdict = judged(a_world("healthy"), {"errorBudget": {"objectives": ["chekout"]}}, "v1", "production")
    assert what_follows(verdict) == ASKED and "chekout" in str(verdict.values)


def test_a_rule_may_let_pass_what_no_objective_covers():
    assert judged(a_world(None), {"errorBudget": {"whenUncovered": "pass"}}, "v1", "production").passes


OWN = {
    "errorBudget": {
        "exempt": [],
        "reactions": [
            {"class": ["slow_burn"], "risk": ["low"], "then": {"paceCap": 0.25}},
            {"class": ["healthy"], "changeType": ["migration"], "then": {"approvals": 2, "approverGroup": "sre"}},
            {"risk": ["critical", "unsaid"], "then": "hold"},
            {"class": ["exhausted"], "tier": ["3", "4"], "then": "pass"},
        ],
    }
}
REACTIONS = [
    ("slow_burn", "low", None, None, "goes"),
    ("slow_burn", "high", None, None, ASKED),
    ("healthy", "low", "migration", None, ASKED),
    ("healthy", None, "migration", None, ASKED),
    ("healthy", "critical", None, None, "waits"),
    ("healthy", None, None, None, "waits"),
    ("exhausted", "low", "fix", "3", "goes"),
    ("exhausted", "low", "fix", "2", "is denied"),
    ("fast_burn", "low", "fix", None, "waits"),
]


@pytest.mark.parametrize(("budget", "risk", "change", "tier", "follows"), REACTIONS)
def test_reactions_of_ones_own_come_first_in_their_order(budget, risk, change, tier, follows):
    verdict = judged(a_world(budget, risk=risk, change=change, tier=tier), OWN, "v1", "production")
    assert what_follows(verdict) == follows


FAULTS = [
    ({"objectives": "checkout"}, "objectives"),
    ({"objectives": [""]}, "objectives"),
    ({"exempt": ["hotfix"]}, "'hotfix' is not one of"),
    ({"whenUncovered": "hold"}, "whenUncovered"),
    ({"reactions": {}}, "reactions"),
    ({"reactions": ["hold"]}, "reactions[0]"),
    ({"reactions": [{"class": ["fine"], "then": "hold"}]}, "reactions[0].class"),
    ({"reactions": [{"risk": ["some"], "then": "hold"}]}, "reactions[0].risk"),
    ({"reactions": [{"class": ["low"]}]}, "reactions[0].then"),
    ({"reactions": [{"then": "stop"}]}, "reactions[0].then"),
    ({"reactions": [{"then": {}}]}, "reactions[0].then"),
    ({"reactions": [{"then": {"approvals": 0}}]}, "reactions[0].then.approvals"),
    ({"reactions": [{"then": {"approvals": True}}]}, "reactions[0].then.approvals"),
    ({"reactions": [{"then": {"paceCap": 0}}]}, "reactions[0].then.paceCap"),
    ({"reactions": [{"then": {"paceCap": 2}}]}, "reactions[0].then.paceCap"),
    ({"reactions": [{"then": {"approverGroup": "sre"}}]}, "approverGroup"),
    ({"reactions": [{"then": {"wait": 1}}]}, "reactions[0].then.wait"),
    ({"reactions": [{"then": "hold", "tier": [1]}]}, "reactions[0].tier"),
    ({"burn": 1}, "errorBudget.burn"),
]


@pytest.mark.parametrize(("body", "names"), FAULTS, ids=[str(number) for number in range(len(FAULTS))])
def test_what_is_wrong_is_refused_by_name(body, names):
    with pytest.raises(Invalid) as refused:
        parse_rules([{"errorBudget": body}])
    assert names in refused.value.message


# Through decide -------------------------------------------------------------------------------------------------------

WAVES = {"gradualRollout": {"rolloutType": "waves", "waves": [1, "50%", "100%"]}}


def a_rollout(*rules, runs_first: str = "v0", targets: int = 8):
    names = [f"p{number}" for number in range(targets)]
    world = a_fleet({"production": names}, {"gates": (["production"], [PLAIN, *rules])}, runs=runs_first)
    world.read_budget("checkout", "healthy", remaining=0.9, fresh_for=timedelta(days=9))
    world.create_version("v1", metadata={"interlock/risk": "low"})
    return world


def started(world) -> int:
    return sum(1 for move in world.facts.moves if move.version_id == world.version("v1").id and move.kind == "forward")


def finish_all(world) -> None:
    hand_over_all(world)
    for move in [one for one in world.facts.moves if one.open]:
        finish(world, next(t.name for t in world.facts.targets.values() if t.id == move.target_id))


def test_a_fast_burn_stops_a_rollout_halfway_and_it_goes_on_afterwards():
    world = a_rollout(WAVES)
    world.round()
    assert started(world) == 1
    finish_all(world)
    world.round()
    world.read_budget("checkout", "fast_burn", remaining=0.5, fresh_for=timedelta(days=9))
    finish_all(world)
    for _ in range(3):
        plan = world.round()
        assert not plan.moves
    assert sorted(set(runs(world).values())) == ["v0", "v1"]
    assert next(one for one in world.facts.rollouts if one.live).state == "open"
    world.read_budget("checkout", "healthy", remaining=0.5, fresh_for=timedelta(days=9))
    deploy(world, "v1")
    assert set(runs(world).values()) == {"v1"}


def test_what_waits_for_its_hand_over_is_taken_back_when_the_budget_burns():
    world = a_rollout()
    world.round()
    assert world.waiting_jobs()
    world.read_budget("checkout", "fast_burn", fresh_for=timedelta(days=9))
    assert hand_over_all(world) == 0, "the fence holds from the commit of the class on"
    world.round()
    assert not world.waiting_jobs() and set(runs(world).values()) == {"v0"}


def test_a_rollback_goes_whatever_the_budget():
    world = a_rollout({"rollback": {"onJobStatuses": ["failure"]}})
    world.round()
    hand_over_all(world)
    world.read_budget("checkout", "exhausted", remaining=-0.1, fresh_for=timedelta(days=9))
    world.hear(active_job(world, "p0"), JobStatus.FAILURE)
    plan = world.round()
    assert [move.kind for move in plan.moves] == ["rollback"]


CAPPED = {"errorBudget": {"reactions": [{"class": ["slow_burn"], "then": {"paceCap": 0.5}}]}}


def sizes_of_waves(world) -> list[int]:
    """How many start in each round, each wave ending before the next."""
    sizes = []
    for _ in range(20):
        plan = world.round()
        if not plan.moves:
            break
        sizes.append(len(plan.moves))
        finish_all(world)
    return sizes


@pytest.mark.parametrize(
    ("pace", "free", "halved"),
    [
        ((), [8], [4, 4]),
        ((WAVES,), [1, 3, 4], [1, 1, 1, 1, 2, 2]),
        (({"gradualRollout": {"rolloutType": "exponential", "cap": 1}},), [1, 2, 4, 1], [1, 1, 1, 2, 2, 1]),
        (({"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 0, "maxInFlight": 4}},), [4, 4], [2] * 4),
    ],
    ids=["no rollout rule", "waves", "exponential", "linear"],
)
def test_a_pace_cap_halves_each_wave_and_nothing_is_left_out(pace, free, halved):
    for budget, sizes in (("healthy", free), ("slow_burn", halved)):
        world = a_rollout(*pace)
        set_policies(world, {"gates": (["production"], [CAPPED, *pace])})
        world.read_budget("checkout", budget, remaining=0.5, fresh_for=timedelta(days=9))
        assert sizes_of_waves(world) == sizes
        assert set(runs(world).values()) == {"v1"}


def test_a_linear_rollout_takes_twice_as_long_under_a_cap_of_half():
    linear = {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 60}}
    world = a_rollout(linear)
    set_policies(world, {"gates": (["production"], [CAPPED, linear])})
    world.read_budget("checkout", "slow_burn", fresh_for=timedelta(days=9))
    world.round()
    assert world.wake_at == next(one for one in world.facts.rollouts if one.live).opened_at + timedelta(seconds=120)


def test_a_wave_is_whole_again_when_the_cap_ends():
    world = a_rollout()
    set_policies(world, {"gates": (["production"], [CAPPED])})
    world.read_budget("checkout", "slow_burn", fresh_for=timedelta(days=9))
    assert len(world.round().moves) == 4
    world.read_budget("checkout", "healthy", fresh_for=timedelta(days=9))
    assert len(world.round().moves) == 4


def test_an_approval_is_asked_for_when_nothing_else_holds_and_then_half_of_it_goes():
    world = a_rollout()
    world.read_budget("checkout", "slow_burn", remaining=0.5, fresh_for=timedelta(days=9))
    progression = {"environmentProgression": {"dependsOnEnvironmentSelector": 'environment.name == "staging"'}}
    set_policies(world, {"gates": (["production"], [PLAIN]), "way": (["production"], [progression])})
    assert not world.round().requests, "nobody is interrupted for what cannot go"
    set_policies(world, {"gates": (["production"], [PLAIN])})
    (asked,) = world.round().requests
    assert asked.minimum == 1
    world.say("ann", "approved", "v1", "production")
    assert len(world.round().moves) == 4


def test_a_no_is_a_veto_here_too():
    world = a_rollout()
    world.read_budget("checkout", "slow_burn", fresh_for=timedelta(days=9))
    world.round()
    world.say("ann", "approved", "v1", "production")
    world.say("eve", "rejected", "v1", "production")
    assert judged(world, PLAIN, "v1", "production").reason == "rejected"
    assert not world.round().moves


def test_what_is_missing_is_a_judgement_and_what_burns_is_readiness():
    world = a_rollout()
    stages = {}
    for budget in ("slow_burn", "fast_burn"):
        world.read_budget("checkout", budget, fresh_for=timedelta(days=9))
        (decision,) = decide(world.snapshot(), world.now).decisions
        (verdict,) = [one for one in decision.verdicts if one["rule"] == "errorBudget"]
        stages[budget] = verdict["stage"]
    assert stages == {"slow_burn": Stage.JUDGEMENT, "fast_burn": Stage.READINESS}


def test_lifts_bring_about_what_they_promise():
    for budget in ("fast_burn", "exhausted", "slow_burn", "unknown"):
        world = a_world(budget)
        for lift in lifts_of(world, PLAIN, "v1", "production"):
            again = a_world(budget)
            happens(again, lift)
            assert judged(again, PLAIN, "v1", "production").passes, (budget, lift.code)


def test_only_another_class_is_a_fact_that_asks_for_a_round():
    world = a_world("healthy")
    before = (world.facts.generation, world.facts.fence)
    world.read_budget("checkout", "healthy", remaining=0.3)
    assert (world.facts.generation, world.facts.fence) == before
    world.read_budget("checkout", "low", remaining=0.05)
    assert (world.facts.generation, world.facts.fence) == (before[0] + 1, before[1] + 1)
    world.read_budget("checkout", "healthy", remaining=0.2)
    assert (world.facts.generation, world.facts.fence) == (before[0] + 2, before[1] + 1)
    assert world.facts.budgets[0].since > MONDAY

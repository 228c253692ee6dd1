"""What would have to be different? A set of facts that lets it go, of which no proper subset does."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from itertools import chain, combinations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from interlock.decide import counterfactual, work_out
from interlock.decide.counterfactual import find_counterfactual, goes, look
from interlock.decide.explain import lift_sentence
from interlock.decide.facts import Approval, Dependency, Freeze
from interlock.decide.lift import lift, with_lifts
from interlock.decide.rules import any_approval
from interlock.decide.standing import State, goes_for, standing_of
from interlock.model.ids import derived_id
from worlds import a_fleet, deploy, finish, hand_over_all, histories, seeded_history, version_id

EXAMPLES = int(os.environ.get("INTERLOCK_LAW_EXAMPLES", "25"))

LOOK = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)

APPROVAL = {"anyApproval": {"minApprovals": 2}}
STAGING = {"environmentProgression": {"dependsOnEnvironmentSelector": 'environment.name == "staging"'}}
HOUR = {"deploymentWindow": {"rrule": "FREQ=DAILY;BYHOUR=9", "durationMinutes": 60, "timezone": "UTC"}}


def a_world(*rules, runs="v0", production=("p1",)):
    policies = {"prod": (["production"], rules)}
    return a_fleet({"staging": ["s1", "s2"], "production": list(production)}, policies, runs=runs)


def asked(world, tag="v1", target="p1"):
    facts = world.snapshot()
    return find_counterfactual(facts, world.now, target_id=world.target(target).id, version_id=version_id(tag))


def said(world, tag="v1", target="p1"):
    """The sentences of the set that was found."""
    answer = asked(world, tag, target)
    assert answer.found, answer
    return sorted(lift_sentence(one) for one in answer.lifts)


def test_everything_that_holds_at_once_is_named_once():
    world = a_world(APPROVAL, STAGING, HOUR)
    world.create_version("v1")
    world.freeze("sev-1")
    world.round()
    assert said(world) == [
        "The clock stands at 2026-03-09T09:00:00Z.",
        "The freeze of olga (sev-1) is thawed.",
        "v1 gets 2 more of the 2 approvals for production.",
        "v1 succeeds on 2 more of the 2 targets in staging.",
    ]


def test_the_instant_follows_from_what_must_happen_before_it():
    soak = {"environmentProgression": {**STAGING["environmentProgression"], "minimumSoakTimeMinutes": 30}}
    world = a_world(soak)
    world.create_version("v1")
    world.round()
    ends_at = (world.now + timedelta(minutes=30)).isoformat().replace("+00:00", "Z")
    assert said(world) == [
        f"The clock stands at {ends_at}.",
        "v1 succeeds on 2 more of the 2 targets in staging.",
    ]
    assert asked(world).at == world.now + timedelta(minutes=30)


SCHEMA = {"deploymentDependency": {"dependsOn": 'deployment.name == "schema" && version.tag == "s2"'}}


def test_what_must_run_beside_it_does_where_such_a_version_is_known():
    world = a_world(SCHEMA, production=("p1", "p2"))
    world.create_version("v1")
    world.runs_elsewhere("schema", "s1", resource="p1", environment="production")
    world.runs_elsewhere("schema", "s2", resource="p2", environment="production")
    world.round()
    assert said(world) == ["schema runs s2 beside it."]


def test_where_none_is_known_the_rule_is_skipped():
    world = a_world(SCHEMA)
    world.create_version("v1")
    world.runs_elsewhere("schema", "s1", resource="p1", environment="production")
    world.round()
    assert said(world) == ["The rule deploymentDependency (prod) is skipped for v1 in production."]


def test_a_version_needs_one_thing_less_or_that_it_runs():
    world = a_world(production=("p1", "p2"))
    schema, cache = (derived_id("deployment", name) for name in ("schema", "cache"))
    needs = [Dependency(schema, 'version.tag == "s2"'), Dependency(cache, 'version.tag == "c9"')]
    world.create_version("v1", dependencies=needs)
    world.runs_elsewhere("cache", "c1", resource="p1", environment="production")
    world.runs_elsewhere("schema", "s1", resource="p1", environment="production")
    world.runs_elsewhere("schema", "s2", resource="p2", environment="production")
    world.round()
    assert said(world) == ["schema runs s2 beside it.", "v1 no longer depends on cache."]


def test_what_goes_needs_nothing():
    world = a_world()
    world.create_version("v1")
    answer = asked(world)
    assert (answer.found, answer.lifts, answer.then) == (True, (), State.STARTS)


def test_a_rejection_is_withdrawn_and_then_the_approvals_are_asked_for():
    world = a_world(APPROVAL)
    world.create_version("v1")
    world.say("eve", "rejected", "v1", "production")
    assert said(world) == [
        "eve withdraws the rejection of v1 for production.",
        "v1 gets 2 more of the 2 approvals for production.",
    ]


def test_of_two_rules_that_ask_for_the_same_the_larger_one_is_enough():
    world = a_world(APPROVAL, {"anyApproval": {"minApprovals": 1}})
    world.create_version("v1")
    assert said(world) == ["v1 gets 2 more of the 2 approvals for production."]


def test_a_version_that_is_not_ready_becomes_ready():
    world = a_world()
    world.create_version("v1", status="building")
    assert said(world) == ["The status of v1 is ready."]


def test_an_older_version_comes_by_a_pin_alone():
    world = a_world()
    world.create_version("v1")
    deploy(world, "v2")
    assert said(world) == ["p1 in production is pinned to v1."]


def test_a_selector_that_does_not_match_leaves_a_pin():
    world = a_world({"versionSelector": {"selector": 'version.tag.startsWith("x")'}})
    world.create_version("v1")
    assert said(world) == ["p1 in production is pinned to v1."]


def test_where_a_rule_can_only_be_passed_by_hand_it_is_skipped():
    moon = {"environmentProgression": {"dependsOnEnvironmentSelector": 'environment.name == "moon"'}}
    world = a_world(moon)
    world.create_version("v1")
    assert said(world) == ["The rule environmentProgression (prod) is skipped for v1 in production."]


def test_an_agent_is_picked():
    world = a_world()
    world.create_version("v1")
    world.edit_target("p1", agent="no_agent")
    assert said(world) == ["One job agent is picked for p1 in production."]


def test_a_paused_rollout_is_resumed():
    world = a_world({"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 60}}, production=("p1", "p2"))
    world.create_version("v1")
    world.round()
    hand_over_all(world)
    (started,) = [one for one in ("p1", "p2") if world.open_move(one)]
    other = {"p1": "p2", "p2": "p1"}[started]
    world.set_rollout(world.rollout("v1", "production").id, "paused")
    answer = asked(world, target=other)
    assert [one.code for one in answer.lifts] == ["rollout_resumed"]
    assert answer.then is State.PACED


def in_waves(**more):
    """The one box of two landed; asked is the other one."""
    pace = {"rolloutType": "waves", "waves": [1, "100%"], **more}
    world = a_world({"gradualRollout": pace}, production=("p1", "p2"))
    world.create_version("v1")
    world.round()
    (started,) = [one for one in ("p1", "p2") if world.open_move(one)]
    finish(world, started)
    world.round()
    return asked(world, target={"p1": "p2", "p2": "p1"}[started])


def test_a_rollout_in_waves_is_promoted_or_its_bake_ends():
    answer = in_waves(bakeSeconds=600)
    assert len(answer.lifts) == 1
    assert answer.lifts[0].code in {"clock", "rollout_promoted"}


def test_a_wave_that_lacks_samples_is_promoted():
    assert [one.code for one in in_waves(minimumSamples=5).lifts] == ["rollout_promoted"]


def test_a_target_that_waits_for_its_place_is_told_the_instant():
    world = a_world({"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 60}}, production=("p1", "p2"))
    world.create_version("v1")
    world.round()
    (started,) = [one for one in ("p1", "p2") if world.open_move(one)]
    finish(world, started)
    world.round()
    answer = asked(world, target={"p1": "p2", "p2": "p1"}[started])
    started_at = next(move.started_at for move in world.facts.moves if move.started_at)
    assert [one.at for one in answer.lifts] == [started_at + timedelta(seconds=60)]
    assert answer.then is State.STARTS


def test_a_place_becomes_free_when_the_move_that_has_it_ends_well():
    rule = {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 0, "maxInFlight": 1}}
    world = a_world(rule, production=("p1", "p2"))
    world.create_version("v1")
    world.round()
    hand_over_all(world)
    (started,) = [one for one in ("p1", "p2") if world.open_move(one)]
    other = {"p1": "p2", "p2": "p1"}[started]
    assert said(world, target=other) == [f"The move of {started} in production to v1 ends well."]


def test_nothing_found_says_what_still_holds():
    world = a_world()
    world.create_version("v1")
    world.edit_target("p1", agent="no_agent")
    world.freeze("sev-1")
    found = find_counterfactual(
        world.snapshot(), world.now, target_id=world.target("p1").id, version_id=version_id("v1"), lifts_max=1
    )
    assert (found.found, found.why) == (False, "too_many")
    assert {one.verdict.reason for one in found.left} == {"frozen", "no_agent"}


def test_a_rule_whose_lifts_raise_leaves_the_others_alone(monkeypatch):
    from interlock.decide.rules import any_approval

    def broken(subject, params, verdict):
        raise ZeroDivisionError

    monkeypatch.setattr(any_approval, "lifts", broken)
    world = a_world(APPROVAL)
    world.create_version("v1")
    assert said(world) == ["The rule anyApproval (prod) is skipped for v1 in production."]


def test_the_number_of_looks_is_bounded():
    world = a_world(APPROVAL, STAGING)
    world.create_version("v1")
    found = find_counterfactual(
        world.snapshot(), world.now, target_id=world.target("p1").id, version_id=version_id("v1"), looks_max=2
    )
    assert (found.found, found.why) == (False, "looks_used")


def test_the_looks_may_end_while_smaller_sets_are_tried():
    world = a_world(APPROVAL, STAGING)
    world.create_version("v1")
    world.freeze("sev-1")
    found = find_counterfactual(
        world.snapshot(), world.now, target_id=world.target("p1").id, version_id=version_id("v1"), looks_max=5
    )
    assert (found.found, found.why) == (False, "looks_used")
    assert {one.verdict.reason for one in found.left} == {"frozen", "success_missing", "approval_missing"}


def test_a_search_takes_so_many_steps_at_most(monkeypatch):
    monkeypatch.setattr(counterfactual, "STEPS_MAX", 1)
    world = a_world()
    world.create_version("v1")
    world.freeze("sev-1")
    answer = asked(world)
    assert (answer.found, answer.why) == (False, "nothing_lifts")


def test_where_only_several_can_be_left_out_together_the_smallest_set_is_found(monkeypatch):
    def toggled(facts, now):
        frozen = Freeze("sev-1", "workspace", "sev-1", now, "olga")
        return replace(facts, freezes=() if facts.freezes else (frozen,))

    def approved(facts, now):
        key = (version_id("v1"), next(one.id for one in facts.environments.values() if one.name == "production"))
        words = tuple(Approval(name, name, "approved", now) for name in ("ann", "bob"))
        return replace(facts, approvals_by_version_environment={key: words})

    lifts = (lift("forced", approved, n=1), lift("pinned", toggled, n=2), lift("clock", toggled, n=3))
    monkeypatch.setattr(counterfactual, "offers", lambda *asked: iter([lifts]))
    world = a_world(APPROVAL)
    world.create_version("v1")
    answer = asked(world)
    assert (answer.found, [one.code for one in answer.lifts]) == (True, ["forced"])


def test_a_rule_that_raises_offers_nothing_of_its_own(monkeypatch):
    def broken(subject, params, now):
        raise ValueError("broken")

    monkeypatch.setattr(any_approval, "evaluate", broken)
    world = a_world(APPROVAL)
    world.create_version("v1")
    assert said(world) == ["The rule anyApproval (prod) is skipped for v1 in production."]


def test_where_nothing_frees_a_place_the_place_is_all_that_is_said(monkeypatch):
    from interlock.decide.rules import gradual_rollout

    monkeypatch.setattr(gradual_rollout, "lifts", lambda subject, params, verdict: ())
    rule = {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 0, "maxInFlight": 1}}
    world = a_world(rule, production=("p1", "p2"))
    world.create_version("v1")
    world.round()
    hand_over_all(world)
    (waiting,) = [one for one in ("p1", "p2") if not world.open_move(one)]
    answer = asked(world, target=waiting)
    assert (answer.found, answer.lifts, answer.then) == (True, (), State.PACED)
    assert [one.verdict.reason for one in answer.left] == ["rollout_in_flight"]


def test_where_narrowing_left_too_much_out_all_facts_are_searched(monkeypatch):
    world = a_world()
    world.create_version("v1")
    world.freeze("sev-1")
    plain = counterfactual.narrowed
    monkeypatch.setattr(
        counterfactual, "narrowed", lambda facts, target_id: replace(plain(facts, target_id), freezes=())
    )
    assert said(world) == ["The freeze of olga (sev-1) is thawed."]


def test_what_never_opens_is_waited_for_a_few_times_and_then_skipped():
    never = {"deploymentWindow": {"rrule": "FREQ=DAILY;COUNT=1", "durationMinutes": 10, "timezone": "UTC"}}
    world = a_world(never)
    world.create_version("v1")
    assert said(world) == ["The rule deploymentWindow (prod) is skipped for v1 in production."]


# Any world ------------------------------------------------------------------------------------------------------------


def proper_subsets(lifts):
    return chain.from_iterable(combinations(lifts, size) for size in range(len(lifts)))


def every_question(world):
    """Each target with the version that it goes for, and one older one."""
    facts = world.snapshot()
    worked = work_out(facts, world.now)
    for target in worked.index.targets_in_order:
        version = goes_for(worked, target)
        if version is not None:
            yield facts, target, version
            older = worked.index.newest_first[-1]
            if older is not version:
                yield facts, target, older


def holds_in(world):
    for facts, target, version in every_question(world):
        answer = find_counterfactual(facts, world.now, target_id=target.id, version_id=version.id)
        assert answer.looks <= 2 * counterfactual.LOOKS_MAX
        if not answer.found:
            assert answer.left, "it says what still holds"
            continue
        place = answer.then is not State.PACED

        def stands(lifts, facts=facts, target=target, version=version):
            changed, at = with_lifts(facts, world.now, lifts)
            return look(changed, at, target_id=target.id, version_id=version.id, beside=True)

        standing = stands(answer.lifts)
        assert standing.state is answer.then, (answer, standing)
        assert goes(standing, place=False)
        for fewer in proper_subsets(answer.lifts):
            state = stands(fewer).state
            assert state is State.HELD or (place and state is State.PACED), (answer.lifts, fewer, state)


@LOOK
@given(history=st.one_of(histories(), st.integers(0, 10**6).map(seeded_history)))
def test_in_any_world_the_set_lets_it_go_and_no_proper_subset_does(history):
    holds_in(history.world())


@LOOK
@given(history=st.one_of(histories(), st.integers(0, 10**6).map(seeded_history)))
def test_in_any_world_what_does_not_go_has_something_that_holds_it(history):
    world = history.world()
    worked = work_out(world.snapshot(), world.now)
    for target in worked.index.targets_in_order:
        for version in worked.index.newest_first:
            standing = standing_of(worked, target, version)
            stopped = standing.state is State.HELD
            assert bool(standing.bars) == stopped or standing.state is State.PACED, (target.name, version.tag, standing)
            assert standing.state is not State.PACED or standing.bars


@pytest.mark.parametrize("seed", [1, 7, 16, 68, 624])
def test_it_holds_in_long_histories(seed):
    holds_in(seeded_history(seed).world())

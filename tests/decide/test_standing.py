"""Where does one version stand on one target, and how does that read?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from interlock.decide import work_out
from interlock.decide.candidates import CANDIDATES_MAX
from interlock.decide.counterfactual import Counterfactual, find_counterfactual, look
from interlock.decide.facts import Order, Quarantine
from interlock.decide.lift import land_move, with_lifts
from interlock.decide.standing import State, eligible_versions, goes_for, standing_of
from interlock.decide.tree import counterfactual_json, standing_json
from interlock.model.job import JobStatus
from worlds import a_fleet, deploy, finish, hand_over_all, set_policies, version_id

APPROVAL = {"anyApproval": {"minApprovals": 1}}
BACK = {"rollback": {"onJobStatuses": ["failure"]}}
AGAIN = {"retry": {"maxRetries": 1, "backoffSeconds": 60}}
AFTER_STAGING = {"environmentProgression": {"dependsOnEnvironmentSelector": 'environment.name == "staging"'}}


def a_world(*rules, runs="v0"):
    return a_fleet({"staging": ["s1"], "production": ["p1"]}, {"prod": (["production"], rules)}, runs=runs)


def stands(world, tag, target="p1"):
    worked = work_out(world.snapshot(), world.now)
    return standing_of(worked, worked.index.facts.targets[world.target(target).id], world.version(tag))


def reasons(world, tag, target="p1"):
    standing = stands(world, tag, target)
    return standing.state, [one.verdict.reason for one in standing.bars]


def lifted(world, tag, target="p1", **more):
    """The codes of the set that lets it go."""
    facts = world.snapshot()
    answer = find_counterfactual(
        facts, world.now, target_id=world.target(target).id, version_id=version_id(tag), **more
    )
    assert answer.found, answer
    return sorted(one.code for one in answer.lifts)


def asked_about(world, target="p1"):
    worked = work_out(world.snapshot(), world.now)
    found = goes_for(worked, worked.index.facts.targets[world.target(target).id])
    return found.tag if found else None


# Which version is meant -----------------------------------------------------------------------------------------------


def test_without_a_word_the_version_that_a_target_goes_for_is_meant():
    world = a_world(APPROVAL, runs=None)
    assert asked_about(world) is None
    world.create_version("v1")
    assert asked_about(world) == "v1"  # held
    world.say("bob", "approved", "v1", "production")
    assert asked_about(world) == "v1"  # chosen
    world.round()
    hand_over_all(world)
    assert asked_about(world) == "v1"  # on its way
    finish(world, "p1")
    world.round()
    assert asked_about(world) == "v1"  # newest
    deploy(world, "v2")
    world.pin("v1", target="p1")
    world.say("bob", "rejected", "v2", "production")
    world.round()
    assert asked_about(world) == "v1"  # pinned


def test_of_a_move_that_waits_to_be_tried_again_its_version_is_meant():
    world = a_world(AGAIN)
    world.create_version("v1")
    world.round()
    finish(world, "p1", JobStatus.FAILURE)
    assert asked_about(world) == "v1"
    assert reasons(world, "v1") == (State.HELD, ["retry_backoff"])
    assert reasons(world, "v0") == (State.RUNS, [])
    assert lifted(world, "v1") == ["clock"]


# What stands in the way of a version that is no candidate -------------------------------------------------------------


def test_a_pin_to_another_version_stands_in_the_way():
    world = a_world()
    world.pin("v0", target="p1")
    world.create_version("v1")
    assert reasons(world, "v1") == (State.HELD, ["pinned_to_other"])
    assert lifted(world, "v1") == ["pinned"]


def test_a_pin_that_was_used_does_not_bring_its_version_twice():
    world = a_world()
    deploy(world, "v1")
    world.pin("v0", target="p1")
    world.round()
    finish(world, "p1", JobStatus.FAILURE)
    world.round()
    assert reasons(world, "v0")[1][:1] == ["pin_used"]


def test_what_failed_here_is_in_quarantine_until_somebody_clears_it():
    world = a_world(BACK)
    world.create_version("v1")
    world.round()
    finish(world, "p1", JobStatus.FAILURE)
    world.settle()
    deploy(world, "v0")
    assert reasons(world, "v1") == (State.HELD, ["quarantined"])
    assert lifted(world, "v1") == ["quarantines_cleared", "rollout_resumed"]


def test_what_was_tried_here_is_not_taken_again_by_itself():
    world = a_world()
    world.create_version("v1")
    world.round()
    finish(world, "p1", JobStatus.FAILURE)
    world.round()
    world.set_rollout(world.rollout("v1", "production").id, "open")
    assert reasons(world, "v1") == (State.HELD, ["attempts_used"])


def test_a_version_behind_more_newer_ones_than_are_looked_at():
    world = a_world(APPROVAL)
    for number in range(CANDIDATES_MAX + 1):
        world.create_version(f"v1.{number}")
    assert reasons(world, "v1.0")[1] == ["too_many_newer", "approval_missing"]


def test_a_newer_version_that_nothing_holds_goes_first():
    world = a_world()
    world.create_version("v1")
    world.create_version("v2")
    assert reasons(world, "v1") == (State.HELD, ["newer_goes_first"])
    assert stands(world, "v2").state is State.STARTS


def test_another_move_must_end_first():
    world = a_world()
    world.create_version("v1")
    world.round()
    hand_over_all(world)
    world.create_version("v2")
    assert reasons(world, "v1") == (State.MOVING, [])
    assert reasons(world, "v2") == (State.HELD, ["another_under_way"])
    assert lifted(world, "v2") == ["move_landed"]


def test_where_a_move_of_one_who_left_has_the_place_it_ends_well():
    limit = {"concurrency": {"maxInFlight": 1}}
    world = a_fleet({"production": ["p1", "p2"]}, {"prod": (["production"], [limit])}, runs="v0")
    world.create_version("v1")
    world.round()
    hand_over_all(world)
    (mover,) = [name for name in ("p1", "p2") if world.open_move(name)]
    world.detach(mover)
    other = {"p1": "p2", "p2": "p1"}[mover]
    assert stands(world, "v1", other).state is State.PACED
    facts = world.snapshot()
    ended, _ = with_lifts(
        facts, world.now, [land_move(world.open_move(mover), world.target(mover), what="v1", where="production")]
    )
    assert not [move for move in ended.moves if move.open]
    assert ended.targets == facts.targets
    assert work_out(ended, world.now).plan.moves


def test_what_a_round_has_no_room_for_starts_in_the_next():
    world = a_fleet({"production": ["p1", "p2"]}, runs="v0")
    world.create_version("v1")
    worked = work_out(world.snapshot(), world.now, moves_max=1)
    targets = worked.index.facts.targets.values()
    assert len(worked.plan.moves) == 1
    assert [standing_of(worked, one, world.version("v1")).state for one in targets] == [State.STARTS] * 2


def test_a_version_could_be_pinned_where_no_rule_that_is_asked_holds_it():
    world = a_world(APPROVAL)
    for tag, status in (("v1", "ready"), ("v2", "building"), ("v3", "ready")):
        world.create_version(tag, status=status)
    world.say("bob", "approved", "v1", "production")
    (rule,) = next(iter(world.facts.policies.values())).rules
    worked = work_out(world.snapshot(), world.now)
    target = worked.index.facts.targets[world.target("p1").id]

    def eligible(*excluded):
        return [one.tag for one in eligible_versions(worked, target, excluded=frozenset(excluded))]

    assert eligible() == ["v1"]
    assert eligible(rule.id) == ["v3", "v1", "v0"]
    world.freeze("sev-1")
    worked = work_out(world.snapshot(), world.now)
    assert eligible(rule.id) == []


def test_what_is_forced_asks_no_rule():
    world = a_world(APPROVAL)
    world.create_version("v1")
    world.order("force", "p1", "v1")
    world.round()
    body = told(world, "v1")
    assert stands(world, "v1").state is State.MOVING
    assert [policy["policy"] for policy in body["policies"]] == ["prod"]
    assert [rule["rule"] for rule in body["policies"][0]["silent"]] == ["anyApproval"]


def test_an_order_goes_first():
    world = a_world()
    world.create_version("v1")
    target = world.target("p1")
    order = Order("order-1", "redeploy", target.id, version_id("v0"), world.version("v0").change_id, world.now)
    world.facts = replace(world.facts, orders=(order,))
    assert "order_goes_first" in reasons(world, "v1")[1]
    (said,) = told(world, "v1")["overrides"]["orders"]
    assert (said["kind"], said["by"]) == ("redeploy", "interlock")
    assert "order_withdrawn" in lifted(world, "v1")


def test_a_config_that_was_tried_in_vain_is_brought_by_force_alone():
    world = a_world()
    world.edit_target("p1", config_digest="config-2")
    world.round()
    finish(world, "p1", JobStatus.FAILURE)
    world.round()
    state, bars = reasons(world, "v0")
    assert state is State.HELD and "config_attempts_used" in bars
    assert lifted(world, "v0") == ["forced"]


def test_while_policies_are_worked_out_everything_waits_for_that():
    world = a_world()
    world.create_version("v1")
    world.facts = replace(world.facts, policies_matched=False)
    assert lifted(world, "v1") == ["policies_matched"]


def test_what_is_not_there_stands_nowhere():
    world = a_world()
    facts = world.snapshot()
    assert look(facts, world.now, target_id="nothing", version_id=version_id("v0")) is None
    assert look(facts, world.now, target_id=world.target("p1").id, version_id="nothing") is None


# What happened upstream -----------------------------------------------------------------------------------------------


def test_a_rejection_upstream_is_withdrawn():
    world = a_world(AFTER_STAGING)
    deploy(world, "v0")
    world.create_version("v1")
    world.say("eve", "rejected", "v1", "staging")
    assert "rejection_withdrawn" in lifted(world, "v1")


def test_a_rollback_upstream_is_undone_by_clearing_and_succeeding_there():
    world = a_world(AFTER_STAGING)
    set_policies(world, {"prod": (["production"], [AFTER_STAGING]), "back": (["staging"], [BACK])})
    world.create_version("v1")
    world.round()
    finish(world, "s1", JobStatus.FAILURE)
    world.settle()
    world.facts = replace(
        world.facts,
        rollouts=tuple(
            replace(one, state="halted") if one.version_id == version_id("v1") else one for one in world.facts.rollouts
        ),
    )
    found = lifted(world, "v1")
    assert {"quarantines_cleared", "rollout_resumed", "succeeded_upstream"} <= set(found)


def test_other_statuses_than_success_may_be_what_is_needed():
    rule = {"environmentProgression": {**AFTER_STAGING["environmentProgression"], "successStatuses": ["failure"]}}
    world = a_world(rule)
    world.create_version("v1")
    assert lifted(world, "v1") == ["succeeded_upstream"]


def test_where_no_targets_are_required_ones_are_missing_and_the_rule_is_skipped():
    rule = {"environmentProgression": {**AFTER_STAGING["environmentProgression"], "requireTargets": True}}
    world = a_fleet({"staging": [], "production": ["p1"]}, {"prod": (["production"], [rule])}, runs="v0")
    world.create_version("v1")
    assert lifted(world, "v1") == ["rule_skipped"]


# How it reads ---------------------------------------------------------------------------------------------------------


def told(world, tag, target="p1"):
    worked = work_out(world.snapshot(), world.now)
    here = worked.index.facts.targets[world.target(target).id]
    return standing_json(worked, standing_of(worked, here, world.version(tag)), now=world.now)


def test_the_tree_is_policy_rule_verdict_and_names_what_is_not_asked():
    world = a_world(APPROVAL, AGAIN)
    set_policies(
        world,
        {"prod": (["production"], [APPROVAL, AGAIN]), "watch": (["production"], [APPROVAL])},
        observe=["watch"],
    )
    world.create_version("v1")
    body = told(world, "v1")
    assert body["says"] == "v1 is held on p1 in production by anyApproval (prod)."
    by_name = {policy["policy"]: policy for policy in body["policies"]}
    assert by_name[None]["rules"][0]["says"] == "No freeze is in force here."
    assert [rule["outcome"] for rule in by_name["prod"]["rules"]] == ["hold"]
    assert [rule["rule"] for rule in by_name["prod"]["silent"]] == ["retry"]
    assert (by_name["watch"]["mode"], by_name["watch"]["outcome"]) == ("observe", "hold")
    assert [hold["title"] for hold in body["holds"]] == ["anyApproval (prod)"]
    assert body["holds"][0]["obligations"] == [{"kind": "approvals", "minimum": 1}]


def test_what_people_set_by_hand_stands_beside_it():
    world = a_world(APPROVAL)
    world.create_version("v1")
    rule_id = next(rule.id for one in world.facts.policies.values() for rule in one.rules)
    ends_at = world.now + timedelta(hours=1)
    world.skip(rule_id, "v1", environment="production", expires_at=ends_at)
    world.skip(rule_id, "v1", environment="staging")
    world.freeze("audit", expires_at=ends_at)
    world.freeze("elsewhere", environments=["staging"])
    world.pin("v1", environment="production")
    world.facts = replace(world.facts, quarantines=(Quarantine(world.target("p1").id, None, "config-9"),))
    hand = told(world, "v1")["overrides"]
    assert (hand["pin"]["version"], hand["pin"]["scope"]) == ("v1", "environment")
    assert [one["reason"] for one in hand["skips"]] == ["by hand"] and "until" in hand["skips"][0]
    assert [one["reason"] for one in hand["freezes"]] == ["audit"]
    assert hand["quarantines"] == [{"version": "a config"}]


def test_a_counterfactual_reads_whatever_it_found():
    world = a_world(APPROVAL)
    world.create_version("v1")
    facts = world.snapshot()
    target_id = world.target("p1").id
    found = counterfactual_json(find_counterfactual(facts, world.now, target_id=target_id, version_id=version_id("v1")))
    assert found["says"].endswith("no part of it is enough. Then it would start.")
    assert found["lifts"][0]["who"] == "anybody who may approve" and "at" in found
    none = counterfactual_json(
        find_counterfactual(facts, world.now, target_id=target_id, version_id=version_id("v1"), lifts_max=0)
    )
    assert none["why"] == "too_many" and none["left"][0]["rule"] == "anyApproval" and not none["found"]
    assert counterfactual_json(Counterfactual(True, (), State.PACED, world.now))["says"].startswith(
        "Nothing but its place"
    )
    assert (
        counterfactual_json(Counterfactual(True, (), State.RUNS, world.now))["says"] == "Nothing has to be different."
    )

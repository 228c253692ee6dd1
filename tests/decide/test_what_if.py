"""What would another policy change? Which targets would start, stop, or be held by something else."""

from __future__ import annotations

from dataclasses import replace

from interlock.decide.rules import concurrency
from interlock.decide.what_if import Proposal, differences, replaced, sentences_of, standings
from interlock.inventory.slots import SlotRule, slot_keys_of
from interlock.model.policy import Policy
from interlock.simulate.world import World, policy
from worlds import a_fleet, finish, hand_over_all, set_policies

APPROVAL = {"anyApproval": {"minApprovals": 1}}
NEVER = {"versionCooldown": {"intervalSeconds": 86_400}}
ONE_AT_A_TIME = {"concurrency": {"maxInFlight": 1}}
HOSTS = ("p1", "p2")


def a_world(*rules, runs="v0"):
    world = a_fleet({"production": HOSTS}, {"gate": (["production"], rules)} if rules else {}, runs=runs)
    world.create_version("v1")
    return world


def proposed(world: World, *policies: Policy, without: str = "", on=HOSTS) -> Proposal:
    """These policies on these targets; one policy may go."""
    chosen = {one.id: one for one in policies}
    gone = {policy(without, []).id: None} if without else {}
    ids = {world.target(name).id: frozenset(chosen) for name in on}
    return Proposal({**gone, **chosen}, ids, {})


def changes(world: World, proposal: Proposal) -> dict[str, str]:
    """Target name -> what would change."""
    found = differences(world.snapshot(), proposal, world.now)
    return {world.target(one.target_id).name: one.change for one in found}


def test_what_only_a_policy_held_would_start_without_it():
    world = a_world(APPROVAL)
    first, _ = differences(world.snapshot(), proposed(world, without="gate"), world.now)
    assert (first.change, first.before.tag, first.after.tag) == ("starts", "v1", "v1")
    assert sentences_of(first.lifted * 2) == [
        "anyApproval (gate): It has 0 of 1 approvals. Who can act: anybody who may approve."
    ]
    assert first.added == ()


def test_what_would_start_stops_under_a_new_policy_where_it_applies():
    world = a_world()
    asks = policy("asks", [APPROVAL])
    (only,) = differences(world.snapshot(), proposed(world, asks, on=["p2"]), world.now)
    assert (world.target(only.target_id).name, only.change) == ("p2", "stops")
    assert [one["reason"] for one in only.added] == ["approval_missing"]


def test_a_policy_that_only_observes_would_change_nothing():
    world = a_world()
    assert changes(world, proposed(world, policy("asks", [APPROVAL], observe=True))) == {}


def test_a_waiting_job_would_be_held_again_or_be_free():
    world = a_world()
    world.round()
    world.round()
    asks = policy("asks", [APPROVAL])
    assert changes(world, proposed(world, asks)) == dict.fromkeys(HOSTS, "held")
    set_policies(world, {"asks": (["production"], [APPROVAL])})
    assert changes(world, proposed(world, without="asks")) == dict.fromkeys(HOSTS, "freed")


def test_what_another_rule_holds_then_is_told_with_both():
    world = a_world(APPROVAL)
    cool = policy("cool", [NEVER])
    first, _ = differences(world.snapshot(), proposed(world, cool, without="gate"), world.now)
    assert first.change == "other"
    assert [one["rule"] for one in first.added] == ["versionCooldown"]
    assert [one["rule"] for one in first.lifted] == ["anyApproval"]


def test_where_a_selector_cannot_be_told_nothing_would_start():
    world = a_world()
    asks = policy("asks", [])
    unknown = {world.target("p1").id: None, world.target("p2").id: frozenset({asks.id})}
    assert changes(world, Proposal({asks.id: asks}, unknown, {})) == {"p1": "stops"}


def test_of_a_group_with_one_slot_one_would_start_and_one_that_moves_holds_it():
    world = a_world()
    limits = policy("limits", [ONE_AT_A_TIME])
    (rule,) = limits.rules
    assert isinstance(rule.params, concurrency.Params)
    keys = slot_keys_of(
        [SlotRule(limits.id, rule.id, rule.params.group_by)],
        [{}, {}],
        [(limits.id,)] * 2,
        environment=world.environment("production").view,
        deployment={},
    )
    ids = [world.target(name).id for name in HOSTS]
    proposal = replace(proposed(world, limits), slot_keys_by_target=dict(zip(ids, keys, strict=True)))
    assert list(changes(world, proposal).values()) == ["stops"]
    world.order("redeploy", "p1")
    world.round()
    hand_over_all(world)
    ((mine,), _) = keys
    held = [move.slots for move in replaced(world.snapshot(), proposal).moves if move.open]
    assert held and set(held) == {(mine.key,)}


def test_what_left_keeps_its_policies_and_its_slots():
    world = a_world(ONE_AT_A_TIME)
    world.round()
    hand_over_all(world)
    (mover,) = [name for name in HOSTS if world.open_move(name)]
    world.detach(mover)
    before = world.snapshot()
    after = replaced(before, proposed(world, policy("asks", [APPROVAL]), on=()))
    assert after.moves == before.moves
    (left,) = after.leaving.values()
    assert left.policy_set in after.policy_sets


def test_what_left_before_its_policies_were_known_has_none():
    world = a_world()
    world.round()
    hand_over_all(world)
    world.detach("p1")
    known = {key: replace(one, policy_set=None) for key, one in world.facts.leaving.items()}
    facts = replace(world.snapshot(), leaving=known)
    assert [one.policy_set for one in replaced(facts, proposed(world, without="none")).leaving.values()] == [None]


def test_who_runs_the_newest_version_has_settled():
    world = a_world()
    world.round()
    for name in HOSTS:
        finish(world, name)
    world.settle()
    assert {one.outcome for one in standings(world.snapshot(), world.now).values()} == {"settled"}

"""What becomes of an order? Redeploy, force, roll back now, and the orders that reactions give themselves."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from decide.test_moves import go, words
from decide.test_scenarios import production
from interlock.decide.orders import ROLLBACK_OVERDUE
from interlock.model.job import JobStatus
from interlock.simulate.world import World
from worlds import METRIC, active_job, deploy, finish, hand_over_all, moving, runs, verify, version_id

ROLLBACK = {"rollback": {"onJobStatuses": ["failure"], "onVerificationFailure": True}}
TOGETHER = {"rollback": {"onJobStatuses": ["failure"], "onVerificationFailure": True, "scope": "environment"}}
VERIFY = {"verification": {"metrics": [METRIC]}}
TOLERANT = {
    "gradualRollout": {
        "rolloutType": "linear", "timeScaleInterval": 0, "maxFailures": 5, "whileVerifying": "overlap",
    },
}  # fmt: skip
APPROVAL = {"anyApproval": {"minApprovals": 1}}
HOUR = timedelta(hours=1)


def told(world: World, kind: str) -> list[str]:
    """What the ledger says of one kind, without its subjects."""
    return [line.words for line in world.ledger if line.kind == kind]


# Redeploy -------------------------------------------------------------------------------------------------------------


def test_a_redeploy_brings_the_very_release_that_runs():
    world = production(APPROVAL, hosts=["prod-1"], runs="v1")
    before = world.target("prod-1").current
    assert world.order("redeploy", "prod-1")
    go(world)
    move = world.open_move("prod-1")
    assert (move.kind, move.to_release, move.from_release) == ("redeploy", before, before)
    finish(world, "prod-1")
    world.settle()
    assert world.target("prod-1").current == before
    assert not world.facts.orders
    assert told(world, "order.answered") == ["redeploy"]


def test_a_redeploy_brings_what_was_frozen_and_not_a_config_of_today():
    world = production(hosts=["prod-1"], runs="v1")
    world.edit_target("prod-1", config_digest="config-2")
    world.order("redeploy", "prod-1")
    go(world)
    assert world.open_move("prod-1").to_release.config_digest == "config-1"
    assert not world.round().moving, "a config that differs does not take the waiting job back"


def test_a_redeploy_is_held_by_a_freeze_and_goes_when_it_ends():
    world = production(hosts=["prod-1"], runs="v1")
    frozen = world.freeze()
    world.order("redeploy", "prod-1")
    go(world)
    assert moving(world) == {}
    assert words(world)["prod-1"] == ["frozen"]
    world.thaw(frozen)
    go(world)
    assert moving(world) == {"prod-1": "redeploy v1 running"}


def test_a_freeze_takes_a_waiting_redeploy_back_and_the_order_stands():
    world = production(hosts=["prod-1"], runs="v1")
    order_id = world.order("redeploy", "prod-1")
    world.settle()
    assert moving(world) == {"prod-1": "redeploy v1 admitted"}
    frozen = world.freeze()
    (end,) = world.round().ends
    assert (end.state, end.reason) == ("withdrawn", "held")
    assert [one.id for one in world.facts.orders] == [order_id]
    world.thaw(frozen)
    world.settle()
    assert moving(world) == {"prod-1": "redeploy v1 admitted"}


def test_an_idle_redeploy_waits_for_what_moves_and_says_so():
    world = production(hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    go(world)
    assert world.order("redeploy", "prod-1") is None, "refused while something moves"
    assert world.order("redeploy", "prod-1", when="idle")
    world.settle()
    assert words(world)["prod-1"] == ["order_waits_for_move"]
    finish(world, "prod-1")
    world.settle()
    assert moving(world) == {"prod-1": "redeploy v2 admitted"}, "what it runs when its turn comes"


def test_an_order_ends_by_itself_and_takes_its_waiting_job_along():
    world = production(hosts=["prod-1"], runs="v1")
    ends_at = world.now + HOUR
    world.order("redeploy", "prod-1", expires_at=ends_at)
    plan = world.round()
    assert plan.jobs[0].valid_until == ends_at
    assert world.wake_at == ends_at
    world.now = ends_at
    plan = world.round()
    assert [(end.state, end.reason) for end in plan.order_ends] == [("expired", "expired")]
    assert [(end.state, end.reason) for end in plan.ends] == [("withdrawn", "order_ended")]
    assert not world.round().moving


def test_an_order_that_was_handed_over_is_answered_whatever_comes():
    world = production(hosts=["prod-1"], runs="v1")
    order_id = world.order("redeploy", "prod-1", expires_at=world.now + HOUR)
    world.settle()
    hand_over_all(world)
    world.advance(2 * HOUR)
    (end,) = world.round().order_ends
    assert (end.order_id, end.state, end.move_id) == (order_id, "answered", world.open_move("prod-1").id)
    assert moving(world) == {"prod-1": "redeploy v1 running"}


def test_an_order_that_was_withdrawn_takes_its_waiting_job_back():
    world = production(hosts=["prod-1"], runs="v1")
    order_id = world.order("redeploy", "prod-1")
    world.settle()
    world.withdraw_order(order_id)
    (end,) = world.round().ends
    assert (end.state, end.reason) == ("withdrawn", "order_ended")


def test_an_order_on_a_target_that_left_is_refused():
    world = production(hosts=["prod-1", "prod-2"], runs="v1")
    world.order("redeploy", "prod-1", when="idle")
    world.detach("prod-1")
    (end,) = world.round().order_ends
    assert (end.state, end.reason) == ("refused", "target_detached")


def test_a_redeploy_of_nothing_is_refused_when_its_turn_comes():
    world = production(hosts=["prod-1"])
    world.create_version("v1")
    go(world)
    assert world.order("redeploy", "prod-1", when="idle")
    finish(world, "prod-1", JobStatus.FAILURE)
    (end,) = world.round().order_ends
    assert (end.state, end.reason) == ("refused", "nothing_to_bring")


def test_a_release_that_was_tried_is_refused_once_its_version_is_not_ready():
    world = production(hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    go(world)
    tried = world.open_move("prod-1").to_release
    order_id = world.order("redeploy", "prod-1", when="idle")
    orders = tuple(replace(one, version_id=version_id("v2"), release=tried) for one in world.facts.orders)
    world.facts = replace(world.facts, orders=orders)
    finish(world, "prod-1", JobStatus.FAILURE)
    go(world)
    assert world.open_move("prod-1").to_release == tried, "it is brought again, as it was frozen"
    finish(world, "prod-1", JobStatus.FAILURE)
    world.settle()
    world.set_version_status("v2", "paused")
    world.facts = replace(world.facts, orders=orders)
    (end,) = world.round().order_ends
    assert (end.order_id, end.state, end.reason) == (order_id, "refused", "version_not_ready")


def test_an_order_of_a_version_that_is_not_known_any_more_is_refused():
    world = production(hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    world.order("force", "prod-1", "v2", expires_at=world.now + HOUR)
    world.facts = replace(world.facts, versions=tuple(one for one in world.facts.versions if one.tag == "v1"))
    (end,) = world.round().order_ends
    assert (end.state, end.reason) == ("refused", "version_gone")


def test_a_waiting_job_that_somebody_cancels_is_left_to_its_end():
    world = production(hosts=["prod-1"], runs="v1")
    world.order("redeploy", "prod-1")
    world.settle()
    (move,) = [one for one in world.facts.moves if one.open]
    cancelled = replace(move, jobs=(replace(move.jobs[0], cancel_asked=True),))
    world.facts = replace(world.facts, moves=(cancelled,))
    assert not world.round().moving
    assert words(world)["prod-1"] == []
    world.hear(move.jobs[0].id, JobStatus.CANCELLED)
    plan = world.round()
    assert [(end.state, end.reason) for end in plan.ends] == [("cancelled", "job_cancelled")]
    assert [end.state for end in plan.order_ends] == ["answered"]


def test_a_redeploy_that_fails_puts_nothing_that_is_good_into_quarantine():
    world = production(ROLLBACK, hosts=["prod-1"], runs="v1")
    world.order("redeploy", "prod-1")
    go(world)
    finish(world, "prod-1", JobStatus.FAILURE)
    world.settle()
    assert moving(world) == {}
    assert not world.facts.quarantines


def test_a_redeploy_of_what_was_never_proven_goes_back_where_something_else_is_good():
    world = production(ROLLBACK, VERIFY, hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    go(world)
    finish(world, "prod-1")
    world.settle()
    verify(world, "prod-1", "inconclusive")
    world.settle()
    world.order("redeploy", "prod-1", when="idle")
    go(world)
    finish(world, "prod-1", JobStatus.FAILURE)
    world.settle()
    assert moving(world) == {"prod-1": "rollback v1 admitted"}
    assert [one.version_id for one in world.facts.quarantines] == [version_id("v2")]


def test_a_redeploy_is_tried_again_where_the_rule_says_so_and_gives_way_to_a_newer_version():
    world = production({"retry": {"maxRetries": 1}}, hosts=["prod-1"], runs="v1")
    world.set_version_status("v1", "paused")
    world.order("redeploy", "prod-1")
    go(world)
    finish(world, "prod-1", JobStatus.FAILURE)
    world.settle()
    assert world.waiting_jobs(), "its version's status is not asked"
    world.create_version("v2")
    (end,) = world.round().ends
    assert (end.state, end.reason) == ("cancelled", "newer_version")


# Force ----------------------------------------------------------------------------------------------------------------


def test_a_force_asks_no_gate_and_takes_any_version():
    world = production(APPROVAL, hosts=["prod-1"], runs="v1")
    world.create_version("v2", status="building")
    world.freeze()
    world.order("force", "prod-1", "v2", expires_at=world.now + HOUR)
    go(world)
    assert moving(world) == {"prod-1": "force v2 running"}
    finish(world, "prod-1")
    world.settle()
    assert runs(world) == {"prod-1": "v2"}


def test_a_force_goes_before_what_nobody_has_yet_and_waits_for_what_runs():
    world = production(hosts=["prod-1", "prod-2"], runs="v1")
    world.create_version("v2")
    world.create_version("v3", status="building")
    world.settle()
    world.hand_over(active_job(world, "prod-2"))
    world.order("force", "prod-1", "v3", expires_at=world.now + HOUR)
    world.order("force", "prod-2", "v3", expires_at=world.now + HOUR)
    (end,) = world.round().ends
    assert (end.state, end.reason) == ("withdrawn", "ordered")
    assert moving(world) == {"prod-1": "force v3 admitted", "prod-2": "forward v2 running"}
    assert words(world)["prod-2"] == ["order_waits_for_move"]


def test_a_force_goes_before_the_next_attempt():
    world = production({"retry": {"maxRetries": 1, "backoffSeconds": 60}}, hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    go(world)
    finish(world, "prod-1", JobStatus.FAILURE)
    world.settle()
    world.order("force", "prod-1", "v1", expires_at=world.now + HOUR)
    (end,) = world.round().ends
    assert (end.state, end.reason) == ("cancelled", "ordered")
    assert moving(world) == {"prod-1": "force v1 admitted"}


def test_a_force_needs_an_agent_and_waits_for_one():
    world = production(hosts=["prod-1"], runs="v1")
    world.edit_target("prod-1", agent="no_agent")
    world.create_version("v2")
    world.order("force", "prod-1", "v2", expires_at=world.now + HOUR)
    world.settle()
    assert moving(world) == {}
    assert words(world)["prod-1"] == ["no_agent"]


def test_a_force_goes_before_a_redeploy_and_both_are_answered():
    world = production(hosts=["prod-1"], runs="v1")
    world.create_version("v2", status="building")
    world.order("redeploy", "prod-1", when="idle")
    world.order("force", "prod-1", "v2", expires_at=world.now + HOUR)
    go(world)
    assert moving(world) == {"prod-1": "force v2 running"}
    finish(world, "prod-1")
    world.settle()
    assert moving(world) == {"prod-1": "redeploy v2 admitted"}


# Roll back now --------------------------------------------------------------------------------------------------------


def test_roll_back_now_returns_to_the_release_that_was_good_before():
    world = production(APPROVAL, hosts=["prod-1"], runs="v1")
    before = world.target("prod-1").good
    world.create_version("v2")
    world.say("ann", "approved", "v2", "production")
    deploy(world, "v2", verified=True)
    world.freeze()
    assert world.order("rollback", "prod-1")
    go(world)
    move = world.open_move("prod-1")
    assert (move.kind, move.to_release) == ("rollback", before)
    finish(world, "prod-1")
    world.settle()
    assert runs(world) == {"prod-1": "v1"}
    assert words(world)["prod-1"] == ["quarantined"]
    world.create_version("v3")
    world.settle()
    assert words(world)["prod-1"] == ["frozen"] or "frozen" in str(words(world)), "newer ones go the usual way"


def test_roll_back_now_has_no_way_without_a_good_release():
    world = production(hosts=["prod-1"])
    deploy(world, "v1")
    assert world.order("rollback", "prod-1") is None


def test_roll_back_now_takes_back_what_waits_and_waits_for_what_runs():
    world = production(TOLERANT, hosts=["prod-1", "prod-2"], runs="v1")
    deploy(world, "v2", verified=True)
    world.create_version("v3")
    world.settle()
    world.hand_over(active_job(world, "prod-2"))
    world.order("rollback", "prod-1")
    world.order("rollback", "prod-2")
    (end,) = world.round().ends
    assert (end.state, end.reason) == ("withdrawn", "rolled_back")
    assert moving(world) == {"prod-1": "rollback v1 admitted", "prod-2": "forward v3 running"}
    assert world.hear(active_job(world, "prod-2"), JobStatus.SUCCESSFUL)
    world.settle()
    assert moving(world) == {"prod-1": "rollback v1 admitted", "prod-2": "rollback v2 admitted"}
    assert runs(world)["prod-2"] == "v3", "which it left as soon as its job had ended"


def test_roll_back_now_ends_a_verification_that_runs():
    world = production(VERIFY, hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    go(world)
    finish(world, "prod-1")
    world.settle()
    assert moving(world) == {"prod-1": "forward v2 verifying"}
    world.order("rollback", "prod-1")
    (end,) = world.round().ends
    assert (end.state, end.reason) == ("cancelled", "rolled_back")
    assert moving(world) == {"prod-1": "rollback v1 admitted"}


@pytest.mark.parametrize("status", [JobStatus.FAILURE, JobStatus.CANCELLED])
def test_roll_back_now_needs_no_second_order_when_what_runs_fails(status):
    world = production(ROLLBACK, {"retry": {"maxRetries": 3}}, hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    go(world)
    world.order("rollback", "prod-1")
    finish(world, "prod-1", status)
    world.settle()
    assert moving(world) == {"prod-1": "rollback v1 admitted"}
    assert len(world.facts.orders) == 1


def test_roll_back_now_takes_back_a_retry_that_waits():
    world = production({"retry": {"maxRetries": 1}}, hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    go(world)
    finish(world, "prod-1", JobStatus.FAILURE)
    world.settle()
    assert world.waiting_jobs(), "the second attempt waits"
    world.order("rollback", "prod-1")
    (end,) = world.round().ends
    assert (end.state, end.reason, end.withdrawn_job_id is not None) == ("cancelled", "rolled_back", True)
    assert moving(world) == {"prod-1": "rollback v1 admitted"}


def test_a_named_version_may_be_gone_back_to():
    world = production(hosts=["prod-1"], runs="v1")
    deploy(world, "v2", verified=True)
    deploy(world, "v3", verified=True)
    world.order("rollback", "prod-1", "v1")
    go(world)
    assert moving(world) == {"prod-1": "rollback v1 running"}


# Automatic ------------------------------------------------------------------------------------------------------------


def test_two_hosts_that_fail_together_go_back_by_one_decision():
    world = production(ROLLBACK, TOLERANT, hosts=["prod-1", "prod-2"], runs="v1")
    world.create_version("v2")
    go(world)
    for name in ("prod-1", "prod-2"):
        world.hear(active_job(world, name), JobStatus.FAILURE)
    plan = world.round()
    assert [move.kind for move in plan.moves] == ["rollback", "rollback"]
    assert len({move.decision_id for move in plan.moves}) == 1
    assert [order.kind for order in plan.orders] == ["rollback", "rollback"]
    assert {move.order_id for move in plan.moves} == {order.id for order in plan.orders}
    assert all(move.undoes_move_id for move in plan.moves)


def test_what_fails_again_while_in_quarantine_is_escalated_and_not_answered():
    world = production(ROLLBACK, VERIFY, hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    go(world)
    finish(world, "prod-1", JobStatus.FAILURE)
    world.settle()
    finish(world, "prod-1")
    world.settle()
    verify(world, "prod-1")
    world.pin("v2")
    go(world)
    finish(world, "prod-1")
    world.settle()
    verify(world, "prod-1", "failed")
    world.settle()
    assert moving(world) == {}
    assert told(world, "rollback.escalated") == [""]


def test_a_rollback_whose_job_never_ends_calls_for_a_person_once_and_goes_on_waiting():
    world = production(ROLLBACK, hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    go(world)
    finish(world, "prod-1", JobStatus.FAILURE)
    world.settle()
    hand_over_all(world)
    world.settle()
    admitted_at = world.open_move("prod-1").admitted_at
    assert world.wake_at == admitted_at + ROLLBACK_OVERDUE
    world.now = world.wake_at
    assert world.round().escalations
    assert words(world)["prod-1"] == ["rollback_overdue"]
    world.advance(HOUR)
    assert not world.round().escalations
    finish(world, "prod-1")
    world.settle()
    assert runs(world) == {"prod-1": "v1"}
    assert words(world)["prod-1"] == ["quarantined"]


def test_a_job_that_never_ends_on_a_target_that_is_to_go_back_calls_for_a_person():
    world = production(TOGETHER, TOLERANT, hosts=["prod-1", "prod-2"], runs="v1")
    world.create_version("v2")
    go(world)
    world.hear(active_job(world, "prod-1"), JobStatus.FAILURE)
    world.settle()
    assert moving(world)["prod-2"] == "forward v2 running"
    world.advance(ROLLBACK_OVERDUE)
    plan = world.round()
    assert {one.target_id for one in plan.escalations} >= {world.target("prod-2").id}


def test_a_redeploy_of_something_never_proven_that_fails_has_nothing_to_quarantine():
    world = production(ROLLBACK, VERIFY, hosts=["prod-1"])
    world.create_version("v1")
    go(world)
    finish(world, "prod-1")
    world.settle()
    verify(world, "prod-1", "inconclusive")
    world.settle()
    world.order("redeploy", "prod-1", when="idle")
    go(world)
    finish(world, "prod-1", JobStatus.FAILURE)
    world.settle()
    assert (moving(world), world.facts.quarantines) == ({}, ())


def test_roll_back_now_tells_a_verification_that_failed_meanwhile():
    world = production(VERIFY, hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    go(world)
    finish(world, "prod-1")
    world.settle()
    world.order("rollback", "prod-1")
    verify(world, "prod-1", "failed")
    (end,) = world.round().ends
    assert (end.state, end.reason) == ("failed", "verification_failed")
    assert moving(world) == {"prod-1": "rollback v1 admitted"}


def test_roll_back_now_to_the_version_that_moves_there_already_is_refused():
    world = production(hosts=["prod-1"], runs="v1")
    deploy(world, "v2", verified=True)
    world.order("force", "prod-1", "v1", expires_at=world.now + HOUR)
    go(world)
    assert world.order("rollback", "prod-1", "v1") is None


# The whole environment ------------------------------------------------------------------------------------------------


def an_environment_that_goes_back(*, hosts: int = 4, moved: int = 2, rules=()) -> World:
    """v2 landed on some hosts, one after the other, and then failed on the next one."""
    one_by_one = {
        "gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 0, "maxInFlight": 1, "maxFailures": 9}
    }
    world = production(TOGETHER, one_by_one, *rules, hosts=[f"prod-{n + 1}" for n in range(hosts)], runs="v1")
    world.create_version("v2")
    for _ in range(moved):
        go(world)
        (name,) = moving(world)
        finish(world, name)
    go(world)
    (name,) = moving(world)
    finish(world, name, JobStatus.FAILURE)
    world.settle()
    return world


def test_an_environment_goes_back_together_and_its_rollout_halts():
    world = an_environment_that_goes_back()
    assert world.rollout("v2", "production").state == "halted"
    assert told(world, "rollout.halted") == ["rolled_back"]
    assert len(world.facts.quarantines) == 3
    assert list(moving(world).values()) == ["rollback v1 admitted"], "4 targets: one at a time"
    held = [name for name, said in words(world).items() if said[:1] == ["rollback_cap"]]
    assert len(held) == 2
    for _ in range(3):
        (name,) = moving(world)
        finish(world, name)
        world.settle()
    assert set(runs(world).values()) == {"v1"}
    assert moving(world) == {}
    assert not world.facts.orders


def test_a_third_of_an_environment_goes_back_at_once():
    world = an_environment_that_goes_back(hosts=10, moved=6)
    assert len(moving(world)) == 3


def test_the_version_that_failed_starts_nowhere_else_in_its_environment():
    world = an_environment_that_goes_back()
    untouched = [
        name for name in runs(world) if all(world.target(name).id != one.target_id for one in world.facts.quarantines)
    ]
    assert len(untouched) == 1
    assert moving(world).keys().isdisjoint(untouched)
    assert words(world)[untouched[0]] == ["rollout_taken_back"]
    world.attach("prod-9", "production", policy_set=world.target("prod-1").policy_set)
    world.settle()
    assert moving(world)["prod-9"] == "forward v1 admitted", "it takes what is good and not in quarantine beside it"


def test_each_target_goes_back_to_its_own_good_release():
    world = production(TOGETHER, TOLERANT, hosts=["prod-1", "prod-2", "prod-3"], runs="v1")
    world.pin("v1", target="prod-1")
    deploy(world, "v2")
    assert runs(world) == {"prod-1": "v1", "prod-2": "v2", "prod-3": "v2"}
    world.remove_pin(world.facts.pins[0].id)
    world.settle()
    finish(world, "prod-1")
    world.settle()
    world.create_version("v3")
    go(world)
    for name in ("prod-1", "prod-2"):
        world.hear(active_job(world, name), JobStatus.SUCCESSFUL)
    world.settle()
    world.hear(active_job(world, "prod-3"), JobStatus.FAILURE)
    world.settle()
    assert {order.version_id for order in world.facts.orders} == {version_id("v2")}
    for _ in range(3):
        for name in list(moving(world)):
            finish(world, name)
        world.settle()
    assert set(runs(world).values()) == {"v2"}


def test_a_target_without_an_earlier_good_release_stays_and_says_who_can_act():
    world = production(TOGETHER, TOLERANT, hosts=["prod-1", "prod-2"])
    world.create_version("v1")
    go(world)
    world.hear(active_job(world, "prod-1"), JobStatus.SUCCESSFUL)
    world.settle()
    world.hear(active_job(world, "prod-2"), JobStatus.FAILURE)
    world.settle()
    assert moving(world) == {}
    assert not world.facts.orders


def test_what_verifies_beside_a_failure_goes_back_too():
    world = production(
        TOGETHER, TOLERANT, VERIFY, hosts=["prod-1", "prod-2", "prod-3", "prod-4", "prod-5", "prod-6"], runs="v1"
    )
    world.create_version("v2")
    go(world)
    for name in ("prod-1", "prod-2"):
        world.hear(active_job(world, name), JobStatus.SUCCESSFUL)
    world.settle()
    verify(world, "prod-1", "failed")
    plan = world.round()
    assert sorted((end.state, end.reason) for end in plan.ends) == [
        ("cancelled", "rolled_back"), ("failed", "verification_failed"),
    ]  # fmt: skip
    assert moving(world)["prod-2"] == "rollback v1 admitted" or words(world)["prod-2"][0] == "rollback_cap"


def test_who_left_or_runs_something_else_does_not_go_back():
    world = production(TOGETHER, TOLERANT, hosts=["prod-1", "prod-2", "prod-3", "prod-4"], runs="v1")
    world.create_version("v2")
    world.create_version("v3", status="building")
    go(world)
    for name in ("prod-1", "prod-2"):
        finish(world, name)
    world.settle()
    world.detach("prod-1")
    world.order("force", "prod-2", "v3", expires_at=world.now + HOUR)
    go(world)
    finish(world, "prod-2")
    world.settle()
    world.hear(active_job(world, "prod-3"), JobStatus.FAILURE)
    world.settle()
    assert {order.target_id for order in world.facts.orders} == {world.target(name).id for name in ("prod-3", "prod-4")}


def test_a_config_that_fails_takes_the_environment_back_to_the_config_before():
    world = production(TOGETHER, TOLERANT, hosts=["prod-1", "prod-2", "prod-3"], runs="v1")
    for name in ("prod-1", "prod-2", "prod-3"):
        world.edit_target(name, config_digest="config-2")
    go(world)
    assert set(moving(world).values()) == {"config v1 running"}
    world.hear(active_job(world, "prod-1"), JobStatus.SUCCESSFUL)
    world.settle()
    world.hear(active_job(world, "prod-2"), JobStatus.FAILURE)
    world.hear(active_job(world, "prod-3"), JobStatus.SUCCESSFUL)
    world.settle()
    assert {one.config_digest for one in world.facts.quarantines} == {"config-2"}
    for _ in range(3):
        for name in list(moving(world)):
            finish(world, name)
        world.settle()
    assert {target.current.config_digest for target in world.facts.targets.values()} == {"config-1"}
    assert moving(world) == {}, "no config moves until it is cleared"


def test_two_that_fail_at_once_give_one_order_each():
    world = production(
        TOGETHER, TOLERANT, {"retry": {"maxRetries": 1}}, hosts=["prod-1", "prod-2", "prod-3"], runs="v1"
    )
    world.create_version("v2")
    go(world)
    world.hear(active_job(world, "prod-1"), JobStatus.FAILURE)
    world.settle()
    hand_over_all(world)
    world.hear(active_job(world, "prod-1"), JobStatus.FAILURE)
    world.hear(active_job(world, "prod-2"), JobStatus.FAILURE)
    world.settle()
    assert len(world.facts.orders) == 3
    assert len({order.change_id for order in world.facts.orders}) == 1, "one change takes all of them back"
    assert len(world.facts.quarantines) == 3


def test_where_a_concurrency_rule_stands_a_third_of_its_group_goes_back_at_once():
    world = an_environment_that_goes_back(hosts=10, moved=6, rules=[{"concurrency": {"maxInFlight": 1}}])
    assert list(moving(world).values()) == ["rollback v1 admitted"] * 3
    held = [said for said in words(world).values() if said[:1] == ["concurrency_full"]]
    assert len(held) >= 4
    for _ in range(10):
        for name in list(moving(world)):
            finish(world, name)
        world.settle()
    assert set(runs(world).values()) == {"v1"}


def test_a_redeploy_waits_for_a_slot_and_a_force_does_not():
    world = production({"concurrency": {"maxInFlight": 1}}, hosts=["prod-1", "prod-2"], runs="v1")
    for name in ("prod-1", "prod-2"):
        world.order("redeploy", name)
    go(world)
    assert list(moving(world).values()) == ["redeploy v1 running"]
    (waiting,) = {"prod-1", "prod-2"} - moving(world).keys()
    assert words(world)[waiting] == ["concurrency_full"]
    world.order("force", waiting, "v1", expires_at=world.now + HOUR)
    go(world)
    assert moving(world)[waiting] == "force v1 running"


def test_a_rejected_version_that_is_ready_again_comes_back_where_it_was_taken_off():
    world = production(hosts=["prod-1"], runs="v1")
    deploy(world, "v2", verified=True)
    world.set_version_status("v2", "rejected")
    world.order("rollback", "prod-1", scope="version")
    go(world)
    finish(world, "prod-1")
    world.settle()
    assert (runs(world), moving(world)) == ({"prod-1": "v1"}, {})
    world.set_version_status("v2", "ready")
    go(world)
    assert moving(world) == {"prod-1": "forward v2 running"}


def test_a_force_of_a_version_that_is_gone_leaves_what_waits_there():
    world = production(hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    world.settle()
    world.create_version("v3", status="building")
    world.order("force", "prod-1", "v3")
    world.facts = replace(world.facts, versions=tuple(one for one in world.facts.versions if one.tag != "v3"))
    plan = world.round()
    assert (plan.moves, plan.ends) == ((), ())
    assert moving(world) == {"prod-1": "forward v2 admitted"}


def test_an_environment_goes_back_around_those_who_never_had_anything_good():
    world = production(TOGETHER, TOLERANT, hosts=["prod-1", "prod-2"])
    world.create_version("v1")
    go(world)
    world.hear(active_job(world, "prod-1"), JobStatus.FAILURE)
    world.settle()
    world.hear(active_job(world, "prod-2"), JobStatus.FAILURE)
    world.settle()
    assert (moving(world), world.facts.orders) == ({}, ())
    assert runs(world) == {"prod-1": "-", "prod-2": "-"}


def test_who_left_with_a_job_that_was_skipped_before_anybody_had_it_moves_no_more():
    world = production(hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    world.settle()
    assert world.hear(active_job(world, "prod-1"), JobStatus.SKIPPED)
    world.detach("prod-1")
    (end,) = world.round().ends
    assert (end.state, end.reason) == ("cancelled", "target_detached")


def test_an_ending_from_before_the_proof_does_not_renew_it():
    world = production(hosts=["prod-1"], runs="v1")
    target, version = world.target("prod-1"), world.version("v1")
    proven = world.facts.landed_by_target_version[(target.id, version.id)]
    world.order("redeploy", "prod-1")
    world.settle()
    finish(world, "prod-1")
    (move,) = [one for one in world.facts.moves if one.open]
    early = replace(move.jobs[-1], completed_at=proven.verified_at - HOUR)  # an agent whose clock is behind
    world.facts = replace(world.facts, moves=(replace(move, jobs=(early,)),))
    world.settle()
    assert moving(world) == {}
    assert world.facts.landed_by_target_version[(target.id, version.id)] == proven

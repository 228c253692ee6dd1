"""A run is planned outside and waits to be confirmed: which gates are asked, what holds it, and what discards it.

Source: core.md section 5 (capability `confirm`): planned by the round and judged as a forward move.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from interlock.decide import decide, work_out
from interlock.decide.explain import sentence
from interlock.decide.forecast import Durations, forecast
from interlock.decide.standing import State, standing_of
from interlock.model.job import Confirm, JobStatus
from worlds import a_fleet, active_job, finish, hand_over_all, moving, runs, set_policies

APPROVAL = {"anyApproval": {"minApprovals": 1}}
HOUR = timedelta(hours=1)


def planned(*rules, runs="v0", tag="v1", **fleet):
    """One target; its run of a version is planned and waits."""
    world = a_fleet({"production": ["one", *fleet.pop("more", ())]}, {"prod": (["production"], rules)}, runs=runs)
    world.create_version(tag)
    if any("anyApproval" in rule for rule in rules):
        world.say("ann", "approved", tag, "production")
    world.settle()
    world.hand_over(active_job(world, "one"))
    assert world.hear(active_job(world, "one"), JobStatus.ACTION_REQUIRED, "planned", confirmable=True)
    return world


def job_of(world, name="one"):
    return world.open_move(name).jobs[-1]


def stands(world, tag="v1", name="one"):
    worked = work_out(world.snapshot(), world.now)
    return standing_of(worked, worked.index.facts.targets[world.target(name).id], world.version(tag))


def cancels(plan):
    return [one.reason for one in plan.cancels]


def test_a_planned_run_is_confirmed_by_a_round_whose_gates_pass_and_only_then():
    world = planned()
    assert not world.begin_confirm(job_of(world).id), "no round has judged it"
    plan = world.round()
    assert [one.job_id for one in plan.confirms] == [job_of(world).id]
    assert world.begin_confirm(job_of(world).id)
    assert not world.begin_confirm(job_of(world).id), "once"
    world.settle_confirm(job_of(world).id, Confirm.GIVEN)
    finish(world, "one")
    world.settle()
    assert runs(world) == {"one": "v1"}


def test_it_is_judged_again_by_every_gate_that_a_forward_move_asks():
    world = planned(APPROVAL)
    world.say("ann", "withdrawn", "v1", "production")
    assert not world.round().confirms
    assert [one.verdict.reason for one in stands(world).bars] == ["approval_missing"]
    world.say("bob", "approved", "v1", "production")
    assert world.round().confirms


def test_a_freeze_holds_it_visibly_and_a_thaw_lets_it_go():
    world = planned()
    freeze = world.freeze("incident")
    plan = world.round()
    assert not plan.confirms
    assert not plan.cancels
    (row,) = plan.target_decisions
    assert (row.outcome, row.kind) == ("hold", "forward")
    standing = stands(world)
    assert standing.state is State.HELD
    assert [one.verdict.reason for one in standing.bars] == ["frozen"]
    assert "run_waits" in [one.verdict.reason for one in standing.judged]
    assert moving(world) == {"one": "forward v1 running"}
    world.thaw(freeze)
    assert world.round().confirms
    assert stands(world).state is State.MOVING


def test_a_freeze_after_the_round_stops_the_confirm_from_its_commit():
    world = planned()
    world.round()
    freeze = world.freeze("incident")
    assert not world.begin_confirm(job_of(world).id)
    assert world.round().unconfirms == (job_of(world).id,)
    assert job_of(world).confirm is Confirm.ASKED
    world.thaw(freeze)
    assert world.round().confirms


def test_what_lets_it_pass_holds_until_an_instant_and_no_longer():
    window = {"deploymentWindow": {"rrule": "FREQ=DAILY;BYHOUR=8;BYMINUTE=0;BYSECOND=0", "durationMinutes": 30}}
    world = planned(window)
    world.round()
    world.advance(HOUR)
    assert not world.begin_confirm(job_of(world).id)
    plan = world.round()
    assert plan.unconfirms
    assert plan.wake_at is not None, "it wakes when the window opens"


def test_deciding_again_moves_nothing():
    world = planned()
    world.round()
    assert not decide(world.snapshot(), world.now).moving
    world.freeze("incident")
    world.round()
    assert not decide(world.snapshot(), world.now).moving


@pytest.mark.parametrize("granted", [True, False])
def test_a_newer_version_that_is_admitted_discards_it_and_goes_next(granted):
    world = planned()
    if granted:
        world.round()
    world.create_version("v2")
    plan = world.round()
    assert cancels(plan) == ["newer_version"]
    assert plan.cancels[0].planned
    assert not plan.confirms
    assert not world.begin_confirm(job_of(world).id), "its end is asked for"
    world.hear(job_of(world).id, JobStatus.CANCELLED)
    world.settle()
    assert moving(world) == {"one": "forward v2 admitted"}


def test_a_newer_version_that_a_gate_holds_discards_nothing():
    world = planned(APPROVAL)
    world.create_version("v2")
    plan = world.round()
    assert plan.confirms
    assert not plan.cancels


def rejected_version(world):
    world.set_version_status("v1", "rejected")


def rejected_by_a_person(world):
    world.say("eve", "rejected", "v1", "production")


def pinned_elsewhere(world):
    world.pin("v0", target="one")


def left(world):
    world.detach("one")


def not_selected(world):
    set_policies(world, {"prod": (["production"], [{"versionSelector": {"selector": 'version.tag == "v9"'}}])})


def aborted(world):
    world.set_rollout(world.rollout("v1", "production").id, "aborted")


def forced(world):
    world.create_version("v0.5", created_at=world.version("v1").created_at - HOUR)
    world.order("force", "one", "v0.5", expires_at=world.now + HOUR)


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        (rejected_version, "rejected_meanwhile"),
        (rejected_by_a_person, "rejected_meanwhile"),
        (left, "target_detached"),
        (not_selected, "not_wanted"),
        (aborted, "rollout_ended"),
        (forced, "ordered"),
    ],
)
def test_what_nobody_wants_any_more_is_discarded(does, reason):
    world = planned(APPROVAL)
    does(world)
    plan = world.round()
    assert cancels(plan) == [reason]
    assert sentence({"reason": reason}) != reason


def test_a_pin_to_another_version_discards_it():
    world = planned(runs="v0")
    world.create_version("v0.9", created_at=world.version("v1").created_at - HOUR)
    world.pin("v0.9", target="one")
    assert cancels(world.round()) == ["pinned"]


def test_a_rollback_discards_it():
    world = a_fleet({"production": ["one"]}, runs="v0")
    world.create_version("v1")
    world.settle()
    finish(world, "one")
    world.settle()
    world.create_version("v2")
    world.settle()
    world.hand_over(active_job(world, "one"))
    world.hear(active_job(world, "one"), JobStatus.ACTION_REQUIRED, confirmable=True)
    world.order("rollback", "one")
    assert cancels(world.round()) == ["rolled_back"]


def test_a_rollback_that_plans_first_is_confirmed_in_a_freeze():
    world = a_fleet({"production": ["one"]}, runs="v0")
    world.create_version("v1")
    world.settle()
    finish(world, "one")
    world.settle()
    world.freeze("incident")
    world.order("rollback", "one")
    world.settle()
    hand_over_all(world)
    world.hear(active_job(world, "one"), JobStatus.ACTION_REQUIRED, confirmable=True)
    assert world.round().confirms, "going back asks no gate"


@pytest.mark.parametrize("status", ["paused", "building"])
def test_a_version_that_is_not_ready_holds_it(status):
    world = planned()
    world.set_version_status("v1", status)
    plan = world.round()
    assert not plan.confirms
    assert not plan.cancels
    assert "version_not_ready" in [one.verdict.reason for one in stands(world).bars]


def test_a_paused_rollout_holds_it_and_a_resumed_one_lets_it_go():
    world = planned(more=("two",))
    rollout = world.rollout("v1", "production")
    world.set_rollout(rollout.id, "paused")
    assert not world.round().confirms
    assert [one.verdict.reason for one in stands(world).bars] == ["rollout_paused"]
    world.set_rollout(rollout.id, "open")
    assert world.round().confirms


def test_what_somebody_else_confirmed_or_ended_outside_is_followed():
    world = planned()
    world.round()
    world.hear(job_of(world).id, JobStatus.IN_PROGRESS)
    assert job_of(world).confirm is Confirm.NONE
    assert not world.begin_confirm(job_of(world).id)
    finish(world, "one")
    world.settle()
    assert runs(world) == {"one": "v1"}


def test_an_answer_that_is_older_than_the_confirm_changes_nothing():
    world = planned()
    world.round()
    world.begin_confirm(job_of(world).id)
    world.settle_confirm(job_of(world).id, Confirm.GIVEN)
    world.hear(job_of(world).id, JobStatus.IN_PROGRESS)
    assert not world.hear(job_of(world).id, JobStatus.ACTION_REQUIRED, confirmable=True)
    assert not world.round().confirms


def test_a_confirm_that_never_arrived_is_judged_and_given_again():
    world = planned()
    world.round()
    world.begin_confirm(job_of(world).id)
    world.settle_confirm(job_of(world).id, Confirm.ASKED)
    assert world.round().confirms


def test_a_refused_confirm_says_who_must_act():
    world = planned()
    world.round()
    world.begin_confirm(job_of(world).id)
    world.settle_confirm(job_of(world).id, Confirm.REFUSED)
    plan = world.round()
    assert not plan.confirms
    (row,) = plan.target_decisions
    assert row.outcome == "moving"
    assert [sentence(one).startswith("Its run is planned, and its tool did not take") for one in row.verdicts] == [True]


def test_a_person_who_must_act_outside_is_nobody_that_we_confirm():
    world = a_fleet({"production": ["one"]})
    world.create_version("v1")
    world.settle()
    hand_over_all(world)
    world.hear(active_job(world, "one"), JobStatus.ACTION_REQUIRED, "a policy failed softly")
    assert not world.round().confirms
    assert stands(world).state is State.MOVING


def test_a_forecast_takes_no_held_run_for_one_that_ends_soon():
    world = planned()
    world.round()
    environment = next(iter(world.facts.environments.values()))
    takes = {environment.id: Durations(timedelta(minutes=5))}

    def expected():
        (found,) = forecast(world.snapshot(), world.now, world.version("v1"), takes)
        return found

    assert expected().state == "moving"
    world.freeze("incident")
    assert expected().state == "unknown"
    assert expected().cause.verdict.reason == "frozen"

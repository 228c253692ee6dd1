"""What becomes of one move, and of the next? Retry, rollback, escalation, withdrawal, pins, fall-backs, departures."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from decide.test_scenarios import HOSTS, production
from interlock.decide import decide
from interlock.decide.facts import Quarantine
from interlock.decide.gates import ASKED, GATES
from interlock.decide.pace import PACED
from interlock.model.ids import derived_id
from interlock.model.job import Handover, JobStatus
from interlock.simulate.world import World
from worlds import (
    METRIC,
    a_fleet,
    active_job,
    deploy,
    finish,
    hand_over_all,
    moving,
    runs,
    set_policies,
    verify,
    version_id,
)

RETRY = {"retry": {"maxRetries": 1, "backoffSeconds": 30}}
ROLLBACK = {"rollback": {"onJobStatuses": ["failure"], "onVerificationFailure": True}}
VERIFY = {"verification": {"metrics": [METRIC]}}
ONE_BY_ONE = {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 0, "maxInFlight": 1}}

COOLDOWN = {"versionCooldown": {"intervalSeconds": 3600}}


def go(world: World) -> None:
    """Everything that may start is handed over."""
    world.settle()
    hand_over_all(world)
    world.settle()


def words(world: World) -> dict[str, list[str]]:
    """Target name -> reasons that its row gives now."""
    facts = replace(world.snapshot(), decided_by_target={}, decided_by_subject={})
    plan = decide(facts, world.now)
    names = {target.id: target.name for target in facts.targets.values()}
    trees = {one.id: one for one in plan.decisions}
    return {
        names[row.target_id]: [
            str(v["reason"])
            for v in (*row.verdicts, *(v for i in row.decision_ids for v in trees[i].verdicts))
            if v["outcome"] != "pass"
        ]
        for row in plan.target_decisions
    }


def fail(world: World, name: str) -> None:
    finish(world, name, JobStatus.FAILURE)
    world.settle()


# Retry and rollback ---------------------------------------------------------------------------------------------------


def test_retries_then_rolls_back_then_stays():
    world = production(RETRY, ROLLBACK, hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    go(world)
    fail(world, "prod-1")
    failed_at = world.now
    assert moving(world) == {"prod-1": "forward v2 running"}, "the move goes on"
    assert words(world)["prod-1"] == ["retry_backoff"]
    assert world.wake_at == failed_at + timedelta(seconds=30)
    world.now = world.wake_at
    (retry,) = world.round().jobs
    assert retry.retry_of is not None
    fail(world, "prod-1")
    assert moving(world) == {"prod-1": "rollback v1 admitted"}
    finish(world, "prod-1")
    world.settle()
    assert runs(world) == {"prod-1": "v1"}
    assert not world.round().moving
    assert words(world)["prod-1"] == ["quarantined"]


def test_a_newer_version_goes_before_the_next_attempt():
    world = production(RETRY, hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    go(world)
    fail(world, "prod-1")
    world.create_version("v3")
    (end,) = world.round().ends
    assert (end.state, end.reason, end.withdrawn_job_id) == ("cancelled", "newer_version", None)
    assert moving(world) == {"prod-1": "forward v3 admitted"}


def test_a_pin_goes_before_the_next_attempt():
    world = production(RETRY, hosts=["prod-1"], runs="v1")
    world.create_version("v0-fix", created_at=world.now - timedelta(hours=1))
    world.create_version("v2")
    go(world)
    fail(world, "prod-1")
    world.pin("v0-fix", target="prod-1")
    world.settle()
    assert moving(world) == {"prod-1": "pin v0-fix admitted"}


def test_a_freeze_takes_a_retry_back_and_the_move_goes_on_after_it():
    world = production({"retry": {"maxRetries": 1}}, hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    go(world)
    finish(world, "prod-1", JobStatus.FAILURE)
    world.round()
    assert world.waiting_jobs(), "the second attempt waits"
    frozen = world.freeze()
    assert world.round().withdrawn_jobs
    assert words(world)["prod-1"] == ["frozen"]
    world.thaw(frozen)
    go(world)
    finish(world, "prod-1")
    world.settle()
    assert runs(world) == {"prod-1": "v2"}


def test_a_version_that_is_paused_is_not_tried_again():
    world = production({"retry": {"maxRetries": 1}}, hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    go(world)
    world.set_version_status("v2", "paused")
    fail(world, "prod-1")
    assert words(world)["prod-1"] == ["version_not_ready"]


def test_a_rollback_that_fails_is_escalated_and_not_answered():
    world = production(ROLLBACK, VERIFY, hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    go(world)
    finish(world, "prod-1")
    world.settle()
    verify(world, "prod-1", "failed")
    go(world)
    assert moving(world) == {"prod-1": "rollback v1 running"}
    finish(world, "prod-1", JobStatus.FAILURE)
    (escalation,) = world.round().escalations
    assert escalation.target_id == world.target("prod-1").id
    assert not moving(world)
    assert words(world)["prod-1"] == ["rollback_escalated"]
    assert not world.round().moving


def test_a_rollback_is_retried_where_the_rule_says_so():
    world = production(ROLLBACK, {"retry": {"maxRetries": 1}}, hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    go(world)
    fail(world, "prod-1")
    fail(world, "prod-1")
    assert moving(world) == {"prod-1": "rollback v1 admitted"}
    world.create_version("v3")
    fail(world, "prod-1")
    assert moving(world) == {"prod-1": "rollback v1 running"}, "a rollback is finished before anything newer"
    finish(world, "prod-1")
    world.settle()
    assert moving(world) == {"prod-1": "forward v3 admitted"}


def test_without_a_good_release_nothing_moves_and_a_person_is_named():
    world = production(ROLLBACK, VERIFY, hosts=["prod-1"])
    world.create_version("v1")
    go(world)
    finish(world, "prod-1")
    world.settle()
    verify(world, "prod-1", "failed")
    world.settle()
    assert not moving(world)
    assert runs(world) == {"prod-1": "v1"}
    assert words(world)["prod-1"] == ["no_good_release"]


def unclear(*, hosts: tuple[str, ...] = ("prod-1", "prod-2"), **rule: object) -> tuple[World, str]:
    """A world in which nothing could tell whether v2 works on the first target."""
    proof = {"verification": {"metrics": [METRIC], **rule}}
    world = production(ROLLBACK, proof, ONE_BY_ONE, hosts=list(hosts), runs="v1")
    world.create_version("v2")
    go(world)
    (name,) = moving(world)
    finish(world, name)
    world.settle()
    verify(world, name, "inconclusive", "no answer")
    return world, name


def held(world: World) -> str:
    """The one verification that could not tell."""
    ((_, one),) = world.held_verifications()
    return one.id


def test_what_could_not_tell_holds_the_target_and_all_that_come_after_it_and_says_who_can_act():
    world, name = unclear()
    plan = world.round()
    assert not plan.ends
    assert not plan.moves
    assert not plan.orders
    assert world.rollout("v2", "production").state == "open"
    assert words(world)[name] == ["verification_unclear"]
    (other,) = {"prod-1", "prod-2"} - {name}
    assert words(world)[other] == ["rollout_unclear"]
    assert world.target(name).good is not None
    assert world.target(name).good != world.target(name).current


def test_what_could_not_tell_holds_those_after_it_also_where_targets_overlap():
    overlap = {**ONE_BY_ONE["gradualRollout"], "whileVerifying": "overlap"}
    world = production(VERIFY, {"gradualRollout": overlap}, hosts=["prod-1", "prod-2"], runs="v1")
    world.create_version("v2")
    go(world)
    (name,) = moving(world)
    finish(world, name)
    world.round()
    verify(world, name, "inconclusive", "no answer")
    world.advance(timedelta(days=1))
    world.settle()
    assert list(moving(world)) == [name]


@pytest.mark.parametrize("state", ["passed", "failed"])
def test_a_person_ends_the_hold(state):
    world, name = unclear()
    world.round()
    assert world.judge_held(held(world), state, "read the graphs")
    world.settle()
    if state == "passed":
        assert world.target(name).good is not None
        assert len(moving(world)) <= 1
    else:
        assert moving(world)[name] == "rollback v1 admitted"
        assert world.rollout("v2", "production").state == "halted"


def test_measuring_again_ends_the_hold():
    world, name = unclear()
    world.round()
    assert world.judge_held(held(world), "running")
    world.round()
    assert words(world)[name] == []
    verify(world, name)
    assert [end.state for end in world.round().ends] == ["succeeded"]


@pytest.mark.parametrize(("policy", "end"), [("fail", "failed"), ("pass", "succeeded")])
def test_a_policy_may_take_what_could_not_tell_for_a_failure_or_a_pass(policy, end):
    world, _ = unclear(onInconclusive=policy)
    assert [one.state for one in world.round().ends] == [end]


def test_a_redeploy_goes_before_what_could_not_tell():
    world, name = unclear(hosts=("prod-1",))
    world.round()
    world.order("redeploy", name, when="idle")
    assert [(one.state, one.reason) for one in world.round().ends] == [("cancelled", "ordered")]
    world.settle()
    assert moving(world) == {name: "redeploy v2 admitted"}


def test_what_a_job_that_failed_shows_holds_nobody():
    proof = {"verification": {"metrics": [METRIC], "triggerOn": "jobFailure"}}
    world = production(proof, {"retry": {"maxRetries": 1, "backoffSeconds": 60}}, hosts=["prod-1"])
    world.create_version("v1")
    go(world)
    world.hear(active_job(world, "prod-1"), JobStatus.FAILURE)
    world.round()
    verify(world, "prod-1", "inconclusive")
    world.round()
    assert not world.held_verifications()


def test_a_cancelled_job_ends_its_move_and_is_no_failure():
    world = production(ROLLBACK, hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    go(world)
    finish(world, "prod-1", JobStatus.CANCELLED)
    (end,) = world.round().ends
    assert (end.state, end.reason) == ("cancelled", "job_cancelled")
    assert world.rollout("v2", "production").state == "complete"
    assert not moving(world)


def test_a_cancelled_job_is_answered_where_a_rule_names_it():
    world = production({"rollback": {"onJobStatuses": ["cancelled"]}}, hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    go(world)
    finish(world, "prod-1", JobStatus.CANCELLED)
    world.settle()
    assert moving(world) == {"prod-1": "rollback v1 admitted"}


def test_a_cleared_quarantine_lets_the_version_come_back():
    world = production(
        ROLLBACK,
        {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 0, "maxFailures": 5}},
        hosts=["prod-1"],
        runs="v1",
    )
    world.create_version("v2")
    go(world)
    fail(world, "prod-1")
    finish(world, "prod-1")
    world.settle()
    assert not world.round().moving
    world.clear_quarantine("prod-1")
    world.settle()
    assert moving(world) == {"prod-1": "forward v2 admitted"}


def test_what_was_begun_beside_the_job_must_pass_too():
    world = production({"verification": {"metrics": [METRIC], "triggerOn": "jobStarted"}}, VERIFY, hosts=["prod-1"])
    world.create_version("v1")
    go(world)
    assert world.hear(active_job(world, "prod-1"), JobStatus.IN_PROGRESS)
    assert len(world.round().verifications) == 1
    finish(world, "prod-1")
    assert len(world.round().verifications) == 1
    verify(world, "prod-1")
    world.settle()
    assert world.target("prod-1").good is not None


def test_a_failed_verification_beside_the_job_fails_the_move_when_the_job_ends():
    world = production(
        {"verification": {"metrics": [METRIC], "triggerOn": "jobCreated"}}, ROLLBACK, hosts=["prod-1"], runs="v0"
    )
    world.create_version("v1")
    go(world)
    verify(world, "prod-1", "failed")
    assert not world.round().ends, "the job still runs"
    finish(world, "prod-1")
    world.settle()
    assert moving(world) == {"prod-1": "rollback v0 admitted"}


def test_a_failed_job_may_be_looked_at_too():
    world = production({"verification": {"metrics": [METRIC], "triggerOn": "jobFailure"}}, hosts=["prod-1"], runs="v0")
    world.create_version("v1")
    go(world)
    finish(world, "prod-1", JobStatus.FAILURE)
    plan = world.round()
    assert len(plan.verifications) == 1
    assert [end.state for end in plan.ends] == ["failed"], "it only records"


# Config ---------------------------------------------------------------------------------------------------------------


def test_a_config_that_fails_is_quarantined_and_no_config_moves_until_a_newer_version_ran():
    world = production(ROLLBACK, hosts=["prod-1"], runs="v1")
    world.edit_target("prod-1", config_digest="config-2")
    go(world)
    assert moving(world) == {"prod-1": "config v1 running"}
    fail(world, "prod-1")
    assert world.facts.quarantines == (Quarantine(world.target("prod-1").id, None, "config-2", version_id("v1")),)
    finish(world, "prod-1")
    world.settle()
    assert world.target("prod-1").current.config_digest == "config-1"
    assert not world.round().moving
    assert words(world)["prod-1"] == ["config_quarantined"]
    world.edit_target("prod-1", config_digest="config-3")
    assert not world.round().moving, "no config move at all"
    deploy(world, "v2")
    world.edit_target("prod-1", config_digest="config-4")
    world.settle()
    assert moving(world) == {"prod-1": "config v2 admitted"}


def test_a_config_rollout_that_halted_ends_when_nothing_lacks_the_config():
    world = production(hosts=["prod-1", "prod-2"], runs="v1")
    world.edit_target("prod-1", config_digest="config-2")
    go(world)
    fail(world, "prod-1")
    assert [one.state for one in world.facts.rollouts] == ["halted"]
    world.edit_target("prod-1", config_digest="config-1")
    world.settle()
    assert world.facts.rollouts == ()


def test_a_job_whose_config_changed_is_withdrawn_and_made_anew():
    world = production(hosts=["prod-1"])
    world.create_version("v1")
    world.settle()
    world.edit_target("prod-1", config_digest="config-2")
    plan = world.round()
    assert [end.reason for end in plan.ends] == ["config_changed"]
    assert [move.to_release.config_digest for move in plan.moves] == ["config-2"]


def test_a_config_move_gives_way_to_a_newer_version():
    world = production(hosts=["prod-1"], runs="v1")
    world.edit_target("prod-1", config_digest="config-2")
    world.settle()
    world.create_version("v2")
    plan = world.round()
    assert [end.reason for end in plan.ends] == ["newer_version"]
    assert moving(world) == {"prod-1": "forward v2 admitted"}


# Freezes and withdrawals ----------------------------------------------------------------------------------------------


def test_a_freeze_stops_a_waiting_job_from_the_instant_it_is_written():
    world = production(hosts=["prod-1"])
    world.create_version("v1")
    world.settle()
    world.freeze("incident")
    assert hand_over_all(world) == 0, "before any round saw it"
    (end,) = world.round().ends
    assert (end.state, end.reason, end.values) == ("withdrawn", "held", {"rules": ["freeze"]})
    assert end.withdrawn_job_id is not None


def test_a_freeze_does_not_stop_a_rollback():
    world = production(ROLLBACK, hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    go(world)
    world.freeze("incident")
    fail(world, "prod-1")
    assert moving(world) == {"prod-1": "rollback v1 admitted"}
    assert hand_over_all(world) == 1


def test_a_queued_job_is_withdrawn_before_it_is_claimed():
    world = production(hosts=["prod-1"], runs="v0")
    world.create_version("v1")
    world.settle()
    ((_, job),) = world.waiting_jobs()
    world.offer(job.id)
    world.freeze()
    assert not world.hand_over(job.id), "the claim is refused"
    assert [end.withdrawn_job_id for end in world.round().ends] == [job.id]


def test_a_hand_over_that_never_arrived_is_made_again():
    world = production(hosts=["prod-1"], runs="v0")
    world.create_version("v1")
    world.settle()
    ((_, job),) = world.waiting_jobs()
    world.hand_over(job.id, handover=Handover.UNCERTAIN)
    assert not world.round().moving
    world.settle_hand_over(job.id, Handover.WAITING)
    assert not world.round().moving
    frozen = world.freeze()
    assert world.round().withdrawn_jobs == (job.id,)
    world.thaw(frozen)
    (again,) = world.round().jobs
    assert again.job.id != job.id
    assert moving(world) == {"prod-1": "forward v1 running"}


def test_a_job_that_ended_before_anybody_had_it_was_an_attempt():
    world = production(hosts=["prod-1"], runs="v0")
    world.create_version("v1")
    world.settle()
    ((_, job),) = world.waiting_jobs()
    world.hear(job.id, JobStatus.INVALID_JOB_AGENT, "no agent of this type runs here")
    world.settle()
    assert not moving(world)
    assert words(world)["prod-1"] == ["attempts_used"]


# Rollouts -------------------------------------------------------------------------------------------------------------


def test_a_newer_version_supersedes_an_open_rollout_and_aborts_a_halted_one():
    world = production(ONE_BY_ONE, runs="v0")
    world.create_version("v1")
    go(world)
    world.create_version("v2")
    world.settle()
    assert world.rollout("v1", "production").state == "superseded"
    (name,) = moving(world)
    finish(world, name)
    go(world)
    fail(world, next(iter(moving(world))))
    assert world.rollout("v2", "production").state == "halted"
    world.create_version("v3")
    world.settle()
    assert world.rollout("v2", "production").state == "aborted", "that it failed is not forgotten"


@pytest.mark.parametrize(("state", "reason"), [("paused", "rollout_paused"), ("aborted", "rollout_aborted")])
def test_a_rollout_that_a_person_stopped_starts_nothing(state, reason):
    world = production(ONE_BY_ONE, runs="v0")
    world.create_version("v1")
    go(world)
    (name,) = moving(world)
    world.set_rollout(world.rollout("v1", "production").id, state)
    finish(world, name)
    world.settle()
    assert not moving(world)
    assert all(words(world)[other] == [reason] for other in HOSTS if other != name)


def test_a_resumed_rollout_forgives_what_failed():
    world = production(ONE_BY_ONE, runs="v0")
    world.create_version("v1")
    go(world)
    (name,) = moving(world)
    fail(world, name)
    rollout = world.rollout("v1", "production")
    world.set_rollout(rollout.id, "open")
    go(world)
    (other,) = moving(world)
    assert other != name
    fail(world, other)
    assert world.rollout("v1", "production").state == "halted"


def test_a_stopped_rollout_takes_its_waiting_jobs_back():
    world = production(ONE_BY_ONE, runs="v0")
    world.create_version("v1")
    world.settle()
    world.set_rollout(world.rollout("v1", "production").id, "paused")
    (end,) = world.round().ends
    assert (end.state, end.reason, end.values) == ("withdrawn", "held", {"rules": ["gradualRollout"]})


def test_failures_that_are_tolerated_do_not_halt():
    tolerant = {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 0, "maxInFlight": 1, "maxFailures": 1}}
    world = production(tolerant, runs="v0")
    world.create_version("v1")
    go(world)
    fail(world, next(iter(moving(world))))
    go(world)
    fail(world, next(iter(moving(world))))
    assert world.rollout("v1", "production").state == "halted"


def test_a_paused_version_keeps_its_rollout_and_goes_on_when_ready_again():
    world = production(ONE_BY_ONE, runs="v0")
    world.create_version("v1")
    go(world)
    world.set_version_status("v1", "paused")
    finish(world, next(iter(moving(world))))
    world.settle()
    assert not moving(world)
    assert world.rollout("v1", "production").state == "open"
    world.set_version_status("v1", "ready")
    world.settle()
    assert len(moving(world)) == 1


def test_a_rejected_version_ends_its_rollout():
    world = production(ONE_BY_ONE, runs="v0")
    world.create_version("v1")
    go(world)
    world.set_version_status("v1", "rejected")
    finish(world, next(iter(moving(world))))
    world.settle()
    assert world.rollout("v1", "production").state == "complete"


def test_moves_max_starts_the_rest_in_the_next_rounds():
    world = production(runs="v0")
    world.create_version("v1")
    plan = world.round(moves_max=3)
    assert len(plan.moves) == 3
    assert plan.wake_at == world.now + timedelta(milliseconds=1)
    full = [row for row in plan.target_decisions if row.outcome == "hold"]
    assert [row.verdicts[0]["reason"] for row in full] == ["round_full"]
    assert len(world.round(moves_max=3).moves) == 1


def test_two_policies_pace_their_own_targets_and_the_strictest_wins_where_both_do():
    world = a_fleet(
        {"production": HOSTS},
        {
            "slow": (["production"], [ONE_BY_ONE]),
            "fast": (
                ["production"],
                [{"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 0, "maxInFlight": 3}}],
            ),
        },
        runs="v0",
    )
    world.create_version("v1")
    assert len(world.round().moves) == 1


def test_an_observed_policy_holds_nothing_and_is_recorded():
    world = production(runs="v0")
    set_policies(
        world,
        {"watch": (["production"], [{"anyApproval": {"minApprovals": 1}}, ONE_BY_ONE, ROLLBACK])},
        observe=["watch"],
    )
    world.create_version("v1")
    plan = world.round()
    assert len(plan.moves) == len(HOSTS)
    observed = [v for one in plan.decisions for v in one.verdicts if v.get("observed")]
    assert [v["reason"] for v in observed] == ["approval_missing"]
    assert not plan.requests


# First deployments ----------------------------------------------------------------------------------------------------


def test_a_target_that_runs_nothing_and_is_only_paced_takes_what_is_good_beside_it():
    slow = {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 3600}}
    world = production(slow, hosts=["prod-1", "prod-2"], runs="v1")
    policy_set = world.target("prod-1").policy_set
    world.create_version("v2")
    go(world)
    (first,) = moving(world)
    world.attach("prod-9", "production", policy_set=policy_set)
    go(world)
    assert moving(world) == {first: "forward v2 running", "prod-9": "forward v1 running"}
    finish(world, "prod-9")
    finish(world, first)
    world.settle()
    assert runs(world)["prod-9"] == "v1"
    for _ in range(3):
        world.now = world.wake_at or world.now
        go(world)
        for name in moving(world):
            finish(world, name)
        world.settle()
    assert set(runs(world).values()) == {"v2"}, "it joins the newer rollout later, at its place"


def test_a_fall_back_that_waits_stays_and_gives_way_when_its_place_comes():
    slow = {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 600}}
    world = production(slow, hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    go(world)
    world.attach("prod-9", "production", policy_set=world.target("prod-1").policy_set)
    world.settle()
    assert moving(world)["prod-9"] == "forward v1 admitted"
    assert not world.round().moving, "and it is not withdrawn for the version that it waits for"
    world.now = world.wake_at
    world.settle()
    assert moving(world)["prod-9"] == "forward v2 admitted"


def test_a_fall_back_that_failed_is_not_tried_for_ever():
    slow = {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 86400, "maxFailures": 9}}
    world = production(slow, hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    go(world)
    world.attach("prod-9", "production", policy_set=world.target("prod-1").policy_set)
    go(world)
    fail(world, "prod-9")
    assert "prod-9" not in moving(world)
    assert runs(world)["prod-9"] == "-"


# Pins and skips -------------------------------------------------------------------------------------------------------


def test_the_narrowest_pin_wins():
    world = production(hosts=["prod-1", "prod-2"], runs="v1")
    for tag in ("v2", "v3", "v4"):
        world.create_version(tag)
    world.pin("v4")
    world.pin("v3", environment="production")
    world.pin("v2", target="prod-1")
    world.settle()
    assert moving(world) == {"prod-1": "pin v2 admitted", "prod-2": "pin v3 admitted"}


def test_a_pin_waits_for_gates_but_not_for_a_place():
    world = production({"anyApproval": {"minApprovals": 1}}, ONE_BY_ONE, hosts=["prod-1", "prod-2"], runs="v1")
    world.create_version("v2")
    world.pin("v2")
    world.settle()
    assert words(world) == {"prod-1": ["approval_missing"], "prod-2": ["approval_missing"]}
    world.say("bob", "approved", "v2", "production")
    world.settle()
    assert len(moving(world)) == 2


def test_a_pin_to_a_version_that_is_not_ready_says_so():
    world = production(hosts=["prod-1"], runs="v1")
    world.create_version("v2", status="building")
    world.pin("v2")
    world.settle()
    assert words(world) == {"prod-1": ["version_not_ready"]}


def test_a_pin_keeps_newer_versions_away_and_its_end_by_time_moves_nothing_back():
    world = production(hosts=["prod-1"], runs="v1")
    deploy(world, "v2")
    ends_at = world.now + timedelta(hours=1)
    world.pin("v1", expires_at=ends_at)
    deploy(world, "v3")
    assert runs(world) == {"prod-1": "v1"}
    assert world.wake_at == ends_at
    world.now = ends_at
    world.settle()
    assert moving(world) == {"prod-1": "forward v3 admitted"}


def test_a_removed_pin_lets_what_is_newer_come_back():
    world = production(hosts=["prod-1"], runs="v1")
    deploy(world, "v2")
    pin_id = world.pin("v1")
    deploy(world, "v2")
    assert runs(world) == {"prod-1": "v1"}
    world.remove_pin(pin_id)
    world.settle()
    assert moving(world) == {"prod-1": "forward v2 admitted"}


def test_a_pin_takes_a_version_that_is_in_quarantine():
    world = production(ROLLBACK, hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    go(world)
    fail(world, "prod-1")
    finish(world, "prod-1")
    world.settle()
    world.pin("v2")
    world.settle()
    assert moving(world) == {"prod-1": "pin v2 admitted"}


def test_a_job_that_waits_gives_way_to_a_pin():
    world = production(hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    world.settle()
    world.pin("v2")
    assert [end.reason for end in world.round().ends] == ["pinned"]
    assert moving(world) == {"prod-1": "pin v2 admitted"}


def test_a_skip_for_one_resource_passes_one_window_of_two():
    night = {
        "id": "night",
        "deploymentWindow": {"rrule": "FREQ=DAILY;BYHOUR=2", "durationMinutes": 60, "timezone": "UTC"},
    }
    never = {
        "id": "friday",
        "deploymentWindow": {
            "rrule": "FREQ=DAILY;BYHOUR=8",
            "durationMinutes": 60,
            "timezone": "UTC",
            "allowWindow": False,
        },
    }
    world = production(night, never, hosts=["prod-1", "prod-2"], runs="v1")
    world.create_version("v2")
    resource_id = derived_id("resource", "prod-1")
    world.skip("night", "v2", resource_id=resource_id)
    world.settle()
    assert not moving(world), "the other window still holds it"
    world.skip("friday", "v2", resource_id=resource_id)
    world.settle()
    assert moving(world) == {"prod-1": "forward v2 admitted"}


def test_a_skip_for_everybody_passes_the_rule_and_shows_what_it_would_have_said():
    world = production({"id": "ask", "anyApproval": {"minApprovals": 1}}, hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    world.skip("ask", "v2", environment="production")
    plan = world.round()
    assert moving(world) == {"prod-1": "forward v2 admitted"}
    said = {v["rule"]: v for one in plan.decisions for v in one.verdicts}
    assert said["anyApproval"]["reason"] == "skipped"
    assert said["anyApproval"]["values"]["instead_of"] == "approval_missing"


def test_a_rule_over_targets_may_be_skipped_too():
    world = production({"id": "cool", **COOLDOWN}, hosts=["prod-1"], runs="v0")
    world.create_version("v1")
    world.settle()
    assert words(world) == {"prod-1": ["cooling_down"]}
    world.skip("cool", "v1", expires_at=world.now + timedelta(minutes=5))
    world.settle()
    assert moving(world) == {"prod-1": "forward v1 admitted"}


def test_a_skip_of_one_window_for_everybody_leaves_the_others():
    always = {
        "id": "a",
        "deploymentWindow": {"rrule": "FREQ=DAILY", "durationMinutes": 1440, "timezone": "UTC", "allowWindow": False},
    }
    open_now = {
        "id": "b",
        "deploymentWindow": {"rrule": "FREQ=DAILY;BYHOUR=8", "durationMinutes": 60, "timezone": "UTC"},
    }
    world = production(always, open_now, hosts=["prod-1"], runs="v0")
    world.create_version("v1")
    world.settle()
    assert words(world) == {"prod-1": ["window_never_opens"]}
    world.skip("a", "v1")
    world.settle()
    assert moving(world) == {"prod-1": "forward v1 admitted"}


# Targets that come and go ---------------------------------------------------------------------------------------------


def test_what_waits_for_a_target_that_left_is_withdrawn():
    world = production(hosts=["prod-1", "prod-2"], runs="v0")
    world.create_version("v1")
    world.settle()
    world.detach("prod-1")
    assert hand_over_all(world) == 0
    plan = world.round()
    assert [(end.state, end.reason) for end in plan.ends] == [("withdrawn", "target_detached")]


def test_what_runs_on_a_target_that_left_is_asked_to_stop():
    world = production(hosts=["prod-1", "prod-2"], runs="v0")
    world.create_version("v1")
    go(world)
    world.detach("prod-1")
    (cancel,) = world.round().cancels
    assert cancel.reason == "target_detached"
    assert not world.round().cancels, "asked once"
    world.hear(cancel.job_id, JobStatus.CANCELLED)
    world.settle()
    assert "prod-1" not in moving(world)


def test_what_ends_well_on_a_target_that_left_is_told():
    world = production(hosts=["prod-1", "prod-2"], runs="v0")
    world.create_version("v1")
    go(world)
    world.detach("prod-1")
    world.settle()
    finish(world, "prod-1")
    world.settle()
    assert world.target("prod-1").current.version_id == version_id("v1")


def test_a_retry_on_a_target_that_left_is_given_up():
    world = production(RETRY, hosts=["prod-1", "prod-2"], runs="v0")
    world.create_version("v1")
    go(world)
    finish(world, "prod-1", JobStatus.FAILURE)
    world.detach("prod-1")
    (end,) = world.round().ends
    assert (end.state, end.reason) == ("cancelled", "target_detached")


def test_who_joins_late_stands_behind_and_who_leaves_keeps_its_number():
    world = production({"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 60}}, runs="v0")
    world.create_version("v1")
    go(world)
    before = positions(world)
    world.attach("prod-0", "production", policy_set=world.target("prod-1").policy_set)
    first = next(iter(moving(world)))
    world.detach(next(name for name in HOSTS if name != first))
    after = positions(world)
    assert {name: at for name, at in after.items() if name in before} == {
        name: at for name, at in before.items() if name in after
    }
    assert world.target("prod-0").name not in after or after["prod-0"] == 5


def positions(world: World) -> dict[str, object]:
    """Target name -> its place as its row tells it."""
    facts = replace(world.snapshot(), decided_by_target={})
    names = {target.id: target.name for target in facts.targets.values()}
    return {
        names[row.target_id]: verdict["values"]["position"]
        for row in decide(facts, world.now).target_decisions
        for verdict in row.verdicts
        if verdict["reason"] == "rollout_due_later"
    }


def test_nothing_starts_on_what_is_not_matched_yet():
    world = production(hosts=["prod-1"])
    target = replace(world.target("prod-1"), policy_set=None)
    world.facts = replace(world.facts, targets={target.id: target})
    world.create_version("v1")
    plan = world.round()
    assert not plan.moves
    assert [row.outcome for row in plan.target_decisions] == ["unknown"]
    assert words(world) == {"prod-1": ["not_matched_yet"]}


# Unknown --------------------------------------------------------------------------------------------------------------


def test_a_rule_that_raises_holds_and_says_so(monkeypatch):
    from interlock.decide.rules import any_approval

    def broken(subject, params, now):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(any_approval, "evaluate", broken)
    world = production({"anyApproval": {"minApprovals": 1}}, hosts=["prod-1"])
    world.create_version("v1")
    plan = world.round()
    assert not plan.moves
    assert [one.outcome for one in plan.decisions] == ["unknown"]
    assert [row.outcome for row in plan.target_decisions] == ["unknown"]
    assert plan.decisions[0].verdicts[-1]["values"] == {"error": "ZeroDivisionError: division by zero"}


def test_a_candidate_rule_that_raises_passes_no_version(monkeypatch):
    from interlock.decide.rules import version_selector

    monkeypatch.setattr(version_selector, "matches", lambda selector, seen: 1 / 0)
    world = production({"versionSelector": {"selector": "true"}}, hosts=["prod-1"])
    world.create_version("v1")
    assert not world.round().moves


# Tables ---------------------------------------------------------------------------------------------------------------


def test_each_kind_of_move_asks_the_gates_that_the_core_says():
    everything = set(GATES)
    starts = {"freeze", "deploymentWindow"}
    assert {kind: set(asked) for kind, asked in ASKED.items()} == {
        "forward": everything,
        "pin": everything,
        "config": {*starts, "incident"},
        "retry": {*starts, "incident"},
        "redeploy": starts,
        "rollback": set(),
        "force": set(),
    }
    assert {kind for kind, paced in PACED.items() if paced} == {"forward", "config"}
    assert ASKED.keys() == PACED.keys()


def test_an_unknown_mark_lets_nothing_older_pass():
    world = production(hosts=["prod-1"], runs="v0")
    world.create_version("v1")
    target = replace(world.target("prod-1"), mark="a version that is gone", current=None)
    world.facts = replace(world.facts, targets={target.id: target})
    assert not world.round().moves


def test_at_most_fifty_candidates_are_looked_at():
    world = production(
        {"versionSelector": {"selector": "true"}}, {"anyApproval": {"minApprovals": 1}}, hosts=["prod-1"]
    )
    for number in range(60):
        world.create_version(f"v{number}")
    assert len(world.round().decisions) == 50


def test_a_target_in_an_environment_that_is_gone_goes_nowhere():
    world = production(hosts=["prod-1"])
    world.create_version("v1")
    lost = replace(world.target("prod-1"), environment_id="gone")
    world.facts = replace(world.facts, targets={lost.id: lost})
    plan = world.round()
    assert not plan.moves
    assert [row.outcome for row in plan.target_decisions] == ["settled"]


def test_a_pin_to_a_version_that_is_not_loaded_moves_nothing():
    world = production(hosts=["prod-1"], runs="v1")
    world.pin("v1")
    world.facts = replace(world.facts, pins=tuple(replace(pin, version_id="gone") for pin in world.facts.pins))
    assert not world.round().moves


def test_config_of_a_version_that_is_not_loaded_does_not_move():
    world = production(hosts=["prod-1"], runs="v1")
    world.edit_target("prod-1", config_digest="config-2")
    world.facts = replace(world.facts, versions=())
    assert not world.round().moves


def test_a_config_that_failed_had_its_attempt():
    tolerant = {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 0, "maxFailures": 5}}
    world = production(tolerant, hosts=["prod-1"], runs="v1")
    world.edit_target("prod-1", config_digest="config-2")
    go(world)
    fail(world, "prod-1")
    assert not moving(world)
    assert words(world)["prod-1"] == ["config_attempts_used"]
    world.edit_target("prod-1", config_digest="config-3")
    world.settle()
    assert moving(world) == {"prod-1": "config v1 admitted"}


def test_those_behind_the_next_one_are_told_the_schedule_and_what_is_overdue_waits_its_turn():
    world = production({"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 60}}, runs="v0")
    world.create_version("v1")
    go(world)
    opened_at = world.rollout("v1", "production").opened_at
    assert sorted(positions(world).values()) == [2, 3, 4]
    world.set_rollout(world.rollout("v1", "production").id, "paused")
    world.now = opened_at + timedelta(seconds=150)
    world.set_rollout(world.rollout("v1", "production").id, "open")
    go(world)
    assert sorted(positions(world).values()) == [3, 4], "one of the two that are overdue started"
    world.now = opened_at + timedelta(seconds=190)
    said = [word for one in words(world).values() for word in one]
    assert said == ["rollout_due_later", "rollout_after_previous"]


def test_a_move_of_a_target_that_is_not_loaded_is_left_alone():
    world = production(hosts=["prod-1", "prod-2"])
    world.create_version("v1")
    go(world)
    finish(world, "prod-1")
    rest = {key: one for key, one in world.facts.targets.items() if one.name != "prod-1"}
    world.facts = replace(world.facts, targets=rest)
    plan = decide(world.facts, world.now)
    assert not plan.ends


def test_a_pause_that_ends_by_itself_goes_on_at_its_instant_and_not_before():
    world = production({"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 3600}}, runs="v0")
    world.create_version("v1")
    world.settle()
    rollout = world.rollout("v1", "production")
    until = world.now + timedelta(minutes=90)
    world.set_rollout(rollout.id, "paused", until=until)
    plan = world.round()
    assert plan.wake_at == until and not plan.rollout_states
    assert not world.waiting_jobs(), "what was not handed over is taken back"
    world.now = until - timedelta(seconds=1)
    assert not world.round().moves
    world.now = until
    plan = world.round()
    assert [(state.state, state.reason) for state in plan.rollout_states] == [("open", "pause_over")]
    assert plan.moves
    assert world.rollout("v1", "production").state == "open"

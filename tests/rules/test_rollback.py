"""What does the rollback rule answer, and what does it do then? Examples with dates where time matters."""

from __future__ import annotations

from datetime import timedelta

import pytest

from interlock.decide.orders import ROLLBACK_CAP, ROLLBACK_OVERDUE
from interlock.decide.rules import parse_rules
from interlock.model.errors import Invalid
from interlock.model.job import JobStatus
from rules.examples import at
from worlds import METRIC, a_fleet, active_job, finish, hand_over_all, moving, verify

TOLERANT = {
    "gradualRollout": {
        "rolloutType": "linear", "timeScaleInterval": 0, "maxFailures": 9, "whileVerifying": "overlap",
    },
}  # fmt: skip
NIGHT = at("2026-03-29 00:30")
VERIFY = {"verification": {"metrics": [METRIC]}}


def a_world(rule, *rules, hosts=2, now=NIGHT):
    """v2 was handed over to some hosts that ran v1, in the night in which Berlin's clocks go forward."""
    names = [f"prod-{n + 1}" for n in range(hosts)]
    world = a_fleet(
        {"production": names}, {"rules": (["production"], [{"rollback": rule}, TOLERANT, *rules])}, runs="v1", now=now
    )
    world.create_version("v2")
    world.settle()
    hand_over_all(world)
    return world


@pytest.mark.parametrize(
    ("rule", "fields"),
    [
        ({"onJobStatuses": ["success"]}, ["rules[0].rollback.onJobStatuses"]),
        ({"onJobStatuses": ["successful"]}, ["rules[0].rollback.onJobStatuses"]),
        ({"onJobStatuses": "failure"}, ["rules[0].rollback.onJobStatuses"]),
        ({"onVerificationFailure": "yes"}, ["rules[0].rollback.onVerificationFailure"]),
        ({"scope": "deployment"}, ["rules[0].rollback.scope"]),
        ({"scope": 1}, ["rules[0].rollback.scope"]),
        ({"wait": True}, ["rules[0].rollback.wait"]),
    ],
)
def test_bad_parameters_are_refused_with_their_field(rule, fields):
    with pytest.raises(Invalid) as refused:
        parse_rules([{"rollback": rule}])
    assert [one.path for one in refused.value.fields] == fields


@pytest.mark.parametrize("scope", ["target", "environment"])
def test_both_scopes_are_read(scope):
    (rule,) = parse_rules([{"rollback": {"scope": scope}}])
    assert rule.params.scope == scope


def test_without_a_scope_a_target_goes_back_alone():
    (rule,) = parse_rules([{"rollback": {"onJobStatuses": ["failure"]}}])
    assert (rule.params.scope, rule.params.on_verification_failure) == ("target", False)
    world = a_world({"onJobStatuses": ["failure"]})
    finish(world, "prod-1", JobStatus.FAILURE)
    world.settle()
    assert moving(world) == {"prod-1": "rollback v1 admitted", "prod-2": "forward v2 running"}


@pytest.mark.parametrize("status", [JobStatus.FAILURE, JobStatus.CANCELLED, JobStatus.INVALID_JOB_AGENT])
def test_a_status_that_is_not_named_is_not_answered(status):
    named = {JobStatus.FAILURE, JobStatus.CANCELLED, JobStatus.INVALID_JOB_AGENT} - {status}
    world = a_world({"onJobStatuses": sorted(one.value for one in named)})
    finish(world, "prod-1", status)
    world.settle()
    assert moving(world) == {"prod-2": "forward v2 running"}


def test_a_failed_verification_is_answered_only_where_the_rule_says_so():
    for answered in (True, False):
        world = a_world({"onVerificationFailure": answered}, VERIFY)
        finish(world, "prod-1")
        world.settle()
        verify(world, "prod-1", "failed")
        world.settle()
        assert ("prod-1" in moving(world)) is answered


def test_with_the_scope_environment_all_that_was_moved_goes_back():
    world = a_world({"onJobStatuses": ["failure"], "scope": "environment"}, hosts=6)
    for number in range(1, 5):
        finish(world, f"prod-{number}")
    world.settle()
    finish(world, "prod-5", JobStatus.FAILURE)
    plan = world.round()
    assert len(plan.orders) == 6, "those that landed, the one that failed, and the one whose job still runs"
    assert [state.state for state in plan.rollout_states] == ["halted"]
    assert sum(move.kind == "rollback" for move in plan.moves) == int(6 * ROLLBACK_CAP) == 1


def test_an_overdue_rollback_calls_for_a_person_an_hour_after_it_was_admitted_whatever_the_clocks_do():
    world = a_world({"onJobStatuses": ["failure"]}, hosts=1)
    finish(world, "prod-1", JobStatus.FAILURE)
    world.settle()
    admitted_at = world.open_move("prod-1").admitted_at
    world.hand_over(active_job(world, "prod-1"))
    world.now = admitted_at + ROLLBACK_OVERDUE - timedelta(microseconds=1)
    assert not world.round().escalations
    assert world.wake_at == admitted_at + ROLLBACK_OVERDUE
    world.now = world.wake_at
    assert [one.target_id for one in world.round().escalations] == [world.target("prod-1").id]

"""When has a version proved itself in an environment? met_at in whole numbers, soak, late joiners, any and all."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from interlock.decide.facts import Landed, Quarantine, Rollout
from interlock.decide.rules import parse_rules
from interlock.decide.verdict import WaitsFor, holds, passes
from interlock.model.errors import Invalid
from interlock.model.job import JobStatus
from interlock.simulate.world import World
from rules.examples import at, happens, judged, lifts_of
from worlds import a_fleet, a_target, an_id, finish, version_id

STAGING = 'environment.name == "staging"'
QA = 'environment.name.startsWith("qa")'
NOW = at("2026-03-09 12:00")
CREATED = at("2026-03-09 09:00")
LANDED = (f"landed:{version_id('v1')}:{an_id('staging')}",)


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def a_world(successes: dict[str, float], hosts: int = 4, environment: str = "staging", **more: object) -> World:
    """v1 succeeded on some hosts of an environment, so many minutes before 12:00; all hosts joined at 08:00."""
    names = [f"{environment}-{n + 1}" for n in range(hosts)]
    world = a_fleet({environment: names, "production": ["prod-1"]}, now=NOW)
    world.create_version("v1", created_at=at("2026-03-09 09:00"))
    add_successes(world, successes, **more)
    world.now = NOW
    return world


def add_successes(world: World, successes: dict[str, float], *, verified: bool = False) -> None:
    landed = {
        (world.target(name).id, version_id("v1")): Landed(NOW - minutes(ago), NOW - minutes(ago) if verified else None)
        for name, ago in successes.items()
    }
    world.facts = replace(world.facts, landed_by_target_version={**world.facts.landed_by_target_version, **landed})


def rule(**more: object) -> dict[str, object]:
    return {"environmentProgression": {"dependsOnEnvironmentSelector": STAGING, **more}}


# percentage, targets, successes -> is it enough? Whole numbers, never floats.
ENOUGH = [
    (100, 4, 3, False),
    (100, 4, 4, True),
    (50, 4, 1, False),
    (50, 4, 2, True),
    (50, 3, 1, False),
    (50, 3, 2, True),
    (66.6, 3, 1, False),
    (66.6, 3, 2, True),
    (66.67, 3, 2, False),
    (33.3, 3, 1, True),
    (1, 100, 1, True),
    (0.5, 100, 1, True),
    (99, 100, 98, False),
    (99, 100, 99, True),
    (99.9, 100, 99, False),
    (0, 4, 0, True),
]


@pytest.mark.parametrize(("percentage", "hosts", "successes", "enough"), ENOUGH)
def test_counts_in_whole_numbers(percentage, hosts, successes, enough):
    world = a_world({f"staging-{n + 1}": 10 for n in range(successes)}, hosts)
    verdict = judged(world, rule(minimumSuccessPercentage=percentage), "v1", "production")
    assert verdict.passes is enough


def test_says_how_many_are_missing():
    found = judged(a_world({"staging-1": 10}, hosts=3), rule(minimumSuccessPercentage=50), "v1", "production")
    said = {"environment": "staging", "successes": 1, "targets": 3, "needed": 2}
    assert found == holds(WaitsFor.WAIT, "success_missing", waits_on=LANDED, **said)
    assert isinstance(found.values["needed"], int)


def test_says_where_it_proved_itself_and_until_when_that_counts():
    aged = rule(minimumSuccessPercentage=50, minimumSoakTimeMinutes=5, maximumAgeHours=1)
    found = judged(a_world({"staging-1": 30, "staging-2": 20}, hosts=3), aged, "v1", "production")
    assert found == passes(
        "progressed",
        since=NOW - minutes(15),
        changes_at=NOW + minutes(40),
        environments=["staging"],
        successes=2,
        targets=3,
    )


def test_default_is_all_of_them():
    assert not judged(a_world({"staging-1": 1, "staging-2": 1, "staging-3": 1}), rule(), "v1", "production").passes


def test_soak_counts_from_when_it_was_met_and_later_successes_do_not_restart_it():
    """Scenario 8: opens at t2 + 30 min, whatever comes at t3."""
    soak = rule(minimumSuccessPercentage=50, minimumSoakTimeMinutes=30)
    world = a_world({"staging-1": 25, "staging-2": 20})
    verdict = judged(world, soak, "v1", "production")
    ends_at = NOW + minutes(10)
    said = {"since": NOW - minutes(20), "changes_at": ends_at, "environment": "staging", "until_at": ends_at}
    assert verdict == holds(WaitsFor.WAIT, "soaking", waits_on=LANDED, **said)
    add_successes(world, {"staging-3": 5})
    assert judged(world, soak, "v1", "production").changes_at == NOW + minutes(10)
    world.now = NOW + minutes(10)
    verdict = judged(world, soak, "v1", "production")
    assert verdict.passes
    assert verdict.since == NOW + minutes(10)


def test_soak_may_be_given_in_seconds_and_adds_up():
    soak = rule(minimumSuccessPercentage=25, minimumSoakTimeMinutes=1, minimumSoakTimeSeconds=30)
    assert judged(a_world({"staging-1": 1}), soak, "v1", "production").changes_at == NOW + timedelta(seconds=30)


def test_stays_met_when_a_target_joins_later():
    world = a_world({f"staging-{n}": 60 for n in (1, 2, 3, 4)})
    late = replace(a_target("staging-5", "staging", at=NOW - minutes(30)))
    world.facts = replace(world.facts, targets={**world.facts.targets, late.id: late})
    assert judged(world, rule(), "v1", "production").passes


def test_counts_a_target_that_joined_before_it_was_met():
    world = a_world({f"staging-{n}": 10 for n in (1, 2, 3, 4)})
    late = a_target("staging-5", "staging", at=NOW - minutes(30))
    world.facts = replace(world.facts, targets={**world.facts.targets, late.id: late})
    assert not judged(world, rule(), "v1", "production").passes


def test_stays_met_when_the_target_that_met_it_leaves():
    world = a_world({"staging-1": 60}, hosts=2)
    assert judged(world, rule(minimumSuccessPercentage=50), "v1", "production").passes
    world.detach("staging-1")
    verdict = judged(world, rule(minimumSuccessPercentage=50), "v1", "production")
    assert verdict.passes
    assert verdict.since == NOW - minutes(60)


def test_is_met_when_the_target_that_was_missing_leaves():
    world = a_world({"staging-1": 60}, hosts=2)
    assert not judged(world, rule(), "v1", "production").passes
    world.detach("staging-2")
    assert judged(world, rule(), "v1", "production").passes


def test_is_met_when_it_left_where_that_is_remembered():
    world = a_world({"staging-1": 60, "staging-2": 1}, hosts=2)
    world.now = NOW - minutes(10)
    world.detach("staging-2")
    world.now = NOW
    assert judged(world, rule(), "v1", "production").since == NOW - minutes(10) + timedelta(microseconds=1)


def test_a_target_that_left_takes_its_success_with_it():
    """One of three succeeded at 11:00 and left at 11:10; the other two follow at 11:20 and 11:30: met then."""
    world = a_world({"staging-1": 60, "staging-2": 40, "staging-3": 30}, hosts=3)
    world.now = NOW - minutes(50)
    world.detach("staging-1")
    world.now = NOW
    assert judged(world, rule(), "v1", "production").since == NOW - minutes(30)


def test_a_target_that_left_without_a_success_brings_none():
    """One of three left at 11:10, and its job ended well after that; the other two follow: met at 11:30."""
    world = a_world({"staging-1": 1, "staging-2": 40, "staging-3": 30}, hosts=3)
    world.now = NOW - minutes(50)
    world.detach("staging-1")
    world.now = NOW
    assert judged(world, rule(), "v1", "production").since == NOW - minutes(30)


def test_an_environment_that_all_left_before_any_success_proves_nothing():
    world = a_world({"staging-1": 1}, hosts=1)
    world.now = NOW - minutes(50)
    world.detach("staging-1")
    world.now = NOW
    assert judged(world, rule(), "v1", "production").reason == "no_targets_upstream"
    assert judged(world, rule(requireTargets=True), "v1", "production").reason == "targets_missing"


def test_a_success_before_the_target_joined_counts_from_the_joining():
    world = a_world({"staging-1": 600}, hosts=1)
    assert judged(world, rule(), "v1", "production").since == at("2026-03-09 08:00")


def test_a_success_from_which_the_target_was_rolled_back_does_not_count():
    world = a_world({"staging-1": 60}, hosts=1)
    key = (world.target("staging-1").id, version_id("v1"))
    left = replace(world.facts.landed_by_target_version[key], left_at=NOW)
    world.facts = replace(world.facts, landed_by_target_version={key: left})
    assert judged(world, rule(), "v1", "production").reason == "success_missing"


def test_verification_may_be_required():
    checked = rule(requireVerificationPassed=True)
    assert not judged(a_world({"staging-1": 60}, hosts=1), checked, "v1", "production").passes
    assert judged(a_world({"staging-1": 60}, hosts=1, verified=True), checked, "v1", "production").passes
    half = rule(requireVerificationPassed=True, minimumSuccessPercentage=50)
    assert judged(a_world({"staging-1": 60}, hosts=2, verified=True), half, "v1", "production").passes


def test_is_too_old_after_the_maximum_age():
    aged = rule(maximumAgeHours=2)
    world = a_world({"staging-1": 119}, hosts=1)
    assert judged(world, aged, "v1", "production").changes_at == NOW + minutes(1)
    world.now = NOW + minutes(1)
    assert judged(world, aged, "v1", "production") == holds(
        WaitsFor.DENY,
        "too_old",
        since=NOW + minutes(1),
        waits_on=LANDED,
        who="whoever may redeploy it there, or deploy a newer version",
        environment="staging",
        hours="2",
    )


def test_a_soak_may_be_a_fraction_of_a_minute():
    soak = rule(minimumSuccessPercentage=25, minimumSoakTimeMinutes=1.5)
    assert judged(a_world({"staging-1": 1}), soak, "v1", "production").changes_at == NOW + timedelta(seconds=30)
    short = rule(minimumSuccessPercentage=25, minimumSoakTimeMinutes=0.5)
    assert judged(a_world({"staging-1": 0}), short, "v1", "production").changes_at == NOW + timedelta(seconds=30)
    half = rule(minimumSuccessPercentage=25, minimumSoakTimeSeconds=0.5)
    assert judged(a_world({"staging-1": 0}), half, "v1", "production").changes_at == NOW + timedelta(milliseconds=500)


# success in staging, rule, when it opens and when it closes: time that passed, in Berlin and New York, over the changes
SPANS = [
    ("2026-03-29 01:30+01:00", {"minimumSoakTimeMinutes": 60}, "2026-03-29 03:30+02:00", None),
    ("2026-11-01 01:30-04:00", {"minimumSoakTimeMinutes": 60}, "2026-11-01 01:30-05:00", None),
    ("2026-03-28 12:00+01:00", {"maximumAgeHours": 24}, "2026-03-28 12:00+01:00", "2026-03-29 13:00+02:00"),
    ("2026-10-31 12:00-04:00", {"maximumAgeHours": 24}, "2026-10-31 12:00-04:00", "2026-11-01 11:00-05:00"),
    (
        "2026-02-28 23:59:30+01:00",
        {"minimumSoakTimeSeconds": 45, "maximumAgeHours": 1},
        "2026-03-01 00:00:15+01:00",
        "2026-03-01 00:59:30+01:00",
    ),
    ("2028-02-28 20:00-05:00", {"minimumSoakTimeMinutes": 1440}, "2028-02-29 20:00-05:00", None),
]


@pytest.mark.parametrize(("succeeded", "more", "opens", "closes"), SPANS)
def test_soaks_and_ages_by_the_time_that_passed(succeeded, more, opens, closes):
    world = a_fleet({"staging": ["staging-1"], "production": ["prod-1"]}, now=NOW)
    target = replace(world.target("staging-1"), attached_at=at(succeeded) - timedelta(days=1))
    landed = {(target.id, version_id("v1")): Landed(at(succeeded))}
    targets = {**world.facts.targets, target.id: target}
    world.facts = replace(world.facts, targets=targets, landed_by_target_version=landed)
    world.create_version("v1", created_at=at(succeeded) - timedelta(hours=1))
    for instant, is_open in ((at(opens) - timedelta(microseconds=1), False), (at(opens), True)):
        world.now = instant
        if instant >= at(succeeded):
            assert judged(world, rule(**more), "v1", "production").passes is is_open
    if closes is not None:
        world.now = at(closes) - timedelta(microseconds=1)
        assert judged(world, rule(**more), "v1", "production").changes_at == at(closes)
        world.now = at(closes)
        assert judged(world, rule(**more), "v1", "production").reason == "too_old"


def test_a_later_move_to_the_version_renews_it():
    aged = rule(maximumAgeHours=0.5)
    world = a_world({"staging-1": 40}, hosts=1)
    assert judged(world, aged, "v1", "production").reason == "too_old"
    key = (world.target("staging-1").id, version_id("v1"))
    renewed = replace(world.facts.landed_by_target_version[key], renewed_at=NOW - minutes(10))
    world.facts = replace(world.facts, landed_by_target_version={key: renewed})
    assert judged(world, aged, "v1", "production").changes_at == NOW + minutes(20)


# statuses that count, how jobs ended on the one host (minutes before 12:00), since when it is met
STATUSES = [
    (["successful"], {"failure": 30}, None, None),
    (["failure"], {"failure": 30}, None, 30),
    (["failure"], {}, 20, None),
    (["successful", "failure"], {"failure": 30}, 20, 30),
    (["successful", "failure"], {"failure": 10}, 20, 20),
    (["cancelled", "skipped"], {"skipped": 25, "cancelled": 15, "failure": 40}, None, 25),
    (["externalRunNotFound"], {"invalidJobAgent": 5, "invalidIntegration": 5}, None, None),
]


@pytest.mark.parametrize(("statuses", "ended", "succeeded", "met"), STATUSES)
def test_other_endings_count_where_the_rule_names_them(statuses, ended, succeeded, met):
    world = a_world({"staging-1": succeeded} if succeeded else {}, hosts=1)
    key = (world.target("staging-1").id, version_id("v1"))
    ends = {status: NOW - minutes(ago) for status, ago in ended.items()}
    world.facts = replace(world.facts, ended_by_target_version={key: ends})
    verdict = judged(world, rule(successStatuses=statuses), "v1", "production")
    assert verdict.passes is (met is not None)
    if met is not None:
        assert verdict.since == NOW - minutes(met)


def test_rounds_note_how_jobs_ended_once_and_in_every_status():
    """A retry that fails too changes nothing; a success beside it is told apart."""
    world = a_fleet({"staging": ["staging-1"]}, {"again": (["staging"], [{"retry": {"maxRetries": 2}}])}, now=NOW)
    world.create_version("v1")
    key = (world.target("staging-1").id, version_id("v1"))
    for status in (JobStatus.FAILURE, JobStatus.FAILURE, JobStatus.EXTERNAL_RUN_NOT_FOUND):
        world.settle()
        finish(world, "staging-1", status)
        world.advance(minutes(1))
    world.settle()
    ended = world.facts.ended_by_target_version[key]
    assert set(ended) == {"failure", "externalRunNotFound"}
    assert ended["failure"] < ended["externalRunNotFound"] - minutes(1)
    assert key not in world.facts.landed_by_target_version


def test_a_job_that_was_withdrawn_did_not_end():
    world = a_fleet({"staging": ["staging-1"]}, now=NOW)
    world.create_version("v1")
    world.settle()
    world.set_version_status("v1", "paused")
    world.settle()
    assert world.open_move("staging-1") is None
    assert not world.facts.ended_by_target_version


def test_a_job_that_fails_after_its_target_left_ended():
    world = a_fleet({"staging": ["staging-1", "staging-2"]}, now=NOW)
    world.create_version("v1")
    world.settle()
    world.hand_over(world.open_move("staging-1").jobs[0].id)
    world.detach("staging-1")
    finish(world, "staging-1", JobStatus.FAILURE)
    world.settle()
    key = (world.target("staging-1").id, version_id("v1"))
    assert set(world.facts.ended_by_target_version[key]) == {"failure"}


def test_no_targets_passes_unless_the_rule_requires_some():
    world = a_world({}, hosts=0)
    verdict = judged(world, rule(), "v1", "production")
    assert verdict == passes("no_targets_upstream", since=CREATED, environment="staging")
    verdict = judged(world, rule(requireTargets=True), "v1", "production")
    who = "whoever may edit the environment or the policy"
    assert verdict == holds(WaitsFor.INCOMPLETE, "targets_missing", waits_on=LANDED, who=who, environment="staging")


def test_no_environment_matches_holds_and_says_who_can_act():
    nowhere = {"environmentProgression": {"dependsOnEnvironmentSelector": 'environment.name == "moon"'}}
    verdict = judged(a_world({}), nowhere, "v1", "production")
    assert verdict == holds(
        WaitsFor.INCOMPLETE,
        "no_environment_matches",
        waits_on=("environments",),
        who="whoever may edit the policy or the environments",
        selector='environment.name == "moon"',
    )


def test_an_environment_of_another_system_is_no_neighbour():
    world = a_world({"staging-1": 60}, hosts=1)
    staging = replace(world.environment("staging"), system_ids=frozenset({"other"}))
    world.facts = replace(world.facts, environments={**world.facts.environments, staging.id: staging})
    assert judged(world, rule(), "v1", "production").reason == "no_environment_matches"


def a_world_with_two_qas() -> World:
    world = a_fleet({"qa-a": ["a"], "qa-b": ["b"], "production": ["prod-1"]}, now=NOW)
    world.create_version("v1", created_at=at("2026-03-09 09:00"))
    world.now = NOW
    return world


def test_any_is_content_with_one_and_all_is_not():
    """Scenario 10."""
    world = a_world_with_two_qas()
    add_successes(world, {"a": 60})
    anywhere = {"environmentProgression": {"dependsOnEnvironmentSelector": QA}}
    everywhere = {"environmentProgression": {"dependsOnEnvironmentSelector": QA, "require": "all"}}
    passed = judged(world, anywhere, "v1", "production")
    assert passed.passes
    assert passed.values["environments"] == ["qa-a"]
    held = judged(world, everywhere, "v1", "production")
    assert held.values["environment"] == "qa-b"
    add_successes(world, {"b": 30})
    assert judged(world, everywhere, "v1", "production").since == NOW - minutes(30), "the later one"
    assert judged(world, anywhere, "v1", "production").since == NOW - minutes(60), "the earlier one"


def test_several_environments_are_named_with_what_changes_first():
    world = a_world_with_two_qas()
    aged = {"dependsOnEnvironmentSelector": QA, "minimumSoakTimeMinutes": 30, "maximumAgeHours": 1}
    add_successes(world, {"a": 50, "b": 40})
    names = [world.environment(name).name for name in sorted(("qa-a", "qa-b"), key=an_id)]
    found = judged(world, {"environmentProgression": aged}, "v1", "production")
    assert found == passes("progressed", since=NOW - minutes(20), changes_at=NOW + minutes(10), environments=names)
    add_successes(world, {"b": 10})
    everywhere = {"environmentProgression": aged | {"require": "all"}}
    held = judged(world, everywhere, "v1", "production")
    assert (held.reason, held.values["environment"]) == ("soaking", "qa-b")
    assert held.changes_at == NOW + minutes(10), "then the success in qa-a is too old, before the soak ends"


@pytest.mark.parametrize("name", ["a", "b"])
def test_of_several_holds_it_tells_the_one_that_time_ends_first(name):
    world = a_world_with_two_qas()
    add_successes(world, {name: 10})
    soaking = {"environmentProgression": {"dependsOnEnvironmentSelector": QA, "minimumSoakTimeMinutes": 30}}
    verdict = judged(world, soaking, "v1", "production")
    assert (verdict.reason, verdict.changes_at) == ("soaking", NOW + minutes(20))


def rejected(world: World) -> None:
    world.say("eve", "rejected", "v1", "staging")


def status_rejected(world: World) -> None:
    world.set_version_status("v1", "rejected")


def quarantined(world: World) -> None:
    world.facts = replace(world.facts, quarantines=(Quarantine(world.target("staging-1").id, version_id("v1"), None),))


def stopped(state: str):
    def apply(world: World) -> None:
        rollout = Rollout(
            "r", world.version("v1").change_id, an_id("staging"), "version", version_id("v1"), state, NOW, 1
        )
        world.facts = replace(world.facts, rollouts=(rollout,))

    return apply


@pytest.mark.parametrize(
    ("happens", "how"),
    [
        (rejected, "rejected"),
        (status_rejected, "rejected"),
        (quarantined, "rolled back"),
        (stopped("halted"), "stopped"),
        (stopped("aborted"), "stopped"),
    ],
    ids=["rejected there", "rejected", "quarantined", "halted", "aborted"],
)
def test_closes_again_when_the_version_left(happens, how):
    world = a_world({"staging-1": 60}, hosts=1)
    assert judged(world, rule(), "v1", "production").passes
    happens(world)
    verdict = judged(world, rule(), "v1", "production")
    who = "whoever may deploy a newer version, or clear what happened there"
    said = {"environment": "staging", "how": how}
    assert verdict == holds(WaitsFor.DENY, "left_upstream", waits_on=LANDED, who=who, **said)


@pytest.mark.parametrize("state", ["open", "paused", "complete", "superseded"])
def test_stays_open_in_any_other_state_of_the_rollout(state):
    world = a_world({"staging-1": 60}, hosts=1)
    stopped(state)(world)
    assert judged(world, rule(), "v1", "production").passes


LIMITS = [
    ({"minimumSuccessPercentage": 100.1}, "minimumSuccessPercentage must be from 0 to 100"),
    ({"minimumSuccessPercentage": -0.1}, "minimumSuccessPercentage must be from 0 to 100"),
    ({"minimumSoakTimeMinutes": 525_601}, "minimumSoakTimeMinutes must be from 0 to 525600"),
    ({"minimumSoakTimeSeconds": 31_536_001}, "minimumSoakTimeSeconds must be from 0 to"),
    ({"minimumSoakTimeSeconds": -1}, "minimumSoakTimeSeconds must be from 0 to"),
    ({"maximumAgeHours": 87_601}, "maximumAgeHours must be from 0 to 87600"),
    ({"require": "some"}, "require must be one of any, all"),
]


@pytest.mark.parametrize(("more", "names"), LIMITS)
def test_wrong_parameters_are_named(more, names):
    with pytest.raises(Invalid) as refused:
        parse_rules([rule(**more)])
    assert f"rules[0].environmentProgression.{names}" in refused.value.message


# What would lift it ---------------------------------------------------------------------------------------------------

# rule, successes that are there -> how many more, how, of how many targets
LACKING = [
    ({}, {}, 3, "succeeds"),
    ({}, {"staging-1": 10}, 2, "succeeds"),
    ({"minimumSuccessPercentage": 50}, {"staging-1": 10}, 1, "succeeds"),
    ({"requireVerificationPassed": True}, {"staging-1": 10}, 3, "is verified"),
    ({"successStatuses": ["failure", "cancelled"]}, {"staging-1": 10}, 3, "succeeds"),
]


@pytest.mark.parametrize(("more", "successes", "lacking", "how"), LACKING)
def test_the_successes_that_are_missing_would_lift_it(more, successes, lacking, how):
    world = a_world(successes, hosts=3)
    (lift,) = lifts_of(world, rule(**more), "v1", "production")
    said = {"version": "v1", "environment": "staging", "how": how, "more": lacking, "targets": 3}
    assert (lift.code, lift.values, lift.who) == ("succeeded_upstream", said, None)
    happens(world, lift)
    verdict = judged(world, rule(**more), "v1", "production")
    assert (verdict.passes, verdict.since) == (True, NOW)
    assert lifts_of(world, rule(**more), "v1", "production") == ()


def test_what_made_it_leave_undone_would_lift_it_each_of_it():
    world = a_world({"staging-1": 60}, hosts=1)
    for happened in (rejected, quarantined, stopped("halted")):
        happened(world)
    lifts = lifts_of(world, rule(), "v1", "production")
    assert [(one.code, one.values) for one in lifts] == [
        ("rejection_withdrawn", {"by": "eve", "version": "v1", "environment": "staging"}),
        ("quarantines_cleared", {"version": "v1", "environment": "staging"}),
        ("rollout_resumed", {"version": "v1", "environment": "staging"}),
    ]
    happens(world, *lifts[:2])
    assert judged(world, rule(), "v1", "production").values["how"] == "stopped"
    happens(world, lifts[2])
    assert judged(world, rule(), "v1", "production").passes


@pytest.mark.parametrize("state", ["aborted", "open"])
def test_a_rollout_that_nobody_can_resume_offers_nothing(state):
    world = a_world({}, hosts=1)
    stopped(state)(world)
    world.set_version_status("v1", "rejected")
    assert lifts_of(world, rule(), "v1", "production") == ()


def test_time_and_missing_environments_are_lifted_by_nothing_of_its_own():
    soaking = rule(minimumSuccessPercentage=25, minimumSoakTimeMinutes=30)
    assert lifts_of(a_world({"staging-1": 10}), soaking, "v1", "production") == ()
    nowhere = {"environmentProgression": {"dependsOnEnvironmentSelector": 'environment.name == "moon"'}}
    assert lifts_of(a_world({}), nowhere, "v1", "production") == ()

"""When has a version proved itself in an environment? met_at in whole numbers, soak, late joiners, any and all."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from interlock.decide.facts import Landed, Quarantine, Rollout
from interlock.decide.verdict import WaitsFor
from interlock.model.job import JobStatus
from interlock.simulate.world import World
from rules.examples import at, judged
from worlds import a_fleet, a_target, an_id, finish, version_id

STAGING = 'environment.name == "staging"'
QA = 'environment.name.startsWith("qa")'
NOW = at("2026-03-09 12:00")


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
    verdict = judged(a_world({"staging-1": 10}), rule(minimumSuccessPercentage=75), "v1", "production")
    assert verdict.reason == "success_missing"
    assert verdict.values == {"environment": "staging", "successes": 1, "targets": 4, "needed": 3}
    assert verdict.waits_for is WaitsFor.WAIT
    assert verdict.waits_on == (f"landed:{version_id('v1')}:{an_id('staging')}",)


def test_default_is_all_of_them():
    assert not judged(a_world({"staging-1": 1, "staging-2": 1, "staging-3": 1}), rule(), "v1", "production").passes


def test_soak_counts_from_when_it_was_met_and_later_successes_do_not_restart_it():
    """Scenario 8: opens at t2 + 30 min, whatever comes at t3."""
    soak = rule(minimumSuccessPercentage=50, minimumSoakTimeMinutes=30)
    world = a_world({"staging-1": 25, "staging-2": 20})
    verdict = judged(world, soak, "v1", "production")
    assert (verdict.reason, verdict.since, verdict.changes_at) == ("soaking", NOW - minutes(20), NOW + minutes(10))
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


def test_is_too_old_after_the_maximum_age():
    aged = rule(maximumAgeHours=2)
    world = a_world({"staging-1": 119}, hosts=1)
    assert judged(world, aged, "v1", "production").changes_at == NOW + minutes(1)
    world.now = NOW + minutes(1)
    verdict = judged(world, aged, "v1", "production")
    assert (verdict.reason, verdict.waits_for) == ("too_old", WaitsFor.DENY)


def test_a_soak_may_be_a_fraction_of_a_minute():
    soak = rule(minimumSuccessPercentage=25, minimumSoakTimeMinutes=1.5)
    assert judged(a_world({"staging-1": 1}), soak, "v1", "production").changes_at == NOW + timedelta(seconds=30)
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
    for instant, passes in ((at(opens) - timedelta(microseconds=1), False), (at(opens), True)):
        world.now = instant
        if instant >= at(succeeded):
            assert judged(world, rule(**more), "v1", "production").passes is passes
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
    assert (verdict.passes, verdict.reason) == (True, "no_targets_upstream")
    verdict = judged(world, rule(requireTargets=True), "v1", "production")
    assert (verdict.reason, verdict.waits_for) == ("targets_missing", WaitsFor.INCOMPLETE)


def test_no_environment_matches_holds_and_says_who_can_act():
    nowhere = {"environmentProgression": {"dependsOnEnvironmentSelector": 'environment.name == "moon"'}}
    verdict = judged(a_world({}), nowhere, "v1", "production")
    assert (verdict.reason, verdict.waits_for) == ("no_environment_matches", WaitsFor.INCOMPLETE)
    assert verdict.who


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


def test_of_several_holds_it_tells_the_one_that_time_ends_first():
    world = a_world_with_two_qas()
    add_successes(world, {"b": 10})
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
    assert (verdict.reason, verdict.values["how"]) == ("left_upstream", how)


@pytest.mark.parametrize("state", ["open", "paused", "complete", "superseded"])
def test_stays_open_in_any_other_state_of_the_rollout(state):
    world = a_world({"staging-1": 60}, hosts=1)
    stopped(state)(world)
    assert judged(world, rule(), "v1", "production").passes

"""How does a rollout in waves go? Dated stories: waves, failure domains, bake and samples, people who steer."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.decide.facts import Facts
from interlock.decide.index import Index
from interlock.decide.lift import Lift
from interlock.decide.rules import gradual_rollout
from interlock.decide.schedule import Schedule
from interlock.decide.slots import Slots
from interlock.decide.subjects import TargetMove
from interlock.decide.verdict import WaitsFor, holds, instant
from interlock.model.job import JobStatus
from interlock.simulate.world import World
from rules.examples import happens
from worlds import (
    MONDAY,
    REGION,
    ZONE,
    a_fleet,
    an_id,
    finish,
    hand_over_all,
    moving,
    runs,
    set_policies,
    verify,
    version_id,
)

METRIC = {
    "name": "healthz",
    "intervalSeconds": 1,
    "count": 1,
    "successCondition": "result.ok",
    "provider": {"type": "sleep", "durationSeconds": 1},
}
VERIFIED = {"verification": {"metrics": [METRIC]}}
MINUTE = timedelta(minutes=1)


def fleet(size: int, *more: dict[str, object], running: str | None = "v1", **gradual: object) -> World:
    """Targets t0, t1, … of production under one gradualRollout."""
    names = [f"t{number}" for number in range(size)]
    rules = [{"gradualRollout": gradual}, *more]
    return a_fleet({"production": names}, {"pace": (["production"], rules)}, runs=running)


def started(world: World) -> list[str]:
    return sorted(moving(world))


def finish_all(world: World, status: JobStatus = JobStatus.SUCCESSFUL) -> list[str]:
    """End whatever runs; gives who that was."""
    names = started(world)
    for name in names:
        finish(world, name, status)
    return names


def go(world: World, *, rounds_max: int = 200) -> list[list[str]]:
    """Let everything succeed at once, to the end: who started together, wave by wave."""
    waves: list[list[str]] = []
    for _ in range(rounds_max):
        world.round()
        names = finish_all(world)
        if names:
            waves.append(names)
        elif world.wake_at is not None and world.wake_at > world.now:
            world.now = world.wake_at
        elif not world.round().moving:
            return waves
    raise AssertionError("It goes on and on.")


def said(world: World, name: str) -> dict[str, object]:
    """What holds a target: the first verdict of its row, as the last round wrote it."""
    target_id = world.target(name).id
    world.facts = _without_rows(world)
    rows = {row.target_id: row for row in world.round().target_decisions}
    return dict(rows[target_id].verdicts[0])


def _without_rows(world: World) -> Facts:
    return replace(world.facts, decided_by_target={})


def waiting(world: World, reason: str) -> list[str]:
    """The targets that a reason holds."""
    world.facts = _without_rows(world)
    rows = world.round().target_decisions
    names = {target.id: target.name for target in world.facts.targets.values()}
    return sorted(names[row.target_id] for row in rows if row.verdicts and row.verdicts[0]["reason"] == reason)


def rollout_id(world: World, tag: str = "v2") -> str:
    found = world.rollout(tag, "production")
    assert found is not None
    return found.id


# Waves ----------------------------------------------------------------------------------------------------------------


def test_a_wave_starts_together_and_the_next_when_all_of_it_ended():
    world = fleet(10, rolloutType="exponential")
    world.create_version("v2")
    assert [len(wave) for wave in go(world)] == [1, 2, 3, 3, 1]
    assert set(runs(world).values()) == {"v2"}
    found = world.rollout("v2", "production")
    assert found is not None
    assert found.state == "complete"


def test_the_next_wave_waits_for_the_last_of_the_one_before():
    world = fleet(6, rolloutType="waves", waves=[1, "50%", "100%"])
    world.create_version("v2")
    world.round()
    (first,) = finish_all(world)
    world.round()
    one, other = started(world)
    finish(world, one)
    world.round()
    assert started(world) == [other]
    assert len(waiting(world, "rollout_wave_later")) == 3
    finish(world, other)
    world.round()
    assert len(started(world)) == 3
    assert first not in started(world)


def test_within_a_wave_no_more_are_in_flight_than_allowed():
    world = fleet(9, rolloutType="waves", waves=[1, "100%"], maxInFlight=3)
    world.create_version("v2")
    assert [len(wave) for wave in go(world)] == [1, 3, 3, 2]


def test_a_wave_waits_until_what_went_before_has_baked():
    """Monday 09:00 in Berlin, 04:00 in New York: an hour after the one box, then ten minutes each."""
    world = fleet(6, rolloutType="waves", waves=[1, "50%", "100%"], bakeSeconds=[3600, 600])
    world.create_version("v2")
    world.round()
    world.advance(5 * MINUTE)
    finish_all(world)
    plan = world.round()
    ended_at = world.now
    assert plan.wake_at == ended_at + 60 * MINUTE
    assert started(world) == []
    second, _ = waiting(world, "rollout_baking")
    assert said(world, second)["changesAt"] == instant(ended_at + 60 * MINUTE)
    assert len(waiting(world, "rollout_wave_later")) == 3

    world.now = ended_at + 60 * MINUTE - timedelta(microseconds=1)
    assert not world.round().moving
    world.now = ended_at + 60 * MINUTE
    world.round()
    assert len(started(world)) == 2
    finish_all(world)
    world.round()
    assert world.wake_at == world.now + 10 * MINUTE


def test_a_wave_that_failed_within_the_limit_is_over_and_bakes_too():
    world = fleet(4, rolloutType="waves", waves=[1, "100%"], maxFailures=1, bakeSeconds=60)
    world.create_version("v2")
    world.round()
    finish_all(world, JobStatus.FAILURE)
    world.round()
    assert started(world) == []
    world.advance(MINUTE)
    world.round()
    assert len(started(world)) == 3


def test_one_failure_too_many_halts_every_wave():
    world = fleet(4, rolloutType="exponential")
    world.create_version("v2")
    world.round()
    finish_all(world, JobStatus.FAILURE)
    world.round()
    world.advance(timedelta(days=7))
    world.round()
    assert started(world) == []
    assert len(waiting(world, "rollout_halted")) == 3


def test_a_wave_is_over_once_it_is_proven():
    world = fleet(3, VERIFIED, rolloutType="waves", waves=[1, "100%"])
    world.create_version("v2")
    world.round()
    (first,) = finish_all(world)
    world.round()
    assert started(world) == [first]
    verify(world, first)
    world.round()
    assert len(started(world)) == 2


def test_with_overlap_a_wave_is_over_once_its_jobs_are():
    world = fleet(3, VERIFIED, rolloutType="waves", waves=[1, "100%"], whileVerifying="overlap")
    world.create_version("v2")
    world.round()
    (first,) = finish_all(world)
    world.round()
    assert len(started(world)) == 3
    verify(world, first)
    world.round()
    assert len(started(world)) == 2


def test_a_wave_waits_for_its_samples():
    world = fleet(3, VERIFIED, rolloutType="waves", waves=[1, "100%"], minimumSamples=5)
    world.create_version("v2")
    world.round()
    (first,) = finish_all(world)
    world.round()
    ((_, running),) = world.running_verifications()
    world.measured(running.id, "passed", samples=4)
    world.round()
    assert len(waiting(world, "rollout_samples")) == 2
    second = next(name for name in runs(world) if name != first)
    held = said(world, second)
    assert held["values"] == {"wave": 2, "samples": 4, "minimum": 5}
    assert held["who"] == "an operator may promote the rollout"
    world.promote(rollout_id(world))
    world.round()
    assert len(started(world)) == 2


def test_enough_samples_let_the_next_wave_go():
    world = fleet(3, VERIFIED, rolloutType="waves", waves=[1, "100%"], minimumSamples=5)
    world.create_version("v2")
    world.round()
    finish_all(world)
    world.round()
    ((_, running),) = world.running_verifications()
    world.measured(running.id, "passed", samples=5)
    world.round()
    assert len(started(world)) == 2


def test_a_wave_waits_for_a_target_that_a_gate_holds():
    world = fleet(4, rolloutType="waves", waves=[1, "100%"])
    first = who_is_first(world)
    freeze_id = world.freeze(targets=[first])
    world.create_version("v2")
    world.round()
    world.advance(timedelta(hours=1))
    world.round()
    assert started(world) == []
    assert len(waiting(world, "rollout_wave_later")) == 3
    world.thaw(freeze_id)
    world.round()
    assert started(world) == [first]


def who_is_first(world: World, tag: str = "v2") -> str:
    """The one box of a version that is not there yet."""
    version = version_id(tag)
    return min(
        (target for target in world.facts.targets.values()),
        key=lambda one: hashlib.sha256(f"{version}{one.id}".encode()).digest(),
    ).name


def test_a_wave_does_not_wait_for_a_target_that_goes_elsewhere():
    world = fleet(4, rolloutType="waves", waves=[1, "100%"])
    world.pin("v1", target=who_is_first(world))
    world.create_version("v2")
    world.round()
    assert len(started(world)) == 3


def test_a_wave_waits_for_a_target_that_something_older_occupies():
    world = fleet(3, rolloutType="waves", waves=[1, "100%"])
    set_policies(world, {})
    last = who_is_first(world, "v3")
    world.create_version("v2")
    world.round()
    hand_over_all(world)
    for name in set(started(world)) - {last}:
        finish(world, name)
    set_policies(world, {"pace": (["production"], [{"gradualRollout": WAVES_OF_ONE}])})
    world.create_version("v3")
    world.round()
    assert moving(world) == {last: "forward v2 running"}
    finish(world, last)
    world.round()
    assert moving(world) == {last: "forward v3 admitted"}


WAVES_OF_ONE = {"rolloutType": "waves", "waves": [1, "100%"]}


def test_a_target_that_joins_later_goes_behind():
    world = fleet(3, rolloutType="waves", waves=[1, "100%"])
    policy_set = world.target("t0").policy_set
    world.create_version("v2")
    world.round()
    world.attach("late", "production", policy_set=policy_set)
    world.round()
    assert moving(world)["late"] == "forward v1 admitted", "it runs nothing yet"
    finish_all(world)
    world.round()
    assert len(started(world)) == 2
    assert "late" not in started(world)
    assert waiting(world, "rollout_wave_later") == ["late"]
    finish_all(world)
    world.round()
    assert moving(world) == {"late": "forward v2 admitted"}


def test_a_target_that_left_keeps_its_number_and_nobody_waits_for_it():
    world = fleet(6, rolloutType="waves", waves=[1, "50%", "100%"])
    world.create_version("v2")
    world.round()
    finish_all(world)
    world.round()
    one, other = started(world)
    hand_over_all(world)
    world.detach(one)
    finish(world, other)
    world.round()
    assert started(world) == [one], "who left is still on its way"
    finish(world, one)
    world.round()
    assert len(started(world)) == 3


def test_a_first_deployment_waits_for_no_wave():
    world = fleet(4, rolloutType="waves", waves=[1, "100%"], bakeSeconds=3600)
    policy_set = world.target("t0").policy_set
    world.create_version("v2")
    world.round()
    world.attach("new", "production", policy_set=policy_set)
    world.round()
    assert moving(world)["new"] == "forward v1 admitted"


def test_a_first_deployment_does_not_wait_behind_a_halted_rollout():
    world = fleet(3, rolloutType="exponential")
    policy_set = world.target("t0").policy_set
    world.create_version("v2")
    world.round()
    finish_all(world, JobStatus.FAILURE)
    world.round()
    world.attach("new", "production", policy_set=policy_set)
    world.round()
    assert moving(world) == {"new": "forward v1 admitted"}


def test_a_closed_window_keeps_the_bake():
    """The window of 09:00 to 09:45 in Berlin closes while the one box bakes: the rest goes the next morning."""
    window = {"rrule": "FREQ=DAILY;BYHOUR=9", "durationMinutes": 45, "timezone": "Europe/Berlin"}
    world = fleet(3, {"deploymentWindow": window}, rolloutType="waves", waves=[1, "100%"], bakeSeconds=3600)
    world.create_version("v2")
    world.round()
    finish_all(world)
    world.round()
    world.advance(timedelta(hours=1))
    world.round()
    assert started(world) == []
    world.now = MONDAY + timedelta(days=1)
    world.round()
    assert len(started(world)) == 2


def test_a_config_rollout_of_500_targets_goes_one_a_minute():
    world = fleet(500, rolloutType="linear", timeScaleInterval=60)
    for target in list(world.facts.targets.values()):
        world.edit_target(target.name, config_digest="config-2")
    opened_at = world.now
    starts: list[int] = []
    for minute in range(20):
        world.now = opened_at + minute * (MINUTE + timedelta(milliseconds=1))
        starts.append(len(world.round().moves))
        finish_all(world)
        world.round()
    (found,) = [rollout for rollout in world.facts.rollouts if rollout.kind == "config"]
    assert starts == [1] * 20
    assert found.targets_at_open == 500


def test_a_config_rollout_goes_in_waves_too():
    world = fleet(10, rolloutType="exponential")
    for target in list(world.facts.targets.values()):
        world.edit_target(target.name, config_digest="config-2")
    assert [len(wave) for wave in go(world)] == [1, 2, 3, 3, 1]


# Failure domains ------------------------------------------------------------------------------------------------------


def two_regions(**gradual: object) -> World:
    """Twenty targets: in each of two regions a zone of three and one of seven."""
    names = [
        f"{region}-{zone}{n}" for region in ("eu", "us") for zone, size in (("a", 7), ("b", 3)) for n in range(size)
    ]
    rules = [{"gradualRollout": {"failureDomains": [REGION, ZONE], **gradual}}]
    world = a_fleet({"production": names}, {"pace": (["production"], rules)}, runs="v1")
    for name in names:
        world.label(name, **{REGION: name[:2], ZONE: name[:4]})
    return world


def test_two_regions_of_twenty_targets_go_one_box_one_zone_then_both():
    """E4's numbers: an hour after the one box, twelve after the first regional wave, two after each later one."""
    world = two_regions(rolloutType="exponential", bakeSeconds=[3600, 12 * 3600, 2 * 3600])
    world.create_version("v2")
    began_at = world.now
    waves = go(world)
    assert [len(wave) for wave in waves] == [1, 2, 4, 6, 6, 1]
    assert [sorted({name[:4] for name in wave}) for wave in waves] == [
        ["eu-b"],
        ["eu-b"],
        ["eu-a"],
        ["eu-a", "us-b"],
        ["us-a"],
        ["us-a"],
    ]
    assert timedelta(hours=19) <= world.now - began_at < timedelta(hours=19, minutes=1)


def test_a_target_without_a_zone_waits_alone_and_says_what_it_lacks():
    world = two_regions(rolloutType="exponential")
    world.label("us-a6", **{REGION: "us"})
    world.create_version("v2")
    waves = go(world)
    assert sum(map(len, waves)) == 19
    held = said(world, "us-a6")
    assert (held["reason"], held["values"]) == ("rollout_domain_unknown", {"key": "topology.zone"})
    world.label("us-a6", **{REGION: "us", ZONE: "us-a"})
    assert go(world) == [["us-a6"]]


# People ---------------------------------------------------------------------------------------------------------------


def test_promoted_everything_goes_at_once():
    world = two_regions(rolloutType="exponential", bakeSeconds=3600, maxInFlight=1)
    world.create_version("v2")
    world.round()
    world.promote(rollout_id(world))
    world.round()
    assert len(started(world)) == 20


def test_promoted_gates_are_still_asked():
    world = fleet(3, rolloutType="exponential", bakeSeconds=3600)
    world.create_version("v2")
    world.round()
    world.freeze()
    world.promote(rollout_id(world))
    world.round()
    assert started(world) == []


def test_promoting_a_halted_rollout_forgives_what_failed_and_the_next_failure_halts_it_again():
    world = fleet(6, rolloutType="linear", timeScaleInterval=600)
    world.create_version("v2")
    world.round()
    finish_all(world, JobStatus.FAILURE)
    world.round()
    world.promote(rollout_id(world))
    world.round()
    assert len(started(world)) == 5
    finish(world, started(world)[0], JobStatus.FAILURE)
    world.round()
    found = world.rollout("v2", "production")
    assert found is not None
    assert found.state == "halted"


@pytest.mark.parametrize(
    ("gradual", "faster", "after_s"),
    [
        ({"rolloutType": "linear", "timeScaleInterval": 600}, {"interval_s": 60}, 60),
        ({"rolloutType": "linear", "timeScaleInterval": 600}, {"interval_s": 900}, 600),
        ({"rolloutType": "exponential", "bakeSeconds": 600}, {"bake_s": 0}, 0),
        ({"rolloutType": "exponential", "bakeSeconds": 600}, {"bake_s": 900}, 600),
    ],
)
def test_sped_up_the_next_ones_go_sooner_and_never_later(gradual, faster, after_s):
    world = fleet(4, **gradual)
    world.create_version("v2")
    world.round()
    begun_at = world.now
    finish_all(world)
    world.round()
    world.speed_up(rollout_id(world), **faster)
    plan = world.round()
    while not plan.moves:
        assert world.wake_at is not None
        world.now = world.wake_at
        plan = world.round()
    assert timedelta(seconds=after_s) <= world.now - begun_at < timedelta(seconds=after_s + 1)


def test_sped_up_more_go_side_by_side():
    world = fleet(6, rolloutType="linear", timeScaleInterval=0, maxInFlight=1)
    world.create_version("v2")
    world.round()
    assert len(started(world)) == 1
    world.speed_up(rollout_id(world), max_in_flight=4)
    world.speed_up(rollout_id(world), interval_s=0)
    world.round()
    assert len(started(world)) == 4


def test_who_left_before_the_opening_takes_no_place():
    """It landed the version before and left, so its history is still known; the others are due as if it never was."""
    world = fleet(3, rolloutType="linear", timeScaleInterval=60)
    world.create_version("v2")
    while not all(tag == "v2" for tag in runs(world).values()):
        world.round()
        finish_all(world)
        world.advance(MINUTE)
    world.detach("t1")
    world.round()
    world.create_version("v3")
    opened_at = world.now
    plan = world.round()
    assert len(plan.moves) == 1
    finish_all(world)
    world.round()
    assert world.wake_at is not None
    assert world.wake_at - opened_at < timedelta(seconds=61)
    assert an_id("production") in world.facts.environments


# For people ----------------------------------------------------------------------------------------------------------


def laid_out(world: World) -> list[list[str]]:
    index = Index(world.snapshot())
    (found,) = [one for one in index.facts.rollouts if one.id == rollout_id(world)]
    waves = Schedule(index, Slots(index), world.now).laid_out(found)
    return [[world.target(target_id).name for target_id in wave] for wave in waves]


def test_a_rollout_is_laid_out_as_it_will_go():
    world = two_regions(rolloutType="exponential")
    world.create_version("v2")
    world.round()
    shown = laid_out(world)
    assert [sorted(wave) for wave in shown] == go(world)


def test_who_has_no_place_is_laid_out_behind():
    world = two_regions(rolloutType="exponential")
    world.label("us-a6", **{REGION: "us"})
    world.create_version("v2")
    world.round()
    assert laid_out(world)[-1] == ["us-a6"]


def test_what_goes_one_by_one_is_laid_out_in_its_order():
    world = fleet(4, rolloutType="linear", timeScaleInterval=60)
    world.create_version("v2")
    world.round()
    (shown,) = laid_out(world)
    assert [[name] for name in shown] == go(world)


def test_a_wave_does_not_wait_for_a_target_that_goes_back():
    """The one box failed and is on its way back to v1: it ended, and the rest goes within `maxFailures`."""
    rollback = {"rollback": {"onJobStatuses": ["failure"]}}
    world = fleet(3, rollback, rolloutType="waves", waves=[1, "100%"], maxFailures=1)
    world.create_version("v2")
    world.round()
    (first,) = finish_all(world, JobStatus.FAILURE)
    world.round()
    assert moving(world)[first] == "rollback v1 admitted"
    assert len(started(world)) == 3


def test_a_wave_does_not_wait_for_a_target_that_goes_where_it_is_pinned():
    """The one box is on its way back to v0, where a person wants it: it will not want v2 after that."""
    world = fleet(3, rolloutType="waves", waves=[1, "100%"])
    (first, *_) = rollout_order(world)
    world.create_version("v0", created_at=MONDAY - timedelta(days=9))
    world.pin("v0", target=first)
    world.round()
    hand_over_all(world)
    assert moving(world) == {first: "pin v0 running"}
    world.create_version("v2")
    world.round()
    assert len(started(world)) == 3


def rollout_order(world: World) -> list[str]:
    """Who begins, wave by wave, were v2 made now."""
    twin = World(world.facts, world.now)
    twin.create_version("v2")
    return [name for wave in go(twin) for name in wave]


def test_one_by_one_the_next_waits_until_the_one_before_is_proven():
    world = fleet(2, VERIFIED, rolloutType="linear", timeScaleInterval=0)
    world.create_version("v2")
    world.round()
    (first,) = finish_all(world)
    world.round()
    assert len(waiting(world, "rollout_verifying")) == 1
    verify(world, first)
    world.round()
    assert len(started(world)) == 1


# Whatever the fleet ---------------------------------------------------------------------------------------------------


FLEET = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2)), min_size=1, max_size=12)
PACE = st.sampled_from(
    [
        {"rolloutType": "exponential"},
        {"rolloutType": "exponential", "failureDomains": [REGION, ZONE], "bakeSeconds": [600, 60]},
        {"rolloutType": "waves", "waves": [1, "50%", "100%"], "failureDomains": [ZONE], "maxInFlight": 2},
        {"rolloutType": "linear", "timeScaleInterval": 60},
    ]
)


def a_fleet_anywhere(places: list[tuple[int, int]], gradual: dict[str, object]) -> World:
    world = fleet(len(places), **gradual)
    for number, (region, zone) in enumerate(places):
        world.label(f"t{number}", **{REGION: f"r{region}", ZONE: f"r{region}z{zone}"})
    return world


@settings(max_examples=30, deadline=None)
@given(FLEET, PACE)
def test_every_target_starts_exactly_once_and_the_rollout_ends(where, gradual):
    world = a_fleet_anywhere(where, gradual)
    world.create_version("v2")
    began = [name for wave in go(world) for name in wave]
    assert sorted(began) == sorted(f"t{number}" for number in range(len(where)))
    found = world.rollout("v2", "production")
    assert found is not None
    assert found.state == "complete"


@settings(max_examples=20, deadline=None)
@given(FLEET, PACE, st.integers(0, 4))
def test_a_halt_stops_everything_for_good(where, gradual, good):
    world = a_fleet_anywhere(where, gradual)
    world.create_version("v2")
    for _ in range(good):
        world.round()
        finish_all(world)
        world.advance(timedelta(seconds=600))
    world.round()
    if not started(world):
        return
    finish_all(world, JobStatus.FAILURE)
    world.round()
    for _ in range(5):
        world.advance(timedelta(days=1))
        world.round()
        assert started(world) == []


# What would lift it ---------------------------------------------------------------------------------------------------


def offered(world: World, reason: str, *, rollout: str, target: str = "t1") -> tuple[Lift, ...]:
    """What the rule offers against a hold of a target, which waits on a rollout."""
    subject = TargetMove(Index(world.snapshot()), world.target(target), world.version("v2"), "forward")
    verdict = holds(WaitsFor.WAIT, reason, waits_on=(f"rollout:{rollout}",))
    return gradual_rollout.lifts(subject, None, verdict)


OFFERED = [
    ("rollout_paused", "rollout_resumed"),
    ("rollout_halted", "rollout_resumed"),
    ("rollout_taken_back", "rollout_resumed"),
    ("rollout_wave_later", "rollout_promoted"),
    ("rollout_baking", "rollout_promoted"),
    ("rollout_samples", "rollout_promoted"),
    ("rollout_domain_unknown", "rollout_promoted"),
]


@pytest.mark.parametrize(("reason", "code"), OFFERED)
def test_a_stopped_rollout_resumed_and_one_in_waves_promoted_would_lift_it(reason, code):
    world = fleet(3, rolloutType="exponential")
    world.create_version("v2")
    world.settle()
    (lift,) = offered(world, reason, rollout=rollout_id(world))
    assert (lift.code, lift.values) == (code, {"version": "v2", "environment": "production"})
    assert offered(world, reason, rollout="another") == ()
    world.set_rollout(rollout_id(world), "paused")
    happens(world, lift)
    after = world.rollout("v2", "production")
    assert (after.state == "open", after.speed.promoted_at == world.now) == (
        code == "rollout_resumed",
        code == "rollout_promoted",
    )


@pytest.mark.parametrize("reason", ["rollout_in_flight", "rollout_verifying"])
def test_the_moves_that_have_its_place_would_have_to_end(reason):
    world = fleet(3, rolloutType="linear", timeScaleInterval=0, maxInFlight=2, whileVerifying="overlap")
    world.create_version("v2")
    world.settle()
    one, other = started(world)
    (waiting_one,) = {"t0", "t1", "t2"} - {one, other}
    lifts = offered(world, reason, rollout=rollout_id(world), target=waiting_one)
    assert sorted((lift.code, *lift.values.values()) for lift in lifts) == sorted(
        ("move_landed", name, "production", "v2") for name in (one, other)
    )
    (rest,) = offered(world, reason, rollout=rollout_id(world), target=one)
    assert rest.values["target"] == other, "a target's own move is not in its way"
    happens(world, lifts[0])
    world.settle()
    assert waiting_one in moving(world)


def test_a_target_that_is_due_later_is_offered_nothing_of_its_own():
    world = fleet(3, rolloutType="linear", timeScaleInterval=60)
    world.create_version("v2")
    world.settle()
    assert offered(world, "rollout_due_later", rollout=rollout_id(world)) == ()

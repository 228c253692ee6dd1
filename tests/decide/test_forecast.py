"""What does a forecast say of people, of what has no instant, and of durations it was never shown?"""

from __future__ import annotations

from datetime import timedelta

import pytest

from interlock.decide.forecast import Durations, Expected, Sample, forecast, ranked, usual_durations
from interlock.decide.forecast_lanes import ForecastLane, ForecastWaves
from interlock.decide.wave_places import Places
from interlock.model.job import JobStatus
from interlock.simulate.world import World, policy
from worlds import METRIC, MONDAY, a_fleet, deploy, finish, hand_over_all, set_policies

HOSTS = ["prod-1", "prod-2", "prod-3"]
LINEAR = {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 60}}
MINUTE = Durations(timedelta(minutes=1))


def expected(world: World, tag: str = "v1", durations: Durations = MINUTE) -> dict[str, Expected]:
    known = dict.fromkeys(world.facts.environments, durations)
    found = forecast(world.snapshot(), world.now, world.version(tag), known)
    return {world.target(one.target_id).name: one for one in found}


def minutes(world: World, found: dict[str, Expected]) -> list[float | None]:
    starts = [one.starts_at for one in found.values()]
    return [None if at is None else round((at - world.now).total_seconds() / 60, 1) for at in starts]


def production(*rules: dict[str, object], **more: object) -> World:
    world = a_fleet({"production": HOSTS}, {"rules": (["production"], rules)}, runs="v0", **more)
    world.create_version("v1")
    return world


def test_one_a_minute_each_with_its_cause():
    world = production(LINEAR)
    found = expected(world)
    assert minutes(world, found) == [0, 1, 2]
    assert [one.cause and one.cause.verdict.reason for one in found.values()] == [
        None,
        "rollout_due_later",
        "rollout_due_later",
    ]


def test_longer_jobs_delay_those_that_wait_for_a_proof():
    world = production(LINEAR, {"verification": {"metrics": [METRIC]}})
    found = expected(world, durations=Durations(timedelta(minutes=2), timedelta(minutes=3)))
    assert minutes(world, found) == [0, 5, 10]
    assert [one.cause.verdict.reason for one in found.values() if one.cause] == ["rollout_verifying"] * 2


def test_an_approval_is_taken_as_given_and_said():
    world = production({"anyApproval": {"minApprovals": 1}})
    found = expected(world)
    assert minutes(world, found) == [0, 0, 0]
    assert {one.assumes[0].verdict.reason for one in found.values()} == {"approval_missing"}
    world.say("eve", "rejected", "v1", "production")
    found = expected(world)
    assert {(one.state, one.cause.verdict.reason) for one in found.values()} == {("unknown", "rejected")}


def test_a_freeze_without_an_end_is_not_known_and_one_with_an_end_is_waited_for():
    world = production()
    freeze_id = world.freeze(targets=["prod-1"])
    found = expected(world)
    assert {name: one.state for name, one in found.items()} == {
        "prod-1": "unknown",
        "prod-2": "starts",
        "prod-3": "starts",
    }
    world.thaw(freeze_id)
    world.freeze(expires_at=world.now + timedelta(minutes=7))
    found = expected(world)
    assert minutes(world, found) == pytest.approx([7, 7, 7], abs=0.1)
    assert found["prod-1"].cause.kind == "freeze"


def test_pause_is_taken_as_ended_and_a_halt_is_not():
    world = production(LINEAR)
    world.settle()
    hand_over_all(world)
    rollout = world.rollout("v1", "production")
    world.set_rollout(rollout.id, "paused")
    found = expected(world)
    assert sorted(one.state for one in found.values()) == ["moving", "starts", "starts"]
    assert next(one for one in found.values() if one.state == "starts").assumes[0].verdict.reason == "rollout_paused"
    world.set_rollout(rollout.id, "open")
    first = next(name for name in HOSTS if world.open_move(name))
    finish(world, first, JobStatus.FAILURE)
    world.settle()
    found = expected(world)
    assert {name: one.state for name, one in found.items()} == {
        name: "not_going" if name == first else "unknown" for name in HOSTS
    }
    assert {one.cause.verdict.reason for one in found.values()} == {"rollout_halted", "not_going"}


def test_who_is_there_or_pinned_elsewhere_is_said():
    world = production()
    deploy(world, "v1")
    world.create_version("v2")
    world.pin("v0", target="prod-1")
    assert {one.state for one in expected(world, "v1").values()} == {"there"}
    assert {name: one.state for name, one in expected(world, "v2").items()}["prod-1"] == "not_going"


def test_a_busy_target_starts_when_it_is_free():
    world = production()
    world.settle()
    hand_over_all(world)
    world.create_version("v2")
    world.advance(timedelta(seconds=20))
    found = expected(world, "v2")
    assert minutes(world, found) == pytest.approx([0.7, 0.7, 0.7], abs=0.1)
    assert {one.cause.verdict.reason for one in found.values()} == {"occupied"}


def test_a_window_beyond_the_horizon_is_not_known():
    rule = {"rrule": "FREQ=YEARLY;BYMONTH=1;BYMONTHDAY=1;INTERVAL=5", "durationMinutes": 60, "timezone": "UTC"}
    world = production({"deploymentWindow": rule})
    assert {one.state for one in expected(world).values()} == {"unknown"}


def test_a_skip_for_one_resource_lets_it_go_alone():
    world = production({"anyApproval": {"minApprovals": 1}})
    world.say("eve", "rejected", "v1", "production")
    rule_id = next(iter(world.facts.policies.values())).rules[0].id
    world.skip(rule_id, "v1", resource_id=world.target("prod-2").resource_id)
    assert {name: one.state for name, one in expected(world).items()} == {
        "prod-1": "unknown",
        "prod-2": "starts",
        "prod-3": "unknown",
    }


def test_a_circle_of_environments_ends():
    world = a_fleet({"one": ["a"], "two": ["b"]}, runs="v0")
    after = {name: {"dependsOnEnvironmentSelector": f'environment.name == "{name}"'} for name in ("one", "two")}
    set_policies(
        world,
        {
            "p": (["one"], [{"environmentProgression": after["two"]}]),
            "q": (["two"], [{"environmentProgression": after["one"]}]),
        },
    )
    world.create_version("v1")
    assert {one.state for one in expected(world).values()} == {"unknown"}


def test_durations_are_nearest_ranks_and_say_what_they_rest_on():
    assert [ranked([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], share) for share in (50, 90)] == [5, 9]
    world = a_fleet(
        {"production": HOSTS, "staging": ["s"]}, {"p": (["production"], [{"verification": {"metrics": [METRIC]}}])}
    )
    production_id, staging_id = (world.environment(name).id for name in ("production", "staging"))
    nothing = usual_durations(world.facts, {})
    assert nothing[production_id].assumed and nothing[production_id].few
    assert nothing[production_id].p50.job == timedelta(minutes=1)
    samples = tuple(Sample(float(n), 3.0) for n in range(1, 11))
    known = usual_durations(world.facts, {production_id: samples})
    assert (known[production_id].p50.job, known[production_id].p90.job) == (timedelta(seconds=5), timedelta(seconds=9))
    assert not known[production_id].few
    assert known[staging_id].few and not known[staging_id].assumed, "it borrows those of the deployment"
    assert known[staging_id].p50.job == timedelta(seconds=5)


def test_a_pinned_target_has_no_place_to_wait_for():
    world = production(LINEAR)
    last = list(expected(world))[-1]
    world.pin("v1", target=last)
    found = expected(world)
    assert (found[last].state, found[last].starts_at) == ("starts", world.now)


def test_of_a_group_with_one_slot_the_next_starts_when_the_one_before_ended():
    world = production({"concurrency": {"maxInFlight": 1}})
    found = expected(world)
    assert minutes(world, found) == [0, 1, 2]
    assert [one.cause.kind for one in found.values() if one.cause] == ["concurrency"] * 2


@pytest.mark.parametrize("other", ["production", "staging"])
def test_a_slot_that_another_environment_holds_is_waited_for(other):
    world = a_fleet({"staging": ["staging-1"], "production": ["production-1"]}, runs="v0")
    world.order("redeploy", f"{other}-1")
    world.pin("v0", target=f"{other}-1")
    world.round()
    hand_over_all(world)
    set_policies(world, {"one": (["staging", "production"], [{"concurrency": {"maxInFlight": 1}}])})
    world.create_version("v1")
    mine = next(one for name, one in expected(world).items() if name != f"{other}-1")
    assert mine.starts_at is not None
    assert 0.9 < (mine.starts_at - world.now).total_seconds() / 60 <= 1


def test_a_target_that_is_deployed_once_more_counts_from_its_first_success():
    soak = {"dependsOnEnvironmentSelector": 'environment.name == "staging"', "minimumSoakTimeSeconds": 600}
    world = a_fleet({"staging": ["s1"], "production": ["p1"]}, runs="v0")
    thawed_at = world.now + timedelta(minutes=35)
    world.freeze(environments=["production"], expires_at=thawed_at)
    deploy(world, "v1")
    world.advance(timedelta(minutes=30))
    set_policies(world, {"p": (["production"], [{"environmentProgression": soak}])})
    world.order("redeploy", "s1")
    world.settle()
    found = expected(world)
    assert found["s1"].state == "moving"
    assert found["p1"].starts_at == thawed_at, "10 minutes after the second success it would be later"


def test_waves_that_overlap_wait_for_no_verification():
    waves = {"rolloutType": "waves", "waves": [1, "100%"], "whileVerifying": "overlap"}
    world = production({"gradualRollout": waves}, {"verification": {"metrics": [METRIC]}})
    world.round()
    (first,) = [name for name in HOSTS if world.open_move(name)]
    finish(world, first)
    world.round(moves_max=0)
    assert world.open_move(first).state == "verifying"
    found = expected(world, durations=Durations(timedelta(minutes=1), timedelta(minutes=5)))
    assert found[first].state == "moving"
    assert minutes(world, {name: one for name, one in found.items() if name != first}) == [0, 0]


def a_lane(**params):
    (rule,) = policy("pace", [{"gradualRollout": params}]).rules
    return ForecastLane(rule.id, "pace", "pace", rule.params)


def test_nobody_overtakes_one_who_waits_for_a_place_before():
    """The first began late, so the second's turn is later than the instant at which the third's would have been."""
    lane = a_lane(rolloutType="linear", timeScaleInterval=60)
    for name in ("a", "b", "c"):
        lane.join(name)
    lane.start("a", MONDAY + timedelta(seconds=100), proven=True)
    at = {"opened_at": MONDAY, "targets_at_open": 3}
    now = MONDAY + timedelta(seconds=130)
    second, third = lane.wait("b", now, **at), lane.wait("c", now, **at)
    assert second.until == MONDAY + timedelta(seconds=160)
    assert (third.judged.verdict.reason, third.until) == ("rollout_after_previous", None)


def test_a_wave_in_which_nothing_had_to_move_need_not_bake():
    lane = a_lane(rolloutType="waves", waves=[1, "100%"], bakeSeconds=600)
    places = Places(waves=(("a",), ("b",)), wave_by_target={"a": 0, "b": 1}, unplaced={})
    moved = ForecastWaves(lane.params, places, [{"a"}, {"b"}], [None, None])
    still = ForecastWaves(lane.params, places, [{"a"}, {"b"}], [None, None])
    moved.leave("a", MONDAY)
    still.leave("a", None)
    assert moved.wait(lane, "b", MONDAY).until == MONDAY + timedelta(minutes=10)
    assert still.wait(lane, "b", MONDAY) is None

"""How does a changed config go out? As one rollout of the same version, through the same paces; never as a burst.

Source: core.md section 4 (the table, "A rollout opens"); scenario 25.
"""

from __future__ import annotations

from datetime import timedelta

from decide.test_scenarios import production
from interlock.decide.index import Index
from interlock.model.job import JobStatus
from interlock.simulate.world import World
from worlds import a_fleet, finish, hand_over_all, moving, runs

MINUTE = timedelta(seconds=60)
LINEAR = {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 60}}
MANY = [f"prod-{number:03}" for number in range(500)]


def change_all(world: World, digest: str = "config-2", *, each_its_own: bool = False) -> None:
    """A variable changed: every target has another resolved config."""
    for number, target in enumerate(tuple(world.facts.targets.values())):
        world.edit_target(target.name, config_digest=f"{digest}-{number}" if each_its_own else digest)


def configs(world: World) -> dict[str, int]:
    """Config digest -> how many targets run with it."""
    found: dict[str, int] = {}
    for target in world.facts.targets.values():
        digest = target.current.config_digest if target.current else ""
        found[digest] = found.get(digest, 0) + 1
    return found


def go(world: World) -> None:
    """Decide until nothing changes, and hand over what may start."""
    world.settle()
    hand_over_all(world)
    world.settle()


def land_all(world: World) -> None:
    """What moves is handed over and succeeds."""
    hand_over_all(world)
    for name in moving(world):
        finish(world, name)
    world.settle()


def test_a_variable_that_changes_for_500_targets_is_one_rollout_of_one_target_a_minute():
    world = production(LINEAR, hosts=MANY, runs="v1")
    change_all(world, each_its_own=True)
    plan = world.round()
    assert [(one.kind, one.version_id, one.targets_at_open) for one in plan.rollouts] == [("config", None, 500)]
    assert len(plan.moves) == len(plan.jobs) == 1
    assert {move.kind for move in plan.moves} == {"config"}
    opened_at = world.now
    for minute in range(1, 6):
        land_all(world)
        assert world.wake_at is not None
        assert timedelta() <= world.wake_at - (opened_at + minute * MINUTE) < timedelta(seconds=1)
        world.now = world.wake_at - timedelta(seconds=1)
        assert not world.round().moves
        world.now += timedelta(seconds=1)
        plan = world.round()
        assert len(plan.moves) == 1 and not plan.rollouts
    land_all(world)
    assert configs(world)["config-1"] == 494
    world.now = opened_at + 1000 * MINUTE
    world.settle()
    assert len(moving(world)) == 1, "those that are overdue keep their distance"


def test_a_variable_of_three_among_many_does_not_wait_for_the_places_of_the_others():
    world = production(LINEAR, hosts=MANY[:50], runs="v1")
    for name in ("prod-007", "prod-023", "prod-049"):
        world.edit_target(name, config_digest="config-2")
    plan = world.round()
    assert [one.targets_at_open for one in plan.rollouts] == [3]
    (waiting, behind) = [row for row in plan.target_decisions if row.outcome == "hold"]
    assert {str(row.verdicts[0]["values"]["targets"]) for row in (waiting, behind)} == {"3"}
    for _ in range(3):
        assert len(moving(world)) == 1
        land_all(world)
        world.now += MINUTE
        world.settle()
    assert configs(world) == {"config-1": 47, "config-2": 3}
    assert world.facts.rollouts == ()


def test_what_waits_for_its_place_takes_the_new_config_with_the_version():
    world = production(LINEAR, runs="v1")
    world.create_version("v2")
    go(world)
    land_all(world)
    assert sorted(runs(world).values()) == ["v1", "v1", "v1", "v2"]
    change_all(world)
    seen: list[str] = []
    for _ in range(10):
        world.settle()
        assert len(moving(world)) <= 2, "one of each rollout"
        seen += moving(world).values()
        land_all(world)
        world.now += MINUTE
    assert sorted(seen) == ["config v2 admitted", *["forward v2 admitted"] * 3], "nobody moves twice"
    assert configs(world) == {"config-2": 4} and set(runs(world).values()) == {"v2"}


def test_a_change_of_many_environments_is_one_rollout_in_each():
    world = a_fleet(
        {"staging": ["stage-1"], "production": ["prod-1", "prod-2"]}, {"rules": (["production"], [LINEAR])}, runs="v1"
    )
    change_all(world)
    plan = world.round()
    assert [rollout.kind for rollout in plan.rollouts] == ["config", "config"]
    assert len(plan.moves) == 2, "all of staging, one of production"


def test_a_second_change_joins_the_rollout_that_is_under_way():
    world = production(LINEAR, runs="v1")
    change_all(world)
    go(world)
    land_all(world)
    change_all(world, "config-3")
    plan = world.round()
    assert not plan.rollouts
    started = 0
    for _ in range(8):
        world.settle()
        started += len(moving(world))
        assert len(moving(world)) <= 1
        land_all(world)
        world.now += MINUTE
    assert configs(world) == {"config-3": 4}
    assert started == 4, "who has the first change goes again, in its place"
    assert world.facts.rollouts == ()


def test_a_change_that_is_taken_back_starts_nothing_more():
    world = production(LINEAR, runs="v1")
    change_all(world)
    go(world)
    (name,) = moving(world)
    change_all(world, "config-1")
    finish(world, name)
    world.settle()
    assert moving(world) == {name: "config v1 admitted"}, "the one that took it goes back"
    land_all(world)
    assert configs(world) == {"config-1": 4} and world.facts.rollouts == ()


def test_a_config_that_fails_halts_its_rollout_and_no_other():
    world = production(LINEAR, runs="v1")
    change_all(world)
    go(world)
    (name,) = moving(world)
    finish(world, name, JobStatus.FAILURE)
    world.settle()
    assert [(one.kind, one.state) for one in world.facts.rollouts if one.live] == [("config", "halted")]
    world.now += 10 * MINUTE
    assert not world.round().moves
    world.create_version("v2")
    world.settle()
    assert set(moving(world).values()) == {"forward v2 admitted"}, "a newer version brings the config along"


def test_a_correction_of_what_failed_opens_a_rollout_of_its_own():
    world = production(LINEAR, runs="v1")
    change_all(world)
    go(world)
    (name,) = moving(world)
    finish(world, name, JobStatus.FAILURE)
    world.settle()
    (halted,) = world.facts.rollouts
    others = [target.name for target in world.facts.targets.values() if target.name != name]
    for other in others:
        world.edit_target(other, config_digest="config-3")
    assert not world.round().moves, "where it failed it is still wanted"
    world.edit_target(name, config_digest="config-3")
    plan = world.round()
    assert [(one.rollout_id, one.state, one.reason) for one in plan.rollout_states] == [
        (halted.id, "aborted", "newer_config")
    ]
    assert [one.kind for one in plan.rollouts] == ["config"] and len(plan.moves) == 1, "one at a time again"
    for _ in range(4):
        land_all(world)
        world.now += MINUTE
        world.settle()
    assert configs(world) == {"config-3": 4} and world.facts.rollouts == ()


def test_a_correction_after_a_rollback_goes_to_the_others():
    world = production(LINEAR, {"rollback": {"onJobStatuses": ["failure"]}}, runs="v1")
    change_all(world)
    go(world)
    (name,) = moving(world)
    finish(world, name, JobStatus.FAILURE)
    world.settle()
    assert moving(world) == {name: "rollback v1 admitted"}
    land_all(world)
    change_all(world, "config-3")
    for _ in range(4):
        world.settle()
        assert name not in moving(world), "it takes no config until its quarantine is cleared"
        land_all(world)
        world.now += MINUTE
    assert configs(world) == {"config-1": 1, "config-3": 3}


def test_a_config_that_a_person_took_back_is_no_correction():
    world = production(LINEAR, runs="v1")
    change_all(world)
    go(world)
    (name,) = moving(world)
    land_all(world)
    (rollout,) = world.facts.rollouts
    world.set_rollout(rollout.id, "halted")
    world.now += MINUTE
    assert not world.round().moves, "nothing went wrong that a new value could correct"
    change_all(world, "config-3")
    assert not world.round().moves and configs(world)["config-2"] == 1 and name not in moving(world)


def test_a_target_that_left_no_longer_keeps_the_halt():
    world = production(LINEAR, runs="v1")
    change_all(world)
    go(world)
    (name,) = moving(world)
    finish(world, name, JobStatus.FAILURE)
    world.settle()
    assert not world.round().moves
    world.detach(name)
    assert [one.reason for one in world.round().rollout_states] == ["newer_config"]


def test_only_who_lacks_the_new_config_is_told_to_lack_it():
    world = a_fleet({"production": ["p1", "p2"]}, runs="v1")
    world.edit_target("p2", config_digest="config-2")
    key = (world.environment("production").id, world.version("v1").id)
    assert Index(world.snapshot()).lacking_by_environment_version == {key: frozenset({"config-2"})}

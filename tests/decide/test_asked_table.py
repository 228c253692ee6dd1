"""Which kind of move asks which rule? Every kind is tried against every rule, as the table of core.md section 4 says.

For each pair there is a world in which a move of that kind is about to start, and a rule that holds everything it is
asked about. If the move starts all the same, it did not ask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

import pytest

from interlock.decide import gates, pace, slots
from interlock.decide.facts import Dependency, RolledBack
from interlock.decide.rules import RULES
from interlock.model.job import JobStatus
from interlock.simulate.world import World
from worlds import a_fleet, finish, moving, set_policies

TABLE: Mapping[str, frozenset[str]] = {
    "forward": frozenset(
        {
            "versionSelector",
            "freeze",
            "incident",
            "saturation",
            "rollbackHistory",
            "environmentProgression",
            "deploymentDependency",
            "versionDependency",
            "deploymentWindow",
            "versionCooldown",
            "errorBudget",
            "anyApproval",
            "gradualRollout",
            "concurrency",
        }
    ),
    "config": frozenset({"freeze", "incident", "deploymentWindow", "gradualRollout", "concurrency"}),
    "retry": frozenset({"freeze", "incident", "deploymentWindow"}),
    "redeploy": frozenset({"freeze", "deploymentWindow", "concurrency"}),
    "rollback": frozenset({"concurrency"}),
    "pin": frozenset(
        {
            "freeze",
            "incident",
            "saturation",
            "rollbackHistory",
            "environmentProgression",
            "deploymentDependency",
            "versionDependency",
            "deploymentWindow",
            "versionCooldown",
            "errorBudget",
            "anyApproval",
            "concurrency",
        }
    ),
    "force": frozenset(),
}
"""core.md section 4. A retry keeps the slot that it has, so it does not ask for one; a pin asks as forward, not for its
position, and goes before versionSelector."""

ASKED_OF_NOBODY = frozenset({"verification", "retry", "rollback", "planValidationOpa"})
"""Rules that say what must hold after the job, what answers an outcome, or what people are told of a plan: they keep no
move from starting. A new rule stands here, or in `TABLE` and `HOLDING`."""

ALWAYS = {"rrule": "FREQ=DAILY;BYHOUR=0;BYMINUTE=0", "durationMinutes": 1440, "timezone": "UTC", "allowWindow": False}

HOLDING: Mapping[str, Mapping[str, object]] = {
    "versionSelector": {"selector": "false"},
    "environmentProgression": {"dependsOnEnvironmentSelector": 'environment.name == "moon"'},
    "deploymentDependency": {"dependsOn": 'deployment.name == "moon"'},
    "deploymentWindow": ALWAYS,
    "versionCooldown": {"intervalSeconds": 7 * 86_400},
    "errorBudget": {"reactions": [{"then": "hold"}]},
    "anyApproval": {"minApprovals": 1},
    "saturation": {},
    "rollbackHistory": {"reactions": [{"atLeast": 1, "then": "hold"}]},
    "gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 3600},
    "concurrency": {"maxInFlight": 1},
}
"""Parameters with which a rule holds whatever it is asked about."""


def a_world(*rules: Mapping[str, object]) -> World:
    world = a_fleet({"production": ["one", "two"]}, {"rules": (["production"], list(rules))}, runs="1.0")
    world.advance(timedelta(hours=1))
    return world


def about_to_go_forward() -> World:
    world = a_world()
    world.create_version("2.0")
    return world


def about_to_take_its_config() -> World:
    world = a_world()
    for name in ("one", "two"):
        world.edit_target(name, config_digest="config-2")
    return world


def about_to_be_pinned() -> World:
    world = a_world()
    world.create_version("2.0")
    world.pin("2.0", environment="production")
    return world


def about_to_retry() -> World:
    world = a_world({"retry": {"maxRetries": 3}})
    world.create_version("2.0")
    world.settle()
    for name in ("one", "two"):
        finish(world, name, JobStatus.FAILURE)
    return world


def about_to_roll_back() -> World:
    world = a_world({"rollback": {"onJobStatuses": ["failure"]}})
    world.create_version("2.0")
    world.settle()
    for name in ("one", "two"):
        finish(world, name, JobStatus.FAILURE)
    return world


def about_to_redeploy() -> World:
    world = a_world()
    for name in ("one", "two"):
        world.order("redeploy", name)
    return world


def about_to_force() -> World:
    world = a_world()
    world.create_version("2.0", status="paused")
    for name in ("one", "two"):
        world.order("force", name, "2.0")
    return world


ABOUT_TO: Mapping[str, Callable[[], World]] = {
    "forward": about_to_go_forward,
    "config": about_to_take_its_config,
    "pin": about_to_be_pinned,
    "retry": about_to_retry,
    "rollback": about_to_roll_back,
    "redeploy": about_to_redeploy,
    "force": about_to_force,
}

ANSWERED_BY = {"retry": {"retry": {"maxRetries": 3}}, "rollback": {"rollback": {"onJobStatuses": ["failure"]}}}


def holding(world: World, kind: str, rule: str) -> None:
    """Make a rule hold everything."""
    if rule == "freeze":
        world.freeze("incident")
        return
    if rule == "incident":
        world.open_incident()
        return
    if rule == "versionDependency":
        for version in world.facts.versions:
            world.depend(version.tag, [Dependency("moon", "true")])
        return
    if rule == "rollbackHistory":
        (place,) = {target.environment_id for target in world.facts.targets.values()}
        world.rolled_back.add(RolledBack(place, "a version of long ago", world.now))
    rules = [{rule: HOLDING[rule]}]
    if kind in ANSWERED_BY:
        rules.append(ANSWERED_BY[kind])
    set_policies(world, {"rules": (["production"], rules)})
    if rule == "concurrency":
        (key,) = world.snapshot().slots
        world.hold_elsewhere(key, 1)


def starting(world: World, kind: str) -> set[str]:
    """The targets of which a move of this kind, or its next attempt, is under way after a round."""
    before = {name for name, move in moving(world).items() if move.startswith("forward")}
    plan = world.round()
    names = {target.id: target.name for target in world.facts.targets.values()}
    if kind == "retry":
        assert before == {"one", "two"}
        return {names[job.target_id] for job in plan.jobs if job.retry_of is not None}
    return {names[move.target_id] for move in plan.moves if move.kind == kind}


@pytest.mark.parametrize("kind", ABOUT_TO)
def test_a_move_that_nothing_holds_starts_on_both_targets(kind):
    assert starting(ABOUT_TO[kind](), kind) == {"one", "two"}


@pytest.mark.parametrize("rule", [module.kind for module in RULES if module.kind not in ASKED_OF_NOBODY])
@pytest.mark.parametrize("kind", ABOUT_TO)
def test_a_kind_of_move_asks_the_rules_of_its_line_and_no_other(kind, rule):
    world = ABOUT_TO[kind]()
    holding(world, kind, rule)
    started = starting(world, kind)
    if rule == "gradualRollout" and rule in TABLE[kind]:
        assert len(started) == 1, "one after the other"
    elif rule in TABLE[kind]:
        assert not started
    else:
        assert started == {"one", "two"}


def test_the_table_names_every_rule_and_the_data_says_the_same():
    kinds = {module.kind for module in RULES}
    assert ABOUT_TO.keys() == TABLE.keys()
    assert kinds == TABLE["forward"] | ASKED_OF_NOBODY
    assert TABLE.keys() == gates.ASKED.keys() == pace.PACED.keys() == slots.ASKED_AT.keys()
    for kind, asked in TABLE.items():
        assert asked & set(gates.GATES) == gates.ASKED[kind]
        assert ("gradualRollout" in asked) == pace.PACED[kind]
        assert ("concurrency" in asked) == (slots.ASKED_AT[kind] in {"limit", "rollback cap"})
    assert slots.ASKED_AT["rollback"] == "rollback cap"
    assert {"pin", "retry"} == gates.STATUS_ASKED  # for `forward` a version that is not ready is no candidate

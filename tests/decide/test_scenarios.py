"""What of the reference's 25 scenarios happens between a decision and its hand-over?

The scenarios themselves are files: tests/simulate/scenarios. Here is what their driver, which hands over at once, never
sees: jobs that still wait, and what a round's plan says of them.
"""

from __future__ import annotations

from datetime import timedelta

from interlock.model.ids import derived_id
from interlock.model.job import Handover
from interlock.simulate.world import World
from worlds import (
    METRIC,
    a_fleet,
    an_id,
    finish,
    hand_over_all,
    moving,
    verify,
)

HOSTS = ["prod-1", "prod-2", "prod-3", "prod-4"]


def production(*rules: dict[str, object], hosts: list[str] = HOSTS, **more: object) -> World:
    return a_fleet({"production": hosts}, {"rules": (["production"], rules)}, **more)


def test_03_one_that_waits_is_withdrawn_at_once():
    world = production(hosts=["prod-1"])
    world.create_version("v1")
    world.settle()
    world.create_version("v2")
    plan = world.round()
    (end,) = plan.ends
    assert (end.state, end.reason) == ("withdrawn", "newer_version")
    assert moving(world) == {"prod-1": "forward v2 admitted"}
    assert world.target("prod-1").mark is None, "no attempt was used"


def test_16_a_job_that_a_skip_let_pass_is_taken_back_when_the_skip_ends():
    world = production({"anyApproval": {"minApprovals": 1}}, hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    rule_id = next(iter(world.facts.policies.values())).rules[0].id
    world.skip(rule_id, "v2", resource_id=derived_id("resource", "prod-1"), expires_at=world.now + timedelta(hours=1))
    world.settle()
    world.now += timedelta(hours=1)
    assert hand_over_all(world) == 0, "what let it pass has ended"
    (end,) = world.round().ends
    assert (end.state, end.reason, end.values) == ("withdrawn", "held", {"rules": ["anyApproval"]})


def test_25_a_config_change_is_one_rollout_through_the_pace():
    one_by_one = {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 0, "maxInFlight": 1}}
    world = production(
        one_by_one, {"anyApproval": {"minApprovals": 1}}, {"verification": {"metrics": [METRIC]}}, runs="v1"
    )
    for name in HOSTS:
        world.edit_target(name, config_digest="config-2")
    plan = world.round()
    assert [(rollout.kind, rollout.version_id) for rollout in plan.rollouts] == [("config", None)]
    assert len(plan.moves) == 1, "one at a time, and no approval is asked"
    for _ in HOSTS:
        (name,) = moving(world)
        finish(world, name)
        world.settle()
        verify(world, name)
        world.settle()
    assert {t.current.config_digest for t in world.facts.targets.values()} == {"config-2"}
    assert not moving(world)
    assert world.facts.rollouts == (), "a config rollout that is complete is no fact any more"


def test_nobody_has_it_and_nobody_gets_it_twice():
    world = production(hosts=["prod-1"])
    world.create_version("v1")
    world.settle()
    (_, job) = world.waiting_jobs()[0]
    assert world.hand_over(job.id, handover=Handover.STARTING)
    assert not world.hand_over(job.id)
    assert an_id("production") == world.target("prod-1").environment_id

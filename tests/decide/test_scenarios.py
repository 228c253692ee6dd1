"""The reference's 25 scenarios (reference-behaviour.md, appendix B) with our outcomes (core.md section 10).

Where a scenario is about a rule alone its test stands in tests/rules: 8, 9 and 10 in progression. 22 and 24 are about
the store, and about rules that come later.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from interlock.model.ids import derived_id
from interlock.model.job import Handover, JobStatus
from interlock.simulate.world import World
from rules.examples import at
from worlds import (
    METRIC,
    a_fleet,
    active_job,
    an_id,
    deploy,
    finish,
    hand_over_all,
    moving,
    runs,
    set_policies,
    verify,
    version_id,
)

HOSTS = ["prod-1", "prod-2", "prod-3", "prod-4"]


def production(*rules: dict[str, object], hosts: list[str] = HOSTS, **more: object) -> World:
    return a_fleet({"production": hosts}, {"rules": (["production"], rules)}, **more)


def go(world: World) -> None:
    world.settle()
    hand_over_all(world)
    world.settle()


def words(world: World) -> dict[str, list[str]]:
    """Target name -> reasons that its row gives now."""
    from interlock.decide import decide

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


def test_01_happy_path():
    world = production(hosts=["prod-1"])
    world.create_version("v1")
    go(world)
    finish(world, "prod-1")
    world.settle()
    assert runs(world) == {"prod-1": "v1"}
    assert not world.round().moving
    assert world.wake_at is None


def test_02_failure_uses_the_attempt_and_the_row_says_so():
    world = production(hosts=["prod-1"], runs="v0")
    world.create_version("v1")
    go(world)
    finish(world, "prod-1", JobStatus.FAILURE)
    world.settle()
    assert not moving(world)
    assert words(world) == {"prod-1": ["attempts_used"]}
    world.create_version("v2")
    go(world)
    assert moving(world) == {"prod-1": "forward v2 running"}


def test_03_a_running_job_ends_before_the_newer_version_starts():
    world = production(hosts=["prod-1"])
    world.create_version("v1")
    go(world)
    world.create_version("v2")
    go(world)
    assert moving(world) == {"prod-1": "forward v1 running"}
    finish(world, "prod-1")
    go(world)
    assert moving(world) == {"prod-1": "forward v2 running"}


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


def test_03_cancel_where_the_deployment_says_so():
    world = production(hosts=["prod-1"], supersede="cancel")
    world.create_version("v1")
    go(world)
    world.create_version("v2")
    (cancel,) = world.round().cancels
    assert cancel.reason == "newer_version"
    assert moving(world) == {"prod-1": "forward v1 running"}, "occupied until the outside confirms"
    world.hear(cancel.job_id, JobStatus.CANCELLED)
    go(world)
    assert moving(world) == {"prod-1": "forward v2 running"}


def test_04_of_two_quick_versions_only_the_newer_one_goes():
    world = production(hosts=["prod-1"])
    world.create_version("v1")
    go(world)
    world.create_version("v2")
    world.create_version("v3")
    finish(world, "prod-1")
    go(world)
    assert moving(world) == {"prod-1": "forward v3 running"}


def test_05_newest_that_is_allowed():
    world = production({"anyApproval": {"minApprovals": 1}}, hosts=["prod-1"], runs="v1")
    world.create_version("v2")
    world.say("bob", "approved", "v2", "production")
    world.create_version("v3")
    plan = world.round()
    assert moving(world) == {"prod-1": "forward v2 admitted"}
    assert [request.version_id for request in plan.requests] == [version_id("v3")]


def test_06_a_rejection_moves_nothing_back():
    world = production(hosts=["prod-1"], runs="v1")
    deploy(world, "v2")
    world.set_version_status("v2", "rejected")
    assert not world.round().moving
    assert runs(world) == {"prod-1": "v2"}


def test_07_a_pin_is_one_job_and_a_selector_moves_nothing_back():
    world = production(hosts=["prod-1"], runs="v1")
    deploy(world, "v2")
    world.pin("v1", target="prod-1")
    go(world)
    assert moving(world) == {"prod-1": "pin v1 running"}
    finish(world, "prod-1")
    world.settle()
    assert runs(world) == {"prod-1": "v1"}
    assert not world.round().moving
    set_policies(world, {"old": (["production"], [{"versionSelector": {"selector": 'version.tag == "v2"'}}])})
    assert not world.round().moving


def test_07_a_pin_that_failed_is_not_tried_again_by_itself():
    world = production(hosts=["prod-1"], runs="v1")
    deploy(world, "v2")
    world.pin("v1", target="prod-1")
    go(world)
    finish(world, "prod-1", JobStatus.FAILURE)
    world.settle()
    assert not moving(world)
    assert words(world)["prod-1"] == ["attempts_used"]
    world.pin("v1", target="prod-1")
    go(world)
    assert moving(world) == {"prod-1": "pin v1 running"}


LINEAR = {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 60}}


def test_11_one_a_minute_until_one_fails():
    world = production(LINEAR)
    world.create_version("v1")
    go(world)
    (first,) = moving(world)
    started_at = world.open_move(first).started_at
    assert world.wake_at == started_at + timedelta(seconds=60)
    finish(world, first)
    world.now = world.wake_at
    go(world)
    second = next(name for name in moving(world))
    world.now += timedelta(seconds=10)
    finish(world, second, JobStatus.FAILURE)
    world.settle()
    assert world.rollout("v1", "production").state == "halted"
    world.now += timedelta(hours=1)
    assert not world.round().moving, "the others do not start"
    assert sorted(runs(world).values()) == ["-", "-", "-", "v1"]


OPEN_9_TO_10 = {"deploymentWindow": {"rrule": "FREQ=DAILY;BYHOUR=9", "durationMinutes": 60, "timezone": "UTC"}}


def test_12_those_past_the_window_wait_for_the_next_and_keep_their_spacing():
    hourly = {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 1500}}
    world = production(OPEN_9_TO_10, hourly, runs="v0", now=at("2026-03-09 08:00"))
    world.create_version("v1")
    world.settle()
    assert not moving(world)
    assert world.wake_at == at("2026-03-09 09:00")
    starts = []
    while len(starts) < 4:
        assert world.wake_at is not None
        world.now = world.wake_at
        world.settle()
        for _, job in world.waiting_jobs():
            world.hand_over(job.id)
            world.hear(job.id, JobStatus.SUCCESSFUL)
            starts.append(world.now.strftime("%d %H:%M"))
    assert starts == ["09 09:00", "09 09:25", "09 09:50", "10 09:00"]


def test_12_overdue_targets_keep_their_spacing_after_a_closed_window():
    ten = {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 600}}
    short = {"deploymentWindow": {"rrule": "FREQ=DAILY;BYHOUR=9", "durationMinutes": 15, "timezone": "UTC"}}
    world = production(short, ten, runs="v0", now=at("2026-03-09 09:00"))
    world.create_version("v1")
    starts = []
    while len(starts) < 4:
        world.settle()
        for _, job in world.waiting_jobs():
            world.hand_over(job.id)
            world.hear(job.id, JobStatus.SUCCESSFUL)
            starts.append(world.now.strftime("%d %H:%M"))
        world.settle()
        if len(starts) < 4:
            world.now = world.wake_at
    assert starts == ["09 09:00", "09 09:10", "10 09:00", "10 09:10"], "not all at once when it opens"


COOLDOWN = {"versionCooldown": {"intervalSeconds": 3600}}


def test_13_and_14_after_the_cooldown_the_newest_goes():
    world = production(COOLDOWN, hosts=["prod-1"], now=at("2026-03-09 10:00"), runs="v0")
    set_policies(world, {})
    world.now = at("2026-03-09 10:30")
    deploy(world, "v1")
    set_policies(world, {"rules": (["production"], [COOLDOWN])})
    world.now = at("2026-03-09 10:40")
    world.create_version("v2")
    world.settle()
    assert world.wake_at.strftime("%H:%M") == "11:30"
    world.now = at("2026-03-09 10:55")
    world.create_version("v3")
    world.settle()
    assert not moving(world)
    world.now = world.wake_at
    go(world)
    assert moving(world) == {"prod-1": "forward v3 running"}


def test_15_outside_the_window_what_runs_is_desired_and_a_first_deployment_waits_too():
    world = production(OPEN_9_TO_10, hosts=["prod-1"], runs="v1", now=at("2026-03-09 12:00"))
    world.create_version("v2")
    world.attach("prod-2", "production", policy_set=world.target("prod-1").policy_set)
    world.settle()
    assert not moving(world)
    assert world.target("prod-1").desired == version_id("v1")
    assert world.wake_at == at("2026-03-10 09:00")


def test_16_a_skip_ends_without_moving_anything_back():
    world = production({"anyApproval": {"minApprovals": 1}}, hosts=["prod-1", "prod-2"], runs="v1")
    world.create_version("v2")
    rule_id = next(iter(world.facts.policies.values())).rules[0].id
    ends_at = world.now + timedelta(hours=1)
    world.skip(rule_id, "v2", resource_id=derived_id("resource", "prod-1"), expires_at=ends_at)
    world.settle()
    assert moving(world) == {"prod-1": "forward v2 admitted"}
    assert world.wake_at == ends_at
    finish(world, "prod-1")
    world.settle()
    world.now = ends_at
    assert not world.round().moving
    assert runs(world) == {"prod-1": "v2", "prod-2": "v1"}


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


def test_17_a_new_target_gets_what_is_good_beside_it():
    world = production({"anyApproval": {"minApprovals": 1}}, hosts=["prod-1"])
    world.create_version("v1")
    world.say("bob", "approved", "v1", "production")
    go(world)
    finish(world, "prod-1")
    world.settle()
    world.create_version("v2")
    world.attach("prod-2", "production", policy_set=world.target("prod-1").policy_set)
    go(world)
    assert moving(world) == {"prod-2": "forward v1 running"}


def test_18_an_approval_rule_added_later_moves_nothing_and_holds_who_joins():
    world = production(hosts=["prod-1"], runs="v1")
    set_policies(world, {"later": (["production"], [{"anyApproval": {"minApprovals": 1}}])})
    assert not world.round().moving
    assert runs(world) == {"prod-1": "v1"}
    world.attach("prod-2", "production", policy_set=world.target("prod-1").policy_set)
    world.settle()
    assert not moving(world)
    assert words(world)["prod-2"] == ["approval_missing"]


def test_19_and_20_no_agent_or_several_hold_and_end_by_themselves():
    for agent in ("no_agent", "ambiguous_agent"):
        world = production(hosts=["prod-1"])
        world.edit_target("prod-1", agent=agent)
        world.create_version("v1")
        world.settle()
        assert words(world) == {"prod-1": [agent]}
        world.edit_target("prod-1", agent="one")
        world.settle()
        assert moving(world) == {"prod-1": "forward v1 admitted"}


def test_21_and_23_late_news_is_no_transition():
    world = production(hosts=["prod-1"])
    world.create_version("v1")
    go(world)
    job_id = active_job(world, "prod-1")
    assert world.hear(job_id, JobStatus.SUCCESSFUL)
    assert not world.hear(job_id, JobStatus.IN_PROGRESS)
    assert not world.hear(job_id, JobStatus.FAILURE)
    world.settle()
    assert runs(world) == {"prod-1": "v1"}


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

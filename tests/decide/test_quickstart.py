"""The quickstart, as about twenty decide calls: 1.0.0 goes everywhere, 1.1.0 fails on its first production host.

Staging first; then one approval; then one host at a time, each verified before the next; the bad version halts after
the first host, which returns to the release that was good; nobody else is touched; a host that joins gets 1.0.0.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from interlock.decide.plan import Plan
from interlock.simulate.world import World
from worlds import METRIC, a_fleet, an_id, finish, hand_over_all, moving, runs, verify, version_id

STAGING_FIRST = {
    "environmentProgression": {
        "dependsOnEnvironmentSelector": 'environment.name == "staging"',
        "minimumSoakTimeSeconds": 2,
        "requireVerificationPassed": True,
    }
}
EVERYWHERE = [
    {"verification": {"metrics": [METRIC]}},
    {"rollback": {"onJobStatuses": ["failure"], "onVerificationFailure": True}},
    {"retry": {"maxRetries": 1}},
]
PRODUCTION = [
    STAGING_FIRST,
    {"anyApproval": {"minApprovals": 1}},
    {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 0, "maxInFlight": 1, "maxFailures": 0}},
]
HOSTS = ["prod-eu-1", "prod-us-1", "prod-ap-1"]


@pytest.fixture
def world() -> World:
    return a_fleet(
        {"staging": ["staging-1"], "production": HOSTS},
        {"everywhere": (["staging", "production"], EVERYWHERE), "production": (["production"], PRODUCTION)},
    )


def step(world: World, seconds: float = 1) -> Plan:
    """One round, a little later; whatever it made is handed over."""
    world.advance(timedelta(seconds=seconds))
    plan = world.round()
    hand_over_all(world)
    return plan


def to_staging(world: World, tag: str) -> None:
    """A version goes to staging, is verified there, and soaks."""
    world.create_version(tag)
    step(world)
    assert moving(world) == {"staging-1": f"forward {tag} running"}
    finish(world, "staging-1")
    plan = step(world)
    assert plan.verifications
    assert not plan.requests, "nobody is asked for what is not proven yet"
    verify(world, "staging-1")
    plan = step(world)
    assert runs(world)["staging-1"] == tag
    assert not plan.requests, "it soaks"
    assert plan.wake_at is not None
    assert plan.wake_at <= world.now + timedelta(seconds=2)


def one_host(world: World, tag: str, state: str = "passed") -> str:
    """The next host gets its job, and its verification ends."""
    (name,) = moving(world)
    assert moving(world) == {name: f"forward {tag} running"}
    finish(world, name)
    step(world)
    assert moving(world) == {name: f"forward {tag} verifying"}, "the next one waits for the proof"
    verify(world, name, state, None if state == "passed" else "12 % of requests failed")
    return name


def approve(world: World, tag: str) -> None:
    plan = step(world, seconds=2)
    (request,) = plan.requests
    assert (request.version_id, request.environment_id, request.minimum) == (version_id(tag), an_id("production"), 1)
    assert not plan.moves
    world.say("petra", "approved", tag, "production")
    step(world)


def version_1_0_0_everywhere(world: World) -> list[str]:
    to_staging(world, "1.0.0")
    approve(world, "1.0.0")
    order = []
    for _ in HOSTS:
        order.append(one_host(world, "1.0.0"))
        step(world)
    return order


def test_a_good_version_goes_host_by_host(world):
    order = version_1_0_0_everywhere(world)
    assert sorted(order) == sorted(HOSTS)
    assert set(runs(world).values()) == {"1.0.0"}
    assert not moving(world)
    assert [r.state for r in world.facts.rollouts] == ["complete", "complete"]
    assert {t.good for t in world.facts.targets.values()} == {t.current for t in world.facts.targets.values()}


def test_what_is_shown_to_the_person_is_what_will_happen(world):
    to_staging(world, "1.0.0")
    (request,) = step(world, seconds=2).requests
    shown = dict(request.shown)
    assert shown["environment"] == "production"
    assert shown["targets"] == sorted(HOSTS)
    assert shown["from"] == [{"version": "nothing", "targets": 3}]
    assert shown["showed"][0]["verified"] == 1
    assert shown["rollback"] == [{"to": "nowhere: no good release", "targets": 3}]
    assert request.why == "policy production asks for 1 approval"
    assert not step(world).requests, "one question, one request"


def test_a_bad_version_is_stopped_after_the_first_host_and_taken_back(world):
    version_1_0_0_everywhere(world)
    good = {target.name: target.good for target in world.facts.targets.values()}
    to_staging(world, "1.1.0")
    approve(world, "1.1.0")
    first = one_host(world, "1.1.0", "failed")
    plan = step(world)
    assert [state.state for state in plan.rollout_states] == ["halted"]
    (back,) = plan.moves
    assert (back.kind, back.to_release) == ("rollback", good[first]), "with everything that release froze"
    assert moving(world) == {first: "rollback 1.0.0 running"}

    finish(world, first)
    step(world)
    assert moving(world) == {first: "rollback 1.0.0 verifying"}, "a rollback is verified like any move"
    verify(world, first)
    step(world)
    assert runs(world, environment="production") == dict.fromkeys(sorted(HOSTS), "1.0.0")
    assert runs(world)["staging-1"] == "1.1.0"
    assert not moving(world)
    others = [
        move
        for move in world.facts.moves
        if move.version_id == version_id("1.1.0") and move.target_id != back.target_id
    ]
    assert all(move.environment_id == an_id("staging") for move in others), "the other two were never touched"
    assert not world.round().moving, "and it stays so"

    joined = world.attach("prod-sa-1", "production", policy_set=world.target(first).policy_set)
    step(world)
    assert moving(world) == {"prod-sa-1": "forward 1.0.0 running"}, "not the one that halted"
    finish(world, "prod-sa-1")
    step(world)
    verify(world, "prod-sa-1")
    step(world)
    assert runs(world)["prod-sa-1"] == "1.0.0"
    assert world.facts.targets[joined.id].good is not None


def test_each_held_host_says_why(world):
    version_1_0_0_everywhere(world)
    to_staging(world, "1.1.0")
    approve(world, "1.1.0")
    one_host(world, "1.1.0", "failed")
    plan = step(world)
    said = {row.target_id: row.verdicts[0]["reason"] for row in plan.target_decisions if row.outcome == "hold"}
    assert set(said.values()) == {"rollout_halted"}
    assert len(said) == 2


def test_a_newer_version_goes_out_without_hand_work_after_a_rollback(world):
    version_1_0_0_everywhere(world)
    to_staging(world, "1.1.0")
    approve(world, "1.1.0")
    first = one_host(world, "1.1.0", "failed")
    step(world)
    finish(world, first)
    step(world)
    verify(world, first)
    step(world)
    to_staging(world, "1.1.1")
    approve(world, "1.1.1")
    for _ in HOSTS:
        one_host(world, "1.1.1")
        step(world)
    assert set(runs(world).values()) == {"1.1.1"}

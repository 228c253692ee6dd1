"""Do stories on the virtual clock go as they should, also when the road to the outside is bad?"""

from __future__ import annotations

from datetime import timedelta

from interlock.simulate.agents import Behaviour, StubAgent
from interlock.simulate.scenario import Scenario
from interlock.simulate.world import World
from worlds import METRIC, MONDAY, a_fleet, runs

HOSTS = ["prod-1", "prod-2", "prod-3"]
RULES = [
    {"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 60, "maxInFlight": 1}},
    {"verification": {"metrics": [METRIC]}},
    {"rollback": {"onJobStatuses": ["failure"], "onVerificationFailure": True}},
    {"retry": {"maxRetries": 2, "backoffSeconds": 30}},
]


def a_world(**more: object) -> World:
    return a_fleet({"production": HOSTS}, {"rules": (["production"], RULES)}, runs="v0", **more)


def test_a_version_goes_out_by_itself():
    story = Scenario(a_world())
    story.at(MONDAY + timedelta(minutes=1), lambda world: world.create_version("v1"))
    story.run()
    assert set(runs(story.world).values()) == {"v1"}
    assert story.world.now - MONDAY > timedelta(minutes=3), "one a minute"
    kinds = [line.kind for line in story.world.ledger]
    assert kinds.count("move.succeeded") == 3
    assert kinds.count("rollout.opened") == 1


def test_a_bad_version_is_rolled_back_and_the_story_becomes_quiet():
    behaviour = Behaviour(verify=lambda tag, target: "failed" if tag == "v1" else "passed")
    story = Scenario(a_world(), StubAgent(behaviour))
    story.world.create_version("v1")
    story.run()
    assert set(runs(story.world).values()) == {"v0"}
    assert story.world.rollout("v1", "production").state == "halted"

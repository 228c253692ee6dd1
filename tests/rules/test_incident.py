"""When does an open incident hold? Dated examples; the store's side stands in tests/api/test_incidents.py."""

from __future__ import annotations

from datetime import timedelta

import pytest

from interlock.decide import decide
from interlock.decide.counterfactual import find_counterfactual
from interlock.decide.explain import lift_sentence, sentence
from interlock.decide.facts import Dependency
from interlock.decide.verdict import Outcome, verdict_json
from interlock.model.job import JobStatus
from interlock.simulate.world import World
from worlds import a_fleet, active_job, finish, moving, set_policies

NAMES_SCHEMA = {"deploymentDependency": {"dependsOn": 'deployment.name == "schema"'}}


def a_world(*rules) -> World:
    world = a_fleet(
        {"staging": ["s-1"], "production": ["p-1"]}, {"rules": (["staging", "production"], list(rules))}, runs="1.0"
    )
    world.advance(timedelta(hours=1))
    return world


def judged(world: World, *, environment: str = "production", tag: str = "2.0"):
    """The gate's verdict on a version in an environment, None where it said nothing."""
    from interlock.decide import work_out

    worked = work_out(world.snapshot(), world.now)
    target = next(one for one in world.facts.targets.values() if one.name == f"{environment[0]}-1")
    verdicts = worked.gates.verdicts(target, world.version(tag), "forward")
    return next((one for one in verdicts if one.kind == "incident"), None)


def test_nothing_starts_while_an_incident_is_open_and_it_starts_at_its_end():
    world = a_world()
    world.open_incident("checkout answers 500", lasts=timedelta(hours=2))
    ends_at = world.now + timedelta(hours=2)
    world.create_version("2.0")
    plan = world.round()
    assert not plan.moves
    assert plan.wake_at == ends_at
    facts = world.snapshot()
    assert not decide(facts, ends_at - timedelta(microseconds=1)).moves
    assert decide(facts, ends_at).moves, "by time alone, whoever loaded it when"
    world.advance(timedelta(hours=1))
    assert not world.round().moves
    world.now = ends_at
    assert {move.kind for move in world.round().moves} == {"forward"}


def test_it_starts_when_the_incident_is_resolved():
    world = a_world()
    incident = world.open_incident()
    world.create_version("2.0")
    assert not world.round().moves
    world.resolve_incident(incident)
    assert len(world.round().moves) == 2


def test_an_incident_in_one_environment_holds_only_there():
    world = a_world()
    world.open_incident(environments=["production"])
    world.create_version("2.0")
    world.round()
    assert set(moving(world)) == {"s-1"}


def test_a_job_that_waits_is_withdrawn_and_what_an_agent_has_runs_on():
    world = a_world()
    world.create_version("2.0")
    world.round()
    assert set(moving(world)) == {"s-1", "p-1"}
    world.hand_over(active_job(world, "s-1"))
    world.open_incident()
    world.round()
    assert set(moving(world)) == {"s-1"}
    finish(world, "s-1", JobStatus.SUCCESSFUL)
    assert not world.round().moves, "nothing new starts"


def test_a_fix_goes_out_and_says_past_what():
    world = a_world()
    world.open_incident("checkout answers 500")
    world.create_version("2.0", metadata={"interlock/change-type": "fix"})
    assert len(world.round().moves) == 2
    assert sentence(verdict_json(judged(world))).startswith("An incident is open on shop-api: checkout answers 500")


def test_a_change_of_config_is_no_fix_because_the_version_was_one():
    world = a_world()
    world.create_version("2.0", metadata={"interlock/change-type": "fix"})
    world.settle()
    for name in ("s-1", "p-1"):
        finish(world, name, JobStatus.SUCCESSFUL)
    world.settle()
    incident = world.open_incident()
    world.edit_target("p-1", config_digest="config-2")
    assert not world.round().moves
    world.resolve_incident(incident)
    assert {move.kind for move in world.round().moves} == {"config"}


def test_a_rollback_goes_through():
    world = a_world({"rollback": {"onJobStatuses": ["failure"]}})
    world.create_version("2.0")
    world.settle()
    for name in ("s-1", "p-1"):
        finish(world, name, JobStatus.FAILURE)
    world.open_incident()
    assert {move.kind for move in world.round().moves} == {"rollback"}


def test_an_incident_on_what_the_version_names_holds_it():
    world = a_world()
    schema = world.runs_elsewhere("schema", "s1", resource="p-1", environment="production")
    world.create_version("2.0", dependencies=[Dependency(schema, "true")])
    world.open_incident("the schema is locked", on=[schema])
    verdict = judged(world).verdict
    assert (verdict.outcome, verdict.values["on"]) == (Outcome.HOLD, ["schema"])


def test_an_incident_on_what_a_rule_picks_beside_it_holds_it_and_on_any_other_does_not():
    world = a_world(NAMES_SCHEMA)
    for name in ("s-1", "p-1"):
        where = "staging" if name == "s-1" else "production"
        schema = world.runs_elsewhere("schema", "s1", resource=name, environment=where)
        cache = world.runs_elsewhere("cache", "c1", resource=name, environment=where)
    world.create_version("2.0")
    other = world.open_incident("the cache burns", on=[cache])
    assert judged(world).verdict.reason == "no_incident"
    world.resolve_incident(other)
    world.open_incident("the schema is locked", on=[schema])
    assert judged(world).verdict.values["on"] == ["schema"]
    set_policies(world, {})
    assert judged(world) is None, "nobody depends on it any more, so it is not even loaded"


def test_several_are_said_with_the_first_end_and_all_must_go():
    world = a_world()
    for number in range(5):
        world.open_incident(f"fire {number}", lasts=timedelta(hours=5 - number))
    world.create_version("2.0")
    verdict = judged(world).verdict
    assert verdict.changes_at == world.facts.incidents[-1].expires_at
    assert verdict.values["titles"][-1] == "and 2 more"
    assert len(verdict.waits_on) == 5
    said = sentence(verdict_json(judged(world)))
    assert "fire 0 (critical, pager)" in said
    assert "Who can act: whoever may report incidents may resolve it" in said
    found = find_counterfactual(
        world.snapshot(), world.now, target_id=world.target("p-1").id, version_id=world.version("2.0").id
    )
    assert next(lift_sentence(one) for one in found.lifts).startswith("The incident “fire ")
    assert len(found.lifts) == 5


def test_a_skip_lets_one_version_pass_and_no_other():
    world = a_world()
    world.open_incident()
    world.create_version("2.0")
    world.skip("kind:incident", "2.0", environment="staging")
    world.round()
    assert set(moving(world)) == {"s-1"}
    world.create_version("3.0")
    assert judged(world, environment="staging", tag="3.0").verdict.outcome is Outcome.HOLD


@pytest.mark.parametrize("change_type", ["code", "rollback", None])
def test_any_other_type_of_change_is_held(change_type):
    world = a_world()
    world.open_incident()
    world.create_version("2.0", metadata={"interlock/change-type": change_type} if change_type else {})
    assert judged(world).verdict.outcome is Outcome.HOLD

"""When may a version go where something must run first? deploymentDependency, and what versions need themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from interlock.decide import decide
from interlock.decide.elsewhere import Need, narrowed, needed
from interlock.decide.explain import sentence
from interlock.decide.facts import Dependency
from interlock.decide.index import Index
from interlock.decide.lift import with_lifts
from interlock.decide.rules import deployment_dependency, parse_rules, version_dependency
from interlock.decide.subjects import TargetMove
from interlock.decide.verdict import Judged, WaitsFor, holds, verdict_json
from interlock.inventory import to_python
from interlock.model.errors import Invalid
from interlock.model.ids import derived_id
from interlock.model.job import JobStatus
from rules.examples import at, judged_target
from worlds import a_fleet, deploy, finish, runs, set_policies

SCHEMA = derived_id("deployment", "shop-schema")
NEEDS_V2 = 'deployment.name == "shop-schema" && version.tag.startsWith("v2")'


def a_world(now=None):
    """shop-api on two hosts of production and one of staging."""
    places = {"staging": ["staging-1"], "production": ["prod-1", "prod-2"]}
    world = a_fleet(places, **({"now": now} if now else {}))
    world.create_version("v1")
    return world


def depends(on=NEEDS_V2, **more):
    return {"deploymentDependency": {"dependsOn": on, **more}}


# deploymentDependency -------------------------------------------------------------------------------------------------

# (deployment, tag, resource, environment) of what runs elsewhere
V2 = ("shop-schema", "v2", "prod-1", "production")
V1 = ("shop-schema", "v1", "prod-1", "production")
NOT_YET = ("shop-schema", None, "prod-1", "production")
ELSEWHERE_V2 = ("shop-schema", "v2", "prod-2", "production")
STAGED = ("shop-schema", "v2", "prod-1", "staging")
CACHE = ("cache", "v9", "prod-1", "production")
ALL, AROUND = {"require": "all"}, {"scope": "sameEnvironment"}

EXAMPLES = [
    ("nothing is there", {}, [], False, "nothing_runs_beside"),
    ("it is there, and runs nothing", {}, [NOT_YET], False, "nothing_runs_beside"),
    ("it runs the wrong version", {}, [V1], False, "dependency_missing"),
    ("it runs the right one", {}, [V2], True, "dependency_runs"),
    ("it runs the right one in another environment on the resource", {}, [STAGED], True, "dependency_runs"),
    ("right in one environment, wrong in another", {}, [V1, STAGED], True, "dependency_runs"),
    ("it runs on another resource", {}, [ELSEWHERE_V2], False, "nothing_runs_beside"),
    ("another deployment runs", {}, [CACHE], False, "dependency_missing"),
    ("another one beside it", {}, [CACHE, V2], True, "dependency_runs"),
    ("all, and one does not match", ALL, [CACHE, V2], False, "dependency_unmet"),
    ("all, and none matches", ALL, [CACHE, V1], False, "dependency_missing"),
    ("all, and it is the only one", ALL, [V2], True, "dependency_runs"),
    ("all, and there is none", ALL, [], False, "nothing_runs_beside"),
    ("all, in both environments", ALL, [V2, STAGED], True, "dependency_runs"),
    ("all, in one of two", ALL, [V1, STAGED], False, "dependency_unmet"),
    ("what runs nothing is not asked", ALL, [V2, ("cache", None, "prod-1", "production")], True, "dependency_runs"),
    ("around: on another resource", AROUND, [ELSEWHERE_V2], True, "dependency_runs"),
    ("around: in another environment", AROUND, [STAGED], False, "nothing_runs_beside"),
    ("around: one of two resources", AROUND, [V1, ELSEWHERE_V2], True, "dependency_runs"),
    ("around, all: one of two resources", AROUND | ALL, [V1, ELSEWHERE_V2], False, "dependency_unmet"),
    ("around, all: both", AROUND | ALL, [V2, ELSEWHERE_V2], True, "dependency_runs"),
]


@pytest.mark.parametrize(("what", "more", "there", "passes", "reason"), EXAMPLES, ids=[one[0] for one in EXAMPLES])
def test_looks_at_what_runs_beside_it(what, more, there, passes, reason):
    world = a_world()
    set_policies(world, {"depend": (["production"], [depends(**more)])})
    for name, tag, resource, environment in there:
        world.runs_elsewhere(name, tag, resource=resource, environment=environment)
    found = judged_target(world, depends(**more), "v1", "prod-1")
    assert (found.passes, found.reason) == (passes, reason)
    if not passes:
        assert found.waits_for is WaitsFor.WAIT
        assert found.who
        assert found.waits_on


def test_names_the_deployments_that_it_waits_for():
    world = a_world()
    set_policies(world, {"depend": (["production"], [depends()])})
    world.runs_elsewhere("shop-schema", "v1", resource="prod-1", environment="production")
    found = judged_target(world, depends(), "v1", "prod-1")
    assert found.waits_on == (f"runs:{SCHEMA}",)
    assert "shop-schema" in found.who
    assert found.values["running"] == ["shop-schema v1"]


def test_opens_at_the_landing_and_closes_for_newcomers_when_it_goes_on():
    """Berlin, Monday 09:00: the schema lands at 09:30, and only then the application goes; what runs stays."""
    world = a_world(at("2026-03-09 09:00+01:00"))
    set_policies(world, {"depend": (["production"], [depends()])})
    world.settle()
    assert runs(world, environment="staging") == {"staging-1": "-"}  # its job waits, nothing holds it
    assert world.open_move("prod-1") is None
    world.now = at("2026-03-09 09:30+01:00")
    world.runs_elsewhere("shop-schema", "v2", resource="prod-1", environment="production")
    world.settle()
    assert world.open_move("prod-1") is not None
    assert world.open_move("prod-2") is None
    finish(world, "prod-1")
    world.settle()
    world.runs_elsewhere("shop-schema", "v3", resource="prod-1", environment="production")
    assert not world.round().moving
    assert runs(world, environment="production") == {"prod-1": "v1", "prod-2": "-"}


def test_a_job_that_waits_is_withdrawn_when_what_it_needs_goes_away():
    """New York, Sunday 02:30 on the night of summer time: a landing is a fact, whatever the clocks do."""
    world = a_world(at("2026-03-08 01:59-05:00"))
    set_policies(world, {"depend": (["production"], [depends()])})
    world.runs_elsewhere("shop-schema", "v2", resource="prod-1", environment="production")
    world.settle()
    assert world.open_move("prod-1") is not None
    world.now = at("2026-03-08 03:01-04:00")
    world.runs_elsewhere("shop-schema", "v1", resource="prod-1", environment="production")
    world.settle()
    assert world.open_move("prod-1") is None


def test_a_retry_and_a_rollback_are_not_asked():
    world = a_fleet({"production": ["prod-1"]}, runs="v0")
    rules = [depends(), {"retry": {"maxRetries": 1}}, {"rollback": {"onJobStatuses": ["failure"]}}]
    set_policies(world, {"depend": (["production"], rules)})
    world.runs_elsewhere("shop-schema", "v2", resource="prod-1", environment="production")
    world.create_version("v1")
    world.settle()
    world.hand_over(world.open_move("prod-1").jobs[0].id)
    world.runs_elsewhere("shop-schema", "v1", resource="prod-1", environment="production")
    world.hear(world.open_move("prod-1").jobs[0].id, JobStatus.FAILURE)
    world.settle()
    assert len(world.open_move("prod-1").jobs) == 2
    finish(world, "prod-1", JobStatus.FAILURE)
    world.settle()
    assert world.open_move("prod-1").kind == "rollback"


REFUSED = [
    ("no expression", {}, "dependsOn", "is required"),
    ("what is no CEL", {"dependsOn": "((( not"}, "dependsOn", "line 1"),
    ("another root", {"dependsOn": "resource.name == 'a'"}, "dependsOn", "not known here"),
    ("a field that is none", {"dependsOn": "version.tg == 'a'"}, "dependsOn", "no field `tg`"),
    (
        "a field that is not loaded",
        {"dependsOn": "version.config.a == 'a'"},
        "dependsOn",
        "reads version.config, which is not known of other deployments",
    ),
    ("whether it is there", {"dependsOn": "has(version.config)"}, "dependsOn", "not known of other"),
    ("another mode", {"dependsOn": "true", "require": "some"}, "require", "one of any, all"),
    ("another scope", {"dependsOn": "true", "scope": "world"}, "scope", "one of sameResource, sameEnvironment"),
]


@pytest.mark.parametrize(("what", "wire", "field", "message"), REFUSED, ids=[one[0] for one in REFUSED])
def test_bad_parameters_are_refused(what, wire, field, message):
    with pytest.raises(Invalid) as refused:
        parse_rules([{"deploymentDependency": wire}])
    (fault,) = refused.value.fields
    assert fault.path == f"rules[0].deploymentDependency.{field}"
    assert message in fault.message


def test_the_expression_is_evaluated_once_a_version_whatever_the_number_of_targets(monkeypatch):
    world = a_fleet({"production": [f"prod-{n}" for n in range(60)]})
    world.create_version("v1")
    set_policies(world, {"depend": (["production"], [depends(), depends("deployment.id == ''", require="all")])})
    for n in range(60):
        world.runs_elsewhere("shop-schema", "v2" if n % 2 else "v1", resource=f"prod-{n}", environment="production")
    asked = []
    real = to_python.predicate

    def counting(selector):
        return lambda subjects: asked.append(selector.text) or real(selector)(subjects)

    monkeypatch.setattr("interlock.decide.index.predicate", counting)
    plan = decide(world.snapshot(), world.now)
    assert not plan.moves
    assert len(asked) <= 8  # 2 rules x 2 versions, before and after the answers


def test_equal_targets_are_told_the_same_and_different_ones_their_own():
    world = a_world()
    set_policies(world, {"depend": (["production"], [depends()])})
    world.runs_elsewhere("shop-schema", "v2", resource="prod-2", environment="production")
    facts, (rule,) = world.snapshot(), parse_rules([depends()])
    plan = decide(facts, world.now)
    assert {facts.targets[move.target_id].name for move in plan.moves} == {"staging-1", "prod-2"}
    index = Index(facts)
    groups = {}
    for target in facts.targets.values():
        subject = TargetMove(index, target, world.version("v1"), "forward")
        told = deployment_dependency.evaluate(subject, rule.params, world.now)
        assert groups.setdefault(deployment_dependency.group(subject), told) == told


# Version dependencies -------------------------------------------------------------------------------------------------

V2_ONLY = 'version.tag == "v2"'
HERE, THERE, LAB = ("prod-1", "production"), ("prod-1", "staging"), ("prod-1", "lab")

# what shop-schema runs at (resource, environment); everywhere?
NEEDS = [
    ("it is nowhere", {}, False, False),
    ("it runs here", {HERE: "v2"}, False, True),
    ("it runs something else here", {HERE: "v1"}, False, False),
    ("it runs nothing here", {HERE: None}, False, False),
    ("it is only there", {THERE: "v2"}, False, True),
    ("it is only there, with something else", {THERE: "v1"}, False, False),
    ("nowhere here: right in one environment, wrong in another", {THERE: "v1", LAB: "v2"}, False, True),
    ("nowhere here: wrong in both", {THERE: "v1", LAB: "v3"}, False, False),
    ("all: nowhere here, right in one of two", {THERE: "v1", LAB: "v2"}, True, False),
    ("here decides: not yet here, but there", {HERE: None, THERE: "v2"}, False, False),
    ("here decides: wrong here, right there", {HERE: "v1", THERE: "v2"}, False, False),
    ("here decides: right here, wrong there", {HERE: "v2", THERE: "v1"}, False, True),
    ("on another resource", {("prod-2", "production"): "v2"}, False, False),
    ("all: everywhere", {HERE: "v2", THERE: "v2"}, True, True),
    ("all: only here", {HERE: "v2"}, True, True),
    ("all: right here, wrong there", {HERE: "v2", THERE: "v1"}, True, False),
    ("all: nothing there yet", {HERE: "v2", THERE: None}, True, False),
    ("all: nowhere", {}, True, False),
]


def told(world, name="prod-1", tag="v2"):
    index = Index(world.snapshot())
    subject = TargetMove(index, world.target(name), index.version_by_id[world.version(tag).id], "forward")
    return version_dependency.evaluate(subject, world.now)


@pytest.mark.parametrize(("what", "there", "everywhere", "passes"), NEEDS, ids=[one[0] for one in NEEDS])
def test_a_version_waits_for_what_it_needs(what, there, everywhere, passes):
    world = a_world()
    world.create_version("v2", dependencies=[Dependency(SCHEMA, V2_ONLY, everywhere)])
    for (resource, environment), tag in there.items():
        world.runs_elsewhere("shop-schema", tag, resource=resource, environment=environment)
    found = told(world)
    assert found.passes is passes, found
    assert found.reason == ("dependencies_run" if passes else "dependency_not_there")
    if not passes:
        assert found.waits_for is WaitsFor.WAIT
        assert found.waits_on == (f"runs:{SCHEMA}",)
        assert V2_ONLY in found.values["unmet"][0]


def test_a_version_that_needs_nothing_passes():
    assert told(a_world(), tag="v1").reason == "needs_nothing"


def test_every_dependency_must_be_met_and_the_missing_one_is_named():
    world = a_world()
    cache = derived_id("deployment", "cache")
    world.create_version("v2", dependencies=[Dependency(SCHEMA, V2_ONLY), Dependency(cache, "true")])
    world.runs_elsewhere("shop-schema", "v2", resource="prod-1", environment="production")
    world.runs_elsewhere("cache", None, resource="prod-2", environment="production")
    found = told(world)
    assert found.waits_on == (f"runs:{cache}",)
    assert found.values["unmet"] == ["cache with true (it is not there)"]


def test_a_version_that_waits_lets_an_older_one_go():
    world = a_world()
    world.create_version("v2", dependencies=[Dependency(SCHEMA, V2_ONLY)])
    deploy(world, "v1")
    assert set(runs(world).values()) == {"v1"}
    for resource in ("prod-1", "prod-2", "staging-1"):
        world.runs_elsewhere("shop-schema", "v2", resource=resource, environment="production")
    deploy(world, "v2")
    assert set(runs(world).values()) == {"v2"}


def test_a_skip_by_kind_lets_a_version_pass():
    world = a_world()
    world.create_version("v2", dependencies=[Dependency(SCHEMA, V2_ONLY)])
    world.skip("versionDependency", "v2", environment="production")
    plan = world.round()
    went = {world.facts.targets[move.target_id].name: move.version_id for move in plan.moves}
    assert went["prod-1"] == world.version("v2").id
    assert went["staging-1"] == world.version("v1").id


def test_an_expression_that_cannot_be_read_any_more_holds_as_unknown():
    world = a_world()
    world.create_version("v2", dependencies=[Dependency(SCHEMA, "(((")])
    world.settle()
    rows = decide(replace(world.snapshot(), decided_by_target={}), world.now).target_decisions
    said = {verdict["reason"] for row in rows for verdict in row.verdicts}
    assert "rule_error" in said


# What is loaded -------------------------------------------------------------------------------------------------------


def test_nothing_is_loaded_where_nothing_asks():
    world = a_world()
    world.runs_elsewhere("shop-schema", "v2", resource="prod-1", environment="production")
    facts = world.snapshot()
    assert needed(facts.versions, facts.policies.values()).nothing
    assert facts.elsewhere == narrowed(facts.elsewhere, Need(), facts.targets)
    assert not facts.elsewhere.deployments
    assert not facts.elsewhere.by_resource


def test_only_what_versions_name_is_loaded_for_them():
    world = a_world()
    world.create_version("v2", dependencies=[Dependency(SCHEMA, V2_ONLY)])
    world.runs_elsewhere("shop-schema", "v2", resource="prod-1", environment="production")
    world.runs_elsewhere("cache", "v9", resource="prod-1", environment="production")
    elsewhere = world.snapshot().elsewhere
    assert set(elsewhere.deployments) == {SCHEMA}
    assert [view["tag"] for view in elsewhere.versions.values()] == ["v2"]
    assert not elsewhere.by_environment


def test_equal_neighbours_are_one_value():
    world = a_world()
    set_policies(world, {"depend": (["production"], [depends()])})
    for resource in ("prod-1", "prod-2"):
        world.runs_elsewhere("shop-schema", "v2", resource=resource, environment="production")
    one, other = world.snapshot().elsewhere.by_resource.values()
    assert one is other


# Words ----------------------------------------------------------------------------------------------------------------

WORDS = [
    ({}, [], f"No other deployment runs anything on the same resource; it waits for one that matches {NEEDS_V2}."),
    (
        AROUND,
        [],
        f"No other deployment runs anything in the same environment; it waits for one that matches {NEEDS_V2}.",
    ),
    ({}, [V1, CACHE], f"Nothing that runs on the same resource matches {NEEDS_V2}; there is cache v9, shop-schema v1."),
    (ALL, [V2, CACHE], f"cache v9 runs on the same resource and does not match {NEEDS_V2}; all must."),
    (ALL | AROUND, [V2, CACHE], f"cache v9 runs in the same environment and does not match {NEEDS_V2}; all must."),
    ({}, [V2, STAGED, CACHE], "shop-schema v2 runs on the same resource."),
    (AROUND, [V2], "shop-schema v2 runs in the same environment."),
]


@pytest.mark.parametrize(("more", "there", "said"), WORDS)
def test_says_what_runs_there_and_what_it_waits_for(more, there, said):
    world = a_world()
    set_policies(world, {"depend": (["production"], [depends(**more)])})
    for name, tag, resource, environment in there:
        world.runs_elsewhere(name, tag, resource=resource, environment=environment)
    found = judged_target(world, depends(**more), "v1", "prod-1")
    assert sentence(verdict_json(Judged("deploymentDependency", found))).startswith(said)


def test_who_can_act_are_those_who_may_deploy_what_is_missing():
    world = a_world()
    set_policies(world, {"depend": (["production"], [depends(require="all")])})
    assert judged_target(world, depends(), "v1", "prod-1").who == (
        "whoever may deploy what it waits for, or edit the policy"
    )
    assert judged_target(world, depends(), "v1", "prod-1").waits_on == ("runs",)
    for name, tag in (("shop-schema", "v2"), ("cache", "v9"), ("proxy", "v1"), ("agent", None)):
        world.runs_elsewhere(name, tag, resource="prod-1", environment="production")
    held = judged_target(world, depends(require="all"), "v1", "prod-1")
    assert held.who == "whoever may deploy cache, proxy, or edit the policy"
    assert held.waits_on == tuple(sorted(f"runs:{derived_id('deployment', name)}" for name in ("cache", "proxy")))


def test_what_has_a_place_there_and_runs_nothing_yet_is_waited_for_by_name():
    world = a_world()
    set_policies(world, {"depend": (["production"], [depends()])})
    world.runs_elsewhere("shop-schema", None, resource="prod-1", environment="production")
    assert judged_target(world, depends(), "v1", "prod-1") == holds(
        WaitsFor.WAIT,
        "nothing_runs_beside",
        waits_on=(f"runs:{SCHEMA}",),
        who="whoever may deploy shop-schema, or edit the policy",
        where="on the same resource",
        selector=NEEDS_V2,
        running=[],
    )


def test_names_ten_of_many_at_most():
    world = a_world()
    set_policies(world, {"depend": (["production"], [depends()])})
    for number in range(12):
        world.runs_elsewhere(f"other-{number:02}", "v1", resource="prod-1", environment="production")
    held = judged_target(world, depends(), "v1", "prod-1")
    assert held.values["running"] == [f"other-{number:02} v1" for number in range(10)]
    assert held.who.endswith("other-09, or edit the policy")
    assert len(held.waits_on) == 10


def test_a_version_says_what_it_needs_and_what_runs_instead():
    world = a_world()
    cache = derived_id("deployment", "cache")
    needs = [Dependency(SCHEMA, V2_ONLY, everywhere=True), Dependency(cache, "false")]
    world.create_version("v2", dependencies=needs)
    world.runs_elsewhere("shop-schema", "v1", resource="prod-1", environment="production")
    world.runs_elsewhere("shop-schema", None, resource="prod-1", environment="staging")
    world.runs_elsewhere("cache", "v9", resource="prod-1", environment="staging")
    found = told(world)
    assert sentence(verdict_json(Judged("versionDependency", found))) == (
        "The version needs cache with false (it runs v9), shop-schema in all environments with "
        'version.tag == "v2" (it runs nothing, v1) on the same resource. '
        "Who can act: whoever may deploy cache, shop-schema, or edit the version's dependencies."
    )
    assert found.waits_on == tuple(sorted((f"runs:{SCHEMA}", f"runs:{cache}")))


# What would let it go -------------------------------------------------------------------------------------------------


def lifted(world, lifts, tag):
    facts, at_ = with_lifts(world.snapshot(), world.now, lifts)
    moved = {facts.targets[move.target_id].name: move.version_id for move in decide(facts, at_).moves}
    return moved.get("prod-1") == world.version(tag).id


def subject_of(world, tag="v1"):
    return TargetMove(Index(world.snapshot()), world.target("prod-1"), world.version(tag), "forward")


def test_a_version_known_from_elsewhere_would_let_it_go():
    world = a_world()
    set_policies(world, {"depend": (["production"], [depends()])})
    world.runs_elsewhere("shop-schema", "v1", resource="prod-1", environment="production")
    (rule,) = parse_rules([depends()])
    held = judged_target(world, depends(), "v1", "prod-1")
    assert deployment_dependency.lifts(subject_of(world), rule.params, held) == ()
    world.runs_elsewhere("shop-schema", "v2", resource="prod-2", environment="production")
    (lift,) = deployment_dependency.lifts(subject_of(world), rule.params, held)
    assert (lift.code, lift.values) == ("runs_beside", {"deployment": "shop-schema", "version": "v2"})
    assert lift.who == "whoever may deploy shop-schema"
    there = subject_of(world).target
    after = lift.change(world.snapshot(), world.now).elsewhere.by_resource[there.resource_id]
    assert {(one.environment_id, one.deployment_id) for one in after} == {(there.environment_id, SCHEMA)}
    assert not lifted(world, [], "v1")
    assert lifted(world, [lift], "v1")
    (rule,) = parse_rules([depends(require="all")])
    assert deployment_dependency.lifts(subject_of(world), rule.params, held) == ()


@pytest.mark.parametrize(
    ("everywhere", "known", "code"),
    [
        (False, True, "runs_beside"),
        (False, False, "dependency_dropped"),
        (True, True, "dependency_dropped"),
    ],
)
def test_a_version_would_go_if_its_need_were_met_or_dropped(everywhere, known, code):
    world = a_world()
    needs = [Dependency(SCHEMA, V2_ONLY, everywhere), Dependency(derived_id("deployment", "cache"), "true")]
    world.create_version("v2", dependencies=needs)
    world.runs_elsewhere("cache", "v2", resource="prod-1", environment="production")
    world.runs_elsewhere("shop-schema", "v1", resource="prod-1", environment="production")
    if known:
        world.runs_elsewhere("shop-schema", "v2", resource="prod-2", environment="production")
    (lift,) = version_dependency.lifts(subject_of(world, "v2"), None, told(world))
    assert lift.code == code
    about = {"deployment": "shop-schema", "version": "v2"}
    assert lift.values == about
    assert not lifted(world, [], "v2")
    assert lifted(world, [lift], "v2")


def test_each_need_that_is_not_met_has_its_own_way():
    world = a_world()
    cache = derived_id("deployment", "cache")
    world.create_version("v2", dependencies=[Dependency(cache, "true"), Dependency(SCHEMA, V2_ONLY)])
    world.runs_elsewhere("shop-schema", "v2", resource="prod-2", environment="staging")
    dropped, beside = version_dependency.lifts(subject_of(world, "v2"), None, told(world))
    assert [dropped.code, beside.code] == ["dependency_dropped", "runs_beside"]
    assert dropped.values == {"deployment": cache, "version": "v2"}
    assert not lifted(world, [dropped], "v2")
    assert not lifted(world, [beside], "v2")
    assert lifted(world, [dropped, beside], "v2")


def test_the_version_that_would_run_there_takes_the_place_of_what_runs_there_now():
    """Of two needs the first is met; for the second, v2 of the schema would have to run in place of v1."""
    world = a_world()
    cache = derived_id("deployment", "cache")
    world.create_version("v2", dependencies=[Dependency(cache, "true"), Dependency(SCHEMA, V2_ONLY)])
    world.runs_elsewhere("cache", "v9", resource="prod-1", environment="production")
    world.runs_elsewhere("shop-schema", "v1", resource="prod-1", environment="production")
    world.runs_elsewhere("shop-schema", "v2", resource="prod-2", environment="production")
    subject = subject_of(world, "v2")
    (lift,) = version_dependency.lifts(subject, None, told(world))
    after = lift.change(world.snapshot(), world.now).elsewhere.by_resource[subject.target.resource_id]
    found = {(one.environment_id, one.deployment_id, subject.tag_of(one.version_id)) for one in after}
    here = subject.target.environment_id
    assert found == {(here, cache, "v9"), (here, SCHEMA, "v2")}

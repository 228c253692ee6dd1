"""What does a selector say of a view, by example? Missing keys, types, blanks, and the three outcomes of a policy."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from interlock.inventory import to_python
from interlock.inventory.selector import Scope, parse_expression, parse_selector
from interlock.inventory.to_python import Match, match_outcome, matches, python_source, sieve, value_of, valuer
from interlock.inventory.views import agent_view, deployment_view, environment_view, resource_view, version_view
from interlock.model.errors import Invalid
from interlock.model.inventory import Deployment, Environment, JobAgent, Resource

AT = datetime(2026, 3, 9, 8, 0, tzinfo=UTC)
RESOURCE = Resource(
    id="00000000-0000-4000-8000-000000000001",
    workspace_id="00000000-0000-4000-8000-0000000000ff",
    provider_id=None,
    identifier="arn:aws:eks/prod",
    name="prod-eu-1",
    kind="Kubernetes",
    version="1.2.3",
    config={"server": {"port": 443, "tls": True, "weight": 1.0, "names": ["a", "b"]}, "nothing": None},
    metadata={"env": "prod", "n": "3"},
    created_at=AT,
    updated_at=AT,
)
VIEW = resource_view(RESOURCE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # contract.md section e
        ('resource.metadata["env"] == "prod"', True),
        ('resource.metadata["env"] == "dev"', False),
        ('resource.metadata["none"] == "x"', False),
        ('resource.metadata["none"] != "x"', False),
        ('!(resource.metadata["none"] == "x")', False),
        ('resource.metadata["none"] == "x" || true', True),
        ('resource.metadata["none"] == "x" || resource.kind == "Kubernetes"', True),
        ('resource.metadata["none"] == "x" && false || resource.kind == "Kubernetes"', True),
        ("resource.metadata.env == 'prod'", True),
        ("resource.name.contains('eu')", True),
        ("resource.name.startsWith('prod') && !resource.name.endsWith('us-1')", True),
        ("resource.identifier == 'arn:aws:eks/prod'", True),
        ("", False),
        ("false", False),
        ("true", True),
        # numbers, truth and nothing are not each other
        ("resource.config.server.port == 443", True),
        ("resource.config.server.port == 443.0", True),
        ("resource.config.server.tls == true", True),
        ("resource.config.server.tls == 1", False),
        ("resource.config.server.weight == 1", True),
        ("resource.config.server.weight == true", False),
        ("resource.config.server.port > 80", True),
        ("resource.config.server.port > '80'", False),
        ("resource.config.server.port < '80'", False),
        ("resource.config.nothing == null", True),
        ("resource.config.none == null", False),
        ("resource.config.server.tls", True),
        ("!resource.config.server.tls", False),
        ("resource.config.server.port", False),
        ("!resource.config.server.port", False),
        ("'b' in resource.config.server.names", True),
        ("resource.config.server.names[1] == 'b'", True),
        ("resource.config.server.names[2] == 'b'", False),
        ("resource.config.server.names[-1] == 'b'", False),
        ("int(resource.metadata.n) > 2", True),
        ("int(resource.metadata.env) > 2", False),
        # absent, blank, and has()
        ("resource.providerId == ''", False),
        ("resource.providerId != ''", False),
        ("has(resource.providerId)", False),
        ("has(resource.config.server.port) && !has(resource.config.server.none)", True),
        ("has(resource.config.server.port.x)", False),
        ("resource.config.server.names[0].endsWith('a')", True),
        ("resource.config.server[resource.kind] == 1", False),
        ("resource.kind in ['VM', 'Kubernetes']", True),
        ("resource.config.server.names[1] in ['a', 'b']", True),
        ("resource.metadata.none in ['a', 'b']", False),
        ("has(resource.kind) && 1 + 1 == 2", True),
        ("!has(resource.providerId)", True),
        ("has(resource.metadata.env) && !has(resource.metadata.none)", True),
        # time
        ("timestamp(resource.createdAt) > timestamp('2026-03-09T08:30:00+01:00')", True),
        ("timestamp(resource.createdAt) == timestamp('2026-03-09T08:00:00Z')", True),
        ("timestamp(resource.createdAt) < timestamp('2026-02-30T08:00:00Z')", False),
        ("timestamp(resource.createdAt) - timestamp('2026-03-09T00:00:00Z') == duration('8h')", True),
        ("resource.createdAt.startsWith('2026-03-09T08')", True),
        # functions of ours
        ("sets.contains(resource.config.server.names, ['a'])", True),
        ("sets.intersects(resource.config.server.names, ['c', 'b'])", True),
        ("sets.equivalent(resource.config.server.names, ['b', 'a', 'a'])", True),
        ("sets.equivalent(resource.config.server.names, ['b'])", False),
        ("sets.contains(resource.config.server, ['a'])", False),
        ("lists.distinct([1, 1, 2]) == [1, 2]", True),
        ("lists.first(resource.config.server.names, 'z') == 'a'", True),
        ("lists.first([], 'z') == 'z'", True),
        ("semver(resource.version) >= semver('1.2.3-rc.1')", True),
        ("semver(resource.version) < semver('v1.10.0+build.5')", True),
        ("semver(resource.name) < semver('1.0.0')", False),
        # the reference engine's own
        ("resource.name.matches('^prod-[a-z]+-[0-9]$')", True),
        ("resource.name.matches('(')", False),
        ("resource.metadata[?'none'].orValue('x') == 'x'", True),
        ("cel.bind(e, resource.metadata.env, e == 'prod' || e == 'dev')", True),
        ("int(resource.metadata.n) + 1 == 4", True),
        ("resource.config.server.port == 443u", True),
        ("b'a' == b'a'", True),
        ("{'a': resource.kind}.a == 'Kubernetes'", True),
        ("[?optional.of(resource.kind)] == ['Kubernetes']", True),
        ("resource.name.matches(resource.name)", True),
        # whatever stands where something else should
        ("resource.config.server.port in resource.config", False),
        ("443 in resource.config.server", False),
        ("dyn(443) in dyn(resource.config.server)", False),
        ("!(dyn(443) in dyn(resource.config.server))", True),
        ("!(null in dyn(resource.config.server))", False),
        ("'a' in resource.config.server.port", False),
        ("resource.config.none in resource.config.server.names", False),
        ("resource.config.server.port.upperAscii() == 'A'", False),
        ("resource.kind.upperAscii() == 'KUBERNETES' && resource.kind.lowerAscii() == 'kubernetes'", True),
        ("int(resource.config.server.port) == 443", True),
        ("int(resource.config.server.weight) == 1", True),
        ("int(resource.metadata.none) == 1", False),
        ("timestamp(resource.metadata.env) < timestamp('2026-01-01T00:00:00Z')", False),
        ("timestamp(resource.metadata.none) < timestamp('2026-01-01T00:00:00Z')", False),
        ("resource.config.server.port.filter(x, x == 1) == []", False),
        ("resource.config.server.names.filter(x, x > 1) == []", False),
        ("resource.config.server.port.map(x, x) == []", False),
        ("resource.config.server.port.exists(x, x == 1)", False),
        ("resource.config.server.port.all(x, x == 1)", False),
        ("resource.config.server.port.exists_one(x, x == 1)", False),
        ("resource.config.server.port.split(',') == []", False),
        ("resource.version.split('.') == ['1', '2', '3'] && resource.version.split('').size() == 5", True),
        ("resource.config.server.port.matches('4')", False),
        ("resource.name < resource.version", False),
        ("resource.kind in resource.metadata", False),
        ("!(resource.kind in resource.metadata)", True),
        ("dyn(resource.kind == 'Kubernetes')", True),
        ("dyn('a') ? true : false", False),
        ("(resource.kind == 'x' ? resource.name : resource.version) == '1.2.3'", True),
        ("(resource.metadata.none == 'x' ? resource.name : resource.version) == '1.2.3'", False),
        ("resource.config.server.names.all(x, x != 'c') == true", True),
        ("dyn(resource.config.server.names.all(x, x != 'c')) == dyn(true)", True),
        ("[1, 2].map(x, x > 1, x * 2) == [4]", True),
    ],
)
def test_says_whether_a_resource_matches(text: str, expected: bool) -> None:
    selector = parse_selector(text, Scope.RESOURCE)
    assert matches(selector, {"resource": VIEW}) is expected
    assert sieve(selector)([VIEW]) == ([VIEW] if expected else [])
    assert sieve(selector)(iter([VIEW])) == ([VIEW] if expected else [])


@pytest.mark.parametrize(
    ("pattern", "python"),
    [
        ("^prod", "r_resource['name'].startswith('prod')"),
        ("^prod.*", "r_resource['name'].startswith('prod')"),
        ("-1$", "r_resource['name'].endswith('-1')"),
        ("^prod-eu-1$", "(r_resource['name'] == 'prod-eu-1')"),
        ("eu", "(_contains(r_resource['name'], 'eu') is True)"),
        ("eu|us", "(_matches(r_resource['name'], 'eu|us') is True)"),
    ],
)
def test_a_pattern_of_plain_text_is_no_regular_expression(pattern: str, python: str) -> None:
    selector = parse_selector(f"resource.name.matches('{pattern}')", Scope.RESOURCE)
    assert python_source(selector) == python
    assert matches(selector, {"resource": VIEW})


def test_shows_the_python_it_wrote_and_says_when_there_is_none() -> None:
    assert python_source(parse_selector("!(resource.metadata.env == 'x')", Scope.RESOURCE)) == (
        "(r_resource['metadata'].get('env', 'x') != 'x')"
    )
    assert python_source(parse_selector("1 + 1 == 2", Scope.RESOURCE)) is None


def test_a_regular_expression_that_would_take_python_for_ever_is_quick() -> None:
    selector = parse_selector("resource.name.matches('^(a+)+$')", Scope.RESOURCE)
    assert not matches(selector, {"resource": {**VIEW, "name": "a" * 5000 + "!"}})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("resource.kind == 'Kubernetes' && environment.name == 'production'", Match.YES),
        ("environment.name == 'staging'", Match.NO),
        ("resource.metadata.none == 'x'", Match.NO),
        ("!(resource.metadata.none == 'x')", Match.NO),
        ("resource.config.server.port > 'x'", Match.UNKNOWN),
        ("resource.config.server.port", Match.UNKNOWN),
        ("int(resource.metadata.env) > 1", Match.UNKNOWN),
        ("1 + 1 == 3", Match.NO),
        ("service.tier == 1", Match.UNKNOWN),
        ("change.risk == 'high'", Match.UNKNOWN),
        ("environment.name == 'production' || service.tier == 1", Match.YES),
        ("environment.name == 'staging' && service.tier == 1", Match.NO),
    ],
)
def test_a_policy_is_told_apart_that_might_apply(text: str, expected: Match) -> None:
    subjects = {"resource": VIEW, "environment": {"id": "e", "name": "production", "metadata": {}}}
    assert match_outcome(parse_selector(text, Scope.POLICY), subjects) is expected


def test_a_known_fact_is_read() -> None:
    selector = parse_selector("service.tier == 1", Scope.POLICY)
    assert match_outcome(selector, {"service": {"tier": 1}}) is Match.YES
    assert match_outcome(selector, {"service": {"tier": 2}}) is Match.NO
    assert match_outcome(selector, {"service": {}}) is Match.UNKNOWN


def test_conditions_over_a_result_read_any_shape() -> None:
    result = {"ok": True, "value": 0.02, "json": {"items": [{"up": 1}, {"up": 0}]}, "statusCode": 200}
    for text, expected in {
        "result.ok && result.value < 0.05": True,
        "result.statusCode == 200": True,
        "result.json.items.exists(i, i.up == 0)": True,
        "result.json.items.all(i, i.up == 1)": False,
        "result.json.items.filter(i, i.up == 1).size() == 1": True,
        "result.json.items.map(i, i.up) == [1, 0]": True,
        "result.json.items.exists_one(i, i.up == 1)": True,
        "result.value / 2.0 < 0.02": True,
        "result.none == 1": False,
    }.items():
        assert matches(parse_selector(text, Scope.RESULT), {"result": result}) is expected, text


def test_a_blank_field_is_blank_to_the_reference_too() -> None:
    selector = parse_selector("environment.description == '' && 1 + 1 == 2", Scope.ENVIRONMENT)
    assert python_source(selector) is None
    assert matches(selector, {"environment": {"description": None}})


def test_conditions_that_would_double_at_every_level_are_left_to_the_reference() -> None:
    text = "resource.kind == 'x'"
    for _ in range(13):
        text = f"({text} ? resource.name == 'a' : resource.version == '1.2.3')"
    selector = parse_selector(text, Scope.RESOURCE)
    assert python_source(selector) is None
    assert matches(selector, {"resource": VIEW})


def test_gives_values_and_says_why_it_cannot() -> None:
    assert value_of(parse_expression("resource.metadata.env", Scope.RESOURCE), {"resource": VIEW}) == "prod"
    assert value_of(parse_expression("resource.config.server.names", Scope.RESOURCE), {"resource": VIEW}) == ["a", "b"]
    assert value_of(parse_expression("size(resource.metadata) + 1", Scope.RESOURCE), {"resource": VIEW}) == 3
    with pytest.raises(Invalid, match="convert"):
        value_of(parse_expression("optional.none()", Scope.RESOURCE), {"resource": VIEW})
    with pytest.raises(Invalid, match="none"):
        value_of(parse_expression("resource.metadata.none", Scope.RESOURCE), {"resource": VIEW})


def test_a_view_that_lacks_what_it_should_have_is_no_match_and_no_crash() -> None:
    selector = parse_selector("resource.kind == 'x' || resource.name == 'y'", Scope.RESOURCE)
    assert not matches(selector, {})
    assert not matches(selector, {"resource": {"kind": "z"}})
    assert matches(selector, {"resource": {"name": "y"}})
    assert sieve(selector)([{"kind": "z"}, {"name": "y"}]) == [{"name": "y"}]


def test_a_value_of_a_view_that_is_missing_is_nothing_and_no_crash() -> None:
    name = valuer(parse_expression("resource.name", Scope.RESOURCE))
    assert name({"resource": VIEW}) == VIEW["name"]
    assert name({}) is None


def test_a_sieve_that_needs_another_root_asks_one_by_one() -> None:
    selector = parse_selector("jobAgent.name == resource.name || jobAgent.name == 'a'", Scope.JOB_AGENT)
    assert sieve(selector)([{"name": "a"}, {"name": "b"}]) == [{"name": "a"}]


def test_too_deep_for_python_is_left_to_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    selector = parse_selector("resource.kind == 'Kubernetes' && resource.name != 'deep'", Scope.RESOURCE)
    monkeypatch.setattr(to_python._Writer, "condition", lambda self, node, wanted: "(" * 300 + "True" + ")" * 300)
    assert matches(selector, {"resource": VIEW})
    assert sieve(selector)([VIEW]) == [VIEW]


def test_views_have_the_words_of_their_scope() -> None:
    deployment = Deployment("d", "shop", None, "true", "true", {}, None, {"env": "prod"}, "wait")
    views: dict[Scope, dict[str, Any]] = {
        Scope.ENVIRONMENT: environment_view(Environment("e", "prod", None, "true", {"env": "prod"}, AT)),
        Scope.DEPLOYMENT: deployment_view(deployment),
        Scope.VERSION: version_view(
            "v", deployment_id="d", tag="v1", status="ready", created_at=AT, metadata={"env": "prod"}
        ),
        Scope.JOB_AGENT: agent_view(JobAgent("a", "w", "exec", "exec", {}, {"env": "prod"})),
        Scope.RESOURCE: VIEW,
    }
    for scope, view in views.items():
        root = scope.roots[0]
        assert matches(parse_selector(f"{root}.metadata.env == 'prod' && {root}.name != ''", scope), {root: view})
        assert set(view) <= {name.partition(".")[2] for name in scope.variables}
    assert matches(parse_selector("version.message == ''", Scope.VERSION), {"version": views[Scope.VERSION]})
    assert matches(
        parse_selector("!has(environment.description) && environment.description == ''", Scope.ENVIRONMENT),
        {"environment": views[Scope.ENVIRONMENT]},
    )

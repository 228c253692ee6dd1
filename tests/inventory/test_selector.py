"""What is taken as a selector, what is refused, and does the refusal say where and what instead?"""

from __future__ import annotations

import pytest

from interlock.inventory.selector import (
    TEXT_MAX,
    Scope,
    Selector,
    parse_expression,
    parse_selector,
    plain_spelling,
)
from interlock.model.errors import Invalid


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("this is not valid cel ===!!!", "line 1:6", "Syntax error"),
        ("this is (((not valid CEL", "line 1:6", "Syntax error"),
        ("((( not valid cel", "line 1:9", "Syntax error"),
        ("this is not cel @#$%", "line 1:6", "Syntax error"),
        (
            "resource.kidn == 'x'",
            "line 1:9",
            "`resource` has no field `kidn`; its fields are id, identifier, name,",
        ),
        ("resource.kind == 'x' &&\nresource.knd == 'y'", "line 2:9", "`resource` has no field `knd`"),
        ("has(resource.knd)", "line 1:4", "`resource` has no field `knd`"),
        ('resource["knd"] == "x"', "line 1:1", "`resource` is read field by field"),
        ("resource == null", "line 1:1", "`resource` is read field by field"),
        (
            "environment.name == 'x'",
            "line 1:12",
            "`environment.name` is not known here; an expression may read r",
        ),
        ("foo", "line 1:1", "`foo` is not known here"),
        ("resource.kind == 5", "line 1:15", "no matching overload"),
        ('resource.metadata["n"] > 3', "line 1:24", "no matching overload"),
        ("resource.kind", "", "must be true or false; this one gives string"),
        ("size(resource.metadata)", "", "must be true or false; this one gives int"),
        ("resource.kind.matches()", "line 1:22", "there is no function `matches` that takes this"),
        ("[" * 40 + "]" * 40 + " == []", "", "recursion limit"),
        ("+".join(["1"] * 2000) + " > 1", "", "recursion depth"),
        ("[1].exists(resource, resource == 1)", "", "`resource` is already a name here"),
        ("resource.config" + ".a" * 40 + " == 1", "", "recursion depth"),
        ("x" * (TEXT_MAX + 1), "", "at most 10000 characters"),
    ],
)
def test_refuses_and_says_where_and_what(text: str, where: str, says: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_selector(text, Scope.RESOURCE)
    assert refused.value.message.startswith(where)
    assert says in refused.value.message


@pytest.mark.parametrize(
    ("text", "constant"),
    [("", False), ("  \n", False), ("false", False), ("true", True), ("1 == 1", None), ("resource.kind == 'x'", None)],
)
def test_knows_what_selects_everything_and_nothing(text: str, constant: bool | None) -> None:
    assert parse_selector(text, Scope.RESOURCE).constant is constant


def test_every_scope_takes_its_own_words() -> None:
    for scope, text in {
        Scope.RESOURCE: "resource.kind.startsWith('k') && has(resource.metadata.env)",
        Scope.ENVIRONMENT: "environment.name == 'staging'",
        Scope.DEPLOYMENT: "deployment.metadata.team == 'x' && deployment.slug == deployment.name",
        Scope.VERSION: "version.tag.startsWith('v2.') && version.status == 'ready' && version.message == ''",
        Scope.POLICY: "resource.kind == 'x' && environment.name == 'y' && deployment.name == 'z' && service.tier == 1",
        Scope.VERSION_RULE: "version.tag == environment.metadata['tag'] && resource.config.a == deployment.name",
        Scope.DEPENDENCY: "deployment.name == 'db' && version.tag != ''",
        Scope.JOB_AGENT: "jobAgent.type == 'exec' && jobAgent.config.region == resource.metadata['region']",
        Scope.VARIABLE_SET: "resource.kind == 'x' || environment.name == 'y' || deployment.name == 'z'",
        Scope.RELATIONSHIP: "from.metadata.region == to.metadata.region",
        Scope.RESULT: "result.ok && result.value < 0.5",
    }.items():
        selector = parse_selector(text, scope)
        assert selector.roots <= set(scope.roots)
        assert selector.reads_facts is (scope is Scope.POLICY)


def test_gives_the_same_object_for_the_same_text_and_equality_is_text_and_scope() -> None:
    one = parse_selector("resource.kind == 'x'", Scope.RESOURCE)
    assert parse_selector("resource.kind == 'x'", Scope.RESOURCE) is one
    assert parse_selector("resource.kind == 'x'", Scope.VERSION_RULE) != one
    assert one.variables == ("resource.kind",)
    assert isinstance(one, Selector)


def test_an_expression_may_give_anything_but_an_empty_one_is_no_expression() -> None:
    assert not isinstance(parse_expression("resource.metadata.env", Scope.RESOURCE), Selector)
    with pytest.raises(Invalid):
        parse_expression("", Scope.RESOURCE)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ('resource["kind"] == "x"', 'resource.kind    == "x"'),
        ("resource[ 'metadata' ]['env'] == 'x'", "resource.metadata     ['env'] == 'x'"),
        ("has(resource.providerId)", "has_resource.providerId "),
        ("has(resource.metadata.env)", "has(resource.metadata.env)"),
        ("\"resource['kind']\" == 'has(resource.kind)'", "\"resource['kind']\" == 'has(resource.kind)'"),
        ("r'has(resource.kind)' != '''has(resource.kind)'''", "r'has(resource.kind)' != '''has(resource.kind)'''"),
        ("true // has(resource.kind)\n&& has(resource.kind)", "true // has(resource.kind)\n&& has_resource.kind "),
        ("has(from.id) && from['id'] == 1", "has(from.id) && from['id'] == 1"),
        ("'\\'' == resource['kind']", "'\\'' == resource.kind   "),
    ],
)
def test_reads_two_other_spellings_and_moves_no_column(text: str, plain: str) -> None:
    assert plain_spelling(text, Scope.RESOURCE) == plain
    assert len(plain) == len(text)

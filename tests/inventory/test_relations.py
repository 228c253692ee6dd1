"""What is related to what? Both directions, one order, and lookups that agree with asking everything."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.inventory import engine, relations
from interlock.inventory.relations import Found, Nothing, Relations, entity_of, needed, parse_rules, shape_of
from interlock.inventory.selector import Scope, parse_selector
from interlock.model.variable import Reference, RelationshipRule

NAME = Reference("r", ("name",))


def rule(cel: str, *, name: str = "rule", rule_id: str = "1", reference: str = "r") -> RelationshipRule:
    return RelationshipRule(rule_id, "w", name, None, reference, cel, {})


def thing(thing_id: str, kind: str = "Host", config: Any = None, **metadata: str) -> dict[str, Any]:
    return {
        "id": thing_id,
        "name": f"name-{thing_id}",
        "kind": kind,
        "providerId": None,
        "config": config or {},
        "metadata": metadata,
    }


def follow(cel: str, resource: dict[str, Any], *others: dict[str, Any], to: Reference = NAME) -> Found | Nothing:
    every = [entity_of("resource", one) for one in (resource, *others)]
    return Relations(parse_rules([rule(cel)]), every).follow(to, resource)


def found_by(*args: Any, **more: Any) -> str | None:
    found = follow(*args, **more)
    return found.id if isinstance(found, Found) else None


def test_a_rule_is_asked_in_both_directions_the_resource_as_from_first() -> None:
    parent = 'from.metadata["parent"] == to.id'
    assert found_by(parent, thing("a", parent="b"), thing("b")) == "b"
    assert found_by(parent, thing("a"), thing("b", parent="a")) == "b"
    assert found_by(parent, thing("a", parent="z"), thing("b", parent="a"), thing("z")) == "z"


def test_the_smallest_id_comes_first_and_another_match_is_told() -> None:
    alike = 'from.metadata["x"] == to.metadata["x"]'
    found = follow(alike, thing("m", x="1"), thing("z", x="1"), thing("b", x="1"), thing("a", x="2"))
    assert isinstance(found, Found) and (found.id, found.others, found.value) == ("b", True, "name-b")
    alone = follow(alike, thing("m", x="1"), thing("b", x="1"))
    assert isinstance(alone, Found) and not alone.others


def test_resources_come_before_deployments_before_environments() -> None:
    mine = thing("m")
    every = [
        entity_of("environment", {"id": "1", "name": "e"}),
        entity_of("deployment", {"id": "2", "name": "d"}),
        entity_of("resource", thing("3")),
        entity_of("resource", mine),
    ]
    for wanted in ("3", "2", "1"):
        found = Relations(parse_rules([rule("true")]), every).follow(NAME, mine)
        assert isinstance(found, Found) and found.id == wanted
        every = [one for one in every if one["id"] != wanted]
    assert isinstance(Relations(parse_rules([rule("true")]), every).follow(NAME, mine), Nothing), "never itself"


def test_rules_of_one_reference_are_asked_by_name_then_id() -> None:
    mine, others = thing("m"), [thing("a"), thing("b"), thing("c")]
    rules = [
        rule('to.id == "a"', name="second", rule_id="1"),
        rule('to.id == "b"', name="first", rule_id="3"),
        rule('to.id == "c"', name="first", rule_id="2"),
        rule('to.id == "m"', name="another reference", reference="q"),
        rule("this is no CEL any more", name="a broken one"),
    ]
    for _ in range(5):
        random.Random(1).shuffle(rules)
        every = Relations(parse_rules(rules), [entity_of("resource", one) for one in (mine, *others)])
        found = every.follow(NAME, mine)
        assert isinstance(found, Found) and (found.id, found.rule_name) == ("c", "first")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("metadata", "a.b/c"), "x"),
        (("config", "nested", "list", "1"), 2),
        (("config", "nested"), {"list": [1, 2]}),
        (("config", "null"), None),
        (("config", "no"), ...),
        (("config", "nested", "list", "2"), ...),
        (("config", "nested", "list", "x"), ...),
        (("name", "0"), ...),
        (("providerId",), ...),
    ],
)
def test_a_path_leads_through_maps_and_lists(path: tuple[str, ...], value: object) -> None:
    other = thing("b", config={"nested": {"list": [1, 2]}, "null": None}, **{"a.b/c": "x"})
    found = follow('to.id == "b"', thing("a"), other, to=Reference("r", path))
    assert (found.value if isinstance(found, Found) else ...) == value
    if isinstance(found, Nothing):
        assert found.why == f"resource name-b has nothing at {'.'.join(path)}"


def test_without_an_equality_only_so_many_are_asked_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relations, "COMPARED_MAX", 3)
    others = [thing(letter) for letter in "abcdef"]
    near, far = 'to.name.endsWith("c")', 'to.name.endsWith("e")'
    assert found_by(near, thing("m"), *others) == "c"
    missed = follow(far, thing("m"), *others)
    assert isinstance(missed, Nothing) and "rule was asked about the first 3 things only" in missed.why
    assert found_by(f'{far} && to.kind == "X"', thing("m"), *others, thing("e", "X")) == "e", (
        "what cannot match is no cost"
    )


def test_a_workspace_with_too_many_things_says_so() -> None:
    found = Relations(parse_rules([rule("true")]), (), too_many=True).follow(NAME, thing("m"))
    assert isinstance(found, Nothing) and "200,000 things at most" in found.why


@pytest.mark.parametrize(
    ("cel", "joins", "texts"),
    [
        ("from.a == to.b", [(("a",), ("b",))], {}),
        ('to["b"]["c.d"] == from.a.x', [(("a", "x"), ("b", "c.d"))], {}),
        ('from.a == to.b && to.kind == "VPC" && "resource" == from.type', [(("a",), ("b",))],
         {"from": [(("type",), "resource")], "to": [(("kind",), "VPC")]}),
        ("from.a == to.b && (from.c == to.d && to.x != 1)", [(("a",), ("b",)), (("c",), ("d",))], {}),
        ("from.a == to.b || from.c == to.d", [], {}),
        ("from.a == from.b && to.a.size() == 1 && to.n == 3 && from == to && has(from.x)", [], {}),
        ("dyn(from.a) == to.b", [(("a",), ("b",))], {}),
    ],
)  # fmt: skip
def test_what_can_be_looked_up_is_read_from_the_rule(cel: str, joins: Any, texts: dict[str, Any]) -> None:
    shape = shape_of(parse_selector(cel, Scope.RELATIONSHIP).ast)
    assert list(shape.joins) == joins
    assert {side: list(found) for side, found in shape.texts.items() if found} == texts


def test_only_what_a_rule_may_relate_needs_to_be_loaded() -> None:
    clusters = [thing("a", "Cluster")]
    cel = 'from.type == "resource" && from.kind == "Cluster" && to.type == "resource" && to.kind == "Network"'
    wanted = needed(parse_rules([rule(f"{cel} && from.metadata.n == to.metadata.n")]), clusters)
    assert (wanted.resource_kinds, wanted.deployments, wanted.environments) == (frozenset({"Network"}), False, False)
    wanted = needed(parse_rules([rule('to.type == "environment" && from.metadata.n == to.name')]), clusters)
    assert (wanted.resource_kinds, wanted.deployments, wanted.environments) == (frozenset(), False, True)
    wanted = needed(parse_rules([rule('to.name == from.name && from.kind == "Cluster"')]), clusters)
    assert (wanted.resource_kinds, wanted.deployments, wanted.environments) == (None, True, True)
    wanted = needed(parse_rules([rule('from.kind == "Disk"')]), [])
    assert (wanted.resource_kinds, wanted.deployments, wanted.environments) == (frozenset(), False, False)


# The lookups agree with asking everything -----------------------------------------------------------------------------

PARTS = [
    "from.metadata.x == to.metadata.x", "to.metadata.x == from.metadata.y", "from.config.n == to.config.n",
    "from.id == to.metadata.y", 'to.kind == "VPC"', 'from.kind == "Host"', 'from.type == "resource"',
    "to.config.n != from.config.n", "has(to.metadata.y)", "from.config == to.config", "from.config.n > 0",
    'from.metadata["x"].startsWith("1")', "from.kind == to.kind",
]  # fmt: skip
CELS = st.lists(st.sampled_from(PARTS), min_size=1, max_size=3).flatmap(
    lambda parts: st.sampled_from([" && ".join(parts), " || ".join(parts), f"({parts[0]}) && ({' || '.join(parts)})"])
)
NUMBERS = st.sampled_from([1, 1.0, True, "1", None, [1], {"a": 1}, 0])
THINGS = st.lists(
    st.builds(
        lambda key, kind, n, labels: {"id": key, "name": key, "kind": kind, "config": n, "metadata": labels},
        st.sampled_from("abcdefgh"),
        st.sampled_from(["Host", "VPC"]),
        st.one_of(st.just({}), st.builds(lambda n: {"n": n}, NUMBERS)),
        st.dictionaries(st.sampled_from("xy"), st.sampled_from(["1", "2", "a"])),
    ),
    min_size=2,
    max_size=7,
    unique_by=lambda one: one["id"],
)


def by_the_book(cel: str, mine: dict[str, Any], every: list[dict[str, Any]]) -> list[str]:
    """What a rule relates to a resource, in order, by asking Google's CEL about everything."""
    selector = parse_selector(cel, Scope.RELATIONSHIP)
    me = entity_of("resource", mine)
    others = [one for one in sorted(every, key=lambda one: one["id"]) if one["id"] != mine["id"]]
    return [
        one["id"]
        for side, other in (("from", "to"), ("to", "from"))
        for one in others
        if engine.evaluate(selector.checked, selector.variables, {side: me, other: one}) is True
    ]


@settings(max_examples=300, deadline=None)
@given(CELS, THINGS, st.randoms(use_true_random=False))
def test_lookups_find_what_asking_everything_finds_in_any_order(
    cel: str, things: list[dict[str, Any]], chance: random.Random
) -> None:
    every = [entity_of("resource", one) for one in things]
    shuffled = list(every)
    chance.shuffle(shuffled)
    one, other = Relations(parse_rules([rule(cel)]), every), Relations(parse_rules([rule(cel)]), shuffled)
    for mine in things:
        book = by_the_book(cel, mine, every)
        found = one.follow(NAME, mine)
        assert found == other.follow(NAME, mine)
        assert (found.id if isinstance(found, Found) else None) == (book[0] if book else None)


def test_a_list_or_an_object_is_compared_the_long_way() -> None:
    alike = "from.config.n == to.config.n"
    mine, plain = thing("m", config={"n": [1]}), thing("a", "VPC", config={"n": 1})
    assert found_by(alike, mine, plain, thing("b", config={"n": [1]})) == "b"
    assert found_by(alike, mine, plain) is None
    assert found_by(f'{alike} && to.kind == "VPC"', mine, plain) is None
    assert found_by(alike, plain, thing("b", config={"n": {}}), thing("c", config={"n": 1})) == "c"


def test_what_was_found_for_a_resource_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    every = Relations(parse_rules([rule("true")]), [entity_of("resource", thing("a", config={"x": 1}))])
    assert isinstance(every.follow(NAME, thing("m")), Found)
    monkeypatch.setattr(Relations, "_find", lambda *_: pytest.fail("it looks again"))
    found = every.follow(Reference("r", ("config", "x")), thing("m"))
    assert isinstance(found, Found) and found.value == 1

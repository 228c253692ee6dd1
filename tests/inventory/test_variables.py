"""Which value wins, and why? The order of section 6 of the reference, ties that never flip, and what is passed over."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.inventory.relations import Relations, entity_of, parse_rules
from interlock.inventory.variables import UNDECLARED, Declared, Overlap, Resolution, Variables, overlaps, remarks
from interlock.model.variable import RelationshipRule, VariableSet, VariableValue

AT = datetime(2026, 3, 2, tzinfo=UTC)

DEPLOYMENT = {"id": "d", "name": "shop-api", "metadata": {"team": "a"}}
ENVIRONMENT = {"id": "e", "name": "production", "metadata": {}}


def resource(name: str, kind: str = "Host", **metadata: str) -> dict[str, Any]:
    return {"id": name, "identifier": f"id/{name}", "name": name, "kind": kind, "config": {}, "metadata": metadata}


def value(value_id: str, what: Any, *, priority: int = 0, selector: str | None = None) -> VariableValue:
    return VariableValue(value_id, "v", priority, selector, what)


def a_set(name: str, selector: str = "true", *, priority: int = 0, set_id: str = "", **values: Any) -> VariableSet:
    listed = [{"key": key, "value": each} for key, each in values.items()]
    return VariableSet(set_id or f"set-{name}", "w", name, "", selector, priority, listed, AT, AT)


def resolved(
    *values: VariableValue,
    key: str = "k",
    own: Any = ...,
    sets: tuple[VariableSet, ...] = (),
    on: dict[str, Any] | None = None,
    relations: Relations | None = None,
) -> Resolution:
    """The variables of one target whose deployment declares one key."""
    on = on or resource("one", tier="gold")
    mine = {} if own is ... else {on["id"]: {key: own}}
    more = {"relations": relations} if relations else {}
    every = Variables({"d": [Declared(key, values)]}, sets=sets, own_by_resource=mine, **more)
    return every.resolve(DEPLOYMENT, ENVIRONMENT, [on])[0]


GOLD = 'resource.metadata["tier"] == "gold"'
SILVER = 'resource.metadata["tier"] == "silver"'


@pytest.mark.parametrize(
    ("case", "wins"),
    [
        ({"own": "mine", "values": [value("a", "theirs", priority=99)], "sets": [a_set("s", k="set")]}, "mine"),
        ({"values": [value("a", "default"), value("b", "gold", priority=1, selector=GOLD)]}, "gold"),
        ({"values": [value("a", "default", priority=5), value("b", "gold", priority=1, selector=GOLD)]}, "default"),
        ({"values": [value("a", "default"), value("b", "silver", priority=9, selector=SILVER)]}, "default"),
        ({"values": [value("a", "spaces", selector="  ")]}, "spaces"),
        ({"values": [value("a", "broken", priority=9, selector='resource.metadata["no"] == "x"'), value("b", 1)]}, 1),
        ({"values": [value("b", "later id"), value("a", "smaller id")]}, "smaller id"),
        ({"values": [value("a", "value")], "sets": [a_set("s", priority=99, k="set")]}, "value"),
        ({"values": [value("a", "no", selector=SILVER)], "sets": [a_set("s", k="set")]}, "set"),
        ({"sets": [a_set("b", k="b"), a_set("a", k="a")]}, "a"),
        ({"sets": [a_set("b", priority=1, k="b"), a_set("a", k="a")]}, "b"),
        ({"sets": [a_set("s", set_id="2", k="second"), a_set("s", set_id="1", k="first")]}, "first"),
        ({"sets": [a_set("a", "", k="empty"), a_set("b", GOLD, k="gold")]}, "gold"),
        (
            {
                "sets": [
                    a_set("a", 'environment.name == "staging"', k="no"),
                    a_set("b", 'deployment.name == "shop-api"', k=1),
                ]
            },
            1,
        ),
        ({"sets": [a_set("a", f'{GOLD} && environment.name == "production"', k={"object": {"a": [1]}})]}, {"a": [1]}),
        ({"values": [value("a", None)], "sets": [a_set("s", k="set")]}, None),
        ({"values": [value("a", {"object": {"reference": "x", "path": []}})]}, {"reference": "x", "path": []}),
        ({"own": False, "values": [value("a", True)]}, False),
    ],
)
def test_the_first_that_matches_wins(case: dict[str, Any], wins: object) -> None:
    more = {"own": case["own"]} if "own" in case else {}
    found = resolved(*case.get("values", ()), sets=tuple(case.get("sets", ())), **more)
    assert found.values == {"k": wins}
    assert type(found.values["k"]) is type(wins)


def test_a_key_that_nothing_gives_a_value_is_left_out() -> None:
    found = resolved(value("a", 1, selector=SILVER), sets=(a_set("s", "false", k=1), a_set("t", other=1)))
    assert found.values == {} and found.origin == {"variables": {}}


def test_only_declared_keys_are_resolved() -> None:
    every = Variables({}, sets=[a_set("s", k=1)], own_by_resource={"one": {"k": 2}})
    assert every.resolve(DEPLOYMENT, ENVIRONMENT, [resource("one")]) == [UNDECLARED]
    found = resolved(key="declared", sets=(a_set("s", declared=1, other=2),))
    assert found.values == {"declared": 1}


def test_says_where_each_value_came_from() -> None:
    on = resource("one", tier="gold")
    declared = [
        Declared("own"),
        Declared("value", (value("v1", 1, priority=3, selector=GOLD),)),
        Declared("set"),
        Declared("nothing"),
    ]
    every = Variables({"d": declared}, sets=[a_set("s", priority=7, set=2)], own_by_resource={"one": {"own": 0}})
    assert every.resolve(DEPLOYMENT, ENVIRONMENT, [on])[0].origin["variables"] == {
        "own": {"from": "resource"},
        "value": {"from": "deploymentValue", "valueId": "v1", "priority": 3},
        "set": {"from": "variableSet", "setId": "set-s", "setName": "s", "priority": 7},
    }


def test_a_tie_is_told_and_only_where_both_match() -> None:
    both = [value("a", 1, priority=2, selector=GOLD), value("b", 2, priority=2), value("c", 3, priority=1)]
    assert resolved(*both).origin["variables"]["k"]["tiedWith"] == ["b"]
    assert "tiedWith" not in resolved(*both, on=resource("one")).origin["variables"]["k"]


def test_targets_that_take_the_same_share_one_resolution() -> None:
    hosts = [resource(str(number), tier="gold" if number % 2 else "silver") for number in range(10)]
    every = Variables({"d": [Declared("k", (value("a", 1, priority=1, selector=GOLD), value("b", 2)))]})
    found = every.resolve(DEPLOYMENT, ENVIRONMENT, hosts)
    assert [one.values["k"] for one in found] == [2, 1] * 5
    assert len({id(one) for one in found}) == 2


# References -----------------------------------------------------------------------------------------------------------


VPC = {"reference": "network", "path": ["config", "cidr"]}


def related(*rules: str, to: list[dict[str, Any]]) -> Relations:
    made = [RelationshipRule(str(at), "w", f"rule {at}", None, "network", cel, {}) for at, cel in enumerate(rules)]
    return Relations(parse_rules(made), [entity_of("resource", one) for one in to])


def vpc(name: str, cidr: str | None = "10.0.0.0/8", **metadata: str) -> dict[str, Any]:
    return {**resource(name, "VPC", **metadata), "config": {"cidr": cidr} if cidr else {}}


SAME_VPC = 'from.metadata["vpc"] == to.metadata["vpc"] && to.kind == "VPC"'


def test_a_reference_takes_what_stands_at_its_path() -> None:
    on = resource("one", vpc="main")
    found = resolved(value("a", VPC), on=on, relations=related(SAME_VPC, to=[on, vpc("net", vpc="main")]))
    assert found.values == {"k": "10.0.0.0/8"}
    assert found.origin["variables"]["k"] == {
        "from": "deploymentValue",
        "valueId": "a",
        "priority": 0,
        "reference": {
            "name": "network",
            "path": ["config", "cidr"],
            "ruleId": "0",
            "ruleName": "rule 0",
            "entity": {"type": "resource", "id": "net", "name": "net"},
        },
    }


@pytest.mark.parametrize(
    ("rules", "others", "why"),
    [
        ((), [], "there is no relationship rule for the reference network"),
        ((SAME_VPC,), [vpc("net", vpc="elsewhere")], "nothing is related to this resource by the reference network"),
        ((SAME_VPC,), [vpc("net", None, vpc="main")], "resource net has nothing at config.cidr"),
        ((SAME_VPC,), [vpc("net", 2**60, vpc="main")], "resource net has a value at config.cidr that JSON cannot keep"),
    ],
)
def test_a_reference_that_leads_nowhere_is_passed_over_and_says_why(
    rules: tuple[str, ...], others: list[dict[str, Any]], why: str
) -> None:
    on = resource("one", vpc="main")
    ladder = (value("a", VPC, priority=1), value("b", "fallback"))
    found = resolved(*ladder, on=on, relations=related(*rules, to=[on, *others]))
    assert found.values == {"k": "fallback"}
    said = {"key": "k", "from": "deploymentValue", "valueId": "a", "priority": 1}
    assert found.origin["passedOver"] == [
        {**said, "reference": {"name": "network", "path": ["config", "cidr"]}, "why": why}
    ]


def test_a_resource_may_refer_too_and_falls_back_to_the_deployment() -> None:
    on = resource("one", vpc="main")
    found = resolved(value("b", "fallback"), own=VPC, on=on, relations=related(to=[on]))
    assert found.values == {"k": "fallback"} and found.origin["passedOver"][0]["from"] == "resource"


# Whatever the order ---------------------------------------------------------------------------------------------------

SELECTORS = st.sampled_from(
    [None, "", GOLD, SILVER, "true", 'resource.kind == "Host"', 'resource.name.startsWith("h1")']
)
VALUES = st.lists(
    st.builds(value, st.sampled_from("abcdefgh"), st.integers(0, 9), priority=st.integers(0, 2), selector=SELECTORS),
    max_size=6,
    unique_by=lambda one: one.id,
)
SETS = st.lists(
    st.builds(
        a_set,
        st.sampled_from(["x", "y"]),
        st.sampled_from(
            ["true", "false", GOLD, 'environment.name == "production"', f'{SILVER} || deployment.id == "d"']
        ),
        priority=st.integers(0, 1),
        set_id=st.sampled_from("12345678"),
        k=st.integers(10, 19),
    ),
    max_size=4,
    unique_by=lambda one: one.id,
)


def by_the_book(values: list[VariableValue], sets: list[VariableSet], own: Any, on: dict[str, Any]) -> list[Any]:
    """The same order, written down as plainly as can be: everything that may be taken, best first."""
    from interlock.inventory.selector import Scope, parse_selector
    from interlock.inventory.to_python import matches

    found = [] if own is ... else [own]
    for one in sorted(values, key=lambda one: (-one.priority, one.id)):
        text = (one.resource_selector or "").strip()
        if not text or matches(parse_selector(text, Scope.RESOURCE), {"resource": on}):
            found.append(one.value)
    for each in sorted(sets, key=lambda one: (-one.priority, one.name, one.id)):
        subjects = {"resource": on, "environment": ENVIRONMENT, "deployment": DEPLOYMENT}
        if matches(parse_selector(each.selector, Scope.VARIABLE_SET), subjects):
            found.append(each.variables[0]["value"])
    return found


@settings(max_examples=150, deadline=None)
@given(VALUES, SETS, st.sampled_from([..., "own", None]), st.randoms(use_true_random=False))
def test_the_order_of_the_input_is_irrelevant_and_the_book_is_kept(
    values: list[VariableValue], sets: list[VariableSet], own: Any, chance: random.Random
) -> None:
    hosts = [resource(f"h{number}", tier=tier) for number, tier in enumerate(["gold", "silver", "none", "gold"])]
    mine = {} if own is ... else {"h0": {"k": own}}

    def all_of(values: list[VariableValue], sets: list[VariableSet], hosts: list[dict[str, Any]]) -> dict[str, Any]:
        every = Variables({"d": [Declared("k", tuple(values))]}, sets=sets, own_by_resource=mine)
        found = every.resolve(DEPLOYMENT, ENVIRONMENT, hosts)
        return {host["id"]: (one.values, one.origin) for host, one in zip(hosts, found, strict=True)}

    first = all_of(values, sets, hosts)
    for host in hosts:
        best = by_the_book(values, sets, mine.get(host["id"], {}).get("k", ...), host)
        assert first[host["id"]][0] == ({"k": best[0]} if best else {})
        assert all_of(values, sets, [host])[host["id"]] == first[host["id"]]
    shuffled = [list(values), list(sets), list(hosts)]
    for part in shuffled:
        chance.shuffle(part)
    assert all_of(*shuffled) == first  # type: ignore[arg-type]


# Overlaps -------------------------------------------------------------------------------------------------------------


def test_values_that_overlap_at_one_priority_are_found() -> None:
    hosts = [resource("a", tier="gold"), resource("b", tier="gold"), resource("c", tier="silver")]
    values = [value("2", 1, selector=GOLD), value("1", 2), value("3", 3, selector=SILVER), value("4", 4, priority=1)]
    assert overlaps(values, hosts) == (Overlap(("1", "2"), 0, 2, "a"), Overlap(("1", "3"), 0, 1, "c"))
    assert overlaps(values[:1], hosts) == () and overlaps([values[0], values[2]], hosts) == ()


def test_two_values_for_everything_overlap_even_where_there_is_nothing() -> None:
    assert overlaps([value("1", 1), value("2", 2, selector=" ")], []) == (Overlap(("1", "2"), 0, 0),)


# In words -------------------------------------------------------------------------------------------------------------


def test_what_a_person_should_know_is_said() -> None:
    on = resource("one", vpc="main")
    nets = related(SAME_VPC, to=[on, vpc("net-b", vpc="main"), vpc("net-a", vpc="main")])
    declared = [
        Declared("plain", (value("p", 1),)),
        Declared("tied", (value("t1", 1), value("t2", 2), value("t3", 3))),
        Declared("one of two", (value("r", VPC),)),
        Declared("left out", (value("n", {"reference": "nowhere", "path": ["x"]}),)),
        Declared("instead", ()),
        Declared("own", (value("o", 1),)),
    ]
    nowhere = {"reference": "nowhere", "path": ["a", "b"]}
    sets = [a_set("one", priority=2, instead=nowhere), a_set("two", instead=2)]
    every = Variables({"d": declared}, sets=sets, own_by_resource={"one": {"own": nowhere}}, relations=nets)
    (found,) = every.resolve(DEPLOYMENT, ENVIRONMENT, [on])
    why = "there is no relationship rule for the reference nowhere"
    assert remarks(found.origin) == [
        f"Variable instead: variable set one refers to nowhere at a.b, but {why}; it takes variable set two instead.",
        f"Variable left out: value n refers to nowhere at x, but {why}; it is left out.",
        f"Variable own: the resource's own value refers to nowhere at a.b, but {why}; it takes value o instead.",
        "Variable one of two: more than one thing is related to this resource by network; resource net-a comes first.",
        "Variable tied: value t1 has the same priority as t2, t3; it wins because its id is smaller.",
    ]
    assert remarks({}) == []


@pytest.mark.parametrize(
    "there", ["••••4c1f0a9e", "••••", {"deep": ["••••4c1f0a9e"]}, {"secretRef": {"provider": "env"}}]
)
def test_no_reference_leads_to_the_mark_of_a_secret(there: Any) -> None:
    rules = parse_rules([RelationshipRule("r", "w", "r", None, "o", "to.type == 'deployment'", {})])
    other = entity_of("deployment", {"id": "x", "name": "other", "jobAgentConfig": {"apiKey": there}})
    mine = value("a", {"reference": "o", "path": ["jobAgentConfig", "apiKey"]}, priority=1)
    found = resolved(mine, value("b", "default"), relations=Relations(rules, [other]))
    assert found.values == {"k": "default"}
    assert [each["why"] for each in found.origin["passedOver"]] == ["that is a secret, to which no reference leads"]

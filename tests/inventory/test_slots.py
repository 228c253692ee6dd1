"""Which slot groups does a target belong to?"""

from __future__ import annotations

import pytest

from interlock.inventory.selector import Scope, parse_expression
from interlock.inventory.slots import SlotKey, SlotRule, group_of, slot_key, slot_keys_of

ENVIRONMENT = {"id": "e", "name": "production", "metadata": {"tier": "1"}}
DEPLOYMENT = {"id": "d", "name": "shop-api", "metadata": {}}


def a_host(name: str, **metadata: str) -> dict[str, object]:
    return {"id": name, "name": name, "metadata": metadata, "config": {"rack": 7, "spare": True, "tags": ["x"]}}


def rule(text: str | None, *, policy: str = "p", rule_id: str = "r") -> SlotRule:
    return SlotRule(policy, rule_id, None if text is None else parse_expression(text, Scope.GROUP_KEY))


def keys(rules, hosts, policies=None):
    picked = policies if policies is not None else [("p",)] * len(hosts)
    return slot_keys_of(rules, hosts, picked, environment=ENVIRONMENT, deployment=DEPLOYMENT)


@pytest.mark.parametrize(
    ("text", "group"),
    [
        (None, ""),
        ('resource.metadata["zone"]', "a"),
        ("resource.metadata.zone", "a"),
        ("environment.name", "production"),
        ('deployment.name + "/" + resource.metadata["zone"]', "shop-api/a"),
        ('has(resource.metadata.zone) ? resource.metadata["zone"] : "none"', "a"),
        ("resource.config.rack", "7"),
        ("resource.config.spare", "true"),
        ('resource.metadata["zone"] == "a"', "true"),
    ],
)
def test_a_group_is_the_text_of_the_expression(text, group):
    ((key,),) = keys([rule(text)], [a_host("one", zone="a")])
    assert key == SlotKey("p", "r", slot_key("p", "r", group))
    assert group_of(key.key or "", policy_id="p", rule_id="r") == group


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('resource.metadata["zone"]', "zone"),
        ("resource.config.tags", "resource.config.tags gives no text"),
        ("resource.config.nothing", "nothing"),
        ('environment.metadata["none"]', "none"),
        ('resource.metadata["long"]', "gives more than 200 characters"),
    ],
)
def test_what_gives_no_text_is_in_no_group_and_says_why(text, why):
    ((key,),) = keys([rule(text)], [a_host("one", long="x" * 201)])
    assert key.key is None
    assert why in (key.why or "")


def test_only_the_rules_of_the_policies_that_select_a_target_concern_it():
    rules = [rule(None, policy="q"), rule(None, rule_id="s"), rule("resource.name")]
    hosts = [a_host("one"), a_host("two"), a_host("three")]
    found = keys(rules, hosts, [("p",), None, ("p", "q")])
    assert [[one.key for one in of_host] for of_host in found] == [
        ["p/r/one", "p/s/"],
        [],
        ["p/r/three", "p/s/", "q/r/"],
    ]


def test_equal_groups_are_one_object_so_that_a_hundred_thousand_targets_fit():
    one, two, other = keys([rule('resource.metadata["zone"]')], [a_host(n, zone=n[0]) for n in ("a1", "a2", "b1")])
    assert one[0] is two[0]
    assert one[0] is not other[0]


def test_without_rules_nothing_is_in_any_group():
    assert keys([], [a_host("one"), a_host("two")]) == [(), ()]

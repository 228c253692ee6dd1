"""Why does a selector match, or not? Each part, its outcome, and what it saw."""

from __future__ import annotations

import pytest

from interlock.inventory.conjuncts import conjuncts, cut, judge_conjuncts
from interlock.inventory.selector import Scope, parse_selector
from interlock.inventory.to_python import Match

SUBJECTS = {
    "resource": {"kind": "Host", "name": "a && b", "metadata": {"env": "prod"}, "config": {"tier": {"n": 2}}},
    "environment": {"name": "production", "metadata": {}},
    "deployment": {"name": "shop-api", "metadata": {}},
}

CUTS = [
    ('resource.kind == "Host"', ['resource.kind == "Host"']),
    ('a == "x && y" && b', ['a == "x && y"', "b"]),
    ("(a || b) && c", ["a || b", "c"]),
    ("a && b || c", ["a && b || c"]),
    ("((a && (b && c)))", ["a", "b", "c"]),
    ("(a) && (b)", ["a", "b"]),
    ("(a) == (b)", ["(a) == (b)"]),
    ("a ? b && c : d", ["a ? b && c : d"]),
    ("l.exists(x, x && y) && z", ["l.exists(x, x && y)", "z"]),
    ("a && // b && c\n d", ["a", "// b && c\n d"]),
    ("m['a && b'] && r'\\' && c", ["m['a && b']", "r'\\' && c"]),
]


@pytest.mark.parametrize(("text", "parts"), CUTS[:-1])
def test_a_text_is_cut_at_its_outermost_ands(text, parts):
    assert cut(text) == parts


def judged(text):
    return [
        (one.text, one.outcome, dict(one.saw)) for one in judge_conjuncts(parse_selector(text, Scope.POLICY), SUBJECTS)
    ]


def test_each_part_says_its_outcome_and_what_it_saw():
    assert judged('resource.kind == "Host" && environment.name == "staging"') == [
        ('resource.kind == "Host"', Match.YES, {"resource.kind": "Host"}),
        ('environment.name == "staging"', Match.NO, {"environment.name": "production"}),
    ]


def test_a_key_that_is_missing_was_seen_as_nothing():
    assert judged('resource.metadata["team"] == "shop"') == [
        ('resource.metadata["team"] == "shop"', Match.NO, {'resource.metadata["team"]': None})
    ]
    assert judged("resource.config.tier.n == 2") == [
        ("resource.config.tier.n == 2", Match.YES, {"resource.config.tier.n": 2})
    ]


def test_what_cannot_be_told_is_unknown():
    ((_, outcome, _),) = judged('service.tier == "gold"')
    assert outcome is Match.UNKNOWN


def test_the_parts_together_say_what_the_whole_says():
    selector = parse_selector('(resource.kind == "Host" && true) && resource.metadata.env in ["prod"]', Scope.POLICY)
    assert len(conjuncts(selector)) == 3
    assert all(one.outcome is Match.YES for one in judge_conjuncts(selector, SUBJECTS))

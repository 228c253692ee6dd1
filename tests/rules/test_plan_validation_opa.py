"""Which policies over plans are kept? What does not compile is told where it is evaluated, not here."""

from __future__ import annotations

import pytest

from interlock.decide.rules import parse_rules
from interlock.decide.rules.plan_validation_opa import Params
from interlock.model.errors import Invalid

REGO = 'package deploy\n\ndeny contains "no" if { input.hasChanges }\n'


@pytest.mark.parametrize("rego", [REGO, f"# on 9 March 2026\n{REGO}", "  package a", "package a\nthis is no Rego"])
def test_keeps_the_text_of_a_package(rego):
    (rule,) = parse_rules([{"planValidationOpa": {"name": "no-changes", "description": "None.", "rego": rego}}])
    assert rule.params == Params("no-changes", rego)


@pytest.mark.parametrize(
    ("rule", "faults"),
    [
        ({}, ["name is required", "rego is required"]),
        ({"name": " ", "rego": " "}, ["name must not be empty", "rego must not be empty"]),
        ({"name": "x", "rego": "deny contains 1"}, ["rego must begin with a package"]),
        ({"name": "x", "rego": "# package"}, ["rego must begin with a package"]),
        ({"name": "x", "rego": "package"}, ["rego must begin with a package"]),
        ({"name": "x" * 201, "rego": REGO}, ["name must be at most 200 characters"]),
        ({"name": "x", "rego": REGO + "#" * 100_000}, ["rego must be at most 100000 characters"]),
        ({"name": "x", "rego": REGO, "description": 1}, ["description must be text"]),
        ({"name": "x", "rego": REGO, "severity": "high"}, ["severity is not known here"]),
    ],
)
def test_wrong_parameters_are_named(rule, faults):
    with pytest.raises(Invalid) as refused:
        parse_rules([{"planValidationOpa": rule}])
    found = [f"{one.path} {one.message}" for one in refused.value.fields]
    assert all(
        one.startswith(f"rules[0].planValidationOpa.{fault}") for one, fault in zip(found, faults, strict=True)
    ), found

"""Which rule objects are refused, and where does the refusal point? A misspelt rule is a gate that does not stand."""

from __future__ import annotations

import pytest

from interlock.decide.rules import KINDS, RULES, parse_rules, plan_validation_opa
from interlock.model.errors import Invalid
from worlds import METRIC

APPROVAL = {"anyApproval": {"minApprovals": 1}}

# rules on the wire -> (path, part of the message) of each fault
REFUSED = [
    ("no list", {"anyApproval": {}}, [("rules", "must be a list")]),
    ("text", "anyApproval", [("rules", "must be a list")]),
    ("too many", [APPROVAL] * 51, [("rules", "at most 50")]),
    ("no object", ["anyApproval"], [("rules[0]", "must be an object")]),
    ("no kind", [{}], [("rules[0]", "exactly one rule kind, it has none")]),
    ("only an id", [{"id": "r1", "createdAt": "x"}], [("rules[0]", "it has none")]),
    ("two kinds", [{**APPROVAL, "retry": {"maxRetries": 1}}], [("rules[0]", "it has anyApproval and retry")]),
    ("a misspelt kind", [{"aproval": {}}], [("rules[0].aproval", "is not a rule known here")]),
    ("a freeze, which is no policy's", [{"freeze": {}}], [("rules[0].freeze", "is not a rule known here")]),
    (
        "a misspelt key",
        [{"anyApproval": {"minApproval": 1}}],
        [
            ("rules[0].anyApproval.minApprovals", "is required"),
            ("rules[0].anyApproval.minApproval", "is not known here"),
        ],
    ),
    ("a wrong type", [{"anyApproval": {"minApprovals": "1"}}], [("rules[0].anyApproval.minApprovals", "whole number")]),
    ("true is no number", [{"anyApproval": {"minApprovals": True}}], [("rules[0].anyApproval.minApprovals", "whole")]),
    ("a fraction", [{"anyApproval": {"minApprovals": 1.5}}], [("rules[0].anyApproval.minApprovals", "whole number")]),
    ("below zero", [{"anyApproval": {"minApprovals": -1}}], [("rules[0].anyApproval.minApprovals", "from 0")]),
    ("a kind that is no object", [{"retry": 3}], [("rules[0].retry", "must be an object")]),
    ("the second one", [APPROVAL, {"retry": {}}], [("rules[1].retry.maxRetries", "is required")]),
    ("faults of several rules", [{}, {"x": 1}], [("rules[0]", "none"), ("rules[1].x", "not a rule")]),
    ("an id twice", [{"id": "a", **APPROVAL}, {"id": "a", **APPROVAL}], [("rules", "the rule id a twice")]),
    (
        "over 100 percent",
        [{"environmentProgression": {"dependsOnEnvironmentSelector": "true", "minimumSuccessPercentage": 101}}],
        [
            ("rules[0].environmentProgression.minimumSuccessPercentage", "from 0 to 100"),
        ],
    ),
    (
        "a selector over an unknown variable",
        [{"environmentProgression": {"dependsOnEnvironmentSelector": "stage == 'a'"}}],
        [
            ("rules[0].environmentProgression.dependsOnEnvironmentSelector", "`stage` is not known here"),
        ],
    ),
    (
        "a status that is none",
        [{"environmentProgression": {"dependsOnEnvironmentSelector": "true", "successStatuses": ["inProgress"]}}],
        [
            ("rules[0].environmentProgression.successStatuses", "'inProgress' is not one of successful, failure"),
        ],
    ),
    (
        "no status at all",
        [{"environmentProgression": {"dependsOnEnvironmentSelector": "true", "successStatuses": []}}],
        [("rules[0].environmentProgression.successStatuses", "must name at least one of successful")],
    ),
    (
        "a verification of what never succeeds",
        [
            {
                "environmentProgression": {
                    "dependsOnEnvironmentSelector": "true",
                    "successStatuses": ["failure"],
                    "requireVerificationPassed": True,
                }
            }
        ],
        [("rules[0].environmentProgression.successStatuses", "must name successful")],
    ),
    (
        "a soak that is no number",
        [{"environmentProgression": {"dependsOnEnvironmentSelector": "true", "minimumSoakTimeMinutes": "30"}}],
        [("rules[0].environmentProgression.minimumSoakTimeMinutes", "must be a number")],
    ),
    (
        "another rollout",
        [{"gradualRollout": {"rolloutType": "canary", "timeScaleInterval": 1}}],
        [
            ("rules[0].gradualRollout.rolloutType", "must be one of linear, linear-normalized"),
        ],
    ),
    (
        "no type of rollout",
        [{"gradualRollout": {"timeScaleInterval": 1}}],
        [("rules[0].gradualRollout.rolloutType", "is required")],
    ),
    (
        "room for nobody",
        [{"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 1, "maxInFlight": 0}}],
        [
            ("rules[0].gradualRollout.maxInFlight", "from 1"),
        ],
    ),
    (
        "retry of a success",
        [{"retry": {"maxRetries": 1, "retryOnStatuses": ["successful"]}}],
        [
            ("rules[0].retry.retryOnStatuses", "'successful' is not one of"),
        ],
    ),
    (
        "statuses that are no list",
        [{"rollback": {"onJobStatuses": "failure"}}],
        [("rules[0].rollback.onJobStatuses", "a list of texts")],
    ),
    (
        "a cooldown without length",
        [{"versionCooldown": {}}],
        [("rules[0].versionCooldown.intervalSeconds", "is required")],
    ),
    ("no metrics", [{"verification": {"metrics": []}}], [("rules[0].verification.metrics", "at least one metric")]),
    (
        "metrics of one name",
        [{"verification": {"metrics": [METRIC, METRIC]}}],
        [("rules[0].verification.metrics", "different names")],
    ),
    (
        "a metric without a count",
        [{"verification": {"metrics": [{k: v for k, v in METRIC.items() if k != "count"}]}}],
        [
            ("rules[0].verification.metrics[0].count", "is required"),
        ],
    ),
    (
        "another trigger",
        [{"verification": {"metrics": [METRIC], "triggerOn": "never"}}],
        [
            ("rules[0].verification.triggerOn", "must be one of"),
        ],
    ),
]


@pytest.mark.parametrize(("what", "wire", "faults"), REFUSED, ids=[one[0] for one in REFUSED])
def test_refuses_and_says_where(what, wire, faults):
    with pytest.raises(Invalid) as refused:
        parse_rules(wire)
    found = [(one.path, one.message) for one in refused.value.fields]
    assert [path for path, _ in found] == [path for path, _ in faults]
    for (_, said), (_, expected) in zip(found, faults, strict=True):
        assert expected in said


OPINION = {"name": "none privileged", "rego": "# who may\npackage deploy\ndeny contains 1 if false"}


def test_an_opinion_on_a_plan_is_kept_as_it_was_written():
    (rule,) = parse_rules([{"planValidationOpa": {**OPINION, "description": "for people"}}])
    assert rule.params == plan_validation_opa.Params(**OPINION)


@pytest.mark.parametrize(
    ("wire", "faults"),
    [
        ({"name": "n"}, [("rego", "is required")]),
        ({**OPINION, "name": ""}, [("name", "")]),
        ({**OPINION, "rego": "deny[x]"}, [("rego", "must begin with a package")]),
        ({**OPINION, "description": 3}, [("description", "must be")]),
    ],
)
def test_an_opinion_on_a_plan_has_a_name_and_a_package(wire, faults):
    with pytest.raises(Invalid) as refused:
        parse_rules([{"planValidationOpa": wire}])
    found = [(one.path.removeprefix("rules[0].planValidationOpa."), one.message) for one in refused.value.fields]
    assert [path for path, _ in found] == [path for path, _ in faults]
    assert all(expected in said for (_, said), (_, expected) in zip(found, faults, strict=True))


def test_takes_what_clients_send_beside_the_rule():
    wire = [{"id": "r1", "createdAt": "2026-01-01T00:00:00Z", "policyId": "p", "retry": None, **APPROVAL}]
    (rule,) = parse_rules(wire)
    assert (rule.id, rule.kind) == ("r1", "anyApproval")
    assert rule.wire == {"minApprovals": 1}


def test_whole_floats_are_whole_numbers():
    (rule,) = parse_rules([{"anyApproval": {"minApprovals": 2.0}}])
    assert rule.params.minimum == 2  # type: ignore[attr-defined]


def test_paths_start_where_the_caller_says():
    with pytest.raises(Invalid) as refused:
        parse_rules([{}], path="spec.rules")
    assert refused.value.fields[0].path == "spec.rules[0]"


def test_every_rule_has_a_page_reasons_and_a_shape():
    for module in RULES:
        assert module.__doc__, module
        assert module.__doc__.startswith(f"# {module.kind}: "), module.kind
        assert module.REASONS or module.shape == "advice"
        assert module.shape in {"candidate", "gate", "pace", "proof", "reaction", "advice"}
        assert isinstance(module.needs, frozenset)
    assert len({module.kind for module in RULES}) == len(RULES)
    assert set(KINDS) == {module.kind for module in RULES} - {"freeze", "incident", "versionDependency"}

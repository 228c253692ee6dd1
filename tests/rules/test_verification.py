"""What may a verification rule say, and what does it mean without saying? When it begins, and which metrics."""

from __future__ import annotations

from dataclasses import replace

import pytest

from interlock.decide.rules import parse_rules
from interlock.decide.rules.verification import METRICS_MAX, TRIGGERS, Params, joint_terms, metrics_of
from interlock.model.errors import Invalid
from interlock.model.verification import OnInconclusive, Terms, parse_metric
from worlds import METRIC


def params(**fields: object) -> Params:
    (rule,) = parse_rules([{"verification": {"metrics": [METRIC], **fields}}])
    assert isinstance(rule.params, Params)
    return rule.params


def test_begins_after_a_job_that_ended_well_where_nothing_else_is_said():
    metric = replace(parse_metric(METRIC, path="metric"), on_inconclusive=OnInconclusive.HOLD)
    assert params() == Params("jobSuccess", (metric,))


def test_a_metric_may_say_its_own_of_what_it_comes_to_when_it_could_not_tell():
    own = {**METRIC, "name": "own", "onInconclusive": "pass"}
    said = params(metrics=[METRIC, own], onInconclusive="fail")
    assert [one.on_inconclusive for one in said.metrics] == ["fail", "pass"]


def test_of_rules_that_begin_together_the_shortest_times_hold_and_fail_goes_before_pass():
    patient = params(inconclusiveAfterSeconds=600, inconclusiveThen="pass", measureAgainSeconds=60)
    strict = params(inconclusiveAfterSeconds=900, inconclusiveThen="fail", revokes=True)
    assert joint_terms([patient, strict], gates=True) == Terms(True, 60, 600, OnInconclusive.FAIL, revokes=True)
    assert joint_terms([patient, params()], gates=False) == Terms(False, 60, 600, OnInconclusive.PASS)


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_may_begin_at_another_moment(trigger):
    assert params(triggerOn=trigger).trigger == trigger


def test_keeps_its_metrics_in_their_order():
    names = [f"metric-{n}" for n in range(METRICS_MAX)]
    assert [one.name for one in params(metrics=[{**METRIC, "name": name} for name in names]).metrics] == names


def test_compares_nothing_after_a_move_that_brings_nothing_new():
    sides = {"judge": "means", "value": "result.json[side]"}
    compared = {"name": "canary", "intervalSeconds": 1, "count": 1, "provider": METRIC["provider"], "compare": sides}
    found = params(metrics=[METRIC, compared])
    names = {
        kind: [one.name for one in metrics_of(found, kind)] for kind in ("forward", "config", "rollback", "redeploy")
    }
    assert names == {
        "forward": ["healthz", "canary"],
        "config": ["healthz", "canary"],
        "rollback": ["healthz"],
        "redeploy": ["healthz"],
    }


@pytest.mark.parametrize(
    ("rule", "faults"),
    [
        ({}, ["metrics is required", "metrics must name at least one metric"]),
        ({"metrics": []}, ["metrics must name at least one metric"]),
        ({"metrics": [METRIC, {**METRIC, "count": 2}]}, ["metrics must have different names"]),
        ({"metrics": [METRIC] * 21}, ["metrics must hold at most 20 items", "metrics must have different names"]),
        (
            {"metrics": [METRIC], "onInconclusive": "wait", "inconclusiveThen": "hold", "inconclusiveAfterSeconds": 0},
            [
                "onInconclusive must be one of hold, fail, pass",
                "inconclusiveAfterSeconds must be from 1 to 2592000",
                "inconclusiveThen must be one of fail, pass",
            ],
        ),
        ({"metrics": [METRIC], "triggerOn": "never"}, [f"triggerOn must be one of {', '.join(TRIGGERS)}"]),
        ({"metrics": [METRIC, {**METRIC, "name": "two", "count": 0}]}, ["metrics[1].count must be from 1 to 10000"]),
    ],
)
def test_wrong_parameters_are_named(rule, faults):
    with pytest.raises(Invalid) as refused:
        parse_rules([{"verification": rule}])
    found = [f"{one.path} {one.message}" for one in refused.value.fields]
    assert found == [f"rules[0].verification.{fault}" for fault in faults]

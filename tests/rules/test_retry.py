"""How often is a job tried again, and how long after the failure? Vectors of reference-behaviour.md, appendix E."""

from __future__ import annotations

import pytest

from interlock.decide.rules import parse_rules
from interlock.decide.rules.retry import Params, backoff, wait_before_retry
from interlock.model.errors import Invalid
from interlock.model.job import JobStatus

FAILURE, CANCELLED, NOT_FOUND = JobStatus.FAILURE, JobStatus.CANCELLED, JobStatus.EXTERNAL_RUN_NOT_FOUND


def params(**fields: object) -> Params:
    (rule,) = parse_rules([{"retry": {"maxRetries": 3, **fields}}])
    assert isinstance(rule.params, Params)
    return rule.params


@pytest.mark.parametrize(
    ("fields", "waits_s"),
    [
        ({"backoffSeconds": 10, "backoffStrategy": "exponential", "maxBackoffSeconds": 60}, [10, 20, 40, 60, 60]),
        ({"backoffSeconds": 10, "backoffStrategy": "exponential"}, [10, 20, 40, 80, 160]),
        ({"backoffSeconds": 10, "backoffStrategy": "linear"}, [10, 10, 10, 10, 10]),
        ({"backoffSeconds": 10}, [10, 10, 10, 10, 10]),
        ({}, [0, 0, 0, 0, 0]),
    ],
)
def test_backs_off(fields, waits_s):
    assert [backoff(params(**fields), n).total_seconds() for n in range(1, 6)] == waits_s


def test_a_thousandth_failure_waits_a_week_at_most():
    assert backoff(params(backoffSeconds=10, backoffStrategy="exponential"), 1000).total_seconds() == 604_800


def test_a_wait_doubles_from_each_failure_to_the_next():
    rule = params(maxRetries=5, backoffSeconds=0.5, backoffStrategy="exponential")
    waits = [wait_before_retry([rule], [FAILURE] * failures) for failures in range(1, 6)]
    assert [wait.total_seconds() for wait in waits if wait] == [0.5, 1, 2, 4, 8]


def test_a_rule_that_names_no_statuses_means_the_three_that_may_pass():
    assert params().statuses == {FAILURE, JobStatus.INVALID_INTEGRATION, JobStatus.INVALID_JOB_AGENT}
    assert (params().backoff_s, params().exponential, params().backoff_max_s) == (0.0, False, None)


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        ({}, "rules[0].retry.maxRetries is required"),
        ({"maxRetries": 101}, "rules[0].retry.maxRetries must be from 0 to 100"),
        ({"maxRetries": 1, "backoffSeconds": -1}, "rules[0].retry.backoffSeconds must be from 0 to 604800"),
        ({"maxRetries": 1, "backoffSeconds": 604_801}, "rules[0].retry.backoffSeconds must be from 0 to 604800"),
        ({"maxRetries": 1, "maxBackoffSeconds": 604_801}, "rules[0].retry.maxBackoffSeconds must be from 0 to 604800"),
        ({"maxRetries": 1, "backoffStrategy": "random"}, "backoffStrategy must be one of linear, exponential"),
        ({"maxRetries": 1, "retryOnStatuses": ["successful"]}, "rules[0].retry.retryOnStatuses 'successful' is not"),
    ],
)
def test_wrong_parameters_are_named(rule, names):
    with pytest.raises(Invalid) as refused:
        parse_rules([{"retry": rule}])
    assert names in refused.value.message


@pytest.mark.parametrize(
    ("statuses", "retried"),
    [
        ([FAILURE], True),
        ([FAILURE] * 3, True),
        ([FAILURE] * 4, False),
        ([NOT_FOUND], False),
        ([JobStatus.INVALID_JOB_AGENT], True),
        ([JobStatus.INVALID_INTEGRATION], True),
        ([FAILURE, NOT_FOUND], False),
    ],
)
def test_is_tried_again_while_retries_are_left(statuses, retried):
    assert (wait_before_retry([params()], statuses) is not None) is retried


def test_statuses_may_be_named():
    assert wait_before_retry([params(retryOnStatuses=["externalRunNotFound"])], [NOT_FOUND]) is not None
    assert wait_before_retry([params(retryOnStatuses=["externalRunNotFound"])], [FAILURE]) is None


def test_the_strictest_of_several_rules_wins():
    assert wait_before_retry([params(), params(maxRetries=0)], [FAILURE]) is None
    waits = wait_before_retry([params(backoffSeconds=5), params(backoffSeconds=50)], [FAILURE])
    assert waits is not None
    assert waits.total_seconds() == 50


def test_without_a_rule_nothing_is_tried_again():
    assert wait_before_retry([], [FAILURE]) is None

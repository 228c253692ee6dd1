"""In which order do targets go, and when is each due? The vectors of the reference, and the spacing of our own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.decide.rules import parse_rules
from interlock.decide.rules.gradual_rollout import Params, offset, order_keys
from interlock.model.ids import TargetKey


def uuid(tail: str) -> str:
    return f"00000000-0000-4000-8000-{tail:>012}"


KEYS = [str(TargetKey(uuid(str(n)), uuid("e1"), uuid("d1"))) for n in (1, 2, 3, 4)]

VECTORS = [15264071741911918347, 7836845808771201670, 14632407609499405845, 16553578917947996856]
"""reference-behaviour.md, appendix E."""


def test_order_is_that_of_the_reference():
    assert order_keys(KEYS, uuid("a1")) == VECTORS


def test_four_targets_go_2_3_1_4():
    keys = order_keys(KEYS, uuid("a1"))
    assert sorted(range(4), key=keys.__getitem__) == [1, 2, 0, 3]


def test_no_target_has_no_order():
    assert order_keys([], uuid("a1")) == []


def fnv1a(text: str) -> int:
    state = 0xCBF29CE484222325
    for byte in text.encode():
        state = ((state ^ byte) * 0x100000001B3) % 2**64
    return state


@given(st.lists(st.text(max_size=40), max_size=8), st.text(max_size=40))
def test_side_by_side_is_the_same_as_one_by_one(keys, salt):
    assert order_keys(keys, salt) == [fnv1a(key + salt) for key in keys]


def params(**more: object) -> Params:
    (rule,) = parse_rules([{"gradualRollout": {"rolloutType": "linear", "timeScaleInterval": 60, **more}}])
    assert isinstance(rule.params, Params)
    return rule.params


@pytest.mark.parametrize(
    ("rollout_type", "interval_s", "due_s"),
    [
        ("linear", 60, [0, 60, 120, 180]),
        ("linear", 0, [0, 0, 0, 0]),
        ("linear-normalized", 60, [0, 15, 30, 45]),
        ("linear-normalized", 10, [0, 2, 5, 7]),
        ("linear-normalized", 3, [0, 0, 1, 2]),
    ],
)
def test_offsets_are_whole_seconds(rollout_type, interval_s, due_s):
    rule = params(rolloutType=rollout_type, timeScaleInterval=interval_s)
    assert [offset(rule, i, targets_at_open=4).total_seconds() for i in range(4)] == due_s


def test_an_environment_that_was_empty_when_it_opened_divides_by_one():
    assert offset(params(rolloutType="linear-normalized"), 0, targets_at_open=0).total_seconds() == 0


def test_our_own_fields_have_safe_defaults():
    assert params() == Params(normalized=False, interval_s=60, max_in_flight=None, max_failures=0, overlap=False)
    assert params(maxInFlight=2, maxFailures=1, whileVerifying="overlap") == Params(
        normalized=False, interval_s=60, max_in_flight=2, max_failures=1, overlap=True
    )

"""Whatever becomes of a rollout, its tests together spend no more than its α."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.judge.spending import PLANNED, alpha_share, evenly


@given(planned=st.integers(0, 500), begun=st.integers(0, 2_000))
def test_the_parts_of_all_tests_that_a_rollout_ever_begins_sum_to_at_most_one(planned: int, begun: int) -> None:
    parts = [alpha_share(number, planned) for number in range(1, begun + 1)]
    assert all(0 < part <= 1 for part in parts)
    assert sum(parts, Fraction()) <= 1


@pytest.mark.parametrize(
    ("number", "planned", "part"),
    [
        (1, 1, Fraction(9, 10)),
        (3, 20, Fraction(9, 200)),
        (20, 20, Fraction(9, 200)),
        (21, 20, Fraction(1, 20)),
        (22, 20, Fraction(1, 60)),
        (1, 0, Fraction(1, 20)),
    ],
)
def test_the_part_of_a_test_is(number: int, planned: int, part: Fraction) -> None:
    assert alpha_share(number, planned) == part


def test_the_planned_ones_alone_spend_nine_tenths() -> None:
    assert sum(alpha_share(number, 7) for number in range(1, 8)) == PLANNED


def test_without_a_rollout_a_verification_splits_evenly() -> None:
    assert [evenly(tests) for tests in (0, 1, 4)] == [1.0, 1.0, 0.25]

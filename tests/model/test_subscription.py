"""Which kinds are meant, what does an answer mean, and how long is waited?"""

from __future__ import annotations

from datetime import timedelta

import pytest

from interlock.model.errors import Invalid
from interlock.model.event import KINDS
from interlock.model.subscription import (
    ATTEMPTS_MAX,
    WAITS_S,
    Attempt,
    attempt_of,
    checked_kinds,
    covers_kind,
    given_up,
    kinds_covered,
    wait_after,
)


@pytest.mark.parametrize(
    ("wanted", "kind", "covered"),
    [
        (["*"], "rollout.halted", True),
        (["rollout.*"], "rollout.halted", True),
        (["rollout.*"], "rollback.started", False),
        (["roll*"], "rollout.halted", False),
        (["rollout.halted"], "rollout.halted", True),
        (["rollout"], "rollout.halted", False),
    ],
)
def test_a_kind_is_meant_by_name_by_prefix_or_by_star(wanted: list[str], kind: str, *, covered: bool) -> None:
    assert covers_kind(wanted, kind) is covered


def test_kinds_are_checked_when_they_are_written() -> None:
    assert checked_kinds(["rollout.*", "rollout.*", "freeze.set"]) == ("rollout.*", "freeze.set")
    assert set(kinds_covered(["*"])) == set(KINDS)
    for wrong in ([], ["nothing.*"], ["x"], ["*"] * 101):
        with pytest.raises(Invalid):
            checked_kinds(wrong)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "delivered"), (204, "delivered"), (301, "refused"), (400, "refused"), (404, "refused"), (408, "failed"),
     (409, "failed"), (410, "gone"), (425, "failed"), (429, "failed"), (500, "failed"), (503, "failed"),
     (100, "refused")],
)  # fmt: skip
def test_what_an_answer_means(status: int, outcome: str) -> None:
    assert attempt_of(status, took_ms=1).outcome == outcome


def test_waits_grow_are_spread_and_keep_to_what_a_receiver_asks_up_to_an_hour() -> None:
    assert wait_after(1, chance=0.5) == timedelta(seconds=5)
    assert wait_after(1, chance=0.0) == timedelta(seconds=4.5) and wait_after(1, chance=1.0) == timedelta(seconds=5.5)
    assert wait_after(99, chance=0.5) == timedelta(hours=10)
    assert wait_after(1, chance=0.5, asked_s=60) == timedelta(minutes=1)
    assert wait_after(1, chance=0.5, asked_s=1e9) == timedelta(hours=1)
    assert attempt_of(429, took_ms=1, retry_after="60").retry_after_s == 60
    assert attempt_of(429, took_ms=1, retry_after="Wed, 21 Oct 2026 07:28:00 GMT").retry_after_s is None
    assert timedelta(hours=31) < timedelta(seconds=sum(WAITS_S)) < timedelta(hours=33)


def test_a_silent_receiver_is_tried_longer_than_one_that_says_no() -> None:
    assert [given_up(Attempt("refused"), n) for n in (1, 2, 3)] == [False, False, True]
    assert [given_up(Attempt("failed"), n) for n in (3, ATTEMPTS_MAX - 1, ATTEMPTS_MAX)] == [False, False, True]

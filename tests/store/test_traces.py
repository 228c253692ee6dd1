"""Where does a version stand on a target, from what rounds wrote down?"""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime

import pytest

from interlock.store.trace import CellRow, _cell_state

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def a_row(**known):
    nothing = dict.fromkeys((each.name for each in fields(CellRow)), None)
    return CellRow(**{**nothing, "runs_failed": False, "verdicts": (), "decision_ids": (), **known})


@pytest.mark.parametrize(
    ("row", "state"),
    [
        (a_row(move_id="m", move_state="verifying", runs=True), "moving"),
        (a_row(move_id="m", move_state="succeeded", closed_at=AT, runs=True, proven=True), "verified"),
        (a_row(move_id="m", move_state="succeeded", closed_at=AT, runs=True), "running"),
        (a_row(move_id="m", move_state="failed", closed_at=AT, runs=True, runs_failed=True), "failed"),
        (a_row(move_id="m", move_state="failed", closed_at=AT, runs=True, proven=True), "verified"),
        (a_row(move_id="m", move_state="failed", closed_at=AT, runs=False, left_at=AT), "left"),
        (a_row(move_id="m", move_state="failed", closed_at=AT, runs=False), "failed"),
        (a_row(wanted=True, outcome="hold"), "held"),
        (a_row(first_success_at=AT), "past"),
        (a_row(), "none"),
    ],
)
def test_a_version_stands_where_its_last_move_left_it(row, state):
    """What runs although its verification failed has failed: no pipeline is told that it runs."""
    assert _cell_state(row) == state

"""Do the laws of the core hold in worlds in which anything may have happened? core.md section 9, all rules together.

INTERLOCK_LAW_EXAMPLES=1000 looks longer than CI does. A seed that once broke a law stays in `SEEDS`.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from laws.checks import OF_A_HISTORY, OF_A_WORLD
from worlds import histories, seeded_history

EXAMPLES = int(os.environ.get("INTERLOCK_LAW_EXAMPLES", "25"))

SEEDS = (1, 16, 18, 68, 122, 296, 624, 1087)

LOOK = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("law", OF_A_WORLD)
@LOOK
@given(history=st.one_of(histories(), st.integers(0, 10**6).map(seeded_history)))
def test_law_holds_in_any_world(law, history):
    OF_A_WORLD[law](history.world())


@pytest.mark.parametrize("law", OF_A_HISTORY)
@LOOK
@given(history=st.one_of(histories(steps_max=40), st.integers(0, 10**6).map(seeded_history)))
def test_law_holds_in_any_history(law, history):
    OF_A_HISTORY[law](history)


@pytest.mark.parametrize("seed", SEEDS)
def test_laws_hold_where_one_was_broken_before(seed):
    for law in OF_A_WORLD.values():
        law(seeded_history(seed).world())
    for of_history in OF_A_HISTORY.values():
        of_history(seeded_history(seed))

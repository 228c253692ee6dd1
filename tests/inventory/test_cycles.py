"""Does a need lead back to where it begins, and by which way?"""

from __future__ import annotations

import pytest

from interlock.inventory.cycles import find_cycle

NEEDS = {"api": ["schema"], "schema": ["queue"], "queue": [], "web": ["api", "shop"], "shop": ["web"]}

WAYS = [
    ("nothing is needed", "queue", [], ()),
    ("what is needed needs nothing of it", "web", ["schema"], ()),
    ("it needs itself", "api", ["api"], ("api", "api")),
    ("the other needs it", "schema", ["api"], ("schema", "api", "schema")),
    ("a third needs it", "queue", ["api"], ("queue", "api", "schema", "queue")),
    ("the shortest of two ways is told", "queue", ["api", "schema"], ("queue", "schema", "queue")),
    ("what it needed before does not count", "api", ["queue"], ()),
    ("a circle of others is none of its own", "jobs", ["web"], ()),
    ("nothing is known of what it needs", "api", ["elsewhere"], ()),
]


@pytest.mark.parametrize(("what", "start", "needs", "way"), WAYS, ids=[one[0] for one in WAYS])
def test_a_circle_is_told_as_the_way_around_it(what, start, needs, way):
    assert find_cycle(start, needs, needs_by_deployment=NEEDS) == way

"""Are things equal as CEL means it, and do versions sort as versions?"""

from __future__ import annotations

from itertools import pairwise

import pytest

from interlock.inventory.extensions import equal, semver


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (1, 1.0, True),
        (True, 1, False),
        (0, False, False),
        (True, True, True),
        ("1", 1, False),
        (None, None, True),
        (None, False, False),
        ([1, [2]], [1.0, [2.0]], True),
        ([1], [True], False),
        ([1], [1, 1], False),
        ([], {}, False),
        ({"a": [1]}, {"a": [1.0]}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"b": 1}, False),
        ({"a": 1}, {"a": 1, "b": 1}, False),
        ({}, [], False),
    ],
)
def test_a_truth_is_no_number_and_containers_are_compared_by_element(
    left: object, right: object, expected: bool
) -> None:
    assert equal(left, right) is expected
    assert equal(right, left) is expected


def test_versions_sort_by_precedence() -> None:
    # semver.org, section 11, and numbers of different length.
    rising = [
        "0.9.10",
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
        "v1.0.2",
        "1.0.10",
        "1.9.0",
        "1.10.0",
    ]
    assert all(semver(lower) < semver(higher) for lower, higher in pairwise(rising))
    assert semver("1.0.0+a") == semver("v1.0.0")


@pytest.mark.parametrize("text", ["", "1", "1.2", "01.2.3", "1.2.3-", "latest", "1.2.3.4", "1.2.3 "])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a semantic version"):
        semver(text)

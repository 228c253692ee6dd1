"""Which functions does our CEL have beyond the standard? Sets, lists and versions, as plain functions over plain
values.

    sets.contains(list, list)      every element of the second is in the first
    sets.intersects(list, list)    they share an element
    sets.equivalent(list, list)    each contains the other
    lists.distinct(list)           without repetitions, in order
    lists.first(list, default)     the first element, or the default of an empty list
    semver(text)                   text that sorts as the version does: semver(version.tag) >= semver("1.10.0")

`semver` takes an optional leading `v` and drops build metadata. Text that is no version is an error, so it does not
match.

The reference engine and the generated code call these same functions. The wheel itself has the strings, math, optional
and bindings extensions.

Source: https://github.com/google/cel-go/tree/master/ext (sets); https://semver.org, section 11 (precedence).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

_VERSION = re.compile(
    r"v?(0|[1-9][0-9]{0,17})\.(0|[1-9][0-9]{0,17})\.(0|[1-9][0-9]{0,17})"
    r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?"
)
_DIGITS = 20


def equal(left: object, right: object) -> bool:
    """CEL's equality: numbers by value, a bool is no number, containers element by element.

    Why:    Python has `True == 1`, also inside lists and maps.
    """
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list | tuple):
        return (
            isinstance(right, list | tuple)
            and len(left) == len(right)
            and all(equal(one, other) for one, other in zip(left, right, strict=True))
        )
    if isinstance(left, Mapping):
        return (
            isinstance(right, Mapping)
            and len(left) == len(right)
            and all(key in right and equal(value, right[key]) for key, value in left.items())
        )
    return left == right


def holds_element(elements: Sequence[object], element: object) -> bool:
    """Whether one of the elements is equal."""
    return any(equal(one, element) for one in elements)


def sets_contains(elements: Sequence[object], wanted: Sequence[object]) -> bool:
    """Whether every wanted element is there."""
    return all(holds_element(elements, one) for one in wanted)


def sets_intersects(left: Sequence[object], right: Sequence[object]) -> bool:
    """Whether they share an element."""
    return any(holds_element(left, one) for one in right)


def sets_equivalent(left: Sequence[object], right: Sequence[object]) -> bool:
    """Whether each contains the other."""
    return sets_contains(left, right) and sets_contains(right, left)


def lists_distinct(elements: Sequence[object]) -> list[object]:
    """The elements without repetitions, the first of each kept."""
    kept: list[object] = []
    for one in elements:
        if not holds_element(kept, one):
            kept.append(one)
    return kept


def lists_first(elements: Sequence[object], default: object) -> object:
    """The first element, or the default."""
    return elements[0] if elements else default


def semver(text: str) -> str:
    """Text whose order by code point is the precedence of semantic versions.

    Why:    text compares in the reference engine, in Python and in SQL without a type of its own.
    Fails:  ValueError when it is no version; CEL makes an error of that.
    """
    found = _VERSION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a semantic version")
    core = ".".join(part.zfill(_DIGITS) for part in found.group(1, 2, 3))
    if found.group(4) is None:
        return f"{core}~"
    parts = found.group(4).split(".")
    return core + "-" + " ".join(f"0{part.zfill(_DIGITS)}" if part.isdigit() else f"1{part}" for part in parts)


FUNCTIONS: Mapping[str, tuple[Callable[..., object], tuple[str, ...], str]] = {
    "sets.contains": (sets_contains, ("list", "list"), "bool"),
    "sets.intersects": (sets_intersects, ("list", "list"), "bool"),
    "sets.equivalent": (sets_equivalent, ("list", "list"), "bool"),
    "lists.distinct": (lists_distinct, ("list",), "list"),
    "lists.first": (lists_first, ("list", "dyn"), "dyn"),
    "semver": (semver, ("string",), "string"),
}
"""Name -> (function, types of its parameters, type of its result)."""

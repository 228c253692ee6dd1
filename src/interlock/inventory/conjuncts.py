"""Why does a selector match, or not? Its conjuncts, each with its own outcome and the values that it saw.

`resource.kind == "Host" && environment.name == "production"` is two questions. A person who wonders why a policy
applies, or does not, wants to see which of them is true and what the other one found instead.

The text is cut where `&&` stands outside of brackets, strings and alternatives, so each part reads as it was written,
and is a selector on its own. A selector that is one alternative (`a || b`) is one part.

Source: issue "Every rule, one pure decision", `interlock policies`; CEL language definition, "Logical Operators" (`&&`
binds closer than `||` and `?:`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from interlock.inventory.selector import Selector, parse_selector
from interlock.inventory.syntax import Call, Const, Ident, Node, Select, bare, children
from interlock.inventory.to_python import Match, match_outcome

_PIECE = re.compile(
    r"""//[^\n]*
      | [rRbB]{0,2}(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
      | && | \|\| | .""",
    re.VERBOSE | re.DOTALL,
)

Subjects = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Conjunct:
    """One part of a selector. `saw` maps what it reads, as written, to what was there; None for nothing."""

    text: str
    outcome: Match
    saw: Mapping[str, object]


def judge_conjuncts(selector: Selector, subjects: Subjects) -> tuple[Conjunct, ...]:
    """Each part of a selector with its outcome, in the order of the text."""
    return tuple(_judged(part, subjects) for part in conjuncts(selector))


def conjuncts(selector: Selector) -> tuple[Selector, ...]:
    """The parts of a selector, each a selector; the whole where it has but one."""
    parts = cut(selector.text)
    return tuple(parse_selector(part, selector.scope) for part in parts) if len(parts) > 1 else (selector,)


def cut(text: str) -> list[str]:
    """The text cut at its outermost `&&`, and the parts that are in brackets as a whole cut again."""
    parts, depth, start = [], 0, 0
    for piece in _PIECE.finditer(text):
        found = piece[0]
        if found in "([{":
            depth += 1
        elif found in ")]}":
            depth -= 1
        elif depth == 0 and found in {"||", "?"}:
            return [text.strip()]
        elif depth == 0 and found == "&&":
            parts.append(text[start : piece.start()])
            start = piece.end()
    parts.append(text[start:])
    if len(parts) == 1:
        inner = _unwrapped(text.strip())
        return [text.strip()] if inner is None else cut(inner)
    return [one for part in parts for one in cut(part)]


def _unwrapped(text: str) -> str | None:
    """What stands inside brackets that go around all of it."""
    if not (text.startswith("(") and text.endswith(")")):
        return None
    depth = 0
    for piece in _PIECE.finditer(text):
        depth += piece[0] in "([{"
        depth -= piece[0] in ")]}"
        if depth == 0 and piece.end() < len(text):
            return None
    return text[1:-1]


def _judged(part: Selector, subjects: Subjects) -> Conjunct:
    return Conjunct(part.text.strip(), match_outcome(part, subjects), dict(_seen(part.ast, subjects)))


def _seen(node: Node, subjects: Subjects) -> Iterator[tuple[str, object]]:
    """What is read, at the longest path that is written out."""
    path = _path(bare(node), subjects)
    if path is not None:
        yield path
        return
    for child in children(node):
        yield from _seen(child, subjects)


def _path(node: Node, subjects: Subjects) -> tuple[str, object] | None:
    """`resource.metadata["env"]` and its value, for a chain of fields and literal keys on a declared variable."""
    match node:
        case Ident(name=name):
            root, dot, field = name.removeprefix("has_").partition(".")
            if root not in subjects or not dot:
                return None
            return f"{root}.{field}", subjects[root].get(field)
        case Select(operand=operand, field=field):
            before, key, shown = _path(bare(operand), subjects), field, f".{field}"
        case Call(function="_[_]", args=(operand, Const(value=str(key)))):
            before, shown = _path(bare(operand), subjects), f'["{key}"]'
        case _:
            return None
    if before is None:
        return None
    text, value = before
    return f"{text}{shown}", value.get(key) if isinstance(value, Mapping) else None

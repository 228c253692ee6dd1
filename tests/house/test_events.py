"""Is every ledger event documented, and does every documented one happen?"""

from __future__ import annotations

import ast
import re

from house.source import SRC, dotted, modules, name_of, texts_of, tree_of
from interlock.model.event import KINDS

CATALOGUE = SRC / "model" / "event.py"


def test_every_kind_is_named_subject_and_what_and_has_a_sentence() -> None:
    assert [kind for kind in KINDS if not re.fullmatch(r"[a-z_]+\.[a-z_]+", kind)] == []
    assert [kind for kind, line in KINDS.items() if len(line.split()) < 3 or not line.rstrip().endswith(".")] == []


NO_DOOR_YET = {
    "approval.voided",
}  # fmt: skip
"""Kinds whose tables and rules exist, and that no request can cause yet. Whoever opens the door takes its kind out."""

PATHS = [path for path in modules() if path != CATALOGUE]


def kinds_named_whole() -> set[str]:
    named = {text for path in PATHS for _, text in texts_of(tree_of(path))}
    named |= {word for path in (SRC / "store").rglob("*.sql") for word in re.findall(r"'([a-z_.]+)'", path.read_text())}
    return named & set(KINDS)


def kinds_that_code_completes() -> set[str]:
    """Those of a subject whose kind is put together from a state: `f"verification.{status}"`."""
    begun = {
        part.value
        for path in PATHS
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.JoinedStr)
        for part in node.values[:1]
        if isinstance(part, ast.Constant) and str(part.value).endswith(".")
    }
    return {kind for kind in KINDS if f"{kind.partition('.')[0]}." in begun}


def test_every_documented_kind_is_recorded_somewhere() -> None:
    silent = set(KINDS) - kinds_named_whole() - kinds_that_code_completes() - NO_DOOR_YET
    assert not silent, sorted(silent)


def test_the_list_of_kinds_without_a_door_is_true() -> None:
    assert not NO_DOOR_YET & kinds_named_whole(), sorted(NO_DOOR_YET & kinds_named_whole())
    assert set(KINDS) >= NO_DOOR_YET


def test_every_recorded_kind_is_documented() -> None:
    """`Event` refuses an unknown kind when it happens; this finds it before."""
    wrong = [
        f"{name_of(path)}:{node.lineno} {kind.value}"
        for path in modules()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and dotted(node.func).split(".")[-1] == "Event"
        for kind in [*node.args[:1], *(word.value for word in node.keywords if word.arg == "kind")]
        if isinstance(kind, ast.Constant) and isinstance(kind.value, str) and kind.value not in KINDS
    ]
    assert not wrong, "\n".join(["", *wrong])

"""Is every named query one that the migrated database understands, and does every caller name one that exists?"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from interlock.model.errors import Bug
from interlock.store import queries as module
from interlock.store.queries import nouns, parse_queries, queries
from interlock.store.tx import Store

SRC = Path(module.__file__).parents[1]


@pytest.mark.parametrize("noun", nouns())
async def test_every_query_can_be_prepared(store: Store, noun: str) -> None:
    wrong = []
    async with store.read() as conn:
        for name, text in queries(noun):
            try:
                await conn.prepare(text)
            except Exception as error:
                wrong.append(f"{noun}.{name}: {error}")
    assert not wrong, "\n".join(["", *wrong])


def test_every_name_that_a_module_uses_stands_in_its_file() -> None:
    wrong, used = [], 0
    for path in SRC.rglob("*.py"):
        tree = ast.parse(path.read_text())
        files = {}
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.value, ast.Call)
                and isinstance(node.value.func, ast.Name)
                and node.value.func.id == "queries"
                and isinstance(node.value.args[0], ast.Constant)
                and isinstance(node.targets[0], ast.Name)
            ):
                files[node.targets[0].id] = str(node.value.args[0].value)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in files:
                used += 1
                if node.attr not in dict(queries(files[node.value.id])):
                    wrong.append(f"{path.relative_to(SRC)}:{node.lineno} {files[node.value.id]}.{node.attr}")
    assert not wrong, "\n".join(["", *wrong])
    assert used > 20


def test_a_query_begins_with_its_name_and_loses_its_semicolon() -> None:
    text = "-- Of the first.\n-- name: one\nSELECT 1;\n\n-- Of the second.\n-- name: two\nSELECT 2 -- why\n"
    assert parse_queries(text, noun="n") == {"one": "-- n.one\nSELECT 1", "two": "-- n.two\nSELECT 2 -- why"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;", "twice"),
        ("-- name: one\n-- name: two\nSELECT 1;", "no SQL"),
        ("-- name: One\nSELECT 1;", "needs a name"),
        ("-- name:\nSELECT 1;", "needs a name"),
        ("SELECT 1;\n-- name: one\nSELECT 1;", "needs a name"),
    ],
)
def test_a_malformed_file_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(Bug, match=complaint):
        parse_queries(text, noun="n")


def test_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(AttributeError, match="no query 'claim_wrok'; it has request_work, claim_work"):
        _ = queries("work").claim_wrok


def test_an_unknown_noun_is_a_bug() -> None:
    with pytest.raises(Bug, match=r"no sql/nothing\.sql"):
        queries("nothing")

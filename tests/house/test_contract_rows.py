"""Does every row of the contract page have a test that stands for it, and every mark a row?

Source: `api/contract_rows.py`, which has the rows.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from api.contract_rows import ROWS, SYNC_SOURCES
from house.source import TOP


def test_every_row_of_the_page_has_a_test() -> None:
    stood_for = {row for _, row in marked()}
    missing = [row for row in ROWS if row not in stood_for]
    assert not missing, "\n".join(["No test stands for:", *missing])


def test_every_mark_names_a_row() -> None:
    unknown = [f"{test}: {row}" for test, row in marked() if row not in ROWS]
    assert not unknown, unknown


def marked() -> Iterator[tuple[str, str]]:
    """(test, row) of every mark, read and not run. The one mark that is no text stands for every source of a sync."""
    for path in sorted((TOP / "tests" / "api").glob("test_contract_*.py")):
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not node.name.startswith("test_"):
                continue
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and getattr(mark.func, "id", "") == "stands_for":
                    for row in mark.args:
                        if isinstance(row, ast.Constant):
                            yield f"{path.name}::{node.name}", str(row.value)
                        else:
                            for source in SYNC_SOURCES:
                                if source != "pipe":
                                    yield f"{path.name}::{node.name}", f"ctrlc sync {source}"

"""Are the pure rooms pure? No I/O, no clock, no log, no async, no chance in model, inventory, decide and judge.

The import contracts keep the modules out; this looks for what needs no import or hides behind a harmless one.
"""

from __future__ import annotations

import ast

import pytest

from house.source import dotted, name_of, pure_modules, tree_of

BANNED_CALLS = {
    "open", "print", "input", "exec", "eval", "breakpoint",
    "datetime.now", "datetime.utcnow", "datetime.today", "date.today",
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.date.today",
    "time.time", "time.monotonic", "time.sleep", "time.perf_counter",
    "uuid.uuid1", "uuid.uuid4", "uuid1", "uuid4", "new_id", "ids.new_id",
    "os.environ.get", "os.getenv", "os.urandom",
}  # fmt: skip

EXCEPTIONS = {
    ("src/interlock/model/ids.py", "uuid.uuid4"): "new_id stands beside the other ids; only the edges call it",
    ("src/interlock/inventory/to_python.py", "exec"): "turns the Python that it wrote itself into a function",
    ("src/interlock/inventory/to_python.py", "eval"): "turns the Python that it wrote itself into a function",
}
"""(file, call) -> why it is right there."""


def banned_in(tree: ast.AST) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and dotted(node.func) in BANNED_CALLS:
            found.append((node.lineno, dotted(node.func)))
        elif isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await):
            found.append((node.lineno, type(node).__name__))
        elif isinstance(node, ast.Global):
            found.append((node.lineno, "global"))
    return found


def test_pure_rooms_neither_read_a_clock_nor_draw_nor_wait_nor_speak() -> None:
    wrong = [
        f"{name_of(path)}:{line} {what}"
        for path in pure_modules()
        for line, what in banned_in(tree_of(path))
        if (name_of(path), what) not in EXCEPTIONS
    ]
    assert not wrong, "\n".join(["", *wrong])


@pytest.mark.parametrize(
    "code",
    ["datetime.now(UTC)", "time.time()", "uuid.uuid4()", "open('x')", "print(1)", "async def f(): ...", "new_id()"],
)
def test_the_search_finds_each_kind_of_fault(code: str) -> None:
    assert banned_in(ast.parse(code))

"""Is the tree the one that DESIGN section 3 draws? The file list is the concept list."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

from house.source import SRC, modules, name_of, tree_of

ROOMS = {
    "access", "agents", "api", "catalog", "cli", "client", "console", "decide", "decide/rules", "documents",
    "documents/kinds", "evidence", "inventory", "judge", "metrics", "model", "outside", "simulate", "store",
    "store/server", "web", "workers",
}  # fmt: skip
"""Every package. A new one changes DESIGN and this list first."""

SINGLE_FILES = {"__init__.py", "__main__.py", "app.py", "clock.py", "flow.py", "settings.py", "py.typed"}

VAGUE = {"manager", "handler", "helper", "helpers", "util", "utils", "common", "base", "data", "info", "process",
         "processor", "evaluator", "misc", "service", "services", "types"}  # fmt: skip
"""Words that say nothing about the question a file answers."""

PRETEND = re.compile(r"(^|_)(fake|fakes|stub|stubs|mock|mocks|dummy|placeholder)(_|$)")


def test_every_package_is_a_room_of_the_design() -> None:
    found = {p.parent.relative_to(SRC).as_posix() for p in SRC.rglob("__init__.py")} - {"."}
    assert not found - ROOMS, sorted(found - ROOMS)


def test_every_folder_with_python_is_a_package() -> None:
    folders = {path.parent for path in modules()}
    assert [name_of(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_beside_the_rooms_stand_only_the_named_files() -> None:
    assert {p.name for p in SRC.iterdir() if p.is_file()} <= SINGLE_FILES


def test_every_module_says_which_question_it_answers() -> None:
    wrong = []
    for path in modules():
        first = (ast.get_docstring(tree_of(path)) or "").split("\n\n")[0]
        if len(first.split()) < 3:
            wrong.append(f"{name_of(path)}: {first!r}")
    assert not wrong, "\n".join(["", *wrong])


def test_no_module_has_a_name_that_says_nothing() -> None:
    wrong = [name_of(p) for p in modules() if VAGUE & set(p.stem.split("_"))]
    assert not wrong, "\n".join(["", *wrong])


def test_nothing_in_the_product_pretends() -> None:
    """`simulate/agents.py` holds agents with faults on purpose, and is not loaded while Interlock decides."""
    wrong = [name_of(path) for path in modules() if PRETEND.search(path.stem)]
    wrong += [
        f"{name_of(path)}:{node.lineno} {node.name}"
        for path in modules()
        if name_of(path) != "src/interlock/simulate/agents.py"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and PRETEND.search(snake(node.name))
    ]
    assert not wrong, "\n".join(["", *wrong])


def test_only_the_simulation_and_the_commands_know_the_simulation() -> None:
    wrong = [
        f"{name_of(path)}:{node.lineno}"
        for path in modules()
        if path.relative_to(SRC).parts[0] not in {"simulate", "cli"}
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("interlock.simulate")
    ]
    assert not wrong, "\n".join(["", *wrong])


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def test_a_process_that_decides_about_real_targets_loads_nothing_that_pretends() -> None:
    """What `interlock up` and `interlock worker` import: no simulation, no stand-in, no test library."""
    code = (
        "import importlib, sys\n"
        "for name in ('app', 'flow', 'api', 'console', 'workers', 'agents', 'metrics', 'cli.up', 'cli.worker'):\n"
        "    importlib.import_module('interlock.' + name)\n"
        "print('\\n'.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.split()
    wrong = [name for name in loaded if name.startswith("interlock.") and PRETEND.search(name.rpartition(".")[2])]
    wrong += [name for name in loaded if name in {"interlock.simulate", "unittest.mock", "pytest", "hypothesis"}]
    assert not wrong, "\n".join(["", *wrong])

"""Do the rooms import only what they may? The contracts stand in pyproject.toml, from DESIGN section 3."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from house.source import PURE_ROOMS, SRC, TOP, modules, name_of, tree_of

PROCESS_COMMANDS = {"up", "api", "worker", "db", "work", "secrets", "keys", "attached", "simulate", "agent", "pulled"}
"""The commands that start or tend an installation on this machine, and what they share; `agent run`, which starts
commands of its own; and `simulate`, which asks nobody. Every other one talks REST."""

NEEDS_NO_WORLD = {"client", "documents", "model", "cli", *PURE_ROOMS}
"""What every command may import; `documents` knows the server by its interface alone (a contract says so). A
pure room reaches nothing: `apply` uses it to refuse a file before a request."""


def test_every_import_contract_is_kept() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-logo"], cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_command_talks_rest_unless_it_starts_or_tends_a_process() -> None:
    allowed = {"interlock", *(f"interlock.{room}" for room in NEEDS_NO_WORLD)}
    wrong = [
        f"{name_of(path)}: {name}"
        for path in sorted((SRC / "cli").rglob("*.py"))
        if path.stem not in PROCESS_COMMANDS
        for name in imports_of(path)
        if name.split(".")[0] == "interlock" and ".".join(name.split(".")[:2]) not in allowed
    ]
    assert not wrong, "\n".join(["", *wrong])


def test_nothing_imports_by_a_relative_path() -> None:
    wrong = [
        f"{name_of(path)}:{node.lineno}"
        for path in modules()
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not wrong, "\n".join(["", *wrong])


def imports_of(path: Path) -> list[str]:
    found = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "interlock":
            found += [f"interlock.{alias.name}" for alias in node.names if alias.name != "__version__"]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
    return found

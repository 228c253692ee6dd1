"""What do the house tests read? The tracked files of the checkout and the syntax trees of `src/interlock`."""

from __future__ import annotations

import ast
import functools
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
SRC = TOP / "src" / "interlock"

PURE_ROOMS = ("model", "inventory", "decide", "judge")


def modules() -> list[Path]:
    """Every Python module under src/interlock, in order."""
    return sorted(SRC.rglob("*.py"))


def pure_modules() -> list[Path]:
    return [path for room in PURE_ROOMS for path in sorted((SRC / room).rglob("*.py"))]


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def name_of(path: Path) -> str:
    """The path as a person would say it: from the top of the checkout."""
    return path.relative_to(TOP).as_posix()


@functools.cache
def tracked_files() -> tuple[Path, ...]:
    """What git tracks and would track: so that a new file is checked before its commit. Without git, every file."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=TOP,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        skip = {".venv", ".git", "__pycache__"}
        return tuple(p for p in sorted(TOP.rglob("*")) if p.is_file() and not skip & set(p.parts))
    return tuple(p for name in listed.stdout.decode().split("\0") if name and (p := TOP / name).is_file())


def dotted(node: ast.AST) -> str:
    """`datetime.now` of an attribute chain, or "" for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""


def texts_of(tree: ast.Module) -> list[tuple[int, str]]:
    """Every string of a module that is not a docstring or a bare string under an attribute, with its line."""
    prose = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)}
    return [
        (n.lineno, n.value)
        for n in ast.walk(tree)
        if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in prose
    ]

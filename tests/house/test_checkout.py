"""Is everything that is committed fit for every machine? No path of a machine, no registry's address.

And do the files that say the same thing twice agree: requirements and pyproject, Makefile and README?
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import tomllib
from pathlib import Path

from house.source import TOP, name_of, tracked_files

# Beside the usual homes: this checkout's own place, and the folder it lies in where that is nobody else's.
HERE = TOP if TOP.parent in {Path("/"), Path(tempfile.gettempdir()), Path.home()} else TOP.parent
MACHINE_PATH = re.compile(rf"{re.escape(str(HERE))}/|/home/[a-z]\w*/|/Users/\w+/|/root/(?!\.\.)")
REGISTRY = re.compile(
    r"(?i)\b(index-url\s*=?\s*\S|extra-index|files\.pythonhosted|pypi\.org/simple|artifactory|nexus\.)"
)
BINARY = {".png", ".jpg", ".ico", ".woff2", ".gz"}
OWN = "tests/house/test_checkout.py"


def texts() -> list[tuple[str, str]]:
    return [
        (name_of(path), path.read_text(errors="replace"))
        for path in tracked_files()
        if path.suffix not in BINARY and name_of(path) != OWN and "/vendor/" not in name_of(path)
    ]


def test_no_tracked_file_names_a_path_of_a_machine() -> None:
    wrong = [f"{name}: {found.group()}" for name, text in texts() for found in MACHINE_PATH.finditer(text)]
    assert not wrong, "\n".join(["", *wrong])


def test_no_tracked_file_names_a_registry() -> None:
    wrong = [f"{name}: {found.group()}" for name, text in texts() for found in REGISTRY.finditer(text)]
    assert [line for line in wrong if "emit-index-url" not in line and not line.startswith("Makefile")] == []


def test_every_requirement_is_pinned_and_hashed() -> None:
    for name in ("base.txt", "dev.txt"):
        entries = re.sub(r"\\\n\s*", " ", (TOP / "requirements" / name).read_text()).splitlines()
        assert [e for e in entries if e.strip() and not re.match(r"\S+==\S+.* --hash=sha256:", e)] == [], name


def test_the_server_is_pinned_alike_for_development_and_use() -> None:
    base, dev = (
        set(re.findall(r"(?m)^(\S+==\S+)", (TOP / "requirements" / f).read_text())) for f in ("base.txt", "dev.txt")
    )
    assert base <= dev


def test_the_package_depends_on_the_names_of_base_in() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    declared = {plain(re.split(r"[<>=!~ ]", entry)[0]) for entry in project["dependencies"]}
    listed = {
        plain(line) for line in (TOP / "requirements" / "base.in").read_text().split() if not line.startswith("#")
    }
    assert declared == listed


def test_the_pins_satisfy_the_declared_ranges() -> None:
    from packaging.requirements import Requirement

    pins = dict(re.findall(r"(?m)^(\S+?)==(\S+)", (TOP / "requirements" / "base.txt").read_text()))
    pinned = {plain(name): version for name, version in pins.items()}
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    needs = [Requirement(entry) for entry in project["dependencies"]]
    assert [str(need) for need in needs if not need.specifier.contains(pinned[plain(need.name)])] == []


def test_make_alone_prints_the_verbs_and_the_readme_names_each() -> None:
    printed = subprocess.run(
        ["make", "--no-print-directory"], cwd=TOP, capture_output=True, text=True, check=True
    ).stdout
    verbs = re.findall(r"(?m)^make (\w+)", printed)
    assert verbs == ["demo", "stop", "walkthrough", "test", "check", "bench", "mutants", "simulate", "docs"]
    readme = (TOP / "README.md").read_text()
    assert [verb for verb in verbs if f"make {verb}" not in readme] == []


def plain(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()

"""Are the docs true? Generated pages are current, named files exist, links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from house.source import SRC, TOP, name_of, tracked_files

PAGES = [path for path in tracked_files() if path.suffix == ".md"]

# A word in backticks that looks like a file of ours: `store/work.py`, `sql/job.sql`, `docs/story.md`.
FILE = re.compile(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|sql|md|html|toml|yaml|css|js))`")
WHERE = (TOP, SRC, SRC / "store", TOP / "docs")

OURS = {"story.md", "README.md", "glossary.md", "CONTRIBUTING.md", "SECURITY.md"}
"""The pages that are maps: a file they name must exist. Decision records are history and may name what is gone."""


def test_generated_pages_are_current() -> None:
    done = subprocess.run(
        [sys.executable, TOP / "docs" / "generate.py", "--check"], cwd=TOP, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_that_a_map_names_exists() -> None:
    wrong = [
        f"{name_of(page)}: {name}"
        for page in PAGES
        if (page.name in OURS and page.parent in {TOP, TOP / "docs"}) or page.parent == TOP / "docs" / "guides"
        for name in FILE.findall(page.read_text())
        if not any((place / name).is_file() for place in WHERE)
    ]
    assert not wrong, "\n".join(["", *wrong])


def test_every_link_to_a_file_of_ours_leads_to_it() -> None:
    wrong = [
        f"{name_of(page)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", without_code(page))
        if "://" not in target and not target.startswith("mailto:") and not (page.parent / target).exists()
    ]
    assert not wrong, "\n".join(["", *wrong])


def test_every_decision_record_says_what_was_decided_and_why() -> None:
    wrong = []
    for page in sorted((TOP / "docs" / "decisions").glob("[0-9]*.md")):
        text = page.read_text()
        wrong += [f"{name_of(page)}: no {part}" for part in ("## Decision", "## Why") if part not in text]
    assert not wrong, "\n".join(["", *wrong])


def test_every_decision_record_is_in_the_list() -> None:
    listed = (TOP / "docs" / "decisions" / "README.md").read_text()
    records = sorted((TOP / "docs" / "decisions").glob("[0-9]*.md"))
    assert [page.name for page in records if f"({page.name})" not in listed] == []


def test_the_operators_guide_names_every_setting_with_its_default() -> None:
    from interlock.settings import Settings

    rows = [
        line for line in (TOP / "docs" / "guides" / "operating.md").read_text().splitlines() if line.startswith("| `")
    ]
    wrong = []
    for name, field in Settings.model_fields.items():
        row = next((line for line in rows if f"`INTERLOCK_{name.upper()}`" in line), "")
        shown = f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
        if not row or (not isinstance(field.default, bool | None) and shown not in row):
            wrong.append(f"INTERLOCK_{name.upper()}: {shown}")
    assert not wrong, "\n".join(["", *wrong])


def without_code(page: Path) -> str:
    return re.sub(r"(?s)```.*?```|`[^`\n]*`", "", page.read_text())

"""The walkthrough's page: it goes as it is told, with real processes; and the reading of it can fail."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

FOLDER = Path(__file__).parents[2] / "examples" / "walkthrough"
PATIENCE_S = 580


def load():
    spec = importlib.util.spec_from_file_location("walkthrough", FOLDER / "walkthrough.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["walkthrough"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


walkthrough = load()


@pytest.fixture
def folder(data_dir: Path) -> Path:
    """A folder that PostgreSQL's user can go through."""
    data_dir.mkdir()
    data_dir.chmod(0o711)
    return data_dir


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(FOLDER / "walkthrough.py")],
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def left_over(folder: Path) -> list[str]:
    """Processes that have anything to do with the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (process / "environ").read_bytes()
        except OSError:
            continue
        if int(process.name) != os.getpid() and (str(folder) in command or str(folder).encode() in environment):
            found.append(command)
    return found


def test_it_goes_as_the_page_tells_and_leaves_nothing_behind(folder):
    playing = start(folder)
    said, _ = playing.communicate(timeout=PATIENCE_S)
    assert playing.returncode == 0, said
    assert "It went as the page tells" in said
    assert left_over(folder) == []
    assert list(folder.iterdir()) == []


def test_ended_early_it_leaves_nothing_behind(folder):
    playing = start(folder)
    for line in playing.stdout:
        if "everything is there" in line:
            break
    playing.send_signal(signal.SIGTERM)
    said, _ = playing.communicate(timeout=PATIENCE_S)
    assert playing.returncode == 143, said
    deadline = time.monotonic() + PATIENCE_S
    while left_over(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left_over(folder) == []


@pytest.mark.parametrize(
    ("said", "told", "same"),
    [
        (["one  two"], ["one two"], True),
        (["one two"], ["one three"], False),
        (["at 12:04 it held"], ["at … it held"], True),
        (["a", "b", "c"], ["a", "…", "c"], True),
        (["a", "b"], ["a"], False),
        ([], ["…"], True),
        ([], ["a"], False),
        (["Error: no"], [], False),
        (["5f3a  api  1/1"], ["…  api  0/1"], False),
        (["v1.2.3  ready  now"], ["v1x2.3  ready  …"], False),
    ],
)
def test_an_answer_is_the_pages_or_not(said, told, same):
    assert walkthrough.as_told(said, told) is same


def test_the_page_is_read_command_by_command():
    first = "## One\n```console terminal=up\n$ serve \\\n    --all\nready\n…\n```\ntext\n"
    page = first + "## Two\n```console\n$ a\n$ b\nc\n```\n"
    assert [(step.heading, step.terminal, step.command, step.answer) for step in walkthrough.read_steps(page)] == [
        ("One", "up", "serve --all", ("ready", "…")),
        ("Two", "", "a", ()),
        ("Two", "", "b", ("c",)),
    ]

"""The quickstart, as `make demo` plays it, at test timings: it happens, and nothing of it is left running."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

DEMO = Path(__file__).parents[2] / "examples" / "quickstart" / "demo.py"
PATIENCE_S = 120


def start(folder: Path, *, program: Sequence[str] = (str(DEMO),), **settings: str) -> subprocess.Popen[str]:
    """The demo, with its temporary files in `folder`."""
    return subprocess.Popen(
        [sys.executable, *program],
        env={**os.environ, "INTERLOCK_DEMO_SCALE": "0.2", "TMPDIR": str(folder), **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
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


@pytest.fixture
def folder(data_dir: Path) -> Path:
    """A folder that PostgreSQL's user can go through."""
    data_dir.mkdir()
    data_dir.chmod(0o711)
    return data_dir


@pytest.fixture(autouse=True)
def _state_of_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the file by which `make stop` finds a demo of the person at this machine."""
    monkeypatch.setenv("INTERLOCK_DEMO_STATE", str(folder / "demo.json"))


def test_the_story_happens_and_leaves_nothing_running(folder):
    demo = start(folder)
    said, _ = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 0, said
    assert "The story happened" in said
    assert "prod-sa-1    serves 1.0.0" in said
    assert left_over(folder) == []


def began(folder: Path) -> bool:
    """Whether the first service of the story runs; folders come and go meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        return any(folder.rglob("staging-1.pid"))
    return False


def test_interrupted_it_ends_everything_and_says_so(folder):
    demo = start(folder)
    deadline = time.monotonic() + PATIENCE_S
    while not began(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(demo.pid, signal.SIGINT)
    said, _ = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode != 0
    assert "Interrupted" in said
    assert left_over(folder) == []


SHORT = """\
import sys
import demo

def play(story):
    story.describe_fleet()
    story.create_version("1.0.0")
    story.wait_for("staging to serve 1.0.0", lambda: story.serve("1.0.0", demo.STAGING))
    story.start_load(*demo.STAGING)

demo.Story.play = play
sys.exit(demo.main())
"""
"""The demo with a story that ends as soon as everything runs that a demo starts: a server, hosts and load."""


def test_kept_it_can_be_looked_at_and_stopped(folder):
    demo = start(folder, program=("-c", SHORT), KEEP="1", PYTHONPATH=os.pathsep.join((str(DEMO.parent), *sys.path)))
    said, _ = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 0, said
    noted = json.loads((folder / "demo.json").read_text())
    assert Path(f"/proc/{noted['pid']}").exists()
    assert {"interlock.cli", "shop_api.py", "load.py"} <= {
        Path(word).name for line in left_over(folder) for word in line.split()
    }
    stopped = subprocess.run([sys.executable, str(DEMO), "stop"], capture_output=True, text=True, check=False)
    assert (stopped.returncode, stopped.stdout) == (0, "Stopped.\n")
    assert left_over(folder) == []

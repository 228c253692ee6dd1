"""The quickstart while Interlock is killed again and again: it still ends right, and no job runs twice.

A kill takes the whole of `interlock up` at once, as a power cut would: API, worker and PostgreSQL. What was handed over
goes on meanwhile, because a command outlives Interlock. Moments come from a seed.

    INTERLOCK_CRASHES   how many kills (6); `make simulate CRASHES=n` sets it
    INTERLOCK_SEED      which moments
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import signal
import sys
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.e2e

CRASHES = int(os.environ.get("INTERLOCK_CRASHES", "6"))
SEED = int(os.environ.get("INTERLOCK_SEED", "7"))
SCALE = 0.2
PATIENCE_S = 120 + 15 * CRASHES

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"

TRACED = """\
import os, sys

# one line for each real run, in one write
trace = os.open(os.environ["TMPDIR"] + "/runs", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
os.write(trace, (os.environ["INTERLOCK_JOB"] + " " + os.environ["INTERLOCK_ATTEMPT"] + "\\n").encode())
os.execv(sys.executable, [sys.executable, "deploy.py", *sys.argv[1:]])
"""


def demo() -> ModuleType:
    """The quickstart's own story, from its file."""
    spec = importlib.util.spec_from_file_location("quickstart_demo", QUICKSTART / "demo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def processes_of(data: Path) -> list[int]:
    """Whatever of Interlock works on a data directory: `up`, its worker, PostgreSQL; not the commands of its jobs."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            ours = b"interlock.cli" in words and str(data).encode() in words
            if b"worker" in words:
                ours = f"INTERLOCK_DATA={data}".encode() in (process / "environ").read_bytes().split(b"\0")
            if b"postgres" in words[0]:
                ours = (process / "cwd").readlink().is_relative_to(data)
            if ours:
                found.append(int(process.name))
    return found


def kill_all(data: Path) -> int:
    """As a power cut would. Gives how many processes it hit."""
    pids = processes_of(data)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(pids)


@pytest.fixture
def story(data_dir: Path):
    """The story on a server whose leases are short: a killed worker's keys are taken over soon."""
    module = demo()

    class Server(module.Server):
        def environment(self):
            return {**super().environment(), "INTERLOCK_WORK_LEASE_S": "2"}

    data_dir.mkdir()
    data_dir.chmod(0o711)
    (data_dir / "traced.py").write_text(TRACED)

    class Story(module.Story):
        def prepare_files(self):
            super().prepare_files()
            for file in (self.folder / "fleet").rglob("*.yaml"):
                file.write_text(file.read_text().replace("- deploy.py\n", f"- {data_dir / 'traced.py'}\n"))

    lines: list[str] = []
    made = Story(data_dir, scale=SCALE, say=lines.append)
    made.server = Server(data_dir, api_key=made.api_key)
    made.server.start()
    yield made, lines
    made.close()
    kill_all(made.server.data)


def crash_until_told(server, told: Future, lines: list[str], *, seed: int) -> int:
    """Kill at seeded moments while the story is told. Gives how many kills there were.

    Why: moments are counted in lines of the story, so that a slow machine gets as far between two kills as a fast one.
    """
    chance = random.Random(seed)
    kills = 0
    while kills < CRASHES and not told.done():
        wait_for_progress(lines, told, more=chance.randint(0, 4))
        time.sleep(chance.uniform(0.0, 0.8))
        assert kill_all(server.data) >= 2, "there was hardly anything to kill"
        server.process.wait()
        kills += 1
        if chance.random() < 0.2:  # once more, while it starts
            with ThreadPoolExecutor(1) as starter:
                starting = starter.submit(server.start)
                time.sleep(chance.uniform(0.1, 0.6))
                kill_all(server.data)
                kills += 1
                with contextlib.suppress(Exception):  # it says that it ended by itself
                    starting.result()
        server.start()
    return kills


def wait_for_progress(lines: list[str], told: Future, *, more: int) -> None:
    """Wait until so many more lines were told, a while at most."""
    wanted, deadline = len(lines) + more, time.monotonic() + 10
    while len(lines) < wanted and not told.done() and time.monotonic() < deadline:
        time.sleep(0.01)


def test_killed_again_and_again_the_story_still_ends_right_and_no_job_runs_twice(story, data_dir):
    story, lines = story
    with ThreadPoolExecutor(1) as teller:
        told = teller.submit(story.play)
        kills = crash_until_told(story.server, told, lines, seed=SEED)
        try:
            told.result(timeout=PATIENCE_S)
        except BaseException as error:
            error.add_note(f"INTERLOCK_SEED={SEED}, {kills} kills\n" + "\n".join(lines[-40:]))
            raise
    assert kills >= CRASHES, "the story was told before it was disturbed enough"
    runs = Counter((data_dir / "runs").read_text().splitlines())
    assert set(runs.values()) == {1}, f"a job ran twice: {runs}"
    events = story.events(after=0)
    handed_over = {event["subject"]["id"] for event in events if event["kind"] == "job.handed_over"}
    ran = {line.split()[0] for line in runs}
    assert ran == handed_over
    assert len(ran) == len(runs), "an attempt was repeated that had run"

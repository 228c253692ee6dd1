"""Does the quickstart still end right when Interlock is killed again and again? And was no job run twice?

The story of `make demo` at test timings, while another thread ends `interlock up` with kill -9 (API, worker and
PostgreSQL die with it) at seeded moments and starts it anew. INTERLOCK_CRASHES says how often (`make simulate
CRASHES=n`), INTERLOCK_SEED which moments; a failure prints the seed.

What must hold whatever the moments: the story happens, every host serves what it should, each job was begun once
outside, and the ledger tells each hand-over once.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from interlock.model.errors import Unavailable

pytestmark = pytest.mark.e2e

CRASHES = int(os.environ.get("INTERLOCK_CRASHES", "10"))
SEED = int(os.environ.get("INTERLOCK_SEED", "1"))
SCALE = 0.3
PAUSE_S = (0.2, 2.5)
"""How long Interlock lives between being ready and being killed."""

OUTAGE_MAX_S = 60.0


@pytest.fixture(scope="module")
def demo() -> Any:
    """The module of the demo."""
    file = Path(__file__).parents[2] / "examples" / "quickstart" / "demo.py"
    spec = importlib.util.spec_from_file_location("quickstart_demo", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class Crasher(threading.Thread):
    """Kills the server at seeded moments, and starts it again each time."""

    def __init__(self, server: Any, *, crashes: int, seed: int) -> None:
        super().__init__(name="crasher", daemon=True)
        self.server = server
        self.moments = Random(seed)
        self.left = crashes
        self.done = 0
        self.over = threading.Event()
        self.trouble: BaseException | None = None

    def run(self) -> None:
        try:
            while self.left and not self.over.wait(self.moments.uniform(*PAUSE_S)):
                self.server.kill()
                self.server.start()
                self.left -= 1
                self.done += 1
        except BaseException as trouble:  # told by the test, which waits for this thread
            self.trouble = trouble


def patiently(ask: Callable[..., Any]) -> Callable[..., Any]:
    """Asks again while Interlock is away."""

    def asked(*args: Any, **more: Any) -> Any:
        deadline = time.monotonic() + OUTAGE_MAX_S
        while True:
            try:
                return ask(*args, **more)
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    return asked


@pytest.fixture
def story(demo: Any, data_dir: Path) -> Iterator[Any]:
    """The story on a folder of its own, at test timings; whatever it started is ended."""
    data_dir.mkdir()
    data_dir.chmod(0o711)
    lines: list[str] = []
    # The look at two moments of one process would meet its restarts, so reading is patient here.
    patient = type(
        "PatientStory",
        (demo.Story,),
        {"events": patiently(demo.Story.events), "requests": patiently(demo.Story.requests)},
    )
    told = patient(data_dir, scale=SCALE, say=lines.append)
    told.lines = lines
    try:
        yield told
    finally:
        told.close()


def test_the_quickstart_ends_right_however_often_interlock_is_killed(story: Any) -> None:
    story.server.start()
    crasher = Crasher(story.server, crashes=CRASHES, seed=SEED)
    crasher.start()
    try:
        story.describe_fleet()
        story.ship_good_version()
        story.ship_bad_version()
        story.add_host()
    except Exception as trouble:
        story.lines.append(f"INTERLOCK_SEED={SEED}, killed {crasher.done} times")
        pytest.fail("\n".join([*story.lines, str(trouble)]))
    finally:
        crasher.over.set()
        crasher.join(timeout=OUTAGE_MAX_S)
    assert crasher.trouble is None, crasher.trouble
    while crasher.done < CRASHES:  # the story was faster than the kills: the rest must change nothing any more
        story.server.kill()
        story.server.start()
        crasher.done += 1
    story.look_back()
    assert_no_job_ran_twice(story)
    assert_the_ledger_tells_each_hand_over_once(story)


def assert_no_job_ran_twice(story: Any) -> None:
    """The exec agent leaves a folder an attempt; `process.json` in it says that the command was begun."""
    begun = [file.parent for file in (story.server.data / "exec").rglob("process.json")]
    jobs = Counter(folder.parent.name for folder in begun)
    assert jobs, "nothing ran: this proves nothing"
    assert {job: number for job, number in jobs.items() if number > 1} == {}
    made = {event["subject"]["id"] for event in story.events("job.created", after=0)}
    assert set(jobs) <= made


def assert_the_ledger_tells_each_hand_over_once(story: Any) -> None:
    handed = Counter(
        (event["subject"]["id"], event["body"]["attempt"]) for event in story.events("job.handed_over", after=0)
    )
    assert {key: number for key, number in handed.items() if number > 1} == {}
    attempts = Counter(job for job, _ in handed)
    assert {job: number for job, number in attempts.items() if number > 1} == {}
    admitted = Counter(event["subject"]["id"] for event in story.events("move.admitted", after=0))
    assert set(admitted.values()) == {1}

"""Is what README.md tells true? This plays the page: it types each command, and compares the answer with the page's.

    make walkthrough             the same as: python examples/walkthrough/walkthrough.py
    make walkthrough KEEP=1      everything runs on until Ctrl-C

A block `console` of the page is typed into one shell, as its reader would. A block `console terminal=NAME` is a
terminal of its own, whose last command runs until the end. In an answer `…` stands for anything within a line, or for
any lines where it stands alone; how many spaces separate columns does not matter. A command that only looks is repeated
until it shows what the page shows: its reader, too, looks again when something takes a moment.

It is played in a folder of its own, on a copy whose ports are free ones, and nothing is left running.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]
PAGE = HERE / "README.md"

PORT = re.compile(r"\b(8080|74\d\d)\b")
BLOCK = re.compile(r"^```console(?: terminal=(\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
LOOKS = re.compile(
    r"interlock (get|explain|describe|jobs|ledger|trace|can-deploy|forecast|approve$|quarantine list)|curl -s "
)
ANYTHING = "…"

PATIENCE_S = 180.0
"""How long a command may take, and how long a look is repeated. Far more than any needs: the machine may be busy."""
LOOK_EVERY_S = 0.3
END_S = 40.0
MOMENT_S = 5.0


class NotAsTold(Exception):
    """Something went another way than the page tells."""


# --- the page --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """One command of the page with the lines of its answer. `terminal` is "" for the reader's own."""

    heading: str
    terminal: str
    command: str
    answer: tuple[str, ...]


def read_steps(page: str) -> Iterator[Step]:
    """The commands of a page, in order."""
    for block in BLOCK.finditer(page):
        headings = HEADING.findall(page, 0, block.start())
        for text in re.split(r"^\$ ", block[2], flags=re.MULTILINE)[1:]:
            command, *answer = re.sub(r"\\\n\s*", "", text).rstrip("\n").split("\n")
            yield Step(headings[-1] if headings else "", block[1] or "", command, tuple(answer))


def as_told(said: Sequence[str], told: Sequence[str]) -> bool:
    """Whether an answer is the page's."""
    if not told:
        return not said
    line, *after = told
    if line == ANYTHING:
        return any(as_told(said[skipped:], after) for skipped in range(len(said) + 1))
    pattern = ".*".join(re.escape(" ".join(part.split())) for part in f" {line} ".split(ANYTHING))
    pattern = re.sub(r"(\\ )+", " ?", pattern) if ANYTHING in line else pattern
    return bool(said) and re.fullmatch(pattern, " ".join(said[0].split())) is not None and as_told(said[1:], after)


# --- the terminals ---------------------------------------------------------------------------------------------------


@dataclass
class Terminal:
    """A shell in a folder, and what it has said since the last command."""

    folder: Path
    said: list[str] = field(default_factory=list)
    runs_on: bool = False
    shell: subprocess.Popen[str] = field(init=False)
    news: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=self.folder,
            env=environment(self.folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.shell.stdout is not None
        for line in self.shell.stdout:
            with self.news:
                self.said.append(line.rstrip("\n"))
                self.news.notify()

    def type(self, text: str) -> None:
        """Type a line. What was said before is forgotten."""
        assert self.shell.stdin is not None
        with self.news:
            self.said.clear()
        self.shell.stdin.write(text + "\n")
        self.shell.stdin.flush()

    def answer(self, command: str) -> list[str]:
        """Type a command and give all that it says.

        Fails: `NotAsTold` when it does not end.
        """
        end = f"end-of-{os.urandom(8).hex()}"
        self.type(f"{command}\nprintf '\\n%s\\n' {end}")
        with self.news:
            if not self.news.wait_for(lambda: end in self.said[-1:], timeout=PATIENCE_S):
                raise NotAsTold("It did not end. It said:\n" + "\n".join(self.said))
            said = self.said[:-1]
        return said[:-1] if said and not said[-1] else said

    def run_on(self, command: str, told: Sequence[str]) -> None:
        """Type a command that runs to the end, and wait until it says what is told. The shell becomes the command."""
        self.runs_on = True
        self.type(f"exec env {command}")
        with self.news:
            if not self.news.wait_for(lambda: as_told(self.said, told), timeout=PATIENCE_S):
                raise NotAsTold("It said:\n" + "\n".join(self.said))

    def end(self) -> None:
        """End what runs in it: asked first, then made to."""
        assert self.shell.stdin is not None
        with contextlib.suppress(OSError):
            self.shell.stdin.close()
        if self.runs_on:
            self.shell.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.shell.wait(timeout=END_S)
        if group_lives(self.shell.pid):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.shell.pid, signal.SIGKILL)
            self.shell.wait()


def group_lives(group: int) -> bool:
    """Whether a process of the group is still there after a moment."""
    deadline = time.monotonic() + MOMENT_S
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.05)
    return True


def environment(folder: Path) -> dict[str, str]:
    """What a reader's terminal has: the installed commands, and no settings of another installation."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("INTERLOCK_")},
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
        "XDG_CONFIG_HOME": str(folder / "config"),
        "TMPDIR": str(folder),
        "COLUMNS": "200",
        "PYTHONUNBUFFERED": "1",
    }


# --- playing it ------------------------------------------------------------------------------------------------------


def copy_with_free_ports(folder: Path) -> str:
    """The walkthrough in a folder of its own, everywhere with ports that nobody listens on; its page."""
    copy = folder / "examples" / "walkthrough"
    shutil.copytree(HERE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tests").symlink_to(TOP / "tests")
    files = [file for file in copy.rglob("*") if file.is_file()]
    named = sorted({port for file in files for port in PORT.findall(file.read_text())})
    with contextlib.ExitStack() as open_ones:
        sockets = [open_ones.enter_context(socket.socket()) for _ in named]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        free = dict(zip(named, (str(each.getsockname()[1]) for each in sockets), strict=True))
    for file in files:
        file.write_text(PORT.sub(lambda found: free[found[0]], file.read_text()))
    return (copy / "README.md").read_text()


@dataclass
class Reader:
    """Somebody who follows the page."""

    folder: Path
    terminals: dict[str, Terminal] = field(default_factory=dict)
    began_s: float = field(default_factory=time.monotonic)

    def follow(self, page: str) -> None:
        """All of it, step by step.

        Fails: `NotAsTold` at the first answer that is another than the page's.
        """
        heading, steps = "", list(read_steps(page))
        for number, step in enumerate(steps):
            if step.heading != heading:
                heading = step.heading
                print(f"\n{heading}   ({time.monotonic() - self.began_s:.0f} s)", flush=True)
            runs_on = (
                bool(step.terminal)
                and steps[number + 1 : number + 2] != []
                and (steps[number + 1].terminal != step.terminal)
            )
            print(f"  $ {step.command}", flush=True)
            try:
                for line in self.take(step, runs_on=runs_on):
                    print(f"  {line}", flush=True)
            except NotAsTold as other:
                told = "\n".join(step.answer) or "(nothing)"
                raise NotAsTold(f"$ {step.command}\nThe page tells:\n{told}\n{other}") from other

    def take(self, step: Step, *, runs_on: bool) -> list[str]:
        """One step; what was said."""
        terminal = self.terminals.get(step.terminal)
        if terminal is None:
            terminal = self.terminals[step.terminal] = Terminal(self.folder)
        if runs_on:
            terminal.run_on(step.command, step.answer)
            return list(terminal.said)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            said = terminal.answer(step.command)
            if as_told(said, step.answer):
                return said
            if not LOOKS.match(step.command) or time.monotonic() > deadline:
                raise NotAsTold("It said:\n" + "\n".join(said))
            time.sleep(LOOK_EVERY_S)

    def end(self) -> None:
        """End everything, what was started last first."""
        for terminal in reversed(self.terminals.values()):
            terminal.end()

    def log(self) -> str:
        """What the terminals that run on said last."""
        return "\n".join(
            f"--- terminal {name}:\n" + "\n".join(terminal.said[-40:])
            for name, terminal in self.terminals.items()
            if name
        )


def run() -> int:
    """Play the page, and clean up."""
    folder = Path(tempfile.mkdtemp(prefix="interlock-walkthrough-"))
    folder.chmod(0o711)  # PostgreSQL's user has to go through it, when we are root
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    reader, code = Reader(folder), 1
    try:
        page = copy_with_free_ports(folder)
        reader.follow(page)
        code = 0
        print(f"\nIt went as the page tells, in {time.monotonic() - reader.began_s:.0f} s.", flush=True)
        if os.environ.get("KEEP") == "1":
            said = reader.terminals[""].answer('echo "$INTERLOCK_URL/  with the key  $INTERLOCK_API_KEY"')
            print(f"Console: {said[0]}\nCtrl-C ends it.", flush=True)
            signal.pause()
    except NotAsTold as other:
        print(f"\nIt went another way.\n{other}\n{reader.log()}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nEnding everything.", file=sys.stderr)
    finally:
        reader.end()
        shutil.rmtree(folder, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(run())

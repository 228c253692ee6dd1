"""What does Interlock do? The quickstart as a story that plays itself, on real processes; `make demo` runs it.

    1  A fleet is described in YAML and applied.
    2  Version 1.0.0 goes to staging, a second person approves, production follows host by host, each verified.
    3  Version 1.1.0 fails under production load: the first host is rolled back, the others are never touched.
    4  A new host joins and receives the version that is known to be good.
    5  The ledger of it all, and what the processes themselves say they serve.

Nothing is simulated: `interlock up` with its own PostgreSQL, small HTTP services that are stopped and started, load on
them, and the command line as a person or CI would type it. Everything lives in a folder of its own and is ended when
the story is over, also by Ctrl-C. KEEP=1 leaves it running; `demo.py stop` ends that.

INTERLOCK_DEMO_SCALE scales every time of the story (soak, measurements, patience); the crash test imports `Story` and
plays it faster while it kills Interlock again and again.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interlock.client import Client, Wire
from interlock.model.errors import InterlockError, Unavailable

HERE = Path(__file__).resolve().parent
STATE = Path(os.environ.get("INTERLOCK_DEMO_STATE") or HERE.parents[1] / ".interlock" / "demo.json")
"""What a demo that was left running consists of, for `demo.py stop`."""

WORKSPACE = "quickstart"
DEPLOYMENT = "shop-api"
STAGING, PRODUCTION = ("staging-1",), ("prod-eu-1", "prod-us-1", "prod-ap-1")
LATE = "prod-sa-1"
APPROVER = "grace"

SCALED = ("minimumSoakTimeSeconds", "intervalSeconds", "durationSeconds", "backoffSeconds")
"""Keys of the YAML files that are times of the story."""

POLL_S = 0.1
LOST = ("cannot be reached", "PostgreSQL", "did not answer", "broke the connection off")
"""What the command line says when the server went away in between."""


class StoryFailed(Exception):
    """The story did not happen. The message says which part."""


# --- processes -------------------------------------------------------------------------------------------------------


def started_at(pid: int) -> str | None:
    """When a process started, so that a PID that was taken again is not taken for it; None when it is gone."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        pass
    else:
        return None if after_name[0] in "ZX" else after_name[19]
    if Path("/proc/self").exists():
        return None
    said = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return said.strip() or None


def end(pid: int, *, since: str | None = None, patience_s: float = 5.0) -> None:
    """End a process: asked first, then made to. One that is gone, or is another by now, is left alone."""
    since = since or started_at(pid)
    for number, wait_s in ((signal.SIGTERM, patience_s), (signal.SIGKILL, 5.0)):
        if since is None or started_at(pid) != since:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            if started_at(pid) != since:
                return
            time.sleep(0.02)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with contextlib.ExitStack() as open_ones:
        sockets = [open_ones.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class Server:
    """`interlock up` on a folder of its own. It can be killed and started again; the address stays."""

    def __init__(self, folder: Path, *, api_key: str) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.api_key = api_key
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def environment(self) -> dict[str, str]:
        """What the server and its jobs see."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("INTERLOCK_")},
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
            "TMPDIR": str(self.folder),
            "INTERLOCK_EXEC_AGENT": "1",
            "INTERLOCK_ALLOW_PRIVATE_ADDRESSES": "1",
            "INTERLOCK_BOOTSTRAP_API_KEY": self.api_key,
            "INTERLOCK_BOOTSTRAP_WORKSPACE": WORKSPACE,
        }

    def start(self) -> None:
        """Start it, and return when it can be asked."""
        with (self.folder / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "interlock.cli", "up", "--port", str(self.port), "--data", str(self.data)],
                cwd=HERE,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait_until_ready()

    def wait_until_ready(self, *, patience_s: float = 60.0) -> None:
        """Wait until the address file names this process.

        Fails: `StoryFailed` with the end of the log when it ends instead.
        """
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if self.process is None or self.process.poll() is not None:
                raise StoryFailed(f"`interlock up` ended by itself:\n{self.log_tail()}")
            with contextlib.suppress(OSError, ValueError):
                if json.loads((self.data / "up.json").read_text())["pid"] == self.process.pid:
                    return
            time.sleep(0.05)
        raise StoryFailed(f"`interlock up` was not ready after {patience_s:g} s:\n{self.log_tail()}")

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """End it in order."""
        if self.process is not None:
            end(self.process.pid, patience_s=40.0)
            self.process.wait()

    def log_tail(self, lines_max: int = 30) -> str:
        """What it said last."""
        with contextlib.suppress(OSError):
            return "\n".join((self.folder / "up.log").read_text(errors="replace").splitlines()[-lines_max:])
        return ""


# --- the story -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Story:
    """The quickstart, step by step.

    Takes: `scale` multiplies every time of the story; `say` gets each line of progress.
    """

    folder: Path
    scale: float = 1.0
    say: Callable[[str], None] = print
    hosts: dict[str, int] = field(default_factory=dict)
    loads: list[subprocess.Popen[bytes]] = field(default_factory=list)
    approver_key: str = ""
    seen: list[Wire] = field(default_factory=list)
    told_seq: int = 0
    began_s: float = field(default_factory=time.monotonic)
    api_key: str = field(default_factory=lambda: f"{os.urandom(8).hex()}.{os.urandom(32).hex()}")
    server: Server = field(init=False)
    looking_on: Client | None = None

    def __post_init__(self) -> None:
        self.server = Server(self.folder, api_key=self.api_key)

    @property
    def client(self) -> Client:
        """For looking on: made once, because making one costs more than asking it."""
        if self.looking_on is None:
            self.looking_on = Client(self.server.url, api_key=self.api_key, workspace=WORKSPACE, timeout_s=10)
        return self.looking_on

    def play(self) -> None:
        """All of it. The server must be up."""
        self.describe_fleet()
        self.ship_good_version()
        self.ship_bad_version()
        self.add_host()
        self.look_back()

    # 1

    def describe_fleet(self) -> None:
        """Apply the files; a second time changes nothing."""
        self.step(1, "A fleet is described in YAML and applied.")
        self.prepare_files()
        for line in self.interlock("apply", "-f", str(self.folder / "fleet")).splitlines():
            self.say(f"  {line}")
        again = self.interlock("apply", "-f", str(self.folder / "fleet"))
        changed = [line for line in again.splitlines() if not line.startswith("unchanged")]
        self.expect(not changed, f"A second apply changed something: {changed}")
        self.say("  Applied once more: nothing changed.")
        self.tell_progress()

    # 2

    def ship_good_version(self) -> None:
        """1.0.0 goes everywhere: staging, a second person, production one by one."""
        self.step(2, "Version 1.0.0: staging, a second person's approval, production host by host.")
        self.create_version("1.0.0", **{"git/commit": "4f2a9c1", "build": "118"})
        self.wait_for("staging to serve 1.0.0", lambda: self.serve("1.0.0", STAGING))
        self.approver_key = self.interlock(
            *("keys", "create", "--user", APPROVER, "--workspace", WORKSPACE, "--role", "approver")
        ).strip()
        self.start_load(*PRODUCTION)
        self.approve("1.0.0")
        self.wait_for("production to serve 1.0.0", lambda: self.serve("1.0.0", PRODUCTION))
        self.wait_for("the rollout to complete", lambda: self.happened("rollout.completed", "1.0.0"))
        self.expect_one_by_one()
        people = {event["actor"]["id"] for event in self.events(after=0) if event["actor"]["kind"] == "user"}
        self.expect(len(people) == 2, f"The ledger should show two people and shows {len(people)}.")

    # 3

    def ship_bad_version(self) -> None:
        """1.1.0 is well in staging and fails under load: one host is hit and goes back."""
        self.step(3, "Version 1.1.0: well in staging, but it serves errors under production load.")
        before = {host: self.ask(host).get("pid") for host in PRODUCTION}
        mark = self.last_seq()
        self.create_version("1.1.0", **{"git/commit": "b81d03e", "build": "121"})
        self.wait_for("staging to serve 1.1.0", lambda: self.serve("1.1.0", STAGING))
        self.approve("1.1.0")
        self.wait_for("the rollout to halt", lambda: self.happened("rollout.halted", "1.1.0"))
        self.wait_for("the rollback to be verified", lambda: self.rolled_back(after=mark))
        self.wait_for("production to serve 1.0.0", lambda: self.serve("1.0.0", PRODUCTION))
        after = {host: self.ask(host).get("pid") for host in PRODUCTION}
        hit = [host for host in PRODUCTION if before[host] != after[host]]
        self.expect(len(hit) == 1, f"One host should have been touched, and {hit or 'none'} was.")
        self.say(f"  Only {hit[0]} was touched, and it serves 1.0.0 again. Why, in Interlock's words:")
        for line in self.interlock("explain", DEPLOYMENT).splitlines():
            self.say(f"    {line}")

    # 4

    def add_host(self) -> None:
        """A host that matches by metadata alone gets what is known to be good."""
        self.step(4, f"A new host, {LATE}, joins by its metadata alone.")
        self.interlock("apply", "-f", str(self.folder / "later"))
        self.wait_for(f"{LATE} to serve 1.0.0", lambda: self.serve("1.0.0", (LATE,)))
        self.wait_for(f"{LATE} to be verified", lambda: self.happened("move.verified", "1.0.0", target=LATE))
        self.start_load(LATE)

    # 5

    def look_back(self) -> None:
        """The timeline, and what the processes say."""
        self.step(5, "The ledger of it all, and what the processes say.")
        for line in self.interlock("ledger").splitlines():
            self.say(f"  {line}")
        self.say("  (Without the steps that every healthy move takes: `interlock ledger --all` shows those too.)")
        expected = dict.fromkeys((*PRODUCTION, LATE), "1.0.0") | dict.fromkeys(STAGING, "1.1.0")
        found = {host: self.ask(host).get("version") for host in expected}
        for host, version in found.items():
            self.say(f"  {host:<12} serves {version}")
        self.expect(found == expected, f"The hosts should serve {expected} and serve {found}.")

    # What the steps are made of

    def step(self, number: int, title: str) -> None:
        """Announce a step."""
        self.say("")
        self.say(f"{number}. {title}")

    def expect(self, true: object, otherwise: str) -> None:
        """Go on, or end the story."""
        if not true:
            raise StoryFailed(otherwise)

    def prepare_files(self) -> None:
        """Copy the YAML files with free ports and scaled times."""
        shutil.copytree(HERE, self.folder / "fleet", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
        shutil.copytree(HERE.parent / "quickstart-later", self.folder / "later")
        files = sorted(file for name in ("fleet", "later") for file in (self.folder / name).rglob("*.yaml"))
        texts = {file: file.read_text() for file in files}
        named = [
            port for text in texts.values() for port in re.findall(r"^\s+port: \"?(\d+)\"?$", text, flags=re.MULTILINE)
        ]
        ports = dict(zip(dict.fromkeys(named), map(str, free_ports(len(set(named)))), strict=True))
        for file, text in texts.items():
            text = re.sub(r"^(\s+port: \"?)(\d+)", lambda found: found[1] + ports[found[2]], text, flags=re.MULTILINE)
            text = re.sub(rf"(\b(?:{'|'.join(SCALED)}): )([\d.]+)", self._scaled, text)
            file.write_text(text)
        for text in (file.read_text() for file in files):
            for document in text.split("\n---"):
                name = re.search(r"^identifier: (\S+)", document, flags=re.MULTILINE)
                port = re.search(r"^\s+port: \"?(\d+)", document, flags=re.MULTILINE)
                if name and port:
                    self.hosts[name[1].rpartition("/")[2]] = int(port[1])
        missing = {*STAGING, *PRODUCTION, LATE} - set(self.hosts)
        self.expect(not missing, f"The files describe no port of {missing}.")

    def _scaled(self, found: re.Match[str]) -> str:
        seconds = float(found[2]) * self.scale
        return f"{found[1]}{max(1, round(seconds)) if 'Soak' in found[1] else max(0.1, round(seconds, 2)):g}"

    def interlock(self, *arguments: str, api_key: str | None = None) -> str:
        """Run the command line as a person would, and give what it printed.

        Asks again while the server cannot be reached: every command here may be given twice.
        """
        environment = {
            **self.server.environment(),
            "INTERLOCK_URL": self.server.url,
            "INTERLOCK_API_KEY": api_key or self.api_key,
            "INTERLOCK_WORKSPACE": WORKSPACE,
        }
        deadline = time.monotonic() + 60
        while True:
            ran = subprocess.run(
                [sys.executable, "-m", "interlock.cli", *arguments],
                cwd=HERE,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if ran.returncode == 0:
                return ran.stdout
            away = any(sign in ran.stderr for sign in LOST)
            if not away or time.monotonic() > deadline:
                raise StoryFailed(f"`interlock {' '.join(arguments)}` failed: {ran.stderr.strip()}")
            time.sleep(POLL_S)

    def create_version(self, tag: str, **metadata: str) -> None:
        """What CI does at the end of a build."""
        pairs = [option for key, value in metadata.items() for option in ("-m", f"{key}={value}")]
        self.interlock("version", "upsert", "--deployment", DEPLOYMENT, "--tag", tag, *pairs)
        self.say(f"  CI created version {tag}.")

    def approve(self, tag: str) -> None:
        """Wait to be asked, then say yes as the second person."""

        def asked() -> bool:
            return any(request["version"]["tag"] == tag for request in self.requests())

        self.wait_for(f"approval of {tag} to be asked for", asked)
        about = f"{DEPLOYMENT}/production"
        try:
            self.interlock("approve", about, "--comment", f"staging was fine with {tag}", api_key=self.approver_key)
        except StoryFailed:
            if asked():  # else the first try was taken, and only its answer was lost
                raise

    def requests(self) -> list[Wire]:
        """The open requests for approval."""
        return list(self.client.list_approval_requests())

    def events(self, kind: str | None = None, *, after: int) -> list[Wire]:
        """The ledger after a place, or what is of one kind in it; only what is new is asked for.

        An Interlock that is away is asked again.
        """
        deadline = time.monotonic() + 60
        while True:
            try:
                self.seen.extend(self.client.list_ledger(after=self.last_seq()))
                break
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_S)
        return [event for event in self.seen if event["seq"] > after and kind in {None, event["kind"]}]

    def happened(self, kind: str, version: str, **more: str) -> bool:
        """Whether this happened to a version in production."""
        about = {"environment": "production", "version": version, **more}
        return any(about.items() <= event["body"].items() for event in self.events(kind, after=0))

    def last_seq(self) -> int:
        """The place of the last event that was seen."""
        return int(self.seen[-1]["seq"]) if self.seen else 0

    def rolled_back(self, *, after: int) -> bool:
        """Whether a host went back and that was verified."""
        kinds = [event["kind"] for event in self.events(after=after) if event["body"].get("kind") == "rollback"]
        return "move.verified" in kinds

    def expect_one_by_one(self) -> None:
        """No production host may have been handed a job before the one before it was verified."""
        in_hand = 0
        for event in self.events(after=0):
            in_hand += {"job.handed_over": 1, "verification.passed": -1}.get(event["kind"], 0)
            self.expect(in_hand <= 1, "Two hosts were changed at the same time.")

    def ask(self, host: str) -> dict[str, Any]:
        """What the process of a host says about itself; empty while there is none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.hosts[host]}/version", timeout=2) as answer:
                said: dict[str, Any] = json.load(answer)
                return said
        except (OSError, ValueError):
            return {}

    def serve(self, version: str, hosts: Sequence[str]) -> bool:
        """Whether the processes of these hosts all serve this version."""
        return all(self.ask(host).get("version") == version for host in hosts)

    def start_load(self, *hosts: str) -> None:
        """One load generator for each host."""
        for host in hosts:
            command = [sys.executable, str(HERE / "load.py"), "--port", str(self.hosts[host])]
            quiet = subprocess.DEVNULL
            load = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
            (self.folder / f"load-{host}.pid").write_text(str(load.pid))
            self.loads.append(load)

    def wait_for(self, what: str, happened: Callable[[], bool], *, patience_s: float = 60.0) -> None:
        """Wait, telling what the ledger says meanwhile. An Interlock that is away is waited for as well."""
        deadline = time.monotonic() + patience_s * max(1.0, self.scale)
        while time.monotonic() < deadline:
            with contextlib.suppress(Unavailable):
                self.tell_progress()
                if happened():
                    self.tell_progress()
                    return
            time.sleep(POLL_S)
        said = self.interlock("explain", DEPLOYMENT)
        raise StoryFailed(f"Waited in vain for {what}. Interlock says:\n{said}\n{self.server.log_tail()}")

    def tell_progress(self) -> None:
        """Say what happened since the last look."""
        for event in self.events(after=self.told_seq):
            self.told_seq = event["seq"]
            if line := told(event):
                self.say(f"  {time.monotonic() - self.began_s:5.1f} s  {line}")

    def close(self) -> None:
        """End everything that was started."""
        self.client.calls.close()
        for load in self.loads:
            end(load.pid)
        self.server.stop()
        for pid in host_pids(self.folder):
            end(pid)


TOLD: Mapping[str, str] = {
    "job.handed_over": "{target}: deploying {version}",
    "job.status_changed": "{target}: job {to}",
    "verification.started": "{target}: measuring {version}",
    "verification.passed": "{target}: {version} verified",
    "verification.failed": "{target}: {version} failed its verification",
    "approval.requested": "{environment}: a person is asked about {version}",
    "approval.given": "{actor} approved",
    "rollout.opened": "{environment}: rollout of {version} opened",
    "rollout.halted": "{environment}: rollout of {version} halted",
    "rollout.completed": "{environment}: rollout of {version} complete",
    "quarantine.set": "{target}: {version} is quarantined",
    "rollback.started": "{target}: going back to {version}",
    "target.attached": "{target}: joined {environment}",
}
"""Ledger events that make the progress, and how they are told."""


class _Words(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "…"


def told(event: Wire) -> str | None:
    """An event as a line of progress; None for one that is not told."""
    if event["body"].get("to") == "inProgress":
        return None
    pattern = TOLD.get(event["kind"])
    words = _Words({**event["body"], "actor": event["actor"].get("name", event["actor"]["kind"])})
    return pattern.format_map(words) if pattern else None


def host_pids(folder: Path) -> Iterator[int]:
    """The processes of hosts and load generators, from the files that say so; never another that got the PID since."""
    for file in folder.rglob("*.pid"):
        with contextlib.suppress(OSError, ValueError):
            pid = int(file.read_text().split()[0])
            if any(program in command_of(pid) for program in ("shop_api", "load.py")):
                yield pid


def command_of(pid: int) -> str:
    """The command line of a process; empty when it is gone."""
    if Path("/proc/self").exists():
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return ""
    asked = ["ps", "-o", "command=", "-p", str(pid)]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout


# --- running it ------------------------------------------------------------------------------------------------------


def make_folder() -> Path:
    """A folder that PostgreSQL's user can go through, when we are root."""
    folder = Path(tempfile.mkdtemp(prefix="interlock-demo-"))
    folder.chmod(0o711)
    return folder


def run_demo(*, keep: bool) -> int:
    """Play the story, and clean up."""
    if left := left_running():
        print(f"A demo is running already (process {left}). `make stop` ends it.", file=sys.stderr)
        return 1
    story = Story(make_folder(), scale=float(os.environ.get("INTERLOCK_DEMO_SCALE", "1")))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    began_s = time.monotonic()
    done = False
    try:
        print("Starting Interlock with a PostgreSQL of its own …", flush=True)
        story.server.start()
        note_state(story)
        print(f"Console: {story.server.url}/  (key: {story.api_key})", flush=True)
        story.play()
        done = True
    except (StoryFailed, InterlockError) as failure:
        print(f"\nThe story did not happen: {failure}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nInterrupted; ending everything.", file=sys.stderr)
    finally:
        if keep and done:
            note_state(story)
        else:
            story.close()
            STATE.unlink(missing_ok=True)
            if done:
                shutil.rmtree(story.folder, ignore_errors=True)
            else:
                print(f"What was written is in {story.folder}.", file=sys.stderr)
    if done:
        print(f"\nThe story happened, in {time.monotonic() - began_s:.0f} s.")
        print(f"Left running: console {story.server.url}/ key {story.api_key}; `make stop` ends it." if keep else "")
    return 0 if done else 1


def note_state(story: Story) -> None:
    """Write down what runs, for `stop`."""
    if story.server.process is not None:
        pid = story.server.process.pid
        STATE.parent.mkdir(exist_ok=True)
        STATE.write_text(json.dumps({"folder": str(story.folder), "pid": pid, "since": started_at(pid)}))


def left_running() -> int | None:
    """The server of a demo that was left running."""
    try:
        noted = json.loads(STATE.read_text())
    except (OSError, ValueError):
        return None
    return int(noted["pid"]) if started_at(noted["pid"]) == noted["since"] else None


def stop_demo() -> int:
    """End what a demo left running."""
    try:
        noted = json.loads(STATE.read_text())
    except (OSError, ValueError):
        print("No demo is running.")
        return 0
    end(noted["pid"], since=noted["since"], patience_s=40.0)
    folder = Path(noted["folder"])
    for pid in host_pids(folder):
        end(pid)
    shutil.rmtree(folder, ignore_errors=True)
    STATE.unlink(missing_ok=True)
    print("Stopped.")
    return 0


def main() -> int:
    """`demo.py` plays the story; with KEEP=1 it leaves everything running, which `demo.py stop` ends."""
    return stop_demo() if sys.argv[1:] == ["stop"] else run_demo(keep=os.environ.get("KEEP") == "1")


if __name__ == "__main__":
    sys.exit(main())

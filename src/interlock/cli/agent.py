"""`interlock agent run`: the reference agent. It asks for jobs, runs a command for each, and says how it went.

    export INTERLOCK_URL=https://interlock.example.com INTERLOCK_WORKSPACE=shop
    export INTERLOCK_API_KEY="$(cat token)"          # interlock agent-token issue datacenter-west > token
    interlock agent run --exec './deploy.sh "$INTERLOCK_RESOURCE" "$INTERLOCK_VERSION"'

The command gets INTERLOCK_JOB, INTERLOCK_ATTEMPT, INTERLOCK_DEPLOYMENT, INTERLOCK_ENVIRONMENT, INTERLOCK_RESOURCE and
INTERLOCK_VERSION; INTERLOCK_CONTEXT names a file with everything that the job is about, secrets in full, which it also
has on stdin. It may write JSON into the file that INTERLOCK_REPORT names: `message`, `externalId`, `links`, `metadata`,
`applied`, `artifacts`. Exit status 0 is success; what it prints is shown with the job.

A cancel is SIGTERM to the command's process group, SIGKILL after a grace. The command runs beside the agent: when the
agent dies or is updated, the next one with the same state directory goes on with it. When the agent stays away, or the
server cannot be reached, the command is stopped before its lease ends. SIGTERM lets the agent end what it has and take
nothing new; a second one leaves what runs to the next agent.

What one job means is told in `pulled.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from interlock.cli.connection import connected
from interlock.cli.pulled import AGAIN_MAX_S, Order, PulledJob
from interlock.client import Client
from interlock.model.errors import Bug, Conflict, Invalid, NotFound, Refused, Unavailable
from interlock.outside import exec_runner

POLL_S = 2.0
WAIT_S = 2.0
"""How long the server keeps an empty answer back: a SIGTERM is heard after so long at most."""
SEEN_MAX = 20
"""Jobs of the queue that are looked at at once."""


@click.group()
def agent() -> None:
    """Run the reference agent: a command for each job."""


@agent.command()
@click.option("--exec", "command", required=True, metavar="CMD", help="What to run for a job, by /bin/sh.")
@click.option("--agent", "agent_name", default="me", metavar="NAME", help="The job agent.  [default: the token's]")
@click.option("--concurrency", type=click.IntRange(1, 1000), default=1, show_default=True, help="Jobs at once.")
@click.option("--lease", "lease_s", type=click.FloatRange(1, 86_400), default=60.0, show_default=True,
              metavar="SECONDS", help="How long the server waits for a sign of life.")  # fmt: skip
@click.option("--grace", "grace_s", type=click.FloatRange(0, 3600), default=10.0, show_default=True, metavar="SECONDS",
              help="Between SIGTERM and SIGKILL.")  # fmt: skip
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(0.1), metavar="SECONDS", help="Stop a command after so long."
)
@click.option("--poll", "poll_s", type=click.FloatRange(0.05, 3600), default=POLL_S, show_default=True,
              metavar="SECONDS", help="How long to wait after others were faster.")  # fmt: skip
@click.option("--state", "state", type=click.Path(path_type=Path), metavar="DIR",
              help="Where runs are kept.  [default: ~/.local/state/interlock/agent]")  # fmt: skip
@click.option(
    "--holder",
    default=socket.gethostname,
    metavar="NAME",
    help="Who has a job, as people read it.  [default: this host]",
)
@click.option("-o", "--output", type=click.Choice(("table", "json")), default="table", show_default=True,
              help="How to print the log; json: an object a line.")  # fmt: skip
@connected
def run(
    client: Client,
    command: str,
    *,
    agent_name: str,
    concurrency: int,
    lease_s: float,
    grace_s: float,
    timeout_s: float | None,
    poll_s: float,
    state: Path | None,
    holder: str,
    output: str,
) -> None:
    r"""Ask for jobs, run a command for each, and say how it went.

    \b
    interlock agent run --exec './deploy.sh "$INTERLOCK_RESOURCE" "$INTERLOCK_VERSION"'
    """
    order = Order(command, min(grace_s, lease_s / 3), timeout_s)
    home = (state or default_state()).absolute()
    with state_of_one(home):
        puller = Puller(
            client, home, order, agent=agent_id(client, agent_name), concurrency=concurrency, lease_s=lease_s,
            poll_s=poll_s, holder=f"{holder}/{os.getpid()}", json_lines=output == "json",
        )  # fmt: skip
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: puller.stop())
        puller.work()


def default_state() -> Path:
    """Where runs are kept: in the user's state directory."""
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "interlock" / "agent"


def agent_id(client: Client, name: str) -> str:
    """The agent's id; `me` stays `me`, whose token it is the server knows."""
    if name == "me":
        return name
    for each in client.list_job_agents():
        if name in {each["name"], each["id"]}:
            return str(each["id"])
    raise NotFound(f"There is no job agent named {name}.")


@contextlib.contextmanager
def state_of_one(home: Path) -> Iterator[None]:
    """Hold a state directory: two agents would both report its runs.

    Fails: `Invalid` when another one has it.
    """
    home.mkdir(parents=True, mode=0o700, exist_ok=True)
    lock = exec_runner.try_lock(str(home))
    if lock is None:
        raise Invalid(f"Another agent works in {home}; give each its own --state.")
    try:
        yield
    finally:
        os.close(lock)


class Puller:
    """Asks for jobs as long as it has hands free, and has one thread for each."""

    def __init__(
        self,
        client: Client,
        state: Path,
        order: Order,
        *,
        agent: str,
        concurrency: int,
        lease_s: float,
        poll_s: float,
        holder: str,
        json_lines: bool = False,
    ) -> None:
        self.client, self.state, self.order, self.agent = client, state, order, agent
        self.concurrency, self.lease_s, self.poll_s, self.holder = concurrency, lease_s, poll_s, holder
        self.json_lines = json_lines
        self.draining, self.leaving = threading.Event(), threading.Event()
        self._at_work: list[threading.Thread] = []

    def stop(self) -> None:
        """Take nothing new; the second time, leave what runs to the next agent."""
        if self.draining.is_set():
            self.leaving.set()
        self.draining.set()

    def work(self) -> None:
        """Until stopped: go on with what was claimed before, then claim what waits."""
        self.tell(f"asks for jobs as {self.holder}, {self.concurrency} at once; its runs are in {self.state}")
        self._go_on()
        wait_s = self.poll_s
        while not self.draining.is_set():
            wait_s = self._turn(wait_s)
            self.draining.wait(wait_s * random.uniform(0.9, 1.1))  # noqa: S311 - spread, no secret
        if self._busy():
            self.tell(f"takes nothing new; {self._busy()} still at work")
        while self._busy() and not self.leaving.is_set():
            time.sleep(0.05)
        for thread in self._at_work:
            thread.join()
        self.tell("leaves")

    def tell(self, what: str, *, job: str | None = None, attempt: int | None = None, failed: bool = False) -> None:
        """One line of log."""
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self.json_lines:
            line = {"at": at, "job": job, "attempt": attempt, "message": what}
            click.echo(json.dumps({key: value for key, value in line.items() if value is not None}))
            return
        about = f"job {job} (attempt {attempt}) " if job else ""
        click.echo(f"{at} {about}{what}", err=failed)

    def _turn(self, wait_s: float) -> float:
        """Claim what there is room for. Gives how long to wait before the next turn: longer while nobody answers."""
        free = self.concurrency - self._busy()
        if free <= 0:
            return min(self.poll_s, 0.2)
        try:
            waiting = self.client.wait_for_jobs(self.agent, wait_s=WAIT_S, items_max=SEEN_MAX)
            taken = 0
            for job in waiting:
                if taken == free or self.draining.is_set():
                    break
                intent = {"job": job["id"], "key": uuid.uuid4().hex, "leaseS": self.lease_s, "holder": self.holder}
                taken += self._claim(intent, asked_at_s=time.clock_gettime(time.CLOCK_BOOTTIME))
        except (Unavailable, Bug) as silent:
            self.tell(f"is not answered: {silent}", failed=True)
            return float(min(max(wait_s, 0.5) * 2, AGAIN_MAX_S))
        except Refused as refused:
            self.tell(f"may not: {refused}", failed=True)
            return AGAIN_MAX_S
        return self.poll_s if waiting and not taken else 0.0

    def _claim(self, intent: Mapping[str, Any], *, asked_at_s: float | None = None) -> bool:
        """Take a job and begin with it. Says whether it was to be had.

        Why:    the key of the claim is written down before: if we die with the answer on its way, the next one asks
                again under the same key, and gets the same answer.
        """
        intents, lease_s = self.state / "claims", intent["leaseS"]
        intents.mkdir(mode=0o700, exist_ok=True)
        exec_runner.write_whole(str(intents), f"{intent['job']}.json", dict(intent))
        try:
            job: Any = self.client.claim_job(
                self.agent, intent["job"], lease_s=lease_s, holder=intent["holder"], key=intent["key"]
            )
        except (Conflict, NotFound):
            job = None
        if job is not None:
            self._begin(PulledJob.claimed(self.client, self.state, job, asked_at_s=asked_at_s, **self._how()))
        (intents / f"{intent['job']}.json").unlink(missing_ok=True)
        return job is not None

    def _go_on(self) -> None:
        """Go on with the runs of the agent before, and ask again for what it may have claimed."""
        for claim in sorted(self.state.glob("runs/*/*/claim.json")):
            self._begin(PulledJob(self.client, claim.parent, **self._how()))
        known = {path.parent.parent.name for path in self.state.glob("runs/*/*/claim.json")}
        for path in sorted(self.state.glob("claims/*.json")):
            intent = json.loads(path.read_bytes())
            if intent["job"] in known:
                path.unlink(missing_ok=True)
                continue
            self._claim_again(intent)

    def _claim_again(self, intent: dict[str, Any]) -> None:
        while not self.draining.is_set():
            try:
                self._claim(intent)
            except (Unavailable, Bug) as silent:
                self.tell(f"is not answered: {silent}", failed=True)
                self.draining.wait(2.0)
            except Refused as refused:
                self.tell(f"may not go on with a claim, whose lease is left to end: {refused}", failed=True)
                (self.state / "claims" / f"{intent['job']}.json").unlink(missing_ok=True)
                return
            else:
                return

    def _how(self) -> dict[str, Any]:
        return {"order": self.order, "tell": self.tell, "leaving": self.leaving}

    def _begin(self, job: PulledJob) -> None:
        thread = threading.Thread(target=job.follow, name=f"job-{job.job_id}", daemon=True)
        self._at_work.append(thread)
        thread.start()

    def _busy(self) -> int:
        self._at_work = [thread for thread in self._at_work if thread.is_alive()]
        return len(self._at_work)

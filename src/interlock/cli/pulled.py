"""How does one claimed job go from its claim to its report, though the agent, the server or the command may die?

A run has a folder, `STATE/runs/<job>/<attempt>`, which is all that is known of it:

    claim.json      job, attempt, how long the lease lasts
    context.json    everything that the job is about, secrets in full; removed when the command has ended
    report.json     what the command says of itself (`INTERLOCK_REPORT`): message, externalId, links, metadata, applied,
                    artifacts
    the others      of `outside/exec_runner.py`, which runs the command in a session of its own

So the command outlives the agent's process, and the next one finds it: still running, ended, or not begun. The runner
ends the command by itself when the lease is not renewed in time, some seconds before the server gives the job away:
nobody is at work whose word would not count.

What cannot be known is not guessed. A command whose runner was killed is watched until it is gone; then its lease is
left to end, and the server does with the job what its agent's config says.

Source: core.md section 5; decision record 0031.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from interlock.client import Client
from interlock.model.errors import Bug, InterlockError, NotFound, Refused, Unavailable
from interlock.outside import exec_runner

TICK_S = 0.2
TELL_EVERY_S = 3.0
"""New output is told at most so often."""
OUTPUT_MAX = 64_000
REPORT_BYTES_MAX = 256 * 1024
AGAIN_MAX_S = 15.0
SPAWN_S = 20.0
SAID = ("message", "externalId", "links", "metadata", "applied", "artifacts")
PATIENT = "trap 'exit 143' TERM;"
"""The shell outlives its SIGTERM until what it runs has ended: else that would be killed without its grace."""
KEPT_TO_US = frozenset({"INTERLOCK_API_KEY"})
"""Variables of the agent's environment that its commands do not get."""

Tell = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Order:
    """How commands are run.

    Takes: `grace_s` is between SIGTERM and SIGKILL; `timeout_s` None: as long as the lease is renewed.
    """

    command: str
    grace_s: float = 10.0
    timeout_s: float | None = None
    output_bytes_max: int = 10 * 1024 * 1024


class Lost(Exception):
    """The job is not ours any more: what we say of it does not count."""


class PulledJob:
    """One attempt, in its folder. `follow` takes it to its end, in a thread of its own.

    Takes: `leaving` is set when the agent leaves its commands to the next one.
    """

    def __init__(self, client: Client, folder: Path, order: Order, *, tell: Tell, leaving: threading.Event) -> None:
        self.client, self.folder, self.order, self.leaving = client, folder, order, leaving
        claim = json.loads((folder / "claim.json").read_bytes())
        self.job_id: str = claim["job"]
        self.attempt: int = claim["attempt"]
        self.lease_s: float | None = claim["leaseS"]
        self._tell = tell
        self._told: Mapping[str, Any] = {}
        self._beat_at_s, self._again_s = 0.0, 1.0
        self._cancelled = False

    @classmethod
    def claimed(
        cls, client: Client, state: Path, job: Mapping[str, Any], *, asked_at_s: float | None, **how: Any
    ) -> PulledJob:
        """Write down a job that was just claimed, before anything is done with it.

        Takes: `asked_at_s` is when the claim was sent (CLOCK_BOOTTIME); None where that is not known any more.
        """
        folder = state / "runs" / str(job["id"]) / str(job["attempt"])
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        context = {**(job.get("dispatchContext") or {}), "job": {"id": job["id"], "attempt": job["attempt"]}}
        exec_runner.write_whole(str(folder), "context.json", context)
        lease_s = None
        if job.get("leasedUntil"):
            heard_at, until = (datetime.fromisoformat(job[key]) for key in ("heardAt", "leasedUntil"))
            lease_s = (until - heard_at).total_seconds()
        claim = {"job": job["id"], "attempt": job["attempt"], "leaseS": lease_s}
        exec_runner.write_whole(str(folder), "claim.json", claim)
        pulled = cls(client, folder, how.pop("order"), **how)
        if asked_at_s is not None:
            pulled._hold(asked_at_s)
            pulled._beat_at_s = time.monotonic()
        return pulled

    def follow(self) -> None:
        """Begin the command if nobody did, keep the lease, say how it goes, report its end. Ends without a report when
        the job is lost, and when we leave.
        """
        try:
            while not self._beat_at_s or not self._has_lease():
                self._heartbeat()
                if not self._has_lease() and self.leaving.wait(self._again_s):
                    return
            if not self._known():
                self._begin()
            while not self._ended() and not self.leaving.is_set():
                if self._blind():
                    self._give_up()
                    return
                time.sleep(TICK_S)
                self._keep()
            if self._ended():
                self._report()
        except Lost as lost:
            self._let_go(str(lost))
        except (InterlockError, OSError, ValueError) as broken:
            self._say(f"cannot go on: {broken}. Its lease is left to end.", failed=True)
            self._cancel()

    # The command.

    @property
    def _grace_s(self) -> float:
        """Between SIGTERM and SIGKILL: never so long that the lease ends first."""
        return self.order.grace_s if self.lease_s is None else min(self.order.grace_s, self.lease_s / 3)

    def _has_lease(self) -> bool:
        return self.lease_s is None or exec_runner.lease_left_s(str(self.folder)) > 0 or self._known()

    def _hold(self, sent_at_s: float) -> None:
        """Let the command go on for as long as the lease lasts that was asked for then, less its grace."""
        if self.lease_s is not None:
            until_s = sent_at_s + stop_after_s(self.lease_s, self._grace_s)
            exec_runner.hold_lease(str(self.folder), until_s)

    def _known(self) -> bool:
        return exec_runner.is_begun(str(self.folder)) or self._locked()

    def _ended(self) -> bool:
        return (self.folder / "exit.json").exists()

    def _locked(self) -> bool:
        lock = exec_runner.try_lock(str(self.folder))
        if lock is None:
            return True
        os.close(lock)
        return False

    def _blind(self) -> bool:
        """Whether the command is gone and nobody saw how it ended: its runner was killed."""
        if self._locked() or self._ended():
            return False
        process = json.loads((self.folder / "process.json").read_bytes())
        alive = process == exec_runner.identity(process["pid"]) and process["startTicks"] is not None
        if alive and (self._cancelled or exec_runner.lease_left_s(str(self.folder)) <= 0):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process["pid"], 15 if self._patient() else 9)
        return not alive

    def _patient(self) -> bool:
        """Whether a command without a runner still has its grace."""
        asked = self.folder / "cancel"
        if not asked.exists():
            asked.touch(mode=0o600)
        return time.time() < asked.stat().st_mtime + self._grace_s

    def _begin(self) -> None:
        spec = {
            "argv": ["/bin/sh", "-c", f"{PATIENT} {self.order.command}"],
            "cwd": str(Path.cwd()),
            "stdin": str(self.folder / "context.json"),
            "timeoutS": self.order.timeout_s,
            "graceS": self._grace_s,
            "outputBytesMax": self.order.output_bytes_max,
        }
        exec_runner.write_whole(str(self.folder), "spec.json", spec)
        quiet = subprocess.DEVNULL
        began = subprocess.run(
            [sys.executable, "-I", "-S", exec_runner.__file__, str(self.folder)],
            env=self._environment(), stdin=quiet, stdout=quiet, stderr=quiet,
            start_new_session=True, timeout=SPAWN_S, check=False,
        )  # fmt: skip
        if began.returncode:
            raise Bug(f"the runner of the command ended with {began.returncode}")
        self._say("runs")

    def _environment(self) -> dict[str, str]:
        """Ours, without our key, and what the job is about. Secrets stand in the context alone."""
        context = json.loads((self.folder / "context.json").read_bytes())
        about = {"INTERLOCK_JOB": self.job_id, "INTERLOCK_ATTEMPT": str(self.attempt)}
        for name, key in (("deployment", "name"), ("environment", "name"), ("resource", "name"), ("version", "tag")):
            part = context.get(name)
            if isinstance(part, Mapping) and part.get(key) is not None:
                about[f"INTERLOCK_{name.upper()}"] = str(part[key])
        files = {f"INTERLOCK_{name.upper()}": str(self.folder / f"{name}.json") for name in ("context", "report")}
        ours = {name: value for name, value in os.environ.items() if name not in KEPT_TO_US}
        return {**ours, **about, **files}

    def _cancel(self) -> None:
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            (self.folder / "cancel").touch(mode=0o600, exist_ok=False)

    # The server.

    def _keep(self) -> None:
        """A heartbeat when one is due, with what is new."""
        now_s = time.monotonic()
        every_s = (self.lease_s or 60.0) / 3
        due = now_s >= self._beat_at_s + every_s
        if now_s >= self._beat_at_s + min(TELL_EVERY_S, every_s) and (due or self._news() != self._told):
            self._heartbeat()

    def _heartbeat(self) -> None:
        """Renew the lease, in the server's row and in the runner's file. One that is not answered is repeated soon.

        Fails: `Lost`.
        """
        sent_s, news = time.clock_gettime(time.CLOCK_BOOTTIME), self._news()
        self._beat_at_s = time.monotonic()
        new = {key: value for key, value in news.items() if self._told.get(key) != value}
        lease = {"leaseSeconds": self.lease_s} if self.lease_s else {}
        try:
            timeout_s = max(1.0, (self.lease_s or 60.0) / 6)
            heard = self.client.heartbeat_job(self.job_id, attempt=self.attempt, timeout_s=timeout_s, **lease, **new)
        except (Unavailable, Bug) as silent:
            self._say(f"cannot say that it lives: {silent}", failed=True)
            self._beat_at_s += self._again_s - (self.lease_s or 60.0) / 3  # again after that
            self._again_s = min(self._again_s * 2, 5.0, (self.lease_s or 60.0) / 6)
            return
        except NotFound as gone:
            raise Lost(gone.message) from gone
        except Refused as refused:
            if refused.status == 409:
                raise Lost(refused.message) from refused
            if not new:
                raise
            self._say(f"said something that was refused: {refused}", failed=True)
            self._told = news
            return
        self._again_s, self._told = 1.0, news
        self.lease_s = heard.get("leaseSeconds") or self.lease_s
        self._hold(sent_s)
        if heard["cancelRequested"] and not self._cancelled:
            self._cancelled = True
            self._say(f"is to stop: {heard.get('cancelReason') or 'no reason was given'}")
            self._cancel()

    def _news(self) -> dict[str, Any]:
        """What the command says of itself, and the end of what it wrote; no status."""
        said = {key: value for key, value in self._said().items() if key not in {"applied", "artifacts"}}
        with contextlib.suppress(FileNotFoundError):
            output = (self.folder / "output").read_bytes().decode("utf-8", "replace").replace("\0", "\ufffd")
            said["output"] = output[-OUTPUT_MAX:]
        return said

    def _said(self) -> dict[str, Any]:
        """`report.json`, as far as it can be read; one that is being written is read the next time."""
        with contextlib.suppress(OSError, ValueError):
            path = self.folder / "report.json"
            if path.stat().st_size <= REPORT_BYTES_MAX:
                said = json.loads(path.read_bytes())
                return {key: said[key] for key in SAID if said.get(key) is not None} if isinstance(said, dict) else {}
        return {}

    def _report(self) -> None:
        """Say how it ended, until that was heard or does not count any more.

        Fails: `Lost`.
        """
        with contextlib.suppress(FileNotFoundError):
            (self.folder / "context.json").unlink()
        ending = json.loads((self.folder / "exit.json").read_bytes())
        if ending["reason"] == "lease":
            raise Lost(ending["message"])
        good = ending["reason"] == "exit" and ending.get("exitCode") == 0
        status = "successful" if good else "cancelled" if ending["reason"] == "cancelled" else "failure"
        told = {f"agent/{key}": str(ending[key]) for key in ("exitCode", "signal", "durationMs") if key in ending}
        said = {**self._news(), **self._said()}
        report = {
            **said,
            "message": said.get("message") or ending["message"],
            "metadata": {**told, **said.get("metadata", {})},
        }
        wait_s = 0.5
        while True:
            try:
                self.client.report_job(self.job_id, status=status, attempt=self.attempt, **report)
            except (Unavailable, Bug) as silent:
                self._say(f"cannot be reported yet: {silent}", failed=True)
                if self.leaving.wait(wait_s * random.uniform(0.8, 1.2)):  # noqa: S311 - spread, no secret
                    return  # the next one reports it
                wait_s = min(wait_s * 2, AGAIN_MAX_S)
            except NotFound as gone:
                raise Lost(gone.message) from gone
            except Refused as refused:
                if refused.status == 409:
                    raise Lost(refused.message) from refused
                if refused.status in {401, 403} or not said:
                    raise
                self._say(f"said something that was refused: {refused}", failed=True)
                said, report = {}, {"message": ending["message"], "metadata": told}
            else:
                break
        self._say(f"ended {status}: {report['message']}", failed=not good)
        self._forget()

    def _give_up(self) -> None:
        """Nobody can say how the command ended: say that, once, and leave the lease to end."""
        message = "The command is gone, and nobody saw how it ended: its runner was killed. The lease is left to end."
        self._say(message, failed=True)
        with contextlib.suppress(InterlockError):
            self.client.heartbeat_job(self.job_id, attempt=self.attempt, message=message)
        self._forget()

    def _let_go(self, why: str) -> None:
        """The job is another's, or nobody's: stop working on it, and keep nothing of it."""
        self._say(f"is not ours any more: {why}", failed=True)
        self._cancelled = True
        self._cancel()
        while self._known() and not self._ended() and not self._blind():
            time.sleep(TICK_S)
        self._forget()

    def _forget(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.parent.rmdir()

    def _say(self, what: str, *, failed: bool = False) -> None:
        self._tell(what, job=self.job_id, attempt=self.attempt, failed=failed)


def stop_after_s(lease_s: float, grace_s: float) -> float:
    """How long after a renewed lease the command must be told to stop, so that it is gone when the lease ends."""
    return max(lease_s - grace_s - min(2.0, lease_s / 10), lease_s / 2)

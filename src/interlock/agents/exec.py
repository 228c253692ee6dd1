"""Exec: a job is a command on this machine.

For one machine, for scripts, and for everything that has a command line and no agent of its own here. It is off unless
Interlock is started with `INTERLOCK_EXEC_AGENT=1`: whoever may write a deployment could otherwise run commands as
Interlock's user.

```yaml
type: JobAgent
name: this-machine
agentType: exec
config:
  command: [./deploy.sh, "{{ resource.name }}", "{{ version.tag }}"]
  env:
    PORT: "{{ resource.config.port }}"
  timeoutSeconds: 120
```

{keys}

`command`, `env` values and `cwd` may hold placeholders, dotted paths into the job's context: `{{ version.tag }}`,
`{{ resource.config.port }}`, `{{ variables.replicas }}`. A path that leads nowhere fails the job before anything runs.
What `env` holds is no secret; write `{{ variables.password }}` there, of a sensitive variable.

The command sees PATH, HOME, USER, LANG, LC_ALL, TZ and TMPDIR of Interlock, the variables of `env`, and

    INTERLOCK_JOB       the job's id
    INTERLOCK_ATTEMPT   1, or more after a hand-over that had to be repeated
    INTERLOCK_CONTEXT   a JSON file with the whole context

It does not see Interlock's own settings. What it leaves running should not hold its output open.

**Statuses**: inProgress, then successful (exit status 0), failure (another exit status, a signal, no such program, too
slow, too much output; the message says which) or cancelled.

**Class**: keyed. The key is a folder, `DATA/exec/<job>/<attempt>/`: an attempt runs exactly once, however often it is
started and whatever is killed meanwhile. The command outlives Interlock; its result is found when Interlock is back. If
the small runner beside the command is killed too, the command is followed to its end and the job fails, because its
exit status is lost. The promise holds on one machine: run one worker with this agent, on the same data folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from interlock.agents.keys import Checked, Key, Number, Text, check_keys, lacking, wrong_keys
from interlock.clock import utc_now
from interlock.model.errors import AgentUnavailable, Bug, FieldError, Invalid, Rejected
from interlock.model.ids import is_id
from interlock.model.job import AgentClass, AgentJob, Authorization, JobStatus, Observation
from interlock.outside import exec_runner
from interlock.outside.templates import render_text

OFF = (
    "The exec agent is off, because it runs commands on Interlock's machine. "
    "Start Interlock with INTERLOCK_EXEC_AGENT=1 to allow it."
)

_TIMEOUT_DEFAULT_S = 300.0
_TIMEOUT_MAX_S = 86_400.0
_GRACE_S = 5.0
_OUTPUT_DEFAULT = 10 * 1024 * 1024
_OUTPUT_MAX = 1024 * 1024 * 1024
_ARGUMENTS_MAX = 1000
_PASSED_ON = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR")
_LAST_LINE_MAX = 300
_SPAWN_S = 10.0


def _wrong_text(value: object, field: str) -> list[FieldError]:
    """A text for a process: no NUL in it, and its placeholders can be read."""
    if isinstance(value, str) and "\0" in value:
        return [FieldError(field, "Must be a text without NUL.")]
    return Text(filled=True).wrong(value, field)


def _wrong_command(value: object, field: str) -> list[FieldError]:
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= _ARGUMENTS_MAX:
        return [FieldError(field, f"Must be a list of 1 to {_ARGUMENTS_MAX} texts, the program first.")]
    return [wrong for number, part in enumerate(value) for wrong in _wrong_text(part, f"{field}[{number}]")]


def _wrong_env(value: object, field: str) -> list[FieldError]:
    if not isinstance(value, Mapping):
        return [FieldError(field, "Must be a map from name to text.")]
    wrong: list[FieldError] = []
    for name, text in value.items():
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            wrong.append(FieldError(field, f"`{name}` is no name for an environment variable."))
        number = isinstance(text, int | float) and not isinstance(text, bool)
        wrong += _wrong_text(str(text) if number else text, f"{field}.{name}")
    return wrong


_TEXTS = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": _ARGUMENTS_MAX}
_ENV = {"type": "object", "additionalProperties": {"type": ["string", "number"]}}

KEYS = (
    Key(
        "command",
        Checked("a list of texts, the program first", _wrong_command, _TEXTS),
        "program and arguments, one text each. There is no shell",
        needed="job",
    ),
    Key("env", Checked("a map from name to text", _wrong_env, _ENV), "environment variables to add"),
    Key(
        "cwd",
        Checked("a text without NUL", _wrong_text, {"type": "string"}),
        "folder to run in",
        shown_default="where Interlock was started",
    ),
    Key(
        "timeoutSeconds",
        Number(0, _TIMEOUT_MAX_S, above=True),
        "then it is stopped: SIGTERM to its process group, 5 s later SIGKILL",
        default=300,
    ),
    Key(
        "outputBytesMax",
        Number(0, _OUTPUT_MAX, whole=True, above=True),
        "it is stopped when it writes more; kept are the first 16 KiB and the last 48 KiB",
        default=_OUTPUT_DEFAULT,
    ),
)


class ExecAgent:
    """Reads and writes the folders of runs; `exec_runner.py` does the running.

    Takes: `root` is the folder of all runs, on a local file system.
    """

    kind: ClassVar[str] = "exec"
    klass: ClassVar[AgentClass] = AgentClass.KEYED
    capabilities: ClassVar[frozenset[str]] = frozenset({"output"})
    observe_every_s: ClassVar[float | None] = 0.2
    keys: ClassVar[tuple[Key, ...]] = KEYS
    open_ended: ClassVar[bool] = False

    def __init__(
        self,
        root: Path,
        *,
        enabled: bool = False,
        grace_s: float = _GRACE_S,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._root = root.absolute()
        self._enabled = enabled
        self._grace_s = grace_s
        self._now = now

    def check_config(self, config: Mapping[str, object]) -> None:
        """Refuse everything while the agent is off; else unknown keys, wrong types, limits and malformed
        placeholders.
        """
        if not self._enabled:
            raise Invalid(OFF, field="type")
        check_keys(config, self.keys)

    async def start(self, job: AgentJob, authorization: Authorization) -> Observation:
        """Make the attempt's folder and hand it to a runner. When this returns, a runner holds the folder or it is
        over.
        """
        return await asyncio.to_thread(self._start, job, authorization)

    async def find(self, job: AgentJob) -> Observation | None:
        """The run, or None while its command has not begun and nobody is about to begin it."""
        return await asyncio.to_thread(self._find, job)

    async def observe(self, job: AgentJob) -> Observation | None:
        """How the command goes. A run whose runner died before the command began is begun now, if its authorization
        still holds.
        """
        return await asyncio.to_thread(self._observe, job)

    async def cancel(self, job: AgentJob) -> Observation | None:
        """SIGTERM to the command's process group, SIGKILL after a grace. An attempt that never began will never
        begin.
        """
        return await asyncio.to_thread(self._cancel, job)

    def links(self, job: AgentJob, observation: Observation) -> Mapping[str, str]:
        """None: the output is in Interlock."""
        _ = job, observation
        return {}

    # The four verbs, in a thread of their own because they wait for the disk.

    def _start(self, job: AgentJob, authorization: Authorization) -> Observation:
        if not self._enabled:
            raise Rejected(OFF)
        run = self._run(job)
        spec = self._spec(job, run, authorization)
        try:
            self._root.mkdir(parents=True, mode=0o700, exist_ok=True)
            # The attempt may have been started before: what is missing is done now, what is there stays.
            with contextlib.suppress(FileExistsError):
                run.folder.mkdir(parents=True, mode=0o700)
            for name, content in (("context.json", dict(job.context)), ("spec.json", spec)):
                if not (run.folder / name).exists():
                    exec_runner.write_whole(str(run.folder), name, content)
        except OSError as failed:
            raise AgentUnavailable(f"The folder of the run cannot be written: {failed}.") from failed
        self._begin(run)
        seen = self._seen(run)
        if seen is None:
            raise AgentUnavailable("The runner of the command did not come up.")
        return seen

    def _find(self, job: AgentJob) -> Observation | None:
        return self._seen(self._run(job))

    def _observe(self, job: AgentJob) -> Observation | None:
        run = self._run(job)
        seen = self._seen(run)
        if seen is not None or not (run.folder / "spec.json").exists():
            return seen
        expires_at = run.read("spec.json").get("expiresAt")
        if expires_at is not None and self._now() >= datetime.fromisoformat(expires_at):
            self._settle(run, "withdrawn", "The command never began, and its authorization has ended meanwhile.")
        else:
            self._begin(run)
        return self._seen(run)

    def _cancel(self, job: AgentJob) -> Observation | None:
        run = self._run(job)
        run.folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        if not (run.folder / "exit.json").exists():
            (run.folder / "cancel").touch(mode=0o600, exist_ok=True)
            if not run.locked():
                self._settle(run, "cancelled", "Cancelled before the command began.")
        return self._seen(run)

    # What a folder says.

    def _run(self, job: AgentJob) -> Run:
        if not is_id(job.id) or job.attempt < 1:
            raise Bug(f"A job has an id and an attempt from 1, not {job.id!r} and {job.attempt!r}.")
        return Run(self._root / job.id / str(job.attempt), external_id=f"{job.id}/{job.attempt}")

    def _seen(self, run: Run) -> Observation | None:
        """Look at the folder. None: the command has not begun, and no runner is there to begin it.

        Why:   the lock is looked at before `exit.json` is missed for good: a runner writes it before it lets go.
        """
        locked = run.locked()
        if (run.folder / "exit.json").exists():
            return run.ended()
        if locked:
            return run.going("The command runs." if run.begun() else "The command is about to begin.")
        if not run.begun():
            return None
        if run.alive():
            self._end_overdue(run)
            return run.going("The command runs; its runner is gone, so its exit status will not be known.")
        self._settle(
            run, "lost", "The runner was killed before it could record how the command ended. What it did is not known."
        )
        return run.ended() if (run.folder / "exit.json").exists() else run.going("The command ended a moment ago.")

    def _end_overdue(self, run: Run) -> None:
        """Do for a command without a runner what the runner would have done: timeout and cancel."""
        now_s = self._now().timestamp()
        spec = run.read("spec.json")
        asked_s = run.changed_s("cancel")
        overdue = now_s > (run.changed_s("process.json") or now_s) + spec["timeoutS"]
        if asked_s is None and not overdue:
            return
        kill = overdue or (asked_s is not None and now_s > asked_s + spec["graceS"])
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(run.read("process.json")["pid"], signal.SIGKILL if kill else signal.SIGTERM)

    def _begin(self, run: Run) -> None:
        """Start a runner and wait until it has taken the folder, or has seen that another one did."""
        if (run.folder / "exit.json").exists() or run.begun():
            return
        argv = [sys.executable, "-I", "-S", exec_runner.__file__, str(run.folder)]
        quiet = subprocess.DEVNULL
        try:
            subprocess.run(
                argv, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True, timeout=_SPAWN_S, check=True
            )
        except (OSError, subprocess.SubprocessError) as failed:
            raise AgentUnavailable(f"The runner of the command could not be started: {failed}.") from failed

    def _settle(self, run: Run, reason: str, message: str) -> None:
        """Give a folder without a runner its end. Changes nothing where a runner is at work or an end is there.

        A command that is alive without a runner has no end yet, and one that never began gets one that keeps it from
        beginning.
        """
        lock = exec_runner.take_lock(str(run.folder))
        if lock is None:
            return
        try:
            if not (run.folder / "exit.json").exists() and not (run.begun() and (run.alive() or reason != "lost")):
                ending = {"reason": reason, "message": message, "finishedAt": self._now().isoformat()}
                exec_runner.write_whole(str(run.folder), "exit.json", ending)
        finally:
            os.close(lock)

    def _spec(self, job: AgentJob, run: Run, authorization: Authorization) -> dict[str, Any]:
        """What the runner is to do, with every placeholder filled.

        Fails: `Rejected` when the merged config is wrong or incomplete, or a path leads nowhere.
        """
        config, context = job.config, job.context
        if missing := lacking(config, KEYS):
            raise Rejected(missing)
        if wrong := wrong_keys(config, KEYS, open_ended=True):
            raise Rejected(f"{wrong[0].path}: {wrong[0].message}")
        command, env = config["command"], config.get("env") or {}
        assert isinstance(command, list | tuple) and isinstance(env, Mapping)  # noqa: PT018 - checked above
        timeout_s = float(str(config.get("timeoutSeconds", _TIMEOUT_DEFAULT_S)))
        return {
            "argv": [
                render_text(part, context, field=f"config.command[{number}]") for number, part in enumerate(command)
            ],
            "env": {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
            | {key: render_text(str(value), context, field=f"config.env.{key}") for key, value in env.items()}
            | {
                "INTERLOCK_JOB": job.id,
                "INTERLOCK_ATTEMPT": str(job.attempt),
                "INTERLOCK_CONTEXT": str(run.folder / "context.json"),
            },
            "cwd": str(Path(render_text(str(config.get("cwd") or "."), context, field="config.cwd")).absolute()),
            "timeoutS": timeout_s if job.timeout_s is None else min(timeout_s, job.timeout_s),
            "graceS": self._grace_s,
            "outputBytesMax": config.get("outputBytesMax", _OUTPUT_DEFAULT),
            "expiresAt": authorization.expires_at.isoformat() if authorization.expires_at else None,
        }


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt's folder, read. Its files are described in `exec_runner.py`."""

    folder: Path
    external_id: str

    def read(self, name: str) -> dict[str, Any]:
        """One of its JSON files.

        Fails: `Bug` when it is corrupt; nobody of ours writes half a file.
        """
        try:
            content = json.loads((self.folder / name).read_bytes())
        except (OSError, ValueError) as broken:
            raise Bug(f"{self.folder / name} cannot be read: {broken}.") from broken
        if not isinstance(content, dict):
            raise Bug(f"{self.folder / name} does not hold a JSON object.")
        return content

    def changed_s(self, name: str) -> float | None:
        """When a file was last written, as a Unix time; None where it is not there."""
        try:
            return (self.folder / name).stat().st_mtime
        except FileNotFoundError:
            return None

    def locked(self) -> bool:
        """Whether a runner is at work."""
        if not (self.folder / "lock").exists():
            return False
        lock = exec_runner.try_lock(str(self.folder))
        if lock is None:
            return True
        os.close(lock)
        return False

    def begun(self) -> bool:
        """Whether the command was begun."""
        return (self.folder / "process.json").exists()

    def alive(self) -> bool:
        """Whether the very process that was begun is still there: same pid, same start, same boot."""
        process = self.read("process.json")
        return process == exec_runner.identity(process["pid"]) and process["startTicks"] is not None

    def output(self) -> str | None:
        """What the command wrote, bounded. NUL is no character that a database or a page takes."""
        try:
            return (self.folder / "output").read_bytes().decode("utf-8", "replace").replace("\0", "\ufffd")
        except FileNotFoundError:
            return None

    def going(self, message: str) -> Observation:
        """In progress."""
        return Observation(JobStatus.IN_PROGRESS, message=message, external_id=self.external_id, output=self.output())

    def ended(self) -> Observation:
        """The end, with its reason and the last line that the command wrote."""
        ending = self.read("exit.json")
        output = self.output()
        status = _STATUS_BY_REASON.get(ending["reason"], JobStatus.FAILURE)
        if ending["reason"] == "exit" and ending.get("exitCode") == 0:
            status = JobStatus.SUCCESSFUL
        message = ending["message"]
        said = (output or "").rstrip().rpartition("\n")[2].strip()
        if status is JobStatus.FAILURE and said:
            message = f"{message} Its last line: {said[:_LAST_LINE_MAX]}"
        return Observation(
            status,
            message=message,
            external_id=self.external_id,
            metadata={
                f"exec/{key}": str(ending[key])
                for key in ("exitCode", "signal", "durationMs", "reason")
                if key in ending
            },
            output=output,
            finished_at=datetime.fromisoformat(ending["finishedAt"]),
        )


_STATUS_BY_REASON = {"cancelled": JobStatus.CANCELLED, "withdrawn": JobStatus.SKIPPED}


def purge_runs(root: Path, *, older_than: timedelta, now: datetime) -> int:
    """Remove the folders of runs that ended long ago; gives their number.

    Why:   a folder is the key of its attempt, so only what ended is removed, and only long after nobody would start it
    again.
    """
    removed = 0
    for ending in root.glob("*/*/exit.json"):
        folder = ending.parent
        if ending.stat().st_mtime > (now - older_than).timestamp():
            continue
        for file in folder.iterdir():
            file.unlink(missing_ok=True)
        folder.rmdir()
        removed += 1
        with contextlib.suppress(OSError):
            folder.parent.rmdir()  # only when this was the job's last attempt
    return removed

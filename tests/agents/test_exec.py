"""The exec agent's promise: exactly one run of an attempt, and a reason for every end, whoever is killed in between."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from interlock.agents.exec import OFF, ExecAgent, purge_runs
from interlock.model.errors import AgentUnavailable, Invalid, Rejected
from interlock.model.ids import new_id
from interlock.model.job import AgentJob, JobStatus, Observation
from interlock.outside import exec_runner

from .conformance import AUTHORIZATION, CONTEXT, ended


@pytest.fixture
def agent(tmp_path: Path) -> ExecAgent:
    return ExecAgent(tmp_path / "exec", enabled=True, grace_s=0.3)


def job_with(*command: str, **config: object) -> AgentJob:
    return AgentJob(
        id=new_id(),
        attempt=1,
        agent_id=new_id(),
        agent_kind="exec",
        config={"command": list(command), **config},
        context=CONTEXT,
    )


def python(text: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", text)


async def run(agent: ExecAgent, job: AgentJob) -> Observation:
    await agent.start(job, AUTHORIZATION)
    return await ended(agent, job)


async def until(true: Callable[[], object], *, within_s: float = 5.0) -> None:
    give_up = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.01)


def folder_of(agent: ExecAgent, job: AgentJob) -> Path:
    return agent._run(job).folder


def runner_pid(folder: Path) -> int:
    return int(json.loads((folder / "lock").read_text())["pid"])


def kill_runner(folder: Path) -> None:
    """kill -9, of this very runner only; nothing when it is gone."""
    with contextlib.suppress(OSError, ValueError):
        named = json.loads((folder / "lock").read_text())
        if named == exec_runner.identity(named["pid"]) and named["startTicks"] is not None:
            os.kill(named["pid"], signal.SIGKILL)


def command_pid(folder: Path) -> int:
    return int(json.loads((folder / "process.json").read_text())["pid"])


async def finished(*argv: str) -> int:
    """The exit status of a process that is a session of its own."""
    return await (await asyncio.create_subprocess_exec(*argv, start_new_session=True)).wait()


def is_alive(pid: int) -> bool:
    return exec_runner.start_ticks(pid) is not None


# Ends and their reasons


async def test_is_off_unless_enabled(tmp_path: Path) -> None:
    agent = ExecAgent(tmp_path)
    with pytest.raises(Invalid, match="INTERLOCK_EXEC_AGENT=1"):
        agent.check_config({"command": ["true"]})
    with pytest.raises(Rejected, match="INTERLOCK_EXEC_AGENT=1"):
        await agent.start(job_with("true"), AUTHORIZATION)
    assert "INTERLOCK_EXEC_AGENT=1" in OFF


async def test_a_command_that_works_is_successful(agent: ExecAgent) -> None:
    seen = await run(agent, job_with("echo", "hello from", "{{ resource.name }}"))
    assert seen.status is JobStatus.SUCCESSFUL
    assert seen.output == "hello from prod-eu-1\n"
    assert seen.metadata["exec/exitCode"] == "0"


async def test_a_command_that_fails_says_its_status_and_last_line(agent: ExecAgent) -> None:
    seen = await run(agent, job_with(*python("print('disk full'); raise SystemExit(3)")))
    assert seen.status is JobStatus.FAILURE
    assert seen.message == "The command ended with exit status 3. Its last line: disk full"


async def test_a_missing_command_fails_by_name(agent: ExecAgent) -> None:
    seen = await run(agent, job_with("no-such-program-here"))
    assert (seen.status, seen.message) == (
        JobStatus.FAILURE,
        "The command could not start: there is no program `no-such-program-here`.",
    )


async def test_a_missing_folder_fails_by_name(agent: ExecAgent) -> None:
    seen = await run(agent, job_with("true", cwd="/no/such/folder"))
    assert seen.status is JobStatus.FAILURE
    assert "/no/such/folder" in str(seen.message)


async def test_a_file_that_is_no_program_fails_with_the_systems_reason(agent: ExecAgent, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a program")
    seen = await run(agent, job_with(str(tmp_path / "text")))
    assert seen.status is JobStatus.FAILURE
    assert "Permission denied" in str(seen.message)


async def test_a_command_that_hangs_is_stopped_with_its_whole_group(agent: ExecAgent, tmp_path: Path) -> None:
    stubborn = (
        "import os, signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen(['sleep', '60']); open(sys.argv[1], 'w').write(str(child.pid)); time.sleep(60)"
    )
    seen = await run(agent, job_with(*python(stubborn), str(tmp_path / "child"), timeoutSeconds=0.5))
    assert seen.status is JobStatus.FAILURE
    assert "did not end within 0.5 s" in str(seen.message)
    assert seen.metadata["exec/signal"] == "SIGKILL"
    await until(lambda: not is_alive(int((tmp_path / "child").read_text())))


async def test_the_jobs_own_timeout_wins_when_it_is_shorter(agent: ExecAgent) -> None:
    seen = await run(agent, replace(job_with("sleep", "60"), timeout_s=0.2))
    assert "within 0.2 s" in str(seen.message)


async def test_a_flood_of_output_is_stopped_and_only_head_and_tail_are_kept(agent: ExecAgent) -> None:
    flood = "import sys\nfor n in range(10**9): sys.stdout.write(f'line {n}\\n')"
    seen = await run(agent, job_with(*python(flood), outputBytesMax=1_000_000))
    assert seen.status is JobStatus.FAILURE
    assert "more than 1000000 bytes" in str(seen.message)
    assert seen.output is not None
    assert seen.output.startswith("line 0\n")
    assert "bytes left out" in seen.output
    assert len(seen.output) < exec_runner.HEAD_BYTES + exec_runner.TAIL_BYTES + 100


async def test_death_by_signal_is_a_failure_that_names_it(agent: ExecAgent) -> None:
    seen = await run(agent, job_with(*python("import os; os.kill(os.getpid(), 9)")))
    assert (seen.status, seen.message) == (JobStatus.FAILURE, "The command was ended by SIGKILL.")


async def test_output_that_is_no_text_is_still_shown(agent: ExecAgent) -> None:
    seen = await run(agent, job_with(*python("import os; os.write(1, b'a\\xff\\0b')")))
    assert seen.output == "a\ufffd\ufffdb"


async def test_a_service_left_behind_with_our_pipe_does_not_keep_the_job_open(agent: ExecAgent, tmp_path: Path) -> None:
    leave = (
        "import subprocess, sys; child = subprocess.Popen(['sleep', '60'], start_new_session=True);"
        "open(sys.argv[1], 'w').write(str(child.pid)); print('left')"
    )
    seen = await run(agent, job_with(*python(leave), str(tmp_path / "child")))
    pid = int((tmp_path / "child").read_text())
    assert is_alive(pid)
    os.kill(pid, signal.SIGKILL)
    assert (seen.status, seen.output) == (JobStatus.SUCCESSFUL, "left\n")


# What the command sees


async def test_the_command_sees_its_job_its_context_and_not_our_settings(
    agent: ExecAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERLOCK_DATABASE_URL", "secret")
    tell = "import json, os; print(json.dumps([dict(os.environ), json.load(open(os.environ['INTERLOCK_CONTEXT']))]))"
    job = job_with(*python(tell), env={"PORT": "{{ .resource.config.port }}", "N": 5})
    seen = await run(agent, job)
    environment, context = json.loads(str(seen.output))
    assert environment["PORT"] == "8080"
    assert environment["N"] == "5"
    assert environment["INTERLOCK_JOB"] == job.id
    assert environment["INTERLOCK_ATTEMPT"] == "1"
    assert "INTERLOCK_DATABASE_URL" not in environment
    assert context == CONTEXT


async def test_a_placeholder_that_leads_nowhere_rejects_the_job_before_anything_runs(agent: ExecAgent) -> None:
    job = job_with("echo", "{{ resource.config.prot }}")
    with pytest.raises(Rejected, match=r"config\.command\[1\].*resource\.config\.prot"):
        await agent.start(job, AUTHORIZATION)
    assert await agent.find(job) is None


async def test_a_config_without_a_command_is_rejected_at_the_start(agent: ExecAgent) -> None:
    with pytest.raises(Rejected, match="lacks command"):
        await agent.start(replace(job_with("x"), config={}), AUTHORIZATION)


async def test_nothing_is_expanded_by_a_shell(agent: ExecAgent) -> None:
    seen = await run(agent, job_with("echo", "$HOME; `id` > x"))
    assert seen.output == "$HOME; `id` > x\n"


# Crashes


async def test_a_folder_without_a_runner_is_begun_by_the_next_start(agent: ExecAgent) -> None:
    job = job_with("echo", "once")
    folder_of(agent, job).mkdir(parents=True)  # Interlock died right after mkdir
    assert await agent.find(job) is None
    seen = await run(agent, job)
    assert seen.output == "once\n"


async def test_a_run_whose_runner_never_came_up_is_begun_by_observing_it(
    agent: ExecAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_with("echo", "once")
    with monkeypatch.context() as broken:
        broken.setattr(ExecAgent, "_begin", lambda *_: None)
        with pytest.raises(Exception, match="did not come up"):
            await agent.start(job, AUTHORIZATION)
    assert await agent.find(job) is None
    assert (await ended(agent, job)).output == "once\n"


async def test_an_expired_authorization_begins_nothing_late(agent: ExecAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_with("echo", "late")
    with monkeypatch.context() as broken:
        broken.setattr(ExecAgent, "_begin", lambda *_: None)
        with pytest.raises(Exception, match="did not come up"):
            await agent.start(job, replace(AUTHORIZATION, expires_at=datetime.now(UTC) - timedelta(seconds=1)))
    seen = await agent.observe(job)
    assert seen is not None
    assert seen.status is JobStatus.SKIPPED
    assert (await agent.start(job, AUTHORIZATION)).status is JobStatus.SKIPPED


async def test_many_runners_of_one_folder_run_the_command_once(agent: ExecAgent, tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    job = job_with(
        *python("import os, sys; os.write(os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND), b'x')"),
        str(tmp_path / "runs"),
    )
    await asyncio.gather(*(agent.start(job, AUTHORIZATION) for _ in range(8)), *(agent.observe(job) for _ in range(8)))
    await ended(agent, job)
    for _ in range(3):
        await finished(sys.executable, "-I", "-S", exec_runner.__file__, str(folder_of(agent, job)))
    assert (tmp_path / "runs").read_bytes() == b"x"


async def test_the_command_outlives_the_process_that_started_it(agent: ExecAgent, tmp_path: Path) -> None:
    job = job_with(*python("import time; time.sleep(0.5); print('done')"))
    program = f"""
import asyncio, os, signal
from pathlib import Path
from interlock.agents.exec import ExecAgent
from interlock.model.job import AgentJob, Authorization
job = AgentJob(id={job.id!r}, attempt=1, agent_id="a", agent_kind="exec", config={job.config!r}, context={{}})
agent = ExecAgent(Path({str(tmp_path / "exec")!r}), enabled=True)
asyncio.run(agent.start(job, Authorization("d", "t", "r", None)))
os.killpg(0, signal.SIGKILL)
"""
    assert await finished(sys.executable, "-c", program) == -signal.SIGKILL
    found = await agent.find(job)
    assert found is not None
    assert found.status is JobStatus.IN_PROGRESS
    assert (await ended(agent, job)).output == "done\n"


async def test_a_runner_killed_under_its_command_is_followed_and_ends_as_a_failure(agent: ExecAgent) -> None:
    job = job_with("sleep", "0.6")
    await agent.start(job, AUTHORIZATION)
    folder = folder_of(agent, job)
    await until((folder / "process.json").exists)
    kill_runner(folder)
    await until(lambda: not is_alive(runner_pid(folder)))
    seen = await agent.observe(job)
    assert seen is not None
    assert seen.status is JobStatus.IN_PROGRESS
    assert (await agent.start(job, AUTHORIZATION)).status is JobStatus.IN_PROGRESS  # not a second time
    last = await ended(agent, job)
    assert last.status is JobStatus.FAILURE
    assert "not known" in str(last.message)


@pytest.mark.parametrize("seed", range(20))
async def test_whenever_the_runner_is_killed_nothing_runs_twice(agent: ExecAgent, tmp_path: Path, seed: int) -> None:
    """Killed before its command began, it is begun again; killed later, the job fails. Twice is never."""
    chance = random.Random(seed)
    runs = tmp_path / "runs"
    runs.touch()
    job = job_with("sh", "-c", 'printf x >> "$0"; sleep 0.01', str(runs))
    folder = folder_of(agent, job)
    for _start in range(3):
        with contextlib.suppress(AgentUnavailable):  # it died before anybody saw it: the worker starts again
            starting = asyncio.create_task(agent.start(job, AUTHORIZATION))
            patience_s = chance.uniform(0.0, 0.008)  # from the runner's first sign of life
            while not starting.done() and not (folder / "lock").exists():  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.0005)
            await asyncio.sleep(patience_s)
            for _try in range(4):
                kill_runner(folder)
                await asyncio.sleep(chance.uniform(0.0, 0.002))
            await starting
    if await agent.find(job) is None:
        assert runs.read_bytes() == b""
        await agent.start(job, AUTHORIZATION)
    seen = await ended(agent, job)
    await asyncio.sleep(0.03)
    assert len(runs.read_bytes()) <= 1
    assert seen.status is not JobStatus.SUCCESSFUL or runs.read_bytes() == b"x"


async def test_a_command_without_runner_can_be_cancelled(agent: ExecAgent) -> None:
    job = job_with("sleep", "60")
    await agent.start(job, AUTHORIZATION)
    folder = folder_of(agent, job)
    await until((folder / "process.json").exists)
    kill_runner(folder)
    await until(lambda: not is_alive(runner_pid(folder)))
    await agent.cancel(job)
    await ended(agent, job)
    assert not is_alive(command_pid(folder))


async def test_a_command_without_runner_still_has_its_timeout(agent: ExecAgent) -> None:
    job = job_with("sleep", "60", timeoutSeconds=0.5)
    await agent.start(job, AUTHORIZATION)
    folder = folder_of(agent, job)
    await until((folder / "process.json").exists)
    kill_runner(folder)
    assert (await ended(agent, job)).status is JobStatus.FAILURE
    assert not is_alive(command_pid(folder))


async def test_a_pid_taken_again_is_not_our_command(agent: ExecAgent) -> None:
    job = job_with("sleep", "60")
    folder = folder_of(agent, job)
    folder.mkdir(parents=True)
    exec_runner.write_whole(str(folder), "process.json", exec_runner.identity(os.getpid()) | {"startTicks": 1})
    exec_runner.write_whole(str(folder), "spec.json", {"timeoutS": 0.0, "graceS": 0.0})
    seen = await agent.observe(job)
    assert seen is not None
    assert seen.status is JobStatus.FAILURE


# Cancel


async def test_cancel_reaches_a_command_that_ignores_sigterm(agent: ExecAgent) -> None:
    job = job_with(*python("import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"))
    await agent.start(job, AUTHORIZATION)
    await until((folder_of(agent, job) / "process.json").exists)
    await asyncio.sleep(0.2)
    await agent.cancel(job)
    seen = await ended(agent, job)
    assert seen.status is JobStatus.CANCELLED


async def test_a_cancel_before_the_start_keeps_the_command_from_running(agent: ExecAgent) -> None:
    job = job_with("echo", "never")
    seen = await agent.cancel(job)
    assert seen is not None
    assert seen.status is JobStatus.CANCELLED
    late = await agent.start(job, AUTHORIZATION)
    assert (late.status, late.output) == (JobStatus.CANCELLED, None)


async def test_a_cancel_after_the_end_changes_nothing(agent: ExecAgent) -> None:
    job = job_with("true")
    await run(agent, job)
    seen = await agent.cancel(job)
    assert seen is not None
    assert seen.status is JobStatus.SUCCESSFUL


# Housekeeping


async def test_only_old_and_ended_runs_are_purged(agent: ExecAgent, tmp_path: Path) -> None:
    over, going = job_with("true"), job_with("sleep", "60")
    await run(agent, over)
    await agent.start(going, AUTHORIZATION)
    now = datetime.now(UTC)
    assert purge_runs(tmp_path / "exec", older_than=timedelta(days=30), now=now) == 0
    assert purge_runs(tmp_path / "exec", older_than=timedelta(days=30), now=now + timedelta(days=31)) == 1
    assert not folder_of(agent, over).parent.exists()
    assert folder_of(agent, going).exists()
    await agent.cancel(going)
    await ended(agent, going)

"""`interlock agent run` as a process, against a real server: whoever dies in between, a job is worked on once."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from cli.conftest import KEY
from cli.test_commands import FLEET
from interlock.client import Client

WAIT_S = 30.0


def until(ask, what):
    """Wait for a true answer, and give it."""
    over_s = time.monotonic() + WAIT_S
    while not (answer := ask()):
        assert time.monotonic() < over_s, what
        time.sleep(0.05)
    return answer


class Yard:
    """A server with a pull agent, its token, and the processes that work for it."""

    def __init__(self, interlock, url, folder):
        self.interlock, self.url, self.folder = interlock, url, folder
        self.client = Client(url, api_key=KEY, workspace="shop", timeout_s=10)
        self.processes = []

    def build(self, **config):
        fleet = FLEET.replace("test-runner", "http-pull").replace("{delaySeconds: 0.1}", json.dumps(config))
        self.interlock("apply", "-f", "-", stdin=fleet)
        self.token = self.interlock("agent-token", "issue", "runner").output.strip()

    def version(self, tag="1.0.0"):
        self.interlock("version", "upsert", "-d", "api", "-t", tag)

    def agent(self, command, *options, state="state", url=None):
        """One more agent, as its operator starts it."""
        environment = {**os.environ, "INTERLOCK_API_KEY": self.token, "INTERLOCK_URL": url or self.url}
        argv = [sys.executable, "-m", "interlock.cli", "agent", "run", "--exec", command, "--poll", "0.1"]
        log = (self.folder / f"{state}.log").open("ab")
        process = subprocess.Popen(
            [*argv, "--state", str(self.folder / state), *options], env=environment, stdout=log, stderr=log
        )
        self.processes.append(process)
        return process

    def script(self, text):
        path = self.folder / f"script-{len(list(self.folder.iterdir()))}"
        path.write_text(text)
        return f"sh {path}"

    def log(self, state="state"):
        return (self.folder / f"{state}.log").read_text()

    def jobs(self):
        return list(self.client.list_jobs())

    def job(self, status=None, *, attempt=None):
        """The one job, once it has that status."""
        found = self.jobs()
        if len(found) != 1 or (status or found[0]["status"]) != found[0]["status"]:
            return None
        job = self.client.get_job(found[0]["id"])
        return job if attempt is None or job["attempt"] == attempt else None

    def lines(self, name):
        path = self.folder / name
        return path.read_text().split() if path.exists() else []

    def end(self):
        self.client.close()
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()


@pytest.fixture
def yard(interlock, server_url, tmp_path):
    yard = Yard(interlock, server_url, tmp_path)
    yield yard
    yard.end()


TRACE = 'echo "$INTERLOCK_ATTEMPT" >> trace; '


@pytest.fixture(autouse=True)
def _beside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # commands write what they did beside the test


def test_of_two_agents_one_runs_the_job_and_tells_everything_about_it(yard):
    yard.build(token="hush-hush", color="blue")
    command = yard.script(
        'about="$INTERLOCK_DEPLOYMENT/$INTERLOCK_VERSION on $INTERLOCK_RESOURCE"\n'
        'echo "$INTERLOCK_JOB $INTERLOCK_ATTEMPT $about" >> ran\n'
        "cat > on-stdin\n"
        'cmp on-stdin "$INTERLOCK_CONTEXT" && env > environment\n'
        "echo half; echo done\n"
        """echo '{"message": "all is well", "externalId": "run-7", "links": {"Run": "https://ci/7"}, """
        """"applied": ["Deployment/shop/api"], "metadata": {"color": "blue"}}' > "$INTERLOCK_REPORT"\n"""
    )
    agents = [yard.agent(command, state=name) for name in ("one", "two")]
    yard.version()
    job = until(lambda: yard.job("successful"), "nobody ran the job")
    assert (yard.folder / "ran").read_text() == f"{job['id']} 1 api/1.0.0 on one\n", "once"
    assert (job["message"], job["externalId"], job["output"]) == ("all is well", "run-7", "half\ndone\n")
    assert job["links"] == {"Run": "https://ci/7"} and job["applied"] == ["Deployment/shop/api"]
    assert job["metadata"]["color"] == "blue" and job["metadata"]["agent/exitCode"] == "0"
    assert f"/{agents[0].pid}" in job["heldBy"] or f"/{agents[1].pid}" in job["heldBy"]
    context = json.loads((yard.folder / "on-stdin").read_text())
    assert context["jobAgentConfig"]["token"] == "hush-hush" and context["resource"]["name"] == "one"
    environment = (yard.folder / "environment").read_text()
    assert yard.token not in environment and "hush-hush" not in environment

    def forgotten():
        return not [path for name in ("one", "two") for path in (yard.folder / name).glob("runs/*")]

    until(forgotten, "something was kept, perhaps secrets")
    for process in agents:
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0
    assert "hush-hush" not in yard.log("one") + yard.log("two")
    twice = yard.agent("true", state="one")
    until(lambda: "asks for jobs" in yard.log("one").splitlines()[-1], "it did not start")
    again = subprocess.run(
        [sys.executable, "-m", "interlock.cli", "agent", "run", "--exec", "true", "--state", str(yard.folder / "one")],
        env={**os.environ, "INTERLOCK_API_KEY": yard.token}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert again.returncode == 1 and "give each its own --state" in again.stderr
    assert twice.poll() is None


def test_a_job_goes_on_although_its_agent_is_killed_and_the_next_one_reports_it(yard):
    yard.build()
    command = yard.script(f"{TRACE} echo begun; while [ ! -e go-on ]; do sleep 0.05; done; echo ended")
    first = yard.agent(command, "--lease", "30")
    yard.version()
    until(lambda: yard.lines("trace"), "the command did not begin")
    first.kill()
    first.wait()
    second = yard.agent(command, "--lease", "30")
    until(lambda: yard.log().count("asks for jobs") == 2, "the next agent did not start")
    (yard.folder / "go-on").touch()
    job = until(lambda: yard.job("successful"), "the next agent did not find the run")
    assert (job["attempt"], yard.lines("trace")) == (1, ["1"])
    assert job["output"] == "begun\nended\n"

    yard.version("2.0.0")  # and a command that ended while nobody was there
    (yard.folder / "go-on").unlink()
    until(lambda: len(yard.lines("trace")) == 2, "the next job did not begin")
    second.kill()
    second.wait()
    (yard.folder / "go-on").touch()
    until(lambda: list(yard.folder.glob("state/runs/*/*/exit.json")), "it did not end")
    third = yard.agent(command, "--lease", "30")
    until(lambda: [job["status"] for job in yard.jobs()] == ["successful"] * 2, "its end was not reported")
    third.send_signal(signal.SIGTERM)
    assert third.wait(WAIT_S) == 0


def test_an_agent_that_stays_away_loses_the_job_and_its_command_is_stopped_first(yard):
    yard.build(onLeaseEnd="offer")
    away = yard.script(
        f"{TRACE} trap 'date +%s.%N > stopped; exit 3' TERM; echo $$ > pid; while :; do sleep 0.05; done"
    )
    first = yard.agent(away, "--lease", "3", state="away")
    yard.version()
    until(lambda: yard.lines("pid"), "the command did not begin")
    first.kill()
    yard.agent(yard.script(f"{TRACE} date +%s.%N > began-again"), "--lease", "3", state="there")
    job = until(lambda: yard.job("successful"), "nobody else got the job")
    assert job["attempt"] == 2 and yard.lines("trace") == ["1", "2"]
    assert float(yard.lines("stopped")[0]) < float(yard.lines("began-again")[0]), "never two at work"
    back = yard.agent("echo never >> trace", "--lease", "3", state="away")
    until(lambda: "is not ours any more" in yard.log("away"), "it did not hear that its attempt is over")
    back.send_signal(signal.SIGTERM)
    assert back.wait(WAIT_S) == 0
    assert yard.job()["status"] == "successful" and yard.lines("trace") == ["1", "2"]
    assert not list((yard.folder / "away").glob("runs/*"))


def test_a_cancel_reaches_the_command_and_what_does_not_stop_is_killed(yard):
    yard.build()
    command = yard.script(f"{TRACE} trap 'echo no >> deaf' TERM; while :; do sleep 0.05; done")
    yard.agent(command, "--lease", "3", "--grace", "0.5")
    yard.version()
    until(lambda: yard.lines("trace"), "the command did not begin")
    yard.interlock("cancel", yard.jobs()[0]["id"], "--reason", "we changed our mind")
    job = until(lambda: yard.job("cancelled"), "the cancel did not arrive")
    assert job["metadata"]["agent/signal"] == "SIGKILL" and yard.lines("deaf")
    assert "is to stop: we changed our mind" in yard.log()


def test_a_command_that_fails_or_vanishes_is_no_success(yard):
    yard.build()
    agent = yard.agent(yard.script("echo trouble >&2; exit 7"), "--lease", "2")
    yard.version()
    job = until(lambda: yard.job("failure"), "its failure was not reported")
    assert job["metadata"]["agent/exitCode"] == "7" and job["output"] == "trouble\n"
    agent.send_signal(signal.SIGTERM)
    agent.wait(WAIT_S)

    yard.agent(yard.script("echo $$ > pid; while :; do sleep 0.05; done"), "--lease", "2")
    yard.version("2.0.0")
    until(lambda: yard.lines("pid"), "the command did not begin")
    runner = json.loads(next(yard.folder.glob("state/runs/*/*/lock")).read_text())["pid"]
    os.kill(runner, signal.SIGKILL)
    os.kill(int(yard.lines("pid")[0]), signal.SIGKILL)
    newest = until(
        lambda: next((one for one in yard.jobs() if one.get("message", "").startswith("The lease of")), None), "no end"
    )
    assert newest["status"] == "failure" and "nobody saw how it ended" in yard.log()


def test_a_server_that_is_killed_and_comes_back_hears_how_it_went(yard, database_url, api_process):
    yard.build()
    command = yard.script(f"{TRACE} while [ ! -e go-on ]; do sleep 0.05; done; echo ended")
    road = api_process(database_url)
    agent = yard.agent(command, "--lease", "60", url=road.url)
    yard.version()
    until(lambda: yard.lines("trace"), "the command did not begin")
    road.kill()
    (yard.folder / "go-on").touch()
    until(lambda: "cannot be reported yet" in yard.log() or "cannot say" in yard.log(), "it missed nobody")
    road.start()
    job = until(lambda: yard.job("successful"), "it was not reported")
    assert (job["attempt"], yard.lines("trace"), job["output"]) == (1, ["1"], "ended\n")
    yard.version("2.0.0")
    until(lambda: len(yard.jobs()) == 2 and yard.jobs()[0]["status"] == "successful", "it asks no more")
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(WAIT_S) == 0


def test_an_agent_that_is_told_to_end_finishes_what_it_has_and_takes_nothing_new(yard):
    yard.build()
    command = yard.script(f"{TRACE} while [ ! -e go-on ]; do sleep 0.05; done")
    agent = yard.agent(command)
    yard.version()
    until(lambda: yard.lines("trace"), "the command did not begin")
    agent.send_signal(signal.SIGTERM)
    until(lambda: "takes nothing new; 1 still at work" in yard.log(), "it did not hear")
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(WAIT_S) == 0, "the second time it leaves at once"
    assert yard.job()["status"] == "inProgress"
    agent = yard.agent(command)
    until(lambda: yard.log().count("asks for jobs") == 2, "it did not start")
    agent.send_signal(signal.SIGTERM)
    (yard.folder / "go-on").touch()
    assert agent.wait(WAIT_S) == 0
    assert yard.job()["status"] == "successful" and yard.lines("trace") == ["1"]

"""Do the quickstart's service, load and deploy command work together, run by the exec agent as in `make demo`?"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from interlock.agents.exec import ExecAgent
from interlock.metrics import build_metrics, check_metric, take_measurement
from interlock.model.ids import new_id
from interlock.model.job import AgentJob, JobStatus, Observation
from interlock.model.verification import Measurement, MeasurementStatus, MetricSpec, parse_metric
from interlock.outside import exec_runner
from interlock.outside.http import Http

from .conformance import AUTHORIZATION, ended

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"


def documents() -> list[dict[str, Any]]:
    return [
        json.loads(json.dumps(document))
        for file in sorted(QUICKSTART.rglob("*.yaml"))
        for document in YAML().load_all(file.read_text())
    ]


def described(kind: str) -> list[dict[str, Any]]:
    return [document for document in documents() if document["type"] == kind]


def metric_specs() -> list[MetricSpec]:
    rules = [
        rule["verification"] for policy in described("Policy") for rule in policy["rules"] if "verification" in rule
    ]
    return [parse_metric(metric, path="metric") for rule in rules for metric in rule["metrics"]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(port: int, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
        said: dict[str, Any] = json.load(answer)
        return said


class Host:
    """One host of the fleet, deployed to as the agent's YAML says."""

    def __init__(self, folder: Path, *, name: str) -> None:
        self.name = name
        self.port = free_port()
        self.context: dict[str, Any] = {"resource": {"name": name, "config": {"port": self.port}}}
        self._agent = ExecAgent(folder / "exec", enabled=True)
        self._config = described("JobAgent")[0]["config"] | {"cwd": str(QUICKSTART)}

    async def deploy(self, version: str) -> Observation:
        context = self.context | {"version": {"tag": version}}
        job = AgentJob(new_id(), attempt=1, agent_id=new_id(), agent_kind="exec", config=self._config, context=context)
        await self._agent.start(job, AUTHORIZATION)
        return await ended(self._agent, job, within_s=30)

    async def measure(self, metric: MetricSpec) -> Measurement:
        from interlock.clock import utc_now

        async with Http(allow_private_addresses=True) as http:
            taken = await take_measurement(
                metric, self.context, metrics=build_metrics(http), due_at=utc_now(), now=utc_now(), timeout_s=5
            )
        assert isinstance(taken, Measurement)
        return taken


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    yield Host(tmp_path, name="prod-eu-1")
    subprocess.run([sys.executable, str(QUICKSTART / "deploy.py"), "stop"], check=True)


@pytest.fixture
def load(host: Host) -> Iterator[subprocess.Popen[str]]:
    customers = subprocess.Popen(
        [sys.executable, str(QUICKSTART / "load.py"), "--port", str(host.port), "--seconds-max", "30"],
        stdout=subprocess.PIPE,
        text=True,
    )
    yield customers
    customers.terminate()
    customers.communicate(timeout=5)


async def until(true: Callable[[], bool], *, within_s: float = 10.0) -> None:
    give_up = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.05)


async def test_deploying_replaces_the_process_and_twice_is_once(host: Host) -> None:
    first = await host.deploy("1.0.0")
    assert (first.status, "before: nothing" in str(first.output)) == (JobStatus.SUCCESSFUL, True)
    was = ask(host.port, "/version")
    assert (was["version"], was["host"]) == ("1.0.0", "prod-eu-1")

    again = await host.deploy("1.0.0")
    assert "already" in str(again.output)
    assert ask(host.port, "/version") == was

    await host.deploy("1.1.0")
    now = ask(host.port, "/version")
    assert (now["version"], now["pid"] != was["pid"]) == ("1.1.0", True)
    assert exec_runner.start_ticks(was["pid"]) is None


async def test_a_service_that_died_is_replaced_in_spite_of_its_file(host: Host) -> None:
    await host.deploy("1.0.0")
    os.kill(ask(host.port, "/version")["pid"], signal.SIGKILL)
    assert (await host.deploy("1.0.0")).status is JobStatus.SUCCESSFUL
    assert ask(host.port, "/healthz")["version"] == "1.0.0"


async def test_a_port_that_belongs_to_another_program_fails_the_job_with_its_reason(host: Host) -> None:
    with socket.create_server(("127.0.0.1", host.port)):
        copy = (QUICKSTART / "deploy.py").read_text().replace("PATIENCE_S = 15.0", "PATIENCE_S = 0.5")
        folder = Path(os.environ["TMPDIR"])
        (folder / "deploy.py").write_text(copy)
        (folder / "shop_api.py").write_text((QUICKSTART / "shop_api.py").read_text())
        host._config |= {"cwd": str(folder)}
        seen = await host.deploy("1.0.0")
    assert seen.status is JobStatus.FAILURE
    assert f"Port {host.port} cannot be used" in str(seen.message)


async def test_the_bad_version_is_well_without_customers(host: Host) -> None:
    await host.deploy("1.1.0")
    for _ in range(5):
        ask(host.port, "/")
    for metric in metric_specs():
        assert (await host.measure(metric)).status is MeasurementStatus.PASSED


async def test_customers_bring_the_bug_out_and_the_good_version_stands_them(
    host: Host, load: subprocess.Popen[str]
) -> None:
    healthy, error_rate = metric_specs()
    await host.deploy("1.0.0")
    await until(lambda: ask(host.port, "/stats")["requests"] > 40)
    good = await host.measure(error_rate)
    assert (good.status, good.result["json"]["errors"]) == (MeasurementStatus.PASSED, 0)  # type: ignore[index]

    await host.deploy("1.1.0")
    await asyncio.sleep(0.9)  # the second measurement of the quickstart comes after a second
    bad = await host.measure(error_rate)
    assert (bad.status, bad.message) == (
        MeasurementStatus.FAILED,
        "`result.ok && result.json.errorRate < 0.05` is false",
    )
    assert (await host.measure(healthy)).status is MeasurementStatus.PASSED

    await host.deploy("1.0.0")
    await until(lambda: ask(host.port, "/stats")["requests"] > 40)
    assert (await host.measure(error_rate)).status is MeasurementStatus.PASSED

    load.terminate()
    told = dict(pair.split("=") for pair in load.communicate(timeout=5)[0].split())
    assert load.returncode == 0
    assert int(told["ok"]) > 80
    assert int(told["error"]) > 0


def test_the_quickstarts_metrics_are_right() -> None:
    metrics = build_metrics(Http(allow_private_addresses=True))
    assert [spec.name for spec in metric_specs()] == ["healthy", "error-rate"]
    for spec in metric_specs():
        check_metric(spec, metrics, path=spec.name)


def test_the_quickstarts_agent_is_right(tmp_path: Path) -> None:
    for agent in described("JobAgent"):
        ExecAgent(tmp_path, enabled=True).check_config(agent["config"])

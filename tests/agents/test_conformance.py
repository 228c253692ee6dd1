"""Every listed agent passes the suite."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

from interlock.agents import AGENTS
from interlock.agents.exec import ExecAgent
from interlock.agents.http_pull import HttpPullAgent
from interlock.agents.manual import ManualAgent
from interlock.agents.test_runner import TestRunnerAgent
from interlock.outside.go_templates import GoTemplates

from .conformance import FAULTS_OF, AgentConformance, Faults, Rehearsal


class TestExec(AgentConformance):
    @pytest.fixture
    def rehearsal(self, tmp_path: Path) -> Rehearsal:
        runs = tmp_path / "runs"
        runs.touch()
        note = "import os, sys; os.write(os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND), b'x')"
        return Rehearsal(
            agent=ExecAgent(tmp_path / "exec", enabled=True, grace_s=0.5),
            quick={"command": [sys.executable, "-S", "-c", note, str(runs)]},
            slow={"command": ["sleep", "60"]},
            wrong=(
                ({"command": "rm -rf /"}, "config.command"),
                ({"command": []}, "config.command"),
                ({"command": ["echo", 5]}, "config.command[1]"),
                ({"command": ["echo", "{{ resource.name | upper }}"]}, "config.command[1]"),
                ({"command": ["echo", "{{ resource.name"]}, "config.command[1]"),
                ({"comand": ["echo"]}, "config.comand"),
                ({"env": ["A=1"]}, "config.env"),
                ({"env": {"A=B": "1"}}, "config.env"),
                ({"env": {"A": None}}, "config.env.A"),
                ({"timeoutSeconds": 0}, "config.timeoutSeconds"),
                ({"timeoutSeconds": "soon"}, "config.timeoutSeconds"),
                ({"outputBytesMax": 1.5}, "config.outputBytesMax"),
                ({"cwd": 7}, "config.cwd"),
            ),
            runs=lambda: runs.stat().st_size,
        )


class TestTestRunner(AgentConformance):
    @pytest.fixture
    def rehearsal(self) -> Rehearsal:
        return Rehearsal(
            agent=TestRunnerAgent(),
            quick={"delaySeconds": 0.05, "status": "completed"},
            slow={"delaySeconds": 60},
            wrong=(
                ({"delaySeconds": -1}, "config.delaySeconds"),
                ({"delaySeconds": "5"}, "config.delaySeconds"),
                ({"delaySeconds": True}, "config.delaySeconds"),
                ({"status": "fine"}, "config.status"),
                ({"message": 5}, "config.message"),
                ({"delay": 5}, "config.delay"),
            ),
        )


class TestHttpPull(AgentConformance):
    @pytest.fixture
    def rehearsal(self) -> Rehearsal:
        return Rehearsal(
            agent=HttpPullAgent(),
            quick={"anything": "goes"},
            slow={},
            wrong=(({str(number): "" for number in range(201)}, "config"),),
        )


class TestManual(AgentConformance):
    @pytest.fixture
    def rehearsal(self) -> Rehearsal:
        return Rehearsal(
            agent=ManualAgent(GoTemplates()),
            quick={"instructions": "Switch {{ .resource.name }} over.", "group": "duty"},
            slow={"instructions": "Wait.", "dueInMinutes": 60, "onOverdue": "fail"},
            wrong=(
                ({"instructions": "{{ .resource"}, "config.instructions"),
                ({"instructions": 5}, "config.instructions"),
                ({"group": ["duty"]}, "config.group"),
                ({"assignee": "{{ end }}"}, "config.assignee"),
                ({"dueInMinutes": 0}, "config.dueInMinutes"),
                ({"dueInMinutes": True}, "config.dueInMinutes"),
                ({"onOverdue": "shout"}, "config.onOverdue"),
                ({"evidence": {}}, "config.evidence"),
                ({"evidence": [{"name": "a", "type": "date"}]}, "config.evidence[0].type"),
                ({"due": 5}, "config.due"),
            ),
        )


def test_no_listed_agent_is_left_out() -> None:
    assert {listed.kind for listed in AGENTS} == {
        "argo-cd",
        "argo-workflow",
        "exec",
        "github-app",
        "gitlab",
        "http-pull",
        "kubernetes",
        "manual",
        "test-runner",
        "tfe",
        "webhook",
    }


def test_every_agent_that_calls_a_tool_meets_every_fault() -> None:
    """Who brings a rehearsal with a server brings the section for it, and one for each capability that has one."""
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        if "server=server" not in file.read_text() or file.name == Path(__file__).name:
            continue
        module = import_module(f"{__package__}.{file.stem}")
        sections = [one for one in vars(module).values() if isinstance(one, type) and issubclass(one, Faults)]
        taken = {base for section in sections for base in section.__mro__}
        agent = next(one for one in AGENTS if vars(module).get(one.__name__) is one)
        wanted = {Faults, *(FAULTS_OF[one] for one in agent.capabilities & set(FAULTS_OF))}
        assert any(one.__name__ == "TestFaults" for one in sections), file.name
        assert wanted <= {base for one in sections if one.__name__ == "TestFaults" for base in one.__mro__} <= taken

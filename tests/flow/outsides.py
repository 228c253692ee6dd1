"""What does the work in a test of the hand-over? For each type of agent an outside of its own, with its runs counted.

An `Outside` is one job's: its server (or folder) serves nothing else, so what is told to go wrong goes wrong there. A
run goes on until `finish` is called, which does nothing while there is no run.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agents.argo_cd_server import ArgoCdServer
from agents.argo_workflow_server import ArgoWorkflowServer
from agents.github_server import GitHubServer, stamp
from agents.gitlab_server import GitLabServer
from agents.kubernetes_server import OUTCOME, KubernetesServer
from agents.tfe_server import TfeServer
from agents.webhook_server import WebhookServer
from interlock.agents.loopback import LoopbackServer, serving
from interlock.model.job import AgentClass

SOON = {"pollIntervalSeconds": 0.2, "settleSeconds": 2, "startTimeoutSeconds": 200, "breakerPauseSeconds": 1}
"""How patient Interlock is here with every agent."""

APPLICATION = """
kind: Application
metadata: {name: "{{ .deployment.name }}"}
spec: {source: {repoURL: "https://git.example/shop.git", path: slow, targetRevision: "{{ .version.tag }}"}}
"""

WORKFLOW = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
spec: {entrypoint: slow}
"""

WORK = """
apiVersion: batch/v1
kind: Job
metadata: {name: "{{ .deployment.name | lower }}", annotations: {interlock-test/outcome: slow}}
spec:
  template: {spec: {restartPolicy: Never, containers: [{name: main, image: "registry.example/work:1"}]}}
"""

COMMAND = """\
import os, sys, time
folder = sys.argv[1]
os.write(os.open(folder + "/runs", os.O_WRONLY | os.O_APPEND | os.O_CREAT), b"x")
until = time.monotonic() + 60
while not os.path.exists(folder + "/finish") and time.monotonic() < until:
    time.sleep(0.02)
"""


@dataclass
class Outside:
    """One job's outside. `starts_by` is the call of `start` that makes the run: its method, and how many of such
    go before it.
    """

    kind: str
    klass: AgentClass
    config: Mapping[str, Any]
    server: Any = None
    starts_by: Mapping[str, Any] | None = None

    def runs(self) -> int | None:
        """How often it was made to work; None where nobody can tell."""
        return None

    def finish(self) -> None:
        """What runs ends well."""


@dataclass
class Command(Outside):
    folder: Path = Path()

    def runs(self) -> int:
        file = self.folder / "runs"
        return file.stat().st_size if file.exists() else 0

    def finish(self) -> None:
        (self.folder / "finish").touch()


class Rehearsed(Outside):
    """The test runner: its end is a formula."""


class GitLab(Outside):
    def runs(self) -> int:
        return len(self.server.pipelines)

    def finish(self) -> None:
        for one in self.server.pipelines:
            if one["status"] == "running":
                at = datetime.now(UTC).isoformat()
                one |= {"status": "success", "updated_at": at, "finished_at": at}


class GitHub(Outside):
    def runs(self) -> int:
        return len(self.server.runs)

    def finish(self) -> None:
        for one in self.server.runs:
            if one["status"] == "in_progress":
                at = stamp(datetime.now(UTC))
                one |= {"status": "completed", "conclusion": "success", "updated_at": at}


class ArgoCd(Outside):
    def runs(self) -> int:
        return int(self.server.syncs)

    def finish(self) -> None:
        for name, app in self.server.apps.items():
            if app["status"].get("operationState", {}).get("phase") == "Running":
                self.server.end(name)


class ArgoWorkflows(Outside):
    def runs(self) -> int:
        return int(self.server.submitted)

    def finish(self) -> None:
        for place, name in self.server.workflows:
            if not self.server.workflows[place, name]["status"].get("finishedAt"):
                self.server.end(place, name)


class Kubernetes(Outside):
    def runs(self) -> int:
        return int(self.server.worked)

    def finish(self) -> None:
        for name in self.server.names("Job"):
            self.server.get("Job", name)["metadata"]["annotations"][OUTCOME] = "quick"


class Terraform(Outside):
    """Its runs go on by being looked at."""

    def runs(self) -> int:
        return sum(not one["attributes"]["plan-only"] for one in self.server.runs.values())


class Receiver(Outside):
    """It knows its keys, as a receiver must, and is asked how a job goes."""

    def runs(self) -> int:
        return int(self.server.started)

    def finish(self) -> None:
        for key, one in self.server.jobs.items():
            if not one["finishedAt"]:
                self.server.end(key, "successful")


@asynccontextmanager
async def an_outside(kind: str, folder: Path, *, endless: bool = False, **more: Any) -> AsyncIterator[Outside]:
    """One job's outside, up until the block ends; `more` goes into the agent's config. An `endless` run does not end
    by itself, whatever its kind.
    """
    folder.mkdir(parents=True)
    config: dict[str, Any] = {**SOON, **more}
    keyed, findable = AgentClass.KEYED, AgentClass.FINDABLE
    match kind:
        case "exec":
            command = [sys.executable, "-S", "-c", COMMAND, str(folder)]
            yield Command(kind, keyed, {**config, "command": command}, folder=folder)
        case "test-runner":
            yield Rehearsed(kind, keyed, {"delaySeconds": 1.5, **config})
        case "gitlab":
            async with serving(GitLabServer()) as server:
                told = {"url": server.url, "token": server.token, "project": "shop/deploy", "ref": "slow"}
                yield GitLab(kind, findable, {**config, **told}, server, {"method": "POST"})
        case "github-app":
            async with serving(GitHubServer(details=False)) as server:
                told = {"apiUrl": server.url, "owner": "example", "repo": "shop", "workflowId": "slow.yml"}
                yield GitHub(kind, findable, {**config, **told, "token": server.token}, server, {"method": "POST"})
        case "argo-cd":
            async with serving(ArgoCdServer()) as server:
                told = {"serverUrl": server.url, "apiKey": server.token, "template": APPLICATION}
                yield ArgoCd(kind, keyed, {**config, **told}, server, {"method": "POST", "after": 1})
        case "argo-workflow":
            async with serving(ArgoWorkflowServer()) as server:
                told = {"serverUrl": server.url, "apiKey": server.token, "template": WORKFLOW, "namespace": "ci"}
                yield ArgoWorkflows(kind, keyed, {**config, **told}, server, {"method": "POST"})
        case "kubernetes":
            async with serving(KubernetesServer()) as server:
                told = {"kubeconfig": server.kubeconfig(), "insecureSkipTlsVerify": True, "template": WORK}
                yield Kubernetes(kind, keyed, {**config, **told}, server, {"method": "PATCH", "after": 1})
        case "tfe":
            async with serving(TfeServer()) as server:
                template = f"name: {'slow' if endless else 'same'}"
                told = {"address": server.url, "token": server.token, "organization": server.organization}
                config |= {**told, "template": template}
                yield Terraform(kind, findable, config, server, {"method": "POST", "after": 1})
        case "webhook":
            async with serving(WebhookServer()) as server:
                told = {"url": f"{server.url}/jobs", "statusUrl": f"{server.url}/jobs", "secret": server.secret}
                config |= {**told, "inputs": {"way": "slow"}}
                yield Receiver(kind, AgentClass.TOLD, config, server, {"method": "POST"})
        case _:
            raise LookupError(kind)


__all__ = ["LoopbackServer", "Outside", "an_outside"]

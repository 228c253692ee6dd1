"""What does the work? One file per job agent; this file says what an agent is and lists them.

An agent is four verbs. Each takes a job and returns what was seen; an agent holds no state of its own, never imports
the store, and decides nothing about the job. Interlock records the observation.

    start    hand the job over; called again for the same attempt it runs nothing twice, as far as its class promises
    find     is there a run of this attempt outside? None: there is none. Asked after a start that got no answer
    observe  how does the run go? None: the outside knows no such run
    cancel   ask for its end; what is returned is what is so now, the end is seen by `observe`

The class (`AgentClass`) says what an unanswered start allows and what we promise: keyed, findable, told, asked (core.md
section 5). An agent raises `AgentUnavailable` when it cannot tell, `NotStarted` when a `start` surely started nothing,
`Rejected` when the outside said no for good.

To add one: copy `test_runner.py`, keep its shape, let its module docstring be its user page, add it to AGENTS, and add
it to the list in `tests/agents/test_conformance.py`. One may also come with another package (`plugins.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Protocol

from interlock.agents.argo_cd import ArgoCdAgent
from interlock.agents.argo_workflow import ArgoWorkflowAgent
from interlock.agents.exec import ExecAgent
from interlock.agents.github_app import App, GitHubAgent
from interlock.agents.gitlab import GitLabAgent
from interlock.agents.http_pull import HttpPullAgent
from interlock.agents.keys import Key
from interlock.agents.kubernetes import KubernetesAgent
from interlock.agents.manual import ManualAgent
from interlock.agents.test_runner import TestRunnerAgent
from interlock.agents.tfe import TfeAgent
from interlock.agents.webhook import WebhookAgent
from interlock.model.job import AgentClass, AgentJob, Authorization, Inspected, Observation, Planned
from interlock.model.task import Asked
from interlock.outside.go_templates import GoTemplates
from interlock.outside.http import Http
from interlock.outside.kubernetes_access import OwnPod

__all__ = ["AGENTS", "Agent", "Asker", "Confirmer", "Inspector", "Planner", "build_agents", "close_agents"]


class Agent(Protocol):
    """What every job agent offers.

    `kind` is the wire's type string. `keys` are those of its config (`keys.py`), `open_ended` where others may stand
    beside them. `capabilities` are what it can do beside the four verbs (plan, confirm, inspect, ...); `callback` asks
    for an address and a token of the job's own. `observe_every_s` is how long to wait between two looks at a run; None:
    never look, the outside reports by itself.
    """

    kind: ClassVar[str]
    klass: ClassVar[AgentClass]
    capabilities: ClassVar[frozenset[str]]
    observe_every_s: ClassVar[float | None]
    keys: ClassVar[tuple[Key, ...]]
    open_ended: ClassVar[bool]

    def check_config(self, config: Mapping[str, object]) -> None:
        """Refuse a config when it is written.

        Why:   the deployment's and the version's config may complete an agent's, so a missing key is no error here;
               `start` refuses what is still missing.
        Fails: `Invalid` with the path of each wrong field (`config.command[1]`).
        """
        ...

    async def start(self, job: AgentJob, authorization: Authorization) -> Observation:
        """Hand the job over."""
        ...

    async def find(self, job: AgentJob) -> Observation | None:
        """The run of this attempt, or None where there is none."""
        ...

    async def observe(self, job: AgentJob) -> Observation | None:
        """How the run goes, or None where the outside knows no such run."""
        ...

    async def cancel(self, job: AgentJob) -> Observation | None:
        """Ask for the run's end."""
        ...

    def links(self, job: AgentJob, observation: Observation) -> Mapping[str, str]:
        """Label -> URL, for people."""
        ...


class Confirmer(Protocol):
    """What an agent with the capability `confirm` offers beside the four verbs.

    Its runs plan first and then wait: what it observes then says `confirmable`. Interlock judges the move again, and
    confirms the run when nothing holds it. Until then the job is actionRequired; `cancel` discards the run.
    """

    async def confirm(self, job: AgentJob, authorization: Authorization) -> Observation | None:
        """Let a planned run go on. The outside must take it once, however often it is called for one run.

        Gives: how the run goes now; None where the outside knows no such run.
        Fails: `AgentUnavailable` where nobody knows whether it was taken; `Rejected` where it will not be.
        """
        ...


class Planner(Protocol):
    """What an agent with the capability `plan` offers beside the four verbs."""

    async def plan(self, job: AgentJob, current: Mapping[str, object] | None) -> Planned:
        """What this job would change. Nothing is done.

        Takes: `current` is the dispatch context of what the target runs; None where it runs nothing.
        """
        ...


class Asker(Protocol):
    """What an agent with the capability `ask` offers beside the four verbs: its jobs are tasks of people."""

    async def ask(self, job: AgentJob) -> Asked:
        """What people are asked to do. They read it, so the job comes without its secrets.

        Fails: `Rejected` when it cannot be said for this job; `Invalid` for a wrong config.
        """
        ...


class Inspector(Protocol):
    """What an agent with the capability `inspect` offers beside the four verbs."""

    async def inspect(self, job: AgentJob) -> Inspected:
        """What is on the job's target now, against what the job applied. Nothing is changed.

        Takes: `job` is the last one that succeeded there.
        """
        ...


AGENTS: tuple[type[Agent], ...] = (
    ArgoCdAgent,
    ArgoWorkflowAgent,
    ExecAgent,
    GitHubAgent,
    GitLabAgent,
    HttpPullAgent,
    KubernetesAgent,
    ManualAgent,
    TestRunnerAgent,
    TfeAgent,
    WebhookAgent,
)


def build_agents(
    *,
    exec_root: Path,
    exec_enabled: bool,
    http: Http | None = None,
    github_app: App | None = None,
    tfe_webhook_secret: str | None = None,
    own_pod: OwnPod | None = None,
) -> dict[str, Agent]:
    """One agent of each kind, by kind, as the composition root wants them.

    Takes: `exec_root` is the folder where runs of the exec agent live (`DATA/exec`). `http` is what
           agents call their tools with; by default one that calls addresses of the public internet alone.
           `github_app` is who the agent `github-app` is where its config names no other.
           `tfe_webhook_secret` is what Terraform Cloud signs its news with where an agent's config has no other.
           `own_pod` lets the agent `kubernetes` use the service account of Interlock's own pod.
    """
    http, templates = http or Http(), GoTemplates()
    built: tuple[Agent, ...] = (
        ArgoCdAgent(http, templates),
        ArgoWorkflowAgent(http, templates),
        ExecAgent(exec_root, enabled=exec_enabled),
        GitHubAgent(http, app=github_app),
        GitLabAgent(http),
        HttpPullAgent(),
        KubernetesAgent(http, templates, own_pod=own_pod),
        ManualAgent(templates),
        TestRunnerAgent(),
        TfeAgent(http, templates, webhook_secret=tfe_webhook_secret),
        WebhookAgent(http),
    )
    return {agent.kind: agent for agent in built}


async def close_agents(agents: Mapping[str, Agent]) -> None:
    """End what agents keep running beside them: the child that renders templates. The next template gets a new one."""
    kept = {id(each): each for agent in agents.values() if isinstance(each := _templates(agent), GoTemplates)}
    for each in kept.values():
        await each.close()


def _templates(agent: Agent) -> object:
    return getattr(agent, "_templates", None)

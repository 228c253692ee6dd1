"""Which shapes do the public contract's nouns have in answers? Those that `rendering.py` and its neighbours make.

Names are the contract's. What is ours in an answer of the contract is absent unless it is used, so that a client that
does not know it sees what it expects. Shapes of our own operations stand beside their renderers.

Source: contract.json, `schemas`; contract.md section e.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from interlock.web.shapes import AnyObject, Id, Instant, Texts

JobStatusWord = Literal[
    "cancelled",
    "skipped",
    "inProgress",
    "actionRequired",
    "pending",
    "failure",
    "invalidJobAgent",
    "invalidIntegration",
    "externalRunNotFound",
    "successful",
    "queued",
]


class Workspace(TypedDict):
    """A workspace."""

    id: Id
    name: str
    slug: str
    createdAt: Instant
    syncRemoveMax: NotRequired[int]


class WorkspaceList(TypedDict):
    """The workspaces of the caller. It has no pages."""

    workspaces: list[Workspace]
    total: int


class System(TypedDict):
    """A system. Its slug is its name."""

    id: Id
    workspaceId: Id
    name: str
    slug: str
    description: NotRequired[str]
    metadata: Texts


class Environment(TypedDict):
    """An environment. A selector that matches nothing is absent."""

    id: Id
    name: str
    description: NotRequired[str]
    resourceSelector: NotRequired[str]
    metadata: Texts
    createdAt: Instant


class EnvironmentWithSystems(Environment):
    """An environment with the systems that it is in."""

    systems: list[System]


class DeploymentJobAgent(TypedDict):
    """One entry of the older form of naming an agent."""

    ref: str
    config: AnyObject
    selector: NotRequired[str]


class Deployment(TypedDict):
    """A deployment. Its slug is its name."""

    id: Id
    name: str
    slug: str
    description: NotRequired[str]
    resourceSelector: str
    jobAgentSelector: str
    jobAgentConfig: AnyObject
    jobAgents: NotRequired[list[DeploymentJobAgent]]
    metadata: Texts
    supersede: NotRequired[Literal["cancel"]]


class DeploymentAndSystems(TypedDict):
    """A deployment with the systems that it is in."""

    deployment: Deployment
    systems: list[System]


class DeploymentVariable(TypedDict):
    """A variable that a deployment declares."""

    id: Id
    deploymentId: Id
    key: str
    description: NotRequired[str]
    sensitive: NotRequired[bool]


class DeploymentVariableValue(TypedDict):
    """A value of a variable. JSON null is a value."""

    id: Id
    deploymentVariableId: Id
    priority: int
    resourceSelector: NotRequired[str]
    value: Any
    sensitive: NotRequired[bool]


class DeploymentVariableWithValues(TypedDict):
    """A variable with its values in the order in which they are tried."""

    variable: DeploymentVariable
    values: list[DeploymentVariableValue]


class DeploymentWithVariablesAndSystems(DeploymentAndSystems):
    """A deployment with its systems and variables."""

    variables: list[DeploymentVariableWithValues]


class SystemWithLinkedEntities(System):
    """A system with what is linked to it."""

    deployments: list[Deployment]
    environments: list[Environment]


class DeploymentLink(TypedDict):
    """A deployment's place in a system."""

    systemId: Id
    deploymentId: Id


class EnvironmentLink(TypedDict):
    """An environment's place in a system."""

    systemId: Id
    environmentId: Id


class AgentHealth(TypedDict):
    """How it stands with a job agent. `waiting` counts its jobs that nobody has yet; `says` is a sentence."""

    state: Literal["up", "down"]
    since: NotRequired[Instant]
    nextTryAt: NotRequired[Instant]
    reason: NotRequired[str]
    says: NotRequired[str]
    waiting: int


class JobAgent(TypedDict):
    """A job agent."""

    id: Id
    workspaceId: Id
    name: str
    type: str
    config: AnyObject
    metadata: Texts
    health: NotRequired[AgentHealth]


JobAgentType = TypedDict(
    "JobAgentType",
    {
        "type": str,
        "class": Literal["keyed", "findable", "told", "asked"],
        "capabilities": list[str],
        "configSchema": AnyObject,
        "neededByJobs": list[str],
    },
)
JobAgentType.__doc__ = "A type of job agent that the server knows."


class ResourceProvider(TypedDict):
    """A resource provider."""

    id: Id
    workspaceId: Id
    name: str
    metadata: Texts
    createdAt: Instant


class Resource(TypedDict):
    """A resource."""

    id: Id
    workspaceId: Id
    providerId: NotRequired[Id]
    identifier: str
    name: str
    kind: str
    version: str
    config: AnyObject
    metadata: Texts
    createdAt: Instant
    updatedAt: NotRequired[Instant]


class ResourceVariable(TypedDict):
    """A variable of a resource: a literal, or `{reference, path}`."""

    resourceId: Id
    key: str
    value: Any
    sensitive: NotRequired[bool]


class DeploymentVersion(TypedDict):
    """A version."""

    id: Id
    deploymentId: Id
    tag: str
    name: str
    status: Literal["unspecified", "building", "ready", "failed", "rejected", "paused"]
    message: NotRequired[str]
    config: AnyObject
    jobAgentConfig: AnyObject
    metadata: Texts
    createdAt: Instant


class VersionNeed(TypedDict):
    """What a version needs of a deployment."""

    versionSelector: str
    environments: NotRequired[Literal["all"]]


class DeploymentVersionWithDependencies(DeploymentVersion):
    """A version with what it needs: deployment id -> need."""

    dependencies: dict[str, VersionNeed]


class VersionDependency(VersionNeed):
    """A dependency by itself."""

    deploymentVersionId: Id
    dependencyDeploymentId: Id


class Policy(TypedDict):
    """A policy with its rules exactly as they were written."""

    id: Id
    workspaceId: Id
    name: str
    description: NotRequired[str]
    selector: str
    metadata: Texts
    priority: int
    enabled: bool
    mode: NotRequired[Literal["observe"]]
    rules: list[AnyObject]
    createdAt: Instant


class VariableSetSummary(TypedDict):
    """A variable set as writes answer it."""

    id: Id
    name: str
    description: str
    selector: str
    priority: int
    createdAt: Instant
    updatedAt: Instant


class VariableSetVariable(TypedDict):
    """One variable of a set."""

    key: str
    value: Any
    sensitive: NotRequired[bool]


class VariableSet(VariableSetSummary):
    """A variable set with its variables in the order in which they were sent."""

    variables: list[VariableSetVariable]


class RelationshipRule(TypedDict):
    """A relationship rule."""

    id: Id
    workspaceId: Id
    name: str
    description: NotRequired[str]
    reference: str
    cel: str
    metadata: Texts


class ReleaseTarget(TypedDict):
    """What a target is of."""

    resourceId: Id
    environmentId: Id
    deploymentId: Id


class Release(TypedDict):
    """What a target runs, ran or would run. One that is yet to be made has no id."""

    id: NotRequired[Id]
    createdAt: NotRequired[Instant]
    releaseTarget: ReleaseTarget
    version: AnyObject
    variables: AnyObject
    variableOrigins: NotRequired[AnyObject]
    encryptedVariables: list[str]


class Job(TypedDict):
    """A job."""

    id: Id
    status: JobStatusWord
    message: NotRequired[str]
    externalId: NotRequired[str]
    jobAgentId: str
    jobAgentConfig: AnyObject
    releaseId: str
    metadata: Texts
    links: NotRequired[Texts]
    createdAt: Instant
    updatedAt: Instant
    startedAt: NotRequired[Instant]
    completedAt: NotRequired[Instant]
    observedAt: NotRequired[Instant]
    verification: NotRequired[Literal["running", "passed", "failed", "inconclusive"]]
    kind: NotRequired[str]
    moveId: NotRequired[Id]
    workflowRunId: NotRequired[Id]
    decisionId: NotRequired[Id]
    attempt: NotRequired[int]
    retryOf: NotRequired[Id]
    output: NotRequired[str]
    cancelReason: NotRequired[str]
    heldBy: NotRequired[str]
    heardAt: NotRequired[Instant]
    leasedUntil: NotRequired[Instant]
    applied: NotRequired[list[str]]
    artifacts: NotRequired[list[str]]


class Heartbeat(TypedDict):
    """What a heartbeat hears. `cancelRequested`: stop, and say how it ended."""

    id: Id
    status: JobStatusWord
    attempt: int
    leaseSeconds: NotRequired[float]
    leasedUntil: NotRequired[Instant]
    cancelRequested: bool
    cancelReason: NotRequired[str]


class JobWithContext(Job):
    """A job with everything that it needs."""

    dispatchContext: NotRequired[AnyObject]


class AgentOfJob(TypedDict):
    """Who does a job."""

    id: Id
    name: str
    type: str


class JobWithRelease(Job):
    """A job in both forms that clients expect: inside `job`, and its own fields beside it. One of a workflow's run has
    no release.
    """

    job: Job
    release: NotRequired[AnyObject]
    deployment: NotRequired[AnyObject]
    environment: NotRequired[AnyObject]
    resource: NotRequired[AnyObject]
    jobAgent: NotRequired[AgentOfJob]


class Verification(TypedDict):
    """A verification with what its metrics measured."""

    id: Id
    jobId: Id
    status: Literal["running", "passed", "failed"]
    state: str
    message: NotRequired[str]
    createdAt: Instant
    endedAt: NotRequired[Instant]
    metrics: list[AnyObject]


class LatestJob(TypedDict):
    """A target's latest job."""

    job: Job
    verifications: list[Verification]


class ReleaseTargetState(TypedDict):
    """Where a target is."""

    desiredRelease: NotRequired[Release]
    currentRelease: NotRequired[Release]
    latestJob: NotRequired[LatestJob]


class DesiredRelease(TypedDict):
    """What a target goes for."""

    desiredRelease: NotRequired[Release]


class ListedState(TypedDict):
    """Where a target is, in a list."""

    desiredRelease: NotRequired[Release]
    currentRelease: NotRequired[Release]
    latestJob: NotRequired[Job]


class ReleaseTargetWithState(TypedDict):
    """A target and where it is."""

    releaseTarget: ReleaseTarget
    state: ListedState


class Contested(TypedDict):
    """A resource of a set that another provider owns."""

    identifier: str
    providerId: Id
    provider: str


class SetDone(TypedDict):
    """A provider's set is stored; what other providers own of it stays theirs (`contested`, the first 100)."""

    ok: bool
    method: Literal["direct"]
    contested: NotRequired[list[Contested]]
    contestedTotal: NotRequired[int]


class WithWarnings(TypedDict):
    """A write that is committed, and what to look at about it."""

    id: Id
    message: str
    warnings: NotRequired[list[str]]


class PreviewedTarget(TypedDict):
    """Where a resource would become a release target."""

    system: System
    deployment: Deployment
    environment: Environment


class VersionRef(TypedDict):
    """A version by id and tag."""

    id: Id
    tag: str


class Verdict(TypedDict):
    """One rule's answer. What it rests on stands in `values`; sentences are there where they are asked for."""

    rule: str
    outcome: Literal["pass", "hold", "unknown"]
    reason: str
    values: AnyObject
    stage: str
    ruleId: NotRequired[str]
    policyId: NotRequired[str]
    policy: NotRequired[str]
    observed: NotRequired[bool]
    waitsFor: NotRequired[Literal["wait", "person", "deny", "incomplete"]]
    since: NotRequired[Instant]
    changesAt: NotRequired[Instant]
    waitsOn: NotRequired[list[Any]]
    who: NotRequired[Any]
    obligations: NotRequired[list[AnyObject]]
    title: NotRequired[str]
    says: NotRequired[str]
    sentence: NotRequired[str]


class VersionInPlace(TypedDict):
    """A version as a target shows it."""

    id: Id
    tag: str
    name: str


class WorkflowJobAgent(TypedDict):
    """A job agent of a workflow."""

    name: str
    ref: str
    config: AnyObject
    selector: str


class Workflow(TypedDict):
    """A workflow, its inputs as they were written."""

    id: Id
    name: str
    slug: str
    inputs: list[AnyObject]
    jobAgents: list[WorkflowJobAgent]


class WorkflowRunJob(TypedDict):
    """A job of a run."""

    jobId: Id
    jobAgentId: str


class WorkflowRun(TypedDict):
    """A run that started. `decisionId` is ours."""

    id: Id
    workflowId: Id
    inputs: AnyObject
    jobs: list[WorkflowRunJob]
    decisionId: NotRequired[Id | None]

"""What does the server answer? The shape of each noun on the wire, for type checkers and readers.

A field that is not always there is `NotRequired`, and absent means absent: nothing is null that could be left out.
Words are the contract's, so they are camelCase. Values that a user wrote (config, metadata, rules) are whatever was
written. A server that is newer than this file may send more; nothing here forbids that.

At run time these are plain dictionaries. A test reads each of them from a running server.

Source: contract.md section e for its nouns; `api/` for our own.
"""

from typing import Any, Literal, NotRequired, TypedDict

Metadata = dict[str, str]
Config = dict[str, Any]


class Named(TypedDict):
    """Something referred to: its id, and its name where it still has one."""

    id: str
    name: NotRequired[str]


class Tagged(TypedDict):
    """A version referred to."""

    id: NotRequired[str]
    tag: NotRequired[str]
    name: NotRequired[str]


class Accepted(TypedDict):
    """A write was taken, and is done."""

    id: str
    message: str


class Removed(Accepted, total=False):
    """Something was deleted; the other fields say what that ended."""

    withdrawn: int
    cancelled: int


class Workspace(TypedDict):
    """A workspace."""

    id: str
    name: str
    slug: str
    createdAt: str


# Inventory ------------------------------------------------------------------------------------------------------------


class System(TypedDict):
    """A system."""

    id: str
    workspaceId: str
    name: str
    slug: str
    description: NotRequired[str]
    metadata: Metadata


class Environment(TypedDict):
    """An environment; without a selector it matches nothing."""

    id: str
    name: str
    description: NotRequired[str]
    resourceSelector: NotRequired[str]
    metadata: Metadata
    createdAt: str
    systems: NotRequired[list[System]]


class Deployment(TypedDict):
    """A deployment."""

    id: str
    name: str
    slug: str
    description: NotRequired[str]
    resourceSelector: NotRequired[str]
    jobAgentSelector: NotRequired[str]
    jobAgentConfig: NotRequired[Config]
    jobAgents: NotRequired[list[Config]]
    metadata: Metadata
    supersede: NotRequired[str]


class SystemWithLinks(System):
    """A system with what it links."""

    deployments: list[Deployment]
    environments: list[Environment]


class Variable(TypedDict):
    """A key that a deployment declares."""

    id: str
    deploymentId: str
    key: str
    description: NotRequired[str]


class VariableValue(TypedDict):
    """One of the values of a declared key; of those that match, the highest priority wins."""

    id: str
    deploymentVariableId: str
    priority: int
    resourceSelector: NotRequired[str]
    value: Any


class VariableWithValues(TypedDict):
    """A declared key with its values in the order in which they are tried."""

    variable: Variable
    values: list[VariableValue]


class DeploymentAndSystems(TypedDict):
    """A deployment as lists show it, and as a lookup does: that adds its variables."""

    deployment: Deployment
    systems: list[System]
    variables: NotRequired[list[VariableWithValues]]


class AgentHealth(TypedDict):
    """How it stands with a job agent. `waiting` counts its jobs that nobody has yet; `says` is a sentence."""

    state: Literal["up", "down"]
    since: NotRequired[str]
    nextTryAt: NotRequired[str]
    reason: NotRequired[str]
    says: NotRequired[str]
    waiting: int


class JobAgent(TypedDict):
    """A job agent."""

    id: str
    workspaceId: str
    name: str
    type: str
    config: Config
    metadata: Metadata
    health: NotRequired[AgentHealth]


JobAgentType = TypedDict(
    "JobAgentType",
    {"type": str, "class": str, "capabilities": list[str], "configSchema": Config, "neededByJobs": list[str]},
)
JobAgentType.__doc__ = "A type of job agent that the server knows."


class Resource(TypedDict):
    """A resource."""

    id: str
    workspaceId: str
    providerId: NotRequired[str]
    identifier: str
    name: str
    kind: str
    version: str
    config: Config
    metadata: Metadata
    createdAt: str
    updatedAt: str


class ResourceVariable(TypedDict):
    """A variable of a resource."""

    resourceId: str
    key: str
    value: Any


class PointsAtIt(TypedDict):
    """A rule, or a version of another deployment, that points at something."""

    kind: str
    policy: NotRequired[str]
    ruleId: NotRequired[str]
    deployment: NotRequired[str]
    version: NotRequired[str]


class Ending(TypedDict):
    """What deleting something would end now, in counts, and what points at it."""

    kind: str
    id: str
    name: str
    ends: dict[str, int]
    pointedAtBy: list[PointsAtIt]


class Provider(TypedDict):
    """A resource provider."""

    id: str
    workspaceId: str
    name: str
    metadata: Metadata
    createdAt: str


class VariableSet(TypedDict):
    """A variable set with its variables in the order in which they were sent."""

    id: str
    name: str
    description: str
    selector: str
    priority: int
    createdAt: str
    updatedAt: str
    variables: list[dict[str, Any]]


class RelationshipRule(TypedDict):
    """A relationship rule."""

    id: str
    workspaceId: str
    name: str
    description: NotRequired[str]
    reference: str
    cel: str
    metadata: Metadata


class Policy(TypedDict):
    """A policy, its rules as they were written."""

    id: str
    workspaceId: str
    name: str
    description: NotRequired[str]
    selector: str
    metadata: Metadata
    priority: int
    enabled: bool
    mode: NotRequired[str]
    rules: list[dict[str, Any]]
    createdAt: str


# Versions and what becomes of them ------------------------------------------------------------------------------------

VersionStatus = Literal["unspecified", "building", "ready", "failed", "rejected", "paused"]


class Need(TypedDict):
    """Which version of another deployment must run beside this one."""

    versionSelector: str
    environments: NotRequired[str]


class Version(TypedDict):
    """A version of a deployment. Its `rollback` stands only in the answer to a rejection that asked for it."""

    id: str
    deploymentId: str
    tag: str
    name: str
    status: VersionStatus
    message: NotRequired[str]
    config: Config
    jobAgentConfig: Config
    metadata: Metadata
    createdAt: str
    dependencies: NotRequired[dict[str, Need]]
    rollback: NotRequired["PlacedOrders"]


class TargetRef(TypedDict):
    """What a release target is made of."""

    resourceId: str
    environmentId: str
    deploymentId: str


class TargetResource(TypedDict):
    """The resource of a target."""

    id: str
    name: str
    identifier: str
    kind: str


class TargetMove(TypedDict):
    """What a target is being brought to."""

    id: str
    kind: str
    state: str
    version: Tagged


class BitingFreeze(TypedDict):
    """A freeze as it concerns a target."""

    id: str
    scope: str
    reason: str
    by: NotRequired[str]
    since: str
    until: NotRequired[str]


class Target(TypedDict):
    """A release target: what it runs, what it goes for, and what holds it."""

    id: str
    key: str
    resourceId: str
    environmentId: str
    deploymentId: str
    deployment: Named
    environment: Named
    resource: TargetResource
    state: str
    attachedAt: str
    detachedAt: NotRequired[str]
    agent: NotRequired[str]
    current: NotRequired[Tagged]
    good: NotRequired[Tagged]
    desired: NotRequired[Tagged]
    move: NotRequired[TargetMove]
    outcome: NotRequired[str]
    reason: NotRequired[str]
    since: NotRequired[str]
    wakeAt: NotRequired[str]
    frozen: NotRequired[list[BitingFreeze]]


class Release(TypedDict):
    """Everything that a target runs, frozen."""

    id: NotRequired[str]
    createdAt: NotRequired[str]
    releaseTarget: TargetRef
    version: NotRequired[Version]
    variables: dict[str, Any]
    variableOrigins: NotRequired[dict[str, Any]]
    encryptedVariables: list[str]


class Job(TypedDict):
    """A job: one step of a move, given to an agent."""

    id: str
    status: str
    message: NotRequired[str]
    externalId: NotRequired[str]
    jobAgentId: NotRequired[str]
    jobAgentConfig: Config
    releaseId: NotRequired[str]
    metadata: Metadata
    links: NotRequired[dict[str, str]]
    createdAt: str
    updatedAt: str
    startedAt: NotRequired[str]
    completedAt: NotRequired[str]
    observedAt: NotRequired[str]
    verification: NotRequired[str]
    kind: NotRequired[str]
    moveId: NotRequired[str]
    workflowRunId: NotRequired[str]
    decisionId: NotRequired[str]
    attempt: NotRequired[int]
    retryOf: NotRequired[str]
    output: NotRequired[Any]
    cancelReason: NotRequired[str]
    heldBy: NotRequired[str]
    heardAt: NotRequired[str]
    leasedUntil: NotRequired[str]
    applied: NotRequired[list[str]]
    artifacts: NotRequired[list[str]]
    dispatchContext: NotRequired[dict[str, Any]]


class Heartbeat(TypedDict):
    """What a heartbeat hears. `cancelRequested`: stop, and say how it ended."""

    id: str
    status: str
    attempt: int
    leaseSeconds: NotRequired[float]
    leasedUntil: NotRequired[str]
    cancelRequested: bool
    cancelReason: NotRequired[str]


class PostedResult(TypedDict):
    """A result that an outside system posted. `taken`: it is a measurement."""

    id: str
    metric: str
    result: Any
    postedAt: str
    by: NotRequired[str]
    taken: bool


class JobWithRelease(Job):
    """A job with what it is about. Its own fields stand beside `job` too."""

    job: Job
    release: Release
    deployment: NotRequired[dict[str, Any]]
    environment: NotRequired[dict[str, Any]]
    resource: NotRequired[dict[str, Any]]
    jobAgent: NotRequired[dict[str, str]]


class TaskComment(TypedDict):
    """What somebody wrote beside a task."""

    id: str
    text: str
    at: str
    by: NotRequired[str]


class Task(TypedDict):
    """A job that people do. `evidence` are its fields, `given` what was handed in."""

    jobId: str
    about: str
    deployment: NotRequired[str]
    environment: NotRequired[str]
    resource: NotRequired[str]
    version: NotRequired[str]
    workflow: NotRequired[str]
    status: str
    open: bool
    mine: bool
    instructions: str
    who: str
    assignee: NotRequired[str]
    group: NotRequired[str]
    evidence: list[dict[str, Any]]
    askedAt: str
    dueAt: NotRequired[str]
    onOverdue: str
    overdueAt: NotRequired[str]
    takenBy: NotRequired[str]
    takenAt: NotRequired[str]
    answer: NotRequired[str]
    answeredBy: NotRequired[str]
    answeredAt: NotRequired[str]
    given: NotRequired[dict[str, Any]]
    comment: NotRequired[str]
    comments: NotRequired[list[TaskComment]]


class VerificationMetric(TypedDict):
    """A metric of a verification, with how often it said what."""

    name: str
    state: str
    message: NotRequired[str]
    judge: NotRequired[str]
    dryRun: bool
    onInconclusive: str
    nextAt: NotRequired[str]
    waitsFor: NotRequired[str]
    passed: int
    failed: int
    inconclusive: int
    errored: int


class VerificationSaid(TypedDict):
    """What somebody said of a verification."""

    word: str
    reason: NotRequired[str]
    at: str
    by: str


class Verification(TypedDict):
    """What was measured. `held`: nothing could tell, and it waits; `can` is what there is to say of it."""

    id: str
    about: str
    state: str
    held: bool
    message: NotRequired[str]
    deployment: dict[str, str]
    environment: NotRequired[dict[str, str]]
    resource: NotRequired[dict[str, str]]
    version: NotRequired[dict[str, str]]
    jobId: NotRequired[str]
    rolloutId: NotRequired[str]
    startedAt: str
    endedAt: NotRequired[str]
    run: int
    heldSince: NotRequired[str]
    heldUntil: NotRequired[str]
    comesTo: NotRequired[str]
    againAt: NotRequired[str]
    passedAt: NotRequired[str]
    can: list[str]
    metrics: NotRequired[list[VerificationMetric]]
    said: NotRequired[list[VerificationSaid]]


class PlanResult(TypedDict):
    """What one agent would do."""

    id: str
    status: str
    hasChanges: bool | None
    contentHash: NotRequired[str]
    current: str
    proposed: str
    message: str
    validations: list[dict[str, Any]]


class PlanTarget(TypedDict):
    """A target of a plan."""

    environmentId: str
    environmentName: str
    resourceId: str
    resourceName: str
    hasChanges: bool | None
    results: list[PlanResult]


class Plan(TypedDict):
    """What a version would change. `status` is `computing` until every result is there."""

    id: str
    status: Literal["computing", "completed", "failed"]
    summary: dict[str, int]
    targets: list[PlanTarget]
    targetsLeftOut: NotRequired[int]


# Steering -------------------------------------------------------------------------------------------------------------


class Steering(TypedDict):
    """What a person said about a rollout."""

    step: str
    timeScaleInterval: NotRequired[int]
    maxInFlight: NotRequired[int]
    bakeSeconds: NotRequired[int]
    reason: NotRequired[str]
    by: NotRequired[str]
    at: str


class Rollout(TypedDict):
    """A change in one environment."""

    id: str
    deployment: Named
    environment: Named
    version: NotRequired[Tagged]
    changeId: str
    kind: str
    state: Literal["open", "paused", "halted", "complete", "superseded", "aborted"]
    reason: NotRequired[str]
    pausedUntil: NotRequired[str]
    openedAt: str
    stateAt: str
    targetsAtOpen: int
    failures: int
    failuresForgiven: int
    speed: NotRequired[dict[str, Any]]
    steering: NotRequired[list[Steering]]


class Place(TypedDict):
    """Where one target of a rollout stands."""

    targetId: str
    resource: str
    state: str
    why: NotRequired[str]
    until: NotRequired[str]


class Wave(TypedDict):
    """Targets of a rollout that start together."""

    number: int
    over: NotRequired[bool]
    counts: dict[str, int]
    targets: list[Place]


class Places(TypedDict):
    """Where each target of a rollout stands, wave by wave, and what is next."""

    inWaves: bool
    waves: list[Wave]
    next: NotRequired[Place]


class ApprovalRequest(TypedDict):
    """What a person is asked, and who has answered."""

    id: str
    status: str
    deployment: Named
    environment: Named
    version: Tagged
    changeId: str
    minimum: int
    why: Any
    shown: Any
    digest: str
    openedAt: str
    approvals: list[dict[str, Any]]
    group: NotRequired[str]
    authorExcluded: NotRequired[bool]
    expiresAfterHours: NotRequired[float]
    configDigests: NotRequired[list[str]]


class Order(TypedDict):
    """A redeploy, a force or a rollback that somebody asked for."""

    id: str
    kind: Literal["redeploy", "force", "rollback"]
    state: str
    scope: str
    deployment: Named
    environment: Named
    resource: Named
    target: str
    version: Tagged
    when: str
    reason: NotRequired[str]
    createdBy: NotRequired[str]
    createdAt: str
    expiresAt: NotRequired[str]
    endedAt: NotRequired[str]
    endedBy: NotRequired[str]
    endReason: NotRequired[str]
    moveId: NotRequired[str]
    changeId: NotRequired[str]


class PlacedOrders(TypedDict):
    """Orders that were taken, and targets that refused."""

    orders: list[Order]
    refused: list[dict[str, Any]]


class BurnThreshold(TypedDict):
    """When a burn makes a class: above `factor` in both windows."""

    name: str
    long: str
    short: str
    factor: float
    makes: str


class SloStatus(TypedDict):
    """Where an error budget stands: `budget` is its class."""

    budget: str
    why: str
    since: str
    readAt: NotRequired[str]
    observedAt: NotRequired[str]
    freshUntil: NotRequired[str]
    ageSeconds: NotRequired[int]
    remaining: NotRequired[float]
    burn: dict[str, float]
    firing: list[str]
    emptyAt: NotRequired[str]
    nextAt: str


class Slo(TypedDict):
    """An objective with where its error budget stands, and whom it covers."""

    id: str
    name: str
    description: NotRequired[str]
    target: float
    windowDays: int
    provider: dict[str, Any]
    total: Any
    good: NotRequired[Any]
    bad: NotRequired[Any]
    intervalSeconds: int
    minEvents: int
    deployments: list[Named]
    selector: NotRequired[str]
    covers: list[Named]
    thresholds: list[BurnThreshold]
    createdAt: str
    updatedAt: str
    status: SloStatus


class SloReading(TypedDict):
    """One reading. `burn`: window to rate."""

    at: str
    budget: str
    remaining: NotRequired[float]
    burn: dict[str, float]
    why: NotRequired[str]


class SloReadings(TypedDict):
    """What was read of an objective, oldest first."""

    id: str
    name: str
    target: float
    windowDays: int
    since: str
    until: str
    thresholds: list[BurnThreshold]
    items: list[SloReading]


class Freeze(TypedDict):
    """Nothing is handed over in a scope."""

    id: str
    scope: dict[str, str]
    selector: NotRequired[str]
    reason: str
    incidentUrl: NotRequired[str]
    inForce: bool
    createdBy: NotRequired[str]
    createdAt: str
    expiresAt: NotRequired[str]
    thawedBy: NotRequired[str]
    thawedAt: NotRequired[str]
    thawReason: NotRequired[str]


class Incident(TypedDict):
    """Something burns outside: what it is about starts nothing new until it is over. `says` is that in a sentence."""

    id: str
    source: str
    externalId: str
    title: str
    severity: str
    gates: bool
    open: bool
    deployments: list[Named]
    environments: NotRequired[list[Named]]
    unmatched: NotRequired[list[str]]
    links: NotRequired[dict[str, str]]
    labels: NotRequired[dict[str, str]]
    reportedBy: NotRequired[str]
    startedAt: str
    openedAt: str
    renewedAt: str
    expiresAt: str
    resolvedAt: NotRequired[str]
    resolvedBy: NotRequired[str]
    resolveReason: NotRequired[str]
    says: str


class ReportedIncident(Incident):
    """An incident as it is after a report; `outcome` says what the report did: opened, renewed, changed or old."""

    outcome: str


class Saturation(TypedDict):
    """How full something of a deployment is, as it was last read; too old a reading has the level `unknown`."""

    name: str
    environment: NotRequired[Named]
    level: str
    value: float
    highAbove: float
    saturatedAbove: float
    since: str
    observedAt: str
    freshUntil: str
    source: str


class PostedSaturation(Saturation):
    """The same after a reading; `changed`: it has another level than before."""

    changed: bool


class ToldAlert(TypedDict):
    """What became of an alert of a notification."""

    fingerprint: str
    outcome: str
    incidentId: NotRequired[str]
    severity: str
    gates: bool
    unmatched: NotRequired[list[str]]
    says: str


class ToldAlerts(TypedDict):
    """What became of a notification of Alertmanager."""

    alerts: list[ToldAlert]
    leftOut: int
    truncated: int


class Pin(TypedDict):
    """Something is kept at a version."""

    id: str
    scope: str
    deployment: Named
    environment: NotRequired[Named]
    resource: NotRequired[Named]
    releaseTargetKey: NotRequired[str]
    version: Tagged
    targets: int
    reason: str
    inForce: bool
    createdBy: NotRequired[str]
    createdAt: str
    expiresAt: NotRequired[str]
    removedBy: NotRequired[str]
    removedAt: NotRequired[str]
    removeReason: NotRequired[str]


class Skip(TypedDict):
    """A version passes a rule, every rule of a kind, or a freeze."""

    id: str
    ruleId: NotRequired[str]
    ruleKind: NotRequired[str]
    freezeId: NotRequired[str]
    freezeReason: NotRequired[str]
    policy: NotRequired[Named]
    orphaned: bool
    deployment: Named
    version: Tagged
    environment: NotRequired[Named]
    resource: NotRequired[Named]
    reason: str
    inForce: bool
    createdBy: NotRequired[str]
    createdAt: str
    expiresAt: NotRequired[str]
    removedBy: NotRequired[str]
    removedAt: NotRequired[str]
    removeReason: NotRequired[str]


class Quarantine(TypedDict):
    """What a target does not take again by itself."""

    id: str
    deployment: Named
    environment: Named
    targetId: str
    resource: str
    version: NotRequired[Tagged]
    configDigest: NotRequired[str]
    setAt: str
    clearedAt: NotRequired[str]


class SlotGroup(TypedDict):
    """Targets that share a limit of how many are in flight."""

    key: str
    group: str | None
    policy: Named
    ruleId: str
    limit: int | None
    size: int
    held: int
    waiting: int
    holders: list[dict[str, Any]]


# What happened, and people --------------------------------------------------------------------------------------------


class Ref(TypedDict):
    """What an event refers to."""

    kind: str
    id: NotRequired[str]
    name: NotRequired[str]


class Event(TypedDict):
    """A row of the ledger: what happened, to what, by whom, because of what."""

    seq: int
    id: str
    kind: str
    schemaVersion: int
    at: str
    actor: Ref
    cause: NotRequired[Any]
    subject: Ref
    refs: list[Ref]
    decisionId: NotRequired[str]
    chain: NotRequired[Any]
    traceId: NotRequired[str]
    body: dict[str, Any]
    digest: NotRequired[str]


class Key(TypedDict):
    """An API key; its text is shown only by the call that made it."""

    id: str
    prefix: str
    name: str
    user: Named
    scopes: NotRequired[list[str]]
    createdAt: str
    expiresAt: NotRequired[str]
    revokedAt: NotRequired[str]
    lastUsedAt: NotRequired[str]
    rotatedTo: NotRequired[str]
    bindings: NotRequired[list[dict[str, Any]]]


class NewKey(TypedDict):
    """The answer that holds a key's text, this once."""

    id: str
    key: str
    prefix: str
    user: Named
    role: NotRequired[str]
    bindings: NotRequired[list[dict[str, Any]]]
    scopes: NotRequired[list[str]]
    expiresAt: NotRequired[str]


class Group(TypedDict):
    """A group of people."""

    id: str
    name: str
    createdAt: str
    members: list[Named]


class Member(TypedDict):
    """Somebody in a workspace, with the roles that are bound there."""

    id: str
    name: str
    kind: str
    email: NotRequired[str]
    addedAt: str
    groups: list[str]
    bindings: list[dict[str, Any]]


class SubscriptionScope(TypedDict):
    """Where what is told happens."""

    kind: Literal["workspace", "system", "environment", "deployment"]
    id: NotRequired[str]


class Subscription(TypedDict):
    """A subscription and how it fares."""

    id: str
    name: str
    channel: Literal["webhook", "slack", "email"]
    url: NotRequired[str]
    secret: NotRequired[str]
    oldSecretUntil: NotRequired[str]
    to: NotRequired[list[str]]
    kinds: list[str]
    filter: NotRequired[str]
    scope: SubscriptionScope
    group: NotRequired[str]
    templates: NotRequired[dict[str, str]]
    remindAfterHours: NotRequired[float]
    state: Literal["active", "paused", "disabled"]
    stateReason: NotRequired[str]
    stateAt: str
    failingSince: NotRequired[str]
    lastError: NotRequired[str]
    lastDeliveredAt: NotRequired[str]
    nextTryAt: NotRequired[str]
    pending: int
    parked: int
    createdAt: str
    updatedAt: str


class Delivery(TypedDict):
    """A delivery and how its last try ended."""

    id: str
    webhookId: str
    purpose: Literal["event", "reminder", "test"]
    seq: NotRequired[int]
    eventId: NotRequired[str]
    kind: str
    state: Literal["pending", "delivered", "parked", "skipped"]
    attempts: int
    createdAt: str
    nextTryAt: NotRequired[str]
    lastTryAt: NotRequired[str]
    lastStatus: NotRequired[int]
    lastError: NotRequired[str]
    lastMs: NotRequired[int]
    endedAt: NotRequired[str]


class Scope(TypedDict):
    """Where a role holds."""

    kind: Literal["workspace", "system", "deployment", "environment"]
    id: NotRequired[str]
    name: NotRequired[str]


class Role(TypedDict):
    """A named set of permissions."""

    id: NotRequired[str]
    name: str
    description: str
    builtIn: bool
    permissions: list[str]
    bindings: int
    createdAt: NotRequired[str]
    updatedAt: NotRequired[str]


class Permission(TypedDict):
    """Something that may be allowed."""

    name: str
    description: str


class Binding(TypedDict):
    """Somebody has a role over something."""

    id: str
    role: str
    scope: Scope
    user: NotRequired[Named]
    group: NotRequired[Named]
    key: NotRequired[dict[str, str]]
    createdAt: str


class AgentToken(TypedDict):
    """A token of a job agent; its text is shown only by the call that made it."""

    id: str
    agentId: str
    prefix: str
    name: str
    createdBy: NotRequired[str]
    createdAt: str
    expiresAt: NotRequired[str]
    revokedAt: NotRequired[str]
    lastUsedAt: NotRequired[str]


class NewAgentToken(AgentToken):
    """The answer that holds a token's text, this once."""

    token: str


class Workflow(TypedDict):
    """A workflow, its inputs as they were written."""

    id: str
    name: str
    slug: str
    inputs: list[dict[str, Any]]
    jobAgents: list[dict[str, Any]]


class WorkflowRun(TypedDict):
    """A run that started, with its jobs."""

    id: str
    workflowId: str
    inputs: dict[str, Any]
    jobs: list[dict[str, str]]
    decisionId: NotRequired[str | None]

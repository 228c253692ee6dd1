"""What does one round know? Frozen, indexed values of one deployment in one snapshot.

Everything that `decide` looks at stands here, under the name of its fact kind (a field of `Facts`). A rule declares the kinds it `needs`; a test fails
when it touches another. `store/facts.py` loads them with one query a kind; `simulate/world.py` builds them without a database.

Resolved before deciding, by `match_inventory`: which policies select a target (`policy_set`), which agent it has, and its resolved config's digest.
So nothing here evaluates a selector but a rule's own.

Ids are text. Instants are aware. Maps say key and value in their name.

Source: core.md sections 1, 2 and 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from interlock.model.job import Handover, JobStatus
from interlock.model.policy import Policy


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment that shares a system with the deployment. `view` is its CEL map."""

    id: str
    name: str
    system_ids: frozenset[str]
    view: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReleaseRef:
    """A release as a round compares it: which version, which resolved config."""

    id: str
    version_id: str
    config_digest: str


@dataclass(frozen=True, slots=True)
class Target:
    """One attached release target, and where it is.

    Takes: `policy_set` is None until it was matched. `agent` is `one`, `no_agent` or `ambiguous_agent`.
           `mark` is the newest version ever handed over. `detached_at` is None while it is attached.
    """

    id: str
    environment_id: str
    resource_id: str
    attached_at: datetime
    policy_set: str | None
    agent: str
    config_digest: str | None
    current: ReleaseRef | None = None
    good: ReleaseRef | None = None
    mark: str | None = None
    desired: str | None = None
    last_started_at: datetime | None = None
    name: str = ""
    detached_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """A version. `author_ids` are the principals that count as its author. `view` is its CEL map."""

    id: str
    tag: str
    status: str
    created_at: datetime
    change_id: str
    author_ids: frozenset[str] = frozenset()
    view: Mapping[str, object] = field(default_factory=dict)

    @property
    def age_key(self) -> tuple[datetime, str]:
        """A version is newer by (created_at, id)."""
        return (self.created_at, self.id)


@dataclass(frozen=True, slots=True)
class Rollout:
    """One change in one environment. States: open, paused, halted, complete, superseded, aborted."""

    id: str
    change_id: str
    environment_id: str
    kind: str
    version_id: str | None
    state: str
    opened_at: datetime
    targets_at_open: int
    failures_forgiven: int = 0

    @property
    def live(self) -> bool:
        """Whether it still governs its environment."""
        return self.state in LIVE


LIVE = frozenset({"open", "paused", "halted"})


@dataclass(frozen=True, slots=True)
class Job:
    """A job of an open move. `pending` with `waiting` means: not handed over, so still ours to withdraw."""

    id: str
    status: JobStatus
    handover: Handover
    created_at: datetime
    completed_at: datetime | None = None
    cancel_asked: bool = False
    message: str | None = None

    @property
    def ours(self) -> bool:
        """Not handed over (or queued and unclaimed): a round may withdraw it."""
        if self.status is JobStatus.QUEUED:
            return True
        return self.status is JobStatus.PENDING and self.handover is Handover.WAITING


@dataclass(frozen=True, slots=True)
class Verification:
    """A verification of one job. States: running, passed, failed, inconclusive."""

    id: str
    job_id: str
    state: str
    ended_at: datetime | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """A move of a live rollout, or an open one. `jobs` and `verifications` are loaded for open moves, oldest first."""

    id: str
    target_id: str
    environment_id: str
    rollout_id: str | None
    change_id: str
    kind: str
    version_id: str
    to_release: ReleaseRef
    from_release: ReleaseRef | None
    state: str
    decision_id: str
    admitted_at: datetime
    started_at: datetime | None = None
    closed_at: datetime | None = None
    reason: str | None = None
    undoes_move_id: str | None = None
    jobs: tuple[Job, ...] = ()
    verifications: tuple[Verification, ...] = ()

    @property
    def open(self) -> bool:
        """Whether it occupies its target."""
        return self.closed_at is None


@dataclass(frozen=True, slots=True)
class Landed:
    """What a target's history says of one version. `left_at`: rolled back from it."""

    first_success_at: datetime
    verified_at: datetime | None = None
    left_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """The latest word of one person on one version in one environment: approved or rejected."""

    principal_id: str
    name: str
    verdict: str
    given_at: datetime


@dataclass(frozen=True, slots=True)
class Freeze:
    """A freeze in force that concerns this deployment.

    `environment_ids` is None for all; `target_ids` is None unless it has a selector.
    """

    id: str
    scope: str
    reason: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    environment_ids: frozenset[str] | None = None
    target_ids: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Pin:
    """Somebody wants this version here. The narrowest wins: target, environment, deployment."""

    id: str
    version_id: str
    created_at: datetime
    environment_id: str | None = None
    target_id: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Skip:
    """A rule passed by hand for one version, perhaps in one environment or on one resource only."""

    id: str
    rule_id: str
    version_id: str
    reason: str
    created_at: datetime
    environment_id: str | None = None
    resource_id: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Quarantine:
    """What a target must not take again: a version, or a config digest.

    `failed_version_id` is the version of the move that failed, where a config digest is quarantined: a target that runs
    a newer one has left that behind.
    """

    target_id: str
    version_id: str | None
    config_digest: str | None
    failed_version_id: str | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """The latest decision of one subject: its id and content digest, so that only changes are written."""

    id: str
    digest: str
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """One deployment in one snapshot.

    Takes: `versions` newest first: the candidates and whatever a target, pin or move names. `moves` are all moves of live rollouts and all open ones.
           `landed_by_target_version` keys are (target id, version id). `decided_by_subject` keys are `decision_key(...)`.
           `policies_matched` is False while targets do not know their policies yet, which holds.
    """

    workspace_id: str
    deployment_id: str
    deployment_name: str = ""
    supersede: str = "wait"
    generation: int = 0
    fence: int = 0
    rules_fence: int = 0
    policies_matched: bool = True
    environments: Mapping[str, Environment] = field(default_factory=dict)
    targets: Mapping[str, Target] = field(default_factory=dict)
    leaving: Mapping[str, Target] = field(default_factory=dict)
    versions: tuple[Version, ...] = ()
    policies: Mapping[str, Policy] = field(default_factory=dict)
    policy_sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rollouts: tuple[Rollout, ...] = ()
    moves: tuple[Move, ...] = ()
    landed_by_target_version: Mapping[tuple[str, str], Landed] = field(default_factory=dict)
    approvals_by_version_environment: Mapping[tuple[str, str], tuple[Approval, ...]] = field(default_factory=dict)
    requests: frozenset[str] = frozenset()
    freezes: tuple[Freeze, ...] = ()
    pins: tuple[Pin, ...] = ()
    skips: tuple[Skip, ...] = ()
    quarantines: tuple[Quarantine, ...] = ()
    decided_by_subject: Mapping[str, Decided] = field(default_factory=dict)
    decided_by_target: Mapping[str, Decided] = field(default_factory=dict)


class Index:
    """Facts, looked up by what the core asks for. Built once a round; holds no state of its own."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    @cached_property
    def version_by_id(self) -> dict[str, Version]:
        """Version id -> version."""
        return {version.id: version for version in self.facts.versions}

    @cached_property
    def newest_first(self) -> tuple[Version, ...]:
        """The versions, whatever order they came in."""
        return tuple(sorted(self.facts.versions, key=lambda version: version.age_key, reverse=True))

    @cached_property
    def targets_by_environment(self) -> dict[str, tuple[Target, ...]]:
        """Environment id -> its attached targets, by (attached_at, id)."""
        groups: dict[str, list[Target]] = {environment_id: [] for environment_id in self.facts.environments}
        for target in self.facts.targets.values():
            groups.setdefault(target.environment_id, []).append(target)
        return {key: tuple(sorted(group, key=lambda t: (t.attached_at, t.id))) for key, group in groups.items()}

    @cached_property
    def open_move_by_target(self) -> dict[str, Move]:
        """Target id -> its one open move."""
        return {move.target_id: move for move in self.facts.moves if move.open}

    @cached_property
    def moves_by_rollout(self) -> dict[str, tuple[Move, ...]]:
        """Rollout id -> its moves by (admitted_at, id)."""
        groups: dict[str, list[Move]] = {}
        for move in self.facts.moves:
            if move.rollout_id is not None:
                groups.setdefault(move.rollout_id, []).append(move)
        return {key: tuple(sorted(group, key=lambda m: (m.admitted_at, m.id))) for key, group in groups.items()}

    @cached_property
    def rollout_by_change_environment(self) -> dict[tuple[str, str], Rollout]:
        """(change id, environment id) -> rollout."""
        return {(rollout.change_id, rollout.environment_id): rollout for rollout in self.facts.rollouts}

    @cached_property
    def live_rollout_by_environment_kind(self) -> dict[tuple[str, str], Rollout]:
        """(environment id, kind) -> the one rollout that is open, paused or halted."""
        return {(rollout.environment_id, rollout.kind): rollout for rollout in self.facts.rollouts if rollout.live}

    @cached_property
    def quarantined(self) -> frozenset[tuple[str, str]]:
        """(target id, version id or config digest) that must not be taken."""
        return frozenset((one.target_id, one.version_id or one.config_digest or "") for one in self.facts.quarantines)

    @cached_property
    def good_versions_by_environment(self) -> dict[str, frozenset[str]]:
        """Environment id -> versions that are the `good` of one of its targets."""
        return {
            environment_id: frozenset(target.good.version_id for target in targets if target.good is not None)
            for environment_id, targets in self.targets_by_environment.items()
        }

    def policies_of(self, policy_set: str | None) -> tuple[Policy, ...]:
        """The policies of an interned set, by id."""
        ids = self.facts.policy_sets.get(policy_set or "", ())
        return tuple(self.facts.policies[policy_id] for policy_id in sorted(ids) if policy_id in self.facts.policies)

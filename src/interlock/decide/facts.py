"""What does one round know? Frozen, indexed values of one deployment in one snapshot.

Everything that `decide` looks at stands here, under the name of its fact kind (a field of `Facts`). A rule declares the
kinds it `needs`; a test fails when it touches another. `store/facts.py` loads them with one query a kind;
`simulate/world.py` builds them without a database.

Resolved before deciding, by `match_inventory`: which policies select a target (`policy_set`), which agent it has, and
its resolved config's digest. So nothing here evaluates a selector but a rule's own.

Ids are text. Instants are aware. Maps say key and value in their name.

Source: core.md sections 1, 2 and 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from interlock.model.job import Handover, JobStatus
from interlock.model.policy import Policy, Rule


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

    @property
    def untouched(self) -> bool:
        """Whether nothing was tried yet: its first job still waits, and was never handed over."""
        return self.started_at is None and len(self.jobs) == 1 and not self.jobs[0].status.terminal


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

    Takes: `versions`: the candidates and whatever a target, pin or move names. `moves` are the open ones, all of live
           rollouts, and those of kind `pin` admitted since the oldest pin in force; `jobs` and `verifications` only of
           open ones. `rollouts` are the live ones and those of the versions. `leaving` are detached targets with an
           open move, those that a live rollout counts, and those that landed one of the versions.
           `landed_by_target_version` keys are (target id, version id), of attached and leaving targets.
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
        self._policies: dict[str | None, tuple[Policy, ...]] = {}
        self._enforced: dict[tuple[str | None, str], tuple[Rule, ...]] = {}
        self._newer: dict[str | None, tuple[Version, ...]] = {}

    # Versions ---------------------------------------------------------------------------------------------------------

    @cached_property
    def version_by_id(self) -> dict[str, Version]:
        """Version id -> version."""
        return {version.id: version for version in self.facts.versions}

    @cached_property
    def newest_first(self) -> tuple[Version, ...]:
        """The versions, whatever order they came in."""
        return tuple(sorted(self.facts.versions, key=lambda version: version.age_key, reverse=True))

    def newer_than(self, version_id: str | None) -> tuple[Version, ...]:
        """The versions newer than one, newest first: all of them for None, none when it is not known."""
        if version_id not in self._newer:
            known = self.version_by_id.get(version_id or "")
            self._newer[version_id] = tuple(
                version
                for version in self.newest_first
                if version_id is None or (known is not None and version.age_key > known.age_key)
            )
        return self._newer[version_id]

    def is_newer(self, version_id: str, than_id: str) -> bool:
        """Whether one known version is newer than another."""
        one, other = self.version_by_id.get(version_id), self.version_by_id.get(than_id)
        return one is not None and other is not None and one.age_key > other.age_key

    # Targets ----------------------------------------------------------------------------------------------------------

    @cached_property
    def targets_in_order(self) -> tuple[Target, ...]:
        """The attached targets by id."""
        targets = self.facts.targets
        return tuple(targets[target_id] for target_id in sorted(targets))

    @cached_property
    def targets_by_environment(self) -> dict[str, tuple[Target, ...]]:
        """Environment id -> its attached targets, by (attached_at, id)."""
        return _by_environment(self.facts.targets.values(), self.facts.environments)

    @cached_property
    def leaving_by_environment(self) -> dict[str, tuple[Target, ...]]:
        """Environment id -> the targets that left it and still count somewhere, by (attached_at, id)."""
        return _by_environment(self.facts.leaving.values(), self.facts.environments)

    @cached_property
    def quarantined(self) -> frozenset[tuple[str, str]]:
        """(target id, version id or config digest) that must not be taken."""
        return frozenset((one.target_id, one.version_id or one.config_digest or "") for one in self.facts.quarantines)

    @cached_property
    def quarantines_by_target(self) -> dict[str, tuple[Quarantine, ...]]:
        """Target id -> what it must not take again."""
        groups: dict[str, list[Quarantine]] = {}
        for one in self.facts.quarantines:
            groups.setdefault(one.target_id, []).append(one)
        return {target_id: tuple(group) for target_id, group in groups.items()}

    @cached_property
    def good_versions_by_environment(self) -> dict[str, frozenset[str]]:
        """Environment id -> versions that are the `good` of one of its targets."""
        return {
            environment_id: frozenset(target.good.version_id for target in targets if target.good is not None)
            for environment_id, targets in self.targets_by_environment.items()
        }

    def floor(self, target: Target) -> str | None:
        """The version that a target's candidates must be newer than: its mark, or what it runs.

        Why:    the mark is set back to what runs when a pin is removed; a job in flight then may bring something newer.
        """
        current, mark = target.current, target.mark
        if current is None or mark is None or current.version_id == mark:
            return mark
        return current.version_id if self.is_newer(current.version_id, mark) else mark

    def drifts(self, target: Target) -> bool:
        """Whether a target lacks its resolved config, and may take it.

        Why:    after a rollback no config moves, until its quarantine is cleared or a newer version runs.
        """
        current = target.current
        if current is None or target.config_digest in {None, current.config_digest}:
            return False
        return all(self._left_behind(target, current, one) for one in self.quarantines_by_target.get(target.id, ()))

    def _left_behind(self, target: Target, current: ReleaseRef, quarantine: Quarantine) -> bool:
        """Whether a quarantine's failure is past: a newer version runs, or what failed was proven after all."""
        failed = quarantine.version_id or quarantine.failed_version_id
        if failed is not None and self.is_newer(current.version_id, failed):
            return True
        proven = target.good is not None and target.good.id == current.id
        taken = (current.version_id, None) if quarantine.version_id else (None, current.config_digest)
        return proven and taken == (quarantine.version_id, quarantine.config_digest)

    # Rollouts and moves -----------------------------------------------------------------------------------------------

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
    def tried_configs(self) -> frozenset[tuple[str, str | None]]:
        """(target id, config digest) that a live rollout brought there in vain: that was its attempt."""
        return frozenset(
            (move.target_id, move.to_release.config_digest)
            for move in self.facts.moves
            if move.kind == "config" and move.state in {"failed", "cancelled"}
        )

    @cached_property
    def _used_by_target_version(self) -> dict[tuple[str, str], datetime]:
        """(target id, version id) -> when its newest pin move that came to an end was admitted."""
        return {
            (move.target_id, move.version_id): move.admitted_at
            for move in sorted(self.facts.moves, key=lambda one: one.admitted_at)
            if move.kind == "pin" and not move.open and move.state != "withdrawn"
        }

    def pin_used(self, pin: Pin, target: Target) -> bool:
        """Whether a pin had its one move on a target."""
        admitted_at = self._used_by_target_version.get((target.id, pin.version_id))
        return admitted_at is not None and admitted_at >= pin.created_at

    # Policies ---------------------------------------------------------------------------------------------------------

    def policies_of(self, policy_set: str | None) -> tuple[Policy, ...]:
        """The policies of an interned set, by id."""
        if policy_set not in self._policies:
            policies = self.facts.policies
            ids = sorted(self.facts.policy_sets.get(policy_set or "", ()))
            self._policies[policy_set] = tuple(policies[policy_id] for policy_id in ids if policy_id in policies)
        return self._policies[policy_set]

    def enforced_rules(self, policy_set: str | None, kind: str) -> tuple[Rule, ...]:
        """The rules of one kind in the policies of a set that are enforced."""
        key = (policy_set, kind)
        if key not in self._enforced:
            self._enforced[key] = tuple(
                rule
                for policy in self.policies_of(policy_set)
                if not policy.observe
                for rule in policy.rules
                if rule.kind == kind
            )
        return self._enforced[key]


def _by_environment(
    targets: Iterable[Target], environments: Mapping[str, Environment]
) -> dict[str, tuple[Target, ...]]:
    groups: dict[str, list[Target]] = {environment_id: [] for environment_id in environments}
    for target in targets:
        groups.setdefault(target.environment_id, []).append(target)
    return {key: tuple(sorted(group, key=lambda t: (t.attached_at, t.id))) for key, group in groups.items()}

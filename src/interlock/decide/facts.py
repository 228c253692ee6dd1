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

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from interlock.inventory.slots import SlotKey
from interlock.model.job import Confirm, Handover, JobStatus
from interlock.model.policy import Policy
from interlock.model.signal import Known, Unknown, signal_at


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
           `slot_keys` are its slot groups, one a rule that limits it, by policy and rule.
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
    slot_keys: tuple[SlotKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Dependency:
    """A version needs another deployment to run a version that `selector` (CEL over `version`) picks.

    Takes: `everywhere`: in every environment in which that deployment has a target on the resource, instead of in the
           same environment first, else in any.
    """

    deployment_id: str
    selector: str
    everywhere: bool = False


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
    dependencies: tuple[Dependency, ...] = ()

    @property
    def age_key(self) -> tuple[datetime, str]:
        """A version is newer by (created_at, id)."""
        return (self.created_at, self.id)


@dataclass(frozen=True, slots=True)
class Speed:
    """What people said about the pace of one rollout: None is as its rules were written.

    `promoted_at`: everything in it may start at once since then.
    """

    interval_s: int | None = None
    max_in_flight: int | None = None
    bake_s: int | None = None
    promoted_at: datetime | None = None


AS_WRITTEN = Speed()


@dataclass(frozen=True, slots=True)
class Proof:
    """A verification of a rollout as a whole: of one of its waves, or of all of it while it is open.

    Takes: `wave` counts from 0 in the waves of the rule `lane`; None: it runs while the rollout is open. States:
           running, passed, failed, inconclusive. `forgiven`: a person let the rollout go on after it had ended.
           `metrics` are their names.
    """

    id: str
    wave: int | None
    lane: str
    state: str
    ended_at: datetime | None = None
    message: str | None = None
    forgiven: bool = False
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rollout:
    """One change in one environment. States: open, paused, halted, complete, superseded, aborted.

    Takes: `paused_until` is when a pause ends by itself; None: a person ends it. `proofs` are those of a live rollout.
           `tests_planned` sequential tests share its α, `tests_begun` were begun so far.
    """

    id: str
    change_id: str
    environment_id: str
    kind: str
    version_id: str | None
    state: str
    opened_at: datetime
    targets_at_open: int
    failures_forgiven: int = 0
    speed: Speed = AS_WRITTEN
    paused_until: datetime | None = None
    proofs: tuple[Proof, ...] = ()
    tests_planned: int = 0
    tests_begun: int = 0

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
    confirm: Confirm = Confirm.NONE

    @property
    def awaits_confirm(self) -> bool:
        """Planned outside, and ours to confirm: a round may still hold it back, or have it discarded."""
        waits = self.status is JobStatus.ACTION_REQUIRED and self.confirm in {Confirm.ASKED, Confirm.GRANTED}
        return waits and not self.cancel_asked

    @property
    def ours(self) -> bool:
        """Not handed over (or queued and unclaimed): a round may withdraw it."""
        if self.status is JobStatus.QUEUED:
            return True
        return self.status is JobStatus.PENDING and self.handover is Handover.WAITING


@dataclass(frozen=True, slots=True)
class Verification:
    """A verification of one job. States: running, passed, failed, inconclusive.

    Takes: `held_until`: when a hold because nothing could tell ends by itself.
    """

    id: str
    job_id: str
    state: str
    ended_at: datetime | None = None
    message: str | None = None
    held_until: datetime | None = None

    @property
    def held(self) -> bool:
        """Whether nothing could tell, and it waits for somebody who can."""
        return self.state == "inconclusive" and self.ended_at is None


@dataclass(frozen=True, slots=True)
class Move:
    """A move of a live rollout, or an open one. `jobs` and `verifications` are loaded for open moves, oldest first.

    Takes: `slots` are the keys of the slots that it holds while it is open, in order. `order_id` is the order that it
           answers. `returns_to` is the target's good release when it was admitted: where its target goes when the move
           is undone after it had succeeded.
    """

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
    order_id: str | None = None
    returns_to: ReleaseRef | None = None
    jobs: tuple[Job, ...] = ()
    verifications: tuple[Verification, ...] = ()
    slots: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        """Whether it occupies its target."""
        return self.closed_at is None

    @property
    def unclear(self) -> Verification | None:
        """The verification that could not tell and holds it, if one does."""
        return next((one for one in self.verifications if one.held), None) if self.state == "verifying" else None

    @property
    def untouched(self) -> bool:
        """Whether nothing was tried yet: its first job still waits, and was never handed over."""
        return self.started_at is None and len(self.jobs) == 1 and not self.jobs[0].status.terminal


@dataclass(frozen=True, slots=True)
class Landed:
    """What a target's history says of one version.

    Takes: `left_at`: rolled back from it. `renewed_at`: the newest move to it that was done here, verified where it is,
           after the one that `verified_at` tells of (a redeploy, another config).
    """

    first_success_at: datetime
    verified_at: datetime | None = None
    left_at: datetime | None = None
    renewed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """The latest word of one person on one version in one environment: approved or rejected.

    Takes: `groups` are the names of the groups that the person is in now. `config_digests` are the resolved configs
           that the word was given for, where a change of config was asked about; None: the version itself.
    """

    principal_id: str
    name: str
    verdict: str
    given_at: datetime
    groups: frozenset[str] = frozenset()
    config_digests: frozenset[str] | None = None


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
class Incident:
    """An open incident that gates, on this deployment or on one that it may depend on.

    Takes: `deployment_ids` are those that it is about, also the others. `environment_ids` is None for all.
    """

    id: str
    source: str
    title: str
    severity: str
    opened_at: datetime
    expires_at: datetime
    deployment_ids: frozenset[str]
    environment_ids: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Saturation:
    """How full something of the deployment is, as it was last read.

    Takes: `level` is normal, high or saturated, `since` when it has that. `environment_id` None: it counts everywhere.
    """

    name: str
    level: str
    value: float
    since: datetime
    observed_at: datetime
    fresh_until: datetime
    environment_id: str | None = None

    def signal(self, now: datetime) -> Known[Saturation] | Unknown:
        """The reading as it counts at an instant: what is too old is not known."""
        return signal_at(Known(self, self.observed_at, self.fresh_until, self.name), now)


@dataclass(frozen=True, slots=True)
class RolledBack:
    """A version was taken back in an environment: on how many targets does not count."""

    environment_id: str
    version_id: str
    at: datetime

    @property
    def key(self) -> tuple[datetime, str, str]:
        """The order in which they are listed."""
        return (self.at, self.environment_id, self.version_id)


@dataclass(frozen=True, slots=True)
class Pin:
    """Somebody wants this version here. The narrowest wins: target, environment, deployment."""

    id: str
    version_id: str
    created_at: datetime
    environment_id: str | None = None
    target_id: str | None = None
    expires_at: datetime | None = None
    reason: str = ""
    created_by: str = ""


@dataclass(frozen=True, slots=True)
class Skip:
    """A rule passed by hand for one version, perhaps in one environment or on one resource only.

    `rule_id` is a rule's, `kind:<kind>` for every rule of a kind, or `freeze:<freeze id>` for one freeze.
    """

    id: str
    rule_id: str
    version_id: str
    reason: str
    created_at: datetime
    environment_id: str | None = None
    resource_id: str | None = None
    expires_at: datetime | None = None
    created_by: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """Somebody, or a reaction, wants one move on one target. A round answers it, or ends it.

    Takes: `kind` is that of the move: redeploy, force or rollback. `release` is what it brings; None for what the
           target runs when its turn comes (redeploy), or for a new release (force). `when` is `now`, or `idle`: it may
           wait for what moves there. `scope` is how much was asked for at once: target, environment, deployment or
           version. `undoes_move_id`: a rollback, the move that it answers.
    """

    id: str
    kind: str
    target_id: str
    version_id: str
    change_id: str
    created_at: datetime
    release: ReleaseRef | None = None
    when: str = "now"
    scope: str = "target"
    reason: str = ""
    by: str = "interlock"
    expires_at: datetime | None = None
    undoes_move_id: str | None = None

    @property
    def rank(self) -> tuple[int, datetime, str]:
        """Of several orders on one target the first: a rollback, then a force, then a redeploy; the older first."""
        return (RANKS[self.kind], self.created_at, self.id)


RANKS = {"rollback": 0, "force": 1, "redeploy": 2}


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
class Beside:
    """A target of another deployment: in which environment, and which version it runs; None while it runs nothing."""

    environment_id: str
    deployment_id: str
    version_id: str | None


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What other deployments run where this one's targets are.

    Takes: `deployments` and `versions` are CEL maps by id, one for each that is named below, however many targets run
           it. `by_resource` are the attached targets on the resources of this deployment's targets, `by_environment`
           what runs in their environments (each deployment and version once, none that runs nothing). Equal groups are
           one value. What no rule and no version of this deployment needs is not loaded.
    """

    deployments: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    versions: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    by_resource: Mapping[str, tuple[Beside, ...]] = field(default_factory=dict)
    by_environment: Mapping[str, tuple[Beside, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot group as a round sees it: how many of its attached targets there are, and what others hold of it.

    Takes: `size` counts the targets of all deployments; `held_by_others` the weight that moves of other deployments
           hold. What this deployment holds its open moves say.
    """

    size: int = 0
    held_by_others: int = 0


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """Where the error budget of one objective that covers the deployment stood when it was last read.

    Takes: `budget` is its class (`judge/budget.py`), `since` when it has that class, `why` the sentence of the reading.
           `observed_at` and `fresh_until` are None while nothing was read that could be known. `remaining` is the part
           that is left, `burn` the rate by window ("1h"), `firing` the rows of the table that fire.
    """

    slo_id: str
    name: str
    budget: str
    why: str
    since: datetime
    observed_at: datetime | None = None
    fresh_until: datetime | None = None
    remaining: float | None = None
    burn: Mapping[str, float] = field(default_factory=dict)
    firing: tuple[str, ...] = ()

    def signal(self, now: datetime) -> Known[ErrorBudget] | Unknown:
        """The reading as it counts at an instant: what is too old is not known."""
        if self.budget == "unknown" or self.observed_at is None or self.fresh_until is None:
            return Unknown(self.why, self.since)
        source = f"the objective {self.name}"
        return signal_at(Known(self, self.observed_at, self.fresh_until, source), now)


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
           `elsewhere` is what other deployments run beside this one's targets.
           `ended_by_target_version` says when a job of a version first ended there in each status but `successful`.
           `landed_by_target_version` keys are (target id, version id), of attached and leaving targets. `orders` are
           the open ones; a round ends those that have expired.
           `labels_by_target` holds of each target's resource metadata just the keys that a failure domain names, and
           `samples_by_move` how many measurements passed or failed, or were looks of a metric that compares, of moves
           of live rollouts; each only where a rule asks.
           `policies_matched` is False while targets do not know their policies yet, which holds.
           `slots`: slot key -> its group, for the groups of the attached targets.
           `tier` is how critical the deployment is said to be, "1" most; None where it is not said. `budgets` are those
           of the objectives that cover it, where a rule asks.
    """

    workspace_id: str
    deployment_id: str
    deployment_name: str = ""
    supersede: str = "wait"
    generation: int = 0
    fence: int = 0
    rules_fence: int = 0
    policies_matched: bool = True
    tier: str | None = None
    environments: Mapping[str, Environment] = field(default_factory=dict)
    targets: Mapping[str, Target] = field(default_factory=dict)
    leaving: Mapping[str, Target] = field(default_factory=dict)
    versions: tuple[Version, ...] = ()
    policies: Mapping[str, Policy] = field(default_factory=dict)
    policy_sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rollouts: tuple[Rollout, ...] = ()
    moves: tuple[Move, ...] = ()
    landed_by_target_version: Mapping[tuple[str, str], Landed] = field(default_factory=dict)
    ended_by_target_version: Mapping[tuple[str, str], Mapping[str, datetime]] = field(default_factory=dict)
    labels_by_target: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    samples_by_move: Mapping[str, int] = field(default_factory=dict)
    approvals_by_version_environment: Mapping[tuple[str, str], tuple[Approval, ...]] = field(default_factory=dict)
    requests: frozenset[str] = frozenset()
    freezes: tuple[Freeze, ...] = ()
    incidents: tuple[Incident, ...] = ()
    saturations: tuple[Saturation, ...] = ()
    rollbacks: tuple[RolledBack, ...] = ()
    pins: tuple[Pin, ...] = ()
    skips: tuple[Skip, ...] = ()
    quarantines: tuple[Quarantine, ...] = ()
    elsewhere: Elsewhere = field(default_factory=Elsewhere)
    slots: Mapping[str, Slot] = field(default_factory=dict)
    orders: tuple[Order, ...] = ()
    budgets: tuple[ErrorBudget, ...] = ()
    decided_by_subject: Mapping[str, Decided] = field(default_factory=dict)
    decided_by_target: Mapping[str, Decided] = field(default_factory=dict)

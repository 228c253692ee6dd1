"""What would the database hold? One deployment in memory: its facts, and everything that can happen to them.

The only in-memory model of a commit. A round is `decide` and then `applied`; everything else that writes facts (a
version arrives, a job is handed over, a person approves, a target leaves) is a method here that does what the store
does, under the store's conditions: a hand-over succeeds only while nothing that can take something away is undecided.

Time stands still between calls, but for a microsecond a fact, so that no two facts are of one instant.

A law proves on real PostgreSQL that this agrees with the store (core.md section 9, law 9).

Source: core.md sections 1 to 5; store/sql/fact.sql, plan.sql and job.sql for what a snapshot holds and a commit writes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from interlock.decide import decide
from interlock.decide.elsewhere import narrowed, near, needed
from interlock.decide.facts import (
    LIVE,
    Approval,
    Beside,
    Dependency,
    Elsewhere,
    Environment,
    ErrorBudget,
    Facts,
    Freeze,
    Incident,
    Job,
    Landed,
    Move,
    Order,
    Pin,
    Proof,
    Quarantine,
    ReleaseRef,
    RolledBack,
    Rollout,
    Saturation,
    Skip,
    Slot,
    Speed,
    Target,
    Verification,
    Version,
)
from interlock.decide.lift import forgiven as forgiven_proofs
from interlock.decide.pace import MOVES_MAX
from interlock.decide.plan import NewVerification, Plan, applied, counted_leaving, loaded_moves, rolled_back, samples_of
from interlock.decide.rules import concurrency, parse_rules
from interlock.decide.rules.error_budget import budgets_read
from interlock.decide.rules.gradual_rollout import keys_read, samples_read
from interlock.decide.rules.rollback_history import days_read, within
from interlock.decide.rules.saturation import saturation_read
from interlock.inventory.slots import SlotRule, slot_keys_of
from interlock.judge.budget import worsens
from interlock.judge.machine import VerificationProgress, judge_verification
from interlock.judge.spending import alpha_share
from interlock.model.errors import NotFound, Stale
from interlock.model.ids import derived_id
from interlock.model.job import TRANSITIONS, Confirm, Handover, JobStatus, confirm_heard
from interlock.model.policy import Policy
from interlock.model.saturation import HIGH_ABOVE, SATURATED_ABOVE, level_of
from interlock.model.verification import (
    Measurement,
    MeasurementStatus,
    MetricSpec,
    OnInconclusive,
    Terms,
    VerificationState,
)

TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Told:
    """A line of the ledger: what happened to what, when."""

    at: datetime
    kind: str
    subject: str
    words: str = ""


SAMPLES = frozenset({MeasurementStatus.PASSED, MeasurementStatus.FAILED})
LOOKS = SAMPLES | {MeasurementStatus.INCONCLUSIVE}
"""The measurements that a wave's `minimumSamples` counts; of a metric that compares, every look that was taken."""


@dataclass(frozen=True, slots=True)
class Measuring:
    """A verification that was begun: its metrics, and what was measured of each, by position."""

    started_at: datetime
    metrics: tuple[MetricSpec, ...]
    measurements: tuple[list[Measurement], ...]
    alpha_shares: tuple[float | None, ...] = ()

    def progress(self) -> VerificationProgress:
        """Where it stands."""
        measured = list(zip(self.metrics, self.measurements, strict=True))
        return judge_verification(measured, started_at=self.started_at, alpha_shares=self.alpha_shares)


def _counts(spec: MetricSpec) -> frozenset[MeasurementStatus]:
    return SAMPLES if spec.compare is None else LOOKS


@dataclass(slots=True)
class World:
    """One deployment. `facts` is what a snapshot taken now would hold, but for what has expired meanwhile."""

    facts: Facts
    now: datetime
    ledger: list[Told] = field(default_factory=list)
    wake_at: datetime | None = None
    decided: tuple[int, int] = (0, 0)
    valid_until_by_job: dict[str, datetime | None] = field(default_factory=dict)
    detached: dict[str, Target] = field(default_factory=dict)
    labels: dict[str, Mapping[str, str]] = field(default_factory=dict)
    views: dict[str, Mapping[str, object]] = field(default_factory=dict)
    held_elsewhere: dict[str, int] = field(default_factory=dict)
    rolled_back: set[RolledBack] = field(default_factory=set)
    """Every rollback that was ever decided."""
    good: dict[str, list[ReleaseRef]] = field(default_factory=dict)
    """Target id -> the releases that were good on it, oldest first."""
    samples: dict[str, int] = field(default_factory=dict)
    measuring: dict[str, Measuring] = field(default_factory=dict)
    """Verification id -> what was measured."""
    facts_told: int = 0
    """So many facts were written by others than rounds: what a round is asked for."""
    begun: dict[str, NewVerification] = field(default_factory=dict)
    """Verification id -> as it was begun."""
    held_since: dict[str, datetime] = field(default_factory=dict)
    """Verification id -> when nothing could tell for the first time."""
    again_at: dict[str, datetime] = field(default_factory=dict)
    """Verification id -> when it is measured again by itself, while it holds."""

    # Rounds -----------------------------------------------------------------------------------------------------------

    def snapshot(self) -> Facts:
        """What `load_facts` would give now: what has expired is not loaded, and what only it had kept is not either."""
        facts = self.facts
        pins = tuple(one for one in facts.pins if one.expires_at is None or self.now < one.expires_at)
        sizes = Counter(one.key for target in facts.targets.values() for one in target.slot_keys if one.key)
        moves = loaded_moves(facts.moves, facts.rollouts, pins)
        history = (*facts.landed_by_target_version, *facts.ended_by_target_version)
        leaving = counted_leaving(facts.leaving, facts.moves, facts.rollouts, history)
        policies = facts.policies.values()
        elsewhere = narrowed(facts.elsewhere, needed(facts.versions, policies), facts.targets)
        unended = (one for one in facts.incidents if self.now < one.expires_at)
        return replace(
            facts,
            slots={key: Slot(size, self.held_elsewhere.get(key, 0)) for key, size in sizes.items()},
            freezes=tuple(one for one in facts.freezes if one.expires_at is None or self.now < one.expires_at),
            pins=pins,
            skips=tuple(one for one in facts.skips if one.expires_at is None or self.now < one.expires_at),
            elsewhere=elsewhere,
            incidents=near(unended, facts.deployment_id, elsewhere),
            moves=moves,
            leaving=leaving,
            labels_by_target=self._labels(keys_read(policies), (*facts.targets.values(), *leaving.values())),
            samples_by_move=samples_of(self.samples, moves, facts.rollouts) if samples_read(policies) else {},
            saturations=facts.saturations if saturation_read(policies) else (),
            rollbacks=within(self.rolled_back, days_read(policies), self.now),
            budgets=facts.budgets if budgets_read(policies) else (),
        )

    def _labels(self, keys: Iterable[str], targets: Iterable[Target]) -> dict[str, dict[str, str]]:
        """Of the metadata of some targets' resources just these keys."""
        wanted = sorted(keys)
        found: dict[str, dict[str, str]] = {}
        for target in targets if wanted else ():
            metadata = self.labels.get(target.name, {})
            labels = {key: metadata[key] for key in wanted if key in metadata}
            if labels:
                found[target.id] = labels
        return found

    def round(self, *, moves_max: int = MOVES_MAX) -> Plan:
        """Load, decide, commit."""
        facts = self.snapshot()
        plan = decide(facts, self.now, moves_max=moves_max)
        self.commit(facts, plan)
        return plan

    def commit(self, facts: Facts, plan: Plan) -> None:
        """Write a plan that was decided on a snapshot.

        Fails: `Stale` when something that can take something away was written since.
        """
        if (facts.fence, facts.rules_fence) != (self.facts.fence, self.facts.rules_fence):
            raise Stale("Facts that can take something away arrived since the snapshot.")
        for target in self.facts.targets.values():
            if target.good is not None and target.id not in self.good:
                self.good[target.id] = [target.good]
        for change in plan.target_changes:
            if change.good is not None:
                self.good.setdefault(change.target_id, []).append(change.good)
        self.rolled_back.update(rolled_back(facts, plan))
        self.begun.update({one.verification.id: one for one in plan.verifications})
        self.facts = applied(self.facts, plan, self.now)
        self.decided = (facts.fence, facts.rules_fence)
        self.wake_at = plan.wake_at
        for made in plan.jobs:
            self.valid_until_by_job[made.job.id] = made.valid_until
        for confirm in plan.confirms:
            self.valid_until_by_job[confirm.job_id] = confirm.valid_until
        for renewal in plan.renewals:
            self.valid_until_by_job[renewal.job_id] = renewal.valid_until
        for begun in plan.verifications:
            specs = tuple(spec for _, spec in begun.metrics)
            self.measuring[begun.verification.id] = Measuring(
                self.now, specs, tuple([] for _ in specs), begun.alpha_shares
            )
        for proof in plan.proofs:
            specs = tuple(spec for _, spec in proof.metrics)
            self.measuring[proof.proof.id] = Measuring(self.now, specs, tuple([] for _ in specs), proof.alpha_shares)
        self.ledger.extend(_told(plan, self.now))

    def settle(self, *, rounds_max: int = 20) -> int:
        """Decide until nothing moves any more. Gives the number of rounds."""
        for number in range(1, rounds_max + 1):
            if not self.round().moving:
                return number
        raise Stale(f"Still moving after {rounds_max} rounds.")

    def advance(self, by: timedelta) -> None:
        """Let time pass."""
        self.now += by

    def begin(self, targets: Mapping[str, Target], landed: Mapping[tuple[str, str], Landed], *, at: datetime) -> None:
        """A story begins with these targets and their histories."""
        self.facts = replace(self.facts, targets=targets, landed_by_target_version=landed)
        self.now = at

    # Looking ----------------------------------------------------------------------------------------------------------

    def target(self, name: str) -> Target:
        """A target, attached or leaving, by name or id."""
        for target in (*self.facts.targets.values(), *self.facts.leaving.values()):
            if name in {target.name, target.id}:
                return target
        raise NotFound(f"There is no target {name}.")

    def version(self, tag: str) -> Version:
        """A version by tag or id."""
        for version in self.facts.versions:
            if tag in {version.tag, version.id}:
                return version
        raise NotFound(f"There is no version {tag}.")

    def environment(self, name: str) -> Environment:
        """An environment by name or id."""
        for environment in self.facts.environments.values():
            if name in {environment.name, environment.id}:
                return environment
        raise NotFound(f"There is no environment {name}.")

    def open_move(self, name: str) -> Move | None:
        """The open move of a target, if there is one."""
        target_id = self.target(name).id
        return next((move for move in self.facts.moves if move.open and move.target_id == target_id), None)

    def rollout(self, tag: str, environment: str) -> Rollout | None:
        """A version's rollout in an environment."""
        key = (self.version(tag).change_id, self.environment(environment).id)
        return next((one for one in self.facts.rollouts if (one.change_id, one.environment_id) == key), None)

    def jobs(self, test: Callable[[Job], bool]) -> tuple[tuple[Move, Job], ...]:
        """The jobs of open moves that a test picks, with their moves, in order."""
        found = [(move, job) for move in self.facts.moves if move.open for job in move.jobs if test(job)]
        return tuple(sorted(found, key=lambda one: (one[1].created_at, one[1].id)))

    def waiting_jobs(self) -> tuple[tuple[Move, Job], ...]:
        """Jobs that nobody has yet."""
        return self.jobs(lambda job: job.status is JobStatus.PENDING and job.handover is Handover.WAITING)

    def running_verifications(self) -> tuple[tuple[Move, Verification], ...]:
        """Verifications of open moves that run."""
        found = [(move, one) for move in self.facts.moves for one in move.verifications if one.state == "running"]
        return tuple(sorted(found, key=lambda one: one[1].id))

    def running_proofs(self) -> tuple[tuple[Rollout, Proof], ...]:
        """What is measured of live rollouts as a whole."""
        found = [(one, proof) for one in self.facts.rollouts for proof in one.proofs if proof.state == "running"]
        return tuple(sorted(found, key=lambda one: one[1].id))

    # Versions and people ----------------------------------------------------------------------------------------------

    def create_version(
        self,
        tag: str,
        *,
        status: str = "ready",
        author_ids: Iterable[str] = (),
        created_at: datetime | None = None,
        metadata: Mapping[str, str] | None = None,
        dependencies: Iterable[Dependency] = (),
    ) -> Version:
        """CI made a version."""
        self._tick()
        version_id = derived_id("version", self.facts.deployment_id, tag)
        at = created_at or self.now
        view = {
            "id": version_id,
            "name": tag,
            "tag": tag,
            "deploymentId": self.facts.deployment_id,
            "status": status,
            "createdAt": at.isoformat().replace("+00:00", "Z"),
            "metadata": dict(metadata or {}),
            "message": "",
        }
        change_id = derived_id("change", version_id)
        version = Version(version_id, tag, status, at, change_id, frozenset(author_ids), view, tuple(dependencies))
        self._own(takes_away=False, versions=(version, *self.facts.versions))
        return version

    def set_version_status(self, tag: str, status: str) -> None:
        """Somebody edits a version. Ready again after a rejection: it may be taken again where something older runs."""
        version = self.version(tag)
        edited = replace(version, status=status, view={**version.view, "status": status})
        self._tick()
        versions = tuple(edited if one.id == version.id else one for one in self.facts.versions)
        self._own(takes_away=status != "ready", versions=versions)
        if version.status == "rejected" and status == "ready":
            left = tuple(one for one in self.facts.quarantines if one.version_id != version.id)
            self.facts = replace(self.facts, quarantines=left)
            self._forget_marks(target.id for target in self.facts.targets.values() if target.mark == version.id)

    def depend(self, tag: str, dependencies: Iterable[Dependency]) -> None:
        """A version needs other things beside it from now on."""
        version = self.version(tag)
        edited = replace(version, dependencies=tuple(dependencies))
        self._tick()
        versions = tuple(edited if one.id == version.id else one for one in self.facts.versions)
        self._own(takes_away=bool(set(edited.dependencies) - set(version.dependencies)), versions=versions)

    def runs_elsewhere(
        self,
        name: str,
        tag: str | None,
        *,
        resource: str,
        environment: str,
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """Another deployment has a target on a resource, in an environment, and runs a version there, or nothing.

        Gives: the other deployment's id. What it runs is a fact of others: it makes no round stale.
        """
        self._tick()
        elsewhere = self.facts.elsewhere
        known = {one.name: one.id for one in self.facts.environments.values()}
        deployment_id, environment_id = derived_id("deployment", name), known.get(environment, environment)
        resource_id = derived_id("resource", resource)
        version_id = derived_id("version", deployment_id, tag) if tag else None
        view = {"id": deployment_id, "name": name, "slug": name, "description": "", "metadata": {}}
        versions = dict(elsewhere.versions)
        if version_id:
            versions[version_id] = {
                "id": version_id,
                "name": tag,
                "tag": tag,
                "deploymentId": deployment_id,
                "status": "ready",
                "createdAt": self.now.isoformat().replace("+00:00", "Z"),
                "metadata": dict(metadata or {}),
                "message": "",
            }
        place = (environment_id, deployment_id)
        beside = [
            one
            for one in elsewhere.by_resource.get(resource_id, ())
            if (one.environment_id, one.deployment_id) != place
        ]
        by_resource = {**elsewhere.by_resource, resource_id: (*beside, Beside(*place, version_id))}
        around: dict[str, set[Beside]] = {}
        for one in (one for group in by_resource.values() for one in group if one.version_id):
            around.setdefault(one.environment_id, set()).add(one)
        self.facts = replace(
            self.facts,
            elsewhere=Elsewhere(
                {**elsewhere.deployments, deployment_id: view},
                versions,
                by_resource,
                {key: tuple(group) for key, group in around.items()},
            ),
        )
        return deployment_id

    def say(
        self,
        person: str,
        verdict: str,
        tag: str,
        environment: str,
        *,
        groups: Iterable[str] = (),
        config_digests: Iterable[str] | None = None,
    ) -> None:
        """A person, who is in some groups, approves, rejects, or withdraws what they said."""
        about = None if config_digests is None else frozenset(config_digests)
        self._tick()
        key = (self.version(tag).id, self.environment(environment).id)
        principal_id = derived_id("principal", person)
        words = [
            one
            for one in self.facts.approvals_by_version_environment.get(key, ())
            if (one.principal_id, one.config_digests) != (principal_id, about)
        ]
        if verdict in {"approved", "rejected"}:
            words.append(Approval(principal_id, person, verdict, self.now, frozenset(groups), about))
        approvals = {**self.facts.approvals_by_version_environment, key: tuple(words)}
        if not words:
            del approvals[key]
        self._own(takes_away=verdict != "approved", approvals_by_version_environment=approvals)

    # Rules ------------------------------------------------------------------------------------------------------------

    def set_policies(self, policies: Iterable[Policy], *, by_environment: Mapping[str, Iterable[str]]) -> None:
        """Policies are written and matched: environment name -> the policies that select its targets."""
        names = {environment.id: environment.name for environment in self.facts.environments.values()}
        ids_by_target = {
            target.id: by_environment.get(names[target.environment_id], ()) for target in self.facts.targets.values()
        }
        self.match_policies(policies, ids_by_target)

    def match_policies(self, policies: Iterable[Policy], ids_by_target: Mapping[str, Iterable[str] | None]) -> None:
        """Policies are written and matched: target id -> the policies that select it; None where that is not known."""
        self._tick()
        sets: dict[str, tuple[str, ...]] = {}
        targets = dict(self.facts.targets)
        for target in self.facts.targets.values():
            selecting = ids_by_target.get(target.id, ())
            set_id = None
            if selecting is not None:
                ids = tuple(sorted(selecting))
                set_id = derived_id("policy-set", *ids)
                sets[set_id] = ids
            targets[target.id] = replace(target, policy_set=set_id)
        for target in self.facts.leaving.values():
            if target.policy_set is not None:
                sets.setdefault(target.policy_set, self.facts.policy_sets.get(target.policy_set, ()))
        self.facts = replace(
            self.facts,
            policies={policy.id: policy for policy in policies},
            policy_sets=sets,
            targets=targets,
            rules_fence=self.facts.rules_fence + 1,
            fence=self.facts.fence + 1,
            generation=self.facts.generation + 1,
        )
        self._match_slots()

    def _match_slots(self) -> None:
        """Matching works out the slot groups of the targets; an open move holds those of its target from then on."""
        facts = self.facts
        rules = [
            SlotRule(policy.id, rule.id, rule.params.group_by)
            for policy in facts.policies.values()
            if not policy.observe
            for rule in policy.rules
            if isinstance(rule.params, concurrency.Params)
        ]
        targets = dict(facts.targets)
        for target in facts.targets.values():
            view = self.views.get(target.name, {"id": target.resource_id, "name": target.name})
            (keys,) = slot_keys_of(
                rules,
                [{**view, "metadata": self.labels.get(target.name, {})}],
                [facts.policy_sets.get(target.policy_set or "", ())],
                environment=facts.environments[target.environment_id].view,
                deployment={"id": facts.deployment_id, "name": facts.deployment_name},
            )
            if keys != target.slot_keys:
                targets[target.id] = replace(target, slot_keys=keys)
        changed = {target.id for target in facts.targets.values() if targets[target.id] is not target}
        moves = tuple(
            replace(move, slots=tuple(sorted(one.key for one in targets[move.target_id].slot_keys if one.key)))
            if move.open and move.target_id in changed
            else move
            for move in facts.moves
        )
        self.facts = replace(facts, targets=targets, moves=moves)

    def hold_elsewhere(self, key: str, held: int) -> None:
        """Other deployments hold so much of a slot group."""
        self._tick()
        self.held_elsewhere[key] = held

    def label(self, name: str, **labels: str) -> None:
        """A resource gets other metadata, so perhaps other slot groups, and another failure domain."""
        self._tick()
        self.labels[name] = labels
        self._match_slots()
        self._own(takes_away=True)

    def freeze(
        self,
        reason: str = "incident",
        *,
        environments: Iterable[str] | None = None,
        targets: Iterable[str] | None = None,
        expires_at: datetime | None = None,
    ) -> str:
        """Somebody says stop. Gives the freeze's id."""
        self._tick()
        freeze_id = derived_id("freeze", reason, self.now.isoformat())
        environment_ids = None if environments is None else frozenset(self.environment(e).id for e in environments)
        target_ids = None if targets is None else frozenset(self.target(name).id for name in targets)
        scope = "workspace" if environments is None else "environment"
        frozen = Freeze(freeze_id, scope, reason, self.now, "olga", expires_at, environment_ids, target_ids)
        self._rules(freezes=(*self.facts.freezes, frozen))
        return freeze_id

    def thaw(self, freeze_id: str) -> None:
        """A freeze ends."""
        self._tick()
        self._rules(freezes=tuple(one for one in self.facts.freezes if one.id != freeze_id))

    # Error budgets ----------------------------------------------------------------------------------------------------

    def read_budget(
        self,
        objective: str,
        budget: str,
        *,
        remaining: float | None = None,
        fresh_for: timedelta = timedelta(minutes=5),
        why: str = "",
    ) -> None:
        """An objective that covers the deployment was read: its error budget has this class now.

        Only another class is a fact that asks for a round, or one after the last reading had got too old; it takes
        something away where it is not better.
        """
        known = next((one for one in self.facts.budgets if one.name == objective), None)
        aged = known is not None and known.fresh_until is not None and self.now >= known.fresh_until
        changed = known is None or aged or known.budget != budget
        if changed:
            self._tick()
        unknown = budget == "unknown"
        read = ErrorBudget(
            slo_id=derived_id("slo", objective),
            name=objective,
            budget=budget,
            why=why,
            since=self.now if known is None or known.budget != budget else known.since,
            observed_at=None if unknown else self.now,
            fresh_until=None if unknown else self.now + fresh_for,
            remaining=None if unknown else remaining,
        )
        budgets = (*(one for one in self.facts.budgets if one.name != objective), read)
        if changed:
            self._own(takes_away=worsens(known.budget if known else None, budget), budgets=budgets)
        else:
            self.facts = replace(self.facts, budgets=budgets)

    def uncover(self, objective: str) -> None:
        """An objective covers the deployment no longer."""
        self._tick()
        self._own(takes_away=True, budgets=tuple(one for one in self.facts.budgets if one.name != objective))

    # Saturation -------------------------------------------------------------------------------------------------------

    def read_saturation(
        self, name: str, value: float, *, environment: str | None = None, fresh_for: timedelta = timedelta(minutes=5)
    ) -> None:
        """How full something is was read. Only another level, or one that was not known, is a fact that asks."""
        place = self.environment(environment).id if environment else None
        known = next((one for one in self.facts.saturations if (one.name, one.environment_id) == (name, place)), None)
        level = level_of(value, high_above=HIGH_ABOVE, saturated_above=SATURATED_ABOVE)
        changed = known is None or known.level != level or known.fresh_until <= self.now
        if changed:
            self._tick()
        since = self.now if known is None or changed else known.since
        read = Saturation(name, level, value, since, self.now, self.now + fresh_for, place)
        others = tuple(one for one in self.facts.saturations if one is not known)
        if changed:
            self._own(takes_away=True, saturations=(*others, read))
        else:
            self.facts = replace(self.facts, saturations=(*others, read))

    # Incidents --------------------------------------------------------------------------------------------------------

    def open_incident(
        self,
        title: str = "it answers 500",
        *,
        on: Iterable[str] | None = None,
        environments: Iterable[str] | None = None,
        lasts: timedelta = timedelta(hours=12),
    ) -> str:
        """An incident that gates is opened: on this deployment, or `on` others by their ids. Gives its id."""
        self._tick()
        incident_id = derived_id("incident", title, self.now.isoformat())
        environment_ids = None if environments is None else frozenset(self.environment(e).id for e in environments)
        about = frozenset([self.facts.deployment_id] if on is None else on)
        opened = Incident(incident_id, "pager", title, "critical", self.now, self.now + lasts, about, environment_ids)
        self._incidents(about, (*self.facts.incidents, opened))
        return incident_id

    def resolve_incident(self, incident_id: str) -> None:
        """An incident is over."""
        self._tick()
        one = next(one for one in self.facts.incidents if one.id == incident_id)
        kept = tuple(each for each in self.facts.incidents if each.id != incident_id)
        self._incidents(one.deployment_ids, kept, takes_away=False)

    def _incidents(self, about: frozenset[str], incidents: tuple[Incident, ...], *, takes_away: bool = True) -> None:
        """An own fact of the deployments that it is about. One of others makes nothing stale."""
        if self.facts.deployment_id in about:
            self._own(takes_away=takes_away, incidents=incidents)
        else:
            self.facts = replace(self.facts, incidents=incidents)

    # Overrides --------------------------------------------------------------------------------------------------------

    def pin(
        self,
        tag: str,
        *,
        environment: str | None = None,
        target: str | None = None,
        expires_at: datetime | None = None,
    ) -> str:
        """Somebody wants this version here. Gives the pin's id."""
        self._tick()
        pin_id = derived_id("pin", tag, self.now.isoformat())
        environment_id = self.environment(environment).id if environment else None
        target_id = self.target(target).id if target else None
        pin = Pin(pin_id, self.version(tag).id, self.now, environment_id, target_id, expires_at, "by hand", "olga")
        self._own(takes_away=True, pins=(*self.facts.pins, pin))
        return pin_id

    def remove_pin(self, pin_id: str) -> None:
        """A pin is removed: what is newer than what runs may be taken again."""
        self._tick()
        pin = next(one for one in self.facts.pins if one.id == pin_id)
        self._own(takes_away=True, pins=tuple(one for one in self.facts.pins if one.id != pin_id))
        self._forget_marks(
            target.id
            for target in self.facts.targets.values()
            if (pin.target_id in {None, target.id} and pin.environment_id in {None, target.environment_id})
        )

    def skip(
        self,
        rule_id: str,
        tag: str,
        *,
        environment: str | None = None,
        resource_id: str | None = None,
        expires_at: datetime | None = None,
    ) -> str:
        """A rule, every one of a kind, or a freeze is passed by hand for one version. Gives the skip's id."""
        self._tick()
        skip_id = derived_id("skip", rule_id, tag, self.now.isoformat())
        environment_id = self.environment(environment).id if environment else None
        version_id = self.version(tag).id
        skip = Skip(skip_id, rule_id, version_id, "by hand", self.now, environment_id, resource_id, expires_at, "olga")
        self._own(takes_away=False, skips=(*self.facts.skips, skip))
        return skip_id

    def order(
        self,
        kind: str,
        name: str,
        tag: str | None = None,
        *,
        when: str = "now",
        expires_at: datetime | None = None,
        scope: str = "target",
    ) -> str | None:
        """Somebody asks for a redeploy, a force or a rollback of one target. Gives the order's id; None: refused.

        Takes: `tag` is the version to force, or the one to go back to.
        """
        target = self.target(name)
        move = self.open_move(name)
        taken = any(one.kind == kind and one.target_id == target.id for one in self.facts.orders)
        if target.id not in self.facts.targets or taken or (kind == "redeploy" and when == "now" and move is not None):
            return None
        self._tick()
        order_id = derived_id("order", kind, target.id, self.now.isoformat())
        version_id = self.version(tag).id if tag is not None else None
        change_id = derived_id("change", order_id)
        release, undoes = None, None
        if kind == "redeploy":
            if target.current is None and move is None:
                return None
            version_id = version_id or (target.current.version_id if target.current else move.version_id)  # type: ignore[union-attr]
        elif kind == "force":
            change_id = self.version(tag or "").change_id
        else:
            leaves = target.current.version_id if target.current else None
            leaves = move.version_id if move is not None and move.started_at is not None else leaves
            release = self._goes_back_to(target, leaves, version_id)
            if release is None or leaves == version_id or (move is not None and move.kind == "rollback"):
                return None
            version_id = release.version_id
            undoes = move.id if move is not None else None
        assert version_id is not None, "a force names a version"
        order = Order(
            order_id, kind, target.id, version_id, change_id, self.now, release=release, when=when, scope=scope,
            reason="by hand", by="olga", expires_at=expires_at, undoes_move_id=undoes,
        )  # fmt: skip
        self._own(takes_away=kind != "redeploy", orders=(*self.facts.orders, order))
        if kind == "rollback" and leaves is not None:
            self._leave(target, leaves)
        return order_id

    def order_many(
        self,
        kind: str,
        tag: str | None = None,
        *,
        environment: str | None = None,
        leaves: str | None = None,
        when: str = "now",
        expires_at: datetime | None = None,
    ) -> int:
        """The same for an environment, or for all. Gives how many targets take it.

        Takes: `leaves` is the tag that goes back; without it and `tag`, each environment's newest version.
        """
        placed = 0
        for place in self.facts.environments.values():
            here = sorted(one.name for one in self.facts.targets.values() if one.environment_id == place.id)
            if environment not in {None, place.name, place.id} or not here:
                continue
            left = {name: self._leaves(name) for name in here}
            going = [version for version in left.values() if version is not None]
            newest = self.version(leaves) if leaves else max(going, key=lambda one: one.age_key, default=None)
            chosen = [name for name in here if kind != "rollback" or tag is not None or left[name] == newest]
            made = [
                self.order(kind, name, tag, when=when, expires_at=expires_at, scope="environment") for name in chosen
            ]
            placed += sum(order_id is not None for order_id in made)
            if kind == "rollback" and newest is not None and any(made):
                self._halt(newest, place)
        return placed

    def _leaves(self, name: str) -> Version | None:
        """What a rollback takes off a target: what was handed over to it and still moves, else what runs."""
        target, move = self.target(name), self.open_move(name)
        if move is not None and move.started_at is not None:
            return self.version(move.version_id)
        return self.version(target.current.version_id) if target.current is not None else None

    def _halt(self, version: Version, environment: Environment) -> None:
        """What an environment leaves starts nowhere in it any more."""
        rollouts = self.facts.rollouts
        mine = next(
            (one for one in rollouts if (one.version_id, one.environment_id) == (version.id, environment.id)), None
        )
        live = any(one.live and (one.environment_id, one.kind) == (environment.id, "version") for one in rollouts)
        if mine is not None and (mine.state in {"open", "paused"} or (mine.state == "complete" and not live)):
            halted = tuple(replace(one, state="halted") if one.id == mine.id else one for one in rollouts)
            self.facts = replace(self.facts, rollouts=halted)
            self._tell("rollout.halted", mine.id, "rolled_back")

    def _goes_back_to(self, target: Target, leaves: str | None, version_id: str | None) -> ReleaseRef | None:
        """The newest good release of another version, or of the one that is named."""
        bad = {one.version_id for one in self.facts.quarantines if one.target_id == target.id} | {leaves}
        known = self.good.get(target.id) or ([target.good] if target.good is not None else [])
        fitting = [
            one for one in known if (one.version_id not in bad if version_id is None else one.version_id == version_id)
        ]
        return fitting[-1] if fitting else None

    def _leave(self, target: Target, version_id: str) -> None:
        """A person takes a version off a target: it is in quarantine there, and no longer speaks for progression."""
        if all((one.target_id, one.version_id) != (target.id, version_id) for one in self.facts.quarantines):
            bad = Quarantine(target.id, version_id, None, None)
            self.facts = replace(self.facts, quarantines=(*self.facts.quarantines, bad))
        key = (target.id, version_id)
        landed = self.facts.landed_by_target_version.get(key)
        if landed is not None:
            left = {**self.facts.landed_by_target_version, key: replace(landed, left_at=self.now)}
            self.facts = replace(self.facts, landed_by_target_version=left)

    def withdraw_order(self, order_id: str) -> None:
        """Somebody takes an order back."""
        self._tick()
        self._own(takes_away=True, orders=tuple(one for one in self.facts.orders if one.id != order_id))

    def clear_quarantine(self, name: str) -> None:
        """An operator says that a target may take again what failed on it."""
        self._tick()
        target_id = self.target(name).id
        left = tuple(one for one in self.facts.quarantines if one.target_id != target_id)
        self._own(takes_away=False, quarantines=left)
        self._forget_marks((target_id,))

    def speed_up(
        self,
        rollout_id: str,
        *,
        interval_s: int | None = None,
        max_in_flight: int | None = None,
        bake_s: int | None = None,
    ) -> None:
        """A person lets a rollout go faster: each word replaces the one before on the same thing."""
        self._tick()

        def after(rollout: Rollout) -> Rollout:
            if rollout.id != rollout_id or not rollout.live:
                return rollout
            before = rollout.speed
            speed = Speed(
                interval_s if interval_s is not None else before.interval_s,
                max_in_flight if max_in_flight is not None else before.max_in_flight,
                bake_s if bake_s is not None else before.bake_s,
                before.promoted_at,
            )
            return replace(rollout, speed=speed)

        self._own(takes_away=True, rollouts=tuple(map(after, self.facts.rollouts)))

    def promote(self, rollout_id: str) -> None:
        """A person lets all that is left of a rollout start at once; a halt before it is forgiven."""
        self.set_rollout(rollout_id, "open")
        at = self.now

        def after(rollout: Rollout) -> Rollout:
            if rollout.id != rollout_id or not rollout.live:
                return rollout
            return replace(rollout, speed=replace(rollout.speed, promoted_at=rollout.speed.promoted_at or at))

        self.facts = replace(self.facts, rollouts=tuple(map(after, self.facts.rollouts)))

    def set_rollout(self, rollout_id: str, state: str, *, until: datetime | None = None) -> None:
        """A person pauses (perhaps until an instant), resumes or aborts a rollout.

        Resumed, it forgives the failures that it saw.
        """
        self._tick()
        failed = {
            move.target_id for move in self.facts.moves if move.rollout_id == rollout_id and move.state == "failed"
        }

        def after(rollout: Rollout) -> Rollout:
            if rollout.id != rollout_id or not rollout.live:
                return rollout
            forgiven = len(failed) if state == "open" else rollout.failures_forgiven
            proofs = forgiven_proofs(rollout.proofs) if state == "open" else rollout.proofs
            proofs = proofs if state in LIVE else ()
            return replace(rollout, state=state, failures_forgiven=forgiven, paused_until=until, proofs=proofs)

        rollouts = tuple(after(rollout) for rollout in self.facts.rollouts)
        self._own(takes_away=True, rollouts=rollouts)
        self.facts = replace(self.facts, moves=loaded_moves(self.facts.moves, rollouts, self.facts.pins))

    # Inventory --------------------------------------------------------------------------------------------------------

    def attach(
        self, name: str, environment: str, *, policy_set: str | None, config_digest: str | None = "config-1"
    ) -> Target:
        """A resource joins an environment, or comes back."""
        self._tick()
        environment_id = self.environment(environment).id
        resource_id = derived_id("resource", name)
        target_id = derived_id("target", resource_id, environment_id)
        known = self.detached.pop(target_id, None) or self.facts.leaving.get(target_id)
        joined = known or Target(target_id, environment_id, resource_id, self.now, policy_set, "one", config_digest)
        joined = replace(joined, name=name, attached_at=self.now, detached_at=None, policy_set=policy_set)
        leaving = {key: one for key, one in self.facts.leaving.items() if key != target_id}
        self._own(takes_away=False, targets={**self.facts.targets, target_id: joined}, leaving=leaving)
        self._match_slots()
        return self.facts.targets[target_id]

    def detach(self, name: str) -> None:
        """A resource leaves."""
        self._tick()
        target = replace(self.target(name), detached_at=self.now, slot_keys=())
        targets = {key: one for key, one in self.facts.targets.items() if key != target.id}
        self.detached[target.id] = target
        self._own(takes_away=True, targets=targets, leaving={**self.facts.leaving, target.id: target})

    def delete_environment(self, name: str) -> None:
        """An environment is deleted: its targets leave, its live rollouts, orders, pins and skips end, and jobs that
        somebody has are asked to stop. As `store/deletions.py`.
        """
        self._tick()
        self._delete(frozenset({self.environment(name).id}))

    def delete_deployment(self) -> None:
        """The deployment is deleted: as every environment at once. Its rounds go on until nothing of it is open."""
        self._tick()
        self._delete(frozenset(self.facts.environments))

    def _delete(self, environment_ids: frozenset[str]) -> None:
        facts = self.facts
        gone = {
            one.id: replace(one, detached_at=self.now, slot_keys=())
            for one in facts.targets.values()
            if one.environment_id in environment_ids
        }
        rollouts = tuple(
            replace(one, state="aborted", proofs=()) if one.live and one.environment_id in environment_ids else one
            for one in facts.rollouts
        )
        for move, job in self.jobs(lambda one: not one.status.terminal and not one.ours and not one.cancel_asked):
            if move.environment_id in environment_ids:
                self._set_job(move.id, replace(job, cancel_asked=True))
        self.detached.update(gone)
        self._own(
            takes_away=True,
            environments={key: one for key, one in facts.environments.items() if key not in environment_ids},
            targets={key: one for key, one in facts.targets.items() if key not in gone},
            leaving={**facts.leaving, **gone},
            rollouts=rollouts,
            orders=tuple(one for one in facts.orders if one.target_id not in gone),
            pins=tuple(
                one for one in facts.pins if one.environment_id not in environment_ids and one.target_id not in gone
            ),
            skips=tuple(one for one in facts.skips if one.environment_id not in environment_ids),
        )
        self.facts = replace(self.facts, moves=loaded_moves(self.facts.moves, rollouts, self.facts.pins))

    def edit_target(
        self,
        name: str,
        *,
        agent: str | None = None,
        config_digest: str | None = None,
        policy_set: str | None = None,
    ) -> None:
        """Matching found another agent, config or set of policies for a target."""
        self._tick()
        target = self.facts.targets[self.target(name).id]
        edited = replace(
            target,
            agent=agent or target.agent,
            config_digest=config_digest or target.config_digest,
            policy_set=policy_set or target.policy_set,
        )
        self._own(takes_away=True, targets={**self.facts.targets, target.id: edited})
        self._match_slots()

    # Jobs -------------------------------------------------------------------------------------------------------------

    def may_hand_over(self, job_id: str) -> bool:
        """Whether the decision behind a job still holds."""
        valid_until = self.valid_until_by_job.get(job_id)
        undecided = self.decided != (self.facts.fence, self.facts.rules_fence)
        return not undecided and (valid_until is None or self.now < valid_until)

    def hand_over(self, job_id: str, *, handover: Handover = Handover.STARTED) -> bool:
        """Give a job to its agent. Says whether that was allowed."""
        move, job = self._job(job_id)
        fresh = job.status is JobStatus.PENDING and job.handover is Handover.WAITING and not job.cancel_asked
        claimed = job.status is JobStatus.QUEUED and not job.cancel_asked
        if not (fresh or claimed) or not self.may_hand_over(job_id):
            return False
        self._tick()
        self._started(move)
        status = JobStatus.IN_PROGRESS if claimed else job.status
        self._set_job(move.id, replace(job, handover=handover, status=status))
        self._tell("job.handed_over", job_id)
        return True

    def settle_hand_over(self, job_id: str, handover: Handover) -> None:
        """It is known now what became of a hand-over."""
        self._tick()
        move, job = self._job(job_id)
        self._set_job(move.id, replace(job, handover=handover))

    def offer(self, job_id: str) -> bool:
        """Put a pull agent's job where it is asked for."""
        move, job = self._job(job_id)
        if job.status is not JobStatus.PENDING or job.handover is not Handover.WAITING or job.cancel_asked:
            return False
        self._tick()
        self._set_job(move.id, replace(job, status=JobStatus.QUEUED))
        self._own(takes_away=False)
        return True

    def hear(self, job_id: str, status: JobStatus, message: str | None = None, *, confirmable: bool = False) -> bool:
        """The outside says how a job goes. Says whether that was news; what comes late changes nothing.

        Takes: `confirmable`: it was planned, and waits to be confirmed.
        """
        found = next(((move, job) for move in self.facts.moves for job in move.jobs if job.id == job_id), None)
        if found is None or status not in (*TRANSITIONS[found[1].status], found[1].status):
            return False
        move, job = found
        confirm = confirm_heard(job.confirm, confirmable=confirmable)
        if (status, confirm) == (job.status, job.confirm):
            return False
        if confirmable and job.confirm in {Confirm.GIVING, Confirm.GIVEN}:
            return False  # it is older than our yes
        self._tick()
        if job.handover is Handover.WAITING and status.terminal:
            self._mark(move)  # it ended before anybody had it: that was its attempt
        ended_at = self.now if status.terminal else job.completed_at
        heard = replace(job, status=status, completed_at=ended_at, message=message or job.message, confirm=confirm)
        self._set_job(move.id, heard)
        self._own(takes_away=status.terminal and status is not JobStatus.SUCCESSFUL)
        self._tell(f"job.{status.value}", job_id, message or "")
        return True

    def begin_confirm(self, job_id: str) -> bool:
        """Somebody is about to confirm a planned run. Says whether that is allowed."""
        move, job = self._job(job_id)
        if not job.awaits_confirm or job.confirm is not Confirm.GRANTED or not self.may_hand_over(job_id):
            return False
        self._tick()
        self._set_job(move.id, replace(job, confirm=Confirm.GIVING))
        return True

    def settle_confirm(self, job_id: str, confirm: Confirm) -> None:
        """It is known now what became of a confirm: given, refused, or it never arrived and is asked again."""
        self._tick()
        move, job = self._job(job_id)
        if job.confirm is Confirm.GIVING:
            self._set_job(move.id, replace(job, confirm=confirm))
            self._own(takes_away=False)
            self._tell(f"job.confirm_{confirm.value}", job_id)

    def measure(self, verification_id: str, position: int, measurement: Measurement) -> datetime | None:
        """One measurement of a running verification's metric. It asks for no round: an end does.

        Gives: when this metric is due again, or the hold that it came to; None when it is over.
        """
        move = next((one for one, running in self.running_verifications() if running.id == verification_id), None)
        if move is None and all(proof.id != verification_id for _, proof in self.running_proofs()):
            return None
        of = self.measuring[verification_id]
        of.measurements[position].append(measurement)
        if move is not None and measurement.status in _counts(of.metrics[position]):
            self.samples[move.id] = self.samples.get(move.id, 0) + 1
        progress = of.progress()
        if progress.state.final:
            ended_at = progress.decided_at
            self.measured(verification_id, progress.state.value, progress.reason, samples=0, ended_at=ended_at)
            return self.hold_due_at(verification_id)
        return progress.metrics[position].next_at

    def measured(
        self,
        verification_id: str,
        state: str,
        message: str | None = None,
        *,
        samples: int = 1,
        ended_at: datetime | None = None,
    ) -> bool:
        """A verification ended after so many measurements that passed or failed. Says whether it still ran.

        What could not tell comes to what its rules say; where they hold, it waits.
        """
        if self._proven(verification_id, state, message, ended_at):
            return True
        begun = self.begun.get(verification_id)
        held_until, holds = None, False
        if state == "inconclusive" and begun is not None and begun.terms.gates:
            words = {spec.on_inconclusive for _, spec in begun.metrics}
            holds = OnInconclusive.HOLD in words
            if not holds:
                state = "failed" if OnInconclusive.FAIL in words else "passed"
            else:
                held_until = self._hold(verification_id, begun.terms, ended_at or self.now)
                if held_until is not None and held_until <= (ended_at or self.now):
                    state, message = self._over(verification_id, begun.terms, message, ended_at or self.now)
                    held_until, holds = None, False
        return self._judged(
            verification_id,
            state,
            message,
            samples=samples,
            before="running",
            holds=holds,
            held_until=held_until,
            ended_at=ended_at,
        )

    def _hold(self, verification_id: str, terms: Terms, at: datetime) -> datetime | None:
        """It holds from the first time on that nothing could tell. Gives until when; None: a person ends it."""
        since = self.held_since.setdefault(verification_id, at)
        self.again_at.pop(verification_id, None)
        if terms.again_s is not None:
            self.again_at[verification_id] = at + timedelta(seconds=terms.again_s)
        return None if terms.hold_s is None else since + timedelta(seconds=terms.hold_s)

    def _over(self, verification_id: str, terms: Terms, message: str | None, at: datetime) -> tuple[str, str]:
        """What a hold comes to when its time is over, and what is said of it."""
        since_s = (at - self.held_since.get(verification_id, at)).total_seconds()
        said = f"nothing could tell for {since_s:,.0f} s, which its policy takes for a {terms.then.value}: {message}"
        return "passed" if terms.then is OnInconclusive.PASS else "failed", said

    def hold_due_at(self, verification_id: str) -> datetime | None:
        """When a hold goes on by itself; None where nothing holds, or only a person ends it."""
        for _, one in self.held_verifications():
            if one.id == verification_id:
                return min((at for at in (one.held_until, self.again_at.get(one.id)) if at is not None), default=None)
        return None

    def settle_hold(self, verification_id: str) -> None:
        """A hold goes on by itself: it is over, or is measured again, where its rules say so and it is time."""
        begun = self.begun.get(verification_id)
        for _, one in self.held_verifications():
            if one.id != verification_id or begun is None:
                continue
            again_at = self.again_at.get(one.id)
            if one.held_until is not None and one.held_until <= self.now:
                self.judge_held(one.id, *self._over(one.id, begun.terms, one.message, self.now))
            elif again_at is not None and again_at <= self.now:
                self.measure_again(one.id)

    def measure_again(self, verification_id: str) -> bool:
        """What could not tell is measured again, but for the metrics that passed. Says whether it still held."""
        of = self.measuring.get(verification_id)
        held = next((one for _, one in self.held_verifications() if one.id == verification_id), None)
        if held is None:
            return False
        if of is not None:
            done = [one.state is VerificationState.PASSED for one in of.progress().metrics]
            kept = tuple(mine if over else [] for mine, over in zip(of.measurements, done, strict=True))
            move = next(move for move, one in self.held_verifications() if one.id == verification_id)
            gone = sum(
                one.status in _counts(spec)
                for spec, mine, left in zip(of.metrics, of.measurements, kept, strict=True)
                if mine is not left
                for one in mine
            )
            self.samples[move.id] = self.samples.get(move.id, 0) - gone
            shares = self._tests_again(move, of, done)
            self.measuring[verification_id] = replace(of, started_at=self.now, measurements=kept, alpha_shares=shares)
        return self.judge_held(verification_id, "running", held.message)

    def _tests_again(self, move: Move, of: Measuring, done: Sequence[bool]) -> tuple[float | None, ...]:
        """The parts of α: each sequential metric that begins anew is one more of its rollout's tests."""
        rollout = next((one for one in self.facts.rollouts if one.id == move.rollout_id), None)
        if rollout is None:
            return of.alpha_shares
        number, shares = rollout.tests_begun, list(of.alpha_shares)
        for place, share in enumerate(of.alpha_shares):
            if share is not None and not done[place]:
                number += 1
                shares[place] = float(alpha_share(number, rollout.tests_planned))
        begun = replace(rollout, tests_begun=number)
        rollouts = tuple(begun if one.id == rollout.id else one for one in self.facts.rollouts)
        self.facts = replace(self.facts, rollouts=rollouts)
        return tuple(shares)

    def judge_held(self, verification_id: str, state: str, message: str | None = None) -> bool:
        """What could not tell is accepted, failed, or measured again (`running`). Says whether it still held."""
        return self._judged(verification_id, state, message, before="inconclusive", holds=state == "running")

    def held_verifications(self) -> tuple[tuple[Move, Verification], ...]:
        """Verifications of open moves that could not tell, and hold."""
        found = [(move, one) for move in self.facts.moves for one in move.verifications if one.held]
        return tuple(sorted(found, key=lambda one: one[1].id))

    def _judged(
        self,
        verification_id: str,
        state: str,
        message: str | None,
        *,
        before: str,
        samples: int = 0,
        holds: bool = False,
        held_until: datetime | None = None,
        ended_at: datetime | None = None,
    ) -> bool:
        for move in self.facts.moves:
            for one in move.verifications:
                if one.id == verification_id and one.state == before and one.ended_at is None:
                    self._tick()
                    over_at = None if holds else ended_at or self.now
                    ended = replace(one, state=state, ended_at=over_at, message=message, held_until=held_until)
                    rest = tuple(ended if other.id == one.id else other for other in move.verifications)
                    self._set_move(replace(move, verifications=rest))
                    if samples:
                        self.samples[move.id] = self.samples.get(move.id, 0) + samples
                    self._own(takes_away=state not in {"passed", "running"})
                    self._tell(
                        f"verification.{'again' if state == 'running' else state}", verification_id, message or ""
                    )
                    return True
        return False

    def _proven(self, verification_id: str, state: str, message: str | None, ended_at: datetime | None) -> bool:
        """A proof of a rollout ended. Says whether there was such a one that ran."""
        for rollout, proof in self.running_proofs():
            if proof.id == verification_id:
                self._tick()
                ended = replace(proof, state=state, ended_at=ended_at or self.now, message=message)
                proofs = tuple(ended if one.id == proof.id else one for one in rollout.proofs)
                rollouts = tuple(
                    replace(one, proofs=proofs) if one.id == rollout.id else one for one in self.facts.rollouts
                )
                self._own(takes_away=state != "passed", rollouts=rollouts)
                self._tell(f"verification.{state}", verification_id, message or "")
                return True
        return False

    # -----------------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self.now += TICK
        self.facts_told += 1

    def _own(self, *, takes_away: bool, **changed: object) -> None:
        """An own fact: the generation goes up, and the fence when it can take something away."""
        generation, fence = self.facts.generation + 1, self.facts.fence + takes_away
        self.facts = replace(self.facts, generation=generation, fence=fence, **changed)  # type: ignore[arg-type]

    def _rules(self, **changed: object) -> None:
        """A rule of the workspace."""
        self.facts = replace(self.facts, rules_fence=self.facts.rules_fence + 1, **changed)  # type: ignore[arg-type]

    def _tell(self, kind: str, subject: str, words: str = "") -> None:
        self.ledger.append(Told(self.now, kind, subject, words))

    def _job(self, job_id: str) -> tuple[Move, Job]:
        for move in self.facts.moves:
            for job in move.jobs:
                if job.id == job_id:
                    return move, job
        raise NotFound(f"There is no job {job_id}.")

    def _set_job(self, move_id: str, job: Job) -> None:
        move = next(one for one in self.facts.moves if one.id == move_id)
        self._set_move(replace(move, jobs=tuple(job if one.id == job.id else one for one in move.jobs)))

    def _set_move(self, move: Move) -> None:
        self.facts = replace(self.facts, moves=tuple(move if one.id == move.id else one for one in self.facts.moves))

    def _started(self, move: Move) -> None:
        """A move is handed over: the target has been given this version."""
        if move.state == "admitted":
            self._set_move(replace(move, state="running", started_at=self.now))
        self._mark(move)

    def _mark(self, move: Move) -> None:
        """The mark only goes forward."""
        for targets in ("targets", "leaving"):
            known: Mapping[str, Target] = getattr(self.facts, targets)
            target = known.get(move.target_id)
            if target is None:
                continue
            mark = self.version(target.mark) if target.mark else None
            version = self.version(move.version_id)
            newest = version if mark is None or version.age_key > mark.age_key else mark
            marked = replace(target, mark=newest.id, last_started_at=self.now)
            changed: dict[str, Mapping[str, Target]] = {targets: {**known, target.id: marked}}
            self.facts = replace(self.facts, **changed)  # type: ignore[arg-type]

    def _forget_marks(self, target_ids: Iterable[str]) -> None:
        """Newer versions than what runs may be taken again."""
        targets = dict(self.facts.targets)
        for target_id in target_ids:
            target = targets.get(target_id)
            if target is not None:
                targets[target_id] = replace(target, mark=target.current.version_id if target.current else None)
        self.facts = replace(self.facts, targets=targets)


def policy(
    name: str,
    rules: Iterable[Mapping[str, object]],
    *,
    observe: bool = False,
    first_stored_at: datetime | None = None,
) -> Policy:
    """A policy as the store gives it: rules from the wire, each with an id, its policy and when it was first stored."""
    policy_id = derived_id("policy", name)
    parsed = parse_rules(list(rules))
    numbered = tuple(
        replace(rule, id=rule.id or f"{policy_id}#{number}", policy_id=policy_id, first_stored_at=first_stored_at)
        for number, rule in enumerate(parsed)
    )
    return Policy(policy_id, name, derived_id("revision", policy_id), numbered, observe)


def _told(plan: Plan, now: datetime) -> list[Told]:
    """The ledger's lines of one round, in the order in which a person would tell it."""
    lines = [Told(now, f"move.{end.state}", end.move_id, end.reason) for end in plan.ends]
    lines += [Told(now, "job.withdrawn", job_id) for job_id in plan.withdrawn_jobs]
    lines += [Told(now, "move.applied", move_id) for move_id in plan.verifying]
    lines += [Told(now, "quarantine.set", one.move_id) for one in plan.quarantines]
    lines += [Told(now, "rollback.escalated", one.move_id) for one in plan.escalations]
    lines += [Told(now, "order.placed", order.id, order.kind) for order in plan.orders]
    lines += [Told(now, f"order.{end.state}", end.order_id, end.reason) for end in plan.order_ends]
    lines += [Told(now, "rollout.opened", rollout.id) for rollout in plan.rollouts]
    lines += [Told(now, f"rollout.{state.state}", state.rollout_id, state.reason) for state in plan.rollout_states]
    lines += [Told(now, "approval.requested", request.id) for request in plan.requests]
    lines += [Told(now, "move.admitted", move.id, move.kind) for move in plan.moves]
    lines += [Told(now, "job.created", made.job.id) for made in plan.jobs]
    lines += [Told(now, "verification.started", begun.verification.id) for begun in plan.verifications]
    lines += [Told(now, "verification.started", begun.proof.id) for begun in plan.proofs]
    lines += [Told(now, "job.confirm_admitted", one.job_id) for one in plan.confirms]
    lines += [Told(now, "job.confirm_held", job_id) for job_id in plan.unconfirms]
    lines += [Told(now, "job.cancel_asked", cancel.job_id, cancel.reason) for cancel in plan.cancels]
    return lines

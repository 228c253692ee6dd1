"""May this move start? Every gate is asked about moves, never about positions.

Which kind of move asks which gate is the table `ASKED`. Rules over an environment and version are evaluated once for
all targets that share a policy set; rules over a target once a target. A rule that raises becomes `unknown` with its
name. A skip passes one rule for one version. Observed policies are recorded, and bar nothing.

A gate's hold lets the next older candidate try. A person is asked (an approval request) only for the newest version
that nothing else holds.

Source: core.md section 4 (the table, stages, verdicts).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from interlock.decide.candidates import DEPLOYABLE, Candidates
from interlock.decide.effects import percent_of
from interlock.decide.facts import Move, Order, Rollout, Skip, Target, Version
from interlock.decide.index import Index
from interlock.decide.orders import brought_version, waiting_words
from interlock.decide.plan import Decision
from interlock.decide.react import last_outcome, retry_due
from interlock.decide.record import Recorder
from interlock.decide.rules import RULE_BY_KIND, RULES, deployment_dependency, freeze, incident, version_dependency
from interlock.decide.subjects import EnvironmentVersion, TargetMove
from interlock.decide.unclear import unclear_words
from interlock.decide.verdict import STAGES, Judged, Stage, WaitsFor, earliest, guarded, holds, passes, skipped, unknown
from interlock.model.job import Confirm, JobStatus
from interlock.model.policy import Policy, Rule

GATES = tuple(rule.kind for rule in RULES if rule.shape == "gate")

ASKED: Mapping[str, frozenset[str]] = {
    "forward": frozenset(GATES),
    "pin": frozenset(GATES),
    "config": frozenset({"freeze", "incident", "deploymentWindow"}),
    "retry": frozenset({"freeze", "incident", "deploymentWindow"}),
    "redeploy": frozenset({"freeze", "deploymentWindow"}),
    "rollback": frozenset(),
    "force": frozenset(),
}
"""Kind of move -> the gates it asks. Paces are in `pace.PACED`."""


def asks(kind: str, rule: Rule) -> bool:
    """Whether a kind of move asks a gate: by the table, and by what the rule itself applies to."""
    if kind == "config":
        return rule.kind in ASKED[kind] or (rule.kind in ASKED["forward"] and rule.applies_to != "version")
    return rule.kind in ASKED[kind] and rule.applies_to != "config"


STATUS_ASKED = frozenset({"pin", "retry"})
"""Kinds of move that ask for the version's status here; for `forward` a version that is not ready is no candidate."""

RETRIED_AS: Mapping[str, str] = {"rollback": "rollback", "force": "force", "redeploy": "redeploy"}
"""Kind of move -> the kind as which its next attempt is judged; the others ask what `retry` does."""

ASKED_AHEAD = frozenset({"deploymentWindow", "versionCooldown"})
"""Readiness gates that only wait for the clock: an approval may be asked for while they hold."""

REASONS = {
    "not_matched_yet": "The target's policies are still being worked out.",
    "no_agent": "No job agent is picked for this target.",
    "ambiguous_agent": "Several job agents are picked for this target; exactly one must be.",
    "rule_error": "The rule could not be evaluated: {error}.",
    "skipped": "Skipped by {by} since {since}: {why}. The skip {until}.",
    "pin_in_force": "Pinned to {version} ({scope}) by {by} since {since}: {why}. The pin {until}.",
    "version_not_ready": "The version's status is {status}; only ready versions start.",
    "run_waits": "Its run is planned, and is confirmed when nothing holds it.",
    "confirm_refused": "Its run is planned, and its tool did not take the confirmation.",
    "retry_backoff": "Attempt {attempt} failed; it is tried again at {due_at}.",
}

GIVEN_UP = frozenset({"rejected", "failed"})
"""A version with one of these goes nowhere any more; one that is paused keeps its rollouts."""

ORDER = {rule.kind: number for number, rule in enumerate(RULES)}

SCOPES: Mapping[str, str] = {
    rule.kind: str(rule.evaluate.__annotations__["subject"]) for rule in RULES if rule.shape == "gate"
}
"""Rule kind -> the type of its first parameter: scope is a signature."""


@dataclass(frozen=True, slots=True)
class Shared:
    """The verdicts that all targets of one environment, version and policy set share, and the decision that holds them.

    `bars` are those that keep a move from starting.
    """

    judged: tuple[Judged, ...]
    decision: Decision
    bars: tuple[Judged, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """What a target goes for: the first candidate whose gates all pass, or what an order brings.

    Takes: `judged` are the verdicts on it alone.
    """

    kind: str
    version: Version
    decision: Decision
    judged: tuple[Judged, ...] = ()
    order: Order | None = None

    @property
    def valid_until(self) -> datetime | None:
        """Until when the verdicts that let it pass hold, by time alone; never past the end of its order."""
        ends_at = self.order.expires_at if self.order is not None else None
        if not self.judged:
            return earliest((self.decision.valid_until, ends_at))
        own = (one.verdict.changes_at for one in self.judged if not one.observed)
        return earliest((self.decision.valid_until, ends_at, *own))


@dataclass(frozen=True, slots=True)
class Held:
    """A candidate that something holds."""

    kind: str
    version: Version
    decision: Decision
    judged: tuple[Judged, ...] = ()


@dataclass(frozen=True, slots=True)
class Asking:
    """One target's answer. `move` is its open move when that still is ours to withdraw, or waits for a retry."""

    target: Target
    choice: Choice | None
    held: tuple[Held, ...] = ()
    move: Move | None = None
    retrying: bool = False


@dataclass(frozen=True, slots=True)
class Confirming:
    """A target whose run was planned and waits to be confirmed, judged again as the move that it completes.

    Takes: `choice` or `held`, as its gates answer. `discard` is why the run shall end instead; None: it shall not.
           `judged` is what there is to say beside it.
    """

    target: Target
    move: Move
    choice: Choice | None
    held: Held | None
    discard: str | None
    judged: tuple[Judged, ...]


@dataclass(slots=True)
class Asked:
    """The answers of one round.

    `judgements`: (environment, policy set, kind of move) -> the newest version that only a person holds, and what is
    missing. `occupied`: targets whose move is not ours any more, each with what there is to say beside it.
    `confirming`: target id -> its run that waits to be confirmed, which is ours in so far.
    """

    by_target: dict[str, Asking] = field(default_factory=dict)
    judgements: dict[tuple[str, str, str], tuple[Version, tuple[Judged, ...]]] = field(default_factory=dict)
    occupied: list[tuple[Target, Move, tuple[Judged, ...]]] = field(default_factory=list)
    confirming: dict[str, Confirming] = field(default_factory=dict)


Answer = tuple[Choice | None, tuple[Held, ...]]


class Gates:
    """Asks the gates for all targets of a deployment."""

    def __init__(self, index: Index, recorder: Recorder, candidates: Candidates, now: datetime) -> None:
        self.index = index
        self.recorder = recorder
        self.candidates = candidates
        self.now = now
        self._shared: dict[tuple[str, str, str | None, str], Shared] = {}
        self._caps: dict[tuple[str, str, str | None, str], int] = {}
        self.may_cap = any(
            getattr(RULE_BY_KIND[rule.kind], "caps", False)
            for policy in index.facts.policies.values()
            for rule in policy.rules
        )
        self._simple: dict[tuple[str, str | None, str | None], Answer] = {}
        self._target_rules: dict[str | None, tuple[tuple[Rule, Policy], ...]] = {}
        self._target_freezes = any(one.target_ids is not None for one in index.facts.freezes)
        self._dependent = any(version.dependencies for version in index.facts.versions)
        self._grouped: dict[tuple[object, ...], Judged] = {}
        self._skips: dict[tuple[str, str], tuple[Skip, ...]] = {}
        for skip in sorted(index.facts.skips, key=_longest_first):
            if skip.expires_at is None or now < skip.expires_at:
                key = (skip.rule_id, skip.version_id)
                self._skips[key] = (*self._skips.get(key, ()), skip)
        self._skipping_resources = frozenset(
            one.resource_id for one in index.facts.skips if one.resource_id is not None
        )
        self._all_plain = index.facts.policies_matched and not (
            self._target_freezes or self._skipping_resources or self._dependent or index.facts.pins or index.quarantined
        )

    def ask(self, only: Container[str] | None = None) -> Asked:
        """Every attached target's answer; with `only`, those of some."""
        asked = Asked()
        open_moves = self.index.open_move_by_target
        for target in self.index.targets_in_order:
            if only is not None and target.id not in only:
                continue
            move, order = open_moves.get(target.id), self.index.order_of(target)
            if order is not None and self._has_its_turn(order, target, move):
                asked.by_target[target.id] = self._ordered(order, target, move, asked)
            elif move is None:
                asked.by_target[target.id] = self._free(target, asked)
            elif _ours(move):
                asked.by_target[target.id] = self._again(target, move, asked)
            elif move.jobs[-1].awaits_confirm:
                asked.confirming[target.id] = self._confirming(target, move, asked)
            elif self._waits_for_retry(target, move):
                asked.by_target[target.id] = self._retry(target, move, asked)
            else:
                words = waiting_words(self.index, target, move) if order is not None or move.reason is not None else ()
                words = (*words, *_refused(move), *unclear_words(self.index, move))
                self.recorder.wake(one.verdict.changes_at for one in words)
                asked.occupied.append((target, move, words))
        return asked

    # Orders -----------------------------------------------------------------------------------------------------------

    def _has_its_turn(self, order: Order, target: Target, move: Move | None) -> bool:
        """Whether a target may follow an order now: it is free, or what waits there answers it or makes way.

        Why:    a rollback's way is made by the reactions; a force goes before everything that nobody has yet.
        """
        if move is None:
            return True
        if move.order_id == order.id:
            return _withdrawable(move)
        return order.kind == "force" and (_ours(move) or self._waits_for_retry(target, move))

    def _ordered(self, order: Order, target: Target, move: Move | None, asked: Asked) -> Asking:
        """What an order makes of its target. While a gate holds a redeploy, what else is admitted may go."""
        version = self.index.version_by_id.get(brought_version(order, target) or "")
        if version is None:
            return replace(self._free(target, asked), move=move)
        answer, _ = self._judged(target, version, order.kind)
        if isinstance(answer, Choice):
            return Asking(target, replace(answer, order=order), (), move)
        if order.kind != "redeploy":
            return Asking(target, None, (answer,), move)
        free = self._free(target, asked)
        return Asking(target, free.choice, (answer, *free.held), move)

    # One environment and version --------------------------------------------------------------------------------------

    def shared(self, environment_id: str, version: Version, policy_set: str | None, kind: str) -> Shared:
        """What all targets of a policy set are told about one version in one environment."""
        key = (environment_id, version.id, policy_set, kind)
        if key not in self._shared:
            judged = self._judge(environment_id, version, policy_set, kind)
            decision = self.recorder.decide(
                kind=kind, environment_id=environment_id, version_id=version.id, policy_set=policy_set, judged=judged
            )
            self._shared[key] = Shared(judged, decision, tuple(one for one in judged if one.bars))
        return self._shared[key]

    def _judge(self, environment_id: str, version: Version, policy_set: str | None, kind: str) -> tuple[Judged, ...]:
        asked = ASKED[kind]
        subject = EnvironmentVersion(self.index, self.index.facts.environments[environment_id], version, kind)
        found: list[Judged] = []
        if freeze.kind in asked:
            found.extend(self._judge_freezes(subject, environment_id, None))
        if self.index.facts.incidents and incident.kind in asked:
            one = self._judge_incidents(subject, policy_set)
            found.append(self._skipped(one, version, environment_id, None))
        if kind in STATUS_ASKED and version.status != DEPLOYABLE:
            found.append(_not_ready(version))
        joint: dict[tuple[str, bool], list[tuple[Rule, Policy]]] = {}
        for policy in self.index.policies_of(policy_set):
            for rule in policy.rules:
                if not asks(kind, rule) or SCOPES[rule.kind] != "EnvironmentVersion":
                    continue
                module = RULE_BY_KIND[rule.kind]
                if getattr(module, "joint", False):
                    joint.setdefault((rule.kind, policy.observe), []).append((rule, policy))
                    continue
                found.append(self._skipped(self._judge_one(subject, rule, policy), version, environment_id, None))
        for rules in joint.values():
            found.extend(self._judge_jointly(subject, rules, None))
        return tuple(sorted(found, key=_in_order))

    def _judge_one(self, subject: EnvironmentVersion, rule: Rule, policy: Policy) -> Judged:
        """What one rule says. Where nothing but people's approvals is missing it is a judgement, whatever the rule."""
        module = RULE_BY_KIND[rule.kind]
        verdict = guarded(module.evaluate, subject, rule.params, self.now)
        stage = Stage.JUDGEMENT if verdict.asks else module.stage
        return Judged(rule.kind, verdict, stage, (rule.id,), policy.id, policy.name, policy.observe)

    def cap(self, environment_id: str, version: Version, policy_set: str | None, kind: str) -> int:
        """How many percent of each wave may go at once, by the rules whose verdicts may say so (`effects`).

        Why:    it is asked of every set of policies in a rollout, whoever wants to start just now: a cap that ended
                when the last who wanted had started would let others start in the same instant.
        """
        key = (environment_id, version.id, policy_set, kind)
        if key not in self._caps:
            subject = EnvironmentVersion(self.index, self.index.facts.environments[environment_id], version, kind)
            judged = [
                self._skipped(self._judge_one(subject, rule, policy), version, environment_id, None)
                for policy in self.index.policies_of(policy_set)
                for rule in policy.rules
                if not policy.observe and asks(kind, rule) and getattr(RULE_BY_KIND[rule.kind], "caps", False)
            ]
            self.recorder.wake(one.verdict.changes_at for one in judged)
            self._caps[key] = min((percent_of(one.verdict) for one in judged), default=100)
        return self._caps[key]

    def caps(self, rollout: Rollout) -> dict[str | None, int]:
        """Policy set -> the pace cap that its rules oblige a rollout to, of all targets there; 100 is left out.

        Why:    promoting a rollout is for those who know better than the cap.
        """
        if rollout.speed.promoted_at is not None or not self.may_cap:
            return {}
        kind = "config" if rollout.kind == "config" else "forward"
        found: dict[str | None, int] = {}
        asked: set[tuple[str | None, str]] = set()
        for target in self.index.targets_by_environment.get(rollout.environment_id, ()):
            version_id = rollout.version_id or (target.current.version_id if target.current else None)
            version = self.index.version_by_id.get(version_id or "")
            if version is None or (target.policy_set, version.id) in asked:
                continue
            asked.add((target.policy_set, version.id))
            percent = self.cap(rollout.environment_id, version, target.policy_set, kind)
            if percent < 100:
                found[target.policy_set] = min(percent, found.get(target.policy_set, 100))
        return found

    def _judge_jointly(
        self, subject: EnvironmentVersion, rules: Sequence[tuple[Rule, Policy]], resource_id: str | None
    ) -> list[Judged]:
        """One verdict over several rules of a kind; those that are skipped are told apart, and no part of it."""
        kept = [(rule, policy) for rule, policy in rules if self._skip_of(rule, subject, resource_id) is None]
        found = [self._jointly(subject, kept)] if kept else []
        for rule, policy in rules:
            skip = self._skip_of(rule, subject, resource_id)
            if skip is not None:
                found.append(_passed_by(skip, self._jointly(subject, [(rule, policy)])))
        return found

    def _judge_freezes(
        self, subject: EnvironmentVersion | TargetMove, environment_id: str, resource_id: str | None
    ) -> list[Judged]:
        """What freezes say, first of all those that nobody bypassed for this version; each bypassed one is told apart.

        Why:    a bypass names its freeze, so that one which somebody sets later holds all the same.
        """
        bypasses: dict[str, Skip] = {}
        for one in subject.freezes if self._skips else ():
            skip = self._find_skip((bypass_of(one.id),), subject.version.id, environment_id, resource_id)
            if skip is not None:
                bypasses[one.id] = skip
        found = [self._judge_freeze(replace(subject, bypassed=frozenset(bypasses)))]
        every = frozenset(one.id for one in subject.freezes) if bypasses else frozenset()
        for freeze_id, skip in bypasses.items():
            alone = self._judge_freeze(replace(subject, bypassed=every - {freeze_id}))
            if not alone.verdict.passes:
                found.append(_passed_by(skip, alone))
        return found

    def _judge_freeze(self, subject: EnvironmentVersion | TargetMove) -> Judged:
        return Judged(freeze.kind, guarded(freeze.evaluate, subject, self.now), freeze.stage)

    def _judge_incidents(self, subject: EnvironmentVersion, policy_set: str | None) -> Judged:
        """What open incidents say, on this deployment and on those that its rules and its version depend on."""
        depended = tuple(
            rule.params.selector
            for policy in self.index.policies_of(policy_set)
            for rule in policy.rules
            if isinstance(rule.params, deployment_dependency.Params)
        )
        verdict = guarded(incident.evaluate, replace(subject, depends_on=depended), self.now)
        return Judged(incident.kind, verdict, incident.stage, (incident.kind,))

    def _jointly(self, subject: EnvironmentVersion, rules: Sequence[tuple[Rule, Policy]]) -> Judged:
        first, policy = rules[0]
        module = RULE_BY_KIND[first.kind]
        verdict = guarded(module.evaluate, subject, tuple(rule for rule, _ in rules), self.now)
        names = ", ".join(sorted({one.name for _, one in rules}))
        ids = tuple(rule.id for rule, _ in rules)
        return Judged(first.kind, verdict, module.stage, ids, policy.id, names, policy.observe)

    # Skips ------------------------------------------------------------------------------------------------------------

    def _skip_of(self, rule: Rule, subject: EnvironmentVersion, resource_id: str | None) -> Skip | None:
        names = (rule.id, every_of(rule.kind))
        return self._find_skip(names, subject.version.id, subject.environment.id, resource_id)

    def _find_skip(
        self, names: Iterable[str], version_id: str, environment_id: str, resource_id: str | None
    ) -> Skip | None:
        """The skip in force that lasts longest, under the first of the names that has one."""
        for name in names:
            for skip in self._skips.get((name, version_id), ()):
                if skip.environment_id in {None, environment_id} and skip.resource_id in {None, resource_id}:
                    return skip
        return None

    def _skipped(self, judged: Judged, version: Version, environment_id: str, resource_id: str | None) -> Judged:
        """The verdict, or that it is skipped. What passes needs no skip."""
        if judged.verdict.passes or not self._skips:
            return judged
        names = (*judged.rule_ids, every_of(judged.kind))
        skip = self._find_skip(names, version.id, environment_id, resource_id)
        return judged if skip is None else _passed_by(skip, judged)

    def _lift(
        self, shared: Shared, target: Target, version: Version, kind: str
    ) -> tuple[Iterable[Judged], tuple[Judged, ...]]:
        """What still bars a target whose resource has skips of its own, and the verdicts that these replaced."""
        if target.resource_id not in self._skipping_resources:
            return shared.bars, ()
        bars: list[Judged] = []
        lifted: list[Judged] = []
        for one in shared.bars:
            again = self._judge_again(one, target, version, kind)
            if again == [one]:
                bars.append(one)
            else:
                lifted.extend(again)
        return (*bars, *(one for one in lifted if one.bars)), tuple(lifted)

    def _judge_again(self, judged: Judged, target: Target, version: Version, kind: str) -> list[Judged]:
        if judged.kind == freeze.kind:
            place = EnvironmentVersion(self.index, self.index.facts.environments[target.environment_id], version, kind)
            again = self._judge_freezes(place, target.environment_id, target.resource_id)
            return [judged] if again[0] == judged else again
        if not getattr(RULE_BY_KIND.get(judged.kind), "joint", False):
            return [self._skipped(judged, version, target.environment_id, target.resource_id)]
        subject = EnvironmentVersion(self.index, self.index.facts.environments[target.environment_id], version, kind)
        rules = [
            (rule, policy)
            for policy in self.index.policies_of(target.policy_set)
            for rule in policy.rules
            if rule.id in judged.rule_ids and rule.kind == judged.kind and policy.observe == judged.observed
        ]
        if all(self._skip_of(rule, subject, target.resource_id) is None for rule, _ in rules):
            return [judged]
        return self._judge_jointly(subject, rules, target.resource_id)

    # One target -------------------------------------------------------------------------------------------------------

    def of_target(self, target: Target, version: Version, kind: str) -> tuple[Judged, ...]:
        """The verdicts about this target alone; empty when there is nothing to say."""
        if kind == "rollback":
            return ()
        found: list[Judged] = []
        if target.policy_set is None or not self.index.facts.policies_matched:
            found.append(Judged("matching", unknown("not_matched_yet", waits_on=(f"match:{target.id}",))))
        if target.agent != "one":
            who = "whoever may edit the deployment or its agents"
            verdict = holds(WaitsFor.INCOMPLETE, target.agent, waits_on=(f"agent:{target.id}",), who=who)
            found.append(Judged("agent", verdict))
        rules = self._rules_of_target(target.policy_set)
        needy = bool(version.dependencies) and version_dependency.kind in ASKED[kind]
        if kind == "force" or (not rules and not needy and not self._target_freezes):
            return tuple(found)
        subject = TargetMove(self.index, target, version, kind)
        if self._target_freezes and freeze.kind in ASKED[kind]:
            found.extend(self._judge_freezes(subject, target.environment_id, target.resource_id))
        if needy:
            one = self._judge_needs(subject)
            found.append(self._skipped(one, version, target.environment_id, target.resource_id))
        for rule, policy in rules:
            if asks(kind, rule):
                one = self._judge_target(subject, rule, policy)
                found.append(self._skipped(one, version, target.environment_id, target.resource_id))
        return tuple(found)

    def _judge_target(self, subject: TargetMove, rule: Rule, policy: Policy) -> Judged:
        """One rule about one target; a rule that groups its targets is asked once a group."""
        module = RULE_BY_KIND[rule.kind]
        group = getattr(module, "group", None)
        key = (policy.id, rule.id, group(subject)) if group is not None else None
        if key is not None and key in self._grouped:
            return self._grouped[key]
        verdict = guarded(module.evaluate, subject, rule.params, self.now)
        one = Judged(rule.kind, verdict, module.stage, (rule.id,), policy.id, policy.name, policy.observe)
        if key is not None:
            self._grouped[key] = one
        return one

    def _judge_needs(self, subject: TargetMove) -> Judged:
        """What the version itself needs beside it. No policy asks for it; a skip may name it by its kind."""
        key = (version_dependency.kind, version_dependency.group(subject))
        if key not in self._grouped:
            verdict = guarded(version_dependency.evaluate, subject, self.now)
            kind, stage = version_dependency.kind, version_dependency.stage
            self._grouped[key] = Judged(kind, verdict, stage, (kind,))
        return self._grouped[key]

    def _rules_of_target(self, policy_set: str | None) -> tuple[tuple[Rule, Policy], ...]:
        if policy_set not in self._target_rules:
            self._target_rules[policy_set] = tuple(
                (rule, policy)
                for policy in self.index.policies_of(policy_set)
                for rule in policy.rules
                if SCOPES.get(rule.kind) == "TargetMove"
            )
        return self._target_rules[policy_set]

    def _plain(self, target: Target) -> bool:
        """Whether nothing but its group distinguishes this target, so that one answer serves all of them."""
        return (
            self._all_plain
            and target.agent == "one"
            and target.policy_set is not None
            and not self._rules_of_target(target.policy_set)
        )

    def _free(self, target: Target, asked: Asked) -> Asking:
        """A target that nothing occupies goes for a version, else for its config, else nowhere."""
        choice, held = self.forward(target, asked)
        if choice is None:
            config = self._config(target, asked)
            if isinstance(config, Choice):
                choice = config
            elif config is not None:
                held = (*held, config)
        return Asking(target, choice, held)

    def forward(self, target: Target, asked: Asked) -> Answer:
        """A version for this target: its pin, or the first candidate whose gates pass; and what was held on the way."""
        if self._plain(target):
            key = (target.environment_id, target.policy_set, self.index.floor(target))
            if key not in self._simple:
                self._simple[key] = self._walk(target, self.candidates.of(target), "forward", asked)
            return self._simple[key]
        pin = self.candidates.pin_of(target)
        if pin is None:
            return self._walk(target, self.candidates.of(target), "forward", asked)
        self.recorder.wake((pin.expires_at,))
        version = self.index.version_by_id.get(pin.version_id)
        there = target.current is not None and target.current.version_id == pin.version_id
        if version is None or there or self.index.pin_used(pin, target):
            return None, ()
        return self._walk(target, (version,), "pin", asked, said=(self.candidates.said_of(pin),))

    def _walk(
        self, target: Target, versions: Sequence[Version], kind: str, asked: Asked, *, said: tuple[Judged, ...] = ()
    ) -> Answer:
        held: list[Held] = []
        for version in versions:
            answer, bars = self._judged(target, version, kind, said=said)
            if isinstance(answer, Choice):
                return answer, tuple(held)
            held.append(answer)
            self._note_judgement(answer, target, bars, asked)
        return None, tuple(held)

    def _judged(
        self, target: Target, version: Version, kind: str, *, said: tuple[Judged, ...] = ()
    ) -> tuple[Choice | Held, tuple[Judged, ...]]:
        """Whether one target may go to one version, and what bars it. `said` is what its row says besides."""
        shared = self.shared(target.environment_id, version, target.policy_set, kind)
        standing, lifted = self._lift(shared, target, version, kind)
        own = (*said, *self.of_target(target, version, kind), *lifted)
        if own:
            self.recorder.wake(one.verdict.changes_at for one in own)
        bars = (*standing, *(one for one in own if one.bars and one not in lifted))
        if bars:
            return Held(kind, version, shared.decision, own), bars
        return Choice(kind, version, shared.decision, own), ()

    def verdicts(self, target: Target, version: Version, kind: str) -> tuple[Judged, ...]:
        """Every verdict on one move of one target, those that pass and those that only observe as well."""
        shared = self.shared(target.environment_id, version, target.policy_set, kind)
        standing, lifted = self._lift(shared, target, version, kind)
        kept = tuple(one for one in shared.judged if not one.bars or one in standing)
        return (*kept, *lifted, *self.of_target(target, version, kind))

    def _note_judgement(self, held: Held, target: Target, bars: tuple[Judged, ...], asked: Asked) -> None:
        """Remember that only a person holds this version here: the newest such version of an environment."""
        version = held.version
        if any(one.stage is not Stage.JUDGEMENT and one.kind not in ASKED_AHEAD for one in bars):
            return
        missing = tuple(one for one in bars if one.verdict.asks)
        if not missing or any(one.verdict.reason == REJECTED for one in bars):
            return
        key = (target.environment_id, target.policy_set or "", "config" if held.kind == "config" else "version")
        known = asked.judgements.get(key)
        if known is None or known[0].age_key < version.age_key:
            asked.judgements[key] = (version, missing)

    def _config(self, target: Target, asked: Asked) -> Choice | Held | None:
        """The same version with another resolved config, if that is what the target lacks."""
        if not self.index.drifts(target) or target.current is None:
            return None
        if (target.id, target.config_digest) in self.index.tried_configs:
            return None
        version = self.index.version_by_id.get(target.current.version_id)
        if version is None:
            return None
        answer, bars = self._judged(target, version, "config")
        if isinstance(answer, Held):
            self._note_judgement(answer, target, bars, asked)
        return answer

    def choose(self, target: Target, version: Version) -> Choice | None:
        """A forward move to one version, if it is a candidate and its gates pass."""
        if version not in self.candidates.of(target):
            return None
        answer, _ = self._judged(target, version, "forward")
        return answer if isinstance(answer, Choice) else None

    def bars(self, target: Target, version: Version, kind: str) -> tuple[Judged, ...]:
        """What keeps a target from a version; empty when nothing does."""
        return self._judged(target, version, kind)[1]

    # Moves that are still ours ----------------------------------------------------------------------------------------

    def _again(self, target: Target, move: Move, asked: Asked) -> Asking:
        """Judge a job that still waits once more; its target may go for something else by now."""
        free = self._free(target, asked)
        return Asking(target, free.choice, free.held, move)

    def _waits_for_retry(self, target: Target, move: Move) -> bool:
        """Whether a move was tried, and its next attempt is ours to start or to hold back.

        It failed and is tried again, or its hand-over never arrived anywhere.
        """
        if move.untouched:
            return False
        if _withdrawable(move) or last_outcome(move) is None:
            return True
        return retry_due(self.index, target, move) is not None

    def _retry(self, target: Target, move: Move, asked: Asked) -> Asking:
        """Whether the next attempt may start; a pin, or a newer version that is admitted, goes first."""
        instead = self._instead(target, move, asked)
        if instead is not None:
            return Asking(target, instead, (), move)
        kind = RETRIED_AS.get(move.kind, "retry")
        answer, bars = self._judged(target, self.index.version_by_id[move.version_id], kind)
        own = answer.judged
        due_at = retry_due(self.index, target, move)
        if due_at is not None and self.now < due_at:
            failed = sum(1 for job in move.jobs if job.status.terminal and job.status is not JobStatus.SKIPPED)
            verdict = holds(WaitsFor.WAIT, "retry_backoff", changes_at=due_at, attempt=failed, due_at=due_at)
            own = (*own, Judged("retry", verdict, Stage.READINESS))
        if bars or own != answer.judged:
            held = Held("retry", answer.version, answer.decision, own)
            return Asking(target, None, (held,), move, retrying=True)
        choice = Choice("retry", answer.version, answer.decision, own)
        return Asking(target, choice, (), move, retrying=True)

    def _instead(self, target: Target, move: Move, asked: Asked) -> Choice | None:
        """What ends a move that waits for its next attempt."""
        if move.kind in {"rollback", "force"}:
            return None
        choice, _ = self.forward(target, asked)
        if choice is None or choice.version.id == move.version_id:
            return None
        if choice.kind == "pin":
            return choice
        return choice if self.index.is_newer(choice.version.id, move.version_id) else None

    # Runs that wait to be confirmed ----------------------------------------------------------------------------------

    def _confirming(self, target: Target, move: Move, asked: Asked) -> Confirming:
        """Judge a planned run again, as the move that it completes: what let it start may hold by now."""
        words = waiting_words(self.index, target, move)
        self.recorder.wake(one.verdict.changes_at for one in words)
        version = self.index.version_by_id[move.version_id]
        said = Judged("confirm", passes("run_waits"))
        own: tuple[Judged, ...] = (*words, said)
        if move.kind == "forward" and version.status != DEPLOYABLE:
            own = (*own, _not_ready(version))
        answer, bars = self._judged(target, version, move.kind)
        discard = self._discards(target, move, version, bars, asked)
        held = answer if isinstance(answer, Held) else None
        choice = answer if isinstance(answer, Choice) else None
        if held is not None:
            self._note_judgement(held, target, bars, asked)
        elif any(one.bars for one in own if one not in words):
            held, choice = Held(move.kind, version, answer.decision, answer.judged), None
        return Confirming(target, move, choice, held, discard, own)

    def _discards(
        self, target: Target, move: Move, version: Version, bars: Sequence[Judged], asked: Asked
    ) -> str | None:
        """Why a run that was only planned shall end: something else goes first, or nobody wants it any more."""
        order = self.index.order_of(target)
        if order is not None and order.id != move.order_id and order.kind in {"rollback", "force"}:
            return "rolled_back" if order.kind == "rollback" else "ordered"
        instead = self._instead(target, move, asked)
        if instead is not None:
            return "pinned" if instead.kind == "pin" else "newer_version"
        if move.kind not in WANTED_STILL:
            return None
        if version.status in GIVEN_UP or any(one.verdict.reason == "rejected" for one in bars):
            return "rejected_meanwhile"
        if move.kind != "forward":
            return None
        selected = self.candidates.selected(target.environment_id, target.policy_set, version)
        return None if selected and (target.id, version.id) not in self.index.quarantined else "not_wanted"


REJECTED = "rejected"
"""The reason of every rule that asks people, when one of them says no."""

WANTED_STILL = frozenset({"forward", "config", "pin"})
"""Kinds of move that a rejection takes back before their run is confirmed."""


def _refused(move: Move) -> tuple[Judged, ...]:
    """That the outside did not take our yes: nobody but a person goes on there."""
    job = move.jobs[-1] if move.jobs else None
    if job is None or job.confirm is not Confirm.REFUSED or job.status is not JobStatus.ACTION_REQUIRED:
        return ()
    who = "whoever may apply or discard the run in its tool; or cancel the job"
    return (Judged("confirm", holds(WaitsFor.PERSON, "confirm_refused", who=who), Stage.READINESS),)


def _not_ready(version: Version) -> Judged:
    who = "whoever may edit the version"
    verdict = holds(WaitsFor.DENY, "version_not_ready", who=who, status=version.status)
    return Judged("versionStatus", verdict, Stage.ELIGIBILITY)


def _withdrawable(move: Move) -> bool:
    """Whether the newest job of a move is still ours."""
    return bool(move.jobs) and move.jobs[-1].ours and not move.jobs[-1].cancel_asked


def _ours(move: Move) -> bool:
    """Whether nothing was tried yet and all of it may be taken back. A rollback that no order asked for stays."""
    return move.untouched and _withdrawable(move) and (move.kind != "rollback" or move.order_id is not None)


def every_of(kind: str) -> str:
    """What a skip of every rule of a kind names."""
    return f"kind:{kind}"


def bypass_of(freeze_id: str) -> str:
    """What a skip of one freeze names."""
    return f"freeze:{freeze_id}"


def _passed_by(skip: Skip, judged: Judged) -> Judged:
    return skipped(
        judged,
        reason=skip.reason,
        skip_id=skip.id,
        expires_at=skip.expires_at,
        by=skip.created_by,
        since=skip.created_at,
    )


def _longest_first(skip: Skip) -> tuple[bool, float, str]:
    return (skip.expires_at is not None, -skip.expires_at.timestamp() if skip.expires_at else 0.0, skip.id)


def _in_order(judged: Judged) -> tuple[int, int, str, tuple[str, ...]]:
    order = ORDER.get(judged.kind, len(ORDER))
    return (STAGES.index(judged.stage), order, judged.policy_id, judged.rule_ids)

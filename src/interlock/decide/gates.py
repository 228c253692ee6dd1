"""May this move start? Every gate is asked about moves, never about positions.

Which kind of move asks which gate is the table `ASKED`. Rules over an environment and version are evaluated once for all targets that share a policy set; rules over a target
once a target. A rule that raises becomes `unknown` with its name. A skip passes one rule for one version. Observed policies are recorded, and bar nothing.

A gate's hold lets the next older candidate try. A person is asked (an approval request) only for the newest version that nothing else holds.

Source: core.md section 4 (the table, stages, verdicts).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from interlock.decide.candidates import DEPLOYABLE, Candidates
from interlock.decide.facts import Index, Move, Skip, Target, Version
from interlock.decide.plan import Decision
from interlock.decide.react import last_outcome, retry_due
from interlock.decide.record import Recorder
from interlock.decide.rules import RULE_BY_KIND, RULES, freeze
from interlock.decide.subjects import EnvironmentVersion, TargetMove
from interlock.decide.verdict import (
    STAGES,
    Judged,
    Stage,
    Verdict,
    WaitsFor,
    earliest,
    holds,
    passes,
    skipped,
    unknown,
)
from interlock.model.job import JobStatus
from interlock.model.policy import Rule

GATES = tuple(rule.kind for rule in RULES if rule.shape == "gate")

ASKED: Mapping[str, frozenset[str]] = {
    "forward": frozenset(GATES),
    "pin": frozenset(GATES),
    "config": frozenset({"freeze", "deploymentWindow"}),
    "retry": frozenset({"freeze", "deploymentWindow"}),
    "redeploy": frozenset({"freeze", "deploymentWindow"}),
    "rollback": frozenset(),
    "force": frozenset(),
}
"""Kind of move -> the gates it asks. Paces are in `pace.PACED`."""

ASKED_AHEAD = frozenset({"deploymentWindow", "versionCooldown"})
"""Readiness gates that only wait for the clock: an approval may be asked for while they hold."""

REASONS = {
    "not_matched_yet": "The target's policies are still being worked out.",
    "no_agent": "No job agent is picked for this target.",
    "ambiguous_agent": "Several job agents are picked for this target; exactly one must be.",
    "rule_error": "The rule could not be evaluated: {error}.",
    "skipped": "Skipped by hand: {why}.",
    "version_not_ready": "The version's status is {status}; only ready versions start.",
    "retry_backoff": "Attempt {attempt} failed; it is tried again at {due_at}.",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """What a target goes for: the first candidate whose gates all pass."""

    kind: str
    version: Version
    decision: Decision
    judged: tuple[Judged, ...] = ()

    @property
    def valid_until(self) -> datetime | None:
        """Until when the verdicts that let it pass hold, by time alone."""
        own = (one.verdict.changes_at for one in self.judged if not one.observed)
        return earliest((self.decision.valid_until, *own))


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


@dataclass(slots=True)
class Asked:
    """The answers of one round. `judgements` are (environment, policy set, version) that only a person holds."""

    by_target: dict[str, Asking] = field(default_factory=dict)
    judgements: dict[tuple[str, str], tuple[Version, tuple[Judged, ...]]] = field(default_factory=dict)
    occupied: list[tuple[Target, Move]] = field(default_factory=list)


class Gates:
    """Asks the gates for all targets of a deployment."""

    def __init__(self, index: Index, recorder: Recorder, candidates: Candidates, now: datetime) -> None:
        self.index = index
        self.recorder = recorder
        self.candidates = candidates
        self.now = now
        self._groups: dict[tuple[str, str, str | None, str], tuple[tuple[Judged, ...], Decision]] = {}
        self._simple: dict[tuple[str, str | None, str | None], tuple[Choice | None, tuple[Held, ...]]] = {}
        self._target_rules: dict[str | None, tuple[tuple[Rule, str, str, bool], ...]] = {}
        self._skips_by_resource = tuple(skip for skip in self.index.facts.skips if skip.resource_id is not None)
        self._target_freezes = any(one.target_ids is not None for one in self.index.facts.freezes)

    def ask(self) -> Asked:
        """Every attached target's answer."""
        asked = Asked()
        open_moves = self.index.open_move_by_target
        for target in self.index.facts.targets.values():
            move = open_moves.get(target.id)
            if move is None:
                choice, held = self._forward(target, asked)
                if choice is None:
                    config = self._config(target)
                    choice, held = (config, held) if isinstance(config, Choice) else (None, held + ((config,) if config else ()))
                asked.by_target[target.id] = Asking(target, choice, held)
            elif move.kind != "rollback" and len(move.jobs) == 1 and move.jobs[0].ours and not move.jobs[0].cancel_asked:
                asked.by_target[target.id] = self._again(target, move, asked)
            elif self._waits_for_retry(target, move):
                asked.by_target[target.id] = self._retry(target, move, asked)
            else:
                asked.occupied.append((target, move))
        return asked

    # One environment and version ---------------------------------------------------------------------------------------------

    def group(self, environment_id: str, version: Version, policy_set: str | None, kind: str) -> tuple[tuple[Judged, ...], Decision]:
        """The verdicts that all targets of a policy set share, and the decision that holds them."""
        key = (environment_id, version.id, policy_set, kind)
        if key not in self._groups:
            judged = self._judge_group(environment_id, version, policy_set, kind)
            decision = self.recorder.decide(
                kind=kind, environment_id=environment_id, version_id=version.id, policy_set=policy_set, judged=judged
            )
            self._groups[key] = (judged, decision)
        return self._groups[key]

    def _judge_group(self, environment_id: str, version: Version, policy_set: str | None, kind: str) -> tuple[Judged, ...]:
        asked = ASKED[kind]
        subject = EnvironmentVersion(self.index, self.index.facts.environments[environment_id], version, kind)
        found: list[Judged] = []
        if freeze.kind in asked:
            found.append(Judged(freeze.kind, _guarded(lambda: freeze.evaluate(subject, self.now)), freeze.stage))
        if kind == "retry" and version.status != DEPLOYABLE:
            verdict = holds(WaitsFor.DENY, "version_not_ready", status=version.status)
            found.append(Judged("versionStatus", verdict, Stage.ELIGIBILITY))
        joint: dict[tuple[str, bool], list[Rule]] = {}
        for policy in self.index.policies_of(policy_set):
            for rule in policy.rules:
                module = RULE_BY_KIND[rule.kind]
                if rule.kind not in asked or SCOPES[rule.kind] != "EnvironmentVersion":
                    continue
                if getattr(module, "joint", False):
                    joint.setdefault((rule.kind, policy.observe), []).append(rule)
                    continue
                verdict = _guarded(lambda module=module, rule=rule: module.evaluate(subject, rule.params, self.now))
                one = Judged(rule.kind, verdict, module.stage, rule.id, policy.id, policy.name, policy.observe)
                found.append(self._skip(one, version, environment_id, None))
        for (rule_kind, observed), rules in joint.items():
            module = RULE_BY_KIND[rule_kind]
            kept = [rule for rule in rules if self._skip_of(rule.id, version, environment_id, None) is None]
            if kept:
                verdict = _guarded(lambda module=module, kept=kept: module.evaluate(subject, tuple(kept), self.now))
                ids = ",".join(rule.id for rule in kept)
                found.append(Judged(rule_kind, verdict, module.stage, ids, kept[0].policy_id, "", observed))
            for rule in rules:
                skip = self._skip_of(rule.id, version, environment_id, None)
                if skip is not None:
                    verdict = passes("skipped", changes_at=skip.expires_at, skip=skip.id, why=skip.reason)
                    found.append(Judged(rule_kind, verdict, module.stage, rule.id, rule.policy_id, "", observed))
        return tuple(sorted(found, key=_in_order))

    def _skip_of(self, rule_id: str, version: Version, environment_id: str, resource_id: str | None) -> Skip | None:
        for skip in self.index.facts.skips:
            if (
                skip.rule_id == rule_id
                and skip.version_id == version.id
                and skip.environment_id in (None, environment_id)
                and skip.resource_id in ((None,) if resource_id is None else (None, resource_id))
                and (skip.expires_at is None or self.now < skip.expires_at)
            ):
                return skip
        return None

    def _skip(self, judged: Judged, version: Version, environment_id: str, resource_id: str | None) -> Judged:
        if judged.verdict.passes or not judged.rule_id:
            return judged
        skip = self._skip_of(judged.rule_id, version, environment_id, resource_id)
        return judged if skip is None else skipped(judged, reason=skip.reason, skip_id=skip.id, expires_at=skip.expires_at)

    # One target --------------------------------------------------------------------------------------------------------------

    def of_target(self, target: Target, version: Version, kind: str) -> tuple[Judged, ...]:
        """The verdicts about this target alone; empty when there is nothing to say."""
        if kind in {"rollback", "force"}:
            return ()
        found: list[Judged] = []
        if target.policy_set is None or not self.index.facts.policies_matched:
            found.append(Judged("matching", unknown("not_matched_yet", waits_on=(f"match:{target.id}",))))
        if target.agent != "one":
            who = "whoever may edit the deployment or its agents"
            found.append(Judged("agent", holds(WaitsFor.INCOMPLETE, target.agent, waits_on=(f"agent:{target.id}",), who=who)))
        rules = self._rules_of_target(target.policy_set)
        if rules or self._target_freezes:
            subject = TargetMove(self.index, target, version, kind)
            if self._target_freezes and "freeze" in ASKED[kind]:
                found.append(Judged(freeze.kind, _guarded(lambda: freeze.evaluate(subject, self.now)), freeze.stage))
            for rule, policy_id, policy_name, observed in rules:
                if rule.kind in ASKED[kind]:
                    module = RULE_BY_KIND[rule.kind]
                    verdict = _guarded(lambda module=module, rule=rule: module.evaluate(subject, rule.params, self.now))
                    one = Judged(rule.kind, verdict, module.stage, rule.id, policy_id, policy_name, observed)
                    found.append(self._skip(one, version, target.environment_id, target.resource_id))
        return tuple(found)

    def _rules_of_target(self, policy_set: str | None) -> tuple[tuple[Rule, str, str, bool], ...]:
        if policy_set not in self._target_rules:
            self._target_rules[policy_set] = tuple(
                (rule, policy.id, policy.name, policy.observe)
                for policy in self.index.policies_of(policy_set)
                for rule in policy.rules
                if SCOPES.get(rule.kind) == "TargetMove"
            )
        return self._target_rules[policy_set]

    def _plain(self, target: Target) -> bool:
        """Whether nothing but its group distinguishes this target, so that one answer serves all of them."""
        return (
            target.agent == "one"
            and target.policy_set is not None
            and self.index.facts.policies_matched
            and not self._target_freezes
            and not self._skips_by_resource
            and not self.index.facts.pins
            and not self._rules_of_target(target.policy_set)
            and not self.index.quarantined
        )

    def _forward(self, target: Target, asked: Asked) -> tuple[Choice | None, tuple[Held, ...]]:
        """A version for this target: its pin, or the first candidate whose gates pass; and what was held on the way."""
        if self._plain(target):
            key = (target.environment_id, target.policy_set, target.mark)
            if key not in self._simple:
                self._simple[key] = self._walk(target, self.candidates.of(target), "forward", asked)
            return self._simple[key]
        pin = self.candidates.pin_of(target)
        if pin is not None:
            self.recorder.wake((pin.expires_at,))
            version = self.index.version_by_id.get(pin.version_id)
            if version is None or (target.current is not None and target.current.version_id == version.id):
                return None, ()
            ready = (version,) if version.status == DEPLOYABLE else ()
            return self._walk(target, ready, "pin", asked)
        return self._walk(target, self.candidates.of(target), "forward", asked)

    def _walk(
        self, target: Target, versions: Sequence[Version], kind: str, asked: Asked
    ) -> tuple[Choice | None, tuple[Held, ...]]:
        held: list[Held] = []
        for version in versions:
            shared, decision = self.group(target.environment_id, version, target.policy_set, kind)
            own = self.of_target(target, version, kind)
            lifted = self._lifted(shared, version, target)
            bars = [one for one in (*lifted, *own) if one.bars]
            if not bars:
                return Choice(kind, version, decision, own), tuple(held)
            held.append(Held(kind, version, decision, own))
            self._note_judgement(target, version, lifted, own, asked)
        return None, tuple(held)

    def _lifted(self, shared: tuple[Judged, ...], version: Version, target: Target) -> tuple[Judged, ...]:
        """The shared verdicts with the skips that name this target's resource."""
        if not self._skips_by_resource:
            return shared
        return tuple(self._skip(one, version, target.environment_id, target.resource_id) for one in shared)

    def _note_judgement(
        self, target: Target, version: Version, shared: tuple[Judged, ...], own: tuple[Judged, ...], asked: Asked
    ) -> None:
        """Remember that only a person holds this version here: the newest such version of an environment."""
        bars = [one for one in (*shared, *own) if one.bars]
        if any(one.stage is not Stage.JUDGEMENT and one.kind not in ASKED_AHEAD for one in bars):
            return
        missing = tuple(one for one in bars if one.stage is Stage.JUDGEMENT and one.verdict.reason == "approval_missing")
        if not missing or any(one.verdict.reason == "rejected" for one in bars):
            return
        key = (target.environment_id, target.policy_set or "")
        known = asked.judgements.get(key)
        if known is None or known[0].age_key < version.age_key:
            asked.judgements[key] = (version, missing)

    def _config(self, target: Target) -> Choice | Held | None:
        """The same version with another resolved config, if that is what the target lacks."""
        if target.current is None or target.config_digest in (None, target.current.config_digest):
            return None
        version = self.index.version_by_id.get(target.current.version_id)
        if version is None or any(one.target_id == target.id for one in self.index.facts.quarantines):
            return None
        shared, decision = self.group(target.environment_id, version, target.policy_set, "config")
        own = self.of_target(target, version, "config")
        if any(one.bars for one in (*shared, *own)):
            return Held("config", version, decision, own)
        return Choice("config", version, decision, own)

    # Moves that are still ours -----------------------------------------------------------------------------------------------

    def _again(self, target: Target, move: Move, asked: Asked) -> Asking:
        """Judge a job that still waits once more; its target may go for something else by now."""
        choice, held = self._forward(target, asked)
        if move.kind == "config" and choice is None:
            config = self._config(target)
            choice = config if isinstance(config, Choice) else None
            held = held + ((config,) if isinstance(config, Held) else ())
        elif choice is None and move.from_release is None:
            choice = self.choose(target, move.version_id) or choice
        return Asking(target, choice, held, move)

    def choose(self, target: Target, version_id: str) -> Choice | None:
        """A forward move to one version, if it is selectable and its gates pass."""
        version = self.index.version_by_id.get(version_id)
        if version is None or (target.id, version_id) in self.index.quarantined:
            return None
        if not self.candidates.selectable(target.environment_id, target.policy_set, version):
            return None
        shared, decision = self.group(target.environment_id, version, target.policy_set, "forward")
        own = self.of_target(target, version, "forward")
        if any(one.bars for one in (*self._lifted(shared, version, target), *own)):
            return None
        return Choice("forward", version, decision, own)

    def _waits_for_retry(self, target: Target, move: Move) -> bool:
        newest = move.jobs[-1] if move.jobs else None
        if newest is not None and len(move.jobs) > 1 and newest.ours and not newest.cancel_asked:
            return True
        return retry_due(self.index, target, move) is not None

    def _retry(self, target: Target, move: Move, asked: Asked) -> Asking:
        """Whether the next attempt may start; a newer version that is admitted goes first."""
        newer, _ = self._forward(target, asked) if move.kind == "forward" else (None, ())
        version = self.index.version_by_id[move.version_id]
        if newer is not None and newer.version.age_key > version.age_key:
            return Asking(target, newer, (), move)
        kind = "rollback" if move.kind == "rollback" else "retry"
        shared, decision = self.group(target.environment_id, version, target.policy_set, kind)
        own = self.of_target(target, version, kind) if kind == "retry" else ()
        due_at = retry_due(self.index, target, move)
        if due_at is not None and self.now < due_at:
            failed = sum(1 for job in move.jobs if job.status.terminal and job.status is not JobStatus.SKIPPED)
            verdict = holds(WaitsFor.WAIT, "retry_backoff", changes_at=due_at, attempt=failed, due_at=due_at)
            own = (*own, Judged("retry", verdict, Stage.READINESS))
        if any(one.bars for one in (*shared, *own)):
            return Asking(target, None, (Held("retry", version, decision, own),), move, retrying=True)
        return Asking(target, Choice("retry", version, decision, own), (), move, retrying=True)


def _guarded(evaluate: object) -> Verdict:
    """The rule's verdict; `unknown` with the error when it raises: an error never opens a gate."""
    try:
        return evaluate()  # type: ignore[operator,no-any-return]
    except Exception as error:  # noqa: BLE001 - whatever a rule does wrong must hold, and say so
        return unknown("rule_error", error=f"{type(error).__name__}: {error}")


def _in_order(judged: Judged) -> tuple[int, int, str, str]:
    order = ORDER.get(judged.kind, len(ORDER))
    return (STAGES.index(judged.stage), order, judged.policy_id, judged.rule_id)


ORDER = {rule.kind: number for number, rule in enumerate(RULES)}

SCOPES: Mapping[str, str] = {
    rule.kind: str(rule.evaluate.__annotations__["subject"]) for rule in RULES if rule.shape == "gate"
}
"""Rule kind -> the type of its first parameter: scope is a signature."""

__all__ = ["ASKED", "Asked", "Asking", "Choice", "Gates", "Held", "last_outcome"]

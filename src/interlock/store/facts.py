"""What does a round know? Its facts, loaded set by set in one snapshot: one query a fact kind, whatever the number of
targets.

The snapshot is REPEATABLE READ and `now` is the database's, read by the first query. Nothing is decided here; what
must be evaluated with CEL (which targets a freeze's selector picks) is evaluated here, so that the core evaluates
only a rule's own selectors.

Policies are parsed once per revision: revisions never change.

Source: core.md sections 2 and 3.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

import asyncpg
import orjson

from interlock.decide.facts import (
    Approval,
    Decided,
    Dependency,
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
from interlock.decide.rules import concurrency, parse_rules
from interlock.decide.rules.error_budget import budgets_read
from interlock.decide.rules.gradual_rollout import keys_read, samples_read
from interlock.decide.rules.rollback_history import days_read, within
from interlock.decide.rules.saturation import saturation_read
from interlock.inventory.selector import Scope, parse_selector
from interlock.inventory.slots import SlotKey
from interlock.inventory.to_python import matches
from interlock.model.deployment_facts import read_tier
from interlock.model.job import Confirm, Handover, JobStatus
from interlock.model.policy import Policy, Rule
from interlock.store.elsewhere import load_elsewhere
from interlock.store.queries import Conn, queries

Q = queries("fact")

VERSIONS_MAX = 200
"""How many of the newest versions a round loads; candidates are at most 50 of those newer than a target's mark."""

Row = asyncpg.Record


@dataclass(frozen=True, slots=True)
class Loaded:
    """Facts and the instant they are of.

    Takes: `policy_revisions` are the revisions they hold. `concerned` are the versions whose history they hold. `news`:
           something that can take something away was not decided before, so jobs that wait could not be handed over
           and want another try after this round.
    """

    facts: Facts
    now: datetime
    policy_revisions: tuple[str, ...]
    concerned: frozenset[str] = frozenset()
    news: bool = False


async def load_facts(
    conn: Conn, deployment_id: str, *, asking: Sequence[Policy] = (), about: str | None = None, every: bool = False
) -> Loaded | None:
    """The facts of one deployment; None when it does not exist, or was deleted and nothing of it is open any more.

    Takes: a connection inside a snapshot (or, for a third try, inside the committing transaction). `asking` are
           policies that are not in force and might be: what only their rules read is loaded too. `about`: a version, by
           id or tag, whose history is wanted though no round would look at it; `every`: that of all versions.
    Costs: 15 statements; one more where a rule limits how many are in flight, one each where a rule asks for labels,
           samples, error budgets, saturation or rollbacks, one while an incident is open in the workspace, and up to 4
           where a rule or version asks what other deployments run.
    """
    head = await conn.fetchrow(Q.load_deployment, deployment_id)
    if head is None or not head["goes_on"]:
        return None
    environments = {row["id"]: _environment(row) for row in await conn.fetch(Q.load_environments, deployment_id)}
    version_rows = await conn.fetch(Q.load_versions, deployment_id, VERSIONS_MAX, about, every)
    version_ids = [row["id"] for row in version_rows]
    concerned = [row["id"] for row in version_rows if row["concerned"]]
    attached, leaving = _targets(await conn.fetch(Q.load_targets, deployment_id, concerned))
    sets = sorted({target.policy_set for target in (*attached.values(), *leaving.values()) if target.policy_set})
    policy_rows = await conn.fetch(Q.load_policies, sets)
    rollouts = tuple(map(_rollout, await conn.fetch(Q.load_rollouts, deployment_id, version_ids)))
    policies = {row["id"]: _policy(row) for row in policy_rows}
    asked_by = (*policies.values(), *asking)
    grouped = await _load_slots(conn, deployment_id, head["workspace_id"], asked_by)
    moves = tuple(map(grouped.move, await _load_moves(conn, deployment_id)))
    keys = keys_read(asked_by)
    labels = await conn.fetch(Q.load_labels, deployment_id, sorted(keys), list(leaving)) if keys else ()
    counts = await conn.fetch(Q.load_samples, deployment_id) if samples_read(asked_by) else ()
    budgets = await conn.fetch(Q.load_budgets, deployment_id) if budgets_read(asked_by) else ()
    landed = await conn.fetch(Q.load_landed, concerned)
    answers = await conn.fetch(Q.load_answers, concerned)
    freezes = await _load_freezes(conn, deployment_id, head["name"], environments)
    overrides = await conn.fetch(Q.load_overrides, deployment_id)
    orders = await conn.fetch(Q.load_orders, deployment_id)
    decided_rows = await conn.fetch(Q.load_decided, deployment_id, version_ids)
    targets = {key: grouped.target(one) for key, one in attached.items() if one.environment_id in environments}
    versions = tuple(_version(row, deployment_id) for row in version_rows)
    elsewhere = await load_elsewhere(conn, deployment_id, versions=versions, policies=asked_by, targets=targets)
    beside = [deployment_id, *elsewhere.deployments]
    burning = await conn.fetch(Q.load_incidents, head["workspace_id"], beside) if head["burns"] else ()
    days = days_read(asked_by)
    went_back = await conn.fetch(Q.load_rollbacks, deployment_id, days) if days else ()
    full = await conn.fetch(Q.load_saturations, deployment_id) if saturation_read(asked_by) else ()
    facts = Facts(
        workspace_id=head["workspace_id"],
        deployment_id=head["id"],
        deployment_name=head["name"],
        supersede=head["supersede"],
        generation=head["generation"],
        fence=head["fence"],
        rules_fence=head["rules_fence"],
        policies_matched=head["policies_matched"],
        tier=read_tier(head["tier"]),
        environments=environments,
        targets=targets,
        leaving=leaving,
        versions=versions,
        policies=policies,
        policy_sets=_policy_sets(sets, policy_rows),
        rollouts=rollouts,
        moves=moves,
        landed_by_target_version={
            (row["target_id"], row["version_id"]): Landed(
                row["first_at"], row["verified_at"], row["left_at"], row["renewed_at"]
            )
            for row in landed
            if row["status"] is None
        },
        ended_by_target_version=_ended(landed),
        labels_by_target={row["target_id"]: row["labels"] for row in labels},
        samples_by_move={row["move_id"]: row["samples"] for row in counts},
        approvals_by_version_environment=_approvals([row for row in answers if row["request_id"] is None]),
        requests=frozenset(row["request_id"] for row in answers if row["request_id"] is not None),
        freezes=freezes,
        incidents=tuple(map(_incident, burning)),
        saturations=tuple(Saturation(**row) for row in full),
        rollbacks=within((RolledBack(**row) for row in went_back), days, head["now"]),
        pins=tuple(_pin(row) for row in overrides if row["kind"] == "pin"),
        skips=tuple(_skip(row) for row in overrides if row["kind"] == "skip"),
        quarantines=tuple(
            Quarantine(row["target_id"], row["version_id"], row["config_digest"], row["failed_version_id"])
            for row in overrides
            if row["kind"] == "quarantine"
        ),
        elsewhere=elsewhere,
        slots=grouped.slots,
        orders=tuple(_order(row) for row in orders),
        budgets=tuple(ErrorBudget(**{**dict(row), "firing": tuple(row["firing"])}) for row in budgets),
        decided_by_subject={
            row["subject"]: Decided(row["id"], row["digest"]) for row in decided_rows if row["target_id"] is None
        },
        decided_by_target={
            row["target_id"]: Decided("", row["digest"], row["since"])
            for row in decided_rows
            if row["target_id"] is not None
        },
    )
    decided = (head["decided_fence"], head["decided_rules_fence"])
    revisions = tuple(sorted(row["revision_id"] for row in policy_rows))
    return Loaded(facts, head["now"], revisions, frozenset(concerned), news=decided != (facts.fence, facts.rules_fence))


def _environment(row: Row) -> Environment:
    view = {
        "id": row["id"],
        "name": row["name"],
        "description": row["description"] or "",
        "workspaceId": row["workspace_id"],
        "createdAt": _text(row["created_at"]),
        "metadata": row["metadata"],
        "resourceSelector": row["resource_selector"],
    }
    return Environment(row["id"], row["name"], frozenset(row["system_ids"]), view)


def _text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _release(row: Row, prefix: str) -> ReleaseRef | None:
    found = row[f"{prefix}_id"]
    return None if found is None else ReleaseRef(found, row[f"{prefix}_version_id"], row[f"{prefix}_config_digest"])


def _targets(rows: Sequence[Row]) -> tuple[dict[str, Target], dict[str, Target]]:
    """Attached targets by id, and those that left by id."""
    attached: dict[str, Target] = {}
    leaving: dict[str, Target] = {}
    for row in rows:
        target = Target(
            id=row["id"],
            environment_id=row["environment_id"],
            resource_id=row["resource_id"],
            attached_at=row["attached_at"],
            policy_set=row["policy_set_id"],
            agent=row["agent_state"],
            config_digest=row["config_digest"],
            current=_release(row, "current"),
            good=_release(row, "good"),
            mark=row["mark_version_id"],
            desired=row["desired_version_id"],
            last_started_at=row["last_started_at"],
            name=row["resource_name"],
            detached_at=row["detached_at"],
        )
        (attached if row["state"] == "attached" else leaving)[target.id] = target
    return attached, leaving


def _version(row: Row, deployment_id: str) -> Version:
    authors = frozenset(author for author in (row["author_id"], row["named_author_id"]) if author)
    view = {
        "id": row["id"],
        "name": row["name"],
        "tag": row["tag"],
        "deploymentId": deployment_id,
        "status": row["status"],
        "createdAt": _text(row["created_at"]),
        "metadata": row["metadata"],
        "message": row["message"] or "",
    }
    dependencies = tuple(Dependency(*one) for one in row["dependencies"] or ())
    return Version(
        row["id"], row["tag"], row["status"], row["created_at"], row["change_id"], authors, view, dependencies
    )


@lru_cache(maxsize=2000)
def _parsed(revision_id: str, rules: bytes) -> tuple[Rule, ...]:
    """A revision's rules. Revisions never change, so this is read once a process."""
    del revision_id
    return parse_rules(orjson.loads(rules))


def _policy(row: Row) -> Policy:
    stored: Mapping[str, str] = row["first_stored"]
    rules = []
    for number, rule in enumerate(_parsed(row["revision_id"], orjson.dumps(row["rules"]))):
        at = stored.get(rule.id)
        first = datetime.fromisoformat(at) if at else None
        rules.append(replace(rule, id=rule.id or f"{row['id']}#{number}", policy_id=row["id"], first_stored_at=first))
    return Policy(row["id"], row["name"], row["revision_id"], tuple(rules), observe=row["mode"] == "observe")


def _policy_sets(sets: Iterable[str], rows: Sequence[Row]) -> dict[str, tuple[str, ...]]:
    members: dict[str, list[str]] = {set_id: [] for set_id in sets}
    for row in rows:
        for set_id in row["set_ids"]:
            members[set_id].append(row["id"])
    return {set_id: tuple(sorted(policy_ids)) for set_id, policy_ids in members.items()}


@dataclass(frozen=True, slots=True)
class _Grouped:
    """Slot groups: of each target, what each open move holds, and each group as a round sees it."""

    by_target: Mapping[str, tuple[SlotKey, ...]] = field(default_factory=dict)
    by_move: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    slots: Mapping[str, Slot] = field(default_factory=dict)

    def target(self, target: Target) -> Target:
        """The target with its groups."""
        keys = self.by_target.get(target.id)
        return replace(target, slot_keys=keys) if keys else target

    def move(self, move: Move) -> Move:
        """The move with what it holds."""
        keys = self.by_move.get(move.id)
        return replace(move, slots=keys) if keys else move


async def _load_slots(conn: Conn, deployment_id: str, workspace_id: str, policies: Sequence[Policy]) -> _Grouped:
    """Nothing, and no statement, where no policy limits anything."""
    if not any(rule.kind == concurrency.kind for policy in policies for rule in policy.rules):
        return _Grouped()
    by_target: dict[str, list[SlotKey]] = {}
    by_move: dict[str, list[str]] = {}
    sizes: dict[str, int] = {}
    held: dict[str, int] = {}
    known: dict[SlotKey, SlotKey] = {}
    for row in await conn.fetch(Q.load_slots, deployment_id, workspace_id):
        if row["of"] == "size":
            sizes[row["key"]] = row["count"]
        elif row["of"] == "held":
            held[row["key"]] = row["count"]
        elif row["of"] == "move":
            by_move.setdefault(row["id"], []).append(row["key"])
        else:
            key = SlotKey(row["policy_id"], row["rule_id"], row["key"], row["why"])
            by_target.setdefault(row["id"], []).append(known.setdefault(key, key))
    return _Grouped(
        {key: tuple(sorted(found, key=_of_rule)) for key, found in by_target.items()},
        {key: tuple(sorted(found)) for key, found in by_move.items()},
        {key: Slot(size, held.get(key, 0)) for key, size in sizes.items()},
    )


def _of_rule(key: SlotKey) -> tuple[str, str]:
    return key.policy_id, key.rule_id


def _ended(rows: Iterable[Row]) -> dict[tuple[str, str], dict[str, datetime]]:
    ended: dict[tuple[str, str], dict[str, datetime]] = {}
    for row in rows:
        if row["status"] is not None:
            ended.setdefault((row["target_id"], row["version_id"]), {})[row["status"]] = row["first_at"]
    return ended


async def _load_moves(conn: Conn, deployment_id: str) -> tuple[Move, ...]:
    rows = await conn.fetch(Q.load_moves, deployment_id)
    if not rows:
        return ()
    jobs: dict[str, list[Job]] = {}
    verifications: dict[str, list[Verification]] = {}
    for row in await conn.fetch(Q.load_steps, deployment_id):
        if row["is_job"]:
            status, handover = JobStatus(row["state"]), Handover(row["handover"])
            job = Job(
                row["id"],
                status,
                handover,
                row["began_at"],
                row["ended_at"],
                row["cancel_asked"],
                row["message"],
                Confirm(row["confirm"]),
            )
            jobs.setdefault(row["move_id"], []).append(job)
        else:
            one = Verification(
                row["id"], row["job_id"], row["state"], row["ended_at"], row["message"], row["held_until"]
            )
            verifications.setdefault(row["move_id"], []).append(one)
    return tuple(
        Move(
            id=row["id"],
            target_id=row["target_id"],
            environment_id=row["environment_id"],
            rollout_id=row["rollout_id"],
            change_id=row["change_id"],
            kind=row["kind"],
            version_id=row["version_id"],
            to_release=ReleaseRef(row["to_id"], row["to_version_id"], row["to_config_digest"]),
            from_release=_release(row, "from"),
            state=row["state"],
            decision_id=row["decision_id"],
            admitted_at=row["admitted_at"],
            started_at=row["started_at"],
            closed_at=row["closed_at"],
            reason=row["reason"],
            undoes_move_id=row["undoes_move_id"],
            order_id=row["order_id"],
            returns_to=_release(row, "good"),
            jobs=tuple(jobs.get(row["id"], ())),
            verifications=tuple(verifications.get(row["id"], ())),
        )
        for row in rows
    )


def _proof(one: Sequence[Any]) -> Proof:
    proof_id, wave, lane, state, ended_at, message, forgiven, metrics = one
    ended = None if ended_at is None else datetime.fromisoformat(ended_at)
    return Proof(proof_id, wave, lane or "", state, ended, message, forgiven, tuple(metrics or ()))


def _rollout(row: Row) -> Rollout:
    columns = dict(row)
    proofs = tuple(map(_proof, columns.pop("proofs") or ()))
    speed = Speed(*(columns.pop(name) for name in ("interval_s", "max_in_flight", "bake_s", "promoted_at")))
    return Rollout(**columns, speed=speed, proofs=proofs)


def _approvals(rows: Sequence[Row]) -> dict[tuple[str, str], tuple[Approval, ...]]:
    ordered = sorted(rows, key=lambda row: (row["version_id"], row["environment_id"]))
    groups = itertools.groupby(ordered, key=lambda row: (row["version_id"], row["environment_id"]))
    return {
        key: tuple(
            sorted(
                (
                    Approval(
                        row["principal_id"],
                        row["name"],
                        row["verdict"],
                        row["given_at"],
                        frozenset(row["groups"]),
                        None if row["config_digests"] is None else frozenset(row["config_digests"]),
                    )
                    for row in group
                ),
                key=lambda one: (one.given_at, one.principal_id),
            )
        )
        for key, group in groups
    }


def _pin(row: Row) -> Pin:
    return Pin(
        row["id"],
        row["version_id"],
        row["created_at"],
        row["environment_id"],
        row["target_id"],
        row["expires_at"],
        row["reason"],
        row["created_by"],
    )


def _incident(row: Row) -> Incident:
    where = row["environment_ids"]
    return Incident(
        row["id"],
        row["source"],
        row["title"],
        row["severity"],
        row["opened_at"],
        row["expires_at"],
        frozenset(row["deployment_ids"]),
        None if where is None else frozenset(where),
    )


def _order(row: Row) -> Order:
    names = ("id", "kind", "target_id", "version_id", "change_id", "created_at")
    more = ("when", "scope", "reason", "by", "expires_at", "undoes_move_id")
    return Order(**{name: row[name] for name in (*names, *more)}, release=_release(row, "release"))


def _skip(row: Row) -> Skip:
    return Skip(
        row["id"],
        row["rule_id"],
        row["version_id"],
        row["reason"],
        row["created_at"],
        row["environment_id"],
        row["resource_id"],
        row["expires_at"],
        row["created_by"],
    )


async def _load_freezes(
    conn: Conn, deployment_id: str, deployment_name: str, environments: Mapping[str, Environment]
) -> tuple[Freeze, ...]:
    rows = await conn.fetch(Q.load_freezes, deployment_id)
    if not rows:
        return ()
    views: Sequence[Row] = ()
    if any(row["selector"] for row in rows):
        views = await conn.fetch(Q.load_selector_views, deployment_id)
    return tuple(
        Freeze(
            id=row["id"],
            scope=row["scope_kind"],
            reason=row["reason"],
            created_at=row["created_at"],
            created_by=row["created_by"],
            expires_at=row["expires_at"],
            environment_ids=None if row["environment_ids"] is None else frozenset(row["environment_ids"]),
            target_ids=_picked(row, views, deployment_id, deployment_name, environments) if row["selector"] else None,
        )
        for row in rows
    )


def _picked(
    freeze: Row, views: Sequence[Row], deployment_id: str, deployment_name: str, environments: Mapping[str, Environment]
) -> frozenset[str]:
    """The targets that a freeze's selector picks, within its scope."""
    selector = parse_selector(freeze["selector"], Scope.POLICY)
    within = freeze["environment_ids"]
    deployment = {"id": deployment_id, "name": deployment_name, "slug": deployment_name, "metadata": {}}
    picked = set()
    for row in views:
        environment = environments.get(row["environment_id"])
        if environment is None or (within is not None and environment.id not in within):
            continue
        values: dict[str, Any] = {
            "resource": resource_view(row),
            "environment": environment.view,
            "deployment": deployment,
        }
        if matches(selector, values):
            picked.add(row["target_id"])
    return frozenset(picked)


def resource_view(row: Row) -> dict[str, Any]:
    """A resource as CEL sees it."""
    return {
        "id": row["id"],
        "identifier": row["identifier"],
        "name": row["name"],
        "kind": row["kind"],
        "version": row["version"],
        "workspaceId": row["workspace_id"],
        "providerId": row["provider_id"] or "",
        "config": row["config"],
        "metadata": row["metadata"],
        "createdAt": _text(row["created_at"]),
        "updatedAt": _text(row["updated_at"]),
    }

"""What would a version change, before it exists? A deployment plan: one result a target, asked of its agent.

A plan is dry. It freezes the release that each target would get, as a round would, and asks the agent what it would do
with it; agents without the capability answer `unsupported`. Policies may judge each result (`planValidationOpa`). It is
computed by work items after the request's answer, a few targets at a time, and given up when it expires.

Source: contract.md section e, "Plan"; reference-behaviour.md 5.10 and 4.13 [RB: no result is lost, a plan completes].
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
import orjson

from interlock.decide.rules import parse_rules, plan_validation_opa
from interlock.model.event import Event, Ref
from interlock.model.ids import new_id
from interlock.model.job import AgentJob, Planned
from interlock.model.secret import Where
from interlock.store.queries import Conn, queries
from interlock.store.releases import Shared, frozen, load_resources, load_shared
from interlock.store.tx import Change, Tx
from interlock.store.work import PEOPLE, WorkRequest

Q = queries("deployment_plan")

Row = asyncpg.Record

TARGETS_MAX = 2_000
"""How many targets one plan looks at, by environment and name; it says how many it left out."""

LASTS_S = 3_600
AT_A_TIME_MAX = 20
TEXT_MAX = 200_000
"""Characters of a rendered text that are kept."""


@dataclass(frozen=True, slots=True)
class PlanRules:
    """One planValidationOpa rule: where it stands, and what it says."""

    rule_id: str
    policy_id: str
    params: plan_validation_opa.Params


@dataclass(frozen=True, slots=True)
class PendingResult:
    """One target's result that is still to be computed.

    Takes: `job` is what its agent would get; None with the reason in `why_not`. `current` is the context of what it
           runs.
    """

    id: str
    target_id: str
    agent_type: str
    job: AgentJob | None
    why_not: str
    current: Mapping[str, Any] | None
    rules: tuple[PlanRules, ...]


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """A plan as it was asked for."""

    id: str
    workspace_id: str
    deployment_id: str
    version: Mapping[str, Any]
    metadata: Mapping[str, str]
    targets_left_out: int
    created_at: datetime
    expires_at: datetime
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class PlanResult:
    """One target's result as people read it."""

    id: str
    status: str
    has_changes: bool
    content_hash: str
    current: str
    proposed: str
    message: str
    environment_id: str
    environment: str
    resource_id: str
    resource: str
    validations: Sequence[Mapping[str, Any]]


async def create_plan(
    tx: Tx,
    workspace_id: str,
    *,
    deployment_id: str,
    version: Mapping[str, Any],
    metadata: Mapping[str, str],
    created_by: str,
) -> str:
    """Ask for a plan; its results are computed after the commit. Gives its id.

    Takes: `version` as the client sent it; the secrets of its `jobAgentConfig` are sealed here.
    """
    plan_id, config = new_id(), dict(version["jobAgentConfig"])
    config = await tx.secrets.seal_document(
        tx.conn, workspace_id, config, where=Where.AGENT_CONFIG, field="version.jobAgentConfig"
    )
    kept = {**version, "jobAgentConfig": config}
    row = (plan_id, workspace_id, deployment_id, kept, dict(metadata), created_by, LASTS_S, TARGETS_MAX)
    await tx.record(
        changes=[Change(Q.insert_plan, row), Change(Q.insert_results, (plan_id, deployment_id, TARGETS_MAX))],
        events=[
            Event(
                "deployment_plan.asked",
                Ref("deployment_plan", plan_id),
                {"tag": version["tag"]},
                refs=(Ref("deployment", deployment_id),),
            )
        ],
        wakes=[WorkRequest("plan", plan_id, workspace_id, None, PEOPLE)],
    )
    return plan_id


async def find_plan(conn: Conn, plan_id: str) -> StoredPlan | None:
    """A plan by id."""
    row = await conn.fetchrow(Q.find_plan, plan_id)
    return None if row is None else StoredPlan(**row)


async def list_results(conn: Conn, plan_id: str) -> tuple[PlanResult, ...]:
    """A plan's results by environment and resource."""
    return tuple(PlanResult(**row) for row in await conn.fetch(Q.list_results, plan_id))


async def load_pending(conn: Conn, plan: StoredPlan) -> tuple[PendingResult, ...]:
    """The next few results to compute; empty when all are.

    Fails: `Stale` when the deployment is gone.
    """
    rows = await conn.fetch(Q.list_pending, plan.id, AT_A_TIME_MAX)
    if not rows:
        return ()
    shared = await load_shared(
        conn,
        plan.deployment_id,
        environment_ids={row["environment_id"] for row in rows},
        version_ids=(),
        config_digests={row["config_digest"] for row in rows if row["config_digest"]},
    )
    shared = _with_version(shared, plan)
    resources = await load_resources(conn, [row["target_id"] for row in rows])
    rules = await _load_rules(conn, {row["policy_set_id"] for row in rows if row["policy_set_id"]})
    return tuple(_pending(row, plan, shared, resources, rules.get(row["policy_set_id"] or "", ())) for row in rows)


def _with_version(shared: Shared, plan: StoredPlan) -> Shared:
    """The planned version beside what is stored: it has the plan's id, and exists nowhere else."""
    version = {
        "id": plan.id,
        "name": plan.version["tag"],
        "status": "unspecified",
        "deploymentId": plan.deployment_id,
        "createdAt": plan.created_at.isoformat().replace("+00:00", "Z"),
        **plan.version,
    }
    return Shared(shared.deployment, shared.environments, {plan.id: version}, shared.configs, {})


def _pending(
    row: Row,
    plan: StoredPlan,
    shared: Shared,
    resources: Mapping[str, Mapping[str, object]],
    rules: tuple[PlanRules, ...],
) -> PendingResult:
    job, why_not = None, ""
    if row["agent_id"] is None:
        why_not = "The target has no agent, or several."
    elif row["config_digest"] not in shared.configs:
        why_not = "The target's config is still being worked out."
    else:
        snapshot = frozen(
            shared,
            resources[row["target_id"]],
            environment_id=row["environment_id"],
            version_id=plan.id,
            config_digest=row["config_digest"],
            release_id=row["id"],
            at=plan.created_at,
        )
        config = snapshot["jobAgentConfig"]
        assert isinstance(config, Mapping), "a merged config is an object"
        job = AgentJob(
            id=row["id"],
            attempt=1,
            agent_id=row["agent_id"],
            agent_kind=row["agent_type"],
            config=config,
            context=snapshot,
        )
    return PendingResult(row["id"], row["target_id"], row["agent_type"] or "", job, why_not, row["current"], rules)


async def _load_rules(conn: Conn, sets: set[str]) -> dict[str, tuple[PlanRules, ...]]:
    """Policy set id -> the rules that judge plans."""
    found: dict[str, list[PlanRules]] = {}
    for row in await conn.fetch(Q.load_policies, sorted(sets)):
        for number, rule in enumerate(parse_rules(row["rules"])):
            if isinstance(rule.params, plan_validation_opa.Params):
                rule_id = rule.id or f"{row['id']}#{number}"
                found.setdefault(row["set_id"], []).append(PlanRules(rule_id, row["id"], rule.params))
    return {set_id: tuple(rules) for set_id, rules in found.items()}


@dataclass(frozen=True, slots=True)
class Validation:
    """What one rule says of one result."""

    rule: PlanRules
    status: str
    violations: tuple[object, ...]
    message: str


async def record_result(
    tx: Tx, result: PendingResult, *, status: str, planned: Planned, validations: Sequence[Validation]
) -> None:
    """Write a target's result with what rules say of it; a second time changes nothing."""
    columns = (
        [one.rule.rule_id for one in validations],
        [one.rule.policy_id for one in validations],
        [one.rule.params.name for one in validations],
        [one.status for one in validations],
        [orjson.dumps(one.violations).decode() for one in validations],
        [one.message for one in validations],
    )
    content_hash = hashlib.sha256(planned.proposed.encode()).hexdigest() if status == "completed" else ""
    row = (
        result.id,
        status,
        planned.has_changes,
        content_hash,
        planned.current[:TEXT_MAX],
        planned.proposed[:TEXT_MAX],
        planned.message[:TEXT_MAX],
    )
    changes = [Change(Q.record_result, row)]
    if validations:
        changes.append(Change(Q.record_validations, (result.id, *columns)))
    await tx.record(changes=changes)


async def complete_plan(tx: Tx, plan: StoredPlan, *, give_up: bool) -> None:
    """Close a plan of which nothing is left to compute, or that nobody waits for any more."""
    changes = [Change(Q.complete_plan, (plan.id,))]
    if give_up:
        changes.insert(0, Change(Q.give_up_results, (plan.id, "It was not computed before the plan expired.")))
    done = Event(
        "deployment_plan.completed",
        Ref("deployment_plan", plan.id),
        {"tag": plan.version["tag"], **({"expired": True} if give_up else {})},
        refs=(Ref("deployment", plan.deployment_id),),
    )
    await tx.record(changes=changes, events=[done])

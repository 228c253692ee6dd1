"""Which policies apply here, and why each? Every policy of the workspace against the targets of one environment.

How many targets a policy governs was worked out when they were matched, and is read. Why is worked out again on one
target of each kind: a selector's conjuncts, which of them are true, and what the others saw instead.

Where there is no target to look at, the environment and the deployment alone are asked; a part that reads the resource
stays untold.

Source: core.md section 2, "Resolved before deciding"; inventory/conjuncts.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interlock.inventory.conjuncts import Conjunct, judge_conjuncts
from interlock.inventory.selector import Scope, parse_selector
from interlock.inventory.views import deployment_view, environment_view, resource_view
from interlock.model.inventory import Deployment, Environment
from interlock.store import deployments, resources
from interlock.store.policies import StoredPolicy, list_policies
from interlock.store.queries import Conn, queries

Q = queries("policy")

POLICIES_MAX = 1000
EXAMPLES_MAX = 20
"""Targets that are looked at, one of each set of policies first."""

Subjects = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Example:
    """A target that was looked at, and the policies that govern it as it was matched."""

    deployment: str
    resource: str
    policy_ids: frozenset[str]
    subjects: Subjects


@dataclass(frozen=True, slots=True)
class InForce:
    """One policy, and whether it applies.

    Takes: `targets` of `of` are governed by it. `example` is the target that `conjuncts` were judged on: one that it
           governs, else one that it does not; None without any target.
    """

    policy: StoredPolicy
    targets: int
    of: int
    example: Example | None
    conjuncts: tuple[Conjunct, ...]

    @property
    def applies(self) -> bool:
        """Whether it governs anything here."""
        return self.targets > 0


async def list_in_force(
    conn: Conn,
    workspace_id: str,
    *,
    environment: Environment,
    deployment: Deployment | None = None,
    resource_id: str | None = None,
) -> list[InForce]:
    """Every policy of the workspace: first those that apply here.

    Takes: `deployment` and `resource_id` narrow.
    Costs: six statements.
    """
    narrow = (workspace_id, environment.id, deployment.id if deployment else None, resource_id)
    counts = {row["policy_id"]: row["targets"] for row in await conn.fetch(Q.count_governed, *narrow)}
    stored, _ = await list_policies(conn, workspace_id, limit=POLICIES_MAX, offset=0)
    examples = await _load_examples(conn, narrow, environment)
    bare = {"environment": environment_view(environment, workspace_id=workspace_id)}
    if deployment is not None:
        bare["deployment"] = deployment_view(deployment)
    found = [_in_force(policy, counts, examples, bare) for policy in stored]
    return sorted(found, key=lambda one: (not one.applies, not one.policy.enabled, one.policy.name, one.policy.id))


async def _load_examples(
    conn: Conn, narrow: tuple[str, str, str | None, str | None], environment: Environment
) -> list[Example]:
    rows = await conn.fetch(Q.list_examples, *narrow, EXAMPLES_MAX)
    known = await deployments.load_deployments(conn, sorted({row["deployment_id"] for row in rows}))
    hosts = await resources.load_resources(conn, sorted({row["resource_id"] for row in rows}))
    deployment_by_id, resource_by_id = {one.id: one for one in known}, {one.id: one for one in hosts}
    view = environment_view(environment, workspace_id=narrow[0])
    return [
        Example(
            mine.name,
            host.name,
            frozenset(row["policy_ids"]),
            {"environment": view, "deployment": deployment_view(mine), "resource": resource_view(host)},
        )
        for row in rows
        if (mine := deployment_by_id.get(row["deployment_id"])) and (host := resource_by_id.get(row["resource_id"]))
    ]


def _in_force(
    policy: StoredPolicy, counts: Mapping[str | None, int], examples: Sequence[Example], bare: Subjects
) -> InForce:
    governed = [one for one in examples if policy.id in one.policy_ids]
    example = next(iter(governed or examples), None)
    selector = parse_selector(policy.selector, Scope.POLICY)
    judged = judge_conjuncts(selector, example.subjects if example is not None else bare)
    return InForce(policy, counts.get(policy.id, 0), counts[None], example, judged)

"""How is a deployment plan computed? A few targets at a time: each one's agent is asked what it would do, and the rules
that judge plans say what they think of it.

An agent that is away is asked again until the plan expires. Nothing is decided here, and nothing moves.

Source: contract.md section e, "Plan"; reference-behaviour.md 5.8, 5.10 and 4.13.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import cast

from interlock.agents import Agent, Planner
from interlock.flow import AGENT_CALL_S, WORKER
from interlock.model.errors import Invalid, Rejected, Unavailable
from interlock.model.job import AgentJob, Planned
from interlock.model.secret import masked
from interlock.outside.rego import Rego
from interlock.store.deployment_plans import (
    PendingResult,
    StoredPlan,
    Validation,
    complete_plan,
    find_plan,
    load_pending,
    record_result,
)
from interlock.store.opening import Opener
from interlock.store.tx import Store, Tx
from interlock.store.work import Claim

AGAIN_S = 5.0
"""When an agent that was away is asked again."""

NOTHING = Planned("", "", has_changes=False)


@dataclass(slots=True)
class DeploymentPlans:
    """What the step works with."""

    store: Store
    agents: Mapping[str, Agent]
    opener: Opener
    rego: Rego = field(default_factory=Rego)

    async def compute(self, claim: Claim) -> datetime | None:
        """Compute the next few results of a plan; gives when to go on, None when it is complete."""
        async with self.store.read() as conn:
            plan = await find_plan(conn, claim.key)
            if plan is None or plan.completed_at is not None:
                return None
            pending = await load_pending(conn, plan)
        now = self.store.now()
        expired = now >= plan.expires_at
        if expired or not pending:
            async with self._tx(plan, claim) as tx:
                await complete_plan(tx, plan, give_up=expired)
            return None
        known = await asyncio.gather(*(self._compute_one(plan, one, claim) for one in pending))
        return now if any(known) else now + timedelta(seconds=AGAIN_S)

    async def _compute_one(self, plan: StoredPlan, pending: PendingResult, claim: Claim) -> bool:
        """Compute one result. Says whether it is known now; an agent that is away leaves it open."""
        agent = self.agents.get(pending.agent_type)
        if pending.job is None:
            status, planned = "errored", replace(NOTHING, message=pending.why_not)
        elif agent is None or "plan" not in agent.capabilities:
            status, planned = "unsupported", replace(NOTHING, message=f"{pending.agent_type} cannot plan.")
        else:
            try:
                async with asyncio.timeout(AGENT_CALL_S):
                    planned = await self._ask(cast("Planner", agent), plan.workspace_id, pending.job, pending.current)
                status = "completed"
            except (Unavailable, TimeoutError):
                return False
            except (Rejected, Invalid) as no:
                status, planned = "errored", replace(NOTHING, message=no.message)
        validations = await self._validate(pending, planned) if status == "completed" else []
        async with self._tx(plan, claim) as tx:
            await record_result(tx, pending, status=status, planned=planned, validations=validations)
        return True

    async def _ask(
        self, agent: Planner, workspace_id: str, job: AgentJob, current: Mapping[str, object] | None
    ) -> Planned:
        """Ask for one plan. The agent gets its own config opened, and marks for everything that it may render."""
        opened = await self.opener.open(workspace_id, job.config)
        shown = replace(job, config=opened.document, context=masked(job.context))
        return opened.planned(await agent.plan(shown, masked(current)))

    async def _validate(self, pending: PendingResult, planned: Planned) -> list[Validation]:
        """What the planValidationOpa rules say of a result."""
        if not pending.rules or pending.job is None:
            return []
        context = masked(pending.job.context)
        asked = {
            "current": planned.current,
            "proposed": planned.proposed,
            "hasChanges": planned.has_changes,
            "agentType": pending.agent_type,
            "environment": context["environment"],
            "resource": context["resource"],
            "deployment": context["deployment"],
            "proposedVersion": context["version"],
            "currentVersion": pending.current["version"] if pending.current else None,
        }
        opinions = await self.rego.ask([rule.params.rego for rule in pending.rules], asked)
        return [
            Validation(rule, opinion.status, opinion.violations, opinion.message)
            for rule, opinion in zip(pending.rules, opinions, strict=True)
        ]

    def _tx(self, plan: StoredPlan, claim: Claim) -> AbstractAsyncContextManager[Tx]:
        return self.store.tx(actor=WORKER, cause="plan", workspace_id=plan.workspace_id, claim=claim)

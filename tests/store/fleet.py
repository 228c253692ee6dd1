"""A small fleet in a real database, and a worker that takes its steps one by one.

`a_fleet` writes through the same functions as the API. `Stepper` runs due work in a fixed order until nothing is due,
so that a test tells a story without timing. `load` and `commit` are the two halves of a round, for what comes between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import asyncpg

from interlock.access import Role
from interlock.agents import build_agents
from interlock.decide import decide
from interlock.decide.plan import Plan
from interlock.flow import Flow
from interlock.metrics import build_metrics
from interlock.model.event import Actor
from interlock.model.ids import new_id
from interlock.model.version import Dependency
from interlock.outside.http import Http
from interlock.store.agents import save_agent
from interlock.store.approvals import answer_unseen
from interlock.store.deployments import save_deployment
from interlock.store.environments import save_environment
from interlock.store.facts import Loaded, load_facts
from interlock.store.freezes import set_freeze, thaw_freeze
from interlock.store.plan import Committed, commit_plan
from interlock.store.policies import PolicyContent, save_policy
from interlock.store.principals import save_member, save_principal
from interlock.store.resources import ResourceContent, save_resource
from interlock.store.systems import link, save_system
from interlock.store.tx import Store
from interlock.store.versions import VersionContent, change_version, find_version, lock_version, save_version
from interlock.store.work import Claim, Finished, claim_work, find_next_ready_s, finish_work
from interlock.store.workspaces import create_workspace
from interlock.workers import steps_by_kinds

TESTER = Actor("user", "00000000-0000-0000-0000-00000000000a", "tester")


@dataclass(slots=True)
class Fleet:
    """What was made, by name."""

    store: Store
    workspace_id: str
    admin_id: str
    system_id: str
    agent_id: str
    deployment_id: str
    environments: dict[str, str] = field(default_factory=dict)
    resources: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    policies: dict[str, str] = field(default_factory=dict)

    def tx(self, cause: str = "test") -> Any:
        return self.store.tx(actor=Actor("user", self.admin_id), cause=cause, workspace_id=self.workspace_id)

    async def version(
        self,
        tag: str,
        *,
        status: str = "ready",
        config: Mapping[str, Any] | None = None,
        deployment_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        needs: Mapping[str, str] | None = None,
    ) -> str:
        """A version arrives; `needs` is deployment id -> which of its versions must run beside it."""
        wanted = None if needs is None else tuple(Dependency("", *one) for one in needs.items())
        content = VersionContent(tag, tag, status, None, {}, config or {}, metadata or {}, dependencies=wanted)
        async with self.tx() as tx:
            saved = await save_version(
                tx,
                self.workspace_id,
                deployment_id=deployment_id or self.deployment_id,
                content=content,
                author_id=self.admin_id,
            )
        self.versions[tag] = saved.id
        return saved.id

    async def deployment(self, name: str, *, selector: str = "true") -> str:
        """One more deployment in the same system, on the same agent."""
        deployment_id = new_id()
        async with self.tx() as tx:
            await save_deployment(tx, self.workspace_id, **a_deployment(deployment_id, name, selector=selector))
            await link(tx, self.workspace_id, system_id=self.system_id, child_kind="deployment", child_id=deployment_id)
        return deployment_id

    async def answer(self, tag: str, environment: str, verdict: str, *, by: str) -> None:
        """A person's word on a version in an environment."""
        async with self.tx() as tx:
            version = await find_version(tx.conn, self.workspace_id, version_id=self.versions[tag])
            assert version is not None
            await answer_unseen(
                tx,
                self.workspace_id,
                version=version,
                environment_ids=(self.environments[environment],),
                principal_id=by,
                verdict=verdict,
                comment=None,
            )

    async def status(self, tag: str, status: str) -> None:
        """A version gets another status."""
        async with self.tx() as tx:
            before = await lock_version(tx, self.workspace_id, version_id=self.versions[tag])
            assert before is not None
            await change_version(tx, self.workspace_id, before=before, after=replace(before, status=status))

    async def freeze(self) -> str:
        """Freeze the whole workspace."""
        async with self.tx() as tx:
            freeze = await set_freeze(tx, self.workspace_id, **a_freeze(self))
        return freeze.id

    async def thaw(self, freeze_id: str) -> None:
        async with self.tx() as tx:
            await thaw_freeze(tx, self.workspace_id, freeze_id=freeze_id, reason="over", author_id=self.admin_id)

    async def jobs(self) -> list[asyncpg.Record]:
        """All jobs, oldest first."""
        async with self.store.read() as conn:
            return await conn.fetch(
                "SELECT * FROM job WHERE workspace_id = $1 ORDER BY created_at, id", self.workspace_id
            )

    async def one_job(self) -> asyncpg.Record:
        (job,) = await self.jobs()
        return job

    async def is_due(self, kind: str, key: str) -> bool:
        """Whether a look at a key is asked for, now."""
        async with self.store.read() as conn:
            where = "kind = $1 AND key = $2 AND owner IS NULL AND ready_at <= interlock_now()"
            return bool(await conn.fetchval(f"SELECT EXISTS (SELECT FROM work WHERE {where})", kind, key))

    async def policy(self, name: str, rules: Sequence[Mapping[str, Any]], *, selector: str = "true") -> str:
        policy_id = self.policies.setdefault(name, new_id())
        stamped = [{"id": f"{policy_id[:8]}-{number}", **rule} for number, rule in enumerate(rules)]
        content = PolicyContent(name, None, selector, {}, 0, True, "enforce", stamped)
        async with self.tx() as tx:
            now = await tx.conn.fetchval("SELECT now()")
            await save_policy(
                tx, self.workspace_id, policy_id=policy_id, content=content, now=now, author_id=self.admin_id
            )
        return policy_id

    async def resource(self, name: str, **metadata: str) -> str:
        content = ResourceContent(name, name, "Host", "v1", {"port": 1}, metadata)
        async with self.tx() as tx:
            self.resources[name] = await save_resource(tx, self.workspace_id, content=content, variables=None)
        return self.resources[name]

    async def where(self, deployment_id: str | None = None) -> dict[str, str | None]:
        """Target's resource name -> tag of what a deployment runs there; the first one's by default."""
        async with self.store.read() as conn:
            rows = await conn.fetch(
                "SELECT r.name, v.tag FROM target t JOIN resource r ON r.id = t.resource_id "
                "LEFT JOIN release c ON c.id = t.current_release_id LEFT JOIN version v ON v.id = c.version_id "
                "WHERE t.state = 'attached' AND t.deployment_id = $1",
                deployment_id or self.deployment_id,
            )
        return {row["name"]: row["tag"] for row in rows}

    async def told(self) -> list[str]:
        """The kinds of the ledger, in order."""
        async with self.store.read() as conn:
            return [row["kind"] for row in await conn.fetch("SELECT kind FROM ledger ORDER BY id")]


def a_deployment(deployment_id: str, name: str, *, selector: str = "true") -> dict[str, Any]:
    """What `save_deployment` takes for a plain deployment."""
    return {
        "deployment_id": deployment_id,
        "name": name,
        "description": None,
        "resource_selector": selector,
        "job_agent_selector": "true",
        "job_agent_config": {},
        "job_agents": None,
        "metadata": {},
        "supersede": "wait",
    }


def a_freeze(fleet: Fleet) -> dict[str, Any]:
    """What `set_freeze` takes for a freeze of the whole workspace."""
    return {
        "scope_kind": "workspace",
        "scope_id": None,
        "selector": None,
        "reason": "incident",
        "incident_url": None,
        "expires_at": None,
        "author_id": fleet.admin_id,
    }


async def a_fleet(
    store: Store,
    hosts: Mapping[str, str],
    *,
    agent_config: Mapping[str, Any] | None = None,
    agent_type: str = "test-runner",
) -> Fleet:
    """A workspace with one system, one deployment, one agent, and hosts by name -> environment."""
    actor = Actor("user", new_id())
    async with store.tx(actor=actor, cause="test") as tx:
        admin_id = await save_principal(tx, f"admin-{new_id()[:8]}")
        workspace_id = await create_workspace(tx, "fleet", slug=f"fleet-{new_id()[:8]}", creator_id=admin_id)
    fleet = Fleet(store, workspace_id, admin_id, new_id(), new_id(), new_id())
    config = agent_config if agent_config is not None else {"delaySeconds": 0}
    async with fleet.tx() as tx:
        await save_system(tx, workspace_id, system_id=fleet.system_id, name="shop", description=None, metadata={})
        await save_agent(
            tx, workspace_id, agent_id=fleet.agent_id, name="runner", kind=agent_type, config=config, metadata={}
        )
        await save_deployment(tx, workspace_id, **a_deployment(fleet.deployment_id, "shop-api"))
        await link(tx, workspace_id, system_id=fleet.system_id, child_kind="deployment", child_id=fleet.deployment_id)
        for name in sorted(set(hosts.values())):
            fleet.environments[name] = new_id()
            await save_environment(
                tx,
                workspace_id,
                environment_id=fleet.environments[name],
                name=name,
                description=None,
                resource_selector=f'resource.metadata["env"] == "{name}"',
                metadata={},
            )
            await link(
                tx,
                workspace_id,
                system_id=fleet.system_id,
                child_kind="environment",
                child_id=fleet.environments[name],
            )
    for name, environment in hosts.items():
        await fleet.resource(name, env=environment)
    return fleet


async def a_member(fleet: Fleet, name: str, role: Role = Role.APPROVER) -> str:
    """One more person in the workspace."""
    async with fleet.tx() as tx:
        principal_id = await save_principal(tx, f"{name}-{new_id()[:8]}")
        await save_member(tx, fleet.workspace_id, principal_id=principal_id, role=role)
    return principal_id


APPROVAL = {"anyApproval": {"minApprovals": 1}}


async def load(store: Store, deployment_id: str) -> Loaded:
    """The facts of a deployment, in a snapshot of their own."""
    async with store.snapshot() as conn:
        loaded = await load_facts(conn, deployment_id)
    assert loaded is not None
    return loaded


async def commit(store: Store, loaded: Loaded, plan: Plan | None = None, *, claim: Claim | None = None) -> Committed:
    """Commit a plan, by default what `decide` says."""
    plan = plan if plan is not None else decide(loaded.facts, loaded.now)
    workspace_id = loaded.facts.workspace_id
    async with store.tx(actor=Actor("system", "worker"), cause="round", workspace_id=workspace_id, claim=claim) as tx:
        return await commit_plan(tx, loaded, plan)


async def until(ask: Callable[[], Awaitable[object]], *, timeout_s: float = 20.0) -> None:
    """Wait until the answer is yes."""
    async with asyncio.timeout(timeout_s):
        while not await ask():  # noqa: ASYNC110 - the answer is in the database
            await asyncio.sleep(0.02)


class Stepper:
    """A worker that takes every due step, in the order of kinds, until nothing is due."""

    def __init__(self, store: Store, tmp_path: Any, *, agents: Mapping[str, Any] | None = None) -> None:
        self.store = store
        self.http = Http(allow_private_addresses=True)
        built = {**build_agents(exec_root=tmp_path, exec_enabled=True), **(agents or {})}
        self.flow = Flow(store, built, build_metrics(self.http), round_gap_s=0.0)
        self.steps = {kind: step for kinds, step in steps_by_kinds(self.flow).items() for kind in kinds}

    async def claim(self, kind: str, *, lease_s: float = 30.0) -> Claim | None:
        """Take one due key of a kind."""
        async with self.store.read() as conn:
            claims = await claim_work(conn, [kind], items_max=1, owner="stepper", lease_s=lease_s)
        return claims[0] if claims else None

    async def finish(self, claim: Claim, again_at: datetime | None = None) -> None:
        async with self.store.read() as conn:
            await finish_work(conn, [Finished(claim, again_at)], owner=claim.owner)

    async def step(self, kind: str) -> bool:
        """Take one due key of a kind and run it. Says whether there was one."""
        claim = await self.claim(kind)
        if claim is None:
            return False
        await self.finish(claim, await self.steps[kind](claim))
        return True

    async def run(
        self,
        *,
        kinds: Sequence[str] | None = None,
        steps_max: int = 500,
        patience_s: float = 3.0,
        may_go_on: bool = False,
    ) -> int:
        """Take due steps until none is due within `patience_s`. Gives how many were taken."""
        taken, idle = 0, 0
        for _ in range(steps_max):
            async with self.store.read() as conn:
                claims = await claim_work(conn, list(kinds or self.steps), items_max=1, owner="stepper", lease_s=30.0)
            if not claims:
                async with self.store.read() as conn:
                    next_s = await find_next_ready_s(conn, list(kinds or self.steps))
                if next_s is None or next_s > patience_s:
                    if idle:
                        return taken
                    idle += 1  # what became due between the two questions was seen by neither
                    continue
                await asyncio.sleep(max(next_s, 0) + 0.005)
                continue
            idle = 0
            again_at = await self.steps[claims[0].kind](claims[0])
            async with self.store.read() as conn:
                await finish_work(conn, [Finished(claims[0], again_at)], owner="stepper")
            taken += 1
        if may_go_on:
            return taken
        raise AssertionError("the fleet never comes to rest")

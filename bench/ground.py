"""What do the benchmarks that need a database stand on? PostgreSQL as `interlock up` runs it, and a fleet of any size.

Durability is on, as in real life (fsync, synchronous commit). The fleet is written through the store's own functions,
but for its resources, which come in one statement and are matched by one look.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from interlock.model.event import Actor
from interlock.model.ids import new_id
from interlock.store import embedded
from interlock.store.agents import save_agent
from interlock.store.approvals import answer_unseen
from interlock.store.deployments import save_deployment
from interlock.store.environments import save_environment
from interlock.store.migrate import migrate
from interlock.store.policies import PolicyContent, save_policy
from interlock.store.principals import save_principal
from interlock.store.systems import link, save_system
from interlock.store.targets import Touched, match_targets
from interlock.store.tx import Store
from interlock.store.versions import VersionContent, find_version_by_tag, save_version
from interlock.store.workspaces import create_workspace

GATES = [
    {"anyApproval": {"minApprovals": 1}},
    {"environmentProgression": {"dependsOnEnvironmentSelector": 'environment.name == "staging"'}},
    {"deploymentWindow": {"rrule": "FREQ=DAILY;BYHOUR=0", "durationMinutes": 1440, "timezone": "UTC"}},
    {"versionSelector": {"selector": '!version.tag.contains("-rc")'}},
]


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure and its budget in DESIGN section 9; None where there is none."""

    what: str
    figure: float
    budget: float | None
    unit: str
    more_is_better: bool = False

    @property
    def met(self) -> bool:
        """Whether it is within its budget."""
        if self.budget is None:
            return True
        return self.figure >= self.budget if self.more_is_better else self.figure <= self.budget


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which a share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@contextlib.asynccontextmanager
async def a_database() -> AsyncIterator[str]:
    """The address of a fresh, migrated database on a server of its own."""
    with tempfile.TemporaryDirectory(prefix="interlock-bench-") as folder:
        Path(folder).chmod(0o711)
        data = Path(folder) / "data"
        try:
            async with embedded.EmbeddedPostgres(data) as server:
                await migrate(server.url)
                yield server.url
        finally:
            embedded.remove(data)


@contextlib.asynccontextmanager
async def a_store() -> AsyncIterator[Store]:
    """A store on a database of its own."""
    async with a_database() as url:
        store = await Store.open(url)
        try:
            yield store
        finally:
            await store.close()


@dataclass(slots=True)
class Fleet:
    """A workspace with one deployment in `staging` (one host) and `production` (all others)."""

    store: Store
    workspace_id: str
    deployment_id: str
    system_id: str
    agent_id: str
    people: tuple[str, str]
    environments: Mapping[str, str]

    def tx(self, cause: str = "bench") -> Any:
        """A transaction of the first person."""
        return self.store.tx(actor=Actor("user", self.people[0]), cause=cause, workspace_id=self.workspace_id)

    async def version(self, tag: str) -> None:
        """CI makes a version."""
        content = VersionContent(tag, tag, "ready", None, {}, {}, {})
        async with self.tx() as tx:
            await save_version(
                tx, self.workspace_id, deployment_id=self.deployment_id, content=content, author_id=self.people[0]
            )

    async def approve(self, tag: str) -> None:
        """The second person says yes for production."""
        async with self.tx() as tx:
            version = await find_version_by_tag(tx.conn, self.deployment_id, tag=tag)
            assert version is not None
            await answer_unseen(
                tx,
                self.workspace_id,
                version=version,
                environment_ids=(self.environments["production"],),
                principal_id=self.people[1],
                verdict="approved",
                comment=None,
            )


async def a_fleet(
    store: Store,
    hosts: int,
    *,
    rules: Sequence[Mapping[str, Any]] = (),
    agent_type: str = "test-runner",
    agent_config: Mapping[str, Any] | None = None,
) -> Fleet:
    """A fleet of so many hosts in production, and one in staging."""
    async with store.tx(actor=Actor("user", new_id()), cause="bench") as tx:
        people = (await save_principal(tx, f"ann-{new_id()}"), await save_principal(tx, f"bob-{new_id()}"))
        workspace_id = await create_workspace(tx, "bench", slug=f"bench-{new_id()}", creator_id=people[0])
    names = {name: new_id() for name in ("staging", "production")}
    fleet = Fleet(store, workspace_id, new_id(), new_id(), new_id(), people, names)
    async with fleet.tx() as tx:
        await save_system(tx, workspace_id, system_id=fleet.system_id, name="shop", description=None, metadata={})
        config = agent_config or {"delaySeconds": 0}
        await save_agent(
            tx, workspace_id, agent_id=fleet.agent_id, name="runner", kind=agent_type, config=config, metadata={}
        )
        await save_deployment(
            tx,
            workspace_id,
            deployment_id=fleet.deployment_id,
            name="shop-api",
            description=None,
            resource_selector='resource.kind == "Host"',
            job_agent_selector='jobAgent.name == "runner"',
            job_agent_config={},
            job_agents=None,
            metadata={},
            supersede="wait",
        )
        await link(tx, workspace_id, system_id=fleet.system_id, child_kind="deployment", child_id=fleet.deployment_id)
        for name, environment_id in names.items():
            await save_environment(
                tx,
                workspace_id,
                environment_id=environment_id,
                name=name,
                description=None,
                resource_selector=f'resource.metadata["env"] == "{name}"',
                metadata={},
            )
            await link(tx, workspace_id, system_id=fleet.system_id, child_kind="environment", child_id=environment_id)
    await add_resources(fleet, 1, env="staging")
    await add_resources(fleet, hosts, env="production")
    if rules:
        await add_policy(fleet, rules)
    async with store.read() as conn:
        await conn.execute("ANALYZE")
    return fleet


async def add_policy(fleet: Fleet, rules: Sequence[Mapping[str, Any]]) -> None:
    """Rules for production."""
    stamped = [{"id": new_id(), **rule} for rule in rules]
    content = PolicyContent("careful", None, 'environment.name == "production"', {}, 0, True, "enforce", stamped)
    async with fleet.tx() as tx:
        await save_policy(
            tx,
            fleet.workspace_id,
            policy_id=new_id(),
            content=content,
            now=datetime(2026, 1, 1, tzinfo=UTC),
            author_id=fleet.people[0],
        )
        # what the match worker does in a big workspace after the commit
        await match_targets(tx, fleet.workspace_id, Touched(policies=True))


async def add_resources(fleet: Fleet, number: int, *, env: str) -> float:
    """Hosts at once, matched by one look at their environment. Gives how long the match took, in seconds."""
    async with fleet.tx() as tx:
        await tx.conn.execute(
            "INSERT INTO resource (workspace_id, identifier, name, kind, version, config, metadata) "
            "SELECT $1, $3 || '-' || n, $3 || '-' || n, 'Host', 'v1', $4, $5 FROM generate_series(1, $2) AS n",
            fleet.workspace_id,
            number,
            env,
            {"port": 8080, "address": "10.0.0.1"},
            {"env": env, "region": "eu", "team": "shop"},
        )
        began_s = time.perf_counter()
        await match_targets(tx, fleet.workspace_id, Touched(environments=(fleet.environments[env],)))
    return time.perf_counter() - began_s

"""What does a test of the console get? The real app over a database with a small fleet that has a story.

The story is played once a session, by the real loop; each test has a copy of its database.

world      names and ids of what there is
app        API and console as `interlock up` serves them
visitor    `await visitor("grace", "approver")`: a browser without script that signed in through the form
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx
import pytest

from interlock.access import Role
from interlock.app import build_app
from interlock.model.event import Actor
from interlock.model.ids import new_id
from interlock.settings import Settings
from interlock.store.ledger import sequence_ledger
from interlock.store.principals import save_key, save_member, save_principal
from interlock.store.tx import Store
from tests.store.fleet import Fleet, Stepper, a_fleet

HERE = "http://interlock.test"
OURS = Actor("system", "00000000-0000-0000-0000-000000000000", "tests")

HOSTILE = "<script>alert('1')</script>\"><img src=x onerror=alert(2)>"


@dataclass(slots=True)
class World:
    """1.0.0 runs everywhere; 1.1.0 runs in staging and waits for a person in production."""

    workspace_id: str = ""
    slug: str = ""
    deployment_id: str = ""
    environments: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    request_id: str = ""
    answered_id: str = ""
    job_id: str = ""
    verification_id: str = ""
    maker_id: str = ""
    resources: dict[str, str] = field(default_factory=dict)

    def at(self, *parts: str) -> str:
        return "/".join(["/w", self.slug, *parts])

    def target_key(self, resource: str, environment: str) -> str:
        return f"{self.resources[resource]}-{self.environments[environment]}-{self.deployment_id}"


async def play(url: str, tmp_path: Any) -> World:
    """The story."""
    store = await Store.open(url)
    try:
        hosts = {"staging-1": "staging", "prod-eu-1": "production", "prod-us-1": "production"}
        fleet = await a_fleet(store, hosts)
        await fleet.policy(
            "careful",
            [
                {"environmentProgression": {"dependsOnEnvironmentSelector": 'environment.name == "staging"'}},
                {"anyApproval": {"minApprovals": 1}},
            ],
            selector='environment.name == "production"',
        )
        stepper = Stepper(store, tmp_path)
        await fleet.version("1.0.0")
        await stepper.run()
        answered = await newest_request(store)
        await approve(fleet, answered)
        await stepper.run()
        said = {"interlock/change-type": "migration", "interlock/risk": "high", "interlock/pull-request": "shop/api#12"}
        await fleet.version("1.1.0", metadata=said)
        await stepper.run()
        request_id = await newest_request(store)
        job_id, verification_id = await measured_job(fleet)
        async with store.read() as conn:
            while await sequence_ledger(conn):
                pass
            slug = await conn.fetchval("SELECT slug FROM workspace WHERE id = $1", fleet.workspace_id)
    finally:
        await store.close()
    return World(
        fleet.workspace_id,
        slug,
        fleet.deployment_id,
        fleet.environments,
        fleet.versions,
        request_id,
        answered,
        job_id,
        verification_id,
        fleet.admin_id,
        fleet.resources,
    )


async def newest_request(store: Store) -> str:
    async with store.read() as conn:
        return await conn.fetchval("SELECT id FROM approval_request ORDER BY opened_at DESC LIMIT 1")


async def approve(fleet: Fleet, request_id: str) -> None:
    from interlock.store import approvals

    async with fleet.tx() as tx:
        request = await approvals.find_request(tx.conn, fleet.workspace_id, request_id=request_id)
        person = await save_principal(tx, "grace")
        await save_member(tx, fleet.workspace_id, principal_id=person, role=Role.APPROVER)
        await approvals.answer_request(
            tx,
            fleet.workspace_id,
            request=request,
            principal_id=person,
            verdict="approved",
            digest=request.shown_digest,
            comment="staging was fine",
        )


async def measured_job(fleet: Fleet) -> tuple[str, str]:
    """Give the last job of staging an output and a verification with numbers."""
    from interlock.model.event import Event, Ref
    from interlock.store.tx import Change

    verification_id, metric_id = new_id(), new_id()
    async with fleet.tx() as tx:
        job = await tx.conn.fetchrow(
            "SELECT j.id, j.move_id FROM job j JOIN move m ON m.id = j.move_id WHERE m.environment_id = $1 "
            "ORDER BY j.created_at DESC LIMIT 1",
            fleet.environments["staging"],
        )
        spec = {
            "name": "error-rate",
            "intervalSeconds": 60,
            "count": 6,
            "successCondition": "result.ok && result.json.errorRate < 0.05",
            "provider": {"type": "http", "url": "http://stats.example"},
        }
        changes = [
            Change(
                "UPDATE job SET output = $2, links = $3 WHERE id = $1",
                (job["id"], "pulling\nstarted\n", {"Run": "https://ci.example/1", "Bad": "javascript:alert(1)"}),
            ),
            Change(
                "INSERT INTO verification (id, workspace_id, deployment_id, subject_kind, subject_id, move_id, state, "
                "started_at) VALUES ($1, $2, $3, 'job', $4, $5, 'failed', now())",
                (verification_id, fleet.workspace_id, fleet.deployment_id, job["id"], job["move_id"]),
            ),
            Change(
                "INSERT INTO verification_metric (id, verification_id, position, name, spec, state) "
                "VALUES ($1, $2, 0, 'error-rate', $3, 'failed')",
                (metric_id, verification_id, spec),
            ),
            *(
                Change(
                    "INSERT INTO measurement (metric_id, number, status, result, measured_at) "
                    "VALUES ($1, $2, $3, $4, now() - make_interval(mins => 10 - $2))",
                    (metric_id, number, status, {"ok": True, "json": {"errorRate": rate}}),
                )
                for number, (status, rate) in enumerate([("passed", 0.01), ("passed", 0.0), ("failed", 0.25)], start=1)
            ),
        ]
        event = Event("verification.failed", Ref("verification", verification_id), {}, (Ref("job", job["id"]),))
        await tx.record(changes, events=[event])
    return job["id"], verification_id


@pytest.fixture(scope="session")
def played(
    pg: Any, databases: Any, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, World]:
    """The database of the story, and what there is in it."""

    async def make() -> tuple[str, World]:
        name = await databases.copy(migrated_template)
        return name, await play(pg.url_of(name), tmp_path_factory.mktemp("world"))

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, make()).result()


@pytest.fixture
def world(played: tuple[str, World]) -> World:
    return World(**asdict(played[1]))


@pytest.fixture
async def database_url(pg: Any, databases: Any, played: tuple[str, World]) -> AsyncIterator[str]:
    """A copy of the world, in place of an empty database."""
    name = await databases.copy(played[0])
    yield pg.url_of(name)
    await databases.drop(name)


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    return Settings(data=tmp_path)


@pytest.fixture
def app(store: Store, settings: Settings) -> Any:
    return build_app(store, settings)


@pytest.fixture
async def key_of(store: Store, world: World) -> Any:
    """`await key_of("bea", "approver")`: a key of a member with this role; without a role, of nobody's member."""

    async def make(name: str, role: str | None = None, **scope: Any) -> str:
        async with store.tx(actor=OURS, cause="test", workspace_id=world.workspace_id) as tx:
            principal_id = await save_principal(tx, name)
            if role is not None:
                await save_member(tx, world.workspace_id, principal_id=principal_id, role=Role(role), **scope)
            return await save_key(tx, principal_id)

    return make


class Visitor:
    """A browser without script: it follows links and sends forms with what stands in them."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.client.get(path, **more)

    async def send(self, page: str, action: str, **fields: str) -> httpx.Response:
        """Load a page and send the form on it that goes to `action`, with these fields filled in."""
        loaded = await self.client.get(page)
        return await self.client.post(action, data={**hidden_fields(loaded.text, action), **fields})

    async def csrf(self) -> str:
        """The session's token, as any page carries it."""
        return hidden_fields((await self.client.get("/workspaces")).text, "/sign-out")["csrf"]


def hidden_fields(html: str, action: str) -> dict[str, str]:
    """The hidden fields of the form that goes to `action`."""
    form = re.search(rf'<form[^>]*action="{re.escape(action)}".*?</form>', html, flags=re.DOTALL)
    assert form, f"No form goes to {action}."
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form[0]))


@pytest.fixture
async def stranger(app: Any) -> AsyncIterator[Visitor]:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
        yield Visitor(client)


@pytest.fixture
async def visitor(app: Any, key_of: Any) -> AsyncIterator[Any]:
    opened: list[httpx.AsyncClient] = []

    async def make(name: str = "vera", role: str | None = "viewer", **scope: Any) -> Visitor:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url=HERE)
        opened.append(client)
        made = Visitor(client)
        answer = await made.send("/sign-in", "/sign-in", key=await key_of(name, role, **scope))
        assert answer.status_code == 303
        return made

    yield make
    for client in opened:
        await client.aclose()

"""What does a test of the API get? The real app in this process over a real database, and clients with keys.

app      the app on the test's own database
workers  real workers in this process; `pulled` a world whose jobs wait to be claimed
admin    a client whose key belongs to the admin of the workspace `shop`
api      the same, with paths that begin inside that workspace
conformance  what the OpenAPI document allows; every client compares each answer with it
counted  how many rows every table has: equal before and after a refused request
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import pytest
import structlog

from api.conformance import Conformance
from api.story import World, until, working
from interlock.access import Role
from interlock.api import build_api
from interlock.model.event import Actor
from interlock.settings import Settings
from interlock.store.principals import find_principal_by_name, save_key, save_member, save_principal
from interlock.store.tx import Store
from interlock.store.workspaces import create_workspace

OURS = Actor("system", "00000000-0000-0000-0000-000000000000", "tests")


@pytest.fixture(scope="session", autouse=True)
def plain_tracebacks() -> None:
    """What is logged unconfigured draws every local variable, for seconds; nobody reads it here."""
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.stdlib.add_log_level, plain])


class Api:
    """A client whose paths begin inside the workspace; `raw` sends any path."""

    def __init__(self, raw: httpx.AsyncClient, workspace: str) -> None:
        self.raw = raw
        self.workspace = workspace

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        return await self.raw.request(method, f"/api/v1/workspaces/{self.workspace}{path}", **more)

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.call("GET", path, **more)

    async def put(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return (
            await self.call("PUT", path, json=body, **more)
            if body is not None
            else await self.call("PUT", path, **more)
        )

    async def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return await self.call("POST", path, json=body if body is not None else {}, **more)

    async def patch(self, path: str, body: Any, **more: Any) -> httpx.Response:
        return await self.call("PATCH", path, json=body, **more)

    async def delete(self, path: str, **more: Any) -> httpx.Response:
        return await self.call("DELETE", path, **more)


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    return Settings(data=tmp_path, body_bytes_max=256 * 1024, rate_per_s=0, stranger_rate_per_s=0, sign_in_rate_per_s=0)


@pytest.fixture
def app(store: Store, settings: Settings) -> Any:
    return build_api(store, settings)


@pytest.fixture
async def workspace_id(store: Store) -> str:
    async with store.tx(actor=OURS, cause="test") as tx:
        admin_id = await save_principal(tx, "ada")
        return await create_workspace(tx, "Shop", slug="shop", creator_id=admin_id)


@pytest.fixture
async def key_of(store: Store, workspace_id: str) -> Any:
    """`await key_of("bea", "approver")`: a key of a member with this role; without a role, of nobody's member."""

    async def make(name: str, role: str | None = None, **scope: Any) -> str:
        async with store.tx(actor=OURS, cause="test", workspace_id=workspace_id) as tx:
            principal_id = await save_principal(tx, name)
            if role is not None:
                await save_member(tx, workspace_id, principal_id=principal_id, role=Role(role), **scope)
            return await save_key(tx, principal_id)

    return make


@pytest.fixture(scope="session")
def conformance(tmp_path_factory: Any) -> Conformance:
    """What the API says of itself; made once, because it does not depend on settings or data."""
    settings = Settings(data=tmp_path_factory.mktemp("described"))
    return Conformance(build_api(cast("Store", None), settings).openapi())


@pytest.fixture
async def client_of(app: Any, conformance: Conformance) -> AsyncIterator[Any]:
    """`client_of(key)`: a client that sends this key; None sends none. Every answer must fit the OpenAPI document."""

    async def look(answer: httpx.Response) -> None:
        await answer.aread()
        raw_path = answer.request.url.raw_path.partition(b"?")[0].decode()
        conformance.check(answer.request.method, raw_path, answer)

    opened: list[httpx.AsyncClient] = []

    def make(key: str | None) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        headers = {"X-API-Key": key} if key else {}
        client = httpx.AsyncClient(
            transport=transport, base_url="http://interlock.test", headers=headers, event_hooks={"response": [look]}
        )
        opened.append(client)
        return client

    yield make
    for client in opened:
        await client.aclose()


@pytest.fixture
async def api(store: Store, workspace_id: str, client_of: Any) -> Api:
    async with store.read() as conn:
        ada = await find_principal_by_name(conn, "ada")
    async with store.tx(actor=OURS, cause="test", workspace_id=workspace_id) as tx:
        key = await save_key(tx, ada.id)
    return Api(client_of(key), workspace_id)


@pytest.fixture
def counted(store: Store) -> Any:
    """`await counted()`: table -> rows, of every table that a request could write."""

    async def count() -> dict[str, int]:
        async with store.read() as conn:
            tables = await conn.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
            each = (f"SELECT '{name}', count(*) FROM \"{name}\"" for (name,) in tables)
            return dict(await conn.fetch(" UNION ALL ".join(each)))

    return count


@pytest.fixture
async def workers(store: Store, settings: Settings) -> AsyncIterator[None]:
    async with working(store, settings):
        yield


@pytest.fixture
async def pulled(api: Api, workers: None) -> World:
    """The story's world with a pull agent, and a version whose three jobs wait to be claimed."""
    world = await World(api).build(agent_type="http-pull", config={"pool": "a"}, rules=[])
    await world.version("1")
    path = f"/job-agents/{world.ids['agent']}/jobs?status=queued"

    async def queued() -> bool:
        return bool((await api.get(path)).json()["total"] == 3)

    await until(queued, "nothing was offered")
    return world

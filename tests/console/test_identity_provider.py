"""Does signing in through an identity provider work, against a real provider process, and does everything that is wrong
with its answer keep people out?
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from identity_provider import CLIENT_ID, CLIENT_SECRET, Provider, running
from interlock.api import build_api
from interlock.console import build_console
from interlock.model.event import Actor
from interlock.outside.oidc import IdentityProvider
from interlock.settings import Settings
from interlock.store.principals import find_principal_by_name, save_principal
from interlock.store.sign_ins import challenge_of
from interlock.store.tx import Store
from interlock.store.workspaces import create_workspace
from interlock.web.sign_in import SESSION_COOKIE

OURS = Actor("system", "00000000-0000-0000-0000-000000000000", "tests")
AT = "https://interlock.test"


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with running(tmp_path_factory.mktemp("provider")) as provider:
        yield provider


@pytest.fixture
def provider(process: Provider) -> Provider:
    process.faults()
    process.person()
    return process


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data=tmp_path,
        public_url=AT,
        oidc_domains="example.org, Example.com",
        oidc_admins="root@example.org,group:owners",
    )


@pytest.fixture
async def site(store: Store, settings: Settings, provider: Provider) -> Any:
    """API and console at one address, whose people sign in through the provider."""
    known = IdentityProvider(provider.issuer, client_id=CLIENT_ID, client_secret=CLIENT_SECRET)
    app = build_api(store, settings)
    app.mount("/", build_console(store, settings, provider=known))
    yield app
    await known.close()


class Browser:
    """Follows what a browser follows: to us in this process, to the provider over the network."""

    def __init__(self, app: Any) -> None:
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=AT)

    async def begin(self, goal: str = "/workspaces") -> str:
        """Where the provider sends the browser back to."""
        answer = await self.http.get("/sign-in/oidc", params={"next": goal})
        assert answer.status_code == 303, answer.text
        there = await asyncio.to_thread(httpx.get, answer.headers["location"])
        assert there.status_code == 302, there.text
        return str(there.headers["location"])

    async def sign_in(self, goal: str = "/workspaces") -> httpx.Response:
        return await self.http.get(await self.begin(goal))

    async def who(self) -> str:
        """The API's answer, by the session alone."""
        return (await self.http.get("/api/v1/workspaces")).text


@pytest.fixture
async def browser(site: Any) -> Any:
    made = Browser(site)
    yield made
    await made.http.aclose()


@pytest.fixture
async def workspace_id(store: Store) -> str:
    async with store.tx(actor=OURS, cause="test") as tx:
        return await create_workspace(tx, "Shop", slug="shop", creator_id=await save_principal(tx, "root"))


async def principal(store: Store, name: str) -> Any:
    async with store.read() as conn:
        return await find_principal_by_name(conn, name)


async def test_a_person_signs_in_and_out(browser: Browser, store: Store) -> None:
    page = await browser.http.get("/sign-in")
    assert "Sign in with single sign-on" in page.text and 'name="key"' in page.text
    answer = await browser.sign_in("/workspaces?x=1")
    assert answer.status_code == 303 and answer.headers["location"] == "/workspaces?x=1", answer.text
    cookie = next(each for each in answer.headers.get_list("set-cookie") if each.startswith(SESSION_COOKIE))
    assert {"HttpOnly", "Secure", "Max-Age=43200", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert "samesite=lax" in cookie.lower()
    assert '"total":0' in await browser.who()
    ada = await principal(store, "ada@example.org")
    assert ada.email == "ada@example.org" and ada.system_role == "user"
    again = Browser(browser.http._transport.app)  # type: ignore[attr-defined]
    assert (await again.sign_in()).status_code == 303
    async with store.read() as conn:
        assert await conn.fetchval("SELECT count(*) FROM principal WHERE name LIKE 'ada%'") == 1, "known by subject"


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("nonce", "nonce"),
        ("audience", "another audience"),
        ("issuer", "another issuer"),
        ("expired", "expired"),
        ("unsigned", "not signed by one of its keys"),
        ("other_key", "not signed by one of its keys"),
        ("refuses", "Not today."),
    ],
)
async def test_a_wrong_answer_of_the_provider_lets_nobody_in(
    browser: Browser, provider: Provider, fault: str, says: str
) -> None:
    provider.faults(fault)
    answer = await browser.sign_in()
    assert answer.status_code == 401 and says in answer.text, answer.text
    assert SESSION_COOKIE not in browser.http.cookies
    provider.faults()
    assert (await browser.sign_in()).status_code == 303


async def test_keys_that_rotate_are_fetched_again(browser: Browser, provider: Provider) -> None:
    assert (await browser.sign_in()).status_code == 303
    provider.rotate()
    assert (await browser.sign_in()).status_code == 303


async def test_a_provider_that_is_down_is_said_so_and_a_key_still_opens(
    browser: Browser, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.faults("down")
    answer = await browser.http.get("/sign-in/oidc")
    assert answer.status_code == 503 and "does not answer" in answer.text and 'name="key"' in answer.text
    provider.faults("wrong_discovery")
    assert (await browser.http.get("/sign-in/oidc")).status_code == 503
    provider.faults()
    back = await browser.begin()
    for fault in ("token_down", "slow"):
        provider.faults()
        back = await browser.begin()
        provider.faults(fault)
        monkeypatch.setattr("interlock.outside.oidc.TIMEOUT_S", 0.3)
        assert (await browser.http.get(back)).status_code == 503


async def test_an_answer_is_taken_once_and_from_the_browser_that_asked(site: Any, browser: Browser) -> None:
    back = await browser.begin()
    stranger = Browser(site)
    refused = await stranger.http.get(back)
    assert refused.status_code == 401 and "begun in another browser" in refused.text
    forged = back.replace("state=", "state=x")
    assert (await browser.http.get(forged)).status_code == 401
    assert (await browser.http.get(back)).status_code == 401, "a wrong state ends the attempt"
    back = await browser.begin()
    assert (await browser.http.get(back)).status_code == 303
    assert (await browser.http.get(back)).status_code == 401, "a second time"
    code = parse_qs(urlsplit(await browser.begin()).query)["state"]
    injected = await browser.http.get(f"/sign-in/oidc/callback?state={code[0]}&code=made-up")
    assert injected.status_code == 401 and "did not take the code" in injected.text


async def test_only_addresses_of_the_domains_come_in(browser: Browser, provider: Provider, store: Store) -> None:
    for claims in (
        {"sub": "u-eve", "email": "eve@evil.test"},
        {"sub": "u-eve", "email": "eve@example.org", "email_verified": False},
        {"sub": "u-eve", "email": None},
        {"sub": "u-eve", "email": "eve@example.org.evil.test"},
    ):
        provider.person(**claims)
        answer = await browser.sign_in()
        assert answer.status_code == 401 and "not of a domain" in answer.text
    async with store.read() as conn:
        assert await conn.fetchval("SELECT count(*) FROM principal WHERE name LIKE '%eve%'") == 0
    provider.person(sub="u-eve", email="Eve@EXAMPLE.com")
    assert (await browser.sign_in()).status_code == 303


async def test_the_setting_says_who_is_admin_and_takes_it_back(
    browser: Browser, provider: Provider, store: Store
) -> None:
    provider.person(sub="u-root", email="root@example.org", groups=[])
    await browser.sign_in()
    assert (await principal(store, "root@example.org")).system_role == "admin"
    provider.person(sub="u-omar", email="omar@example.org", groups=["owners"])
    await browser.sign_in()
    assert (await principal(store, "omar@example.org")).system_role == "admin"
    provider.person(sub="u-omar", email="omar@example.org", groups=[])
    await browser.sign_in()
    assert (await principal(store, "omar@example.org")).system_role == "user"
    provider.person(sub="u-fake", email="root@example.org", email_verified=False)
    assert (await browser.sign_in()).status_code == 401


async def test_nobody_takes_over_an_account_by_its_name(browser: Browser, provider: Provider, store: Store) -> None:
    async with store.tx(actor=OURS, cause="test") as tx:
        await save_principal(tx, "admin", system_role="admin")
    provider.person(sub="u-x", email="x@example.org", preferred_username="admin")
    await browser.sign_in()
    assert (await principal(store, "x@example.org")).system_role == "user"
    provider.person(sub="u-y", email="x@example.org")
    await browser.sign_in()
    assert (await principal(store, "x@example.org (2)")) is not None, "another subject is another person"


async def test_who_was_invited_by_address_has_the_role_at_the_first_sign_in(
    browser: Browser, provider: Provider, store: Store, workspace_id: str
) -> None:
    from interlock.store.principals import save_member

    async with store.tx(actor=OURS, cause="test", workspace_id=workspace_id) as tx:
        invited = await save_principal(tx, "ida@example.org")
        await save_member(tx, workspace_id, principal_id=invited, role="developer")
    provider.person(sub="u-ida", email="ida@example.org")
    await browser.sign_in()
    assert '"slug":"shop"' in await browser.who()


async def test_groups_follow_the_claims_from_one_sign_in_to_the_next(
    browser: Browser, provider: Provider, store: Store, workspace_id: str
) -> None:
    from interlock.store import bindings, groups
    from interlock.store.roles import find_role

    async with store.tx(actor=OURS, cause="test", workspace_id=workspace_id) as tx:
        group = await groups.save_group(tx, workspace_id, name="platform", members={}, claim="platform")
        role = await find_role(tx.conn, workspace_id, name="operator")
        everywhere = await bindings.find_scope(tx.conn, workspace_id, kind="workspace", scope_id=None)
        await bindings.grant(tx, workspace_id, subject_kind="group", subject_id=group.id, role=role, scope=everywhere)
    await browser.sign_in()
    assert '"slug":"shop"' in await browser.who(), "in the group, so in the workspace"
    members = (await browser.http.get("/api/v1/workspaces/shop/members")).json()["items"]
    assert next(each for each in members if each["name"] == "ada@example.org")["groups"] == ["platform"]
    provider.person(groups=["kitchen"])
    await browser.sign_in()
    assert '"total":0' in await browser.who(), "out of the group, so out of the workspace"
    async with store.read() as conn:
        told = await conn.fetch("SELECT actor_id FROM ledger WHERE kind = 'group.changed' ORDER BY id")
        assert [row["actor_id"] for row in told] == [provider.issuer] * 2
        assert await conn.fetchval("SELECT count(*) FROM member WHERE from_claims") == 0


async def test_a_session_changes_its_value_and_ends(browser: Browser, store: Store) -> None:
    await browser.sign_in()
    first = browser.http.cookies[SESSION_COOKIE]
    await browser.sign_in()
    second = browser.http.cookies[SESSION_COOKIE]
    assert first != second
    async with store.read() as conn:
        assert await conn.fetchval("SELECT count(*) FROM session") == 1, "the session before has ended"
        await conn.execute("UPDATE session SET renewed_at = now() - interval '1 hour'")
    page = await browser.http.get("/login", params={"challenge": "c" * 43})
    assert page.status_code == 200
    await browser.http.get("/workspaces")
    async with store.read() as conn:
        await conn.execute("UPDATE session SET seen_at = now() - interval '5 hours'")
    assert "UNAUTHORIZED" in await browser.who(), "nobody was there for too long"


async def test_a_terminal_gets_a_key_with_one_click(browser: Browser, site: Any, store: Store) -> None:
    verifier = "v" * 43
    asked = {"challenge": challenge_of(verifier), "port": "4711", "state": "abc", "name": "ada's laptop"}
    stranger = Browser(site)
    answer = await stranger.http.get("/login", params=asked)
    assert answer.status_code == 303 and answer.headers["location"].startswith("/sign-in?next=%2Flogin")
    await browser.sign_in()
    page = await browser.http.get("/login", params=asked)
    assert "Let a terminal in?" in page.text and "laptop" in page.text
    csrf = page.text.split('name="csrf" value="')[1].split('"')[0]
    assert (await browser.http.post("/login", data=asked)).status_code == 403
    page = await browser.http.post("/login", data={**asked, "csrf": csrf})
    code = page.text.split('aria-label="Code">')[1].split("<")[0]
    assert f"http://127.0.0.1:4711/?code={code}&amp;state=abc" in page.text
    sent_again = {"Idempotency-Key": "0123456789abcdef"}
    wrong = await stranger.http.post("/api/login", json={"code": code, "verifier": "w" * 43}, headers=sent_again)
    assert wrong.status_code == 401
    again = await stranger.http.post("/api/login", json={"code": code, "verifier": verifier})
    assert again.status_code == 401, "a code is good once, also for the wrong terminal"
    page = await browser.http.post("/login", data={**asked, "csrf": csrf})
    code = page.text.split('aria-label="Code">')[1].split("<")[0]
    given = await stranger.http.post("/api/login", json={"code": code, "verifier": verifier})
    assert given.status_code == 201 and given.json()["user"]["name"] == "ada@example.org"
    opened = await stranger.http.get("/api/v1/workspaces", headers={"X-API-Key": given.json()["key"]})
    assert opened.status_code == 200
    for bad in (
        {"challenge": "short"},
        {"challenge": "c" * 43, "port": "99999"},
        {"challenge": "c" * 43, "state": "<"},
    ):
        assert (await browser.http.get("/login", params=bad)).status_code == 400

"""Does the console work for people? In the distribution's Chromium: for everybody, by keyboard, without script, live.

Without Chromium these tests skip and say how to get it; under CI=true that is a failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright

from interlock.console.override import WAYS
from interlock.model.event import Actor
from interlock.store import freezes
from interlock.store.ledger import sequence_ledger
from interlock.store.tx import FEED_TOPIC
from tests.store.fleet import Fleet

CHROMIUM = shutil.which("chromium")
CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MISSING = "There is no Chromium here: apt-get install chromium"
SEEN_AS = {"phone": (390, "light"), "desk": (1440, "dark")}
"""Width and scheme. Each scheme's colours are held to their contrast in test_contrast.py."""

pytestmark = [pytest.mark.browser]


@pytest.fixture
async def address(app: Any) -> AsyncIterator[str]:
    """The app on a free port of this machine, in this process."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await serving


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
async def open_page(browser: Browser, address: str, key_of: Any) -> AsyncIterator[Any]:
    """`await open_page("grace", "approver", width=390)`: a page of somebody who signed in by its form."""
    wrong: list[str] = []

    async def make(name: str, role: str, *, script: bool = True, width: int = 1440, **more: Any) -> Page:
        context = await browser.new_context(
            base_url=address, java_script_enabled=script, viewport={"width": width, "height": 900}, **more
        )
        page = await context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        await page.goto("/sign-in")
        await page.fill("#key", await key_of(name, role))
        await page.click("main button")
        await page.wait_for_url(lambda url: "/sign-in" not in url)
        return page

    yield make
    assert not wrong, "The browser complained."


async def place(store: Any) -> None:
    """Give what happened its place in the feed, as a worker would, and wake who follows it."""
    async with store.read() as conn:
        while await sequence_ledger(conn):
            pass
    store.wakes.announce([FEED_TOPIC])


async def freeze(store: Any, world: Any, reason: str) -> None:
    actor = Actor("user", world.maker_id)
    async with store.tx(actor=actor, cause="test", workspace_id=world.workspace_id) as tx:
        await freezes.set_freeze(
            tx,
            world.workspace_id,
            scope_kind="workspace",
            scope_id=None,
            selector=None,
            reason=reason,
            incident_url=None,
            expires_at=None,
            author_id=world.maker_id,
        )
    await place(store)


# --- for everybody ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "scheme"), SEEN_AS.values(), ids=SEEN_AS.keys())
async def test_axe_finds_nothing_serious_on_any_page(open_page, world, store, width, scheme):
    page = await open_page("otto", "admin", width=width, color_scheme=scheme)
    await freeze(store, world, "incident 42")
    async with store.read() as conn:
        freeze_id = await conn.fetchval('SELECT id FROM "freeze"')
        rollout_id = await conn.fetchval("SELECT id FROM rollout ORDER BY opened_at DESC LIMIT 1")
        subscription_id = await conn.fetchval("SELECT id FROM subscription ORDER BY name LIMIT 1")
    found = []
    for path in (
        world.at(),
        world.at("deployments", "shop-api"),
        world.at("approvals"),
        world.at("approvals", world.request_id),
        world.at("approvals", world.answered_id),
        world.at("jobs"),
        world.at("jobs", world.job_id),
        world.at("verifications", world.verification_id),
        world.at("targets", world.target_key("prod-eu-1", "production")),
        world.at("versions", world.versions["1.1.0"]),
        world.at("ledger"),
        world.at("overrides"),
        world.at("overrides", "new", "pin"),
        *(f"{world.at('overrides', 'new', kind)}?deployment={world.deployment_id}" for kind in WAYS),
        world.at("freezes", freeze_id, "extend"),
        world.at("freezes"),
        world.at("freezes", "new"),
        world.at("freezes", freeze_id, "thaw"),
        world.at("subscriptions"),
        world.at("subscriptions", "new"),
        world.at("subscriptions", subscription_id),
        world.at("rollouts", str(rollout_id)),
        "/workspaces",
    ):
        answer = await page.goto(path)
        assert answer.ok, path
        found += [(path, *each) for each in await serious(page)]
        wider = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider <= 0, f"{path} is wider than the window by {wider} px"
    await page.context.clear_cookies()
    await page.goto("/sign-in")
    found += [("/sign-in", *each) for each in await serious(page)]
    assert not found


async def test_a_page_that_refuses_is_for_everybody_too(browser, address):
    context = await browser.new_context(base_url=address)
    page = await context.new_page()
    await page.goto("/nothing")
    assert not await serious(page)


async def serious(page: Page) -> list[tuple[str, str]]:
    """What axe finds worse than moderate: (rule, the elements).

    Why:    for one rule axe copies the style sheets of shadow roots into inline ones, which our policy refuses.
    """
    results = await Axe().run(page, options={"preload": False})
    return [
        (each["id"], "; ".join(node["html"][:120] for node in each["nodes"][:3]))
        for each in results.response["violations"]
        if each["impact"] in {"serious", "critical"}
    ]


# --- without script --------------------------------------------------------------------------------------------------


async def test_without_script_a_person_signs_in_approves_and_freezes(open_page, world, store):
    page = await open_page("grace", "admin", script=False)
    await page.goto(world.at())
    await page.click("text=Look at 1.1.0 and answer")
    await page.fill("#comment", "looks right")
    await page.click("button:has-text('Approve')")
    assert "Noted: you approved this." in await page.inner_text("main")
    await page.click(".self >> text=Freeze")
    await page.fill("#reason", "incident 42")
    await page.check("text=4 hours")
    await page.click("button:has-text('Freeze now')")
    assert "The freeze is in force." in await page.inner_text("main")
    assert "incident 42" in await page.inner_text(".banner")
    await page.click("main >> text=Thaw")
    await page.fill("#reason", "it is over")
    await page.click("button:has-text('Thaw now')")
    assert "The freeze is over." in await page.inner_text("main")
    assert await page.locator(".banner").count() == 0
    await page.click("text=Sign out")
    assert page.url.endswith("/sign-in")
    async with store.read() as conn:
        assert await conn.fetchval("SELECT comment FROM approval WHERE request_id = $1", world.request_id) == (
            "looks right"
        )


# --- by keyboard -----------------------------------------------------------------------------------------------------


async def test_everything_is_reached_by_keyboard_in_order_and_seen(open_page, world):
    page = await open_page("grace", "admin")
    await page.goto(world.at())
    await page.keyboard.press("Tab")
    assert await focused(page) == "Skip to the content"
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "main"
    await page.goto(world.at())
    seen = []
    for _ in range(16):
        await page.keyboard.press("Tab")
        seen.append(await focused(page))
        outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", seen[-1]
    heads = [word.split()[0] for word in seen]
    pages = ["Fleet", "Approvals", "Jobs", "Overrides", "Ledger", "Subscriptions", "Freezes", "Incidents", "People"]
    assert heads[:14] == ["Skip", "Interlock", "fleet", *pages, "Freeze", "Sign"]
    assert "shop-api" in seen[14:]


async def test_a_request_is_answered_by_keyboard_alone(open_page, world, store):
    page = await open_page("grace", "approver")
    await page.goto(world.at("approvals", world.request_id))
    await page.focus("#comment")
    await page.keyboard.type("by keyboard")
    await page.keyboard.press("Tab")
    assert await focused(page) == "Approve"
    await page.keyboard.press("Enter")
    await page.wait_for_selector("text=Noted: you approved this.")


async def focused(page: Page) -> str:
    return (await page.evaluate("document.activeElement.innerText || document.activeElement.ariaLabel || ''")).strip()


# --- live ------------------------------------------------------------------------------------------------------------


async def test_an_open_page_follows_what_happens(open_page, world, store):
    page = await open_page("vera", "viewer")
    await page.goto(world.at())
    await page.evaluate("window.stillTheSamePage = true")
    await freeze(store, world, "incident 42")
    await page.wait_for_selector(".banner >> text=incident 42")
    assert await page.inner_text("#heard") == "A freeze was set."
    fleet = Fleet(store, world.workspace_id, world.maker_id, "", "", world.deployment_id)
    await fleet.resource("prod-ap-1", env="production")
    await place(store)
    await page.wait_for_selector("text=nothing yet on 1 target")
    assert await page.evaluate("window.stillTheSamePage")


async def test_a_page_keeps_the_focus_when_it_renews_itself(open_page, world, store):
    page = await open_page("vera", "viewer")
    await page.goto(world.at())
    await page.focus("th a")
    await freeze(store, world, "incident 42")
    await page.wait_for_selector(".banner >> text=incident 42")
    assert await focused(page) == "shop-api"


async def test_what_a_person_unfolded_stays_open_when_the_page_renews_itself(open_page, world, store):
    page = await open_page("vera", "viewer")
    await page.goto(world.at("ledger"))
    await page.click("#page summary >> nth=0")
    entry = await page.get_attribute("li:has(details[open])", "id")
    await freeze(store, world, "incident 42")
    await page.wait_for_selector(".banner >> text=incident 42")
    assert await page.get_attribute("li:has(details[open])", "id") == entry


async def test_a_form_does_not_change_under_a_persons_hands(open_page, world, store):
    page = await open_page("grace", "approver")
    await page.goto(world.at("approvals", world.request_id))
    await page.fill("#comment", "half a sente")
    await freeze(store, world, "incident 42")
    await page.wait_for_selector("#stale:visible")
    assert await page.input_value("#comment") == "half a sente"
    assert await page.locator(".banner").count() == 0
    await page.click("#stale a")
    await page.wait_for_selector(".banner >> text=incident 42")


async def test_a_page_says_when_it_is_not_live(open_page, world, store, address):
    page = await open_page("vera", "viewer")
    await page.goto(world.at())
    async with asyncio.timeout(10):
        while not await page.evaluate("document.getElementById('stream')._htmx?.sse?.reader != null"):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await page.evaluate(
        "document.getElementById('stream').dispatchEvent(new CustomEvent('htmx:sse:error', {bubbles: true}))"
    )
    with contextlib.suppress(TimeoutError):
        await page.wait_for_selector("text=Not live")
    assert "Not live" in await page.inner_text("#heard")


# --- charts ----------------------------------------------------------------------------------------------------------

PAINTED = """async (canvas) => {
  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  return pixels.reduce((sum, value, place) => sum + (place % 4 === 3 && value > 0 ? 1 : 0), 0);
}"""


async def test_a_chart_draws_what_was_measured_and_takes_over_what_comes(open_page, world, store):
    page = await open_page("vera", "viewer")
    await page.goto(world.at("verifications", world.verification_id))
    chart = page.locator("metric-chart")
    await chart.locator("canvas").wait_for()
    before = await chart.locator("canvas").evaluate(PAINTED)
    assert before > 500
    await chart.focus()
    await page.keyboard.press("ArrowRight")
    assert "value: 25 %" in await chart.locator(".tip").inner_text()
    await page.evaluate("document.querySelector('metric-chart').shadowRoot.querySelector('canvas').kept = true")
    async with store.tx(actor=Actor("user", world.maker_id), cause="test", workspace_id=world.workspace_id) as tx:
        await tx.conn.execute(
            "INSERT INTO measurement (metric_id, number, status, result, measured_at) "
            'SELECT id, 4, \'failed\', \'{"ok": true, "json": {"errorRate": 0.5}}\', now() FROM verification_metric '
            "WHERE verification_id = $1",
            world.verification_id,
        )
    await freeze(store, world, "incident 42")
    await page.wait_for_selector("text=4 measurements as a table")
    await page.wait_for_function("document.querySelector('metric-chart').chart.data[1].length === 4")
    assert await page.evaluate("document.querySelector('metric-chart').shadowRoot.querySelector('canvas').kept")

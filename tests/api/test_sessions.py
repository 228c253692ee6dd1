"""Does signing in to the console work? A key once, then a cookie, and a token for every change."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from interlock.model.errors import Forbidden, Unauthorized
from interlock.web.session import find_signed_in_session, require_csrf, sign_in, sign_out
from interlock.web.sign_in import SESSION_COOKIE


@pytest.fixture
async def browser(store: Any) -> Any:
    async def enter(request: Request) -> Response:
        response = PlainTextResponse("in")
        try:
            await sign_in(store, request, response, key=(await request.form())["key"])
        except Unauthorized:
            return PlainTextResponse("no", status_code=401)
        return response

    async def leave(request: Request) -> Response:
        response = PlainTextResponse("out")
        await sign_out(store, request, response)
        return response

    async def who(request: Request) -> Response:
        session = await find_signed_in_session(store, request)
        if session is None:
            return PlainTextResponse("nobody", status_code=401)
        if request.method == "POST":
            try:
                await require_csrf(request, session)
            except Forbidden:
                return PlainTextResponse("csrf", status_code=403)
        return PlainTextResponse(f"{session.caller.name} {session.csrf}")

    routes = [
        Route("/in", enter, methods=["POST"]),
        Route("/out", leave, methods=["POST"]),
        Route("/", who, methods=["GET", "POST"]),
    ]
    transport = httpx.ASGITransport(app=Starlette(routes=routes))
    async with httpx.AsyncClient(transport=transport, base_url="http://interlock.test") as client:
        yield client


async def test_a_key_opens_a_session_that_ends(browser: Any, key_of: Any) -> None:
    assert (await browser.get("/")).status_code == 401
    assert (await browser.post("/in", data={"key": "0" * 16 + "." + "0" * 64})).status_code == 401
    answer = await browser.post("/in", data={"key": await key_of("bea", "viewer")})
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "samesite=lax" in cookie.lower() and "Secure" not in cookie
    name, csrf = (await browser.get("/")).text.split()
    assert name == "bea"
    assert (await browser.post("/")).status_code == 403
    assert (await browser.post("/", data={"csrf": "x"})).status_code == 403
    assert (await browser.post("/", data={"csrf": csrf})).status_code == 200
    assert (await browser.post("/", headers={"X-CSRF-Token": csrf})).status_code == 200
    await browser.post("/out")
    assert (await browser.get("/")).status_code == 401


async def test_a_session_reads_the_api_and_changes_it_only_with_its_token(
    browser: Any, api: Any, key_of: Any, client_of: Any
) -> None:
    await browser.post("/in", data={"key": await key_of("otto", "operator")})
    csrf = (await browser.get("/")).text.split()[1]
    client = client_of(None)
    client.cookies.set(SESSION_COOKIE, browser.cookies[SESSION_COOKIE])
    path = f"/api/v1/workspaces/{api.workspace}/freezes"
    assert (await client.get(path)).status_code == 200
    assert (await client.post(path, json={"reason": "r"})).status_code == 403
    assert (await client.post(path, json={"reason": "r"}, headers={"X-CSRF-Token": csrf})).status_code == 201


async def test_a_session_that_is_over_or_whose_owner_is_disabled_opens_nothing(
    browser: Any, store: Any, key_of: Any
) -> None:
    await browser.post("/in", data={"key": await key_of("bea", "viewer")})
    async with store.read() as conn:
        await conn.execute("UPDATE principal SET disabled_at = now() WHERE name = 'bea'")
    assert (await browser.get("/")).status_code == 401
    async with store.read() as conn:
        await conn.execute("UPDATE principal SET disabled_at = NULL")
        await conn.execute("UPDATE session SET expires_at = now() - interval '1 second'")
    assert (await browser.get("/")).status_code == 401

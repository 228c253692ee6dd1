"""How does a person come in, and out? With an API key, once; the browser then holds a session.

The form has a token of its own before there is a session: a random cookie that the form must repeat, so that nobody
can sign another person's browser in with a foreign key.

Source: DESIGN.md section 8, "auth"; OWASP, "Cross-Site Request Forgery Prevention", double submit.
"""

from __future__ import annotations

import hmac
import secrets
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from interlock.console.rendering import html
from interlock.console.visit import SIGN_IN, see_other
from interlock.model.errors import Forbidden, Unauthorized
from interlock.store.tx import Store
from interlock.web.session import CSRF_FIELD, find_signed_in_session, require_csrf, sign_in, sign_out

VISITOR_COOKIE = "interlock_visitor"


async def show(request: Request) -> Response:
    """The form; one who is signed in already goes on."""
    goal = safe_goal(request.query_params.get("next", ""))
    if await find_signed_in_session(_store(request), request) is not None:
        return see_other(goal)
    return _form(request, goal=goal)


async def enter(request: Request) -> Response:
    """Sign in. A key that opens nothing is said so in the form.

    Fails: `Forbidden` for a form that this browser was not given.
    """
    form = await request.form()
    goal = safe_goal(str(form.get("next", "")))
    token = request.cookies.get(VISITOR_COOKIE, "")
    if not token or not hmac.compare_digest(token.encode(), str(form.get(CSRF_FIELD, "")).encode()):
        raise Forbidden("The form is too old. Load the page again and send it again.", code="CSRF")
    answer = see_other(goal)
    try:
        await sign_in(_store(request), request, answer, key=str(form.get("key", "")))
    except Unauthorized as refused:
        return _form(request, goal=goal, wrong=refused.message)
    answer.delete_cookie(VISITOR_COOKIE, path=SIGN_IN)
    return answer


async def leave(request: Request) -> Response:
    """Sign out.

    Fails: `Forbidden` for a form without the session's token.
    """
    session = await find_signed_in_session(_store(request), request)
    answer = see_other(SIGN_IN)
    if session is not None:
        await require_csrf(request, session)
        await sign_out(_store(request), request, answer)
    return answer


def safe_goal(wanted: str) -> str:
    """A path of ours to go on to; `/` for anything that could lead elsewhere."""
    parts = urlsplit(wanted) if wanted.isprintable() else None
    inside = parts is not None and not parts.scheme and not parts.netloc
    return wanted if inside and wanted.startswith("/") and not wanted.startswith("//") and "\\" not in wanted else "/"


def _form(request: Request, *, goal: str, wrong: str | None = None) -> Response:
    token = secrets.token_urlsafe(32)
    values = {"title": "Sign in", "csrf": token, "goal": goal, "wrong": wrong}
    answer = html("sign_in.html", values, status=401 if wrong else 200)
    answer.set_cookie(
        VISITOR_COOKIE,
        token,
        max_age=3600,
        path=SIGN_IN,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return answer


def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store

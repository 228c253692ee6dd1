"""How does a person come in, and out? Through the identity provider where one is set, or with an API key, once; the
browser then holds a session.

The form has a token of its own before there is a session: a random cookie that the form must repeat, so that nobody
can sign another person's browser in with a foreign key.

On the way to the provider and back, a cookie ties the browser to what was asked: a foreign `code` is not taken. A
provider that does not answer is said so on the page, where a key still opens.

Source: DESIGN.md section 8, "auth"; OWASP, "Cross-Site Request Forgery Prevention", double submit; OpenID Connect Core
1.0, section 3.1.2.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog
from starlette.requests import Request
from starlette.responses import Response

from interlock.console.rendering import html
from interlock.console.visit import SIGN_IN, see_other
from interlock.model.errors import Forbidden, NotFound, Unauthorized, Unavailable
from interlock.store.sign_ins import ATTEMPT_S, admit, begin_attempt, take_attempt
from interlock.store.tx import Store
from interlock.web.session import (
    CSRF_FIELD,
    find_signed_in_session,
    is_secure,
    open_session,
    require_csrf,
    sign_in,
    sign_out,
)

if TYPE_CHECKING:
    from interlock.outside.oidc import IdentityProvider

_log = structlog.get_logger(__name__)

VISITOR_COOKIE = "interlock_visitor"
ATTEMPT_COOKIE = "interlock_attempt"
CALLBACK = SIGN_IN + "/oidc/callback"


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


async def go_to_provider(request: Request) -> Response:
    """Send the browser to the identity provider."""
    provider = _provider(request)
    goal = safe_goal(request.query_params.get("next", ""))
    base = str(getattr(request.app.state, "public_url", "") or request.base_url).rstrip("/")
    value, asked = await begin_attempt(_store(request), redirect_uri=base + CALLBACK, goal=goal)
    try:
        answer = see_other(await provider.address(asked))
    except Unavailable as silent:
        return _unavailable(request, goal, silent)
    answer.set_cookie(
        ATTEMPT_COOKIE,
        value,
        max_age=ATTEMPT_S,
        path=SIGN_IN,
        httponly=True,
        samesite="lax",
        secure=is_secure(request),
    )
    return answer


async def come_back(request: Request) -> Response:
    """Take what the identity provider's answer brought, and sign its person in."""
    provider = _provider(request)
    query = request.query_params
    attempt = await take_attempt(_store(request), request.cookies.get(ATTEMPT_COOKIE, ""), state=query.get("state", ""))
    if attempt is None:
        return _form(request, goal="/", wrong="This sign-in is too old, or was begun in another browser. Begin again.")
    if "code" not in query:
        said = query.get("error_description") or query.get("error") or "no reason"
        return _form(request, goal=attempt.goal, wrong=f"The identity provider refused: {said[:500]}")
    try:
        identity = await provider.identify(attempt.asked, code=query["code"])
        principal_id = await admit(_store(request), identity, admission=request.app.state.admission)
    except Unavailable as silent:
        return _unavailable(request, attempt.goal, silent)
    except (Unauthorized, Forbidden) as refused:
        return _form(request, goal=attempt.goal, wrong=refused.message)
    answer = see_other(attempt.goal)
    await open_session(_store(request), request, answer, principal_id=principal_id)
    answer.delete_cookie(ATTEMPT_COOKIE, path=SIGN_IN)
    return answer


def _provider(request: Request) -> IdentityProvider:
    """The provider that people sign in through.

    Fails: `NotFound` where none is set.
    """
    provider: IdentityProvider | None = request.app.state.provider
    if provider is None:
        raise NotFound("No identity provider is set here. Sign in with a key.")
    return provider


def _unavailable(request: Request, goal: str, silent: Unavailable) -> Response:
    _log.warning("identity_provider_unavailable", message=silent.message)
    wrong = "The identity provider does not answer. Try again in a minute, or sign in with a key."
    return _form(request, goal=goal, wrong=wrong, status=503)


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


def _form(request: Request, *, goal: str, wrong: str | None = None, status: int = 401) -> Response:
    token = secrets.token_urlsafe(32)
    state = request.app.state
    values = {
        "title": "Sign in",
        "csrf": token,
        "goal": goal,
        "wrong": wrong,
        "provider": state.provider_name if state.provider is not None else None,
    }
    answer = html("sign_in.html", values, status=status if wrong else 200)
    answer.set_cookie(
        VISITOR_COOKIE,
        token,
        max_age=3600,
        path=SIGN_IN,
        httponly=True,
        samesite="lax",
        secure=is_secure(request),
    )
    return answer


def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store

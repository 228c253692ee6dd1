"""How does a person sign in to the console? With an API key, or through an identity provider, once; then an opaque
cookie and a CSRF token in every form.

The cookie is HttpOnly and SameSite=Lax, Secure where people come by https. Its value is random and means nothing; it
changes with every sign-in and every quarter of an hour of use. The session is a row that signing out deletes; it ends
after twelve hours, and after four in which nobody was there.

Source: DESIGN.md section 8, "auth".
"""

from __future__ import annotations

import hmac

from starlette.requests import Request
from starlette.responses import Response

from interlock.clock import utc_now
from interlock.model.errors import Forbidden, Unauthorized
from interlock.store.principals import (
    SESSION_S,
    Session,
    create_session,
    end_session,
    find_caller,
    find_session,
    renew_session,
)
from interlock.store.tx import Store
from interlock.web.sign_in import CSRF_HEADER, SESSION_COOKIE

CSRF_FIELD = "csrf"


async def sign_in(store: Store, request: Request, response: Response, *, key: str) -> None:
    """Open a session for the holder of this key and set its cookie on the response.

    Fails: `Unauthorized` for a key that is none, or that is made for some things only: a session may do everything
           that its user may.
    """
    caller = await find_caller(store, key)
    if caller is None:
        raise Unauthorized("This API key is unknown, expired or revoked.")
    if caller.agent_id is not None:
        raise Unauthorized("This is the token of a job agent. Sign in with a key of yours.")
    if caller.scopes is not None or caller.limits is not None:
        raise Unauthorized("This API key is made for some things only; sign in with one that has no scopes.")
    await open_session(store, request, response, principal_id=caller.id)


async def open_session(store: Store, request: Request, response: Response, *, principal_id: str) -> None:
    """Sign somebody in, and end whatever session this browser had: nobody goes on with a value from before."""
    before = request.cookies.get(SESSION_COOKIE)
    if before:
        await end_session(store, before)
    value, _csrf = await create_session(store, principal_id=principal_id)
    _set_cookie(request, response, value, lasts_s=SESSION_S)


async def renew(store: Store, request: Request, response: Response, *, session: Session) -> None:
    """Give the browser another value for its session, when that is due."""
    value = request.cookies.get(SESSION_COOKIE)
    fresh = await renew_session(store, value) if value and session.due else None
    if fresh is not None:
        left = session.expires_at - utc_now()
        _set_cookie(request, response, fresh, lasts_s=max(1, int(left.total_seconds())))


def is_secure(request: Request) -> bool:
    """Whether people come by https: to us, or to what stands in front of us."""
    return request.url.scheme == "https" or bool(getattr(request.app.state, "secure", False))


def _set_cookie(request: Request, response: Response, value: str, *, lasts_s: int) -> None:
    response.set_cookie(
        SESSION_COOKIE,
        value,
        max_age=lasts_s,
        path="/",
        httponly=True,
        samesite="lax",
        secure=is_secure(request),
    )


async def sign_out(store: Store, request: Request, response: Response) -> None:
    """End the session of this request, if there is one."""
    value = request.cookies.get(SESSION_COOKIE)
    if value:
        await end_session(store, value)
    response.delete_cookie(SESSION_COOKIE, path="/")


async def find_signed_in_session(store: Store, request: Request) -> Session | None:
    """The session of this request; None for a visitor."""
    value = request.cookies.get(SESSION_COOKIE)
    return await find_session(store, value) if value else None


async def require_csrf(request: Request, session: Session) -> None:
    """Refuse a form or a script's request that does not carry the session's token.

    Fails: `Forbidden`.
    """
    token = request.headers.get(CSRF_HEADER)
    if token is None:
        token = str((await request.form()).get(CSRF_FIELD, ""))
    if not hmac.compare_digest(token, session.csrf):
        raise Forbidden("The form is older than this session. Load the page again and send it again.", code="CSRF")

"""How does a person sign in to the console? With an API key, once; then an opaque cookie and a CSRF token in every
form.

The cookie is HttpOnly and SameSite=Lax, Secure where the request came by https. Its value is random and means
nothing; the session is a row that signing out deletes.

Source: DESIGN.md section 8, "auth".
"""

from __future__ import annotations

import hmac

from starlette.requests import Request
from starlette.responses import Response

from interlock.model.errors import Forbidden, Unauthorized
from interlock.store.principals import SESSION_S, Session, create_session, end_session, find_caller, find_session
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
    if caller.scopes is not None:
        raise Unauthorized("This API key is made for some things only; sign in with one that has no scopes.")
    value, _csrf = await create_session(store, principal_id=caller.id)
    response.set_cookie(
        SESSION_COOKIE,
        value,
        max_age=SESSION_S,
        path="/",
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
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

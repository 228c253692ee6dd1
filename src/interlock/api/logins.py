"""REST for the sign-in of a terminal: a code that a person let it have, for a key of theirs.

It needs no key, because it gives one. The code is good once, for five minutes, and only with the terminal's own secret;
the browser's half stands in `console/terminal.py`.

Source: RFC 7636; decision record 0028. This path is ours.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import StringConstraints
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from interlock.api.paths import noun_router
from interlock.clock import utc_now
from interlock.model.errors import Unauthorized
from interlock.model.event import Actor
from interlock.store import principals, sign_ins
from interlock.web.answers import Json, instant
from interlock.web.bodies import ClosedBody
from interlock.web.shapes import Instant, Named
from interlock.web.sign_in import FromStore

router = noun_router("login")

Secret = Annotated[str, StringConstraints(min_length=20, max_length=200)]


class LoginBody(ClosedBody):
    """What the browser brought, and the secret whose challenge the terminal showed."""

    code: Secret
    verifier: Secret


class LoginAnswer(TypedDict):
    """A key, shown once."""

    key: str
    user: Named
    expiresAt: Instant


@router.post("/login", status_code=201, response_model=LoginAnswer, responses={401: {}})
async def log_in(request: Request, store: FromStore, body: LoginBody) -> Response:
    """Give a terminal the key that its person let it have."""
    login = await sign_ins.take_login_code(store, body.code, verifier=body.verifier)
    if login is None:
        raise Unauthorized("This code is over, or was given to another terminal. Run interlock login again.")
    async with store.read() as conn:
        principal = await principals.find_principal(conn, login.principal_id)
    assert principal is not None, "its codes are deleted with a principal"
    expires_at = utc_now() + timedelta(days=request.app.state.settings.login_key_days)
    actor = Actor(principal.kind, principal.id, principal.name)
    async with store.tx(actor=actor, cause="api: login") as tx:
        key = await principals.save_key(
            tx, principal.id, name=f"login {login.name}", expires_at=expires_at, created_by=principal.id
        )
    answer = {"key": key, "user": {"id": principal.id, "name": principal.name}, "expiresAt": instant(expires_at)}
    return Json(answer, status_code=201)

"""May this terminal have a key of mine? What `interlock login` opens in the browser.

The terminal shows the challenge of a secret that it keeps. Who is signed in here lets it in with one click; the browser
then takes a code to the terminal (to 127.0.0.1, at the port that it listens on), or the person does. The code is good
once, for five minutes, and only together with the terminal's secret.

Source: RFC 8252 (loopback redirection), RFC 7636 (PKCE); decision record 0028.
"""

from __future__ import annotations

import re
from urllib.parse import urlencode

from starlette.datastructures import FormData, QueryParams
from starlette.requests import Request
from starlette.responses import Response

from interlock.console.rendering import html
from interlock.console.visit import see_other, sign_in_path
from interlock.model.errors import Invalid, Unauthorized
from interlock.store.sign_ins import save_login_code
from interlock.store.tx import Store
from interlock.web.session import find_signed_in_session, require_csrf

CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
NAME_MAX = 100


async def show(request: Request) -> Response:
    """Ask the person whether they just ran `interlock login`."""
    session = await find_signed_in_session(_store(request), request)
    if session is None:
        return see_other(sign_in_path(request))
    values = {"title": "Let a terminal in", "csrf": session.csrf, "person": session.caller, "code": None}
    return html("terminal.html", {**values, **_asked(request.query_params)})


async def allow(request: Request) -> Response:
    """Let the terminal in, and take the code to it.

    Fails: `Unauthorized` without a session; `Forbidden` for a form without its token.
    """
    session = await find_signed_in_session(_store(request), request)
    if session is None:
        raise Unauthorized("Your session is over. Run interlock login again.")
    await require_csrf(request, session)
    asked = _asked(await request.form())
    code = await save_login_code(
        _store(request), principal_id=session.caller.id, challenge=asked["challenge"], name=asked["name"]
    )
    loopback = None
    if asked["port"]:
        loopback = f"http://127.0.0.1:{asked['port']}/?{urlencode({'code': code, 'state': asked['state']})}"
    values = {"title": "Let a terminal in", "csrf": session.csrf, "person": session.caller, "code": code}
    return html("terminal.html", {**values, **asked, "loopback": loopback})


def _asked(fields: QueryParams | FormData) -> dict[str, str]:
    """What the terminal sent along.

    Fails: `Invalid`.
    """
    read = {name: str(fields.get(name, "")) for name in ("challenge", "port", "state", "name")}
    if not CHALLENGE.fullmatch(read["challenge"]):
        raise Invalid("This address does not come from interlock login.", field="challenge")
    if read["port"] and not (re.fullmatch(r"[0-9]{1,5}", read["port"]) and 0 < int(read["port"]) < 65536):
        raise Invalid("This is no port.", field="port")
    if not re.fullmatch(r"[A-Za-z0-9_-]{0,100}", read["state"]):
        raise Invalid("This is no state.", field="state")
    read["name"] = "".join(each for each in read["name"] if each.isprintable())[:NAME_MAX] or "a terminal"
    return read


def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store

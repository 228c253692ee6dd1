"""Where to? The workspaces of a person; with only one, straight on to its fleet."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from interlock.console.rendering import html, path_to
from interlock.console.visit import see_other, sign_in_path
from interlock.store.tx import Store
from interlock.store.workspaces import list_workspaces_of
from interlock.web.session import find_signed_in_session


async def go_on(request: Request) -> Response:
    """The front door."""
    return await _choose(request, straight_on=True)


async def show(request: Request) -> Response:
    """The choice."""
    return await _choose(request, straight_on=False)


async def _choose(request: Request, *, straight_on: bool) -> Response:
    store: Store = request.app.state.store
    session = await find_signed_in_session(store, request)
    if session is None:
        return see_other(sign_in_path(request))
    async with store.read() as conn:
        workspaces = await list_workspaces_of(conn, session.caller.id, every=session.caller.system_admin)
    if straight_on and len(workspaces) == 1:
        return see_other(path_to(workspaces[0].slug))
    values = {
        "title": "Workspaces",
        "workspaces": workspaces,
        "caller": session.caller,
        "csrf": session.csrf,
        "path_to": path_to,
    }
    return html("workspaces.html", values)

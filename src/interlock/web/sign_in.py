"""Who is asking? A key in `X-API-Key` or `Authorization: Bearer`, else the console's session cookie.

It is decided before the body is read: a stranger cannot make the server read 4 MB. A session may read by its cookie
alone; to change something its request must carry the session's CSRF token too.

The workspace of a path is resolved here as well, with the caller's roles in it: one who is no member gets the same
404 as for a workspace that does not exist. `admitted` runs before every handler of the API, and asks the one table what
the operation needs (access/operations.py); a handler then says more narrowly where its object lies.

Source: contract.md section a; DESIGN.md section 3, `web/`.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import Depends, Path
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from interlock.access import (
    OPERATIONS,
    WORKSPACE,
    Caller,
    Needs,
    Permission,
    Place,
    allowed,
    allowed_somewhere,
    explain,
    operation_of,
    require,
    weigh,
)
from interlock.model.errors import Bug, Forbidden, InterlockError, NotFound, Unauthorized
from interlock.model.event import Actor
from interlock.model.secret import ids_in, masked
from interlock.store.bindings import load_bindings, load_key_bindings
from interlock.store.principals import find_caller, find_session
from interlock.store.queries import Conn
from interlock.store.refusals import refusals
from interlock.store.tx import Store, Tx
from interlock.store.workspaces import Workspace, find_workspace
from interlock.web.errors import error_answer

SESSION_COOKIE = "interlock_session"
CSRF_HEADER = "x-csrf-token"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class SignIn:
    """ASGI middleware: every path under `protected` needs a caller, who is put into the request's state."""

    def __init__(self, app: ASGIApp, *, store: Store, protected: str) -> None:
        self.app = app
        self.store = store
        self.protected = protected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(self.protected):
            try:
                caller = await find_signed_in(self.store, HTTPConnection(scope), method=scope["method"])
            except InterlockError as error:
                await error_answer(error)(scope, receive, send)
                return
            scope.setdefault("state", {})["caller"] = caller
        await self.app(scope, receive, send)


async def find_signed_in(store: Store, request: HTTPConnection, *, method: str) -> Caller:
    """The caller of a request.

    Fails: `Unauthorized` without a valid key or session; `Forbidden` for a change by session without its CSRF token.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    key = request.headers.get("x-api-key") or (token if scheme.lower() == "bearer" else "")
    if key:
        caller = await find_caller(store, key)
        if caller is not None:
            return caller
    cookie = request.cookies.get(SESSION_COOKIE)
    session = await find_session(store, cookie) if cookie else None
    if session is None:
        raise Unauthorized(
            "The API key is unknown, expired or revoked." if key else "An API key is needed (X-API-Key)."
        )
    if method not in _SAFE_METHODS and not hmac.compare_digest(request.headers.get(CSRF_HEADER, ""), session.csrf):
        raise Forbidden("A change by session needs the session's CSRF token.", code="CSRF")
    return session.caller


@dataclass(frozen=True, slots=True)
class Here:
    """The workspace of a request, who asks, and the store. `needs` is the operation's row; None: a page."""

    store: Store
    workspace: Workspace
    caller: Caller
    needs: Needs | None = None

    @property
    def id(self) -> str:
        """The workspace's id."""
        return self.workspace.id

    def require(self, permission: Permission, *, place: Place = WORKSPACE) -> None:
        """Refuse what the caller may not do at this place.

        Fails: `Forbidden`; `Bug` for a permission that the operation's row in the table does not name.
        """
        if self.needs is not None and permission not in {Permission.READ, *self.needs.permissions}:
            raise Bug(f"A handler asks for {permission}, which its row in access/operations.py does not name.")
        require(self.caller, permission, place=place)

    def read(self) -> AbstractAsyncContextManager[Conn]:
        """A connection to read from."""
        return self.store.read()

    async def shown(self, rendered: Any, permission: Permission, *, place: Place = WORKSPACE) -> Any:
        """What was rendered, with its secrets in full for who may write it, and with their marks for others.

        Takes: `permission` is what a write of the object asks for.
        Fails: `KeyMissing`.
        """
        if next(ids_in(rendered), None) is None:
            return rendered
        if not allowed(self.caller, permission, place=place):
            return masked(rendered)
        async with self.read() as conn:
            return await self.store.secrets.open_document(conn, self.id, rendered)

    @asynccontextmanager
    async def tx(self, permission: Permission, *, cause: str, place: Place = WORKSPACE) -> AsyncIterator[Tx]:
        """A transaction in this caller's name, when the permission is theirs.

        Fails: `Forbidden`, before anything is opened; `Conflict` when what is written clashes with what is stored.
        """
        self.require(permission, place=place)
        with refusals():
            async with self.store.tx(actor=actor_of(self.caller), cause=cause, workspace_id=self.workspace.id) as tx:
                yield tx


def actor_of(caller: Caller) -> Actor:
    """The caller as the ledger names it."""
    return Actor(caller.kind, caller.id, caller.name)


def signed_in(request: Request) -> Caller:
    """The caller that the middleware found."""
    caller: Caller = request.state.caller
    return caller


def store_of(request: Request) -> Store:
    """The store that the app was built with."""
    store: Store = request.app.state.store
    return store


async def find_here(store: Store, caller: Caller, *, workspace: str) -> Here:
    """The workspace with this id or slug, as the caller sees it.

    Fails: `NotFound` for an unknown one and for one that the caller is no member of, or whose key has roles of its own,
           but none here.
    """
    async with store.read() as conn:
        found = await find_workspace(conn, workspace)
        if found is not None and caller.agent_id is not None and caller.agent_workspace_id == found.id:
            return Here(store=store, workspace=found, caller=caller)
        if found is not None and caller.agent_id is None:
            bindings = await load_bindings(conn, found.id, principal_id=caller.id)
            limits = caller.limits
            if limits is not None and caller.key_id is not None:
                limits = await load_key_bindings(conn, found.id, key_id=caller.key_id)
            if (bindings or caller.system_admin) and limits != ():
                return Here(store=store, workspace=found, caller=replace(caller, bindings=bindings, limits=limits))
    raise NotFound("There is no such workspace.")


async def admit_again(request: Request) -> None:
    """Ask anew whether who opened this stream may still read it.

    Fails: as signing in and `admitted` do.
    """
    request.state.caller = await find_signed_in(store_of(request), request, method=request.method)
    await admitted(request)


async def admitted(request: Request) -> None:
    """Let a call through to its handler, or refuse it: the one check that every operation of the API passes.

    Why:   a request within another (`POST /W/apply`) is of its workspace and its caller: `state.around`. Whether it may
           do what it asks for is checked as ever.
    Fails: `Unauthorized` when nobody signed in; `NotFound` for a workspace that the caller does not see; `Forbidden`
           when no role of theirs carries what the operation needs; `Bug` for an operation without a row.
    """
    operation = operation_of(request.method, request.scope["route"].path)
    needs = OPERATIONS.get(operation)
    if needs is None:
        raise Bug(f"{operation} has no row in access/operations.py.")
    if needs.public:
        return
    caller = getattr(request.state, "caller", None)
    if caller is None:
        raise Unauthorized("An API key is needed (X-API-Key).")
    if not needs.permissions:
        if caller.agent_id is not None:
            raise Forbidden("An agent's token opens the queue and the jobs of its own agent, and nothing else.")
        return
    here = getattr(request.state, "around", None)
    if here is None:
        here = await find_here(store_of(request), caller, workspace=request.path_params["workspaceId"])
    if here.caller.agent_id is not None and not needs.agents:
        raise Forbidden("An agent's token claims, lists and reports the jobs of its own agent, and does nothing else.")
    fits = allowed_somewhere if needs.within else allowed
    if not any(fits(here.caller, each) for each in needs.permissions):
        asked = next(each for each in Permission if each in needs.permissions)
        raise Forbidden(explain(here.caller, asked, weigh(here.caller, asked)))
    request.state.here = replace(here, needs=needs)


async def _here(
    request: Request, workspace: Annotated[str, Path(alias="workspaceId", description="Id or slug.")]
) -> Here:
    """What `admitted` found; the path's parameter is declared for the API's description."""
    _ = workspace
    here: Here = request.state.here
    return here


SignedIn = Annotated[Caller, Depends(signed_in)]
InWorkspace = Annotated[Here, Depends(_here)]
FromStore = Annotated[Store, Depends(store_of)]

"""Who is asking? A key in `X-API-Key` or `Authorization: Bearer`, else the console's session cookie.

It is decided before the body is read: a stranger cannot make the server read 4 MB. A session may read by its cookie
alone; to change something its request must carry the session's CSRF token too.

The workspace of a path is resolved here as well, with the caller's roles in it: one who is no member gets the same
404 as for a workspace that does not exist.

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

from interlock.access import WORKSPACE, Caller, Permission, Place, allowed, require
from interlock.model.errors import Forbidden, InterlockError, NotFound, Unauthorized
from interlock.model.event import Actor
from interlock.model.secret import ids_in, masked
from interlock.store.principals import find_caller, find_session, load_bindings
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
    """The workspace of a request, who asks, and the store."""

    store: Store
    workspace: Workspace
    caller: Caller

    @property
    def id(self) -> str:
        """The workspace's id."""
        return self.workspace.id

    def require(self, permission: Permission, *, place: Place = WORKSPACE) -> None:
        """Refuse what the caller may not do at this place.

        Fails: `Forbidden`.
        """
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

    Fails: `NotFound` for an unknown one and for one that the caller is no member of.
    """
    async with store.read() as conn:
        found = await find_workspace(conn, workspace)
        if found is not None:
            bindings = await load_bindings(conn, found.id, principal_id=caller.id)
            if bindings or caller.system_admin:
                return Here(store=store, workspace=found, caller=replace(caller, bindings=bindings))
    raise NotFound("There is no such workspace.")


async def _here(
    request: Request, workspace: Annotated[str, Path(alias="workspaceId", description="Id or slug.")]
) -> Here:
    return await find_here(store_of(request), signed_in(request), workspace=workspace)


SignedIn = Annotated[Caller, Depends(signed_in)]
InWorkspace = Annotated[Here, Depends(_here)]
FromStore = Annotated[Store, Depends(store_of)]

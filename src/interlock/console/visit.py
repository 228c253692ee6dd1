"""What does every page of a workspace need? Somebody who signed in, the workspace as they see it, and the frame.

A visitor is sent to sign in and comes back. Every form that writes carries the session's CSRF token; what a visitor
may do is asked of `access`, here to offer it and again where it is written. What lost a race in the database is tried
again, as in the API.

Source: DESIGN.md section 3, `web/` and `access/`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from interlock.access import WORKSPACE, Permission, Place, allowed, allowed_somewhere
from interlock.console.rendering import HEADERS, html, path_to
from interlock.model.errors import Invalid, NotFound, Stale, Unauthorized
from interlock.model.ids import is_id
from interlock.store import pages
from interlock.store.principals import Session
from interlock.store.queries import Conn
from interlock.store.tx import Store
from interlock.web.bodies import AGAIN_AFTER_S, TRIES_MAX
from interlock.web.session import find_signed_in_session, renew, require_csrf
from interlock.web.sign_in import Here, find_here

T = TypeVar("T")
Endpoint = Callable[[Request], Awaitable[Response]]

SIGN_IN = "/sign-in"


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of somebody who signed in, inside a workspace."""

    request: Request
    session: Session
    here: Here

    def at(self, *parts: str) -> str:
        """A path inside this workspace."""
        return path_to(self.here.workspace.slug, *parts)

    def may(self, permission: Permission, *, place: Place = WORKSPACE) -> bool:
        """Whether this person may do this here."""
        return allowed(self.here.caller, permission, place=place)

    def may_somewhere(self, permission: Permission) -> bool:
        """Whether any of this person's roles carries the permission, over whatever part of the workspace."""
        return allowed_somewhere(self.here.caller, permission)

    async def render(
        self,
        conn: Conn,
        template: str,
        *,
        title: str,
        live: str = "",
        about: Sequence[str] = (),
        status: int = 200,
        again_s: int | None = None,
        **values: Any,
    ) -> Response:
        """A page in its frame.

        Takes: `live` is `follow` (the page renews itself when something it shows changes), `tell` (it says that
               something changed, because a form must not change under a person's hands) or empty. `about` are the ids
               whose events concern the page; none means every event of the workspace. A page that shows how old
               something is loads itself again after `again_s` too.
        """
        frame = await pages.load_frame(conn, self.here.id)
        freezes = await pages.list_freezes(conn, self.here.id)
        parts = [("after", str(frame.seq)), *(("about", each) for each in about)]
        stream = "&".join(f"{name}={quote(value)}" for name, value in parts)
        return html(
            template,
            {
                "title": title,
                "workspace": self.here.workspace,
                "caller": self.here.caller,
                "csrf": self.session.csrf,
                "at": self.at,
                "frame": frame,
                "freezes": freezes,
                "may_freeze": self.may_somewhere(Permission.FREEZE),
                "live": live,
                "again_s": again_s,
                "stream": f"{self.at('live')}?{stream}",
                "here_url": self._here_url(),
                **values,
            },
            status=status,
        )

    def _here_url(self) -> str:
        query = self.request.url.query
        return f"{self.request.url.path}?{query}" if query else self.request.url.path


def see_other(path: str) -> Response:
    """Go on with a GET: after a form was taken, so that loading again sends nothing twice."""
    return RedirectResponse(path, status_code=303, headers={"Cache-Control": "no-store"})


def in_workspace(page: Callable[[Visit], Awaitable[Response]], *, followed: bool = False) -> Endpoint:
    """The endpoint of a page of a workspace: finds who visits, or sends them to sign in.

    Takes: `followed` is asked by a script, which must hear 401 instead of being sent on.
    Fails: `Unauthorized` for a form without a session; `Forbidden` for one without its token; `NotFound` for a
           workspace that the visitor is no member of.
    """

    async def endpoint(request: Request) -> Response:
        store: Store = request.app.state.store
        session = await find_signed_in_session(store, request)
        if session is None:
            if request.method in {"GET", "HEAD"} and not followed:
                return see_other(sign_in_path(request))
            raise Unauthorized("Your session is over. Sign in, and do it again.")
        here = await find_here(store, session.caller, workspace=request.path_params["workspace"])
        request.state.slug = here.workspace.slug
        here.require(Permission.READ)
        if request.method not in {"GET", "HEAD"}:
            await require_csrf(request, session)
        visit = Visit(request, session, here)
        answer = await _answer(page, visit)
        if not followed:
            await renew(store, request, answer, session=session)
        return answer

    endpoint.__doc__ = page.__doc__
    return endpoint


async def _answer(page: Callable[[Visit], Awaitable[Response]], visit: Visit) -> Response:
    for tried in range(TRIES_MAX - 1):
        try:
            return await page(visit)
        except Stale:
            await asyncio.sleep(AGAIN_AFTER_S * 2**tried)
    return await page(visit)


def sign_in_path(request: Request) -> str:
    """Where to sign in, and come back from."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return SIGN_IN if wanted == "/" else f"{SIGN_IN}?next={quote(wanted, safe='')}"


def id_in_path(visit: Visit, name: str, what: str) -> str:
    """The id in the path, in lower case.

    Fails: `NotFound` for a text that is none.
    """
    text: str = visit.request.path_params[name]
    if not is_id(text):
        raise NotFound(f"There is no {what} with this id.")
    return text.lower()


def found(value: T | None, what: str) -> T:
    """The value that was looked up.

    Fails: `NotFound` when there is none.
    """
    if value is None:
        raise NotFound(f"There is no such {what} in this workspace.")
    return value


async def form_text(visit: Visit, name: str, *, length_max: int, required: str | None = None) -> str:
    """A field of the form that was sent, without surrounding space.

    Takes: `required` is what to say when it is missing.
    Fails: `Invalid` on this field.
    """
    value = (await visit.request.form()).get(name, "")
    text = value.strip() if isinstance(value, str) else ""
    if "\x00" in text:
        raise Invalid("The text holds a NUL character, which cannot be stored.", field=name)
    if len(text) > length_max:
        raise Invalid(f"At most {length_max:,} characters, please.", field=name)
    if required is not None and not text:
        raise Invalid(required, field=name)
    return text


def number_in_query(visit: Visit, name: str, *, otherwise: int, most: int = 2**53) -> int:
    """A whole number of the query; another text counts as none."""
    text = visit.request.query_params.get(name, "")
    return min(int(text), most) if text.isascii() and text.isdigit() and len(text) < 20 else otherwise


__all__ = ["HEADERS", "Visit", "form_text", "found", "id_in_path", "in_workspace", "number_in_query", "see_other"]

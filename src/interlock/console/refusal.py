"""What does a person see when it does not work? A page in the same style that says what to do.

It asks the database nothing, because the database may be what does not answer.

Source: DESIGN.md section 7, "Errors name who must act".
"""

from __future__ import annotations

from http import HTTPStatus

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from interlock.console.rendering import html, path_to
from interlock.console.visit import sign_in_path
from interlock.model.errors import InterlockError, Refused, Stale, Unavailable
from interlock.web.errors import RETRY_AFTER_S

_log = structlog.get_logger(__name__)

HEADINGS = {
    400: "This cannot be taken as it is",
    401: "Sign in first",
    403: "You may not do this",
    404: "There is nothing here",
    405: "This page does not take that",
    409: "It has changed meanwhile",
    412: "It is not what you were shown",
    413: "This is too large",
    500: "Interlock failed to answer",
    503: "Interlock cannot reach its database",
}

HANDLED: tuple[type[Exception] | int, ...] = (InterlockError, HTTPException)
"""What Starlette hands over to `refuse`; anything else reaches it as an unforeseen error."""

MISSING = "The address is wrong, or what it names is gone."


async def refuse(request: Request, error: Exception) -> Response:
    """The page for an error."""
    status, message = _said(error)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("page_failed", method=request.method, path=request.url.path, exc_info=error)
    slug: str | None = getattr(request.state, "slug", None)
    again = request.method in {"GET", "HEAD"} or status == HTTPStatus.PRECONDITION_FAILED
    values = {
        "title": HEADINGS.get(status, "It did not work"),
        "status": status,
        "message": message,
        "fleet_path": path_to(slug) if slug else None,
        "again_path": request.url.path if again and status in {412, 409, 500, 503} else None,
        "sign_in_path": sign_in_path(request) if status == HTTPStatus.UNAUTHORIZED else None,
    }
    answer = html("refusal.html", values, status=status)
    if isinstance(error, Unavailable):
        answer.headers["Retry-After"] = str(max(1, round(error.retry_after_s or RETRY_AFTER_S)))
    if isinstance(error, HTTPException):
        answer.headers.update(error.headers or {})
    return answer


def _said(error: Exception) -> tuple[int, str]:
    match error:
        case Refused():
            return error.status, error.message
        case Stale():
            return 409, "Somebody changed this at the same moment. Look at it again, and send it again."
        case Unavailable():
            return 503, "Nothing was changed. It is tried again by itself; load the page again in a moment."
        case HTTPException() if error.status_code == HTTPStatus.NOT_FOUND:
            return 404, MISSING
        case HTTPException():
            return error.status_code, "This address takes no such request."
        case InterlockError() | _:
            return 500, "Its log says why. Load the page again in a moment."

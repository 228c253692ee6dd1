"""How does an error look on the wire? One body for every refusal, `{error, message, code?, details?}`, always JSON.

`error` and `message` are the same sentence: one client reads the first, another the second. Validation faults carry
`details: [{path, message}]` and are 400, never 422. What we did not foresee is 500 without a word of the inside; the
log has the rest.

Source: contract.md section e, "Errors"; DESIGN.md section 7.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from interlock.model.errors import (
    FieldError,
    InterlockError,
    Invalid,
    Refused,
    Stale,
    TooMany,
    Unauthorized,
    Unavailable,
)
from interlock.web.answers import Json

_log = structlog.get_logger(__name__)

RETRY_AFTER_S = 1
_CODES = {
    400: "BAD_REQUEST",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
}
_SAYINGS = {
    404: "There is nothing at this path.",
    405: "This path does not take this method.",
    415: "The body must be JSON (Content-Type: application/json).",
}


def error_answer(error: Exception) -> Json:
    """The answer to an error of ours; anything else is 500."""
    match error:
        case Invalid():
            details = [{"path": fault.path, "message": fault.message} for fault in error.fields]
            return refusal(error.status, error.message, code=error.code, details=details or error.details)
        case Unauthorized():
            answer = refusal(error.status, error.message, code=error.code, details=error.details)
            answer.headers["WWW-Authenticate"] = 'Bearer realm="interlock"'
            return answer
        case TooMany():
            answer = refusal(error.status, error.message, code=error.code, details=error.details)
            answer.headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
            return answer
        case Refused():
            return refusal(error.status, error.message, code=error.code, details=error.details)
        case Stale():
            answer = refusal(503, "Others changed the same things at the same moment, again and again.", code="BUSY")
            answer.headers["Retry-After"] = str(RETRY_AFTER_S)
            return answer
        case Unavailable():
            answer = refusal(503, error.message, code="UNAVAILABLE")
            answer.headers["Retry-After"] = str(max(1, round(error.retry_after_s or RETRY_AFTER_S)))
            return answer
        case _:
            return refusal(500, "Interlock failed to answer this request. Its log says why.", code="INTERNAL_ERROR")


def refusal(status: int, message: str, *, code: str | None = None, details: object = None) -> Json:
    """The contract's error body under this status."""
    body: dict[str, object] = {"error": message, "message": message}
    if code:
        body["code"] = code
    if details:
        body["details"] = details
    return Json(body, status_code=status)


def install_error_answers(app: FastAPI) -> None:
    """Make the app answer every error in this form."""
    app.add_exception_handler(InterlockError, _ours)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unforeseen)


async def _ours(request: Request, error: Exception) -> Json:
    answer = error_answer(error)
    if isinstance(error, Stale):
        _log.warning("request_stale", method=request.method, path=request.url.path, error=str(error))
    elif answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("request_failed", method=request.method, path=request.url.path, error=str(error), exc_info=error)
    return answer


async def _unforeseen(request: Request, error: Exception) -> Json:
    _log.error("request_failed", method=request.method, path=request.url.path, exc_info=error)
    return error_answer(error)


async def _http(_request: Request, error: Exception) -> Json:
    assert isinstance(error, HTTPException)
    standard = error.detail == HTTPStatus(error.status_code).phrase
    message = _SAYINGS.get(error.status_code, error.detail) if standard else error.detail
    answer = refusal(error.status_code, message, code=_CODES.get(error.status_code))
    answer.headers.update(error.headers or {})
    return answer


async def _validation(_request: Request, error: Exception) -> Json:
    assert isinstance(error, RequestValidationError)
    return error_answer(invalid_from(error.errors()))


def invalid_from(faults: Sequence[Mapping[str, object]]) -> Invalid:
    """Pydantic's faults as one `Invalid` that names every field by its path."""
    if any(fault.get("type") == "json_invalid" for fault in faults):
        return Invalid("The body is not JSON.", fields=[FieldError("", "is not JSON")])
    fields = [FieldError(_path(fault["loc"]), _saying(fault)) for fault in faults]
    sentence = "; ".join(f"{field.path or 'body'}: {field.message}" for field in fields[:5])
    more = f"; and {len(fields) - 5} more" if len(fields) > 5 else ""
    return Invalid(f"{sentence}{more}.", fields=fields)


def _path(loc: object) -> str:
    """`("body", "rules", 0, "x")` -> `rules[0].x`."""
    parts = list(loc) if isinstance(loc, tuple | list) else []
    if parts and parts[0] in {"body", "query", "path", "header"}:
        parts = parts[1:]
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.removeprefix(".")


def _saying(fault: Mapping[str, object]) -> str:
    if fault.get("type") == "extra_forbidden":
        return "is not known here"
    if fault.get("type") == "missing":
        return "is required"
    return re.sub(r"^Value error, ", "", str(fault.get("msg", "is wrong")))

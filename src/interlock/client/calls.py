"""How does one call travel, and what does a bad answer become?

One HTTP client per `Calls`, made at the first request, because importing httpx costs more than most commands do.
Every path segment is percent-encoded by the caller of `request` through `path`; a resource's identifier may hold
slashes.

A bad answer becomes the error that its status names (`model/errors.py`), with the server's own sentence. Nothing is
retried here: only the caller knows whether asking twice is harmless.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from interlock.model.errors import (
    Bug,
    Conflict,
    FieldError,
    Forbidden,
    InterlockError,
    Invalid,
    NotFound,
    Outdated,
    Refused,
    StoreUnavailable,
    TooLarge,
    Unauthorized,
    Unavailable,
)

if TYPE_CHECKING:
    import httpx

Wire = dict[str, Any]
"""One JSON object as it stands on the wire."""

PAGE_MAX = 1000
"""The most items that one page may hold (contract.md section e)."""

_ERRORS_BY_STATUS: Mapping[int, type[Refused]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: Outdated,
    413: TooLarge,
}


def path(*segments: str) -> str:
    """Join segments under `/v1`, each encoded on its own: a slash inside a segment stays inside it."""
    return "/v1/" + "/".join(quote(segment, safe="") for segment in segments)


def api_root(url: str) -> str:
    """The address under which the API stands: with or without a trailing `/` or `/api`, as other clients accept it."""
    return url.rstrip("/").removesuffix("/api") + "/api"


class Calls:
    """One server and one key.

    Takes: `timeout_s` bounds each call; `http` replaces the HTTP client (its base address must be the API's root).
    """

    def __init__(self, url: str, *, api_key: str, timeout_s: float = 30.0, http: httpx.Client | None = None) -> None:
        self.url = url.rstrip("/").removesuffix("/api")
        self._api_key = api_key
        self._timeout_s = timeout_s
        self._http = http

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Further calls open new ones."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def request(
        self,
        method: str,
        target: str,
        *,
        body: object | None = None,
        query: Mapping[str, object] | None = None,
    ) -> Any:
        """Make one call and give the decoded JSON answer; None when the answer is empty.

        Fails: a `Refused` for 4xx, `Unavailable` when the server cannot be reached or says so, `Bug` for its other
               failures.
        """
        import httpx

        sent = {key: value for key, value in (query or {}).items() if value is not None}
        try:
            answer = self._client().request(method, target, json=body, params=_texts(sent) or None)
        except httpx.TimeoutException as cause:
            raise Unavailable(f"{self.url} did not answer within {self._timeout_s:g} s.") from cause
        except httpx.HTTPError as cause:
            said = re.sub(r"^\[Errno -?\d+\] ", "", str(cause)) or type(cause).__name__
            raise Unavailable(f"{self.url} cannot be reached: {said}. Is Interlock running there?") from cause
        if answer.is_success:
            return _decoded(answer) if answer.content else None
        raise _error(answer, url=self.url)

    def items(
        self, target: str, *, query: Mapping[str, object] | None = None, items_max: int | None = None
    ) -> Iterator[Wire]:
        """Walk through a paged list.

        Takes: `items_max` ends the walk; None walks to the end.
        """
        offset = 0
        while items_max is None or offset < items_max:
            limit = min(PAGE_MAX, PAGE_MAX if items_max is None else items_max - offset)
            page = self.request("GET", target, query={**(query or {}), "limit": limit, "offset": offset})
            yield from page["items"]
            offset += len(page["items"])
            if not page["items"] or offset >= page["total"]:
                return

    def events(self, target: str, *, last_event_id: str | None = None) -> Iterator[tuple[str | None, Wire]]:
        """Follow a stream of server-sent events: (event id, its JSON object), until the server ends it.

        Source: HTML Living Standard, section 9.2 "Server-sent events" (the fields `id` and `data`; the rest is
                skipped).
        """
        import httpx

        headers = {"accept": "text/event-stream"} | ({"last-event-id": last_event_id} if last_event_id else {})
        wait = httpx.Timeout(self._timeout_s, read=None)
        try:
            with self._client().stream("GET", target, headers=headers, timeout=wait) as answer:
                if not answer.is_success:
                    answer.read()
                    raise _error(answer, url=self.url)
                yield from _parse_events(answer.iter_lines())
        except httpx.HTTPError as cause:
            raise Unavailable(f"{self.url} ended the stream: {cause}") from cause

    def _client(self) -> httpx.Client:
        import httpx

        if self._http is None:
            self._http = httpx.Client(
                base_url=api_root(self.url),
                headers={"x-api-key": self._api_key, "user-agent": "interlock"},
                timeout=self._timeout_s,
            )
        return self._http


def _texts(query: Mapping[str, object]) -> dict[str, str]:
    """Query values as text; booleans in JSON's spelling."""
    return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in query.items()}


def _decoded(answer: httpx.Response) -> Any:
    """The JSON of a good answer. Something else at this address (a proxy's page) is the caller's wrong address."""
    try:
        return answer.json()
    except ValueError as cause:
        raise Unavailable(f"{answer.request.url} answered, but not as Interlock does. Is the address right?") from cause


def _error(answer: httpx.Response, *, url: str) -> InterlockError:
    """What a bad answer becomes."""
    try:
        body = answer.json()
    except ValueError:
        body = {}
    if not isinstance(body, dict):
        body = {}
    message = body.get("message") or body.get("error") or f"{url} answered {answer.status_code} {answer.reason_phrase}."
    code = body.get("code")
    status = answer.status_code
    if status in _ERRORS_BY_STATUS:
        return _ERRORS_BY_STATUS[status](message, code=code, details=body.get("details"))
    if 400 <= status < 500:
        return Invalid(message, fields=_fields(body.get("details")), code=code)
    if status == 503:
        return StoreUnavailable(message, retry_after_s=_retry_after_s(answer))
    if status in {502, 504}:
        return Unavailable(message, retry_after_s=_retry_after_s(answer))
    return Bug(message)


def _fields(details: object) -> tuple[FieldError, ...]:
    """The refused fields of a 400, as far as the body names them."""
    if not isinstance(details, list):
        return ()
    named = [entry for entry in details if isinstance(entry, dict) and entry.get("path")]
    return tuple(FieldError(str(entry["path"]), str(entry.get("message", ""))) for entry in named)


def _retry_after_s(answer: httpx.Response) -> float | None:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isdigit() else None


def _parse_events(lines: Iterator[str]) -> Iterator[tuple[str | None, Wire]]:
    """Server-sent events out of lines. An event without data (a heartbeat) is none."""
    event_id: str | None = None
    said: list[str] = []
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if said:
                yield event_id, json.loads("\n".join(said))
            said = []
        elif name == "id":
            event_id = value
        elif name == "data":
            said.append(value)

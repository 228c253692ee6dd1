"""How does one call travel, and what does a bad answer become?

Every path segment is percent-encoded by the caller of `request` through `path`; a resource's identifier may hold
slashes. A bad answer becomes the error that its status names (`model/errors.py`), with the server's own sentence.

Asked again, up to `retries_max` times and after what `Retry-After` says, is only what is harmless to ask twice: what
never left this machine; a GET, a PUT or a DELETE; and a POST, because each carries an `Idempotency-Key` of its own, so
that the server answers the second as it answered the first. A PATCH is not, unless the server says that it was not
taken (429).
"""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

from interlock.client.transport import Answer, Carries, Request, Transport, Unanswered, Unreachable
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

Wire = dict[str, Any]
"""One JSON object as it stands on the wire."""

Seen = Mapping[str, Any]
"""One JSON object that was read; each shape of `shapes.py` is one."""

PAGE_MAX = 1000
"""The most items that one page may hold (contract.md section e)."""

RETRIES_MAX = 2
BACKOFF_S = 0.2
"""The first wait between two tries; each further one is three times as long."""
WAIT_MAX_S = 30.0
"""The longest wait that a `Retry-After` may ask for; what asks for more is an error at once."""
SILENCE_MAX_S = 60.0
"""How long a stream may say nothing at all. The server says something every 15 s."""

_REPEATABLE = frozenset({"GET", "PUT", "DELETE"})
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


def host_of(url: str) -> str:
    """The name of a server's host."""
    return urlsplit(url).hostname or url


class Calls:
    """One server and one key.

    Takes: `timeout_s` bounds each try; `transport` replaces what carries the requests; `sleep` waits between tries.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str,
        timeout_s: float = 30.0,
        retries_max: int = RETRIES_MAX,
        transport: Carries | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.url = url.rstrip("/").removesuffix("/api")
        self._api_key = api_key
        self._retries_max = retries_max
        self._transport = transport or Transport(api_root(url), timeout_s=timeout_s)
        self._sleep = sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Further calls open new ones."""
        self._transport.close()

    def request(
        self,
        method: str,
        target: str,
        *,
        body: object | None = None,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Any:
        """Make one call and give the decoded JSON answer; None when the answer is empty.

        Takes: `headers` may say `Idempotency-Key`, where the caller knows a better one than chance (empty: none, for
               what is harmless to send twice by its nature), or `If-Match`.
               `timeout_s` is how long this answer may take, where that is longer than the client's.
        Fails: a `Refused` for 4xx, `Unavailable` when the server cannot be reached or says so, `Bug` for its other
               failures.
        """
        asked = self._request(method, target, body=body, query=query, headers=headers)
        return _decoded(self._exchange(replace(asked, timeout_s=timeout_s)), url=self.url)

    def request_tagged(self, target: str, *, query: Mapping[str, object] | None = None) -> tuple[Any, str | None]:
        """GET something with its tag. `{"If-Match": tag}` with a later write refuses it where somebody was faster.

        Gives: (the decoded answer, its `ETag`); None where the thing has none.
        Fails: as `request`; the later write with `Outdated`.
        """
        answer = self._exchange(self._request("GET", target, query=query))
        return _decoded(answer, url=self.url), answer.headers.get("etag")

    def _exchange(self, asked: Request) -> Answer:
        """Ask, and ask again what is harmless to ask twice. What a lost try deleted is not missing."""
        lost = False
        for tries in range(1, self._retries_max + 2):
            answer: Answer | None = None
            error: InterlockError
            try:
                answer = self._transport.exchange(asked)
            except Unavailable as broken:
                error = broken
                lost = lost or isinstance(error, Unanswered)
            else:
                if answer.ok:
                    return answer
                if lost and asked.method == "DELETE" and answer.status == 404:
                    return Answer(204)
                error = _error(answer, url=self.url)
            wait_s = _wait_s(asked, error, answer, tries=tries)
            if wait_s is None or tries > self._retries_max:
                raise error
            self._sleep(wait_s)
        raise AssertionError

    def items(
        self, target: str, *, query: Mapping[str, object] | None = None, items_max: int | None = None
    ) -> Iterator[Any]:
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

    def events(
        self, target: str, *, query: Mapping[str, object] | None = None, last_event_id: str | None = None
    ) -> Iterator[tuple[str | None, Wire]]:
        """Follow a stream of server-sent events: (event id, its JSON object), until the server ends it.

        Fails: as `request`; `Unavailable` when the connection breaks or falls silent.
        Source: HTML Living Standard, section 9.2 "Server-sent events" (the fields `id` and `data`; the rest is
                skipped).
        """
        headers = {"accept": "text/event-stream"} | ({"last-event-id": last_event_id} if last_event_id else {})
        asked = self._request("GET", target, query=query, headers=headers)
        with self._transport.stream(asked, silence_max_s=SILENCE_MAX_S) as (answer, lines):
            if not answer.ok:
                raise _error(answer, url=self.url)
            yield from _parse_events(lines)

    def _request(
        self,
        method: str,
        target: str,
        *,
        body: object | None = None,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Request:
        sent = {"user-agent": "interlock", "accept": "application/json"}
        if self._api_key:
            sent["x-api-key"] = self._api_key
        if method == "POST":
            sent["idempotency-key"] = uuid.uuid4().hex
        sent |= {name.lower(): value for name, value in (headers or {}).items()}
        sent = {name: value for name, value in sent.items() if value}
        asked = _texts({key: value for key, value in (query or {}).items() if value is not None})
        if asked:
            target += ("&" if "?" in target else "?") + urlencode(asked)
        if body is None:
            return Request(method, target, sent)
        return Request(method, target, {**sent, "content-type": "application/json"}, json.dumps(body).encode())


def _wait_s(asked: Request, error: InterlockError, answer: Answer | None, *, tries: int) -> float | None:
    """How long to wait before asking again; None where asking again is not harmless or would not help."""
    repeatable = asked.method in _REPEATABLE or "idempotency-key" in asked.headers
    if answer is None:
        again = isinstance(error, Unreachable) or (isinstance(error, Unanswered) and repeatable)
    else:
        again = answer.status == 429 or (answer.status in {502, 503, 504} and repeatable)
    if not again:
        return None
    wanted = error.retry_after_s if isinstance(error, Unavailable) else None
    if wanted is not None:
        return wanted if wanted <= WAIT_MAX_S else None
    return float(BACKOFF_S * 3 ** (tries - 1) * random.uniform(0.8, 1.2))


def _texts(query: Mapping[str, object]) -> list[tuple[str, str]]:
    """Query values as text; a list is a key several times, a boolean in JSON's spelling."""
    several = [
        (key, value) for key, values in query.items() for value in (values if isinstance(values, list) else [values])
    ]
    return [(key, str(value).lower() if isinstance(value, bool) else str(value)) for key, value in several]


def _decoded(answer: Answer, *, url: str) -> Any:
    """The JSON of a good answer. Something else at this address (a proxy's page) is the caller's wrong address."""
    if not answer.body:
        return None
    try:
        return json.loads(answer.body)
    except ValueError as cause:
        raise Unavailable(f"{url} answered, but not as Interlock does. Is the address right?") from cause


def _error(answer: Answer, *, url: str) -> InterlockError:
    """What a bad answer becomes."""
    try:
        body = json.loads(answer.body)
    except ValueError:
        body = {}
    if not isinstance(body, dict):
        body = {}
    message = body.get("message") or body.get("error") or f"{url} answered {answer.status}, but not as Interlock does."
    code, details, status = body.get("code"), body.get("details"), answer.status
    if status == 429:
        return Unavailable(message, retry_after_s=_retry_after_s(answer))
    if status in _ERRORS_BY_STATUS:
        return _ERRORS_BY_STATUS[status](message, code=code, details=details)
    if 400 <= status < 500:
        refused = Invalid(message, fields=_fields(details), code=code)
        refused.status, refused.details = status, details if isinstance(details, dict) else None
        return refused
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


def _retry_after_s(answer: Answer) -> float | None:
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

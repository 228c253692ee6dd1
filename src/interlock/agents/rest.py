"""How does an agent call its tool's REST API, and what does each answer mean for a job?

    2xx                  the answer, read as JSON
    404                  None, where the caller says that a thing may be missing; else a no
    401, 403             a no: the credentials are wrong or may not do this
    400, 409, 422        a no, with the tool's own words; `Clash` for 409, which some callers can use
    408, 5xx             nothing: `AgentUnavailable`, with the wait that `Retry-After` asks for
    425, 429, and 403 or 503 that say when
                         nothing, and nothing was done: `NotStarted`; some tools say 403 when they are called too often
    no connection        the same
    redirect             a no: the address is not the tool's API
    garbage, silence     nothing: whether it was done is unknown

`NotStarted` speaks of one call. A `start` that has already made a run must not let a later call's pass: `follow_up`
makes it an `AgentUnavailable`.

What a tool says is cut to a sentence's length; it goes into a job's message.

Source: RFC 9110 sections 10.2.3 and 15; core.md section 5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from interlock.clock import utc_now
from interlock.model.errors import AgentUnavailable, NotStarted, Rejected, Unavailable, Unreached
from interlock.outside.http import Answer, Http

TIMEOUT_S = 20.0
SAID_MAX = 500
RETRY_AFTER_MAX_S = 3600.0
_ANSWER_BYTES_MAX = 8 * 1024 * 1024


class Answered(Rejected):
    """A no that the tool answered.

    Takes: `body` is its answer as JSON, for those who read more of it than its words; None where it is none.
    """

    def __init__(self, message: str, *, status: int = 0, body: Any = None) -> None:
        super().__init__(message)
        self.status, self.body = status, body


class Clash(Answered):
    """The tool says that this clashes with what it has (409, or its own words for it)."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool's API, as one agent's config names it.

    Takes: `name` as people know it ("Argo CD"); `base_url` without a slash at its end. `verify_tls` False takes any
           certificate. `sign` gives headers for the bytes of a body.
    """

    http: Http
    name: str
    base_url: str
    headers: Mapping[str, str]
    timeout_s: float = TIMEOUT_S
    verify_tls: bool = True
    sign: Callable[[bytes], Mapping[str, str]] | None = None

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: object = None,
        content_type: str = "application/json",
        may_miss: bool = False,
        may_chat: bool = False,
    ) -> Any:
        """Call and read the answer; None for 404 where `may_miss`, and for an empty answer.

        Takes: `path` begins with a slash, its parts quoted (`part`). `may_chat`: an answer that is no JSON ("ok") is
               one that says nothing, None, unless it is a web page, which no tool answers with.
        Fails: as the module says.
        """
        url = f"{self.base_url}{path}"
        if query:
            url += "?" + urlencode({key: _text(value) for key, value in query.items() if value is not None})
        headers = {"Accept": "application/json", **self.headers}
        raw = None
        if body is not None:
            headers.setdefault("Content-Type", content_type)
            raw = orjson.dumps(body)
        if self.sign is not None:
            headers |= self.sign(raw or b"")
        try:
            answer = await self.http.send(
                method,
                url,
                headers=headers,
                body=raw,
                timeout_s=self.timeout_s,
                answer_bytes_max=_ANSWER_BYTES_MAX,
                verify_tls=self.verify_tls,
            )
        except Unreached as unreached:
            raise NotStarted(f"{self.name}: {unreached}") from unreached
        except Unavailable as silent:
            raise AgentUnavailable(f"{self.name}: {silent}", retry_after_s=silent.retry_after_s) from silent
        if answer.status == 404 and may_miss:
            return None
        self._sort(answer)
        if may_chat and not answer.text.lstrip().startswith(("<", "{", "[")):
            return None
        return self._read(answer)

    def _sort(self, answer: Answer) -> None:
        status = answer.status
        if 200 <= status < 300:
            return
        if status in {408, 425, 429} or status >= 500 or (status == 403 and _asks_to_wait(answer)):
            wait_s = retry_after_s(answer, now=utc_now())
            turned_away = status in {403, 425, 429} or (status == 503 and wait_s is not None)
            silence = NotStarted if turned_away else AgentUnavailable
            raise silence(f"{self.name} answered {status}{_because(answer)}.", retry_after_s=wait_s)
        if 300 <= status < 400:
            raise Rejected(f"{self.name} redirects ({status}): {self.base_url} is not the address of its API.")
        if status in {401, 403}:
            said = f"{self.name} refused the credentials, or what they may do ({status}){_because(answer)}."
            raise Answered(said, status=status, body=_json(answer))
        kind = Clash if status == 409 else Answered
        raise kind(f"{self.name} said no ({status}){_because(answer)}.", status=status, body=_json(answer))

    def _read(self, answer: Answer) -> Any:
        if answer.truncated:
            raise AgentUnavailable(f"{self.name} answered with more than {_ANSWER_BYTES_MAX} bytes.")
        if not answer.body.strip():
            return None
        try:
            return orjson.loads(answer.body)
        except orjson.JSONDecodeError as garbage:
            raise AgentUnavailable(f"{self.name} answered with what is no JSON.") from garbage


@contextmanager
def follow_up() -> Iterator[None]:
    """Calls of a `start` that come after the one which made the run: "not now" says nothing of that run."""
    try:
        yield
    except NotStarted as later:
        raise AgentUnavailable(later.message, retry_after_s=later.retry_after_s) from later


def part(text: object) -> str:
    """One part of a path, quoted."""
    return quote(str(text), safe="")


def retry_after_s(answer: Answer, *, now: datetime) -> float | None:
    """The wait that an answer asks for: seconds, or until a date; None where it asks for none.

    GitHub says `x-ratelimit-reset` in place of `Retry-After` when an hour's calls are used up.
    """
    told = dict(answer.headers)
    if "retry-after" not in told and told.get("x-ratelimit-remaining") == "0":
        reset = told.get("x-ratelimit-reset", "")
        return min(max(int(reset) - now.timestamp(), 1.0), RETRY_AFTER_MAX_S) if reset.isdigit() else None
    for name, value in answer.headers:
        if name != "retry-after":
            continue
        if value.strip().isdigit():
            return min(float(value), RETRY_AFTER_MAX_S)
        try:
            at = parsedate_to_datetime(value)
        except ValueError:
            return None
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return min(max((at - now).total_seconds(), 0.0), RETRY_AFTER_MAX_S)
    return None


def _asks_to_wait(answer: Answer) -> bool:
    """Whether a 403 means that too much was asked for, as GitHub's does: it says when to ask again, or that none of
    the hour's calls is left.
    """
    told = dict(answer.headers)
    return "retry-after" in told or told.get("x-ratelimit-remaining") == "0"


def _because(answer: Answer) -> str:
    """What the tool says of its no, after a colon."""
    said = answer.text.strip()
    try:
        body = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        said = "" if said.startswith("<") else said
    else:
        if isinstance(body, Mapping):
            found = body.get("message") or body.get("error") or body.get("error_description") or body.get("errors")
            said = (
                found if isinstance(found, str) else _listed(found) or (orjson.dumps(found).decode() if found else "")
            )
    said = " ".join(said.split())
    if len(said) > SAID_MAX:  # between two words: half of a secret would not be found and hidden
        said = said[:SAID_MAX].rpartition(" ")[0]
    said = said.rstrip(".")
    return f": {said}" if said else ""


def _listed(found: object) -> str:
    """The errors of a JSON:API answer, each with its title and detail."""
    listed = found if isinstance(found, list) else []
    told = [
        ": ".join(str(one[name]) for name in ("title", "detail") if one.get(name))
        for one in listed
        if isinstance(one, Mapping)
    ]
    return "; ".join(filter(None, told))


def _json(answer: Answer) -> Any:
    try:
        return orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return None


def _text(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)

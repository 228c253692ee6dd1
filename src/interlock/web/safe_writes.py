"""What makes a write safe to send twice, and safe where two people edit? Two headers, at every route that writes.

`Idempotency-Key`, on POST: the same key with the same request gets the same answer again for 24 hours, also while the
first is still being handled and through another process. The same key with another request is 422. It is the caller's
own, has 16 to 255 characters, and is stored as a digest only (`store/idempotency.py`).

`If-Match`, on PUT, PATCH, DELETE, and POST of an action (`…/freezes/<id>/thaw`): GET of the thing gives an `ETag`; when
the thing looks otherwise by now, the answer is 412 and nothing is written. `If-None-Match: *` writes only what is not
there yet. The tag is a digest of what GET answers, so it covers exactly what the sender saw: where the caller may not
read secrets, without them.

Both are the business of no handler. The handler runs inside one joined transaction: for a key, its answer is kept with
what it wrote; for a tag, the thing is read first by its own GET route, in a transaction in which what was read may not
change before it is written (REPEATABLE READ; who loses the race is handled again, and then sees the change).

Source: RFC 9110, section 13; draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from interlock.model.errors import Conflict, Invalid, Outdated, Refused, Stale
from interlock.store.idempotency import RequestKey, drop_key, find_answer, keep_answer, take_key
from interlock.store.tx import RolledBack, Store

Handler = Callable[[Request], Awaitable[Response]]

KEY_MIN, KEY_MAX = 16, 255
_KEY = re.compile(r"[\x21-\x7e]+")
_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e]*)"')
TURNS_MAX = 5
"""How often a request looks again for the answer of another with its key, which ended without one."""


class KeyUsedBefore(Refused):
    """422: the Idempotency-Key came before with another request."""

    status = 422
    default_code = "IDEMPOTENCY_KEY_REUSED"


# --- which thing a route writes --------------------------------------------------------------------------------------


ACTIONS = frozenset(
    {"abort", "clear", "extend", "pause", "promote", "remove", "resume", "speed-up", "thaw", "withdraw"}
)
"""Last segments of paths whose POST changes the thing that the path before it names."""

SHOWN_BY_PARENT = ("/deployments/{deploymentId}/variables",)
"""Endings of paths whose PUT replaces a part of the thing above."""


@dataclass(frozen=True, slots=True)
class Things:
    """Which operations write a thing that GET shows: (method, path template) -> the template of that GET."""

    seen_at: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @classmethod
    def of(cls, operations: Iterable[tuple[str, str]]) -> Things:
        """From all (method, template). A thing's template ends in a parameter."""
        every = list(operations)
        shown = {template for method, template in every if method == "GET" and template.endswith("}")}
        found: dict[tuple[str, str], str] = {}
        for method, template in every:
            parent, _, last = template.rpartition("/")
            acts = (method == "POST" and last in ACTIONS) or (method == "PUT" and template.endswith(SHOWN_BY_PARENT))
            thing = parent if acts else template
            if thing in shown and (acts or method in {"PUT", "PATCH", "DELETE"}):
                found[method, template] = thing
        return cls(found)

    @property
    def tagged(self) -> frozenset[str]:
        """The templates whose GET carries an ETag."""
        return frozenset(self.seen_at.values())


# --- answering -------------------------------------------------------------------------------------------------------


async def answer(request: Request, handler: Handler, *, template: str, things: Things, store: Store) -> Response:
    """What the handler answers, under the request's conditions.

    Fails: `Outdated` when the thing is another than the sender saw; `KeyUsedBefore`; `Invalid` for a malformed header.
    """
    if request.method == "GET":
        shown = await handler(request)
        if template in things.tagged and shown.status_code == 200:
            shown.headers["ETag"] = etag_of(bytes(shown.body))
        return shown
    condition = Condition.of(request) if (request.method, template) in things.seen_at else None
    key = _key_of(request) if request.method == "POST" else None
    if condition is None and key is None:
        return await handler(request)
    own_path = things.seen_at.get((request.method, template)) == template

    async def conditionally(request: Request) -> Response:
        if condition is not None:
            condition.check(await _current(request, own_path=own_path))
        return await handler(request)

    if key is not None:
        return await _once(request, conditionally, key=key, store=store, unchanged=condition is not None)
    return await _written(request, conditionally, store=store)


async def _written(request: Request, handler: Handler, *, store: Store) -> Response:
    refused: Refused | None = None
    async with store.joined(unchanged=True) as joined:
        try:
            done = await handler(request)
        except Refused as refusal:
            if not joined.txs:
                raise
            refused = refusal  # what it wrote stays: that it was asked, and why it was refused
    if refused is not None:
        raise refused
    return done


async def _once(request: Request, handler: Handler, *, key: RequestKey, store: Store, unchanged: bool) -> Response:
    """What the first request with this key was answered, or what this one is."""
    asked = await _digest(request)
    for _ in range(TURNS_MAX):
        async with store.read() as conn:
            before = await find_answer(conn, key)
        if before is not None:
            if before.request_digest != asked:
                raise KeyUsedBefore("This Idempotency-Key was sent before with another request. Make a new one.")
            headers = {"Idempotency-Replayed": "true"} | ({"Location": before.location} if before.location else {})
            return Response(before.body, before.status, headers, "application/json" if before.body else None)
        refused: Refused | None = None
        done: Response | None = None
        async with store.joined(unchanged=unchanged) as joined:
            if not await take_key(joined.conn, key, request_digest=asked):
                raise RolledBack
            try:
                done = await handler(request)
            except Refused as refusal:
                if not joined.txs:
                    raise
                refused = refusal
            if done is None or done.status_code >= 400:
                await drop_key(joined.conn, key)
            else:
                await keep_answer(
                    joined.conn,
                    key,
                    status=done.status_code,
                    body=bytes(done.body),
                    location=done.headers.get("location"),
                )
        if refused is not None:
            raise refused
        if done is not None:
            return done
    raise Conflict("Another request with this Idempotency-Key is being handled.", code="IDEMPOTENCY_KEY_IN_USE")


def _key_of(request: Request) -> RequestKey | None:
    text = request.headers.get("idempotency-key")
    caller = getattr(request.state, "caller", None)
    if (
        text is None or caller is None
    ):  # a key is a user's; `POST /login` has none yet, and its code is good once anyway
        return None
    if not KEY_MIN <= len(text) <= KEY_MAX or _KEY.fullmatch(text) is None:
        raise Invalid(
            f"An Idempotency-Key has {KEY_MIN} to {KEY_MAX} visible ASCII characters, as a UUID has.",
            field="Idempotency-Key",
        )
    return RequestKey(caller.id, text)


async def _digest(request: Request) -> bytes:
    """What was asked for: path, query and body. The order of keys and the space between them do not count."""
    raw = await request.body()
    with contextlib.suppress(orjson.JSONDecodeError, TypeError):
        raw = orjson.dumps(orjson.loads(raw), option=orjson.OPT_SORT_KEYS)
    query = request.scope["query_string"]
    return hashlib.sha256(b"\0".join([request.scope["path"].encode(), query, raw])).digest()


# --- conditions ------------------------------------------------------------------------------------------------------


def etag_of(body: bytes) -> str:
    """The tag of what GET answers."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


@dataclass(frozen=True, slots=True)
class Condition:
    """What the sender saw. `tags` None: nothing was said; an empty `tags` with `any_tag` means `*`."""

    tags: frozenset[str] | None = None
    any_tag: bool = False
    absent: bool = False

    @classmethod
    def of(cls, request: Request) -> Condition | None:
        """From If-Match and If-None-Match; None where neither is sent.

        Fails: `Invalid` for a header that is no list of entity tags.
        """
        wanted, unwanted = request.headers.get("if-match"), request.headers.get("if-none-match")
        if wanted is None and unwanted is None:
            return None
        if unwanted is not None and unwanted.strip() != "*":
            raise Invalid("If-None-Match takes * alone here: write only what is not there yet.", field="If-None-Match")
        if wanted is None:
            return cls(absent=True)
        if wanted.strip() == "*":
            return cls(frozenset(), any_tag=True, absent=unwanted is not None)
        parts = [_TAG.fullmatch(part.strip()) for part in wanted.split(",")]
        if None in parts:
            raise Invalid('If-Match takes the ETag of a GET, in its quotes ("…"), or *.', field="If-Match")
        strong = frozenset(f'"{part[2]}"' for part in parts if part is not None and not part[1])
        return cls(strong, absent=unwanted is not None)

    def check(self, current: str | None) -> None:
        """Compare with the tag of the thing as it is; None: there is none.

        Fails: `Outdated`.
        """
        if self.absent and current is not None:
            raise Outdated("It is there already, and If-None-Match: * writes only what is not.", code="EXISTS")
        if self.tags is None:
            return
        if current is None:
            raise Outdated("It is not there (any more), and If-Match writes only what was seen.")
        if not self.any_tag and current not in self.tags:
            raise Outdated(
                "It was changed since it was read. Get it again, look at what changed, and send the change again with "
                "the new ETag.",
                details={"etag": current},
            )


async def _current(request: Request, *, own_path: bool) -> str | None:
    """The tag of the thing that a request writes, as its GET route answers now; None where there is none.

    Fails: `Outdated` where it cannot be told, because the caller may not read it.
    """
    path = request.scope["path"] if own_path else request.scope["path"].rpartition("/")[0]
    kept = {key: value for key, value in request.scope.items() if key not in {"route", "endpoint", "path_params"}}
    headers = [pair for pair in request.scope["headers"] if pair[0] not in _NOT_FOR_READING]
    scope = {
        **kept,
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "state": {**request.scope.get("state", {}), "tries_max": 1},
    }
    status, tag = 500, ""

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, tag
        if message["type"] == "http.response.start":
            status = message["status"]
            tag = next((value.decode() for name, value in message["headers"] if name == b"etag"), "")

    await request.app.router(scope, receive, send)
    if status == 404:
        return None
    if status == 503:
        raise Stale("What it looks like now could not be read.")
    if status != 200:
        raise Outdated("What it looks like now cannot be compared: it cannot be read.")
    return tag


_NOT_FOR_READING = frozenset(
    {b"if-match", b"if-none-match", b"idempotency-key", b"content-length", b"content-type", b"transfer-encoding"}
)

"""How is a request body read? Bounded, JSON only, once, and never with text that the database cannot hold.

The limit stands before everything else: a body is counted while it arrives, whatever its Content-Length says.

A request that lost a race in the database (`Stale`: a deadlock, a serialization failure) is handled again with the
body that was read: its transaction wrote nothing, so the client need not hear of it. After `TRIES_MAX` it does: 503.
One that is part of a larger transaction is tried once (`state.tries_max`): the whole is done again.

Nor does any body hold the marker of a secret (`model/secret.py`): markers are ours. One that a client could write would
have the secret of somebody else filled in where the client reads it. The door is the one place that no handler can
forget.

Source: DESIGN.md section 8, REST row; STYLE rule 17.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any, TypeVar

import orjson
from fastapi.datastructures import DefaultPlaceholder
from fastapi.routing import APIRoute
from fastapi.utils import create_model_field
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, StringConstraints
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from interlock.model.errors import Invalid, Stale, TooLarge
from interlock.model.secret import MARKER, refuse_markers
from interlock.web.errors import error_answer
from interlock.web.safe_writes import answer

API = "/api"
"""Where everything of the API is."""

TEXT_MAX = 20_000
READ_BESIDE_BYTES = 1024 * 1024
"""A body over this is read in a thread beside the loop that serves."""

DEPTH_MAX = 64
"""How deep objects and lists of a body may stand in each other: what reads them later does so by recursion."""

KEYS_MAX = 1_000
"""Pairs of one metadata object."""

KEY_MAX = 500
VALUE_MAX = 64 * 1024
"""Characters of a metadata value: clients put links there as JSON."""

TRIES_MAX = 5
AGAIN_AFTER_S = 0.02
"""Before the second try; doubled before each further one, and spread so that two who met do not meet again."""

EXACT_MAX = 2**53 - 1
_DIGITS_AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_LONG = b"0" * 16
_MARKER = MARKER.encode()

T = TypeVar("T")
Int = Annotated[int, Strict()]
Bool = Annotated[bool, Strict()]
Float = Annotated[float, Strict()]
Name = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"\S")]
Text = Annotated[str, StringConstraints(max_length=TEXT_MAX)]


def _empty_for_null(value: object) -> object:
    return {} if value is None else value


def _exact(value: T) -> T:
    """Refuse a number that cannot be read back as it was sent, and that no canonical JSON can say.

    Why:    beyond 2^53 clients round. A float there comes back from the database as an integer, so it is refused too.
    Costs:  1 µs for a usual object; numbers are looked at one by one only where a long one may stand.
    """
    try:
        digits = orjson.dumps(value, option=orjson.OPT_STRICT_INTEGER).translate(_DIGITS_AS_ZEROS)
        fits = not (b"0e+0" in digits or _LONG in digits) or _all_exact(value)
    except TypeError:
        fits = False
    if not fits:
        raise ValueError("holds a number beyond 2^53, which JSON cannot carry exactly; send it as text")
    return value


def _all_exact(value: object) -> bool:
    match value:
        case float():
            return abs(value) <= EXACT_MAX
        case dict():
            return all(map(_all_exact, value.values()))
        case list():
            return all(map(_all_exact, value))
        case _:
            return True


NullIsEmpty = BeforeValidator(_empty_for_null)
Object = Annotated[dict[str, Any], AfterValidator(_exact)]
"""A JSON object whose keys the client chooses."""
AnyMap = Annotated[Object, NullIsEmpty, Field(default_factory=dict)]
"""A JSON object; null and absent mean `{}`."""
Texts = Annotated[
    dict[
        Annotated[str, StringConstraints(max_length=KEY_MAX)], Annotated[str, StringConstraints(max_length=VALUE_MAX)]
    ],
    Field(max_length=KEYS_MAX),
]
"""An object of texts. One value that is no text would break every typed client, so it is refused."""
TextMap = Annotated[Texts, NullIsEmpty, Field(default_factory=dict)]
"""The same; null and absent mean `{}`."""


class WireBody(BaseModel):
    """A body of the public contract: keys that it does not know are ignored, as its clients expect."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class ClosedBody(BaseModel):
    """A body of our own: an unknown key is refused, because a misspelt field that is dropped in silence is a trap."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BodyLimit:
    """ASGI middleware: refuses a body over `bytes_max` with 413, and reads no further.

    Takes: `bytes_max_by_ending` are other limits for paths that end so.
    """

    def __init__(self, app: ASGIApp, *, bytes_max: int, bytes_max_by_ending: Mapping[str, int] | None = None) -> None:
        self.app = app
        self.bytes_max = bytes_max
        self.bytes_max_by_ending = dict(bytes_max_by_ending or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        others = (limit for ending, limit in self.bytes_max_by_ending.items() if scope["path"].endswith(ending))
        bytes_max = next(others, self.bytes_max)
        refused = TooLarge(f"The body is larger than {bytes_max:,} bytes, the most that is read here.")
        if announced.isdigit() and int(announced) > bytes_max:
            await error_answer(refused)(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > bytes_max:
                    raise HTTPException(413, refused.message)
            return message

        await self.app(scope, counted, send)


class JsonRequest(Request):
    """A request whose body is JSON, read by orjson: not too deep, with no NUL in any text (PostgreSQL stores none)."""

    async def json(self) -> Any:
        raw = await self.body()
        if len(raw) > READ_BESIDE_BYTES:  # a sync of 100,000 resources: others are served meanwhile
            return await asyncio.to_thread(_checked_json, raw)
        return _checked_json(raw)


def _checked_json(raw: bytes) -> Any:
    """A body's value, when it can be stored.

    Fails: 400 for one that is nested too deep or holds a NUL; `Invalid` for a marker; `JSONDecodeError`.
    """
    value = orjson.loads(raw)
    if raw.count(b"[") + raw.count(b"{") > DEPTH_MAX and _deeper_than(value, DEPTH_MAX):
        raise HTTPException(400, f"The body is nested deeper than {DEPTH_MAX} levels, the most that is read here.")
    if b"\\u0000" in raw and _holds_nul(value):
        raise HTTPException(400, "A text in the body holds a NUL character (\\u0000), which cannot be stored.")
    if _MARKER in raw or b"\\u00" in raw:  # escaped, it may be spelled in many ways
        refuse_markers(value)
    return value


class JsonRoute(APIRoute):
    """A route that reads its body as JSON and answers 415 to another media type. A body without one is taken as
    JSON.

    The shape of its answer (`response_model`) is for the OpenAPI document alone, because handlers give whole responses.
    So it is compiled when the document is asked for (`describe_answer`), not when the process starts.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], *, response_model: Any = None, **more: Any) -> None:
        super().__init__(path, endpoint, response_model=None, **more)
        self.answer_shape = None if isinstance(response_model, DefaultPlaceholder) else response_model

    def describe_answer(self) -> None:
        """Compile the shape of the answer. Doing it twice changes nothing."""
        if self.response_field is None and self.answer_shape is not None:
            self.response_model = self.answer_shape
            self.response_field = create_model_field(
                name="Response_" + self.unique_id, type_=self.answer_shape, mode="serialization"
            )

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = _plain(super().get_route_handler())
        template = self.path_format.removeprefix(API)
        takes_body = self.body_field is not None

        async def read(request: Request) -> Response:
            if takes_body:
                media = request.headers.get("content-type", "").split(";")[0].strip().lower()
                if media and media != "application/json" and not media.endswith("+json"):
                    raise HTTPException(415)
            once_read = JsonRequest(request.scope, request.receive)
            state = request.app.state
            for tried in range(getattr(request.state, "tries_max", TRIES_MAX) - 1):
                try:
                    return await answer(once_read, handler, template=template, things=state.things, store=state.store)
                except Stale:
                    await asyncio.sleep(AGAIN_AFTER_S * 2**tried * random.uniform(0.5, 1.5))  # noqa: S311 no secret
            return await answer(once_read, handler, template=template, things=state.things, store=state.store)

        return read


def _plain(handler: Callable[[Request], Coroutine[Any, Any, Response]]) -> Callable[..., Coroutine[Any, Any, Response]]:
    """The handler, with what we refuse of a body as it is: FastAPI hides it in a 400 of its own."""

    async def handled(request: Request) -> Response:
        try:
            return await handler(request)
        except HTTPException as hiding:
            if isinstance(hiding.__cause__, Invalid):
                raise hiding.__cause__ from None
            raise

    return handled


def _deeper_than(value: object, levels: int) -> bool:
    """Whether objects and lists stand deeper in each other than so. Level by level: recursion is what is guarded."""
    level = [value]
    for _ in range(levels):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _holds_nul(value: object) -> bool:
    match value:
        case str():
            return "\x00" in value
        case dict():
            return any("\x00" in key or _holds_nul(inner) for key, inner in value.items())
        case list():
            return any(map(_holds_nul, value))
        case _:
            return False


def refuse_unless(condition: object, message: str, *, field: str) -> None:
    """Refuse with `Invalid` on this field unless the condition holds."""
    if not condition:
        raise Invalid(message, field=field)

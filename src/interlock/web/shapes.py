"""How is the shape of an answer written down? As a `TypedDict` beside the function that renders it, named by the route.

    class Pin(TypedDict):
        id: Id
        reason: str
        expiresAt: NotRequired[Instant]

    @router.get(W + "/pins", response_model=page_of(Pin))

The shape is documentation that is tested, not a filter: a handler answers with `Json`, which FastAPI sends as it is,
so no request pays for it. Every test of the API compares what it gets with the document (`tests/api/conformance.py`),
where a field that the shape does not name is a fault too.

Source: OpenAPI 3.1; contract.md section e (absent rather than null).
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from pydantic import WithJsonSchema
from typing_extensions import TypedDict

Id = Annotated[str, WithJsonSchema({"type": "string", "format": "uuid"})]
"""The id of something that Interlock stores."""

Instant = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""RFC 3339 with a zone."""

AnyObject = dict[str, Any]
"""An object whose keys somebody else chooses: a configuration, a rule as it was written."""

Texts = dict[str, str]
"""Metadata."""


class Accepted(TypedDict):
    """A write that is committed. What follows from it may still be worked out."""

    id: str
    message: str


class Named(TypedDict):
    """Something by id, with the name that it has today."""

    id: Id
    name: str


@cache
def page_of(item: Any) -> Any:
    """The shape of a page of these."""
    return TypedDict(f"{item.__name__}Page", {"items": list[item], "total": int, "limit": int, "offset": int})  # type: ignore[operator]

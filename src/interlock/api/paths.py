"""What do the paths of the API have in common? A workspace in front, and ids that may be malformed.

A malformed id names nothing: it answers 404 like an unknown one, and never reaches the database.

Source: contract.md section e, "Errors" and "Identifiers and URLs".
"""

from __future__ import annotations

from typing import TypeVar

from fastapi import APIRouter

from interlock.model.errors import NotFound
from interlock.model.ids import is_id
from interlock.web.bodies import JsonRoute
from interlock.web.raw_path import allow_segments

T = TypeVar("T")

W = "/v1/workspaces/{workspaceId:segment}"
"""The contract's `/W`."""


def noun_router(tag: str) -> APIRouter:
    """A router for one noun."""
    allow_segments()
    return APIRouter(route_class=JsonRoute, tags=[tag], redirect_slashes=False)


def id_of(text: str, what: str) -> str:
    """The id in a path, in lower case.

    Fails: `NotFound` for a text that is none.
    """
    if not is_id(text):
        raise NotFound(f"There is no {what} with this id.")
    return text.lower()


def found(value: T | None, what: str) -> T:
    """The value that was looked up.

    Fails: `NotFound` when there is none.
    """
    if value is None:
        raise NotFound(f"There is no such {what}.")
    return value

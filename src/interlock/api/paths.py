"""What do the paths of the API have in common? A workspace in front, and ids that may be malformed.

A malformed id names nothing: it answers 404 like an unknown one, and never reaches the database.

Source: contract.md section e, "Errors" and "Identifiers and URLs".
"""

from __future__ import annotations

from typing import TypeVar

from fastapi import APIRouter, Depends

from interlock.model.errors import NotFound
from interlock.model.ids import is_id
from interlock.web.bodies import API, JsonRoute
from interlock.web.raw_path import allow_segments
from interlock.web.sign_in import admitted

T = TypeVar("T")

W = "/v1/workspaces/{workspaceId:segment}"
"""The contract's `/W`."""


def noun_router(tag: str) -> APIRouter:
    """A router for one noun, below `/api`; every call passes the one check of `admitted`.

    Why:    its routes are whole as they stand: a prefix or check that is given when they are included makes FastAPI
            build each of them a second time, in the first request, which took 0.7 s.
    """
    allow_segments()
    return APIRouter(
        prefix=API, route_class=JsonRoute, tags=[tag], redirect_slashes=False, dependencies=[Depends(admitted)]
    )


def id_of(text: str, what: str) -> str:
    """The id in a path, in lower case.

    Fails: `NotFound` for a text that is none.
    """
    if not is_id(text):
        raise NotFound(f"There is no {what} with this id.")
    return text.lower()


def found(value: T | None, what: str, *, named: str | None = None) -> T:
    """The value that was looked up, by what it was `named` where that may be a name.

    Fails: `NotFound` when there is none.
    """
    if value is None:
        raise NotFound(f"There is no {what} named {named}." if named else f"There is no such {what}.")
    return value

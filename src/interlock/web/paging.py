"""How is a list cut into pages? `limit` 1 to 1000 (default 50), `offset` from 0, and a total that counts all matches.

Source: contract.md section e, "Lists and paging".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query

from interlock.web.answers import Json

LIMIT_MAX = 1000
LIMIT_DEFAULT = 50
OFFSET_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is wanted."""

    limit: int = LIMIT_DEFAULT
    offset: int = 0

    def answer(self, items: Sequence[object], total: int) -> Json:
        """The contract's page."""
        return Json({"items": list(items), "total": total, "limit": self.limit, "offset": self.offset})


def _page(
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT,
    offset: Annotated[int, Query(ge=0, le=OFFSET_MAX)] = 0,
) -> Page:
    return Page(limit=limit, offset=offset)


Paging = Annotated[Page, Depends(_page)]

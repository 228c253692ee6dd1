"""REST for whoever watches the process: is it alive, can it work, which version is it?

`healthz` answers as long as the process does; `readyz` asks the database too, and says what holds the ledger's horizon.

Source: contract.md section a, "Unauthenticated"; core.md section 7 (the horizon is shown in health).
"""

from __future__ import annotations

from typing import Literal, NotRequired

from starlette.responses import Response
from typing_extensions import TypedDict

import interlock
from interlock.api.paths import noun_router
from interlock.store.ledger import find_held_horizon
from interlock.web.answers import Json, instant
from interlock.web.shapes import Instant
from interlock.web.sign_in import FromStore

router = noun_router("health")


class Alive(TypedDict):
    """The process answers."""

    status: Literal["ok"]


class HorizonHolder(TypedDict):
    """A transaction that has been open for long: nothing written after it began reaches the feed before it ends."""

    holder: str
    since: Instant


class Ready(Alive):
    """The database answers too."""

    ledgerHeldBy: NotRequired[HorizonHolder]


class VersionAnswer(TypedDict):
    """Which version runs."""

    api: str
    workspaceEngine: str | None


@router.get("/healthz", response_model=Alive)
async def healthz() -> Response:
    """Say that the process answers."""
    return Json({"status": "ok"})


@router.get("/readyz", response_model=Ready)
async def readyz(store: FromStore) -> Response:
    """Say whether the database answers; 503 when it does not."""
    async with store.read() as conn:
        held = await find_held_horizon(conn)
    body: dict[str, object] = {"status": "ok"}
    if held is not None:
        body["ledgerHeldBy"] = {"holder": held.holder, "since": instant(held.since_at)}
    return Json(body)


@router.get("/version", response_model=VersionAnswer)
async def version() -> Response:
    """Say which version this is, in the contract's words."""
    return Json({"api": interlock.__version__, "workspaceEngine": interlock.__version__})

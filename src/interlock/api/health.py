"""REST for whoever watches the process: is it alive, can it work, which version is it?

`healthz` answers as long as the process does; `readyz` asks the database too, and says what holds the ledger's horizon.

Source: contract.md section a, "Unauthenticated"; core.md section 7 (the horizon is shown in health).
"""

from __future__ import annotations

from starlette.responses import Response

import interlock
from interlock.api.paths import noun_router
from interlock.store.ledger import find_held_horizon
from interlock.web.answers import Json, instant
from interlock.web.sign_in import FromStore

router = noun_router("health")


@router.get("/healthz")
async def healthz() -> Response:
    """Say that the process answers."""
    return Json({"status": "ok"})


@router.get("/readyz")
async def readyz(store: FromStore) -> Response:
    """Say whether the database answers; 503 when it does not."""
    async with store.read() as conn:
        held = await find_held_horizon(conn)
    body: dict[str, object] = {"status": "ok"}
    if held is not None:
        body["ledgerHeldBy"] = {"holder": held.holder, "since": instant(held.since_at)}
    return Json(body)


@router.get("/version")
async def version() -> Response:
    """Say which version this is, in the contract's words."""
    return Json({"api": interlock.__version__, "workspaceEngine": interlock.__version__})

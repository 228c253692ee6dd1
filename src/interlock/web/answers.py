"""What does every JSON answer have in common? orjson, RFC 3339 instants with a zone, absent rather than null.

And no marker of a secret: what was not opened for this caller leaves as its mark.

Source: contract.md section e, "Dates and numbers"; issue 4, "Secrets".
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.responses import Response

from interlock.model.secret import MARKER, masked

_MARKER = f'"{MARKER}"'.encode()


class Json(Response):
    """A JSON answer. Aware instants become RFC 3339 with `Z`."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        body = orjson.dumps(content, option=orjson.OPT_UTC_Z)
        return orjson.dumps(masked(orjson.loads(body))) if _MARKER in body else body


def present(**fields: object) -> dict[str, object]:
    """The fields that have a value: an optional that is not set is absent on the wire, never null."""
    return {name: value for name, value in fields.items() if value is not None}


def instant(at: datetime) -> str:
    """RFC 3339 with a zone, in UTC (`2026-06-10T18:21:33.123456Z`)."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def accepted(identity: str, message: str) -> Json:
    """202 with `{id, message}`. What it says was accepted is already committed."""
    return Json({"id": identity, "message": message}, status_code=202)

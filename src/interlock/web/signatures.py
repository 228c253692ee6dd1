"""Did this request come from the tool that says so, and is it new? The check of every webhook that comes in.

    came = await receive(request, GITHUB, secrets=[secret])     size, signature, age: 413 or 401
    async with store.tx(...) as tx:
        if not await note_delivery(tx, came): …                 it was here before: answer as then, change nothing
        …

The signature is an HMAC over the bytes of the body as they came, before anything parses them, compared in constant
time. Several secrets may be given, so that one can be changed without losing an event: any of them will do.

A scheme that signs an instant is refused when that is too old or too new. One that does not could be sent again at any
time by whoever saw it once, so a delivery is remembered, and not by the id in its header, which nobody signed, but by
what was signed. It is remembered in the transaction that acts on it: a request that failed may come again.

Source: issue 4, "Webhooks in"; contract.md section d; GitHub's and HashiCorp's documentation of their webhooks.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from starlette.requests import Request

from interlock.clock import utc_now
from interlock.model.errors import TooLarge, Unauthorized
from interlock.store.deliveries import Delivery

BODY_BYTES_MAX = 1024 * 1024
WINDOW_S = 300.0
REMEMBERED_S = 24 * 3600.0
"""How long a delivery without a signed instant is known again."""

_SECONDS = re.compile(r"[0-9]{1,11}")


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a tool signs.

    Takes: `algorithm` `plain`: the header holds the secret itself. `prefix` stands before the digest. With a
           `timestamp_header` (seconds since 1970) what is signed is `<timestamp>.<body>`.
    """

    name: str
    header: str
    algorithm: Literal["sha256", "sha512", "plain"] = "sha256"
    prefix: str = ""
    timestamp_header: str | None = None


GITHUB = Scheme("github", "x-hub-signature-256", prefix="sha256=")
TERRAFORM_CLOUD = Scheme("tfe", "x-tfe-notification-signature", "sha512")
ARGO_WORKFLOWS = Scheme("argo", "authorization", "plain")
INTERLOCK = Scheme("interlock", "x-interlock-signature", prefix="v1=", timestamp_header="x-interlock-timestamp")
"""How Interlock signs what it sends, and what it takes from tools that have no way of their own."""


async def receive(
    request: Request,
    scheme: Scheme,
    *,
    secrets: Sequence[str],
    window_s: float = WINDOW_S,
    body_bytes_max: int = BODY_BYTES_MAX,
    now: datetime | None = None,
) -> Delivery:
    """The body of a webhook whose signature is right.

    Takes: `secrets` of which any may have signed; none, or an empty one, refuses everything. `now` is for tests.
    Fails: `Unauthorized` without a reason that would help to guess; `TooLarge`, before the signature is looked at.
    """
    body = await _read(request, body_bytes_max)
    now = now or utc_now()
    sent = request.headers.get(scheme.header, "")
    signed, until = body, now + timedelta(seconds=REMEMBERED_S)
    if scheme.timestamp_header is not None:
        stamp = request.headers.get(scheme.timestamp_header, "")
        sent_at = _instant(stamp)
        if sent_at is None or abs((now - sent_at).total_seconds()) > window_s:
            raise Unauthorized("The webhook's timestamp is missing, or not of now.")
        signed = stamp.encode() + b"." + body
        until = sent_at + timedelta(seconds=window_s)
    if not is_signed(scheme, signed, sent=sent, secrets=secrets):
        raise Unauthorized("The webhook's signature is not right.")
    return Delivery(
        scheme.name, key=hashlib.sha256(scheme.name.encode() + b"\x1f" + signed).digest(), until=until, body=body
    )


def is_signed(scheme: Scheme, signed: bytes, *, sent: str, secrets: Sequence[str]) -> bool:
    """Whether one of the secrets gives this header. Every secret is tried, whichever is right."""
    found = False
    for secret in secrets:
        expected = signature(scheme, signed, secret=secret)
        found |= bool(secret) and hmac.compare_digest(expected.encode(), _plain(scheme, sent).encode())
    return found


def signature(scheme: Scheme, signed: bytes, *, secret: str) -> str:
    """What the header says for these bytes."""
    if scheme.algorithm == "plain":
        return secret
    return scheme.prefix + hmac.new(secret.encode(), signed, scheme.algorithm).hexdigest()


def _plain(scheme: Scheme, sent: str) -> str:
    """The header as it is compared: digests in lower case."""
    return sent if scheme.algorithm == "plain" else sent.strip().lower()


def _instant(seconds: str) -> datetime | None:
    return datetime.fromtimestamp(int(seconds), UTC) if _SECONDS.fullmatch(seconds) else None


async def _read(request: Request, bytes_max: int) -> bytes:
    """The raw body, counted while it arrives."""
    refused = TooLarge(f"The webhook's body is larger than {bytes_max:,} bytes.")
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > bytes_max:
        raise refused
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > bytes_max:
            raise refused
    return bytes(body)

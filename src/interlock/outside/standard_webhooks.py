"""How does a receiver know that a webhook comes from us and was not sent before? By a signature over id, time and body.

    webhook-id         the same for every try of one delivery: the receiver's key against doubles
    webhook-timestamp  the second of this try
    webhook-signature  `v1,<base64 of HMAC-SHA256 over "id.timestamp.body">`, one for each secret in force

A secret is `whsec_` and 32 random bytes in base64. While a secret is rotated two are in force, so that receivers can
change over without losing anything.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets as chance
from collections.abc import Sequence

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> str:
    """A fresh signing secret."""
    return PREFIX + base64.b64encode(chance.token_bytes(SECRET_BYTES)).decode()


def is_secret(text: str) -> bool:
    """Whether a text is a signing secret of the specification: 24 to 64 bytes in base64."""
    try:
        return text.startswith(PREFIX) and 24 <= len(_key(text)) <= 64
    except ValueError:
        return False


def signed_headers(secrets: Sequence[str], *, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers.

    Takes: `secrets` in force, the newest first.
    """
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(
            signature(each, message_id=message_id, timestamp=timestamp, body=body) for each in secrets
        ),
    }


def signature(secret: str, *, message_id: str, timestamp: int, body: bytes) -> str:
    """One signature, `v1,…`."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest()).decode()


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PREFIX), validate=True)

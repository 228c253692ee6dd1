"""What does the text of a key look like, and what is kept of it?

`<16 hex>.<64 hex>`: a public prefix to find it by and 32 random bytes, of which the sha256 is stored (a slow hash
guards guessable secrets; this one is not). People's keys and the tokens of agents have the same form.

Source: contract.md section a.
"""

from __future__ import annotations

import hashlib
import re
import secrets

KEY = re.compile(r"([0-9a-f]{16})\.([0-9a-f]{64})")


def new_key() -> str:
    """A fresh text."""
    return f"{secrets.token_hex(8)}.{secrets.token_hex(32)}"


def hash_of(secret: str) -> bytes:
    """What is stored of the secret part."""
    return hashlib.sha256(secret.encode()).digest()

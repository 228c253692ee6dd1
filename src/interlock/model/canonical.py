"""How is a value written so that the same value is always the same bytes? RFC 8785 canonical JSON, and its SHA-256.

Everything that is digested (a release, what an approver saw, a resolved config, a ledger body) is digested in this
form.

Source: RFC 8785 (JCS); DESIGN.md section 5.
"""

from __future__ import annotations

import hashlib
from typing import Any

import rfc8785

from interlock.model.errors import Bug


def canonical(value: Any) -> bytes:
    """The canonical bytes of a JSON value.

    Fails: `Bug` when it is no JSON (a NaN, an integer beyond 2^53, a key that is no text).
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, TypeError, ValueError) as cause:
        raise Bug(f"This value has no canonical JSON: {cause}") from cause


def digest(value: Any) -> str:
    """SHA-256 of the canonical bytes, as hex."""
    return hashlib.sha256(canonical(value)).hexdigest()

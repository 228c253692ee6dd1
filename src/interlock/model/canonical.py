"""How is a value written so that the same value is always the same bytes? RFC 8785 canonical JSON, and its SHA-256.

Everything that is digested (a release, what an approver saw, a resolved config, a ledger body) is digested in this
form.

For what has ASCII keys and no fractions, which is nearly everything, orjson's sorted form is the same bytes in a tenth
of the time; a property test holds both equal.

Source: RFC 8785 (JCS); DESIGN.md section 5.
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
import rfc8785

from interlock.model.errors import Bug

INTEGER_MAX = 2**53 - 1
"""What every reader of JSON keeps exactly."""


def canonical(value: Any) -> bytes:
    """The canonical bytes of a JSON value.

    Fails: `Bug` when it is no JSON (a NaN, an integer beyond 2^53, a key that is no text).
    """
    try:
        if _is_plain(value):
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, TypeError, ValueError) as cause:
        raise Bug(f"This value has no canonical JSON: {cause}") from cause


def _is_plain(value: Any) -> bool:
    """Whether orjson writes it as RFC 8785 does: keys that sort the same in any encoding, and no number to round."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(-INTEGER_MAX <= value <= INTEGER_MAX)
    if kind is dict:
        return all(type(key) is str and key.isascii() for key in value) and all(map(_is_plain, value.values()))
    return kind in {list, tuple} and all(map(_is_plain, value))


def digest(value: Any) -> str:
    """SHA-256 of the canonical bytes, as hex."""
    return hashlib.sha256(canonical(value)).hexdigest()
